"""For tests of `mw-fault run`: servers below the shim, and what the history says of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from masterwork.paths import program
from masterwork.ports import Port
from masterwork.tree import become_subreaper, processes, reap, wait_until
from shim_servers import OWN_ENGINE, SERVERS

PATIENCE_S = 20.0
FIRED = re.compile(r"([\d.]+) +fault\.fired +process=(\d+)(?: slot=(\d+))?(?: gen=\d+)? "
                   r"fault_point=(\S+) (\S+) call=(\d+) firing=(\d+)")


def environment() -> dict[str, str]:
    """Nothing of a board or a history that the tests themselves may run with."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith("MW_FAULT") and name not in ("MW_HISTORY", "LD_PRELOAD")}


def wrapped(folder: Path, plans: list[str], command: list[str], seed: int = 1) -> list[str]:
    """The command line that runs a command below the shim."""
    return [str(program("mw-fault")), "run", "--board", str(folder / "board"),
            "--history", str(folder / "history"), "--seed", str(seed),
            *(word for plan in plans for word in ("--plan", plan)), "--", *command]


def run(folder: Path, plans: list[str], *command: str, seed: int = 1):
    return subprocess.run(wrapped(folder, plans, list(command), seed), capture_output=True,
                          text=True, cwd=folder, env=environment(), timeout=60)


@dataclass
class Firing:
    time_s: float
    pid: int
    slot: int
    point: str
    did: str
    call: int
    nth: int
    place: str = ""
    function: str = ""


def firings(folder: Path) -> list[Firing]:
    """What mw-history shows of the faults that fired."""
    shown = ""

    def readable() -> bool:  # a process that is just starting may have half of a file
        nonlocal shown
        done = subprocess.run([program("mw-history"), "cat", str(folder / "history")], text=True,
                              capture_output=True)
        shown = done.stdout
        return done.returncode == 0
    assert wait_until(readable, PATIENCE_S)
    found: list[Firing] = []
    last: dict[str, Firing] = {}
    for line in shown.splitlines():
        if match := FIRED.search(line):
            time_s, pid, slot, point, did, call, nth = match.groups()
            last[pid] = Firing(float(time_s), int(pid), int(slot or -1), point, did, int(call),
                               int(nth))
            found.append(last[pid])
        elif match := re.search(r"fault\.place +process=(\d+) .*=(0x[0-9a-f]+) in (\S+)", line):
            last[match[1]].place = f"{match[3]}+{match[2]}"
        elif match := re.search(r"fault\.function +process=(\d+) .*in (\S+)", line):
            last[match[1]].function = match[2]
    return found


def one(found: list[Firing]) -> Firing:
    assert len(found) == 1, found
    return found[0]


# ---- clients ------------------------------------------------------------------------------------

def receive_all(client: socket.socket) -> bytes:
    got = b""
    while piece := client.recv(4096):
        got += piece
    return got


def get_http(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
        client.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        return receive_all(client).rpartition(b"\r\n\r\n")[2].decode()


def get_fastcgi(port: int) -> str:
    """One request in the protocol of php-fpm: begin, parameters, no body; its standard output."""
    parameters = b"".join(struct.pack("BB", len(k), len(v)) + k + v for k, v in (
        (b"SCRIPT_NAME", b"/ping"), (b"SCRIPT_FILENAME", b"/ping"), (b"REQUEST_METHOD", b"GET")))
    records = [(1, struct.pack(">HB5x", 1, 0)), (4, parameters), (4, b""), (5, b"")]
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as client:
        client.sendall(b"".join(struct.pack(">BBHHBx", 1, kind, 1, len(content), 0) + content
                                for kind, content in records))
        rest, out = receive_all(client), b""
    while len(rest) >= 8:
        kind, size, padding = struct.unpack(">xBxxHBx", rest[:8])
        out += rest[8:8 + size] if kind == 6 else b""
        rest = rest[8 + size + padding:]
    return out.rpartition(b"\r\n\r\n")[2].decode() + ("\n" if out else "")


# ---- servers ------------------------------------------------------------------------------------

class Server:
    """A server below the shim, in a folder, a process group and on a port of its own."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder, self.port = name, folder, Port()
        self.kind = OWN_ENGINE if name == "engine" else SERVERS[name]
        self.process: subprocess.Popen[bytes] | None = None
        for sub in ("logs", "www", "history"):
            (folder / sub).mkdir()
            (folder / sub).chmod(0o777)  # some servers give up their rights

    @property
    def board(self) -> Path:
        return self.folder / "board"

    def program(self) -> str:
        """By its whole path: an upgrade executes the program again by the name it was given."""
        if self.name == "engine":
            return str(program("mw-engine"))
        for name in self.kind.programs:
            if found := shutil.which(name, path="/usr/sbin:/usr/bin"):
                return found
        pytest.skip(f"{self.name} is not installed (apt-get install {self.kind.package})")

    def command(self, workers: int, daemon: bool) -> list[str]:
        workers = max(workers, self.kind.least_workers)
        places = {"port": self.port.number, "workers": workers, "folder": self.folder,
                  "daemon": "on" if daemon else "off", "user": ""}
        if os.getuid() == 0:
            places["user"] = {"nginx": "user root;", "h2o": "user: root"}.get(self.name, "")
        for name, text in self.kind.files.items():
            is_template = "{port}" in text or "{{" in text
            (self.folder / name).write_text(text.format(**places) if is_template else text)
        return [self.program(), *(word.format(**places) for word in self.kind.argv)]

    def start(self, *plans: str, workers: int = 1, seed: int = 1, daemon: bool = False,
              shim: bool = True, more: tuple[str, ...] = ()) -> None:
        command = [*self.command(workers, daemon), *more]
        if daemon:
            become_subreaper()
        if shim:
            command = wrapped(self.folder, list(plans), command, seed)
        with open(self.folder / "logs/out", "wb") as out:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=out,
                                            start_new_session=not daemon,
                                            env=environment() | {
                                                "MW_FAULT_BOARD": str(self.board),
                                                "MW_HISTORY": str(self.folder / "history")})
        assert wait_until(self.listens, PATIENCE_S), self.log()

    def listens(self) -> bool:
        """Somebody listens; found without connecting, so that no call of the server is used up."""
        wanted = f"0100007F:{self.port.number:04X}"
        return any(fields[1] == wanted and fields[3] == "0A" for fields in
                   (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]))

    def get(self) -> str:
        """The answer's body; or how the request ended without one."""
        try:
            ask = get_fastcgi if self.kind.fastcgi else get_http
            return ask(self.port.number) or "nothing"
        except OSError as error:
            return type(error).__name__

    def serves(self) -> bool:
        return wait_until(lambda: self.get() == "hello\n", PATIENCE_S)

    # ---- faults ----------------------------------------------------------------------------

    def control(self, verb: str, *words: str) -> str:
        return subprocess.run([program("mw-fault"), verb, "--board", str(self.board), *words],
                              capture_output=True, check=True, text=True).stdout

    def arm(self, plan: str) -> None:
        self.control("arm", plan)

    def disarm(self) -> None:
        self.control("disarm", "all")

    def status(self) -> list[dict[str, object]]:
        return json.loads(self.control("status", "--json"))["rules"]

    def firings(self) -> list[Firing]:
        return firings(self.folder)

    # ---- processes -------------------------------------------------------------------------

    def pids(self) -> list[int]:
        """The processes of this server: those that work in its folder."""
        found = []
        for item in processes():
            try:
                here = os.readlink(f"/proc/{item.pid}/cwd") == str(self.folder)
            except OSError:
                continue
            found += [item.pid] if here and item.state not in "ZX" else []
        return found

    def pid_in_file(self) -> int:
        """The master that the pid file names, 0 while there is none."""
        try:
            return int((self.folder / "server.pid").read_text())
        except (FileNotFoundError, ValueError):
            return 0

    def children(self) -> set[int]:
        """The processes that the one that was started has forked."""
        assert self.process
        return {item.pid for item in processes()
                if item.parent == self.process.pid and item.state not in "ZX"}

    def log(self) -> str:
        """The end of what it has written."""
        return "".join(path.read_text()[-2000:] for path in (self.folder / "logs").iterdir())

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
        elif (self.folder / "server.pid").exists():
            os.kill(int((self.folder / "server.pid").read_text()), signal.SIGTERM)
        if not wait_until(lambda: self.reaped() and not self.all_pids(), 5):
            for pid in self.all_pids():
                os.kill(pid, signal.SIGKILL)
            self.reaped()
        reap(keep=[self.process.pid] if self.process else [])
        self.port.close()

    def all_pids(self) -> set[int]:
        """Also those that have changed their folder, while their group is known."""
        return {*self.pids(), *(item.pid for item in processes()
                                if item.state not in "ZX" and self.is_of_group(item.pid))}

    def is_of_group(self, pid: int) -> bool:
        try:
            return self.process is not None and os.getpgid(pid) == self.process.pid
        except ProcessLookupError:
            return False

    def reaped(self) -> bool:
        return not self.process or self.process.poll() is not None


@pytest.fixture
def make() -> Iterator:
    """make("nginx"): a server in a folder that a server without rights can reach, too."""
    made: list[Server] = []
    with tempfile.TemporaryDirectory(prefix="mw-shim-") as top:
        os.chmod(top, 0o755)

        def make_server(name: str) -> Server:
            folder = Path(top) / f"{name}-{len(made)}"
            folder.mkdir()
            made.append(Server(name, folder))
            made[-1].program()
            return made[-1]
        yield make_server
        for server in made:
            server.stop()
