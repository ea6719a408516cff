"""Clients that go in the middle, at every byte there is; floods; and clients that never read. The
worker is the same one afterwards, with the same descriptors and no more memory, and says nothing
worse than info. What many of them at once do to others is judged by stories (limit/hostile-clients,
limit/slow-clients)."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from proxy_rig import Proxy, proxy  # noqa: F401
from sanitized import meaningless
from tls_server import PATIENCE_S, Server, connect, context, get, read_answer, until

from masterwork.certificates import Pair
from masterwork.pattern import pattern
from masterwork.scripted import LINGER_RESET
from masterwork.tree import fd_count

BODY = pattern(40)
REQUESTS = {
    "get": b"GET / HTTP/1.1\r\nHost: site.test\r\nX-Long: " + b"x" * 40 + b"\r\n\r\n",
    "length": b"POST /upload HTTP/1.1\r\nHost: site.test\r\nContent-Length: 40\r\n\r\n" + BODY,
    "chunked": b"POST /upload HTTP/1.1\r\nHost: site.test\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"19;e=1\r\n" + BODY[:25] + b"\r\nf\r\n" + BODY[25:] + b"\r\n0\r\nT: 1\r\n\r\n",
    "pipelined": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n" * 4,
}
# Where the request goes: the engine's own handlers, or through it to them once more.
PATHS = {"served": b"", "buffered": b"/buffered", "streamed": b"/streamed"}


@pytest.fixture
def server(tmp_path: Path, site: Pair) -> Iterator[Server]:
    made = Server(tmp_path / "server")
    own = """location = / { return 200 ok; } location = /pid { return 200 $pid; }
             location = /upload { test_handler upload; }
             location = /big { root FOLDER; }"""
    made.write(f"""ssl_certificate {site.certificate}; ssl_certificate_key {site.key};
        proxy_http_version 1.1; client_header_timeout 60s; keepalive_requests 1000000;
        server {{ listen 127.0.0.1:PORT0; listen 127.0.0.1:PORT1 ssl; {own}
            location /buffered/ {{ proxy_pass http://127.0.0.1:PORT0/; }}
            location /streamed/ {{ proxy_request_buffering off; proxy_buffering off;
                                   proxy_pass http://127.0.0.1:PORT0/; }} }}
        """.replace("FOLDER", str(made.folder)), workers=1, connections=256)
    (made.folder / "big").write_bytes(pattern(20_000_000))
    made.start()
    yield made
    made.close()
    assert not re.search(r"\[(alert|crit|emerg)\]|exited", made.log()), made.log()


def plain_get(server: Server, path: str) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port()), timeout=PATIENCE_S) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return read_answer(stream)[2]


ESTABLISHED, CLOSE_WAIT = "01", "08"


class Watched:
    """The one worker, before and after."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.pid = int(plain_get(server, "/pid"))
        assert get(server.port(1)).body == b"ok"
        until(lambda: self.at_rest() is not None, "nothing but listeners is open")
        self.fds = self.at_rest()

    def at_rest(self) -> int | None:
        """Descriptors while nobody is connected; None while somebody is."""
        ports = (self.server.port(0), self.server.port(1))
        lines = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
        busy = any(fields[3] in (ESTABLISHED, CLOSE_WAIT) and
                   int(fields[1].split(":")[1], 16) in ports for fields in lines)
        return None if busy else fd_count(self.pid)

    def is_as_before(self) -> None:
        until(lambda: self.at_rest() == self.fds,
              f"{self.fds} descriptors again ({fd_count(self.pid)})")
        assert int(plain_get(self.server, "/pid")) == self.pid, "it is the same worker"

    def memory_kib(self) -> int:
        text = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"Private_Dirty: +(\d+)", text)[1])


CONTEXT = context()


def go(stream: socket.socket, reset: bool) -> None:
    if reset:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    stream.close()


# ---- requests that end at each of their bytes ----------------------------------------------------

def cut_plain(server: Server, request: bytes, count: int, reset: bool) -> None:
    stream = socket.create_connection(("127.0.0.1", server.port()), timeout=PATIENCE_S)
    stream.sendall(request[:count])
    go(stream, reset)


def cut_tls(server: Server, request: bytes, count: int, reset: bool) -> bool:
    """The first `count` bytes of what a client sends, handshake and all; was that less than all?"""
    came, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = CONTEXT.wrap_bio(came, out, server_hostname="x")
    stream = socket.create_connection(("127.0.0.1", server.port(1)), timeout=PATIENCE_S)
    left, shaken = count, False
    while True:
        try:
            if not shaken:
                session.do_handshake()
                shaken = True
                session.write(request)
        except ssl.SSLWantReadError:
            pass
        pending = out.read()
        stream.sendall(pending[:left])
        if left <= len(pending) or shaken:
            go(stream, reset)
            return left <= len(pending)
        left -= len(pending)
        came.write(stream.recv(65536))


def nothing() -> None:
    """What is waited for between two connections."""


def cut_everywhere(server: Server, name: str, path: str,
                   between: Callable[[], None] = nothing) -> None:
    request = REQUESTS[name].replace(b" /", b" " + PATHS[path] + b"/")
    for count in range(len(request) + 1):
        for reset in (False, True):
            cut_plain(server, request, count, reset)
            between()


def cut_tls_everywhere(server: Server, name: str, between: Callable[[], None] = nothing,
                       step: int = 1) -> None:
    count = 0
    while cut_tls(server, REQUESTS[name], count, count % 2 == 0):
        between()
        count += step
    assert count > 500, "a handshake and a request are longer"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_that_ends_at_any_byte(server: Server, name: str, path: str) -> None:
    watched = Watched(server)
    cut_everywhere(server, name, path)
    watched.is_as_before()


@pytest.mark.parametrize("name", ["get", "chunked"])
def test_a_tls_client_that_goes_at_any_byte(server: Server, name: str) -> None:
    watched = Watched(server)
    cut_tls_everywhere(server, name)
    watched.is_as_before()


@pytest.mark.unsanitized("what is freed is kept for a while, so memory grows")
@pytest.mark.parametrize("cut", [
    lambda server, gone: cut_everywhere(server, "chunked", "served", gone),
    lambda server, gone: cut_everywhere(server, "chunked", "buffered", gone),
    lambda server, gone: cut_everywhere(server, "length", "streamed", gone),
    lambda server, gone: cut_tls_everywhere(server, "chunked", gone, step=3)],
    ids=["served", "buffered", "streamed", "tls"])
def test_they_cost_no_memory(server: Server, cut: Callable) -> None:
    """One at a time, so that nothing is kept for many at once: two answers to a client that stays
    say that the worker has accepted whoever came before."""
    watched = Watched(server)
    (stays,) = clients(server, False, 1)

    def gone() -> None:
        for _ in range(2):
            stays.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert stays.recv(4096).endswith(b"ok")
        until(lambda: fd_count(watched.pid) == watched.fds + 1, "the last one is gone")
    cut(server, gone)
    before = watched.memory_kib()
    cut(server, gone)
    cut(server, gone)
    assert watched.memory_kib() - before < 100, "more memory with each that goes"


# ---- answers that end at each of their bytes -----------------------------------------------------

ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + BODY[:20],
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"a\r\n" + BODY[:10] + b"\r\na;e\r\n" + BODY[10:20] + b"\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("settings", ["", "proxy_buffering off;"])
@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_that_ends_at_any_byte(proxy: Proxy, name: str, settings: str) -> None:
    """The client gets 502 as long as that can be said, then an answer that is not whole; never one
    that looks whole and is not."""
    answer = ANSWERS[name]
    backend = proxy.backend(lambda b: lambda call: b.take(call) and call.send(
        answer[:int(b.heads[-1].split(b"n=")[1].split()[0])]))
    proxy.start(f"{settings} proxy_http_version 1.1; location / {{ proxy_pass "
                f"http://{backend.address}; }}")
    head = answer.index(b"\r\n\r\n") + 4
    for count in range(len(answer) + 1):
        got = proxy.ask(f"/?n={count}")
        if count < head:
            assert (got.status, got.whole) == (502, True), count
        else:
            assert got.status == 200 and BODY.startswith(got.body), count
            assert got.whole == (count == len(answer)) and len(got.body) <= 20, count
    assert got.body == BODY[:20]


# ---- clients that do not read --------------------------------------------------------------------

def clients(server: Server, secure: bool, count: int) -> list[socket.socket]:
    if secure:
        return [connect(server.port(1), context()) for _ in range(count)]
    return [socket.create_connection(("127.0.0.1", server.port()), timeout=PATIENCE_S)
            for _ in range(count)]


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("path", ["", "/streamed"])
def test_slow_readers_hold_nobody_up(server: Server, path: str, secure: bool) -> None:
    """Fifty who ask for 20 MB and read none of it: others are served, and when they go their
    answers go."""
    watched = Watched(server)
    slow = clients(server, secure, 50)
    before = watched.memory_kib()
    for stream in slow:
        stream.sendall(f"GET {path}/big HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert stream.recv(4) == b"HTTP"
    for _ in range(20):
        assert plain_get(server, "/") == b"ok"
    assert meaningless("resident memory") or watched.memory_kib() - before < 50 * 512, \
        "of the 20 MB each little may be held"
    for number, stream in enumerate(slow):
        go(stream, number % 2 == 0)
    watched.is_as_before()


def test_a_flood_of_pipelined_requests_is_held_back(server: Server) -> None:
    """Who asks and asks and does not read is not read from either; then all is answered in turn."""
    watched = Watched(server)
    before = watched.memory_kib()
    one = b"GET / HTTP/1.1\r\nHost: site.test\r\n\r\n"
    (stream,) = clients(server, False, 1)
    stream.setblocking(False)
    sent = 0

    def is_full() -> bool:
        nonlocal sent
        with contextlib.suppress(BlockingIOError):
            for _ in range(100):
                at = sent % len(one)
                sent += stream.send((one * 1000)[at:])
            return False
        return True
    # Full for a while: the server has had its turn, and more does not fit.
    until(lambda: is_full() and not waits_for_room(stream), "nothing more fits")
    assert sent < 64 << 20
    assert plain_get(server, "/") == b"ok"
    assert meaningless("resident memory") or watched.memory_kib() - before < 4096
    stream.settimeout(PATIENCE_S)
    wanted, got, tail = sent // len(one), 0, b""
    while got < wanted:
        piece = stream.recv(1 << 20)
        assert piece, f"ended after {got} of {wanted} answers"
        tail += piece
        got += tail.count(b"HTTP/1.1 200 OK\r\n")
        tail = tail[tail.rfind(b"HTTP/1.1 200 OK\r\n") + 1:] if b"HTTP/1.1 200 OK\r\n" in tail \
            else tail
    assert got == wanted
    stream.close()
    watched.is_as_before()


def waits_for_room(stream: socket.socket) -> bool:
    """Does room for more appear within a while?"""
    return bool(select.select([], [stream], [], 0.5)[1])
