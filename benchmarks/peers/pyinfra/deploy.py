"""The same server by pyinfra: `pyinfra HOST deploy.py --data given=variables.json -y`."""

import json
from pathlib import Path

from pyinfra import host
from pyinfra.facts.files import Directory, File
from pyinfra.facts.server import Command
from pyinfra.operations import apt, files, postgres, server, systemd
from pyinfra.operations.util import any_changed

given = json.loads(Path(host.data.given).read_text())


def directories(role):
    return [
        files.directory(d["path"], mode=d["mode"], user=d["owner"], group=d["group"])
        for d in given["directories"][role]
    ]


def put(role):
    return [
        files.put(f["source"], f["path"], mode=f["mode"], user=f["owner"], group=f["group"])
        for f in given["files"][role]
    ]


def links(role):
    return [
        files.link(link["path"], link["target"], force=True, force_backup=False)
        for link in given["links"][role]
    ]


def reload_units(changed):
    systemd.daemon_reload(name="systemd reads the units", _if=any_changed(*changed))


def services(role, changed):
    for service in given["services"][role]:
        unit = service["path"]
        if unit.endswith(".service"):
            systemd.service(unit, restarted=True, name=f"Restart {unit}", _if=any_changed(*changed))
        if unit.endswith(".target"):  # pyinfra takes none for running
            systemd.service(unit, running=None, enabled=True)
            systemd.service(
                unit, running=None, command="start", name=f"Start {unit}", _if=any_changed(*changed)
            )
        else:
            systemd.service(unit, running=True, enabled=service["enabled"] or None)


def once(path, *commands):
    """Commands that make a path."""
    if not host.get_fact(File, path):
        server.shell(name=f"Make {path}", commands=list(commands))


def answer(command):
    """What a command that only asks says; nothing where it is not there yet."""
    return host.get_fact(Command, f"({command}) 2>/dev/null || true") or ""


# --- base ---------------------------------------------------------------------------------

directories("packages")
put("packages")
apt.packages(given["packages"], update=True, cache_time=86400, no_recommends=True)
for account in given["accounts"]:
    server.group(account["name"], system=True)
    server.user(
        account["name"],
        home=account["home"],
        shell="/usr/sbin/nologin",
        group=account["name"],
        system=True,
        ensure_home=False,
    )
changed = [*directories("base"), *put("base")]
for secret in given["secrets"]:
    once(secret["path"], f"umask 077; ({secret['command']}) > {secret['path']}")
for tree in given["trees"]:
    if not host.get_fact(Directory, tree["path"]):
        files.put(tree["archive"], f"{tree['path']}.tar")
        server.shell(
            name=f"Unpack {tree['path']}",
            commands=[
                f"mkdir -p {tree['path']} && tar -C {tree['path']} --no-same-owner -xf"
                f" {tree['path']}.tar && rm {tree['path']}.tar"
            ],
        )
tools = given["tools"]
if not host.get_fact(File, f"{tools['path']}/.ready"):
    files.put(tools["lock"], f"{tools['path']}/requirements.txt")
    server.shell(
        name="uv and other tools",
        commands=[
            f". {given['network']}; python3 $(echo /usr/share/python-wheels/pip-*.whl)/pip install"
            " -q --require-hashes --no-deps --root-user-action=ignore --only-binary :all:"
            f" --target {tools['path']} -r {tools['path']}/requirements.txt"
            f" && printf %s {tools['digest']} > {tools['path']}/.ready"
        ],
    )
changed += links("base")
reload_units(changed)
services("base", changed)

# --- PostgreSQL ---------------------------------------------------------------------------

once(
    f"/etc/postgresql/{given['postgres_version']}/main/postgresql.conf",
    f"pg_createcluster {given['postgres_version']} main --locale C.UTF-8 -e UTF8 --"
    " --data-checksums",
)
services("postgres", put("postgres"))
postgres.role("airflow", inherit=True, _su_user="postgres")
for name in given["databases"]:
    made = postgres.database(name, owner="airflow", encoding="UTF8", _su_user="postgres")
    postgres.sql(
        f"revoke connect on database {name} from public",
        _su_user="postgres",
        _if=made.did_change,
    )

# --- Airflow ------------------------------------------------------------------------------

venv, uv = given["airflow"], given["uv"]
if not host.get_fact(File, f"{venv['path']}/.ready"):
    server.shell(
        name="Virtual environment",
        commands=[f"{uv} venv -q --no-config --no-cache --python /usr/bin/python3 {venv['path']}"],
    )
    files.put(venv["lock"], f"{venv['path']}/requirements.txt")
    server.shell(
        name="Airflow",
        commands=[
            f". {given['network']}; {uv} pip install -q --python {venv['path']}/bin/python"
            " --require-hashes --no-deps --compile-bytecode --link-mode copy --only-binary :all:"
            f" -r {venv['path']}/requirements.txt"
            f" && printf %s {venv['digest']} > {venv['path']}/.ready"
        ],
    )
changed = [*directories("airflow"), *put("airflow"), *links("airflow")]
reload_units(changed)
if "yes" not in answer("airflow db check-migrations -t 0 >/dev/null && echo yes"):
    server.shell(name="Migrate the database", commands=["airflow db migrate", "airflow sync-perm"])
users = answer("airflow users list -o plain")
for user in given["users"]:
    if user["username"] not in users:
        server.shell(
            name=f"User {user['username']}",
            commands=[
                f"airflow users create -u {user['username']} -f {user['username']}"
                f" -l {user['username']} -r {user['role']} -e {user['email']}"
                f' -p "$(cat /etc/mlops/secrets/{user["credential"]})"'
            ],
        )
pools = answer("airflow pools list -o plain")
for name, slots in given["pools"].items():
    if not any(line.split()[:2] == [name, str(slots)] for line in pools.splitlines()):
        server.shell(
            name=f"Pool {name}", commands=[f"airflow pools set {name} {slots} 'made by pyinfra'"]
        )
services("airflow", changed)

# --- nginx --------------------------------------------------------------------------------

certificate, name = given["certificate"], given["server_name"]
once(
    certificate["path"],
    "umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 825"
    f" -subj /CN={name} -addext subjectAltName=IP:{name},DNS:localhost,IP:127.0.0.1"
    f" -keyout {certificate['key']} -out {certificate['path']}",
)
files.file(certificate["path"], mode="644")
changed = [*directories("proxy"), *put("proxy"), *links("proxy")]
reload_units(changed)
services("proxy", changed)

if not answer(f"curl -fsSk -o /dev/null {given['url']}/api/v2/version && echo yes"):
    server.shell(
        name="Wait for Airflow",
        commands=[
            "for _ in $(seq 180); do"
            f" curl -fsSk -o /dev/null {given['url']}/api/v2/version && exit 0; sleep 1;"
            " done; exit 1"
        ],
    )
