"""Witnesses that speak JSON lines: mw-prober and mw-watch. One Loop reads them all, so that the
director is a single thread that never sleeps but in one place."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from masterwork.errors import HarnessError
from masterwork.tree import die_with_parent

READ_BYTES = 1 << 16
QUIT_S = 5.0

Message = dict[str, Any]


class Witness:
    """A child that prints JSON lines and takes commands on its input."""

    def __init__(self, name: str, argv: list[str], log: Path,
                 heard: Callable[[Message], None]) -> None:
        self.name = name
        self.heard = heard
        self.log = log
        self.buffer = b""
        self.done: Message | None = None
        self.ready = False
        self.ended = False
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                preexec_fn=die_with_parent, start_new_session=True)
        assert self.process.stdin and self.process.stdout
        os.set_blocking(self.process.stdout.fileno(), False)

    @property
    def pid(self) -> int:
        return self.process.pid

    def say(self, line: str) -> None:
        """One command. A witness that is gone is the harness's failure."""
        assert self.process.stdin
        try:
            self.process.stdin.write(line.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise self.failed("does not listen any more") from None

    def read(self) -> None:
        """Takes what is there."""
        assert self.process.stdout
        try:
            data = os.read(self.process.stdout.fileno(), READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            self.ended = True
            return
        *lines, self.buffer = (self.buffer + data).split(b"\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        try:
            message = json.loads(line)
        except ValueError:
            raise self.failed(f"printed what is not JSON: {line[:200]!r}") from None
        match message.get("event"):
            case "ready":
                self.ready = True
            case "done":
                self.done = message
        self.heard(message)

    def failed(self, what: str) -> HarnessError:
        status = self.process.poll()
        try:
            tail = self.log.read_text(errors="replace").strip()[-800:]
        except OSError:
            tail = ""
        ended = f" (exit {status})" if status is not None else ""
        return HarnessError(f"{self.name}{ended} {what}" + (f": {tail}" if tail else ""))

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream:
                try:
                    stream.close()
                except OSError:
                    pass
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Loop:
    """Waits for the witnesses' lines."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()
        self.witnesses: list[Witness] = []

    def add(self, witness: Witness) -> None:
        assert witness.process.stdout
        self.witnesses.append(witness)
        self.selector.register(witness.process.stdout, selectors.EVENT_READ, witness)

    def watch_fd(self, fd: int) -> None:
        """Wakes the loop when fd becomes readable (a pidfd: when the process ends)."""
        self.selector.register(fd, selectors.EVENT_READ, None)

    def forget_fd(self, fd: int) -> None:
        self.selector.unregister(fd)

    def turn(self, timeout_s: float) -> None:
        """Waits for something, at most so long, and takes it in."""
        for key, _ in self.selector.select(max(0.0, timeout_s)):
            witness = key.data
            if witness is None:
                continue
            witness.read()
            if witness.ended:
                self.selector.unregister(key.fileobj)
                if witness.done is None:
                    raise witness.failed("ended in the middle of the story")

    def until(self, true: Callable[[], bool], within_s: float, grain_s: float = 0.005) -> bool:
        """Turns until the condition holds; False when the time is up first."""
        deadline = time.monotonic() + within_s
        while not true():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self.turn(min(left, grain_s))
        return True

    def quit(self, witness: Witness, patience_s: float = 0.0) -> None:
        """Asks a witness to finish, and takes its last words; patience is for what it has open."""
        if witness.done is None:
            witness.say("quit")
            if not self.until(lambda: witness.done is not None, QUIT_S + patience_s):
                raise witness.failed(f"did not finish within {QUIT_S + patience_s:.0f} s")

    def close(self) -> None:
        for witness in self.witnesses:
            witness.close()
        self.selector.close()
