"""Read markers (CONTRACT 4): `read`, `unread` in `joined` and `rooms`; only forward, once a second, over restarts."""

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
            d.configure({"listen": ({"address": "127.0.0.1", "port": d.port},)})
            d.lines.clear()
            d.start()
            again = joined(d, "lobby", "ada")
            assert (again["read"], again["unread"]) == (ids[n], 4 - n)
            ada, bob = d.join("lobby", sub="ada"), d.join("lobby", sub="bob")
            assert rooms(ada, "lobby")["unread"] == 4 - n and "unread" not in rooms(bob, "lobby")
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
