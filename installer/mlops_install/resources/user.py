"""System users."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_install.resource import ABSENT, Made, Resource, Run, Step
from mlops_install.shell import sh


@dataclass(frozen=True)
class UserState:
    """As in /etc/passwd."""

    home: str
    shell: str


@dataclass(frozen=True)
class SystemUser(Resource[UserState]):
    """A user for services, with a group of its own name; it cannot log in."""

    user: str
    home: str
    shell: str = "/usr/sbin/nologin"

    @property
    def name(self) -> str:
        return f"user {self.user}"

    @property
    def desired(self) -> UserState:
        return UserState(self.home, self.shell)

    def probe(self) -> str:
        return f"getent passwd {sh(self.user)} || exit {ABSENT}"

    def parse(self, answer: str) -> UserState:
        *_, home, shell = answer.strip().split(":")
        return UserState(home, shell)

    def makes(self) -> tuple[Made, ...]:
        return (Made("group", self.user), Made("user", self.user))

    def change(self, current: UserState | None) -> Iterator[Step]:
        where = ("--home-dir", self.home, "--shell", self.shell)
        if current is None:
            group = sh("getent", "group", self.user)
            add = sh("useradd", "--system", *where, "--no-create-home")
            yield Run(
                f"if {group} >/dev/null; then {add} -g {sh(self.user)} {sh(self.user)}\n"
                f"else {add} --user-group {sh(self.user)}; fi",
                title=f"{add} --user-group {self.user}",
            )
        else:
            yield Run(sh("usermod", "--home", self.home, "--shell", self.shell, self.user))
