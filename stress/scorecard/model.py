"""What a scorecard is made of: claims, the commands that prove them, and what came of those."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from stress.other_work import MOST_CORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stress.report import Verdict

NOISE: Final = 1.5
"""A figure is better or worse than the last one only beyond this factor, where none is stated."""


class Form(StrEnum):
    """Which of a command's two forms a figure comes from; the two are never compared."""

    SHORT = "short"
    LONG = "long"


class State(StrEnum):
    """What became of a claim, the worst first."""

    MISSED = "missed"
    VOID = "void"
    NOT_RUN = "not run"
    MET = "met"


@dataclass(frozen=True, slots=True)
class Command:
    """What proves claims; claims that name equal commands share one run.

    Attributes:
        long: what people repeat, behind ``python -m``.
        short: what the scorecard runs; empty where the long form is the only one.
        limit_s: how long the short form may take before it is ended, seconds.
        needs: programs without which the run would say nothing.
    """

    long: str
    short: str = ""
    limit_s: float = 180.0
    needs: tuple[str, ...] = ()

    def arguments(self, form: Form) -> str:
        """Return one of its forms; empty where there is none."""
        return self.short if form is Form.SHORT else self.long


@dataclass(frozen=True, slots=True)
class Claim:
    """One row.

    Attributes:
        name: by which results are stored, and the folder of its run.
        text: the claim, for users.
        command: what proves it.
        bar: what is asked, for users.
        shown: figures that are told even where all is well: a label, and how their bar begins.
        bars: which bars of the report belong to it, by how they begin; empty for all.
        beside: the report's facts that are told beside the figures, by name.
        noise: beyond which factor a figure is better or worse than the last one, > 1.
    """

    name: str
    text: str
    command: Command
    bar: str
    shown: tuple[tuple[str, str], ...] = ()
    bars: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    noise: float = NOISE

    def own(self, verdicts: Sequence[Verdict]) -> tuple[Verdict, ...]:
        """Return those of a report's verdicts that belong to it."""
        return tuple(one for one in verdicts if not self.bars or one.bar.startswith(self.bars))


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a result comes from.

    Attributes:
        date: of its run, ``YYYY-MM-DD``.
        commit: guard's; with ``+`` where files had been changed since.
        machine: one line.
    """

    date: str
    commit: str
    machine: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a claim.

    Attributes:
        claim: its name.
        form: of the command that was run.
        command: as it was run, behind ``python -m``.
        state: what became of it.
        origin: when, where and of which commit.
        why: why it is void or was not run; empty elsewhere.
        verdicts: its bars.
        beside: the facts that are told beside them.
        took_s: how long the command took, seconds.
        others_cores: processor time that anything else on the machine took meanwhile, in cores.
    """

    claim: str
    form: Form
    command: str
    state: State
    origin: Provenance
    why: str = ""
    verdicts: tuple[Verdict, ...] = ()
    beside: Mapping[str, str] = field(default_factory=dict)
    took_s: float = 0.0
    others_cores: float = 0.0

    @property
    def disturbed(self) -> bool:
        """Whether others took so much of the machine that its figures are doubtful."""
        return self.others_cores > MOST_CORES

    @property
    def has_figures(self) -> bool:
        """Whether its figures say anything."""
        return self.state in {State.MET, State.MISSED}

    @property
    def key(self) -> tuple[str, Form]:
        """By which a result takes an earlier one's place."""
        return self.claim, self.form


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The results of one run of the scorecard, or those that are kept.

    Attributes:
        machine: what it ran on, name and value.
        versions: of the programs and libraries.
        results: in the order of the claims.
    """

    machine: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    results: tuple[Result, ...] = ()

    def find(self, claim: str, form: Form) -> Result | None:
        """Return a result, or None where there is none."""
        return next((one for one in self.results if one.key == (claim, form)), None)

    def merged(self, newer: Scorecard, *, disturbed: bool = False) -> Scorecard:
        """Return it with new results in the place of earlier ones of the same claim and form.

        What says nothing replaces nothing.

        Args:
            newer: the new results, and what they ran on.
            disturbed: take doubtful figures too.
        """
        ran = {
            one.key: one
            for one in newer.results
            if one.has_figures and (disturbed or not one.disturbed)
        }
        kept = [ran.pop(one.key, one) for one in self.results]
        return Scorecard(newer.machine, newer.versions, (*kept, *ran.values()))
