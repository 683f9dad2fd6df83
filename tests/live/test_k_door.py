"""How a token is carried, what it grants, how it ends: "Tokens" of docs/wire.md, row by row."""

import json
import re
import time
import urllib.parse

import pytest

from support import tokens
from support.daemon import mark
from support.rawclient import Conn, Eof, WebSocket, build, open_stream
from test_k_tokens import CHALLENGE, each

OK, LISTED, FOREIGN = "https://ok.example", "https://*.sub.example", "https://evil.example"
CONF = {"auth": {"leeway": 0, "guests": True, "guest_tokens_per_minute": 0}, "cors": {"allow_origins": [OK, LISTED]},
        "limits": {"topics_per_stream": 8}}


def status(d, headers, path="/token", method="GET", body=None):
    """(status, code or None, response) of one request with exactly these headers."""
    with d.conn() as c:
        r = c.request(method, path, headers, body)
    if r.status >= 400:
        doc = r.problem(r.status)
        if r.status == 401 or doc["code"] in ("invalid_request", "insufficient_scope"):
            m = CHALLENGE.match(r.header("WWW-Authenticate", ""))
            assert m and m[1] == (None if doc["code"] == "unauthorized" else doc["code"]), r
        return r.status, doc["code"], r
    return r.status, None, r


def wants(d, want, headers, path="/token", method="GET", body=None):
    got = status(d, headers, path, method, body)
    assert got[:2] == want, f"{got[0]} {got[1]}, wanted {want}: {got[2]}"
    return got[2]


NO, BAD, TWICE, TAKEN = (401, "unauthorized"), (401, "invalid_token"), (400, "invalid_request"), (200, None)


def test_where_it_is(daemon):
    t, u = daemon.token(CANARY := mark("who")), daemon.token("other")
    a = lambda v: [("Authorization", v)]  # noqa: E731
    q = urllib.parse.quote
    rows = [
        ("bearer", TAKEN, a(f"bearer {t}"), ""), ("BEARER", TAKEN, a(f"BEARER {t}"), ""), ("BeArEr", TAKEN, a(f"BeArEr {t}"), ""),
        ("two blanks", TAKEN, a(f"Bearer  {t}"), ""), ("blanks behind", TAKEN, a(f"Bearer {t}  "), ""),
        ("the header in capitals", TAKEN, [("AUTHORIZATION", f"Bearer {t}")], ""),
        ("no scheme", NO, a(t), ""), ("Basic", NO, a("Basic YTpi"), ""), ("Basic with a JWT", NO, a(f"Basic {t}"), ""), ("Digest", NO, a('Digest username="x"'), ""),
        ("Negotiate", NO, a("Negotiate abc"), ""), ("DPoP", NO, a(f"DPoP {t}"), ""), ("Token", NO, a(f"Token {t}"), ""), ("JWT", NO, a(f"JWT {t}"), ""),
        ("Bearerer", NO, a(f"Bearerer {t}"), ""), ("Bear", NO, a(f"Bear {t}"), ""), ("Bearer=", NO, a(f"Bearer={t}"), ""), ("Bearer:", NO, a(f"Bearer: {t}"), ""),
        ("empty header", NO, a(""), ""), ("Bearer alone", TWICE, a("Bearer"), ""), ("Bearer and a blank", TWICE, a("Bearer "), ""),
        ("two tokens in one header", TWICE, a(f"Bearer {t} {t}"), ""), ("two with a comma", TWICE, a(f"Bearer {t}, {u}"), ""), ("a comma behind", TWICE, a(f"Bearer {t},"), ""),
        ("two schemes", TWICE, a(f"Bearer {t}, Basic YTpi"), ""), ("a parameter", TWICE, a(f'Bearer {t} realm="x"'), ""),
        ("two headers", TWICE, a(f"Bearer {t}") + a(f"Bearer {t}"), ""), ("two headers, one Basic", TWICE, a(f"Bearer {t}") + a("Basic YTpi"), ""),
        ("quotes", BAD, a(f'Bearer "{t}"'), ""), ("angles", BAD, a(f"Bearer <{t}>"), ""), ("Bearer twice", TWICE, a(f"Bearer Bearer {t}"), ""),
        ("percent-encoded in the header", BAD, a("Bearer " + t.replace(".", "%2E")), ""),
        ("query", TAKEN, [], f"?access_token={t}"), ("query, encoded", TAKEN, [], "?access_token=" + t.replace(".", "%2e")),
        ("query, its name encoded", TAKEN, [], f"?access%5Ftoken={t}"), ("query among others", TAKEN, [], f"?x=1&access_token={t}&y=2"),
        ("query, empty", TWICE, [], "?access_token="), ("query, no value", TWICE, [], "?access_token"), ("query twice", TWICE, [], f"?access_token={t}&access_token={t}"),
        ("query twice, one encoded", TWICE, [], f"?access_token={t}&access%5ftoken={u}"), ("query twice, one empty", TWICE, [], f"?access_token=&access_token={t}"),
        ("query, bad percent", TWICE, [], f"?access_token={t}%"), ("query, bad percent within", TWICE, [], f"?access_token=%zz{t}"),
        ("query, a plus", BAD, [], f"?access_token=+{t}"), ("query, other name", TAKEN, [], f"?token={t}"), ("query, other case", TAKEN, [], f"?Access_Token={t}"),
        ("query, array", TAKEN, [], f"?access_token[]={t}"), ("semicolons separate nothing", TAKEN, [], f"?x;access_token={t}"),
        ("header and query", TWICE, a(f"Bearer {t}"), f"?access_token={t}"), ("header and query, two", TWICE, a(f"Bearer {t}"), f"?access_token={u}"),
        ("Basic and query", TAKEN, a("Basic YTpi"), f"?access_token={t}"), ("empty Bearer and query", TWICE, a("Bearer"), f"?access_token={t}"),
        ("good header, bad query", TWICE, a(f"Bearer {t}"), "?access_token=x"), ("good header, empty query", TWICE, a(f"Bearer {t}"), "?access_token="),
        ("a subprotocol without an upgrade", TAKEN, [("Sec-WebSocket-Protocol", f"bearer.{t}, belfry.v1")], ""),
        ("cookie", TAKEN, [("Cookie", f"belfry={t}")], ""), ("cookie among others", TAKEN, [("Cookie", f"a=b; belfry={t}; c=d")], ""),
        ("cookie, quoted", TAKEN, [("Cookie", f'belfry="{t}"')], ""), ("cookie, another's name", TAKEN, [("Cookie", f"xbelfry={t}")], ""),
        ("cookie, another case", TAKEN, [("Cookie", f"Belfry={t}")], ""), ("cookie, bad", BAD, [("Cookie", "belfry=x")], ""),
        ("cookie, bad, beside a good header", TAKEN, a(f"Bearer {t}") + [("Cookie", "belfry=x")], ""), ("cookie, good, beside a bad header", BAD, a("Bearer x") + [("Cookie", f"belfry={t}")], ""),
        ("cookie beside a query", TAKEN, [("Cookie", f"belfry={u}")], f"?access_token={t}"), ("cookie beside Basic", TAKEN, a("Basic YTpi") + [("Cookie", f"belfry={t}")], ""),
        ("cookie in a read from elsewhere", TAKEN, [("Cookie", f"belfry={t}"), ("Origin", OK)], ""),
    ]
    nobody = {"query, other name", "query, other case", "query, array", "a subprotocol without an upgrade", "cookie, another's name", "cookie, another case", "semicolons separate nothing"}

    def check(name, want, headers, query):
        if want == NO:
            assert wants(daemon, TAKEN, headers, "/token" + query).json()["user"] is None
            wants(daemon, NO, headers, "/history?topic=x" + query.replace("?", "&"))
        else:
            r = wants(daemon, want, headers, "/token" + query)
            if want == TAKEN:
                user = r.json()["user"]
                assert (user is None) if name in nobody else user["id"] == CANARY, r
            else:
                assert t not in r.body.decode() and t not in str(r.headers)

    each([(row[0], *row) for row in rows], check)
    assert q(t) == t
    with daemon.conn() as c:  # a fragment is no part of a request (RFC 9112, 3.2)
        c.request("GET", f"/token#access_token={t}").problem(400)


def test_cookie_and_origin(daemon):
    t = daemon.token("kim")
    cookie, host = ("Cookie", f"belfry={t}"), ("Origin", f"http://{daemon.host}")
    forbidden = (403, "forbidden")
    places = [("GET", "/events?topic=x", None), ("GET", "/chat", None), ("POST", "/publish/x", "hello"), ("POST", "/chat/00", "hello"), ("DELETE", "/api/connections/0", None)]
    accept = {"/events?topic=x": "text/event-stream", "/chat": "text/event-stream"}

    def ask(method, path, headers, body):
        pairs = [*headers, *([("Accept", accept[path])] if path in accept else [])]
        with daemon.conn() as c:
            c.send(build(method, path, pairs, body, host=daemon.host))
            return c.head().status

    rows = []
    for method, path, body in places:
        good = {"/chat/00": 404, "/api/connections/0": 403}.get(path, 200)  # as far as the next check
        for name, extra, want in (("no Origin", [], 403), ("own", [host], good), ("own, another scheme", [("Origin", f"https://{daemon.host}")], good), ("foreign", [("Origin", FOREIGN)], 403),
                                  ("null", [("Origin", "null")], 403), ("empty", [("Origin", "")], 403), ("listed", [("Origin", OK)], good), ("listed by a star", [("Origin", "https://a.sub.example")], good),
                                  ("the star's own domain", [("Origin", "https://sub.example")], 403), ("listed, another scheme", [("Origin", OK.replace("https", "http"))], 403),
                                  ("listed, another port", [("Origin", OK + ":8443")], 403), ("listed with its default port", [("Origin", OK + ":443")], good), ("a longer name", [("Origin", OK + ".evil.example")], 403),
                                  ("a longer name in front", [("Origin", "https://evilok.example")], 403), ("user info", [("Origin", f"http://{daemon.host}@evil.example")], 403), ("a path", [("Origin", f"http://{daemon.host}/")], 403),
                                  ("two", [host, ("Origin", FOREIGN)], 403), ("own port 80", [("Origin", "http://127.0.0.1")], 403), ("another loopback", [("Origin", "http://localhost:%d" % daemon.port)], 403)):
            rows.append((f"{method} {path} {name}", method, path, [cookie, *extra], body, want))
            if name in ("foreign", "null", "two"):  # a header does not come by itself, but the page is foreign all the same
                rows.append((f"{method} {path} {name}, bearer", method, path, [("Authorization", f"Bearer {t}"), *extra], body, 403))
        rows.append((f"{method} {path} bearer, no Origin", method, path, [("Authorization", f"Bearer {t}")], body, good))
        rows.append((f"{method} {path} bearer and a cookie, no Origin", method, path, [("Authorization", f"Bearer {t}"), cookie], body, good))

    def check(method, path, headers, body, want):
        if path == "/api/connections/0" and want == 200:
            want = 403
        assert ask(method, path, headers, body) == want

    each(rows, check)
    r = daemon.http("POST", "/publish/x", [cookie, ("Origin", FOREIGN)], "x").problem(403, "forbidden")
    assert FOREIGN in r["detail"] and daemon.host in r["detail"], r
    for name, extra, want in (("none", [], 403), ("own", [host], 101), ("foreign", [("Origin", FOREIGN)], 403), ("null", [("Origin", "null")], 403), ("listed", [("Origin", OK)], 101)):
        r, ws = WebSocket.open(daemon.address, "/chat", [cookie, *extra])
        assert r.status == want, (name, r)


def test_star_lets_no_cookie_count(start):
    d = start({"cors": {"allow_origins": ["*"]}})
    t = d.token("kim")
    cookie = [("Cookie", f"belfry={t}"), ("Origin", FOREIGN)]
    assert wants(d, TAKEN, cookie).json()["user"] is None
    wants(d, NO, cookie, "/history?topic=x")
    wants(d, NO, cookie, "/publish/x", "POST", "x")
    r = wants(d, TAKEN, [("Authorization", f"Bearer {t}"), ("Origin", FOREIGN)], "/publish/x", "POST", "x")
    assert r.header("Access-Control-Allow-Origin") == "*" and r.header("Access-Control-Allow-Credentials") is None
    wants(d, TAKEN, [("Cookie", f"belfry={t}"), ("Origin", f"http://{d.host}")], "/publish/x", "POST", "x")


def test_subprotocol(daemon):
    t, u = daemon.token(), daemon.token("bob")
    rows = [
        ("beside belfry.v1", 101, ["belfry.v1, bearer." + t], ""), ("in front", 101, [f"bearer.{t}, belfry.v1"], ""), ("no blanks", 101, [f"bearer.{t},belfry.v1"], ""),
        ("two lines", 101, ["belfry.v1", f"bearer.{t}"], ""), ("others beside", 101, [f"graphql-ws, belfry.v1, bearer.{t}"], ""),
        ("alone", 400, [f"bearer.{t}"], ""), ("another protocol", 400, [f"chat, bearer.{t}"], ""), ("another case", 400, [f"Belfry.V1, bearer.{t}"], ""),
        ("two tokens", 400, [f"belfry.v1, bearer.{t}, bearer.{u}"], ""), ("the same twice", 400, [f"belfry.v1, bearer.{t}, bearer.{t}"], ""), ("empty", 400, ["belfry.v1, bearer."], ""),
        ("Bearer.", 401, [f"belfry.v1, Bearer.{t}"], ""), ("no token", 401, ["belfry.v1"], ""), ("bad token", 401, ["belfry.v1, bearer.x"], ""), ("bare token", 401, [f"belfry.v1, {t}"], ""),
        ("with a query", 400, [f"belfry.v1, bearer.{t}"], f"?access_token={t}"), ("empty with a query", 400, ["belfry.v1, bearer."], f"?access_token={t}"),
        ("an empty element", 101, [f"belfry.v1,,bearer.{t}"], ""), ("not a token", 400, ["belfry.v1, a b"], f"?access_token={t}"),
        ("belfry.v1 twice", 400, ["belfry.v1, belfry.v1"], f"?access_token={t}"),
    ]

    def check(want, lists, query):
        r, ws = WebSocket.open(daemon.address, "/chat" + query, [("Sec-WebSocket-Protocol", v) for v in lists])
        assert r.status == want, r
        assert r.header("Sec-WebSocket-Protocol") == ("belfry.v1" if want == 101 else None), r
        assert t not in str(r.headers) and t.encode() not in r.body
        if want == 101:
            assert ws.recv()["type"] == "welcome"
            ws.drop()
        elif "v1" not in str(lists):
            assert "belfry.v1" in r.problem(400)["detail"]

    each(rows, check)
    with daemon.ws(protocols=["belfry.v1"], headers={"Cookie": "belfry=x"}) as ws:
        assert ws.welcome["user"]["id"] == "ada"
    r, _ = WebSocket.open(daemon.address, "/chat", [("Authorization", f"Bearer {t}"), ("Sec-WebSocket-Protocol", f"belfry.v1, bearer.{t}")])
    r.problem(400, "invalid_request")


# --- what it grants -------------------------------------------------------------------------------------------

def test_sub_in_patterns(daemon):
    """Whatever the id, `{sub}` is one literal segment."""
    def enc(sub):
        return "".join(c if c not in "%/*" and ord(c) > 31 else f"%{ord(c):02X}" for c in sub)

    def reads(t, topic):
        got = daemon.http("GET", "/events?wait=0&topic=" + urllib.parse.quote(topic, safe=""), token=t)
        assert got.status in (200, 403), got
        return got.status == 200

    def writes(t, topic):
        got = daemon.http("POST", "/publish/" + urllib.parse.quote(topic, safe="/"), body="x", token=t)
        assert got.status in (200, 403), got
        return got.status == 200

    rows = []
    for sub in ("ada", "a/b", "*", "**", "%2A", "%", "{sub}", "a*", "*/x", "../x", "a//b", "\U0001f514", "a b", "user", "server", "x/**"):
        mine = f"user/{enc(sub)}"
        others = [t for t in ("user/*", "user/**", "user/bob", "**", "*", "*/*", "user/{sub}", "user/a", "user/a/b", "user/x") if t != mine]
        rows.append((f"sub {sub}", sub, mine, others))

    def check(sub, mine, others):
        t = tokens.make(sub, subscribe=["user/{sub}"], publish=["user/{sub}"])
        assert reads(t, mine) and writes(t, mine), "one's own"
        for topic in others:
            assert not reads(t, topic), topic
            if "*" not in topic:
                assert not writes(t, topic), topic
        t = tokens.make(sub, drop=("belfry",))
        assert reads(t, mine)
        assert not reads(t, "user/bob") and not reads(t, "user/*") and not reads(t, "x")

    each(rows, check)
    t = tokens.make("x" * 128, subscribe=["user/{sub}/" + "y" * 100, "ok"])
    assert reads(t, "ok") and not reads(t, "user/" + "x" * 128)
    for pattern, asked, allowed in (("**", "user/ada", False), ("*/ada", "user/ada", False), ("**", "a/b", True), ("**", "**", True), ("*", "**", False), ("a/*", "a/b/c", False), ("a/**", "a/b/c", True),
                                    ("a/**", "a", False), ("a/**", "a/*", True), ("a/*", "a/**", False), ("a/*/c", "a/b/c", True), ("a/*/c", "a/*/c", True), ("a/b", "a/*", False), ("A/b", "a/b", False),
                                    ("a*b", "axb", False), ("a*b", "a*b", True), ("user/**", "user/ada", True), ("user/**", "user/*", True), ("*/**", "user/ada", False), ("user/*", "user/a/b", False)):
        assert reads(tokens.make("z", subscribe=[pattern]), asked) is allowed, (pattern, asked)


def test_grants_of_each_door(daemon):
    room, topic = mark("room"), mark("t")
    reader = tokens.make("rae", subscribe=["chat/*", topic])
    nothing = tokens.make("nia", belfry={})
    admin = tokens.make("adm", belfry={"role": "admin"})
    scope = (403, "insufficient_scope")
    b = lambda t: [("Authorization", f"Bearer {t}")]  # noqa: E731
    J = [("Content-Type", "application/json")]
    rows = [
        ("publish without the grant", scope, b(reader), f"/publish/{topic}", "POST", "x"), ("publish in a room", scope, b(reader), f"/publish/chat/{room}", "POST", "x"),
        ("publish by JSON", scope, b(reader) + J, "/publish", "POST", json.dumps({"topic": topic, "message": "x"})),
        ("publish to a user", scope, b(reader) + J, "/publish", "POST", json.dumps({"to": "bob", "message": "x"})),
        ("an array, one not granted", scope, b(tokens.make("pub", publish=[topic])) + J, "/publish", "POST", json.dumps([{"topic": topic, "message": "x"}, {"topic": "other", "message": "x"}])),
        ("server/", scope, b(tokens.make("s", everything=True)), "/publish/server/x", "POST", "x"), ("server/ for an admin", scope, b(tokens.make("s", publish=["server/**", "**"], role="admin")), "/publish/server/x", "POST", "x"),
        ("history without the grant", scope, b(nothing), f"/history?topic={topic}", "GET", None), ("history of a pattern too wide", scope, b(reader), "/history?topic=**", "GET", None),
        ("history of what is granted", TAKEN, b(reader), f"/history?topic={topic}", "GET", None), ("events without the grant", scope, b(nothing), "/events?topic=x", "GET", None),
        ("events, two without the grant", scope, b(nothing), "/events?topic=x&topic=y", "GET", None), ("chat without the grant", scope, b(nothing), f"/chat?room={room}", "GET", None),
        ("an admin reads nothing by that", scope, b(admin), "/history?topic=x", "GET", None), ("api for a user", scope, b(reader), "/api/stats", "GET", None),
        ("api for a moderator", scope, b(tokens.make("m", belfry={"role": "moderator"})), "/api/stats", "GET", None), ("api for an admin", TAKEN, b(admin), "/api/stats", "GET", None),
        ("api for nobody", NO, [], "/api/stats", "GET", None), ("api by cookie", TAKEN, [("Cookie", f"belfry={admin}")], "/api/stats", "GET", None),
        ("reload by cookie", (403, "forbidden"), [("Cookie", f"belfry={admin}")], "/api/reload", "POST", ""),
    ]
    each([(row[0], *row[1:]) for row in rows], lambda want, headers, path, method, body: wants(daemon, want, headers, path, method, body))
    ws = daemon.ws(token=reader)
    for kind, members in (("join", {"room": "a/b"}), ("join", {"room": "*"}), ("join", {"room": "**"}), ("join", {"room": ""})):
        ws.fails(kind, "bad_field", **members)
    for kind, members in (("subscribe", {"topic": "x"}), ("subscribe", {"topic": "**"}), ("subscribe", {"topic": "user/rae"}), ("history", {"topic": "x"}), ("publish", {"topic": topic, "message": "x"}),
                          ("chat", {"room": room, "content": "x"})):
        m = ws.ask(kind, **members)
        assert m["type"] == "error" and m["code"] in ("insufficient_scope", "not_joined"), m
    nobody = daemon.ws(token=nothing)
    assert nobody.fails("join", "insufficient_scope", room=room)["message"].find("belfry.subscribe") >= 0
    assert nobody.ok("rooms", "rooms")["rooms"] == []


# --- how it ends ----------------------------------------------------------------------------------------------

def test_ends_with_its_connections(daemon):
    end = int(time.time()) + 2
    t = daemon.token("eve", exp=end)
    ws, text, sse = daemon.ws(token=t), daemon.ws(token=t, format="text"), daemon.sse(topic="x", token=t)
    chat, chat_text = daemon.chat_sse("r", token=t), daemon.chat_sse("r", token=t, format="text")
    lines = daemon.sse(topic="x", token=t, accept="application/x-ndjson")
    assert ws.welcome["expires"] == end
    assert 0 <= ws.expect("expiring")["in"] <= 2  # fewer than 30 s remain: at once
    assert 0 <= sse.until("expiring").json()["in"] <= 2 and chat.until("expiring")
    assert lines.lines()["type"] == "expiring"
    ws.expect_close(4401)
    text.expect_close(4401)
    assert int(time.time()) >= end
    for stream in (sse, chat, chat_text):
        last = stream.end()[-1]
        assert last.name == "expired", last
    assert lines.lines() == {"type": "expired"} and lines.lines() is None
    wants(daemon, BAD, [("Authorization", f"Bearer {t}")])
    daemon.http("POST", f"/chat/{chat.session}", body="x", token=t).problem(401, "invalid_token")
    daemon.http("POST", f"/chat/{chat.session}", body="x", token=daemon.token("eve")).ok(404)


def test_refresh(daemon):
    now, room, topic = int(time.time()), mark("room"), mark("t")
    t = tokens.make("fay", exp=now + 3, subscribe=["chat/*", topic, "y"], publish=["chat/*"])
    ws = daemon.ws(token=t)
    ws.ok("join", "joined", room=room)
    ws.ok("subscribe", "subscribed", topic=topic)
    good = tokens.make("fay", exp=now + 3600, subscribe=["chat/*"], publish=["chat/*"])
    for name, members, code in (("another's", {"token": daemon.token("bob")}, None), ("over", {"token": daemon.token("fay", exp=now - 5)}, "invalid_token"), ("unsigned", {"token": good.rsplit(".", 1)[0] + "."}, "invalid_token"),
                                ("empty", {"token": ""}, None), ("missing", {}, "bad_field"), ("a number", {"token": 1}, "bad_field"), ("null", {"token": None}, "bad_field"), ("a word", {"token": "x"}, "invalid_token"),
                                ("a guest's", {"token": daemon.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"fay"}').json()["token"]}, None),
                                ("Bearer in front", {"token": "Bearer " + good}, "invalid_token"), ("too long", {"token": "x" * 9000}, "invalid_token")):
        m = ws.ask("refresh", **members)
        assert m["type"] == "error", (name, m)
        assert code is None or m["code"] == code, (name, m)
        assert good not in json.dumps(m)
    m = ws.ask("refresh", token=good)
    assert m["type"] == "refreshed" and m["expires"] == now + 3600, m
    left = ws.expect("unsubscribed")
    assert left["topic"] == topic and left["reason"], left
    ws.fails("subscribe", "insufficient_scope", topic="y")
    time.sleep(max(0, now + 3.3 - time.time()))
    ws.say("still here", room=room)
    ws.ok("refresh", "refreshed", token=tokens.make("fay", exp=now + 3600, belfry={}))
    left = ws.expect("left")
    assert left["room"] == room and left["reason"], left
    assert ws.ask("chat", content="x", room=room)["code"] in ("insufficient_scope", "not_joined")
    # the user that left so is gone for the others, too, and hears nothing more
    daemon.publish(f"chat/{room}", "unheard")
    ws.sync()
    assert not ws.take("chat")
    # an ended token beside a refreshed one: POST into a chat stream wants a live one of the same sub
    chat = daemon.chat_sse(room, token=tokens.make("fay", exp=now + 3600, subscribe=["chat/*"], publish=["chat/*"]))
    assert daemon.http("POST", f"/chat/{chat.session}", {"Content-Type": "application/json"}, json.dumps({"type": "refresh", "token": good}), token=good).ok().json()["type"] == "refreshed"
    daemon.http("POST", f"/chat/{chat.session}", body="x", token=daemon.token("bob")).ok(404)


# --- what is told ---------------------------------------------------------------------------------------------

def test_nothing_is_explained_when_not_wanted(start):
    d = start({"auth": {"explain": False, "issuer": "https://secret-issuer.example", "audience": "secret-audience"}})
    now = int(time.time())
    good = {"iss": "https://secret-issuer.example", "aud": "secret-audience"}
    log = len(d.lines)
    rows = [("over", d.token(exp=now - 100, **good), "exp"), ("not yet", d.token(nbf=now + 1000, **good), "nbf"), ("issuer", d.token(aud="secret-audience"), "iss"), ("audience", d.token(iss=good["iss"]), "aud"),
            ("sub", d.token(1, **good), "sub"), ("signature", d.token(key=b"x" * 40), "signature"), ("form", "x", "malformed"), ("alg", tokens.raw({}, header={"alg": "none"}), "alg"), ("crit", tokens.raw({}, header={"alg": "HS256", "crit": []}), "crit"),
            ("belfry", d.token(belfry=1, **good), "belfry"), ("role", d.token(belfry={"role": "root"}, **good), "belfry")]
    said = set()
    for name, t, check in rows:
        r = d.http("GET", "/token", token=t)
        doc = r.problem(401, "invalid_token")
        said.add((doc["detail"], doc["title"], r.header("WWW-Authenticate")))
        d.wait_log(rf"auth\.refused.*check={check}\b", since=log)
        ws = d.ws(token=t, refuse=True)
        said.add((ws.problem(401)["detail"], ws.problem(401)["title"], ws.header("WWW-Authenticate")))
    assert len(said) == 1, said
    text = str(said)
    assert not re.search(r"exp\b|nbf|secret|iss\b|aud\b|sub\b|alg\b|sign", text), text
    r = d.http("GET", "/history?topic=hush", token=tokens.make("x", belfry={}, **good)).problem(403, "insufficient_scope")
    assert "hush" not in r["detail"] and "belfry.subscribe" not in r["detail"], r
    ws = d.ws(token=tokens.make("x", belfry={}, **good))
    assert "hush" not in ws.fails("join", "insufficient_scope", room="hush")["message"]
    m = ws.fails("refresh", "invalid_token", token=d.token("x", exp=now - 100, **good))
    assert "exp" not in m["message"], m


def test_wanted_and_had_are_told(start):
    d = start({"auth": {"issuer": "https://i.example", "audience": "here", "leeway": "30s"}})
    now = int(time.time())
    good = {"iss": "https://i.example", "aud": "here"}
    for t, words in ((d.token(exp=now - 42, **good), r"exp was 4[2-5] s ago"), (d.token(nbf=now + 99, **good), r"nbf is in 9\d s"), (d.token(iss=good["iss"], aud="x"), "aud is 'x', want 'here'"),
                     (d.token(iss="y", aud="here"), "iss is 'y', want 'https://i.example'"), (d.token(iss=good["iss"], aud=["x", "z"]), "aud is 'x' and others, want 'here'"),
                     (d.token(iss='a"b\\c\n\x00'[:5], aud="here"), "iss is 'a.b.c', want")):
        r = d.http("GET", "/token", token=t)
        doc = r.problem(401, "invalid_token")
        assert re.search(words, doc["detail"]), doc
        assert re.search(words, CHALLENGE.match(r.header("WWW-Authenticate"))[2])
    for exp, want in ((now - 28, 200), (now - 31, 401)):
        assert d.http("GET", "/token", token=d.token(exp=exp, **good)).status == want
    for nbf, want in ((now + 28, 200), (now + 40, 401)):
        assert d.http("GET", "/token", token=d.token(nbf=nbf, **good)).status == want
    # before the signature holds nothing of them is told
    for claims in ({"exp": now - 42}, {"iss": "y"}, {"aud": "x"}, {"nbf": now + 99}, {"sub": 1}, {"belfry": 1}):
        doc = d.http("GET", "/token", token=d.token(key=b"k" * 40, **{**good, **claims})).problem(401, "invalid_token")
        assert "signature" in doc["detail"] and not re.search("exp|iss|aud|nbf|sub|belfry", doc["detail"]), doc


def test_no_token_anywhere(daemon):
    """Not in the log, an error's body, a metric, a list of connections; whatever carried it."""
    t = daemon.token(mark("veiled"), role="admin", subscribe=["**"], publish=["**"])
    bad = t[:-6] + "AAAAAA"
    parts = [p for x in (t, bad) for p in x.split(".")[1:]]
    answers = []
    for headers, query in (([("Authorization", f"Bearer {bad}")], ""), ([], f"&access_token={bad}"), ([("Cookie", f"belfry={bad}")], ""), ([("Authorization", f"Bearer {t} {t}")], ""), ([("Authorization", f"Basic {t}")], ""),
                           ([], f"&access_token={t}&access_token={t}"), ([], f"&access_token={t}%zz"), ([("Authorization", f"Bearer {t}")], f"&access_token={t}"), ([("Cookie", f"belfry={t}"), ("Origin", FOREIGN)], ""),
                           ([("Sec-WebSocket-Protocol", f"bearer.{t}")], ""), ([("Referer", f"http://x/?access_token={t}")], ""), ([("Origin", f"http://x/{t}")], f"&access_token={t}"), ([("Host", t[:200])], "")):
        for path in ("/history?topic=x", "/events?topic=x&wait=0", f"/nothing/{t}?x=1", f"/publish/x?x=1", "/chat?room=x", "/api/nothing?x=1"):
            method = "POST" if "publish" in path else "GET"
            r = daemon.http(method, path + query, headers, "x" if method == "POST" else None)
            if not path.startswith(f"/nothing/{t}"):
                answers.append(r.body.decode("utf-8", "replace") + str(r.headers))
    with daemon.ws(token=t) as ws, daemon.sse(topic="x", token=t):
        answers.append(json.dumps(ws.ask("refresh", token=bad)))
        answers.append(json.dumps(ws.ask("refresh", token=t + "x")))
        answers.append(json.dumps(ws.ask("x" + t)) if False else "")
        for path in ("/metrics", "/api/connections", "/api/stats", "/api/topics", "/healthz"):
            answers.append(daemon.http("GET", path, token=t).ok().text())
    with Conn(daemon.address) as c:
        c.send(f"GET /history?access_token={t} HTTP/9.9\r\nAuthorization: Bearer {t}\r\n\r\n")
        answers.append(c.rest().decode())
    ws = daemon.ws(token=t)
    ws.drop()
    daemon.http("GET", "/healthz").ok()
    log = daemon.log()
    for part in parts:
        assert part not in log, [line for line in daemon.lines if part in line]
        for a in answers:
            assert part not in a, a


def test_a_token_without_an_end(start):
    d = start({"auth": {"require_exp": False}})
    t = d.token(drop=("exp",))
    with d.ws(token=t) as ws:
        assert ws.welcome["expires"] is None
        assert ws.ok("refresh", "refreshed", token=t)["expires"] is None
    assert d.http("GET", "/token", token=t).ok().json()["expires"] is None
    for exp in (2**53, 2**63 - 1):  # far beyond all calendars: no end soon, nothing overflows
        with d.ws(token=d.token(exp=exp)) as ws, d.sse(topic="x", token=d.token(exp=exp)):
            ws.sync()
            assert ws.welcome["expires"] > time.time() and not ws.inbox


# --- guests ---------------------------------------------------------------------------------------------------

def test_guests(daemon):
    J = {"Content-Type": "application/json"}
    r = daemon.http("POST", "/token", J, '{"name":"Ada"}').ok().json()
    assert r["user"]["name"] == "Ada" and r["user"]["id"].startswith("guest:") and set(r) == {"token", "user", "expires"}
    again = daemon.http("POST", "/token", J, '{"name":"Ann"}', token=r["token"]).ok().json()
    assert again["user"] == {"id": r["user"]["id"], "name": "Ann"}
    h, p, s = r["token"].split(".")
    claims = tokens.claims_of(r["token"])
    for name, t in (("another sub", f"{h}.{tokens.b64(json.dumps({**claims, 'sub': 'ada'}).encode())}.{s}"), ("with the daemon's secret", tokens.raw(claims)), ("unsigned", f"{h}.{p}."), ("over", tokens.raw({**claims, "exp": 1})),
                    ("another's guest", tokens.make("guest:1"))):
        assert daemon.http("POST", "/token", J, '{"name":"x"}', token=t).problem(401, "invalid_token"), name
    # as good as guest_defaults, whatever it claims
    assert daemon.http("GET", "/history?topic=chat/x", token=r["token"]).status == 200
    daemon.http("GET", "/api/stats", token=r["token"]).problem(403, "insufficient_scope")
    daemon.http("POST", "/publish/notifications", body="x", token=r["token"]).problem(403, "insufficient_scope")
    # a user's token gets a new guest
    other = daemon.http("POST", "/token", J, '{"name":"x"}', token=daemon.token("ada")).ok().json()
    assert other["user"]["id"].startswith("guest:") and other["user"]["id"] != r["user"]["id"]
    for body, code in (("", "bad_json"), ("x", "bad_json"), ("[]", "bad_field"), ("{}", "bad_field"), ('{"name":""}', "bad_field"), ('{"name":" "}', "bad_field"), ('{"name":1}', "bad_field"), ('{"name":null}', "bad_field"),
                       ('{"name":"a\\nb"}', "bad_field"), ('{"name":"%s"}' % ("x" * 65), "bad_field"), ('{"name":"x","name":"y"}', "bad_json")):
        daemon.http("POST", "/token", J, body).problem(400, code)
    daemon.http("POST", "/token", {"Content-Type": "text/plain"}, '{"name":"x"}').problem(415, "unsupported_media")
    t = daemon.http("GET", "/token").ok().json()
    assert t == {"user": None, "expires": None, "guests": True, "login_url": ""}


def test_guests_are_limited(start):
    d = start({"auth": {"guests": True, "guest_tokens_per_minute": 3}})
    got = [d.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"x"}') for _ in range(5)]
    assert [r.status for r in got] == [200, 200, 200, 429, 429]
    doc = got[-1].problem(429, "rate_limited")
    assert doc["limit"] == "auth.guest_tokens_per_minute" and 1 <= int(got[-1].header("Retry-After")) <= 60
    off = start({})
    off.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"x"}').problem(403)
    assert not off.http("GET", "/token").json()["guests"]
