"""Packages that attack the server on which they are unpacked, compiled and tried."""

import json
import secrets
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import channel
import hostile
import pytest
import shared
from mlops_install import box
from server import Server, wait_for

pytestmark = [pytest.mark.box, pytest.mark.slow]
PLACES = (
    "/etc/cron.d/evil",
    "/usr/local/bin/evil",
    "/etc/systemd/system/evil.service",
    "/srv/mlops/data/evil",
    "/opt/mlops/envs/evil",
    "/var/cache/mlops/conda/evil",
    "/var/cache/mlops/wheels/evil",
    "/srv/mlops/workflows/evil",
    "/run/lock/evil",
    "/opt/mlops/lib/python/current/mlops_server/evil.py",
    "/dev/mqueue/evil",
    "/dev/shm/evil",
    "/tmp/evil",
    "/var/tmp/evil",
    "/evil",
)
BAIT = {"site-packages/bait.py": "VALUE = 1\n"}
HARMLESS = {"who", "setuid", "asker", "leave_behind", "shared_memory", "temporary", "namespace"}
"""What may be done, for it is undone, or reaches nobody: looked at by itself."""


@dataclass
class Attacker:
    """A server, and a channel that it trusts and an attacker has."""

    server: Server
    folder: Path
    base: str
    port: int

    def build(self, model: str, *entries: dict[str, object]) -> tuple[int, str]:
        """Exit code and output of a build."""
        lock = hostile.offer(self.server, model, self.base, list(entries))
        done = self.server.try_ssh(f"mlops env build {model} {lock}")
        return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def attacker(boxes_here: None, folder: Path) -> Iterator[Attacker]:
    server = shared.copy(shared.plain("debian-13"), folder)
    place = folder / "attacker"
    (place / "conda-forge").mkdir(parents=True)
    with channel.serve(channel.Channel(place), "0.0.0.0") as served:
        base = served.at("host.internal")
        server.ssh(
            "sed -i '/^channels = /,/^]/d' /etc/mlops/workflows.toml\n"
            f"echo 'channels = [\"{base}/\"]' >> /etc/mlops/workflows.toml"
        )
        yield Attacker(server, place / "conda-forge", base, served.port)
    box.down(server.name)


def test_code_of_packages_reaches_nothing(attacker: Attacker) -> None:
    server, mark = attacker.server, str(10**6 + secrets.randbelow(10**6))
    here = f"'host.internal', {attacker.port}"
    evil = hostile.EVIL.replace("MARK", mark).replace("HOST, PORT", here)
    python = {"bin/python": hostile.PYTHON, "bin/evil.py": evil}
    code, output = attacker.build(
        "attack",
        hostile.package(attacker.folder, "python", python),
        hostile.package(attacker.folder, "bait", BAIT, "python"),
    )
    assert code == 1, output
    found = json.loads(next(line for line in output.splitlines() if line.startswith('{"compile"')))
    for unit, findings in found.items():
        assert len(findings) > 30
        done = {name: said for name, said in findings.items() if not said.startswith("dead")}
        assert set(done) <= HARMLESS, (unit, done)
        uid, groups = findings["who"].split(" ", 1)
        assert int(uid) >= 61184, "a user that exists for this run"
        assert groups == f"[{uid}]"
        assert 0 < int(findings["bomb"].rpartition(" ")[2]) < 1100
    assert "\x1b" not in output
    assert found["smoke"]["setuid"].startswith("dead"), "the finished prefix is root's"
    assert server.ssh(f"ls -d {' '.join(PLACES)} 2>/dev/null || true") == ""
    assert server.ssh(f"pgrep -f 'sleep {mark}' || true") == "", "nothing lives on"
    assert server.ssh("ls -A /opt/mlops/envs/attack/builds") == ""
    assert server.ssh("systemctl list-units --all -q 'mlops-*-attack*'") == ""


def leaving(text: str) -> str:
    """An interpreter that leaves something in its prefix when it compiles, and is content."""
    return (
        "#!/usr/bin/python3 -I\nimport os, sys\n"
        "here = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))\n"
        f"if 'compileall' in sys.argv:\n    os.chdir(here)\n    {text}\n"
    )


LEFT = {
    "a link to a secret": ("os.symlink('/etc/shadow', 'share')", "is a link to"),
    "a link out of the prefix": ("os.symlink('../../../x', 'up')", "is a link to"),
    "a line break in a name": ("open('a\\nb', 'w')", "control character"),
    "a pipe": ("os.mkfifo('pipe')", "neither file nor folder"),
    "files larger than the disk": (
        "[os.truncate(os.open(f'f{n}', os.O_CREAT | os.O_RDWR), 15 << 30) for n in range(9)]",
        "more than 16 GiB",
    ),
    "no end of folders": (
        "[(os.mkdir('d'), os.chdir('d')) for n in range(2000)]",
        "folders deep",
    ),
    "a name of ours": ("os.symlink('/etc', '.mlops')", "name of ours"),
    "another record": (
        "open('conda-meta/x.json', 'w').write('{\"name\": \"../../../../../etc/passwd\"}')",
        "no record of a package",
    ),
}


@pytest.mark.parametrize(("text", "said"), LEFT.values(), ids=list(LEFT))
def test_what_a_build_leaves_is_judged(attacker: Attacker, text: str, said: str) -> None:
    code, output = attacker.build(
        "left",
        hostile.package(attacker.folder, "python", {"bin/python": leaving(text)}),
        hostile.package(attacker.folder, "bait", BAIT, "python"),
    )
    assert code == 1, output
    assert said in output
    assert "Traceback" not in output
    assert attacker.server.ssh("ls -A /opt/mlops/envs/left/builds") == ""


def test_what_is_taken_over_is_root_s(attacker: Attacker) -> None:
    text = (
        "os.chmod('bin/python', 0o777); os.mkdir('open'); os.chmod('open', 0o1777);"
        "open('t', 'w').close(); os.link('t', 'twin'); os.symlink('bin', 'inner')"
    )
    code, output = attacker.build(
        "sly",
        hostile.package(attacker.folder, "python", {"bin/python": leaving(text)}),
        hostile.package(attacker.folder, "bait", BAIT, "python"),
    )
    assert code == 0, output
    prefix = attacker.server.ssh("ls -d /opt/mlops/envs/sly/builds/*")
    assert {"bin", "inner", "t", "twin"} <= set(attacker.server.ssh(f"ls {prefix}").split())
    loose = f"find {prefix} ! -type l \\( -perm /7022 -o ! -user root -o ! -group root \\)"
    assert attacker.server.ssh(loose) == ""


def member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.mode = kind, to, 0o6777
    made.size = 4 if kind == tarfile.REGTYPE else 0
    made.devmajor, made.devminor = 7, 0
    return made


TRICKS = {
    "a member above": [member("../../../../../../etc/cron.d/evil")],
    "an absolute member": [member("/etc/cron.d/evil")],
    "through a link": [member("l", tarfile.SYMTYPE, "/etc/cron.d"), member("l/evil")],
    "through a relative link": [
        member("l", tarfile.SYMTYPE, "../../../../../../etc/cron.d"),
        member("l/evil"),
    ],
    "a hard link": [member("shadow", tarfile.LNKTYPE, "/etc/shadow")],
    "a device": [member("disk", tarfile.BLKTYPE)],
}


@pytest.mark.parametrize("members", TRICKS.values(), ids=list(TRICKS))
def test_archives_are_unpacked_where_they_can_reach_nothing(attacker, members) -> None:
    inner = {f"{number}": one for number, one in enumerate(members)}
    code, output = attacker.build(
        "tricks",
        hostile.package(
            attacker.folder, "python", {"bin/python": leaving("pass")} | inner, paths=["bin/python"]
        ),
    )
    assert "Traceback" not in output
    server = attacker.server
    assert server.ssh(f"ls -d {' '.join(PLACES)} 2>/dev/null || true") == ""
    assert server.ssh("stat -c '%a %h' /etc/shadow") == "640 1"
    assert server.ssh("find /var/cache/mlops /opt/mlops/envs -type b -o -perm /6000") == "", code


def test_a_name_that_leads_out_of_the_prefix(attacker: Attacker) -> None:
    """It was written as root, wherever it led."""
    for path in ("../../../../../../srv/mlops/data/evil", "/srv/mlops/data/evil"):
        code, output = attacker.build(
            "names",
            hostile.package(
                attacker.folder,
                "python",
                {"bin/python": leaving("pass"), "x": "evil"},
                paths=["bin/python", path],
            ),
            hostile.package(attacker.folder, "bait", BAIT, "python"),
        )
        assert code == 1, output
        assert "Traceback" not in output
    assert attacker.server.ssh("ls -A /srv/mlops/data | grep -c evil || true") == "0"


def test_a_package_from_elsewhere_is_not_asked_for(attacker: Attacker) -> None:
    entry = hostile.package(attacker.folder, "python", {"bin/python": leaving("pass")})
    known = entry | {"url": "../../elsewhere/python-3.11.7-0.conda"}
    code, output = attacker.build("elsewhere", known)
    assert code == 1
    assert "[models] channels" in output


def test_another_file_than_was_locked(attacker: Attacker) -> None:
    entry = hostile.package(attacker.folder, "python", {"bin/python": leaving("pass")})
    path = attacker.folder / entry["url"]
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    code, output = attacker.build("flipped", entry)
    assert code == 1
    assert "do not trust it" in output


def test_a_build_killed_at_any_point_leaves_nothing_at_work(attacker: Attacker) -> None:
    server, mark = attacker.server, str(10**6 + secrets.randbelow(10**6))
    entry = hostile.package(
        attacker.folder,
        "python",
        {"bin/python": leaving(f"os.system('setsid sleep {mark} & sleep {mark}')")},
    )
    bait = hostile.package(attacker.folder, "bait", BAIT, "python")
    lock = hostile.offer(server, "killed", attacker.base, [entry, bait])
    server.ssh(f"setsid -f mlops env build killed {lock} >/dev/null 2>&1 </dev/null")
    wait_for(lambda: server.ssh(f"pgrep -fc '^sleep {mark}' || true") >= "2", "its processes")
    server.ssh(f"pkill -9 -f 'mlops_server env build killed {lock}'")
    wait_for(lambda: server.ssh(f"pgrep -f '^sleep {mark}' || true") == "", "their end", 20)
    gone = "systemctl list-units --all -q 'mlops-*-killed*'"
    wait_for(lambda: server.ssh(gone) == "", "the end of the unit", 20)
    assert (
        attacker.build(
            "killed",
            hostile.package(attacker.folder, "python", {"bin/python": leaving("pass")}),
            bait,
        )[0]
        == 0
    )
    assert len(server.ssh("ls -A /opt/mlops/envs/killed/builds").split()) == 1
    assert server.ssh("ls -A /var/cache/mlops/conda | grep '^[.][afu]' || true") == ""
