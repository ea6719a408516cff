"""https to the servers behind: names, verification, certificates of our own, resumed sessions."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator

import pytest

from masterwork.certificates import Authority
from masterwork.paths import program
from masterwork.scripted import Backend, Call
from masterwork.tree import wait_until
from proxy_rig import Proxy


@pytest.fixture
def proxy(tmp_path) -> Iterator[Proxy]:
    proxy = Proxy(tmp_path)
    yield proxy
    proxy.close()


class Secure(Backend):
    """Answers each request with what it knows of the TLS connection."""

    def __init__(self, pair, ask_for: Authority | None = None, protocol: str = "TLSv1.3",
                 size: int = 0) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair.certificate, pair.key)
        if protocol == "TLSv1.2":
            self.context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.context.sni_callback = self._named
        if ask_for is not None:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(ask_for.certificate)
        self.names: list[str | None] = []
        self.size = size
        super().__init__(self._script)

    def _named(self, _: object, name: str | None, __: object) -> None:
        self.names.append(name)

    def _script(self, call: Call) -> None:
        call.sock = self.context.wrap_socket(call.sock, server_side=True)
        while self.take(call):
            peer = call.sock.getpeercert() if self.context.verify_mode else None
            who = dict(x[0] for x in peer["subject"])["commonName"] if peer else "-"
            text = f"{call.sock.version()} {call.sock.session_reused} {who}".encode()
            call.answer(text + bytes(self.size))


def start(proxy: Proxy, backend: Backend, settings: str = "", http: str = "") -> None:
    proxy.backends.append(backend)
    proxy.start(f"{settings} location / {{ proxy_pass https://{backend.address}; }}", http)


def test_https_is_spoken(proxy: Proxy, authority: Authority):
    backend = Secure(authority.sign("plain"))
    start(proxy, backend)
    assert proxy.ask("/").body == b"TLSv1.3 False -"
    assert backend.names == [None]
    assert f"Host: {backend.address}".encode() in backend.heads[0]


@pytest.mark.parametrize("protocol", ["TLSv1.2", "TLSv1.3"])
def test_large_bodies_both_ways(proxy: Proxy, authority: Authority, protocol):
    backend = Secure(authority.sign("large"), protocol=protocol, size=3_000_000)
    start(proxy, backend, "client_body_buffer_size 64k; client_max_body_size 0;")
    for size in (50_000, 2_000_000):
        body = bytes(range(256)) * (size // 256)
        answer = proxy.ask("/", "POST", body=body)
        assert answer.whole and len(answer.body) > 3_000_000
        assert backend.bodies[-1] == body


def test_the_name_is_told(proxy: Proxy, authority: Authority):
    backend = Secure(authority.sign("told"))
    start(proxy, backend, "proxy_ssl_server_name on; proxy_ssl_name some.$arg_n.test;")
    assert proxy.ask("/?n=name").status == 200
    assert backend.names == ["some.name.test"]


VERIFY = "proxy_ssl_verify on; proxy_ssl_trusted_certificate {ca}; "


@pytest.mark.parametrize("settings, status", [
    (VERIFY + "proxy_ssl_name right.test;", 200),
    (VERIFY + "proxy_ssl_name wrong.test;", 502),
    (VERIFY + "proxy_ssl_name right.test; proxy_ssl_crl {crl};", 502),
    (VERIFY, 200),  # the address stands in the certificate
    ("proxy_ssl_verify on; proxy_ssl_trusted_certificate {other}; proxy_ssl_name right.test;",
     502),
])
def test_certificates_are_verified(proxy: Proxy, tmp_path, settings, status):
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    pair = authority.sign("right.test")
    crl = ""
    if "{crl}" in settings:
        crl = authority.revoked(pair)
    backend = Secure(pair)
    start(proxy, backend, settings.format(ca=authority.certificate, other=other.certificate,
                                          crl=crl))
    assert proxy.ask("/").status == status
    if status == 502:
        proxy.logged("while SSL handshaking to upstream")
        assert not backend.heads


@pytest.mark.parametrize("depth, status", [(1, 502), (2, 200)])
def test_long_chains(proxy: Proxy, tmp_path, depth, status):
    root = Authority(tmp_path / "root", "root")
    first = Authority(tmp_path / "first", "first", root)
    second = Authority(tmp_path / "second", "second", first)
    pair = second.sign("deep.test")
    pair.certificate.write_text("".join(path.read_text() for path in (
        pair.certificate, second.certificate, first.certificate)))
    backend = Secure(pair)
    start(proxy, backend, f"""proxy_ssl_verify on; proxy_ssl_verify_depth {depth};
        proxy_ssl_trusted_certificate {root.certificate}; proxy_ssl_name deep.test;""")
    assert proxy.ask("/").status == status


def test_a_certificate_of_our_own(proxy: Proxy, authority: Authority):
    mine = authority.sign("the proxy", passphrase="secret")
    (proxy.folder / "pass").write_text("wrong\nsecret\n")
    backend = Secure(authority.sign("asks"), ask_for=authority)
    start(proxy, backend, f"""proxy_ssl_certificate {mine.certificate};
        proxy_ssl_certificate_key {mine.key}; proxy_ssl_password_file {proxy.folder}/pass;""")
    assert proxy.ask("/").body.endswith(b"the proxy")


@pytest.mark.parametrize("reuse", ["on", "off"])
def test_sessions_are_resumed(proxy: Proxy, authority: Authority, reuse):
    backend = Secure(authority.sign("resumed"), protocol="TLSv1.2")
    start(proxy, backend, f"proxy_ssl_session_reuse {reuse};")
    proxy.ask("/")
    again = {proxy.ask("/").body.split()[1] for _ in range(3)}
    assert again == {b"True" if reuse == "on" else b"False"}


@pytest.mark.parametrize("settings, word", [
    ("proxy_ssl_protocols TLSv1.2;", b"TLSv1.2"), ("proxy_ssl_protocols TLSv1.3;", b"TLSv1.3"),
    ("proxy_ssl_protocols TLSv1.2; proxy_ssl_ciphers ECDHE-ECDSA-AES256-GCM-SHA384;", b"TLSv1.2"),
])
def test_protocols_and_ciphers(proxy: Proxy, authority: Authority, settings, word):
    start(proxy, Secure(authority.sign("protocols")), settings)
    assert proxy.ask("/").body.split()[0] == word


def test_kept_connections(proxy: Proxy, authority: Authority):
    backend = Secure(authority.sign("kept"))
    proxy.backends.append(backend)
    proxy.start("""proxy_http_version 1.1; proxy_set_header Connection "";
                   location / { proxy_pass https://u; }""",
                http=f"upstream u {{ server {backend.address}; keepalive 2; }}")
    assert [proxy.ask("/").status for _ in range(5)] == [200] * 5
    assert backend.count == 1


def test_a_server_that_does_not_speak_tls(proxy: Proxy):
    backend = Backend(lambda call: call.send(b"HTTP/1.1 400 Bad\r\n\r\n"))
    start(proxy, backend)
    assert proxy.ask("/").status == 502
    proxy.logged("SSL_do_handshake() failed")


def test_a_handshake_that_stalls(proxy: Proxy):
    end = threading.Event()
    backend = Backend(lambda call: end.wait(20))
    start(proxy, backend, "proxy_connect_timeout 300ms;")
    assert proxy.ask("/").status == 504
    proxy.logged("upstream timed out (110: Connection timed out) while SSL handshaking to upstream")
    end.set()


def test_the_scheme_in_a_variable(proxy: Proxy, authority: Authority):
    backend = Secure(authority.sign("variable"))
    proxy.backends.append(backend)
    proxy.start(f"set $t https://{backend.address}; location / {{ proxy_pass $t$request_uri; }}")
    assert proxy.ask("/x").body == b"TLSv1.3 False -"
    assert wait_until(lambda: len(backend.heads) == 1, 20)


def test_files_that_are_not_there_are_refused(proxy: Proxy):
    (proxy.folder / "bad.conf").write_text("""events {} http { server { listen 127.0.0.1:1;
        location / { proxy_pass https://127.0.0.1:2; proxy_ssl_verify on;
            proxy_ssl_trusted_certificate nowhere.pem; } } }""")
    done = subprocess.run([program("mw-engine"), "-t", "-p", proxy.folder, "-c", "bad.conf"],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "nowhere.pem" in done.stderr and "bad.conf:3" in done.stderr
