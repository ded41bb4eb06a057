"""What a command's end says about a claim; scorecards as JSON; the table of claims."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from scorecards import FAST, ORIGIN, SLOW, WHOLE, claim, result

from stress.options import parser
from stress.report import Verdict
from stress.scorecard import readme, stored
from stress.scorecard.claims import CLAIMS
from stress.scorecard.judge import Ended, judge
from stress.scorecard.model import Form, Scorecard, State

if TYPE_CHECKING:
    from stress.scorecard.model import Claim

ROOT = Path(__file__).parents[2]
VOID = Verdict("sent on time", "late", met=False, void=True)


def ended(*verdicts: Verdict, status: int | None = 0, **more: object) -> Ended:
    document = {"verdicts": [asdict(one) for one in verdicts], "facts": {"beside": 3}}
    return Ended(status, reports=[document], **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("what", "state", "why"),
    [
        (ended(FAST, WHOLE), State.MET, ""),
        (ended(FAST, SLOW, status=1), State.MISSED, ""),
        (ended(FAST, VOID, status=1), State.VOID, "sent on time: late"),
        (ended(SLOW, VOID, status=1), State.VOID, "sent on time: late"),
        (Ended(None, "nginx not installed"), State.NOT_RUN, "nginx not installed"),
        (Ended(2, "no PostgreSQL"), State.NOT_RUN, "it ended with status 2: no PostgreSQL"),
        (Ended(1, "RuntimeError: x"), State.NOT_RUN, "it ended with status 1: RuntimeError: x"),
        (ended(FAST, status=-9, why="killed"), State.NOT_RUN, "it ended with status -9: killed"),
        (ended(), State.NOT_RUN, "its report has no bar of this claim"),
        (
            ended(FAST, status=None, why="not ended within 5 s", overdue=True),
            State.VOID,
            "not ended within 5 s",
        ),
    ],
)
def test_each_end_has_its_state(what: Ended, state: State, why: str) -> None:
    found = judge(claim(), Form.SHORT, what, ORIGIN)
    assert (found.state, found.why) == (state, why)
    assert bool(found.verdicts) == (state in {State.MET, State.MISSED} or VOID in found.verdicts)
    assert found.command == claim().command.short


def test_a_claim_has_its_own_bars_of_a_report_that_several_share() -> None:
    both = ended(Verdict("2x: a", "1", met=True), Verdict("5x: a", "2", met=False), status=1)
    two, five, none = (claim(bars=(f"{load}x: ",)) for load in (2, 5, 9))
    assert judge(two, Form.SHORT, both, ORIGIN).state is State.MET
    assert judge(five, Form.SHORT, both, ORIGIN).state is State.MISSED
    assert judge(none, Form.SHORT, both, ORIGIN).state is State.NOT_RUN


def test_facts_stand_beside_where_the_claim_asks_for_them() -> None:
    asked = claim(beside=("beside", "another"))
    assert judge(asked, Form.LONG, ended(FAST), ORIGIN).beside == {"beside": "3"}
    assert judge(claim(), Form.LONG, ended(FAST), ORIGIN).beside == {}


CARD = Scorecard(
    {"cores": "2"},
    {"python": "3"},
    (result(FAST, WHOLE, beside={"a": "b"}), result(SLOW, form=Form.LONG, took_s=1.5)),
)


def test_a_scorecard_survives_its_json(tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(stored.dump(CARD, title="more"))
    found = stored.load(path)
    assert found == CARD
    # A word that only looks like one of ours would be equal too.
    assert [type(one) for one in (found.results[0].form, found.results[0].state)] == [Form, State]
    assert json.loads(path.read_text())["title"] == "more"
    assert stored.load(tmp_path / "none") == Scorecard()


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 99}', '{"format": 1, "results": [{"form": "huge"}]}']
)
def test_what_is_no_scorecard_is_said(text: str, tmp_path: Path) -> None:
    path = tmp_path / "card.json"
    path.write_text(text)
    with pytest.raises(stored.Unreadable, match=r"card\.json"):
        stored.load(path)


def test_new_results_take_the_place_of_old_ones_of_their_form_alone() -> None:
    others = [result(WHOLE, claim=name) for name in ("lost", "void", "disturbed")]
    kept = Scorecard(results=(*CARD.results, *others))
    busy = result(claim="disturbed", others_cores=1.0)
    new = (
        result(SLOW),
        result(claim="lost", state=State.NOT_RUN),
        result(claim="void", state=State.VOID),
        busy,
        result(claim="new"),
    )
    found = kept.merged(Scorecard({"cores": "8"}, {}, new))
    assert found.results == (result(SLOW), CARD.results[1], *others, result(claim="new"))
    assert found.machine == {"cores": "8"}
    assert busy in kept.merged(Scorecard(results=new), disturbed=True).results


def test_the_claims_have_names_of_their_own() -> None:
    names = [one.name for one in CLAIMS]
    assert len(set(names)) == len(names)
    assert all(one.noise > 1 for one in CLAIMS)


@pytest.mark.parametrize("one", CLAIMS, ids=lambda one: one.name)
def test_a_claims_commands_exist_and_its_figures_are_among_its_bars(one: Claim) -> None:
    for text in filter(None, (one.command.long, one.command.short)):
        module, *arguments = text.split()
        if module == "stress":
            assert parser().parse_args([*arguments, "--out", "x"]).out == Path("x")
    for _label, start in one.shown:
        assert not one.bars or start.startswith(one.bars), start


def test_the_kept_figures_are_of_claims_that_there_are_and_fill_the_readme() -> None:
    kept = stored.load(ROOT / "docs/scorecard.json")
    assert readme.unknown(kept, CLAIMS) == []
    page = (ROOT / "README.md").read_text()
    assert readme.placed(page, kept, CLAIMS) == page
