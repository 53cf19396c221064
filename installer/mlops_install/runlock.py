"""One run at a time: a lock on the server that ends with its holder.

The lock is a process on the server that holds a flock and reads a heartbeat from us. It ends,
and the lock with it, when our connection closes, when no beat came for a minute, or when the
server goes down: there is no stale lock. What a dead run left running there is waited for.
"""

import contextlib
import getpass
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from mlops_install.engine import LEASE, LOG, RUN_DIR
from mlops_install.errors import LockError, MlopsError
from mlops_install.host import Host
from mlops_install.session import Session
from mlops_install.shell import sh

BEAT = 15
WAIT = 1800
LOG_BYTES = 8 << 20
"""When the installer's log becomes its .1, of which there is one."""
MOST_RUNS = 2000
"""Lines of the history of runs."""

SCRIPT = """\
mkdir -p {run} /var/lib/mlops; chmod 700 {run}  # who may open a file may lock it
exec 8>>{run}/lock 9>>{run}/busy
if ! flock -n 8; then echo "held $(cat {run}/holder)"; exit; fi
echo {who} > {run}/holder
if ! flock -n 9; then
  echo "busy a command of a run that was broken off is still at work"
  flock -w {wait} 9 || {{ echo "held a command of a run that was broken off"; exit; }}
fi
exec 9>&-
# What grows with each run is cut here, where nobody else writes: each keeps what came last.
log={log}
if [ "$(stat -c %s "$log" 2>/dev/null || echo 0)" -gt {log_bytes} ]; then mv -f "$log" "$log.1"; fi
runs=/var/lib/mlops/history.jsonl
if [ "$(wc -l 2>/dev/null < "$runs" || echo 0)" -gt {most} ]; then
  tail -n $(({most} / 2)) "$runs" > "$runs.new" && mv -f "$runs.new" "$runs"
fi
echo "mine $(cat /var/lib/mlops/last_run 2>/dev/null)"
while read -r -t {lease} word rest; do
  [ "$word" = done ] || continue
  echo "$rest" >> /var/lib/mlops/history.jsonl
  echo {run_id} > /var/lib/mlops/last_run
  break
done
"""


@contextmanager
def held(
    host: Host, last_run: str, say: Callable[[str], None], *, record: bool = True
) -> Iterator[str]:
    """Hold the lock, and give who does; `last_run` is what the facts told when the plan was made.

    Without `record` the run is not noted on the server. Raises `LockError` when somebody else is
    at work, or was since the plan was made.
    """
    since = datetime.now(UTC).isoformat(timespec="seconds")
    who = f"{getpass.getuser()} from {socket.gethostname()} since {since}"
    script = SCRIPT.format(
        run=RUN_DIR, who=sh(who), lease=LEASE, wait=WAIT, run_id=sh(who),
        log=LOG, log_bytes=LOG_BYTES, most=MOST_RUNS,
    )  # fmt: skip
    with contextlib.closing(host.open(script)) as session:
        _get(session, last_run, say)
        stop = threading.Event()
        beats = threading.Thread(target=_beat, args=(session, stop), daemon=True)
        beats.start()
        try:
            yield who
            entry = json.dumps({"who": who, "ended": datetime.now(UTC).isoformat("T", "seconds")})
            if record:
                session.send(f"done {entry}\n")
            session.finish()
        finally:
            stop.set()


def _get(session: Session, last_run: str, say: Callable[[str], None]) -> None:
    for line in session.lines():
        word, _, rest = line.partition(" ")
        if word == "busy":
            say(f"waiting: {rest}")
        elif word == "held":
            raise LockError(
                f"somebody else is at work on the server: {rest}",
                fix="wait until that has ended, then run the same command again",
            )
        elif rest != last_run:
            raise LockError(
                "the server was changed since the plan was made",
                fix="run the same command again: it makes a new plan",
            )
        else:
            return
    raise LockError(
        "the lock on the server could not be taken",
        detail=session.finish().stderr,
        fix="see whether the server's disk is full, or mounted read-only",
    )


def _beat(session: Session, stop: threading.Event) -> None:
    with contextlib.suppress(MlopsError):
        while not stop.wait(BEAT):
            session.send("beat\n")
