"""Small programs and steps of the server, run by real shells; others' programs are stood in for."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import mlops_server
import pytest
from mlops_install.render import render
from mlops_install.resource import Put
from mlops_install.resources.secret import Secret
from mlops_install.shell import as_user

# What systemd.service(5) says of ExecStart=: a variable is replaced, $$ is one dollar.
SYSTEMD_RUN = """\
#!/usr/bin/env python3
import json, os, re, sys
words = sys.argv[1:]
at = words.index("--")
value = lambda found: "$" if found[1] == "$" else ""
rest = [re.sub(r"\\$(\\$|{\\w+}|\\w+)", value, word) for word in words[at:]]
json.dump([words[:at], rest], open(os.environ["SAID"], "w"))
(folder,) = [word.partition("WorkingDirectory=")[2] for word in words if "WorkingDirectory" in word]
os.chdir(folder)
exec(os.environ.get("ACT", ""))
"""
# A power cut: what was not synced is empty when it has its name.
DISK = {
    "sync": 'for f do [ ! -f "$f" ] || echo "$f" >> "$SYNCED"; done',
    "mv": 'grep -qxF "$2" "$SYNCED" || : > "$2"; exec /bin/mv "$@"',
}
root = pytest.mark.skipif(os.getuid() != 0, reason="it wants root, or gives files to root")


def program(folder: Path, name: str, text: str) -> None:
    """A program that stands in the way of the real one."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


def airflow(tmp_path, words, act=""):
    """The wrapper, in the folder `tmp_path / "here"`; `act` is Python that Airflow runs."""
    program(tmp_path / "bin", "systemd-run", SYSTEMD_RUN)
    program(tmp_path / "bin", "chown", "")
    become = "--reuid=airflow --regid=airflow --init-groups"
    program(tmp_path / "bin", "setpriv", f'[ "$1 $2 $3" = "{become}" ]; shift 3; exec "$@"')
    wrapper, folder, code = tmp_path / "airflow", tmp_path / "here", tmp_path / "code"
    code.mkdir(exist_ok=True)
    if not (code / "current").is_symlink():
        (code / "current").symlink_to(Path(mlops_server.__file__).parents[1])
    cli = render("airflow/airflow-cli", as_airflow=as_user("airflow"), code=code)
    wrapper.write_text(cli)
    folder.mkdir(exist_ok=True)
    more = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SAID": f"{tmp_path}/said", "ACT": act}
    return subprocess.run(
        ["sh", wrapper, *words], env=more, cwd=folder, capture_output=True, text=True
    )


@root
def test_words_arrive_at_airflow_as_typed_and_are_not_logged(tmp_path):
    words = ["users", "create", "--password", "pa$$w0rd", "a${HOME}$HOME", "two\nlines\n\n", "",
             "100%i", 'a "b" \\ c', "$", "*", "-", "../../../../../../..", "x" * 300]  # fmt: skip
    done = airflow(tmp_path, words)
    assert (done.returncode, done.stderr) == (0, "")
    options, command = json.loads((tmp_path / "said").read_text())
    assert command[2:] == words
    assert [o for o in options if o.startswith("--description=")] == [
        "--description=Airflow's command line"
    ]


@root
def test_relative_paths_are_the_callers(tmp_path):
    here = tmp_path / "here"
    (here / "sub folder").mkdir(parents=True)
    (tmp_path / "in.json").write_text("read")
    (here / "both.json").write_text("before")
    (here / "both.json").chmod(0o644)
    words = ["variables", "import", "../in.json", "both.json", "--file=sub folder/out.json"]
    act = (
        "print(open('../in.json').read(), open('both.json').read())\n"
        "open('both.json', 'w').write('changed')\n"
        "open('sub folder/out.json', 'w').write('new')\n"
        "sys.exit(3)"
    )
    done = airflow(tmp_path, words, act)
    assert (done.returncode, done.stdout, done.stderr) == (3, "read before\n", "")
    assert (here / "both.json").read_text() == "changed"
    assert (here / "both.json").stat().st_mode & 0o777 == 0o644
    out = here / "sub folder/out.json"
    assert (out.read_text(), out.stat().st_mode & 0o777) == ("new", 0o600)
    assert (tmp_path / "in.json").read_text() == "read"


@root
def test_what_no_word_names_stays_out_of_the_callers_folder(tmp_path):
    done = airflow(tmp_path, ["dags", "test", "a"], "open('.bashrc', 'w').write('evil')")
    assert list((tmp_path / "here").iterdir()) == []
    place = done.stderr.split()[-1]
    assert Path(place, ".bashrc").read_text() == "evil"
    shutil.rmtree("/" + "/".join(place.split("/")[1:4]))


def after_a_power_cut(tmp_path, script):
    """Run a step's script on a disk that has only what was synced."""
    for name, text in DISK.items():
        program(tmp_path / "bin", name, text)
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SYNCED": f"{tmp_path}/synced"}
    subprocess.run(["bash", "-ec", script], env=environment, check=True)


def test_a_power_cut_leaves_no_empty_secret(tmp_path):
    made = tmp_path / "made"
    path = tmp_path / "secrets/key"
    path.parent.mkdir()
    (step, _) = Secret(str(path), "echo hidden").change(None)
    script = step.shell().replace("/var/lib/mlops/made", str(made))
    after_a_power_cut(tmp_path, script)
    assert path.read_text() == "hidden\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert (made / "key").exists()
    mv = next(line for line in script.splitlines() if line.startswith("mv"))
    assert mv.split()[1:] == ["-fT", f"{path}.mlops-new", str(path)]


@root
def test_a_power_cut_leaves_no_empty_file(tmp_path):
    path = tmp_path / "new folder/it's"
    after_a_power_cut(tmp_path, Put(str(path), b"whole\n", 0o640).shell())
    assert path.read_text() == "whole\n"
    assert path.stat().st_mode & 0o777 == 0o640
