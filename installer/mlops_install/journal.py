"""The journal: what the installer brings onto a server, noted there before it is made.

`/var/lib/mlops/journal.jsonl` holds one JSON object in a line:

    {"kind": "file", "name": "/etc/timezone", "was": "kept", "at": "2026-11-22T20:17:16Z"}

kind and name as in `resource.Made`; beside those, what the server's own code notes: package,
package-user, package-group, upgraded, and journal (the first line). was: what there was before:

    none      nothing
    kept      a file or link; the original is under /var/lib/mlops/originals
    there     a user, group, role, database or cluster of others; it stays
    unknown   it was there before there was a journal
    755 0:0   a directory of others, with its mode and owner; it stays
    enabled active   state of a unit
    archive   of a locale: other locales were compiled already
    1.2-3     the version of a package that was upgraded
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mlops_install.resource import Made
from mlops_install.shell import sh
from mlops_install.sql import psql

STATE = "/var/lib/mlops"
FILE = f"{STATE}/journal.jsonl"
ORIGINALS = f"{STATE}/originals"
START = "journal"
UNKNOWN = "unknown"
LINE = re.compile(r'\{"kind": "([^"]*)", "name": "([^"]*)", "was": "([^"]*)", "at": "([^"]*)"\}')

# Once per thing, and on disk before the change. A file of others is copied before its line.
SHELL = r"""
journal=@STATE@/journal.jsonl originals=@STATE@/originals
journal_has() { grep -qsF "{\"kind\": \"$1\", \"name\": \"$2\"," "$journal"; }
journal_add() {
  [ -d "${journal%/*}" ] || mkdir -p "${journal%/*}"
  printf '{"kind": "%s", "name": "%s", "was": "%s", "at": "%s"}\n' \
    "$1" "$2" "$3" "$(date -u +%FT%TZ)" >> "$journal"
  sync -d "$journal"
}
journal_above() {  # the folders above a path that are not there yet
  local above=${1%/*}
  [ -n "$above" ] && [ ! -d "$above" ] || return 0
  journal_above "$above"
  journal_has directory "$above" || journal_add directory "$above" none
}
journal_keep() {
  (umask 077; mkdir -p "$originals${1%/*}")
  rm -rf "$originals$1"
  cp -aT "$1" "$originals$1"
  [ -L "$1" ] || sync "$originals$1"
}
journal_again() {  # an uninstall that was broken off had put the original back already
  grep -qsF "\"name\": \"$1\", \"was\": \"kept\"" "$journal" || return 0
  [ -e "$originals$1" ] || [ -L "$originals$1" ] || [ ! -e "$1" ] || journal_keep "$1"
}
journal_sql() { @PSQL@ -c "$1"; }
note() {
  if journal_has "$1" "$2"; then journal_again "$2"; return; fi
  local was=none
  case $1 in
    file|link) if [ -e "$2" ] || [ -L "$2" ]; then journal_keep "$2"; was=kept
               else journal_above "$2"; fi ;;
    tree|directory|authorities) if [ -e "$2" ]; then was=$(stat -c '%a %u:%g' "$2")
                                else journal_above "$2"; fi ;;
    user) ! getent passwd "$2" >/dev/null || was=there ;;
    group) ! getent group "$2" >/dev/null || was=there ;;
    unit) was="$(systemctl is-enabled "$2" 2>/dev/null || true)"
          was="${was:-none} $(systemctl is-active "$2" 2>/dev/null || true)" ;;
    cluster) [ ! -s "/var/lib/postgresql/$2/global/pg_control" ] || was=there ;;
    role) was=$(journal_sql "select 'there' from pg_roles where rolname = '$2'") ;;
    database) was=$(journal_sql "select 'there' from pg_database where datname = '$2'") ;;
    locale) [ ! -e /usr/lib/locale/locale-archive ] || was=archive ;;
  esac
  journal_add "$1" "$2" "${was:-none}"
}
"""


@dataclass(frozen=True)
class Entry:
    """A line of the journal."""

    kind: str
    name: str
    was: str
    at: str = ""

    def line(self) -> str:
        """The line, without its end."""
        words = (f'"{key}": "{value}"' for key, value in vars(self).items())
        return f"{{{', '.join(words)}}}"


def prelude(state: str = STATE) -> str:
    """Shell text that defines `note KIND NAME`."""
    return SHELL.replace("@STATE@", state).replace("@PSQL@", psql())


def notes(makes: Iterable[Made]) -> str:
    """Shell text that notes what is about to be made; needs the prelude."""
    return "\n".join(sh("note", made.kind, _plain(made.name)) for made in makes)


def _plain(name: str) -> str:
    if re.search(r'["\\\x00-\x1f]', name):
        raise ValueError(f"the journal cannot hold the name {name!r}")
    return name


def parse(text: str) -> tuple[Entry, ...]:
    """The whole lines of a journal; a line that a power cut tore made nothing yet."""
    return tuple(Entry(*found.groups()) for found in LINE.finditer(text))
