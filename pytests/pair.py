"""The engine and a real nginx on the same configuration: whatever a client asks, both must answer
the same."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from masterwork.paths import program
from masterwork.ports import Port
from masterwork.tree import wait_until

PATIENCE_S = 20.0
NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
UNLIKE = ("server", "date")

FRAME = """
daemon off;
user root;
master_process on;
worker_processes {workers};
pid server.pid;
error_log error.log info;
events {{ worker_connections 64; }}
http {{
    access_log off;
    {temporary}
    {http}
}}
"""
# nginx's folders for temporary files are not below the prefix everywhere.
TEMPORARY = "proxy_temp_path proxy; fastcgi_temp_path fastcgi;" \
            "uwsgi_temp_path uwsgi; scgi_temp_path scgi;"


@dataclass(frozen=True)
class Answer:
    """What came back, without what may differ."""

    status: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)


def parse(raw: bytes, port: int) -> Answer:
    """One answer; the server's port is PORT in it, its name SERVER."""
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = []
    for line in lines:
        name, _, value = line.partition(": ")
        if name.lower() not in UNLIKE:
            headers.append((name.lower(), value.replace(str(port), "PORT")))
    for words in (rb"nginx(/[0-9.]+)?", rb"masterwork(/[0-9.]+)?"):
        body = re.sub(rb"<hr><center>" + words, b"<hr><center>SERVER", body)
    length = dict(headers).get("content-length")
    page = b"SERVER" in body or (not body and dict(headers).get("content-type") == "text/html"
                                 and int(status.split()[1]) >= 300)
    if page and length is not None:
        headers = [(n, v) if n != "content-length" else (n, "of the page") for n, v in headers]
    if dict(headers).get("transfer-encoding") == "chunked":
        body = unchunk(body)
    return Answer(status, tuple(sorted(headers)), body.replace(str(port).encode(), b"PORT"))


def unchunk(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        count = int(size.split(b";")[0], 16)
        if count == 0:
            return whole
        whole, body = whole + rest[:count], rest[count + 2:]
    raise AssertionError("the last chunk is missing")


class Server:
    """One of the two, in a folder of its own."""

    def __init__(self, name: str, argv: list[str], folder: Path, http: str,
                 workers: int = 1) -> None:
        self.name, self.folder, self.port = name, folder, Port()
        folder.mkdir(exist_ok=True)
        temporary = TEMPORARY if name == "nginx" else ""
        text = FRAME.format(http=http, temporary=temporary, workers=workers)
        text = text.replace("PORT", str(self.port.number)).replace("FOLDER", str(folder.parent))
        (folder / "server.conf").write_text(text)
        self.argv = [*argv, "-p", f"{folder}/", "-c", f"{folder}/server.conf",
                     *(["-e", "start.log"] if name == "nginx" else [])]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MW_")}
        with open(folder / "out", "ab") as out:
            self.process = subprocess.Popen(self.argv, stdout=out, stderr=out, env=environment)
        assert wait_until(self.listens, PATIENCE_S), f"{name} does not start: {self.said()}"

    def said(self) -> str:
        logs = [self.folder / name for name in ("out", "start.log", "error.log")]
        return "\n".join(log.read_text(errors="replace") for log in logs if log.exists())

    def listens(self) -> bool:
        assert self.process.poll() is None, f"{self.name} has ended: {self.said()}"
        with contextlib.suppress(OSError), self.connect():
            return True
        return False

    def connect(self, source: str | None = None) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port.number), PATIENCE_S,
                                        source_address=(source, 0) if source else None)
        made.settimeout(PATIENCE_S)
        return made

    def raw(self, request: bytes, source: str | None = None) -> bytes:
        """All bytes that come back until the server closes."""
        with self.connect(source) as client:
            client.sendall(request)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := client.recv(1 << 16):
                    answer += piece
            return answer

    def ask(self, request: bytes, source: str | None = None) -> Answer:
        return parse(self.raw(request, source), self.port.number)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.port.close()


def request(target: str, *headers: str, method: str = "GET", body: bytes = b"",
            version: str = "1.1", host: str = "site.test") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}", "Connection: close", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


class Pair:
    """Both, beside the documents FOLDER/www."""

    def __init__(self, folder: Path, http: str) -> None:
        self.engine = Server("engine", [str(program("mw-engine"))], folder / "engine", http)
        try:
            self.nginx = Server("nginx", [NGINX], folder / "nginx", http)
        except BaseException:
            self.engine.stop()
            raise

    def same(self, what: str | bytes, *headers: str, source: str | None = None,
             **more: str | bytes) -> Answer:
        """Asks both, fails where they differ, and gives back what they say."""
        raw = what if isinstance(what, bytes) else request(what, *headers, **more)
        ours, theirs = self.engine.ask(raw, source), self.nginx.ask(raw, source)
        assert ours == theirs, f"{raw!r}\n  engine: {ours}\n  nginx:  {theirs}\n" \
                               f"{self.engine.said()[-2000:]}"
        return ours

    def close(self) -> None:
        self.engine.stop()
        self.nginx.stop()


DOCUMENTS = {"index.html": "<p>home", "a.txt": "0123456789", "sub/index.html": "<p>sub",
             "sub/b.txt": "b", "deep/er/c.css": "c", "404.html": "<p>gone", "data.bin": "x" * 5000}


@pytest.fixture
def pair(tmp_path) -> Iterator[Callable[[str], Pair]]:
    """pair(http block): both servers beside the documents."""
    made: list[Pair] = []
    for name, text in DOCUMENTS.items():
        path = tmp_path / "www" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def make(http: str) -> Pair:
        made.append(Pair(tmp_path, http))
        return made[-1]
    make.made = made  # type: ignore[attr-defined]
    yield make
    for one in made:
        one.close()


def server(text: str) -> str:
    return f"server {{ listen 127.0.0.1:PORT; root FOLDER/www; {text} }}"


def ask_all(pair: Pair, *targets: str) -> list[Answer]:
    return [pair.same(target) for target in targets]
