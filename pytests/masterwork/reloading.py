"""Reloads: asking for one and finding out what became of it."""

from __future__ import annotations

import os
import subprocess
import time

from masterwork.stage import Stage
from masterwork.tree import caught_signals, children_count, fd_count
from masterwork.units import NS
from masterwork.verbs import Changes, Check, Reload

SETTLE_NS = 4 * NS["s"]


def write(stage: Stage, changes: Changes) -> None:
    """A new configuration file with the next number."""
    stage.write_config(stage.state.config + 1, valid=changes.bad is None,
                       workers=changes.workers, bad=changes.bad)


def perform(stage: Stage, step: Reload) -> str:
    """Carries out one reload step. Returns what went wrong with it, '' if nothing."""
    if step.changes is not None:
        write(stage, step.changes)
    fails = step.expect in ("refused", "undone")
    if fails and step.wait:
        baseline(stage, 0)
    number, sequence, begun = stage.state.config, stage.next_number(), time.monotonic_ns()
    refusals = stage.server.refusals()
    stage.record.put("director.reload", begun, pid=stage.server.pid, gen=number,
                     a=int(not fails), b=sequence)
    if not step.wait:
        stage.server.signal(stage.target.signals["reload"])
        return ""
    command = stage.server.request_reload()
    report = (command_report(stage, command, step.within_ns) if command else
              seen_report(stage, number, refusals, fails, step.within_ns))
    stage.record.put("director.reloaded", pid=stage.server.pid, gen=number,
                     a=stage.record.word("report", report), b=sequence,
                     c=time.monotonic_ns() - begun)
    stage.state.reports.add(report)
    if fails:
        after_failure(stage)
    elif report == "ok":
        see_cut_over(stage, number, sequence)
    if report != step.expect:
        return f"the reload was reported {report!r}, {step.expect!r} was expected"
    return ""


def check(stage: Stage, step: Check) -> str:
    """Has the server test the file, as an operator would before a reload."""
    if not stage.target.check_argv:
        return "the target cannot test a configuration"
    if step.changes is not None:
        write(stage, step.changes)
    valid, number = int(stage.state.config == stage.state.good_config), stage.state.config
    stage.record.put("director.check", pid=os.getpid(), gen=number, c=valid)
    argv = [stage.server.fill(word) for word in stage.target.check_argv]
    board = {"MW_FAULT_BOARD": str(stage.board)} if stage.board else {}
    command = subprocess.Popen(argv, cwd=stage.folder, env={**os.environ, **board},
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
    if not stage.until(lambda: command.poll() is not None, SETTLE_NS):
        command.kill()
    stage.record.put("director.check", pid=os.getpid(), gen=number, a=1,
                     b=command.wait() % 256, c=valid)
    return ""


def command_report(stage: Stage, command: subprocess.Popen[str], within_ns: int) -> str:
    """What a command that waits for the outcome printed."""
    if not stage.until(lambda: command.poll() is not None, within_ns):
        command.kill()
        command.communicate()
        return "none"
    out = command.communicate()[0]
    with open(stage.folder / "reloads.out", "a", encoding="utf-8") as log:
        log.write(f"exit {command.returncode}: {out}")
    return stage.server.outcome_in(out, command.returncode)


def seen_report(stage: Stage, number: int, refusals: int, fails: bool, within_ns: int) -> str:
    """A server that reports nothing is looked at: a new line that refuses, or the new answer."""
    found = "none"

    def known() -> bool:
        nonlocal found
        if stage.server.refusals() > refusals:
            found = "refused"
        elif not fails:
            answer = stage.server.probe()
            if answer is not None and answer.generation >= number:
                found = "ok"
        return found != "none"
    stage.until(known, within_ns)
    return found


def see_cut_over(stage: Stage, number: int, sequence: int) -> None:
    """After a report of success a new connection should meet the new configuration."""
    answer = stage.server.probe()
    if answer is not None and answer.generation >= number:
        stage.record.put("director.cut_over", pid=stage.server.pid, gen=number, a=sequence)


def baseline(stage: Stage, after: int) -> None:
    """The master's state before (0) and after (1) a reload that is to fail."""
    pid = stage.server.pid
    stage.record.put("director.baseline", pid=pid, a=after,
                     b=fd_count(pid) << 32 | children_count(pid), c=caught_signals(pid))
    stage.state.before_failure = (fd_count(pid), children_count(pid))


def after_failure(stage: Stage) -> None:
    """Compares once the master is as it was, or has had the time to be."""
    pid, before = stage.server.pid, stage.state.before_failure
    stage.until(lambda: (fd_count(pid), children_count(pid)) == before, SETTLE_NS)
    baseline(stage, 1)
