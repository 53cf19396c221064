"""Whatever the readers of the server's side get: they say what is wrong, and nothing else happens.

Each is given good input that was cut, doubled or spoiled, and input of no sense at all. Only our
own errors, or those that the reader's docstring names, may come out.
"""

import io
import json
import re
import tarfile
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from fuzz import DEEP, ENVIRONMENT, LOCK, OPTIONS, fuzzed, spoiled
from hypothesis import example, given
from hypothesis import strategies as st
from mlops_install import sql as asked
from mlops_install.errors import MlopsError
from mlops_server import journal, jsontext, lockfile, sql
from mlops_server.backup import parts
from mlops_server.errors import EnvError
from mlops_server.layout import Layout, parse_options
from mlops_server.models import environment, stamp
from mlops_server.services import records, serve
from mlops_server.workflows import door, gate


@fuzzed
@given(spoiled(ENVIRONMENT))
@example(b"channels: [a]\ndependencies: [" + DEEP + b"]")
@example(b"channels: [a]\ndependencies: [2026-13-45]")
@example(b"channels: [a]\ndependencies: [python]\n1: 2")
@example(b"channels: [a]\ndependencies: &a [python, *a]")
@example(b"channels: [a]\ndependencies: [{pip: 5}]")
def test_environment_yml(data):
    with suppress(EnvError):
        found = environment.parse(data, "environment.yml")
        environment.digest(data, found)
        list(environment.requests(data))
    environment.has_aliases(data)


@fuzzed
@given(spoiled(ENVIRONMENT))
@example(b"dependencies: 5")
@example(b"dependencies: [{pip: 5}, {pip: {a: b}}, null, 7]")
@example(b"dependencies: " + DEEP)
def test_what_environment_yml_asks_for(tmp_path, data):
    path = tmp_path / "environment.yml"
    path.write_bytes(data)
    with suppress(EnvError):
        lockfile.asked(path)
        lockfile.asked_lines(path)


@fuzzed
@given(spoiled(LOCK))
@example(b"package: [1]")
@example(b"package: 5")
@example(b"package: {a: b}")
@example(LOCK.replace(b"{sha256: 0123}", b"abc"))
@example(LOCK.replace(b"3.12.1\n", b"2026-13-45\n"))
@example(b"metadata: " + DEEP + b"\npackage: " + DEEP)
def test_conda_lock_yml(tmp_path, data):
    path = tmp_path / "conda-lock.yml"
    path.write_bytes(data)
    with suppress(EnvError):
        lockfile.read(path)
    with suppress(ValueError):
        stamp.head(data)


@fuzzed
@given(spoiled(OPTIONS))
def test_model_toml(data):
    with suppress(ValueError):
        parse_options(data.decode())


def archive() -> bytes:
    part = b"dump"
    about = {"format": 1, "parts": {"airflow.dump": {"size": 4, "sha256": "0"}}, "databases": {}}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in (("manifest.json", json.dumps(about).encode()), ("airflow.dump", part)):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


ARCHIVE = archive()


@fuzzed
@given(spoiled(ARCHIVE), st.lists(st.tuples(st.integers(0, 1535), st.integers(0, 255)), max_size=6))
def test_archives_of_backups(data, changes):
    spoilt = bytearray(data)
    for at, value in changes:
        if at < len(spoilt):
            spoilt[at] = value
    with suppress(EnvError):
        parts.read(io.BytesIO(bytes(spoilt)))


class Checked(serve.Handler):
    """The part of a service that reads a request, without a connection."""

    service = SimpleNamespace(module=None)

    def __init__(self) -> None:
        pass


@fuzzed
@given(spoiled(b'{"rows": [[1, 2.5, "x", null, true]], "more": {"a": []}}'))
def test_bodies_of_requests(data):
    with suppress(serve.RefusedError):
        assert isinstance(Checked().parsed(data), dict)


@fuzzed
@given(spoiled(b'{"words": ["workflows", "fetch", "--json"]}'))
def test_requests_at_the_door(data):
    with suppress(door.RefusedError):
        assert door.parse(data)[0] in ("workflows", "env", "service")


ROWS = b'{"name": "a|b", "n": 1}\n{"name": "c\\nd", "n": null}\n'


@fuzzed
@given(spoiled(ROWS))
def test_rows_of_postgresql(data):
    text = data.decode(errors="replace")
    with suppress(MlopsError):
        assert all(isinstance(row, dict) for row in asked.rows(text))
    with suppress(EnvError):
        assert all(isinstance(row, list) for row in sql.values(text))


@fuzzed
@given(spoiled(b'{"kind": "file", "name": "/etc/x", "was": "none", "at": "2026"}\n'))
def test_the_journal(tmp_path, data):
    layout = Layout(tmp_path)
    layout.journal.parent.mkdir(parents=True, exist_ok=True)
    layout.journal.write_bytes(data)
    assert not journal.read(layout).has("/etc/passwd")


@fuzzed
@given(
    spoiled(b'{"begin": "f"}\n{"end": "f", "dags": [{"dag": "d", "tasks": []}], "error": null}\n')
)
def test_what_the_import_of_dags_tells(data):
    gate.read(data.decode(errors="replace"))


@fuzzed
@given(spoiled(json.dumps({"service": "a", "number": 1}).encode()))
@example(DEEP)
def test_records_of_services(tmp_path, data):
    found = records.Records(Layout(Path(tmp_path)))
    found.folder.mkdir(parents=True, exist_ok=True)
    found.path("a.1").write_bytes(data)
    with pytest.raises(EnvError):
        found.read("a.1")


@pytest.mark.parametrize("text", [DEEP, DEEP.decode(), b"{", b"\xff"])
def test_json_that_is_damaged(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the class is all that its readers rely on
        jsontext.loads(text)


def test_json_is_read_at_one_place():
    """Readers of the standard library would let a `RecursionError` through.

    Other interpreters have their own: Airflow's knows nothing of ours, and those of models may be
    too old for `tomllib`.
    """
    others = {"gate_dags.py", "serve.py", "values.py"}
    sources = Path(jsontext.__file__).parent.rglob("*.py")
    found = {path.name for path in sources if re.search(r"\bjson\.load", path.read_text())}
    assert found == {"jsontext.py"} | others
