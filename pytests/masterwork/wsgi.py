"""An application for WSGI servers under test: it answers as the engine's test handlers do.

MW_GENERATION in the environment is the number of the configuration it was started under.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qs

from masterwork.pattern import pattern

STEP_MS = 10
CHUNK_BYTES = 1 << 16
GENERATION = os.environ.get("MW_GENERATION", "0")

Environment = dict[str, Any]
# The body and how long it is; None: until the connection ends or in chunks.
Content = tuple[Iterable[bytes], int | None]


def number(environ: Environment, name: str, otherwise: int) -> int:
    return int(parse_qs(environ["QUERY_STRING"]).get(name, [str(otherwise)])[0])


def nonce(environ: Environment) -> str:
    return environ.get("HTTP_X_MW_NONCE", "0")


def read_body(environ: Environment) -> bytes:
    body = bytearray()
    while piece := environ["wsgi.input"].read(CHUNK_BYTES):
        body += piece
    return bytes(body)


def text(line: str) -> Content:
    return [line.encode()], len(line)


def echo(environ: Environment) -> Content:
    read_body(environ)
    return text(f"{nonce(environ)} {GENERATION}\n")


def slow(environ: Environment) -> Content:
    """As echo, after ?ms=."""
    time.sleep(number(environ, "ms", 0) / 1000)
    return echo(environ)


def download(environ: Environment) -> Content:
    """?n= bytes of the pattern, spread over ?ms=."""
    data, steps = pattern(number(environ, "n", 0)), max(number(environ, "ms", 0) // STEP_MS, 1)

    def pieces() -> Iterator[bytes]:
        for step in range(steps):
            yield data[len(data) * step // steps:len(data) * (step + 1) // steps]
            if step + 1 < steps:
                time.sleep(STEP_MS / 1000)
    return pieces(), len(data)


def upload(environ: Environment) -> Content:
    """Reads the whole body and says whether it was the pattern."""
    body = read_body(environ)
    good = "ok" if body == pattern(len(body)) else "bad"
    return text(f"{nonce(environ)} {len(body)} {good}\n")


def stream(environ: Environment) -> Content:
    """One event each ?ms=, for ?for= ms; 0: until the client goes."""
    period, lasting = number(environ, "ms", 100) / 1000, number(environ, "for", 0) / 1000

    def events() -> Iterator[bytes]:
        count = 0
        while not lasting or count * period < lasting:
            yield f"data: {nonce(environ)} {count}\n\n".encode()
            time.sleep(period)
            count += 1
    return events(), None


HANDLERS: dict[str, tuple[str, Callable[[Environment], Content]]] = {
    "/echo": ("200 OK", echo), "/slow": ("200 OK", slow), "/bytes": ("200 OK", download),
    "/upload": ("200 OK", upload), "/stream": ("200 OK", stream),
    # Whatever its body is, it is not read.
    "/early": ("413 Payload Too Large", lambda environ: text(f"{nonce(environ)} {GENERATION}\n")),
}


def app(environ: Environment, start_response: Callable[..., Any]) -> Iterable[bytes]:
    status, handler = HANDLERS.get(environ["PATH_INFO"],
                                   ("404 Not Found", lambda _: text("no such path\n")))
    body, length = handler(environ)
    headers = [("Content-Type", "text/plain"), ("X-Mw-Gen", GENERATION),
               ("X-Mw-Pid", str(os.getpid())), ("X-Mw-Nonce", nonce(environ))]
    if length is not None:
        headers.append(("Content-Length", str(length)))
    start_response(status, headers)
    return body
