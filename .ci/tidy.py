"""The rules of the house that a compiler does not know. `make tidy` runs it; it prints each breach
as FILE:LINE: what, and what to do, and ends with 1 if there is any."""

import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ("engine", "faultinject", "scenarios", "bench", "pytests", ".ci")
MAX_FILE, MAX_FUNCTION, MAX_COLUMNS = 600, 70, 100

# A folder may include what stands here, and itself. Layers point downwards only.
HISTORY, FAULT = "scenarios/history", "faultinject"
OS = ("engine/os", FAULT, HISTORY)
TLS = ("engine/conf", "engine/shm", *OS)
UPSTREAM = ("engine/tls", "engine/core", *TLS)
HTTP = ("engine/upstream", *UPSTREAM)
MAY_INCLUDE = {
    "engine/core": (),
    "engine/os": (FAULT, HISTORY),
    "engine/conf": OS,
    "engine/shm": OS,
    "engine/tls": TLS,
    "engine/upstream": UPSTREAM,
    "engine/http": HTTP,
    "engine/worker": ("engine/http", *HTTP),
    "engine/master": ("engine/worker", "engine/http", *HTTP),
    "engine/sim": ("engine/core", "engine/upstream", "scenarios/judge", FAULT, HISTORY),
    "faultinject": (HISTORY,),
    "scenarios/history": (),
    "scenarios/judge": (HISTORY,),
    "scenarios/witness": (HISTORY,),
}

# What the core may leave undefined: memory helpers and the way out of a broken promise.
CORE_MAY_CALL = {"memcpy", "memmove", "memset", "memcmp", "memchr", "abort", "__stack_chk_fail"}
CORE_TRACE_MAY_CALL = CORE_MAY_CALL | {"snprintf", "vsnprintf", "strcmp", "strncmp", "strlen",
                                       "strtoull", "__isoc99_sscanf"}

BANNED = {
    r"\b(?:s?random|s?rand|drand48)\s*\(": "use a seeded stream: libc's random is outside the seed",
    r"\b(?:strcpy|strcat|sprintf|vsprintf|gets|strtok)\s*\(": "use the bounded form",
    r"\b(?:usleep|sleep)\s*\(": "wait until, never sleep",
    r"\b(?:atoi|atol|atof)\s*\(": "use strtoull and check the end",
    r"\bsignal\s*\((?!SIGPIPE, SIG_IGN)": "use sigaction or ev_signal",
    r"\bev_default_loop\s*\(": "it reaps every child: use ev_loop_new",
}
# In the engine the kernel has one door. What may go past it cannot fail, or is made by a command
# that talks to a server and is none.
PAST_THE_DOOR = {"free", "fcntl", "_exit"}
PAST_THE_DOOR_OF = {"control": {"poll"}}


def c_files(*suffixes):
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in suffixes and "__pycache__" not in path.parts:
                yield path


def name(path):
    return path.relative_to(ROOT).as_posix()


def is_test(path):
    """Tests and what only tests include: rigs, fixtures, hand-made stories."""
    return re.search(r"_(?:test|rig|fixture|story)\.[ch]$", path.name) is not None


def strip(text):
    """C text without comments and strings, line numbers kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text,
                  flags=re.S)


def check_sizes():
    for path in c_files(".c", ".h", ".py"):
        lines = path.read_text().splitlines()
        if len(lines) > MAX_FILE:
            yield f"{name(path)}:{len(lines)}: a file of over {MAX_FILE} lines; split it by subject"
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_COLUMNS:
                yield f"{name(path)}:{number}: over {MAX_COLUMNS} columns"


def check_functions():
    ctags = shutil.which("ctags")
    if not ctags:
        yield "ctags is missing: install universal-ctags (`make deps`)"
        return
    files = [name(p) for p in c_files(".c", ".h", ".py")]
    out = subprocess.run([ctags, "-L", "-", "--languages=C,Python", "--kinds-C=f",
                          "--kinds-Python=fm", "--fields=+ne", "-f", "-"], input="\n".join(files),
                         text=True, capture_output=True, cwd=ROOT, check=True).stdout
    for row in out.splitlines():
        field = dict(part.split(":", 1) for part in row.split("\t")[3:] if ":" in part)
        if "line" in field and "end" in field:
            length = int(field["end"]) - int(field["line"]) + 1
            if length > MAX_FUNCTION:
                function, path = row.split("\t")[:2]
                yield (f"{path}:{field['line']}: {function} has {length} lines, "
                       f"{MAX_FUNCTION} are allowed")


def check_includes():
    for path in c_files(".c", ".h"):
        folder = name(path.parent)
        if folder not in MAY_INCLUDE or is_test(path):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if not match:
                continue
            target = match.group(1)
            home = target.rsplit("/", 1)[0] if "/" in target else None
            if home is None:
                yield f'{name(path)}:{number}: include "{target}" by its path from the top'
            elif target.endswith(".def"):
                continue  # a vocabulary belongs to everybody
            elif home != folder and home not in MAY_INCLUDE[folder]:
                yield (f"{name(path)}:{number}: {folder} may not include {home}: "
                       "layers point downwards")


def check_banned():
    for path in c_files(".c", ".h"):
        if is_test(path):
            continue
        folder, text = name(path.parent), strip(path.read_text())
        for number, line in enumerate(text.splitlines(), 1):
            for pattern, instead in BANNED.items():
                if re.search(pattern, line):
                    yield f"{name(path)}:{number}: {line.strip()[:40]}: {instead}"


def check_core(build):
    for obj in sorted((build / "obj/engine/core").glob("*.o")):
        if obj.stem.endswith("_test"):
            continue
        may = CORE_TRACE_MAY_CALL if obj.stem.startswith("trace") else CORE_MAY_CALL
        out = subprocess.run(["nm", "-u", obj], text=True, capture_output=True, check=True).stdout
        for symbol in (line.split()[-1] for line in out.splitlines()):
            own = re.match(r"(?:sup|adm|conn|http1|balance|trace|core)_", symbol)
            if not own and symbol not in may:
                yield f"engine/core/{obj.stem}.c: calls {symbol}: the core does no I/O"


def check_door(build):
    """Whatever has a fault point in the shim goes through engine/os, where the engine has it."""
    hooks = (ROOT / "faultinject/shim/hooks.def").read_text()
    wrapped = set(re.findall(r"^HOOK_\w+\([^,()]+, (\w+),", hooks, flags=re.M)) - PAST_THE_DOOR
    for folder in sorted((build / "obj/engine").iterdir()):
        for obj in sorted(folder.glob("*.o")) if folder.name not in ("os", "core", "sim") else ():
            source = ROOT / "engine" / folder.name / f"{obj.stem}.c"
            if is_test(source) or not source.exists():
                continue
            out = subprocess.run(["nm", "-u", obj], text=True, capture_output=True,
                                 check=True).stdout
            called = {line.split()[-1] for line in out.splitlines()}
            for symbol in sorted(called & wrapped - PAST_THE_DOOR_OF.get(obj.stem, set())):
                yield f"{name(source)}: calls {symbol}(): go through engine/os/sys.h"


def check_headers(compiler):
    for path in c_files(".h"):
        if "build" in path.parts:
            continue
        out = subprocess.run([compiler, "-std=gnu11", "-I.", "-D_GNU_SOURCE", "-DMW_FAULTS=1",
                              "-fsyntax-only", "-x", "c", name(path)], text=True,
                             capture_output=True, cwd=ROOT)
        if out.returncode:
            yield f"{name(path)}: does not compile alone: {out.stderr.splitlines()[0]}"


def check_docs(build):
    """Generated documents say what the lists say."""
    made = {"docs/faults.md": ["mw-fault", "list", "--markdown"],
            "docs/configuration.md": ["mw-directives"],
            "docs/history.md": ["mw-history", "docs"]}
    for doc, command in made.items():
        program = build / "bin" / command[0]
        if not program.exists():
            yield f"{doc}: {program} is not built: `make all` first"
            continue
        fresh = subprocess.run([program, *command[1:]], text=True, capture_output=True).stdout
        if (ROOT / doc).read_text() != fresh:
            yield f"{doc}: is not what `{' '.join(command)}` prints: make it again"


def main():
    build = ROOT / (sys.argv[1] if len(sys.argv) > 1 else "build")
    breaches = [*check_sizes(), *check_functions(), *check_includes(), *check_banned(),
                *check_core(build), *check_door(build), *check_headers("gcc"), *check_docs(build)]
    print("\n".join(breaches) if breaches else "tidy: no breach")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
