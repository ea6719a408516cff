"""Stopping the server, and what it leaves behind."""

from __future__ import annotations

import os
import signal
import time

from masterwork.server import UNKNOWN_STATUS
from masterwork.stage import Stage
from masterwork.tree import descendants, kill_all, listening_inodes, reap, shared_memory_of
from masterwork.units import NS

HOW = {"graceful": 1, "fast": 0, "kill": 2}
PATIENCE_NS = 2 * NS["s"]
# The judge's own slack: orphans are watched for this long beyond their bound.
BEYOND_NS = 750 * NS["ms"]


def stop(stage: Stage, how: str, within_ns: int) -> str:
    """Asks the server to stop, waits for its master and then for its tree, looks at what is left.
    Returns what went wrong, '' if nothing."""
    pid = stage.server.pid
    shared = set().union(*(shared_memory_of(one) for one in (pid, *stage.state.worker_pids())))
    number = int(signal.SIGKILL) if how == "kill" else stage.target.signals[how]
    begun = time.monotonic_ns()
    stage.record.put("director.stop", begun, pid=pid, a=HOW[how])
    stage.record.put("director.signal", begun, pid=pid, a=number,
                     b=stage.record.word("target", "master"), c=time.monotonic_ns())
    stage.server.signal(number)
    gone = stage.until(lambda: not stage.server.is_running(), within_ns)
    status = stage.server.exit_status()
    status = UNKNOWN_STATUS if status is None else status
    stage.record.put("director.stopped", pid=pid, a=int(gone), b=status,
                     c=time.monotonic_ns() - begun)
    patience = stage.params()["orphan_bound"] + BEYOND_NS if how == "kill" else PATIENCE_NS
    stage.until(lambda: not _tree(stage), patience)
    leftovers(stage, shared)
    stage.stopped = True
    return "" if gone else f"the master was still there after {within_ns / NS['s']:.1f} s"


def end_by_force(stage: Stage) -> None:
    """Kills what did not stop when it was asked to, so that clients that wait for it can end."""
    if _tree(stage):
        kill_all(os.getpid(), stage.own_pids())


def refused_start(stage: Stage) -> str:
    """What is wrong with how a server that does not serve came to its end: '' if it said why, with
    a status that is not 0, and left nothing. That is all it owes where starting cannot succeed."""
    status = stage.server.process.poll() if stage.server.process else None
    if status is None:
        return "\n  ".join(["the start neither succeeds nor fails", *stage.state.describe()])
    if status < 0:
        return f"the start died of signal {-status}: {' | '.join(stage.server.complaints())}"
    if status == 0:
        return f"the start ended with 0: {' | '.join(stage.server.complaints())}"
    if not stage.server.complaints():
        return f"the start ended with {status} and did not say why"
    stage.until(lambda: not _tree(stage), PATIENCE_NS)
    left = {kind: len(rows) for kind, rows in _left(stage, set()).items() if rows}
    return f"a start that failed left something behind: {left}" if left else ""


def _tree(stage: Stage) -> list[int]:
    """Live processes of the server: everything below us that is not the harness's own."""
    ours = stage.own_pids()
    reap({stage.server.pid} | ours)
    return [item.pid for item in descendants(os.getpid(), ours) if item.state not in "ZX"]


def leftovers(stage: Stage, shared: set[str]) -> None:
    """Records everything that should have gone with the server."""
    word = stage.record.word
    for kind, rows in _left(stage, shared).items():
        for row in rows:
            stage.record.put("director.leftover", a=word("leftover", kind), **row)
        stage.record.put("director.checked", a=word("leftover", kind), b=len(rows))


def _left(stage: Stage, shared: set[str]) -> dict[str, list[dict[str, int]]]:
    """What of a server is still there, by kind, as the records tell it."""
    processes = _tree(stage)
    listeners = listening_inodes([stage.server.port.number])
    pid_file = stage.server.pid_file
    return {
        "process": [{"pid": pid, "b": pid} for pid in processes],
        "listener": [{"b": port} for port, _ in listeners],
        "unix-path": [{"b": path.stat().st_ino} for path in stage.folder.rglob("*")
                      if path.is_socket() and path.name != "helper.sock"],
        "pid-file": [{"b": _pid_in(pid_file)}] if pid_file and pid_file.exists() else [],
        "shm": [{"b": os.stat(path).st_ino} for path in shared if os.path.exists(path)],
    }


def _pid_in(path) -> int:
    text = path.read_text(errors="replace").strip()
    return int(text) if text.isdigit() else 0
