"""Where requests go instead, and who may ask: the engine answers as nginx does."""

from __future__ import annotations

from pair import ask_all, pair, request, server  # noqa: F401  (pair is a fixture)


def test_try_files(pair):
    both = pair(server("""
        location / { try_files $uri $uri/ /fallback?from=$uri; }
        location /fallback { return 200 "fallback $args"; }
        location /code { try_files $uri =410; }
        location /named { try_files $uri/none @named; }
        location @named { return 200 "named $uri"; }
        location /al/ { alias FOLDER/www/; try_files $uri $uri/ =404; }
        location ~ ^/re/(.*)$ { alias FOLDER/www/; try_files $1 =404; }
        location /loop { try_files $uri /loop; }
        location /lost { try_files $uri @nowhere; }
        location /first { try_files /sub/b.txt /a.txt =404; }
        location /folder { try_files /sub/ =404; }
    """))
    ask_all(both, "/a.txt", "/sub", "/sub/", "/none?x=1", "/code/x", "/named", "/al/a.txt",
            "/al/sub/", "/al/none", "/re/a.txt", "/re/none", "/loop", "/lost", "/first", "/folder")


def test_server_level_try_files(pair):
    both = pair(server("try_files $uri /a.txt; location /x/ { return 200 x; }"))
    ask_all(both, "/none", "/sub/b.txt", "/x/y")


def test_error_pages(pair):
    both = pair(server("""
        error_page 404 /404.html;
        location /other/ { error_page 404 403 =200 /a.txt; deny all; }
        location /keep/ { error_page 404 = /made; }
        location = /made { return 201 "made $status $uri $request_uri $request_method"; }
        location /named/ { error_page 404 405 @named; }
        location @named { return 200 "named $uri"; }
        location /away/ { error_page 404 https://other.test$uri; }
        location /moved/ { error_page 404 =301 http://other.test/; }
        location /plain/ { error_page 500 /x; }
        location /args/ { error_page 404 = /made2?a=$arg_x; }
        location = /made2 { return 200 "$args"; }
        location /twice/ { error_page 404 /none.html; }
        location /deep/ { recursive_error_pages on; error_page 404 = @one; }
        location @one { recursive_error_pages on; error_page 410 = @two; return 410; }
        location @two { return 200 "two"; }
        location /shallow/ { error_page 404 = @three; }
        location @three { error_page 410 = @two; return 410; }
        location /internal/ { internal; }
        location /cycle/ { recursive_error_pages on; error_page 404 /cycle/x; }
        location /ret/ { error_page 503 @named; return 503; }
        location /redir/ { error_page 404 @redir; }
        location @redir { return 302 /a.txt; }
        location /big { client_max_body_size 1; error_page 413 /a.txt; }
    """))
    ask_all(both, "/none", "/other/x", "/keep/x", "/named/x", "/away/x", "/moved/x", "/plain/x",
            "/args/x?x=5", "/twice/x", "/deep/x", "/shallow/x", "/internal/a", "/cycle/y", "/ret/x",
            "/redir/x")
    both.same("/none", method="HEAD")
    both.same("/named/x", method="POST", body=b"x")
    both.same("/keep/x", method="POST", body=b"x")
    both.same("/none", 'If-None-Match: "x"', "Range: bytes=0-1")


def test_server_rules_before_error_pages(pair):
    both = pair(server("""
        error_page 503 @down;
        if ($arg_down) { return 503; }
        location / { return 200 up; }
        location @down { return 503 "come back later"; }
    """))
    ask_all(both, "/", "/?down=1")


def test_internal(pair):
    both = pair(server("""
        location /secret/ { internal; return 200 secret; }
        location /way { rewrite ^ /secret/x last; }
        location /err { error_page 404 = /secret/y; return 404; }
        location /if { if ($arg_a) { rewrite ^ /secret/z last; } return 200 no; }
    """))
    ask_all(both, "/secret/", "/way", "/err", "/if", "/if?a=1")


def test_allow_and_deny(pair):
    both = pair(server("""
        location /all { deny all; }
        location /some { allow 127.0.0.2; allow 127.0.1.0/24; deny 127.0.0.0/8; }
        location /bits { deny 127.0.2.128/25; }
        location /v6 { deny ::1; allow fe80::/10; deny unix:; }
        location /nested { deny all; location /nested/open { allow all; } location /nested/in {} }
        location /except { limit_except GET { deny all; } }
        location /post { limit_except POST OPTIONS { allow 127.0.0.9; deny all; } return 200 ok; }
        location /satisfy { satisfy any; deny all; }
    """))
    for source in ("127.0.0.1", "127.0.0.2", "127.0.1.77", "127.0.2.1", "127.0.2.200", "127.0.0.9"):
        for target in ("/all", "/some", "/bits", "/v6", "/nested/open", "/nested/in", "/post",
                       "/satisfy"):
            both.same(target, source=source)
    for method in ("GET", "HEAD", "POST", "DELETE", "PROPFIND"):
        both.same("/except", method=method)
        both.same("/post", method=method)


def test_real_ip(pair):
    def block(trust: str) -> str:
        return server(f"""{trust} add_header X-Ip "$remote_addr $realip_remote_addr";
            location / {{ return 200 "$remote_addr:$remote_port"; }}
            location /deny {{ deny 10.0.0.1; deny 2001:db8::/32; }}
            location /own {{ set_real_ip_from 127.0.0.1; real_ip_header X-Client; deny 10.0.0.9; }}
        """)
    headers = [(), ("X-Real-IP: 10.0.0.1",), ("X-Real-IP: 10.0.0.1:99",), ("X-Real-IP: nobody",),
               ("X-Real-IP: [2001:db8::1]:80",), ("X-Real-IP: 2001:db8::1",),
               ("X-Forwarded-For: 10.0.0.1",), ("X-Forwarded-For: 10.0.0.1, 10.0.0.2",),
               ("X-Forwarded-For: 10.0.0.3", "X-Forwarded-For: 10.0.0.1, 127.0.0.1 ,",),
               ("X-Forwarded-For: 10.0.0.4, junk, 127.0.0.1",), ("X-Client: 10.0.0.9",)]
    for trust in ("set_real_ip_from 127.0.0.1;",
                  "set_real_ip_from 127.0.0.0/8; real_ip_header X-Forwarded-For;",
                  "set_real_ip_from 127.0.0.1; real_ip_header X-Forwarded-For;"
                  " real_ip_recursive on;",
                  "set_real_ip_from 10.0.0.0/8; set_real_ip_from 127.0.0.1;"
                  " real_ip_header X-Forwarded-For; real_ip_recursive on;",
                  "set_real_ip_from 192.0.2.1;"):
        both = pair(block(trust))
        for more in headers:
            answer = both.same("/deny", *more)
            assert answer.header("x-ip") is None or "127.0.0.1" in answer.header("x-ip")
            both.same("/own", *more)
        both.close()
        pair.made.remove(both)


def test_map(pair):
    both = pair("""
        map $arg_k $plain { default none; a one; B two; \\default three; ~^x(.)y$ "re $1";
                            ~*^UP up; "" empty; c $arg_v; d "$arg_v-$plain2"; }
        map $plain2 $unused { default 1; }
        map "$arg_k-$arg_v" $plain2 { a-b both; default "no $arg_k"; }
        map $host $site { hostnames; default other; example.test exact; *.wild.test wild;
                          .both.test both; mail.* mail; ~^re re; }
        map $uri $first { ~^/(?<word>[a-z]+)/ $word; }
        map $arg_n $level { volatile; default $arg_n; }
    """ + server("""
        location / { return 200 "[$plain] [$plain2] [$site] [$first] [$level]"; }
        location /set { set $args k=a; set $x $plain; set $args k=B; return 200 "$x $plain"; }
    """))
    ask_all(both, "/?k=a", "/?k=A", "/?k=b", "/?k=default", "/?k=xzy", "/?k=upper", "/?k=", "/",
            "/?k=c&v=5", "/?k=d&v=b", "/?k=a&v=b", "/abc/d", "/ABC/d", "/set", "/?n=4")
    for host in ("example.test", "EXAMPLE.test", "a.wild.test", "wild.test", "both.test",
                 "x.both.test", "mail.x", "mail.x.y", "regex", "example.test."):
        both.same("/", host=host)


def test_methods_are_compared_as_they_are(pair):
    both = pair(server("location / { if ($request_method = POST) { return 405; } return 200 ok; }"))
    both.same("/", method="POST", body=b"abc")
    both.same("/", method="GET")
    assert both.same(request("/", method="PUT", body=b"abc")).status.endswith("200 OK")
