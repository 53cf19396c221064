"""Which tokens are good for how long, and which are renewed."""

import pytest
from mlops_airflow import tokens
from mlops_airflow.tokens import PASSWORD, SINCE, WORKDAY

NOW, LIFE = 1e9, 3600.0


def fits(claims, hashed):
    return tokens.fits(claims, hashed, LIFE, lambda: NOW)


def test_a_token_ends_with_its_password():
    claims = {PASSWORD: tokens.mark("scrypt:1")}
    assert fits(claims, "scrypt:1")
    assert not fits(claims, "scrypt:2")
    assert not fits(claims, None)


def test_a_mark_tells_nothing_of_the_hash():
    assert "scrypt" not in tokens.mark("scrypt:32768:8:1$salt$abc")
    assert len(tokens.mark(None)) == 32


@pytest.mark.parametrize(("age", "good"), [(0, True), (3599, True), (3600, False), (NOW, False)])
def test_one_without_a_mark_is_good_for_an_hour_after_it_was_made(age, good):
    assert fits({"iat": NOW - age}, "scrypt:1") == good


def test_one_that_does_not_tell_its_age_is_none():
    assert not fits({}, "scrypt:1")


@pytest.mark.parametrize(
    ("claims", "renewed"),
    [
        ({SINCE: NOW - 3000, "exp": NOW + 600}, NOW - 3000),
        ({SINCE: NOW - 100, "exp": NOW + 3500}, None),  # young
        ({"exp": NOW + 600}, None),  # a program's
        ({SINCE: NOW - WORKDAY - 1, "exp": NOW + 600}, None),
        ({}, None),
    ],
)
def test_the_ui_s_token_is_renewed_while_somebody_works(claims, renewed):
    assert tokens.renewed(claims, LIFE, lambda: NOW) == renewed
