"""Stories are written for servers that run as many workers as they are asked for and obey nginx's
signals. What of a story fits a target that does otherwise, and what does not and why."""

from __future__ import annotations

import re
import signal as signals
from collections.abc import Iterator
from dataclasses import replace

from masterwork.conditions import Condition
from masterwork.stories import Story
from masterwork.targets import USUAL_SIGNALS, Target
from masterwork.verbs import Ask, Check, Config, Reload, Repeat, Rotate, Signal, Step, Storm, Wait

# Who obeys what an operator sends; workers have signals of their own.
MASTERS = ("master", "new-master", "all", "group")
ALL_WORKERS = re.compile(r"\b(workers|remaining) == ([1-9]\d*)")


def all_steps(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step, Repeat):
            yield from all_steps(step.steps)


def why_unfit(story: Story, target: Target) -> str:
    """Why the story makes no sense on the target, '' if it does."""
    blocks = story.server.directives.values()
    if any(blocks) and "directives" not in target.features:
        lines = ", ".join(line.split()[0].rstrip(";") for block in blocks for line in block)
        return f"{target.name} has no directives {lines}"
    if story.server.worker_nofile and "descriptor-limit" not in target.features:
        return f"{target.name} sets no limit of descriptors for its workers"
    if story.server.daemon and not target.daemon_argv:
        return f"{target.name} is not known to go to the background"
    steps = list(all_steps(story.steps))
    for step in steps:
        if isinstance(step, Rotate) and not target.access_log:
            return f"{target.name} has no log file to rotate"
        if isinstance(step, Ask) and not target.control_log:
            return f"{target.name} has no log by which it shows that it heard a signal"
    return (_no_such_path(story, steps, target) or _other_signal(steps, target)
            or _other_workers(story, steps, target))


def _no_such_path(story: Story, steps: list[Step], target: Target) -> str:
    """Clients without a path are left out; a story that waits for them would wait in vain."""
    for load in (load for load in story.loads if load.surface not in target.surfaces):
        if any(isinstance(step, Wait) and re.search(rf"\b{load.name}\.", step.until.text)
               for step in steps):
            return f"the story waits for {load.name}, and {target.name} has no {load.surface} path"
    return ""


def _sent(step: Step) -> list[str]:
    """The names of signals that a step sends to a master."""
    if isinstance(step, Signal) and step.to in MASTERS:
        return [signals.Signals(step.signal).name.removeprefix("SIG")]
    if isinstance(step, Storm) and step.to in MASTERS:
        return [word.split(":")[0] for word in step.signals.split(",")]
    return []


def _other_signal(steps: list[Step], target: Target) -> str:
    """A story that names a signal means what nginx takes it for."""
    for name in (name for step in steps for name in _sent(step)):
        for meaning, usual in USUAL_SIGNALS.items():
            if name == usual and target.signals[meaning] != signals.Signals[f"SIG{usual}"]:
                return (f"the story sends {name} for {meaning}, which {target.name} does not take "
                        "it for")
    return ""


def _other_workers(story: Story, steps: list[Step], target: Target) -> str:
    if not target.workers:
        return ""
    few = f"{target.name} runs {target.workers} whatever is asked"
    for step in steps:
        if isinstance(step, (Reload, Config, Check)) and step.changes and step.changes.workers:
            return f"the story changes the number of workers, {few}"
        if isinstance(step, Wait) and any(int(number) != story.server.workers for _, number
                                          in ALL_WORKERS.findall(step.until.text)):
            return f"the story counts some of its workers, {few}"
    if "workers" in story.needs and story.server.workers > target.workers:
        return f"the story needs {story.server.workers} workers, {few}"
    return ""


def fit(story: Story, target: Target) -> Story:
    """The story for a target: where it waits for all its workers, that is as many as run there."""
    if not target.workers:
        return story
    return replace(story, steps=tuple(_fit_step(step, target.workers) for step in story.steps))


def _fit_step(step: Step, workers: int) -> Step:
    if isinstance(step, Repeat):
        return replace(step, steps=tuple(_fit_step(inner, workers) for inner in step.steps))
    if not isinstance(step, Wait):
        return step
    text = ALL_WORKERS.sub(lambda found: f"{found[1]} == {workers}", step.until.text)
    return replace(step, until=Condition(text, step.until.populations, step.until.outcomes))
