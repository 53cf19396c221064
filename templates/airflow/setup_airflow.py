"""Bring Airflow's database to what the installer wants, in one process because each start of Airflow costs seconds.

Runs as user airflow, with the environment and credentials of the units. Reads from standard input

    {"users": [{"username", "role", "credential", "email"}, ...],
     "reset_passwords": [username, ...],
     "pools": [{"name", "slots", "description", "include_deferred"}, ...]}

A user's password is the credential of that name. Users that exist keep theirs unless listed in reset_passwords.
"""

import json
import os
import sys
from pathlib import Path

from airflow.models.pool import Pool
from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
from airflow.providers_manager import ProvidersManager
from airflow.utils import db


def password_of(user):
    return (Path(os.environ["CREDENTIALS_DIRECTORY"]) / user["credential"]).read_text().strip()


def ensure_user(security, user, reset):
    role = security.find_role(user["role"])
    found = security.find_user(user["username"])
    if not found:
        added = security.add_user(
            user["username"], user["username"], user["role"], user["email"], role, password_of(user)
        )
        if not added:
            raise SystemExit(f"cannot create user {user['username']}")
        return print(f"user {user['username']}: created")
    if role not in found.roles:
        found.roles = [role]
        security.update_user(found)
        print(f"user {user['username']}: role {user['role']}")
    if reset:
        security.reset_password(found.id, password_of(user))
        print(f"user {user['username']}: password reset")


def main():
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


if __name__ == "__main__":
    main()
