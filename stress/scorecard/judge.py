"""What a command's end and its reports say about a claim. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stress.report import Verdict
from stress.scorecard.model import Form, Result, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stress.scorecard.model import Claim, Provenance

_JUDGED: Final = (0, 1)
"""The status of a command that came to a verdict, whatever it was."""


class Ended(NamedTuple):
    """What came of a command.

    Attributes:
        status: its exit status; None where it was not run, or was ended.
        why: why it was not run or was ended, or its last line.
        reports: the documents that it wrote and that have verdicts.
        took_s: seconds.
        others_cores: processor time that anything else took meanwhile, in cores.
        overdue: it was ended because it took too long.
    """

    status: int | None
    why: str = ""
    reports: Sequence[dict[str, Any]] = ()
    took_s: float = 0.0
    others_cores: float = 0.0
    overdue: bool = False


def judge(claim: Claim, form: Form, ended: Ended, origin: Provenance) -> Result:
    """Return what a command's end says about a claim.

    A command that was ended has no figures, whatever it wrote: they would be of another run
    than the claim names.
    """
    verdicts = claim.own([_verdict(one) for doc in ended.reports for one in doc["verdicts"]])
    state, why = _state(ended, verdicts)
    told = verdicts if state is not State.NOT_RUN and not ended.overdue else ()
    facts = {
        name: str(fact) for doc in ended.reports for name, fact in doc.get("facts", {}).items()
    }
    return Result(
        claim.name,
        form,
        claim.command.arguments(form),
        state,
        origin,
        why,
        told,
        {name: facts[name] for name in claim.beside if told and name in facts},
        ended.took_s,
        ended.others_cores,
    )


def _state(ended: Ended, verdicts: Sequence[Verdict]) -> tuple[State, str]:
    if ended.overdue:
        return State.VOID, ended.why
    if ended.status is None:
        return State.NOT_RUN, ended.why
    if ended.status not in _JUDGED or not ended.reports:
        return State.NOT_RUN, f"it ended with status {ended.status}: {ended.why}"
    if not verdicts:
        return State.NOT_RUN, "its report has no bar of this claim"
    voids = [one for one in verdicts if one.void]
    if voids:
        return State.VOID, "; ".join(f"{one.bar}: {one.reached}" for one in voids)
    return (State.MET if all(one.met for one in verdicts) else State.MISSED), ""


def _verdict(found: dict[str, Any]) -> Verdict:
    return Verdict(
        str(found["bar"]), str(found["reached"]), bool(found["met"]), bool(found.get("void"))
    )
