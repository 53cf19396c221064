"""Shell text of the last dump of databases, before they are dropped."""

from collections.abc import Sequence

from mlops_install.shell import sh
from mlops_install.sql import dump, literal, read_dump, sql

DUMP = """\
there=$({there})
if [ -n "$there" ]; then (
  umask 077; new={backups}/uninstall.new
  rm -rf $new; mkdir -p $new
{dumps}
  [ ! -d /etc/mlops ] || cp -a /etc/mlops $new/etc
  sync -f $new
  mv -T $new {backups}/uninstall-$(date -u +%Y%m%dT%H%M%SZ)
); fi
"""
ONE = """\
  if grep -qxF {name} <<< "$there"; then
    {dump} > $new/{file}
    {read} < $new/{file}
  fi"""


def dumping(databases: Sequence[str], backups: str) -> str:
    """Dump those of the databases that are there into a folder of its own among the backups."""
    names = ", ".join(map(literal, databases))
    dumps = (
        ONE.format(name=sh(name), file=sh(f"{name}.dump"), dump=dump(name), read=read_dump(name))
        for name in databases
    )
    there = sql(f"select datname from pg_database where datname in ({names})")
    return DUMP.format(there=there, dumps="\n".join(dumps), backups=backups)
