"""`masterwork variants`: the same stories with all that clients may speak through (plain TCP, TLS,
a unix socket), on the engine itself and on the engine as a proxy, and what came of each."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from masterwork import report
from masterwork.catalogue import guarantees
from masterwork.stories import all_stories, select
from masterwork.targets import find_target
from masterwork.verdicts import (EXIT_HARNESS, EXIT_HOLDS, EXIT_VIOLATED, HOLDS, UNKNOWN,
                                 StoryResult, Total, add_up, exit_code)
from masterwork.verify import stage_all, tidy_up

OVER = ("plain", "tls", "unix")
TARGETS = ("engine", "engine-proxy")


@dataclass
class Outcome:
    """One target with clients that speak through one thing."""

    target: str
    over: str
    results: list[StoryResult]
    totals: list[Total]
    code: int

    @property
    def counts(self) -> dict[str, int]:
        return {"hold": sum(total.verdict == HOLDS for total in self.totals),
                "bugs": sum(total.is_bug for total in self.totals),
                "findings": sum(total.is_finding for total in self.totals),
                "unknown": sum(total.verdict == UNKNOWN for total in self.totals),
                "staged": sum(not result.skipped for result in self.results),
                "left out": sum(bool(result.skipped) for result in self.results),
                "errors": sum(bool(result.error) for result in self.results)}


def variants(args: Namespace) -> int:
    """Returns 0 when nothing that is promised was violated anywhere, 1 if it was, 3 if the harness
    failed. What cannot be staged in a variant is unknown there, and said."""
    out = report.console()
    stories = select(all_stories(), args.tier, args.story, args.family)
    outcomes = []
    for target in map(find_target, args.target or TARGETS):
        for over in args.over or OVER:
            out.print(Text(f"\nover {over}", "bold"))
            args_of_one = Namespace(**{**vars(args), "over": over})
            results = stage_all(out, args_of_one, target, stories)
            checked = {name for story in stories for name in story.checks}
            seen = {item.id for result in results for item in result.violations}
            totals = add_up(target, results, [name for name in guarantees()
                                              if name in checked | seen])
            for result in results:
                report.print_evidence(out, result, target)
            outcomes.append(Outcome(target.name, over, results, totals,
                                    exit_code(totals, results, args.strict)))
            tidy_up(results, args.keep)
    show(out, outcomes)
    if args.json:
        report.write_json(args.json, [{"target": one.target, "over": one.over, **one.counts,
                                       "guarantees": {total.id: total.verdict
                                                      for total in one.totals}}
                                      for one in outcomes])
    codes = {one.code for one in outcomes}
    return next((code for code in (EXIT_VIOLATED, EXIT_HARNESS) if code in codes), EXIT_HOLDS)


def show(out: Console, outcomes: list[Outcome]) -> None:
    """A line for each variant; below it what was not staged, and what was violated where."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("server", no_wrap=True)
    table.add_column("over", no_wrap=True)
    for name in outcomes[0].counts:
        table.add_column(name, justify="right")
    for one in outcomes:
        table.add_row(one.target, one.over, *(
            Text(str(count), "bold red" if count and name in ("bugs", "errors") else "")
            for name, count in one.counts.items()))
    out.print()
    out.print(table)
    for one in outcomes:
        for total in one.totals:
            if total.verdict != HOLDS:
                out.print(Text(f"{one.target} over {one.over}: {total.id} {total.verdict}: "
                               f"{total.strength}"), soft_wrap=not out.is_terminal)
