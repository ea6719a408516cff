"""HTTP/1.1 on the wire (RFC 9110, 9112): framing, limits, and what smugglers try."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from masterwork.paths import program
from pair import Server, request

HTTP = """
    client_max_body_size 100;
    large_client_header_buffers 2 1k;
    server { listen 127.0.0.1:PORT default_server; return 200 "default\n"; }
    server {
        listen 127.0.0.1:PORT; server_name site.test;
        location / { return 200 "$request_method $uri $args\n"; }
        location /upload { test_handler upload; client_max_body_size 0; }
        location /small { test_handler upload; }
        location /stream { test_handler stream; }
    }
"""


@pytest.fixture(scope="module")
def engine(tmp_path_factory) -> Iterator[Server]:
    made = Server("engine", [str(program("mw-engine"))],
                  tmp_path_factory.mktemp("protocol") / "engine", HTTP)
    yield made
    made.stop()


def statuses(raw: bytes) -> list[int]:
    return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d{3}) ", raw)]


def ask(engine: Server, text: str) -> list[int]:
    """Statuses of all answers; \n stands for CRLF."""
    return statuses(engine.raw(text.replace("\n", "\r\n").encode("latin-1")))


SITE = "Host: site.test\n"
CLOSE = SITE + "Connection: close\n"


def test_requests_in_one_write_are_answered_in_order(engine):
    count = 200
    text = "".join(f"GET /{i}?x HTTP/1.1\n{SITE}\n" for i in range(count))
    raw = engine.raw((text + f"GET /last HTTP/1.1\n{CLOSE}\n").replace("\n", "\r\n").encode())
    found = re.findall(rb"GET /(\w+) x?\n", raw)
    assert found == [str(i).encode() for i in range(count)] + [b"last"]
    assert raw.count(b"Connection: close") == 1


def test_bodies_and_requests_follow_each_other(engine):
    body = "3\nabc\n0\n\n"
    assert ask(engine, f"POST / HTTP/1.1\n{SITE}Content-Length: 5\n\nhello"
                       f"POST / HTTP/1.1\n{SITE}Transfer-Encoding: chunked\n\n{body}"
                       f"GET / HTTP/1.1\n{CLOSE}\n") == [200, 200, 200]


@pytest.mark.parametrize("body, status", [
    ("5\nhello\n0\n\n", 200), ("5;ext=1\nhello\n0\n\n", 200), ("05\nhello\n0\nTrailer: x\n\n", 200),
    ("0\n\n", 200), ("5\nhelloo\n0\n\n", 400), ("x\nhello\n0\n\n", 400), ("-5\nhello\n", 400),
    ("5 \nhello\n0\n\n", 400), ("0x5\nhello\n0\n\n", 400), ("ffffffffffffffffff\nhello", 400),
])
def test_chunked_requests(engine, body, status):
    assert ask(engine, f"POST /upload HTTP/1.1\n{CLOSE}Transfer-Encoding: chunked\n\n{body}") \
        == [status]


def test_answers_of_unknown_length_are_chunked_or_closed(engine):
    for version, chunked in (("1.1", True), ("1.0", False)):
        raw = engine.raw(request("/stream?for=30&ms=10", version=version))
        head, _, body = raw.partition(b"\r\n\r\n")
        assert (b"transfer-encoding: chunked" in head.lower()) == chunked
        assert body.endswith(b"0\r\n\r\n") == chunked
        assert b"content-length" not in head.lower()


def test_expectations(engine):
    head = f"POST /upload HTTP/1.1\n{CLOSE}Content-Length: 3\n".replace("\n", "\r\n")
    with engine.connect() as client:
        client.sendall((head + "Expect: 100-continue\r\n\r\n").encode())
        assert client.recv(4096) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"abc")
        assert statuses(client.recv(4096)) == [200]
    assert ask(engine, f"POST /small HTTP/1.1\n{CLOSE}Content-Length: 101\n"
                       "Expect: 100-continue\n\n") == [413]
    assert ask(engine, f"GET / HTTP/1.1\n{CLOSE}Expect: the-impossible\n\n") == [417]
    assert ask(engine, f"POST / HTTP/1.0\n{CLOSE}Content-Length: 1\nExpect: 100-continue\n\nx") \
        == [200]


def test_a_head_is_what_a_get_would_say(engine):
    for target in ("/x?y", "/stream?for=1"):
        heads = [engine.raw(request(target, method=method)).partition(b"\r\n\r\n")
                 for method in ("GET", "HEAD")]
        kept = [[line for line in head.split(b"\r\n")
                 if not line.startswith((b"Date", b"Content-L"))] for head, _, _ in heads]
        assert kept[0] == kept[1]
        assert heads[1][2] == b""


@pytest.mark.parametrize("text, status", [
    (f"GET /{'a' * 1100} HTTP/1.1\n{CLOSE}\n", 414),
    (f"GET / HTTP/1.1\n{CLOSE}X: {'a' * 1100}\n\n", 431),
    (f"GET / HTTP/1.1\n{CLOSE}" + f"X: {'a' * 700}\n" * 3 + "\n", 431),
    (f"POST / HTTP/1.1\n{CLOSE}Content-Length: 101\n\n" + "x" * 101, 413),
    (f"POST /small HTTP/1.1\n{CLOSE}Transfer-Encoding: chunked\n\nff\n{'x' * 255}\n0\n\n", 413),
    (f"{'A' * 40} / HTTP/1.1\n{CLOSE}\n", 501),
    ("GET / HTTP/2.0\n\n", 505), ("GET / HTTP/1.1\n\n", 400), ("GET / HTTP/1.0\n\n", 200),
    ("\n\nGET / HTTP/1.0\n\n", 200), ("GET /\n\n", 400), ("GET  / HTTP/1.1\n\n", 400),
    ("GET / HTTP/1.1 \n" + CLOSE + "\n", 400), ("GET /a b HTTP/1.1\n" + CLOSE + "\n", 400),
    ("GET /%zz HTTP/1.1\n" + CLOSE + "\n", 400), ("GET /%00 HTTP/1.1\n" + CLOSE + "\n", 400),
    ("GET /../x HTTP/1.1\n" + CLOSE + "\n", 400), ("\x16\x03\x01\x02", 400),
])
def test_limits_and_malformed_heads(engine, text, status):
    assert ask(engine, text) == [status]


def test_hosts(engine):
    def body(text: str) -> bytes:
        return engine.raw(text.replace("\n", "\r\n").encode()).partition(b"\r\n\r\n")[2]
    close = "Connection: close\n\n"
    assert body(f"GET http://site.test/x HTTP/1.1\nHost: other\n{close}") == b"GET /x \n"
    assert body(f"GET http://SITE.test:81?q HTTP/1.1\nHost: other\n{close}") == b"GET / q\n"
    assert body(f"GET /x HTTP/1.1\nHost: Site.Test:80\n{close}") == b"GET /x \n"
    assert body(f"GET /x HTTP/1.1\nHost: other\n{close}") == b"default\n"
    for host in ("a\nHost: b", "a b", "a/b", "a:x", "[::1", "a@b"):
        assert ask(engine, f"GET / HTTP/1.1\nHost: {host}\n{close}") == [400], host
    for host in ("[::1]:80", "127.0.0.1", "a_b.c", "a:", ""):
        assert ask(engine, f"GET / HTTP/1.1\nHost: {host}\n{close}") == [200], host


SMUGGLED = "GET /smuggled HTTP/1.1\nHost: site.test\n\n"


@pytest.mark.parametrize("headers", [
    "Content-Length: 4\nTransfer-Encoding: chunked",
    "Transfer-Encoding: chunked\nContent-Length: 4",
    "Content-Length: 4\nContent-Length: 4", "Content-Length: 4\nContent-Length: 5",
    "Content-Length: 4, 4", "Content-Length: +4", "Content-Length: -4", "Content-Length: 4 4",
    "Content-Length: 0x4", "Content-Length:", "Content-Length: 99999999999999999999",
    "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: identity",
    "Transfer-Encoding: chunked, identity", "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunked\nTransfer-Encoding: chunked", "Transfer-Encoding:\x0bchunked",
    "Transfer-Encoding : chunked", "Content-Length : 4", " Content-Length: 4",
    "X: y\n Transfer-Encoding: chunked", "X: y\n\tfolded", "X: a\rb", "X: a\x00b", ": empty",
    "X\nTransfer-Encoding: chunked", "Bad Name: x", "Content-Length\t: 4",
])
def test_smuggling_is_refused(engine, headers):
    """One refusal, and nothing after it is taken for a request."""
    found = ask(engine, f"POST /upload HTTP/1.1\n{SITE}{headers}\n\n0\n\n{SMUGGLED}")
    assert len(found) == 1 and found[0] in (400, 501), found


def test_other_codings_are_not_implemented(engine):
    assert ask(engine, f"POST / HTTP/1.1\n{SITE}Transfer-Encoding: gzip, chunked\n\n0\n\n") == [501]


@pytest.mark.parametrize("text", [
    "GET / HTTP/1.1\nHost: a\r\n\r\n", "GET / HTTP/1.1\r\nHost: a\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n\n", "GET / HTTP/1.1\rHost: a\r\n\r\n",
])
def test_bare_line_ends_are_refused(engine, text):
    assert statuses(engine.raw(text.encode() + SMUGGLED.encode())) == [400]


def test_bare_line_feeds_in_chunks_are_refused(engine):
    head = f"POST /upload HTTP/1.1\n{SITE}Transfer-Encoding: chunked\n\n".replace("\n", "\r\n")
    for body in ("3\nabc\r\n0\r\n\r\n", "3\r\nabc\n0\r\n\r\n", "3;a\nb\r\nabc\r\n0\r\n\r\n"):
        assert statuses(engine.raw((head + body + SMUGGLED).encode())) == [400], body


def test_a_head_may_come_byte_by_byte(engine):
    raw = request("/x?y", "X-A: b", method="POST", body=b"12345")
    with engine.connect() as client:
        for i in range(len(raw)):
            client.sendall(raw[i:i + 1])
        assert b"POST /x y\n" in client.recv(4096)


def test_methods(engine):
    for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "X-Y"):
        assert ask(engine, f"{method} / HTTP/1.1\n{CLOSE}\n") == [200], method
    assert ask(engine, f"TRACE / HTTP/1.1\n{CLOSE}\n") == [405]
    assert ask(engine, f"OPTIONS * HTTP/1.1\n{CLOSE}\n") == [405]
    assert ask(engine, f"CONNECT a:1 HTTP/1.1\n{CLOSE}\n") == [405]
    assert ask(engine, f"CONNECT / HTTP/1.1\n{CLOSE}\n") == [400]
