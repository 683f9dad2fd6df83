"""What becomes of messages: edited, deleted, reacted to; on both stores, with one worker and with three."""

import json
import sqlite3
import threading
import time
import urllib.parse

import pytest
from support.daemon import WAIT, mark
from support.stores import CHAT, DISK

CONF = CHAT


@pytest.fixture
def d(stored):
    return stored


def pair(d, room):
    return d.join(room, sub="ada", name="Ada"), d.join(room, sub="bob", name="Bob")


def history(d, topic, **query):
    q = urllib.parse.urlencode({"topic": topic, "limit": 1000, **query})
    return d.http("GET", "/history?" + q, token=d.token("reader")).ok().json()["messages"]


def message(d, room, id):
    return next(m for m in history(d, f"chat/{room}") if m["id"] == id)


def moderator(d, sub="mod"):
    return d.token(sub, belfry={"subscribe": ["**"], "publish": ["**"], "role": "moderator"}, name="Mod")


# -- edit -------------------------------------------------------------------------------------------------------------


def test_edit(d, room):
    ada, bob = pair(d, room)
    id = ada.say("helo", room=room, reply_to=7, key="k1")["id"]
    bob.expect("chat", id=id)
    ack = ada.ok("edit", "ack", target=id, content="hello")
    assert ack["target"] == id and ack["id"] > id and ack["duplicate"] is False
    m = bob.expect("edited")
    assert m["id"] == ack["id"] and m["target"] == id and m["room"] == room and m["content"] == "hello"
    assert m["user"] == {"id": "ada", "name": "Ada"} and abs(m["time"] - time.time() * 1000) < 60000
    assert not ada.sync().take("edited"), "the sender gets the ack alone"
    now = message(d, room, id)
    assert now["content"] == "hello" and now["edited"] == m["time"] and now["reply_to"] == 7 and now["key"] == "k1"
    assert now["type"] == "chat" and now["from"] == {"id": "ada", "name": "Ada"}


def test_edit_of_data(d, room):
    ada, bob = pair(d, room)
    id = ada.say("text", room=room, data={"a": 1})["id"]
    ada.ok("edit", "ack", target=id, data={"b": [2]})
    m = bob.expect("edited")
    assert m["data"] == {"b": [2]} and "content" not in m
    assert (message(d, room, id)["content"], message(d, room, id)["data"]) == ("text", {"b": [2]})
    ada.ok("edit", "ack", target=id, content="other")
    assert (message(d, room, id)["content"], message(d, room, id)["data"]) == ("other", {"b": [2]})


def test_edit_keeps_to_the_size_of_a_message(d, room):
    """What is kept of it counts, too."""
    a, b = pair(d, room)
    i = a.say("x" * 40000)["id"]
    m = a.ask("edit", target=i, data="y" * 40000)
    assert m["code"] == "too_large" and m["limit"] == "limits.message", m
    a.ok("edit", "ack", target=i, data="y" * 20000)
    m = a.ask("edit", target=i, content="x" * 50000)
    assert m["code"] == "too_large", m
    a.ok("edit", "ack", target=i, content="x" * 45000)
    a.ok("edit", "ack", target=i, content="x" * 60000, data=1)
    b.ok("react", "ack", target=i, emoji="x")
    assert (len(message(d, room, i)["content"]), message(d, room, i)["data"]) == (60000, 1)


def test_type_in_any_case_and_room(d, room):
    ada, _ = pair(d, room)
    id = ada.say("x", room=room)["id"]
    ada.ok("Edit", "ack", target=id, content="y", room=room)
    ada.fails("edit", "bad_field", target=id, content="z", room=room + "x")
    assert message(d, room, id)["content"] == "y"


@pytest.mark.parametrize("kind,members,code", [
    ("edit", {}, "bad_field"),
    ("edit", {"target": "x", "content": "y"}, "bad_field"),
    ("edit", {"target": 0, "content": "y"}, "bad_field"),
    ("edit", {"target": -1, "content": "y"}, "bad_field"),
    ("edit", {"target": 1.5, "content": "y"}, "bad_field"),
    ("edit", {"target": 5}, "bad_field"),
    ("edit", {"target": 5, "content": 5}, "bad_field"),
    ("edit", {"target": 5, "content": " \n "}, "bad_field"),
    ("edit", {"target": 5, "content": "x" * 65537}, "too_large"),
    ("edit", {"target": 5, "content": "y"}, "not_found"),
    ("edit", {"target": 2**53 - 1, "content": "y"}, "not_found"),
    ("delete", {"target": 5}, "not_found"),
    ("delete", {"target": 5, "room": 7}, "bad_field"),
    ("react", {"target": 5, "emoji": "👍"}, "not_found"),
    ("react", {"target": 5}, "bad_field"),
    ("react", {"target": 5, "emoji": ""}, "bad_field"),
    ("react", {"target": 5, "emoji": "a b"}, "bad_field"),
    ("react", {"target": 5, "emoji": "a\n"}, "bad_field"),
    ("react", {"target": 5, "emoji": "\u202e"}, "bad_field"),
    ("react", {"target": 5, "emoji": "\u200d"}, "bad_field"),
    ("react", {"target": 5, "emoji": "x" * 65}, "bad_field"),
    ("react", {"target": 5, "emoji": "x", "on": 1}, "bad_field"),
], ids=lambda v: v if isinstance(v, str) else None)
def test_refused(d, room, kind, members, code):
    if code == "too_large":
        d.join(room).send({"type": kind, **members})  # the frame itself is too large
        return
    d.join(room).fails(kind, code, **members)


def test_whose_it_is(d, room):
    ada, bob = pair(d, room)
    id = ada.say("mine", room=room)["id"]
    for kind, members in (("edit", {"content": "x"}), ("delete", {})):
        assert "moderator" in bob.fails(kind, "forbidden", target=id, **members)["message"]
    mod = d.ws(token=moderator(d))
    mod.ok("edit", "ack", target=id, content="better")
    m = bob.expect("edited")
    assert m["user"]["id"] == "mod" and m["content"] == "better"
    assert message(d, room, id)["from"]["id"] == "ada"
    mod.ok("delete", "ack", target=id)
    assert bob.expect("deleted")["user"]["id"] == "mod"


def test_who_may_not_read_or_write(d, room):
    ada, _ = pair(d, room)
    id = ada.say("secret", room=room)["id"]
    blind = d.ws(token=d.token("ada", belfry={"subscribe": ["chat/other"], "publish": ["**"], "role": "admin"}))
    for kind, members in (("edit", {"content": "x"}), ("delete", {}), ("react", {"emoji": "x"})):
        blind.fails(kind, "not_found", target=id, **members)
    mute = d.ws(token=d.token("ada", belfry={"subscribe": ["**"], "publish": []}))
    for kind, members in (("edit", {"content": "x"}), ("delete", {}), ("react", {"emoji": "x"})):
        mute.fails(kind, "insufficient_scope", target=id, **members)
    assert message(d, room, id)["content"] == "secret"


def test_only_chat_changes(d, topic, room):
    id = d.publish(topic, "hi")["id"]
    ada, _ = pair(d, room)
    assert "chat" in ada.fails("delete", "bad_field", target=id)["message"]
    said = ada.say("x", room=room)["id"]
    record = ada.ok("edit", "ack", target=said, content="y")["id"]
    ada.fails("edit", "bad_field", target=record, content="z")


def test_window(own, room):
    d = own({"chat": {"edit_window": "1s"}})
    ada, bob = pair(d, room)
    id = ada.say("old", room=room)["id"]
    time.sleep(1.1)
    for kind, members in (("edit", {"content": "x"}), ("delete", {})):
        m = ada.fails(kind, "forbidden", target=id, **members)
        assert m["limit"] == "chat.edit_window" and "edit_window" in m["message"]
    bob.ok("react", "ack", target=id, emoji="👍")
    d.ws(token=moderator(d)).ok("edit", "ack", target=id, content="moderated")


def test_no_window(own, room):
    d = own({"chat": {"edit_window": 0}})
    ada, _ = pair(d, room)
    ada.ok("edit", "ack", target=ada.say("old", room=room)["id"], content="x")


# -- delete -----------------------------------------------------------------------------------------------------------


def test_delete(d, room):
    ada, bob = pair(d, room)
    id = ada.say("unsay", room=room, key="secretkey", data={"x": "unsaid"})["id"]
    after = ada.say("stays", room=room)["id"]
    bob.ok("react", "ack", target=id, emoji="👍")
    ada.ok("edit", "ack", target=id, content="unsay2")
    ack = ada.ok("delete", "ack", target=id)
    m = bob.expect("deleted")
    assert (m["id"], m["target"], m["room"], m["user"]["id"]) == (ack["id"], id, room, "ada")
    gone, stays = history(d, f"chat/{room}")
    assert gone == {"type": "chat", "id": id, "room": room, "from": {"id": "ada", "name": "Ada"}, "time": gone["time"], "deleted": True}
    assert stays["id"] == after
    for kind, members in (("edit", {"content": "x"}), ("delete", {}), ("react", {"emoji": "x"})):
        ada.fails(kind, "not_found", target=id, **members)
    # who comes later gets it in its place; it counts, so nobody gets more than was asked for
    late = d.ws(sub="cid")
    for how, want in (({"last": 1}, [after]), ({"last": 2}, [id, after]), ({"after": "all"}, [id, after])):
        late.ok("join", "joined", room=room, **how)
        assert [late.expect("chat")["id"] for _ in want] == want, how
        assert not late.sync().take("chat"), how
    assert not late.sync().take("edited") and not late.take("reaction") and not late.take("deleted")


def test_its_key_stays_known(d, room):
    ada, _ = pair(d, room)
    id = ada.say("x", room=room, key="once")["id"]
    ada.ok("delete", "ack", target=id)
    again = ada.say("x", room=room, key="once")
    assert (again["id"], again["duplicate"]) == (id, True)


# -- reactions --------------------------------------------------------------------------------------------------------


def test_react(d, room):
    ada, bob = pair(d, room)
    id = ada.say("hi", room=room)["id"]
    ack = bob.ok("react", "ack", target=id, emoji="👍")
    assert ack["target"] == id and ack["duplicate"] is False
    m = ada.expect("reaction")
    assert (m["id"], m["target"], m["room"], m["emoji"], m["on"]) == (ack["id"], id, room, "👍", True)
    assert m["user"] == {"id": "bob", "name": "Bob"}
    again = bob.ok("react", "ack", target=id, emoji="👍")
    assert (again["id"], again["duplicate"]) == (ack["id"], True)
    ada.ok("react", "ack", target=id, emoji="❤️")
    ada.ok("react", "ack", target=id, emoji="👍", on=True)
    assert message(d, room, id)["reactions"] == [
        {"emoji": "👍", "count": 2, "users": ["bob", "ada"]}, {"emoji": "❤️", "count": 1, "users": ["ada"]}]
    bob.ok("react", "ack", target=id, emoji="👍", on=False)
    assert ada.expect("reaction", on=False)["emoji"] == "👍"
    assert message(d, room, id)["reactions"] == [
        {"emoji": "👍", "count": 1, "users": ["ada"]}, {"emoji": "❤️", "count": 1, "users": ["ada"]}]
    ada.ok("react", "ack", target=id, emoji="👍", on=False)
    ada.ok("react", "ack", target=id, emoji="❤️", on=False)
    assert "reactions" not in message(d, room, id)
    assert bob.ok("react", "ack", target=id, emoji="🦊", on=False)["duplicate"] is True
    assert len(ada.sync().take("reaction")) == 0 and len(bob.sync().take("reaction")) == 4


def test_odd_emoji(d, room):
    ada, _ = pair(d, room)
    id = ada.say("hi", room=room)["id"]
    odd = ['"', "\\", "<b>", "x" * 64, "👩‍👩‍👧‍👦", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "+1", ":)", "é", "\U0001fae9"]
    for emoji in odd:
        ada.ok("react", "ack", target=id, emoji=emoji)
        assert ada.ok("react", "ack", target=id, emoji=emoji)["duplicate"]
    assert [r["emoji"] for r in message(d, room, id)["reactions"]] == odd


def test_most_reactions(d, room):
    ada, bob = pair(d, room)
    id = ada.say("hi", room=room)["id"]
    for i in range(50):
        ada.ok("react", "ack", target=id, emoji=f"e{i}")
    m = bob.fails("react", "too_many", target=id, emoji="e50")
    assert m["limit"] == "chat.reactions"
    bob.ok("react", "ack", target=id, emoji="e49")
    ada.ok("react", "ack", target=id, emoji="e3", on=False)
    bob.ok("react", "ack", target=id, emoji="e50")
    reactions = message(d, room, id)["reactions"]
    assert len(reactions) == 50 and reactions[-1] == {"emoji": "e50", "count": 1, "users": ["bob"]}


def test_many_users(d, room):
    id = d.join(room).say("hi", room=room)["id"]
    for i in range(25):
        d.ws(sub=f"u{i}").ok("react", "ack", target=id, emoji="👍")
    (r,) = message(d, room, id)["reactions"]
    assert r["count"] == 25 and r["users"] == [f"u{i}" for i in range(20)]
    for i in range(24):
        d.ws(sub=f"u{i}").ok("react", "ack", target=id, emoji="👍", on=False)
    d.ws(sub="u9").ok("react", "ack", target=id, emoji="👍")
    (r,) = message(d, room, id)["reactions"]
    assert r["count"] == 2 and "u9" in r["users"]


def test_at_once(d, room):
    """Edits and reactions of many at once: none is lost."""
    id = d.join(room).say("hi", room=room)["id"]
    sockets = [d.ws(sub=f"u{i}") for i in range(12)]
    for n in range(5):
        for ws in sockets:
            ws.send({"type": "react", "target": id, "emoji": f"e{n}", "ref": n})
    for ws in sockets:
        for n in range(5):
            assert ws.expect("ack", ref=n)["duplicate"] is False
    assert sorted((r["emoji"], r["count"]) for r in message(d, room, id)["reactions"]) == [(f"e{n}", 12) for n in range(5)]
    ada = d.ws(sub="ada")
    for n in range(20):
        ada.send({"type": "edit", "target": id, "content": f"c{n}", "ref": n})
        sockets[n % 12].send({"type": "react", "target": id, "emoji": "x" * (n + 1), "ref": 100 + n})
    last = max(ada.expect("ack", ref=n)["id"] for n in range(20))
    for n in range(20):
        sockets[n % 12].expect("ack", ref=100 + n)
    m = message(d, room, id)
    assert len(m["reactions"]) == 25 and m["content"] == "c19" and last > id


def test_one_of_many_deletes(d, room):
    """Of deletions and edits at once one deletion succeeds, and after it nothing does."""
    id = d.join(room).say("hi", room=room)["id"]
    sockets = [d.ws(sub="ada") for _ in range(6)]
    for ws in sockets:
        ws.send({"type": "edit", "target": id, "content": "x", "ref": "e"})
        ws.send({"type": "delete", "target": id, "ref": "d"})
    deleted = []
    for ws in sockets:
        e, m = None, None
        while e is None or m is None:
            a = ws.recv()
            e = a if a.get("ref") == "e" else e
            m = a if a.get("ref") == "d" else m
        assert m["type"] == "ack" or m["code"] == "not_found"
        assert e["type"] == "ack" or e["code"] == "not_found"
        deleted += [m["id"]] if m["type"] == "ack" else []
    assert len(deleted) == 1
    assert message(d, room, id)["deleted"] is True


# -- history, search, retention ---------------------------------------------------------------------------------------------


def test_history_counts_messages(d, room):
    ada, bob = pair(d, room)
    ids = [ada.say(f"m{i}", room=room)["id"] for i in range(5)]
    for i in range(80):
        bob.ok("react", "ack", target=ids[i % 5], emoji=f"e{i}")
    page = bob.ok("history", "history", room=room, limit=5)
    assert [m["id"] for m in page["messages"]] == ids and page["more"] is False
    assert all("reactions" in m for m in page["messages"])
    assert [m["id"] for m in bob.ok("history", "history", room=room, limit=3, after="all")["messages"]] == ids[:3]
    late = d.ws(sub="cid")
    late.ok("join", "joined", room=room, last=3)
    assert [late.expect("chat")["id"] for _ in range(3)] == ids[2:]
    assert not late.sync().take()


def test_search(d, room):
    ada, bob = pair(d, room)
    word = mark("w").replace("-", "")
    id = ada.say(f"an {word}one here", room=room)["id"]
    other = ada.say(f"an {word}one there", room=room)["id"]

    def found(q):
        return [m["id"] for m in history(d, f"chat/{room}", q=q)]

    assert found(word + "one") == [id, other]
    ada.ok("edit", "ack", target=id, content=f"now {word}two")
    assert found(word + "one") == [other] and found(word + "two") == [id]
    bob.ok("react", "ack", target=id, emoji=word + "three")
    assert found(word + "three") == []
    ada.ok("delete", "ack", target=id)
    assert found(word + "two") == [] and found(word + "one") == [other] and found("now") == []
    late = ada.say(f"{word}four", room=room)["id"]
    ada.ok("edit", "ack", target=late, content=f"{word}five")
    assert found(word + "four") == [] and found(word + "five") == [late]


def test_reactions_push_nothing_out(own, room):
    d = own({"topics": ({"match": "chat/*", "history": 5},)})
    ada, bob = pair(d, room)
    ids = [ada.say(f"m{i}", room=room)["id"] for i in range(5)]
    for i in range(60):
        bob.ok("react", "ack", target=ids[i % 5], emoji=f"e{i % 20}", on=i < 40)
        ada.ok("edit", "ack", target=ids[i % 5], content=f"n{i}")
    assert [m["id"] for m in history(d, f"chat/{room}")] == ids
    more = [ada.say(f"o{i}", room=room)["id"] for i in range(3)]
    assert [m["id"] for m in history(d, f"chat/{room}")] == ids[3:] + more
    for i in range(5):
        ada.say(f"p{i}", room=room)
    assert len(history(d, f"chat/{room}")) == 5
    ada.fails("edit", "not_found", target=ids[0], content="x")


def test_ends_with_its_target(d, room):
    """What ends by its own ttl takes along what was said in its place."""
    ada, _ = pair(d, room)
    before = ada.say("before", room=room)["id"]
    id = d.publish(f"chat/{room}", message="soon gone", ttl=2, token=d.token("ada"))["id"]
    ada.ok("edit", "ack", target=id, content="still soon gone")
    ada.ok("react", "ack", target=id, emoji="x")
    assert message(d, room, id)["content"] == "still soon gone"
    after = ada.say("after", room=room)["id"]
    deadline = time.monotonic() + WAIT
    while len(history(d, f"chat/{room}")) > 2 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert [m["id"] for m in history(d, f"chat/{room}")] == [before, after]
    ws = d.ws(sub="cid")
    assert ws.ok("join", "joined", room=room, after=id)["resumed"] is True
    assert ws.recv()["id"] == after and not ws.sync().take()
    ada.fails("react", "not_found", target=id, emoji="y")


# -- who hears of it --------------------------------------------------------------------------------------------------------


def test_replay_for_who_had_it(d, room):
    ada, _ = pair(d, room)
    first = ada.say("one", room=room)["id"]
    second = ada.say("two", room=room)["id"]
    edit = ada.ok("edit", "ack", target=first, content="one!")["id"]
    react = ada.ok("react", "ack", target=second, emoji="👍")["id"]
    # had the first only
    ws = d.ws(sub="cid")
    ws.ok("join", "joined", room=room, after=first)
    m = ws.recv()
    assert (m["type"], m["id"], m["reactions"][0]["emoji"]) == ("chat", second, "👍")
    m = ws.recv()
    assert (m["type"], m["id"], m["target"], m["content"]) == ("edited", edit, first, "one!")
    assert not ws.sync().take("reaction")
    # had both
    ws = d.ws(sub="cid")
    ws.ok("join", "joined", room=room, after=second)
    assert [(m["type"], m["id"]) for m in (ws.recv(), ws.recv())] == [("edited", edit), ("reaction", react)]
    # had none
    ws = d.ws(sub="cid")
    ws.ok("join", "joined", room=room, after=first - 1)
    assert [(m["type"], m["id"]) for m in (ws.recv(), ws.recv())] == [("chat", first), ("chat", second)]
    assert not ws.sync().take()
    # had all
    ws = d.ws(sub="cid")
    assert ws.ok("join", "joined", room=room, after=react)["resumed"] is True
    assert not ws.sync().take()


def test_only_the_newest_is_replayed(d, room):
    ada, bob = pair(d, room)
    id = ada.say("one", room=room)["id"]
    for i in range(3):
        ada.ok("edit", "ack", target=id, content=f"v{i}")
    for on in (True, False, True, False):
        last = bob.ok("react", "ack", target=id, emoji="x", on=on)["id"]
    ws = d.ws(sub="cid")
    ws.ok("join", "joined", room=room, after=id)
    assert ws.recv()["content"] == "v2"
    m = ws.recv()
    assert (m["type"], m["id"], m["on"]) == ("reaction", last, False)
    assert not ws.sync().take()
    gone = ada.ok("delete", "ack", target=id)["id"]
    ws = d.ws(sub="cid")
    ws.ok("join", "joined", room=room, after=id)
    m = ws.recv()
    assert (m["type"], m["id"]) == ("deleted", gone) and not ws.sync().take()


def test_other_devices_and_topics(d, room):
    ada, _ = pair(d, room)
    phone = d.join(room, sub="ada", name="Ada")
    topic = d.ws(sub="cid")
    topic.ok("subscribe", "subscribed", topic="chat/*")
    id = ada.say("x", room=room)["id"]
    ada.ok("edit", "ack", target=id, content="y")
    ada.ok("react", "ack", target=id, emoji="z")
    ada.ok("delete", "ack", target=id)
    for ws in (phone, topic):
        assert [ws.expect(kind, target=id, room=room)["target"] for kind in ("edited", "reaction", "deleted")] == [id] * 3


# -- every transport --------------------------------------------------------------------------------------------------------


def test_events(d, room):
    ada, bob = pair(d, room)
    stream = d.sse(topic=f"chat/{room}")
    lines = d.sse(topic=f"chat/{room}", accept="application/x-ndjson")
    id = ada.say("hi", room=room)["id"]
    edited = ada.ok("edit", "ack", target=id, content="ho")["id"]
    reaction = bob.ok("react", "ack", target=id, emoji="👍")["id"]
    deleted = ada.ok("delete", "ack", target=id)["id"]
    got = [stream.next() for _ in range(4)]
    assert [(e.name, int(e.id)) for e in got] == [("chat", id), ("edited", edited), ("reaction", reaction), ("deleted", deleted)]
    assert [e.json()["type"] for e in got] == ["chat", "edited", "reaction", "deleted"]
    assert got[1].json()["target"] == id and got[1].json()["content"] == "ho"
    assert [lines.lines()["type"] for _ in range(4)] == ["chat", "edited", "reaction", "deleted"]
    again = d.sse(topic=f"chat/{room}", headers={"Last-Event-ID": str(id)})
    assert again.next().name == "deleted"
    stored = d.sse(topic=f"chat/{room}", after="all").next()
    assert stored.name == "chat" and stored.json()["deleted"] is True


def test_text(d, room):
    text = d.ws(sub="cid", room=room, format="text")
    ada, bob = pair(d, room)
    id = ada.say("hi", room=room)["id"]
    ada.ok("edit", "ack", target=id, content="ho\n<Bob>: fake")
    bob.ok("react", "ack", target=id, emoji="👍")
    bob.ok("react", "ack", target=id, emoji="👍", on=False)
    ada.ok("delete", "ack", target=id)
    wanted = ["<Ada>: hi", "* Ada edited: ho\n    <Bob>: fake", "* Bob reacted: 👍", "* Bob took back: 👍", "* Ada deleted a message"]
    got = []
    while len(got) < len(wanted):
        line = text.recv_text()
        got += [] if line.endswith(" joined") else [line]
    assert got == wanted
    late = d.ws(sub="dan", room=room, format="text", last=5)
    ada.say("after", room=room)
    assert late.recv_text() == "<Ada>: after" or late.recv_text() == "<Ada>: after"


def test_chat_over_sse(d, room):
    ada, _ = pair(d, room)
    token = d.token("eve", name="Eve")
    stream = d.chat_sse(room, token=token)
    other = d.chat_sse(room, token=d.token("fay"), format="text")

    def post(**m):
        return d.http("POST", f"/chat/{stream.session}", {"Content-Type": "application/json"}, json.dumps(m), token=token)

    id = post(type="chat", content="hi").ok().json()["id"]
    ack = post(type="edit", target=id, content="ho").ok().json()
    assert ack["type"] == "ack" and ack["target"] == id
    assert post(type="react", target=id, emoji="👍").ok().json()["type"] == "ack"
    assert ada.expect("edited")["id"] == ack["id"]
    ada.ok("react", "ack", target=id, emoji="🙂")
    e = stream.until("reaction")
    assert e.json()["emoji"] == "🙂" and int(e.id) == e.json()["id"]
    assert post(type="delete", target=id).ok().json()["type"] == "ack"
    assert other.until("edited").data == "* Eve edited: ho"
    assert other.until("deleted").data == "* Eve deleted a message"
    r = post(type="delete", target=id)
    assert r.status == 404 and r.json()["code"] == "not_found"
    r = post(type="edit", target=ada.say("mine", room=room)["id"], content="x")
    assert r.status == 403 and r.json()["code"] == "forbidden"


def test_who_is_slow(d, room):
    """What was changed while somebody could not be reached is in what he gets then."""
    ada, _ = pair(d, room)
    slow = d.ws(sub="slow", rcvbuf=4096)
    slow.ok("join", "joined", room=room, last=0)
    first = ada.say("first", room=room)["id"]
    slow.expect("chat", id=first)
    big = [ada.say("x" * 30000, room=room)["id"] for _ in range(60)]
    ada.ok("edit", "ack", target=first, content="second")
    ada.ok("edit", "ack", target=big[-1], content="short")
    ada.ok("delete", "ack", target=big[-2])
    end = ada.say("end", room=room)["id"]
    state, got = {}, []
    while not got or got[-1] != end:
        m = slow.recv()
        if m["type"] == "chat":
            got.append(m["id"])
            state[m["id"]] = m.get("content")
        elif m["type"] == "edited":
            state[m["target"]] = m["content"]
        elif m["type"] == "deleted":
            state[m["target"]] = None
    assert got == [*big, end]
    assert state[first] == "second" and state[big[-1]] == "short" and state[big[-2]] is None


# -- on the disk ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_over_a_restart(start, room, end):
    d = start({**CONF, **DISK})
    ada, bob = pair(d, room)
    ids = [ada.say(f"m{i}", room=room)["id"] for i in range(4)]
    ada.ok("edit", "ack", target=ids[0], content="edited")
    reaction = bob.ok("react", "ack", target=ids[1], emoji="👍")["id"]
    ada.ok("delete", "ack", target=ids[2])
    before = history(d, f"chat/{room}")
    getattr(d, end)()
    d.again()
    assert history(d, f"chat/{room}") == before
    ada, bob = pair(d, room)
    assert bob.ok("react", "ack", target=ids[1], emoji="👍") | {"ref": 0} == {"type": "ack", "ref": 0, "id": reaction, "target": ids[1], "duplicate": True}
    bob.ok("react", "ack", target=ids[1], emoji="👍", on=False)
    ada.ok("edit", "ack", target=ids[0], content="edited twice")
    ws = d.ws(sub="cid")
    ws.ok("join", "joined", room=room, after=ids[3])
    assert sorted((m["type"], m["target"]) for m in (ws.recv(), ws.recv(), ws.recv())) == sorted(
        [("edited", ids[0]), ("reaction", ids[1]), ("deleted", ids[2])])
    assert not ws.sync().take()
    ada.fails("edit", "not_found", target=ids[2], content="x")


def test_nothing_is_left_of_it(start, room):
    """The words of a deleted message are in no file any more."""
    d = start({**CONF, **DISK})
    ada, _ = pair(d, room)
    words = [mark(f"secret{i}x").replace("-", "") for i in range(4)]
    for i in range(20):
        ada.say(f"padding number {i} " + "y" * 500, room=room)
    small = ada.say(f"{words[0]} said", room=room, data={"d": words[1]})["id"]
    large = ada.say(f"{words[2]} " * 2000, room=room)["id"]
    ada.ok("edit", "ack", target=small, content=f"{words[3]} edited")
    assert history(d, f"chat/{room}", q=words[3])  # they are in the index
    assert history(d, f"chat/{room}", q=words[2])
    for id in (small, large):
        ada.ok("delete", "ack", target=id)

    def left():
        files = b"".join(f.read_bytes() for f in (d.folder / "data").iterdir() if f.is_file())
        return [w for w in words if w.encode() in files]

    deadline = time.monotonic() + 6 * WAIT
    while left() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left() == []
    assert history(d, f"chat/{room}", q="padding") != []
    db = sqlite3.connect(f"file:{d.folder}/data/belfry.db?mode=ro", uri=True)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_was_said_before_an_edit(start, room):
    """The sentence that an edit replaces is in no file any more; its single words stay in the index until a message is deleted."""
    d = start({**CONF, **DISK})
    ada, _ = pair(d, room)
    sentence = f"{mark('secret')} was said first"
    id = ada.say(sentence, room=room)["id"]
    for i in range(20):
        ada.say(f"padding number {i} " + "y" * 500, room=room)
    ada.ok("edit", "ack", target=id, content="something else")
    deadline = time.monotonic() + 6 * WAIT

    def is_left():
        return any(sentence.encode() in f.read_bytes() for f in (d.folder / "data").iterdir() if f.is_file())

    while is_left() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not is_left()


def test_while_it_is_read(d, room):
    """Readers that come and go while messages change end with what history says."""
    ada = d.join(room, sub="ada")
    ids = [ada.say(f"m{i}", room=room)["id"] for i in range(30)]
    stop = threading.Event()

    def change():
        ws = d.ws(sub="ada")
        n = 0
        while not stop.is_set():
            ws.ask("edit", target=ids[n % 30], content=f"v{n}")
            ws.ask("react", target=ids[(n * 7) % 30], emoji=f"e{n % 40}", on=n % 3 > 0)
            n += 1

    def listen(states):
        ws = d.ws(sub="cid")
        ws.ok("join", "joined", room=room, after="all")
        states.append((ws, {}))

    writers = [threading.Thread(target=change) for _ in range(2)]
    for t in writers:
        t.start()
    states = []
    for _ in range(15):
        listen(states)
    stop.set()
    for t in writers:
        t.join()
    d.flush(room, *[ws for ws, _ in states])
    now = {m["id"]: m["content"] for m in history(d, f"chat/{room}") if m["id"] in ids}
    for ws, state in states:
        for m in ws.inbox:
            if m["type"] == "chat" and m["id"] in ids:
                state[m["id"]] = m["content"]
            elif m["type"] == "edited":
                state[m["target"]] = m["content"]
        assert state == now
