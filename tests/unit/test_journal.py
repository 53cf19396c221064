"""The journal: noted before it is made, once, with the original of what was there."""

import subprocess

import pytest
from mlops_install import config, context, facts, journal
from mlops_install.journal import Entry
from mlops_install.resource import Made
from mlops_install.resources.airflow import Answers, Contents
from mlops_install.resources.certificates import Authorities
from mlops_install.resources.environment import Environment, LongNames
from mlops_install.resources.journal import Journal
from mlops_install.resources.packages import HOOK_TEXT, Packages
from mlops_install.resources.postgres import Settings
from mlops_install.resources.pulled import Pulled
from mlops_install.resources.tables import Tables
from mlops_install.roles import stages
from samples import FACTS

MAKE_NOTHING = {  # what they change is inside something that another resource makes
    Authorities: "only with ca_bundle",
    Answers: "a file of the state folder",
    Contents: "inside the database",
    Environment: "a folder in the tree of environments",
    Journal: "the journal itself",
    LongNames: "links in the tree of environments",
    Packages: "apt tells which are new",
    Pulled: "inside the folder of releases",
    Settings: "in memory",
    Tables: "inside the database",
}


def server(**more: str) -> context.Context:
    text = FACTS + "".join(f"{key}={value}\n" for key, value in more.items())
    return context.make(config.parse("", "t"), facts.parse(text), context.Given(), "192.0.2.7")


def note(state, *makes: Made, before: str = "") -> tuple[Entry, ...]:
    script = f"set -e\n{journal.prelude(str(state))}\n{before}\n{journal.notes(makes)}"
    subprocess.run(["bash", "-c", script], check=True)
    return journal.parse((state / "journal.jsonl").read_text())


def test_a_new_file_is_noted_with_the_folders_above_it(tmp_path):
    found = note(tmp_path / "state", Made("file", f"{tmp_path}/a/b/c"))
    assert [(e.kind, e.name, e.was) for e in found] == [
        ("directory", f"{tmp_path}/a", "none"),
        ("directory", f"{tmp_path}/a/b", "none"),
        ("file", f"{tmp_path}/a/b/c", "none"),
    ]


def test_a_file_of_others_is_kept_once(tmp_path):
    state, path = tmp_path / "state", tmp_path / "their file"
    path.write_text("theirs\n")
    path.chmod(0o640)
    (found,) = note(state, Made("file", str(path)))
    assert found.was == "kept"
    path.write_text("ours\n")
    assert note(state, Made("file", str(path))) == (found,)
    original = state / f"originals{path}"
    assert original.read_text() == "theirs\n"
    assert original.stat().st_mode & 0o777 == 0o640


def test_an_original_that_came_back_is_kept_again(tmp_path):
    state, path = tmp_path / "state", tmp_path / "f"
    path.write_text("theirs\n")
    note(state, Made("file", str(path)))
    (state / f"originals{path}").unlink()
    note(state, Made("file", str(path)))
    assert (state / f"originals{path}").read_text() == "theirs\n"


def test_a_link_of_others_is_kept_as_a_link(tmp_path):
    (tmp_path / "link").symlink_to("nowhere")
    (found,) = note(tmp_path / "state", Made("link", f"{tmp_path}/link"))
    assert found.was == "kept"
    assert (tmp_path / f"state/originals{tmp_path}/link").readlink().name == "nowhere"


def test_a_folder_of_others_keeps_its_mode(tmp_path):
    (tmp_path / "d").mkdir(mode=0o700)
    (found,) = note(tmp_path / "state", Made("tree", f"{tmp_path}/d"))
    assert found.was.startswith("700 ")


def test_a_user_of_others_is_known(tmp_path):
    user, group = note(tmp_path / "state", Made("user", "root"), Made("group", "mlops-none"))
    assert (user.was, group.was) == ("there", "none")


def test_a_line_that_was_torn_costs_no_other(tmp_path):
    torn = '{"kind": "file", "name": "/et'
    whole = Entry("file", "/etc/x", "none", "2026-11-22T20:17:16Z")
    assert journal.parse(f"{whole.line()}\n{torn}{whole.line()}\n") == (whole, whole)


def test_a_name_that_the_journal_cannot_hold_is_refused():
    with pytest.raises(ValueError, match="cannot hold"):
        journal.notes([Made("file", '/etc/"')])


def test_apt_tells_what_is_new(tmp_path):
    said = (
        "VERSION 2\nAPT::Architecture=amd64\nX=a - < b c\n\n"
        "nginx - < 1.22-1 /var/cache/apt/archives/nginx.deb\n"
        "libc6 2.36-8 < 2.36-9 /var/cache/apt/archives/libc6.deb\n"
        "nginx - < 1.22-1 **CONFIGURE**\n"
    )
    script = HOOK_TEXT.replace(journal.STATE, str(tmp_path))
    for _ in range(2):
        subprocess.run(["bash", "-c", script], input=said, text=True, check=True)
    entries = journal.parse((tmp_path / "journal.jsonl").read_text())
    assert [(e.kind, e.name, e.was) for e in entries] == [
        ("package", "nginx", "none"),
        ("upgraded", "libc6", "2.36-8"),
    ]


def test_every_resource_says_what_it_makes():
    lanes = [lane for stage in stages(server()) for lane in stage.lanes]
    silent = [r for lane in lanes for r in lane.resources if not r.makes()]
    absent = [r.name for r in silent if type(r) not in MAKE_NOTHING and r.desired is not None]
    assert absent == []


def test_the_journal_comes_first_and_knows_an_older_server():
    first = stages(server())[0].lanes[0].resources[0]
    assert isinstance(first, Journal)
    assert first.made == ()
    older = stages(server(installed="mlops-install"))[0].lanes[0].resources[0]
    assert isinstance(older, Journal)
    assert Made("user", "airflow") in older.made
    text = "".join(step.shell() for step in older.change(None))
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
