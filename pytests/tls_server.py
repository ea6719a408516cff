"""What the tests of TLS share: a server (the engine, or nginx beside it) and clients for it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from masterwork.paths import program
from masterwork.ports import Port
from masterwork.tree import processes, wait_until

PATIENCE_S = 20.0


def until(condition: Callable[[], object], what: str) -> None:
    assert wait_until(lambda: bool(condition()), PATIENCE_S), f"not within {PATIENCE_S} s: {what}"


class Server:
    """One server in a folder of its own. `http` is what stands in the http block; PORT0 to PORT3
    in it become free ports."""

    def __init__(self, folder: Path, kind: str = "engine") -> None:
        self.folder = folder
        self.kind = kind
        self.ports = [Port() for _ in range(4)]
        self.process: subprocess.Popen[str] | None = None
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("MW_")}
        (folder / "logs").mkdir(parents=True)

    def write(self, http: str, main: str = "", workers: int = 2, connections: int = 64
              ) -> None:
        for index, port in enumerate(self.ports):
            http = http.replace(f"PORT{index}", str(port.number))
        # Run folders are private: workers stay who the master is.
        user = "user root;" if os.geteuid() == 0 and "user " not in main else ""
        (self.folder / "server.conf").write_text(
            f"pid server.pid;\nerror_log logs/error.log info;\nworker_processes {workers};\n"
            f"{user} {main}\nevents {{ worker_connections {connections}; }}\n"
            f"http {{ access_log off;\n{http}\n}}\n")

    def argv(self, *more: str) -> list[str]:
        name = str(program("mw-engine")) if self.kind == "engine" else shutil.which("nginx")
        return [str(name), "-p", f"{self.folder}/", "-c", f"{self.folder}/server.conf", *more]

    def start(self, port: int = 0) -> None:
        """Starts it and waits until it accepts on the first port (or `port`)."""
        with open(self.folder / "out", "ab") as out:
            self.process = subprocess.Popen(self.argv("-g", "daemon off;"), env=self.environment,
                                            stdout=out, stderr=out, start_new_session=True,
                                            text=True)
        until(lambda: self.accepts(port or self.port()) or self.process.poll() is not None,
              "the server accepts")
        assert self.process.poll() is None, self.log()

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(*more), env=self.environment, text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)

    def port(self, index: int = 0) -> int:
        return self.ports[index].number

    @staticmethod
    def accepts(port: int) -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return True
        except OSError:
            return False

    def reload(self) -> None:
        """Returns when a new configuration serves."""
        assert self.kind == "engine"
        done = self.run("-s", "reload", "--wait")
        assert done.returncode == 0, done.stdout + self.log()

    def arm(self, plan: str) -> None:
        """Arms a plan on the engine's fault board, before the start."""
        board = str(self.folder / "board")
        self.environment["MW_FAULT_BOARD"] = board
        done = subprocess.run([str(program("mw-fault")), "arm", "--board", board, plan], text=True,
                              timeout=60, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False)
        assert done.returncode == 0, done.stdout

    def log(self) -> str:
        files = [self.folder / "logs/error.log", self.folder / "out"]
        return "".join(f.read_text() for f in files if f.exists())

    def pids(self) -> list[int]:
        return [p.pid for p in processes() if p.state not in "ZX" and self.process
                and group_of(p.pid) == self.process.pid]

    def close(self) -> None:
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process:
            self.process.wait()
        until(lambda: not self.pids(), "every process is gone")
        for port in self.ports:
            port.close()


def group_of(pid: int) -> int:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return 0


# ---- clients -------------------------------------------------------------------------------------

def context(authority: Path | None = None, version: str = "", ciphers: str = "",
            pair: object = None) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    if authority:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(authority)
    if version:
        made.minimum_version = made.maximum_version = getattr(ssl.TLSVersion, version)
    if ciphers:
        made.set_ciphers(ciphers)
    if pair:
        made.load_cert_chain(pair.certificate, pair.key)
    return made


@dataclass
class Answer:
    status: int
    head: str
    body: bytes
    certificate: bytes      # of the server, as der() has it
    session: object
    reused: bool
    cipher: str


def connect(port: int, how: ssl.SSLContext, name: str = "", session: object = None,
            before: bytes = b"") -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
    raw.sendall(before)
    return how.wrap_socket(raw, server_hostname=name or None, session=session,
                           suppress_ragged_eofs=False)


def read_answer(stream: socket.socket) -> tuple[int, str, bytes]:
    """One answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = stream.recv(65536)
        assert piece, f"the connection ended in the head: {data!r}"
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    length = next(int(l.split(":")[1]) for l in lines if l.lower().startswith("content-length"))
    while len(body) < length:
        piece = stream.recv(65536)
        assert piece, f"the connection ended after {len(body)} of {length} bytes"
        body += piece
    return int(lines[0].split()[1]), head.decode(), body


def der(pair: object) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())


def get(port: int, path: str = "/", how: ssl.SSLContext | None = None, name: str = "",
        host: str = "", session: object = None, before: bytes = b"") -> Answer:
    """One request on a connection of its own, which the server must close with TLS's goodbye."""
    with connect(port, how or context(), name, session, before) as stream:
        stream.sendall(f"GET {path} HTTP/1.1\r\nHost: {host or name or 'localhost'}\r\n"
                       "Connection: close\r\n\r\n".encode())
        status, head, body = read_answer(stream)
        assert stream.recv(1) == b""
        return Answer(status, head, body, stream.getpeercert(True), stream.session,
                      stream.session_reused, stream.cipher()[0])
