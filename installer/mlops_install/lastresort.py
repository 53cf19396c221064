"""How the program ends: an exit code and words, never a traceback. Needs no library.

What nobody foresaw becomes two lines, and a file with the traceback for whoever mends it.
"""

import contextlib
import errno
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

INTERRUPTED, PIPE = 130, 141
"""As shells say it: Ctrl-C, and a reader that went away."""
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF}
LIBRARIES = ("typer", "fabric", "paramiko", "cryptography", "pydantic", "rich", "py-rattler")
SECRETS: set[str] = set()
"""What was read as a secret, and never goes into the file."""
READS = "nothing was changed"
KEEPS = "what was done is kept: run the same command again"
GOES_ON = {  # where the server does not stop with us; the rest only reads
    "apply": KEEPS,
    "uninstall": KEEPS,
    "new-project": KEEPS,
    "backup": "the server finishes the backup by itself: `mlops-install backups` shows it",
    "restore": "a restore that has begun goes on by itself, or `mlops-install apply` finishes it",
    "sync": "the server finishes the pull by itself: `mlops-install workflows status` shows it",
    "rollback": "what has begun on the server goes on: `mlops-install status` shows it",
    "box": "what was done is kept: `mlops-install box list` shows it",
}


def guarded(work: Callable[[], int]) -> None:
    """Run the program and end with its exit code."""
    try:
        code = work()
        sys.stdout.flush()
    except KeyboardInterrupt:
        _say(f"\nstopped; {_stopped(sys.argv[1:])}")
        _quiet()
        os._exit(INTERRUPTED)  # threads that still wait for the server are not waited for
    except BrokenPipeError:
        code = _quiet(PIPE)
    except OSError as error:
        code = _unwritable(error) if error.errno in NO_ROOM and not error.filename else _odd(error)
    except Exception as error:
        code = _odd(error)
    sys.exit(code)


def _stopped(words: list[str]) -> str:
    command = next((word for word in words if word in GOES_ON), "")
    # A bare `mlops-install` applies.
    first = next((word for word in words if not word.startswith("-")), "apply")
    return GOES_ON.get(first, GOES_ON.get(command, READS))


def _unwritable(error: OSError) -> int:
    _say(f"error: cannot write the output: {error.strerror}\nfix:   make room where it goes")
    return _quiet(1)


def _odd(error: Exception) -> int:
    text = hidden(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
    file = _write(error)
    where = f"the traceback is in {file}" if file else "there is no room for the traceback"
    _say(f"error: something unexpected happened: {text}")
    _say(f"fix:   {where}; add that file to your report")
    return _quiet(1)


def _write(error: Exception) -> Path | None:
    import tempfile  # help, which ends here too, has no time for it
    import time

    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
    for folder in (state / "mlops-install", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            name = f"mlops-install-error-{time.strftime('%Y%m%dT%H%M%S')}-{os.getpid()}.txt"
            with open(
                os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w"
            ) as out:
                out.write(hidden(_report(error)))
            return folder / name
        except OSError:
            continue
    return None


def _report(error: Exception) -> str:
    import platform
    import traceback
    from importlib.metadata import PackageNotFoundError, version

    def of(library: str) -> str:
        try:
            return f"{library} {version(library)}"
        except PackageNotFoundError:
            return f"{library}: none"

    versions = ", ".join(of(library) for library in ("mlops-install", *LIBRARIES))
    system = f"Python {platform.python_version()} on {platform.platform()}"
    lines = traceback.format_exception(error)
    return f"{' '.join(sys.argv)}\n{versions}\n{system}\n\n{''.join(lines)}"


def hidden(text: str) -> str:
    """The text without the secrets of the config, and without logins in addresses."""
    for secret in sorted(SECRETS, key=len, reverse=True):
        text = text.replace(secret, "***") if len(secret) > 2 else text
    return re.sub(r"(://[^/\s:@]+):[^/\s@]+@", r"\1:***@", text)


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads it
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def _quiet(code: int = 0) -> int:
    """What is still in the buffer goes nowhere: the interpreter would try once more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code
