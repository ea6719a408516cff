"""A stage: one server with its witnesses, its load and its history, set up and cleared away.

    with Stage(target, folder, server=..., loads=...) as stage:
        stage.open()
        ...

Whatever happens, nothing that was started is left when the block ends.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from masterwork import resources
from masterwork.errors import HarnessError, NotServing
from masterwork.guardian import Guardian, identity
from masterwork.paths import program
from masterwork.pattern import pattern
from masterwork.programs import Loop, Witness
from masterwork.record import Recorder
from masterwork.server import Server
from masterwork.state import State
from masterwork.stories import Load
from masterwork.stories import Server as ServerWishes
from masterwork.targets import Target
from masterwork.tree import become_subreaper, describe, descendants, kill_all
from masterwork.units import NS

SOURCES = "127.0.1.1-127.0.1.20"
WITNESS_S = 10.0
WITNESS_NS = 10 * NS["s"]
FIRED_NS = 20 * NS["ms"]
SLACK_NS = NS["s"]
CLIENT_TIMEOUT_MS = 8000
# A handshake costs both ends as much CPU as dozens of plain requests: clients come less often.
TLS_SHARE = 0.3
# What holds for every server unless its target or the story says otherwise.
USUAL_PARAMS = {
    "fast_bound": 3 * NS["s"], "respawn_deadline": 2 * NS["s"], "zombie_bound": NS["s"],
    "control_bound": NS["s"], "log_bound": 500 * NS["ms"], "converge_bound": NS["s"],
    "recover_bound": 2 * NS["s"], "latency_step": 500 * NS["ms"],
    "cut_over_allowance": 100 * NS["ms"], "cpu_permille": 100, "fd_slack": 2,
    "rss_slack": 4 << 20, "respawn_rate": 20_000, "generation_header": 1, "engine_trace": 0,
}


def known_params(target: Target, wishes: ServerWishes, stated: dict[str, int], logs: bool
                 ) -> dict[str, int]:
    """What the judge is told of a story on a target; `logs`: its access log is read."""
    known = {
        **USUAL_PARAMS, "drain_bound": wishes.drain_ns + target.drain_slack_ns,
        "orphan_bound": wishes.drain_ns + SLACK_NS, **target.params, **stated,
        "workers": wishes.workers,
        "worker_connections": wishes.worker_connections - target.own_connections,
        "keepalive_timeout": wishes.keepalive_ns,
        "access_log": int(logs),
    }
    if wishes.generations:
        known["generations"] = wishes.generations
    if wishes.worker_nofile:
        known["fd_limit"] = wishes.worker_nofile
    if wishes.watchdog_ns and "watchdog_bound" not in known:
        known["watchdog_bound"] = 3 * wishes.watchdog_ns + SLACK_NS
    return known


class Stage:
    def __init__(self, target: Target, folder: Path, server: ServerWishes | None = None,
                 loads: tuple[Load, ...] = (), params: dict[str, int] | None = None,
                 seed: int = 1, shim: bool = False, over: str = "plain") -> None:
        self.shim, self.over = shim, over
        self.target, self.folder, self.seed = target, folder, seed
        self.wishes = target.able(server or ServerWishes())
        self.loads = tuple(load for load in loads if load.surface in target.surfaces)
        self.missing = tuple(load for load in loads if load.surface not in target.surfaces)
        self.stated = params or {}
        self.history = folder / "history"
        self.state = State()
        self.loop = Loop()
        self.storms: list[subprocess.Popen[str]] = []
        self.burners: list[subprocess.Popen[bytes]] = []
        self.sequence = 0
        self.rotations = 0
        self.rules: list[int] = []
        self.spell: list[int] = []
        self.spell_until_ns = 0
        self.stopped = False
        self.session_held = False
        self.others: set[int] = set()
        # What nemeses did that is not undone yet, by the verb that did it.
        self.undoings: dict[str, list[Callable[[], None]]] = {}
        self.prober: Witness | None = None
        self.watch: Witness | None = None
        self._fired_at, self._fired = 0, 0

    # ---- set up and clear away -----------------------------------------------------------------

    def __enter__(self) -> Stage:
        become_subreaper()
        # What the process had below itself before is none of ours to clear away.
        self.others = {item.pid for item in descendants(os.getpid())}
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.history.mkdir(parents=True)
        for name in ("logs", "state"):
            (self.folder / name).mkdir()
        self.guardian = Guardian(self.folder)
        self.record = Recorder(self.history / "director.mwh")
        has_faults = self.shim or "faults" in self.target.features
        self.board = self.folder / "board" if has_faults else None
        tls = self.over == "tls" or any(load.kind == "tls" for load in self.loads)
        self.server = Server(self.target, self.wishes, self.folder, self.board, self.shim, tls,
                             self.over == "unix")
        self.state.port = self.load_port
        self.state.error_log = self.server.error_log
        self.state.fired = self.fired
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.undo("all")
            for storm in self.storms:
                storm.kill()
                storm.wait()
            self.loop.close()
        finally:
            self.server.close()
            self.record.close()
            kill_all(os.getpid(), self.others | {self.guardian.pid})
            self.guardian.close()
            left = [item for item in descendants(os.getpid(), self.others)
                    if item.state not in "ZX"]
            if left:
                raise HarnessError(f"cannot be cleared away: {describe(left)}")

    @property
    def load_port(self) -> int:
        """Where clients go; the harness itself always asks plainly."""
        port = self.server.tls_port if self.over == "tls" else self.server.port
        return port.number

    def params(self) -> dict[str, int]:
        """Everything the judge is told, stated or known."""
        return known_params(self.target, self.wishes, self.stated,
                            self.server.access_log is not None)

    def open(self) -> None:
        """Starts the server and the witnesses; returns when clients are served."""
        self.record.put("director.begin", pid=os.getpid())
        for name, value in self.params().items():
            self.record.put("director.param", a=self.record.word("param", name), b=value)
        self._write_files()
        self.write_config(1, valid=True)
        if self.board and not self.board.exists():
            self.fault("arm")
        for name in self.wishes.disks:
            resources.mount(self, name)
        self.server.start(self.history)
        if self.guardian.count:
            self._hold_session()
        self.state.master = self.server.pid
        self._start_watch()
        self.server.wait_ready(self._tend)
        if not self.until(lambda: self.state.value("workers") == self.wishes.workers,
                          WITNESS_NS):
            raise NotServing(f"{self.target.name}: {self.wishes.workers} workers were asked for, "
                             + "; ".join(self.state.describe()))
        self._start_prober()
        self.record.put("director.ready", pid=self.server.pid, gen=1)
        for load in self.loads:
            if not load.paused:
                self.say(f"start {load.name}")

    def write_config(self, number: int, valid: bool, workers: int | None = None,
                     bad: str | None = None) -> None:
        self.server.write_config(number, workers, bad)
        self.state.config = number
        if valid:
            self.state.good_config = number
        self.record.put("director.config", gen=number, a=int(valid),
                        b=self.server.configuration.workers)

    def _write_files(self) -> None:
        files = self.folder / "files"
        files.mkdir()
        for size in {int(load.options.get("bytes", 0)) for load in self.loads}:
            if size and "{file}" in self.target.surfaces.get("download", ""):
                (files / f"{size}.bin").write_bytes(pattern(size))

    # ---- witnesses -----------------------------------------------------------------------------

    def _start_watch(self) -> None:
        name = f"watch-{self.next_number()}.mwh" if self.watch else "watch.mwh"
        argv = [str(program("mw-watch")), "--root", str(self.server.pid), "--history",
                str(self.history / name), "--port", str(self.load_port)]
        if self.server.pid_file:
            argv += ["--pidfile", str(self.server.pid_file)]
        self.watch = self._witness("mw-watch", argv, self.state.hear_watch)

    def follow(self, pid: int) -> None:
        """Another process is the master now."""
        before = self.watch
        self.server.adopt(pid)
        self.state.master = pid
        self._start_watch()
        if before:
            before.heard = lambda message: None
            self.loop.quit(before)

    def _start_prober(self) -> None:
        argv = [str(program("mw-prober")), "--target", f"127.0.0.1:{self.load_port}",
                "--history", str(self.history / "prober.mwh"), "--sources", SOURCES,
                "--seed", str(self.seed)]
        for load in self.loads:
            argv += ["--population", self.population(load)]
        if self.loads:
            self.prober = self._witness("mw-prober", argv, self.state.hear_prober)

    def population(self, load: Load) -> str:
        """A load in the prober's words."""
        options = {"timeout": CLIENT_TIMEOUT_MS, **load.options}
        if self.over == "tls":
            options["tls"] = 1
            if "rate" in options:
                options["rate"] = round(options["rate"] * TLS_SHARE, 3)
        elif self.over == "unix" and load.kind != "tls":
            options["unix"] = self.server.unix_path
        elif load.kind == "tls":
            options["port"] = self.server.tls_port.number
        size, spread = int(options.get("bytes", 0)), int(options.pop("spread", 0))
        places = {"bytes": size, "ms": spread, "file": f"{size}.bin",
                  "rate": size * 1000 // spread if spread else 0}
        path = self.target.surfaces[load.surface]
        for name, value in places.items():
            path = path.replace(f"{{{name}}}", str(value))
        words = [load.kind, f"name={load.name}", f"path={path}",
                 *(f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}"
                   for key, value in options.items()), "paused"]
        return ",".join(words)

    def _witness(self, name: str, argv: list[str], heard) -> Witness:
        witness = Witness(name, argv, self.folder / f"{name}.err", heard)
        self.loop.add(witness)
        if not self.loop.until(lambda: witness.ready, WITNESS_S):
            raise witness.failed(f"was not ready within {WITNESS_S:.0f} s")
        return witness

    def say(self, line: str) -> None:
        """A command for the prober."""
        if self.prober is None:
            raise HarnessError(f"{line!r}: there is no load")
        self.prober.say(line)

    def own_pids(self) -> set[int]:
        """Processes below us that are the harness's, or were there before the stage."""
        pids = {witness.pid for witness in self.loop.witnesses} | self.others
        pids |= {storm.pid for storm in self.storms} | {self.guardian.pid}
        pids |= {burner.pid for burner in self.burners}
        return pids | {self.server.helper.pid} if self.server.helper else pids

    def finish_load(self) -> None:
        """No new requests; those under way end, at the latest when their clients lose patience."""
        if self.prober and self.prober.done is None:
            longest = max(int(load.options.get(name, CLIENT_TIMEOUT_MS))
                          for load in self.loads for name in ("timeout", "connect_timeout"))
            for load in self.loads:
                self.say(f"stop {load.name}")
            self.until(lambda: self.state.value("outstanding") == 0, longest * NS["ms"])
            self.loop.quit(self.prober, longest / 1000)

    def has_load(self, name: str) -> bool:
        return any(load.name == name for load in self.loads)

    # ---- what nemeses do -----------------------------------------------------------------------

    def hold(self, verb: str, way: str, *arguments: Any) -> None:
        """To be called before something is done that the guardian undoes when nobody else does."""
        self._hold_session()
        number = self.guardian.hold(way, *arguments)
        self.to_undo(verb, lambda: self.guardian.release(number))

    def _hold_session(self) -> None:
        """Where something is to be undone, the server is not to outlive us either."""
        if self.server.pid and not self.session_held:
            self.session_held = True
            self.guardian.hold("end_session", identity(self.server.pid))

    def to_undo(self, verb: str, undo: Callable[[], None]) -> None:
        self.undoings.setdefault(verb, []).append(undo)

    def undo(self, what: str) -> None:
        """Undoes what one verb did, or "all", last first."""
        for verb in list(self.undoings) if what == "all" else [what]:
            for undo in reversed(self.undoings.pop(verb, [])):
                undo()

    # ---- faults --------------------------------------------------------------------------------

    def fault(self, command: str, *arguments: str) -> str:
        """mw-fault COMMAND --board ...; its trouble is the harness's."""
        if not self.board:
            raise HarnessError(f"{self.target.name} has no fault points")
        argv = [str(program("mw-fault")), command, "--board", str(self.board)]
        if command == "arm":
            argv += ["--seed", str(self.seed)]
        done = subprocess.run([*argv, *arguments], capture_output=True, text=True,
                              env={**os.environ, "MW_HISTORY": str(self.history)})
        if done.returncode != 0:
            raise HarnessError(f"{' '.join(argv[1:])} {' '.join(arguments)}: exit "
                               f"{done.returncode}: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def arm(self, plan: str) -> None:
        """Arms rules of the story; a sabotage's are armed by fault() and not counted as its own."""
        if self.guardian.count and self.board and "arm" not in self.undoings:
            self.hold("arm", "disarm", str(program("mw-fault")), str(self.board))
        self.rules += self._armed(plan)

    def _armed(self, plan: str) -> list[int]:
        return [int(line.split()[1].rstrip(":")) for line in self.fault("arm", plan).splitlines()]

    def disarm(self, what: str) -> None:
        """Disarms the story's rules: "all", or their numbers counted from 0 as it armed them."""
        chosen = (self._still_armed() if what == "all"
                  else [self.rules[int(word)] for word in what.split()])
        if chosen:
            self.fault("disarm", *(str(index) for index in chosen))

    def _still_armed(self) -> list[int]:
        if not self.rules:
            return []
        status = json.loads(self.fault("status", "--json"))
        return [rule["index"] for rule in status["rules"]
                if rule["armed"] and rule["index"] in self.rules]

    def fired(self) -> int:
        """How many of the story's faults have fired; asked at most so often."""
        now = time.monotonic_ns()
        if self.board and now - self._fired_at > FIRED_NS:
            self._fired = self._fired_of(self.rules)
            self._fired_at = now
        return self._fired

    def _fired_of(self, rules: list[int]) -> int:
        status = json.loads(self.fault("status", "--json"))
        return sum(rule["fired"] for rule in status["rules"] if rule["index"] in rules)

    # ---- a spell: faults for a part of the story -----------------------------------------------

    @property
    def below_spell(self) -> bool:
        return self.spell_until_ns > 0

    def begin_spell(self, plan: str, lasting_ns: int) -> None:
        self.spell = self._armed(plan)
        self.spell_until_ns = time.monotonic_ns() + lasting_ns

    def end_spell(self) -> None:
        """Its rules stay on the board, so that what they did can still be asked."""
        if self.below_spell:
            self.spell_until_ns = 0
            self.fault("disarm", *map(str, self.spell))

    def spell_fired(self) -> int:
        return self._fired_of(self.spell) if self.spell else 0

    # ---- the loop ------------------------------------------------------------------------------

    def until(self, true, within_ns: int) -> bool:
        return self.loop.until(lambda: self._tend() or true(), within_ns / NS["s"])

    def _tend(self) -> bool:
        """Takes note of storms that have ended; ends the spell when it is time."""
        if self.below_spell and time.monotonic_ns() > self.spell_until_ns:
            self.end_spell()
        for storm in list(self.storms):
            if storm.poll() is not None:
                self.end_storm(storm)
        return False

    def end_storm(self, storm: subprocess.Popen[str]) -> None:
        out, errors = storm.communicate()
        self.storms.remove(storm)
        self.state.storms = len(self.storms)
        if storm.returncode != 0:
            raise HarnessError(f"mw-fault storm: exit {storm.returncode}: {errors.strip()}")
        self.record.put("director.storm", pid=self.server.pid, a=0, b=0,
                        c=json.loads(out.splitlines()[-1])["sent"])

    def next_number(self) -> int:
        self.sequence += 1
        return self.sequence
