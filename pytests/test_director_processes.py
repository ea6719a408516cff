"""Nothing that a story starts outlives it: orphans are found, a director that dies is cleared up
after, and one that is late is ended."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from masterwork import isolate
from masterwork.director import Play
from masterwork.errors import HarnessError
from masterwork.paths import program
from masterwork.ports import Port
from masterwork.record import Recorder, vocabulary
from masterwork.stories import find_story
from masterwork.targets import find_target
from masterwork.tree import (become_subreaper, caught_signals, children_count, descendants,
                             fd_count, is_alive, kill_all, wait_until)
from masterwork.verdicts import StoryResult

FORKS_TWICE = textwrap.dedent("""
    import os, sys, time
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.close(1)
            time.sleep(60)
        os._exit(0)
    os.wait()
    print("forked", flush=True)
    sys.stdin.read()
""")


@pytest.fixture
def play(tmp_path):
    return Play(find_story("at-rest"), find_target("nginx"), tmp_path / "run")


def test_an_orphan_of_an_orphan_is_found_and_killed():
    become_subreaper()
    before = {item.pid for item in descendants(os.getpid())}
    child = subprocess.Popen([sys.executable, "-c", FORKS_TWICE], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
    assert child.stdout.readline() == b"forked\n"
    child.communicate()
    left = [item.pid for item in descendants(os.getpid(), before)]
    assert len(left) == 1, "the daemon became ours when its parents ended"
    kill_all(os.getpid(), before)
    assert not is_alive(left[0])


def test_a_runner_that_dies_gives_a_harness_error_and_leaves_nothing(play, monkeypatch):
    def die(_):
        subprocess.Popen([sys.executable, "-c", FORKS_TWICE], stdin=subprocess.PIPE)
        wait_until(lambda: len(descendants(os.getpid())) >= 2, 10)
        os.kill(os.getpid(), signal.SIGKILL)
    monkeypatch.setattr(isolate, "stage", die)
    before = {item.pid for item in descendants(os.getpid())}
    result = isolate.run_one(play)
    assert "killed by signal 9" in result.error
    assert wait_until(lambda: not [item for item in descendants(os.getpid(), before)
                                   if item.state not in "ZX"], 5)


def test_a_runner_that_is_late_is_ended(play, monkeypatch):
    monkeypatch.setattr(isolate, "stage", lambda _: wait_until(lambda: False, 60))
    late = dataclasses.replace(play, story=dataclasses.replace(play.story, limit_ns=300_000_000))
    assert "was not over" in isolate.run_one(late).error


def test_a_harness_error_is_no_verdict(play, monkeypatch):
    def fail(_):
        raise HarnessError("the prober died")
    monkeypatch.setattr(isolate, "stage", fail)
    result = isolate.run_one(play)
    assert result.error == "the prober died" and result.guarantees == []


def test_results_come_in_the_order_asked_for(play, monkeypatch, tmp_path):
    monkeypatch.setattr(isolate, "stage", lambda one: StoryResult(one.folder.name, "nginx"))
    plays = [dataclasses.replace(play, folder=tmp_path / f"run-{number}") for number in range(7)]
    names = [result.name for result in isolate.run_all(plays, 3)]
    assert names == [f"run-{number}" for number in range(7)]


def test_ports_are_given_out_once():
    ports = [Port() for _ in range(50)]
    assert len({port.number for port in ports}) == 50
    for port in ports:
        port.close()


def test_what_proc_says_about_ourselves():
    me = os.getpid()
    with open(os.devnull):
        assert fd_count(me) > 3
    previous = signal.signal(signal.SIGUSR2, lambda *_: None)
    assert caught_signals(me) & 1 << (signal.SIGUSR2 - 1)
    signal.signal(signal.SIGUSR2, previous)
    before = children_count(me)
    child = subprocess.Popen(["sleep", "60"])
    assert children_count(me) == before + 1
    child.kill()
    child.wait()


def test_the_directors_history_is_one_that_mw_history_reads(tmp_path):
    record = Recorder(tmp_path / "director.mwh")
    record.put("director.begin", pid=7)
    record.put("director.param", a=record.word("param", "workers"), b=3)
    record.put_lines(record.words.kinds["director.begin"] + 10**9, [(99, 0, 200, 1)])
    record.close()
    rows = np.fromfile(tmp_path / "director.mwh", vocabulary().record)[1:]
    assert list(rows["pid"]) == [7, 0, 0] and rows["slot"][1] == -1
    out = subprocess.run([program("mw-history"), "cat", tmp_path], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert "director.begin" in out.stdout and "workers" in out.stdout
    assert Path(tmp_path / "director.mwh").stat().st_size == 4 * 64
