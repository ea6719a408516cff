"""What servers behind tell the proxy (X-Accel-*), error pages, tunnels, and leaving."""

from __future__ import annotations

import base64
import hashlib
import os
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from masterwork.paths import program
from masterwork.scripted import PATIENCE_S, Call, answering, header
from masterwork.tree import wait_until
from proxy_rig import Proxy, either, proxy, read_answer  # noqa: F401

# ---- X-Accel-* -----------------------------------------------------------------------------------

def test_x_accel_redirect(either: Proxy):
    backend = either.backend(answering(b"not this", "X-Accel-Redirect: /files/a%20b?q=1\r\n"))
    either.start(f"""
        location / {{ proxy_pass http://{backend.address}; }}
        location /files/ {{ internal; return 200 "$uri $args $request_method"; }}""")
    answer = either.ask("/x", "POST", body=b"abc")
    assert answer.body == b"/files/a b q=1 GET"
    assert answer.get("x-accel-redirect") is None
    assert either.ask("/files/a").status == 404


def test_x_accel_redirect_to_a_named_location(either: Proxy):
    first = either.backend(answering(b"first", "X-Accel-Redirect: @other\r\n"))
    second = either.backend(answering(b"second"))
    either.start(f"""
        location / {{ proxy_pass http://{first.address}; }}
        location @other {{ proxy_pass http://{second.address}; }}""")
    assert either.ask("/x").body == b"second"
    line = either.last_access()
    assert line[2] == f"{first.address} : {second.address}" and line[3] == "200 : 200"


def test_headers_can_be_ignored(either: Proxy):
    backend = either.backend(answering(b"this", "X-Accel-Redirect: /other\r\n"))
    either.start(f"""location / {{ proxy_pass http://{backend.address};
                                   proxy_ignore_headers X-Accel-Redirect; }}""")
    assert either.ask("/x").body == b"this"


@pytest.mark.parametrize("said, waits", [("no", True), ("yes", False)])
def test_x_accel_buffering(proxy: Proxy, said, waits):
    """It overrides proxy_buffering: unbuffered, the server waits for the client."""
    done = []

    def make(backend):
        def script(call: Call) -> None:
            backend.take(call)
            call.answer(bytes(30_000_000), headers=f"X-Accel-Buffering: {said}\r\n")
            done.append(True)
        return script
    backend = proxy.backend(make)
    buffering = "on" if waits else "off"
    proxy.start(f"proxy_buffering {buffering}; location / {{ proxy_pass http://{backend.address}; "
                "}")
    with proxy.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        sock.recv(1000)
        assert wait_until(lambda: bool(done), 1 if waits else PATIENCE_S) == (not waits)
        while sock.recv(1 << 20):
            pass


def test_x_accel_limit_rate(proxy: Proxy):
    backend = proxy.backend(answering(bytes(30_000), "X-Accel-Limit-Rate: 20000\r\n"))
    proxy.start(f"location / {{ proxy_pass http://{backend.address}; }}")
    began = time.monotonic()
    assert len(proxy.ask("/").body) == 30_000
    assert time.monotonic() - began > 0.3


# ---- error pages ---------------------------------------------------------------------------------

def test_intercepted_errors(either: Proxy):
    backend = either.backend(answering(b"theirs", status="503 Theirs"))
    either.start(f"""
        error_page 503 =200 /sorry; location = /sorry {{ return 200 ours; }}
        location / {{ proxy_pass http://{backend.address}; }}
        location /i/ {{ proxy_intercept_errors on; proxy_pass http://{backend.address}; }}""")
    plain = either.ask("/")
    assert (plain.status, plain.reason, plain.body) == (503, "Theirs", b"theirs")
    taken = either.ask("/i/")
    assert (taken.status, taken.body) == (200, b"ours")


def test_a_fallback_for_servers_that_fail(either: Proxy):
    """error_page 502 = @fallback: the whole request, body and all, goes to another group."""
    dead, alive = either.backend(answering()), either.backend(answering(b"fallback"))
    dead.close()
    either.start(f"""
        location / {{ error_page 502 504 = @fallback; proxy_pass http://{dead.address}; }}
        location @fallback {{ proxy_pass http://{alive.address}; }}""")
    for size in (5, 100_000):
        answer = either.ask("/a%20b?c", "POST", body=b"x" * size)
        assert (answer.status, answer.body) == (200, b"fallback")
    assert [len(body) for body in alive.bodies] == [5, 100_000] or either.server == "nginx"
    assert alive.heads[0].split(b" ")[1] == b"/a%20b?c"


# ---- tunnels -------------------------------------------------------------------------------------

UPGRADE = """proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
             proxy_set_header Connection upgrade; """


def websocket_server(backend):
    """RFC 6455, as far as echoing needs: text frames come back, a close frame is answered."""
    def script(call: Call) -> None:
        head = backend.take(call)
        if header(head, "upgrade").lower() != b"websocket":
            call.answer(b"upgrade", "426 Upgrade Required")
            return
        key = header(head, "sec-websocket-key") + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key).digest()).decode()
        call.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade"
                  f"\r\nSec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        while True:
            first, second = call.read(2)
            length = second & 127
            if length == 126:
                (length,) = struct.unpack(">H", call.read(2))
            elif length == 127:
                (length,) = struct.unpack(">Q", call.read(8))
            mask = call.read(4)
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(call.read(length)))
            call.send(frame(first, data))
            if first & 15 == 8:
                return
    return script


def frame(first: int, data: bytes, mask: bytes = b"") -> bytes:
    flag = 128 if mask else 0
    if len(data) < 126:
        size = bytes([first, flag | len(data)])
    else:
        size = bytes([first, flag | 126]) + struct.pack(">H", len(data))
    if mask:
        data = mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))
    return size + data


def read_frame(sock: socket.socket) -> tuple[int, bytes]:
    def read(count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = sock.recv(count - len(data))
            assert piece, "the tunnel ended"
            data += piece
        return data
    first, length = read(2)
    if length == 126:
        (length,) = struct.unpack(">H", read(2))
    return first, read(length)


def open_websocket(proxy: Proxy) -> socket.socket:
    sock = proxy.connect()
    sock.sendall(b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                 b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                 b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101 ")
    assert header(head, "sec-websocket-accept") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert header(head, "connection").lower() == b"upgrade"
    return sock


def test_websockets(either: Proxy):
    backend = either.backend(websocket_server)
    either.start(f"location / {{ {UPGRADE} proxy_pass http://{backend.address}; }}")
    with open_websocket(either) as sock:
        for text in (b"hello", b"x" * 60_000, b""):
            sock.sendall(frame(0x81, text, b"mask"))
            assert read_frame(sock) == (0x81, text)
        sock.sendall(frame(0x88, b"\x03\xe8", b"mask"))
        assert read_frame(sock) == (0x88, b"\x03\xe8")
        assert sock.recv(1) == b""
    assert either.last_access()[:2] == ["GET /chat HTTP/1.1", "101"]


def test_an_upgrade_that_is_refused(either: Proxy):
    backend = either.backend(websocket_server)
    either.start(f"location / {{ {UPGRADE} proxy_set_header Upgrade other; "
                 f"proxy_pass http://{backend.address}; }}")
    assert either.ask("/", headers="Upgrade: other\r\n").status == 426


def echo(call: Call) -> None:
    call.read_head()
    call.send(b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + call.buffer)
    while data := call.sock.recv(65536):
        call.send(data)


def open_tunnel(proxy: Proxy, early: bytes = b"") -> socket.socket:
    sock = proxy.connect()
    sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n" + early)
    head = b""
    while b"\r\n\r\n" not in head:
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101")
    return sock


def test_a_tunnel_carries_much_both_ways_at_once(proxy: Proxy):
    backend = proxy.backend(lambda b: echo)
    proxy.start(f"location / {{ {UPGRADE} proxy_pass http://{backend.address}; }}")
    data = os.urandom(5_000_000)
    with open_tunnel(proxy, b"early") as sock:
        threading.Thread(target=lambda: (sock.sendall(data), sock.shutdown(socket.SHUT_WR)),
                         daemon=True).start()
        got = b""
        while piece := sock.recv(1 << 16):
            got += piece
    assert got == b"early" + data


def test_a_tunnel_has_no_unbounded_buffer(proxy: Proxy):
    """A client that sends and does not read is stopped, and so is the server."""
    backend = proxy.backend(lambda b: echo)
    proxy.start(f"location / {{ {UPGRADE} proxy_pass http://{backend.address}; }}")
    with open_tunnel(proxy) as sock:
        sock.settimeout(1)
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                sent += sock.send(bytes(1 << 16))
        assert sent < 64 << 20


def test_a_silent_tunnel_ends(proxy: Proxy):
    backend = proxy.backend(lambda b: echo)
    proxy.start(f"""proxy_read_timeout 2s;
                    location / {{ {UPGRADE} proxy_pass http://{backend.address}; }}""")
    with open_tunnel(proxy) as sock:
        assert sock.recv(1) == b""
    proxy.logged("upstream timed out (110: Connection timed out) while reading upstream")


# ---- leaving -------------------------------------------------------------------------------------

def test_a_draining_worker_finishes_what_it_passed_on(proxy: Proxy):
    release = threading.Event()

    def make(backend):
        def script(call: Call) -> None:
            backend.take(call)
            call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
            release.wait(PATIENCE_S)
            call.send(b"more")
        return script
    backend = proxy.backend(make)
    proxy.start(f"location / {{ proxy_pass http://{backend.address}; }}")
    with proxy.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        backend.wait(lambda: bool(backend.heads))
        proxy.process.send_signal(signal.SIGQUIT)
        assert wait_until(lambda: not proxy.is_alive(), PATIENCE_S)
        release.set()
        answer = read_answer(sock)
        assert answer.whole and answer.body == b"halfmore"
    assert proxy.process.wait(PATIENCE_S) == 0


def test_a_tunnel_is_gone_by_the_drain_bound(proxy: Proxy):
    backend = proxy.backend(lambda b: echo)
    proxy.start(f"location / {{ {UPGRADE} proxy_pass http://{backend.address}; }}",
                drain="1s")
    with open_tunnel(proxy) as sock:
        sock.sendall(b"still")
        assert sock.recv(5) == b"still"
        proxy.process.send_signal(signal.SIGQUIT)
        assert sock.recv(1) == b""
    assert proxy.process.wait(PATIENCE_S) == 0


def test_folders_for_bodies_are_made(proxy: Proxy):
    """... or the server does not start: FOLDER cannot be made."""
    backend = proxy.backend(answering())
    proxy.start(f"location / {{ proxy_pass http://{backend.address}; }}")
    assert (proxy.folder / "proxy_temp").is_dir() and (proxy.folder / "client_body_temp").is_dir()
    (proxy.folder / "bad.conf").write_text(f"""events {{}} http {{ server {{ listen 127.0.0.1:1;
        location / {{ proxy_temp_path {proxy.folder}/a/b;
                      proxy_pass http://127.0.0.1:2; }} }} }}""")
    done = subprocess.run([program("mw-engine"), "-p", proxy.folder, "-c", "bad.conf"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "/a/b\" failed (2: No such file or directory)" in done.stderr
