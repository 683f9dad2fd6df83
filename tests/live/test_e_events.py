"""Server-Sent Events: the stream's form, resuming, gaps, what programs publish."""

import json
import threading
import time

import pytest
from support import SLOW, WAIT
from support.daemon import mark
from support.rawclient import build

CONF = {
    "topics": (
        {"match": "server/**", "history": 0},
        {"match": "live/**", "history": 0},
        {"match": "short/**", "history": 5},
        {"match": "chat/*", "history": 10000, "presence": True},
        {"match": "**", "history": 1000},
    ),
    "events": {"keepalive": "1s", "retry": "2s"},
}


def got(stream, n, skip=()):
    return [stream.next(skip=skip) for _ in range(n)]


def eids(events):
    return [int(e.id) for e in events]


# -- the stream -----------------------------------------------------------------------------------------------------------


def test_head_and_start(daemons, topic):
    s = daemons.sse(topic=topic)
    r = s.response
    assert r.header("Content-Type").replace(" ", "").lower() in ("text/event-stream", "text/event-stream;charset=utf-8")
    assert r.header("Cache-Control").replace(" ", "") == "no-cache,no-transform"
    assert r.header("X-Accel-Buffering") == "no"
    assert r.header("X-Request-Id")
    first = s.block()
    blocks = [first]
    while not any(b.retry is not None for b in blocks) or not any(b.comments for b in blocks):
        blocks.append(s.block())
        assert len(blocks) < 4
    retry = next(b.retry for b in blocks if b.retry is not None)
    assert 500 <= retry <= 8000, retry
    assert not any(b.dispatched for b in blocks)


def test_retry_is_jittered(daemons):
    retries = set()
    for _ in range(8):
        s = daemons.sse(topic="x")
        while not any(b.retry is not None for b in s.blocks):
            s.block()
        retries.add(next(b.retry for b in s.blocks if b.retry is not None))
        s.close()
    assert len(retries) > 3, retries


def test_any_accept(daemons, topic):
    """curl says */*, some say nothing."""
    for accept in ("*/*", None, "text/event-stream, */*;q=0.1"):
        s = daemons.sse(topic=topic, accept=accept)
        assert s.response.header("Content-Type").startswith("text/event-stream")
        s.close()


def test_notification(daemons, topic):
    s = daemons.sse(topic=topic)
    s.block()
    ack = daemons.publish(topic, title="T", message="M", priority=5, tags=["a"], click="https://example.org/x", data=[1])
    ev = s.next()
    assert ev.event == "notification" and ev.id == str(ack["id"])
    doc = ev.json()
    assert abs(doc.pop("timestamp") - time.time()) < 60
    sender = doc.pop("from", None)
    assert sender is None or sender["id"] == "publisher", sender
    assert doc == {"id": ack["id"], "topic": topic, "title": "T", "message": "M", "priority": 5, "tags": ["a"],
                   "click": "https://example.org/x", "data": [1]}


def test_curl_line(daemons):
    """The README's: POST a line of text, see it arrive."""
    s = daemons.sse(topic="ops/backup")
    s.block()
    daemons.publish("ops/backup", "Backup done", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert s.next().json()["message"] == "Backup done"


def test_named_event(daemons, topic):
    s = daemons.sse(topic=topic)
    s.block()
    daemons.publish(topic, event="deploy", message="v1")
    ev = s.next()
    assert ev.event == "deploy" and ev.json()["message"] == "v1"


@pytest.mark.parametrize("data, want", [
    ("plain words", "plain words"), ("two\nlines", "two\nlines"), ("crlf\r\nhere", "crlf\nhere"), ("cr\rhere", "cr\nhere"), ("", ""),
    ("end\n", "end\n"), ("\nstart", "\nstart"), (" leading space", " leading space"), ("id: 5\n\nevent: x", "id: 5\n\nevent: x"), ("κόσμε", "κόσμε"),
    ({"usd": 5.25}, None), ([1, 2], None), (5, None), (True, None),
])
def test_plain_data(daemons, topic, data, want):
    """data alone: as it is, event `message` unless named; a string line by line, anything else as its JSON."""
    s = daemons.sse(topic=topic)
    s.block()
    for event in (None, "price"):
        members = {"event": event} if event else {}
        ack = daemons.publish(topic, data=data, **members)
        ev = s.next()
        assert ev.name == (event or "message") and ev.id == str(ack["id"])
        if want is None:
            assert ev.json() == data
            assert len([x for x in ev.lines if x.startswith("data")]) == 1
        else:
            assert ev.data == want


def test_plain_data_over_websocket(daemons, topic):
    ws = daemons.ws()
    ws.ok("subscribe", "subscribed", topic=topic)
    ack = daemons.publish(topic, data="a\nb")
    m = ws.expect("event")
    assert {k: m[k] for k in ("type", "id", "topic", "event", "data")} == {
        "type": "event", "id": ack["id"], "topic": topic, "event": "message", "data": "a\nb"}


def test_null_data_is_absent(daemons, topic):
    r = daemons.http("POST", f"/publish/{topic}", {"Content-Type": "application/json"}, '{"data":null}', token=daemons.token())
    r.problem(400, "bad_field")


@pytest.mark.parametrize("event", ["gap", "denied", "closing", "expiring", "expired", "error", "open", "user", "problem", "heartbeat"])
def test_reserved_names(daemons, topic, event):
    r = daemons.http("POST", f"/publish/{topic}", {"Content-Type": "application/json"},
                     json.dumps({"event": event, "message": "x"}), token=daemons.token())
    r.problem(400, "bad_field")
    daemons.http("POST", f"/publish/{topic}", {"Event": event}, "x", token=daemons.token()).problem(400, "bad_field")


@pytest.mark.parametrize("event", ["a\nb", "a\rb", "a\u0000b", "a\x1fb", 5, ["x"]])
def test_event_names_cannot_inject(daemons, topic, event):
    r = daemons.http("POST", f"/publish/{topic}", {"Content-Type": "application/json"},
                     json.dumps({"event": event, "message": "x"}), token=daemons.token())
    assert r.status == 400, r


def test_text_injects_nothing(daemons, topic):
    s = daemons.sse(topic=topic)
    s.block()
    message = "x\n\nevent: evil\ndata: y\n\nid: 5\r\rretry: 1\n:"
    daemons.publish(topic, message)
    ev = s.next()
    assert ev.event == "notification" and ev.json()["message"] == message and ev.retry is None


def test_several_topics_and_patterns(daemons):
    a, b, c = mark("a"), mark("b"), mark("c")
    s = daemons.sse(topic=[a, f"{b}/*", f"{c}/**"])
    s.block()
    want = []
    for t, good in ((a, 1), (f"{a}/x", 0), (f"{b}/x", 1), (b, 0), (f"{b}/x/y", 0), (f"{c}/x/y", 1), (c, 0), (f"{c}/z", 1)):
        i = daemons.publish(t, t)["id"]
        if good:
            want.append(i)
    assert eids(got(s, len(want))) == want


def test_default_topics(daemons):
    me = mark("me")
    token = daemons.token(me, subscribe=["notifications", "user/{sub}"], publish=["**", "user/{sub}"])
    s = daemons.sse(token=token)
    s.block()
    one = daemons.publish("notifications", "all", token=token)["id"]
    two = daemons.publish(f"user/{me}", "you", token=token)["id"]
    assert eids(got(s, 2)) == [one, two]


def test_chat_on_events(daemons, room):
    """On /events a chat message is `event: chat` with its JSON."""
    s = daemons.sse(topic=f"chat/{room}")
    s.block()
    ws = daemons.join(room, sub="ada", name="Ada")
    ack = ws.say("hello")
    ev = s.until("chat")
    doc = ev.json()
    assert ev.id == str(ack["id"])
    assert (doc["id"], doc["room"], doc["content"], doc["from"]) == (ack["id"], room, "hello", {"id": "ada", "name": "Ada"})


def test_ephemeral_has_no_id_line(daemons):
    topic = mark("live/x")
    s = daemons.sse(topic=topic)
    s.block()
    daemons.publish(topic, "now")
    ev = s.next()
    assert ev.id is None and not any(x.startswith("id") for x in ev.lines)
    assert "id" not in ev.json()


def test_once_however_many_topics_match(daemons):
    t = mark("x")
    s = daemons.sse(topic=[t, "**", "*"])
    s.block()
    one = daemons.publish(t, "1")["id"]
    two = daemons.publish(t, "2")["id"]
    seen = []
    while two not in seen:
        ev = s.next()
        if ev.json().get("topic") == t:
            seen.append(int(ev.id))
    assert seen == [one, two]


def test_keepalive_comment(daemons, topic):
    s = daemons.sse(topic=topic)
    end = time.monotonic() + WAIT
    comments = 0
    while comments < 3:
        b = s.block(max(0, end - time.monotonic()))
        assert not b.dispatched
        comments += bool(b.comments)


def test_heartbeat(daemons, topic):
    s = daemons.sse(topic=topic, heartbeat="1")
    for _ in range(2):
        ev = s.next()
        assert ev.name == "heartbeat" and ev.data == "ping" and ev.id is None


def test_bare_id_keeps_the_cursor_fresh(daemons, topic):
    """When level, a bare id block keeps the cursor of quiet topics fresh: it dispatches nothing, and can be resumed from."""
    first = daemons.publish(topic, "x")["id"]
    s = daemons.sse(topic=topic, last=1)
    s.next()
    daemons.publish(mark("other"), "y")
    end = time.monotonic() + 4 * SLOW
    bare = [b for b in s.blocks if b.id and not b.dispatched]
    while not bare and time.monotonic() < end:
        b = s.block(5)
        if b.id and not b.dispatched:
            bare.append(b)
    for b in bare:  # at most once a minute, so perhaps not yet
        assert b.id.isdigit() and int(b.id) >= first
        assert daemons.sse(topic=topic, **{"after": b.id}).block() is not None


# -- last, resume ------------------------------------------------------------------------------------------------------------


def test_last(daemons, topic):
    want = daemons.publish_many(topic, [str(i) for i in range(6)])
    assert eids(got(daemons.sse(topic=topic, last=4), 4)) == want[2:]
    s = daemons.sse(topic=topic)
    end = daemons.publish(topic, "end")["id"]
    assert int(s.next().id) == end, "last defaults to 0"


def test_last_counts_over_the_whole_stream(daemons):
    a, b = mark("a"), mark("b")
    want = [daemons.publish(t, "x")["id"] for t in (a, b, a, b, a)]
    assert eids(got(daemons.sse(topic=[a, b], last=3), 3)) == want[2:]


def test_last_bad(daemons, topic):
    daemons.sse(topic=topic, last=-1, refuse=True).problem(400, "bad_field")
    daemons.sse(topic=topic, last="x", refuse=True).problem(400, "bad_field")
    daemons.sse(topic=topic, last=100000).close()


SPELLINGS = {
    "header": lambda i: ({"Last-Event-ID": str(i)}, {}),
    "last_event_id": lambda i: ({}, {"last_event_id": str(i)}),
    "lastEventID": lambda i: ({}, {"lastEventID": str(i)}),
    "after": lambda i: ({}, {"after": str(i)}),
}


@pytest.mark.parametrize("how", SPELLINGS)
def test_resume(daemons, topic, how):
    want = daemons.publish_many(topic, [str(i) for i in range(6)])
    headers, query = SPELLINGS[how](want[2])
    s = daemons.sse(topic=topic, headers=headers, **query)
    assert eids(got(s, 3)) == want[3:]
    live = daemons.publish(topic, "live")["id"]
    ev = s.next()
    assert (ev.name, int(ev.id)) == ("notification", live), "no gap, nothing twice"


def test_resume_merges_topics_in_order(daemons):
    a, b = mark("a"), mark("b")
    want = [daemons.publish((a, b)[i % 2], str(i))["id"] for i in range(8)]
    assert eids(got(daemons.sse(topic=[a, b], after=want[1]), 6)) == want[2:]


def test_precedence(daemons, topic):
    """The first that is there counts, readable or not; `last` only without any."""
    want = daemons.publish_many(topic, [str(i) for i in range(6)])
    s = daemons.sse(topic=topic, headers={"Last-Event-ID": str(want[4])}, last_event_id=want[0], after=want[1], last=6)
    assert eids(got(s, 1)) == want[5:]
    s = daemons.sse(topic=topic, last_event_id=want[4], after=want[1], last=6)
    assert eids(got(s, 1)) == want[5:]
    s = daemons.sse(topic=topic, after=want[3], last=6)
    assert eids(got(s, 2)) == want[4:]
    s = daemons.sse(topic=topic, headers={"Last-Event-ID": "nonsense"}, after=want[0])
    ev = s.next()
    assert ev.name == "gap" and ev.json()["reason"] == "unreadable"
    live = daemons.publish(topic, "live")["id"]
    assert int(s.next().id) == live


def test_empty_last_event_id_is_none(daemons, topic):
    want = daemons.publish_many(topic, [str(i) for i in range(3)])
    s = daemons.sse(topic=topic, headers={"Last-Event-ID": ""}, last=2)
    assert eids(got(s, 2)) == want[1:]


def test_resume_at_the_end(daemons, topic):
    want = daemons.publish_many(topic, ["a", "b"])
    s = daemons.sse(topic=topic, headers={"Last-Event-ID": str(want[-1])})
    live = daemons.publish(topic, "live")["id"]
    ev = s.next()
    assert (ev.name, int(ev.id)) == ("notification", live)


@pytest.mark.parametrize("after", ["all", "10m", "1h"])
def test_questions(daemons, topic, after):
    want = daemons.publish_many(topic, ["a", "b"])
    s = daemons.sse(topic=topic, after=after)
    assert eids(got(s, 2)) == want


# -- gap ----------------------------------------------------------------------------------------------------------------------


def test_gap_trimmed(daemons):
    """200, one gap with the highest trimmed id, then all the log has; resuming from the gap's id tells it no more."""
    topic = mark("short/x")
    want = daemons.publish_many(topic, [str(i) for i in range(10)])
    s = daemons.sse(topic=topic, headers={"Last-Event-ID": str(want[0])})
    ev = s.next()
    assert ev.name == "gap"
    doc = ev.json()
    assert (doc["after"], doc["oldest"], doc["reason"]) == (want[0], want[5], "trimmed")
    assert int(ev.id) == want[4], "the highest trimmed id"
    assert eids(got(s, 5)) == want[5:]
    again = daemons.sse(topic=topic, headers={"Last-Event-ID": ev.id})
    assert eids(got(again, 5)) == want[5:]


@pytest.mark.parametrize("position", ["0", "1", "5000", str(2 ** 53 - 1)])
def test_gap_outside(daemons, topic, position):
    want = daemons.publish_many(topic, ["a", "b"])
    s = daemons.sse(topic=topic, headers={"Last-Event-ID": position})
    ev = s.next()
    doc = ev.json()
    assert ev.name == "gap" and doc["reason"] == "outside" and doc["after"] == int(position)
    assert doc["oldest"] == want[0]
    assert ev.id and ev.id.isdigit()
    assert eids(got(s, 2)) == want
    again = daemons.sse(topic=topic, headers={"Last-Event-ID": ev.id})
    live = daemons.publish(topic, "live")["id"]
    seen = []
    while live not in seen:
        e = again.next()
        assert e.name != "gap", "told twice"
        seen.append(int(e.id))


@pytest.mark.parametrize("position", ["nonsense", "-1", "1.5", "12 34", "0x10", "9" * 30, "%00", "é"])
def test_gap_unreadable(daemons, topic, position):
    """An EventSource gives up for ever on anything but 200: so 200, a gap, then what is live."""
    daemons.publish_many(topic, ["a", "b"])
    s = daemons.sse(topic=topic, headers={"Last-Event-ID": position})
    ev = s.next()
    doc = ev.json()
    assert ev.name == "gap" and doc["reason"] in (("unreadable", "outside") if position == "9" * 30 else ("unreadable",))
    if doc["reason"] == "outside":
        return
    assert doc["after"] is None
    assert ev.id and ev.id.isdigit()
    live = daemons.publish(topic, "live")["id"]
    assert int(s.next().id) == live
    again = daemons.sse(topic=topic, headers={"Last-Event-ID": ev.id})
    e = again.next()
    assert (e.name, int(e.id)) == ("notification", live), "told twice, or lost"


def test_one_gap_a_stream(daemons):
    a, b = mark("short/a"), mark("short/b")
    ia = daemons.publish_many(a, [str(i) for i in range(9)])
    ib = daemons.publish_many(b, [str(i) for i in range(9)])
    s = daemons.sse(topic=[a, b], headers={"Last-Event-ID": str(ia[0])})
    events = got(s, 11)
    gaps = [e for e in events if e.name == "gap"]
    assert len(gaps) == 1
    rest = [e for e in events if e.name != "gap"]
    assert eids(rest) == ia[4:] + ib[4:]


def test_gap_stands_in_the_merge(daemons):
    """At its id: a cut right after it loses nothing older of another topic."""
    t, u = mark("short/t"), mark("full/u")
    i0 = daemons.publish(t, "0")["id"]
    u_ids, t_ids = [], []
    for i in range(1, 11):
        u_ids.append(daemons.publish(u, f"u{i}")["id"])
        t_ids.append(daemons.publish(t, f"t{i}")["id"])
    s = daemons.sse(topic=[t, u], headers={"Last-Event-ID": str(i0)})
    want = sorted(u_ids + t_ids[-5:])
    events, at = [], None
    while len([e for e in events if e.name != "gap"]) < len(want):
        e = s.next()
        events.append(e)
        if e.name == "gap":
            at = len(events) - 1
    assert eids([e for e in events if e.name != "gap"]) == want
    gap = events[at]
    before = [int(e.id) for e in events[:at]]
    assert all(i <= int(gap.id) for i in before) and all(int(e.id) > int(gap.id) for e in events[at + 1:])
    again = daemons.sse(topic=[t, u], headers={"Last-Event-ID": gap.id})
    rest = [i for i in want if i > int(gap.id)]
    assert eids(got(again, len(rest))) == rest


# -- permission ----------------------------------------------------------------------------------------------------------------


def test_denied(daemons, topic):
    """A topic the token may not read does not fail the others."""
    token = daemons.token("a", subscribe=[topic])
    s = daemons.sse(token=token, topic=[topic, "secret/x"])
    ev = s.until("denied")
    assert ev.json()["topic"] == "secret/x"
    one = daemons.publish(topic, "x")["id"]
    assert int(s.next().id) == one


def test_denied_all(daemons):
    r = daemons.sse(token=daemons.token("a", subscribe=["x"]), topic=["y", "z"], refuse=True)
    doc = r.problem(403, "insufficient_scope")
    assert "belfry.subscribe" in doc["detail"], doc


def test_unauthorized(daemons, topic):
    r = daemons.sse(token="", topic=topic, refuse=True)
    r.problem(401, "unauthorized")
    assert r.header("WWW-Authenticate").startswith('Bearer realm="belfry"')


@pytest.mark.parametrize("bad", ["", "a//b", "/a", "a/", "a/**/b", "x" * 201, "/".join("abcdefghi"), "a\nb", "a\x7fb"])
def test_bad_topic(daemons, bad):
    daemons.sse(topic=[bad], refuse=True).problem(400, "bad_field")


def test_topics_per_stream(start):
    d = start({"limits": {"topics_per_stream": 4}})
    d.sse(topic=list("abcd")).close()
    r = d.sse(topic=list("abcde"), refuse=True)
    doc = json.loads(r.body)
    assert r.status in (400, 429) and doc["limit"] == "limits.topics_per_stream", r


def test_connection_limit_is_closing(start, topic):
    """A stream that should come back later: 200, event closing with reason, limit and retry, and the end."""
    d = start({"limits": {"connections_per_user": 1}})
    keep = d.sse(topic=topic)
    keep.block()
    s = d.sse(topic=topic)
    ev = s.until("closing")
    doc = ev.json()
    assert doc["reason"] and doc["limit"] == "limits.connections_per_user"
    assert any(b.retry is not None for b in s.blocks), s.blocks
    while s.block() is not None:
        pass


# -- other forms ----------------------------------------------------------------------------------------------------------------


def test_ndjson(daemons, topic):
    want = daemons.publish_many(topic, ["a", "b"])
    s = daemons.sse(topic=topic, last=2, accept="application/x-ndjson")
    assert s.response.header("Content-Type").startswith("application/x-ndjson")
    lines = [s.lines(), s.lines()]
    assert [x["id"] for x in lines] == want and [x["message"] for x in lines] == ["a", "b"]
    live = daemons.publish(topic, "c")["id"]
    while True:
        x = s.lines()
        if x.get("id") == live:
            break


def test_ndjson_gap(daemons):
    topic = mark("short/x")
    want = daemons.publish_many(topic, [str(i) for i in range(9)])
    s = daemons.sse(topic=topic, after=want[0], wait=0, accept="application/x-ndjson")
    out = []
    while (x := s.lines()) is not None:
        out.append(x)
    assert out[0]["type"] == "gap" and out[0]["reason"] == "trimmed"
    assert [x["id"] for x in out[1:]] == want[4:]


def test_wait_0(daemons, topic):
    """Sends what is stored and ends."""
    want = daemons.publish_many(topic, ["a", "b", "c"])
    for query, n in (({"after": "all"}, 3), ({"last": 2}, 2), ({"after": want[0]}, 2), ({}, 0)):
        s = daemons.sse(topic=topic, wait=0, **query)
        assert eids([e for e in s.end() if e.id]) == want[3 - n:]
    s = daemons.sse(topic=topic, wait=0, after="all", accept="application/x-ndjson")
    out = []
    while (x := s.lines()) is not None:
        out.append(x["id"])
    assert out == want


def test_wait_0_is_a_whole_answer(daemons, topic):
    daemons.publish(topic, "a")
    r = daemons.http("GET", f"/events?topic={topic}&wait=0&after=all", token=daemons.token()).ok()
    assert r.body.endswith(b"\n\n") and r.body.count(b"data: ") == 1
    assert r.all("Content-Length") or r.all("Transfer-Encoding") or r.header("Connection") == "close"


def test_head(daemons, topic):
    """HEAD answers the head and is done."""
    r = daemons.http("HEAD", f"/events?topic={topic}", token=daemons.token())
    assert r.status in (200, 405), r


# -- many, slow, large ------------------------------------------------------------------------------------------------------------


def test_live_in_order(daemons, topic):
    streams = [daemons.sse(topic=topic) for _ in range(6)]
    for s in streams:
        s.block()
    want = daemons.publish_many(topic, [str(i) for i in range(200)])
    for s in streams:
        assert eids(got(s, 200)) == want


def test_resume_while_publishing(daemons, topic):
    """Cut and resumed again and again while others publish: everything once, in order."""
    stop = threading.Event()
    sent = []

    def talk():
        with daemons.conn() as c:
            token = daemons.token("p")
            while not stop.is_set() and len(sent) < 900:
                sent.append(c.request("POST", f"/publish/{topic}", daemons.bearer(token), str(len(sent))).json()["id"])

    first = daemons.publish(topic, "first")["id"]
    t = threading.Thread(target=talk)
    t.start()
    seen, last = [], first
    try:
        for _ in range(25):
            s = daemons.sse(topic=topic, headers={"Last-Event-ID": str(last)})
            for _ in range(7):
                ev = s.next(timeout=2 * SLOW) if not stop.is_set() else None
                assert ev.name == "notification", ev
                seen.append(int(ev.id))
                last = seen[-1]
            s.close()
    finally:
        stop.set()
        t.join()
    s = daemons.sse(topic=topic, headers={"Last-Event-ID": str(last)}, wait=0)
    seen += [int(e.id) for e in s.end() if e.name == "notification"]
    assert seen == sent


def test_slow_reader(daemons, topic):
    """Bounded memory for who does not read; then everything in order."""
    slow = daemons.sse(topic=topic, rcvbuf=4096)
    slow.block()
    pad = "x" * 15000
    want = daemons.publish_many(topic, [f"{i} {pad}" for i in range(400)])
    assert eids(got(slow, 400)) == want


def test_slow_reader_gap(start):
    """What was trimmed meanwhile is told by a gap; the rest comes in order."""
    d = start({"topics": ({"match": "short/**", "history": 20}, {"match": "**", "history": 1000})})
    topic = mark("short/x")
    slow = d.sse(topic=topic, rcvbuf=4096)
    slow.block()
    want = d.publish_many(topic, [f"{i} " + "x" * 15000 for i in range(400)])
    seen, hole, gap = [], None, None
    while not seen or seen[-1] != want[-1]:
        e = slow.next()
        if e.name == "gap":
            assert hole is None, "two gaps"
            hole, gap = len(seen), e
        else:
            seen.append(int(e.id))
    assert hole is not None
    assert seen == want[:hole] + want[len(want) - (len(seen) - hole):]
    assert gap.json()["reason"] == "trimmed" and int(gap.id) in want and int(gap.id) < seen[hole]


def test_pipelined_after_stream(daemons, topic):
    """Bytes behind a stream's request are not answered into it."""
    with daemons.conn() as c:
        c.send(build("GET", f"/events?topic={topic}", daemons.bearer()) + build("GET", "/healthz"))
        r = c.head()
        assert r.header("Content-Type").startswith("text/event-stream")
        daemons.publish(topic, "hello")
        body = c.until(b"hello")
        assert b"HTTP/1.1" not in body


def test_client_half_close(daemons, topic):
    """A client that shuts its sending side down may be ended, but nothing breaks."""
    s = daemons.sse(topic=topic)
    s.block()
    s.conn.half_close()
    daemons.publish(topic, "x")
    assert daemons.http("GET", "/healthz").status == 200


def test_unicode_and_encoded_topics(daemons):
    t = mark("tür ä+b%c&d=e?f#g")
    s = daemons.sse(topic=t)
    s.block()
    ack = daemons.publish(t, "x")
    assert ack["topic"] == t
    assert s.next().json()["topic"] == t
