"""Regressions: one test a bug that was found, named after its cause."""

import os
import signal
import socket
import threading
import time

import pytest

from support import WAIT
from support.daemon import SANITIZED
from support.rawclient import build


# -- pipelining and half-closed connections --------------------------------------------------------------------------------------


def _get(d, path="/healthz", token=None):
    return build("GET", path, {"Authorization": f"Bearer {token}"} if token else {}, host=d.host)


def _post(d, body="x"):
    return build("POST", "/publish/t/x", {"Authorization": f"Bearer {d.token()}"}, body, host=d.host)


def _page(size):
    def prepare(folder):
        (folder / "web").mkdir()
        (folder / "web" / "a.bin").write_bytes(os.urandom(size))

    return {"prepare": prepare, "conf": {"web": {"root": "web"}}}


@pytest.mark.parametrize("posts", [1, 5])
def test_half_close_behind_pipelined_requests(start, posts):
    """The peer's end was met while answers were queued, or not made yet: they were lost."""
    d = start()
    with d.conn() as c:
        c.send(_post(d) * posts + _get(d) * 2)
        c.half_close()
        for _ in range(posts + 2):
            c.response().ok()
        c.closed()


@pytest.mark.parametrize("size", [900_000, 5_000_000])
def test_half_close_before_a_long_answer(start, size):
    """A file, whole or streamed, reaches a client that has ended its own side."""
    d = start(**_page(size))
    with d.conn(rcvbuf=4096) as c:
        c.send(_get(d, "/a.bin"))
        c.half_close()
        time.sleep(0.2)
        assert len(c.response(timeout=WAIT * 4).ok().body) == size


def test_pipelined_far_ahead(start):
    """More than the read buffer of requests in front of an answer that takes a turn: the connection hung."""
    d = start()
    n = 2000
    request = _post(d)
    with d.conn() as c:
        sender = threading.Thread(target=c.sock.sendall, args=(request * n,), daemon=True)
        sender.start()
        for _ in range(n):
            c.response().ok()
        sender.join()


def test_pipelined_answers_nobody_reads(start):
    """Answers were queued without end: one connection took all the memory."""
    d = start(**_page(900_000))
    if SANITIZED:
        pytest.skip("a sanitizer keeps what was freed")
    before = d.rss()
    with d.conn(rcvbuf=4096) as c:
        threading.Thread(target=_send_all, args=(c.sock, _get(d, "/a.bin") * 1000), daemon=True).start()
        time.sleep(1)
        assert d.rss() - before < 30_000_000
        d.http("GET", "/healthz").ok()


def _send_all(sock, data):
    try:
        sock.sendall(data)
    except OSError:
        pass  # the test is over


def test_pipelined_behind_a_stalled_write(start):
    """When a write stalled between an answer and the next request, that request was forgotten."""
    d = start(**_page(900_000))
    with d.conn(rcvbuf=4096) as c:
        c.send(_get(d, "/a.bin") * 8 + _post(d) + _get(d))
        time.sleep(0.3)
        for _ in range(8):
            assert len(c.response(timeout=WAIT * 4).ok().body) == 900_000
        c.response().ok()
        c.response().ok()


def test_partial_head_behind_a_whole_request(start):
    """It had no deadline of its own when the request before it came in two pieces."""
    d = start({"limits": {"request_timeout": "1s"}})
    request = _get(d)
    with d.conn() as c:
        c.send(request[:10])
        time.sleep(0.2)
        c.send(request[10:] + request[:10])
        c.response().ok()
        c.response().problem(408, "timeout")


def test_head_larger_than_the_buffer(start):
    """With limits.header = 1M a head that filled the read buffer hung."""
    d = start({"limits": {"header": "1M"}})
    with d.conn() as c:
        c.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: ")
        _send_all(c.sock, b"a" * 600_000)
        assert c.response().status == 431


# -- proxies, limits, the end ----------------------------------------------------------------------------------------------------


def test_forwarded_for_in_two_lines(start):
    """The proxy's own line is the last one; the client's first line was believed."""
    d = start({"auth": {"guests": True, "guest_tokens_per_minute": 2}})
    status = []
    for i in range(4):
        headers = [("X-Forwarded-For", f"10.0.0.{i}"), ("X-Forwarded-For", "192.0.2.7"), ("Content-Type", "application/json")]
        status.append(d.http("POST", "/token", headers, '{"name": "x"}').status)
    assert status[0] == 200 and status[-1] == 429, status


def test_full_server_answers_each_request(start):
    """The answer was sent before the request was read: a reset could overtake it. A stream is told to come back."""
    d = start({"limits": {"connections": 3}})
    time.sleep(1.1)  # the connections of the start are forgotten
    held = [d.conn() for _ in range(3)]
    for c in held:
        c.request("GET", "/healthz").ok()
    for _ in range(20):
        with d.conn() as c:
            c.send(_get(d))
            assert c.response().problem(503, "unavailable")["limit"] == "limits.connections"
    s = d.sse(topic="t/x")
    assert s.until("closing").json()["limit"] == "limits.connections"
    s.end()


def test_connection_limit_in_a_burst(start):
    d = start({"limits": {"connections": 50}, "workers": 3})
    time.sleep(1.1)
    socks = []
    for _ in range(82):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(d.address)
        socks.append(s)
    served = 0
    for s in socks:
        s.settimeout(WAIT)
        s.sendall(_get(d))
    for s in socks:
        served += b" 200 " in s.recv(40)
    for s in socks:
        s.close()
    assert served == 50


def test_stream_opened_during_the_drain(start):
    """It was never told, and held the daemon up until the drain was over."""
    d = start({"limits": {"drain": "10s"}})
    request = build("GET", "/events?topic=a", {**d.bearer(), "Accept": "text/event-stream"}, host=d.host)
    with d.conn() as c:
        c.send(request[:20])
        time.sleep(0.2)
        d.signal(signal.SIGTERM)
        time.sleep(0.2)
        c.send(request[20:])
        assert b"event: closing\n" in c.rest()
    assert d.wait(5) == 0


def test_second_signal_while_it_ends(start):
    """One that came in the very last moment killed the process its own way."""
    d = start({"limits": {"drain": "0"}})
    for _ in range(200):
        if not d.alive():
            break
        d.signal(signal.SIGTERM)
        time.sleep(0.0005)
    assert d.wait() == 0


def test_wake_ups_between_threads(start):
    """A wake-up written at the wrong moment was read away, and no connection reached that worker any more."""
    d = start({"workers": 3})
    bad = []

    def ask():
        for _ in range(150):
            try:
                d.http("GET", "/healthz").ok()
            except (OSError, AssertionError) as e:
                bad.append(e)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not bad, bad[0]


def test_memory_is_for_every_request(start):
    """Above limits.memory only publishing was refused, and files went on being queued."""
    d = start(**_page(900_000) | {"conf": {"web": {"root": "web"}, "limits": {"memory": "2M"}}})
    conns = [d.conn(rcvbuf=4096) for _ in range(40)]
    for c in conns:
        c.send(_get(d, "/a.bin") * 5)
    refused = 0
    for c in conns:
        assert d.http("GET", "/healthz").ok()
        lines = c.until(b"\r\n\r\n")
        refused += lines.startswith(b"HTTP/1.1 503 ")
    assert refused > 0


def test_head_that_is_not_understood(daemon):
    """Its refusal had a body."""
    with daemon.conn() as c:
        c.send(b"HEAD * HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert c.response("HEAD").status == 400
        c.half_close()
        c.closed()


def test_a_cut_answer_does_not_look_whole(start):
    """A stream's body ends with its connection: one that was cut within what was queued ended like a whole one."""
    d = start({"limits": {"queue": "4M"}})
    d.publish_many("t/cut", ["x" * 60_000] * 50)
    with d.conn(rcvbuf=4096) as c:
        c.send(build("GET", "/events?topic=t/cut&wait=0&last=1000", {"Accept": "application/x-ndjson", "Authorization": f"Bearer {d.token()}"}, host=d.host))
        assert c.head().status == 200
        admin = d.token("root", role="admin")
        deadline = time.monotonic() + WAIT
        while True:  # until all of it is queued, and the stream only waits for the socket
            listed = d.http("GET", "/api/connections", token=admin).ok().json()["connections"]
            mine = [x for x in listed if x["kind"] == "events"]
            if mine and not mine[0].get("topics"):
                break
            assert time.monotonic() < deadline, listed
            time.sleep(0.05)
        assert d.http("DELETE", "/api/connections/" + mine[0]["id"], token=admin).status == 204
        with pytest.raises(ConnectionResetError):
            while c.sock.recv(65536):
                pass


@pytest.mark.parametrize("what", ["answer", "stream"])
def test_last_answer_taken_slowly(start, what):
    """What the socket had not taken of an answer that ends its connection was cut off after limits.drain."""
    d = start({"limits": {"drain": 0}})
    d.publish_many("t/long", ["x" * 60_000] * 4)
    path = "/history?topic=t/long&limit=1000" if what == "answer" else "/events?topic=t/long&after=all&wait=0"
    with d.conn(rcvbuf=4096) as c:
        c.send(build("GET", path, {"Connection": "close", "Authorization": f"Bearer {d.token()}"}, host=d.host))
        time.sleep(3)
        r = c.head()
        assert len(c.rest(timeout=WAIT * 4)) > 200_000 and r.status == 200


def test_what_api_takes(daemon):
    """Allow named what any of /api takes, whatever was asked for."""
    for path, allow in (("stats", "GET, HEAD, OPTIONS"), ("kick", "POST, OPTIONS"), ("connections/0123456789abcdef", "DELETE, OPTIONS"), ("topics/a/b/members", "GET, HEAD, OPTIONS")):
        r = daemon.http("PUT", f"/api/{path}")
        r.problem(405, "method_not_allowed")
        assert r.header("Allow") == allow, r
        assert daemon.http("OPTIONS", f"/api/{path}").header("Allow") == allow
    for method in ("PUT", "OPTIONS"):
        daemon.http(method, "/api/nothing").problem(404)


def test_two_origins(daemon):
    """It said that the one is not the host asked for, which it is."""
    headers = [("Origin", f"http://{daemon.host}")] * 2
    assert "there are 2 Origin header fields" in daemon.http("POST", "/publish/a", headers, "x", token=daemon.token()).problem(403)["detail"]


def test_plus_sign_in_a_time(daemon, topic):
    """In a query it is a space: RFC 3339 times with an offset were no times."""
    daemon.publish(topic, "x")
    got = daemon.http("GET", f"/history?topic={topic}&after=2020-01-01T00:00:00+01:00", token=daemon.token()).ok().json()["messages"]
    assert len(got) == 1
    assert daemon.http("POST", f"/publish/{topic}?at=2020-01-01T00:00:00+01:00", (), "x", token=daemon.token()).status == 202
