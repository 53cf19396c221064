"""The parts of the server's side that need no channel: files read, words said, folders cleaned."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from mlops_install.resources.environment import LongNames
from mlops_server import activation, check, inuse, listing, lockfile
from mlops_server.cli import main
from mlops_server.condapart import explain, size
from mlops_server.errors import EnvError
from mlops_server.inside.pippart import requirements
from mlops_server.inside.smoke import asked_modules
from mlops_server.layout import Layout, lock_hash
from mlops_server.store import Model
from mlops_server.workflows.activation import copy_locks

A, B, C, D = (letter * 32 for letter in "abcd")
HERE = lockfile.subdir()


@pytest.fixture
def layout(tmp_path):
    return Layout(tmp_path)


@pytest.fixture
def churn(layout):
    return Model(layout, "churn")


def fake(model: Model, lock: str) -> Path:
    """An environment that has a program and a lock, and nothing else."""
    prefix = model.new_build(lock)
    (prefix / "bin").mkdir()
    shutil.copy(shutil.which("sleep"), prefix / "bin/sleep")
    (prefix / ".mlops").mkdir()
    (prefix / inuse.READY).write_text("{}\n")
    (model.locks / lock).mkdir(parents=True)
    listing.write(prefix)
    model.finish(prefix, lock)
    return prefix


def entry(name="numpy", manager="conda", **more):
    url = f"https://example.org/{name}-1.0.conda"
    basis = {"name": name, "version": "1.0", "manager": manager, "platform": HERE, "url": url}
    return basis | {"hash": {"sha256": "0" * 64}, "category": "main"} | more


def lock_of(tmp_path, *entries):
    path = tmp_path / "conda-lock.yml"
    path.write_text(json.dumps({"version": 1, "package": entries}))
    return path


def test_the_lock_gives_what_is_for_this_machine_and_not_only_for_developers(tmp_path):
    path = lock_of(
        tmp_path,
        entry("python"),
        entry(),
        entry("numpy", platform="win-64"),
        entry("pytest", category="dev"),
        entry("tiny", "pip", url="https://example.org/tiny-1.0-py3-none-any.whl"),
    )
    conda, pip = lockfile.read(path)
    assert [p.name for p in conda] == ["python", "numpy"]
    assert [p.name for p in pip] == ["tiny"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (entry(platform="win-64"), "the lock is for win-64"),
        (entry(hash={"md5": "0" * 32}), "no SHA-256"),
        (entry(url="file:///tmp/numpy-1.0.conda"), "only downloads are checked"),
    ],
)
def test_a_lock_that_cannot_be_checked_is_refused(tmp_path, bad, said):
    with pytest.raises(EnvError, match=said):
        lockfile.read(lock_of(tmp_path, bad))


def test_a_lock_that_is_not_yaml_is_an_error_of_one_line(tmp_path):
    path = tmp_path / "conda-lock.yml"
    path.write_text("a: [")
    with pytest.raises(EnvError, match="is not YAML"):
        lockfile.read(path)


def test_names_asked_for_are_bare(tmp_path):
    path = tmp_path / "environment.yml"
    path.write_text(
        "dependencies:\n"
        "  - python 3.11.*  # comment\n"
        "  - conda-forge::Scikit-Learn>=1.5,<2\n"
        "  - numpy=1.26=py311*\n"
        "  - pip\n"
        "  - pip:\n"
        "    - Tiny_Thing[extra]==1.0 ; python_version > '3'\n"
        "    - other @ https://example.org/other.whl\n"
        "    - https://example.org/bare.whl\n"
        "    - --pre\n"
    )
    conda, pip = lockfile.asked(path)
    assert conda == ["python", "scikit-learn", "numpy", "pip"]
    assert pip == ["tiny-thing", "other"]
    assert "pip: --pre" in lockfile.asked_lines(path)


def test_modules_are_found_from_the_files_of_packages(tmp_path):
    site = "lib/python3.11/site-packages"
    names = ["a/__init__.py", "a/b/__init__.py", "c.py", "d.cpython-311-x86_64-linux-gnu.so",
             "_e/__init__.py", "tests/__init__.py", "f.abi3.so", "g.txt"]  # fmt: skip
    (tmp_path / "conda-meta").mkdir()
    record = {"name": "many", "files": [f"{site}/{n}" for n in names] + ["lib/libz.so"]}
    (tmp_path / "conda-meta/many-1.0-0.json").write_text(json.dumps(record))
    info = tmp_path / site / "Tiny_Thing-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "RECORD").write_text("tiny.py,sha256=x,1\n../../../bin/tiny,,\n")
    asked = tmp_path / "environment.yml"
    asked.write_text("dependencies: [many, nothing, pip: [tiny-thing]]\n")
    assert asked_modules(tmp_path, asked) == ["a", "c", "d", "f", "tiny"]


def test_uv_is_told_names_and_hashes():
    wheel = lockfile.Locked("tiny", "1.0", "https://example.org/tiny-1.0-py3-none-any.whl", "ab")
    assert requirements([wheel]) == "tiny==1.0 --hash=sha256:ab\n"


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("failed to fetch x\nhash mismatch, expected a, got b", "do not trust it"),
        ("No space left on device (os error 28)", "free some disk space"),
        ("error sending request for url (http://h/x)", "check network, proxy and mirrors"),
    ],
)
def test_errors_of_downloads_say_what_to_do(text, fix):
    error = explain(text)
    assert fix in error.fix
    assert "\n" not in error.message


def test_sizes_are_for_people():
    assert [size(n) for n in (0, 5_200_000, 1_500_000_000)] == ["0.0 kB", "5.2 MB", "1.5 GB"]


def test_activation_sets_variables_as_they_are_and_runs_scripts_in_order(tmp_path):
    assert not activation.write(tmp_path)
    values = {"ODD": 'it\'s $HOME "x"', "not a name": "1"}
    files = {
        "etc/conda/env_vars.d/a.json": json.dumps(values),
        "conda-meta/state": json.dumps({"env_vars": {"LATE": "2"}}),
        "etc/conda/activate.d/1.sh": 'first="$LATE"; false\n',
        "etc/conda/activate.d/2.sh": 'export BOTH="$first$CONDA_PREFIX"\n',
        ".mlops/x": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    asked = "variables: {LATE: '3', OMP_NUM_THREADS: 1, QUOTED: \"it's $HOME\"}\n"
    (tmp_path / ".mlops/environment.yml").write_text(asked)
    assert activation.write(tmp_path)
    words = activation.command(tmp_path, ["/bin/sh", "-c", 'echo "$ODD|$BOTH|$PATH"'])
    out = subprocess.run(words, env={"PATH": "/bin"}, capture_output=True, text=True, check=True)
    assert out.stdout == f'it\'s $HOME "x"|3{tmp_path}|{tmp_path}/bin:/bin\n'
    words = activation.command(tmp_path, ["/bin/sh", "-c", 'echo "$OMP_NUM_THREADS|$QUOTED"'])
    out = subprocess.run(words, env={"PATH": "/bin"}, capture_output=True, text=True, check=True)
    assert out.stdout == "1|it's $HOME\n"


def test_the_listing_sees_every_kind_of_change(churn):
    prefix = fake(churn, A)
    assert listing.differences(prefix) == []
    times = (prefix / "bin/sleep").stat()
    with (prefix / "bin/sleep").open("r+b") as file:  # same size, same modification time
        file.write(b"X")
    os.utime(prefix / "bin/sleep", ns=(times.st_atime_ns, times.st_mtime_ns))
    (prefix / "a new one").touch()
    (prefix / inuse.READY).unlink()
    found = listing.differences(prefix)
    assert found == ["changed bin/sleep", f"missing {inuse.READY}", "extra a new one"]
    assert check.differences(churn, A) == found


def test_what_was_current_lately_is_kept(churn, capsys):
    for lock in (A, B, C, D):
        fake(churn, lock)
        churn.activate(lock)
    churn.activate(B)
    assert churn.history() == [B, D, C, A]
    assert main(["env", "clean", "--keep", "1"], churn.layout, None) == 0
    assert churn.links() == [B, D]
    assert sorted(p.name for p in churn.locks.iterdir()) == [B, D]
    assert {p.name for p in churn.builds.iterdir()} == {f"{B}.1", f"{D}.1"}
    assert f"churn: {A} removed" in capsys.readouterr().out


def test_what_a_release_names_is_kept(churn):
    text = b"a lock"
    lock = lock_hash(text)
    for each in (lock, A):
        fake(churn, each)
    named = churn.layout.releases / "1234/models/churn/conda-lock.yml"
    named.parent.mkdir(parents=True)
    named.write_bytes(text)
    main(["env", "clean", "--keep", "0"], churn.layout, None)
    assert churn.links() == [lock]


def test_environments_of_earlier_versions_get_names_of_today_as_well(churn):
    texts = {lock_hash(text): text for text in (b"the lock before", b"a lock")}
    before, now = texts
    for lock, text in texts.items():
        prefix = fake(churn, lock[:12])
        (prefix / ".mlops/conda-lock.yml").write_bytes(text)
        churn.activate(lock[:12])
    names = LongNames(str(churn.layout.envs))

    def shell(script):
        return subprocess.run(["bash", "-ec", script], capture_output=True, text=True, check=True)

    short = {f"churn/{lock[:12]}" for lock in texts}
    assert {*names.parse(shell(names.probe()).stdout).short} == short
    shell("\n".join(step.shell() for step in names.change(None)))
    assert names.parse(shell(names.probe()).stdout) == names.desired
    for lock in texts:
        assert churn.prefix(lock) == churn.prefix(lock[:12]) is not None
    assert churn.current() == now
    assert churn.known() == sorted(texts)
    main(["env", "clean", "--keep", "1"], churn.layout, None)
    assert churn.links() == sorted([*texts, before[:12], now[:12]])
    main(["env", "clean", "--keep", "0"], churn.layout, None)
    assert churn.links() == [now[:12], now]
    assert [path.name for path in churn.folders()] == [f"{now[:12]}.1"]


def test_what_somebody_holds_or_runs_is_kept(churn, capsys):
    held, run = fake(churn, A), fake(churn, B)
    fake(churn, C)
    with (held / inuse.READY).open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        process = subprocess.Popen([run / "bin/sleep", "60"])
        try:
            main(["env", "clean", "--keep", "0"], churn.layout, None)
        finally:
            process.kill()
            process.wait()
    assert churn.links() == [A, B]
    assert f"{A} is in use, left alone" in capsys.readouterr().out
    main(["env", "clean", "--keep", "0"], churn.layout, None)
    assert churn.links() == []
    assert list(churn.builds.iterdir()) == []


def test_rubbish_is_removed(churn):
    kept = fake(churn, A)
    churn.activate(A)
    (kept / inuse.READY).write_text(json.dumps({"archives": [A]}))
    churn.new_build(B)  # killed in the middle
    kept.with_name(".rubbish-x").mkdir()
    cache = churn.layout.package_cache
    for name in (".unpack-churn.new", A, B):
        (cache / name).mkdir(parents=True)
    churn.layout.wheel_cache.mkdir()
    (churn.layout.wheel_cache / B).touch()
    with churn.held():
        main(["env", "clean"], churn.layout, None)
        assert len(list(churn.builds.iterdir())) == 3, "a build is at work"
    main(["env", "clean"], churn.layout, None)
    assert list(churn.builds.iterdir()) == [kept]
    assert [p.name for p in cache.iterdir() if p.is_dir()] == [A]
    assert list(churn.layout.wheel_cache.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["build", "churm", A], "there is no model 'churm'"),
        (["build", "churn", B], "conda-lock.yml is missing"),
        (["build", "builds", A], "cannot be a model's name"),
        (["build", "churn", "../x"], "is not a lock hash"),
        (["activate", "churn", B], "is not built"),
        (["show", "churn"], "no current environment"),
        (["run", "churn", "--", "true"], "no current environment"),
        (["dance"], "invalid choice"),
    ],
)
def test_wrong_words_are_one_line_and_a_fix(churn, capsys, words, said):
    fake(churn, A)
    assert main(["env", *words], churn.layout, None) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("mlops: ")
    assert said in lines[0]
    assert lines[1].startswith("fix: ")
    assert len(lines) == 2


def test_the_command_line_loads_nothing_heavy():
    code = "import sys; from mlops_server import cli, build, clean, overview, run\n"
    code += "print(sorted({'rattler', 'yaml', 'asyncio'} & {*sys.modules}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "[]\n"


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    """As in `mlops workflows status | head -1`."""
    code = (
        "import sys; from pathlib import Path; from mlops_server.__main__ import run;"
        "from mlops_server.layout import Layout;"
        "run(['workflows', 'status'], Layout(Path(sys.argv[1])))"
    )
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], stdout=writer, stderr=subprocess.PIPE,
        text=True, check=False,
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


# --- locks of a release -------------------------------------------------------------------


def lock_release(tmp_path: Path, name: str, options: str) -> Path:
    model = tmp_path / name / "models/churn"
    model.mkdir(parents=True)
    (model / "conda-lock.yml").write_text("lock")
    (model / "environment.yml").write_text("dependencies: []")
    (model / "model.toml").write_text(options)
    return tmp_path / name


def test_the_same_lock_with_another_model_toml_replaces_it(tmp_path):
    layout = Layout(tmp_path / "root")
    (lock,) = copy_locks(layout, lock_release(tmp_path, "a", "")).values()
    kept = layout.locks / "churn" / lock / "model.toml"
    assert kept.read_text() == ""
    copy_locks(layout, lock_release(tmp_path, "b", "gpu = true"))
    assert kept.read_text() == "gpu = true"
    (kept.parent / "conda-lock.yml").write_text("another with these digits")
    with pytest.raises(EnvError, match="holds another lock"):
        copy_locks(layout, tmp_path / "a")
    (kept.parent / "conda-lock.yml").write_text("")  # a power cut, before files were synced
    copy_locks(layout, tmp_path / "a")
    assert (kept.parent / "conda-lock.yml").read_text() == "lock"


def test_locks_are_copied_side_by_side(tmp_path):
    """`workflows sync` beside the DAG's own build."""
    layout = Layout(tmp_path / "root")
    releases = [lock_release(tmp_path, f"r{n}", f"gpu = {n % 2 == 0}".lower()) for n in range(2)]
    failed: list[BaseException] = []

    def copy(release: Path) -> None:
        try:
            for _ in range(20):
                copy_locks(layout, release)
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=copy, args=[release]) for release in releases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
