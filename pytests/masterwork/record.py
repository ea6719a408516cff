"""The director's own history: what it did and when, in the format all witnesses share.

Kinds, words and the layout come from `mw-history vocabulary --json`, so that nothing here has to be
kept in step by hand.
"""

from __future__ import annotations

import functools
import os
import struct
import time
from pathlib import Path
from typing import Any

import numpy as np

from masterwork.catalogue import history_vocabulary
from masterwork.errors import HarnessError

MAGIC = b"MWHIST\r\n"
# struct hist_header: magic, version, record bytes, vocabulary, opened, wall clock, role, pid.
HEADER = struct.Struct("<8sIIQQQII16x")
VERSION = 1


class Vocabulary:
    """Names to numbers, as mw-history tells them."""

    def __init__(self, data: dict[str, Any]) -> None:
        try:
            self.kinds = {row["name"]: row["number"] for row in data["kinds"]}
            self.words = {name: {row["word"]: row["number"] for row in rows}
                          for name, rows in data["words"].items()}
            self.record = np.dtype([(field["name"], field["type"]) for field in data["record"]])
            self.number = data["vocabulary"]
        except (KeyError, TypeError) as error:
            raise HarnessError(f"mw-history vocabulary --json: not as expected: {error}") from None

    def word(self, group: str, word: str) -> int:
        return self.words[group][word]


@functools.cache
def vocabulary() -> Vocabulary:
    return Vocabulary(history_vocabulary())


class Recorder:
    """Appends records to one history file; each is on disk when put() returns."""

    def __init__(self, path: Path) -> None:
        self.words = vocabulary()
        self.role = self.words.word("role", "director")
        self.file = open(path, "xb", buffering=0)
        self.file.write(HEADER.pack(
            MAGIC, VERSION, self.words.record.itemsize, self.words.number % (1 << 64),
            time.monotonic_ns(), time.time_ns(), self.role, os.getpid()))

    def put(self, kind: str, t_ns: int = 0, **fields: int) -> None:
        """One record; t_ns 0 is now. Words of `a` and others are numbers: see word()."""
        row = np.zeros(1, self.words.record)
        row["slot"] = -1
        for name, value in fields.items():
            row[name] = value
        row["t_ns"] = t_ns or time.monotonic_ns()
        row["kind"] = self.words.kinds[kind]
        row["role"] = self.role
        self.file.write(row.tobytes())

    def put_lines(self, t_ns: int, lines: list[tuple[int, int, int, int]]) -> None:
        """director.log_line records: (nonce, file, status, well formed)."""
        rows = np.zeros(len(lines), self.words.record)
        rows["slot"] = -1
        rows["t_ns"] = t_ns
        rows["kind"] = self.words.kinds["director.log_line"]
        rows["role"] = self.role
        if lines:
            table = np.array(lines, dtype=np.uint64)
            for column, name in enumerate(("req", "a", "b", "c")):
                rows[name] = table[:, column]
        self.file.write(rows.tobytes())

    def word(self, group: str, word: str) -> int:
        return self.words.word(group, word)

    def close(self) -> None:
        self.file.close()
