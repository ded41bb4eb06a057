"""The scenarios of the stress lab, one module each; the name has hyphens for its underscores."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stress.lab.description import Scenario

NAMES: Final = (
    "incident",
    "full-load",
    "benchmark",
    "spike",
    "step",
    "slow-ramp",
    "retry-storm",
    "slow-query",
    "lock-convoy",
    "checkpoint-stall",
    "flood",
    "slow-clients",
    "large-bodies",
    "cold-start",
    "rolling-reload",
    "scale-out",
    "million-rows",
    "museum",
)
"""Every scenario, in the order in which they are listed."""


def find(name: str) -> Scenario:
    """Return a scenario.

    Args:
        name: one of ``NAMES``.
    """
    module = import_module(f"{__name__}.{name.replace('-', '_')}")
    scenario: Scenario = module.SCENARIO
    return scenario
