"""Files, directories and links."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_install.digest import digest
from mlops_install.entries import At, Entry, entry
from mlops_install.resource import Made, Put, Resource, Run, Step
from mlops_install.shell import sh

MASK = "(secret)"


@dataclass(frozen=True)
class Access:
    """Who may do what: mode as four octal digits."""

    mode: str
    owner: str
    group: str


def access(found: Entry) -> Access:
    """The rights of what is there."""
    return Access(found.mode, found.owner, found.group)


@dataclass(frozen=True)
class FileState:
    """A regular file; `sha256` in hex."""

    sha256: str
    access: Access


@dataclass(frozen=True)
class File(Resource[FileState]):
    """A file with this content; a `secret` one is never shown."""

    path: str
    content: str
    mode: int = 0o644
    owner: str = "root"
    group: str = "root"
    secret: bool = False
    present: bool = True

    @property
    def name(self) -> str:
        return f"file {self.path}"

    @property
    def desired(self) -> FileState | None:
        access = Access(f"{self.mode:04o}", self.owner, self.group)
        return FileState(digest(self.content), access) if self.present else None

    def probe(self) -> At:
        return At(self.path, content=True)

    def parse(self, answer: str) -> FileState | None:
        found = entry(answer)
        return FileState(found.sha256, access(found)) if found and found.kind == "f" else None

    def change(self, current: FileState | None) -> Iterator[Step]:
        if self.present:
            yield Put(self.path, self.content.encode(), self.mode, self.owner, self.group)
        else:
            yield Run(sh("rm", "-f", self.path))

    def makes(self) -> tuple[Made, ...]:
        return (Made("file", self.path),) if self.present else ()

    def look(self) -> str:
        return "" if self.secret else f"head -c 65536 {sh(self.path)} 2>/dev/null"

    def wanted_text(self) -> str:
        return self.content if self.present else ""


@dataclass(frozen=True)
class Directory(Resource[Access]):
    """A directory; what is in it is left alone.

    With `whole` all that comes into it is ours, and goes with it at an uninstall.
    """

    path: str
    mode: int = 0o755
    owner: str = "root"
    group: str = "root"
    whole: bool = False

    @property
    def name(self) -> str:
        return f"directory {self.path}"

    @property
    def desired(self) -> Access:
        return Access(f"{self.mode:04o}", self.owner, self.group)

    def probe(self) -> At:
        return At(f"{self.path}/.")  # where it is a link, its end: a folder on another disk

    def parse(self, answer: str) -> Access | None:
        found = entry(answer)
        return access(found) if found and found.kind == "d" else None

    def makes(self) -> tuple[Made, ...]:
        return (Made("tree" if self.whole else "directory", self.path),)

    def change(self, current: Access | None) -> Iterator[Step]:
        # Five digits: with fewer a folder keeps a setgid bit that it has.
        yield Run(
            sh("install", "-d", "-m", f"{self.mode:05o}", "-o", self.owner, "-g", self.group)
            + f" {sh(self.path)}"
        )


@dataclass(frozen=True)
class LinkState:
    """Where a symbolic link points, as written in it."""

    target: str


@dataclass(frozen=True)
class Link(Resource[LinkState]):
    """A symbolic link, switched by one rename."""

    path: str
    target: str
    present: bool = True

    @property
    def name(self) -> str:
        return f"link {self.path}"

    @property
    def desired(self) -> LinkState | None:
        return LinkState(self.target) if self.present else None

    def probe(self) -> At:
        return At(self.path)

    def parse(self, answer: str) -> LinkState | None:
        found = entry(answer)
        return LinkState(found.target) if found and found.target else None

    def makes(self) -> tuple[Made, ...]:
        return (Made("link", self.path),) if self.present else ()

    def change(self, current: LinkState | None) -> Iterator[Step]:
        new = self.path + ".mlops-new"
        if self.present:
            yield Run(
                f"{sh('ln', '-sfn', self.target, new)}\n{sh('mv', '-fT', new, self.path)}",
                title=f"ln -s {self.target} {self.path}",
            )
        else:
            yield Run(sh("rm", "-f", self.path))


@dataclass(frozen=True)
class FirstLink(Link):
    """A link that is made once; where it points afterwards is somebody else's business."""

    def parse(self, answer: str) -> LinkState | None:
        return super().parse(answer) and LinkState(self.target)


class SoundLink(Link):
    """A link to something that is there: a dangling one counts as none."""

    def parse(self, answer: str) -> LinkState | None:
        found = entry(answer)
        dangling = found is not None and found.kind in ("N", "L", "?")
        return None if dangling else super().parse(answer)
