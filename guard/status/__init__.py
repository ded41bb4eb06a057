"""What an operator wants to know: the last 15 minutes, a verdict, refusals, events, what-ifs."""

from guard.status.keeper import Keeper

__all__ = ["Keeper"]
