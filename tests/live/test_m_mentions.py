"""Mentions: `@name` of who is in the room, when it is said and when it is edited."""

import json

import pytest

CONF = {"topics": ({"match": "chat/*", "history": 1000, "presence": True}, {"match": "**", "history": 1000})}


def crowd(d, room, *names):
    return [d.join(room, sub=f"id-{i}", name=name) for i, name in enumerate(names)]


@pytest.mark.parametrize("text,want", [
    ("hi @Ada", [0]), ("@ada", [0]), ("@ADA, @bob!", [0, 1]), ("@bob @ada @bob", [1, 0]), ("(@Ada)", [0]), ("@Ada.", [0]),
    ("@Ada Lovelace wrote", [2]), ("@ada  lovelace", [2]), ("@AdaLovelace", [2]), ("@Ada love", [0]), ("@Ada\nLovelace", [0]),
    ("ada@bob.example", []), ("@", []), ("@ Ada", []), ("@@Ada", [0]), ("Ada", []), ("@nobody", []), ("@Adam", []),
    ("@\u0410\u0434\u0430", []), ("@J\u00fcrgen M\u00fcller", [3]), ("@J\u00dcRGEN M\u00dcLLER!", [3]), ("@Bob" * 200, [1]), ("x" * 3000 + " @bob", [1]),
    ("@Zo\u00eb", [4]), ("@O'Neil", [5]),
], ids=lambda v: None if isinstance(v, list) else repr(v)[:24])
def test_who_is_meant(daemons, room, text, want):
    people = crowd(daemons, room, "Ada", "Bob", "Ada Lovelace", "Jürgen Müller", "Zoë", "O'Neil")
    people[0].say(text, room=room)
    m = people[1].expect("chat")
    assert m.get("mentions", []) == [f"id-{i}" for i in want]


def test_members_alone(daemons, room):
    ada, bob = crowd(daemons, room, "Ada", "Bob")
    bob.ok("leave", "left", room=room)
    ada.say("@Bob are you there?", room=room)
    bob.ok("join", "joined", room=room, last=1)
    assert "mentions" not in bob.expect("chat")
    ada.say("@Bob now?", room=room)
    assert bob.expect("chat")["mentions"] == ["id-1"]
    other = daemons.join(room + "2", sub="x", name="Xena")
    other.say("@Bob", room=room + "2")
    (m,) = other.ok("history", "history", room=room + "2")["messages"]
    assert "mentions" not in m


def test_same_names(daemons, room):
    ada, one, two = crowd(daemons, room, "Ada", "Sam", "Sam")
    ada.say("@sam", room=room)
    assert one.expect("chat")["mentions"] == ["id-1", "id-2"]
    one.ok("leave", "left", room=room)
    ada.expect("user_left")
    ada.say("@sam", room=room)
    assert two.expect("chat", content="@sam")["mentions"] == ["id-1", "id-2"]
    assert two.expect("chat", content="@sam")["mentions"] == ["id-2"]


def test_at_most_twenty(daemons, room):
    people = crowd(daemons, room, *[f"p{i:02}" for i in range(25)])
    people[0].say(" ".join(f"@p{i:02}" for i in range(25)), room=room)
    assert people[1].expect("chat")["mentions"] == [f"id-{i}" for i in range(20)]


def test_every_door(daemons, room):
    ada, bob = crowd(daemons, room, "Ada", "Bob")
    daemons.publish(f"chat/{room}", "@Bob by POST")
    assert bob.expect("chat")["mentions"] == ["id-1"]
    ada.ok("publish", "ack", topic=f"chat/{room}", message="@Bob published")
    assert bob.expect("chat")["mentions"] == ["id-1"]
    stream = daemons.sse(topic=f"chat/{room}")
    ada.say("@Bob", room=room)
    assert json.loads(stream.next().data)["mentions"] == ["id-1"]


def test_after_an_edit(daemons, room):
    ada, bob, cid = crowd(daemons, room, "Ada", "Bob", "Cid")
    id = ada.say("@Bob", room=room)["id"]
    for text, want in (("@Cid and @Bob", ["id-2", "id-1"]), ("nobody", None)):
        ada.ok("edit", "ack", target=id, content=text)
        m = bob.expect("edited")
        (now,) = ada.ok("history", "history", room=room)["messages"]
        assert m.get("mentions") == now.get("mentions") == want
    ada.ok("edit", "ack", target=id, content="@Cid")
    ada.ok("edit", "ack", target=id, data=1)
    (now,) = ada.ok("history", "history", room=room)["messages"]
    assert now["mentions"] == ["id-2"]
    ada.ok("delete", "ack", target=id)
    (now,) = ada.ok("history", "history", room=room)["messages"]
    assert "mentions" not in now


def test_direct(daemons):
    """Of the two between whom it is, whoever else may have the name; also when it is edited, and by POST."""
    ada_id, bob_id = (f"{n}{daemons.port}" for n in ("a", "b"))
    grants = {"subscribe": ["**", "user/*"], "publish": ["**", "user/*"], "direct": ["*"]}
    tokens = [daemons.token(i, name=n, belfry=grants) for i, n in ((ada_id, "Ada"), (bob_id, "Bob Builder"))]
    ada = daemons.ws(token=tokens[0])
    daemons.ws(sub="other", name="Eve").close()
    cases = [("@Bob Builder", []), ("hi @%s and @Ada" % bob_id, [bob_id, ada_id]), ("@Eve", []), ("no one", [])]
    for content, _ in cases:
        ada.ok("direct", "ack", to=bob_id, content=content)
    bob = daemons.ws(token=tokens[1])
    bob.ok("subscribe", "subscribed", topic=f"user/{bob_id}", last=4)
    for content, want in cases:
        assert bob.expect("direct", content=content).get("mentions", []) == want
    i = ada.ok("direct", "ack", to=bob_id, content="@bob builder, @bob, @BobBuilder! @ada")["id"]
    assert bob.expect("direct", id=i)["mentions"] == [bob_id, ada_id]
    ada.ok("edit", "ack", target=i, content="@ADA alone")
    edited = bob.expect("edited", target=i)
    (m,) = bob.ok("history", "history", topic=f"user/{bob_id}", limit=1)["messages"]
    assert m["mentions"] == [ada_id] and edited.get("mentions") == [ada_id]
    j = ada.ok("direct", "ack", to=ada_id, content="@Ada @ada")["id"]
    (m,) = ada.ok("history", "history", topic=f"user/{ada_id}", limit=1)["messages"]
    assert m["id"] == j and m["mentions"] == [ada_id]
