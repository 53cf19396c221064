"""A server on which somebody works already: a site, a database cluster, a disk of its own.

`make lived-in-test` runs it on both systems.
"""

import pytest
from server import CONFIG, Server

pytestmark = [pytest.mark.box, pytest.mark.slow]
OTHERS = """\
set -e
export DEBIAN_FRONTEND=noninteractive
(apt-get -q update && apt-get -qy install --no-install-recommends nginx postgresql curl) >&2
cat > /etc/nginx/sites-available/default <<'END'
server {
    listen 80 default_server;
    return 200 theirs;
}
END
systemctl restart nginx
cd /; runuser -u postgres -- psql -qc 'create role team' -c 'create database sales owner team'
mkdir -p /srv/mlops/data; mount -t tmpfs -o size=200M none /srv/mlops/data
"""
MOVE = """\
sed -i 's/^port = .*/port = {port}/' /etc/postgresql/*/main/postgresql.conf
systemctl restart 'postgresql@*'
"""
PORTS = "\n[proxy]\nhttps_port = 8443\nhttp_port = 8088\n"
SITE = "curl --noproxy '*' -sS http://127.0.0.1/"


@pytest.fixture(scope="module", params=["debian-13", "debian-12"])
def system(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.usefixtures("computing")
def test_what_is_there_goes_on_and_stays(bare: Server) -> None:
    bare.ssh(OTHERS)
    bare.config.write_text(CONFIG + PORTS)
    _is_refused_while_the_cluster_is_at_another_port(bare)
    done = bare.cli("apply", "--yes")
    assert done.returncode == 0, done.end
    assert bare.ssh(SITE) == "theirs"
    assert bare.cli("plan").returncode == 0
    _verify_notes_what_the_cluster_lacks(bare)
    _files_beside_the_caller_are_read(bare)
    gone = bare.cli("uninstall", "--yes", "--no-keep-data")
    assert gone.returncode == 0, gone.end
    assert bare.ssh("stat -f -c %T /srv/mlops/data; ls -A /srv/mlops/data") == "tmpfs"
    assert bare.ssh(SITE) == "theirs"
    databases = "cd /; runuser -u postgres -- psql -XAtc 'select datname from pg_database'"
    assert set(bare.ssh(databases).split()) == {"postgres", "template0", "template1", "sales"}


def _is_refused_while_the_cluster_is_at_another_port(server: Server) -> None:
    server.ssh(MOVE.format(port=5433))
    before = server.ssh("ls /etc /opt /var/lib")
    done = server.cli("apply", "--yes")
    assert done.returncode == 1, done.end
    assert "5433" in done.output
    assert "set port = 5432" in " ".join(done.output.split())
    assert server.ssh("ls /etc /opt /var/lib") == before
    server.ssh(MOVE.format(port=5432))


def _verify_notes_what_the_cluster_lacks(server: Server) -> None:
    done = server.cli("verify", "--json")
    assert done.returncode == 0, done.end
    checks = {check["name"]: check for check in done.json["checks"]}
    assert checks["pages have checksums"]["outcome"] == "skipped"
    assert "was there before the installer" in checks["pages have checksums"]["reason"]


def _files_beside_the_caller_are_read(server: Server) -> None:
    said = server.ssh(
        'mkdir -p /root/here; cd /root/here; echo \'{"k": "v"}\' > vars.json\n'
        "airflow variables import vars.json; airflow variables export out.json; cat out.json"
    )
    assert '"k": "v"' in said
