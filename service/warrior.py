"""What a warrior is, and the text by which it is found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

SEPARATOR = "X"
"""Stands between the fields of a search text. Case folding leaves no ASCII capital in any text,
so no folded term contains one and no term matches across two fields."""


@dataclass(frozen=True, slots=True)
class NewWarrior:
    """A warrior as a client describes it, checked.

    Attributes:
        name: 1 to 100 characters.
        dob: date of birth.
        fight_skills: 1 to 20 skills of 1 to 250 characters, in the client's order.
    """

    name: str
    dob: date
    fight_skills: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Warrior(NewWarrior):
    """A stored warrior.

    Attributes:
        id: its key, made by the service.
    """

    id: UUID

    def as_json(self) -> dict[str, object]:
        """Return the representation that clients get."""
        return {
            "id": str(self.id),
            "name": self.name,
            "dob": self.dob.isoformat(),
            "fight_skills": list(self.fight_skills),
        }


def fold(text: str) -> str:
    """Return ``text`` without differences of case.

    Full case folding, one character at a time: unlike ``lower`` it has no special case for the
    end of a word, so a part of a text always folds to a part of the folded text. It is done
    here and not in the databases, whose rules differ by locale and version.
    """
    return text.casefold()


def search_text(name: str, dob: date, fight_skills: Sequence[str]) -> str:
    """Return the text that contains each folded term by which a warrior is found."""
    return SEPARATOR.join(fold(field) for field in (name, dob.isoformat(), *fight_skills))
