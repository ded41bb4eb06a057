"""Numbers out of bars, and what has changed between two of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scorecards import FAST, SLOW, WHOLE, claim, result

from stress.report import Verdict
from stress.scorecard.figures import Figure, read
from stress.scorecard.model import Provenance, State
from stress.scorecard.trend import FLOOR, Word, change, trend

ROUNDS = "min 0.82, median 1.13, max 1.33 in 9 rounds"


@pytest.mark.parametrize(
    ("bar", "reached", "figure"),
    [
        ("p95 < 100 ms", "7.5 ms", Figure(0.0075, 0.1, more=False)),
        ("5x: p99 of the admitted < 500 ms", "9.8 s", Figure(9.8, 0.5, more=False)),
        ("2x: goodput >= 90% of capacity", "110.4%", Figure(1.104, 0.9, more=True)),
        ("throughput with / without >= 0.95", ROUNDS, Figure(1.13, 0.95, more=True)),
        ("a handler's requests, 0.5 ms / 5 ms >= 0.9", ROUNDS, Figure(1.13, 0.9, more=True)),
        ("95% of the goodput back within 3 s", "1.90 s", Figure(1.9, 3.0, more=False)),
        ("2x, new: admitted p99 < 3x its unloaded", "2.4x", Figure(2.4, 3.0, more=False)),
        ("metrics per request, us < 20", "3.71", Figure(3.71, 20.0, more=False)),
        ("steady: gain >= -3%", "+1.5%", Figure(0.015, -0.03, more=True)),
        ("book: peak <= 1.2 x capacity", "0.92", Figure(0.92, 1.2, more=False)),
        ("rows >= 10,000", "18,730 rows", Figure(18730.0, 10000.0, more=True)),
        ("success >= 95% (kept)", "99.0% (200 of 202 in time)", Figure(0.99, 0.95, more=True)),
    ],
)
def test_a_bar_with_a_number_has_a_figure(bar: str, reached: str, figure: Figure) -> None:
    found = read(Verdict(bar, reached, met=True))
    assert found is not None
    assert found == pytest.approx(figure)


@pytest.mark.parametrize(
    ("bar", "reached"),
    [
        ("no 5xx", "0"),
        ("refusals p50 < 2 ms, p99 < 20 ms", "0.4 ms and 57 ms"),
        ("shadow mode's share within 10% of enforce's", "31% foretold, 49% shed"),
        ("answered + shed <= counted <= sent, but for 3 kills", "5 + 2 <= 7 <= 9"),
        ("p99 < 20 ms", "nan ms"),
        ("95% of the goodput back within 3 s", "never"),
        ("p99 < 20 ms", "50%"),
        ("sent on time", "yes"),
    ],
)
def test_others_have_none(bar: str, reached: str) -> None:
    assert read(Verdict(bar, reached, met=True)) is None


def fast(value: float) -> Verdict:
    return Verdict("p99 < 100 ms", f"{value:.3f} ms", met=value < 100)


def many(value: float) -> Verdict:
    return Verdict("goodput >= 90%", f"{value:.3f}%", met=value >= 90)


@pytest.mark.parametrize(
    ("now", "before", "word"),
    [
        (fast(31), fast(20), Word.WORSE),
        (fast(29), fast(20), Word.SAME),
        (fast(20), fast(31), Word.BETTER),
        (many(60), many(100), Word.WORSE),
        (many(100), many(60), Word.BETTER),
        (many(80), many(100), Word.SAME),
        # Tenfold, and yet nothing beside the bar.
        (fast(4), fast(0.4), Word.SAME),
        (fast(0), fast(40), Word.BETTER),
        (many(50), many(0), Word.BETTER),
        (WHOLE, WHOLE, Word.SAME),
        (Verdict(WHOLE.bar, "4 of 5", met=False), WHOLE, Word.WORSE),
        (WHOLE, Verdict(WHOLE.bar, "4 of 5", met=False), Word.BETTER),
        (Verdict(FAST.bar, "nan ms", met=False), FAST, Word.WORSE),
    ],
)
def test_a_figure_has_changed_only_beyond_the_noise(
    now: Verdict, before: Verdict, word: Word
) -> None:
    assert change(now, before, 1.5).word is word


VALUES = st.floats(0, 1000).map(lambda value: round(value, 3))
MAKERS = st.sampled_from([fast, many])


@given(VALUES, VALUES, MAKERS, st.floats(1.01, 3.0))
def test_what_is_better_one_way_is_worse_the_other(one, other, maker, noise):
    turned = {Word.BETTER: Word.WORSE, Word.WORSE: Word.BETTER, Word.SAME: Word.SAME}
    there, back = (change(maker(a), maker(b), noise) for a, b in ((one, other), (other, one)))
    assert back.word is turned[there.word]


@given(VALUES, VALUES, MAKERS)
def test_within_the_factor_or_the_floor_nothing_changes(one, other, maker):
    limit = 100 if maker is fast else 90
    near = abs(one - other) <= FLOOR * limit * 0.999
    factor = max(one, other) / min(one, other) if min(one, other) else float("inf")
    same = change(maker(one), maker(other), 1.5).word is Word.SAME
    if near or factor < 1.499:
        assert same
    if not near and abs(one - other) > FLOOR * limit * 1.001 and factor > 1.501:
        assert not same


def test_the_worst_of_a_claims_bars_is_its_word() -> None:
    before = result(fast(20), many(60))
    found = trend(claim(), result(fast(90), many(100)), before)
    assert found.word is Word.WORSE
    assert [one.word for one in found.changes.values()] == [Word.WORSE, Word.BETTER]
    assert found.changes["p99 < 100 ms"].ratio == pytest.approx(4.5)
    assert trend(claim(noise=5.0), result(fast(90)), before).word is Word.SAME


def test_another_machine_is_a_caution() -> None:
    elsewhere = result(FAST, origin=Provenance("2026-01-01", "def", "64 cores"))
    assert trend(claim(), result(FAST), elsewhere).caution == "another machine"
    assert not trend(claim(), result(FAST), result(FAST)).caution


def test_so_is_what_others_did_meanwhile() -> None:
    quiet, busy = result(FAST), result(FAST, others_cores=1.0)
    assert trend(claim(), busy, quiet).caution == "disturbed by others"
    assert trend(claim(), quiet, busy).caution == "the last one was disturbed by others"


@pytest.mark.parametrize(
    ("now", "before", "why"),
    [
        (result(FAST), None, "the first run"),
        (result(FAST), result(FAST, command="stress other"), "the last run was python -m stress"),
        (result(state=State.VOID), result(FAST), "now void"),
        (result(FAST), result(state=State.NOT_RUN), "the last run: not run"),
    ],
)
def test_what_can_not_be_compared(now, before, why):
    found = trend(claim(), now, before)
    assert found.word is Word.NONE
    assert found.why.startswith(why)


def test_bars_that_only_one_of_them_has_are_left_out() -> None:
    found = trend(claim(), result(SLOW), result(WHOLE))
    assert (found.word, found.changes) == (Word.NONE, {})
