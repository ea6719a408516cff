"""What the server itself says, read and recorded: its error log and its status page."""

from __future__ import annotations

import json

from masterwork.errors import HarnessError
from masterwork.probe import get
from masterwork.stage import Stage
from masterwork.units import NS
from masterwork.verbs import Said, Status

PAUSE_NS = 10 * NS["ms"]


def said(stage: Stage, step: Said) -> None:
    """Does the error log have such a line, now or soon?"""
    found = stage.until(lambda: stage.state.logged(step.pattern) > 0, step.within_ns)
    stage.record.put("director.said", a=int(found))


def status(stage: Stage, step: Status) -> str:
    """Reads the page so many times; whether it adds up is for the judge."""
    path = stage.target.surfaces.get("status")
    if path is None:
        raise HarnessError(f"{stage.target.name} has no status page")
    missing = 0
    for _ in range(step.times):
        answer = get(stage.server.port.number, path)
        if answer is None or answer.status != 200:
            missing += 1
        else:
            page = json.loads(answer.body)
            rows = page["workers"]
            stage.record.put("director.status", pid=stage.server.pid,
                             a=page["total"]["requests"], c=len(rows),
                             b=sum(row["requests"] for row in rows))
        stage.until(lambda: False, PAUSE_NS)
    return f"{missing} times the status page was not to be had" if missing else ""
