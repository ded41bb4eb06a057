"""Log lines for programs and for people."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.correlation import Correlation
from guard.export.structured import JsonFormatter, RequestContext, TextFormatter, formatter
from guard.request import CURRENT, RequestScope

NAMES = Correlation("abc", "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")


def written(form: logging.Formatter, message: str, *args: object, **options: Any) -> str:
    """Return what a handler with the form and the filter writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(form)
    handler.addFilter(RequestContext())
    logger = logging.getLogger("guard.test")
    logger.addHandler(handler)
    logger.warning(message, *args, **options)
    logger.removeHandler(handler)
    return stream.getvalue()


@pytest.fixture
def in_request() -> Any:
    scope = RequestScope(None, 0.0, 1.0)
    scope.correlation = NAMES
    token = CURRENT.set(scope)
    yield
    CURRENT.reset(token)


def test_a_line_is_one_object() -> None:
    line = written(
        JsonFormatter(), "shed %s", "much", extra={"guard_lane": "read", "guard_n": 3, "own": [1]}
    )
    assert line.count("\n") == 1
    found = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found.pop("time"))
    assert found.pop("pid") > 0
    assert found == {
        "level": "warning", "logger": "guard.test", "message": "shed much",
        "lane": "read", "n": 3, "own": [1],
    }  # fmt: skip


@pytest.mark.usefixtures("in_request")
def test_a_line_of_a_request_has_its_names() -> None:
    found = json.loads(written(JsonFormatter(), "x"))
    assert (found["request_id"], found["trace_id"], found["span_id"]) == NAMES[:3]
    text = written(TextFormatter(), "x")
    assert text.endswith(f"x request_id=abc trace_id={NAMES.trace_id} span_id={NAMES.span_id}\n")


def test_outside_a_request_there_are_none() -> None:
    assert "request_id" not in json.loads(written(JsonFormatter(), "x"))
    assert re.fullmatch(
        r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[\d+\] \[WARNING\] x\n",
        written(TextFormatter(), "x"),
    )


def test_a_traceback_stays_in_its_line() -> None:
    try:
        int("broken")
    except ValueError:
        line = written(JsonFormatter(), "x", exc_info=sys.exc_info())
    assert line.count("\n") == 1
    assert json.loads(line)["exception"].endswith("'broken'")


@given(st.text(), st.text())
def test_whatever_is_logged_is_one_line_of_json(message: str, value: str) -> None:
    line = written(JsonFormatter(), "%s", message, extra={"guard_value": value, "odd": object})
    assert line.count("\n") == 1
    found = json.loads(line)
    assert (found["message"], found["value"]) == (message, value)


def test_an_extra_takes_no_standard_fields_place() -> None:
    assert json.loads(written(JsonFormatter(), "x", extra={"guard_level": 9}))["level"] == "warning"


def test_the_setting_chooses_the_form() -> None:
    assert isinstance(formatter("json"), JsonFormatter)
    assert isinstance(formatter("text"), TextFormatter)
