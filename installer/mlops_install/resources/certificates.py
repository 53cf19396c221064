"""Certificates: authorities that the server trusts, and its own self-signed one."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlops_install.digest import digest
from mlops_install.resource import ABSENT, Made, Put, Resource, Run, Step
from mlops_install.resources.systemd import STAMPS
from mlops_install.shell import in_place, sh

TRUSTED = "/usr/local/share/ca-certificates/mlops"


@dataclass(frozen=True)
class AuthoritiesState:
    """File name -> SHA-256; `in_force`: how many of them are in the system's bundle."""

    files: Mapping[str, str]
    in_force: int


@dataclass(frozen=True)
class Authorities(Resource[AuthoritiesState]):
    """Certificate authorities beside Debian's. `bundle` is PEM, empty for none."""

    bundle: str

    @property
    def name(self) -> str:
        return "certificate authorities"

    @property
    def _files(self) -> dict[str, str]:
        found = re.findall(
            r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", self.bundle, re.DOTALL
        )
        return {f"mlops-{short}.crt": pem + "\n" for pem in found if (short := digest(pem)[:8])}

    @property
    def desired(self) -> AuthoritiesState:
        files = {name: digest(pem) for name, pem in self._files.items()}
        return AuthoritiesState(files, len(files))

    def probe(self) -> str:
        return (
            f"cd {TRUSTED} 2>/dev/null || exit 0\n"
            'for f in *.crt; do [ -e "$f" ] || continue; sha256sum "$f"\n'
            '  line=$(sed -n 2p "$f"); grep -qxF -e "$line" /etc/ssl/certs/ca-certificates.crt'
            " && echo in_force; done; true"
        )

    def parse(self, answer: str) -> AuthoritiesState:
        lines = answer.split("\n")
        files = {w[1]: w[0] for line in lines if len(w := line.split()) == 2}
        return AuthoritiesState(files, lines.count("in_force"))

    def makes(self) -> tuple[Made, ...]:
        return (Made("authorities", TRUSTED),) if self.bundle else ()

    def change(self, current: AuthoritiesState | None) -> Iterator[Step]:
        yield Run(f"rm -rf {TRUSTED}; mkdir -p {TRUSTED}", title=f"empty {TRUSTED}")
        for name, pem in self._files.items():
            yield Put(f"{TRUSTED}/{name}", pem.encode())
        yield Run("update-ca-certificates --fresh >/dev/null", title="update-ca-certificates")


@dataclass(frozen=True)
class CertificateState:
    """`name` as in the subject; `lasting`: more than 30 days left."""

    name: str
    lasting: bool
    key: str


@dataclass(frozen=True)
class SelfSigned(Resource[CertificateState]):
    """A self-signed certificate for `server_name`; made again 30 days before it ends.

    `service` reads it anew where it runs; its stamp goes before the certificate changes, so that
    the next run sees it when this one is killed in between.
    """

    certificate: str
    key: str
    server_name: str
    service: str

    @property
    def name(self) -> str:
        return f"certificate {self.certificate}"

    @property
    def desired(self) -> CertificateState:
        return CertificateState(self.server_name, lasting=True, key="0600 root")

    def probe(self) -> str:
        certificate, key = sh(self.certificate), sh(self.key)
        return (
            f"test -s {certificate} -a -s {key} || exit {ABSENT}\n"
            f"openssl x509 -in {certificate} -noout -subject -nameopt multiline"
            " | sed -n 's/ *commonName *= //p'\n"
            f"openssl x509 -in {certificate} -noout -checkend 2592000 >/dev/null"
            " && echo lasting || echo ending\n"
            f"stat -c '%04a %U' {key}"
        )

    def parse(self, answer: str) -> CertificateState:
        name, lasting, key = answer.strip().splitlines()
        return CertificateState(name, lasting == "lasting", key)

    def makes(self) -> tuple[Made, ...]:
        return (Made("file", self.certificate), Made("file", self.key))

    def change(self, current: CertificateState | None) -> Iterator[Step]:
        kind = "IP" if re.fullmatch(r"[0-9.]+|.*:.*", self.server_name) else "DNS"
        names = f"subjectAltName={kind}:{self.server_name},DNS:localhost,IP:127.0.0.1"
        words = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt")
        ask = sh(
            *words, "ec_paramgen_curve:P-256", "-nodes", "-days", "825", "-subj",
            f"/CN={self.server_name}", "-addext", names, "-addext",
            "extendedKeyUsage=serverAuth", "-keyout", f"{self.key}.new",
            "-out", f"{self.certificate}.new",
        )  # fmt: skip
        yield Run(
            f"(umask 077; {ask}) 2>/dev/null\nchmod 0644 {sh(self.certificate + '.new')}\n"
            f"rm -f {STAMPS}/{self.service}.inputs\n"
            f"{in_place(self.key + '.new', self.key)}\n"
            f"{in_place(self.certificate + '.new', self.certificate)}\n"
            f"systemctl try-reload-or-restart {self.service} || true",
            title=f"openssl req -x509 -subj /CN={self.server_name} -out {self.certificate}",
        )
