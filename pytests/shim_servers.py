"""The servers that the shim is tried on: the smallest configuration of each, and how it is run.

Each answers `hello` to any request, with a master and as many workers as are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass

NGINX = """
{user} daemon {daemon}; pid server.pid; error_log logs/error.log notice; worker_processes {workers};
events {{ worker_connections 64; }}
http {{
    access_log off; client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3;
    uwsgi_temp_path t4; scgi_temp_path t5;
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello\\n"; }} }}
}}
"""
HAPROXY = """
global
    nbthread 1
defaults
    mode http
    timeout client 5s
    timeout server 5s
    timeout connect 5s
frontend front
    bind 127.0.0.1:{port}
    http-request return status 200 content-type text/plain string "hello\\n"
"""
WSGI = """
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [b"hello\\n"]
"""
RACK = """
run lambda {{ |env| [200, {{"Content-Type" => "text/plain"}}, ["hello\\n"]] }}
"""
UNICORN = """
worker_processes {workers}
listen "127.0.0.1:{port}"
pid "{folder}/server.pid"
"""
APACHE = """
ServerRoot {folder}
ServerName localhost
Listen 127.0.0.1:{port}
PidFile server.pid
ErrorLog logs/error.log
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
StartServers {workers}
MinSpareServers {workers}
MaxSpareServers {workers}
MaxRequestWorkers {workers}
User www-data
Group www-data
DocumentRoot {folder}/www
DirectoryIndex hello
"""
LIGHTTPD = """
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{folder}/www"
server.errorlog = "{folder}/logs/error.log"
server.pid-file = "{folder}/server.pid"
server.max-worker = {workers}
index-file.names = ("hello")
"""
H2O = """
num-threads: 1
pid-file: {folder}/server.pid
error-log: {folder}/logs/error.log
{user}
listen: {{ host: 127.0.0.1, port: {port} }}
hosts:
  default:
    paths:
      "/": {{ file.dir: {folder}/www, file.index: [hello] }}
"""
PHP = """
[global]
pid = {folder}/server.pid
error_log = {folder}/logs/error.log
[www]
user = root
group = root
listen = 127.0.0.1:{port}
pm = static
pm.max_children = {workers}
ping.path = /ping
ping.response = "hello"
"""
ENGINE = """
daemon {daemon}; pid server.pid; error_log logs/error.log notice; worker_processes {workers};
events {{ worker_connections 64; }}
http {{
    access_log off;
    server {{ listen 127.0.0.1:{port}; location / {{ return 200 "hello\\n"; }} }}
}}
"""


@dataclass(frozen=True)
class Kind:
    """How a server is run. Words of `argv` and `files` have places: {own} its program, {folder},
    {port}, {workers}."""

    package: str
    programs: tuple[str, ...]
    argv: tuple[str, ...]
    files: dict[str, str]
    module: tuple[str, ...]  # how the names of the modules that make its calls begin
    fastcgi: bool = False
    replaces_workers: bool = True
    least_workers: int = 1  # with fewer it has no master


SERVERS = {
    "nginx": Kind("nginx-light", ("nginx",), ("-p", "{folder}", "-c", "server.conf"),
                  {"server.conf": NGINX}, ("nginx",)),
    "haproxy": Kind("haproxy", ("haproxy",), ("-W", "-f", "server.conf"),
                    {"server.conf": HAPROXY}, ("haproxy",), replaces_workers=False),
    "apache": Kind("apache2-bin", ("apache2",), ("-d", "{folder}", "-f", "{folder}/server.conf",
                                                 "-DFOREGROUND"),
                   {"server.conf": APACHE, "www/hello": "hello\n"}, ("apache2", "libapr")),
    "gunicorn": Kind("gunicorn", ("gunicorn",), ("-b", "127.0.0.1:{port}", "-w", "{workers}",
                                                 "-p", "server.pid", "app:app"),
                     {"app.py": WSGI}, ("python3",)),
    "uwsgi": Kind("uwsgi-core uwsgi-plugin-python3", ("uwsgi",),
                  ("--plugin", "python3", "--http-socket", "127.0.0.1:{port}", "--master",
                   "--processes", "{workers}", "--wsgi-file", "app.py", "--callable", "app",
                   "--die-on-term", "--pidfile", "server.pid"),
                  {"app.py": WSGI}, ("uwsgi",)),
    "unicorn": Kind("unicorn", ("unicorn",), ("-c", "server.rb", "config.ru"),
                    {"config.ru": RACK, "server.rb": UNICORN}, ("kgio",)),
    "puma": Kind("puma", ("puma",), ("-b", "tcp://127.0.0.1:{port}", "-w", "{workers}",
                                     "-t", "1:1", "config.ru"),
                 {"config.ru": RACK}, ("socket.so", "puma_http11")),
    "lighttpd": Kind("lighttpd", ("lighttpd",), ("-D", "-f", "server.conf"),
                     {"server.conf": LIGHTTPD, "www/hello": "hello\n"}, ("lighttpd",),
                     least_workers=2),
    "h2o": Kind("h2o", ("h2o",), ("-m", "master", "-c", "server.conf"),
                {"server.conf": H2O, "www/hello": "hello\n"}, ("h2o", "libh2o")),
    "php-fpm": Kind("php-fpm", ("php-fpm8.2", "php-fpm8.3", "php-fpm8.4", "php-fpm"),
                    ("-F", "-R", "-n", "-y", "{folder}/server.conf"),
                    {"server.conf": PHP}, ("php-fpm",), fastcgi=True),
}
OWN_ENGINE = Kind("", (), ("-p", "{folder}", "-c", "server.conf"), {"server.conf": ENGINE},
                  ("mw-engine",))
