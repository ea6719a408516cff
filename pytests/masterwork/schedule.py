"""A story in the language of mw-sim's schedules (`mw-sim help`): the same steps, loads and bounds,
for the simulated world. What that world does not have is said, never left out."""

from __future__ import annotations

import ast
import signal as signals
from collections.abc import Iterator

from masterwork.catalogue import fault_points
from masterwork.conditions import ARITHMETIC, COMPARISONS, Condition
from masterwork.stage import CLIENT_TIMEOUT_MS
from masterwork.stories import Load, Sabotage, Story
from masterwork.units import NS
from masterwork.verbs import (Arm, Ask, Backend, Config, Disarm, Limit, Load as LoadStep, Observe,
                              Phase, Reload, Repeat, Rotate, Signal, Step, Stop, Storm, Wait)

POPULATIONS = ("fresh", "pooled", "post", "upload", "download", "stream", "held", "idle")
HELPED = ("upload",)  # whom a server's helper answers
MOST_CONNECTIONS = 90
MOST_WORKERS = 8
SETTLE = "4s"
END = "15s"
EVERY_RULE = 99
SLOW_MS = 50
LONG_MS = 3_600_000
OPERATORS = {ast.Eq: "==", ast.NotEq: "!=", ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">",
             ast.GtE: ">=", ast.Add: "+", ast.Sub: "-", ast.Mult: "*"}
assert set(OPERATORS) == set(COMPARISONS) | set(ARITHMETIC)


class NotSimulated(Exception):
    """The story needs something that the simulated world does not have."""


def why_not(story: Story) -> str:
    """Why the story cannot be staged in the simulation, '' if it can."""
    try:
        Schedule(story, {}, 1, None)
    except NotSimulated as error:
        return f"not simulated: {error}"
    return ""


def milliseconds(ns: int) -> str:
    return f"{max(1, round(ns / NS['ms'])) if ns else 0}ms"


# ---- conditions ----------------------------------------------------------------------------------

def postfix(condition: Condition) -> str:
    return " ".join(_postfix(condition.tree))


def _postfix(node: ast.expr) -> Iterator[str]:
    match node:
        case ast.BoolOp(op=op, values=values):
            for number, value in enumerate(values):
                yield from _postfix(value)
                if number:
                    yield "and" if isinstance(op, ast.And) else "or"
        case ast.UnaryOp(op=op, operand=operand):
            yield from _postfix(operand)
            yield "not" if isinstance(op, ast.Not) else "neg"
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            values = [left, *comparators]
            for number, op in enumerate(ops):
                yield from _postfix(values[number])
                yield from _postfix(values[number + 1])
                yield OPERATORS[type(op)]
                if number:
                    yield "and"
        case ast.BinOp(left=left, op=op, right=right):
            yield from _postfix(left)
            yield from _postfix(right)
            yield OPERATORS[type(op)]
        case ast.Constant(value=value):
            yield f"{value:g}"
        case ast.Name(id=name):
            yield name
        case ast.Attribute(value=ast.Name(id=population), attr=name):
            yield f"{population}.{name.replace('_', '-')}"
        case ast.Call(func=ast.Name(id="since"), args=[argument]):
            yield from _postfix(argument)
            yield from _postfix(argument)
            yield from ("begin", "-")
        case ast.Call():
            raise NotSimulated("it reads the error log, and nothing is logged")


# ---- a story -------------------------------------------------------------------------------------

class Schedule:
    """The text, and which step of the story each act stands for."""

    def __init__(self, story: Story, params: dict[str, int], seed: int,
                 sabotage: Sabotage | None) -> None:
        self.lines: list[str] = []
        self.steps: list[Step] = []
        self.story, self.sabotage = story, sabotage
        self.workers = story.server.workers
        self._head(params, seed)
        for load in story.loads:
            self._load(load)
        if sabotage:
            self._check_plan(sabotage.plan)
        for step in story.steps:
            self._step(step, False)
        if not any(isinstance(step, Stop) for step in story.steps):
            self._end()

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"

    def _say(self, *words: object) -> None:
        self.lines.append(" ".join(map(str, words)))

    def _then(self, step: Step, *words: object) -> None:
        self._say("then", *words)
        self.steps.append(step)

    # ---- the world -----------------------------------------------------------------------------

    def _head(self, params: dict[str, int], seed: int) -> None:
        server = self.story.server
        if server.reuseport:
            raise NotSimulated("listeners of its own for each worker (reuseport)")
        if any(server.directives.values()):
            raise NotSimulated("directives of its own in the configuration")
        if server.workers > MOST_WORKERS:
            raise NotSimulated(f"more than {MOST_WORKERS} workers")
        self._say("mw-sim schedule")
        self._say("seed", seed)
        self._say("story", self.story.name)
        self._say("workers", server.workers)
        self._say("connections", min(server.worker_connections, MOST_CONNECTIONS))
        for name, value in (("fd-limit", server.worker_nofile), ("backlog", server.backlog)):
            if value:
                self._say(name, value)
        times = {"drain": server.drain_ns, "watchdog": server.watchdog_ns,
                 "keepalive": server.keepalive_ns, "backoff-min": server.backoff_min_ns,
                 "backoff-max": server.backoff_max_ns, "reload-timeout": server.reload_timeout_ns}
        for name, value in times.items():
            if value:
                self._say(name, milliseconds(value))
        if "helper" in self.story.needs:
            self._say("backends", 1)
        for name, value in params.items():
            self._say("param", name, value)
        if self.sabotage and self.sabotage.at == "start":
            self._say("always", self.sabotage.plan)

    def _load(self, load: Load) -> None:
        if load.kind not in POPULATIONS:
            raise NotSimulated(f"{load.kind} clients")
        options = load.options
        words = [f"{name}={options[name]:g}" for name in ("rate", "clients") if name in options]
        spread = int(options.get("spread", 0))
        body = int(options.get("body", 100 if load.kind in ("post", "upload") else 0))
        if load.kind == "upload" and options.get("send_rate"):
            spread = body * 1000 // int(options["send_rate"])
        if load.kind == "stream" and not spread:
            spread = LONG_MS
        if body:
            words.append(f"body={body}")
        if load.surface == "slow":
            words.append(f"service={SLOW_MS}ms")
        if spread:
            words.append(f"spread={spread}ms")
        words.append(f"timeout={int(options.get('timeout', CLIENT_TIMEOUT_MS))}ms")
        if "helper" in self.story.needs and load.kind in HELPED:
            words.append("proxied")
        if load.paused:
            words.append("paused")
        self._say("load", load.name, load.kind, *words)

    # ---- steps ---------------------------------------------------------------------------------

    def _step(self, step: Step, paced: bool) -> None:
        match step:
            case Wait():
                self._then(step, "wait", milliseconds(step.within_ns), postfix(step.until))
            case Observe():
                self._then(step, "observe", milliseconds(step.duration_ns))
            case Phase():
                self._then(step, "phase", step.phase)
                if self.sabotage and self.sabotage.at == step.phase:
                    self._then(step, "arm", "0ms", self.sabotage.plan)
            case Signal():
                self._then(step, "signal-to", signals.Signals(step.signal).name[3:], step.to)
            case Storm():
                self._storm(step)
            case Config():
                self._config(step, step.changes.workers, step.changes.bad is not None)
            case Reload():
                self._reload(step)
            case Arm():
                self._check_plan(step.plan)
                for rule in filter(None, map(str.strip, step.plan.replace("\n", ";").split(";"))):
                    self._then(step, "arm", "0ms", rule)
            case Disarm():
                for which in [EVERY_RULE] if step.what == "all" else step.what.split():
                    self._then(step, "disarm", which)
            case LoadStep():
                self._population(step)
            case Ask():
                self._then(step, "ask", milliseconds(step.within_ns))
                self._then(step, "answered")
            case Stop():
                self._then(step, "stop", step.how, milliseconds(step.within_ns))
            case Limit():
                self._limit(step)
            case Backend():
                self._then(step, "backend", 0, step.mood)
            case Rotate():
                raise NotSimulated("log files: nothing is logged")
            case Repeat():
                self._repeat(step, paced)
            case _:
                raise NotSimulated(f"the step {step.text}")

    def _storm(self, step: Storm) -> None:
        if step.to != "master":
            raise NotSimulated(f"storms of signals to {step.to}")
        chosen = sum({1 << int(signals.Signals[f"SIG{name}"]) for name in step.signals.split(",")})
        self._then(step, "storm", chosen, step.count, max(1, 1_000_000 // step.rate))

    def _config(self, step: Step, workers: int | None, bad: bool) -> None:
        self.workers = workers or self.workers
        self._then(step, "config", 0 if bad else self.workers)

    def _reload(self, step: Reload) -> None:
        fails = step.expect in ("refused", "undone")
        if step.changes is not None:
            self._config(step, step.changes.workers, step.changes.bad is not None)
        if fails and step.wait:
            self._then(step, "baseline 0 0ms")
        self._then(step, "hup", int(step.wait) + 2 * fails)
        if step.wait:
            self._then(step, "reported", step.expect, milliseconds(step.within_ns))
        if fails and step.wait:
            self._then(step, "baseline 1", SETTLE)

    def _population(self, step: LoadStep) -> None:
        if step.action == "rate":
            self._then(step, "rate", step.name, round(step.rate * 1000))
        else:
            self._then(step, "start" if step.action == "start" else "release", step.name)

    def _limit(self, step: Limit) -> None:
        if step.resource != "nofile" or step.to != "all-workers":
            raise NotSimulated(f"a limit of {step.resource} of {step.to}")
        self._then(step, "fd-limit", step.value)

    def _repeat(self, step: Repeat, paced: bool) -> None:
        if step.every_ns and paced:
            raise NotSimulated("a paced repeat inside a paced repeat")
        if step.every_ns:
            self._then(step, "clock")
        for number in range(step.times):
            if step.every_ns:
                self._then(step, "until", milliseconds(number * step.every_ns))
            for inner in step.steps:
                self._step(inner, paced or step.every_ns > 0)

    def _end(self) -> None:
        """As the director ends a story that has no end of its own."""
        step = Stop("end", "stop = 'graceful'", "graceful", 0)
        for load in self.story.loads:
            self._then(step, "release", load.name)
        self._then(step, "wait", END, "outstanding 0 ==")
        self._then(step, "phase stop")
        self._then(step, "stop graceful", END)

    def _check_plan(self, plan: str) -> None:
        for rule in filter(None, map(str.strip, plan.replace("\n", ";").split(";"))):
            point = rule.split()[0]
            if "SIM" not in [world.upper() for world in fault_points()[point].worlds]:
                raise NotSimulated(f"the fault point {point}")
