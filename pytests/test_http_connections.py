"""What a client may do on its connection, for how long, and how the connection ends."""

from __future__ import annotations

import select
import socket
import time

import pytest

from masterwork.tree import wait_until
from pair import PATIENCE_S, Server, pair, request, server  # noqa: F401  (pair is a fixture)

BIG = 64 << 20  # more than the buffers of two sockets hold


def lines(path) -> list[str]:
    return path.read_text("latin-1").splitlines() if path.exists() else []


def logged(one: Server, name: str, count: int = 1) -> list[str]:
    """The lines of a log, once there are so many."""
    path = one.folder / name
    assert wait_until(lambda: len(lines(path)) >= count, PATIENCE_S), one.said()[-2000:]
    return lines(path)


def end_of(client: socket.socket) -> str:
    """How the server ends a connection: all that still comes is read."""
    try:
        while client.recv(1 << 16):
            pass
        return "closed"
    except ConnectionResetError:
        return "reset"


# ---- clients that take their time ----------------------------------------------------------------


def test_a_body_that_does_not_come(pair):
    both = pair("log_format short '$status $request_uri';" + server("""
        client_body_timeout 200ms; access_log short.log short;
        location / { proxy_pass http://127.0.0.1:PORT/none; } location = /none { return 200 x; }
    """))
    for one in (both.engine, both.nginx):
        with one.connect() as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc")
            assert end_of(client) == "closed"
        assert logged(one, "short.log") == ["408 /"], one.name


def test_a_client_that_does_not_read(pair, tmp_path):
    both = pair("log_format short '$status $body_bytes_sent';"
                + server("send_timeout 200ms; access_log short.log short; location / { }"))
    with open(tmp_path / "www/big", "wb") as file:
        file.truncate(BIG)
    for one in (both.engine, both.nginx):
        with one.connect() as client:
            client.sendall(request("/big"))
            status, sent = logged(one, "short.log")[0].split()
            assert status == "200" and 0 < int(sent) < BIG, (one.name, sent)


@pytest.mark.parametrize("setting, ends", [("on", "reset"), ("off", "closed")])
def test_connections_that_timed_out_are_reset(pair, setting, ends):
    both = pair(server(f"""
        client_header_timeout 200ms; reset_timedout_connection {setting};
        location = /444 {{ return 444; }}
    """))
    for one in (both.engine, both.nginx):
        for sent in (b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET /444 HTTP/1.1\r\nHost: a\r\n\r\n"):
            with one.connect() as client:
                client.sendall(sent)
                assert end_of(client) == ends, (one.name, sent)


# ---- lingering -----------------------------------------------------------------------------------


def answers_with_a_reset(client: socket.socket) -> bool:
    """Is nobody there any more who reads what is sent?"""
    try:
        client.send(b"x")
        return client.recv(1, socket.MSG_DONTWAIT) != b""
    except (ConnectionResetError, BrokenPipeError):
        return True


def test_lingering(pair):
    both = pair(server("""
        lingering_time 60s; lingering_timeout 60s; client_max_body_size 1k;
        location = /off { lingering_close off; return 200 x; }
        location = /always { lingering_close always; return 200 x; }
        location = /on { lingering_close on; return 200 x; }
        location = /short { lingering_close always; lingering_timeout 100ms; return 200 x; }
        location = /bounded { lingering_close always; lingering_time 1; return 200 x; }
    """))
    for one in (both.engine, both.nginx):
        def left(target: str, more: str = "") -> socket.socket:
            client = one.connect()
            client.sendall(f"POST {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n{more}"
                           .encode())
            while client.recv(1000):
                pass
            return client
        with left("/off") as client:
            assert wait_until(lambda: answers_with_a_reset(client), PATIENCE_S), one.name
        with left("/always") as client:
            assert not any(answers_with_a_reset(client) for _ in range(3)), one.name
        with left("/on", "GET / HTTP/1.1") as client:
            assert not any(answers_with_a_reset(client) for _ in range(3)), one.name
        with left("/bounded") as client:  # although bytes go on coming
            assert wait_until(lambda: answers_with_a_reset(client), PATIENCE_S), one.name
        with left("/short") as client:  # not while bytes go on coming
            deadline = time.monotonic() + PATIENCE_S
            while not answers_with_a_reset(client):
                assert time.monotonic() < deadline, one.name
                select.select([], [], [], 0.3)


# ---- heads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ignore", ["on", "off"])
@pytest.mark.parametrize("underscores", ["on", "off"])
def test_names_of_headers(pair, ignore, underscores):
    both = pair(server(f"""
        ignore_invalid_headers {ignore}; underscores_in_headers {underscores};
        location / {{ return 200 "$http_a_b|$http_a_c|$http_x"; }}
    """))
    both.same("/", "a_b: 1", "a-c: 2", "X: 3")
    both.same("/", "X: 3", "a.b: 1")
    both.same("/", "a_b: 1", "a-b: 2")


def test_buffers_for_heads(pair):
    """A line must fit into one buffer: the first one, or a large one."""
    both = pair("client_header_buffer_size 4k; large_client_header_buffers 2 2k;"
                + server("location / { return 200 $request_length; }"))
    for length in (100, 1500, 2500, 3000):
        both.same("/", "X: " + "a" * length)
        both.same("/" + "a" * length)
    for one in (both.engine, both.nginx):
        assert one.ask(request("/" + "a" * 9000)).status.split()[1] == "414", one.name
        assert one.ask(request("/", "X: " + "a" * 9000)).status.split()[1] in ("400", "431")


def test_sizes_that_change_nothing(pair):
    both = pair("""
        map_hash_max_size 4096; map_hash_bucket_size 128; server_names_hash_max_size 1024;
        server_names_hash_bucket_size 128; variables_hash_max_size 2048;
        variables_hash_bucket_size 128; types_hash_max_size 2048; types_hash_bucket_size 128;
        connection_pool_size 1k; request_pool_size 8k; client_body_in_single_buffer on;
        proxy_headers_hash_max_size 1024; proxy_headers_hash_bucket_size 128;
        proxy_busy_buffers_size 16k; proxy_temp_file_write_size 16k;
        map $uri $mapped { /a a; default b; }
    """ + server("""
        location / { return 200 $mapped$arg_x; }
        location /pass { proxy_pass http://127.0.0.1:PORT/a; }
    """))
    assert both.same("/a").body == b"a"
    assert both.same("/pass", method="POST", body=b"x" * 30000).body == b"a"


@pytest.mark.parametrize("settings", [
    "tcp_nodelay on; tcp_nopush on; sendfile on;", "tcp_nodelay off; tcp_nopush on; sendfile on;",
    "tcp_nodelay off; tcp_nopush off; sendfile off;"])
def test_how_packets_are_filled_changes_no_answer(pair, settings):
    both = pair(server(f"{settings} location / {{ }} location /none {{ return 204; }}"))
    two = b"".join(f"GET {target} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode()
                   for target, more in (("/data.bin", ""), ("/none", ""), ("/a.txt", ""),
                                        ("/data.bin", "Connection: close\r\n")))
    bodies = [one.raw(two) for one in (both.engine, both.nginx)]
    for body in bodies:
        assert body.count(b"x" * 5000) == 2 and body.count(b"0123456789") == 1
        assert body.count(b"HTTP/1.1 20") == 4


@pytest.mark.parametrize("setting, at_most_s", [("on", 7200), ("30m::10", 1800), ("::4", 7200)])
def test_keepalive_of_clients_sockets(pair, setting, at_most_s):
    """The kernel says when the next probe of a connection is due, in hundredths of a second."""
    both = pair(f"server {{ listen 127.0.0.1:PORT so_keepalive={setting}; return 200 x; }}")

    def due_s(one: Server, client: socket.socket) -> list[float]:
        near, far = (f":{port:04X}" for port in (one.port.number, client.getsockname()[1]))
        rows = [line.split() for line in open("/proc/net/tcp")][1:]
        return [int(row[5].split(":")[1], 16) / 100 for row in rows
                if row[1].endswith(near) and row[2].endswith(far) and row[5].startswith("02:")]
    for one in (both.engine, both.nginx):
        with one.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert client.recv(1000)
            assert wait_until(lambda: bool(due_s(one, client)), PATIENCE_S), one.name
            assert at_most_s - 120 < due_s(one, client)[0] <= at_most_s, one.name
