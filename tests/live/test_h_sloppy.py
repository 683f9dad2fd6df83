"""Sloppy and ambiguous HTTP on raw sockets (RFC 9110, 9112): refused by name, closed, and what follows is never a request."""

import select
import time

import pytest
from support import SLOW, rawclient
from support.rawclient import build

CONF = {
    "web": {"root": "web"},
    "auth": {"guests": True},
    "limits": {"header": "8K", "body": "64K", "message": "16K", "request_timeout": "2s"},
}
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /publish/h/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {t}\r\n"
MARK = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def prepare(folder):
    (folder / "web").mkdir()
    (folder / "web" / "index.html").write_bytes(b"<!doctype html><title>page</title>")


def answers(d, data, half_close=True):
    """Every answer to these bytes up to the end of the connection; strict about each."""
    out = []
    with d.conn(timeout=6 * SLOW) as c:
        try:
            c.send(data.replace(b"{t}", d.token().encode()).replace(b"{port}", str(d.port).encode()))
        except OSError:
            pass
        if half_close:
            try:
                c.half_close()
            except OSError:
                pass
        while True:
            try:
                out.append(c.response())
            except rawclient.Eof as e:
                assert "so far b''" in str(e), e
                return out


@pytest.mark.parametrize("cut", [b"5\r\nabc", b"5\r\nabcde", b"5\r\nabcde\r\n", b"5\r\nabcde\r\n0\r\n", b"5", b""])
def test_cut_body_publishes_nothing(daemon, topic, cut):
    """The connection ends in the middle of a chunked body."""
    answers(daemon, POST.replace(b"h/x", topic.encode()) + b"Transfer-Encoding: chunked\r\n\r\n" + cut)
    answers(daemon, POST.replace(b"h/x", topic.encode()) + b"Content-Length: 50\r\n\r\n" + cut)
    assert daemon.http("GET", f"/history?topic={topic}", token=daemon.token()).ok().json()["messages"] == []


BODIES = {
    401: ("POST", "/publish/h/x", {}), 404: ("POST", "/none", {}), 405: ("PUT", "/publish/h/x", {"Authorization": "Bearer {t}"}),
    403: ("POST", "/publish/h/x", {"Authorization": "Bearer {t}", "Origin": "https://evil.example.org"}), 421: ("POST", "/publish/h/x", {"Host": "evil.example.org"}),
    415: ("POST", "/publish/h/x", {"Authorization": "Bearer {t}", "Content-Type": "image/png"}), 501: ("BREW", "/publish/h/x", {}),
    400: ("POST", "/publish/a//b", {"Authorization": "Bearer {t}"}),
}


@pytest.mark.parametrize("status", BODIES)
@pytest.mark.parametrize("framing", ["length", "chunked", "length, late"])
def test_a_refused_body_is_no_request(daemon, status, framing):
    """Whether the body is read or the connection ends: nothing of it is taken for a request; what is kept, goes on in step."""
    method, path, headers = BODIES[status]
    headers = {k: v.replace("{t}", daemon.token()) for k, v in headers.items()}
    body = MARK * 3
    if framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with daemon.conn() as c:
        data = build(method, path, headers, body)
        if framing == "length, late":
            c.send(data[:-len(body)])
            time.sleep(0.1)
            try:
                c.send(data[-len(body):])
            except OSError:
                pass
        else:
            c.send(data)
        r = c.response()
        r.problem(status)
        if r.header("Connection", "").lower() == "close":
            c.closed()
            return
        try:
            c.send(GET + b"\r\n")
        except OSError:
            return
        assert c.response().status == 200


@pytest.mark.parametrize("headers", ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 70000"])
@pytest.mark.parametrize("status", [401, 404, 405, 421, 501])
def test_no_100_for_what_is_refused(daemon, status, headers):
    """Expect: 100-continue: a final answer at once, and no invitation."""
    method, path, more = BODIES[status]
    name, value = headers.split(": ")
    with daemon.conn() as c:
        c.send(build(method, path, [*((k, v.replace("{t}", daemon.token())) for k, v in more.items()), (name, value), ("Expect", "100-continue")]))
        r = c.head()
        assert r.status in (status, 413), r


def test_100_then_the_answer(daemon, topic):
    with daemon.conn() as c:
        for _ in range(3):
            c.send(build("POST", f"/publish/{topic}", {**daemon.bearer(), "Transfer-Encoding": "chunked", "Expect": "100-continue"}))
            assert c.head().status == 100
            c.send("5\r\nabcde\r\n0\r\n\r\n")
            assert c.response().ok()
        c.still_open()


def test_trace_echoes_nothing(daemon):
    token = daemon.token()
    r = daemon.http("TRACE", "/healthz", {"Cookie": f"belfry={token}", "X-Secret": "swordfish"})
    assert r.status in (405, 501) and "swordfish" not in r.text() and token not in r.text()


@pytest.mark.parametrize("size, status", [(8000, (200, 404)), (9000, (414,)), (20000, (414,)), (200000, (414,))])
@pytest.mark.parametrize("part", ["path", "query"])
def test_long_targets(daemon, part, size, status):
    if size == 8000:
        size, status = 4000, (200, 404)
    target = b"/" + b"a" * size if part == "path" else b"/healthz?" + b"a" * size
    got = answers(daemon, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert len(got) == 1 and got[0].status in status, got


@pytest.mark.parametrize("data, want", [(b"X" * 20000, (400, 414, 431, 501)), (b"GET " + b"/" * 20000, (400, 414)), (GET + b"X" * 20000, (400, 431)),
                                        (GET + b"X: " + b"a" * 20000, (431,)), (GET + b"X: a\r\n" * 2000, (431,))], ids=lambda d: repr(d)[:16])
def test_endless_lines(daemon, data, want):
    """Cut where the limit is, without waiting for an end that does not come."""
    before = time.monotonic()
    got = answers(daemon, data, half_close=False)
    assert len(got) == 1 and got[0].status in want, got
    assert time.monotonic() - before < 1.5 * SLOW
    assert got[0].status not in (431, 414) or got[0].json()["code"], got


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"G", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r"])
def test_half_a_request_and_the_end(daemon, data):
    assert [r.status for r in answers(daemon, data)] in ([], [400])


@pytest.mark.parametrize("data", [GET[:-2], GET, b"G", b"POST /publish/h/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {t}\r\nContent-Length: 5\r\n\r\nab",
                                  POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", POST + b"Transfer-Encoding: chunked\r\n\r\n5", b"\r\nGET"], ids=lambda d: repr(d)[-24:])
def test_slow_requests_are_cut(daemon, data):
    """408 by the deadline, which one more byte now and then does not move."""
    with daemon.conn(timeout=8 * SLOW) as c:
        c.send(data.replace(b"{t}", daemon.token().encode()))
        before = time.monotonic()
        r = c.response()
        assert 1 < time.monotonic() - before < 5 * SLOW
        doc = r.problem(408, "timeout")
        assert doc["limit"] == "limits.request_timeout" and r.header("Connection").lower() == "close", r
        c.closed()


def test_drops_do_not_move_the_deadline(daemon):
    with daemon.conn() as c:
        before = time.monotonic()
        for byte in GET + b"X: " + b"a" * 100:
            c.send(bytes([byte]))
            if select.select([c.sock], [], [], 0.1)[0]:
                break
            assert time.monotonic() - before < 5 * SLOW, "kept alive by drops"
        c.response().problem(408, "timeout")


@pytest.mark.parametrize("rest", [b"GET /healthz HTTP/1.1\r\nHost: loc", POST + b"Content-Length: 5\r\n\r\nab"])
def test_the_deadline_of_a_pipelined_one(daemon, topic, rest):
    """Half a request behind whole ones, which are answered now or later, has no longer than any other."""
    first = POST.replace(b"h/x", topic.encode()) + b"Content-Length: 5\r\n\r\nabcde"
    for n in (1, 3):
        with daemon.conn(timeout=8 * SLOW) as c:
            c.send((first * n + rest).replace(b"{t}", daemon.token().encode()))
            for _ in range(n):
                c.response().ok()
            c.response().problem(408, "timeout")
            c.closed()


def test_pipelined_until_the_first_bad_one(daemon):
    """What came before is answered in order, the bad one refused, the rest dropped."""
    data = (GET + b"\r\n") * 3 + GET + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + MARK
    assert [r.status for r in answers(daemon, data)] == [200, 200, 200, 400]


def test_pipelined_bodies_stay_in_step(daemon, topic):
    post = POST.replace(b"h/x", topic.encode())
    data = b"".join((post + b"Content-Length: 5\r\n\r\nabcde", post + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", GET + b"\r\n",
                     GET + b"Content-Length: %d\r\n\r\n" % len(MARK) + MARK, b"\r\n" + GET + b"\r\n") * 5)
    assert [r.status for r in answers(daemon, data)] == [200] * 25


@pytest.mark.parametrize("path", ["/<script>alert(1)</script>", "/%3Cscript%3E", "/%0d%0aSet-Cookie:%20a=b", "/chat?room=%0d%0aSet-Cookie:%20a=b", "/%c3%28", "/a%00b"])
@pytest.mark.parametrize("accept", ["text/html", "*/*"])
def test_reflected(daemon, path, accept):
    """What the peer said comes back as JSON text or encoded, in no header line of its own."""
    got = answers(daemon, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n".encode())
    r = got[0]
    assert r.status in (303, 400, 401, 404), r
    assert r.header("Set-Cookie") is None
    assert "html" not in r.header("Content-Type", "") and "<script" not in r.text().replace("\\u003c", ""), r
