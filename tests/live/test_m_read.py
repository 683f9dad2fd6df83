"""Read markers: `read`, `unread` in `joined` and `rooms`; only forward, once a second, over restarts."""

import json
import time

import pytest
from support.daemon import WAIT, Daemon, mark
from support.rawclient import Timeout


def rooms(ws, room):
    return next(r for r in ws.ok("rooms", "rooms")["rooms"] if r["room"] == room)


def joined(d, room, sub):
    with d.ws(sub=sub) as ws:
        return ws.ok("join", "joined", room=room, last=0)


def test_read(daemons):
    room = mark("r")
    ada, tab, bob = (daemons.join(room, sub=s, name=s.title()) for s in ("ada", "ada", "bob"))
    assert "unread" not in ada.joined and "read" not in ada.joined and "unread" not in rooms(ada, room)
    bell = daemons.ws(sub="tom")
    bell.ok("subscribe", "subscribed", topic=f"chat/{room}")
    ids = [bob.say(f"m{n}")["id"] for n in range(5)]
    own = ada.say("one of my own")["id"]
    ada.send({"type": "read", "room": room, "id": ids[1]})
    for ws in (tab, bob):  # to the user's other connections and to a small room
        assert ws.expect("read") == {"type": "read", "room": room, "user": {"id": "ada", "name": "Ada"}, "read": ids[1]}
    again = joined(daemons, room, "ada")
    assert (again["unread"], again["read"]) == (3, ids[1])
    assert rooms(ada, room)["unread"] == 3
    ada.send({"type": "read", "room": room, "id": ids[0]})  # back is no move
    ada.send({"type": "read", "id": 2**53 - 1})  # what is not there yet is not read
    assert bob.expect("read")["read"] == own
    assert joined(daemons, room, "ada")["unread"] == 0
    bob.say("later")
    assert joined(daemons, room, "ada")["unread"] == 1
    assert not ada.sync().take("read"), "one's own connection is not told"
    assert not bell.sync().take("read"), "a subscription has no members"
    ada.fails("read", "bad_field", room=room)
    ada.fails("read", "bad_field", room=room, id="x")
    ada.fails("read", "bad_field", room=room, id=0)
    ada.fails("read", "bad_field", room="a/b", id=1)
    reader = daemons.ws(token=daemons.token("ada", subscribe=["chat/other"]))
    reader.fails("read", "insufficient_scope", room=room, id=ids[1])
    reader.fails("read", "bad_field", id=ids[1])
    empty = daemons.join(mark("empty"), sub="ada")
    empty.send({"type": "read", "id": ids[1]})
    assert "read" not in joined(daemons, empty.joined["room"], "ada")


def test_once_a_second(daemons):
    room = mark("r")
    ada, bob = daemons.join(room, sub="ada"), daemons.join(room, sub="bob")
    ids = [bob.say(f"m{n}")["id"] for n in range(60)]
    began = time.monotonic()
    for i in ids:
        ada.send({"type": "read", "id": i})
        time.sleep(0.03)
    got = [bob.expect("read")["read"]]
    while got[-1] != ids[-1]:
        got.append(bob.expect("read")["read"])
    assert got == sorted(set(got)) and len(got) <= time.monotonic() - began + 2
    try:
        bob.expect("read", timeout=1.5)
        raise AssertionError("told once more")
    except Timeout:
        pass


def test_sse(daemons):
    room = mark("r")
    bob = daemons.join(room, sub="bob")
    i = bob.say("hi")["id"]
    stream = daemons.chat_sse(room, sub="ada")
    r = daemons.http("POST", f"/chat/{stream.session}", {"Content-Type": "application/json"}, json.dumps({"type": "read", "id": i}), token=daemons.token("ada"))
    assert r.status == 204, r
    assert bob.expect("read")["read"] == i
    other = daemons.chat_sse(room, sub="eve")
    j = bob.say("there")["id"]
    bob.send({"type": "read", "id": j})
    assert json.loads(other.until("read").data)["read"] == j
    text = daemons.ws(sub="tom", room=room, format="text")
    bob.say("more")
    bob.send({"type": "read", "id": j + 1})
    assert text.recv_text().startswith("<bob>")


def test_crowd(daemons):
    """Of more than 50 people only one's own other connections hear it."""
    room = mark("r")
    crowd = [daemons.join(room, sub=f"u{n}") for n in range(50)]
    ada, tab = daemons.join(room, sub="ada"), daemons.join(room, sub="ada")
    i = crowd[0].say("hi")["id"]
    ada.send({"type": "read", "id": i})
    assert tab.expect("read")["read"] == i
    crowd[1].send({"type": "read", "id": i})  # alone: nobody is told
    time.sleep(0.3)
    for ws in crowd[:10]:
        assert not ws.sync().take("read")
    assert joined(daemons, room, "u1")["unread"] == 0


@pytest.mark.parametrize("workers", [1, 3])
def test_restart(tmp_path, workers):
    """Kept over an end, and over a kill when a second has passed."""
    d = Daemon(tmp_path, {"workers": workers, "storage": {"backend": "sqlite", "path": "data/belfry.db"}}).start()
    try:
        ada, bob = d.join("lobby", sub="ada"), d.join("lobby", sub="bob")
        ids = [bob.say(f"m{n}")["id"] for n in range(5)]
        for n, how in ((1, d.stop), (2, d.kill)):
            ada.send({"type": "read", "room": "lobby", "id": ids[n]})
            ada.sync()
            if how == d.kill:
                assert bob.expect("read")["read"] == ids[n]
                end = time.monotonic() + WAIT
                path = tmp_path / "data" / "belfry.db"
                while stored(path) != ids[n]:
                    assert time.monotonic() < end
                    time.sleep(0.05)
            how()
            d.again()
            again = joined(d, "lobby", "ada")
            assert (again["read"], again["unread"]) == (ids[n], 4 - n)
            ada, bob = d.join("lobby", sub="ada"), d.join("lobby", sub="bob")
            assert rooms(ada, "lobby")["unread"] == 4 - n and "unread" not in rooms(bob, "lobby")
        d.stop()
    finally:
        d.kill()


@pytest.mark.parametrize("workers", [1, 3])
def test_unread_is_on_the_disk(tmp_path, workers):
    """Exact at every door, though the cache has next to nothing of it; with what is said right behind a join."""
    d = Daemon(tmp_path, {"workers": workers, "limits": {"messages_per_second": 0},
                          "storage": {"backend": "sqlite", "path": "data/belfry.db", "cache": "16K"}}).start()
    try:
        rooms_of = {f"r{n}": (n * 7, n * 3) for n in range(1, 9)}  # said, and read of it
        ada, bob = d.ws(sub="ada"), d.ws(sub="bob")
        for room, (said, read) in rooms_of.items():
            ids = d.publish_many(f"chat/{room}", [f"m{n} " + "x" * 200 for n in range(said)], token=d.token("bob"))
            ada.ok("publish", "ack", topic=f"chat/{room}", message="my own")
            ada.send({"type": "read", "room": room, "id": ids[read - 1]})
        for part in range(3):
            d.publish_many("chat/many", ["m"] * 500, token=d.token("bob"))
        ada.send({"type": "read", "room": "many", "id": ids[0]})
        ada.send({"type": "read", "room": "r8", "id": ids[30]})
        i = ids[40]
        assert bob.ok("join", "joined", room="r8", last=0) and bob.ok("delete", "ack", target=i)
        ada.sync()
        d.stop()
        d.again()
        d.publish_many("elsewhere", ["y" * 300] * 200)  # what was brought back goes again
        ada = d.ws(sub="ada")
        want = {room: said - read for room, (said, read) in rooms_of.items()} | {"r8": 56 - 31 - 1, "many": 1000}
        assert {r["room"]: r.get("unread") for r in ada.ok("rooms", "rooms")["rooms"] if r["room"] in want} == want
        for room, n in want.items():
            assert ada.ok("join", "joined", room=room, last=0)["unread"] == n
            with d.ws(sub="ada", room=room, last=0) as ws:
                assert ws.expect("joined")["unread"] == n
            stream = d.chat_sse(room, sub="ada", last=0)
            assert json.loads(stream.until("joined").data)["unread"] == n
            stream.close()
        with d.ws(sub="ada") as ws:
            ws.send({"type": "join", "room": "r7", "last": 0, "ref": 1})
            ws.send({"type": "chat", "content": "said at once", "ref": 2})
            assert ws.expect("joined")["unread"] == want["r7"]
            ack = ws.expect("ack", ref=2)["id"]
        found = d.http("GET", "/history?topic=chat/r7&limit=1", token=d.token("ada")).ok().json()["messages"]
        assert [m["id"] for m in found] == [ack]
        d.stop()
    finally:
        d.kill()


def stored(path):
    import sqlite3
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return db.execute("SELECT number FROM facts WHERE kind = 5").fetchone()[0]
    finally:
        db.close()
