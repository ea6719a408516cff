"""The mw-judge command: what it cannot judge it says in one clear line, and never as a verdict."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from masterwork.paths import program

RECORD_BYTES = 64
# Who may read everything is no test of what may not be read.
AS_A_USER = (["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
             if os.geteuid() == 0 else [])


def judge(*arguments: str | Path, before: list[str] = (), **options) -> subprocess.CompletedProcess:
    """mw-judge with these arguments; a hang is a failure."""
    options = {"stdout": subprocess.PIPE, **options}
    return subprocess.run([*before, program("mw-judge"), *arguments], text=True, timeout=20,
                          stderr=subprocess.PIPE, **options)


def refused(done: subprocess.CompletedProcess, *expected: str) -> None:
    """Exit 3, no verdict, one line that holds all of `expected`."""
    assert done.returncode == 3, done.stdout + done.stderr
    assert not done.stdout
    assert done.stderr.startswith("mw-judge: ") and done.stderr.count("\n") == 1, done.stderr
    for part in expected:
        assert part in done.stderr


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder with a history of one signal that was sent to nobody."""
    folder = tmp_path / "run"
    folder.mkdir()
    target = subprocess.Popen(["true"])
    argv = [program("mw-fault"), "storm", "--pid", str(target.pid), "--to", "master", "--signal",
            "HUP", "--rate", "1000", "--count", "3", "--history", folder / "storm.mwh"]
    subprocess.run(argv, capture_output=True, timeout=20)
    target.wait()
    assert (folder / "storm.mwh").stat().st_size >= 2 * RECORD_BYTES
    return folder


def test_a_run_without_evidence_is_unknown(run):
    done = judge(run, "--json", "--only", "reload/zero-loss,control")
    verdicts = {row["id"]: row["verdict"] for row in json.loads(done.stdout)["guarantees"]}
    assert done.returncode == 2 and not done.stderr
    assert verdicts["reload/zero-loss"] == "unknown" and "control/storm" in verdicts
    assert "serve/continuity" not in verdicts


def test_no_run(tmp_path):
    refused(judge(tmp_path / "none"), "none", "No such file")


def test_an_empty_folder(tmp_path):
    refused(judge(tmp_path), str(tmp_path), "no *.mwh file")


@pytest.mark.parametrize("content", [b"", b"hello\n", b"hello, this is not a history\n" * 100])
def test_a_file_that_is_no_history(tmp_path, content):
    path = tmp_path / "text.mwh"
    path.write_bytes(content)
    for what in path, tmp_path:
        refused(judge(what), "text.mwh", "history")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.mwh")
    refused(judge(tmp_path), "pipe.mwh", "no regular file")
    (tmp_path / "pipe.mwh").unlink()
    (tmp_path / "folder.mwh").mkdir()
    refused(judge(tmp_path), "folder.mwh", "no regular file")


@pytest.mark.parametrize("cut, expected", [
    (1, "ends inside a record"), (RECORD_BYTES - 1, "ends inside a record"), (None, "shorter")])
def test_a_truncated_file(run, cut, expected):
    path = run / "storm.mwh"
    os.truncate(path, 20 if cut is None else path.stat().st_size - cut)
    for what in path, run:
        refused(judge(what), "storm.mwh", expected)


def test_one_bad_file_among_good_ones(run):
    (run / "a.mwh").write_bytes(b"x" * 1000)
    refused(judge(run), "a.mwh", "not a history")


@pytest.mark.parametrize("which", ["run", "storm.mwh"])
def test_what_may_not_be_read(run, which):
    path = run if which == "run" else run / which
    path.chmod(0)
    try:
        refused(judge(run, before=AS_A_USER), which, "Permission denied")
    finally:
        path.chmod(0o700)


@pytest.mark.parametrize("words", ["", ",", "no/such", "reload/zero-los", "reload,no/such",
                                   "reload,,serve", "rel"])
def test_unknown_guarantees(run, words):
    refused(judge(run, "--only", words), "is no guarantee", "mw-judge --list")


@pytest.mark.parametrize("arguments", [(), ("--frobnicate", "x"), ("a", "b"), ("--only",),
                                       ("--list", "run")])
def test_wrong_use(arguments):
    done = judge(*arguments)
    assert done.returncode == 3 and not done.stdout
    assert "usage: mw-judge RUN" in done.stderr


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_verdicts_that_nobody_gets(run, form):
    with open("/dev/full", "w", encoding="ascii") as full:
        refused_text = judge(run, *form, stdout=full)
    assert refused_text.returncode == 3
    assert "cannot be written: No space left" in refused_text.stderr
