"""The verbs of a story's steps: one class for each, holding its arguments, and how it is read.

A step is a table whose first known key is the verb: `{ signal = "KILL", to = "worker" }`. What a
verb does is in nemesis.py and reloading.py; here is only what may be written.
"""

from __future__ import annotations

import signal as signals
from collections.abc import Callable
from dataclasses import dataclass, field

from masterwork.backend import MOODS
from masterwork.conditions import Condition
from masterwork.resources import CGROUP_FILES, LIMITS
from masterwork.schema import Table
from masterwork.units import NS

PHASES = ("baseline", "act", "recover", "quiet", "stop")
RECEIVERS = ("master", "new-master", "worker", "last-worker", "all-workers", "all", "group")
BAD_CONFIGS = ("unknown-directive", "missing-file", "bad-value", "unclosed-brace")
UPGRADES = ("ready", "failed", "refused")
REPORTS = ("ok", "refused", "undone", "superseded")
STORM_TARGETS = ("master", "worker", "all", "group")
WITHIN = 10 * NS["s"]
# Receivers of what is done to processes one by one.
GROUPS = tuple(name for name in RECEIVERS if name != "group")
CROWD_MAX = 2000
UNDOABLE = ("all", "signal", "freeze", "prlimit", "cgroup", "fill", "crowd", "starve", "backend")


@dataclass(frozen=True)
class Changes:
    """How a new configuration differs from the story's [server]."""

    workers: int | None = None
    bad: str | None = None


@dataclass(frozen=True)
class Step:
    index: str
    text: str


@dataclass(frozen=True)
class Wait(Step):
    until: Condition
    within_ns: int = WITHIN


@dataclass(frozen=True)
class Observe(Step):
    """Watches for so long: evidence about what must not happen needs time to pass."""

    duration_ns: int


@dataclass(frozen=True)
class Phase(Step):
    phase: str


@dataclass(frozen=True)
class Signal(Step):
    signal: int
    to: str


@dataclass(frozen=True)
class Storm(Step):
    signals: str
    to: str
    rate: int
    count: int


@dataclass(frozen=True)
class Config(Step):
    changes: Changes


@dataclass(frozen=True)
class Check(Step):
    changes: Changes | None


@dataclass(frozen=True)
class Reload(Step):
    changes: Changes | None
    expect: str
    wait: bool
    within_ns: int


@dataclass(frozen=True)
class Upgrade(Step):
    expect: str
    within_ns: int


@dataclass(frozen=True)
class Adopt(Step):
    within_ns: int


@dataclass(frozen=True)
class Knock(Step):
    path: str
    times: int


@dataclass(frozen=True)
class Said(Step):
    pattern: str
    within_ns: int


@dataclass(frozen=True)
class Status(Step):
    times: int


@dataclass(frozen=True)
class Arm(Step):
    plan: str


@dataclass(frozen=True)
class Disarm(Step):
    what: str


@dataclass(frozen=True)
class Load(Step):
    action: str
    name: str
    rate: float = 0


@dataclass(frozen=True)
class Rotate(Step):
    within_ns: int = WITHIN


@dataclass(frozen=True)
class Ask(Step):
    within_ns: int = WITHIN


@dataclass(frozen=True)
class Stop(Step):
    how: str
    within_ns: int = WITHIN


@dataclass(frozen=True)
class Limit(Step):
    resource: str
    value: int
    to: str


@dataclass(frozen=True)
class Freeze(Step):
    """Stopped for a while and let go on, again and again; in between they stay as they are."""

    to: str
    lasting_ns: int
    times: int
    every_ns: int


@dataclass(frozen=True)
class Cgroup(Step):
    controller: str
    value: int
    to: str


@dataclass(frozen=True)
class Fill(Step):
    disk: str


@dataclass(frozen=True)
class Crowd(Step):
    count: int


@dataclass(frozen=True)
class Starve(Step):
    to: str


@dataclass(frozen=True)
class Backend(Step):
    mood: str


@dataclass(frozen=True)
class Undo(Step):
    what: str


@dataclass(frozen=True)
class Repeat(Step):
    times: int
    every_ns: int
    steps: tuple[Step, ...] = field(default=())


@dataclass(frozen=True)
class Context:
    """What the verbs of one story may refer to."""

    populations: tuple[str, ...]
    outcomes: tuple[str, ...]


Reader = Callable[[Table, Context, dict], Step]


def signal_number_of(name: str) -> int:
    """HUP -> 1; raises ValueError."""
    try:
        return int(signals.Signals[f"SIG{name}"])
    except KeyError:
        raise ValueError(f"{name!r} is not a signal: HUP, KILL, STOP, ... is expected") from None


def signal_number(table: Table, key: str, name: str) -> int:
    try:
        return signal_number_of(name)
    except ValueError as error:
        raise table.error(key, str(error)) from None


def _wait(table: Table, context: Context, base: dict) -> Step:
    text = table.string("wait")
    try:
        condition = Condition(text, context.populations, context.outcomes)
    except ValueError as error:
        raise table.error("wait", str(error)) from None
    return Wait(**base, until=condition, within_ns=table.duration("within", WITHIN))


def _observe(table: Table, _: Context, base: dict) -> Step:
    return Observe(**base, duration_ns=table.duration("observe"))


def _phase(table: Table, _: Context, base: dict) -> Step:
    return Phase(**base, phase=table.one_of("phase", PHASES))


def _signal(table: Table, _: Context, base: dict) -> Step:
    number = signal_number(table, "signal", table.string("signal"))
    return Signal(**base, signal=number, to=table.one_of("to", RECEIVERS, "master"))


def _storm(table: Table, _: Context, base: dict) -> Step:
    names = table.string("storm")
    for name in names.split(","):
        signal_number(table, "storm", name.split(":")[0])
    return Storm(**base, signals=names, to=table.one_of("to", STORM_TARGETS, "master"),
                 rate=table.integer("rate", least=1), count=table.integer("count", least=1))


def _changes(table: Table, key: str) -> Changes | None:
    """"same" asks for no new file; "good" writes one; "bad" one that must be refused."""
    kind = table.one_of(key, ("good", "bad", "same"))
    if kind == "same":
        return None
    bad = table.one_of("how", BAD_CONFIGS, BAD_CONFIGS[0]) if kind == "bad" else None
    return Changes(workers=table.integer("workers", None, least=1), bad=bad)


def _config(table: Table, _: Context, base: dict) -> Step:
    changes = _changes(table, "config")
    if changes is None:
        raise table.error("config", 'good or bad is expected: "same" would write nothing')
    return Config(**base, changes=changes)


def _check(table: Table, _: Context, base: dict) -> Step:
    return Check(**base, changes=_changes(table, "check"))


def _reload(table: Table, _: Context, base: dict) -> Step:
    changes = _changes(table, "reload")
    usual = "refused" if changes and changes.bad else "ok"
    return Reload(**base, changes=changes, expect=table.one_of("expect", REPORTS, usual),
                  wait=table.boolean("wait", True), within_ns=table.duration("within", WITHIN))


def _upgrade(table: Table, _: Context, base: dict) -> Step:
    return Upgrade(**base, expect=table.one_of("upgrade", UPGRADES),
                   within_ns=table.duration("within", WITHIN))


def _adopt(table: Table, _: Context, base: dict) -> Step:
    table.one_of("adopt", ("new-master",))
    return Adopt(**base, within_ns=table.duration("within", WITHIN))


def _knock(table: Table, _: Context, base: dict) -> Step:
    return Knock(**base, path=table.string("knock"), times=table.integer("times", 1, least=1))


def _said(table: Table, _: Context, base: dict) -> Step:
    return Said(**base, pattern=table.string("said"), within_ns=table.duration("within", NS["s"]))


def _status(table: Table, _: Context, base: dict) -> Step:
    return Status(**base, times=table.integer("status", least=1))


def _arm(table: Table, _: Context, base: dict) -> Step:
    return Arm(**base, plan=table.string("arm"))


def _disarm(table: Table, _: Context, base: dict) -> Step:
    what = table.string("disarm")
    if what != "all" and not all(word.isdigit() for word in what.split()):
        raise table.error("disarm", '"all" or numbers of rules, counted from 0, are expected, '
                                    f"not {what!r}")
    return Disarm(**base, what=what)


def _load_name(table: Table, key: str, context: Context) -> str:
    return table.one_of(key, context.populations)


def _start(table: Table, context: Context, base: dict) -> Step:
    return Load(**base, action="start", name=_load_name(table, "start", context))


def _release(table: Table, context: Context, base: dict) -> Step:
    return Load(**base, action="stop", name=_load_name(table, "release", context))


def _rate(table: Table, context: Context, base: dict) -> Step:
    return Load(**base, action="rate", name=_load_name(table, "of", context),
                rate=table.number("rate"))


def _rotate(table: Table, _: Context, base: dict) -> Step:
    table.one_of("rotate", ("logs",))
    return Rotate(**base, within_ns=table.duration("within", WITHIN))


def _ask(table: Table, _: Context, base: dict) -> Step:
    table.one_of("ask", ("reopen",))
    return Ask(**base, within_ns=table.duration("within", WITHIN))


def _stop(table: Table, _: Context, base: dict) -> Step:
    return Stop(**base, how=table.one_of("stop", ("graceful", "fast", "kill")),
                within_ns=table.duration("within", WITHIN))


def _limit(table: Table, _: Context, base: dict) -> Step:
    return Limit(**base, resource=table.one_of("prlimit", LIMITS),
                 value=table.integer("value"), to=table.one_of("to", RECEIVERS, "all-workers"))


def _freeze(table: Table, _: Context, base: dict) -> Step:
    step = Freeze(**base, to=table.one_of("freeze", GROUPS), lasting_ns=table.duration("lasting"),
                  times=table.integer("times", 1, least=1), every_ns=table.duration("every", 0))
    if step.times > 1 and step.every_ns <= step.lasting_ns:
        raise table.error("every", "must be longer than lasting: in between they go on")
    return step


def _cgroup(table: Table, _: Context, base: dict) -> Step:
    return Cgroup(**base, controller=table.one_of("cgroup", CGROUP_FILES),
                  value=table.size("max"), to=table.one_of("to", GROUPS, "all"))


def _fill(table: Table, _: Context, base: dict) -> Step:
    return Fill(**base, disk=table.string("fill"))


def _crowd(table: Table, _: Context, base: dict) -> Step:
    count = table.integer("crowd", least=1)
    if count > CROWD_MAX:
        raise table.error("crowd", f"at most {CROWD_MAX} connections are expected, not {count}")
    return Crowd(**base, count=count)


def _starve(table: Table, _: Context, base: dict) -> Step:
    return Starve(**base, to=table.one_of("starve", GROUPS))


def _backend(table: Table, _: Context, base: dict) -> Step:
    return Backend(**base, mood=table.one_of("backend", MOODS))


def _undo(table: Table, _: Context, base: dict) -> Step:
    return Undo(**base, what=table.one_of("undo", UNDOABLE))


def _repeat(table: Table, context: Context, base: dict) -> Step:
    times = table.integer("repeat", least=1)
    steps = read_steps(table.tables("step"), context, base["index"] + ".")
    if not steps:
        raise table.error("step", "at least one step to repeat is expected")
    return Repeat(**base, times=times, every_ns=table.duration("every", 0), steps=steps)


# Looked up in this order: `wait` and `rate` are also arguments of other verbs, so they come last.
VERBS: dict[str, tuple[Reader, str]] = {
    "observe": (_observe, "watch for a duration: what must not happen is not happening"),
    "phase": (_phase, "the story enters a phase: " + ", ".join(PHASES)),
    "signal": (_signal, "send a signal `to` " + ", ".join(RECEIVERS)),
    "storm": (_storm, "begin `count` signals at `rate` a second `to` " + ", ".join(STORM_TARGETS)),
    "config": (_config, "write a new configuration file: good or bad"),
    "check": (_check, "write a configuration (good, bad; same: do not) and only test it"),
    "reload": (_reload, "write a configuration (good, bad; same: do not) and ask for a reload"),
    "upgrade": (_upgrade, "ask for a new binary; it is to be " + ", ".join(UPGRADES)),
    "adopt": (_adopt, "the old master is to be gone; from here on the new one is the master"),
    "knock": (_knock, "connect to a unix socket of the run folder and ask for an answer"),
    "said": (_said, "the error log is to have a line that matches"),
    "status": (_status, "read the server's status page so many times"),
    "arm": (_arm, "arm a fault plan"),
    "disarm": (_disarm, "disarm all the story's rules, or those with these numbers"),
    "start": (_start, "start a load that was not started at the beginning"),
    "release": (_release, "stop a load: nothing new, what is under way finishes"),
    "rotate": (_rotate, "rename the access log and ask the server to reopen"),
    "ask": (_ask, "send a control signal whose effect must be seen: the log is reopened"),
    "stop": (_stop, "stop the server: graceful, fast, or kill the master"),
    "prlimit": (_limit, "change a limit of running processes: " + ", ".join(LIMITS)),
    "freeze": (_freeze, "stop processes for `lasting` and let them go on, `times`, one `every`"),
    "cgroup": (_cgroup, "a control group with a `max` of memory or pids for processes"),
    "fill": (_fill, "fill one of the server's `disks` to the last byte"),
    "crowd": (_crowd, "connect so often and say nothing"),
    "starve": (_starve, "let busy processes have the CPU before these"),
    "backend": (_backend, "the application behind the server: " + ", ".join(MOODS)),
    "undo": (_undo, "undo what a verb did: " + ", ".join(UNDOABLE)),
    "repeat": (_repeat, "do the steps so many times, one round `every` so often"),
    "wait": (_wait, "until a condition holds, at most `within`"),
    "rate": (_rate, "change the rate `of` a load"),
}


def read_step(table: Table, context: Context, index: str) -> Step:
    """One step of a story."""
    verb = next((key for key in VERBS if key in table.data), None)
    if verb is None:
        raise table.error("", f"a step needs a verb: {', '.join(VERBS)}")
    text = ", ".join(f"{key} = {value!r}" for key, value in table.data.items() if key != "step")
    step = VERBS[verb][0](table, context, {"index": index, "text": text})
    table.done()
    return step


def read_steps(tables: list[Table], context: Context, prefix: str = "") -> tuple[Step, ...]:
    return tuple(read_step(table, context, f"{prefix}{number}")
                 for number, table in enumerate(tables, 1))
