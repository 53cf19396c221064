"""The root file systems of boxes: one read-only directory per system, made once and shared."""

import hashlib
import os
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path

from mlops_install.box import host
from mlops_install.box.tools import run
from mlops_install.errors import BoxError

SYSTEMS = {"debian-12": "bookworm", "debian-13": "trixie"}
MAX_AGE = 14 * 24 * 3600  # seconds; older ones lack security updates that a new server has
INCLUDE = (
    "ca-certificates", "dbus", "iproute2", "openssh-server", "sudo", "systemd", "systemd-sysv",
    "udev",
)  # fmt: skip
# A build that outlives the killed process which wanted it would meet the next one.
DIE_WITH_US = (
    "setpriv", "--pdeathsig", "KILL",
    "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
)  # fmt: skip
# The apt timers would hold apt's lock at random times. Host keys must differ from box to box.
HOOK = """
set -eu
root=$1
rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/apt/apt.conf.d/99mmdebstrap"
: >"$root/etc/machine-id"
: >"$root/etc/fstab"
: >"$root/etc/resolv.conf"
chmod 0644 "$root/etc/resolv.conf"
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/box"
for unit in apt-daily.timer apt-daily-upgrade.timer sshd-keygen.service; do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
chroot "$root" useradd --create-home --shell /bin/bash --groups sudo debian
echo 'debian ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/debian"
chmod 0440 "$root/etc/sudoers.d/debian"
for home in root home/debian; do
    install -d -m 0700 "$root/$home/.ssh"
done
chroot "$root" chown -R debian:debian /home/debian
cat >"$root/etc/ssh/sshd_config.d/box.conf" <<'END'
PasswordAuthentication no
KbdInteractiveAuthentication no
HostKey /etc/ssh/ssh_host_ed25519_key
END
"""


def cache() -> Path:
    """Where root file systems are kept; MLOPS_BOX_CACHE names another place."""
    return Path(os.environ.get("MLOPS_BOX_CACHE") or "/var/cache/mlops-box").absolute()


def recipe_key(system: str) -> str:
    """Ten hex digits that change whenever what is built for `system` changes."""
    recipe = "\n".join((system, SYSTEMS[system], *INCLUDE, HOOK))
    return hashlib.sha256(recipe.encode()).hexdigest()[:10]


def rootfs(system: str, used: Collection[Path], say: Callable[[str], None]) -> Path:
    """The directory with the root file system of `system`, built when there is no fresh one.

    `used` are the directories that boxes stand on; other outdated ones are removed after a
    build. When building fails an outdated one is taken, with a message. Hold a lock.
    """
    old = _built(system)
    if old and time.time() - _made(old[-1]) < MAX_AGE:
        return old[-1]
    try:
        new = _build(system, say)
    except BoxError as error:
        if not old:
            raise
        say(f"Cannot renew {system}, so the old one is used: {error}")
        return old[-1]
    _prune(new, system, used)
    return new


def _built(system: str) -> list[Path]:
    """The finished directories of the present recipe, oldest first."""
    return sorted(cache().glob(f"{system}-{recipe_key(system)}-*"))


def _made(path: Path) -> float:
    return time.mktime(time.strptime(path.name.rpartition("-")[2], "%Y%m%d%H%M%S"))


def _build(system: str, say: Callable[[str], None]) -> Path:
    say(f"Building {system} once (20 seconds to 2 minutes)")
    aside = cache() / ".building"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o755, parents=True)
    try:
        _mmdebstrap(SYSTEMS[system], aside)
        stamp = time.strftime("%Y%m%d%H%M%S")
        return aside.rename(cache() / f"{system}-{recipe_key(system)}-{stamp}")
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _mmdebstrap(codename: str, target: Path) -> None:
    hook = cache() / ".hook"
    hook.write_text(HOOK)
    options = host.apt_options(run("apt-config", "dump"))
    lines = [line for source in host.apt_sources(codename) for line in source.one_line()]
    try:
        run(
            *DIE_WITH_US, "mmdebstrap", "--variant=minbase", "--quiet", "--format=directory",
            f"--include={','.join(INCLUDE)}",
            f"--customize-hook=sh {hook} \"$1\"",
            *(['--customize-hook=rm -f "$1/etc/apt/sources.list"'] if lines else []),
            *(f'--aptopt={name} "{value}"' for name, value in options.items()),
            "--dpkgopt=force-unsafe-io",
            codename, str(target), *lines,
        )  # fmt: skip
    except BoxError as error:
        error.fix = "Check that apt-get update works on this machine, then try again."
        raise


def _prune(new: Path, system: str, used: Collection[Path]) -> None:
    for path in cache().glob(f"{system}-*"):
        if path != new and path not in used:
            shutil.rmtree(path, ignore_errors=True)


def put(
    layers: tuple[Path, ...], upper: Path, path: str, text: str, mode: int = 0o644, owner: int = 0
) -> None:
    """Write a file of the box that does not run yet: into `upper`, over what `layers` have.

    Directories on the way get the rights they have below, as those of `upper` count.
    """
    relative = Path(path).relative_to("/")
    for parent in reversed(relative.parents):
        models = (layer / parent for layer in layers)
        _same_directory(next((m for m in models if m.is_dir()), None), upper / parent)
    target = upper / relative
    target.unlink(missing_ok=True)
    target.touch(mode=mode)
    target.chmod(mode)
    os.chown(target, owner, owner)
    target.write_text(text)


def _same_directory(model: Path | None, target: Path) -> None:
    target.mkdir(mode=0o755, exist_ok=True)
    if model:
        status = model.stat()
        os.chown(target, status.st_uid, status.st_gid)
        target.chmod(status.st_mode & 0o7777)
