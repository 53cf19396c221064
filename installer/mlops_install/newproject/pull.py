"""Tell the server to pull now, instead of at its next turn."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from mlops_install.newproject.errors import CheckError

DAG = "mlops_pull"


def now(given: Mapping[str, str]) -> str:
    """Start the pull DAG at PULL_URL, as PULL_USER with PULL_PASSWORD or with PULL_TOKEN; a line.

    Raises `CheckError`.
    """
    url = given.get("PULL_URL", "").rstrip("/")
    if not url:
        return "PULL_URL is not set: the server pulls at its next turn"
    try:
        token = given.get("PULL_TOKEN") or _token(url, given)
        run = _post(f"{url}/api/v2/dags/{DAG}/dagRuns", {"logical_date": None}, token)
    except urllib.error.HTTPError as error:
        raise CheckError(
            f"{error.url} answers {error.code} {error.reason}",
            fix="see whether PULL_USER and PULL_PASSWORD, or PULL_TOKEN, may trigger mlops_pull",
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise CheckError(
            f"{url} cannot be told to pull: {error}",
            fix="set PULL_URL, and PULL_USER with PULL_PASSWORD, or PULL_TOKEN",
        ) from error
    return f"the server pulls now: {run['dag_run_id']}"


def _token(url: str, given: Mapping[str, str]) -> str:
    login = {"username": given["PULL_USER"], "password": given["PULL_PASSWORD"]}
    return str(_post(f"{url}/auth/token", login)["access_token"])


def _post(url: str, content: dict[str, Any], token: str = "") -> dict[str, Any]:
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if not url.startswith(("https://", "http://")):
        raise ValueError("it is not an http:// or https:// address")
    request = urllib.request.Request(url, json.dumps(content).encode(), headers)  # noqa: S310
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found
