"""Reads the [params] of a story or a target: bounds and sizes that the judge needs."""

from __future__ import annotations

from masterwork.catalogue import words
from masterwork.schema import Table

# Parameters that are not durations.
COUNTS = ("workers", "cpu_permille", "fd_slack", "fd_limit", "worker_connections", "generations",
          "capacity")
SIZES = ("rss_slack",)
FLAGS = ("generation_header", "engine_trace", "access_log")
RATES = ("respawn_rate",)
# Parameters the director knows by itself; a story or target does not state them.
OWN = ("workers", "worker_connections", "fd_limit", "keepalive_timeout", "access_log",
       "generations")


def read_params(table: Table) -> dict[str, int]:
    """Parameters in the history's units: ns, bytes, counts, per second x 1000."""
    params: dict[str, int] = {}
    for name in words("param"):
        if name in OWN or name not in table.data:
            continue
        if name in COUNTS:
            params[name] = table.integer(name)
        elif name in SIZES:
            params[name] = table.size(name)
        elif name in FLAGS:
            params[name] = int(table.boolean(name))
        elif name in RATES:
            params[name] = round(1000 * table.number(name))
        else:
            params[name] = table.duration(name)
    for name in OWN:
        if name in table.data:
            raise table.error(name, "is taken from [server]; it cannot be stated here")
    # done() must know all names to suggest one of them.
    table.asked.update(words("param"))
    table.done()
    return params
