"""Which environment a task runs in, and what its code sees there. Without Airflow."""

import fcntl
import os
import pwd
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlops_server.layout import METADATA, MODEL_NAME, Layout, lock_hash, read_options

GPU_POOL = "gpu"
INHERITED = (
    *("HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "TZ", "TMPDIR"),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"),
)
ATTEMPTS = 3
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ACTIVATE = """\
mlops_script=$1 mlops_count=$2; shift 2
declare -A mlops_own
for (( ; mlops_count > 0; mlops_count-- )); do mlops_own[$1]=${!1}; shift; done
. "$mlops_script" </dev/null
for mlops_name in "${!mlops_own[@]}"; do export "$mlops_name=${mlops_own[$mlops_name]}"; done
exec "$@"
"""


class MissingEnvironmentError(LookupError):
    """There is no such environment on this server; the text says which there are."""


@dataclass(frozen=True)
class Environment:
    """An environment by its real path, and the release that asked for it, if one did."""

    model: str
    prefix: Path
    release: Path | None = None

    @property
    def model_folder(self) -> Path | None:
        """The model's folder in the release: environment.yml, scripts, modules."""
        return self.release / "models" / self.model if self.release else None

    @property
    def activation(self) -> Path | None:
        """The script to source first, where packages need one."""
        script = self.prefix / ".mlops/activate.sh"
        return script if script.exists() else None


def find_release(file: str, model: str) -> Path | None:
    """The folder above `file`, by its real path, that has models/<model>."""
    if not MODEL_NAME.fullmatch(model):
        return None
    parents = Path(os.path.realpath(file)).parents
    return next((folder for folder in parents if (folder / "models" / model).is_dir()), None)


def first_released(files: Iterable[str], model: str) -> str | None:
    """The real path of the first of some files that is in a release with the model."""
    real = (os.path.realpath(file) for file in dict.fromkeys(files))
    return next((file for file in real if find_release(file, model)), None)


def default_pool(model: str, file: str | None, layout: Layout) -> str | None:
    """The pool of a model's tasks, by the model.toml in the release of `file`.

    Raises `ValueError` when model.toml is wrong. No model folder means no special pool.
    """
    if not MODEL_NAME.fullmatch(model):
        return None
    release = find_release(file, model) if file else None
    options = (release or layout.current_release) / "models" / model / "model.toml"
    return GPU_POOL if read_options(options).gpu else None


def resolve(model: str, file: str, layout: Layout) -> Environment:
    """The environment for a task of `file`. Raises `MissingEnvironmentError`."""
    if not MODEL_NAME.fullmatch(model) or not _known(model, file, layout):
        raise MissingEnvironmentError(
            f'there is no model "{model}" on this server; it has {_built(layout)}'
        )
    release = find_release(file, model)
    if release is None and (layout.current_release / "models" / model).is_dir():
        release = Path(os.path.realpath(layout.current_release))
    link = layout.envs / model / (_wanted(release, model) if release else "current")
    if not link.exists():
        raise MissingEnvironmentError(
            f'the environment of model "{model}" ({link.name}) is not built on this server:'
            f" run `mlops-install apply`; it has {_built(layout)}"
        )
    return Environment(model, Path(os.path.realpath(link)), release)


def _known(model: str, file: str, layout: Layout) -> bool:
    places = (layout.envs / model, layout.current_release / "models" / model)
    return bool(find_release(file, model)) or any(place.is_dir() for place in places)


def _wanted(release: Path, model: str) -> str:
    lock = release / "models" / model / "conda-lock.yml"
    try:
        return lock_hash(lock.read_bytes())
    except FileNotFoundError as error:
        raise MissingEnvironmentError(
            f"{lock} does not exist: run `mlops-install lock {model}` and add the file"
        ) from error


def _built(layout: Layout) -> str:
    """The models with an environment, for people."""
    folders = sorted(layout.envs.iterdir()) if layout.envs.is_dir() else []
    names = [folder.name for folder in folders if (folder / "current").exists()]
    return "the environments " + ", ".join(names) if names else "no environments"


@contextmanager
def held(model: str, file: str, layout: Layout) -> Iterator[tuple[Environment, int]]:
    """The environment and the descriptor of a shared lock that keeps clean-up from removing it.

    Who inherits the descriptor holds the lock too. The release stays as well, as long as we do.
    Raises `MissingEnvironmentError`.
    """
    for _ in range(ATTEMPTS):
        environment = resolve(model, file, layout)
        ready = environment.prefix / ".mlops/ready.json"
        try:
            descriptor = os.open(ready, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if _is_still(descriptor, ready):
                with _release_held(environment.release):
                    yield environment, descriptor
                return
        finally:
            os.close(descriptor)
    raise MissingEnvironmentError(f'{environment.prefix} of model "{model}" was removed: try again')


@contextmanager
def _release_held(release: Path | None) -> Iterator[None]:
    """Keep a release that was pulled from Git; one of `mlops-install apply` has no such file."""
    try:
        descriptor = os.open(release / METADATA, os.O_RDONLY | os.O_CLOEXEC) if release else None
    except OSError:
        descriptor = None
    try:
        if descriptor is not None:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def variables(
    environment: Environment, layout: Layout, inherited: Mapping[str, str]
) -> dict[str, str]:
    """The variables of user code: of those of Airflow only what every program needs."""
    user = pwd.getpwuid(os.getuid())
    prefix = environment.prefix
    found = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    found |= {name: inherited[name] for name in INHERITED if name in inherited}
    found |= {
        "PATH": f"{prefix}/bin:/usr/local/bin:/usr/bin:/bin",
        "CONDA_PREFIX": str(prefix),
        "CONDA_DEFAULT_ENV": environment.model,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        "MLOPS_MODEL": environment.model,
        "MLOPS_DATA": str(layout.data),
    }
    if environment.release:
        found["MLOPS_RELEASE"] = str(environment.release)
    return found


def activated(environment: Environment, command: list[str], given: Iterable[str] = ()) -> list[str]:
    """The command, after the environment's activation script where there is one.

    `given` are names of variables that the task itself sets: they win over the script's.
    """
    script = environment.activation
    if not script:
        return command
    kept = [name for name in given if NAME.fullmatch(name)]
    words = [str(len(kept)), *kept, *command]
    return ["/bin/bash", "--noprofile", "--norc", "-c", ACTIVATE, "bash", str(script), *words]
