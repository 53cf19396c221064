"""Every setting of the reference with wrong values: refused by name, line and fix, and no login.

A setting without three wrong values fails here, and so does a row of a setting that is gone.
"""

import shutil
import socket
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import authority
import pytest
from machine import need
from mlops_install import actions, cli, config, places
from mlops_install.errors import ConfigError, HostError
from mlops_install.host import Ssh
from mlops_install.reaching import Options
from mlops_install.section import SecretRef
from mlops_install.settings import sections

DAY = timedelta(days=1)
NUMBER = ('"2"', "2.5", "true")
FLAG = ('"true"', "1", '"no"')
TEXT = ("5", '""', r'"a\u0007b"')
URL = ('"mirror.example.org"', '"ftp://mirror.example.org"', '"https://me:hush@h/x"', '"https://"',
       '"https://h:0/"', '"https://h:99999/"', '"https://a..b/"', '"https://[::1/"',
       '"https://h/a b"', "'https://h/\"x'",
       '"https://h/#x"', '"https://h/x?token=hush"', '"https://ä.example.org/"', *TEXT)  # fmt: skip
USER = ('"me:hush"', f'"{"u" * 256}"', '" me"', *TEXT)
REFERENCE = ('"hush"', "{}", '{ env = "A", file = "b" }', '{ env = "NOT_THERE" }',
             '{ file = "none" }', '{ env = "EMPTY" }', '{ file = "empty" }',
             '{ name = "A" }')  # fmt: skip
PASSWORD = (*REFERENCE, '{ file = "lines" }')
FILE = ('"none"', '"."', '"/dev/zero"', '"latin"', '"~nobody-here/x"', '"empty"', *TEXT)
PEM = (*FILE, '"text"', '"cut.pem"')
WRONG: dict[str, tuple[str, ...]] = {
    "server.host": ('"root@ml:port"', '"root@ml:0"', '"root@"', '"a b"', '"-oProxyCommand=x"',
                    '"a/b"', f'"{"h" * 600}"', r'"root@ml\u0000"', *TEXT),
    "server.ssh_config": ('"none"', '"."', '"~nobody-here/x"', *TEXT),
    "server.connect_timeout": ("0", "601", *NUMBER),
    "base.timezone": ('"Europe/Zuerich"', '"CET+1"', '"../etc/passwd"', '"posix/Europe/Zurich"',
                      f'"{"z" * 300}"', *TEXT),
    "base.locale": ('"de_CH"', '"de_CH.ISO-8859-1"', '"xx_XX.UTF-8"', '"de_ch.UTF-8"', *TEXT),
    "base.packages": ('["git lfs"]', '["-y"]', '["Git"]', '["vim-"]', '["curl=7.88"]',
                      '["git/bookworm-backports"]', '["libc6:i386"]', '["git", "git"]', '[""]',
                      "[5]",
                      f'["{"p" * 200}"]', '"git-lfs"'),
    "base.security_updates": FLAG,
    "base.journal_max": ('"0G"', '"1K"', '"100"', '"99999999T"', '"1 G"', '"17T"', '"1g"',
                         '"٣G"', *TEXT),
    "base.apt_lock_timeout": ("-1", "86401", *NUMBER),
    "base.apt_mirror": URL,
    "base.apt_security_mirror": URL,
    "base.http_proxy": URL,
    "base.http_proxy_user": USER,
    "base.http_proxy_password": PASSWORD,
    "base.no_proxy": ('["http://h"]', '["a,b"]', '["a b"]', "['a\"b']", '["a;b"]', '["*"]',
                      '["10.0.0.0/33"]', '["h", "h"]', '[""]', "[5]", '"h"'),
    "base.ca_bundle": PEM,
    "base.python_index": URL,
    "base.python_index_user": USER,
    "base.python_index_password": PASSWORD,
    "postgres.shared_buffers_mb": ("15", "1048577", *NUMBER),
    "postgres.max_connections": ("19", "10001", *NUMBER),
    "postgres.adopt": FLAG,
    "airflow.version": ('"2.11.0"', '"3.3"', "3.3", '""'),
    "airflow.schedulers": ("0", "9", *NUMBER),
    "airflow.parallelism": ("0", "257", *NUMBER),
    "airflow.api_workers": ("0", "33", *NUMBER),
    "airflow.drain_timeout": ("9", "604801", *NUMBER),
    "airflow.when_tasks_outlast": ('"never"', '"Stop"', "true", '""'),
    "airflow.admin_user": ('"Robert; drop"', '"Ann"', '"1a"', '"mlops-verify"', f'"{"a" * 65}"',
                           '"ädmin"', *TEXT),
    "airflow.admin_email": ('"ann"', '"ann@"', '"@example.org"', '"a b@example.org"', '"a@b@c"',
                            '"ann@a..b"', '"mlops-verify@localhost"', *TEXT),
    "airflow.max_map_length": ("0", "100001", *NUMBER),
    "airflow.log_days": ("0", "36501", *NUMBER),
    "airflow.xcom_threshold": ("-2", "1073741825", *NUMBER),
    "airflow.xcom_path": ('"s3://forecasts/xcom"', '"s3://store@b"', '"s3://store@a..b"',
                          '"s3://store@forecasts/../x"', '"s3://store@forecasts/"', '"file:///x"',
                          '"s3://other@forecasts"', '"s3://web@forecasts"',
                          f'"s3://store@forecasts{"/abcdefg" * 70}"', *TEXT),
    "airflow.xcom_days": ("0", "36501", *NUMBER),
    "models.platforms": ('["win-64"]', "[]", '"linux-64"', '["linux-64", "linux-64"]', "[5]"),
    "models.cuda": ('"12"', "12.8", '"١٢.٨"', '"999.9"', '"0.1"', '"v12.8"', *TEXT),
    "models.keep": ("-1", "51", *NUMBER),
    "models.channels": ("[]", '"conda-forge"', "[5]", '[""]', '["conda forge"]', "['a\"b']",
                        '["https://a:b@h/c"]', '["ftp://h/c"]'),
    "models.channel_mirrors": ('{ conda-forge = "mirror" }', '{ conda-forge = "https://a:b@h" }',
                               '{ "conda forge" = "https://h" }', "{ 'a\"b' = \"https://h\" }",
                               '{ "https://a:b@h/c" = "https://h" }', "{ conda-forge = 5 }",
                               '"https://h"', '{ "" = "https://h" }'),
    "models.channel_user": USER,
    "models.channel_password": PASSWORD,
    "models.pypi_names": ('"ftp://h/x"', '"https://me:hush@h/x"', '"https://h:x/"',
                          '"~nobody-here/x"', *TEXT),
    "workflows.repository": ('"ftp://h/a.git"', '"https://hush@h/a.git"', '"https://h/"',
                             '"https:///a.git"', '"https://h:99999/a.git"', '"https://[::1/a.git"',
                             '"ssh://git@-oProxyCommand=x/a"', '"-oProxy@h:a.git"', '"ssh://h:0/a"',
                             "'https://h/\"a.git'", '"git@h:a b"', '"/srv/a.git"', '"ext::sh -c x"',
                             '"git@h:a.git"', *TEXT),
    "workflows.ref": ('"a..b"', '"a.lock"', '"a//b"', '"a/"', '"refs/pull/1/head"', '"a b"',
                      '"a~1"',
                      '"@{-1}"', '".a"', "'a\"b'", f'"{"r" * 300}"', *TEXT),
    "workflows.pull_every": ("29", "86401", *NUMBER),
    "workflows.known_hosts": (*FILE, '"text"', '"other_hosts"', '"revoked_hosts"'),
    "workflows.user": USER,
    "workflows.password": PASSWORD,
    "workflows.allowed_signers": (*FILE, '"text"', '"hosts_cut"'),
    "workflows.submodules": FLAG,
    "workflows.lfs": FLAG,
    "workflows.max_file_mb": ("0", "1048577", *NUMBER),
    "workflows.max_release_mb": ("0", "1048577", *NUMBER),
    "workflows.test_timeout": ("9", "86401", *NUMBER),
    "workflows.path": ('"none"', '"text"', '"."', f'"{"p" * 300}"', '"~nobody-here/x"', *TEXT),
    "workflows.keep": ("0", "101", *NUMBER),
    "pools.NAME": ('"a b" = 1', '"" = 1', '"a/b" = 1', f"{'p' * 251} = 1", '"a\\u0007" = 1',
                   '"ä" = 1'),
    "pools.VALUE": ("-2", "10001", '"1"', "1.5", "true"),
    "connections.NAME": ('A = { type = "http" }', '"a b" = { type = "http" }',
                         '"" = { type = "http" }',
                         f'{"c" * 201} = {{ type = "http" }}', '"a.b" = { type = "http" }'),
    "connections.NAME.type": ('"Postgres"', '"a b"', f'"{"t" * 101}"', *TEXT),
    "connections.NAME.host": ('"a b"', '"https://db"', '"db:5432"',
                              '"a..b"', f'"{"h" * 501}"', f'"{"ä" * 251}"', r'"a\nb"', *TEXT),
    "connections.NAME.port": ("0", "65536", *NUMBER),
    "connections.NAME.login": (f'"{"l" * 501}"', f'"{"ä" * 251}"', r'"a\u0000"', *TEXT),
    "connections.NAME.password": PASSWORD,
    "connections.NAME.schema": (f'"{"s" * 501}"', f'"{"ä" * 251}"', r'"a\u0000"', *TEXT),
    "connections.NAME.extra": ("{ a = 1.5 }", "{ a = [] }", '{ "a b" = 1 }', '{ "" = 1 }',
                               r'{ a = "\u0000" }', '{ sslmode = "disable" }', "5",
                               "{ a = 2026-01-01 }"),
    "connections.NAME.secret_extra": ('{ a = "hush" }', "{ a = {} }",
                                      '{ a = { env = "NOT_THERE" } }',
                                      '{ a = { file = "empty" } }', '{ "a b" = { env = "LINES" } }',
                                      '{ sslmode = { env = "LINES" } }', "5"),
    "connections.NAME.trust": ('"relative.pem"', '"~/x.pem"', *TEXT),
    "connections.NAME.encrypted": (*FLAG, "false"),
    "variables.NAME": ('"a b" = 1', '"" = 1', '"a/b" = 1', f"{'v' * 251} = 1", '"ä" = 1'),
    "variables.VALUE": ("nan", "-inf", "2026-01-01", "12:00:00", "[2026-01-01]", "[nan]",
                        r'"\u0000"',
                        "{ value = 1 }", '{ env = "NOT_THERE" }', '{ file = "empty" }'),
    "proxy.server_name": ('"https://h"', '"h:443"', '"a..b"', '"-a"', '"1.2.3"', '"0.0.0.0"',
                          '"ff02::1"',
                          f'"{"n" * 64}.org"', f'"{"n." * 130}org"', '"ä.org"', *TEXT),
    "proxy.further_names": ('["https://h"]', '["h:443"]', '["a..b"]', '["-a"]', '["*.org"]',
                            '["0.0.0.0"]', '["a", "a"]', '[""]', "[5]", '"h"'),
    "proxy.https_port": ("0", "65536", "8080", "6000", "80", *NUMBER),
    "proxy.http_port": ("0", "65536", "8793", "6000", "443", *NUMBER),
    "proxy.certificate": (*PEM, '"other.pem"', '"expired.pem"', '"key.pem"', '"below.pem"',
                          '"elsewhere.pem"'),
    "proxy.certificate_key": (*PEM, '"locked.key"', '"chain.pem"'),
    "backup.every": ('"täglich"', r'"daily\n"', '"22:00 Europe/Zuerich"', '"$(x)"', *TEXT),
    "backup.keep": ("0", "1001", *NUMBER),
    "backup.age_recipient": (f'"age1{"q" * 58}"', '"age1ql3z7"', f'"AGE-SECRET-KEY-1{"Q" * 58}"',
                             '"ssh-ed25519 AAAA"', *TEXT),
    "backup.passphrase": PASSWORD,
    "backup.data": FLAG,
    "REFERENCE.env": ('"A B"', '"1A"', '"$A"', f'"{"A" * 300}"', *TEXT),
    "REFERENCE.file": ('"none"', '"~nobody-here/x"', '"/dev/zero"', '"latin"', *TEXT),
}  # fmt: skip
AGE = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"
BY_SYSTEMD = ('"dayly"', '"Mon..Fir 22:00"', '"2020-01-01"')
STORE = '[connections.store]\ntype = "aws"\n[connections.web]\ntype = "http"\n'
WITH = {  # what else has to be there for the value to be wrong by itself
    "base.apt_security_mirror": 'apt_mirror = "https://h/"\n',
    "base.http_proxy_user": 'http_proxy = "https://h"\n',
    "base.http_proxy_password": 'http_proxy = "https://h"\nhttp_proxy_user = "me"\n',
    "base.python_index_user": 'python_index = "https://h"\n',
    "base.python_index_password": 'python_index = "https://h"\npython_index_user = "me"\n',
    "airflow.xcom_path": STORE,
    "models.channel_user": 'channel_mirrors = { a = "https://h" }\n',
    "models.channel_password": 'channel_mirrors = { a = "https://h" }\nchannel_user = "me"\n',
    "workflows.known_hosts": 'repository = "ssh://git@git.example.org:2222/a.git"\n',
    "workflows.password": 'user = "me"\n',
    "proxy.certificate": 'certificate_key = "good.key"\nserver_name = "ml.example.org"\n',
    "proxy.certificate_key": 'certificate = "chain.pem"\n',
    "REFERENCE.env": 'http_proxy = "https://h"\nhttp_proxy_user = "me"\n',
    "REFERENCE.file": 'http_proxy = "https://h"\nhttp_proxy_user = "me"\n',
}


def reference() -> set[str]:
    """Every setting that docs/config.md is made of."""
    found = {f"REFERENCE.{name}" for name in SecretRef.model_fields}
    for table, model in sections():
        found |= {f"{table}.{info.alias or name}" for name, info in model.model_fields.items()}
        if model.model_config.get("extra") == "allow":
            each = model.EACH.model_fields if model.EACH else {}
            found |= {f"{table}.NAME.{info.alias or name}" for name, info in each.items()}
            found |= {f"{table}.NAME"} | (set() if each else {f"{table}.VALUE"})
    return found


def test_every_setting_has_wrong_values_and_no_other_has():
    assert reference() == WRONG.keys()
    assert not [setting for setting, values in WRONG.items() if len(values) < 3]
    assert WITH.keys() <= WRONG.keys()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Files that a config may name, good and bad."""
    made = tmp_path_factory.mktemp("settings")
    root = authority.make("a root of ours")
    names = ("ml.example.org",)
    chain = authority.make("ml", root, names=names)
    texts = {
        "empty": "", "text": "hello\n", "lines": "a\nb\n",
        "cut.pem": chain.pem[:200], "chain.pem": chain.pem + root.pem, "good.key": chain.key_pem,
        "key.pem": chain.key_pem, "other.pem": authority.make("x", names=names).pem,
        "other.key": authority.key_pem(authority.new_key()),
        "locked.key": authority.key_pem(chain.key, "hush"),
        "below.pem": chain.pem,
        "expired.pem": authority.make(
            "ml", names=names, key=chain.key, begin=-2 * DAY, end=-DAY
        ).pem,
        "elsewhere.pem": authority.make("ml", names=("other.org",), key=chain.key).pem,
    }  # fmt: skip
    for name, text in texts.items():
        (made / name).write_text(text)
    (made / "latin").write_bytes(b"f\xfcr\n")
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(made / "k")]
    if shutil.which("ssh-keygen"):
        subprocess.run(words, check=True)
        key = " ".join((made / "k.pub").read_text().split()[:2])
    else:
        key = "ssh-ed25519 AAAA"
    (made / "other_hosts").write_text(f"other.example.org {key}\n[git.example.org]:22 {key}\n")
    (made / "revoked_hosts").write_text(f"@revoked [git.example.org]:2222 {key}\n")
    (made / "hosts_cut").write_text(f"ann@example.org {key[:-8]}\n")
    return made


def written(setting: str, value: str) -> str:
    """A config in which the setting is in line 5; a comment and another table stand before."""
    table, _, name = setting.partition(".")
    line = f"{name} = {value}"
    if table == "REFERENCE":
        table, line = "base", f"http_proxy_password = {{ {line} }}"
    elif name == "NAME":
        line = value
    elif name == "VALUE":
        line = f"a = {value}"
    elif name.startswith("NAME."):
        table, line = f"{table}.a", f"{name.removeprefix('NAME.')} = {value}"
    more = WITH.get(setting, "")
    if table == "connections.a":
        rest = ('type = "postgres"', 'host = "db.example.org"')
        more = "\n".join(one for one in rest if one[:4] != line[:4])
    other = "[backup]\ndata" if table == "postgres" else "[postgres]\nadopt"
    return f"{other} = true\n[{table}]\n# {line}\n{line}\n{more}"


def no_server(server: Ssh) -> None:
    raise HostError("reached")


@pytest.fixture
def plan(folder, tmp_path, monkeypatch):
    """`plan` with a text as the config; an attempt to log in fails the test."""
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("LINES", "a\nb")
    monkeypatch.delenv("NOT_THERE", raising=False)
    attempts = []

    def connect(server: Ssh) -> None:
        attempts.append(server.address)
        no_server(server)

    monkeypatch.setattr(Ssh, "connect", connect)
    path = folder / "mlops.toml"

    def run(text: str, target: str | None = "root@192.0.2.1") -> ConfigError:
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            actions.plan(Options(target, path), full=False)
        assert not attempts
        return caught.value

    return run


def refused(error: ConfigError, setting: str, line: int = 5) -> None:
    table, _, name = setting.partition(".")
    named = f"[{table}] {name}"
    if table == "REFERENCE":
        named = "[base] http_proxy_password"
    elif name.startswith(("NAME", "VALUE")):
        named = f"[{table}{'.a' if '.' in name else ''}] {name.partition('.')[2]}"
    said = f"{error.message}\n{error.detail}"
    assert f"mlops.toml:{line}: {named}" in said
    assert len(error.fix) > 10
    assert "hush" not in said
    assert "QQQ" not in said


@pytest.mark.parametrize("setting", WRONG)
def test_wrong_values_are_refused_by_name_line_and_fix_before_any_login(plan, setting):
    target = None if setting == "server.host" else "root@192.0.2.1"
    for value in WRONG[setting]:
        refused(plan(written(setting, value), target), setting)


def test_what_only_systemd_can_judge(plan):
    need("systemd-analyze")
    for value in BY_SYSTEMD:
        refused(plan(written("backup.every", value)), "backup.every")


@pytest.mark.parametrize("value", PEM)
def test_the_authorities_of_hana_are_a_file_of_this_side(plan, value):
    text = f'[connections.a]\ntype = "hana"\nhost = "h"\n# trust\ntrust = {value}\n'
    refused(plan(text), "connections.NAME.trust")


A = '{ env = "A" }'


@pytest.mark.parametrize(
    ("table", "text", "says"),
    [
        ("base", 'apt_security_mirror = "https://h/"', "2: [base] apt_security_mirror: it does"),
        ("base", 'http_proxy_user = "me"', "2: [base] http_proxy_user: it does nothing without"),
        ("base", f'http_proxy = "https://h"\nhttp_proxy_password = {A}', "3: [base] http_proxy_p"),
        ("base", 'python_index_user = "me"', "2: [base] python_index_user: it does nothing"),
        ("base", f'python_index_password = {A}', "2: [base] python_index_password: it does"),
        ("models", 'channel_user = "me"', "2: [models] channel_user: it does nothing without"),
        ("models", f"channel_password = {A}", "2: [models] channel_password: it does nothing with"),
        ("workflows", f"password = {A}", "2: [workflows] password: it does nothing without user"),
        ("workflows", 'repository = "https://h/a.git"\npath = "p"', "3: [workflows] path: set r"),
        ("proxy", 'certificate = "chain.pem"', "2: [proxy] certificate: certificate and certifica"),
        ("proxy", 'certificate_key = "good.key"', "2: [proxy] certificate_key: certificate and ce"),
        ("proxy", "http_port = 444\nhttps_port = 444", "3: [proxy] https_port: http_port and http"),
        ("backup", f'age_recipient = "{AGE}"\npassphrase = {A}', "2: [backup] age_recipient: set "),
        ("connections.b", 'type = "http"\ntrust = "/x"', "3: [connections.b] trust: trust is only"),
        ("connections.b", f'type = "http"\nextra = {{ a = 1 }}\nsecret_extra = {{ a = {A} }}',
         "4: [connections.b] secret_extra: a is in extra and in secret_extra"),
        ("connections.b", "port = 5", "1: [connections.b] type: it is needed"),
    ],
)  # fmt: skip
def test_settings_that_do_not_go_together_are_refused_by_name(plan, table, text, says):
    assert f"mlops.toml:{says}" in plan(f"[{table}]\n{text}\n").message


def test_the_one_of_a_list_that_is_wrong_is_named(plan):
    assert (
        "packages: 'Git': it is not a package"
        in plan('[base]\npackages = ["git", "Git"]\n').message
    )
    assert (
        "mirrors.a: 'x': it is not an http"
        in plan('[models]\nchannel_mirrors = {a = "x"}\n').message
    )
    assert "'a b\\n'" in plan('[base]\nno_proxy = ["h", "a b\\n"]\n').message


# --- what is right is taken ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "lines"),
    [
        ("server", ('host = "root@[2001:db8::1]:2222"', 'host = "ann@corp@ml"', 'host = "local"')),
        ("base", ('timezone = "America/Argentina/Buenos_Aires"', 'timezone = "UTC"',
                  'locale = "ckb_IQ.UTF-8"', 'packages = ["g++", "libstdc++6", "python3.11"]',
                  'journal_max = "16M"', 'journal_max = "16T"', 'journal_max = "500000K"',
                  'apt_mirror = "http://[2001:db8::1]:8080/a%20b/~x/"',
                  'http_proxy = "http://proxy:3128"',
                  'no_proxy = [".example.org", "10.0.0.0/8", "::1", "10.0.0.7", "h"]')),
        ("airflow", ('admin_email = "o\'neil+x@mail.example.org"', 'xcom_threshold = -1')),
        ("models", ('channel_mirrors = { "https://h/c" = "https://h", "a/b" = "https://h" }',
                    'cuda = "9.0"', 'pypi_names = "none"')),
        ("workflows", ('repository = "https://git.example.org:8443/~team/a.git"',
                       'repository = "ssh://git@[2001:db8::1]:22/a.git"\nknown_hosts = "x"',
                       'repository = "git@[::1]:a.git"\nknown_hosts = "x"',
                       'repository = "git_1@host-1.example.org:/srv/a.git"\nknown_hosts = "x"',
                       'ref = "feature/ünïcode-1.2"', 'ref = "refs/tags/v1.0"')),
        ("proxy", ('server_name = "2001:db8::1"', 'server_name = "ml"', "https_port = 8443",
                   'further_names = ["ml", "ml.internal", "10.0.0.7", "2001:db8::1"]')),
        ("backup", ('every = "Mon..Fri 22:00 Europe/Zurich"', 'every = "never"',
                    'every = "*:0/30"')),
        ("connections.a", ('type = "http"\nhost = "https://api.example.org/v1"',
                           'type = "postgres"\nhost = "a.example.org,/run/postgresql"',
                           'type = "ssh"\nextra = { "a.b" = "two\\nlines", empty = "" }')),
        ("variables", ('empty = ""', 'text = "two\\nlines"', 'many = [1, "a", [true]]',
                       'big = 1e9')),
    ],
)  # fmt: skip
def test_what_is_right_is_taken(table, lines):
    for line in lines:
        config.parse(f"[{table}]\n{line}\n", "t")


# --- the line -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[base]\npackages = [\n  'x',\n]\ntimezone = 5", 5),
        ("[base]\nlocale = \"\"\"\n[base]\ntimezone = 1\n\"\"\"\ntimezone = 5", 6),
        ("base.timezone = 5", 1),
        ("base = { locale = 'C.UTF-8', timezone = 5 }", 1),
        ("[airflow]\n# timezone\n[ 'base' ] # here\n'timezone' = 5", 4),
        ("\"base\".\"timezone\" = 5", 1),
    ],
)  # fmt: skip
def test_the_line_is_the_one_of_the_setting(text, line):
    assert places.line(text, ("base", "timezone")) == line


# --- the command line ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[airflow]\nschedulers = 9\n", "[airflow] schedulers"),
        ('[base]\nca_bundle = "cut.pem"\n', "[base] ca_bundle"),
        ('[proxy]\ncertificate = "expired.pem"\ncertificate_key = "good.key"\n',
         "[proxy] certificate"),
        ('[workflows]\npassword = { env = "NOT_THERE" }\nuser = "me"\n', "[workflows] password"),
    ],
)  # fmt: skip
def test_the_exit_code_is_1_and_nobody_knocks_at_the_server(folder, text, says):
    (folder / "mlops.toml").write_text(text)
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"root@127.0.0.1:{server.getsockname()[1]}"
        done = subprocess.run([sys.executable, "-m", "mlops_install", "apply", "--yes", target],
                              cwd=folder, capture_output=True, text=True, check=False)  # fmt: skip
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()
    assert (done.returncode, done.stdout) == (1, "")
    first, *_, last = done.stderr.splitlines()
    assert first.startswith(f"error: mlops.toml:2: {says}: ")
    assert last.startswith("fix:   ")


def test_what_only_reads_the_server_needs_no_files(folder, monkeypatch):
    (folder / "mlops.toml").write_text('[base]\nca_bundle = "none"\n')
    monkeypatch.setattr(Ssh, "connect", no_server)
    for command in (actions.status, actions.on_server):
        with pytest.raises(HostError, match="reached"):
            command(Options("root@192.0.2.1", folder / "mlops.toml"))


LONG = "x" * 300


@pytest.mark.parametrize(
    "words",
    [
        ["plan", "-c", LONG],
        ["plan", "-c", "~nobody-here/mlops.toml"],
        ["plan", "root@192.0.2.1", "-F", LONG],
        ["lock", "--project", LONG],
        ["lock", "--project", "~nobody-here/x"],
        ["restore", LONG, "root@192.0.2.1", "-F", LONG],
        ["restore", "~nobody-here/x", "root@192.0.2.1"],
    ],
)
def test_paths_of_the_command_line_that_cannot_be(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    assert cli.run(words) == 1
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("error: ")
    assert last.startswith("fix:   ")
