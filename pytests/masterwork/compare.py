"""`masterwork verify A B ...`: the same stories on several targets, side by side. Where two of them
do not agree about a guarantee in a story, that is shown, with the reason if a target's file has
one ([differs])."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from itertools import combinations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from masterwork import report
from masterwork.catalogue import guarantees
from masterwork.paths import command_name
from masterwork.targets import Target
from masterwork.verdicts import UNKNOWN, StoryResult, Total

SHORT = {"holds": "holds", "violated": "VIOLATED", "unknown": "unknown"}


@dataclass(frozen=True)
class Difference:
    """Two targets of which a story tells different things."""

    story: str
    guarantee: str
    verdicts: tuple[tuple[str, str], ...]
    reason: str
    seen: str


def differences(targets: list[Target], results: dict[str, list[StoryResult]]) -> list[Difference]:
    """By story. What a story was staged for on all of them counts, and what any found violated."""
    found = []
    for story in [result.name for result in results[targets[0].name]]:
        rows = {target.name: next(one for one in results[target.name] if one.name == story)
                for target in targets}
        for name in guarantees():
            items = {target: row.of(name) for target, row in rows.items()}
            told = {target: item for target, item in items.items()
                    if item and rows[target].counts(item)}
            if len({item.verdict for item in told.values()}) < 2:
                continue
            odd = max(told.values(), key=lambda item: (item.verdict == "violated",
                                                       item.verdict == UNKNOWN))
            found.append(Difference(
                story, name, tuple((target, item.verdict) for target, item in told.items()),
                _reason(targets, rows, story, name), odd.summary()))
    return found


def _reason(targets: list[Target], rows: dict[str, StoryResult], story: str, guarantee: str) -> str:
    """What a target cannot be staged for says so itself; otherwise its file may."""
    for row in rows.values():
        if row.skipped:
            return row.skipped
    for one, other in combinations(targets, 2):
        for target in (one, other):
            for key in (f"{story} {guarantee}", guarantee, story):
                if key in target.differs:
                    return target.differs[key]
    return ""


def table(totals: dict[str, list[Total]]) -> Table:
    """Guarantees down, targets across."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    shown.add_column("guarantee", no_wrap=True)
    for target in totals:
        shown.add_column(target, no_wrap=True)
    by_name = {target: {total.id: total for total in rows} for target, rows in totals.items()}
    for name in guarantees():
        cells = [rows.get(name) for rows in by_name.values()]
        if any(cells):
            shown.add_row(name, *[_cell(total) for total in cells])
    return shown


def _cell(total: Total | None) -> Text:
    if total is None:
        return Text("")
    return Text(SHORT[total.verdict] + (f" ({total.stories})" if total.stories else ""),
                report.COLOURS[total.verdict])


def show(out: Console, args: Namespace, totals: dict[str, list[Total]],
         found: list[Difference]) -> None:
    out.print()
    out.print(table(totals))
    out.print()
    reasons = [item for item in found if item.reason]
    out.print(Text(f"{len(found)} differences, {len(found) - len(reasons)} without a reason",
                   "bold"))
    for reason in dict.fromkeys(item.reason for item in found):
        out.print(Text(f"  {reason or 'no reason is known'}:", "" if reason else "red"))
        for item in found:
            if item.reason != reason:
                continue
            said = ", ".join(f"{target} {verdict}" for target, verdict in item.verdicts)
            report.say(out, f"    {item.story} {item.guarantee}: {said}")
            if not reason:
                report.say(out, f"      {item.seen}", "dim")
    out.print(f"repeat it: {command_name()} verify {' '.join(args.target)} --seed {args.seed}",
              soft_wrap=True)


def as_json(found: list[Difference], totals: dict[str, list[Total]]) -> dict:
    return {
        "targets": {target: {total.id: total.verdict for total in rows}
                    for target, rows in totals.items()},
        "differences": [{"story": item.story, "guarantee": item.guarantee,
                         "verdicts": dict(item.verdicts), "reason": item.reason,
                         "seen": item.seen} for item in found],
    }


