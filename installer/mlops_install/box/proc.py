"""The processes of a box: systemd-nspawn, detached, in control groups of its own.

The groups tell whether a box runs and let it be killed as a whole. Without them two boxes would
share one group, as nspawn makes its own below that of its caller.
"""

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from mlops_install.errors import BoxError

GROUP = "mlops-box"
# Joined before the caller goes on, so that it never takes a starting box for a dead one.
DETACH = """
set -eu
for group in $GROUPS_OF_BOX; do echo 0 >"$group/start/cgroup.procs"; done
exec setsid --fork unshare --mount --propagation slave sh -c "$LAUNCH" "$0" "$@"
"""
# The overlay is mounted in a mount namespace that dies with the box: nothing to unmount.
# redirect_dir lets folders of a lower layer be renamed, as on any server. volatile spares the
# syncs; the pages stay in this machine's memory when a box is killed.
# nspawn exits with 133 when the box asks for a reboot, and needs a group without old children.
LAUNCH = """
set -eu
(cd "$STATE/work" && rm -rf work/incompat)
layers=lowerdir=$LOWER,upperdir=$STATE/upper,workdir=$STATE/work
mount -t overlay -o "$layers,redirect_dir=on,volatile" mlops-box "$STATE/root" ||
    mount -t overlay -o "$layers" mlops-box "$STATE/root"
boot=0
while :; do
    boot=$((boot + 1))
    for group in $GROUPS_OF_BOX; do mkdir "$group/boot-$boot"; done
    code=0
    (
        for group in $GROUPS_OF_BOX; do echo 0 >"$group/boot-$boot/cgroup.procs"; done
        exec "$@"
    ) || code=$?
    [ "$code" = 133 ] || exit "$code"
done
"""


def start(name: str, state: Path, lower: str, namespace: Path) -> None:
    """Boot the box in the background; what its console says goes to `state`/console.log."""
    groups = _groups(name)
    for group in groups:
        (group / "start").mkdir(parents=True, exist_ok=True)
        _delegate(group)
    variables = {
        "LAUNCH": LAUNCH,
        "STATE": str(state),
        "LOWER": lower,
        "GROUPS_OF_BOX": " ".join(map(str, groups)),
        "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
        "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
        "SYSTEMD_NSPAWN_TMPFS_TMP": "0",
    }
    with (state / "console.log").open("w") as log:
        subprocess.run(
            ["sh", "-c", DETACH, GROUP, *_nspawn(name, state / "root", namespace)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", check=True,
            env={"PATH": os.environ.get("PATH", os.defpath), **variables},
        )  # fmt: skip


def _nspawn(name: str, root: Path, namespace: Path) -> list[str]:
    """The command of a box: bpf and its capabilities make IPAddressDeny= and the like work."""
    return [
        "systemd-nspawn", "--quiet", "--settings=no", "--boot", "--keep-unit", "--register=no",
        "--resolv-conf=off", "--timezone=off", "--link-journal=no",
        f"--directory={root}", f"--machine={name}", f"--network-namespace-path={namespace}",
        "--capability=CAP_NET_ADMIN,CAP_BPF,CAP_PERFMON", "--system-call-filter=bpf",
    ]  # fmt: skip


def running(name: str) -> bool:
    """Whether a process of the box is alive."""
    return bool(_pids(name))


def power_off(name: str) -> None:
    """SIGKILL to every process of the box, and wait until all are gone."""
    deadline = time.monotonic() + 30
    while pids := _pids(name):
        for pid in [*_leaders(pids), *pids]:
            _signal(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise BoxError(
                f"box {name} survives SIGKILL: processes {pids}", fix="restart this machine"
            )
        time.sleep(0.02)
    _remove_groups(name)


def halt(name: str, seconds: float = 120) -> None:
    """Have the box's systemd power it off; BoxError when it still runs after `seconds`."""
    deadline = time.monotonic() + seconds
    asked = False
    while pids := _pids(name):
        for pid in [] if asked else _leaders(pids):
            _signal(pid, signal.SIGRTMIN + 4)  # start poweroff.target
            asked = True
        if time.monotonic() > deadline:
            raise BoxError(
                f"box {name} does not shut down", fix=f"`mlops-install box down {name}` removes it"
            )
        time.sleep(0.05)
    _remove_groups(name)


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _leaders(pids: list[int]) -> list[int]:
    """The box's process 1: with it the kernel ends all that is in its namespace."""
    return [pid for pid in pids if _inner_pid(pid) == "1"]


def _inner_pid(pid: int) -> str:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""
    numbers = next((li.split()[1:] for li in status.splitlines() if li.startswith("NSpid:")), [])
    return numbers[-1] if len(numbers) > 1 else ""


def _pids(name: str) -> list[int]:
    # os.walk, unlike glob, minds no group that vanishes while it looks.
    folders = [Path(folder) for group in _groups(name) for folder, _, _ in os.walk(group)]
    files = [folder / "cgroup.procs" for folder in folders]
    return sorted({int(pid) for file in files for pid in _words(file)} - {0})


def _words(file: Path) -> list[str]:
    try:
        return file.read_text().split()
    except OSError:
        return []


def _groups(name: str) -> list[Path]:
    return [root / GROUP / name for root in hierarchies()]


def hierarchies() -> list[Path]:
    """Where control groups are mounted: version 2, and version 1's name=systemd if there is one."""
    found = []
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, where, kind, options, *_ = line.split()
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(",")):
            found.append(Path(where))
    return found


def _delegate(group: Path) -> None:
    """Hand memory, cpu and pids controllers down to the box, as far as this machine has them."""
    for parent in (group.parent.parent, group.parent, group):
        for controller in ("cpu", "io", "memory", "pids"):
            try:
                (parent / "cgroup.subtree_control").write_text(f"+{controller}")
            except OSError:
                continue


def _remove_groups(name: str) -> None:
    for group in _groups(name):
        for directory in [Path(folder) for folder, _, _ in os.walk(group, topdown=False)]:
            _remove_group(directory)


def _remove_group(directory: Path) -> None:
    for _ in range(50):
        try:
            return directory.rmdir()
        except FileNotFoundError:
            return None
        except OSError:
            time.sleep(0.02)
    return None
