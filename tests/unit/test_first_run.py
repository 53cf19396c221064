"""A first run: packages in two calls, and a database from a dump of what Airflow makes."""

import os
import re
import subprocess
import tempfile
from pathlib import Path

import pytest
from machine import need
from mlops_install import context, facts, locks
from mlops_install.airflowversion import airflow_version
from mlops_install.config import parse
from mlops_install.resources.airflow import Contents
from mlops_install.resources.packages import Packages
from mlops_install.resources.systemd import Services, UnitFile
from mlops_install.resources.tables import Tables
from mlops_install.resources.venv import Tools
from mlops_install.roles import packages, stages
from mlops_install.settings import Airflow
from samples import FACTS

DUMPED = [path.stem.removeprefix("airflow-") for path in
          Path(locks.__file__).parent.glob("airflow-*.sql")]  # fmt: skip


def make(config: str = "", **known: str) -> context.Context:
    found = facts.parse(FACTS + "".join(f"{key}={value}\n" for key, value in known.items()))
    return context.make(parse(config, "t"), found, context.Given(), "192.0.2.7")


def places(made: context.Context, kind: type) -> list[tuple[str, str]]:
    """Stage and lane of each resource of a kind."""
    return [
        (stage.name, lane.name)
        for stage in stages(made)
        for lane in stage.lanes
        for resource in lane.resources
        if isinstance(resource, kind)
    ]


# --- packages -----------------------------------------------------------------------------


def found(made: context.Context, kind: type) -> list:
    return [r for s in stages(made) for lane in s.lanes for r in lane.resources
            if isinstance(r, kind)]  # fmt: skip


def test_each_package_is_in_one_of_two_calls_and_the_first_is_small():
    made = make()
    first, others = found(made, Packages)
    assert sorted((*first.names, *others.names)) == sorted(packages(made))
    assert len(first.names) < 6 < len(others.names)


def test_only_the_first_call_of_a_run_fetches_the_lists(tmp_path):
    """The step as it is, with a folder for /etc and /run, and an apt-get that counts."""
    (tmp_path / "apt").mkdir()
    (tmp_path / "sources.list").write_text("deb one\n")
    calls = tmp_path / "calls"
    apt = tmp_path / "apt-get"
    apt.write_text(f"#!/bin/sh\necho called >> {calls}\n")
    apt.chmod(0o755)
    [update] = [s.shell() for s in Packages(("x",)).change(None) if s.line() == "$ apt-get update"]
    update = update.replace("/run/mlops-install", f"{tmp_path}/run")
    update = update.replace("/etc/apt/sources.list", f"{tmp_path}/sources.list")

    def run() -> int:
        path = f"{tmp_path}:{os.environ['PATH']}"
        script = f"set -e -o pipefail\n{update}\n"
        subprocess.run(["bash", "-c", script], env={"PATH": path}, check=True)
        return len(calls.read_text().split())

    assert [run(), run()] == [1, 1]
    (tmp_path / "sources.list").write_text("deb two\n")
    assert [run(), run()] == [2, 2]
    mark = tmp_path / "run/updated"
    os.utime(mark, (0, 0))
    assert run() == 3


def test_pip_gets_uv_and_uv_the_others():
    [tools] = found(make(), Tools)
    files = {s.line().split()[1]: s.content.decode() for s in tools.change(None)
             if s.line().startswith("write")}  # fmt: skip
    pins = {path.rpartition("/")[2]: re.findall(r"^([\w.-]+)==", text, re.M)
            for path, text in files.items()}  # fmt: skip
    assert pins["uv.txt"] == ["uv"]
    every = re.findall(r"^([\w.-]+)==", tools.lock, re.M)
    assert sorted([*pins["uv.txt"], *pins["requirements.txt"]]) == sorted(every)
    scripts = [s.shell() for s in tools.change(None) if "install" in s.line()]
    assert len(scripts) == 2
    assert all("--require-hashes" in script for script in scripts)


# --- units --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/etc/systemd/system/a.service", "a.service"),
        ("/etc/systemd/system/a@.service", "'a@*.service'"),
        ("/etc/systemd/system/nginx.service.d/mlops.conf", "nginx.service"),
    ],
)
def test_systemd_reads_a_unit_again_only_where_it_holds_one(path, asked, tmp_path):
    *_, last = UnitFile(path, "text").change(None)
    assert f"--no-legend {asked})" in last.shell()
    said = tmp_path / "said"
    for units, reloads in (("", []), ("a.service loaded", ["daemon-reload"])):
        systemctl = tmp_path / "systemctl"
        systemctl.write_text(
            f'#!/bin/sh\n[ "$1" = list-units ] && echo "{units}" || echo "$1" >> {said}\n'
        )
        systemctl.chmod(0o755)
        said.write_text("")
        path_ = f"{tmp_path}:{os.environ['PATH']}"
        subprocess.run(["bash", "-e", "-c", last.shell()], env={"PATH": path_}, check=True)
        assert said.read_text().split() == reloads


def test_services_are_enabled_before_systemd_reads_and_starts_them():
    steps = [s.line() for s in Services("x", {"a.service": "1"}).change(None)]
    assert steps == [
        "$ systemctl enable -q a.service",
        "$ systemctl daemon-reload",
        "$ systemctl restart a.service",
    ]


# --- the database -------------------------------------------------------------------------


def test_a_first_run_starts_the_services_beside_the_check_of_the_dump():
    assert places(make(), Tables) == [("build", "packages")]
    assert places(make(), Contents) == [("start", "database")]


@pytest.mark.parametrize(
    "known", [{"installed": "mlops-install"}, {"database": "1"}, {"role": "1"}]
)
def test_any_other_run_migrates_before_it_starts_a_service(known):
    assert places(make(**known), Tables) == []
    assert places(make(**known), Contents) == [("configure", "airflow")]


def test_a_version_without_a_dump_migrates_first():
    old = make('[airflow]\nversion = "3.1.8"\n')
    assert not locks.dump("3.1.8")
    assert places(old, Contents) == [("configure", "airflow")]


def test_the_default_version_has_a_dump():
    assert Airflow().version in DUMPED


@pytest.mark.parametrize("version", DUMPED)
def test_a_dump_loads_and_is_of_the_lock_s_schema(version):
    """On a real PostgreSQL: all of it in one transaction, by a role that owns the database."""
    tools = Path(need("initdb")).parent
    if os.geteuid() != 0:
        pytest.skip("needs root to become another user")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        run = {"check": True, "user": "postgres", "cwd": folder, "capture_output": True}
        subprocess.run([tools / "initdb", "-D", f"{folder}/data", "-A", "trust"], **run)
        control = [tools / "pg_ctl", "-D", f"{folder}/data", "-w", "-l", f"{folder}/log"]
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        subprocess.run([*control, "-o", options, "start"], **run)

        def psql(text: str, user: str = "airflow", database: str = "airflow") -> str:
            words = ("psql", "-XqAt1", "-v", "ON_ERROR_STOP=1", "-h", folder, "-U", user,
                     "-d", database)  # fmt: skip
            done = subprocess.run(words, input=text.encode(), **run)
            return done.stdout.decode().strip()

        try:
            psql("create role airflow login", "postgres", "postgres")
            subprocess.run(
                ["createdb", "-h", folder, "-O", "airflow", "-T", "template0", "airflow"], **run
            )
            psql(locks.dump(version))
            for table, head in airflow_version(version).heads.items():
                assert psql(f"select version_num from {table}") == head
            assert psql("select string_agg(name, ' ' order by name) from ab_role") == (
                "Admin Op Public User Viewer"
            )
            assert psql("select count(*) from ab_user") == "0"
            assert psql("select count(*) from job") == "0"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **run)


def test_a_first_run_fills_its_dump_without_airflow_and_a_later_one_migrates():
    def programs(**known: str) -> set[str]:
        return {r.setup for r in found(make(**known), Contents)}

    assert programs() == {"/opt/mlops/lib/first_contents.py"}
    assert programs(installed="mlops-install 1") == {"/opt/mlops/lib/setup_airflow.py"}
