"""What belongs to a database as a whole, and is in no dump of it: rights, settings, limit, comment.

Read from the database that is there, as plain lists that a manifest can hold, and given to the one
that takes its place.
"""

import re
from typing import Any

from mlops_server import sql

READ = """\
select json_build_array('grant', r.rolname, a.privilege_type, a.is_grantable)
  from pg_database d cross join aclexplode(d.datacl) a left join pg_roles r on r.oid = a.grantee
  where d.datname = {name} and a.grantee <> d.datdba order by 1::text;
select json_build_array('set', r.rolname, setting)
  from pg_db_role_setting s join pg_database d on d.oid = s.setdatabase
    left join pg_roles r on r.oid = s.setrole cross join unnest(s.setconfig) setting
  where d.datname = {name} order by 1::text;
select json_build_array('limit', datconnlimit) from pg_database
  where datname = {name} and datconnlimit >= 0;
select json_build_array('comment', c.text)
  from pg_database d cross join lateral (select shobj_description(d.oid, 'pg_database') as text) c
  where d.datname = {name} and c.text is not null;
"""
SETTING = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
PRIVILEGES = {"CONNECT", "CREATE", "TEMPORARY"}

Rights = list[list[Any]]


def read(database: str) -> Rights:
    """What a database has; nothing where there is none. Raises `EnvError`."""
    return sql.values(sql.run(READ.format(name=sql.literal(database))))


def give(database: str, found: Rights) -> list[str]:
    """Give a database all of it; the roles that are not here, and so got nothing."""
    roles = {row["rolname"] for row in sql.rows("select rolname from pg_roles")}
    missing = set()
    for kind, *about in found:
        role = about[0] if kind in ("grant", "set") else None
        if role is not None and role not in roles:
            missing.add(str(role))
        elif statement := _statement(_name(database), kind, about):
            sql.run(statement)
    return sorted(missing)


def _statement(database: str, kind: str, about: list[Any]) -> str:
    if kind == "grant" and about[1] in PRIVILEGES:
        whom = "public" if about[0] is None else _name(about[0])
        option = " with grant option" if about[2] else ""
        return f"grant {about[1]} on database {database} to {whom}{option}"
    if kind == "set":
        return _setting(database, *about)
    if kind == "limit":
        return f"alter database {database} connection limit {int(about[0])}"
    if kind == "comment":
        return f"comment on database {database} is {sql.literal(about[0])}"
    return ""


def _setting(database: str, role: str | None, text: str) -> str:
    """PostgreSQL itself takes the value apart: some are lists, and are quoted by items."""
    name, _, value = text.partition("=")
    if not SETTING.fullmatch(name) or name in ("role", "session_authorization"):
        return ""
    where = f"role {_name(role)} in database {database}" if role else f"database {database}"
    return (
        f"begin;\nselect set_config({sql.literal(name)}, {sql.literal(value)}, true);\n"
        f"alter {where} set {name} from current;\ncommit"
    )


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
