"""The masterwork command: what it lists and explains, and how it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from masterwork.catalogue import fault_points, guarantees

PACKAGE = Path(__file__).resolve().parent


def masterwork(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "masterwork", *arguments], text=True,
                          capture_output=True, timeout=60,
                          env={**os.environ, "PYTHONPATH": str(PACKAGE), **environment})


@pytest.mark.parametrize("what", ["guarantees", "stories", "targets", "faults", "verbs"])
def test_lists_for_people_and_for_programs(what):
    text, data = masterwork("list", what), masterwork("list", what, "--json")
    assert text.returncode == data.returncode == 0, text.stderr + data.stderr
    assert len(json.loads(data.stdout)) == len(text.stdout.splitlines()) > 1


def test_lists_are_whole():
    listed = {row["id"] for row in json.loads(masterwork("list", "guarantees", "--json").stdout)}
    assert listed == set(guarantees())
    listed = {row["name"] for row in json.loads(masterwork("list", "faults", "--json").stdout)}
    assert listed == set(fault_points())


def test_explains_a_guarantee():
    out = masterwork("explain", "reload/zero-loss").stdout
    assert guarantees()["reload/zero-loss"].sentence in out
    assert "nginx: promised (https://nginx.org/" in out and "reload/twenty-a-second" in out
    assert "sabotage.drop_inflight" in out


def test_explains_a_story():
    out = masterwork("explain", "bad-then-good").stdout
    assert "haproxy#3229" in out and "reload = 'bad'" in out


def test_explains_a_fault():
    out = masterwork("explain", "sabotage.lose_reload").stdout
    assert "forget a reload request" in out and "reload/last-request-wins" in out


@pytest.mark.parametrize("arguments, expected", [
    (("explain", "reload/zero-los"), "Did you mean 'reload/zero-loss'"),
    (("verify", "ngin"), "Did you mean 'nginx'"),
    (("verify", "./none.toml"), "no such file"),
    (("verify", "nginx", "--story", "bad-then-god"), "Did you mean 'reload/bad-then-good'"),
    (("verify", "nginx", "--family", "drian"), "Did you mean 'drain'"),
    (("verify", "nginx", "--jobs", "0"), "a number from 1"),
    (("verify",), "TARGET"),
    (("frobnicate",), "invalid choice"),
    (("sensitivity", "--guarantee", "no/such"), "is not a guarantee"),
    (("judge", "/no/such/run"), "mw-judge"),
])
def test_mistakes_end_with_three_and_one_clear_line(arguments, expected):
    done = masterwork(*arguments)
    assert done.returncode == 3, done.stdout + done.stderr
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_program_says_how_to_get_it(tmp_path):
    done = masterwork("verify", "engine", MW_BIN=str(tmp_path))
    assert done.returncode == 3
    assert "is missing; build it" in done.stderr and "Traceback" not in done.stderr


def test_help_tells_the_exit_codes():
    out = masterwork("--help").stdout
    assert "0 holds, 1 violated, 2 unknown, 3 harness error" in out


def test_faults_is_mw_fault(tmp_path):
    board = str(tmp_path / "board")
    assert masterwork("faults", "arm", "--board", board, "net.accept errno").stdout \
        == "armed 0: net.accept errno=EMFILE\n"
    refused = masterwork("faults", "arm", "--board", board, "net.accept errno=ENOSPC")
    assert refused.returncode == 1 and "column 18" in refused.stderr
    assert "mw-fault COMMAND" in masterwork("faults").stdout
