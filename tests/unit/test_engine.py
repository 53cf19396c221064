"""The engine at work on this machine: real bash, real files, no sudo."""

import getpass
import grp
import os

import pytest
from mlops_install import engine, journal
from mlops_install.engine import Event
from mlops_install.errors import ApplyError, HostError
from mlops_install.host import Local
from mlops_install.plan import Lane, Stage, make_plan
from mlops_install.probe import ask, read
from mlops_install.resource import ABSENT, Resource, Run, differences
from mlops_install.resources.file import Directory, File, Link

ME, MINE = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name


class Here(Local):
    """This machine, as who we are."""

    _sudo = "exec "


@pytest.fixture
def host(monkeypatch, tmp_path):
    monkeypatch.setattr(engine, "LOG", f"{tmp_path}/log/install.log")
    monkeypatch.setattr(engine, "RUN_DIR", f"{tmp_path}/run")
    monkeypatch.setattr(engine, "STATE", f"{tmp_path}/state")
    return Here()


def file(path, content="hello\n", **more):
    return File(str(path), content, owner=ME, group=MINE, **more)


def lane(*resources, name="lane"):
    return (Stage("stage", (Lane(name, tuple(resources)),)),)


def converge(host, stages):
    plan = make_plan(host, stages)
    events: list[Event] = []
    engine.carry_out(host, plan, events.append)
    return plan, events


class Broken(Resource[str]):
    """Something whose steps do not bring about what is wanted."""

    def __init__(self, step="true", probe="echo wrong", explain=""):
        self._step, self._probe, self._explain = step, probe, explain

    name = "broken"
    desired = "right"

    def probe(self):
        return self._probe

    def parse(self, answer):
        return answer.strip()

    def change(self, current):
        yield Run(self._step)

    def explain(self):
        return self._explain


def test_a_script_that_ends_before_it_is_read_tells_why():
    """As sudo does, where it wants a password or refuses: sometimes before the script is sent."""

    class Refused(Local):
        _sudo = "echo sudo: a password is required >&2; exit 1; "

    result = Refused().run("x" * 10**6)
    assert (result.code, result.stderr) == (1, "sudo: a password is required\n")


def test_a_plan_costs_one_round_trip_and_changes_nothing(host, tmp_path):
    stages = lane(Directory(f"{tmp_path}/d", 0o750, ME, MINE), Link(f"{tmp_path}/l", "d"))
    plan = make_plan(host, stages)
    assert [c.resource.name for c in plan.changes] == [f"directory {tmp_path}/d",
                                                       f"link {tmp_path}/l"]  # fmt: skip
    assert host.round_trips == 1
    assert not (tmp_path / "d").exists()


def test_what_was_planned_is_brought_about_and_the_second_run_is_silent(host, tmp_path):
    stages = lane(
        Directory(f"{tmp_path}/d", 0o750, ME, MINE),
        file(tmp_path / "d/secret file", "ünï\n$HOME `x` '\"\n", mode=0o600, secret=True),
        Link(f"{tmp_path}/l", "d"),
    )
    _, events = converge(host, stages)
    assert [e.kind for e in events] == ["stage", *["start", "done"] * 3]
    assert (tmp_path / "l/secret file").read_text() == "ünï\n$HOME `x` '\"\n"
    assert (tmp_path / "d/secret file").stat().st_mode & 0o777 == 0o600
    assert not make_plan(host, stages).changes


def test_drift_is_seen_with_its_diff_and_put_back(host, tmp_path):
    stages = lane(file(tmp_path / "f", "one\ntwo\n"))
    converge(host, stages)
    (tmp_path / "f").write_text("one\nzwei\n")
    (change,) = make_plan(host, stages).changes
    assert "-zwei" in change.text
    assert "+two" in change.text
    converge(host, stages)
    assert (tmp_path / "f").read_text() == "one\ntwo\n"


def test_a_secret_file_shows_no_diff(host, tmp_path):
    (tmp_path / "f").write_text("old hush\n")
    (change,) = make_plan(host, lane(file(tmp_path / "f", "new hush", secret=True))).changes
    assert change.text == ""
    assert "hush" not in "".join(step.line() for step in change.steps)


def test_what_shall_not_be_there_goes(host, tmp_path):
    (tmp_path / "f").write_text("x")
    (tmp_path / "l").symlink_to("f")
    gone = (file(tmp_path / "f", present=False), Link(f"{tmp_path}/l", "", present=False))
    converge(host, lane(*gone))
    assert not (tmp_path / "f").exists()
    assert not (tmp_path / "l").is_symlink()


def test_lanes_of_a_stage_run_side_by_side(host, tmp_path):
    wait = "for i in $(seq 100); do [ -e {0} ] && exit 0; sleep 0.1; done; exit 1"
    one, two = tmp_path / "one", tmp_path / "two"
    first = Broken(f"touch {one}\n{wait.format(two)}", f"[ -e {two} ] && echo right || exit 3")
    second = Broken(f"touch {two}\n{wait.format(one)}", f"[ -e {one} ] && echo right || exit 3")
    second.name = "other"
    stages = (Stage("both", (Lane("a", (first,)), Lane("b", (second,)))),)
    converge(host, stages)


def test_a_step_that_fails_shows_what_it_said(host, tmp_path):
    stages = lane(Broken("echo the disk is on fire; false"), file(tmp_path / "f"))
    with pytest.raises(ApplyError, match=r"broken failed \(exit code 1\)") as caught:
        converge(host, stages)
    assert "the disk is on fire" in caught.value.detail
    assert not (tmp_path / "f").exists(), "the lane went on"


def test_a_step_in_the_middle_that_fails_counts(host):
    with pytest.raises(ApplyError, match="broken failed"):
        converge(host, lane(Broken("false\ntrue")))


def test_a_pipe_that_fails_counts(host):
    with pytest.raises(ApplyError, match="broken failed"):
        converge(host, lane(Broken("false | true")))


def test_exit_codes_prove_nothing_the_probe_does(host, tmp_path):
    stages = lane(Broken("true", explain="echo journal says so"), file(tmp_path / "f"))
    with pytest.raises(ApplyError, match="broken is still not as wanted: it is wrong,") \
            as caught:  # fmt: skip
        converge(host, stages)
    assert "journal says so" in caught.value.detail
    assert not (tmp_path / "f").exists(), "the lane went on"


def test_a_lane_does_not_begin_when_somebody_else_has_the_lock(host, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/holder").write_text("the guard\n")
    plan = make_plan(host, lane(file(tmp_path / "hello")))
    with pytest.raises(ApplyError) as caught:
        engine.carry_out(host, plan, lambda _: None, "us from here")
    assert "the run lock was lost to the guard" in caught.value.detail
    assert not (tmp_path / "hello").exists()
    engine.carry_out(host, plan, lambda _: None, "the guard")
    assert (tmp_path / "hello").exists()


def test_a_server_that_stops_in_the_middle_is_told(host):
    with pytest.raises(ApplyError, match="stopped at broken"):
        converge(host, lane(Broken("p=$BASHPID; kill -9 $(cut -d' ' -f4 /proc/$p/stat)")))


def test_a_probe_that_cannot_tell_is_an_error_not_an_absence(host):
    with pytest.raises(HostError, match=r"broken \(exit code 7\)") as caught:
        make_plan(host, lane(Broken(probe="echo no idea >&2; exit 7")))
    assert "no idea" in caught.value.detail


def test_answers_may_hold_anything(host):
    wanted = ["\n", "a\n\nb", "", "x" * 100_000, "last"]
    answers = ask(host, [f"printf %s '{text}'" for text in wanted])
    assert [answer.text for answer in answers] == wanted
    assert host.round_trips == 1


def test_a_probe_that_says_absent(host):
    (answer,) = ask(host, [f"echo x; exit {ABSENT}"])
    assert read(Broken(), answer) is None


def test_two_resources_of_one_name_are_refused(host, tmp_path):
    with pytest.raises(ValueError, match="two resources of one name"):
        make_plan(host, lane(file(tmp_path / "f"), file(tmp_path / "f", "other")))


def test_steps_cannot_read_what_is_for_the_engine(host, tmp_path):
    stages = lane(
        Broken(f"cat > {tmp_path}/got", f"[ -e {tmp_path}/got ] && echo right || exit 3"),
        file(tmp_path / "f"),
    )
    converge(host, stages)
    assert (tmp_path / "got").read_text() == ""


def test_the_engine_notes_before_the_steps(host, tmp_path):
    wanted = file(tmp_path / "f")
    converge(host, lane(wanted))
    entries = journal.parse((tmp_path / "state/journal.jsonl").read_text())
    assert ("file", f"{tmp_path}/f", "none") in [(e.kind, e.name, e.was) for e in entries]
    before = (tmp_path / "state/journal.jsonl").read_text()
    (tmp_path / "f").write_text("drifted")
    converge(host, lane(wanted))
    assert (tmp_path / "state/journal.jsonl").read_text() == before


def test_differences_name_what_differs():
    state = file("/f").desired
    assert differences(state, state) == ()
    (one,) = differences(state, file("/f", mode=0o600).desired)
    assert (one.key, one.old, one.new) == ("access.mode", "0644", "0600")
    (new,) = differences(None, state)
    assert (new.old, new.new) == ("absent", "present")
    (gone,) = differences(state, None)
    assert (gone.old, gone.new) == ("present", "absent")
