"""Activation without conda: a bash script, for environments whose packages need it."""

import re
import shlex
from pathlib import Path

from mlops_server import jsontext

SCRIPT = ".mlops/activate.sh"


def write(prefix: Path) -> bool:
    """Write the script where a package brings variables or scripts; say whether it did."""
    variables, scripts = _variables(prefix), _scripts(prefix)
    if not variables and not scripts:
        return False
    lines = [
        f'export PATH={shlex.quote(f"{prefix}/bin")}"${{PATH:+:$PATH}}"',
        f"export CONDA_PREFIX={shlex.quote(str(prefix))}",
        "export CONDA_SHLVL=1",
        *(f"export {name}={shlex.quote(value)}" for name, value in variables.items()),
        *(f". {shlex.quote(str(path))}" for path in scripts),
    ]
    path = prefix / SCRIPT
    path.write_text("\n".join(lines) + "\n")
    path.chmod(0o644)
    return True


def _scripts(prefix: Path) -> list[Path]:
    return sorted((prefix / "etc/conda/activate.d").glob("*.sh"))


def _variables(prefix: Path) -> dict[str, str]:
    """The packages' variables, then the environment's own, as conda puts them."""
    found: dict[str, str] = {}
    for path in sorted((prefix / "etc/conda/env_vars.d").glob("*.json")):
        found |= jsontext.loads(path.read_bytes())
    state = prefix / "conda-meta/state"
    if state.is_file():
        found |= jsontext.loads(state.read_bytes()).get("env_vars", {})
    asked = prefix / ".mlops/environment.yml"
    if asked.is_file():
        from mlops_server.models import variables  # needs YAML, which a service's start has not

        found |= variables.read(asked.read_bytes())
    return {n: str(v) for n, v in found.items() if re.fullmatch(r"[A-Za-z_]\w*", n, re.ASCII)}


def command(prefix: Path, words: list[str]) -> list[str]:
    """The words to run, activated first where the environment needs it."""
    script = prefix / SCRIPT
    if not script.is_file():
        return words
    start = '. "$0"; exec "$@"'
    return ["/bin/bash", "--noprofile", "--norc", "-c", start, str(script), *words]
