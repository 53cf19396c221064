"""What tests do about a program that this machine lacks."""

import os

import machine
import pytest


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine with nothing on PATH, where we are nobody who could install."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(machine.PACKAGES, "no-such-program", "no-such-package")


def test_a_test_is_left_out_with_its_reason(bare, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="apt install no-such-package"):
        machine.need("no-such-program")


def test_in_ci_it_fails(bare, monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="there is no no-such-program"):
        machine.need("no-such-program")
