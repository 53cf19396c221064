"""Byte code for the packages that come without: those for any platform (noarch)."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from mlops_server import jsontext

_SOURCE = re.compile(r"(lib/python(3\.\d+t?)/(?:.*/)?)([^/]+)\.py")


def compile_noarch(prefix: Path) -> None:
    """Compile what has no byte code yet. A file that does not compile is left as it is."""
    sources = "\n".join(_sources(prefix))
    if not sources:
        return
    subprocess.run(
        [prefix / "bin/python", "-I", "-S", "-B", "-m", "compileall", "-q", "-q",
         "-j", str(os.cpu_count() or 1), "-i", "-"],
        input=sources,
        cwd=prefix,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
        check=False,
    )  # fmt: skip


def _sources(prefix: Path) -> Iterator[str]:
    for path in sorted((prefix / "conda-meta").glob("*.json")):
        record = jsontext.loads(path.read_bytes())
        # Not its `noarch`: read from a lock, that is only guessed from the build's name.
        if record.get("subdir") == "noarch":
            files = record.get("files", ())
            yield from (str(prefix / name) for name in files if _is_bare(prefix, name))


def _is_bare(prefix: Path, name: str) -> bool:
    found = _SOURCE.fullmatch(name)
    if not found:
        return False
    folder, python, stem = found.groups()
    tag = "cpython-" + python.replace(".", "")
    return not (prefix / folder / f"__pycache__/{stem}.{tag}.pyc").exists()
