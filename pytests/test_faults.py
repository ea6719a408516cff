"""Fault points of the engine: each is alive; runs repeat; windows open and close; without FAULTS
there is nothing of them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from masterwork.paths import program
from masterwork.tree import wait_until
from shim_rig import PATIENCE_S, Firing, Server, environment, firings, make, one, run  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]


def points(world: str) -> list[dict]:
    listed = subprocess.run([program("mw-fault"), "list", "--json"], capture_output=True,
                            check=True).stdout
    return [point for point in json.loads(listed) if world in point["where"]]


def steps() -> list[str]:
    """The steps in the lives of master and worker."""
    return [point["point"] for point in points("engine")
            if point["point"].split(".")[0] in ("worker", "master", "shm", "log")]


def armed_engine(make, *plans: str, **how) -> Server:
    """The engine with a board that is armed before it starts."""
    server = make("engine")
    server.arm("\n".join(plans))
    server.start(shim=False, **how)
    assert server.serves(), server.log()
    return server


# ---- no point is dead ---------------------------------------------------------------------------

def signal_master(server: Server, number: int) -> int:
    pid = int((server.folder / "server.pid").read_text())
    os.kill(pid, number)
    return pid


def reload(server: Server) -> int:
    return subprocess.run([program("mw-engine"), "-p", str(server.folder), "-c", "server.conf",
                           "-s", "reload", "--wait"], capture_output=True, timeout=60).returncode


def fired(server: Server) -> set[str]:
    return {str(rule["point"]) for rule in server.status() if rule["fired"]}


def live_a_whole_life(server: Server) -> None:
    """From the start, which is over, to the end: all that a master and its workers may do."""
    def fires(*names: str) -> None:
        assert wait_until(lambda: server.get() and set(names) <= fired(server), PATIENCE_S), \
            (set(names) - fired(server), server.log())
    assert reload(server) == 0
    server.arm("worker.boot exit generation=3 times=1")
    assert reload(server) != 0, "a new worker that dies undoes the reload"
    signal_master(server, signal.SIGUSR1)
    fires("log.reopen")
    signal_master(server, signal.SIGTTIN)
    fires("master.resize")
    server.arm("worker.heartbeat stall times=1")
    fires("master.kill")
    old = signal_master(server, signal.SIGUSR2)
    fires("master.upgrade")
    oldbin = server.folder / "server.pid.oldbin"
    assert wait_until(lambda: oldbin.exists() and server.pid_in_file() not in (0, old),
                      PATIENCE_S), server.log()
    os.kill(old, signal.SIGQUIT)
    assert wait_until(lambda: not oldbin.exists(), PATIENCE_S), server.log()
    signal_master(server, signal.SIGQUIT)
    assert wait_until(lambda: not server.pids(), PATIENCE_S), server.log()


def test_each_step_of_the_engine_fires(make):
    server = armed_engine(make, *(f"{name} delay=1ns" for name in steps()), daemon=True,
                          more=("-g", "worker_watchdog 500ms;"))
    live_a_whole_life(server)
    assert set(steps()) - fired(server) == set()
    places = {f.point: f.function for f in server.firings()}
    # Its own, or in a build optimised as a whole the one that it was put into.
    assert places["worker.boot"] in ("worker_run", "child_run_worker"), "the function it was in"


@pytest.mark.parametrize("world, folders", [("engine", ()), ("sim", ("sim", "core"))])
def test_each_point_is_asked_where_it_is_said_to_be(world, folders):
    """By name, wherever else it has been seen to fire: a list is not to grow faster than the code.
    """
    def belongs(path: Path) -> bool:
        within = set(folders) & set(path.parts) if folders else "sim" not in path.parts
        return bool(within) and not path.stem.endswith("_test")
    code = "".join(path.read_text() for path in (ROOT / "engine").rglob("*.[ch]")
                   if belongs(path))
    asked = set(re.findall(r"\bFAULT_(\w+)", code))
    words = set(re.findall(r"\w+", code.lower()))  # sabotages stand in tables by a name of theirs

    def is_asked(point: dict) -> bool:
        return point["point"].replace(".", "_") in asked or (
            "sabotage" in point["kinds"] and point["point"].split(".")[1] in words)
    assert {point["point"] for point in points(world) if not is_asked(point)} == set()


# ---- runs repeat --------------------------------------------------------------------------------

def calls_of(found: list[Firing]) -> list[tuple[str, int]]:
    return [(f.point, f.call) for f in found]


@pytest.mark.parametrize("name", ["engine", "nginx"])
def test_the_same_plan_and_seed_fire_at_the_same_calls(make, name):
    """One worker and one request after the other: there is nothing else that could differ."""
    def outcome(seed: int) -> list[tuple[str, int]]:
        server = make(name)
        plan = "net.send errno=ECONNRESET chance=1/3 role=worker slot=0"
        if name == "engine":
            server.control("arm", "--seed", str(seed), plan)
            server.start(shim=False)
        else:
            server.start(plan, seed=seed)
        answers = [server.get() for _ in range(30)]
        found = server.firings()
        assert answers.count("hello\n") == 30 - len(found), "each firing costs its request"
        assert len({f.function for f in found}) == 1 and found[0].function, found
        return calls_of(found)
    first = outcome(5)
    assert 3 < len(first) < 27
    assert first == outcome(5)
    assert first != outcome(6)


# ---- windows ------------------------------------------------------------------------------------

def test_a_fault_between_the_start_of_a_reload_and_its_commit(make):
    plan = "net.accept delay=1us from=master.reload.parse until=master.reload.commit"
    server = armed_engine(make, plan, "worker.boot delay=2s generation=2",
                          more=("-g", "reload_timeout 20s;"))
    assert server.status()[0]["calls"] == 0
    asked = subprocess.Popen([program("mw-engine"), "-p", str(server.folder), "-c", "server.conf",
                              "-s", "reload", "--wait"])
    # While the new worker takes its time to boot, the old one accepts.
    assert wait_until(lambda: server.get() and server.status()[0]["fired"], PATIENCE_S)
    assert asked.wait(PATIENCE_S) == 0
    counted = server.status()[0]["calls"]
    assert all(server.get() == "hello\n" for _ in range(5))
    assert server.status()[0]["calls"] == counted, "the window has closed"
    assert {f.point for f in server.firings()} == {"net.accept", "worker.boot"}


SOCKETS = """
import os, socket
for i in range(6):
    if i in (2, 4):
        os.close(os.dup(0))
    try:
        socket.socket().close()
        print(".", end="")
    except OSError:
        print("x", end="")
"""


def test_a_window_in_a_foreign_program(tmp_path):
    done = run(tmp_path, ["net.socket errno=EMFILE from=fs.dup nth=2"], sys.executable, "-c",
               SOCKETS)
    assert done.stdout == "...x..", done.stderr
    firing = one(firings(tmp_path))
    assert (firing.call, firing.nth) == (2, 1)


PARSE, COMMIT = "master.reload.parse", "master.reload.commit"


def simulated(folder: Path, seed: int, plan: str) -> list[Firing]:
    history = folder / "history"
    history.mkdir(parents=True)
    subprocess.run([program("mw-sim"), "replay", str(seed), "--plan", plan, "--history", history],
                   capture_output=True, timeout=60)
    return firings(folder)


def test_windows_in_the_simulator(tmp_path):
    """The same rules, decided by the same code, in its virtual time."""
    found = simulated(tmp_path / "times", 29, "net.accept delay=1us from=100ms until=200ms")
    assert found and all(0.1 <= f.time_s <= 0.2 for f in found)
    found = simulated(tmp_path / "points", 29, f"net.accept delay=1us from={PARSE} until={COMMIT};"
                      f"{PARSE} delay=1ns; {COMMIT} delay=1ns")
    is_open, inside = False, 0
    for firing in found:
        if firing.point in (PARSE, COMMIT):
            is_open = firing.point == PARSE
        else:
            assert is_open, firing
            inside += 1
    assert inside and {PARSE, COMMIT} <= {f.point for f in found}


# ---- without fault points -----------------------------------------------------------------------

# What a history can say, in words: it can say it of others, too.
WORDS = {"fault_words", "fault_point_words"}


def symbols_of(binary: Path) -> set[str]:
    shown = subprocess.run(["nm", binary], capture_output=True, text=True, check=True).stdout
    return {line.split()[-1] for line in shown.splitlines()}


def test_without_faults_the_engine_has_no_fault_symbol(tmp_path):
    """The whole of it is built anew, as a user would."""
    compiler = "ccache gcc" if shutil.which("ccache") else "gcc"
    made = subprocess.run(["make", "-C", str(ROOT), "FAULTS=0", f"BUILD={tmp_path}", "-j2",
                           f"CC={compiler}", f"{tmp_path}/bin/mw-engine"], capture_output=True,
                          text=True, env=environment() | {"MAKEFLAGS": ""})
    assert made.returncode == 0, made.stderr
    engine = tmp_path / "bin/mw-engine"
    without, usual = symbols_of(engine), symbols_of(program("mw-engine"))
    assert "worker_run" in without and "fault_consult" in usual
    assert {name for name in without - WORDS if name.startswith(("fault_", "place_"))} == set()
    (tmp_path / "logs").mkdir()
    (tmp_path / "server.conf").write_text("events {}")
    refused = subprocess.run([engine, "-p", tmp_path, "-c", "server.conf"], capture_output=True,
                             text=True, env=environment() | {"MW_FAULT_BOARD": "/any"})
    assert refused.returncode == 1 and "the fault board" in refused.stderr, refused.stderr
