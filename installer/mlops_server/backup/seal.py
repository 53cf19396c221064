"""Encryption by age or gpg, as streams. No secret is on a command line."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mlops_server.backup.config import Config
from mlops_server.errors import EnvError, Flaw
from mlops_server.layout import Layout

KEYS = {"age": "the age identity", "gpg": "the passphrase"}
SHUT = {
    "age": Flaw(
        "the age identity does not open the backup, or the backup is damaged",
        "give the identity of the recipient that it was made for, or take another backup",
    ),
    "gpg": Flaw(
        "the passphrase does not open the backup, or the backup is damaged",
        "give the passphrase that it was made with, or take another backup",
    ),
}
SEALED = Flaw(
    "cannot encrypt the backup",
    "the lines above are those of age or gpg: correct [backup] age_recipient or passphrase",
)
ENCRYPT = ("--symmetric", "--cipher-algo", "AES256", "--s2k-mode", "3", "--s2k-digest-algo",
           "SHA512", "--s2k-count", "65011712", "--compress-algo", "none")  # fmt: skip


@contextmanager
def writer(layout: Layout, config: Config, target: IO[bytes]) -> Iterator[IO[bytes]]:
    """What is written into it arrives in `target` encrypted. Raises `EnvError`."""
    if not config.seal:
        yield target
        return
    with _command(layout, config) as words:
        yield from _through(words, target)


@contextmanager
def _command(layout: Layout, config: Config) -> Iterator[list[str]]:
    if config.seal == "age":
        yield ["age", "--encrypt", "--recipient", config.age_recipient]
        return
    with _gpg() as words:
        yield [*words, "--passphrase-file", str(layout.backup_passphrase), *ENCRYPT]


def _through(words: list[str], target: IO[bytes]) -> Iterator[IO[bytes]]:
    with _start(words, stdin=subprocess.PIPE, stdout=target) as process:
        try:
            yield _pipe(process.stdin)
            _pipe(process.stdin).close()
        except BrokenPipeError:
            pass  # its own words tell why
        except BaseException:
            process.kill()
            raise
        _finish(process, SEALED)


@contextmanager
def reader(path: Path, seal: str, secret: bytes) -> Iterator[IO[bytes]]:
    """An archive in plain. `secret`: an age identity, or a passphrase. Raises `EnvError`."""
    if not seal:
        with path.open("rb") as file:
            yield file
    elif not secret:
        raise EnvError(f"{path.name} is encrypted", fix=f"give {KEYS[seal]} by --identity FILE")
    elif seal == "age":
        yield from _opened(["age", "--decrypt", "--identity", "-", str(path)], secret, seal)
    else:
        with _gpg() as words:
            decrypt = [*words, "--passphrase-fd", "0", "--decrypt", str(path)]
            yield from _opened(decrypt, secret.rstrip(b"\n") + b"\n", seal)


def _opened(words: list[str], secret: bytes, seal: str) -> Iterator[IO[bytes]]:
    pipe = subprocess.PIPE
    problem = SHUT[seal]
    with _start(words, stdin=pipe, stdout=pipe) as process:
        try:
            _pipe(process.stdin).write(secret)
            _pipe(process.stdin).close()
            yield _pipe(process.stdout)
            _pipe(process.stdout).read()
        except BrokenPipeError:
            pass
        except EnvError:
            _finish(process, problem)  # what it says is the better reason
            raise
        except BaseException:
            process.kill()
            raise
        _finish(process, problem)


def _start(words: list[str], stdin: int, stdout: "int | IO[bytes]") -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(words, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)
    except FileNotFoundError:
        fix = f"`apt-get install {words[0]}`, or set it in [backup] and run `mlops-install apply`"
        raise EnvError(f"{words[0]} is not installed", fix=fix) from None


def _finish(process: "subprocess.Popen[bytes]", problem: Flaw) -> None:
    said = process.stderr.read().decode(errors="replace") if process.stderr else ""
    if process.wait():
        raise EnvError(problem.text, fix=problem.fix, detail=said.strip())


def _pipe(stream: "IO[bytes] | None") -> IO[bytes]:
    if stream is None:
        raise ValueError("the process needs a pipe")
    return stream


@contextmanager
def _gpg() -> Iterator[list[str]]:
    """gpg with a home of its own, for its agent does not work without one."""
    with tempfile.TemporaryDirectory() as home:
        try:
            yield ["gpg", "--batch", "--quiet", "--homedir", home, "--no-symkey-cache",
                   "--pinentry-mode", "loopback"]  # fmt: skip
        finally:
            stop = ["gpgconf", "--homedir", home, "--kill", "all"]
            subprocess.run(stop, capture_output=True, check=False)
