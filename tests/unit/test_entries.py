"""What is at paths, asked by real bash of a real file system."""

import hashlib
import subprocess

import pytest
from mlops_install.entries import At, by_path, entry, script
from mlops_install.resources.file import Directory, File, FirstLink, Link
from mlops_install.resources.secret import Secret


def ask(*questions):
    done = subprocess.run(["bash", "-c", script(questions)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return by_path(done.stdout)


@pytest.fixture
def there(tmp_path):
    """A file, an empty one, a folder, and links to each and to nothing."""
    (tmp_path / "a file").write_text("hello\n")
    (tmp_path / "a file").chmod(0o640)
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder").chmod(0o2755)
    for link, target in (("to file", "a file"), ("to folder", "folder"), ("to nothing", "gone")):
        (tmp_path / link).symlink_to(target)
    return tmp_path


def test_each_path_gets_its_own_answer(there):
    paths = [str(path) for path in there.iterdir()]
    found = ask(*(At(path, content=True) for path in paths), At(f"{there}/absent", content=True))
    assert set(found) == set(paths)
    for path in paths:
        assert found[path] == ask(At(path, content=True))[path], "alone or with others"


def test_an_entry_tells_what_is_there(there):
    path = f"{there}/a file"
    found = entry(ask(At(path, content=True))[path])
    assert found
    assert (found.kind, found.mode, found.size, found.target) == ("f", "0640", 6, "")
    assert found.sha256 == hashlib.sha256(b"hello\n").hexdigest()
    folder = entry(ask(At(f"{there}/folder"))[f"{there}/folder"])
    assert folder
    assert (folder.kind, folder.mode) == ("d", "2755")
    assert entry("") is None


def test_an_error_is_no_absence(there):
    (there / "loop").symlink_to("loop")
    question = At(f"{there}/loop/file")
    done = subprocess.run(["bash", "-c", question.shell()], capture_output=True, text=True)
    assert done.returncode == 1
    assert "loop/file" in done.stderr
    assert ask(At(f"{there}/a file/below"), At(f"{there}/absent")) == {}


def test_nothing_is_asked_of_no_path():
    assert ask() == {}


def test_the_content_of_a_secret_is_not_asked():
    question = Secret("/etc/mlops/secrets/key", "make").probe()
    assert "sha256sum" not in question.shell()


def test_resources_see_kinds(there):
    def state(resource):
        question = resource.probe()
        return resource.parse(ask(question).get(question.path, ""))

    assert state(File(f"{there}/folder", "")) is None
    assert state(File(f"{there}/to nothing", "")) is None
    assert state(File(f"{there}/to file", "")).access.mode == "0777", "is replaced"
    assert state(Directory(f"{there}/a file")) is None
    assert state(Directory(f"{there}/folder")).mode == "2755"
    assert state(Link(f"{there}/to folder", "folder")).target == "folder"
    assert state(Link(f"{there}/folder", "folder")) is None
    assert state(FirstLink(f"{there}/to nothing", "elsewhere")).target == "elsewhere"
    assert state(FirstLink(f"{there}/absent", "elsewhere")) is None
    assert state(Secret(f"{there}/empty", "make")) is None
    assert state(Secret(f"{there}/a file", "make")).mode == "0640"
