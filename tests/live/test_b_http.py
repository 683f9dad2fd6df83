"""HTTP/1.1 (RFC 9110, 9112): routing, errors, limits, smuggling, files."""

import gzip
import json
import os
import re
import time

import pytest
from support import SLOW, rawclient

from support.rawclient import build

CSP = "default-src 'self'; base-uri 'none'"
CONF = {
    "web": {"root": "web", "csp": CSP},
    "auth": {"guests": True, "login_url": "https://login.example.org/"},
    "cors": {"allow_origins": ["https://app.example.org", "https://*.wild.example.org"]},
    "limits": {"header": "8K", "body": "64K", "message": "16K", "request_timeout": "2s", "idle_timeout": "30s"},
}
PAGE = b"<!doctype html><title>page</title>" + b"<p>hello there</p>\n" * 200


def prepare(folder):
    web = folder / "web"
    (web / "sub").mkdir(parents=True)
    (web / "index.html").write_bytes(PAGE)
    (web / "app.js").write_bytes(b"export const x = 1;\n" * 300)
    (web / "app.css").write_bytes(b"p { margin: 0 }\n" * 100)
    (web / "tiny.txt").write_bytes(b"tiny\n")
    (web / "empty.txt").write_bytes(b"")
    (web / "pic.png").write_bytes(b"\x89PNG\r\n\x1a\n" + os.urandom(3000))
    (web / "with space.txt").write_bytes(b"space\n")
    (web / ".hidden").write_bytes(b"hidden\n")
    (web / "sub" / "index.html").write_bytes(b"<!doctype html>sub")
    (web / "sub" / "a.txt").write_bytes(b"a\n")
    (web / "big.bin").write_bytes(b"\0" * 3000000)
    (folder / "outside.txt").write_bytes(b"outside\n")
    (web / "link.txt").symlink_to(folder / "outside.txt")
    os.mkfifo(web / "pipe")


# -- routing and errors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/none", "/chatx", "/events/x", "/publish.html", "/history/", "/%00", "/healthz/x"])
def test_not_found(daemon, path):
    r = daemon.http("GET", path)
    assert r.status in (400, 404, 405), r
    if r.status == 404:
        r.problem(404, "not_found")


@pytest.mark.parametrize("method, path, allow", [
    ("POST", "/events", {"GET"}), ("DELETE", "/events", {"GET"}), ("GET", "/publish", {"POST"}), ("GET", "/publish/a/b", {"POST"}),
    ("PUT", "/publish/a", {"POST"}), ("POST", "/history", {"GET"}), ("POST", "/healthz", {"GET"}), ("DELETE", "/token", {"GET", "POST"}),
    ("POST", "/metrics", {"GET"}), ("PUT", "/chat", {"GET"}), ("DELETE", "/", {"GET"}), ("POST", "/echo", {"GET"}),
])
def test_method_not_allowed(daemon, method, path, allow):
    r = daemon.http(method, path, body="" if method in ("POST", "PUT") else None, token=daemon.token())
    r.problem(405, "method_not_allowed")
    assert allow <= {m.strip() for m in r.header("Allow").split(",")}, r


def test_unknown_method(daemon):
    r = daemon.http("BREW", "/events")
    assert r.status in (405, 501), r
    if r.status == 501:
        r.problem(501, "not_implemented")


@pytest.mark.parametrize("path", ["/", "/healthz", "/none", "/events", "/publish", "/token", "/metrics", "/history"])
def test_request_id_everywhere(daemon, path):
    a, b = daemon.http("GET", path), daemon.http("GET", path)
    ids = [a.header("X-Request-Id"), b.header("X-Request-Id")]
    assert all(ids) and ids[0] != ids[1], ids


def test_request_id_on_refused_parse(daemon):
    with daemon.conn() as c:
        c.send("GET / HTTP/1.1\r\n\r\n")
        assert c.response().header("X-Request-Id")


def test_request_id_on_upgrade(daemon):
    r = daemon.ws("/echo", token=daemon.token()).response
    assert r.header("X-Request-Id")


def test_date_and_no_version_leak(daemon):
    r = daemon.http("GET", "/healthz")
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", r.header("Date")), r


def test_healthz(daemon):
    r = daemon.http("GET", "/healthz").ok()
    assert r.header("Content-Type").startswith("application/json")
    assert isinstance(r.json(), dict)
    assert "no-store" in r.header("Cache-Control", "no-store")


def test_metrics(daemon):
    r = daemon.http("GET", "/metrics").ok()
    assert r.header("Content-Type").startswith("text/plain")
    names = set()
    for line in r.text().splitlines():
        assert re.fullmatch(r'#.*|[a-zA-Z_:][a-zA-Z0-9_:]*(\{.*\})? [-+0-9.eEInfNa]+( \d+)?', line), line
        if not line.startswith("#"):
            names.add(re.match(r"[a-zA-Z0-9_:]+", line)[0])
    assert any(n.startswith("belfry_") for n in names), names


@pytest.mark.parametrize("forwarded, status", [
    ("203.0.113.9", 401), ("127.0.0.1", 200), ("::1", 200), ("203.0.113.9, 127.0.0.1", 401), ("127.0.0.1, 203.0.113.9", 401),
    ("unknown", 401), ("", 401), ("2001:db8::1", 401), ("127.0.0.1, nonsense", 401),
])  # fmt: skip
def test_metrics_behind_a_proxy(daemon, forwarded, status):
    """A proxy in front of the loopback listener does not show the figures to all the world."""
    assert daemon.http("GET", "/metrics", {"X-Forwarded-For": forwarded}).status == status
    token = daemon.token("root", belfry={"role": "admin"})
    assert daemon.http("GET", "/metrics", {"X-Forwarded-For": forwarded}, token=token).status == 200


# -- Host and targets --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST", "[::1]", "127.0.0.5"])
@pytest.mark.parametrize("with_port", [False, True])
def test_host_good(daemon, host, with_port):
    value = f"{host}:{daemon.port}" if with_port else host
    assert daemon.http("GET", "/healthz", {"Host": value}).status == 200


@pytest.mark.parametrize("host", ["evil.example.org", "localhost.evil.example.org", "10.0.0.1", "127.0.0.1.evil.example.org", "xlocalhost"])
def test_host_misdirected(daemon, host):
    r = daemon.http("GET", "/healthz", {"Host": host})
    r.problem(421, "misdirected")


@pytest.mark.parametrize("lines", [
    b"", b"Host: a\r\nHost: a\r\n", b"Host: local host\r\n", b"Host: localhost:port\r\n", b"Host: localhost/a\r\n", b"Host: a@localhost\r\n",
    b"Host: localhost, localhost\r\n",
])
def test_host_malformed(daemon, lines):
    with daemon.conn() as c:
        c.send(b"GET /healthz HTTP/1.1\r\n" + lines + b"\r\n")
        c.response().problem(400)
        c.closed()


def test_hosts_configured(start):
    d = start({"hosts": ["chat.example.org"]})
    # the support code's own check of /readyz needs a host as well
    assert d.http("GET", "/healthz", {"Host": "chat.example.org"}).status == 200
    assert d.http("GET", "/healthz", {"Host": f"CHAT.example.org:{d.port}"}).status == 200
    d.http("GET", "/token", {"Host": "other.example.org"}).problem(421, "misdirected")


def test_absolute_form(daemon):
    with daemon.conn() as c:
        c.send(f"GET http://{daemon.host}/healthz HTTP/1.1\r\nHost: {daemon.host}\r\n\r\n")
        assert c.response().status == 200


def test_absolute_form_counts_for_the_host_check(daemon):
    with daemon.conn() as c:
        c.send(f"GET http://evil.example.org/healthz HTTP/1.1\r\nHost: {daemon.host}\r\n\r\n")
        assert c.response().status in (400, 421)


def test_query_is_no_path(daemon):
    assert daemon.http("GET", "/healthz?a=%zz").status in (200, 400)
    assert daemon.http("GET", "/healthz?a=b?c/d").status == 200


# -- connections -------------------------------------------------------------------------------------------------------


def test_keep_alive(daemon):
    with daemon.conn() as c:
        for _ in range(5):
            assert c.request("GET", "/healthz").status == 200
        c.still_open()


def test_connection_close(daemon):
    with daemon.conn() as c:
        r = c.request("GET", "/healthz", {"Connection": "close"})
        assert r.header("Connection", "").lower() == "close"
        c.closed()


def test_http_1_0_closes(daemon):
    with daemon.conn() as c:
        c.send("GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
        r = c.response()
        assert r.status == 200 and "chunked" not in str(r.headers)
        c.closed()


def test_http_1_0_keep_alive(daemon):
    with daemon.conn() as c:
        c.send("GET /healthz HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n")
        assert c.response().status == 200


def test_pipelining_in_order(daemon):
    token = daemon.token()
    paths = ["/healthz", "/none", "/token", "/readyz", "/app.css", "/history?topic=a"] * 4
    with daemon.conn() as c:
        c.send(b"".join(build("GET", p, {"Authorization": f"Bearer {token}"}) for p in paths))
        got = [c.response().status for _ in paths]
    assert got == [200, 404, 200, 200, 200, 200] * 4


def test_pipelined_posts(daemon, topic):
    token = daemon.token()
    with daemon.conn() as c:
        c.send(b"".join(build("POST", f"/publish/{topic}", {"Authorization": f"Bearer {token}"}, f"n{i}") for i in range(30)))
        ids = [c.response().ok().json()["id"] for _ in range(30)]
    assert ids == sorted(set(ids))
    stored = daemon.http("GET", f"/history?topic={topic}", token=token).json()["messages"]
    assert [m["message"] for m in stored] == [f"n{i}" for i in range(30)]


def test_pipelined_behind_a_close(daemon):
    with daemon.conn() as c:
        c.send(build("GET", "/healthz", {"Connection": "close"}) + build("GET", "/none"))
        assert c.response().status == 200
        c.closed()


def test_byte_by_byte(daemon, topic):
    data = build("POST", f"/publish/{topic}", {"Authorization": f"Bearer {daemon.token('a')}"}, "slow")
    with daemon.conn() as c:
        for i in range(0, len(data), 7):
            c.send(data[i:i + 7])
        assert c.response().status == 200


def test_half_close_still_answered(daemon):
    with daemon.conn() as c:
        c.send(build("GET", "/healthz"))
        c.half_close()
        assert c.response().status == 200
        c.closed()


def test_leading_empty_line(daemon):
    with daemon.conn() as c:
        c.send(b"\r\n" + build("GET", "/healthz"))
        assert c.response().status == 200


def test_head_method(daemon):
    for path in ("/", "/healthz", "/app.css"):
        with daemon.conn() as c:
            get = c.request("GET", path)
            head = c.request("HEAD", path)
            assert head.status == 200
            assert head.header("Content-Length") == str(len(get.body)) or head.header("Transfer-Encoding"), head
            assert head.header("Content-Type") == get.header("Content-Type")
            assert c.request("GET", "/healthz").status == 200


def test_expect_continue(daemon, topic):
    token = daemon.token()
    with daemon.conn() as c:
        c.send(f"POST /publish/{topic} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n"
               "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        assert c.head().status == 100
        c.send("hello")
        assert c.response().status == 200


def test_chunked_body(daemon, topic):
    with daemon.conn() as c:
        c.send(f"POST /publish/{topic} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {daemon.token()}\r\n"
               "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n")
        assert c.response().status == 200
        assert c.request("GET", "/healthz").status == 200
    got = daemon.http("GET", f"/history?topic={topic}", token=daemon.token()).json()["messages"]
    assert got[0]["message"] == "hello world"


def test_slow_head_is_cut(daemon):
    """request_timeout: 408 (or a plain end), and the connection is gone."""
    with daemon.conn(timeout=8 * SLOW) as c:
        c.send("GET /healthz HTTP/1.1\r\nHost: loc")
        before = time.monotonic()
        rest = c.rest()
        assert 1 < time.monotonic() - before < 6 * SLOW
        assert rest == b"" or b" 408 " in rest.split(b"\r\n")[0], rest


def test_slow_body_is_cut(daemon):
    with daemon.conn(timeout=8 * SLOW) as c:
        c.send(f"POST /publish/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {daemon.token()}\r\nContent-Length: 50\r\n\r\nabc")
        r = c.response()
        assert r.status == 408, r
        c.rest()


def test_idle_connection_ends(start):
    d = start({"limits": {"idle_timeout": "1s"}})
    with d.conn(timeout=6 * SLOW) as c:
        c.request("GET", "/healthz").ok()
        c.closed()


# -- limits ---------------------------------------------------------------------------------------------------------------


def test_target_too_long(daemon):
    with daemon.conn() as c:
        try:
            c.send("GET /" + "a" * 9000 + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
        except OSError:
            pass
        r = c.response()
        assert r.status in (414, 431), r


def test_header_too_large(daemon):
    with daemon.conn() as c:
        c.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Big: " + "a" * 9000 + "\r\n\r\n")
        r = c.response()
        assert r.problem(431)["limit"] == "limits.header", r
        c.closed()


def test_header_just_fits(daemon):
    fixed = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Big: \r\n\r\n"
    with daemon.conn() as c:
        c.send(fixed.replace("X-Big: ", "X-Big: " + "a" * (8192 - len(fixed))))
        assert c.response().status == 200


def test_many_headers(daemon):
    with daemon.conn() as c:
        c.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + "A: b\r\n" * 500 + "\r\n")
        assert c.response().status in (400, 431)


def test_body_too_large(daemon):
    with daemon.conn() as c:
        c.send(f"POST /publish/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {daemon.token()}\r\nContent-Length: 70000\r\n\r\n")
        assert c.response().problem(413, "too_large")["limit"] == "limits.body"


def test_chunked_body_too_large(daemon):
    with daemon.conn() as c:
        c.send(f"POST /publish/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {daemon.token()}\r\n"
               "Transfer-Encoding: chunked\r\n\r\n")
        try:
            for _ in range(20):
                c.send(b"1000\r\n" + b"x" * 4096 + b"\r\n")
        except OSError:
            pass
        assert c.response().problem(413, "too_large")["limit"] == "limits.body"


def test_message_too_large(daemon):
    r = daemon.http("POST", "/publish/a", body="x" * 20000, token=daemon.token())
    assert r.problem(413, "too_large")["limit"] == "limits.message"


def test_refused_body_is_no_request(daemon):
    """A refused request's body is never read as the next request."""
    inner = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with daemon.conn() as c:
        c.send(build("POST", "/publish/a", {}, inner))
        r = c.response()
        r.problem(401)
        c.half_close()
        assert c.rest() == b""


def test_connection_limit(start):
    d = start({"limits": {"connections": 8}})
    held = [d.ws("/echo", token=d.token()) for _ in range(7)]
    refused = []
    for _ in range(6):
        c = d.conn()
        held.append(c)
        try:
            c.send(build("GET", "/healthz"))
            r = c.response()
            if r.status != 200:
                refused.append(r)
        except (rawclient.Eof, OSError):
            refused.append(None)
    assert refused, "no limit"
    for r in refused:
        if r is not None:
            assert r.status in (429, 503) and r.header("Retry-After"), r


# -- smuggling and sloppiness ---------------------------------------------------------------------------------------------

BAD = {
    "CL and TE": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two CL": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    "CL list": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5, 6\r\n\r\nabcde",
    "CL signed": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: +5\r\n\r\nabcde",
    "CL negative": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\nabcde",
    "CL hex": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x5\r\n\r\nabcde",
    "CL overflow": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
    "CL empty": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: \r\n\r\n",
    "TE in two": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "TE xchunked": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "TE gzip, chunked": b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "TE on 1.0": b"POST /healthz HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bare LF": b"GET /healthz HTTP/1.1\nHost: localhost\n\n",
    "bare LF in head": b"GET /healthz HTTP/1.1\r\nHost: localhost\nX: y\r\n\r\n",
    "bare CR": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\rb\r\n\r\n",
    "NUL in value": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\0b\r\n\r\n",
    "obs-fold": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
    "space before colon": b"GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n",
    "bad name": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX(y): a\r\n\r\n",
    "empty name": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n: a\r\n\r\n",
    "no colon": b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nnonsense\r\n\r\n",
    "two spaces": b"GET  /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/0.9": b"GET /healthz\r\n\r\n",
    "lower case version": b"GET /healthz http/1.1\r\nHost: localhost\r\n\r\n",
    "HTTP/2.0": b"GET /healthz HTTP/2.0\r\nHost: localhost\r\n\r\n",
    "HTTP/1.10": b"GET /healthz HTTP/1.10\r\nHost: localhost\r\n\r\n",
    "bad method": b"G@T /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "control in target": b"GET /health\x01z HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "fragment": b"GET /healthz#a HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "relative target": b"GET healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 40 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_bad_request_closes(daemon, name):
    with daemon.conn() as c:
        c.send(BAD[name] + build("GET", "/healthz"))
        r = c.response()
        assert r.status in (400, 501, 505), r
        assert r.header("Connection", "").lower() == "close"
        r.problem(r.status)
        assert b"HTTP/1.1" not in c.rest(), "the connection was used on"


@pytest.mark.parametrize("chunk", [b"0x3\r\nabc\r\n", b"+3\r\nabc\r\n", b"-3\r\nabc\r\n", b" 3\r\nabc\r\n", b"3 \r\nabc\r\n", b"3\nabc\r\n",
                                   b"3\r\nabcd\r\n", b"g\r\nabc\r\n", b"\r\nabc\r\n", b"fffffffffffffffff\r\nabc\r\n"])
def test_bad_chunk(daemon, chunk):
    with daemon.conn() as c:
        c.send(b"POST /publish/a HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + daemon.token().encode()
               + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n" + build("GET", "/healthz"))
        r = c.response()
        assert r.status in (400, 413), r
        c.rest()


# -- Origin and CORS ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin, good", [
    ("http://{host}", True), ("https://{host}", True), ("https://app.example.org", True), ("https://x.wild.example.org", True),
    ("https://wild.example.org", False), ("https://evil.example.org", False), ("http://app.example.org", False), ("null", False),
    ("http://127.0.0.1", False), ("https://app.example.org.evil.example.org", False),
])
def test_origin(daemon, topic, origin, good):
    origin = origin.format(host=daemon.host)
    token = daemon.token()
    r = daemon.http("POST", f"/publish/{topic}", {"Origin": origin}, "x", token=token)
    if good:
        assert r.status == 200, r
        if "example" in origin:
            assert r.header("Access-Control-Allow-Origin") in (origin, "*"), r
        assert "Origin" in r.header("Vary", ""), r
        daemon.ws("/chat", token=token, headers={"Origin": origin}).drop()
        daemon.sse(topic=topic, token=token, headers={"Origin": origin}).close()
    else:
        doc = r.problem(403, "forbidden")
        assert origin in doc["detail"] and daemon.host in doc["detail"], doc
        daemon.ws("/chat", token=token, headers={"Origin": origin}, refuse=True).problem(403, "forbidden")
        daemon.sse(topic=topic, token=token, headers={"Origin": origin}, refuse=True).problem(403, "forbidden")


def test_origin_default_port(start):
    """Default ports are dropped, the scheme is not compared."""
    d = start({"hosts": ["chat.example.org", "127.0.0.1"]})
    token = d.token()
    for host, origin, status in (("chat.example.org", "https://chat.example.org", 200), ("chat.example.org:443", "https://chat.example.org", 200),
                                 ("chat.example.org:80", "http://chat.example.org", 200), ("chat.example.org", "http://chat.example.org:80", 200),
                                 ("chat.example.org", "https://chat.example.org:8443", 403)):
        r = d.http("POST", "/publish/a", {"Host": host, "Origin": origin}, "x", token=token)
        assert r.status == status, (host, origin, r)


def test_origin_behind_a_proxy(daemon):
    """X-Forwarded-Host counts, as the peer is a trusted proxy."""
    r = daemon.http("POST", "/publish/a", {"Origin": "https://chat.example.org", "X-Forwarded-Host": "chat.example.org"}, "x", token=daemon.token())
    assert r.status == 200, r


def test_origin_untrusted_proxy(start):
    d = start({"trusted_proxies": ["10.1.2.3/32"]})
    r = d.http("POST", "/publish/a", {"Origin": "https://chat.example.org", "X-Forwarded-Host": "chat.example.org"}, "x", token=d.token())
    r.problem(403, "forbidden")


def test_origin_does_not_matter_for_reading_files(daemon):
    assert daemon.http("GET", "/app.css", {"Origin": "https://evil.example.org"}).status == 200


def test_preflight(daemon):
    wanted = "authorization, last-event-id, content-type, title, event, priority, tags, click, ttl, key"
    for path, method in (("/publish/a", "POST"), ("/events", "GET"), ("/chat/x", "POST"), ("/token", "POST")):
        r = daemon.http("OPTIONS", path, {"Origin": "https://app.example.org", "Access-Control-Request-Method": method,
                                          "Access-Control-Request-Headers": wanted})
        assert r.status in (200, 204), r
        assert r.header("Access-Control-Allow-Origin") in ("https://app.example.org", "*")
        allowed = r.header("Access-Control-Allow-Headers", "").lower()
        for name in wanted.split(", "):
            assert name in allowed or allowed == "*", (name, allowed)
        assert method in r.header("Access-Control-Allow-Methods", "GET, POST")
        assert "Origin" in r.header("Vary", "")


def test_preflight_refused(daemon):
    r = daemon.http("OPTIONS", "/publish/a", {"Origin": "https://evil.example.org", "Access-Control-Request-Method": "POST"})
    assert r.header("Access-Control-Allow-Origin") is None, r


def test_error_has_cors_headers(daemon):
    """Otherwise a page elsewhere could not read why."""
    r = daemon.http("POST", "/publish/a", {"Origin": "https://app.example.org"}, "x")
    r.problem(401)
    assert r.header("Access-Control-Allow-Origin") in ("https://app.example.org", "*"), r


# -- GET /chat without an upgrade -------------------------------------------------------------------------------------------


def test_chat_navigation(daemon):
    r = daemon.http("GET", "/chat?room=a%20b", {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert r.status == 303 and r.header("Location") in ("/?room=a%20b", "/?room=a+b"), r
    r = daemon.http("GET", "/chat", {"Accept": "text/html"})
    assert r.status == 303 and r.header("Location") == "/", r


def test_chat_plain_get(daemon):
    daemon.http("GET", "/chat", {"Accept": "*/*"}, token=daemon.token()).problem(426, "upgrade_required")
    daemon.http("GET", "/chat", token=daemon.token()).problem(426, "upgrade_required")
    daemon.http("GET", "/chat").problem(401, "unauthorized")
    daemon.http("GET", "/chat", token="a.b.c").problem(401, "invalid_token")
    daemon.http("GET", "/chat?room=x", token=daemon.token("a", subscribe=["other"])).problem(403, "insufficient_scope")
    r = daemon.http("GET", "/chat", token=daemon.token())
    assert r.header("Upgrade", "").lower() == "websocket"


# -- files ---------------------------------------------------------------------------------------------------------------


def test_index(daemon):
    r = daemon.http("GET", "/").ok()
    assert r.body == PAGE
    assert r.header("Content-Type").lower().replace(" ", "") == "text/html;charset=utf-8"
    assert r.header("Content-Security-Policy") == CSP
    assert r.header("X-Content-Type-Options") == "nosniff"
    assert r.header("ETag") and r.header("Last-Modified")
    assert daemon.http("GET", "/index.html").ok().body == PAGE
    assert daemon.http("GET", "/?room=x").ok().body == PAGE


@pytest.mark.parametrize("path, kind", [("/app.js", "text/javascript"), ("/app.css", "text/css"), ("/tiny.txt", "text/plain"), ("/pic.png", "image/png")])
def test_types(daemon, path, kind):
    r = daemon.http("GET", path).ok()
    assert r.header("Content-Type").startswith(kind), r
    assert r.header("X-Content-Type-Options") == "nosniff"


def test_conditional(daemon):
    r = daemon.http("GET", "/app.css").ok()
    tag, date = r.header("ETag"), r.header("Last-Modified")
    assert re.fullmatch(r'(W/)?"[^"]+"', tag)
    for value in (tag, f'"other", {tag}', "*", tag if tag.startswith("W/") else f"W/{tag}"):
        n = daemon.http("GET", "/app.css", {"If-None-Match": value})
        assert n.status == 304 and n.body == b"", (value, n)
        assert n.header("ETag") == tag
    assert daemon.http("GET", "/app.css", {"If-None-Match": '"other"'}).status == 200
    assert daemon.http("GET", "/app.css", {"If-Modified-Since": date}).status == 304
    assert daemon.http("GET", "/app.css", {"If-Modified-Since": "Sat, 01 Jan 2000 00:00:00 GMT"}).status == 200
    assert daemon.http("GET", "/app.css", {"If-Modified-Since": "nonsense"}).status == 200
    assert daemon.http("GET", "/app.css", {"If-None-Match": '"other"', "If-Modified-Since": date}).status == 200
    assert daemon.http("HEAD", "/app.css", {"If-None-Match": tag}).status == 304


def test_304_keeps_the_connection(daemon):
    with daemon.conn() as c:
        tag = c.request("GET", "/app.css").header("ETag")
        for _ in range(3):
            assert c.request("GET", "/app.css", {"If-None-Match": tag}).status == 304


def test_changed_file_changes_its_tag(daemon):
    file = daemon.folder / "web" / "changing.txt"
    file.write_text("one\n")
    a = daemon.http("GET", "/changing.txt").ok()
    file.write_text("one and two\n")
    b = daemon.http("GET", "/changing.txt", {"If-None-Match": a.header("ETag")}).ok()
    assert b.body == b"one and two\n" and b.header("ETag") != a.header("ETag")


def test_gzip(daemon):
    plain = daemon.http("GET", "/app.js").ok()
    r = daemon.http("GET", "/app.js", {"Accept-Encoding": "gzip, deflate, br"}).ok()
    assert r.header("Content-Encoding") == "gzip"
    assert gzip.decompress(r.body) == plain.body and len(r.body) < len(plain.body)
    assert "Accept-Encoding" in r.header("Vary", "") and "Accept-Encoding" in plain.header("Vary", "")
    assert r.header("ETag") != plain.header("ETag") or r.header("ETag").startswith("W/")
    assert plain.header("Content-Encoding") is None
    for value in ("gzip;q=0", "identity", "br", "*;q=0, identity"):
        assert daemon.http("GET", "/app.js", {"Accept-Encoding": value}).ok().header("Content-Encoding") is None, value
    assert daemon.http("GET", "/pic.png", {"Accept-Encoding": "gzip"}).ok().header("Content-Encoding") is None
    n = daemon.http("GET", "/app.js", {"Accept-Encoding": "gzip", "If-None-Match": r.header("ETag")})
    assert n.status == 304


def test_empty_and_small_files(daemon):
    assert daemon.http("GET", "/empty.txt", {"Accept-Encoding": "gzip"}).ok().body == b""
    assert daemon.http("GET", "/with%20space.txt").ok().body == b"space\n"
    assert daemon.http("GET", "/tiny.txt").ok().body == b"tiny\n"


def test_big_file_whole(daemon):
    assert len(daemon.http("GET", "/big.bin").ok().body) == 3000000


def test_big_file_to_a_slow_reader(daemon):
    with daemon.conn(rcvbuf=4096) as c:
        c.send(build("GET", "/big.bin") + build("GET", "/healthz"))
        time.sleep(0.3)
        assert daemon.http("GET", "/healthz").status == 200
        assert len(c.response().body) == 3000000
        assert c.response().status == 200


@pytest.mark.parametrize("path", [
    "/../outside.txt", "/..%2foutside.txt", "/%2e%2e/outside.txt", "/%2e%2e%2foutside.txt", "/sub/../../outside.txt", "/sub/%2e%2e/%2e%2e/outside.txt",
    "/..\\outside.txt", "/..%5coutside.txt", "//etc/passwd", "/%2fetc/passwd", "/etc/passwd", "/....//outside.txt", "/./../outside.txt",
    "/link.txt", "/%00", "/app.css%00.html", "/%c0%ae%c0%ae/outside.txt", "/.hidden", "/../web/app.css",
])
def test_nothing_outside_the_root(daemon, path):
    r = daemon.http("GET", path)
    assert r.status in (400, 403, 404), r
    assert b"outside" not in r.body.replace(path.encode(), b"") and b"root:" not in r.body


@pytest.mark.parametrize("path", ["/sub", "/sub/none.txt", "/app.css/", "/app.css/x", "/pipe", "/none.js"])
def test_no_such_file(daemon, path):
    r = daemon.http("GET", path)
    assert r.status in (301, 303, 307, 308, 404), r


def test_subfolder(daemon):
    assert daemon.http("GET", "/sub/a.txt").ok().body == b"a\n"


def test_no_page_no_csp(start):
    d = start({"web": {"root": ""}})
    d.http("GET", "/").problem(404, "not_found")
    (d.folder / "w").mkdir()
    (d.folder / "w" / "index.html").write_text("x")
    e = start({"web": {"root": str(d.folder / "w"), "csp": ""}})
    assert e.http("GET", "/").ok().header("Content-Security-Policy") is None


# -- GET /history -----------------------------------------------------------------------------------------------------------


def history(daemon, token=None, **query):
    import urllib.parse

    return daemon.http("GET", "/history?" + urllib.parse.urlencode(query), token=token or daemon.token())


def test_history_pages(daemon, topic):
    ids = daemon.publish_many(topic, [f"n{i}" for i in range(10)])
    newest = history(daemon, topic=topic, limit=3).ok().json()
    assert [m["id"] for m in newest["messages"]] == ids[-3:] and newest["more"] is True
    assert all(m["type"] == "notification" and m["topic"] == topic for m in newest["messages"])
    before = history(daemon, topic=topic, limit=4, before=ids[-3]).json()
    assert [m["id"] for m in before["messages"]] == ids[3:7] and before["more"] is True
    first = history(daemon, topic=topic, limit=4, before=ids[3]).json()
    assert [m["id"] for m in first["messages"]] == ids[:3] and first["more"] is False
    after = history(daemon, topic=topic, limit=4, after=ids[2]).json()
    assert [m["id"] for m in after["messages"]] == ids[3:7] and after["more"] is True
    last = history(daemon, topic=topic, limit=4, after=ids[6]).json()
    assert [m["id"] for m in last["messages"]] == ids[7:] and last["more"] is False
    assert history(daemon, topic=topic).json() == {"messages": history(daemon, topic=topic, limit=100).json()["messages"], "more": False}


def test_history_empty(daemon, topic):
    assert history(daemon, topic=topic).ok().json() == {"messages": [], "more": False}


def test_history_of_a_room(daemon, room):
    ws = daemon.join(room, name="Ada")
    ids = [ws.say(f"m{i}")["id"] for i in range(3)]
    got = history(daemon, topic=f"chat/{room}").ok().json()["messages"]
    assert [(m["type"], m["id"], m["content"], m["room"]) for m in got] == [("chat", ids[i], f"m{i}", room) for i in range(3)]


def test_history_limits(daemon, topic):
    daemon.publish(topic, "x")
    assert history(daemon, topic=topic, limit=100000).status == 200
    for limit in ("-1", "x", ""):
        r = history(daemon, topic=topic, limit=limit)
        assert r.status in (200, 400), r
    history(daemon, topic=topic, before="nonsense").problem(400, "bad_field")


def test_history_page_ends_at_256k(daemon, topic):
    daemon.publish_many(topic, ["x" * 15000 for _ in range(30)])
    r = history(daemon, topic=topic, limit=1000).ok()
    doc = r.json()
    assert doc["more"] is True and 5 < len(doc["messages"]) < 30
    assert len(r.body) < 300 * 1024


def test_history_refusals(daemon, topic):
    daemon.http("GET", f"/history?topic={topic}").problem(401, "unauthorized")
    history(daemon, token=daemon.token("a", subscribe=["other"]), topic=topic).problem(403, "insufficient_scope")
    history(daemon).problem(400)
    history(daemon, topic="a//b").problem(400, "bad_field")


def test_problem_is_json_without_secrets(daemon):
    token = daemon.token("very-special-user")
    r = daemon.http("GET", "/nothing?access_token=" + token)
    assert token not in r.text()


def test_head_on_publish_is_refused(daemon):
    assert daemon.http("HEAD", "/publish").status == 405


def test_options_star(daemon):
    with daemon.conn() as c:
        c.send("OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert c.response().status in (200, 204, 400, 404, 405)


def test_event_stream_on_1_0(daemon, topic):
    """HTTP/1.0 knows no chunks: the stream ends with the connection."""
    with daemon.conn() as c:
        c.send(f"GET /events?topic={topic} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {daemon.token()}\r\n\r\n")
        r = c.head()
        assert r.status == 200 and not r.all("Transfer-Encoding")
        daemon.publish(topic, "hello")
        c.until(b"hello")


def test_json_body_is_canonical(daemon):
    r = daemon.http("GET", "/none")
    assert json.loads(r.body)["type"]
