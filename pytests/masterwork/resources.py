"""Nemeses that take away what a server lives on: descriptors, memory, processes, disk, CPU, the
place in its accept queue, time. Each is undone by the guardian when the story does not do it."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import resource
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from masterwork.errors import HarnessError
from masterwork.guardian import identity
from masterwork.tree import die_with_parent

if TYPE_CHECKING:
    from masterwork.stage import Stage

DISK_BYTES = 1 << 20
BALLAST = "ballast"
CLONE_NEWTIME = 0x80
LIMITS = {"nofile": resource.RLIMIT_NOFILE, "as": resource.RLIMIT_AS,
          "nproc": resource.RLIMIT_NPROC, "cpu": resource.RLIMIT_CPU,
          "fsize": resource.RLIMIT_FSIZE}
# The file of each controller that holds its limit, in version 1 and 2 of control groups.
CGROUP_FILES = {"memory": ("memory.limit_in_bytes", "memory.max"), "pids": ("pids.max", "pids.max")}

_libc = ctypes.CDLL(None, use_errno=True)


# ---- what this machine allows --------------------------------------------------------------------

@functools.cache
def why_not(need: str) -> str:
    """Why the machine cannot give what a story needs, '' if it can."""
    if need == "mounts":
        with tempfile.TemporaryDirectory() as folder:
            trouble = _mount(folder)
            if not trouble:
                _libc.umount2(folder.encode(), 0)
            return trouble and f"no file system can be mounted here: {trouble}"
    if need.endswith("-cgroup"):
        controller = need.removesuffix("-cgroup")
        return "" if cgroup_parent(controller) else \
            f"no control group with {controller} can be made here"
    if need == "time-namespace":
        return _clock_trouble()
    return ""


def _mount(folder: str) -> str:
    options = f"size={DISK_BYTES},mode=755".encode()
    if _libc.mount(b"masterwork", os.fsencode(folder), b"tmpfs", 0, options) == 0:
        return ""
    return os.strerror(ctypes.get_errno())


def _clock_trouble() -> str:
    """A program that is executed must find itself in the new time namespace at once."""
    code = "import time; print(time.clock_gettime_ns(time.CLOCK_BOOTTIME))"
    try:
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                             preexec_fn=functools.partial(set_clock_ahead, 10**15)).stdout
    except subprocess.SubprocessError:
        return "no time namespace can be made here"
    return "" if out.strip().isdigit() and int(out) > 10**15 else \
        "a program does not enter its time namespace when it is executed (Linux before 6.1)"


# ---- limits of processes -------------------------------------------------------------------------

def limit(stage: Stage, name: str, value: int, pids: list[int]) -> str:
    """Changes the soft limit of running processes."""
    changed = 0
    for pid in pids:
        try:
            soft, hard = resource.prlimit(pid, LIMITS[name])
            stage.hold("prlimit", "unlimit", identity(pid), LIMITS[name], soft, hard)
            resource.prlimit(pid, LIMITS[name], (value, hard))
            changed += 1
        except ProcessLookupError:
            continue
        except PermissionError as error:
            raise HarnessError(f"prlimit of {pid}: {error}") from None
    return "" if changed else "nobody was there any more whose limit could be changed"


# ---- control groups ------------------------------------------------------------------------------

def _mounts(kind: str) -> list[tuple[Path, str]]:
    """(where, options) of what is mounted of a kind."""
    rows = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
    return [(Path(row[1]), row[3]) for row in rows if row[2] == kind]


def _own_path(controller: str) -> str:
    """Of version 2: '' names it."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if controller in names.split(",") if controller else names == "":
            return path
    return "/"


def _places(controller: str) -> list[tuple[Path, str]]:
    """(group, file of the limit) where a group may be made: our own group, then those above."""
    first, second = CGROUP_FILES[controller]
    found = []
    for where, options in _mounts("cgroup"):
        if controller in options.split(","):
            found.append((where / _own_path(controller).lstrip("/"), where, first))
    for where, _ in _mounts("cgroup2"):
        found.append((where / _own_path("").lstrip("/"), where, second))
    return [(group, name) for own, top, name in found
            for group in (own, *own.parents) if group == top or top in group.parents]


@functools.cache
def cgroup_parent(controller: str) -> tuple[Path, str] | None:
    """Where groups with this controller can be made, tried once."""
    for group, name in _places(controller):
        trial = group / f"masterwork-trial-{os.getpid()}"
        with contextlib.suppress(OSError):
            if name.endswith(".max") and (group / "cgroup.subtree_control").exists():
                (group / "cgroup.subtree_control").write_text(f"+{controller}")
        try:
            trial.mkdir()
        except OSError:
            continue
        usable = os.access(trial / name, os.W_OK)
        trial.rmdir()
        if usable:
            return group, name
    return None


def cgroup(stage: Stage, controller: str, value: int, pids: list[int]) -> str:
    """Puts processes into a new control group with a limit; what they start is in it as well."""
    place = cgroup_parent(controller)
    if place is None:
        return why_not(f"{controller}-cgroup")
    group = place[0] / f"masterwork-{os.getpid()}-{stage.next_number()}"
    stage.hold("cgroup", "leave_group", str(group))
    group.mkdir()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))
    try:
        (group / place[1]).write_text(str(value))
    except OSError as error:
        return f"{controller} {value}: {error.strerror}"
    return ""


# ---- disks ---------------------------------------------------------------------------------------

def mount(stage: Stage, name: str) -> None:
    """A small disk below the run's folder, before the server starts."""
    folder = stage.folder / name
    folder.mkdir(exist_ok=True)
    stage.hold("disk", "unmount", str(folder))
    trouble = _mount(str(folder))
    if trouble:
        raise HarnessError(f"{folder} cannot be a disk of its own: {trouble}")


def fill(stage: Stage, name: str) -> str:
    """Leaves not one byte on a small disk."""
    folder = stage.folder / name
    if not os.path.ismount(folder):
        return f"{name} is not one of the server's disks"
    path = folder / BALLAST
    stage.hold("fill", "remove_file", str(path))
    with open(path, "ab", buffering=0) as ballast, contextlib.suppress(OSError):
        while ballast.write(b"x" * 4096):
            pass
    return ""


# ---- CPU -----------------------------------------------------------------------------------------

BURN = "while True: pass"


def starve(stage: Stage, pids: list[int]) -> None:
    """The processes get what others leave, and busy ones, one for each CPU, leave little."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            policy, priority = os.sched_getscheduler(pid), os.sched_getparam(pid).sched_priority
            stage.hold("starve", "schedule", identity(pid), policy, priority)
            os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))
    for cpu in sorted(os.sched_getaffinity(0)):
        burner = subprocess.Popen([sys.executable, "-S", "-c", BURN], stdin=subprocess.DEVNULL,
                                  preexec_fn=functools.partial(_burn_on, cpu))
        stage.burners.append(burner)
        stage.hold("starve", "end", identity(burner.pid))


def _burn_on(cpu: int) -> None:
    die_with_parent()
    os.sched_setaffinity(0, {cpu})


# ---- the accept queue ----------------------------------------------------------------------------

def crowd(stage: Stage, count: int) -> None:
    """Connects so often and says nothing: where nobody accepts, the queue is full of it. The
    connections end with this process at the latest."""
    conns = []
    for _ in range(count):
        conn = socket.socket()
        conn.setblocking(False)
        conn.connect_ex(("127.0.0.1", stage.server.port.number))
        conns.append(conn)

    def leave() -> None:
        for conn in conns:
            conn.close()
    stage.to_undo("crowd", leave)


# ---- time ----------------------------------------------------------------------------------------

def set_clock_ahead(ns: int) -> None:
    """For a forked child: the program that it executes lives so much later (a time namespace)."""
    if _libc.unshare(CLONE_NEWTIME) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWTIME)")
    seconds, rest = divmod(ns, 10**9)
    Path("/proc/self/timens_offsets").write_text(
        f"monotonic {seconds} {rest}\nboottime {seconds} {rest}\n")
