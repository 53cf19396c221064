"""`mlops-install backup`, `backups` and `restore`."""

from pathlib import Path
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

ToOption = Annotated[
    Path | None, typer.Option("--to", help="Folder on this side for the archive.", metavar="DIR")
]


def backup(
    context: typer.Context,
    host: HostArgument = None,
    to: ToOption = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    as_json: JsonOption = False,
) -> int:
    """Make a backup on the server, and prove it by loading it; --to fetches it."""
    from mlops_install import backups

    options = chosen(context, host, config, ssh_config, False, as_json)
    return backups.create(options, to)


def backups(
    context: typer.Context,
    host: HostArgument = None,
    check: Annotated[
        bool, typer.Option("--check", help="Read them; exit code 2 when one is damaged.")
    ] = False,
    fetch: Annotated[
        str | None, typer.Option("--fetch", help="Fetch this one, or `latest`.", metavar="NAME")
    ] = None,
    to: ToOption = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    as_json: JsonOption = False,
) -> int:
    """The backups on the server, the newest first."""
    from mlops_install import actions
    from mlops_install import backups as work

    options = chosen(context, host, config, ssh_config, False, as_json)
    if fetch:
        return work.fetch(options, fetch, to or Path())
    words = ["check"] if check else ["list", *(["--json"] if as_json else [])]
    return actions.on_server(options, "backup", *words)


def restore(
    context: typer.Context,
    archive: Annotated[
        str, typer.Argument(help="A file on this side, or a name on the server, or `latest`.")
    ],
    host: HostArgument = None,
    identity: Annotated[
        Path | None,
        typer.Option(
            help="File with the age identity, or a former passphrase, that opens it.",
            metavar="FILE",
        ),
    ] = None,
    no_save: Annotated[
        bool, typer.Option("--no-save", help="Do not make a backup of the present state first.")
    ] = False,
    drain: Annotated[
        int, typer.Option(min=0, help="Seconds that running tasks may go on.", metavar="SECONDS")
    ] = 60,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    accept_new_host_key: AcceptOption = False,
    yes: YesOption = False,
) -> int:
    """Bring a backup back, onto the same server or a fresh one; then apply and verify."""
    from mlops_install import restoring

    options = chosen(context, host, config, ssh_config, accept_new_host_key, False)
    wish = restoring.Wish(archive, identity, not no_save, drain, yes or context.obj["yes"])
    return restoring.restore(options, wish)
