"""The words a history uses, read from words.def: what stories may name, and in which unit."""

from __future__ import annotations

import functools
import re

from masterwork.errors import HarnessError
from masterwork.paths import ROOT

WORDS_DEF = ROOT / "scenarios" / "history" / "words.def"


@functools.cache
def words(name: str) -> tuple[str, ...]:
    """The words of one list of words.def ("POPULATION", "OUTCOME", ...) in order."""
    text = WORDS_DEF.read_text(encoding="utf-8")
    match = re.search(rf"#define HIST_{name}_LIST\(W\)(.*?)(?=\n\n|\n#|\n/\*|\Z)", text, flags=re.S)
    if not match:
        raise HarnessError(f"{WORDS_DEF}: holds no HIST_{name}_LIST")
    return tuple(re.findall(r'W\(\w+,\s*"([^"]+)"', match[1]))


# Parameters that are not durations.
COUNTS = ("workers", "cpu_permille", "fd_slack", "fd_limit", "worker_connections")
SIZES = ("rss_slack",)
FLAGS = ("generation_header", "engine_trace", "access_log")
RATES = ("respawn_rate",)
# Parameters the director knows by itself; a story or target does not state them.
OWN = ("workers", "worker_connections", "fd_limit", "keepalive_timeout", "access_log")
