"""Records traces of real masters (MW_TRACE) while stories are staged on the engine, for
scenarios/traces: `make traces`. The core must decide in them as it did; a test replays them. They
are made anew when the core is meant to decide otherwise."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from masterwork.director import Play
from masterwork.isolate import run_one
from masterwork.paths import ROOT
from masterwork.runs import new_folder
from masterwork.stories import find_story
from masterwork.targets import find_target

FOLDER = ROOT / "scenarios" / "traces"
STORIES = ("reload/bad-then-good", "reload/new-worker-crashes", "reload/fewer-then-more-workers",
           "respawn/kill-all-at-once", "respawn/crash-loop", "respawn/hung-worker",
           "control/mixed-storm", "control/one-more-one-less", "drain/stopped-worker",
           "upgrade/taken-back")


def record(name: str, folder: Path) -> Path:
    """Stages one story; returns its master's trace."""
    story, target = find_story(name), find_target("engine")
    path = folder / f"{story.short_name}.trace"
    os.environ["MW_TRACE"] = str(path)
    try:
        result = run_one(Play(story, target, new_folder(story.name, target.name)))
    finally:
        del os.environ["MW_TRACE"]
    # The new binary of an upgrade writes beside it.
    for other in folder.glob(f"{path.name}.*"):
        other.unlink()
    if result.error or not path.exists():
        raise SystemExit(f"{name}: {result.error or 'no trace was written'}")
    return path


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name in sys.argv[1:] or STORIES:
        path = record(name, FOLDER)
        print(f"{path.relative_to(ROOT)}: {len(path.read_text().splitlines())} lines")


if __name__ == "__main__":
    main()
