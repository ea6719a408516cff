"""Stories and targets as files: all of ours are valid, every mistake in one is named, and no
guarantee is without a story and a sabotage."""

from __future__ import annotations

import re
import subprocess

import pytest

from masterwork.catalogue import fault_points, guarantees
from masterwork.errors import InputError
from masterwork.paths import STORIES, program
from masterwork.stories import all_stories, find_story, load_story, select
from masterwork.targets import all_targets, find_target, load_target
from masterwork.verbs import VERBS, Arm

PATHS = sorted(STORIES.glob("*/*.toml"))
MINIMAL = 'summary = "s"\nchecks = ["reload/zero-loss"]\n'
FAMILIES = {item.family for item in guarantees().values()}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_story_is_valid(path):
    story = load_story(path)
    assert story.family in FAMILIES
    assert path.read_text().startswith("# "), "a head comment says which mistake it guards against"
    assert re.fullmatch(r"[a-z-]+", path.stem), "a name says what happens, in words"


def test_every_guarantee_has_a_quick_story():
    covered = {name for story in all_stories() if story.tier == "quick" for name in story.checks}
    assert set(guarantees()) - covered == set()


def test_every_guarantee_has_a_sabotage():
    sabotaged = {row.guarantee for story in all_stories() for row in story.sabotages}
    assert set(guarantees()) - sabotaged == set()


def test_every_sabotage_point_is_used():
    plans = " ".join(row.plan for story in all_stories() for row in story.sabotages)
    unused = [name for name, point in fault_points().items()
              if point.is_sabotage and name not in plans.split()]
    assert unused == []


def test_every_sabotage_says_the_guarantee_it_breaks():
    """points.def and the stories agree on what a sabotage must turn to violated."""
    for story in all_stories():
        for row in story.sabotages:
            points = [fault_points()[rule.split()[0]] for rule in row.plan.split(";")]
            caught = {name for point in points for name in point.guarantees}
            assert row.guarantee in caught, f"{story.name}: {row.plan}: points.def says {caught}"


def test_every_plan_is_one_that_mw_fault_reads():
    plans = [row.plan for story in all_stories() for row in story.sabotages]
    plans += [step.plan for story in all_stories() for step in story.steps
              if isinstance(step, Arm)]
    for first in range(0, len(plans), 16):  # a board holds so many rules and no more
        done = subprocess.run([program("mw-fault"), "check", *plans[first:first + 16]],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_every_verb_is_used_or_documented():
    assert all(sentence for _, sentence in VERBS.values())


@pytest.mark.parametrize("text, key, expected", [
    ("sumary = 'x'", "sumary", "Did you mean 'summary'?"),
    ("tier = 'quik'", "tier", "Did you mean 'quick'?"),
    ("checks = ['reload/zero-los']", "checks", "Did you mean 'reload/zero-loss'"),
    ("checks = []", "checks", "at least one guarantee"),
    ("needs = ['rot']", "needs", "Did you mean 'root'?"),
    ("server = { workers = 'two' }", "server.workers", "a whole number is expected"),
    ("server = { drain = 5 }", "server.drain", '"250ms" or "5s"'),
    ("server = { wrkers = 2 }", "server.wrkers", "Did you mean 'workers'"),
    ("params = { drain_bond = '1s' }", "params.drain_bond", "Did you mean 'drain_bound'"),
    ("params = { workers = 3 }", "params.workers", "taken from [server]"),
    ("load = [{ name = 'a', kind = 'frsh' }]", "load[1].kind", "Did you mean 'fresh'"),
    ("load = [{ kind = 'fresh' }]", "load[1].name", "is missing"),
    ("load = [{ name = 'a b', kind = 'fresh' }]", "load[1].name", "letters, digits"),
    ("load = [{ name = 'a', kind = 'fresh', on = 'nowhere' }]", "load[1].on", "not known"),
    ("load = [{ name = 'a', kind = 'fresh' }, { name = 'a', kind = 'post' }]", "load", "same name"),
    ("step = [{ wiat = 'ok >= 1' }]", "step[1]", "needs a verb"),
    ("step = [{ wait = 'okk >= 1' }]", "step[1].wait", "Did you mean 'ok'"),
    ("step = [{ wait = 'web.ok >= 1' }]", "step[1].wait", "not a load of this story"),
    ("step = [{ wait = '__import__(\"os\")' }]", "step[1].wait", "cannot stand in a condition"),
    ("step = [{ wait = 'ok >=' }]", "step[1].wait", "is not a condition"),
    ("step = [{ wait = 'ok >= 1', withn = '1s' }]", "step[1].withn", "Did you mean 'within'"),
    ("step = [{ phase = 'ackt' }]", "step[1].phase", "Did you mean 'act'"),
    ("step = [{ signal = 'HUPP' }]", "step[1].signal", "is not a signal"),
    ("step = [{ signal = 'HUP', to = 'boss' }]", "step[1].to", "not known"),
    ("step = [{ storm = 'HUP', rate = 10, count = 10000 }]", "step[1]", "over a minute"),
    ("step = [{ arm = 'net.acept delay=1ms' }]", "step[1].arm", "Did you mean 'net.accept'"),
    ("step = [{ repeat = 2, step = [{ phase = 'x' }] }]", "step[1].step[1].phase", "not known"),
    ("step = [{ repeat = 2 }]", "step[1].step", "at least one step"),
    ("step = [{ reload = 'good', expect = 'okay' }]", "step[1].expect", "Did you mean 'ok'"),
    ("step = [{ config = 'same' }]", "step[1].config", "would write nothing"),
    ("step = [{ disarm = 'first' }]", "step[1].disarm", "numbers of rules"),
    ("step = [{ start = 'web' }]", "step[1].start", "not known"),
    ("sabotage = [{ guarantee = 'reload/cut-over', plan = 'sabotage.serve_old' }]",
     "sabotage[1].guarantee", "not known"),
    ("sabotage = [{ guarantee = 'reload/zero-loss', plan = 'sabotage.drop' }]",
     "sabotage[1].plan", "Did you mean"),
])
def test_a_mistake_names_file_key_and_what_was_expected(toml, text, key, expected):
    own = text.split(" =")[0]
    base = "\n".join(line for line in MINIMAL.splitlines() if not line.startswith(own + " "))
    path = toml(f"{base}\n{text}\n")
    with pytest.raises(InputError) as caught:
        load_story(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: {key}: "), message
    assert expected in message


def test_a_file_that_is_not_toml_says_where(toml):
    with pytest.raises(InputError, match=r"not TOML.*line 2"):
        load_story(toml("summary = 'x'\ntier = = 3"))


def test_a_missing_file_says_so(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_story(tmp_path / "none.toml")


def test_stories_are_found_by_name_family_and_tier():
    assert find_story("reload/bad-then-good").file == find_story("bad-then-good").file
    with pytest.raises(InputError, match="Did you mean 'reload/bad-then-good'"):
        find_story("reload/bad-then-god")
    stories = all_stories()
    assert {story.family for story in select(stories, "quick", [], "drain")} == {"drain"}
    assert len(select(stories, "full", [], None)) == len(stories)
    assert all(story.tier == "quick" for story in select(stories, "quick", [], None))
    with pytest.raises(InputError, match="not a family"):
        select(stories, "quick", [], "drian")


# ---- targets -------------------------------------------------------------------------------------

def test_our_targets_are_valid():
    assert {target.name for target in all_targets()} >= {"engine", "nginx"}


def test_the_engine_promises_everything_and_nginx_says_where():
    engine, nginx = find_target("engine"), find_target("nginx")
    assert all(engine.promise(name).kind == "promised" for name in guarantees())
    for name, promise in nginx.promises.items():
        assert name in guarantees() and promise.source


def test_a_targets_params_are_the_judges():
    assert find_target("engine").params["engine_trace"] == 1
    assert find_target("nginx").params["cut_over_allowance"] == 1_000_000_000


@pytest.mark.parametrize("change, expected", [
    (("[signals]\n", "[signals]\nreload = 'HOP'\n"), "signals.reload"),
    (("[surface]\n", "[surface]\nech = '/x'\n"), "Did you mean 'echo'"),
    (("echo = ", "post = "), "surface.echo: is missing"),
    (("[promises]\n", "[promises]\n'reload/zero-los' = ['silent']\n"), "not a guarantee"),
    (("[promises]\n", "[promises]\n'reload/zero-loss' = ['promised']\n"), "where it is said"),
    (("template = 'own.j2'", "template = 'none.j2'"), "cannot be read"),
    (("'(\\S+)'", "'('"), "not a regular expression"),
])
def test_a_mistake_in_a_target_is_named(tmp_path, change, expected):
    text = """summary = "my server"
[find]
program = ["my-server"]
version = ["{program}", "-v"]
version_pattern = '(\\S+)'
[start]
argv = ["{program}"]
[config]
template = 'own.j2'
file = "own.conf"
[signals]
[surface]
echo = "/"
[promises]
"""
    path = tmp_path / "mine.toml"
    (tmp_path / "own.j2").write_text("workers {{ workers }};\n")
    path.write_text(text)
    assert load_target(path).name == "mine"
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    with pytest.raises(InputError) as caught:
        load_target(path)
    assert str(path) in str(caught.value) and expected in str(caught.value)


