"""`mlops-install workflows`, `sync` and `rollback`: the releases of the Git repository."""

from pathlib import Path
from typing import Annotated

import typer

from mlops_install.options import (
    ConfigOption,
    HostArgument,
    JsonOption,
    OnOption,
    SshOption,
    YesOption,
    chosen,
)

workflows = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@workflows.command("status")
def workflows_status(
    context: typer.Context,
    host: HostArgument = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    as_json: JsonOption = False,
) -> int:
    """Which commit is in force, which were rejected and why."""
    more = ["--json"] if as_json else []
    return _run(context, host, config, ssh_config, "workflows", "status", *more)


@workflows.command("key")
def workflows_key(
    context: typer.Context,
    host: HostArgument = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
) -> int:
    """The public deploy key of the server, to be pasted into the Git server."""
    return _run(context, host, config, ssh_config, "workflows", "key")


@workflows.command("release")
def workflows_release(
    context: typer.Context,
    host: HostArgument = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
) -> int:
    """Let new commits in again after a rollback."""
    return _run(context, host, config, ssh_config, "workflows", "release")


def sync(
    context: typer.Context,
    host: HostArgument = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="Try a commit that was rejected once more.")
    ] = False,
) -> int:
    """Pull the workflow repository now: fetch, build, check, activate."""
    more = ["--again"] if again else []
    return _run(context, host, config, ssh_config, "workflows", "sync", *more)


def rollback(
    context: typer.Context,
    what: Annotated[str, typer.Argument(help="workflows, or airflow.", metavar="WHAT")],
    commit: Annotated[
        str | None, typer.Argument(help="Of the workflows. Default: the one before.")
    ] = None,
    on: OnOption = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    yes: YesOption = False,
) -> int:
    """Go back: workflows to an earlier commit, airflow to before the last upgrade."""
    from mlops_install import actions
    from mlops_install.errors import ConfigError

    if what == "airflow" and commit is None:
        yes = yes or (context.obj or {}).get("yes", False)
        options = chosen(context, on, config, ssh_config, False, False)
        return actions.rollback_airflow(options, yes=yes)
    if what != "workflows":
        raise ConfigError(
            f"{what} cannot be rolled back", fix="say `rollback workflows` or `rollback airflow`"
        )
    more = [commit] if commit else []
    return _run(context, on, config, ssh_config, "workflows", "rollback", *more)


def _run(
    context: typer.Context,
    host: str | None,
    config: Path | None,
    ssh_config: Path | None,
    *words: str,
) -> int:
    from mlops_install import actions

    options = chosen(context, host, config, ssh_config, False, False)
    return actions.on_server(options, *words)
