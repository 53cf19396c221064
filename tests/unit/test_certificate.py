"""The user's certificate: judged offline, and by nginx before it is put in place."""

import subprocess
from datetime import timedelta

import authority
import pytest
from authority import DAY, make
from cryptography.x509.oid import ExtendedKeyUsageOID
from machine import need
from mlops_install import certificate, config, context, facts, names, status
from mlops_install.errors import ConfigError
from mlops_install.resource import differences
from mlops_install.resources.certificates import GivenPair, SelfSigned
from mlops_install.resources.file import File
from mlops_install.roles import stages
from pydantic import SecretStr
from samples import FACTS

NAME = "ml.example.org"
ROOT = make("Root of ours", end=3650 * DAY)
MIDDLE = make("Authority", ROOT, end=365 * DAY)
SERVER = make("server", MIDDLE, names=(NAME, "*.example.org", "192.0.2.7", "2001:db8::1"))


def wrong(chain: str, key: str, authorities: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        certificate.check(chain, key, authorities)
    assert caught.value.fix
    return f"{caught.value.message}\n{caught.value.fix}"


@pytest.mark.parametrize(
    ("chain", "authorities"),
    [
        ((SERVER, MIDDLE, ROOT), ()),
        ((SERVER, ROOT, MIDDLE), ()),
        ((SERVER, MIDDLE), (ROOT,)),
        ((SERVER, MIDDLE), (make("other"), ROOT)),
    ],
)
def test_a_whole_chain_is_taken(chain, authorities):
    pem, known = ("".join(one.pem for one in part) for part in (chain, authorities))
    certificate.check(pem, SERVER.key_pem, known)


def test_a_chain_to_an_authority_that_this_machine_trusts_is_taken(tmp_path, monkeypatch):
    roots = f"# f\xfcr\n{make('first').pem}{ROOT.pem}"
    (tmp_path / "roots.pem").write_text(roots, encoding="latin-1")
    assert "incomplete" in wrong(SERVER.pem + MIDDLE.pem, SERVER.key_pem)
    monkeypatch.setattr(certificate, "TRUST", (str(tmp_path / "roots.pem"),))
    certificate.check(SERVER.pem + MIDDLE.pem, SERVER.key_pem, "")


def test_one_that_signed_itself_is_taken():
    own = make("own", names=(NAME,))
    certificate.check(own.pem, own.key_pem, "")


def test_another_key_is_refused():
    said = wrong(SERVER.pem + MIDDLE.pem + ROOT.pem, ROOT.key_pem)
    assert "does not belong to [proxy] certificate_key" in said
    assert certificate.FIRST in said
    assert "to the key that CN=server was made with" in wrong(SERVER.pem, make("x").key_pem)


@pytest.mark.parametrize("missing", [(SERVER,), (SERVER, ROOT)])
def test_an_incomplete_chain_is_refused(missing):
    said = wrong("".join(one.pem for one in missing), SERVER.key_pem)
    assert "the chain is incomplete: CN=server is signed by CN=Authority" in said


def test_a_namesake_of_the_authority_does_not_count():
    other = make("Authority", ROOT)
    said = wrong(SERVER.pem + other.pem + ROOT.pem, SERVER.key_pem)
    assert "the chain is incomplete" in said


@pytest.mark.parametrize(
    ("begin", "end", "says"),
    [(-9 * DAY, -DAY, "expired on"), (DAY, 2 * DAY, "is not valid before"),
     (-9 * DAY, -timedelta(minutes=1), "expired on")],
)  # fmt: skip
def test_dates_count_also_those_of_the_authorities(begin, end, says):
    late = make("late", ROOT, begin=begin, end=end)
    assert f"CN=late {says}" in wrong(late.pem + ROOT.pem, late.key_pem)
    below = make("below", late)
    assert f"CN=late {says}" in wrong(below.pem + late.pem + ROOT.pem, below.key_pem)


@pytest.mark.parametrize(
    "key", [["rsa:1024"], ["ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"], ["ed448"]]
)
def test_a_key_that_openssl_or_browsers_refuse_is_refused(tmp_path, key):
    assert "has a key that is refused" in wrong(*by_openssl(tmp_path, key, "-sha256"))


def test_a_signature_that_openssl_refuses_is_refused(tmp_path):
    key = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    assert "has a signature by sha1" in wrong(*by_openssl(tmp_path, key, "-sha1"))


def by_openssl(folder, key: list[str], hashed: str) -> tuple[str, str]:
    """Chain and key of a server, with what the library would not make."""
    paths = {name: str(folder / name) for name in ("ca", "ca.key", "key", "request", "made")}
    (folder / "ca").write_text(ROOT.pem)
    (folder / "ca.key").write_text(ROOT.key_pem)
    ask = ["req", "-new", "-nodes", "-subj", "/CN=weak", "-newkey", *key]
    ask += ["-keyout", paths["key"], "-out", paths["request"]]
    sign = ["x509", "-req", hashed, "-in", paths["request"], "-CA", paths["ca"]]
    sign += ["-CAkey", paths["ca.key"], "-out", paths["made"], "-set_serial", "7"]
    for words in (ask, sign):
        subprocess.run([need("openssl"), *words], check=True, capture_output=True)
    return (folder / "made").read_text() + ROOT.pem, (folder / "key").read_text()


def test_one_for_clients_is_refused():
    client = make("client", ROOT, usage=[ExtendedKeyUsageOID.CLIENT_AUTH])
    assert "is not for servers" in wrong(client.pem + ROOT.pem, client.key_pem)


def test_an_encrypted_key_is_refused():
    said = wrong(SERVER.pem, authority.key_pem(SERVER.key, "hush"))
    assert "it is encrypted" in said
    assert "openssl pkey" in said


@pytest.mark.parametrize("text", ["", "-----BEGIN PRIVATE KEY-----\nx\n", "-----BEGIN "])
def test_garbage_is_refused(text):
    assert "not a private key" in wrong(SERVER.pem, text)
    assert "cannot be read" in wrong(text, SERVER.key_pem)
    assert "cannot be read" in wrong(SERVER.pem[:200], SERVER.key_pem)
    assert "[base] ca_bundle" in wrong(SERVER.pem, SERVER.key_pem, text or "x")


@pytest.mark.parametrize("name", [NAME, NAME.upper(), "a.example.org", "192.0.2.7",
                                  "2001:db8:0:0::1", "ml.example.org."])  # fmt: skip
def test_the_name_fits(name):
    certificate.check_name(SERVER.pem, name)


@pytest.mark.parametrize("name", ["example.org", "a.b.example.org", "192.0.2.8", "ml.example.com"])
def test_another_name_is_refused_with_the_setting(name):
    with pytest.raises(ConfigError) as caught:
        certificate.check_name(SERVER.pem, name)
    assert f"the URL has the name {name}" in caught.value.message
    assert f'set server_name = "{NAME}" in [proxy]' in caught.value.fix


def test_the_common_name_is_no_name():
    with pytest.raises(ConfigError, match="for no name at all"):
        certificate.check_name(make(NAME).pem, NAME)


def test_the_config_is_refused_before_the_server_is_reached(tmp_path):
    (tmp_path / "c.pem").write_text(SERVER.pem + MIDDLE.pem + ROOT.pem)
    (tmp_path / "k.pem").write_text(make("x").key_pem)
    text = f"[proxy]\ncertificate = '{tmp_path}/c.pem'\ncertificate_key = '{tmp_path}/k.pem'\n"
    with pytest.raises(ConfigError, match=r"does not belong to \[proxy\] certificate_key"):
        context.given(config.parse(text, "t"))
    (tmp_path / "k.pem").write_text(SERVER.key_pem)
    assert context.given(config.parse(text, "t")).certificate
    with pytest.raises(ConfigError, match=r"the URL has the name other\.org"):
        context.given(config.parse(f"{text}server_name = 'other.org'\n", "t"))


def test_without_a_name_in_the_config_the_one_of_the_server_counts():
    given = context.Given(certificate=SERVER.pem, certificate_key=SecretStr(SERVER.key_pem))
    known = facts.parse(FACTS)
    context.make(config.Config(), known, given, NAME)
    with pytest.raises(ConfigError, match=r"the URL has the name 192\.0\.2\.9"):
        context.make(config.Config(), known, given, "192.0.2.9")


# --- putting it in place ------------------------------------------------------------------


def put(folder, chain: str, key: str) -> subprocess.CompletedProcess[str]:
    """Carry the steps out on files of this machine, with the real nginx."""
    need("nginx")
    pair = GivenPair(
        File(f"{folder}/c.pem", chain), File(f"{folder}/k.pem", key, 0o600, secret=True)
    )
    steps = "\n".join(step.shell() for step in pair.change(None))
    script = f"PATH=/usr/sbin:$PATH; set -e -o pipefail\n{steps}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)


def state(folder, chain: str, key: str):
    pair = GivenPair(
        File(f"{folder}/c.pem", chain), File(f"{folder}/k.pem", key, 0o600, secret=True)
    )
    done = subprocess.run(["bash", "-c", pair.probe()], capture_output=True, text=True, check=True)
    return differences(pair.parse(done.stdout), pair.desired)


def test_a_good_pair_is_put_in_place_together(tmp_path):
    chain = SERVER.pem + MIDDLE.pem
    assert state(tmp_path, chain, SERVER.key_pem)
    done = put(tmp_path, chain, SERVER.key_pem)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "c.pem").read_text() == chain
    assert (tmp_path / "k.pem").stat().st_mode & 0o777 == 0o600
    assert not state(tmp_path, chain, SERVER.key_pem)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.pem", "k.pem"]


def test_what_nginx_refuses_never_gets_there(tmp_path):
    put(tmp_path, SERVER.pem, SERVER.key_pem)
    other = make("other")
    done = put(tmp_path, other.pem, SERVER.key_pem)
    assert done.returncode
    assert "key values mismatch" in done.stdout
    assert (tmp_path / "c.pem").read_text() == SERVER.pem
    assert sorted(p.name for p in tmp_path.iterdir()) == ["c.pem", "k.pem"]


# --- our own ------------------------------------------------------------------------------

LONG = ".".join(["a" * 60, "b" * 60, "c" * 60, "example.org"])


@pytest.mark.parametrize("name", [NAME, LONG, "192.0.2.7", "2001:db8::1"])
def test_a_self_signed_one_is_made_for_every_name(tmp_path, name):
    need("openssl")
    own = SelfSigned(f"{tmp_path}/c.pem", f"{tmp_path}/k.pem", name, "nginx.service")
    run = {"capture_output": True, "text": True, "check": False}
    steps = "set -e -o pipefail\nsystemctl() { true; }\n"
    steps += "\n".join(step.shell() for step in own.change(None))
    made = subprocess.run(["bash", "-c", steps], **run)
    assert made.returncode == 0, made.stdout
    probe = subprocess.run(["bash", "-c", own.probe()], **run)
    assert differences(own.parse(probe.stdout), own.desired) == ()
    certificate.check_name((tmp_path / "c.pem").read_text(), name)


def test_what_openssl_says_is_not_thrown_away(tmp_path):
    own = SelfSigned(f"{tmp_path}/none/c.pem", f"{tmp_path}/none/k.pem", NAME, "nginx.service")
    (step,) = own.change(None)
    script = f"systemctl() {{ true; }}\n{step.shell()}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode
    assert "none/k.pem" in done.stdout


def test_a_name_of_the_config_does_not_stick():
    def first(text: str, reached: str, known: str = "") -> tuple[str, str]:
        found = facts.parse(FACTS + f"server_name={known}\n")
        made = context.make(config.parse(text, "t"), found, context.Given(), reached)
        file = next(r for s in stages(made) for lane in s.lanes for r in lane.resources
                    if r.name == "file /var/lib/mlops/server_name")  # fmt: skip
        return file.content.strip(), made.server_name

    named = f"[proxy]\nserver_name = '{NAME}'\n"
    assert first(named, "192.0.2.7") == ("192.0.2.7", NAME)
    assert first("", "other.org", "192.0.2.7") == ("192.0.2.7", "192.0.2.7")


@pytest.mark.parametrize(
    "name",
    ["1.2.3", "ml.example.org:8443", "256.1.1.1", "::zz", "-a.org", "a..org", "a.org.",
     "a" * 64 + ".org", "a." * 130 + "org"],
)  # fmt: skip
def test_names_that_no_url_can_have_are_refused(name):
    with pytest.raises(ConfigError, match=r"\[proxy\] server_name"):
        config.parse(f"[proxy]\nserver_name = '{name}'\n", "t")
    assert names.problem(name)
    with pytest.raises(ConfigError, match="the URL cannot have"):
        names.require(name)


@pytest.mark.parametrize(
    ("answer", "ok", "says"),
    [("2027-03-01 90", True, "in 90 days"), ("2027-03-01 20", True, "apply` renews it"),
     ("2027-03-01 3", False, "renews it"), ("2026-01-01 -1", False, "ended on 2026-01-01")],
)  # fmt: skip
def test_status_warns_before_the_end(answer, ok, says):
    (line,) = status._certificate(answer, given=False)
    assert (line.ok, says in line.state) == (ok, True)
    assert not list(status._certificate("", given=False))


def test_status_reads_the_end_of_a_certificate(tmp_path):
    (tmp_path / "c.pem").write_text(make("x", end=20 * DAY + timedelta(hours=1)).pem)
    made = context.make(config.Config(), facts.parse(FACTS), context.Given(), "192.0.2.7")
    script = status._scripts(made)[-1].replace(
        "/etc/mlops/tls/certificate.pem", f"{tmp_path}/c.pem"
    )
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split()[1] == "20"
