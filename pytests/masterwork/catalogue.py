"""The lists the whole project shares, as the programs made from them tell: the guarantees, the
fault points, the words of a history."""

from __future__ import annotations

import functools
import json
import subprocess
from dataclasses import dataclass
from typing import Any

from masterwork.errors import HarnessError, InputError, suggest
from masterwork.paths import program


@dataclass(frozen=True)
class Guarantee:
    id: str
    sentence: str
    promised_by: str

    @property
    def family(self) -> str:
        return self.id.split("/")[0]


@dataclass(frozen=True)
class FaultPoint:
    name: str
    worlds: tuple[str, ...]
    kinds: tuple[str, ...]
    errno: str
    sentence: str
    guarantees: tuple[str, ...]

    @property
    def is_sabotage(self) -> bool:
        return self.name.startswith("sabotage.")


def told_by(name: str, *arguments: str) -> Any:
    """What one of the project's programs prints as JSON."""
    argv = [str(program(name)), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True)
    try:
        if done.returncode != 0:
            raise ValueError(done.stderr.strip() or f"exit {done.returncode}")
        return json.loads(done.stdout)
    except ValueError as error:
        raise HarnessError(f"{' '.join(argv)}: {error}") from None


@functools.cache
def guarantees() -> dict[str, Guarantee]:
    """All guarantees by id, in the order of the list."""
    return {row["id"]: Guarantee(row["id"], row["sentence"], row["promised"])
            for row in told_by("mw-judge", "--list", "--json")}


@functools.cache
def fault_points() -> dict[str, FaultPoint]:
    """All fault points by name, in the order of the list."""
    return {row["point"]: FaultPoint(row["point"], tuple(row["where"]), tuple(row["kinds"]),
                                     row["errno"] or "", row["sentence"],
                                     tuple(row["guarantees"]))
            for row in told_by("mw-fault", "list", "--json")}


@functools.cache
def history_vocabulary() -> dict[str, Any]:
    """Kinds of records, word lists and the record's layout."""
    return told_by("mw-history", "vocabulary", "--json")


def words(name: str) -> tuple[str, ...]:
    """The words of one list ("population", "outcome", ...) in order."""
    return tuple(row["word"] for row in history_vocabulary()["words"][name])


def guarantee(name: str) -> Guarantee:
    """One guarantee, or an error with the nearest names."""
    try:
        return guarantees()[name]
    except KeyError:
        raise InputError(f"{name!r} is not a guarantee.{suggest(name, guarantees())}") from None
