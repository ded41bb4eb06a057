"""The table of claims: one entry per row of the scorecard, and of the README's table.

A new one needs nothing else: its command must write its bars to ``--out`` by ``report.write``.
"""

from __future__ import annotations

from typing import Final

from stress.scorecard.claims.drills import DRILLS
from stress.scorecard.claims.loads import LOADS
from stress.scorecard.claims.rules import RULES

CLAIMS: Final = (*LOADS, *RULES, *DRILLS)
"""In the order in which they are run and told."""
