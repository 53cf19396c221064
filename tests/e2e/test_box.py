"""Boxes boot, answer, keep their disk, keep apart, and go without a trace."""

import json
import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ledger
import pytest
from mlops_install import box
from mlops_install.box import Box, image, proc
from mlops_install.errors import BoxError

pytestmark = [
    pytest.mark.box,
    pytest.mark.skipif(box.unavailable() is not None, reason=str(box.unavailable())),
]

HARDENED = """
LoadCredential=token:/root/token
User=debian
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateUsers=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
ProtectProc=invisible
ProcSubset=pid
NoNewPrivileges=yes
CapabilityBoundingSet=
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET
SystemCallFilter=@system-service
IPAddressDeny=any
IPAddressAllow=localhost
"""


def name() -> str:
    return f"t-{secrets.token_hex(3)}"


def ssh(target: Box, command: str, user: str = "root") -> subprocess.CompletedProcess[str]:
    """Run `command` the way a user would: OpenSSH, with the config that a box prints."""
    config = target.identity_file.parent / "config-of-test"
    config.write_text(box.ssh_config(target))
    words = ["ssh", "-F", str(config), "-o", "BatchMode=yes", "-l", user, target.name, command]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def out(target: Box, command: str, user: str = "root") -> str:
    done = ssh(target, command, user)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def elsewhere(code: str) -> subprocess.Popen[str]:
    """Another process that runs `code`."""
    return subprocess.Popen(
        [sys.executable, "-c", f"from mlops_install import box\n{code}"],
        text=True,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def traces(target: Box) -> list[str]:
    """Whatever on this machine still speaks of the box."""
    found = [str(path) for path in Path("/var/lib/mlops-box").glob(f"{target.name}*")]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"**/mlops-box/{target.name}")]
    for command in (
        ["ip", "-oneline", "address"],
        ["ip", "netns"],
        ["nft", "list", "ruleset"],
        ["cat", "/proc/mounts"],
        ["ps", "-eo", "args"],
    ):
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found += [
            line
            for line in text.splitlines()
            if f"{target.gateway}/" in line or target.name in line.split("/") or
            f"--machine={target.name}" in line or f"{network(target)}/30" in line
        ]  # fmt: skip
    return found


def network(target: Box) -> str:
    start, _, last = target.gateway.rpartition(".")
    return f"{start}.{int(last) - 1}"


@pytest.fixture(scope="module")
def pair() -> Iterator[dict[str, Box]]:
    """One box of each system, made at the same time."""
    names = {system: name() for system in box.SYSTEMS}
    with ThreadPoolExecutor() as pool:
        made = pool.map(lambda s: box.up(names[s], s, ephemeral=True), names)
        try:
            yield dict(zip(names, made, strict=True))
        finally:
            list(pool.map(box.down, names.values()))


@pytest.fixture(params=list(box.SYSTEMS))
def each(request: pytest.FixtureRequest, pair: dict[str, Box]) -> Box:
    """The box of every system in turn."""
    return pair[request.param]


@pytest.fixture
def spare() -> Iterator[str]:
    """A name whose box is removed at the end."""
    chosen = name()
    yield chosen
    box.down(chosen)


class TestAFreshBox:
    def test_is_the_system_asked_for_and_runs(self, each: Box) -> None:
        assert each.running
        assert out(each, ". /etc/os-release; echo $ID-$VERSION_ID") == each.system
        assert out(each, "systemctl is-system-running --wait") == "running"
        assert out(each, "hostname") == each.name

    def test_is_bare(self, each: Box) -> None:
        assert ssh(each, "command -v python3").returncode == 1

    def test_is_known_by_its_own_host_key_only(self, pair: dict[str, Box], tmp_path: Path) -> None:
        first, second = pair.values()
        stranger = tmp_path / "config"
        config = box.ssh_config(first).replace(str(first.known_hosts), str(second.known_hosts))
        stranger.write_text(config)
        words = ["ssh", "-F", str(stranger), "-o", "BatchMode=yes", first.name, "true"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 255
        assert "Host key verification failed" in done.stderr

    def test_lets_debian_become_root_without_a_password(self, each: Box) -> None:
        assert out(each, "id -un; sudo -n id -un", "debian").split() == ["debian", "root"]

    def test_takes_keys_only(self, each: Box) -> None:
        effective = out(each, "sshd -T")
        assert "passwordauthentication no" in effective

    def test_reaches_the_mirrors(self, each: Box) -> None:
        out(each, "apt-get -qq -o APT::Update::Error-Mode=any update && apt-cache show hello")

    def test_runs_hardened_services(self, each: Box) -> None:
        options = " ".join(f"-p '{line}'" for line in HARDENED.split("\n") if line)
        inside = 'cat "$CREDENTIALS_DIRECTORY/token"; touch /etc/x || echo read-only'
        shell = f"echo hush >/root/token; systemd-run -q --wait --pipe {options} sh -c '{inside}'"
        assert out(each, shell).split() == ["hush", "read-only"]

    def test_enforces_address_filters(self, each: Box) -> None:
        connect = f"timeout 1 bash -c ': </dev/tcp/{each.gateway}/1'"
        filtered = f'systemd-run -q --wait --pipe -p IPAddressDeny=any bash -c "{connect}"'
        assert ssh(each, connect).returncode == 1, "refused at once"
        assert ssh(each, filtered).returncode == 124, "packets are dropped"


class TestUp:
    def test_again_is_quick_and_the_same_box(self, each: Box) -> None:
        boot = out(each, "cat /proc/sys/kernel/random/boot_id")
        begin = ledger.cpu()
        assert box.up(each.name, each.system, ephemeral=True) == each
        assert ledger.cpu() - begin < 2
        assert out(each, "cat /proc/sys/kernel/random/boot_id") == boot

    def test_refuses_another_system(self, pair: dict[str, Box]) -> None:
        with pytest.raises(BoxError, match="debian-12"):
            box.up(pair["debian-12"].name, "debian-13")

    def test_gives_each_its_own_subnet_and_keys(self, pair: dict[str, Box]) -> None:
        first, second = pair.values()
        assert network(first) != network(second)
        assert first.identity_file.read_text() != second.identity_file.read_text()
        for inside in ("/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key.pub"):
            assert out(first, f"cat {inside}") != out(second, f"cat {inside}")

    def test_by_two_processes_at_once_makes_one_box(self, spare: str) -> None:
        code = f"print(box.up({spare!r}).address)"
        answers = [p.communicate()[0] for p in [elsewhere(code), elsewhere(code)]]
        assert answers[0]
        assert answers[0] == answers[1]

    @pytest.mark.parametrize("seconds", [0.5, 1.2])
    def test_redoes_what_a_killed_one_left(self, spare: str, seconds: float) -> None:
        other = elsewhere(f"box.up({spare!r}, ephemeral=True)")
        time.sleep(seconds)
        other.kill()
        other.wait()
        assert out(box.up(spare, ephemeral=True), "hostname") == spare

    def test_without_nat_reaches_this_machine_only(self, pair: dict[str, Box]) -> None:
        target = pair["debian-12"]
        update = "apt-get -qq -o APT::Update::Error-Mode=any update"
        box.up(target.name, target.system, ephemeral=True, nat=False)
        try:
            assert ssh(target, f"timeout 3 {update}").returncode != 0
            assert (
                ssh(target, f"timeout 2 bash -c ': </dev/tcp/{target.gateway}/1'").returncode == 1
            )
        finally:
            box.up(target.name, target.system, ephemeral=True)
        out(target, update)


class TestStopping:
    def test_power_off_keeps_the_disk(self, each: Box) -> None:
        out(each, "echo kept >/root/file; systemd-run -q sleep 1000")
        box.power_off(each.name)
        assert not box.find(each.name).running
        again = box.up(each.name, each.system, ephemeral=True)
        assert again == each
        assert out(again, "cat /root/file; systemctl is-system-running --wait").split() == [
            "kept",
            "running",
        ]

    def test_halt_is_orderly(self, each: Box) -> None:
        stop = "ExecStop=/bin/sh -c 'echo stopped >/root/stopped'"
        unit = f"[Service]\\nType=oneshot\\nRemainAfterExit=yes\\n{stop}\\n"
        out(each, f'printf "{unit}" >/run/systemd/system/x.service; systemctl start x')
        box.halt(each.name)
        assert not box.find(each.name).running
        again = box.up(each.name, each.system, ephemeral=True)
        assert out(again, "cat /root/stopped") == "stopped"

    def test_a_reboot_inside_comes_back(self, each: Box) -> None:
        boot = "cat /proc/sys/kernel/random/boot_id"
        before = out(each, boot)
        ssh(each, "systemctl reboot")
        deadline = time.monotonic() + 30
        while (done := ssh(each, boot)).returncode or done.stdout.strip() == before:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert box.find(each.name).running

    def test_down_leaves_nothing(self, spare: str) -> None:
        target = box.up(spare, ephemeral=True)
        assert traces(target)
        others = set(box.RUBBISH.glob("*"))
        box.down(spare)
        assert traces(target) == []
        deadline = time.monotonic() + 300
        while set(box.RUBBISH.glob("*")) - others:  # its files go afterwards
            assert time.monotonic() < deadline
            time.sleep(0.2)
        box.down(spare)
        with pytest.raises(BoxError, match=spare):
            box.find(spare)


class TestFreezing:
    def test_copies_have_its_files_and_a_life_of_their_own(self, spare: str) -> None:
        first = box.up(spare, ephemeral=True)
        out(first, "echo kept >/root/file; rm /etc/motd; mkdir /opt/old; touch /opt/old/x")
        box.freeze(spare, os.getpid())
        with pytest.raises(BoxError, match=spare):
            box.find(spare)
        names = [f"{spare}-{number}" for number in (1, 2)]
        try:
            one, two = (box.up(n, ephemeral=True, frozen=spare) for n in names)
            assert out(one, "cat /root/file; hostname") == f"kept\n{names[0]}"
            assert ssh(one, "ls /etc/motd").returncode == 2
            assert out(two, "getent hosts host.internal").split()[0] == two.gateway
            assert one.identity_file.read_text() != two.identity_file.read_text()
            out(one, "echo changed >/root/file; rm -r /opt/old")
            assert out(two, "cat /root/file; ls /opt/old") == "kept\nx"
            with pytest.raises(BoxError, match="debian-13"):
                box.up(f"{spare}-3", "debian-13", ephemeral=True, frozen=spare)
        finally:
            for made in names:
                box.down(made)

    def test_it_goes_with_its_owner_once_no_copy_needs_it(self, spare: str) -> None:
        box.up(spare, ephemeral=True)
        owner = subprocess.Popen(["sleep", "infinity"])
        box.freeze(spare, owner.pid)
        folder = image.IMAGES / spare
        made = box.up(f"{spare}-1", ephemeral=True, frozen=spare)
        box.reap()
        assert folder.exists(), "its owner lives"
        owner.kill()
        owner.wait()
        try:
            box.reap()
            assert folder.exists(), "a copy stands on it"
        finally:
            box.down(made.name)
        box.reap()
        assert not folder.exists()


class TestReap:
    def test_removes_the_box_of_a_dead_owner_only(self, pair: dict[str, Box], spare: str) -> None:
        owner = elsewhere(f"box.up({spare!r}, ephemeral=True)")
        owner.wait()
        assert box.find(spare).running
        assert spare in box.reap()
        living = {each.name for each in box.boxes()}
        assert spare not in living
        assert {each.name for each in pair.values()} <= living

    def test_knows_a_reused_process_number(self, spare: str) -> None:
        made = box.up(spare, ephemeral=True)
        assert made.owner == os.getpid()
        record = made.identity_file.parent / "box.json"
        record.write_text(json.dumps({**json.loads(record.read_text()), "owner_started": "x"}))
        assert spare in box.reap()

    def test_spares_a_kept_box(self, spare: str) -> None:
        owner = elsewhere(f"box.up({spare!r})")
        owner.wait()
        assert spare not in box.reap()
        assert box.find(spare).owner is None


def test_processes_that_vanished_are_noticed(spare: str) -> None:
    """As after a restart of this machine, or when systemd-nspawn crashed."""
    target = box.up(spare, ephemeral=True)
    proc.power_off(spare)
    assert traces(target), "its network is still there"
    assert not box.find(spare).running
    assert box.up(spare, ephemeral=True) == target
    assert out(target, "hostname") == spare
