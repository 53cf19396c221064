"""Large results in an S3-compatible store: what the config says, and what is installed for it."""

import re
from pathlib import Path

import pytest
from mlops_airflow import metadata, objectstore
from mlops_install import context, facts, locks
from mlops_install.config import parse
from mlops_install.errors import ConfigError
from mlops_install.roles import airflow
from samples import FACTS

STORE = """
[airflow]
xcom_path = "s3://store@forecasts/xcom"
[connections.store]
type = "aws"
"""


def make(config: str) -> context.Context:
    return context.make(parse(config, "t"), facts.parse(FACTS), context.Given(), "192.0.2.7")


def config_of(made: context.Context) -> str:
    (found,) = [r for r in airflow.configuration(made) if r.name.endswith("airflow.cfg")]
    return found.content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            STORE.replace("[connections.store]", "[connections.other]"),
            "there is none of the type aws",
        ),
        (STORE.replace('"aws"', '"http"'), "there is none of the type aws"),
        (STORE.replace("store@", ""), "xcom_path"),
        (STORE.replace("s3:", "gs:"), "xcom_path"),
        (STORE.replace("store@", "key:secret@"), "xcom_path"),
    ],
)
def test_a_path_that_cannot_work_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        context.given(parse(text, "t"))


def test_the_store_makes_a_generation_of_its_own_and_only_then():
    assert airflow.lock(make("")) == locks.read("airflow-3.3.2.txt")
    assert "\ns3fs==" in airflow.lock(make(STORE))
    assert airflow.venv_path(make("")) != airflow.venv_path(make(STORE))
    assert "xcom_objectstorage_path = s3://store@forecasts/xcom\n" in config_of(make(STORE))
    assert "xcom_objectstorage_path = file:///srv/mlops/data/xcom\n" in config_of(make(""))


def test_every_version_has_its_part_for_the_store():
    for file in Path(locks.__file__).parent.glob("airflow-*.txt"):
        version = file.stem.removeprefix("airflow-")
        base, more = (set(re.findall(r"^[\w.-]+(?===)", locks.read(name), re.M))
                      for name in (file.name, f"s3-{version}.txt"))  # fmt: skip
        assert "s3fs" in more, f"scripts/lock-s3 {version}"
        assert not base & more


def test_airflow_finds_the_file_system():
    (name,) = metadata.provider_info()["filesystems"]
    assert name == objectstore.__name__
    assert objectstore.schemes == ["s3"]
