"""What answers say about themselves: the engine answers as nginx does."""

from __future__ import annotations

import os
import re
import time

from pair import ask_all, pair, request, server  # noqa: F401  (pair is a fixture)

OLD = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
OLD_DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def documents(tmp_path):
    os.utime(tmp_path / "www" / "a.txt", (OLD, OLD))


def test_expires(pair):
    both = pair("map $arg_e $expires { default off; a epoch; b max; c 1h; d -1; e @0h; f junk; }"
                + server("""
        location /epoch { expires epoch; return 200 x; }
        location /max { expires max; return 200 x; }
        location /hour { expires 1h; return 200 x; }
        location /zero { expires 0; return 200 x; }
        location /minus { expires -1; return 200 x; }
        location /var { expires $expires; return 200 x; }
        location /error { expires max; return 404; }
        location /redirect { expires max; return 301 /x; }
        location /off { expires off; return 200 x; }
        location /doc/ { alias FOLDER/www/; expires modified 1d; }
        location /gone/ { alias FOLDER/www/; expires modified -1d; }
    """))
    ask_all(both, "/epoch", "/max", "/minus", "/error", "/redirect", "/off", "/var?e=a",
            "/var?e=b", "/var?e=d", "/var?e=f", "/var", "/gone/a.txt")
    for target in ("/hour", "/zero", "/var?e=c", "/var?e=e", "/doc/a.txt"):  # the clock may tick
        ours, theirs = (one.ask(request(target)) for one in (both.engine, both.nginx))
        ages = [int(re.fullmatch(r"max-age=(\d+)", one.header("cache-control")).group(1))
                for one in (ours, theirs)]
        assert abs(ages[0] - ages[1]) <= 2, (target, ages)
        dates = [time.mktime(time.strptime(one.header("expires"), "%a, %d %b %Y %H:%M:%S GMT"))
                 for one in (ours, theirs)]
        assert abs(dates[0] - dates[1]) <= 2, (target, dates)


def test_added_headers(pair):
    both = pair(server("""
        add_header X-A "$uri-$status"; add_header X-Always yes always; add_header X-Empty "$arg_e";
        location /x/ { alias FOLDER/www/; }
        location /own/ { add_header X-Own 1; return 200; }
        location /three { return 303 /x; } location /four { return 404; }
    """))
    ask_all(both, "/a.txt", "/none", "/x/a.txt", "/own/", "/three", "/four", "/a.txt?e=1")


def test_conditions(pair, tmp_path):
    documents(tmp_path)
    both = pair(server("""
        location /exact/ { alias FOLDER/www/; }
        location /before/ { alias FOLDER/www/; if_modified_since before; }
        location /off/ { alias FOLDER/www/; if_modified_since off; etag off; }
    """))
    etag = both.same("/exact/a.txt").header("etag")
    later, sooner = "Sun, 06 Nov 2022 08:49:37 GMT", "Sun, 06 Nov 1983 08:49:37 GMT"
    for where in ("/exact/a.txt", "/before/a.txt", "/off/a.txt"):
        for date in (OLD_DATE, later, sooner, "junk"):
            both.same(where, f"If-Modified-Since: {date}")
            if date != "junk":  # which must be ignored (RFC 9110 13.1.4); nginx says 412
                both.same(where, f"If-Unmodified-Since: {date}")
            both.same(where, f"If-Range: {date}", "Range: bytes=1-2")
        for tag in (etag, f"W/{etag}", f'"a", {etag}', "*", '"a"', etag.strip('"')):
            both.same(where, f"If-None-Match: {tag}")
            both.same(where, f"If-Match: {tag}")
            both.same(where, f"If-Range: {tag}", "Range: bytes=1-2")


def same_parts(pair, target: str, *headers: str) -> str:
    """Both answer the same but for the boundary, whose length is the same as well."""
    seen = []
    for one in (pair.engine, pair.nginx):
        answer = one.ask(request(target, *headers))
        kind = answer.header("content-type") or ""
        boundary = kind.partition("boundary=")[2].encode() or b"none"
        seen.append((answer.status, answer.body.replace(boundary, b"BOUNDARY"),
                     answer.header("content-length"), answer.header("content-range"),
                     kind.replace(boundary.decode(), "BOUNDARY")))
    assert seen[0] == seen[1]
    return seen[0][0].split()[1]


def test_ranges(pair, tmp_path):
    documents(tmp_path)
    both = pair(server("""
        location /two/ { alias FOLDER/www/; max_ranges 2; }
        location /zero/ { alias FOLDER/www/; max_ranges 0; }
        location /pull/ { alias FOLDER/www/; sendfile off; }
        location /file/ { alias FOLDER/www/; sendfile on; }
    """))
    assert same_parts(both, "/a.txt", "Range: bytes=0-1,4-5") == "206"
    assert same_parts(both, "/two/a.txt", "Range: bytes=0-1,4-5,7-8") == "200"
    assert same_parts(both, "/two/a.txt", "Range: bytes=0-1,-2") == "206"
    assert same_parts(both, "/zero/a.txt", "Range: bytes=0-1") == "200"
    assert same_parts(both, "/a.txt", "Range: bytes=0-8,1-9") == "200"
    assert same_parts(both, "/a.txt", "Range: bytes=20-30,40-50") == "416"
    assert same_parts(both, "/a.txt", "Range: bytes=5-5,20-30") == "206"
    for where in ("/pull", "/file"):
        assert same_parts(both, f"{where}/data.bin", "Range: bytes=0-0,10-4000,-1") == "206"
        assert same_parts(both, f"{where}/data.bin", "Range: bytes=4990-") == "206"
    both.same("/a.txt", "Range: bytes=2-4", method="HEAD")
    both.same("/zero/a.txt")


def test_redirects_name_the_server(pair):
    both = pair(server("""
        server_name first.test second.test;
        location /relative/ { absolute_redirect off; return 301 /x; }
        location /noport/ { port_in_redirect off; return 301 /x; }
        location /name/ { server_name_in_redirect on; return 301 /x; }
        location /dir { absolute_redirect off; alias FOLDER/www/sub; }
    """))
    ask_all(both, "/relative/", "/noport/", "/name/", "/dir", "/sub")
    both.same("/noport/", version="1.0")


def test_old_browsers(pair):
    both = pair(server("""
        location / { client_max_body_size 1k; return 200 ok; }
        location /safari { keepalive_disable safari; return 200 ok; }
        location /none { keepalive_disable none; return 200 ok; }
    """))
    msie = "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1)"
    safari = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_9) AppleWebKit/537 Version/7 Safari/537"
    for agent in (msie, msie.replace("6.0", "8.0"), msie.replace("NT 5.1", "NT 5.1; SV1"), safari,
                  safari.replace("Version/7", "Chrome/33")):
        for target in ("/", "/safari", "/none"):
            for method in ("GET", "POST"):
                raw = f"{method} {target} HTTP/1.1\r\nHost: a\r\nUser-Agent: {agent}\r\n\r\n" \
                      f"GET /none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                kept = [one.raw(raw.encode()).count(b"HTTP/1.1 200")
                        for one in (both.engine, both.nginx)]
                assert kept[0] == kept[1], (target, method, agent, kept)


def test_variables(pair, tmp_path):
    documents(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "www")
    both = pair(server("""
        location / { return 200 "$request_method|$request_uri|$uri|$document_uri|$args|$is_args|
$arg_a|$http_x_y|$cookie_c|$cookie_d_e|$host|$server_name|$server_addr|$server_port|$scheme|$https|
$remote_addr|$remote_user|$server_protocol|$content_length|$content_type|$document_root|
$request_filename|$request|$query_string|$limit_rate|$status"; }
        location /real/ { root FOLDER/link/; return 200 "$realpath_root $document_root"; }
        location /len { return 200 "$request_length $connection_requests"; }
    """))
    ask_all(both, "/", "/a%20b?a=1&b=2", "/real/x", "/x?A=2", "/len?x")
    both.same("/x", "X-Y: z", "Cookie: a=b; c=1; d_e = 2;f", "Authorization: Basic am9lOnB3",
              "Content-Type: text/x")
    both.same("/x", "Cookie: x=y", "Cookie: C=3", method="POST", body=b"abc")
    both.same("/x", version="1.0")


def test_variables_that_differ_each_time(pair):
    both = pair(server("""
        location / { return 200 "$request_id $request_id $connection_time $msec $time_iso8601
$time_local $pid $connection"; }
        location /connections { return 200 "$connections_active $connections_reading
$connections_writing $connections_waiting"; }
    """))
    texts = [one.ask(request("/")).body.decode() for one in (both.engine, both.nginx)]
    form = (r"([0-9a-f]{32}) \1 \d\.\d{3} \d{10}\.\d{3} \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00\n"
            r"\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000 \d+ \d+")
    for text in texts:
        assert re.fullmatch(form, text), text
    assert both.engine.ask(request("/")).body[:32] != texts[0][:32].encode()
    both.same("/connections")


def lines(path) -> list[str]:
    return path.read_text("latin-1").splitlines() if path.exists() else []


def test_access_logs(pair, tmp_path):
    both = pair("""
        map $status $bad { ~^[23] 0; default 1; }
        log_format plain '$status $request_uri';
        log_format json escape=json '{"agent": "$http_user_agent"}';
        log_format none escape=none '$http_user_agent';
    """ + server("""
        location / { access_log all.log plain; access_log bad.log plain if=$bad; }
        location /named { access_log named-$arg_n.log plain; return 200; }
        location /json { access_log json.log json; return 200; }
        location /none { access_log json.log none; return 200; }
        location /off { access_log off; return 200; }
        location /if { access_log cond.log plain; if ($arg_x) { access_log off; } }
    """))
    agent = 'User-Agent: a"b\\c\t\u00e9'
    ask_all(both, "/a.txt", "/gone.txt", "/named?n=1", "/named?n=2", "/named?n=1&again", "/off",
            "/if", "/if?x=1")
    for target in ("/json", "/none"):
        both.same(target, agent)
    for name in ("all.log", "bad.log", "named-1.log", "named-2.log", "json.log", "cond.log"):
        ours, theirs = (lines(tmp_path / one / name) for one in ("engine", "nginx"))
        assert ours == theirs, name
        assert ours, name


def test_logs_to_syslog(pair):
    import socket
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        sink.settimeout(20)
        where = f"syslog:server=127.0.0.1:{sink.getsockname()[1]}"
        both = pair("log_format plain '$status $request_uri';" + server(f"""
            location / {{ access_log {where},facility=local3,severity=warn,tag=site plain; }}
            location /err {{ error_log {where},nohostname,tag=bad error; }}
        """))
        stamp = r"<(\d+)>\w{3} [ \d]\d \d\d:\d\d:\d\d "
        for one in (both.engine, both.nginx):
            assert one.ask(request("/a.txt?1")).status.endswith("200 OK")
            text = sink.recv(4096).decode()
            found = re.fullmatch(stamp + r"(\S+) site: 200 /a.txt\?1", text)
            assert found and found.group(1) == str(19 * 8 + 4), text
        for one in (both.engine, both.nginx):
            assert one.ask(request("/err")).status.startswith("HTTP/1.1 404")
            text = sink.recv(4096).decode()
            found = re.match(stamp + r"bad: \S*.*\[error\] .*open\(\) \"", text)
            assert found and found.group(1) == str(23 * 8 + 3), text


def test_error_logs_of_a_location(pair, tmp_path):
    both = pair(server("""
        location /own { error_log own.log; } location /quiet { error_log quiet.log crit; }
        location /other { log_not_found off; error_log other.log; }
    """))
    ask_all(both, "/own", "/quiet", "/other", "/main")
    for one in ("engine", "nginx"):
        assert [len(lines(tmp_path / one / f"{name}.log")) for name in ("own", "quiet", "other")] \
            == [1, 0, 0], one
        assert not any("/own" in line for line in lines(tmp_path / one / "error.log"))


def test_bodies_in_files(pair, tmp_path):
    def passed(path: str, more: str) -> str:
        return f"""location {path} {{ {more} proxy_pass http://127.0.0.1:PORT/back;
            proxy_set_header X-File $request_body_file; proxy_set_header X-Body $request_body; }}"""
    both = pair(server("client_body_temp_path body;"
                       + 'location /back { return 200 "$http_x_file|$http_x_body"; }'
                       + passed("/memory", "")
                       + passed("/clean", "client_body_in_file_only clean;")
                       + passed("/on", "client_body_in_file_only on;")))
    assert both.same("/memory", method="POST", body=b"abc").body == b"|abc"
    for one in (both.engine, both.nginx):
        for target in ("/clean", "/on"):
            text = one.ask(request(target, method="POST", body=b"hello")).body.decode()
            path, _, body = text.partition("|")
            assert path and not body, (one.name, target, text)
        assert [file.read_bytes() for file in (one.folder / "body").rglob("*")
                if file.is_file()] == [b"hello"], one.name


def test_kept_connections(pair):
    both = pair(server("""
        location /told { keepalive_timeout 20 15; return 200 x; }
        location /never { keepalive_timeout 0; return 200 x; }
        location /twice { keepalive_requests 2; return 200 x; }
        location /default { return 200 x; }
    """))

    def heads(one, targets: list[str], version: str, *more: str) -> list[list[str]]:
        text = "".join("\r\n".join([f"GET {target} HTTP/{version}", "Host: a", *more, "", ""])
                       for target in targets)
        with one.connect() as client:
            client.sendall(text.encode())
            client.shutdown(1)
            raw = b""
            while piece := client.recv(1 << 16):
                raw += piece
        found = [head.split("\r\n") for head in re.split("(?=HTTP/1.1 )", raw.decode())[1:]]
        return [[line for line in head if re.match("(?i)connection|keep-alive", line)]
                for head in found]
    for version, more in (("1.1", ()), ("1.0", ()), ("1.0", ("Connection: keep-alive",)),
                          ("1.1", ("Connection: close",))):
        for targets in (["/told", "/never"], ["/twice"] * 4, ["/default", "/told", "/default"]):
            ours, theirs = (heads(one, targets, version, *more)
                            for one in (both.engine, both.nginx))
            if targets[0] != "/twice":  # what has been sent already is still answered here
                assert ours == theirs, (version, more, targets)
            else:
                assert ours[:1] == theirs[:1]
