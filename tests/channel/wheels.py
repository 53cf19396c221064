"""Conda packages out of wheels from PyPI, all pinned and hashed in `wheels/*.txt`."""

import base64
import csv
import hashlib
import io
import re
import stat
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from email import message_from_string
from pathlib import Path, PurePosixPath

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name, parse_wheel_filename

from channel.conda import GLIBC, PLACEHOLDER, PYTHON, SITE, TAG, Package

LOCKS = sorted((Path(__file__).parent / "wheels").glob("*.txt"))
CONDA_NAMES = {
    "matplotlib": "matplotlib-base",
    "psycopg2-binary": "psycopg2",
    "tzdata": "python-tzdata",
}
MARKERS = {"python_version": PYTHON, "python_full_version": f"{PYTHON}.0", "extra": ""}
ENTRY_POINT = """\
#!{prefix}/bin/python{python}
import sys

from {module} import {function}

sys.exit({function}())
"""


def download(folder: Path) -> list[Path]:
    """Fetch every wheel of the locks, by pip and with hashes; the files, each once."""
    # The platforms of the wheels, newest first: pip does not expand them for another Python.
    tags = [f"manylinux_2_{minor}_x86_64" for minor in (28, 27, 17)] + ["manylinux2014_x86_64"]
    platforms = [f"--platform={tag}" for tag in tags]
    for lock in LOCKS:
        command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps"]
        command += ["--require-hashes", "--only-binary=:all:", f"--python-version={PYTHON}"]
        subprocess.run([*command, *platforms, "-r", str(lock), "-d", str(folder)], check=True)
    return sorted(folder.glob("*.whl"))


def make(wheel: Path, tree: Path) -> Package:
    """Unpack the wheel into `tree` as conda lays it out; its package."""
    name, version, _, tags = parse_wheel_filename(wheel.name)
    pure = all(tag.platform == "any" for tag in tags)
    site = tree / ("site-packages" if pure else SITE)
    _unpack(wheel, site)
    [metadata] = site.glob("*.dist-info")
    _sign(metadata)
    conda_name = CONDA_NAMES.get(str(name), str(name))
    scripts = _scripts(metadata / "entry_points.txt")
    depends = _depends(metadata / "METADATA")
    if pure:
        depends.append("python >=3.8")
        return Package(conda_name, str(version), tuple(depends), "python", "pyh0_0", scripts)
    _write_scripts(scripts, tree / "bin")
    depends += [f"python >={PYTHON},<3.{int(PYTHON[2:]) + 1}.0a0", GLIBC]
    depends.append(f"python_abi {PYTHON}.* *_{TAG}")
    return Package(conda_name, str(version), tuple(depends), build=f"py{TAG[2:]}h0_0")


def _unpack(wheel: Path, site: Path) -> None:
    """All files but the libraries' own tests, which are half of the files."""
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            parts = PurePosixPath(member.filename).parts
            if member.is_dir() or ("tests" in parts and _only_test(parts)):
                continue
            if parts[0].endswith(".data"):
                if parts[1:4] == ("data", "share", "man"):
                    continue
                raise ValueError(f"{wheel.name}: this does not lay out {member.filename}")
            target = Path(archive.extract(member, site))
            executable = (member.external_attr >> 16) & stat.S_IXUSR
            target.chmod(0o755 if executable else 0o644)


def _only_test(parts: tuple[str, ...]) -> bool:
    """Not the helpers beside the tests: numpy imports some of its own."""
    return parts[-1].startswith("test_") or "data" in parts


def _sign(metadata: Path) -> None:
    """INSTALLER and a RECORD of what is really there."""
    (metadata / "INSTALLER").write_text("conda\n")
    record = metadata / "RECORD"
    rows = [[f"{metadata.name}/RECORD", "", ""]]
    for path in sorted(p for p in metadata.parent.rglob("*") if p.is_file() and p != record):
        data = path.read_bytes()
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append([str(path.relative_to(metadata.parent)), f"sha256={digest}", str(len(data))])
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    record.write_text(lines.getvalue())


def _depends(metadata: Path) -> list[str]:
    required = message_from_string(metadata.read_text()).get_all("Requires-Dist") or []
    parsed = [Requirement(text) for text in required]
    return [_match_spec(r) for r in parsed if not r.marker or r.marker.evaluate(dict(MARKERS))]


def _match_spec(requirement: Requirement) -> str:
    name = canonicalize_name(requirement.name)
    versions = ",".join(sorted(str(s) for s in requirement.specifier))
    versions = re.sub(r"==([^,]*\.\*)", r"\1", versions)
    return f"{CONDA_NAMES.get(name, name)} {versions}".strip()


def _scripts(entry_points: Path) -> tuple[str, ...]:
    parser = ConfigParser(delimiters="=", interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(entry_points)
    if not parser.has_section("console_scripts"):
        return ()
    return tuple(f"{name} = {target}" for name, target in parser["console_scripts"].items())


def _write_scripts(scripts: tuple[str, ...], folder: Path) -> None:
    for script in scripts:
        name, module, function = re.split(r"\s*[=:]\s*", script)
        folder.mkdir(exist_ok=True)
        facts = {"prefix": PLACEHOLDER, "python": PYTHON, "module": module, "function": function}
        (folder / name).write_text(ENTRY_POINT.format(**facts))
        (folder / name).chmod(0o755)
