"""The settings: one frozen table, read from a file, the environment and code, checked at once."""

from guard.settings.load import Loaded, Source, load
from guard.settings.model import Settings

__all__ = ["Loaded", "Settings", "Source", "load"]
