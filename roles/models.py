"""The conda environments of the models, and the server's own package that builds them."""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import mlops_airflow.metadata
import mlops_server
from mlops_install import locks
from mlops_install.context import Context
from mlops_install.digest import short
from mlops_install.render import render
from mlops_install.resource import AnyResource
from mlops_install.resources.environment import ENVS, LOCKS, PROGRAM, Environment, LongNames
from mlops_install.resources.file import Directory, File, Link
from mlops_install.resources.systemd import UnitFile
from mlops_install.resources.tree import Content, Files, Tree, tree_digest
from mlops_install.resources.venv import Tools
from mlops_install.roles.base import NETWORK

TOOLS = "/opt/mlops/tools"
UV = f"{TOOLS}/current/bin/uv"
CODE = "/opt/mlops/lib/python"
LOGINS = "/etc/mlops/secrets/conda-auth.json"
CACHES = ("/var/cache/mlops", "/var/cache/mlops/conda", "/var/cache/mlops/wheels")
CONDA_FORGE = "https://conda.anaconda.org"
SIDE_BY_SIDE = 3  # a lane is a channel of one SSH connection, which carries ten by default


def tools(context: Context) -> Iterator[AnyResource]:
    """What the server builds environments with."""
    lock = locks.read("tools.txt")
    yield Directory(TOOLS)
    yield Tools(f"{TOOLS}/{short(lock)}", lock, NETWORK)
    yield File(f"{TOOLS}/{short(lock)}/.lock", "", present=False)  # of earlier installers
    yield Link(f"{TOOLS}/current", f"{TOOLS}/{short(lock)}")
    yield Directory(CODE)
    yield Tree(code_path(), code(), "code")
    yield Link(f"{CODE}/current", code_path())
    yield File(PROGRAM, render("models/mlops", code=CODE, tools=TOOLS, network=NETWORK), 0o755)
    yield Link("/usr/local/bin/mlops", PROGRAM)
    logins = _logins(context)
    yield File("/etc/mlops/conda.toml", _conda_config(context, bool(logins)))
    yield File(LOGINS, logins, 0o600, secret=True, present=bool(logins))
    yield Directory("/etc/mlops/services", whole=True)
    yield Directory("/etc/mlops/secrets/services", 0o700, whole=True)
    for kind in ("socket", "service"):
        text = render(f"models/mlops-model@.{kind}", code=CODE)
        yield UnitFile(f"/etc/systemd/system/mlops-model@.{kind}", text)
    for path in (ENVS, LOCKS, *CACHES):
        yield Directory(path, whole=True)
    yield Directory("/var/cache/mlops/uv", 0o700, whole=True)  # uv lets everybody lock its files
    yield LongNames()


def environments(context: Context) -> Iterator[Iterable[AnyResource]]:
    """The environments of the project's models, in lanes that may run side by side."""
    models = context.given.project.models if context.given.project else ()
    made = [
        Environment(
            model.name,
            model.lock_hash,
            (("conda-lock.yml", model.lock), ("environment.yml", model.environment),
             ("model.toml", model.options_text)),
        )
        for model in models
    ]  # fmt: skip
    for first in range(min(SIDE_BY_SIDE, len(made))):
        yield made[first::SIDE_BY_SIDE]


@cache
def code() -> Files:
    """Our packages for the server: its own, and the provider for Airflow."""
    files = {}
    for package in (mlops_server, mlops_airflow):
        folder = Path(next(iter(package.__path__)))
        for path in sorted(folder.rglob("*.py")):
            files[f"{folder.name}/{path.relative_to(folder)}"] = Content(path.read_bytes())
    for name, text in mlops_airflow.metadata.files().items():
        files[name] = Content(text.encode())
    return files


@cache
def code_path() -> str:
    """The generation that today's code makes."""
    return f"{CODE}/{tree_digest(code())[:12]}"


def _conda_config(context: Context, logins: bool) -> str:
    mirrors = {_address(c): m for c, m in context.config.models.channel_mirrors.items()}
    return render("models/conda.toml", mirrors=mirrors, logins=LOGINS if logins else "")


def _address(channel: str) -> str:
    return channel if "://" in channel else f"{CONDA_FORGE}/{channel}"


def _logins(context: Context) -> str:
    models, password = context.config.models, context.given.channel_password
    if not models.channel_user or password is None:
        return ""
    login = {"username": models.channel_user, "password": password.get_secret_value()}
    # rattler looks the login of a mirror up under the host of the channel that it stands for.
    urls = (url for pair in models.channel_mirrors.items() for url in (_address(pair[0]), pair[1]))
    hosts = {url.split("/")[2].partition(":")[0] for url in urls}
    return json.dumps({host: {"BasicHTTP": login} for host in sorted(hosts)}) + "\n"
