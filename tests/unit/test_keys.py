"""Which keys are offered to a server: a real sshd that ends a login early, a real agent."""

import getpass
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from machine import need
from mlops_install.errors import HostError
from mlops_install.host import Ssh
from mlops_install.sshkeys import public_part
from sshd import Host, running

ONLY = "IdentitiesOnly yes"
KINDS = ("ed25519", "rsa", "ecdsa")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """It ends a login after two keys that it does not know."""
    folder = tmp_path_factory.mktemp("server")
    make(folder / "authority")
    more = f"MaxAuthTries 3\nTrustedUserCAKeys {folder}/authority.pub\n"
    with running(folder / "host", more) as found:
        yield found


@pytest.fixture
def host(tmp_path, monkeypatch, server):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir(mode=0o700)
    (tmp_path / ".ssh/known_hosts").write_text(server.pin)
    (server.folder / "authorized").write_text("")
    return server


def make(path: Path, kind: str = "ed25519", password: str = "") -> Path:
    words = ["ssh-keygen", "-q", "-t", kind, "-N", password, "-C", path.name, "-f", str(path)]
    words += ["-b", "2048"] if kind == "rsa" else []
    subprocess.run(words, check=True)
    return path


def let_in(host: Host, key: Path) -> None:
    (host.folder / "authorized").write_text(key.with_name(f"{key.name}.pub").read_text())


def reach(host: Host, identity: Path | str, *more: str) -> str:
    """What the server says to `echo hello`, or why it lets us not in."""
    settings = ("HostName 127.0.0.1", f"Port {host.port}", f"IdentityFile {identity}", *more)
    lines = "".join(f"  {line}\n" for line in settings)
    Path("~/.ssh/config").expanduser().write_text(f"Host ml\n{lines}")
    server = Ssh("ml")
    server._sudo = "exec "
    try:
        server.connect()
        return server.run("echo hello").stdout
    except HostError as error:
        return f"{error.message}\n{error.fix}"
    finally:
        server.close()


@contextmanager
def agent(folder: Path, monkeypatch, *keys: Path):
    process = subprocess.Popen(
        ["ssh-agent", "-D", "-a", f"{folder}/agent"], stdout=subprocess.DEVNULL
    )
    try:
        while not (folder / "agent").exists():
            pass
        monkeypatch.setenv("SSH_AUTH_SOCK", f"{folder}/agent")
        subprocess.run(["ssh-add", "-q", *map(str, keys)], check=True)
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("named", ["user", "user.pub"])
@pytest.mark.parametrize("settings", [(), (ONLY,)])
def test_the_key_that_is_named_is_offered_first_from_the_agent(
    tmp_path, monkeypatch, host, named, settings
):
    """As with gpg and password managers: of the key, only its public part is a file."""
    others = [make(tmp_path / f"other{n}") for n in range(4)]
    user = make(tmp_path / "user")
    let_in(host, user)
    with agent(tmp_path, monkeypatch, *others, user):
        user.unlink()
        assert reach(host, tmp_path / named, *settings) == "hello\n"


def test_with_identities_only_no_other_key_of_the_agent_is_offered(tmp_path, monkeypatch, host):
    user, other = make(tmp_path / "user"), make(tmp_path / "other")
    let_in(host, user)
    with agent(tmp_path, monkeypatch, user):
        assert "it knows none of the keys" in reach(host, other, ONLY)
        assert reach(host, other) == "hello\n"


def test_a_login_that_was_ended_after_too_many_keys_says_what_to_do(tmp_path, monkeypatch, host):
    others = [make(tmp_path / f"other{n}") for n in range(4)]
    with agent(tmp_path, monkeypatch, *others):
        said = reach(host, tmp_path / "none")
    assert "it ended the login after 3 keys" in said
    assert "IdentitiesOnly yes" in said


def test_an_encrypted_key_is_taken_from_the_agent_and_else_named(tmp_path, monkeypatch, host):
    user, others = make(tmp_path / "user"), [make(tmp_path / f"other{n}") for n in range(4)]
    let_in(host, user)
    with agent(tmp_path, monkeypatch, *others, user):
        words = ["ssh-keygen", "-q", "-p", "-P", "", "-N", "password", "-f", str(user)]
        subprocess.run(words, check=True, capture_output=True)
        (tmp_path / "user.pub").unlink()
        assert reach(host, user) == "hello\n"
    monkeypatch.delenv("SSH_AUTH_SOCK")
    assert f"{user}: Key is password-protected" in reach(host, user)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("where", ["beside", "named", "agent"])
def test_a_certificate_lets_in(tmp_path, monkeypatch, host, kind, where):
    user = make(tmp_path / "user", kind)
    sign = ["ssh-keygen", "-q", "-s", str(host.folder.parent / "authority"), "-I", "me",
            "-n", getpass.getuser(), f"{user}.pub"]  # fmt: skip
    subprocess.run(sign, check=True)
    certificate = tmp_path / "user-cert.pub"
    if where == "agent":
        with agent(tmp_path, monkeypatch, user):
            user.unlink()
            certificate.unlink()
            assert reach(host, user, ONLY) == "hello\n"
        return
    if where == "named":
        certificate = certificate.rename(tmp_path / "elsewhere")
    more = (f"CertificateFile {certificate}",) if where == "named" else ()
    assert reach(host, user, *more) == "hello\n"


def test_a_key_counts_beside_a_certificate_that_does_not(tmp_path, host):
    """Certificates of some authorities last for hours."""
    user, other = make(tmp_path / "user"), make(tmp_path / "stranger")
    sign = ["ssh-keygen", "-q", "-s", str(other), "-I", "me", "-n", "nobody", f"{user}.pub"]
    subprocess.run(sign, check=True)
    let_in(host, user)
    assert reach(host, user) == "hello\n"


@pytest.mark.parametrize("text", ["- a\n", "user: nobody\nconnect_kwargs: 5\n"])
def test_a_config_of_fabric_is_not_for_us(tmp_path, host, text):
    user = make(tmp_path / "user")
    let_in(host, user)
    (tmp_path / ".fabric.yaml").write_text(text)
    assert reach(host, user) == "hello\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("password", ["", "password"])
def test_the_public_part_of_a_file(tmp_path, kind, password):
    need("sshd")
    user = make(tmp_path / "user", kind, password)
    wanted = public_part(f"{user}.pub")
    assert wanted
    assert public_part(str(user)) == wanted
    user.unlink()
    assert public_part(str(user)) == wanted


@pytest.mark.parametrize(
    "data",
    [b"", b"ssh-ed25519", b"ssh-ed25519 AAAA", b"\xff\xfe", b"x y z", b"ssh-rsa !! x",
     b"-----BEGIN OPENSSH PRIVATE KEY-----", b"-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----"],
)  # fmt: skip
def test_a_file_that_is_no_key_has_no_public_part(tmp_path, data):
    (tmp_path / "user").write_bytes(data)
    assert public_part(str(tmp_path / "user")) == b""
