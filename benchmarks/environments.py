"""Time lock, cold build, warm build and no-op of a model's environment on this machine, beside uv.

    benchmarks/environments.py [ROUNDS]

The yardstick is `uv venv` and `uv pip install --compile-bytecode` of the same packages, from the
same wheels that the channel was made of. Both are served over HTTP on loopback. What is timed is
whole processes: what the server does for `mlops env build`, in a folder that stands for its root.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import channel  # noqa: E402
from channel.wheels import CONDA_NAMES, _only_test, download  # noqa: E402
from mlops_server.layout import Layout, lock_hash  # noqa: E402

BIN = Path(sys.executable).parent
ENVIRONMENT = """\
channels: [conda-forge]
dependencies: [python 3.11.*, scikit-learn 1.5.*, numpy <2, pandas]
"""
MLOPS = """\
import sys
from pathlib import Path
from mlops_server.__main__ import run
from mlops_server.layout import Layout
run(sys.argv[2:], Layout(Path(sys.argv[1])), None)
"""


class Bench:
    """A folder that stands for a server, a project, and wheels for uv."""

    def __init__(self, folder: Path, mirror: str) -> None:
        self.folder, self.layout = folder, Layout(folder / "server")
        self.project = folder / "project/models/bench"
        self.project.mkdir(parents=True)
        (self.project / "environment.yml").write_text(ENVIRONMENT)
        config = f'[models]\nchannel_mirrors = {{ conda-forge = "{mirror}" }}\n'
        (folder / "mlops.toml").write_text(config)
        self.layout.uv.parent.mkdir(parents=True)
        self.layout.uv.symlink_to(BIN / "uv")
        self.layout.conda_config.parent.mkdir(parents=True)
        self.layout.conda_config.write_text(channel.rattler_config(mirror))

    def lock(self) -> None:
        """Make the lock from nothing."""
        (self.project / "conda-lock.yml").unlink(missing_ok=True)
        words: list[object] = [
            "lock",
            "-c",
            self.folder / "mlops.toml",
            "--project",
            self.folder / "project",
        ]
        run([BIN / "mlops-install", *words])

    def offer(self) -> str:
        """Put the lock where the server looks; its hash."""
        name = lock_hash((self.project / "conda-lock.yml").read_bytes())
        shutil.copytree(self.project, self.layout.locks / "bench" / name, dirs_exist_ok=True)
        return name

    def build(self) -> None:
        """What the server runs."""
        words = ["-c", MLOPS, self.layout.root, "env", "build", "bench", self.offer()]
        run([sys.executable, "-P", "-B", *words])

    def forget(self, cache: bool) -> None:
        """No environment any more, and no cache either where said so."""
        for path in (self.layout.envs, *([self.layout.package_cache] if cache else [])):
            shutil.rmtree(path, ignore_errors=True)

    def uv(self) -> None:
        """The yardstick."""
        venv = self.folder / "venv"
        run([BIN / "uv", "venv", "-q", "--clear", "-p", sys.executable, venv])
        listed = self.folder / "wheels.txt"
        run([BIN / "uv", "pip", "install", "-q", "-p", venv, "--no-deps", "--compile-bytecode",
             "--link-mode", "copy", "-r", listed])  # fmt: skip

    def forget_uv(self) -> None:
        """uv's cache is emptied."""
        shutil.rmtree(self.folder / "uv-cache", ignore_errors=True)


def run(words: Sequence[object]) -> None:
    """Run a command; what it says is shown only when it fails."""
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{words}\n{done.stdout}{done.stderr}")


def timed(work: Callable[[], None]) -> float:
    """Seconds."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def wheels(bench: Bench, folder: Path, url: str) -> None:
    """Take the wheels of the environment's packages, without the tests that the channel lacks."""
    [prefix] = [path for path in (bench.layout.envs / "bench").iterdir() if path.is_symlink()]
    found = (json.loads(path.read_bytes()) for path in prefix.glob("conda-meta/*.json"))
    versions = {record["name"]: record["version"] for record in found}
    lines = []
    for path in download(folder):
        name, version = path.name.split("-")[:2]
        conda = CONDA_NAMES.get(name, name.lower().replace("_", "-"))
        if versions.get(conda) == version:
            trim(path)
            lines.append(f"{name} @ {url}/{path.name}\n")
    (bench.folder / "wheels.txt").write_text("".join(lines))


def trim(wheel: Path) -> None:
    """Leave the tests out, as the channel does."""
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(f"{wheel}.new", "w", 8) as new:
        for member in old.infolist():
            parts = PurePosixPath(member.filename).parts
            if not ("tests" in parts and _only_test(parts)):
                new.writestr(member, old.read(member))
    Path(f"{wheel}.new").replace(wheel)


def main() -> None:
    """Measure in turn, and print a table of medians and ratios."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    folder = Path(tempfile.mkdtemp(prefix="mlops-bench-"))
    (folder / "wheels/conda-forge").mkdir(parents=True)
    os.environ["UV_CACHE_DIR"] = str(folder / "uv-cache")
    made, served = channel.build(), channel.Channel(folder / "wheels")
    with channel.serve(made) as conda, channel.serve(served) as simple:
        bench = Bench(folder, conda.url)
        seconds: dict[str, list[float]] = defaultdict(list)
        bench.lock()
        bench.build()
        wheels(bench, folder / "wheels/conda-forge", simple.url)
        for _ in range(rounds):
            measure(bench, seconds)
    shutil.rmtree(folder)
    show({name: statistics.median(times) for name, times in seconds.items()}, rounds)


def measure(bench: Bench, seconds: dict[str, list[float]]) -> None:
    """One round, ours and uv's in turn."""
    seconds["lock"].append(timed(bench.lock))
    bench.forget(cache=True)
    seconds["cold"].append(timed(bench.build))
    bench.forget_uv()
    seconds["uv cold"].append(timed(bench.uv))
    bench.forget(cache=False)
    seconds["warm"].append(timed(bench.build))
    seconds["uv warm"].append(timed(bench.uv))
    seconds["no-op"].append(timed(bench.build))


def show(medians: dict[str, float], rounds: int) -> None:
    """Print the table."""
    print(f"medians of {rounds}, in seconds\n")
    for name in ("lock", "cold", "warm", "no-op"):
        uv = medians.get(f"uv {name}")
        beside = f"   uv {uv:5.2f}   ratio {medians[name] / uv:.2f}" if uv else ""
        print(f"{name:6} {medians[name]:5.2f}{beside}")


if __name__ == "__main__":
    main()
