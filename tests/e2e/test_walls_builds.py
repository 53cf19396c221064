"""Packages that attack the server on which they are unpacked, compiled and tried."""

import json
import secrets
import tarfile
import zipfile
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
BAIT = {"site-packages/bait.py": "VALUE = 1\n"}


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
            "mkdir -p /etc/cron.d\n"  # a small system has none
            # Builds need none of these, and other tests need the processors.
            "systemctl stop airflow-watchdog.timer 'airflow-scheduler@*' airflow-triggerer"
            " airflow-dag-processor\n"
            "sed -i '/^channels = /,/^]/d' /etc/mlops/workflows.toml\n"
            f"echo 'channels = [\"{base}/\"]' >> /etc/mlops/workflows.toml"
        )
        yield Attacker(server, place / "conda-forge", base, served.port)
    box.down(server.name)


def test_code_of_packages_reaches_nothing(attacker: Attacker) -> None:
    server, mark = attacker.server, str(10**6 + secrets.randbelow(10**6))
    here = f"'host.internal', {attacker.port}"
    evil = hostile.PACKAGE.replace("MARK", mark).replace("HOST, PORT", here)
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
        assert set(done) <= hostile.HARMLESS, (unit, done)
        uid, groups = findings["who"].split(" ", 1)
        assert int(uid) >= 61184, "a user that exists for this run"
        assert groups == f"[{uid}]"
        assert 0 < int(findings["bomb"].rpartition(" ")[2]) < 1100
    assert "\x1b" not in output
    assert found["smoke"]["setuid"].startswith("dead"), "the finished prefix is root's"
    assert server.ssh(f"ls -d {' '.join(hostile.PLACES)} 2>/dev/null || true") == ""
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
    assert server.ssh(f"ls -d {' '.join(hostile.PLACES)} 2>/dev/null || true") == ""
    assert server.ssh("stat -c '%a %h' /etc/shadow") == "640 1"
    assert server.ssh("find /var/cache/mlops /opt/mlops/envs -type b -o -perm /6000") == "", code


UP = "../../../../../../../.."


@pytest.mark.parametrize(
    "path", [f"{UP}/srv/mlops/data/evil", "/srv/mlops/data/evil", f"bin/{UP}/etc/cron.d/evil"]
)
def test_a_name_that_leads_out_of_the_prefix(attacker: Attacker, path: str) -> None:
    """It was written as root, wherever it led."""
    members = {"bin/python": leaving("pass"), "x": "evil"}
    code, output = attacker.build(
        "names",
        hostile.package(attacker.folder, "python", members, paths=["bin/python", path]),
        hostile.package(attacker.folder, "bait", BAIT, "python"),
    )
    assert code == 1, output
    assert "Traceback" not in output
    nothing_outside(attacker)


def nothing_outside(attacker: Attacker) -> None:
    """What attacks try to write is not there."""
    assert attacker.server.ssh(f"ls -d {' '.join(hostile.PLACES)} 2>/dev/null || true") == ""


@pytest.fixture(scope="module")
def python(attacker: Attacker) -> list[dict[str, object]]:
    """A real interpreter in the attacker's channel."""
    source = channel.build().folder
    return [hostile.real(attacker.folder, name, source) for name in ("python", "python_abi")]


AT_START = {
    "a .pth file": {
        "site-packages/evil.pth": "import at_start\n",
        "site-packages/at_start.py": "AT_START",
    },
    "sitecustomize": {"site-packages/sitecustomize.py": "AT_START"},
    "usercustomize": {"site-packages/usercustomize.py": "AT_START"},
}  # fmt: skip


@pytest.mark.parametrize("members", AT_START.values(), ids=list(AT_START))
def test_what_every_start_of_python_runs_reaches_nothing(attacker, python, members) -> None:
    text = hostile.AT_START.format(places=hostile.PLACES)
    evil = {name: text if held == "AT_START" else held for name, held in members.items()}
    bait = hostile.package(attacker.folder, "bait", BAIT | evil, "python")
    code, output = attacker.build("start", *python, bait, hostile.wheel(attacker.folder, {}))
    assert "Traceback" not in output, code
    nothing_outside(attacker)
    if code == 0 and "usercustomize" not in str(members):
        found = "ls /opt/mlops/envs/start/builds/*/ | grep ran- || true"
        assert attacker.server.ssh(found), "it ran, where it could write the new prefix"


NAMES = ("sh", "python3", "systemd-run", f"{UP}/usr/local/bin/evil", "/usr/local/bin/evil")


@pytest.mark.parametrize("name", NAMES)
def test_programs_of_packages_take_nobody_s_place(attacker, python, name: str) -> None:
    text = hostile.AT_START.format(places=hostile.PLACES) + "def main(): pass\n"
    members = {"site-packages/bait.py": text}
    bait = hostile.package(
        attacker.folder, "bait", members, "python", programs=[f"{name} = bait:main"]
    )
    wheel = hostile.wheel(attacker.folder, {"evil.py": text}, f"{name} = evil:main")
    code, output = attacker.build("programs", *python, bait, wheel)
    assert "Traceback (most recent" not in output, code
    nothing_outside(attacker)
    shells = "stat -c '%U %a' /usr/bin/dash /usr/bin/systemd-run /usr/bin/python3"
    assert set(attacker.server.ssh(f"{shells} | sort -u").splitlines()) <= {"root 755", "root 777"}


def zipped(name: str, mode: int, text: str) -> dict[str, object]:
    made = zipfile.ZipInfo(name)
    made.external_attr = mode << 16
    return {name: (made, text)}


WHEELS = {
    "a script outside": {f"evil-1.0.data/scripts/{UP}/usr/local/bin/evil": "#!python\n"},
    "data outside": {f"evil-1.0.data/data/{UP}/etc/cron.d/evil": "evil"},
    "a header outside": {f"evil-1.0.data/headers/{UP}/etc/cron.d/evil": "evil"},
    "a module outside": {f"{UP}/etc/cron.d/evil": "evil"},
    "an absolute name": {"/etc/cron.d/evil": "evil"},
    "another python": {"evil-1.0.data/scripts/python3.11": "#!/bin/sh\ntouch /etc/cron.d/evil\n"},
    "a setuid program": zipped("evil-1.0.data/scripts/su", 0o104755, "#!/bin/sh\n"),
    "a link and a file behind it": zipped("away", 0o120777, "/etc/cron.d") | {"away/evil": "evil"},
}


@pytest.mark.parametrize("members", WHEELS.values(), ids=list(WHEELS))
def test_a_wheel_stays_in_its_prefix(attacker, python, members) -> None:
    bait = hostile.package(attacker.folder, "bait", BAIT, "python")
    code, output = attacker.build(
        "wheels", *python, bait, hostile.wheel(attacker.folder, dict(members))
    )
    assert "Traceback (most recent" not in output, code
    nothing_outside(attacker)
    loose = r"find /opt/mlops/envs/wheels ! -type l \( -perm /7022 -o ! -user root \)"
    assert attacker.server.ssh(loose) == ""


SWAPPING = """
if os.fork() == 0:
    os.setsid()
    [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]
    [os.close(n) for n in range(3)]
    while True:
        for name, to in (("bin", "/etc"), ("conda-meta", "/etc/cron.d"), ("f", "/etc/shadow")):
            try:
                os.path.islink(name) and os.unlink(name)
                os.path.exists(name) and os.rename(name, name + ".real")
                os.symlink(to, name)
                os.unlink(name)
                os.rename(name + ".real", name)
            except OSError:
                pass
"""


def test_a_build_ends_before_it_fills_the_disk(attacker: Attacker) -> None:
    server, place = attacker.server, "/opt/mlops/envs/fills"
    server.ssh(f"mkdir -p {place} && mount -t tmpfs -o size=400M fills {place}")
    text = "[open(f'f{n}', 'wb').write(bytes(20 << 20)) for n in range(50) if not time.sleep(0.2)]"
    code, output = attacker.build(
        "fills",
        hostile.package(attacker.folder, "python", {"bin/python": leaving(f"import time; {text}")}),
        hostile.package(attacker.folder, "bait", BAIT, "python"),
    )
    assert code == 1
    assert "would have filled the disk" in output
    assert int(server.ssh(f"df --output=avail -m {place} | tail -1")) > 380
    server.ssh(f"umount {place}")


def test_links_that_are_swapped_while_root_works(attacker: Attacker) -> None:
    server = attacker.server
    state = "stat -c '%n %U %G %a' /etc /etc/cron.d /etc/shadow /etc/passwd"
    before = server.ssh(state)
    text = f"import signal; open('f', 'w').close(); exec({SWAPPING!r})"
    for _ in range(3):
        _, output = attacker.build(
            "swap",
            hostile.package(attacker.folder, "python", {"bin/python": leaving(text)}),
            hostile.package(attacker.folder, "bait", BAIT, "python"),
        )
        assert "Traceback" not in output
        assert server.ssh(state) == before
        outward = r"find /opt/mlops/envs/swap -type l -lname '/etc*'"
        assert server.ssh(outward) == ""
        assert server.ssh("systemctl list-units --all -q 'mlops-*-swap*'") == ""


def test_output_without_end_stops_the_build_only(attacker: Attacker) -> None:
    """In the smoke test: nobody reads what the compiler of byte code says."""
    flood = (
        '#!/bin/sh\ncase "$*" in *compileall*) exit 0; esac\n'
        'while :; do echo evil; echo \'{"say": "evil"}\'; done\n'
    )
    code, output = attacker.build(
        "flood",
        hostile.package(attacker.folder, "python", {"bin/python": flood}),
        hostile.package(attacker.folder, "bait", BAIT, "python"),
    )
    assert code == 1
    assert len(output) < 1 << 20
    assert attacker.server.ssh("systemctl list-units --all -q 'mlops-*-flood*'") == ""


ELSEWHERE = (
    "../../elsewhere/python-3.11.7-0.conda",
    "%2e%2e/python-3.11.7-0.conda",
    "https://evil.example.org/linux-64/python-3.11.7-0.conda",
    "file:///etc/python-3.11.7-0.conda",
    "http://127.0.0.1:8082/linux-64/python-3.11.7-0.conda",
)


@pytest.mark.parametrize("url", ELSEWHERE)
def test_a_package_from_elsewhere_is_not_asked_for(attacker: Attacker, url: str) -> None:
    """Although its hash is one that is known, and in the cache."""
    entry = hostile.package(attacker.folder, "python", {"bin/python": leaving("pass")})
    bait = hostile.package(attacker.folder, "bait", BAIT, "python")
    assert attacker.build("known", entry, bait)[0] == 0
    code, output = attacker.build("elsewhere", entry | {"url": url}, bait)
    assert code == 1
    assert any(why in output for why in ("[models] channels", "only downloads are checked"))


def test_another_file_than_was_locked(attacker: Attacker) -> None:
    one_of_its_own = leaving("'of no other test, so not in the cache'")
    entry = hostile.package(attacker.folder, "python", {"bin/python": one_of_its_own})
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
