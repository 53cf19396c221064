"""A commit becomes a release: its files are gathered, judged, written aside and renamed."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlops_server import lockfile
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.models import project
from mlops_server.workflows import nearness, refusals
from mlops_server.workflows.config import Config, refused, resolve
from mlops_server.workflows.git import Repository
from mlops_server.workflows.refusals import Entry, Rejected, shown
from mlops_server.workflows.remote import AbsentError
from mlops_server.workflows.state import Say

RELEASE = re.compile(r"[0-9a-f]{12}")
NEW = ".new-"
DEPTH = 3
POINTER = b"version https://git-lfs.github.com/spec/v1\n"
SMALL = 1024  # no Git LFS pointer is longer


@dataclass(frozen=True)
class Found:
    """A file of a release, and the mirror that it is read from."""

    entry: Entry
    repository: Repository


@dataclass
class Maker:
    """Makes releases of one repository. Hold the lock for repositories."""

    layout: Layout
    config: Config
    repository: Repository
    say: Say
    _found: dict[str, Found] = field(default_factory=dict)
    _large_files: dict[Path, set[str]] = field(default_factory=dict)
    """Repository -> the files of Git LFS that the release has."""

    def make(self, commit: str) -> dict[str, list[str]]:
        """Write the files of a commit aside. Raises `Rejected`.

        Names the files of Git LFS that it has, by the repository that they belong to.
        """
        self._found, self._large_files = {}, {}
        self._gather(self.repository, commit, "", 0)
        entries = {path: found.entry for path, found in self._found.items()}
        refusals.sizes(entries.values(), self.config.max_file_mb, self.config.max_release_mb)
        refusals.tree(entries)
        self._write(self.layout.releases / commit[:12])
        return {
            repository.path.name: sorted(self._large_files.get(repository.path, set()))
            for repository, _ in self._by_repository()
        }

    def _gather(self, repository: Repository, commit: str, prefix: str, depth: int) -> None:
        """Find what a commit holds, by the lists of Git alone; submodules are fetched."""
        modules: list[tuple[str, str]] = []
        described = None
        for entry in repository.files(commit):
            if isinstance(entry, tuple):
                modules.append(entry)
                continue
            if entry.path == ".gitmodules":
                described = entry
            placed = replace(entry, path=prefix + entry.path)
            self._found[placed.path] = Found(placed, repository)
            if len(self._found) > refusals.MAX_FILES:
                break  # a tree that holds itself many times over would never end
        refusals.sizes(
            (found.entry for found in self._found.values()),
            self.config.max_file_mb,
            self.config.max_release_mb,
        )
        self._read_links(repository, prefix)
        if modules and not self.config.submodules:
            self.say(f"{len(modules)} submodules are left out: submodules is off")
            return
        addresses = _addresses(repository, described) if modules else {}
        for path, pinned in modules:
            self._submodule(repository, addresses.get(path), prefix + path, pinned, depth + 1)

    def _read_links(self, repository: Repository, prefix: str) -> None:
        mine = [f for f in self._found.values() if f.entry.link and f.repository is repository]
        with repository.contents() as contents:
            for found in mine:
                path = found.entry.path
                if found.entry.size > refusals.MAX_PATH:
                    raise Rejected(f"the link {path} leads nowhere")
                try:
                    target = contents.read(found.entry).decode()
                except UnicodeDecodeError:
                    raise Rejected(f"the link {path} leads nowhere") from None
                if not target or "\0" in target:
                    raise Rejected(f"the link {path} leads nowhere")
                self._found[path] = Found(replace(found.entry, target=target), repository)

    def _submodule(
        self, parent: Repository, url: str | None, path: str, commit: str, depth: int
    ) -> None:
        what = f"submodule {path}"
        if url is None:
            raise Rejected(f"{what} has no address in .gitmodules")
        url = resolve(parent.url, url)
        if problem := refused(url, self.layout.protocols):
            raise Rejected(f"{what}: {shown(problem)}")
        if problem := nearness.refused(url, self.repository.url):
            raise Rejected(f"{what}: {shown(url)} {problem}")
        if depth > DEPTH:
            raise Rejected(f"{what} is more than {DEPTH} submodules deep")
        name = hashlib.sha256(url.encode()).hexdigest()[:16]
        mirror = Repository(self.layout, self.layout.submodules / f"{name}.git", url)
        mirror.ensure(commit)
        try:
            self._pinned(mirror, commit, path)
        except AbsentError:
            raise Rejected(f"{what}: {url} has no commit {commit[:12]}, or is not there") from None
        self._gather(mirror, commit, f"{path}/", depth)

    def _pinned(self, mirror: Repository, commit: str, path: str) -> None:
        """Fetch one commit, or where a server gives none by its name, all branches and tags."""
        if mirror.commit(commit):
            return
        self.say(f"submodule {path}: {mirror.url} {commit[:12]}")
        try:
            mirror.fetch(commit, f"refs/mlops/{commit}")
        except AbsentError:
            mirror.fetch("refs/heads/*", "refs/mlops/heads/*")
            mirror.fetch("refs/tags/*", "refs/mlops/tags/*")
        if mirror.commit(commit) != commit:
            raise AbsentError(f"{commit[:12]} is not there")

    def _write(self, folder: Path) -> None:
        """Write files first and links last, so that nothing is written through a link."""
        folder.mkdir(parents=True)
        total = 0
        for repository, entries in self._by_repository():
            with repository.contents() as contents:
                for entry in entries:
                    data = contents.read(entry)
                    if entry.size <= SMALL and data.startswith(POINTER):
                        data = self._large(repository, entry, data)
                    total += len(data)
                    if total > self.config.max_release_mb * refusals.MIB:
                        raise Rejected(f"the files are more than {self.config.max_release_mb} MiB")
                    _write_file(folder / entry.path, data, executable=entry.executable)
        for found in self._found.values():
            if found.entry.link:
                path = folder / found.entry.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.symlink_to(found.entry.target)

    def _by_repository(self) -> Iterator[tuple[Repository, list[Entry]]]:
        groups: dict[Path, tuple[Repository, list[Entry]]] = {}
        for found in self._found.values():
            group = groups.setdefault(found.repository.path, (found.repository, []))
            if not found.entry.link:
                group[1].append(found.entry)
        yield from groups.values()

    def _large(self, repository: Repository, entry: Entry, pointer: bytes) -> bytes:
        """The file behind a Git LFS pointer."""
        if not self.config.lfs:
            raise Rejected(f"{entry.path} is a pointer of Git LFS, and lfs is off")
        about = re.search(rb"^oid sha256:([0-9a-f]{64})\nsize (\d{1,15})$", pointer, re.MULTILINE)
        if not about:
            raise Rejected(f"{entry.path} is a damaged pointer of Git LFS")
        refusals.sizes(
            [replace(entry, size=int(about[2]))],
            self.config.max_file_mb,
            self.config.max_release_mb,
        )
        self._large_files.setdefault(repository.path, set()).add(about[1].decode())
        try:
            data = repository.large(pointer)
        except AbsentError:
            raise Rejected(f"{entry.path} is not on the Git LFS server") from None
        if hashlib.sha256(data).hexdigest() != about[1].decode():
            raise Rejected(f"{entry.path} from Git LFS is not what its pointer says")
        return data


def _addresses(repository: Repository, described: Entry | None) -> dict[str, str]:
    """Path -> address, as .gitmodules says."""
    if described is None or described.link:
        return {}
    paths: dict[str, str] = {}
    urls: dict[str, str] = {}
    for name, value in repository.settings(described.oid):
        section, _, key = name.rpartition(".")
        if section.startswith("submodule."):
            {"path": paths, "url": urls}.get(key, {})[section] = value
    return {path: urls[section] for section, path in paths.items() if section in urls}


def _write_file(path: Path, data: bytes, *, executable: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as file:
        file.write(data)
        os.fchmod(file.fileno(), 0o755 if executable else 0o644)


def models(release: Path, config: Config) -> tuple[project.Model, ...]:
    """The models of a release, with locks that fit them and this server. Raises `Rejected`."""
    try:
        found = project.read(release, config.cuda, allowed=config.channels)
    except EnvError as error:
        raise Rejected(f"{error.message}: {error.fix}") from None
    except (RecursionError, ValueError, OSError) as error:
        raise Rejected(f"models/ cannot be read: {shown(str(error))}") from None
    for model in found:
        if lockfile.subdir() not in model.platforms:
            raise Rejected(
                f"models/{model.name}/conda-lock.yml has no packages for {lockfile.subdir()}"
            )
    return found
