"""Units for work that nobody trusts: what they get, and that they end with whoever asked."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlops_server import confined
from mlops_server.confined import Yard, disk, folder, unit
from mlops_server.errors import EnvError
from mlops_server.layout import Layout
from mlops_server.workflows import sandbox

HIDDEN, SEEN = Path("/opt/x.new/tree"), Path("/opt/x")
ASK = """\
import sys
from pathlib import Path
from mlops_server import confined
from mlops_server.layout import Layout
confined.call(Layout(Path(sys.argv[1])), "x", "smoke", {"prefix": sys.argv[2]}, print)
"""


def test_a_unit_can_write_one_folder_and_has_no_network_unless_it_fetches(monkeypatch):
    monkeypatch.setenv("https_proxy", "http://me:hush@proxy")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://me:hush@index/simple")
    plain = unit.words("mlops-build-x", Yard(SEEN, HIDDEN), False, 7)
    writable = [w for w in plain if "BindPaths" in w or "ReadWrite" in w or "Directory" in w]
    assert writable == [f"--property=BindPaths={HIDDEN}:{SEEN}"]
    assert "--property=PrivateNetwork=yes" in plain
    assert "--property=DynamicUser=yes" in plain
    fetching = unit.words("mlops-git-look", None, True, 7, "mlops-git")
    assert "--property=User=mlops-git" in fetching
    for words in (plain, fetching, sandbox._unit(["x"], SEEN, {}, sandbox.Limits(7))):
        text = " ".join(words)
        assert "hush" not in text, "everybody can read units and command lines"
        for wall in ("NoNewPrivileges=yes", "ProtectSystem=strict", "PrivateTmp=yes", "LimitNPROC=",
                     "CapabilityBoundingSet= ", "/etc/mlops/secrets", "/run/dbus", "RemoveIPC=yes",
                     "KillSignal=SIGKILL", "RestrictSUIDSGID=yes"):  # fmt: skip
            assert wall in text, wall


def test_a_yard_is_reached_through_root_s_own_folder_only(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "isolated", lambda layout=None: True)
    seen = tmp_path / "builds/a.1"
    seen.parent.mkdir()
    with confined.yard(Layout(tmp_path), seen) as yard:
        assert yard.hidden.parent.stat().st_mode & 0o777 == 0o700
        assert yard.hidden.stat().st_mode & 0o777 == 0o777
        (yard.hidden / "left").touch()
    assert [path.name for path in seen.parent.iterdir()] == ["a.1"]
    with pytest.raises(EnvError), confined.yard(Layout(tmp_path), seen):
        raise EnvError("broken")
    assert list(seen.parent.iterdir()) == []


def test_it_ends_with_whoever_asked(tmp_path):
    prefix = tmp_path / "prefix"
    (prefix / "bin").mkdir(parents=True)
    (prefix / ".mlops").mkdir()
    (prefix / ".mlops/environment.yml").write_text("dependencies: [python]\n")
    started = tmp_path / "started"
    (prefix / "bin/python").write_text(f"#!/bin/sh\necho $$ > {started}\nexec sleep 100\n")
    (prefix / "bin/python").chmod(0o755)
    asking = subprocess.Popen([sys.executable, "-c", ASK, tmp_path, prefix])
    until = time.monotonic() + 60
    while not (started.exists() and started.read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    pid = int(started.read_text())
    asking.kill()
    asking.wait()
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < until, os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def test_a_build_ends_before_it_fills_the_disk(tmp_path, monkeypatch):
    free = [10 << 30]
    stopped = []
    monkeypatch.setattr(disk, "_free", lambda folder: free[0])
    monkeypatch.setattr(disk, "LOOKS", 0.01)
    with disk.watched([tmp_path], lambda: stopped.append(1)) as full:
        time.sleep(0.1)
        assert not full.is_set()
        free[0] = disk.LEFT - 1
        assert full.wait(10)
    assert stopped == [1]


def test_on_a_small_disk_half_of_what_is_free_may_be_used(tmp_path, monkeypatch):
    free = [1000]
    monkeypatch.setattr(disk, "_free", lambda folder: free[0])
    monkeypatch.setattr(disk, "LOOKS", 0.01)
    with disk.watched([tmp_path], lambda: None) as full:
        free[0] = 500
        time.sleep(0.1)
        assert not full.is_set()
        free[0] = 499
        assert full.wait(10)


def test_what_a_unit_can_write_is_watched():
    assert disk.written(None) == [Path("/tmp"), Path("/var/tmp")]
    assert disk.written(Yard(SEEN, HIDDEN))[0] == HIDDEN.parent


def test_a_folder_goes_into_which_somebody_still_writes(tmp_path):
    path = tmp_path / "made"
    path.mkdir()
    fills = "i=0; while [ $i -lt 5000 ]; do i=$((i + 1)); : > $i || exit 0; done"
    with subprocess.Popen(["/bin/sh", "-c", fills], cwd=path, stderr=subprocess.DEVNULL):
        while not (path / "100").exists():
            time.sleep(0.01)
        folder.remove(path)
        assert not path.exists()
