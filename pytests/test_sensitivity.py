"""The judge is judged: `make sensitivity` arms every sabotage; here are one of each family, every
quick story without, and what the matrix says when something is not as it must be."""

from __future__ import annotations

import argparse
import io
from xml.etree import ElementTree

import pytest
from rich.console import Console

from masterwork.catalogue import fault_points, guarantees
from masterwork.director import Play, why_not
from masterwork.isolate import run_one
from masterwork.sensitivity import (Matrix, as_json, conclude, is_caught, rows, show, troubles,
                                    unused_points, write_junit)
from masterwork.stories import all_stories
from masterwork.targets import find_target
from masterwork.verdicts import HOLDS, VIOLATED, StoryResult, Verdict
from sanitized import meaningless

# What the engine has no use for (it has no application behind it) is staged on nginx, in
# test_nemesis.py.
QUICK = [story for story in all_stories()
         if story.tier == "quick" and not why_not(story, find_target("engine"))]
ONE_OF_EACH = list({row.sabotage.guarantee.split("/")[0]: row for row in rows()}.values())


@pytest.mark.parametrize("row", ONE_OF_EACH, ids=lambda row: row.id)
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
             for item in result.guarantees if result.counts(item) and item.verdict != HOLDS
             and not meaningless(item.id)}
    assert wrong == {}, result.trouble


# ---- the matrix ----------------------------------------------------------------------------------

def matrix(verdict: str = VIOLATED, clean: str = HOLDS, simulated: str = "seed 4",
           **more) -> Matrix:
    """All sabotages with the same verdict; all stories without with another."""
    todo = rows()
    results = [StoryResult(row.story.name, "engine", guarantees=[
        Verdict(row.sabotage.guarantee, verdict, "what was seen")]) for row in todo]
    bare = [StoryResult(row.story.name, "engine", guarantees=[
        Verdict(row.sabotage.guarantee, clean)]) for row in todo[:3]]
    return Matrix(todo, results, bare, {row.point: simulated for row in todo[:5]},
                  list(guarantees()), **more)


def ending(found: Matrix) -> tuple[int, str]:
    out = io.StringIO()
    args = argparse.Namespace(seed=1)
    return conclude(Console(file=out, width=80, no_color=True), args, found), out.getvalue()


def test_a_full_matrix_is_well():
    code, text = ending(matrix())
    assert code == 0 and troubles(matrix()) == []
    assert f"{len(guarantees())} of {len(guarantees())} guarantees have one" in text


@pytest.mark.parametrize("found, expected", [
    (matrix(verdict=HOLDS), "is not caught in"),
    (matrix(verdict=HOLDS), "its checker has never been seen to say no"),
    (matrix(clean=VIOLATED), "though nothing was sabotaged"),
    (matrix(simulated="missed"), "the simulator's proof does not catch it"),
    (matrix(unused=["sabotage.nobody_uses"]), "sabotage.nobody_uses: no story stages it"),
])
def test_what_is_not_as_it_must_be_fails_with_a_sentence(found, expected):
    code, text = ending(found)
    assert code == 1
    assert any(expected in line for line in troubles(found)) and expected in text


def test_a_missed_sabotage_ends_with_the_command_that_repeats_it():
    last = ending(matrix(verdict=HOLDS))[1].strip().splitlines()[-1]
    assert last.startswith("repeat it: ") and "sensitivity --guarantee" in last


def test_a_harness_that_fails_says_nothing_about_the_judge():
    found = matrix()
    found.results[0].error = "the prober died"
    assert ending(found)[0] == 3


def test_the_matrix_is_80_columns_wide_without_colour():
    out = io.StringIO()
    show(Console(file=out, width=80, no_color=True), matrix(simulated="missed"))
    lines = out.getvalue().splitlines()
    assert all(len(line.rstrip()) <= 80 for line in lines)
    # A line for each guarantee and for each sabotage, and the head: nothing was wrapped.
    assert len(lines) == 1 + len(guarantees()) + len(rows())


def test_json_and_junit_say_the_same(tmp_path):
    found = matrix(verdict=HOLDS, unused=["sabotage.nobody_uses"])
    data = as_json(found, 1)
    assert (data["caught"], data["of"]) == (0, len(rows()))
    assert data["not_covered"] == list(guarantees()) and data["not_staged"]
    path = tmp_path / "out.xml"
    write_junit(str(path), found)
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert int(suite.get("failures")) == len(rows()) + len(guarantees()) + 1
    assert len(suite.findall("testcase")) == int(suite.get("tests"))


def test_every_sabotage_point_has_a_story():
    assert unused_points() == []
    assert {row.point for row in rows()} <= set(fault_points())
