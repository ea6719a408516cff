"""The server under test in one run: its configuration, its start, its signals, its logs."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jinja2

from masterwork.errors import HarnessError, NotServing
from masterwork.paths import TARGETS, bin_folder, program
from masterwork.ports import Port
from masterwork.probe import Answer, get
from masterwork.resources import set_clock_ahead
from masterwork.stories import Server as ServerWishes
from masterwork.targets import Target
from masterwork.tree import die_with_parent, is_alive, wait_until
from masterwork.units import NS, conf_time

READY_S = 10.0
PACKAGE = Path(__file__).resolve().parents[1]
UNKNOWN_STATUS = (1 << 64) - 1

BAD_LINES = {
    "unknown-directive": "no_such_directive on;",
    "missing-file": "include /no/such/file.conf;",
    "bad-value": "worker_processes many;",
    "unclosed-brace": "http {",
}


def make_certificate(folder: Path) -> None:
    """tls.pem and tls.key, which no client will verify."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=masterwork",
                    "-keyout", folder / "tls.key", "-out", folder / "tls.pem"],
                   check=True, capture_output=True, timeout=60)


@dataclass
class Configuration:
    """One file the server was given."""

    number: int
    workers: int
    bad: str | None


class Server:
    """Paths, configuration and process of one run's server."""

    def __init__(self, target: Target, wishes: ServerWishes, folder: Path, board: Path | None,
                 shim: bool = False, tls: bool = False, unix: bool = False) -> None:
        self.target, self.wishes, self.folder = target, wishes, folder
        self.program = target.find()
        self.port = Port()
        # TLS is spoken on a port of its own, where clients want it.
        self.tls_port = Port() if tls else None
        if tls:
            make_certificate(folder)
        # However deep the run's folder lies: the path of a unix socket is short.
        self.unix_path = Path(tempfile.mkdtemp(prefix="mw-")) / "load.sock" if unix else None
        self.board = board
        self.shim = shim
        self.process: subprocess.Popen[bytes] | None = None
        self.helper: subprocess.Popen[bytes] | None = None
        self.pidfd = -1
        # The master where it is not the process that was started: a daemon, or a new binary's.
        self.adopted = 0
        self.status: int | None = None
        self.configuration = Configuration(0, wishes.workers, None)
        environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True,
                                         lstrip_blocks=True, keep_trailing_newline=True,
                                         loader=jinja2.FileSystemLoader(TARGETS))
        environment.filters["time"] = conf_time
        environment.filters["seconds"] = lambda ns: ns // NS["s"]
        self.template = environment.from_string(target.template)

    # ---- places --------------------------------------------------------------------------------

    def fill(self, text: str) -> str:
        """Replaces {run}, {port}, {program}, {bin}, {config}, {python} and {package}, where the
        Python package masterwork is, in a word of the target."""
        places = {"run": self.folder, "port": self.port.number, "program": self.program,
                  "bin": bin_folder(), "config": self.config_path, "python": sys.executable,
                  "package": PACKAGE}
        return re.sub(r"\{(\w+)\}", lambda m: str(places.get(m[1], m[0])), text)

    def path(self, name: str) -> Path | None:
        return self.folder / name if name else None

    @property
    def config_path(self) -> Path:
        return self.folder / self.target.config_file

    @property
    def error_log(self) -> Path | None:
        return self.path(self.target.error_log)

    @property
    def access_log(self) -> Path | None:
        return self.path(self.target.access_log)

    @property
    def pid_file(self) -> Path | None:
        return self.path(self.target.pid_file)

    @property
    def pid(self) -> int:
        return self.adopted or (self.process.pid if self.process else 0)

    @property
    def other_pid(self) -> int:
        """During an upgrade the new master, as the pid file names it; 0 none."""
        named = self.named()
        return named if named and named != self.pid and is_alive(named) else 0

    def named(self) -> int:
        """The pid in the pid file, 0 none."""
        try:
            text = self.pid_file.read_text().strip() if self.pid_file else ""
        except OSError:
            return 0
        return int(text) if text.isdigit() else 0

    # ---- configuration -------------------------------------------------------------------------

    def write_config(self, number: int, workers: int | None = None, bad: str | None = None) -> None:
        """Replaces the configuration in one step, so that nobody reads half of it."""
        workers = self.target.workers or workers or self.configuration.workers
        text = self.template.render(number=number, workers=workers, port=self.port.number,
                                    unix_path=self.unix_path or "",
                                    tls_port=self.tls_port.number if self.tls_port else 0,
                                    run=self.folder, server=self.wishes,
                                    is_root=os.geteuid() == 0,
                                    bad=BAD_LINES[bad] if bad else "")
        fresh = self.config_path.with_suffix(".new")
        fresh.write_text(text, encoding="utf-8")
        fresh.rename(self.config_path)
        self.configuration = Configuration(number, workers, bad)

    # ---- life ----------------------------------------------------------------------------------

    def start(self, history: Path) -> None:
        """Runs the server in the foreground, in a process group of its own."""
        environment = {**os.environ, "MW_HISTORY": str(history), "MW_RUN": str(self.folder),
                       **{key: self.fill(value)
                          for key, value in self.target.environment.items()}}
        environment.pop("MW_FAULT_BOARD", None)
        if self.board:
            environment["MW_FAULT_BOARD"] = str(self.board)
        self._start_helper()
        words = self.target.daemon_argv if self.wishes.daemon else self.target.argv
        argv = [self.fill(word) for word in words]
        if self.shim:
            argv = [str(program("mw-fault")), "run", "--board", str(self.board), "--", *argv]
        ahead_ns = self.wishes.clock_ahead_ns
        with open(self.folder / "server.out", "ab") as out:
            try:
                self.process = subprocess.Popen(argv, cwd=self.folder, env=environment,
                                                stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                                start_new_session=True,
                                                preexec_fn=(partial(set_clock_ahead, ahead_ns)
                                                            if ahead_ns else None))
            except (OSError, subprocess.SubprocessError) as error:
                raise HarnessError(f"{self.target.name}: {argv[0]} cannot be run: {error}"
                                   ) from None
        if self.wishes.daemon:
            self._follow_daemon()
        else:
            self.pidfd = os.pidfd_open(self.process.pid)

    def _follow_daemon(self) -> None:
        """What was started ends when its daemon is there; that one is named by the pid file."""
        assert self.process
        if not wait_until(lambda: self.process.poll() is not None, READY_S) or \
                self.process.returncode != 0:
            raise HarnessError(f"{self.target.name}: the daemon was not there within "
                               f"{READY_S:.0f} s: " + " | ".join(self.complaints()))
        wait_until(lambda: self.named() != 0, READY_S)
        self.adopt(self.named())

    def adopt(self, pid: int) -> None:
        """From now on this process is the master. It is, or will be, a child of ours."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
        self.adopted = pid
        self.pidfd = os.pidfd_open(pid)

    def _start_helper(self) -> None:
        if not self.target.helper:
            return
        argv = [self.fill(word) for word in self.target.helper]
        with open(self.folder / "helper.out", "ab") as out:
            self.helper = subprocess.Popen(argv, cwd=self.folder, stdin=subprocess.PIPE,
                                           stdout=subprocess.PIPE, stderr=out,
                                           env={**os.environ, "PYTHONPATH": str(PACKAGE)},
                                           preexec_fn=die_with_parent, start_new_session=True)
        assert self.helper.stdout
        if self.helper.stdout.readline() != b"ready\n":
            raise HarnessError(f"{self.target.name}: the helper {' '.join(argv)} did not start: "
                               f"{(self.folder / 'helper.out').read_text()[-400:]}")

    def tell_helper(self, mood: str) -> None:
        """How the application is to behave from now on; returns when it does."""
        assert self.helper and self.helper.stdin and self.helper.stdout
        self.helper.stdin.write(mood.encode() + b"\n")
        self.helper.stdin.flush()
        answer = self.helper.stdout.readline().decode().strip()
        if answer != mood:
            raise HarnessError(f"the helper was told to {mood} and said {answer!r}")

    def is_running(self) -> bool:
        return self.exit_status() is None and self.process is not None

    def exit_status(self) -> int | None:
        """The master's wait status, as wait(2) tells it; None while it runs."""
        if not self.adopted:
            code = self.process.poll() if self.process else None
            return None if code is None else -code if code < 0 else code << 8
        if self.status is None and not is_alive(self.adopted):
            try:
                self.status = os.waitpid(self.adopted, os.WNOHANG)[1]
            except ChildProcessError:
                self.status = UNKNOWN_STATUS
        return self.status

    def probe(self, timeout_s: float = 1.0) -> Answer | None:
        return get(self.port.number, self.target.surfaces["echo"], timeout_s)

    def wait_ready(self, tend: Callable[[], object] = lambda: None) -> None:
        """Ready is what a client sees: the echo path answers. The pid file must be there too."""
        def ready() -> bool:
            tend()
            if not self.is_running():
                return True
            named = self.pid_file is None or self.pid_file.exists()
            answer = self.probe() if named else None
            return answer is not None and answer.status == 200
        if not wait_until(ready, READY_S) or not self.is_running():
            status = self.exit_status()
            what = f"ended with {status}" if status is not None else \
                f"did not answer within {READY_S:.0f} s"
            raise NotServing(f"{self.target.name}: the server {what} before the story began: "
                             + (" | ".join(self.complaints()) or "it said nothing"))

    def signal(self, number: int, pid: int = 0) -> bool:
        """Sends a signal; False when there is nobody to get it."""
        try:
            os.kill(pid or self.pid, number)
            return True
        except ProcessLookupError:
            return False

    def signal_group(self, number: int) -> None:
        os.killpg(self.pid, number)

    def complaints(self, count: int = 5) -> list[str]:
        """The last lines of the error log and of what the server printed."""
        lines: list[str] = []
        for path in (self.error_log, self.folder / "server.out"):
            if path and path.exists():
                lines += path.read_text(errors="replace").splitlines()[-count:]
        return lines

    # ---- reload --------------------------------------------------------------------------------

    def request_reload(self) -> subprocess.Popen[str] | None:
        """Asks for a reload: by the command that reports its outcome where there is one."""
        if not self.target.report.argv:
            self.signal(self.target.signals["reload"])
            return None
        argv = [self.fill(word) for word in self.target.report.argv]
        return subprocess.Popen(argv, cwd=self.folder, text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def outcome_in(self, text: str, status: int) -> str:
        """The word of a report that a reload command printed."""
        for word, pattern_text in self.target.report.words.items():
            if re.search(pattern_text, text):
                return word
        return "ok" if status == 0 and "ok" not in self.target.report.words else "none"

    def refusals(self) -> int:
        """Lines of the error log that say a configuration was refused."""
        if not self.target.report.refused_line or not self.error_log:
            return 0
        try:
            text = self.error_log.read_text(errors="replace")
        except OSError:
            return 0
        return len(re.findall(self.target.report.refused_line, text))

    # ---- end -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Kills what is left of it; the tree below is the caller's to clear."""
        if self.adopted and self.exit_status() is None:
            os.kill(self.adopted, signal.SIGKILL)
        if self.process and self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1
        if self.helper:
            assert self.helper.stdin and self.helper.stdout
            self.helper.stdin.close()
            self.helper.kill()
            self.helper.wait()
            self.helper.stdout.close()
        self.port.close()
        if self.tls_port:
            self.tls_port.close()
        if self.unix_path:
            shutil.rmtree(self.unix_path.parent)

    def is_master_gone(self) -> bool:
        return not self.is_running() and not is_alive(self.pid)
