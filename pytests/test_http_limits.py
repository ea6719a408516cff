"""Limits kept by all workers together, and how fast an answer leaves."""

from __future__ import annotations

import os
import signal
import time

import pytest

from masterwork.paths import program
from masterwork.tree import wait_until
from pair import PATIENCE_S, Server, pair, request, server  # noqa: F401  (pair is a fixture)


def test_limit_req(pair):
    both = pair("""
        limit_req_zone $arg_k zone=a:64k rate=1r/m;
        limit_req_zone $binary_remote_addr zone=b:64k rate=20r/s;
    """ + server("""
        location /burst { limit_req zone=a burst=2 nodelay; limit_req_status 429; }
        location /none { limit_req zone=a; error_page 503 = /a.txt; }
        location /slow { limit_req zone=b burst=5; }
        location /dry { limit_req zone=a; limit_req_dry_run on; }
    """))
    for target in ("/burst?k=1", "/none?k=2", "/dry?k=3", "/slow", "/burst?k="):
        statuses = [both.same(target).status for _ in range(5)]
        assert len({s.split()[1] for s in statuses}) == (2 if "k=1" in target or "k=2" in target
                                                         else 1), (target, statuses)


def test_requests_that_wait_do_not_hold_others(pair):
    both = pair("""
        limit_req_zone $arg_k zone=a:64k rate=1r/m;
        limit_req_zone $arg_k zone=b:64k rate=1r/s;
    """ + server("location /minute { limit_req zone=a burst=9; }"
                 "location /second { limit_req zone=b burst=9; } location / { }"))
    engine = both.engine
    with engine.connect() as waits:
        assert b" 404 " in engine.raw(request("/minute?k=1"))
        waits.sendall(request("/minute?k=1"))
        assert engine.ask(request("/a.txt")).status.endswith("200 OK")
        waits.settimeout(0)
        with pytest.raises(BlockingIOError):
            waits.recv(1)
    begun = time.monotonic()
    assert all(b" 404 " in engine.raw(request("/second?k=1")) for _ in range(2))
    assert time.monotonic() - begun > 0.9


def test_limit_conn(pair):
    both = pair("limit_conn_zone $arg_k zone=c:64k;" + server("""
        location / { limit_conn c 2; limit_conn_status 429; client_max_body_size 0;
                     limit_rate $arg_rate; }
    """))
    for one in (both.engine, both.nginx):
        slow = [one.connect() for _ in range(2)]
        for client in slow:
            client.sendall(request("/data.bin?k=x&rate=10"))
            assert client.recv(10)
        assert one.ask(request("/a.txt?k=x")).status.startswith("HTTP/1.1 429")
        assert one.ask(request("/a.txt?k=y")).status.endswith("200 OK")
        for client in slow:
            client.close()


def test_limit_rate(pair):
    both = pair(server("""
        location /after/ { alias FOLDER/www/; limit_rate 1000; limit_rate_after 4000; }
        location /rate/ { alias FOLDER/www/; limit_rate 2000; }
        location /set/ { alias FOLDER/www/; set $limit_rate 100k; }
    """))
    for one in (both.engine, both.nginx):
        for target, least in (("/rate/data.bin", 0.1), ("/after/data.bin", 0.0),
                              ("/set/data.bin", 0.0)):
            begun = time.monotonic()
            assert one.ask(request(target)).body == b"x" * 5000
            assert time.monotonic() - begun >= least, (one.name, target)


def test_all_workers_count_together(tmp_path):
    (tmp_path / "www").mkdir()
    engine = Server("engine", [str(program("mw-engine"))], tmp_path / "engine", """
        limit_req_zone $arg_k zone=a:64k rate=1r/m;
        limit_conn_zone $arg_k zone=c:64k;
    """ + server("""
        location /pid { return 200 $pid; }
        location /req { limit_req zone=a burst=9 nodelay; test_handler echo x; }
        location /conn { limit_conn c 1; test_handler delay x; }
    """), workers=2)

    def held() -> bytes:
        return engine.ask(request("/conn?k=1")).status.encode()
    try:
        pids: set[bytes] = set()

        def both_seen() -> bool:
            pids.add(engine.ask(request("/pid")).body)
            return len(pids) == 2
        assert wait_until(both_seen, PATIENCE_S), "one worker answers all connections"
        statuses = [engine.ask(request("/req?k=1")).status for _ in range(60)]
        assert sum(status.endswith("200 OK") for status in statuses) == 10
        with engine.connect() as client:
            client.sendall(request("/conn?k=1&ms=60000"))
            assert wait_until(lambda: b" 503 " in held(), PATIENCE_S)
            # Whoever holds it dies; what it held does not count any more.
            for pid in pids:
                os.kill(int(pid), signal.SIGKILL)
            assert wait_until(lambda: b" 200 " in held(), PATIENCE_S)
    finally:
        engine.stop()
