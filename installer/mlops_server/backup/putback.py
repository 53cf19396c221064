"""Files of a backup return to their places; doing it twice does no harm.

What is on the server and newer by its nature stays: the history and journal, the release in
force, models in service and their tokens, files in the data folder.
"""

import os
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.services.records import Records

SERVICES = Path("etc/mlops/services")
TOKENS = Path("etc/mlops/secrets/services")
HISTORY = Path("var/lib/mlops/history.jsonl")
ASIDE = ".mlops-restore"
"""In the data folder, which may be a file system of its own."""


def files(layout: Layout, source: Path) -> None:
    """Put back configuration, secrets and state from an unpacked tree."""
    for path in _configuration(source):
        _copy(source / path, layout.root / path)
    for path in _below(source, TOKENS):
        if Records(layout).current(path.name) is None:
            _copy(source / path, layout.root / path)
    for path in _below(source, Path("var/lib/mlops/made")):
        _copy(source / path, layout.root / path)
    _history(source / HISTORY, layout.root / HISTORY)
    if not _in_force(layout):
        _workflows(layout, source)


def _configuration(source: Path) -> Iterator[Path]:
    for path in _below(source, Path("etc/mlops")):
        if SERVICES not in path.parents and TOKENS not in path.parents:
            yield path


def _below(source: Path, top: Path) -> Iterator[Path]:
    """Files and links below a folder, relative to the source, folders made before."""
    for place, _, names in os.walk(source / top):
        for name in sorted(names):
            yield (Path(place) / name).relative_to(source)
        for link in sorted(Path(place).iterdir()):
            if link.is_symlink() and link.is_dir():
                yield link.relative_to(source)


def _in_force(layout: Layout) -> bool:
    """Whether the server has workflows: then Git, or whoever put them there, knows better."""
    current = layout.current_release
    return any(path.is_file() for path in current.glob("dags/*")) or bool(
        next(current.glob("models/*/*"), None)
    )


def _workflows(layout: Layout, source: Path) -> None:
    """The release of the backup and what is known of commits; the link comes last."""
    for top in ("srv/mlops/workflows/releases", "var/lib/mlops/workflows"):
        for path in _below(source, Path(top)):
            if not path.name.startswith(".") or "releases" in path.parts:
                _copy(source / path, layout.root / path)
    link = Path("srv/mlops/workflows/current")
    if (source / link).is_symlink():
        _copy(source / link, layout.root / link)


def _history(old: Path, now: Path) -> None:
    """Who ran when: the backup's lines that are not there, before those that are."""
    if not old.exists():
        return
    present = now.read_text().splitlines() if now.exists() else []
    missing = [line for line in old.read_text().splitlines() if line not in present]
    if missing:
        fresh = now.with_name(f".{now.name}.new")
        fresh.write_text("".join(f"{line}\n" for line in [*missing, *present]))
        fresh.replace(now)


def _copy(source: Path, target: Path) -> None:
    """One file or link with owner and mode, by one rename; its folders where they are missing."""
    _folders(source.parent, target.parent)
    fresh = target.with_name(f".{target.name}.mlops-new")
    fresh.unlink(missing_ok=True)
    if source.is_symlink():
        fresh.symlink_to(os.readlink(source))
    else:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with source.open("rb") as old, open(descriptor, "wb") as new:
            shutil.copyfileobj(old, new)
            new.flush()
            os.fsync(new.fileno())
        _access(source, fresh)
    fresh.replace(target)


def _folders(source: Path, target: Path) -> None:
    if not target.exists():
        _folders(source.parent, target.parent)
        target.mkdir()
        _access(source, target)


def _access(source: Path, target: Path) -> None:
    found = source.stat()
    os.chown(target, found.st_uid, found.st_gid)
    target.chmod(found.st_mode & 0o7777)


def data(layout: Layout, source: Path) -> None:
    """Files of the data folder that are missing come back; those that are there stay.

    Unpacked aside, so that no file is there in part; and tasks own the folder, so no link of
    theirs is followed.
    """
    aside = layout.data / ASIDE
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o700)
    with _opened(aside) as old, _opened(layout.data.resolve()) as new:
        top = str(layout.data.relative_to(layout.root))
        words = ["tar", "--extract", "--gzip", "--same-permissions", "--same-owner"]
        words += ["--directory", f"/proc/self/fd/{old}", "--file", str(source), "--", top]
        done = subprocess.run(words, capture_output=True, text=True, check=False, pass_fds=[old])
        if done.returncode:
            shutil.rmtree(aside)
            raise EnvError(
                "the data folder cannot be put back", detail=done.stderr, fix="make room"
            )
        with _opened(top, old) as unpacked:
            _fill(unpacked, new)
    shutil.rmtree(aside)


def _fill(old: int, new: int) -> None:
    """Move what is missing from one folder into another, both open."""
    for name in os.listdir(old):
        if stat.S_ISDIR(os.stat(name, dir_fd=old, follow_symlinks=False).st_mode):
            _fill_folder(name, old, new)
        else:
            with suppress(FileExistsError):
                os.link(name, name, src_dir_fd=old, dst_dir_fd=new, follow_symlinks=False)


def _fill_folder(name: str, old: int, new: int) -> None:
    try:
        os.rename(name, name, src_dir_fd=old, dst_dir_fd=new)
    except OSError:  # there is one with something in it, or a link or file of this name
        with suppress(NotADirectoryError), _opened(name, new) as there, _opened(name, old) as here:
            _fill(here, there)


@contextmanager
def _opened(path: str | Path, folder: int | None = None) -> Iterator[int]:
    """A folder, open; it may not be a link itself."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def services_aside(layout: Layout, stage: Path) -> None:
    """Keep the records of models in service for `rebuild`."""
    found = stage / "files" / SERVICES
    if found.is_dir() and not (stage / "services").exists():
        found.rename(stage / "services")
