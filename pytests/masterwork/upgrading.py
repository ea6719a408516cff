"""Binary upgrades: asking for one, seeing what becomes of it, and going on with the new master."""

from __future__ import annotations

import time

from masterwork.probe import knock as ask_path
from masterwork.stage import Stage
from masterwork.tree import process
from masterwork.verbs import Knock, Upgrade


def perform(stage: Stage, step: Upgrade) -> str:
    """Sends the signal and waits until a new master is named, or the attempt is seen to be over."""
    server, sequence, begun = stage.server, stage.next_number(), time.monotonic_ns()
    parent = process(server.pid)
    stage.record.put("director.upgrade", begun, pid=server.pid, a=int(step.expect == "ready"),
                     b=sequence, c=parent.parent if parent else 0)
    stage.record.put("director.signal", begun, pid=server.pid, a=stage.target.signals["upgrade"],
                     b=stage.record.word("target", "master"), c=time.monotonic_ns())
    failures, refusals = stage.state.logged(FAILED), stage.state.logged(REFUSED)
    server.signal(stage.target.signals["upgrade"])
    found = "none"

    def known() -> bool:
        nonlocal found
        if stage.state.logged(REFUSED) > refusals:
            found = "refused"
        elif stage.state.logged(FAILED) > failures:
            found = "failed"
        elif server.other_pid and old_is_named(stage):
            found = "ready"
        return found != "none"
    stage.until(known, step.within_ns)
    word = -1 if found == "none" else stage.record.word("upgrade", found)
    stage.record.put("director.upgraded", pid=server.pid, a=word % (1 << 64), b=sequence,
                     c=server.other_pid)
    return "" if found == step.expect else \
        f"the upgrade was seen {found!r}, {step.expect!r} was expected"


# What the engine and nginx write in their error logs; a server that says nothing is waited for.
FAILED = r"the upgrade failed|new binary process \d+ exited"
REFUSED = r"an upgrade is refused|\(SIGUSR2\) received.*ignoring"


def old_is_named(stage: Stage) -> bool:
    """The old master has its own file while there are two."""
    path = stage.server.pid_file
    old = path.with_name(path.name + ".oldbin") if path else None
    try:
        return old is None or old.read_text().strip() == str(stage.server.pid)
    except OSError:
        return False


def adopt(stage: Stage, within_ns: int) -> str:
    """The old master is gone, or what is left of it is not waited for any longer."""
    new = stage.server.other_pid
    if not new:
        return "there is no new master"
    gone = stage.until(lambda: not stage.server.is_running(), within_ns)
    stage.record.put("director.adopted", pid=new, a=stage.server.pid, b=int(gone))
    stage.follow(new)
    return "" if gone else "the old master is still there"


def knock(stage: Stage, step: Knock) -> None:
    """Connects to a unix socket so many times; whether an answer came is for the judge."""
    for _ in range(step.times):
        begun = time.monotonic_ns()
        answer = ask_path(stage.folder, step.path, stage.target.surfaces["echo"])
        path = stage.folder / step.path
        stage.record.put("director.knock", begun, a=int(answer is not None),
                         b=path.stat().st_ino if path.exists() else 0,
                         c=answer.pid if answer else 0)
        stage.until(lambda: False, KNOCK_NS)


KNOCK_NS = 10_000_000
