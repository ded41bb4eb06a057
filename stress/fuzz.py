"""Raw HTTP against the real worker: does each request get one answer, and the right one?

Every conversation is said twice, with the same bytes in the same pieces: to gunicorn's gthread with
a bare application, and to the guard's worker with the same application behind the guard. Four in
ten requests ask for an answer within no time, so the guard is always refusing, in its accept loop
and in its middleware.

A conversation in which nothing was spoiled must get exactly one well-formed answer for each of
its requests, in order. Of a spoiled one only this is asked: the guard's server does what the plain
one does, but for refusals in the place of the application's answers.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from random import Random
from threading import Event, Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from stress import report
from stress.fuzz_grammar import talk
from stress.fuzz_judge import Ending, difference, early, fault, refused, responses
from stress.fuzz_shrink import shrunk
from stress.fuzz_wire import PATIENCE_S, say
from stress.report import Report, Verdict
from stress.response import BadResponseError
from stress.scrape import scrape
from stress.server import Server

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from stress.fuzz_grammar import Talk
    from stress.fuzz_judge import Heard
    from stress.response import Response

THREADS: Final = 12
TALKERS: Final = 4
QUIET_S: Final = 0.1
"""So long without a byte a spoiled conversation is taken to be over."""
RETRIES_QUIET_S: Final = (0.5, 2.0, 10.0)
"""The same, where something was wrong: on a busy machine a server may merely be slow."""
CONVERSATIONS_MIN: Final = 100
"""However slow the machine is."""
SHRINKS_MAX: Final = 500
"""Conversations that are tried to make a failing one smaller."""
SHRINK_S: Final = 60.0
"""How long that may take."""

_REFUSALS: Final = ("refused in the accept loop", "refused by the middleware")
_PLAIN: Final = (
    "--worker-class", "gthread", "--workers", "1", "--threads", str(THREADS),
    "--keep-alive", "5", "--no-control-socket", "stress.fuzz_app:plain()",
)  # fmt: skip
_GUARDED: Final = ("-c", "gunicorn_config.py", "stress.fuzz_app:guarded()")
_SIZES: Final = {
    "GUARD_DATABASE_URL": "",
    "GUARD_WORKERS": "1",
    "GUARD_THREADS": str(THREADS),
    "GUARD_READ_POOL_SIZE": "4",
    "GUARD_WRITE_POOL_SIZE": "4",
    "GUARD_READ_WAITERS": "1",
    "GUARD_WRITE_WAITERS": "1",
    "GUARD_LOG_LEVEL": "error",
}


class Servers(NamedTuple):
    """Who is talked to: gthread with the bare application, and the guard's worker."""

    plain: Server
    guarded: Server


class Finding(NamedTuple):
    """A conversation that went wrong.

    Attributes:
        number: which; with the seed it can be made again.
        said: the conversation.
        what: what was wrong.
    """

    number: int
    said: Talk
    what: str


@dataclass
class Found:
    """What all conversations gave.

    Attributes:
        whole: conversations in which nothing was spoiled.
        requests: requests in them.
        spoiled: the other conversations.
        answers: the guarded server's answers by kind.
        findings: what went wrong.
    """

    whole: int = 0
    requests: int = 0
    spoiled: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


def run(options: Namespace) -> int:
    """Talk for a while, print what was found, write the report; return 1 where a bar was missed.

    Args:
        options: ``seconds``, ``seed``, ``out``.
    """
    with (
        tempfile.TemporaryDirectory(prefix="guard-stress-") as folder,
        servers(Path(folder)) as two,
    ):
        before = two.guarded.workers(), _sockets(two.guarded)
        found = fuzz(two, options.seed, options.seconds)
        dead = _why_dead(two.guarded, *before)
        notes = [line for one in found.findings[:1] for line in _smallest(two, one)]
    told = Report(
        f"Raw HTTP, seed {options.seed}",
        verdicts=verdicts(found, dead),
        facts={
            "conversations": found.whole + found.spoiled,
            "answers of the guard's server": dict(sorted(found.answers.items())),
        },
        notes=notes,
    )
    print(told.text())
    report.write(told, {}, options.out, "fuzz")
    return 0 if told.met else 1


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """Start both servers; they end with the block.

    Args:
        folder: takes their logs.

    Raises:
        ServerError: one of them did not start.
    """
    gunicorn = ("-m", "gunicorn")
    with (
        Server(folder / "plain.log", {}, (*gunicorn, *_PLAIN), "/", watch_memory=False) as plain,
        Server(
            folder / "guarded.log", _SIZES, (*gunicorn, *_GUARDED), "/", watch_memory=False
        ) as guarded,
    ):
        yield Servers(plain, guarded)


def fuzz(two: Servers, seed: int, seconds: float) -> Found:
    """Hold conversations, several at a time, for so many seconds; return what they gave.

    It takes longer where there are not ``CONVERSATIONS_MIN`` by then.

    Raises:
        OSError: a server takes no connections any more.
    """
    found, lock, numbers = Found(), Lock(), count(1)
    until_s = monotonic() + seconds
    failures: list[BaseException] = []

    def go_on() -> None:
        try:
            while not failures:
                number = next(numbers)
                if monotonic() > until_s and number > CONVERSATIONS_MIN:
                    return
                said = talk(Random(f"{seed}:{number}"), f"t{number}")
                heard, what = converse(two, said)
                with lock:
                    _count(found, number, said, heard, what)
        except BaseException as error:  # noqa: BLE001 - raised below, in the caller's thread
            failures.append(error)

    talkers = [Thread(target=go_on) for _ in range(TALKERS)]
    for one in talkers:
        one.start()
    for one in talkers:
        one.join()
    if failures:
        raise failures[0]
    return found


def converse(two: Servers, said: Talk) -> tuple[Heard, str]:
    """Hold one conversation with both; return what the guard's server said and what was wrong.

    Raises:
        OSError: there was no connection to be had.
    """
    quiet_s = PATIENCE_S if said.well_formed else QUIET_S
    plain, guarded, what = _said(two, said, quiet_s)
    silent = Ending.SILENCE in {plain.ending, guarded.ending}
    for longer_s in RETRIES_QUIET_S if what and silent else ():
        plain, guarded, what = _said(two, said, longer_s)
        if not what:
            break
    return guarded, what


def _said(two: Servers, said: Talk, quiet_s: float) -> tuple[Heard, Heard, str]:
    plain, guarded = (say(one.target, said.pieces, quiet_s, in_turns=said.in_turns) for one in two)
    what = ""
    if said.well_formed:
        what = fault(said, guarded, guarded=True) or fault(said, plain, guarded=False)
    return plain, guarded, what or difference(plain, guarded, [item.method for item in said.items])


def _count(found: Found, number: int, said: Talk, heard: Heard, what: str) -> None:
    if what:
        found.findings.append(Finding(number, said, what))
    if said.well_formed:
        found.whole += 1
        found.requests += len(said.items)
    else:
        found.spoiled += 1
    with suppress(BadResponseError):
        found.answers.update(_kind(one) for one in responses(heard, [i.method for i in said.items]))


def _kind(answer: Response) -> str:
    if not refused(answer):
        return str(answer.status)
    return _REFUSALS[0] if early(answer) else _REFUSALS[1]


def verdicts(found: Found, dead: str) -> list[Verdict]:
    """Return the bars.

    Args:
        found: what the conversations gave.
        dead: what is wrong with the server after them; empty for nothing.
    """
    wrong = [one for one in found.findings if one.said.well_formed]
    unlike = [one for one in found.findings if not one.said.well_formed]
    return [
        Verdict(
            "each well-formed request gets one answer, the right one, in order",
            f"{found.requests} requests in {found.whole} conversations; {_told(wrong)}",
            met=found.requests > 0 and not wrong,
        ),
        Verdict(
            "spoiled conversations go as with plain gthread",
            f"{found.spoiled} conversations; {_told(unlike)}",
            met=found.spoiled > 0 and not unlike,
        ),
        Verdict(
            "the accept loop refused, and so did the middleware",
            ", ".join(f"{found.answers[kind]} {kind}" for kind in _REFUSALS),
            met=all(found.answers[kind] for kind in _REFUSALS),
        ),
        Verdict("the server lives, and holds nothing", dead or "it does", met=not dead),
    ]


def _told(findings: list[Finding]) -> str:
    if not findings:
        return "none went wrong"
    first = findings[0]
    return f"{len(findings)} went wrong, number {first.number}: {first.what}"


def _why_dead(server: Server, workers: list[int], sockets: int) -> str:
    """Return what keeps the server from being as before; a while is given to calm down."""
    tick, until_s = Event(), monotonic() + PATIENCE_S
    while True:
        if server.workers() != workers:
            return "its worker is another one"
        if troubles := server.troubles():
            return f"its log: {troubles[0]}"
        left, in_flight = _sockets(server) - sockets, scrape(server.admin).in_flight
        if left <= 0 and not in_flight:
            return ""
        if monotonic() > until_s:
            return f"{left} connections are left open, {in_flight} permits in flight"
        tick.wait(0.1)


def _sockets(server: Server) -> int:
    """Return how many sockets the workers have open."""
    found = 0
    for pid in server.workers():
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found += str(descriptor.readlink()).startswith("socket:")
    return found


def _smallest(two: Servers, finding: Finding) -> list[str]:
    """Return lines that tell the shortest bytes with which a finding can be seen again."""
    in_turns, until_s = finding.said.in_turns, monotonic() + SHRINK_S

    def fails(pieces: list[bytes]) -> bool:
        if monotonic() > until_s:
            return False
        plain, guarded = (
            say(one.target, pieces, RETRIES_QUIET_S[0], in_turns=in_turns) for one in two
        )
        return bool(difference(plain, guarded))

    pieces = shrunk(finding.said.pieces, fails, SHRINKS_MAX)
    how = "each piece after the answer to the last" if in_turns else "one piece after the other"
    first = f"conversation {finding.number}: {finding.what}; {how}:"
    return [first, *(f"  {piece!r}" for piece in pieces)]
