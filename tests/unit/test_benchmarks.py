"""The page of figures is made of raw figures, of one run or of several."""

import json
import re
import sys
from pathlib import Path

import pytest
from mlops_install import config, context, facts, roles
from mlops_install.resources.file import Directory, File, Link
from mlops_install.resources.systemd import Services
from samples import FACTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def modules():
    """The benchmark's modules, which a script finds beside itself."""
    paths = [str(ROOT / "benchmarks"), str(ROOT / "tests/e2e")]
    sys.path[:0] = paths
    try:
        import page
        import peers
        import tables
        import throughput
        import usage
        from peers import given
    finally:
        del sys.path[: len(paths)]
    return {m.__name__: m for m in (page, peers, given, tables, throughput, usage)}


ABOUT = {"day": "2026-11-30", "cpus": 2, "memory_gib": 24, "kernel": "6.18", "system": "debian-12"}


def timing(stage, lane, resource, start, seconds):
    return {"stage": stage, "lane": lane, "resource": resource, "start": start, "seconds": seconds}


def cold_row(installer, script):
    timings = [
        timing("prepare", "base", "packages", 0.0, 9.0),
        timing("build", "a", "venv", 9.0, 3),
    ]
    return {"installer": installer, "script": script, "timings": timings}


def task_row(settings, span, memory):
    processes = {"memory": memory, "processes": 20, "workers": 16, "idle": 16}
    parts = (
        "API server",
        "schedulers",
        "tasks",
        "DAG processor",
        "triggerer",
        "PostgreSQL",
        "nginx",
    )
    share = dict.fromkeys(parts, 0.01)
    return {
        "settings": settings, "span": span, "wait": 0.2, "cpu": share, "idle": share,
        "fresh": processes, "ended": {**processes, "processes": 31}, "after": processes,
    }  # fmt: skip


def peer_row(*seconds):
    names = ("mlops-install", "pyinfra", "Ansible")
    return {
        name: {"cold": 40 * s, "converged": [s, s, s], "starts": s / 2, "left": []}
        for name, s in zip(names, seconds, strict=True)
    }


def figures(**sections):
    return {"about": ABOUT, **sections}


def test_a_ratio_is_of_one_round(modules):
    rows = [cold_row(10, 20), cold_row(30, 30), cold_row(16, 20)]
    text = modules["page"].text(figures(cold=rows))
    assert "| installer | 16.0 s | 10.0 s | 30.0 s |" in text
    assert "| ratio in one round | 0.80 | 0.50 | 1.00 |" in text


def test_the_quickest_round_is_drawn_by_stage(modules):
    text = modules["page"].text(figures(cold=[cold_row(10, 20), cold_row(9, 20)]))
    assert "| prepare | 9.0 | base | packages (9.0 s) |" in text


def test_a_page_has_only_what_was_measured(modules):
    text = modules["page"].text(figures(cold=[cold_row(10, 20)]))
    assert "## Cold provisioning" in text
    assert "## Converged" not in text


def test_peers_are_compared_round_by_round(modules):
    text = modules["page"].text(figures(peers=[peer_row(1, 20, 30), peer_row(2, 30, 80)]))
    assert "| pyinfra | 1000.0 s (800.0 s to 1200.0 s) |" in text
    assert "| 17.5 (15.0 to 20.0) |" in text, "medians of 20 / 1 and 30 / 2"
    assert "8.8 (7.5 to 10.0) (pyinfra)" in text, "without the starts of Airflow's command line"


def test_throughput_tells_cpu_and_memory_of_both_settings(modules):
    rows = [
        task_row("ours", 10.0, 600 * 1024),
        task_row("Airflow's defaults", 12.0, 700 * 1024),
    ]
    text = modules["page"].text(figures(throughput=rows))
    assert "| ours | 10.0 s | 900 | 0.20 s |" in text
    assert "| schedulers | 0.010 | 0.010 | 1.0 % | 1.0 % |" in text
    assert "| ours | 16 | 600 MiB | 600 MiB | 600 MiB (31) |" in text


SEEN = """\
104507 /opt/mlops/airflow/99a8/bin/python /opt/mlops/airflow/99a8/bin/airflow scheduler
37528 /opt/mlops/airflow/99a8/bin/python /opt/mlops/airflow/99a8/bin/airflow scheduler
36462 airflow worker -- LocalExecutor: <idle>
36485 airflow worker -- LocalExecutor: <idle>
"""


def test_idle_workers_are_told_from_busy_ones(modules):
    idle = modules["usage"].parse(SEEN)
    assert (idle.memory, idle.processes, idle.workers, idle.idle) == (214982, 4, 2, 2)
    busy = modules["usage"].parse(SEEN + "70000 airflow worker -- LocalExecutor: 0199-a\n")
    assert (busy.workers, busy.idle) == (3, 2)


def test_runs_of_one_machine_are_put_together(modules):
    one, two = figures(cold=[cold_row(10, 20)]), figures(cold=[cold_row(30, 20)], converged=[])
    together = modules["page"].merged([one, two])
    assert [row["installer"] for row in together["cold"]] == [10, 30]


def test_runs_of_two_machines_are_not(modules):
    other = {"about": {**ABOUT, "cpus": 8}}
    with pytest.raises(SystemExit, match="two machines"):
        modules["page"].merged([figures(), other])


def test_a_later_day_is_the_same_machine(modules):
    later = {"about": {**ABOUT, "day": "2026-12-01"}}
    assert modules["page"].merged([figures(), later])["about"]["day"] == "2026-12-01"


@pytest.mark.parametrize(
    ("output", "changed"),
    [
        ("    Grand total                 136     62        -       74   \n", 62),
        ("    Grand total                 136     -         -       136   \n", 0),
    ],
)
def test_changes_of_pyinfra_are_counted(modules, output, changed):
    assert modules["peers"]._pyinfra_changed(output) == changed


def test_changes_of_ansible_are_counted(modules):
    recap = "t-1 : ok=44   changed=3    unreachable=0    failed=0    skipped=2\n"
    assert modules["peers"]._ansible_changed(recap) == 3


def test_changes_of_ours_are_counted_beside_progress(modules):
    output = json.dumps({"changes": [{"resource": "packages"}]}) + "\ndone\n"
    assert modules["peers"]._changes(output) == 1


# --- what the peers are given -------------------------------------------------------------


def resources(pools="[pools]\ntraining = 2\n"):
    found = facts.parse(FACTS + "os_version=12\n")
    made = context.make(config.parse(pools, "t"), found, context.Given(), "192.0.2.7")
    stages = roles.stages(made)
    return made, [r for stage in stages for lane in stage.lanes for r in lane.resources]


@pytest.fixture
def variables(modules, tmp_path):
    return modules["peers.given"]._variables(*resources(), tmp_path)


def paths(groups):
    return [entry["path"] for entries in groups.values() for entry in entries]


@pytest.mark.parametrize(
    ("key", "kind"), [("files", File), ("directories", Directory), ("links", Link)]
)
def test_peers_are_given_all_that_ours_puts_there(variables, key, kind):
    wanted = {r.path for r in resources()[1] if isinstance(r, kind) and getattr(r, "present", True)}
    assert wanted - set(paths(variables[key])) == set()


def test_peers_are_given_every_service(variables):
    wanted = {u for r in resources()[1] if isinstance(r, Services) for u in r.units}
    assert wanted - set(paths(variables["services"])) == set()


def test_the_files_have_the_text_of_ours(variables):
    ours = {r.path: r.content for r in resources()[1] if isinstance(r, File) and r.present}
    given = [entry for entries in variables["files"].values() for entry in entries]
    assert {entry["path"]: Path(entry["source"]).read_text() for entry in given} == ours


def test_the_playbook_uses_what_it_is_given(variables):
    texts = [p.read_text() for p in (ROOT / "benchmarks/peers/ansible").rglob("*.yml")]
    used = set(re.findall(r"\{\{ (\w+)", "".join(texts))) - {"item"}
    groups = set(re.findall(r"\{\{ (?:files|directories|links|services)\.(\w+)", "".join(texts)))
    assert used - variables.keys() == set()
    assert groups - variables["files"].keys() == set()


def test_the_deploy_of_pyinfra_uses_what_it_is_given(variables):
    text = (ROOT / "benchmarks/peers/pyinfra/deploy.py").read_text()
    assert set(re.findall(r"given\[[\"'](\w+)", text)) - variables.keys() == set()
