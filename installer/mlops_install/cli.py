"""The command line: names, options and help; the work is in `actions`.

Heavy libraries are imported by the command that needs them.
"""

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from mlops_install import __version__
from mlops_install.errors import MlopsError

if TYPE_CHECKING:
    from mlops_install import actions

app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
box = typer.Typer(no_args_is_help=True, rich_markup_mode=None)
app.add_typer(box, name="box", help="Disposable servers on this machine (Linux, as root).")

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


INTERRUPTED = 130
"""What typer makes of Ctrl-C."""
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def run() -> None:
    """Run the command line; every error of ours ends here, with exit code 1."""
    try:
        code = app(standalone_mode=False)
    except MlopsError as problem:
        _stop(problem)
    except Exception as problem:
        # A mistake in the words of the command line; typer does not export their base class.
        if not hasattr(problem, "format_message"):
            raise
        _stop(_usage(problem.format_message()))
    if code == INTERRUPTED:
        sys.stderr.write("\nstopped; what was done is kept: run the same command again\n")
        sys.stderr.flush()
        os._exit(code)  # threads that still wait for the server are not waited for
    sys.exit(code)


def _usage(message: str) -> MlopsError:
    found = re.search(r"No such command '([^']*[@.:][^']*)'", message)
    fix = f"`mlops-install apply {found[1]}`?" if found else "see `mlops-install --help`"
    return MlopsError(message.rstrip("."), fix=fix)


def _stop(problem: MlopsError) -> NoReturn:
    from mlops_install import report

    report.error(problem)
    sys.exit(1)


def _options(
    context: typer.Context,
    host: str | None,
    config: Path | None,
    ssh_config: Path | None,
    accept_new: bool,
    as_json: bool,
) -> "actions.Options":
    """What was said after the command, and before it."""
    from mlops_install import actions

    before = context.obj or {}
    return actions.Options(
        host,
        config or before.get("config"),
        ssh_config or before.get("ssh_config"),
        accept_new or before.get("accept_new", False),
        as_json or before.get("as_json", False),
    )


@app.callback(invoke_without_command=True)
def default(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    accept_new_host_key: AcceptOption = False,
    as_json: JsonOption = False,
    yes: YesOption = False,
) -> int:
    """One command turns a fresh Debian server into a verified Airflow 3 platform."""
    context.obj = {"config": config, "ssh_config": ssh_config, "as_json": as_json, "yes": yes}
    context.obj["accept_new"] = accept_new_host_key
    if version:
        typer.echo(f"mlops-install {__version__}")
    elif context.invoked_subcommand is None:
        return apply(context)
    return 0


@app.command()
def apply(
    context: typer.Context,
    host: HostArgument = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    accept_new_host_key: AcceptOption = False,
    as_json: JsonOption = False,
    yes: YesOption = False,
    no_verify: Annotated[
        bool, typer.Option("--no-verify", help="Do not verify after a change.")
    ] = False,
    full: FullOption = False,
) -> int:
    """Show the plan, ask, carry it out, verify. Run it again for every change and upgrade."""
    from mlops_install import actions

    options = _options(context, host, config, ssh_config, accept_new_host_key, as_json)
    yes = yes or context.obj["yes"]
    return actions.apply(options, yes=yes, verify_after=not no_verify, full=full)


@app.command()
def plan(
    context: typer.Context,
    host: HostArgument = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    accept_new_host_key: AcceptOption = False,
    as_json: JsonOption = False,
    full: FullOption = False,
) -> int:
    """Show what apply would do; exit code 2 when that is something."""
    from mlops_install import actions

    options = _options(context, host, config, ssh_config, accept_new_host_key, as_json)
    return actions.plan(options, full=full)


@app.command()
def verify(
    context: typer.Context,
    host: HostArgument = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    accept_new_host_key: AcceptOption = False,
    as_json: JsonOption = False,
    junit: Annotated[Path | None, typer.Option(help="Write a JUnit report.")] = None,
) -> int:
    """Run the infrastructure tests against the live server; exit code 2 when one fails."""
    from mlops_install import actions

    options = _options(context, host, config, ssh_config, accept_new_host_key, as_json)
    return actions.verify(options, junit)


@app.command()
def status(
    context: typer.Context,
    host: HostArgument = None,
    config: ConfigOption = None,
    ssh_config: SshOption = None,
    accept_new_host_key: AcceptOption = False,
    as_json: JsonOption = False,
) -> int:
    """What runs on the server, and how it is; exit code 2 when something is down."""
    from mlops_install import actions

    options = _options(context, host, config, ssh_config, accept_new_host_key, as_json)
    return actions.status(options)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("mlops.toml"),
) -> None:
    """Write a config file with every setting, its default and what it means."""
    from mlops_install import report, starter
    from mlops_install.errors import ConfigError

    try:
        with file.open("x") as out:
            out.write(starter.example())
    except OSError as error:
        raise ConfigError(
            f"cannot write {file}: {error.strerror}", fix="name another file"
        ) from error
    report.say(f"wrote {file}; next: set [server] host, then `mlops-install plan`")


@box.command("up")
def box_up(
    name: str,
    system: Annotated[str, typer.Option("--os", help="debian-12 or debian-13.")] = "debian-12",
) -> None:
    """Make a box, or start it again; it stays until `box down`."""
    from mlops_install import box as boxes
    from mlops_install import report

    made = boxes.up(name, system, say=report.say)
    report.say(f"box {name} is up at {made.address}; `mlops-install box ssh {name}` logs in")


@box.command("ssh", context_settings={"ignore_unknown_options": True})
def box_ssh(
    name: str, command: Annotated[list[str] | None, typer.Argument(help="Command to run.")] = None
) -> None:
    """Log in to a box, or run a command in it."""
    from mlops_install import box as boxes

    found = boxes.find(name)
    words = ["ssh", "-i", str(found.identity_file), "-o", f"UserKnownHostsFile={found.known_hosts}",
             "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes", "-o", "LogLevel=ERROR",
             f"root@{found.address}", *(command or [])]  # fmt: skip
    os.execvp("ssh", words)  # noqa: S606 - the user's ssh takes over the terminal


@box.command("ssh-config")
def box_ssh_config(name: str) -> None:
    """Print an OpenSSH Host block: `mlops-install -F FILE apply NAME` and `ssh -F FILE NAME`."""
    from mlops_install import box as boxes

    typer.echo(boxes.ssh_config(boxes.find(name)), nl=False)


@box.command("list")
def box_list() -> None:
    """List the boxes."""
    from mlops_install import box as boxes
    from mlops_install import report

    rows = [(b.name, b.system, b.address, "running" if b.running else "off") for b in boxes.boxes()]
    report.table(("box", "system", "address", "state"), rows, report.data)


@box.command("halt")
def box_halt(name: str) -> None:
    """Switch a box off; its disk is kept."""
    from mlops_install import box as boxes

    boxes.halt(name)


@box.command("down")
def box_down(name: str) -> None:
    """Remove a box and its disk."""
    from mlops_install import box as boxes

    boxes.down(name)
