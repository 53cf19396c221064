"""The command line: quick help that tells everything, and one clear message for mistakes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import mlops_install
import pytest
from mlops_install import cli
from typer.main import get_command

HELP = (Path(mlops_install.__file__).parent / "help.txt").read_text()


def run(*words: str, **more) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlops_install", *words]
    return subprocess.run(command, capture_output=True, text=True, **more)


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("help",)])
def test_help_is_the_file(words):
    answer = run(*words)
    assert (answer.returncode, answer.stdout) == (0, HELP)


def test_help_names_every_command_and_option():
    commands = get_command(cli.app).commands
    for name, command in commands.items():
        assert f"  {name} " in HELP, name
        for option in (o for p in command.params for o in p.opts if o.startswith("--")):
            assert option in HELP, f"{name} {option}"
    for name in commands["box"].commands:
        assert name in HELP.split("box COMMAND")[1].split("\n\n")[0], f"box {name}"


def test_help_takes_at_most_five_times_as_long_as_python_itself():
    def best(command):
        times = []
        for _ in range(7):
            start = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            times.append(time.perf_counter() - start)
        return min(times)

    script = Path(sys.executable).parent / "mlops-install"
    assert best([script, "--help"]) <= 5 * best([sys.executable, "-c", "pass"])


def test_version():
    assert run("--version").stdout == f"mlops-install {mlops_install.__version__}\n"


def test_init_writes_once(tmp_path):
    assert run("init", cwd=tmp_path).returncode == 0
    assert "[airflow]" in (tmp_path / "mlops.toml").read_text()
    again = run("init", cwd=tmp_path)
    assert again.returncode == 1
    assert again.stderr.startswith("error: cannot write mlops.toml")
    assert "fix:" in again.stderr


def test_without_a_server_it_says_how_to_name_one(tmp_path):
    answer = run(cwd=tmp_path)
    assert answer.returncode == 1
    assert "no server is named" in answer.stderr
    assert "mlops-install apply user@host" in answer.stderr


def test_a_wrong_config_changes_nothing_and_shows_no_traceback(tmp_path):
    (tmp_path / "mlops.toml").write_text("[airflow]\nschedulers = 0\n")
    answer = run("apply", "nowhere.invalid", "--yes", cwd=tmp_path)
    assert answer.returncode == 1
    assert "mlops.toml:2: [airflow] schedulers" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_name_that_does_not_resolve(tmp_path):
    answer = run("plan", "root@nowhere.invalid", cwd=tmp_path)
    assert answer.returncode == 1
    assert "cannot reach nowhere.invalid:22: the name does not resolve" in answer.stderr


def test_an_unknown_command_suggests_one():
    answer = run("aply")
    assert answer.returncode == 1
    assert "apply" in answer.stderr


def test_a_server_in_the_place_of_a_command():
    answer = run("root@ml.example.org")
    assert answer.returncode == 1
    assert "`mlops-install apply root@ml.example.org`?" in answer.stderr


def test_an_unknown_option_is_no_drift():
    answer = run("plan", "--nope")
    assert answer.returncode == 1
    assert "--nope" in answer.stderr


@pytest.mark.parametrize("command", ["apply", "plan", "verify", "status"])
def test_options_count_before_the_command_too(command, tmp_path):
    answer = run("-c", f"{tmp_path}/no.toml", command, "root@nowhere.invalid")
    assert answer.returncode == 1
    assert f"cannot read {tmp_path}/no.toml" in answer.stderr


@pytest.mark.parametrize("command", ["apply", "plan", "verify", "status", "init", "box"])
def test_every_command_has_help(command):
    answer = run(command, "--help")
    assert answer.returncode == 0
    assert "Usage" in answer.stdout


def test_no_colours_in_a_pipe(tmp_path):
    assert "\x1b" not in run(cwd=tmp_path).stderr


def test_errors_leave_stdout_to_data(tmp_path):
    answer = run("plan", "--json", "root@nowhere.invalid", cwd=tmp_path)
    assert answer.stdout == ""
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.stdout)
