"""Where packages may come from: judged by whoever locks, plans, pulls and builds."""

import pytest
from mlops_install import channels, lock
from mlops_install.config import Config
from mlops_install.errors import ConfigError
from mlops_install.lock import LockOptions, environment, project, stamp
from mlops_server import hosts
from mlops_server.errors import BadLock
from mlops_server.layout import Layout
from mlops_server.lockfile import Locked
from mlops_server.models import sources
from mlops_server.workflows.config import Config as Settings
from mlops_server.workflows.refusals import Rejected
from mlops_server.workflows.release import models

LOCK = """\
version: 1
metadata:
  content_hash: {{linux-64: {hash}}}
  channels: [{{url: conda-forge, used_env_vars: []}}]
  platforms: [linux-64]
  sources: [environment.yml]
package:
- {{name: python, version: 3.11.7, manager: conda, platform: linux-64, dependencies: {{}},
   url: "{url}", hash: {{sha256: {hash}}}, category: main, optional: false}}
"""
PLAIN = "channels: [conda-forge]\ndependencies: [python]\n"
FORGE = "https://conda.anaconda.org/conda-forge/linux-64/x-1-0.conda"
BAD = (
    "https://conda.anaconda.org/attacker/linux-64/x-1-0.conda",
    "https://conda.anaconda.org/conda-forge-x/linux-64/x-1-0.conda",
    "https://conda.anaconda.org/conda-forge/../attacker/linux-64/x-1-0.conda",
    "https://conda.anaconda.org/conda-forge/%2E%2e/attacker/x-1-0.conda",
    "https://conda.anaconda.org/conda-forge/\\..\\attacker/x-1-0.conda",
    "http://conda.anaconda.org/conda-forge/linux-64/x-1-0.conda",
    "https://conda.anaconda.org.attacker.org/conda-forge/x-1-0.conda",
    "https://conda.anaconda.org@attacker.org/conda-forge/x-1-0.conda",
    "http://127.0.0.1:8082/api/v2/x-1-0.conda",
    "http://169.254.169.254/latest/x-1-0.conda",
)


def test_the_default_is_conda_forge():
    assert channels.allowed(Config()) == sources.DEFAULT
    assert sources.refused([FORGE], sources.DEFAULT) == ""


@pytest.mark.parametrize("url", BAD)
def test_other_places_are_refused(url):
    assert "[models] channels" in sources.refused([FORGE, url], sources.DEFAULT)


def test_mirrors_of_the_config_count():
    config = Config.model_validate(
        {
            "models": {
                "channels": ["conda-forge", "https://conda.example.org/team/"],
                "channel_mirrors": {"bioconda": "https://mirror.example.org/bio"},
            },
        }
    )
    assert channels.allowed(config) == (
        "https://conda.anaconda.org/conda-forge/",
        "https://conda.example.org/team/",
        "https://conda.anaconda.org/bioconda/",
        "https://mirror.example.org/bio/",
    )


def model(root, url=FORGE, text=PLAIN):
    """A project with one model, whose lock is well made."""
    folder = root / "models/churn"
    folder.mkdir(parents=True)
    (folder / "environment.yml").write_text(text)
    rest = LOCK.format(hash="a" * 64, url=url)
    digest = environment.digest(text.encode(), environment.parse(text.encode(), "churn"))
    (folder / "conda-lock.yml").write_text(stamp.line(digest, None, rest.encode()) + rest)
    return root


def test_plan_and_gate_refuse_such_a_lock(tmp_path):
    foreign = model(tmp_path, BAD[0])
    with pytest.raises(ConfigError) as refused:
        project.read(foreign, allowed=sources.DEFAULT)
    assert "[models] channels" in f"{refused.value.message} {refused.value.fix}"
    with pytest.raises(Rejected, match=r"attacker/.*\[models\] channels"):
        models(foreign, Settings())
    allowed = (*sources.DEFAULT, "https://conda.anaconda.org/attacker/")
    assert project.read(foreign, allowed=allowed)
    assert models(foreign, Settings(channels=allowed))


@pytest.mark.parametrize("check", [True, False])
def test_lock_refuses_a_channel_before_anybody_asks_it(tmp_path, check):
    text = "channels: [conda-forge, https://evil.example.org/c]\ndependencies: [python]\n"
    wish = LockOptions(check=check, allowed=sources.DEFAULT)
    with pytest.raises(ConfigError) as refused:
        lock.run(model(tmp_path, text=text), [], wish)
    assert "evil.example.org" in refused.value.message
    assert "[models] channels" in refused.value.fix


def test_a_build_judges_the_lock_in_full(tmp_path):
    layout = Layout(tmp_path)
    good, bad = Locked("x", "1", FORGE, "0" * 64), Locked("x", "1", BAD[0], "0" * 64)
    hosts.judge(layout, [good])
    with pytest.raises(BadLock, match="channels"):
        hosts.judge(layout, [good, bad])
