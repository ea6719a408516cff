"""The plugin of `make san` says no: a report of any process fails the test, and what is left out is
named."""

from __future__ import annotations

import subprocess

import pytest

from masterwork.paths import ROOT

PROGRAM = """
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **words)
{
    (void)words;
    char *three = malloc(3);
    if (fork() == 0) /* nobody waits for the child, nor reads what it prints */
        return three[count + 2];
    free(three);
    return 0;
}
"""
TESTS = """
import subprocess, time, pytest
from pathlib import Path

def test_that_looks_well(tmp_path):
    subprocess.run(["./reads-too-far"], check=True)
    while not any(Path("reports").rglob("report.*")):
        time.sleep(0.01)

@pytest.mark.unsanitized("it counts bytes")
def test_that_cannot_run_so():
    raise AssertionError

def test_that_is_well():
    pass
"""


@pytest.fixture
def own(pytester, monkeypatch):
    (pytester.path / "program.c").write_text(PROGRAM)
    subprocess.run(["gcc", "-fsanitize=address", "-o", "reads-too-far", "program.c"], check=True,
                   cwd=pytester.path)
    pytester.makepyfile(TESTS)
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "pytests"))
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    return pytester


def test_a_report_of_any_process_fails_the_test(own, monkeypatch):
    monkeypatch.setenv("MW_SANITIZED", str(own.path / "reports"))
    result = own.runpytest_subprocess("-p", "sanitized", "-p", "no:cacheprovider", "-rs")
    result.assert_outcomes(passed=2, errors=1, skipped=1)
    result.stdout.fnmatch_lines(["*teardown of test_that_looks_well*", "*a sanitizer says:*",
                                 "*heap-buffer-overflow*"])
    result.stdout.fnmatch_lines(["*not with sanitizers: it counts bytes*"])


def test_nothing_is_left_out_otherwise(own, monkeypatch):
    monkeypatch.delenv("MW_SANITIZED", raising=False)
    result = own.runpytest_subprocess("-p", "sanitized", "-p", "no:cacheprovider", "-k", "not well")
    result.assert_outcomes(failed=1)
