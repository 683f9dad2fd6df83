"""Every key that a reload takes over: what is set, what to look at, what it is before and after."""

import json
import signal
import time

import pytest

from support import rawclient, tokens
from support import daemon as daemon_module
from support.rawclient import WebSocket
from test_l_limits import until


def whoami(d, **how):
    return d.http("GET", "/token", token=d.token(**how)).status


def guest(d):
    return d.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"Ada"}')


def may_read(d, token, topic):
    s = rawclient.open_stream(d.address, f"/events?topic={topic}", d.bearer(token).items())[1]
    return s is not None


def first_room(d):
    with d.ws() as ws:
        ws.say("hi")
        return ws.expect("joined")["room"]


def post_from(d, origin, *headers):
    return d.http("POST", "/publish/t/x", [("Origin", origin), *headers], "x", token=d.token()).status


def upgrade(d, path, *headers):
    r, ws = WebSocket.open(d.address, path, [*d.bearer().items(), *headers])
    return r if ws is None else ws.drop() or r


# what is set, what to look at, what it is before and after
LIVE = {
    "echo": ({"echo": False}, lambda d: upgrade(d, "/echo").status, 101, 404),
    "hosts": ({"hosts": ["belfry.example"]}, lambda d: d.http("GET", "/healthz").status, 200, 421),
    "cors.allow_origins": ({"cors": {"allow_origins": ["https://a.example"]}}, lambda d: post_from(d, "https://a.example"), 403, 200),
    "trusted_proxies": ({"trusted_proxies": []}, lambda d: post_from(d, "https://b.example", ("X-Forwarded-Host", "b.example")), 200, 403),
    "web.root": ({"web": {"root": "page"}}, lambda d: d.http("GET", "/").status, 404, 200),
    "web.csp": ({"web": {"root": "page", "csp": "img-src 'none'"}}, lambda d: d.http("GET", "/").header("Content-Security-Policy") == "img-src 'none'", False, True),
    "auth.algorithms": ({"auth": {"algorithms": ["HS512"], "secret": "k" * 64, "secret_file": None}},
                        lambda d: whoami(d, key=b"k" * 64, alg="HS512"), 401, 200),
    "auth.issuer": ({"auth": {"issuer": "me"}}, lambda d: (whoami(d), whoami(d, iss="me")), (200, 200), (401, 200)),
    "auth.audience": ({"auth": {"audience": "us"}}, lambda d: (whoami(d), whoami(d, aud="us")), (200, 200), (401, 200)),
    "auth.leeway": ({"auth": {"leeway": "1d"}}, lambda d: whoami(d, ttl=-3600), 401, 200),
    "auth.require_exp": ({"auth": {"require_exp": False}}, lambda d: whoami(d, drop=("exp",)), 401, 200),
    "auth.cookie": ({"auth": {"cookie": "other"}},
                    lambda d: d.http("GET", "/token", {"Cookie": f"other={d.token()}"}).json()["user"] is not None, False, True),
    "auth.explain": ({"auth": {"explain": False}},
                     lambda d: "exp was" in d.http("GET", "/events?topic=x", token=d.token(ttl=-3600)).json()["detail"], True, False),
    "auth.login_url": ({"auth": {"login_url": "https://login.example/"}}, lambda d: d.http("GET", "/token").json().get("login_url") or None,
                       None, "https://login.example/"),
    "auth.guests": ({"auth": {"guests": True}}, lambda d: guest(d).status == 200, False, True),
    "auth.guest_ttl": ({"auth": {"guests": True, "guest_ttl": "100s"}}, lambda d: (r := guest(d)).status == 200 and r.json()["expires"] - time.time() < 101,
                       False, True),
    "auth.defaults": ({"auth": {"defaults": {"subscribe": ["other/*"]}}},
                      lambda d: (may_read(d, tokens.make(), "chat/a"), may_read(d, tokens.make(), "other/a")), (True, False), (False, True)),
    "auth.guest_defaults": ({"auth": {"guests": True, "guest_defaults": {"subscribe": ["other/*"]}}},
                            lambda d: (r := guest(d)).status == 200 and may_read(d, r.json()["token"], "other/a"), False, True),
    "events.topics": ({"events": {"topics": ["elsewhere"]}}, lambda d: d.publish(None, "x")["topic"], "notifications", "elsewhere"),
    "chat.default_room": ({"chat": {"default_room": "den"}}, first_room, "lobby", "den"),
    "chat.compression": ({"chat": {"compression": False}},
                         lambda d: upgrade(d, "/chat", ("Sec-WebSocket-Extensions", "permessage-deflate")).header("Sec-WebSocket-Extensions") is None, False, True),
    "logging.format": ({"logging": {"format": "json"}}, lambda d: upgrade(d, "/chat") and d.log().rstrip().endswith("}"), False, True),
}


@pytest.fixture(scope="module")
def living(tmp_path_factory):
    d = daemon_module.Daemon(tmp_path_factory.mktemp("live"))
    (d.folder / "page").mkdir()
    (d.folder / "page" / "index.html").write_text("<p>hello")
    yield d.start()
    d.stop()


@pytest.mark.parametrize("key", LIVE)
def test_reload_is_enough(living, key):
    conf, look, before, after = LIVE[key]
    old = living.conf
    assert look(living) == before
    try:
        living.configure(conf)
        living.signal(signal.SIGHUP)
        until(lambda: look(living) == after)
    finally:
        living.conf = old
        living.write()
        living.signal(signal.SIGHUP)
    until(lambda: look(living) == before)


def reload(d, conf):
    since = len(d.lines)
    d.configure(conf)
    d.signal(signal.SIGHUP)
    return since


def test_rules_reach_quiet_topics(own):
    """What a new rule no longer keeps goes without a message there; what it keeps longer stays."""
    d = own({"topics": ({"match": "**", "history": 100, "keep": "1h"},)})
    for name in ("shorter", "none", "all"):
        d.publish_many(f"quiet/{name}", [str(i) for i in range(9)])

    def left(name):
        r = d.http("GET", f"/history?topic=quiet/{name}", token=d.token()).ok().json()
        return [m["message"] for m in r["messages"]]

    reload(d, {"topics": ({"match": "quiet/shorter", "history": 2}, {"match": "quiet/none", "history": 0}, {"match": "**", "history": 100})})
    until(lambda: left("shorter") == ["7", "8"] and left("none") == [])
    assert len(left("all")) == 9
    reload(d, {"topics": ({"match": "**", "history": 100, "keep": "1s"},)})
    until(lambda: left("all") == [])


def test_feed_becomes_more_frequent(start):
    """It does not wait for the time that the old rule had set."""
    d = start({"feeds": ({"topic": "server/stats", "every": "1h"},)})
    s = d.sse(topic="server/stats")
    reload(d, {"feeds": ({"topic": "server/stats", "every": "100ms"},)})
    s.until("stats")
    s.until("stats")


def test_restart_is_asked_for_as_long_as_it_is_due(start):
    d = start({"workers": 1})
    wanted = r'server\.reload needs_restart="workers"'
    for _ in range(2):
        d.wait_log(wanted, since=reload(d, {"workers": 2}))
    since = reload(d, {"workers": 1})
    d.wait_log(r"server\.reload result=ok", since=since)
    assert "needs_restart" not in "\n".join(d.lines[since:])


def test_mistake_is_one_line_of_the_log(start):
    """The word of the mistake comes as text, and in JSON as in the file."""
    d = start({"logging": {"format": "json", "level": "info"}})
    reload(d, {"logging": {"format": "p\u00e4per"}})
    line = d.wait_log(r'.*"kept_old".*')[0]
    doc = json.loads(line)
    assert doc["level"] == "error" and f"{d.file}:" in doc["reason"] and "logging.format" in doc["reason"], doc
    assert 'logging.format is "p\u00e4per"' in doc["reason"], doc
    assert all(json.loads(x) for x in d.lines)
