"""The script that the installer is measured against is one that a person would write."""

import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

from mlops_install import context, facts
from mlops_install.config import parse
from mlops_install.roles import packages
from plain import script
from samples import FACTS


def test_it_calls_apt_once_and_lets_airflow_migrate_before_a_service_starts():
    made = context.make(parse("", "t"), facts.parse(FACTS), context.Given(), "192.0.2.7")
    text = script(made)
    subprocess.run(["bash", "-n"], input=text, text=True, check=True)
    installs = [line for line in text.splitlines() if " install -y " in line]
    assert len(installs) == 1
    assert all(f" {name}" in installs[0] for name in packages(made))
    assert "-d airflow -f -" not in text, "a dump is loaded"
    words = (
        " install -y ", "pg_createcluster 15", "/bin/uv venv", "lib/setup_airflow.py <",
        "systemctl restart airflow-api-server@a", "systemctl restart nginx",
    )  # fmt: skip
    places = [text.index(word) for word in words]
    assert places == sorted(places)
