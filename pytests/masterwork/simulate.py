"""`masterwork simulate`: schedules drawn from seeds, run by mw-sim, with progress and findings."""

from __future__ import annotations

import json
import shlex
import subprocess
import threading
from argparse import Namespace
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from masterwork import report
from masterwork.errors import HarnessError
from masterwork.paths import bin_folder, command_name, program
from masterwork.verdicts import EXIT_HOLDS, EXIT_VIOLATED

# mw-sim's own exit codes; a mistake (3) is the harness's.
HOLDS, VIOLATED, NO_PROGRESS, BROKEN, CRASH = 0, 1, 4, 5, 6
FOUND = {VIOLATED: "a guarantee is violated", NO_PROGRESS: "a tree did not converge",
         BROKEN: "an invariant is broken", CRASH: "the core or the simulator crashed"}


def span(seconds: float) -> str:
    """A length of time for people."""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def progress_line(state: dict) -> str:
    wall = state["wall_s"] or 1e-9
    found = [f"{state[key]} {word}" for key, word in
             (("violations", "violated"), ("no_progress", "stuck"), ("broken", "broken"))
             if state[key]]
    return (f"{state['seeds']:,}/{state['of']:,} seeds  {state['seeds'] / wall:.0f}/s  "
            f"{span(state['simulated_s'])} simulated  {', '.join(found) or 'nothing found'}")


class Watcher(threading.Thread):
    """Reads mw-sim's progress; shows it where somebody looks."""

    def __init__(self, stream, out: Console) -> None:
        super().__init__(daemon=True)
        self.stream, self.other = stream, []
        self.live = Live(console=out, transient=True, refresh_per_second=4) \
            if out.is_terminal and not out.no_color else None

    def run(self) -> None:
        if self.live:
            self.live.start()
        for line in self.stream:
            try:
                state = json.loads(line)
            except ValueError:
                self.other.append(line)
                continue
            if self.live:
                self.live.update(Text(progress_line(state), "dim", overflow="ellipsis",
                                      no_wrap=True))
        if self.live:
            self.live.stop()


def simulate(args: Namespace) -> int:
    """Returns 0 when all held, 1 when something was found, 3 when the harness failed."""
    out = report.console()
    last = args.first + args.seeds - 1
    argv = [str(program("mw-sim")), "swarm", "--seeds", f"{args.first}..{last}", "--jobs",
            str(args.jobs), "--json", "--progress", "--keep-going"]
    for plan in args.plan:
        argv += ["--plan", plan]
    out.print(Text(f"simulator: seeds {args.first} to {last}, {args.jobs} at a time", "bold"))
    running = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert running.stdout and running.stderr
    watcher = Watcher(running.stderr, out)
    watcher.start()
    try:
        told = running.stdout.read()
        code = running.wait()
    finally:
        running.kill()
        watcher.join()
    if code not in (HOLDS, *FOUND):
        raise HarnessError(f"{shlex.join(argv)}: exit {code}: {''.join(watcher.other) or told}")
    if code == CRASH:
        out.print(Text(told.strip(), "bold red"), soft_wrap=True)
        return EXIT_VIOLATED
    return conclude(out, args, json.loads(told), code)


def conclude(out: Console, args: Namespace, swarm: dict, code: int) -> int:
    out.print()
    out.print(seeds_table(swarm))
    silent = [name for name, row in swarm["guarantees"].items()
              if row["holds"] + row["violated"] == 0]
    if silent:
        out.print(Text("no evidence: " + ", ".join(silent), "dim"))
    out.print()
    out.print(Text(progress_line({**swarm, "of": swarm["seeds"]}), "bold"))
    if args.json:
        Path(args.json).write_text(json.dumps(swarm, indent=1) + "\n", encoding="utf-8")
    if code == HOLDS:
        return EXIT_HOLDS
    out.print(Text(FOUND[code] + "; look at one, make it small, keep it:", "red"))
    plans = "".join(f" --plan {shlex.quote(plan)}" for plan in args.plan)
    sim = _shown(bin_folder() / "mw-sim")
    for name, row in swarm["guarantees"].items():
        if row["violated"]:
            out.print(f"  {sim} shrink {row['first_seed']} --only {name}{plans} --save found",
                      soft_wrap=True)
    out.print(f"repeat it: {command_name()} simulate --first {args.first} --seeds {args.seeds}"
              f"{plans}", soft_wrap=True)
    return EXIT_VIOLATED


def seeds_table(swarm: dict) -> Table:
    """A row for each guarantee that any schedule gave evidence for."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, justify in (("guarantee", "left"), ("held in", "right"), ("violated", "right"),
                          ("first seed", "right")):
        table.add_column(name, no_wrap=True, justify=justify)
    for name, row in swarm["guarantees"].items():
        if row["holds"] + row["violated"] == 0:
            continue
        bad = row["violated"] > 0
        table.add_row(name, f"{row['holds']:,}", Text(f"{row['violated']:,}" if bad else "",
                                                      "bold red"),
                      str(row["first_seed"]) if bad else "")
    return table


def _shown(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
