"""What was changed on the server in the release in force, or in its environments, is made anew."""

from mlops_server import listing
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.workflows import activation, fetching
from mlops_server.workflows.building import build
from mlops_server.workflows.state import Say, changing, load, locked, metadata


def repair(layout: Layout, say: Say) -> None:
    """Have the release in force as its commit has it, and its environments as they were built.

    Everything is made beside what is there, and changes places with it. Raises `EnvError`,
    `Rejected` and `TryAgain`.
    """
    with locked(layout, say, ".fetch.lock"):
        commit = load(layout).active
        if commit is None:
            raise EnvError("no commit is in force", fix="`mlops workflows sync` brings one")
        release = layout.releases / commit[:12]
        now = listing.contents(release)
        if metadata(release).get("contents", now) != now:  # earlier installers did not say
            say(f"release {release.name} was changed: it is made anew")
            fetching.remake(layout, commit, say)
    for name, lock in activation.copy_locks(layout, release).items():
        build(layout, name, lock, say)
    with changing(layout, say) as state:
        if state.active == commit:
            activation.switch(layout, release)
