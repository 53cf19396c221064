"""The gate: whether a commit may come into force. Its code runs in a sandbox, never as root."""

import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops_server import jsontext
from mlops_server.errors import EnvError
from mlops_server.layout import MODEL_NAME, Layout, lock_hash
from mlops_server.workflows import gate_tests, known, sandbox
from mlops_server.workflows.known import Known

Say = Callable[[str], None]
IMPORT = 20
"""Seconds for one DAG file; the server's own limit is longer."""
ALL_IMPORTS = 600
MEMORY_MB = 1024
# "DAG Run:" stands before it in a column of 250 characters; "task_id=" in a file name of 255 bytes.
LONGEST = {"DAG": 250 - len("DAG Run:"), "task": 255 - len("task_id=")}
FACTS = 32 << 20
"""Bytes that the import of all files may tell of its DAGs."""
SHOWN = 20
TAIL = 8


@dataclass
class Found:
    """What the import of all files brought: DAGs by file, errors by file, and files that were
    being imported when the importing process itself came to its end."""

    dags: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)


def check(layout: Layout, release: Path, candidate: str, say: Say) -> list[str]:
    """The reasons, one line each, why a release stays out; none means that it may come in.

    Details go to `say`. Raises `EnvError` when the server, not the commit, is in the way.
    """
    release = release.resolve()
    say(f"{candidate[:12]}: importing its DAGs in the server's Airflow")
    found, ended = _import(layout, release)
    server = known.ask(layout)
    reasons = [*_failed(found, release, say), *_cut_off(found, ended, release, say)]
    own = layout.root / "opt/mlops/dags"
    reasons += duplicates(found, release, own)
    built = environments(layout, release)
    reasons += [why for why in built.values() if why]
    reasons += too_long(found, release)
    for _, dag, task in _tasks(found, release):
        reasons += judge(f"DAG {dag}, task {task['task']}", task, server, built)
    number = sum(len(dags) for file, dags in found.dags.items() if _inside(file, release))
    say(f"{number} DAGs, {len(built)} environments")
    if not reasons:
        reasons = gate_tests.run(layout, release, say)
    more = len(reasons) - SHOWN
    return reasons[:SHOWN] + ([f"and {more} more reasons"] if more > 0 else [])


def _import(layout: Layout, release: Path) -> tuple[Found, sandbox.Ended]:
    dags = release / "dags"
    if not dags.is_dir():
        return Found(), sandbox.Ended(0, "", "")
    folders = [str(dags), str(layout.root / "opt/mlops/dags")]
    ended = sandbox.run(
        [str(known.airflow(layout)), "-P", "-B", "-m", "mlops_server.workflows.gate_dags"],
        dags,
        {
            "AIRFLOW_HOME": "/tmp",  # noqa: S108 - the sandbox's own
            "AIRFLOW_CONFIG": str(layout.root / "etc/mlops/airflow.cfg"),
        },
        sandbox.Limits(ALL_IMPORTS, memory_mb=3 * MEMORY_MB),
        json.dumps({"folders": folders, "seconds": IMPORT, "memory_mb": MEMORY_MB}),
        kept=FACTS,
    )
    found = read(ended.output)
    if ended.code and not found.begun:
        tail = "\n".join(ended.tail[-TAIL:])
        raise EnvError(
            "Airflow does not start in the gate",
            detail=tail,
            fix="`mlops-install apply` repairs it",
        )
    return found, ended


def read(output: str) -> Found:
    """The events that gate_dags wrote; a last line that was cut is left out."""
    found = Found()
    for line in io.StringIO(output):
        with suppress(ValueError, TypeError, KeyError):  # cut, or not of ours
            _take(found, jsontext.loads(line))
    found.begun |= set(found.dags)
    return found


def _take(found: Found, event: dict[str, Any]) -> None:
    if "begin" in event:
        found.begun.add(str(event["begin"]))
        return
    file, dags, error = str(event["end"]), event["dags"], event["error"]
    found.begun.discard(file)
    found.dags[file] = [dag for dag in dags if isinstance(dag, dict)]
    if error:
        found.errors[file] = str(error)


def _inside(file: str, release: Path) -> bool:
    return Path(file).is_relative_to(release)


def _failed(found: Found, release: Path, say: Say) -> Iterator[str]:
    """The files that do not import; the ends of their tracebacks are said."""
    for file, error in found.errors.items():
        if _inside(file, release):
            for line in error.splitlines()[-TAIL:]:
                say(f"    {line}")
            yield import_reason(file, error, release)


def import_reason(file: str, error: str, release: Path) -> str:
    """One line: the file, what happened, and where if that is in another place of the release."""
    lines = [line for line in error.splitlines() if line.strip()] or ["fails"]
    frames = [n for n, line in enumerate(lines) if line.startswith("  ")]
    traced = lines[0].startswith("Traceback") and frames
    what = lines[min(frames[-1] + 1, len(lines) - 1)] if traced else lines[0]
    if "AirflowTaskTimeout" in what:
        what = f"it takes longer than {IMPORT} s to import"
    places = re.findall(rf'File "{re.escape(str(release))}/([^"]+)", line (\d+)', error)
    where = f" ({places[-1][0]}, line {places[-1][1]})" if places else ""
    what = what.replace(f"{release}/", "")
    return f"{_name(file, release)}: {what[:300]}{where}"


def _name(file: str, release: Path) -> str:
    return str(Path(file).relative_to(release)) if _inside(file, release) else file


def _cut_off(found: Found, ended: sandbox.Ended, release: Path, say: Say) -> Iterator[str]:
    """What was going on when the importing process came to its end before its time."""
    if ended.size > FACTS:
        yield f"there are too many DAGs: their structure has more than {FACTS >> 20} MiB"
        return
    if not ended.code and not ended.late:
        return
    for line in ended.errors.splitlines()[-TAIL:]:
        say(f"    {line}")
    how = f"took longer than {ALL_IMPORTS} s" if ended.late else "was killed"
    names = [_name(file, release) for file in sorted(found.begun - set(found.dags))]
    yield f"the import of all DAGs {how}; it was at {', '.join(names) or 'no file'}"


def duplicates(found: Found, release: Path, own: Path) -> list[str]:
    """Ids that two DAGs of the release have, or one of them and a DAG of the server's own."""
    files: dict[str, list[str]] = {}
    for file, dags in found.dags.items():
        for dag in dags:
            files.setdefault(dag["dag"], []).append(file)
    reasons = []
    for name, places in sorted(files.items()):
        counted = Counter(_name(p, release) for p in places)
        if len(places) > 1 and any(_inside(p, release) for p in places):
            shown = [f"{p} ({n} times)" if n > 1 else p for p, n in counted.items()]
            reasons.append(f"there are {len(places)} DAGs with the id {name}: {', '.join(shown)}")
    return reasons


def too_long(found: Found, release: Path) -> list[str]:
    """Ids that Airflow takes, and of which its logs or its rights then have no room."""
    kinds = {"DAG": {}, "task": {}}  # type: dict[str, dict[str, str]]
    for file, dags in found.dags.items():
        for dag in dags if _inside(file, release) else ():
            kinds["DAG"][dag["dag"]] = _name(file, release)
            kinds["task"] |= {task["task"]: f"DAG {dag['dag'][:60]}" for task in dag["tasks"]}
    return [
        f"{place}: the {kind} id {name[:40]}… has {len(name.encode())} bytes, at most"
        f" {LONGEST[kind]} are possible"
        for kind, names in kinds.items()
        for name, place in sorted(names.items())
        if len(name.encode()) > LONGEST[kind]
    ]


def environments(layout: Layout, release: Path) -> dict[str, str]:
    """Each model of the release, and why its environment cannot be used; empty: it can."""
    found = {}
    for folder in sorted((release / "models").glob("*/")):
        if MODEL_NAME.fullmatch(folder.name) and (folder / "environment.yml").is_file():
            found[folder.name] = _environment(layout, folder)
    return found


def _environment(layout: Layout, folder: Path) -> str:
    name = f"models/{folder.name}"
    try:
        lock = lock_hash((folder / "conda-lock.yml").read_bytes())
    except FileNotFoundError:
        return f"{name}: there is no conda-lock.yml: `mlops-install lock {folder.name}` makes it"
    built = (layout.envs / folder.name / lock).exists()
    return "" if built else f"{name}: the environment {lock} is not built"


def _tasks(found: Found, release: Path) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for file, dags in found.dags.items():
        if _inside(file, release):
            yield from ((file, dag["dag"], task) for dag in dags for task in dag["tasks"])


def judge(who: str, task: dict[str, Any], server: Known, built: dict[str, str]) -> list[str]:
    """What a task refers to that this server does not have."""
    reasons = []
    model, pool, slots = task["env"], task["pool"], task["slots"]
    if model is not None and model not in built:
        reasons.append(f"{who}: there is no models/{model}, the release has {_list(built)}")
    if pool not in server.pools:
        reasons.append(f"{who}: there is no pool {pool}, the server has {_list(server.pools)}")
    elif 0 <= server.pools[pool] < slots:
        reasons.append(f"{who}: it wants {slots} slots, pool {pool} has {server.pools[pool]}")
    for name, connection in task["connections"].items():
        # Operators name a default one whether they need it or not.
        if connection not in server.connections and not connection.endswith("_default"):
            reasons.append(f"{who}: {name}: there is no connection {connection}")
    return reasons


def _list(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
