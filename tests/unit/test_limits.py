"""Limits told before they hurt: ids of DAGs, an older installer, long plans, bad sources."""

import subprocess
from pathlib import Path

import pytest
from mlops_install import __version__, facts, preflight, progress, report
from mlops_install.engine import Event
from mlops_install.errors import PreflightError
from mlops_install.plan import Change, LaneChanges, Plan
from mlops_install.resource import Difference
from mlops_install.resources.file import Directory
from mlops_install.resources.packages import SOURCES
from mlops_install.settings import Config
from mlops_server.workflows import gate
from samples import FACTS


def found(dag: str, task: str) -> gate.Found:
    return gate.Found(dags={"/r/dags/a.py": [{"dag": dag, "tasks": [{"task": task}]}]})


@pytest.mark.parametrize(
    ("dag", "task", "says"),
    [
        ("d" * 242, "t" * 247, ""),
        ("d" * 243, "t", "the DAG id dddddddddddddddddddddddddddddddddddddddd… has 243 bytes"),
        ("d", "t" * 248, "has 248 bytes, at most 247 are possible"),
        ("é" * 122, "t", "has 244 bytes"),
    ],
)
def test_ids_that_airflow_takes_and_then_chokes_on_are_refused(dag, task, says):
    reasons = gate.too_long(found(dag, task), Path("/r"))
    assert bool(reasons) == bool(says)
    assert not says or says in reasons[0]
    assert not gate.too_long(found(dag, task), Path("/elsewhere"))


# --- an older installer -------------------------------------------------------------------


def check(installed: str) -> None:
    preflight.check(Config(), facts.parse(f"{FACTS}installed={installed}\n"))


@pytest.mark.parametrize("installed", ["mlops-install", f"mlops-install {__version__}",
                                       "mlops-install 0.0.9", ""])  # fmt: skip
def test_what_an_older_or_this_installer_made_is_taken(installed):
    check(installed)


@pytest.mark.parametrize("version", ["0.99.0", "99.0.0", "0.1.1"])
def test_an_older_installer_does_not_take_back_what_a_newer_one_made(version):
    with pytest.raises(PreflightError, match=rf"set up by mlops-install {version}") as caught:
        check(f"mlops-install {version}")
    assert f"use mlops-install {version} or newer" in caught.value.fix


# --- plans --------------------------------------------------------------------------------


def plan(number: int) -> Plan:
    def change(n: int) -> Change:
        old, new = ("absent", "present") if n else ("0700", "0755")
        directory = Directory(f"/d{n}")
        return Change(directory, (Difference("", old, new),), tuple(directory.change(None)))

    lane = LaneChanges("base", tuple(change(n) for n in range(number)))
    return Plan((("prepare", (lane,)),), number)


def lines(number: int, *, full: bool = False) -> list[str]:
    return [line.plain for line in report.plan_lines(plan(number), full=full)]


def test_a_long_plan_begins_with_a_summary_and_shows_what_is_changed():
    shown = lines(100)
    assert shown[0].startswith("prepare: the first packages, users")
    assert shown[1].split() == ["base", "100", "changes:", "100", "directory"]
    assert "  ~ directory /d0" in shown, "what is there and changes is always shown"
    assert not [line for line in shown if "/d1" in line]
    assert shown[-1] == "100 of 100 resources to change; --full shows each of them"
    assert len([line for line in lines(100, full=True) if "+ directory" in line]) == 99


def test_a_short_plan_is_shown_as_it_is():
    assert (
        len([line for line in lines(9) if " directory /d" in line and "install" not in line]) == 9
    )


def test_what_takes_long_gives_a_sign_of_life(monkeypatch):
    shown = progress.Progress(3)
    shown(Event("start", "a", "venv"))
    shown(Event("output", "a", "[fetching] 50%"))
    assert shown.alive() is None
    monkeypatch.setattr(progress, "SILENCE", 0.0)
    line = shown.alive()
    assert line is not None
    assert "0/3  venv (0 s so far): [fetching] 50%" in line.plain


# --- apt ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("deb cdrom:[Debian GNU/Linux 12.0.0 _Bookworm_ - NETINST]/ bookworm main",
         "E: The repository 'cdrom://[Debian GNU/Linux 12.0.0 _Bookworm_ - NETINST] bookworm"
         " Release' does not have a Release file."),
        ("deb http://old.example.org/debian bookworm main",
         "E: The repository 'http://old.example.org/debian bookworm Release' does not have a"
         " Release file."),
        ("URIs: https://x.example.org/apt/",
         "E: Failed to fetch https://x.example.org/apt/dists/a/InRelease  403  Forbidden"),
    ],
)  # fmt: skip
def test_a_broken_source_is_named_with_its_line(tmp_path, line, said):
    (tmp_path / "sources.list").write_text(
        f"# {line}\ndeb http://good.example.org/ a main\n{line}\n"
    )
    (tmp_path / "sources.list.d").mkdir()
    script = SOURCES.replace("/etc/apt", str(tmp_path))
    done = subprocess.run(["bash", "-c", f"set -e -o pipefail\n{script}\nbroken_sources"],
                          env={"said": f"Hit:1 x\n{said}", "PATH": "/usr/bin:/bin"},
                          capture_output=True, text=True, check=False)  # fmt: skip
    *_, last = done.stdout.splitlines()
    assert done.stdout.splitlines()[1] == f"{tmp_path}/sources.list:3:{line}"
    assert last == f"fix: correct this line, or put a # before it: {tmp_path}/sources.list:3"
