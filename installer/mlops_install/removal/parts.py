"""The changes of an uninstall: each knows what of its own is left, and takes it away.

All of them are shell text that is made here and sent: nothing runs from what is being removed.
A check prints what is left, one thing in a line.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mlops_install.digest import digest
from mlops_install.engine import RUN_DIR
from mlops_install.journal import FILE, ORIGINALS, STATE, Entry
from mlops_install.removal import mounts
from mlops_install.removal.dump import dumping
from mlops_install.removal.found import DROPPING, TOPS, is_ours
from mlops_install.resource import ABSENT, Put, Resource, Run, Step
from mlops_install.resources.certificates import TRUSTED
from mlops_install.shell import here, sh
from mlops_install.sql import SOCKET, literal, sql

BACKUPS = f"{STATE}/backups"
LOGS = "/var/log/mlops"
OUT = f"{STATE}/out"
"""Units of others whose files went: they are still to be restarted, also after a reboot."""
DRAIN = """\
systemctl stop {units} 2>/dev/null & pid=$!; tenths=0
while kill -0 $pid 2>/dev/null; do
  sleep 0.2; tenths=$((tenths + 2))
  [ $((tenths % 100)) != 0 ] || echo "waiting for $(systemctl list-units --plain --no-legend \\
    --state=deactivating | cut -d' ' -f1 | tr '\\n' ' ')to end what runs"
done
wait $pid || true
"""
RESTORE = """\
while IFS= read -r path; do
  [ -e "{originals}$path" ] || [ -L "{originals}$path" ] || continue
  rm -rf "$path.mlops-new"; mkdir -p "${{path%/*}}"
  cp -aT "{originals}$path" "$path.mlops-new"
  [ -L "$path.mlops-new" ] || sync "$path.mlops-new"
  mv -fT "$path.mlops-new" "$path"; sync "${{path%/*}}"
  rm -f "{originals}$path"
done < <({paths})
"""


@dataclass(frozen=True)
class Left:
    """What is left of a part."""

    things: tuple[str, ...]


@dataclass(frozen=True)
class Part(Resource[Left]):
    """Something that shall be gone. `check` prints what of it is left."""

    title: str
    check: str = field(repr=False)
    steps: tuple[Step, ...] = field(repr=False)
    why: str = ""
    """Shell text that explains a failure."""

    @property
    def name(self) -> str:
        return self.title

    @property
    def desired(self) -> None:
        return None

    def probe(self) -> str:
        return f'left=$(\n{self.check}\n) || exit\n[ -n "$left" ] || exit {ABSENT}\necho "$left"'

    def parse(self, answer: str) -> Left:
        return Left(tuple(answer.splitlines()))

    def change(self, current: Left | None) -> Iterator[Step]:
        yield from self.steps

    def explain(self) -> str:
        return self.why


def services(units: Sequence[str]) -> Part:
    """Ours: stopped in the order that systemd knows, running tasks first come to their end."""
    first = [u for u in units if u.endswith((".timer", ".socket", ".path"))]
    # systemctl asks for one stop after the other: the target first, which takes all in their order.
    rest = sorted({*units} - {*first}, key=lambda u: (u != "airflow.target", u))
    stamps = [f"/var/lib/systemd/timers/stamp-{u}" for u in units if u.endswith(".timer")]
    check = (
        f"ls {sh(*stamps)} 2>/dev/null\n"
        f"systemctl show -p Id -p ActiveState -p UnitFileState {sh(*units)} | awk -v RS= -F'\\n' '"
        '{for (i = 1; i <= NF; i++) {split($i, p, "="); v[p[1]] = p[2]}}\n'
        'v["ActiveState"] != "inactive" || v["UnitFileState"] ~ /^enabled/ {print v["Id"]}\''
    )
    steps = (
        *(() if not first else (Run(f"systemctl stop {sh(*first)} 2>/dev/null || true",
                                    title=sh("systemctl", "stop", *first)),)),
        Run(DRAIN.format(units=sh(*rest)), title=sh("systemctl", "stop", *rest)),
        Run(f"systemctl disable -q {sh(*units)} 2>/dev/null || true\n"
            f"systemctl reset-failed {sh(*units)} 2>/dev/null || true",
            title="systemctl disable them all"),
        Run(sh("rm", "-f", *stamps)),
    )  # fmt: skip
    why = sh("journalctl", "--no-pager", "-n", "15", "-o", "short", *(f"-u{u}" for u in rest))
    return Part("services", check if units else "true", steps, why)


def databases(
    clusters: Sequence[str], names: Sequence[str], roles: Sequence[str], *, dump: bool
) -> Part:
    """Databases, after a last dump; and clusters that hold nothing else."""
    for_all = sh(*names)
    check = "\n".join(
        f"[ ! -e /var/lib/postgresql/{c} ] && [ ! -e /etc/postgresql/{c} ] || echo cluster {c}"
        for c in clusters
    )
    if not clusters and (names or roles):
        check = (
            f"command -v psql >/dev/null && [ -S {SOCKET} ] || exit 0\n"
            f"{_there('database', 'datname', names)}\n{_there('role', 'rolname', roles)}"
        )
    # Who owns one may call it a template, which nobody could drop.
    those = ", ".join(map(literal, (*names, "")))
    dropped = [f"update pg_database set datistemplate = false where datname in ({those})"]
    dropped += [f"drop database if exists {_name(name)} with (force)" for name in names]
    dropped += [f"drop role if exists {_name(role)}" for role in roles if not clusters]
    drop = sql(*dropped)
    away = [
        f"mkdir -p {STATE}/made; touch {DROPPING}\n"
        f"pg_dropcluster --stop {sh(*c.split('/'))} || true\n"
        f"rm -rf /var/lib/postgresql/{c} /etc/postgresql/{c}\nrm -f {DROPPING}"
        for c in clusters
    ]
    gone = " && ".join(f"[ ! -e /var/lib/postgresql/{c} ]" for c in clusters) or "false"
    ask = f"[ -e {DROPPING} ] || {{ {gone}; }} ||"
    steps = (
        *((Run(f"{ask} {{\n{dumping(names, BACKUPS)}}}",
               title=f"pg_dump {for_all} into {BACKUPS}/uninstall-DATE;"
               " /etc/mlops with its secrets beside it"),) if dump and names else ()),
        *((Run(f"{ask} {{\n{drop}\n}}", title=f"dropdb {for_all}"),) if names or roles else ()),
        *(Run(text, title=f"pg_dropcluster --stop {c}") for c, text in zip(clusters, away,
                                                                             strict=True)),
    )  # fmt: skip
    return Part("databases", check or "true", steps)


def _there(kind: str, column: str, names: Sequence[str]) -> str:
    table = {"database": "pg_database", "role": "pg_roles"}[kind]
    wanted = ", ".join(literal(name) for name in (*names, ""))
    return sql(f"select '{kind} ' || {column} from {table} where {column} in ({wanted})")


def _name(text: str) -> str:
    """A name as SQL has it."""
    return '"' + text.replace('"', '""') + '"'


def files(paths: Sequence[str], kept: Sequence[str], foreign_units: Sequence[str]) -> Part:
    """Files and links; those whose originals are kept get them back."""
    flags = sh(*(f"{OUT}/{unit}" for unit in foreign_units))
    check = (
        f'while IFS= read -r p; do [ ! -e "$p" ] && [ ! -L "$p" ] || echo "$p"\n'
        f"done < <({_lines(paths)})\n"
        f'while IFS= read -r p; do [ ! -e "{ORIGINALS}$p" ] && [ ! -L "{ORIGINALS}$p" ] ||'
        f' echo "$p (its original comes back)"\ndone < <({_lines(kept)})'
    )
    steps = (
        *((Run(f"mkdir -p {OUT}; touch {flags}", title="note whom it concerns: "
               + " ".join(foreign_units)),) if foreign_units else ()),
        Run('while IFS= read -r p; do rm -f "$p" "$p.mlops-new"\n'
            '  case $p in /etc/mlops/*) rm -f "$p.new";; esac\n'
            f"done < <({_lines(paths)})", title=f"remove {len(paths)} files and links"),
        Run(RESTORE.format(originals=ORIGINALS, paths=_lines(kept)),
            title=f"put {len(kept)} originals back"),
        Run("systemctl daemon-reload"),
    )  # fmt: skip
    return Part("files", check, steps)


def authorities() -> Part:
    """Certificate authorities of the config."""
    old = f"{STATE}/authorities-gone"
    check = f"for p in {TRUSTED} {old}; do [ ! -e $p ] || echo $p; done"
    text = (
        f"[ ! -e {TRUSTED} ] || {{ rm -rf {old}; mkdir -p {STATE}; mv -T {TRUSTED} {old}; }}\n"
        "[ ! -x /usr/sbin/update-ca-certificates ] || update-ca-certificates --fresh >/dev/null\n"
        f"rm -rf {old}"
    )
    return Part("certificate authorities", check, (Run(text, "update-ca-certificates --fresh"),))


def locales(entries: Sequence[Entry]) -> Part:
    """Locales that were compiled; the archive goes with the last of them if it came with us."""
    names = [entry.name.replace("UTF-8", "utf8") for entry in entries]
    archive = "/usr/lib/locale/locale-archive"
    listed = f"[ -x /usr/bin/localedef ] && [ -e {archive} ] && localedef --list-archive"
    alone = all(entry.was == "none" for entry in entries)
    empty = f'[ -n "$({listed})" ] || {{}} {archive}' if alone else "true"
    check = (
        f"{listed} | grep -xF {' '.join('-e ' + sh(n) for n in names)}\n"
        f"[ ! -e {archive} ] || {empty.format('echo')}"
    )
    delete = "\n".join(f"localedef --delete-from-archive {sh(n)} || true" for n in names)
    steps = (Run(f"{delete}\n{empty.format('rm -f')}", title=f"localedef --delete {sh(*names)}"),)
    return Part("locales", check, steps)


def accounts(users: Sequence[str], groups: Sequence[str], stay: Sequence[str]) -> Part:
    """Users and groups; `stay` are groups of others that userdel must not take along."""
    check = (
        f"for n in {sh(*users)}; do ! getent passwd $n >/dev/null || echo user $n; done\n"
        f"for n in {sh(*groups)}; do ! getent group $n >/dev/null || echo group $n; done"
    )
    back = (
        "line=$(getent group {0} || true)\n{1}\n"
        '[ -z "$line" ] || getent group {0} >/dev/null || groupadd -g "$(echo "$line" |'
        " cut -d: -f3)" + " {0}"
    )
    remove = "! getent passwd {0} >/dev/null || userdel {0}"
    gone = "! getent group {0} >/dev/null || groupdel {0}"
    texts = [
        back.format(user, remove.format(user)) if user in stay else remove.format(user)
        for user in users
    ] + [gone.format(group) for group in groups]
    title = f"userdel {' '.join(users)}; groupdel {' '.join(groups)}"
    return Part("users and groups", check, (Run("\n".join(texts), title=title),))


def folders(trees: Sequence[str], directories: Sequence[str]) -> Part:
    """Folders with all that is in them, then folders that are empty; the deepest first."""
    deep = sorted(directories, key=lambda path: (-path.count("/"), path))
    shared = [path for path in directories if not is_ours(path)]
    check = (
        f'{mounts.SHELL}\nwhile IFS= read -r p; do left "$p"\n'
        f"done < <({_lines([p for p in (*trees, *directories) if p not in shared])})\n"
        'while IFS= read -r p; do [ ! -e "$p" ] || [ -n "$(ls -A "$p")" ] || echo "$p"\n'
        f"done < <({_lines(shared)})"
    )
    steps = (
        Run(f'{mounts.SHELL}\nwhile IFS= read -r p; do\n'
            '  away "$p"; rm -rf --one-file-system "$p.mlops-new" "$p.mlops-old"\n'
            f"done < <({_lines(trees)})", title="rm -rf " + sh(*trees)),
        Run(f'{mounts.SHELL}\nwhile IFS= read -r p; do\n  case $p in\n'
            f'    {"|".join(f"{top}|{top}/*" for top in TOPS)})\n'
            '      [ ! -e "$p" ] || [ -n "$(mounts "$p")" ] || rmdir "$p" ;;\n'
            '    *) [ ! -e "$p" ] || rmdir --ignore-fail-on-non-empty "$p" ;;\n  esac\n'
            f"done < <({_lines(deep)})", title="rmdir " + sh(*deep)),
    )  # fmt: skip
    return Part("folders", check, steps)


def modes(entries: Sequence[Entry]) -> Part:
    """Folders of others get back the mode and the owner that they had."""
    check, steps = [], []
    for entry in entries:
        mode, _, owner = entry.was.partition(" ")
        path = sh(entry.name)
        now = f"$(stat -c '%a %u:%g' {path})"
        check.append(f'[ ! -e {path} ] || [ "{now}" = {sh(entry.was)} ] || echo {path}')
        # Five digits: with fewer chmod leaves the setgid bit of a folder as it is.
        steps.append(f"[ ! -e {path} ] || {{ chown {owner} {path}; chmod {mode:0>5} {path}; }}")
    title = "give them back: " + " ".join(entry.name for entry in entries)
    return Part("folders of others", "\n".join(check), (Run("\n".join(steps), title=title),))


def others_services(entries: Sequence[Entry]) -> Part:
    """Debian's services go on without our settings, as they were before."""
    check = "\n".join(f"[ ! -e {OUT}/{e.name} ] || echo {e.name}" for e in entries)
    steps = tuple(_as_before(entry) for entry in entries)
    return Part("services of Debian", check, steps)


def _as_before(entry: Entry) -> Run:
    enabled, _, active = entry.was.partition(" ")
    words = ["try-restart" if active in ("active", "") else "stop"]
    words += ["disable -q"] if enabled == "disabled" else []
    flag = f"{OUT}/{entry.name}"
    does = "\n".join(f"  systemctl {word} {entry.name}" for word in words)
    return Run(
        f'if [ -e {flag} ] && [ "$(systemctl show -P LoadState {entry.name})" = loaded ]; then\n'
        f"{does}\nfi\nrm -f {flag} {RUN_DIR}/{entry.name}.inputs",
        title="; ".join(f"systemctl {word} {entry.name}" for word in words),
    )


def state(journal: str, *, keep: bool) -> Part:
    """State and logs; at the very end the journal, or what of it the next run shall find.

    `keep` spares the backups.
    """
    spare = " ".join(f"! -name {name}" for name in ("journal.jsonl", *(["backups"] * keep)))
    inside = f"[ ! -e {STATE} ] || find {STATE} -mindepth 1 -maxdepth 1 {spare}"
    if journal:
        end: Step = Put(FILE, journal.encode())
        last = f'[ "$(sha256sum < {FILE})" = "{digest(journal)}  -" ] || echo {FILE}'
    elif keep:
        end = Run(f"rm -f {FILE}; rmdir --ignore-fail-on-non-empty {STATE}")
        last = f"[ -e {STATE}/backups ] || [ ! -e {STATE} ] || echo {STATE}"
        last += f"\n[ ! -e {FILE} ] || echo {FILE}"
    else:
        empty = f'if [ -n "$(mounts {STATE})" ]; then away {STATE}; else\nrm -rf {STATE}\nfi'
        end, last = Run(f"{mounts.SHELL}\n{empty}", f"rm -rf {STATE}"), f"left {STATE}"
    steps = (
        Run(f"{inside} -exec rm -rf {{}} +", title=f"empty {STATE}"),
        Run(
            f"{mounts.SHELL}\naway {LOGS}; rm -rf {RUN_DIR} /run/mlops",
            title=f"rm -rf {LOGS} {RUN_DIR} /run/mlops",
        ),
        end,
    )
    check = f"{mounts.SHELL}\nleft {LOGS}\n{inside}\n{last}"
    return Part("state and logs", check, steps)


def _lines(paths: Sequence[str]) -> str:
    return here("".join(f"{path}\n" for path in paths).encode())
