"""Bring Airflow's database to what the installer wants, in one process because each start of Airflow costs seconds.

Runs as user airflow, with the environment and credentials of the units. Reads from standard input

    {"users": [{"username", "role", "credential", "email"}, ...],
     "reset_passwords": [username, ...],
     "pools": [{"name", "slots", "description", "include_deferred"}, ...],
     "unwanted_pools": [name, ...]}

A user's password is the credential of that name. Users that exist keep theirs unless listed in reset_passwords.
"""

import gc
import json
import os
import sys
from pathlib import Path
from typing import Any

gc.disable()  # a short life, a quarter of which would be looking for garbage
os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"  # read on import; each permission would be a line
os.environ["AIRFLOW__LOGGING__FAB_LOGGING_LEVEL"] = "ERROR"

from airflow.models.pool import Pool  # noqa: E402
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder  # noqa: E402
from airflow.providers_manager import ProvidersManager  # noqa: E402
from airflow.utils import db  # noqa: E402


def password_of(user: dict[str, str]) -> str:
    return (Path(os.environ["CREDENTIALS_DIRECTORY"]) / user["credential"]).read_text().strip()


def ensure_user(security: Any, user: dict[str, str], reset: bool) -> None:
    name = user["username"]
    role = security.find_role(user["role"])
    found = security.find_user(name)
    if not found:
        if not security.add_user(name, name, user["role"], user["email"], role, password_of(user)):
            raise SystemExit(f"cannot create user {name}")
        print(f"user {name}: created")
        return
    if role not in found.roles:
        found.roles = [role]
        security.update_user(found)
        print(f"user {name}: role {user['role']}")
    if reset:
        security.reset_password(found.id, password_of(user))
        print(f"user {name}: password reset")


def main() -> None:
    wanted = json.load(sys.stdin)
    ProvidersManager().initialize_providers_configuration()
    db.upgradedb()
    print("database: migrated")
    with get_application_builder() as builder:
        builder.add_permissions(update_perms=True)
        builder.sm.sync_roles()
        print("permissions: synchronised")
        for user in wanted["users"]:
            ensure_user(builder.sm, user, user["username"] in wanted["reset_passwords"])
    for pool in wanted["pools"]:
        Pool.create_or_update_pool(**pool)
        print(f"pool {pool['name']}: {pool['slots']} slots")
    for name in wanted["unwanted_pools"]:
        Pool.delete_pool(name)
        print(f"pool {name}: deleted")


if __name__ == "__main__":
    main()
