"""What must be known of the server before anything can be wanted of it: one round trip."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlops_install.errors import HostError
from mlops_install.host import Host

SCRIPT = r"""
say() { printf '%s=%s\n' "$1" "$2"; }
. /etc/os-release
say os_id "${ID-}"; say os_version "${VERSION_ID-}"; say os_codename "${VERSION_CODENAME-}"
say machine "$(uname -m)"; say hostname "$(uname -n)"
say cpus "$(nproc)"
say memory_mb "$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)"
limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null); case $limit in ''|max) ;; *)
  say limit_mb $((limit / 1048576)) ;; esac
say disk_mb "$(df -Pm /opt 2>/dev/null | awk 'NR == 2 {print $4}')"
say var_mb "$(df -Pm /var | awk 'NR == 2 {print $4}')"
say init "$(cat /proc/1/comm)"
say server_name "$(cat /var/lib/mlops/server_name 2>/dev/null)"
say installed "$(cat /var/lib/mlops/installed 2>/dev/null)"
say airflow "$(sed -n 's/^apache-airflow==\([^ ;\]*\).*/\1/p' \
  /opt/mlops/airflow/current/requirements.txt 2>/dev/null)"
[ ! -e /var/lib/mlops/upgrade/state.json ] || say upgrade open
say time_daemon "$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' chrony ntpsec openntpd \
  2>/dev/null | awk '$1 == "installed" {print $2; exit}')"
say last_run "$(cat /var/lib/mlops/last_run 2>/dev/null)"
if command -v ss >/dev/null; then
  ss -Hltnp |
    sed -n 's/^LISTEN *[0-9]* *[0-9]* *[^ ]*:\([0-9]*\) .*users:(("\([^"]*\)".*/port_\1=\2/p'
fi
psql=$(ls /usr/lib/postgresql/*/bin/psql 2>/dev/null | tail -n 1)
psql=${psql:-$(command -v psql)}
if [ -n "$psql" ] && [ -S /run/postgresql/.s.PGSQL.5432 ]; then
  runuser -u postgres -- "$psql" -XAtq -F '' -c "select 'database=' || count(*) from pg_database
      where datname = 'airflow'" -c "select 'role=1', E'\ndatabase_mark='
      || regexp_replace(coalesce(shobj_description(oid, 'pg_authid'), ''), '[\n\r]', ' ', 'g')
      from pg_roles
      where rolname = 'airflow'" -c '\connect airflow' \
    -c "select 'alembic_version=' || regexp_replace(version_num, '\W', '?', 'g')
      from alembic_version" -c "select 'alembic_version_fab='
      || regexp_replace(version_num, '\W', '?', 'g') from alembic_version_fab" 2>/dev/null
fi
true
"""


@dataclass(frozen=True)
class Facts:
    """The server as it is. Sizes in MiB; ports: number -> program that listens."""

    os_id: str
    os_version: str
    os_codename: str
    machine: str
    hostname: str
    cpus: int
    memory_mb: int
    disk_mb: int
    var_mb: int
    init: str
    server_name: str
    installed: str
    last_run: str
    time_daemon: str
    ports: dict[int, str]
    database: bool
    database_mark: str
    schema: Mapping[str, str]
    """Revisions of Airflow's database by table; empty without one."""
    airflow: str = ""
    """The version in force."""
    upgrade: bool = False
    """Whether an upgrade is open: somebody is at it, or the server goes back."""

    @property
    def postgres_version(self) -> str:
        """The PostgreSQL that this Debian or Ubuntu ships."""
        return {"12": "15", "13": "17", "24.04": "16"}.get(self.os_version, "15")


def gather(host: Host, ask_password: Callable[[str], str]) -> Facts:
    """Ask the server; the first thing ever run on it. Raises `HostError` when it cannot answer."""
    result = host.first(SCRIPT, ask_password)
    if "init=" not in result.stdout:
        raise HostError("the server cannot tell what it is", detail=result.stderr)
    return parse(result.stdout)


def parse(text: str) -> Facts:
    """The facts in what the script printed."""
    found = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    memory = int(found["memory_mb"])
    return Facts(
        os_id=found["os_id"],
        os_version=found["os_version"],
        os_codename=found["os_codename"],
        machine=found["machine"],
        hostname=found["hostname"],
        cpus=int(found["cpus"]),
        memory_mb=min(memory, int(found.get("limit_mb", memory))),
        disk_mb=int(found["disk_mb"] or found["var_mb"]),
        var_mb=int(found["var_mb"]),
        init=found["init"],
        server_name=found["server_name"],
        installed=found["installed"],
        last_run=found["last_run"],
        time_daemon=found["time_daemon"],
        ports={
            int(key.removeprefix("port_")): value
            for key, value in found.items()
            if key.startswith("port_") and value
        },
        database=found.get("database", "0") != "0" or "role" in found,
        database_mark=found.get("database_mark", ""),
        airflow=found.get("airflow", ""),
        upgrade="upgrade" in found,
        schema={key: value for key, value in found.items() if key.startswith("alembic_version")},
    )
