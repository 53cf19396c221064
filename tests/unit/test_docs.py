"""The documentation tells the truth: what can be compared with the code is compared."""

import re
import subprocess
from pathlib import Path

import authority
import pytest
from mlops_install import cli, config, context, facts, roles
from mlops_install.host import Local
from mlops_install.journal import STATE
from mlops_install.lock.project import Model
from mlops_install.plan import Stage, make_plan
from mlops_install.resources.apiserver import ApiServer
from mlops_install.resources.certificates import TRUSTED, SelfSigned
from mlops_install.resources.postgres import Database, Role
from mlops_install.resources.systemd import Services
from mlops_install.resources.tree import Content
from mlops_install.resources.user import SystemUser
from mlops_server.layout import ModelOptions, lock_hash
from pydantic import SecretStr
from samples import FACTS
from scripted import script
from typer.main import get_command

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
EVERYTHING = """\
[base]
http_proxy = "http://proxy.example.org:3128"
apt_mirror = "https://mirror.example.org/debian"
locale = "de_CH.UTF-8"

[models]
channel_mirrors = { conda-forge = "https://mirror.example.org/conda-forge" }
channel_user = "mlops"

[workflows]
repository = "https://git.example.org/team/forecasts.git"
user = "deploy"

[backup]
age_recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
"""
PASSPHRASE = '[backup]\npassphrase = { env = "HUSH" }\n'
GIVEN = context.Given(
    ca_bundle="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
    certificate=authority.make("ml", names=("192.0.2.7",)).pem,
    certificate_key=SecretStr("key"),
    channel_password=SecretStr("hush"),
    git_password=SecretStr("hush"),
    known_hosts="git.example.org ssh-ed25519 AAAA\n",
    allowed_signers="me@example.org ssh-ed25519 AAAA\n",
    project=context.Project(
        {"dags/a.py": Content(b"")},
        (Model("churn", b"lock", b"", b"", ModelOptions(), lock_hash(b"lock"), ("linux-64",)),),
    ),
)
STEPS_MAKE = {  # not a resource by themselves: steps of resources, the engine and the lock
    TRUSTED: "resources/certificates.py",
    "/var/lib/mlops/made": "resources/secret.py",
    "/var/lib/mlops/last_run": "runlock.py",
    "/var/lib/mlops/history.jsonl": "runlock.py",
    "/var/log/mlops/install.log": "engine.py",
    "/var/log/mlops/upgrade.log": "upgrading.py",
    "/run/mlops-install": "engine.py",
    "/var/lib/mlops/journal.jsonl": "journal.py",
    "/var/lib/mlops/originals": "journal.py",
    "/var/lib/mlops/note-packages": "resources/packages.py",
}
ELSEWHERE = {"/var/cache/mlops/uv": "roles/base.py", "/usr/lib/locale/locale-archive": None}


def text(name: str) -> str:
    return (DOCS / name).read_text()


def contexts() -> list[context.Context]:
    """Every system, with the defaults and with everything that adds something."""
    return [
        context.make(
            config.parse(wanted, "t"),
            facts.parse(FACTS + f"os_version={version}\nasked_zone=no\n"),
            given,
            "192.0.2.7",
        )
        for version in ("12", "13", "24.04")
        for wanted, given in (
            ("", context.Given()),
            (EVERYTHING, GIVEN),
            (PASSPHRASE, context.Given(backup_passphrase=SecretStr("hush"))),
        )
    ]


def resources():
    return [
        r for c in contexts() for s in roles.stages(c) for lane in s.lanes for r in lane.resources
    ]


def plain(name: str) -> str:
    """A path or unit as the page writes it, without digests and versions."""
    name = re.sub(r"(lib/python|releases)/[0-9a-f]{12}$", r"\1/<digest>", name)
    name = re.sub(r"(?<=/)(?:[0-9a-f]{12}|[0-9a-f]{32})(?=$|/)", "<lock>", name)
    name = name.replace("/envs/churn/", "/envs/<model>/")
    name = re.sub(r"lib/python3\.\d+/", "lib/<python>/", name)
    name = re.sub(r"(?<=postgresql[/@-])1[567]", "<version>", name)
    return re.sub(r"scheduler@\d+", "scheduler@1", name)


def table(page: str, title: str) -> list[str]:
    """The code words in the first column of the table under a heading."""
    part = page.split(f"\n## {title}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in part.splitlines() if line.startswith("|")][2:]
    return [word for row in rows for word in re.findall(r"`([^`]+)`", row)]


# --- what it does -------------------------------------------------------------------------


def wanted_paths() -> set[str]:
    found = {plain(r.path) for r in resources() if hasattr(r, "path")}
    for resource in resources():
        if isinstance(resource, SelfSigned):
            found |= {resource.certificate, resource.key}
    return found


def test_every_path_is_on_the_page_and_no_other():
    listed = set(table(text("what-it-does.md"), "Files and folders"))
    assert wanted_paths() - listed == set(), "not on the page"
    assert listed - wanted_paths() - STEPS_MAKE.keys() - ELSEWHERE.keys() == set(), "not made"


@pytest.mark.parametrize(("path", "source"), [*STEPS_MAKE.items(), *ELSEWHERE.items()])
def test_what_steps_make_is_on_the_page(path, source):
    assert path in table(text("what-it-does.md"), "Files and folders")
    if source:
        base = ROOT if source.startswith("roles/") else ROOT / "installer/mlops_install"
        assert path.removeprefix(STATE) in (base / source).read_text()


def test_every_package_is_on_the_page_and_no_other():
    part = text("what-it-does.md").split("\n## Packages\n")[1].split("\n## ")[0]
    listed = {w for w in re.findall(r"`([^`]+)`", part.split("Undo:")[0]) if "[" not in w}
    wanted = {plain(name) for c in contexts() for name in roles.packages(c)}
    assert listed - {"locale", "C.UTF-8", "timezone", "US/Pacific"} == wanted


def test_every_unit_is_on_the_page_and_no_other():
    units = {plain(u) for r in resources() if isinstance(r, Services | ApiServer) for u in r.units}
    assert set(table(text("what-it-does.md"), "Services")) == units


def test_users_role_and_database_are_on_the_page():
    page = text("what-it-does.md")
    for resource in resources():
        if isinstance(resource, SystemUser):
            assert f"`{resource.user}`" in page
            assert resource.home in page
        if isinstance(resource, Role | Database):
            assert f"database `{getattr(resource, 'database', 'airflow')}`" in page


def test_every_port_is_on_the_page():
    part = text("what-it-does.md").split("\n## Ports\n")[1]
    contents = "".join(r.content for r in resources() if hasattr(r, "content"))
    listens = set(re.findall(r"^\s*listen (?:\S+:)?(\d+)", contents, re.M))
    assert listens == {"80", "443", "8080", "8793", "8794"}
    assert not [port for port in listens if not re.search(rf"^\|[^|]*\b{port}\b", part, re.M)]


# --- references ---------------------------------------------------------------------------


def test_the_config_reference_is_current():
    assert text("config.md") == script("docs-config").page(), "run: scripts/docs-config"


def test_the_help_pages_are_current():
    module = script("docs-help")
    there = {path.stem: path.read_text() for path in module.FOLDER.iterdir()}
    assert there == module.pages(), "run: scripts/docs-help"


NESTED = ("box", "env", "workflows")


def commands() -> dict[str, object]:
    group = get_command(cli.app).commands
    nested = {
        f"{top} {name}": command for top in NESTED for name, command in group[top].commands.items()
    }
    return {name: c for name, c in group.items() if name not in NESTED} | nested


@pytest.mark.parametrize("name", commands())
def test_every_command_and_option_is_in_the_reference(name):
    level = "###" if " " in name else "##"
    part = re.split(rf"^{level} {name}$", text("cli.md"), flags=re.M)
    assert len(part) == 2, f"no section {level} {name}"
    section = re.split(r"^##", part[1], flags=re.M)[0]
    options = {o for p in commands()[name].params for o in p.opts if o.startswith("-")}
    short = {o for o in options if not o.startswith("--")}
    assert not [o for o in options - short if o not in section]
    assert not [o for o in short if f"`{o}`" not in text("cli.md")]


def test_no_option_is_in_the_reference_that_does_not_exist():
    known = {o for c in commands().values() for p in c.params for o in (*p.opts, *p.secondary_opts)}
    known |= {"--help", "--version"}
    assert set(re.findall(r"`(--[a-z-]+)", text("cli.md"))) <= known


# --- code and links -----------------------------------------------------------------------


class Here(Local):
    """This machine, without sudo."""

    _sudo = "exec "


def test_the_worked_example_works():
    blocks = re.findall(r"^```python\n(.*?)^```", text("extending.md"), re.M | re.S)
    assert len(blocks) == 3
    names: dict[str, object] = {"__name__": "example"}
    for block in blocks:
        exec(compile(block, "extending.md", "exec", dont_inherit=True), names)
    stage = names["stage"](contexts()[0])
    assert isinstance(stage, Stage)
    (resource,) = stage.lanes[0].resources
    for step in resource.change(None):
        subprocess.run(["bash", "-n"], input=step.shell(), text=True, check=True)
    if Path("/proc/sys/vm/swappiness").exists():
        plan = make_plan(Here(), [stage])
        assert plan.checked == 1
        assert {d.key for c in plan.changes for d in c.differences} <= {"now", "boot"}


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


def test_every_page_is_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    assert not [p.name for p in PAGES[1:] if f"{p.relative_to(ROOT)}" not in readme]


def test_images_are_small_and_used():
    pages = "".join(page.read_text() for page in PAGES)
    for image in (DOCS / "images").iterdir():
        assert image.stat().st_size < 300_000, image.name
        assert image.name in pages, image.name


def test_addresses_are_examples():
    """Documentation uses example.org and addresses that are set aside for it."""
    texts = [*PAGES, *(DOCS / "images").glob("*.svg")]
    for page in texts:
        found = re.findall(r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", page.read_text())
        assert {a for a in found if not a.startswith(("127.", "192.0.2."))} == set(), page.name


def test_the_readme_has_the_figures_of_the_demo():
    page = (ROOT / "README.md").read_text()
    found = re.search(r"demo-figures: begin -->\n(.*?)<!-- scripts/demo-figures: end", page, re.S)
    assert found
    assert re.search(r"\d+ s where the root file system\nis built, \d+ s", found[1])
