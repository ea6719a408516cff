"""Stages one story and says what the judge read.

A server that misbehaves is judged; a harness that fails (a witness died, a program is missing)
gives no verdict at all. A step that waits in vain is noted with the state at that moment, and the
story goes on to its end and the judge: the server may be the culprit.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from masterwork import (ending, logbook, looking, nemesis, reloading, resources, schedule,
                        simulator, upgrading)
from masterwork.catalogue import fault_points, guarantees
from masterwork.errors import HarnessError, NotServing
from masterwork.fitting import fit, why_unfit
from masterwork.paths import program
from masterwork.stage import Stage
from masterwork.stories import MACHINE, Sabotage, Story
from masterwork.targets import Target
from masterwork.units import NS, show_ns
from masterwork.verbs import (Adopt, Arm, Ask, Backend, Cgroup, Check, Config, Crowd, Disarm, Fill,
                              Freeze, Knock, Limit, Load, Observe, Phase, Reload, Repeat, Rotate,
                              Said, Signal, Starve, Status, Step, Stop, Storm, Undo, Upgrade, Wait)
from masterwork.verdicts import HOLDS, UNKNOWN, StoryResult, Verdict

STOP_NS = 15 * NS["s"]
JUDGE_S = 120


@dataclass(frozen=True)
class Spell:
    """A fault for a part of a story: armed when a phase begins ("start": before the server does),
    gone when the next one does, and at the latest after so long."""

    plan: str
    at: str
    lasting_ns: int


@dataclass(frozen=True)
class Play:
    """What is to be staged, and where its run is kept."""

    story: Story
    target: Target
    folder: Path
    seed: int = 1
    sabotage: Sabotage | None = None
    spell: Spell | None = None
    # Is the server to run below the shim, for points that it has not itself?
    shim: bool = False
    # What the clients speak through: "plain", "tls", "unix".
    over: str = "plain"


def armed_points(steps: tuple[Step, ...]) -> set[str]:
    """The fault points that a story's plans name."""
    plans = [step.plan for step in steps if isinstance(step, Arm)]
    inside = [armed_points(step.steps) for step in steps if isinstance(step, Repeat)]
    rules = [rule.split() for plan in plans for rule in re.split(r"[;\n]", plan)]
    return {words[0] for words in rules if words}.union(*inside)


def needs_shim(story: Story, target: Target) -> bool:
    """Do the story's faults come from outside? A target says that it can run below the shim."""
    return ("faults" in story.needs and "faults" not in target.features
            and "shim" in target.features)


def beyond_shim(story: Story) -> list[str]:
    """The story's fault points that are steps which only the server itself can know."""
    points = fault_points()
    return sorted(name for name in armed_points(story.steps)
                  if name in points and "shim" not in points[name].worlds)


def why_not(story: Story, target: Target, over: str = "plain") -> str:
    """Why this story cannot be staged on this target, '' if it can."""
    for need in story.needs:
        if need in MACHINE and resources.why_not(need):
            return resources.why_not(need)
    if story.server.clock_ahead_ns and target.params.get("engine_trace"):
        return f"{target.name} writes a history of its own, which would be on another clock"
    given = (*target.features, *MACHINE, "workers")  # how many workers: see fitting.py
    missing = [need for need in story.needs if need not in given]
    if needs_shim(story, target):
        if names := beyond_shim(story):
            return f"{target.name} has no fault point {', '.join(names)}"
        missing.remove("faults")
    if "root" in missing:
        if os.geteuid() == 0:
            missing.remove("root")
        else:
            return "needs root"
    if missing:
        return f"{target.name} lacks {', '.join(missing)}"
    if target.simulated:
        return schedule.why_not(story)
    if over != "plain" and over not in target.features:
        return f"{target.name} lacks {over}"
    if over == "unix" and re.search(r"wait = \"queue\b", story.file.read_text()):
        return "how many wait at a unix socket is not watched"
    if unfit := why_unfit(story, target):
        return unfit
    if story.loads and all(load.surface not in target.surfaces for load in story.loads):
        return f"{target.name} has none of the paths the story's clients use"
    return ""


def stage(play: Play) -> StoryResult:
    """Stages the story in this process. Raises HarnessError when that says nothing about the
    server."""
    story, target = play.story, play.target
    result = StoryResult(story.name, target.name, folder=str(play.folder), seed=play.seed,
                         sabotage=play.sabotage.plan if play.sabotage else "",
                         file=play.story.own_file)
    result.skipped = why_not(story, target, play.over)
    if result.skipped:
        result.guarantees = [Verdict(name, UNKNOWN, f"not staged: {result.skipped}")
                             for name in story.checks]
        return result
    if target.simulated:
        return simulator.stage(play, result)
    begun = time.monotonic()
    with Stage(target, play.folder, story.server, story.loads, story.params, play.seed,
               play.shim or needs_shim(story, target), play.over) as world:
        shutil.copy(story.file, play.folder / "story.toml")
        performance = Performance(world, play.sabotage, play.spell)
        try:
            performance.run(fit(story, target))
        except HarnessError as error:
            raise HarnessError("\n  before: ".join([str(error), *performance.trouble])) from None
        result.trouble, result.excused = performance.trouble, performance.excused
        result.fired = world.spell_fired()
        result.log_tail = world.state.tail()
    result.guarantees = judged(story, result, judge(play.folder / "history"))
    result.seconds = time.monotonic() - begun
    return result


class Performance:
    """The steps of a story on a stage."""

    def __init__(self, world: Stage, sabotage: Sabotage | None, spell: Spell | None = None
                 ) -> None:
        self.stage = world
        self.sabotage = sabotage
        self.spell = spell
        self.trouble: list[str] = []
        # What did not go as the story says while a spell lasted: it may be the right answer to it.
        self.excused: list[str] = []
        for load in world.missing:
            self.note("", f"the target has no {load.surface} path: {load.name} is left out")
        self.verbs: dict[type, Callable[..., str | None]] = {
            Wait: self.wait, Observe: self.observe, Phase: self.phase, Repeat: self.repeat,
            Signal: lambda step: nemesis.send(world, step),
            Storm: lambda step: nemesis.begin_storm(world, step),
            Limit: lambda step: nemesis.limit(world, step),
            Freeze: lambda step: nemesis.freeze(world, step),
            Cgroup: lambda step: nemesis.cgroup(world, step),
            Fill: lambda step: resources.fill(world, step.disk),
            Crowd: lambda step: resources.crowd(world, step.count),
            Starve: lambda step: nemesis.starve(world, step),
            Backend: lambda step: nemesis.backend(world, step),
            Undo: lambda step: world.undo(step.what),
            Config: lambda step: reloading.write(world, step.changes),
            Check: lambda step: reloading.check(world, step),
            Reload: lambda step: reloading.perform(world, step),
            Upgrade: lambda step: upgrading.perform(world, step),
            Adopt: lambda step: upgrading.adopt(world, step.within_ns),
            Said: lambda step: looking.said(world, step),
            Status: lambda step: looking.status(world, step),
            Knock: lambda step: upgrading.knock(world, step),
            Arm: lambda step: world.arm(step.plan),
            Disarm: lambda step: world.disarm(step.what),
            Load: self.load,
            Rotate: lambda step: logbook.rotate(world, step.within_ns),
            Ask: lambda step: logbook.ask(world, step.within_ns),
            Stop: self.stop,
        }

    def run(self, story: Story) -> None:
        """From the start of the server to its end, whatever the steps left undone."""
        world = self.stage
        if self.begin():
            self.enter("baseline")
            for step in story.steps:
                self.perform(step)
        if not world.stopped:
            world.finish_load()
            self.enter("stop")
            self.perform(Stop("end", "stop = 'graceful'", "graceful", STOP_NS))
        ending.end_by_force(world)
        world.finish_load()
        if world.watch:
            world.loop.quit(world.watch)
        logbook.read(world)
        world.record.put("director.end")

    def begin(self) -> bool:
        """Opens the stage. False: below a spell the server refused to start, as it may."""
        self.faults_at("start")
        try:
            self.stage.open()
        except NotServing as error:
            if not self.spell or self.spell.at != "start":
                raise
            refusal = ending.refused_start(self.stage)
            (self.trouble if refusal else self.excused).append(refusal or str(error))
            self.stage.stopped = True
            return False
        return True

    def perform(self, step: Step) -> None:
        self.stage.state.step_begun = time.monotonic()
        below_spell = self.stage.below_spell
        try:
            complaint = self.verbs[type(step)](step)
        except HarnessError as error:
            raise HarnessError(f"step {step.index} ({step.text}): {error}") from None
        if complaint:
            self.note(f"step {step.index} ({step.text}): ", complaint, state=True,
                      notes=self.excused if below_spell else self.trouble)

    def note(self, where: str, what: str, state: bool = False, notes: list[str] | None = None
             ) -> None:
        lines = self.stage.state.describe() if state else []
        (self.trouble if notes is None else notes).append("\n  ".join([where + what, *lines]))

    def wait(self, step: Wait) -> str:
        state = self.stage.state
        if self.stage.until(step.until.begin(state), step.within_ns):
            return ""
        now = ", ".join(f"{name} is {value:g}" for name, value in step.until.values(state).items())
        return f"not within {show_ns(step.within_ns)}: {now}"

    def observe(self, step: Observe) -> None:
        self.stage.until(lambda: False, step.duration_ns)

    def phase(self, step: Phase) -> None:
        self.enter(step.phase)

    def enter(self, phase: str) -> None:
        world = self.stage
        world.state.begin_phase(phase)
        world.record.put("director.phase", a=world.record.word("phase", phase))
        if self.spell and self.spell.at != phase:
            world.end_spell()
        self.faults_at(phase)

    def faults_at(self, moment: str) -> None:
        if self.sabotage and self.sabotage.at == moment:
            self.stage.fault("arm", self.sabotage.plan)
        if self.spell and self.spell.at == moment:
            self.stage.begin_spell(self.spell.plan, self.spell.lasting_ns)

    def repeat(self, step: Repeat) -> None:
        """Rounds begin by an absolute clock, so that a slow one does not shift the others."""
        begun = time.monotonic_ns()
        for number in range(step.times):
            due = begun + number * step.every_ns
            self.stage.until(lambda: time.monotonic_ns() >= due, max(1, due - time.monotonic_ns()))
            for inner in step.steps:
                self.perform(inner)

    def load(self, step: Load) -> None:
        if self.stage.has_load(step.name):
            rate = f" {step.rate:g}" if step.action == "rate" else ""
            self.stage.say(f"{step.action} {step.name}{rate}")

    def stop(self, step: Stop) -> str:
        return ending.stop(self.stage, step.how, step.within_ns)


def judge(history: Path, only: list[str] | None = None) -> list[Verdict]:
    """What mw-judge reads in a run's history."""
    argv = [str(program("mw-judge")), str(history), "--json"]
    if only:
        argv += ["--only", ",".join(only)]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=JUDGE_S)
    except subprocess.TimeoutExpired:
        raise HarnessError(f"{' '.join(argv)}: no verdict within {JUDGE_S} s") from None
    if done.returncode not in (0, 1, 2):
        raise HarnessError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    rows = json.loads(done.stdout)["guarantees"]
    return [Verdict(row["id"], row["verdict"], row["strength"], row["checked"], row["violated"],
                    row["evidence"]) for row in rows]


def judged(story: Story, result: StoryResult, verdicts: list[Verdict]) -> list[Verdict]:
    """Tells what the story is about from the rest; a story that did not go as written cannot say
    that something holds."""
    known = {item.id for item in verdicts}
    missing = [name for name in story.checks if name not in known]
    if missing or known - set(guarantees()):
        raise HarnessError(f"mw-judge and guarantees.def do not know the same guarantees: "
                           f"{', '.join(missing or known - set(guarantees()))}")
    trouble = next((text for text in result.trouble if text.startswith("step")), None)
    for item in verdicts:
        item.aimed = item.id in story.checks
        item.tolerated = story.tolerates.get(item.id, "")
        if trouble and item.aimed and item.verdict == HOLDS:
            item.verdict = UNKNOWN
            item.strength = "the story did not go as written: " + trouble.splitlines()[0]
    return verdicts
