"""Measures the engine beside other servers and the floor, in alternating rounds of one run.

A figure is a median of the rounds with its spread. CPU is what the server's threads used, from
/proc, divided by the requests wrk counted: steadier than throughput, since wrk is often slower than
the server. Ratios of one run mean something; absolute figures belong to the machine they were
measured on. Servers listen on loopback, every load ends by itself.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

import lives
from servers import Engine, Floor, Missing, PEERS, pinned
from table import figure, plot, show

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("MW_BIN", ROOT / "build/bin"))
CLOSE = ("-H", "Connection: close")

# name, what a server must be able to do, path, over TLS, wrk's extra arguments
ROWS = [
    ("return 100 B", "return", "/", False, ()),
    ("static 100 B", "static", "/bytes/100", False, ()),
    ("static 64 KiB", "static", "/bytes/65536", False, ()),
    ("static 1 MiB", "static", "/bytes/1048576", False, ()),
    ("new connections", "", "/", False, CLOSE),
    ("proxy keep-alive", "proxy", "/proxy", False, ()),
    ("TLS requests", "tls", "/", True, ()),
    ("TLS handshakes", "tls", "/", True, CLOSE),
]


def cpu_seconds(pids):
    """On-CPU time of all threads of these processes, in seconds (nanoseconds in schedstat)."""
    total = 0
    for pid in pids:
        for stat in pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat"):
            total += int(stat.read_text().split()[0])
    return total / 1e9


def wrk(server, path, tls, extra, seconds):
    """Requests per second, and CPU microseconds per request of the server."""
    pids = server.workers()
    before = cpu_seconds(pids)
    out = subprocess.run(pinned(1, ["wrk", "-t1", "-c32", f"-d{seconds}", *extra,
                                    server.url(path, tls)]),
                         capture_output=True, text=True, check=True).stdout
    used = cpu_seconds(pids) - before
    count = int(re.search(r"(\d+) requests in", out).group(1))
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    if bad or count == 0:
        raise SystemExit(f"bench: {server.name} {path}: answers were not 2xx:\n{out}")
    return rate, used * 1e6 / count


def measure_row(servers, row, rounds, seconds):
    name, needs, path, tls, extra = row
    able = [s for s in servers if needs not in s.lacks]
    seen = {s.name: ([], []) for s in able}
    for server in able:
        server.check(path, tls)
    for turn in range(rounds):
        for server in able if turn % 2 == 0 else reversed(able):
            rate, cpu = wrk(server, path, tls, extra, seconds)
            seen[server.name][0].append(rate)
            seen[server.name][1].append(cpu)
        print(f"\r{name}: round {turn + 1} of {rounds}", end="", file=sys.stderr, flush=True)
    print(f"\r{'':40}\r", end="", file=sys.stderr)
    return {s: {"requests_per_s": figure(rates), "cpu_us_per_request": figure(cpus)}
            for s, (rates, cpus) in seen.items()}


def start(names):
    floor = Floor(str(BIN / "mw-floor"))
    servers = [Engine(floor.port, str(BIN / "mw-engine"))]
    for peer in PEERS:
        if names and peer.name not in names:
            continue
        try:
            servers.append(peer(floor.port))
        except Missing:
            print(f"bench: {peer.name} is not installed: measured without it", file=sys.stderr)
    return [*servers, floor]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds for each row (default 5)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of load in a round")
    parser.add_argument("--row", action="append", default=[],
                        help="only rows whose name contains this (may be repeated)")
    parser.add_argument("--peer", action="append", default=[],
                        help="only this server beside the engine (may be repeated)")
    args = parser.parse_args()
    servers = start(args.peer)
    wanted = lambda name: not args.row or any(part in name for part in args.row)
    results = {}
    try:
        for row in ROWS:
            if wanted(row[0]):
                results[row[0]] = measure_row(servers, row, args.rounds, args.seconds)
        for name, measure in lives.ROWS.items():
            if wanted(name):
                results[name] = measure(servers, args.rounds)
    finally:
        for server in servers:
            server.close()
    show(results, [s.name for s in servers])
    out = ROOT / "build/bench"
    out.mkdir(parents=True, exist_ok=True)
    (out / "results.json").write_text(json.dumps(
        {"cpus": os.cpu_count(), "kernel": platform.release(), "rounds": args.rounds,
         "seconds": args.seconds, "results": results}, indent=1) + "\n")
    (out / "results.svg").write_text(plot(results))
    print("results: build/bench/results.json, build/bench/results.svg")


if __name__ == "__main__":
    main()
