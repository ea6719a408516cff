"""Stories: what is staged. One TOML file each, below scenarios/stories/FAMILY/."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from masterwork.catalogue import fault_points, guarantees, words
from masterwork.errors import InputError, suggest
from masterwork.params import read_params
from masterwork.paths import STORIES
from masterwork.schema import Table, load_toml
from masterwork.units import NS
from masterwork.verbs import Arm, Context, Repeat, Step, Storm, read_steps

# Surfaces of a server under test; which population kind talks to which when `on` is left out.
SURFACES = ("echo", "slow", "download", "upload", "post", "stream", "tunnel", "early", "status")
USUAL_SURFACE = {"post": "post", "upload": "upload", "download": "download", "stream": "stream",
                 "tunnel": "tunnel", "early": "early"}
# What the machine must allow, whatever the target is (masterwork/resources.py).
MACHINE = ("mounts", "memory-cgroup", "pids-cgroup", "time-namespace")
NEEDS = ("root", "faults", "shim", "watchdog", "backoff", "reload-timeout", "reload-report",
         "connections-limit", "reuseport", "resize", "upgrade", "generations-limit", "tls",
         "unix", "status", "helper", "directives", "workers",
         "descriptor-limit", *MACHINE)
BLOCKS = ("main", "events", "http", "server")


@dataclass(frozen=True)
class Server:
    """How the server is to be configured, in words that every target's template understands."""

    workers: int = 2
    worker_connections: int = 512
    worker_nofile: int = 0
    drain_ns: int = 5 * NS["s"]
    keepalive_ns: int = 60 * NS["s"]
    keepalive_requests: int = 1_000_000
    watchdog_ns: int = 0
    backoff_min_ns: int = 0
    backoff_max_ns: int = 0
    reload_timeout_ns: int = 0
    backlog: int = 0
    reuseport: bool = False
    generations: int = 0
    daemon: bool = False
    # Folders of the run that are small disks of their own, to be filled; a clock that is ahead.
    disks: tuple[str, ...] = ()
    clock_ahead_ns: int = 0
    directives: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Load:
    """A population of clients."""

    name: str
    kind: str
    surface: str
    paused: bool
    options: dict[str, int | float]


@dataclass(frozen=True)
class Sabotage:
    """A plan that must turn a guarantee to violated when this story is staged with it."""

    guarantee: str
    plan: str
    at: str


@dataclass(frozen=True)
class Story:
    name: str
    file: Path
    summary: str
    tier: str
    checks: tuple[str, ...]
    needs: tuple[str, ...]
    limit_ns: int
    server: Server
    params: dict[str, int]
    loads: tuple[Load, ...]
    steps: tuple[Step, ...]
    sabotages: tuple[Sabotage, ...]
    # Guarantees that what happens here cannot but break, each with the reason.
    tolerates: dict[str, str]

    @property
    def family(self) -> str:
        return self.name.split("/")[0]

    @property
    def own_file(self) -> str:
        """Where it is, unless its name says so."""
        return "" if STORIES in self.file.resolve().parents else str(self.file)

    @property
    def short_name(self) -> str:
        return self.name.replace("/", "-")


def _read_server(table: Table) -> Server:
    blocks = table.table("directives")
    directives = {block: tuple(blocks.strings(block, [])) for block in BLOCKS}
    blocks.done()
    usual = Server()
    server = Server(
        workers=table.integer("workers", usual.workers, least=1),
        worker_connections=table.integer("worker_connections", usual.worker_connections, least=1),
        worker_nofile=table.integer("worker_nofile", 0),
        drain_ns=table.duration("drain", usual.drain_ns),
        keepalive_ns=table.duration("keepalive", usual.keepalive_ns),
        keepalive_requests=table.integer("keepalive_requests", usual.keepalive_requests, least=1),
        watchdog_ns=table.duration("watchdog", 0),
        backoff_min_ns=table.duration("backoff_min", 0),
        backoff_max_ns=table.duration("backoff_max", 0),
        reload_timeout_ns=table.duration("reload_timeout", 0),
        backlog=table.integer("backlog", 0),
        reuseport=table.boolean("reuseport", False),
        generations=table.integer("generations", 0),
        daemon=table.boolean("daemon", False),
        disks=tuple(table.strings("disks", [])),
        clock_ahead_ns=table.duration("clock_ahead", 0),
        directives=directives)
    table.done()
    return server


LOAD_NUMBERS = {"clients": 1, "depth": 1, "expect": 100}
LOAD_SIZES = ("body", "bytes", "read_rate", "send_rate")
LOAD_TIMES = ("timeout", "connect_timeout", "spread")


def _read_load(table: Table) -> Load:
    kind = table.one_of("kind", words("population"))
    name = table.string("name")
    if not name.isidentifier():
        raise table.error("name", f"a name of letters, digits and _ is expected, not {name!r}")
    options: dict[str, int | float] = {}
    for key, least in LOAD_NUMBERS.items():
        options[key] = table.integer(key, 0, least=least)
    for key in LOAD_SIZES:
        options[key] = table.size(key, 0)
    for key in LOAD_TIMES:
        options[key] = table.duration(key, 0) // NS["ms"]
    options["rate"] = table.number("rate", 0)
    surface = table.one_of("on", SURFACES, USUAL_SURFACE.get(kind, "echo"))
    load = Load(name, kind, surface, table.boolean("paused", False),
                {key: value for key, value in options.items() if value})
    table.done()
    return load


def check_plan(plan: str) -> str:
    """A plan whose points exist; raises ValueError otherwise. mw-fault checks the rest."""
    for rule in plan.replace("\n", ";").split(";"):
        point = rule.split()[0] if rule.split() else ""
        if point and point not in fault_points():
            raise ValueError(f"{point!r} is not a fault point.{suggest(point, fault_points())}")
    return plan


def _read_sabotage(table: Table, checks: tuple[str, ...]) -> Sabotage:
    guarantee = table.one_of("guarantee", checks)
    plan = table.converted("plan", lambda text: check_plan(str(text)))
    at = table.one_of("at", ("start", "baseline", "act", "recover", "quiet"), "start")
    table.done()
    return Sabotage(guarantee, plan, at)


def _read_tolerates(table: Table, checks: tuple[str, ...]) -> dict[str, str]:
    tolerates = {name: table.string(name) for name in table.keys()}
    for name, reason in tolerates.items():
        if name not in guarantees():
            raise table.error(name, f"is not a guarantee.{suggest(name, guarantees())}")
        if name in checks:
            raise table.error(name, "is what the story checks: it cannot be tolerated")
        if not reason:
            raise table.error(name, "a reason is expected")
    return tolerates


def _flat(steps: tuple[Step, ...]) -> Iterator[Step]:
    for step in steps:
        yield step
        if isinstance(step, Repeat):
            yield from _flat(step.steps)


def _check_steps(table: Table, steps: tuple[Step, ...]) -> None:
    for step in _flat(steps):
        if isinstance(step, Arm):
            try:
                check_plan(step.plan)
            except ValueError as error:
                raise table.error(f"step[{step.index}].arm", str(error)) from None
        if isinstance(step, Storm) and step.count / step.rate > 60:
            raise table.error(f"step[{step.index}]", "a storm of over a minute; use a higher rate "
                              "or fewer signals")


def _name_of(path: Path) -> str:
    return f"{path.resolve().parent.name}/{path.stem}"


def load_story(path: Path) -> Story:
    """Reads and checks one story file."""
    table = load_toml(path)
    catalogue = guarantees()
    checks = tuple(table.strings("checks"))
    for guarantee in checks:
        if guarantee not in catalogue:
            raise table.error("checks", f"{guarantee!r} is not a guarantee."
                                        f"{suggest(guarantee, catalogue)}")
    if not checks:
        raise table.error("checks", "at least one guarantee is expected")
    needs = tuple(table.strings("needs", []))
    for need in needs:
        if need not in NEEDS:
            raise table.error("needs", f"{need!r} is not known.{suggest(need, NEEDS)}")
    loads = tuple(_read_load(item) for item in table.tables("load"))
    names = tuple(load.name for load in loads)
    if len(set(names)) != len(names):
        raise table.error("load", "two loads have the same name")
    steps = read_steps(table.tables("step"), Context(names, words("outcome")))
    _check_steps(table, steps)
    story = Story(
        name=_name_of(path), file=path, summary=table.string("summary"),
        tier=table.one_of("tier", ("quick", "full"), "quick"), checks=checks,
        needs=needs, limit_ns=table.duration("limit", 60 * NS["s"]),
        server=_read_server(table.table("server")), params=read_params(table.table("params")),
        loads=loads, steps=steps,
        sabotages=tuple(_read_sabotage(item, checks) for item in table.tables("sabotage")),
        tolerates=_read_tolerates(table.table("tolerates"), checks))
    table.done()
    return story


def all_stories(folder: Path | None = None) -> list[Story]:
    """Every story below scenarios/stories, by name."""
    folder = folder or STORIES
    return [load_story(path) for path in sorted(folder.glob("*/*.toml"))]


def find_story(name: str) -> Story:
    """A story by name ("reload/bad-then-good", or the last part where it is unique) or by file."""
    if name.endswith(".toml"):
        return load_story(Path(name))
    paths = sorted(STORIES.glob("*/*.toml"))
    exact = [path for path in paths if _name_of(path) == name]
    found = exact or [path for path in paths if path.stem == name]
    if len(found) > 1:
        raise InputError(f"{name!r} is the name of {', '.join(map(_name_of, found))}; "
                         "give the family too")
    if not found:
        raise InputError(f"{name!r} is not a story.{suggest(name, map(_name_of, paths))}")
    return load_story(found[0])


def select(stories: list[Story], tier: str, names: list[str], family: str | None) -> list[Story]:
    """The stories a command is about: those named, else those of the tier and family. The full
    tier holds the quick one."""
    if names:
        return [find_story(name) for name in names]
    chosen = [story for story in stories if tier == "full" or story.tier == "quick"]
    if family:
        families: dict[str, Any] = {story.family: None for story in stories}
        if family not in families:
            raise InputError(f"{family!r} is not a family of stories.{suggest(family, families)}")
        chosen = [story for story in chosen if story.family == family]
    return chosen
