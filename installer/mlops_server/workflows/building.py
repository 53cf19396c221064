"""Build an environment; a commit whose lock can never be built is rejected."""

from mlops_server import build as builds
from mlops_server.errors import BadLock
from mlops_server.layout import Layout
from mlops_server.workflows.activation import locks
from mlops_server.workflows.refusals import Rejected
from mlops_server.workflows.state import Say, changing, load


def build(layout: Layout, name: str, lock: str, say: Say) -> None:
    """Have an intact environment of this lock.

    Raises `EnvError`, or `Rejected` when the lock is at fault and the candidate brought it.
    """
    try:
        builds.build(layout, name, lock, say)
    except BadLock as error:
        commit = load(layout).candidate
        release = layout.releases / (commit or "none")[:12]
        if commit is None or locks(release).get(name) != lock:
            raise
        rejected = Rejected(f"models/{name}: {error.message}", detail=error.detail)
        rejected.commit = commit
        with changing(layout, say) as state:
            state.reject(commit, rejected.message, "prepare")
        raise rejected from error
