"""What must be known of the server before anything can be wanted of it: one round trip."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mlops_install.answer import understood
from mlops_install.errors import HostError
from mlops_install.host import Host
from mlops_install.session import Result
from mlops_install.sql import SOCKET, sql

SCRIPT = r"""
# Each process costs a millisecond or two of every run, so bash does itself what it can.
say() { printf '%s=%s\n' "$1" "$2"; }
file() { text=; [ ! -r "$2" ] || read -rd '' text < "$2"; say "$1" "${text%$'\n'}"; }
. /etc/os-release
say os_id "${ID-}"; say os_version "${VERSION_ID-}"; say os_codename "${VERSION_CODENAME-}"
say machine "$HOSTTYPE"; file hostname /proc/sys/kernel/hostname; say cpus "$(nproc)"
while read -r key size _; do [ "$key" != MemTotal: ] || say memory_mb $((size / 1024))
done < /proc/meminfo
limit=; [ ! -r /sys/fs/cgroup/memory.max ] || read -r limit < /sys/fs/cgroup/memory.max
case $limit in ''|max) ;; *) say limit_mb $((limit / 1048576)) ;; esac
while read -r folder free; do case $folder in
  /opt) say disk_mb "$free" ;; /var) say var_mb "$free" ;; esac
done < <(df -m --output=file,avail /opt /var 2>/dev/null)
file init /proc/1/comm
file server_name /var/lib/mlops/server_name
file installed /var/lib/mlops/installed
file last_run /var/lib/mlops/last_run
pins=/opt/mlops/airflow/current/requirements.txt
say airflow "$(sed -n 's/^apache-airflow==\([^ ;\]*\).*/\1/p' $pins 2>/dev/null)"
[ ! -e /var/lib/mlops/upgrade/state.json ] || say upgrade open
daemon=
for name in chrony ntpsec openntpd; do
  [ ! -e /var/lib/dpkg/info/$name.list ] ||
    case $(dpkg-query -W -f '${db:Status-Status}' $name) in installed) daemon=$name ;; esac
done
say time_daemon $daemon
ports=$(ss -Hltnp 2>/dev/null)
while read -r _ _ _ address _ users; do
  users=${users#*'(("'}; [ -z "$users" ] || say "port_${address##*:}" "${users%%'"'*}"
done <<< "$ports"
while IFS=: read -r name _ _ _ _ _ shell; do
  [ "$name" != airflow ] || say airflow_shell "$shell"
done < /etc/passwd
while read -r _ place _ options _; do
  case "$place $options" in "/proc "*hidepid=*)
    options=${options#*hidepid=}; say hidepid "${options%%,*}" ;; esac
done < /proc/mounts
conf=/etc/nginx/nginx.conf
if [ -e $conf ]; then
  sites=0
  while read -r line; do
    line=${line%%#*}
    case $line in *include*sites-enabled/*) sites=1 ;; esac
    [[ ! $line =~ ^user[[:space:]]+([^\;[:space:]]+) ]] || say nginx_user "${BASH_REMATCH[1]}"
  done < $conf
  say nginx_sites $sites
elif grep -rqsE '^[^#]*nginx\.org/' /etc/apt/sources.list /etc/apt/sources.list.d; then
  say nginx_sites 0
fi
# A kernel without IPv6 has no such socket, or none that can be bound.
case $ports in
  *' [::]:'*) say ipv6 yes ;;
  *) say ipv6 "$(perl -MSocket -e 'print socket(S, AF_INET6, SOCK_STREAM, 0) &&
    bind(S, pack_sockaddr_in6(0, IN6ADDR_ANY)) ? "yes" : "no"' 2>/dev/null)" ;;
esac
noted=$(grep -sE '"kind": "(cluster|package)", "name": "([0-9]+/main|nginx)"' \
  /var/lib/mlops/journal.jsonl)
site=/etc/nginx/sites-enabled/default
stock() {
  case $noted in *'{"kind": "package", "name": "nginx",'*) ;; *) return 1 ;; esac
  sum=$(md5sum < $site)
  dpkg-query -W -f '${Conffiles}' nginx-common 2>/dev/null |
    grep -qF " /etc/nginx/sites-available/default ${sum%% *}"
}
if [ -e $site ]; then
  if [ $site -ef /dev/null ]; then say default_site masked
  elif stock; then say default_site stock
  else say default_site "theirs $(sed 's/#.*//' $site | tr -s ' \t\n' ' ' | head -c 20000)"; fi
fi
for data in /var/lib/postgresql/*/main/global/pg_control; do
  name=${data#/var/lib/postgresql/}; name=${name%/global/pg_control}
  case $noted in
    *"\"name\": \"$name\", \"was\": \"there\""*) say "theirs_$name" yes ;;
    *"{\"kind\": \"cluster\", \"name\": \"$name\","*) ;;
    *) [ ! -e "$data" ] || say "theirs_$name" yes ;;
  esac
done
for folder in /etc/postgresql/*/*; do
  [ -e "$folder/postgresql.conf" ] || continue
  name=${folder#/etc/postgresql/}
  lines=$(grep -hsE '^ *(port|unix_socket_directories|data_directory|include_dir)[ =]' \
    "$folder/postgresql.conf" "$folder"/conf.d/*.conf \
    "/var/lib/postgresql/$name/postgresql.auto.conf")
  say "cluster_$name" "${lines//$'\n'/;};"
done
for bin in /usr/lib/postgresql/*/bin; do [ ! -x "$bin/psql" ] || PATH=$bin:$PATH; done
if [ -S @SOCKET@ ] && command -v psql >/dev/null; then
  sql=$(@SERVER@ 2>&1)
  case $sql in
    *database=*) echo "$sql" ;;
    *) say postgres_error "${sql%%$'\n'*}" ;;
  esac
  # What is in the database may say anything, and is let say no more than this.
  case $sql in *database=1*'
role=1'*) [ ~airflow = '~airflow' ] || while IFS== read -r name value; do case $name in
    alembic_version|alembic_version_fab) say $name "${value//[^A-Za-z0-9_]/?}" ;; esac
  done < <(@SCHEMA@ 2>/dev/null) ;; esac
fi
"""
SERVER = (
    "select 'database=' || count(*) from pg_database where datname = 'airflow'",
    r"select 'hba_' || line_number || '='"
    r" || regexp_replace(array_to_string(database, ','), '\s', '?', 'g') || ' '"
    r" || regexp_replace(array_to_string(user_name, ','), '\s', '?', 'g') || ' ' || auth_method"
    r" from pg_hba_file_rules where type = 'local' and error is null",
    r"select 'role=1' || E'\ndatabase_mark='"
    r" || regexp_replace(coalesce(shobj_description(oid, 'pg_authid'), ''), '[\n\r]', ' ', 'g')"
    r" from pg_roles where rolname = 'airflow'",
    r"select 'workflows_owner=' || regexp_replace(pg_get_userbyid(datdba), '[\n\r]', '?', 'g')"
    r" from pg_database where datname = 'workflows'",
    r"select 'task_role_mark=' || regexp_replace(coalesce(shobj_description(oid, 'pg_authid'),"
    r" 'none'), '[\n\r]', ' ', 'g') from pg_roles where rolname = 'mlops-task'",
)
SCHEMA = (
    "select 'alembic_version=' || version_num from alembic_version",
    "select 'alembic_version_fab=' || version_num from alembic_version_fab",
)


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
    workflows_owner: str
    """Whose the database `workflows` is; empty without one."""
    task_role_mark: str
    """The comment of the role `mlops-task`; empty without one."""
    schema: Mapping[str, str]
    """Revisions of Airflow's database by table; empty without one."""
    airflow: str = ""
    """The version in force."""
    upgrade: bool = False
    """Whether an upgrade is open: somebody is at it, or the server goes back."""
    ipv6: bool = True
    hidepid: str = ""
    """How /proc hides processes of others; empty when it does not."""
    nginx_sites: str = ""
    """How often nginx.conf names the sites' folder, "0" also when nginx.org's is to come; empty
    when there is no nginx."""
    nginx_user: str = ""
    airflow_shell: str = ""
    """The shell of a user `airflow`; empty where there is none."""
    default_site: str = ""
    """nginx's site `default`: masked (by us), stock (it came with our nginx), or theirs and its
    text; empty where there is none."""
    theirs: frozenset[str] = frozenset()
    """PostgreSQL's clusters that were there before us."""
    clusters: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """PostgreSQL's clusters, as 15/main: the settings that say where it is found."""
    postgres_error: str = ""
    """Why `postgres` may not log in over the socket; empty when it may, or nobody is there."""
    local_rules: tuple[tuple[str, str, str], ...] = ()
    """pg_hba's rules of the socket in order: databases, users, method."""
    answers: Mapping[str, str] = field(default_factory=dict)
    """What the server said to the questions of `gather`."""

    @property
    def postgres_version(self) -> str:
        """The PostgreSQL that this Debian or Ubuntu ships."""
        return {"12": "15", "13": "17", "24.04": "16"}.get(self.os_version, "15")

    @property
    def cluster(self) -> str:
        """The cluster for Airflow."""
        return f"{self.postgres_version}/main"


def script(questions: Mapping[str, str] | None = None) -> str:
    """The script that asks; `questions`: name -> shell text that prints one line."""
    more = "".join(f'say asked_{name} "$({text})"\n' for name, text in (questions or {}).items())
    told = SCRIPT.replace("@SOCKET@", SOCKET).replace("@SERVER@", f"cd /; {sql(*SERVER)}")
    told = told.replace("@SCHEMA@", f"cd /; {sql(*SCHEMA, database='airflow')}")
    return f"{told}{more}true\n"


def gather(
    host: Host,
    ask_password: Callable[[str], str],
    questions: Mapping[str, str] | None = None,
    said: Result | None = None,
) -> Facts:
    """Ask the server; the first thing ever run on it. Raises `HostError` when it cannot answer.

    The answers to the questions are in `Facts.answers`. `said` is what it answered already, where
    it was asked without a password.
    """
    result = host.first(script(questions), ask_password, said)
    if "init=" not in result.stdout:
        raise HostError(
            "the server did not say which system it is",
            detail=result.stderr,
            fix=f"try `ssh {host.address} true`: it must end with exit code 0; log in as another"
            " user, or set a new password, where that is what it asks for",
        )
    with understood("what it is", result.stdout):
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
        ports={int(k): v for k, v in _of(found, "port_").items() if v},
        database=found.get("database", "0") != "0" or "role" in found,
        database_mark=found.get("database_mark", ""),
        workflows_owner=found.get("workflows_owner", ""),
        task_role_mark=found.get("task_role_mark", ""),
        airflow=found.get("airflow", ""),
        upgrade="upgrade" in found,
        schema={key: value for key, value in found.items() if key.startswith("alembic_version")},
        hidepid=found.get("hidepid", ""),
        nginx_sites=found.get("nginx_sites", ""),
        nginx_user=found.get("nginx_user", ""),
        airflow_shell=found.get("airflow_shell", ""),
        ipv6=found.get("ipv6") != "no",
        default_site=found.get("default_site", ""),
        theirs=frozenset(_of(found, "theirs_")),
        clusters={k: _settings(v) for k, v in _of(found, "cluster_").items() if "/" in k},
        postgres_error=found.get("postgres_error", ""),
        local_rules=_rules(_of(found, "hba_")),
        answers=_of(found, "asked_"),
    )


def _of(found: Mapping[str, str], prefix: str) -> dict[str, str]:
    return {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}


def _settings(lines: str) -> dict[str, str]:
    """Name -> value of settings in postgresql.conf; the last one counts."""
    found = re.findall(r"(?:^|;) *(\w+)(?: *= *| +)('(?:[^']|'')*'|[^ ;#\t]*)", lines)
    return {name: value.strip("'") for name, value in found}


def _rules(lines: Mapping[str, str]) -> tuple[tuple[str, str, str], ...]:
    rules = (lines[number].split(" ") for number in sorted(lines, key=int))
    return tuple((rule[0], rule[1], rule[2]) for rule in rules if len(rule) == 3)
