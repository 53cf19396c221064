"""Which settings restart which service, and how the API server moves from slot to slot."""

import pytest
from mlops_install import context, facts
from mlops_install.config import parse
from mlops_install.resource import differences
from mlops_install.resources.airflow import Answers
from mlops_install.resources.apiserver import READY, SLOTS, ApiServer, Former, unit, warm
from mlops_install.resources.systemd import Services
from mlops_install.roles import stages
from samples import FACTS

OURS, OLD = "0123456789ab", "ba9876543210"


def inputs(config: str) -> dict[str, str]:
    """Service -> the digest that it is started from; schedulers under one name."""
    made = context.make(parse(config, "t"), facts.parse(FACTS), context.Given(), "192.0.2.7")
    found = {}
    for resource in (r for stage in stages(made) for lane in stage.lanes for r in lane.resources):
        if isinstance(resource, ApiServer):
            found["api-server"] = resource.inputs
        elif isinstance(resource, Services):
            found |= {u.split("@")[0].split(".")[0]: i for u, i in resource.units.items() if i}
    return {name.removeprefix("airflow-"): digest for name, digest in found.items()}


@pytest.mark.parametrize(
    ("setting", "restarts"),
    [
        ("[airflow]\napi_workers = 1", {"api-server"}),
        ("[airflow]\napi_workers = 3", {"api-server"}),
        ("[airflow]\nparallelism = 5", {"scheduler"}),
        ("[airflow]\nxcom_threshold = 9", {"scheduler", "triggerer"}),
        ("[airflow]\ndrain_timeout = 99", {"scheduler", "api-server"}),
        ("[airflow]\nlog_days = 3", set()),
        ("[base]\ntimezone = 'Asia/Tokyo'",
         {"scheduler", "api-server", "dag-processor", "triggerer"}),
        ("[proxy]\nserver_name = 'ml.example.org'",
         {"scheduler", "api-server", "dag-processor", "triggerer", "nginx"}),
    ],
)  # fmt: skip
def test_a_setting_restarts_what_reads_it(setting, restarts):
    before, after = inputs(""), inputs(setting)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == restarts


# --- slots --------------------------------------------------------------------------------


def answer(**slots: str) -> str:
    """What the probe prints; a slot is "ActiveState UnitFileState inputs"."""
    blocks, stamps = [], ""
    for slot in "ab":
        active, enabled, inputs = [*slots.get(slot, "inactive disabled").split(), ""][:3]
        lines = [f"Id={unit(slot)}", f"ActiveState={active}", f"UnitFileState={enabled}"]
        blocks.append("\n".join(lines))
        stamps += f"inputs {unit(slot)} {inputs}\n" if inputs else ""
    return stamps + "\n\n".join(blocks) + "\n\n"


def steps(**slots: str) -> list[str] | None:
    """The lines of the plan for what was found; None for nothing to do."""
    resource = ApiServer(OURS, 2, "/site")
    state = resource.parse(answer(**slots))
    if not differences(state, resource.desired):
        return None
    lines = [step.line() for step in resource.change(state)]
    short = {"airflow-api-server@a.service": "a", "airflow-api-server@b.service": "b"}
    assert lines.pop(0) == "$ systemctl daemon-reload"
    words = [line.replace("$ ", "").replace("systemctl ", "").replace(" -q", "") for line in lines]
    return [" ".join(short.get(word, word) for word in line.split()) for line in words]


def to(new: str, old: str) -> list[str]:
    site = "let /site ask at the API server's sockets"
    return [f"wait until {new} answers", site, f"enable {new}", f"disable {old}", f"stop {old}"]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ({"a": f"active enabled {OURS}"}, None),
        ({"b": f"active enabled {OURS}"}, None),
        ({"b": f"active enabled {OURS}", "a": "failed disabled"}, None),
        ({}, ["restart a", "enable a", "disable b"]),
        ({"b": "inactive enabled"}, ["restart b", "enable b", "disable a"]),
        ({"a": f"active enabled {OLD}"}, ["restart b", *to("b", "a")]),
        ({"b": f"active enabled {OLD}"}, ["restart a", *to("a", "b")]),
        ({"b": "active enabled"}, ["restart a", *to("a", "b")]),
        # Interrupted: while the new one started, after it was enabled, before the old one ended.
        ({"a": f"active enabled {OLD}", "b": f"active disabled {OURS}"}, to("b", "a")),
        ({"a": f"active enabled {OLD}", "b": f"active enabled {OURS}"}, to("b", "a")),
        ({"a": f"active disabled {OLD}", "b": f"active enabled {OURS}"}, to("b", "a")),
        ({"a": f"active enabled {OURS}", "b": f"active disabled {OURS}"}, to("a", "b")),
        ({"a": f"active disabled {OURS}", "b": "inactive enabled"}, to("a", "b")),
        # One that dies again and again beside one that serves.
        ({"a": f"active enabled {OURS}", "b": f"activating enabled {OURS}"}, to("a", "b")),
        ({"a": f"active enabled {OLD}", "b": f"activating disabled {OURS}"},
         ["restart b", *to("b", "a")]),
    ],
)  # fmt: skip
def test_the_slots_converge_from_wherever_they_are(found, wanted):
    assert steps(**found) == wanted


@pytest.mark.parametrize(("api", "warmed"), [("000", True), ("200", False), (None, True)])
def test_a_cold_api_server_is_warmed_before_all_is_said_to_answer(api, warmed):
    resource = Answers("https://ml", OURS, ("scheduler-1",), ("nginx.service",), warm(2))
    state = api and resource.parse(f"{api}\n{OLD}\n")
    (step,) = resource.change(state)
    text = step.shell()
    assert [READY in text, f"{unit('b')} {SLOTS['b']} 2" in text] == [warmed, warmed]
    assert not warmed or text.index(READY) < text.index("answer()")


def test_the_former_unit_is_replaced_without_a_gap():
    former = Former("/site", 2)
    text = "\n".join(step.shell() for step in former.change(former.parse("active\n")))
    order = [text.index(word) for word in ("api-server-ready", "reload nginx", "disable", "rm -f")]
    assert order == sorted(order)
    stopped = "\n".join(step.shell() for step in former.change(former.parse("inactive\n")))
    assert "nginx" not in stopped
    assert "rm -f" in stopped
