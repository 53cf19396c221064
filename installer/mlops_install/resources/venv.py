"""Python environments made by uv from a hash-pinned lock, each a generation of its own."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mlops_install.digest import digest
from mlops_install.resource import ABSENT, Made, Put, Resource, Run, Step
from mlops_install.shell import sh

PIP = ("--root-user-action=ignore", "--disable-pip-version-check", "--no-cache-dir")
# Of pip's own settings on the server the index counts, and not what would put packages elsewhere.
PIP_PROGRAM = (
    "PIP_REQUIRE_VIRTUALENV=0 PIP_USER=0 python3 $(echo /usr/share/python-wheels/pip-*.whl)/pip"
)
UV = ("--no-config", "--no-cache", "--python", "/usr/bin/python3", "--compile-bytecode")


@dataclass(frozen=True)
class Generation:
    """A finished generation: the digest of the lock that it was made from."""

    lock: str


@dataclass(frozen=True)
class Tools(Resource[Generation]):
    """uv and the like, from a hash-pinned lock, for Debian's Python.

    Debian's pip gets uv, and uv the others in a fraction of pip's time. `network` is a file to
    source.
    """

    path: str
    lock: str
    network: str

    @property
    def name(self) -> str:
        return f"tools {self.path}"

    @property
    def desired(self) -> Generation:
        return Generation(digest(self.lock))

    def probe(self) -> str:
        return f"cat {sh(self.path + '/.ready')} 2>/dev/null || exit {ABSENT}"

    def parse(self, answer: str) -> Generation:
        return Generation(answer.strip())

    def makes(self) -> tuple[Made, ...]:
        return (Made("tree", self.path),)

    def change(self, current: Generation | None) -> Iterator[Step]:
        yield Run(sh("rm", "-rf", self.path))
        yield Run(sh("mkdir", "-p", self.path))
        uv, others = _apart(self.lock, "uv")
        yield Put(f"{self.path}/uv.txt", uv.encode())
        yield Put(f"{self.path}/requirements.txt", others.encode())
        yield self._step(PIP_PROGRAM, PIP, "uv.txt")
        yield self._step(sh(f"{self.path}/bin/uv", "pip"), UV, "requirements.txt")
        yield Run(sh(f"{self.path}/bin/uv", "--version"))
        yield from ready(self.path, self.lock)

    def _step(self, program: str, options: tuple[str, ...], lock: str) -> Run:
        more = ("--target", self.path, "-r", f"{self.path}/{lock}")
        words = sh("install", "-q", "--require-hashes", "--no-deps", "--only-binary", ":all:",
                   *options, *more)  # fmt: skip
        return Run(f". {sh(self.network)}\n{program} {words}", f"{lock}: install {words}")


def _apart(lock: str, name: str) -> tuple[str, str]:
    """The lines of a lock that pin `name`, and the others."""
    pins = re.split(r"^(?=\S)", lock, flags=re.MULTILINE)
    own = [pin for pin in pins if pin.startswith(f"{name}==")]
    return "".join(own), "".join(pin for pin in pins if pin not in own)


@dataclass(frozen=True)
class Venv(Resource[Generation]):
    """A Python environment from a hash-pinned lock, byte-compiled, owned by root."""

    path: str
    lock: str
    uv: str
    network: str

    @property
    def name(self) -> str:
        return f"venv {self.path}"

    @property
    def desired(self) -> Generation:
        return Generation(digest(self.lock))

    def probe(self) -> str:
        path = sh(self.path)
        return f"test -x {path}/bin/python && cat {path}/.ready 2>/dev/null || exit {ABSENT}"

    def parse(self, answer: str) -> Generation:
        return Generation(answer.strip())

    def makes(self) -> tuple[Made, ...]:
        return (Made("tree", self.path),)

    def change(self, current: Generation | None) -> Iterator[Step]:
        python, lock = f"{self.path}/bin/python", f"{self.path}/requirements.txt"
        yield Run(sh("rm", "-rf", self.path))
        yield Run(
            sh(
                self.uv,
                "venv",
                "-q",
                "--no-config",
                "--no-cache",
                "--python",
                "/usr/bin/python3",
                self.path,
            )
        )
        yield Put(lock, self.lock.encode())
        words: tuple[str, ...] = (
            "pip",
            "install",
            "-q",
            "--python",
            python,
            "--require-hashes",
            "--no-deps",
        )
        words += ("--compile-bytecode", "--link-mode", "copy", "--only-binary", ":all:", "-r", lock)
        yield Run(f". {sh(self.network)}\n{sh(self.uv, *words)}", sh("uv", *words))
        yield Run(sh(self.uv, "pip", "check", "-q", "--no-cache", "--python", python))
        yield from ready(self.path, self.lock)


def ready(path: str, lock: str) -> Iterator[Step]:
    """The mark that a generation is finished; what it vouches for is on disk before."""
    yield Run(sh("rm", "-f", f"{path}/.lock"))  # uv's, which everybody could lock
    yield Run(sh("sync", "-f", path))
    yield Put(f"{path}/.ready", digest(lock).encode())
