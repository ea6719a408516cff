"""Stories on a real nginx: the harness is not made for one server only."""

from __future__ import annotations

import pytest

from masterwork.director import Play
from masterwork.isolate import run_one
from masterwork.stories import find_story
from masterwork.targets import find_target
from masterwork.verdicts import HOLDS, VIOLATED


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
])
def test_nginx_keeps_what_the_story_is_about(tmp_path, name, guarantees):
    result = stage(name, tmp_path / "run")
    seen = {item.id: (item.verdict, item.strength, item.evidence) for item in result.guarantees
            if item.id in guarantees}
    assert {key: value[0] for key, value in seen.items()} == dict.fromkeys(guarantees, HOLDS), \
        (seen, result.trouble)


def test_nothing_that_nginx_promises_is_violated_by_a_refused_reload(tmp_path):
    target = find_target("nginx")
    result = stage("reload/bad-then-good", tmp_path / "run")
    broken = [item.id for item in result.guarantees if item.verdict == VIOLATED
              and target.promise(item.id).kind == "promised"]
    assert broken == []
