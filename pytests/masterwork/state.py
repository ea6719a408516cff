"""What the director knows now: the witnesses' last words, for conditions and messages."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from masterwork.conditions import OF_POPULATION
from masterwork.tree import is_alive

LINE_SHOWN = 160


@dataclass
class Reports:
    """How many reloads were reported how."""

    ok: int = 0
    refused: int = 0
    undone: int = 0
    superseded: int = 0
    none: int = 0

    def add(self, word: str) -> None:
        setattr(self, word, getattr(self, word) + 1)


@dataclass
class State:
    master: int = 0
    port: int = 0
    error_log: Path | None = None
    fired: Callable[[], int] = lambda: 0
    progress: dict[str, Any] = field(default_factory=dict)
    populations: dict[str, dict[str, Any]] = field(default_factory=dict)
    tree: dict[str, Any] = field(default_factory=dict)
    config: int = 0
    good_config: int = 0
    phase: str = ""
    at_phase: frozenset[int] = frozenset()
    step_begun: float = 0.0
    storms: int = 0
    before_failure: tuple[int, int] = (0, 0)
    reports: Reports = field(default_factory=Reports)

    # ---- what the witnesses say ----------------------------------------------------------------

    def hear_prober(self, message: dict[str, Any]) -> None:
        if message.get("event") in ("progress", "done"):
            self.progress = message
            self.populations = {row["name"]: row for row in message.get("populations", [])}

    def hear_watch(self, message: dict[str, Any]) -> None:
        if message.get("event") == "tree":
            self.tree = message

    def begin_phase(self, phase: str) -> None:
        self.phase = phase
        self.at_phase = frozenset(self.worker_pids())

    # ---- what conditions read ------------------------------------------------------------------

    def worker_pids(self) -> list[int]:
        """Live workers, oldest first."""
        return [row["pid"] for row in self.tree.get("workers", []) if row["state"] not in "ZX"]

    def answering_pids(self) -> set[int]:
        return {pid for row in self.populations.values() for pid in row.get("pids", [])}

    def value(self, name: str) -> float:
        """A name of conditions.NAMES."""
        read = READERS.get(name)
        return read(self) if read else self.progress.get(name, 0)

    def total(self, name: str) -> int:
        """A count summed over the populations."""
        return sum(row.get(name, 0) for row in self.populations.values())

    def of_population(self, population: str, name: str) -> float:
        """A count of one population; words of outcomes are written with _ for -."""
        row = self.populations.get(population, {})
        if name == "generation":
            return row.get("newest_gen", 0)
        if name in OF_POPULATION:
            return row.get(name, 0)
        return row.get("outcomes", {}).get(name.replace("_", "-"), 0)

    def logged(self, pattern: str) -> int:
        """How many lines of the error log match."""
        try:
            text = self.error_log.read_text(errors="replace") if self.error_log else ""
        except OSError:
            return 0
        return sum(bool(re.search(pattern, line)) for line in text.splitlines())

    # ---- for messages --------------------------------------------------------------------------

    def describe(self) -> list[str]:
        """The tree, the clients and the end of the error log, a line each."""
        workers = " ".join(f"{row['pid']}({row['state']})" for row in self.tree.get("workers", []))
        lines = [f"master {self.master} {'alive' if is_alive(self.master) else 'gone'}, "
                 f"workers: {workers or 'none'}, zombies: {self.tree.get('zombies', '?')}, "
                 f"pid file: {self.tree.get('pidfile', '?')}"]
        for row in self.populations.values():
            outcomes = ", ".join(f"{word} {count}" for word, count in row["outcomes"].items())
            lines.append(f"{row['name']}: {row['requests']} requests ({outcomes or 'none ended'}), "
                         f"{row['outstanding']} under way, {row['established']} established, "
                         f"newest configuration {row['newest_gen']}")
        lines += [f"error log: {line[:LINE_SHOWN]}" for line in self.tail()]
        return lines

    def tail(self, count: int = 5) -> list[str]:
        try:
            text = self.error_log.read_text(errors="replace") if self.error_log else ""
        except OSError:
            return []
        return text.splitlines()[-count:]


# The names of conditions.NAMES that are more than a field of the prober's last report.
READERS: dict[str, Callable[[State], float]] = {
    "workers": lambda s: len(s.worker_pids()),
    "zombies": lambda s: s.tree.get("zombies", 0),
    "stopped": lambda s: sum(row["state"] == "T" for row in s.tree.get("workers", [])),
    "others": lambda s: len(s.tree.get("others", [])),
    "replaced": lambda s: len(set(s.worker_pids()) - s.at_phase),
    "remaining": lambda s: len(s.at_phase & set(s.worker_pids())),
    "answering": lambda s: len((s.answering_pids() & set(s.worker_pids())) - s.at_phase),
    "master_alive": lambda s: int(is_alive(s.master)),
    "generation": lambda s: max((row.get("newest_gen", 0) for row in s.populations.values()),
                                default=0),
    "config": lambda s: s.config,
    "good_config": lambda s: s.good_config,
    "reloaded": lambda s: s.reports.ok,
    "refused": lambda s: s.reports.refused,
    "undone": lambda s: s.reports.undone,
    "queue": lambda s: s.tree.get("queues", {}).get(str(s.port), [0, 0])[0],
    "fds": lambda s: max((row.get("fds", 0) for row in s.tree.get("workers", [])), default=0),
    "fired": lambda s: s.fired(),
    "storms": lambda s: s.storms,
    "seconds": lambda s: time.monotonic() - s.step_begun,
    "outstanding": lambda s: s.total("outstanding"),
    "established": lambda s: s.total("established"),
}
