"""`mw-fault run`: who is who below the shim, control while servers run, what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from masterwork.paths import program
from masterwork.tree import wait_until
from shim_rig import PATIENCE_S, firings, make, one, run  # noqa: F401 (a fixture)

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
    assert "line 1, column 18: the calls behind net.accept never fail with ENOSPC" in done.stderr
    assert 'did you mean "EMFILE"?' in done.stderr


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
