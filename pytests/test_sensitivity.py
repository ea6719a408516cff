"""The judge is judged: every sabotage of every story must be caught, and without it the same story
holds."""

from __future__ import annotations

import pytest

from masterwork.director import Play, why_not
from masterwork.isolate import run_one
from masterwork.sensitivity import is_caught, rows
from masterwork.stories import all_stories
from masterwork.targets import find_target
from masterwork.verdicts import HOLDS

# What the engine has no use for (it has no application behind it) is staged on nginx, in
# test_nemesis.py.
QUICK = [story for story in all_stories()
         if story.tier == "quick" and not why_not(story, find_target("engine"))]


@pytest.mark.parametrize("row", rows(), ids=lambda row: row.id)
def test_sabotage_is_caught(tmp_path, row):
    result = run_one(Play(row.story, find_target("engine"), tmp_path / "run", 1, row.sabotage))
    assert not result.error, result.error
    found = result.of(row.sabotage.guarantee)
    assert is_caught(result, row.sabotage), (found.verdict, found.strength, result.trouble)
    assert found.evidence and all(piece["text"] for piece in found.evidence)


@pytest.mark.parametrize("story", QUICK, ids=lambda story: story.name)
def test_without_sabotage_it_holds(tmp_path, story):
    result = run_one(Play(story, find_target("engine"), tmp_path / "run"))
    assert not result.error, result.error
    wrong = {item.id: (item.verdict, item.strength, item.evidence[:1])
             for item in result.guarantees if result.counts(item) and item.verdict != HOLDS}
    assert wrong == {}, result.trouble
