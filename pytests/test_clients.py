"""Clients that people use, as they are: curl, wrk, h2load, Python's own, openssl s_client and a
WebSocket library. Each meets the engine itself and the engine as a proxy, plain and over TLS.

Four ways lead to the same documents: WAYS. What is proxied goes through the engine twice."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import websockets
from tls_server import PATIENCE_S, Server, connect, context

from masterwork.certificates import Authority
from masterwork.pattern import pattern
from masterwork.ports import Port

WAYS = ["plain", "tls", "plain proxied", "tls proxied"]
NAME = "site.test"
FILE = os.urandom(300_000)


@dataclass
class Site:
    """One engine, and by which of the ways it is asked."""
    server: Server
    authority: Authority
    echo: Port              # where the WebSocket server listens
    way: str

    @property
    def secure(self) -> bool:
        return self.way.startswith("tls")

    @property
    def port(self) -> int:
        return self.server.port(1 if self.secure else 0)

    @property
    def base(self) -> str:
        """What a path begins with."""
        return "/through" if self.way.endswith("proxied") else ""

    def url(self, path: str, host: str = NAME) -> str:
        return f"http{'s' * self.secure}://{host}:{self.port}{self.base}{path}"

    def log(self) -> str:
        return self.server.log()


def write(server: Server, authority: Authority, echo: Port) -> None:
    pair = authority.sign(NAME)
    content = f"""root {server.folder / 'www'}; client_max_body_size 0;
        location = /upload {{ test_handler upload; }} location = /echo {{ test_handler echo here; }}
        location = /stream {{ test_handler stream; }}"""
    server.write(f"""
        ssl_certificate {pair.certificate}; ssl_certificate_key {pair.key}; etag on;
        upstream origin {{ server 127.0.0.1:PORT2; keepalive 16; }}
        server {{ listen 127.0.0.1:PORT2; {content} }}
        server {{ listen 127.0.0.1:PORT0; listen 127.0.0.1:PORT1 ssl; {content}
            location /through/ {{
                proxy_http_version 1.1; proxy_set_header Connection "";
                proxy_pass http://origin/; }}
            location /chat {{
                proxy_http_version 1.1; proxy_set_header Connection upgrade;
                proxy_set_header Upgrade $http_upgrade;
                proxy_pass http://127.0.0.1:{echo.number}; }}
        }}""", connections=512)


@pytest.fixture(scope="module")
def started(tmp_path_factory, authority: Authority) -> Iterator[tuple[Server, Authority, Port]]:
    server, echo = Server(tmp_path_factory.mktemp("clients") / "server"), Port()
    (server.folder / "www").mkdir()
    (server.folder / "www" / "file").write_bytes(FILE)
    write(server, authority, echo)
    server.start()
    yield server, authority, echo
    server.close()
    echo.close()
    log = server.log()
    assert not re.search(r"\[(alert|crit|emerg)\]|exited on signal", log), log


@pytest.fixture(params=WAYS)
def site(request, started) -> Site:
    return Site(*started, request.param)


def run(*words: object, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([str(word) for word in words], input=data, capture_output=True,
                          timeout=90, check=False)


# ---- curl ----------------------------------------------------------------------------------------

def curl(site: Site, *words: object, data: bytes = b"") -> bytes:
    """What it prints. It verifies the certificate, and a status of 400 and above is an error."""
    done = run("curl", "--silent", "--show-error", "--fail", "--max-time", 60, "--cacert",
               site.authority.certificate, "--resolve", f"{NAME}:{site.port}:127.0.0.1", *words,
               data=data)
    assert done.returncode == 0, (done.args, done.stderr.decode(), site.log()[-2000:])
    return done.stdout


def test_curl_gets_a_file_twice_on_one_connection(site: Site):
    url = site.url("/file")
    assert curl(site, url, url) == FILE * 2
    made = curl(site, "-o", "/dev/null", "-w", "%{num_connects}%{http_version} ", url,
                "-o", "/dev/null", url)
    assert made == b"11.1 01.1 ", "the second request goes over the first one's connection"


def test_curl_gets_many_at_once(site: Site, tmp_path: Path):
    curl(site, "--parallel", "--parallel-immediate", "--parallel-max", 8, "--create-dirs",
         "-o", tmp_path / "#1", site.url("/file?[1-24]"))
    assert [path.read_bytes() == FILE for path in tmp_path.iterdir()] == [True] * 24


@pytest.mark.parametrize("version", ["--http1.0", "--http1.1"])
def test_curl_speaks_both_versions(site: Site, version: str):
    assert curl(site, version, site.url("/file")) == FILE
    assert curl(site, version, "--data-binary", "@-", site.url("/upload"),
                data=pattern(70_000)) == b"0 70000 ok\n"


def test_curl_asks_for_parts(site: Site):
    assert curl(site, "-r", "100-299", site.url("/file")) == FILE[100:300]
    assert curl(site, "-r", "-17", site.url("/file")) == FILE[-17:]
    head = curl(site, "-r", "0-0", "-I", site.url("/file"))
    assert b" 206 " in head and b"Content-Range: bytes 0-0/300000" in head


def test_curl_continues_a_download(site: Site, tmp_path: Path):
    part = tmp_path / "part"
    part.write_bytes(FILE[:123_456])
    curl(site, "-C", "-", "-o", part, site.url("/file"))
    assert part.read_bytes() == FILE


def test_curl_does_not_fetch_what_it_has(site: Site, tmp_path: Path):
    tag, file = tmp_path / "tag", tmp_path / "file"
    first = curl(site, "--etag-save", tag, "-o", file, "-w", "%{http_code}", site.url("/file"))
    again = curl(site, "--etag-compare", tag, "-o", tmp_path / "not", "-w", "%{http_code}",
                 site.url("/file"))
    assert (first, again, file.read_bytes()) == (b"200", b"304", FILE)
    assert curl(site, "-z", file, "-o", tmp_path / "not", "-w", "%{http_code}",
                site.url("/file")) == b"304"


@pytest.mark.parametrize("how", [
    ("-T", "-"),                                               # chunks: the length is not known
    ("-X", "POST", "--data-binary", "@-"),
    ("-X", "POST", "--data-binary", "@-", "-H", "Expect: 100-continue", "--expect100-timeout", 60),
    ("-T", "-", "-H", "Expect: 100-continue", "--expect100-timeout", 60),
], ids=["chunked", "length", "length expected", "chunked expected"])
def test_curl_uploads(site: Site, how: tuple):
    """Where it expects an answer 100 it would wait a minute for it before it sends."""
    body = pattern(2_000_000)
    assert curl(site, *how, site.url("/upload"), data=body) == b"0 2000000 ok\n"


def test_curl_is_told_100_before_it_sends(site: Site):
    done = run("curl", "-sv", "--insecure", "--max-time", 60, "--expect100-timeout", 60, "-H",
               "Expect: 100-continue", "-d", "x", site.url("/upload", "127.0.0.1"))
    assert b"< HTTP/1.1 100 Continue" in done.stderr and b"< HTTP/1.1 200 OK" in done.stderr


# ---- load generators -----------------------------------------------------------------------------

def test_wrk(site: Site):
    done = run("wrk", "-t1", "-c8", "-d1s", site.url("/echo", "127.0.0.1"))
    text = done.stdout.decode()
    found = re.search(r"(\d+) requests in", text)
    assert done.returncode == 0 and found and int(found[1]) > 0, text
    assert "Socket errors" not in text and "Non-2xx" not in text, text


@pytest.mark.parametrize("pipelined", [1, 8])
def test_h2load(site: Site, pipelined: int):
    done = run("h2load", "--h1", "-n", 400, "-c", 4, "-t", 1, "-m", pipelined,
               site.url("/echo", "127.0.0.1"))
    text = done.stdout.decode()
    assert done.returncode == 0, (text, done.stderr)
    assert "400 total, 400 started, 400 done, 400 succeeded, 0 failed, 0 errored, 0 timeout" \
        in text, text
    assert "status codes: 400 2xx" in text, text


# ---- Python's client -----------------------------------------------------------------------------

def python_client(site: Site) -> http.client.HTTPConnection:
    if not site.secure:
        return http.client.HTTPConnection("127.0.0.1", site.port, timeout=PATIENCE_S)
    return http.client.HTTPSConnection("127.0.0.1", site.port, timeout=PATIENCE_S,
                                       context=context())


def test_pythons_client_keeps_its_connection(site: Site):
    client = python_client(site)
    first = None
    for number in range(20):
        chunked = number % 2 == 0
        body = iter([b"!\"", b"#$"]) if chunked else pattern(4)
        client.request("POST", f"{site.base}/upload?n={number}", body=body, encode_chunked=chunked,
                       headers={"Transfer-Encoding": "chunked"} if chunked else {})
        answer = client.getresponse()
        assert (answer.status, answer.read()) == (200, b"%d 4 ok\n" % number)
        first = first or client.sock
        assert client.sock is first
    client.close()


def test_pythons_client_reads_a_stream(site: Site):
    client = python_client(site)
    client.request("GET", f"{site.base}/stream?ms=10&for=100")
    answer = client.getresponse()
    assert answer.getheader("Content-Type") == "text/event-stream"
    assert answer.read().count(b"data:") >= 2
    client.close()


# ---- openssl -------------------------------------------------------------------------------------

@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("site", ["tls", "tls proxied"], indirect=True)
def test_s_client(site: Site, version: str):
    done = run("openssl", "s_client", "-quiet", version, "-connect", f"127.0.0.1:{site.port}",
               "-CAfile", site.authority.certificate, "-verify_return_error", "-servername", NAME,
               "-ign_eof",
               data=f"GET {site.base}/echo HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"
               .encode())
    assert b" here " in done.stdout.rpartition(b"\r\n\r\n")[2], (done.stdout, done.stderr)


@pytest.mark.parametrize("site", ["tls"], indirect=True)
def test_s_client_comes_again_with_its_session(site: Site, tmp_path: Path):
    kept = tmp_path / "session"
    words = ["openssl", "s_client", "-tls1_2", "-connect", f"127.0.0.1:{site.port}"]
    assert b"New, TLSv1.2" in run(*words, "-sess_out", kept).stdout
    assert b"Reused, TLSv1.2" in run(*words, "-sess_in", kept).stdout


def test_pipelined_requests_are_answered_in_order(site: Site):
    """Fifty at once, as no browser does any more and some programs still do."""
    asked = "".join(f"GET {site.base}/echo?n={number} HTTP/1.1\r\nHost: {NAME}\r\n\r\n"
                    for number in range(1, 51)).encode()
    if site.secure:
        stream = connect(site.port, context())
    else:
        stream = socket.create_connection(("127.0.0.1", site.port), timeout=PATIENCE_S)
    with stream:
        stream.sendall(asked)
        answers = b""
        while answers.count(b" here ") < 50:
            piece = stream.recv(65536)
            assert piece, answers
            answers += piece
    assert [int(found) for found in re.findall(rb"\r\n\r\n(\d+) here ", answers)] == \
        list(range(1, 51))


# ---- WebSockets ----------------------------------------------------------------------------------

async def chat(site: Site) -> None:
    async def echo(peer) -> None:
        async for message in peer:
            await peer.send(message)
    scheme, secure = ("wss", context(site.authority.certificate)) if site.secure else ("ws", None)
    async with websockets.serve(echo, "127.0.0.1", site.echo.number, max_size=None):
        url = f"{scheme}://127.0.0.1:{site.port}/chat"
        async with websockets.connect(url, ssl=secure, server_hostname=NAME if secure else None,
                                      max_size=None, open_timeout=PATIENCE_S) as peer:
            for message in ("hello", "", FILE, "\u00e9" * 70_000):
                await peer.send(message)
                assert await peer.recv() == message
            await asyncio.wait_for(await peer.ping(), PATIENCE_S)
            both = [asyncio.create_task(peer.send(f"{number}" * 1000)) for number in range(200)]
            assert [await peer.recv() for _ in both] == [f"{n}" * 1000 for n in range(200)]
        assert peer.close_code == 1000


@pytest.mark.parametrize("site", ["plain", "tls"], indirect=True)
def test_a_websocket_library_on_both_sides(site: Site):
    asyncio.run(asyncio.wait_for(chat(site), 90))
