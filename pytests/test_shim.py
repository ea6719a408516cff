"""`mw-fault run`: the same faults in other people's servers, each visible in the history."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from masterwork.paths import program
from masterwork.ports import Port
from masterwork.tree import become_subreaper, processes, reap, wait_until

PATIENCE_S = 20.0

NGINX = """
{user} daemon {daemon}; pid server.pid; error_log logs/error.log notice; worker_processes {workers};
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
    uwsgi_temp_path t4; scgi_temp_path t5;
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello\\n"; }} }}
}}
"""
HAPROXY = """
global
    nbthread 1
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend front
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string "hello\\n"
"""
GUNICORN = """
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\\n"]
"""
ENGINE = """
daemon off; pid server.pid; error_log logs/error.log notice; worker_processes {workers};
events {{ worker_connections 64; }}
http {{
    access_log off;
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello\\n"; }} }}
}}
"""


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
    pid: int
    slot: int
    point: str
    did: str
    nth: int
    place: str


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
    for line in shown.splitlines():
        if match := re.search(r"fault\.fired +process=(\d+)(?: slot=(\d+))? "
                              r"fault_point=(\S+) (\S+) nth-firing-of-the-rule=(\d+)", line):
            pid, slot, point, did, nth = match.groups()
            found.append(Firing(int(pid), int(slot or -1), point, did, int(nth), ""))
        elif match := re.search(r"fault\.place .*=(0x[0-9a-f]+) in (\S+)", line):
            found[-1].place = f"{match[2]}+{match[1]}"
    return found


def kind_path(kind: str) -> str | None:
    """By its whole path: an upgrade executes the program again by the name it was given."""
    return shutil.which(kind, path="/usr/sbin:/usr/bin")


class Server:
    """A server below the shim, in a folder, a process group and on a port of its own."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self.folder, self.port = kind, folder, Port()
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "logs").mkdir()

    def command(self, workers: int, daemon: bool) -> list[str]:
        values = {"port": self.port.number, "workers": workers,
                  "daemon": "on" if daemon else "off",
                  "user": "user root;" if os.getuid() == 0 else ""}
        text = {"nginx": NGINX, "haproxy": HAPROXY, "gunicorn": GUNICORN,
                "engine": ENGINE}[self.kind]
        name = "app.py" if self.kind == "gunicorn" else "server.conf"
        (self.folder / name).write_text(text if self.kind == "gunicorn" else text.format(**values))
        own = kind_path(self.kind) or ""
        return {
            "nginx": [own, "-p", str(self.folder), "-c", "server.conf"],
            "haproxy": [own, "-W", "-f", "server.conf"],
            "gunicorn": [own, "-b", f"127.0.0.1:{self.port.number}", "-w", str(workers),
                         "-p", "server.pid", "app:app"],
            "engine": [str(program("mw-engine")), "-p", str(self.folder), "-c", "server.conf"],
        }[self.kind]

    def start(self, *plans: str, workers: int = 1, seed: int = 1, daemon: bool = False,
              shim: bool = True) -> None:
        command = self.command(workers, daemon)
        if daemon:
            become_subreaper()
        if shim:
            command = wrapped(self.folder, list(plans), command, seed)
        with open(self.folder / "logs/out", "wb") as out:
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=out, stderr=out,
                                            start_new_session=not daemon,
                                            env=environment() | {
                                                "MW_FAULT_BOARD": str(self.folder / "board")})
        assert wait_until(self.listens, PATIENCE_S), self.log()

    def listens(self) -> bool:
        """Somebody listens; found without connecting, so that no call of the server is used up."""
        wanted = f"0100007F:{self.port.number:04X}"
        return any(fields[1] == wanted and fields[3] == "0A" for fields in
                   (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]))

    def get(self) -> str:
        """The answer's body; or how the request ended without one."""
        try:
            with socket.create_connection(("127.0.0.1", self.port.number), PATIENCE_S) as client:
                client.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
                got = b""
                while piece := client.recv(4096):
                    got += piece
        except OSError as error:
            return type(error).__name__
        return got.rpartition(b"\r\n\r\n")[2].decode() or "nothing"

    def status(self) -> list[dict[str, object]]:
        out = subprocess.run([program("mw-fault"), "status", "--json", "--board",
                              str(self.folder / "board")], capture_output=True, check=True).stdout
        return json.loads(out)["rules"]

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

    def log(self) -> str:
        return "".join(path.read_text() for path in (self.folder / "logs").iterdir())

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.terminate()
        elif (self.folder / "server.pid").exists():
            os.kill(int((self.folder / "server.pid").read_text()), signal.SIGTERM)
        if not wait_until(lambda: self.reaped() and not self.pids(), 5):
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
            self.reaped()
        reap(keep=[self.process.pid] if self.process else [])
        self.port.close()

    def reaped(self) -> bool:
        return not self.process or self.process.poll() is not None


@pytest.fixture
def make(tmp_path: Path) -> Iterator:
    made: list[Server] = []

    def make_server(kind: str) -> Server:
        if kind != "engine" and not kind_path(kind):
            pytest.skip(f"{kind} is not installed (apt-get install {kind})")
        folder = tmp_path / f"{kind}-{len(made)}"
        folder.mkdir()
        made.append(Server(kind, folder))
        return made[-1]
    yield make_server
    for server in made:
        server.stop()


def one(found: list[Firing]) -> Firing:
    assert len(found) == 1, found
    return found[0]


ALL = pytest.mark.parametrize("kind", ["nginx", "haproxy", "gunicorn"])
MODULE = {"nginx": "nginx", "haproxy": "haproxy", "gunicorn": "python3"}


# ---- what must be seen in each server -----------------------------------------------------------

@ALL
def test_an_accept_fails_with_emfile(make, kind):
    server = make(kind)
    server.start("net.accept errno=EMFILE nth=2 role=worker slot=0")
    answers = [server.get() for _ in range(4)]
    assert answers.count("hello\n") >= 3, answers
    firing = one(firings(server.folder))
    assert (firing.point, firing.did, firing.slot) == ("net.accept", f"errno={errno.EMFILE}", 0)
    assert firing.place.startswith(MODULE[kind])
    rule, = server.status()
    assert rule["fired"] == 1 and rule["calls"] >= 2


@ALL
def test_an_accept_takes_50_ms_longer(make, kind):
    server = make(kind)
    server.start("net.accept delay=50ms every=2 times=2 role=worker")
    for _ in range(5):
        before = time.monotonic()
        assert server.get() == "hello\n"
        took = time.monotonic() - before
        if len(server_firings := firings(server.folder)) == 2:
            break
    assert took >= 0.05
    assert {(f.point, f.did) for f in server_firings} == {("net.accept", "delay=50000000")}


@ALL
def test_a_worker_crashes_at_its_7th_recv(make, kind):
    server = make(kind)
    server.start("net.recv crash=SEGV nth=7 role=worker")
    answers: list[str] = []

    def crashed() -> bool:
        answers.append(server.get())
        return bool(firings(server.folder))
    assert wait_until(crashed, PATIENCE_S), answers
    firing = one(firings(server.folder))
    assert (firing.point, firing.did) == ("net.recv", f"crash={int(signal.SIGSEGV)}")
    assert firing.slot == 0
    assert server.status()[0]["calls"] >= 7
    assert answers[0] == "hello\n" and answers[-1] != "hello\n", "somebody is hurt by the crash"
    assert wait_until(lambda: not Path(f"/proc/{firing.pid}").exists(), PATIENCE_S)
    if kind == "haproxy":  # it does not replace a worker, it ends
        assert wait_until(server.reaped, PATIENCE_S)
    else:
        assert wait_until(lambda: server.get() == "hello\n", PATIENCE_S)


def test_nginx_in_the_background_is_master_all_the_same(make):
    server = make("nginx")
    server.start("net.listen delay=1us role=master", "proc.fork delay=1us role=master",
                 "net.accept delay=1us role=worker slot=1", workers=2, daemon=True)
    assert wait_until(lambda: server.get() == "hello\n" and server.status()[2]["fired"],
                      PATIENCE_S)
    forks = [f for f in firings(server.folder) if f.point == "proc.fork"]
    assert len(forks) == 3, "into the background, and two workers"
    assert {f.slot for f in forks} == {-1}, "a master is in no slot"
    assert len({f.pid for f in forks}) == 2


def test_nginx_after_a_binary_upgrade_is_below_the_shim(make):
    server = make("nginx")
    server.start("net.accept delay=1us role=worker slot=0", daemon=True)
    pid_file, old_file = server.folder / "server.pid", server.folder / "server.pid.oldbin"
    # Until the process that was started has gone, nginx takes itself for a foreground server; and
    # a signal that comes before its workers do waits for the next one.
    assert wait_until(lambda: pid_file.exists() and pid_file.read_text().strip() and
                      server.reaped() and server.get() == "hello\n", PATIENCE_S)
    old = int(pid_file.read_text())
    os.kill(old, signal.SIGUSR2)
    assert wait_until(lambda: old_file.exists() and pid_file.exists() and
                      pid_file.read_text().strip(), PATIENCE_S), server.log()
    os.kill(old, signal.SIGQUIT)
    assert wait_until(lambda: not old_file.exists(), PATIENCE_S)
    before = server.status()[0]["fired"]
    assert server.get() == "hello\n"
    assert server.status()[0]["fired"] > before
    assert firings(server.folder)[-1].slot == 0


def test_rules_are_armed_and_disarmed_while_nginx_runs(make):
    server = make("nginx")
    server.start()
    control = [program("mw-fault"), "--board", str(server.folder / "board")]
    watch = subprocess.Popen([control[0], "watch", *control[1:], "--json"],
                             stdout=subprocess.PIPE, text=True)

    def watched() -> dict[str, object]:
        assert watch.stdout
        return json.loads(watch.stdout.readline())
    try:
        assert server.get() == "hello\n"
        subprocess.run([control[0], "arm", *control[1:], "net.recv errno=ECONNRESET"], check=True,
                       capture_output=True)
        assert watched()["plan"] == "net.recv errno=ECONNRESET"
        assert server.get() != "hello\n"
        assert watched()["fired"]
        subprocess.run([control[0], "disarm", *control[1:]], check=True, capture_output=True)
        while watched()["armed"]:
            pass
        assert server.get() == "hello\n"
    finally:
        watch.kill()
        watch.wait()


# ---- repeating ----------------------------------------------------------------------------------

SOCKETS = """
import os, socket
def look(who):
    failed = ""
    for i in range(100):
        try:
            socket.socket().close()
            failed += "."
        except OSError as error:
            failed += "x"
    print(who, failed, flush=True)
look("master")
for worker in range(3):
    child = os.fork()
    if child == 0:
        look(f"worker {worker}")
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_the_same_plan_and_seed_fire_at_the_same_calls(tmp_path):
    def outcome(name: str, seed: int) -> str:
        folder = tmp_path / name
        folder.mkdir()
        done = run(folder, ["net.socket errno=EMFILE chance=1/5"], sys.executable, "-c", SOCKETS,
                   seed=seed)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("x") == len(firings(folder)) > 20
        return done.stdout
    first, again, other = outcome("a", 7), outcome("b", 7), outcome("c", 8)
    assert first == again
    assert first != other
    streams = [line.split()[-1] for line in first.splitlines()]
    assert len(set(streams)) == 4, "each process draws from a stream of its own"


def test_the_same_plan_and_seed_fail_the_same_requests_of_nginx(make):
    def outcome() -> list[str]:
        server = make("nginx")
        server.start("net.send errno=ECONNRESET chance=1/3 role=worker slot=0", seed=5)
        return [server.get() for _ in range(30)]
    first = outcome()
    assert first == outcome()
    assert 3 < first.count("hello\n") < 28, first


# ---- programs of many kinds ---------------------------------------------------------------------

def built(folder: Path, name: str, *flags: str) -> Path:
    source = folder / f"{name}.c"
    source.write_text('#include <stdio.h>\n#include <string.h>\n#include <errno.h>\n'
                      '#include <sys/socket.h>\nint main(void) {\n'
                      '    int fd = socket(AF_INET, SOCK_STREAM, 0);\n'
                      '    puts(fd < 0 ? strerror(errno) : "made");\n    return 0;\n}\n')
    subprocess.run(["gcc", *flags, "-o", str(folder / name), str(source)], check=True)
    return folder / name


@pytest.mark.parametrize("flags, reason", [
    (["-static"], "statically linked"), (["-static-pie"], "statically linked")])
def test_a_static_program_is_refused(tmp_path, flags, reason):
    static = built(tmp_path, "static", *flags)
    done = run(tmp_path, [], str(static))
    assert done.returncode == 1 and done.stdout == ""
    assert str(static) in done.stderr and reason in done.stderr
    assert not (tmp_path / "board").exists(), "nothing was begun"


def test_a_script_of_a_static_interpreter_is_refused(tmp_path):
    static = built(tmp_path, "static", "-static")
    script = tmp_path / "script"
    script.write_text(f"#!{static}\n")
    script.chmod(0o755)
    done = run(tmp_path, [], str(script))
    assert done.returncode == 1 and f"{static} is statically linked" in done.stderr


@pytest.mark.parametrize("mode, word", [(0o4755, "setuid"), (0o2755, "setgid")])
def test_a_program_with_other_rights_is_refused(tmp_path, mode, word):
    other = built(tmp_path, "other")
    other.chmod(mode)
    done = run(tmp_path, [], str(other))
    assert done.returncode == 1 and done.stdout == ""
    assert f"{other} is a {word} program" in done.stderr


def test_a_sanitized_program_runs_below_the_shim(tmp_path):
    sanitized = built(tmp_path, "sanitized", "-fsanitize=address")
    assert run(tmp_path, [], str(sanitized)).stdout == "made\n"
    done = run(tmp_path, ["net.socket errno=ENFILE"], str(sanitized))
    assert done.stdout == "Too many open files in system\n", done.stderr
    assert one(firings(tmp_path)).place.startswith("sanitized+")


def test_the_exit_status_and_output_are_the_commands_own(tmp_path):
    done = run(tmp_path, [], "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.returncode, done.stdout) == (7, "out\n")
    assert done.stderr.endswith("err\n")


def test_an_errno_that_the_call_never_gives_is_refused(tmp_path):
    done = run(tmp_path, ["net.accept errno=ENOSPC"], "true")
    assert done.returncode == 1
    assert "these calls never fail so; expected one of:" in done.stderr and "EMFILE" in done.stderr


def test_a_bad_plan_is_refused_whole(tmp_path):
    done = run(tmp_path, ["net.accept delay=1ms", "net.accep errno=EMFILE"], "true")
    assert done.returncode == 1
    assert "column 1" in done.stderr and 'did you mean "net.accept"?' in done.stderr
    assert not (tmp_path / "board").exists()


def test_a_program_with_points_of_its_own_is_asked_once(make):
    """mw-engine below the shim counts a call once, as it does without."""
    counts = []
    for shim in (False, True):
        server = make("engine")
        subprocess.run([program("mw-fault"), "arm", "--board", str(server.folder / "board"),
                        "net.socket delay=1us", "net.listen delay=1us"], check=True,
                       capture_output=True)
        server.start(shim=shim)
        assert server.get() == "hello\n"
        counts.append([rule["calls"] for rule in server.status()])
    assert counts[0] == counts[1] and all(counts[0])
