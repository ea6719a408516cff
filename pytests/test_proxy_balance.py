"""Which server is asked, and when another one is."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections import Counter

import pytest

from masterwork.scripted import PATIENCE_S, Backend, answering
from masterwork.tree import descendants, wait_until
from proxy_rig import NGINX, Proxy, either, proxy  # noqa: F401

needs_nginx = pytest.mark.skipif(not os.access(NGINX, os.X_OK), reason="there is no nginx")

def named(name: str):
    return answering(name.encode())


def group(proxy: Proxy, servers: str, more: str = "", settings: str = "") -> list:
    """A group `u` of servers; each word of `servers` is NAME or NAME/PARAMETER/..."""
    lines, backends = "", []
    for word in servers.split():
        name, *parameters = word.split("/")
        backend = proxy.backend(named(name))
        backends.append(backend)
        lines += f"server {backend.address} {' '.join(parameters)};\n"
    proxy.start(f"{settings} location / {{ proxy_pass http://u; }}",
                http=f"upstream u {{ {more} {lines} }}")
    return backends


def asked(proxy: Proxy, count: int, path: str = "/") -> str:
    return "".join(proxy.ask(path.format(i=i)).body.decode() for i in range(count))


# ---- methods -------------------------------------------------------------------------------------

@pytest.mark.parametrize("servers, order", [
    ("a/weight=2 b", "abaaba"),
    ("a/weight=5 b c", "aabacaaaabacaa"),
    ("a b/down c", "acac"),
    ("a b/backup", "aaa"),
])
def test_round_robin(either: Proxy, servers, order):
    group(either, servers)
    assert asked(either, len(order)) == order


def test_least_conn(either: Proxy):
    held = threading.Event()

    def slow(backend):
        def script(call):
            backend.take(call)
            held.wait(PATIENCE_S)
            call.answer(b"a")
        return script
    first, second = either.backend(slow), either.backend(named("b"))
    either.start("location / { proxy_pass http://u; }", http=f"""upstream u {{ least_conn;
        server {first.address}; server {second.address}; }}""")
    with either.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        first.wait(lambda: bool(first.heads))
        assert asked(either, 4) == "bbbb"
        held.set()
        assert sock.recv(12) == b"HTTP/1.1 200"


@needs_nginx
@pytest.mark.parametrize("method", ["ip_hash", "hash $arg_k", "hash $arg_k consistent"])
@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 3, 2)])
def test_keyed_methods_choose_as_nginx_does(tmp_path, method, weights):
    """The same servers and the same keys give the same choices."""
    (tmp_path / "e").mkdir()
    (tmp_path / "n").mkdir()
    engine, nginx = Proxy(tmp_path / "e"), Proxy(tmp_path / "n", "nginx")
    backends = [engine.backend(named(name)) for name in "abc"]
    servers = "".join(f"server {b.address} weight={w};" for b, w in zip(backends, weights))
    where = "real_ip_header X-IP; set_real_ip_from 127.0.0.1; "
    for proxy in (engine, nginx):
        proxy.start(where + "location / { proxy_pass http://u; }",
                    http=f"upstream u {{ {method}; {servers} }}")
    chosen = []
    for proxy in (engine, nginx):
        chosen.append("".join(proxy.ask(f"/?k=key{i}", headers=f"X-IP: 10.{i}.{i * 7 % 256}.9\r\n")
                              .body.decode() for i in range(60)))
    nginx.close()
    engine.close()
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) > 1


@pytest.mark.parametrize("method", ["random", "random two", "random two least_conn"])
def test_random(either: Proxy, method):
    group(either, "a b c", f"{method};")
    assert set(asked(either, 40)) == set("abc")


# ---- health --------------------------------------------------------------------------------------

def test_a_dead_server_is_left_out(either: Proxy):
    dead, _ = group(either, "a/max_fails=1/fail_timeout=60s b")
    dead.close()
    assert asked(either, 6) == "bbbbbb"
    either.last_access(6)
    tried = [line[2].count(dead.address) for line in either.access()]
    assert sum(tried) == 1
    either.logged("upstream server temporarily disabled while connecting to upstream")
    line = next(line for line in either.access() if dead.address in line[2])
    assert line[3] == "502, 200" and line[2].startswith(dead.address + ", ")
    assert re.fullmatch(r"-, \d+\.\d{3}", line[4]), line


def test_a_server_is_tried_again(proxy: Proxy):
    """What failed is back after fail_timeout, once a request to it went well."""
    times: list[float] = []

    def make(backend):
        def script(call):
            while backend.take(call):
                times.append(time.monotonic())
                if len(times) == 1:
                    return
                call.answer(b"a")
        return script
    first, second = proxy.backend(make), proxy.backend(named("b"))
    proxy.start("location / { proxy_pass http://u; }", http=f"""upstream u {{
        server {first.address} fail_timeout=1s; server {second.address}; }}""")
    assert asked(proxy, 1) == "b" and len(times) == 1
    assert wait_until(lambda: "a" in asked(proxy, 2), PATIENCE_S)
    assert times[1] - times[0] > 0.99


def test_nobody_left(either: Proxy):
    first, second = group(either, "a b")
    first.close()
    second.close()
    assert [either.ask("/").status for _ in range(3)] == [502, 502, 502]
    either.logged("no live upstreams while connecting to upstream")
    assert either.last_access(3)[2:4] == ["u", "502"]


def test_backups_help_out(either: Proxy):
    first, _ = group(either, "a b/backup")
    first.close()
    assert asked(either, 3) == "bbb"


def test_max_conns(proxy: Proxy):
    held = threading.Event()

    def slow(backend):
        def script(call):
            backend.take(call)
            held.wait(PATIENCE_S)
            call.answer(b"a")
        return script
    first, second = proxy.backend(slow), proxy.backend(named("b"))
    proxy.start("location / { proxy_pass http://u; }", http=f"""upstream u {{
        server {first.address} max_conns=1 weight=100; server {second.address}; }}""")
    with proxy.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        first.wait(lambda: bool(first.heads))
        assert asked(proxy, 3) == "bbb"
        held.set()
        assert sock.recv(12) == b"HTTP/1.1 200"
    assert asked(proxy, 1) == "a"


# ---- another server ------------------------------------------------------------------------------

NEXT = [
    ("proxy_next_upstream http_500;", "GET", "500 No", "b", "500, 200"),
    ("proxy_next_upstream http_502;", "GET", "502 No", "b", "502, 200"),
    ("proxy_next_upstream http_503;", "GET", "503 No", "b", "503, 200"),
    ("proxy_next_upstream http_504;", "GET", "504 No", "b", "504, 200"),
    ("proxy_next_upstream http_403;", "GET", "403 No", "b", "403, 200"),
    ("proxy_next_upstream http_404;", "GET", "404 No", "b", "404, 200"),
    ("proxy_next_upstream http_429;", "GET", "429 No", "b", "429, 200"),
    ("", "GET", "503 No", "a", "503"),
    ("proxy_next_upstream off;", "GET", "", "", "502"),
    ("proxy_next_upstream timeout;", "GET", "", "", "502"),
    ("", "GET", "", "b", "502, 200"),
    ("", "POST", "", "", "502"),
    ("proxy_next_upstream error non_idempotent;", "POST", "", "b", "502, 200"),
    ("proxy_next_upstream_tries 1;", "GET", "", "", "502"),
    ("proxy_next_upstream http_503 http_500;", "POST", "503 No", "a", "503"),
]


@pytest.mark.parametrize("settings, method, status, body, tried", NEXT)
def test_another_server(either: Proxy, settings, method, status, body, tried):
    """The first server answers `status`, or closes without a word where that is empty."""
    first = either.backend(lambda b: lambda call: b.take(call) and status and call.answer(b"a",
                                                                                          status))
    second = either.backend(named("b"))
    either.start(f"{settings} location / {{ proxy_pass http://u; }}",
                 http=f"upstream u {{ server {first.address} weight=9; server {second.address}; }}")
    answer = either.ask("/", method, body=b"x" if method == "POST" else b"")
    got = answer.body.decode() if answer.body in (b"a", b"b") else ""
    assert (got, either.last_access()[3]) == (body, tried)
    if second.heads and method == "POST":
        assert second.bodies == [b"x"]


def test_the_time_for_other_servers(proxy: Proxy):
    """After proxy_next_upstream_timeout nobody else is asked."""
    first = proxy.backend(lambda b: lambda call: b.take(call) and call.sock.recv(1))
    second = proxy.backend(named("b"))
    proxy.start("""proxy_read_timeout 400ms; proxy_next_upstream_timeout 200ms;
                   location / { proxy_pass http://u; }""", http=f"""upstream u {{
                   server {first.address} weight=9; server {second.address}; }}""")
    assert proxy.ask("/").status == 504
    assert not second.heads


def test_a_streamed_body_is_sent_once(proxy: Proxy):
    first = proxy.backend(lambda b: lambda call: b.take(call) and None)
    second = proxy.backend(named("b"))
    proxy.start("""proxy_request_buffering off; proxy_next_upstream error non_idempotent;
                   location / { proxy_pass http://u; }""", http=f"""upstream u {{
                   server {first.address} weight=9; server {second.address}; }}""")
    assert proxy.ask("/", "PUT", body=b"x" * 10).status == 502
    assert not second.heads


# ---- kept connections ----------------------------------------------------------------------------

KEPT = 'proxy_http_version 1.1; proxy_set_header Connection "";'


def kept(proxy: Proxy, make, more: str) -> object:
    backend = proxy.backend(make)
    proxy.start(f"{KEPT} location / {{ proxy_pass http://u; }}",
                http=f"upstream u {{ server {backend.address}; {more} }}")
    return backend


def test_connections_are_kept(either: Proxy):
    backend = kept(either, named("a"), "keepalive 4;")
    assert asked(either, 5) == "aaaaa"
    assert backend.count == 1 and b"Connection" not in backend.heads[0]


@pytest.mark.parametrize("more, connections", [
    ("", 4), ("keepalive 1; keepalive_requests 2;", 2),
])
def test_connections_are_kept_for_so_many_requests(either: Proxy, more, connections):
    backend = kept(either, named("a"), more)
    asked(either, 4)
    assert backend.count == connections


def test_connections_are_kept_so_long(either: Proxy):
    """The request that finds a connection older than keepalive_time is its last one. Three
    seconds are far more than a first request takes, which would be the last one itself otherwise.
    """
    backend = kept(either, named("a"), "keepalive 1; keepalive_time 3s;")
    asked(either, 1)
    began = time.monotonic()
    assert wait_until(lambda: time.monotonic() - began > 3.2, PATIENCE_S)
    asked(either, 1)
    assert backend.count == 1
    asked(either, 1)
    assert backend.count == 2


def test_an_idle_connection_ends(proxy: Proxy):
    ended: list[bool] = []
    kept(proxy, lambda b: lambda call: b.take(call) and (call.answer(b"a"),
                                                         ended.append(call.sock.recv(1) == b"")),
         "keepalive 1; keepalive_timeout 100ms;")
    asked(proxy, 1)
    assert wait_until(lambda: bool(ended), PATIENCE_S)


@pytest.mark.parametrize("method, status", [("GET", 200), ("POST", 502)])
def test_a_connection_that_is_closed_as_it_is_reused(proxy: Proxy, method, status):
    """Only what may be repeated is; and the server is not blamed."""
    def make(backend):
        def script(call):
            while head := backend.take(call):
                if call.number == 1 and b"/2" in head:
                    return  # it has been used once, and is closed instead of an answer
                call.answer(b"a")
        return script
    backend = kept(proxy, make, "keepalive 1;")
    assert proxy.ask("/1").status == 200
    assert proxy.ask("/2", method).status == status
    assert proxy.ask("/3").status == 200
    assert backend.count == 2
    assert "temporarily disabled" not in proxy.log()


def test_a_server_that_closes_idle_connections_loses_nothing(proxy: Proxy):
    backend = kept(proxy, lambda b: lambda call: b.take(call) and call.answer(b"a"), "keepalive 8;")
    assert asked(proxy, 20) == "a" * 20
    assert backend.count >= 20


# ---- shared by workers ---------------------------------------------------------------------------

def spread(proxy: Proxy) -> Counter:
    """Answers of many connections, so that each worker has some."""
    return Counter(asked(proxy, 40))


@pytest.mark.parametrize("zone, failures", [("zone z 256k;", 1), ("", 3)])
def test_failures_are_shared_in_a_zone(proxy: Proxy, zone, failures):
    """With a zone one worker's failure is enough; without one each worker must see it."""
    dead, alive = proxy.backend(named("a")), proxy.backend(named("b"))
    dead.close()
    proxy.start("location / { proxy_pass http://u; }", main="worker_processes 3;",
                http=f"""upstream u {{ {zone} server {dead.address} fail_timeout=60s;
                                       server {alive.address}; }}""")
    assert wait_until(lambda: spread(proxy).keys() == {"b"} and sum(
        line[2].count(dead.address) for line in proxy.access()) >= failures, PATIENCE_S)
    count = sum(line[2].count(dead.address) for line in proxy.access())
    assert count == failures


def test_what_a_killed_worker_held_is_taken_back(proxy: Proxy):
    """Its connections do not count against max_conns for ever."""
    held = threading.Event()

    def slow(backend):
        def script(call):
            head = backend.take(call)
            if b"/hold" in head:
                held.wait(PATIENCE_S)
            call.answer(b"a")
        return script
    backend = proxy.backend(slow)
    proxy.start("location / { proxy_pass http://u; }",
                http=f"upstream u {{ zone z 128k; server {backend.address} max_conns=1; }}")
    with proxy.connect() as sock:
        sock.sendall(b"GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
        backend.wait(lambda: bool(backend.heads))
        assert proxy.ask("/").status == 502
        (worker,) = descendants(proxy.process.pid)
        os.kill(worker.pid, signal.SIGKILL)
        assert wait_until(proxy.is_alive, PATIENCE_S)
        assert proxy.ask("/").status == 200
        held.set()
