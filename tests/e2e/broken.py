"""Everything that a verification can find, and how to break just that on a server.

Faults of one group are there at once: none of them has a part in what another one breaks.
"""

from collections.abc import Mapping
from dataclasses import dataclass

PSQL = "cd /; runuser -u postgres -- psql -XqAt -d airflow -c"
SITE = "/etc/nginx/sites-available/mlops.conf"
BACKUPS = "/var/lib/mlops/backups"
MISSED = "/run/systemd/system/mlops-backup.timer.d"
EXPIRE = (
    "cd /etc/mlops/tls; address=$(cat /var/lib/mlops/server_name)\n"
    "openssl req -x509 -key key.pem -days 1 -out certificate.pem -subj /CN=$address"
    " -addext subjectAltName=IP:$address 2>/dev/null; systemctl reload nginx"
)
RESTART = (
    "systemctl restart 'airflow-api-server@*'\n"
    "until curl --noproxy '*' -sfo /dev/null http://127.0.0.1:8080/execution/health\n"
    "do sleep 1; done"
)
OTHER_KEY = "/etc/systemd/system/airflow-api-server@.service.d"
SHOWN_KEY = "/run/systemd/system/airflow-scheduler@1.service.d"
CLUSTER = "v=$(ls /etc/postgresql); set -- /usr/lib/postgresql/$v/bin /var/lib/postgresql/$v/main\n"
FULL = """\
cat > /usr/local/bin/df <<'END'
#!/bin/sh
[ "$*" = "-Pm /var" ] || exec /bin/df "$@"
/bin/df "$@" | awk 'NR == 2 {$4 = 999} {print}'
END
chmod 755 /usr/local/bin/df"""
SECRETS = ("fernet key", "jwt secret", "session key", "admin password", "verify password")


@dataclass(frozen=True)
class Fault:
    """`breaks` and `mends` are shell scripts; without `mends` an apply must put it right.

    `finds`: role and check -> what the reason says.
    """

    breaks: str
    finds: Mapping[tuple[str, str], str]
    mends: str = ""
    sign: str = ""
    """SQL that is true once Airflow has noticed."""


def site(old: str, new: str) -> str:
    """Change a line of nginx's site."""
    return f"sed -i 's#{old}#{new}#' {SITE}; systemctl reload nginx"


def reachable(path: str) -> dict[tuple[str, str], str]:
    """What is found where the execution API can be reached."""
    check = f"the execution api is not reachable[{path}]"
    return {("proxy", check): f"{path} answers 200 to the network"}


AT_WORK = {
    "a scheduler is stopped": Fault(
        "systemctl stop airflow-scheduler@2",
        {
            ("airflow", "every scheduler has a fresh heartbeat"): "no fresh heartbeat: scheduler-2",
            ("airflow", "as many schedulers run as wanted"): "airflow-scheduler@1.service",
            ("airflow", "a canary run goes through each scheduler"): "only through scheduler-1",
        },
    ),
    "the triggerer is stopped": Fault(
        "systemctl stop airflow-triggerer",
        {
            ("airflow", "services run[airflow-triggerer]"): "airflow-triggerer does not run",
            ("airflow", "other components have a fresh heartbeat[TriggererJob]"): "TriggererJob",
            ("airflow", "airflow says it is healthy"): "'triggerer': 'unhealthy'",
        },
    ),
    "a DAG file is broken": Fault(
        "echo 'from airflow.no_such import dag' > /opt/mlops/dags/broken.py",
        {("airflow", "dags parse without errors"): "airflow.no_such"},
        mends="rm /opt/mlops/dags/broken.py",
        sign="select count(*) = 1 from import_error",
    ),
    "Airflow's role is a superuser": Fault(
        f"{PSQL} 'alter role airflow superuser'",
        {
            ("postgres", "the role has no power"): "is a superuser",
            ("postgres", "nobody but postgres is a superuser"): "superusers: airflow",
        },
    ),
    "nginx lets the execution API through": Fault(
        site("location /execution {", "location /other {"),
        {**reachable("/execution/health"), **reachable("/execution/docs"),
         **reachable("//execution/health")},
    ),
    "nginx sends people elsewhere": Fault(
        site("return 301 ", "return 302 "), {("proxy", "http leads to https"): "HTTP answers 302"},
    ),
    "nginx answers to any name": Fault(
        site("return 421;", "return 200;"),
        {("proxy", "other names are refused"): "a name that is not this server"},
    ),
    "everybody may read what the API can do": Fault(
        site("auth_request /mlops-login;", "auth_request off;"),
        {("proxy", "the reference of the api needs a login"): "answers 200 without a login"},
    ),
    "nginx speaks old TLS": Fault(
        site("ssl_protocols .*", "ssl_protocols TLSv1.1 TLSv1.2;")
        + "\n" + site("ssl_ciphers .*", "ssl_ciphers ALL:@SECLEVEL=0;"),
        {("proxy", "old tls is refused"): "TLS 1.1 is accepted"},
    ),
    "the certificate ends soon": Fault(
        EXPIRE,
        {("proxy", "the certificate lasts and fits"): "the certificate ends within a week"},
    ),
    "secrets can be read by everybody": Fault(
        "chmod 0644 /etc/mlops/secrets/*_key /etc/mlops/secrets/*_secret"
        " /etc/mlops/secrets/*_password",
        {("base", f"secrets are for root only[{name}]"): "can be read by others"
         for name in SECRETS},
    ),
    "Airflow opens a port to the network": Fault(
        "systemd-run -q --unit=leak --uid=airflow"
        " python3 -m http.server 8795 -d /usr/share/doc",
        {("base", "only the proxy listens on the network"): "open to the network: 0.0.0.0:8795"},
        mends="systemctl stop leak",
    ),
    "a unit has failed": Fault(
        "systemd-run -q --unit=broken false; sleep 0.5",
        {("base", "no unit has failed"): "failed: broken.service"},
        mends="systemctl reset-failed broken",
    ),
    "nothing keeps the clock": Fault(
        "systemctl -q disable systemd-timesyncd chrony ntpsec openntpd 2>/dev/null || true",
        {("base", "the clock is kept"): "no time daemon is enabled"},
        mends="systemctl -q enable systemd-timesyncd",
    ),
    "the clock is elsewhere": Fault(
        "ln -sf /usr/share/zoneinfo/Asia/Tokyo /etc/localtime",
        {("base", "the time zone is as wanted"): "the clock has +0900 JST"},
    ),
    "the disk is full": Fault(
        FULL,
        {("base", "the disk has room"): "999 MiB left at /var"},
        mends="rm /usr/local/bin/df",
    ),
    "the journal has no bound": Fault(
        "sed -i /SystemMaxUse/d /etc/systemd/journald.conf.d/mlops.conf",
        {("base", "the journal is bounded"): "SystemMaxUse=200M is not set"},
    ),
    "updates of all kinds come": Fault(
        "echo 'Unattended-Upgrade::Origins-Pattern:: \"origin=Elsewhere\";'"
        " > /etc/apt/apt.conf.d/99elsewhere",
        {("base", "security updates come as wanted"): "origin=Elsewhere"},
        mends="rm /etc/apt/apt.conf.d/99elsewhere",
    ),
    "something was left behind": Fault(
        "install -m 4755 /bin/true /srv/mlops/data/root\n"
        "touch /opt/mlops/bin/more; chmod 0666 /opt/mlops/bin/more\n"
        "printf '[Service]\\nExecStart=/bin/true\\n' > /etc/systemd/system/mlops-more.service",
        {
            ("base", "no file of ours lends its owner"): "/srv/mlops/data/root",
            ("base", "no file of ours is for everybody to write"): "/opt/mlops/bin/more",
            ("base", "no unit is there under our names but ours"): "system/mlops-more.service",
        },
        mends="rm -f /srv/mlops/data/root /opt/mlops/bin/more"
        " /etc/systemd/system/mlops-more.service",
    ),
    "no backups are made": Fault(
        "systemctl stop mlops-backup.timer",
        {
            ("backup", "the timer is as wanted"): "mlops-backup.timer is inactive",
            ("backup", "the next one will come"): "mlops-backup.timer has no next run",
        },
    ),
    "a backup was cut": Fault(
        f"/opt/mlops/bin/mlops backup create >/dev/null; truncate -s -1 {BACKUPS}/*-manual.tar",
        {("backup", "the newest is whole"): "its note tells of"},
        mends=f"rm {BACKUPS}/*-manual.tar*",
    ),
    "backups are open": Fault(
        f"chmod 0755 {BACKUPS}",
        {("backup", "they are for root only"): f"{BACKUPS} is 755"},
    ),
    "a task may change the workflows": Fault(
        "chmod o+w /srv/mlops/workflows/current/dags",
        {("workflows", "tasks cannot change it"): "others may change"},
        mends="chmod o-w /srv/mlops/workflows/current/dags",
    ),
}  # fmt: skip
BEHIND_THE_DOOR = {
    "the API server is away": Fault(
        "systemctl stop 'airflow-api-server@*'",
        {
            ("airflow", "one api server runs and is started at boot"): "running: []",
            ("proxy", "https reaches airflow"): "HTTPS answers 502",
            ("airflow", "a client gets a token through https"): "502",
        },
    ),
    "the DAG processor is stopped": Fault(
        "systemctl stop airflow-dag-processor",
        {
            ("airflow", "services run[airflow-dag-processor]"): "does not run",
            ("airflow", "other components have a fresh heartbeat[DagProcessorJob]"): "no fresh",
        },
    ),
    "a scheduler shows a key": Fault(
        f"mkdir -p {SHOWN_KEY}; printf '[Service]\\nEnvironment=X=%s\\n'"
        f" $(cat /etc/mlops/secrets/jwt_secret) > {SHOWN_KEY}/shown.conf\n"
        "systemctl daemon-reload; systemctl restart airflow-scheduler@1",
        {("airflow", "no secret is in the environment of a scheduler"): "jwt_secret is in the"},
        mends=f"rm -r {SHOWN_KEY}; systemctl daemon-reload; systemctl restart airflow-scheduler@1",
    ),
    "a backup was missed": Fault(
        f"mkdir {MISSED}\n"
        f"printf '[Timer]\\nOnCalendar=\\nOnCalendar=*-07-01\\n' > {MISSED}/t.conf\n"
        "touch -d '2 years ago' /etc/systemd/system/mlops-backup.timer\n"
        "systemctl daemon-reload; systemctl restart mlops-backup.timer",
        {("backup", "the last one that was due was made"): "no backup since it was due"},
        mends=f"rm -r {MISSED}; touch /etc/systemd/system/mlops-backup.timer\n"
        "systemctl daemon-reload; systemctl restart mlops-backup.timer",
    ),
}  # fmt: skip
UNDER_ALL = {
    "PostgreSQL was set up anew": Fault(
        f"{PSQL} \"alter system set listen_addresses = '127.0.0.1'\"\n"
        f"{PSQL} 'alter system set max_connections = 47'\n"
        f"{CLUSTER}systemctl stop 'postgresql@*'; cd /\n"
        "runuser -u postgres -- $1/pg_checksums -D $2 --disable >/dev/null\n"
        "systemctl start postgresql@$v-main",
        {
            ("postgres", "there is no tcp"): "it listens on 127.0.0.1",
            ("postgres", "settings are in force"): "max_connections is 47",
            ("postgres", "pages have checksums"): "pages have no checksums",
        },
        mends=f"{PSQL} 'alter system reset listen_addresses'\n"
        f"{PSQL} 'alter system reset max_connections'\n"
        f"{CLUSTER}systemctl stop 'postgresql@*'; cd /\n"
        "runuser -u postgres -- $1/pg_checksums -D $2 --enable >/dev/null\n"
        "systemctl start postgresql@$v-main",
    ),
    "nginx is stopped": Fault(
        "systemctl stop nginx",
        {("proxy", "nginx runs and its config is right"): "nginx does not run"},
    ),
    "no workflows are in force": Fault(
        "mv /srv/mlops/workflows/current /srv/mlops/workflows/aside",
        {("workflows", "a release is in force"): "/srv/mlops/workflows/current is no link"},
        mends="mv /srv/mlops/workflows/aside /srv/mlops/workflows/current",
    ),
    "Airflow does not know the provider": Fault(
        "cd /opt/mlops/lib/python/current/; for f in mlops_airflow-*; do mv $f aside-$f; done",
        {("models", "airflow knows the provider"): "Airflow's Python does not see mlops_airflow"},
        mends="cd /opt/mlops/lib/python/current/\nfor f in aside-*; do mv $f ${f#aside-}; done",
    ),
}
FAULTS = {
    "things that stand still, and doors that are open": AT_WORK,
    "the API server is away": BEHIND_THE_DOOR,
    "a scheduler hangs": {
        "a scheduler hangs": Fault(
            "systemctl kill -s STOP airflow-scheduler@1",
            {("airflow", "every scheduler has a fresh heartbeat"): "heartbeat: scheduler-1"},
            mends="systemctl kill -s CONT airflow-scheduler@1",
            sign="select bool_or(latest_heartbeat < now() - interval '61 seconds') from job"
            " where job_type = 'SchedulerJob' and state = 'running'",
        ),
        "logs cannot be read": Fault(
            "chmod g-rx,o-rx /var/log/mlops/airflow/dag_id=mlops_canary",
            {("airflow", "its log can be read through the api"): "log"},
            mends="chmod g+rx,o+rx /var/log/mlops/airflow/dag_id=mlops_canary",
        ),
    },
    "the API server takes other tokens": {
        "the API server takes other tokens": Fault(
            f"mkdir -p {OTHER_KEY}; printf '[Service]\\nLoadCredential=jwt_secret:%s\\n'"
            f" /etc/mlops/secrets/session_key > {OTHER_KEY}/other.conf\n"
            f"systemctl daemon-reload; {RESTART}",
            {("airflow", "a canary run goes through each scheduler"): "the canary run ended as"},
            mends=f"rm -r {OTHER_KEY}; systemctl daemon-reload; {RESTART}",
        ),
    },
    "PostgreSQL is another one": UNDER_ALL,
    "PostgreSQL is stopped": {
        "PostgreSQL is stopped": Fault(
            "systemctl stop 'postgresql@*'", {("postgres", "it runs"): "does not run"}
        ),
    },
}
REFUSED = "a plan refuses such a server, and a verification makes one first"
ELSEWHERE = {
    ("base", "the service user cannot log in"): REFUSED,
    ("airflow", "the metadata database is current"): REFUSED,
    ("postgres", "airflow gets in without a password"): REFUSED,
    ("postgres", "others do not"): REFUSED,
    ("base", "the kernel holds the limits of units"): "it only notes what a kernel cannot do",
    ("models", "the models of the project have their environments"): "test_models.py",
    ("models", "environments are as they were built"): "test_models.py",
    ("models", "their interpreters start for tasks"): "test_models.py",
    ("models", "tasks cannot change environments"): "test_models.py",
    ("workflows", "its environments exist"): "test_models.py",
}
"""Checks that nothing breaks here, and why."""
