"""A script that runs somewhere, line by line."""

import contextlib
import hashlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import IO, Self

from mlops_install.errors import ConnectionLost

BLOCK = 1 << 16
AGAIN = "what was done so far is kept: run the same command again"


@dataclass(frozen=True)
class Result:
    """What a script printed, and its exit code."""

    stdout: str
    stderr: str
    code: int


class Session(ABC):
    """A script that runs, line by line."""

    def __init__(self, stdin: IO[bytes], stdout: IO[bytes], stderr: IO[bytes]) -> None:
        self._stdin, self._out = stdin, stdout
        self._mark, self._begun, self._before = b"", False, b""
        self._errors: list[bytes] = []
        self._reader = threading.Thread(target=self._drain, args=(stderr,), daemon=True)
        self._reader.start()

    def _drain(self, stderr: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._errors.append(stderr.read())

    def begins_with(self, mark: str) -> None:
        """What comes before the line `mark`, on stdout and stderr, is not of the script."""
        self._mark = mark.encode()

    @property
    def _stdout(self) -> IO[bytes]:
        """Where the script's own output begins."""
        while self._mark and not self._begun:
            line = self._out.readline()
            self._begun = not line or line.rstrip(b"\r\n").endswith(self._mark)
            self._before = b"" if line and self._begun else (self._before + line)[-BLOCK:]
        return self._out

    def lines(self) -> Iterator[str]:
        """The lines of stdout as they come, without line ends."""
        for line in self._stdout:
            yield line.decode(errors="replace").rstrip("\n")

    def line(self) -> str:
        """The next line of stdout without its end; empty at the end of all."""
        return self._stdout.readline().decode(errors="replace").rstrip("\n")

    def read(self, size: int) -> str:
        """The next `size` bytes of stdout as text."""
        return self._stdout.read(size).decode(errors="replace")

    def send(self, text: str) -> None:
        """Write to the script's stdin."""
        try:
            self._stdin.write(text.encode())
            self._stdin.flush()
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {error}", fix=AGAIN) from error

    def pump(self, file: IO[bytes]) -> None:
        """Write a file to the script's stdin, which is closed then."""
        try:
            while block := file.read(BLOCK):
                self._stdin.write(block)
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {error}", fix=AGAIN) from error
        self._close_stdin()

    def save(self, file: IO[bytes]) -> tuple[int, str]:
        """Write all of the script's stdout to a file; its size and SHA-256 in hex."""
        sha, size = hashlib.sha256(), 0
        while block := self._stdout.read(BLOCK):
            sha.update(block)
            size += file.write(block)
        return size, sha.hexdigest()

    def finish(self) -> Result:
        """Close stdin, read the rest, wait for the end."""
        self._close_stdin()
        rest = self._stdout.read().decode(errors="replace")
        code = self._wait()
        self._reader.join()
        return Result(rest, self._stderr().decode(errors="replace"), code)

    def _stderr(self) -> bytes:
        """Its own errors; all that was said when it did not begin, as when sudo refuses."""
        said = b"".join(self._errors)
        head, mark, rest = said.partition(self._mark + b"\n" if self._mark else b"\0")
        return rest if mark else self._before + head

    @abstractmethod
    def reachable(self) -> bool:
        """Whether what the script printed, and its end, can still be learned."""

    @abstractmethod
    def _close_stdin(self) -> None: ...

    @abstractmethod
    def _wait(self) -> int: ...

    @abstractmethod
    def close(self) -> None:
        """Let go of the script, whether it has ended or not."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        self.close()
