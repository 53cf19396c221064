"""What our programs print is text: words of others in it play no tricks with a terminal."""

import pytest
from mlops_server import cli, output
from mlops_server.errors import EnvError
from mlops_server.layout import Layout

TRICK = "a\tb\x1b]0;evil\x07\x9b2J\u202e\nä"
SAFE = "a       b?]0;evil??2J?\nä"


def test_lines_are_said_without_tricks(capsys):
    output.say(TRICK)
    assert capsys.readouterr().out == f"{SAFE}\n"


def test_errors_are_said_without_tricks(capsys, monkeypatch, tmp_path):
    def broken(*_):
        raise EnvError(TRICK, fix="look", detail="\x1b[2J")

    monkeypatch.setattr(cli, "_list", broken)
    assert cli.main(["env", "list"], Layout(tmp_path)) == 1
    said = capsys.readouterr().err
    assert "b?]0;evil??2J?\nä\n?[2J" in said


@pytest.mark.parametrize("text", ["", "one", "one\n", "\n\n"])
def test_nothing_else_changes(text):
    assert output.printable(text) == text
