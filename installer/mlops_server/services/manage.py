"""Deploy, restart and remove services. The new instance answers before the old one stops."""

import http.client
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops_server import jsontext
from mlops_server.errors import EnvError
from mlops_server.layout import MODEL_NAME, Layout, lock_hash, read_options
from mlops_server.services import folder as folders
from mlops_server.services.records import INSTANCE, Record, Records, new_token, token_digest
from mlops_server.services.systemd import Supervisor
from mlops_server.store import Model

Say = Callable[[str], None]
THREADS = 4
PATIENCE = 30.0
MOST = 1 << 20
"""Bytes of an answer of GET /health, which runs in the model's environment."""


def deploy(
    layout: Layout,
    supervisor: Supervisor,
    name: str,
    wanted: tuple[str, str, Path, int],
    say: Say,
) -> None:
    """Put a model into service. `wanted`: model, release ("" is the current one), folder, threads.

    Raises `EnvError`; the instance that was in force then still is.
    """
    model, release, folder, threads = wanted
    records = Records(layout)
    with records.held(name):
        place = _release(layout, model, release)
        real = folders.check(layout, folder)
        record = Record(
            service=name,
            number=0,
            model=model,
            lock=_lock(layout, model, place),
            release=str(place),
            folder=str(real),
            digest=folders.digest(real),
            threads=threads,
            token_sha256="",
            deployed_at="",
            start_timeout=_patience(place / "models" / model / "model.toml"),
        )
        _switch(records, supervisor, record, records.token(name), say)


def restart(
    layout: Layout, supervisor: Supervisor, name: str, say: Say, *, fresh_token: bool = False
) -> None:
    """The same again in a new instance; nothing is dropped. Raises `EnvError`."""
    records = Records(layout)
    with records.held(name):
        current = records.read(in_force(records, name))
        token = new_token() if fresh_token else records.token(name)
        _switch(records, supervisor, current, token, say)


def remove(layout: Layout, supervisor: Supervisor, name: str, say: Say) -> None:
    """Take a service off; the folder with the model stays. Raises `EnvError`."""
    records = Records(layout)
    with records.held(name):
        if not instances(records, supervisor, name):
            in_force(records, name)
        records.link(name).unlink(missing_ok=True)
        _retire_others(records, supervisor, name, say)
        records.token_path(name).unlink(missing_ok=True)


def instances(records: Records, supervisor: Supervisor, name: str) -> list[str]:
    """Every instance of a service that is there: that has a record, or that systemd knows."""
    known = (INSTANCE.fullmatch(instance) for instance in supervisor.instances())
    running = {match[0] for match in known if match and match[1] == name}
    return sorted(
        running | set(records.instances(name)), key=lambda one: int(one.rpartition(".")[2])
    )


def ask(records: Records, instance: str, token: str = "") -> dict[str, Any]:
    """What GET /health of an instance answers. Raises `EnvError`."""
    connection = http.client.HTTPConnection("localhost", timeout=PATIENCE)
    token = token or records.token(instance.rpartition(".")[0])
    try:
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(PATIENCE)
        connection.sock.connect(str(records.socket(instance)))
        connection.request("GET", "/health", headers={"Authorization": f"Bearer {token}"})
        reply = connection.getresponse()
        found: dict[str, Any] = jsontext.loads(reply.read(MOST))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise EnvError(
            f"{instance} does not answer: {error}",
            fix=f"`journalctl -u mlops-model@{instance}` tells more",
        ) from error
    finally:
        connection.close()
    if reply.status != 200:
        raise EnvError(
            f"{instance} is not healthy: {found.get('error', reply.status)}",
            fix=f"`journalctl -u mlops-model@{instance}` tells more",
        )
    return found


def _switch(records: Records, supervisor: Supervisor, wanted: Record, token: str, say: Say) -> None:
    """Start an instance beside the one in force, ask it, switch, and only then stop the other."""
    name = wanted.service
    records.settle_token(name)
    _retire_others(records, supervisor, name, say)  # left by a deployment that was killed
    number = max((int(i.rpartition(".")[2]) for i in records.instances(name)), default=0) + 1
    now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    digest = token_digest(token)
    record = replace(wanted, number=number, deployed_at=now, token_sha256=digest)
    records.write(record)
    try:
        if token != records.token(name):
            records.set_token(record.instance, token)
        supervisor.start(record.instance)
        if ask(records, record.instance, token)["number"] != number:
            raise EnvError(f"another instance answers for {record.instance}")
        supervisor.keep(record.instance)
    except BaseException as error:
        _retire(records, supervisor, record.instance)
        if isinstance(error, EnvError):
            raise _unchanged(error, records.current(name)) from error
        raise
    records.switch(record.instance)
    records.settle_token(name)
    say(f"{name}: {record.instance} serves {record.folder} ({record.digest})")
    _retire_others(records, supervisor, name, say)


def _unchanged(error: EnvError, current: str | None) -> EnvError:
    goes_on = f"{current} goes on serving" if current else "nothing is deployed"
    return EnvError(f"{error.message}; {goes_on}", fix=error.fix, detail=error.detail)


def _retire_others(records: Records, supervisor: Supervisor, name: str, say: Say) -> None:
    """Stop every instance but the one in force."""
    for instance in instances(records, supervisor, name):
        if instance != records.current(name):
            _retire(records, supervisor, instance)
            say(f"{name}: {instance} stopped")


def _retire(records: Records, supervisor: Supervisor, instance: str) -> None:
    """The record goes last: as long as it is there, the next deployment tries again."""
    supervisor.retire(instance)
    records.token_path(instance).unlink(missing_ok=True)
    records.path(instance).unlink(missing_ok=True)


def in_force(records: Records, name: str) -> str:
    """The instance that gets a service's requests. Raises `EnvError`."""
    current = records.current(name)
    if current is None:
        known = ", ".join(records.names()) or "none"
        raise EnvError(f"there is no service {name}", fix=f"name one that exists: {known}")
    return current


def _release(layout: Layout, model: str, release: str) -> Path:
    """The release by its real path, with a service.py for the model. Raises `EnvError`."""
    if not MODEL_NAME.fullmatch(model):
        raise EnvError(f"{model!r} is not the name of a model", fix="name a folder below models/")
    place = layout.releases / release if release else layout.current_release
    real = place.resolve()
    if real.parent != layout.releases.resolve() or not real.is_dir():
        raise EnvError(
            f"there is no release {release or 'in force'}", fix="`mlops-install apply` makes one"
        )
    if not (real / "models" / model / "service.py").is_file():
        fix = f"add models/{model}/service.py with load(folder) and predict(model, request)"
        raise EnvError(f"release {real.name} has no models/{model}/service.py", fix=fix)
    return real


def _patience(path: Path) -> int:
    """Seconds for the start, by the model's own settings. Raises `EnvError`."""
    try:
        return read_options(path).start_timeout
    except ValueError as error:
        raise EnvError(
            str(error), fix="correct the file, push it, and deploy the new release"
        ) from error


def _lock(layout: Layout, model: str, release: Path) -> str:
    lock = lock_hash((release / "models" / model / "conda-lock.yml").read_bytes())
    if Model(layout, model).prefix(lock) is None:
        fix = f"`mlops env build {model} {lock}` builds it"
        raise EnvError(f"the environment {model} {lock} is not built", fix=fix)
    return lock
