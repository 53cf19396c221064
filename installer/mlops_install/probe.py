"""Asking the server: all questions in one round trip, each answer with its exit code."""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mlops_install import entries, sql, units
from mlops_install.answer import ABSENT, Answer, understood
from mlops_install.entries import At
from mlops_install.errors import HostError
from mlops_install.host import Host
from mlops_install.resource import AnyResource
from mlops_install.sql import Query
from mlops_install.units import Units

GROUPS = 4


@dataclass(frozen=True)
class Kind:
    """Questions that are asked by one script for the whole plan. Both work in their order."""

    of: type
    script: Callable[[Any], str]
    answers: Callable[[Any, Answer], Iterable[Answer]]


TOGETHER = (
    Kind(At, entries.script, entries.answers),
    Kind(Units, units.script, units.answers),
    Kind(Query, sql.script, sql.answers),
)


def states(host: Host, resources: Sequence[AnyResource]) -> list[Answer]:
    """What the probes answer, in one round trip and in the same order."""
    questions = [resource.probe() for resource in resources]
    asked = {kind: [q for q in questions if isinstance(q, kind.of)] for kind in TOGETHER}
    together = [kind.script(found) for kind, found in asked.items()]
    replies = iter(ask(host, [*together, *(q for q in questions if isinstance(q, str))]))
    answers = {kind.of: _each(kind, found, next(replies)) for kind, found in asked.items()}
    answers[str] = replies
    return [next(answers[type(question)]) for question in questions]


def _each(kind: Kind, questions: Sequence[Any], reply: Answer) -> Iterator[Answer]:
    with understood(f"all {kind.of.__name__} questions", reply.text):
        return iter(list(kind.answers(questions, reply)))


def script(resource: AnyResource) -> str:
    """The probe of one resource as shell text."""
    question = resource.probe()
    return question if isinstance(question, str) else question.shell()


def ask(host: Host, scripts: Sequence[str]) -> list[Answer]:
    """Run the read-only scripts in one round trip; the answers come in the same order."""
    if not scripts:
        return []
    token = secrets.token_hex(8)
    result = host.run(_batch(scripts, token))
    with understood("what was asked", result.stdout):
        found = dict(_frames(result.stdout, token))
    if found.keys() != set(range(len(scripts))):
        raise HostError(
            f"the server answered {len(found)} of {len(scripts)} questions",
            detail=result.stderr[-2000:],
            fix="see whether /tmp on the server is full, then run the same command again",
        )
    return [found[number] for number in range(len(scripts))]


def _batch(scripts: Sequence[str], token: str) -> str:
    """One script of all; it asks in a few groups at a time, since most probes wait for a fork."""
    numbered = list(enumerate(scripts))
    number = min(GROUPS, len(scripts))
    groups = [_group(numbered[first::number], token, first) for first in range(number)]
    start = "\n".join(f"(\n{group}\n) > $D/{n} &" for n, group in enumerate(groups))
    return f"D=$(mktemp -d); trap 'rm -rf $D' EXIT\n{start}\nwait\ncat $D/[0-9]"


def _group(numbered: Sequence[tuple[int, str]], token: str, group: int) -> str:
    return "\n".join(
        f"(\n{script}\n) 2>$D/e{group} </dev/null; rc=$?\n"
        f"printf '\\n{token} {number} %d\\n' $rc; [ $rc = 0 ] || tail -c 2000 $D/e{group}\n"
        f"printf '\\n{token}\\n'"
        for number, script in numbered
    )


def _frames(output: str, token: str) -> Iterator[tuple[int, Answer]]:
    parts = f"\n{output}".split(f"\n{token}")
    for text, ended in zip(parts[0::2], parts[1::2], strict=False):
        head, _, error = ended.strip().partition("\n")
        number, code = head.split()
        yield int(number), Answer(text.removeprefix("\n"), int(code), error.strip())


def read(resource: AnyResource, answer: Answer) -> object:
    """The state that an answer tells; None for absent."""
    if answer.code == ABSENT:
        return None
    if answer.code != 0:
        raise HostError(
            f"cannot find out the state of {resource.name} (exit code {answer.code})",
            detail=answer.error,
            fix="the lines above are the server's; correct that, then run the same command again",
        )
    with understood(resource.name, answer.text):
        return resource.parse(answer.text)
