"""`mlops workflows ...`: each step of the git-pull DAG, all of them at once, and the way back."""

import argparse
import fcntl
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_server.errors import EnvError
from mlops_server.layout import METADATA, Layout
from mlops_server.output import printable
from mlops_server.store import Model
from mlops_server.workflows import activation, fetching, keys
from mlops_server.workflows import config as configs
from mlops_server.workflows.config import Config
from mlops_server.workflows.refusals import Rejected, TryAgain
from mlops_server.workflows.state import GATE, Say, changing, load, locked, metadata, save


def run(options: argparse.Namespace, layout: Layout, user: str | None, say: Say) -> int:
    """Run one command; its exit code. Raises `EnvError`, `Rejected` (3) and `TryAgain` (75)."""
    os.umask(0o022)
    commands = Commands(layout, user, say, options.json)
    if options.command in ("fetch", "sync"):
        getattr(commands, options.command)(again=options.again)
    elif options.command == "rollback":
        commands.rollback(options.commit)
    else:
        getattr(commands, options.command)()
    return 0


@dataclass(frozen=True)
class Commands:
    """The commands; with `as_json` the answer is one line of JSON, and progress is on stderr."""

    layout: Layout
    user: str | None
    say: Say
    as_json: bool = False

    def fetch(self, *, again: bool = False) -> None:
        """Fetch the ref; a new commit becomes the candidate."""
        found = fetching.fetch(self.layout, self._progress, again=again)
        self._answer(found.facts(), [f"{(found.commit or '')[:12]} {found.reason}".strip()])

    def models(self) -> None:
        """The models of the candidate, with their locks where builds find them."""
        found: list[dict[str, Any]] = []
        with self._candidate() as release:
            locks = activation.copy_locks(self.layout, release) if release else {}
            for name, lock in locks.items():
                built = Model(self.layout, name).prefix(lock) is not None
                found.append({"model": name, "lock_hash": lock, "built": built})
        lines = [f"{m['model']} {m['lock_hash']}{' built' * m['built']}" for m in found]
        self._answer(found, lines)

    def check(self) -> None:
        """Prove the candidate; what is found wrong keeps it out."""
        from mlops_server.workflows import gate

        with locked(self.layout, self.say, GATE), self._candidate() as release:
            if release is None:
                self.say("there is no candidate")
                return
            commit = metadata(release)["commit"]
            reasons = gate.check(self.layout, release, commit, self.say)
            self._judge(commit, reasons)
            self.say(f"{commit[:12]} passed the gate")

    def _judge(self, commit: str, reasons: list[str]) -> None:
        with changing(self.layout, self.say) as state:
            if state.candidate != commit:
                if state.active == commit and not reasons:
                    return  # the DAG that pulls was faster, or somebody by hand
                raise TryAgain(
                    f"{commit[:12]} is not the candidate any more",
                    fix="`mlops workflows sync` begins again",
                )
            if not reasons:
                state.checked = commit
                return
            more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
            first = " ".join(reasons[0].split())
            rejected = Rejected(f"{first}{more}", detail="\n".join(reasons[1:]))
            rejected.commit = commit
            state.reject(commit, rejected.message, "check")
        raise rejected

    def activate(self) -> None:
        """Bring the checked candidate into force."""
        with changing(self.layout, self.say) as state:
            commit = state.candidate
            if commit is None:
                self.say("there is no candidate")
                return
            if state.checked != commit:
                raise EnvError(
                    f"{commit[:12]} is not checked yet", fix="`mlops workflows check` first"
                )
            activation.switch(self.layout, self.layout.releases / commit[:12])
            state.activated(commit)
            state.candidate = state.checked = None
        self._show(commit)
        self.say(f"{commit[:12]} is in force")

    def clean(self) -> None:
        """Remove releases, environments and packages that nothing needs."""
        from mlops_server.clean import clean
        from mlops_server.services import records
        from mlops_server.workflows import known

        config = self._config()
        spared = known.running(self.layout) | {p.name for p in records.releases(self.layout)}
        with locked(self.layout, self.say, ".fetch.lock"):
            with changing(self.layout, self.say) as state:
                old = activation.clean(self.layout, state, config.keep, spared, self.say)
            activation.remove(old)
            fetching.tidy(self.layout)
        clean(self.layout, config.keep_environments, self.say)

    def sync(self, *, again: bool = False) -> None:
        """All of it in one go."""
        from mlops_server.workflows.building import build

        found = fetching.fetch(self.layout, self.say, again=again)
        if not found.new:
            self.say(f"{(found.commit or '')[:12]} {found.reason}".strip())
            return
        with self._candidate() as release:
            locks = activation.copy_locks(self.layout, release) if release else {}
            for name, lock in locks.items():
                build(self.layout, name, lock, self.say)
        self.check()
        self.activate()
        self.clean()

    def repair(self) -> None:
        """Make anew what was changed in the release in force or in its environments."""
        from mlops_server.workflows.repairing import repair

        repair(self.layout, self.say)

    def rollback(self, wanted: str | None = None) -> None:
        """Bring the release before, or a given one, into force, and hold it."""
        with changing(self.layout, self.say) as state:
            commit = activation.earlier(self.layout, state, wanted)
            held, state.held, state.returning = state.held, commit, commit
            state.candidate = state.checked = None
            save(self.layout, state)  # killed from here on, the same command goes on
            try:
                activation.switch(self.layout, self.layout.releases / commit[:12])
                state.activated(commit, rollback=True)
            except EnvError:
                state.held = held
                raise
            finally:
                state.returning = None
        self._show(commit)
        self.say(f"{commit[:12]} is in force, and held; `mlops workflows release` ends the hold")

    def release(self) -> None:
        """End the hold of a rollback."""
        with changing(self.layout, self.say) as state:
            was, state.held, state.returning = state.held, None, None
        ref = self._config().ref
        self.say(f"{was[:12]} is not held any more: {ref} counts" if was else "nothing is held")

    def _show(self, commit: str) -> None:
        from mlops_server.workflows import known

        if known.airflow(self.layout).exists():
            known.show_soon(self.layout.releases / commit[:12])

    def status(self) -> None:
        """What is in force, on its way, rejected and held."""
        from mlops_server.workflows import overview

        found = overview.facts(self.layout, self._config())
        self._answer(found, overview.page(found))

    def key(self) -> None:
        """The public deploy key; made now when there is none."""
        with locked(self.layout, self._progress):
            found = keys.ensure(self.layout)
        self.say(found)

    @contextmanager
    def _candidate(self) -> Iterator[Path | None]:
        """The release of the candidate, kept from removal meanwhile."""
        commit = load(self.layout).candidate
        release = self.layout.releases / commit[:12] if commit else None
        try:
            descriptor = os.open(release / METADATA, os.O_RDONLY) if release else -1
        except FileNotFoundError:
            raise EnvError(
                f"{release} is missing", fix="`mlops workflows fetch` makes it"
            ) from None
        try:
            if release:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            yield release
        finally:
            if release:
                os.close(descriptor)

    def _config(self) -> Config:
        return configs.read(self.layout.workflows_config, self.layout.protocols)

    def _progress(self, text: str) -> None:
        if self.as_json:
            print(printable(text), file=sys.stderr, flush=True)
        else:
            self.say(text)

    def _answer(self, found: Any, lines: list[str]) -> None:
        for line in [json.dumps(found)] if self.as_json else lines:
            self.say(line)
