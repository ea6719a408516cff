"""One request by the director itself: is the server ready, and which configuration answers?"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# Nonces of the prober are random; the director's are small, so that they are told apart.
_next_nonce = 1


@dataclass(frozen=True)
class Answer:
    status: int
    generation: int
    pid: int
    body: bytes


def get(port: int, path: str, timeout_s: float = 1.0) -> Answer | None:
    """GET on a new connection. None: refused, reset, cut short or too late."""
    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
    return _ask(connect, path)


def knock(folder: Path, name: str, path: str, timeout_s: float = 1.0) -> Answer | None:
    """The same over a unix socket, however deep its folder lies."""
    handle = os.open(folder, os.O_PATH)

    def connect() -> socket.socket:
        conn = socket.socket(socket.AF_UNIX)
        conn.settimeout(timeout_s)
        conn.connect(f"/proc/self/fd/{handle}/{name}")
        return conn
    try:
        return _ask(connect, path)
    finally:
        os.close(handle)


def _ask(connect: Callable[[], socket.socket], path: str) -> Answer | None:
    global _next_nonce
    _next_nonce += 1
    request = (f"GET {path} HTTP/1.1\r\nHost: mw\r\nX-Mw-Nonce: {_next_nonce}\r\n"
               "Connection: close\r\n\r\n").encode()
    data = b""
    try:
        with connect() as conn:
            conn.sendall(request)
            while chunk := conn.recv(65536):
                data += chunk
    except OSError:
        return None
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return None
    status_line, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip()
               for name, _, value in (line.partition(":") for line in lines)}
    number = {name: int(value) for name, value in headers.items() if value.isdigit()}
    return Answer(int(status_line.split()[1]), number.get("x-mw-gen", 0),
                  number.get("x-mw-pid", 0), body)
