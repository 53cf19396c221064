"""The command `uninstall`."""

from typing import Annotated

import typer

from mlops_install.options import (
    AcceptOption,
    ConfigOption,
    HostArgument,
    JsonOption,
    SshOption,
    YesOption,
    chosen,
)


def uninstall(
    context: typer.Context,
    host: HostArgument = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    accept_new_host_key: AcceptOption = False,
    as_json: JsonOption = False,
    yes: YesOption = False,
    keep_data: Annotated[
        bool, typer.Option(help="Keep the data of tasks, backups and a last dump.")
    ] = True,
) -> int:
    """Show what goes and what stays, ask, remove it: what the installer made and nothing else."""
    from mlops_install import uninstall as uninstalling

    options = chosen(context, host, config, ssh_config, accept_new_host_key, as_json)
    return uninstalling.run(options, keep_data=keep_data, yes=yes or context.obj["yes"])
