"""What the main level says about the worker processes shows in the processes."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

import pytest

from test_master import Engine, children, engine, until  # noqa: F401  (engine is a fixture)


def worker(engine: Engine) -> int:
    return engine.status()["workers"][0]["pid"]


def limits(pid: int) -> dict[str, str]:
    """Soft limits by their names."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    return {line[:26].strip(): line[26:].split()[0] for line in lines}


def test_limits_priority_and_folder_of_workers(engine: Engine) -> None:
    folder = engine.folder / "cores"
    folder.mkdir()
    engine.write(workers=1, main=f"""worker_rlimit_nofile 500; worker_rlimit_core 0;
        working_directory {folder}; worker_priority 5; pcre_jit off; keepalive_handover off;""")
    master = engine.start()
    pid = worker(engine)
    found = limits(pid)
    assert (found["Max open files"], found["Max core file size"]) == ("500", "0")
    assert Path(f"/proc/{pid}/cwd").resolve() == folder.resolve()
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, master) + 5
    assert limits(master)["Max open files"] != "500"


def test_the_environment_is_what_is_configured(engine: Engine) -> None:
    """The library that knows the time zone reads it from the worker's environment."""
    engine.environment["TZ"] = "AAA+2"
    engine.write(workers=1, server="location = /time { return 200 $time_iso8601; }")
    engine.start()
    assert engine.get("/time").endswith(b"-02:00")
    engine.write(workers=1, main="env TZ=BBB-3;",
                 server="location = /time { return 200 $time_iso8601; }")
    assert engine.run("-s", "reload", "--wait").returncode == 0
    assert engine.get("/time").endswith(b"+03:00")


def test_the_wait_before_a_worker_is_replaced(engine: Engine) -> None:
    """A first death is made good at once, one that follows soon waits: here for as good as ever."""
    engine.arm()
    engine.write(workers=2, main="worker_respawn_backoff 1h 2h; reload_timeout 10s;")
    master = engine.start()
    until(lambda: len(children(master)) == 2, "two workers")
    engine.arm("worker.boot crash=SEGV slot=1")
    os.kill(next(row["pid"] for row in engine.status()["workers"] if row["slot"] == 1),
            signal.SIGKILL)
    until(lambda: engine.status()["master"]["crashes"] >= 2, "its replacement died at its start")
    engine.arm()
    crashes = engine.status()["master"]["crashes"]
    for _ in range(20):
        assert engine.status()["master"]["crashes"] == crashes and len(children(master)) == 1
    engine.write(workers=2)
    assert engine.run("-s", "reload", "--wait").returncode == 0  # and that ends the wait
    until(lambda: len(children(master)) == 2, "two workers")


def test_so_many_generations_live_at_once(engine: Engine) -> None:
    """A reload that would make one more waits until the oldest has gone."""
    slow = "location = /slow { test_handler delay; }"
    engine.write(workers=1, main="reload_generations 2;", server=slow)
    engine.start()
    with socket.create_connection(("127.0.0.1", engine.port.number), 20) as client:
        client.sendall(b"GET /slow?ms=3600000 HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: engine.status()["total"]["writing"] == 2, "the slow request is under way")
        label = engine.write(workers=1, main="reload_generations 2;", server=slow)
        assert engine.run("-s", "reload", "--wait").returncode == 0 and engine.answer() == label
        engine.write(workers=1, main="reload_generations 2;")
        assert engine.run("-s", "reload").returncode == 0
        until(lambda: engine.status()["master"]["reloads_asked"] == 2, "the second is asked for")
        assert engine.answer() == label and len(children(engine.named())) == 2
    until(lambda: engine.answer() == label + 1, "the second reload, once the client has gone")


@pytest.mark.parametrize("setting, crashes", [("on", 1), ("off", 0)])
def test_fault_points_may_be_off(engine: Engine, setting: str, crashes: int) -> None:
    engine.arm("worker.request crash=SEGV nth=3")
    engine.write(workers=1, main=f"fault_points {setting};")
    engine.start()
    for _ in range(6):
        engine.answer()
    until(lambda: engine.answer() is not None, "it serves")
    assert engine.status()["master"]["crashes"] == crashes


@pytest.mark.parametrize("setting", ["on", "off"])
def test_many_connections_at_once(engine: Engine, setting: str) -> None:
    text = (engine.folder / "server.conf").read_text()
    events = (f"events {{ worker_connections 64; multi_accept {setting}; use epoll;"
              f"accept_mutex {setting}; accept_mutex_delay 100ms; }}")
    (engine.folder / "server.conf").write_text(
        text.replace("events { worker_connections 64; }", events))
    engine.start()
    clients = [socket.create_connection(("127.0.0.1", engine.port.number), 20) for _ in range(40)]
    for client in clients:
        client.sendall(b"GET /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    for client in clients:
        with client:
            assert b" 200 OK\r\n" in b"".join(iter(lambda: client.recv(4096), b""))


def test_several_error_logs_of_the_main_level(engine: Engine) -> None:
    """Master and workers write to all of them; they come, go and are opened anew together."""
    extra, warnings = engine.folder / "logs/extra.log", engine.folder / "logs/warnings.log"
    engine.write(workers=1, main="error_log logs/extra.log info; error_log logs/warnings.log warn;")
    master = engine.start()
    for log in (engine.folder / "logs/error.log", extra):
        assert "start worker processes" in log.read_text()
    with socket.create_connection(("127.0.0.1", engine.port.number), 20) as client:
        client.sendall(b"GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert b" 404 " in client.recv(1000)
    for log in (engine.folder / "logs/error.log", extra, warnings):
        assert log.read_text().count('/none" failed (2: No such file') == 1, log
    assert "[notice]" not in warnings.read_text()
    extra.rename(extra.with_suffix(".1"))
    os.kill(master, signal.SIGUSR1)
    until(extra.exists, "the log is opened anew")
    engine.write(workers=1)
    before = extra.with_suffix(".1").read_text()
    assert engine.run("-s", "reload", "--wait").returncode == 0
    assert "reload ok" not in extra.read_text() and "reload ok" in engine.log()
    assert extra.with_suffix(".1").read_text() == before


def test_a_machine_without_descriptors_blames_no_server(engine: Engine) -> None:
    """The request fails, and the server behind is asked again as soon as there is one."""
    engine.arm("net.socket errno=EMFILE role=worker times=3")
    address = f"127.0.0.1:{engine.port.number}"
    engine.write(workers=1, server=f"""server_name first; }}
        upstream behind {{ server {address} fail_timeout=1h; server {address} fail_timeout=1h; }}
        server {{ listen {address} default_server;
                  location = /pass {{ proxy_pass http://behind/echo; }}""")
    engine.start()
    for _ in range(3):
        with pytest.raises(AssertionError):
            engine.get("/pass")
    assert engine.get("/pass") == engine.get("/echo")
    assert engine.log().count("no connection can be made (24: Too many open files)") == 3
    assert "temporarily disabled" not in engine.log() and "no live upstreams" not in engine.log()
