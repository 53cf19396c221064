"""Disposable test servers: Debian booted by systemd-nspawn, reached over SSH like any server.

A box is an overlay over a shared read-only root file system, so it starts in seconds. What it
writes stays in /var/lib/mlops-box/NAME until `down`. It is for tests, not for untrusted code:
root inside can harm this machine.
"""

import os
import re
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from mlops_install.box import host, image, net, proc, root
from mlops_install.box.root import SYSTEMS
from mlops_install.box.state import STATE, Box, Record, load, records, save, ssh_config, started
from mlops_install.box.tools import install_packages, locked, missing_packages, run, unavailable
from mlops_install.errors import BoxError

__all__ = [
    "SYSTEMS", "Box", "boxes", "down", "find", "freeze", "halt", "power_off", "reap",
    "ssh_config", "unavailable", "up",
]  # fmt: skip

LOCK = STATE / ".lock"
RUBBISH = STATE / ".rubbish"
REMOVE = 'exec rm -rf -- "$@" </dev/null >/dev/null 2>&1'
BOOT_SECONDS = 90
# The last line is for what must name this machine alike in every copy of a box.
HOSTS = """\
127.0.0.1 localhost
127.0.1.1 {name}
::1 localhost
{gateway} host.internal
"""
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,40}[a-z0-9])?")


def _quiet(message: str) -> None:
    """Say nothing."""


def up(
    name: str,
    system: str = "debian-12",
    *,
    ephemeral: bool = False,
    nat: bool = True,
    frozen: str = "",
    say: Callable[[str], None] = _quiet,
) -> Box:
    """Create the box or start it again with the disk it had; return once SSH answers.

    A new box is bare, or a copy of the box that `freeze` took under the name `frozen`, with a
    name, an address and keys of its own. `ephemeral` ties it to this process: `reap` removes it
    after that died. Starting it again without `ephemeral` keeps it from then on. Without `nat` it
    reaches this machine only. Missing packages are installed on this machine, and the first box of
    a system takes a minute or two; `say` is told of both. BoxError when it cannot be.
    """
    lock = _lock(name)
    _check(system)
    _prepare(say)
    with locked(lock):
        record = load(name)
        if not record or not record.ready:
            record = _create(name, system, ephemeral, nat, frozen, say)
        elif record.system == system:
            record = _own(replace(record, nat=nat), ephemeral)
        else:
            raise BoxError(
                f"box {name} is {record.system}",
                fix=f"`mlops-install box down {name}` first, or choose another name",
            )
        _boot(record, say)
        return record.box()


def _check(system: str) -> None:
    if system not in SYSTEMS:
        raise BoxError(f"no system {system!r}", fix=f"choose one of {', '.join(SYSTEMS)}")


def _prepare(say: Callable[[str], None]) -> None:
    if reason := unavailable():
        raise BoxError(f"this machine cannot run boxes: {reason}", fix="use another test server")
    if missing_packages():
        with locked(LOCK):
            if missing := missing_packages():
                say(f"Installing {', '.join(missing)} on this machine")
                install_packages(missing)


def _create(
    name: str, system: str, ephemeral: bool, nat: bool, frozen: str, say: Callable[[str], None]
) -> Record:
    """Make the box's disk, after removing what a killed `up` may have left."""
    _remove(name)
    with locked(LOCK):
        lower = image.layers(frozen, system) if frozen else _bare(system, say)
        index = net.free_link({r.index for r in records()}).index
        owner = os.getpid() if ephemeral else None
        record = Record(name, system, index, lower, nat, owner, started(os.getpid()))
        record.directory.mkdir(mode=0o755)
        save(record)
    _fill(record)
    return record


def _bare(system: str, say: Callable[[str], None]) -> str:
    return str(root.rootfs(system, _used(), say))


def _used() -> set[Path]:
    """The folders that boxes and frozen ones stand on."""
    boxes = {layer for record in records() for layer in record.layers}
    return boxes | {layer for kept in image.images() for layer in kept.below}


def _fill(record: Record) -> None:
    """Write what makes this box differ from others: keys, names, and how it reaches the world."""
    directory = record.directory
    for part in ("root", "upper", "work"):
        (directory / part).mkdir(mode=0o755)
    for key in ("id_ed25519", "host_key"):
        options = ["-q", "-t", "ed25519", "-N", "", "-C", record.name]
        run("ssh-keygen", *options, "-f", str(directory / key))
    host_key = (directory / "host_key.pub").read_text()
    (directory / "known_hosts").write_text(f"{record.link.address} {host_key}")
    (directory / "ssh_config").write_text(ssh_config(record.box()))

    put = partial(root.put, record.layers, directory / "upper")
    for path, text in host.settings(SYSTEMS[record.system]).items():
        put(path, text)
    client = (directory / "id_ed25519.pub").read_text()
    put("/root/.ssh/authorized_keys", client, 0o600)
    put("/home/debian/.ssh/authorized_keys", client, 0o600, owner=1000)
    put("/etc/ssh/ssh_host_ed25519_key", (directory / "host_key").read_text(), 0o600)
    put("/etc/ssh/ssh_host_ed25519_key.pub", host_key)
    put("/etc/hostname", f"{record.name}\n")
    put("/etc/hosts", HOSTS.format(name=record.name, gateway=record.link.gateway))
    put("/etc/machine-id", f"{uuid.uuid4().hex}\n", 0o444)


def _own(record: Record, ephemeral: bool) -> Record:
    """Who the box belongs to from now on: a kept one stays kept, a living owner stays owner."""
    if not ephemeral:
        return replace(record, owner=None)
    if record.orphaned:
        return replace(record, owner=os.getpid(), owner_started=started(os.getpid()))
    return record


def _boot(record: Record, say: Callable[[str], None]) -> None:
    """Have the box running and answering, and note that it is whole."""
    if proc.running(record.name):
        net.firewall(record.link, nat=record.nat)
    else:
        say(f"Starting {record.name}")
        proc.power_off(record.name)
        net.connect(record.link, nat=record.nat)
        proc.start(record.name, record.directory, record.lower, record.link.namespace)
    _wait(record)
    if not record.ready:
        _ssh(record, "sudo -n update-ca-certificates")
    save(replace(record, ready=True))


def _wait(record: Record) -> None:
    """Wait until a user can log in, which is later than that the port answers."""
    deadline = time.monotonic() + BOOT_SECONDS
    while True:
        try:
            _ssh(record, "true")
            return
        except BoxError as error:
            if not proc.running(record.name) or time.monotonic() > deadline:
                raise _not_up(record, error) from error
        time.sleep(0.1)


def _not_up(record: Record, error: BoxError) -> BoxError:
    log = record.directory / "console.log"
    tail = log.read_text(errors="replace").splitlines()[-10:]
    return BoxError(
        f"box {record.name} does not answer over SSH",
        fix=f"read {log}; then `mlops-install box down {record.name}`, and try again",
        detail="\n".join([error.detail, *tail]),
    )


def _ssh(record: Record, command: str) -> str:
    options = ["-o", "BatchMode=yes", "-o", "ConnectTimeout=2", "-l", "debian"]
    return run("ssh", "-F", str(record.directory / "ssh_config"), *options, record.name, command)


def down(name: str) -> None:
    """Stop the box and remove everything of it; nothing happens when there is none."""
    with locked(_lock(name), remove=True):
        _remove(name)


def _remove(name: str) -> None:
    record = load(name)
    proc.power_off(name)
    if record:
        net.disconnect(record.link)
    for left in ("propagate", "unix-export"):
        shutil.rmtree(Path("/run/systemd/nspawn", left, name), ignore_errors=True)
    _discard(STATE / name)


def _discard(*folders: Path) -> None:
    there = [folder for folder in folders if folder.exists()]
    for folder in there:
        RUBBISH.mkdir(exist_ok=True)
        folder.rename(RUBBISH / uuid.uuid4().hex)
    if there:
        # Ten thousands of files: nobody need wait. What a dead one leaves the next one takes.
        run("setsid", "--fork", "sh", "-c", REMOVE, "sh", *map(str, RUBBISH.iterdir()))


def freeze(name: str, owner: int) -> None:
    """Power the box off cleanly and keep its disk, read-only, for `up` to make copies of.

    It goes with the process `owner`, when `reap` is called after that died.
    """
    halt(name)
    with locked(_lock(name), remove=True):
        image.keep(_known(name), owner)
        _remove(name)


def halt(name: str) -> None:
    """Power the box off cleanly; its disk is kept and `up` starts it again."""
    with locked(_lock(name)):
        record = _known(name)
        proc.halt(name)
        net.disconnect(record.link)


def power_off(name: str) -> None:
    """Kill everything in the box at once, like pulling the plug; `up` starts it again.

    What it had written is kept, synced or not, as this machine's memory does not lose power.
    """
    with locked(_lock(name)):
        record = _known(name)
        proc.power_off(name)
        net.disconnect(record.link)


def boxes() -> list[Box]:
    """All boxes on this machine, by name; also those that are being made."""
    return [record.box() for record in records()]


def find(name: str) -> Box:
    """The box `name`; BoxError with the names there are when there is none."""
    return _known(name).box()


def _known(name: str) -> Record:
    record = load(name)
    if record:
        return record
    names = ", ".join(r.name for r in records()) or "there are none"
    raise BoxError(f"no box is called {name!r}", fix=f"boxes: {names}")


def reap() -> list[str]:
    """Remove the ephemeral boxes whose owner is gone; return their names."""
    names = [record.name for record in records() if record.orphaned]
    for name in names:
        down(name)
    with locked(LOCK):
        used = _used()
        _discard(*(kept.directory for kept in image.images() if kept.unused(used)))
    return names


def _lock(name: str) -> Path:
    """The box's lock file; refuses names that could lead out of the boxes' directory."""
    if not NAME.fullmatch(name):
        raise BoxError(
            f"{name!r} cannot be the name of a box", fix="use a-z, 0-9 and -, 42 characters at most"
        )
    return STATE / f"{name}.lock"
