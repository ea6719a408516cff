"""The simulated world as users meet it: mw-sim's modes, `masterwork simulate`, stories."""

from __future__ import annotations

import json
import subprocess

import pytest

from masterwork.cli import main
from masterwork.conditions import Condition
from masterwork.paths import program
from masterwork.schedule import Schedule, postfix, why_not
from masterwork.stories import all_stories, find_story
from masterwork.targets import find_target

KEYS = {"seeds", "violations", "events", "wall_s", "events_per_s", "simulated_s", "times_real",
        "history_hash"}


def sim(*arguments: str, code: int = 0) -> str:
    done = subprocess.run([program("mw-sim"), *arguments], capture_output=True, text=True,
                          timeout=100)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def swarm(*arguments: str) -> dict:
    return json.loads(sim("swarm", "--json", *arguments))


def test_a_swarm_repeats_itself_whatever_the_jobs():
    one = swarm("--seeds", "1..80")
    other = swarm("--seeds", "1..80", "--jobs", "2", "--twice")
    assert KEYS <= set(one)
    assert one["seeds"] == 80 and one["violations"] == 0
    assert other["not_repeatable"] == 0
    assert one["history_hash"] == other["history_hash"]
    assert one["history_hash"] != swarm("--seeds", "2..81")["history_hash"]


def test_a_run_says_how_fast_it_was(tmp_path):
    """Four workers at 100 requests a second over kept connections, the judge reading."""
    schedule = tmp_path / "steady.schedule"
    schedule.write_text("mw-sim schedule\nseed 7\nworkers 4\nbaseline 30s\n"
                        "load pooled pooled rate=100.000 clients=16\n")
    run = json.loads(sim("run", str(schedule), "--json"))
    assert run["simulated_s"] > 30 and run["requests"] > 3000
    assert run["times_real"] == pytest.approx(run["simulated_s"] / run["cpu_s"])
    assert run["events_per_s"] == pytest.approx(run["events"] / run["cpu_s"])
    assert run["events"] / run["requests"] < 8, "timers that find nothing to do are events again"


def test_an_upgrade_is_completed(tmp_path):
    """The old master is told to go; the new one reloads, and is upgraded itself."""
    schedule = tmp_path / "upgrade.schedule"
    schedule.write_text("mw-sim schedule\nseed 7\nworkers 3\nbaseline 2s\nact 8s\n"
                        "load pooled pooled rate=100.000 clients=16\n"
                        "load fresh fresh rate=100.000\n"
                        "at 100ms upgrade 3\nat 3s reload 2 1\nat 5s upgrade 3\n")
    run = json.loads(sim("run", str(schedule), "--json"))
    verdicts = {g["id"]: g for g in run["guarantees"]}
    assert verdicts["upgrade/two-masters"]["verdict"] == "holds"
    assert verdicts["upgrade/zero-loss"]["strength"].startswith("2 upgrades, ")
    assert verdicts["reload/cut-over"]["verdict"] == "holds"
    lines = sim("replay", str(schedule)).splitlines()
    assert sum(" other_gone " in line and " running " in line for line in lines) == 2
    assert sum(" quit " in line and " quitting " in line for line in lines) == 2


def test_backends_are_drawn_for_who_asks_for_them():
    plain = sim("schedule", "37")
    drawn = sim("schedule", "37", "--backends")
    assert "backends 0" in plain.splitlines() and " proxied" not in plain
    assert "backends 0" not in drawn.splitlines() and " proxied" in drawn
    swarm = sim("swarm", "--seeds", "1..40", "--backends", "--twice")
    assert "40 seeds: 0 violations, 0 without progress, 0 broken, 0 not repeatable" in swarm
    assert "repeat: mw-sim swarm --seeds 1..40 --backends" in swarm


def test_what_is_found_is_made_small_kept_and_repeated(tmp_path):
    found = sim("swarm", "--seeds", "1..200", "--sabotage", "lose_reload", code=1)
    assert "violated: reload/no-lost-signal" in found
    assert found.splitlines()[-1].startswith("repeat: mw-sim swarm --seeds 1..200")
    seed = found.split("repeat: mw-sim replay ")[1].split()[0]
    kept = tmp_path / "found.schedule"
    small = sim("shrink", seed, "--sabotage", "lose_reload", "--only", "reload/no-lost-signal",
                "--save", str(kept), code=1)
    assert f"repeat: mw-sim replay {kept}" == small.splitlines()[-1]
    assert len([line for line in kept.read_text().splitlines() if line.startswith("at ")]) <= 4
    again = sim("replay", str(kept), code=1)
    assert "violated: reload/no-lost-signal" in again
    mended = kept.read_text().replace("always sabotage.lose_reload\n", "")
    kept.write_text(mended)
    assert sim("run", str(kept)).startswith("holds")


def test_a_history_is_one_that_the_judge_reads(tmp_path):
    sim("replay", "7", "--history", str(tmp_path / "history"))
    assert main(["judge", str(tmp_path / "history")]) in (0, 2)


@pytest.mark.parametrize("arguments", [
    (), ("dance",), ("swarm",), ("swarm", "--seeds", "9..1"), ("replay",), ("replay", "1", "2"),
    ("run", "/nowhere"), ("swarm", "--seeds", "1..2", "--sabotage", "nothing"),
    ("swarm", "--seeds", "1..2", "--history", "x"), ("exhaustive", "--workers", "9")])
def test_mistakes_are_told(arguments):
    done = subprocess.run([program("mw-sim"), *arguments], capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stderr.startswith("mw-sim: ")


def test_an_exhaustive_search_ends_and_says_how_far_it_went():
    out = sim("exhaustive", "--workers", "2", "--signals", "1", "--faults", "1")
    assert "complete" in out and "states at rest" in out
    assert "NOT complete" in sim("exhaustive", "--states", "1000")


def test_simulate_in_eighty_columns(capsys):
    assert main(["simulate", "--seeds", "40", "--jobs", "1"]) == 0
    out = capsys.readouterr().out
    assert "40/40 seeds" in out and "nothing found" in out
    assert all(len(line) <= 80 and "\x1b" not in line for line in out.splitlines())
    assert main(["simulate", "--seeds", "40", "--jobs", "1", "--plan",
                 "sabotage.no_respawn"]) == 1
    out = capsys.readouterr().out
    assert "shrink" in out and out.splitlines()[-1].startswith("repeat it: ")


@pytest.mark.parametrize("text, expected", [
    ("ok >= 60", "ok 60 >="),
    ("a.ok >= 1 and not a.failed > 0", "a.ok 1 >= a.failed 0 > not and"),
    ("since(ok) >= 10 or workers == 2", "ok ok begin - 10 >= workers 2 == or"),
    ("1 <= workers < 3", "1 workers <= workers 3 < and"),
    ("a.reset_mid_response + 1 == -2", "a.reset-mid-response 1 + 2 neg =="),
])
def test_conditions_in_postfix_order(text, expected):
    assert postfix(Condition(text, ["a"], ["reset-mid-response"])) == expected


def test_stories_become_schedules_or_say_why_not():
    reasons = {story.name: why_not(story) for story in all_stories()}
    assert sum(not reason for reason in reasons.values()) >= 25
    assert "log" in reasons["control/log-rotation"]
    schedule = Schedule(find_story("reload/bad-then-good"), {"workers": 2}, 3, None)
    lines = schedule.text.splitlines()
    assert lines[:3] == ["mw-sim schedule", "seed 3", "story reload/bad-then-good"]
    assert "then reported refused 3000ms" in lines and "then baseline 1 4s" in lines
    assert len(schedule.steps) == sum(line.startswith("then ") for line in lines)
    moods = Schedule(find_story("serve/backend-moods"), {}, 3, None).text.splitlines()
    assert "backends 1" in moods and "then backend 0 trickle" in moods
    assert [line.split()[1] for line in moods if line.endswith(" proxied")] == ["upload"]


def test_the_same_stories_hold_in_the_simulated_world(capsys):
    names = ("reload/bad-then-good", "respawn/kill-one-worker", "drain/waiting-at-stop",
             "serve/backend-moods")
    stories = [word for name in names for word in ("--story", name)]
    assert main(["verify", "sim", *stories]) == 0
    assert find_target("sim").simulated
    assert "0 unknown" in capsys.readouterr().out


def test_a_story_that_cannot_be_simulated_is_unknown(capsys):
    assert main(["verify", "sim", "--story", "control/log-rotation"]) == 2
    assert "not simulated: log files" in " ".join(capsys.readouterr().out.split())
