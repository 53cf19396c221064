"""Small packages made by hand: what no wheel has."""

from collections.abc import Iterator
from pathlib import Path

from channel.conda import PYTHON, TAG, Package

ACTENV = '''\
"""Stands for packages that only work in an activated environment (GDAL, PROJ)."""

import os
from pathlib import Path

DATA = Path(os.environ["ACTENV_DATA"])


def answer() -> str:
    """What the data file says."""
    return (DATA / "answer.txt").read_text().strip()
'''
NEEDSGPU = '"""Stands for packages that ask for a graphics card."""\n\nCUDA = "12.0"\n'


def make(folder: Path) -> Iterator[tuple[Package, Path]]:
    """Write every package's files below `folder`; each package with its files."""
    python = "python >=3.8"
    abi = Package("python_abi", PYTHON, noarch="generic", build=f"0_{TAG}")
    yield abi, _tree(folder / "abi", {})
    files = {
        "etc/conda/activate.d/actenv.sh": 'export ACTENV_DATA="$CONDA_PREFIX/share/actenv"\n',
        "etc/conda/deactivate.d/actenv.sh": "unset ACTENV_DATA\n",
        "share/actenv/answer.txt": "42\n",
        "site-packages/actenv.py": ACTENV,
    }
    yield Package("actenv", "1.0", (python,), "python"), _tree(folder / "actenv", files)
    needs = Package("needsgpu", "1.0", (python, "__cuda >=12.0"), "python")
    yield needs, _tree(folder / "needsgpu", {"site-packages/needsgpu.py": NEEDSGPU})


def _tree(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir()
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
