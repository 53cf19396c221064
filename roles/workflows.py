"""The workflows: a release of DAGs and models, and the link to the one in force."""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from mlops_install import channels
from mlops_install.context import Context
from mlops_install.render import render
from mlops_install.resource import AnyResource, Run, Step
from mlops_install.resources.environment import ENVS, PROGRAM, CurrentEnvironment
from mlops_install.resources.file import Directory, File, FirstLink, Link, LinkState
from mlops_install.resources.pulled import Pulled
from mlops_install.resources.secret import Secret
from mlops_install.resources.shared import Shared
from mlops_install.resources.systemd import Services, UnitFile
from mlops_install.resources.tree import Tree, tree_digest
from mlops_install.resources.user import SystemUser
from mlops_install.roles.base import TASK_USER, with_login
from mlops_install.shell import sh

WORKFLOWS = "/srv/mlops/workflows"
RELEASES = f"{WORKFLOWS}/releases"
CURRENT = f"{WORKFLOWS}/current"
EMPTY = f"{RELEASES}/empty"
STATE = "/var/lib/mlops/workflows"
SECRETS = "/etc/mlops/secrets"
KEYGEN = (
    "d=$(mktemp -d) && ssh-keygen -q -t ed25519 -N '' -C mlops-deploy-key -f $d/key &&"
    " cat $d/key; rm -rf $d"
)


def release(context: Context) -> Iterator[AnyResource]:
    """The folders, and the project's files as a release; `current` is not moved yet."""
    for path in ("/srv/mlops", WORKFLOWS):
        yield Directory(path)
    for path in (RELEASES, EMPTY, f"{EMPTY}/dags"):
        yield Directory(path, whole=True)
    yield Shared("/srv/mlops/data", owner="airflow", group=TASK_USER)
    if context.given.project is not None:
        yield Tree(_path(context), context.given.project.files, "release")


def switch(context: Context) -> Iterator[AnyResource]:
    """Environments and release come into force; then what nobody needs any more goes."""
    project = context.given.project
    if project is None:
        yield FirstLink(CURRENT, EMPTY)
        return
    for model in project.models:
        yield CurrentEnvironment(f"{ENVS}/{model.name}/current", model.lock_hash)
    yield CurrentRelease(CURRENT, _path(context))


@dataclass(frozen=True)
class CurrentRelease(Link):
    """The link to the release in force. When it moves, what nothing needs any more goes."""

    def change(self, current: LinkState | None) -> Iterator[Step]:
        yield Run(sh("touch", self.target))
        yield from super().change(current)
        clean = sh(PROGRAM, "workflows", "clean")
        # 75: the database is away, so nobody knows what runs; the next switch cleans.
        yield Run(f"{clean} || [ $? = 75 ]", title=clean)


def packages(context: Context) -> tuple[str, ...]:
    """Debian packages of this role."""
    return ("openssh-client", *(("git-lfs",) if context.config.workflows.lfs else ()))


def pull(context: Context) -> Iterator[AnyResource]:
    """The door through which tasks ask for a pull, and the DAG that does."""
    workflows, given = context.config.workflows, context.given
    repository = bool(workflows.repository)
    yield SystemUser("mlops-git", "/nonexistent")
    yield Directory(STATE, whole=True)
    yield Secret(f"{SECRETS}/deploy_key", KEYGEN)
    yield File(
        "/etc/mlops/workflows.toml",
        render("workflows/workflows.toml", workflows=workflows, models=context.config.models,
               signed=workflows.allowed_signers is not None,
               channels=channels.allowed(context.config)),
    )  # fmt: skip
    for name, text in (
        ("known_hosts", given.known_hosts),
        ("allowed_signers", given.allowed_signers),
    ):
        yield File(f"/etc/mlops/{name}", text or "", present=text is not None)
    login = _git_login(context)
    yield File(f"{SECRETS}/git-credentials", login, 0o600, secret=True, present=bool(login))
    for unit in ("mlops-door.socket", "mlops-door@.service"):
        yield UnitFile(f"/etc/systemd/system/{unit}", render(f"workflows/{unit}"))
    yield Services("of the door", {"mlops-door.socket": ""})
    dag = render("workflows/mlops_pull.py", pull_every=workflows.pull_every)
    yield File("/opt/mlops/dags/mlops_pull.py", dag, present=repository)


def first_pull(context: Context) -> Iterator[AnyResource]:
    """A commit of the repository is in force; later ones are the DAG's business."""
    if context.config.workflows.repository:
        yield Pulled(CURRENT)


def _git_login(context: Context) -> str:
    workflows, password = context.config.workflows, context.given.git_password
    if not workflows.repository or not workflows.user or password is None:
        return ""
    parts = urlsplit(workflows.repository)
    port = f"%3a{parts.port}" if parts.port else ""  # as Git's credential store writes it
    return with_login(f"https://{parts.hostname}{port}", workflows.user, password) + "\n"


def _path(context: Context) -> str:
    project = context.given.project
    return EMPTY if project is None else f"{RELEASES}/{tree_digest(project.files)[:12]}"
