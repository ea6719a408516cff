"""The engine's master process, by its signals, its files and its command line."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from masterwork.paths import program
from masterwork.ports import Port
from masterwork.tree import process, processes, wait_until

PATIENCE_S = 20.0


def until(condition: Callable[[], object], what: str) -> None:
    assert wait_until(lambda: bool(condition()), PATIENCE_S), f"not within {PATIENCE_S} s: {what}"


class Engine:
    """One mw-engine in a folder of its own, in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = Port()
        self.label = 0
        self.process: subprocess.Popen[str] | None = None
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith("MW_")}
        (folder / "logs").mkdir()
        self.write()

    def write(self, workers: int = 2, main: str = "", server: str = "", bad: str = "") -> int:
        """Writes the next configuration; its number is what /echo answers."""
        self.label += 1
        (self.folder / "new.conf").write_text(f"""
            pid server.pid;
            error_log logs/error.log info;
            worker_processes {workers};
            worker_shutdown_timeout 2s;
            {main or 'reload_timeout 60s;'}
            events {{ worker_connections 64; }}
            http {{
                access_log logs/access.log;
                server {{
                    listen 127.0.0.1:{self.port.number};
                    {server}
                    location = /echo {{ test_handler echo {self.label}; }}
                    location = /status {{ status json; }}
                }}
            }}
            {bad}
        """)
        (self.folder / "new.conf").rename(self.folder / "server.conf")
        return self.label

    def argv(self, *more: str) -> list[str]:
        return [str(program("mw-engine")), "-p", str(self.folder), "-c", "server.conf", *more]

    def start(self, foreground: bool = True) -> int:
        """Starts it and waits until it answers; its master's pid."""
        more = ["-g", "daemon off;"] if foreground else []
        with open(self.folder / "out", "ab") as out:
            self.process = subprocess.Popen(self.argv(*more), env=self.environment, stdout=out,
                                            stderr=out, start_new_session=True, text=True)
        if not foreground:
            assert self.process.wait(PATIENCE_S) == 0
        until(lambda: self.answer() is not None, "the server answers")
        return self.named()

    def named(self, file: str = "server.pid") -> int:
        """The pid in the pid file; 0 without one."""
        try:
            return int((self.folder / file).read_text())
        except FileNotFoundError:
            return 0

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.argv(*more), env=self.environment, text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)

    def get(self, path: str) -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", self.port.number, timeout=5)
        try:
            connection.request("GET", path, headers={"X-Mw-Nonce": "7"})
            answer = connection.getresponse()
            assert answer.status == 200
            return answer.read()
        finally:
            connection.close()

    def answer(self) -> int | None:
        """The configuration that answers; None when nobody does."""
        try:
            return int(self.get("/echo").split()[1])
        except OSError:
            return None

    def status(self) -> dict:
        return json.loads(self.get("/status"))

    def arm(self, plan: str = "") -> None:
        """Arms this plan and no other on the engine's fault board; made before the start."""
        board = str(self.folder / "board")
        self.environment["MW_FAULT_BOARD"] = board
        if Path(board).exists():
            self.fault("disarm", "--board", board, "all")
        self.fault("arm", "--board", board, *([plan] if plan else []))

    def fault(self, *words: str) -> None:
        done = subprocess.run([str(program("mw-fault")), *words], text=True, timeout=60,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        assert done.returncode == 0, done.stdout

    def log(self) -> str:
        return (self.folder / "logs/error.log").read_text()

    def close(self) -> None:
        pids = {p.pid for p in processes() if str(self.folder) in command_line(p.pid)}
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        if self.process:
            self.process.wait()
        until(lambda: not any(alive(pid) for pid in pids), "every process is gone")
        self.port.close()


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    found = process(pid)
    return found is not None and found.state not in "ZX"


def children(pid: int) -> set[int]:
    return {p.pid for p in processes() if p.parent == pid and p.state not in "ZX"}


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    made = Engine(tmp_path)
    yield made
    made.close()


# ---- starting and stopping ---------------------------------------------------------------------


def test_starts_in_the_foreground(engine: Engine) -> None:
    master = engine.start()
    assert engine.process and master == engine.process.pid
    until(lambda: len(children(master)) == 2, "two workers")
    assert {w["state"] for w in engine.status()["workers"]} <= {"starting", "poised", "ready"}


def test_the_command_returns_when_the_daemon_listens(engine: Engine) -> None:
    with open(engine.folder / "out", "ab") as out:
        assert subprocess.run(engine.argv(), env=engine.environment, stdout=out, stderr=out,
                              timeout=60, check=False).returncode == 0
    with socket.create_connection(("127.0.0.1", engine.port.number), timeout=5):
        assert alive(engine.named())


@pytest.mark.parametrize("more", [["-g", "daemon off;"], []])
def test_an_address_in_use_ends_the_start_with_one_line(engine: Engine, more: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", engine.port.number))
        taken.listen()
        result = engine.run(*more)
    assert result.returncode == 1
    assert result.stdout.count("\n") == 1 and "[emerg] bind() to 127.0.0.1:" in result.stdout
    assert not (engine.folder / "server.pid").exists()


def test_a_bad_configuration_ends_the_start_with_its_place(engine: Engine) -> None:
    engine.write(bad="no_such_directive on;")
    result = engine.run("-e", "early.log")
    assert result.returncode == 1
    assert "mw-engine: [emerg] unknown directive \"no_such_directive\" in " in result.stdout
    assert "[emerg]" in (engine.folder / "early.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM, signal.SIGINT])
def test_a_stop_leaves_nothing(engine: Engine, number: int) -> None:
    path = engine.folder / "socket"
    engine.write(server=f"listen unix:{path};")
    master = engine.start()
    workers = children(master)
    assert path.exists()
    os.kill(master, number)
    assert engine.process and engine.process.wait(PATIENCE_S) == 0
    assert not any(alive(pid) for pid in workers)
    assert not path.exists() and engine.named() == 0


def test_stop_and_quit_work_also_with_a_broken_configuration(engine: Engine) -> None:
    engine.start()
    engine.write(bad="http {")
    assert engine.run("-s", "reload").returncode == 1
    assert engine.run("-s", "quit").returncode == 0
    assert engine.process and engine.process.wait(PATIENCE_S) == 0
    gone = engine.run("-s", "stop")
    assert gone.returncode == 1 and "is the server running?" in gone.stdout


def test_a_socket_path_left_by_a_killed_server_is_taken_over(engine: Engine) -> None:
    path = engine.folder / "socket"
    engine.write(server=f"listen unix:{path};")
    master = engine.start()
    workers = children(master)
    os.kill(master, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in workers), "workers leave when the master is gone")
    assert path.exists()
    engine.start()


def test_workers_leave_when_the_master_is_killed(engine: Engine) -> None:
    master = engine.start()
    until(lambda: len(children(master)) == 2, "two workers")
    workers = children(master)
    os.kill(master, signal.SIGKILL)
    until(lambda: not any(alive(pid) for pid in workers), "the workers are gone")


# ---- workers that die --------------------------------------------------------------------------


def test_a_killed_worker_is_replaced(engine: Engine) -> None:
    master = engine.start()
    until(lambda: len(children(master)) == 2, "two workers")
    for victim in children(master):
        os.kill(victim, signal.SIGKILL)
    until(lambda: len(children(master)) == 2 and engine.answer() == 1, "two workers again")
    until(lambda: engine.status()["master"]["crashes"] == 2, "both crashes are counted")


def test_a_stopped_worker_is_replaced(engine: Engine) -> None:
    engine.write(main="worker_watchdog 500ms;")
    master = engine.start()
    until(lambda: len(children(master)) == 2, "two workers")
    victim = min(children(master))
    os.kill(victim, signal.SIGSTOP)
    until(lambda: not alive(victim) and len(children(master)) == 2, "another took its place")
    assert "has been silent" in engine.log()


def test_the_master_obeys_while_all_workers_are_stopped(engine: Engine) -> None:
    engine.write(main="worker_watchdog 0;")
    master = engine.start()
    until(lambda: len(children(master)) == 2, "two workers")
    old = children(master)
    for pid in old:
        os.kill(pid, signal.SIGSTOP)
    engine.write()
    assert engine.run("-s", "reload", "--wait").returncode == 0
    assert engine.answer() == engine.label
    os.kill(master, signal.SIGTERM)
    assert engine.process and engine.process.wait(PATIENCE_S) == 0
    assert not any(alive(pid) for pid in old)


def test_resizes_by_one(engine: Engine) -> None:
    master = engine.start()
    for number, size in ((signal.SIGTTIN, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1)):
        os.kill(master, number)
        until(lambda size=size: len(children(master)) == size, f"{size} workers")


# ---- reloads -----------------------------------------------------------------------------------


def test_reload_waits_for_the_outcome(engine: Engine) -> None:
    master = engine.start()
    old = children(master)
    engine.write(workers=3)
    result = engine.run("-s", "reload", "--wait")
    assert (result.returncode, "reload ok" in result.stdout) == (0, True), result.stdout
    assert engine.answer() == engine.label
    until(lambda: len(children(master)) == 3 and not old & children(master), "three new workers")
    assert engine.status()["master"]["last_reload"]["outcome"] == "ok"


def test_a_refused_reload_changes_nothing_and_the_next_is_heard(engine: Engine) -> None:
    master = engine.start()
    until(lambda: len(children(master)) == 2, "two workers")
    before = (children(master), descriptors(master))
    for bad in ("no_such_directive on;", "include /no/such/file;", "http {"):
        engine.write(bad=bad)
        result = engine.run("-s", "reload", "--wait")
        assert result.returncode == 1 and "reload refused: [emerg] " in result.stdout
        assert engine.answer() == 1
    assert (children(master), descriptors(master)) == before
    label = engine.write()
    assert engine.run("-s", "reload", "--wait").returncode == 0
    assert engine.answer() == label


def test_a_listener_that_cannot_be_bound_refuses_the_reload(engine: Engine) -> None:
    master = engine.start()
    until(lambda: len(children(master)) == 2, "two workers")
    before = descriptors(master)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        engine.write(server=f"listen 127.0.0.1:{taken.getsockname()[1]};")
        result = engine.run("-s", "reload", "--wait")
    assert result.returncode == 1 and "bind() to" in result.stdout
    assert descriptors(master) == before and engine.answer() == 1


def test_listeners_come_and_go_with_the_configuration(engine: Engine) -> None:
    engine.start()
    second = Port()
    try:
        engine.write(server=f"listen 127.0.0.1:{second.number};")
        assert engine.run("-s", "reload", "--wait").returncode == 0
        socket.create_connection(("127.0.0.1", second.number), timeout=5).close()
        engine.write()
        assert engine.run("-s", "reload", "--wait").returncode == 0

        def refused() -> bool:
            try:
                socket.create_connection(("127.0.0.1", second.number), timeout=5).close()
                return False
            except ConnectionRefusedError:
                return True
        until(refused, "the address that is no longer named refuses")
    finally:
        second.close()


def test_many_waiting_reloads_all_hear_an_outcome(engine: Engine) -> None:
    engine.start()
    engine.write()
    asked = [subprocess.Popen(engine.argv("-s", "reload", "--wait"), env=engine.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
             for _ in range(8)]
    outputs = [each.communicate(timeout=60)[0] for each in asked]
    assert [each.returncode for each in asked] == [0] * 8, outputs
    assert engine.answer() == engine.label


def test_reloads_leave_no_descriptor(engine: Engine) -> None:
    master = engine.start()

    def reload() -> tuple[int, list[int]]:
        assert engine.run("-s", "reload", "--wait").returncode == 0
        until(lambda: len(children(master)) == 2, "two workers")
        return descriptors(master), sorted(descriptors(pid) for pid in children(master))
    first = reload()
    for _ in range(5):
        last = reload()
    assert last == first


def test_a_storm_of_signals_passes(engine: Engine) -> None:
    master = engine.start()
    label = engine.write(workers=2)
    for i in range(300):
        os.kill(master, (signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP, signal.SIGCHLD)[i % 4])
    result = engine.run("-s", "reload", "--wait")
    assert result.returncode == 0, result.stdout
    until(lambda: len(children(master)) == 2 and engine.answer() == label, "two workers, new")


# ---- calls that fail ---------------------------------------------------------------------------


@pytest.mark.parametrize("plan", [
    "proc.fork errno=EAGAIN times=3",
    "net.socketpair errno=EMFILE times=3",
    "proc.waitpid errno=EINTR times=3",
])
def test_a_worker_is_replaced_in_spite_of(engine: Engine, plan: str) -> None:
    engine.arm()
    master = engine.start()
    until(lambda: len(children(master)) == 2, "two workers")
    engine.arm(plan)
    victim = min(children(master))
    os.kill(victim, signal.SIGKILL)
    until(lambda: victim not in children(master) and len(children(master)) == 2, "two workers")
    until(lambda: not any(p.parent == master and p.state == "Z" for p in processes()), "no zombie")


@pytest.mark.parametrize("plan, said", [
    ("master.reload.parse errno=ENOMEM", "refused: [emerg] reading the configuration failed"),
    ("fs.open errno=EMFILE role=master", "refused: [emerg]"),
    ("worker.boot exit=3", "undone: new worker"),
    ("worker.boot crash=SEGV", "exited on signal 11"),
    ("worker.ready stall", "undone: the new workers were not ready within reload_timeout"),
    ("proc.fork errno=EAGAIN", "undone: the new workers were not ready within reload_timeout"),
])
def test_a_reload_that_fails_leaves_everything(engine: Engine, plan: str, said: str) -> None:
    """One that fails is told from one that takes too long: the bound is short for these only."""
    bound = "reload_timeout 1s;" if "reload_timeout" in said else "reload_timeout 60s;"
    engine.arm()
    engine.write(main=bound)
    master = engine.start()
    until(lambda: len(children(master)) == 2, "two workers")
    label, workers, opened = engine.label, children(master), descriptors(master)
    engine.write(main=bound)
    engine.arm(plan)
    result = engine.run("-s", "reload", "--wait")
    assert result.returncode == 1 and said in result.stdout, result.stdout
    engine.arm()
    until(lambda: children(master) == workers, "the old workers, and no others")
    assert descriptors(master) == opened and engine.answer() == label
    engine.write(main="reload_timeout 60s;")
    assert engine.run("-s", "reload", "--wait").returncode == 0
    assert engine.answer() == engine.label


@pytest.mark.parametrize("plan", [
    "proc.fork errno=EAGAIN",
    "proc.exec errno=ENOENT",
    "fs.rename errno=EACCES",
])
def test_an_upgrade_that_cannot_begin_changes_nothing(engine: Engine, plan: str) -> None:
    engine.arm()
    master = engine.start(foreground=False)
    until(lambda: len(children(master)) == 2, "two workers")
    workers = children(master)
    engine.arm(plan)
    os.kill(master, signal.SIGUSR2)
    until(lambda: "the upgrade failed, nothing has changed" in engine.log(), "it is said")
    engine.arm()
    assert children(master) == workers and engine.answer() == 1
    assert (engine.named(), engine.named("server.pid.oldbin")) == (master, 0)


# ---- files -------------------------------------------------------------------------------------


def test_logs_are_reopened(engine: Engine) -> None:
    master = engine.start()
    for name in ("access", "error"):
        (engine.folder / f"logs/{name}.log").rename(engine.folder / f"logs/{name}.old")
    os.kill(master, signal.SIGUSR1)
    until(lambda: (engine.folder / "logs/access.log").exists()
          and (engine.folder / "logs/error.log").exists(), "both files are there again")
    until(lambda: engine.answer() and (engine.folder / "logs/access.log").stat().st_size,
          "requests are logged in the new file")


def test_a_service_manager_is_told(engine: Engine) -> None:
    path = engine.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        manager.settimeout(PATIENCE_S)
        engine.environment["NOTIFY_SOCKET"] = str(path)
        master = engine.start()
        assert f"READY=1\nMAINPID={master}\n" == manager.recv(200).decode()
        assert engine.run("-s", "reload", "--wait").returncode == 0
        assert manager.recv(200).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(200).startswith(b"READY=1\n")
        os.kill(master, signal.SIGQUIT)
        assert manager.recv(200) == b"STOPPING=1\n"


def test_a_socket_of_the_service_manager_is_used(engine: Engine) -> None:
    with socket.socket() as given:
        given.bind(("127.0.0.1", engine.port.number))
        given.listen()
        script = 'exec 3<&"$0"; LISTEN_PID=$$ LISTEN_FDS=1 exec "$@"'
        with open(engine.folder / "out", "ab") as out:
            engine.process = subprocess.Popen(
                ["bash", "-c", script, str(given.fileno()), *engine.argv("-g", "daemon off;")],
                env=engine.environment, stdout=out, stderr=out, text=True,
                pass_fds=[given.fileno()])
        until(lambda: engine.answer() == 1, "it answers on the socket that was given")


# ---- upgrades ----------------------------------------------------------------------------------


def test_an_upgrade_passes_over_to_the_new_master(engine: Engine) -> None:
    path = engine.folder / "socket"
    engine.write(server=f"listen unix:{path};")
    old = engine.start(foreground=False)
    os.kill(old, signal.SIGUSR2)
    until(lambda: engine.named() != old, "the new master is in the pid file")
    new = engine.named()
    assert engine.named("server.pid.oldbin") == old
    until(lambda: len(children(new)) == 2, "the new master's workers")
    os.kill(old, signal.SIGUSR2)
    until(lambda: "an upgrade is refused" in engine.log(), "a second upgrade is refused")
    os.kill(old, signal.SIGWINCH)
    until(lambda: children(old) == {new}, "the old workers are gone")
    os.kill(old, signal.SIGQUIT)
    until(lambda: not alive(old), "the old master is gone")
    assert path.exists() and engine.answer() is not None
    assert (engine.named(), engine.named("server.pid.oldbin")) == (new, 0)
    assert engine.run("-s", "reload", "--wait").returncode == 0
    os.kill(new, signal.SIGUSR2)
    until(lambda: engine.named() != new, "and it can be upgraded itself")


def test_a_killed_old_master_leaves_the_new_one_alone(engine: Engine) -> None:
    old = engine.start(foreground=False)
    os.kill(old, signal.SIGUSR2)
    until(lambda: engine.named() != old, "the new master is ready")
    new = engine.named()
    os.kill(old, signal.SIGKILL)
    until(lambda: engine.named("server.pid.oldbin") == 0, "the new master clears up")
    until(lambda: len(children(new)) == 2 and engine.answer(), "and serves")
    os.kill(new, signal.SIGUSR2)
    until(lambda: engine.named() != new, "and can be upgraded")


@pytest.mark.parametrize("by", ["hup", "term"])
def test_an_upgrade_is_rolled_back(engine: Engine, by: str) -> None:
    old = engine.start(foreground=False)
    os.kill(old, signal.SIGUSR2)
    until(lambda: engine.named() != old, "the new master is ready")
    new = engine.named()
    os.kill(old, signal.SIGWINCH)
    until(lambda: children(old) == {new}, "the old workers are gone")
    if by == "hup":
        os.kill(old, signal.SIGHUP)
        until(lambda: len(children(old)) == 3, "the old master's workers are back")
    os.kill(new, signal.SIGTERM)
    until(lambda: len(children(old)) == 2 and engine.answer(), "the old master serves alone")
    assert (engine.named(), engine.named("server.pid.oldbin")) == (old, 0)


def test_a_new_binary_that_fails_changes_nothing(engine: Engine) -> None:
    old = engine.start(foreground=False)
    workers = children(old)
    engine.write(bad="no_such_directive on;")
    os.kill(old, signal.SIGUSR2)
    until(lambda: "the upgrade failed, nothing has changed" in engine.log(), "it is said")
    assert engine.answer() == 1 and children(old) == workers
    assert (engine.named(), engine.named("server.pid.oldbin")) == (old, 0)
    engine.write()
    os.kill(old, signal.SIGUSR2)
    until(lambda: engine.named() != old, "the next upgrade succeeds")


def test_no_request_is_lost_from_one_master_to_the_next(engine: Engine) -> None:
    old = engine.start(foreground=False)
    os.kill(old, signal.SIGUSR2)
    deadline = time.monotonic() + PATIENCE_S
    while alive(old) and time.monotonic() < deadline:
        assert engine.answer() is not None
        if engine.named() != old:
            os.kill(old, signal.SIGQUIT)
    assert not alive(old) and engine.answer() is not None
