"""The CI files: against the published schemas, by a parser, and by what they have in common."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from mlops_install import newproject

ROOT = newproject.STARTER
SCHEMAS = {"github": "vendor.github-workflows", "gitlab": "vendor.gitlab-ci",
           "drone": "vendor.drone-ci"}  # fmt: skip
PARSE = """\
import sys
import tree_sitter_groovy
from tree_sitter import Language, Parser

tree = Parser(Language(tree_sitter_groovy.language())).parse(open(sys.argv[1], "rb").read())
sys.exit(tree.root_node.has_error)
"""


def tool(*words, packages, check=True):
    """Run a tool in an environment of its own that uv makes and keeps."""
    given = [word for package in packages for word in ("--with", package)]
    uv = Path(sys.executable).with_name("uv")
    command = [uv, "run", "--no-project", "--no-config", "--quiet", *given, *words]
    return subprocess.run(command, check=check, capture_output=True, text=True)


@pytest.mark.parametrize("system", SCHEMAS)
def test_the_file_is_valid_by_the_published_schema(system, tmp_path):
    file = ROOT / newproject.CI_FILES[system]
    words = ("check-jsonschema", "--builtin-schema", SCHEMAS[system])
    packages = ["check-jsonschema==0.39.0"]
    done = tool(*words, str(file), packages=packages, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    wrong = tmp_path / "wrong.yml"
    wrong.write_text(file.read_text().replace("run:", "runs:").replace("script:", "scripts: 1 #")
                     .replace("name: check\n    image", "nam: check\n    image"))  # fmt: skip
    assert tool(*words, str(wrong), packages=packages, check=False).returncode == 1


def test_the_jenkinsfile_parses_and_has_the_sections_of_a_pipeline(tmp_path):
    packages = ["tree-sitter==0.26.1", "tree-sitter-groovy==0.1.2"]
    file = ROOT / newproject.CI_FILES["jenkins"]
    tool("python", "-c", PARSE, str(file), packages=packages)
    (tmp_path / "bad").write_text(file.read_text().replace("stages {", "stages"))
    bad = tool("python", "-c", PARSE, str(tmp_path / "bad"), packages=packages, check=False)
    assert bad.returncode == 1
    text = file.read_text()
    assert text.count("{") == text.count("}")
    for section in ("pipeline {", "agent {", "stages {", "stage('check')", "steps {", "when {"):
        assert section in text


@pytest.mark.parametrize("system", newproject.CI_FILES)
def test_every_system_calls_the_one_script(system):
    text = (ROOT / newproject.CI_FILES[system]).read_text()
    lines = [line.strip(" -") for line in text.splitlines()]
    calls = [line for line in lines if "ci/check" in line]
    assert [call.removeprefix("run: ").removeprefix("sh ").strip("'") for call in calls] == [
        "ci/check",
        "ci/check pull",
    ]
    assert "PULL_PASSWORD" in text


def test_only_the_main_branch_tells_the_server_to_pull():
    github = yaml.safe_load((ROOT / newproject.CI_FILES["github"]).read_text())
    steps = github["jobs"]["check"]["steps"]
    assert "default_branch" in steps[-1]["if"]
    assert not any("PULL_PASSWORD" in str(step) for step in steps[:-1])
    gitlab = yaml.safe_load((ROOT / newproject.CI_FILES["gitlab"]).read_text())
    assert "CI_DEFAULT_BRANCH" in gitlab["pull"]["rules"][0]["if"]
    drone = yaml.safe_load((ROOT / newproject.CI_FILES["drone"]).read_text())
    assert drone["steps"][1]["when"] == {"branch": ["main"], "event": ["push"]}


def test_the_script_is_plain_shell():
    subprocess.run(["sh", "-n", ROOT / "ci/check"], check=True)
