"""What the tests of proxying share: one engine (or nginx, with the same configuration) in front of
scripted backends."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from masterwork.paths import program
from masterwork.ports import Port
from masterwork.scripted import PATIENCE_S, Backend, Call
from masterwork.tree import wait_until

NGINX = "/usr/sbin/nginx"
FORMAT = ("$request|$status|$upstream_addr|$upstream_status|$upstream_connect_time"
          "|$upstream_header_time|$upstream_response_time|$upstream_response_length"
          "|$upstream_bytes_sent|$upstream_bytes_received")


@dataclass
class Answer:
    """What a client got."""
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    whole: bool = True

    def get(self, name: str) -> str | None:
        found = [value for key, value in self.headers if key.lower() == name.lower()]
        return found[0] if found else None


@dataclass
class Proxy:
    """A running server in a folder of its own."""
    folder: Path
    server: str = "engine"
    port: Port | None = None
    process: subprocess.Popen[bytes] | None = None
    backends: list[Backend] = field(default_factory=list)

    def backend(self, make: Callable[[Backend], Callable[[Call], None]],
                path: Path | None = None) -> Backend:
        backend = Backend(lambda call: backend.script(call), path)
        backend.script = make(backend)
        self.backends.append(backend)
        return backend

    def start(self, server: str, http: str = "", main: str = "worker_processes 1;",
              drain: str = "5s", connections: int = 256) -> None:
        """`server` stands inside the server block. A port that somebody else has taken since it was
        found free, as the near end of a connection perhaps, is given up for another one."""
        for _ in range(3):
            if self.port is not None:
                self.port.close()
            self.port = Port()
            self._write(server, http, f"{main} worker_shutdown_timeout {drain};", connections)
            self._spawn()
            out = self.folder / "out"
            if wait_until(lambda: self.is_alive() or "in use" in out.read_text(), PATIENCE_S) \
                    and self.is_alive():
                return
            self.process.kill()
            self.process.wait()
            assert "in use" in out.read_text(), out.read_text()
        raise AssertionError("no port stayed free")

    def _write(self, server: str, http: str, main: str, connections: int) -> None:
        (self.folder / "logs").mkdir(exist_ok=True)
        temp = "" if self.server == "engine" else "".join(
            f"{name}_temp_path {self.folder}/unused_{name};\n" for name in ("fastcgi", "uwsgi",
                                                                           "scgi"))
        user = "user root;" if self.server != "engine" and os.geteuid() == 0 else ""
        (self.folder / "proxy.conf").write_text(f"""
            daemon off; pid {self.folder}/server.pid; error_log {self.folder}/logs/error.log info;
            {main} {user}
            events {{ worker_connections {connections}; }}
            http {{
                log_format up '{FORMAT}';
                access_log {self.folder}/logs/access.log up;
                client_body_temp_path {self.folder}/client_body_temp;
                proxy_temp_path {self.folder}/proxy_temp;
                {temp}
                {http}
                server {{ listen 127.0.0.1:{self.port.number};
                    location = /alive {{ access_log off; return 204; }}
                    {server}
                }}
            }}""")

    def _spawn(self) -> None:
        binary = str(program("mw-engine")) if self.server == "engine" else NGINX
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MW_")}
        with open(self.folder / "out", "wb") as out:
            self.process = subprocess.Popen(
                [binary, "-p", str(self.folder), "-c", str(self.folder / "proxy.conf")],
                stdout=out, stderr=out, start_new_session=True, env=environment)

    def is_alive(self) -> bool:
        with contextlib.suppress(OSError):
            return self.ask("/alive").status == 204
        return False

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port.number), timeout=PATIENCE_S)

    def ask(self, path: str, method: str = "GET", headers: str = "", body: bytes = b"") -> Answer:
        """One request on a connection of its own."""
        length = f"Content-Length: {len(body)}\r\n" if body or method == "POST" else ""
        with self.connect() as sock:
            sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: front\r\nConnection: close\r\n{length}"
                         f"{headers}\r\n".encode() + body)
            return read_answer(sock, method)

    def log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "logs" / "error.log").read_text()
        return ""

    def logged(self, text: str) -> None:
        """Waits for a line of the error log."""
        assert wait_until(lambda: text in self.log(), PATIENCE_S), f"no {text!r} in\n{self.log()}"

    def access(self) -> list[list[str]]:
        """The access log's lines, split."""
        text = (self.folder / "logs" / "access.log").read_text()
        return [line.split("|") for line in text.splitlines()]

    def last_access(self, count: int = 1) -> list[str]:
        assert wait_until(lambda: len(self.access()) >= count, PATIENCE_S)
        return self.access()[count - 1]

    def close(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(PATIENCE_S)
        for backend in self.backends:
            backend.close()
        if self.port is not None:
            self.port.close()
        assert "[alert]" not in self.log(), self.log()


def read_answer(sock: socket.socket, method: str = "GET") -> Answer:
    """Reads one answer; one that breaks off is not whole."""
    data = b""
    whole = True

    def more() -> bool:
        nonlocal data
        try:
            piece = sock.recv(65536)
        except ConnectionResetError:
            piece = b""
        data += piece
        return bool(piece)

    while b"\r\n\r\n" not in data:
        if not more():
            raise ConnectionError(f"no answer, only {data!r}")
    head, data = data.split(b"\r\n\r\n", 1)
    lines = head.decode("latin-1").split("\r\n")
    _, status, reason = (lines[0] + " ").split(" ", 2)
    headers = [(key, value.strip()) for key, _, value in (x.partition(":") for x in lines[1:])]
    answer = Answer(int(status), reason.strip(), headers, b"")
    if method == "HEAD" or answer.status in (204, 304):
        return answer
    if answer.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            while b"\r\n" not in data and (whole := more()):
                pass
            if not whole:
                break
            size, data = data.split(b"\r\n", 1)
            count = int(size, 16)
            while len(data) < count + 2 and (whole := more()):
                pass
            body, data = body + data[:count], data[count + 2:]
            if not whole or count == 0:
                break
        answer.body = body
    else:
        length = answer.get("content-length")
        while length is None or len(data) < int(length):
            if not more():
                whole = length is None
                break
        answer.body = data
    answer.whole = whole
    return answer


SERVERS = ["engine"] + (["nginx"] if os.access(NGINX, os.X_OK) else [])


@pytest.fixture
def proxy(tmp_path) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path)
    yield proxy
    proxy.close()


@pytest.fixture(params=SERVERS)
def either(request, tmp_path) -> Iterator[Proxy]:
    """The engine, and nginx to show that it is nginx's meaning that is tested."""
    proxy = Proxy(tmp_path, request.param)
    yield proxy
    proxy.close()
