"""The checks of a workflow project, away from the server: `ci/check` of a project calls this.

    python -m mlops_install.newproject.check WORK STEP...

WORK is a folder for environments, kept from run to run. The steps: locks, models (the tests of
each model in its environment), dags (import in the server's version of Airflow), tests (those of
the project), pull (tell the server to pull now).
"""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mlops_install import channels, report
from mlops_install import config as configs
from mlops_install.errors import ConfigError, MlopsError
from mlops_install.newproject import airflow, environments, pull
from mlops_install.newproject.errors import CheckError
from mlops_install.settings import Config

PYTEST = ("-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
NOTHING = 5
"""pytest's exit code for "there are no tests"."""


def locks(project: Path, work: Path, config: Config) -> None:
    """Every lock belongs to its environment.yml."""
    from mlops_install import lock

    mirrors = config.models.channel_mirrors
    options = lock.LockOptions(
        tuple(config.models.platforms),
        config.models.cuda,
        check=True,
        mirrors=mirrors,
        allowed=channels.allowed(config),
    )
    if lock.run(project, (), options):
        raise CheckError("a lock is stale", fix="run `mlops-install lock`, and commit the lock")


def models(project: Path, work: Path, config: Config) -> None:
    """The tests of each model pass in the environment that its lock makes."""
    for folder in sorted(path.parent for path in project.glob("models/*/conda-lock.yml")):
        python = environments.build(folder, work, config)
        _pytest(python, folder, f"models/{folder.name}/tests")


def dags(project: Path, work: Path, config: Config) -> None:
    """Every DAG file imports, ids are unique, and the environments of tasks are there."""
    python = airflow.python(work, config.airflow.version)
    names = {path.parent.name for path in project.glob("models/*/environment.yml")}
    problems = airflow.problems(python, project / "dags", work, names)
    if problems:
        raise CheckError(
            "the DAGs have mistakes",
            detail="\n".join(problems),
            fix="correct each file that stands above",
        )


def tests(project: Path, work: Path, config: Config) -> None:
    """The tests of the project, by the Python that this runs in."""
    _pytest(Path(sys.executable), project, "tests")


def tell(project: Path, work: Path, config: Config) -> None:
    """Have the server pull now."""
    report.say(pull.now(os.environ))


STEPS: dict[str, Callable[[Path, Path, Config], None]] = {
    "locks": locks,
    "models": models,
    "tests": tests,
    "dags": dags,
    "pull": tell,
}


def _pytest(python: Path, folder: Path, name: str) -> None:
    report.say(name)
    if not (folder / "tests").is_dir():
        return
    done = subprocess.run([python, *PYTEST, "--rootdir", folder], cwd=folder, check=False)
    if done.returncode not in (0, NOTHING):
        raise CheckError(f"the tests in {name} fail", fix="pytest's lines stand above")


def run(project: Path, work: Path, steps: Sequence[str]) -> None:
    """Take the steps, to the first that fails. Raises `MlopsError`."""
    for step in steps:
        if step not in STEPS:
            raise ConfigError(f"{step} is not a step", fix=f"use {', '.join(STEPS)}")
    named = os.environ.get("MLOPS_CONFIG")
    config = configs.load(Path(named) if named else None)
    for step in steps:
        report.say(f"--- {step}", "bold")
        STEPS[step](project.resolve(), work.resolve(), config)


def main() -> int:
    """Check the project in the current folder."""
    try:
        run(Path(), Path(sys.argv[1]), sys.argv[2:])
    except MlopsError as problem:
        report.error(problem)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
