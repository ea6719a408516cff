"""An application to stand behind a server under test: uploads, event streams and tunnels.

    python3 -m masterwork.backend SOCKET

Listens on a unix socket, prints "ready", and goes when its standard input ends. It speaks just
enough HTTP for a reverse proxy: one request a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from urllib.parse import parse_qs, urlsplit

from masterwork.server import pattern

HEAD_LIMIT = 1 << 16


async def upload(reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
                 headers: dict[str, str], _: dict[str, list[str]]) -> None:
    """Reads the whole body and says whether it was the pattern."""
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    good = "ok" if body == pattern(len(body)) else "bad"
    text = f"{headers.get('x-mw-nonce', '0')} {len(body)} {good}\n".encode()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(text)
                 + text)


async def stream(_: asyncio.StreamReader, writer: asyncio.StreamWriter, headers: dict[str, str],
                 query: dict[str, list[str]]) -> None:
    """One event each ?ms=, for ?for= ms; 0: until the client goes."""
    period = int(query.get("ms", ["100"])[0]) / 1000
    lasting = int(query.get("for", ["0"])[0]) / 1000
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                 b"Connection: close\r\n\r\n")
    number = 0
    while not lasting or number * period < lasting:
        writer.write(f"data: {headers.get('x-mw-nonce', '0')} {number}\n\n".encode())
        await writer.drain()
        await asyncio.sleep(period)
        number += 1


async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, _: dict[str, str],
                 __: dict[str, list[str]]) -> None:
    """Echoes every byte until the other side ends."""
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
                 b"Upgrade: mw-tunnel\r\n\r\n")
    while data := await reader.read(HEAD_LIMIT):
        writer.write(data)
        await writer.drain()


HANDLERS = {"/upload": upload, "/stream": stream, "/tunnel": tunnel}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection, one request."""
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ValueError):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        url = urlsplit(head[0].split()[1])
        headers = {name.strip().lower(): value.strip()
                   for name, _, value in (line.partition(":") for line in head[1:])}
        handler = HANDLERS.get(url.path)
        if handler is None:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        else:
            await handler(reader, writer, headers, parse_qs(url.query))
        await writer.drain()
    with contextlib.suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


async def main(path: str) -> None:
    server = await asyncio.start_unix_server(serve, path, limit=HEAD_LIMIT)
    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    async with server:
        await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
