"""Chat over WebSocket: joining, talking, presence, resuming, subscriptions, formats."""

import json
import math
import re
import threading
import time

import pytest
from support import SLOW, rawclient, tokens
from support.daemon import mark
from support.rawclient import BINARY, TEXT, Frame, frame

CONF = {
    "topics": (
        {"match": "server/**", "history": 0},
        {"match": "live/**", "history": 0},
        {"match": "short/**", "history": 5},
        {"match": "chat/*", "history": 10000, "keep": "30d", "presence": True},
        {"match": "**", "history": 1000, "keep": "7d"},
    ),
    "chat": {"leave_grace": "1s", "typing_timeout": "1s", "default_room": "lobby"},
}


def ids(messages):
    return [m["id"] for m in messages]


def take(ws, n, kind="chat", **members):
    return [ws.expect(kind, **members) for _ in range(n)]


def filled(d, room, n, sub="writer"):
    """A room with n stored messages m0 ...; their ids."""
    with d.join(room, sub=sub, name="Writer") as ws:
        out = [ws.say(f"m{i}", room=room)["id"] for i in range(n)]
        ws.ok("leave", "left", room=room)
    return out


# -- welcome ----------------------------------------------------------------------------------------------------------


def test_welcome(daemons):
    token = daemons.token("ada", name="Ada Lovelace", ttl=1000)
    w = daemons.ws(token=token).welcome
    assert w["user"] == {"id": "ada", "name": "Ada Lovelace"}
    assert isinstance(w["session"], str) and w["session"]
    assert abs(w["time"] - time.time() * 1000) < 60000
    assert w["heartbeat"] == 30
    assert isinstance(w["limits"], dict) and w["limits"]
    assert w["expires"] == tokens.claims_of(token)["exp"]


def test_welcome_name_from_query(daemons):
    assert daemons.ws(sub="ada", **{"name": None}).welcome["user"]["id"] == "ada"
    ws = daemons.ws("/chat?name=Countess", sub="ada")
    assert ws.welcome["user"] == {"id": "ada", "name": "Countess"}
    ws = daemons.ws("/chat?name=Countess", token=daemons.token("ada", name="Ada"))
    assert ws.welcome["user"]["name"] == "Ada"


def test_sessions_differ(daemons):
    a, b = daemons.ws(), daemons.ws()
    assert a.welcome["session"] != b.welcome["session"]


# -- join, chat, leave --------------------------------------------------------------------------------------------------


def test_join_and_talk(daemons, room):
    ada = daemons.join(room, sub="ada", name="Ada")
    assert ada.joined["room"] == room and ada.joined["count"] == 1
    assert ada.joined["members"] == [{"id": "ada", "name": "Ada"}]
    bob = daemons.join(room, sub="bob", name="Bob")
    assert bob.joined["count"] == 2
    assert sorted(m["id"] for m in bob.joined["members"]) == ["ada", "bob"]
    m = ada.expect("user_joined")
    assert (m["room"], m["user"], m["count"]) == (room, {"id": "bob", "name": "Bob"}, 2)
    ack = ada.say("hello", room=room)
    assert ack["duplicate"] is False and isinstance(ack["id"], int)
    m = bob.expect("chat")
    assert (m["id"], m["room"], m["content"]) == (ack["id"], room, "hello")
    assert m["from"] == {"id": "ada", "name": "Ada"}
    assert abs(m["time"] - time.time() * 1000) < 60000
    left = ada.ok("leave", "left", room=room)
    assert left["room"] == room
    m = bob.expect("user_left")
    assert (m["room"], m["user"]["id"], m["count"]) == (room, "ada", 1)


def test_sender_gets_the_ack_only(daemons, room):
    a1, a2, b = (daemons.join(room, sub=s) for s in ("ada", "ada", "bob"))
    ack = a1.say("one", room=room)
    assert a2.expect("chat")["id"] == ack["id"]
    assert b.expect("chat")["id"] == ack["id"]
    daemons.flush(room, a1)
    assert not a1.take("chat", content="one")


def test_order_is_one(daemons, room):
    """Everybody sees one order, the senders' acks included."""
    people = [daemons.join(room, sub=f"u{i}") for i in range(6)]
    each = 40
    seen = [[] for _ in people]

    def go(i):
        ws = people[i]
        for n in range(each):
            ws.send({"type": "chat", "room": room, "content": f"{i}.{n}", "ref": n})
        while len(seen[i]) < each * len(people):
            m = ws.recv()
            if m["type"] == "ack":
                seen[i].append((m["id"], f"{i}.{m['ref']}"))
            elif m["type"] == "chat":
                seen[i].append((m["id"], m["content"]))

    threads = [threading.Thread(target=go, args=(i,)) for i in range(len(people))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20 * SLOW)
    want = sorted(seen[0])
    assert len(want) == each * len(people)
    for i, s in enumerate(seen):
        assert sorted(s) == want, f"{i} has {len(s)}"
        live = [x for x in s if not x[1].startswith(f"{i}.")]
        assert live == sorted(live), f"{i} saw another order"


def test_one_writer_in_order(daemons, room):
    a, b = daemons.join(room, sub="a"), daemons.join(room, sub="b")
    for n in range(300):
        a.send({"type": "chat", "content": str(n)})
    got = take(b, 300)
    assert [m["content"] for m in got] == [str(n) for n in range(300)]
    assert ids(got) == sorted(set(ids(got)))


def test_ids(daemons, room):
    a = daemons.join(room)
    got = [a.say(str(i))["id"] for i in range(20)]
    assert got == sorted(set(got))
    assert all(len(str(i)) == 16 and i < 2 ** 53 for i in got)
    assert abs(got[0] / 1e6 - time.time()) < 60


def test_ref_is_repeated(daemons, room):
    ws = daemons.join(room)
    for ref in ("text", 7, 0, "", "ünï"):
        ws.send({"type": "chat", "content": "x", "ref": ref})
        assert ws.expect("ack")["ref"] == ref
    ws.send({"type": "nonsense", "ref": 12})
    assert ws.expect("error")["ref"] == 12
    ws.send({"type": "chat", "content": "x"})
    assert "ref" not in ws.expect("ack")


def test_type_without_case_and_unknown_members(daemons, room):
    a, b = daemons.join(room, sub="a"), daemons.join(room, sub="b")
    a.send({"type": "Chat", "content": "hi", "colour": "red", "nested": {"a": [1]}})
    assert b.expect("chat")["content"] == "hi"
    a.send({"type": "CHAT", "content": "ho"})
    assert b.expect("chat")["content"] == "ho"
    other = mark("room")
    a.send({"type": "Join", "room": other})
    assert a.expect("joined")["room"] == other


@pytest.mark.parametrize("data", [{"a": [1, 2, {"b": None}]}, [1, "two"], "text", 5, -1.5, True, False, {}, [], json.loads("[" * 14 + "]" * 14)])
def test_data(daemons, room, data):
    a, b = daemons.join(room, sub="a"), daemons.join(room, sub="b")
    a.ok("chat", "ack", content="c", data=data)
    m = b.expect("chat")
    assert m["data"] == data and m["content"] == "c"
    a.ok("chat", "ack", data=data)
    assert b.expect("chat")["data"] == data


def test_big_numbers_survive(daemons, room):
    a, b = daemons.join(room, sub="a"), daemons.join(room, sub="b")
    a.send('{"type":"chat","content":"x","data":{"n":1763719200123456,"f":0.1}}')
    assert b.expect("chat")["data"] == {"n": 1763719200123456, "f": 0.1}


@pytest.mark.parametrize("content", ["", " ", "κόσμε \U0001f514", 'quote " back \\ slash / tab \t nl \n', "\u2028\u2029", "</script>", "\x7f", "\u0085"])
def test_content_survives(daemons, room, content):
    a, b = daemons.join(room, sub="a"), daemons.join(room, sub="b")
    m = a.ask("chat", content=content)
    if content.strip() == "":
        assert m["type"] in ("ack", "error")
        return
    assert m["type"] == "ack", m
    assert b.expect("chat")["content"] == content


def test_surrogate_escapes(daemons, room):
    a, b = daemons.join(room, sub="a"), daemons.join(room, sub="b")
    a.send(r'{"type":"chat","content":"\ud83d\udd14\u00e9"}')
    assert b.expect("chat")["content"] == "\U0001f514é"


def test_room_left_out(daemons):
    """In one room it may be left out, in two it may not."""
    r1, r2 = mark("r"), mark("r")
    a, b = daemons.join(r1, sub="a"), daemons.join(r1, sub="b")
    a.ok("chat", "ack", content="here")
    assert b.expect("chat")["room"] == r1
    a.ok("join", "joined", room=r2)
    m = a.ask("chat", content="where")
    assert m["type"] == "error", m
    a.ok("leave", "left", room=r1)
    a.ok("chat", "ack", content="there")


def test_default_room(daemons):
    watcher = daemons.join("lobby", sub="watcher")
    a = daemons.ws(sub=mark("a"))
    ack = a.ok("chat", "ack", content="into the lobby")
    assert watcher.expect("chat", id=ack["id"])["room"] == "lobby"
    assert a.welcome["user"]["id"] in [m["id"] for m in a.ok("members", "members", room="lobby")["members"]]
    daemons.flush("lobby", a)


def test_join_by_query(daemons, room):
    old = filled(daemons, room, 5)
    ws = daemons.ws(sub="bob", room=room, last=3)
    j = ws.expect("joined")
    assert j["room"] == room and j["latest"] >= old[-1]
    got = take(ws, 3)
    assert ids(got) == old[-3:]
    daemons.flush(room, ws)


def test_join_by_query_after(daemons, room):
    old = filled(daemons, room, 5)
    ws = daemons.ws(sub="bob", room=room, after=old[1], last=1)
    assert ws.expect("joined")["resumed"] is True
    assert ids(take(ws, 3)) == old[2:]


def test_not_joined(daemons, room):
    a = daemons.join(mark("r"), sub="a")
    a.fails("chat", "not_joined", room=room, content="x")
    a.fails("leave", "not_joined", room=room)


def test_leave_ends_delivery(daemons, room):
    a, b = daemons.join(room, sub="a"), daemons.join(room, sub="b")
    other = mark("r")
    b.ok("join", "joined", room=other, last=0)
    b.ok("leave", "left", room=room)
    a.say("gone?", room=room)
    daemons.flush(other, b)
    assert not b.take("chat", room=room)


def test_leave_is_seen_at_once(daemons, room):
    a, b = daemons.join(room, sub="a"), daemons.join(room, sub="b")
    before = time.monotonic()
    b.ok("leave", "left", room=room)
    assert a.expect("user_left")["user"]["id"] == "b"
    assert time.monotonic() - before < 0.8 * SLOW


def test_two_rooms_one_connection(daemons):
    r1, r2 = mark("r"), mark("r")
    a = daemons.join(r1, sub="a")
    a.ok("join", "joined", room=r2)
    b = daemons.join(r1, sub="b")
    b.ok("join", "joined", room=r2)
    a.say("one", room=r1)
    a.say("two", room=r2)
    assert b.expect("chat", content="one")["room"] == r1
    assert b.expect("chat", content="two")["room"] == r2


@pytest.mark.parametrize("name", ["", "a/b", "*", "**", "a\u0001b", "x" * 196, 5, None, ["a"], "a\x7f", "a\u0085"])
def test_bad_room_names(daemons, name):
    daemons.ws().fails("join", "bad_field", room=name)


@pytest.mark.parametrize("name", ["x" * 195, "mit Leerzeichen", "κόσμε", "a*b", "a%2Fb", "...", "-"])
def test_good_room_names(daemons, name):
    ws = daemons.ws()
    assert ws.ok("join", "joined", room=name)["room"] == name
    ws.say("x", room=name)


# -- what is stored ----------------------------------------------------------------------------------------------------


def test_last_default_is_50(daemons, room):
    old = filled(daemons, room, 60)
    ws = daemons.ws(sub="b")
    j = ws.ok("join", "joined", room=room)
    assert j["latest"] >= old[-1]
    assert ids(take(ws, 50)) == old[10:]
    daemons.flush(room, ws)
    assert not ws.take("chat")


@pytest.mark.parametrize("last, want", [(0, 0), (1, 1), (4, 4), (1000, 7), (5000, 7), (10 ** 30, 7)])
def test_last(daemons, room, last, want):
    old = filled(daemons, room, 7)
    ws = daemons.ws(sub="b")
    ws.ok("join", "joined", room=room, last=last)
    assert ids(take(ws, want)) == old[7 - want:]
    daemons.flush(room, ws)
    assert not ws.take("chat")


@pytest.mark.parametrize("last", [-1, "three", 1.5, None, [], {}])
def test_last_bad(daemons, room, last):
    ws = daemons.ws()
    if last is None:
        ws.ok("join", "joined", room=room, last=last)
    else:
        ws.fails("join", "bad_field", room=room, last=last)


def test_last_bad_in_query(daemons, room):
    r = daemons.ws(room=room, last=-1, refuse=True)
    r.problem(400, "bad_field")


def test_stored_before_live(daemons, room):
    """While somebody talks: the stored ones first, then the live ones, nothing twice, nothing missing."""
    writer = daemons.join(room, sub="w")
    stop = threading.Event()
    sent = []

    def talk():
        while not stop.is_set():
            sent.append(writer.say(f"n{len(sent)}", room=room)["id"])

    t = threading.Thread(target=talk)
    t.start()
    try:
        time.sleep(0.1)
        readers = []
        for i in range(8):
            ws = daemons.ws(sub=f"r{i}")
            ws.ok("join", "joined", room=room, last=20)
            readers.append(ws)
            time.sleep(0.02)
    finally:
        time.sleep(0.1)
        stop.set()
        t.join()
    for ws in readers:
        daemons.flush(room, ws)
        got = [m["id"] for m in ws.take("chat") if m["from"]["id"] == "w"]
        assert got == sorted(set(got)), "twice or out of order"
        assert got == [i for i in sent if i >= got[0]], "missing"


def test_own_messages_are_replayed_on_request(daemons, room):
    a = daemons.join(room, sub="a")
    one = a.say("mine", room=room, key="k1")["id"]
    a.ok("join", "joined", room=room, last=5)
    m = a.expect("chat")
    assert (m["id"], m["content"], m["key"]) == (one, "mine", "k1")


def test_joining_again(daemons, room):
    """Answers again, replays only when asked."""
    old = filled(daemons, room, 3)
    a = daemons.join(room, sub="a")
    assert a.ok("join", "joined", room=room)["room"] == room
    a.sync()
    assert not a.take("chat")
    a.ok("join", "joined", room=room, last=2)
    assert ids(take(a, 2)) == old[1:]
    a.ok("join", "joined", room=room, after=old[0])
    assert ids(take(a, 2)) == old[1:]
    b = daemons.join(room, sub="b")
    b.say("live", room=room)
    a.expect("chat", content="live")
    daemons.flush(room, a)
    assert not a.take("chat", content="live"), "delivered twice"


# -- idempotency ---------------------------------------------------------------------------------------------------------


def test_key(daemons, room):
    a, b = daemons.join(room, sub="a"), daemons.join(room, sub="b")
    first = a.say("once", key="k")
    assert first["duplicate"] is False
    again = a.say("once", key="k")
    assert again["duplicate"] is True and again["id"] == first["id"]
    a2 = daemons.join(room, sub="a")
    assert a2.say("once", key="k")["id"] == first["id"]
    daemons.flush(room, b)
    got = b.take("chat")
    assert ids(got) == [first["id"]] and got[0]["key"] == "k"


def test_key_is_per_user_and_topic(daemons, room):
    a, b = daemons.join(room, sub="a"), daemons.join(room, sub="b")
    other = mark("r")
    one = a.say("x", key="k", room=room)
    assert b.say("x", key="k", room=room)["duplicate"] is False
    a.ok("join", "joined", room=other)
    assert a.say("x", key="k", room=other)["duplicate"] is False
    assert a.say("x", key="k", room=room)["id"] == one["id"]


def test_key_at_once(daemons, room):
    """Also while the first is still on its way."""
    a, b = daemons.join(room, sub="a"), daemons.join(room, sub="b")
    for i in range(10):
        a.send({"type": "chat", "content": "x", "key": "same", "ref": i})
    acks = take(a, 10, "ack")
    assert len({x["id"] for x in acks}) == 1
    assert sorted(x["duplicate"] for x in acks) == [False] + [True] * 9
    daemons.flush(room, b)
    assert len(b.take("chat", content="x")) == 1


def test_key_from_two_devices_at_once(daemons, room):
    b = daemons.join(room, sub="b")
    devices = [daemons.join(room, sub="a") for _ in range(6)]
    for ws in devices:
        ws.send({"type": "chat", "content": "x", "key": "same", "ref": 1})
    acks = [ws.expect("ack") for ws in devices]
    assert len({x["id"] for x in acks}) == 1
    assert sum(not x["duplicate"] for x in acks) == 1
    daemons.flush(room, b)
    assert len(b.take("chat", content="x")) == 1


@pytest.mark.parametrize("key", ["x" * 65, 5, ["k"], {}, "é" * 33])
def test_key_bad(daemons, room, key):
    daemons.join(room).fails("chat", "bad_field", content="x", key=key)


def test_key_edges(daemons, room):
    a = daemons.join(room)
    assert a.say("x", key="x" * 64)["duplicate"] is False
    assert a.say("x", key="x" * 64)["duplicate"] is True
    assert a.say("y", key="")["duplicate"] is False
    assert a.say("y", key="")["duplicate"] is False
    assert a.say("y", key=None)["duplicate"] is False


def test_key_refused_where_nothing_is_stored(daemons):
    ws = daemons.ws()
    ws.fails("publish", "bad_field", topic="live/x", message="m", key="k")
    m = ws.ok("publish", "ack", topic="live/x", message="m")
    assert "id" not in m


# -- typing -----------------------------------------------------------------------------------------------------------------


def test_typing(daemons, room):
    a, b = daemons.join(room, sub="a", name="Ada"), daemons.join(room, sub="b")
    a.send({"type": "typing", "room": room})
    m = b.expect("typing")
    assert (m["room"], m["user"], m["typing"]) == (room, {"id": "a", "name": "Ada"}, True)
    a.send({"type": "typing", "typing": False})
    assert b.expect("typing")["typing"] is False
    a.sync()
    assert not a.take("typing") and not a.take("ack")


def test_typing_times_out(daemons, room):
    a, b = daemons.join(room, sub="a"), daemons.join(room, sub="b")
    a.send({"type": "typing", "room": room, "typing": True})
    assert b.expect("typing")["typing"] is True
    assert b.expect("typing", timeout=6 * SLOW)["typing"] is False


def test_typing_is_not_stored(daemons, room):
    a = daemons.join(room, sub="a")
    a.send({"type": "typing", "room": room})
    a.say("x")
    b = daemons.ws(sub="b")
    b.ok("join", "joined", room=room)
    daemons.flush(room, b)
    assert [m["type"] for m in b.ok("history", "history", room=room)["messages"]] == ["chat", "chat"]


def test_typing_bad(daemons, room):
    a = daemons.join(room)
    a.fails("typing", "bad_field", typing="yes")
    a.fails("typing", "not_joined", room=mark("r"))


# -- presence -----------------------------------------------------------------------------------------------------------------


def test_members(daemons, room):
    a = daemons.join(room, sub="a", name="Ada")
    daemons_b = daemons.join(room, sub="b", name="Bob")
    m = a.ok("members", "members", room=room)
    assert m["room"] == room
    assert sorted((x["id"], x["name"]) for x in m["members"]) == [("a", "Ada"), ("b", "Bob")]
    daemons_b.sync()


def test_one_join_and_one_leave_for_many_tabs(daemons, room):
    w = daemons.join(room, sub="w")
    tabs = [daemons.join(room, sub="a") for _ in range(4)]
    assert tabs[-1].joined["count"] == 2
    assert w.expect("user_joined")["count"] == 2
    daemons.flush(room, w)
    assert not w.take("user_joined")
    for t in tabs[:3]:
        t.ok("leave", "left", room=room)
    daemons.flush(room, w)
    assert not w.take("user_left")
    tabs[3].ok("leave", "left", room=room)
    m = w.expect("user_left")
    assert (m["user"]["id"], m["count"]) == ("a", 1)
    daemons.flush(room, w)
    assert not w.take("user_left")


def test_leave_grace(daemons, room):
    """A lost connection is seen after leave_grace, a quick return not at all."""
    w = daemons.join(room, sub="w")
    a = daemons.join(room, sub="a")
    w.expect("user_joined")
    before = time.monotonic()
    a.drop()
    m = w.expect("user_left", timeout=6 * SLOW)
    assert m["user"]["id"] == "a" and m["count"] == 1
    assert 0.7 < time.monotonic() - before < 4 * SLOW


def test_leave_grace_return(daemons, room):
    w = daemons.join(room, sub="w")
    for _ in range(3):
        a = daemons.join(room, sub="a")
        a.drop()
        time.sleep(0.1)
    a = daemons.join(room, sub="a")
    assert a.joined["count"] == 2
    time.sleep(1.8)
    daemons.flush(room, w)
    assert len(w.take("user_joined")) == 1
    assert not w.take("user_left")


def test_leave_grace_counts_as_present(daemons, room):
    """Within the grace the user is still a member."""
    w = daemons.join(room, sub="w")
    a = daemons.join(room, sub="a")
    a.drop()
    assert len(w.ok("members", "members", room=room)["members"]) == 2
    w.expect("user_left", timeout=6 * SLOW)
    assert len(w.ok("members", "members", room=room)["members"]) == 1


def test_members_at_most_100(daemons, room):
    held = []
    for i in range(105):
        ws = daemons.ws(sub=f"u{i}")
        j = ws.ok("join", "joined", room=room, last=0)
        held.append(ws)
    assert j["count"] == 105 and len(j["members"]) == 100
    for ws in held:
        ws.drop()


def test_rooms(daemons):
    r1, r2, r3 = mark("r"), mark("r"), mark("r")
    a = daemons.join(r1, sub="a")
    filled(daemons, r2, 1)
    rooms = a.ok("rooms", "rooms")["rooms"]
    names = [r["room"] if isinstance(r, dict) else r for r in rooms]
    assert r1 in names and r2 in names and r3 not in names
    assert len(names) == len(set(names))
    limited = daemons.ws(token=daemons.token("c", subscribe=[f"chat/{r1}"]))
    names = [r["room"] if isinstance(r, dict) else r for r in limited.ok("rooms", "rooms")["rooms"]]
    assert names == [r1]
    few = daemons.token("d", subscribe=["chat", "*", "n/**", "*/a/b", f"chat/{r2}/x", f"*/{r1}", f"chat/{r1}", f"chat/{r3}"])
    assert [r["room"] for r in daemons.ws(token=few).ok("rooms", "rooms")["rooms"]] == [r1]
    for wide in ("**", "*/*", "chat/**", "*/**"):
        names = [r["room"] for r in daemons.ws(token=daemons.token("e", subscribe=["x", wide])).ok("rooms", "rooms")["rooms"]]
        assert r1 in names and r2 in names


def test_members_needs_permission(daemons, room):
    daemons.join(room, sub="w")
    a = daemons.ws(token=daemons.token("a", subscribe=["chat/other"], publish=["chat/other"]))
    m = a.ask("members", room=room)
    assert m["type"] == "error" and m["code"] in ("insufficient_scope", "not_joined"), m


# -- history -------------------------------------------------------------------------------------------------------------------


def test_history(daemons, room):
    old = filled(daemons, room, 10)
    a = daemons.ws(sub="a")
    h = a.ok("history", "history", room=room, limit=3)
    assert h["room"] == room and ids(h["messages"]) == old[-3:] and h["more"] is True
    assert all(m["type"] == "chat" for m in h["messages"])
    h = a.ok("history", "history", room=room, limit=3, before=old[7])
    assert ids(h["messages"]) == old[4:7] and h["more"] is True
    h = a.ok("history", "history", room=room, limit=100, before=old[4])
    assert ids(h["messages"]) == old[:4] and h["more"] is False
    h = a.ok("history", "history", topic=f"chat/{room}", after=old[5], limit=2)
    assert ids(h["messages"]) == old[6:8] and h["more"] is True
    h = a.ok("history", "history", room=room, after=old[7])
    assert ids(h["messages"]) == old[8:] and h["more"] is False


def test_history_of_a_topic(daemons, topic):
    want = [daemons.publish(topic, f"n{i}")["id"] for i in range(3)]
    h = daemons.ws().ok("history", "history", topic=topic)
    assert ids(h["messages"]) == want
    assert [m["type"] for m in h["messages"]] == ["notification"] * 3


def test_history_bad(daemons, room):
    a = daemons.ws()
    a.fails("history", "bad_field")
    a.fails("history", "bad_field", room="a/b")
    a.fails("history", "bad_field", room=room, limit="many")
    a.fails("history", "bad_field", room=room, before="x")
    b = daemons.ws(token=daemons.token("b", subscribe=["chat/other"]))
    b.fails("history", "insufficient_scope", room=room)


# -- resume and gap ---------------------------------------------------------------------------------------------------------------


def test_resume(daemons, room):
    a = daemons.join(room, sub="a")
    b = daemons.join(room, sub="b")
    a.say("one")
    last = b.expect("chat")["id"]
    b.drop()
    missed = [a.say(f"m{i}")["id"] for i in range(5)]
    b = daemons.ws(sub="b")
    j = b.ok("join", "joined", room=room, after=last)
    assert j["resumed"] is True and j["latest"] == missed[-1]
    assert ids(take(b, 5)) == missed
    daemons.flush(room, b)
    assert not b.take("gap") and not b.take("chat")


def test_resume_at_the_end(daemons, room):
    old = filled(daemons, room, 2)
    b = daemons.ws(sub="b")
    assert b.ok("join", "joined", room=room, after=old[-1])["resumed"] is True
    daemons.flush(room, b)
    assert not b.take("gap") and not b.take("chat")


def test_resume_as_string(daemons, room):
    old = filled(daemons, room, 3)
    b = daemons.ws(sub="b")
    assert b.ok("join", "joined", room=room, after=str(old[0]))["resumed"] is True
    assert ids(take(b, 2)) == old[1:]


def test_latest_in_an_empty_room(daemons, room):
    """The log's last id, so that a reader has a cursor from the start."""
    daemons.publish("whatever", "x")
    a = daemons.join(room, sub="a")
    assert isinstance(a.joined["latest"], int) and a.joined["latest"] > 0
    a.drop()
    w = daemons.join(room, sub="w")
    one = w.say("x")["id"]
    b = daemons.ws(sub="a")
    assert b.ok("join", "joined", room=room, after=a.joined["latest"])["resumed"] is True
    assert b.expect("chat")["id"] == one
    assert not b.take("gap")


@pytest.mark.parametrize("after", ["10m", "1h", "7d", "all"])
def test_after_questions(daemons, room, after):
    old = filled(daemons, room, 3)
    b = daemons.ws(sub="b")
    b.ok("join", "joined", room=room, after=after)
    assert ids(take(b, 3)) == old
    daemons.flush(room, b)
    assert not b.take("gap")


def test_after_time(daemons, room):
    old = filled(daemons, room, 3)
    b = daemons.ws(sub="b")
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    b.ok("join", "joined", room=room, after=stamp)
    assert ids(take(b, 3)) == old
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.5+02:00", time.gmtime(time.time() + 7200 + 60))
    b.ok("join", "joined", room=room, after=stamp)
    daemons.flush(room, b)
    assert not b.take("gap") and not b.take("chat")


def test_gap_trimmed(daemons):
    topic = mark("short/x")
    want = [daemons.publish(topic, f"n{i}")["id"] for i in range(10)]
    a = daemons.ws()
    s = a.ok("subscribe", "subscribed", topic=topic, after=want[0])
    assert s["resumed"] is False
    g = a.expect("gap")
    assert (g["topic"], g["after"], g["oldest"], g["reason"]) == (topic, want[0], want[5], "trimmed")
    got = take(a, 5, "notification")
    assert ids(got) == want[5:]
    more = daemons.publish(topic, "more")["id"]
    assert a.expect("notification")["id"] == more
    assert not a.take("gap")


def test_no_gap_when_nothing_is_missing(daemons):
    """What was trimmed lies before the position: no gap."""
    topic = mark("short/x")
    want = [daemons.publish(topic, f"n{i}")["id"] for i in range(10)]
    for at in (4, 5, 9):
        a = daemons.ws()
        assert a.ok("subscribe", "subscribed", topic=topic, after=want[at])["resumed"] is True
        assert ids(take(a, 9 - at, "notification")) == want[at + 1:]
        a.sync()
        assert not a.take("gap")


def test_gap_comes_first(daemons):
    """Before anything newer."""
    topic = mark("short/x")
    want = [daemons.publish(topic, f"n{i}")["id"] for i in range(10)]
    a = daemons.ws()
    a.send({"type": "subscribe", "topic": topic, "after": want[0]})
    kinds = [a.recv()["type"] for _ in range(7)]
    assert kinds.index("gap") < kinds.index("notification"), kinds


@pytest.mark.parametrize("after", [0, 1, 2 ** 53 - 1, 2 ** 53, 10 ** 16 - 1, str(10 ** 16 - 1), "1000"])
def test_gap_outside(daemons, room, after):
    old = filled(daemons, room, 3)
    b = daemons.ws(sub="b")
    assert b.ok("join", "joined", room=room, after=after)["resumed"] is False
    g = b.expect("gap")
    assert (g["room"], g["reason"], g["oldest"]) == (room, "outside", old[0])
    assert g["after"] == int(after)
    assert ids(take(b, 3)) == old
    daemons.flush(room, b)
    assert not b.take("gap") and not b.take("chat")


def test_gap_outside_in_an_empty_room(daemons, room):
    b = daemons.ws(sub="b")
    b.ok("join", "joined", room=room, after=5)
    g = b.expect("gap")
    assert g["oldest"] is None and g["reason"] == "outside" and g["after"] == 5


@pytest.mark.parametrize("after", ["nonsense", "-5", "", "12x", "10 minutes", "99999999999999999999999", -1, 1.5])
def test_gap_unreadable(daemons, room, after):
    """Only what is live follows."""
    old = filled(daemons, room, 3)
    b = daemons.ws(sub="b")
    j = b.ok("join", "joined", room=room, after=after)
    assert j["resumed"] is False
    g = b.expect("gap")
    if g["reason"] == "outside" and after == "99999999999999999999999":
        return
    assert (g["reason"], g["after"], g["oldest"]) == ("unreadable", None, old[0])
    daemons.flush(room, b)
    assert not b.take("chat")


@pytest.mark.parametrize("after", [True, [], {"a": 1}])
def test_after_of_a_wrong_type(daemons, room, after):
    m = daemons.ws().ask("join", room=room, after=after)
    assert m["type"] == "error" and m["code"] == "bad_field" or m["type"] == "joined" and m["resumed"] is False


def test_gap_per_subscription(daemons):
    """Once a room or subscription that has one."""
    t1, t2 = mark("short/x"), mark("t/x")
    i1 = [daemons.publish(t1, str(i))["id"] for i in range(8)]
    i2 = [daemons.publish(t2, str(i))["id"] for i in range(8)]
    a = daemons.ws()
    a.ok("subscribe", "subscribed", topic=t1, after=i1[0])
    assert a.ok("subscribe", "subscribed", topic=t2, after=i2[0])["resumed"] is True
    assert a.expect("gap")["topic"] == t1
    take(a, 3 + 2 + 7, "notification")
    a.sync()
    assert not a.take("gap")


# -- publish and subscribe -------------------------------------------------------------------------------------------------------


def test_publish(daemons, topic):
    a = daemons.ws(sub="ada", name="Ada")
    b = daemons.ws(sub="b")
    s = b.ok("subscribe", "subscribed", topic=topic)
    assert s["topic"] == topic and "latest" in s
    ack = a.ok("publish", "ack", topic=topic, title="T", message="M", priority=4, tags=["x", "y"], click="https://example.org/", data={"n": 1})
    m = b.expect("notification")
    assert (m["id"], m["topic"], m["title"], m["message"]) == (ack["id"], topic, "T", "M")
    assert (m["priority"], m["tags"], m["click"], m["data"]) == (4, ["x", "y"], "https://example.org/", {"n": 1})
    assert m["event"] == "notification"
    assert abs(m["timestamp"] - time.time()) < 60


def test_publish_named_event(daemons, topic):
    b = daemons.ws(sub="b")
    b.ok("subscribe", "subscribed", topic=topic)
    daemons.publish(topic, event="price", data={"usd": 5})
    m = b.expect("event")
    assert (m["topic"], m["event"], m["data"]) == (topic, "price", {"usd": 5})
    daemons.publish(topic, data="plain")
    m = b.expect("event")
    assert (m["event"], m["data"]) == ("message", "plain")
    daemons.publish(topic, event="alarm", message="fire")
    m = b.expect("notification")
    assert (m["event"], m["message"]) == ("alarm", "fire")


def test_publisher_does_not_get_its_own(daemons, topic):
    a = daemons.ws(sub="a")
    a.ok("subscribe", "subscribed", topic=topic)
    other = daemons.ws(sub="a")
    other.ok("subscribe", "subscribed", topic=topic)
    ack = a.ok("publish", "ack", topic=topic, message="x")
    assert other.expect("notification")["id"] == ack["id"]
    end = daemons.publish(topic, "end")["id"]
    assert a.expect("notification")["id"] == end


@pytest.mark.parametrize("pattern, good, bad", [
    ("{0}/*", ["{0}/a", "{0}/b"], ["{0}", "{0}/a/b"]),
    ("{0}/**", ["{0}/a", "{0}/a/b", "{0}/a/b/c"], ["{0}"]),
    ("{0}/*/c", ["{0}/a/c", "{0}/b/c"], ["{0}/c", "{0}/a/d", "{0}/a/c/c"]),
    ("{0}/*/**", ["{0}/a/b", "{0}/a/b/c"], ["{0}/a"]),
    ("{0}/a*b", ["{0}/a*b"], ["{0}/axb"]),
    ("{0}/x", ["{0}/x"], ["{0}/X", "{0}/x/y", "{0}/xx"]),
])
def test_patterns(daemons, pattern, good, bad):
    base = mark("p")
    a = daemons.ws()
    a.ok("subscribe", "subscribed", topic=pattern.format(base))
    a.ok("subscribe", "subscribed", topic=f"end/{base}")
    want = []
    for t in [x for pair in zip(bad + good, good + bad) for x in pair]:
        i = daemons.publish(t.format(base), t)["id"]
        if t in good:
            want.append(i)
    daemons.publish(f"end/{base}", "end")
    a.expect("notification", topic=f"end/{base}")
    assert ids(a.take("notification")) == want


def test_pattern_replay_is_merged(daemons):
    base = mark("p")
    want = [daemons.publish(f"{base}/{'abc'[i % 3]}", str(i))["id"] for i in range(9)]
    a = daemons.ws()
    a.ok("subscribe", "subscribed", topic=f"{base}/*", after=want[1])
    assert ids(take(a, 7, "notification")) == want[2:]
    b = daemons.ws()
    b.ok("subscribe", "subscribed", topic=f"{base}/*", last=4)
    assert ids(take(b, 4, "notification")) == want[5:]


@pytest.mark.parametrize("pattern", ["", "/", "a//b", "/a", "a/", "a/**/b", "**/a", "a\u0001", "x" * 201, "/".join("abcdefghi"), 5, None, ["a"]])
def test_bad_patterns(daemons, pattern):
    daemons.ws().fails("subscribe", "bad_field", topic=pattern)


def test_good_pattern_edges(daemons):
    ws = daemons.ws()
    for p in ("x" * 200, "/".join("abcdefgh"), "*", "**", "*/*", "a/**"):
        assert ws.ok("subscribe", "subscribed", topic=p)["topic"] == p


def test_star_does_not_match_user_topics(daemons):
    """A leading * or ** never matches user/...; the literal segment does."""
    me = mark("me")
    a = daemons.ws(token=daemons.token(me))
    a.ok("subscribe", "subscribed", topic="**")
    a.ok("subscribe", "subscribed", topic="*/*")
    other = mark("end")
    daemons.publish(f"user/{me}", "private", token=daemons.token(me))
    daemons.publish(other, "end")
    a.expect("notification", topic=other)
    assert not a.take("notification", topic=f"user/{me}")
    a.ok("subscribe", "subscribed", topic=f"user/{me}")
    daemons.publish(f"user/{me}", "private", token=daemons.token(me))
    a.expect("notification", topic=f"user/{me}")


def test_delivered_once_however_many_match(daemons):
    base = mark("p")
    a = daemons.ws()
    for p in (f"{base}/x", f"{base}/*", f"{base}/**", "**"):
        a.ok("subscribe", "subscribed", topic=p)
    one = daemons.publish(f"{base}/x", "1")["id"]
    two = daemons.publish(f"{base}/x", "2")["id"]
    a.expect("notification", id=two)
    assert ids(a.take("notification", topic=f"{base}/x")) == [one]


def test_room_and_subscription_once(daemons, room):
    a = daemons.join(room, sub="a")
    a.ok("subscribe", "subscribed", topic=f"chat/{room}")
    b = daemons.join(room, sub="b")
    b.say("x")
    daemons.flush(room, a)
    assert len(a.take("chat", content="x")) == 1


@pytest.mark.parametrize("join_first", [True, False])
def test_room_and_subscription_end_apart(daemons, room, join_first):
    """A room that is joined and subscribed by its topic, too: leaving one keeps the other."""
    topic = f"chat/{room}"
    a, b, eve = daemons.ws(sub="a"), daemons.join(room, sub="b"), daemons.join(room, sub="eve")
    a.fails("unsubscribe", "not_joined", topic=topic)
    for kind in ("join", "subscribe") if join_first else ("subscribe", "join"):
        members = {"room": room, "last": 0} if kind == "join" else {"topic": topic}
        a.ok(kind, "joined" if kind == "join" else "subscribed", **members)
    one = b.say("both")["id"]
    a.ok("leave", "left", room=room)
    assert eve.expect("user_left")["user"]["id"] == "a"
    two = b.say("by the topic")["id"]
    assert [a.expect("chat")["id"] for _ in range(2)] == [one, two]
    a.fails("leave", "not_joined", room=room)
    assert a.ok("join", "joined", room=room, last=0)["count"] == 3
    assert eve.expect("user_joined", count=3)["user"]["id"] == "a"
    a.ok("unsubscribe", "unsubscribed", topic=topic)
    three = b.say("by the room")["id"]
    assert a.expect("chat")["id"] == three
    a.fails("unsubscribe", "not_joined", topic=topic)
    a.ok("leave", "left", room=room)
    b.say("gone")
    daemons.flush(room, b)
    a.sync()
    assert not a.take("chat")


def test_subscription_to_rooms(daemons, room):
    """What is published on chat/<room> by any door is a chat."""
    a = daemons.ws(sub="a")
    a.ok("subscribe", "subscribed", topic="chat/*")
    b = daemons.join(room, sub="b")
    one = b.say("x")["id"]
    assert a.expect("chat", room=room)["id"] == one
    two = daemons.publish(f"chat/{room}", "by post")["id"]
    m = a.expect("chat", id=two)
    assert m["content"] == "by post"
    assert b.expect("chat")["id"] == two
    three = a.ok("publish", "ack", topic=f"chat/{room}", message="by publish")["id"]
    assert b.expect("chat")["id"] == three
    a.fails("publish", "bad_field", topic=f"chat/{room}", message="m", title="t")
    a.fails("publish", "bad_field", topic=f"chat/{room}", message="m", event="e")


def test_unsubscribe(daemons, topic):
    a = daemons.ws()
    end = mark("end")
    a.ok("subscribe", "subscribed", topic=topic)
    a.ok("subscribe", "subscribed", topic=end)
    assert a.ok("unsubscribe", "unsubscribed", topic=topic)["topic"] == topic
    daemons.publish(topic, "x")
    daemons.publish(end, "x")
    a.expect("notification", topic=end)
    assert not a.take("notification")
    m = a.ask("unsubscribe", topic=mark("never"))
    assert m["type"] == "error" and m["code"] in ("not_found", "not_joined", "bad_field"), m


def test_subscribe_replay_belongs_to_the_asker(daemons, topic):
    old = daemons.publish_many(topic, ["a", "b", "c"])
    a = daemons.ws()
    a.ok("subscribe", "subscribed", topic=topic)
    a.sync()
    assert not a.take("notification"), "last defaults to 0"
    a.ok("subscribe", "subscribed", topic=topic, last=2)
    assert ids(take(a, 2, "notification")) == old[1:]
    a.ok("subscribe", "subscribed", topic="**", last=0)
    a.sync()
    assert not a.take("notification")


def test_ephemeral(daemons):
    """Topics with history 0: delivered to who is there, no id."""
    topic = mark("live/x")
    a = daemons.ws()
    a.ok("subscribe", "subscribed", topic=topic)
    assert "id" not in daemons.publish(topic, "now")
    m = a.expect("notification")
    assert m["message"] == "now" and "id" not in m
    b = daemons.ws()
    b.ok("subscribe", "subscribed", topic=topic, last=10)
    b.sync()
    assert not b.take("notification")


def test_publish_refusals(daemons, topic):
    a = daemons.ws(token=daemons.token("a", subscribe=["**"], publish=["mine/*"]))
    a.fails("publish", "insufficient_scope", topic=topic, message="x")
    a.ok("publish", "ack", topic="mine/x", message="x")
    a.fails("publish", "bad_field", topic="mine/x")
    a.fails("publish", "bad_field", topic="mine/*", message="x")
    a.fails("publish", "bad_field", topic="mine/x", message=5)
    a.fails("publish", "bad_field", topic="mine/x", message="m", priority=6)
    a.fails("publish", "bad_field", topic="mine/x", message="m", event="gap")
    daemons.ws().fails("publish", "insufficient_scope", topic="server/x", message="x")


def test_join_refused(daemons, room):
    a = daemons.ws(token=daemons.token("a", subscribe=["chat/good"], publish=["chat/good"]))
    m = a.fails("join", "insufficient_scope", room=room)
    assert "chat/" + room in m["message"], m
    a.ok("join", "joined", room="good")
    a.fails("subscribe", "insufficient_scope", topic="chat/*")
    a.fails("subscribe", "insufficient_scope", topic="**")


def test_read_only_room(daemons, room):
    a = daemons.ws(token=daemons.token("a", subscribe=["chat/*"], publish=[]))
    a.ok("join", "joined", room=room)
    a.fails("chat", "insufficient_scope", room=room, content="x")


def test_claim_without_member_grants_nothing(daemons, room):
    a = daemons.ws(token=tokens.make("a", belfry={"subscribe": ["chat/*"]}))
    a.ok("join", "joined", room=room)
    a.fails("chat", "insufficient_scope", room=room, content="x")


def test_defaults_without_claim(daemons, room):
    a = daemons.ws(token=tokens.make("a"))
    a.ok("join", "joined", room=room)
    a.say("x", room=room)
    a.ok("subscribe", "subscribed", topic="notifications")
    a.ok("subscribe", "subscribed", topic="user/a")
    a.fails("subscribe", "insufficient_scope", topic="user/b")
    a.fails("publish", "insufficient_scope", topic="notifications", message="x")


def test_encoded_user_topic(daemons):
    me = "a/b*c%d\u00e9"
    topic = "user/a%2Fb%2Ac%25d\u00e9"
    a = daemons.ws(token=tokens.make(me, belfry={"subscribe": ["user/{sub}"], "publish": ["user/{sub}"]}))
    a.ok("subscribe", "subscribed", topic=topic)
    a.ok("publish", "ack", topic=topic, message="x")
    a.fails("subscribe", "insufficient_scope", topic="user/*")


# -- errors ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [
    "", " ", "hello", "{", '{"type":"ping"', '{"type":"ping"} x', "[1,2]", '"text"', "5", "null", "{'type':'ping'}", '{"type":"ping",}',
    '{"type":"chat","content":"\\u0000"}', '{"type":"chat","content":"\\ud800"}', '{"type":"chat","content":"a\nb"}', "\ufeff{\"type\":\"ping\"}",
    '{"type":"ping","type":"ping"}', '{"type":"ping","n":01}', '{"type":"ping","n":NaN}', "[" * 2000, '{"a":' * 500 + "1" + "}" * 500,
    '{"type":"ping","n":1.}', '{"type":"ping"}/* comment */',
])
def test_bad_json(daemons, text):
    ws = daemons.ws()
    ws.send(text)
    m = ws.expect("error")
    assert m["code"] in ("bad_json", "bad_request", "bad_field"), m
    ws.sync()


@pytest.mark.parametrize("content", ['"\\u0000"', '"\\ud800"', "[" * 40 + "]" * 40, '{"a":1,"a":2}', "1e999", "nothing"])
def test_bad_json_has_its_ref(daemons, content):
    """JSON.stringify makes such; whoever waits for the answer hears that it was refused."""
    ws = daemons.ws()
    for text, ref in (('{"type":"chat","data":%s,"ref":"r\\n1"}', "r\n1"), ('{"ref":-2,"type":"chat","data":%s}', -2), ('{"type":"chat","data":%s,"ref":%s', None),
                      ('{"type":"chat","data":{"ref":%s}}', None), ('{"type":"chat","data":%s,"ref":"\\u0000"}', None), ('{"data":%s,"ref":[1]}', None)):
        ws.send(text.replace("%s", content))
        m = ws.expect("error")
        assert m["code"] == "bad_json" and m.get("ref") == ref, m


@pytest.mark.parametrize("message", [{"type": "nonsense"}, {"type": ""}, {"type": "welcome"}, {"type": "ack"}])
def test_unknown_type(daemons, message):
    ws = daemons.ws()
    ws.send(message)
    assert ws.expect("error")["code"] == "unknown_type"
    ws.sync()


@pytest.mark.parametrize("message", [{}, {"type": 5}, {"type": None}, {"content": "x"}])
def test_no_type(daemons, message):
    ws = daemons.ws()
    ws.send(message)
    assert ws.expect("error")["code"] in ("bad_field", "unknown_type", "bad_request")
    ws.sync()


@pytest.mark.parametrize("members", [{}, {"content": 5}, {"content": None}, {"content": ["a"]}, {"content": True}])
def test_bad_chat(daemons, room, members):
    daemons.join(room).fails("chat", "bad_field", **members)


def test_bad_ref(daemons):
    ws = daemons.ws()
    for ref in ([1], {}, True):
        ws.send({"type": "ping", "ref": ref})
        assert ws.recv()["type"] in ("error", "pong")
    ws.sync()


def test_ping(daemons):
    m = daemons.ws().ok("ping", "pong")
    assert abs(m["time"] - time.time() * 1000) < 60000


def test_error_keeps_the_connection(daemons, room):
    ws = daemons.join(room)
    for _ in range(50):
        ws.send("nonsense")
    for _ in range(50):
        ws.expect("error")
    ws.say("fine")


def test_query_refusals(daemons):
    daemons.ws(format="xml", refuse=True).problem(400, "bad_field")
    daemons.ws(room="a/b", refuse=True).problem(400, "bad_field")
    daemons.ws(room="x", token=daemons.token("a", subscribe=["chat/y"]), refuse=True).problem(403, "insufficient_scope")


# -- limits -----------------------------------------------------------------------------------------------------------------------


def test_rate_limit(start, room):
    d = start({"limits": {"messages_per_second": 5, "burst": 10}})
    ws = d.join(room)
    for i in range(30):
        ws.send({"type": "chat", "content": str(i), "ref": i})
    acked, refused = 0, []
    for _ in range(30):
        m = ws.recv()
        if m["type"] == "ack":
            acked += 1
        else:
            assert m["type"] == "error" and m["code"] == "rate_limited", m
            refused.append(m)
    assert 8 <= acked <= 16, acked
    assert refused[0]["limit"] == "limits.messages_per_second"
    assert refused[0]["retry_after"] > 0
    time.sleep(min(3, math.ceil(refused[-1]["retry_after"])) + 0.3)
    ws.say("again")


def test_rooms_per_connection(start):
    d = start({"limits": {"rooms_per_connection": 3}})
    ws = d.ws()
    for i in range(3):
        ws.ok("join", "joined", room=f"r{i}")
    m = ws.fails("join", "too_many", room="r3")
    assert m["limit"] == "limits.rooms_per_connection"
    ws.ok("join", "joined", room="r1")
    ws.ok("leave", "left", room="r1")
    ws.ok("join", "joined", room="r3")


def test_connections_per_user(start):
    d = start({"limits": {"connections_per_user": 2}})
    a, b = d.ws(sub="a"), d.ws(sub="a")
    r = d.ws(sub="a", refuse=True)
    assert r.problem(429, "too_many")["limit"] == "limits.connections_per_user"
    assert r.header("Retry-After")
    d.ws(sub="b").drop()
    a.close()
    end = time.monotonic() + 3 * SLOW
    while True:
        r, ws = rawclient.WebSocket.open(d.address, "/chat", d.bearer(sub="a"))
        if ws:
            break
        assert time.monotonic() < end, r
        time.sleep(0.05)
    b.sync()


def test_in_flight_is_bounded(daemons, room):
    """Thousands of requests in one write are all answered, in bounded steps."""
    a = daemons.join(room)
    a.conn.send(b"".join(frame(TEXT, json.dumps({"type": "chat", "content": str(i), "ref": i})) for i in range(3000)))
    refs = [a.expect("ack")["ref"] for _ in range(3000)]
    assert sorted(refs) == list(range(3000))


def test_empty_is_said_in_words_of_the_chat(daemons, room):
    a = daemons.ws(token=daemons.token("a", subscribe=["**"], publish=["**"], direct=["*"]), room=room)
    for kind, members in (("chat", {}), ("direct", {"to": "a"})):
        assert "content or data is needed" in a.fails(kind, "bad_field", content=" ", **members)["message"]
    assert "message, title or data is needed" in a.ask("publish", topic="t")["message"]


def test_big_content(daemons, room):
    a, b = daemons.join(room, sub="a"), daemons.join(room, sub="b")
    content = "x" * 60000
    a.say(content)
    assert b.expect("chat")["content"] == content


# -- format=text ------------------------------------------------------------------------------------------------------------------


def lines(ws, n):
    return [ws.recv_text() for _ in range(n)]


def test_text(daemons, room):
    ada = daemons.ws(sub="ada", name="Ada", format="text", room=room)
    daemons.join(room, sub="w").ok("members", "members", room=room)
    bob = daemons.ws(sub="bob", name="Bob", format="text", room=room)
    got = []
    while "* Bob joined" not in got:
        got.append(ada.recv_text())
    assert "* Ada joined" not in got, "own joining"
    ada.send("hello there")
    got = []
    while "<Ada>: hello there" not in got:
        got.append(bob.recv_text())
    bob.send("hi")
    assert ada.recv_text() == "<Bob>: hi"
    bob.close()
    got = []
    while "* Bob left" not in got:
        got.append(ada.recv_text(timeout=6 * SLOW))


def test_text_to_json_and_back(daemons, room):
    text = daemons.ws(sub="ada", name="Ada", format="text", room=room)
    js = daemons.join(room, sub="bob", name="Bob")
    assert text.recv_text() == "* Bob joined"
    js.say("from json")
    assert text.recv_text() == "<Bob>: from json"
    text.send('{"type":"chat","content":"x"}')
    assert js.expect("chat")["content"] == '{"type":"chat","content":"x"}', "each text frame is a chat message"


def test_text_default_room(daemons):
    a = daemons.ws(sub=mark("a"), name="Ada", format="text")
    w = daemons.join("lobby", sub="w")
    a.send(mark("hello"))
    w.expect("chat")


def test_text_stored_messages(daemons, room):
    filled(daemons, room, 3)
    a = daemons.ws(sub="a", format="text", room=room)
    assert lines(a, 3) == [f"<Writer>: m{i}" for i in range(3)]
    b = daemons.ws(sub="b", format="text", room=room, last=1)
    assert b.recv_text() == "<Writer>: m2"


def test_text_cannot_fake_a_speaker(daemons, room):
    text = daemons.ws(sub="r", name="Reader", format="text", room=room)
    js = daemons.join(room, sub="m", name="Mallory")
    for content in ("one\n<Ada>: two", "one\r\n<Ada>: two", "one\r<Ada>: two", "one\u2028<Ada>: two", "one\x0b<Ada>: two"):
        js.say(content)
        while True:
            got = text.recv_text()
            if got.startswith("<Mallory>: one"):
                break
        for line in got.replace("\r", "\n").split("\n")[1:]:
            assert line == "" or line[0] in " \t", got


def test_text_gap(daemons, room):
    filled(daemons, room, 1)
    a = daemons.ws(sub="a", format="text", room=room, after=5)
    assert lines(a, 2) == ["* gap", "<Writer>: m0"]


def test_text_error(daemons, room):
    a = daemons.ws(token=daemons.token("a", subscribe=["chat/*"], publish=[]), format="text", room=room)
    a.send("may I?")
    m = a.recv_text()
    assert m.startswith("! insufficient_scope: "), m


def test_text_binary_closes(daemons, room):
    a = daemons.ws(sub="a", format="text", room=room)
    a.send(b"x")
    a.expect_close(1003)


# -- format=raw ----------------------------------------------------------------------------------------------------------------------


def test_raw(daemons, room):
    a = daemons.ws(sub="a", format="raw", room=room)
    b = daemons.ws(sub="b", format="raw", room=room)
    c = daemons.ws(sub="c", format="raw", room=room)
    js = daemons.join(room, sub="j")
    a.send(b"\x00\xff\x01")
    assert b.recv_message() == (BINARY, b"\x00\xff\x01")
    assert c.recv_message() == (BINARY, b"\x00\xff\x01")
    b.send('{"not":"parsed"')
    assert a.recv_message() == (TEXT, b'{"not":"parsed"')
    a.send(b"")
    assert c.recv_message() == (TEXT, b'{"not":"parsed"')
    assert c.recv_message() == (BINARY, b"")
    daemons.flush(room, js)
    assert not js.take("chat")
    h = js.ok("history", "history", room=room)["messages"]
    assert [m["content"] for m in h if not m["content"].startswith("flush")] == []


def test_raw_has_no_stored_messages_to_wait_for(daemons, room):
    """What it is behind of would cost frames."""
    def gaps():
        text = daemons.http("GET", "/metrics").ok().text()
        return re.search(r"^belfry_gaps_total (\d+)", text, re.M)[1]

    before = gaps()
    a = daemons.ws(sub="a", format="raw", room=room, after=5)
    daemons.ws(sub="b", format="raw", room=room).send("x")
    assert a.recv_text() == "x"
    assert gaps() == before


def test_raw_of_who_may_only_listen(daemons, room):
    """No error can be told, and no frame may be missing."""
    a = daemons.ws(sub="a", format="raw", room=room)
    b = daemons.ws(token=daemons.token("b", subscribe=["chat/*"], publish=[]), format="raw", room=room)
    a.send("x")
    assert b.recv_text() == "x"
    b.send("y")
    b.expect_close(1008)
    c = daemons.ws(sub="c", format="raw", room=room)
    c.send("z")
    assert a.recv_text() == "z"


def test_raw_keeps_order(daemons, room):
    a = daemons.ws(sub="a", format="raw", room=room)
    b = daemons.ws(sub="b", format="raw", room=room)
    daemons.join(room, sub="w").sync()
    for i in range(300):
        a.send(str(i))
    got = [b.recv_text() for _ in range(300)]
    assert got == [str(i) for i in range(300)]


def test_raw_gets_no_chat(daemons, room):
    a = daemons.ws(sub="a", format="raw", room=room)
    b = daemons.ws(sub="b", format="raw", room=room)
    js = daemons.join(room, sub="j")
    js.say("words", room=room)
    b.send("end")
    assert a.recv_text() == "end"


# -- slow readers --------------------------------------------------------------------------------------------------------------------------


def test_slow_reader_reads_on(daemons, room):
    """A reader that stops for a while gets everything in order, as the log still has it all; others do not wait."""
    slow = daemons.join(room, sub="slow", rcvbuf=4096)
    fast, writer = daemons.join(room, sub="fast"), daemons.join(room, sub="w")
    want = []
    pad = "x" * 4000
    for i in range(600):
        want.append(writer.say(f"{i} {pad}")["id"])
    assert ids(take(fast, 600)) == want
    got = ids(take(slow, 600))
    assert got == want
    daemons.flush(room, slow)
    assert not slow.take("gap")


def test_slow_reader_skips_its_own(daemons, room):
    """One that fell behind skips what it said itself."""
    a = daemons.join(room, sub="a", rcvbuf=4096)
    w = daemons.join(room, sub="w")
    pad = "x" * 8000
    for i in range(300):
        w.say(f"{i} {pad}")
    a.send({"type": "chat", "content": "mine", "ref": "m"})
    w.expect("chat", content="mine")
    w.say("end")
    got = []
    while not got or got[-1]["content"] != "end":
        got.append(a.expect("chat"))
    assert not [m for m in got if m["content"] == "mine"]
    assert len(got) == 301
    a.expect("ack")


def test_slow_reader_is_told_of_the_gap(start):
    """What the log no longer has is announced by one gap, then the rest follows in order."""
    d = start({"topics": ({"match": "short/**", "history": 20}, {"match": "**", "history": 1000})})
    topic = mark("short/x")
    a = d.ws(rcvbuf=4096)
    a.ok("subscribe", "subscribed", topic=topic)
    want = d.publish_many(topic, [f"{i} " + "x" * 15000 for i in range(400)])
    got, gaps = [], 0
    while not got or got[-1] != want[-1]:
        m = a.recv()
        if m["type"] == "gap":
            gaps += 1
            assert m["topic"] == topic and m["reason"] == "trimmed", m
            hole = len(got)
        elif m["type"] == "notification":
            got.append(m["id"])
    assert gaps == 1
    assert got == want[:hole] + want[len(want) - (len(got) - hole):]


def test_slow_reader_of_ephemeral_messages(start):
    """Ephemeral ones are not kept for it; the number dropped is told."""
    d = start({"topics": ({"match": "live/**", "history": 0}, {"match": "**", "history": 1000})})
    topic = mark("live/x")
    a = d.ws(rcvbuf=4096)
    a.ok("subscribe", "subscribed", topic=topic)
    token = d.token("p")
    n = 400
    with d.conn() as c:
        for i in range(n):
            c.request("POST", f"/publish/{topic}", d.bearer(token), f"{i} " + "x" * 15000).ok()
    got, dropped = 0, 0
    while got + dropped < n:
        m = a.recv()
        if m["type"] == "notification":
            got += 1
        elif m["type"] == "gap":
            assert m["reason"] == "slow", m
            dropped += m["dropped"]
    assert dropped > 0 and got + dropped == n
    d.publish(topic, "live again")
    while a.recv().get("message") != "live again":
        pass


def test_raw_slow_reader_is_closed(daemons, room):
    """A raw reader too slow to get every frame is closed with 1013."""
    slow = daemons.ws(sub="slow", format="raw", room=room, rcvbuf=4096)
    w = daemons.ws(sub="w", format="raw", room=room)
    daemons.join(room, sub="x").sync()
    for i in range(300):
        w.send(b"x" * 30000)
    daemons.http("GET", "/healthz")
    end = time.monotonic() + 10 * SLOW
    while time.monotonic() < end:
        m = slow.recv_message()
        if isinstance(m, Frame):
            assert m.code == 1013, m
            return
    raise AssertionError("never closed")
