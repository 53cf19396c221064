"""Backups: their folder, settings and timer."""

from collections.abc import Iterator

from mlops_install.context import Context
from mlops_install.render import render
from mlops_install.resource import AnyResource
from mlops_install.resources.backup import Switched
from mlops_install.resources.file import Directory, File
from mlops_install.resources.systemd import Services, UnitFile

FOLDER = "/var/lib/mlops/backups"
PASSPHRASE = "/etc/mlops/secrets/backup_passphrase"  # noqa: S105 - where it is
TIMER = "mlops-backup.timer"
NEVER = "never"
QUIET = "*-*-* 04:30:00"
"""No zone jumps over it in spring: systemd passes over a day without the hour (systemd#5595)."""


def packages(context: Context) -> tuple[str, ...]:
    """Debian packages of this role: what encrypts."""
    wanted = context.config.backup
    if wanted.age_recipient:
        return ("age",)
    return ("gpg", "gpg-agent") if wanted.passphrase else ()


def unfinished(context: Context) -> Iterator[AnyResource]:
    """A restore that was broken off half way is finished before anything else is changed."""
    yield Switched(f"{FOLDER}/.restore/switch.json")


def settings(context: Context) -> Iterator[AnyResource]:
    """The folder, what is kept and how, and when."""
    wanted, passphrase = context.config.backup, context.given.backup_passphrase
    yield Directory(FOLDER, 0o700)
    text = passphrase.get_secret_value() + "\n" if passphrase else ""
    yield File(PASSPHRASE, text, 0o600, secret=True, present=bool(text))
    yield File("/etc/mlops/backup.toml", render("backup/backup.toml", backup=wanted))
    every = QUIET if wanted.every in (NEVER, "daily") else wanted.every
    yield UnitFile(
        "/etc/systemd/system/mlops-backup.service", render("backup/mlops-backup.service")
    )
    yield UnitFile(f"/etc/systemd/system/{TIMER}", render(f"backup/{TIMER}", every=every))


def timer(context: Context) -> Iterator[AnyResource]:
    """Backups are made by themselves, unless they are not wanted."""
    units = {} if context.config.backup.every == NEVER else {TIMER: ""}
    yield Services("of backups", units, TIMER)
