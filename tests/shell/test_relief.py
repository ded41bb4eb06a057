"""What may be better than a refusal, at the early gates."""

import pytest
from test_middleware import World, hello

from guard.core.vocabulary import Lane, Mode, Reason
from guard.problem import Response
from guard.relief import Relief
from guard.request import CURRENT

ENVIRON = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "QUERY_STRING": "", "SCRIPT_NAME": ""}
SPARE = Response(200, (("Content-Length", "5"),), b"spare")


def world(*, takes=False, spare=None, mode=Mode.ENFORCE, app=hello):
    asked = []

    def taking(_environ, reason, age_s):
        asked.append((reason, age_s))
        return takes

    relief = Relief(taking, lambda _environ: spare, ("X-Own",))
    found = World(app, slots=0, hold="connection", relief=relief, mode=mode)
    found.asked = asked
    return found


def test_without_any_it_is_refused():
    plain = world()
    assert plain.get()[1].startswith("503")
    assert plain.guard.consider(dict(ENVIRON)).status == 503
    assert [reason for reason, _ in plain.asked] == [Reason.POOL_SATURATED] * 2
    assert plain.counted("shed", Reason.POOL_SATURATED) == 2


def test_a_request_that_is_taken_goes_on_and_is_admitted():
    taking = world(takes=True)
    assert taking.guard.consider(dict(ENVIRON), 0.5) is None
    assert taking.asked[-1] == (Reason.POOL_SATURATED, 0.5)
    assert taking.get()[1] == "200 OK"
    assert taking.counted("admitted", Reason.OK) == 1


def test_a_spare_answer_is_no_refusal():
    spare = world(spare=SPARE)
    assert not spare.guard.pressed()
    assert spare.get()[1] == "200 OK"
    assert spare.guard.pressed()
    assert spare.guard.consider(dict(ENVIRON)) is SPARE
    assert spare.counted("cached", Reason.POOL_SATURATED) == 2
    assert spare.counted("shed", Reason.POOL_SATURATED) == 0


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.OFF])
def test_nobody_asks_where_nothing_is_refused(mode):
    other = world(takes=True, spare=SPARE, mode=mode)
    body, status, _headers = other.get()
    assert (b"".join(body), status) == (b"hello", "200 OK")
    assert not other.asked
    assert other.counted("cached", Reason.POOL_SATURATED) == 0


def test_an_application_that_puts_a_write_off_is_counted_so():
    def app(_environ, start_response):
        scope = CURRENT.get()
        scope.reason, scope.retry_after_s, scope.relieved = Reason.POOL_SATURATED, 3, "deferred"
        start_response("202 Accepted", [("Content-Length", "0")])
        return []

    taking = world(takes=True, app=app)
    assert taking.get(method="POST")[1] == "202 Accepted"
    assert taking.counted("deferred", Reason.POOL_SATURATED, Lane.WRITE) == 1


def test_the_accept_loop_is_told_which_headers_it_looks_at():
    assert "X-Own" in world().guard.headers
