"""Whatever the readers of this side get: they say what is wrong, and nothing else happens.

Files of the user and answers of the server, good ones that were cut, doubled or spoiled, and what
makes no sense at all. Only our own errors may come out.
"""

import base64
import io
import json
import struct
import tomllib
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import authority
import paramiko
import pytest
from fuzz import DEEP, ENVIRONMENT, LOCK, OPTIONS, fuzzed, spoiled
from hypothesis import example, given
from hypothesis import strategies as st
from machine import need
from mlops_install import (
    answer,
    backups,
    certificate,
    config,
    context,
    engine,
    facts,
    githosts,
    journal,
    knownhosts,
    preflight,
    probe,
    restoring,
    rollback,
    runlock,
    sshconfig,
    sshlogin,
    starter,
    status,
    upgrade,
    upgrading,
)
from mlops_install import given as files
from mlops_install.answer import Answer
from mlops_install.errors import ConfigError, HostError, MlopsError, PreflightError
from mlops_install.lock import check, contents, project
from mlops_install.plan import Change, LaneChanges
from mlops_install.removal import found as removal
from mlops_install.resource import differences
from mlops_install.resources.file import Directory
from mlops_install.roles import stages
from mlops_install.session import Result, Session
from mlops_install.settings import sections
from mlops_server.backup import config as backup_config
from mlops_server.layout import Layout
from mlops_server.workflows import config as workflows_config
from samples import FACTS

# --- known_hosts --------------------------------------------------------------------------

PUBLIC = paramiko.RSAKey.generate(1024)
KEY = f"{PUBLIC.get_name()} {PUBLIC.get_base64()}"
HASHED = "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg="
HOSTS = f"""\
# comment
ml,10.0.0.* {KEY} me@laptop
[ml]:2222 {KEY}
{HASHED} {KEY}
@cert-authority *.example.org,!bad.example.org {KEY}
@revoked other {KEY}
""".encode()


@fuzzed
@given(spoiled(HOSTS), st.sampled_from(["ml", "other", "a.example.org", "[ml]:2222", "m?*[!"]))
@example(b"ml ssh-rsa " + base64.b64encode(struct.pack(">I", 2**32 - 1) + b"ssh-rsa"), "ml")
@example(b"|1|a|b|c " + KEY.encode(), "ml")
@example(b"[[[*]] " + KEY.encode(), "ml")
def test_known_hosts(tmp_path, data, host):
    path = tmp_path / "known_hosts"
    path.write_bytes(data)
    way = sshconfig.Way(sshconfig.Target(host), host, "", 22, "", (), (path,))
    judge = sshlogin.Judge(way, accept_new=False)
    with suppress(paramiko.SSHException):  # `_explain` has words for each
        judge.missing_host_key(paramiko.SSHClient(), host, PUBLIC)
    with suppress(ConfigError):
        githosts.known_hosts(str(path), f"ssh://git@{host}/a.git")
    with suppress(ConfigError):
        githosts.allowed_signers(str(path))
    assert all(line.key for line in knownhosts.read([path]))


# --- ssh config ---------------------------------------------------------------------------

SSH = b"""\
Host ml *.example.org
  HostName 127.0.0.1
  Port 2222
  User ann
  IdentityFile ~/.ssh/%h
  IdentityAgent $SSH_AUTH_SOCK
  UserKnownHostsFile ~/.ssh/known_hosts /dev/null
  ProxyJump first,bob@second:22
Match originalhost ml
  HostKeyAlias "that one"
"""


@pytest.mark.parametrize("program", ["ssh", None])
@fuzzed
@given(spoiled(SSH))
@example(b"IdentityFile ~nobody-here/.ssh/id\n")
@example(b"UserKnownHostsFile ~nobody-here/x\n")
@example(b"Host *\nProxyJump ssh://\n")
@example(b"Port 70000\n")
@example(b"Port example.org\n")
@example(b"Match final\n")
@example(b"Match exec\n")
@example(b"Host \xff\n  User \xfe\n")
def test_ssh_config(tmp_path, monkeypatch, program, data):
    if program is None:
        monkeypatch.setattr(sshconfig.shutil, "which", lambda name: None)
    else:
        need("sshd")  # its package brings ssh too
    (tmp_path / "included").write_bytes(data)
    path = tmp_path / "config"
    path.write_text(f"Include {tmp_path}/included\n")
    for file in (path, tmp_path / "included"):
        with suppress(HostError):
            assert sshlogin._way(sshconfig.Target("ml"), file).host


@fuzzed
@given(spoiled(b"hostname ml\nport 22\nproxyjump a,b@c:22\nidentityfile ~/x\nidentityagent $X\n"))
def test_what_ssh_says_of_its_config(data):
    said = sshconfig.read(data.decode(errors="replace"))
    with suppress(HostError):
        sshconfig.way(sshconfig.Target("ml"), said)


# --- mlops.toml ---------------------------------------------------------------------------

CONFIG = b"""\
[server]
host = "root@ml.example.org"
[base]
timezone = "Europe/Zurich"
packages = ["git-lfs"]
http_proxy = "http://proxy.example.org:3128"
http_proxy_user = "mlops"
http_proxy_password = { env = "NOT_THERE" }
[workflows]
repository = "git@git.example.org:team/forecasts.git"
known_hosts = "git-host-keys"
[pools]
gpu = 1
[connections.sales]
type = "postgres"
host = "db.example.org"
extra = { options = "-c x=1" }
[variables]
a = [1, "b", { c = true }]
[backup]
every = "daily"
"""


@fuzzed
@given(spoiled(CONFIG))
@example(b"a = " + DEEP)
@example(b"a = " + b"9" * 5000)
@example(b"a" + b".a" * 5000 + b" = 1")
@example(b"[variables]\na = " + b"[" * 40 + b"]" * 40)
@example(b'[base]\nca_bundle = "~nobody-here/x"')
@example(b'[base]\nca_bundle = "\\u0000"')
@example(b"[[base]]\n")
@example(b"base = 5\n")
@example(b"variables = [1]\nconnections = 5\npools = { a = { b = 1 } }\n")
@example(b"[connections]\na = 5\nb = []\n")
def test_mlops_toml(tmp_path, data):
    path = tmp_path / "mlops.toml"
    path.write_bytes(data)
    with suppress(ConfigError), config.located(path):
        files.given(config.load(path))


VALUES = st.one_of(
    st.integers(-(10**9), 10**9), st.booleans(), st.floats(), st.text(max_size=12),
    st.sampled_from(["a", "a b", "https://h/x", "h:1", "::1", "a/b", '"', "'", "\\", "$(x)", "%n",
                     "{{", "daily", "22:00", "main", "refs/tags/v1", "12.8", "s3://store@forecasts/x"]),
)  # fmt: skip


@st.composite
def configs(draw: st.DrawFn) -> str:
    """A TOML text with settings of the schema, and values of any kind."""
    lines = []
    for table, model in draw(st.lists(st.sampled_from(list(sections())), max_size=3, unique=True)):
        lines.append(f"[{table}]")
        names = [*model.model_fields, "a"]
        for name in draw(st.lists(st.sampled_from(names), max_size=3, unique=True)):
            value = draw(VALUES | st.lists(VALUES, max_size=2))
            example_of = getattr(model.model_fields.get(name), "examples", None)
            if example_of and draw(st.booleans()):
                value = example_of[0]
            lines.append(f"{name} = {starter.toml(value)}")
    return "\n".join(lines).replace("NaN", "nan").replace("Infinity", "inf")


@fuzzed
@given(configs())
def test_a_config_that_is_taken_can_be_planned_and_read_by_the_server(tmp_path, text):
    try:
        wanted = config.parse(text, "t")
    except ConfigError:
        return
    made = context.make(wanted, facts.parse(FACTS), context.Given(), "192.0.2.7")
    with suppress(PreflightError):  # the server may be too small
        preflight.check(wanted, made.facts)
    layout = Layout(tmp_path)
    for resource in resources(made):
        assert "\0" not in str(getattr(resource, "content", ""))
        if resource.name in ("file /etc/mlops/workflows.toml", "file /etc/mlops/backup.toml",
                             "file /etc/mlops/conda.toml"):  # fmt: skip
            path = tmp_path / resource.name.removeprefix("file /")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(resource.content)
            tomllib.loads(resource.content)
    assert (
        workflows_config.read(layout.workflows_config, ("ssh", "https")).keep
        == wanted.workflows.keep
    )
    assert backup_config.read(layout).keep == wanted.backup.keep


def resources(made: context.Context) -> list[Any]:
    return [r for stage in stages(made) for lane in stage.lanes for r in lane.resources]


# --- a project ----------------------------------------------------------------------------


@fuzzed
@given(spoiled(ENVIRONMENT), spoiled(LOCK), spoiled(OPTIONS))
@example(ENVIRONMENT, LOCK, b"gpu = " + DEEP)
@example(ENVIRONMENT, LOCK, b"start_timeout = " + b"9" * 5000)
@example(ENVIRONMENT, LOCK, 'cuda = "١٢.٨"'.encode())
@example(b"channels: ['http://[']\ndependencies: [a]", LOCK, b"")
@example(b"channels: [a]\ndependencies: ['http://[::a']", LOCK, b"")
@example(b"channels: [{a: b}]\ndependencies: [{pip: {a: b}}]", LOCK, b"")
def test_the_files_of_a_model(tmp_path, environment, lock, options):
    folder = tmp_path / "models/m"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in (("environment.yml", environment), ("conda-lock.yml", lock),
                       ("model.toml", options)):  # fmt: skip
        (folder / name).write_bytes(data)
    with suppress(ConfigError):
        project.read(tmp_path)
    with suppress(ConfigError):
        source = project.source(tmp_path, "m", None)
        source.stale(lock, ("linux-64",))
        with suppress(ValueError, MlopsError):
            contents.kept(lock, ["numpy"])
            contents.judge(source, contents.packages(lock), ("linux-64",))
            contents.changes(contents.packages(lock), [])


@fuzzed
@given(spoiled(b"age-encryption.org/v1\n-> X25519 a\n") | spoiled(b"\x8c\x0d\x04\x09\x03\x02" * 9))
def test_headers_of_archives(tmp_path, data):
    path = tmp_path / "a.tar"
    path.write_bytes(data)
    with suppress(ConfigError):
        assert restoring.proven(path) in ("age", "gpg", "")


PAIR = authority.make("ml.example.org", names=("ml.example.org",))


@fuzzed
@given(spoiled(PAIR.pem.encode()), spoiled(PAIR.key_pem.encode()), st.booleans())
def test_certificates(chain, key, more):
    texts = [text.decode(errors="replace") for text in (chain, key)]
    with suppress(ConfigError):
        certificate.check(texts[0], texts[1], texts[0] if more else "")
    with suppress(ConfigError):
        certificate.check_name(texts[0], "ml.example.org")


# --- answers of the server ----------------------------------------------------------------


class Said(Session):
    """A script that printed this, and ended well."""

    def __init__(self, text: bytes) -> None:
        super().__init__(io.BytesIO(), io.BytesIO(text), io.BytesIO())

    def reachable(self) -> bool:
        return True

    def _close_stdin(self) -> None: ...

    def _wait(self) -> int:
        return 0

    def close(self) -> None: ...


class Server:
    """A host that answers everything with this."""

    address = "ml"

    def __init__(self, data: bytes) -> None:
        self.data = data

    def open(self, script: str) -> Said:
        return Said(self.data)

    def run(self, script: str) -> Result:
        return Result(self.data.decode(errors="replace"), "", 0)

    def first(self, script: str, ask: Any, said: Result | None = None) -> Result:
        return said or self.run(script)


MORE = b"""port_443=nginx
cluster_15/main=port = 5432;data_directory '/x'
hba_90=all postgres peer
limit_mb=4000
asked_zone=yes
"""


@fuzzed
@given(spoiled(FACTS.encode() + MORE))
@example(FACTS.encode() + b"hba_x=a b c\n")
@example(FACTS.encode() + b"port_x=nginx\n")
@example(FACTS.replace("memory_mb=8000", "memory_mb=").encode())
@example(b"init=systemd\n")
def test_facts(data):
    with suppress(HostError):
        found = facts.gather(Server(data), str)
        with suppress(MlopsError):
            context.make(config.parse("", "t"), found, context.Given(), "192.0.2.7")


TOKEN = "ab" * 8
FRAMES = f"one\n{TOKEN} 0 0\n\n{TOKEN}\n\n{TOKEN} 1 3\nnot there\n{TOKEN}\n".encode()


@fuzzed
@given(spoiled(FRAMES))
@example(FRAMES.replace(b" 1 3", b" 7 3"))
@example(FRAMES.replace(b" 1 3", b""))
@example(f"{TOKEN} 0 0\n{TOKEN}\n".encode() * 3)
def test_answers_to_all_questions(data):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe.secrets, "token_hex", lambda n: TOKEN)
        with suppress(HostError):
            assert len(probe.ask(Server(data), ["a", "b"])) == 2


ANSWERS = [
    b"/etc/x\tf 0644 root root 20 \n" + b"0" * 64 + b"  /etc/x\n",
    b"/etc/x\tl 0777 root root 20 /target\n",
    b"inputs a 1\nwanted a\nId=a.service\nLoadState=loaded\nActiveState=active\n\nId=b\n",
    b'-- 0\n{"name": "airflow", "owner": "airflow"}\n-- 1\n{"pool": "a", "slots": 1}\n',
    b"subject=CN = ml\nlasting\n0123\n",
    b"200 abc scheduler-1\n",
    b"git installed\naccounts open\n",
]
CONTEXT = context.make(config.parse("[pools]\na = 1\n", "t"), facts.parse(FACTS), context.Given(),
                       "192.0.2.7")  # fmt: skip
RESOURCES = {type(r): r for r in resources(CONTEXT)}


@fuzzed
@given(st.one_of(*(spoiled(text) for text in ANSWERS)), st.sampled_from([0, 0, 0, 3, 1]))
@example(b"", 0)
@example(b"{}", 0)
@example(b'{"head": "alembic_version"}', 0)
@example(b"-- x\n", 0)
@example(b"[" * 3000, 0)
def test_the_state_of_every_kind_of_resource(data, code):
    text = data.decode(errors="replace")
    for resource in RESOURCES.values():
        with suppress(HostError):
            state = probe.read(resource, Answer(text, code, "e"))
            if differences(state, resource.desired):
                list(resource.change(state))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe, "ask", lambda host, scripts: [Answer(text, code)] * len(scripts))
        with suppress(HostError):
            probe.states(Server(data), list(RESOURCES.values()))


STATUS = [
    b"3.3.2\n", b"nginx active\n", b'{"job_type": "TriggererJob", "hostname": "ml", "age": 3}\n',
    b'{"state": "running", "number": 3}\n', b"/ 5000 40%\n", b"ann\n",
    b'a\n{"active": {"subject": "s"}, "rejected": [{"commit": "c", "reason": "r"}], "seen": "c"}\n',
    b'{"lock_hash": "a", "python": "3.12", "packages": 3, "bytes": 99, "model": "m"}\n',
    b"a failed\n",
    b'{"kind": "upgrade", "old": "1", "new": "2", "phase": "p"}\n{"reason": "r", "at": "t"}\n',
    b"2027-01-01 100\n",
]  # fmt: skip


@fuzzed
@given(st.lists(st.one_of(*(spoiled(text) for text in STATUS)), min_size=11, max_size=11))
@example(STATUS)
@example(list(reversed(STATUS)))
def test_the_status(data):
    answers = [Answer(text.decode(errors="replace")) for text in data]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(status.probe, "ask", lambda host, scripts: answers)
        with suppress(HostError):
            found = status.gather(Server(b""), CONTEXT)
            assert all(isinstance(word, str) for row in found.rows() for word in row)
            json.dumps(found.as_json())


NOTE = json.dumps({
    "name": "20261130T000000Z-made.tar", "size": 3, "sha256": "ab", "made": "2026-11-30T00:00:00Z",
    "host": "ml", "airflow": "3.3.2", "heads": {"a": "b"}, "counts": {"runs": 1},
}).encode()  # fmt: skip
WISH = restoring.Wish("latest", None, save=True, drain=60, yes=True)


@fuzzed
@given(spoiled(NOTE))
@example(b"")
@example(b"[]")
@example(b'{"name": 5}')
@example(NOTE.replace(b'"3.3.2"', b"5"))
@example(NOTE.replace(b'"2026-11-30T00:00:00Z"', b'"2026-11-30"'))
@example(NOTE.replace(b"tar", b"\\u0000"))
@example(NOTE.replace(b'"20261130T000000Z-made.tar"', b'"/"'))
def test_notes_of_backups(tmp_path, data):
    text = data.decode(errors="replace")
    with suppress(MlopsError):
        backups.download(Server(data), "a", tmp_path)
    with suppress(MlopsError):
        assert backups.note(Server(data), "create")["name"]
    with suppress(MlopsError):
        story = restoring._judged(Server(data), CONTEXT.config, WISH, text, fresh=False)
        assert all(isinstance(line, str) for line in story)


PREVIOUS = b'{"old": "3.3.1", "new": "3.3.2", "schema": true, "since": "t", "runs": 3}'
TASK = b'{"dag": "d", "run": "r", "task": "t", "attempt": 1, "state": "running", "age": 5}\n'


@fuzzed
@given(spoiled(PREVIOUS), spoiled(TASK))
@example(b'{"old": 1}', b'{"dag": 1}')
@example(b'{"nonsense": 1}', b"[]")
def test_upgrades(previous, task):
    with suppress(MlopsError):
        list(rollback.look(Server(previous)).lines())
    with suppress(MlopsError):
        upgrading.ended(Server(previous)).get("message")
    wanted = upgrade.Upgrade("3.3.1", "3.3.2", True, (), 60)
    with pytest.MonkeyPatch.context() as patch:
        text = task.decode(errors="replace")
        patch.setattr(upgrade, "ask", lambda host, scripts: [Answer(text)])
        with suppress(HostError):
            list(upgrade.with_tasks(Server(b""), wanted).lines())


REMOVAL = b'nginx\tinstalled\tno\toptional\t\tlibc6 (>= 2.3), a | b\n{"task": "t"}\n{"name": "n"}\n'


@fuzzed
@given(spoiled(REMOVAL), spoiled(b'{"kind": "file", "name": "/x", "was": "none", "at": "t"}\n'))
@example(b"nginx\n", b"")
@example(b'{"name": "n", "owner": "o"}', b"")
def test_what_an_uninstall_finds(data, line):
    journal.parse(line.decode(errors="replace"))
    text = data.decode(errors="replace")

    def said(host: Server, scripts: tuple[str, ...]) -> list[Answer]:
        return [Answer("", 3) if removal.UPGRADE in script else Answer(text) for script in scripts]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(removal, "ask", said)
        with suppress(MlopsError):
            removal.find(Server(data))


LINES = (
    f"hello\n{TOKEN} start\nworks\n\n{TOKEN} steps 0\n/d\td 0755 root root 3 \n\n{TOKEN} end 0\n"
)


@fuzzed
@given(spoiled(LINES.encode()))
@example(LINES.encode() * 2)
@example(LINES.replace("end 0", "end x").encode())
@example(LINES.replace("start", "halt").encode())
@example(f"{TOKEN} end 0\n".encode())
def test_what_a_lane_says(data):
    directory = Directory("/d", 0o755, "root", "root")
    lane = LaneChanges("base", (Change(directory, (), tuple(directory.change(None))),))
    run = engine.LaneRun(Server(data), lane, lambda event: None, token=TOKEN)
    with suppress(MlopsError):
        run.carry_out()
        assert run.at == 1


@fuzzed
@given(spoiled(b"busy a command\nheld by ann\nmine \n"))
def test_the_run_lock(data):
    with suppress(MlopsError):
        runlock._get(Said(data), "", lambda text: None)


def test_what_the_libraries_of_the_check_of_locks_print_is_no_answer(monkeypatch):
    done = SimpleNamespace(returncode=0, stdout='a warning\n{}\n{"m": "stale"}', stderr="")
    monkeypatch.setattr(check.subprocess, "run", lambda *words, **more: done)
    assert check._answer([]) == {"m": "stale"}


def test_what_is_not_understood_is_told_with_what_was_said():
    with pytest.raises(HostError) as caught:
        answer.document("the backup", "Welcome to ml!\n{}")
    assert "the server's answer about the backup cannot be read" in caught.value.message
    assert caught.value.detail.startswith("Welcome")
    assert "profile" in caught.value.fix


def test_a_lane_that_is_cut_is_no_success():
    directory = Directory("/d", 0o755, "root", "root")
    lane = LaneChanges("base", (Change(directory, (), ()),))
    whole = engine.LaneRun(Server(LINES.encode()), lane, lambda event: None, token=TOKEN)
    whole.carry_out()
    for cut in (LINES[:-9], LINES.replace("0755", "0700"), ""):
        with pytest.raises(MlopsError):
            replace(whole, host=Server(cut.encode()), at=0).carry_out()
