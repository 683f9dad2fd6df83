"""The WebSocket's handshake by RFC 6455, 7692 and 9110, and each row of both tables of messages in docs/wire.md."""

import base64
import json
import re
import time

from support import tokens
from support.daemon import mark
from support.rawclient import CLOSE, PING, PONG, TEXT, Frame, WebSocket, accept_key, build, frame
from test_k_tokens import each

CONF = {"chat": {"typing_timeout": "1s", "leave_grace": "0s"}, "cors": {"allow_origins": ["https://ok.example"]},
        "topics": ({"match": "server/**", "history": 0}, {"match": "chat/fleeting*", "history": 0, "presence": True}, {"match": "fleeting/**", "history": 0},
                   {"match": "chat/*", "history": 100, "presence": True}, {"match": "**", "history": 100})}
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3
GOOD = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}


def test_handshake(daemon):
    bearer = ("Authorization", f"Bearer {daemon.token()}")

    def go(without=(), method="GET", path="/chat", version="HTTP/1.1", body=None, more=(), **over):
        pairs = [(k, v) for k, v in GOOD.items() if k not in without and k not in over] + [(k, v) for k, v in over.items() if v is not None]
        raw = build(method, path, [*pairs, *more, bearer], body, host=daemon.host).replace(b"HTTP/1.1", version.encode(), 1)
        with daemon.conn() as c:
            c.send(raw)
            return c.response(method)

    def h(**over):
        return {k.replace("_", "-"): v for k, v in over.items()}

    rows = [
        ("as in the RFC", 101, {}, ""), ("upgrade in capitals", 101, h(Upgrade="WebSocket"), ""), ("UPGRADE", 101, h(Upgrade="WEBSOCKET", Connection="UPGRADE"), ""), ("keep-alive, Upgrade", 101, h(Connection="keep-alive, Upgrade"), ""),
        ("Upgrade, keep-alive", 101, h(Connection="Upgrade,keep-alive"), ""), ("two protocols to upgrade to", 101, h(Upgrade="h2c, websocket"), ""), ("an empty list element", 101, h(Connection=",Upgrade,"), ""),
        ("two Connection lines", 101, {"without": ["Connection"], "more": [("Connection", "keep-alive"), ("Connection", "Upgrade")]}, ""),
        ("no version", 426, {"without": ["Sec-WebSocket-Version"]}, "[Vv]ersion"), ("version 8", 426, h(Sec_WebSocket_Version="8"), "[Vv]ersion"), ("version 0", 426, h(Sec_WebSocket_Version="0"), "[Vv]ersion"), ("version 14", 426, h(Sec_WebSocket_Version="14"), "[Vv]ersion"),
        ("version 013", (400, 426), h(Sec_WebSocket_Version="013"), "[Vv]ersion"), ("version +13", (400, 426), h(Sec_WebSocket_Version="+13"), "[Vv]ersion"), ("version 13.0", (400, 426), h(Sec_WebSocket_Version="13.0"), "[Vv]ersion"), ("version 13, 8", (400, 426), h(Sec_WebSocket_Version="13, 8"), "[Vv]ersion"),
        ("version empty", (400, 426), h(Sec_WebSocket_Version=""), "[Vv]ersion"), ("version twice", 400, {"more": [("Sec-WebSocket-Version", "13")]}, "[Vv]ersion"),
        ("no key", 400, {"without": ["Sec-WebSocket-Key"]}, "Sec-WebSocket-Key"), ("key empty", 400, h(Sec_WebSocket_Key=""), "Sec-WebSocket-Key"), ("key of 15 bytes", 400, h(Sec_WebSocket_Key=base64.b64encode(b"x" * 15).decode()), "Key"),
        ("key of 17 bytes", 400, h(Sec_WebSocket_Key=base64.b64encode(b"x" * 17).decode()), "Key"), ("key unpadded", 400, h(Sec_WebSocket_Key=KEY[:-2]), "Key"), ("key not base64", 400, h(Sec_WebSocket_Key="!" * 22 + "=="), "Key"),
        ("key base64url", 400, h(Sec_WebSocket_Key="____________________" + "-w=="), "Key"), ("key with spare bits", (101, 400), h(Sec_WebSocket_Key=KEY[:-3] + "R=="), "Key"), ("key with a blank", 400, h(Sec_WebSocket_Key=KEY[:11] + " " + KEY[11:]), "Key"),
        ("key twice", 400, {"more": [("Sec-WebSocket-Key", KEY)]}, "Key"), ("no Upgrade", 426, {"without": ["Upgrade"]}, "Upgrade"), ("Upgrade: h2c", 426, h(Upgrade="h2c"), "Upgrade"), ("Upgrade: websockets", 426, h(Upgrade="websockets"), "Upgrade"),
        ("Upgrade empty", 426, h(Upgrade=""), "Upgrade"), ("no Connection", 426, {"without": ["Connection"]}, "Connection"), ("Connection: close", 426, h(Connection="close"), "Connection"), ("Connection: Upgraded", 426, h(Connection="Upgraded"), "Connection"),
        ("HTTP/1.0", (400, 426, 505), {"version": "HTTP/1.0"}, "HTTP"), ("POST", 405, {"method": "POST", "body": ""}, "POST"), ("a body", 400, {"body": "x"}, ""), ("another subprotocol", 400, {"more": [("Sec-WebSocket-Protocol", "mqtt")]}, "belfry.v1"),
        ("a foreign Origin", 403, {"more": [("Origin", "https://evil.example")]}, "evil.example"), ("null Origin", 403, {"more": [("Origin", "null")]}, "null"), ("a listed Origin", 101, {"more": [("Origin", "https://ok.example")]}, ""),
        ("own Origin", 101, {"more": [("Origin", f"http://{daemon.host}")]}, ""), ("an unknown extension", 101, {"more": [("Sec-WebSocket-Extensions", "x-webkit-deflate-frame")]}, ""), ("a format", 400, {"path": "/chat?format=xml"}, "format"),
        ("a room of two segments", 400, {"path": "/chat?room=a/b"}, "room"), ("an empty room", 400, {"path": "/chat?room="}, "room"), ("a room not UTF-8", 400, {"path": "/chat?room=%ff"}, "room"), ("last -1", 400, {"path": "/chat?last=-1"}, "last"), ("last x", 400, {"path": "/chat?last=x"}, "last"),
        ("last 5000", 101, {"path": "/chat?room=r&last=5000"}, ""), ("a bad name", 400, {"path": "/chat?name=%00"}, "name"), ("a long name", 400, {"path": "/chat?name=" + "x" * 65}, "name"), ("another resource", 405, {"path": "/chat/x"}, ""), ("unknown parameters", 101, {"path": "/chat?x=1&y"}, ""),
    ]

    def check(want, over, words):
        r = go(**over)
        want = want if isinstance(want, tuple) else (want,)
        assert r.status in want, r
        if r.status == 101:
            assert r.header("Sec-WebSocket-Accept") == accept_key(over.get("Sec-WebSocket-Key", KEY)) and r.header("Sec-WebSocket-Extensions") is None, r
        else:
            doc = json.loads(r.body)
            assert re.search(words, doc["detail"]), doc
            if r.status == 426:
                assert r.header("Sec-WebSocket-Version") == "13" and r.header("Upgrade").lower() == "websocket", r

    each(rows, check)
    # why a WebSocket was refused is told to those who ask without an upgrade
    for headers, path, want in (((), "", 401), ([("Authorization", "Bearer x")], "", 401), ([bearer], "", 426), ([bearer], "?room=r", 426), ([("Authorization", f"Bearer {tokens.make('z', belfry={})}")], "?room=r", 403), ([bearer, ("Origin", "https://evil.example")], "", 403),
                                ([bearer], "?room=a/b", 400)):
        r = daemon.http("GET", "/chat" + path, list(headers))
        r.problem(want)
    for accept, path, where in (("text/html", "", "/"), ("text/html,application/xhtml+xml,*/*;q=0.8", "?room=a%20b%26c", "/?room=a%20b%26c"), ("text/html", "?room=%C3%A9&x=1", "/?room=%C3%A9"), ("text/html", "?room=//evil.example", "/?room=%2F%2Fevil.example"),
                                ("text/html", "?room=a%0d%0aX:%20y", None)):
        r = daemon.http("GET", "/chat" + path, {"Accept": accept})
        assert r.status == 303 and (where is None or r.header("Location").upper() == where.upper()), r


def test_other_protocols_are_passed_over(daemon):
    """RFC 9110, 7.8: some HTTP clients offer h2c with each request; it is no WebSocket that they want."""
    h2c = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQBAAAAAAIAAAAA")]
    with daemon.conn() as c:
        c.send(build("GET", "/chat", [*h2c, ("Accept", "text/event-stream"), *daemon.bearer().items()], host=daemon.host))
        r = c.head()
        assert r.status == 200 and r.header("Content-Type") == "text/event-stream", r
    assert daemon.http("GET", "/chat", [*h2c, ("Accept", "text/html")]).status == 303
    daemon.http("GET", "/chat", h2c).problem(401, "unauthorized")
    daemon.http("GET", "/chat", h2c, token=daemon.token()).problem(426, "upgrade_required")


def test_extension(daemon):
    """RFC 7692, 7.1: what is offered, and what is answered."""
    yes = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    rows = [("plain", "permessage-deflate", yes), ("capitals", "Permessage-Deflate", None), ("both", yes, yes), ("client_max_window_bits", "permessage-deflate; client_max_window_bits", yes), ("client_max_window_bits 10", "permessage-deflate; client_max_window_bits=10", yes),
            ("quoted", 'permessage-deflate; client_max_window_bits="10"', yes), ("server bits 15", "permessage-deflate; server_max_window_bits=15", "+"), ("server bits 16", "permessage-deflate; server_max_window_bits=16", None), ("server bits 7", "permessage-deflate; server_max_window_bits=7", None),
            ("server bits 08", "permessage-deflate; server_max_window_bits=08", None), ("server bits bare", "permessage-deflate; server_max_window_bits", None), ("client bits 16", "permessage-deflate; client_max_window_bits=16", None), ("client bits 0", "permessage-deflate; client_max_window_bits=0", None),
            ("client bits empty", "permessage-deflate; client_max_window_bits=", 400), ("a value where none is", "permessage-deflate; server_no_context_takeover=1", None), ("unknown parameter", "permessage-deflate; x=1", None), ("twice the same", "permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
            ("twice bits", "permessage-deflate; client_max_window_bits; client_max_window_bits", None), ("a bad offer, then a good one", "permessage-deflate; x=1, permessage-deflate", yes), ("two good ones", "permessage-deflate; client_max_window_bits, permessage-deflate", yes),
            ("others around", "foo, permessage-deflate, bar; baz=1", yes), ("another", "x-webkit-deflate-frame", None)]

    def check(offer, want):
        r, ws = WebSocket.open(daemon.address, "/chat", [("Authorization", f"Bearer {daemon.token()}"), ("Sec-WebSocket-Extensions", offer)])
        got = r.header("Sec-WebSocket-Extensions")
        if want == 400:
            return r.problem(400) and None
        assert r.status == 101, r
        if want == "+":
            assert got is None or (got.startswith(yes) and "server_max_window_bits=15" in got), got
        elif want is yes:
            assert got is not None and {p.strip() for p in got.split(";")} >= {p.strip() for p in yes.split(";")}, got
            assert "server_max_window_bits" not in got
        elif got is not None:
            assert offer[0] == "P", got
        ws.drop()

    each(rows, check)


SERVED = {"join", "leave", "chat", "typing", "subscribe", "unsubscribe", "publish", "members", "rooms", "history", "direct", "edit", "delete", "react", "read", "refresh", "ping"}


def test_each_request(daemons):
    d, room, topic = daemons, mark("room"), mark("topic")
    ada, bob = d.join(room, sub="ada", name="Ada"), d.join(room, sub="bob", name="Bob")
    w = ada.welcome
    assert set(w) == {"type", "user", "session", "role", "direct", "time", "heartbeat", "limits", "expires"} and w["user"] == {"id": "ada", "name": "Ada"} and w["heartbeat"] == 30 and abs(w["time"] / 1000 - time.time()) < 60
    assert bob.welcome["session"] != w["session"] and w["limits"]["message"] == 65536
    assert set(bob.joined) == {"type", "ref", "room", "count", "members", "resumed", "latest"} and bob.joined["count"] == 2 and {m["id"] for m in bob.joined["members"]} == {"ada", "bob"}, bob.joined
    m = ada.expect("user_joined")
    assert m == {"type": "user_joined", "room": room, "user": {"id": "bob", "name": "Bob"}, "count": 2}
    # chat, in each spelling
    first = ada.say("hi")["id"]
    m = bob.expect("chat")
    assert m == {"type": "chat", "id": first, "room": room, "from": {"id": "ada", "name": "Ada"}, "content": "hi", "time": m["time"]} and abs(m["time"] - first / 1000) < 60000, m
    for text in ('{"type":"Chat","content":"hi"}', '{"TYPE":"x","type":"CHAT","content":"hi","x":{"y":[]}}', f'{{"content":"hi","room":"{room}","type":"cHaT"}}', '\n{"type" : "chat" , "content" : "\\u0068i"}\t'):
        ada.send(text)
        assert bob.expect("chat")["content"] == "hi"
        assert "ref" not in ada.expect("ack")
    for ref in (1, -1, 1.5, 0, "", "x", "\u00e9\n\u2028", 12345678901234567890, 1e100, "x" * 60):
        ada.send({"type": "ping", "ref": ref})
        m = ada.expect("pong")
        assert m["ref"] == ref and isinstance(m["time"], int)
    for ref in ([], {}, True):
        ada.send({"type": "ping", "ref": ref})
        assert ada.expect("error")["code"] == "bad_field"
    ada.send({"type": "ping", "ref": None})
    assert "ref" not in ada.expect("pong")
    for members in ({"content": "both", "data": {"a": [1, None]}}, {"data": 0}, {"data": []}, {"data": False}, {"data": "x", "content": None}):
        i = ada.ok("chat", "ack", **members)["id"]
        m = bob.expect("chat", id=i)
        assert m.get("data") == members.get("data") and (m.get("content") or None) == members.get("content"), m
    i = ada.say("re", reply_to=first)["id"]
    assert bob.expect("chat", id=i)["reply_to"] == first
    for members, code in (({}, "bad_field"), ({"content": ""}, "bad_field"), ({"content": " \n"}, "bad_field"), ({"content": 1}, "bad_field"), ({"content": ["x"]}, "bad_field"), ({"content": "x", "room": 1}, "bad_field"), ({"content": "x", "room": ""}, "bad_field"), ({"content": "x", "room": "a/b"}, "bad_field"),
                          ({"content": "x", "room": "*"}, "bad_field"), ({"content": "x", "key": 1}, "bad_field"), ({"content": "x", "key": "k" * 65}, "bad_field"), ({"content": "x", "reply_to": "x"}, "bad_field"), ({"content": "x", "reply_to": -1}, "bad_field"), ({"content": "x", "reply_to": 1.5}, "bad_field"),
                          ({"content": "x", "room": "elsewhere"}, "not_joined")):
        ada.fails("chat", code, **members)
    # keys: per user and topic
    a = ada.say("k", key="k" * 64)
    assert ada.say("again", key="k" * 64)["id"] == a["id"] and ada.say("again", key="k" * 64)["duplicate"] is True
    assert bob.say("k", key="k" * 64)["duplicate"] is False
    ada.ok("join", "joined", room=room + "2", last=0)
    assert ada.say("k", key="k" * 64, room=room + "2")["duplicate"] is False
    ada.fails("chat", "bad_field", content="in which of two?")
    ada.ok("leave", "left", room=room + "2")
    assert [ada.say("an empty key is none", key=k)["duplicate"] for k in ("", "", None)] == [False] * 3
    # typing: no answer, ended by itself
    bob.send({"type": "typing", "room": room, "ref": 5})
    m = ada.expect("typing")
    assert m == {"type": "typing", "room": room, "user": {"id": "bob", "name": "Bob"}, "typing": True}
    assert ada.expect("typing")["typing"] is False
    bob.sync()
    assert not bob.take("typing") and not [m for m in bob.inbox if m.get("ref") == 5]
    for members, code in (({"typing": "yes"}, "bad_field"), ({"typing": 1}, "bad_field"), ({"room": "elsewhere"}, "not_joined")):
        bob.fails("typing", code, **members)
    # members, rooms, history
    m = ada.ok("members", "members", room=room)
    assert m["count"] == 2 and {u["id"] for u in m["members"]} == {"ada", "bob"} and m["room"] == room
    (mine,) = [r for r in ada.ok("rooms", "rooms")["rooms"] if r["room"] == room]
    assert mine["count"] == 2 and mine["latest"] >= i
    m = ada.ok("history", "history", room=room, limit=2)
    assert m["room"] == room and len(m["messages"]) == 2 and m["more"] is True and m["messages"][0]["id"] < m["messages"][1]["id"] and m["messages"][0]["type"] == "chat"
    m = ada.ok("history", "history", room=room, after=first, limit=1)
    assert m["messages"][0]["id"] > first and m["more"] is True
    m = ada.ok("history", "history", topic=f"chat/{room}", before=first + 1)
    assert [x["id"] for x in m["messages"]] == [first] and m["more"] is False and m["topic"] == f"chat/{room}"
    for members in ({"limit": "x"}, {"limit": 1.5}, {"before": "x"}, {"after": "x"}, {"q": 1}):
        ada.fails("history", "bad_field", room=room, **members)
    assert ada.ok("history", "history", room=room, limit=5000)["more"] is False
    # topics
    for members in ({}, {"topic": ""}, {"topic": 1}, {"topic": "a//b"}, {"topic": "**/a"}, {"topic": "x", "last": -1}, {"topic": "x", "last": "x"}, {"topic": "x", "last": 1.5}, {"topic": "x", "after": []}, {"topic": "x", "after": True}):
        ada.fails("subscribe", "bad_field", **members)
    ids = [d.publish(topic, message=f"m{n}")["id"] for n in range(3)]
    m = ada.ok("subscribe", "subscribed", topic=topic)
    assert m["resumed"] is False and m["latest"] == ids[-1] and m["topic"] == topic
    ada.sync()
    assert not ada.take("notification"), "no stored ones unasked"
    for members, want, resumed in (({"last": 2}, ids[1:], False), ({"after": ids[0]}, ids[1:], True), ({"after": str(ids[0])}, ids[1:], True), ({"after": "all"}, ids, True), ({"after": "10m"}, ids, True), ({"last": 5000}, ids, False), ({"after": ids[2], "last": 3}, [], True), ({}, [], None)):
        m = ada.ok("subscribe", "subscribed", topic=topic, **members)
        ada.sync()
        assert [x["id"] for x in ada.take("notification")] == want and not ada.take("gap"), members
        assert resumed is None or m["resumed"] is resumed, (members, m)
    m = ada.ok("subscribe", "subscribed", topic=topic, after=5)
    g = ada.expect("gap")
    assert m["resumed"] is False and g["topic"] == topic and g["after"] == 5 and g["reason"] == "outside"
    assert [ada.expect("notification")["id"] for _ in ids] == ids
    ada.ok("subscribe", "subscribed", topic=topic, after="yesterday")
    g = ada.expect("gap")
    assert g["after"] is None and g["reason"] == "unreadable"
    # publish by WebSocket, all kinds
    i = bob.ok("publish", "ack", topic=topic, title="T", message="M", priority=5, tags=["a", "b"], click="https://x.example/", data={"z": 1}, event="named")["id"]
    m = ada.expect("notification", id=i)
    assert m == {"type": "notification", "event": "named", "id": i, "topic": topic, "title": "T", "message": "M", "timestamp": m["timestamp"], "priority": 5, "tags": ["a", "b"], "click": "https://x.example/", "data": {"z": 1}, "from": {"id": "bob", "name": "Bob"}}, m
    i = bob.ok("publish", "ack", topic=topic, data="text", event="price")["id"]
    assert ada.expect("event", id=i) == {"type": "event", "event": "price", "id": i, "topic": topic, "data": "text"}
    i = bob.ok("publish", "ack", topic=f"chat/{room}", message="by publish")["id"]
    assert ada.expect("chat", id=i)["content"] == "by publish"
    for members, code in (({"topic": topic}, "bad_field"), ({"topic": topic, "message": ""}, "bad_field"), ({"topic": topic, "message": 1}, "bad_field"), ({"topic": "a//b", "message": "x"}, "bad_field"), ({"topic": f"chat/{room}", "message": "x", "title": "t"}, "bad_field"),
                          ({"topic": f"chat/{room}", "message": "x", "event": "e"}, "bad_field"), ({"topic": topic, "message": "x", "priority": 6}, "bad_field"), ({"topic": topic, "message": "x", "priority": "high"}, "bad_field"), ({"topic": topic, "message": "x", "tags": "a"}, "bad_field"),
                          ({"topic": topic, "message": "x", "event": "gap"}, "bad_field"), ({"topic": "server/x", "message": "x"}, "insufficient_scope"), ({"topic": "fleeting/x", "message": "x", "key": "k"}, "bad_field")):
        bob.fails("publish", code, **members)
    ack = bob.ok("publish", "ack", topic="fleeting/x", message="x")
    assert "id" not in ack
    # once, however many subscriptions match
    ada.ok("subscribe", "subscribed", topic="*")
    i = bob.ok("publish", "ack", topic=topic, message="once")["id"]
    bob.ok("publish", "ack", topic=topic, message="then")
    ada.expect("notification", message="then")
    assert len(ada.take("notification", id=i)) == 1
    m = ada.ok("unsubscribe", "unsubscribed", topic=topic)
    assert m["topic"] == topic
    for kind, members, code in (("unsubscribe", {"topic": topic}, None), ("leave", {"room": "elsewhere"}, "not_joined"), ("leave", {"room": 1}, "bad_field")):
        m = ada.ask(kind, **members)
        assert m["type"] == "error" and (code is None or m["code"] == code), m
    for kind, code in (("", "unknown_type"), ("xyz", "unknown_type"), ("welcome", "unknown_type"), ("ack", "unknown_type"), ("chat ", "unknown_type"), ("\u212ahat", "unknown_type")):
        ada.fails(kind, code)
    for text, code in (("", "bad_json"), (" ", "bad_json"), ("{", "bad_json"), ("hi", "bad_json"), ("[]", "bad_request"), ('"x"', "bad_request"), ("1", "bad_request"), ("null", "bad_request"), ("{}", "bad_field"), ('{"type":null}', "bad_field"), ('{"type":["ping"]}', "bad_field"),
                       ('{"type":"ping","type":"ping"}', "bad_json"), ('{"type":"ping"}x', "bad_json"), ("{'type':'ping'}", "bad_json"), ('{"type":"ping",}', "bad_json"), ('{"type":"chat","content":"\\ud800"}', "bad_json"), ('{"type":"ping","a":' + "[" * 70 + "]" * 70 + "}", "bad_json"), ("\ufeff{}", "bad_json")):
        ada.send(text)
        m = ada.expect("error")
        assert m["code"] == code and m["message"], (text, m)
    # leaving is seen at once
    m = bob.ok("leave", "left", room=room)
    assert m["room"] == room
    m = ada.expect("user_left")
    assert m == {"type": "user_left", "room": room, "user": {"id": "bob", "name": "Bob"}, "count": 1}
    bob.fails("chat", "not_joined", content="x", room=room)
    # a chat of one who is in no room goes to the default one
    cy = d.ws(sub="cy")
    cy.send({"type": "chat", "content": "where?", "ref": 1})
    got = [cy.recv() for _ in range(2)]
    assert {m["type"] for m in got} == {"joined", "ack"} and [m for m in got if m["type"] == "joined"][0]["room"] == "lobby", got
    cy.close()


def test_end_and_frames(daemon):
    room = mark("room")
    bob = daemon.join(room, sub="bob")
    for send, code in ((lambda ws: ws.send(b"binary"), 1003), (lambda ws: ws.send_frame(TEXT, b"\xff"), 1007), (lambda ws: ws.send_frame(3), 1002), (lambda ws: ws.send_frame(TEXT, "x", mask=False), 1002), (lambda ws: ws.send_frame(TEXT, "x", rsv=4), 1002),
                       (lambda ws: ws.send_frame(PING, "x" * 126, form=16), 1002), (lambda ws: ws.send_frame(CLOSE, b"\x03"), 1002), (lambda ws: ws.send_frame(CLOSE, b"\x03\xed"), 1002), (lambda ws: ws.send("x" * 65537), 1009)):
        ws = daemon.join(room, sub="eve")
        send(ws)
        ws.expect_close(code)
    ws = daemon.join(room, sub="ann")
    ws.send("{}")  # a bad message gets an error, and the connection stays
    ws.expect("error")
    ws.conn.send(frame(TEXT, '{"type":"pi', fin=False) + frame(PING, b"mid") + frame(0, 'ng","ref":"f"}'))
    assert ws.recv_frame().opcode == PONG
    assert ws.expect("pong")["ref"] == "f"
    i = ws.ok("chat", "ack", content="x" * 60000)["id"]
    assert len(bob.expect("chat", id=i)["content"]) == 60000
    # 64 and more in flight: each is answered, in whatever order, and nothing is lost
    ws.conn.send(b"".join(frame(TEXT, json.dumps({"type": "chat", "content": f"n{n}", "ref": n})) for n in range(300)))
    refs = [ws.expect("ack")["ref"] for _ in range(300)]
    assert sorted(refs) == list(range(300))
    assert [bob.expect("chat")["content"] for _ in range(300)] == [f"n{n}" for n in range(300)]
    assert ws.close().code == 1000
    bob.expect("user_left", user={"id": "ann", "name": "ann"})


def test_text(daemon):
    room = mark("room")
    text = daemon.ws(sub="ada", name="Ada", format="text", room=room)
    bob = daemon.join(room, sub="bob", name="Bob")
    assert text.recv_text() == "* Bob joined"
    bob.say("hi")
    assert text.recv_text() == "<Bob>: hi"
    text.send("hello { } \u2028")
    assert bob.expect("chat")["content"] == "hello { } \u2028"
    for said, seen in (("a\nb", "a\n    b"), ("a\r\nb", "a\n    b"), ("a\rb", "a\n    b"), ("x\n<Ada>: fake\n* gap", "x\n    <Ada>: fake\n    * gap"), ("a\u2028<Ada>: b", "a\n    <Ada>: b"), ("a\u0085b\u2029c\x0bd\x0ce", "a\n    b\n    c\n    d\n    e"), ("tab\there", "tab\there"), ("\x1b[2J\x07red\u009b31m", "[2Jred31m")):
        bob.say(said)
        assert text.recv_text() == "<Bob>: " + seen
    bob.send({"type": "typing", "room": room})
    eve = daemon.join(room, sub="eve", name="E>v<e\u2028\u202e")
    line = text.recv_text()
    assert line.startswith("* Eve") and line.endswith(" joined") and "\n" not in line and "\u2028" not in line, line
    eve.ok("leave", "left", room=room)
    assert text.recv_text().endswith(" left")
    text.send(" \n ")
    assert re.fullmatch(r"! bad_field: [^\n]+", text.recv_text())
    text.send_frame(TEXT, b"")
    assert re.fullmatch(r"! bad_field: [^\n]+", text.recv_text())
    bob.ok("leave", "left", room=room)
    assert text.recv_text() == "* Bob left"
    text.send(b"binary")
    text.expect_close(1003)
    gap = daemon.ws(sub="ada", format="text", room=room, after=1)
    assert gap.recv_text() == "* gap"
    lobby = daemon.ws(sub="ann", format="text")
    lobby.send("default room")
    with daemon.ws(sub="bob", room="lobby", last=1) as ws:
        ws.expect("chat", content="default room")


def test_raw(daemon):
    room = mark("room")
    a, b, chat = daemon.ws(sub="a", format="raw", room=room), daemon.ws(sub="b", format="raw", room=room), daemon.join(room, sub="c")
    daemon.ws(sub="d", format="raw")  # elsewhere
    time.sleep(0.05)
    for payload in (b"", b"\x00\xff" * 5, "", "text \u00e9", '{"type":"chat","content":"x"}', b"x" * 65536):
        a.send(payload)
        op, got = b.recv_message()
        assert (got if isinstance(payload, bytes) else got.decode()) == payload and op == (2 if isinstance(payload, bytes) else 1)
    chat.sync()
    assert not chat.take("chat")
    a.send_frame(TEXT, b"\xff")
    a.expect_close(1007)
    m = b.close()
    assert isinstance(m, Frame)
