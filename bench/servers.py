"""The servers that the bench measures: how each is configured and started, with one worker.

Every server answers the same on the same paths, as far as it can: `/` 100 bytes made from the
configuration, `/bytes/N` a file of N bytes, `/proxy` the floor's answer through a proxied
keep-alive connection; and the same on a TLS port with an RSA 2048 certificate.

All listen with TCP_DEFER_ACCEPT: a connection is handed out with its first bytes. h2o does it
unasked and would else be measured at less work than the others; the others can be told.
"""

import contextlib
import http.client
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

SIZES = (100, 65536, 1048576)
HUNDRED = "x" * 100
FROM_FLOOR = b"f"  # what the floor's answers are made of, and nobody else's
PINNED = (os.cpu_count() or 1) > 1


class Missing(Exception):
    """The server is not installed."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def until(condition, what, bound_s=20.0):
    """Polls until condition() is true; past the bound it is an error that says what was awaited."""
    end = time.monotonic() + bound_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise SystemExit(f"bench: {what}: not within {bound_s} s")
        time.sleep(0.0005)


def answers(port, path="/"):
    """One request on a new connection: True if it was answered with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            s.sendall(f"GET {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n".encode())
            return s.recv(64).startswith((b"HTTP/1.1 200", b"HTTP/1.0 200"))
    except OSError:
        return False


def body_of(port, path, tls):
    """The body of the answer to one request, which must be a 200."""
    kind = http.client.HTTPSConnection if tls else http.client.HTTPConnection
    context = {"context": ssl._create_unverified_context()} if tls else {}
    with contextlib.closing(kind("127.0.0.1", port, timeout=10, **context)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.read() if answer.status == 200 else b""


def pinned(cpu, argv):
    return ["taskset", "-c", str(cpu), *argv] if PINNED else list(argv)


NGINX = """
daemon off; worker_processes {workers}; pid {dir}/pid; error_log {dir}/error.log crit;
worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
    access_log off; keepalive_requests 100000000; sendfile on; keepalive_timeout 300s;
    upstream floor {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 100000000; }}
    server {{
        listen 127.0.0.1:{port} deferred;
        {tls}
        location / {{ return 200 "{hundred}"; }}
        location /pid {{ return 200 "$pid\\n"; }}
        location /bytes/ {{ root {dir}; }}
        location /proxy {{ proxy_pass http://floor; proxy_http_version 1.1;
                          proxy_set_header Connection ""; }}
    }}
}}
"""
# All speak TLS 1.3: nginx 1.22 would not by itself, and so resume sessions where others do not.
NGINX_TLS = """listen 127.0.0.1:{port_tls} ssl deferred; ssl_protocols TLSv1.2 TLSv1.3;
        ssl_certificate {dir}/c.pem; ssl_certificate_key {dir}/k.pem;"""

HAPROXY = """
global
    nbthread 1
    maxconn 9000
    ssl-default-bind-options ssl-min-ver TLSv1.2
defaults
    mode http
    timeout client 300s
    timeout server 60s
    timeout connect 5s
    timeout http-keep-alive 300s
frontend front
    bind 127.0.0.1:{port} defer-accept
    bind 127.0.0.1:{port_tls} defer-accept ssl crt {dir}/both.pem
    use_backend floor if {{ path /proxy }}
    http-request return status 200 content-type text/plain string {hundred} if !{{ path /proxy }}
backend floor
    http-reuse always
    server floor 127.0.0.1:{backend}
"""

H2O = """
num-threads: 1
max-connections: 9000
http1-request-timeout: 300
listen: {{ host: 127.0.0.1, port: {port} }}
listen:
  host: 127.0.0.1
  port: {port_tls}
  ssl: {{ certificate-file: {dir}/c.pem, key-file: {dir}/k.pem }}
user: root
hosts:
  default:
    paths:
      /bytes: {{ file.dir: {dir}/bytes }}
      /proxy: {{ proxy.reverse.url: "http://127.0.0.1:{backend}/" }}
      /: {{ file.dir: {dir}/bytes, file.index: ["100"] }}
"""

# lighttpd defers accepting on the first socket it is told of only (1.4.69): not on the one for TLS.
LIGHTTPD = """
server.modules = ( "mod_proxy", "mod_openssl" )
server.document-root = "{dir}"
server.bind = "127.0.0.1"
server.port = {port}
server.max-fds = 20000
server.max-connections = 9000
server.max-keep-alive-requests = 100000000
server.max-keep-alive-idle = 300
index-file.names = ( "index" )
$SERVER["socket"] == "127.0.0.1:{port}" {{ server.defer-accept = 1 }}
$SERVER["socket"] == "127.0.0.1:{port_tls}" {{
    ssl.engine = "enable"
    ssl.pemfile = "{dir}/both.pem"
}}
$HTTP["url"] =~ "^/proxy" {{
    proxy.server = ( "" => ( ( "host" => "127.0.0.1", "port" => {backend} ) ) )
}}
"""


class Server:
    """One server in the foreground, pinned to the first CPU. What it has no way to do in `lacks`:
    names of rows."""

    name = program = template = ""
    lacks = ()
    tls = True
    one_process = False  # it serves itself; else its children do
    made_of = b"x"
    arguments = ("-c", "{conf}")

    def __init__(self, backend, workers=1):
        self.path = shutil.which(self.program, path=f"{os.environ['PATH']}:/usr/sbin")
        if self.path is None:
            raise Missing(self.name)
        self.port, self.port_tls = free_port(), free_port()
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="mw-bench-"))
        self.dir.chmod(0o755)  # workers may run as another user
        (self.dir / "bytes").mkdir()
        for size in SIZES:
            (self.dir / "bytes" / str(size)).write_bytes(b"x" * size)
        (self.dir / "index").write_bytes(b"x" * 100)
        self.values = {"workers": workers, "port": self.port, "port_tls": self.port_tls,
                       "dir": self.dir, "hundred": HUNDRED, "backend": backend,
                       "conf": self.dir / "server.conf"}
        if self.tls:
            self.make_certificate()
        self.configure()
        self.errors = (self.dir / "stderr").open("wb")
        self.process = subprocess.Popen(
            pinned(0, [self.path, *(a.format(**self.values) for a in self.arguments)]),
            stdout=subprocess.DEVNULL, stderr=self.errors)
        until(self.is_ready, f"{self.name} answers (its folder: {self.dir})")

    def make_certificate(self):
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                        "-subj", "/CN=bench", "-keyout", self.dir / "k.pem",
                        "-out", self.dir / "c.pem"], check=True, capture_output=True)
        both = (self.dir / "c.pem").read_text() + (self.dir / "k.pem").read_text()
        (self.dir / "both.pem").write_text(both)

    def configure(self):
        self.values["tls"] = NGINX_TLS.format(**self.values)
        self.values["conf"].write_text(self.template.format(**self.values))

    def is_ready(self):
        if self.process.poll() is not None:
            text = (self.dir / "stderr").read_text(errors="replace").strip()
            raise SystemExit(f"bench: {self.name} ended with {self.process.returncode}: {text}")
        return answers(self.port)

    def url(self, path, tls=False):
        return f"http{'s' if tls else ''}://127.0.0.1:{self.port_tls if tls else self.port}{path}"

    def check(self, path, tls):
        """Ends the bench where this is not what the row says it is: a server that answers for its
        backend, or says something shorter, would be measured at another's work."""
        made_of = FROM_FLOOR if path == "/proxy" else self.made_of
        want = made_of * (int(path.rpartition("/")[2]) if path.startswith("/bytes/") else 100)
        got = body_of(self.port_tls if tls else self.port, path, tls)
        if got != want:
            raise SystemExit(f"bench: {self.name} answers {path} with {got[:40]!r} ({len(got)} "
                             f"bytes), expected were {len(want)} bytes {made_of!r}")

    def workers(self):
        """Pids of the processes that serve."""
        pid = self.process.pid
        if self.one_process:
            return [pid]
        text = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(word) for word in text.split()]

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.errors.close()
        shutil.rmtree(self.dir)


class Engine(Server):
    name, template = "engine", NGINX
    arguments = ("-c", "{conf}", "-p", "{dir}/")

    def __init__(self, backend, program, **rest):
        self.program = program
        super().__init__(backend, **rest)


class Nginx(Server):
    name, program, template = "nginx", "nginx", NGINX
    arguments = ("-c", "{conf}", "-p", "{dir}/")


class Haproxy(Server):
    name, program, template, one_process = "haproxy", "haproxy", HAPROXY, True
    arguments = ("-db", "-f", "{conf}")
    lacks = ("static",)


class H2o(Server):
    name, program, template, one_process = "h2o", "h2o", H2O, True
    lacks = ("return",)


class Lighttpd(Server):
    name, program, template, one_process = "lighttpd", "lighttpd", LIGHTTPD, True
    arguments = ("-D", "-f", "{conf}")
    lacks = ("return",)


class Floor(Server):
    """bench/mw-floor.c: the least that can be done; it also is the backend of all others."""

    name, one_process, tls, made_of = "floor", True, False, FROM_FLOOR
    arguments = ("{port}",)
    lacks = ("proxy", "tls")

    def __init__(self, program):
        self.program = program
        super().__init__(0)

    def configure(self):
        pass


PEERS = (Nginx, Haproxy, H2o, Lighttpd)
