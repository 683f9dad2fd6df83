"""Direct messages: one message under both users' topics; on both stores, with one worker and with three."""

import json
import urllib.parse

import pytest
from support import config
from support.daemon import mark
from support.stores import CHAT, DISK


CONF = CHAT


@pytest.fixture
def d(stored):
    return stored


class Someone:
    """A user with the usual grants; his connections hear his own topic."""

    def __init__(self, d, name, direct=("*",), **grants):
        self.d, self.id = d, mark(name).lower()
        grants = {"subscribe": ["chat/*", "user/{sub}"], "publish": ["chat/*"], "direct": list(direct), **grants}
        self.token = d.token(self.id, name=name, belfry=grants)
        self.topic = "user/" + urllib.parse.quote(self.id, safe="")

    def ws(self, listen=True, **query):
        ws = self.d.ws(token=self.token, **query)
        if listen:
            ws.ok("subscribe", "subscribed", topic=self.topic)
        return ws

    def history(self, **query):
        q = urllib.parse.urlencode({"topic": self.topic, "limit": 1000, **query})
        return self.d.http("GET", "/history?" + q, token=self.token).ok().json()["messages"]


def people(d):
    return Someone(d, "Ada"), Someone(d, "Bob")


def test_direct(d):
    ada, bob = people(d)
    a, phone, b, deaf = ada.ws(), ada.ws(), bob.ws(), bob.ws(listen=False)
    ack = a.ok("direct", "ack", to=bob.id, content="psst", data={"x": 1}, key="k", reply_to=5)
    assert ack["duplicate"] is False
    want = {"type": "direct", "id": ack["id"], "to": bob.id, "from": {"id": ada.id, "name": "Ada"}, "content": "psst",
            "data": {"x": 1}, "key": "k", "reply_to": 5}
    for ws in (phone, b):
        m = ws.expect("direct")
        assert m == {**want, "time": m["time"]}
    assert not a.sync().take("direct") and not deaf.sync().take("direct")
    for who in (ada, bob):
        (m,) = who.history()
        assert m == {**want, "time": m["time"]}
    again = a.ok("direct", "ack", to=bob.id, content="psst", key="k")
    assert (again["id"], again["duplicate"]) == (ack["id"], True)
    assert b.ok("direct", "ack", to=ada.id, content="yes?", key="k")["duplicate"] is False
    assert a.expect("direct")["content"] == "yes?"
    assert [m["content"] for m in ada.history()] == [m["content"] for m in bob.history()] == ["psst", "yes?"]


def test_to_oneself(d):
    ada, _ = people(d)
    a, phone = ada.ws(), ada.ws()
    id = a.ok("direct", "ack", to=ada.id, content="note")["id"]
    assert phone.expect("direct")["id"] == id
    assert [m["id"] for m in ada.history()] == [id]


def test_once_for_who_has_both(d):
    ada, bob = people(d)
    both = d.ws(token=d.token("root", belfry={"subscribe": ["user/**"], "publish": []}))
    both.ok("subscribe", "subscribed", topic="user/*")
    both.ok("subscribe", "subscribed", topic=ada.topic)
    both.ok("subscribe", "subscribed", topic=bob.topic)
    ids = [ada.ws().ok("direct", "ack", to=bob.id, content=str(i))["id"] for i in range(3)]
    for id in ids:
        assert both.expect("direct")["id"] == id
    assert not both.sync().take("direct")
    stream = d.sse(topic=[ada.topic, bob.topic], after="all", token=d.token("root", belfry={"subscribe": ["user/**"]}))
    assert [int(stream.next().id) for _ in range(3)] == ids
    more = ada.ws().ok("direct", "ack", to=bob.id, content="more")["id"]
    assert int(stream.next().id) == more


@pytest.mark.parametrize("members,code", [
    ({}, "bad_field"), ({"to": "x"}, "bad_field"), ({"to": 1, "content": "x"}, "bad_field"), ({"to": "", "content": "x"}, "bad_field"),
    ({"to": "x" * 129, "content": "x"}, "bad_field"), ({"to": "x", "content": " "}, "bad_field"), ({"to": "x", "content": 1}, "bad_field"),
    ({"to": "x", "content": "x", "key": "k" * 65}, "bad_field"), ({"to": "%" * 100, "content": "x"}, "bad_field"),
], ids=lambda v: None if isinstance(v, str) else json.dumps(v)[:30])
def test_refused(d, members, code):
    ada, _ = people(d)
    ada.ws().fails("direct", code, **members)


def test_grant(d):
    _, bob = people(d)
    eve = Someone(d, "Eve", direct=(bob.id,))
    ws = eve.ws()
    ws.ok("direct", "ack", to=bob.id, content="may")
    assert "direct" in ws.fails("direct", "insufficient_scope", to="ada", content="may not")["message"]
    assert Someone(d, "Mal", direct=()).ws().fails("direct", "insufficient_scope", to=bob.id, content="x")
    # what is published on a user's topic needs a publish grant instead
    d.http("POST", "/publish/" + bob.topic, {"Content-Type": "text/plain"}, "x", token=eve.token).problem(403, "insufficient_scope")
    assert [m["content"] for m in bob.history()] == ["may"]


def test_odd_ids(d):
    odd = ["a/b", "100%", "*", "a b", "é", '"', "**"]
    ada, _ = people(d)
    ws = ada.ws()
    for user in odd:
        ws.ok("direct", "ack", to=user, content=user)
        other = d.ws(token=d.token(user, belfry={"subscribe": ["user/{sub}"], "direct": ["*"]}))
        topic = "user/" + user.replace("%", "%25").replace("/", "%2F").replace("*", "%2A")
        (m,) = other.ok("history", "history", topic=topic)["messages"]
        assert (m["to"], m["content"]) == (user, user)
        other.ok("direct", "ack", to=ada.id, content="back from " + user)
        m = ws.expect("direct")
        assert m["from"]["id"] == user
        other.ok("react", "ack", target=m["id"], emoji="👍")
        assert ws.expect("reaction")["from"]["id"] == user


def test_resume(d):
    ada, bob = people(d)
    first = ada.ws().ok("direct", "ack", to=bob.id, content="one")["id"]
    d.publish(bob.topic, "a notification", token=d.token("root", belfry={"publish": ["user/*"]}))
    second = bob.ws().ok("direct", "ack", to=ada.id, content="two")["id"]
    for who in (ada, bob):
        ws = who.ws(listen=False)
        assert ws.ok("subscribe", "subscribed", topic=who.topic, after=first)["resumed"] is True
        assert ws.expect("direct")["id"] == second
        ws = who.ws(listen=False)
        ws.ok("subscribe", "subscribed", topic=who.topic, last=10)
        assert [ws.expect("direct")["id"] for _ in range(2)] == [first, second]


def test_transports(d):
    ada, bob = people(d)
    stream = d.sse(token=bob.token, topic=bob.topic)
    mine = d.sse(token=ada.token)  # events.topics has user/{sub}
    lines = d.sse(token=bob.token, topic=bob.topic, accept="application/x-ndjson")
    chat = d.chat_sse(mark("room"), token=bob.token)
    text = d.ws(token=bob.token, room=mark("room"), format="text")

    def post(**m):
        return d.http("POST", f"/chat/{chat.session}", {"Content-Type": "application/json"}, json.dumps(m), token=bob.token)

    assert post(type="subscribe", topic=bob.topic).ok().json()["type"] == "subscribed"
    id = ada.ws().ok("direct", "ack", to=bob.id, content="psst")["id"]
    for s in (stream, mine):
        e = s.until("direct")
        assert (e.name, int(e.id), e.json()["content"]) == ("direct", id, "psst")
    assert lines.lines()["type"] == "direct"
    assert chat.until("direct").json()["id"] == id
    ack = post(type="direct", to=ada.id, content="yes").ok().json()
    assert ack["type"] == "ack" and mine.next().json()["content"] == "yes"
    text.close()


# -- what becomes of them ------------------------------------------------------------------------------------------------------


def test_changes(d):
    ada, bob = people(d)
    a, b = ada.ws(), bob.ws()
    id = a.ok("direct", "ack", to=bob.id, content="helo")["id"]
    edit = a.ok("edit", "ack", target=id, content="hello")["id"]
    m = b.expect("edited")
    assert m == {"type": "edited", "id": edit, "target": id, "to": bob.id, "from": {"id": ada.id, "name": "Ada"},
                 "user": {"id": ada.id, "name": "Ada"}, "content": "hello", "time": m["time"]}
    b.fails("edit", "forbidden", target=id, content="x")
    b.fails("delete", "forbidden", target=id)
    b.ok("react", "ack", target=id, emoji="👍")
    assert a.expect("reaction")["user"]["id"] == bob.id
    for who in (ada, bob):
        (m,) = who.history()
        assert (m["type"], m["content"], m["reactions"]) == ("direct", "hello", [{"emoji": "👍", "count": 1, "users": [bob.id]}])
        ws = who.ws(listen=False)
        ws.ok("subscribe", "subscribed", topic=who.topic, after=id)
        assert ws.expect("edited")["id"] == edit and ws.expect("reaction")["target"] == id
    a.ok("delete", "ack", target=id)
    assert b.expect("deleted")["target"] == id
    for who in (ada, bob):
        (m,) = who.history()
        assert m == {"type": "direct", "id": id, "to": bob.id, "from": {"id": ada.id, "name": "Ada"}, "time": m["time"], "deleted": True}


def test_nobody_else(d):
    ada, bob = people(d)
    id = ada.ws().ok("direct", "ack", to=bob.id, content="psst")["id"]
    eve = Someone(d, "Eve", subscribe=["user/{sub}", "**"], publish=["**"], role="moderator")
    for kind, members in (("edit", {"content": "x"}), ("delete", {}), ("react", {"emoji": "x"})):
        eve.ws().fails(kind, "not_found", target=id, **members)
    eve.ws().fails("history", "insufficient_scope", topic=bob.topic)
    mute = Someone(d, "Mute", direct=())
    to_mute = ada.ws().ok("direct", "ack", to=mute.id, content="psst")["id"]
    mute.ws().fails("react", "insufficient_scope", target=to_mute, emoji="x")


def test_each_keeps_his_own(own):
    """One's own full topic takes nothing from the other's."""
    d = own({"topics": ({"match": "user/**", "history": 5},)})
    ada, bob, cid = Someone(d, "Ada"), Someone(d, "Bob"), Someone(d, "Cid")
    a, c = ada.ws(), cid.ws()
    mine = [a.ok("direct", "ack", to=bob.id, content=f"m{i}")["id"] for i in range(3)]
    a.ok("edit", "ack", target=mine[0], content="m0!")
    for i in range(8):
        c.ok("direct", "ack", to=bob.id, content=f"c{i}")
    assert [m["content"] for m in ada.history()] == ["m0!", "m1", "m2"]
    assert [m["content"] for m in bob.history()] == [f"c{i}" for i in range(3, 8)]
    ws = bob.ws(listen=False)
    assert ws.ok("subscribe", "subscribed", topic=bob.topic, after=mine[0])["resumed"] is False
    assert ws.expect("gap")["reason"] == "trimmed"
    a.ok("edit", "ack", target=mine[1], content="m1!")
    a.ok("edit", "ack", target=mine[1], content="m1!!")
    a.ok("delete", "ack", target=mine[2])
    assert ws.expect("edited", content="m1!")["target"] == mine[1], "he had it"
    assert [m.get("content") for m in ada.history()] == ["m0!", "m1!!", None]
    for i in range(4):
        a.ok("direct", "ack", to=cid.id, content=f"n{i}")
    assert [m.get("content") for m in ada.history()] == [None, "n0", "n1", "n2", "n3"]
    assert [m["content"] for m in cid.history()] == ["c7", "n0", "n1", "n2", "n3"]
    a.fails("edit", "not_found", target=mine[0], content="x")


def test_search(d):
    ada, bob = people(d)
    word = mark("w").replace("-", "")
    id = ada.ws().ok("direct", "ack", to=bob.id, content=f"a {word} here")["id"]
    for who in (ada, bob):
        assert [m["id"] for m in who.history(q=word)] == [id]
    ada.ws().ok("delete", "ack", target=id)
    for who in (ada, bob):
        assert who.history(q=word) == []


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("cache", ["64M", 1], ids=["warm", "cold"])
def test_over_a_restart(start, end, cache):
    d = start(config.merge({**CONF, **DISK, "topics": ({"match": "user/**", "history": 6},)}, {"storage": {"cache": cache}} if cache != 1 else {"storage": {"cache": "64K"}}))
    ada, bob = people(d)
    a, b = ada.ws(), bob.ws()
    ids = [(a if i % 2 else b).ok("direct", "ack", to=(bob if i % 2 else ada).id, content=f"m{i}")["id"] for i in range(4)]
    a.ok("edit", "ack", target=ids[3], content="edited")
    b.ok("react", "ack", target=ids[3], emoji="👍")
    before = ada.history()
    assert before == bob.history() and len(before) == 4
    getattr(d, end)()
    d.again()
    assert ada.history() == bob.history() == before
    a, b, c = ada.ws(), bob.ws(), Someone(d, "Cid")
    assert b.ok("react", "ack", target=ids[3], emoji="👍")["duplicate"] is True
    a.ok("delete", "ack", target=ids[1])
    for i in range(5):
        c.ws().ok("direct", "ack", to=bob.id, content=f"c{i}")
    assert [m["content"] for m in bob.history()] == ["edited"] + [f"c{i}" for i in range(5)]
    assert [m["id"] for m in ada.history()] == ids
    getattr(d, end)()
    d.again()
    assert [m["content"] for m in bob.history()] == ["edited"] + [f"c{i}" for i in range(5)]
    assert [m["id"] for m in ada.history()] == ids
    ws = ada.ws(listen=False)
    assert ws.ok("subscribe", "subscribed", topic=ada.topic, after=ids[3])["resumed"] is True
    assert sorted((ws.recv()["type"], ws.recv()["type"], ws.recv()["type"])) == ["deleted", "edited", "reaction"]
