"""Measures what the shim costs a server while nothing is armed: nginx plain, plain once more (what
the measurement itself is worth), below the shim, and with a rule armed that no call asks about.

Short rounds, the four servers one after the other in turning order. A cost is the median, over the
rounds, of a server's CPU time per request divided by plain's in the same round; behind it stand the
quartiles. With --instructions the worker's instructions per request are counted by callgrind
instead: exact, whatever else the machine does, but of user space only.
"""

import argparse
import contextlib
import http.client
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("MW_BIN", ROOT / "build/bin"))
RUN = [str(BIN / "mw-fault"), "run", "--board", "board"]
NEVER = ["--plan", "time.sleep delay=1s after=1000000000"]
SERVERS = {"plain": [], "plain again": [], "shim": [*RUN, "--"],
           "shim, a rule armed": [*RUN, *NEVER, "--"]}
CLOSE = ("-H", "Connection: close")
ROWS = [("return 100 B", "/", ()), ("static 4 KiB", "/file", ()),
        ("new connections", "/", CLOSE)]
CONFIG = """
daemon off; {processes} worker_cpu_affinity 01; pid server.pid; error_log error.log; {user}
events {{ worker_connections 256; }}
http {{
    access_log off; keepalive_requests 1000000000; sendfile on;
    client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4;
    scgi_temp_path t5;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "{body}"; }}
        location = /file {{ root .; }}
    }}
}}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx:
    """One nginx in a folder of its own, with a master or as a single process."""

    def __init__(self, folder, name, before, single=False):
        self.name, self.folder, self.port = name, pathlib.Path(folder) / name, free_port()
        self.folder.mkdir()
        user = "user root;" if os.geteuid() == 0 else ""
        processes = "master_process off;" if single else "worker_processes 1;"
        (self.folder / "server.conf").write_text(CONFIG.format(
            port=self.port, user=user, processes=processes, body="x" * 100))
        (self.folder / "file").write_bytes(b"x" * 4096)
        nginx = shutil.which("nginx") or "/usr/sbin/nginx"
        with open(self.folder / "out", "wb") as out:
            self.process = subprocess.Popen([*before, nginx, "-p", ".", "-c", "server.conf"],
                                            cwd=self.folder, stdout=out, stderr=out)
        self.wait()

    def wait(self):
        until = time.monotonic() + 30
        while time.monotonic() < until and self.process.poll() is None:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            time.sleep(0.01)
        raise SystemExit(f"bench: {self.name}: {(self.folder / 'out').read_text()}")

    def cpu_s(self):
        """What the workers have used, from the scheduler's own count."""
        pid = self.process.pid
        workers = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return sum(int(pathlib.Path(f"/proc/{worker}/schedstat").read_text().split()[0])
                   for worker in workers) / 1e9

    def stop(self):
        """A single nginx may just have looked for signals, and then waits for a client."""
        self.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 30
        while self.process.poll() is None:
            if time.monotonic() > until:
                self.process.kill()
                raise SystemExit(f"bench: {self.name} does not end")
            time.sleep(0.2)
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), 1).close()


def cost_us(server, path, extra, seconds):
    before = server.cpu_s()
    out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", "-c16", f"-d{seconds}s", *extra,
                          f"http://127.0.0.1:{server.port}{path}"], capture_output=True, text=True,
                         check=True).stdout
    if "Non-2xx" in out:
        raise SystemExit(f"bench: {server.name} {path}: {out}")
    return (server.cpu_s() - before) * 1e6 / int(re.search(r"(\d+) requests in", out)[1])


def measure(folder, rows, rounds, seconds):
    servers = [Nginx(folder, name, before) for name, before in SERVERS.items()]
    print(f"{'CPU per request':18}" + "".join(f"{s.name:>26}" for s in servers))
    for row, path, extra in rows:
        costs = {server.name: [] for server in servers}
        for turn in range(rounds):
            turned = servers[turn % 4:] + servers[:turn % 4]
            for server in turned if turn % 8 < 4 else turned[::-1]:
                costs[server.name].append(cost_us(server, path, extra, seconds))
        line = f"{row:18}{statistics.median(costs['plain']):23.3f} us"
        for server in servers[1:]:
            ratios = [a / b for a, b in zip(costs[server.name], costs["plain"])]
            low, middle, high = ((q - 1) * 100 for q in statistics.quantiles(ratios, n=4))
            line += f"{middle:+8.2f} % ({low:+.1f} to {high:+.1f})".rjust(26)
        print(line, flush=True)
    for server in servers:
        server.stop()


def instructions(folder, before, path, close, count):
    """Of the whole life of a server that answers `count` requests."""
    out = pathlib.Path(folder) / "callgrind"
    server = Nginx(folder, f"{count}", [*before, "valgrind", "--tool=callgrind",
                                        f"--callgrind-out-file={out}"], single=True)
    client = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    for _ in range(count):
        client.request("GET", path, headers={"Connection": "close"} if close else {})
        client.getresponse().read()
    client.close()
    server.stop()
    return int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M)[1])


def count_instructions(rows, few=100, many=1100):
    print(f"{'instructions':18}" + "".join(f"{name:>26}" for name in SERVERS))
    for row, path, extra in rows:
        found = []
        for name, before in SERVERS.items():
            counts = []
            for count in (few, many):
                with tempfile.TemporaryDirectory(prefix="mw-bench-") as folder:
                    counts.append(instructions(folder, before, path, bool(extra), count))
            found.append((counts[1] - counts[0]) / (many - few))
        print(f"{row:18}{found[0]:26.1f}" + "".join(
            f"{f'{each:.1f} ({(each / found[0] - 1) * 100:+.2f} %)':>26}" for each in found[1:]),
            flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=32, help="rounds for each row (default 32)")
    parser.add_argument("--seconds", type=int, default=1, help="seconds of load in a round")
    parser.add_argument("--row", type=int, action="append", choices=range(len(ROWS)),
                        help="only this one of the rows, from 0; may be repeated")
    parser.add_argument("--instructions", action="store_true", help="count them by callgrind")
    args = parser.parse_args()
    rows = [ROWS[i] for i in args.row or range(len(ROWS))]
    if args.instructions:
        count_instructions(rows)
        return
    with tempfile.TemporaryDirectory(prefix="mw-bench-") as folder:
        measure(folder, rows, args.rounds, args.seconds)


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"bench: {error.cmd[0]}: {error.stderr}") from None
