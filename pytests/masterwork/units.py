"""Durations and sizes as people write them ("250ms", "5s", "64k") to integers and back."""

from __future__ import annotations

import re

NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def parse_ns(text: str | int) -> int:
    """A duration in ns. A bare number is refused: it would not say its unit."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m)", str(text).strip())
    if not match:
        raise ValueError(f'a duration such as "250ms" or "5s" is expected, not {text!r}')
    return round(float(match[1]) * NS[match[2]])


def parse_bytes(text: str | int) -> int:
    """A size in bytes: 4096, "64k", "2m"."""
    match = re.fullmatch(r"(\d+)([kmg]?)", str(text).strip().lower())
    if not match:
        raise ValueError(f'a size such as 4096, "64k" or "2m" is expected, not {text!r}')
    return int(match[1]) * BYTES[match[2]]


def show_ns(ns: int) -> str:
    """A duration for people: 0.25 s, 12 ms."""
    if ns >= 10 * NS["s"]:
        return f"{ns / NS['s']:.0f} s"
    if ns >= NS["s"]:
        return f"{ns / NS['s']:.1f} s"
    if ns >= NS["ms"]:
        return f"{ns / NS['ms']:.0f} ms"
    return f"{ns / NS['us']:.0f} us"


def round_up_s(ns: int) -> int:
    """The least number of whole seconds that is not shorter."""
    return -(-ns // NS["s"]) * NS["s"]


def conf_time(ns: int) -> str:
    """A duration as nginx's configuration language writes it."""
    return f"{ns // NS['ms']}ms"
