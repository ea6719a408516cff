"""Each kind of mistake in a configuration: -t and a start name its place and exit 1, and a reload
with it changes nothing."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from masterwork.paths import program
from test_master import Engine, children, descriptors, engine, until  # noqa: F401  (a fixture)

# name: (the level the text stands at, the text with @@ where the mistake is, what is said)
MISTAKES = {
    "unknown directive": ("http", "@@sendfil on;",
                          'unknown directive "sendfil" (did you mean "sendfile"?)'),
    "unknown, nginx has it": ("http", "@@gzip on;",
                              'unknown directive "gzip" (nginx has it, this build does not)'),
    "unknown, of nginx's modules": ("http", "@@resolver 127.0.0.1;",
                                    'unknown directive "resolver" (nginx has it, this build'),
    "not supported": ("http", "access_log x combined @@gzip;",
                      '"gzip" of "access_log" is not supported by this build'),
    "unknown, nothing like it": ("main", "@@zzzz;", 'unknown directive "zzzz"'),
    "wrong place": ("main", "@@location / { }", '"location" directive is not allowed here'),
    "wrong place in an if": ("server", "if ($uri = a) { @@listen 81; }",
                             '"listen" directive is not allowed here'),
    "too few arguments": ("http", "@@sendfile;",
                          'invalid number of arguments in "sendfile" directive'),
    "too many arguments": ("http", "@@sendfile on off;",
                           'invalid number of arguments in "sendfile" directive'),
    "bad flag": ("http", "sendfile @@yes;", 'invalid value "yes" in "sendfile" directive'),
    "bad number": ("http", "keepalive_requests @@many;",
                   'invalid number "many" in "keepalive_requests" directive'),
    "number out of range": ("main", "worker_processes @@129;",
                            'invalid value "129" in "worker_processes" directive'),
    "bad size": ("http", "client_max_body_size @@1t;",
                 'invalid value "1t" in "client_max_body_size" directive'),
    "bad time": ("http", "send_timeout @@1x;", 'invalid value "1x" in "send_timeout" directive'),
    "bad word": ("http", "lingering_close @@maybe;",
                 'invalid value "maybe" in "lingering_close" directive'),
    "bad code": ("location", "return @@abc x;", 'invalid return code "abc"'),
    "bad address": ("server", "listen @@1.2.3.4.5:80;", 'of the "listen" directive'),
    "bad port": ("server", "listen @@127.0.0.1:65536;", "invalid port"),
    "bad network": ("http", "deny @@10.0.0.0/33;", 'invalid parameter "10.0.0.0/33"'),
    "bad log level": ("http", "error_log x @@loud;", 'invalid log level "loud"'),
    "bad URL": ("location", "proxy_pass @@ftp://a;", "invalid URL prefix"),
    "bad parameter": ("server", "listen 127.0.0.1:1 @@nonsense;", 'invalid parameter "nonsense"'),
    "duplicate": ("http", "etag on; @@etag off;", '"etag" directive is duplicate'),
    "duplicate block": ("main", "@@events { }", '"events" directive is duplicate'),
    "duplicate location": ("server", "location /a { } location @@/a { }",
                           'duplicate location "/a"'),
    "duplicate listen": ("server", "listen @@127.0.0.1:1;",
                         "a duplicate listen 127.0.0.1:1"),
    "duplicate listen options": ("http", "server { listen 127.0.0.1:1 backlog=5; }"
                                         "server { listen @@127.0.0.1:1 backlog=6; }",
                                 "duplicate listen options for 127.0.0.1:1"),
    "duplicate default server": ("http", "server { listen 127.0.0.1:1 default_server; }"
                                         "server { listen @@127.0.0.1:1 default_server; }",
                                 "a duplicate default server for 127.0.0.1:1"),
    "duplicate upstream": ("http", "upstream u { server 127.0.0.1:1; }"
                                   "upstream @@u { server 127.0.0.1:1; }",
                           'duplicate upstream "u"'),
    "duplicate zone": ("http", "limit_req_zone $uri zone=z:64k rate=1r/s;"
                               "limit_req_zone $uri @@zone=z:64k rate=1r/s;", '"z"'),
    "two handlers": ("location", "stub_status; @@status json;",
                     '"status" cannot stand beside "stub_status"'),
    "missing file": ("main", "include @@no/such/file;", "No such file or directory"),
    "unreadable file": ("main", "include @@folder;", "folder"),
    "missing certificate": ("http", "server { listen @@127.0.0.1:1 ssl; }",
                            'no "ssl_certificate" is defined'),
    "missing certificate file": ("http", "server { listen 127.0.0.1:1 ssl;"
                                         "ssl_certificate @@no.pem;"
                                         "ssl_certificate_key no.pem; }", "no.pem"),
    "mistake in an included file": ("http", "include part.conf;", 'invalid value "yes" in "etag"'),
    "include loop": ("main", "include loop.conf;", "include"),
    "missing brace": ("main", "http { \n\n@@", 'unexpected end of file, expecting "}"'),
    "brace too many": ("main", "@@}", 'unexpected "}"'),
    "block without braces": ("main", "@@http;", 'directive "http" has no opening "{"'),
    "braces without block": ("http", "@@etag on { }", 'directive "etag" is not terminated by ";"'),
    "missing semicolon": ("http", "@@etag on\netag_too off;", "invalid number of arguments"),
    "unfinished quote": ("main", "pid @@'abc;", "the end of the quoted string"),
    "unfinished double quote": ("main", 'pid @@"abc;', "the end of the quoted string"),
    "bad regex": ("server", "location @@~ a[ { }", 'regular expression "a[" failed at character 3'),
    "unknown variable": ("location", 'return 200 @@"a $nothing b";', 'unknown "nothing" variable'),
    "unknown upstream zone": ("http", "upstream u { zone @@z; server 127.0.0.1:1; }", '"z"'),
    "unknown zone": ("http", "limit_conn @@nowhere 3;", 'zone "nowhere"'),
    "unknown log format": ("http", "access_log x @@nowhere;", '"nowhere"'),
    "unknown host": ("location", "proxy_pass @@http://nobody.invalid;", "nobody.invalid"),
    "upstream without servers": ("http", "upstream @@u { }", 'no servers are inside upstream'),
    "NUL": ("main", "@@\0", "NUL"),
    "too deep": ("http", "server {" + "location /a {" * 40 + "}" * 40 + "}", "blocks"),
}

LEVELS = {
    "main": "TEXT",
    "http": "http { TEXT\n}",
    "server": "http { server { listen 127.0.0.1:1; TEXT\n} }",
    "location": "http { server { listen 127.0.0.1:1; location / { TEXT\n} } }",
}


def configuration(folder: Path, level: str, text: str) -> tuple[str, str | None]:
    """The whole text, and the LINE:COLUMN of the mistake; None: it is elsewhere."""
    whole = ("\npid server.pid; error_log logs/error.log;\nevents { }\n"
             + LEVELS[level].replace("TEXT", text))
    before, mark, after = whole.partition("@@")
    if not mark:
        return whole, None
    place = f"{before.count(chr(10)) + 1}:{len(before) - (before.rfind(chr(10)) + 1) + 1}"
    return before + after, place


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "logs").mkdir(exist_ok=True)
    (tmp_path / "folder").mkdir()
    (tmp_path / "part.conf").write_text("\n  etag yes;\n")
    (tmp_path / "loop.conf").write_text("include loop.conf;\n")
    return tmp_path


def run(folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MW_")}
    return subprocess.run([str(program("mw-engine")), "-p", str(folder), "-c",
                           str(folder / "bad.conf"), *more], text=True, env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=False)


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_named_with_its_place(folder, name):
    level, text, said = MISTAKES[name]
    whole, place = configuration(folder, level, text)
    (folder / "bad.conf").write_text(whole)
    for more in (["-t"], []):
        done = run(folder, *more)
        lines = done.stdout.splitlines()
        assert done.returncode == 1, done
        assert lines[0].startswith("mw-engine: [emerg] ") and said in lines[0], done.stdout
        found = re.search(r" in (\S+):(\d+:\d+)$", lines[0])
        assert found, f"no place: {lines[0]}"
        assert Path(found.group(1)).parent == folder, lines[0]
        if place is not None:
            assert (Path(found.group(1)).name, found.group(2)) == ("bad.conf", place), lines[0]
        assert len(lines) == (2 if more else 1), done.stdout
    assert not (folder / "server.pid").exists()


def test_a_mistake_in_an_included_file_is_there(folder):
    (folder / "bad.conf").write_text(configuration(folder, "http", "include part.conf;")[0])
    assert run(folder, "-t").stdout.splitlines()[0].endswith(f" in {folder}/part.conf:2:8")


def test_no_file_at_all(folder):
    done = run(folder, "-t")
    assert done.returncode == 1
    assert re.match(rf"mw-engine: \[emerg\] .*{folder}/bad.conf.*No such file", done.stdout)


def reload_outcomes(history: Path) -> list[str]:
    done = subprocess.run([str(program("mw-history")), "cat", str(history), "--kind",
                           "engine.reloaded"], text=True, stdout=subprocess.PIPE, timeout=60,
                          check=True)
    return done.stdout.splitlines()


def test_a_reload_with_a_mistake_changes_nothing(engine: Engine, folder: Path):
    """Each mistake is refused once: one line of the log, one record, and the old workers serve."""
    history = folder / "history"
    history.mkdir()
    engine.environment["MW_HISTORY"] = str(history)
    master = engine.start()
    until(lambda: len(children(master)) == 2, "two workers")
    before = (children(master), descriptors(master))
    for count, (level, text, said) in enumerate(MISTAKES.values(), 1):
        whole, place = configuration(folder, level, text)
        (folder / "server.conf").write_text(whole)
        done = engine.run("-s", "reload", "--wait")
        assert done.returncode == 1 and said in done.stdout, (text, done.stdout)
        assert place is None or f"server.conf:{place}" in done.stdout, (place, done.stdout)
        assert engine.answer() == 1, text
        refused = [line for line in engine.log().splitlines() if "reload refused" in line]
        assert len(refused) == count and said in refused[-1], (text, refused[-1:])
    assert (children(master), descriptors(master)) == before
    status = engine.status()["master"]
    assert (status["reloads_refused"], status["reloads_ok"]) == (len(MISTAKES), 0)
    records = reload_outcomes(history)
    assert len(records) == len(MISTAKES) and all("refused" in record for record in records)
    label = engine.write()
    assert engine.run("-s", "reload", "--wait").returncode == 0
    assert engine.answer() == label
