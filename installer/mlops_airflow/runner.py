"""What runs in a model's environment: a supervisor, and below it the user's function or command.

Started by path, with any Python from 3.8 on and nothing but the standard library:

    python runner.py call PARENT RESULT_FD      the function of the request on stdin
    python runner.py exec PARENT COMMAND...     a command

PARENT is the process that started this one. The supervisor ends with the exit code, or by the
signal, of what it ran, and only when nothing that was started below it is left.
"""

from __future__ import annotations

import datetime
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

TYPE_CHECKING = False  # importing typing, or ast below, would cost a task milliseconds
if TYPE_CHECKING:
    from typing import Any, NoReturn

GRACE = 5.0  # seconds between SIGTERM and SIGKILL
TAG = "$mlops"
DEPTH, RESERVED = 100, {"__classname__", "__id__"}
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER = 1, 4, 36
STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


class RefusedError(TypeError):
    """A value that does not travel between Airflow and an environment; the text names it."""


def encode(value: Any, where: str) -> Any:
    """`value` as Airflow can store it, dates tagged. Raises `RefusedError`, which names `where`."""
    if where.count("[") > DEPTH:
        raise RefusedError(f"{where[:60]}... is nested more than {DEPTH} levels deep")
    if type(value) is not value.__class__ and hasattr(value, "__wrapped__"):
        value = value.__wrapped__  # one of Airflow's lazy values, which passes for another
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise RefusedError(f"{where} is an int of more than 64 bits: pass a str or a float")
        return int(value)
    if isinstance(value, float):
        return _encode_float(float(value), where)
    if isinstance(value, str):
        return _encode_str(str.__str__(value), where)
    if isinstance(value, datetime.date):
        return _encode_date(value, where)
    if isinstance(value, Mapping):
        return _encode_mapping(value, where)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [encode(one, f"{where}[{i}]") for i, one in enumerate(value)]
    if isinstance(value, os.PathLike):
        return encode(os.fspath(value), where)
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        return encode(value.item(), where)
    raise _refused(value, where)


def _encode_str(value: str, where: str) -> str:
    """PostgreSQL stores neither of these."""
    if "\0" in value:
        raise RefusedError(f"{where} is a str with a NUL (\\0), which Airflow cannot store")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        what = f"{value[error.start]!a}, a lone surrogate"
        raise RefusedError(f"{where} is a str with {what}, which Airflow cannot store") from None
    return value


def _encode_float(value: float, where: str) -> float:
    if value - value != 0:
        raise RefusedError(f"{where} is {value}: Airflow stores JSON, which has no such number")
    return value


def _encode_date(value: datetime.date, where: str) -> Any:
    if value != value:  # pandas' NaT says that it is a datetime
        raise _refused(value, where)
    if isinstance(value, datetime.datetime):
        return {TAG: "datetime", "value": datetime.datetime.isoformat(value)}
    return {TAG: "date", "value": datetime.date.isoformat(value)}


def _encode_mapping(value: Mapping[Any, Any], where: str) -> Any:
    for key in value:
        if not isinstance(key, str):
            raise RefusedError(f"{where} has the key {key!r}: keys must be str")
        _encode_str(str.__str__(key), f"the key {key!a} of {where}")
        if key in RESERVED:
            raise RefusedError(f"{where} has the key {key!r}, which Airflow keeps for itself")
    found = {str.__str__(key): encode(one, f'{where}["{key}"]') for key, one in list(value.items())}
    return {TAG: "dict", "value": found} if TAG in found else found


def _refused(value: Any, where: str) -> RefusedError:
    kind = type(value).__name__
    article = "an" if kind[:1].lower() in "aeiou" else "a"
    return RefusedError(
        f"{where} is {article} {kind}: write it to a file below MLOPS_DATA and pass the file's path"
        " (str, int, float, bool, None, list, dict, datetime and date can be passed as they are)"
    )


def decode(value: Any) -> Any:
    """What `encode` made a JSON value from."""
    if isinstance(value, list):
        return [decode(one) for one in value]
    if not isinstance(value, dict):
        return value
    kind = value.get(TAG)
    if kind == "datetime":
        return datetime.datetime.fromisoformat(value["value"])
    if kind == "date":
        return datetime.date.fromisoformat(value["value"])
    return {key: decode(one) for key, one in (value["value"] if kind else value).items()}


def _prctl(option: int, argument: int) -> None:
    import ctypes

    if ctypes.CDLL(None, use_errno=True).prctl(option, argument, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl {option}")


def _end_with(parent: int, how: signal.Signals) -> None:
    """Get a signal when the parent ends; it may have ended before we could ask for that."""
    _prctl(PR_SET_PDEATHSIG, how)
    if os.getppid() != parent:
        os._exit(1)


def supervise(parent: int, work: Callable[[], int]) -> NoReturn:
    """Run `work` in a child and end as it ended, when nothing below is left."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP | {signal.SIGCHLD})
    _end_with(parent, signal.SIGTERM)
    _prctl(PR_SET_CHILD_SUBREAPER, 1)
    me = os.getpid()
    child = os.fork()
    if not child:
        _end_with(me, signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_SETMASK, before - STOP - {signal.SIGCHLD})
        sys.exit(work())
    _end_as(_wait(child))


def _wait(child: int) -> int:
    """The status of the child, after it and all that it started have ended."""
    ended: dict[int, int] = {}
    while _reap(ended) and child not in ended:
        if signal.sigwait(STOP | {signal.SIGCHLD}) in STOP:
            break
    for how, patience in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        until = time.monotonic() + patience
        signalled: set[int] = set()
        while _reap(ended) and time.monotonic() < until:
            for pid in _descendants() - signalled:
                _signal(pid, how)
                signalled.add(pid)
            signal.sigtimedwait([signal.SIGCHLD], 0.1)
    return ended.get(child, int(signal.SIGKILL))


def _reap(ended: dict[int, int]) -> bool:
    """Collect what has ended; false when there is no child any more."""
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return True
            ended[pid] = status
    except ChildProcessError:
        return False


def _signal(pid: int, how: signal.Signals) -> None:
    with suppress(OSError):  # it has ended meanwhile, or runs as another user
        os.kill(pid, how)


def _descendants() -> set[int]:
    """All processes below this one: those that lost their parent have become its children."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as stat:
                    parents[int(name)] = int(stat.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
    found: set[int] = set()
    level = {os.getpid()}
    while level:
        level = {pid for pid, parent in parents.items() if parent in level} - found
        found |= level
    return found


def _end_as(status: int) -> NoReturn:
    if os.WIFEXITED(status):
        os._exit(os.WEXITSTATUS(status))
    how = os.WTERMSIG(status)
    _prctl(PR_SET_DUMPABLE, 0)  # one core dump is enough
    if how != signal.SIGKILL:
        signal.signal(how, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {how})
    os.kill(os.getpid(), how)
    os._exit(128 + how)


def execute(command: list[str]) -> NoReturn:
    """Become the command, with the signals that a program expects."""
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(ignored, signal.SIG_DFL)
    os.execv(command[0], command)  # noqa: S606


def call(result: int) -> int:
    """Call the function of the request on stdin; its result, or its error, goes to a file."""
    import json

    os.set_inheritable(result, False)
    with open(0, "rb", closefd=False) as file:
        request = json.load(file)
    os.close(0)
    os.open(os.devnull, os.O_RDONLY)  # becomes 0
    os.set_inheritable(0, True)
    sys.path[:0] = request["path"]
    sys.argv = [request["file"]]
    reply = answer(request)
    with open(result, "wb") as file:
        file.write(json.dumps(reply).encode())
    return 1 if "error" in reply else 0


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Call the function; `{"result": ...}`, or `{"error": ...}` after the traceback is printed."""
    try:
        function = load(request)
        value = function(*decode(request["args"]), **decode(request["kwargs"]))
    except Exception as error:
        return {"error": _report(error, request["file"])}
    try:
        return {"result": encode(value, "result")}
    except RefusedError as error:
        return {"error": {"text": str(error)}}


def load(request: dict[str, Any]) -> Callable[..., Any]:
    """The function, compiled alone, with the file name and the lines that it has in its file."""
    import __future__

    import _ast
    import builtins

    source, file, line = request["source"], request["file"], request["line"]
    flags = request.get("flags", __future__.annotations.compiler_flag)
    indented = source[:1].isspace()
    text = "\n" * (line - 2) + "if 1:\n" + source if indented else "\n" * (line - 1) + source
    tree: Any = compile(text, file, "exec", flags | _ast.PyCF_ONLY_AST, dont_inherit=True)
    found = tree.body[0].body[0] if indented else tree.body[0]
    if request["decorated"]:
        found.decorator_list = _below_ours(found.decorator_list)
    tree.body = [found]
    # A module like any other: dataclasses, typing and pickle look it up by a class's __module__.
    module = sys.modules["__task__"] = type(sys)("__task__")
    names: dict[str, Any] = module.__dict__
    names.update(__file__=file, __builtins__=builtins)
    exec(compile(tree, file, "exec", flags, dont_inherit=True), names)  # noqa: S102
    function: Callable[..., Any] = names[request["name"]]
    return function


def _below_ours(decorators: list[Any]) -> list[Any]:
    """Without Airflow's decorator and those above it: they worked on the task."""
    last = 0
    for i, decorator in enumerate(decorators):
        name = getattr(decorator, "func", decorator)
        if getattr(name, "attr", None) == "conda":
            last = i
    return decorators[last + 1 :]


def _report(error: Exception, file: str) -> dict[str, Any]:
    import traceback

    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)
    if type(error) is NameError:
        print("A task has no names from outside its function: import and define them inside it.")
    frames = traceback.extract_tb(trace)
    where = [frame for frame in frames if frame.filename == file] or frames
    said = str(error).encode(errors="backslashreplace").decode().replace("\0", "?").strip()
    found: dict[str, Any] = {"text": ": ".join([type(error).__name__, *said.splitlines()[:1]])}
    if where:
        found.update(file=where[-1].filename, line=where[-1].lineno)
    return found


def main(arguments: list[str]) -> NoReturn:
    """See the top of the file."""
    del sys.path[0]  # the folder of this file
    mode, parent, rest = arguments[0], int(arguments[1]), arguments[2:]
    if mode == "call":
        supervise(parent, lambda: call(int(rest[0])))
    supervise(parent, lambda: execute(rest))


if __name__ == "__main__":
    main(sys.argv[1:])
