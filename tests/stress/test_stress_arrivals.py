from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stress.arrivals import (
    CREATE,
    INCIDENT,
    MIX,
    NO_TERM,
    SEARCH,
    Stage,
    constant,
    due_times,
    length_s,
    schedule,
)

_RATES = st.floats(0, 200)
_STAGES = st.lists(st.builds(Stage, st.floats(0, 5), _RATES, _RATES), max_size=4)


def test_the_incident_has_exactly_its_arrivals() -> None:
    counts = {kind: len(due_times(stages)) for kind, stages in INCIDENT.items()}

    assert counts == {CREATE: 2480, SEARCH: 2185, NO_TERM: 1460}
    assert sum(counts.values()) == 6125
    assert length_s(INCIDENT) == 70


@pytest.mark.parametrize(
    ("kind", "from_s", "to_s", "count"),
    [
        (CREATE, 0, 10, 20),
        (CREATE, 10, 25, 75),
        (CREATE, 25, 70, 2385),
        (SEARCH, 0, 25, 250),
        (SEARCH, 25, 70, 1935),
        (NO_TERM, 0, 25, 200),
        (NO_TERM, 25, 70, 1260),
    ],
)
def test_each_stage_of_the_incident_has_its_share(
    kind: str, from_s: float, to_s: float, count: int
) -> None:
    assert sum(from_s <= due < to_s for due in due_times(INCIDENT[kind])) == count


def test_a_constant_rate_is_evenly_spaced() -> None:
    assert due_times([Stage(1, 4, 4)]) == pytest.approx([0.125, 0.375, 0.625, 0.875])


def test_a_ramp_gets_denser() -> None:
    times = due_times([Stage(2, 0, 100)])

    assert len(times) == 100
    assert sum(due < 1 for due in times) == 25


def test_the_time_scale_shortens_stages_and_keeps_rates() -> None:
    assert len(schedule(INCIDENT, 0.2)) == pytest.approx(6125 / 5, abs=3)
    assert length_s(INCIDENT, 0.2) == pytest.approx(14)
    last_second = [due for due in due_times(INCIDENT[CREATE], 0.2) if due >= 13.5]
    assert len(last_second) == pytest.approx(47, abs=2)


def test_the_mix_is_the_incidents_peak() -> None:
    assert sum(MIX.values()) == pytest.approx(1)
    assert len(schedule(constant(230, 2))) == 460


@given(_STAGES, st.floats(0.1, 3))
def test_arrivals_are_in_order_within_the_plan_and_complete(
    stages: list[Stage], scale: float
) -> None:
    times = due_times(stages, scale)

    assert times == sorted(times)
    assert all(0 <= due <= scale * sum(stage.seconds for stage in stages) + 1e-6 for due in times)
    exact = scale * sum(stage.arrivals for stage in stages)
    assert abs(len(times) - exact) <= 0.5 + 1e-6


@given(st.dictionaries(st.sampled_from([CREATE, SEARCH]), _STAGES))
def test_a_schedule_merges_all_kinds_by_due_time(plan: dict[str, list[Stage]]) -> None:
    merged = schedule(plan)

    assert [one.due_s for one in merged] == sorted(one.due_s for one in merged)
    assert len(merged) == sum(len(due_times(stages)) for stages in plan.values())


@pytest.mark.parametrize("stage", [Stage(-1, 1, 1), Stage(1, -1, 1), Stage(1, 1, -1)])
def test_a_negative_stage_is_refused(stage: Stage) -> None:
    with pytest.raises(ValueError, match="negative"):
        due_times([stage])


@pytest.mark.parametrize("scale", [0, -1])
def test_a_scale_that_is_not_positive_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        due_times([Stage(1, 1, 1)], scale)
