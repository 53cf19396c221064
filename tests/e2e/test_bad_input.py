"""What can be wrong is told in one message, and nothing has changed on the server then."""

import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import mlops_install
import pytest
from mlops_install import box
from server import CONFIG, PROGRAM, Done, Server, environment, make, run, wait_for

pytestmark = pytest.mark.box
on_debian_12 = pytest.mark.parametrize("system", ["debian-12"])

PACKAGE = "hello"


@pytest.fixture(scope="module")
def blank(boxes_here: None, folder: Path) -> Iterator[Server]:
    """One bare box that the tests of this file leave bare."""
    server = make("debian-12", folder)
    yield server
    box.down(server.name)


@pytest.fixture
def home(tmp_path: Path, blank: Server) -> Path:
    """A home whose ssh config has the box's key but knows no host."""
    (tmp_path / ".ssh").mkdir(mode=0o700)
    (tmp_path / ".ssh/config").write_text(f"IdentityFile {blank.box.identity_file}\n")
    return tmp_path


def refused(done: Done, *parts: str) -> None:
    """One message with all its parts, exit code 1, and nothing for machines."""
    assert done.returncode == 1, done.end
    assert len(re.findall(r"^error: ", done.stderr, re.M)) == 1, done.end
    assert "Traceback" not in done.output
    for part in parts:
        assert part in done.stderr, done.end


@contextmanager
def untouched(server: Server) -> Iterator[None]:
    """Nothing of ours is on the bare server, before and after."""
    ours = "ls -d /etc/mlops /opt/mlops /var/lib/mlops /srv/mlops /run/mlops-install 2>/dev/null"
    assert server.ssh(f"{ours} || true") == ""
    yield
    assert server.ssh(f"{ours} || true") == ""
    packages = "dpkg-query -W -f '${Package}\\n' nginx 'postgresql-1*' python3-pip-whl"
    assert server.ssh(f"{packages} 2>/dev/null || true") == ""


def ssh_less(home: Path, target: str, *args: str, command: str = "plan") -> Done:
    """The installer without an ssh config of the box."""
    return run([*PROGRAM, command, target, *args], home)


# --- the way to the server ----------------------------------------------------------------


def test_a_closed_port_cannot_be_reached(blank: Server, home: Path) -> None:
    target = f"root@{blank.box.address}:1"
    refused(ssh_less(home, target), f"cannot reach {blank.box.address}:1", "Connection refused")


def test_an_address_without_a_server_cannot_be_reached(blank: Server, home: Path) -> None:
    address = blank.box.address.rpartition(".")[0] + ".253"
    (home / "mlops.toml").write_text("[server]\nconnect_timeout = 2\n")
    done = ssh_less(home, f"root@{address}")
    refused(done, f"cannot reach {address}:22")
    assert done.seconds < 10


def test_a_silent_server_is_not_waited_for_for_ever(blank: Server, home: Path) -> None:
    (home / "mlops.toml").write_text("[server]\nconnect_timeout = 2\n")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = ssh_less(home, f"root@127.0.0.1:{silent.getsockname()[1]}")
    refused(done, "cannot reach 127.0.0.1:")
    assert done.seconds < 10


def test_a_name_that_does_not_resolve_is_named(blank: Server, home: Path) -> None:
    refused(ssh_less(home, "root@no-such-server.invalid"), "no-such-server.invalid", "resolve")


def test_a_wrong_user_is_refused(blank: Server) -> None:
    done = blank.cli("plan", target=f"nobody@{blank.name}")
    refused(done, f"{blank.box.address}:22 refused to let nobody in")


def test_a_wrong_key_is_refused(blank: Server, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    config = blank.ssh_config.read_text()
    other = tmp_path / "ssh_config"
    other.write_text(config.replace(str(blank.box.identity_file), str(tmp_path / "key")))
    done = ssh_less(tmp_path, blank.name, "-F", str(other))
    refused(done, "refused to let root in", "IdentityFile")


def test_an_unknown_host_key_is_let_in_only_when_told_so(blank: Server, home: Path) -> None:
    target = f"root@{blank.box.address}"
    key = subprocess.run(
        ["ssh-keygen", "-lf", blank.box.known_hosts], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    refused(ssh_less(home, target), "is not known", key, "--accept-new-host-key")
    assert not (home / ".ssh/known_hosts").exists()
    assert ssh_less(home, target, "--accept-new-host-key").returncode == 2
    assert ssh_less(home, target).returncode == 2, "it is known from now on"


def test_a_changed_host_key_is_never_let_in(blank: Server, home: Path) -> None:
    subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", home / "other"], check=True)
    kind, key, *_ = (home / "other.pub").read_text().split()
    (home / ".ssh/known_hosts").write_text(f"{blank.box.address} {kind} {key}\n")
    target = f"root@{blank.box.address}"
    for more in ([], ["--accept-new-host-key"]):
        done = ssh_less(home, target, *more)
        refused(done, f"the host key of {blank.box.address}:22 has CHANGED", "ssh-keygen -R")
    assert key in (home / ".ssh/known_hosts").read_text()


def test_a_user_without_sudo_rights_is_told(blank: Server) -> None:
    blank.ssh(
        "useradd -m -s /bin/bash plain; install -d -o plain -m 0700 ~plain/.ssh\n"
        "install -o plain -m 0600 /root/.ssh/authorized_keys ~plain/.ssh/"
    )
    try:
        with untouched(blank):
            refused(blank.cli("apply", "--yes", target=f"plain@{blank.name}"), "sudo")
        blank.ssh("echo 'plain ALL=(ALL) NOPASSWD: /bin/true' > /etc/sudoers.d/plain")
        with untouched(blank):
            refused(blank.cli("apply", "--yes", target=f"plain@{blank.name}"), "sudo")
    finally:
        blank.ssh("rm -f /etc/sudoers.d/plain; userdel -r plain 2>/dev/null")


# --- the server ---------------------------------------------------------------------------


def test_another_system_is_not_touched(blank: Server) -> None:
    blank.ssh("cp /etc/os-release /root/os; sed -i 's/^ID=.*/ID=ubuntu/' /etc/os-release")
    try:
        with untouched(blank):
            done = blank.cli("apply", "--yes")
            refused(done, "it runs ubuntu 12", "use Debian 12 or 13, or Ubuntu 24.04")
        blank.ssh(
            "sed -i 's/^ID=.*/ID=debian/; s/^VERSION_ID=.*/VERSION_ID=\"11\"/' /etc/os-release"
        )
        with untouched(blank):
            refused(blank.cli("apply", "--yes"), "it runs debian 11")
    finally:
        blank.ssh("cat /root/os > /etc/os-release; rm /root/os")


def test_too_little_disk_is_told(blank: Server) -> None:
    blank.ssh("mount -t tmpfs -o size=100M tmpfs /opt")
    try:
        with untouched(blank):
            done = blank.cli("apply", "--yes")
            refused(done, "100 MiB free at /opt", "make room at /opt")
    finally:
        blank.ssh("umount /opt")


def test_a_port_that_is_taken_is_told_with_its_program(blank: Server) -> None:
    program = (
        "use IO::Socket::INET; "
        "$s = IO::Socket::INET->new(LocalPort => 443, Listen => 1, ReuseAddr => 1); sleep 600"
    )
    blank.ssh(f"systemd-run -q --unit=other perl -e '{program}'")
    try:
        wait_for(lambda: ":443" in blank.ssh("ss -Hltn"), "the other program")
        with untouched(blank):
            refused(blank.cli("apply", "--yes"), "port 443 is taken by perl", "stop perl")
    finally:
        blank.ssh("systemctl stop other")


def test_without_a_terminal_nobody_can_agree(blank: Server) -> None:
    with untouched(blank):
        refused(blank.cli("apply"), "no terminal to ask", "--yes")


@on_debian_12
@pytest.mark.slow
def test_a_foreign_database_is_never_touched_without_consent(bare: Server) -> None:
    bare.ssh(
        "export DEBIAN_FRONTEND=noninteractive\n"
        "(apt-get -q update && apt-get -qy install --no-install-recommends postgresql) >&2\n"
        "cd /; runuser -u postgres -- psql -qc 'create role airflow login superuser'"
        " -c 'create database airflow owner airflow'"
        " -c 'create role team' -c 'create database workflows owner team'"
    )
    roles = "runuser -u postgres -- psql -XAtc 'select rolname, rolsuper from pg_roles' | sort"
    before = bare.ssh(roles)
    done = bare.cli("apply", "--yes")
    refused(done, "a database or role `airflow` that is not ours", "adopt = true")
    refused(done, "a database `workflows` of the role team", "adopt = true")
    assert bare.ssh(roles) == before
    assert bare.ssh("ls -d /etc/mlops /opt/mlops 2>/dev/null || true") == ""

    bare.config.write_text(CONFIG + "\n[postgres]\nadopt = true\n")
    done = bare.cli("plan")
    assert done.returncode == 2, done.end
    assert "superuser: yes → no" in done.stdout
    assert 'alter role "airflow"' in done.stdout
    assert "owner: team → mlops-task" in done.stdout


# --- the config ---------------------------------------------------------------------------


def test_every_mistake_in_the_config_is_told_with_its_line(blank: Server) -> None:
    blank.config.write_text(
        '[base]\ntimezone = 5\ntimezon = "UTC"\n\n[airflow]\nschedulers = "two"\n\n[proxi]\nx = 1\n'
    )
    try:
        file = blank.config
        refused(
            blank.cli("apply", "--yes"),
            f"{file}:2: [base] timezone: it must be a text in quotes, not 5",
            f"{file}:3: [base] timezon: there is no such setting; did you mean timezone?",
            f"{file}:6: [airflow] schedulers: it must be a whole number, not 'two'",
            f"{file}:8: proxi: there is no such setting; did you mean proxy?",
        )
    finally:
        blank.config.write_text(CONFIG)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[airflow]\nschedulers = 0\n", (":2: [airflow] schedulers", "it must be at least 1")),
        ("[airflow\n", ("mlops.toml", "line 1")),
        ('[proxy]\ncertificate = "x.pem"\n', (":2: [proxy] certificate", "go together")),
        ('[base]\nca_bundle = "no.pem"\n', (":2: [base] ca_bundle", "no.pem")),
        (
            '[base]\npython_index = "https://h/"\npython_index_user = "u"\n'
            'python_index_password = { env = "E2E_NOT_SET" }\n',
            ("environment variable E2E_NOT_SET is not set",),
        ),
    ],
)
def test_a_config_that_cannot_be_meant_is_refused(
    blank: Server, tmp_path: Path, text: str, parts: tuple[str, ...]
) -> None:
    config = tmp_path / "mlops.toml"
    config.write_text(text)
    done = run(
        [*PROGRAM, "apply", "--yes", blank.name, "-F", str(blank.ssh_config), "-c", str(config)],
        tmp_path,
    )
    refused(done, *parts)


def test_a_missing_config_file_is_named(blank: Server, tmp_path: Path) -> None:
    refused(ssh_less(tmp_path, "local", "-c", "none.toml"), "none.toml")


def test_a_server_must_be_named(blank: Server, tmp_path: Path) -> None:
    done = run([*PROGRAM], tmp_path)
    refused(done, "no server is named", "mlops-install apply user@host")


# --- others at work -----------------------------------------------------------------------


@contextmanager
def apt_locked(server: Server) -> Iterator[None]:
    """Another program holds apt's lock."""
    hold = (
        "import fcntl, time; f = open('/var/lib/dpkg/lock-frontend', 'w');"
        " fcntl.lockf(f, fcntl.LOCK_EX); time.sleep(600)"
    )
    server.ssh(f'systemd-run -q --unit=holder python3 -c "{hold}"; sleep 0.5')
    try:
        yield
    finally:
        server.try_ssh("systemctl stop holder")


@contextmanager
def package_wanted(server: Server, timeout: int) -> Iterator[None]:
    """The config asks for one more package, which is not there."""
    config = server.config.read_text()
    more = f'[base]\npackages = ["{PACKAGE}"]\napt_lock_timeout = {timeout}\n'
    server.config.write_text(config.replace("[base]\n", more))
    try:
        yield
    finally:
        server.config.write_text(config)
        server.ssh(f"apt-get -qy remove {PACKAGE} >/dev/null 2>&1 || true")
    server.apply()  # the unit of security updates has that time, too


def installed(server: Server) -> bool:
    return server.try_ssh(f"dpkg -s {PACKAGE} 2>/dev/null | grep -q ' installed'").returncode == 0


@on_debian_12
def test_who_holds_apt_s_lock_is_told(provisioned: Server) -> None:
    with package_wanted(provisioned, 5):
        with apt_locked(provisioned):
            done = provisioned.cli("apply", "--yes")
            assert not installed(provisioned)
        refused(done, "packages failed", "held by process", "python3")
        assert done.seconds < 60
        provisioned.apply()
        assert installed(provisioned)


@on_debian_12
def test_one_run_at_a_time_and_a_dead_one_is_taken_over(provisioned: Server) -> None:
    with package_wanted(provisioned, 120), apt_locked(provisioned):
        first = provisioned.start("apply", "--yes", "--no-verify")
        try:
            free = "flock -n /run/mlops-install/lock true"
            wait_for(lambda: provisioned.try_ssh(free).returncode, "the first run")
            second = provisioned.cli("apply", "--yes", "--no-verify")
            refused(second, "somebody else is at work on the server", socket.gethostname())
            assert re.search(r"since \d{4}-\d\d-\d\dT", second.stderr)
        finally:
            first.send_signal(signal.SIGKILL)
            first.communicate()
        begin = time.monotonic()
        provisioned.ssh("systemctl stop holder")
        third = provisioned.apply()
        assert installed(provisioned)
        print(f"\ntaken over in {time.monotonic() - begin:.1f} s: {third.seconds:.1f} s of work")
        assert time.monotonic() - begin < 45


# --- the lock file ------------------------------------------------------------------------


@on_debian_12
@pytest.mark.slow
def test_a_package_with_another_hash_is_not_installed(provisioned: Server, tmp_path: Path) -> None:
    copy = tmp_path / "mlops_install"
    shutil.copytree(Path(mlops_install.__file__).parent, copy)
    lock = copy / "locks/airflow-3.3.2.txt"
    text = lock.read_text()
    found = re.search(r"^zipp==\S+ \\\n(    --hash=\S+( \\)?\n)+", text, re.M)
    assert found
    wrong = re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "0" * 64, found[0])
    lock.write_text(text.replace(found[0], wrong))

    current = "readlink -f /opt/mlops/airflow/current; ls -A /opt/mlops/airflow"
    before, units = provisioned.ssh(current).splitlines(), provisioned.units()
    words = provisioned.words("apply", "--yes")
    begin = time.monotonic()
    said = subprocess.run(
        words, env={**environment(tmp_path), "PYTHONPATH": str(tmp_path)}, capture_output=True,
        text=True, stdin=subprocess.DEVNULL, check=False, cwd=tmp_path,
    )  # fmt: skip
    done = Done(said.returncode, said.stdout, said.stderr, time.monotonic() - begin)
    refused(done, "venv /opt/mlops/airflow/", "zipp", "0" * 64)
    after = provisioned.ssh(current).splitlines()
    try:
        assert after[0] == before[0], "`current` was moved"
        assert provisioned.units() == units
        new = set(after) - set(before)
        for half in new:
            assert provisioned.try_ssh(f"test -e /opt/mlops/airflow/{half}/.ready").returncode
        plan = provisioned.cli("plan")
        assert plan.returncode == 0, plan.end
    finally:
        for half in set(after) - set(before):
            provisioned.ssh(f"rm -rf /opt/mlops/airflow/{half}")
