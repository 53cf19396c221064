"""A folder with exactly these files, such as a workflow release."""

import io
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mlops_install.digest import digest
from mlops_install.resource import ABSENT, Made, Put, Resource, Run, Step
from mlops_install.shell import sh

EPOCH = 315532800  # the same files make the same archive; ZIP begins in 1980
OURS = "-name __pycache__ -prune -o"


@dataclass(frozen=True)
class Content:
    """A file of a tree."""

    data: bytes = field(repr=False)
    executable: bool = False

    @property
    def mode(self) -> int:
        """Permissions on the server."""
        return 0o755 if self.executable else 0o644


Files = Mapping[str, Content]
"""Path below the folder -> file. Paths hold no control characters and no backslash."""


def tree_digest(files: Files) -> str:
    """SHA-256 in hex over permissions, names and contents, as the probe computes it."""
    paths = {f"./{path}".encode(): content for path, content in files.items()}
    modes = sorted(b"%o %s\n" % (content.mode, path) for path, content in paths.items())
    sums = (b"%s  %s\n" % (digest(paths[path].data).encode(), path) for path in sorted(paths))
    return digest(*modes, *sums)


@dataclass(frozen=True)
class TreeState:
    """`sha256` over all files; `odd` counts what is no file or folder, or others may change."""

    sha256: str
    odd: int = 0


@dataclass(frozen=True)
class Tree(Resource[TreeState]):
    """A folder with exactly these files, owned by root; unpacked aside and put there at once.

    Byte code that Python leaves in it does not count.
    """

    path: str
    files: Files = field(repr=False)
    what: str = "tree"

    @property
    def name(self) -> str:
        return f"{self.what} {self.path}"

    @property
    def desired(self) -> TreeState:
        return TreeState(tree_digest(self.files))

    def probe(self) -> str:
        return (
            f"cd {sh(self.path)} 2>/dev/null || exit {ABSENT}\nexport LC_ALL=C\n"
            f"(find . {OURS} -type f -printf '%m %p\\n' | sort\n"
            f"find . {OURS} -type f -print0 | sort -z | xargs -0r sha256sum) | sha256sum\n"
            f"find . {OURS} \\( ! -type f ! -type d -o ! -user root -o -perm /022 \\) -print |"
            " wc -l"
        )

    def parse(self, answer: str) -> TreeState:
        sha256, _, odd = answer.split()
        return TreeState(sha256, int(odd))

    def makes(self) -> tuple[Made, ...]:
        return (Made("tree", self.path),)

    def change(self, current: TreeState | None) -> Iterator[Step]:
        new, old = f"{self.path}.mlops-new", f"{self.path}.mlops-old"
        yield Run(sh("rm", "-rf", new, old))
        yield Put(f"{new}/.tar", _tar(self.files), 0o600)
        yield Run(
            f"{sh('tar', '-C', new, '--no-same-owner', '-xf', f'{new}/.tar')}\n"
            f"{sh('rm', f'{new}/.tar')}\n{sh('sync', '-f', new)}\n"
            f"[ ! -e {sh(self.path)} ] || {sh('mv', '-T', self.path, old)}\n"
            f"{sh('mv', '-T', new, self.path)}\n{sh('rm', '-rf', old)}",
            title=f"unpack {len(self.files)} files into {self.path}",
        )


def _tar(files: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in sorted(files.items()):
            info = tarfile.TarInfo(path)
            info.size, info.mode, info.mtime = len(content.data), content.mode, EPOCH
            tar.addfile(info, io.BytesIO(content.data))
    return buffer.getvalue()
