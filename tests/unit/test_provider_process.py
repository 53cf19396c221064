"""Nothing that a task started outlives it, however it ends."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mlops_airflow import process, runner

ENVIRON = {"PATH": "/usr/bin:/bin"}
TREE = "setsid sleep {n} & (sleep {n} & sleep {n}) & sleep {n} & echo started; {then}"


def bash(command: str, **more) -> process.Process:
    """A supervised shell command."""
    shell = process.executing(["/bin/bash", "-c", command])
    return process.Process(shell, ENVIRON, Path("/"), **more)


def alive(command: str) -> list[int]:
    """The processes with this command line."""
    wanted = command.encode().replace(b" ", b"\0") + b"\0"
    return [
        int(folder.name)
        for folder in Path("/proc").iterdir()
        if folder.name.isdigit() and _line(folder) == wanted
    ]


def _line(folder: Path) -> bytes:
    try:
        return (folder / "cmdline").read_bytes()
    except OSError:
        return b""


def until(condition) -> None:
    """Wait for it, not for ever."""
    end = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def unique() -> str:
    """Seconds to sleep that no other test sleeps."""
    return f"30{os.getpid()}{time.monotonic_ns() % 1000}"


def test_output_comes_live_and_its_last_line_is_kept():
    lines: list[tuple[float, str]] = []
    task = bash("echo a; sleep 0.5; printf '1%%\\r2%%\\r'; echo; echo b; echo err >&2", merge=False)
    task.run(lambda line: lines.append((time.monotonic(), line)))
    assert sorted(line for _, line in lines) == ["2%", "a", "b", "err"]
    assert lines[-1][0] - lines[0][0] > 0.4
    assert (task.code, task.last_line) == (0, "b")


def test_what_is_left_behind_is_ended():
    n = unique()
    task = bash(TREE.format(n=n, then="exit 3"))
    task.run(str)
    assert task.code == 3
    assert not alive(f"sleep {n}")


def test_a_stop_ends_the_whole_tree():
    n = unique()
    task = bash(TREE.format(n=n, then="while :; do wait; sleep 0.01; done"))
    lines: list[str] = []
    thread = threading.Thread(target=task.run, args=(lines.append,))
    thread.start()
    until(lambda: lines and len(alive(f"sleep {n}")) == 4)
    task.stop()
    thread.join(10)
    assert task.code == -signal.SIGTERM
    assert not alive(f"sleep {n}")


def test_what_ignores_sigterm_is_killed(monkeypatch):
    n = unique()
    quick = Path(runner.__file__).read_text().replace("GRACE = 5.0", "GRACE = 0.5")
    monkeypatch.setattr(process, "RUNNER", "/dev/stdin")
    command = f"trap '' TERM; sleep {n}; sleep {n}; sleep {n}"
    given = process.scratch(quick.encode())
    task = bash(f"exec </dev/null; {command}", stdin=given)
    thread = threading.Thread(target=task.run, args=(str,))
    thread.start()
    until(lambda: alive(f"sleep {n}"))
    task.stop()
    thread.join(10)
    os.close(given)
    assert task.code == -signal.SIGKILL
    assert not alive(f"sleep {n}")


def test_an_exception_on_the_way_ends_the_task():
    n = unique()

    def timeout(_line: str) -> None:
        raise KeyboardInterrupt

    task = bash(TREE.format(n=n, then="wait"))
    with pytest.raises(KeyboardInterrupt):
        task.run(timeout)
    until(lambda: not alive(f"sleep {n}"))


def test_a_supervisor_that_hangs_is_killed_with_what_it_runs(monkeypatch):
    n = unique()
    monkeypatch.setattr(runner, "GRACE", 0.1)
    monkeypatch.setattr(process, "MARGIN", 0.1)
    task = bash(f"sleep {n}; true")
    thread = threading.Thread(target=task.run, args=(str,))
    thread.start()
    until(lambda: alive(f"sleep {n}"))
    os.kill(task._child.pid, signal.SIGSTOP)
    task.stop()
    thread.join(10)
    assert task.code == -signal.SIGKILL
    until(lambda: not alive(f"sleep {n}"))


def test_nothing_is_left_when_the_starter_is_killed():
    n = unique()
    code = f"""
from pathlib import Path
from mlops_airflow import process
shell = ["/bin/bash", "-c", {TREE.format(n=n, then="wait")!r}]
process.Process(process.executing(shell), {ENVIRON}, Path("/")).run(print)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL) as starter:
        until(lambda: len(alive(f"sleep {n}")) == 4)
        starter.kill()
    until(lambda: not alive(f"sleep {n}"))


def test_a_supervisor_without_its_starter_does_nothing():
    task = process.executing(["/bin/echo", "no"])
    task[task.index("exec") + 1] = "1"
    told = subprocess.run(task, capture_output=True)
    assert (told.returncode, told.stdout) == (1, b"")


def test_a_shell_has_the_usual_signals():
    lines: list[str] = []
    task = bash("yes | head -n 1; echo ${PIPESTATUS[0]}; grep -h SigBlk /proc/self/status")
    task.run(lines.append)
    assert lines[:2] == ["y", "141"]
    assert int(lines[2].split()[1], 16) == 0


def test_endings_in_words():
    assert process.ending(3) == "exit code 3"
    assert process.ending(-9) == process.ending(137) == "killed by SIGKILL (out of memory?)"
    assert process.ending(-15) == "killed by SIGTERM"
    assert process.ending(139) == "killed by SIGSEGV"
    assert process.ending(255) == "exit code 255"
