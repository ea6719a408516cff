"""What holds for the engine holds for it as a reverse proxy: every answer another server's."""

from __future__ import annotations

import pytest

from masterwork.director import Play
from masterwork.isolate import run_one
from masterwork.stories import find_story
from masterwork.targets import find_target
from masterwork.verdicts import HOLDS


@pytest.mark.parametrize("name, guarantees", [
    ("serve/all-kinds-of-clients", ["serve/accounted", "serve/right-answer"]),
    ("reload/long-lived-connections", ["reload/zero-loss", "reload/long-lived"]),
    ("reload/twenty-a-second", ["reload/zero-loss", "reload/cut-over"]),
    ("respawn/kill-one-worker", ["respawn/deadline", "respawn/isolation"]),
])
def test_stories_hold_through_the_proxy(tmp_path, name, guarantees):
    result = run_one(Play(find_story(name), find_target("engine-proxy"), tmp_path / "run"))
    assert not result.error, result.error
    seen = {item.id: item.verdict for item in result.guarantees if item.id in guarantees}
    assert seen == dict.fromkeys(guarantees, HOLDS), (result.guarantees, result.trouble)
