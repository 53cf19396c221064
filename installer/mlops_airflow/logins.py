"""Airflow's logins with limits, for the API server: `[core] auth_manager` names the class.

Beside the limits of `attempts`: a token ends with the password that it was made by. The UI's own
token is renewed while somebody works, so that an hour is enough for it.
"""

import os
import tempfile
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from airflow.configuration import conf
from airflow.providers.fab.auth_manager.fab_auth_manager import FabAuthManager

from mlops_airflow import tokens
from mlops_airflow.attempts import Guard, Refused, guard

CLAIMS: ContextVar[dict[str, Any]] = ContextVar("claims", default={})  # noqa: B039 - never changed
RENEWED: ContextVar[float | None] = ContextVar("renewed", default=None)


@cache
def _guard() -> Guard:
    # systemd makes the folder for the unit and takes it away with it.
    return guard(Path(os.environ.get("RUNTIME_DIRECTORY") or tempfile.mkdtemp(prefix="mlops-")))


def lifetime() -> int:
    """Seconds that a token is good for."""
    return int(conf.getint("api_auth", "jwt_expiration_time"))


class GuardedFabAuthManager(FabAuthManager):
    """The FAB auth manager with limits. Airflow looks for that word in the name."""

    @cached_property
    def security_manager(self) -> Any:
        """FAB's own, whose login page has the limits too."""
        from airflow.providers.fab.auth_manager.security_manager.override import (
            FabAirflowSecurityManagerOverride as Override,
        )
        from flask import current_app

        if not self.appbuilder:
            raise RuntimeError("AppBuilder is not initialized.")
        # As FAB does: webserver_config.py may name one.
        own = current_app.config.get("SECURITY_MANAGER_CLASS") or Override
        return _form_guarded(own)(self.appbuilder)

    def create_token(self, headers: dict[str, str], body: dict[str, Any]) -> Any:
        """A user for a name and a password. Answers 429 while none is checked."""
        from fastapi import HTTPException

        RENEWED.set(None)  # the request may have come with the cookie of the UI
        check = super().create_token
        name, address = str(body.get("username")), _client(headers)
        try:
            return _guard().checked(name, address, lambda: check(headers, body))
        except Refused as error:
            wait = {"Retry-After": str(error.seconds)}
            raise HTTPException(429, str(error), wait) from None

    def serialize_user(self, user: Any) -> dict[str, Any]:
        """What a token says of its user."""
        from flask import has_request_context

        claims = {**super().serialize_user(user), tokens.PASSWORD: tokens.mark(user.password)}
        # Only the pages of FAB make tokens for the UI.
        since = time.time() if has_request_context() else RENEWED.get()
        return claims if since is None else {**claims, tokens.SINCE: since}

    def deserialize_user(self, token: dict[str, Any]) -> Any:
        """The user of a token that is valid; Airflow refuses it on `ValueError`."""
        user = super().deserialize_user(token)
        if not _fits(token, user):
            # Users are kept for some seconds, and this one's password may be newer.
            self.cache.pop(int(token["sub"]), None)
            user = super().deserialize_user(token)
        if not _fits(token, user):
            raise ValueError("the password was changed since")
        CLAIMS.set(token)
        return user

    def refresh_user(self, *, user: Any) -> Any:
        """The user, when the token in the UI's cookie is to be replaced by a new one."""
        since = tokens.renewed(CLAIMS.get(), lifetime())
        RENEWED.set(since)
        return None if since is None else user


def _fits(token: dict[str, Any], user: Any) -> bool:
    return tokens.fits(token, user.password, lifetime())


def _client(headers: dict[str, str]) -> str:
    """The address that nginx saw; without nginx it is this machine."""
    found = {name.lower(): value for name, value in headers.items()}
    return found.get("x-forwarded-for", "").rpartition(",")[2].strip() or "127.0.0.1"


@cache
def _form_guarded(own: Any) -> Any:
    """A security manager with limits for its login page."""

    class FormGuarded(own):
        def auth_user_db(self, username: str, *more: Any, **options: Any) -> Any:
            check = super().auth_user_db
            return _by_form(username, lambda: check(username, *more, **options))

        def auth_user_ldap(self, username: str, *more: Any, **options: Any) -> Any:
            check = super().auth_user_ldap
            return _by_form(username, lambda: check(username, *more, **options))

    return FormGuarded


def _by_form(name: str, check: Callable[[], Any]) -> Any:
    """Check what came by the login page; for a token `create_token` has done so already."""
    from flask import has_request_context, request
    from werkzeug.exceptions import TooManyRequests

    if not has_request_context():
        return check()
    try:
        return _guard().checked(name, request.remote_addr or "127.0.0.1", check)
    except Refused as error:
        raise TooManyRequests(str(error), retry_after=error.seconds) from None
