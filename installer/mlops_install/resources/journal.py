"""The beginning of the journal, also on a server that was installed before there was one."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mlops_install.journal import FILE, START, UNKNOWN, Entry, prelude
from mlops_install.resource import ABSENT, Made, Resource, Run, Step
from mlops_install.shell import here, sh

# Which packages came by our own calls of apt, which one option tells.
HISTORY = r"""
zcat -f /var/log/apt/history.log* 2>/dev/null | awk -v RS= '
  /Commandline:[^\n]*APT::Get::List-Cleanup=0/ && match($0, /\nInstall: [^\n]*/) {
    line = substr($0, RSTART + 10, RLENGTH - 10); gsub(/\([^)]*\)/, "", line)
    n = split(line, names, /, */)
    for (i = 1; i <= n; i++) { sub(/:.*/, "", names[i]); print names[i] }
  }' | sort -u | while read -r name; do note package "$name"; done
"""
GENERATIONS = ("/opt/mlops/airflow", "/opt/mlops/tools", "/opt/mlops/lib/python")
DROP_INS = ("/etc/systemd/", "/etc/postgresql-common/")


@dataclass(frozen=True)
class JournalState:
    """A journal that has its first line."""


@dataclass(frozen=True)
class Journal(Resource[JournalState]):
    """There is a journal. What an earlier installer made without one is in `made`."""

    made: tuple[Made, ...] = field(default=(), repr=False)

    @property
    def name(self) -> str:
        return "journal"

    @property
    def desired(self) -> JournalState:
        return JournalState()

    def probe(self) -> str:
        return f'grep -qs \'"kind": "{START}"\' {FILE} || exit {ABSENT}'

    def parse(self, answer: str) -> JournalState:
        return JournalState()

    def change(self, current: JournalState | None) -> Iterator[Step]:
        if self.made:
            lines = "".join(f"{made.kind} {made.name}\n" for made in self._with_folders())
            yield Run(
                f"{prelude()}\nwhile read -r kind name; do\n"
                f'  journal_has "$kind" "$name" || journal_add "$kind" "$name" {UNKNOWN}\n'
                f"done < <({here(lines.encode())})\n{HISTORY}",
                title=f"note {len(self.made)} things that are there, in {FILE}",
            )
        line = Entry(START, "1", "none", "%s").line()
        yield Run(
            f"mkdir -p {sh(FILE.rpartition('/')[0])}\n"
            f'printf {sh(line + chr(92) + "n")} "$(date -u +%FT%TZ)" >> {FILE}\nsync -d {FILE}',
            title=f"begin {FILE}",
        )

    def _with_folders(self) -> Iterator[Made]:
        """Drop-ins brought their folders along; generations that are older are not in the plan."""
        for path in GENERATIONS:
            yield Made("tree", path)
        for made in self.made:
            above = made.name.rpartition("/")[0]
            if made.kind == "file" and above.startswith(DROP_INS) and above.endswith(".d"):
                yield Made("directory", above)
            yield made
