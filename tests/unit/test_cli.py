"""The command line: quick help that tells everything, and one clear message for mistakes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mlops_install
import pytest
from mlops_install import cli
from speed import command, in_turn
from typer.main import get_command

PACKAGE = Path(mlops_install.__file__).parent
HELP, PAGES = (PACKAGE / "help.txt").read_text(), PACKAGE / "help"


def run(*words: str, **more) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlops_install", *words]
    return subprocess.run(command, capture_output=True, text=True, **more)


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("help",)])
def test_help_is_the_file(words):
    answer = run(*words)
    assert (answer.returncode, answer.stdout) == (0, HELP)


def test_help_names_every_command_and_option():
    commands = get_command(cli.app).commands
    for name, found in commands.items():
        assert f"  {name} " in HELP, name
        for option in (o for p in found.params for o in p.opts if o.startswith("--")):
            assert option in HELP, f"{name} {option}"
    for name in commands["box"].commands:
        assert name in HELP.split("box COMMAND")[1].split("\n\n")[0], f"box {name}"


@pytest.mark.parametrize("page", sorted(p.stem for p in PAGES.glob("*.txt")))
def test_every_command_s_help_is_its_page(page):
    words, text = page.split("."), (PAGES / f"{page}.txt").read_text()
    assert text.startswith(f"Usage: mlops-install {' '.join(words)} ")
    for spelling in ((*words, "--help"), (*words, "-h"), ("help", *words)):
        answer = run(*spelling)
        assert (answer.returncode, answer.stdout) == (0, text), spelling


def test_the_pages_are_what_typer_prints():
    code = "from mlops_install.cli import run; run(['apply', 'box', '--help'])"
    env = os.environ | {"COLUMNS": "80"}
    words = [sys.executable, "-c", code]
    answer = subprocess.run(words, capture_output=True, text=True, env=env, check=True)
    page = (PAGES / "apply.txt").read_text()
    assert answer.stdout.partition("\n")[2] == page.partition("\n")[2]


@pytest.mark.parametrize("words", [("apply", "box", "-h"), ("--json", "plan", "--help")])
def test_help_among_other_words_is_help(words):
    answer = run(*words)
    assert answer.returncode == 0
    assert answer.stdout.startswith("Usage: ")


@pytest.mark.parametrize("words", [("help", "aply"), ("box-up", "--help"), ("../help", "-h")])
def test_help_of_what_is_no_command_is_a_mistake(words):
    answer = run(*words)
    assert answer.returncode == 1
    assert "No such command" in answer.stderr


@pytest.mark.parametrize(
    ("words", "says", "fix"),
    [
        (("--bad",), "No such option: --bad", "see `mlops-install --help`"),
        (("restore",), "Missing argument 'archive'", "see `mlops-install restore --help`"),
        (("env", "show"), "Missing argument 'model'", "see `mlops-install env show --help`"),
        (("root@ml",), "No such command 'root@ml'", "`mlops-install apply root@ml`?"),
        (("box",), "no command is named", "see `mlops-install box --help`"),
    ],
)
def test_a_mistake_in_the_words_leads_to_the_help_of_the_command(words, says, fix):
    answer = run(*words)
    assert answer.returncode == 1
    lines = answer.stderr.splitlines()
    assert (lines[0], lines[-1]) == (f"error: {says}", f"fix:   {fix}")


def test_a_command_that_runs_another_one_leaves_it_its_h(tmp_path):
    answer = run("box", "ssh", "no-such-box", "df", "-h")
    assert answer.returncode == 1
    assert "no-such-box" in answer.stderr


def test_help_takes_at_most_five_times_as_long_as_python_itself():
    script = Path(sys.executable).parent / "mlops-install"
    helps = [command(script, *page.stem.split("."), "--help") for page in PAGES.glob("*.txt")]
    python, *others = in_turn(5, command(sys.executable, "-c", "pass"), *helps)
    yardstick = min(took.cpu for took in python)
    assert max(min(took.cpu for took in other) for other in others) <= 5 * yardstick


# What takes long to load; help needs none of it. YAML comes with fabric.
HEAVY = {"conda_lock", "cryptography", "fabric", "invoke", "jinja2", "paramiko", "pydantic",
         "pytest", "rattler", "rich", "testinfra", "typer", "yaml"}  # fmt: skip
LOADED = """
import sys
{code}
print("|", *{{name.partition(".")[0] for name in sys.modules}})
"""


def loaded(code: str, cwd: Path) -> set[str]:
    words = [sys.executable, "-c", LOADED.format(code=code)]
    answer = subprocess.run(words, capture_output=True, text=True, cwd=cwd, check=True)
    return HEAVY & set(answer.stdout.rpartition("|")[2].split())


def test_help_loads_no_library(tmp_path):
    code = "from mlops_install.__main__ import main; sys.argv = ['', 'box', 'up', '-h']; main()"
    assert loaded(code, tmp_path) == set()


def test_before_the_login_only_what_it_needs_is_loaded(tmp_path):
    code = """
from mlops_install import cli, reaching
def begin(self): raise SystemExit
reaching.Login._begin = begin
options = cli.begun(reaching.Options("root@nowhere.invalid"))
"""
    assert loaded(code, tmp_path) == {
        "cryptography", "fabric", "invoke", "paramiko", "pydantic", "typer", "yaml"
    }  # fmt: skip


def test_before_the_server_is_asked_neither_rich_nor_tests_are_loaded(tmp_path):
    code = "from mlops_install import cli, reaching, actions, sshlogin"
    assert loaded(code, tmp_path) == {
        "cryptography", "fabric", "invoke", "jinja2", "paramiko", "pydantic", "typer", "yaml"
    }  # fmt: skip


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
