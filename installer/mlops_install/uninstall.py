"""`mlops-install uninstall`: take off what the journal names, after showing it."""

import contextlib
from collections.abc import Iterator

from mlops_install import actions, engine, report, runlock
from mlops_install import progress as progresses
from mlops_install.actions import DIFFERENT, OK
from mlops_install.errors import PreflightError
from mlops_install.host import Host
from mlops_install.journal import START, Entry
from mlops_install.plan import Change, LaneChanges, Plan
from mlops_install.probe import ask, read
from mlops_install.reaching import Options
from mlops_install.removal.found import Found, find, is_ours
from mlops_install.removal.parts import Left, Part
from mlops_install.removal.plan import ALWAYS, OURS, Removal, make
from mlops_install.resource import differences
from mlops_install.roles.workflows import EMPTY
from mlops_install.shell import sh


def run(options: Options, *, keep_data: bool, yes: bool) -> int:
    """Show what goes and what stays, ask, carry it out."""
    login = options.login(files=False)
    with contextlib.closing(login.server) as server:
        last_run = login.facts().last_run
        found = find(server)
        _check(found)
        removal = make(found, _others(server, found), keep_data=keep_data)
        plan = _plan(server, removal)
        report.show_removal(plan, removal.kept, found.running, report.people())
        if plan.changes and not (yes or actions.agreed(server, "Uninstall from")):
            report.say("nothing was changed")
            return DIFFERENT
        if plan.changes:
            _carry_out(server, last_run, plan)
        if options.as_json:
            kept = [vars(kept) for kept in removal.kept]
            report.result(report.plan_json(plan) | {"kept": kept, "running": found.running})
    return OK


def _check(found: Found) -> None:
    if found.silent and any(e.kind in ("cluster", "database") for e in found.entries):
        raise PreflightError(
            "PostgreSQL does not answer, so what else is in it is unknown",
            fix="`systemctl start postgresql` on the server, then the same command again",
        )
    if found.installed and not any(e.kind == START for e in found.entries):
        raise PreflightError(
            "this server was installed before there was a journal",
            fix="run `mlops-install apply` once: it notes what is there",
        )


def _others(server: Host, found: Found) -> tuple[str, ...]:
    """Paths in our folders that are in no journal."""
    ours = [e for e in found.entries if e.kind in ("directory", "tree", "file", "link")]
    folders = [e.name for e in ours if e.kind == "directory" and e.was in OURS and is_ours(e.name)]
    (answer,) = ask(server, [_listing(ours, folders)])
    known = {e.name for e in ours}
    above = {path for name in known for path in _above(name)}
    new = {f"{name}{end}" for name in known for end in (".mlops-new", ".mlops-old", ".new")}
    return tuple(p for p in answer.text.splitlines() if p not in known | above | new)


def _listing(ours: list[Entry], folders: list[str]) -> str:
    trees = [*(e.name for e in ours if e.kind == "tree"), *ALWAYS]
    open_ = [f for f in folders if f not in trees]
    top = [f for f in open_ if not any(f.startswith(f"{other}/") for other in open_)]
    prune = " -o ".join(f"-path {sh(tree)}" for tree in trees)
    found = f"find {sh(*top)} \\( {prune} \\) -prune -o -mindepth 1 -print" if top else "true"
    # People put their DAGs into the empty first release.
    own = f"find {EMPTY} ! -type d -print"
    return f"{{ {found}; {own}; }} 2>/dev/null | sort; true"


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _plan(server: Host, removal: Removal) -> Plan:
    answers = ask(server, [part.probe() for part in removal.parts])
    changes = []
    for part, answer in zip(removal.parts, answers, strict=True):
        left = read(part, answer)
        if isinstance(left, Left):
            changes.append(_change(part, left))
    lanes = (LaneChanges("uninstall", tuple(changes)),) if changes else ()
    return Plan((("uninstall", lanes),) if lanes else (), len(answers))


def _change(part: Part, left: Left) -> Change:
    return Change(part, differences(left, None), part.steps, "\n".join(left.things))


def _carry_out(server: Host, last_run: str, plan: Plan) -> None:
    with (
        runlock.held(server, last_run, report.say, record=False) as us,
        progresses.progress(len(plan.changes)) as progress,
    ):
        engine.carry_out(server, plan, progress, us)
    report.say("uninstalled")
