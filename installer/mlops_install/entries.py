"""What is at paths of the server. A command for each would cost a process each: two ask for all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlops_install.answer import Answer
from mlops_install.shell import sh

FORMAT = r"%p\t%Y %04m %u %g %s %l\n"
ABSENCE = "-e ': No such file or directory$' -e ': Not a directory$'"
"""What find and sha256sum may say in the locale C; anything else is an error, never absence."""
SUM = 64
"""Hex digits of a SHA-256; `sha256sum` prints two more characters before the path."""


@dataclass(frozen=True)
class At:
    """The question what is at a path; with `content` its checksum too."""

    path: str
    content: bool = False

    def shell(self) -> str:
        """The question alone, as shell text."""
        return script([self])


@dataclass(frozen=True)
class Entry:
    """What is at a path. `kind`, as find's %Y, and `sha256` are those of a link's end.

    mode: four octal digits; size: bytes; target: where a link points, as written in it.
    """

    kind: str
    mode: str
    owner: str
    group: str
    size: int
    target: str
    sha256: str


def script(questions: Sequence[At]) -> str:
    """Shell text that answers all of them; nothing is printed for a path that is not there."""
    if not questions:
        return "true"
    paths = sh(*dict.fromkeys(q.path for q in questions))
    files = sh(*dict.fromkeys(q.path for q in questions if q.content))
    sums = f"find {files} -maxdepth 0 -xtype f -print0 | xargs -0r sha256sum; " if files else ""
    return (
        f"export LC_ALL=C; exec 3>&1\n"
        f"errors=$({{ find {paths} -maxdepth 0 -printf '{FORMAT}'; {sums}}} 2>&1 >&3 |"
        f" grep -v {ABSENCE})\n"
        '[ -z "$errors" ] || { echo "$errors" >&2; exit 1; }'
    )


def by_path(answer: str) -> dict[str, str]:
    """The lines of the answer that belong to each path."""
    found: dict[str, str] = {}
    for line in answer.splitlines():
        path, tab, _ = line.partition("\t")
        path = path if tab else line[SUM + 2 :]
        found[path] = f"{found.get(path, '')}{line}\n"
    return found


def answers(questions: Sequence[At], reply: Answer) -> Iterator[Answer]:
    """The reply to each question: the lines about its path."""
    found = by_path(reply.text)
    for question in questions:
        yield Answer(found.get(question.path, ""), reply.code, reply.error)


def entry(answer: str) -> Entry | None:
    """The entry in the answer about one path; None when nothing is there."""
    lines = answer.splitlines()
    described = next((line for line in lines if "\t" in line), "")
    if not described:  # or it came between the two commands
        return None
    sums = [line for line in lines if line and line != described]
    _, _, words = described.partition("\t")
    kind, mode, owner, group, size, target = words.split(" ", 5)
    return Entry(kind, mode, owner, group, int(size), target, sums[0][:SUM] if sums else "")
