"""The scorecard for people: its page and the README's table."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser

import pytest
from scorecards import FAST, ORIGIN, SLOW, WHOLE, claim, result

from stress.report import Verdict
from stress.scorecard import readme, words
from stress.scorecard.figures import Figure
from stress.scorecard.gauge import gauge
from stress.scorecard.model import Form, Scorecard, State
from stress.scorecard.page import Row, page, summary
from stress.scorecard.trend import trend

CARD = Scorecard({"cores": "2"}, {"<python>": "3 & more"})
SHOWN = (("tail", "p99 <"),)
NASTY = '<script>alert("x")</script>'


class Tags(HTMLParser):
    """Collects tags, and refuses those that are not closed in their order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.links: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"}]
        if tag != "meta":
            self._open.append(tag)

    def handle_startendtag(self, tag, _attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag


def row(one, found, before=None, other=None, links=()):
    return Row(one, found, trend(one, found, before), other, links)


def told(*rows: Row, others=()) -> str:
    return page("A card", rows, others, CARD)


def test_what_falls_short_comes_first_and_what_is_worse_before_the_rest() -> None:
    rows = [
        row(claim("good", shown=SHOWN), result(FAST)),
        row(
            claim("worse", shown=SHOWN), result(Verdict(FAST.bar, "15 ms", met=True)), result(FAST)
        ),
        row(claim("absent"), result(state=State.NOT_RUN, why="nginx not installed")),
        row(claim("empty"), result(state=State.VOID, why="the generator was late")),
        row(claim("bad", shown=SHOWN), result(SLOW), result(FAST)),
    ]
    text = told(*rows)
    Tags(text)
    order = [text.index(f'id="{name}"') for name in ("bad", "empty", "absent", "worse", "good")]
    assert order == sorted(order)
    assert "nginx not installed" in text
    assert "the generator was late" in text
    assert "tail 15 ms" in text
    assert "worse (x2.14, noise 1.5)" in text
    assert summary(rows) == (
        "Of 5 claims: 1 missed, 1 void, 1 not run, 2 met. Against the last kept run: 2 worse. "
        "It took 0.0 minutes."
    )


def test_nothing_on_the_page_is_markup_of_others() -> None:
    one = claim(
        "speed", text=NASTY, bar=NASTY, shown=(("<b>", "p99 <"),), beside=(NASTY,),
    )  # fmt: skip
    bars = (Verdict("p99 < 20 ms", NASTY, met=False), Verdict(NASTY, "<i>", met=True))
    found = result(*bars, why=NASTY, beside={NASTY: NASTY}, command=NASTY)
    text = told(
        row(one, found, None, result(*bars, command=NASTY), [(NASTY, "a/b.html")]),
        others=[(one, None)],
    )
    tags = Tags(text)
    assert "script" not in tags.seen
    assert "b" in tags.seen, "our own"
    assert "<i>" not in text
    assert tags.links == ["#speed", "a/b.html"]
    assert "&lt;python&gt;" in text


def test_a_kept_result_of_the_other_form_says_which_run_it_is_of() -> None:
    other = result(WHOLE, form=Form.LONG, command="stress long")
    text = told(row(claim(shown=(("right", "every"),)), result(FAST), None, other))
    assert "long form, 2026-01-02, abc123, 2 cores" in text
    assert "right 5 of 5" in text
    assert "not run yet" in told(others=[(claim(), None)])


def test_a_bar_of_which_the_run_says_nothing_has_no_strip() -> None:
    late = Verdict("p99 < 20 ms", "7 ms late", met=False, void=True)
    assert words.told(claim(shown=SHOWN), result(FAST, late, state=State.VOID)) == []
    assert "<svg" not in told(row(claim(shown=SHOWN), result(late, state=State.VOID)))
    assert "<svg" in told(row(claim(shown=SHOWN), result(FAST)))


def test_a_machine_that_was_busy_with_something_else_is_told() -> None:
    assert "others took 1.2 cores" in told(row(claim(), result(FAST, others_cores=1.23)))
    assert "others took" not in told(row(claim(), result(FAST, others_cores=0.3)))


@pytest.mark.parametrize(
    ("figure", "x"),
    [
        (Figure(0.0, 10.0, more=False), 6.0),
        (Figure(10.0, 10.0, more=False), 110.0),
        (Figure(20.0, 10.0, more=True), 214.0),
        (Figure(-0.03, -0.03, more=True), 110.0),
    ],
)
def test_a_gauge_has_its_figure_in_its_place(figure: Figure, x: float) -> None:
    text = gauge(figure, None, "it", met=True)
    Tags(text)
    assert f'<circle class="met" cx="{x}"' in text


def test_a_gauge_shows_the_last_figure_and_what_is_off_its_scale() -> None:
    text = gauge(Figure(99.0, 10.0, more=False), Figure(5.0, 10.0, more=False), "<", met=False)
    assert '<polygon class="missed" points="209.0,' in text
    assert '<circle class="before"' in text
    assert "<title>&lt;</title>" in text


def table(*results, **more) -> str:
    return readme.table(Scorecard(results=results), [claim(shown=SHOWN, **more)]).split("\n")[2]


def test_the_readme_tells_forms_and_dates_apart() -> None:
    long = result(SLOW, form=Form.LONG, origin=replace(ORIGIN, date="2026-01-01"))
    text = table(result(FAST, WHOLE, beside={"without": "9 s"}), long)
    command = "python -m tests.stress.fake_scenario good"
    assert text == (
        f"| it is fast | `{command}` | p99 < 20 ms | long, 2026-01-01: **missed**; **tail 90 ms**"
        "<br>short, 2026-01-02: met; tail 7 ms (without: 9 s) |"
    )


def test_the_readme_tells_what_is_void_not_run_or_run_otherwise() -> None:
    assert "short, 2026-01-02: **void: late** |" in table(result(state=State.VOID, why="late"))
    busy = result(FAST, others_cores=1.23)
    assert "short, 2026-01-02, while others took 1.2 cores: met" in table(busy)
    assert "by `python -m stress x`: met" in table(result(FAST, command="stress x"))
    assert table().endswith("| not yet |")
    assert "a \\| b" in table(text="a | b")


def test_bars_that_were_missed_are_told_even_if_they_are_not_always_shown() -> None:
    found = words.told(claim(shown=SHOWN), result(FAST, Verdict("no 5xx", "3", met=False)))
    assert [one.text for one in found] == ["tail 7 ms", "no 5xx: 3"]
    assert words.told(claim(), result(FAST)) == []


def test_only_what_is_between_the_marks_is_made_anew() -> None:
    before = f"# Guard\n{readme.BEGIN}\nold\n{readme.END}\nmore\n"
    once = readme.placed(before, CARD, [claim()])
    assert once.startswith("# Guard\n")
    assert once.endswith(f"{readme.END}\nmore\n")
    assert "old" not in once
    assert readme.placed(once, CARD, [claim()]) == once


@pytest.mark.parametrize("text", ["none", readme.BEGIN, f"{readme.BEGIN}{readme.END}" * 2])
def test_a_page_without_its_marks_is_refused(text: str) -> None:
    with pytest.raises(readme.Unmarked):
        readme.placed(text, CARD, [])
