"""The operating system: packages, trust, time, users, folders, journal."""

from collections.abc import Iterator
from urllib.parse import quote, urlsplit

from mlops_install import __version__
from mlops_install.context import Context
from mlops_install.digest import short
from mlops_install.render import render
from mlops_install.resource import AnyResource
from mlops_install.resources.certificates import Authorities
from mlops_install.resources.file import Directory, File, SoundLink
from mlops_install.resources.locale import Locale
from mlops_install.resources.packages import Packages
from mlops_install.resources.secret import Secret
from mlops_install.resources.systemd import NOTE, Services, UnitFile
from mlops_install.resources.user import SystemUser
from pydantic import SecretStr

NETWORK = "/etc/mlops/secrets/network.env"
SOURCES = "/etc/mlops/apt.list"
TASK_USER = "mlops-task"
"""Who tasks run as: its group reads and writes their data and logs, and nothing else."""
APT_CONF = "/etc/apt/apt.conf.d/80mlops"
UPDATES = "/etc/apt/apt.conf.d/52mlops-updates"
"""Behind 50unattended-upgrades, the package's own."""
MIRRORED = "/etc/mlops/apt-updates.conf"
UPDATER = "mlops-updates"
ORIGINS = {
    "debian": "origin=Debian,codename=${distro_codename}-security,label=Debian-Security",
    "ubuntu": "origin=Ubuntu,archive=${distro_codename}-security,label=Ubuntu",
}

RANDOM = {
    "fernet_key": "openssl rand -base64 32 | tr '+/' '-_'",
    "jwt_secret": "openssl rand -base64 64 | tr -d '\\n'",
    "session_key": "openssl rand -base64 48 | tr -d '\\n'",
    "admin_password": "openssl rand -hex 12",
    "verify_password": "openssl rand -hex 24",
}


FIRST = ("ca-certificates", "openssl", "python3", "python3-pip-whl")
"""Packages that the Python environments and the secrets need: few, and in their own apt call."""


def packages(context: Context) -> tuple[str, ...]:
    """Debian packages of this role; a time daemon that is there already is kept."""
    time = () if context.facts.time_daemon else ("systemd-timesyncd",)
    locales = () if context.config.base.locale.startswith("C.") else ("locales",)
    updates = ("unattended-upgrades",) if context.config.base.security_updates else ()
    old = ("tzdata-legacy",) if context.facts.answers.get("zone") == "no" else ()
    # Without logrotate, of which nginx does not even ask, its logs and PostgreSQL's grow for ever.
    common = ("curl", "git", "iproute2", "logrotate", "procps", "tzdata")
    return (*FIRST, *common, *time, *locales, *updates, *old)


def system(context: Context) -> Iterator[AnyResource]:
    """What everything else stands on."""
    base = context.config.base
    for path, mode in (("/etc/mlops", 0o755), ("/etc/mlops/secrets", 0o700), ("/opt/mlops", 0o755),
                       ("/opt/mlops/bin", 0o755), ("/opt/mlops/lib", 0o755)):  # fmt: skip
        yield Directory(path, mode)
    for path in ("/var/lib/mlops", "/var/log/mlops"):
        yield Directory(path, whole=True)
    yield File("/var/lib/mlops/installed", f"mlops-install {__version__}\n")
    yield File("/var/lib/mlops/server_name", f"{context.first_name}\n")
    yield File(NETWORK, network(context), 0o600, secret=True)
    yield File(APT_CONF, _apt_conf(context), 0o600, secret=True, present=bool(base.http_proxy))
    yield File(SOURCES, _sources(context), present=bool(base.apt_mirror))
    yield File("/etc/postgresql-common/createcluster.d/mlops.conf", "create_main_cluster = false\n")
    yield _packages(context, FIRST, "first packages")
    yield Authorities(context.given.ca_bundle or "")
    yield SystemUser("airflow", "/var/lib/mlops/airflow")
    yield SystemUser(TASK_USER, "/var/lib/mlops/tasks")
    for name, command in RANDOM.items():
        yield Secret(f"/etc/mlops/secrets/{name}", command)


def installed(context: Context, names: tuple[str, ...]) -> Iterator[AnyResource]:
    """The packages of all roles, beside what needs only the first ones."""
    if context.config.base.security_updates:  # the package would make it, and leave it behind
        yield Directory("/var/log/unattended-upgrades", 0o750, "root", "adm", whole=True)
    yield _packages(context, tuple(name for name in names if name not in FIRST), "packages")


def _packages(context: Context, names: tuple[str, ...], title: str) -> Packages:
    return Packages(names, _apt_options(context), context.config.base.apt_lock_timeout, title)


def habits(context: Context) -> Iterator[AnyResource]:
    """Time, language, journal, cleaning up."""
    base = context.config.base
    yield SoundLink("/etc/localtime", f"/usr/share/zoneinfo/{base.timezone}")
    yield File("/etc/timezone", base.timezone + "\n")
    yield Locale(base.locale)
    # Debian 13 and Ubuntu make the former a link to the latter at every boot.
    settings = "/etc/default/locale" if context.facts.os_version == "12" else "/etc/locale.conf"
    yield File(settings, f"LANG={base.locale}\n")
    # With Storage=persistent journald would make it; and where it is, the journal is kept on disk.
    yield Directory("/var/log/journal", 0o2755, "root", "systemd-journal", whole=True)
    journald = render("base/journald.conf", journal_max=base.journal_max)
    yield File("/etc/systemd/journald.conf.d/mlops.conf", journald)
    inputs = short(journald)
    yield UnitFile(
        "/etc/systemd/system/systemd-journald.service.d/mlops.conf",
        render("base/inputs.conf", inputs=inputs, note=NOTE),
    )
    yield Services("of the system", {"systemd-journald.service": inputs})
    tmpfiles = render("base/tmpfiles.conf", log_days=context.config.airflow.log_days,
                      xcom_days=context.config.airflow.xcom_days)  # fmt: skip
    yield File("/etc/tmpfiles.d/mlops.conf", tmpfiles)
    yield from _updates(context)


def _updates(context: Context) -> Iterator[AnyResource]:
    """Security updates by themselves, by a timer of our own: apt's do more, or are masked."""
    base, origin = context.config.base, ORIGINS[context.facts.os_id]
    wanted, mirror = base.security_updates, bool(base.apt_mirror)
    yield File(UPDATES, render("base/52mlops-updates", origin=origin), present=wanted)
    sources = render("base/apt-updates.conf", sources=SOURCES)
    yield File(MIRRORED, sources, present=wanted and mirror)
    service = render(
        f"base/{UPDATER}.service",
        config=MIRRORED if mirror else "",
        lock_timeout=base.apt_lock_timeout,
    )
    yield UnitFile(f"/etc/systemd/system/{UPDATER}.service", service)
    timer = f"{UPDATER}.timer"
    yield UnitFile(f"/etc/systemd/system/{timer}", render(f"base/{timer}"))
    yield Services("of updates", {timer: ""} if wanted else {}, timer)


def network(context: Context) -> str:
    """Shell text that tells downloads how to reach the world."""
    base, bundle = context.config.base, "/etc/ssl/certs/ca-certificates.crt"
    variables = {"SSL_CERT_FILE": bundle, "PIP_CERT": bundle, "UV_CACHE_DIR": "/var/cache/mlops/uv",
                 "UV_HTTP_TIMEOUT": "120", "PIP_DEFAULT_TIMEOUT": "120"}  # fmt: skip
    if base.http_proxy:
        proxy = with_login(base.http_proxy, base.http_proxy_user, context.given.proxy_password)
        variables |= {"http_proxy": proxy, "https_proxy": proxy, "no_proxy": _no_proxy(context)}
    if base.python_index:
        index = with_login(base.python_index, base.python_index_user, context.given.index_password)
        variables |= {"UV_DEFAULT_INDEX": index, "PIP_INDEX_URL": index}
    return render("base/network.env", variables=variables)


def _no_proxy(context: Context) -> str:
    return ",".join(["localhost", "127.0.0.1", *context.config.base.no_proxy])


def with_login(url: str, user: str | None, password: SecretStr | None) -> str:
    """The address with user and password in it."""
    if not user:
        return url
    secret = f":{quote(password.get_secret_value(), safe='')}" if password else ""
    parts = urlsplit(url)
    return parts._replace(netloc=f"{quote(user, safe='')}{secret}@{parts.netloc}").geturl()


def _apt_conf(context: Context) -> str:
    base = context.config.base
    proxy = base.http_proxy or ""
    login = with_login(proxy, base.http_proxy_user, context.given.proxy_password)
    return render("base/80mlops", proxy=login, direct=_direct(context))


def _direct(context: Context) -> list[str]:
    """Hosts that apt reaches without the proxy: it takes whole names only, and no domains."""
    base = context.config.base
    domains = [name.lstrip("*").lstrip(".") for name in base.no_proxy]
    mirrors = [
        urlsplit(url).hostname or "" for url in (base.apt_mirror, base.apt_security_mirror) if url
    ]
    inside = [m for m in mirrors if any(m.endswith(f".{domain}") for domain in domains)]
    return list(dict.fromkeys([*domains, *inside]))


def _sources(context: Context) -> str:
    base, codename = context.config.base, context.facts.os_codename
    return render(
        "base/apt.list",
        mirror=base.apt_mirror,
        security_mirror=base.apt_security_mirror,
        codename=codename,
        # Ubuntu has pip's wheel in universe.
        components="main universe" if context.facts.os_id == "ubuntu" else "main",
    )


def _apt_options(context: Context) -> tuple[str, ...]:
    if not context.config.base.apt_mirror:
        return ()
    return (f"Dir::Etc::SourceList={SOURCES}", "Dir::Etc::SourceParts=/dev/null")
