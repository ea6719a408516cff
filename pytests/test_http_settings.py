"""Settings whose effect shows in answers, in headers and in logs: the engine beside nginx."""

from __future__ import annotations

import re
import socket

import pytest

from masterwork.paths import program
from masterwork.tree import wait_until
from pair import PATIENCE_S, Server, ask_all, pair, request, server  # noqa: F401  (a fixture)


def lines(path) -> list[str]:
    return path.read_text("latin-1").splitlines() if path.exists() else []


def errors(one: Server, text: str) -> list[str]:
    """The levels of the error log's lines with this text, once there are some."""
    def found() -> list[str]:
        return [line.split("[")[1].split("]")[0] for line in lines(one.folder / "error.log")
                if text in line]
    assert wait_until(lambda: bool(found()), PATIENCE_S), f"{text} in\n{one.said()[-2000:]}"
    return found()


def test_types(pair):
    both = pair(server("""
        types { text/x x XX; image/png png; } default_type a/b;
        location /sub/ { types { text/plain html; } } location /deep/ { default_type c/d; }
    """))
    for name in ("a.x", "a.xX", "a.png", "a.html", "a"):
        (both.engine.folder.parent / "www" / name).write_text("x")
    found = [answer.header("content-type") for answer in ask_all(
        both, "/a.x", "/a.xX", "/a.png", "/a.html", "/a", "/a.txt", "/sub/index.html",
        "/deep/er/c.css")]
    assert found == ["text/x", "text/x", "image/png", "a/b", "a/b", "a/b", "text/plain", "c/d"]


@pytest.mark.parametrize("setting", ["on", "off"])
def test_slashes(pair, setting):
    both = pair(server(f"""merge_slashes {setting}; location //a {{ return 200 two; }}
                           location / {{ return 200 $uri; }}"""))
    ask_all(both, "//a", "/a//b///c", "/a//../b", "///")


def test_the_version_can_be_hidden(pair):
    both = pair(server("location /quiet { server_tokens off; } location /says { }"))
    for one, name in ((both.engine, b"masterwork"), (both.nginx, b"nginx")):
        quiet, says = one.raw(request("/quiet")), one.raw(request("/says"))
        assert b"\r\nServer: " + name + b"\r\n" in quiet, one.name
        assert b"<center>" + name + b"</center>" in quiet, one.name
        assert re.search(rb"\r\nServer: " + name + rb"/[0-9.]+\r\n", says), one.name
        assert re.search(rb"<center>" + name + rb"/[0-9.]+</center>", says), one.name


def test_basic_status(pair):
    both = pair(server("location = /status { stub_status; } location / { return 204; }"))
    form = (r"Active connections: \d+ \nserver accepts handled requests\n (\d+) \1 (\d+) \n"
            r"Reading: \d+ Writing: 1 Waiting: \d+ \n")
    for one in (both.engine, both.nginx):
        seen = []
        for _ in range(2):
            found = re.fullmatch(form, one.ask(request("/status")).body.decode())
            assert found, one.name
            seen.append(int(found.group(2)))
            one.ask(request("/"))
        assert seen[1] - seen[0] == 2, one.name


@pytest.mark.parametrize("settings, twice, created", [
    ("open_file_cache off;", "new", "200"),
    ("open_file_cache max=10 inactive=60s; open_file_cache_valid 60s;", "old", "200"),
    ("open_file_cache max=10; open_file_cache_valid 60s; open_file_cache_errors on;", "old", "404"),
    ("open_file_cache max=10; open_file_cache_min_uses 3;", "new", "200"),
    ("open_file_cache max=10; open_file_cache_valid 0;", "new", "200"),
])
def test_files_that_stay_open(pair, tmp_path, settings, twice, created):
    both = pair(server(f"{settings} location / {{ }}"))
    for one in (both.engine, both.nginx):
        document, other = tmp_path / "www/doc.txt", tmp_path / "www/later.txt"
        other.unlink(missing_ok=True)
        document.write_text("old")
        assert one.ask(request("/doc.txt")).body == b"old"
        assert one.ask(request("/later.txt")).status.split()[1] == "404"
        fresh = tmp_path / "www/fresh"
        fresh.write_text("new")
        fresh.rename(document)
        other.write_text("x")
        assert one.ask(request("/doc.txt")).body.decode() == twice, one.name
        assert one.ask(request("/later.txt")).status.split()[1] == created, one.name


def test_what_rules_log(pair):
    both = pair(server("""
        error_log error.log notice;
        location /on { rewrite_log on; rewrite ^/on/(.*) /there/$1; return 200; }
        location /off { rewrite ^/off/(.*) /there/$1; return 200; }
        location /unset { if ($arg_x) { set $v 1; } return 200 "[$v]"; }
        location /hush { uninitialized_variable_warn off; if ($arg_x) { set $w 1; }
                         return 200 "[$w]"; }
    """))
    ask_all(both, "/off/a", "/hush", "/unset", "/on/a")
    for one in (both.engine, both.nginx):
        assert set(errors(one, '"^/on/(.*)"')) == {"notice"}, one.name
        assert errors(one, 'uninitialized "v" variable') == ["warn"], one.name
        assert not any("^/off" in line or '"w" variable' in line
                       for line in lines(one.folder / "error.log")), one.name


def test_levels_of_limits(pair):
    both = pair("""limit_req_zone $arg_k zone=a:64k rate=1r/m;
        limit_conn_zone $arg_k zone=c:64k;
        log_format said '$status $limit_req_status $limit_conn_status $request_uri';
    """ + server("""
        access_log said.log said;
        location /req { limit_req zone=a; limit_req_log_level warn; }
        location /dry { limit_req zone=a; limit_req_dry_run on; }
        location /conn { limit_conn c 1; limit_conn_log_level info; limit_rate $arg_rate;
                         alias FOLDER/www/; }
        location /look { limit_conn c 1; limit_conn_dry_run on; limit_conn_log_level notice;
                         alias FOLDER/www/; }
    """))
    for one in (both.engine, both.nginx):
        for target in ("/req?k=1", "/req?k=2", "/req?k=2", "/dry?k=2", "/req"):
            one.ask(request(target))
        with one.connect() as slow:
            slow.sendall(request("/conn/data.bin?k=3&rate=10"))
            assert slow.recv(10)
            for target in ("/conn/a.txt?k=3", "/look/a.txt?k=3", "/look/a.txt?k=4"):
                one.ask(request(target))
        assert "warn" in errors(one, "limiting requests, excess"), one.name
        assert "info" in errors(one, "limiting connections by zone"), one.name
        assert errors(one, "limiting connections, dry run") == ["notice"], one.name
    said = [lines(one.folder / "said.log")[:8] for one in (both.engine, both.nginx)]
    assert said[0] == said[1]
    assert {word for line in said[0] for word in line.split()} >= {
        "PASSED", "REJECTED", "REJECTED_DRY_RUN"}


def test_what_an_access_log_counts(pair):
    both = pair("log_format counts '$status $body_bytes_sent $bytes_sent $request_length $pipe "
                "$sent_http_content_type $sent_http_content_length $sent_http_x_more';"
                "log_format time '$request_time';" + server("""
        access_log counts.log counts; access_log time.log time; server_tokens off;
        add_header X-More "$sent_http_content_type;$hostname" always;
        location / { } location /none { access_log off; return 204; }
        location /text { return 200 hello; }
    """))
    ask_all(both, "/a.txt", "/none", "/text", "/data.bin")
    two = b"GET /a.txt HTTP/1.1\r\nHost: a\r\n\r\n" + request("/text")
    for one in (both.engine, both.nginx):
        one.raw(two)
    counted = []
    for one in (both.engine, both.nginx):
        assert wait_until(lambda: len(lines(one.folder / "time.log")) == 5, PATIENCE_S)
        assert all(re.fullmatch(r"\d+\.\d{3}", line) for line in lines(one.folder / "time.log"))
        server_name = len("masterwork") - len("nginx") if one is both.engine else 0
        counted.append([" ".join(str(int(word) - server_name) if i == 2 else word
                                 for i, word in enumerate(line.split(" ")))
                        for line in lines(one.folder / "counts.log")])
    assert counted[0] == counted[1]
    assert [line.split()[4] for line in counted[0][-2:]] == [".", "p"]


def test_who_and_what_serves(pair):
    both = pair("set_real_ip_from 127.0.0.1; real_ip_header X-Who;" + server("""
        location /host { return 200 $hostname; }
        location /port { return 200 "$remote_addr $realip_remote_addr $realip_remote_port"; }
        location /version { return 200 $nginx_version; }
    """))
    both.same("/host")
    for one in (both.engine, both.nginx):
        with one.connect() as client:
            port = client.getsockname()[1]
            client.sendall(request("/port", "X-Who: 10.1.2.3"))
            answer = b"".join(iter(lambda: client.recv(1000), b""))
            assert answer.endswith(f"10.1.2.3 127.0.0.1 {port}".encode()), one.name
        assert re.fullmatch(rb"\d+\.\d+\.\d+", one.ask(request("/version")).body), one.name


def test_what_is_passed_on_of_a_body(pair):
    def passed(path: str, more: str) -> str:
        return f"""location {path} {{ {more} proxy_http_version 1.1;
            proxy_pass http://127.0.0.1:PORT/back; proxy_set_header X-Said
            "$proxy_internal_body_length|$proxy_internal_chunked"; }}"""
    both = pair(server('location /back { return 200 "$http_x_said"; }'
                       + passed("/whole", "") + passed("/set", "proxy_set_body abcd;")
                       + passed("/streams", "proxy_request_buffering off;")))
    for target in ("/whole", "/set", "/streams"):
        both.same(target, method="POST", body=b"abc")
        both.same(target)
    coded = "Transfer-Encoding: chunked"
    for target in ("/whole", "/set"):
        both.same(request(target, coded, method="POST") + b"3\r\nabc\r\n0\r\n\r\n")
    for one in (both.engine, both.nginx):  # a body that is still to come when it is passed on
        with one.connect() as client:
            client.sendall(request("/streams", coded, method="POST"))
            answer = b""
            while not answer.endswith(b"chunked"):
                piece = client.recv(1000)
                assert piece, (one.name, answer)
                answer += piece
            assert answer.endswith(b"\r\n\r\n|chunked"), (one.name, answer)


def test_what_is_sent_decides_about_headers(pair):
    both = pair("""
        map $sent_http_content_type $kept { ~image/ max; text/plain 1h; default off; }
        map $sent_http_x_from $said { "" none; default "heard $sent_http_x_from"; }
    """ + server("""
        expires $kept; add_header X-Said $said always;
        add_header X-Length $sent_http_content_length;
        add_header X-Etag $sent_http_etag; add_header X-Since $sent_http_last_modified;
        location / { types { image/png txt; text/plain bin; } }
        location /back { add_header X-From there; return 200 hello; }
        location /pass { proxy_pass http://127.0.0.1:PORT/back; }
    """))
    for answer, kept in zip(ask_all(both, "/a.txt", "/index.html", "/pass"),
                            (True, False, False)):
        assert ("2037" in (answer.header("expires") or "")) == kept


def test_headers_of_servers_behind(pair):
    """add_header adds to what a server behind says, and expires takes its place."""
    both = pair(server("""
        location /back { expires 1h; add_header X-A back; add_header Cache-Control private;
                         add_header Last-Modified "Thu, 01 Jan 2015 00:00:00 GMT"; return 200 x; }
        location /a { proxy_pass http://127.0.0.1:PORT/back; add_header X-A front; }
        location /b { proxy_pass http://127.0.0.1:PORT/back; expires epoch; }
        location /c { proxy_pass http://127.0.0.1:PORT/back; expires -1; add_header X-A ""; }
        location /d { proxy_pass http://127.0.0.1:PORT/back; expires max; }
        location /e { proxy_pass http://127.0.0.1:PORT/back; proxy_hide_header Expires;
                      proxy_hide_header Cache-Control; add_header Cache-Control no-store; }
        location /f { proxy_pass http://127.0.0.1:PORT/back; add_header Last-Modified now;
                      add_header Cache-Control no-cache; add_header ETag '"x"'; }
        location /g { add_header Last-Modified now; }
    """))
    ask_all(both, "/b", "/d", "/g/", "/back")
    for target in ("/a", "/c", "/e", "/f"):
        ours, theirs = (sorted((name, "a time" if "GMT" in value and name == "expires" else value)
                               for name, value in one.ask(request(target)).headers)
                        for one in (both.engine, both.nginx))
        assert ours == theirs, target


def timers_to(port: int) -> set[str]:
    """Kinds of timers of connections to a port of this machine (2: of keep-alive)."""
    rows = [line.split() for line in open("/proc/net/tcp")][1:]
    return {row[5].split(":")[0] for row in rows
            if row[2].endswith(f":{port:04X}") and row[3] == "01"}


@pytest.mark.parametrize("setting, timers", [("on", {"02"}), ("off", {"00"})])
def test_keepalive_of_the_socket(pair, setting, timers):
    held = socket.create_server(("127.0.0.1", 0))
    held.settimeout(PATIENCE_S)
    port = held.getsockname()[1]
    both = pair(server(f"""proxy_socket_keepalive {setting};
                           location / {{ proxy_pass http://127.0.0.1:{port}; }}"""))
    for one in (both.engine, both.nginx):
        with one.connect() as client:
            client.sendall(request("/"))
            behind, _ = held.accept()
            with behind:
                assert wait_until(lambda: timers_to(port) == timers, PATIENCE_S), one.name
                behind.recv(1000)
                behind.sendall(b"HTTP/1.0 204 No Content\r\n\r\n")
            assert client.recv(1000), one.name
        assert wait_until(lambda: not timers_to(port), PATIENCE_S)
    held.close()


def test_what_only_the_engine_knows(tmp_path):
    text = "'$worker_slot|$config_generation|$request_nonce'"
    one = Server("engine", [str(program("mw-engine"))], tmp_path / "engine",
                 server(f"location / {{ return 200 {text}; }}"))
    try:
        assert one.ask(request("/", "X-Mw-Nonce: 77")).body == b"0|1|77"
        assert one.ask(request("/?n=8")).body == b"0|1|8"
        assert one.ask(request("/")).body == b"0|1|-"
    finally:
        one.stop()


def test_several_error_logs(pair, tmp_path):
    """Each place gets what its level asks for; a level's own places are all it has."""
    both = pair("error_log two.log info; error_log two-crit.log crit;" + server("""
        location /in { }
        location /own { error_log own.log; error_log own-info.log info; error_log quiet.log crit; }
        location /limited { limit_except GET { deny all; } error_log own.log crit;
                            error_log own-info.log warn; }
    """))
    for one in (both.engine, both.nginx):
        for target in ("/in", "/own", "/limited"):
            one.ask(request(target))
        names = {name: sum(" open() " in line for line in lines(one.folder / f"{name}.log"))
                 for name in ("error", "two", "two-crit", "own", "own-info", "quiet")}
        assert names == {"error": 0, "two": 1, "two-crit": 0, "own": 1, "own-info": 2,
                         "quiet": 0}, one.name
