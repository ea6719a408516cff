"""Where the project's files and programs are."""

from __future__ import annotations

import os
from pathlib import Path

from masterwork.errors import HarnessError

ROOT = Path(__file__).resolve().parents[2]
STORIES = ROOT / "scenarios" / "stories"
SWEEPS = ROOT / "scenarios" / "sweeps"
TARGETS = ROOT / "scenarios" / "targets"


def bin_folder() -> Path:
    """The folder of the programs: MW_BIN, else build/bin."""
    return Path(os.environ.get("MW_BIN") or ROOT / "build" / "bin").absolute()


def runs_folder() -> Path:
    """Where runs are kept: MW_RUNS, else runs/ beside the folder of the programs."""
    named = os.environ.get("MW_RUNS")
    return Path(named).absolute() if named else bin_folder().parent / "runs"


def program(name: str) -> Path:
    """One of the project's programs, or an error that says how to get it."""
    path = bin_folder() / name
    if not os.access(path, os.X_OK):
        raise HarnessError(f"{name}: {path} is missing; build it with `make`, or set MW_BIN to the "
                           "folder that holds the programs")
    return path


def command_name() -> str:
    """How a user calls the masterwork command from here."""
    script = bin_folder() / "masterwork"
    if not script.exists():
        return "python3 -m masterwork"
    try:
        return str(script.relative_to(Path.cwd()))
    except ValueError:
        return str(script)
