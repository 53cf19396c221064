"""Variables from the config: what reaches the server, and what is refused."""

import json
import tomllib

import pytest
from mlops_install.errors import ConfigError
from mlops_install.settings import Config
from mlops_install.variables import Variables, document
from pydantic import ValidationError


def read(text: str) -> Variables:
    return Variables.model_validate(tomllib.loads(text))


def made(text: str) -> dict:
    return json.loads(document(read(text)).get_secret_value())


def test_every_value_is_the_text_that_variable_get_returns(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "t0ken")
    (tmp_path / "key").write_text("k\n")
    found = made(f"""
        region = "north"
        number = "1"
        threshold = 0.8
        most = 7
        strict = true
        sites = ["a", "b"]
        one = ["a"]
        "Odd.name-1" = ""
        token = {{ env = "TOKEN" }}
        key = {{ file = "{tmp_path}/key" }}
    """)
    assert found == {
        "region": "north", "number": "1", "threshold": "0.8", "most": "7", "strict": "true",
        "sites": '["a", "b"]', "one": '["a"]', "Odd.name-1": "", "token": "t0ken", "key": "k",
    }  # fmt: skip


def test_no_variable_is_an_empty_file():
    assert document(Config().variables).get_secret_value() == "{}\n"


def test_no_secret_is_in_what_is_printed(monkeypatch):
    monkeypatch.setenv("P", "hush-hush")
    variables = read('a = { env = "P" }\n')
    assert "hush" not in repr(variables) + repr(document(variables)) + str(variables)


def test_a_secret_that_is_not_there_is_named(monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(ConfigError, match="NOT_SET"):
        made('a = { env = "NOT_SET" }\n')


@pytest.mark.parametrize(
    "text", ['"a b" = 1', '"" = 1', "a = { value = 1 }", "a = 2026-01-01", '"a/b" = 1']
)
def test_what_is_wrong_is_refused(text):
    with pytest.raises(ValidationError):
        read(text)
