"""A program of another user beside our terminal: it gets one of its own, or none.

Who has a terminal can type into it (TIOCSTI) and read what is typed; what a shell of root's then
reads, it runs. So such a program lives in a session of its own. Where it is to be spoken with it
gets a terminal that ends with us, and we carry to and fro what is typed and what is shown.
"""

import fcntl
import os
import pty
import select
import signal
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

BLOCK = 1 << 16
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
SIZE = b"\0" * 8
"""Of a window, as ioctl writes it."""


def main(words: list[str]) -> NoReturn:
    """Become a command that hands its files on to another user."""
    if not (os.isatty(0) and os.isatty(1)):  # then the command itself makes a terminal
        apart()
    os.execvp(words[0], words)  # noqa: S606 - no shell is the point


def apart() -> None:
    """Go on without our terminal, where there is one: the caller then becomes the other program.

    It goes on in a child. This process stays with the terminal and ends as the child does.
    """
    if os.isatty(0) and os.isatty(1):
        _spoken_with()
    elif any(map(os.isatty, (0, 1, 2))) or _in_session():
        _listened_to()


def _in_session() -> bool:
    """Whether our session has a terminal, though none of our files is it."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _spoken_with() -> None:
    """Return in a child on a terminal of its own; errors that went elsewhere still do."""
    errors = None if os.isatty(2) else os.dup(2)
    child, master = pty.fork()
    if child:
        with _raw(master):
            status = _carry(child, master, 1, typed=True)
        _end_as(status)
    if errors is not None:
        os.dup2(errors, 2)
        os.close(errors)


def _listened_to() -> None:
    """Return in a child that has no terminal; what it shows there goes through us."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child:
        os.close(theirs)
        _end_as(_carry(child, ours, 1 if os.isatty(1) else 2, typed=False))
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for number, other in ((0, null), (1, theirs), (2, theirs)):
        if os.isatty(number):
            os.dup2(other, number)
    for number in (null, ours, theirs):
        os.close(number)


@contextmanager
def _raw(master: int) -> Iterator[None]:
    """Our terminal hands on each key as it is; the other one is as ours was, and as large."""
    before = termios.tcgetattr(0)
    termios.tcsetattr(master, termios.TCSANOW, before)
    _resize(master)
    signal.signal(signal.SIGWINCH, lambda *_: _resize(master))
    tty.setraw(0, termios.TCSANOW)  # what was typed before is not lost
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


def _resize(master: int) -> None:
    with suppress(OSError):
        fcntl.ioctl(master, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, SIZE))


def _carry(child: int, theirs: int, shown: int, *, typed: bool) -> int:
    """Carry until the child has ended; how it did. Whatever it left behind is not waited for."""
    for number in PASSED_ON:
        signal.signal(number, lambda number, _: _pass_on(child, number))
    os.set_blocking(theirs, False)
    ended, waiting, keys = os.pidfd_open(child), b"", [0] if typed else []
    while True:
        full = [theirs] if waiting else []
        ready, free, _ = select.select([ended, theirs, *([] if waiting else keys)], full, [])
        if theirs in ready and _show(theirs, shown) is False:
            break
        if 0 in ready:
            waiting = os.read(0, BLOCK)
            keys = keys if waiting else []
        if free:
            with suppress(OSError):
                waiting = waiting[os.write(theirs, waiting) :]
        if ended in ready:
            while _show(theirs, shown):
                pass
            break
    return os.waitpid(child, 0)[1]


def _show(theirs: int, shown: int) -> bool | None:
    """Hand on what is there; None when nothing is by now, False when nothing will be."""
    try:
        data = left = os.read(theirs, BLOCK)
        while left:
            left = left[os.write(shown, left) :]
    except BlockingIOError:
        return None
    except OSError:
        return False
    return bool(data)


def _pass_on(child: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child, number)


def _end_as(status: int) -> NoReturn:
    """End with the same code, or by the same signal."""
    if os.WIFSIGNALED(status):
        with suppress(OSError):  # SIGKILL has nothing to restore
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    os._exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128)


if __name__ == "__main__":
    main(sys.argv[1:])
