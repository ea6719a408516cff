"""Small parts of the director: conditions, units, words, log lines, verdicts."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from masterwork.catalogue import words
from masterwork.conditions import NAMES, Condition
from masterwork.logbook import parse
from masterwork.pattern import pattern
from masterwork.state import State
from masterwork.units import conf_time, parse_bytes, parse_ns, show_ns
from masterwork.verdicts import (HOLDS, ORDER, UNKNOWN, VIOLATED, StoryResult, Verdict, add_up,
                                 exit_code, worst)
from masterwork.targets import find_target

VERDICTS = st.sampled_from([HOLDS, UNKNOWN, VIOLATED])


# ---- conditions ----------------------------------------------------------------------------------

class Fixed:
    """A world in which everything is told by a table."""

    def __init__(self, **values):
        self.values = values

    def value(self, name):
        return self.values.get(name, 0)

    def of_population(self, population, name):
        return self.values.get(f"{population}_{name}", 0)

    def logged(self, pattern):
        return self.values.get(pattern, 0)


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
def test_conditions_mean_what_python_means(ok, failed, workers):
    world = Fixed(ok=ok, failed=failed, workers=workers)
    for text in ("ok >= 3 and failed == 0", "ok + failed < 2 * workers or not workers > 4",
                 "0 < ok <= workers", "-ok < failed - workers"):
        meant = eval(text, {}, {"ok": ok, "failed": failed, "workers": workers})
        assert Condition(text, []).begin(world)() == bool(meant)


@given(st.integers(0, 100), st.integers(0, 100))
def test_since_counts_from_the_beginning_of_the_step(before, more):
    world = Fixed(ok=before, web_ok=before)
    question = Condition("since(ok) >= 10 and since(web.ok) >= 10", ["web"]).begin(world)
    world.values.update(ok=before + more, web_ok=before + more)
    assert question() == (more >= 10)


@given(st.text(max_size=40))
def test_no_text_gets_past_the_parser_and_fails_later(text):
    try:
        condition = Condition(text, ["web"], words("outcome"))
    except ValueError:
        return
    condition.begin(Fixed())()


@pytest.mark.parametrize("text", [
    "open('/etc/passwd')", "ok.__class__", "[ok]", "ok if ok else ok", "lambda: 1", "ok ** 99",
    "since(ok, ok)", "logged(ok)", "web.ok.real", "'a' == 'a'", "ok is ok", "ok in ok"])
def test_conditions_can_do_nothing_else(text):
    with pytest.raises(ValueError):
        Condition(text, ["web"])


def test_every_name_of_a_condition_can_be_read():
    state = State()
    for name in NAMES:
        assert state.value(name) == 0 or name == "seconds"


def test_the_state_follows_the_witnesses():
    state = State()
    state.hear_watch({"event": "tree", "zombies": 1, "workers": [
        {"pid": 7, "state": "S", "fds": 9}, {"pid": 8, "state": "T", "fds": 12}]})
    state.begin_phase("act")
    state.hear_watch({"event": "tree", "zombies": 0, "workers": [
        {"pid": 8, "state": "S", "fds": 12}, {"pid": 9, "state": "S", "fds": 3}]})
    state.hear_prober({"event": "progress", "requests": 5, "ok": 4, "failed": 1, "populations": [
        {"name": "web", "requests": 5, "ok": 4, "failed": 1, "outstanding": 0, "established": 2,
         "newest_gen": 3, "outcomes": {"reset-mid-response": 1}, "pids": [8, 9, 10]}]})
    seen = {name: state.value(name) for name in ("workers", "replaced", "remaining", "answering",
                                                 "zombies", "fds", "ok", "generation")}
    assert seen == {"workers": 2, "replaced": 1, "remaining": 1, "answering": 1, "zombies": 0,
                    "fds": 12, "ok": 4, "generation": 3}
    assert state.of_population("web", "reset_mid_response") == 1
    assert "8(S) 9(S)" in state.describe()[0]


# ---- units ---------------------------------------------------------------------------------------

@given(st.integers(0, 10**6))
def test_durations_are_read_in_their_unit(number):
    assert parse_ns(f"{number}ms") == number * 10**6
    assert parse_ns(f"{number}s") == number * 10**9
    assert conf_time(parse_ns(f"{number}ms")) == f"{number}ms"


@pytest.mark.parametrize("text", ["5", 5, "5 s", "s", "-1s", "1h", ""])
def test_a_duration_without_its_unit_is_refused(text):
    with pytest.raises(ValueError, match="250ms"):
        parse_ns(text)


def test_sizes_and_what_people_see():
    assert (parse_bytes(7), parse_bytes("64k"), parse_bytes("2M")) == (7, 65536, 2 << 20)
    assert [show_ns(n) for n in (12_000, 250_000_000, 1_500_000_000, 20_000_000_000)] == [
        "12 us", "250 ms", "1.5 s", "20 s"]
    with pytest.raises(ValueError):
        parse_bytes("64kb")


@given(st.integers(0, 20000))
def test_the_pattern_is_that_of_pattern_h(offset):
    assert pattern(offset + 1)[offset] == 33 + (offset + offset // 89) % 89


# ---- log lines -----------------------------------------------------------------------------------

SHAPE = re.compile(find_target("engine").access_pattern)


def line(nonce: int, status: int = 200) -> str:
    return f'mw {nonce} {status} 77 "GET /echo HTTP/1.1" 12 end'


@given(st.lists(st.tuples(st.integers(1, 2**64 - 1), st.integers(100, 599)), max_size=20))
def test_whole_lines_are_whole(rows):
    data = "".join(line(*row) + "\n" for row in rows).encode()
    assert parse(data, SHAPE, 0) == [(nonce, 0, status, 1) for nonce, status in rows]


@given(st.data())
def test_a_torn_line_is_seen_wherever_it_is_torn(data):
    whole = line(12345) + "\n"
    cut = data.draw(st.integers(1, len(whole) - 2))
    rows = parse((whole + whole[:cut] + "\n" + whole[cut:] + whole).encode(), SHAPE, 1)
    assert rows[0] == rows[-1] == (12345, 1, 200, 1)
    assert any(row[3] == 0 for row in rows[1:-1])


def test_a_line_without_its_end_is_torn():
    assert parse(line(5).encode(), SHAPE, 0) == [(0, 0, 0, 0)]
    assert parse(b"", SHAPE, 0) == []


def test_a_request_without_a_nonce_has_none():
    assert parse(b'mw - 400 77 "" 12 end\n', SHAPE, 2) == [(0, 2, 400, 1)]


# ---- verdicts ------------------------------------------------------------------------------------

@given(st.lists(VERDICTS))
def test_the_worst_verdict_wins(verdicts):
    expected = UNKNOWN if not verdicts else sorted(verdicts, key=ORDER.__getitem__)[-1]
    assert worst(verdicts) == expected


def story(verdict: str, aimed: bool = True, name: str = "reload/zero-loss", **more) -> StoryResult:
    return StoryResult("a/b", "nginx", guarantees=[Verdict(name, verdict, aimed=aimed)], **more)


@given(st.lists(st.tuples(VERDICTS, st.booleans()), max_size=6))
def test_unknown_is_never_shown_as_holds(rows):
    nginx = find_target("nginx")
    results = [story(verdict, aimed) for verdict, aimed in rows]
    total = add_up(nginx, results, ["reload/zero-loss"])[0]
    counted = [verdict for verdict, aimed in rows if aimed or verdict != UNKNOWN]
    assert (total.verdict == HOLDS) == (bool(counted) and set(counted) == {HOLDS})
    assert (total.verdict == VIOLATED) == (VIOLATED in counted)


@pytest.mark.parametrize("result, strict, code", [
    (story(HOLDS), False, 0),
    (story(VIOLATED), False, 1),  # promised by nginx: a bug
    (story(VIOLATED, name="serve/continuity"), False, 0),  # silent: a finding
    (story(VIOLATED, name="serve/continuity"), True, 1),
    (story(UNKNOWN), False, 2),
    (StoryResult("a/b", "nginx", error="the prober died"), False, 3),
])
def test_exit_codes(result, strict, code):
    totals = add_up(find_target("nginx"), [result], [item.id for item in result.guarantees])
    assert exit_code(totals, [result], strict) == code


def test_a_story_that_was_not_staged_takes_nothing_away():
    nginx = find_target("nginx")
    skipped = story(UNKNOWN, skipped="lacks faults")
    assert add_up(nginx, [story(HOLDS), skipped], ["reload/zero-loss"])[0].verdict == HOLDS
    assert add_up(nginx, [skipped], ["reload/zero-loss"])[0].verdict == UNKNOWN


def test_results_survive_their_file(tmp_path):
    before = story(VIOLATED, seconds=1.5, trouble=["step 1: x"])
    before.save(tmp_path / "verdict.json")
    assert StoryResult.load(tmp_path / "verdict.json") == before
