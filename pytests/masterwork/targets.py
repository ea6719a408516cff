"""Targets: servers under test. One TOML file each; a user's own file works like ours.

A target says how the server is found, started and signalled, how its configuration is written, what
it can do, how the outcome of a reload is known, and what it promises.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

from masterwork import __version__
from masterwork.catalogue import guarantees
from masterwork.errors import HarnessError, InputError, suggest
from masterwork.params import read_params
from masterwork.paths import TARGETS, bin_folder
from masterwork.schema import Table, load_toml
from masterwork.stories import NEEDS, SURFACES, Server
from masterwork.units import round_up_s
from masterwork.verbs import REPORTS, signal_number

PROMISES = ("promised", "documented-not", "silent")
EVERY = "*"
ALIASES = {"sim": "simulator"}
# What nginx takes them for; stories that send one by its name mean this.
USUAL_SIGNALS = {"reload": "HUP", "graceful": "QUIT", "fast": "TERM", "reopen": "USR1",
                 "upgrade": "USR2"}


@dataclass(frozen=True)
class Promise:
    kind: str
    source: str


@dataclass(frozen=True)
class ReloadReport:
    """How the outcome of a reload is known. A command's words are searched in its output; without
    a command the director looks for the new generation or for a line in the error log."""

    argv: tuple[str, ...]
    words: dict[str, str]
    refused_line: str


@dataclass(frozen=True)
class Target:
    name: str
    file: Path
    summary: str
    programs: tuple[str, ...]
    version_argv: tuple[str, ...]
    version_pattern: str
    argv: tuple[str, ...]
    daemon_argv: tuple[str, ...]
    environment: dict[str, str]
    helper: tuple[str, ...]
    template: str
    config_file: str
    check_argv: tuple[str, ...]
    signals: dict[str, int]
    report: ReloadReport
    surfaces: dict[str, str]
    features: tuple[str, ...]
    pid_file: str
    error_log: str
    access_log: str
    access_pattern: str
    control_log: str
    params: dict[str, int]
    promises: dict[str, Promise]
    # Of worker_connections, how many a worker needs for itself: listeners, channels.
    own_connections: int
    # How many workers it runs whatever is asked; 0: as many as are asked for.
    workers: int = 0
    # Are its times whole seconds?
    whole_seconds: bool = False
    # By how much it may outlive a drain bound that is said of its workers only.
    drain_slack_ns: int = 0
    # The stories are staged in the simulated world: there is no server to start.
    simulated: bool = False
    # Where it may differ from other targets: "STORY GUARANTEE", a guarantee or a story, and why.
    differs: dict[str, str] = field(default_factory=dict)

    def find(self) -> Path:
        """The server's program, or an error that names every place looked at."""
        for name in self.programs:
            filled = name.replace("{bin}", str(bin_folder()))
            found = shutil.which(os.path.expanduser(filled))
            if found:
                return Path(found).absolute()
        raise HarnessError(f"{self.name}: no such program: looked for {', '.join(self.programs)}; "
                           f"install it, or change [find] in {self.file}")

    def version(self) -> str:
        """What the program says about itself."""
        if not self.version_argv:
            return __version__
        argv = [part.replace("{program}", str(self.find())) for part in self.version_argv]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=10)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HarnessError(f"{self.name}: {argv[0]} cannot be asked for its version: {error}"
                               ) from None
        match = re.search(self.version_pattern, done.stdout + done.stderr)
        return match[1] if match else "unknown"

    def able(self, wishes: Server) -> Server:
        """What it can be asked for of what a story wishes."""
        if self.workers:
            wishes = replace(wishes, workers=self.workers)
        if self.whole_seconds:
            wishes = replace(wishes, drain_ns=round_up_s(wishes.drain_ns),
                             keepalive_ns=round_up_s(wishes.keepalive_ns))
        return wishes

    def promise(self, guarantee: str, story: str = "") -> Promise:
        said = self.promises
        return (said.get(f"{story} {guarantee}") or said.get(guarantee) or said.get(EVERY)
                or Promise("silent", ""))


def _read_promises(table: Table) -> dict[str, Promise]:
    """`"reload/zero-loss" = ["promised", "where it says so"]`; what is absent is silent. "*" stands
    for all that are not named, "STORY GUARANTEE" for what is said of what one story does."""
    promises = {}
    for name in table.keys():
        value = table.take(name, list, '["promised", "where it is said"]')
        if name.split()[-1] not in guarantees() and name != EVERY:
            raise table.error(name, f"is not a guarantee.{suggest(name, guarantees())}")
        if not value or value[0] not in PROMISES:
            raise table.error(name, f"one of {', '.join(PROMISES)} is expected first")
        if value[0] != "silent" and (len(value) != 2 or not value[1]):
            raise table.error(name, f"{value[0]!r} must be followed by where it is said")
        promises[name] = Promise(value[0], value[1] if len(value) > 1 else "")
    return promises


def _read_report(table: Table) -> ReloadReport:
    words = table.table("words")
    report = ReloadReport(
        argv=tuple(table.strings("argv", [])),
        words={word: words.string(word) for word in REPORTS if word in words.data},
        refused_line=table.string("refused_line", ""))
    words.asked.update(REPORTS)
    words.done()
    table.done()
    for pattern in (*report.words.values(), report.refused_line):
        _check_pattern(table, "words", pattern)
    return report


def _check_pattern(table: Table, key: str, pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise table.error(key, f"{pattern!r} is not a regular expression: {error}") from None
    return pattern


def _read_signals(table: Table) -> dict[str, int]:
    """"" stands for what the server has no signal for."""
    words = {name: table.string(name, word) for name, word in USUAL_SIGNALS.items()}
    for name in ("reload", "graceful", "fast"):
        if not words[name]:
            raise table.error(name, "a signal is expected; without it no story can be staged")
    table.done()
    return {name: signal_number(table, name, word) if word else 0 for name, word in words.items()}


def _read_surfaces(table: Table) -> dict[str, str]:
    surfaces = {name: table.string(name) for name in SURFACES if name in table.data}
    table.asked.update(SURFACES)
    table.done()
    if "echo" not in surfaces:
        raise table.error("echo", "is missing; without an echo path nothing can be seen")
    return surfaces


def _read_template(table: Table, folder: Path) -> str:
    name = table.string("template")
    path = folder / name
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise table.error("template", f"{path} cannot be read: {error.strerror}") from None


def _read_differs(table: Table) -> dict[str, str]:
    return {key: table.string(key) for key in table.keys()}


def _read_features(table: Table) -> tuple[str, ...]:
    features = tuple(table.strings("features", []))
    for feature in features:
        if feature not in NEEDS:
            raise table.error("features", f"{feature!r} is not known.{suggest(feature, NEEDS)}")
    return features


def _simulated(table: Table, path: Path) -> Target:
    """A world that mw-sim makes: nothing is started, signalled or configured."""
    find = table.table("find", True)
    target = Target(
        name=path.stem, file=path, summary=table.string("summary"),
        programs=tuple(find.strings("program")), version_argv=(), version_pattern="", argv=(),
        daemon_argv=(),
        environment={}, helper=(), template="", config_file="", check_argv=(),
        signals={}, report=ReloadReport((), {}, ""),
        surfaces={name: "/" for name in SURFACES}, features=_read_features(table), pid_file="",
        error_log="", access_log="", access_pattern="", control_log="",
        params=read_params(table.table("params")),
        promises=_read_promises(table.table("promises")), own_connections=0, simulated=True,
        differs=_read_differs(table.table("differs")))
    find.done()
    table.done()
    return target


def load_target(path: Path) -> Target:
    """Reads and checks one target file."""
    table = load_toml(path)
    if table.boolean("simulated", False):
        return _simulated(table, path)
    find, start, config = table.table("find", True), table.table("start", True), table.table(
        "config", True)
    logs, environment = table.table("logs"), start.table("environment")
    features = _read_features(table)
    target = Target(
        name=path.stem, file=path, summary=table.string("summary"),
        programs=tuple(find.strings("program")), version_argv=tuple(find.strings("version")),
        version_pattern=_check_pattern(find, "version_pattern", find.string("version_pattern")),
        argv=tuple(start.strings("argv")),
        daemon_argv=tuple(start.strings("daemon", [])),
        environment={key: environment.string(key) for key in environment.keys()},
        helper=tuple(start.strings("helper", [])),
        template=_read_template(config, path.parent), config_file=config.string("file"),
        check_argv=tuple(config.strings("check", [])),
        signals=_read_signals(table.table("signals")),
        report=_read_report(table.table("reload")),
        surfaces=_read_surfaces(table.table("surface", True)), features=features,
        pid_file=start.string("pid_file", ""), error_log=logs.string("error", ""),
        access_log=logs.string("access", ""),
        access_pattern=_check_pattern(logs, "access_pattern", logs.string("access_pattern", "")),
        control_log=logs.string("control", ""),
        params=read_params(table.table("params")),
        promises=_read_promises(table.table("promises")),
        own_connections=config.integer("own_connections", 0),
        workers=config.integer("workers", 0),
        whole_seconds=config.boolean("whole_seconds", False),
        drain_slack_ns=config.duration("drain_slack", 0))
    for part in (find, start, config, logs, table):
        part.done()
    return target


def all_targets() -> list[Target]:
    return [load_target(path) for path in sorted(TARGETS.glob("*.toml"))]


def find_target(name: str) -> Target:
    """A target by name, or a user's own file."""
    if name.endswith(".toml") or os.sep in name:
        return load_target(Path(name))
    path = TARGETS / f"{ALIASES.get(name, name)}.toml"
    if not path.exists():
        names = [known.stem for known in TARGETS.glob("*.toml")]
        raise InputError(f"{name!r} is not a target.{suggest(name, names)} "
                         "A file of your own is named by its path: ./my-server.toml")
    return load_target(path)
