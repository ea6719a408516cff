"""`masterwork swarm`: load, and nemeses and faults drawn from a seed, on a real server; then all of
it stops and the tree must be as it should in a bounded time.

What is drawn is written down as a story, which `masterwork verify TARGET --story FILE` stages
again. A seed gives the same story every time; what the machine makes of it may differ.
"""

from __future__ import annotations

import random
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.text import Text

from masterwork import report, resources
from masterwork.director import Play
from masterwork.isolate import run_all
from masterwork.paths import bin_folder, command_name
from masterwork.runs import new_folder
from masterwork.stories import Story, load_story
from masterwork.targets import Target, find_target
from masterwork.verify import Progress, conclude

SAFETY_S = 20
CONVERGE = "10s"
CHECKS = ("serve/accounted", "control/storm", "control/pid-file", "drain/clean-exit")
# What a server that is stopped, starved and signalled at will cannot keep, and is not asked to.
TOLERATES = {
    "serve/latency-step": "processes are stopped and starved",
    "serve/no-silent-loss": "processes are stopped while connections arrive",
    "limit/slow-accept": "processes are stopped while connections wait",
    "control/responsive": "processes are stopped while they are asked",
    "drain/completes": "workers are killed while they drain",
    "serve/announced-close": "workers are killed, and with them what they would have said",
    "reload/leaves-no-trace": "faults go on after a reload that failed",
    "respawn/equal": "limits of running workers are changed",
    "serve/idle-race": "workers are killed, and with them connections that were idle",
}
LOADS = (
    '{ name = "fresh", kind = "fresh", rate = 50, timeout = "8s", connect_timeout = "6s" }',
    '{ name = "pooled", kind = "pooled", rate = 40, clients = 4, timeout = "8s" }',
    '{ name = "post", kind = "post", rate = 20, clients = 3, body = 2000, timeout = "8s" }',
    '{ name = "download", kind = "download", clients = 3, bytes = "128k", spread = "300ms" }',
    '{ name = "upload", kind = "upload", clients = 2, body = "32k", send_rate = "200k" }',
    '{ name = "held", kind = "held", clients = 4, timeout = "8s" }',
    '{ name = "slow", kind = "slow", clients = 3, timeout = "20s" }',
    '{ name = "idle", kind = "idle", clients = 6 }',
)


@dataclass
class Draw:
    """The dice of one schedule, and what they are thrown for."""

    dice: random.Random
    workers: int

    def pick(self, *words: str) -> str:
        return self.dice.choice(words)

    def between(self, low: int, high: int) -> int:
        return self.dice.randint(low, high)


Act = Callable[[Draw], list[str]]


# ---- what may happen: each act ends by itself ----------------------------------------------------

def kill(draw: Draw) -> list[str]:
    name = draw.pick("KILL", "KILL", "SEGV", "ABRT", "TERM", "QUIT")
    return [f'{{ signal = "{name}", to = "{draw.pick("worker", "last-worker")}" }}']


def kill_all(_: Draw) -> list[str]:
    return ['{ signal = "KILL", to = "all-workers" }']


def freeze(draw: Draw) -> list[str]:
    lasting, times = draw.between(20, 200), draw.between(1, 4)
    return [f'{{ freeze = "{draw.pick("worker", "all-workers", "master")}", '
            f'lasting = "{lasting}ms", times = {times}, every = "{2 * lasting}ms" }}']


def storm(draw: Draw) -> list[str]:
    names = draw.dice.sample(["HUP", "USR1", "CHLD", "WINCH"], draw.between(1, 4))
    mix = ",".join(f"{name}:{draw.between(1, 5)}" for name in names)
    return [f'{{ storm = "{mix}", to = "master", rate = {draw.pick("100", "1000", "10000")}, '
            f'count = {draw.between(10, 200)} }}']


def reload(draw: Draw) -> list[str]:
    return [f'{{ reload = "good", workers = {draw.between(1, 4)}, wait = false }}']


def bad_reload(draw: Draw) -> list[str]:
    how = draw.pick("unknown-directive", "missing-file", "bad-value", "unclosed-brace")
    return [f'{{ reload = "bad", how = "{how}", wait = false }}', '{ observe = "50ms" }',
            '{ reload = "good", wait = false }']


def fewer_descriptors(draw: Draw) -> list[str]:
    return [f'{{ prlimit = "nofile", value = {draw.between(16, 40)}, to = "all-workers" }}',
            f'{{ observe = "{draw.between(50, 500)}ms" }}', '{ undo = "prlimit" }']


def fewer_processes(draw: Draw) -> list[str]:
    return [f'{{ cgroup = "pids", max = {draw.between(2, 6)}, to = "all" }}',
            '{ signal = "KILL", to = "worker" }',
            f'{{ observe = "{draw.between(50, 400)}ms" }}', '{ undo = "cgroup" }']


def strangers(draw: Draw) -> list[str]:
    return [f'{{ crowd = {draw.between(5, 60)} }}', f'{{ observe = "{draw.between(50, 400)}ms" }}',
            '{ undo = "crowd" }']


def starve(draw: Draw) -> list[str]:
    return ['{ starve = "all-workers" }', f'{{ observe = "{draw.between(50, 400)}ms" }}',
            '{ undo = "starve" }']


def full_disk(draw: Draw) -> list[str]:
    return ['{ fill = "logs" }', f'{{ observe = "{draw.between(50, 400)}ms" }}',
            '{ undo = "fill" }']


PLANS = (
    "net.accept errno=EMFILE times={n}", "net.accept errno=ECONNABORTED chance=1/4 times={n}",
    "net.accept delay=20ms times={n}", "net.recv short=1 chance=1/3 times={n}",
    "net.send short=7 chance=1/3 times={n}", "net.sendmsg errno=EAGAIN times=2",
    "net.socketpair errno=EMFILE times=2", "net.epoll_ctl errno=ENOMEM times=1",
    "proc.fork errno=EAGAIN times={n}", "proc.waitpid errno=EINTR times={n}",
    "proc.kill errno=EPERM times=1", "fs.open errno=EMFILE times=2",
    "fs.write errno=ENOSPC times={n}", "mem.alloc errno=ENOMEM times=2",
    "worker.boot exit=1 times=2", "worker.boot delay=300ms times=2",
    "worker.boot crash=SEGV times=1",
    "worker.request crash=SEGV times=1", "worker.response crash=ABRT times=1",
    "worker.drain crash=KILL times=1", "shm.update crash=KILL times=1 role=worker",
    "worker.loop delay=30ms times={n}", "master.reap delay=50ms times=2",
    "master.reload.parse errno=ENOMEM times=1", "master.reload.commit delay=100ms times=1",
)


def fault(draw: Draw) -> list[str]:
    plan = draw.pick(*PLANS).format(n=draw.between(1, 10))
    return [f'{{ arm = "{plan}" }}']


ALWAYS: tuple[Act, ...] = (kill, kill, kill_all, freeze, storm, reload, reload, bad_reload,
                           fewer_descriptors, strangers, starve)


def acts_for(target: Target) -> list[Act]:
    """What can be done to this server on this machine; one that has fault points suffers them as
    often as everything else."""
    acts = list(ALWAYS)
    if not resources.why_not("pids-cgroup"):
        acts.append(fewer_processes)
    if not resources.why_not("mounts"):
        acts.append(full_disk)
    if "faults" in target.features:
        acts += [fault] * len(acts)
    return acts


# ---- the schedule --------------------------------------------------------------------------------

def schedule(target: Target, seed: int, safety_ms: int) -> str:
    """The story that a seed stands for."""
    dice = random.Random(f"{seed}:{target.name}")
    draw = Draw(dice, dice.randint(2, 4))
    disks = "" if resources.why_not("mounts") else ', disks = ["logs"]'
    loads = [LOADS[0], *dice.sample(LOADS[1:], dice.randint(1, 4))]
    steps = ['{ wait = "fresh.ok >= 20" }', '{ phase = "act" }', *storm(draw)]
    acts, spent_ms = acts_for(target), 0
    while spent_ms < safety_ms:
        pause_ms = dice.choice((5, 20, 80, 200, 500))
        steps += [*dice.choice(acts)(draw), f'{{ observe = "{pause_ms}ms" }}']
        spent_ms += pause_ms + 150
    calm = f"workers == {draw.workers} and zombies == 0 and storms == 0 and stopped == 0"
    steps += ['{ undo = "all" }', *(['{ disarm = "all" }'] if "faults" in target.features else []),
              '{ wait = "storms == 0" }', '{ phase = "recover" }',
              f'{{ wait = "zombies == 0 and stopped == 0", within = "{CONVERGE}" }}',
              f'{{ reload = "good", workers = {draw.workers}, within = "{CONVERGE}" }}',
              f'{{ wait = "{calm} and generation == config", within = "{CONVERGE}" }}',
              '{ wait = "since(fresh.ok) >= 30" }', '{ observe = "2300ms" }']
    if target.control_log:
        steps.insert(-1, '{ ask = "reopen", within = "5s" }')
    steps.append(f'{{ stop = "{draw.pick("graceful", "fast")}", within = "12s" }}')
    tolerates = ", ".join(f'"{name}" = "{reason}"' for name, reason in TOLERATES.items())
    return "\n".join([
        f"# Drawn by `masterwork swarm {target.name} --seed {seed}`.",
        f'summary = "{len(steps)} steps drawn from seed {seed}"',
        f"checks = [{', '.join(map(repr, CHECKS))}]".replace("'", '"'),
        f'limit = "{safety_ms * 3 // 1000 + 120}s"',
        f'server = {{ workers = {draw.workers}, drain = "2s"{disks}, backoff_min = "20ms", '
        f'backoff_max = "500ms", watchdog = "2s", reload_timeout = "3s" }}',
        'params = { converge_bound = "2s" }', f"tolerates = {{ {tolerates} }}",
        "load = [", *(f"  {line}," for line in loads), "]",
        "step = [", *(f"  {line}," for line in steps), "]", ""])


def save(target: Target, seed: int, safety_ms: int) -> Path:
    folder = bin_folder().parent / "swarm"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{target.name}-{seed}.toml"
    path.write_text(schedule(target, seed, safety_ms), encoding="utf-8")
    return path


def swarm(args: Namespace) -> int:
    """Returns what verify returns; of several seeds the worst."""
    target = find_target(args.target[0])
    safety_ms = args.minutes * 60_000 if args.minutes else args.seconds * 1000
    seeds = range(args.seed, args.seed + args.runs)
    out = report.console()
    version = target.version()
    said = f"seed {args.seed}" if args.runs == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    out.print(Text(f"{said}: {target.name} {version}, {safety_ms / 1000:g} s of nemeses", "bold"))
    stories = {seed: load_story(save(target, seed, safety_ms)) for seed in seeds}
    plays = [Play(story, target, new_folder(story.name, target.name), seed)
             for seed, story in stories.items()]
    with Progress(out, len(plays)) as progress:
        results = run_all(plays, args.jobs, progress.begun, progress.ended)
    code = conclude(out, args, target, version, list(stories.values()), results)
    out.print(Text(f"{said}: the schedule is kept: {repeat(target, stories)}", "bold"),
              soft_wrap=True)
    return code


def repeat(target: Target, stories: dict[int, Story]) -> str:
    """The command that stages the (first) schedule again."""
    seed, story = next(iter(stories.items()))
    return f"{command_name()} verify {target.name} --story {story.file} --seed {seed}"
