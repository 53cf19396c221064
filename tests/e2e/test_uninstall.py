"""Uninstall: a file-by-file comparison finds nothing of ours but what the plan says it keeps."""

import json
import os
import signal
import time
from pathlib import Path

import footprint
import pytest
import shared
from server import CONFIG, Done, Server, add_tasks, answers, wait_for

SYSTEMS = os.environ.get("UNINSTALL_SYSTEMS", "debian-13").split(",")
NOTES = "/opt/mlops/notes.txt"
MINE = "/srv/mlops/workflows/releases/empty/dags/mine.py"
SITE = "/etc/nginx/conf.d/theirs.conf"
RESULT = "/srv/mlops/data/result.csv"
# A server as the day's updates leave it, and two packages: `ours` needs a newer `theirs`.
UPDATED = """\
set -e
export DEBIAN_FRONTEND=noninteractive
mkdir -p /usr/local/repository; cd /usr/local/repository
package() { # NAME VERSION DEPENDS
  mkdir -p $1/DEBIAN
  printf '%s\\n' "Package: $1" "Version: $2" "Depends: $3" 'Architecture: all' \
    'Maintainer: Team <team@example.org>' 'Description: of a test' > $1/DEBIAN/control
  dpkg-deb -b $1 $1_$2.deb >/dev/null; rm -r $1
}
index() { # of all that is here
  for deb in *.deb; do
    dpkg-deb -f $deb
    printf 'Filename: %s\\nSize: %s\\nSHA256: %s\\n\\n' \
      $deb $(stat -c %s $deb) $(sha256sum < $deb | cut -d ' ' -f 1)
  done > Packages
}
package theirs 1 libc6; package theirs 2 libc6; package ours 1 'theirs (>= 2)'; index
echo 'deb [trusted=yes] file:/usr/local/repository ./' > /etc/apt/sources.list.d/theirs.list
apt-get update -q >&2
apt-get upgrade -yq >&2
apt-get install -yq theirs=1 >&2
"""
UPGRADED = ("package theirs", "upgraded from 1; it stays")
NEWER = {"package theirs": ("1 ii ", "2 ii ")}
NEW = """\
set -e
cd /; dump=$(ls -d /var/lib/mlops/backups/uninstall-*/airflow.dump)
runuser -u postgres -- createdb -O airflow scratch
runuser -u airflow -- pg_restore --exit-on-error --no-owner -d scratch < $dump
runuser -u postgres -- psql -XAtq -d scratch -c "select state, try_number from task_instance"
runuser -u postgres -- dropdb scratch
"""


def is_of(name: str, paths: list[str]) -> bool:
    """Whether a compared name is one of the paths, below or above one."""
    kind, _, path = name.partition(" ")
    kept = any(path == p or path.startswith(f"{p}/") or p.startswith(f"{path}/") for p in paths)
    return kind in ("file", "sha256") and kept


def interrupted(server: Server, after: str) -> None:
    """Uninstall, killed with SIGKILL some time after it began with a part."""
    process = server.start("uninstall", "--yes")
    assert process.stdout
    assert any(f"uninstall: {after}" in line for line in process.stdout), "it ended before"
    time.sleep(2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def uninstall(server: Server, *args: str) -> Done:
    done = server.cli("uninstall", "--yes", "--json", *args)
    assert done.returncode == 0, done.end
    return done


@pytest.mark.usefixtures("computing")
@pytest.mark.parametrize("system", SYSTEMS)
def test_nothing_stays_but_what_the_plan_says(bare: Server, tmp_path: Path) -> None:
    bare.ssh(UPDATED)
    bare.config.write_text(CONFIG.replace("[base]\n", '[base]\npackages = ["ours"]\n'))
    before = footprint.look(bare)
    bare.apply()
    add_tasks(bare)
    wait_for(lambda: answers(bare) and bare.sql(shared.KNOWN) == "2", "the tests' DAGs", 120)
    bare.ssh(f"echo mine > {NOTES}; echo 1 > {RESULT}; chown airflow: {RESULT}")
    bare.ssh("echo '# mine' > /srv/mlops/workflows/current/dags/mine.py")
    nap = bare.nap(15).started()

    shown = bare.cli("uninstall")
    assert shown.returncode == 1, "nobody was asked"
    assert nap.run in shown.stderr, "the running task is listed"
    assert bare.ssh("systemctl is-active airflow.target") == "active"

    interrupted(bare, after="databases")
    done = uninstall(bare)
    told = bare.ssh("journalctl --no-pager -n 60 -u 'airflow-scheduler@*'")
    after = footprint.look(bare)
    (tmp_path / "after.json").write_text(json.dumps(footprint.differences(before, after)))
    kept = {thing["name"]: thing["why"] for thing in done.json["kept"]}
    paths = [name for name in kept if name.startswith("/")]
    assert {NOTES, MINE, "/opt/mlops/dags/e2e.py", "/srv/mlops/data"} <= set(paths)
    assert bare.ssh(f"cat {MINE}") == "# mine"
    accounts = ("user airflow:", "group airflow:", "user mlops-", "group mlops-",
                "sha256 /etc/passwd", "sha256 /etc/group",
                "sha256 /etc/shadow", "sha256 /etc/gshadow")  # fmt: skip
    found = footprint.differences(before, after)
    left = [n for n in found if not is_of(n, paths) and not n.startswith(accounts)]
    assert {n: found[n] for n in left} == NEWER
    assert UPGRADED in kept.items()
    assert uninstall(bare).json["changes"] == []

    bare.apply()
    assert bare.ssh(f"stat -c %U {RESULT}; runuser -u airflow -- cat {RESULT}") == "airflow\n1"
    assert "success|1" in bare.ssh(NEW).splitlines(), told

    bare.ssh(f"echo '# theirs' > {SITE}")
    shown = bare.cli("uninstall")
    assert f"package nginx-common: {SITE} is not ours" in " ".join(shown.stderr.split()), shown.end

    bare.ssh(f"rm {NOTES} {MINE} {SITE} /opt/mlops/dags/e2e.py")
    kept = uninstall(bare, "--no-keep-data").json["kept"]
    assert [(thing["name"], thing["why"]) for thing in kept] == [UPGRADED]
    assert footprint.differences(before, footprint.look(bare)) == NEWER
