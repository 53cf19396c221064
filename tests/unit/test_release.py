"""A project on this side becomes a release on the server: what is read, and what is refused."""

import os
import subprocess
from pathlib import Path

import pytest
from mlops_install import release
from mlops_install.config import parse
from mlops_install.context import given
from mlops_install.errors import ConfigError
from mlops_install.resource import ABSENT, Put
from mlops_install.resources.tree import Content, Tree, tree_digest

FILES = {"dags/a.py": "a = 1\n", "models/m/environment.yml": "x\n", "README.md": "r\n"}
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="files on a server belong to root")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "project"


def refusal(folder: Path, limit_mb: int = 100) -> str:
    with pytest.raises(ConfigError) as caught:
        release.read(folder, limit_mb)
    assert caught.value.fix
    return caught.value.message


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True)


def test_all_that_is_not_hidden_is_read(project):
    (project / ".hidden").write_text("")
    (project / "dags/__pycache__").mkdir()
    (project / "dags/__pycache__/a.pyc").write_text("")
    os.chmod(project / "README.md", 0o755)
    found = release.read(project)
    assert {name: content.data.decode() for name, content in found.items()} == FILES
    assert [name for name, content in found.items() if content.executable] == ["README.md"]


def test_in_a_git_checkout_what_git_ignores_is_left_out(project):
    git(project, "init", "-q")
    (project / ".gitignore").write_text("data/\n")
    (project / "data").mkdir()
    (project / "data/big").write_text("x")
    (project / "dags/new.py").write_text("")
    git(project, "add", "README.md")
    (project / "README.md").unlink()
    found = release.read(project)
    assert set(found) == set(FILES) - {"README.md"} | {".gitignore", "dags/new.py"}


def test_git_counts_for_a_subfolder_of_a_repository_too(project, tmp_path, monkeypatch):
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("credentials.csv\nscratch/\n")
    (project / "credentials.csv").write_text("secret")
    (project / "models/scratch").mkdir()
    (project / "models/scratch/environment.yml").write_text("of nobody's concern")
    (project / "dags/.airflowignore").write_text("legacy/\n")
    assert set(release.read(project)) == {*FILES, "dags/.airflowignore"}
    (project / "models/m/environment.yml").unlink()
    given(parse(f'[workflows]\npath = "{project}"\n', "t"))  # the ignored model has no lock
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))  # as in a hook of Git's
    assert "credentials.csv" not in release.read(project)


def test_what_git_would_ignore_stays_also_without_a_repository(project):
    (project / ".gitignore").write_text("*.csv\n")
    (project / "credentials.csv").write_text("secret")
    (project / "dags/.gitignore").write_text("local.py\n")
    (project / "dags/local.py").write_text("")
    assert set(release.read(project)) == set(FILES)


def test_airflowignore_counts_without_git(project):
    (project / "dags/.airflowignore").write_text("legacy/\n")
    (project / "dags/.env").write_text("secret")
    assert set(release.read(project)) == {*FILES, "dags/.airflowignore"}


def test_a_folder_that_a_repository_around_it_ignores_is_read_by_itself(project, tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / ".gitignore").write_text("project/\n")
    assert set(release.read(project)) == set(FILES)


def test_a_git_folder_that_is_no_repository_does_not_count(project, tmp_path):
    (tmp_path / ".git").mkdir()
    assert set(release.read(project)) == set(FILES)


def test_without_git_a_repository_is_refused(project, monkeypatch):
    git(project, "init", "-q")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "git is not installed" in refusal(project)


def test_links_inside_are_followed_and_others_refused(project, tmp_path):
    (project / "dags/link.py").symlink_to("a.py")
    assert release.read(project)["dags/link.py"].data == b"a = 1\n"
    (tmp_path / "outside").write_text("secret")
    (project / "dags/out.py").symlink_to(tmp_path / "outside")
    assert "outside of the project" in refusal(project)


def test_a_dangling_link_and_an_odd_name_are_refused(project):
    (project / "dags/gone.py").symlink_to("nowhere.py")
    assert "is not a file" in refusal(project)
    (project / "dags/gone.py").unlink()
    (project / "dags/a\nb.py").write_text("")
    assert "has a character that no name may have" in refusal(project)


def test_a_project_needs_dags_and_must_be_small(project):
    (project / "big").write_bytes(b"x" * 2**20)
    assert "more than 1 MiB" in refusal(project, 1)
    (project / "dags/a.py").unlink()
    (project / "dags").rmdir()
    assert "there is no folder" in refusal(project)


# --- the tree on the server ---------------------------------------------------------------


def carry_out(tree: Tree) -> None:
    for step in tree.change(None):
        subprocess.run(["bash", "-ec", step.shell()], check=True)


def state(tree: Tree):
    done = subprocess.run(["bash", "-c", tree.probe()], capture_output=True, text=True)
    return None if done.returncode == ABSENT else tree.parse(done.stdout)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    files = {"a b/é.py": Content(b"1"), "run": Content(b"#!/bin/sh\n", executable=True),
             "empty": Content(b"")}  # fmt: skip
    return Tree(str(tmp_path / "tree"), files)


@ROOT
def test_a_tree_is_put_there_and_known_again(tree):
    assert state(tree) is None
    carry_out(tree)
    assert state(tree) == tree.desired
    assert not Path(f"{tree.path}.mlops-new").exists()


@ROOT
@pytest.mark.parametrize(
    "damage",
    ["echo > run", "rm empty", "touch new", "chmod -x run", "chmod o+w run", "ln -s run link",
     "chown nobody run", "mv run ruin"],
)  # fmt: skip
def test_every_change_in_it_is_seen_and_put_back(tree, damage):
    carry_out(tree)
    subprocess.run(["bash", "-ec", damage], cwd=tree.path, check=True)
    assert state(tree) != tree.desired
    carry_out(tree)
    assert state(tree) == tree.desired


@ROOT
def test_byte_code_in_it_does_not_count(tree):
    carry_out(tree)
    Path(tree.path, "__pycache__").mkdir()
    Path(tree.path, "__pycache__/x.pyc").write_text("")
    assert state(tree) == tree.desired


@ROOT
def test_a_step_that_was_broken_off_is_done_again(tree):
    steps = list(tree.change(None))
    for step in steps[:-1]:
        subprocess.run(["bash", "-ec", step.shell()], check=True)
    assert isinstance(steps[1], Put)
    assert state(tree) is None
    carry_out(tree)
    assert state(tree) == tree.desired


def test_names_modes_and_contents_make_the_digest():
    plain = {"a": Content(b"1")}
    assert tree_digest(plain) == tree_digest({"a": Content(b"1")})
    others = ({"b": Content(b"1")}, {"a": Content(b"2")}, {"a": Content(b"1", True)})
    assert tree_digest(plain) not in [tree_digest(other) for other in others]
