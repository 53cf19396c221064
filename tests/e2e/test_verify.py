"""Verification tells what is broken, by the check that is about it and with the reason."""

import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from broken import ELSEWHERE, FAULTS, PSQL
from server import Done, Server, wait_for

pytestmark = [
    pytest.mark.box,
    pytest.mark.slow,
    pytest.mark.parametrize("system", ["debian-12"]),
]


def failed(done: Done) -> dict[tuple[str, str], str]:
    """What a verification found: role and check -> reason."""
    assert done.returncode == 2, done.end
    checks = [check for check in done.json["checks"] if check["outcome"] == "FAILED"]
    return {(check["role"], check["name"]): check["reason"] for check in checks}


@pytest.mark.parametrize("group", FAULTS, ids=lambda name: name.replace(" ", "-"))
def test_it_finds_that(group: str, tasks: Server) -> None:
    faults = FAULTS[group].values()
    try:
        for fault in faults:
            tasks.ssh(fault.breaks)
        for sign in (fault.sign for fault in faults if fault.sign):
            wait_for(lambda sign=sign: tasks.sql(sign) == "t", "the sign", 90, 1)  # type: ignore[misc]
        done = tasks.cli("verify", "--json")
        found = failed(done)
        print(f"\n{done.seconds:.0f} s; failed: {', '.join(sorted(name for _, name in found))}")
        wanted = {check: text for fault in faults for check, text in fault.finds.items()}
        wrong = {
            c: found.get(c, "ok") for c, text in wanted.items() if text not in found.get(c, "")
        }
        assert wrong == {}, found
    finally:
        for fault in faults:
            tasks.ssh(fault.mends)
        tasks.apply()
    plan = tasks.cli("plan")
    assert plan.returncode == 0, plan.end


def test_it_finds_a_superuser_that_is_not_ours_and_nothing_else(tasks: Server) -> None:
    tasks.ssh(f"{PSQL} 'create role more superuser'")
    try:
        done = tasks.cli("verify", "--json")
    finally:
        tasks.ssh(f"{PSQL} 'drop role more'")
    assert failed(done) == {("postgres", "nobody but postgres is a superuser"): "superusers: more"}


def test_a_healthy_server_passes_and_a_report_is_written(tasks: Server, tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    tasks.sql("select 1")
    wait_for(lambda: tasks.sql("select count(*) = 0 from import_error") == "t", "the parser", 90)
    begin = time.monotonic()
    done = tasks.cli("verify", "--json", "--junit", report)
    assert done.returncode == 0, done.end
    print(f"\nverified in {time.monotonic() - begin:.1f} s")
    checks = done.json["checks"]
    faults = [fault for group in FAULTS.values() for fault in group.values()]
    known = {check for fault in faults for check in fault.finds} | ELSEWHERE.keys()
    made = {(check["role"], check["name"]) for check in checks if check["role"] != "plan"}
    assert made == known, "every check has a fault that turns it red"
    skipped = {check["role"] for check in checks if check["outcome"] != "ok"}
    # None made yet, no models; and a box has no controllers of cgroups.
    assert skipped == {"backup", "base", "models", "workflows"}
    suite = ElementTree.parse(report).getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("errors")) == ("0", "0")
    assert len(suite.findall("testcase")) == len(checks) - 1, "all but the plan's"
