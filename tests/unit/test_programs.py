"""Small programs and steps of the server, run by real shells; others' programs are stood in for."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from mlops_install.render import render
from mlops_install.resource import Put
from mlops_install.resources.secret import Secret

# What systemd.service(5) says of ExecStart=: a variable is replaced, $$ is one dollar.
SYSTEMD_RUN = """\
#!/usr/bin/env python3
import json, os, re, sys
words = sys.argv[1:]
at = words.index("--")
value = lambda found: "$" if found[1] == "$" else ""
rest = [re.sub(r"\\$(\\$|{\\w+}|\\w+)", value, word) for word in words[at:]]
json.dump([words[:at], rest], open(os.environ["SAID"], "w"))
"""
# A power cut: what was not synced is empty when it has its name.
DISK = {
    "sync": 'for f do [ ! -f "$f" ] || echo "$f" >> "$SYNCED"; done',
    "mv": 'grep -qxF "$2" "$SYNCED" || : > "$2"; exec /bin/mv "$@"',
}


def program(folder: Path, name: str, text: str) -> None:
    """A program that stands in the way of the real one."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.mark.skipif(os.getuid() != 0, reason="the wrapper wants root")
def test_words_arrive_at_airflow_as_typed_and_are_not_logged(tmp_path):
    program(tmp_path / "bin", "systemd-run", SYSTEMD_RUN)
    wrapper = tmp_path / "airflow"
    wrapper.write_text(render("airflow/airflow-cli"))
    said = tmp_path / "said"
    words = ["users", "create", "--password", "pa$$w0rd", "a${HOME}$HOME", "two\nlines\n\n", "",
             "100%i", 'a "b" \\ c', "$", "*"]  # fmt: skip
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SAID": str(said)}
    subprocess.run(["sh", wrapper, *words], env=environment, check=True)
    options, command = json.loads(said.read_text())
    assert command[2:] == words
    assert [o for o in options if o.startswith("--description=")] == [
        "--description=Airflow's command line"
    ]


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


@pytest.mark.skipif(os.getuid() != 0, reason="it gives the file to root")
def test_a_power_cut_leaves_no_empty_file(tmp_path):
    path = tmp_path / "new folder/it's"
    after_a_power_cut(tmp_path, Put(str(path), b"whole\n", 0o640).shell())
    assert path.read_text() == "whole\n"
    assert path.stat().st_mode & 0o777 == 0o640
