"""`masterwork verify`: stages stories on one target, shows how it goes and what came of it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.text import Text

from masterwork import compare, report
from masterwork.catalogue import guarantees
from masterwork.director import Play
from masterwork.isolate import run_all
from masterwork.runs import new_folder, prune, remove
from masterwork.stories import Story, all_stories, select
from masterwork.targets import Target, find_target
from masterwork.verdicts import (EXIT_HARNESS, EXIT_HOLDS, EXIT_UNKNOWN, EXIT_VIOLATED, UNKNOWN,
                                 VIOLATED, StoryResult, add_up, exit_code)


class Progress:
    """A line for each story that is over, and one for those under way where that can be seen."""

    def __init__(self, out: Console, count: int) -> None:
        self.out, self.count, self.done = out, count, 0
        self.running: list[str] = []
        self.live = Live(console=out, transient=True, refresh_per_second=10) \
            if out.is_terminal and not out.no_color else None

    def __enter__(self) -> Progress:
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.live:
            self.live.stop()

    def begun(self, play: Play) -> None:
        self.running.append(play.story.name)
        self._show()

    def ended(self, play: Play, result: StoryResult) -> None:
        self.running.remove(play.story.name)
        self.done += 1
        self.out.print(report.story_line(result))
        self._show()

    def _show(self) -> None:
        if self.live:
            self.live.update(Text(f"{self.done}/{self.count}  {', '.join(self.running)}", "dim",
                                  overflow="ellipsis", no_wrap=True))


def verify(args: Namespace) -> int:
    """Returns the exit code: 0 holds, 1 violated, 2 unknown, 3 harness error."""
    targets = [find_target(name) for name in args.target]
    stories = select(all_stories(), args.tier, args.story, args.family)
    out = report.console()
    if len(targets) > 1:
        return side_by_side(out, args, targets, stories)
    target = targets[0]
    results = stage_all(out, args, target, stories)
    return conclude(out, args, target, target.version(), stories, results)


def stage_all(out: Console, args: Namespace, target: Target, stories: list[Story]
              ) -> list[StoryResult]:
    """The stories on one target, with progress."""
    version = target.version()
    out.print(Text(f"{target.name} {version}: {counted(len(stories), 'story', 'stories')}, "
                   f"{args.jobs} at a time, "
                   f"seed {args.seed}", "bold"))
    plays = [Play(story, target, new_folder(story.name, target.name), args.seed, over=args.over)
             for story in stories]
    with Progress(out, len(plays)) as progress:
        return run_all(plays, args.jobs, progress.begun, progress.ended)


def side_by_side(out: Console, args: Namespace, targets: list[Target], stories: list[Story]) -> int:
    """The same stories on several targets: what each shows, and where they differ."""
    results = {target.name: stage_all(out, args, target, stories) for target in targets}
    checked = {name for story in stories for name in story.checks}
    seen = {item.id for rows in results.values() for row in rows for item in row.violations}
    names = [name for name in guarantees() if name in checked | seen]
    totals, codes = {}, []
    for target in targets:
        totals[target.name] = add_up(target, results[target.name], names)
        codes.append(exit_code(totals[target.name], results[target.name], args.strict))
        for result in results[target.name]:
            report.print_evidence(out, result, target)
    found = compare.differences(targets, results)
    compare.show(out, args, totals, found)
    if args.json:
        report.write_json(args.json, compare.as_json(found, totals))
    for rows in results.values():
        tidy_up(rows, args.keep)
    return next((code for code in (EXIT_VIOLATED, EXIT_HARNESS, EXIT_UNKNOWN) if code in codes),
                EXIT_HOLDS)


def conclude(out: Console, args: Namespace, target: Target, version: str, stories: list[Story],
             results: list[StoryResult]) -> int:
    """Adds up, shows and writes what was seen."""
    checked = {name for story in stories for name in story.checks}
    seen = {item.id for result in results for item in result.violations}
    totals = add_up(target, results, [name for name in guarantees() if name in checked | seen])
    code = exit_code(totals, results, args.strict)
    for result in results:
        report.print_evidence(out, result, target)
    out.print()
    out.print(report.verdict_table(totals, out.width))
    if args.json:
        report.write_json(args.json, report.as_json(target, version, totals, results, args.seed))
    if args.junit:
        report.write_junit(args.junit, target, results, {story.name: story for story in stories},
                           args.strict)
    tidy_up(results, args.keep)
    print_end(out, args, totals, results, code)
    return code


def print_end(out: Console, args: Namespace, totals: list, results: list[StoryResult], code: int
              ) -> None:
    """The sum in one line, and when it is not all well the command that repeats it, last."""
    held = sum(total.verdict == "holds" for total in totals)
    bugs = [total.id for total in totals if total.is_bug]
    findings = [total.id for total in totals if total.is_finding]
    unknown = sum(total.verdict == UNKNOWN for total in totals)
    words = [f"{held} hold", counted(len(bugs), "bug"), counted(len(findings), "finding"),
             f"{unknown} unknown"]
    seconds = sum(result.seconds for result in results)
    out.print()
    out.print(Text(f"{', '.join(words)}; {counted(len(results), 'story', 'stories')}, "
                   f"{seconds:.0f} s of staging", "bold"))
    if code == EXIT_HOLDS:
        return
    to_blame = _to_blame(results, set(bugs) | set(findings), code)
    if to_blame:
        place = report.commit()
        out.print(Text(f"repeat it (commit {place or 'unknown'}): "
                       + report.repeat_command(args.target[0], to_blame, args.over)),
                  soft_wrap=True)


def counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _to_blame(results: list[StoryResult], broken: set[str], code: int) -> StoryResult | None:
    """The story that shows best what went wrong."""
    if code == EXIT_HARNESS:
        return next((result for result in results if result.error), None)
    for result in results:
        if any(item.id in broken for item in result.violations):
            return result
    return next((result for result in results if result.verdict == UNKNOWN), None)


def tidy_up(results: list[StoryResult], keep: bool) -> None:
    """Runs that tell nothing new are not kept; of the others the newest are."""
    for result in results:
        plain = not result.error and not result.trouble and result.verdict not in (VIOLATED,)
        if plain and not keep:
            remove(Path(result.folder))
    prune()
