"""Verdicts: of a guarantee in one story, and added up over stories. The worst one wins, and
unknown is never shown as holds."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from masterwork.targets import Target

HOLDS, UNKNOWN, VIOLATED = "holds", "unknown", "violated"
ORDER = {HOLDS: 0, UNKNOWN: 1, VIOLATED: 2}
EXIT_HOLDS, EXIT_VIOLATED, EXIT_UNKNOWN, EXIT_HARNESS = 0, 1, 2, 3


@dataclass
class Verdict:
    """One guarantee in one story."""

    id: str
    verdict: str
    strength: str = ""
    checked: int = 0
    violated: int = 0
    evidence: list[dict[str, Any]] = field(default_factory=list)
    # Did the story set out to give evidence for it?
    aimed: bool = True
    # Why a violation does not count in this story, '' if it does.
    tolerated: str = ""

    def summary(self) -> str:
        """What was seen in one line: the first violation, or the strength of the evidence."""
        if self.verdict == VIOLATED and self.evidence:
            return str(self.evidence[0]["text"])
        return self.strength


@dataclass
class StoryResult:
    name: str
    target: str
    seconds: float = 0.0
    guarantees: list[Verdict] = field(default_factory=list)
    # Steps that did not go as the story says, with the state at that moment.
    trouble: list[str] = field(default_factory=list)
    # The same while a spell lasted, and how often the spell's faults fired.
    excused: list[str] = field(default_factory=list)
    fired: int = 0
    # The last lines of the server's error log.
    log_tail: list[str] = field(default_factory=list)
    # Why the story was not staged, '' if it was.
    skipped: str = ""
    # Why the harness could not tell anything, '' if it could.
    error: str = ""
    folder: str = ""
    seed: int = 1
    # Of a story that is not one of ours, '' of one that is known by its name.
    file: str = ""
    sabotage: str = ""

    @property
    def verdict(self) -> str:
        return worst(item.verdict for item in self.guarantees if self.counts(item))

    @staticmethod
    def counts(item: Verdict) -> bool:
        """What a story shows besides what it is about counts unless it is ignorance, or the story
        says why it must be so."""
        return item.aimed or (item.verdict != UNKNOWN and not item.tolerated)

    @property
    def violations(self) -> list[Verdict]:
        return [item for item in self.guarantees
                if item.verdict == VIOLATED and self.counts(item)]

    def of(self, guarantee: str) -> Verdict | None:
        return next((item for item in self.guarantees if item.id == guarantee), None)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> StoryResult:
        data = json.loads(path.read_text(encoding="utf-8"))
        data["guarantees"] = [Verdict(**item) for item in data["guarantees"]]
        return cls(**data)


def worst(verdicts: Iterable[str]) -> str:
    """The worst of several; of none: unknown."""
    return max(verdicts, key=ORDER.__getitem__, default=UNKNOWN)


@dataclass
class Total:
    """One guarantee over all stories that were staged."""

    id: str
    verdict: str
    stories: int
    strength: str
    promise: str

    @property
    def is_bug(self) -> bool:
        return self.verdict == VIOLATED and self.promise == "promised"

    @property
    def is_finding(self) -> bool:
        return self.verdict == VIOLATED and self.promise != "promised"


def add_up(target: Target, results: list[StoryResult], guarantees: Iterable[str]) -> list[Total]:
    """What the stories say together. Where a story was staged to give evidence and saw none, that
    is unknown; one that cannot be staged on this target takes nothing away from the others."""
    totals = []
    for name in guarantees:
        items = [(item, result) for result in results for item in result.guarantees
                 if item.id == name and result.counts(item)]
        staged = [item for item, result in items if not result.skipped]
        verdict = worst(item.verdict for item in staged)
        shown = max((item for item, _ in items if item.verdict == verdict),
                    key=lambda item: (item.aimed, item.checked), default=None)
        seen = shown.summary() if shown else "nothing was staged"
        broken = [target.promise(name, result.name).kind for item, result in items
                  if item.verdict == VIOLATED] or [target.promise(name).kind]
        promise = "promised" if "promised" in broken else broken[0]
        totals.append(Total(name, verdict, len(staged), seen, promise))
    return totals


def exit_code(totals: list[Total], results: list[StoryResult], strict: bool) -> int:
    """0 holds, 1 violated, 2 unknown, 3 harness error. What nothing promises is a finding: it is
    shown, and fails only when strict."""
    if any(total.is_bug or (strict and total.is_finding) for total in totals):
        return EXIT_VIOLATED
    if any(result.error for result in results):
        return EXIT_HARNESS
    aimed = {item.id for result in results for item in result.guarantees if item.aimed}
    if any(total.verdict == UNKNOWN for total in totals if total.id in aimed):
        return EXIT_UNKNOWN
    return EXIT_HOLDS
