"""Is each lock the one of its environment.yml? By our stamp, and by conda-lock's own hash."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlops_install import report
from mlops_install.errors import MlopsError
from mlops_install.lock import LockOptions, tools
from mlops_install.lock.project import Source

STALE = 2


def run(sources: Sequence[Source], options: LockOptions) -> int:
    """Name the stale locks and why; the exit code is 2 where there is one."""
    hashed = _by_hash(sources, options)
    found = {
        source.name: source.stale(source.lock(), options.platforms) or hashed.get(source.name, "")
        for source in sources
    }
    for name, reason in found.items():
        report.say(f"{name}: {'stale: ' + reason if reason else 'up to date'}")
    stale = [name for name, reason in found.items() if reason]
    if stale:
        report.say(f"run `mlops-install lock {' '.join(stale)}`")
    return STALE if stale else 0


def _by_hash(sources: Sequence[Source], options: LockOptions) -> dict[str, str]:
    """Model -> why conda-lock finds it stale; in a process of its own, for its import is slow."""
    asked = []
    with tempfile.TemporaryDirectory(prefix="mlops-lock-") as folder:
        for source in sources:
            virtual = Path(folder) / f"{source.name}.yml"
            virtual.write_text(tools.virtual_packages(options.platforms, source.cuda))
            if source.lock() is not None and not source.stale(source.lock(), options.platforms):
                asked.append(
                    {
                        "name": source.name,
                        "environment": str(source.folder / "environment.yml"),
                        "lock": str(source.lock_path),
                        "virtual": str(virtual),
                        "platforms": options.platforms,
                        "names": tools.names(options),
                    }
                )
        return _answer(asked) if asked else {}


def _answer(asked: list[dict[str, Any]]) -> dict[str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "mlops_install.lock.check"],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        detail = "\n".join(done.stderr.splitlines()[-10:])
        raise MlopsError("the models cannot be read", detail=detail, fix="run `mlops-install lock`")
    # The libraries may print before: the answer is the last line.
    answer: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return answer


# --- the process --------------------------------------------------------------------------


def main() -> None:
    """Read what to look at from stdin; write the reasons of those that are stale to stdout."""
    found = {one["name"]: _differs(one) for one in json.load(sys.stdin)}
    sys.stdout.write("\n" + json.dumps({name: reason for name, reason in found.items() if reason}))


def _differs(one: dict[str, Any]) -> str:
    from conda_lock.content_hash import backwards_compatible_content_hashes
    from conda_lock.lockfile import parse_conda_lock_file
    from conda_lock.src_parser import make_lock_spec
    from conda_lock.virtual_package import virtual_package_repo_from_specification

    wanted = make_lock_spec(
        src_files=[Path(one["environment"])],
        platform_overrides=one["platforms"],
        mapping_url=one["names"],
    )
    virtual = virtual_package_repo_from_specification(Path(one["virtual"]))
    hashes = parse_conda_lock_file(Path(one["lock"])).metadata.content_hash
    for platform in one["platforms"]:
        if hashes.get(platform) not in backwards_compatible_content_hashes(
            wanted, virtual, platform
        ):
            return f"conda-lock finds another content for {platform}"
    return ""


if __name__ == "__main__":
    main()
