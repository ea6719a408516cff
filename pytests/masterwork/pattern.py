"""The bytes of long bodies, as scenarios/history/pattern.h makes them."""

from __future__ import annotations

PATTERN_PERIOD = 89


def pattern(count: int) -> bytes:
    """The bytes from offset 0."""
    block = bytes(33 + (i + i // PATTERN_PERIOD) % PATTERN_PERIOD for i in range(PATTERN_PERIOD**2))
    return (block * (count // len(block) + 1))[:count]
