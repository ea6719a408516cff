"""What is done to a server from outside: signals, storms, faults, limits."""

from __future__ import annotations

import signal as signals
import subprocess
import time

from masterwork import resources
from masterwork.guardian import identity
from masterwork.paths import program
from masterwork.stage import Stage
from masterwork.tree import process
from masterwork.units import NS
from masterwork.verbs import Backend, Cgroup, Freeze, Limit, Signal, Starve, Storm

TARGET_WORDS = {"worker": "worker", "last-worker": "worker", "all-workers": "worker",
                "all": "all", "master": "master", "new-master": "master",
                "group": "group"}
STORM_NUMBER_MIXED = 0
SOMEBODY_NS = NS["s"]


def receivers(stage: Stage, to: str) -> list[int]:
    """The pids that a receiver's name stands for now; of one worker, candidates in order."""
    workers = stage.state.worker_pids()
    return {"master": [stage.server.pid], "worker": workers, "last-worker": workers[::-1],
            "all-workers": workers, "all": [stage.server.pid, *workers],
            "new-master": new_masters(stage)}[to]


def new_masters(stage: Stage) -> list[int]:
    """Masters that an upgrade started: whoever below the master has children of its own."""
    parents = {found.parent for row in stage.state.tree.get("others", [])
               if (found := process(row["pid"]))}
    return sorted(parents - {stage.server.pid})


def send(stage: Stage, step: Signal) -> str:
    """One signal to each receiver; each sending is recorded with the time before and after."""
    if step.to == "group":
        send_group(stage, step.signal)
        return ""
    # In the middle of a storm or a reload there may be nobody for a moment.
    found = stage.until(lambda: send_now(stage, step) > 0, SOMEBODY_NS)
    return "" if found else f"there was no {step.to} to signal"


def send_now(stage: Stage, step: Signal) -> int:
    """Signals whoever of the receivers is there; returns how many were."""
    sent = 0
    for pid in receivers(stage, step.to):
        before = time.monotonic_ns()
        # What the witness saw may be over: a pid is signalled only while it is of this tree.
        if not is_of_tree(stage, pid):
            continue
        if step.signal == signals.SIGSTOP:
            stopping(stage, pid)
        if stage.server.signal(step.signal, pid):
            sent += 1
            stage.record.put("director.signal", before, pid=pid, a=step.signal,
                             b=stage.record.word("target", TARGET_WORDS[step.to]),
                             c=time.monotonic_ns())
        if sent and step.to in ("worker", "last-worker"):
            break
    return sent


def is_of_tree(stage: Stage, pid: int) -> bool:
    found = process(pid)
    return found is not None and found.state not in "ZX" and (
        pid in (stage.server.pid, stage.server.other_pid) or found.parent == stage.server.pid)


def send_group(stage: Stage, number: int) -> None:
    before = time.monotonic_ns()
    stage.server.signal_group(number)
    stage.record.put("director.signal", before, pid=stage.server.pid, a=number,
                     b=stage.record.word("target", "group"), c=time.monotonic_ns())


def begin_storm(stage: Stage, step: Storm) -> None:
    """Starts mw-fault storm beside the story; `storms` counts those still under way."""
    names = [name.split(":")[0] for name in step.signals.split(",")]
    number = (int(signals.Signals[f"SIG{names[0]}"]) if len(names) == 1 else STORM_NUMBER_MIXED)
    history = stage.history / f"storm-{stage.next_number()}.mwh"
    argv = [str(program("mw-fault")), "storm", "--pid", str(stage.server.pid), "--to", step.to,
            "--signal", step.signals, "--rate", str(step.rate), "--count", str(step.count),
            "--seed", str(stage.seed), "--history", str(history)]
    stage.record.put("director.storm", pid=stage.server.pid, a=number, b=1, c=step.count)
    stage.storms.append(subprocess.Popen(argv, text=True, stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    stage.state.storms = len(stage.storms)


def chosen(stage: Stage, to: str) -> list[int]:
    """Whom a verb is about that does something to processes one by one."""
    found = receivers(stage, to)
    return found[:1] if to in ("worker", "last-worker") else found


def limit(stage: Stage, step: Limit) -> str:
    return resources.limit(stage, step.resource, step.value, chosen(stage, step.to))


def cgroup(stage: Stage, step: Cgroup) -> str:
    return resources.cgroup(stage, step.controller, step.value, chosen(stage, step.to))


def starve(stage: Stage, step: Starve) -> None:
    resources.starve(stage, chosen(stage, step.to))


def freeze(stage: Stage, step: Freeze) -> str:
    """Rounds begin by an absolute clock; between two the processes go on as if nothing were."""
    begun = time.monotonic_ns()
    for number in range(step.times):
        due = begun + number * step.every_ns
        stage.until(lambda: time.monotonic_ns() >= due, max(1, due - time.monotonic_ns()))
        stop = Signal(step.index, step.text, int(signals.SIGSTOP), step.to)
        complaint = send(stage, stop)
        stage.until(lambda: False, step.lasting_ns)
        stage.undo("signal")
        if complaint:
            return complaint
    return ""


def stopping(stage: Stage, pid: int) -> None:
    """Before a process is stopped: whatever becomes of us, it goes on one day."""
    def go_on() -> None:
        before = time.monotonic_ns()
        if stage.server.signal(signals.SIGCONT, pid):
            stage.record.put("director.signal", before, pid=pid, a=int(signals.SIGCONT),
                             b=stage.record.word("target", "master" if pid == stage.server.pid
                                                 else "worker"), c=time.monotonic_ns())
    stage.hold("signal", "go_on", identity(pid))
    stage.to_undo("signal", go_on)


def backend(stage: Stage, step: Backend) -> str:
    """Changes the mood of the application behind the server; it is well again at the end."""
    if not stage.server.helper:
        return f"{stage.target.name} has no application behind it"
    if step.mood != "well" and "backend" not in stage.undoings:
        stage.to_undo("backend", lambda: stage.server.tell_helper("well"))
    stage.server.tell_helper(step.mood)
    return ""
