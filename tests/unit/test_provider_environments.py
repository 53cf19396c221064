"""Which environment a task gets, on a tree like that of the server."""

import fcntl
import os
import subprocess
from pathlib import Path

import pytest
from mlops_airflow import environments
from mlops_airflow.environments import MissingEnvironmentError
from mlops_server.layout import Layout, lock_hash


def build(layout: Layout, model: str, lock: str, number: int = 1) -> Path:
    """An environment as apply leaves it."""
    name = lock_hash(lock.encode())
    prefix = layout.envs / model / "builds" / f"{name}.{number}"
    (prefix / ".mlops").mkdir(parents=True)
    (prefix / ".mlops/ready.json").write_text("{}")
    for link, target in ((name, f"builds/{name}.{number}"), ("current", name)):
        (layout.envs / model / link).unlink(missing_ok=True)
        (layout.envs / model / link).symlink_to(target)
    return prefix


def release(layout: Layout, digest: str, **locks: str) -> str:
    """A workflow release that is put in force; the path of its DAG file, by the link."""
    folder = layout.releases / digest
    (folder / "dags").mkdir(parents=True)
    (folder / "dags/x.py").write_text("")
    for model, lock in locks.items():
        (folder / "models" / model).mkdir(parents=True)
        (folder / "models" / model / "conda-lock.yml").write_text(lock)
    layout.current_release.unlink(missing_ok=True)
    layout.current_release.symlink_to(f"releases/{digest}")
    return str(layout.current_release / "dags/x.py")


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path.resolve())


def test_the_lock_of_the_release_decides_not_current(layout):
    old = build(layout, "churn", "old")
    build(layout, "churn", "new")
    file = release(layout, "a", churn="old")
    found = environments.resolve("churn", file, layout)
    assert found.prefix == old
    assert found.release == layout.releases / "a"
    assert found.model_folder == layout.releases / "a/models/churn"


def test_a_release_by_its_real_path_keeps_its_environment_after_a_switch(layout):
    old, new = build(layout, "churn", "old"), build(layout, "churn", "new")
    file = os.path.realpath(release(layout, "a", churn="old"))
    release(layout, "b", churn="new")
    assert environments.resolve("churn", file, layout).prefix == old
    assert environments.resolve("churn", "/elsewhere.py", layout).prefix == new


def test_without_the_model_in_a_release_current_is_used(layout):
    prefix = build(layout, "churn", "x")
    found = environments.resolve("churn", "/elsewhere.py", layout)
    assert (found.prefix, found.release) == (prefix, None)


def test_an_unknown_model_names_those_that_there_are(layout):
    build(layout, "churn", "x")
    build(layout, "ltv", "x")
    for name in ("chrn", "../churn", "builds", ""):
        with pytest.raises(MissingEnvironmentError, match=r"no model .* has the .* churn, ltv"):
            environments.resolve(name, "/elsewhere.py", layout)


def test_an_unbuilt_lock_says_what_to_do(layout):
    file = release(layout, "a", churn="x")
    with pytest.raises(MissingEnvironmentError, match=r"not built .*apply.*no environments"):
        environments.resolve("churn", file, layout)
    (layout.current_release / "models/churn/conda-lock.yml").unlink()
    with pytest.raises(MissingEnvironmentError, match=r"mlops-install lock churn"):
        environments.resolve("churn", file, layout)


def test_the_environment_is_locked_while_it_is_held(layout):
    prefix = build(layout, "churn", "x")
    with (prefix / ".mlops/ready.json").open() as other:
        with environments.held("churn", "/elsewhere.py", layout) as (found, descriptor):
            assert found.prefix == prefix
            assert os.fstat(descriptor).st_ino == os.fstat(other.fileno()).st_ino
            with pytest.raises(BlockingIOError):
                fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_the_release_is_locked_while_its_environment_is_held(layout):
    file = release(layout, "a", churn="x")
    build(layout, "churn", "x")
    about = layout.releases / "a/.mlops-release.json"
    about.write_text("{}")
    with about.open() as other:
        with environments.held("churn", file, layout), pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_an_environment_that_vanishes_is_not_held(layout):
    prefix = build(layout, "churn", "x")
    (prefix / ".mlops/ready.json").unlink()
    with pytest.raises(MissingEnvironmentError, match="removed"):
        environments.held("churn", "/elsewhere.py", layout).__enter__()


def test_gpu_models_have_a_pool_by_their_release(layout):
    file = release(layout, "a", churn="x", ltv="x")
    options = layout.releases / "a/models/ltv/model.toml"
    options.write_text("gpu = true")
    assert environments.default_pool("ltv", file, layout) == "gpu"
    assert environments.default_pool("ltv", "/elsewhere.py", layout) == "gpu"
    assert environments.default_pool("churn", file, layout) is None
    assert environments.default_pool("unknown", file, layout) is None
    assert environments.default_pool("../ltv", file, layout) is None
    real = os.path.realpath(file)
    assert environments.first_released([__file__, file, "/x.py"], "ltv") == real
    assert environments.first_released([__file__, "<string>"], "ltv") is None
    options.write_text("gpus = 1")
    with pytest.raises(ValueError, match="gpus"):
        environments.default_pool("ltv", file, layout)


def test_user_code_sees_nothing_of_airflow(layout):
    build(layout, "churn", "x")
    found = environments.resolve("churn", release(layout, "a", churn="x"), layout)
    kept = {"LC_ALL": "C.UTF-8", "https_proxy": "http://proxy:3128", "HOME": "/home/someone"}
    hidden = {
        "AIRFLOW__API_AUTH__JWT_SECRET": "s",
        "__AIRFLOW_SUPERVISOR_FD": "3",
        "CREDENTIALS_DIRECTORY": "/run/credentials",
        "PYTHONPATH": "/opt",
        "PATH": "/opt/airflow/bin",
    }
    seen = environments.variables(found, layout, kept | hidden)
    assert kept.items() <= seen.items()
    assert not {name for name in hidden if name != "PATH"} & set(seen)
    assert seen["PATH"] == f"{found.prefix}/bin:/usr/local/bin:/usr/bin:/bin"
    assert seen["CONDA_PREFIX"] == str(found.prefix)
    assert seen["MLOPS_RELEASE"] == str(found.release)
    assert not [value for value in seen.values() if "airflow" in value.lower()]


def test_activation_comes_first_where_it_is_needed(layout):
    prefix = build(layout, "churn", "x")
    found = environments.resolve("churn", "/elsewhere.py", layout)
    assert environments.activated(found, ["true"]) == ["true"]
    (prefix / ".mlops/activate.sh").write_text("export A=1")
    words = environments.activated(found, ["sh", "-c", 'echo "$A $B $C $1"', "sh", "more"])
    out = subprocess.run(words, env={"C": "3"}, capture_output=True, text=True, check=True)
    assert out.stdout == "1  3 more\n"


def test_what_a_task_sets_itself_wins_over_the_environments_variables(layout):
    prefix = build(layout, "churn", "x")
    (prefix / ".mlops/activate.sh").write_text("export A=1 B=2 C=3")
    found = environments.resolve("churn", "/elsewhere.py", layout)
    own = {"A": "it's mine\n$HOME", "C": "", "no-name": "x"}
    words = environments.activated(found, ["sh", "-c", 'echo "$A|$B|$C|$1"', "sh", "more"], own)
    out = subprocess.run(words, env=own, capture_output=True, text=True, check=True)
    assert out.stdout == "it's mine\n$HOME|2||more\n"
