"""The sweep: a failing call is found by its number, what it breaks is told with the command that
repeats it, and a bounded part of the whole holds on the engine."""

from __future__ import annotations

import argparse
import json
import subprocess

import pytest

from masterwork import report
from masterwork.catalogue import fault_points
from masterwork.director import Play, Spell
from masterwork.errors import InputError
from masterwork.isolate import run_one
from masterwork.paths import bin_folder
from masterwork.stories import find_story, load_story
from masterwork.sweep import (LIFE, MODES, Sweep, can_fail, find_sweep_story, moment, rows_of)
from masterwork.targets import find_target
from masterwork.units import NS
from masterwork.verdicts import HOLDS, VIOLATED

# Of the whole (`masterwork sweep --all`), one call of each kind for each phase of a server's life:
# forks, descriptors, the event loop, files, the channel.
BOUNDED = [("start", "proc.fork"), ("start", "fs.open"), ("start", "net.epoll_ctl"),
           ("reload", "net.socketpair"), ("reload", "net.epoll_ctl"), ("reload", "proc.kill"),
           ("upgrade", "proc.exec"), ("upgrade", "proc.fork"), ("upgrade", "fs.rename"),
           ("stop", "proc.waitpid"), ("stop", "fs.open"), ("stop", "fs.unlink")]


def arguments(**given) -> argparse.Namespace:
    usual = {"story": [], "all": False, "point": [], "errno": None, "role": None, "mode": "both",
             "at": "", "max": 2, "call": None, "target": "engine", "jobs": 1, "seed": 1,
             "json": None}
    return argparse.Namespace(**{**usual, **given})


def swept(**given):
    args = arguments(**given)
    return Sweep(rows_of(args), find_target("engine"), args, report.console()).run()


def masterwork(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([bin_folder() / "masterwork", "sweep", *words], capture_output=True,
                          text=True, timeout=110)


@pytest.mark.parametrize("story, point", BOUNDED, ids=lambda word: word)
def test_the_engine_holds_whatever_call_fails(story, point):
    rows = swept(story=[story], point=[point])
    assert sum(found.fired for found in rows) > 0, "the point was never reached"
    for found in rows:
        assert not found.failed, found.failed
        assert not found.broken, {
            call: (found.row.spell(call).plan, result.trouble,
                   [item.summary() for item in result.violations], result.folder)
            for call, result in found.broken.items()}


def test_a_call_that_breaks_something_is_named_with_the_command_that_repeats_it(tmp_path):
    """A crash of the master while it reaps: no server survives that."""
    story = find_sweep_story("reload")
    play = Play(story, find_target("engine"), tmp_path / "run",
                spell=Spell("master.reap crash=SEGV", "act", NS["s"]))
    result = run_one(play)
    assert not result.error and result.fired > 0
    assert result.trouble or result.violations


def test_what_breaks_is_printed_and_written(tmp_path):
    """A log line that cannot be written is lost: no server could keep it."""
    out = tmp_path / "sweep.json"
    done = masterwork("control/log-rotation", "--point", "fs.write", "--mode", "once", "--role",
                      "worker", "--max", "1", "--json", str(out))
    data = json.loads(out.read_text())
    assert done.returncode == 1, done.stdout + done.stderr
    broken = data["rows"][0]["broken"]
    assert data["broke"] == len(broken) == 1
    assert broken[0]["guarantees"] == ["control/logs"]
    assert broken[0]["repeat"] in done.stdout
    assert "--call 1" in broken[0]["repeat"] and "BROKE" in done.stdout


def test_a_sweep_ends_when_a_run_is_clean():
    once, on = swept(story=["start"], point=["net.bind"])
    assert (once.runs, once.fired, once.complete) == (2, 1, True)
    assert (on.runs, on.fired, on.complete) == (2, 1, True)


def test_a_sweep_that_is_cut_short_says_so():
    found, = swept(story=["start"], point=["fs.open"], mode="once", max=1)
    assert found.fired == 1 and not found.complete


def test_a_point_that_is_never_reached_is_unknown():
    done = masterwork("stop", "--point", "net.bind")
    assert done.returncode == 2 and "no call was reached" in done.stdout


def test_a_start_that_neither_serves_nor_ends_breaks(tmp_path):
    """Whoever stalls for ever in the middle of its start is told apart from one that refuses."""
    play = Play(find_sweep_story("start"), find_target("engine"), tmp_path / "run",
                spell=Spell("fs.open stall role=master", "start", 60 * NS["s"]))
    result = run_one(play)
    assert not result.error, result.error
    assert any("exit" in text or "neither" in text for text in result.trouble + result.excused)


def test_an_upgrade_that_is_taken_back_leaves_no_moment_without_a_pid_file(tmp_path):
    """The old master hears late that the new one is gone; the file names it all the same."""
    play = Play(find_sweep_story("upgrade"), find_target("engine"), tmp_path / "run",
                spell=Spell("master.reap delay=200ms", "recover", 5 * NS["s"]))
    result = run_one(play)
    found = result.of("control/pid-file")
    assert not result.error and result.fired > 0
    assert found.verdict == HOLDS, found.evidence


def test_the_shim_leaves_the_engine_its_own_points(tmp_path):
    """Below the shim a call of the engine is counted once, and its libraries' calls are counted."""
    counts = {}
    for shim in (False, True):
        play = Play(find_sweep_story("start"), find_target("engine"), tmp_path / str(shim),
                    spell=Spell("net.listen delay=1us; net.poll delay=1us", "start",
                                NS["s"] // 2), shim=shim)
        result = run_one(play)
        assert not result.error and not result.trouble, (result.error, result.trouble)
        counts[shim] = result.fired
    assert counts[False] == 1, "one listener, and no poll that could be seen"
    assert counts[True] > counts[False]


# ---- what may be asked for -----------------------------------------------------------------------

@pytest.mark.parametrize("given, expected", [
    ({"story": ["start"]}, "--point"),
    ({"point": ["proc.fork"]}, "story"),
    ({"story": ["start"], "point": ["proc.frok"]}, "Did you mean 'proc.fork'"),
    ({"story": ["start"], "point": ["worker.boot"]}, "cannot fail with an errno"),
    ({"story": ["strat"], "point": ["proc.fork"]}, "not a story"),
    ({"story": ["stop"], "point": ["proc.fork"], "at": "recover"}, "no such phase"),
])
def test_a_mistake_is_named(given, expected):
    with pytest.raises(InputError, match=expected):
        rows_of(arguments(**given))


def test_every_phase_of_a_life_has_its_story_and_moment():
    moments = {name: moment(find_sweep_story(name)) for name in LIFE}
    assert moments == {"start": "start", "reload": "act", "upgrade": "act", "stop": "stop"}
    assert moment(find_story("respawn/kill-one-worker")) == "act"


def test_all_means_every_call_that_can_fail():
    rows = rows_of(arguments(all=True))
    points = {name for name, point in fault_points().items() if can_fail(point)}
    assert {"proc.fork", "net.accept", "net.epoll_ctl", "fs.open", "fs.write", "net.sendmsg",
            "mem.map", "ipc.pipe", "net.socketpair", "proc.waitpid", "fs.rename", "net.listen",
            "net.bind", "net.socket"} <= points
    assert len(rows) == len(points) * len(LIFE) * len(MODES)
    assert not any(name.startswith(("sabotage.", "worker.", "master.")) for name in points)


def test_a_spell_ends_with_its_phase_and_excuses_nothing_after_it(tmp_path, toml):
    """The same reload fails under the spell (excused) and would count after it."""
    story = load_story(toml("""
summary = "two reloads"
checks = ["reload/honest"]
load = [{ name = "fresh", kind = "fresh", rate = 50 }]
step = [
  { wait = "ok >= 3" },
  { phase = "act" },
  { reload = "good" },
  { phase = "recover" },
  { reload = "good" },
]
"""))
    target = find_target("engine")
    spell = Spell("master.reload.parse errno=ENOMEM", "act", 30 * NS["s"])
    result = run_one(Play(story, target, tmp_path / "short", spell=spell))
    assert result.fired == 1 and len(result.excused) == 1 and result.trouble == []
    longer = Spell("master.reload.parse errno=ENOMEM", "baseline", 30 * NS["s"])
    result = run_one(Play(story, target, tmp_path / "long", spell=longer))
    assert result.fired == 0, "it ended with the phase it began in"
    assert result.of("reload/honest").verdict != VIOLATED
