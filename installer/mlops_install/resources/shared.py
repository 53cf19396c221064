"""A directory of one user in which a group works too."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_install.resource import Run, Step
from mlops_install.resources.file import Access, Directory
from mlops_install.shell import as_user


@dataclass(frozen=True)
class Shared(Directory):
    """A directory whose group may do what its owner may.

    What the owner alone had in it is opened to the group. Its own user does that: for root, the
    user could put a link in a file's place meanwhile.
    """

    mode: int = 0o2770
    whole: bool = True

    def change(self, current: Access | None) -> Iterator[Step]:
        if current and current.group != self.group:
            yield Run(self._opened(), title=f"chgrp -R {self.group} {self.path}")
        yield from super().change(current)

    def _opened(self) -> str:
        """The directory itself comes last: it tells whether this was done."""
        mine = ("find", f"{self.path}/", "-mindepth", "1", "-user", self.owner)
        every = (*mine, "!", "-type", "l", "-exec", "chgrp", self.group, "{}", "+",
                 "-exec", "chmod", "g+rwX", "{}", "+")  # fmt: skip
        folders = (*mine, "-type", "d", "-exec", "chmod", "g+s", "{}", "+")
        return "\n".join(as_user(self.owner, *x, group=self.group) for x in (every, folders))
