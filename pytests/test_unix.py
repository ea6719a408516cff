"""Unix sockets as listeners: what TCP has from its queue, they must have as well."""

from __future__ import annotations

import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tls_server import PATIENCE_S, Server, read_answer, until

from masterwork.tree import process


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "server")
    yield made
    made.close()


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path: that of a unix socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="mw-") as folder:
        yield Path(folder) / "sock"


def begin(place: Path) -> socket.socket:
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(PATIENCE_S)
    stream.connect(str(place))
    stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    return stream


def pending(pid: int, number: int) -> bool:
    """Was the process sent a signal that it has not taken yet? proc(5), ShdPnd"""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd:"))
    return bool(int(mask, 16) >> number - 1 & 1)


def workers(server: Server) -> list[int]:
    return [pid for pid in server.pids() if pid != server.process.pid]


def test_who_waited_before_a_stop_is_served(server: Server, place: Path) -> None:
    """More than a worker accepts in one turn wait at a socket whose queue nobody can measure."""
    count = 200
    server.write(f"server {{ listen 127.0.0.1:PORT0; listen unix:{place};"
                 "return 200 $remote_addr; }", "worker_shutdown_timeout 10s;", connections=400)
    server.start()
    until(lambda: len(workers(server)) == 2, "both workers are there")
    first = begin(place)
    assert read_answer(first)[2] == b"unix:"
    first.close()
    stopped = workers(server)
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    until(lambda: all(process(pid).state == "T" for pid in stopped), "the workers have stopped")
    waiting = [begin(place) for _ in range(count)]
    os.kill(server.process.pid, signal.SIGQUIT)
    until(lambda: all(pending(pid, signal.SIGQUIT) for pid in stopped), "the workers are told")
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    for stream in waiting:
        status, head, body = read_answer(stream)
        assert status == 200 and body == b"unix:" and "Connection: close" in head
        stream.close()
    assert server.process.wait(PATIENCE_S) == 0
    assert not place.exists()
