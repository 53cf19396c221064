"""Commits become releases, or are refused: with real Git repositories."""

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
import upstream
from mlops_server.workflows import refusals
from mlops_server.workflows.config import refused, resolve
from upstream import Server, Upstream, model

GOOD = {"dags/a.py": "a = 1\n", "README.md": "r\n"}


@pytest.fixture
def server(tmp_path, repo, capsys):
    return Server(tmp_path / "root", repo.bare, capsys)


def release(server: Server, commit: str) -> Path:
    return server.layout.releases / commit[:12]


# --- good ones ------------------------------------------------------------------------------


def test_a_commit_becomes_a_release(server, repo):
    repo.write(GOOD | {"bin/run.sh": "#!/bin/sh\n", "dags/link.py": "-> a.py"})
    os.chmod(repo.work / "bin/run.sh", 0o755)
    commit = repo.push()
    assert server.fetch() == {"commit": commit, "new": True, "reason": "new"}
    folder = release(server, commit)
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
    assert found == {*GOOD, "bin/run.sh", "dags/link.py", ".mlops-release.json"}
    modes = {p.name: stat.S_IMODE(p.lstat().st_mode) for p in folder.rglob("*") if p.is_file()}
    assert modes["run.sh"] == 0o755
    assert modes["README.md"] == 0o644
    assert os.readlink(folder / "dags/link.py") == "a.py"
    about = json.loads((folder / ".mlops-release.json").read_bytes())
    assert about["commit"] == commit
    assert about["subject"] == "a change"
    assert about["author"] == "Ada <ada@example.org>"
    assert about["ref"] == "refs/heads/main"
    assert server.state()["candidate"] == commit
    assert server.fetch()["reason"] == "on its way already"


def test_attributes_hooks_and_filters_of_a_repository_do_nothing(server, repo, tmp_path):
    flag = tmp_path / "flag"
    attributes = "*.py filter=evil export-subst export-ignore text eol=crlf ident\n"
    repo.write({".gitattributes": attributes, "dags/a.py": "# $Id$ $Format:%H$\n"})
    commit = repo.push()
    server.fetch()
    hooks = server.layout.repository / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-checkout"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {flag}\n")
        (hooks / name).chmod(0o755)
    assert (release(server, commit) / "dags/a.py").read_text() == "# $Id$ $Format:%H$\n"
    repo.push({"b": "b"})
    server.fetch()
    assert not flag.exists()


def test_nothing_is_configured(server):
    server.layout.workflows_config.unlink()
    assert server.fetch()["reason"].startswith("no repository is set")
    assert "nothing" in server("release")


def test_the_settings_of_the_user_do_not_count(server, repo, tmp_path, monkeypatch):
    commit = repo.push(GOOD)
    (tmp_path / ".gitconfig").write_text('[url "/nowhere"]\n  insteadOf = /\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "url./nowhere.insteadOf")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "/")
    assert server.fetch()["commit"] == commit


def test_a_tag_is_followed(server, repo):
    repo.push(GOOD)
    repo.git("tag", "-a", "v1", "-m", "one")
    repo.git("push", "-q", "origin", "v1")
    commit = repo.git("rev-parse", "HEAD")
    repo.push({"dags/b.py": ""})
    server.configure(ref="refs/tags/v1")
    assert server.fetch()["commit"] == commit


def test_a_forced_push_is_taken_as_any(server, repo, monkeypatch):
    monkeypatch.setattr("mlops_server.workflows.gate.check", lambda *words: [])
    first = repo.push(GOOD)
    server.deploy()
    repo.git("checkout", "-q", "--orphan", "other")
    second = repo.push({"dags/b.py": ""})
    said = server("fetch")
    assert f"history was rewritten: {second[:12]} does not follow {first[:12]}" in said
    assert server.state()["candidate"] == second


# --- refused --------------------------------------------------------------------------------


def test_an_empty_repository(server):
    assert "is empty" in server("fetch", code=1)


def test_a_deleted_branch_changes_nothing(server, repo, monkeypatch):
    monkeypatch.setattr("mlops_server.workflows.gate.check", lambda *words: [])
    commit = repo.push(GOOD)
    server.deploy()
    repo.git("push", "-q", "origin", "HEAD:refs/heads/other", ":refs/heads/main")
    said = server("fetch", code=1)
    assert "has no main: what is in force stays" in said
    assert "other" in said
    assert server.live() == commit
    assert not server.state()["rejected"]


def test_a_tag_of_no_commit(server, repo):
    repo.push(GOOD)
    repo.git("tag", "odd", repo.blob())
    repo.git("push", "-q", "origin", "odd")
    server.configure(ref="refs/tags/odd")
    assert "is not a commit" in server("fetch", code=1)


def test_a_repository_that_is_not_there(server, tmp_path):
    server.configure(repository=str(tmp_path / "nowhere.git"))
    assert "there is no such repository" in server("fetch", code=1)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"README.md": ""}, "there is no folder dags/"),
        ({"dags": "a file"}, "there is no folder dags/"),
        (GOOD | {"dags/l": "-> ../../etc/passwd"}, "the link dags/l leads out of the repository"),
        (GOOD | {"up": "-> dags/..", "l": "-> up/../x"}, "the link l leads out of the repository"),
        (GOOD | {"dags/l": "-> /etc/passwd"}, "the link dags/l is absolute"),
        (GOOD | {"dags/l": "-> nothing.py"}, "the link dags/l leads nowhere"),
        (GOOD | {"dags/l": "-> a.py/x"}, "the link dags/l leads nowhere"),
        (GOOD | {"a": "-> b", "b": "-> a"}, "leads to itself"),
        (GOOD | {"dags/l": "-> ."}, "the link dags/l makes Airflow see the folder dags/ twice"),
        (GOOD | {"x/a.py": "", "dags/l": "-> ../x", "dags/m": "-> ../x"}, "the folder x/ twice"),
        (GOOD | {"dags/a\nb.py": ""}, "has a control character or a backslash"),
        (GOOD | {"dags/a\\b.py": ""}, "has a control character or a backslash"),
        (GOOD | {"dags/a\u202eyp.b": ""}, "has a control character or a backslash"),
        (GOOD | {".mlops-release.json": "{}"}, "keeps for itself"),
        (GOOD | {"data.csv": upstream.pointer(b"large")}, "data.csv is a pointer of Git LFS"),
        (GOOD | {"models/Churn/environment.yml": ""}, "a model cannot have this name"),
        (GOOD | {"models/m/x.py": ""}, "models/m/environment.yml is missing"),
        (GOOD | {"models/m/environment.yml": upstream.ENVIRONMENT}, "there is no conda-lock.yml"),
        (GOOD | model() | {"models/churn/environment.yml": "channels: [x]\ndependencies: [y]\n"},
         "environment.yml was changed after conda-lock.yml was made"),
        (GOOD | model() | {"models/churn/conda-lock.yml": "metadata: {channels: [],platforms: []}"},
         "was not made by `mlops-install lock`"),
        (GOOD | model() | {"models/churn/environment.yml": "a: &a [x]\nb: [*a, *a]\n"}, "aliases"),
        (GOOD | model() | {"models/churn/environment.yml": "[" * 5000}, "is not YAML"),
        (GOOD | model() | {"models/churn/model.toml": "gpus = 1"}, "there is no such setting"),
        (GOOD | model(platform="win-64"), "has no packages for linux-"),
        (GOOD | model(cuda="12.8"), "conda-lock.yml is for CUDA 12.8, wanted is CPUs"),
    ],
)  # fmt: skip
def test_what_stays_out(server, repo, files, reason):
    commit = repo.push(files)
    assert reason in server.rejected(commit)


def test_links_and_twin_names_within_the_repository_are_kept(server, repo):
    files = {"shared/x.py": "", "dags/shared": "-> ../shared", "dags/A.py": "", "dags/a.py": "1"}
    commit = repo.push(files | {"all": "-> .", "dags/deep/l.py": "-> ../shared/x.py"})
    assert server.fetch()["new"]
    assert (release(server, commit) / "dags/shared/x.py").exists()
    assert (release(server, commit) / "dags/A.py").read_text() == ""


def test_huge_files_and_releases(server, repo):
    server.configure(max_file_mb=1, max_release_mb=2)
    big = os.urandom((1 << 20) + 1)
    assert "dags/big.bin has 1.0 MiB" in server.rejected(repo.push(GOOD | {"dags/big.bin": big}))
    (repo.work / "dags/big.bin").unlink()
    three = {f"dags/{n}.bin": os.urandom(1 << 20) for n in range(3)}
    assert "more than 2 MiB" in server.rejected(repo.push(three))
    server.configure(max_file_mb=1, max_release_mb=4)
    assert server.fetch("--again")["new"]


def test_names_that_are_not_utf8(server, repo):
    entry = f"100644 blob {repo.blob()}\t".encode()
    tree = repo.git("mktree", "-z", data=entry + b"caf\xe9.py\0")
    commit = repo.push_tree(f"040000 tree {tree}\tdags\0".encode())
    assert "is not UTF-8" in server.rejected(commit)


def test_names_that_are_too_long(server, repo):
    commit = repo.push_tree(f"100644 blob {repo.blob()}\t{'x' * 300}\0".encode())
    assert "is too long" in server.rejected(commit)


@pytest.mark.parametrize("name", [b".git", b".GIT", b"..", b"."])
def test_folders_of_git_and_dots(server, repo, name):
    inner = repo.tree(b"100644 config\0" + bytes.fromhex(repo.blob()))
    commit = repo.push_object(repo.tree(b"40000 " + name + b"\0" + bytes.fromhex(inner)))
    reason = server.rejected(commit)
    assert f"{repo.bare} malformed: object " in reason
    assert re.search(r"object [0-9a-f]{40}: (hasDot|fullPath|bad)\w*", reason), "which, and what"
    with pytest.raises(refusals.Rejected):
        refusals.path(name + b"/config")


def test_a_tree_that_holds_itself_many_times_over_ends_soon(server, repo):
    inner = repo.git("mktree", "-z", data=f"100644 blob {repo.blob()}\tf\0".encode())
    for _ in range(9):
        line = "".join(f"040000 tree {inner}\td{n}\0" for n in range(10))
        inner = repo.git("mktree", "-z", data=line.encode())
    commit = repo.push_object(inner)
    assert "more than 20000 files" in server.rejected(commit)


def test_a_lost_or_damaged_mirror_is_made_anew(server, repo):
    first = repo.push(GOOD)
    server.fetch()
    for path in server.layout.repository.glob("objects/**/*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(b"")
    second = repo.push({"dags/b.py": ""})
    assert server.fetch()["commit"] == second
    shutil.rmtree(server.layout.repository)
    third = repo.push({"dags/c.py": ""})
    assert server.fetch()["commit"] == third
    assert release(server, first).is_dir()


def test_what_a_killed_pull_left_is_in_nobodys_way(server, repo):
    repo.push(GOOD)
    server.fetch()
    for name in (".pull/repository.git/refs", ".pull.new/tree/releases"):
        (server.layout.releases.parent / name).mkdir(parents=True)
    (server.layout.releases.parent / ".pull/repository.git/HEAD.lock").write_text("")
    second = repo.push({"dags/b.py": ""})
    assert server.fetch()["commit"] == second
    assert not list(server.layout.releases.parent.glob(".pull*"))


def test_what_was_fetched_is_not_fetched_again(server, repo):
    repo.push(GOOD | {"data/large": os.urandom(500_000)})
    server.fetch()
    repo.push({"dags/b.py": ""})
    server.fetch()
    packs = sorted(
        server.layout.repository.glob("objects/pack/*.pack"), key=lambda p: p.stat().st_size
    )
    assert len(packs) == 2
    assert packs[0].stat().st_size < 5_000
    files = [path for path in server.layout.repository.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".pack", ".idx", ".rev"}, "nothing that Git obeys"


def test_a_mirror_in_many_pieces_is_made_anew(server, repo, monkeypatch):
    monkeypatch.setattr("mlops_server.workflows.gate.check", lambda *words: [])
    monkeypatch.setattr("mlops_server.workflows.mirrors.MOST", 1)
    for number in range(3):
        commit = repo.push(GOOD | {"dags/n.py": f"{number}"})
        server.fetch()
        server("check")
        server("activate")
        server("clean")
    assert release(server, commit).is_dir()
    assert len(list(server.layout.repository.glob("objects/pack/*.pack"))) <= 1


# --- submodules -----------------------------------------------------------------------------


@pytest.fixture
def library(tmp_path):
    (tmp_path / "lib").mkdir()
    return Upstream(tmp_path / "lib")


def add(repo: Upstream, url: str, path: str = "dags/lib") -> None:
    repo.git("submodule", "--quiet", "add", url, path)


def test_submodules_are_part_of_the_release(server, repo, library, tmp_path):
    (tmp_path / "inner").mkdir()
    inner = Upstream(tmp_path / "inner")
    inner.push({"i.py": "i = 1\n"})
    library.push({"l.py": "l = 1\n"})
    add(library, str(inner.bare), "inner")
    library.push()
    repo.push(GOOD)
    add(repo, "../lib/upstream.git")
    commit = repo.push()
    library.push({"l.py": "l = 2\n"})
    assert server.fetch()["new"]
    assert (release(server, commit) / "dags/lib/l.py").read_text() == "l = 1\n"
    assert (release(server, commit) / "dags/lib/inner/i.py").read_text() == "i = 1\n"


ODD = {  # as commits of old tools have it
    "a time zone": "Old Tool <old@example.org> 1313584730 +051800",
    "no date": "Old Tool <old@example.org>",
    "no space before the date": "Old Tool <old@example.org>1313584730 +0000",
    "a date with zeroes": "Old Tool <old@example.org> 01313584730 +0000",
    "no address": "Old Tool 1313584730 +0000",
    "no name": "<old@example.org> 1313584730 +0000",
    "an odd address": "Old <Tool <old@example.org> 1313584730 +0000",
}


@pytest.mark.parametrize("who", ODD.values(), ids=ODD)
@pytest.mark.parametrize("place", ["repository", "submodule"])
def test_an_old_commit_with_a_harmless_fault_keeps_nothing_out(server, repo, library, who, place):
    into = repo if place == "repository" else library
    into.push(GOOD)
    tree = into.git("write-tree")
    text = f"tree {tree}\nauthor {who}\ncommitter {who}\n\nimported\n".encode()
    old = into.git("hash-object", "-t", "commit", "-w", "--literally", "--stdin", data=text)
    into.git("update-ref", "HEAD", old)
    newest = into.push({"dags/b.py": "1"})
    if place == "submodule":
        repo.push(GOOD)
        add(repo, str(library.bare))
        newest = repo.push()
    assert server.fetch() == {"commit": newest, "new": True, "reason": "new"}


def test_submodules_can_be_left_out(server, repo, library):
    library.push({"l.py": ""})
    repo.push(GOOD)
    add(repo, str(library.bare))
    commit = repo.push()
    server.configure(submodules=False)
    assert "left out" in server("fetch")
    assert not (release(server, commit) / "dags/lib").exists()


def test_a_submodule_whose_commit_was_never_pushed(server, repo, library):
    library.push({"l.py": ""})
    repo.push(GOOD)
    add(repo, str(library.bare))
    repo.git("update-index", "--cacheinfo", f"160000,{'1' * 40},dags/lib")
    repo.git("commit", "-qm", "pin")
    repo.git("push", "-q", "origin", "HEAD:main")
    reason = server.rejected(repo.git("rev-parse", "HEAD"))
    assert reason.startswith("submodule dags/lib: ")
    assert "has no commit 111111111111, or is not there" in reason


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ext::sh -c touch% /tmp/x", ""),
        ("git://example.org/x.git", "git:// is not used"),
        ("http://example.org/x.git", "http:// is not used"),
        ("https://u:secret@example.org/x.git", "its address holds a password"),
        ("-oProxyCommand=x:y", ""),
        ("https://127.0.0.1:8082/x.git", "is on the server itself"),
        ("https://LOCALHOST./x.git", "is on the server itself"),
        ("https://127.1/x.git", "is on the server itself"),
        ("ssh://[::ffff:127.0.0.1]/x.git", "is on the server itself"),
        ("git@[::1]:x.git", "is on the server itself"),
        ("root@localhost:x.git", "is on the server itself"),
        ("https://169.254.169.254/x.git", "is on the server itself"),
        ("/nowhere/at/all.git", "is not there"),
    ],
)
def test_addresses_of_submodules_that_are_not_used(server, repo, url, reason):
    repo.write(GOOD)
    repo.write({".gitmodules": f'[submodule "l"]\n\tpath = dags/l\n\turl = "{url}"\n'})
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},dags/l")
    repo.git("add", ".gitmodules", "dags/a.py")
    repo.git("commit", "-qm", "x")
    repo.git("push", "-q", "origin", "HEAD:main")
    said = server.rejected(repo.git("rev-parse", "HEAD"))
    assert reason in said
    assert "secret" not in said


def test_a_submodule_without_an_address(server, repo):
    repo.write(GOOD)
    repo.git("add", "dags")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},dags/l")
    repo.git("commit", "-qm", "x")
    repo.git("push", "-q", "origin", "HEAD:main")
    assert "has no address in .gitmodules" in server.rejected(repo.git("rev-parse", "HEAD"))


@pytest.mark.parametrize(
    ("base", "url", "found"),
    [
        ("https://h/team/a.git", "../b.git", "https://h/team/b.git"),
        ("https://h/team/a.git/", "../../o/b.git", "https://h/o/b.git"),
        ("git@h:team/a.git", "../b.git", "git@h:team/b.git"),
        ("git@h:a.git", "../b.git", "git@h:b.git"),
        ("ssh://git@h:2222/team/a.git", "./b.git", "ssh://git@h:2222/team/a.git/b.git"),
        ("https://h/a", "https://g/b", "https://g/b"),
    ],
)
def test_relative_addresses(base, url, found):
    assert resolve(base, url) == found


@pytest.mark.parametrize(
    ("url", "ok"),
    [
        ("git@host:team/a.git", True),
        ("host:a.git", True),
        ("ssh://git@host:2222/team/a.git", True),
        ("https://user@host/a.git", True),
        ("https://user:pw@host/a.git", False),
        ("file:///a", False),
        ("/a", False),
        ("ext::sh", False),
        ("--upload-pack=x", False),
        ("ssh://-oProxyCommand=x/a", False),
        ("-host:a", False),
        ("host::a", False),
        ("http://host/a", False),
    ],
)
def test_addresses(url, ok):
    assert (refused(url, ("ssh", "https")) == "") is ok


def test_a_repository_may_have_names_by_sha256(tmp_path, server, repo):
    """The default of Git 3; and one may be moved from one kind to the other."""
    first = repo.push(GOOD)
    assert server.fetch()["new"]
    old = repo.bare.rename(tmp_path / "old.git")
    new = Upstream(tmp_path / "again", "sha256")
    (tmp_path / "again/upstream.git").rename(repo.bare)
    new.git("remote", "set-url", "origin", str(repo.bare))
    commit = new.push(GOOD | {"dags/b.py": "b = 1\n"})
    assert len(commit) == 64
    assert server.fetch() == {"commit": commit, "new": True, "reason": "new"}
    assert (server.layout.releases / commit[:12] / "dags/b.py").read_text() == "b = 1\n"
    repo.bare.rename(tmp_path / "new.git")
    old.rename(repo.bare)
    assert server.fetch()["commit"] == first


# --- signatures -----------------------------------------------------------------------------


@pytest.fixture
def keys(tmp_path):
    for name in ("ada", "eve"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", tmp_path / name]
        subprocess.run(words, check=True)
    return tmp_path


def sign(repo: Upstream, key: Path) -> str:
    repo.git("config", "gpg.format", "ssh")
    repo.git("config", "user.signingkey", str(key))
    return repo.push(words=("-S",))


def test_signed_commits(server, repo, keys):
    ada = (keys / "ada.pub").read_text()
    server.layout.allowed_signers.parent.mkdir(parents=True, exist_ok=True)
    server.layout.allowed_signers.write_text(f"ada@example.org {ada}")
    server.configure(signed=True)
    assert "its signature is not accepted: it has none" in server.rejected(repo.push(GOOD))
    assert "No principal matched" in server.rejected(sign(repo, keys / "eve"))
    good = sign(repo, keys / "ada")
    assert server.fetch() == {"commit": good, "new": True, "reason": "new"}
    raw = repo.git("cat-file", "commit", good).replace("a change", "another change")
    bad = repo.git("hash-object", "-t", "commit", "-w", "--stdin", data=raw.encode() + b"\n")
    repo.git("push", "-q", "--force", "origin", f"{bad}:refs/heads/main")
    assert "its signature is not accepted" in server.rejected(bad)


def test_without_allowed_signers_no_signature_counts(server, repo, keys):
    server.configure(signed=True)
    repo.write(GOOD)
    sign(repo, keys / "ada")
    assert "allowed_signers is missing" in server("fetch", code=1)
    server.layout.allowed_signers.write_text("")
    assert "is not accepted" in server.rejected(repo.git("rev-parse", "HEAD"))
