"""What root refuses to take over, and what it makes of what it takes."""

import hashlib
import json
import os
import socket
import subprocess
from pathlib import Path

import pytest
from mlops_server import confined, records, takeover
from mlops_server.errors import BadLock, EnvError

AT = Path("/opt/mlops/envs/churn/builds/0123456789ab.1")


@pytest.fixture
def tree(tmp_path):
    """A folder as a build leaves it, in one that only root can enter."""
    made = tmp_path / "closed/tree"
    (made / "bin").mkdir(parents=True)
    (made / "bin/tool").write_text("#!/bin/sh\n")
    return made


def deep(tree):
    inner = tree
    for _ in range(70):
        inner /= "d"
        inner.mkdir()


def sparse(tree):
    with (tree / "huge").open("wb") as file:
        file.truncate(17 << 30)


def many_sparse(tree):
    for number in range(9):
        with (tree / f"large{number}").open("wb") as file:
            file.truncate(8 << 30)


def bound(tree):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tree / "socket"))


def outside(tree):
    (tree.parent / "outside").write_text("of somebody else")
    os.link(tree.parent / "outside", tree / "bin/inside")


BAD = {
    "a link to a file of the server": (
        lambda tree: (tree / "shadow").symlink_to("/etc/shadow"),
        "is a link to",
    ),
    "a link that climbs out": (
        lambda tree: (tree / "bin/up").symlink_to("../../x"),
        "is a link to",
    ),
    "a link that climbs out and comes back": (
        lambda tree: (tree / "bin/up").symlink_to("../../0123456789ab.1/bin/tool"),
        "is a link to",
    ),
    "a link with the prefix's name in front": (
        lambda tree: (tree / "l").symlink_to(f"{AT}-other/x"),
        "is a link to",
    ),
    "an absolute link that climbs out": (
        lambda tree: (tree / "l").symlink_to(f"{AT}/../../x"),
        "is a link to",
    ),
    "a link to a folder outside": (
        lambda tree: (tree / "etc").symlink_to("/etc"),
        "is a link to",
    ),
    "a hard link to a file outside": (outside, "hard links"),
    "a pipe": (lambda tree: os.mkfifo(tree / "pipe"), "neither file nor folder"),
    "a socket": (bound, "neither file nor folder"),
    "a line break in a name": (lambda tree: (tree / "a\nb").touch(), "control character"),
    "an escape in a name": (lambda tree: (tree / "\x1b[2J").touch(), "control character"),
    "a name of ours": (lambda tree: (tree / ".mlops").mkdir(), "name of ours"),
    "a mark of ours": (lambda tree: (tree / ".mlops-work").touch(), "name of ours"),
    "no end of folders": (deep, "folders deep"),
    "a file larger than any disk": (sparse, "more than 16 GiB"),
    "files larger than any disk": (many_sparse, "all files more than 64 GiB"),
    "a path that is too long": (
        lambda tree: (tree / ("x" * 250) / ("y" * 250) / ("z" * 250) / ("w" * 255)).mkdir(
            parents=True
        ),
        "too long a name",
    ),
}


@pytest.mark.parametrize(("attack", "said"), BAD.values(), ids=list(BAD))
def test_what_is_not_taken_over(tree, attack, said):
    attack(tree)
    before = os.lstat(tree / "bin/tool")
    with pytest.raises(BadLock, match=said) as refused:
        takeover.take(tree, at=AT)
    assert "\n" not in refused.value.message
    assert os.lstat(tree / "bin/tool") == before, "all is judged before anything is changed"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make one")
def test_a_device_is_not_taken_over(tree):
    os.mknod(tree / "disk", 0o60666, os.makedev(7, 0))
    with pytest.raises(BadLock, match="neither file nor folder"):
        takeover.take(tree, at=AT)


def test_a_link_to_a_folder_is_not_entered(tree, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/file").touch(mode=0o600)
    (tree / "other").symlink_to(tmp_path / "other")
    takeover.take(tree)
    assert (tmp_path / "other/file").stat().st_mode & 0o777 == 0o600


def test_what_is_taken_over_is_root_s_and_nobody_else_can_write_it(tree):
    (tree / "bin/tool").chmod(0o6777)
    (tree / "secret").touch(mode=0o000)
    (tree / "open").mkdir()
    (tree / "open").chmod(0o1777)
    (tree / "bin/sh").symlink_to("tool")
    (tree / "bin/full").symlink_to(f"{AT}/bin/tool")
    (tree / "lib").mkdir()
    (tree / "lib/x").symlink_to("../bin/./tool")
    os.link(tree / "secret", tree / "twin")
    for path in tree.rglob("*"):
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534, follow_symlinks=False)
    found = takeover.take(tree, at=AT)
    assert (found.files, found.bytes) == (3, 10)
    modes = {str(p.relative_to(tree)): oct(p.lstat().st_mode & 0o7777) for p in tree.rglob("*")
             if not p.is_symlink()}  # fmt: skip
    assert modes == {"bin": "0o755", "bin/tool": "0o755", "secret": "0o644", "open": "0o755",
                     "lib": "0o755", "twin": "0o644"}  # fmt: skip
    assert {p.lstat().st_uid for p in tree.rglob("*")} == {os.geteuid()}


def test_lists_of_rights_go(tree):
    # What setfacl -m u:1234:rwx makes, in the kernel's own words.
    rule = bytes.fromhex("0200000001000600ffffffff02000700d204000004000400ffffffff"
                         "10000700ffffffff20000400ffffffff")  # fmt: skip
    try:
        os.setxattr(tree / "bin/tool", "system.posix_acl_access", rule)
        os.setxattr(tree / "bin/tool", "user.note", b"x")
    except OSError:
        pytest.skip("this file system keeps no lists of rights")
    takeover.take(tree, at=AT)
    assert [n for n in os.listxattr(tree / "bin/tool") if not n.startswith("security.")] == []


def test_a_file_is_taken_over_by_its_content_only(tmp_path):
    good = hashlib.sha256(b"good").hexdigest()
    (tmp_path / "good").write_bytes(b"good")
    takeover.take_file(tmp_path / "good", good, tmp_path / "kept")
    assert (tmp_path / "kept").read_bytes() == b"good"
    (tmp_path / "bad").write_bytes(b"bad")
    (tmp_path / "link").symlink_to("kept")
    os.link(tmp_path / "kept", tmp_path / "twin")
    os.mkfifo(tmp_path / "pipe")
    for name in ("bad", "twin", "pipe"):
        with pytest.raises(BadLock):
            takeover.take_file(tmp_path / name, good, tmp_path / "other")
    for name in ("link", "absent"):
        with pytest.raises(OSError, match=name):
            takeover.take_file(tmp_path / name, good, tmp_path / "other")
    assert not (tmp_path / "other").exists()


RECORD = {"name": "n", "version": "1", "build": "0", "files": ["bin/x"]}
RECORDS = {
    "a file of the data folder": RECORD | {"files": ["../../../../../srv/mlops/data/pay"]},
    "a file of the server": RECORD | {"files": ["/etc/passwd"]},
    "a path that climbs out": RECORD | {"paths_data": {"paths": [{"_path": "a/../../x"}]}},
    "no name": {"version": "1", "build": "0"},
    "a list": [],
    "paths that are none": RECORD | {"paths_data": {"paths": "abc"}},
}


@pytest.mark.parametrize("record", RECORDS.values(), ids=list(RECORDS))
def test_records_that_name_what_is_outside(tmp_path, record):
    (tmp_path / "conda-meta").mkdir()
    (tmp_path / "conda-meta/good.json").write_text(json.dumps(RECORD))
    records.judge(tmp_path)
    (tmp_path / "conda-meta/n.json").write_text(json.dumps(record))
    with pytest.raises(BadLock):
        records.judge(tmp_path)


def test_variables_of_packages_are_small_and_well_formed(tmp_path):
    folder = tmp_path / "etc/conda/env_vars.d"
    folder.mkdir(parents=True)
    for text in ("[" * 100_000, "[]", '"x"', "{" + " " * (1 << 20) + "}"):
        (folder / "x.json").write_text(text)
        with pytest.raises(BadLock):
            records.judge(tmp_path)


def test_what_a_unit_says_is_only_text():
    error = confined.described({"message": "a\x1b[2J\nb" * 1000, "detail": 7, "for_good": True})
    assert isinstance(error, BadLock)
    assert error.message.isprintable()
    assert len(error.message) <= 2000
    assert type(confined.described(["no", "error"])) is EnvError


def test_whatever_is_deep_is_removed(tmp_path):
    script = "for i in range(3000): os.mkdir('d'); os.chdir('d')"
    subprocess.run(["python3", "-c", f"import os\n{script}"], cwd=tmp_path, check=True)
    confined.remove(tmp_path / "d")
    assert list(tmp_path.iterdir()) == []
