"""Commands and settings that messages, fixes and docs name exist, with the options named."""

import contextlib
import io
import re
import shlex
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from mlops_install import cli, said
from mlops_install.settings import sections
from mlops_server.cli import _parser
from scripted import script
from typer.main import get_command

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
troubleshooting = script("docs-troubleshooting")
COMMAND = re.compile(
    r"(?:\w+=\S+ )*(?:sudo |ssh \S+ )*(?:\S*/)?(mlops-install|mlops|airflow)(?= |$)(.*)", re.DOTALL
)
PLACE = re.compile(r"[A-Z_]{2,}")
"""A word for a name, or for a number."""
RECORDED = Path(__file__).parent / "recorded/airflow-3.3.2-commands.txt"


# --- what is there to parse with ----------------------------------------------------------


def laptop(words: list[str]) -> None:
    """Parse as mlops-install does, and run nothing. Raises what typer raises."""
    asked = [*words[1:], "--help"] if words[:1] == ["help"] else words  # as __main__ does
    with contextlib.redirect_stdout(io.StringIO()):
        _commands().main(asked, "mlops-install", standalone_mode=False)


@cache
def _parsed() -> object:
    return _parser()


@cache
def _commands() -> object:
    """The command line of the laptop, each command of which does nothing."""
    command = get_command(cli.app)
    _still(command)
    return command


def _still(command: object) -> None:
    command.callback = lambda *_, **__: None  # type: ignore[attr-defined]
    for inner in getattr(command, "commands", {}).values():
        _still(inner)


def server(words: list[str]) -> None:
    """Parse as the server's mlops does. Raises `EnvError`."""
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()):  # --help
        _parsed().parse_args(words)


def airflow(words: list[str]) -> None:
    """Look the command up among those of the Airflow that is installed."""
    known = {}
    for line in RECORDED.read_text().splitlines():
        names = [word for word in line.split() if not word.startswith("--")]
        known[tuple(names)] = set(line.split()) | {"--help"}
    if not words or words[0] not in {names[0] for names in known}:
        return  # a sentence about the user or the database
    found = next((names for names in known if tuple(words[: len(names)]) == names), None)
    assert found is not None, f"there is no such command: {words}"
    assert {word for word in words if word.startswith("--")} <= known[found]


PARSERS: dict[str, Callable[[list[str]], None]] = {
    "mlops-install": laptop,
    "mlops": server,
    "airflow": airflow,
}


def wrong(text: str) -> str:
    """What is wrong with a command; empty for nothing, and for what is no command of ours."""
    found = COMMAND.match(" ".join(text.split()))
    for reading in _readings(found[2]) if found else ():
        try:
            PARSERS[found[1]](list(_words(reading)))
        except Exception as error:
            tell = getattr(error, "format_message", error.__str__)
            return f"{text}: {tell()}"
    return ""


def _readings(text: str) -> Iterator[str]:
    """Each of the commands that `env show|list` stands for."""
    several = re.search(r"[\w-]+(?:\|[\w-]+)+", text)
    for one in several[0].split("|") if several else ():
        yield from _readings(text.replace(several[0], one))
    if not several:
        yield text


def _words(text: str) -> Iterator[str]:
    """The words of a command, to the next operator or comment of the shell."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    for word in lexer:
        if set(word) <= set("();<>|&"):
            return
        if word not in ("…", "...", "COMMAND"):
            yield "1" if PLACE.fullmatch(word) else word


def names(text: str) -> bool:
    """Whether a text only names a command, as `mlops service deploy`, and does not say how."""
    found = COMMAND.match(text)
    words = found[2].split() if found else ["--"]
    tree: object = _commands() if found and found[1] == "mlops-install" else _parsed()
    for word in words:
        tree = _below(tree).get(word)
        if tree is None:
            return False
    return True


def _below(tree: object) -> dict[str, object]:
    if hasattr(tree, "commands"):
        return tree.commands
    subs = getattr(getattr(tree, "_subparsers", None), "_group_actions", ())
    return {name: parser for sub in subs for name, parser in sub.choices.items()}


def quoted(text: str) -> Iterator[str]:
    """What stands between back-quotes."""
    yield from re.findall(r"(?<!`)`([^`]+)`(?!`)", text)


@pytest.mark.parametrize(
    "text",
    [
        "mlops-install apply HOST --yess",
        "mlops-install backups --fetch",
        "mlops-install restore",
        "mlops-install destroy",
        "mlops-install rollback workflows a b c",
        "sudo mlops backup lst",
        "mlops env build NAME",
        "ssh ml.example.org sudo mlops service deploy NAME --folder x",
        "airflow dags lst",
        "airflow db clean --all",
    ],
)
def test_a_command_that_does_not_parse_is_seen(text):
    assert wrong(text)


@pytest.mark.parametrize(
    "text",
    [
        "mlops-install apply user@host",
        "mlops-install restore ARCHIVE HOST --drain SECONDS",
        "mlops-install status > status.json",
        "mlops-install apply --help",
        "mlops-install help apply",
        "mlops backup create|list|check",
        "mlops-install backups --json | jq .",
        "mlops-install env run NAME -- python -c 'import x; x.y'",
        ".venv/bin/mlops-install box list",
        "mlops env build NAME LOCK",
        "mlops env clean --keep NUMBER",
        "airflow config update --fix",
        "systemctl restart nginx",
        "mlops_pull",
    ],
)
def test_a_command_that_parses_is_not(text):
    assert not wrong(text)


# --- messages and fixes -------------------------------------------------------------------


@cache
def messages() -> list[str]:
    """Everything that the product says when something is wrong."""
    found = [text for one in troubleshooting.found() for text in (one.text, *one.fixes)]
    return sorted({troubleshooting.shown(text) for text in found})


def test_commands_in_messages_and_fixes_parse():
    spans = [span for text in messages() for span in quoted(text)]
    assert len([span for span in spans if COMMAND.match(span)]) > 60
    assert [problem for span in spans if (problem := wrong(span))] == []


def test_commands_of_the_server_parse_when_they_are_told_on_the_laptop():
    spans = [span for text in messages() for span in quoted(said.here(text))]
    assert [problem for span in spans if (problem := wrong(span))] == []


def test_every_command_of_the_server_is_translated():
    theirs = {
        span
        for text in messages()
        for span in quoted(said.here(text))
        if (found := COMMAND.match(span)) and found[1] == "mlops" and not span.startswith("ssh ")
    }
    assert theirs == set()


def test_advice_names_commands_that_parse():
    spans = list(quoted(troubleshooting.ADVICE.read_text()))
    assert [p for span in spans if not names(span) and (p := wrong(span))] == []


# --- docs ---------------------------------------------------------------------------------


def commands(page: Path) -> Iterator[str]:
    """The commands of a page: between back-quotes, and the lines of blocks of shell."""
    text = page.read_text()
    for block in re.findall(r"^```(?:sh|console|bash)\n(.*?)^```", text, re.M | re.S):
        yield from re.sub(r"\\\n\s*", "", block).splitlines()
    yield from quoted(re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_in_docs_parse(page):
    spans = [span.removeprefix("$ ") for span in commands(page)]
    assert [p for span in spans if not names(span) and (p := wrong(span))] == []


# --- settings and units -------------------------------------------------------------------


SETTINGS = {name: set(model.model_fields) for name, model in sections()}
FREE = ("pools", "variables", "connections")
"""Tables of which the user chooses the names."""
AFTER = re.compile(r"\[([a-z]+)\] ([a-z0-9_]+)(?: and ([a-z0-9_]+_[a-z0-9_]+))?")
BEFORE = re.compile(r"([a-z0-9_]+)(?: = [^ `]+)?`? in \[([a-z]+)\](?! \w*_)")
PLAIN = {"and", "in", "it", "of", "or", "that", "then", "to", "with"}
"""Words that stand beside a table without being a setting."""


def unknown(text: str) -> Iterator[str]:
    """The tables and settings that a text names, and that the config has not."""
    pairs = [(table, name) for table, *names in AFTER.findall(text) for name in names if name]
    pairs += [(table, name) for name, table in BEFORE.findall(text)]
    for table, name in pairs:
        if table not in SETTINGS:
            yield f"[{table}]"
        elif table not in FREE and name not in SETTINGS[table] | PLAIN:
            yield f"[{table}] {name}"


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("set [proxi] certificate", ["[proxi]"]),
        ("set [proxy] certifikate to it", ["[proxy] certifikate"]),
        ("set [models] channel_user and channel_pasword", ["[models] channel_pasword"]),
        ("set `servername = x` in [proxy]", ["[proxy] servername"]),
        ("raise apt_timeout in [base]", ["[base] apt_timeout"]),
        ("set [server] host, or correct [backup] in mlops.toml; gpu in [pools]", []),
    ],
)
def test_a_setting_that_is_not_there_is_seen(text, names):
    assert list(unknown(text)) == names


def test_settings_in_messages_fixes_and_advice_exist():
    texts = [*messages(), *quoted(troubleshooting.ADVICE.read_text())]
    assert [name for text in texts for name in unknown(text)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_settings_in_docs_exist(page):
    spans = [span for span in quoted(page.read_text()) if AFTER.fullmatch(span)]
    assert [name for span in spans for name in unknown(span)] == []


UNIT = re.compile(
    r"(?:journalctl -u|systemctl (?:start|stop|restart|status|list-dependencies|list-units))"
    r" '?([a-z0-9.-]+)(?:@[^\s']*)?'?$"
)
OTHERS = {"airflow.target", "nginx", "postgresql"}


def test_units_in_messages_fixes_and_advice_exist():
    listed = (ROOT / "docs/what-it-does.md").read_text()
    texts = [*messages(), troubleshooting.ADVICE.read_text()]
    spans = [found[1] for text in texts for span in quoted(text) if (found := UNIT.match(span))]
    assert len(spans) > 10
    names = {name.removesuffix(".service").removesuffix(".timer") for name in spans}
    assert [n for n in names - OTHERS if n not in listed] == []
