"""The models of a project: what is refused, and what makes a lock stale. Nothing is solved."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlops_install import lock
from mlops_install.errors import ConfigError
from mlops_install.lock import LockOptions, environment, project, stamp
from mlops_server.models import variables

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
- name: {name}
  version: 3.11.7
  manager: conda
  platform: linux-64
  dependencies: {{}}
  url: https://conda.anaconda.org/conda-forge/linux-64/{name}-3.11.7-0.conda
  hash:
    md5: {hash}
    sha256: {hash}
  category: main
  optional: false
"""


def model(
    root: Path,
    name: str = "churn",
    text: str = PLAIN,
    toml: str = "",
    cuda: str | None = None,
    packages: int = 2500,
) -> Path:
    """A model with a lock of 1 MB that fits; the project's folder."""
    folder = root / "models" / name
    folder.mkdir(parents=True)
    (folder / "environment.yml").write_text(text)
    if toml:
        (folder / "model.toml").write_text(toml)
    data = text.encode()
    rest = LOCK.format(hash="a" * 64) + package("python")
    rest += "".join(package(f"python{n}") for n in range(packages - 1))
    digest = environment.digest(data, environment.parse(data, name))
    line = stamp.line(digest, cuda, rest.encode())
    (folder / "conda-lock.yml").write_text(line + rest)
    return root


def package(name: str) -> str:
    return PACKAGE.format(name=name, hash="a" * 64)


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
    assert len(found[0].lock_hash) == 32


def test_a_project_without_models_has_none(tmp_path):
    assert project.read(tmp_path) == ()


def test_files_and_hidden_folders_are_no_models(tmp_path):
    model(tmp_path)
    (tmp_path / "models/README.md").touch()
    (tmp_path / "models/.cache").mkdir()
    (tmp_path / "models/__pycache__").mkdir()
    assert len(project.read(tmp_path)) == 1


@pytest.mark.parametrize("name", ["Churn", "1st", "a b", "builds", "current", "m" * 64])
def test_names_that_cannot_be_folders_of_environments_are_refused(tmp_path, name):
    assert f"models/{name}: a model cannot have this name" in refused(model(tmp_path, name))


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


CUT = 3000
DAMAGES = {  # what happened to a lock -> what is said of it
    "conda-lock.yml: python7 is in the lock twice for linux-64": lambda t: t + package("python7"),
    "line 60 is a mark of an unfinished merge": lambda t: t.replace(
        "\n", "\n<<<<<<< HEAD\n", 59).replace("<<<<<<< HEAD\n", "", 58),
    "python5 3.11.7 has no SHA-256": lambda t: t.replace(
        package("python5"), package("python5").replace("    sha256: ", "    sha1: ")),
    "conda-lock.yml cannot be read: package": lambda t: t[:CUT].rpartition("  version")[0],
    "conda-lock.yml was changed after it was made": lambda t: t.replace(
        package("python9"), package("python9").replace("3.11.7", "3.11.8")),
    "python9 3.11.7 has no wheel": lambda t: t.replace(
        package("python9"), package("python9").replace("conda\n", "pip\n", 1)),
    "cannot be read: line 100 has a zero byte": lambda t: t.replace("\n", "\n\0", 99).replace(
        "\n\0", "\n", 98),
    "conda-lock.yml: the lock has no python": lambda t: t.replace(
        package("python"), package("pythons")),
    "python9: hash is not as conda-lock writes it": lambda t: t.replace(
        package("python9"), package("python9").replace("hash:", "hash: 1\n  ash:")),
}  # fmt: skip


@pytest.mark.parametrize("stamped", [True, False], ids=["stamped", "of an earlier version"])
@pytest.mark.parametrize("says", DAMAGES)
def test_a_lock_that_a_merge_or_an_editor_damaged_is_refused(tmp_path, says, stamped):
    path = model(tmp_path, packages=20) / "models/churn/conda-lock.yml"
    text = path.read_text()
    if not stamped:  # as locks were before: without a sum of the packages
        text = re.sub(r" packages sha256:\w+", "", text, count=1)
        path.write_text(text)
        assert project.read(tmp_path)
    path.write_text(DAMAGES[says](text))
    if not stamped and "was changed" in says:
        return
    said = refused(tmp_path)
    assert says in said
    assert "mlops-install lock churn" in said


def test_ends_of_lines_of_another_system_are_no_change(tmp_path):
    path = model(tmp_path) / "models/churn/conda-lock.yml"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert project.read(tmp_path)


ENCODINGS = {
    "it is UTF-16": PLAIN.encode("utf-16"),
    "it is UTF-32": PLAIN.encode("utf-32"),
    "line 1 has a zero byte": PLAIN.encode("utf-16-le"),
    "line 3 is not UTF-8": f"{PLAIN}# für\n".encode("latin-1"),
    "line 2 is a mark of an unfinished merge": PLAIN.replace("\n", "\n<<<<<<< HEAD\n", 1).encode(),
    "nested more than": b"[" * 9999,
}


@pytest.mark.parametrize("says", ENCODINGS)
def test_an_environment_in_another_encoding_is_named(tmp_path, says):
    path = model(tmp_path) / "models/churn/environment.yml"
    path.write_bytes(ENCODINGS[says])
    said = refused(tmp_path)
    assert says in said
    assert "models/churn/environment.yml" in said
    path.write_bytes(PLAIN.encode("utf-8-sig"))
    assert project.read(tmp_path), "a byte order mark of UTF-8 changes nothing"
    (tmp_path / "models/churn/model.toml").write_bytes(ENCODINGS[says])
    assert "models/churn/model.toml" in refused(tmp_path)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("platforms: [linux-64]", "platforms: there is no such setting here"),
        ("category: dev", "category: there is no such setting here"),
        ("pip-repositories: [a]", "[base] python_index"),
        ("1: a", "1: there is no such setting here"),
        ("channels: [conda-forge]", "environment.yml:3: channels is there twice"),
        ("name: {1: 2, a: 3}", "name is not a text"),
        ("name: &a x\nprefix: *a", "aliases"),
        ("variables: [A]", "environment.yml:3: variables must be `NAME: value`, not a list"),
        ("variables: {1A: x}", "'1A' is not the name of a variable"),
        ("variables: {A: [1]}", "A is not a text"),
        ("variables: {PATH: /tmp}", "PATH is set by the environment itself"),
        ("variables: {CONDA_PREFIX: /tmp}", "CONDA_PREFIX is set by the environment itself"),
        ("variables: {A: 1, A: 2}", "A is there twice"),
        (f"# {'x' * 70000}", "longer than 64 KiB"),
    ],
)
def test_what_would_be_lost_of_an_environment_is_refused(tmp_path, more, says):
    (tmp_path / "models/churn").mkdir(parents=True)
    (tmp_path / "models/churn/environment.yml").write_text(f"{PLAIN}{more}\n")
    assert says in refused(tmp_path)


def test_variables_are_taken_as_they_are_written():
    text = b"variables:\n  A: 1.10\n  B: true\n  C: '08'\n  D: a b\n  E:\n  F: 0x10\n"
    wanted = {"A": "1.10", "B": "true", "C": "08", "D": "a b", "E": "", "F": "0x10"}
    assert variables.read(text) == wanted


def test_a_virtual_package_and_another_ending_are_explained(tmp_path):
    path = tmp_path / "models/churn/environment.yml"
    path.parent.mkdir(parents=True)
    path.write_text(PLAIN.replace("python =3.11", "python, __cuda"))
    assert 'cuda = "12.8"' in refused(tmp_path)
    path.rename(path.with_suffix(".yaml"))
    assert "rename models/churn/environment.yaml" in refused(tmp_path)


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
