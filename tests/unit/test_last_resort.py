"""How the program ends: one or two lines and the exit code of the docs, never a traceback."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import mlops_install
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlops_install import said
from mlops_install.session import Result

PROGRAM = [sys.executable, "-m", "mlops_install"]
ROOT = Path(mlops_install.__file__).parents[2]


def run(work: str, *, argv: str = "status", stdout=subprocess.PIPE, **variables: str):
    """A program that ends by `guarded`; `work` is the body of a function."""
    code = (
        f"import sys; sys.argv = ['mlops-install', *{argv.split()!r}]\n"
        f"from mlops_install.lastresort import guarded\ndef work():\n    {work}\nguarded(work)"
    )
    return subprocess.run(
        [sys.executable, "-c", code], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
        env=os.environ | variables,
    )  # fmt: skip


def test_what_nobody_foresaw_is_two_lines_and_a_file(tmp_path):
    work = "from mlops_install.lastresort import SECRETS; SECRETS.add('hush-me');"
    work += " raise ValueError('odd hush-me\\nthing http://me:word@h/x')"
    done = run(work, XDG_STATE_HOME=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    first, second = done.stderr.splitlines()
    assert first == (
        "error: something unexpected happened: ValueError: odd *** thing http://me:***@h/x"
    )
    file = Path(re.search(r"the traceback is in (\S+);", second)[1])
    text = file.read_text()
    assert "Traceback (most recent call last)" in text
    assert f"mlops-install {mlops_install.__version__}" in text
    assert "paramiko " in text
    assert "hush-me" not in text
    assert "word@" not in text
    assert file.stat().st_mode & 0o777 == 0o600


def test_without_a_home_the_file_goes_elsewhere(tmp_path):
    (tmp_path / "file").write_text("")
    done = run("raise KeyError(1)", XDG_STATE_HOME=str(tmp_path / "file"), TMPDIR=str(tmp_path))
    assert str(tmp_path) in done.stderr
    assert list(tmp_path.glob("mlops-install-error-*"))


@pytest.mark.parametrize("work", ["print('x' * 100); return 0", "return print('x') or 2"])
def test_a_full_disk_behind_stdout_is_one_message(work):
    with open("/dev/full", "w") as full:
        done = run(work, stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith("error: cannot write the output: No space left on device\nfix:")
    assert len(done.stderr.splitlines()) == 2


def test_a_reader_that_went_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as gone:
        done = run("print('x' * 100000); return 0", stdout=gone)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ("verify", "nothing was changed"),
        ("plan root@x", "nothing was changed"),
        ("backup root@x", "the server finishes the backup by itself"),
        ("-F x restore a.tar", "a restore that has begun goes on"),
        ("apply", "run the same command again"),
        ("", "run the same command again"),
        ("sync", "the server finishes the pull by itself"),
    ],
)
def test_ctrl_c_is_130_and_tells_the_truth(argv, says):
    done = run("raise KeyboardInterrupt", argv=argv)
    assert done.returncode == 130
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def heard() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored where the tests run in the background


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.1, 0.3, 0.6])
def test_ctrl_c_during_the_imports(tmp_path, seconds):
    # A server that never says a word: an address of nobody may be refused at once.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = tmp_path / "ssh_config"
        config.write_text(f"Host x\nHostname 127.0.0.1\nPort {silent.getsockname()[1]}\n")
        _interrupted([*PROGRAM, "plan", "-F", str(config), "root@x"], tmp_path, seconds)


def _interrupted(command: list[str], folder: Path, seconds: float) -> None:
    process = subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, preexec_fn=heard)  # fmt: skip
    # The interpreter itself must have begun to run our code.
    maps = Path(f"/proc/{process.pid}/cmdline")
    while b"mlops_install" not in maps.read_bytes():
        time.sleep(0.001)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    if 'File "<frozen runpy>' in errors or not errors:
        pytest.skip("it came before a line of ours had run")
    assert process.returncode == 130, errors
    assert "Traceback" not in errors


def test_verify_does_not_take_ctrl_c_for_failed_checks(monkeypatch):
    from mlops_install import verification

    monkeypatch.setattr(verification.pytest, "main", lambda *a, **b: pytest.ExitCode.INTERRUPTED)
    with pytest.raises(KeyboardInterrupt):
        verification.run(None, None, print)  # type: ignore[arg-type]


def test_answers_of_failed_checks_have_words():
    from mlops_install.verification import Answer

    answer = Answer(None, 3, b"cat /x", "", "no such file\nat all")
    assert repr(answer) == "`cat /x` (exit code 3): no such file at all"
    assert f"{answer}" == repr(answer)


# --- words of the server ------------------------------------------------------------------


def test_an_error_of_the_server_has_one_fix():
    text = "mlops: it failed\nfirst\nfix: do `mlops backup list`\n"
    found = said.problem(Result("", text, 1), "otherwise")
    assert (found.message, found.detail) == ("it failed", "first")
    assert found.fix == "do `mlops-install backups`"


def test_an_error_without_words_has_a_name_and_the_last_lines():
    lines = "\n".join(str(n) for n in range(50))
    found = said.problem(Result(lines, "", 9), "backup failed")
    assert found.message == "backup failed"
    assert found.detail.splitlines() == [str(n) for n in range(30, 50)]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_any_answer_becomes_an_error(stdout, stderr):
    assert said.problem(Result(stdout, stderr, 1), "x").message is not None


def test_every_command_that_the_server_names_has_one_here():
    code = "".join(p.read_text() for p in (ROOT / "installer/mlops_server").rglob("*.py"))
    fixes = re.findall(r"fix=f?\"[^\"]*`(mlops (?:env|workflows|backup) [^`]+)`", code)
    assert len(fixes) > 5
    for words in fixes:
        assert said.here(f"`{words}`") != f"`{words}`", words


# --- usage errors -------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["aply"], ["plan", "--nope"], ["env"], ["env", "nope"]])
def test_wrong_words_are_exit_code_1_everywhere(words):
    done = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("error: ")


def test_the_docs_name_that_code():
    text = (ROOT / "docs/cli.md").read_text()
    assert "| 1 | error: one message" in text
    assert "a command or option that does not exist" in text.split("| 1 |")[1].split("\n")[0]
