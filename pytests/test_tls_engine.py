"""TLS in the engine beyond what nginx does: reloads, upgrades, drains, faults below TLS, memory."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tls_server import PATIENCE_S, Server, connect, context, der, get, read_answer, until

from masterwork.certificates import Authority, Pair


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "server")
    yield made
    made.close()


def pair(of: Pair) -> str:
    return f"ssl_certificate {of.certificate}; ssl_certificate_key {of.key};"


def write(server: Server, of: Pair, more: str = "", main: str = "", text: str = "ok",
          workers: int = 2) -> None:
    server.write(f"{pair(of)} {more} server {{ listen 127.0.0.1:PORT0 ssl; root {server.folder};"
                 f"location = / {{ return 200 {text}; }}"
                 "location = /upload { client_max_body_size 64m; test_handler upload; }"
                 "location = /bytes { test_handler bytes; }"
                 "location = /tunnel { test_handler tunnel; }"
                 "location = /echo { test_handler echo here; } }", main, workers)


# ---- configurations ------------------------------------------------------------------------------

WRONG = {
    "a certificate that is not there": ("ssl_certificate none.pem; ssl_certificate_key {key};",
                                        "cannot load certificate", 17),
    "a key for a certificate": ("ssl_certificate {key}; ssl_certificate_key {key};",
                                "no start line", 17),
    "a certificate of no use": ("ssl_certificate {trash}; ssl_certificate_key {key};",
                                "cannot load certificate", 17),
    "a cipher nobody knows": ("{pair} ssl_ciphers NONSENSE;", "no cipher match", None),
    "a curve nobody knows": ("{pair} ssl_ecdh_curve nonsense;", "SSL_CTX_set1_curves_list", None),
    "authorities that are none": ("{pair} ssl_client_certificate {trash};",
                                  "cannot load authorities", None),
    "a list that is none": ("{pair} ssl_crl {trash};", "cannot load revoked certificates", None),
    "a ticket key too short": ("{pair} ssl_session_ticket_key {trash};",
                               "must be 48 or 80 bytes", None),
    "no certificate": ("", "no \"ssl_certificate\" is defined", None),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_used_is_refused_and_changes_nothing(server: Server, site: Pair,
                                                            what: str) -> None:
    directives, message, column = WRONG[what]
    trash = server.folder / "trash.pem"
    trash.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    write(server, site)
    server.start()
    assert get(server.port()).body == b"ok"
    before = set(server.pids())
    text = directives.format(key=site.key, trash=trash, pair=pair(site))
    server.write(f"\n{text}\nserver {{ listen 127.0.0.1:PORT0 ssl; return 200 new; }}")
    tested = server.run("-t")
    assert tested.returncode == 1
    assert message in tested.stdout, tested.stdout
    place = tested.stdout.split("server.conf:")[1].split("\n")[0].split(":")
    lines = server.folder.joinpath("server.conf").read_text().split("\n")
    assert (text or "server { listen") in lines[int(place[0]) - 1]
    if column:
        assert int(place[1]) == column
    reloaded = server.run("-s", "reload", "--wait")
    assert reloaded.returncode == 1 and message in reloaded.stdout, reloaded.stdout
    assert get(server.port()).body == b"ok"
    assert set(server.pids()) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can read what workers cannot")
def test_keys_that_only_root_may_read(server: Server, site: Pair) -> None:
    key = server.folder / "private.key"
    shutil.copy(site.key, key)
    key.chmod(0o600)
    for folder in (server.folder, *server.folder.parents[:3]):
        folder.chmod(folder.stat().st_mode | 0o055)
    server.write(f"ssl_certificate {site.certificate}; ssl_certificate_key {key};"
                 "server { listen 127.0.0.1:PORT0 ssl; return 200 $pid; }", "user nobody nogroup;")
    server.start()
    worker = int(get(server.port()).body)
    assert os.stat(f"/proc/{worker}").st_uid == pwd.getpwnam("nobody").pw_uid


# ---- reloads and upgrades ------------------------------------------------------------------------

def test_new_certificates_are_for_new_connections(server: Server, authority: Authority,
                                                  site: Pair) -> None:
    shutil.copy(site.certificate, server.folder / "c.pem")
    shutil.copy(site.key, server.folder / "k.pem")
    live = Pair(server.folder / "c.pem", server.folder / "k.pem")
    write(server, live, main="worker_shutdown_timeout 30s;")
    server.start()
    with connect(server.port(), context()) as old, connect(server.port(), context()) as shaking:
        old.sendall(b"GET /bytes?n=100000&ms=1500 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert old.recv(1) == b"H"
        renewed = authority.sign("site.test", file="renewed")
        shutil.copy(renewed.certificate, live.certificate)
        assert server.run("-s", "reload", "--wait").returncode == 1 # the key is still the old one's
        assert get(server.port()).certificate == der(site)
        shutil.copy(renewed.key, live.key)
        server.reload()
        assert get(server.port()).certificate == der(renewed)
        data = b"H"
        while not data.partition(b"\r\n\r\n")[2][99999:]:
            piece = old.recv(65536)
            assert piece, f"ended after {len(data)} bytes"
            data += piece
        shaking.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        status, head, _ = read_answer(shaking)
        assert status == 200 and "Connection: close" in head
        assert shaking.recv(1) == b""


@pytest.mark.parametrize("version, more", [
    ("TLSv1_2", ""), ("TLSv1_3", ""),
    ("TLSv1_2", "ssl_session_cache shared:s:1m; ssl_session_tickets off;"),
    ("TLSv1_3", "ssl_session_cache shared:s:1m; ssl_session_tickets off;")])
def test_sessions_outlive_reloads(server: Server, site: Pair, version: str, more: str) -> None:
    write(server, site, more, text="one")
    server.start()
    how = context(version=version)
    session = get(server.port(), how=how).session
    for text in ("two", "three"):
        write(server, site, more, text=text)
        server.reload()
        answer = get(server.port(), how=how, session=session)
        assert answer.reused and answer.body == text.encode()


def test_tickets_outlive_an_upgrade(server: Server, site: Pair) -> None:
    write(server, site)
    server.start()
    how = context(version="TLSv1_2")
    session = get(server.port(), how=how).session
    pid_file = server.folder / "server.pid"
    old = int(pid_file.read_text())
    os.kill(old, signal.SIGUSR2)
    until(lambda: int(pid_file.read_text()) != old, "the new master is ready")
    os.kill(old, signal.SIGQUIT)
    server.process.wait(PATIENCE_S)
    assert all(get(server.port(), how=how, session=session).reused for _ in range(4))


# ---- drains and deadlines ------------------------------------------------------------------------

def half_a_hello() -> bytes:
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    try:
        context().wrap_bio(into, out, server_hostname="x").do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()[:-20]


def test_half_a_handshake_ends_with_the_drain(server: Server, site: Pair) -> None:
    write(server, site, main="worker_shutdown_timeout 1s;")
    server.start()
    held = []
    for sent in (b"", half_a_hello()):
        stream = socket.create_connection(("127.0.0.1", server.port()), timeout=PATIENCE_S)
        stream.sendall(sent)
        held.append(stream)
    with connect(server.port(), context()) as fresh:
        os.kill(int((server.folder / "server.pid").read_text()), signal.SIGQUIT)
        assert server.process.wait(PATIENCE_S) == 0
        assert fresh.recv(1) == b"" # with TLS's goodbye: nothing was cut in two
    for stream in held:
        try:
            assert stream.recv(1) == b""
        except ConnectionResetError:
            pass
        stream.close()


def test_handshakes_have_a_deadline(server: Server, site: Pair) -> None:
    write(server, site, "client_header_timeout 300ms;")
    server.start()
    for sent in (b"", half_a_hello()):
        with socket.create_connection(("127.0.0.1", server.port()), timeout=PATIENCE_S) as stream:
            stream.sendall(sent)
            assert stream.recv(1) == b""


def test_headers_of_proxies_may_come_in_pieces(server: Server, site: Pair) -> None:
    server.write(f"{pair(site)} server {{ listen 127.0.0.1:PORT0 proxy_protocol;"
                 "return 200 $proxy_protocol_addr; }"
                 "server { listen 127.0.0.1:PORT1 proxy_protocol; client_header_timeout 300ms;"
                 "return 200 $proxy_protocol_addr; }")
    server.start()
    header = b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\r\n"
    with socket.create_connection(("127.0.0.1", server.port()), timeout=PATIENCE_S) as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in header + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n":
            stream.sendall(bytes([byte]))
        assert read_answer(stream)[2] == b"10.1.2.3"
    for bad in (b"PROXY TCP4 10.1.2.300 10.4.5.6 1 2\r\n", b"PROXY TCP4 x", header[:-2] + b"\n",
                b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n",
                b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x04abcd",
                b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"):
        with socket.create_connection(("127.0.0.1", server.port(1)), timeout=PATIENCE_S) as stream:
            stream.sendall(bad)
            try:
                assert stream.recv(1) == b""
            except ConnectionResetError:
                pass


# ---- bytes ---------------------------------------------------------------------------------------

def test_uploads_and_tunnels(server: Server, site: Pair) -> None:
    write(server, site)
    server.start()
    body = bytes((i * 7 + (i >> 8)) & 255 for i in range(300000))
    with connect(server.port(), context()) as stream:
        stream.sendall(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n"
                       b"Expect: 100-continue\r\n\r\n" % len(body))
        assert stream.recv(100).startswith(b"HTTP/1.1 100 ")
        stream.sendall(body)
        assert read_answer(stream)[2].split()[1] == b"300000"
        stream.sendall(b"GET /tunnel HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"
                       b"Upgrade: mw-tunnel\r\n\r\n")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += stream.recv(1)
        assert head.startswith(b"HTTP/1.1 101 ")
        for _ in range(20):
            stream.sendall(body[:5000])
            heard = b""
            while len(heard) < 5000:
                heard += stream.recv(5000)
            assert heard == body[:5000]
        stream.unwrap().close() # our goodbye, and the server's


def test_a_client_that_does_not_read_costs_nothing_but_its_turn(server: Server, site: Pair) -> None:
    (server.folder / "big").write_bytes(b"0123456789abcdef" * 500000)
    write(server, site)
    server.start()
    with connect(server.port(), context()) as slow:
        slow.sendall(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
        assert get(server.port(), "/big").body == b"0123456789abcdef" * 500000
        assert read_answer(slow)[2] == b"0123456789abcdef" * 500000


@pytest.mark.parametrize("plan", [
    "net.recv short=1", "net.send short=1", "net.send short=100 chance=1/2",
    "net.recv errno=EAGAIN chance=1/3", "net.send errno=EAGAIN chance=1/3"])
def test_answers_are_right_whatever_the_socket_does(server: Server, site: Pair, plan: str) -> None:
    (server.folder / "file").write_bytes(bytes(range(256)) * 200)
    write(server, site)
    server.arm(f"{plan} role=worker")
    server.start()
    how = context(version="TLSv1_3")
    assert get(server.port(), "/file", how).body == bytes(range(256)) * 200
    with connect(server.port(), how) as stream:
        for _ in range(10):
            stream.sendall(b"GET /echo?n=5 HTTP/1.1\r\nHost: x\r\n\r\n" * 3)
            data = b""
            while data.count(b"5 here") < 3:
                piece = stream.recv(65536)
                assert piece
                data += piece


def test_a_reset_below_tls_ends_that_connection_only(server: Server, site: Pair) -> None:
    write(server, site, workers=1)
    server.arm("net.recv errno=ECONNRESET nth=5 role=worker")
    server.start()
    failed = 0
    for _ in range(10):
        try:
            assert get(server.port()).body == b"ok"
        except (OSError, AssertionError):
            failed += 1
    assert failed == 1
    assert "exited" not in server.log()


# ---- memory --------------------------------------------------------------------------------------

def resident_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(l.split()[1]) for l in text.splitlines() if l.startswith("Private_Dirty"))


@pytest.mark.unsanitized("memory is counted, and sanitizers need much of their own")
def test_idle_connections_are_cheap(server: Server, site: Pair) -> None:
    """OpenSSL keeps 9 to 12 KB for a connection; buffers of 34 KB more must not stay."""
    count = 300
    server.write(f"{pair(site)} server {{ listen 127.0.0.1:PORT0 ssl; return 200 $pid; }}",
                 workers=1, connections=1000)
    server.start()
    worker = int(get(server.port()).body)
    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    held: list[ssl.SSLSocket] = []
    before = 0
    for number in range(count):
        stream = connect(server.port(), context())
        stream.sendall(request)
        read_answer(stream)
        held.append(stream)
        if number == 49: # what is made once has been made
            before = resident_kib(worker)
    each = (resident_kib(worker) - before) * 1024 / (count - 50)
    assert each < 20000, f"{each:.0f} bytes for each idle connection"
    for stream in held:
        stream.close()
