"""Processes: whose children they are, what they hold, and that none is left.

The process that stages a story is a subreaper, so whatever its server leaves behind becomes its
child and is found, whoever forked it.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
PR_SET_PDEATHSIG = 1
TCP_LISTEN = "0A"
POLL_S = 0.002

_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Orphans below this process become its children instead of init's."""
    if _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """For a forked child: it does not outlive the process that forked it."""
    _libc.prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    state: str
    name: str


def process(pid: int) -> Process | None:
    """One process as /proc shows it now."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    name, rest = text.split("(", 1)[1].rsplit(") ", 1)
    fields = rest.split()
    return Process(pid, int(fields[1]), fields[0], name)


def processes() -> list[Process]:
    found = (process(int(name)) for name in os.listdir("/proc") if name.isdigit())
    return [item for item in found if item is not None]


def descendants(root: int, but: Collection[int] = ()) -> list[Process]:
    """Everything below root, parents first; `but` and what is below them left out."""
    children: dict[int, list[Process]] = {}
    for item in processes():
        children.setdefault(item.parent, []).append(item)
    found: list[Process] = []
    todo = [root]
    while todo:
        for child in children.get(todo.pop(), []):
            if child.pid not in but:
                found.append(child)
                todo.append(child.pid)
    return found


def is_alive(pid: int) -> bool:
    """Runs or could run: a zombie is not alive."""
    found = process(pid)
    return found is not None and found.state not in "ZX"


def wait_until(true: Callable[[], bool], within_s: float) -> bool:
    """Asks until true, at most so long."""
    deadline = time.monotonic() + within_s
    while not true():
        if time.monotonic() > deadline:
            return False
        select.select([], [], [], POLL_S)
    return True


def reap(keep: Collection[int] = ()) -> None:
    """Collects ended children of ours that nobody else waits for."""
    for item in processes():
        if item.parent == os.getpid() and item.state == "Z" and item.pid not in keep:
            try:
                os.waitpid(item.pid, os.WNOHANG)
            except ChildProcessError:
                pass


def kill_all(root: int, but: Collection[int] = (), within_s: float = 10.0) -> list[Process]:
    """Kills everything below root until nothing is left. Returns what was there at first."""
    first: list[Process] = []

    def gone() -> bool:
        left = [item for item in descendants(root, but) if item.state not in "ZX"]
        if not first:
            first.extend(left)
        for item in left:
            try:
                os.kill(item.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
        reap(but)
        return not left
    wait_until(gone, within_s)
    return first


def fd_count(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def caught_signals(pid: int) -> int:
    """The SigCgt mask of /proc/PID/status."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("SigCgt:"):
                return int(line.split()[1], 16)
    except OSError:
        pass
    return 0


def children_count(pid: int) -> int:
    return sum(item.parent == pid and item.state not in "ZX" for item in processes())


def listening_inodes(ports: Collection[int]) -> list[tuple[int, int]]:
    """(port, inode) of listening TCP sockets on these ports."""
    found = []
    for path in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(path).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            port = int(fields[1].rsplit(":", 1)[1], 16)
            if fields[3] == TCP_LISTEN and port in ports:
                found.append((port, int(fields[9])))
    return found


def shared_memory_of(pid: int) -> set[str]:
    """Named shared memory that a process has mapped and that still has its name."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(errors="replace").splitlines()
    except OSError:
        return set()
    return {line.split(None, 5)[5] for line in lines
            if "/dev/shm/" in line and not line.endswith("(deleted)")}


def describe(items: list[Process]) -> str:
    return ", ".join(f"{item.pid} {item.name} ({item.state})" for item in items) or "nothing"
