"""Stories on HAProxy and gunicorn: configuration, signals and workers are not nginx's.

Whether they hold is theirs; that a verdict is reached, by what was really done to them, is ours.
"""

from __future__ import annotations

import errno
import re
import subprocess
from dataclasses import replace

import pytest

from masterwork.director import Play, why_not
from masterwork.errors import HarnessError, InputError
from masterwork.fitting import fit, why_unfit
from masterwork.isolate import run_one
from masterwork.paths import TARGETS, program
from masterwork.stories import Server, all_stories, find_story, load_story
from masterwork.targets import find_target, load_target
from masterwork.units import NS
from masterwork.verbs import Wait
from masterwork.verdicts import UNKNOWN, VIOLATED, StoryResult, Verdict, add_up

pytestmark = pytest.mark.unsanitized("these are other people's servers")

OTHERS = ("haproxy", "gunicorn")


def stage(target_name: str, story_name: str, folder):
    """A story on an installed target: it must have been staged."""
    target = find_target(target_name)
    try:
        target.find()
    except HarnessError as error:
        pytest.skip(str(error))
    result = run_one(Play(find_story(story_name), target, folder))
    assert not result.error, result.error
    assert not result.skipped, result.skipped
    return result


def shown(folder) -> str:
    return subprocess.run([program("mw-history"), "cat", str(folder / "history")],
                          capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("target, story, seen", [
    ("haproxy", "reload/bad-then-good", ["reload/bad-config", "reload/zero-loss"]),
    ("haproxy", "serve/all-kinds-of-clients", ["serve/right-answer", "serve/one-generation"]),
    ("gunicorn", "respawn/kill-one-worker", ["respawn/deadline", "serve/continuity"]),
    ("gunicorn", "control/log-rotation", ["control/logs"]),
])
def test_a_verdict_is_reached(tmp_path, target, story, seen):
    result = stage(target, story, tmp_path / "run")
    reached = {name: result.of(name) for name in seen}
    assert all(item and item.verdict != UNKNOWN for item in reached.values()), \
        (reached, result.trouble)


@pytest.mark.parametrize("target", OTHERS)
def test_an_accept_fails_and_another_is_slow(tmp_path, target):
    """As the plan says, in a worker, and the run's history has it."""
    result = stage(target, "limit/accept-fails", tmp_path / "run")
    assert result.of("serve/continuity").verdict != UNKNOWN, result.trouble
    fired = re.findall(r"fault\.fired .*fault_point=net\.accept (\w+)=(\w+)",
                       shown(tmp_path / "run"))
    assert fired.count(("errno", str(int(errno.EMFILE)))) == 3, fired
    assert fired.count(("delay", str(50 * NS["ms"]))) == 5, fired


# ---- what fits and what does not -----------------------------------------------------------------

@pytest.mark.parametrize("target, story, why", [
    ("haproxy", "reload/fewer-then-more-workers", "runs 1 whatever is asked"),
    ("haproxy", "limit/slow-worker", "needs 3 workers, haproxy runs 1"),
    ("haproxy", "control/log-rotation", "has no log file to rotate"),
    ("haproxy", "control/frozen-processes", "has no log by which it shows"),
    ("haproxy", "control/whole-group", "sends HUP for reload, which haproxy does not take it for"),
    ("haproxy", "control/one-more-one-less", "lacks resize"),
    ("haproxy", "limit/descriptors", "sets no limit of descriptors"),
    ("gunicorn", "respawn/like-the-first", "has no directives worker_cpu_affinity"),
    ("gunicorn", "respawn/hung-worker", "has no fault point worker.loop"),
    ("gunicorn", "upgrade/taken-back", "lacks upgrade"),
    ("gunicorn", "drain/endless-clients", "waits for tunnel, and gunicorn has no tunnel path"),
    ("gunicorn", "serve/backend-moods", "lacks helper"),
])
def test_what_does_not_fit_is_not_staged_and_says_why(target, story, why):
    assert why in why_not(find_story(story), find_target(target))


@pytest.mark.parametrize("name", ["engine", "engine-proxy", "nginx"])
def test_every_story_fits_servers_of_nginx_s_kind(name):
    target = find_target(name)
    assert {story.name: why_unfit(story, target) for story in all_stories()
            if why_unfit(story, target)} == {}
    assert all(fit(story, target) is story for story in all_stories())


def waits(story) -> list[str]:
    return [step.until.text for step in story.steps if isinstance(step, Wait)]


def test_all_workers_are_as_many_as_run_there(toml):
    story = load_story(toml("""
summary = "x"
checks = ["respawn/count"]
server = { workers = 3 }
step = [ { wait = "workers == 3 and remaining == 0" }, { wait = "remaining == 3 or workers == 0" } ]
"""))
    assert waits(fit(story, find_target("haproxy"))) == [
        "workers == 1 and remaining == 0", "remaining == 1 or workers == 0"]
    assert waits(fit(story, find_target("gunicorn"))) == waits(story)


def test_times_are_rounded_up_where_they_are_whole_seconds():
    wishes = Server(workers=4, drain_ns=400 * NS["ms"], keepalive_ns=2 * NS["s"] + 1)
    assert find_target("gunicorn").able(wishes) == replace(wishes, drain_ns=NS["s"],
                                                           keepalive_ns=3 * NS["s"])
    assert find_target("haproxy").able(wishes) == replace(wishes, workers=1)


def test_a_target_has_a_signal_for_what_every_story_needs(tmp_path):
    for part in ("haproxy.toml", "haproxy.conf.j2"):
        text = (TARGETS / part).read_text(encoding="utf-8")
        (tmp_path / part).write_text(text.replace('reload = "USR2"', 'reload = ""'),
                                     encoding="utf-8")
    with pytest.raises(InputError, match="reload"):
        load_target(tmp_path / "haproxy.toml")


def test_what_one_story_does_may_be_promised_otherwise():
    haproxy = find_target("haproxy")
    assert haproxy.promise("drain/completes").kind == "promised"
    assert haproxy.promise("drain/completes", "drain/waiting-at-stop").kind == "documented-not"

    def broken(story: str) -> StoryResult:
        return StoryResult(story, "haproxy", guarantees=[Verdict("drain/completes", VIOLATED)])
    here, elsewhere = broken("drain/waiting-at-stop"), broken("drain/graceful-stop")
    assert add_up(haproxy, [here], ["drain/completes"])[0].is_finding
    assert add_up(haproxy, [here, elsewhere], ["drain/completes"])[0].is_bug
