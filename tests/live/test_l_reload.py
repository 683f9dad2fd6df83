"""Every key that a reload takes over: what is set, what to look at, what it is before and after."""

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
