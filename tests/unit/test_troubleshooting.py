"""docs/how-to/troubleshooting.md has what the product says, and nothing else."""

import re
from functools import cache

import pytest
from mlops_install import cli, config, facts, names, preflight, sshconfig
from mlops_install.errors import MlopsError
from mlops_server.backup import header
from mlops_server.cli import _parser
from mlops_server.errors import EnvError
from mlops_server.models import environment, variables
from mlops_server.workflows import gate, remote
from mlops_server.workflows.known import Known
from samples import FACTS
from scripted import script

troubleshooting = script("docs-troubleshooting")
Said = type(troubleshooting.found()[0])


@cache
def rows() -> dict[str, str]:
    """The texts on the page -> what to do."""
    return {text: row.helps for _, found in troubleshooting.areas() for text, row in found.items()}


def test_the_page_is_current():
    assert troubleshooting.PAGE.read_text() == troubleshooting.page(), (
        "run: scripts/docs-troubleshooting"
    )


def test_every_error_has_something_to_do_and_all_advice_is_for_an_error():
    assert list(troubleshooting.problems()) == []


# --- what writers meet --------------------------------------------------------------------


@pytest.fixture
def code(monkeypatch):
    """Put more errors into the code."""

    def put(*more):
        every = (*troubleshooting.found(), *more)
        monkeypatch.setattr(troubleshooting, "found", lambda: every)
        return list(troubleshooting.problems())

    return put


def test_a_new_error_without_a_fix_is_told(code):
    new = Said("the moon is full", (), "mlops_install/engine.py:carry_out", 1)
    assert code(new) == ["no fix and no advice: the moon is full"]


def test_a_new_error_with_a_fix_needs_nothing_else(code):
    assert code(Said("the moon is full", ("wait",), "mlops_install/engine.py:carry_out", 1)) == []


def test_an_error_in_a_file_of_no_area_is_told(code):
    new = Said("the moon is full", ("wait",), "mlops_install/moon.py:look", 1)
    assert code(new) == ["mlops_install/moon.py:look is in 0 areas: []"]


def test_an_error_of_which_the_code_tells_no_word_is_told(code):
    new = Said("⟨MESSAGE⟩: ⟨FIX⟩", ("wait",), "mlops_install/engine.py:carry_out", 7)
    assert code(new) == ["mlops_install/engine.py:carry_out, line 7: no text can be read there"]


@pytest.mark.parametrize(
    ("part", "key", "says"),
    [
        ("advice", "the sun is full", "it is gone: the sun is full"),
        ("passes_on", "mlops_install/sun.py:look", "it is gone: mlops_install/sun.py:look"),
        ("checks", "sun: it shines", "no such check: sun: it shines"),
    ],
)
def test_advice_for_what_is_gone_is_told(monkeypatch, part, key, says):
    given = troubleshooting.given()
    more = given | {part: given[part] | {key: "wait"}}
    monkeypatch.setattr(troubleshooting, "given", lambda: more)
    assert list(troubleshooting.problems()) == [says]


def test_a_check_without_advice_is_told(monkeypatch):
    given = troubleshooting.given()
    less = {name: text for name, text in given["checks"].items() if name != "postgres: it runs"}
    monkeypatch.setattr(troubleshooting, "given", lambda: given | {"checks": less})
    assert list(troubleshooting.problems()) == ["no advice for the check: postgres: it runs"]


# --- what is said is on the page ----------------------------------------------------------


def pattern(text: str) -> str:
    """A text of the page as a regular expression: a word in capitals stands for anything."""
    return ".+".join(re.escape(part) for part in re.split(r"\b[A-Z][A-Z_]+\b", text))


def on_the_page(message: str) -> list[str]:
    return [text for text in rows() if re.search(pattern(text), message, re.DOTALL)]


def parsed(text: str) -> None:
    config.parse(text, "mlops.toml")


def served(said: str) -> None:
    raise remote.explain(said, "ssh://git.example.org/x")


def checked(answers: str) -> None:
    preflight.check(config.Config(), facts.parse(FACTS + answers))


def environment_yml(text: str) -> None:
    environment.parse(text.encode(), "models/churn/environment.yml")


@pytest.mark.parametrize(
    ("work", "given"),
    [
        (names.require, "a b"),
        (parsed, "[base"),
        (parsed, "[base]\nx = 1"),
        (parsed, "[airflow]\nschedulers = 0"),
        (parsed, "[proxy]\nhttps_port = 80"),
        (parsed, '[base]\ntimezone = "Europa/Paris"'),
        (parsed, '[workflows]\nrepository = "git@git.example.org:x"'),
        (parsed, '[backup]\nevery = "bla"'),
        (sshconfig.target, "host:x"),
        (served, "Permission denied (publickey)"),
        (served, "Host key verification failed"),
        (served, "error: bad tree fsck error in object " + 40 * "a"),
        (served, "Connection refused"),
        (served, "something else"),
        (checked, "os_version=11\n"),
        (checked, "memory_mb=900\n"),
        (environment_yml, "channels: [defaults]\ndependencies: [a]"),
        (environment_yml, "channels: [x]\ndependencies: []"),
        (environment_yml, "a: [1"),
        (environment_yml, "channels: [x]\ndependencies: [__cuda]"),
        (lambda words: _parser().parse_args(words), ["env", "list", "--x"]),
        (lambda words: _parser().parse_args(words), ["env", "show"]),
    ],
)
def test_an_error_that_is_raised_is_on_the_page(work, given):
    with pytest.raises((MlopsError, EnvError)) as raised:
        work(given)
    assert on_the_page(raised.value.message), raised.value.message


@pytest.mark.parametrize("words", [["--bad"], ["foo"], ["restore"], ["apply", "a", "b"], ["box"]])
def test_a_mistake_in_the_words_is_on_the_page(capsys, words):
    assert cli.run(words) == 1
    message = capsys.readouterr().err.removeprefix("error: ").splitlines()[0]
    assert on_the_page(message), message


def test_a_reason_of_the_gate_is_on_the_page():
    task = {"env": "churn", "pool": "gpu", "slots": 1, "connections": {"conn_id": "sap"}}
    said = gate.judge("DAG a, task b", task, Known({}, set()), {})
    assert len(said) == 3
    assert all(on_the_page(reason) for reason in said)


def test_a_wrong_variable_is_on_the_page(tmp_path):
    with pytest.raises(EnvError) as raised:
        variables.judge(b"variables: [A]", "environment.yml")
    assert on_the_page(raised.value.message)


def test_an_archive_that_is_none_is_on_the_page(tmp_path):
    (tmp_path / "x").write_bytes(b"\x1f\x8b" + bytes(100))
    with pytest.raises(EnvError) as raised:
        header.prove(tmp_path / "x")
    assert on_the_page(raised.value.message)


@pytest.mark.parametrize(
    "text",
    [
        "gave up after TIMEOUT s: apt is locked",  # a script of the engine
        "UNIT did not answer within PATIENCE s",  # a script of its own
        "nginx does not serve the new site or certificate",  # a unit
        "the role ROLE is not ours: run the same command again, which says what to do",  # SQL
        "the smoke test failed: import BEGUN fails",  # by one of two classes
        "apt takes a hyphen at the end as an order to remove",  # by who judges a setting
        "port PORT is one that no browser opens, whoever listens there",  # by a whole table
        "models/NAME: environment.yml was changed after conda-lock.yml was made",  # by a function
        "something unexpected happened: TEXT",  # the last resort
        "to be tried again: REASON",  # a DAG that is a template
    ],
)
def test_errors_of_every_kind_are_found(text):
    assert rows()[text]


def test_errors_that_one_function_makes_keep_their_own_fix():
    fix = "have it renewed, and set [proxy] certificate to the new file"
    assert rows()["SUBJECT expired on DATE"] == fix
