"""The way to a server: what ssh says, known hosts as OpenSSH reads them, any login shell."""

import base64
import getpass
import os
import socket
import struct
import subprocess
import threading
from pathlib import Path
from types import SimpleNamespace

import paramiko
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from machine import need
from mlops_install import knownhosts, sshconfig, sshlogin
from mlops_install.errors import HostError
from mlops_install.host import Host as AnyHost
from mlops_install.host import Local, Ssh
from mlops_install.knownhosts import Line
from mlops_install.sshconfig import Target
from sshd import Host, running

ME = getpass.getuser()


# --- targets ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "host", "user", "port"),
    [
        ("ml", "ml", "", 0),
        ("root@ml.example.org", "ml.example.org", "root", 0),
        ("root@ml:2222", "ml", "root", 2222),
        ("a@b@ml:22", "ml", "a@b", 22),
        ("root@[2001:db8::1]:2222", "2001:db8::1", "root", 2222),
        ("root@2001:db8::1", "2001:db8::1", "root", 0),
        ("[::1]", "::1", "", 0),
        ("ssh://root@ml:22", "ml", "root", 22),
    ],
)
def test_targets(text, host, user, port):
    assert sshconfig.target(text) == sshconfig.Target(host, user, port)


@pytest.mark.parametrize(
    "text",
    ["root@host:port", "root@host:", "root@host:0", "h:70000", "h:٣", "root@", "", "root@-x", "a b",
     "-oProxyCommand=x", "[::1]:x"],
)  # fmt: skip
def test_what_is_no_target_is_refused_in_one_line(text):
    with pytest.raises(HostError) as caught:
        sshconfig.target(text)
    assert "user@host" in caught.value.fix


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=40))
def test_any_target_is_read_or_refused(text):
    try:
        found = sshconfig.target(text)
    except HostError:
        return
    assert found.host
    assert 0 <= found.port < 65536


# --- known hosts --------------------------------------------------------------------------


def blob(kind: str = "ssh-ed25519", key: bytes = b"k" * 32) -> bytes:
    return b"".join(struct.pack(">I", len(p)) + p for p in (kind.encode(), key))


KEY = base64.b64encode(blob()).decode()


def lines(folder: Path, text: str | bytes) -> list[Line]:
    data = text if isinstance(text, bytes) else text.encode()
    (folder / "known_hosts").write_bytes(data)
    return list(knownhosts.read([folder / "known_hosts", folder / "none", folder]))


@pytest.mark.parametrize(
    ("hosts", "fits", "not_for"),
    [
        ("ml", ["ml", "ML"], ["ml2", "m"]),
        ("a,ml,b", ["ml"], ["a,ml"]),
        ("*.example.org,!bad.example.org", ["ml.example.org"], ["bad.example.org", "example.org"]),
        ("10.0.0.?", ["10.0.0.7"], ["10.0.0.77"]),
        ("[ml]:2222", ["[ml]:2222"], ["ml", "m"]),
        ("[*.example.org]:2222", ["[a.example.org]:2222"], ["a.example.org"]),
    ],
)
def test_names_of_a_line(tmp_path, hosts, fits, not_for):
    (line,) = lines(tmp_path, f"{hosts} ssh-ed25519 {KEY} comment\n")
    assert all(line.is_for(name) for name in fits)
    assert not any(line.is_for(name) for name in not_for)


@pytest.mark.parametrize("port", [22, 2222])
def test_hashed_names_are_those_that_ssh_keygen_makes(tmp_path, port):
    need("sshd")
    name = knownhosts.name("ml.example.org", port)
    lines(tmp_path, f"{name} ssh-ed25519 {KEY}\n")
    subprocess.run(["ssh-keygen", "-H", "-f", str(tmp_path / "known_hosts")], check=True,
                   capture_output=True)  # fmt: skip
    (line,) = knownhosts.read([tmp_path / "known_hosts"])
    assert line.hosts.startswith("|1|")
    assert line.is_for(name)
    assert not line.is_for("other")


@pytest.mark.parametrize(
    "text",
    ["ml ssh-ed25519", "ml ssh-ed25519 AAAA", f"ml ssh-ed25519 {KEY[:-8]}", "|1|x ssh-ed25519 !!",
     f"ml ssh-rsa {KEY}", "@cert-authority", "@cert-authority *.x ssh-ed25519", "# ml", "\0",
     f"@unknown ml ssh-ed25519 {KEY}", "@revoked * ssh-ed25519 %%%", "<<<<<<< HEAD"],
)  # fmt: skip
def test_a_cut_line_is_passed_over_and_the_others_count(tmp_path, text):
    found = lines(tmp_path, f"{text}\nml ssh-ed25519 {KEY}")
    assert [line.hosts for line in found] == ["ml"]
    assert found[0].place.endswith(":2")


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
@example(b"@cert-authority *.example.org ssh-ed25519 " + KEY.encode())
@example(b"|1|a|b ssh-ed25519 " + KEY.encode())
@example(b"[ ssh-ed25519 " + KEY.encode())
def test_any_file_is_read(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("known")
    for line in lines(folder, text):
        line.is_for("ml")
    knownhosts.known(lines(folder, text), "ml", 2222)


@pytest.mark.parametrize("marker", ["@cert-authority *.example.org", "@cert-authority ml.*"])
def test_a_host_certificate_is_not_honoured_and_the_line_to_write_instead_is_told(tmp_path, marker):
    theirs, file = paramiko.RSAKey.generate(1024), tmp_path / "known_hosts"
    file.write_text(f"# ours\n{marker} ssh-ed25519 {KEY}\n")
    way = sshconfig.Way(Target("ml.example.org"), "ml.example.org", "", 2222, "", (), (file,))
    connection = SimpleNamespace(host="ml.example.org", port=2222, user="me")
    with pytest.raises(sshlogin.OnlyAuthority) as caught:
        sshlogin.Judge(way, accept_new=False).missing_host_key(None, "ml", theirs)
    told = sshlogin._explain(caught.value, "ml.example.org", connection)
    assert f"{file}:2 trusts an authority for it (@cert-authority)" in told.message
    assert "host certificates are not honoured here" in told.message
    assert theirs.fingerprint in told.message
    line = f"[ml.example.org]:2222 ssh-rsa {theirs.get_base64()}"
    assert line in told.detail
    assert "write that line into known_hosts" in told.fix
    file.write_text(f"{file.read_text()}{line}\n")
    sshlogin.Judge(way, accept_new=False).missing_host_key(None, "ml", theirs)


def test_a_key_is_written_on_a_line_of_its_own(tmp_path):
    file = tmp_path / "ssh/known_hosts"
    knownhosts.add(file, "a", "ssh-ed25519", KEY)
    file.write_bytes(file.read_bytes().rstrip())
    knownhosts.add(file, "b", "ssh-ed25519", KEY)
    assert file.read_text() == f"a ssh-ed25519 {KEY}\nb ssh-ed25519 {KEY}\n"


# --- a real sshd --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sshd")
    with running(folder / "host") as found:
        found.key("user")
        (found.folder / "authorized").write_text((found.folder / "user.pub").read_text())
        yield found


@pytest.fixture
def home(tmp_path, monkeypatch, host: Host):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir(mode=0o700)
    (tmp_path / ".ssh/config").write_text(block("ml", host))
    known(tmp_path, host.pin)
    return tmp_path


def block(name: str, host: Host, *more: str) -> str:
    lines = [f"HostName 127.0.0.1\n  Port {host.port}\n  User {ME}",
             f"IdentityFile {host.folder}/user", *more]  # fmt: skip
    return "".join([f"Host {name}\n", *(f"  {line}\n" for line in lines)])


def known(home: Path, text: str) -> None:
    (home / ".ssh/known_hosts").write_text(text)


def reach(target: str = "ml", **more: object) -> str:
    server = Ssh(target, **more)
    server._sudo = "exec "
    server.connect()
    try:
        return server.run("echo hello; echo oops >&2").stdout
    finally:
        server.close()


def refused(target: str = "ml", **more: object) -> str:
    with pytest.raises(HostError) as caught:
        reach(target, **more)
    return f"{caught.value.message}\n{caught.value.detail}\n{caught.value.fix}"


def test_an_included_file_counts(home, host):
    (home / ".ssh/more").write_text(block("inner", host))
    (home / ".ssh/config").write_text(f"Include {home}/.ssh/more\n")
    assert reach("inner") == "hello\n"


@pytest.mark.parametrize("condition", ["Match host ml", "Match exec true", "Match originalhost ml",
                                       "Match all", "Host m?", "Host ml !other"])  # fmt: skip
def test_conditions_count(home, host, condition):
    text = block("x", host).replace("Host x", condition)
    (home / ".ssh/config").write_text(text)
    assert reach() == "hello\n"


def test_a_config_that_ssh_cannot_read_is_told(home):
    (home / ".ssh/config").write_text("Host ml\n  Prot 22\n")
    assert "config: line 2: Bad configuration option: prot" in refused()
    (home / ".ssh/config").write_text("Host ml\n  Port x\n")
    assert "ssh cannot read its config for ml" in refused()


def test_identity_files_that_are_not_there_are_passed_over(home, host):
    more = f"IdentityFile {home}/none\n  IdentityFile ~/.ssh/none"
    (home / ".ssh/config").write_text(block("ml", host, more))
    assert reach() == "hello\n"


def test_a_key_under_another_name_is_found_by_its_alias(home, host):
    (home / ".ssh/config").write_text(block("ml", host, "HostKeyAlias thatone"))
    assert "is not known" in refused()
    known(home, "thatone " + host.pin.split(" ", 1)[1])
    assert reach() == "hello\n"


@pytest.mark.parametrize(
    "text",
    ["{pin}", "# {pin}\n{pin}", "x\n@cert-authority *.else.org {key}\n{pin}",
     "[127.0.0.1]:{port} ssh-ed25519 AAAA\n{pin}", "127.0.0.1 {key}\n", "[127.0.0.*]:{port} {key}",
     "[127.0.0.1]:{port} ssh-rsa {other}\n{pin}", "@revoked * ssh-ed25519 {other}\n{pin}"],
)  # fmt: skip
def test_a_known_host_is_known_whatever_else_is_in_the_file(home, host, text):
    values = {"pin": host.pin, "key": host.pin.split(" ", 1)[1].strip(), "port": host.port,
              "other": KEY}  # fmt: skip
    known(home, text.format(**values))
    assert reach() == "hello\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not known (ssh-ed25519"),
        ("@revoked [127.0.0.1]:{port} {key}\n{pin}", "is revoked by"),
        ("[127.0.0.1]:{port} ssh-ed25519 {other}\n", "has CHANGED"),
        (
            "@cert-authority [127.*]:{port} ssh-ed25519 {other}\n",
            "host certificates are not honoured here",
        ),
    ],
)
def test_a_host_that_is_not_known_is_refused(home, host, text, says):
    values = {"pin": host.pin, "key": host.pin.split(" ", 1)[1].strip(), "port": host.port,
              "other": KEY}  # fmt: skip
    known(home, text.format(**values))
    assert says in refused()
    if "CHANGED" in says or "revoked" in says:
        assert says in refused(accept_new=True)
        return
    assert reach(accept_new=True) == "hello\n"
    assert reach() == "hello\n", "it is known from now on"


def test_jump_hosts_are_passed_in_their_order(home, host, tmp_path):
    with running(tmp_path / "second") as second:
        (second.folder / "authorized").write_text((host.folder / "user.pub").read_text())
        more = f"IdentityFile {host.folder}/user\n  ProxyJump first,second"
        config = block("ml", host, more) + block("first", host) + block("second", second)
        config = config.replace(f"{second.folder}/user", f"{host.folder}/user")
        (home / ".ssh/config").write_text(config)
        known(home, host.pin)
        assert f"127.0.0.1:{second.port} is not known" in refused()
        known(home, host.pin + second.pin)
        assert reach() == "hello\n"


def test_jumps_in_a_circle_are_refused(home, host):
    (home / ".ssh/config").write_text(block("ml", host, "ProxyJump other")
                                      + block("other", host, "ProxyJump ml"))  # fmt: skip
    assert "in a circle" in refused()


def test_a_proxy_command_gets_its_tokens(home, host):
    need("sshd")
    proxy = f"ProxyCommand ssh -F {home}/.ssh/config -o BatchMode=yes -W %h:%p first"
    first = block("first", host, f"UserKnownHostsFile {home}/.ssh/known_hosts")
    (home / ".ssh/config").write_text(block("ml", host, proxy) + first)
    assert reach() == "hello\n"


@pytest.mark.parametrize("most", [0, 1, 2])
def test_a_server_that_allows_few_sessions_is_logged_in_to_again(home, host, tmp_path, most):
    with running(tmp_path / "few", f"MaxSessions {most}\n") as few:
        (few.folder / "authorized").write_text((host.folder / "user.pub").read_text())
        config = block("ml", few).replace(f"{few.folder}/user", f"{host.folder}/user")
        (home / ".ssh/config").write_text(config)
        known(home, few.pin)
        if not most:
            assert "set MaxSessions in the server's sshd_config" in refused()
            return
        server = Ssh("ml")
        server._sudo = "exec "
        server.connect()
        sessions = [server.open("read word; echo $word") for _ in range(5)]
        for number, session in enumerate(sessions):
            session.send(f"{number}\n")
        assert [session.finish().stdout for session in sessions] == [
            "0\n",
            "1\n",
            "2\n",
            "3\n",
            "4\n",
        ]
        server.close()


def test_a_jump_host_that_forwards_nothing_is_named(home, host, tmp_path):
    with running(tmp_path / "jump", "AllowTcpForwarding no\n") as jump:
        (jump.folder / "authorized").write_text((host.folder / "user.pub").read_text())
        first = block("first", jump).replace(f"{jump.folder}/user", f"{host.folder}/user")
        (home / ".ssh/config").write_text(block("ml", host, "ProxyJump first") + first)
        known(home, host.pin + jump.pin)
        said = refused()
    assert "the jump host 127.0.0.1 does not lead on to" in said
    assert "AllowTcpForwarding" in said


def test_a_server_that_hangs_up_at_once_says_when_that_happens(home, host):
    """sshd does so for who comes too often, without a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        config = block("ml", host).replace(str(host.port), str(listening.getsockname()[1]))
        (home / ".ssh/config").write_text(config)
        hang_up = threading.Thread(target=lambda: listening.accept()[0].close(), daemon=True)
        hang_up.start()
        said = refused()
    assert "closes the connection" in said
    assert "MaxStartups" in said


@pytest.mark.parametrize(
    ("setting", "taken"),
    [
        ("KexAlgorithms curve25519-sha256", True),
        ("KexAlgorithms sntrup761x25519-sha512@openssh.com", False),
        ("Ciphers chacha20-poly1305@openssh.com", False),
        ("Ciphers aes256-gcm@openssh.com", True),
        ("MACs umac-128@openssh.com\nCiphers aes128-ctr", False),
    ],
)
def test_an_sshd_of_new_ways_is_reached_or_told(home, host, tmp_path, setting, taken):
    with running(tmp_path / "new", f"{setting}\n") as new:
        (new.folder / "authorized").write_text((host.folder / "user.pub").read_text())
        config = block("ml", new).replace(f"{new.folder}/user", f"{host.folder}/user")
        (home / ".ssh/config").write_text(config)
        known(home, new.pin)
        if taken:
            assert reach() == "hello\n"
            return
        said = refused()
        name = setting.partition(" ")[0]
        assert f"offers none of the {name} that this program has" in said
        assert f"add one of them to {name} in the server's sshd_config" in said


def test_without_ssh_on_this_machine_the_library_reads_what_it_can(home, monkeypatch):
    monkeypatch.setattr(sshconfig.shutil, "which", lambda name: None)
    assert reach() == "hello\n"
    (home / ".ssh/config").write_text("Host ml\n  Port\n")
    assert "cannot read" in refused()


def test_the_agent_of_the_config_is_used(home, host, monkeypatch):
    monkeypatch.setenv("MY_AGENT", f"{home}/agent")
    agent = subprocess.Popen(["ssh-agent", "-D", "-a", f"{home}/agent"], stdout=subprocess.DEVNULL)
    try:
        while not (home / "agent").exists():
            pass
        add = os.environ | {"SSH_AUTH_SOCK": f"{home}/agent"}
        subprocess.run(["ssh-add", "-q", f"{host.folder}/user"], env=add, check=True)
        for place in (f"{home}/agent", "$MY_AGENT"):
            more = block("ml", host, f"IdentityAgent {place}")
            (home / ".ssh/config").write_text(more.replace(f"IdentityFile {host.folder}/user", ""))
            assert reach() == "hello\n"
            monkeypatch.delenv("SSH_AUTH_SOCK")
        (home / ".ssh/config").write_text(
            more.replace("IdentityFile", "#").replace("$MY_AGENT", "none")
        )
        assert "refused to let" in refused()
    finally:
        agent.kill()
        agent.wait()


# --- what the login shell does ------------------------------------------------------------


class Shell(Local):
    """This machine behind a login shell, as sshd starts it: SHELL -c COMMAND."""

    _sudo = "exec "

    def __init__(self, shell: str, **variables: str) -> None:
        super().__init__()
        self.shell, self.variables = shell, variables

    def _popen(self, command: str) -> "subprocess.Popen[bytes]":
        pipe = subprocess.PIPE
        return subprocess.Popen([self.shell, "-c", command], stdin=pipe, stdout=pipe, stderr=pipe,
                                env=os.environ | self.variables)  # fmt: skip


SCRIPT = "read -r word; echo \"[$word] * $0\"; echo 'it'\"'\"'s' >&2; exit 7"


@pytest.mark.parametrize("shell", ["bash", "dash", "fish", "tcsh", "zsh"])
def test_any_login_shell_will_do(shell):
    server = Shell(need(shell))
    with server.open(SCRIPT) as session:
        session.send("word\n")
        result = session.finish()
    assert result.stdout.startswith("[word] * ")
    assert (result.stderr, result.code) == ("it's\n", 7)


@pytest.mark.parametrize(
    "prints",
    ["echo hello", "printf hello", "echo os_id=fedora; echo 1 >&2", "printf '\\r\\n\\0\\377'",
     "printf '%s' oops >&2", "seq 100000"],
)  # fmt: skip
def test_what_is_printed_before_is_not_ours(tmp_path, prints):
    (tmp_path / "rc").write_text(prints + "\n")
    server = Shell("bash", BASH_ENV=str(tmp_path / "rc"))
    done = server.run("echo one; echo two >&2; exit 3")
    assert (done.stdout, done.stderr, done.code) == ("one\n", "two\n", 3)
    with server.open("echo one; echo two") as session:
        assert list(session.lines()) == ["one", "two"]
    with server.open("printf 'a\\nb'") as session, (tmp_path / "out").open("wb") as out:
        assert session.save(out)[0] == 3
    assert (tmp_path / "out").read_bytes() == b"a\nb"


def test_what_a_shell_says_that_lets_nobody_in_is_kept():
    server = Shell("bash")
    server._sudo = "echo This account is currently not available.; exit 1; "
    result = server.run("true")
    assert (result.stdout, result.code) == ("", 1)
    assert "not available" in result.stderr


SUDO = """\
#!/bin/bash
# As the real one: it speaks the language of its caller, and -n asks nobody.
if [ "$1" = -n ]; then
    case ${LC_ALL:-$LANG} in
        de*) echo "sudo: Ein Passwort ist notwendig" ;;
        *) echo "sudo: %s is required" ;;
    esac >&2
    exit 1
fi
read -r password
while [ "${1#-}" != "$1" ]; do [ "$1" != -p ] || shift; shift; done
[ "$password" = right ] && exec "$@"
"""


@pytest.mark.parametrize("want", ["a password", "interactive authentication"])
def test_sudo_that_speaks_another_language_is_understood(tmp_path, want):
    """The last words are those of sudo-rs."""
    (tmp_path / "sudo").write_text(SUDO % want)
    (tmp_path / "sudo").chmod(0o755)
    server = Shell("bash", LANG="de_DE.UTF-8", LC_ALL="de_DE.UTF-8",
                   PATH=f"{tmp_path}:{os.environ['PATH']}")  # fmt: skip
    server._sudo = AnyHost._sudo.replace('"$(id -u)" = 0', "1 = 0")
    asked = []
    result = server.first("echo hello", lambda prompt: asked.append(prompt) or "right")
    assert (result.stdout, len(asked)) == ("hello\n", 1)
