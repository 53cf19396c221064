"""Certificates: authorities that the server trusts, and its own self-signed one."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mlops_install import names
from mlops_install.digest import digest
from mlops_install.entries import At, by_path, script
from mlops_install.resource import ABSENT, Made, Put, Resource, Run, Step
from mlops_install.resources.file import File, FileState
from mlops_install.shell import in_place, sh
from mlops_install.units import STAMPS

COMMON_NAME = 64
"""So long may the name in a subject be; the URL's name is in subjectAltName."""
MONTH = 30 * 24 * 3600  # seconds
NAME = re.compile(r"^ *(?:DNS|IP Address):([^,\n]*)", re.MULTILINE)
TRUSTED = "/usr/local/share/ca-certificates/mlops"

# A configuration of its own: the site stays as it is.
TRY = """\
D=$(mktemp -d)
cat > $D/nginx.conf <<END
error_log stderr;
pid $D/pid;
events {{}}
http {{
  access_log off;
  server {{
    listen unix:$D/socket ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
  }}
}}
END
said=$(nginx -t -q -c $D/nginx.conf 2>&1 </dev/null) && rc=0 || rc=$?
rm -rf $D
[ $rc = 0 ] || {{ echo "$said"; rm -f {certificate} {key}; exit 1; }}"""


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
    """`name`: the first one that it is for; `lasting`: more than 30 days left."""

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
        return CertificateState(_plain(self.server_name), lasting=True, key="0600 root")

    def probe(self) -> str:
        certificate, key = sh(self.certificate), sh(self.key)
        return (
            f"test -s {certificate} -a -s {key} || exit {ABSENT}\n"
            f"openssl x509 -in {certificate} -noout -ext subjectAltName -checkend {MONTH}"
            " && echo lasting || echo ending\n"
            f"stat -c '%04a %U' {key}"
        )

    def parse(self, answer: str) -> CertificateState:
        *_, lasting, key = answer.strip().splitlines()
        name = NAME.search(answer)
        return CertificateState(_plain(name[1]) if name else "", lasting == "lasting", key)

    def makes(self) -> tuple[Made, ...]:
        return (Made("file", self.certificate), Made("file", self.key))

    def change(self, current: CertificateState | None) -> Iterator[Step]:
        kind = "IP" if names.is_address(self.server_name) else "DNS"
        also = f"subjectAltName={kind}:{self.server_name},DNS:localhost,IP:127.0.0.1"
        subject = f"/CN={self.server_name[:COMMON_NAME]}"  # it counts for nobody any more
        words = ("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt")
        ask = sh(
            *words, "ec_paramgen_curve:P-256", "-nodes", "-days", "825", "-subj",
            subject, "-addext", also, "-addext",
            "extendedKeyUsage=serverAuth", "-keyout", f"{self.key}.new",
            "-out", f"{self.certificate}.new",
        )  # fmt: skip
        yield Run(
            f'said=$(umask 077; {ask} 2>&1) || {{ echo "$said"; exit 1; }}\n'
            f"chmod 0644 {sh(self.certificate + '.new')}\n"
            f"rm -f {STAMPS}/{self.service}.inputs\n"
            f"{in_place(self.key + '.new', self.key)}\n"
            f"{in_place(self.certificate + '.new', self.certificate)}\n"
            f"systemctl try-reload-or-restart {self.service} || true",
            title=f"openssl req -x509 -subj {subject} -out {self.certificate}",
        )


def _plain(name: str) -> str:
    """An address in its one short form: OpenSSL writes 2001:DB8:0:0:0:0:0:1."""
    return str(ipaddress.ip_address(name)) if ":" in name else name


@dataclass(frozen=True)
class PairState:
    """Certificate and key as files."""

    certificate: FileState | None
    key: FileState | None


@dataclass(frozen=True)
class GivenPair(Resource[PairState]):
    """The user's certificate chain and its key, both or none: nginx on the server tries them.

    The files that this writes aside are read by no program but the try.
    """

    certificate: File
    key: File

    @property
    def name(self) -> str:
        return f"certificate {self.certificate.path}"

    @property
    def desired(self) -> PairState:
        return PairState(self.certificate.desired, self.key.desired)

    def probe(self) -> str:
        return script([At(self.certificate.path, content=True), At(self.key.path, content=True)])

    def parse(self, answer: str) -> PairState:
        lines = by_path(answer)
        return PairState(*(file.parse(lines.get(file.path, "")) for file in self._both))

    @property
    def _both(self) -> tuple[File, File]:
        return self.certificate, self.key

    def makes(self) -> tuple[Made, ...]:
        return tuple(Made("file", file.path) for file in self._both)

    def change(self, current: PairState | None) -> Iterator[Step]:
        for file in self._both:
            new = f"{file.path}.new"
            yield Put(new, file.content.encode(), file.mode, file.owner, file.group)
        moves = (sh("mv", "-fT", f"{file.path}.new", file.path) for file in self._both)
        aside = {"certificate": f"{self.certificate.path}.new", "key": f"{self.key.path}.new"}
        yield Run(TRY.format(**aside), title="try them by `nginx -t`")
        yield Run(" && ".join(moves), title=f"mv both to {self.certificate.path}, {self.key.path}")
