"""Servers that die, stall, send garbage or half an answer: what the client gets, and what the log
says. docs/proxying.md has these cases as a table; a row here is a row there."""

from __future__ import annotations

import random
import re
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from masterwork.scripted import PATIENCE_S, Backend, Call
from masterwork.tree import descendants, fd_count, wait_until
from proxy_rig import Answer, Proxy

DOCUMENT = Path(__file__).parent.parent / "docs" / "proxying.md"
READ = "while reading response header from upstream"
BODY = "while reading upstream"
CUT = "cut"  # the answer breaks off: the client can tell


@pytest.fixture
def proxy(tmp_path) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path)
    yield proxy
    proxy.close()


def stall(call: Call) -> None:
    """Holds the connection until the other side goes."""
    call.sock.settimeout(60)
    call.sock.recv(1)


def half_length(call: Call) -> None:
    call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")


def half_chunks(call: Call) -> None:
    call.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")


def then(*steps):
    def run(call: Call) -> None:
        for step in steps:
            step(call)
    return run


def sending(data: bytes):
    return lambda call: call.send(data)


# name: what the server does once it has the request, status (or CUT), line of the log
CASES = {
    "closes before its answer": (lambda call: None, 502,
                                 f"upstream prematurely closed connection {READ}"),
    "resets before its answer": (Call.reset, 502,
                                 f"recv() failed (104: Connection reset by peer) {READ}"),
    "closes within the head": (sending(b"HTTP/1.1 200 OK\r\nA: b"), 502,
                               f"upstream prematurely closed connection {READ}"),
    "stalls before the head": (stall, 504,
                               f"upstream timed out (110: Connection timed out) {READ}"),
    "stalls within the head": (then(sending(b"HTTP/1.1 2"), stall), 504,
                               f"upstream timed out (110: Connection timed out) {READ}"),
    "sends no HTTP": (then(sending(b"SSH-2.0-x\r\n"), stall), 502,
                      f"upstream sent no valid HTTP/1.0 header {READ}"),
    "sends a bad header": (sending(b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n"), 502,
                           f"upstream sent invalid header {READ}"),
    "sends a head too large": (then(sending(b"HTTP/1.1 200 OK\r\nA: " + b"a" * 9000), stall), 502,
                               f"upstream sent too big header {READ}"),
    "sends two lengths": (sending(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
                                  b"Content-Length: 2\r\n\r\nab"), 502,
                          f'upstream sent invalid "Content-Length" header {READ}'),
    "sends length and chunked": (sending(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n"
                                         b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 502,
                                 'upstream sent "Content-Length" and "Transfer-Encoding" headers '
                                 f"at the same time {READ}"),
    "sends an unknown coding": (sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx"),
                                502, f'upstream sent unknown "Transfer-Encoding" {READ}'),
    "switches protocols unasked": (sending(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n"), 502,
                                   f"upstream sent an unexpected 101 {READ}"),
    "closes within a length": (half_length, CUT,
                               f"upstream prematurely closed connection {BODY}"),
    "closes within chunks": (half_chunks, CUT, f"upstream prematurely closed connection {BODY}"),
    "resets within the body": (then(half_length, Call.reset), CUT,
                               "(104: Connection reset by peer) while reading"),
    "stalls within a length": (then(half_length, stall), CUT,
                               f"upstream timed out (110: Connection timed out) {BODY}"),
    "stalls within chunks": (then(half_chunks, stall), CUT,
                             f"upstream timed out (110: Connection timed out) {BODY}"),
    "sends broken chunks": (sending(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                                    b"5\r\nfirst\r\nzz\r\n"), CUT,
                            f"upstream sent invalid chunked response {BODY}"),
    "sends more than its length": (sending(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabcd"),
                                   200, f"upstream sent more data than its answer has {BODY}"),
    "closes an endless body": (sending(b"HTTP/1.1 200 OK\r\n\r\nall there is"), 200, None),
}


def ask(proxy: Proxy, script, settings: str, timeout: str) -> Answer:
    backend = proxy.backend(lambda b: lambda call: b.take(call) and script(call))
    proxy.start(f"""proxy_http_version 1.1; proxy_read_timeout {timeout}; proxy_buffer_size 4k;
                    {settings} location / {{ proxy_pass http://{backend.address}; }}""")
    return proxy.ask("/")


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("settings", ["", "proxy_buffering off;"])
def test_the_outcome_of(proxy: Proxy, name, settings):
    script, outcome, line = CASES[name]
    # Who stalls after it has begun must have had the time to begin, and who does not stall at all
    # may be slow.
    timeout = "60s" if "stalls" not in name else "300ms" if outcome != CUT else "2s"
    try:
        answer = ask(proxy, script, settings, timeout)
    except ConnectionError:
        # A reset overtakes what was sent before it: the client need not have got anything.
        assert outcome == CUT and name == "resets within the body"
        return
    if outcome == CUT:
        assert answer.status == 200 and not answer.whole
    else:
        assert answer.status == outcome and answer.whole
    if line is not None:
        proxy.logged(line)
    else:
        assert "[error]" not in proxy.log()
    assert proxy.is_alive()


def test_a_server_that_refuses(proxy: Proxy):
    backend = proxy.backend(lambda b: lambda call: None)
    backend.close()
    proxy.start(f"location / {{ proxy_pass http://{backend.address}; }}")
    assert proxy.ask("/x").status == 502
    proxy.logged("connect() failed (111: Connection refused) while connecting to upstream, "
                 "client: 127.0.0.1, server: , request: \"GET /x HTTP/1.1\", "
                 f'upstream: "http://{backend.address}/x", host: "front"')
    assert proxy.last_access()[1:5] == ["502", backend.address, "502", "-"]


def test_a_socket_that_is_not_there(proxy: Proxy):
    proxy.start("location / { proxy_pass http://unix:/nowhere/s; }")
    assert proxy.ask("/").status == 502
    proxy.logged("connect() failed (2: No such file or directory) while connecting to upstream")


def test_connecting_that_takes_too_long(proxy: Proxy):
    """A full accept queue drops what comes, as a dead host does."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    port = full.getsockname()[1]
    waiting = []
    for _ in range(4):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(("127.0.0.1", port))
        waiting.append(sock)
    proxy.start(f"proxy_connect_timeout 300ms; location / {{ proxy_pass http://127.0.0.1:{port}; "
                "}")
    assert proxy.ask("/").status == 504
    proxy.logged("upstream timed out (110: Connection timed out) while connecting to upstream")
    for sock in (*waiting, full):
        sock.close()


def test_a_server_that_takes_nothing(proxy: Proxy):
    done = threading.Event()
    backend = proxy.backend(lambda b: lambda call: done.wait(PATIENCE_S))
    proxy.start(f"""proxy_send_timeout 300ms; client_max_body_size 0;
                    location / {{ proxy_pass http://{backend.address}; }}""")
    assert proxy.ask("/", "POST", body=bytes(30_000_000)).status == 504
    proxy.logged("upstream timed out (110: Connection timed out) while sending request to upstream")
    done.set()


@pytest.mark.parametrize("buffering", ["on", "off"])
def test_an_answer_before_the_body_is_read(proxy: Proxy, buffering):
    """The server answers at once and reads no further; the client gets its answer all the same."""
    def script(call: Call) -> None:
        call.read_head()
        call.answer(b"too much", "413 Too Large", "Connection: close\r\n")
        call.sock.shutdown(socket.SHUT_WR)
        while call.sock.recv(65536):
            pass
    backend = proxy.backend(lambda b: script)
    proxy.start(f"""client_max_body_size 0; proxy_request_buffering {buffering};
                    proxy_http_version 1.1;
                    location / {{ proxy_pass http://{backend.address}; }}""")
    answer = proxy.ask("/", "POST", body=bytes(3_000_000))
    assert (answer.status, answer.body) == (413, b"too much")


def test_a_client_that_goes(proxy: Proxy):
    """The server is let go; nobody waits for an answer that nobody reads."""
    gone: list[bytes] = []

    def script(backend: Backend):
        def run(call: Call) -> None:
            backend.take(call)
            call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n")
            try:
                while True:
                    call.send(bytes(65536))
            except OSError:
                gone.append(b"yes")
        return run
    backend = proxy.backend(script)
    proxy.start(f"""proxy_max_temp_file_size 0;
                    location / {{ proxy_pass http://{backend.address}; }}""")
    sock = proxy.connect()
    sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    sock.recv(1000)
    sock.close()
    assert wait_until(lambda: bool(gone), PATIENCE_S)


@pytest.mark.parametrize("seed", range(3))
def test_many_at_once(proxy: Proxy, seed):
    """Servers that misbehave at random, many clients at a time: each request has one of the
    outcomes above, whatever the order of things, and nothing stays behind."""
    scripts = [script for name, (script, _, _) in CASES.items() if "unasked" not in name]
    good = [lambda call: call.answer(b"x" * 5000), lambda call: call.answer(bytes(300_000))] * 12

    def make(backend: Backend):
        def script(call: Call) -> None:
            chance = random.Random(f"{seed} {backend.address} {call.number}")
            while backend.take(call):
                chosen = chance.choice(scripts + good)
                chosen(call)
                if chosen not in good:
                    return
        return script
    servers = "".join(f"server {proxy.backend(make).address} max_fails=0;" for _ in range(3))
    proxy.start("""proxy_http_version 1.1; proxy_set_header Connection ""; proxy_read_timeout 1s;
        proxy_next_upstream error timeout invalid_header; proxy_next_upstream_tries 2;
        location / { proxy_pass http://u; }
        location /s/ { proxy_buffering off; proxy_request_buffering off; proxy_pass http://u; }""",
                http=f"upstream u {{ {servers} keepalive 4; }}")
    outcomes: list[str] = []

    def client(number: int) -> None:
        chance = random.Random(f"{seed} client {number}")
        for _ in range(25):
            method, path = chance.choice(["GET", "POST", "HEAD"]), chance.choice(["/", "/s/"])
            body = bytes(chance.choice([0, 10, 40_000])) if method == "POST" else b""
            try:
                answer = proxy.ask(path, method, body=body)
                outcomes.append(f"{answer.status}" if answer.whole else CUT)
            except ConnectionError:
                outcomes.append(CUT)
    clients = [threading.Thread(target=client, args=(number,)) for number in range(6)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(90)
    assert len(outcomes) == 6 * 25
    assert set(outcomes) <= {"200", "502", "504", CUT}, Counter(outcomes)
    assert outcomes.count("200") > 60, Counter(outcomes)
    assert proxy.is_alive()
    (worker,) = descendants(proxy.process.pid)
    assert wait_until(lambda: fd_count(worker.pid) < 40, PATIENCE_S)


def test_the_document_has_these_cases():
    rows = re.findall(r"^\| ([^|]+?) +\|", DOCUMENT.read_text(), flags=re.M)
    for name in CASES:
        assert name in rows, f"{name!r} is no row of {DOCUMENT.name}"
