"""Servers for proxies to talk to, which do exactly what a test says, byte by byte."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 20.0
LINGER_RESET = struct.pack("ii", 1, 0)


class Call:
    """One accepted connection, as the script of a backend sees it."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock, self.number = sock, number
        self.buffer = b""
        self.sock.settimeout(PATIENCE_S)

    def read_head(self) -> bytes:
        """The next request's head; b"" when the other side has closed."""
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                return b""
            self.buffer += data
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        return head

    def read_body(self, head: bytes) -> bytes:
        """The body that the head announces, decoded."""
        if b"chunked" in header(head, "transfer-encoding"):
            return self._read_chunks()
        return self.read(int(header(head, "content-length") or b"0"))

    def read(self, count: int) -> bytes:
        while len(self.buffer) < count:
            data = self.sock.recv(65536)
            if not data:
                raise ConnectionError("the request ends in the middle of its body")
            self.buffer += data
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def _read_line(self) -> bytes:
        while b"\r\n" not in self.buffer:
            self.buffer += self.sock.recv(65536)
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _read_chunks(self) -> bytes:
        body = b""
        while size := int(self._read_line(), 16):
            body += self.read(size)
            assert self.read(2) == b"\r\n"
        assert self._read_line() == b""
        return body

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, body: bytes = b"", status: str = "200 OK", headers: str = "") -> None:
        head = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        self.send(head.encode() + body)

    def reset(self) -> None:
        """Closes so that the other side gets ECONNRESET."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        self.sock.close()


def header(head: bytes, name: str) -> bytes:
    """Value of a header; b"" without one."""
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == name.lower().encode():
            return value.strip()
    return b""


class Backend:
    """Listens and runs `script` for each connection in a thread of its own. Heads that scripts have
    read with take() stand in `heads`. With a path it listens on a unix socket."""

    def __init__(self, script: Callable[[Call], None], path: Path | None = None,
                 backlog: int = 64) -> None:
        self.script = script
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.count = 0
        self.changed = threading.Condition()
        self.calls: list[Call] = []
        if path is not None:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(str(path))
            self.address = f"unix:{path}"
        else:
            self.listener = socket.socket()
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.listener.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.listener.listen(backlog)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.count += 1
                call = Call(sock, self.count)
                self.calls.append(call)
                self.changed.notify_all()
            threading.Thread(target=self._run, args=(call,), daemon=True).start()

    def _run(self, call: Call) -> None:
        with contextlib.suppress(OSError):
            self.script(call)
        with contextlib.suppress(OSError):
            call.sock.close()

    def take(self, call: Call) -> bytes:
        """Reads a request, body and all, and keeps it. Its head; b"" at the end."""
        head = call.read_head()
        if head:
            body = call.read_body(head)
            with self.changed:
                self.heads.append(head)
                self.bodies.append(body)
                self.changed.notify_all()
        return head

    def wait(self, condition: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(condition, PATIENCE_S), "the backend was not asked"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for call in self.calls:
            call.sock.close()


def answering(body: bytes = b"hello", headers: str = "", status: str = "200 OK",
              ) -> Callable[[Backend], Callable[[Call], None]]:
    """A script that answers every request of a connection alike."""
    def bind(backend: Backend) -> Callable[[Call], None]:
        def script(call: Call) -> None:
            while backend.take(call):
                call.answer(body, status, headers)
        return script
    return bind
