"""The smoke test: what environment.yml asks for must import, by a user that has nothing."""

import re
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from mlops_server import activation, jsontext, lockfile
from mlops_server.errors import BadLock, EnvError
from mlops_server.workflows import sandbox

TIMEOUT = 600
_MODULE = re.compile(
    r"(?:lib/python3\.\d+/site-packages/)?([A-Za-z]\w*)(?:/__init__\.py|\.py|(?:\.[\w-]+)*\.so)"
)
_NOT_MEANT = {"conftest", "docs", "examples", "setup", "test", "tests"}
_SCRIPT = """
import importlib, os, sys
for name in sys.argv[1:]:
    print("@", name, flush=True)
    importlib.import_module(name)
sys.stdout.flush()
os._exit(0)
"""


def run(request: dict[str, Any]) -> None:
    """Import every module asked for in one interpreter. Raises `EnvError` that shows the end
    of the traceback."""
    prefix = Path(request["prefix"])
    modules = asked_modules(prefix, prefix / ".mlops/environment.yml")
    words = [f"{prefix}/bin/python", "-s", "-B", "-c", _SCRIPT, *modules]
    try:
        done = _run(activation.command(prefix, words), prefix)
    except subprocess.TimeoutExpired as error:
        raise EnvError(
            f"the smoke test took longer than {TIMEOUT} s",
            fix="import the packages of environment.yml by hand to see which one hangs",
        ) from error
    except OSError as error:
        raise BadLock(f"Python does not start: {error}", fix=lockfile.RELOCK) from error
    if done.returncode:
        raise _failure(done)


def _run(words: list[str], prefix: Path) -> "subprocess.CompletedProcess[str]":
    """Its output goes to files: whatever packages print takes little of our memory."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        done = subprocess.run(
            words,
            cwd="/",
            env=_variables(prefix),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            timeout=TIMEOUT,
            check=False,
        )
        said = sandbox.text(stdout, sandbox.KEPT), sandbox.text(stderr, sandbox.KEPT)
        return subprocess.CompletedProcess(words, done.returncode, *said)


def _variables(prefix: Path) -> dict[str, str]:
    """As a task has them; the user has no entry, so those who ask for a name get one here."""
    return {
        "HOME": tempfile.gettempdir(),
        "USER": "mlops",
        "LOGNAME": "mlops",
        "LANG": "C.UTF-8",
        "PATH": f"{prefix}/bin:/usr/local/bin:/usr/bin:/bin",
        "CONDA_PREFIX": str(prefix),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _failure(done: subprocess.CompletedProcess[str]) -> EnvError:
    begun = [line[2:] for line in done.stdout.splitlines() if line.startswith("@ ")]
    what = f"import {begun[-1]} fails" if begun else "Python does not start"
    if done.returncode < 0:
        what += f" (signal {-done.returncode})"
    kind = EnvError if done.returncode == -signal.SIGKILL else BadLock  # out of memory, perhaps
    return kind(
        f"the smoke test failed: {what}",
        detail="\n".join(done.stderr.splitlines()[-8:]),
        fix="change environment.yml, then `mlops-install lock` and `mlops-install apply`",
    )


def asked_modules(prefix: Path, environment: Path) -> list[str]:
    """The importable top-level modules of what environment.yml asks for, in its order."""
    conda, pip = lockfile.asked(environment)
    metas = _conda_files(prefix)
    wheels = _wheel_files(prefix)
    files = [name for package in conda for name in metas.get(package, ())]
    files += [name for package in pip for name in wheels.get(package, ())]
    found = (_MODULE.fullmatch(name) for name in files)
    names = dict.fromkeys(match[1] for match in found if match)
    return [name for name in names if name not in _NOT_MEANT]


def _conda_files(prefix: Path) -> dict[str, list[str]]:
    metas = (jsontext.loads(p.read_bytes()) for p in (prefix / "conda-meta").glob("*.json"))
    return {
        meta["name"]: [name for name in sorted(meta.get("files", ())) if "/site-packages/" in name]
        for meta in metas
    }


def _wheel_files(prefix: Path) -> dict[str, list[str]]:
    found = {}
    for path in prefix.glob("lib/python3.*/site-packages/*.dist-info/RECORD"):
        name = lockfile.normal(path.parent.name.partition("-")[0])
        found[name] = [line.partition(",")[0] for line in path.read_text().splitlines()]
    return found
