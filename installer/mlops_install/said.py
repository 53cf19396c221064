"""What the server's `mlops` says, in the words of who sits on this side."""

import re

from mlops_install.errors import ApplyError
from mlops_install.session import Result

TAIL = 20
ABSENT = 127
"""As a shell says that there is no such command."""
HERE = (  # the server's command -> ours; the first that fits
    (r"mlops backup list", "mlops-install backups"),
    (r"mlops backup create", "mlops-install backup"),
    (r"mlops backup resume", "mlops-install apply"),
    (r"mlops backup unpack NAME", "mlops-install restore NAME"),
    (r"mlops env (list|show|run)\b", r"mlops-install env \1"),
    (r"mlops env build [^`]*", "mlops-install apply"),
    (r"mlops workflows (status|key|release)\b", r"mlops-install workflows \1"),
    (r"mlops workflows rollback\b", "mlops-install rollback workflows"),
    (r"mlops workflows (sync|fetch|check|activate|models)\b", "mlops-install sync"),
    (r"mlops (service \w+)", r"ssh … sudo mlops \1"),
)


def here(text: str) -> str:
    """The text with commands of the server turned into those of this side."""
    for theirs, ours in HERE:
        text = re.sub(rf"(?<=`){theirs}", ours, text)
    return text


def problem(done: Result, otherwise: str) -> ApplyError:
    """The error that a command of the server ended with; `otherwise` where it gave none."""
    lines = [line for line in (done.stdout + "\n" + done.stderr).splitlines() if line.strip()]
    at = next((i for i, line in enumerate(lines) if line.startswith("mlops: ")), None)
    fixes = [line.removeprefix("fix: ") for line in lines if line.startswith("fix: ")]
    message = otherwise if at is None else lines[at].removeprefix("mlops: ")
    details = lines[-TAIL:] if at is None else lines[at + 1 :]
    detail = "\n".join(line for line in details if not line.startswith("fix: "))
    return ApplyError(here(message), detail=here(detail), fix=here(fixes[-1]) if fixes else "")


def missing(address: str) -> ApplyError:
    """The server has no `mlops`: it was never set up, or was uninstalled."""
    return ApplyError(f"{address} is not set up", fix=f"`mlops-install apply {address}` sets it up")
