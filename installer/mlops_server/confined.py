"""Do a piece of work as a user that exists for it only, in a unit that can write one new folder.

Whatever comes from a channel, an index or a commit is fetched, unpacked and run here, never by
root. A unit ends with everything in it when its work is done, when its time is up, and when
whoever asked for it is gone: its stdin ends then. What it says and leaves behind is judged.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mlops_server import jsontext
from mlops_server.errors import BadLock, EnvError
from mlops_server.layout import Layout
from mlops_server.output import shown

SYSTEMD = Path("/run/systemd/system")
WALLS = (
    "InaccessiblePaths=-/etc/mlops/secrets -/run/credentials",
    "InaccessiblePaths=-/etc/mlops/connections.json -/etc/mlops/variables.json",
    "InaccessiblePaths=-/run/mlops -/run/postgresql -/run/dbus -/var/lib/mlops",
    # Places where every user can write, and leave something for the next one.
    "InaccessiblePaths=-/run/lock -/dev/mqueue",
    "TemporaryFileSystem=/dev/shm:mode=1777",
    "PrivateIPC=yes",
    "RemoveIPC=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "ProtectProc=invisible",
    "PrivateTmp=yes",
    "PrivateDevices=yes",
    "NoNewPrivileges=yes",
    "CapabilityBoundingSet=",
    "ProtectHostname=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "LockPersonality=yes",
    "RestrictNamespaces=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "SystemCallArchitectures=native",
    "SystemCallFilter=@system-service",
    "SystemCallErrorNumber=EPERM",
    "OOMPolicy=continue",  # the process that is too big dies, not the one that reports it
    "KillSignal=SIGKILL",  # nobody there has anything to put away
    "TimeoutStopSec=5",
    "LimitCORE=0",
    "UMask=0077",
)
# One that exists for this one run: it cannot signal, trace or read what others run.
NOBODY = "DynamicUser=yes"
NO_NETWORK = ("PrivateNetwork=yes", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6")
NETWORK = ("RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK",)
# The kernel counts these by user, and this one has no other process: they hold without cgroups.
BUILD = (
    "InaccessiblePaths=-/etc/mlops -/srv/mlops/data -/var/log -/var/lib/postgresql",
    "LimitNPROC=1024",
    "TasksMax=1024",
    "CPUWeight=50",
    "IOWeight=50",
)
FILE, OUTPUT = "LimitFSIZE=16G", "LimitFSIZE=256M"
"""Of one file: where packages are made, and where none are, only what programs print."""
LEFT = 1 << 30
"""Bytes that stay free on the disk for others, or half of what there were."""
ENDED = ("inactive", "failed")
PATIENCE = 1
"""Seconds for a unit whose work is done, or whose stdin has ended, to end by itself."""
TEMPORARY = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108
LOOKS = 0.5
"""Seconds between two looks at the disk."""
LONGEST = 1 << 16
"""Bytes of a line that a unit says; a longer one is cut."""
MOST = 20_000
"""Lines that a unit may say."""

PASSED = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)

Say = Callable[[str], None]
Answer = dict[str, Any]


@dataclass(frozen=True)
class Yard:
    """A new folder that one run can write.

    Where systemd builds the walls, it is `hidden` in a folder that only root can enter, and the
    unit sees it as `seen`; else both are the same.
    """

    seen: Path
    hidden: Path


def network() -> dict[str, str]:
    """The variables that say how downloads reach the world; for stdin, since units are public."""
    return {name: os.environ[name] for name in PASSED if name in os.environ}


def isolated(layout: Layout | None = None) -> bool:
    """Whether systemd is there to build the walls: on every server. Tests and CI run without."""
    return SYSTEMD.is_dir() and os.geteuid() == 0 and (layout or Layout()) == Layout()


@contextmanager
def yard(layout: Layout, seen: Path) -> Iterator[Yard]:
    """A yard for a run; what is still in it afterwards goes. `seen` stays where it was taken."""
    remove(seen, _closed(seen))
    seen.mkdir(mode=0o755)
    made = Yard(seen, seen)
    try:
        if isolated(layout):
            made = Yard(seen, _closed(seen) / "tree")
            made.hidden.parent.mkdir(mode=0o700)
            made.hidden.mkdir()
            made.hidden.chmod(0o777)  # its user is not known yet; nobody else can reach it
        yield made
    except BaseException:
        remove(seen)
        raise
    finally:
        remove(_closed(seen))


def _closed(seen: Path) -> Path:
    return seen.with_name(f"{seen.name}.new")


def remove(*paths: Path) -> None:
    """Remove what others made: however deep it is, and without following a link."""
    found = [str(path) for path in paths if os.path.lexists(path)]
    if found:
        subprocess.run(["/bin/rm", "-rf", "--one-file-system", "--", *found], check=False)


def call(
    layout: Layout,
    name: str,
    job: str,
    request: Answer,
    say: Say,
    *,
    yard: Yard | None = None,
    network: bool = False,
    seconds: int = 7200,
    user: str = "",
    raised: Callable[[Any], EnvError] | None = None,
) -> Answer:
    """Have a job of `mlops_server.inside` done in the unit `name`. Raises `EnvError`.

    The answer is the unit's own word: whoever builds on it has to look.
    """
    unit = _unit(name, yard, network, seconds, user) if isolated(layout) else []
    words = [*unit, sys.executable, "-P", "-B", "-m", "mlops_server.inside", job]
    stop = partial(_stop, name) if unit else _nothing
    stop()  # what a killed command left
    with _started(words, stop) as process, _watched(_written(yard), stop) as full:
        answer = _converse(process, request, say)
    if full.is_set():
        raise EnvError(
            f"no space left: {job} would have filled the disk",
            fix=f"free some disk space: {LEFT >> 30} GiB, or half of it, stays for others",
        )
    if "error" in answer:
        raise (raised or described)(answer["error"])
    if "done" not in answer:
        what = f"{job} came to its end before its time"
        raise EnvError(what, detail=answer["rest"], fix="run the same command again")
    return answer


def _nothing() -> None:
    """Without units there is none to stop."""


def _stop(name: str) -> None:
    """Have nothing of a unit at work, whatever it says of itself. Raises `EnvError`."""
    unit = f"{name}.service"
    if _state(unit) in ENDED:
        return
    subprocess.run(["systemctl", "stop", "--quiet", unit], stderr=subprocess.DEVNULL, check=False)
    if (state := _state(unit)) not in ENDED:
        raise EnvError(
            f"{unit} does not end: it is {state or 'unknown'}", fix=f"systemctl kill {unit}"
        )


def _state(unit: str) -> str:
    words = ["systemctl", "show", "--property=ActiveState", "--value", unit]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip()


@contextmanager
def _started(words: list[str], stop: Callable[[], None]) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that ends with the block, and with us: it hears that its stdin ends.

    It gets pipes only: a terminal of ours would let it type there.
    """
    process = subprocess.Popen(
        words,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        for pipe in (process.stdin, process.stdout):
            if pipe:
                with suppress(BrokenPipeError):
                    pipe.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)  # most are at their end, and need not be stopped
        stop()
        process.wait()


@contextmanager
def _watched(folders: list[Path], stop: Callable[[], None]) -> Iterator[threading.Event]:
    """End the work before it fills a disk, on which databases are as well; whether it did."""
    full, ended = threading.Event(), threading.Event()
    least = {folder: min(LEFT, _free(folder) // 2) for folder in folders}

    def watch() -> None:
        while not ended.wait(LOOKS):
            if any(_free(folder) < bytes_left for folder, bytes_left in least.items()):
                full.set()
                with suppress(EnvError):  # whoever waits for its end says so
                    stop()
                return

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield full
    finally:
        ended.set()
        watching.join()


def _written(yard: Yard | None) -> list[Path]:
    """Where a unit can write: its /tmp and /var/tmp are its own, but on these disks."""
    temporary = [path for path in TEMPORARY if path.is_dir()]
    return [yard.hidden.parent, *temporary] if yard else temporary  # the yard itself may be gone


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


def _converse(process: "subprocess.Popen[bytes]", request: Answer, say: Say) -> Answer:
    """Hand over the request; say what is said; the answer, or else what was said at the end."""
    rest: list[str] = []
    if process.stdin is None or process.stdout is None:
        raise ValueError("the process has no pipes")
    with suppress(BrokenPipeError):
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
    for _ in range(MOST):
        line = process.stdout.readline(LONGEST)
        found = _read(line)
        if not line or "done" in found or "error" in found:
            return found or {"rest": "\n".join(rest)}
        if isinstance(found.get("say"), str):
            say(shown(found["say"]))
        else:
            rest = [*rest[-5:], shown(line.decode(errors="replace").rstrip())]
    return {"rest": f"it said more than {MOST} lines"}


def _read(line: bytes) -> Answer:
    try:
        found = jsontext.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def described(about: Any) -> EnvError:
    """The error that a unit tells of."""
    about = about if isinstance(about, dict) else {}
    kind = BadLock if about.get("for_good") is True else EnvError
    text = {key: str(about.get(key, "")) for key in ("message", "fix", "detail")}
    detail = "\n".join(shown(line) for line in text["detail"].splitlines()[-20:])
    return kind(shown(text["message"])[:2000], fix=shown(text["fix"])[:500], detail=detail)


def _unit(name: str, yard: Yard | None, network: bool, seconds: int, user: str = "") -> list[str]:
    who = f"User={user}" if user else NOBODY
    given = [who, *WALLS, *BUILD, *(NETWORK if network else NO_NETWORK), f"RuntimeMaxSec={seconds}"]
    given += [FILE, f"BindPaths={yard.hidden}:{yard.seen}"] if yard else [OUTPUT]
    variables = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/tmp"}  # noqa: S108
    variables |= {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    return [
        *("systemd-run", "--quiet", "--wait", "--collect", "--pipe", "--service-type=exec"),
        *(f"--unit={name}", "--description=Work for mlops that nobody trusts"),
        *(f"--property={line}" for line in given),
        *(f"--setenv={key}={value}" for key, value in variables.items()),
        "--",
    ]
