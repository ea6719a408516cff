"""What the user sees: the table of verdicts and the evidence, JSON, JUnit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO
from xml.etree import ElementTree

from rich.console import Console
from rich.table import Table
from rich.text import Text

from masterwork.paths import ROOT, command_name
from masterwork.stories import Story
from masterwork.targets import Promise, Target
from masterwork.verdicts import HOLDS, UNKNOWN, VIOLATED, StoryResult, Total, Verdict

COLOURS = {HOLDS: "green", UNKNOWN: "yellow", VIOLATED: "bold red"}
WIDTH = 80
EVIDENCE_SHOWN = 2
AROUND_SHOWN = 6


def console(file: IO[str] | None = None) -> Console:
    """As wide as the terminal, or 80 columns; plain where it is none, or with NO_COLOR."""
    out = file or sys.stdout
    plain = not out.isatty() or bool(os.environ.get("NO_COLOR"))
    return Console(file=out, width=None if out.isatty() else WIDTH, no_color=plain,
                   highlight=False, soft_wrap=False)


def story_line(result: StoryResult) -> Text:
    """One line when a story is over."""
    word, colour = result.verdict, COLOURS[result.verdict]
    if result.error:
        word, colour = "harness error", "bold magenta"
    elif result.skipped:
        word = "not staged"
    line = Text.assemble((f"{word:>13}", colour), f"  {result.name}")
    if result.skipped:
        return line.append(f"  ({result.skipped})", "dim")
    line.append(f"  {result.seconds:.1f} s", "dim")
    broken = [item.id for item in result.violations]
    if broken:
        line.append("  " + ", ".join(broken), "red")
    return line


def verdict_table(totals: list[Total], width: int) -> Table:
    """A row for each guarantee; the last column gets what the others leave of `width`."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    columns = {"guarantee": 29, "verdict": 8, "stories": 7}
    for name, size in columns.items():
        table.add_column(name, no_wrap=True, width=size,
                         justify="right" if name == "stories" else "left")
    rest = width - sum(columns.values()) - 2 * len(columns) - 2
    table.add_column("what was seen", overflow="ellipsis", no_wrap=True, width=rest)
    for total in totals:
        word = total.verdict
        if total.is_bug:
            word = "BUG"
        elif total.is_finding:
            word = "finding"
        table.add_row(total.id, Text(word, COLOURS[total.verdict]), str(total.stories),
                      Text(total.strength, "dim" if total.verdict == HOLDS else ""))
    return table


def say(out: Console, text: str, style: str = "") -> None:
    """A line of evidence; wrapped only where somebody looks at it on a terminal."""
    out.print(Text(text, style), soft_wrap=not out.is_terminal)


def print_evidence(out: Console, result: StoryResult, target: Target) -> None:
    """Why a story does not simply hold: violations with their records, steps that failed."""
    broken = result.violations
    if not broken and not result.trouble and not result.error:
        return
    out.print()
    say(out, f"{result.name} on {result.target}", "bold")
    if result.error:
        say(out, f"  harness: {result.error}", "magenta")
    for item in broken:
        _print_violation(out, item, target.promise(item.id, result.name))
    for text in result.trouble:
        say(out, f"  {text}", "yellow")
    say(out, f"  run: {_short(Path(result.folder))}", "dim")


def _print_violation(out: Console, item: Verdict, promise: Promise) -> None:
    source = f": {promise.source}" if promise.source else ""
    say(out, f"  {item.id}: violated {item.violated} times in {item.checked} "
             f"({promise.kind}{source})", "red")
    for piece in item.evidence[:EVIDENCE_SHOWN if promise.kind == "promised" else 1]:
        say(out, f"    {piece['text']}")
        for label, line in (("saw", piece.get("culprit")), ("because", piece.get("cause"))):
            if line:
                say(out, f"      {label:8}{line}", "dim")
        for line in (piece.get("around") or [])[:AROUND_SHOWN]:
            say(out, f"              {line}", "dim")


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def repeat_command(target: str, result: StoryResult, over: str = "plain") -> str:
    story = result.file or result.name
    more = f" --over {over}" if over != "plain" else ""
    return f"{command_name()} verify {target} --story {story} --seed {result.seed}{more}"


def commit() -> str:
    """The commit of the project's files, '' where there is none."""
    done = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"],
                          capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


# ---- files ---------------------------------------------------------------------------------------

def as_json(target: Target, version: str, totals: list[Total], results: list[StoryResult],
            seed: int) -> dict:
    """The machine's form of the verdicts."""
    return {
        "target": target.name, "version": version,
        "guarantees": {total.id: total.verdict for total in totals},
        "stories": [{
            "name": result.name, "seconds": round(result.seconds, 3), "verdict": result.verdict,
            "skipped": result.skipped, "error": result.error, "trouble": result.trouble,
            "run": result.folder,
            "guarantees": [{"id": item.id, "verdict": item.verdict, "strength": item.strength,
                            "evidence": item.evidence, "aimed": item.aimed}
                           for item in result.guarantees if result.counts(item)],
        } for result in results],
        "promises": {total.id: total.promise for total in totals},
        "bugs": [total.id for total in totals if total.is_bug],
        "findings": [total.id for total in totals if total.is_finding],
        "seed": seed, "commit": commit(),
    }


def write_json(path: str, data: dict) -> None:
    Path(path).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def write_junit(path: str, target: Target, results: list[StoryResult],
                stories: dict[str, Story], strict: bool) -> None:
    """A test case for each guarantee a story is about."""
    suites = ElementTree.Element("testsuites")
    for result in results:
        rows = [item for item in result.guarantees if result.counts(item)]
        suite = ElementTree.SubElement(suites, "testsuite", name=f"{target.name}/{result.name}",
                                       tests=str(len(rows)), time=f"{result.seconds:.3f}")
        failures = skipped = 0
        if result.error:
            case = ElementTree.SubElement(suite, "testcase", classname=result.name, name="staged")
            ElementTree.SubElement(case, "error", message=result.error[:200]).text = result.error
        for item in rows:
            case = ElementTree.SubElement(suite, "testcase", classname=result.name, name=item.id,
                                          time=f"{result.seconds / len(rows):.3f}")
            promised = target.promise(item.id, result.name).kind == "promised"
            if item.verdict == VIOLATED and (promised or strict):
                failures += 1
                failure = ElementTree.SubElement(case, "failure", message=item.summary())
                failure.text = "\n".join(evidence_lines(item))
            elif item.verdict != HOLDS:
                skipped += 1
                ElementTree.SubElement(case, "skipped",
                                       message=f"{item.verdict}: {item.summary()}")
        story = stories.get(result.name)
        if story:
            ElementTree.SubElement(suite, "system-out").text = story.summary
        suite.set("failures", str(failures))
        suite.set("skipped", str(skipped))
        suite.set("errors", str(int(bool(result.error))))
    ElementTree.indent(suites)
    ElementTree.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def evidence_lines(item: Verdict) -> list[str]:
    lines = []
    for piece in item.evidence:
        lines.append(piece["text"])
        lines += [f"  {line}" for line in (piece.get("culprit"), piece.get("cause")) if line]
        lines += [f"    {line}" for line in piece.get("around") or []]
    return lines
