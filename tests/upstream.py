"""A Git repository of workflows, made by real Git, and a server that pulls it: for tests."""

import hashlib
import json
import os
import subprocess
from pathlib import Path

from machine import need
from mlops_server import inuse, lockfile
from mlops_server.cli import main
from mlops_server.layout import Layout, lock_hash
from mlops_server.models import environment, stamp
from mlops_server.store import Model

ENVIRONMENT = "channels: [conda-forge]\ndependencies: [python =3.11]\n"
LOCK = """\
version: 1
metadata:
  channels:
  - url: conda-forge
    used_env_vars: []
  platforms:
  - {platform}
package:
- name: python
  number: {number}
"""
CLEAN = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_NAME": "Ada" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "ada@example.org" for who in ("AUTHOR", "COMMITTER")},
}


class Upstream:
    """A bare repository that is pulled, and a working copy beside it that pushes to it."""

    def __init__(self, folder: Path, names: str = "sha1") -> None:
        need("git")
        folder.mkdir(exist_ok=True)
        self.bare, self.work = folder / "upstream.git", folder / "work"
        init = ["init", "-q", f"--object-format={names}", "-b", "main"]
        self.git(*init, "--bare", str(self.bare), where=folder)
        self.git("config", "receive.denyDeleteCurrent", "ignore", where=self.bare)
        self.git(*init, str(self.work), where=folder)
        self.git("remote", "add", "origin", str(self.bare))

    def git(self, *words: str, where: Path | None = None, data: bytes = b"") -> str:
        """Run Git in the working copy, without checks of what is pushed."""
        command = ["git", "-C", str(where or self.work), "-c", "protocol.file.allow=always", *words]
        done = subprocess.run(command, input=data, capture_output=True, env=CLEAN, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode(errors="replace").strip()

    def write(self, files: dict[str, str | bytes]) -> None:
        """Write files; where the text begins with `->`, links."""
        for name, text in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(text, str) and text.startswith("-> "):
                path.symlink_to(text[3:])
            else:
                path.write_bytes(text.encode() if isinstance(text, str) else text)

    def push(self, files: dict[str, str | bytes] | None = None, *, words: tuple = ()) -> str:
        """Commit all there is and push it; the commit."""
        self.write(files or {})
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", "a change", *words)
        self.git("push", "-q", "--force", "origin", "HEAD:refs/heads/main")
        return self.git("rev-parse", "HEAD")

    def push_tree(self, listing: bytes) -> str:
        """Push a commit of a tree as no honest Git would write it: `mode type oid<TAB>path`, each
        ended by a zero byte."""
        tree = self.git("mktree", "-z", data=listing)
        return self.push_object(tree)

    def push_object(self, tree: str) -> str:
        """Push a commit of a tree."""
        commit = self.git("commit-tree", tree, "-m", "odd")
        self.git("push", "-q", "--force", "origin", f"{commit}:refs/heads/main")
        return commit

    def blob(self, data: bytes = b"x\n") -> str:
        """Write a blob."""
        return self.git("hash-object", "-w", "--stdin", data=data)

    def tree(self, raw: bytes) -> str:
        """Write a tree byte by byte, unchecked."""
        return self.git("hash-object", "-w", "-t", "tree", "--literally", "--stdin", data=raw)


def model(name: str = "churn", number: int = 1, platform: str = "", cuda: str | None = None):
    """The files of a model with a lock that fits."""
    data = ENVIRONMENT.encode()
    rest = LOCK.format(platform=platform or lockfile.subdir(), number=number)
    digest = environment.digest(data, environment.parse(data, name))
    lock = stamp.line(digest, cuda, rest.encode()) + rest
    return {f"models/{name}/environment.yml": ENVIRONMENT, f"models/{name}/conda-lock.yml": lock}


class Server:
    """The folders of a server that pulls; commands run in this process."""

    def __init__(self, root: Path, url: str | Path, capsys) -> None:
        self.layout, self.capsys, self.url = Layout(root), capsys, url
        self.configure()

    def configure(self, **settings: object) -> None:
        """Write workflows.toml."""
        settings = {"repository": str(self.url)} | settings
        path = self.layout.workflows_config
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{n} = {json.dumps(v)}\n" for n, v in settings.items()))

    def __call__(self, *words: str, code: int = 0) -> str:
        """Run `mlops workflows ...`; what it says."""
        self.capsys.readouterr()
        found = main(["workflows", *words], self.layout, None)
        said = self.capsys.readouterr()
        assert found == code, said.out + said.err
        return (said.out + said.err).rstrip()

    def fetch(self, *words: str) -> dict:
        """Run fetch; its answer."""
        return json.loads(self("fetch", "--json", *words).splitlines()[0])

    def rejected(self, commit: str) -> str:
        """Fetch a commit that must be rejected; why it is."""
        last = self("fetch", code=3).splitlines()[-1]
        start = f"mlops: commit {commit[:12]} is rejected: "
        assert last.startswith(start), last
        state = self.state()
        assert state["rejected"][commit]["reason"] == last.removeprefix(start)
        assert state["rejected"][commit]["step"] == "fetch"
        assert state["candidate"] is None
        assert not list(self.layout.releases.glob(f"*{commit[:12]}*"))
        again = self("fetch", code=3).splitlines()
        assert again[-1] == last, "as long as it is the newest one"
        assert any(line.startswith("looked at already") for line in again)
        return last.removeprefix(start)

    def state(self) -> dict:
        """What is written down."""
        return json.loads((self.layout.workflows_state / "state.json").read_bytes())

    def build(self, name: str, lock: bytes | str) -> None:
        """An environment that is only said to be built."""
        found = Model(self.layout, name)
        of = lock_hash(lock.encode() if isinstance(lock, str) else lock)
        if found.prefix(of) is None:
            prefix = found.new_build(of)
            (prefix / ".mlops").mkdir()
            (prefix / inuse.READY).write_text("{}\n")
            found.finish(prefix, of)

    def deploy(self) -> None:
        """All steps, the building of environments left out."""
        if self.fetch()["new"]:
            self("models")
            self("check")
            self("activate")

    def live(self) -> str:
        """The commit in force, by what its link leads to."""
        about = self.layout.current_release / ".mlops-release.json"
        return json.loads(about.read_bytes())["commit"]


def pointer(data: bytes) -> str:
    """A pointer of Git LFS."""
    oid = hashlib.sha256(data).hexdigest()
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n"
