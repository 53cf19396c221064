"""Bring a backup back, onto the server that it is of or a fresh one."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import file_digest
from pathlib import Path
from typing import Any

from mlops_server.backup import header

from mlops_install import actions, backups, engine, host, locks, reading, report, runlock
from mlops_install import config as configs
from mlops_install import context as contexts
from mlops_install import plan as plans
from mlops_install import progress as progresses
from mlops_install.actions import DIFFERENT
from mlops_install.answer import document, understood
from mlops_install.context import Context, Given
from mlops_install.errors import ConfigError, HostError, translated
from mlops_install.host import Host
from mlops_install.reaching import Options
from mlops_install.roles import stages
from mlops_install.settings import Config
from mlops_install.workflowsettings import Workflows

PROVISIONED = "test -e /var/lib/mlops/answered"
TASKS = "select count(*) as number from task_instance where state = 'running'"


@dataclass(frozen=True)
class Wish:
    """What the command line said. `archive`: a file here, a name on the server, or `latest`."""

    archive: str
    identity: Path | None
    save: bool
    drain: int
    yes: bool


def restore(options: Options, wish: Wish) -> int:
    """Provision where needed, restore, apply, verify. Raises `MlopsError`."""
    config = configs.load(options.config)
    with configs.located(options.config):
        given = contexts.given(config)
    file = reading.at_home(wish.archive, "the archive")
    local = file if reading.is_file(file) else None
    kind = proven(local) if local else wish.archive.rpartition(".")[2]
    secret = _secret(wish, kind, bool(local), given)
    _possible(config, kind, bool(local))
    with actions.reach(options, given=given) as (server, context):
        fresh = server.run(PROVISIONED).code != 0
        if fresh and not _may(server, wish, local):
            report.say("nothing was changed")
            return DIFFERENT
        if fresh:
            _provision(server, context)
    with actions.reach(options, given=given) as (server, context):
        name = upload(server, local, kind) if local else wish.archive
        text = backups.mlops(server, "unpack", name, secret=secret)
        try:
            story = _judged(server, config, wish, text, fresh)
            if not _agreed(server, wish, story, fresh):
                backups.mlops(server, "discard")
                report.say("nothing was changed")
                return DIFFERENT
        except (ConfigError, HostError):
            backups.mlops(server, "discard")
            raise
        save = [] if wish.save and not fresh else ["--no-save"]
        with runlock.held(server, context.facts.last_run, report.say):
            last = backups.mlops(server, "restore", "--drain", str(wish.drain), *save)
        report.say(last)
    return _finish(options)


def _judged(server: Host, config: Config, wish: Wish, text: str, fresh: bool) -> list[str]:
    """What will happen. Raises `ConfigError` when it may not, and `HostError`."""
    found = document("the backup", text)
    with understood("the backup", text):
        _check(config, found)
        return list(_story(server, wish, found, fresh))


def _finish(options: Options) -> int:
    """What the backup does not hold is made again, and all of it proved."""
    actions.apply(options, yes=True, verify_after=False, full=False)
    missing = actions.on_server(options, "backup", "rebuild")
    return max(missing, actions.verify(options, None))


def proven(path: Path) -> str:
    """How a file is encrypted: age, gpg or empty. Raises `ConfigError` for what is no backup."""
    try:
        with translated():
            return header.prove(path)[0]
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}", fix="correct the rights of the file"
        ) from error


def _secret(wish: Wish, kind: str, local: bool, given: Given) -> str:
    if wish.identity is not None:
        return reading.text(
            wish.identity, helps="set --identity to the text file that `age-keygen` made"
        )
    if kind == "age":
        raise ConfigError("the backup is encrypted for an age key", fix="give --identity FILE")
    if kind != "gpg" or not local:  # the server knows the passphrase of its own
        return ""
    if given.backup_passphrase:
        return given.backup_passphrase.get_secret_value()
    return host.ask_password("passphrase of the backup: ")


def _possible(config: Config, kind: str, local: bool) -> None:
    """The server opens the archive, so what opens it must be among its packages."""
    there = {"age": config.backup.age_recipient, "gpg": config.backup.passphrase}
    if local and kind in there and not there[kind] and kind not in config.base.packages:
        raise ConfigError(
            f"the backup is encrypted by {kind}, which the config does not put onto the server",
            fix=f'add "{kind}" to [base] packages, or decrypt the file on your side first',
        )


def _may(server: Host, wish: Wish, local: Path | None) -> bool:
    """Whether a fresh server may be set up. Raises `ConfigError` where there is no archive."""
    if local is None:
        raise ConfigError(
            f"there is no file {wish.archive}, and {server.address} is not set up yet",
            fix="name a file on this machine: the server has no backups yet",
        )
    return wish.yes or _ask(f"Set {server.address} up, and restore {local.name}? [y/N] ")


def _provision(server: Host, context: Context) -> None:
    """Without workflows: the key that opens their repository is in the backup."""
    bare = replace(
        context,
        config=context.config.model_copy(update={"workflows": Workflows()}),
        given=replace(context.given, project=None, git_password=None, known_hosts=None,
                      allowed_signers=None),
    )  # fmt: skip
    planned = plans.make_plan(server, stages(bare))
    report.say(f"setting up {server.address}: {len(planned.changes)} changes")
    with (
        runlock.held(server, context.facts.last_run, report.say) as us,
        progresses.progress(len(planned.changes)) as progress,
    ):
        engine.carry_out(server, planned, progress, us)


def upload(server: Host, path: Path, kind: str) -> str:
    """Put an archive onto the server; its name there. Raises `MlopsError`."""
    made = datetime.now(UTC)
    name = f"{made:%Y%m%dT%H%M%SZ}-uploaded.tar{'.' if kind else ''}{kind}"
    with path.open("rb") as file:
        sha256 = file_digest(file, "sha256").hexdigest()
        file.seek(0)
        backups.mlops(server, "receive", name, str(path.stat().st_size), sha256, file=file)
    return name


def _check(config: Config, found: dict[str, Any]) -> None:
    """Whether the wanted Airflow can take the backup's schema. Raises `ConfigError`."""
    made, wanted = found["airflow"], config.airflow.version
    if made == wanted or not found["heads"]:
        return
    if _numbers(made) > _numbers(wanted) and _heads(made) != _heads(wanted):
        raise ConfigError(
            f"the backup is of Airflow {made}, the config wants {wanted}: no downgrade is possible",
            fix=f'set [airflow] version = "{made}", restore, and upgrade from there',
        )
    if not _heads(made):
        known = ", ".join(sorted(path.stem.removeprefix("airflow-") for path in _locks()))
        raise ConfigError(
            f"the backup is of Airflow {made}, which this version does not know",
            fix=f"use the mlops-install that made it; this one knows {known}",
        )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def _locks() -> Iterator[Path]:
    return Path(next(iter(locks.__path__))).glob("airflow-*.json")


def _heads(version: str) -> dict[str, str]:
    for path in _locks():
        if path.stem == f"airflow-{version}":
            found = json.loads(path.read_text())
            return {key: value for key, value in found.items() if key.startswith("alembic")}
    return {}


def _agreed(server: Host, wish: Wish, story: list[str], fresh: bool) -> bool:
    for line in story:
        report.say(line)
    return wish.yes or fresh or _ask(f"Restore {server.address}? [y/N] ")


def _story(server: Host, wish: Wish, found: dict[str, Any], fresh: bool) -> Iterator[str]:
    """What will happen, for a person to judge."""
    made = datetime.fromisoformat(found["made"])
    age = max(datetime.now(UTC) - made, timedelta())  # the server's clock may be ahead
    counts = ", ".join(f"{number} {what}" for what, number in found["counts"].items())
    yield f"backup of {found['host']}, {found['made']}, {_span(age.total_seconds())} old"
    yield f"Airflow {found['airflow']}: {counts}"
    if fresh:
        return
    since = _ask_server(
        server, f"select count(*) as number from dag_run where start_date > '{made}'"
    )
    yield f"lost: what came after it, {since} DAG runs that started since among it"
    yield f"stopped: Airflow, with {_ask_server(server, TASKS)} running tasks, given {wish.drain} s"
    yield ("kept: the present state becomes a backup first" if wish.save
           else "NOT kept: the present state")  # fmt: skip


def _ask_server(server: Host, query: str) -> str:
    from mlops_install.sql import rows, select

    found = rows(server.run(select(query, database="airflow")).stdout)
    return str(found[0]["number"]) if found else "an unknown number of"


def _span(seconds: float) -> str:
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {name}"
    return f"{seconds:.0f} seconds"


def _ask(question: str) -> bool:
    try:
        return report.ask(question)
    except EOFError as error:
        raise ConfigError(
            "there is no terminal to ask whether to restore",
            fix="add --yes to restore without asking",
        ) from error
