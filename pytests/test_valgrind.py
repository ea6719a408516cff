"""Stories with the engine under valgrind's memcheck: no invalid access, no value used before it was
set, nothing lost at the end of the master and of every worker. Verdicts about time mean nothing at
a thirtieth of the speed; that the story goes as it is written does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from masterwork.director import Play
from masterwork.isolate import run_one
from masterwork.paths import TARGETS
from masterwork.stories import Story, find_story, load_story
from masterwork.targets import Target, load_target
from masterwork.tree import wait_until
from masterwork.verdicts import HOLDS

pytestmark = pytest.mark.unsanitized("valgrind and AddressSanitizer exclude each other")

VALGRIND = ["valgrind", "--quiet", "--leak-check=full", "--show-leak-kinds=definite",
            "--errors-for-leak-kinds=definite", "--error-exitcode=99", "--num-callers=20",
            "--log-file={run}/valgrind.%p"]


def target(name: str, folder: Path) -> Target:
    """One of ours, started below valgrind."""
    for part in (f"{name}.toml", f"{name}.conf.j2"):
        (folder / part).write_text((TARGETS / part).read_text())
    path = folder / f"{name}.toml"
    before, start, after = path.read_text().partition('argv = ["{program}", "-p", "{run}/", "-c", '
                                                      '"{config}", "-g"')
    assert start
    words = ", ".join(f'"{word}"' for word in VALGRIND)
    path.write_text(before + start.replace('"{program}"', f'{words}, "{{program}}"') + after)
    return load_target(path)


def said(folder: Path) -> dict[str, str]:
    """What valgrind wrote, by process; an empty file is a process that it found well."""
    return {path.name: path.read_text() for path in sorted(folder.glob("valgrind.*"))}


# Few clients, who have patience: a handshake takes a tenth of a second here.
PATIENT = """
summary = "a reload, with few and patient clients"
checks = ["serve/right-answer"]
server = { reload_timeout = "60s" }
load = [
  { name = "fresh", kind = "fresh", rate = 6, timeout = "60s" },
  { name = "post", kind = "post", rate = 6, clients = 2, timeout = "60s" },
]
step = [
  { wait = "fresh.ok >= 8 and post.ok >= 8", within = "60s" },
  { phase = "act" },
  { reload = "good", within = "60s" },
  { wait = "since(fresh.ok) >= 5", within = "60s" },
]
"""


def memcheck(tmp_path: Path, name: str, story: Story, over: str) -> None:
    run = tmp_path / "run"
    result = run_one(Play(story, target(name, tmp_path), run, over=over))
    assert not result.error, result.error
    logs = said(run)
    assert len(logs) >= 3, "the master and two workers"
    assert {name: text for name, text in logs.items() if text} == {}
    assert result.of("serve/right-answer").verdict == HOLDS, result.trouble


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name, story", [
    ("engine", "serve/all-kinds-of-clients"), ("engine", "reload/bad-then-good"),
    ("engine-proxy", "serve/all-kinds-of-clients")])
def test_memcheck_has_nothing_to_say(tmp_path: Path, name: str, story: str) -> None:
    memcheck(tmp_path, name, find_story(story), "plain")


@pytest.mark.timeout(600)
def test_nor_over_tls(tmp_path: Path, toml) -> None:
    memcheck(tmp_path, "engine", load_story(toml(PATIENT)), "tls")


PROGRAM = """
#include <stdlib.h>
#include <unistd.h>
static char *volatile kept;
int main(void)
{
    if (fork() == 0) { /* as a worker that forgets what it has asked for */
        kept = malloc(%d);
        kept = NULL;
        _exit(0);
    }
    return 0;
}
"""


@pytest.mark.parametrize("count, is_lost", [(100, True), (0, False)])
def test_what_a_forked_process_loses_is_said(tmp_path: Path, count: int, is_lost: bool) -> None:
    allocate = PROGRAM % count if count else PROGRAM.replace("malloc(%d)", "NULL")
    (tmp_path / "program.c").write_text(allocate)
    subprocess.run(["gcc", "-g", "-o", "program", "program.c"], cwd=tmp_path, check=True)
    subprocess.run([word.replace("{run}", str(tmp_path)) for word in (*VALGRIND, "./program")],
                   cwd=tmp_path, check=True, timeout=100)
    assert wait_until(lambda: len(said(tmp_path)) == 2, 20)
    assert wait_until(lambda: any("definitely lost" in text for text in said(tmp_path).values())
                      == is_lost, 20), said(tmp_path)
