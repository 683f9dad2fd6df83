"""Every limit of the configuration at its edge: n is taken, n + 1 is refused and named, 0 is off, a reload is enough."""

import json
import os
import re
import signal
import struct
import time
import zlib

import pytest

from support import BELFRYD, SANITIZED, SLOW, rawclient
from support import daemon as daemon_module
from support.rawclient import BINARY, CLOSE, CONT, PING, TEXT, WebSocket, frame

SOON = 10 * SLOW  # for what takes its time on a busy machine


def until(check, timeout=SOON):
    """Waits until check() is true; what it was."""
    end = time.monotonic() + timeout
    while not (got := check()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)
    return got


def refused(r, limit, status=429, code="too_many"):
    """The refusal names the limit and says when to come again."""
    doc = r.problem(status, code)
    assert doc["limit"] == limit, doc
    assert int(r.header("Retry-After")) >= 1, r
    return doc


def turned_away(stream, limit):
    """An EventSource is told in words that make it come back later."""
    assert stream.response.status == 200
    ev = stream.until("closing")
    doc = ev.json()
    assert doc["limit"] == limit and doc["reason"] and doc["retry"] >= 1000, doc
    assert any(re.search(r"^retry: ?\d{4,}$", line) for b in stream.blocks for line in b.lines), stream.blocks
    stream.end()


def reload(d, **limits):
    d.configure({"limits": limits})
    since = len(d.lines)
    d.signal(signal.SIGHUP)
    d.wait_log(r"server\.reload.*(result|needs)", since=since)


def metric(d, name):
    text = d.http("GET", "/metrics").ok().text()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)


# -- how many connections ----------------------------------------------------------------------------------------------------

def opened(d, path="/chat", headers=(), sub="ada"):
    """A WebSocket, or the refusing response."""
    r, ws = WebSocket.open(d.address, path, [*d.bearer(sub=sub).items(), *headers])
    return ws or r


def is_open(x):
    return isinstance(x, WebSocket)


@pytest.mark.parametrize("workers", [1, 3])
def test_connections(start, workers):
    d = start({"workers": workers, "limits": {"connections": 4}})
    until(lambda: metric(d, "belfry_connections") == 1)
    held = [until(lambda: (x := opened(d)) and is_open(x) and x) for _ in range(4)]
    refused(opened(d), "limits.connections", 503, "unavailable")
    refused(d.http("GET", "/healthz"), "limits.connections", 503, "unavailable")
    refused(d.http("POST", "/publish/x", body="x", token=d.token()), "limits.connections", 503, "unavailable")
    turned_away(d.sse(topic="x"), "limits.connections")
    turned_away(d.sse("/chat", room="x"), "limits.connections")
    held.pop().close()
    held.append(until(lambda: (x := opened(d)) and is_open(x) and x))
    reload(d, connections=6)
    held += [until(lambda: (x := opened(d)) and is_open(x) and x) for _ in range(2)]
    refused(opened(d), "limits.connections", 503, "unavailable")
    reload(d, connections=0)  # off: as many as there are descriptors
    held += [until(lambda: (x := opened(d)) and is_open(x) and x) for _ in range(50)]
    assert d.http("GET", "/healthz").ok()


PER = {"limits.connections_per_address": {"connections_per_address": 3}, "limits.connections_per_user": {"connections_per_user": 3}}


@pytest.mark.parametrize("limit", PER)
def test_connections_per(start, limit):
    """An address's, behind trusted proxies the client's, and a user's, over all doors and workers."""
    d = start({"workers": 2, "limits": PER[limit]})
    a = {"headers": [("X-Forwarded-For", "192.0.2.1")], "sub": "a"}
    b = {"headers": [("X-Forwarded-For", "192.0.2.2")], "sub": "b"}
    ws, sse, chat = opened(d, **a), d.sse(topic="x", **a), d.chat_sse("r", **a)
    assert is_open(ws)
    refused(opened(d, **a), limit)
    refused(d.http("GET", "/chat", [*a["headers"], *d.bearer(sub="a").items()]), limit)  # who asks why is told
    turned_away(d.sse(topic="x", **a), limit)
    turned_away(d.sse("/chat", room="r", **a), limit)
    refused(d.sse(topic="x", accept="application/x-ndjson", refuse=True, **a), limit)
    d.http("POST", "/publish/x", a["headers"], "x", token=d.token("a")).ok()  # no connection that stays
    assert is_open(opened(d, **b))
    sse.close()
    again = until(lambda: (x := opened(d, **a)) and is_open(x) and x)
    refused(opened(d, **a), limit)
    ws.drop()
    chat.close()
    again.drop()
    until(lambda: d.http("GET", "/chat", [*a["headers"], *d.bearer(sub="a").items()]).status == 426)
    reload(d, **{limit.split(".")[1]: 0})
    held = [opened(d, **a) for _ in range(8)]
    assert all(map(is_open, held))


# -- how long ------------------------------------------------------------------------------------------------------------------

N = 2000


def echo(d, *frames):
    """Close code, or the length of what came back."""
    with d.ws("/echo") as ws:
        ws.conn.send(b"".join(frames))
        m = ws.recv_message()
        return len(m[1]) if isinstance(m, tuple) else m.code


def fragments(n, each):
    sizes = [each] * (n // each) + ([n % each] if n % each else [])
    return [frame(TEXT if i == 0 else CONT, b"x" * size, fin=i == len(sizes) - 1) for i, size in enumerate(sizes)]


def packed(data):
    z = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (z.compress(data) + z.flush(zlib.Z_SYNC_FLUSH))[:-4]


def unpacked(data):
    return zlib.decompressobj(-15).decompress(data + b"\0\0\xff\xff")


def test_message(start):
    """One message whatever its fragments, inflated; 1009 over WebSocket, 413 by POST."""
    d = start({"limits": {"message": N}})
    for n, want in ((N, N), (N + 1, 1009)):
        assert echo(d, frame(TEXT, b"x" * n)) == want
        assert echo(d, frame(BINARY, b"\0" * n)) == want
        assert echo(d, *fragments(n, 1)) == want
        assert echo(d, *fragments(n, 999)) == want
        assert echo(d, frame(TEXT, b"x" * 10, fin=False), frame(PING, b"p"), frame(CONT, b"x" * (n - 10))) == want
        extension = [("Sec-WebSocket-Extensions", "permessage-deflate")]
        with d.ws("/echo", headers=extension) as ws:
            ws.conn.send(frame(TEXT, packed(b"x" * n), rsv=4))
            f = ws.recv_frame()
            assert (f.code if f.opcode == CLOSE else len(unpacked(f.payload) if f.rsv else f.payload)) == want
        text = json.dumps({"type": "ping", "x": ""})
        with d.ws() as ws:
            ws.send(text.replace('""', '"' + "x" * (n - len(text)) + '"'))
            if n == N:
                assert ws.recv()["type"] == "pong"
            else:
                ws.expect_close(1009)
    d.publish("t/x", "x" * N)
    d.publish("t/x", message="x" * N)
    chat = d.chat_sse("r")
    for path, kind in (("/publish/t/x", "text/plain"), (f"/chat/{chat.session}", "text/plain")):
        r = d.http("POST", path, {"Content-Type": kind}, "x" * (N + 1), token=d.token())
        assert r.status == 413, r
        assert r.json()["limit"] == "limits.message" and r.json()["code"] == "too_large", r
    d.http("POST", f"/chat/{chat.session}", {"Content-Type": "text/plain"}, "x" * (N - 200), token=d.token()).ok()
    batch = json.dumps([{"message": "x"}, {"message": "x" * (N + 1)}])
    r = d.http("POST", "/publish/t/x", {"Content-Type": "application/json"}, batch, token=d.token())
    assert r.problem(413, "too_large")["limit"] == "limits.message"
    reload(d, message=N + 1)
    assert echo(d, frame(TEXT, b"x" * (N + 1))) == N + 1 and echo(d, frame(TEXT, b"x" * (N + 2))) == 1009
    d.publish("t/x", "x" * (N + 1))


def chunked(body, each):
    parts = [body[i:i + each] for i in range(0, len(body), each)]
    return b"".join(f"{len(p):x}\r\n".encode() + p + b"\r\n" for p in parts) + b"0\r\n\r\n"


def test_message_of_many_megabytes(start):
    """Whatever limits.message allows goes through, with the escapes that JSON makes of it."""
    d = start({"limits": {"message": "16M", "body": "32M", "messages_per_second": 0}})
    a, b = d.join("big", sub="a"), d.join("big", sub="b")
    i = a.ok("chat", "ack", content="x" * (12 << 20))["id"]
    assert len(b.expect("chat", id=i)["content"]) == 12 << 20
    text = d.ws(sub="t", room="big", format="text", last=0)
    text.send("\x01" * (2 << 20))
    assert b.expect("chat", timeout=SOON)["content"] == "\x01" * (2 << 20)


def test_body(start):
    d = start({"limits": {"body": 5000, "message": 4900}})
    head = f"POST /publish/t/x HTTP/1.1\r\nHost: {d.host}\r\nContent-Type: application/json\r\nAuthorization: Bearer {d.token()}\r\n"
    for n, want in ((5000, 200), (5001, 413)):
        body = b'{"message":"x"' + b" " * (n - 15) + b"}"
        assert len(body) == n
        for request in (f"{head}Content-Length: {n}\r\n\r\n".encode() + body, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunked(body, n),
                        f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + chunked(body, 7)):
            with d.conn() as c:
                c.send(request)
                r = c.response()
                assert r.status == want, (n, request[-40:], r)
                if want == 413:
                    assert r.problem(413, "too_large")["limit"] == "limits.body"
                    c.half_close()
                    c.closed()
    reload(d, body=5001)
    d.http("POST", "/publish/t/x", {"Content-Type": "application/json"}, b'{"message":"x"' + b" " * 4986 + b"}", token=d.token()).ok()


def test_header(start):
    d = start({"limits": {"header": 1000}})
    fixed = f"GET /healthz HTTP/1.1\r\nHost: {d.host}\r\nX: "

    def ask(n, cut=None):
        head = (fixed + "x" * (n - len(fixed) - 4) + "\r\n\r\n").encode()
        assert len(head) == n
        with d.conn() as c:
            for piece in (head,) if cut is None else (head[:cut], head[cut:]):
                c.send(piece)
                time.sleep(0.02)
            return c.response()

    for cut in (None, 500, 999):
        assert ask(1000, cut).status == 200
        assert ask(1001, cut).problem(431, "too_large")["limit"] == "limits.header"
    with d.conn() as c:  # a line that has no end is the line's fault
        c.send("GET /" + "x" * 1200)
        assert c.response().problem(414, "too_large")["limit"] == "limits.header"
    reload(d, header=1001)
    assert ask(1001).status == 200
    reload(d, header="64K")
    for n, want in ((8000, 404), (8001, 414)):
        with d.conn() as c:
            c.send(f"GET /{'x' * (n - 1)} HTTP/1.1\r\nHost: {d.host}\r\n\r\n")
            assert c.response().status == want


# -- memory -------------------------------------------------------------------------------------------------------------------

def test_queue(start):
    """A reader that does not read holds as much as its queue may, and one message whatever its size always fits an empty one."""
    d = start({"limits": {"queue": "16K", "message": "300K"}, "topics": ({"match": "**", "history": 10000},)})
    big = "x" * 250_000
    with d.sse(topic="t/big") as s:
        d.publish("t/big", big)
        assert s.until("notification").json()["message"] == big
    s = d.sse(topic="t/x", rcvbuf=4096)
    d.publish_many("t/x", (str(i) + "y" * 2500 for i in range(1500)))  # more than the kernel takes
    queued = metric(d, "belfry_queued_bytes")
    assert queued <= 16384 + 64 * 1024, queued  # the read that fills it is bounded too
    assert metric(d, "belfry_behind") == 1
    got = []
    while len(got) < 1500:
        ev = s.next()
        assert ev.name != "gap", ev
        if ev.name == "notification":
            got.append(int(re.match(r"\d+", ev.json()["message"])[0]))
    assert got == list(range(1500))
    until(lambda: metric(d, "belfry_queued_bytes") == 0)


BODY = 16_000


def hold_bodies(d):
    """An unfinished body; says whether it was refused."""
    c = d.conn()
    c.send(f"POST /publish/t/x HTTP/1.1\r\nHost: {d.host}\r\nAuthorization: Bearer {d.token()}\r\nContent-Length: {BODY * 2}\r\n\r\n")
    c.send(b"x" * BODY)
    return c


def hold_chunks(d):
    c = d.conn()
    c.send(f"POST /publish/t/x HTTP/1.1\r\nHost: {d.host}\r\nAuthorization: Bearer {d.token()}\r\nTransfer-Encoding: chunked\r\n\r\n")
    c.send(f"{BODY:x}\r\n".encode() + b"x" * BODY + b"\r\n")
    return c


def hold_heads(d):
    c = d.conn()
    c.send(f"GET /healthz HTTP/1.1\r\nHost: {d.host}\r\nX: ".encode() + b"x" * BODY)
    return c


def hold_frames(d):
    r, ws = WebSocket.open(d.address, "/echo")
    if ws is None:
        raise ConnectionRefusedError(r.status, r.json()["limit"])
    ws.conn.send(frame(TEXT, b"x" * BODY * 2)[:BODY])
    return ws.conn


def hold_fragments(d):
    r, ws = WebSocket.open(d.address, "/echo")
    if ws is None:
        raise ConnectionRefusedError(r.status, r.json()["limit"])
    ws.conn.send(b"".join(frame(TEXT if i == 0 else CONT, b"x" * 160, fin=False) for i in range(100)))
    return ws.conn


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("hold", [hold_bodies, hold_chunks, hold_heads, hold_frames, hold_fragments], ids=lambda f: f.__name__[5:])
def test_memory(start, hold, workers):
    """Hundreds that never finish: what they hold together is bounded, they are told so, and it comes back."""
    limit = 1024 * 1024
    d = start({"workers": workers, "limits": {"memory": limit, "header": "32K", "request_timeout": "60s", "drain": 0}, "chat": {"heartbeat": "60s"}})
    before = d.rss()
    held, ended = [], []
    for _ in range(300):
        try:
            held.append(hold(d))
        except ConnectionRefusedError as e:
            assert e.args == (503, "limits.memory")
            ended.append(b"")
    until(lambda: metric(d, "belfry_queue_memory_bytes") > limit * 0.9)
    # above it is what a turn of each worker had read, and the little that is spared to each
    assert metric(d, "belfry_queue_memory_bytes") <= limit + workers * 64 * 1024 + len(held) * 4096
    for c in list(held):
        c.sock.settimeout(0)
        try:
            data = c.sock.recv(65536)
        except BlockingIOError:
            continue
        held.remove(c)
        ended.append(data)
    assert len(held) >= 25 and len(ended) >= 150, (len(held), len(ended))
    for data in filter(None, ended):
        if hold in (hold_frames, hold_fragments):
            assert data[0] == 0x88 and struct.unpack("!H", data[2:4])[0] == 1013 and b"limits.memory" in data, data
        else:
            assert data.startswith(b"HTTP/1.1 503 ") and b'"limits.memory"' in data and b"\r\nRetry-After: " in data, data
    if not SANITIZED:
        assert d.rss() - before < 16 * 1024 * 1024, d.rss() - before
    assert d.http("GET", "/healthz").ok()
    full = metric(d, "belfry_queue_memory_bytes") > limit
    if full:
        refused(d.http("POST", "/publish/t/x", body="x", token=d.token()), "limits.memory", 503, "unavailable")
        turned_away(d.sse(topic="x"), "limits.memory")
    for c in held:
        c.close()
    until(lambda: metric(d, "belfry_queue_memory_bytes") == 0)
    assert d.publish("t/x", "x" * 60_000)


def test_memory_is_one_for_all_workers(start):
    """Each had its share, and refused a body while nobody else had anything."""
    d = start({"workers": 3, "limits": {"memory": "1M", "body": "1M", "message": "900K"}})
    for _ in range(6):
        with d.conn() as c:
            c.send(f"POST /publish/t/x HTTP/1.1\r\nHost: {d.host}\r\nAuthorization: Bearer {d.token()}\r\nContent-Length: 900000\r\n\r\n")
            for _ in range(9):
                c.send(b"x" * 100_000)
                time.sleep(0.01)
            c.response().ok()
        until(lambda: metric(d, "belfry_queue_memory_bytes") == 0)


def test_bomb(start):
    """64 MiB in a 64 KiB frame is cut while it is inflated; hundreds of them leave nothing."""
    d = start({"limits": {"message": "64K"}})
    z = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(z.compress(b"\0" * 1048576) for _ in range(64)) + z.flush(zlib.Z_SYNC_FLUSH)
    assert len(bomb) < 65600
    before = d.rss()
    for _ in range(100):
        with d.ws("/echo", headers=[("Sec-WebSocket-Extensions", "permessage-deflate")]) as ws:
            ws.conn.send(frame(TEXT, bomb[:-4], rsv=4))
            assert ws.recv_message().code == 1009
    if not SANITIZED:
        assert d.rss() - before < 8 * 1024 * 1024
    until(lambda: metric(d, "belfry_queue_memory_bytes") == 0)


def cpu(d):
    fields = open(f"/proc/{d.process.pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_fragments_of_a_byte(start):
    """A message in 100,000 fragments: memory is the message's, time goes with their number."""
    d = start({"limits": {"message": "1M"}})
    took = {}
    for n in (25_000, 100_000):
        ws = d.ws("/echo")
        piece = frame(CONT, b"y", fin=False, key=b"abcd") * 1000
        start_cpu, before = cpu(d), d.rss()
        ws.conn.send(frame(TEXT, b"x", fin=False))
        for _ in range(n // 1000):
            ws.conn.send(piece)
        until(lambda: metric(d, "belfry_queue_memory_bytes") > n)
        assert metric(d, "belfry_queue_memory_bytes") < 4 * n
        if not SANITIZED:
            assert d.rss() - before < 4 * 1024 * 1024
        ws.send_frame(CONT, b"z")
        assert ws.recv_message() == (TEXT, b"x" + b"y" * n + b"z")
        took[n] = cpu(d) - start_cpu
        ws.close()
    assert took[100_000] < 16 * took[25_000] + 1, took  # four times, were it measured exactly; sixteen were quadratic
    assert took[100_000] < 5 * SLOW, took


# -- rooms and topics ------------------------------------------------------------------------------------------------------------

def test_rooms_per_connection(start):
    limit = "limits.rooms_per_connection"
    d = start({"limits": {"rooms_per_connection": 3}})
    ws = d.ws()
    chat = d.chat_sse("a")

    def post(**m):
        return d.http("POST", f"/chat/{chat.session}", {"Content-Type": "application/json"}, json.dumps(m), token=d.token())

    for ask in (lambda **m: ws.ask(m.pop("type"), **m), lambda **m: post(**m).json()):
        ask(type="join", room="a", last=0)
        assert ask(type="subscribe", topic="t/*")["type"] == "subscribed"
        assert ask(type="join", room="b", last=0)["type"] == "joined"
        for m in (ask(type="join", room="c"), ask(type="subscribe", topic="t/x")):
            assert m["type"] == "error" and m["code"] == "too_many" and m["limit"] == limit and m["retry_after"] >= 1, m
        assert ask(type="join", room="b")["type"] == "joined"  # one that it has already
        assert ask(type="subscribe", topic="t/*")["type"] == "subscribed"
        assert ask(type="unsubscribe", topic="t/*")["type"] == "unsubscribed"
        assert ask(type="join", room="c")["type"] == "joined"
    r = post(type="join", room="d")
    assert r.status == 429 and r.json()["limit"] == limit and int(r.header("Retry-After")) >= 1, r
    reload(d, rooms_per_connection=4)
    until(lambda: ws.ask("join", room="d")["type"] == "joined")
    assert ws.fails("join", "too_many", room="e")["limit"] == limit
    reload(d, rooms_per_connection=0)
    until(lambda: ws.ask("join", room="e")["type"] == "joined")
    for i in range(300):
        ws.ok("join", "joined", room=f"r{i}", last=0)
    assert ws.fails("chat", "bad_field", content="x")["message"].endswith("305 rooms")


def test_topics_per_stream(start):
    d = start({"limits": {"topics_per_stream": 3}})
    d.sse(topic=["a", "b/*", "c/**"]).close()
    for query in ({"topic": ["a", "b", "c", "d"]}, {"topic": ["a"] * 4}):
        refused(d.sse(refuse=True, **query), "limits.topics_per_stream")
    reload(d, topics_per_stream=0)
    many = [f"t/{i}" for i in range(200)]
    s = until(lambda: (x := rawclient.open_stream(d.address, "/events?" + "&".join(f"topic={t}" for t in many), d.bearer().items())[1]) and x)
    d.publish("t/199", "hello")
    assert s.until("notification").json()["topic"] == "t/199"


@pytest.mark.parametrize("workers", [1, 2])
def test_topics(start, workers):
    """A flood of topics ends at the limit; those that hold nothing and have no reader leave their place."""
    limit = "limits.topics"
    d = start({"workers": workers, "limits": {"topics": 5, "rooms_per_connection": 0}, "chat": {"leave_grace": 0},
               "topics": ({"match": "live/**", "history": 0}, {"match": "short/**", "keep": "1s"}, {"match": "**", "history": 10, "presence": True})})
    for i in range(3):
        d.publish(f"t/{i}", "x")
    for i in range(50):
        d.publish(f"live/{i}", "x")  # kept nowhere: no place
    ws = d.ws()
    ws.ok("subscribe", "subscribed", topic="quiet")
    ws.ok("join", "joined", room="r")
    for i in range(20):
        refused(d.http("POST", f"/publish/flood/{i}", body="x", token=d.token()), limit)
    for kind, member in (("join", {"room": "more"}), ("subscribe", {"topic": "more"}), ("publish", {"topic": "more", "message": "x"}),
                         ("chat", {"room": "r2", "content": "x"})):
        m = ws.ask(kind, **member)
        assert m["type"] == "error" and (kind == "chat" or m["code"] == "too_many" and m["limit"] == limit and m["retry_after"] >= 1), m
    turned_away(d.sse(topic="more"), limit)
    batch = json.dumps([{"message": "x"}] + [{"topic": "more", "message": "x"}])
    r = d.http("POST", "/publish", {"Content-Type": "application/json"}, batch, token=d.token())
    refused(r, limit)
    d.publish("t/0", "known")
    ws.say("known")
    assert d.sse(topic="t/*")  # a pattern is none
    ws.ok("unsubscribe", "unsubscribed", topic="quiet")  # nobody reads it now, and it holds nothing
    until(lambda: d.http("POST", "/publish/short/x", body="x", token=d.token()).status == 200)
    until(lambda: d.http("POST", "/publish/more", body="x", token=d.token()).status == 200)  # short/x has ended
    reload(d, topics=6)
    until(lambda: d.http("POST", "/publish/even/more", body="x", token=d.token()).status == 200)
    refused(d.http("POST", "/publish/flood", body="x", token=d.token()), limit)
    reload(d, topics=0)
    until(lambda: d.http("POST", "/publish/off/0", body="x", token=d.token()).status == 200)
    for i in range(100):
        d.publish(f"off/{i}", "x")


def test_history_and_keep(start):
    d = start({"topics": ({"match": "three/**", "history": 3}, {"match": "three/x", "history": 1000}, {"match": "none", "history": 0},
                          {"match": "brief/**", "keep": "1s"}, {"match": "**", "history": 1000})})

    def stored(topic):
        return [m["message"] for m in d.http("GET", f"/history?topic={topic}", token=d.token()).ok().json()["messages"]]

    for topic in ("three/x", "none", "brief/x", "all"):
        for i in range(4):
            got = d.publish(topic, str(i))
            assert (topic == "none") == (got.get("id") is None), got
    assert stored("three/x") == ["1", "2", "3"] and stored("none") == [] and stored("all") == ["0", "1", "2", "3"]
    until(lambda: stored("brief/x") == [])
    assert stored("all") == ["0", "1", "2", "3"]


# -- how fast -------------------------------------------------------------------------------------------------------------------

def test_messages_per_second(start):
    limit = "limits.messages_per_second"
    d = start({"limits": {"messages_per_second": 1, "burst": 5}})
    ws = d.ws()
    for i in range(9):
        ws.send({"type": "ping", "ref": i})
    got = [ws.recv() for _ in range(9)]
    assert [m["type"] for m in got[:5]] == ["pong"] * 5
    errors = [m for m in got if m["type"] == "error"]
    assert errors and all(m["code"] == "rate_limited" and m["limit"] == limit and m["retry_after"] >= 1 for m in errors), got
    time.sleep(errors[-1]["retry_after"])
    ws.ok("ping", "pong")
    text = d.ws(format="text", room="t")
    for i in range(9):
        text.send(str(i))
    assert text.recv_text().startswith("! rate_limited: ")
    chat = d.chat_sse("s")
    got = [d.http("POST", f"/chat/{chat.session}", {"Content-Type": "text/plain"}, "x", token=d.token()) for _ in range(9)]
    assert [r.status for r in got[:5]] == [200] * 5
    r = next(r for r in got if r.status != 200)
    assert r.status == 429 and r.json()["limit"] == limit and int(r.header("Retry-After")) >= 1, r
    with d.ws() as flood:
        flood.conn.send(frame(TEXT, '{"type":"ping"}') * 1100)
        flood.expect_close(4429)
    reload(d, messages_per_second=0)
    until(lambda: ws.ask("ping")["type"] == "pong")
    for i in range(200):
        ws.send({"type": "ping"})
    assert {ws.recv()["type"] for _ in range(200)} == {"pong"}
    reload(d, messages_per_second=7, burst=0)  # a burst of as many
    other = d.ws()
    for i in range(9):
        other.send({"type": "ping"})
    assert [other.recv()["type"] for _ in range(9)].count("pong") in (7, 8)


@pytest.mark.parametrize("workers", [1, 3])
def test_unanswered_requests(start, workers):
    """64 at most, then the socket is not read: whoever sends thousands at once gets every answer."""
    d = start({"workers": workers, "limits": {"queue": "16K"}})
    ws = d.join("r")
    n = 3000
    ws.conn.send(b"".join(frame(TEXT, json.dumps({"type": "chat", "content": "x", "ref": i})) for i in range(n)))
    got = [ws.recv() for _ in range(n)]
    assert [m["ref"] for m in got] == list(range(n)) and {m["type"] for m in got} == {"ack"}
    until(lambda: metric(d, "belfry_queue_memory_bytes") == 0)


def test_raw_is_counted(start):
    """In raw no error can be told, and no frame may be missing: too fast is the end."""
    d = start({"limits": {"messages_per_second": 1, "burst": 5}})
    a, b = d.ws(format="raw", room="g"), d.ws(format="raw", room="g")
    for i in range(5):
        a.send(bytes([i]))
    assert [b.recv_message()[1] for _ in range(5)] == [bytes([i]) for i in range(5)]
    for i in range(5):
        a.send(b"x")
    assert b"limits.messages_per_second" in a.expect_close(4429).payload
    reload(d, messages_per_second=0)
    with d.ws(format="raw", room="g") as c:
        c.conn.send(frame(BINARY, b"y") * 300)
        n = 0
        while n < 300:
            n += b.recv_message()[1] == b"y"
    assert metric(d, "belfry_messages_total") >= 300


def test_publishes_per_second(start):
    limit = "limits.publishes_per_second"
    d = start({"limits": {"publishes_per_second": 5}})

    def post(sub, body, kind="text/plain"):
        return d.http("POST", "/publish/t/x", {"Content-Type": kind}, body, token=d.token(sub))

    got = [post("a", "x") for _ in range(40)]
    assert [r.status for r in got[:5]] == [200] * 5
    refused(next(r for r in got if r.status != 200), limit, code="rate_limited")
    assert post("b", json.dumps([{"message": "x"}] * 5), "application/json").status == 200
    refused(post("b", json.dumps([{"message": "x"}] * 5), "application/json"), limit, code="rate_limited")
    ws = d.join("r", sub="c")  # over all doors
    got = [ws.ask("publish", topic="t/x", message="x") if i % 2 else ws.ask("chat", content="x") for i in range(40)]
    assert [m["type"] for m in got[:5]] == ["ack"] * 5
    m = next(m for m in got if m["type"] == "error")
    assert m["code"] == "rate_limited" and m["limit"] == limit and m["retry_after"] >= 1, m
    until(lambda: post("c", "x").status == 200)
    reload(d, publishes_per_second=0)
    until(lambda: all(post("d", "x").status == 200 for _ in range(20)))


def test_upgrades_per_second(start):
    limit = "limits.upgrades_per_second"
    d = start({"limits": {"upgrades_per_second": 4}})
    got = [opened(d) for _ in range(40)]
    assert all(map(is_open, got[:4]))
    refused(next(x for x in got if not is_open(x)), limit, code="rate_limited")

    for _ in range(20):
        s = d.sse(topic="x")
        first = s.next()
        if first.name == "closing":
            assert first.json()["limit"] == limit
            break
        s.close()
    else:
        pytest.fail("no stream was turned away")
    assert d.http("GET", "/healthz").ok()  # not an opening
    reload(d, upgrades_per_second=0)
    until(lambda: all(is_open(opened(d)) for _ in range(12)))


def test_guest_tokens_per_minute(start):
    limit = "auth.guest_tokens_per_minute"
    d = start({"auth": {"guests": True, "guest_tokens_per_minute": 3}})

    def ask(address):
        return d.http("POST", "/token", [("Content-Type", "application/json"), ("X-Forwarded-For", address)], '{"name":"Ada"}')

    assert [ask("192.0.2.1").status for _ in range(3)] == [200] * 3
    r = ask("192.0.2.1")
    refused(r, limit, code="rate_limited")
    assert int(r.header("Retry-After")) <= 21
    assert ask("192.0.2.2").status == 200  # an address's
    assert [ask(f"2001:db8::{i}").status for i in range(4)] == [200, 200, 200, 429]  # of IPv6 a network's
    d.configure({"auth": {"guest_tokens_per_minute": 0}})
    d.signal(signal.SIGHUP)
    until(lambda: all(ask("192.0.2.1").status == 200 for _ in range(10)))


# -- how long it may take ---------------------------------------------------------------------------------------------------------

def test_times_that_are_off(start):
    """0: a slow head and a silent connection are waited for."""
    d = start({"limits": {"request_timeout": 0, "idle_timeout": 0}})
    slow, idle = d.conn(), d.conn()
    idle.request("GET", "/healthz").ok()
    slow.send(b"GET /healthz HT")
    quick = start({"limits": {"request_timeout": "1s", "idle_timeout": "1s"}})
    other, kept, body = quick.conn(), quick.conn(), quick.conn()
    kept.request("GET", "/healthz").ok()
    other.send(b"GET /healthz HT")
    body.send(f"POST /publish/x HTTP/1.1\r\nHost: {quick.host}\r\nAuthorization: Bearer {quick.token()}\r\nContent-Length: 9\r\n\r\nabc")
    for c in (other, body):
        r = c.response(timeout=SOON)
        doc = r.problem(408, "timeout")
        assert doc["limit"] == "limits.request_timeout" and int(r.header("Retry-After")) >= 1, doc
    kept.closed(SOON)
    time.sleep(1)
    slow.send(b"TP/1.1\r\nHost: localhost\r\n\r\n")
    slow.response().ok()
    idle.request("GET", "/healthz").ok()


def test_drain_of_nothing(start):
    """0: whoever is still there is not waited for."""
    d = start({"limits": {"drain": 0}})
    ws, s = d.ws(), d.sse(topic="x")
    d.signal(signal.SIGTERM)
    assert d.wait(SOON) == 0
    ws.drop()
    s.close()


def test_intervals(start):
    """heartbeat, keepalive, retry, typing_timeout and leave_grace at the least, and after a reload."""
    d = start({"chat": {"heartbeat": "1s", "typing_timeout": "100ms", "leave_grace": 0}, "events": {"keepalive": "1s", "retry": "100ms"}})
    s = d.sse(topic="x")
    hello = until(lambda: s.block())
    assert 50 <= int(re.search(r"retry: ?(\d+)", "\n".join(hello.lines))[1]) <= 150, hello
    a, b = d.join("r", "a"), d.join("r", "b")
    b.send({"type": "typing"})
    assert a.expect("typing", typing=True)["user"]["id"] == "b"
    a.expect("typing", typing=False)
    b.drop()
    a.expect("user_left")
    while not any("keep-alive" in line for line in s.block(SOON).lines):
        pass
    silent = d.ws()
    silent.answer_pings = False
    silent.expect_close(4408, timeout=SOON)
    d.configure({"events": {"retry": "100s"}, "chat": {"heartbeat": "77s"}})
    since = len(d.lines)
    d.signal(signal.SIGHUP)
    d.wait_log(r"server\.reload", since=since)

    def hello_again():
        with d.sse(topic="x") as again:
            return int(re.search(r"retry: ?(\d+)", "\n".join(again.block().lines))[1])

    assert 50_000 <= until(lambda: (x := hello_again()) > 150 and x) <= 150_000
    assert d.ws().welcome["heartbeat"] == 77


# -- descriptors ------------------------------------------------------------------------------------------------------------------



def test_descriptors(start, tmp_path, monkeypatch):
    """limits.connections is lowered to what descriptors allow, with a warning; beyond it there is an answer, and no end of accepting."""
    script = tmp_path / "few.sh"
    drop = "setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource " if os.geteuid() == 0 else ""
    script.write_text(f'#!/bin/sh\nulimit -n 200\nexec {drop}{BELFRYD} "$@"\n')
    script.chmod(0o755)
    monkeypatch.setattr(daemon_module, "BELFRYD", str(script))
    d = start({"limits": {"connections": 1000}})
    m = d.wait_log(r"server\.limit .*limits\.connections=1000 lowered_to=(\d+)")
    most = int(m[1])
    assert 64 <= most < 200
    held = []
    while is_open(x := opened(d)):
        held.append(x)
        assert len(held) <= most
    assert len(held) >= most - 2
    refused(x, "limits.connections", 503, "unavailable")
    flood = [d.conn() for _ in range(150)]  # more than there are descriptors
    with held.pop() as ws:
        ws.expect("welcome")
        ws.ok("ping", "pong")
    for c in flood:
        c.close()
    until(lambda: is_open(x := opened(d)) and held.append(x) is None)
    reload(d, connections=0)  # off is as many as there are, too
    assert len(held) <= most
    refused(until(lambda: (x := opened(d)) and (held.append(x) if is_open(x) else x)), "limits.connections", 503, "unavailable")
