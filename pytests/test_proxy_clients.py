"""Clients that leave before they have their answer: the server behind is let go, unless told
otherwise, and the access log says who left."""

from __future__ import annotations

import socket
import threading

import pytest

from masterwork.scripted import PATIENCE_S, Call
from masterwork.tree import wait_until
from proxy_rig import Proxy, either, proxy  # noqa: F401  (fixtures)

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Slow:
    """A server that answers when it is told to, and sees whether it is let go before."""

    def __init__(self, proxy: Proxy, head: bytes = b"") -> None:
        self.asked, self.go, self.gone = (threading.Event() for _ in range(3))
        self.head = head
        self.answered = False
        self.backend = proxy.backend(lambda backend: self.script)

    def script(self, call: Call) -> None:
        self.backend.take(call)
        call.send(self.head)
        self.asked.set()
        call.sock.settimeout(0.05)
        while not self.go.is_set():
            try:
                if not call.sock.recv(1):
                    self.gone.set()
                    return
            except TimeoutError:
                continue
            except OSError:
                self.gone.set()
                return
        call.answer(b"late")
        self.answered = True

    def url(self) -> str:
        return f"http://{self.backend.address}"

    def wait(self, event: threading.Event) -> None:
        assert event.wait(PATIENCE_S), "the server behind waits in vain"


def leave(client: socket.socket, how: str) -> None:
    if how == "reset":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    if how == "half":
        client.shutdown(socket.SHUT_WR)
    else:
        client.close()


@pytest.mark.parametrize("how", ["close", "reset", "half"])
def test_a_client_that_leaves_before_its_answer(either: Proxy, how):
    slow = Slow(either)
    either.start(f"location / {{ proxy_pass {slow.url()}; }}")
    with either.connect() as client:
        client.sendall(REQUEST)
        slow.wait(slow.asked)
        leave(client, how)
        slow.wait(slow.gone)
        line = either.last_access()
        assert line[1:4] == ["499", slow.backend.address, "-"]
    either.logged("client prematurely closed connection, so upstream connection is closed too")


def test_a_client_that_leaves_in_its_answer(either: Proxy):
    """A stream without an event for a long time must not outlive its reader."""
    slow = Slow(either, b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nfirst")
    either.start(f"location / {{ proxy_buffering off; proxy_pass {slow.url()}; }}")
    with either.connect() as client:
        client.sendall(REQUEST)
        data = b""
        while b"first" not in data:
            data += client.recv(1000)
    slow.wait(slow.gone)
    assert either.last_access()[1:4] == ["200", slow.backend.address, "200"]


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_told_to_go_on(either: Proxy, buffering):
    slow = Slow(either)
    either.start(f"""proxy_ignore_client_abort on; proxy_buffering {buffering};
                     location / {{ proxy_pass {slow.url()}; }}""")
    with either.connect() as client:
        client.sendall(REQUEST)
        slow.wait(slow.asked)
    slow.go.set()
    assert wait_until(lambda: slow.answered, PATIENCE_S)
    assert either.last_access()[1:4] == ["200", slow.backend.address, "200"]
    assert not slow.gone.is_set()


def test_a_client_that_leaves_while_a_connection_is_made(either: Proxy):
    full = socket.create_server(("127.0.0.1", 0), backlog=0)
    address = f"127.0.0.1:{full.getsockname()[1]}"
    fillers = []
    for _ in range(4):  # its queue is full: nothing answers the next one
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(full.getsockname())
        fillers.append(filler)
    either.start(f"location / {{ proxy_pass http://{address}; }}")
    with either.connect() as client:
        client.sendall(REQUEST)
        assert either.ask("/alive").status == 204  # by now the first is being passed on
    assert either.last_access()[1:4] == ["499", address, "-"]
    for one in (full, *fillers):
        one.close()


@pytest.mark.parametrize("body", [b"", b"half a bo"])
def test_a_client_that_leaves_before_its_body_is_whole(either: Proxy, body):
    either.start("location / { proxy_pass http://127.0.0.1:1; }")
    with either.connect() as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n" + body)
    assert either.last_access()[:3] == ["POST / HTTP/1.1", "400", "-"]


def test_pipelined_requests_are_not_taken_for_leaving(either: Proxy):
    slow = Slow(either)
    either.start(f"""location / {{ proxy_pass {slow.url()}; }}
                     location /next {{ return 200 next; }}""")
    with either.connect() as client:
        client.sendall(REQUEST)
        slow.wait(slow.asked)
        client.sendall(b"GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert either.ask("/alive").status == 204
        slow.go.set()
        data = b"".join(iter(lambda: client.recv(1000), b""))
    assert data.count(b"HTTP/1.1 200 OK") == 2 and data.endswith(b"next")


def test_a_request_that_waits_for_its_turn_is_given_up(either: Proxy):
    either.start("location / { limit_req zone=z burst=5; }",
                 http="limit_req_zone $uri zone=z:64k rate=1r/m;")
    assert either.ask("/").status == 404
    with either.connect() as client:
        client.sendall(REQUEST)
        assert either.ask("/alive").status == 204
    assert either.last_access(2)[1] == "499"


# ---- room ----------------------------------------------------------------------------------------


def test_connections_to_servers_take_room(proxy: Proxy):
    """Of ten connections eight are in use by four requests: two more clients are let in, no third;
    it waits in the queue and is served as soon as there is room."""
    slow = Slow(proxy)
    proxy.start(f"location / {{ proxy_pass {slow.url()}; }}", connections=10)
    asking = [proxy.connect() for _ in range(4)]
    for client in asking:
        client.sendall(REQUEST)
    assert wait_until(lambda: len(slow.backend.heads) == 4, PATIENCE_S)
    idle = [proxy.connect() for _ in range(2)]
    proxy.logged("accepting is paused with 6 connections: worker_connections are in use")
    waits = proxy.connect()
    waits.sendall(b"GET /alive HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    slow.go.set()
    assert waits.recv(12) == b"HTTP/1.1 204"
    for client in asking:
        assert client.recv(12) == b"HTTP/1.1 200"
    for client in (*asking, *idle, waits):
        client.close()


def test_idle_connections_to_servers_make_room(proxy: Proxy):
    """Idle ones, of which a keepalive keeps more than there is room for, go before clients do."""
    slow = Slow(proxy)
    slow.go.set()
    proxy.start("""proxy_http_version 1.1; proxy_set_header Connection "";
                   location / { proxy_pass http://u; }""", connections=8,
                http=f"upstream u {{ server {slow.backend.address}; keepalive 100; }}")
    for _ in range(5):
        clients = [proxy.connect() for _ in range(4)]
        for client in clients:
            client.sendall(REQUEST)
        for client in clients:
            assert client.recv(12) == b"HTTP/1.1 200"
        for client in clients:
            client.close()
    assert proxy.ask("/alive").status == 204
