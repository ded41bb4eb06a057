from __future__ import annotations

import json
import math
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.arrivals import CREATE, KINDS, NO_TERM, SEARCH
from stress.incident import verdicts
from stress.ratios import ratios
from stress.report import Report, Verdict, plot, to_html, to_json, write
from stress.result import Run, Sample, percentile, percentiles, server_errors, summarise
from stress.verify import Acknowledged, compare
from stress.verify import Verdict as Kept


def _sample(**changes: object) -> Sample:
    values = {
        "kind": SEARCH,
        "due_s": 0.0,
        "lag_s": 0.0,
        "latency_s": 0.01,
        "expected": 200,
        "status": 200,
        "right": True,
    }
    return Sample(**{**values, **changes})  # type: ignore[arg-type]


_SHED = _sample(status=503, right=False, reason="pool_saturated")
_FAILED = _sample(status=0, right=False, failure="time-out", latency_s=10.0)
_SAMPLES = st.lists(
    st.builds(
        _sample,
        kind=st.sampled_from(KINDS),
        latency_s=st.floats(0, 10),
        right=st.booleans(),
    )
    | st.just(_SHED)
    | st.just(_FAILED),
    min_size=1,
)


@given(_SAMPLES)
def test_what_was_sent_is_answered_shed_or_failed(samples: list[Sample]) -> None:
    summary = summarise(Run(samples, len(samples), len(samples), 1.0))

    assert not summary.void
    for one in (summary.total, *summary.kinds.values()):
        assert one.sent == one.answered + one.shed + one.failed
        assert sum(one.statuses.values()) == one.answered + one.shed
    assert summary.total.sent == sum(one.sent for one in summary.kinds.values()) == len(samples)


def test_a_request_that_never_ended_voids_the_run() -> None:
    assert "2 requests were sent, 1 ended" in summarise(Run([_sample()], 2, 2, 1.0)).void


def test_a_late_generator_voids_the_run() -> None:
    late = [_sample(lag_s=0.2)] * 2 + [_sample()] * 98

    assert "late" in summarise(Run(late, 100, 100, 1.0)).void
    assert not summarise(Run(late[1:], 99, 99, 1.0)).void.startswith("99 requests")


def test_an_empty_run_is_void() -> None:
    assert summarise(Run([], 0, 0, 1.0)).void == "nothing was sent"


def test_goodput_counts_right_answers_in_time_that_need_the_database() -> None:
    samples = [
        _sample(latency_s=1.0),
        _sample(latency_s=1.01),
        _sample(right=False),
        _sample(kind=NO_TERM, expected=400, status=400),
        _SHED,
        _FAILED,
    ]
    summary = summarise(Run(samples, 6, 6, 2.0))

    assert summary.goodput_per_s == 0.5
    assert summary.good_share == 1 / 5
    assert summary.offered_per_s == 2.5


def test_goodput_does_not_profit_from_answers_after_the_schedules_end() -> None:
    samples = [_sample(due_s=1.0, latency_s=1.0)] * 10

    assert summarise(Run(samples, 10, 10, 1.0)).goodput_per_s == 5


def test_unexpected_statuses_and_reasons_are_counted() -> None:
    total = summarise(Run([_SHED, _FAILED, _sample(status=500)], 3, 3, 1.0)).total

    assert total.wrong_status == {500: 1, 503: 1}
    assert total.reasons == {"pool_saturated": 1}
    assert total.failures == {"time-out": 1}
    assert server_errors(total) == 2


def test_percentiles_are_values_that_occurred() -> None:
    found = percentiles([n / 1000 for n in range(1, 101)])

    assert (found.count, found.p50, found.p95, found.p99, found.max) == (100, 50, 95, 99, 100)
    assert math.isnan(percentile([], 0.5))


def _report() -> tuple[Report, Run]:
    samples = [
        _sample(),
        _sample(kind=CREATE, due_s=1.5, status=201, expected=201),
        _SHED,
        _FAILED,
    ]
    run = Run(samples, 4, 4, 2.0, interrupted=True)
    bars = [Verdict("p99 < 1 ms", "2 ms", met=False), Verdict("<bar>", "yes", met=True)]
    return Report("A run & more", {"one": summarise(run)}, bars, {"fact": 1}, ["a note"]), run


def test_the_text_names_every_figure_and_bar() -> None:
    report, _run = _report()
    text = report.text()

    assert "sent 4 = answered 2 + shed 1 + failed 1" in text
    assert "interrupted" in text
    assert "MISS  p99 < 1 ms: 2 ms" in text
    assert "pass  <bar>: yes" in text
    assert "pool_saturated:1" in text
    assert not report.met


def test_the_files_are_well_formed_and_load_nothing(tmp_path: object) -> None:
    report, run = _report()
    as_json, page = write(report, {"one": run}, tmp_path / "new", "name")  # type: ignore[operator]

    found = json.loads(as_json.read_text())
    assert found["met"] is False
    assert found["summaries"]["one"]["kinds"]["search"]["shed"] == 1
    text = page.read_text()
    assert text.startswith("<!DOCTYPE html>")
    assert "&lt;bar&gt;" in text
    assert "<script" not in text
    assert "<link" not in text


def test_a_plot_is_an_svg_element() -> None:
    _, run = _report()

    assert ET.fromstring(plot(run)).tag.endswith("svg")  # noqa: S314 - our own text


def test_a_run_without_samples_has_a_page_and_strict_json() -> None:
    empty = Run([], 0, 0, 1.0)
    report = Report("empty", {"one": summarise(empty)})

    assert "<svg" not in to_html(report, {"one": empty})
    assert json.loads(to_json(report), parse_constant=pytest.fail)["met"] is True


def test_the_incidents_bars_hold_only_for_a_perfect_run() -> None:
    kept = Kept(1, 0, 0, 0, 1)
    good = Run([_sample()], 1, 1, 1.0)
    bad = Run([_SHED, _FAILED], 2, 2, 1.0)

    assert all(one.met for one in verdicts(good, summarise(good), kept, []))
    missed = verdicts(bad, summarise(bad), Kept(1, 1, 0, 0, 0), ["WORKER TIMEOUT"])
    assert [one.met for one in missed] == [True, *[False] * 7]


def test_stored_warriors_are_compared_by_id_and_content() -> None:
    class _Date:
        def isoformat(self) -> str:
            return "1980-01-02"

    fields = {"name": "Bo", "dob": "1980-01-02", "fight_skills": ["Judo"]}
    promised = [Acknowledged(key, fields) for key in ("a", "b", "c", "d", "d")]
    stored = [
        ("a", "Bo", _Date(), ("Judo",)),
        ("b", "Bob", _Date(), ("Judo",)),
        ("d", "Bo", _Date(), ("Judo",)),
        ("e", "Bo", _Date(), ("Judo",)),
    ]
    verdict = compare(promised, stored)

    assert verdict == Kept(acknowledged=5, missing=1, repeated=1, different=1, stored=4)
    assert not verdict.good
    assert compare(promised[:1], stored).good


def test_ratios_go_round_by_round() -> None:
    found = ratios([10, 30, 8], [10, 10, 10])

    assert found.values == (1, 3, 0.8)
    assert found.text() == "min 0.80, median 1.00, max 3.00 in 3 rounds"
    assert found.verdict("x", 0.95).met
    assert not found.verdict("x", 1.1).met
    with pytest.raises(ValueError, match="no round"):
        ratios([], [])
