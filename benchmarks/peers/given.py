"""What every peer is given: the files that our templates make for a server, and variables.

A user of Ansible or pyinfra would have such files and a file of variables too. So the peers
differ from ours in how they ask and act, not in what they bring about.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from mlops_install.actions import Options, reach
from mlops_install.context import Context
from mlops_install.digest import digest
from mlops_install.resource import AnyResource, Put
from mlops_install.resources.airflow import Contents
from mlops_install.resources.apiserver import ApiServer
from mlops_install.resources.certificates import SelfSigned
from mlops_install.resources.file import Directory, File, Link
from mlops_install.resources.postgres import Cluster, Database
from mlops_install.resources.secret import Secret
from mlops_install.resources.systemd import Services
from mlops_install.resources.tree import Tree
from mlops_install.resources.user import SystemUser
from mlops_install.resources.venv import Tools, Venv
from mlops_install.roles import packages, stages
from server import Server

Json = dict[str, Any]
Resources = list[AnyResource]
Kind = TypeVar("Kind")
GROUPS = {  # role of the playbook -> what its files, folders and services begin with
    "packages": ("/etc/postgresql-common/", "/etc/apt/"),
    "postgres": ("/etc/postgresql/", "postgresql"),
    "proxy": ("/etc/nginx/", "/etc/systemd/system/nginx.", "nginx"),
    "airflow": (
        "/opt/mlops/airflow/",
        "/opt/mlops/dags/",
        "/opt/mlops/lib/airflow_config/",
        "/opt/mlops/lib/setup_airflow.py",
        "/etc/mlops/airflow.cfg",
        "/etc/mlops/connections.json",
        "/etc/mlops/variables.json",
        "/etc/systemd/system/airflow",
        "airflow",
    ),
}
REST = "base"


def write(server: Server, folder: Path) -> Json:
    """Write files and variables for this server into the folder; the variables."""
    options = Options(server.name, server.config, server.ssh_config)
    with reach(options) as (_, context):
        resources = [r for s in stages(context) for lane in s.lanes for r in lane.resources]
    folder.mkdir(parents=True, exist_ok=True)
    variables = _variables(context, resources, folder.resolve())
    (folder / "variables.json").write_text(json.dumps(variables, indent=2))
    return variables


def _variables(context: Context, resources: Resources, folder: Path) -> Json:
    """The variables: those of one tool come together, as in a file for each role."""
    return {
        "server_name": context.server_name,
        "url": context.base_url,
        "packages": list(packages(context)),
        "accounts": [{"name": r.user, "home": r.home} for r in _all(SystemUser, resources)],
        **_entries(resources, folder),
        **_environments(resources, folder),
        **_databases(resources),
        "services": _grouped(
            {"path": unit, "enabled": not unit.startswith("postgresql@")}
            for unit in _units(resources)
        ),
    }


def _entries(resources: Resources, folder: Path) -> Json:
    """Files, folders, links, and what the server makes for itself."""
    files = [r for r in _all(File, resources) if r.present]
    links = [r for r in _all(Link, resources) if r.present]
    certificate = _only(SelfSigned, resources)
    return {
        "directories": _grouped(_directories(resources, files)),
        "files": _grouped(_file(folder, r) for r in files),
        "links": _grouped({"path": r.path, "target": r.target} for r in links),
        "trees": [_tree(folder, r) for r in _all(Tree, resources)],
        "secrets": [{"path": r.path, "command": r.command} for r in _all(Secret, resources)],
        "certificate": {"path": certificate.certificate, "key": certificate.key},
    }


def _environments(resources: Resources, folder: Path) -> Json:
    airflow, tools = _only(Venv, resources), _only(Tools, resources)
    return {
        "airflow": _environment(folder, airflow.path, airflow.lock),
        "tools": _environment(folder, tools.path, tools.lock),
        "uv": airflow.uv,
        "network": airflow.network,
    }


def _environment(folder: Path, path: str, text: str) -> Json:
    lock = folder / f"{Path(path).name}.txt"
    lock.write_text(text)
    return {"path": path, "lock": str(lock), "digest": digest(text)}


def _databases(resources: Resources) -> Json:
    contents = _only(Contents, resources)
    return {
        "postgres_version": _only(Cluster, resources).version,
        "databases": [r.database for r in _all(Database, resources)],
        "users": [vars(user) for user in contents.users],
        "pools": dict(contents.pools),
    }


def _units(resources: Resources) -> list[str]:
    """Of the API server the slot that a first run starts."""
    first, _ = _only(ApiServer, resources).units
    return [*(unit for r in _all(Services, resources) for unit in r.units), first]


def _all(kind: type[Kind], resources: Resources) -> list[Kind]:
    return [r for r in resources if isinstance(r, kind)]


def _only(kind: type[Kind], resources: Resources) -> Kind:
    [found] = _all(kind, resources)
    return found


def _grouped(entries: Iterable[Json]) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {name: [] for name in (*GROUPS, REST)}
    for entry in entries:
        path = entry["path"]
        group = next((n for n, begins in GROUPS.items() if path.startswith(begins)), REST)
        found[group].append(entry)
    return found


def _directories(resources: Resources, files: list[File]) -> Iterator[Json]:
    """Ours, and those that a file needs and no package brings."""
    for path in dict.fromkeys(str(Path(f.path).parent) for f in files):
        if path.endswith(".d") and path.startswith(("/etc/systemd/", "/etc/postgresql-common/")):
            yield {"path": path, "mode": "0755", "owner": "root", "group": "root"}
    for r in _all(Directory, resources):
        yield {"path": r.path, "mode": f"{r.mode:04o}", "owner": r.owner, "group": r.group}


def _file(folder: Path, file: File) -> Json:
    source = folder / "files" / file.path.lstrip("/")
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_text(file.content)
    rights = {"mode": f"{file.mode:04o}", "owner": file.owner, "group": file.group}
    return {"path": file.path, "source": str(source), **rights}


def _tree(folder: Path, tree: Tree) -> Json:
    archive = folder / f"{Path(tree.path).name}.tar"
    archive.write_bytes(next(step.content for step in tree.change(None) if isinstance(step, Put)))
    return {"path": tree.path, "archive": str(archive)}
