"""Logs: rotated while they are written, used to see that a signal was heard, read at the end."""

from __future__ import annotations

import re
import time
from pathlib import Path

from masterwork.errors import HarnessError
from masterwork.stage import Stage
from masterwork.units import NS

ACCESS_LOG = 0
CURRENT, RENAMED = 0, 1
SETTLED_NS = 50 * NS["ms"]


def renamed(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def rotate(stage: Stage, within_ns: int) -> str:
    """Renames the access log, asks for it to be reopened and watches the old file stop growing."""
    log = stage.server.access_log
    if log is None:
        raise HarnessError(f"{stage.target.name}: the target names no access log to rotate")
    stage.rotations += 1
    old = renamed(log, stage.rotations)
    begun = time.monotonic_ns()
    stage.record.put("director.rotate", begun, pid=stage.server.pid, a=ACCESS_LOG)
    log.rename(old)
    record_sizes(stage)
    reopen = stage.target.signals["reopen"]
    stage.record.put("director.signal", pid=stage.server.pid, a=reopen,
                     b=stage.record.word("target", "master"), c=time.monotonic_ns())
    stage.server.signal(reopen)
    appeared = stage.until(log.exists, within_ns)
    # From the bound on the old file must stay as it is: a first size now, a second at the end.
    stage.until(lambda: time.monotonic_ns() > begun + stage.params()["log_bound"] + SETTLED_NS,
                within_ns)
    record_sizes(stage)
    return "" if appeared else f"{log.name} did not appear again"


def record_sizes(stage: Stage) -> None:
    """How large the current log and every renamed one are."""
    log = stage.server.access_log
    if log is None:
        return
    for number in range(1, stage.rotations + 1):
        old = renamed(log, number)
        if old.exists():
            stage.record.put("director.log_size", a=RENAMED, b=old.stat().st_size, c=number)
    if log.exists():
        stage.record.put("director.log_size", a=CURRENT, b=log.stat().st_size, c=stage.rotations)


def ask(stage: Stage, within_ns: int) -> str:
    """Is the master there? A log that nothing else uses is renamed and must appear again."""
    log = stage.server.path(stage.target.control_log)
    if log is None:
        raise HarnessError(f"{stage.target.name}: the target names no control log to ask with")
    reopen, sequence = stage.target.signals["reopen"], stage.next_number()
    log.unlink(missing_ok=True)
    stage.record.put("director.ask", pid=stage.server.pid, a=reopen, b=sequence)
    stage.server.signal(reopen)
    seen = stage.until(log.exists, within_ns)
    stage.record.put("director.answer", pid=stage.server.pid, a=reopen, b=sequence, c=int(seen))
    return "" if seen else "the master did not reopen its logs"


def read(stage: Stage) -> None:
    """Every line of the access logs, newest file first, as records."""
    log = stage.server.access_log
    if log is None:
        return
    record_sizes(stage)
    shape = re.compile(stage.target.access_pattern)
    files = [log] + [renamed(log, number) for number in range(stage.rotations, 0, -1)]
    for index, path in enumerate(files):
        if path.exists():
            stage.record.put_lines(time.monotonic_ns(), parse(path.read_bytes(), shape, index))


def parse(data: bytes, shape: re.Pattern[str], index: int) -> list[tuple[int, int, int, int]]:
    """(nonce, file, status, well formed) for each line; groups 1 and 2 of shape are the first and
    the third."""
    rows = []
    lines = data.decode("utf-8", "replace").split("\n")
    if lines[-1] == "":
        lines.pop()
        cut = False
    else:
        cut = True
    for number, line in enumerate(lines, 1):
        match = shape.fullmatch(line)
        if match is None or (cut and number == len(lines)):
            rows.append((0, index, 0, 0))
        else:
            nonce = match[1]
            rows.append((int(nonce) if nonce.isdigit() else 0, index, int(match[2]), 1))
    return rows
