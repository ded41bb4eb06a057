"""``python -m stress scorecard``: all claims in their short forms, on one page."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from guard.errors import GuardError
from stress.scorecard import machine, readme, running, stored, words
from stress.scorecard.claims import CLAIMS
from stress.scorecard.judge import Ended, judge
from stress.scorecard.model import Form, Provenance, Scorecard, State
from stress.scorecard.page import Row, page, summary
from stress.scorecard.trend import trend

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from stress.scorecard.model import Claim

    _Key = tuple[str, tuple[str, ...]]
    """A run: its arguments, and the programs that it needs."""

README: Final = Path("README.md")
_INTERRUPTED: Final = 130


class UnknownClaim(GuardError):  # noqa: N818 - says what is wrong
    """A name that no claim has."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is run, and where to.

    Attributes:
        claims: the rows; their commands have the form.
        form: of their commands.
        others: those chosen claims whose commands do not have it.
        folder: where everything is written.
        kept: the scorecard that the new one is compared with.
        origin: says on every result where it comes from.
    """

    claims: Sequence[Claim]
    form: Form
    others: Sequence[Claim]
    folder: Path
    kept: Scorecard
    origin: Provenance

    def key(self, claim: Claim) -> _Key:
        """Return what claims have in common that share one run, whatever their other form is."""
        return claim.command.arguments(self.form), claim.command.needs

    def runs(self) -> dict[_Key, list[Claim]]:
        """Return the claims of each run."""
        found: dict[_Key, list[Claim]] = {}
        for claim in self.claims:
            found.setdefault(self.key(claim), []).append(claim)
        return found

    def inner(self, claim: Claim) -> Path:
        """Return the folder of a claim's command's own files: named like the first such claim."""
        return self.folder / self.runs()[self.key(claim)][0].name


def run(options: Namespace) -> int:
    """Run the claims' commands, print and write the scorecard.

    Args:
        options: ``out``, ``only``, ``long``, ``date``, ``kept``, ``accept``, ``disturbed``,
            ``list``, ``readme``, ``check``.

    Returns:
        0 where every claim is met, 1 where one is not, 130 after Ctrl-C.

    Raises:
        UnknownClaim: ``only`` names something else.
        Unreadable: the kept scorecard is none.
    """
    kept = stored.load(options.kept)
    if options.readme:
        return _readme(README, kept, check=options.check)
    claims = _chosen(options.only)
    if options.list:
        print("\n".join(_listed(claim) for claim in claims))
        return 0
    found = machine.machine()
    date = options.date or time.strftime("%Y-%m-%d", time.gmtime())
    origin = Provenance(date, machine.commit(), machine.line(found))
    form = Form.LONG if options.long else Form.SHORT
    mine = [claim for claim in claims if claim.command.arguments(form)]
    others = [claim for claim in claims if claim not in mine]
    plan = Plan(mine, form, others, options.out, kept, origin)
    card, interrupted = _run(plan, Scorecard(found, machine.versions()))
    if options.accept:
        accepted = kept.merged(card, disturbed=options.disturbed)
        options.kept.write_text(stored.dump(accepted), encoding="utf-8")
        print(f"written: {options.kept}", *_not_kept(accepted, card), sep="\n")
    met = all(one.state is State.MET for one in card.results)
    return _INTERRUPTED if interrupted else int(not met)


def _not_kept(accepted: Scorecard, card: Scorecard) -> list[str]:
    return [
        f"not kept: {one.claim}, "
        + (f"others took {one.others_cores:.1f} cores" if one.has_figures else words.state(one))
        for one in card.results
        if one not in accepted.results
    ]


def _chosen(names: str) -> Sequence[Claim]:
    wanted = [name for name in names.split(",") if name]
    unknown = set(wanted) - {claim.name for claim in CLAIMS}
    if unknown:
        raise UnknownClaim(f"no such claim: {', '.join(sorted(unknown))}; see --list")
    return [claim for claim in CLAIMS if not wanted or claim.name in wanted]


def _listed(claim: Claim) -> str:
    short = f"python -m {claim.command.short}" if claim.command.short else "none"
    return f"{claim.name}\n  long:  python -m {claim.command.long}\n  short: {short}"


def _run(plan: Plan, card: Scorecard) -> tuple[Scorecard, bool]:
    """Run everything; return what came of it, and whether Ctrl-C ended it."""
    ended: dict[_Key, Ended] = {}
    interrupted = False
    for key, claims in plan.runs().items():
        print(f"... python -m {key[0]}", flush=True)
        try:
            ended[key] = running.run(claims[0].command, plan.form, plan.inner(claims[0]))
        except KeyboardInterrupt:
            interrupted = True
            break
        card = _judged(plan, card, ended, "not yet")
        _tell(plan, card, claims)
        _write(plan, card)
    card = _judged(plan, card, ended, "interrupted" if interrupted else "")
    files = _write(plan, card)
    print(summary(_rows(plan, card)), *(f"written: {path}" for path in files), sep="\n")
    return card, interrupted


def _judged(plan: Plan, card: Scorecard, ended: dict[_Key, Ended], left: str) -> Scorecard:
    results = tuple(
        judge(claim, plan.form, ended.get(plan.key(claim), Ended(None, left)), plan.origin)
        for claim in plan.claims
    )
    return Scorecard(card.machine, card.versions, results)


def _tell(plan: Plan, card: Scorecard, claims: Sequence[Claim]) -> None:
    for claim, result in zip(plan.claims, card.results, strict=True):
        if claim in claims:
            told = "; ".join(one.text for one in words.told(claim, result))
            print(f"{words.state(result):<8} {claim.name} ({result.took_s:.0f} s): {told}")


def _rows(plan: Plan, card: Scorecard) -> list[Row]:
    return [
        Row(
            claim,
            result,
            trend(claim, result, plan.kept.find(claim.name, plan.form)),
            plan.kept.find(claim.name, _other(plan.form)),
            _links(plan.inner(claim), plan.folder) if result.took_s else (),
        )
        for claim, result in zip(plan.claims, card.results, strict=True)
    ]


def _other(form: Form) -> Form:
    return Form.SHORT if form is Form.LONG else Form.LONG


def _links(inner: Path, folder: Path) -> list[tuple[str, str]]:
    pages = [(path.stem, path) for path in sorted(inner.glob("*.html"))]
    log = inner / running.LOG
    found = [*pages, *([("log", log)] if log.exists() else [])]
    return [(text, path.relative_to(folder).as_posix()) for text, path in found]


def _write(plan: Plan, card: Scorecard) -> list[Path]:
    plan.folder.mkdir(parents=True, exist_ok=True)
    rows = _rows(plan, card)
    title = f"Scorecard, {plan.form} forms, {plan.origin.date}, guard {plan.origin.commit}"
    as_json, as_page = (plan.folder / f"scorecard.{ending}" for ending in ("json", "html"))
    told = {row.claim.name: _told(row) for row in rows}
    as_json.write_text(stored.dump(card, title=title, claims=told), encoding="utf-8")
    others = [(claim, plan.kept.find(claim.name, _other(plan.form))) for claim in plan.others]
    as_page.write_text(page(title, rows, others, card), encoding="utf-8")
    return [as_json, as_page]


def _told(row: Row) -> dict[str, object]:
    claim, change = row.claim, row.trend
    return {
        "text": claim.text,
        "bar": claim.bar,
        "command": asdict(claim.command),
        "noise": claim.noise,
        "trend": {
            "word": change.word,
            "why": change.why,
            "caution": change.caution,
            "ratios": {bar: one.ratio for bar, one in change.changes.items()},
        },
    }


def _readme(path: Path, kept: Scorecard, *, check: bool) -> int:
    strangers = readme.unknown(kept, CLAIMS)
    if strangers:
        print(f"no claim is called {', '.join(strangers)}", file=sys.stderr)
        return 1
    page_text = path.read_text(encoding="utf-8")
    wanted = readme.placed(page_text, kept, CLAIMS)
    if wanted == page_text:
        return 0
    if check:
        print(f"{path} is stale; python -m stress scorecard --readme writes it", file=sys.stderr)
        return 1
    path.write_text(wanted, encoding="utf-8")
    print(f"written: {path}")
    return 0
