"""`masterwork verify` from end to end: verdicts, files, exit codes, and nothing left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from masterwork.catalogue import guarantees
from masterwork.paths import ROOT
from masterwork.tree import become_subreaper, descendants, kill_all, wait_until

PACKAGE = Path(__file__).resolve().parent
STORY = "reload/bad-then-good"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "masterwork", *arguments]


def environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(PACKAGE), "MW_RUNS": str(tmp_path / "runs")}


def run(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments), text=True, capture_output=True, timeout=110,
                          env=environment(tmp_path))


@pytest.mark.parametrize("over", ["tls", "unix"])
@pytest.mark.parametrize("story", ["serve/all-kinds-of-clients", "respawn/kill-one-worker",
                                   "drain/graceful-stop"])
def test_clients_that_speak_through_something_else(tmp_path, over, story):
    done = run(tmp_path, "verify", "engine", "--story", story, "--over", over, "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    folder, = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    conf = (folder / "server.conf").read_text()
    assert (" ssl" in conf) == (over == "tls") and ("listen unix:" in conf) == (over == "unix")


def test_variants_are_added_up_in_a_table(tmp_path):
    """What a variant cannot stage is unknown there, with the reason, and no failure."""
    out = tmp_path / "out.json"
    done = run(tmp_path, "variants", "--target", "engine-proxy", "--over", "tls", "--over", "unix",
               "--story", STORY, "--story", "shm/status-page", "--json", str(out))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(out.read_text())
    assert [(row["target"], row["over"], row["staged"], row["left out"], row["bugs"])
            for row in rows] == [("engine-proxy", over, 1, 1, 0) for over in ("tls", "unix")]
    assert {row["guarantees"]["reload/bad-config"] for row in rows} == {"holds"}
    assert "engine-proxy over tls: shm/consistent unknown: not staged" in done.stdout
    table = done.stdout[done.stdout.index("server "):].splitlines()
    assert table[1].split()[:3] == ["engine-proxy", "tls", str(rows[0]["hold"])]


def test_a_variant_that_breaks_a_promise_fails(tmp_path):
    path = tmp_path / "reload" / "dies.toml"
    path.parent.mkdir()
    path.write_text(DISTURBED)
    done = run(tmp_path, "variants", "--target", "engine", "--over", "unix", "--story", str(path))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "engine over unix: reload/bad-config violated" in done.stdout


def test_a_story_that_holds(tmp_path):
    report, junit = tmp_path / "out.json", tmp_path / "out.xml"
    done = run(tmp_path, "verify", "engine", "--story", STORY, "--json", str(report), "--junit",
               str(junit), "--keep")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\x1b" not in done.stdout, "plain where it is not a terminal"
    assert max(map(len, done.stdout.splitlines())) <= 80
    data = json.loads(report.read_text())
    assert data["target"] == "engine" and data["version"] != "unknown"
    assert data["guarantees"]["reload/bad-config"] == "holds"
    assert set(data["guarantees"].values()) <= {"holds", "violated", "unknown"}
    story, = data["stories"]
    assert story["name"] == STORY and story["seconds"] > 0
    for row in story["guarantees"]:
        assert row["id"] in guarantees() and row["strength"] and row["evidence"] == []
    cases = ElementTree.parse(junit).findall(".//testcase")
    assert {case.get("name") for case in cases} >= {"reload/bad-config", "reload/honest"}
    assert not ElementTree.parse(junit).findall(".//failure")
    folder, = (path for path in (tmp_path / "runs").iterdir() if path.is_dir())
    names = {path.name for path in folder.iterdir()}
    assert {"history", "logs", "server.conf", "story.toml", "verdict.json"} <= names
    again = run(tmp_path, "judge", str(folder), "--only", "reload/bad-config")
    assert again.returncode == 0 and "holds" in again.stdout


DISTURBED = """
# A story whose own plan is a sabotage: the promise is broken for certain.
summary = "the engine dies of a bad configuration"
checks = ["reload/bad-config"]
needs = ["faults"]
load = [{ name = "fresh", kind = "fresh", rate = 50 }]
step = [
  { wait = "ok >= 20" },
  { phase = "act" },
  { arm = "sabotage.die_on_bad_config" },
  { reload = "bad", within = "2s" },
]
"""


def test_a_broken_promise_fails_with_evidence_and_the_command_that_repeats_it(tmp_path):
    path = tmp_path / "reload" / "dies.toml"
    path.parent.mkdir()
    path.write_text(DISTURBED)
    junit = tmp_path / "out.xml"
    done = run(tmp_path, "verify", "engine", "--story", str(path), "--junit", str(junit))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "reload/bad-config" in done.stdout and "BUG" in done.stdout
    assert "reload/dies" in done.stdout.splitlines()[-1] or "--story" in done.stdout
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("repeat it (commit ") and "--seed 1" in last
    failure, *_ = ElementTree.parse(junit).findall(".//failure")
    assert failure.get("message") and failure.text


def test_a_story_that_needs_what_the_server_lacks_is_unknown(tmp_path):
    done = run(tmp_path, "verify", "nginx", "--story", "respawn/crash-loop")
    assert done.returncode == 2, done.stdout + done.stderr
    assert "not staged" in done.stdout and "nginx lacks backoff" in done.stdout
    assert "holds" not in done.stdout


def test_a_server_that_does_not_start_is_a_harness_error(tmp_path):
    (tmp_path / "own.j2").write_text("nonsense {{ number }};\n")
    engine = (ROOT / "scenarios/targets/engine.toml").read_text()
    (tmp_path / "mine.toml").write_text(engine.replace("engine.conf.j2", "own.j2"))
    done = run(tmp_path, "verify", str(tmp_path / "mine.toml"), "--story", STORY)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "before the story began" in done.stdout and "nonsense" in done.stdout


def test_a_users_own_target_file_works(tmp_path):
    for name in ("engine.toml", "engine.conf.j2"):
        text = (ROOT / "scenarios/targets" / name).read_text()
        (tmp_path / name.replace("engine.toml", "mine.toml")).write_text(text)
    done = run(tmp_path, "verify", str(tmp_path / "mine.toml"), "--story", "limit/at-rest")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("mine ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_it_is_interrupted(tmp_path, number):
    become_subreaper()
    before = {item.pid for item in descendants(os.getpid())}
    child = subprocess.Popen(command("verify", "engine", "--story", "drain/fast-stop", "--story",
                                     "respawn/kill-one-worker"), text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env=environment(tmp_path), start_new_session=True)

    def serving() -> bool:
        return any(item.name.startswith("mw-prober")
                   for item in descendants(os.getpid(), before))
    assert wait_until(serving, 30)
    child.send_signal(number)
    child.communicate(timeout=30)
    assert child.returncode != 0

    def gone() -> bool:
        return not [item for item in descendants(os.getpid(), before) if item.state not in "ZX"]
    left_alone = wait_until(gone, 30)
    left = kill_all(os.getpid(), before)
    assert left_alone, f"left behind: {left}"
