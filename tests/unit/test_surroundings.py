"""What a server's administrators set for everybody must not lead our own programs astray."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import mlops_airflow
import mlops_server
import pytest
from machine import need
from mlops_install import context, facts
from mlops_install.config import parse
from mlops_install.host import Local
from mlops_install.render import render
from mlops_install.resources.venv import PIP_PROGRAM
from mlops_install.roles import base, packages
from mlops_install.roles.airflow import PTH
from mlops_install.roles.models import CODE
from mlops_server.__main__ import forget_servers
from samples import FACTS

WHEELS = Path("/usr/share/python-wheels")


def make(text: str = "") -> context.Context:
    return context.make(parse(text, "t"), facts.parse(FACTS), context.Given(), "192.0.2.7")


# --- variables ----------------------------------------------------------------------------


class Here(Local):
    _sudo = "exec "


def test_a_script_has_our_variables_and_the_proxies(monkeypatch):
    """/etc/environment is everybody's: PGHOST there would send our SQL to another server."""
    for name in ("PGHOST", "PGOPTIONS", "TMPDIR", "TMOUT", "PYTHONHOME", "GIT_DIR", "PIP_TARGET"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("SHELLOPTS", "braceexpand:hashall")  # read-only in the shell
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    done = Here().run("env; mktemp -u")
    found = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert done.stderr == ""
    assert found.pop("https_proxy") == "http://proxy:3128"
    assert found.keys() <= {"LC_ALL", "LANGUAGE", "DEBIAN_FRONTEND", "NEEDRESTART_SUSPEND", "USER",
                            "LOGNAME", "HOME", "PATH", "_", "SHELLOPTS", "http_proxy",
                            "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"}  # fmt: skip
    assert done.stdout.splitlines()[-1].startswith("/tmp/")


def test_the_servers_own_program_leaves_out_what_leads_psql_and_python_elsewhere(tmp_path):
    variables = {"PGHOST": "db.example.org", "PGOPTIONS": "-cx", "PATH": "/bin", "OPG": "1"}
    forget_servers(variables)
    assert variables == {"PATH": "/bin", "OPG": "1"}
    (tmp_path / "current").symlink_to(Path(mlops_server.__file__).parents[1])
    text = render("models/mlops", code=tmp_path, tools="/none", network=str(tmp_path / "none"))
    done = subprocess.run(["sh", "-c", text, "mlops", "--help"], capture_output=True, text=True,
                          env={"PYTHONHOME": "/nowhere", "PATH": "/usr/bin:/bin"})  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not list(WHEELS.glob("pip-*.whl")), reason="needs Debian's python3-pip-whl")
@pytest.mark.parametrize("text", ["[global]\nrequire-virtualenv = true", "[install]\nuser = true"])
def test_pip_is_not_kept_from_its_work_by_the_servers_pip_conf(tmp_path, text):
    (tmp_path / "pip.conf").write_text(text)
    (tmp_path / "uv.txt").write_text("")
    words = f"{PIP_PROGRAM} install -q --no-index --target {tmp_path}/to -r {tmp_path}/uv.txt"
    variables = {"PIP_CONFIG_FILE": f"{tmp_path}/pip.conf", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(["bash", "-c", words], env=variables, capture_output=True, text=True)
    assert "ERROR" not in done.stderr


# --- what grows ---------------------------------------------------------------------------


def test_logs_of_nginx_and_postgresql_are_rotated():
    assert "logrotate" in packages(make())


def test_old_files_go_although_a_backup_reads_them_each_night(tmp_path):
    program = need("systemd-tmpfiles")
    text = base_text("tmpfiles.conf", log_days=30, xcom_days=20)
    logs, results = tmp_path / "var/log/mlops/airflow/run", tmp_path / "srv/mlops/data/xcom/run"
    for folder, days in ((logs, 30), (results, 20)):
        folder.mkdir(parents=True)
        for name, age in (("old", days + 1), ("new", days - 1)):
            (folder / name).write_text("x")
            os.utime(folder / name, (time.time(), time.time() - age * 86400))
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    rules = "\n".join(line.replace("2770 airflow mlops-task", "- - -") for line in lines)
    (tmp_path / "rules.conf").write_text(rules + "\n")
    words = [program, "--clean", f"--root={tmp_path}", str(tmp_path / "rules.conf")]
    subprocess.run(words, check=True)
    assert [p.name for p in (*logs.iterdir(), *results.iterdir())] == ["new", "new"]


def base_text(template: str, **values: object) -> str:
    return render(f"base/{template}", **values)


# --- apt ----------------------------------------------------------------------------------


def test_apt_takes_whole_names_of_hosts_and_others_take_domains():
    text = base._apt_conf(make(
        '[base]\nhttp_proxy = "http://proxy:3128"\n'
        'no_proxy = ["one.example.net", ".example.org"]\n'
        'apt_mirror = "https://mirror.example.org/debian"\n'
        'apt_security_mirror = "https://security.notexample.org/debian"\n'
    ))  # fmt: skip
    direct = [line.split("::")[-1] for line in text.splitlines() if "DIRECT" in line]
    for host in ("one.example.net", "mirror.example.org"):
        assert f'{host} "DIRECT";' in direct
    assert not any("*" in line or line.startswith(".") or "notexample" in line for line in direct)
    if shutil.which("apt-config"):
        dump = ["apt-config", "-c", "/dev/stdin", "dump"]
        subprocess.run(dump, input=text, text=True, check=True, capture_output=True)


def test_needrestart_leaves_airflow_running():
    """Its config is Perl: pattern of a service -> whether it is restarted."""
    conf = render("airflow/needrestart.conf")
    script = (
        "our %nrconf = (override_rc => {qr(^dbus) => 0});" + conf + "for my $unit (@ARGV) {"
        " my %rules = %{$nrconf{override_rc}};"
        ' print join(" ", map { $rules{$_} } grep { $unit =~ $_ } keys %rules), ","; }'
    )
    units = ["airflow-scheduler@1.service", "nginx.service", "dbus.service"]
    done = subprocess.run([need("perl"), "-w", "-e", script, *units], capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert (done.stdout, done.stderr) == ("0,,0,", "")


# --- proxies ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "direct"),
    [
        ({}, "None"),
        ({"no_proxy": ".corp", "NO_PROXY": ".corp"}, ".corp"),
        ({"http_proxy": "http://p"}, "localhost,127.0.0.1"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": ".corp, 10.0.0.0/8"},
         ".corp,10.0.0.0/8,localhost,127.0.0.1"),
        ({"ALL_PROXY": "http://p", "no_proxy": "127.0.0.1", "NO_PROXY": "other"},
         "127.0.0.1,localhost"),
    ],
)  # fmt: skip
def test_airflow_does_not_ask_the_proxy_of_the_server_for_its_own_parts(tmp_path, given, direct):
    """As each Python of Airflow's environment starts: it runs the line of the .pth file."""
    (tmp_path / "current").symlink_to(Path(mlops_airflow.__file__).parents[1])
    line = PTH.replace(CODE, str(tmp_path))
    assert line.startswith("import ")
    assert line.count("\n") == 1, "other lines of a .pth file are folders"
    script = f"{line}print(os.environ.get('no_proxy'), os.environ.get('NO_PROXY'), sep='\\n')"
    done = subprocess.run([sys.executable, "-S", "-c", script], env=given, capture_output=True,
                          text=True, check=True)  # fmt: skip
    assert done.stdout.splitlines() == [direct, direct]
