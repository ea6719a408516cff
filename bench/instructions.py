"""Counts the engine's own instructions for a request, with callgrind: the kernel's are not in it,
and the same binary gives the same figure whatever else the machine is doing.

    bench/instructions.py [--path /bytes/100 | --path /proxy] [--top 30]
"""

import argparse
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile

from servers import HUNDRED, Floor, free_port, until

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = pathlib.Path(os.environ.get("MW_BIN", ROOT / "build/bin"))
CONNECTIONS, FEW, MANY = 32, 5, 105
CONF = """
daemon off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log crit; worker_watchdog 0;
events {{ worker_connections 256; }}
http {{ access_log off; keepalive_requests 100000000; sendfile on;
    upstream floor {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 100000000; }}
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "{hundred}"; }}
              location /bytes/ {{ root {dir}; }}
              location /proxy {{ proxy_pass http://floor; proxy_http_version 1.1;
                                proxy_set_header Connection ""; }} }} }}
"""


def connected(port, process):
    if process.poll() is not None:
        sys.exit(f"instructions: the engine ended with {process.returncode} below valgrind")
    try:
        return socket.create_connection(("127.0.0.1", port), timeout=10)
    except OSError:
        return None


def load(first, port, path, rounds):
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    clients = [first] + [socket.create_connection(("127.0.0.1", port), timeout=10)
                         for _ in range(CONNECTIONS - 1)]
    for _ in range(rounds):
        for client in clients:
            client.sendall(request)
        for client in clients:
            if not client.recv(65536).startswith(b"HTTP/1.1 200"):
                sys.exit(f"instructions: {path} was not answered with 200")
    for client in clients:
        client.close()


def run(folder, path, rounds, backend):
    """(instructions of the worker, its callgrind file) for a run with so many rounds."""
    port = free_port()
    conf = folder / "c.conf"
    conf.write_text(CONF.format(dir=folder, port=port, hundred=HUNDRED, backend=backend))
    for old in folder.glob("out.*"):
        old.unlink()
    process = subprocess.Popen(
        ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out.%p",
         "--trace-children=yes", BIN / "mw-engine", "-c", conf, "-p", f"{folder}/"],
        stderr=subprocess.DEVNULL)
    try:
        load(until(lambda: connected(port, process), "the engine answers", 60), port, path, rounds)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
    counted = [(int(re.search(r"^(?:totals|summary): (\d+)", out.read_text(), re.M).group(1)), out)
               for out in folder.glob("out.*")]
    return max(counted)


def by_function(out):
    text = subprocess.run(["callgrind_annotate", "--threshold=100", out],
                          capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^\s*([\d,]+) \([ \d.]+%\)\s+(\S+?):(\S+)", text, re.M)
    return {(file, function): int(count.replace(",", "")) for count, file, function in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--path", default="/", help="/ (default), /bytes/100 or /proxy")
    parser.add_argument("--top", type=int, default=0, help="also the functions that cost most")
    args = parser.parse_args()
    requests = (MANY - FEW) * CONNECTIONS
    floor = Floor(str(BIN / "mw-floor"))
    with contextlib.closing(floor), tempfile.TemporaryDirectory(prefix="mw-bench-") as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)
        (folder / "bytes").mkdir()
        (folder / "bytes/100").write_bytes(b"x" * 100)
        few, out = run(folder, args.path, FEW, floor.port)
        before = by_function(out) if args.top else {}
        many, out = run(folder, args.path, MANY, floor.port)
        print(f"{args.path}: {(many - few) / requests:.0f} instructions a request")
        after = by_function(out) if args.top else {}
    each = {key: (count - before.get(key, 0)) / requests for key, count in after.items()}
    for (file, function), count in sorted(each.items(), key=lambda row: -row[1])[:args.top]:
        print(f"{count:8.0f}  {function:36} {pathlib.Path(file).name}")


if __name__ == "__main__":
    main()
