"""Readings of the wire that are as good as another: whoever takes one of them gets what he expects."""

import json
import time
import urllib.parse

from support.daemon import mark

CONF = {"auth": {"guests": True}}
J, F = [("Content-Type", "application/json")], [("Content-Type", "application/x-www-form-urlencoded")]


def newest(d, topic, t):
    return d.http("GET", "/history?limit=1&topic=" + urllib.parse.quote(topic), token=t).ok().json()["messages"][0]


def test_message_is_named(daemon):
    """Not every reader of a stream knows what an event without `event:` is called."""
    topic, room = mark("t"), mark("room")
    s, chat = daemon.sse(topic=topic), daemon.chat_sse(room)
    daemon.publish(topic, data="x")
    daemon.publish(topic, data=[1], event="message")
    daemon.publish(f"chat/{room}", "hi")
    for ev in (s.until("message"), s.until("message"), chat.until("message")):
        assert "event: message" in ev.lines, ev


def test_times_with_fractions(daemon):
    t, topic = daemon.token(), mark("at")
    now = time.time()
    for at, want in ((now + 60.75, now + 60.75), (str(now + 60.75), now + 60.75), ("+90", now + 90), ("+90.5", now + 90.5), ("+2m", now + 120), (1.5, now), ("90", now)):
        doc = daemon.http("POST", "/publish", J, json.dumps({"topic": topic, "message": "m", "at": at}), token=t).ok(202).json()
        assert want - 2 <= doc["at"] <= want + 10, (at, doc)
    for query in ("+90", "%2B90", "+90s"):
        doc = daemon.http("POST", f"/publish/{topic}?at={query}", (), "m", token=t).ok(202).json()
        assert now + 85 < doc["at"] < now + 130, (query, doc)
    for at in (-1.5, "1.", ".5", "1.5.5", "1.x", "+1.", "+", "+x", "-1", "1e400", True):
        daemon.http("POST", "/publish", J, json.dumps({"topic": topic, "message": "m", "at": at}), token=t).problem(400, "bad_field")
    s = daemon.sse(topic=topic)
    daemon.http("POST", "/publish", J, json.dumps({"topic": topic, "message": "soon", "at": time.time() + 0.3}), token=t).ok(202)
    while s.until("notification").json()["message"] != "soon":
        pass


def test_tags_in_lines(daemon):
    t = daemon.token()
    for headers, want in (([("Tags", "a"), ("Tags", "b, c")], ["a", "b", "c"]), ([("X-Tags", "a"), ("x-tags", "b")], ["a", "b"]), ([("X-Tags", "x"), ("Tags", "a"), ("X-Tags", "y"), ("tags", "b")], ["a", "b"]),
                          ([("Tags", ""), ("Tags", "b")], ["b"])):
        topic = mark("tags")
        daemon.http("POST", f"/publish/{topic}", headers, "m", token=t).ok()
        assert newest(daemon, topic, t)["tags"] == want, headers
    daemon.http("POST", "/publish/x", [("Tags", "a"), ("Tags", b"\xff")], "m", token=t).problem(400, "bad_field")
    daemon.http("POST", "/publish/x", [("Tags", ",".join("abcdefghijklmnopqrstuvwxyz")), ("Tags", ",".join("abcdefghijklmnopqrstuvwxyz"))], "m", token=t).problem(400, "bad_field")


def test_limit_is_clamped(daemon):
    t, topic = daemon.token("lim"), mark("limit")
    ids = [daemon.publish(topic, f"m{i}")["id"] for i in range(3)]
    ws = daemon.ws(token=t)
    for limit, want in ((0, 1), (-1, 1), (2, 2), (1000, 3), (10**20 - 1, 3)):
        doc = daemon.http("GET", f"/history?topic={topic}&limit={limit}", token=t).ok().json()
        assert [m["id"] for m in doc["messages"]] == ids[-want:], limit
        assert [m["id"] for m in ws.ok("history", "history", topic=topic, limit=limit)["messages"]] == ids[-want:], limit
    for limit in ("x", "-", "--1", "-1.5", "1.5", "+1", "-x", "", "- 1"):
        daemon.http("GET", f"/history?topic={topic}&limit={urllib.parse.quote(limit)}", token=t).problem(400, "bad_field")
    for limit in ("x", -1.5, 1.5, True, [], "-1"):
        ws.fails("history", "bad_field", topic=topic, limit=limit)


def test_types_that_say_nothing(daemon):
    t = daemon.token()
    for headers in (F, []):
        assert daemon.http("POST", "/token", headers, '{"name":"Ada"}').ok().json()["user"]["name"] == "Ada", headers
        topic = mark("type")
        daemon.http("POST", f"/publish/{topic}", headers, "plain words", token=t).ok()
        assert newest(daemon, topic, t)["message"] == "plain words"
    daemon.http("POST", "/token", F, "name=Ada").problem(415, "unsupported_media")
    daemon.http("POST", "/token", [("Content-Type", "text/plain")], '{"name":"Ada"}').problem(415, "unsupported_media")
