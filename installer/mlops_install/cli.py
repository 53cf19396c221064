"""The command line: names, options and help; the work is in `actions`.

Heavy libraries are imported by the command that needs them.
"""

import re
from pathlib import Path
from typing import Annotated, Any

import typer
from mlops_server.errors import EnvError

from mlops_install import __version__
from mlops_install.backupcli import backup, backups, restore
from mlops_install.boxcli import box
from mlops_install.envcli import env
from mlops_install.errors import MlopsError
from mlops_install.lastresort import INTERRUPTED
from mlops_install.options import (
    AcceptOption,
    ConfigOption,
    FullOption,
    HostArgument,
    JsonOption,
    SshOption,
    YesOption,
    begun,
    chosen,
)
from mlops_install.uninstallcli import uninstall
from mlops_install.workflowscli import rollback, sync, workflows

NAME = "mlops-install"
app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(env, name="env", help="The conda environments of the models on the server.")
app.add_typer(workflows, name="workflows", help="The workflow repository on the server.")
app.command()(sync)
app.command()(rollback)
app.command()(uninstall)
app.command()(backup)
app.command()(backups)
app.command()(restore)
app.add_typer(box, name="box", help="Disposable servers on this machine (Linux, as root).")


def run(words: list[str]) -> int:
    """Run the command line; every error of ours ends here, with exit code 1."""
    try:
        code = app(words, prog_name=NAME, standalone_mode=False)
    except MlopsError as problem:
        return _told(problem)
    except EnvError as problem:  # of what both sides share
        return _told(MlopsError(problem.message, fix=problem.fix, detail=problem.detail))
    except SystemExit as ended:  # what typer makes of a reader that went away
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        raise
    except Exception as problem:
        # A mistake in the words of the command line; typer does not export their base class.
        if not hasattr(problem, "format_message"):
            raise
        return _told(_usage(problem))
    if code == INTERRUPTED:  # what typer makes of Ctrl-C
        raise KeyboardInterrupt
    return int(code or 0)


def _usage(problem: Any) -> MlopsError:
    message = problem.format_message()
    command = getattr(getattr(problem, "ctx", None), "command_path", NAME)
    if message.startswith("Usage:"):  # of a group: `mlops-install box` alone
        return MlopsError("no command is named", detail=message, fix=f"see `{command} --help`")
    found = re.search(r"No such command '([^']*[@.:][^']*)'", message)
    fix = f"`mlops-install apply {found[1]}`?" if found else f"see `{command} --help`"
    return MlopsError(message.rstrip("."), fix=fix)


def _told(problem: MlopsError) -> int:
    from mlops_install import report

    report.error(problem)
    return 1


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
    options = chosen(context, host, config, ssh_config, accept_new_host_key, as_json)
    options = begun(options)
    from mlops_install import actions

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
    options = chosen(context, host, config, ssh_config, accept_new_host_key, as_json)
    options = begun(options)
    from mlops_install import actions

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
    options = chosen(context, host, config, ssh_config, accept_new_host_key, as_json)
    options = begun(options)
    from mlops_install import actions

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
    options = chosen(context, host, config, ssh_config, accept_new_host_key, as_json)
    options = begun(options, files=False)
    from mlops_install import actions

    return actions.status(options)


@app.command("new-project")
def new_project(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="Where to make it.")],
    ci: Annotated[
        list[str] | None, typer.Option(help="github, jenkins, drone or gitlab; may be repeated.")
    ] = None,
    config: ConfigOption = None,
) -> int:
    """Make a workflow project with two forecasting models, and lock their environments."""
    from mlops_install import actions, newproject, report

    newproject.create(folder, ci or [], report.say)
    wish = actions.LockWish(project=folder)
    return actions.lock(config or (context.obj or {}).get("config"), wish)


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


@app.command()
def lock(
    context: typer.Context,
    models: Annotated[list[str] | None, typer.Argument(help="Default: all models.")] = None,
    config: ConfigOption = None,
    project: Annotated[
        Path | None, typer.Option(help="Default: [workflows] path, or the current folder.")
    ] = None,
    update: Annotated[
        list[str] | None, typer.Option(help="Package to update; '*' for all.", metavar="PACKAGE")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only tell what is stale.")] = False,
    conda: Annotated[
        str | None, typer.Option(help="A conda, mamba or micromamba to solve with.")
    ] = None,
) -> int:
    """Lock the environments of models: models/NAME/conda-lock.yml from its environment.yml."""
    from mlops_install import actions

    wish = actions.LockWish(tuple(models or ()), project, tuple(update or ()), check, conda)
    return actions.lock(config or (context.obj or {}).get("config"), wish)
