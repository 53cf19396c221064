"""Settings of nginx."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from mlops_install import names
from mlops_install.section import Judged, LocalPath, Section, Wrong, each_once

HostName = Annotated[str, Judged("a host name or address", names.problem)]
HostNames = Annotated[list[HostName], AfterValidator(each_once)]
# Those of https://fetch.spec.whatwg.org/#port-blocking, which browsers keep to.
BLOCKED = frozenset({
    *(1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101),
    *(102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389),
    *(427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636),
    *(989, 990, 993, 995, 1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566),
    *(6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080),
})  # fmt: skip
INNER_PORTS = (8080, 8793, 8794)
"""Of nginx, on 127.0.0.1."""
HEALTH_PORTS = range(8974, 8982)
"""One per scheduler, on 127.0.0.1."""
LOOPBACK_PORTS = frozenset({*INNER_PORTS, *HEALTH_PORTS})


class Proxy(Section):
    """nginx in front of Airflow: HTTPS."""

    server_name: HostName | None = Field(
        None,
        description="Name or address in the URL. Default: the one by which the server was reached"
        " the first time.",
        examples=["ml.example.org"],
    )
    further_names: HostNames = Field(
        [],
        description="Further names or addresses under which browsers and programs may ask for this"
        " server; with another one they are refused (421). The address at which they reach it is"
        " fine by itself.",
        examples=[["ml", "ml.internal.example.org"]],
    )
    https_port: int = Field(443, ge=1, le=65535, description="Port of the URL.")
    http_port: int = Field(80, ge=1, le=65535, description="Port that sends browsers on to HTTPS.")
    certificate: LocalPath | None = Field(
        None,
        description="Certificate chain (PEM) on this side, the server's own first. It is judged"
        " before anything changes: key, dates, name, chain. Default: self-signed, made on the"
        " server.",
        examples=["ml.example.org.pem"],
    )
    certificate_key: LocalPath | None = Field(
        None,
        description="Its private key (PEM).",
        examples=["ml.example.org.key"],
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> "Proxy":
        if (self.certificate is None) != (self.certificate_key is None):
            there = "certificate" if self.certificate else "certificate_key"
            raise Wrong("certificate and certificate_key go together", there)
        return self

    @model_validator(mode="after")
    def _free_ports(self) -> "Proxy":
        for name in ("http_port", "https_port"):
            port = getattr(self, name)
            if port in LOOPBACK_PORTS:
                raise Wrong(f"port {port} is used between the services on the server itself", name)
            if port in BLOCKED:
                raise Wrong(
                    f"port {port} is one that no browser opens, whoever listens there", name
                )
        if self.http_port == self.https_port:
            changed = "https_port" if self.https_port != 443 else "http_port"
            raise Wrong(f"http_port and https_port are both {self.http_port}", changed)
        return self
