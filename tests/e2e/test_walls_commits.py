"""Commits that attack the server which pulls them: none is let in, and none reaches anything."""

import json
import re
import secrets
import shlex
from collections.abc import Iterator
from pathlib import Path

import gitserver
import hostile
import pytest
import shared
from mlops_install import box
from server import Server, wait_for

pytestmark = [pytest.mark.box, pytest.mark.slow]
GOOD = {"dags/good.py": "from airflow.sdk import DAG\nwith DAG('good'): pass\n"}

# Commits a tree as no Git would write it: `entries` are (mode, name, type or text).
RAW = """\
import json, subprocess, sys


def git(*words, given=b""):
    done = subprocess.run(["git", *words], input=given, capture_output=True, check=True)
    return done.stdout.decode().strip()


def tree(entries):
    packed = b""
    for mode, name, held in entries:
        if isinstance(held, list):
            oid = tree(held)
        elif mode == "160000":
            oid = held
        else:
            oid = git("hash-object", "-w", "--stdin", given=held.encode())
        packed += f"{mode} {name}".encode() + b"\\0" + bytes.fromhex(oid)
    return git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", given=packed)


asked = json.loads(sys.argv[1])
made = git("commit-tree", tree(asked["entries"]), "-p", "HEAD", "-m", asked["message"])
git("push", "-q", asked["to"], f"+{made}:refs/heads/main")
"""


@pytest.fixture(scope="module")
def victim(boxes_here: None, folder: Path) -> Iterator[Server]:
    """A server that pulls from a Git server where an attacker may push."""
    server = shared.copy(shared.plain("debian-13"), folder)
    gitserver.start(server)
    gitserver.push(server, GOOD)
    hosts = gitserver.host_keys(server)
    server.want(gitserver.CONFIG.format(hosts=hosts))
    gitserver.let_in(server)
    with shared.computing():
        server.applied = server.cli("apply", "--yes")
    assert server.applied.returncode == 0, server.applied.end
    server.ssh(f"mkdir -p /etc/cron.d; cat > /root/raw.py <<'END'\n{RAW}END")
    yield server
    box.down(server.name)


@pytest.fixture
def unharmed(victim: Server) -> Iterator[Server]:
    """Whatever is pushed: the release in force stays, nothing is written, nothing lives on."""
    before = victim.ssh("readlink /srv/mlops/workflows/current")
    yield victim
    assert victim.ssh("readlink /srv/mlops/workflows/current") == before
    assert victim.ssh(f"ls -d {' '.join(hostile.PLACES)} 2>/dev/null || true") == ""
    units = "systemctl list-units --all -q --plain 'mlops-git-*' 'run-*.service'"
    assert "mlops" not in victim.ssh(units)
    # The DAG that pulls may be at work beside the tests.
    left = "ls -A /srv/mlops/workflows | grep pull || true"
    wait_for(lambda: victim.ssh(left) == "", "the end of all pulls", 60)
    assert (
        victim.ssh(r"find /srv/mlops/workflows \( -perm /6002 ! -type l -o ! -user root \)") == ""
    )
    victim.ssh(
        f"cd /root/clone && git reset -q --hard && git clean -qfdx && git push -qf {gitserver.PATH}"
        f" HEAD:main && chown -R git {gitserver.PATH}"
    )


def push_raw(server: Server, entries: list[object], message: str = "change") -> None:
    asked = json.dumps({"entries": entries, "message": message, "to": gitserver.PATH})
    server.ssh(
        f"cd /root/clone && python3 /root/raw.py {shlex.quote(asked)}"
        f" && chown -R git {gitserver.PATH}"
    )


def push(server: Server, files: dict[str, str], change: str = "") -> None:
    """A commit that the clone forgets again."""
    gitserver.push(server, files, change)
    server.ssh("cd /root/clone && git reset -q --hard HEAD~1")


def refused(server: Server) -> str:
    """What a pull says that lets nothing in."""
    done = server.try_ssh("mlops workflows sync")
    said = done.stdout + done.stderr
    assert done.returncode == 3, said
    assert "Traceback (most recent" not in said
    return said


@pytest.mark.parametrize("place", ["dags/evil.py", "tests/test_evil.py", "tests/conftest.py"])
def test_code_of_commits_reaches_nothing(unharmed: Server, place: str) -> None:
    mark = str(10**6 + secrets.randbelow(10**6))
    code = hostile.COMMIT.replace("MARK", mark).replace("HOST, PORT", "'127.0.0.1', 8080")
    files = {place: f"from airflow.sdk import DAG\n{code}"}
    if place.endswith("conftest.py"):
        files["tests/test_it.py"] = "def test_it(): pass\n"
    push(unharmed, files)
    said = refused(unharmed)
    found = re.search(r"(\d+) attacks; alive: ([\w ]*); (\d+)", said)
    assert found, said
    assert int(found[1]) > 40
    assert set(found[2].split()) <= hostile.HARMLESS, found[2]
    assert int(found[3]) >= 61184, "a user that exists for this run"
    assert unharmed.ssh(f"pgrep -f 'sleep {mark}' || true") == "", "nothing lives on"


def test_a_file_that_forks_and_leaves_its_session(victim: Server) -> None:
    """It may be let in, for it does no harm; what it started has ended."""
    mark = str(10**6 + secrets.randbelow(10**6))
    forks = f"import os, signal\n{hostile.LEAVE_BEHIND}leave_behind()\n".replace("MARK", mark)
    push(victim, {"tests/forks.py": forks, "tests/test_it.py": "import forks\n"
                  "def test_it(): pass\n"})  # fmt: skip
    done = victim.try_ssh("mlops workflows sync")
    assert done.returncode in (0, 3), done.stdout + done.stderr
    assert victim.ssh(f"pgrep -f 'sleep {mark}' || true") == ""
    victim.ssh(f"cd /root/clone && git push -qf {gitserver.PATH} HEAD:main"
               f" && chown -R git {gitserver.PATH}")  # fmt: skip
    assert victim.try_ssh("mlops workflows sync").returncode == 0


def blob(name: str, text: str = "evil", mode: str = "100644") -> list[object]:
    return [mode, name, text]


def below(name: str, *entries: list[object]) -> list[object]:
    return ["40000", name, list(entries)]


TREES = {
    "a name that leads up": [below("..", blob("evil"))],
    "a longer name that leads up": [blob("../../../../../../etc/cron.d/evil")],
    "an absolute name": [blob("/etc/cron.d/evil")],
    "a folder of Git": [below(".git", blob("config", "[core]\n\tfsmonitor = touch /evil\n"))],
    "hooks of Git": [below(".GIT", below("hooks", blob("post-checkout", "#!/bin/sh\n", "100755")))],
    "another spelling of it": [below("git~1", blob("config"))],
    "a dot": [below(".", blob("evil"))],
    "a line break in a name": [blob("a\nevil.py")],
    "an escape sequence in a name": [blob("\x1b]0;evil\x07.py")],
    "a backslash in a name": [blob("..\\evil.py")],
    "a name twice": [blob("away", "/etc/cron.d", "120000"), below("away", blob("evil"))],
    "an absolute link": [blob("away", "/etc/shadow", "120000")],
    "a link that leads up": [blob("away", "../../../../etc/shadow", "120000")],
    "a link without end": [blob("away", "x" * 5000, "120000")],
    "links in a ring": [blob("a", "b", "120000"), blob("b", "a", "120000")],
    "a link to a link that leads out": [blob("a", "b/..", "120000"), blob("b", "/", "120000")],
    "a folder deeper than any": [],
    "a pointer of Git LFS": [
        blob("dags.bin", "version https://git-lfs.github.com/spec/v1\n"
             f"oid sha256:{'0' * 64}\nsize 9999999999999\n"),
    ],
    "a pointer that leads out": [
        blob("dags.bin", "version https://git-lfs.github.com/spec/v1\n"
             "oid sha256:../../../../../../etc/shadow\nsize 10\n"),
    ],
}  # fmt: skip


def deep(levels: int) -> list[object]:
    made = below("d", blob("evil"))
    for _ in range(levels):
        made = below("d", made)
    return made


@pytest.mark.parametrize("name", TREES)
def test_trees_that_no_git_would_write(unharmed: Server, name: str) -> None:
    entries = TREES[name] or [deep(300)]
    push_raw(unharmed, entries)
    said = refused(unharmed)
    assert "\x1b" not in said


MODULES = {
    "the API": "https://127.0.0.1:8080/x.git",
    "the idle place of the API": "https://localhost.:8082/x.git",
    "a name that leads to loopback": "https://git.evil.example:8082/x.git",
    "another spelling": "https://0x7f000001:8082/x.git",
    "the cloud's own address": "https://169.254.169.254/latest/x.git",
    "a program": "ext::sh -c touch% /evil",
    "a file": "file:///etc/x.git",
    "a path": "/etc/x.git",
    "an option": "-u./evil",
    "an option of ssh": "ssh://-oProxyCommand=touch%20/evil/x.git",
    "a login": "https://me:password@git.example.org/x.git",
    "a line break": "https://git.example.org/x.git\\nevil",
}


@pytest.fixture(scope="module")
def asked(victim: Server) -> str:
    """Somebody listens where the API server will, and writes down who asks."""
    listener = (
        "import socket\ns = socket.create_server(('127.0.0.1', 8082))\nwhile True:\n"
        " c, a = s.accept(); open('/root/asked', 'a').write(f'{a}\\n'); c.close()\n"
    )
    victim.ssh(
        "echo '127.0.0.1 git.evil.example' >> /etc/hosts; touch /root/asked\n"
        f"systemd-run -q --unit=listener python3 -c {shlex.quote(listener)}"
    )
    return "/root/asked"


@pytest.mark.parametrize("url", MODULES.values(), ids=list(MODULES))
def test_submodules_that_lead_inside(unharmed: Server, asked: str, url: str) -> None:
    about = f'[submodule "evil"]\n\tpath = evil\n\turl = "{url}"\n'
    push_raw(unharmed, [blob(".gitmodules", about), ["160000", "evil", "1" * 40]])
    refused(unharmed)
    assert unharmed.ssh(f"cat {asked}") == "", "nobody was asked"


def test_what_git_would_obey_is_only_text(unharmed: Server) -> None:
    """Attributes with filters, another server for large files, text that plays with a terminal."""
    push_raw(
        unharmed,
        [
            blob(".gitattributes", "* filter=evil export-subst diff=evil\n"),
            blob(".gitconfig", '[filter "evil"]\n\tsmudge = touch /evil\n'),
            blob(".lfsconfig", "[lfs]\n\turl = http://127.0.0.1:8082/\n"),
            below(
                "dags",
                blob("evil.py", "import airflow\nraise RuntimeError('\\x1b]0;evil\\x07')  # dag\n"),
            ),
        ],
        "\x1b]0;evil\x07\x1b[2J",
    )
    said = refused(unharmed) + unharmed.ssh("mlops workflows status")
    assert "\x1b" not in said
    assert "\x07" not in said
