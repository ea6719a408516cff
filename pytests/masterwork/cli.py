"""The masterwork command."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path

from masterwork import __version__, report
from masterwork.catalogue import fault_points, guarantees
from masterwork.director import judge
from masterwork.errors import InputError, MasterworkError, suggest
from masterwork.paths import program
from masterwork.sensitivity import SEEDS, sensitivity
from masterwork.simulate import simulate
from masterwork.stories import all_stories, find_story
from masterwork.swarm import SAFETY_S, swarm
from masterwork.sweep import LIFE, MAX_CALLS, MODES, sweep
from masterwork.targets import all_targets
from masterwork.verbs import VERBS
from masterwork.verdicts import EXIT_HARNESS, HOLDS, VIOLATED, worst
from masterwork.variants import OVER, TARGETS, variants
from masterwork.verify import verify

LISTS = ("guarantees", "stories", "targets", "faults", "verbs")


class Parser(argparse.ArgumentParser):
    """Mistakes on the command line end with 3 as all of the harness's own do."""

    def error(self, message: str):
        self.print_usage(sys.stderr)
        self.exit(EXIT_HARNESS, f"masterwork: {message}; see `masterwork --help`\n")


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="masterwork", description="Stages master/worker servers, breaks them, and says with "
        "evidence which guarantees hold.",
        epilog="Exit: 0 holds, 1 violated, 2 unknown, 3 harness error.")
    top.add_argument("--version", action="version", version=f"masterwork {__version__}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND",
                                  parser_class=Parser)
    one = commands.add_parser("verify", help="stage stories on a server and print the verdicts")
    one.add_argument("target", metavar="TARGET", nargs="+",
                     help="engine, nginx, simulator, ... or your ./server.toml; several are "
                     "shown side by side")
    add_stories(one)
    one.add_argument("--junit", metavar="FILE", help="write the verdicts as JUnit XML")
    one.add_argument("--over", choices=OVER, default="plain",
                     help="what all clients speak through (default plain)")
    add_common(one)
    one.set_defaults(run=verify)
    add_variants(commands)
    one = commands.add_parser("sensitivity", help="arm every sabotage: does the judge notice?")
    one.add_argument("--guarantee", metavar="G", help="only sabotages of this guarantee")
    one.add_argument("--json", metavar="FILE", help="write what was caught as JSON")
    one.add_argument("--junit", metavar="FILE", help="write what was caught as JUnit XML")
    one.add_argument("--sim-seeds", default=SEEDS, metavar="A..B",
                     help=f"seeds of the simulator's proof (default {SEEDS})")
    add_common(one)
    one.set_defaults(run=sensitivity)
    add_sweep(commands)
    add_swarm(commands)
    add_tools(commands)
    return top


def add_stories(one: argparse.ArgumentParser) -> None:
    """Which stories are staged, and what is made of them."""
    one.add_argument("--tier", choices=("quick", "full"), default="quick")
    one.add_argument("--story", action="append", default=[], metavar="NAME",
                     help="only this story, by name or file; may be repeated")
    one.add_argument("--family", metavar="F", help="only stories of this family")
    one.add_argument("--strict", action="store_true",
                     help="findings (failures where nothing was promised) fail too")
    one.add_argument("--json", metavar="FILE", help="write the verdicts as JSON")
    one.add_argument("--keep", action="store_true", help="keep the runs of stories that hold too")


def add_variants(commands) -> None:
    one = commands.add_parser("variants", help="the stories over plain TCP, TLS and unix sockets",
                              description="Stages the stories with clients that speak through "
                              "each of these, on the engine and on the engine as a proxy.")
    one.add_argument("--target", action="append", default=[], metavar="TARGET",
                     help=f"may be repeated (default {' and '.join(TARGETS)})")
    one.add_argument("--over", action="append", default=[], choices=OVER,
                     help="may be repeated (default all)")
    add_stories(one)
    add_common(one)
    one.set_defaults(run=variants)


def add_sweep(commands) -> None:
    one = commands.add_parser("sweep", help="fail call 1, 2, 3, ... of a point in a story",
                              description="Fails each call of a fault point in a story, alone and "
                              "with all that follow, until a run is clean.")
    one.add_argument("story", nargs="*", metavar="STORY",
                     help=f"{', '.join(LIFE)} (a phase of the server's life), or any story")
    one.add_argument("--all", action="store_true",
                     help="every call that can fail, in every phase of the server's life")
    one.add_argument("--point", action="append", default=[], metavar="P",
                     help="the fault point; may be repeated")
    one.add_argument("--errno", metavar="E", help="how it fails (default: the point's own)")
    one.add_argument("--role", choices=("master", "worker"), help="only calls of this process")
    one.add_argument("--mode", choices=(*MODES, "both"), default="both")
    one.add_argument("--at", default="", metavar="PHASE", help="when it begins (default: with the "
                     "phase act or stop, else at the start)")
    one.add_argument("--max", type=positive, default=MAX_CALLS, metavar="N",
                     help=f"calls to try at most (default {MAX_CALLS})")
    one.add_argument("--call", type=positive, metavar="N", help="only this call")
    one.add_argument("--target", default="engine", metavar="TARGET")
    one.add_argument("--json", metavar="FILE", help="write what was found as JSON")
    add_common(one)
    one.set_defaults(run=sweep)


def add_swarm(commands) -> None:
    one = commands.add_parser("swarm", help="nemeses and faults drawn from a seed, then calm",
                              description="Load, and nemeses drawn from the seed; then they stop "
                              "and the tree must converge. The schedule is kept as a story.")
    one.add_argument("target", nargs=1, metavar="TARGET",
                     help="engine, nginx, ... or your ./server.toml")
    duration = one.add_mutually_exclusive_group()
    duration.add_argument("--seconds", type=positive, default=SAFETY_S, metavar="N",
                          help=f"of nemeses (default {SAFETY_S})")
    duration.add_argument("--minutes", type=positive, metavar="M", help="the same in minutes")
    one.add_argument("--runs", type=positive, default=1, metavar="N",
                     help="so many seeds, from --seed on (default 1)")
    one.add_argument("--strict", action="store_true",
                     help="findings (failures where nothing was promised) fail too")
    one.add_argument("--json", metavar="FILE", help="write the verdicts as JSON")
    one.add_argument("--junit", metavar="FILE", help="write the verdicts as JUnit XML")
    one.add_argument("--keep", action="store_true", help="keep the runs that hold too")
    add_common(one)
    one.set_defaults(run=swarm, over="plain")


def add_tools(commands) -> None:
    """What stages no story."""
    one = commands.add_parser("simulate", help="search schedules of the simulated server")
    one.add_argument("--seeds", type=positive, default=1000, metavar="N", help="how many (1000)")
    one.add_argument("--first", type=positive, default=1, metavar="N", help="the first one (1)")
    one.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, metavar="N",
                     help="at a time (as many as there are processors)")
    one.add_argument("--plan", action="append", default=[], metavar="RULES",
                     help="fault rules or sabotages, armed in every run")
    one.add_argument("--json", metavar="FILE", help="write what was seen as JSON")
    one.set_defaults(run=simulate)
    one = commands.add_parser("faults", help="mw-fault: arm, disarm, status, watch, run, list ...",
                              description="Hands its words to mw-fault; `masterwork faults help` "
                              "shows what that can do.")
    one.add_argument("words", nargs=argparse.REMAINDER, metavar="WORD")
    one.set_defaults(run=faults)
    one = commands.add_parser("list", help=f"list {', '.join(LISTS)}")
    one.add_argument("what", choices=LISTS)
    one.add_argument("--json", action="store_true")
    one.set_defaults(run=list_command)
    one = commands.add_parser("explain", help="a guarantee, a story or a fault point in words")
    one.add_argument("what", metavar="GUARANTEE|STORY|FAULT")
    one.set_defaults(run=explain)
    one = commands.add_parser("judge", help="judge a run's history again")
    one.add_argument("history", metavar="RUN", help="a run's folder")
    one.add_argument("--only", metavar="ID,ID")
    one.set_defaults(run=judge_command)


def faults(args: argparse.Namespace) -> int:
    """Becomes mw-fault, so that its output, its terminal and its exit status are its own."""
    path = program("mw-fault")
    os.execv(path, ["mw-fault", *(args.words or ["help"])])


def add_common(one: argparse.ArgumentParser) -> None:
    one.add_argument("--jobs", type=positive, default=2, metavar="N",
                     help="stories at a time (default 2)")
    one.add_argument("--seed", type=positive, default=1, metavar="N",
                     help="of the clients, storms and faults (default 1)")


def positive(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a number from 1 is expected, not {text!r}")
    return int(text)


# ---- list ----------------------------------------------------------------------------------------

def rows_of(what: str) -> list[dict[str, str]]:
    if what == "guarantees":
        stories = all_stories()
        return [{"id": item.id, "sentence": item.sentence, "promised_by": item.promised_by,
                 "stories": [story.name for story in stories if item.id in story.checks]}
                for item in guarantees().values()]
    if what == "stories":
        return [{"name": story.name, "tier": story.tier, "summary": story.summary,
                 "checks": list(story.checks)} for story in all_stories()]
    if what == "targets":
        return [{"name": target.name, "summary": target.summary,
                 "programs": list(target.programs)} for target in all_targets()]
    if what == "verbs":
        return [{"name": name, "sentence": sentence} for name, (_, sentence) in VERBS.items()]
    return [dataclasses.asdict(point) for point in fault_points().values()]


def list_command(args: argparse.Namespace) -> int:
    rows = rows_of(args.what)
    if args.json:
        print(json.dumps(rows, indent=1))
        return 0
    first, second = {"stories": ("name", "summary"), "targets": ("name", "summary")}.get(
        args.what, (next(iter(rows[0])), "sentence"))
    width = max(len(row[first]) for row in rows)
    for row in rows:
        print(f"{row[first]:{width}}  {row[second]}")
    return 0


# ---- explain -------------------------------------------------------------------------------------

def explain(args: argparse.Namespace) -> int:
    name = args.what
    if name in guarantees():
        explain_guarantee(name)
    elif name in fault_points():
        explain_fault(name)
    else:
        explain_story(name)
    return 0


def explain_guarantee(name: str) -> None:
    found = guarantees()[name]
    print(f"{name}: {found.sentence}.\nPromised by: {found.promised_by}")
    for target in all_targets():
        promise = target.promise(name)
        print(f"  {target.name}: {promise.kind}" + (f" ({promise.source})" if promise.source
                                                    else ""))
    print("Stories:")
    for story in all_stories():
        if name in story.checks:
            print(f"  {story.name}: {story.summary}")
    print("Sabotages that must turn it to violated:")
    for story in all_stories():
        for sabotage in story.sabotages:
            if sabotage.guarantee == name:
                print(f"  {sabotage.plan}  (in {story.name})")


def explain_fault(name: str) -> None:
    point = fault_points()[name]
    print(f"{name}: {point.sentence}.\nExists in: {', '.join(point.worlds)}\n"
          f"Kinds: {', '.join(point.kinds)}"
          + (f"; errno {point.errno} unless told otherwise" if point.errno else ""))
    if point.guarantees:
        print(f"Must be caught by: {', '.join(point.guarantees)}")
    for story in all_stories():
        plans = [sabotage.plan for sabotage in story.sabotages if name in sabotage.plan]
        if plans or name in story.file.read_text(encoding="utf-8"):
            print(f"  used in {story.name}")


def explain_story(name: str) -> None:
    try:
        story = find_story(name)
    except InputError:
        known = [*guarantees(), *fault_points(), *(story.name for story in all_stories())]
        raise InputError(f"{name!r} is neither a guarantee nor a story nor a fault point."
                         f"{suggest(name, known)}") from None
    print(f"{story.name} ({story.tier}): {story.summary}\n")
    for line in story.file.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        print(line.lstrip("# "))
    print("\nChecks: " + ", ".join(story.checks))
    print("Clients: " + (", ".join(f"{load.name} ({load.kind} on {load.surface})"
                                   for load in story.loads) or "none"))
    print("Steps:")
    for step in story.steps:
        print(f"  {step.index}. {step.text}")


# ---- judge ---------------------------------------------------------------------------------------

def judge_command(args: argparse.Namespace) -> int:
    folder = Path(args.history)
    history = folder / "history" if (folder / "history").is_dir() else folder
    verdicts = judge(history, args.only.split(",") if args.only else None)
    out = report.console()
    for item in verdicts:
        out.print(f"[{report.COLOURS[item.verdict]}]{item.verdict:9}[/] {item.id:30} "
                  f"{item.strength}")
        for piece in item.evidence:
            out.print(f"            {piece['text']}", markup=False)
    result = worst(item.verdict for item in verdicts)
    return {HOLDS: 0, VIOLATED: 1}.get(result, 2)


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    try:
        return args.run(args)
    except MasterworkError as error:
        print(f"masterwork: {error}", file=sys.stderr)
        return EXIT_HARNESS
    except KeyboardInterrupt:
        print("masterwork: interrupted; everything that was started is ended", file=sys.stderr)
        return EXIT_HARNESS
    except BrokenPipeError:
        return EXIT_HARNESS
