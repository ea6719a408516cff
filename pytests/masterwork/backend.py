"""An application to stand behind a server under test: it answers as the engine's test handlers do.

    python3 -m masterwork.backend SOCKET

Listens on a unix socket, prints "ready", and goes when its standard input ends. It speaks just
enough HTTP for a reverse proxy. A line on its standard input is a mood, which it obeys from then on
and says back: it may also refuse, stall, trickle and reset.
"""

from __future__ import annotations

import asyncio
import contextlib
import pathlib
import sys
from urllib.parse import parse_qs, urlsplit

from masterwork.pattern import pattern

HEAD_LIMIT = 1 << 16
STEP_MS = 10
MOODS = ("well", "refuse", "stall", "trickle", "reset")
STALL_S = 3600.0
TRICKLE_S = 0.05

Query = dict[str, list[str]]


def number(query: Query, name: str, otherwise: int) -> int:
    return int(query.get(name, [str(otherwise)])[0])


def answer(writer: asyncio.StreamWriter, body: bytes) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n"
                 % len(body) + body)


async def read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    """The whole body, whichever way it comes."""
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(int(headers.get("content-length", "0")))
    body = b""
    while size := int(await reader.readuntil(b"\r\n"), 16):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readexactly(2)
    return body


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
               headers: dict[str, str], _: Query) -> bool:
    """Says what the proxy has put into X-Mw-Echo."""
    await read_body(reader, headers)
    answer(writer, headers.get("x-mw-echo", "").encode() + b"\n")
    return True


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
               headers: dict[str, str], query: Query) -> bool:
    """As echo, after ?ms=."""
    await asyncio.sleep(number(query, "ms", 0) / 1000)
    return await echo(reader, writer, headers, query)


async def download(_: asyncio.StreamReader, writer: asyncio.StreamWriter, __: dict[str, str],
                   query: Query) -> bool:
    """?n= bytes of the pattern, spread over ?ms=."""
    steps = max(number(query, "ms", 0) // STEP_MS, 1)
    data = pattern(number(query, "n", 0))
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(data))
    for step in range(steps):
        writer.write(data[len(data) * step // steps:len(data) * (step + 1) // steps])
        await writer.drain()
        if step + 1 < steps:
            await asyncio.sleep(STEP_MS / 1000)
    return True


async def upload(reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                 headers: dict[str, str], _: Query) -> bool:
    """Reads the whole body and says whether it was the pattern."""
    body = await read_body(reader, headers)
    good = "ok" if body == pattern(len(body)) else "bad"
    answer(writer, f"{headers.get('x-mw-nonce', '0')} {len(body)} {good}\n".encode())
    return True


async def stream(_: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str],
                 query: Query) -> bool:
    """One event each ?ms=, for ?for= ms; 0: until the client goes."""
    period = number(query, "ms", 100) / 1000
    lasting = number(query, "for", 0) / 1000
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                 b"Connection: close\r\n\r\n")
    count = 0
    while not lasting or count * period < lasting:
        writer.write(f"data: {headers.get('x-mw-nonce', '0')} {count}\n\n".encode())
        await writer.drain()
        await asyncio.sleep(period)
        count += 1
    return False


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: dict[str, str],
                 __: Query) -> bool:
    """Echoes every byte until the other side ends."""
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                 b"Upgrade: mw-tunnel\r\n\r\n")
    while data := await reader.read(HEAD_LIMIT):
        writer.write(data)
        await writer.drain()
    return False


HANDLERS = {"/echo": echo, "/slow": slow, "/bytes": download, "/upload": upload, "/stream": stream,
            "/tunnel": tunnel}


mood = "well"


async def suffer(writer: asyncio.StreamWriter) -> bool:
    """What the mood does to a request that was read. True: nothing is left of it."""
    if mood == "stall":
        await asyncio.sleep(STALL_S)
    elif mood in ("reset", "refuse"):  # connections that were there already
        writer.transport.abort()
        return True
    elif mood == "trickle":
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + b"." * 20:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(TRICKLE_S)
        return True
    return False


async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One request. May another one follow?"""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    _, target, version = head[0].split()
    url = urlsplit(target)
    headers = {name.strip().lower(): value.strip()
               for name, _, value in (line.partition(":") for line in head[1:])}
    handler = HANDLERS.get(url.path)
    if await suffer(writer):
        return False
    if handler is None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return False
    stays = await handler(reader, writer, headers, parse_qs(url.query))
    await writer.drain()
    return stays and version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
        while await serve_one(reader, writer):
            pass
    with contextlib.suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


async def listen(path: str) -> asyncio.Server:
    pathlib.Path(path).unlink(missing_ok=True)
    return await asyncio.start_unix_server(serve, path, limit=HEAD_LIMIT)


async def main(path: str) -> None:
    """Refusing is not listening: the path stays, and nobody is behind it."""
    global mood
    server = await listen(path)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while word := (await loop.run_in_executor(None, sys.stdin.readline)).strip():
        if "refuse" in (word, mood) and word != mood:
            server.close()
            server = await listen(path) if word != "refuse" else server
        mood = word
        print(mood, flush=True)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
