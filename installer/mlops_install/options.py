"""The options that several commands share."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mlops_install.reaching import Options

HostArgument = Annotated[
    str | None,
    typer.Argument(help="user@host[:port], a name from the ssh config, or local.", metavar="HOST"),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="Config file; default mlops.toml, where there is one."),
]
SshOption = Annotated[
    Path | None, typer.Option("--ssh-config", "-F", help="ssh config, instead of ~/.ssh/config.")
]
AcceptOption = Annotated[
    bool, typer.Option("--accept-new-host-key", help="Let an unknown host key in.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Data for machines on stdout.")]
FullOption = Annotated[bool, typer.Option("--full", help="Show the text of new files too.")]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
OnOption = Annotated[
    str | None, typer.Option("--on", help="Server, as HOST of the other commands.", metavar="HOST")
]

# Of a command that runs another one: `-h`, as in `df -h`, is the other one's.
PASSED_ON = {"ignore_unknown_options": True, "help_option_names": ["--help"]}


def chosen(
    context: typer.Context,
    host: str | None,
    config: Path | None,
    ssh_config: Path | None,
    accept_new: bool,
    as_json: bool,
) -> "Options":
    """What was said after the command, and before it."""
    from mlops_install.reaching import Options

    before = context.obj or {}
    return Options(
        host,
        config or before.get("config"),
        ssh_config or before.get("ssh_config"),
        accept_new or before.get("accept_new", False),
        as_json or before.get("as_json", False),
    )


def begun(options: "Options", *, files: bool = True) -> "Options":
    """The login begins here, so that the server is at work while the rest of the program loads.

    Without `files` those that the config names are not needed.
    """
    from mlops_install.reaching import Login

    return replace(options, begun=Login(options, files=files))
