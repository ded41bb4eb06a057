import json

import pytest

from stress.jobs import Course, verdicts
from stress.options import parser
from stress.response import Response
from stress.shots import Outcome, Shot, Volley
from stress.verify import Verdict

SHOT = Shot(0.0, b"")


def answered(status):
    response = Response(status, b"", json.dumps({"id": "x"}).encode(), reusable=False)
    return Outcome(SHOT, 0.0, 0.01, response)


FAILED = Outcome(SHOT, 0.0, 0.01, None, "ECONNRESET")
OUTCOMES = [answered(201), answered(202), answered(503), FAILED]
GOOD = Course(
    Volley(OUTCOMES, 4, 4, 0.0, 1.0, interrupted=False), [], 1, 0, Verdict(2, 0, 0, 0, 2), 1.0
)


def missed(course):
    return [place for place, one in enumerate(verdicts(course)) if not one.met]


def test_what_adds_up_meets_every_bar():
    assert missed(GOOD) == []


@pytest.mark.parametrize(
    ("change", "places"),
    [
        ({"volley": GOOD.volley._replace(sent=5)}, [0]),
        ({"volley": GOOD.volley._replace(outcomes=[*OUTCOMES, answered(500)], sent=5)}, [0]),
        ({"volley": GOOD.volley._replace(outcomes=[answered(201)] * 4)}, [1, 2]),
        ({"left": 0}, [3]),
        ({"unfinished": 1}, [4]),
        ({"kept": GOOD.kept._replace(missing=1)}, [5]),
        ({"kept": GOOD.kept._replace(repeated=1)}, [5]),
    ],
)
def test_each_bar_can_be_missed(change, places):
    assert missed(GOOD._replace(**change)) == places


def test_the_command_line_has_its_defaults():
    options = parser().parse_args(["jobs"])
    assert (options.queue, options.rate, options.seconds) == ("redis", 600.0, 16.0)
