"""Scorecards as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from guard.errors import GuardError
from stress.report import Verdict, strict_json
from stress.scorecard.model import Form, Provenance, Result, Scorecard, State

if TYPE_CHECKING:
    from pathlib import Path

FORMAT: Final = 1


class Unreadable(GuardError):  # noqa: N818 - says what happened
    """A file is no scorecard."""


def dump(card: Scorecard, **more: object) -> str:
    """Return a scorecard as JSON, with more that ``load`` passes over."""
    return strict_json({"format": FORMAT, **more, **asdict(card)}) + "\n"


def load(path: Path) -> Scorecard:
    """Read a scorecard; an empty one where there is no file.

    Raises:
        Unreadable: it is no scorecard, or one of another format.
    """
    if not path.exists():
        return Scorecard()
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise Unreadable(f"{path} has format {found['format']}, not {FORMAT}")
        results = tuple(_result(one) for one in found["results"])
        return Scorecard(found["machine"], found["versions"], results)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise Unreadable(f"{path} is no scorecard: {what}") from error


def _result(found: dict[str, Any]) -> Result:
    return Result(
        **{
            **found,
            "form": Form(found["form"]),
            "state": State(found["state"]),
            "origin": Provenance(**found["origin"]),
            "verdicts": tuple(Verdict(**one) for one in found["verdicts"]),
        }
    )
