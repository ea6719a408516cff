"""The pytest plugin, as a user's own test meets it."""

from __future__ import annotations

import re

import pytest

from masterwork.paths import ROOT, STORIES
from masterwork.stories import load_story

OWN_TEST = """
def test_reload_under_load(make_target, prober, nemesis, judge, history):
    target = make_target("nginx", loads=[prober("fresh", rate=100)], workers=3)
    target.wait("ok >= 50")
    target.phase("act")
    nemesis.kill(target)
    target.wait("replaced >= 1 and workers == 3")
    target.reload()
    target.wait("since(ok) >= 50 and generation == 2")
    target.reload(bad="bad-value")
    target.phase("recover")
    target.wait("since(ok) >= 20")
    target.stop()
    verdict = judge(target)
    verdict.must_hold("reload/bad-config", "control/pid-file")
    assert verdict["respawn/deadline"] == "holds"
    assert len(history(target)) > 20


def test_a_condition_that_does_not_hold_shows_the_state(make_target, prober):
    target = make_target("nginx", loads=[prober("fresh", rate=50)])
    target.wait("workers == 77", within="200ms")
"""


@pytest.fixture
def own(pytester, monkeypatch):
    monkeypatch.syspath_prepend(str(pytester.path))
    monkeypatch.setenv("MW_RUNS", str(pytester.path / "runs"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "pytests"))
    return pytester


def test_a_users_own_test(own):
    own.makepyfile(OWN_TEST)
    result = own.runpytest_subprocess("-p", "masterwork.plugin", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*'workers == 77' did not hold within 200ms*",
                                 "*master * alive, workers: *"])


def test_the_documents_examples_run(own):
    """docs/writing-tests.md: its test passes, its story is one that can be read."""
    text = (ROOT / "docs" / "writing-tests.md").read_text()
    own.makepyfile(re.search(r"```python\n(.*?)```", text, re.S)[1])
    own.runpytest_subprocess("-p", "masterwork.plugin", "-p", "no:cacheprovider").assert_outcomes(
        passed=1)
    folder = own.path / "respawn"
    folder.mkdir()
    path = folder / "example.toml"
    path.write_text(re.search(r"```toml\n(.*?)```", text, re.S)[1])
    assert load_story(path).sabotages[0].guarantee == "respawn/isolation"


def test_story_files_are_tests(own):
    result = own.runpytest_subprocess(
        "-p", "masterwork.plugin", "-p", "no:cacheprovider", "-rs", "--mw-target", "nginx",
        str(STORIES / "limit" / "at-rest.toml"), str(STORIES / "respawn" / "crash-loop.toml"))
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*nginx lacks backoff*"])
