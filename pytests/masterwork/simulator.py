"""Stories in the simulated world: mw-sim runs the schedule that a story becomes, and the same judge
reads the history that it leaves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

from masterwork import director
from masterwork.errors import HarnessError
from masterwork.paths import program
from masterwork.schedule import NotSimulated, Schedule
from masterwork.stage import known_params
from masterwork.verdicts import StoryResult, UNKNOWN, Verdict

if TYPE_CHECKING:
    from masterwork.director import Play

RAN = (0, 1, 4)
WORDS = {3: "it was refused", 5: "an invariant of the core is broken", 6: "it crashed"}


def stage(play: Play, result: StoryResult) -> StoryResult:
    """Runs the play's schedule and fills in what was seen."""
    story = play.story
    begun = time.monotonic()
    params = known_params(play.target, story.server, story.params, False)
    try:
        schedule = Schedule(story, params, play.seed, play.sabotage)
    except NotSimulated as error:  # only a sabotage's plan: the story itself was looked at before
        result.skipped = f"not simulated: {error}"
        result.guarantees = [Verdict(name, UNKNOWN, f"not staged: {result.skipped}")
                             for name in story.checks]
        return result
    play.folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(story.file, play.folder / "story.toml")
    file = play.folder / "schedule"
    file.write_text(schedule.text, encoding="utf-8")
    told = run(file, play.folder / "history", story.limit_ns / 1e9)
    result.trouble = [trouble_of(schedule, line) for line in told["trouble"]]
    if told["broken"]:
        result.trouble.append(f"step end: {told['broken']}")
    verdicts = director.judge(play.folder / "history")
    result.guarantees = director.judged(story, result, verdicts)
    result.seconds = time.monotonic() - begun
    return result


def run(file, history, limit_s: float) -> dict:
    """What mw-sim says of one schedule."""
    argv = [str(program("mw-sim")), "run", str(file), "--history", str(history), "--json"]
    shutil.rmtree(history, ignore_errors=True)
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        raise HarnessError(f"{' '.join(argv)}: not over within {limit_s:.0f} s") from None
    if done.returncode not in RAN:
        why = WORDS.get(done.returncode, f"exit {done.returncode}")
        raise HarnessError(f"{' '.join(argv)}: {why}: {(done.stderr or done.stdout).strip()}")
    return json.loads(done.stdout)


def trouble_of(schedule: Schedule, line: str) -> str:
    """mw-sim counts acts; people count the story's steps."""
    match = re.fullmatch(r"act (\d+): (.*)", line)
    if not match:
        return f"step ?: {line}"
    step = schedule.steps[int(match[1]) - 1]
    return f"step {step.index} ({step.text}): {match[2]}"
