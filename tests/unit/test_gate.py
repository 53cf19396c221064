"""The gate: reasons, and the process that each file gets. Airflow itself is on servers only."""

import ctypes
import os
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from mlops_server.layout import Layout, lock_hash
from mlops_server.workflows import gate, gate_dags, gate_tests, sandbox
from mlops_server.workflows.known import Known

RELEASE = Path("/srv/mlops/workflows/releases/0123456789ab")
TRACE = f'''Traceback (most recent call last):
  File "<frozen importlib._bootstrap>", line 488, in _call_with_frames_removed
  File "{RELEASE}/dags/a.py", line 1, in <module>
    import b
  File "{RELEASE}/dags/b.py", line 7, in <module>
    from a import nothing
ImportError: cannot import name 'nothing' from 'a' ({RELEASE}/dags/a.py)
'''


def forget() -> None:
    os._exit(0)


def segfault() -> None:
    ctypes.string_at(0)


def hold() -> None:
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


def grow() -> None:
    kept = []
    while True:
        kept.append(b"x" * 10_000_000)


def shout() -> None:
    while True:
        print("x" * 1_000_000)


HOSTILE = {
    "ends": (forget, "ended the interpreter with exit code 0"),
    "exits": (lambda: sys.exit(3), "SystemExit: 3"),
    "crashes": (segfault, "killed by SIGSEGV"),
    "hangs": (hold, "did not finish within 5 s"),
    "grows": (grow, "MemoryError"),
    "shouts": (shout, "File too large"),
    "kills": (lambda: os.kill(os.getpid(), 9), "killed by SIGKILL"),
}


def work(file: str) -> dict[str, Any]:
    if file in HOSTILE:
        HOSTILE[file][0]()
    return {"error": None, "dags": [{"dag": file, "tasks": []}]}


def test_what_a_file_does_is_reported_with_its_name() -> None:
    files = ["first", *HOSTILE, "last"]
    events = list(gate_dags.each(files, work, 5, 1024, 3))
    ended = {event["end"]: event for event in events if "end" in event}
    assert set(ended) == set(files)
    for name in ("first", "last"):
        assert ended[name] == {"end": name, "error": None, "dags": [{"dag": name, "tasks": []}]}
    for name, (_, text) in HOSTILE.items():
        assert text in ended[name]["error"], name


def test_a_process_that_a_file_leaves_behind_ends(tmp_path: Path) -> None:
    def leave(_: str) -> dict[str, Any]:
        if not (pid := os.fork()):
            time.sleep(60)
        (tmp_path / "pid").write_text(str(pid))
        return {"error": None, "dags": []}

    list(gate_dags.each(["one"], leave, 5, 1024, 1))
    time.sleep(0.1)
    state = Path(f"/proc/{(tmp_path / 'pid').read_text()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_a_traceback_becomes_one_line() -> None:
    reason = gate.import_reason(f"{RELEASE}/dags/a.py", TRACE, RELEASE)
    assert reason == (
        "dags/a.py: ImportError: cannot import name 'nothing' from 'a' (dags/a.py)"
        " (dags/b.py, line 7)"
    )
    late = TRACE.replace("ImportError: cannot", "x.AirflowTaskTimeout: DagBag import timeout")
    assert "takes longer than 20 s" in gate.import_reason(f"{RELEASE}/dags/a.py", late, RELEASE)
    assert gate.import_reason(f"{RELEASE}/dags/a.py", "killed by SIGSEGV", RELEASE) == (
        "dags/a.py: killed by SIGSEGV"
    )


def found(**files: list[str]) -> gate.Found:
    """DAG ids by file; `own_` marks a file of the server's."""
    result = gate.Found()
    for name, ids in files.items():
        top = "/opt/mlops/dags" if name.startswith("own_") else f"{RELEASE}/dags"
        result.dags[f"{top}/{name}.py"] = [{"dag": i, "tasks": []} for i in ids]
    return result


def test_ids_are_unique() -> None:
    own = Path("/opt/mlops/dags")
    assert gate.duplicates(found(a=["x", "y"], b=["z"], own_c=["q"]), RELEASE, own) == []
    assert gate.duplicates(found(own_c=["q"], own_d=["q"]), RELEASE, own) == []
    reasons = gate.duplicates(found(a=["x", "x"], b=["x"], own_c=["z"]), RELEASE, own)
    assert reasons == ["there are 3 DAGs with the id x: dags/a.py (2 times), dags/b.py"]
    assert (
        "/opt/mlops/dags/own_c.py" in gate.duplicates(found(a=["x"], own_c=["x"]), RELEASE, own)[0]
    )


def task(**changed: Any) -> dict[str, Any]:
    return {
        "task": "t",
        "pool": "default_pool",
        "slots": 1,
        "env": None,
        "connections": {},
    } | changed


SERVER = Known({"default_pool": 128, "gpu": 1, "free": -1}, frozenset({"warehouse"}))
JUDGED = [
    (task(), ""),
    (task(pool="free", slots=1000), ""),
    (task(env="churn"), ""),
    (task(connections={"conn_id": "warehouse"}), ""),
    (task(connections={"aws_conn_id": "aws_default"}), ""),
    (task(pool="gpus"), "no pool gpus, the server has default_pool, free, gpu"),
    (task(pool="gpu", slots=2), "wants 2 slots, pool gpu has 1"),
    (task(env="chrun"), "no models/chrun, the release has churn"),
    (task(connections={"conn_id": "warehose"}), "conn_id: there is no connection warehose"),
]


@pytest.mark.parametrize(("given", "text"), JUDGED)
def test_what_a_task_refers_to(given: dict[str, Any], text: str) -> None:
    reasons = gate.judge("DAG d, task t", given, SERVER, {"churn": ""})
    assert len(reasons) == bool(text)
    assert all(text in reason for reason in reasons)


def test_environments_of_a_release(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    release = tmp_path / "release"
    for name in ("built", "unbuilt", "unlocked"):
        (release / "models" / name).mkdir(parents=True)
        (release / "models" / name / "environment.yml").write_text("")
    for name in ("built", "unbuilt"):
        (release / "models" / name / "conda-lock.yml").write_text(name)
    (layout.envs / "built" / lock_hash(b"built")).mkdir(parents=True)
    reasons = gate.environments(layout, release)
    assert reasons["built"] == ""
    assert "is not built" in reasons["unbuilt"]
    assert "mlops-install lock unlocked" in reasons["unlocked"]


def test_events_that_are_cut() -> None:
    lines = (
        '{"begin": "a"}\n{"begin": "b"}\n{"end": "a", "error": null, "dags": []}\n{"end": "b", "er'
    )
    read = gate.read(lines)
    assert set(read.dags) == {"a"}
    assert read.begun == {"a", "b"}


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "isolated", lambda: False)


def test_a_command_that_takes_too_long(plain: None, tmp_path: Path) -> None:
    begun = time.monotonic()
    ended = sandbox.run(
        ["/bin/sh", "-c", "echo before; sleep 60 & sleep 60"], tmp_path, {}, sandbox.Limits(1)
    )
    assert ended.late
    assert ended.tail == ["before"]
    assert time.monotonic() - begun < 10


def test_tests_of_a_model_run_in_its_environment(plain: None, tmp_path: Path) -> None:
    """A virtual environment that is this one's stands for the model's."""
    layout, release = Layout(tmp_path), tmp_path / "release"
    model = release / "models/churn"
    (model / "tests").mkdir(parents=True)
    (model / "conda-lock.yml").write_text("lock")
    (model / "features.py").write_text("ANSWER = 42\n")
    suite = next(gate_tests.suites(layout, release))
    assert isinstance(suite, str)
    assert "the environment has no pytest" in suite
    prefix = layout.envs / "churn" / lock_hash(b"lock")
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin/python").symlink_to(sys.executable)
    pytest_there = prefix / "lib/python3.11/site-packages/pytest"
    pytest_there.mkdir(parents=True)
    (pytest_there / "__init__.py").write_text("")
    suite = next(gate_tests.suites(layout, release))
    assert isinstance(suite, gate_tests.Suite)
    assert suite.words[0] == f"{prefix}/bin/python"
    assert suite.folder == model


ENDED = [
    (sandbox.Ended(0, "3 passed in 0.1s\n", ""), ""),
    (sandbox.Ended(5, "no tests ran in 0.1s\n", ""), ""),
    (sandbox.Ended(1, "FAILED tests/test_a.py::b - assert 1 == 2\n1 failed in 0.1s\n", ""),
     "tests: 1 failed in 0.1s: FAILED tests/test_a.py::b - assert 1 == 2"),
    (sandbox.Ended(143, "", "", late=True), "tests: the tests take longer than 600 s in all"),
    (sandbox.Ended(1, "", "no such file"), "tests: no output"),
]  # fmt: skip


@pytest.mark.parametrize(("ended", "reason"), ENDED)
def test_how_tests_ended(ended: sandbox.Ended, reason: str) -> None:
    assert gate_tests.judged("tests", ended, 600, lambda line: None) == reason


# --- output without end -------------------------------------------------------------------


def test_output_without_end_takes_little_memory_and_is_a_reason(tmp_path, monkeypatch):
    script = "import sys; print('the beginning')\n"
    script += "for _ in range(200): sys.stdout.write('x\\n' * 100_000)\nprint('the end')"
    limits = sandbox.Limits(60)
    monkeypatch.setattr(sandbox, "isolated", lambda: False)
    tracemalloc.start()
    ended = sandbox.run([sys.executable, "-c", script], tmp_path, {}, limits)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 * sandbox.KEPT
    assert ended.size > 40_000_000
    assert ended.output.startswith("the beginning\n")
    assert ended.output.endswith("the end\n")
    assert len(ended.output) < sandbox.KEPT + 100
    assert gate_tests.judged("tests", ended, 60, lambda _: None) == ""
    monkeypatch.setattr(sandbox, "TOO_MUCH", 32 << 20)
    reason = gate_tests.judged("tests", ended, 60, lambda _: None)
    assert reason == "tests: the tests print more than 32 MiB"


@pytest.mark.parametrize(
    "line", ["[]", "1", '"x"', '{"end": 1}', '{"end": "a", "dags": 3, "error": ""}', "[" * 100_000]
)
def test_lines_that_are_not_of_ours_are_left_out(line):
    found = gate.read(f'{line}\n{{"end": "f", "dags": [], "error": "e"}}\n')
    assert found.errors == {"f": "e"}
