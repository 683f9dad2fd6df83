"""Tokens: where they are found, what they must say, how they are refused, how they end."""

import json
import re
import signal
import time
import urllib.parse

import pytest
from support import SLOW, rawclient, tokens
from support.daemon import mark
from support.tokens import SECRET, b64, claims_of, make, raw

CONF = {"auth": {"guests": True, "login_url": "https://login.example.org/?a=b", "guest_tokens_per_minute": 0}, "logging": {"level": "debug"}}


def whoami(d, token=None, headers=(), query=""):
    return d.http("GET", "/token" + query, headers, token=token)


def probe(d, token, topic="chat/x"):
    """Where a token is needed: a stored-messages request."""
    return d.http("GET", f"/history?topic={topic}", token=token)


def refused(d, token, words=()):
    """Refused as the contract says at every kind of door; the detail."""
    r = probe(d, token)
    doc = r.problem(401, "invalid_token")
    challenge = r.header("WWW-Authenticate")
    m = re.fullmatch(r'Bearer realm="belfry", ?error="invalid_token", ?error_description="([^"\\]*)"', challenge)
    assert m, challenge
    assert all(" " <= c <= "~" for c in m[1]), challenge
    for w in words:
        assert w in doc["detail"], (w, doc)
    assert token.split(".")[-1][:20] not in r.text() or len(token.split(".")[-1]) < 8
    return doc["detail"]


# -- places --------------------------------------------------------------------------------------------------------------


def test_header(daemon):
    assert whoami(daemon, make("ada", name="Ada")).ok().json()["user"] == {"id": "ada", "name": "Ada"}


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer"])
def test_scheme_without_case(daemon, scheme):
    assert whoami(daemon, headers={"Authorization": f"{scheme} {make('ada')}"}).ok().json()["user"]["id"] == "ada"


@pytest.mark.parametrize("value", ["Basic dXNlcjpwYXNz", "Digest x", "Token {t}", "{t}"])
def test_another_scheme_is_no_token(daemon, value):
    r = daemon.http("GET", "/history?topic=chat/x", {"Authorization": value.format(t=make("ada"))})
    r.problem(401, "unauthorized")
    assert r.header("WWW-Authenticate") == 'Bearer realm="belfry"', r


def test_query(daemon):
    assert whoami(daemon, query="?access_token=" + make("ada")).ok().json()["user"]["id"] == "ada"
    daemon.sse(token="", topic="chat/x", access_token=make("ada")).close()
    ws = daemon.ws("/chat?access_token=" + make("ada"), token="")
    assert ws.welcome["user"]["id"] == "ada"


def test_subprotocol(daemon):
    for protocols in (["belfry.v1", "bearer." + make("ada")], ["bearer." + make("ada"), "belfry.v1"]):
        ws = daemon.ws("/chat", token="", protocols=protocols)
        assert ws.welcome["user"]["id"] == "ada"
        assert ws.response.header("Sec-WebSocket-Protocol") == "belfry.v1"


def test_subprotocol_alone(daemon):
    """A list without belfry.v1 is 400 that says so."""
    r = daemon.ws("/chat", token="", protocols=["bearer." + make("ada")], refuse=True)
    assert "belfry.v1" in r.problem(400)["detail"]


def test_cookie(daemon):
    cookie = {"Cookie": f"a=b; belfry={make('ada')}; c=d"}
    assert whoami(daemon, headers=cookie).ok().json()["user"]["id"] == "ada"


def test_two_tokens(daemon):
    t = make("ada")
    daemon.http("GET", "/history?topic=chat/x&access_token=" + t, token=t).problem(400, "invalid_request")
    daemon.ws("/chat?access_token=" + t, token="", protocols=["belfry.v1", "bearer." + t], refuse=True).problem(400, "invalid_request")
    daemon.ws("/chat", token=t, protocols=["belfry.v1", "bearer." + t], refuse=True).problem(400, "invalid_request")
    with daemon.conn() as c:
        r = c.request("GET", "/history?topic=chat/x", [("Authorization", f"Bearer {t}"), ("Authorization", f"Bearer {t}")])
        assert r.status == 400, r
    r = daemon.http("GET", f"/history?topic=chat/x&access_token={t}&access_token={t}")
    assert r.status == 400, r


def test_cookie_beside_another_is_ignored(daemon):
    cookie = {"Cookie": f"belfry={make('bob')}"}
    assert whoami(daemon, make("ada"), cookie).ok().json()["user"]["id"] == "ada"
    assert whoami(daemon, make("ada"), {"Cookie": "belfry=rubbish"}).ok().json()["user"]["id"] == "ada"


def test_cookie_needs_an_origin(daemon, topic):
    """What changes something, opens a WebSocket or a stream on the strength of the cookie."""
    t = daemon.token("ada")
    own = {"Cookie": f"belfry={t}", "Origin": f"http://{daemon.host}"}
    none = {"Cookie": f"belfry={t}"}
    evil = {"Cookie": f"belfry={t}", "Origin": "https://evil.example.org"}
    daemon.http("POST", f"/publish/{topic}", own, "x").ok()
    daemon.ws("/chat", token="", headers=own).drop()
    daemon.sse(token="", topic=topic, headers=own).close()
    for headers in (none, evil):
        daemon.http("POST", f"/publish/{topic}", headers, "x").problem(403)
        daemon.ws("/chat", token="", headers=headers, refuse=True).problem(403)
        daemon.sse(token="", topic=topic, headers=headers, refuse=True).problem(403)
    daemon.http("GET", f"/history?topic={topic}", none).ok()
    # a browser puts no Origin on a GET of its own origin, but says so; a POST always has one
    fetched = {**none, "Sec-Fetch-Site": "same-origin"}
    daemon.sse(token="", topic=topic, headers=fetched).close()
    daemon.sse("/chat", token="", room="fetched", headers=fetched).close()
    daemon.http("GET", "/chat", fetched).problem(426)
    daemon.http("POST", f"/publish/{topic}", fetched, "x").problem(403)
    daemon.ws("/chat", token="", headers=fetched, refuse=True).problem(403)
    for site in ("same-site", "cross-site", "none", "SAME-ORIGIN", "same-origin, same-origin"):
        daemon.sse(token="", topic=topic, headers={**none, "Sec-Fetch-Site": site}, refuse=True).problem(403)
    daemon.sse(token="", topic=topic, headers=[*fetched.items(), ("Sec-Fetch-Site", "same-origin")], refuse=True).problem(403)
    daemon.sse(token="", topic=topic, headers={**evil, "Sec-Fetch-Site": "same-origin"}, refuse=True).problem(403)


def test_cookie_and_star(start):
    """`*` never lets the cookie count."""
    d = start({"cors": {"allow_origins": ["*"]}})
    t = d.token("ada")
    origin = {"Origin": "https://elsewhere.example.org"}
    r = d.http("POST", "/publish/a", {"Cookie": f"belfry={t}", **origin}, "x")
    assert r.status in (401, 403), r
    r = d.http("POST", "/publish/a", origin, "x", token=t).ok()
    assert r.header("Access-Control-Allow-Origin") in ("*", origin["Origin"])
    assert r.header("Access-Control-Allow-Credentials") is None or r.header("Access-Control-Allow-Origin") != "*"


def test_cookie_name(start):
    d = start({"auth": {"cookie": "session"}})
    assert whoami(d, headers={"Cookie": f"session={make('ada')}"}).json()["user"]["id"] == "ada"
    assert whoami(d, headers={"Cookie": f"belfry={make('ada')}"}).json()["user"] is None


# -- refusals ------------------------------------------------------------------------------------------------------------------


def test_missing(daemon):
    r = probe(daemon, None)
    r.problem(401, "unauthorized")
    assert r.header("WWW-Authenticate") == 'Bearer realm="belfry"'


def test_expired(daemon):
    detail = refused(daemon, make(ttl=-100), ["exp"])
    assert re.search(r"exp was \d+ s ago", detail), detail


def test_leeway(daemon):
    probe(daemon, make(ttl=-10)).ok()
    refused(daemon, make(ttl=-40), ["exp"])
    probe(daemon, make(nbf=int(time.time()) + 10)).ok()
    refused(daemon, make(nbf=int(time.time()) + 100), ["nbf"])


def test_no_exp(daemon):
    refused(daemon, make(drop=["exp"]), ["exp"])


@pytest.mark.parametrize("exp", [1e300, 4000000000.5, "4000000000", None, [], True, -1, 0])
def test_bad_exp(daemon, exp):
    refused(daemon, make(exp=exp), ["exp"])


@pytest.mark.parametrize("nbf", [0.5, "0", [], True])
def test_bad_nbf(daemon, nbf):
    refused(daemon, make(nbf=nbf), ["nbf"])


@pytest.mark.parametrize("sub", ["", "x" * 129, "a\nb", "a\u0000b", "a\x7fb", "a\u0085b", 5, None, ["a"], True])
def test_bad_sub(daemon, sub):
    t = make(sub=sub) if isinstance(sub, str) else make(drop=["sub"], **{}) if sub is None else raw({"sub": sub, "exp": int(time.time()) + 100})
    refused(daemon, t)


def test_sub_edges(daemon):
    for sub in ("x" * 128, "a b", "ü", "a/b", "*"):
        probe(daemon, make(sub)).ok()


def test_foreign_guest(daemon):
    """Other issuers' `guest:` is refused."""
    refused(daemon, make("guest:abc"))


def test_signature(daemon):
    t = make("ada")
    refused(daemon, make("ada", key=b"x" * 40), ["signature"])
    head, body, sig = t.split(".")
    refused(daemon, f"{head}.{body}.{'A' * len(sig)}")
    refused(daemon, f"{head}.{b64(json.dumps({'sub': 'root', 'exp': 4000000000}).encode())}.{sig}")


def test_nothing_is_explained_before_the_signature_holds(daemon):
    t = make("ada", ttl=-5000, key=b"x" * 40, aud="nobody")
    detail = refused(daemon, t)
    assert "exp" not in detail and "aud" not in detail and "ada" not in detail, detail


MALFORMED = {
    "empty": "", "one part": "abc", "two parts": "a.b", "four parts": "a.b.c.d", "dots": "..", "not base64": "!!!.???.###", "unicode": "é.é.é",
    "no signature": "{h}.{b}.", "no body": "{h}..{s}", "padded": "{h}.{b}.{s}=", "space": "{h}.{b}.{s} x", "newline": "{h}.{b}.{s}%0A",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(daemon, name):
    h, b, s = make("ada").split(".")
    t = MALFORMED[name].format(h=h, b=b, s=s)
    r = daemon.http("GET", "/history?topic=chat/x&access_token=" + urllib.parse.quote(t, safe="%"))
    assert r.status in (400, 401), r
    with daemon.conn() as c:
        r = c.request("GET", "/history?topic=chat/x", [("Authorization", "Bearer " + t.replace("%0A", ""))]) if name != "newline" else r
        assert r.status in (400, 401), r


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", ""])
def test_alg_none(daemon, alg):
    head = b64(json.dumps({"alg": alg, "typ": "JWT"}).encode())
    body = b64(json.dumps({"sub": "ada", "exp": 4000000000}).encode())
    for t in (f"{head}.{body}.", f"{head}.{body}.{make('ada').split('.')[2]}"):
        r = daemon.http("GET", "/history?topic=chat/x", token=t)
        assert r.status in (400, 401), r


@pytest.mark.parametrize("header", [
    {"typ": "JWT"}, {"alg": 5}, {"alg": ["HS256"]}, {"alg": "hs256"}, {"alg": "HS384"}, {"alg": "HS512"}, {"alg": "RS256"}, {"alg": "ES256"},
    {"alg": "HS256", "crit": ["exp"]}, {"alg": "HS256", "crit": ["x"], "x": 1}, [], "HS256", b"{", b'{"alg":"none","alg":"HS256"}',
    b'{"alg":"HS256","alg":"none"}',
])
def test_bad_header(daemon, header):
    t = raw({"sub": "ada", "exp": 4000000000}, header=header)
    assert probe(daemon, t).status == 401


@pytest.mark.parametrize("payload", [
    [1], "text", 5, None, b"", b"{", b'{"sub":"a","sub":"b","exp":4000000000}', b'{"sub":"a\\u0000b","exp":4000000000}', b'{"sub":"a\xff","exp":4000000000}',
    b'{"sub":"ada","exp":4000000000,"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
])
def test_bad_payload(daemon, payload):
    assert probe(daemon, raw(payload)).status == 401


def test_huge_token(daemon):
    r = probe(daemon, make("ada", pad="x" * 12000))
    assert r.status in (401, 431), r


@pytest.mark.parametrize("belfry", [5, "x", [], True, {"subscribe": "chat/*"}, {"subscribe": [5]}, {"publish": {}}, {"role": 5}, {"role": "king"},
                                    {"subscribe": ["a//b"]}, {"subscribe": ["a/**/b"]}])
def test_bad_permissions_grant_nothing(daemon, belfry):
    """A malformed claim is refused, or grants nothing; never the defaults."""
    r = daemon.http("GET", "/history?topic=chat/x", token=make("ada", belfry=belfry))
    assert r.status in (401, 403), r


def test_null_claim_is_no_door(daemon):
    r = daemon.http("GET", "/history?topic=secret", token=make("ada", belfry=None))
    assert r.status in (401, 403)


def test_issuer_and_audience(start):
    d = start({"auth": {"issuer": "https://id.example.org", "audience": "belfry"}})
    good = {"iss": "https://id.example.org", "aud": "belfry"}
    probe(d, make(**good)).ok()
    probe(d, make(**{**good, "aud": ["x", "belfry"]})).ok()
    refused(d, make(**{**good, "iss": "x"}), ["iss"])
    detail = refused(d, make(**{**good, "aud": "x"}), ["aud"])
    assert "'x'" in detail and "'belfry'" in detail, detail
    refused(d, make(aud="belfry"), ["iss"])
    refused(d, make(iss=good["iss"]), ["aud"])
    for aud in ([], [5], 5, "", ["x", "y"], {"belfry": 1}):
        refused(d, make(**{**good, "aud": aud}), ["aud"])
    for iss in (5, ["https://id.example.org"], "https://id.example.org/"):
        refused(d, make(**{**good, "iss": iss}), ["iss"])


def test_explain_off(start):
    d = start({"auth": {"explain": False}})
    r = probe(d, make(ttl=-5000))
    doc = r.problem(401, "invalid_token")
    assert "exp" not in doc["detail"].replace("expl", "") and "ago" not in doc["detail"], doc
    assert "ago" not in r.header("WWW-Authenticate")
    d.wait_log(r"exp was \d+ s ago")


def test_require_exp_off(start):
    d = start({"auth": {"require_exp": False}})
    probe(d, make(drop=["exp"])).ok()
    w = d.ws(token=make(drop=["exp"])).welcome
    assert w.get("expires") is None
    refused(d, make(ttl=-100), ["exp"])
    refused(d, make(exp="soon"), ["exp"])


def test_scope(daemon):
    r = probe(daemon, make("ada", subscribe=["news"]), topic="a")
    doc = r.problem(403, "insufficient_scope")
    assert "topic 'a' is not in belfry.subscribe" in doc["detail"], doc


def test_pattern_must_be_contained_in_one_grant(daemon):
    t = make("ada", subscribe=["a/*", "b/**", "c/x"])
    ws = daemon.ws(token=t)
    for good in ("a/x", "a/*", "b/x", "b/x/y", "b/*", "b/**", "b/*/c", "c/x"):
        ws.ok("subscribe", "subscribed", topic=good)
    for bad in ("a/**", "a/x/y", "*", "**", "*/*", "c/*", "b", "a"):
        ws.fails("subscribe", "insufficient_scope", topic=bad)


def test_sub_in_a_pattern_is_one_literal_segment(daemon):
    """{sub} is put in after the pattern is parsed."""
    star = daemon.ws(token=make("*", belfry={"subscribe": ["user/{sub}", "x/{sub}"]}))
    star.fails("subscribe", "insufficient_scope", topic="x/*")
    star.fails("subscribe", "insufficient_scope", topic="x/anything")
    star.ok("subscribe", "subscribed", topic="x/%2A")
    deep = daemon.ws(token=make("a/b", belfry={"subscribe": ["x/{sub}"]}))
    deep.fails("subscribe", "insufficient_scope", topic="x/a/b")
    deep.ok("subscribe", "subscribed", topic="x/a%2Fb")


# -- other algorithms -----------------------------------------------------------------------------------------------------------


def test_rsa(start, keys):
    def prepare(folder):
        (folder / "key.pem").write_bytes(keys.pem(keys.rsa))

    d = start({"auth": {"algorithms": ["RS256", "RS512"], "public_key_file": "key.pem", "secret_file": None}}, prepare=prepare, secret=None)
    for alg in ("RS256", "RS512"):
        probe(d, make(alg=alg, key=keys.rsa)).ok()
    refused(d, make(alg="RS384", key=keys.rsa))
    pem = keys.pem(keys.rsa)
    for secret in (pem, pem.strip(), pem.decode().encode()):
        assert probe(d, make(alg="HS256", key=secret)).status == 401, "key confusion"
    from cryptography.hazmat.primitives.asymmetric import rsa

    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    refused(d, make(alg="RS256", key=other), ["signature"])


@pytest.mark.parametrize("alg, key", [("ES256", "ec256"), ("ES384", "ec384")])
def test_ec(start, keys, alg, key):
    key = getattr(keys, key)

    def prepare(folder):
        (folder / "key.pem").write_bytes(keys.pem(key))

    d = start({"auth": {"algorithms": [alg], "public_key_file": "key.pem", "secret_file": None}}, prepare=prepare, secret=None)
    for _ in range(3):
        probe(d, make(alg=alg, key=key)).ok()
    h, b, s = make(alg=alg, key=key).split(".")
    refused(d, f"{h}.{b}.{b64(bytes(len(tokens.unb64(s))))}")
    refused(d, make(alg="HS256", key=keys.pem(key)))


def test_hmac_and_rsa_together(start, keys):
    def prepare(folder):
        (folder / "key.pem").write_bytes(keys.pem(keys.rsa))

    d = start({"auth": {"algorithms": ["HS256", "RS256"], "public_key_file": "key.pem"}}, prepare=prepare)
    probe(d, make()).ok()
    probe(d, make(alg="RS256", key=keys.rsa)).ok()
    assert probe(d, make(alg="HS256", key=keys.pem(keys.rsa))).status == 401


@pytest.mark.parametrize("alg", ["HS384", "HS512"])
def test_longer_hashes(start, alg):
    secret = b"long-secret-" * 8
    d = start({"auth": {"algorithms": [alg]}}, secret=secret)
    probe(d, make(alg=alg, key=secret)).ok()
    refused(d, make(alg="HS256", key=secret))


# -- who am I, guests ------------------------------------------------------------------------------------------------------------


def test_whoami(daemon):
    t = make("ada", name="Ada")
    r = whoami(daemon, t).ok()
    assert r.json() == {"user": {"id": "ada", "name": "Ada"}, "expires": claims_of(t)["exp"], "guests": True, "login_url": "https://login.example.org/?a=b"}
    assert "no-store" in r.header("Cache-Control", "")
    doc = whoami(daemon).ok().json()
    assert doc["user"] is None and doc["guests"] is True


def test_guest(daemon, room):
    r = daemon.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"Ada"}').ok().json()
    assert set(r) >= {"token", "user", "expires"}
    assert r["user"]["name"] == "Ada" and re.fullmatch(r"guest:.{4,}", r["user"]["id"]), r
    assert 0 < r["expires"] - time.time() <= 12 * 3600 + 5
    claims = claims_of(r["token"])
    assert claims["sub"] == r["user"]["id"] and claims["exp"] == r["expires"]
    ws = daemon.ws(token=r["token"])
    assert ws.welcome["user"] == r["user"]
    ws.ok("join", "joined", room=room)
    ws.say("hello", room=room)
    ws.fails("subscribe", "insufficient_scope", topic="ops/**")
    assert whoami(daemon, r["token"]).json()["user"] == r["user"]
    other = daemon.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"Ada"}').ok().json()
    assert other["user"]["id"] != r["user"]["id"]


@pytest.mark.parametrize("name", ["ada", " A D A ", "\u0410d\u0430", "A\u202eda", "\uff21\uff44\uff41"])
def test_guest_is_not_taken_for_a_member(daemon, room, name):
    """By case, spaces, other scripts' letters or what is not seen (the room has an Ada)."""
    ada = daemon.ws(token=daemon.token("ada", name="Ada"))
    ada.ok("join", "joined", room=room)
    guest = daemon.http("POST", "/token", {"Content-Type": "application/json"}, json.dumps({"name": name})).ok().json()
    assert "\u202e" not in guest["user"]["name"]
    ws = daemon.ws(token=guest["token"])
    assert "choose another" in ws.fails("join", "conflict", room=room)["message"]
    ws.ok("join", "joined", room=room + "-2")
    other = daemon.http("POST", "/token", {"Content-Type": "application/json"}, json.dumps({"name": "Eda"})).ok().json()
    for _ in range(2):
        daemon.ws(token=other["token"]).ok("join", "joined", room=room)


def guest(daemon, name, token=None):
    return daemon.http("POST", "/token", {"Content-Type": "application/json"}, json.dumps({"name": name}), token=token).ok().json()["token"]


def test_guest_is_not_taken_for_a_member_at_any_door(daemon, room):
    """Without joining, by a new token, in the query: Ada is in the room."""
    ada = daemon.ws(token=daemon.token("ada", name="Ada"))
    ada.ok("join", "joined", room=room)
    zed = guest(daemon, "Zed")
    ws = daemon.ws(token=zed, room=room)
    ws.say("I am Zed")
    fake = guest(daemon, "\u0410da", zed)
    ws.ok("refresh", "refreshed", token=fake)
    ws.fails("chat", "conflict", content="I am Ada")
    daemon.ws(token=fake).fails("publish", "conflict", topic=f"chat/{room}", message="I am Ada")
    r = daemon.http("POST", f"/publish/chat/{room}", (), "I am Ada", token=fake)
    assert "choose another" in r.problem(409, "conflict")["detail"]
    fresh = guest(daemon, "Ada")
    for how in ({}, {"format": "text"}, {"format": "raw"}):
        daemon.ws(token=fresh, room=room, refuse=True, **how).problem(409, "conflict")
    daemon.sse("/chat", token=fresh, room=room, refuse=True).problem(409, "conflict")
    daemon.http("GET", f"/chat?room={room}", token=fresh).problem(409, "conflict")
    assert [m["content"] for m in ada.ok("history", "history", room=room)["messages"]] == ["I am Zed"]


def test_guest_who_was_first_keeps_his_name(daemon, room):
    ws = daemon.ws(token=guest(daemon, "Ada"))
    ws.ok("join", "joined", room=room)
    ada = daemon.ws(token=daemon.token("ada", name="Ada"))
    ada.ok("join", "joined", room=room)
    ws.say("still here")
    assert ada.expect("chat")["content"] == "still here"


def test_guest_renews(daemon):
    r = daemon.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"Ada"}').ok().json()
    again = daemon.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"Ada L."}', token=r["token"]).ok().json()
    assert again["user"] == {"id": r["user"]["id"], "name": "Ada L."}
    assert whoami(daemon, again["token"]).json()["user"]["name"] == "Ada L."
    for body in ("", "{}", '{"name":null}'):  # the name stays
        kept = daemon.http("POST", "/token", {"Content-Type": "application/json"}, body, token=again["token"]).ok().json()
        assert kept["user"] == again["user"], body


def test_guest_key_signs_guests_only(daemon):
    """The configured secret does not make guests, and guest tokens verify nowhere else."""
    r = daemon.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"Ada"}').ok().json()
    forged = make(**{**claims_of(r["token"])})
    assert probe(daemon, forged).status == 401
    h, b, s = r["token"].split(".")
    changed = dict(claims_of(r["token"]), sub="ada")
    assert probe(daemon, f"{h}.{b64(json.dumps(changed).encode())}.{s}").status == 401


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"name":5}', '{"name":""}', '{"name":"   "}', '{"name":"a\\u0000b"}', '{"name":"a\\nb"}',
                                  '{"name":"' + "x" * 5000 + '"}'])
def test_guest_bad_name(daemon, body):
    r = daemon.http("POST", "/token", {"Content-Type": "application/json"}, body)
    assert r.status in (400, 413), r
    r.problem(r.status)


def test_guests_off(start):
    d = start({"auth": {"guests": False}})
    assert whoami(d).ok().json()["guests"] is False
    r = d.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"Ada"}')
    assert r.status in (403, 404), r


def test_guest_rate(start):
    d = start({"auth": {"guests": True, "guest_tokens_per_minute": 3}})
    got = [d.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"Ada"}') for _ in range(8)]
    assert [r.status for r in got[:3]] == [200] * 3
    refused = [r for r in got if r.status != 200]
    assert refused
    doc = refused[0].problem(429, "rate_limited")
    assert doc["limit"] == "auth.guest_tokens_per_minute" and int(refused[0].header("Retry-After")) >= 1


def test_guest_survives_reload(start):
    d = start({"auth": {"guests": True}})
    r = d.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"Ada"}').ok().json()
    since = len(d.lines)
    d.signal(signal.SIGHUP)
    d.wait_log(r"(?i)reload", since=since)
    assert whoami(d, r["token"]).ok().json()["user"] == r["user"]


def test_guest_from_elsewhere(daemon):
    r = daemon.http("POST", "/token", {"Content-Type": "application/json", "Origin": "https://evil.example.org"}, '{"name":"Ada"}')
    r.problem(403, "forbidden")


# -- living with a token -----------------------------------------------------------------------------------------------------------


SHORT = {"auth": {"leeway": "1s", "guests": True}}


def test_websocket_ends_with_its_token(start):
    d = start(SHORT)
    token = d.token("ada", ttl=2)
    ws = d.ws(token=token)
    assert ws.welcome["expires"] == claims_of(token)["exp"]
    m = ws.expect("expiring")
    assert 0 <= m["in"] <= 30
    ws.expect_close(4401, timeout=8 * SLOW)
    late = time.time() - claims_of(token)["exp"]
    assert 0.5 < late < 4 * SLOW, late


def test_expiring_at_once(daemon):
    """When fewer than 30 s remain."""
    ws = daemon.ws(token=daemon.token("ada", ttl=-20))
    assert 0 < ws.expect("expiring", timeout=2 * SLOW)["in"] <= 10
    s = daemon.sse(topic="x", token=daemon.token("ada", ttl=-20))
    assert 0 < s.until("expiring", timeout=2 * SLOW).json()["in"] <= 10
    ws = daemon.ws(token=daemon.token("ada", ttl=60))
    ws.sync()
    assert not ws.take("expiring")


def test_stream_ends_with_its_token(start, topic):
    d = start(SHORT)
    token = d.token("ada", ttl=2)
    s = d.sse(token=token, topic=topic)
    assert 0 <= s.until("expiring").json()["in"] <= 30
    s.until("expired", timeout=6 * SLOW)
    while (b := s.block()) is not None:
        assert not b.dispatched, b
    assert time.time() - claims_of(token)["exp"] > 0.5


def test_refresh(start, room):
    d = start(SHORT)
    ws = d.ws(token=d.token("ada", ttl=2))
    ws.ok("join", "joined", room=room)
    fresh = d.token("ada", ttl=1000)
    m = ws.ok("refresh", "refreshed", token=fresh)
    assert m["expires"] == claims_of(fresh)["exp"]
    time.sleep(3.5)
    ws.say("still here", room=room)


def test_refresh_refused(daemon, room):
    ws = daemon.ws(sub="ada")
    ws.ok("join", "joined", room=room)
    m = ws.ask("refresh", token=daemon.token("bob"))
    assert m["type"] == "error" and m["code"] in ("forbidden", "invalid_token"), m
    ws.fails("refresh", "invalid_token", token="rubbish")
    ws.fails("refresh", "invalid_token", token=daemon.token("ada", ttl=-1000))
    ws.fails("refresh", "bad_field")
    ws.fails("refresh", "bad_field", token=5)
    ws.say("still here", room=room)


def test_refresh_with_less(daemon, room):
    """What the new token no longer grants is left, and said."""
    other = mark("kept")
    t = mark("t/x")
    ws = daemon.ws(sub="ada")
    watcher = daemon.join(room, sub="w")
    for r in (room, other):
        ws.ok("join", "joined", room=r)
    ws.ok("subscribe", "subscribed", topic=t)
    watcher.expect("user_joined")
    ws.ok("refresh", "refreshed", token=daemon.token("ada", subscribe=[f"chat/{other}"], publish=["chat/*"]))
    m = ws.expect("left")
    assert m["room"] == room and m["reason"], m
    m = ws.expect("unsubscribed")
    assert m["topic"] == t and m["reason"], m
    assert watcher.expect("user_left")["user"]["id"] == "ada"
    ws.say("here", room=other)
    ws.fails("chat", "not_joined", room=room, content="x")


def test_cached_token_expires_too(start):
    """A token that was seen and is remembered is not good for longer."""
    d = start({"auth": {"leeway": "0s"}})
    t = d.token("ada", ttl=2)
    for _ in range(3):
        probe(d, t).ok()
    end = time.monotonic() + 6 * SLOW
    while probe(d, t).status == 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    refused(d, t, ["exp"])


# -- nothing leaks -----------------------------------------------------------------------------------------------------------------


def test_tokens_never_in_the_log(start, room):
    d = start({"auth": {"guests": True}, "logging": {"level": "debug"}})
    good, bad = d.token("ada"), make("ada", key=b"y" * 40)
    old = make("ada", ttl=-5000)
    for t in (good, bad, old):
        probe(d, t)
        d.http("GET", "/history?topic=a&access_token=" + t)
        d.http("GET", "/none?access_token=" + t)
        d.http("GET", "/history?topic=a", {"Cookie": f"belfry={t}"})
        rawclient.WebSocket.open(d.address, "/chat?access_token=" + t, [])
        rawclient.WebSocket.open(d.address, "/chat", [], ["belfry.v1", "bearer." + t])
    ws = d.ws(token=good)
    ws.ok("refresh", "refreshed", token=good)
    ws.ask("refresh", token=bad)
    guest = d.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"Ada"}').json()["token"]
    text = d.http("GET", "/metrics").text()
    d.stop()
    log = d.log()
    for t in (good, bad, old, guest):
        for part in t.split(".")[1:]:
            assert part not in log and part not in text
    assert SECRET.decode() not in log


def test_log_names_the_reason(start):
    d = start()
    probe(d, make(ttl=-5000))
    d.wait_log(r"exp was \d+ s ago")
    probe(d, make(key=b"z" * 40))
    d.wait_log(r"(?i)signature")


def test_text_of_a_refusal_cannot_be_split(daemon):
    """Claims that are told stand in a header: no quotes, no backslashes, no controls."""
    r = probe(daemon, make("ada", subscribe=[]), topic=urllib.parse.quote('a"\\b'))
    assert r.status in (400, 403)
    assert r.header("Set-Cookie") is None
    challenge = r.header("WWW-Authenticate")
    if challenge:
        assert re.search(r'error_description="[^"\\]*"', challenge)


def test_hostile_audience(start):
    d = start({"auth": {"audience": "belfry"}})
    refused(d, make("ada", aud='x"\\\r\nSet-Cookie: a=b\u00e9\u2028'), ["aud"])
    refused(d, make("ada", aud="x" * 3000), ["aud"])
