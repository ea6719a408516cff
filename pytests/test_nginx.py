"""Stories on a real nginx: the harness is not made for one server only."""

from __future__ import annotations

import subprocess

import pytest

from masterwork.director import Play
from masterwork.isolate import run_one
from masterwork.paths import program
from masterwork.stories import find_story
from masterwork.targets import find_target
from masterwork.verdicts import HOLDS, UNKNOWN, VIOLATED

pytestmark = pytest.mark.unsanitized("this is nginx")


def stage(name: str, folder):
    result = run_one(Play(find_story(name), find_target("nginx"), folder))
    assert not result.error, result.error
    return result


@pytest.mark.parametrize("name, guarantees", [
    ("reload/bad-then-good", ["reload/bad-config", "reload/leaves-no-trace", "reload/honest"]),
    ("respawn/kill-one-worker", ["respawn/deadline", "respawn/count"]),
    ("control/log-rotation", ["control/logs"]),
    ("control/all-workers-stopped", ["control/responsive", "control/pid-file"]),
    ("limit/at-rest", ["limit/no-spin"]),
    ("serve/all-kinds-of-clients", ["serve/accounted", "serve/right-answer"]),
    ("respawn/like-the-first", ["respawn/equal"]),
    ("reload/only-tested", ["reload/check-is-inert"]),
    ("reload/long-lived-connections", ["reload/long-lived"]),
    ("control/whole-group", ["control/scope"]),
    ("limit/budget-of-every-generation", ["limit/fd-budget"]),
    ("upgrade/take-over", ["upgrade/zero-loss", "upgrade/two-masters", "upgrade/under-reaper",
                           "upgrade/paths"]),
    ("upgrade/taken-back", ["upgrade/rollback"]),
])
def test_nginx_keeps_what_the_story_is_about(tmp_path, name, guarantees):
    result = stage(name, tmp_path / "run")
    seen = {item.id: (item.verdict, item.strength, item.evidence) for item in result.guarantees
            if item.id in guarantees}
    assert {key: value[0] for key, value in seen.items()} == dict.fromkeys(guarantees, HOLDS), \
        (seen, result.trouble)


@pytest.mark.parametrize("name, fired", [
    ("serve/full-queue", "net.accept"), ("respawn/fork-fails", "proc.fork"),
    ("reload/slow-start", "worker.boot")])
def test_a_story_with_faults_arms_them_below_the_shim(tmp_path, name, fired):
    result = stage(name, tmp_path / "run")
    assert not result.skipped
    shown = subprocess.run([program("mw-history"), "cat", str(tmp_path / "run/history")],
                           capture_output=True, text=True, check=True).stdout
    assert f"fault_point={fired}" in shown.partition("fault.fired")[2]


def test_nginx_does_not_try_again_after_a_failed_fork(tmp_path):
    """Until the next child ends; the engine does, and says when."""
    verdicts = {item.id: item.verdict for item in
                stage("respawn/fork-fails", tmp_path / "run").guarantees}
    assert verdicts["respawn/fork-failure"] == VIOLATED


def test_a_story_with_faults_that_only_the_server_could_know_is_unknown(tmp_path):
    result = stage("respawn/crash-at-request", tmp_path / "run")
    assert result.skipped == "nginx has no fault point worker.request, worker.response"
    assert {item.verdict for item in result.guarantees} == {UNKNOWN}


def test_nothing_that_nginx_promises_is_violated_by_a_refused_reload(tmp_path):
    target = find_target("nginx")
    result = stage("reload/bad-then-good", tmp_path / "run")
    broken = [item.id for item in result.guarantees if item.verdict == VIOLATED
              and target.promise(item.id).kind == "promised"]
    assert broken == []
