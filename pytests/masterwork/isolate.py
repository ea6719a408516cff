"""Stages each story in a process of its own, several at a time.

The process is forked, so that it starts in no time; it is a subreaper, so that all its server
leaves behind is found below it; and if it dies itself, what it had becomes ours and is killed here.
A story writes its result to its run folder; what it prints goes beside it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

from masterwork.director import Play, stage
from masterwork.errors import MasterworkError
from masterwork.guardian import wait_for
from masterwork.tree import become_subreaper, descendants, die_with_parent, kill_all
from masterwork.units import NS
from masterwork.verdicts import StoryResult

RESULT = "verdict.json"
TURN_S = 0.05
GRACE_S = 5.0

_runners: set[int] = set()


def run_all(plays: Iterable[Play], jobs: int, begun: Callable[[Play], None] = lambda _: None,
            ended: Callable[[Play, StoryResult], None] = lambda *_: None,
            follow: Callable[[Play, StoryResult], Play | None] = lambda *_: None
            ) -> list[StoryResult]:
    """Stages all plays, `jobs` at a time, and returns their results in the order given. `follow`
    may name one more play when one is over: it is staged next."""
    become_subreaper()
    waiting = list(plays)
    order = [play.folder for play in waiting]
    running: dict[int, tuple[Play, Runner]] = {}
    results: dict[Path, StoryResult] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                play = waiting.pop(0)
                begun(play)
                runner = Runner(play)
                running[runner.pidfd] = (play, runner)
            ready, _, _ = select.select(list(running), [], [], TURN_S)
            for pidfd in list(running):
                play, runner = running[pidfd]
                if pidfd in ready:
                    del running[pidfd]
                    results[play.folder] = runner.result()
                    ended(play, results[play.folder])
                    following = follow(play, results[play.folder])
                    if following:
                        waiting.insert(0, following)
                        order.append(following.folder)
                elif runner.is_late():
                    runner.kill()
    finally:
        for _, runner in running.values():
            runner.stop()
    return [results[folder] for folder in order]


def run_one(play: Play) -> StoryResult:
    return run_all([play], 1)[0]


class Runner:
    """One story being staged in a forked process."""

    def __init__(self, play: Play) -> None:
        self.play = play
        self.begun = time.monotonic()
        self.late = False
        play.folder.parent.mkdir(parents=True, exist_ok=True)
        # What we have now is not the story's: whatever else turns up below us later was its.
        self.before = {item.pid for item in descendants(os.getpid())}
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _child(play)
        _runners.add(self.pid)
        self.pidfd = os.pidfd_open(self.pid)

    def is_late(self) -> bool:
        return time.monotonic() - self.begun > self.play.story.limit_ns / NS["s"]

    def kill(self) -> None:
        self.late = True
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def stop(self) -> None:
        """Ends it in good order if it will, at once if not."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        if not select.select([self.pidfd], [], [], GRACE_S)[0]:
            self.kill()
        self.result()

    def result(self) -> StoryResult:
        """What it wrote, or what happened instead."""
        _, status = os.waitpid(self.pid, 0)
        _runners.discard(self.pid)
        os.close(self.pidfd)
        _clear_orphans(self.before)
        path = self.play.folder / RESULT
        if path.exists() and not self.late:
            return StoryResult.load(path)
        limit = f"was not over after {self.play.story.limit_ns / NS['s']:.0f} s and was killed"
        ended = f"killed by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else \
            f"exit {os.WEXITSTATUS(status)}"
        return StoryResult(
            self.play.story.name, self.play.target.name, folder=str(self.play.folder),
            file=self.play.story.own_file,
            seed=self.play.seed, seconds=time.monotonic() - self.begun,
            error=limit if self.late else f"the director ended without a verdict ({ended})")


def _clear_orphans(before: set[int]) -> None:
    """Kills what a runner that died left to us: children of ours that nobody here started. Its
    guardian is let finish first."""
    wait_for([item.pid for item in descendants(os.getpid())
              if item.parent == os.getpid() and item.pid not in before])
    for item in descendants(os.getpid()):
        if item.parent == os.getpid() and item.pid not in before | _runners:
            kill_all(item.pid)
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(item.pid, signal.SIGKILL)
                os.waitpid(item.pid, 0)


def _child(play: Play) -> None:
    """The forked process: stages the story, writes the result, never returns."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, _terminated)
        die_with_parent(signal.SIGTERM)
        os.setsid()
        log = os.open(play.folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        null = os.open(os.devnull, os.O_RDONLY)
        for source, number in ((null, 0), (log, 1), (log, 2)):
            os.dup2(source, number)
        result = _staged(play)
        play.folder.mkdir(parents=True, exist_ok=True)
        result.save(play.folder / RESULT)
        status = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _staged(play: Play) -> StoryResult:
    begun = time.monotonic()
    try:
        return stage(play)
    except MasterworkError as error:
        why = str(error)
    except Exception:
        why = "the director failed: " + traceback.format_exc()
    return StoryResult(play.story.name, play.target.name, error=why, folder=str(play.folder),
                       file=play.story.own_file,
                       seed=play.seed, seconds=time.monotonic() - begun)


def _terminated(*_: object) -> None:
    raise SystemExit(143)
