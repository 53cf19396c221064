"""`mlops-install env`: the environments of the models on the server."""

from pathlib import Path
from typing import Annotated

import typer

from mlops_install.options import (
    PASSED_ON,
    ConfigOption,
    JsonOption,
    OnOption,
    SshOption,
    chosen,
)

env = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@env.command("list")
def env_list(
    context: typer.Context,
    on: OnOption = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    as_json: JsonOption = False,
) -> int:
    """The environments, what is in use, and whether they are as they were built."""
    return _env(context, on, config, ssh_config, "list", *(["--json"] if as_json else []))


@env.command("show")
def env_show(
    context: typer.Context,
    model: str,
    on: OnOption = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    as_json: JsonOption = False,
) -> int:
    """The packages of a model's environment."""
    return _env(context, on, config, ssh_config, "show", model, *(["--json"] if as_json else []))


@env.command("run", context_settings=PASSED_ON)
def env_run(
    context: typer.Context,
    model: str,
    command: Annotated[list[str], typer.Argument(help="After --: the command and its words.")],
    on: OnOption = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
) -> int:
    """Run a command in a model's environment, as the tasks' user; its exit code is ours."""
    return _env(context, on, config, ssh_config, "run", model, "--", *command)


def _env(
    context: typer.Context,
    on: str | None,
    config: Path | None,
    ssh_config: Path | None,
    *words: str,
) -> int:
    from mlops_install import actions

    options = chosen(context, on, config, ssh_config, False, False)
    return actions.on_server(options, "env", *words)
