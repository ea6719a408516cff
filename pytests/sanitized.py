"""A pytest plugin for programs with sanitizers (`make san`): a report of any process, be it a
worker that nobody waits for, fails the test that was running.

MW_SANITIZED names the folder for the reports. A test that cannot run so is marked
`unsanitized("why")` and skipped with that reason."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

REPORTS = os.environ.get("MW_SANITIZED", "")
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
FOLDER = Path(REPORTS).absolute() / (WORKER or "main")
# A report ends the process. Faults that crash on purpose are none: they put the signal's default
# action back first.
OPTIONS = ("exitcode=99:detect_stack_use_after_return=1:print_stacktrace=1"
           ":allocator_may_return_null=1")
# Verdicts and figures that mean nothing then.
MEMORY = dict.fromkeys(("reload/balanced", "resident memory"),
                       "what is freed is kept for a while, so memory grows")

# All that is left of a process that a test has killed while it looked for leaks at its end.
KILLED = r"(==\d+==Unable to get registers from thread \d+\.\n)*"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "unsanitized(why): does not run on programs with sanitizers")
    if REPORTS:
        FOLDER.mkdir(parents=True, exist_ok=True)
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS"):
            os.environ[name] = f"log_path={FOLDER}/report:{OPTIONS}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items if REPORTS else ():
        if mark := item.get_closest_marker("unsanitized"):
            item.add_marker(pytest.mark.skip(reason=f"not with sanitizers: {mark.args[0]}"))


def taken(folder: Path, pattern: str = "report.*") -> str:
    """The reports that are there; they are kept under another name and told once."""
    text = ""
    for path in sorted(folder.glob(pattern)):
        said = path.read_text(errors="replace")
        path.rename(path.with_name(f"told-{path.name}"))
        if not re.fullmatch(KILLED, said):
            text += f"\n{path.name}:\n{said}"
    return text


def meaningless(what: str) -> bool:
    """Is it one of those? Then that is said among the warnings."""
    if not REPORTS or what not in MEMORY:
        return False
    warnings.warn(f"{what} is not asked for with sanitizers: {MEMORY[what]}")
    return True


@pytest.fixture(autouse=True)
def no_report() -> Iterator[None]:
    yield
    if REPORTS and (text := taken(FOLDER)):
        pytest.fail(f"a sanitizer says:{text}", pytrace=False)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Servers that all tests of a file share end after the last one of them."""
    if REPORTS and not WORKER and (text := taken(FOLDER.parent, "*/report.*")):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        print(f"\na sanitizer says, after the last test:{text}")
