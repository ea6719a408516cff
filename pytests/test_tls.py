"""TLS as nginx has it: each test that needs nothing of the engine's own runs on both servers."""

from __future__ import annotations

import shutil
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tls_server import Server, connect, context, der, get, read_answer, until

from masterwork.certificates import Authority, Pair

SERVERS = ["engine", pytest.param("nginx", marks=pytest.mark.skipif(
    shutil.which("nginx") is None, reason="nginx is not installed (make deps-check)"))]


@pytest.fixture(scope="module")
def other(authority: Authority) -> Pair:
    return authority.sign("*.other.test")


@pytest.fixture(scope="module")
def client(authority: Authority) -> Pair:
    return authority.sign("a client")


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    made = Server(tmp_path / "server", request.param)
    yield made
    made.close()


def pair(of: Pair) -> str:
    return f"ssl_certificate {of.certificate}; ssl_certificate_key {of.key};"


# ---- bytes ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_files_come_whole(server: Server, authority: Authority, site: Pair, version: str) -> None:
    (server.folder / "big").write_bytes(bytes(range(256)) * 3000)
    (server.folder / "small").write_text("small")
    server.write(f"{pair(site)} ssl_protocols TLSv1.2 TLSv1.3; sendfile on;"
                 f"server {{ listen 127.0.0.1:PORT0 ssl; root {server.folder}; }}")
    server.start()
    how = context(authority.certificate, version)
    assert get(server.port(), "/small", how, "site.test").body == b"small"
    assert get(server.port(), "/big", how, "site.test").body == bytes(range(256)) * 3000
    assert get(server.port(), "/none", how, "site.test").status == 404


def test_connections_are_kept_and_requests_pipelined(server: Server, site: Pair) -> None:
    server.write(f"{pair(site)} server {{ listen 127.0.0.1:PORT0 ssl; return 200 $request_uri; }}")
    server.start()
    with connect(server.port(), context()) as stream:
        for path in ("/one", "/two"):
            stream.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert read_answer(stream)[2] == path.encode()
        count = 200
        stream.sendall(b"".join(b"GET /%04d HTTP/1.1\r\nHost: x\r\n\r\n" % i for i in range(count)))
        data = b""
        while data.count(b"HTTP/1.1 200") < count or not data.endswith(b"/%04d" % (count - 1)):
            piece = stream.recv(65536)
            assert piece
            data += piece
        assert all(b"\r\n\r\n/%04d" % i in data for i in range(count))


def records_of(port: int, path: str) -> list[int]:
    """Lengths of the records of application data that an answer came in."""
    into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
    engine = context(version="TLSv1_2").wrap_bio(into, out)
    raw = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as stream:
        sent = False
        while True:
            try:
                if not sent:
                    engine.do_handshake()
                    engine.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
                    sent = True
            except ssl.SSLWantReadError:
                pass
            stream.sendall(out.read())
            piece = stream.recv(65536)
            if not piece:
                break
            raw += piece
            into.write(piece)
    lengths = []
    while raw:
        kind, _, length = struct.unpack(">BHH", raw[:5])
        lengths += [length] if kind == 23 else []
        raw = raw[5 + length:]
    return lengths


def test_records_are_as_small_as_told(server: Server, site: Pair) -> None:
    (server.folder / "file").write_bytes(b"x" * 20000)
    server.write(f"{pair(site)} server {{ listen 127.0.0.1:PORT0 ssl; root {server.folder}; }}"
                 f"server {{ listen 127.0.0.1:PORT1 ssl; root {server.folder};"
                 "ssl_buffer_size 1k; }")
    server.start()
    overhead = 64
    assert 16384 < max(records_of(server.port(0), "/file")) <= 16384 + overhead
    small = records_of(server.port(1), "/file")
    assert max(small) <= 1024 + overhead and len(small) >= 20


# ---- names ---------------------------------------------------------------------------------------

def test_the_name_chooses_the_certificate(server: Server, site: Pair, other: Pair) -> None:
    server.write(f"server {{ listen 127.0.0.1:PORT0 ssl; server_name site.test; {pair(site)}"
                 "return 200 site; }"
                 "server { listen 127.0.0.1:PORT0 ssl; server_name *.other.test plain.test;"
                 f"{pair(other)} return 200 other; }}"
                 "server { listen 127.0.0.1:PORT0 ssl; server_name no.test;"
                 "ssl_reject_handshake on; return 200 no; }")
    server.start()
    port = server.port()
    seen = {name: get(port, name=name).certificate
            for name in ("site.test", "a.other.test", "A.Other.Test", "plain.test", "nobody.test",
                         "")}
    assert seen == {"site.test": der(site), "a.other.test": der(other),
                    "A.Other.Test": der(other), "plain.test": der(other),
                    "nobody.test": der(site), "": der(site)}
    # The server that answers goes by Host.
    assert get(port, name="site.test", host="b.other.test").body == b"other"
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        get(port, name="no.test")


def test_names_of_every_form_choose_the_certificate(server: Server, authority: Authority) -> None:
    """The order is that of server_name: exact, *.x, x.*, then regular expressions as written."""
    names = {"exact": "www.a.test", "start": "*.a.test", "end": "www.*", "both": ".c.test",
             "first": r"~^w\d+\.b\.test$", "second": r"~^(?<who>\w+)\.b\.test$",
             "default": "d.test"}
    pairs = {label: authority.sign(f"{label}.pair.test", "ec") for label in names}
    server.write("".join(
        f"server {{ listen 127.0.0.1:PORT0 ssl; server_name {names[label]};"
        f"{pair(pairs[label])} return 200 \"{label} $who\"; }}"
        for label in ("default", "both", "end", "start", "exact", "first", "second")))
    server.start()
    for asked, label in {"www.a.test": "exact", "x.a.test": "start", "x.y.a.test": "start",
                         "www.b.test": "end", "w7.b.test": "first", "joe.b.test": "second",
                         "c.test": "both", "x.c.test": "both", "a.test": "default",
                         "": "default"}.items():
        answer = get(server.port(), name=asked, host=asked or "d.test")
        who = "joe" if label == "second" else ""
        assert answer.body.decode() == f"{label} {who}", asked
        assert answer.certificate == der(pairs[label]), asked


def test_a_default_server_may_refuse_who_names_nobody(server: Server, site: Pair) -> None:
    server.write("server { listen 127.0.0.1:PORT0 ssl default_server; ssl_reject_handshake on; }"
                 f"server {{ listen 127.0.0.1:PORT0 ssl; server_name site.test; {pair(site)}"
                 "return 200 site; }")
    server.start()
    assert get(server.port(), name="site.test").body == b"site"
    for name in ("", "nobody.test"):
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            get(server.port(), name=name)


def test_keys_of_two_kinds_and_passphrases(server: Server, authority: Authority,
                                           site: Pair) -> None:
    rsa = authority.sign("rsa.test", "rsa", passphrase="sesame")
    (server.folder / "words").write_text("wrong\nsesame\n")
    server.write(f"{pair(site)} {pair(rsa)} ssl_password_file {server.folder}/words;"
                 "ssl_protocols TLSv1.2;"
                 "server { listen 127.0.0.1:PORT0 ssl; return 200 $ssl_cipher; }")
    server.start()
    for cipher, of in (("ECDHE-RSA-AES128-GCM-SHA256", rsa),
                       ("ECDHE-ECDSA-AES128-GCM-SHA256", site)):
        answer = get(server.port(), how=context(ciphers=cipher))
        assert (answer.certificate, answer.body.decode()) == (der(of), cipher)


def test_ciphers_and_protocols_are_those_configured(server: Server, site: Pair) -> None:
    one, two = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
    server.write(f"{pair(site)} ssl_protocols TLSv1.2; ssl_ecdh_curve P-384;"
                 f"server {{ listen 127.0.0.1:PORT0 ssl; ssl_ciphers {one}:{two}; return 200 ok; }}"
                 f"server {{ listen 127.0.0.1:PORT1 ssl; ssl_ciphers {one}:{two};"
                 "ssl_prefer_server_ciphers on; return 200 ok; }"
                 f"server {{ listen 127.0.0.1:PORT2 ssl; ssl_ciphers {one}; return 200 ok; }}")
    server.start()

    def agreed(index: int, how: ssl.SSLContext) -> str:
        with connect(server.port(index), how) as stream:
            return stream.cipher()[0]
    mine = context(ciphers=f"{two}:{one}")
    assert [agreed(i, mine) for i in range(3)] == [two, one, one]
    with pytest.raises(ssl.SSLError):
        agreed(2, context(ciphers=two, version="TLSv1_2"))
    with pytest.raises(ssl.SSLError):
        agreed(0, context(version="TLSv1_3"))
    curve = context(version="TLSv1_2")
    curve.set_ecdh_curve("prime256v1")
    with pytest.raises(ssl.SSLError):
        agreed(0, curve)


def test_diffie_and_hellman_need_their_parameters(server: Server, authority: Authority) -> None:
    rsa = authority.sign("dh.test", "rsa")
    parameters = server.folder / "dh.pem"
    subprocess.run(["openssl", "genpkey", "-genparam", "-algorithm", "DH", "-pkeyopt",
                    "group:ffdhe2048", "-out", parameters], timeout=60, check=True)
    cipher = "DHE-RSA-AES128-GCM-SHA256"
    server.write(f"{pair(rsa)} ssl_protocols TLSv1.2; ssl_ciphers {cipher};"
                 f"server {{ listen 127.0.0.1:PORT0 ssl; ssl_dhparam {parameters};"
                 "return 200 ok; }"
                 "server { listen 127.0.0.1:PORT1 ssl; return 200 ok; }")
    server.start()
    with connect(server.port(0), context(ciphers=cipher)) as stream:
        assert stream.cipher()[0] == cipher
    with pytest.raises(ssl.SSLError):
        connect(server.port(1), context(ciphers=cipher)).close()


# ---- plain HTTP where TLS is spoken --------------------------------------------------------------

def test_plain_http_is_told_what_is_wrong(server: Server, site: Pair) -> None:
    server.write(f"{pair(site)} server {{ listen 127.0.0.1:PORT0 ssl; return 200 secret; }}")
    server.start()
    with socket.create_connection(("127.0.0.1", server.port()), timeout=20) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        status, head, body = read_answer(stream)
        assert status == 400 and "400 Bad Request" in head
        assert b"The plain HTTP request was sent to HTTPS port" in body
        assert b"secret" not in body
        assert stream.recv(1) == b""


def test_plain_http_may_be_sent_elsewhere(server: Server, site: Pair) -> None:
    server.write(f"{pair(site)} server {{ listen 127.0.0.1:PORT0 ssl;"
                 "error_page 497 =301 https://site.test/new$request_uri; return 200 secret; }")
    server.start()
    with socket.create_connection(("127.0.0.1", server.port()), timeout=20) as stream:
        stream.sendall(b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")
        status, head, _ = read_answer(stream)
        assert status == 301 and "Location: https://site.test/new/x\r\n" in head + "\r\n"


def test_garbage_is_refused(server: Server, site: Pair) -> None:
    server.write(f"{pair(site)} server {{ listen 127.0.0.1:PORT0 ssl; return 200 ok; }}")
    server.start()
    for garbage in (b"\x16\x03\x01\x00\x05hello", b"\x80\x01", b"\x16" * 5000):
        with socket.create_connection(("127.0.0.1", server.port()), timeout=20) as stream:
            stream.sendall(garbage)
            stream.shutdown(socket.SHUT_WR)
            while stream.recv(4096):
                pass
    assert get(server.port()).body == b"ok"


# ---- who the client is ---------------------------------------------------------------------------

CLIENT = ("$ssl_client_verify|$ssl_client_s_dn|$ssl_client_i_dn|$ssl_client_serial|"
          "$ssl_client_fingerprint|$ssl_client_v_start|$ssl_client_v_end|$ssl_client_v_remain")


def asks(server: Server, index: int, of: Pair | None = None) -> tuple[int, str]:
    answer = get(server.port(index), how=context(pair=of))
    return answer.status, answer.body.decode()


def test_clients_are_verified(server: Server, authority: Authority, site: Pair, client: Pair,
                              tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "strangers", "nobody known").sign("a stranger")
    servers = "".join(
        f"server {{ listen 127.0.0.1:PORT{i} ssl; ssl_verify_client {how};"
        "return 200 $ssl_client_verify; }"
        for i, how in enumerate(["on", "optional", "optional_no_ca", "off"]))
    server.write(f"{pair(site)} ssl_client_certificate {authority.certificate}; {servers}")
    server.start()
    required = (400, "No required SSL certificate was sent")
    wrong = (400, "The SSL certificate error")
    failed = (200, "FAILED:unable to verify the first certificate")
    for index, none, known, unknown in (
            (0, required, (200, "SUCCESS"), wrong),
            (1, (200, "NONE"), (200, "SUCCESS"), wrong),
            (2, (200, "NONE"), (200, "SUCCESS"), failed),
            (3, (200, "NONE"), (200, "NONE"), (200, "NONE"))):
        for of, (status, text) in ((None, none), (client, known), (stranger, unknown)):
            seen = asks(server, index, of)
            assert seen[0] == status and text in seen[1], (index, of, seen)


def test_revoked_and_too_long_chains_are_refused(server: Server, authority: Authority, site: Pair,
                                                 client: Pair, tmp_path: Path) -> None:
    lost = authority.sign("lost client")
    between = Authority(tmp_path / "between", "in between", above=authority)
    distant = between.sign("distant client")
    with open(distant.certificate, "a") as chain:
        chain.write(between.certificate.read_text())
    revoked = authority.revoked(lost)
    server.write(f"{pair(site)} ssl_trusted_certificate {authority.certificate};"
                 f"ssl_client_certificate {authority.certificate}; ssl_verify_client on;"
                 f"server {{ listen 127.0.0.1:PORT0 ssl; ssl_crl {revoked}; return 200 in; }}"
                 "server { listen 127.0.0.1:PORT1 ssl; return 200 in; }"
                 "server { listen 127.0.0.1:PORT2 ssl; ssl_verify_depth 0; return 200 in; }")
    server.start()
    assert asks(server, 0, client) == (200, "in")
    assert asks(server, 0, lost)[0] == 400
    assert asks(server, 1, lost) == (200, "in")
    assert asks(server, 1, distant) == (200, "in")
    assert asks(server, 2, client) == (200, "in")
    assert asks(server, 2, distant)[0] == 400


def test_another_host_than_the_one_agreed_on(server: Server, authority: Authority, site: Pair,
                                             client: Pair) -> None:
    server.write(f"{pair(site)} ssl_client_certificate {authority.certificate};"
                 "server { listen 127.0.0.1:PORT0 ssl; server_name open.test; return 200 open; }"
                 "server { listen 127.0.0.1:PORT0 ssl; server_name closed.test closed2.test;"
                 "ssl_verify_client on; return 200 closed; }")
    server.start()

    def asked(name: str, host: str) -> tuple[int, bytes]:
        answer = get(server.port(), how=context(pair=client), name=name, host=host)
        return answer.status, answer.body
    assert asked("closed.test", "closed.test") == (200, b"closed")
    assert asked("closed.test", "CLOSED.test:443") == (200, b"closed")
    assert asked("closed.test", "open.test") == (200, b"open")
    assert asked("open.test", "closed.test")[0] == 421
    assert asked("closed2.test", "closed.test")[0] == 421


def test_what_is_known_about_a_client(server: Server, authority: Authority, site: Pair,
                                      client: Pair) -> None:
    server.write(f"{pair(site)} ssl_client_certificate {authority.certificate};"
                 "ssl_verify_client optional;"
                 f"server {{ listen 127.0.0.1:PORT0 ssl; location = / {{ return 200 '{CLIENT}'; }}"
                 "location = /cert { return 200 $ssl_client_cert; }"
                 "location = /raw { return 200 $ssl_client_raw_cert; }"
                 "location = /escaped { return 200 $ssl_client_escaped_cert; } }")
    server.start()
    how = context(pair=client)

    def said(*what: str) -> str:
        return subprocess.run(["openssl", "x509", "-in", client.certificate, "-noout", *what],
                              stdout=subprocess.PIPE, text=True, timeout=60, check=True
                              ).stdout.partition("=")[2].strip()
    fields = get(server.port(), how=how).body.decode().split("|")
    assert fields[0] == "SUCCESS"
    assert fields[1] == "O=masterwork,CN=a client"
    assert fields[2] == "CN=test authority"
    assert fields[3] == said("-serial")
    assert fields[4] == said("-fingerprint", "-sha1").replace(":", "").lower()
    assert fields[5] == said("-startdate")
    assert fields[6] == said("-enddate")
    assert fields[7] in ("1", "2")
    text = client.certificate.read_text()
    assert get(server.port(), "/raw", how).body.decode() == text
    assert get(server.port(), "/cert", how).body.decode() == text.rstrip().replace("\n", "\n\t")
    escaped = get(server.port(), "/escaped", how).body.decode()
    assert escaped.startswith("-----BEGIN%20CERTIFICATE-----%0A") and escaped.endswith("%0A")
    nothing = get(server.port()).body.decode()
    assert nothing == "NONE|||||||"


def test_what_is_known_about_a_connection(server: Server, site: Pair) -> None:
    text = ("$scheme|$https|$ssl_protocol|$ssl_cipher|$ssl_server_name|$ssl_session_reused|"
            "$ssl_session_id|$ssl_ciphers")
    server.write(f"{pair(site)} ssl_protocols TLSv1.2; server {{ listen 127.0.0.1:PORT0 ssl;"
                 f"listen 127.0.0.1:PORT1; return 200 '{text}'; }}")
    server.start()
    cipher = "ECDHE-ECDSA-AES128-GCM-SHA256"
    how = context(ciphers=cipher)
    fields = get(server.port(), how=how, name="any.test").body.decode().split("|")
    assert fields[:6] == ["https", "on", "TLSv1.2", cipher, "any.test", "."]
    # A ticket has no id, and the server need not make one up.
    assert fields[6] == "" or len(fields[6]) == 64
    assert cipher in fields[7].split(":")
    with socket.create_connection(("127.0.0.1", server.port(1)), timeout=20) as stream:
        stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(stream)[2] == b"http|||||||"


# ---- sessions ------------------------------------------------------------------------------------

def resumes(port: int, version: str, tries: int = 8, name: str = "site.test") -> int:
    """How many of so many connections resume the session of the first."""
    how = context(version=version)
    session = get(port, how=how, name=name).session
    return sum(get(port, how=how, name=name, session=session).reused for _ in range(tries))


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("cache, tickets, workers, expected", [
    ("shared:s:1m", "off", 2, 8), ("builtin:100", "off", 1, 8),
    ("builtin:100 shared:s:1m", "off", 2, 8),
    ("none", "on", 2, 8), ("off", "on", 2, 8), ("none", "off", 1, 0), ("off", "off", 1, 0)])
def test_sessions_are_resumed(server: Server, site: Pair, version: str, cache: str, tickets: str,
                              workers: int, expected: int) -> None:
    server.write(f"{pair(site)} ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache {cache};"
                 f"ssl_session_tickets {tickets};"
                 "server { listen 127.0.0.1:PORT0 ssl; return 200 ok; }", workers=workers)
    server.start()
    assert resumes(server.port(), version) == expected


def test_sessions_end_after_their_time(server: Server, site: Pair) -> None:
    server.write(f"{pair(site)} ssl_session_timeout 1s; ssl_session_cache shared:s:1m;"
                 "server { listen 127.0.0.1:PORT0 ssl; return 200 ok; }")
    server.start()
    how = context(version="TLSv1_2")
    session = get(server.port(), how=how).session
    until(lambda: not get(server.port(), how=how, session=session).reused, "the session ends")


@pytest.mark.parametrize("size", [48, 80])
def test_servers_with_the_same_keys_share_tickets(server: Server, site: Pair, size: int) -> None:
    keys = [server.folder / name for name in ("new.key", "old.key", "other.key")]
    for index, key in enumerate(keys):
        key.write_bytes(bytes([index + 1]) * size)
    new, old, strange = keys
    server.write(f"{pair(site)} ssl_protocols TLSv1.2 TLSv1.3;"
                 f"server {{ listen 127.0.0.1:PORT0 ssl; ssl_session_ticket_key {old};"
                 "return 200 ok; }"
                 f"server {{ listen 127.0.0.1:PORT1 ssl; ssl_session_ticket_key {new};"
                 f"ssl_session_ticket_key {old}; return 200 ok; }}"
                 f"server {{ listen 127.0.0.1:PORT2 ssl; ssl_session_ticket_key {strange};"
                 "return 200 ok; }")
    server.start()
    for version in ("TLSv1_2", "TLSv1_3"):
        how = context(version=version)
        session = get(server.port(0), how=how).session
        assert get(server.port(1), how=how, session=session).reused
        assert not get(server.port(2), how=how, session=session).reused


# ---- the PROXY protocol --------------------------------------------------------------------------

SAID = ("$proxy_protocol_addr|$proxy_protocol_port|"
        "$proxy_protocol_server_addr|$proxy_protocol_server_port")
V2 = b"\r\n\r\n\x00\r\nQUIT\n"
V2_INET = (V2 + b"\x21\x11\x00\x0c" + bytes([10, 1, 2, 3, 10, 4, 5, 6])
           + struct.pack(">HH", 1111, 2222))
V2_INET6 = (V2 + b"\x21\x21\x00\x24" + socket.inet_pton(socket.AF_INET6, "2001:db8::1")
            + socket.inet_pton(socket.AF_INET6, "2001:db8::2") + struct.pack(">HH", 33, 44))


@pytest.mark.parametrize("header, said", [
    (b"PROXY TCP4 10.1.2.3 10.4.5.6 1111 2222\r\n", "10.1.2.3|1111|10.4.5.6|2222"),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 33 44\r\n", "2001:db8::1|33|2001:db8::2|44"),
    (b"PROXY UNKNOWN\r\n", "|||"), (b"PROXY UNKNOWN ff ff 1 2\r\n", "|||"),
    (V2_INET, "10.1.2.3|1111|10.4.5.6|2222"), (V2_INET6, "2001:db8::1|33|2001:db8::2|44"),
    (V2 + b"\x20\x00\x00\x00", "|||"), (V2 + b"\x21\x31\x00\x02xy", "|||")])
def test_a_proxy_says_who_its_client_is(server: Server, site: Pair, header: bytes,
                                        said: str) -> None:
    server.write(f"{pair(site)} server {{ listen 127.0.0.1:PORT0 proxy_protocol;"
                 f"listen 127.0.0.1:PORT1 ssl proxy_protocol; return 200 '{SAID}'; }}")
    server.start()
    with socket.create_connection(("127.0.0.1", server.port()), timeout=20) as stream:
        stream.sendall(header + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(stream)[2].decode() == said
        stream.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_answer(stream)[2].decode() == said
    assert get(server.port(1), before=header).body.decode() == said


def test_a_proxy_that_is_trusted_says_who_asks(server: Server, site: Pair) -> None:
    server.write(f"{pair(site)} real_ip_header proxy_protocol; server {{"
                 "listen 127.0.0.1:PORT0 ssl proxy_protocol; set_real_ip_from 127.0.0.1;"
                 "return 200 $remote_addr|$remote_port|$realip_remote_addr; }"
                 "server { listen 127.0.0.1:PORT1 ssl proxy_protocol; set_real_ip_from 10.0.0.1;"
                 "return 200 $remote_addr; }")
    server.start()
    assert get(server.port(0), before=V2_INET).body == b"10.1.2.3|1111|127.0.0.1"
    assert get(server.port(1), before=V2_INET).body == b"127.0.0.1"


@pytest.mark.parametrize("header", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"PROXY TCP5 a b 1 2\r\n",
    b"PROXY TCP4 10.1.2.3 10.4.5.6 1 66000\r\n", V2 + b"\x31\x11\x00\x00" + bytes(12)])
def test_a_broken_proxy_header_ends_the_connection(server: Server, header: bytes) -> None:
    server.write("server { listen 127.0.0.1:PORT0 proxy_protocol; return 200 ok; }")
    server.start()
    with socket.create_connection(("127.0.0.1", server.port()), timeout=20) as stream:
        stream.sendall(header)
        try:
            assert stream.recv(100) == b""
        except ConnectionResetError:
            pass # not all of it was read
    until(lambda: "PROXY" in server.log() or "broken header" in server.log(), "a line says so")
