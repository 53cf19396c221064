"""Locales."""

from collections.abc import Iterator
from dataclasses import dataclass

from mlops_install.resource import ABSENT, Made, Resource, Run, Step
from mlops_install.shell import sh


@dataclass(frozen=True)
class LocaleState:
    """A locale that programs can use."""

    name: str


@dataclass(frozen=True)
class Locale(Resource[LocaleState]):
    """A UTF-8 locale such as de_CH.UTF-8, compiled where the system does not have it."""

    locale: str

    @property
    def name(self) -> str:
        return f"locale {self.locale}"

    @property
    def desired(self) -> LocaleState:
        return LocaleState(self.locale)

    def probe(self) -> str:
        name = self.locale.replace("UTF-8", "utf8")
        return f"locale -a | grep -qx {sh(name)} || exit {ABSENT}\necho {sh(self.locale)}"

    def parse(self, answer: str) -> LocaleState:
        return LocaleState(answer.strip())

    def makes(self) -> tuple[Made, ...]:
        return (Made("locale", self.locale),)

    def change(self, current: LocaleState | None) -> Iterator[Step]:
        language = self.locale.partition(".")[0]
        yield Run(sh("localedef", "-i", language, "-f", "UTF-8", self.locale))
