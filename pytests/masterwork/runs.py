"""Names and places of runs."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

from masterwork.paths import runs_folder

KEPT = 60


def new_folder(story: str, target: str, suffix: str = "") -> Path:
    """A folder nobody has: runs/TIME-STORY-TARGET[-N]."""
    stamp = time.strftime("%m%d-%H%M%S")
    name = f"{stamp}-{story.replace('/', '-')}-{target}" + (f"-{suffix}" if suffix else "")
    folder = runs_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        path = folder / (name if number == 1 else f"{name}-{number}")
        try:
            path.mkdir()
            return path
        except FileExistsError:
            continue
    raise FileExistsError(folder / name)


def prune(keep: int = KEPT) -> None:
    """Removes all but the newest runs."""
    folder = runs_folder()
    if not folder.is_dir():
        return
    # Others may prune at the same time: what is gone already is not looked at.
    runs = sorted((path for path in folder.iterdir() if path.is_dir()), key=_changed)
    for path in runs[:-keep] if keep else runs:
        remove(path)


def remove(folder: Path) -> None:
    """One run, with the log that stands beside it."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".log").unlink(missing_ok=True)


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
