"""The unit that one piece of work runs in: its walls, and its end."""

import os
import subprocess

from mlops_server.confined.folder import Yard
from mlops_server.errors import EnvError

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
ENDED = ("inactive", "failed")
PASSED = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR"),
)


def network() -> dict[str, str]:
    """The variables that say how downloads reach the world; for stdin, since units are public."""
    return {name: os.environ[name] for name in PASSED if name in os.environ}


def words(name: str, yard: Yard | None, network: bool, seconds: int, user: str = "") -> list[str]:
    """The command that runs another one in the unit `name`."""
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


def stop(name: str) -> None:
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
