from collections import Counter
from dataclasses import replace

import pytest

from stress.arrivals import COUNT, CREATE, LOOK_UP
from stress.cache import Case, Findings, verdicts
from stress.hot_load import hot_users
from stress.options import parser
from stress.payloads import count
from stress.result import Run, Sample, summarise

WARRIORS = [{"id": str(number)} for number in range(50)]


def test_few_warriors_get_most_of_the_look_ups():
    found = hot_users(WARRIORS, 1000.0, 2.0, 1)
    assert found == hot_users(WARRIORS, 1000.0, 2.0, 1)
    kinds = Counter(user.request.kind for user in found)
    assert kinds[LOOK_UP] > kinds[COUNT] > kinds[CREATE] > 0
    targets = Counter(user.request.target for user in found if user.request.kind == LOOK_UP)
    assert targets["/warrior/0"] > 10 * targets["/warrior/49"]
    assert [found[0].due_s, found[-1].due_s] == [0.0005, 1.9995]


@pytest.mark.parametrize(
    ("body", "right"), [(b'{"count": 3}', True), (b'{"count": "3"}', False), (b"[]", False)]
)
def test_a_count_is_a_number(body, right):
    assert count().is_right(200, "", body) is right


def case(good, *, failed=0, wrong=0):
    sample = Sample(LOOK_UP, 0.0, 0.0, 0.1, 200, 200, right=True)
    samples = [sample] * good + [replace(sample, right=False)] * wrong
    samples += [replace(sample, status=0, right=False, failure="closed")] * failed
    run = Run(samples, len(samples), len(samples), 1.0)
    return Case(run, summarise(run), {"hit": 3.0, "miss": 1.0}, [])


def missed(**cases):
    found = {"no cache": case(100), "memory": case(300), "redis": case(300)}
    found["redis killed in the middle"] = case(100)
    names = {"killed": "redis killed in the middle"}
    found.update({names.get(name, name): value for name, value in cases.items()})
    return [one.bar for one in verdicts(Findings(50.0, 100.0, found)) if not one.met]


def test_the_bars():
    assert missed() == []
    assert case(1).kept_ratio == 0.75
    assert missed(memory=case(150)) == ["memory: goodput >= 2x that without a cache"]
    for bad in (case(300, failed=1), case(300, wrong=1)):
        assert missed(redis=bad) == ["redis: no failure, no error, every answer right"]
    assert missed(killed=case(80)) == [
        "redis killed in the middle: goodput >= 0.9x that without a cache"
    ]


def test_the_command_line_has_its_defaults():
    options = parser().parse_args(["cache"])
    assert (options.far, options.seconds, options.seed) == (40.0, 10.0, 1)
