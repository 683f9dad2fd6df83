"""docs/wire.md is true: what its examples send is taken, and what comes back has the members that they show."""

import json
import pathlib
import re

from support import tokens

WIRE = (pathlib.Path(__file__).resolve().parents[2] / "docs" / "wire.md").read_text()
CONF = {"auth": {"guests": True}, "feeds": ({"topic": "server/stats", "every": "100ms"},)}


def blocks(text):
    """(arrow or None, JSON) of each example, in their order."""
    return [(arrow or None, json.loads(body)) for arrow, body in re.findall(r"(?:`([→←])`\n)?```json\n(.*?)```", text, re.S)]


def shape(doc, got, where):
    """The same members, all the way down."""
    if isinstance(doc, dict):
        assert isinstance(got, dict) and set(doc) == set(got), f"{where}: {sorted(doc)} in wire.md, came {got}"
        for key in doc:
            shape(doc[key], got[key], f"{where}.{key}")
    elif isinstance(doc, list) and doc and got:
        shape(doc[0], got[0], f"{where}[0]")


def section(name):
    return re.search(rf"^## {name}\n(.*?)(?=^## |\Z)", WIRE, re.S | re.M)[1]


def example(kind, n=0):
    return [m for arrow, m in blocks(WIRE) if arrow == "←" and m["type"] == kind][n]


def test_chat_examples(daemon):
    token = tokens.make("ada", name="Ada", everything=True, direct=["*"])
    bob = daemon.ws(sub="bob", name="Bob")
    bob.ok("subscribe", "subscribed", topic="ops/**")
    ada = daemon.ws(token=token)
    shape(example("welcome"), ada.welcome, "welcome")
    asked = 0
    ann = daemon.ws(sub="ann", token=tokens.make("ann", name="Ann", everything=True, role="moderator"))
    for arrow, sent in blocks(section("Chat over WebSocket")):
        if arrow != "→":
            continue
        kind, ref = sent["type"], sent.pop("ref", None)
        if kind == "read":
            last = ada.say("up to here")["id"]
            ada.send({**sent, "id": last - 1})
            shape(example("read"), bob.expect("read"), "read")
            shape(dict(example("joined", 1), ref=0), ada.ok("join", "joined", room="lobby"), "joined")
            ada.ok("leave", "left", room="lobby")
            bob.take("chat")
            continue
        if kind == "ban":
            doc = example("ack", 1)
            shape(doc, ann.ok("ban", "ack", **{k: v for k, v in sent.items() if k != "type"}), "ban")
            continue
        if kind == "refresh":
            sent["token"] = tokens.make("ada", name="Ada", everything=True, direct=["*"], ttl=7200)
        if kind == "typing":
            ada.send(sent)
            shape(example("typing"), bob.expect("typing"), "typing")
            continue
        answer = {"chat": "ack", "direct": "ack", "publish": "ack", "join": "joined", "leave": "left", "subscribe": "subscribed",
                  "unsubscribe": "unsubscribed", "refresh": "refreshed", "ping": "pong"}.get(kind, kind)
        doc = dict(example(answer), ref="added by this test")
        shape(doc, ada.ok(kind, answer, **{k: v for k, v in sent.items() if k != "type"}), kind)
        asked += 1
        if kind == "join":
            bob.ok("join", "joined", room="lobby")
            shape(example("user_joined"), ada.expect("user_joined"), "user_joined")
        if kind == "chat":
            shape(example("chat"), bob.expect("chat"), "chat")
        if kind == "leave":
            shape(example("user_left"), bob.expect("user_left"), "user_left")
            ada.ok("join", "joined", room="lobby")
        if kind == "direct":
            daemon_bob = [m for m in daemon.http("GET", "/history?topic=user/bob", token=tokens.make("bob", everything=True)).ok().json()["messages"] if m["type"] == "direct"]
            shape(example("direct", 0), daemon_bob[-1], "direct")
        if kind == "publish":
            shape(example("notification"), bob.expect("notification"), "notification")
            daemon.publish("ops/price", event="price", data={"ACME": 12.5})
            shape(example("event"), bob.expect("event"), "event")
    assert asked > 8


def test_change_examples(daemon):
    bob = daemon.join("changes", sub="bob")
    ada = daemon.ws(token=tokens.make("ada", name="Ada", everything=True), room="changes")
    ada.expect("joined")
    target = ada.say("helo")["id"]
    came = [m for arrow, m in blocks(section("Messages that change")) if arrow == "←"]
    for arrow, sent in blocks(section("Messages that change")):
        if arrow == "→":
            shape(came[0], ada.ok(sent["type"], "ack", **{k: v for k, v in sent.items() if k not in ("type", "ref", "target")}, target=target), sent["type"])
            kind = {"edit": "edited", "react": "reaction", "delete": "deleted"}[sent["type"]]
            shape(next(m for m in came if m["type"] == kind), bob.expect(kind), kind)
        elif sent["type"] == "chat":
            (now,) = [m for m in ada.ok("history", "history", room="changes")["messages"] if m["id"] == target]
            shape(sent, now, "chat")


def test_gap_example(daemon):
    ws = daemon.ws()
    ws.ok("join", "joined", room="gone", after=1)
    shape(example("gap"), ws.expect("gap"), "gap")


def test_event_stream_examples(daemon):
    stream = daemon.sse("/events", topic=["ops/**", "secret/**"], after=1,
                        token=daemon.token("ada", subscribe=["ops/**"]))
    doc = json.loads(re.search(r'^data: (\{"type":"gap".*)$', section("Event streams"), re.M)[1])
    shape(doc, json.loads(stream.until("gap").data), "gap")
    denied = json.loads(daemon.sse("/events", topic=["ops/**", "secret/**"],
                                   token=daemon.token("ada", subscribe=["ops/**"])).until("denied").data)
    listed = re.search(r"^\| `denied` \| `\{(.*)\}`", section("Event streams"), re.M)[1]
    names = re.findall(r'"(\w+)"(\??)', listed)
    assert {name for name, may_lack in names if not may_lack} <= set(denied) <= {name for name, _ in names}


def test_feed_example(daemon):
    doc = blocks(section("Health and figures"))[0][1]
    stream = daemon.sse("/events", topic="server/stats", token=daemon.token("ada", subscribe=["server/*"]))
    shape(doc, json.loads(stream.until("stats").data), "stats")


def test_error_example(daemon):
    ws = daemon.ws()
    error = ws.ask("nonsense")
    shape({k: v for k, v in example("error").items() if k not in ("limit", "retry_after")}, error, "error")


def test_publish_examples(daemon):
    answer, message = (m for arrow, m in blocks(section("Publishing")))
    shape(answer, daemon.publish("ops/backup", "Backup done"), "publish")
    got = daemon.publish(message.pop("topic"), **message)
    shape(answer, got, "publish")
    page = daemon.http("GET", "/history?topic=ops/backup", token=daemon.token()).ok().json()
    shape(blocks(section("History"))[0][1], page | {"messages": []}, "history")
    assert page["messages"][-1]["id"] == got["id"]
    assert page["messages"][-1]["tags"] == message["tags"]


def test_token_examples(daemon):
    who, guest = (m for arrow, m in blocks(section("Who am I, guests")))
    shape(who, daemon.http("GET", "/token", token=daemon.token("ada", name="Ada")).ok().json(), "GET /token")
    r = daemon.http("POST", "/token", {"Content-Type": "application/json"}, json.dumps({"name": "Ada"}))
    shape(guest, r.ok().json(), "POST /token")


def test_problem_example(daemon):
    doc = blocks(section("Requests and errors"))[0][1]
    token = daemon.token("ada", publish=["chat/*"], subscribe=["chat/*"])
    r = daemon.http("POST", "/publish/ops/backup", body="hi", token=token)
    shape(doc, r.problem(403, doc["code"]), "problem")


def test_error_codes_are_all_listed():
    source = (pathlib.Path(__file__).resolve().parents[2] / "src" / "core" / "error.h").read_text()
    known = dict(re.findall(r'X\(\w+, "(\w+)", (\d+)[,)]', source))
    listed = dict(re.findall(r"\| `(\w+)`(?: \([^)]*\))? \| (\d+) ", section("Requests and errors")))
    assert known == listed


def test_close_codes_are_listed():
    for code in ("1000", "1001", "1002", "1003", "1007", "1008", "1009", "1011", "1013", "4401", "4403", "4408", "4429"):
        assert re.search(rf"\b{code}\b", section("Chat over WebSocket")), code


def test_moderation_examples(daemon):
    admin = {"token": tokens.make("root", role="admin")}
    body = [m for _, m in blocks(section("Administration")) if isinstance(m, dict)]
    ban = daemon.http("POST", "/api/ban", (), json.dumps(body[0]), **admin).ok().json()
    shape(body[1], ban, "ban")
    shape(body[2], daemon.http("POST", "/api/revoke", (), '{"sub": "mallory"}', **admin).ok().json(), "revoke")
    daemon.http("POST", "/api/revoke", (), '{"jti": "x"}', **admin).ok()
    shape(body[3], daemon.http("GET", "/api/bans", **admin).ok().json(), "bans")
    revoked = daemon.http("GET", "/api/revocations", **admin).ok().json()["revocations"]
    for n in range(2):
        shape(body[4]["revocations"][n], revoked[n], "revocations")
