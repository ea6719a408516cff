"""What happens to processes: respawn, reload, requests lost in reloads; and what an idle connection
costs. For servers with a master and workers; idle connections for all."""

import os
import pathlib
import re
import resource
import signal
import socket
import ssl
import subprocess
import time

from servers import answers, pinned, until
from table import figure

TICK = os.sysconf("SC_CLK_TCK")
IDLE_CONNECTIONS = 5000
RELOADS = 100


def masters(servers):
    return [s for s in servers if not s.one_process]


def age_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    uptime = float(pathlib.Path("/proc/uptime").read_text().split()[0])
    return uptime - int(fields[19]) / TICK


def respawn_ms(server):
    """Kill the only worker; milliseconds until a client is answered again. The worker has served
    for a while: one that dies soon after its start is replaced with a delay on purpose."""
    victim = server.workers()[0]
    until(lambda: age_s(victim) > 1.2, f"{server.name}: its worker is grown up")
    start = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    until(lambda: answers(server.port), f"{server.name} answers after its worker was killed")
    return (time.monotonic() - start) * 1e3


def served_by(server):
    """The pid of the worker that takes a new connection; None: nobody answered."""
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as s:
            s.sendall(b"GET /pid HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            text = b"".join(iter(lambda: s.recv(4096), b""))
            return int(text.rsplit(b"\r\n", 1)[1])
    except (OSError, ValueError):
        return None


def reload_ms(server):
    """HUP; milliseconds until the last new connection that an old worker took."""
    old = set(server.workers())
    start = last = time.monotonic()
    server.process.send_signal(signal.SIGHUP)
    while old & set(server.workers()):
        began = time.monotonic()
        if served_by(server) in old:
            last = began
        if began - start > 20:
            raise SystemExit(f"bench: {server.name}: old workers stay after a reload")
    return (last - start) * 1e3


def alternate(servers, rounds, once, unit):
    seen = {s.name: [] for s in servers}
    for _ in range(rounds):
        for server in servers:
            seen[server.name].append(once(server))
    return {name: {unit: figure(values)} for name, values in seen.items()}


def lost(server):
    """Requests that failed while wrk had 32 under way through 100 reloads."""
    wrk = subprocess.Popen(pinned(1, ["wrk", "-t1", "-c32", "-d60", server.url("/")]),
                           stdout=subprocess.PIPE, text=True)
    try:
        for _ in range(RELOADS):
            old = set(server.workers())
            server.process.send_signal(signal.SIGHUP)
            until(lambda: set(server.workers()) - old, f"{server.name}: a new worker")
    finally:
        wrk.send_signal(signal.SIGINT)  # it ends, and says what it saw
    text = wrk.communicate(timeout=30)[0]
    errors = re.search(r"connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    failed = sum(map(int, errors.groups())) if errors else 0
    return failed + (int(bad.group(1)) if bad else 0)


def resident_bytes(pids):
    total = 0
    for pid in pids:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += 1024 * sum(map(int, re.findall(r"^Private_\w+:\s+(\d+) kB", text, re.M)))
    return total


def hold(server, tls):
    """Idle keep-alive connections, each of which has been answered once."""
    context = ssl._create_unverified_context() if tls else None
    request = b"GET /bytes/100 HTTP/1.1\r\nHost: bench\r\n\r\n"
    held = []
    for _ in range(IDLE_CONNECTIONS):
        s = socket.create_connection(("127.0.0.1", server.port_tls if tls else server.port), 10)
        if tls:
            s = context.wrap_socket(s)
        s.sendall(request)
        if not s.recv(4096).startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"bench: {server.name}: an idle connection got no answer")
        held.append(s)
    return held


def idle_bytes(server, tls=False):
    """Private memory of the worker for one idle connection, beyond what it had before."""
    until(lambda: answers(server.port), f"{server.name} answers")
    pids = server.workers()
    before = resident_bytes(pids)
    held = hold(server, tls)
    grown = resident_bytes(pids) - before
    for s in held:
        s.close()
    return grown / IDLE_CONNECTIONS


def fresh(server):
    """A worker that has held no connections yet, where that can be had."""
    if not server.one_process:
        old = set(server.workers())
        server.process.send_signal(signal.SIGHUP)
        until(lambda: (now := set(server.workers())) and not now & old,
              f"{server.name}: old workers gone")


def measure_idle(servers, tls):
    need = IDLE_CONNECTIONS + 200
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < need:
        resource.setrlimit(resource.RLIMIT_NOFILE, (need, max(hard, need)))
    results = {}
    for server in servers:
        if (tls and "tls" in server.lacks) or server.name == "floor":
            continue
        fresh(server)
        results[server.name] = {"bytes": figure([idle_bytes(server, tls)])}
    return results


ROWS = {
    "idle connection": lambda servers, rounds: measure_idle(servers, False),
    "idle TLS conn.": lambda servers, rounds: measure_idle(servers, True),
    "respawn": lambda servers, rounds: alternate(masters(servers), rounds * 2, respawn_ms, "ms"),
    "reload": lambda servers, rounds: alternate(masters(servers), rounds * 2, reload_ms, "ms"),
    "lost in reloads": lambda servers, rounds: alternate(masters(servers), 1, lost, "requests"),
}
