"""What can be judged without the server is judged when the config is read; the rest in plan."""

import re
import shutil
import subprocess
import zoneinfo
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from machine import need
from mlops_install import calendars, config, context, facts, preflight, questions, timezones
from mlops_install.errors import ConfigError, PreflightError
from mlops_install.infra_tests import test_postgres as checks
from mlops_install.resource import differences
from mlops_install.resources.systemd import Services
from mlops_install.roles import backup, stages
from mlops_install.settings import Config
from samples import FACTS


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        config.parse(text, "mlops.toml")
    return caught.value.message


def found(**lines: str) -> facts.Facts:
    return facts.parse(FACTS + "".join(f"{key}={value}\n" for key, value in lines.items()))


def problem(text: str = "", **lines: str) -> str:
    with pytest.raises(PreflightError) as caught:
        preflight.check(config.parse(text, "t"), found(**lines))
    return f"{caught.value.message}\n{caught.value.detail}\n{caught.value.fix}"


def resources(text: str = "", **lines: str):
    made = context.make(config.parse(text, "t"), found(**lines), context.Given(), "192.0.2.7")
    return [r for stage in stages(made) for lane in stage.lanes for r in lane.resources]


def content(path: str, text: str = "", **lines: str) -> str:
    return next(r.content for r in resources(text, **lines) if r.name == f"file {path}")


# --- time zones ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Europe/Zuerich", "Europe/Zurich"),
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/zurich", "Europe/Zurich"),
        ("Zurich", "Europe/Zurich"),
        ("America/NewYork", "America/New_York"),
        ("right/Europe/Zurich", "Europe/Zurich"),
    ],
)
def test_a_zone_that_is_none_is_refused_with_the_nearest(name, meant):
    said = refusal(f'[base]\ntimezone = "{name}"\n')
    assert said == (
        f"mlops.toml:2: [base] timezone: '{name}': there is no such time zone;"
        f" did you mean {meant}?"
    )


@pytest.mark.parametrize("name", ["localtime", "posixrules", "zone", "tzdata", "leapseconds"])
def test_other_files_beside_the_zones_are_none(name):
    assert timezones.problem(name)


@pytest.mark.parametrize("name", ["Etc/UTC", "UTC", "Europe/Zurich", "US/Pacific", "Etc/GMT+12"])
def test_a_zone_is_taken_old_names_too(name):
    assert timezones.problem(name) == ""


def test_a_laptop_without_zones_leaves_it_to_the_server(monkeypatch):
    monkeypatch.setattr(timezones, "available_timezones", set)
    monkeypatch.setattr(timezones, "ZoneInfo", _no_zones)
    assert timezones.problem("Europe/Zurich") == ""


def _no_zones(name):
    raise timezones.ZoneInfoNotFoundError(name)


def test_the_server_is_asked_for_the_zone(tmp_path, monkeypatch):
    monkeypatch.setattr(questions, "ZONES", str(tmp_path))
    script = questions.questions(Config())["zone"]

    def answer():
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout

    assert answer() == "", "without zones the package is not there yet, and nobody knows"
    (tmp_path / "Etc").mkdir()
    assert answer() == "no\n"
    (tmp_path / "Etc/UTC").write_text("")
    assert answer() == "yes\n"


def test_where_old_names_are_a_package_of_their_own_it_is_installed():
    def packages(**lines):
        listed = next(r for r in resources('[base]\ntimezone = "US/Pacific"\n', **lines)
                      if r.name == "packages")  # fmt: skip
        return listed.names

    trixie = {"os_version": "13", "os_codename": "trixie"}
    preflight.check(Config(), found(**trixie, asked_zone="no"))
    assert "tzdata-legacy" in packages(**trixie, asked_zone="no")
    assert "tzdata-legacy" not in packages(**trixie, asked_zone="yes")
    assert "tzdata-legacy" not in packages(**trixie)


def test_a_server_without_the_zone_is_told_on_a_system_without_such_a_package():
    assert "has no time zone US/Pacific" in problem(
        '[base]\ntimezone = "US/Pacific"\n', asked_zone="no"
    )


def test_a_link_to_no_zone_counts_as_none():
    link = next(r for r in resources() if r.name == "link /etc/localtime")
    line = "/etc/localtime\t{} 0777 root root 20 /usr/share/zoneinfo/Etc/UTC\n"
    assert differences(link.parse(line.format("f")), link.desired) == ()
    assert differences(link.parse(line.format("N")), link.desired)


# --- calendars ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "event",
    ["dayly", "Mon..Fir 22:00", "Mon..Fir 22:00 Europe/Zurich", "25:00", "* *", "2020-13-01"],
)
def test_a_calendar_that_systemd_does_not_know_is_refused(event):
    need("systemd-analyze")
    said = refusal(f'[backup]\nevery = "{event}"\n')
    assert f"mlops.toml:2: [backup] every: '{event}': systemd does not know" in said


def test_a_calendar_that_never_comes_is_refused():
    need("systemd-analyze")
    assert calendars.NO_MORE in refusal('[backup]\nevery = "2020-01-01"\n')


@pytest.mark.parametrize("event", ["never", "daily", "hourly", "Mon..Fri 22:00", "*:0/30",
                                   "Sun *-*-1..7 4:00", "22:00 Europe/Zurich"])  # fmt: skip
def test_a_calendar_is_taken_with_its_zone(event):
    assert config.parse(f'[backup]\nevery = "{event}"\n', "t").backup.every == event


def test_no_zone_has_a_day_without_the_hour_of_the_daily_backup():
    """systemd would leave that day out."""
    hour, minute = map(int, backup.QUIET.split()[1].split(":")[:2])
    days = [datetime(2026, 1, 1, hour, minute) + timedelta(n) for n in range(3 * 366)]
    for name in zoneinfo.available_timezones() - {"localtime", "Factory"}:
        zone = zoneinfo.ZoneInfo(name)
        here = [day.replace(tzinfo=zone) for day in days]
        changes = [n for n in range(1, len(here)) if here[n].utcoffset() != here[n - 1].utcoffset()]
        for at in (here[n + beside] for n in changes for beside in (-1, 0)):
            assert at.astimezone(UTC).astimezone(zone).hour == hour, f"{name} {at}"


def test_every_word_that_is_not_asked_for_is_one_of_systemd():
    program = need("systemd-analyze")
    subprocess.run([program, "calendar", *sorted(calendars.WORDS)], check=True, capture_output=True)


def test_the_server_s_systemd_is_the_judge():
    need("systemd-analyze")

    def answer(event):
        script = calendars.script(event)
        return subprocess.run(["bash", "-c", script], capture_output=True, text=True).stdout

    bad = answer("22:00 Europe/Nowhere")
    assert "[backup] every" in problem(asked_calendar=bad)
    assert calendars.NO_MORE in problem(asked_calendar=answer("2020-01-01"))
    preflight.check(Config(), found(asked_calendar=answer("Mon..Fri 22:00")))


def test_no_calendar_is_asked_for_where_none_is_wanted():
    wanted = config.parse('[backup]\nevery = "never"\n', "t")
    assert "calendar" not in questions.questions(wanted)


@pytest.mark.parametrize(
    ("sub", "active"), [("waiting", True), ("running", True), ("elapsed", False)]
)
def test_a_timer_with_nothing_to_come_is_down_and_started_anew(sub, active):
    timer = Services("of backups", {"a.timer": ""}, "a.timer")
    state = timer.parse(
        "unit=a.timer\nId=a.timer\nLoadState=loaded\nActiveState=active\n"
        f"SubState={sub}\nUnitFileState=enabled\nNeedDaemonReload=no\n"
    )
    assert bool(differences(state, timer.desired)) != active
    steps = [step.line() for step in timer.change(state)]
    assert ("$ systemctl restart a.timer" in steps) != active, "`start` does nothing to it"


# --- sizes --------------------------------------------------------------------------------


def test_numbers_that_the_server_cannot_bear_are_refused():
    memory = facts.parse(FACTS).memory_mb
    said = problem(f"[postgres]\nshared_buffers_mb = {memory // 2 + 1}\n")
    assert f"shared_buffers_mb = {memory // 2 + 1} is more than half" in said
    preflight.check(config.parse(f"[postgres]\nshared_buffers_mb = {memory // 2}\n", "t"), found())
    many = memory // preflight.IDLE_MB // 4 + 1
    said = problem(f"[airflow]\nschedulers = 4\nparallelism = {many}\n")
    assert f"schedulers = 4 with parallelism = {many} start {4 * many} processes" in said
    fine = f"[airflow]\nschedulers = 4\nparallelism = {many - 1}\n"
    preflight.check(config.parse(fine, "t"), found())


# --- nginx --------------------------------------------------------------------------------

OTHER = "[proxy]\nhttps_port = 8443\nhttp_port = 8088\n"
SITE = "server { listen 80 default_server; listen [::]:80; root /srv/www; location / { } }"


def masks(text: str, site: str) -> bool:
    return "link /etc/nginx/sites-enabled/default" in [
        r.name for r in resources(text, default_site=site)
    ]


@pytest.mark.parametrize(
    ("text", "site", "masked"),
    [
        (OTHER, f"theirs {SITE}", False),
        ("", f"theirs {SITE}", True),
        (OTHER, "theirs server { server_name a; }", False),
        ("", "theirs server { server_name a; }", True),
        (OTHER, "theirs server { listen unix:/run/x; }", False),
        (OTHER, "theirs server { listen 127.0.0.1:8443 ssl; }", True),
        (OTHER, f"theirs {SITE} server {{ listen 8088; }}", True),
        (OTHER, "theirs # nothing", False),
        (OTHER, "stock", True),
        (OTHER, "masked", True),
        (OTHER, "", True),
    ],
)
def test_a_site_of_others_goes_only_where_it_stands_on_our_ports(text, site, masked):
    assert masks(text, site) == masked


def test_nginx_listens_on_what_there_is():
    path = "/etc/nginx/sites-available/mlops.conf"
    both, old = content(path), content(path, ipv6="no")
    assert both.count("listen [::]:") == 2
    assert "[::]" not in old
    assert re.findall(r"listen (\S+) .*default_server", old) == ["80", "443"]


# --- PostgreSQL ---------------------------------------------------------------------------

MAIN = "port = 5432 # change;unix_socket_directories = '/var/run/postgresql';include_dir = 'conf.d'"
PEER = {"hba_90": "all postgres peer", "hba_95": "all all peer"}


def cluster(name: str = "15/main", **settings: str) -> dict[str, str]:
    more = "".join(f";{key} = {value}" for key, value in settings.items())
    return {f"cluster_{name}": MAIN + more}


def test_debian_s_own_cluster_is_fine():
    preflight.check(Config(), found(**cluster(), **PEER, port_5432="postgres"))
    preflight.check(Config(), found())
    preflight.check(Config(), found(**cluster(), postgres_error="psql: error: connection refused"))
    starting = "FATAL:  the database system is starting up"
    preflight.check(Config(), found(**cluster(), postgres_error=starting))


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (cluster(port="5433"), ("15/main has the port 5433", "set port = 5432 in /etc/postgresql")),
        (cluster(port="'5433'"), ("15/main has the port 5433",)),
        (cluster(unix_socket_directories="'/tmp'"), ("no socket in /run/postgresql",)),
        (cluster(data_directory="'/data/pg'"), ("keeps its data in /data/pg",)),
        (cluster(include_dir="''"), ("does not read /etc/postgresql/15/main/conf.d",)),
        (cluster("16/main"), ("port 5432 is taken by PostgreSQL 16/main",)),
        (cluster("15/team"), ("port 5432 is taken by PostgreSQL 15/team",)),
        ({"port_5432": "docker-proxy"}, ("port 5432 is taken by docker-proxy",)),
        (
            {**cluster(), "postgres_error": 'FATAL:  no pg_hba.conf entry for host "[local]"'},
            ("does not let the system user postgres in", "local all postgres peer"),
        ),
        (
            {**cluster(), "hba_1": "all postgres peer", "hba_2": "all all scram-sha-256"},
            ("asks the role airflow for `scram-sha-256`", "local workflows mlops-task peer"),
        ),
        (
            {**cluster(), "hba_1": "all postgres peer", "hba_2": "airflow airflow peer"},
            ("`no rule`", "at the database workflows"),
        ),
        ({**cluster(), "hba_9": "all all peer", "hba_10": "all all md5", "hba_2":
            "workflows all reject"}, ("`reject`",)),
    ],
)  # fmt: skip
def test_a_postgres_that_airflow_cannot_use_is_told_with_the_fix(lines, says):
    said = problem("", **lines)
    assert all(words in said for words in says), said


def test_rules_count_in_their_order():
    preflight.check(Config(), found(**cluster(), hba_10="all all md5", hba_9="all all peer",
                                    hba_1="replication all reject"))  # fmt: skip


def test_another_cluster_on_another_port_is_left_alone():
    preflight.check(Config(), found(**cluster("16/main", port="5433")))


def test_a_cluster_of_others_keeps_its_tcp():
    path = "/etc/postgresql/15/main/conf.d/mlops.conf"
    assert "listen_addresses = ''" in content(path)
    assert "listen_addresses" not in content(path, **{"theirs_15/main": "yes"})
    assert "listen_addresses = ''" in content(path, **{"theirs_13/main": "yes"})


@pytest.mark.parametrize(
    ("check", "good", "bad", "said"),
    [
        (checks.test_pages_have_checksums, "on", "off", "pages have no checksums"),
        (checks.test_there_is_no_tcp, "", "localhost", "it listens on localhost"),
    ],
)
def test_what_a_cluster_of_others_cannot_have_is_a_note(check, good, bad, said):
    def answers(text):
        return SimpleNamespace(run=lambda *_: SimpleNamespace(rc=0, stdout=f"{text}\n"))

    ours, theirs = (SimpleNamespace(facts=found(**more)) for more in ({}, {"theirs_15/main": "y"}))
    check(answers(good), ours)
    check(answers(good), theirs)
    with pytest.raises(AssertionError, match=said):
        check(answers(bad), ours)
    with pytest.raises(pytest.skip.Exception, match=f"{said}, and this cluster was there before"):
        check(answers(bad), theirs)


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh", "/usr/bin/fish"])
def test_a_person_called_airflow_keeps_the_login(shell):
    """The admin of a cloud machine may have this name: the next login would be the last."""
    said = problem("", airflow_shell=shell)
    assert f"a user airflow who can log in ({shell})" in said
    assert "usermod -l" in said


@pytest.mark.parametrize("shell", ["", "/usr/sbin/nologin", "/bin/false"])
def test_a_user_airflow_of_services_is_taken(shell):
    preflight.check(Config(), found(airflow_shell=shell))


@pytest.mark.parametrize("how", ["noaccess", "invisible", "2"])
def test_hidden_processes_are_refused(how):
    said = problem("", hidepid=how)
    assert f"hidepid={how}" in said
    assert "remount,hidepid=0" in said


@pytest.mark.parametrize(
    ("conf", "says"),
    [
        ("user www-data;\nhttp {\n  include /etc/nginx/conf.d/*.conf;\n"
         "  include /etc/nginx/sites-enabled/*;\n}\n", ""),
        ("user  nginx;\nhttp {\n  include /etc/nginx/conf.d/*.conf;\n}\n", "sites-enabled"),
        ("user www-data www-data;\nhttp {\n # include /etc/nginx/sites-enabled/*;\n}\n",
         "sites-enabled"),
        ("user nginx;\nhttp { include sites-enabled/*.conf; }\n", "runs as nginx"),
    ],
)  # fmt: skip
def test_an_nginx_that_would_not_read_our_site_is_told(tmp_path, conf, says):
    file = tmp_path / "etc/nginx/nginx.conf"
    file.parent.mkdir(parents=True)
    file.write_text(conf)
    known = run_facts(tmp_path)
    lines = {"nginx_sites": known.nginx_sites, "nginx_user": known.nginx_user}
    if says:
        assert says in problem("", **lines)
    else:
        preflight.check(Config(), found(**lines))


@pytest.mark.parametrize("name", ["sources.list", "sources.list.d/nginx.sources"])
def test_an_nginx_that_would_come_from_nginx_org_is_told(tmp_path, name):
    file = tmp_path / "etc/apt" / name
    file.parent.mkdir(parents=True)
    file.write_text("# http://nginx.org/packages/debian\n")
    assert run_facts(tmp_path).nginx_sites == ""
    file.write_text("URIs: http://nginx.org/packages/debian\n")
    assert "nginx.org" in problem("", nginx_sites=run_facts(tmp_path).nginx_sites)


# --- the script that asks -----------------------------------------------------------------


def run_facts(root, questions=None):
    """The facts of a tree of files, by the script that runs on the server."""
    text = facts.SCRIPT
    for top in (
        "/etc/apt/",
        "/etc/nginx",
        "/etc/postgresql/",
        "/var/lib/postgresql/",
        "/var/lib/mlops",
    ):
        text = text.replace(top, f"{root}{top}")
    script = "".join((text, *(f'say asked_{k} "$({v})"\n' for k, v in (questions or {}).items())))
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    return facts.parse(done.stdout)


@pytest.mark.skipif(not shutil.which("ss"), reason="needs iproute2")
def test_facts_of_a_tree(tmp_path):
    conf = tmp_path / "etc/postgresql/15/main"
    (conf / "conf.d").mkdir(parents=True)
    (conf / "postgresql.conf").write_text(
        "#port = 1\nport = 5433\t\t\t# (change requires restart)\n"
        "unix_socket_directories = '/tmp, /run/postgresql' # comma\ninclude_dir = 'conf.d'\t#\n"
        " data_directory '/a b/c'\n"
    )
    (conf / "conf.d/own.conf").write_text("port=5434\n")
    site = tmp_path / "etc/nginx/sites-enabled/default"
    site.parent.mkdir(parents=True)
    site.write_text("# mine = yes\nserver {\n\tlisten 80; # a=b\n}\n")
    data = tmp_path / "var/lib/postgresql/15/main/global/pg_control"
    data.parent.mkdir(parents=True)
    data.write_text("x")
    seen = run_facts(tmp_path, {"one": "printf 'a=b\\nc'"})
    assert seen.clusters["15/main"] == {
        "port": "5434", "unix_socket_directories": "/tmp, /run/postgresql",
        "include_dir": "conf.d", "data_directory": "/a b/c",
    }  # fmt: skip
    assert seen.default_site.split() == ["theirs", "server", "{", "listen", "80;", "}"]
    assert seen.theirs == {"15/main"}
    assert seen.answers["one"] == "a=b"
    journal = tmp_path / "var/lib/mlops/journal.jsonl"
    journal.parent.mkdir()
    line = '{"kind": "cluster", "name": "15/main", "was": "%s", "at": "x"}\n'
    journal.write_text(line % "none")
    assert run_facts(tmp_path).theirs == set()
    journal.write_text(line % "there")
    assert run_facts(tmp_path).theirs == {"15/main"}
    site.unlink()
    site.symlink_to("/dev/null")
    assert run_facts(tmp_path).default_site == "masked"
