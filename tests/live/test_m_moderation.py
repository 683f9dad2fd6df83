"""Moderation: kick, ban, mute, revoke; at every door, on every worker, over restarts."""

import json
import threading
import time
import urllib.parse

import pytest
from support import tokens
from support.daemon import Daemon, ctl, mark

LATER = 3600  # seconds that no test takes


def token(sub, role=None, **claims):
    return tokens.make(sub, name=sub.title(), subscribe=["**", f"user/{sub}"], publish=["**", f"user/{sub}"], direct=["*"],
                       role=role, **claims)


def someone(d, sub, room=None, role=None, **query):
    """A WebSocket of this user, who has joined the room."""
    ws = d.ws(token=token(sub, role), **query)
    if room:
        ws.ok("join", "joined", room=room, last=0)
    return ws


def api(d, what, expected=200, **body):
    r = d.http("POST", "/api/" + what, {"Content-Type": "application/json"}, json.dumps(body), token=token("root", "admin"))
    assert r.status == expected, r
    return r.json()


def listed(d, what):
    return d.http("GET", "/api/" + what, token=token("root", "admin")).ok().json()[what]


def post(d, path, body, sub, role=None):
    kind = "application/json" if isinstance(body, dict) else "text/plain"
    return d.http("POST", path, {"Content-Type": kind}, json.dumps(body) if isinstance(body, dict) else body, token=token(sub, role))


def again(d):
    """The same daemon on the same port and file, after a clean end."""
    d.stop()
    return d.again()


@pytest.fixture(params=[1, 3], ids=["w1", "w3"])
def disk(request, tmp_path):
    d = Daemon(tmp_path, {"workers": request.param, "storage": {"backend": "sqlite", "path": "data/belfry.db"}})
    yield d.start()
    d.stop()


# -- kick --------------------------------------------------------------------------------------------------------------------


def test_kick(daemons):
    room, other = mark("r"), mark("o")
    ann = someone(daemons, "ann", room, "moderator")
    bobs = [someone(daemons, "bob", room) for _ in range(4)]
    bobs[0].ok("join", "joined", room=other, last=0)
    eve = someone(daemons, "eve", room)
    ack = ann.ok("kick", "ack", room=room, user="bob", reason="spam")
    assert (ack["room"], ack["user"]) == (room, "bob")
    for n, bob in enumerate(bobs):
        left = bob.expect("left", room=room)
        assert left["reason"] == "kicked by Ann: spam"
        if n > 0:
            assert bob.expect_close(4403).payload[2:] == b"kicked by Ann: spam"
    gone = eve.expect("user_left", room=room)
    assert gone["user"]["id"] == "bob" and gone["count"] == 2
    assert bobs[0].ok("chat", "ack", room=other, content="still here")["id"]
    bobs[0].ok("join", "joined", room=room, last=0)  # a kick is no ban
    ann.fails("kick", "not_found", room=room, user="nobody")
    ann.fails("kick", "bad_field", room=room, user="ann")
    ann.fails("kick", "bad_field", room=room, user="bob", reason="a\nb")
    eve.fails("kick", "insufficient_scope", room=room, user="bob")
    ann.fails("kick", "insufficient_scope", room="*", user="bob")
    boss = someone(daemons, "boss", room, "admin")
    ann.fails("kick", "forbidden", room=room, user="boss")
    assert boss.ok("kick", "ack", room="*", user="bob")["room"] == "*"
    assert bobs[0].expect("left", room=other)["reason"] == "kicked by Boss"
    bobs[0].expect_close(4403)


def test_kick_other_transports(daemons):
    """Over SSE the stream ends; in text a line says why; a subscription to the room's topic ends."""
    room = mark("r")
    stream = daemons.chat_sse(room, token=token("bob"), last=0)
    stream.until("joined")
    line = daemons.ws(token=token("bob"), room=room, format="text")
    raw = daemons.ws(token=token("bob"), room=room, format="raw")
    reader = someone(daemons, "bob")
    reader.ok("subscribe", "subscribed", topic=f"chat/{room}")
    reader.ok("subscribe", "subscribed", topic="elsewhere")
    someone(daemons, "eve", room).sync()
    assert api(daemons, "kick", room=room, user="bob", reason="spam")["reached"] == 4
    assert json.loads(stream.until("left").data)["reason"] == "kicked by Root: spam"
    assert stream.end() == []
    line.expect_close(4403)
    assert b"* left: kicked by Root: spam" in line.inbox
    raw.expect_close(4403)
    assert reader.expect("unsubscribed")["reason"] == "kicked by Root: spam"
    reader.sync()
    assert api(daemons, "kick", 404, room=room, user="bob")["code"] == "not_found"


# -- ban ---------------------------------------------------------------------------------------------------------------------


def refused_everywhere(d, room, sub, code, session):
    """At every door by which somebody speaks in a room; the answers' words."""
    ws = d.ws(token=token(sub))
    r = post(d, f"/publish/chat/{room}", "hi", sub)
    assert r.status == 403 and r.json()["code"] == code, r
    r = post(d, "/publish", {"topic": f"chat/{room}", "message": "hi"}, sub)
    assert r.status == 403 and r.json()["code"] == code, r
    ws.fails("publish", code, topic=f"chat/{room}", message="hi")
    r = post(d, f"/chat/{session}", {"type": "publish", "topic": f"chat/{room}", "message": "hi"}, sub)
    assert r.status == 403 and r.json()["code"] == code, r
    ws.close()
    return r.json()


def test_ban(daemons):
    room = mark("r")
    ann = someone(daemons, "ann", room, "moderator")
    bob, eve = someone(daemons, "bob", room), someone(daemons, "eve", room)
    stream = daemons.chat_sse(mark("o"), token=token("bob"), last=0)
    ack = ann.ok("ban", "ack", room=room, user="bob", seconds=LATER, reason="spam")
    assert abs(ack["until"] - time.time() - LATER) < 60
    left = bob.expect("left", room=room)
    assert left["reason"].startswith("banned by Ann until 20") and left["reason"].endswith("Z: spam")
    bob.expect_close(4403)
    eve.expect("user_left", room=room)
    bob = someone(daemons, "bob")
    error = bob.fails("join", "banned", room=room)
    assert "by Ann: spam" in error["message"] and "until 20" in error["message"]
    assert LATER - 60 < error["retry_after"] <= LATER
    bob.fails("subscribe", "banned", topic=f"chat/{room}")
    bob.fails("history", "banned", room=room)
    assert refused_everywhere(daemons, room, "bob", "banned", stream.session)["retry_after"] > 0
    for path in (f"/chat?room={room}", f"/history?topic=chat/{room}", f"/events?topic=chat/{room}"):
        r = daemons.http("GET", path, token=token("bob"))
        assert r.status == 403 and r.json()["code"] == "banned", (path, r)
    r = daemons.ws(token=token("bob"), room=room, refuse=True)
    assert r.status == 403 and r.json()["code"] == "banned" and int(r.header("Retry-After")) > LATER - 60
    assert daemons.sse("/chat", token=token("bob"), room=room, refuse=True).json()["code"] == "banned"
    denied = daemons.sse("/events", token=token("bob"), topic=[f"chat/{room}", "x"]).until("denied").json()
    assert denied["code"] == "banned"
    entry = next(b for b in listed(daemons, "bans") if b["room"] == room)
    assert (entry["user"], entry["by"], entry["reason"], entry["until"]) == ("bob", "Ann", "spam", ack["until"])
    assert abs(entry["since"] - time.time()) < 60
    bob.ok("join", "joined", room=mark("r"), last=0)  # elsewhere he may
    eve.fails("unban", "insufficient_scope", room=room, user="bob")
    ann.ok("unban", "ack", room=room, user="bob")
    ann.fails("unban", "not_found", room=room, user="bob")
    bob.ok("join", "joined", room=room, last=0)
    assert not [b for b in listed(daemons, "bans") if b["room"] == room]


def test_ban_ends(daemons):
    room = mark("r")
    ann = someone(daemons, "ann", room, "moderator")
    ann.ok("ban", "ack", room=room, user="bob", seconds=1)
    bob = someone(daemons, "bob")
    bob.fails("join", "banned", room=room)
    end = time.monotonic() + 20
    while (m := bob.ask("join", room=room))["type"] == "error":
        assert m["code"] == "banned" and m["retry_after"] == 1 and time.monotonic() < end
        time.sleep(0.1)
    assert not [b for b in listed(daemons, "bans") if b["room"] == room]


def test_ban_everywhere(daemons):
    room, sub = mark("r"), mark("bob")
    bob = someone(daemons, sub, room)
    api(daemons, "ban", room="*", user=sub, reason="enough")
    assert bob.expect("left", room=room)["reason"] == "banned by Root: enough"
    bob.expect_close(4403)
    bob = someone(daemons, sub)
    assert "retry_after" not in bob.fails("join", "banned", room=mark("r"))
    assert bob.ok("publish", "ack", topic="elsewhere", message="a bell is no room")
    assert [b["room"] for b in listed(daemons, "bans") if b["user"] == sub] == ["*"]
    api(daemons, "unban", room="*", user=sub)
    bob.ok("join", "joined", room=room, last=0)


def patterns_leave_out(d):
    """Live and stored, at every door that takes a pattern, and what a stream follows by name."""
    room, other, bob = mark("r"), mark("o"), mark("bob")
    t = token(bob)
    start = d.publish(f"chat/{room}", "before")["id"]
    ws = someone(d, bob)
    ws.ok("subscribe", "subscribed", topic="chat/*")
    chat = d.chat_sse(mark("q"), token=t, last=0)
    assert post(d, f"/chat/{chat.session}", {"type": "subscribe", "topic": "*/*"}, bob).status == 200
    events = d.sse(topic="**", token=t)
    lines = d.sse(topic="chat/**", token=t, accept="application/x-ndjson")
    named = d.sse(topic=[f"chat/{room}", "elsewhere"], token=t)
    only = d.sse(topic=f"chat/{room}", token=t)
    eve = d.sse(topic="chat/*", token=token("eve"))
    assert api(d, "ban", room=room, user=bob, seconds=LATER, reason="spam")["reached"] == 6
    words = ws.expect("denied")
    assert (words["topic"], words["code"]) == (f"chat/{room}", "banned") and words["retry_after"] > LATER - 60
    assert words["detail"].startswith("you are banned from this room until 20") and words["detail"].endswith(" by Root: spam")
    for stream in (chat, events, named, only):
        assert stream.until("denied").json()["detail"] == words["detail"]
    while (line := lines.lines())["type"] != "denied":
        assert line["type"] == "keepalive"
    assert not [e for e in only.end() if e.data]
    secret = d.publish(f"chat/{room}", "secret")["id"]
    d.publish("elsewhere", "bell")
    plain = d.publish(f"chat/{other}", "plain")["id"]

    def is_next(content):
        assert ws.expect("chat", keep=False)["content"] == content
        assert chat.until("message").json()["content"] == content
        assert events.until("chat").json()["content"] == content
        while (line := lines.lines())["type"] == "keepalive":
            pass
        assert line["content"] == content

    is_next("plain")
    assert named.until("notification").json()["message"] == "bell"
    assert eve.until("chat").json()["id"] == secret

    def stored():
        """The ids at each door that replays."""
        after = {"after": start}
        for query in ({"topic": "chat/*"} | after, {"topic": "**", "after": "all"}, {"topic": "chat/*"}):
            yield [m["id"] for m in d.http("GET", "/history?" + urllib.parse.urlencode(query), token=t).ok().json()["messages"]]
        yield [m["id"] for m in d.http("GET", "/history?topic=chat/*&q=secret", token=t).ok().json()["messages"]] + [plain]
        yield [int(e.id) for e in d.sse(topic="chat/*", wait=0, token=t, **after).end() if e.name == "chat"]
        reader = someone(d, bob)
        yield [m["id"] for m in reader.ok("history", "history", topic="chat/**", after=start)["messages"]]
        reader.ok("subscribe", "subscribed", topic="chat/*", last=2)
        d.publish(f"chat/{other}", "last")
        got = []
        while (m := reader.expect("chat", keep=False))["content"] != "last":
            got.append(m["id"])
        yield got

    for ids in stored():
        assert secret not in ids and start not in ids and plain in ids, ids
    rooms = [r["room"] for r in ws.ok("rooms", "rooms")["rooms"]]
    assert other in rooms and room not in rooms
    ws.fails("read", "banned", room=room, id=secret)
    return room, bob, ws, is_next, stored, secret


def test_ban_and_patterns(daemons):
    room, bob, ws, is_next, stored, secret = patterns_leave_out(daemons)
    is_next("last")
    api(daemons, "unban", room=room, user=bob)
    daemons.publish(f"chat/{room}", "back")
    is_next("back")
    assert secret in next(stored())
    assert room in [r["room"] for r in ws.ok("rooms", "rooms")["rooms"]]


def test_ban_everywhere_and_patterns(daemons):
    """In the words of the ban also where the token grants no more than that pattern; a stream goes on with what is no room."""
    room, bob = mark("r"), mark("bob")
    t = tokens.make(bob, subscribe=[f"*/{room}"])
    ws, events = daemons.ws(token=t), daemons.sse(topic=f"*/{room}", token=t)
    ws.ok("subscribe", "subscribed", topic=f"*/{room}")
    api(daemons, "ban", room="*", user=bob)
    assert ws.expect("denied")["detail"] == events.until("denied").json()["detail"] == "you are banned from all rooms by Root"
    daemons.publish(f"chat/{room}", "secret")
    daemons.publish(f"bells/{room}", "bell")
    assert ws.expect("notification", keep=False)["message"] == events.until("notification").json()["message"] == "bell"
    assert not ws.take("chat")


def test_ban_and_patterns_on_disk(disk):
    room, bob, *_ = patterns_leave_out(disk)
    again(disk)
    ws = someone(disk, bob)
    ws.ok("subscribe", "subscribed", topic="**", after="all")
    assert ws.expect("denied")["topic"] == f"chat/{room}"
    disk.publish("elsewhere", "end")
    while (m := ws.recv())["type"] != "notification" or m["message"] != "end":
        assert m.get("room") != room, m


def test_administrators_are_not_banned(daemons):
    room = mark("r")
    ann, boss = someone(daemons, "ann", room, "moderator"), someone(daemons, "boss", room, "admin")
    ann.ok("ban", "ack", room=room, user="boss")
    boss.say("I am still here")
    api(daemons, "unban", room=room, user="boss")


def test_the_banned_do_not_free_themselves(daemons):
    room = mark("r")
    ann = someone(daemons, "ann", role="moderator")
    api(daemons, "ban", room=room, user="ann")
    ann.fails("unban", "banned", room=room, user="ann")
    ann.fails("kick", "banned", room=room, user="bob")
    ann.fails("mute", "insufficient_scope", room="*", user="bob")


# -- mute --------------------------------------------------------------------------------------------------------------------


def test_mute(daemons):
    room = mark("r")
    ann = someone(daemons, "ann", room, "moderator")
    bob = someone(daemons, "bob", room)
    stream = daemons.chat_sse(room, token=token("bob"), last=0)
    stream.until("joined")
    line = daemons.ws(token=token("bob"), room=room, format="text")
    raw = daemons.ws(token=token("bob"), room=room, format="raw")
    ann.ok("mute", "ack", user="bob", seconds=LATER, reason="too loud")
    error = bob.fails("chat", "muted", content="hi", room=room)
    assert error["message"].endswith("by Ann: too loud") and LATER - 60 < error["retry_after"] <= LATER
    bob.fails("typing", "muted", room=room)
    refused_everywhere(daemons, room, "bob", "muted", stream.session)
    r = post(daemons, f"/chat/{stream.session}", "hi", "bob")
    assert r.status == 403 and r.json()["code"] == "muted" and r.header("Retry-After")
    line.send("hi")
    while not (text := line.recv_text()).startswith("! muted: you are muted in this room until"):
        assert not text.startswith("!"), text
    raw.send("hi")
    raw.expect_close(4403)
    ann.say("you still hear me")
    assert bob.expect("chat")["content"] == "you still hear me"
    assert [m["user"] for m in listed(daemons, "mutes") if m["room"] == room] == ["bob"]
    ann.ok("unmute", "ack", room=room, user="bob")
    bob.say("thank you", room=room)
    assert ann.expect("chat")["content"] == "thank you"
    ann.fails("unmute", "not_found", room=room, user="bob")


def test_mute_of_all_else(daemons):
    """Edits, reactions, directs, and what was put off before."""
    room, sub = mark("r"), mark("bob")
    ann, bob = someone(daemons, "ann", room, "admin"), someone(daemons, sub, room)
    i = bob.say("hi")["id"]
    began = time.monotonic()
    later = post(daemons, "/publish", {"topic": f"chat/{room}", "message": "later", "at": "+3s"}, sub)
    assert later.status == 202
    soon = post(daemons, "/publish", {"topic": f"chat/{room}", "message": "of somebody else", "at": "+3s"}, "eve")
    assert soon.status == 202
    bob.ok("direct", "ack", to="ann", content="psst")
    ann.ok("mute", "ack", room="*", user=sub)
    in_time = time.monotonic() - began < 2.5
    bob.fails("edit", "muted", target=i, content="ho")
    bob.fails("react", "muted", target=i, emoji="x")
    bob.fails("direct", "muted", to="ann", content="psst")
    bob.ok("delete", "ack", target=i)
    assert ann.expect("chat", content="of somebody else")
    assert not (in_time and ann.take("chat", content="later"))
    assert not [s for s in daemons.http("GET", "/api/scheduled", token=token("root", "admin")).ok().json()["scheduled"] if s["user"] == sub]
    ann.ok("unmute", "ack", room="*", user=sub)
    bob.ok("direct", "ack", to="ann", content="psst")


def test_bad_fields(daemons):
    room = mark("r")
    ann = someone(daemons, "ann", None, "moderator")
    ann.fails("ban", "bad_field", user="bob")
    ann.fails("ban", "bad_field", room=room)
    ann.fails("ban", "bad_field", room="a/b", user="bob")
    ann.fails("ban", "bad_field", room=room, user="")
    ann.fails("ban", "bad_field", room=room, user="b" * 129)
    ann.fails("ban", "bad_field", room=room, user=7)
    for seconds in (0, -1, 1.5, "60", 10**12):
        ann.fails("mute", "bad_field", room=room, user="bob", seconds=seconds)
    ann.fails("mute", "bad_field", room=room, user="bob", reason="r" * 201)
    assert api(daemons, "ban", 400, room=room)["code"] == "bad_field"
    assert api(daemons, "ban", 400, user="bob")["code"] == "bad_field"
    assert api(daemons, "revoke", 400)["code"] == "bad_field"
    assert api(daemons, "revoke", 400, jti="a", sub="b")["code"] == "bad_field"
    assert api(daemons, "revoke", 400, jti="a", before=7)["code"] == "bad_field"
    assert daemons.http("POST", "/api/ban", (), "[]", token=token("root", "admin")).json()["code"] == "bad_field"
    assert daemons.http("POST", "/api/ban", (), "{", token=token("root", "admin")).json()["code"] == "bad_json"
    assert daemons.http("GET", "/api/ban", token=token("root", "admin")).status == 405
    assert daemons.http("POST", "/api/ban", (), "{}", token=token("ann", "moderator")).status == 403


# -- revocation --------------------------------------------------------------------------------------------------------------


def test_revoke_jti(daemons):
    """Ends live connections of every kind, and is refused from then on."""
    sub, jti, room = mark("bob"), mark("jti"), mark("r")
    bad, good = token(sub, jti=jti), token(sub, jti=mark("other"))
    sockets = [daemons.ws(token=bad, room=room) for _ in range(3)]
    chat = daemons.chat_sse(room, token=bad)
    chat.until("joined")
    events = daemons.sse("/events", token=bad, topic="x")
    lines = daemons.sse("/events", token=bad, topic="x", accept="application/x-ndjson")
    kept = daemons.ws(token=good, room=room)
    said = api(daemons, "revoke", jti=jti, reason="lost")
    assert said == {"revoked": {"jti": jti}, "closed": 6}
    for ws in sockets:
        assert ws.expect_close(4401).payload[2:] == b"token revoked"
    assert chat.end()[-1].name == "expired" and events.end()[-1].name == "expired"
    while (line := lines.lines()) is not None:
        last = line
    assert last == {"type": "expired"}
    for path in ("/token", "/history?topic=x", "/chat", "/events"):
        r = daemons.http("GET", path, token=bad)
        assert r.status == 401 and r.json()["code"] == "invalid_token" and "revoked" in r.json()["detail"], (path, r)
        assert "invalid_token" in r.header("WWW-Authenticate")
    assert kept.fails("refresh", "invalid_token", token=bad)["message"] == "this token was revoked"
    kept.sync()
    entry = next(r for r in listed(daemons, "revocations") if r.get("jti") == jti)
    assert (entry["by"], entry["reason"], entry["until"]) == ("Root", "lost", None)
    assert api(daemons, "unrevoke", jti=jti)["ok"] is True
    assert daemons.http("GET", "/token", token=bad).status == 200
    assert api(daemons, "unrevoke", 404, jti=jti)["code"] == "not_found"
    assert bad not in daemons.log() and bad.split(".")[2] not in daemons.log()


def test_revoke_sub(daemons):
    sub = mark("bob")
    now = int(time.time())
    old, new = token(sub, iat=now - 100), token(sub, iat=now + 1)
    timeless = token(sub, drop=["iat"])
    a, b, c = daemons.ws(token=old), daemons.ws(token=new), daemons.ws(token=timeless)
    assert api(daemons, "revoke", sub=sub, before=now - 50) == {"revoked": {"sub": sub, "before": now - 50}, "closed": 2}
    a.expect_close(4401)
    c.expect_close(4401)
    b.sync()
    assert daemons.http("GET", "/token", token=old).status == 401
    assert daemons.http("GET", "/token", token=timeless).status == 401
    assert daemons.http("GET", "/token", token=new).status == 200
    daemons.http("GET", "/token", token=token(sub, iat=now))  # remembered as a good one
    said = api(daemons, "revoke", sub=sub)["revoked"]
    assert said["before"] > now
    assert daemons.http("GET", "/token", token=token(sub, iat=now)).status == 401
    assert daemons.http("GET", "/token", token=token(sub, iat=said["before"] + 5)).status == 200
    assert [r["before"] for r in listed(daemons, "revocations") if r.get("sub") == sub] == [said["before"]]
    api(daemons, "unrevoke", sub=sub)
    assert daemons.http("GET", "/token", token=old).status == 200


# -- tours -------------------------------------------------------------------------------------------------------------------


@pytest.mark.workers
def test_tours_cross(start):
    """Many go from worker to worker at once, from every home, while connections come and go: each comes home, with all it was sent for."""
    d = start({"workers": 3, "limits": {"connections_per_address": 0}})
    stays = [someone(d, f"s{i}", "stays") for i in range(9)]
    admin = token("root", "admin")
    wrong = []

    def lister():
        with d.conn() as c:
            for _ in range(25):
                got = c.request("GET", "/api/connections", {"Authorization": f"Bearer {admin}"}).ok().json()["connections"]
                users = [x.get("user", {}).get("id", "") if isinstance(x.get("user"), dict) else x.get("user", "") for x in got]
                if len({u for u in users if u.startswith("s")}) != 9:
                    wrong.append(got)

    def kicker(name):
        for i in range(8):
            ws = someone(d, f"{name}{i}", "goes")
            if api(d, "kick", room="goes", user=f"{name}{i}")["reached"] != 1:
                wrong.append((name, i))
            ws.expect("left")

    def ender(name):
        for i in range(8):
            ws = someone(d, f"{name}{i}", "goes")
            got = d.http("GET", "/api/connections", token=admin).ok().json()["connections"]
            mine = [x["id"] for x in got if f"{name}{i}" in json.dumps(x)]
            if len(mine) != 1 or d.http("DELETE", f"/api/connections/{mine[0]}", token=admin).status != 204:
                wrong.append((name, i))
            ws.expect_close(4403)

    def caught(run, *args):
        try:
            run(*args)
        except BaseException as e:  # noqa: BLE001
            wrong.append(repr(e))

    threads = [threading.Thread(target=caught, args=a) for a in
               [(lister,), (lister,), (kicker, "k"), (kicker, "l"), (ender, "e"), (ender, "f")]]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong, wrong[:3]
    for ws in stays:
        ws.say("still here")


# -- slow mode ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_slow(start, workers):
    """Counted for each user and room, over all doors; the same message again is no other one."""
    d = start({"workers": workers, "topics": ({"match": "chat/slow*", "history": 10}, {"match": "chat/crawl", "history": 10, "slow": "1h"},
                                              {"match": "chat/*", "history": 10, "slow": "1s"})})
    bob, tab = someone(d, "bob", "crawl"), someone(d, "bob", "crawl")
    first = bob.say("one", key="k1")["id"]
    error = tab.fails("chat", "rate_limited", content="two")
    assert error["limit"] == "topics.slow" and 3590 < error["retry_after"] <= 3600
    assert tab.say("one", key="k1") | {"ref": 0} == {"type": "ack", "ref": 0, "id": first, "duplicate": True}
    tab.fails("publish", "rate_limited", topic="chat/crawl", message="two")
    r = post(d, "/publish/chat/crawl", "two", "bob")
    assert r.status == 429 and r.json()["limit"] == "topics.slow" and 3590 < int(r.header("Retry-After")) <= 3600
    stream = d.chat_sse("crawl", token=token("bob"))
    assert post(d, f"/chat/{stream.session}", "two", "bob").status == 429
    assert bob.ok("publish", "ack", topic="bells", message="no room")
    someone(d, "eve", "crawl").say("hello")
    for role in ("moderator", "admin"):
        ann = someone(d, "ann", "crawl", role)
        ann.say("one")
        ann.say("two")
    bob.ok("join", "joined", room="brisk")
    bob.say("one", room="brisk")
    bob.fails("chat", "bad_field", content="", room="brisk")
    end = time.monotonic() + 20
    while (m := bob.ask("chat", content="two", room="brisk"))["type"] == "error":
        assert m["code"] == "rate_limited" and m["retry_after"] == 1 and time.monotonic() < end
        time.sleep(0.1)
    d.configure({"topics": ({"match": "chat/*", "history": 10},)})
    d.signal(1)
    d.wait_log("server.reload result=ok")
    while (m := bob.ask("chat", content="three", room="crawl"))["type"] == "error":
        assert time.monotonic() < end
        time.sleep(0.05)


# -- what lasts --------------------------------------------------------------------------------------------------------------


def test_restart(disk):
    """Bans, mutes and revocations are there after an end, and after a kill; what was taken back is not."""
    d = disk
    api(d, "ban", room="a", user="bob", reason="spam", seconds=LATER)
    api(d, "ban", room="b", user="bob")
    api(d, "unban", room="b", user="bob")
    api(d, "ban", room="short", user="bob", seconds=1)
    api(d, "mute", room="*", user="eve", reason="loud")
    api(d, "revoke", jti="j1")
    api(d, "revoke", sub="tom", before=int(time.time()) + 50)
    before = {what: listed(d, what) for what in ("bans", "mutes", "revocations")}
    time.sleep(1.1)
    before["bans"] = [b for b in before["bans"] if b["room"] != "short"]
    for how in ("stop", "kill"):
        if how == "kill":
            d.kill()
        d = again(d)
        assert {what: listed(d, what) for what in before} == before
        bob = someone(d, "bob")
        assert "by Root: spam" in bob.fails("join", "banned", room="a")["message"]
        bob.ok("join", "joined", room="b")
        bob.ok("join", "joined", room="short")
        someone(d, "eve", "b").fails("chat", "muted", content="hi")
        assert d.http("GET", "/token", token=token("x", jti="j1")).status == 401
        assert d.http("GET", "/token", token=token("tom")).status == 401


# -- belfryctl ---------------------------------------------------------------------------------------------------------------


def test_ctl(daemon):
    room, sub = mark("r"), mark("bob")
    env = {"BELFRY_URL": daemon.url, "BELFRY_TOKEN": token("root", "admin")}

    def do(*args, code=0):
        r = ctl(*args, env=env)
        assert r.returncode == code, r
        return r.stdout or r.stderr

    bob = someone(daemon, sub, room)
    assert do("kick", room, sub, "--reason", "spam") == f"{sub} was kicked from {room}; 1 connection sent away\n"
    assert bob.expect("left")["reason"] == "kicked by Root: spam"
    assert "is not there" in do("kick", room, sub, code=65)
    assert do("ban", "--seconds", "600", room, sub).startswith(f"{sub} is banned from {room} until 20")
    assert do("ban", "--for", "10m", "--reason", "spam", room, sub).startswith(f"{sub} is banned from {room} until 20")
    assert f"{sub} in {room}, since 20" in (text := do("bans")) and text.endswith("UTC, by Root: spam\n")
    assert [b["user"] for b in json.loads(do("bans", "--json"))["bans"] if b["room"] == room] == [sub]
    assert do("unban", room, sub) == f"{sub} is no longer banned from {room}\n"
    assert do("mute", "*", sub) == f"{sub} is muted in all rooms\n"
    assert f"{sub} in all rooms, since" in do("mutes")
    assert json.loads(do("--json", "unmute", "*", sub))["ok"] is True
    ws = daemon.ws(token=token(sub, jti="j-" + sub))
    assert do("revoke", "--jti", "j-" + sub) == f"token j-{sub} is revoked; 1 connection ended\n"
    ws.expect_close(4401)
    ws = daemon.ws(token=token(sub))
    assert do("revoke", "--sub", sub, "--reason", "left").startswith(f"the tokens of {sub} are revoked, those from before 20")
    ws.expect_close(4401)
    do("revoke", "--sub", sub, "--before", "2025-01-02T03:04:05Z", "--for", "30d")
    text = do("revocations")
    assert f"token j-{sub}, since 20" in text and f"tokens of {sub} from before 2025-01-02 03:04:05 UTC, since 20" in text and ", until 20" in text
    assert do("unrevoke", "--sub", sub) == f"the tokens of {sub} are no longer revoked\n"
    assert "not revoked" in do("unrevoke", "--sub", sub, code=65)
    for args in (["kick"], ["kick", room], ["kick", room, sub, "x"], ["ban", room, sub, "--for", "soon"], ["kick", room, sub, "--for", "1m"], ["bans", "x"],
                 ["revoke"], ["revoke", "--jti", "a", "--sub", "b"], ["revoke", "--jti", "a", "--before", "1"], ["revoke", "--sub", "a", "--before", "x"]):
        assert "--help" in do(*args, code=64)
    assert ctl("ban", room, sub, env={**env, "BELFRY_TOKEN": token("ann", "moderator")}).returncode == 77
    assert do("ban", "--help").startswith("usage: belfryctl ban")
