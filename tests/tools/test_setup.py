"""How `make` sets a checkout up: the locks, uv with pip's settings, and the box beside it."""

import importlib.util
import os
import re
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# As pip 23 and 26 print it.
LISTED = """\
:env:.cert='/srv/ours.pem'
:env:.disable-pip-version-check='1'
global.cert='/srv/theirs.pem'
global.extra-index-url='\\nhttps://one.example/simple\\nhttps://two.example/simple'
global.index-url='https://global.example/simple'
global.trusted-host='one.example'
install.index-url='https://install.example/simple'
list.index-url='https://list.example/simple'
"""


def script(name: str):
    loader = SourceFileLoader(name.replace("-", "_"), str(ROOT / "scripts" / name))
    loaded = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(loaded)
    return loaded


pip_install = script("pip-install")


def pins(name: str) -> dict[str, str]:
    """Each name==version of a lock file, and the hashes of its files."""
    found = re.findall(r"^(\S+==\S+)[^\\\n]* \\\n((?:    --hash=.*\n)+)", text(name), re.M)
    return {pin: hashes.replace("\\", "") for pin, hashes in found}


def text(name: str) -> str:
    return (ROOT / name).read_text()


# --- locks --------------------------------------------------------------------------------


def test_the_program_and_its_tests_run_with_the_same_versions():
    ours, tests = pins("requirements.txt"), pins("requirements-dev.txt")
    lines = [line for line in text("requirements.txt").splitlines() if re.match(r"[a-z]", line)]
    assert len(ours) == len(lines) > 50
    assert ours.items() <= tests.items()


@pytest.mark.parametrize("tool", ["mypy", "moto", "ruff", "hypothesis", "uv"])
def test_the_demo_waits_for_no_development_tool(tool):
    assert pip_install.lines_of(tool, text("requirements-dev.txt"))
    assert not pip_install.lines_of(tool, text("requirements.txt"))


def test_uv_itself_is_pinned_by_hashes():
    lines = pip_install.lines_of("uv", text("requirements-dev.txt")).splitlines()
    assert lines[0].startswith("uv==")
    assert [line for line in lines if "--hash=sha256:" in line]
    assert not [line for line in lines[1:] if "==" in line]


# --- pip's settings for uv ----------------------------------------------------------------


def test_settings_of_pip_that_are_in_force():
    pip = pip_install.pip_settings(LISTED)
    assert pip["index-url"] == "https://install.example/simple"
    assert pip["cert"] == "/srv/ours.pem"


def test_uv_is_told_what_pip_is_told():
    told = pip_install.uv_variables(pip_install.pip_settings(LISTED))
    assert told == {
        "UV_DEFAULT_INDEX": "https://install.example/simple",
        "UV_INDEX": "https://one.example/simple https://two.example/simple",
        "UV_INSECURE_HOST": "one.example",
        "SSL_CERT_FILE": "/srv/ours.pem",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_SYSTEM_CERTS": "true",
    }


@pytest.mark.parametrize(
    ("pip", "told"),
    [
        ({"find-links": "/srv/wheels https://w.example"},
         {"UV_FIND_LINKS": "/srv/wheels,https://w.example"}),
        ({"proxy": "proxy.example:3128"},
         {"HTTP_PROXY": "http://proxy.example:3128", "HTTPS_PROXY": "http://proxy.example:3128"}),
        ({"proxy": "https://p.example"}, {"HTTPS_PROXY": "https://p.example"}),
        ({"timeout": "180"}, {"UV_HTTP_TIMEOUT": "180"}),
        ({"default-timeout": "90"}, {"UV_HTTP_TIMEOUT": "90"}),
        ({"client-cert": "/srv/me.pem"}, {"SSL_CLIENT_CERT": "/srv/me.pem"}),
        ({"cert": "/"}, {"SSL_CERT_DIR": "/"}),
    ],
)  # fmt: skip
def test_single_settings(pip, told):
    assert told.items() <= pip_install.uv_variables(pip).items()


def test_what_uv_itself_is_told_counts_more():
    own = {"UV_DEFAULT_INDEX": "https://own.example/simple", "HTTPS_PROXY": "http://old.example"}
    pip = {"index-url": "https://pip.example/simple", "proxy": "new.example:1"}
    told = pip_install.environment(own, pip)
    assert told["UV_DEFAULT_INDEX"] == own["UV_DEFAULT_INDEX"]
    assert told["HTTPS_PROXY"] == "http://new.example:1"


def test_no_index_is_an_option():
    assert pip_install.uv_options({"no-index": "true"}) == ["--no-index"]
    assert pip_install.uv_options({"no-index": "0"}) == pip_install.uv_options({}) == []


# --- with the real tools ------------------------------------------------------------------

WHEEL = """\
import base64, hashlib, sys, zipfile
with zipfile.ZipFile(sys.argv[1] + "/parcel-1.0-py3-none-any.whl", "w") as wheel:
    wheel.writestr("parcel.py", "")
    wheel.writestr("parcel-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: parcel\\nVersion: 1.0\\n")
    wheel.writestr("parcel-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr("parcel-1.0.dist-info/RECORD", "")
"""  # noqa: E501


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment with pip and the uv that runs these tests, not the network's."""
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    (tmp_path / "venv/bin/uv").symlink_to(Path(sys.executable).with_name("uv"))
    (tmp_path / "wheels").mkdir()
    subprocess.run([sys.executable, "-c", WHEEL, str(tmp_path / "wheels")], check=True)
    return tmp_path / "venv/bin"


def install(venv: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script with pip's settings in a file, in a home with nothing else."""
    home = venv.parents[1]
    (home / "pip.conf").write_text(f"[global]\nno-index = true\nfind-links = {home}/wheels\n")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PIP_", "UV_"))}
    told = {**kept, "HOME": str(home), "PIP_CONFIG_FILE": str(home / "pip.conf"), **variables}
    words = [str(venv / "python"), str(ROOT / "scripts/pip-install"), *arguments]
    return subprocess.run(words, env=told, capture_output=True, text=True, check=False)


def installer(venv: Path) -> str:
    return next(venv.parent.glob("lib/*/site-packages/parcel-1.0.dist-info/INSTALLER")).read_text()


def test_uv_installs_from_where_pip_would(venv: Path) -> None:
    done = install(venv, "parcel")
    assert (done.returncode, done.stderr) == (0, "")
    assert installer(venv).strip() == "uv"


def test_pip_installs_where_uv_fails(venv: Path) -> None:
    done = install(venv, "parcel", UV_CACHE_DIR="/dev/null/cache")
    assert done.returncode == 0
    assert "pip tries" in done.stderr
    assert installer(venv).strip() == "pip"


def test_a_wrong_hash_is_refused_by_both(venv: Path) -> None:
    lock = venv.parents[1] / "lock.txt"
    lock.write_text(f"parcel==1.0 --hash=sha256:{'0' * 64}\n")
    done = install(venv, "--require-hashes", "-r", str(lock))
    assert done.returncode
    assert "pip tries" in done.stderr
    assert not list(venv.parent.glob("lib/*/site-packages/parcel*"))


# --- the box and the figures --------------------------------------------------------------


def test_a_box_needs_no_library():
    code = "import sys; sys.path.insert(0, sys.argv[1]); import mlops_install.box.__main__"
    subprocess.run([sys.executable, "-S", "-c", code, str(ROOT / "installer")], check=True)


def test_a_box_that_cannot_be_made_says_why():
    done = subprocess.run(
        [sys.executable, "-m", "mlops_install.box", "no name"],
        cwd=ROOT / "installer", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: 'no name' cannot be the name of a box\nfix:   use a-z" in done.stderr


def test_make_demo_fails_with_the_box(tmp_path: Path) -> None:
    """The box is made beside the virtual environment, and its failure ends both."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    for name, line in (("pip", ":"), ("python", "echo the box is broken >&2; exit 1")):
        program = tmp_path / ".venv/bin" / name
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
    (tmp_path / ".venv/.runtime").touch()
    for name in ("pyproject.toml", "requirements.txt"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    done = subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), "demo", f"MAKE=make -f {ROOT / 'Makefile'}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode
    assert "the box is broken" in done.stderr
    assert "apply" not in done.stdout


def test_figures_stand_between_their_markers():
    figures = script("demo-figures")
    page = figures.written(text("README.md"), "new\n")
    assert f"{figures.BEGIN}new\n{figures.END}" in page
    assert figures.written(page, "other\n") == page.replace("\nnew\n", "\nother\n")
