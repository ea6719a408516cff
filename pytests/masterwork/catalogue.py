"""The lists the whole project shares, read from where they are written: the guarantees and the
fault points."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from masterwork.errors import HarnessError, InputError, suggest
from masterwork.paths import GUARANTEES_DEF, POINTS_DEF

STRING = r'"((?:[^"\\]|\\.)*)"'


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
    where: str
    kinds: str
    sentence: str

    @property
    def is_sabotage(self) -> bool:
        return self.name.startswith("sabotage.")


def _rows(path: Path, macro: str) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise HarnessError(f"{path}: cannot be read: {error}") from None
    rows = re.findall(rf"^{macro}\((.*)\)\s*$", text, flags=re.M)
    if not rows:
        raise HarnessError(f"{path}: holds no {macro}(...) row")
    return rows


@functools.cache
def guarantees() -> dict[str, Guarantee]:
    """All guarantees by id, in the order of the list."""
    found = {}
    for row in _rows(GUARANTEES_DEF, "GUARANTEE"):
        name, sentence, promised = re.findall(STRING, row)
        found[name] = Guarantee(name, sentence, promised)
    return found


@functools.cache
def fault_points() -> dict[str, FaultPoint]:
    """All fault points by name, in the order of the list."""
    found = {}
    for row in _rows(POINTS_DEF, "FAULT_POINT"):
        name, sentence = re.findall(STRING, row)
        where, kinds = re.match(rf"\w+, {STRING}, ([\w| ]+), (\w+),", row).groups()[1:]
        found[name] = FaultPoint(name, where.replace("FAULT_", ""), kinds, sentence)
    return found


def guarantee(name: str) -> Guarantee:
    """One guarantee, or an error with the nearest names."""
    try:
        return guarantees()[name]
    except KeyError:
        raise InputError(f"{name!r} is not a guarantee.{suggest(name, guarantees())}") from None
