"""`masterwork sweep`: in a story call 1, 2, 3, ... of a fault point fails, until a run is clean:
the rule did not fire any more. Each call fails alone (once) and with all that follow it (from then
on, while the spell lasts); whatever the guarantees say then is the server's doing."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from masterwork import report
from masterwork.catalogue import FaultPoint, fault_points
from masterwork.director import Play, Spell
from masterwork.errors import InputError, suggest
from masterwork.isolate import run_all
from masterwork.paths import SWEEPS, command_name
from masterwork.runs import new_folder, remove
from masterwork.stories import Story, find_story, load_story
from masterwork.targets import Target, find_target
from masterwork.units import NS
from masterwork.verbs import Phase
from masterwork.verdicts import (EXIT_HARNESS, EXIT_HOLDS, EXIT_UNKNOWN, EXIT_VIOLATED, StoryResult)
from masterwork.verify import counted

MODES = ("once", "from-then-on")
# Shorter than any bound of a guarantee: what breaks one is not the fault, it is the answer to it.
LASTING_NS = 700 * NS["ms"]
MAX_CALLS = 20
# The phases of a server's life, each a story that reaches every call of it quickly.
LIFE = ("start", "reload", "upgrade", "stop")
# A call that carries a client's bytes takes the client's request with it when it fails: there is
# nothing to hold. A clock and a sleep do not fail; nor does a write to a pipe or eventfd, unless it
# is full, and then its reader wakes up all the same.
HOPELESS = ("net.recv", "net.send", "net.sendfile", "ipc.write", "time.now", "time.sleep")
# What a call that may not succeed cannot but leave undone, if the server's error log says so.
SAID = {"fs.unlink": ("drain/clean-exit", "cannot be removed")}


@dataclass(frozen=True)
class Row:
    """One sweep: a point in a story, in one of the modes."""

    story: Story
    point: str
    errno: str
    role: str
    mode: str
    at: str
    lasting_ns: int = LASTING_NS

    def spell(self, call: int) -> Spell:
        which = f"nth={call}" if self.mode == "once" else f"after={call - 1}"
        role = f" role={self.role}" if self.role else ""
        return Spell(f"{self.point} errno={self.errno} {which}{role}", self.at, self.lasting_ns)


@dataclass
class Found:
    """What came of a row so far."""

    row: Row
    runs: int = 0
    fired: int = 0
    # The last run was clean: no call of the story was left out.
    complete: bool = False
    broken: dict[int, StoryResult] = field(default_factory=dict)
    failed: dict[int, StoryResult] = field(default_factory=dict)


def moment(story: Story, wanted: str = "") -> str:
    """When the spell begins: as told, else with the phase in which the story acts, else at once."""
    phases = [step.phase for step in story.steps if isinstance(step, Phase)]
    known = ["start", "baseline", *phases]
    if wanted and wanted not in known:
        raise InputError(f"--at {wanted}: {story.name} has no such phase.{suggest(wanted, known)}")
    return wanted or next((phase for phase in phases if phase in ("act", "stop")), "start")


def can_fail(point: FaultPoint) -> bool:
    """Is it a system call whose failure a server can be asked to survive?"""
    return "errno" in point.kinds and point.errno != "" and point.name not in HOPELESS and \
        point.name.split(".")[0] in ("net", "proc", "fs", "ipc", "mem")


def find_sweep_story(name: str) -> Story:
    """A phase of LIFE, or any story."""
    path = SWEEPS / f"{name}.toml"
    return load_story(path) if path.exists() else find_story(name)


def rows_of(args: Namespace) -> list[Row]:
    """What the command line asks for."""
    points = fault_points()
    for name in args.point:
        if name not in points:
            raise InputError(f"{name!r} is not a fault point.{suggest(name, points)}")
        if "errno" not in points[name].kinds:
            raise InputError(f"{name!r} cannot fail with an errno; kinds: "
                             f"{', '.join(points[name].kinds)}")
    if not args.all and not (args.story and args.point):
        raise InputError("a story (start, reload, upgrade, stop, or any other) and --point are "
                         "expected, or --all")
    stories = [find_sweep_story(name) for name in args.story or LIFE]
    chosen = args.point or [name for name, point in points.items() if can_fail(point)]
    return [Row(story, name, args.errno or points[name].errno, args.role or "", mode,
                moment(story, args.at))
            for story in stories for name in chosen
            for mode in (MODES if args.mode == "both" else (args.mode,))]


def needs_shim(point: str) -> bool:
    """Does it exist only in calls that are wrapped from outside?"""
    return "engine" not in fault_points()[point].worlds


def play(row: Row, target: Target, call: int, seed: int) -> Play:
    folder = new_folder(row.story.name, target.name, f"{row.point}-{row.mode}-{call}")
    return Play(row.story, target, folder, seed, spell=row.spell(call),
                shim=needs_shim(row.point))


def breaks(point: str, result: StoryResult) -> bool:
    """Did the failing call break what must hold?"""
    guarantee, line = SAID.get(point, ("", ""))
    said = any(line in text for text in result.log_tail)
    broken = [item for item in result.violations if not (item.id == guarantee and said)]
    return bool(broken or result.trouble)


class Sweep:
    """Stages every row call by call, several rows at a time."""

    def __init__(self, rows: list[Row], target: Target, args: Namespace, out: Console) -> None:
        self.rows, self.target, self.args, self.out = rows, target, args, out
        self.found = [Found(row) for row in rows]
        self.under_way: dict[Path, tuple[Found, int]] = {}

    def run(self) -> list[Found]:
        run_all(self.first(), self.args.jobs, follow=self.next)
        return self.found

    def first(self) -> Iterator[Play]:
        for found in self.found:
            yield self.begin(found, self.args.call or 1)

    def begin(self, found: Found, call: int) -> Play:
        one = play(found.row, self.target, call, self.args.seed)
        self.under_way[one.folder] = (found, call)
        return one

    def next(self, one: Play, result: StoryResult) -> Play | None:
        """Takes note of a run; the next call's, if there is one."""
        found, call = self.under_way.pop(one.folder)
        found.runs += 1
        found.fired += bool(result.fired)
        if result.error:
            found.failed[call] = result
        elif result.fired and breaks(found.row.point, result):
            found.broken[call] = result
        else:
            remove(Path(result.folder))
        found.complete = not result.fired and not result.error
        last = self.args.call or self.args.max
        if found.complete or call >= last or result.error:
            self.out.print(line_of(found))
            return None
        return self.begin(found, call + 1)


def line_of(found: Found) -> Text:
    """One row that is over."""
    row = found.row
    word, colour = ("holds", "green") if found.fired else ("not reached", "yellow")
    if found.broken:
        word, colour = "BROKE", "bold red"
    if found.failed:
        word, colour = "harness error", "bold magenta"
    more = "" if found.complete else "+"
    line = Text.assemble((f"{word:>13}", colour), f"  {row.story.name.split('/')[-1]:8} "
                         f"{row.point} {row.errno} {row.mode}  {found.fired}{more} calls")
    for calls in (found.broken, found.failed):
        if calls:
            line.append(f": at {', '.join(map(str, calls))}", "red")
    return line


def summary_table(found: list[Found]) -> Table:
    """A row for each point, a column for each story: how many calls failed, and what broke."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    stories = list(dict.fromkeys(item.row.story.name for item in found))
    table.add_column("failing call", no_wrap=True)
    for name in stories:
        table.add_column(name.split("/")[-1], justify="right", no_wrap=True)
    for point in dict.fromkeys(item.row.point for item in found):
        cells = []
        for name in stories:
            items = [item for item in found
                     if item.row.point == point and item.row.story.name == name]
            broke = sum(len(item.broken) for item in items)
            fired = sum(item.fired for item in items)
            more = "" if all(item.complete for item in items) else "+"
            cells.append(Text(f"{broke} of {fired}{more} BROKE", "bold red") if broke
                         else Text(f"{fired}{more}" if fired else "-"))
        table.add_row(point, *cells)
    return table


def repeat(found: Found, call: int, seed: int, at: str) -> str:
    row = found.row
    name = row.story.name.removeprefix("sweeps/")
    role = f" --role {row.role}" if row.role else ""
    return (f"{command_name()} sweep {name} --point {row.point} --errno {row.errno} --mode "
            f"{row.mode} --call {call}{role} --seed {seed}" + (f" --at {at}" if at else ""))


def explain(out: Console, found: Found, args: Namespace, target: Target) -> None:
    """Every call that broke something, with its evidence and the command that repeats it."""
    for call, result in {**found.broken, **found.failed}.items():
        report.print_evidence(out, dataclasses.replace(result, name=f"{result.name}: "
                              f"{found.row.spell(call).plan}"), target)
        out.print(Text("  repeat it: " + repeat(found, call, args.seed, args.at)), soft_wrap=True)


def as_json(found: list[Found], args: Namespace) -> dict:
    return {
        "runs": sum(item.runs for item in found), "fired": sum(item.fired for item in found),
        "broke": sum(len(item.broken) for item in found), "seed": args.seed,
        "commit": report.commit(),
        "rows": [{
            "story": item.row.story.name, "point": item.row.point, "errno": item.row.errno,
            "mode": item.row.mode, "role": item.row.role, "runs": item.runs, "fired": item.fired,
            "complete": item.complete,
            "broken": [{"call": call, "plan": item.row.spell(call).plan,
                        "guarantees": [one.id for one in result.violations],
                        "trouble": result.trouble, "run": result.folder,
                        "repeat": repeat(item, call, args.seed, args.at)}
                       for call, result in item.broken.items()],
            "errors": {call: result.error for call, result in item.failed.items()},
        } for item in found],
    }


def sweep(args: Namespace) -> int:
    """Returns 0 when all held, 1 when something broke, 2 when nothing was reached, 3 when the
    harness failed."""
    target = find_target(args.target)
    rows = rows_of(args)
    out = report.console()
    out.print(Text(f"{target.name} {target.version()}: {counted(len(rows), 'sweep')}, "
                   f"{args.jobs} at a time, seed {args.seed}", "bold"))
    found = Sweep(rows, target, args, out).run()
    for item in found:
        explain(out, item, args, target)
    out.print()
    if len(rows) > len(MODES):
        out.print(summary_table(found))
        out.print()
    data = as_json(found, args)
    out.print(Text(f"{counted(data['runs'], 'run')}, {data['fired']} with a call that failed, "
                   f"{data['broke']} broke a guarantee", "bold"))
    if args.json:
        report.write_json(args.json, data)
    if data["broke"]:
        return EXIT_VIOLATED
    if any(item.failed for item in found):
        return EXIT_HARNESS
    if not data["fired"]:
        out.print("no call was reached: this says nothing about the server")
        return EXIT_UNKNOWN
    return EXIT_HOLDS
