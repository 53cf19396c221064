"""A directory of one user in which a group works too."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_install.entries import At, entry
from mlops_install.resource import Made, Resource, Run, Step
from mlops_install.resources.file import Access, access
from mlops_install.shell import as_user, sh


@dataclass(frozen=True)
class Shared(Resource[Access]):
    """A directory whose group may do what its owner may.

    What the owner alone had in it is opened to the group. Its own user does that: for root, the
    user could put a link in a file's place meanwhile.
    """

    path: str
    owner: str
    group: str

    @property
    def name(self) -> str:
        return f"directory {self.path}"

    @property
    def desired(self) -> Access:
        return Access("2770", self.owner, self.group)

    def probe(self) -> At:
        return At(f"{self.path}/.")  # where it is a link, its end: a folder on another disk

    def parse(self, answer: str) -> Access | None:
        found = entry(answer)
        return access(found) if found and found.kind == "d" else None

    def makes(self) -> tuple[Made, ...]:
        return (Made("tree", self.path),)

    def change(self, current: Access | None) -> Iterator[Step]:
        if current and current.group != self.group:
            yield Run(self._opened(), title=f"chgrp -R {self.group} {self.path}")
        rights = ("install", "-d", "-m", "2770", "-o", self.owner, "-g", self.group)
        yield Run(sh(*rights, self.path))

    def _opened(self) -> str:
        """The directory itself comes last: it tells whether this was done."""
        mine = ("find", f"{self.path}/", "-mindepth", "1", "-user", self.owner)
        every = (*mine, "!", "-type", "l", "-exec", "chgrp", self.group, "{}", "+",
                 "-exec", "chmod", "g+rwX", "{}", "+")  # fmt: skip
        folders = (*mine, "-type", "d", "-exec", "chmod", "g+s", "{}", "+")
        return "\n".join(as_user(self.owner, *x, group=self.group) for x in (every, folders))
