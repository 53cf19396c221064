"""Who runs what is not ours: an unprivileged user, with nothing of ours in its variables."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_server.errors import EnvError


@dataclass(frozen=True)
class Person:
    """The user to become; one without an id is whoever we are."""

    name: str
    home: str
    uid: int | None = None
    gid: int = 0
    groups: tuple[int, ...] = ()

    @classmethod
    def named(cls, name: str | None) -> "Person":
        """The user of this name; only root can become another. Raises `EnvError`."""
        if name is None or os.geteuid() != 0:
            me = pwd.getpwuid(os.geteuid())
            return cls(me.pw_name, me.pw_dir)
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            raise EnvError(
                f"there is no user {name}", fix="`mlops-install apply` creates it"
            ) from None
        groups = tuple(os.getgrouplist(name, entry.pw_gid))
        return cls(name, entry.pw_dir, entry.pw_uid, entry.pw_gid, groups)

    def become(self) -> None:
        """Give up root for good."""
        if self.uid is not None:
            os.setgroups(self.groups)
            os.setgid(self.gid)
            os.setuid(self.uid)

    def options(self) -> dict[str, Any]:
        """What `subprocess` takes to run a program as this user.

        It has a session of its own: with our terminal it could type what our shell then runs.
        """
        own: dict[str, Any] = {"cwd": "/", "start_new_session": True}
        if self.uid is not None:
            own |= {"user": self.uid, "group": self.gid, "extra_groups": self.groups}
        return own

    def variables(self, prefix: Path) -> dict[str, str]:
        """A clean set, with the environment's programs first."""
        kept = {name: os.environ[name] for name in ("TERM", "TZ") if name in os.environ}
        return kept | {
            "HOME": self.home,
            "USER": self.name,
            "LOGNAME": self.name,
            "SHELL": "/bin/bash",
            "LANG": "C.UTF-8",
            "PATH": f"{prefix}/bin:/usr/local/bin:/usr/bin:/bin",
            "CONDA_PREFIX": str(prefix),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
