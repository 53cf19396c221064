"""`rollback airflow`: back to the version and the database from before the last upgrade."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mlops_install import report, runlock, upgrading
from mlops_install.answer import document, understood
from mlops_install.context import Context
from mlops_install.errors import ApplyError, MlopsError
from mlops_install.host import Host
from mlops_install.resources.environment import PROGRAM
from mlops_install.shell import sh
from mlops_install.upgrade import Upgrade
from mlops_install.upgrading import LOG, Steps


@dataclass(frozen=True)
class Previous:
    """What there is to go back to. `schema`: the database goes back too, to its state of `since`;
    `runs` is how many DAG runs were made since then."""

    old: str
    new: str
    schema: bool
    since: str
    runs: int

    def lines(self) -> Iterator[str]:
        """What will happen, for people."""
        yield f"Airflow {self.new} goes back to {self.old}"
        if self.schema:
            yield f"  its database goes back to {self.since}: what happened since is lost,"
            yield f"  {self.runs} DAG runs among it; today's database is kept as a dump"
            yield "  settings and services go back too; workflows, models, the certificate, and the"
            yield "  config's connections and variables stay"
        else:
            yield "  its database stays as it is: this is an `apply` with that version"


def look(server: Host) -> Previous:
    """Ask the server. Raises `ApplyError` when there is nothing to go back to."""
    done = server.run(sh(PROGRAM, "upgrade", "previous"))
    if done.code:
        message, _, fix = done.stderr.strip().removeprefix("mlops: ").partition("\nfix: ")
        raise ApplyError(message, fix=fix)
    found = document("what there is to go back to", done.stdout)
    with understood("what there is to go back to", done.stdout):
        return Previous(**found)


def run(steps: Steps, context: Context, found: Previous) -> None:
    """Go back to the saved database and files. Raises `ApplyError` when all stays as it is."""
    timeout = context.config.airflow.drain_timeout
    backwards = Upgrade(found.new, found.old, True, (), timeout)
    try:
        with (
            runlock.held(steps.server, context.facts.last_run, report.say) as us,
            upgrading.reason(held := replace(steps, holder=us)),
        ):
            kill = held.drain(found.old, timeout, "rollback")
            held.must("rollback", "--to", found.old, *(["--kill"] if kill else []))
    except MlopsError as error:
        raise upgrading.went_back(steps, backwards, error) from error
    upgrading.settle(steps)
    last = upgrading.ended(steps.server)
    if last.get("outcome") != "returned" or last.get("kind") != "rollback":
        raise ApplyError("the rollback did not finish", fix=f"see {LOG} on the server")
    report.say(str(last["message"]), "bold green")
    report.say(
        f"the config may still want Airflow {found.new}: `mlops-install plan` then shows the"
        f' upgrade again; set version = "{found.old}" in [airflow] to stay'
    )
