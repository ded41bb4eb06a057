"""A real Chromium for the page's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from programs import missing

from stress.chromium import Browser, NoChromium, chromium

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser; where there is none the tests are skipped, but fail with ``CI=true``."""
    try:
        with chromium() as found:
            yield found
    except NoChromium as error:
        missing(str(error))
