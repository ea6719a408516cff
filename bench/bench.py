"""Measures the engine beside nginx, in alternating rounds of one run.

A figure is a median of the rounds with its spread. CPU is what the server's processes used, from
/proc, divided by the requests wrk counted: steadier than throughput, since wrk is often slower than
the server. Ratios of one run mean something; absolute figures belong to the machine they were
measured on. Servers listen on loopback, every load ends by itself.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("MW_BIN", ROOT / "build/bin"))
TICK = os.sysconf("SC_CLK_TCK")

CONF = """
daemon off; worker_processes {workers}; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 100000000; sendfile on;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "{hundred}"; }}
        location /files/ {{ root {dir}; }}
    }}
}}
"""

# name, path, wrk's extra arguments
ROWS = [
    ("return 100 B", "/", []),
    ("static 100 B", "/files/100", []),
    ("static 64 KiB", "/files/65536", []),
    ("new connections", "/", ["-H", "Connection: close"]),
]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def children(pid):
    text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def until(condition, what, bound_s=10.0):
    """Polls until condition() is true; past the bound it is an error that says what was awaited."""
    end = time.monotonic() + bound_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise SystemExit(f"bench: {what}: not within {bound_s} s")
        time.sleep(0.0005)


def answers(port):
    """One request on a new connection: True if it was answered."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            s.sendall(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")
            return s.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


class Server:
    """One server in the foreground with `workers` workers; pinned to the first CPU."""

    def __init__(self, name, argv, workers):
        self.name = name
        self.port = free_port()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="mw-bench-"))
        self.dir.chmod(0o755)  # workers may run as another user
        (self.dir / "files").mkdir()
        for size in (100, 65536):
            (self.dir / "files" / str(size)).write_bytes(b"x" * size)
        self.conf = self.dir / "server.conf"
        self.conf.write_text(CONF.format(workers=workers, port=self.port, dir=self.dir,
                                         hundred="x" * 100))
        pin = ["taskset", "-c", "0"] if (os.cpu_count() or 1) > 1 else []
        self.process = subprocess.Popen([*pin, *argv, "-c", str(self.conf), "-p", f"{self.dir}/"],
                                        stderr=subprocess.DEVNULL)
        until(lambda: answers(self.port), f"{name} answers")

    def workers(self):
        return children(self.process.pid)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=10)
        shutil.rmtree(self.dir)


def wrk(server, path, extra, seconds):
    """Requests per second, and CPU microseconds per request of the workers."""
    pids = server.workers()
    before = cpu_seconds(pids)
    pin = ["taskset", "-c", "1"] if (os.cpu_count() or 1) > 1 else []
    out = subprocess.run([*pin, "wrk", "-t1", "-c32", f"-d{seconds}", *extra,
                          f"http://127.0.0.1:{server.port}{path}"],
                         capture_output=True, text=True, check=True).stdout
    used = cpu_seconds(pids) - before
    count = int(re.search(r"(\d+) requests in", out).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if bad:
        raise SystemExit(f"bench: {server.name} {path}: {bad.group(1)} answers were not 2xx")
    return rate, used * 1e6 / max(count, 1)


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


def reload_ms(server):
    """HUP; milliseconds until no worker of the old generation is left."""
    old = set(server.workers())
    start = time.monotonic()
    server.process.send_signal(signal.SIGHUP)
    until(lambda: not old & set(server.workers()) and server.workers(),
          f"{server.name}: old workers gone after a reload")
    return (time.monotonic() - start) * 1e3


def figure(values):
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "rounds": len(values)}


def measure(servers, rounds, seconds):
    results = {}
    for name, path, extra in ROWS:
        rates = {s.name: [] for s in servers}
        cpus = {s.name: [] for s in servers}
        for _ in range(rounds):
            for server in servers:
                rate, cpu = wrk(server, path, extra, seconds)
                rates[server.name].append(rate)
                cpus[server.name].append(cpu)
        results[name] = {s.name: {"requests_per_s": figure(rates[s.name]),
                                  "cpu_us_per_request": figure(cpus[s.name])} for s in servers}
    for name, once, unit in (("respawn", respawn_ms, "ms"), ("reload", reload_ms, "ms")):
        values = {s.name: [] for s in servers}
        for _ in range(rounds * 4):
            for server in servers:
                values[server.name].append(once(server))
        results[name] = {s.name: {unit: figure(values[s.name])} for s in servers}
    return results


def show(results, names):
    print(f"{'':18}{'':22}" + "".join(f"{n:>12}" for n in names) + f"{'ratio':>9}")
    for row, by_server in results.items():
        for measure_name in next(iter(by_server.values())):
            medians = [by_server[n][measure_name]["median"] for n in names]
            ratio = f"{medians[0] / medians[1]:9.2f}" if len(names) > 1 and medians[1] else ""
            print(f"{row:18}{measure_name:22}" + "".join(f"{m:12.2f}" for m in medians) + ratio)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds for each row (default 5)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of load in a round")
    args = parser.parse_args()
    servers = [Server("mw-engine", [str(BIN / "mw-engine")], 1)]
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if pathlib.Path(nginx).exists():
        servers.append(Server("nginx", [nginx], 1))
    else:
        print("bench: nginx is not installed: the engine is measured alone", file=sys.stderr)
    try:
        results = measure(servers, args.rounds, args.seconds)
    finally:
        for server in servers:
            server.stop()
    names = [s.name for s in servers]
    show(results, names)
    out = ROOT / "build/bench/results.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"cpus": os.cpu_count(), "kernel": os.uname().release,
                               "results": results}, indent=1))
    print(f"results: {out.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
