"""Reads the [params] of a story or a target: bounds and sizes that the judge needs."""

from __future__ import annotations

from masterwork.schema import Table
from masterwork.words import COUNTS, FLAGS, OWN, RATES, SIZES, words


def read_params(table: Table) -> dict[str, int]:
    """Parameters in the history's units: ns, bytes, counts, per second x 1000."""
    params: dict[str, int] = {}
    for name in words("PARAM"):
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
    table.asked.update(words("PARAM"))
    table.done()
    return params
