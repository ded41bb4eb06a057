"""The backends under test; ``backend_cases.CASES`` is their registry."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from backend_cases import CASES, BackendCase, Heard, Options

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from guard.backends.base import Backend


@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.postgres] if name == "postgres" else [])
        for name in CASES
    ]
)
def backend_case(request: pytest.FixtureRequest) -> BackendCase:
    """Each backend in turn, on an empty database of the test's own."""
    return CASES[request.param](request)


@pytest.fixture
def heard() -> Heard:
    """What the backends of this test told."""
    return Heard()


@pytest.fixture
def opened(backend_case: BackendCase, heard: Heard) -> Iterator[Callable[[Options], Backend]]:
    """Makes open backends with the table of ``ITEMS``; all are closed afterwards."""
    made: list[Backend] = []

    def make(options: Options) -> Backend:
        backend = backend_case.make(heard, options)
        made.append(backend)
        backend.open(lambda session: session.execute(backend_case.create) and None)
        assert backend.wait_ready(20), backend.opening_error
        return backend

    yield make
    for backend in made:
        backend.close(5.0)


@pytest.fixture
def eventually() -> Callable[[Callable[[], object]], None]:
    """Waits until a condition holds, at most 20 s."""

    def wait(condition: Callable[[], object]) -> None:
        pause = threading.Event()
        end = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < end, "it never came true"
            pause.wait(0.002)

    return wait


@pytest.fixture
def backend(opened: Callable[[Options], Backend]) -> Backend:
    """One open backend with two connections per lane."""
    return opened(Options())
