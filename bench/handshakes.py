"""Server CPU for a TLS handshake, of one protocol and full or resumed, in alternating rounds.

wrk resumes sessions where it can, and a server's default protocols decide which: its row compares
what is not the same. Here each connection is a handshake of the same kind, one request, the end.

    bench/handshakes.py [--rounds 5] [--seconds 2] [--peer nginx]
"""

import argparse
import os
import pathlib
import re
import statistics
import subprocess

from bench import cpu_seconds
from servers import Engine, Floor, Missing, PEERS, pinned

BIN = pathlib.Path(os.environ.get("MW_BIN", pathlib.Path(__file__).resolve().parent.parent
                                  / "build/bin"))
CLIENTS = 8
ROWS = [(version, kind) for version in ("1.3", "1.2") for kind in ("full", "resumed")]


def cpu_us(server, version, kind, seconds):
    """Of one handshake with its request; a server that resumes less than asked is refused."""
    pids = server.workers()
    before = cpu_seconds(pids)
    out = subprocess.run(
        pinned(1, [BIN / "mw-handshakes", str(server.port_tls), str(seconds), str(CLIENTS), kind,
                   version]), capture_output=True, text=True, check=True).stdout
    used = cpu_seconds(pids) - before
    count, resumed, _ = (int(number) for number in re.findall(r"\d+", out))
    if kind == "resumed" and resumed < count - CLIENTS:
        raise SystemExit(f"handshakes: {server.name} resumed only {resumed} of {count}")
    return used * 1e6 / count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of load in a round")
    parser.add_argument("--peer", action="append", default=[],
                        help="only this server beside the engine (may be repeated)")
    args = parser.parse_args()
    floor = Floor(str(BIN / "mw-floor"))
    servers = [Engine(floor.port, str(BIN / "mw-engine"))]
    try:
        for peer in PEERS:
            if peer.tls and (not args.peer or peer.name in args.peer):
                try:
                    servers.append(peer(floor.port))
                except Missing:
                    print(f"handshakes: {peer.name} is not installed: measured without it")
        for version, kind in ROWS:
            seen = {server.name: [] for server in servers}
            for turn in range(args.rounds):
                for server in servers if turn % 2 == 0 else reversed(servers):
                    seen[server.name].append(cpu_us(server, version, kind, args.seconds))
            for name, figures in seen.items():
                print(f"TLS {version} {kind:8} {name:10} {statistics.median(figures):7.0f} us"
                      f"   {min(figures):.0f} to {max(figures):.0f}")
    finally:
        for server in [*servers, floor]:
            server.close()


if __name__ == "__main__":
    main()
