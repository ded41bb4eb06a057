import io

import pytest

from guard.assembly import assemble
from guard.controller import Controller
from guard.core.admission import Limits
from guard.core.priority import Shares
from guard.core.vocabulary import Lane, Mode, Policy, Priority, Reason
from guard.middleware import Guard
from guard.ranking import KEY_LENGTH_MAX, Ranking
from guard.request import RequestScope
from guard.rules import Rules
from guard.settings import load
from guard.testing import FakeClock, MemoryRecorder

LIMITS = Limits(Policy.PREDICTIVE, permits_max=10, waiters_max=8, wait_budget_s=1.0)
CRITICAL, NORMAL, SHEDDABLE = Priority
PROXY = "10.1.2.3"


def ranked(ranking, method="GET", path="/", peer=PROXY, **headers):
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "REMOTE_ADDR": peer, **headers}
    scope = RequestScope(Lane.READ, 0.0, 10.0)
    ranking.rank(environ, scope)
    return scope


EVERYTHING = Ranking(
    critical_routes=("POST /pay", "GET /login*"),
    sheddable_routes=("GET /suggest*",),
    priority_header="X-Priority",
    prioritise=lambda environ: SHEDDABLE if environ["PATH_INFO"] == "/batch" else None,
    fairness="header",
    client_header="X-Client-Id",
    trusted_proxies=("10.0.0.0/8",),
)


@pytest.mark.parametrize(
    ("request_of", "priority"),
    [
        ({}, NORMAL),
        ({"path": "/pay"}, NORMAL),
        ({"path": "/pay", "method": "POST"}, CRITICAL),
        ({"path": "/login/now"}, CRITICAL),
        ({"path": "/suggest"}, SHEDDABLE),
        ({"path": "/batch"}, SHEDDABLE),
        ({"HTTP_X_PRIORITY": " Critical "}, CRITICAL),
        ({"HTTP_X_PRIORITY": "urgent"}, NORMAL),
        ({"HTTP_X_PRIORITY": "urgent", "path": "/suggest"}, SHEDDABLE),
        # What the proxy says of this one request counts for more than what the routes say.
        ({"HTTP_X_PRIORITY": "normal", "path": "/login"}, NORMAL),
        ({"HTTP_X_PRIORITY": "critical", "path": "/batch"}, CRITICAL),
        ({"HTTP_X_PRIORITY": "critical", "peer": "11.1.2.3"}, NORMAL),
        ({"HTTP_X_PRIORITY": "critical", "peer": ""}, NORMAL),
        ({"HTTP_X_PRIORITY": "critical", "peer": "::ffff:10.0.0.1"}, CRITICAL),
    ],
)
def test_a_requests_class(request_of, priority):
    assert ranked(EVERYTHING, **request_of).priority is priority


@pytest.mark.parametrize(
    ("request_of", "client"),
    [
        ({"HTTP_X_CLIENT_ID": "alice"}, "alice"),
        ({"HTTP_X_CLIENT_ID": "alice", "peer": "11.0.0.1"}, "11.0.0.1"),
        ({}, PROXY),
        ({"HTTP_X_CLIENT_ID": ""}, PROXY),
        ({"HTTP_X_CLIENT_ID": "k" * 999}, "k" * KEY_LENGTH_MAX),
        ({"peer": "2001:db8:1:2:3:4:5:6"}, "20010db800010002"),
        ({"peer": "2001:db8:1:2::9"}, "20010db800010002"),
        ({"peer": ""}, ""),
    ],
)
def test_a_requests_client(request_of, client):
    assert ranked(EVERYTHING, **request_of).client == client


def test_by_address_no_header_counts():
    by_address = Ranking(fairness="address", client_header="X-Client-Id", trusted_proxies=("*",))
    assert by_address.headers == ()
    assert ranked(by_address, HTTP_X_CLIENT_ID="alice").client == PROXY


@pytest.mark.parametrize(
    ("ranking", "told", "headers", "knows_critical"),
    [
        (Ranking(), False, (), False),
        (Ranking(client_header="X-Id", trusted_proxies=("*",)), False, (), False),
        (Ranking(sheddable_routes=("GET /a",)), True, (), False),
        (Ranking(fairness="address"), True, (), False),
        (Ranking(fairness="header", client_header="X-Id"), True, ("X-Id",), False),
        (Ranking(priority_header="X-P"), True, ("X-P",), True),
        (Ranking(critical_routes=("GET /a",)), True, (), True),
        (Ranking(prioritise=lambda _: None), True, None, True),
    ],
)
def test_what_a_ranking_needs(ranking, told, headers, knows_critical):
    assert bool(ranking) is told
    assert ranking.headers == headers
    assert ranking.knows_critical is knows_critical


def controller(**rules):
    found = Rules(lanes=dict.fromkeys(Lane, LIMITS), **rules)
    return Controller(
        found, {lane: lambda: 2 for lane in Lane}, clock=FakeClock(), draw=lambda: 0.0
    )


def scope_of(control, client="", priority=NORMAL):
    scope = control.scope(Lane.READ)
    scope.client, scope.priority = client, priority
    return scope


def test_each_class_finds_its_own_end_of_the_lane():
    control = controller(shares=Shares(0.0, 0.5, 0.25))
    admitted = {}
    for priority in (SHEDDABLE, NORMAL, CRITICAL):
        while control.admit(scope_of(control, priority=priority), Lane.READ)[1] is not None:
            admitted[priority] = control.load(Lane.READ).in_flight
    assert admitted == {SHEDDABLE: 4, NORMAL: 6, CRITICAL: 10}
    reasons = [
        control.check(scope_of(control, priority=each), Lane.READ).reason for each in Priority
    ]
    assert reasons == [Reason.POOL_SATURATED] * 3


def flooded(control, seconds=0.5):
    """Let one client flood and nine others ask now and then; return the lane's load."""
    permits = []
    for number in range(int(seconds * 1000)):
        control.clock.advance(0.001)
        client = f"other-{number % 9}" if number % 20 == 0 else "flood"
        scope = scope_of(control, client)
        if control.check(scope, Lane.READ).admitted:
            permit = control.admit(scope, Lane.READ)[1]
            permits += [permit] if permit is not None else []
        if number % 5 == 0 and permits:
            permits.pop(0).release()
    return control.load(Lane.READ)


def test_a_flooding_client_leaves_the_others_their_places():
    control = controller(fair=True)
    assert flooded(control).in_flight <= 5
    assert control.check(scope_of(control, "other-1"), Lane.READ).admitted
    while control.admit(scope_of(control, "flood"), Lane.READ)[0].admitted:
        pass
    assert control.check(scope_of(control, "flood"), Lane.READ).reason is Reason.UNFAIR_SHARE
    assert control.check(scope_of(control, "other-1"), Lane.READ).admitted
    assert control.check(scope_of(control), Lane.READ).admitted


def test_without_fairness_the_flood_takes_every_place():
    control = controller(shares=Shares())
    assert flooded(control).in_flight >= 9


def test_shadow_mode_counts_a_request_once():
    control = controller(fair=True, mode=Mode.SHADOW)
    for _ in range(20):
        scope = scope_of(control, "one")
        control.check(scope, Lane.READ)
        assert control.admit(scope, Lane.READ)[1] is not None
    assert control._lanes[Lane.READ].fairness._asked == {"one": 20.0}


def _ok(_environ, start_response):
    start_response("200 OK", [("Content-Length", "0")])
    return [b""]


def test_the_gates_know_the_class():
    control = controller(shares=Shares(0.0, 0.5, 0.25))
    guard = Guard(_ok, control, ranking=EVERYTHING)
    while control.admit(scope_of(control), Lane.READ)[1] is not None:
        pass
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "REMOTE_ADDR": PROXY, "QUERY_STRING": ""}
    critical = {**environ, "HTTP_X_PRIORITY": "critical"}
    assert b'"low_priority"' in guard.consider(environ).body
    assert guard.consider(critical) is None

    def status(environ):
        told = []
        body = guard({**environ, "wsgi.input": io.BytesIO()}, lambda line, _: told.append(line))
        b"".join(body)
        getattr(body, "close", list)()
        return told

    assert status(environ) == ["503 Service Unavailable"]
    assert status(critical) == ["200 OK"]


@pytest.fixture
def assembled():
    made = []

    def make(prioritise=None, **environ):
        settings = load({"GUARD_WORKERS": "1", "GUARD_READ_POOL_SIZE": "2", **environ}).settings
        made.append(assemble(settings, recorder=MemoryRecorder(), prioritise=prioritise))
        return made[-1]

    yield make
    for assembly in made:
        assembly.close()


TRUSTED = {"GUARD_TRUSTED_PROXIES": "*"}


@pytest.mark.parametrize(
    ("environ", "prioritise", "shares", "fair"),
    [
        ({}, None, None, False),
        ({"GUARD_CRITICAL_SHARE": "0.5"}, None, None, False),
        ({"GUARD_SHEDDABLE_ROUTES": "GET /a"}, None, Shares(0.0, 1.0, 0.25), False),
        ({"GUARD_CRITICAL_ROUTES": "GET /a"}, None, Shares(0.0, 0.5, 0.25), False),
        (
            {
                **TRUSTED, "GUARD_PRIORITY_HEADER": "X-P", "GUARD_CRITICAL_SHARE": "0.2",
                "GUARD_NORMAL_BUDGET": "0.8", "GUARD_SHEDDABLE_BUDGET": "0.1",
            },
            None, Shares(0.2, 0.8, 0.1), False,
        ),
        ({}, lambda _: CRITICAL, Shares(0.0, 0.5, 0.25), False),
        ({"GUARD_FAIRNESS": "address"}, None, Shares(0.0, 1.0, 0.25), True),
        (
            {**TRUSTED, "GUARD_FAIRNESS": "header", "GUARD_CLIENT_KEY_HEADER": "X-Id"},
            None, Shares(0.0, 1.0, 0.25), True,
        ),
    ],
)  # fmt: skip
def test_the_settings_make_the_rules(assembled, environ, prioritise, shares, fair):
    assembly = assembled(prioritise, **environ)
    assert assembly.controller.rules.shares == shares
    assert assembly.controller.rules.fair is fair
    assert (assembly.controller._lanes[Lane.READ].classes is None) is (shares is None)
    wanted = {environ[name] for name in environ if name.endswith("_HEADER")}
    wanted.add(assembly.settings.deadline_header)
    headers = assembly.wrap(_ok).headers
    assert headers is None if prioritise else set(headers) == wanted
