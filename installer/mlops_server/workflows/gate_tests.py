"""The project's own tests, in a sandbox: those of a model in its environment, others in Airflow's.

models/<name>/tests/    by the pytest of the model's environment, from models/<name>
tests/                  by Airflow's interpreter, from the top; pytest is the server's
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mlops_server import activation
from mlops_server.errors import EnvError
from mlops_server.layout import MODEL_NAME, Layout, lock_hash
from mlops_server.workflows import config, known, sandbox

PYTEST = ("-q", "--color=no", "-p", "no:cacheprovider", "tests")
NOTHING = 5
"""pytest's exit code for "there are no tests"."""
TAIL = 20
# Last on the path: what Airflow's environment has itself comes from there.
_START = "import sys; sys.path.append({tools!r}); import pytest; raise SystemExit(pytest.main())"


@dataclass(frozen=True)
class Suite:
    """One folder of tests, and how it is run."""

    name: str
    words: list[str]
    folder: Path
    variables: dict[str, str]
    memory_mb: int = 4096


def run(layout: Layout, release: Path, say: Callable[[str], None]) -> list[str]:
    """Run all tests within the time that the settings give; the reasons to refuse the release."""
    seconds = config.read(layout.workflows_config, layout.protocols).test_timeout
    until = time.monotonic() + seconds
    for suite in suites(layout, release):
        if isinstance(suite, str):
            return [suite]
        left = int(until - time.monotonic())
        if left < 1:
            return [f"{suite.name}: the tests take longer than {seconds} s in all"]
        say(f"{suite.name}: running the tests")
        limits = sandbox.Limits(left, suite.memory_mb)
        ended = sandbox.run(suite.words, suite.folder, suite.variables, limits)
        if reason := judged(suite.name, ended, seconds, say):
            return [reason]
    return []


def judged(name: str, ended: sandbox.Ended, seconds: int, say: Callable[[str], None]) -> str:
    """The reason, if there is one; the end of the output is said."""
    if ended.size > sandbox.TOO_MUCH:
        return f"{name}: the tests print more than {sandbox.TOO_MUCH >> 20} MiB"
    lines = ended.output.splitlines()
    last = next((line for line in reversed(lines) if line.strip()), "no output")
    if ended.code in (0, NOTHING) and not ended.late:
        say(f"{name}: {last.strip('= ')}")
        return ""
    for line in ended.tail[-TAIL:]:
        say(f"    {line}")
    if ended.late:
        return f"{name}: the tests take longer than {seconds} s in all"
    failed = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return f"{name}: {last.strip('= ')[:200]}" + (f": {failed[0][:300]}" if failed else "")


def suites(layout: Layout, release: Path) -> Iterator[Suite | str]:
    """What there is to run, models first; a text says why something cannot be run."""
    for folder in sorted((release / "models").glob("*/tests/")):
        if MODEL_NAME.fullmatch(folder.parent.name):
            yield _of_model(layout, release, folder.parent)
    if (release / "tests").is_dir():
        yield _of_project(layout, release)


def _of_model(layout: Layout, release: Path, model: Path) -> Suite | str:
    name = f"models/{model.name}/tests"
    lock = lock_hash((model / "conda-lock.yml").read_bytes())
    prefix = (layout.envs / model.name / lock).resolve()
    if not any(prefix.glob("lib/python3.*/site-packages/pytest/__init__.py")):
        return f"{name}: the environment has no pytest: add it to environment.yml and lock again"
    words = activation.command(prefix, [f"{prefix}/bin/python", "-B", "-m", "pytest", *PYTEST])
    variables = {
        "PATH": f"{prefix}/bin:/usr/bin:/bin",
        "CONDA_PREFIX": str(prefix),
        "CONDA_DEFAULT_ENV": model.name,
        "MLOPS_MODEL": model.name,
        "MLOPS_RELEASE": str(release),
        "MLOPS_DATA": str(layout.data),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
    }
    return Suite(name, words, model, variables)


def _of_project(layout: Layout, release: Path) -> Suite:
    tools = layout.root / "opt/mlops/tools/current"
    if not (tools / "pytest").is_dir():
        raise EnvError(f"{tools} has no pytest", fix="`mlops-install apply` installs it")
    start = _START.format(tools=str(tools))
    variables = {
        "AIRFLOW_HOME": "/tmp",  # noqa: S108 - the sandbox's own
        "AIRFLOW_CONFIG": str(layout.root / "etc/mlops/airflow.cfg"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(release / "dags"),
        "AIRFLOW__CORE__FERNET_KEY": "",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "sqlite:////tmp/airflow.db",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC": "sqlite+aiosqlite:////tmp/airflow.db",
        "PYTHONPATH": str(release / "dags"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MLOPS_RELEASE": str(release),
        "MLOPS_DATA": str(layout.data),
    }
    words = [str(known.airflow(layout)), "-B", "-c", start, *PYTEST]
    return Suite("tests", words, release, variables)
