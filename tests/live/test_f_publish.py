"""Publishing: body forms, headers, batches, keys, refusals."""

import json
import threading
import time

import pytest
from support import SLOW
from support.daemon import mark
from support.rawclient import build

FORM = "application/x-www-form-urlencoded"
CONF = {
    "topics": (
        {"match": "server/**", "history": 0},
        {"match": "live/**", "history": 0},
        {"match": "chat/*", "history": 10000, "presence": True},
        {"match": "**", "history": 1000},
    ),
    "limits": {"message": "16K", "body": "256K"},
}


def post(d, path, body="", headers=(), kind=None, token=None):
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    if kind:
        pairs.append(("Content-Type", kind))
    if not isinstance(body, (str, bytes)):
        body = json.dumps(body)
        pairs.append(("Content-Type", "application/json"))
    return d.http("POST", path, pairs, body, token=token or d.token("publisher", name="Pub"))


def stored(d, topic):
    return d.http("GET", f"/history?topic={topic}&limit=1000", token=d.token()).ok().json()["messages"]


def only(d, topic):
    got = stored(d, topic)
    assert len(got) == 1, got
    return got[0]


def test_text(daemon, topic):
    r = post(daemon, f"/publish/{topic}", "Backup done").ok().json()
    assert set(r) == {"id", "topic", "duplicate"} and r["topic"] == topic and r["duplicate"] is False
    m = only(daemon, topic)
    assert (m["id"], m["message"], m["event"]) == (r["id"], "Backup done", "notification")


@pytest.mark.parametrize("kind", [None, "text/plain", "text/plain; charset=utf-8", "Text/Plain", FORM])
def test_text_types(daemon, topic, kind):
    post(daemon, f"/publish/{topic}", "Backup done: 5 = five & more", kind=kind).ok()
    assert only(daemon, topic)["message"] == "Backup done: 5 = five & more"


@pytest.mark.parametrize("prefix", ["", "X-"])
def test_headers(daemon, topic, prefix):
    h = {f"{prefix}Title": "Tïtle", f"{prefix}Event": "backup", f"{prefix}Priority": "4", f"{prefix}Tags": "a, b ,c", f"{prefix}Click": "https://example.org/",
         f"{prefix}Key": "k1", f"{prefix}Ttl": "3600"}
    r = post(daemon, f"/publish/{topic}", "text", h).ok().json()
    m = only(daemon, topic)
    assert (m["title"], m["event"], m["priority"], m["tags"], m["click"]) == ("Tïtle", "backup", 4, ["a", "b", "c"], "https://example.org/")
    again = post(daemon, f"/publish/{topic}", "text", h).ok().json()
    assert again == {"id": r["id"], "topic": topic, "duplicate": True}


def test_query(daemon, topic):
    post(daemon, f"/publish/{topic}?title=T%C3%AFtle&event=backup&priority=2&tags=x,y&click=https%3A%2F%2Fexample.org%2F&key=q", "text").ok()
    m = only(daemon, topic)
    assert (m["title"], m["event"], m["priority"], m["tags"], m["click"]) == ("Tïtle", "backup", 2, ["x", "y"], "https://example.org/")


@pytest.mark.parametrize("value", ["u=1, i", "9", "0", "high", "-1", "u=3"])
def test_foreign_priority_is_ignored(daemon, topic, value):
    """Priority is RFC 9218's header too: other values are ignored."""
    post(daemon, f"/publish/{topic}", "x", {"Priority": value}).ok()
    assert "priority" not in only(daemon, topic)


def test_json(daemon, topic):
    doc = {"title": "T", "message": "M", "data": {"a": [1, None]}, "priority": 1, "tags": ["x"], "click": "https://example.org/", "event": "e"}
    r = post(daemon, f"/publish/{topic}", doc).ok().json()
    m = only(daemon, topic)
    assert m["id"] == r["id"]
    for k, v in doc.items():
        assert m[k] == v, (k, m)


def test_json_topic_in_body(daemon, topic):
    assert post(daemon, "/publish", {"topic": topic, "message": "x"}).ok().json()["topic"] == topic
    assert post(daemon, f"/publish/{topic}", {"topic": topic, "message": "y"}).ok().json()["topic"] == topic
    post(daemon, f"/publish/{topic}", {"topic": topic + "x", "message": "z"}).problem(400)
    assert [m["message"] for m in stored(daemon, topic)] == ["x", "y"]


def test_no_topic(daemon):
    """The first of events.topics."""
    assert post(daemon, "/publish", "x").ok().json()["topic"] == "notifications"
    assert post(daemon, "/publish", {"message": "x"}).ok().json()["topic"] == "notifications"


def test_to(daemon):
    me = mark("me")
    token = daemon.token("p", publish=["user/*"], subscribe=["**"])
    s = daemon.sse(topic=f"user/{me}", token=daemon.token(me))
    s.block()
    r = post(daemon, "/publish", {"to": me, "message": "x"}, token=token).ok().json()
    assert r["topic"] == f"user/{me}"
    assert s.next().json()["message"] == "x"
    odd = "a/b%c*"
    r = post(daemon, "/publish", {"to": odd, "message": "x"}, token=token).ok().json()
    assert r["topic"] == "user/a%2Fb%25c%2A"
    post(daemon, "/publish", {"to": me, "message": "x"}, token=daemon.token("p", publish=["*", "chat/*"])).problem(403, "insufficient_scope")
    post(daemon, "/publish/other", {"to": me, "message": "x"}, token=token).problem(400)


def test_form(daemon, topic):
    post(daemon, f"/publish/{topic}", "message=Hello+there%21&title=T&priority=5&tags=a%2Cb", kind=FORM).ok()
    m = only(daemon, topic)
    assert (m["message"], m["title"], m["priority"], m["tags"]) == ("Hello there!", "T", 5, ["a", "b"])


def test_form_data(daemon):
    """A form's data is JSON when it parses, else a string."""
    for raw, want in (("%7B%22a%22%3A1%7D", {"a": 1}), ("5", 5), ("hello+there", "hello there"), ("%22q%22", "q")):
        t = mark("x")
        s = daemon.sse(topic=t)
        s.block()
        post(daemon, f"/publish/{t}", "data=" + raw + "&event=price", kind=FORM).ok()
        ev = s.next()
        assert ev.name == "price"
        assert (ev.data == want) if isinstance(want, str) else (json.loads(ev.data) == want)


def test_form_topic(daemon, topic):
    r = post(daemon, "/publish", f"topic={topic}&message=x", kind=FORM).ok().json()
    assert r["topic"] == topic


@pytest.mark.parametrize("body", ["message=x&colour=red", "a=b", "Backup done", "message", "priority=3", "message=x&flag", "event=x", "x=1&message=y"])
def test_form_else_text(daemon, topic, body):
    """A pair with another name, or none of message, title, data, or a pair without =: it is text."""
    post(daemon, f"/publish/{topic}", body, kind=FORM).ok()
    assert only(daemon, topic)["message"] == body


@pytest.mark.parametrize("body", ["", " ", "\n\t \r\n"])
@pytest.mark.parametrize("kind", [None, FORM, "application/json"])
def test_empty(daemon, topic, body, kind):
    r = post(daemon, f"/publish/{topic}", body, kind=kind)
    assert r.status == 400, r
    r.problem(400)
    assert stored(daemon, topic) == []


def test_no_body_at_all(daemon, topic):
    r = daemon.http("POST", f"/publish/{topic}", {"Content-Length": "0"}, token=daemon.token())
    r.problem(400)


def test_text_not_utf8(daemon, topic):
    post(daemon, f"/publish/{topic}", b"caf\xe9").problem(400)


def test_header_not_utf8(daemon, topic):
    r = daemon.http("POST", f"/publish/{topic}", [("Title", b"caf\xe9")], "x", token=daemon.token())
    assert r.status == 400, r


@pytest.mark.parametrize("kind", ["image/png", "application/xml", "multipart/form-data; boundary=x"])
def test_media_type(daemon, topic, kind):
    post(daemon, f"/publish/{topic}", "x", kind=kind).problem(415, "unsupported_media")


@pytest.mark.parametrize("doc", [
    {"message": 5}, {"message": ["x"]}, {"title": 5}, {"message": "m", "priority": 0}, {"message": "m", "priority": 6}, {"message": "m", "priority": "3"},
    {"message": "m", "priority": 1.5}, {"message": "m", "tags": "a"}, {"message": "m", "tags": [1]}, {"message": "m", "click": 5}, {"message": "m", "event": 5},
    {"message": "m", "ttl": -1}, {"message": "m", "ttl": "x"}, {"message": "m", "key": 5}, {"message": "m", "key": "x" * 65}, {"message": "m", "topic": 5},
    {"message": "m", "topic": "a//b"}, {"message": "m", "topic": "a/*"}, {"message": "m", "topic": ""}, {"message": "m", "to": 5}, {"title": None}, {},
    {"event": "x"}, {"priority": 3}, {"message": "m", "to": ""},
])
def test_bad_field(daemon, doc):
    r = post(daemon, "/publish", doc)
    d = r.problem(400, "bad_field")
    assert d["detail"]


@pytest.mark.parametrize("body", ["{", "null", "5", '"text"', "[5]", "[[]]", '{"message":"a","message":"b"}', '{"message":"\\u0000"}', '{"message":"m"} x'])
def test_bad_json(daemon, topic, body):
    r = post(daemon, f"/publish/{topic}", body, kind="application/json")
    assert r.status == 400 and r.json()["code"] in ("bad_json", "bad_field"), r
    assert stored(daemon, topic) == []


def test_null_is_absent(daemon, topic):
    post(daemon, f"/publish/{topic}", {"message": "m", "title": None, "priority": None, "tags": None, "key": None, "data": None, "event": None, "ttl": None}).ok()
    m = only(daemon, topic)
    assert m["message"] == "m" and "priority" not in m and "data" not in m


def test_unknown_member_is_harmless(daemon, topic):
    r = post(daemon, f"/publish/{topic}", {"message": "m", "colour": "red"})
    assert r.status in (200, 400), r


def test_title_alone(daemon, topic):
    post(daemon, f"/publish/{topic}", {"title": "T"}).ok()
    assert only(daemon, topic)["title"] == "T"


def test_chat_room(daemon, room):
    """On chat/<room> message is the content; title or event is bad_field."""
    ws = daemon.join(room, sub="w")
    r = post(daemon, f"/publish/chat/{room}", "hello").ok().json()
    m = ws.expect("chat")
    assert (m["id"], m["content"], m["from"]) == (r["id"], "hello", {"id": "publisher", "name": "Pub"})
    post(daemon, "/publish", {"topic": f"chat/{room}", "message": "m", "data": [1]}).ok()
    assert ws.expect("chat")["data"] == [1]
    post(daemon, f"/publish/chat/{room}", {"message": "m", "title": "t"}).problem(400, "bad_field")
    post(daemon, f"/publish/chat/{room}", {"message": "m", "event": "e"}).problem(400, "bad_field")
    post(daemon, f"/publish/chat/{room}", "m", {"Title": "t"}).problem(400, "bad_field")


def test_key(daemon, topic):
    one = post(daemon, f"/publish/{topic}", {"message": "m", "key": "k"}).ok().json()
    two = post(daemon, f"/publish/{topic}", {"message": "m", "key": "k"}).ok().json()
    assert two == {"id": one["id"], "topic": topic, "duplicate": True}
    other = post(daemon, f"/publish/{topic}", {"message": "m", "key": "k"}, token=daemon.token("somebody")).ok().json()
    assert other["duplicate"] is False
    assert len(stored(daemon, topic)) == 2
    a = post(daemon, f"/publish/{topic}", {"message": "m", "key": ""}).ok().json()
    b = post(daemon, f"/publish/{topic}", {"message": "m", "key": ""}).ok().json()
    assert a["id"] != b["id"]


def test_key_over_both_doors(daemon, room):
    """The same user's key, once by WebSocket and once by POST."""
    ws = daemon.join(room, sub="publisher")
    one = ws.say("x", key="k")
    r = post(daemon, f"/publish/chat/{room}", {"message": "x", "key": "k"}).ok().json()
    assert r["id"] == one["id"] and r["duplicate"] is True


def test_key_at_once(daemons, topic):
    """Many at the same time: one message."""
    results = []

    def go():
        results.append(post(daemons, f"/publish/{topic}", {"message": "m", "key": "same"}).ok().json())

    threads = [threading.Thread(target=go) for _ in range(12)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(results) == 12
    assert len({r["id"] for r in results}) == 1
    assert sum(not r["duplicate"] for r in results) == 1
    assert len(stored(daemons, topic)) == 1


def test_ephemeral(daemon):
    r = post(daemon, "/publish/live/x", "m").ok().json()
    assert "id" not in r and r["topic"] == "live/x"
    post(daemon, "/publish/live/x", {"message": "m", "key": "k"}).problem(400, "bad_field")


def test_ttl(daemon, topic):
    """What ended by its ttl is not sent any more, and is no gap."""
    first = post(daemon, f"/publish/{topic}", "before").ok().json()["id"]
    post(daemon, f"/publish/{topic}", {"message": "short", "ttl": 1}).ok()
    post(daemon, f"/publish/{topic}", {"message": "long", "ttl": 3600}).ok()
    end = time.monotonic() + 5 * SLOW
    while [m["message"] for m in stored(daemon, topic)] != ["before", "long"]:
        assert time.monotonic() < end, stored(daemon, topic)
        time.sleep(0.1)
    s = daemon.sse(topic=topic, after=first, wait=0)
    assert [e.json()["message"] for e in s.end() if e.name == "notification"] == ["long"]
    assert not [b for b in s.blocks if b.event == "gap"]


# -- arrays ---------------------------------------------------------------------------------------------------------------


def test_array(daemons, topic):
    s = daemons.sse(topic=f"{topic}/*")
    s.block()
    docs = [{"topic": f"{topic}/{i % 3}", "message": str(i)} for i in range(20)]
    r = post(daemons, "/publish", docs).ok().json()
    assert [x["topic"] for x in r] == [d["topic"] for d in docs]
    ids = [x["id"] for x in r]
    assert ids == sorted(set(ids)) and not any(x["duplicate"] for x in r)
    got = [s.next() for _ in range(20)]
    assert [int(e.id) for e in got] == ids
    assert [e.json()["message"] for e in got] == [str(i) for i in range(20)]


def test_array_to_the_path(daemon, topic):
    r = post(daemon, f"/publish/{topic}", [{"message": "a"}, {"message": "b"}]).ok().json()
    assert [x["topic"] for x in r] == [topic, topic]


@pytest.mark.parametrize("bad", [{"message": 5}, {}, {"message": "m", "topic": "a//b"}, {"message": "m", "topic": "server/x"}, 5, None, []])
def test_array_all_or_none(daemon, topic, bad):
    docs = [{"topic": topic, "message": "a"}, bad, {"topic": topic, "message": "b"}]
    r = post(daemon, "/publish", docs)
    assert r.status in (400, 403), r
    assert stored(daemon, topic) == []


def test_array_permission_all_or_none(daemon, topic):
    token = daemon.token("p", publish=[topic])
    r = post(daemon, "/publish", [{"topic": topic, "message": "a"}, {"topic": "other", "message": "b"}], token=token)
    r.problem(403, "insufficient_scope")
    assert stored(daemon, topic) == []


def test_array_edges(daemon, topic):
    r = post(daemon, f"/publish/{topic}", [])
    assert r.status in (200, 400), r
    r = post(daemon, f"/publish/{topic}", [{"message": str(i)} for i in range(1000)]).ok().json()
    assert len(r) == 1000
    post(daemon, f"/publish/{topic}", [{"message": str(i)} for i in range(1001)]).problem(413, "too_large")
    assert len(stored(daemon, topic)) == 1000


def test_array_keys(daemon, topic):
    r = post(daemon, f"/publish/{topic}", [{"message": "a", "key": "1"}, {"message": "b", "key": "2"}]).ok().json()
    again = post(daemon, f"/publish/{topic}", [{"message": "a", "key": "1"}, {"message": "c", "key": "3"}]).ok().json()
    assert again[0] == {"id": r[0]["id"], "topic": topic, "duplicate": True}
    assert again[1]["duplicate"] is False
    twice = post(daemon, f"/publish/{topic}", [{"message": "x", "key": "9"}, {"message": "x", "key": "9"}]).ok().json()
    assert twice[0]["id"] == twice[1]["id"] and [x["duplicate"] for x in twice] == [False, True]


# -- topics, permission, limits ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["a//b", "a/", "%2F", "a/*", "**", "*", "a%00b", "a%0Ab", "a%7Fb", "x" * 201, "a/b/c/d/e/f/g/h/i", "%ff%fe", "a%C2%85b"])
def test_bad_topics(daemon, path):
    r = post(daemon, f"/publish/{path}", "x")
    r.problem(400, "bad_field")


@pytest.mark.parametrize("path, topic", [
    ("a*b", "a*b"), ("mit%20Leerzeichen", "mit Leerzeichen"), ("%C3%BC", "ü"), ("a+b", "a+b"), ("a%2Fb", "a/b"), ("a/b/c/d/e/f/g/h", "a/b/c/d/e/f/g/h"),
    ("x" * 200, "x" * 200), ("%25", "%"),
])
def test_good_topics(daemon, path, topic):
    assert post(daemon, f"/publish/{path}", "x").ok().json()["topic"] == topic


def test_permission(daemon, topic):
    r = post(daemon, f"/publish/{topic}", "x", token=daemon.token("p", publish=["other"]))
    doc = r.problem(403, "insufficient_scope")
    assert topic in doc["detail"] and "belfry.publish" in doc["detail"], doc
    post(daemon, f"/publish/{topic}", "x", token=daemon.token("p", subscribe=["**"])).problem(403, "insufficient_scope")
    daemon.http("POST", f"/publish/{topic}", body="x").problem(401, "unauthorized")


def test_server_topics(daemon):
    post(daemon, "/publish/server/stats", "x").problem(403)


def test_star_grants_no_user_topic(daemon):
    post(daemon, "/publish/user/somebody", "x", token=daemon.token("p", publish=["**", "*/*"])).problem(403, "insufficient_scope")


def test_message_limit(daemon, topic):
    post(daemon, f"/publish/{topic}", "x" * 15000).ok()
    doc = post(daemon, f"/publish/{topic}", "x" * 17000).problem(413, "too_large")
    assert doc["limit"] == "limits.message"
    post(daemon, f"/publish/{topic}", [{"message": "ok"}, {"message": "x" * 17000}]).problem(413, "too_large")
    assert len(stored(daemon, topic)) == 1


def test_rate(start, topic):
    d = start({"limits": {"publishes_per_second": 3}})
    got = [post(d, f"/publish/{topic}", str(i)) for i in range(20)]
    refused = [r for r in got if r.status == 429]
    assert refused and len(refused) < 20
    doc = refused[0].problem(429, "rate_limited")
    assert doc["limit"] == "limits.publishes_per_second" and int(refused[0].header("Retry-After")) >= 1
    assert post(d, f"/publish/{topic}", "x", token=d.token("another")).status == 200, "the limit is a user's"


def test_answer_means_delivered_order(daemons, topic):
    """Answers and deliveries agree on one order over several publishers."""
    s = daemons.sse(topic=topic)
    s.block()
    ids = []
    lock = threading.Lock()

    def go(n):
        got = daemons.publish_many(topic, [f"{n}.{i}" for i in range(50)])
        assert got == sorted(got)
        with lock:
            ids.extend(got)

    threads = [threading.Thread(target=go, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    seen = [int(s.next().id) for _ in range(200)]
    assert seen == sorted(ids)


def test_pipelined_answers_in_order(daemons, topic):
    with daemons.conn() as c:
        head = daemons.bearer()
        c.send(b"".join(build("POST", f"/publish/{topic}", head, str(i)) if i % 3 else build("GET", "/healthz") for i in range(60)))
        ids = []
        for i in range(60):
            r = c.response()
            assert r.status == 200
            if i % 3:
                ids.append(r.json()["id"])
    assert ids == sorted(set(ids))
