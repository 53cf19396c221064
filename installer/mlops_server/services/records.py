"""What is deployed: a record for each instance of a service, and a link to the one in force.

/etc/mlops/services/<name>.<number>.json   the record; never changed
/etc/mlops/services/<name>.sock            link to the socket of the instance in force
/run/mlops/models/<name>.<number>.sock     the sockets
/etc/mlops/secrets/services/<name>         the token that clients send
/etc/mlops/secrets/services/<name>.<number>  a new one, until it has taken its place
"""

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from mlops_server import jsontext
from mlops_server.disk import point, write
from mlops_server.errors import EnvError
from mlops_server.layout import START, Layout
from mlops_server.store import held

NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
INSTANCE = re.compile(rf"({NAME.pattern})\.([1-9][0-9]{{0,8}})")


@dataclass(frozen=True)
class Record:
    """One instance. `lock` names the environment, `digest` the content of the folder."""

    service: str
    number: int
    model: str
    lock: str
    release: str
    folder: str
    digest: str
    threads: int
    token_sha256: str
    deployed_at: str
    start_timeout: int = START

    @property
    def instance(self) -> str:
        """The name of its units, after the @."""
        return f"{self.service}.{self.number}"


@dataclass(frozen=True)
class Records:
    """The records on this server."""

    layout: Layout

    @property
    def folder(self) -> Path:
        """Where records and links are."""
        return self.layout.root / "etc/mlops/services"

    def socket(self, instance: str) -> Path:
        """The socket of an instance."""
        return self.layout.root / "run/mlops/models" / f"{instance}.sock"

    def link(self, name: str) -> Path:
        """The link that nginx follows for each request."""
        return self.folder / f"{name}.sock"

    def path(self, instance: str) -> Path:
        """The record's file."""
        return self.folder / f"{instance}.json"

    def read(self, instance: str) -> Record:
        """The record of an instance. Raises `EnvError`."""
        if not INSTANCE.fullmatch(instance):
            raise EnvError(
                f"{instance!r} is not an instance of a service",
                fix="`mlops service list` shows them",
            )
        try:
            return Record(**jsontext.loads(self.path(instance).read_bytes()))
        except FileNotFoundError:
            raise EnvError(
                f"{instance} is not deployed", fix="`mlops service list` shows them"
            ) from None
        except (ValueError, TypeError) as error:
            raise EnvError(f"{self.path(instance)}: {error}", fix="deploy it again") from error

    def instances(self, name: str) -> list[str]:
        """Every instance of a service that has a record, oldest first."""
        found = (INSTANCE.fullmatch(path.stem) for path in self.folder.glob(f"{name}.*.json"))
        numbers = sorted(int(match[2]) for match in found if match and match[1] == name)
        return [f"{name}.{number}" for number in numbers]

    def current(self, name: str) -> str | None:
        """The instance that gets the requests, or None."""
        try:
            return Path(os.readlink(self.link(name))).stem
        except FileNotFoundError:
            return None

    def names(self) -> list[str]:
        """Services with an instance in force."""
        return sorted(path.stem for path in self.folder.glob("*.sock") if path.is_symlink())

    def all(self) -> list[Record]:
        """Every record that can be read: what must not be cleaned away."""
        stems = sorted(path.stem for path in self.folder.glob("*.json"))
        return [self.read(stem) for stem in stems if INSTANCE.fullmatch(stem)]

    def write(self, record: Record) -> None:
        """Write a record as one step."""
        data = json.dumps(asdict(record), indent=1) + "\n"
        write(self.path(record.instance), data.encode(), 0o644)

    def switch(self, instance: str) -> None:
        """From this moment new requests go to this instance."""
        point(self.link(instance.rpartition(".")[0]), str(self.socket(instance)))

    @contextmanager
    def held(self, name: str) -> Iterator[None]:
        """One change of a service at a time. Raises `EnvError` for a bad name."""
        if not NAME.fullmatch(name):
            fix = "use small letters, digits, _ and -, 40 at most, a letter first"
            raise EnvError(f"{name!r} is not the name of a service", fix=fix)
        self.folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        with held(self.folder / f".{name}.lock"):
            yield

    def token_path(self, name: str) -> Path:
        """Where the token is, for root only."""
        return self.layout.root / "etc/mlops/secrets/services" / name

    def token(self, name: str) -> str:
        """The token of a service, made when there is none."""
        if own := self._own_token(name):
            return own
        if not self.token_path(name).exists():
            self.set_token(name, new_token())
        return self.token_path(name).read_text().strip()

    def _own_token(self, name: str) -> str:
        """The token that came with the instance in force, until it has become the service's.

        A new token lies beside the old one under the name of its instance. So the one switch of
        the link changes both, and nobody who stops us in between leaves a token without a server.
        """
        current = self.current(name)
        if current is None or not self.token_path(current).exists():
            return ""
        token = self.token_path(current).read_text().strip()
        return token if token_digest(token) == self.read(current).token_sha256 else ""

    def settle_token(self, name: str) -> None:
        """The token of the instance in force becomes the service's."""
        if own := self._own_token(name):
            self.set_token(name, own)
            self.token_path(str(self.current(name))).unlink()

    def set_token(self, name: str, token: str) -> None:
        """Write the token of a service."""
        path = self.token_path(name)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write(path, f"{token}\n".encode())


def new_token() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(32)


def releases(layout: Layout) -> set[Path]:
    """The releases that services run from; clean-up spares them, and so their environments."""
    return {Path(record.release) for record in Records(layout).all()}


def token_digest(token: str) -> str:
    """What a record says about a token: it is random, so its digest gives nothing away."""
    return hashlib.sha256(token.encode()).hexdigest()
