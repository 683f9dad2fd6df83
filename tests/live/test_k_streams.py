"""Event streams as a browser reads them, sentence by sentence of docs/wire.md."""

import http.client
import json
import re
import time
import urllib.parse

import pytest

from support.daemon import mark
from support.eventsource import interpret
from support.rawclient import build
from test_k_tokens import each

CONF = {"cors": {"allow_origins": ["https://ok.example"]}, "events": {"topics": ["notifications", "user/{sub}"], "retry": "2s"},
        "topics": ({"match": "server/**", "history": 0}, {"match": "fleeting/**", "history": 0}, {"match": "few/**", "history": 3}, {"match": "chat/*", "history": 100, "presence": True},
                   {"match": "**", "history": 2000})}
JSON = {"Content-Type": "application/json"}


def read(d, topic, token=None, headers=(), path="/events", **query):
    """What is stored, by wait=0, read to the end as a browser would."""
    query = {"wait": 0, **query}
    if topic is not None:
        query["topic"] = topic
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    r = d.http("GET", path + "?" + urllib.parse.urlencode(query, doseq=True), pairs, token=token or d.token("rae"))
    r.ok()
    assert r.header("Content-Type") == "text/event-stream", r
    out = interpret(r.body)
    assert not out.cut and not out.fields, r.body
    out.response = r
    return out


def publish(d, topic, **members):
    return d.publish(topic, **members)["id"]


LINES = {"a": "a", "LF": "a\nb", "CR": "a\rb", "CRLF": "a\r\nb", "LF CR": "a\n\rb", "CR CR": "a\r\rb", "LF at the end": "a\n", "CR at the end": "a\r", "CRLF at the end": "a\r\n", "LF in front": "\na",
         "two LF": "a\n\nb", "a field": "x\nevent: gap\nid: 1\nretry: 1\ndata: y", "a field, CR": "x\rid: 1\r\revent: expired\rdata: {}\r\r", "a comment": ": x", "a comment below": "x\n: y", "a blank": " ", "a blank in front": " a",
         "two blanks": "  a", "data:": "data: a", "a colon": ":", "a BOM": "\ufeffa", "a BOM below": "x\n\ufeffdata: y", "U+2028": "a\u2028b", "U+2029": "a\u2029b", "NEL": "a\u0085b", "VT and FF": "a\x0bb\x0cc",
         "tab": "\ta", "emoji": "\U0001f514\U0001f9d1\u200d\U0001f680", "DEL": "a\x7fb", "escape": "\x1b[2J", "only LF": "\n", "retry": "retry: 1", "long": "x" * 25000, "lines": "\n".join("l%d" % i for i in range(900)),
         "JSON": '{"a":1}', "quotes": '"\'\\', "last id": "id", "null": "null", "a NUL": "a\0b"}


def browser(text):
    """What becomes of a string's lines on their way through data: fields."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def test_nothing_is_injected(daemon):
    """Whatever is published: as many events as messages, each with its own id and data."""
    topic = mark("inject")
    want = []
    for name, value in LINES.items():
        if name == "a NUL":  # no NUL in JSON that comes in
            daemon.http("POST", f"/publish/{topic}", JSON, json.dumps({"data": value}), token=daemon.token()).problem(400)
            continue
        bare = value.strip(" \t\n\r\x0b\x0c") == ""
        for members, event, data in (({"data": value}, "message", browser(value)), ({"data": value, "event": "odd"}, "odd", browser(value)), ({"data": {"v": value, value[:99]: [value]}}, "message", {"v": value, value[:99]: [value]}),
                                     ({"data": [value]}, "message", [value]), ({"message": value}, "notification", "message"), ({"message": "m", "title": value}, "notification", "title"),
                                     ({"message": "m", "data": {"v": value}}, "notification", "data")):
            if "data" in members and bare and isinstance(members["data"], str):
                r = daemon.http("POST", f"/publish/{topic}", JSON, json.dumps(members), token=daemon.token())
                if r.status == 400:
                    continue
                want.append((str(r.ok().json()["id"]), name, event, data, value))
                continue
            if "message" in members and bare and members["message"] == value:
                daemon.http("POST", f"/publish/{topic}", JSON, json.dumps(members), token=daemon.token()).problem(400)
                continue
            if "title" in members and (bare or len(value.encode()) > 1000):
                continue
            r = daemon.http("POST", f"/publish/{topic}", JSON, json.dumps(members), token=daemon.token())
            if r.status == 400 and "title" in members:  # a title is one line
                continue
            want.append((str(r.ok().json()["id"]), name, event, data, value))
    got = read(daemon, topic, after="all")
    assert len(got.events) == len(want)
    for (kind, data, last_id), (i, name, event, wanted, value) in zip(got.events, want):
        assert (kind, last_id) == (event, i), name
        if event == "notification":
            doc = json.loads(data)
            assert doc["id"] == int(i) and "type" not in doc and "event" not in doc, doc
            assert (doc[wanted] if wanted != "data" else doc["data"]["v"]) == value, (name, doc)
        else:
            assert (json.loads(data) if not isinstance(wanted, str) else data) == wanted, name
    # the same for one who is there: live, in one piece or split as TCP likes
    live = daemon.sse(topic=topic, after="all")
    assert [live.next().id for _ in want] == [w[0] for w in want]


def test_names_and_topics(daemon):
    t = daemon.token()

    def put(body):
        return daemon.http("POST", "/publish", JSON, json.dumps(body), token=t)

    rows = [(repr(n), n, 400) for n in ("gap", "denied", "closing", "expiring", "expired", "error", "open", "user", "problem", "heartbeat", "a\nb", "a\rb", "a\0b", "a\x7fb", "a\u0085b", "x" * 65, "\u00e9" * 33)]
    rows += [(repr(n), n, 200) for n in ("message", "notification", "chat", "a b", " a", "a:b", ":", "data", "id", "retry", "Gap", "EXPIRED", "a\u2028b", "\ufeff", "\U0001f514", "x" * 64, "\u00e9" * 32, "__proto__", "event: x")]
    rows += [(repr(n), n, 400) for n in (1, True, [], {}, ["x"])]

    def check(name, want):
        topic = mark("names")
        r = put({"topic": topic, "message": "m", "event": name})
        assert r.status == want, r
        e = put({"topic": topic, "data": {"a": 1}, "event": name})
        assert e.status == want, e
        if want == 200:
            assert [ev[0] for ev in read(daemon, topic, after="all").events] == [name, name]

    each(rows, check)
    for name in (None, ""):  # absent
        topic = mark("names")
        put({"topic": topic, "message": "m", "event": name}).ok()
        put({"topic": topic, "data": 1, "event": name}).ok()
        assert [ev[0] for ev in read(daemon, topic, after="all").events] == ["notification", "message"]
    for topic in ("a: b\u2028c", "q\"'\\", "data: x", "\U0001f514/x", "a*b", "x?y#z&w=1"):
        topic = mark("t") + "/" + topic
        put({"topic": topic, "message": "m"}).ok()
        (ev,) = read(daemon, topic, after="all").events
        assert json.loads(ev[1])["topic"] == topic
    for topic in ("a\nb", "a\rb", "a\0b", "", "/a", "a//b", "*", "a/*", "a/**", "x" * 201, "a/b/c/d/e/f/g/h/i"):
        assert put({"topic": topic, "message": "m"}).status in (400,), topic
    # of other kinds
    rows = [({"data": v}, json.dumps(v, separators=(",", ":"))) for v in (0, -1.5, True, False, [], {}, [1, [2]], {"a": {"b": None}}, 1e300, "")]
    for body, data in rows:
        topic = mark("kinds")
        r = put({"topic": topic, **body})
        if body["data"] == "":
            continue
        r.ok()
        (ev,) = read(daemon, topic, after="all").events
        assert json.loads(ev[1]) == json.loads(data), body


def test_head_of_a_stream(daemon):
    t = daemon.token("rae")
    for accept in ("text/event-stream", "*/*", "text/html", "application/json", "text/event-stream;q=0.1, */*;q=0", "", None, "application/x-ndjson;q=0", "application/x-ndjson;q=0.5, text/event-stream"):
        got = read(daemon, mark("head"), headers=[("Accept", accept)] if accept is not None else [])
        r = got.response
        assert r.header("Cache-Control") == "no-cache, no-transform" and r.header("X-Accel-Buffering") == "no" and r.header("X-Content-Type-Options") == "nosniff", r
        assert r.header("Vary") and r.header("X-Request-Id") and r.header("Content-Length") is None and r.header("Content-Encoding") is None, r
        assert got.retry and got.comments, (accept, r)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        r = daemon.http(method, "/events?topic=x", token=t, body="" if method != "DELETE" else None)
        r.problem(405, "method_not_allowed")
        assert "GET" in r.header("Allow")
    r = daemon.http("OPTIONS", "/events").ok(204)
    assert {"GET", "HEAD", "OPTIONS"} <= set(re.split(", *", r.header("Allow")))
    for name in ("last-event-id", "Last-Event-ID", "authorization, last-event-id"):
        r = daemon.http("OPTIONS", "/events", {"Origin": "https://ok.example", "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": name}).ok(204)
        allowed = {h.strip().lower() for h in r.header("Access-Control-Allow-Headers").split(",")}
        assert {h.strip().lower() for h in name.split(",")} <= allowed and r.header("Access-Control-Allow-Origin") == "https://ok.example" and r.header("Access-Control-Allow-Credentials") == "true"
        assert "GET" in r.header("Access-Control-Allow-Methods")
    daemon.http("OPTIONS", "/events", {"Origin": "https://no.example", "Access-Control-Request-Method": "GET"}).problem(403)
    r = daemon.http("GET", "/events?topic=x&wait=0", {"Origin": "https://ok.example"}, token=t).ok()
    assert r.header("Access-Control-Allow-Origin") == "https://ok.example" and "Origin" in r.header("Vary")
    daemon.http("GET", "/events?topic=x&wait=0", {"Origin": "https://no.example"}, token=t).problem(403)
    r = daemon.http("GET", "/events?topic=x", {"Origin": "https://ok.example"})
    assert r.problem(401, "unauthorized") and r.header("Access-Control-Allow-Origin") == "https://ok.example"
    # HEAD is the head of it, and no stream
    with daemon.conn() as c:
        r = c.request("HEAD", "/events?topic=x", {"Authorization": f"Bearer {t}"})
        assert r.status == 200 and r.header("Content-Type") == "text/event-stream", r
        c.closed()
    with daemon.conn() as c:
        assert c.request("HEAD", "/events?topic=x").status == 401
    # HTTP/1.0: no chunks, the end of the connection is the end
    with daemon.conn() as c:
        c.send(f"GET /events?topic=x&wait=0 HTTP/1.0\r\nHost: {daemon.host}\r\nAuthorization: Bearer {t}\r\n\r\n")
        r = c.response()
        assert r.status == 200 and not r.all("Transfer-Encoding") and interpret(r.body).retry
    for path, status in (("/events/", 404), ("/events/x", 404), ("/Events", 404), ("/%65vents?topic=x&wait=0", 200), ("//events", 404)):
        assert daemon.http("GET", path, token=t).status == status, path
    seen = {read(daemon, mark("jitter")).retry for _ in range(12)}
    assert len(seen) > 6 and min(seen) >= 1000 and max(seen) <= 3000, seen


def test_where_it_begins(daemon):
    topic, other = mark("begin"), mark("other")
    ids = [publish(daemon, topic, message=f"m{i}") for i in range(6)]
    between = publish(daemon, other, message="o")
    ids += [publish(daemon, topic, message=f"m{i}") for i in range(6, 9)]

    def after(i):
        return [str(x) for x in ids if x > i]

    h = lambda v: {"Last-Event-ID": str(v)}  # noqa: E731
    rows = [
        ("header", h(ids[2]), {}, after(ids[2]), None), ("last_event_id", {}, {"last_event_id": ids[3]}, after(ids[3]), None), ("lastEventID", {}, {"lastEventID": ids[4]}, after(ids[4]), None), ("after", {}, {"after": ids[5]}, after(ids[5]), None),
        ("the newest", h(ids[-1]), {}, [], None), ("another topic's id", h(between), {}, after(between), None), ("an id between", h(ids[2] - 1), {}, after(ids[1]), None) if ids[2] - ids[1] > 1 else ("same", h(ids[1]), {}, after(ids[1]), None),
        ("header first", h(ids[6]), {"last_event_id": ids[0], "lastEventID": ids[0], "after": ids[0], "last": 9}, after(ids[6]), None), ("then last_event_id", {}, {"last_event_id": ids[6], "lastEventID": ids[0], "after": ids[0], "last": 9}, after(ids[6]), None),
        ("then lastEventID", {}, {"lastEventID": ids[6], "after": ids[0], "last": 9}, after(ids[6]), None), ("then after", {}, {"after": ids[6], "last": 9}, after(ids[6]), None), ("then last", {}, {"last": 2}, after(ids[6]), None),
        ("an empty header is none", h(""), {"last_event_id": ids[6]}, after(ids[6]), None), ("an empty header and last", h(""), {"last": 1}, after(ids[7]), None), ("an empty last_event_id", {}, {"last_event_id": "", "last": 1}, after(ids[7]), None),
        ("a bad header before a good query", h("x"), {"after": ids[0]}, [], "unreadable"), ("a bad last_event_id before a good after", {}, {"last_event_id": "x", "after": ids[0]}, [], "unreadable"),
        ("nothing", {}, {}, [], None), ("last 0", {}, {"last": 0}, [], None), ("last 1000", {}, {"last": 1000}, after(0), None), ("last 5000", {}, {"last": 5000}, after(0), None), ("last huge", {}, {"last": 10**15}, after(0), None),
        ("all", {}, {"after": "all"}, after(0), None), ("all in the header", h("all"), {}, after(0), None), ("10m", {}, {"after": "10m"}, after(0), None), ("1h", {}, {"after": "1h"}, after(0), None), ("7d", {}, {"after": "7d"}, after(0), None),
        ("90s in the header", h("90s"), {}, after(0), None), ("0s", {}, {"after": "0s"}, [], None), ("a time", {}, {"after": "2020-01-01T00:00:00Z"}, after(0), None), ("a time with an offset", {}, {"after": "2020-01-01T00:00:00.5+01:00"}, after(0), None),
        ("a time to come", {}, {"after": "2100-01-01T00:00:00Z"}, [], None),
        ("0", h(0), {}, after(0), "outside"), ("1", h(1), {}, after(0), "outside"), ("older than the log", {}, {"after": 1600000000000000}, after(0), "outside"), ("newer than the log", h(9000000000000000), {}, after(0), "outside"),
        ("2^53", h(2**53), {}, after(0), "outside"),
    ]
    rows += [(f"unreadable {v!r}", h(v), {}, [], "unreadable") for v in ("x", "-1", "+1", "1.5", "1e15", "0x10", "1 2", "1,2", "null", "undefined", "NaN", "[object Object]", "ALL", "10", "m", "10 m", "10x", "1m2s", "yesterday", "2020-01-01", "12:00",
                                                                             "99999999999999999999", "9" * 400, "\u0663", "%31", '"1"', "1;2") if v != "10"]
    rows += [(f"unreadable, query {v!r}", {}, {"after": v}, [], "unreadable") for v in ("x", "-1", " ", "1\x002", "a\nb", "\u00e9", "9" * 5000, "../x", "<script>")]

    def check(headers, query, want, reason):
        got = read(daemon, topic, headers=headers, **query)
        gaps = [json.loads(d) for k, d, _ in got.events if k == "gap"]
        assert [i for k, _, i in got.events if k != "gap"] == want, got.events
        assert len(gaps) == (1 if reason else 0), gaps
        if reason:
            assert got.events[0][0] == "gap" and gaps[0]["reason"] == reason and gaps[0]["type"] == "gap", gaps
            assert (gaps[0]["after"] is None) == (reason == "unreadable") and gaps[0]["oldest"] in (ids[0], None, gaps[0]["oldest"]), gaps
            assert re.fullmatch("[0-9]{1,16}", got.events[0][2]), got.events[0]
            # who resumes with the gap's id is not told again, and misses nothing
            again = read(daemon, topic, headers=h(got.events[0][2]))
            assert not [e for e in again.events if e[0] == "gap"], again.events
            if reason == "outside":
                assert [i for _, _, i in again.events] == want
        assert got.last_event_id.isdigit() and int(got.last_event_id) >= ids[-1], "the cursor is up to date, even where nothing came"

    each(rows, check)
    t = daemon.token()
    for query in ("after=%zz", "after=%ff", "last_event_id=%", "lastEventID=%f"):
        for path in ("/events?wait=0&topic=" + topic, "/chat?room=x"):
            with daemon.conn() as c:
                c.send(build("GET", f"{path}&{query}", {"Authorization": f"Bearer {t}", "Accept": "text/event-stream"}, host=daemon.host))
                assert c.head().status == 200, (path, query)
    for query in ("last=-1", "last=x", "last=1.5", "last=", "last=1e3", "topic=", "topic=a//b", "topic=**/a", "topic=%ff", "topic=%zz", "topic=a%00", "topic=a%0ab"):
        daemon.http("GET", f"/events?wait=0&topic={topic}&{query}", token=t).problem(400, "bad_field")
    with daemon.conn() as c:  # two headers: not a position that can be read, not a reason to give up
        c.send(build("GET", f"/events?wait=0&topic={topic}", [("Authorization", f"Bearer {t}"), ("Last-Event-ID", str(ids[0])), ("Last-Event-ID", str(ids[1]))], host=daemon.host))
        assert c.response().status == 200


def test_gap_of_what_was_trimmed(daemon):
    few, all_ = "few/" + mark("x"), mark("all")
    f, a = [], []
    for i in range(8):
        f.append(publish(daemon, few, message=f"f{i}"))
        a.append(publish(daemon, all_, message=f"a{i}"))
    got = read(daemon, [few, all_], headers={"Last-Event-ID": str(f[1])})
    kinds = [(k, i) for k, _, i in got.events]
    assert kinds.count(("gap", str(f[4]))) == 1 and len([k for k, _ in kinds if k == "gap"]) == 1, kinds
    gap = json.loads([d for k, d, _ in got.events if k == "gap"][0])
    assert gap["reason"] == "trimmed" and gap["after"] == f[1] and gap["oldest"] in (a[0], a[1], f[5]), gap
    rest = [int(i) for k, i in kinds if k != "gap"]
    assert rest == sorted(x for x in f[5:] + a if x > f[1])
    # it stands in the merge at its id: a cut at any place, and nothing is lost, nothing comes twice, the gap at most once more
    assert [int(i) for _, i in kinds] == sorted(int(i) for _, i in kinds)
    for cut in range(len(kinds)):
        again = read(daemon, [few, all_], headers={"Last-Event-ID": kinds[cut][1]})
        assert [int(i) for k, _, i in again.events if k != "gap"] == [x for x in rest if x > int(kinds[cut][1])], cut
        assert len([1 for k, _, _ in again.events if k == "gap"]) == (1 if int(kinds[cut][1]) < f[4] else 0), cut
    assert not [e for e in read(daemon, all_, headers={"Last-Event-ID": str(f[1])}).events if e[0] == "gap"]  # not of its topics
    assert not [e for e in read(daemon, few, headers={"Last-Event-ID": str(f[4])}).events if e[0] == "gap"]  # all that is above is there
    assert not [e for e in read(daemon, few, after="all").events if e[0] == "gap"]
    # what ended by itself is no gap
    topic = mark("ttl")
    first = publish(daemon, topic, message="stays")
    publish(daemon, topic, message="goes", ttl=1)
    time.sleep(1.2)
    got = read(daemon, topic, headers={"Last-Event-ID": str(first)})
    assert [k for k, _, _ in got.events] == [], got.events
    # an empty topic has no successors to miss
    assert read(daemon, mark("none"), headers={"Last-Event-ID": str(first)}).events == []


def test_topics_of_a_stream(daemon):
    a, b = mark("ta"), mark("tb")
    ids = [publish(daemon, f"{a}/x", message="1"), publish(daemon, b, message="2"), publish(daemon, f"{a}/y", message="3"), publish(daemon, f"{a}/y/z", message="4")]
    t = daemon.token("rae", subscribe=[f"{a}/*", b, "user/{sub}", "notifications"])

    def seen(*topics, **how):
        return [int(i) for _, _, i in read(daemon, list(topics), token=t, after="all", **how).events if i]

    assert seen(f"{a}/*", b) == ids[:3] and seen(b) == ids[1:2]
    assert seen(f"{a}/*", f"{a}/x", f"{a}/x", b, b) == ids[:3], "once, however many match"
    got = read(daemon, [f"{a}/**", b, "zzz", "zzz"], token=t, after="all")
    denied = [json.loads(d) for k, d, _ in got.events if k == "denied"]
    assert [d["topic"] for d in denied][:2] == [f"{a}/**", "zzz"] and {d["code"] for d in denied} == {"insufficient_scope"} and all(d["detail"] for d in denied), denied
    assert len(denied) == 2, denied
    assert [e[0] for e in got.events[:2]] == ["denied", "denied"] and got.events[0][2] == "", "before all else, and moving no cursor"
    assert [int(i) for k, _, i in got.events if k != "denied"] == ids[1:2]
    for topics in (["zzz"], ["zzz", "yyy"], ["**"], ["user/bob"], ["*"]):
        r = daemon.http("GET", "/events?" + urllib.parse.urlencode({"topic": topics}, doseq=True), token=t)
        assert topics[0] in r.problem(403, "insufficient_scope")["detail"]
        assert "insufficient_scope" in r.header("WWW-Authenticate")
    # without any: events.topics
    mine = daemon.publish("user/rae", message="yours", token=daemon.token("rae"))["id"]
    bell = publish(daemon, "notifications", message="all")
    assert [int(i) for _, _, i in read(daemon, None, token=t, headers={"Last-Event-ID": str(ids[3])}).events] == [mine, bell]
    r = daemon.http("GET", "/events?" + "&".join(f"topic=t{i}" for i in range(65)), token=daemon.token())
    assert r.problem(429, "too_many")["limit"] == "limits.topics_per_stream"
    assert daemon.http("GET", "/events?wait=0&" + "&".join(f"topic=t{i}" for i in range(64)), token=daemon.token()).status == 200
    assert read(daemon, b, token=t, after="all", t="x", Topic="zzz").events, "unknown parameters are ignored"
    # ephemeral ones come live, without an id
    live = daemon.sse(topic=["fleeting/" + a, b], after=ids[1])
    daemon.publish("fleeting/" + a, message="now", event="tick")
    ev = live.until("tick")
    assert ev.id is None and ev.json()["message"] == "now" and "id" not in ev.json()
    i = publish(daemon, b, data="line\nline")
    ev = live.next()
    assert (ev.name, ev.id, ev.data) == ("message", str(i), "line\nline")
    # a chat is a chat here, too
    room = mark("room")
    live = daemon.sse(topic=f"chat/{room}")
    with daemon.join(room, sub="cy") as ws:
        i = ws.say("hi")["id"]
        ev = live.until("chat")
        assert ev.id == str(i) and ev.json()["type"] == "chat" and ev.json()["content"] == "hi" and ev.json()["room"] == room


def test_lines(daemon):
    topic = mark("nd")
    ids = [publish(daemon, topic, message="a\nb", title="t"), publish(daemon, topic, data="x\r\ny"), publish(daemon, topic, data={"a": [1]}, event="price")]
    t = daemon.token("rae")
    for accept, lines in (("application/x-ndjson", True), ("APPLICATION/X-NDJSON", True), ("application/x-ndjson;q=0.9, text/event-stream;q=0.1", True), ("application/x-ndjson, */*;q=0.1", True), ("application/x-ndjson, */*", True), ("application/x-ndjson, text/event-stream", False), ("text/event-stream, application/x-ndjson;q=0.5", False),
                          ("application/x-ndjson;q=0", False), ("application/json", False), ("*/*", False), ("application/x-ndjson;q=0.0", False)):
        r = daemon.http("GET", f"/events?topic={topic}&wait=0&after=all", {"Accept": accept}, token=t).ok()
        assert r.header("Content-Type").split(";")[0] == ("application/x-ndjson" if lines else "text/event-stream"), (accept, r)
        assert r.header("Cache-Control") == "no-cache, no-transform" and r.header("X-Accel-Buffering") == "no"
        if not lines:
            continue
        docs = [json.loads(line) for line in r.text().splitlines()] if "\u2028" not in r.text() else None
        assert r.text().count("\n") == 3 and r.text().endswith("\n")
        assert [d["id"] for d in docs] == ids and [d["type"] for d in docs] == ["notification", "event", "event"]
        assert docs[0]["message"] == "a\nb" and docs[1]["data"] == "x\r\ny" and docs[2]["data"] == {"a": [1]} and docs[2]["event"] == "price"
    docs = [json.loads(x) for x in daemon.http("GET", f"/events?topic={topic}&wait=0&after=1", {"Accept": "application/x-ndjson"}, token=t).ok().text().splitlines()]
    assert docs[0]["type"] == "gap" and docs[0]["reason"] == "outside" and [d.get("id") for d in docs[1:]] == ids
    docs = [json.loads(x) for x in daemon.http("GET", f"/events?topic={topic}&topic=user/x&wait=0", {"Accept": "application/x-ndjson"}, token=t).ok().text().splitlines()]
    assert [d["type"] for d in docs] == ["denied"]
    live = daemon.sse(topic=topic, accept="application/x-ndjson")
    i = publish(daemon, topic, message="live")
    assert live.lines()["id"] == i


def test_beats(start):
    d = start({"events": {"keepalive": "1s"}})
    t = d.token("rae")
    quiet, loud, lines, zero = d.sse(topic="x", token=t), d.sse(topic="x", token=t, heartbeat=1), d.sse(topic="x", token=t, accept="application/x-ndjson"), d.sse(topic="x", token=t, heartbeat="true")
    chat = d.chat_sse("r", token=t)

    def comments(stream, n):
        found = 0
        while found < n:
            block = stream.block()
            found += bool(block.comments) and block.comments != ["belfry"]
            assert not block.dispatched or stream is chat, block

    comments(quiet, 2)
    comments(zero, 2)
    comments(chat, 1)
    for _ in range(2):
        ev = loud.next()
        assert (ev.name, ev.data, ev.id) == ("heartbeat", "ping", None)
    assert lines.lines() == {"type": "keepalive"}


def test_come_back_later(start):
    d = start({"limits": {"connections_per_user": 1, "drain": "2s"}, "cors": {"allow_origins": ["https://ok.example"]}})
    t = d.token("rae")
    first = d.sse(topic="x", token=t)
    retries = set()
    for path in ("/events?topic=x", "/chat?room=r"):
        for _ in range(4):
            r = d.http("GET", path, {"Accept": "text/event-stream", "Origin": "https://ok.example"}, token=t).ok()
            assert r.header("Content-Type") == "text/event-stream" and r.header("Access-Control-Allow-Origin") == "https://ok.example" and "no-cache" in r.header("Cache-Control")
            got = interpret(r.body)
            ((kind, data, last),) = got.events
            doc = json.loads(data)
            assert kind == "closing" and last == "" and doc["limit"] == "limits.connections_per_user" and doc["reason"] and doc["retry"] == got.retry >= 1000, got.events
            retries.add(got.retry)
    assert len(retries) > 2
    r = d.http("GET", "/events?topic=x", {"Accept": "application/x-ndjson"}, token=t)
    assert r.problem(429, "too_many")["limit"] == "limits.connections_per_user" and r.header("Retry-After")
    d.http("GET", "/events?topic=x", {"Accept": "text/event-stream"}, token="x").problem(401)
    d.http("GET", "/events?topic=user/bob", {"Accept": "text/event-stream"}, token=d.token("zed")).problem(403)
    others = [first, d.sse(topic="x", sub="u1"), d.chat_sse("r", sub="u2"), d.chat_sse("r", sub="u3", format="text")]
    lines = d.sse(topic="x", sub="u4", accept="application/x-ndjson")
    d.signal(15)
    spread = set()
    for stream in others:
        ev = stream.until("closing")
        assert ev.id is None
        retry = [b.retry for b in stream.blocks if b.retry is not None][-1]
        spread.add(retry)
        if stream is others[-1]:
            assert ev.data == "* closing: shutdown"
        else:
            assert ev.json()["reason"] == "shutdown" and ev.json()["retry"] == retry
        assert stream.end() == []
    assert len(spread) > 1
    doc = lines.lines()
    assert doc["type"] == "closing" and lines.lines() is None
    assert d.wait() == 0


# --- chat over an event stream --------------------------------------------------------------------------------

def test_chat_stream(daemons):
    d, room = daemons, mark("room")
    ada = d.chat_sse(room, token=d.token("ada", name="Ada"))
    names = [b.name for b in ada.blocks if b.dispatched]
    assert names == ["user"] and re.fullmatch(r"[0-9a-f]{32,}", ada.session), ada.blocks
    welcome = ada.until("welcome").json()
    assert welcome["session"] == ada.session and welcome["user"] == {"id": "ada", "name": "Ada"}
    joined = ada.until("joined").json()
    assert joined["room"] == room and joined["members"] == [{"id": "ada", "name": "Ada"}] and joined["resumed"] is False
    other = d.chat_sse(room, token=d.token("ada", name="Ada"))
    bob = d.join(room, sub="bob", name="Bob")
    assert ada.until("user_joined").json()["user"]["id"] == "bob"
    url = f"/chat/{ada.session}"

    def post(body, kind="application/json", token=None, session=None):
        return d.http("POST", f"/chat/{session or ada.session}", {"Content-Type": kind} if kind else (), body if isinstance(body, (str, bytes)) else json.dumps(body), token=token or d.token("ada", name="Ada"))

    ack = post({"type": "chat", "content": "one", "ref": 7, "key": "k"}).ok().json()
    assert ack["type"] == "ack" and ack["ref"] == 7 and ack["duplicate"] is False
    assert post({"type": "chat", "content": "one", "key": "k"}).ok().json() == {"type": "ack", "id": ack["id"], "duplicate": True}
    m = bob.expect("chat", id=ack["id"])
    assert m["content"] == "one" and m["from"] == {"id": "ada", "name": "Ada"} and m["key"] == "k"
    ev = other.until("message")
    assert ev.id == str(ack["id"]) and ev.json()["content"] == "one", "the sender's other devices get it"
    texts = [("plain", "text/plain"), ("of fetch", "text/plain;charset=UTF-8"), ("no type", None), ("lines\r\nand\nmore: \u2028 x", "text/plain; charset=utf-8")]
    acks = [post(body, kind).ok().json() for body, kind in texts]
    i = bob.say("from bob")["id"]
    # the stream's own are bare ids, in the order of all
    cursor = []
    while True:
        block = ada.block()
        if block.id is not None:
            cursor.append((block.id, block.dispatched, block.name if block.dispatched else None))
        if block.id == str(i):
            break
    assert cursor == [(str(ack["id"]), False, None)] + [(str(a["id"]), False, None) for a in acks] + [(str(i), True, "message")], cursor
    for body, _ in texts:
        assert bob.expect("chat")["content"] == body
    # every answer with its status
    rows = [
        ({"type": "ping"}, 200, "pong"), ({"type": "PING", "x": 1}, 200, "pong"), ({"type": "members", "room": room}, 200, "members"), ({"type": "rooms"}, 200, "rooms"), ({"type": "history", "room": room}, 200, "history"), ({"type": "typing"}, 204, None),
        ({"type": "typing", "typing": False}, 204, None), ({"type": "join", "room": room}, 200, "joined"), ({"type": "subscribe", "topic": "x"}, 200, "subscribed"), ({"type": "unsubscribe", "topic": "x"}, 200, "unsubscribed"),
        ({"type": "publish", "topic": "x", "message": "m"}, 200, "ack"), ({"type": "chat", "content": "in no such room", "room": "elsewhere-" + room}, 403, "not_joined"), ({"type": "chat"}, 400, "bad_field"), ({"type": "chat", "content": ""}, 400, "bad_field"), ({"type": "chat", "content": 1}, 400, "bad_field"),
        ({"type": "nothing"}, 400, "unknown_type"), ({"type": 1}, 400, "bad_field"), ({}, 400, "bad_field"), ([], 400, "bad_request"), ("{", 400, "bad_json"), ("", 400, "bad_json"), ('{"type":"ping","type":"ping"}', 400, "bad_json"), (b'{"type":"\xff"}', 400, "bad_json"),
        ({"type": "refresh", "token": "x"}, 401, "invalid_token"), ({"type": "refresh", "token": d.token("bob")}, 403, "forbidden"), ({"type": "publish", "topic": "server/x", "message": "m"}, 403, "insufficient_scope"), ({"type": "leave", "room": "nowhere"}, 403, "not_joined"),
        ({"type": "direct", "to": "bob", "content": "x"}, 403, "insufficient_scope"), ({"type": "edit", "target": 1, "content": "x"}, 404, "not_found"), ({"type": "kick", "room": room, "user": "bob"}, 403, "insufficient_scope"),
    ]

    def check(body, status, kind):
        ref = isinstance(body, dict) and "type" in body
        if ref:
            body = {**body, "ref": "r"}
        r = post(body)
        assert r.status == status, r
        if status == 204:
            assert r.body == b""
        elif status == 200:
            assert r.json()["type"] == kind and r.json()["ref"] == "r", r
        else:
            doc = r.json()
            assert doc["type"] == "error" and doc["code"] == kind and doc["message"] and (not ref or doc["ref"] == "r"), r

    each([(str(body), body, status, kind) for body, status, kind in rows], check)
    for kind in ("application/x-www-form-urlencoded", "text/html", "application/octet-stream", "multipart/form-data; boundary=x", "application/jsonx", "text/plainx"):
        post("x", kind).problem(415, "unsupported_media")
    assert post(b"\xff\xfe", "text/plain").status == 400 and post("", "text/plain").status == 400 and post(" \n ", "text/plain").status == 400
    assert post("x" * 70000, "text/plain").problem(413, "too_large")["limit"] == "limits.message"
    # whose it is
    for token, want in ((d.token("bob"), 404), (d.token("ada"), 200), ("x", 401)):
        assert post({"type": "ping"}, token=token).status == want
    assert d.http("POST", url, JSON, '{"type":"ping"}').status == 401
    for session in (ada.session[:-1], ada.session + "0", "0" * 34, "x", ada.session.upper() if ada.session.upper() != ada.session else "ff" + ada.session[2:], "ff" + ada.session[2:], "%00", ada.session.replace(ada.session[5], "%2F", 1)):
        assert post({"type": "ping"}, session=session).status == 404, session
    assert d.http("GET", url, token=d.token("ada")).status == 405 and d.http("POST", "/chat", JSON, "{}", token=d.token("ada")).status == 405
    # what others do is an event by its type
    bob.send({"type": "typing", "room": room})
    ev = ada.until("typing")
    assert ev.json()["user"]["id"] == "bob" and ev.id is None
    post({"type": "subscribe", "topic": "bells"})
    n = d.publish("bells", message="ding", event="named")["id"]
    ev = ada.until("notification")
    assert ev.id == str(n) and ev.json()["type"] == "notification" and ev.json()["event"] == "named" and ev.json()["topic"] == "bells"
    n = d.publish("bells", data=[1])["id"]
    assert ada.until("event").json() == {"type": "event", "event": "message", "id": n, "topic": "bells", "data": [1]}
    bob.ok("leave", "left", room=room)
    assert ada.until("user_left").json()["user"]["id"] == "bob"
    # resumed at its cursor: all that came since, one's own from elsewhere included, and once
    last = [b.id for b in ada.blocks if b.id is not None][-1]
    ada.close()
    missed = [d.publish(f"chat/{room}", f"missed {n}")["id"] for n in range(3)]
    back = d.sse("/chat", token=d.token("ada"), headers={"Last-Event-ID": last}, room=room, last=1)
    assert back.until("joined").json()["resumed"] is True
    assert [back.until("message").id for _ in missed] == [str(x) for x in missed]
    post({"type": "ping"}).ok(404)


def test_chat_stream_as_text(daemon):
    room = mark("room")
    stream = daemon.chat_sse(room, sub="ada", format="text")
    bob = daemon.join(room, sub="bob", name="B<o>b\u2028")
    i = bob.say("hi\nthere\r\n<Ada>: fake\u2028x")["id"]
    ev = stream.until("message")
    assert ev.id == str(i) and ev.data == "<Bob>: hi\n    there\n    <Ada>: fake\n    x", ev
    assert [b.data for b in stream.blocks if b.name == "user_joined"] == ["* Bob joined"]
    bob.ok("leave", "left", room=room)
    assert stream.until("user_left").data == "* Bob left"
    daemon.http("GET", "/chat?format=raw", {"Accept": "text/event-stream"}, token=daemon.token()).problem(400, "bad_field")
    daemon.http("GET", "/chat?format=xml", {"Accept": "text/event-stream"}, token=daemon.token()).problem(400, "bad_field")
    for query, code in (("room=a/b", 400), ("room=", 400), ("room=*", 400), ("room=%ff", 400), ("room=a%00", 400), ("name=%0a", 400), ("name=" + "x" * 65, 400), ("last=-1", 400)):
        assert daemon.http("GET", "/chat?" + query, {"Accept": "text/event-stream"}, token=daemon.token()).status == code, query
    r = daemon.http("GET", "/chat?room=secret", {"Accept": "text/event-stream"}, token=daemon.token("x", subscribe=["y"]))
    r.problem(403, "insufficient_scope")
    # a room that has none gets the default; a position that cannot be read, a gap
    stream = daemon.sse("/chat", sub="ada", format="text", headers={"Last-Event-ID": "x"})
    assert stream.until("gap").data == "* gap"
    stream = daemon.sse("/chat", sub="ada", headers={"Last-Event-ID": "x"})
    assert stream.until("joined").json()["room"] == "lobby" and stream.until("gap").json()["after"] is None


def test_errors_of_a_stream_are_problems(start):
    d = start({"limits": {"topics": 1}})
    d.publish("one", "x")
    stream = d.sse("/chat", room="r", sub="ada")
    ev = stream.until("problem")
    assert ev.json()["type"] == "error" and ev.json()["limit"] == "limits.topics", ev
    stream = d.sse("/chat", room="r", sub="ada", format="text")
    assert stream.until("problem").data.startswith("! too_many: "), stream.blocks


def test_a_real_client_reads_it(daemon):
    """http.client reads the stream to its end: the framing is what any HTTP library takes."""
    topic = mark("lib")
    ids = [publish(daemon, topic, data="x" * n) for n in (1, 10, 1000, 30000, 60000)]
    c = http.client.HTTPConnection(*daemon.address, timeout=10)
    for _ in range(2):  # the connection may be used again
        c.request("GET", f"/events?topic={topic}&after=all&wait=0", headers={"Authorization": f"Bearer {daemon.token()}"})
        r = c.getresponse()
        got = interpret(r.read())
        assert [int(i) for _, _, i in got.events] == ids and not got.cut
    c.close()


@pytest.mark.parametrize("size", [65536])
def test_huge_data(daemon, size):
    topic = mark("huge")
    value = "\n" * 20000 + "z"
    i = publish(daemon, topic, data=value)
    got = read(daemon, topic, after="all")
    assert got.events == [("message", value, str(i))]
    assert len(json.dumps({"data": "x" * (size - 20)})) > size - 20
