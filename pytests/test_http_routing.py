"""Routing, rules and where they lead: the engine answers as nginx does."""

from __future__ import annotations

from pair import ask_all, pair, request, server  # noqa: F401  (pair is a fixture)

def test_locations(pair):
    both = pair(server("""
        location / { return 200 root; }
        location = /exact { return 200 exact; }
        location /pre { return 200 pre;
            location ~ \\.x$ { return 200 prex; }
            location /pre/deeper { return 200 deeper; } }
        location ^~ /final { return 200 final; location ~ y { return 200 finaly; } }
        location ~ \\.x$ { return 200 regex; }
        location ~* \\.IMG$ { return 200 image; }
        location ~ ^/outer/(?<rest>.*)$ { return 200 "rest=$rest one=$1";
            location ~ inner { return 200 "inner $rest"; } }
    """))
    answers = ask_all(both, "/", "/exact", "/exact/", "/pre", "/pre/a.x", "/pre/deeper",
                      "/prefix.x", "/pre/deeper/a.x", "/final.x", "/final/y", "/a.x", "/a.img",
                      "/a.ImG", "/outer/", "/outer/a%20b", "/outer/inner", "/%2e%2e/",
                      "/a/../exact", "//exact", "/exact?x=1")
    assert {answer.body for answer in answers} >= {b"root", b"exact", b"deeper", b"finaly",
                                                   b"image"}


def test_a_slash_is_added_to_what_is_passed_on(pair):
    both = pair(server("""
        location /back/ { return 200 "back $uri"; }
        location /x/ { proxy_pass http://127.0.0.1:PORT/back/; }
        location /x/y/ { proxy_pass http://127.0.0.1:PORT/back/; }
        location = /e/ { proxy_pass http://127.0.0.1:PORT/back/; }
        location /own/ { proxy_pass http://127.0.0.1:PORT/back/; }
        location = /own { return 200 own; }
        location /pre/ { proxy_pass http://127.0.0.1:PORT/back/; } location /pre { return 200 pre; }
        location ~ ^/x$ { return 200 regex; }
        location /plain/ { return 200 plain; }
    """))
    ask_all(both, "/x", "/x?a=b", "/x/", "/x/z", "/x/y", "/e", "/e/", "/own", "/own/", "/pre",
            "/prefix", "/plain", "/xx")


def test_bad_requests_have_error_pages_too(pair):
    both = pair("large_client_header_buffers 2 1k;" + server("""
        error_page 400 /a.txt; error_page 414 = /made; error_page 494 =431 @large;
        location = /made { return 200 "made $request_method $uri"; }
        location @large { return 200 large; }
    """))
    for raw in (b"GET /%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
                b"GET / HTTP/1.1\r\n\r\n",
                b"GET /" + b"a" * 2000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
                b"POST /../x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"):
        both.same(raw)
    large = b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 2000 + b"\r\n\r\n"
    assert [one.ask(large).status[:13] for one in (both.engine, both.nginx)] \
        == ["HTTP/1.1 431 "] * 2
    assert both.engine.ask(large).body == both.nginx.ask(large).body == b"large"


def test_server_names(pair):
    both = pair("""
        server { listen 127.0.0.1:PORT; return 200 "default $server_name"; }
        server { listen 127.0.0.1:PORT; server_name exact.test .both.test;
                 return 200 "exact $server_name $host"; }
        server { listen 127.0.0.1:PORT; server_name *.wild.test mail.*; return 200 wild; }
        server { listen 127.0.0.1:PORT; server_name ~^(?<user>[a-z]+)\\.users\\.test$;
                 return 200 "$user $1 $server_name"; }
    """)
    for host in ("exact.test", "EXACT.test:80", "exact.test.", "x.both.test", "both.test",
                 "a.wild.test", "mail.anything", "joe.users.test", "JOE.users.test", "none"):
        both.same("/", host=host)


def test_rewrite(pair):
    both = pair(server("""
        rewrite ^/server/(.*)$ /changed/$1;
        location /changed { return 200 "$uri $args"; }
        location /last { rewrite ^/last/(.*)$ /changed/$1?a=$1 last; return 200 no; }
        location /noargs { rewrite ^/noargs/(.*)$ /changed/$1? last; }
        location /own { rewrite ^/own/(.*)$ /changed/$1?x=y? last; }
        location /break { rewrite ^/break/(.*)$ /sub/$1 break; }
        location /loop { rewrite ^/loop(.*)$ /loop$1x last; }
        location /two { rewrite ^/two/(.*)$ /three/$1; rewrite ^/three/(.*)$ /changed/$1-3; }
        location /redirect { rewrite ^/redirect/(.*)$ /to/$1 redirect; }
        location /permanent { rewrite ^/permanent/(.*)$ /to/$1?n=1 permanent; }
        location /away { rewrite ^/away/(.*)$ https://other.test/$1?q=1; }
        location /fixed { rewrite ^ /changed/all? last; }
        location /icase { rewrite (?i)^/ICASE/(.*) /changed/$1 last; }
        location /stop { rewrite ^/stop/(.*)$ /changed/$1; break; return 200 never; }
        location /args { set $args "b=2"; return 200 "$args $is_args $query_string"; }
    """))
    ask_all(both, "/server/a", "/server/a?b=c", "/last/q", "/last/q?z=1", "/noargs/a?b=c",
            "/own/a?b=c", "/break/b.txt", "/break/none", "/loop", "/two/x?k", "/redirect/a%20b",
            "/redirect/a+b?c=d", "/permanent/p?q=r", "/away/x%3fy?z", "/fixed/1?2", "/iCASE/y",
            "/stop/z", "/args?a=1", "/last/%25%20x%26y", "/redirect/%D0%BF%23")


def test_set_and_if(pair):
    both = pair(server("""
        set $who server;
        if ($arg_stop) { return 403 "stopped $arg_stop"; }
        if ($http_x_move = yes) { rewrite ^ /moved last; }
        location /moved { return 200 "moved $who"; }
        location /v { set $a 1; set $b "$a-$who"; set $a 2; return 200 "$a $b ${a}x"; }
        location /if {
            set $r "";
            if ($arg_a) { set $r "${r}a"; }
            if ($arg_b = x) { set $r "${r}b"; }
            if ($arg_b != x) { set $r "${r}B"; }
            if ($arg_c ~ ^(\\d+)-(\\w+)$) { set $r "${r}c$2$1"; }
            if ($arg_c !~* UP) { set $r "${r}C"; }
            if (-f $document_root$uri) { set $r "${r}f"; }
            if (!-e $document_root/a.txt) { set $r "${r}E"; }
            if (-d $document_root/sub) { set $r "${r}d"; }
            if (-x $document_root/a.txt) { set $r "${r}x"; }
            add_header X-R $r;
            return 200 "r=$r";
        }
        location /head { add_header X-Outer o; if ($arg_in) { add_header X-Inner i; return 200 in; }
                         return 200 out; }
        location /doc/ { alias FOLDER/www/; if ($arg_css) { root FOLDER/www/deep; } }
        location /zero { if ($arg_z) { return 200 yes; } return 200 no; }
    """))
    ask_all(both, "/v", "/if", "/if?a=1&b=x&c=12-ab", "/if?c=up", "/if?a=0", "/head", "/head?in=1",
            "/?stop=1", "/zero?z=0", "/zero?z=00", "/zero?z=", "/doc/a.txt", "/a.txt")
    both.same("/x", "X-Move: yes")


def test_return(pair):
    both = pair(server("""
        location /200 { return 200; }
        location /text { default_type text/css; return 201 "t$arg_x"; }
        location /204 { return 204; } location /301 { return 301 /to?$args; }
        location /302 { return https://other.test$request_uri; } location /307 { return 307 there; }
        location /308 { return 308 http://x.test/; } location /303 { return 303 /see; }
        location /404 { return 404; } location /404t { return 404 "own $uri"; }
        location /500 { return 500; } location /418 { return 418; } location /599 { return 599 ""; }
        location /a.html { return 200 html; }
        location /429 { return 429; } location /503 { return 503; } location /405 { return 405; }
    """))
    ask_all(both, "/200", "/text?x=1", "/204", "/301?a=b", "/302?q", "/307", "/308", "/303", "/404",
            "/404t", "/418", "/599", "/a.html", "/429", "/503", "/405")
    both.same("/text", method="HEAD")
    both.same("/404", method="HEAD")
    assert both.engine.raw(request("/444")) != b""


def test_static_files(pair):
    both = pair(server("""
        index index.html b.txt;
        location /al/ { alias FOLDER/www/sub/; }
        location ~ ^/re/(.*)$ { alias FOLDER/www/$1; }
        location /var/ { root FOLDER/$arg_dir; }
        location /nested/ { alias FOLDER/www/; location /nested/sub/ { add_header X-N n; } }
    """))
    ask_all(both, "/", "/a.txt", "/sub", "/sub?x=1", "/sub/", "/deep/", "/none", "/a.txt/",
            "/al/b.txt", "/al/", "/al", "/re/a.txt", "/re/sub/b.txt", "/re/none", "/nested/a.txt",
            "/nested/sub/b.txt", "/nested/sub/", "/var/x", "/data.bin", "/sub/%2e%2e/a.txt")
    both.same("/a.txt", method="HEAD")
    both.same("/a.txt", method="POST", body=b"x")


def test_index(pair):
    both = pair(server("""
        location /sub/ { index none.html index.$arg_ext b.txt; }
        location /deep/ { index none.html /made$arg_x; } location /made { return 200 "made $uri"; }
        location /www/ { index $arg_ext$arg_none index.html; alias FOLDER/www/; }
        location /out/ { index $arg_ext; alias FOLDER/www/sub/; }
        location /twice/ { index a; index index.html; alias FOLDER/www/; }
    """))
    ask_all(both, "/sub/?ext=html", "/sub/?ext=x", "/sub/", "/deep/", "/deep/?x=1", "/deep/er/",
            "/www/?ext=a.txt", "/out/?ext=b.txt", "/twice/")
    assert both.engine.ask(request("/www/")).body == b"<p>home"
    assert both.engine.ask(request("/out/?ext=../a.txt")).status.split()[1] == "500"
