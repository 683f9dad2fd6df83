"""Publishing (docs/wire.md), sentence by sentence: what is published in which form, and what becomes of it."""

import json
import time
import urllib.parse

from support.daemon import mark
from support.eventsource import interpret
from test_k_tokens import each

CONF = {"events": {"topics": ["first/one", "user/{sub}"]}, "topics": ({"match": "server/**", "history": 0}, {"match": "fleeting/**", "history": 0}, {"match": "chat/*", "history": 100, "presence": True}, {"match": "**", "history": 2000})}
J, F = [("Content-Type", "application/json")], [("Content-Type", "application/x-www-form-urlencoded")]


def stored(d, topic, token):
    return d.http("GET", "/history?topic=" + urllib.parse.quote(topic, safe=""), token=token).ok().json()["messages"]


def test_as_text(daemon):
    d, t = daemon, daemon.token("ada", name="Ada")
    octets = [("Content-Type", "application/octet-stream")]
    rows = [
        ("plain", [], "", "Backup done", {"message": "Backup done"}), ("text/plain", [("Content-Type", "text/plain")], "", "x", {"message": "x"}), ("utf-8", [("Content-Type", "text/plain; charset=utf-8")], "", "\u00e9", {"message": "\u00e9"}), ("octets", octets, "", "x", {"message": "x"}),
        ("markdown", [("Content-Type", "text/markdown")], "", "# x", {"message": "# x"}), ("curl's type, no form", F, "", "Backup done", {"message": "Backup done"}), ("curl's type, a formula", F, "", "a=b", {"message": "a=b"}), ("curl's type, percent", F, "", "100%", {"message": "100%"}),
        ("curl's type, a stranger among pairs", F, "", "message=x&foo=1", {"message": "message=x&foo=1"}), ("curl's type, no message", F, "", "tags=x", {"message": "tags=x"}), ("curl's type, a pair without =", F, "", "message=x&y", {"message": "message=x&y"}), ("curl's type, a pair without = that is known", F, "", "message=x&title", {"message": "message=x&title"}),
        ("lines", [], "", "a\r\nb\n", {"message": "a\r\nb\n"}), ("blanks around", [], "", "  x ", {"message": "  x "}), ("JSON as text", [], "", '{"a":1}', {"message": '{"a":1}'}),
        ("headers", [("Title", "T"), ("Priority", "4"), ("Tags", "a, b,c"), ("Click", "https://x.example/"), ("Event", "bell")], "", "m", {"title": "T", "priority": 4, "tags": ["a", "b", "c"], "click": "https://x.example/", "message": "m", "event": "bell"}),
        ("X- headers", [("X-Title", "T"), ("X-Priority", "1"), ("X-Tags", "a"), ("X-Click", "https://x.example/"), ("X-Event", "bell")], "", "m", {"title": "T", "priority": 1, "tags": ["a"], "click": "https://x.example/", "event": "bell"}),
        ("headers in any case", [("TITLE", "T"), ("pRiority", "2")], "", "m", {"title": "T", "priority": 2}), ("UTF-8 in a header", [("Title", "\u00dcber \U0001f514".encode())], "", "m", {"title": "\u00dcber \U0001f514"}), ("an empty header", [("Title", "")], "", "m", {"title": None}),
        ("parameters", [], "?title=T%20x&priority=5&tags=a,b&event=bell&click=https://x.example/", "m", {"title": "T x", "priority": 5, "tags": ["a", "b"], "event": "bell"}), ("a parameter with a plus", [], "?title=a+b", "m", {"title": "a b"}), ("unknown parameters", [], "?x=1&y", "m", {"message": "m"}),
        ("RFC 9218's priority", [("Priority", "u=3, i")], "", "m", {"priority": None}), ("priority 0", [("Priority", "0")], "", "m", {"priority": None}), ("priority 6", [("Priority", "6")], "", "m", {"priority": None}), ("priority high", [("Priority", "high")], "", "m", {"priority": None}), ("RFC 9218's beside ours", [("Priority", "u=3, i"), ("X-Priority", "4")], "", "m", {"priority": 4}), ("ours in front", [("X-Priority", "4"), ("Priority", "u=3, i")], "", "m", {"priority": 4}),
        ("RFC 9218's beside a parameter", [("Priority", "u=3, i")], "?priority=5", "m", {"priority": 5}), ("an empty ttl", [("Ttl", "")], "", "m", {"message": "m"}), ("empty parameters", [], "?ttl=&at=&key=&title=&tags=&event=&click=", "m", {"title": None}), ("priority 3.0", [("Priority", "3.0")], "", "m", {"priority": None}),
        ("tags with nothing between", [("Tags", ",a,, b ,")], "", "m", {"tags": ["a", "b"]}), ("no title, no message but a title", [("Title", "T")], "", "m", {"message": "m"}), ("a tab", [], "", "a\tb", {"message": "a\tb"}),
    ]

    def check(headers, query, body, want):
        topic = mark("text")
        r = d.http("POST", f"/publish/{topic}{query}", headers, body, token=t)
        doc = r.ok().json()
        assert set(doc) == {"id", "topic", "duplicate"} and doc["topic"] == topic and doc["duplicate"] is False, doc
        (m,) = stored(d, topic, t)
        assert m["type"] == "notification" and m["id"] == doc["id"] and m["from"] == {"id": "ada", "name": "Ada"} and abs(m["timestamp"] - time.time()) < 60, m
        for k, v in want.items():
            assert m.get(k) == v, (k, m)

    each(rows, check)
    rows = [(repr(b)[:20], b, h, s) for b, h, s in (("", [], 400), (" \n\t ", [], 400), ("\u3000\u00a0\u2028\x0b", [], 400), ("data=", F, 400), ("data=+%0A", F, 400), ("message=&data=&title=", F, 400), ("", F, 400), (" ", F, 400), ("", J, 400), (b"\xff", [], 400), (b"a\xc3", [], 400), ("a\0b", [], 400), ("x" * 65537, [], 413), ("x" * 1048577, [], 413), ("m", [("Title", "x" * 1001)], 400), ("m", [("Title", b"\xff")], 400), ("m", [("Event", "gap")], 400),
                                                     ("m", [("Event", "x" * 65)], 400), ("m", [("Key", "k" * 65)], 400), ("m", [("Tags", ",".join(["x"] * 33))], 400), ("m", [("Tags", "x" * 65)], 400), ("m", [("Click", "x" * 2001)], 400), ("m", [("Ttl", "x")], 400), ("m", [("Ttl", "-1")], 400), ("m", [("Ttl", "1.5")], 400),
                                                     ("m", [("At", "+10m")], (202, 501)), ("m", [("Content-Type", "image/png")], 415), ("m", [("Content-Type", "multipart/form-data; boundary=x")], 415), ("m", [("Content-Type", "text/plain; charset=latin1")], (200, 415)), ("m", [("Content-Type", "application/xml")], 415))]

    def refused(body, headers, want):
        r = d.http("POST", "/publish/x", headers, body, token=t)
        assert r.status in (want if isinstance(want, tuple) else (want,)), r
        if r.status >= 400:
            r.problem(r.status)

    each(rows, refused)
    r = d.http("POST", "/publish/x", (), "x" * 65537, token=t).problem(413, "too_large")
    assert r["limit"] == "limits.message"
    assert d.http("POST", "/publish/x", (), "x" * 1048577, token=t).problem(413)["limit"] == "limits.body"


def test_topics_of_a_path(daemon):
    d, t = daemon, daemon.token("ada")
    for path, topic in (("caf%C3%A9", "caf\u00e9"), ("a%2Fb", "a/b"), ("a/b/c", "a/b/c"), ("a%20b", "a b"), ("a+b", "a+b"), ("%2525", "%25"), ("a*b", "a*b"), ("a%3Fb", "a?b"), ("a;b=c", "a;b=c"), ("..x", "..x")):
        r = d.http("POST", f"/publish/{path}", body="m", token=t)
        assert r.ok().json()["topic"] == topic, (path, r)
    for path in ("a//b", "a/", "*", "a/*", "**", "a/**", "%00", "a%0A", "%7F", "%C2%85", "%ff", "%zz", "x" * 201, "a/b/c/d/e/f/g/h/i", "%2F", "a%2F"):
        assert d.http("POST", f"/publish/{path}", body="m", token=t).status == 400, path
    assert d.http("POST", "/publish", body="m", token=t).ok().json()["topic"] == "first/one"
    assert d.http("POST", "/publish", J, '{"message":"m"}', token=t).ok().json()["topic"] == "first/one"
    assert d.http("POST", "/publish?topic=by/query", body="m", token=t).status in (200, 400)
    for path, body, status in (("same", {"topic": "same", "message": "m"}, 200), ("same", {"topic": "other", "message": "m"}, 400), ("user/ada", {"to": "ada", "message": "m"}, 200), ("user/ada", {"to": "bob", "message": "m"}, 400), ("", {"to": "ada", "topic": "user/ada", "message": "m"}, (200, 400)), ("", {"to": "ada", "topic": "x", "message": "m"}, 400),
                               ("", {"to": 1, "message": "m"}, 400), ("", {"to": "", "message": "m"}, 400), ("", {"to": "x" * 129, "message": "m"}, 400), ("", {"topic": None, "message": "m"}, 200), ("", {"topic": "", "message": "m"}, 400), ("", {"topic": 1, "message": "m"}, 400)):
        r = d.http("POST", "/publish" + ("/" + path if path else ""), J, json.dumps(body), token=t)
        assert r.status in (status if isinstance(status, tuple) else (status,)), (path, body, r)
    anyone = d.token("boss", publish=["**", "user/**"], subscribe=["**", "user/**"])
    assert d.http("POST", "/publish", J, '{"to":"a/b*%","message":"m"}', token=anyone).ok().json()["topic"] == "user/a%2Fb%2A%25"


def test_as_json(daemon):
    d, t = daemon, daemon.token("ada")
    good = [
        ("a message", {"message": "m"}, "notification", {"message": "m"}), ("a title alone", {"title": "t"}, "notification", {"title": "t"}), ("all", {"message": "m", "title": "t", "priority": 1, "tags": [], "click": "https://x.example", "data": None, "event": "e", "ttl": 100}, "notification", {"event": "e"}), ("data alone", {"data": 0}, "event", {"data": 0}),
        ("data false", {"data": False}, "event", {"data": False}), ("data text", {"data": "x"}, "event", {"data": "x", "event": "message"}), ("data and event", {"data": {"a": 1}, "event": "price"}, "event", {"event": "price"}), ("data and message", {"data": [1], "message": "m"}, "notification", {"data": [1]}),
        ("nulls are absent", {"message": "m", "title": None, "event": None, "priority": None, "tags": None, "click": None, "to": None, "at": None, "ttl": None, "key": None}, "notification", {"message": "m"}), ("an empty key is none", {"message": "m", "key": ""}, "notification", {}), ("unknown members", {"message": "m", "x": {"y": 1}}, "notification", {"message": "m"}),
        ("big numbers", {"data": {"n": 123456789012345678901234567890, "f": 0.1}}, "event", {}), ("order of members", {"data": {"b": 1, "a": 2}}, "event", {}), ("escapes", {"message": "\u2028\u0001\"\\/"}, "notification", {"message": "\u2028\u0001\"\\/"}),
    ]

    def taken(body, kind, want):
        topic = mark("json")
        i = d.http("POST", f"/publish/{topic}", J, json.dumps(body), token=t).ok().json()["id"]
        (m,) = stored(d, topic, t)
        assert m["type"] == kind and m["id"] == i, m
        for k, v in want.items():
            assert m[k] == v, (k, m)
        assert not [k for k in ("title", "priority", "click", "data") if k in m and m[k] is None], m

    each(good, taken)
    bad = [{}, {"x": 1}, {"message": ""}, {"message": " \n"}, {"message": 1}, {"message": True}, {"message": []}, {"title": ""}, {"title": " \u3000"[:1]}, {"title": 1}, {"title": " ", "message": "\t"}, {"message": "m", "title": 1}, {"message": "m", "title": "x" * 1001}, {"message": "m", "priority": 0}, {"message": "m", "priority": 6}, {"message": "m", "priority": 1.5},
           {"message": "m", "priority": "3"}, {"message": "m", "priority": True}, {"message": "m", "tags": "a"}, {"message": "m", "tags": [1]}, {"message": "m", "tags": ["x" * 65]}, {"message": "m", "tags": ["x"] * 33}, {"message": "m", "tags": [None]}, {"message": "m", "click": 1}, {"message": "m", "click": "x" * 2001},
           {"message": "m", "event": 1}, {"message": "m", "event": "open"}, {"message": "m", "event": "x" * 65}, {"message": "m", "key": 1}, {"message": "m", "key": "k" * 65}, {"message": "m", "ttl": -1}, {"message": "m", "ttl": "1"}, {"message": "m", "ttl": 1.5}, {"message": "m", "ttl": True}, {"data": None}, {"message": None}, {"event": "e"},
           {"topic": ["x"], "message": "m"}, {"message": "\x00"}, {"message": "m", "at": ""}, {"message": "m", "at": " "}, {"message": "m", "at": -1}]

    def refused(body):
        topic = mark("json")
        doc = d.http("POST", f"/publish/{topic}", J, json.dumps(body), token=t)
        assert doc.problem(400)["code"] in ("bad_field", "bad_json"), doc
        assert stored(d, topic, t) == []

    each([(json.dumps(b)[:40], b) for b in bad], refused)
    for text in ("", " ", "x", "{", '{"message":"m"', '{"message":"m"}x', '{"message":"m","message":"n"}', "{'message':'m'}", '{"message":"\\ud800"}', '{"message":"m",}', "[" * 100, "null", "1", '"x"', "\ufeff{}", '{"message":NaN}', '{"data":' + "[" * 300 + "]" * 300 + "}"):
        assert d.http("POST", "/publish/x", J, text, token=t).status == 400, text
    # 1970 is a time, too, and over
    assert d.http("POST", "/publish", J, json.dumps({"topic": mark("old"), "message": "m", "at": 0}), token=t).ok(202).json()["at"] > 1_700_000_000
    # a raw number stays as it was written
    topic = mark("raw")
    d.http("POST", f"/publish/{topic}", J, '{"data":{"n":123456789012345678901234567890,"f":1.10,"e":1E2}}', token=t).ok()
    got = interpret(d.http("GET", f"/events?topic={topic}&after=all&wait=0", token=t).body).events[0][1]
    assert json.loads(got)["f"] == 1.1, got


def test_arrays(daemon):
    d, t, topic = daemon, daemon.token("ada"), mark("array")
    out = d.http("POST", "/publish", J, json.dumps([{"topic": f"{topic}/{i % 2}", "message": f"m{i}"} for i in range(5)]), token=t).ok().json()
    assert [x["topic"] for x in out] == [f"{topic}/{i % 2}" for i in range(5)] and [x["id"] for x in out] == sorted({x["id"] for x in out})
    for bad, status in (([], (200, 400)), ([{"topic": topic, "message": "m"}, {"topic": topic}], 400), ([{"topic": topic, "message": "m"}, 1], 400), ([{"topic": topic, "message": "m"}, {"topic": "server/x", "message": "m"}], 403), ([{"topic": topic, "message": "m"}, [{"topic": topic, "message": "n"}]], 400),
                        ([{"topic": topic, "message": "m"}] * 1001, 413), ([{"topic": topic, "message": "m"}, {"topic": topic, "message": "x" * 70000}], 413)):
        r = d.http("POST", "/publish", J, json.dumps(bad), token=t)
        assert r.status in (status if isinstance(status, tuple) else (status,)), r
        assert stored(d, topic, t) == [], "all or none"
    assert len(d.http("POST", "/publish", J, json.dumps([{"topic": topic, "message": "m"}] * 1000), token=t).ok().json()) == 1000
    out = d.http("POST", "/publish", J, json.dumps([{"topic": topic + "k", "message": "a", "key": "k"}, {"topic": topic + "k", "message": "b", "key": "k"}]), token=t).ok().json()
    assert [x["duplicate"] for x in out] == [False, True] and out[0]["id"] == out[1]["id"] and len(stored(d, topic + "k", t)) == 1
    one = d.http("POST", f"/publish/{topic}1", J, json.dumps([{"message": "m"}]), token=t).ok().json()
    assert isinstance(one, list) and one[0]["topic"] == topic + "1"


def test_forms(daemon):
    d, t = daemon, daemon.token("ada")
    rows = [("message", "message=a+b%20c", "notification", {"message": "a b c"}), ("all", "message=m&title=T&priority=2&tags=a,b&click=https%3A%2F%2Fx&event=e", "notification", {"title": "T", "priority": 2, "tags": ["a", "b"], "click": "https://x", "event": "e"}), ("title", "title=T", "notification", {"title": "T"}),
            ("data as JSON", "data=%7B%22a%22%3A1%7D", "event", {"data": {"a": 1}}), ("data as text", "data=hello", "event", {"data": "hello"}), ("data as a number", "data=1", "event", {"data": 1}), ("data and event", "data=%5B1%5D&event=price", "event", {"data": [1], "event": "price"}), ("newlines", "message=a%0Ab", "notification", {"message": "a\nb"}), ("fields left empty", "message=m&title=&event=&priority=&tags=&click=&at=&ttl=&key=&data=", "notification", {"message": "m", "title": None, "data": None}),
            ("names in other case are strangers", "Message=m", "notification", {"message": "Message=m"}), ("a topic", "message=m&topic=", None, None)]

    def check(body, kind, want):
        topic = mark("form")
        r = d.http("POST", f"/publish/{topic}", F, body, token=t)
        if kind is None:
            assert r.status in (200, 400)
            return
        r.ok()
        (m,) = stored(d, topic, t)
        assert m["type"] == kind, m
        for k, v in want.items():
            assert m.get(k) == v, m

    each(rows, check)
    topic = mark("form")
    assert d.http("POST", "/publish", F, f"message=m&topic={topic}", token=t).ok().json()["topic"] == topic
    assert d.http("POST", "/publish", F, "message=m&to=ada", token=t).ok().json()["topic"] == "user/ada"
    assert d.http("POST", "/publish/other", F, f"message=m&topic={topic}", token=t).status == 400
    assert d.http("POST", "/publish/x", F, "message=&title=", token=t).status == 400
    assert d.http("POST", "/publish/x", F, "message=%ff", token=t).status == 400


def test_rooms_keys_and_ephemera(daemon):
    d, t, room = daemon, daemon.token("ada", name="Ada"), mark("room")
    bob = d.join(room, sub="bob")
    i = d.http("POST", f"/publish/chat/{room}", body="hi", token=t).ok().json()["id"]
    m = bob.expect("chat", id=i)
    assert m["content"] == "hi" and m["from"] == {"id": "ada", "name": "Ada"}
    i = d.http("POST", f"/publish/chat/{room}", J, '{"message":"m","data":{"a":1},"key":"k"}', token=t).ok().json()["id"]
    m = bob.expect("chat", id=i)
    assert m["content"] == "m" and m["data"] == {"a": 1} and m["key"] == "k"
    i = d.http("POST", f"/publish/chat/{room}", J, '{"data":[1]}', token=t).ok().json()["id"]
    assert bob.expect("chat", id=i)["data"] == [1]
    for headers, body in (([("Title", "T")], "m"), ([("Event", "e")], "m"), (J, '{"message":"m","title":"T"}'), (J, '{"message":"m","event":"e"}'), (F, "message=m&title=T")):
        d.http("POST", f"/publish/chat/{room}", headers, body, token=t).problem(400, "bad_field")
    # keys: of a user and a topic, by whatever door
    topic = mark("keys")
    first = d.http("POST", f"/publish/{topic}", [("Key", "k1")], "m", token=t).ok().json()
    for headers, query, body in (([("Key", "k1")], "", "other"), ([("X-Key", "k1")], "", "m"), ([], "?key=k1", "m"), (J, "", '{"message":"m","key":"k1"}'), (F, "", "message=m&key=k1")):
        assert d.http("POST", f"/publish/{topic}{query}", headers, body, token=t).ok().json() == {"id": first["id"], "topic": topic, "duplicate": True}
    with d.ws(sub="ada") as ws:
        assert ws.ok("publish", "ack", topic=topic, message="m", key="k1")["id"] == first["id"]
    assert d.http("POST", f"/publish/{topic}", [("Key", "k1")], "m", token=d.token("bob")).ok().json()["duplicate"] is False
    assert d.http("POST", f"/publish/{topic}2", [("Key", "k1")], "m", token=t).ok().json()["duplicate"] is False
    assert len(stored(d, topic, t)) == 2
    # ephemeral: no id, no key
    doc = d.http("POST", "/publish/fleeting/x", body="m", token=t).ok().json()
    assert doc == {"topic": "fleeting/x", "duplicate": False}, doc
    d.http("POST", "/publish/fleeting/x", [("Key", "k")], "m", token=t).problem(400, "bad_field")
    # which way it was asked for
    for method in ("GET", "PUT", "DELETE", "HEAD", "PATCH"):
        r = d.http(method, "/publish/x", (), "m" if method in ("PUT", "PATCH") else None, token=t)
        assert r.status == 405 and "POST" in r.header("Allow"), (method, r)
    r = d.http("OPTIONS", "/publish/x", {"Origin": f"http://{d.host}", "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "title,priority,tags,click,at,ttl,key,event,x-title,content-type,authorization"}).ok(204)
    allowed = {h.strip().lower() for h in r.header("Access-Control-Allow-Headers").split(",")}
    assert {"title", "priority", "tags", "click", "at", "ttl", "key", "event", "x-title", "content-type", "authorization"} <= allowed
