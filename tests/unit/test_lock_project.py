"""The models of a project: what is refused, and what makes a lock stale. Nothing is solved."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlops_install import lock
from mlops_install.errors import ConfigError
from mlops_install.lock import LockOptions, environment, project, stamp

PLAIN = "channels: [conda-forge]\ndependencies: [python =3.11]\n"
LOCK = """\
version: 1
metadata:
  content_hash:
    linux-64: {hash}
  channels:
  - url: conda-forge
    used_env_vars: []
  platforms:
  - linux-64
  sources:
  - environment.yml
package:
"""
PACKAGE = """\
- name: python
  version: 3.11.7
  manager: conda
  platform: linux-64
  dependencies: {{}}
  url: https://conda.anaconda.org/conda-forge/linux-64/python{number}-3.11.7-0.conda
  hash:
    md5: {hash}
    sha256: {hash}
  category: main
  optional: false
"""


def model(
    root: Path, name: str = "churn", text: str = PLAIN, toml: str = "", cuda: str | None = None
) -> Path:
    """A model with a lock of 1 MB that fits; the project's folder."""
    folder = root / "models" / name
    folder.mkdir(parents=True)
    (folder / "environment.yml").write_text(text)
    if toml:
        (folder / "model.toml").write_text(toml)
    data = text.encode()
    line = stamp.line(environment.digest(data, environment.parse(data, name)), cuda)
    packages = "".join(PACKAGE.format(number=n, hash="0" * 64) for n in range(2500))
    (folder / "conda-lock.yml").write_text(line + LOCK.format(hash="0" * 64) + packages)
    return root


def refused(root: Path, cuda: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        project.read(root, cuda)
    return f"{caught.value.message} | {caught.value.detail} | {caught.value.fix}"


def test_a_model_is_read(tmp_path):
    found = project.read(model(tmp_path, toml="gpu = true\n"))
    assert [one.name for one in found] == ["churn"]
    assert found[0].platforms == ("linux-64",)
    assert found[0].options.gpu
    assert found[0].options_text == b"gpu = true\n"
    assert found[0].lock == (tmp_path / "models/churn/conda-lock.yml").read_bytes()
    assert len(found[0].lock_hash) == 12


def test_a_project_without_models_has_none(tmp_path):
    assert project.read(tmp_path) == ()


def test_files_and_hidden_folders_are_no_models(tmp_path):
    model(tmp_path)
    (tmp_path / "models/README.md").touch()
    (tmp_path / "models/.cache").mkdir()
    (tmp_path / "models/__pycache__").mkdir()
    assert len(project.read(tmp_path)) == 1


@pytest.mark.parametrize("name", ["Churn", "1st", "a b", "builds", "current"])
def test_names_that_cannot_be_folders_of_environments_are_refused(tmp_path, name):
    assert f"models/{name}: a model cannot be called so" in refused(model(tmp_path, name))


@pytest.mark.parametrize(
    "channels",
    [
        "",
        "channels: []\n",
        "channels:\n",
        "channels: [nodefaults]\n",
        "channels: [conda-forge, defaults]\n",
        "channels: [main]\n",
        "channels: [anaconda]\n",
        "channels: [pkgs/main]\n",
        "channels: ['https://repo.anaconda.com/pkgs/main']\n",
        "channels: ['https://conda.anaconda.org/anaconda']\n",
    ],
)
def test_channels_with_a_licence_are_refused_with_the_reason_and_the_fix(tmp_path, channels):
    (tmp_path / "models/churn").mkdir(parents=True)
    path = tmp_path / "models/churn/environment.yml"
    path.write_text(f"{channels}dependencies: [python]\n")
    text = refused(tmp_path)
    assert "more than 200 people" in text
    assert "channels: [conda-forge]" in text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("channels: [", "models/churn/environment.yml is not YAML"),
        ("- python\n", "is not an environment"),
        ("channels: [conda-forge]\n", "has no dependencies"),
        ("channels: [conda-forge]\ndependencies: [defaults::numpy]\n", "write numpy"),
        ("channels: [conda-forge]\ndependencies: [{npm: [x]}]\n", "is not a dependency"),
        ("channels: [conda-forge]\ndependencies: [{pip: [-e .]}]\n", "cannot be locked"),
        ("channels: ['https://u:p@h.example/c']\ndependencies: [python]\n", "channel_user"),
    ],
)
def test_an_environment_that_cannot_be_locked_is_refused(tmp_path, text, says):
    (tmp_path / "models/churn").mkdir(parents=True)
    (tmp_path / "models/churn/environment.yml").write_text(text)
    assert says in refused(tmp_path)


def test_missing_files_are_named(tmp_path):
    model(tmp_path)
    (tmp_path / "models/churn/conda-lock.yml").unlink()
    assert "mlops-install lock churn" in refused(tmp_path)
    (tmp_path / "models/churn/environment.yml").unlink()
    assert "models/churn/environment.yml is missing" in refused(tmp_path)


def test_a_bad_model_toml_is_named(tmp_path):
    assert "models/churn/model.toml: gpus: there is no such setting" in refused(
        model(tmp_path, toml="gpus = 1\n")
    )


def test_a_changed_environment_makes_the_lock_stale_and_a_comment_does_not(tmp_path):
    path = model(tmp_path) / "models/churn/environment.yml"
    path.write_text(f"# why\n{PLAIN}")
    assert project.read(tmp_path)
    path.write_text(PLAIN.replace("3.11", "3.12"))
    assert "environment.yml was changed after conda-lock.yml was made" in refused(tmp_path)


def test_a_selector_counts_although_it_is_a_comment(tmp_path):
    text = "channels: [conda-forge]\ndependencies:\n- python\n- numpy  # [linux]\n"
    path = model(tmp_path, text=text) / "models/churn/environment.yml"
    assert project.read(tmp_path)
    path.write_text(text.replace("[linux]", "[osx]"))
    assert "environment.yml was changed" in refused(tmp_path)


def test_a_lock_of_another_tool_is_refused(tmp_path):
    path = model(tmp_path) / "models/churn/conda-lock.yml"
    path.write_text(path.read_text().partition("\n")[2])
    assert "not made by `mlops-install lock`" in refused(tmp_path)
    path.write_text("version: 1\n")
    assert "cannot be read" in refused(tmp_path)


def test_cuda_of_the_server_and_of_the_model(tmp_path):
    assert "is for CPUs, wanted is CUDA 12.8" in refused(model(tmp_path), "12.8")
    other = model(tmp_path / "other", toml='cuda = "12.4"\n', cuda="12.4")
    assert project.read(other, "12.8"), "the model's own wins"


def test_a_platform_without_packages_is_refused(tmp_path):
    found = project.read(model(tmp_path))[0]
    found.require("linux-64")
    with pytest.raises(ConfigError, match="no packages for linux-aarch64"):
        found.require("linux-aarch64")


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="there is no model chrun") as caught:
        lock.run(model(tmp_path), ["chrun"], LockOptions())
    assert caught.value.fix == "there are churn"


def test_lines_of_requests():
    text = b"channels: [c]\ndependencies:\n- c::Numpy >=1\n- pip:\n  - tabulate\n"
    assert list(environment.requests(text)) == [
        (3, "numpy", "c::Numpy >=1"),
        (5, "tabulate", "tabulate"),
    ]


def test_reading_is_quick_and_needs_neither_conda_lock_nor_rattler(tmp_path):
    for name in ("a", "b", "c"):
        model(tmp_path, name)
    seconds = []
    for _ in range(5):
        start = time.process_time()
        assert len(project.read(tmp_path)) == 3
        seconds.append(time.process_time() - start)
    assert min(seconds) < 0.03
    code = "import sys, mlops_install.lock.project; print([m for m in sys.modules])"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert "rattler" not in loaded
    assert "conda_lock" not in loaded
