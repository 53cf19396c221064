"""A server under test, and how tests talk to it: the command line, OpenSSH and HTTPS."""

import http.client
import json
import os
import re
import secrets
import socket
import ssl
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from mlops_install import box
from mlops_install.box import Box
from speed import IMPORTS, Took, command, in_turn, least

PROGRAM = (sys.executable, "-m", "mlops_install")
SECRETS = ("fernet_key", "jwt_secret", "session_key", "admin_password", "verify_password")
CONFIG = """\
[base]
timezone = "Europe/Zurich"
journal_max = "200M"

[airflow]
parallelism = 4
drain_timeout = 300
log_days = 7
"""
TASKS = '''\
"""Tasks for the end-to-end tests: each start of `nap` adds a line to the file named in conf."""

import os
import subprocess
import time
from pathlib import Path

from airflow.sdk import dag, get_current_context, task


@task(retries=0)
def nap() -> None:
    context = get_current_context()
    conf = context["dag_run"].conf
    with Path(conf["file"]).open("a") as file:
        file.write(f"{os.getpid()} {context['ti'].hostname}\\n")
    time.sleep(conf["seconds"])


@task(retries=0)
def environment() -> None:
    inherited = subprocess.run(["env"], capture_output=True, text=True, check=True).stdout
    print("ENVIRON", dict(os.environ), inherited.split())


@dag(schedule=None, is_paused_upon_creation=False, max_active_runs=16)
def e2e_nap() -> None:
    nap()


@dag(schedule=None, is_paused_upon_creation=False)
def e2e_environment() -> None:
    environment()


e2e_nap()
e2e_environment()
'''


# Tests may run at the hour of a server's security updates, which hold apt's lock and restart much.
NO_NIGHT = """\
mkdir -p /etc/systemd/system/mlops-updates.timer.d
printf '[Timer]\\nOnCalendar=\\nOnCalendar=2099-01-01\\n' \\
  > /etc/systemd/system/mlops-updates.timer.d/tests.conf
"""


@dataclass(frozen=True)
class Done:
    """A run of the installer."""

    returncode: int
    stdout: str = field(repr=False)
    stderr: str = field(repr=False)
    seconds: float

    @property
    def json(self) -> Any:
        """What it said to machines."""
        return json.loads(self.stdout)

    @property
    def output(self) -> str:
        """Everything it said."""
        return self.stdout + self.stderr

    @property
    def end(self) -> str:
        """How it ended, for a test that fails: the last lines."""
        return "\n".join(self.output.splitlines()[-60:])


NEVER = Done(-1, "", "it was not provisioned", 0)


@dataclass
class Server:
    """A box and how to talk to it; `applied` is the run that provisioned it."""

    box: Box
    folder: Path
    applied: Done = NEVER
    command_lines: set[str] = field(default_factory=set)
    """Those seen on the machine while it was provisioned."""
    address: str = ""
    """The name in its URL: a copy keeps that of the server it was made from."""
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ssh_config.write_text(box.ssh_config(self.box))
        self.config.write_text(CONFIG)
        self.address = self.address or self.box.address

    @property
    def name(self) -> str:
        return self.box.name

    @property
    def ssh_config(self) -> Path:
        return self.folder / "ssh_config"

    @property
    def config(self) -> Path:
        return self.folder / "mlops.toml"

    def words(self, command: str, *args: str | Path, target: str = "") -> list[str]:
        """The installer's command line for this server."""
        options = ("-F", self.ssh_config, "-c", self.config)
        return [str(w) for w in (*PROGRAM, command, target or self.name, *options, *args)]

    def cli(self, command: str, *args: str | Path, target: str = "") -> Done:
        """Run the installer to its end, without a terminal."""
        return run(self.words(command, *args, target=target), self.folder)

    def start(self, command: str, *args: str | Path) -> "subprocess.Popen[str]":
        """Run the installer in the background."""
        return subprocess.Popen(
            self.words(command, *args), cwd=self.folder, env=environment(self.folder), text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def want(self, more: str) -> None:
        """Set the config to the usual one and more."""
        self.config.write_text(CONFIG + more)

    def apply(self, *args: str) -> Done:
        """Put the server right; the proof is a run that ends well."""
        done = self.cli("apply", "--yes", "--no-verify", *args)
        assert done.returncode == 0, done.end
        return done

    def try_ssh(
        self, script: str, user: str = "root", timeout: float = 300
    ) -> "subprocess.CompletedProcess[str]":
        """Run a shell script on the server by OpenSSH, over one login for all scripts of a user."""
        shared = ("ControlMaster=auto", "ControlPersist=30", "ServerAliveInterval=3",
                  f"ControlPath={self.folder}/ctl-{user}")  # fmt: skip
        done = self._ssh(script, user, timeout, shared)
        # The server has restarted meanwhile: the script was never sent.
        broken = done.returncode == 255 and "mux_client" in done.stderr
        return self._ssh(script, user, timeout, ()) if broken else done

    def _ssh(
        self, script: str, user: str, timeout: float, options: tuple[str, ...]
    ) -> "subprocess.CompletedProcess[str]":
        more = [f"-o{option}" for option in ("BatchMode=yes", *options)]
        words = [
            "ssh",
            "-F",
            str(self.ssh_config),
            *more,
            "-l",
            user,
            self.name,
            "-T",
            "bash",
            "-s",
        ]
        return subprocess.run(
            words, input=script, capture_output=True, text=True, timeout=timeout, check=False
        )

    def ssh(self, script: str, user: str = "root") -> str:
        """The output of a script that must end well."""
        done = self.try_ssh(script, user)
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def cpu(self, command: str) -> float:
        """CPU seconds of a command on the server that must end well, with all that it started.

        Neighbours slow down the clock much, and this little.
        """
        shown = self.ssh(f"set -e; TIMEFORMAT='%U %S'; {{ time {command} >/dev/null 2>&1; }} 2>&1")
        return sum(map(float, shown.split()))

    def sql(self, query: str) -> str:
        """Bare values from Airflow's database."""
        # Debian's psql is a Perl script that starts this one.
        psql = "$(ls /usr/lib/postgresql/*/bin/psql) -XqAt -v ON_ERROR_STOP=1 -d airflow"
        return self.ssh(f"cd /; runuser -u postgres -- {psql} <<'SQL'\n{query}\nSQL")

    @property
    def url(self) -> str:
        return f"https://{self.address}"

    def opener(self, *handlers: urllib.request.BaseHandler) -> urllib.request.OpenerDirector:
        """A client that trusts this server's certificate only."""
        certificate = self.ssh("cat /etc/mlops/tls/certificate.pem")
        trusted = To(self.box.address, ssl.create_default_context(cadata=certificate))
        return urllib.request.build_opener(urllib.request.ProxyHandler({}), trusted, *handlers)

    def token(self) -> str:
        """A token of the admin, by the password that is on the server."""
        password = self.ssh("cat /etc/mlops/secrets/admin_password")
        body = {"username": "admin", "password": password}
        return str(self.api("POST", "/auth/token", body, token="")["access_token"])

    def api(self, method: str, path: str, body: Any = None, token: str | None = None) -> Any:
        """Airflow's REST API through HTTPS, from outside the box.

        Certificate and token are kept from one call to the next while they are good.
        """
        kept = bool(self._kept)
        try:
            return self._call(method, path, body, token)
        except (urllib.error.HTTPError, ssl.SSLError) as error:
            refused = getattr(error, "code", None) == 401 and token is None
            stranger = isinstance(error, ssl.SSLError)
            if not (kept and (refused or stranger)):
                raise
        self._kept.clear()
        return self._call(method, path, body, token)

    def _call(self, method: str, path: str, body: Any, token: str | None) -> Any:
        request = urllib.request.Request(self.url + path, method=method)
        request.add_header("Content-Type", "application/json")
        request.add_header("Accept", "application/json")
        if "client" not in self._kept:
            self._kept["client"] = self.opener()
        if token is None:
            token = self._kept["token"] = self._kept.get("token") or self.token()
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        data = None if body is None else json.dumps(body).encode()
        with self._kept["client"].open(request, data, timeout=60) as answer:
            return json.load(answer)

    def nap(self, seconds: float) -> "Nap":
        """Start a task that sleeps."""
        file = f"/srv/mlops/data/nap-{secrets.token_hex(4)}"
        conf = {"file": file, "seconds": seconds}
        body = {"logical_date": None, "conf": conf}
        made = self.api("POST", "/api/v2/dags/e2e_nap/dagRuns", body)
        return Nap(self, made["dag_run_id"], file)

    @property
    def api_server(self) -> str:
        """The unit of the API server that is in force."""
        return self.ssh("cd /etc/systemd/system/airflow.target.wants; ls -d airflow-api-server@*")

    def units(self) -> dict[str, str]:
        """Main process and start time of every service of ours."""
        names = "'airflow-api-server@*' airflow-dag-processor airflow-triggerer nginx postgresql@*"
        shown = self.ssh(
            f"systemctl show -p Id,MainPID,ActiveEnterTimestampMonotonic {names}"
            " 'airflow-scheduler@*' systemd-journald"
        )
        blocks = [dict(line.split("=", 1) for line in b.split("\n")) for b in shown.split("\n\n")]
        return {b.pop("Id"): json.dumps(b) for b in blocks}


@dataclass
class Nap:
    """A run of the sleeping task, as the database and its file tell it."""

    server: Server
    run: str
    file: str

    def _row(self) -> list[str]:
        return self.server.sql(
            "select coalesce(state, 'none'), try_number, coalesce(hostname, '') from task_instance"
            f" where dag_id = 'e2e_nap' and run_id = '{self.run}'"
        ).split("|")

    @property
    def state(self) -> str:
        return self._row()[0]

    @property
    def tries(self) -> int:
        return int(self._row()[1])

    @property
    def host(self) -> str:
        """The name of the scheduler that runs it."""
        return self._row()[2]

    @property
    def scheduler(self) -> str:
        """The unit that runs it."""
        number = re.fullmatch(r"scheduler-(\d)\.localhost", self.host)
        assert number, self.host
        return f"airflow-scheduler@{number[1]}"

    @property
    def starts(self) -> list[str]:
        """One line per start: its process and scheduler."""
        return self.server.ssh(f"cat {self.file} 2>/dev/null || true").splitlines()

    def started(self, times: int = 1, timeout: float = 60) -> "Nap":
        """Wait until it sleeps for the so-manieth time."""
        wait_for(lambda: len(self.starts) >= times, f"start {times} of {self.run}", timeout)
        return self

    def ended(self, timeout: float = 120) -> str:
        """Wait for its end; its last state."""
        final = ("success", "failed", "upstream_failed", "removed", "skipped")
        wait_for(lambda: self.state in final, f"the end of {self.run}", timeout)
        return self.state


class To(urllib.request.HTTPSHandler):
    """HTTPS to the address of a box, whatever the URL calls it."""

    def __init__(self, address: str, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._address, self._trust = address, context

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        def connect(host: str, **options: Any) -> http.client.HTTPSConnection:
            client = http.client.HTTPSConnection(host, context=self._trust, **options)
            plain = socket.create_connection((self._address, client.port), client.timeout)
            client.sock = self._trust.wrap_socket(plain, server_hostname=client.host)
            return client

        return self.do_open(connect, request)  # type: ignore[arg-type]


def environment(home: Path) -> dict[str, str]:
    """The environment of the installer: no terminal tricks, and a home of its own."""
    changed = {"HOME": str(home), "SSH_AUTH_SOCK": "", "COLUMNS": "160"}
    # Byte code is written, as where people use it: some of the tests measure.
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | changed


def run(words: list[str], folder: Path, timeout: float = 900) -> Done:
    """Run a command without a terminal."""
    begin = time.monotonic()
    done = subprocess.run(
        words, cwd=folder, env=environment(folder), capture_output=True, text=True,
        stdin=subprocess.DEVNULL, start_new_session=True, timeout=timeout, check=False,
    )  # fmt: skip
    return Done(done.returncode, done.stdout, done.stderr, time.monotonic() - begin)


def wait_for(
    condition: Callable[[], Any], what: str, timeout: float = 60, step: float = 0.5
) -> float:
    """Poll until it holds; the seconds that took.

    `timeout` is for a machine that has nothing else to do: while processes wait for a processor,
    seconds count a third.
    """
    begin, crowded = time.monotonic(), _crowded()
    while not condition():
        took, others = time.monotonic() - begin, _crowded() - crowded
        assert took - others * 2 / 3 < timeout, f"waited {took:.0f} s for {what}"
        time.sleep(step)
    return time.monotonic() - begin


def _crowded() -> float:
    """For how many seconds processes have waited for a processor of this machine (proc(5), PSI)."""
    try:
        text = Path("/proc/pressure/cpu").read_text()
    except OSError:
        return 0.0
    return int(text.partition("total=")[2].split()[0]) / 1e6


def answers(server: Server) -> bool:
    """Whether Airflow's API answers through nginx."""
    try:
        return bool(server.api("GET", "/api/v2/version", token=""))
    except (urllib.error.URLError, OSError, AssertionError):
        return False


def median_of_ssh(server: Server, times: int = 5) -> float:
    """What `ssh box true` takes."""
    return statistics.median(took.wall for took in in_turn(times, ssh_true(server))[0])


def ssh_true(server: Server) -> Callable[[], object]:
    """Work that logs in by OpenSSH."""
    return command("ssh", "-F", server.ssh_config, "-o", "BatchMode=yes", server.name, "true")


def quickness(server: Server, times: int = 5) -> tuple[Took, Took]:
    """A run that finds nothing to do, and its yardstick: two logins, and loading the libraries.

    Taken in turn, so that neighbours slow both down; the least of each.
    """
    parts = ssh_true(server), ssh_true(server), command(*IMPORTS)

    def yardstick() -> None:
        for part in parts:
            part()

    apply = partial(server.cli, "apply", "--yes")
    runs, yardsticks = in_turn(times, apply, yardstick)
    return least(runs), least(yardsticks)


def name() -> str:
    """A name for a box that no other has."""
    return f"t-{secrets.token_hex(3)}"


def make(system: str, folder: Path) -> Server:
    """A bare box that dies with this process."""
    new = name()
    server = Server(box.up(new, system, ephemeral=True), folder / new)
    server.ssh(NO_NIGHT)
    return server


def provision(system: str, folder: Path) -> Server:
    """A box after one run of the installer, with the tests' own tasks in it."""
    server = make(system, folder)
    with _watching(server.command_lines):
        server.applied = server.cli("apply", "--yes")
    add_tasks(server)
    return server


def add_tasks(server: Server) -> None:
    """Put the tests' tasks beside the canary, where the installer minds its own file only."""
    server.try_ssh(f"cat > /opt/mlops/dags/e2e.py <<'END'\n{TASKS}END")


@contextmanager
def _watching(seen: set[str]) -> Iterator[None]:
    """Collect the command lines of all processes, those in boxes too."""
    end = threading.Event()

    def watch() -> None:
        while not end.wait(0.2):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
                except OSError:
                    continue

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
