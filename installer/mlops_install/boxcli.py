"""`mlops-install box`: disposable servers on this machine."""

import os
from typing import Annotated

import typer

from mlops_install.options import PASSED_ON

box = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


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


@box.command("ssh", context_settings=PASSED_ON)
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
    report.table(("box", "system", "address", "state"), rows, report.data())


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
