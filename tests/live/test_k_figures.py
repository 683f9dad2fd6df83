"""The daemon's figures against what its clients counted, exactly: /metrics, /api/stats, belfryctl stats, a feed."""

import json
import re
import time

from support import tokens
from support.daemon import ctl, mark
from support.rawclient import Conn, Frame

CONF = {"auth": {"guests": True, "guest_tokens_per_minute": 0}, "chat": {"leave_grace": "0s"}, "limits": {"idle_timeout": "60s"},
        "topics": ({"match": "server/**", "history": 0}, {"match": "fleeting/**", "history": 0}, {"match": "few/**", "history": 3}, {"match": "chat/*", "history": 100, "presence": True},
                   {"match": "**", "history": 100})}
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})(?:\{{((?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"(?:,(?!\}}))?)+)\}})? ([0-9]+(?:\.[0-9]+)?)\Z')


def parse(text):
    """The text format 0.0.4, read as a scraper with no patience would; {series: value}."""
    assert text.endswith("\n") and "\r" not in text and "\n\n" not in text
    out, types, helps, order = {}, {}, {}, []
    for line in text[:-1].split("\n"):
        if line.startswith("#"):
            m = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
            assert m, line
            into = helps if m[1] == "HELP" else types
            assert m[2] not in into, f"twice: {line}"
            into[m[2]] = m[3]
            if m[1] == "HELP":
                assert m[3].endswith("."), line
                order.append(m[2])
            continue
        m = SAMPLE.match(line)
        assert m, line
        name = m[1]
        family = name if name in types else re.sub(r"_(bucket|sum|count)\Z", "", name)
        assert family == order[-1] and types.get(family) and family in helps, f"no TYPE or HELP before it, or torn apart: {line}"
        kind = types[family]
        assert kind in ("counter", "gauge", "histogram") and (kind == "histogram") == (name != family), line
        assert name.endswith("_total") == (kind == "counter"), line
        parts = family.removesuffix("_total").split("_")  # base units, no units in short, no type in a name
        assert not set(parts) & {"ms", "us", "ns", "s", "sec", "kb", "mb", "b", "milliseconds", "microseconds", "minutes", "kilobytes", "counter", "gauge", "histogram", "count", "sum", "bucket"}, line
        labels = re.findall(r'([a-zA-Z0-9_]+)="', m[2] or "")
        assert len(labels) == len(set(labels)), line
        series = name + (f"{{{m[2]}}}" if m[2] else "")
        assert series not in out, f"twice: {line}"
        out[series] = float(m[3])
    assert set(types) == set(helps)
    for family, kind in types.items():
        if kind == "histogram":
            buckets = [(float(re.search('le="([^"]+)"', s)[1]), v) for s, v in out.items() if s.startswith(family + "_bucket")]
            assert buckets == sorted(buckets) and buckets[-1][0] == float("inf") and [v for _, v in buckets] == sorted(v for _, v in buckets)
            assert buckets[-1][1] == out[family + "_count"]
            assert family + "_sum" in out
    return out


class Counted:
    """What this side of the sockets sees: all bytes, and a connection of its own to read the figures."""

    def __init__(self, d, monkeypatch):
        self.d, self.sent, self.got, self.opened, self.requests = d, 0, 0, 0, 0
        send, fill, init = Conn.send, Conn.fill, Conn.__init__
        me, self.conns = self, []

        def counting_send(conn, data):
            data = data.encode() if isinstance(data, str) else data
            me.sent += len(data)
            return send(conn, data)

        def counting_fill(conn, deadline):
            before = len(conn.buf)
            try:
                return fill(conn, deadline)
            finally:
                me.got += len(conn.buf) - before

        def counting_init(conn, *a, **k):
            me.opened += 1
            me.conns.append(conn)
            return init(conn, *a, **k)

        monkeypatch.setattr(Conn, "send", counting_send)
        monkeypatch.setattr(Conn, "fill", counting_fill)
        monkeypatch.setattr(Conn, "__init__", counting_init)
        self.scraper = d.conn()
        self.first = None
        end = time.monotonic() + 20
        while True:  # connections of an earlier test may not be quite gone
            first = self.scrape()
            if sum(v for k, v in first.items() if k.startswith("belfry_connections{")) == 1:
                break
            assert time.monotonic() < end
        self.first = first
        self.opened, self.sent, self.got = 0, 0, self.last_size  # from here on; the answer just read was not counted in it

    def scrape(self):
        before = self.got
        r = self.scraper.request("GET", "/metrics", timeout=20)
        self.requests += 1
        self.last_size = self.got - before
        self.unseen = self.last_size  # of this answer itself
        now = parse(r.ok().text())
        if self.first is None:
            return now
        return {k: v - self.first.get(k, 0) for k, v in now.items()} | {"raw": now}

    def settle(self, **want):
        """Reads the figures until these are so: name=value, label values behind a double underscore."""
        end = time.monotonic() + 20
        while True:
            self.requests_at = self.requests
            s = self.scrape()
            full = dict(want)
            wrong = {}
            for key, value in full.items():
                name, _, label = key.partition("__")
                if label:
                    (series,) = [x for x in s if x.startswith(name + "{") and f'="{label}"' in x]
                else:
                    series = name
                if callable(value):
                    value = value()
                if s[series] != value:
                    wrong[series] = (s[series], value)
            if not wrong:
                return s
            if time.monotonic() > end:
                raise AssertionError("the daemon's figure, and ours: " + json.dumps(wrong, indent=1))
            time.sleep(0.02)

    def drain(self):
        """What lies in the sockets was written, too."""
        for conn in self.conns:
            while conn.sock.fileno() >= 0 and conn is not self.scraper:
                try:
                    conn.sock.setblocking(False)
                    data = conn.sock.recv(65536)
                except (BlockingIOError, ConnectionError):
                    break
                conn.buf += data
                self.got += len(data)
                if not data:
                    break

    def bytes_agree(self):
        end = time.monotonic() + 20
        while True:
            self.drain()
            s = self.scrape()
            have = (s['belfry_bytes_total{direction="in"}'], s['belfry_bytes_total{direction="out"}'])
            want = (self.sent, self.got - self.unseen)
            if have == want:
                return
            assert time.monotonic() < end, f"bytes in and out: {have}, ours {want}"
            time.sleep(0.02)


def test_agree(daemons, monkeypatch):
    d = daemons
    room, topic = mark("room"), mark("topic")
    J = {"Content-Type": "application/json"}
    ada, bob, cy, t = d.token("ada"), d.token("bob"), d.token("cy"), d.token("pub")
    n = Counted(d, monkeypatch)
    # connections by kind, and what was asked
    ws = d.ws(token=ada)  # welcome: 1 out
    n.settle(belfry_connections__websocket=1, belfry_connections__http=0, belfry_connections_accepted_total=1, belfry_http_answers_total__1xx=1, belfry_messages_total__out=1, belfry_messages_total__in=0,
             belfry_tokens_checked_total=1, belfry_tokens_cached_total=0)
    n.bytes_agree()
    ws.ok("join", "joined", room=room)  # 1 in, 1 out
    other = d.ws(token=bob, room=room)  # welcome, joined; user_joined to ada
    other.expect("joined")
    ws.expect("user_joined")
    n.settle(belfry_connections__websocket=2, belfry_messages_total__in=1, belfry_messages_total__out=5, belfry_subscriptions=2, belfry_deliveries_total=1)
    for i in range(10):
        ws.say(f"m{i}", key=f"k{i}")  # 10 in; 10 acks, 10 chats out
    for _ in range(10):
        other.expect("chat")
    assert ws.say("again", key="k3")["duplicate"]  # 1 in, 1 out
    n.settle(belfry_messages_total__in=12, belfry_messages_total__out=26, belfry_deliveries_total=11, belfry_appends_total=11, belfry_duplicates_total=1, belfry_publish_seconds_count=11, belfry_log_messages=10,
             belfry_topics=lambda: 1 if n.first["belfry_topics"] == 0 else 1)
    ws.send({"type": "typing", "room": room})  # 1 in, typing to bob 1 out
    other.expect("typing")
    ws.fails("nothing", "unknown_type")  # 1 in, 1 out
    ws.fails("join", "bad_field", room="a/b")
    ws.send("{")
    ws.expect("error")
    ws.fails("publish", "insufficient_scope", topic="server/x", message="x")
    n.settle(belfry_messages_total__in=17, belfry_messages_total__out=31, belfry_refusals_total__unknown_type=1, belfry_refusals_total__bad_field=1, belfry_refusals_total__bad_json=1, belfry_refusals_total__insufficient_scope=1,
             belfry_checks_failed_total__scope=1)
    # publishing: each message of an array is one; appended in one go
    d.publish(topic, "one", token=t)
    d.publish(topic, token=t, message="two", key="k")
    assert d.publish(topic, token=t, message="two", key="k")["duplicate"]
    d.http("POST", "/publish", J, json.dumps([{"topic": topic, "message": f"a{i}"} for i in range(5)]), token=t).ok()
    d.http("POST", f"/publish/{topic}", body="", token=t).problem(400)
    d.publish("fleeting/" + topic, "gone", token=t)
    n.settle(belfry_messages_total__in=17 + 9, belfry_appends_total=11 + 9, belfry_duplicates_total=2, belfry_publish_seconds_count=11 + 5, belfry_log_messages=10 + 7, belfry_http_answers_total__4xx=1,
             belfry_connections_accepted_total=2 + 6)
    n.bytes_agree()
    # event streams
    sse = d.sse(topic=topic, after="all", token=ada)
    for _ in range(7):
        sse.next()
    n.settle(belfry_connections__events=1, belfry_messages_total__out=31 + 7, belfry_deliveries_total=11 + 1 + 7, belfry_replayed_total=7, belfry_subscriptions=3)
    lines = d.sse(topic=topic, last=2, token=bob, accept="application/x-ndjson")
    assert lines.lines() and lines.lines()
    d.publish(topic, "live", token=t)
    sse.next()
    lines.lines()
    n.settle(belfry_connections__events=2, belfry_messages_total__out=38 + 2 + 2, belfry_replayed_total=9, belfry_deliveries_total=19 + 4)
    gone = d.sse(topic=[topic, "zzz"], headers={"Last-Event-ID": "x"}, token=tokens.make("zed", subscribe=[topic]))  # denied, gap
    assert gone.until("denied") and gone.until("gap")
    n.settle(belfry_gaps_total=1, belfry_messages_total__out=44, belfry_checks_failed_total__scope=2, belfry_refusals_total__insufficient_scope=2)
    chat = d.chat_sse(room, token=cy)  # user, welcome, joined, ten stored ones; user_joined to two
    chat.until("joined")
    for _ in range(10):
        chat.until("message")
    ws.expect("user_joined")
    other.expect("user_joined")
    n.settle(belfry_connections__chat_sse=1, belfry_messages_total__out=44 + 13 + 2, belfry_replayed_total=19)
    d.http("POST", f"/chat/{chat.session}", body="posted", token=cy).ok()  # 1 in; two get it
    ws.expect("chat")
    other.expect("chat")
    n.settle(belfry_messages_total__in=28, belfry_messages_total__out=61)
    d.http("POST", f"/chat/{chat.session}", J, '{"type":"nothing"}', token=cy).ok(400)
    d.http("POST", "/chat/00ff", body="x", token=cy).ok(404)
    n.settle(belfry_messages_total__in=29, belfry_refusals_total__unknown_type=2, belfry_refusals_total__not_found=1)
    n.bytes_agree()
    # echo, raw
    echo = d.ws("/echo")
    echo.send(b"x" * 1000)
    echo.recv_message()
    raw = [d.ws(token=x, format="raw", room=room + "r") for x in (ada, bob)]
    d.until_ready()
    time.sleep(0.05)
    raw[0].send(b"frame")
    raw[1].recv_message()
    s = n.settle(belfry_messages_total__in=31, belfry_messages_total__out=63, belfry_connections__websocket=5)
    assert s["raw"]["belfry_behind"] == 0 and s["raw"]["belfry_queued_bytes"] < 100000
    # tokens: looked at, known before, refused by check
    refused = [("signature", tokens.make("x", key=b"k" * 40)), ("exp", tokens.make("x", exp=5)), ("malformed", "x"), ("alg", tokens.raw({}, header={"alg": "none"})), ("sub", tokens.make(1)), ("belfry", tokens.make("x", belfry=1)), ("nbf", tokens.make("x", nbf=2**40)),
               ("typ", tokens.raw({}, header={"alg": "HS256", "typ": "x"})), ("crit", tokens.raw({}, header={"alg": "HS256", "crit": []})), ("kid", tokens.raw({}, header={"alg": "HS256", "kid": 1})), ("too_long", "x" * 9000), ("b64", tokens.raw({}, header={"alg": "HS256", "b64": False})), ("name", tokens.make("x", name=1))]
    before = n.scrape()
    for _, token in refused:
        d.http("GET", "/token", token=token).ok(401)
    d.http("GET", "/token", {"Host": "evil.example"}).ok(421)
    d.http("GET", "/events?topic=x", {"Origin": "https://evil.example"}, token=ada).ok(403)
    d.http("POST", "/publish/x", {"Cookie": f"belfry={ada}"}, "x").ok(403)
    d.http("POST", "/token", J, '{"name":"g"}').ok()
    n.settle(belfry_tokens_refused_total=len(refused), belfry_refusals_total__invalid_token=len(refused), belfry_guest_tokens_total=1, belfry_checks_failed_total__host=1, belfry_checks_failed_total__origin=2,
             belfry_refusals_total__misdirected=1, belfry_refusals_total__forbidden=2,
             **{f"belfry_checks_failed_total__{check}": 1 for check, _ in refused})
    after = n.scrape()
    assert after["belfry_tokens_checked_total"] - before["belfry_tokens_checked_total"] == len(refused)
    d.http("GET", "/token", token=ada).ok()
    with d.conn() as c:
        for _ in range(3):  # on one worker: known from the first time on
            c.request("GET", "/token", {"Authorization": f"Bearer {ada}"}).ok()
    cached = n.settle(belfry_tokens_checked_total=after["belfry_tokens_checked_total"] + 4)["belfry_tokens_cached_total"]
    assert 2 <= cached - after["belfry_tokens_cached_total"] <= 4
    # a limit
    d.http("POST", "/publish/x", body="x" * 70000, token=t).problem(413)
    with d.conn() as c:
        c.send("GET / HTTP/1.1\r\nX: " + "y" * 20000 + "\r\n\r\n")
        assert c.response().status == 431
    with d.conn() as c:
        c.send("GET / HTTP/9.1\r\n\r\n")
        assert c.response().status == 505
    n.settle(belfry_checks_failed_total__limit=2, belfry_refusals_total__too_large=2, belfry_refusals_total__bad_request=1)
    # closes by reason
    before = n.scrape()

    def closed(reason):
        return before[f'belfry_connections_closed_total{{reason="{reason}"}}']

    assert isinstance(ws.close(), Frame)
    other.conn.reset()
    sse.close()
    echo.send_frame(3)
    echo.expect_close(1002)
    raw[0].send_frame(1, b"\xff")
    raw[0].expect_close(1007)
    big = d.ws(token=ada)
    big.send("x" * 70000)
    big.expect_close(1009)
    for c in (ws, echo, raw[0], big):
        c.drop()
    n.settle(belfry_connections__websocket=1, belfry_connections__events=2, belfry_connections__chat_sse=1, belfry_connections_closed_total__protocol=closed("protocol") + 2, belfry_connections_closed_total__too_big=closed("too_big") + 1)
    for c in (lines, gone, chat, raw[1]):
        c.conn.close() if hasattr(c, "conn") else c.close()
    s = n.settle(belfry_connections__websocket=0, belfry_connections__events=0, belfry_connections__chat_sse=0, belfry_connections__http=0, belfry_subscriptions=0, belfry_behind=0)
    ended = sum(v for k, v in s.items() if k.startswith("belfry_connections_closed_total"))
    assert ended == s["belfry_connections_accepted_total"] == n.opened, "whatever began has ended"
    answers = sum(v for k, v in s.items() if k.startswith("belfry_http_answers_total"))
    assert answers == s["belfry_http_requests_total"] + 2, "each request has one answer; two were no requests"
    turns = [v for k, v in s["raw"].items() if k.startswith("belfry_worker_turns_total")]
    assert len(turns) == s["raw"]["belfry_workers"] and min(turns) > 0 and sum(turns) == s["raw"]["belfry_loop_turns_total"]


def test_the_same_everywhere(daemons):
    d = daemons
    admin = tokens.make("root", role="admin", subscribe=["**"], publish=["**"])
    room = mark("room")
    ws, sse = d.join(room, sub="ada"), d.sse(topic="x", token=admin)
    d.publish("x", "one")
    sse.next()
    ws.say("two")
    d.http("GET", "/readyz").ok()
    end = time.monotonic() + 20
    while True:
        m = parse(d.http("GET", "/metrics").text())
        s = d.http("GET", "/api/stats", token=admin).ok().json()
        r = ctl("stats", "--json", env={"BELFRY_URL": d.url, "BELFRY_TOKEN": admin})
        assert r.returncode == 0, r.stderr
        c = json.loads(r.stdout)
        assert set(c) == set(s)
        same = {"workers": m["belfry_workers"], "websockets": m['belfry_connections{kind="websocket"}'], "streams": m['belfry_connections{kind="events"}'] + m['belfry_connections{kind="chat_sse"}'], "topics": m["belfry_topics"],
                "messages": m['belfry_messages_total{direction="in"}'], "deliveries": m["belfry_deliveries_total"], "stored": m["belfry_log_messages"], "stored_bytes": m["belfry_log_bytes"], "behind": m["belfry_behind"],
                "gaps": m["belfry_gaps_total"], "queued_bytes": m["belfry_queued_bytes"]}
        wrong = {k: (s.get(k), c.get(k), v) for k, v in same.items() if not s.get(k) == c.get(k) == v}
        if not wrong:
            break
        assert time.monotonic() < end, wrong
    assert abs(s["uptime"] - m["process_uptime_seconds"]) <= 2 and s["memory"] > 10**6 and s["version"] and s["rooms"] >= 1
    people = ctl("stats", env={"BELFRY_URL": d.url, "BELFRY_TOKEN": admin})
    assert people.returncode == 0 and str(s["stored"]) in people.stdout and not people.stdout.lstrip().startswith("{")
    user = ctl("stats", env={"BELFRY_URL": d.url, "BELFRY_TOKEN": d.token("user")})
    assert user.returncode == 77 and "admin" in user.stderr, user


def test_reads_and_delete(daemons):
    d = daemons
    admin = d.token("root", role="admin", everything=True)
    room, topic, (ada, bob, cy, nd) = mark("room"), mark("top") + "/\u00e9 %?#", (mark("u") for _ in range(4))
    ws, chat, sse = d.join(room, sub=ada, name="Ada"), d.chat_sse(room, token=d.token(bob, name="Bob")), d.sse(topic=[topic, "b/**"], token=d.token(cy))
    lines = d.sse(topic=topic, token=d.token(nd), accept="application/x-ndjson")
    i = ws.say("hi")["id"]
    d.publish(topic, "x")
    bystander = d.join(room + "2", sub=mark("u"))
    api = lambda path, method="GET", token=admin, **how: d.http(method, "/api/" + path, token=token, **how)  # noqa: E731
    topics = {t["topic"]: t for t in api("topics").ok().json()["topics"]}
    assert topics[f"chat/{room}"] == {"topic": f"chat/{room}", "messages": 1, "members": 2, "latest": i} and topics[topic]["messages"] == 1 and topics[topic]["members"] == 0
    doc = api(f"topics/chat%2F{room}/members").ok().json()
    assert doc["topic"] == f"chat/{room}" and doc["count"] == 2 and sorted(m["name"] for m in doc["members"]) == ["Ada", "Bob"]
    assert api(f"topics/chat/{room}/members").ok().json()["count"] == 2
    for path in ("topics/a%2F%2Fb/members", "topics/%zz/members", "topics/%ff/members", "topics/a*/**/members", "topics/%00/members"):
        assert api(path).status == 400, path
    assert api("topics/none/members").ok().json()["count"] == 0
    conns = {(c["user"]["id"], c["kind"]): c for c in api("connections").ok().json()["connections"] if "user" in c}
    mine = {ada: "websocket", bob: "chat_sse", cy: "events", nd: "events"}
    for who, kind in mine.items():
        c = conns[who, kind]
        assert re.fullmatch("[0-9a-f]{16}", c["id"]) and c["peer"].startswith("127.0.0.1") and c["queued"] == 0, c
        assert ws.welcome["session"] != c["id"] != chat.session and chat.session not in json.dumps(c) and ws.welcome["session"] not in json.dumps(c)
    assert conns[ada, "websocket"]["rooms"] == [room] and set(conns[cy, "events"]["topics"]) == {topic, "b/**"}
    assert [c["kind"] for c in api("connections").json()["connections"]].count("http") >= 1, "the one that asks"
    for path, method, status in (("connections/" + "0" * 16, "DELETE", 404), ("connections/x", "DELETE", 404), ("connections/0001", "DELETE", 404), ("connections/0x01000000000001", "DELETE", 404), ("connections/", "DELETE", 404), ("connections/ffffffffffffffff", "DELETE", 404), ("connections/%30" + "0" * 15, "DELETE", 404), ("connections", "DELETE", 405), ("stats", "POST", 405),
                                 ("nothing", "GET", 404), ("", "GET", 404), ("stats/x", "GET", 404), ("Stats", "GET", 404), ("stats", "HEAD", 200), ("scheduled", "GET", 200), ("kick", "POST", 400), ("ban", "GET", 405), ("unban", "POST", 400), ("mute", "POST", 400), ("unmute", "POST", 400), ("revoke", "POST", 400), ("bans", "GET", 200), ("bans", "POST", 405)):
        r = api(path, method, body="" if method == "POST" else None)
        assert r.status == status, (path, method, r)
        if status == 405:
            assert r.header("Allow")
    for method, path in (("GET", "stats"), ("GET", "topics"), ("GET", "connections"), ("DELETE", "connections/" + conns[ada, "websocket"]["id"]), ("POST", "reload"), ("POST", "drain"), ("GET", "nothing")):
        for token, status in ((d.token("user"), 403), (d.token("mod", role="moderator", everything=True), 403), ("x", 401)):
            assert api(path, method, token=token, body="" if method == "POST" else None).status == status, (method, path)
        assert d.http(method, "/api/" + path, body="" if method == "POST" else None).status == 401
    for who, kind in mine.items():
        api("connections/" + conns[who, kind]["id"], "DELETE").ok(204)
        assert api("connections/" + conns[who, kind]["id"], "DELETE").status in (204, 404)
    ws.expect_close(4403)
    bystander.say("still here")
    for stream in (chat, sse):
        stream.end()
    while lines.lines() is not None:
        pass
    end = time.monotonic() + 20
    while any(c.get("user", {}).get("id") in mine for c in api("connections").json()["connections"]):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert ctl("stats", env={"BELFRY_URL": d.url, "BELFRY_TOKEN": admin}).returncode == 0


def test_who_may_read_them(start, sockets):
    d = start({"listen": ({"address": "127.0.0.1", "port": 0}, {"unix": str(sockets / "s"), "mode": "0666"})})
    assert parse(d.http("GET", "/metrics").ok().text())
    r = d.http("GET", "/metrics")
    assert r.header("Content-Type").startswith("text/plain; version=0.0.4") and "no-store" in r.header("Cache-Control")
    with Conn(str(sockets / "s")) as c:
        assert c.request("GET", "/metrics").status in (200, 401)


def test_a_slow_reader_in_the_figures(start):
    """Behind, queues, gaps, dropped: seen while it lasts, gone when it is over."""
    d = start({"limits": {"queue": "8K", "message": "4K"}, "topics": ({"match": "server/**", "history": 0}, {"match": "fleet", "history": 0}, {"match": "**", "history": 50})})
    t = d.token("rae")
    slow = d.ws(token=t, rcvbuf=4096)
    slow.ok("subscribe", "subscribed", topic="flood")
    slow.ok("subscribe", "subscribed", topic="fleet")

    def figures():
        return parse(d.http("GET", "/metrics").text())

    sent = 0
    end = time.monotonic() + 30
    with d.conn() as c:
        # the kernel takes what it likes before anything stays in our queue
        while (f := figures())["belfry_behind"] == 0 or f["belfry_queued_bytes"] == 0:
            body = json.dumps([{"topic": "flood", "message": f"{sent + i:6}" + "x" * 3000} for i in range(100)])
            c.request("POST", "/publish", {"Authorization": f"Bearer {t}", "Content-Type": "application/json"}, body).ok()
            sent += 100
            assert time.monotonic() < end
        for i in range(7):
            c.request("POST", "/publish/fleet", {"Authorization": f"Bearer {t}"}, f"gone {i}").ok()
    f = figures()
    assert f["belfry_behind"] >= 1 and f["belfry_fell_behind_total"] >= 1 and 0 < f["belfry_queued_bytes"] <= f["belfry_queue_memory_bytes"], f
    got, dropped, gaps = [], 0, 0
    while not got or got[-1] != sent - 1:
        m = slow.recv()
        if m["type"] == "gap":
            gaps += 1
            dropped += m.get("dropped", 0)
        elif m["type"] == "notification" and m["topic"] == "flood":
            got.append(int(m["message"][:6]))
    slow.sync()
    for m in slow.take("gap"):
        gaps += 1
        dropped += m.get("dropped", 0)
    assert got == sorted(set(got)) and dropped == 7, (dropped, gaps)
    while figures()["belfry_behind"]:
        assert time.monotonic() < end
    f = figures()
    assert f["belfry_dropped_total"] == 7 and f["belfry_gaps_total"] == gaps and f["belfry_queued_bytes"] == 0, (f["belfry_gaps_total"], gaps)


def test_feed_says_the_same(start):
    d = start({"feeds": ({"topic": "server/stats", "every": "1s"},)})
    stream = d.sse(topic="server/stats", token=d.token("x", subscribe=["server/**"]))
    d.publish("x", "one")
    ev = stream.until("stats", match=lambda e: e.json()["messages"] == 1)
    doc = ev.json()
    assert ev.id is None and doc["streams"] == 1 and doc["websockets"] == 0 and doc["stored"] == 1, doc
    admin = d.token("root", role="admin", everything=True)
    assert set(doc) - {"messages_per_second"} <= set(d.http("GET", "/api/stats", token=admin).json())
