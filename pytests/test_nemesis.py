"""Nemeses do what they say and nothing of it is left: not at the end of a story, and not when the
director is killed in the middle of one."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from masterwork import guardian, resources
from masterwork.director import Play, stage, why_not
from masterwork.errors import HarnessError, InputError
from masterwork.guardian import Guardian, identity, journal
from masterwork.isolate import Runner, run_one
from masterwork.stories import all_stories, find_story, load_story
from masterwork.targets import find_target
from masterwork.tree import process, wait_until
from masterwork.verbs import VERBS
from masterwork.verdicts import HOLDS

PATIENCE_S = 15.0


def needs(what: str):
    return pytest.mark.skipif(bool(resources.why_not(what)), reason=resources.why_not(what))


def state_of(pid: int) -> str:
    found = process(pid)
    return found.state if found else ""


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], start_new_session=True)


def soft_limit(pid: int) -> int:
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)[0]


# ---- the guardian --------------------------------------------------------------------------------

def test_what_is_released_is_undone_at_once_and_the_rest_at_the_end(tmp_path):
    keeper = Guardian(tmp_path)
    with sleeper() as one, sleeper() as two:
        numbers = [keeper.hold("go_on", identity(child.pid)) for child in (one, two)]
        for child in (one, two):
            child.send_signal(signal.SIGSTOP)
        assert wait_until(lambda: state_of(one.pid) == state_of(two.pid) == "T", PATIENCE_S)
        keeper.release(numbers[0])
        assert wait_until(lambda: state_of(one.pid) == "S", PATIENCE_S)
        assert state_of(two.pid) == "T"
        keeper.close()
        assert wait_until(lambda: state_of(two.pid) == "S", PATIENCE_S)
        one.kill()
        two.kill()
    assert [row["what"] for row in journal(tmp_path)] == ["held", "held", "undone", "undone"]


def test_a_later_process_with_the_same_pid_is_left_alone(tmp_path):
    keeper = Guardian(tmp_path)
    with sleeper() as child:
        keeper.hold("end", [child.pid, guardian.started(child.pid) + 1])
        keeper.close()
        assert state_of(child.pid) == "S"
        child.kill()


def test_what_cannot_be_undone_is_said(tmp_path):
    keeper = Guardian(tmp_path)
    number = keeper.hold("remove_file", str(tmp_path))
    with pytest.raises(HarnessError, match="cannot be undone"):
        keeper.release(number)
    keeper.hold("remove_file", str(tmp_path))
    with pytest.raises(HarnessError, match="cannot be undone"):
        keeper.close()


def test_a_killed_director_leaves_the_undoing_to_the_guardian(tmp_path):
    """SIGKILL: no handler, no finally, no atexit."""
    with sleeper() as child:
        before = soft_limit(child.pid)
        pid = os.fork()
        if pid == 0:
            keeper = Guardian(tmp_path)
            keeper.hold("go_on", identity(child.pid))
            os.kill(child.pid, signal.SIGSTOP)
            soft, hard = resource.prlimit(child.pid, resource.RLIMIT_NOFILE)
            keeper.hold("unlimit", identity(child.pid), resource.RLIMIT_NOFILE, soft, hard)
            resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (10, hard))
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        assert wait_until(lambda: state_of(child.pid) == "S", PATIENCE_S)
        assert wait_until(lambda: len(journal(tmp_path)) == 4, PATIENCE_S)
        assert soft_limit(child.pid) == before
        child.kill()


EVERYTHING = """
summary = "everything at once"
checks = ["serve/continuity"]
server = { disks = ["logs"] }
load = [{ name = "fresh", kind = "fresh", rate = 20 }]
step = [
  { wait = "ok >= 3" },
  { fill = "logs" },
  { prlimit = "nofile", value = 30, to = "all-workers" },
  { cgroup = "pids", max = 8, to = "all" },
  { cgroup = "memory", max = "200m", to = "all" },
  { starve = "worker" },
  { arm = "worker.boot delay=1ms" },
  { crowd = 5 },
  { signal = "STOP", to = "all-workers" },
  { observe = "60s" },
]
"""


@needs("mounts")
@needs("pids-cgroup")
@needs("memory-cgroup")
@pytest.mark.parametrize("whole", [False, True], ids=["the story's process", "everything"])
def test_a_director_that_is_killed_in_the_middle_leaves_nothing(tmp_path, toml, whole):
    """Nothing stopped, limited, mounted, armed or running is left, whoever of us is killed."""
    story, folder = toml(EVERYTHING, folder="limit"), tmp_path / "run"
    code = ("import sys; from pathlib import Path\n"
            "from masterwork.director import Play\nfrom masterwork.isolate import run_one\n"
            "from masterwork.stories import load_story\n"
            "from masterwork.targets import find_target\n"
            "result = run_one(Play(load_story(Path(sys.argv[1])), find_target('engine'), "
            "Path(sys.argv[2])))\nprint(result.error)\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, "-c", code, str(story), str(folder)], text=True,
                          stdout=subprocess.PIPE, env=environment) as director:
        def acted() -> bool:
            held = [row["way"] for row in journal(folder)]
            return held.count("go_on") == 2
        assert wait_until(acted, PATIENCE_S), journal(folder)
        held = journal(folder)
        runner = next(pid for pid in map(int, filter(str.isdigit, os.listdir("/proc")))
                      if (found := process(pid)) and found.parent == director.pid
                      and found.name.startswith("python"))
        # A parent that dies asks its runners to end in good order: here nobody gets to do that.
        for pid in ([director.pid, runner] if whole else [runner]):
            os.kill(pid, signal.SIGKILL)
        out = director.communicate(timeout=PATIENCE_S)[0]
    assert whole or "ended without a verdict (killed by signal 9)" in out
    assert wait_until(lambda: sum(row["what"] == "undone" for row in journal(folder)) == len(held),
                      PATIENCE_S), journal(folder)
    kinds = {row["way"] for row in held}
    assert kinds >= {"unmount", "remove_file", "unlimit", "leave_group", "schedule", "end", "go_on",
                     "disarm", "end_session"}
    assert not os.path.ismount(folder / "logs")
    for row in held:
        if row["way"] == "leave_group":
            assert not Path(row["arguments"][0]).exists()
        elif isinstance(row["arguments"][0], list):
            who = row["arguments"][0]
            assert wait_until(lambda: guardian.started(who[0]) != who[1]
                              or state_of(who[0]) in "ZX", PATIENCE_S), row


# ---- what nemeses do -----------------------------------------------------------------------------

def test_a_stopped_process_goes_on_when_the_test_ends(make_target, nemesis):
    target = make_target("engine")
    nemesis.do(target, signal="STOP", to="all-workers")
    target.wait("stopped == 2")
    nemesis.undo(target, "signal")
    target.wait("stopped == 0")


def test_frozen_processes_are_stopped_and_go_on(make_target, nemesis, history):
    target = make_target("engine")
    nemesis.do(target, freeze="worker", lasting="30ms", times=3, every="80ms")
    target.wait("stopped == 0 and workers == 2")
    rows = history(target)
    numbers = [int(row["a"]) for row in rows if row["pid"] == target.workers[0]]
    assert numbers.count(signal.SIGSTOP) == numbers.count(signal.SIGCONT) == 3


def test_a_limit_is_lowered_and_given_back(make_target, nemesis):
    target = make_target("engine")
    before = [soft_limit(pid) for pid in target.workers]
    nemesis.do(target, prlimit="nofile", value=25, to="all-workers")
    assert [soft_limit(pid) for pid in target.workers] == [25, 25]
    nemesis.undo(target, "prlimit")
    assert [soft_limit(pid) for pid in target.workers] == before


@needs("pids-cgroup")
def test_a_control_group_is_made_and_removed(make_target, nemesis):
    target = make_target("engine")
    nemesis.do(target, cgroup="pids", max=3)
    group = Path(journal(target.stage.folder)[-1]["arguments"][0])
    assert {int(pid) for pid in (group / "cgroup.procs").read_text().split()} == \
        {target.pid, *target.workers}
    assert (group / "pids.max").read_text().strip() == "3"
    nemesis.undo(target, "cgroup")
    assert not group.exists()
    target.wait("workers == 2")


@needs("mounts")
def test_a_disk_is_full_to_the_last_byte_and_has_room_again(make_target, nemesis):
    target = make_target("engine", disks=("logs",))
    folder = target.stage.folder / "logs"
    nemesis.do(target, fill="logs")
    with pytest.raises(OSError), open(folder / "one-more", "wb", buffering=0) as more:
        more.write(b"x" * 4096)
    nemesis.undo(target, "fill")
    (folder / "one-more").write_bytes(b"x" * 4096)


def test_starved_workers_yield_to_everybody(make_target, nemesis):
    target = make_target("engine")
    nemesis.do(target, starve="all-workers")
    assert {os.sched_getscheduler(pid) for pid in target.workers} == {os.SCHED_IDLE}
    assert len(target.stage.burners) == len(os.sched_getaffinity(0))
    nemesis.undo(target, "starve")
    assert {os.sched_getscheduler(pid) for pid in target.workers} == {os.SCHED_OTHER}
    assert all(wait_until(lambda: burner.poll() is not None, PATIENCE_S)
               for burner in target.stage.burners)


def test_a_crowd_fills_the_accept_queue(make_target, nemesis):
    target = make_target("engine", backlog=8)
    nemesis.do(target, signal="STOP", to="all-workers")
    target.wait("stopped == 2")
    nemesis.do(target, crowd=30)
    target.wait("queue >= 8")
    nemesis.undo(target)
    target.wait("stopped == 0 and queue == 0")


@needs("time-namespace")
def test_a_program_finds_its_clock_ahead():
    code = "import time; print(time.monotonic_ns())"
    ahead = 10**18
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                         preexec_fn=lambda: resources.set_clock_ahead(ahead)).stdout
    assert int(out) > ahead > time.monotonic_ns()


def ask(path: Path, within_s: float = PATIENCE_S) -> bytes | None:
    """What the application says to an upload within a time; None: it refused."""
    with socket.socket(socket.AF_UNIX) as conn:
        conn.settimeout(within_s)
        try:
            conn.connect(str(path))
            conn.sendall(b"POST /upload HTTP/1.1\r\nContent-Length: 0\r\nX-Mw-Nonce: 7\r\n"
                         b"Connection: close\r\n\r\n")
            data = b""
            while chunk := conn.recv(4096):
                data += chunk
            return data
        except ConnectionRefusedError:
            return None
        except ConnectionResetError:
            return b"reset"
        except TimeoutError:
            return b"late after " + str(len(data)).encode()


def test_the_application_has_its_moods(tmp_path):
    path = tmp_path / "helper.sock"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen([sys.executable, "-m", "masterwork.backend", str(path)], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as helper:
        assert helper.stdout.readline() == "ready\n"

        def become(mood: str) -> bytes | None:
            helper.stdin.write(mood + "\n")
            helper.stdin.flush()
            assert helper.stdout.readline() == mood + "\n"
            return ask(path, 0.5 if mood in ("stall", "trickle") else PATIENCE_S)
        assert b"7 0 ok" in ask(path)
        assert become("refuse") is None
        assert become("reset") in (b"reset", b"")
        assert become("stall") == b"late after 0"
        assert become("trickle").startswith((b"late after", b"HTTP/1.1 200 OK"))
        assert b"7 0 ok" in become("well")
        helper.stdin.close()
        assert helper.wait(PATIENCE_S) == 0


# ---- in stories ----------------------------------------------------------------------------------

@pytest.mark.parametrize("text, key, expected", [
    ("{ freeze = 'nobody', lasting = '1ms' }", "step[1].freeze", "not known"),
    ("{ freeze = 'worker' }", "step[1].lasting", "is missing"),
    ("{ freeze = 'worker', lasting = '1s', times = 2, every = '1s' }", "step[1].every", "longer"),
    ("{ cgroup = 'memroy', max = 1 }", "step[1].cgroup", "Did you mean 'memory'"),
    ("{ cgroup = 'pids', max = 'few' }", "step[1].max", "a size"),
    ("{ crowd = 100000 }", "step[1].crowd", "at most"),
    ("{ backend = 'sulk' }", "step[1].backend", "Known"),
    ("{ undo = 'everything' }", "step[1].undo", "Known"),
    ("{ storm = 'HUP:x,HOP', rate = 10, count = 1 }", "step[1].storm", "is not a signal"),
])
def test_a_mistake_in_a_nemesis_is_named(toml, text, key, expected):
    path = toml(f"summary = 's'\nchecks = ['reload/zero-loss']\nstep = [{text}]\n")
    with pytest.raises(InputError) as caught:
        load_story(path)
    assert str(caught.value).startswith(f"{path}: {key}: ") and expected in str(caught.value)


def test_every_nemesis_has_a_story():
    """A verb that nothing uses is one that nobody has seen work."""
    text = " ".join(story.file.read_text() for story in all_stories())
    unused = [verb for verb in VERBS if f"{{ {verb} = " not in text]
    assert unused in ([], ["config"], ["rate"], ["config", "rate"]), unused


ELSEWHERE = [story.name for story in all_stories() if story.tier == "quick"
             and why_not(story, find_target("engine")) and not why_not(story, find_target("nginx"))]


@pytest.mark.skipif(not Path("/usr/sbin/nginx").exists(), reason="nginx is not installed")
@pytest.mark.parametrize("name", ELSEWHERE)
def test_a_nemesis_that_the_engine_cannot_meet_is_staged_on_nginx(tmp_path, name):
    story, nginx = find_story(name), find_target("nginx")
    result = run_one(Play(story, nginx, tmp_path / "run"))
    assert not result.error and not result.trouble, (result.error, result.trouble)
    wrong = {item.id: (item.verdict, item.strength) for item in result.guarantees
             if item.aimed and item.verdict != HOLDS}
    assert wrong == {}


def test_what_the_machine_does_not_allow_is_unknown_with_the_reason(tmp_path, toml, monkeypatch):
    monkeypatch.setattr(resources, "why_not", lambda need: f"no {need} here")
    story = load_story(toml("summary = 's'\nchecks = ['serve/continuity']\nneeds = ['mounts']\n"))
    result = stage(Play(story, find_target("engine"), tmp_path / "run"))
    assert result.skipped == "no mounts here" and result.verdict == "unknown"


def test_a_story_that_is_late_is_killed_and_its_nemeses_undone(tmp_path, toml):
    story = load_story(toml("""
summary = "stops its workers and never ends"
checks = ["serve/continuity"]
limit = "2s"
step = [{ signal = "STOP", to = "all-workers" }, { observe = "60s" }]
"""))
    runner = Runner(Play(story, find_target("engine"), tmp_path / "run"))
    assert wait_until(lambda: bool(journal(tmp_path / "run")), PATIENCE_S)
    runner.kill()
    assert "was not over" in runner.result().error
    rows = journal(tmp_path / "run")
    assert [row["what"] for row in rows].count("held") == [row["what"] for row in rows].count(
        "undone")
