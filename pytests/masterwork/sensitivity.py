"""`masterwork sensitivity`: the judge is judged. Every sabotage is armed in its story on the engine
and must turn its guarantee to violated; the same stories without one must violate nothing; and
every guarantee has a sabotage that is caught, every sabotage a story. Which story stages which
sabotage is said in the stories alone. Beside it stands what the simulator's proof says of it."""

from __future__ import annotations

import json
import subprocess
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from rich.text import Text

from masterwork import report
from masterwork.catalogue import fault_points, guarantee, guarantees
from masterwork.director import Play, why_not
from masterwork.errors import HarnessError, InputError
from masterwork.isolate import run_all
from masterwork.paths import command_name, program
from masterwork.runs import new_folder
from masterwork.stories import Sabotage, Story, all_stories
from masterwork.targets import Target, find_target
from masterwork.verdicts import EXIT_HARNESS, EXIT_HOLDS, EXIT_VIOLATED, VIOLATED, StoryResult
from masterwork.verify import counted, tidy_up

TARGET = "engine"
SEEDS = "1..600"
PROOF_S = 600


@dataclass(frozen=True)
class Row:
    """One sabotage of one guarantee in one story."""

    story: Story
    sabotage: Sabotage

    @property
    def id(self) -> str:
        return f"{self.story.name}-{self.sabotage.guarantee.replace('/', '.')}-{self.point}"

    @property
    def point(self) -> str:
        """The sabotage itself; other rules of its plan help it along."""
        rules = (rule.split()[0] for rule in self.sabotage.plan.split(";") if rule.split())
        return next((name for name in rules if name.startswith("sabotage.")),
                    self.sabotage.plan.split()[0])


@dataclass
class Matrix:
    """What came of everything: the real engine with and without sabotage, and the simulator."""

    rows: list[Row]
    results: list[StoryResult]
    clean: list[StoryResult]
    # Of each sabotage: "seed 4", "missed", or "-" where the simulator has none.
    simulated: dict[str, str]
    wanted: list[str]
    # Sabotage points that no story stages.
    unused: list[str] = field(default_factory=list)

    def caught(self) -> list[bool]:
        return [is_caught(result, row.sabotage) for row, result in zip(self.rows, self.results)]

    def blind(self) -> list[str]:
        """Guarantees without a sabotage that is caught."""
        covered = {row.sabotage.guarantee for row, yes in zip(self.rows, self.caught()) if yes}
        return [name for name in self.wanted if name not in covered]

    def false_alarms(self) -> list[tuple[StoryResult, str]]:
        """What is violated though nothing was sabotaged."""
        return [(result, item.id) for result in self.clean for item in result.violations]

    def missed_by_simulator(self) -> list[str]:
        return [name for name, word in self.simulated.items() if word == "missed"]


def rows(only: str | None = None) -> list[Row]:
    """Every sabotage of every story."""
    if only:
        guarantee(only)
    found = [Row(story, sabotage) for story in all_stories() for sabotage in story.sabotages
             if only in (None, sabotage.guarantee)]
    if not found:
        raise InputError(f"no story sabotages {only}")
    return found


def unused_points() -> list[str]:
    staged = {row.point for row in rows()} | {word for row in rows()
                                              for word in row.sabotage.plan.split()}
    return [name for name, point in fault_points().items()
            if point.is_sabotage and name not in staged]


def play(row: Row, target: Target, seed: int) -> Play:
    folder = new_folder(row.story.name, target.name, row.sabotage.guarantee.replace("/", "."))
    return Play(row.story, target, folder, seed, row.sabotage)


def is_caught(result: StoryResult, sabotage: Sabotage) -> bool:
    found = result.of(sabotage.guarantee)
    return found is not None and found.verdict == VIOLATED


# ---- the simulator's column ----------------------------------------------------------------------

def proof(seeds: str) -> dict[str, str]:
    """What mw-sim's proof says of every sabotage that it can stage."""
    argv = [str(program("mw-sim")), "proof", "--seeds", seeds, "--json"]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=PROOF_S)
        found = json.loads(done.stdout)["rows"]
        return {row["sabotage"]: f"seed {row['seed']}" if row["caught"] else "missed"
                for row in found}
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError) as error:
        raise HarnessError(f"{' '.join(argv)}: {type(error).__name__}: {error}") from None


# ---- the command ---------------------------------------------------------------------------------

def sensitivity(args: Namespace) -> int:
    """Returns 0 when all is as it must be, 1 when not, 3 when the harness failed."""
    target = find_target(TARGET)
    out = report.console()
    todo = rows(args.guarantee)
    stories = list({row.story.name: row.story for row in todo}.values())
    out.print(Text(f"{target.name} {target.version()}: {counted(len(todo), 'sabotage')} in "
                   f"{counted(len(stories), 'story', 'stories')}, and without; {args.jobs} at a "
                   f"time, seed {args.seed}", "bold"))
    plays = [play(row, target, args.seed) for row in todo]
    bare = [Play(story, target, new_folder(story.name, target.name), args.seed)
            for story in stories if not why_not(story, target)]
    results = run_all([*plays, *bare], args.jobs, ended=teller(out, plays, todo))
    simulated = {name: word for name, word in proof(args.sim_seeds).items()
                 if not args.guarantee or name in {row.point for row in todo}}
    matrix = Matrix(todo, results[:len(todo)], results[len(todo):], simulated,
                    [args.guarantee] if args.guarantee else list(guarantees()),
                    [] if args.guarantee else unused_points())
    out.print()
    show(out, matrix)
    write(args, matrix)
    tidy_up([result for result, yes in zip(matrix.results, matrix.caught()) if yes], keep=False)
    tidy_up(matrix.clean, keep=False)
    return conclude(out, args, matrix)


def teller(out: Console, plays: list[Play], todo: list[Row]) -> Callable[[Play, StoryResult], None]:
    """Prints a line for each run that is over."""
    row_of: dict[Path, Row] = {one.folder: row for one, row in zip(plays, todo)}

    def ended(one: Play, result: StoryResult) -> None:
        row = row_of.get(one.folder)
        if row is None:
            out.print(report.story_line(result))
            return
        yes = is_caught(result, row.sabotage)
        word, colour = ("caught", "green") if yes else ("NOT caught", "bold red")
        if result.error:
            word, colour = "harness error", "bold magenta"
        out.print(Text.assemble((f"{word:>13}", colour), f"  {row.sabotage.guarantee:29} "
                                f"{row.sabotage.plan}"), soft_wrap=not out.is_terminal)
        if not yes:
            out.print(Text(f"{'':15}{why_not_caught(row, result)}", "dim"), soft_wrap=True)
    return ended


def why_not_caught(row: Row, result: StoryResult) -> str:
    item = result.of(row.sabotage.guarantee)
    text = result.error or (f"{item.verdict}: {item.strength}" if item else "")
    return text.splitlines()[0] if text else f"{row.story.name} could not be staged"


def show(out: Console, matrix: Matrix) -> None:
    """Each guarantee with its sabotages: caught in which story, on which seed of the simulator."""
    out.print(Text(f"{'guarantee, sabotage':28} {'real':6} {'story':31} {'simulated':>10}", "bold"))
    for name in matrix.wanted:
        out.print(Text(name, "" if name not in matrix.blind() else "bold red"))
        for row, yes in zip(matrix.rows, matrix.caught()):
            if row.sabotage.guarantee != name:
                continue
            simulated = matrix.simulated.get(row.point, "-")
            out.print(Text.assemble(
                f"  {row.point.removeprefix('sabotage.'):26} ",
                (f"{'caught' if yes else 'MISSED':6}", "green" if yes else "bold red"),
                f" {row.story.name:31} ",
                (f"{simulated:>10}", "bold red" if simulated == "missed" else "")))


def troubles(matrix: Matrix) -> list[str]:
    """Everything that is not as it must be, a sentence each."""
    missed = [f"{row.sabotage.guarantee}: {row.sabotage.plan} is not caught in {row.story.name}"
              for row, yes in zip(matrix.rows, matrix.caught()) if not yes]
    return [*missed,
            *(f"{name}: no sabotage of it is caught: its checker has never been seen to say no"
              for name in matrix.blind()),
            *(f"{name}: no story stages it" for name in matrix.unused),
            *(f"{name}: violated in {result.name} though nothing was sabotaged ({result.folder})"
              for result, name in matrix.false_alarms()),
            *(f"{name}: the simulator's proof does not catch it"
              for name in matrix.missed_by_simulator())]


def conclude(out: Console, args: Namespace, matrix: Matrix) -> int:
    caught = matrix.caught()
    simulated = [word for word in matrix.simulated.values() if word != "missed"]
    covered = len(matrix.wanted) - len(matrix.blind())
    out.print()
    out.print(Text(f"{sum(caught)} of {counted(len(caught), 'sabotage')} caught, {covered} of "
                   f"{counted(len(matrix.wanted), 'guarantee')} have one; "
                   f"{len(simulated)} of {len(matrix.simulated)} caught in the simulator; "
                   f"{counted(len(matrix.false_alarms()), 'false alarm')} in "
                   f"{counted(len(matrix.clean), 'story', 'stories')} without", "bold"),
              soft_wrap=not out.is_terminal)
    for text in troubles(matrix):
        out.print(Text(f"  {text}", "red"), soft_wrap=True)
    errors = [result for result in (*matrix.results, *matrix.clean) if result.error]
    missed = next((row for row, yes in zip(matrix.rows, caught) if not yes), None)
    if missed:
        out.print(f"repeat it: {command_name()} sensitivity --guarantee "
                  f"{missed.sabotage.guarantee} --seed {args.seed}", soft_wrap=True)
    if errors:
        out.print(Text(f"harness: {errors[0].name}: {errors[0].error}", "magenta"), soft_wrap=True)
        return EXIT_HARNESS
    return EXIT_VIOLATED if troubles(matrix) else EXIT_HOLDS


# ---- files ---------------------------------------------------------------------------------------

def write(args: Namespace, matrix: Matrix) -> None:
    if args.json:
        report.write_json(args.json, as_json(matrix, args.seed))
    if args.junit:
        write_junit(args.junit, matrix)


def as_json(matrix: Matrix, seed: int) -> dict[str, Any]:
    return {
        "caught": sum(matrix.caught()), "of": len(matrix.rows), "not_covered": matrix.blind(),
        "not_staged": matrix.unused, "seed": seed, "commit": report.commit(),
        "false_alarms": [{"story": result.name, "guarantee": name, "run": result.folder}
                         for result, name in matrix.false_alarms()],
        "simulated": matrix.simulated, "troubles": troubles(matrix),
        "rows": [{"guarantee": row.sabotage.guarantee, "sabotage": row.point,
                  "plan": row.sabotage.plan, "story": row.story.name, "caught": yes,
                  "caught_by": [item.id for item in result.guarantees
                                if item.verdict == VIOLATED],
                  "simulated": matrix.simulated.get(row.point, "-"), "error": result.error,
                  "run": result.folder}
                 for row, yes, result in zip(matrix.rows, matrix.caught(), matrix.results)]}


def write_junit(path: str, matrix: Matrix) -> None:
    """A test case for each sabotage, for each story without, and for each other trouble."""
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(suites, "testsuite", name="sensitivity")
    cases = [(row.sabotage.guarantee, f"{row.point} in {row.story.name}", result,
              "" if yes else "not caught: " + why_not_caught(row, result))
             for row, yes, result in zip(matrix.rows, matrix.caught(), matrix.results)]
    cases += [("without sabotage", result.name, result,
               ", ".join(item.id for item in result.violations)) for result in matrix.clean]
    cases += [("simulator", name, StoryResult(name, TARGET),
               "not caught" if word == "missed" else "") for name, word in matrix.simulated.items()]
    cases += [("coverage", name, StoryResult(name, TARGET), "no sabotage of it is caught")
              for name in matrix.blind()]
    cases += [("coverage", name, StoryResult(name, TARGET), "no story stages it")
              for name in matrix.unused]
    for group, name, result, failure in cases:
        case = ElementTree.SubElement(suite, "testcase", classname=group, name=name,
                                      time=f"{result.seconds:.3f}")
        if result.error:
            ElementTree.SubElement(case, "error", message=result.error[:200]).text = result.error
        elif failure:
            ElementTree.SubElement(case, "failure", message=failure)
    suite.set("tests", str(len(cases)))
    suite.set("failures", str(sum(bool(case[3]) and not case[2].error for case in cases)))
    suite.set("errors", str(sum(bool(case[2].error) for case in cases)))
    ElementTree.indent(suites)
    ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)
