"""Connections from the config: what reaches the server, and what never leaves unencrypted."""

import json
import tomllib
from urllib.parse import parse_qs, unquote, urlsplit

import authority
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlops_install.connections import Connections, document, hana_url
from mlops_install.errors import ConfigError
from pydantic import ValidationError

PEM = authority.make("a root of ours").pem


def read(text: str) -> Connections:
    return Connections.model_validate(tomllib.loads(text))


def made(text: str) -> dict:
    return json.loads(document(read(text)).get_secret_value())


def test_secrets_come_from_files_and_variables(tmp_path, monkeypatch):
    monkeypatch.setenv("SALES_PASSWORD", "p@ss")
    (tmp_path / "key").write_text("k\n")
    found = made(f"""
        [sales]
        type = "postgres"
        host = "db.example.org"
        port = 5432
        login = "forecasts"
        password = {{ env = "SALES_PASSWORD" }}
        schema = "sales"
        extra = {{ connect_timeout = 10 }}
        [store]
        type = "aws"
        secret_extra = {{ key = {{ file = "{tmp_path}/key" }} }}
    """)
    assert found["sales"] == {
        "conn_type": "postgres",
        "host": "db.example.org",
        "port": 5432,
        "login": "forecasts",
        "password": "p@ss",
        "schema": "sales",
        "extra": {
            "connect_timeout": 10,
            "sslmode": "verify-full",
            "sslrootcert": "/etc/ssl/certs/ca-certificates.crt",
        },
    }
    assert found["store"] == {"conn_type": "aws", "extra": {"key": "k"}}


def test_no_secret_is_in_what_is_printed(monkeypatch):
    monkeypatch.setenv("P", "hush-hush")
    connections = read('[a]\ntype = "http"\npassword = { env = "P" }\n')
    assert "hush" not in repr(connections) + repr(document(connections)) + str(connections)


def test_hana_is_encrypted_and_trusts_the_given_authorities(tmp_path):
    (tmp_path / "ca.pem").write_text(PEM)
    found = made(f'[erp]\ntype = "hana"\nhost = "h"\ntrust = "{tmp_path}/ca.pem"\n')
    assert found["erp"]["extra"] == {
        "encrypt": "true",
        "sslValidateCertificate": "true",
        "sslTrustStore": PEM,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('type = "hana"\nhost = "h"\nencrypted = false', "in the clear"),
        ('type = "postgres"\nhost = "h"\nencrypted = false', "in the clear"),
        ('type = "hana"\nhost = "h"\nextra = { sslValidateCertificate = "false" }', "by `encr"),
        ('type = "hana"\nhost = "h"\nextra = { encrypt = false }', "by `encrypted`"),
        ('type = "postgres"\nhost = "h"\nextra = { sslmode = "disable" }', "by `encrypted`"),
        ('type = "http"\nextra = {a = 1}\nsecret_extra = {a = {env = "A"}}', "in extra and in"),
        ('type = "http"\ntrust = "x"', "trust is only for the types"),
        ('type = "http"\npassword = "plain"', "password"),
        ('type = "http"\nport = 0', "port"),
        ('type = "http"\npasword = 1', "pasword"),
        ('host = "h"', "type"),
    ],
)
def test_what_is_unsafe_or_wrong_is_refused(text, message):
    with pytest.raises(ValidationError, match=message):
        read(f"[a]\n{text}\n")


@pytest.mark.parametrize("name", ["A", "a b", "1", "a.b", "a/b"])
def test_bad_names_are_refused(name):
    with pytest.raises(ValidationError, match="a connection's name"):
        read(f'["{name}"]\ntype = "http"\n')


def test_a_socket_of_this_machine_needs_no_encryption():
    text = '[a]\ntype = "postgres"\nhost = "/run/postgresql"\nencrypted = false\n'
    assert made(text)["a"] == {"conn_type": "postgres", "host": "/run/postgresql"}


@pytest.mark.parametrize(("text", "message"), [("no pem", "is not a PEM file"), (None, "trust")])
def test_a_wrong_file_of_authorities_is_named(tmp_path, text, message):
    if text:
        (tmp_path / "ca.pem").write_text(text)
    with pytest.raises(ConfigError, match=message):
        made(f'[erp]\ntype = "hana"\nhost = "h"\ntrust = "{tmp_path}/ca.pem"\n')


@given(st.text(min_size=1), st.text(), st.text())
def test_any_password_survives_in_the_url(user, password, database):
    found = urlsplit(hana_url("hana.example.org", 443, user, password, database))
    assert (unquote(found.username or ""), unquote(found.password or "")) == (user, password)
    assert unquote(found.path[1:]) == database
    assert (found.scheme, found.hostname, found.port) == ("hana", "hana.example.org", 443)


def test_the_url_of_hana_is_encrypted():
    url = hana_url("::1", 30013, "u", "p", "HXE", sslTrustStore=PEM, sslHostNameInCertificate="h")
    assert urlsplit(url).hostname == "::1"
    assert parse_qs(urlsplit(url).query) == {
        "encrypt": ["true"],
        "sslValidateCertificate": ["true"],
        "sslTrustStore": [PEM],
        "sslHostNameInCertificate": ["h"],
    }
    for name in ("encrypt", "sslValidateCertificate"):
        with pytest.raises(ValueError, match="cannot be switched off"):
            hana_url("h", 1, "u", "p", **{name: "false"})
