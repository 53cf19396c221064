"""What is done with Git, by a user that has nothing and can write one new folder."""

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.workflows.config import Config
from mlops_server.workflows.git import Repository
from mlops_server.workflows.refusals import Rejected
from mlops_server.workflows.release import Maker
from mlops_server.workflows.state import Say

FETCHED = "refs/mlops/fetched"


@dataclass(frozen=True)
class Workplace(Layout):
    """The places of the server, as the unit has them: `real` is for looking only."""

    place: Path = Path("/nowhere")
    real: Layout = field(default_factory=Layout)

    @property
    def repository(self) -> Path:
        """A repository of this run's own, beside the mirror that is there."""
        return self.place / "repository.git"

    @property
    def submodules(self) -> Path:
        """Those of submodules."""
        return self.place / "modules"

    @property
    def releases(self) -> Path:
        """Where the release is made."""
        return self.place / "releases"

    @property
    def protocols(self) -> tuple[str, ...]:
        """Those of the server."""
        return self.real.protocols

    def mirror(self, repository: Path) -> Path | None:
        """What is there already."""
        mine = repository == self.repository
        return self.real.repository if mine else self.real.submodules / repository.name


def _workplace(request: dict[str, Any]) -> Workplace:
    os.environ.update(request.get("variables", {}))
    root = Path(tempfile.mkdtemp(prefix="mlops-pull-"))
    made = Workplace(root, Path(request["into"]), Layout(Path(request["root"])))
    for name, text in request["files"].items():
        path = root / "etc/mlops" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)
        path.write_text(text)
    return made


def _repository(layout: Workplace, request: dict[str, Any]) -> tuple[Config, Repository]:
    given = request["config"] | {"channels": tuple(request["config"]["channels"])}
    made = Repository(layout, layout.repository, str(given["repository"]))
    made.ensure(request.get("tip", ""))
    return Config(**given), made


def look(request: dict[str, Any], say: Say) -> dict[str, Any]:
    """The commit that the ref names, or the names that there are."""
    config, repository = _repository(_workplace(request), request)
    there = repository.advertised()
    ref = config.full_ref
    names = sorted(n.removeprefix("refs/heads/") for n in there if not n.endswith("^{}"))
    return {"tip": there.get(f"{ref}^{{}}") or there.get(ref) or "", "names": names[:11]}


def gather(request: dict[str, Any], say: Say) -> dict[str, Any]:
    """Make the release of the ref's commit; its name and what it says about itself.

    Raises `Rejected`, `TryAgain` and `EnvError`.
    """
    layout = _workplace(request)
    config, repository = _repository(layout, request)
    for number, commit in enumerate(filter(None, request["known"])):
        if repository.commit(commit):  # the server need not send again what comes before it
            repository.point(f"refs/mlops/known/{number}", commit)
    tip = request["tip"]
    commit = tip
    try:
        take = _again if request.get("exact") else _take
        commit = take(config, repository, tip, say)
        _note_rewriting(repository, request["active"], commit, say)
        if config.signed and (problem := repository.signed(commit)):
            raise Rejected(f"its signature is not accepted: {problem}")
        large = Maker(layout, config, repository, say).make(commit)
        _unlink(layout.place)
    except Rejected as error:
        error.commit = commit
        raise
    return {"commit": commit, "large": large, **repository.describes(commit)}


def _unlink(place: Path) -> None:
    """Git LFS links to the files of a server on this machine: what is taken over is a copy."""
    for path in place.glob("**/lfs/objects/*/*/*"):
        if path.stat().st_nlink > 1:
            data = path.read_bytes()
            path.unlink()
            path.write_bytes(data)


def _again(config: Config, repository: Repository, commit: str, say: Say) -> str:
    """A commit that was here before: from the mirror, or else from the server once more."""
    if repository.commit(commit) != commit:
        _take(config, repository, commit, say)
    if repository.commit(commit) != commit:
        raise EnvError(
            f"{repository.url} has no commit {commit[:12]} any more",
            fix=f"push it again, or bring another one into force: push to {config.ref}",
        )
    return commit


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


def _note_rewriting(repository: Repository, old: str | None, commit: str, say: Say) -> None:
    if old and repository.commit(old) and not repository.is_ancestor(old, commit):
        say(f"history was rewritten: {commit[:12]} does not follow {old[:12]}; it is taken as any")
