"""The pytest plugin: story files are tests, and a user's own tests get a server to play with.

    pytest -p masterwork.plugin scenarios/stories --mw-target nginx

A test of one's own:

    def test_reload_under_load(make_target, prober, nemesis, judge):
        target = make_target("nginx", loads=[prober("fresh", rate=100)])
        target.wait("ok >= 100")
        target.reload()
        target.wait("since(ok) >= 100")
        target.stop()
        judge(target).must_hold("reload/zero-loss")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from masterwork import ending, reloading
from masterwork import nemesis as nemesis_module
from masterwork.catalogue import words
from masterwork.conditions import Condition
from masterwork.director import Performance, Play
from masterwork.director import judge as judge_history
from masterwork.errors import InputError
from masterwork.isolate import run_one
from masterwork.record import vocabulary
from masterwork.report import evidence_lines, repeat_command
from masterwork.runs import new_folder
from masterwork.schema import Table
from masterwork.stage import Stage
from masterwork.stories import USUAL_SURFACE, Load, Server, load_story
from masterwork.targets import find_target
from masterwork.units import parse_ns
from masterwork.verbs import (Changes, Context, Reload, Signal, read_step, signal_number_of)
from masterwork.verdicts import HOLDS, UNKNOWN, VIOLATED, StoryResult, Verdict


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("masterwork")
    group.addoption("--mw-target", default="engine", metavar="NAME",
                    help="the server that stories are staged on (default engine)")
    group.addoption("--mw-seed", type=int, default=1, metavar="N", help="seed of the stories")
    group.addoption("--mw-strict", action="store_true",
                    help="failures where nothing was promised fail too")
    parser.addini("mw_target", "the server that stories are staged on", default="")


def target_name(config: pytest.Config) -> str:
    """An argument beats the ini file, which beats the default."""
    given = config.getoption("--mw-target")
    return given if given != "engine" else config.getini("mw_target") or given


# ---- stories as tests ----------------------------------------------------------------------------

def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix == ".toml" and file_path.parent.parent.name == "stories":
        return StoryFile.from_parent(parent, path=file_path)
    return None


class StoryFile(pytest.File):
    def collect(self) -> Iterator[pytest.Item]:
        yield StoryItem.from_parent(self, name=self.path.stem)


class StoryFailed(Exception):
    """The story's verdict is not what it should be."""


class StoryItem(pytest.Item):
    """One story on one target. Unknown is a skip with its reason, never a pass."""

    def runtest(self) -> None:
        story = load_story(self.path)
        target = find_target(target_name(self.config))
        seed = self.config.getoption("--mw-seed")
        result = run_one(Play(story, target, new_folder(story.name, target.name), seed))
        if result.error:
            raise StoryFailed(f"harness: {result.error}")
        strict = self.config.getoption("--mw-strict")
        broken = [item for item in result.violations
                  if strict or target.promise(item.id, story.name).kind == "promised"]
        if broken:
            raise StoryFailed(describe(result, broken, seed))
        unknown = [item for item in result.guarantees if item.aimed and item.verdict != HOLDS]
        if unknown:
            pytest.skip("; ".join(f"{item.id} {item.verdict}: {item.strength}"
                                  for item in unknown))

    def repr_failure(self, excinfo: pytest.ExceptionInfo, style: Any = None) -> Any:
        if isinstance(excinfo.value, StoryFailed):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, 0, f"story {self.path.parent.name}/{self.name}"


def describe(result: StoryResult, broken: list[Verdict], seed: int) -> str:
    """Evidence, what the steps complained of, and the command that repeats it."""
    lines = []
    for item in broken:
        lines.append(f"{item.id}: violated {item.violated} times in {item.checked}")
        lines += [f"  {line}" for line in evidence_lines(item)]
    lines += result.trouble
    lines.append(f"run: {result.folder}")
    lines.append(repeat_command(result.target, result))
    return "\n".join(lines)


# ---- a server to play with -----------------------------------------------------------------------

class Playground:
    """A server with its witnesses, for tests that are written in Python."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    @property
    def pid(self) -> int:
        """The master."""
        return self.stage.server.pid

    @property
    def port(self) -> int:
        return self.stage.server.port.number

    @property
    def workers(self) -> list[int]:
        return self.stage.state.worker_pids()

    @property
    def history(self) -> Path:
        return self.stage.history

    def wait(self, condition: str, within: str = "10s") -> None:
        """Until the condition holds; fails with the state when it does not in time."""
        names = [load.name for load in self.stage.loads]
        question = Condition(condition, names, words("outcome"))
        if not self.stage.until(question.begin(self.stage.state), parse_ns(within)):
            now = question.values(self.stage.state)
            pytest.fail("\n  ".join([f"{condition!r} did not hold within {within}: {now}",
                                     *self.stage.state.describe()]), pytrace=False)

    def phase(self, name: str) -> None:
        self.stage.state.begin_phase(name)
        self.stage.record.put("director.phase", a=self.stage.record.word("phase", name))

    def reload(self, bad: str | None = None, workers: int | None = None, expect: str | None = None,
               within: str = "10s") -> None:
        """Writes a new configuration and waits for the outcome of its reload."""
        step = Reload("", "reload", Changes(workers, bad), expect or ("refused" if bad else "ok"),
                      True, parse_ns(within))
        complaint = reloading.perform(self.stage, step)
        if complaint:
            pytest.fail("\n  ".join([complaint, *self.stage.state.describe()]), pytrace=False)

    def stop(self, how: str = "graceful", within: str = "15s") -> None:
        complaint = ending.stop(self.stage, how, parse_ns(within))
        if complaint:
            pytest.fail(complaint, pytrace=False)

    def finish(self) -> None:
        """Ends what still runs, so that the history is whole."""
        self.stage.finish_load()
        if not self.stage.stopped:
            ending.stop(self.stage, "graceful", parse_ns("15s"))
        if self.stage.watch and self.stage.watch.done is None:
            self.stage.loop.quit(self.stage.watch)
            self.stage.record.put("director.end")


class Nemesis:
    """What can be done to a playground's server."""

    def signal(self, target: Playground, name: str, to: str = "master") -> None:
        step = Signal("", f"signal {name}", signal_number_of(name), to)
        complaint = nemesis_module.send(target.stage, step)
        if complaint:
            pytest.fail(complaint, pytrace=False)

    def kill(self, target: Playground, to: str = "worker") -> None:
        self.signal(target, "KILL", to)

    def do(self, target: Playground, **step: Any) -> None:
        """Any step of a story, in its words: nemesis.do(target, freeze="worker", lasting="60ms").
        What it did is undone when the test ends, or by nemesis.undo()."""
        stage = target.stage
        context = Context(tuple(load.name for load in stage.loads), words("outcome"))
        performance = Performance(stage, None)
        performance.perform(read_step(Table(step, "nemesis.do"), context, "1"))
        if performance.trouble:
            pytest.fail("\n".join(performance.trouble), pytrace=False)

    def undo(self, target: Playground, what: str = "all") -> None:
        target.stage.undo(what)

    def arm(self, target: Playground, plan: str) -> None:
        target.stage.arm(plan)

    def disarm(self, target: Playground) -> None:
        target.stage.disarm("all")


class Judgement:
    """What the judge read in a playground's history."""

    def __init__(self, verdicts: list[Verdict]) -> None:
        self.verdicts = {item.id: item for item in verdicts}

    def __getitem__(self, guarantee: str) -> str:
        return self.verdicts[guarantee].verdict

    def must_hold(self, *guarantees: str) -> None:
        """Fails with the evidence where one is violated, and with the reason where unknown."""
        for name in guarantees:
            item = self.verdicts[name]
            if item.verdict == VIOLATED:
                pytest.fail("\n".join([f"{name} is violated", *evidence_lines(item)]),
                            pytrace=False)
            if item.verdict == UNKNOWN:
                pytest.fail(f"{name} is unknown: {item.strength}", pytrace=False)


@pytest.fixture
def make_target(request: pytest.FixtureRequest) -> Iterator[Callable[..., Playground]]:
    """make_target("nginx", loads=[...], workers=3): a running server, cleared away afterwards."""
    open_stages: list[Stage] = []

    def make(name: str | None = None, loads: list[Load] | tuple[Load, ...] = (),
             params: dict[str, int] | None = None, **server: Any) -> Playground:
        target = find_target(name or target_name(request.config))
        folder = new_folder(f"test/{request.node.name}"[:60].replace("[", "-").replace("]", ""),
                            target.name)
        stage = Stage(target, folder, Server(**server), tuple(loads), params,
                      request.config.getoption("--mw-seed"))
        stage.__enter__()
        open_stages.append(stage)
        stage.open()
        playground = Playground(stage)
        playground.phase("baseline")
        return playground
    try:
        yield make
    finally:
        for stage in reversed(open_stages):
            stage.__exit__(None, None, None)


@pytest.fixture
def target(make_target: Callable[..., Playground]) -> Playground:
    """The --mw-target server with its usual configuration, running."""
    return make_target()


@pytest.fixture
def prober() -> Callable[..., Load]:
    """prober("fresh", rate=100): a population of clients for make_target(loads=[...])."""
    def population(kind: str, name: str | None = None, on: str | None = None, paused: bool = False,
                   **options: int | float) -> Load:
        if kind not in words("population"):
            raise InputError(f"{kind!r} is not a kind of clients: {', '.join(words('population'))}")
        return Load(name or kind, kind, on or USUAL_SURFACE.get(kind, "echo"), paused,
                    dict(options))
    return population


@pytest.fixture
def nemesis() -> Nemesis:
    """Signals, faults, and everything else that a story can do to a server."""
    return Nemesis()


@pytest.fixture
def history() -> Callable[[Playground], Any]:
    """history(target): all records of the run so far of the director, as a numpy array."""
    def read(playground: Playground) -> Any:
        path = playground.history / "director.mwh"
        return np.fromfile(path, vocabulary().record)[1:]
    return read


@pytest.fixture
def judge() -> Callable[[Playground], Judgement]:
    """judge(target): stops what still runs and says what holds."""
    def judged(playground: Playground) -> Judgement:
        playground.finish()
        return Judgement(judge_history(playground.history))
    return judged
