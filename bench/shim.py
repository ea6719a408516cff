"""Measures what the shim costs a server: nginx plain, below the shim with nothing armed, and with a
rule armed that never fires, in alternating rounds of one run.

A figure is the median of CPU per request; the cost is the median of the rounds taken pairwise.
"""

import argparse
import pathlib
import shutil
import statistics
import subprocess
import tempfile

from bench import BIN, ROWS, Server, wrk

PLANS = {"nothing armed": [], "a rule armed": ["--plan", "time.sleep delay=1s after=1000000000"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9, help="rounds for each row (default 9)")
    parser.add_argument("--seconds", type=int, default=2, help="seconds of load in a round")
    args = parser.parse_args()
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    if not pathlib.Path(nginx).exists():
        raise SystemExit("bench: nginx is not installed (apt-get install nginx-light)")
    with tempfile.TemporaryDirectory(prefix="mw-bench-") as boards:
        servers = [Server("plain", [nginx], 1)]
        for number, (name, plan) in enumerate(PLANS.items()):
            board = f"{boards}/{number}"
            servers.append(Server(name, [str(BIN / "mw-fault"), "run", "--board", board, *plan,
                                         "--", nginx], 1))
        try:
            measure(servers, args.rounds, args.seconds)
        finally:
            for server in servers:
                server.stop()


def measure(servers, rounds, seconds):
    print(f"{'CPU us per request':20}" + "".join(f"{s.name:>16}{'':9}" for s in servers))
    for row, path, extra in ROWS:
        costs = {server.name: [] for server in servers}
        for _ in range(rounds):
            for server in servers:
                costs[server.name].append(wrk(server, path, extra, seconds)[1])
        line = f"{row:20}"
        for server in servers:
            ratios = [a / b for a, b in zip(costs[server.name], costs["plain"])]
            line += f"{statistics.median(costs[server.name]):16.3f}"
            line += f" {(statistics.median(ratios) - 1) * 100:+6.1f} %"
        print(line, flush=True)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"bench: {error.cmd[0]}: {error.stderr}") from None
