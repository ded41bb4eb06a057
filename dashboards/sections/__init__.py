"""The one table of panels, a module per question."""

from __future__ import annotations

from typing import Final

from dashboards.sections.clients import CLIENTS
from dashboards.sections.database import DATABASE
from dashboards.sections.measuring import MEASURING
from dashboards.sections.saturation import SATURATION
from dashboards.sections.shedding import SHEDDING
from dashboards.sections.waiting import WAITING

SECTIONS: Final = (SATURATION, SHEDDING, WAITING, DATABASE, CLIENTS, MEASURING)
"""Every section, in the order of the page."""
