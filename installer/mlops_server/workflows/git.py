"""Git by its command line, with nothing of the machine's or a repository's own settings."""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlops_server.layout import Layout
from mlops_server.workflows import mirrors
from mlops_server.workflows.plumbing import BrokenMirror, Contents, records, started
from mlops_server.workflows.refusals import Entry, Rejected, shown
from mlops_server.workflows.refusals import path as checked_path
from mlops_server.workflows.remote import explain

TIMEOUT = 900.0
"""Seconds that a conversation with a server may last."""
KEPT = (
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "TZ"),
)
HARMLESS = (
    *("badDate", "badDateOverflow", "badTimezone", "zeroPaddedDate", "missingSpaceBeforeDate"),
    *("badEmail", "badName", "missingEmail", "missingNameBeforeEmail", "missingSpaceBeforeEmail"),
    *("multipleAuthors", "zeroPaddedFilemode"),
)
"""What old tools wrote about author, date or mode: nothing of it gets into a release, and nobody
can rewrite the history of years. What may lead a reader of names or trees astray stays an error."""
SETTINGS = {
    **{f"fetch.fsck.{name}": "ignore" for name in HARMLESS},
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.fsync": "all",
    "core.attributesFile": "/dev/null",
    "credential.helper": "",
    "fetch.fsckObjects": "true",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",  # one pack, which root can take over as it is
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",
    "gpg.minTrustLevel": "fully",
    "gpg.program": "/bin/false",
    "gpg.x509.program": "/bin/false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "30",
    "log.showSignature": "false",
    "safe.directory": "*",  # the environment is ours; whose the mirror is says nothing
    "transfer.fsckObjects": "true",
}


@dataclass(frozen=True)
class Repository:
    """A bare mirror on this server, and the address it mirrors."""

    layout: Layout
    path: Path
    url: str

    def ensure(self, commit: str = "") -> None:
        """Make it where it is missing, and remove what a killed Git left behind.

        A mirror has one kind of names, SHA-1 or SHA-256: with a `commit` of another kind it is
        made anew. Hold the lock for repositories: nobody else's lock files may be in it.
        """
        if not (self.path / "mlops").exists() or (commit and self._names() != _names(commit)):
            shutil.rmtree(self.path, ignore_errors=True)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            template = ["init", "-q", "--bare", "--template=", "-b", "unborn"]
            names = f"--object-format={_names(commit)}"
            self._run([*template, names, str(self.path)], where=self.path.parent)
            there = self.layout.mirror(self.path)
            if there and mirrors.fits(there, commit):
                (self.path / "objects/info/alternates").write_text(f"{there}/objects\n")
            (self.path / "mlops").write_text("made whole\n")
        for pattern in ("*.lock", "refs/**/*.lock", "objects/**/tmp_*", "objects/**/*.lock"):
            for left in self.path.glob(pattern):
                left.unlink(missing_ok=True)

    def _names(self) -> str:
        return self._run(["rev-parse", "--show-object-format"]).decode().strip()

    def advertised(self) -> dict[str, str]:
        """Every branch and tag of the server, by its full name -> commit.

        Raises `TryAgain` or `EnvError`.
        """
        found: dict[str, str] = {}
        listed = self._remote(["ls-remote", "-q", "--", self.url, "refs/heads/*", "refs/tags/*"])
        for line in filter(None, listed.decode(errors="replace").split("\n")):
            oid, _, name = line.partition("\t")
            found[name] = oid
        return found

    def fetch(self, what: str, into: str) -> None:
        """Fetch a ref, a pattern of refs or a commit. Raises `TryAgain`, `EnvError`."""
        quiet = [
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--force",
            "--no-auto-maintenance",
        ]
        self._remote(["fetch", *quiet, "--", self.url, f"+{what}:{into}"])

    def point(self, ref: str, commit: str) -> None:
        """Keep a commit from being collected."""
        self._run(["update-ref", ref, commit])

    def commit(self, name: str) -> str | None:
        """The commit that a name stands for, or None when it is not here as a whole."""
        words = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
        done = self._git(words)
        return done.stdout.decode().strip() if done.returncode == 0 else None

    def describes(self, commit: str) -> dict[str, str]:
        """Subject, author and time of a commit."""
        words = ["log", "-1", "--no-mailmap", "--encoding=UTF-8", "--format=%s%x00%an <%ae>%x00%cI"]
        text = self._run([*words, commit, "--"]).decode(errors="replace").rstrip("\n")
        subject, author, at = (*text.split("\0"), "", "")[:3]
        return {"subject": shown(subject), "author": shown(author), "committed_at": shown(at)}

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether the history of `new` holds `old`."""
        return self._git(["merge-base", "--is-ancestor", old, new]).returncode == 0

    def signed(self, commit: str) -> str:
        """Why the signature of a commit does not count; empty: it does."""
        words = ["-c", f"gpg.ssh.allowedSignersFile={self.layout.allowed_signers}"]
        done = self._git([*words, "verify-commit", commit])
        if done.returncode == 0:
            return ""
        said = [shown(line) for line in done.stderr.decode(errors="replace").splitlines() if line]
        return " ".join(said) or "it has none"

    def files(self, commit: str) -> Iterator[Entry | tuple[str, str]]:
        """The files and links of a commit as they come; (path, commit) stands for a submodule.

        Raises `Rejected` for a name that will not do.
        """
        words = self._words(["ls-tree", "-r", "-z", "-l", "--full-tree", commit])
        with started(words, self._environ()) as process:
            for record in records(process):
                head, _, raw = record.partition(b"\t")
                mode, _, oid, size = head.decode().split()
                name = checked_path(raw)
                if mode == "160000":
                    yield name, oid
                else:
                    link = mode == "120000"
                    yield Entry(name, oid, int(size), executable=mode == "100755", link=link)
        if process.returncode:
            raise BrokenMirror(f"{self.path} is broken")

    @contextmanager
    def contents(self) -> Iterator[Contents]:
        """Read many blobs by one process."""
        with started(self._words(["cat-file", "--batch"]), self._environ()) as process:
            yield Contents(process, self.path)

    def settings(self, blob: str) -> list[tuple[str, str]]:
        """The names and values in a blob such as .gitmodules. Raises `Rejected`."""
        done = self._git(["config", "--null", "--list", "--blob", blob])
        if done.returncode:
            raise Rejected(".gitmodules cannot be read")
        pairs = done.stdout.decode(errors="replace").split("\0")
        return [(name, value) for name, _, value in (p.partition("\n") for p in pairs) if name]

    def large(self, pointer: bytes) -> bytes:
        """The file that a Git LFS pointer stands for. Raises `TryAgain`, `EnvError`."""
        if kept := self._kept(pointer):
            return kept
        settings = ["-c", f"remote.origin.url={self.url}", "-c", "lfs.skipdownloaderrors=false"]
        return self._remote([*settings, "lfs", "smudge"], stdin=pointer)

    def _kept(self, pointer: bytes) -> bytes | None:
        """The file, where an earlier pull has brought it; who asks compares it."""
        there, found = self.layout.mirror(self.path), re.search(rb"sha256:([0-9a-f]{64})", pointer)
        if not there or not found:
            return None
        name = found[1].decode()
        path = there / "lfs/objects" / name[:2] / name[2:4] / name
        return path.read_bytes() if path.is_file() else None

    # --- how it is run --------------------------------------------------------------------

    def _words(self, words: list[str]) -> list[str]:
        helper = f"git credential-store --file {shlex.quote(str(self.layout.git_credentials))} get"
        # Git would have the file forget a login that was refused once; so it may only read.
        login = f'credential.helper=!f() {{ test "$1" != get || exec {helper}; }}; f'
        settings = [*(f"{name}={value}" for name, value in SETTINGS.items()), login]
        given = [word for setting in settings for word in ("-c", setting)]
        return ["setpriv", "--pdeathsig", "KILL", "git", *given, *words]

    def _environ(self, where: Path | None = None) -> dict[str, str]:
        home = self.layout.workflows_state / "home"
        home.mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in KEPT if name in os.environ}
        if "SSL_CERT_FILE" in kept:
            kept["GIT_SSL_CAINFO"] = kept["SSL_CERT_FILE"]
        return kept | {
            "PATH": os.environ.get("PATH", "/usr/local/bin:/usr/bin:/bin"),
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "LANGUAGE": "C",
            "GIT_DIR": str(where or self.path),
            "GIT_ALLOW_PROTOCOL": ":".join(self.layout.protocols),
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "0",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "GIT_SSH_COMMAND": shlex.join(self._ssh()),
            "GIT_SSH_VARIANT": "ssh",
        }

    def _ssh(self) -> list[str]:
        options = {
            "BatchMode": "yes",
            "ClearAllForwardings": "yes",
            "ConnectTimeout": "20",
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "IdentityFile": str(self.layout.deploy_key),
            "LogLevel": "ERROR",
            "ServerAliveInterval": "15",
            "ServerAliveCountMax": "3",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "UserKnownHostsFile": str(self.layout.known_hosts),
        }
        return ["ssh", "-F", "none", *(f"-o{name}={value}" for name, value in options.items())]

    def _git(self, words: list[str]) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            self._words(words),
            env=self._environ(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )

    def _run(self, words: list[str], where: Path | None = None) -> bytes:
        """Run it here; it has to work."""
        done = subprocess.run(
            self._words(words),
            env=self._environ(where) if where is None else _without(self._environ(where)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            detail = done.stderr.decode(errors="replace").strip()
            raise BrokenMirror(f"`git {words[0]}` failed in {self.path}", detail=detail)
        return done.stdout

    def _remote(self, words: list[str], stdin: bytes = b"") -> bytes:
        """Run what talks to the server, for so long at most. Raises `TryAgain`, `EnvError`."""
        words, timeout = self._words(words), TIMEOUT
        with started(words, self._environ(), stderr=subprocess.PIPE, group=True) as process:
            try:
                out, errors = process.communicate(stdin, timeout=timeout)
            except subprocess.TimeoutExpired:
                raise explain(f"timed out after {timeout:.0f} s", self.url) from None
        if process.returncode:
            raise explain(errors.decode(errors="replace"), self.url)
        return out


def _names(commit: str) -> str:
    """The kind of names that a repository has, by one of them."""
    return "sha256" if len(commit) == 64 else "sha1"


def _without(environ: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name != "GIT_DIR"}
