"""Floods and broken connections: the others are served meanwhile, memory stays bounded, and afterwards everything is back to where it began.

BELFRY_FLOOD multiplies the amounts; above 1 there is a turn with one worker, too.
"""

import json
import os
import re
import socket
import struct
import time

import pytest
from support import SANITIZED, SLOW, WAIT
from support.daemon import Daemon, mark
from support.rawclient import BINARY, CLOSE, CONT, PING, PONG, TEXT, Eof, Timeout, build, frame

HEAVY = float(os.environ.get("BELFRY_FLOOD", "1"))
MIB = 1024 * 1024
QUEUE = 32 * 1024
MEMORY = 8 * MIB

CONF = {
    "limits": {"queue": QUEUE, "memory": MEMORY, "rooms_per_connection": 50, "message": "64K"},
    "topics": (
        {"match": "server/**", "history": 0},
        {"match": "few/*", "history": 10},
        {"match": "chat/*", "history": 10000, "presence": True},
        {"match": "**", "history": 10000},
    ),
    "logging": {"level": "info"},
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 * SLOW * max(1, HEAVY))]


def times(n):
    return int(n * HEAVY)


# -- the daemon, and what it says of itself ---------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[3, 1] if HEAVY > 1 else [3], ids=lambda n: f"w{n}")
def _flooded(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("flooded")
    (folder / "web").mkdir()
    (folder / "web" / "big.bin").write_bytes(b"b" * MIB)
    d = Daemon(folder, {**CONF, "workers": request.param, "web": {"root": str(folder / "web")}}).start()
    yield d
    d.stop()


GAUGES = ("belfry_connections{", "belfry_behind", "belfry_subscriptions", "belfry_queue_memory_bytes")


def metrics(d, conn=None):
    """Every sample of /metrics, by name and labels. One's own connection is left out."""
    if conn is None:
        with d.conn(timeout=WAIT * 4) as c:
            return metrics(d, c)
    out = {}
    for line in conn.request("GET", "/metrics").ok().text().splitlines():
        if not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            out[name] = float(value)
    return out


def memory(d, conn=None):
    return metrics(d, conn)["belfry_queue_memory_bytes"]


def state(d):
    m = metrics(d)
    gauges = {k: v for k, v in m.items() if k.startswith(GAUGES)}
    return {**gauges, "descriptors": len(os.listdir(f"/proc/{d.process.pid}/fd"))}


def calm(d):
    """The state when nobody is there but the one that asks for it."""
    end = time.monotonic() + WAIT * 4
    while (s := state(d))['belfry_connections{kind="http"}'] != 1:
        assert time.monotonic() < end, s
        time.sleep(0.02)
    return s


@pytest.fixture
def daemon(_flooded):
    """Afterwards nothing is left of what a test did."""
    d = _flooded
    if not d.alive():
        d.start()
    before = calm(d)
    yield d
    assert d.alive(), d.log()[-4000:]
    end = time.monotonic() + WAIT * 4
    while (after := state(d)) != before and time.monotonic() < end:
        time.sleep(0.05)
    assert after == before


@pytest.fixture
def watch(daemon):
    """Somebody else, who chats with a friend before, while and after: floods are none of their business."""
    room = mark("calm")
    ada, bob = daemon.join(room, "calm-ada"), daemon.join(room, "calm-bob")

    class Watch:
        def look(self):
            text = mark("calm")
            ada.say(text, room=room)
            assert bob.expect("chat", timeout=WAIT * 2)["content"] == text

    w = Watch()
    w.look()
    yield w
    w.look()
    ada.drop()
    bob.drop()


def resident(d):
    return 0 if SANITIZED else d.rss()


def reset(sock):
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


# -- floods -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def narrow(tmp_path):
    """A daemon of its own that knows few topics."""
    d = Daemon(tmp_path, {"limits": {"topics": 3000}}).start()
    yield d
    d.stop()


def test_topic_flood(narrow):
    """More topics than limits.topics: refused by name, those that are there go on."""
    d, base = narrow, mark("flood")
    ada, bob = d.join("here", "ada"), d.join("here", "bob")
    headers = {**d.bearer(), "Content-Type": "application/json"}
    refused = 0
    with d.conn(timeout=WAIT * 4) as c:
        for i in range(times(10)):
            many = [{"topic": f"{base}/{i}-{j}", "message": "m"} for j in range(500)]
            r = c.request("POST", "/publish", headers, json.dumps(many))
            if r.status == 200:
                assert len(r.json()) == 500
            else:
                assert r.problem(429, "too_many")["limit"] == "limits.topics"
                assert r.header("Retry-After")
                refused += 1
        assert refused > 0
        assert metrics(d, c)["belfry_topics"] <= 3000
        c.request("POST", f"/publish/{base}/0-0", d.bearer(), "known").ok()
    ada.say("on", room="here")
    assert bob.expect("chat")["content"] == "on"
    # subscribing to what nobody knows is no way around
    ws = d.ws()
    for i in range(times(300)):
        ws.send({"type": "subscribe", "topic": f"{base}/s{i}", "ref": i})
    answers = [ws.recv(timeout=WAIT * 2) for _ in range(times(300))]
    assert {a["ref"] for a in answers} == set(range(times(300)))
    assert all(a["type"] == "error" and a["limit"] == "limits.topics" for a in answers), answers[0]
    assert metrics(d)["belfry_topics"] <= 3000


def test_room_flood(daemon, watch):
    """Many connections in as many rooms as each may have, and all of them lost at once."""
    d, base = daemon, mark("r")
    conns = [d.ws(sub=f"{base}-{i}") for i in range(times(20))]
    for i, ws in enumerate(conns):
        for j in range(60):
            ws.send({"type": "join", "room": f"{base}-{j}", "last": 0, "ref": j})
        if i % 5 == 0:
            watch.look()
    for ws in conns:
        got = [ws.expect("joined", timeout=WAIT * 4) for _ in range(50)]
        assert len({m["room"] for m in got}) == 50
        for _ in range(10):
            assert ws.expect("error", timeout=WAIT * 2)["limit"] == "limits.rooms_per_connection"
    watch.look()
    for ws in conns:
        reset(ws.conn.sock)


def test_join_and_leave_storm(daemon, watch):
    """A watcher of the room sees each user come and go in turn, and in the end who is there."""
    d, room = daemon, mark("storm")
    watcher = d.join(room, "watcher")
    conns = [d.ws(sub=f"{room}-{i}") for i in range(10)]
    for _ in range(times(40)):
        for ws in conns:
            ws.conn.send(b"".join(frame(TEXT, json.dumps({"type": kind, "room": room, "last": 0, "ref": 1})) for kind in ("join", "leave")))
    for ws in conns[:5]:
        ws.send({"type": "join", "room": room, "ref": "end"})
    for ws in conns:
        ws.sync()
    watch.look()
    watcher.sync()
    there = {}
    for m in watcher.take():
        if m["type"] in ("user_joined", "user_left"):
            user, comes = m["user"]["id"], m["type"] == "user_joined"
            assert there.get(user, False) != comes, m
            there[user] = comes
            assert m["count"] == 1 + sum(there.values()), m
        elif m["type"] == "members":  # its queue was full: it is told anew who is there
            there = {u["id"]: True for u in m["members"] if u["id"] != "watcher"}
    assert {u for u, is_in in there.items() if is_in} == {f"{room}-{i}" for i in range(5)}
    members = watcher.ok("members", "members", room=room)
    assert members["count"] == 6
    lost = time.monotonic()
    # and lost connections that come again within the grace are not told at all
    for ws in conns[:5]:
        reset(ws.conn.sock)
    again = [d.join(room, f"{room}-{i}") for i in range(5)]
    watcher.sync()
    if SLOW == 1 and time.monotonic() - lost < 0.5:
        assert watcher.take("user_left") == []
    for ws in (*conns[5:], *again, watcher):
        ws.drop()


def test_ping_flood_unread(daemon, watch):
    """Pings without end from one who reads nothing: no pile of pongs; a later ping is answered."""
    d = daemon
    ws = d.ws(path="/echo", token="", rcvbuf=4096)
    before = resident(d)
    block = frame(PING, b"p" * 125) * 400
    end = time.monotonic() + WAIT * 4
    with d.conn(timeout=WAIT * 4) as c:
        for i in range(times(60)):
            ws.conn.sock.settimeout(max(0.1, end - time.monotonic()))
            ws.conn.send(block)
            if i % 20 == 0:
                assert memory(d, c) < QUEUE + 4 * MIB // 16
                watch.look()
    assert resident(d) < before + 16 * MIB
    got, last = 0, b""
    ws.send_frame(PING, b"the last")
    ws.send_frame(BINARY, b"end")
    while True:
        f = ws.recv_frame(timeout=WAIT * 4)
        if f.opcode != PONG:
            assert f.payload == b"end"
            break
        got, last = got + 1, f.payload
        if got == 50:  # room again
            ws.send_frame(PING, b"later")
    assert got < 400 * times(60)
    while last != b"later":
        f = ws.recv_frame(timeout=WAIT)
        assert f.opcode == PONG
        last = f.payload
    ws.drop()


def test_requests_unread(daemon, watch):
    """Chat requests from one who reads none of the answers: reading pauses; all are answered when he reads."""
    d, room = daemon, mark("unread")
    ws = d.ws(sub="deaf", rcvbuf=4096)
    n = times(4000)
    data = b"".join(frame(TEXT, json.dumps({"type": "rooms", "ref": i})) for i in range(n))
    ws.conn.sock.setblocking(False)
    sent = 0
    quiet = time.monotonic()
    with d.conn(timeout=WAIT * 4) as c:
        while sent < len(data) and time.monotonic() - quiet < 0.5:
            try:
                sent += ws.conn.sock.send(data[sent : sent + 65536])
                quiet = time.monotonic()
            except BlockingIOError:
                time.sleep(0.02)
        assert memory(d, c) < QUEUE + MIB
    watch.look()
    ws.conn.sock.settimeout(WAIT)
    refs = []
    while len(refs) < n:
        if sent < len(data):
            ws.conn.sock.setblocking(False)
            try:
                sent += ws.conn.sock.send(data[sent : sent + 16384])
            except BlockingIOError:
                pass
        refs.append(ws.recv(timeout=WAIT * 2)["ref"])
    assert refs == list(range(n)), room
    ws.drop()


def test_slow_readers_by_the_hundred(daemon, watch):
    """They stop, the others' delivery goes on, memory is what it may be; each gets everything or is told of the gap."""
    d, base = daemon, mark("slow")
    n, count = times(300), 200
    topics = [base, f"few/{base}"]
    before = resident(d)
    slow = []
    for i in range(n):
        ws = d.ws(sub=f"slow-{i}", rcvbuf=4096)
        ws.send({"type": "subscribe", "topic": topics[i % 2], "ref": 0})
        slow.append(ws)
    for ws in slow:
        assert ws.expect("subscribed", timeout=WAIT * 4)
    good = [d.sse(topic=topics, sub=f"good-{i}") for i in range(3)]
    token = d.token("publisher")
    ids = {t: [] for t in topics}
    most = 0
    with d.conn(timeout=WAIT * 4) as c, d.conn(timeout=WAIT * 4) as m:
        for i in range(count):
            for t in topics:
                r = c.request("POST", f"/publish/{t}", {"Authorization": f"Bearer {token}"}, f"{i:04}" + "x" * 1500)
                ids[t].append(r.ok().json()["id"])
            if i % 20 == 0:
                most = max(most, memory(d, m))
                watch.look()
            if i % 5 == 4:
                for stream in good:
                    for _ in range(10):
                        stream.until("notification", timeout=WAIT * 4)
        last = metrics(d, m)
    # each had its queue until all of them had as much as limits.memory; one message fits an empty queue
    assert most <= MEMORY + n * 4096, most
    assert last["belfry_behind"] > 0.9 * n, last["belfry_behind"]
    assert last["belfry_fell_behind_total"] >= 0.9 * n
    assert resident(d) < before + 2 * MEMORY + 64 * MIB
    in_order = sorted(ids[topics[0]] + ids[topics[1]])
    for stream in good:
        got = [int(b.id) for b in stream.blocks if b.dispatched]
        assert got == in_order
        stream.close()
    for i, ws in enumerate(slow):
        wanted, got, gaps = ids[topics[i % 2]], [], 0
        while not got or got[-1] != wanted[-1]:
            m = ws.recv(timeout=WAIT * 6)
            if m["type"] == "gap":
                gaps += 1
                assert m["reason"] == "trimmed", m
            elif m["type"] == "notification":
                got.append(m["id"])
        if i % 2 == 0:
            assert got == wanted, f"reader {i} got {len(got)}, {gaps} gaps"
        else:
            assert gaps > 0 and got == [x for x in wanted if x in set(got)] and got[-10:] == wanted[-10:], f"reader {i}: {len(got)}, {gaps} gaps"
        ws.drop()


# -- broken connections -----------------------------------------------------------------------------------------------


def upgrade(d, c, path="/chat", **query):
    q = "&".join(f"{k}={v}" for k, v in query.items())
    c.send(build("GET", f"{path}?{q}", [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Version", "13"),
                                      ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), *d.bearer(sub=mark("b")).items()]))
    assert c.head(timeout=WAIT * 4).status == 101


def s_nothing(d, c, topic):
    pass


def s_half_a_head(d, c, topic):
    c.send(b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgr")


def s_half_a_handshake(d, c, topic):
    c.send(b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhl")


def s_upgraded(d, c, topic):
    upgrade(d, c, room=mark("b"))


def s_half_a_frame_head(d, c, topic):
    upgrade(d, c)
    c.send(b"\x81\xfe\x01")


def s_half_a_frame(d, c, topic):
    upgrade(d, c)
    c.send(frame(TEXT, b"x" * 30_000)[:20_000])


def s_half_a_message(d, c, topic):
    upgrade(d, c)
    c.send(frame(TEXT, b'{"type":', fin=False) + frame(CONT, b'"chat"', fin=False) + frame(PING, b"p"))


def s_a_request_unanswered(d, c, topic):
    upgrade(d, c, room=topic)
    c.send(b"".join(frame(TEXT, json.dumps({"type": "chat", "room": topic, "content": "x"})) for _ in range(5)))


def s_in_replay(d, c, topic):
    upgrade(d, c)
    c.send(frame(TEXT, json.dumps({"type": "subscribe", "topic": topic, "after": "all"})))
    c.exactly(2000, timeout=WAIT * 4)


def s_close_sent(d, c, topic):
    upgrade(d, c)
    c.send(frame(CLOSE, b"\x03\xe8")[:5])


def s_close_by_violation(d, c, topic):
    upgrade(d, c)
    c.send(b"\x83\x80abcd")


def s_echo_unread(d, c, topic):
    upgrade(d, c, "/echo")
    c.sock.setblocking(False)
    data, sent = frame(BINARY, b"e" * 60_000), 0
    try:
        for _ in range(40):
            while sent < len(data):
                sent += c.sock.send(data[sent:])
            sent = 0
    except BlockingIOError:
        pass
    c.sock.settimeout(WAIT)


def s_stream(d, c, topic):
    c.send(build("GET", f"/events?topic={mark('quiet')}", {**d.bearer(), "Accept": "text/event-stream"}))
    assert c.head(timeout=WAIT * 4).status == 200


def s_stream_in_replay(d, c, topic):
    c.send(build("GET", f"/events?topic={topic}&after=all", {**d.bearer(), "Accept": "text/event-stream"}))
    assert c.head(timeout=WAIT * 4).status == 200
    c.exactly(2000)


def s_chat_stream(d, c, topic):
    c.send(build("GET", f"/chat?room={mark('b')}", {**d.bearer(sub=mark("b")), "Accept": "text/event-stream"}))
    assert c.head(timeout=WAIT * 4).status == 200


def s_half_a_body(d, c, topic):
    c.send(build("POST", f"/publish/{topic}", [*d.bearer().items(), ("Content-Length", "50000")]) + b"b" * 20_000)


def s_half_a_chunk(d, c, topic):
    c.send(build("POST", f"/publish/{topic}", [*d.bearer().items(), ("Transfer-Encoding", "chunked")]) + b"5000\r\n" + b"c" * 9000)


def s_body_expected(d, c, topic):
    c.send(build("POST", f"/publish/{topic}", [*d.bearer().items(), ("Content-Length", "5"), ("Expect", "100-continue")]))
    c.until(b"100 Continue\r\n\r\n", timeout=WAIT * 4)


def s_answer_queued(d, c, topic):
    c.send(build("GET", "/big.bin") * 2)
    c.exactly(1000, timeout=WAIT * 4)


def s_answers_queued(d, c, topic):
    c.sock.settimeout(WAIT)
    try:
        c.sock.setblocking(False)
        c.sock.send(build("GET", f"/history?topic={topic}&limit=100", d.bearer()) * 100)
    except BlockingIOError:
        pass


STATES = [f for name, f in sorted(globals().items()) if name.startswith("s_")]


@pytest.fixture
def stored(daemon):
    """A topic with half a megabyte in it."""
    topic = mark("stored")
    daemon.publish_many(topic, [f"{i:03}" + "s" * 4000 for i in range(130)])
    return topic


@pytest.mark.parametrize("how", ["closed", "reset", "half-closed"])
def test_broken_in_every_state(daemon, watch, stored, how):
    """Descriptors, subscriptions, memory: the fixtures compare what is left of them."""
    d, conns = daemon, []
    for _ in range(times(2)):
        for reach in STATES:
            c = d.conn(rcvbuf=4096, timeout=WAIT * 2)
            reach(d, c, stored)
            conns.append(c)
    watch.look()
    if how == "half-closed":
        for c in conns:
            c.half_close()
        # its answers, or what there is: the daemon ends each by itself, the slowest when it is read
        for c in conns:
            c.sock.settimeout(WAIT * 2)
            try:
                while c.sock.recv(MIB):
                    pass
            except ConnectionResetError:
                pass
            c.close()
        return
    for c in conns:
        if how == "reset":
            reset(c.sock)
        else:
            c.close()


def test_behind_and_gone(daemon, watch):
    """Readers that fell behind, reset, closed and half closed while they are."""
    d, topic = daemon, mark("behind")
    token = d.token("publisher")
    conns = []
    for i in range(times(30)):
        c = d.conn(rcvbuf=4096)
        if i % 2:
            upgrade(d, c)
            c.send(frame(TEXT, json.dumps({"type": "subscribe", "topic": topic})))
        else:
            c.send(build("GET", f"/events?topic={topic}", {**d.bearer(), "Accept": "text/event-stream"}))
            c.head(timeout=WAIT * 4)
        conns.append(c)
    with d.conn(timeout=WAIT * 4) as c:
        end = time.monotonic() + WAIT * 4
        while metrics(d, c)["belfry_behind"] < len(conns) * 0.9:
            assert time.monotonic() < end
            for _ in range(20):
                c.request("POST", f"/publish/{topic}", {"Authorization": f"Bearer {token}"}, "x" * 8000).ok()
    watch.look()
    for i, c in enumerate(conns):
        if i % 3 == 0:
            reset(c.sock)
        elif i % 3 == 1:
            c.close()
        else:
            c.half_close()
            reset(c.sock)


def test_connect_and_close(daemon, watch):
    d = daemon
    for i in range(times(1500)):
        s = socket.create_connection(d.address, WAIT)
        if i % 3 == 0:
            s.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        if i % 2 == 0:
            reset(s)
        else:
            s.close()
        if i % 500 == 0:
            watch.look()


# -- HTTP -------------------------------------------------------------------------------------------------------------


def test_ten_thousand_requests_in_one_write(daemon, watch):
    """Nobody reads at first: the answers are bounded, so reading pauses; then all come, in order."""
    d, n = daemon, 10_000
    c = d.conn(rcvbuf=65536)
    data = b"".join(f"GET /none/{i:05} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() for i in range(n))
    before = resident(d)
    sent = 0
    c.sock.setblocking(False)
    quiet = time.monotonic()
    with d.conn(timeout=WAIT * 4) as m:
        while sent < len(data) and time.monotonic() - quiet < 0.5:
            try:
                sent += c.sock.send(data[sent:])
                quiet = time.monotonic()
            except BlockingIOError:
                time.sleep(0.02)
        # the queue, and what is read ahead of the answers
        assert memory(d, m) < QUEUE + 512 * 1024
    assert resident(d) < before + 16 * MIB
    watch.look()
    got, end = bytearray(), time.monotonic() + WAIT * 6
    found = 0
    while found < n:
        assert time.monotonic() < end, f"{found} answers"
        if sent < len(data):
            try:
                sent += c.sock.send(data[sent:])
            except BlockingIOError:
                pass
        try:
            more = c.sock.recv(MIB)
        except BlockingIOError:
            time.sleep(0.005)
            continue
        assert more, f"ended after {found}"
        got += more
        cut = 0
        for m in re.finditer(rb"/none/([0-9]{5})'", got):
            assert int(m[1]) == found
            found += 1
            cut = m.end()
        del got[:cut]
    c.close()


def test_keep_alive_abuse(daemon, watch):
    """One connection for ever, of every kind of request; each answer is the one that was asked for."""
    d, topic = daemon, mark("ka")
    bearer = d.bearer()
    with d.conn(timeout=WAIT * 4) as c:
        for i in range(times(300)):
            assert c.request("HEAD", "/healthz", {"Keep-Alive": "timeout=99999999999999999999, max=-1"}).status == 200
            assert c.request("GET", f"/none/{i}").json()["detail"].endswith(f"/none/{i}'")
            c.request("POST", f"/publish/{topic}", {**bearer, "Content-Type": "application/json"}, "{").problem(400, "bad_json")
            assert c.request("POST", f"/publish/{topic}", bearer, f"m{i}").ok().json()["topic"] == topic
            c.request("OPTIONS", "/publish").ok(204)
            c.send(b"\r\n")
        answer = c.request("GET", f"/history?topic={topic}&limit=1000", bearer).ok().json()
        assert [m["message"] for m in answer["messages"]] == [f"m{i}" for i in range(times(300))][-1000:]


def test_slow_heads_and_idlers(tmp_path):
    """Those who send a byte now and then, and those who send nothing, are cut; the others never notice."""
    d = Daemon(tmp_path, {"limits": {"request_timeout": "1s", "idle_timeout": "1s"}, "workers": 1}).start()
    try:
        before = calm(d)
        slow = [d.conn(timeout=WAIT * 4) for _ in range(times(100))]
        text = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"z" * 1000
        end = time.monotonic() + WAIT * 4
        open_ones = list(slow)
        at = 0
        while open_ones and time.monotonic() < end:
            for i, c in enumerate(list(open_ones)):
                try:
                    if i % 3:
                        c.send(text[at : at + 1])
                    c.sock.setblocking(False)
                    if c.sock.recv(65536) == b"":
                        open_ones.remove(c)
                except BlockingIOError:
                    c.sock.settimeout(WAIT)
                except OSError:
                    open_ones.remove(c)
            at += 1
            d.http("GET", "/healthz").ok()
            time.sleep(0.1)
        assert not open_ones
        for c in slow:
            c.close()
        end = time.monotonic() + WAIT * 2
        while (after := state(d)) != before and time.monotonic() < end:
            time.sleep(0.05)
        assert after == before
    finally:
        d.stop()
