"""nginx: HTTPS in front of Airflow, the only thing beside sshd that the network sees."""

from collections.abc import Iterator

from mlops_install import nginxsite
from mlops_install.context import Context
from mlops_install.digest import short
from mlops_install.render import render
from mlops_install.resource import AnyResource
from mlops_install.resources.apiserver import ENABLED_B, SLOTS
from mlops_install.resources.certificates import GivenPair, SelfSigned
from mlops_install.resources.file import Directory, File, Link
from mlops_install.resources.systemd import NOTE, Services, UnitFile

CERTIFICATE, KEY = "/etc/mlops/tls/certificate.pem", "/etc/mlops/tls/key.pem"
SITE = "/etc/nginx/sites-available/mlops.conf"
HARDENING = "/etc/systemd/system/nginx.service.d/mlops-hardening.conf"


def packages(_: Context) -> tuple[str, ...]:
    """Debian packages of this role."""
    return ("nginx",)


def walls(_: Context) -> Iterator[AnyResource]:
    """Of nginx itself; before its package, which starts it."""
    yield UnitFile(HARDENING, render("proxy/nginx-hardening.conf"))


def certificate(context: Context) -> Iterator[AnyResource]:
    """The user's certificate, or a self-signed one."""
    yield Directory("/etc/mlops/tls")
    given = context.given
    if given.certificate and given.certificate_key:
        key = File(KEY, given.certificate_key.get_secret_value(), 0o600, secret=True)
        yield GivenPair(File(CERTIFICATE, given.certificate), key)
    else:
        yield SelfSigned(CERTIFICATE, KEY, context.server_name, "nginx.service")


def site(context: Context) -> Iterator[AnyResource]:
    """nginx serves Airflow, and nothing else."""
    yield File(SITE, _site(context, inputs(context)))
    yield Link("/etc/nginx/sites-enabled/mlops.conf", SITE)
    if _default_is_in_the_way(context):
        yield Link("/etc/nginx/sites-enabled/default", "/dev/null")
    yield UnitFile(
        "/etc/systemd/system/nginx.service.d/mlops.conf",
        render(
            "proxy/nginx-inputs.conf",
            inputs=inputs(context),
            note=NOTE,
            certificate=CERTIFICATE,
            https_port=context.config.proxy.https_port,
        ),
    )
    yield Services("of the proxy", {"nginx.service": inputs(context)}, reload=True)


def _default_is_in_the_way(context: Context) -> bool:
    """Debian's own page is masked; a site of somebody's only when it listens where ours does.

    Masked, not removed: on a bare server it comes with the package after the plan is made.
    """
    whose, _, text = context.facts.default_site.partition(" ")
    wanted = context.config.proxy
    return whose != "theirs" or bool(nginxsite.ports(text) & {wanted.http_port, wanted.https_port})


def inputs(context: Context) -> str:
    """What nginx is started from: the site and the user's certificate."""
    key = context.given.certificate_key
    secret = key.get_secret_value() if key else ""
    return short(_site(context, ""), context.given.certificate or "", secret)


def _site(context: Context, inputs: str) -> str:
    return render(
        "proxy/mlops.conf",
        base_url=context.base_url,
        https_port=context.config.proxy.https_port,
        http_port=context.config.proxy.http_port,
        certificate=CERTIFICATE,
        certificate_key=KEY,
        services="/etc/mlops/services",
        slots=SLOTS,
        enabled_b=ENABLED_B,
        addresses=("", "[::]:") if context.facts.ipv6 else ("",),
        names=_names(context),
        inputs=inputs,
    )


def _names(context: Context) -> list[str]:
    """By what name or address browsers may call the server, that of the URL first."""
    wanted = dict.fromkeys((context.server_name, *context.config.proxy.further_names))
    return [f"[{name}]" if ":" in name else name for name in wanted]
