"""Roles are pure: the same config and facts give the same resources, and no secret shows."""

import json
import re
from pathlib import Path

import authority
import pytest
from mlops_install import context, facts, preflight, report
from mlops_install.answer import Answer
from mlops_install.config import parse
from mlops_install.errors import ConfigError, PreflightError
from mlops_install.lock import environment, stamp
from mlops_install.lock.project import Model
from mlops_install.plan import Plan, _change, _lanes
from mlops_install.probe import script
from mlops_install.resource import ABSENT, differences
from mlops_install.resources.airflow import Contents
from mlops_install.resources.tree import Content
from mlops_install.roles import stages
from mlops_install.roles.base import MIRRORED, UPDATES
from mlops_install.roles.proxy import SITE
from mlops_install.settings import Config
from mlops_server.layout import ModelOptions, lock_hash
from pydantic import SecretStr
from samples import FACTS


def server(**changes: object) -> facts.Facts:
    text = FACTS + "".join(f"{key}={value}\n" for key, value in changes.items())
    return facts.parse(text)


def make(config: str = "", given: context.Given | None = None, **changes: object):
    return context.make(
        parse(config, "t"), server(**changes), given or context.Given(), "192.0.2.7"
    )


def resources(made: context.Context):
    return [r for stage in stages(made) for lane in stage.lanes for r in lane.resources]


def cold_plan(made: context.Context) -> Plan:
    """The plan for a server on which every probe says: absent."""
    changes = {r.name: _change(r, Answer("", ABSENT, "")) for r in resources(made)}
    found = {name: change for name, change in changes.items() if change}
    lanes = tuple((s.name, _lanes(s, found)) for s in stages(made))
    return Plan(lanes, len(changes))


def test_roles_are_deterministic():
    assert resources(make()) == resources(make())


def test_names_are_unique():
    names = [r.name for r in resources(make())]
    assert len(names) == len(set(names))


def test_a_probe_never_starts_airflow():
    for resource in resources(make()):
        commands = [line.split("|")[0].split()[:1] for line in script(resource).splitlines()]
        assert not [c for c in commands if c and c[0].rpartition("/")[2] in ("airflow", "python")]


def test_secrets_of_the_config_show_in_no_plan():
    given = context.Given(
        ca_bundle="-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
        certificate=authority.make("ml", names=("192.0.2.7",)).pem,
        certificate_key=SecretStr("-----BEGIN PRIVATE KEY-----\nhush-key\n"),
        proxy_password=SecretStr("hush-proxy"),
        index_password=SecretStr("hush-index"),
        channel_password=SecretStr("hush-channel"),
    )
    config = (
        "[base]\nhttp_proxy = 'http://proxy:3128'\nhttp_proxy_user = 'me'\n"
        "python_index = 'https://index/simple'\npython_index_user = 'me'\n"
        "[models]\nchannel_mirrors = { conda-forge = 'https://mirror/cf' }\nchannel_user = 'me'\n"
    )
    plan = cold_plan(make(config, given))
    shown = json.dumps(report.plan_json(plan)) + "".join(
        line.plain for line in report.plan_lines(plan, full=True)
    )
    assert "hush" not in shown
    assert "proxy:3128" not in shown


def test_logins_reach_the_downloads_quoted():
    from mlops_install.roles import base

    given = context.Given(proxy_password=SecretStr("p@ss'w/rd"))
    config = "[base]\nhttp_proxy = 'http://proxy:3128'\nhttp_proxy_user = 'm e'\n"
    text = base.network(make(config, given))
    assert "https_proxy='http://m%20e:p%40ss%27w%2Frd@proxy:3128'" in text


def test_more_schedulers_leave_the_api_server_alone():
    def unit(config: str, name: str) -> str:
        path = f"/etc/systemd/system/{name}"
        return next(r.content for r in resources(make(config)) if getattr(r, "path", "") == path)

    more = "[airflow]\nschedulers = 3\nparallelism = 8\n"
    same = "[airflow]\nschedulers = 2\nparallelism = 8\napi_workers = 4\n"
    more += "api_workers = 4\n"
    for name in ("airflow-api-server@.service", "airflow-scheduler@.service"):
        assert unit(more, name) == unit(same, name)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"os_id": "fedora", "os_version": "42"}, "it runs fedora 42"),
        ({"os_version": "11"}, "it runs debian 11"),
        ({"os_id": "ubuntu", "os_version": "22.04"}, "it runs ubuntu 22.04"),
        ({"init": "bash"}, "its first process is bash"),
        ({"machine": "riscv64"}, "its processor is riscv64"),
        ({"memory_mb": 900}, "900 MiB of memory"),
        ({"disk_mb": 1000}, "1000 MiB free at /opt"),
        ({"port_443": "apache2"}, "port 443 is taken by apache2"),
        ({"installed": "mlops-install", "port_443": "apache2"}, "port 443 is taken by apache2"),
        ({"port_8793": "perl"}, "port 8793 is taken by perl"),
        ({"port_8975": "perl"}, "port 8975 is taken by perl"),
        ({"database": "1"}, "not ours"),
        ({"role": "1"}, "not ours"),
        ({"workflows_owner": "team"}, "a database `workflows` of the role team"),
        ({"task_role_mark": "none"}, "a role `mlops-task` that is not ours"),
    ],
)
def test_a_server_that_will_not_do_is_told_why(changes, says):
    with pytest.raises(PreflightError) as caught:
        preflight.check(Config(), server(**changes))
    assert says in caught.value.message
    assert caught.value.fix


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"os_version": "13", "os_codename": "trixie"},
        {"os_id": "ubuntu", "os_version": "24.04", "os_codename": "noble"},
        {"installed": "mlops-install", "port_443": "nginx", "port_8080": "gunicorn: worke"},
        {"installed": "mlops-install", "port_8080": "nginx", "port_8082": "gunicorn: worke"},
        {"installed": "mlops-install", "port_8975": "python", "port_8794": "nginx"},
        {"port_8976": "perl"},  # for a third scheduler only
        {"installed": "mlops-install", "disk_mb": 100},
        {"database": "1", "role": "1", "database_mark": "mlops-install"},
        {"workflows_owner": "airflow", "task_role_mark": "mlops-install"},
        {"installed": "mlops-install", "workflows_owner": "team"},  # drift, which a plan shows
    ],
)
def test_a_server_that_will_do_is_taken(changes):
    preflight.check(Config(), server(**changes))


def test_a_mirror_of_ubuntu_has_what_debian_has_in_main():
    def sources(**system: str) -> str:
        made = make('[base]\napt_mirror = "https://m.example.org/apt"', **system)
        (found,) = [r for r in resources(made) if r.name == "file /etc/mlops/apt.list"]
        return str(found.content)

    assert sources() == (
        "deb https://m.example.org/apt bookworm main\n"
        "deb https://m.example.org/apt bookworm-updates main\n"
    )
    ubuntu = sources(os_id="ubuntu", os_version="24.04", os_codename="noble")
    assert "deb https://m.example.org/apt noble main universe\n" in ubuntu


def test_all_reasons_are_told_at_once():
    with pytest.raises(PreflightError) as caught:
        preflight.check(Config(), server(os_version="11", memory_mb=10, port_80="caddy"))
    assert all(word in caught.value.detail for word in ("debian 11", "10 MiB", "caddy"))


def test_a_container_s_memory_limit_counts():
    assert server(limit_mb=2048).memory_mb == 2048


@pytest.mark.parametrize("cpus", [1, 2, 4, 16, 64])
@pytest.mark.parametrize("memory", [2000, 4000, 16000, 128000])
@pytest.mark.parametrize("schedulers", [1, 2, 8])
def test_sizes_fit_the_server(cpus, memory, schedulers):
    made = make(f"[airflow]\nschedulers = {schedulers}\n", cpus=cpus, memory_mb=memory)
    sizing = made.sizing
    assert 4 <= sizing.parallelism <= 32
    assert sizing.shared_buffers_mb <= memory // 4
    assert sizing.max_connections >= 15 * schedulers + 60
    assert sizing.work_mem_mb * sizing.max_connections <= memory


def test_numbers_of_the_config_win():
    made = make("[airflow]\nparallelism = 5\napi_workers = 7\n[postgres]\nshared_buffers_mb = 99\n")
    assert (made.sizing.parallelism, made.sizing.api_workers) == (5, 7)
    assert made.sizing.shared_buffers_mb == 99


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ("", "https://192.0.2.7"),
        ("[proxy]\nserver_name = 'ml.example.org'\n", "https://ml.example.org"),
        ("[proxy]\nserver_name = '2001:db8::1'\n", "https://[2001:db8::1]"),
        ("[proxy]\nhttps_port = 8443\n", "https://192.0.2.7:8443"),
    ],
)
def test_the_url(config, url):
    assert make(config).base_url == url


OTHER_PORTS = "[proxy]\nhttps_port = 8443\nhttp_port = 8088\n"


def test_a_taken_port_is_told_with_its_setting():
    facts = server(port_443="apache2", port_80="apache2", port_22="sshd", port_9000="theirs")
    with pytest.raises(PreflightError) as caught:
        preflight.check(Config(), facts)
    assert "set another https_port in [proxy]" in caught.value.fix
    assert "set another http_port in [proxy]" in caught.value.fix
    assert "22" not in caught.value.detail
    preflight.check(parse(OTHER_PORTS, "mlops.toml"), facts)
    with pytest.raises(PreflightError, match="port 8443 is taken by caddy"):
        preflight.check(parse(OTHER_PORTS, "mlops.toml"), server(port_8443="caddy"))


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("https_port = 8080", "port 8080 is used between the services on the server itself"),
        ("http_port = 443", "http_port and https_port are both 443"),
        ("http_port = 0", "http_port"),
    ],
)
def test_ports_that_cannot_be_are_refused(proxy, says):
    with pytest.raises(ConfigError) as caught:
        parse(f"[proxy]\n{proxy}\n", "mlops.toml")
    assert says in caught.value.message


def test_browsers_keep_http_to_a_host_whose_https_has_another_port():
    """Strict-Transport-Security holds for all ports of a host, so also for other people's."""

    def site(config):
        return next(r.content for r in resources(make(config)) if r.name == f"file {SITE}")

    assert "Strict-Transport-Security" in site("")
    assert "Strict-Transport-Security" not in site(OTHER_PORTS)
    assert "Strict-Transport-Security" not in site("[proxy]\nhttp_port = 8088\n")
    assert "listen [::]:8443 ssl" in site(OTHER_PORTS)


# --- models -------------------------------------------------------------------------------


def project(*models: Model) -> context.Given:
    return context.Given(project=context.Project({"dags/a.py": Content(b"")}, models))


def model(name: str, *platforms: str) -> Model:
    lock = name.encode()
    return Model(name, lock, b"", b"", ModelOptions(), lock_hash(lock), platforms or ("linux-64",))


NAMES = [
    ("192.0.2.7|192.0.2.7", "0"),
    ("ml.example.org|10.0.0.5", "0"),
    ("ML|10.0.0.5", "0"),
    ("10.0.0.5|10.0.0.5", "0"),
    ("[2001:db8::1]|2001:db8::1", "0"),
    ("[2001:db8::7]|10.0.0.5", "0"),
    ("localhost|127.0.0.1", "0"),
    ("mlxexample.org|10.0.0.5", None),
    ("x.ml.example.org|10.0.0.5", None),
    ("ml.example.org.evil|10.0.0.5", None),
    ("10.0.0.5|10.0.0.55", None),
    ("10.0.0.55|10.0.0.5", None),
    ("[2001:db8::1]|2001:db8::11", None),
    ("|10.0.0.5", None),
]


@pytest.mark.parametrize(("asked", "stranger"), NAMES)
def test_the_site_serves_its_own_names_and_no_others(asked, stranger):
    """The patterns as nginx reads them: PCRE, the first that is found."""
    made = make('[proxy]\nfurther_names = ["ml.example.org", "ml", "2001:db8::7"]\n')
    site = next(r.content for r in resources(made) if getattr(r, "path", "") == SITE)
    block = site.split("$stranger {")[1].split("}\n")[0]
    found = re.findall(r'"~(\*?)(.*)" (\d);', block)
    hits = [
        value
        for anycase, pattern, value in found
        if re.search(
            pattern.replace("(?<", "(?P<").replace(r"\k<reached>", "(?P=reached)"),
            asked,
            re.I if anycase else 0,
        )
    ]
    assert len(found) == 6
    assert (hits[0] if hits else None) == stranger


@pytest.mark.parametrize("version", ["12", "13", "24.04"])
def test_security_updates_come_from_their_origin_only(version):
    system = "ubuntu" if version == "24.04" else "debian"
    made = make(os_version=version, os_id=system)
    text = next(r.content for r in resources(made) if getattr(r, "path", "") == UPDATES)
    origins = re.findall(r'Origins-Pattern \{ "(.*)"; \}', text)
    assert len(origins) == 1
    assert "-security" in origins[0]
    assert 'Automatic-Reboot "false"' in text
    off = resources(make("[base]\nsecurity_updates = false\n", os_version=version, os_id=system))
    assert next(r.desired for r in off if getattr(r, "path", "") == UPDATES) is None
    assert next(r.desired.units for r in off if r.name == "services of updates") == {}


def test_updates_come_from_the_mirror_where_there_is_one():
    made = resources(make('[base]\napt_mirror = "https://mirror.example.org/debian"\n'))
    unit = next(r.content for r in made if getattr(r, "path", "").endswith("-updates.service"))
    assert f"Environment=APT_CONFIG={MIRRORED}" in unit
    assert next(r.desired for r in made if getattr(r, "path", "") == MIRRORED)
    plain = resources(make())
    assert next(r.desired for r in plain if getattr(r, "path", "") == MIRRORED) is None


def test_environments_are_built_side_by_side_before_they_come_into_force():
    made = make("", project(*(model(name) for name in "abcde")))
    build, configure = (s for s in stages(made) if s.name in ("build", "configure"))
    lanes = {lane.name: [r.name.split()[1] for r in lane.resources] for lane in build.lanes
             if lane.name.startswith("models")}  # fmt: skip
    assert lanes == {"models 1": ["a", "d"], "models 2": ["b", "e"], "models 3": ["c"]}
    switch = [r.name for r in next(x for x in configure.lanes if x.name == "workflows").resources]
    assert switch[-6:-1] == [f"current environment {name}" for name in "abcde"]
    assert switch[-1] == "link /srv/mlops/workflows/current"


def test_a_lock_for_other_platforms_is_refused():
    with pytest.raises(ConfigError, match="no packages for linux-aarch64"):
        make("", project(model("a")), machine="aarch64")
    make("", project(model("a", "linux-64", "linux-aarch64")), machine="aarch64")


def test_a_gpu_model_needs_the_pool(tmp_path):
    config = project_files(tmp_path)
    with pytest.raises(ConfigError, match="there is no pool gpu"):
        context.given(config)
    more = config.model_copy(update={"pools": parse("[pools]\ngpu = 1\n", "t").pools})
    assert context.given(more).project


def project_files(folder: Path) -> Config:
    text = "channels: [conda-forge]\ndependencies: [python]\n"
    data = text.encode()
    lock = "metadata:\n  channels: [{url: conda-forge}]\n  platforms: [linux-64]\npackage: []\n"
    head = stamp.line(environment.digest(data, environment.parse(data, "t")), None, lock.encode())
    files = {"dags/a.py": "", "models/m/environment.yml": text, "models/m/model.toml": "gpu = true",
             "models/m/conda-lock.yml": head + lock}  # fmt: skip
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return parse(f"[workflows]\npath = '{folder}'\n", "t")


def test_a_mirror_s_login_is_found_under_the_channel_s_host():
    config = "[models]\nchannel_mirrors = { conda-forge = 'http://m:8/cf' }\nchannel_user = 'u'\n"
    made = make(config, context.Given(channel_password=SecretStr("p")))
    content = {getattr(r, "path", ""): getattr(r, "content", "") for r in resources(made)}
    logins = json.loads(content["/etc/mlops/secrets/conda-auth.json"])
    assert set(logins) == {"conda.anaconda.org", "m"}
    assert (
        '"https://conda.anaconda.org/conda-forge" = ["http://m:8/cf"]'
        in (content["/etc/mlops/conda.toml"])
    )


@pytest.mark.parametrize(
    ("pools", "drift"),
    [
        ({"gpu": 1}, False),
        ({"gpu": 1, "default_pool": 128}, False),
        ({"gpu": 2}, True),
        ({}, True),
        ({"gpu": 1, "old": 3}, True),
    ],
)
def test_pools_are_compared(pools, drift):
    contents = next(r for r in resources(make("[pools]\ngpu = 1\n")) if isinstance(r, Contents))
    rows = [{"head": key, "version": value} for key, value in contents.heads.items()]
    rows += [{"user": u.username, "role": u.role} for u in contents.users]
    rows += [{"pool": pool, "slots": slots} for pool, slots in pools.items()]
    state = contents.parse("\n".join(map(json.dumps, rows)))
    assert bool(differences(state, contents.desired)) == drift
    steps = "".join(step.shell() for step in contents.change(state))
    assert contents.setup in steps
