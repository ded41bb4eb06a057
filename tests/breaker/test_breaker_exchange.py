from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING

import pytest
from breaker_world import World, answer, no_answer, until
from redis_process import RedisServer

from guard import metrics
from guard.board import Board
from guard.breaker import exchange as module
from guard.breaker.exchange import ANSWERED, NEWS_S, OPENED, Exchange, News
from guard.breaker.redis_bulletin import RedisBulletin
from guard.core.vocabulary import BreakerPhase, Lane

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from guard.breaker.exchange import Bulletin


class Slate:
    """A bulletin in this process; ``away`` makes it fail."""

    def __init__(self) -> None:
        self.news: dict[Lane, News] = {}
        self.away = False
        self.closed = False
        self.written = []

    def read(self, lane: Lane) -> News | None:
        if self.away:
            raise OSError("away")
        return self.news.get(lane)

    def put(self, lane: Lane, news: News, ends_s: float) -> None:
        assert ends_s == NEWS_S
        self.news[lane] = news
        self.written.append(news)

    def close(self) -> None:
        self.closed = True


class Host(World):
    """A host with one breaker and its exchange."""

    def __init__(self, name: str, bulletin: Bulletin, **rules: object) -> None:
        super().__init__(**rules)
        self.exchange = Exchange(
            {Lane.READ: self.breaker}, bulletin, name, lambda: self.speaks, self.recorder
        )
        self.speaks = True

    @property
    def up(self) -> float:
        return self.recorder.value(metrics.BREAKER_STORE_UP)

    @property
    def errors(self) -> float:
        return self.recorder.value(metrics.BREAKER_STORE_ERRORS)

    def swap(self) -> BreakerPhase:
        self.exchange.run_once()
        return self.breaker.phase

    def probe(self, how: Callable[[], None]) -> None:
        self.clock.advance(self.breaker.remaining_s())
        assert self.breaker.run_probe_if_due(how)


@pytest.fixture
def slate() -> Slate:
    return Slate()


@pytest.fixture
def hosts(slate: Slate) -> tuple[Host, Host]:
    return Host("one", slate), Host("other", slate)


def test_an_open_breaker_is_taken_over_by_other_hosts(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    assert (one.swap(), other.swap()) == (BreakerPhase.CLOSED, BreakerPhase.CLOSED)
    one.fail()
    one.swap()
    assert other.swap() is BreakerPhase.OPEN
    assert other.breaker.state.taken_over
    assert (one.up, other.up) == (1.0, 1.0)


def test_an_outage_is_taken_over_once(hosts: tuple[Host, Host]) -> None:
    one, other = hosts
    one.fail()
    one.swap()
    other.swap()
    # The other host reaches the database, the first one does not: no flapping.
    other.probe(answer)
    for _ in range(3):
        one.probe(no_answer)
        one.swap()
        assert other.swap() is BreakerPhase.CLOSED
    one.probe(answer)
    one.fail()
    one.swap()
    assert other.swap() is BreakerPhase.OPEN


def test_what_was_taken_over_is_not_passed_on(hosts: tuple[Host, Host], slate: Slate) -> None:
    one, other = hosts
    one.fail()
    one.swap()
    other.swap()
    other.swap()
    assert {news.host for news in slate.written} == {"one"}


def test_an_answered_probe_makes_the_others_probe_at_once_and_close_nothing(
    hosts: tuple[Host, Host], slate: Slate
) -> None:
    one, other = hosts
    one.fail()
    one.swap()
    other.swap()
    one.probe(no_answer)
    assert one.breaker.remaining_s() > 0
    other.probe(answer)
    other.swap()
    assert slate.news[Lane.READ].word == ANSWERED
    assert one.swap() is BreakerPhase.OPEN
    assert one.breaker.remaining_s() == 0.0
    one.probe(no_answer)
    one.swap()
    assert one.breaker.remaining_s() > 0
    assert slate.news[Lane.READ] == News(OPENED, "one", 2)


def test_news_is_repeated_until_the_end_of_the_outage(
    hosts: tuple[Host, Host], slate: Slate
) -> None:
    one, _ = hosts
    one.fail()
    for _ in range(3):
        one.swap()
        one.probe(no_answer)
    one.probe(answer)
    for _ in range(3):
        one.swap()
    # One outage keeps its number, however often it was probed.
    assert slate.written == [News(OPENED, "one", 2)] * 3 + [News(ANSWERED, "one", 2)]


def test_two_outages_between_two_exchanges_are_two(slate: Slate) -> None:
    one = Host("one", slate)
    one.fail()
    one.swap()
    one.probe(answer)
    one.fail()
    one.swap()
    assert [news.word for news in slate.written] == [OPENED, ANSWERED, OPENED]
    assert slate.written[0].outage != slate.written[2].outage


def test_a_host_does_not_listen_to_itself(slate: Slate) -> None:
    one = Host("one", slate)
    slate.news[Lane.READ] = News(OPENED, "one", 9)
    assert one.swap() is BreakerPhase.CLOSED


def test_a_forced_breaker_takes_nothing_over(slate: Slate) -> None:
    one = Host("one", slate, mode="closed")
    slate.news[Lane.READ] = News(OPENED, "other", 9)
    assert one.swap() is BreakerPhase.CLOSED


def test_a_word_that_nobody_knows_is_nothing(slate: Slate) -> None:
    one = Host("one", slate)
    slate.news[Lane.READ] = News("ajar", "other", 9)
    assert one.swap() is BreakerPhase.CLOSED


def test_a_bulletin_that_is_away_is_measured_and_told_once(
    slate: Slate, caplog: pytest.LogCaptureFixture
) -> None:
    one = Host("one", slate)
    slate.away = True
    with caplog.at_level(logging.INFO, "guard.breaker"):
        for _ in range(3):
            assert one.swap() is BreakerPhase.CLOSED
        assert (one.up, one.errors) == (0.0, 3.0)
        one.fail()
        assert one.breaker.phase is BreakerPhase.OPEN
        slate.away = False
        one.swap()
    assert one.up == 1.0
    assert [record.message for record in caplog.records if "Redis" in record.message] == [
        "Redis is away, this host's breakers decide alone: away",
        "breakers are shared with other hosts over Redis",
    ]


def test_only_the_worker_that_may_speaks(slate: Slate) -> None:
    one = Host("one", slate)
    one.speaks = False
    one.fail()
    one.swap()
    assert (slate.written, one.up) == ([], 0.0)


def test_its_thread_exchanges_until_it_is_stopped(
    hosts: tuple[Host, Host], slate: Slate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PERIOD_S", 0.001)
    one, other = hosts
    one.fail()
    for host in hosts:
        host.exchange.start()
    until(lambda: other.breaker.phase is BreakerPhase.OPEN)
    for host in hosts:
        host.exchange.stop(20)
        host.exchange.stop(20)
    assert slate.closed


def test_one_worker_of_a_host_speaks_and_all_have_one_name() -> None:
    board, another = Board.anonymous(2), Board.anonymous(1)
    one, other = (board.claim(index, os.getpid()).breakers for index in range(2))
    assert one.may_exchange()
    assert one.may_exchange()
    assert not other.may_exchange()
    assert one.host == other.host
    assert another.claim(0, os.getpid()).breakers.host != one.host


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def linked(redis: RedisServer) -> Iterator[list[Host]]:
    bulletins = [RedisBulletin(redis.url, "test") for _ in range(2)]
    yield [Host(f"host{number}", bulletin) for number, bulletin in enumerate(bulletins)]
    for bulletin in bulletins:
        bulletin.close()


def test_two_hosts_share_an_outage_over_redis(linked: list[Host]) -> None:
    one, other = linked
    one.fail()
    one.swap()
    assert other.swap() is BreakerPhase.OPEN
    other.probe(answer)
    other.swap()
    one.swap()
    assert one.breaker.remaining_s() == 0.0
    assert (one.up, other.up, one.errors, other.errors) == (1.0, 1.0, 0.0, 0.0)


def test_while_redis_is_dead_each_host_decides_alone(
    linked: list[Host], redis: RedisServer
) -> None:
    one, other = linked
    one.swap()
    redis.stop()
    one.fail()
    assert not one.breaker.admits()
    assert (one.swap(), other.swap()) == (BreakerPhase.OPEN, BreakerPhase.CLOSED)
    assert (one.up, other.up) == (0.0, 0.0)
    assert one.errors >= 1
    redis.start()
    one.swap()
    assert other.swap() is BreakerPhase.OPEN
    assert (one.up, other.up) == (1.0, 1.0)


def test_a_redis_that_does_not_answer_is_away_after_its_time(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("guard.breaker.redis_bulletin.TIMEOUT_S", 0.05)
    bulletin = RedisBulletin(redis.url, "test")
    one = Host("slow", bulletin)
    one.swap()
    redis.send(signal.SIGSTOP)
    try:
        one.swap()
        assert (one.up, one.errors) == (0.0, 1.0)
    finally:
        redis.send(signal.SIGCONT)

    def is_back() -> bool:
        one.swap()
        return one.up == 1.0

    until(is_back)
    bulletin.close()


def test_news_ends_by_itself_and_what_is_no_news_is_ignored(redis: RedisServer) -> None:
    bulletin = RedisBulletin(redis.url, "test")
    news = News(OPENED, "one", 3)
    bulletin.put(Lane.READ, news, 20.0)
    assert bulletin.read(Lane.READ) == news
    assert bulletin.read(Lane.WRITE) is None
    bulletin.put(Lane.READ, news, 0.05)
    until(lambda: bulletin.read(Lane.READ) is None)
    for text in ("open", "opened one three", "opened one -3", "a b 3 d"):
        bulletin._redis.set("test:breaker:write", text)
        assert bulletin.read(Lane.WRITE) is None
    bulletin.close()
