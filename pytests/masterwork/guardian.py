"""The guardian: a small process beside a stage that undoes what was done to the machine or to
processes, whatever becomes of the director.

Before the director stops, limits, mounts or slows down something it says how that is undone. When
it ends, in good order or by SIGKILL, its end of the line closes and the guardian undoes what is
left, last first. What was held and undone stands in the run's guardian.jsonl.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from masterwork.errors import HarnessError
from masterwork.tree import process, wait_until

NAME = "mw-guardian"
JOURNAL = "guardian.jsonl"
PR_SET_NAME = 15
MNT_DETACH = 2
ANSWER_S = 10.0
GONE_S = 5.0

_libc = ctypes.CDLL(None, use_errno=True)

Entry = dict[str, Any]


def identity(pid: int) -> list[int]:
    """A process that cannot be taken for a later one with the same pid: pid and start time."""
    return [pid, started(pid)]


def started(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rsplit(") ", 1)[1].split()
    except OSError:
        return 0
    return int(fields[19])


def session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def is_there(who: list[int]) -> bool:
    return who[1] != 0 and started(who[0]) == who[1]


# ---- how each kind is undone ---------------------------------------------------------------------

def go_on(who: list[int]) -> None:
    """A stopped process."""
    if is_there(who):
        os.kill(who[0], signal.SIGCONT)


def unlimit(who: list[int], number: int, soft: int, hard: int) -> None:
    if is_there(who):
        resource.prlimit(who[0], number, (soft, hard))


def schedule(who: list[int], policy: int, priority: int) -> None:
    if is_there(who):
        os.sched_setscheduler(who[0], policy, os.sched_param(priority))


def end(who: list[int]) -> None:
    """A process of our own."""
    if is_there(who):
        os.kill(who[0], signal.SIGKILL)


def end_session(who: list[int]) -> None:
    """A server with all that it started: they share its session, which outlives it. The number of
    a session that nobody is in any more may be somebody else's by now."""
    if started(who[0]) not in (0, who[1]):
        return

    def left() -> list[int]:
        pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
        return [pid for pid in pids if session_of(pid) == who[0]
                and (found := process(pid)) and found.state not in "ZX"]

    def gone() -> bool:
        pids = left()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not pids
    wait_until(gone, GONE_S)


def unmount(path: str) -> None:
    """Also while files on it are open: it is out of sight now and ends with the last of them."""
    if os.path.ismount(path) and _libc.umount2(path.encode(), MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def remove_file(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def leave_group(path: str) -> None:
    """A control group: who is still in it goes to the group above."""
    group = Path(path)
    if not group.is_dir():
        return

    def empty() -> bool:
        with contextlib.suppress(OSError):
            for pid in (group / "cgroup.procs").read_text().split():
                with contextlib.suppress(OSError):
                    (group.parent / "cgroup.procs").write_text(pid)
            group.rmdir()
        return not group.is_dir()
    if not wait_until(empty, GONE_S):
        raise OSError(f"{path} cannot be removed")


def disarm(program: str, board: str) -> None:
    if os.path.exists(board):
        subprocess.run([program, "disarm", "--board", board, "all"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)


WAYS: dict[str, Callable[..., None]] = {
    way.__name__: way for way in (go_on, unlimit, schedule, end, end_session, unmount, remove_file,
                                  leave_group, disarm)}


# ---- the guardian's side -------------------------------------------------------------------------

class Keeper:
    """What runs in the guardian's process."""

    def __init__(self, line: socket.socket, journal: Path) -> None:
        self.line = line
        self.journal = open(journal, "a", buffering=1, encoding="utf-8")
        self.held: dict[int, Entry] = {}

    def run(self) -> None:
        for request in self.requests():
            if "hold" in request:
                self.held[request["number"]] = request["hold"]
                self.note("held", request["hold"])
                self.answer("")
            else:
                self.answer(self.undo(request["release"]))
        for number in sorted(self.held, reverse=True):
            self.undo(number)

    def requests(self) -> Iterator[Entry]:
        """Until the director's end closes; half a line is none."""
        buffer = b""
        while data := self.receive():
            *lines, buffer = (buffer + data).split(b"\n")
            yield from (json.loads(line) for line in lines)

    def receive(self) -> bytes:
        try:
            return self.line.recv(1 << 16)
        except ConnectionError:
            return b""

    def answer(self, trouble: str) -> None:
        with contextlib.suppress(OSError):
            self.line.sendall(json.dumps(trouble).encode() + b"\n")

    def undo(self, number: int) -> str:
        entry = self.held.pop(number, None)
        if entry is None:
            return ""
        try:
            WAYS[entry["way"]](*entry["arguments"])
        except Exception as error:
            self.note("not undone", entry, str(error))
            return f"{entry['way']} {entry['arguments']}: {error}"
        self.note("undone", entry)
        return ""

    def note(self, what: str, entry: Entry, why: str = "") -> None:
        row = {"t_ns": time.monotonic_ns(), "what": what, **entry}
        self.journal.write(json.dumps({**row, "why": why} if why else row) + "\n")


def _keep(line: socket.socket, folder: Path) -> None:
    """The guardian's process: never returns. It holds nothing of the director's but the line."""
    status = 1
    try:
        os.setsid()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        _libc.prctl(PR_SET_NAME, NAME.encode(), 0, 0, 0)
        os.chdir("/")
        os.closerange(0, line.fileno())
        os.closerange(line.fileno() + 1, os.sysconf("SC_OPEN_MAX"))
        null = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            if number != null:
                os.dup2(null, number)
        Keeper(line, folder / JOURNAL).run()
        status = 0
    finally:
        os._exit(status)


# ---- the director's side -------------------------------------------------------------------------

class Guardian:
    """Starts with the first thing that must be undone; a stage without any has none."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid = 0
        self.count = 0
        self.line: socket.socket | None = None

    def hold(self, way: str, *arguments: Any) -> int:
        """To be called before it is done; returns the number to release it by."""
        if self.line is None:
            self._start()
        self.count += 1
        self._ask({"number": self.count, "hold": {"way": way, "arguments": list(arguments)}})
        return self.count

    def release(self, number: int) -> None:
        """Undoes one thing now."""
        trouble = self._ask({"release": number})
        if trouble:
            raise HarnessError(f"cannot be undone: {trouble}")

    def close(self) -> None:
        """Undoes everything that is left; returns when it is done."""
        if self.line is None:
            return
        self.line.close()
        self.line = None
        if not wait_until(lambda: os.waitpid(self.pid, os.WNOHANG)[0] == self.pid, ANSWER_S):
            raise HarnessError(f"the guardian {self.pid} did not undo everything within "
                               f"{ANSWER_S:.0f} s; see {self.folder / JOURNAL}")
        left = [row for row in journal(self.folder) if row["what"] == "not undone"]
        if left:
            raise HarnessError(f"cannot be undone: {left[-1]['way']} {left[-1]['arguments']}: "
                               f"{left[-1]['why']}")

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _keep(theirs, self.folder)
        theirs.close()
        self.line = ours

    def _ask(self, request: Entry) -> str:
        assert self.line
        self.line.sendall(json.dumps(request).encode() + b"\n")
        if not select.select([self.line], [], [], ANSWER_S)[0]:
            raise HarnessError(f"the guardian {self.pid} does not answer")
        answer = self.line.recv(1 << 16)
        if not answer:
            raise HarnessError(f"the guardian {self.pid} is gone")
        return json.loads(answer)


def journal(folder: Path) -> list[Entry]:
    """What a run's guardian held and undid, in order."""
    path = folder / JOURNAL
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def wait_for(pids: list[int], within_s: float = ANSWER_S) -> None:
    """Until guardians among these processes have undone what their directors left them."""
    keepers = [pid for pid in pids if (found := process(pid)) and found.name == NAME]
    wait_until(lambda: all((found := process(pid)) is None or found.state in "ZX"
                           for pid in keepers), within_s)
