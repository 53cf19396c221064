"""Fetch the ref that is pulled, and make a release of a new commit."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlops_server import confined, listing, takeover
from mlops_server.disk import exchange, sync
from mlops_server.errors import BadLock, EnvError
from mlops_server.layout import METADATA, Layout
from mlops_server.workflows import config as configs
from mlops_server.workflows import mirrors, pulling
from mlops_server.workflows.config import Config
from mlops_server.workflows.plumbing import BrokenMirror
from mlops_server.workflows.refusals import Rejected, TryAgain, shown
from mlops_server.workflows.release import NEW, models
from mlops_server.workflows.state import Say, State, changing, load, locked, metadata

UNUSED = 30 * 86400
"""Seconds after which the mirror of a submodule that no commit had any more goes."""
USER = "mlops-git"
"""Who talks to Git servers: ssh wants a user that is known."""
PLACE = ".pull"
ABOUT = ("subject", "author", "committed_at")
OID = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
MODULE = re.compile(r"[0-9a-f]{16}\.git")


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
        try:
            return _fetch(layout, config, say, again)
        except BrokenMirror as error:
            say(f"{error.message}: it is made anew")
            confined.remove(layout.repository, layout.submodules)
            return _fetch(layout, config, say, again)


def _keep(layout: Layout, commit: str, say: Say) -> Fetched:
    """A held commit stays; where a folder's release took its place, it comes into force again."""
    with changing(layout, say) as state:
        if state.active is None and (layout.releases / commit[:12]).is_dir():
            state.candidate, state.checked = commit, None
            return Fetched(commit, True, "held, and not in force")
    return Fetched(commit, False, _held(commit))


def _held(commit: str) -> str:
    return f"{commit[:12]} is held by a rollback; `mlops workflows release` ends that"


def _fetch(layout: Layout, config: Config, say: Say, again: bool) -> Fetched:
    if config.signed and not layout.allowed_signers.exists():
        raise EnvError(
            f"commits must be signed, and {layout.allowed_signers} is missing", fix=configs.FIX
        )
    tip = _tip(layout, config, say)
    with changing(layout, say) as state:
        if again:
            state.rejected.pop(tip, None)
        if known := _known(layout, state, tip):
            return known
        if tip in state.rejected:
            _refuse(state, tip, say)
        known_commits = [state.active, state.seen]
    try:
        commit, release = _release(layout, config, tip, known_commits, say)
    except Rejected as error:
        error.commit = error.commit or tip
        with changing(layout, say) as state:
            state.seen, state.candidate = error.commit, None
            state.reject(error.commit, error.message, "fetch")
        raise
    with changing(layout, say) as state:
        state.seen = commit
        if state.held:
            return Fetched(commit, False, _held(state.held))
        state.candidate, state.checked = commit, None
    say(f"{commit[:12]} is the release {release}")
    return Fetched(commit, True, "new")


def _tip(layout: Layout, config: Config, say: Say) -> str:
    """The commit that the ref names on the server."""
    with _yard(layout) as yard:
        found = _ask("look", layout, config, yard, {}, say)
    if found["tip"]:
        return _commit(found["tip"])
    names = [shown(str(name)) for name in found["names"]]
    if not names:
        raise EnvError(
            f"{config.repository} is empty",
            fix=f"push {config.ref} to it; until then nothing changes",
        )
    more = ["..."] if len(names) > 10 else []
    raise EnvError(
        f"{config.repository} has no {config.ref}: what is in force stays",
        fix=f"push it, or set [workflows] ref to one of {', '.join(names[:10] + more)}",
    )


def _commit(found: Any) -> str:
    """A commit's name, as a unit says it."""
    if not isinstance(found, str) or not OID.fullmatch(found):
        raise EnvError("Git names no commit", fix="run it again")
    return found


@contextmanager
def _yard(layout: Layout) -> Iterator[confined.Yard]:
    seen = layout.releases.with_name(PLACE)
    seen.parent.mkdir(parents=True, exist_ok=True)
    try:
        with confined.yard(layout, seen) as yard:
            yield yard
    finally:
        confined.remove(seen)


def _ask(
    job: str, layout: Layout, config: Config, yard: confined.Yard, more: dict[str, Any], say: Say
) -> dict[str, Any]:
    """Have it done by a user that can write the yard only. Raises `EnvError`."""
    request = {
        "root": str(layout.root),
        "into": str(yard.seen),
        "config": asdict(config),
        "files": {name: path.read_text() for name, path in _needed(layout) if path.exists()},
        **more,
    }
    if not confined.isolated(layout):
        return dict(getattr(pulling, job)(request, say))
    return confined.call(
        layout, f"mlops-git-{job}", job, request | {"variables": confined.network()}, say,
        yard=yard, network=True, seconds=3600, user=USER, raised=_raised,
    )  # fmt: skip


def _needed(layout: Layout) -> list[tuple[str, Path]]:
    """What Git has to read, and others must not."""
    secrets = (layout.deploy_key, layout.git_credentials)
    plain = (layout.known_hosts, layout.allowed_signers)
    return [*((f"secrets/{p.name}", p) for p in secrets), *((p.name, p) for p in plain)]


def _raised(about: Any) -> EnvError:
    """The error that a unit tells of, as its kind."""
    plain = confined.described(about)
    kind = about.get("kind") if isinstance(about, dict) else ""
    if kind in ("Rejected", "Malformed"):
        rejected = Rejected(plain.message, detail=plain.detail)
        if OID.fullmatch(str(about.get("commit"))):
            rejected.commit = str(about["commit"])
        return rejected
    made = {"TryAgain": TryAgain, "BrokenMirror": BrokenMirror}.get(str(kind), EnvError)
    return made(plain.message, fix=plain.fix, detail=plain.detail)


def remake(layout: Layout, commit: str, say: Say) -> None:
    """Make the release of a commit once more, beside the one that is there, which then goes.

    Hold the lock for repositories. Raises `Rejected`, `TryAgain` and `EnvError`.
    """
    config = configs.read(layout.workflows_config, layout.protocols)
    with _yard(layout) as yard:
        more: dict[str, Any] = {"tip": commit, "known": [], "active": None, "exact": True}
        found = _ask("gather", layout, config, yard, more, say)
        _take_over(layout, config, yard, commit, found, anew=True)


def _release(
    layout: Layout, config: Config, tip: str, known: list[str | None], say: Say
) -> tuple[str, Path]:
    """The commit, and its release, made where it is not there. Raises `Rejected`."""
    with _yard(layout) as yard:
        more = {"tip": tip, "known": known, "active": known[0]}
        found = _ask("gather", layout, config, yard, more, say)
        commit = _commit(found["commit"])
        try:
            return commit, _take_over(layout, config, yard, commit, found)
        except Rejected as error:
            error.commit = commit
            raise
        except BadLock as error:
            rejected = Rejected(f"{error.message}: {error.fix}")
            rejected.commit = commit
            raise rejected from error


def _take_over(
    layout: Layout,
    config: Config,
    yard: confined.Yard,
    commit: str,
    found: dict[str, Any],
    *,
    anew: bool = False,
) -> Path:
    """Judge what the unit has left, and make it root's. Raises `Rejected`, `BadLock`."""
    final = layout.releases / commit[:12]
    fresh = yard.hidden / "releases" / final.name
    takeover.take(yard.hidden, at=yard.seen)
    for made in (yard.hidden / "modules").glob("*.git"):
        if MODULE.fullmatch(made.name):
            mirrors.keep(made, layout.submodules / made.name)
    mirrors.keep(yard.hidden / "repository.git", layout.repository)
    there = metadata(final).get("commit")  # none where somebody has damaged it
    if there and there != commit:
        raise Rejected(f"{final} is of another commit whose id begins with the same digits")
    if there and not anew:
        return final
    if takeover.take(fresh, at=final).bytes > config.max_release_mb << 20:
        raise Rejected(f"the files are more than {config.max_release_mb} MiB")
    models(fresh, config)
    about = {
        name: shown(str(found.get(name, ""))) for name in ("subject", "author", "committed_at")
    }
    about |= {"commit": commit, "ref": config.full_ref, "contents": listing.contents(fresh)}
    (fresh / METADATA).write_text(f"{json.dumps(about, indent=1)}\n")
    subprocess.run(["sync", "-f", str(fresh)], check=False)
    layout.releases.mkdir(parents=True, exist_ok=True)
    if final.is_dir():
        exchange(fresh, final)
    else:
        fresh.rename(final)
    sync(final.parent)
    _forget_large(layout, found.get("large"))
    return final


def _forget_large(layout: Layout, large: Any) -> None:
    """A unit says what its release has; where it is wrong, the next pull brings more."""
    for name, kept in large.items() if isinstance(large, dict) else ():
        mirror = layout.submodules / name if MODULE.fullmatch(name) else layout.repository
        if isinstance(kept, list) and name == mirror.name:
            mirrors.forget_large(mirror, {str(name) for name in kept})


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


def tidy(layout: Layout) -> None:
    """Remove what the mirrors do not need. Hold the lock for repositories."""
    confined.remove(*layout.releases.glob(f"{NEW}*"), layout.releases.with_name(f"{PLACE}.new"))
    for mirror in (layout.repository, *layout.submodules.glob("*.git")):
        if not mirror.is_dir():
            continue
        if mirror != layout.repository and time.time() - mirror.stat().st_mtime > UNUSED:
            confined.remove(mirror)
        mirrors.tidy(mirror)
