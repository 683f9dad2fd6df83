"""Chat over SSE: the stream, and POST /chat/{session} into it."""

import json
import threading
import time

import pytest
from support import SLOW
from support.daemon import mark
from support.rawclient import Conn

CONF = {"chat": {"leave_grace": "1s", "default_room": "lobby"}}


def post(d, session, body, kind="application/json", token=None, sub="ada"):
    if not isinstance(body, (str, bytes)):
        body = json.dumps(body)
    headers = {"Content-Type": kind} if kind else {}
    return d.http("POST", f"/chat/{session}", headers, body, token=token or d.token(sub))


def test_open(daemons, room):
    s = daemons.sse("/chat", room=room)
    assert s.response.header("Content-Type").startswith("text/event-stream")
    assert s.response.header("X-Accel-Buffering") == "no"
    first = s.next()
    assert first.name == "user", first
    assert len(first.data) >= 16 and "\n" not in first.data
    w = s.until("welcome").json()
    assert w["user"]["id"] == "ada"
    j = s.until("joined").json()
    assert j["room"] == room and [m["id"] for m in j["members"]] == ["ada"]


def test_sessions_are_unguessable(daemons):
    a, b = daemons.chat_sse("x").session, daemons.chat_sse("x").session
    assert a != b and len(a) >= 16
    assert len(set(zip(a, b))) > 8


def test_talk(daemons, room):
    ada = daemons.chat_sse(room, token=daemons.token("ada", name="Ada"))
    ws = daemons.join(room, sub="bob", name="Bob")
    assert ada.until("user_joined").json()["user"]["id"] == "bob"
    ack = ws.say("hello")
    ev = ada.until("message")
    assert ev.id == str(ack["id"])
    doc = ev.json()
    assert (doc["type"], doc["content"], doc["from"]) == ("chat", "hello", {"id": "bob", "name": "Bob"})
    r = post(daemons, ada.session, {"type": "chat", "content": "hi", "ref": 5, "key": "k"}, token=daemons.token("ada", name="Ada")).ok().json()
    assert r["type"] == "ack" and r["ref"] == 5 and r["duplicate"] is False
    m = ws.expect("chat")
    assert (m["id"], m["content"], m["from"]["id"], m["key"]) == (r["id"], "hi", "ada", "k")
    again = post(daemons, ada.session, {"type": "chat", "content": "hi", "key": "k"}).ok().json()
    assert again["duplicate"] is True and again["id"] == r["id"]


def test_post_text(daemons, room):
    """fetch's default for a string body is the content of a chat."""
    s = daemons.chat_sse(room)
    ws = daemons.join(room, sub="bob")
    for kind in ("text/plain", "text/plain;charset=UTF-8"):
        content = mark("text ü")
        ack = post(daemons, s.session, content, kind=kind).ok().json()
        assert ack["type"] == "ack"
        m = ws.expect("chat")
        assert m["content"] == content and m["id"] == ack["id"]


def test_own_messages_move_the_cursor(daemons, room):
    """For the stream's own messages a bare id block, which dispatches nothing."""
    s = daemons.chat_sse(room)
    ack = post(daemons, s.session, {"type": "chat", "content": "mine"}).ok().json()
    while True:
        b = s.block()
        assert not (b.dispatched and b.name == "message"), "the sender got its own"
        if b.id == str(ack["id"]):
            assert not b.dispatched
            break


def test_resume(daemons, room):
    s = daemons.chat_sse(room)
    ws = daemons.join(room, sub="bob")
    one = ws.say("one")["id"]
    assert s.until("message").id == str(one)
    s.close()
    missed = [ws.say(f"m{i}")["id"] for i in range(4)]
    s = daemons.sse("/chat", room=room, headers={"Last-Event-ID": str(one)})
    assert s.next().name == "user"
    j = s.until("joined").json()
    assert j["resumed"] is True
    got = [s.until("message") for _ in range(4)]
    assert [int(e.id) for e in got] == missed
    assert not [b for b in s.blocks if b.event == "gap"]


def test_resume_after_own(daemons, room):
    s = daemons.chat_sse(room)
    ack = post(daemons, s.session, {"type": "chat", "content": "mine"}).json()
    s.close()
    ws = daemons.join(room, sub="bob")
    two = ws.say("two")["id"]
    s = daemons.sse("/chat", room=room, headers={"Last-Event-ID": str(ack["id"])})
    assert s.until("message").id == str(two)


@pytest.mark.parametrize("position, reason", [("nonsense", "unreadable"), ("5", "outside")])
def test_gap(daemons, room, position, reason):
    ws = daemons.join(room, sub="bob")
    ws.say("one")
    s = daemons.sse("/chat", room=room, headers={"Last-Event-ID": position})
    doc = s.until("gap").json()
    assert doc["reason"] == reason
    ws.say("live")
    s.until("message", match=lambda e: e.json()["content"] == "live")


def test_gap_has_an_id(daemons, room):
    """As on /events: an EventSource that comes back with it is not told again, and misses nothing."""
    one = daemons.join(room, sub="bob").say("one")["id"]
    cursors = []
    for position in ("nonsense", "5"):
        s = daemons.sse("/chat", room=room, headers={"Last-Event-ID": position})
        cursors.append(s.until("gap").id)
    assert int(cursors[0]) >= one > int(cursors[1]), "of an unreadable one only what is live follows"
    s = daemons.sse("/chat", room=room, headers={"Last-Event-ID": cursors[1]})
    assert s.until("joined").json()["resumed"] is True
    assert s.until("message").id == str(one)


@pytest.mark.parametrize("query", [{}, {"last": 0}])
def test_cursor_from_the_start(daemons, room, query):
    """A room without messages gives a cursor all the same: what comes while the browser is away is not lost."""
    bob = daemons.join(room, sub="bob")
    if query:
        bob.say("stored")
    s = daemons.sse("/chat", room=room, **query)
    cursor = s.until("joined").id
    s.close()
    want = [bob.say(str(i))["id"] for i in range(60)]
    s = daemons.sse("/chat", room=room, headers={"Last-Event-ID": cursor})
    joined = s.until("joined")
    assert joined.json()["resumed"] is True and joined.id is None, "it has one"
    assert [int(s.until("message").id) for _ in want] == want


def test_stored_messages_are_the_cursor(daemons, room):
    daemons.join(room, sub="bob").say("stored")
    s = daemons.sse("/chat", room=room)
    assert s.until("joined").id is None, "a cut right behind it would lose what is stored"


def test_last(daemons, room):
    ws = daemons.join(room, sub="bob")
    want = [ws.say(str(i))["id"] for i in range(5)]
    s = daemons.sse("/chat", room=room, last=2)
    assert [int(s.until("message").id) for _ in range(2)] == want[3:]
    s = daemons.sse("/chat", room=room)
    assert [int(s.until("message").id) for _ in range(5)] == want, "50 by default, as over WebSocket"


def test_default_room(daemons):
    s = daemons.sse("/chat")
    assert s.until("joined").json()["room"] == "lobby"


def test_text_format(daemons, room):
    s = daemons.sse("/chat", room=room, format="text")
    session = s.until("user").data
    ws = daemons.join(room, sub="bob", name="Bob")
    ws.say("hello")
    while True:
        ev = s.next()
        if ev.name == "message":
            break
    assert ev.data == "<Bob>: hello"
    post(daemons, session, "from text", kind="text/plain").ok()
    assert ws.expect("chat")["content"] == "from text"


@pytest.mark.parametrize("message, answer", [
    ({"type": "ping"}, "pong"), ({"type": "Join", "room": "other-room"}, "joined"), ({"type": "members", "room": "{room}"}, "members"),
    ({"type": "rooms"}, "rooms"), ({"type": "history", "room": "{room}"}, "history"), ({"type": "subscribe", "topic": "a/b"}, "subscribed"),
    ({"type": "publish", "topic": "a/b", "message": "x"}, "ack"), ({"type": "leave", "room": "{room}"}, "left"),
])
def test_any_message(daemons, room, message, answer):
    s = daemons.chat_sse(room)
    message = {k: v.format(room=room) for k, v in message.items()}
    doc = post(daemons, s.session, {**message, "ref": "r"}).ok().json()
    assert doc["type"] == answer and doc["ref"] == "r", doc


def test_typing_has_no_answer(daemons, room):
    s = daemons.chat_sse(room)
    ws = daemons.join(room, sub="bob")
    r = post(daemons, s.session, {"type": "typing"})
    assert r.status in (200, 202, 204), r
    assert ws.expect("typing")["user"]["id"] == "ada"


def test_join_by_post_streams_the_room(daemons, room):
    s = daemons.chat_sse(mark("first"))
    post(daemons, s.session, {"type": "join", "room": room}).ok()
    ws = daemons.join(room, sub="bob")
    one = ws.say("x")["id"]
    assert s.until("message").id == str(one)


def test_a_second_room_keeps_the_cursor(daemons, room):
    """What is replayed of a room joined by POST must not bring the browser behind what its own room has had."""
    other = mark("other")
    bob = daemons.join(other, sub="bob")
    old = [bob.say(f"old {i}")["id"] for i in range(3)]
    carl = daemons.join(room, sub="carl")
    s = daemons.chat_sse(room)
    one = carl.say("one")["id"]
    assert s.until("message").id == str(one)
    post(daemons, s.session, {"type": "join", "room": other, "last": 10}).ok()
    replayed = [s.until("message") for _ in old]
    assert [(e.json()["id"], e.id) for e in replayed] == [(i, None) for i in old]
    live = bob.say("live")["id"]
    assert s.until("message").id == str(live)
    s.close()
    two = carl.say("two")["id"]
    s = daemons.sse("/chat", room=room, headers={"Last-Event-ID": str(live)})
    assert s.until("message").id == str(two)


def test_a_second_room_passes_nothing(start):
    """While the stream's own room still comes from the disk, what is live in another does not bring the cursor past it."""
    d = start({"storage": {"backend": "sqlite", "path": "data/belfry.db", "cache": 16384}, "limits": {"messages_per_second": 0}})
    bob = d.join("other", sub="bob")
    for _ in range(3):
        d.http("POST", "/publish", {"Content-Type": "application/json"}, json.dumps([{"topic": "chat/home", "message": "x" * 900}] * 1000),
               token=d.token("publisher")).ok()
    for _ in range(5):
        s = d.chat_sse("home", after="all")
        post(d, s.session, {"type": "join", "room": "other"}).ok()
        done = threading.Event()
        talk = threading.Thread(target=lambda: [bob.send({"type": "chat", "content": "live"}) for _ in range(400) if not done.wait(0.001)], daemon=True)
        talk.start()
        seen = []
        while seen.count("home") < 3000:
            e = s.until("message")
            if e.id is not None and seen.count("home") < 2999:
                assert e.json()["room"] == "home", "a cut here would lose what is still to come of the first room"
            seen.append(e.json()["room"])
        done.set()
        talk.join()
        s.close()


@pytest.mark.parametrize("body, status, code", [
    ("{", 400, "bad_json"), ({"type": "nonsense"}, 400, "unknown_type"), ({"type": "chat"}, 400, "bad_field"),
    ({"type": "chat", "content": "x", "room": "never-joined"}, 403, "not_joined"), ({"type": "join", "room": "a/b"}, 400, "bad_field"),
])
def test_errors(daemons, room, body, status, code):
    """An error's answer has the status of its code and the error object as body."""
    s = daemons.chat_sse(room)
    r = post(daemons, s.session, body)
    assert r.status == status, r
    doc = r.json()
    assert doc["type"] == "error" and doc["code"] == code and doc["message"], doc


def test_refusals_have_a_challenge(daemons, room):
    """401 must say which scheme is wanted (RFC 9110, 15.5.2), 403 insufficient_scope as everywhere."""
    s = daemons.chat_sse(room)
    r = post(daemons, s.session, {"type": "refresh", "token": "a.b.c"})
    assert r.status == 401 and r.header("WWW-Authenticate").startswith('Bearer realm="belfry", error="invalid_token", error_description="'), r
    r = post(daemons, s.session, {"type": "kick", "room": room, "user": "x"})
    assert r.status == 403 and 'error="insufficient_scope"' in r.header("WWW-Authenticate"), r
    assert post(daemons, s.session, {"type": "chat", "content": ""}).header("WWW-Authenticate") is None


def missing(r):
    assert r.status == 404, r
    doc = r.json()
    assert doc["code"] == "not_found", doc
    return {k: v for k, v in doc.items() if k != "ref"}


def test_not_found(daemons, room):
    """Another's session, one that has ended, one that never was: 404, all alike."""
    s = daemons.chat_sse(room, sub="ada")
    post(daemons, s.session, {"type": "ping"}, sub="ada").ok()
    others = missing(post(daemons, s.session, {"type": "ping"}, sub="mallory"))
    never = s.session[:2] + "".join("0123456789abcdef"[(int(c, 16) + 1) % 16] for c in s.session[2:])
    assert others == missing(post(daemons, never, {"type": "ping"}))
    missing(post(daemons, mark("nonsense"), {"type": "ping"}))
    assert post(daemons, "%00", {"type": "ping"}).status in (400, 404)
    s.close()
    end = time.monotonic() + 5 * SLOW
    while True:
        r = post(daemons, s.session, {"type": "ping"}, sub="ada")
        if r.status == 404:
            assert missing(r) == others
            break
        assert time.monotonic() < end
        time.sleep(0.05)


def test_websocket_session_is_no_door(daemons):
    """Only a chat that was opened over SSE takes POSTs."""
    ws = daemons.ws(sub="ada")
    missing(post(daemons, ws.welcome["session"], {"type": "ping"}, sub="ada"))


def test_needs_token(daemons, room):
    s = daemons.chat_sse(room)
    daemons.http("POST", f"/chat/{s.session}", {"Content-Type": "application/json"}, '{"type":"ping"}').problem(401, "unauthorized")
    daemons.sse("/chat", token="", room=room, refuse=True).problem(401, "unauthorized")


def test_another_token_of_the_same_sub(daemons, room):
    s = daemons.chat_sse(room, token=daemons.token("ada", jti="1"))
    post(daemons, s.session, {"type": "ping"}, token=daemons.token("ada", jti="2")).ok()


def test_media_type(daemons, room):
    s = daemons.chat_sse(room)
    post(daemons, s.session, "<x/>", kind="application/xml").problem(415, "unsupported_media")


def test_methods(daemons, room):
    s = daemons.chat_sse(room)
    r = daemons.http("GET", f"/chat/{s.session}", token=daemons.token("ada"))
    r.problem(405, "method_not_allowed")
    assert "POST" in r.header("Allow")


def test_forbidden_room(daemons):
    token = daemons.token("a", subscribe=["chat/y"])
    daemons.sse("/chat", token=token, room="x", refuse=True).problem(403, "insufficient_scope")


def test_bad_room(daemons):
    daemons.sse("/chat", room="a/b", refuse=True).problem(400, "bad_field")


def test_across_workers(daemons, room):
    """Wherever the stream lives and the POST arrives: each pair works, in order."""
    streams = [daemons.chat_sse(room, sub=f"u{i}") for i in range(6)]
    ws = daemons.join(room, sub="w")
    want = []
    for n in range(5):
        for i, s in enumerate(streams):
            want.append(post(daemons, s.session, {"type": "chat", "content": f"{i}.{n}"}, sub=f"u{i}").ok().json()["id"])
    got = [ws.expect("chat")["id"] for _ in want]
    assert got == want
    for i, s in enumerate(streams):
        mine = [int(s.until("message").id) for _ in range(25)]
        assert mine == [x for k, x in enumerate(want) if k % 6 != i]


def test_posts_on_one_connection_in_order(daemons, room):
    """A pipelining client's messages keep their order, also into a stream of another worker."""
    from support.rawclient import build

    for _ in range(3):
        s = daemons.chat_sse(room, sub="ada")
        w = daemons.join(room, sub="w")
        with Conn(daemons.address) as c:
            head = {"Content-Type": "text/plain", **daemons.bearer(sub="ada")}
            c.send(b"".join(build("POST", f"/chat/{s.session}", head, str(i)) for i in range(40)))
            for _ in range(40):
                assert c.response().status == 200
        assert [w.expect("chat")["content"] for _ in range(40)] == [str(i) for i in range(40)]
        w.drop()


def test_presence(daemons, room):
    """A stream is a member; its end is seen after leave_grace."""
    ws = daemons.join(room, sub="w")
    s = daemons.chat_sse(room, sub="ada")
    assert ws.expect("user_joined")["user"]["id"] == "ada"
    tab = daemons.join(room, sub="ada")
    s.close()
    time.sleep(1.5)
    ws.sync()
    assert not ws.take("user_left"), "the WebSocket of the same user is still there"
    tab.drop()
    assert ws.expect("user_left", timeout=6 * SLOW)["user"]["id"] == "ada"


def test_error_event_is_problem(daemons, room):
    """What would be `error` over WebSocket is `problem` in the stream, when it comes there at all."""
    s = daemons.chat_sse(room)
    post(daemons, s.session, {"type": "nonsense"})
    post(daemons, s.session, {"type": "chat", "content": "x"}).ok()
    names = set()
    while True:
        b = s.block()
        if b.dispatched:
            names.add(b.name)
        elif b.id:
            break
    assert "error" not in names
