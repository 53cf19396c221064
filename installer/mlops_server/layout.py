"""Where things are on the server. Standard library only: Airflow's side reads it too."""

import hashlib
import re
from dataclasses import dataclass, fields
from pathlib import Path

from mlops_server import tomltext

METADATA = ".mlops-release.json"
"""In a release: its commit. Whoever runs from it holds a shared flock on this file."""
START, DAY = 300, 86400
"""Seconds that a model in service may take to load: what it gets, and what it can ask for."""
CUDA = re.compile(r"[1-9][0-9]?\.[0-9]{1,2}")
MODEL_NAME = re.compile(r"(?!(?:builds|current)$)[a-z][a-z0-9_-]{0,62}")


DIGITS, SHORT = 32, 12
"""Hex digits of a lock's name, and what earlier versions gave it: environments may have both."""


def lock_hash(data: bytes) -> str:
    """How a lock is called: the first digits of the SHA-256 of conda-lock.yml."""
    return hashlib.sha256(data).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class Layout:
    """The folders on the server; `root` is another one in tests only."""

    root: Path = Path("/")

    @property
    def envs(self) -> Path:
        """Environments: <model>/<lock-hash> -> builds/<lock-hash>.<n>, and <model>/current."""
        return self.root / "opt/mlops/envs"

    @property
    def locks(self) -> Path:
        """What to build from: <model>/<lock-hash>/{conda-lock.yml,environment.yml,model.toml}."""
        return self.root / "etc/mlops/locks"

    @property
    def conda_config(self) -> Path:
        """Configuration of rattler: mirrors and where the logins are."""
        return self.root / "etc/mlops/conda.toml"

    @property
    def uv(self) -> Path:
        """The uv program."""
        return self.root / "opt/mlops/tools/current/bin/uv"

    @property
    def package_cache(self) -> Path:
        """Unpacked conda packages, by the SHA-256 of their archives."""
        return self.root / "var/cache/mlops/conda"

    @property
    def wheel_cache(self) -> Path:
        """Wheels, by their SHA-256."""
        return self.root / "var/cache/mlops/wheels"

    @property
    def data(self) -> Path:
        """The data folder, writable by tasks."""
        return self.root / "srv/mlops/data"

    @property
    def releases(self) -> Path:
        """Workflow releases: <digest>/{dags,models}."""
        return self.root / "srv/mlops/workflows/releases"

    @property
    def current_release(self) -> Path:
        """A link to the release in force."""
        return self.root / "srv/mlops/workflows/current"

    @property
    def repository(self) -> Path:
        """The bare mirror of the workflows' repository."""
        return self.root / "srv/mlops/workflows/repository.git"

    def mirror(self, repository: Path) -> Path | None:
        """What is there already of a repository; only one that is made aside has such."""
        return None

    @property
    def submodules(self) -> Path:
        """Bare mirrors of submodules."""
        return self.root / "srv/mlops/workflows/modules"

    @property
    def workflows_config(self) -> Path:
        """Which repository to pull, and its limits."""
        return self.root / "etc/mlops/workflows.toml"

    @property
    def workflows_state(self) -> Path:
        """The folder of state.json and of the locks of workflow commands."""
        return self.root / "var/lib/mlops/workflows"

    @property
    def upgrade(self) -> Path:
        """The folder of an open upgrade and of what a rollback goes back to; for root only."""
        return self.root / "var/lib/mlops/upgrade"

    @property
    def upgrade_log(self) -> Path:
        """What upgrades did."""
        return self.root / "var/log/mlops/upgrade.log"

    @property
    def journal(self) -> Path:
        """What the installer made here, line by line."""
        return self.root / "var/lib/mlops/journal.jsonl"

    @property
    def run(self) -> Path:
        """Where the installer's run lock is."""
        return self.root / "run/mlops-install"

    @property
    def known_hosts(self) -> Path:
        """Pinned host keys of Git servers."""
        return self.root / "etc/mlops/known_hosts"

    @property
    def allowed_signers(self) -> Path:
        """Whose signatures count, as ssh-keygen(1) has it."""
        return self.root / "etc/mlops/allowed_signers"

    @property
    def deploy_key(self) -> Path:
        """The private key for Git over SSH; its public part is beside it, with .pub."""
        return self.root / "etc/mlops/secrets/deploy_key"

    @property
    def git_credentials(self) -> Path:
        """Logins for Git over HTTPS, in the format of git-credential-store."""
        return self.root / "etc/mlops/secrets/git-credentials"

    @property
    def backups(self) -> Path:
        """Backups, for root only."""
        return self.root / "var/lib/mlops/backups"

    @property
    def backup_config(self) -> Path:
        """How many backups are kept, how they are encrypted, and what is in them."""
        return self.root / "etc/mlops/backup.toml"

    @property
    def backup_passphrase(self) -> Path:
        """What backups are encrypted with, when it is a passphrase."""
        return self.root / "etc/mlops/secrets/backup_passphrase"

    @property
    def protocols(self) -> tuple[str, ...]:
        """What Git may speak; files of this machine in tests only."""
        return ("ssh", "https") if self.root == Path("/") else ("ssh", "https", "file")


@dataclass(frozen=True)
class ModelOptions:
    """model.toml: whether a model's tasks want the pool of GPUs, its CUDA version, and how many
    seconds its service may take to load it."""

    gpu: bool = False
    cuda: str | None = None
    start_timeout: int = START


def parse_options(text: str) -> ModelOptions:
    """Read the text of a model.toml. Raises `ValueError` that names the setting."""
    found = tomltext.loads(text)
    known = [field.name for field in fields(ModelOptions)]
    for key in found:
        if key not in known:
            raise ValueError(f"{key}: there is no such setting; known are {', '.join(known)}")
    gpu, cuda = found.get("gpu", False), found.get("cuda")
    if not isinstance(gpu, bool):
        raise ValueError(f"gpu: true or false, not {gpu!r}")
    if cuda is not None and not (isinstance(cuda, str) and CUDA.fullmatch(cuda)):
        raise ValueError(f'cuda: a version such as "12.8", not {cuda!r}')
    start = found.get("start_timeout", START)
    if type(start) is not int or not START <= start <= DAY:
        raise ValueError(f"start_timeout: {START} to {DAY} seconds, not {start!r}")
    return ModelOptions(gpu, cuda, start)


def read_options(path: Path) -> ModelOptions:
    """Read a model.toml; a missing one means the defaults. Raises `ValueError`."""
    try:
        return parse_options(path.read_text())
    except FileNotFoundError:
        return ModelOptions()
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
