"""Free ports, each for one run at a time even when runs go on side by side."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from pathlib import Path

from masterwork.errors import HarnessError

TRIES = 100


class Port:
    """A TCP port nobody listens on, locked until close()."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        folder = Path(tempfile.gettempdir()) / f"masterwork-ports-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for _ in range(TRIES):
            with socket.socket() as probe:
                probe.bind((address, 0))
                number = probe.getsockname()[1]
            lock = open(folder / str(number), "w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                lock.close()
                continue
            self.number, self.lock = number, lock
            return
        raise HarnessError(f"no free port on {address} after {TRIES} tries")

    def close(self) -> None:
        self.lock.close()
