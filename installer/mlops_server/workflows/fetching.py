"""Fetch the ref that is pulled, and make a release of a new commit."""

import shutil
import time
from dataclasses import asdict, dataclass

from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.workflows import config as configs
from mlops_server.workflows.config import Config
from mlops_server.workflows.git import Repository
from mlops_server.workflows.plumbing import BrokenMirror
from mlops_server.workflows.refusals import Rejected
from mlops_server.workflows.release import NEW, Maker
from mlops_server.workflows.state import Say, State, changing, load, locked

FETCHED = "refs/mlops/fetched"
UNUSED = 30 * 86400
"""Seconds after which the mirror of a submodule that no commit had any more goes."""


@dataclass(frozen=True)
class Fetched:
    """`new`: there is a candidate, `commit`; else `reason` says why there is none."""

    commit: str | None
    new: bool
    reason: str

    def facts(self) -> dict[str, str | bool | None]:
        """The same for JSON."""
        return asdict(self)


def fetch(layout: Layout, say: Say, *, again: bool = False) -> Fetched:
    """Look at the ref; a commit that is not in force becomes the candidate.

    Raises `Rejected`, `TryAgain` and `EnvError`.
    """
    config = configs.read(layout.workflows_config, layout.protocols)
    if config.repository is None:
        return Fetched(None, False, "no repository is set: [workflows] repository in mlops.toml")
    with locked(layout, say, ".fetch.lock"):
        state = load(layout)
        if state.held:
            return _keep(layout, state.held, say)
        repository = Repository(layout, layout.repository, config.repository)
        try:
            return _fetch(layout, config, repository, say, again)
        except BrokenMirror as error:
            say(f"{error.message}: it is made anew")
            for mirror in (repository.path, *layout.submodules.glob("*.git")):
                Repository(layout, mirror, config.repository).remove()
            return _fetch(layout, config, repository, say, again)


def _keep(layout: Layout, commit: str, say: Say) -> Fetched:
    """A held commit stays; where a folder's release took its place, it comes into force again."""
    with changing(layout, say) as state:
        if state.active is None and (layout.releases / commit[:12]).is_dir():
            state.candidate, state.checked = commit, None
            return Fetched(commit, True, "held, and not in force")
    return Fetched(commit, False, _held(commit))


def _held(commit: str) -> str:
    return f"{commit[:12]} is held by a rollback; `mlops workflows release` ends that"


def _fetch(
    layout: Layout, config: Config, repository: Repository, say: Say, again: bool
) -> Fetched:
    if config.signed and not layout.allowed_signers.exists():
        raise EnvError(
            f"commits must be signed, and {layout.allowed_signers} is missing", fix=configs.FIX
        )
    repository.ensure()
    tip = _tip(config, repository)
    repository.ensure(tip)
    with changing(layout, say) as state:
        if again:
            state.rejected.pop(tip, None)
        if known := _known(layout, state, tip):
            return known
        if tip in state.rejected:
            _refuse(state, tip, say)
    commit = tip
    try:
        commit = _take(config, repository, tip, say)
        _note_rewriting(repository, state, commit, say)
        if config.signed and (problem := repository.signed(commit)):
            raise Rejected(f"its signature is not accepted: {problem}")
        release = Maker(layout, config, repository, say).make(commit)
    except Rejected as error:
        error.commit = commit
        with changing(layout, say) as state:
            state.seen, state.candidate = commit, None
            state.reject(commit, error.message, "fetch")
        raise
    with changing(layout, say) as state:
        state.seen = commit
        if state.held:
            return Fetched(commit, False, _held(state.held))
        state.candidate, state.checked = commit, None
    say(f"{commit[:12]} is the release {release}")
    return Fetched(commit, True, "new")


def _tip(config: Config, repository: Repository) -> str:
    """The commit that the ref names on the server."""
    there = repository.advertised()
    ref = config.full_ref
    tip = there.get(f"{ref}^{{}}") or there.get(ref)
    if tip:
        return tip
    if not there:
        raise EnvError(
            f"{repository.url} is empty", fix=f"push {config.ref} to it; until then nothing changes"
        )
    names = sorted(name.removeprefix("refs/heads/") for name in there if not name.endswith("^{}"))
    more = ["..."] if len(names) > 10 else []
    raise EnvError(
        f"{repository.url} has no {config.ref}: what is in force stays",
        fix=f"push it, or set [workflows] ref to one of {', '.join(names[:10] + more)}",
    )


def _known(layout: Layout, state: State, tip: str) -> Fetched | None:
    """What there is to say about a commit that needs no fetching."""
    if tip == state.active:
        state.seen, state.candidate = tip, None
        return Fetched(tip, False, "nothing new")
    if tip == state.candidate and (layout.releases / tip[:12]).is_dir():
        return Fetched(tip, True, "on its way already")
    return None


def _refuse(state: State, tip: str, say: Say) -> None:
    """Say each time that the tip was rejected, for as long as it is the tip. Raises `Rejected`."""
    state.seen, state.candidate = tip, None
    about = state.rejected[tip]
    say(f"looked at already, at {about['at']}: `mlops-install sync --again` tries it once more")
    rejected = Rejected(about["reason"])
    rejected.commit = tip
    raise rejected


def _take(config: Config, repository: Repository, tip: str, say: Say) -> str:
    """Fetch the ref; its commit, which may be a newer one than was seen."""
    say(f"fetching {config.ref} of {repository.url}")
    repository.fetch(config.full_ref, FETCHED)
    commit = repository.commit(FETCHED)
    if commit is None:
        raise EnvError(
            f"{config.ref} of {repository.url} is not a commit",
            fix="set [workflows] ref to a branch, or to refs/tags/TAG",
        )
    if commit != tip:
        say(f"{config.ref} has moved on meanwhile, to {commit[:12]}")
    return commit


def _note_rewriting(repository: Repository, state: State, commit: str, say: Say) -> None:
    old = state.active
    if old and repository.commit(old) and not repository.is_ancestor(old, commit):
        say(f"history was rewritten: {commit[:12]} does not follow {old[:12]}; it is taken as any")


def tidy(layout: Layout) -> None:
    """Remove what the mirrors do not need. Hold the lock for repositories."""
    for path in layout.releases.glob(f"{NEW}*"):
        shutil.rmtree(path, ignore_errors=True)
    for mirror in (layout.repository, *layout.submodules.glob("*.git")):
        if mirror != layout.repository and time.time() - mirror.stat().st_mtime > UNUSED:
            Repository(layout, mirror, "").remove()
        elif mirror.is_dir():
            Repository(layout, mirror, "").collect()
