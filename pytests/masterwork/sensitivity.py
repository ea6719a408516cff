"""`masterwork sensitivity`: the judge is judged. Every sabotage is armed in its story on the engine
and must turn its guarantee to violated; one that is not caught means a blind judge or story."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from masterwork import report
from masterwork.catalogue import guarantee, guarantees
from masterwork.director import Play
from masterwork.errors import InputError
from masterwork.isolate import run_all
from masterwork.paths import command_name
from masterwork.runs import new_folder
from masterwork.stories import Sabotage, Story, all_stories
from masterwork.targets import Target, find_target
from masterwork.verdicts import EXIT_HARNESS, VIOLATED, StoryResult

TARGET = "engine"


@dataclass(frozen=True)
class Row:
    story: Story
    sabotage: Sabotage

    @property
    def id(self) -> str:
        return f"{self.story.name}-{self.sabotage.guarantee.replace('/', '.')}-" + \
            self.sabotage.plan.split()[0]


def rows(only: str | None = None) -> list[Row]:
    """Every sabotage of every story."""
    if only:
        guarantee(only)
    found = [Row(story, sabotage) for story in all_stories() for sabotage in story.sabotages
             if only in (None, sabotage.guarantee)]
    if not found:
        raise InputError(f"no story sabotages {only}")
    return found


def play(row: Row, target: Target, seed: int) -> Play:
    folder = new_folder(row.story.name, target.name, row.sabotage.guarantee.replace("/", "."))
    return Play(row.story, target, folder, seed, row.sabotage)


def is_caught(result: StoryResult, sabotage: Sabotage) -> bool:
    found = result.of(sabotage.guarantee)
    return found is not None and found.verdict == VIOLATED


def sensitivity(args: Namespace) -> int:
    """Returns 0 when all are caught, 1 when one is not, 3 when the harness failed."""
    target = find_target(TARGET)
    out = report.console()
    todo = rows(args.guarantee)
    found: dict[Path, Row] = {}
    plays = []
    for row in todo:
        one = play(row, target, args.seed)
        found[one.folder] = row
        plays.append(one)

    def ended(one: Play, result: StoryResult) -> None:
        sabotage = found[one.folder].sabotage
        caught = is_caught(result, sabotage)
        word, colour = ("caught", "green") if caught else ("NOT caught", "bold red")
        if result.error:
            word, colour = "harness error", "bold magenta"
        item = result.of(sabotage.guarantee)
        seen = (item.evidence[0]["text"] if caught and item and item.evidence else
                result.error or (item.strength if item else ""))
        out.print(Text.assemble((f"{word:>13}", colour), f"  {sabotage.guarantee:29} "
                                f"{sabotage.plan}  ({one.story.name})"))
        if not caught:
            out.print(Text(f"{'':15}{seen.splitlines()[0] if seen else ''}", "dim"))
    results = run_all(plays, args.jobs, ended=ended)
    return conclude(args, todo, results, out)


def conclude(args: Namespace, todo: list[Row], results: list[StoryResult], out) -> int:
    caught = [is_caught(result, row.sabotage) for row, result in zip(todo, results)]
    covered = {row.sabotage.guarantee for row, yes in zip(todo, caught) if yes}
    wanted = [args.guarantee] if args.guarantee else list(guarantees())
    blind = [name for name in wanted if name not in covered]
    if args.json:
        report.write_json(args.json, {
            "caught": sum(caught), "of": len(todo), "not_covered": blind,
            "rows": [{"guarantee": row.sabotage.guarantee, "plan": row.sabotage.plan,
                      "story": row.story.name, "caught": yes, "error": result.error,
                      "run": result.folder}
                     for row, yes, result in zip(todo, caught, results)]})
    out.print()
    out.print(f"{sum(caught)} of {len(todo)} sabotages caught; {len(wanted) - len(blind)} of "
              f"{len(wanted)} guarantees have one that is")
    if all(caught) and not blind:
        return 0
    missed = next((row for row, yes in zip(todo, caught) if not yes), None)
    if blind:
        out.print("without one: " + ", ".join(blind))
    if missed:
        out.print(f"repeat it: {command_name()} sensitivity --guarantee "
                  f"{missed.sabotage.guarantee} --seed {args.seed}", soft_wrap=True)
    return EXIT_HARNESS if all(yes or result.error for yes, result in zip(caught, results)) and \
        any(result.error for result in results) else 1
