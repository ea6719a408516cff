"""Passing requests on: what the server behind is asked, and what the client gets."""

from __future__ import annotations

import os

import pytest

from masterwork.scripted import Backend, Call, answering, header
from masterwork.tree import wait_until
from proxy_rig import Proxy, either, proxy  # noqa: F401

def _until(condition, patience_s: float = 20.0) -> bool:
    return bool(wait_until(lambda: bool(condition()), patience_s))


# ---- the request ---------------------------------------------------------------------------------

URIS = [
    ("location /", "http://{b}", "/a%20b/c?d=e", "/a%20b/c?d=e"),
    ("location /x/", "http://{b}", "/x/y/../z", "/x/y/../z"),
    ("location /x/", "http://{b}/", "/x/y?z", "/y?z"),
    ("location /x/", "http://{b}/new", "/x/y", "/newy"),
    ("location /x", "http://{b}/new", "/x/y%20z%25", "/new/y%20z%25"),
    ("location /x/", "http://{b}/n/", "/x/%2e%2e/x/q", "/n/q"),
    ("location = /x", "http://{b}/only", "/x?1", "/only?1"),
    ("location ~ ^/(.)/", "http://{b}", "/x/y", "/x/y"),
    ("location /x/", "http://{b}/v$uri", "/x/y?q", "/v/x/y"),
    ("location /x/", "http://{b}$request_uri", "/x/y?q", "/x/y?q"),
    ("set $t {b}; location /x/", "http://$t", "/x/y%20?q", "/x/y%20?q"),
]


@pytest.mark.parametrize("location, target, asked, expected", URIS)
def test_the_uri(either: Proxy, location, target, asked, expected):
    backend = either.backend(answering())
    either.start(f"{location.format(b=backend.address)} "
                 f"{{ proxy_pass {target.format(b=backend.address)}; }}")
    assert either.ask(asked).status == 200
    assert backend.heads[0].split(b" ")[1].decode() == expected


def test_a_request_as_nginx_sends_it(either: Proxy):
    backend = either.backend(answering())
    either.start(f"location / {{ proxy_pass http://{backend.address}; }}")
    either.ask("/p", headers="X-A: 1\r\nTE: trailers\r\nKeep-Alive: 5\r\nX-B: 2\r\n")
    assert backend.heads[0].decode() == (
        f"GET /p HTTP/1.0\r\nHost: {backend.address}\r\nConnection: close\r\nX-A: 1\r\nX-B: 2")


def test_headers_are_set(either: Proxy):
    backend = either.backend(answering())
    either.start(f"""
        proxy_set_header Host $http_host; proxy_set_header X-Real-IP $remote_addr;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header Accept ""; proxy_set_header X-Target $proxy_host:$proxy_port;
        proxy_http_version 1.1;
        location / {{ proxy_pass http://{backend.address}; }}""")
    either.ask("/", headers="Accept: x\r\nX-Forwarded-For: 1.2.3.4\r\n")
    assert backend.heads[0].decode() == (
        "GET / HTTP/1.1\r\nHost: front\r\nX-Real-IP: 127.0.0.1\r\n"
        "X-Forwarded-For: 1.2.3.4, 127.0.0.1\r\n"
        f"X-Target: {backend.address}:{backend.address.split(':')[1]}\r\nConnection: close")


def test_method_body_and_headers_can_be_replaced(either: Proxy):
    backend = either.backend(answering())
    either.start(f"""
        location /m {{ proxy_method PUT; proxy_set_body "b=$arg_b"; proxy_pass_request_headers off;
                       proxy_pass http://{backend.address}; }}
        location /n {{ proxy_pass_request_body off; proxy_set_header Content-Length "";
                       proxy_pass http://{backend.address}; }}""")
    assert either.ask("/m?b=5", "POST", "X-A: 1\r\n", b"ignored").status == 200
    assert either.ask("/n", "POST", "X-A: 1\r\n", b"dropped").status == 200
    assert backend.heads[0].startswith(b"PUT /m?b=5 ") and b"X-A" not in backend.heads[0]
    assert backend.bodies == [b"b=5", b""]
    assert b"X-A: 1" in backend.heads[1]


@pytest.mark.parametrize("size", [0, 10, 70_000, 1_000_000])
@pytest.mark.parametrize("settings", ["", "client_body_buffer_size 4k;",
                                      "proxy_request_buffering off; proxy_http_version 1.1;"])
def test_bodies_of_requests(proxy: Proxy, size, settings):
    backend = proxy.backend(answering())
    proxy.start(f"{settings} location / {{ proxy_pass http://{backend.address}; }}")
    body = os.urandom(size)
    assert proxy.ask("/", "POST", body=body).status == 200
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in
                      (body[i:i + 30_000] for i in range(0, size, 30_000))) + b"0\r\n\r\n"
    with proxy.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                     b"Connection: close\r\n\r\n" + chunks)
        assert sock.recv(12) == b"HTTP/1.1 200"
    assert backend.bodies == [body, body]
    streamed = "off" in settings
    assert (header(backend.heads[1], "transfer-encoding") == b"chunked") == streamed
    assert list((proxy.folder / "client_body_temp").iterdir()) == []


def test_expect_is_answered_by_the_proxy(proxy: Proxy):
    backend = proxy.backend(answering())
    proxy.start(f"location / {{ proxy_pass http://{backend.address}; }}")
    with proxy.connect() as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
                     b"Expect: 100-continue\r\n\r\n")
        assert sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(b"abc")
        assert sock.recv(12) == b"HTTP/1.1 200"
    assert backend.bodies == [b"abc"] and b"Expect" not in backend.heads[0]


# ---- the answer ----------------------------------------------------------------------------------

def test_headers_of_answers(either: Proxy):
    backend = either.backend(answering(b"x", status="299 Odd Thing", headers=(
        "Server: theirs\r\nDate: then\r\nX-Pad: 1\r\nX-Accel-Expires: 3\r\nSet-Cookie: a\r\n"
        "Set-Cookie: b\r\nKeep-Alive: timeout=5\r\nX-Secret: s\r\nContent-Type: a/b\r\n"
        "X_Odd: 1\r\n")))
    either.start(f"""
        location / {{ proxy_hide_header X-Secret; proxy_pass http://{backend.address}; }}
        location /p/ {{ proxy_pass_header Server; proxy_pass_header Date;
                        proxy_pass http://{backend.address}; }}""")
    answer = either.ask("/")
    assert (answer.status, answer.reason, answer.body) == (299, "Odd Thing", b"x")
    assert [v for k, v in answer.headers if k == "Set-Cookie"] == ["a", "b"]
    assert answer.get("content-type") == "a/b" and answer.get("x_odd") == "1"
    for name in ("x-pad", "x-accel-expires", "keep-alive", "x-secret"):
        assert answer.get(name) is None, name
    assert answer.get("server") != "theirs" and answer.get("date") != "then"
    passed = either.ask("/p/")
    assert [v for k, v in passed.headers if k == "Server"] == ["theirs"]
    assert [v for k, v in passed.headers if k == "Date"] == ["then"]


REDIRECTS = [
    ("location /one/", "http://{b}/two/", "", "http://{b}/two/x", "/one/x"),
    ("location /one/", "http://{b}", "", "http://{b}/one/x", "/one/x"),
    ("location /one/", "http://{b}/two/", "", "http://other/two/x", "http://other/two/x"),
    ("location /one/", "http://{b}/two/", "proxy_redirect off;", "http://{b}/two/x",
     "http://{b}/two/x"),
    ("location /one/", "http://{b}/two/", "proxy_redirect http://a/ http://$host/z/;",
     "http://a/q", "http://front/z/q"),
    ("location /one/", "http://{b}/two/", r"proxy_redirect ~^http://([^/]+)/(.*)$ /$2?h=$1;",
     "http://a/q/r", "/q/r?h=a"),
    ("location /one/", "http://{b}/two/", r"proxy_redirect ~*^HTTP://A /b;", "http://a/q", "/b"),
    ("location /one/", "http://{b}/two/", r"proxy_redirect ~^nothing /b; proxy_redirect default;",
     "http://{b}/two/q", "/one/q"),
]


@pytest.mark.parametrize("location, target, rule, sent, expected", REDIRECTS)
def test_redirects_are_rewritten(either: Proxy, location, target, rule, sent, expected):
    place: list[str] = []
    backend = either.backend(lambda b: lambda call: b.take(call) and call.answer(
        b"", "302 Found", f"Location: {place[0]}\r\nRefresh: 3; url={place[0]}\r\n"))
    place.append(sent.format(b=backend.address))
    relative = "absolute_redirect off;" if either.server == "nginx" else ""
    either.start(f"{location} {{ proxy_pass {target.format(b=backend.address)}; {rule} "
                 f"{relative} }}")
    answer = either.ask("/one/x")
    wanted = expected.format(b=backend.address)
    assert answer.get("location") == wanted
    assert answer.get("refresh") == f"3; url={wanted}"


BODY = os.urandom(300_000)
FRAMINGS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + BODY,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"".join(
        b"%x;e=1\r\n%s\r\n" % (len(p), p) for p in
        (BODY[i:i + 7_001] for i in range(0, 300_000, 7_001))) + b"0\r\nT: 1\r\n\r\n",
    "close": b"HTTP/1.1 200 OK\r\n\r\n" + BODY,
    "old": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
}


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("settings", ["", "proxy_buffering off;", "proxy_max_temp_file_size 0;",
                                      "proxy_buffers 2 1k; proxy_buffer_size 1k;"])
def test_bodies_of_answers(proxy: Proxy, framing, settings):
    backend = proxy.backend(lambda b: lambda call: b.take(call) and call.send(FRAMINGS[framing]))
    proxy.start(f"""{settings} proxy_http_version 1.1;
                    location / {{ proxy_pass http://{backend.address}; }}""")
    answer = proxy.ask("/")
    assert answer.whole and answer.body == BODY
    with proxy.connect() as sock: # HTTP/1.0: no chunks
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        data = b""
        while piece := sock.recv(65536):
            data += piece
    head, body = data.split(b"\r\n\r\n", 1)
    assert b"chunked" not in head and body == BODY
    assert list((proxy.folder / "proxy_temp").iterdir()) == []


@pytest.mark.parametrize("buffering, freed", [("on", True), ("off", False)])
def test_a_slow_client_and_the_server_behind(proxy: Proxy, buffering, freed):
    """Buffered, the server is free before the client has read; unbuffered, it waits for it."""
    size = 30_000_000
    body = bytes(size)
    done = []

    def script(backend):
        def run(call):
            backend.take(call)
            call.answer(body)
            done.append(True)
        return run
    backend = proxy.backend(script)
    proxy.start(f"location / {{ proxy_buffering {buffering}; proxy_pass http://{backend.address}; "
                "}")
    with proxy.connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        got = len(sock.recv(1000))
        if freed:
            proxy.logged("is buffered to a temporary file")
            assert _until(lambda: done)
        else:
            assert not _until(lambda: done, 1)
        while piece := sock.recv(1 << 20):
            got += len(piece)
    assert size < got < size + 1000
    assert _until(lambda: done)


def test_interim_answers_are_skipped(proxy: Proxy):
    backend = proxy.backend(lambda b: lambda call: b.take(call) and (
        call.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n"),
        call.answer(b"last")))
    proxy.start(f"location / {{ proxy_http_version 1.1; proxy_pass http://{backend.address}; }}")
    answer = proxy.ask("/")
    assert (answer.status, answer.body, answer.get("link")) == (200, b"last", None)


def test_head_and_answers_without_a_body(either: Proxy):
    def script(backend):
        def run(call):
            head = backend.take(call)
            if head.startswith(b"HEAD"):
                call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n")
            else:
                call.send(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 99\r\n\r\n")
        return run
    backend = either.backend(script)
    either.start(f"location / {{ proxy_pass http://{backend.address}; }}")
    assert either.ask("/", "HEAD").get("content-length") == "99"
    answer = either.ask("/")
    assert (answer.status, answer.get("etag"), answer.get("transfer-encoding")) == (304, "x", None)


def test_a_unix_socket(either: Proxy):
    backend = either.backend(answering(b"local"), either.folder / "b.sock")
    either.start(f"location / {{ proxy_pass http://{backend.address}:/u/; }}")
    assert either.ask("/x").body == b"local"
    assert backend.heads[0].split(b"\r\n")[:2] == [b"GET /u/x HTTP/1.0", b"Host: localhost"]
    assert either.last_access()[2] == backend.address


def test_what_the_log_says_of_servers(either: Proxy):
    backend = either.backend(answering(b"12345", "X-A: yes\r\n"))
    either.start("location / { proxy_pass http://u; add_header Y $upstream_http_x_a; }",
                 http=f"upstream u {{ server {backend.address}; }}")
    assert either.ask("/").get("y") == "yes"
    line = either.last_access()
    sent = len(backend.heads[0]) + 4
    assert line[:4] == ["GET / HTTP/1.1", "200", backend.address, "200"]
    assert [float(x) for x in line[4:7]] and line[7:] == ["5", str(sent), "53"]


def test_names_that_only_a_request_tells(either: Proxy):
    """Groups and addresses; other names would need a resolver, and none can be configured."""
    def make(backend: Backend):
        def script(call: Call) -> None:
            while backend.take(call):
                call.answer(b"here")
        return script
    backend = either.backend(make)
    either.start("location / { proxy_pass http://$arg_to; }",
                 http=f"upstream group {{ server {backend.address}; }}")
    port = backend.address.rsplit(":", 1)[1]
    for to in (backend.address, "group", "GROUP"):
        answer = either.ask(f"/?to={to}")
        assert (answer.status, answer.body) == (200, b"here"), to
    assert either.ask(f"/?to=localhost:{port}").status == 502
    either.logged("no resolver defined to resolve localhost")


def test_names_are_looked_up_as_the_configuration_is_read(either: Proxy):
    backend = either.backend(lambda backend: lambda call: (backend.take(call), call.answer(b"x")))
    port = backend.address.rsplit(":", 1)[1]
    either.start(f"""location /a {{ proxy_pass http://localhost:{port}; }}
                     location /b {{ proxy_pass http://group; }}""",
                 http=f"upstream group {{ server localhost:{port}; }}")
    for target in ("/a", "/b"):
        assert either.ask(target).status == 200, target
