"""A swarm draws the same schedule from the same seed, keeps it, is judged like a story, and says
no."""

from __future__ import annotations

import re
import subprocess

import pytest

from masterwork.director import Play
from masterwork.isolate import run_one
from masterwork.paths import bin_folder
from masterwork.stories import Sabotage, load_story
from masterwork.swarm import PLANS, acts_for, fault, full_disk, save, schedule
from masterwork.targets import find_target
from masterwork.units import NS
from masterwork.verbs import Arm
from masterwork.verdicts import VIOLATED

SEEDS = range(1, 60)


def masterwork(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([bin_folder() / "masterwork", *words], capture_output=True, text=True,
                          timeout=110)


def drawn(tmp_path, seed: int, name: str = "engine", ms: int = 3000):
    path = tmp_path / "swarm" / f"{seed}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(schedule(find_target(name), seed, ms))
    return load_story(path)


def test_a_seed_draws_the_same_schedule_and_another_draws_another():
    target = find_target("engine")
    texts = [schedule(target, seed, 3000) for seed in SEEDS]
    assert texts == [schedule(target, seed, 3000) for seed in SEEDS]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize("name", ["engine", "nginx"])
def test_every_schedule_is_a_story(tmp_path, name):
    """All of them can be read, and end calm: nothing is drawn that the story language refuses."""
    for seed in SEEDS:
        story = drawn(tmp_path, seed, name)
        assert story.limit_ns > 60 * NS["s"]
        assert [step.text for step in story.steps if "undo" in step.text][-1] == "undo = 'all'"


def test_what_a_server_cannot_suffer_is_not_drawn(tmp_path):
    assert fault in acts_for(find_target("engine")) and fault not in acts_for(find_target("nginx"))
    assert not any(isinstance(step, Arm) for seed in SEEDS
                   for step in drawn(tmp_path, seed, "nginx").steps)


def test_what_the_machine_does_not_allow_is_not_drawn(monkeypatch):
    monkeypatch.setattr("masterwork.resources.why_not", lambda need: "not here")
    target = find_target("engine")
    assert full_disk not in acts_for(target)
    assert "disks" not in schedule(target, 1, 3000) and "cgroup" not in schedule(target, 1, 3000)


def test_every_plan_that_may_be_drawn_is_one_that_mw_fault_reads():
    done = subprocess.run([bin_folder() / "mw-fault", "check",
                           *(plan.format(n=3) for plan in PLANS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_schedule_is_kept_and_staged_again():
    done = masterwork("swarm", "engine", "--seed", "1", "--seconds", "2")
    lines = done.stdout.strip().splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert lines[0].startswith("seed 1:") and lines[-1].startswith("seed 1:")
    command = re.search(r"verify engine --story (\S+) --seed 1", lines[-1])
    again = masterwork("verify", "engine", "--story", command[1], "--seed", "1")
    assert again.returncode == 0, again.stdout + again.stderr


@pytest.mark.parametrize("seed", [2, 3, 4])
def test_the_engine_converges(tmp_path, seed):
    result = run_one(Play(drawn(tmp_path, seed), find_target("engine"), tmp_path / "run", seed))
    assert not result.error, result.error
    assert not result.violations and not result.trouble, (
        result.trouble, [(item.id, item.summary()) for item in result.violations])


def test_nginx_converges(tmp_path):
    """What it does not promise may break; that it was staged and judged is what counts here."""
    target = find_target("nginx")
    result = run_one(Play(drawn(tmp_path, 1, "nginx"), target, tmp_path / "run", 1))
    assert not result.error, result.error
    assert {item.id: item.verdict for item in result.guarantees if item.aimed}["serve/accounted"]


def test_a_server_that_does_not_come_back_is_found(tmp_path):
    """The same schedule on an engine that counts dead workers as live."""
    sabotage = Sabotage("respawn/count", "sabotage.no_respawn", "act")
    story = drawn(tmp_path, 1)
    result = run_one(Play(story, find_target("engine"), tmp_path / "run", 1, sabotage))
    assert not result.error, result.error
    assert result.verdict == VIOLATED
    assert {item.id for item in result.violations} & {"respawn/deadline", "respawn/count"}


def test_the_kept_file_says_where_it_comes_from():
    path = save(find_target("engine"), 9, 1000)
    assert path.read_text().startswith("# Drawn by `masterwork swarm engine --seed 9`.")
    assert load_story(path).own_file == str(path)
