"""Token attacks: forged, stretched and doubled tokens, cookies from elsewhere, rebound names; nothing of them leaks."""

import hashlib
import hmac
import itertools
import json
import re
import socket
import time
import urllib.parse

import pytest
from support import rawclient, tokens
from support.daemon import Daemon
from support.rawclient import build
from support.tokens import SECRET, b64, make, raw

ISSUER, AUDIENCE = "https://id.example.org", "belfry"
CONF = {
    "auth": {"guests": True, "guest_tokens_per_minute": 0},
    "cors": {"allow_origins": ["https://app.example.org"]},
    "logging": {"level": "debug"},
}
LATER = 4000000000
DOOR = "/history?topic=chat/x"
CHALLENGE = re.compile(r'Bearer realm="belfry", error="([a-z_]+)", error_description="([ !#-\[\]-~]*)"')

# All that was sent as a token, for the look into the log at the end.
SENT = []


def sent(*tokens_):
    SENT.extend(tokens_)
    return tokens_[0]


def hs(header, payload, key=SECRET, digest=hashlib.sha256):
    """Three parts, signed, from bytes or JSON; nothing is put in."""
    parts = [b64(p if isinstance(p, bytes) else json.dumps(p).encode()) for p in (header, payload)]
    data = ".".join(parts)
    return f"{data}.{b64(hmac.new(key, data.encode(), digest).digest())}"


def resign(head, body, key=SECRET):
    """The same for parts that are text already."""
    return f"{head}.{body}.{b64(hmac.new(key, f'{head}.{body}'.encode(), hashlib.sha256).digest())}"


def claims(**more):
    return {"sub": "ada", "exp": LATER, **more}


HEAD = {"alg": "HS256", "typ": "JWT"}


def no_trace(text, token):
    """No part of the token, as sent or decoded, stands in the text."""
    if isinstance(token, bytes):
        token = token.decode("latin-1")
    for part in token.split("."):
        if len(part) >= 12:
            assert part not in text and part[:24] not in text, f"part of a token in {text[:500]!r}"


def refused(d, token, code="invalid_token", words=(), silent=True):
    """401 at a plain door, a WebSocket and a stream, with its challenge; the detail."""
    sent(token)
    details = []
    for path, headers in ((DOOR, ()), ("/events?topic=chat/x", [("Accept", "text/event-stream")]), ("/chat", ())):
        with d.conn() as c:
            value = b"Bearer " + (token if isinstance(token, bytes) else token.encode())
            r = c.request("GET", path, [("Authorization", value), *headers])
        doc = r.problem(401, code)
        m = CHALLENGE.fullmatch(r.header("WWW-Authenticate"))
        assert m and m[1] == code, r
        no_trace(str(r.headers) + r.text(), token)
        details.append(doc["detail"])
    assert len(set(details)) == 1, details
    for w in words:
        assert w in details[0], (w, details[0])
    if silent:
        assert "ada" not in details[0].lower().replace("parada", ""), details[0]
    return details[0]


def unsigned(detail):
    """Nothing of the claims is told before the signature holds."""
    assert not re.search(r"\b(exp|nbf|iss|aud|sub|belfry|name|jti) ", detail), detail


# -- the algorithm ------------------------------------------------------------------------------------------------------

NONE = ["none", "None", "NONE", "nOnE", "nonE", "NoNe", "none ", " none", "none\x00", "none\n", "n\u006fne", "ｎｏｎｅ", "", " ", "null", None, False, 0,
        [], {}, ["none"], {"alg": "none"}]


@pytest.mark.parametrize("alg", NONE, ids=repr)
@pytest.mark.parametrize("how", ["empty", "signed", "rubbish"])
def test_alg_none(daemon, alg, how):
    head, body = b64(json.dumps({"alg": alg, "typ": "JWT"}).encode()), b64(json.dumps(claims()).encode())
    sig = {"empty": "", "signed": resign(head, body).split(".")[2], "rubbish": b64(b"x" * 32)}[how]
    unsigned(refused(daemon, f"{head}.{body}.{sig}"))


@pytest.mark.parametrize("alg", ["hs256", "Hs256", "HS256 ", "HS-256", "HS2560", "HS25", "HS256\x00", "HS1", "HMAC", "SHA256", "HS384", "HS512", "RS256",
                                 "RS384", "PS256", "ES256", "ES256K", "ES512", "EdDSA", "Ed25519", "dir", "A128KW", "RSA-OAEP", "x" * 2000, 256, True,
                                 ["HS256"], {"HS256": 1}], ids=lambda a: repr(a)[:20])
def test_alg_other(daemon, alg):
    """Only the configured name, as it is written, whatever the signature."""
    unsigned(refused(daemon, hs({"alg": alg, "typ": "JWT"}, claims())))


@pytest.mark.parametrize("digest, alg", [(hashlib.sha384, "HS256"), (hashlib.sha512, "HS256"), (hashlib.sha1, "HS256"), (hashlib.md5, "HS256"),
                                         (hashlib.sha512, "HS512")])
def test_other_digest(daemon, digest, alg):
    refused(daemon, hs({"alg": alg, "typ": "JWT"}, claims(), digest=digest))


@pytest.mark.parametrize("header", [
    {"typ": "JWT"}, {}, [], [HEAD], "HS256", 5, None, True, b"", b"{", b"{}x", b'{"alg":"HS256"', b"{'alg':'HS256'}", b'{"alg":"HS256",}',
    b'{"alg":"HS256","alg":"none"}', b'{"alg":"none","alg":"HS256"}', b'{"alg":"HS256","alg":"HS256"}', b'{"alg":"none","\\u0061lg":"HS256"}',
    b'{"alg":"HS256"}{"alg":"none"}', b'\xef\xbb\xbf{"alg":"HS256"}', b'{"alg":"HS256","x":"\xff"}', b'{"alg":"HS256","x":"\\ud800"}',
    b'{"alg":"HS256","x":"\\u0000"}', b'{"alg":"HS256","x":' + b"[" * 40 + b"]" * 40 + b"}", b'{"alg":"HS256"}\x00', b'{"alg":"HS256","x":NaN}',
    b'{"alg":"HS256","x":01}', '{"alg":"HS256"}'.encode("utf-16"), {"ALG": "HS256"}, {"Alg": "HS256"}, {"alg ": "HS256"},
    {**HEAD, "typ": 5}, {**HEAD, "typ": None}, {**HEAD, "typ": "JWE"}, {**HEAD, "typ": ["JWT"]}, {**HEAD, "typ": "at+jwt"},
    {**HEAD, "crit": ["exp"]}, {**HEAD, "crit": []}, {**HEAD, "crit": None}, {**HEAD, "crit": "exp"}, {**HEAD, "crit": {}},
    {**HEAD, "crit": ["b64"], "b64": False}, {**HEAD, "crit": ["b64"], "b64": True}, {**HEAD, "crit": ["x"], "x": 1},
    {**HEAD, "kid": 5}, {**HEAD, "kid": []}, {**HEAD, "kid": {}}, {**HEAD, "kid": None}, {**HEAD, "kid": True},
], ids=lambda h: (h.decode("latin-1") if isinstance(h, bytes) else repr(h))[:40].replace("\x00", "0"))
def test_header(daemon, header):
    unsigned(refused(daemon, hs(header, claims())))


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"])
def test_embedded_key(daemon, member):
    """A key that comes along is not looked at, and no address in a token is called."""
    key = b"attacker-" * 5
    with socket.create_server(("127.0.0.1", 0)) as s:
        s.settimeout(0.2)
        url = f"http://127.0.0.1:{s.getsockname()[1]}/keys"
        value = {"jwk": {"kty": "oct", "k": b64(key), "alg": "HS256"}, "jku": url, "x5u": url, "x5c": [b64(key)]}.get(member, b64(key))
        unsigned(refused(daemon, hs({**HEAD, member: value}, claims(), key=key), words=["signature"]))
        unsigned(refused(daemon, hs({**HEAD, member: value, "kid": "a"}, claims(), key=b""), words=["signature"]))
        with pytest.raises(socket.timeout):
            s.accept()


KIDS = ["../../../../../../dev/null", "/dev/null", "../secret", "secret", "..%2f..%2fdev%2fnull", "..\\..\\dev\\null", "file:///dev/null", "/proc/self/environ",
        "x' UNION SELECT 'k", "'; DROP TABLE keys; --", "|/bin/true", "$(id)", "`id`", "a\x00b", "", "0", "x" * 4000, "\r\nX: y", "http://127.0.0.1/"]


@pytest.mark.parametrize("kid", KIDS, ids=lambda k: repr(k)[:30])
@pytest.mark.parametrize("key", [b"", b"k", b"\0"], ids=["empty", "k", "nul"])
def test_kid(daemon, kid, key):
    unsigned(refused(daemon, hs({**HEAD, "kid": kid}, claims(), key=key)))


@pytest.mark.parametrize("key", [b"", b"\0", b"secret", b"password", SECRET[:-1], SECRET + b"\n", SECRET.upper(), SECRET.hex().encode(),
                                 b64(SECRET).encode(), hashlib.sha256(SECRET).digest(), b"\0" * 32, b"\0" * 64], ids=lambda k: repr(k)[:24])
def test_wrong_secret(daemon, key):
    unsigned(refused(daemon, hs(HEAD, claims(), key=key), words=["signature"]))


# -- the form -------------------------------------------------------------------------------------------------------------


def loose(part):
    """The same bytes for a lax decoder: the last character's spare bits set; None where there are none."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = {0: 0, 2: 4, 3: 2}[len(part) % 4]
    return part[:-1] + alphabet[alphabet.index(part[-1]) | 1] if spare else None


def of_length(rest):
    """A good token whose parts have spare bits."""
    for pad in range(9):
        t = hs({**HEAD, "kid": "k" * pad}, claims(x="p" * pad))
        if all(len(p) % 4 for p in t.split(".")):
            return t
    raise AssertionError(rest)


FORMS = {
    "one part": lambda h, b, s: h, "two parts": lambda h, b, s: f"{h}.{b}", "four parts": lambda h, b, s: f"{h}.{b}.{s}.{s}",
    "five parts": lambda h, b, s: f"{h}.{b}.{s}.{h}.{b}", "dot behind": lambda h, b, s: f"{h}.{b}.{s}.", "dot before": lambda h, b, s: f".{h}.{b}.{s}",
    "two dots": lambda h, b, s: f"{h}..{b}.{s}", "only dots": lambda h, b, s: "..", "three dots": lambda h, b, s: "...", "no header": lambda h, b, s: f".{b}.{s}",
    "no payload": lambda h, b, s: f"{h}..{s}", "no signature": lambda h, b, s: f"{h}.{b}.", "nothing signed": lambda h, b, s: resign(h, ""),
    "empty header signed": lambda h, b, s: resign("", b),
    "loose header": lambda h, b, s: resign(loose(h), b), "loose payload": lambda h, b, s: resign(h, loose(b)), "loose signature": lambda h, b, s: f"{h}.{b}.{loose(s)}",
    "padded header": lambda h, b, s: resign(h + "=" * (-len(h) % 4), b), "padded payload": lambda h, b, s: resign(h, b + "=" * (-len(b) % 4)),
    "padded signature": lambda h, b, s: f"{h}.{b}.{s}=", "padding alone": lambda h, b, s: f"{h}.{b}.====", "one more character": lambda h, b, s: f"{h}.{b}.{s}A",
    "one character less": lambda h, b, s: f"{h}.{b}.{s[:-1]}", "half a signature": lambda h, b, s: f"{h}.{b}.{s[:22]}",
    "two signatures": lambda h, b, s: f"{h}.{b}.{s}{s}", "plain alphabet": lambda h, b, s: resign(h, "++//" + b), "signature upper": lambda h, b, s: f"{h}.{b}.{s.upper()}",
    "star": lambda h, b, s: f"{h}.{b}.{s[:-1]}*", "percent": lambda h, b, s: f"{h}.{b}.{s[:-1]}%41", "quoted": lambda h, b, s: f'"{h}.{b}.{s}"',
    "angle": lambda h, b, s: f"<{h}.{b}.{s}>", "JSON form": lambda h, b, s: json.dumps({"protected": h, "payload": b, "signature": s}, separators=("|", ":")),
    "bearer in front": lambda h, b, s: f"bearer.{h}.{b}.{s}", "colons": lambda h, b, s: f"{h}:{b}:{s}", "UTF-8": lambda h, b, s: f"é{h}.{b}.{s}",
    "swapped": lambda h, b, s: f"{b}.{h}.{s}", "header twice": lambda h, b, s: resign(h, h), "not base64": lambda h, b, s: "!!!.???.###",
}


@pytest.mark.parametrize("name", FORMS)
def test_form(daemon, name):
    t = of_length(name)
    daemon.http("GET", DOOR, token=sent(t)).ok()
    detail = refused(daemon, FORMS[name](*t.split(".")))
    if name != "header twice":
        unsigned(detail)


@pytest.mark.parametrize("value", [
    "{t} x", "{t} {t}", "{t}, {t}", "{t},Bearer {t}", "{t}\t{t}", "{h} .{b}.{s}", "{h}. {b}.{s}", "{h}.{b}. {s}", "{h}.{b}\t.{s}",
])
def test_white_space_in_a_token(daemon, value):
    """RFC 6750 2.1: one b64token; anything behind it is a malformed request."""
    h, b, s = sent(make("ada")).split(".")
    r = daemon.http("GET", DOOR, {"Authorization": "Bearer " + value.format(t=f"{h}.{b}.{s}", h=h, b=b, s=s)})
    r.problem(400, "invalid_request")
    no_trace(r.text() + str(r.headers), f"{h}.{b}.{s}")


@pytest.mark.parametrize("value, code", [("Bearer", 400), ("Bearer ", 400), ("bearer\t", None), ("Bearer\t{t}", None), ("Bearer={t}", None), ("Bearer:{t}", None),
                                         ("Basic {t}", 401), ("DPoP {t}", 401), ("Token {t}", 401), ("JWT {t}", 401), ("{t}", 401), ("", 401)])
def test_scheme(daemon, value, code):
    t = sent(make("ada"))
    r = daemon.http("GET", DOOR, {"Authorization": value.format(t=t)})
    assert r.status in ((400, 401) if code is None else (code,)), r
    r.problem(r.status, "unauthorized" if r.status == 401 else "invalid_request")
    if r.status == 401:
        assert r.header("WWW-Authenticate") == 'Bearer realm="belfry"', r
    no_trace(r.text() + str(r.headers), t)


@pytest.mark.parametrize("byte", [0x00, 0x01, 0x0A, 0x0D, 0x7F])
def test_control_byte_in_the_header(daemon, byte):
    t = sent(make("ada")).encode()
    with daemon.conn() as c:
        c.send(b"GET " + DOOR.encode() + b" HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + t[:20] + bytes([byte]) + t[20:] + b"\r\n\r\n")
        r = c.response()
        r.problem(400)
        no_trace(r.text(), t)
        c.closed()


@pytest.mark.parametrize("escape", ["%00", "%0A", "%0D%0A", "%20", "%3D", "%FF", "%C3%A9", "+", "%2E"])
@pytest.mark.parametrize("where", ["front", "middle", "end"])
def test_escapes_in_the_query(daemon, escape, where):
    t = sent(make("ada"))
    at = {"front": 0, "middle": 30, "end": len(t)}[where]
    r = daemon.http("GET", f"{DOOR}&access_token={t[:at]}{escape}{t[at:]}")
    assert r.status in (400, 401), r
    r.problem(r.status, "invalid_request" if r.status == 400 else "invalid_token")
    no_trace(r.text() + str(r.headers), t)


@pytest.mark.parametrize("size, status", [(8193, 401), (12000, 401), (15000, 401), (20000, 431)])
def test_oversized(daemon, size, status):
    t = make("ada", pad="x" * (size * 3 // 4))
    r = daemon.http("GET", DOOR, token=sent(t))
    assert r.status == status or size == 15000 and r.status == 431, r
    r.problem(r.status)
    no_trace(r.text() + str(r.headers), t)


# -- the claims ------------------------------------------------------------------------------------------------------------

BAD_TIMES = ['"4000000000"', "4000000000.0", "4000000000.5", "4e9", "4.0e9", "4000000000e0", "1e300", "1e999", "99999999999999999999", "18446744077709551616",
             "18446744073709551617", "9223372036854775808", "-9223372036854775809", "true", "false", "[]", "[4000000000]", "{}", '""', '"soon"', "NaN", "Infinity",
             "-Infinity", "04000000000", "+4000000000", "0xee6b2800", "4_000_000_000", "4000000000 ", None]


@pytest.mark.parametrize("claim", ["exp", "nbf"])
@pytest.mark.parametrize("value", [v for v in BAD_TIMES if v and v.strip() == v])
def test_times(daemon, claim, value):
    other = "" if claim == "exp" else ',"exp":4000000000'
    t = hs(HEAD, f'{{"sub":"ada","{claim}":{value}{other}}}'.encode())
    refused(daemon, t)


@pytest.mark.parametrize("payload", ['{"sub":"ada","exp":null}', '{"sub":"ada"}', '{"sub":"ada","EXP":4000000000}', '{"sub":"ada","Exp":4000000000}',
                                     '{"sub":"ada","exp ":4000000000}', '{"sub":"ada","x":{"exp":4000000000}}', '{"sub":"ada","exp":-1}', '{"sub":"ada","exp":-0}',
                                     '{"sub":"ada","exp":0}', '{"sub":"ada","exp":1}', '{"sub":"ada","exp":-4000000000}',
                                     '{"sub":"ada","exp":1700000000,"nbf":0}'])
def test_exp_gone_or_missing(daemon, payload):
    refused(daemon, hs(HEAD, payload.encode()), words=["exp"])


@pytest.mark.parametrize("ahead, good", [(-3600, True), (0, True), (20, True), (40, False), (86400, False), (10 ** 10, False), (10 ** 18, False)])
def test_nbf(daemon, ahead, good):
    t = sent(hs(HEAD, claims(nbf=int(time.time()) + ahead)))
    if good:
        daemon.http("GET", DOOR, token=t).ok()
    else:
        refused(daemon, t, words=["nbf"])


@pytest.mark.parametrize("sub", ['""', '"' + "x" * 129 + '"', '"' + "é" * 65 + '"', '"a\\nb"', '"a\\rb"', '"\\u0000"', '"a\\u0000b"', '"\\u001f"', '"\\u007f"', '"\\u0085"',
                                 '"\\u009f"', '"\\ud800"', '"\\udc00x"', '"\\ud800\\ud800"', "5", "0", "true", "null", "[]", '["ada"]', "{}", '{"id":"ada"}', "5.5",
                                 '"guest:x"', '"guest:"', '"local:root"', '"local:"', '"a\tb"'], ids=lambda s: s[:20])
def test_sub(daemon, sub):
    refused(daemon, hs(HEAD, f'{{"sub":{sub},"exp":{LATER}}}'.encode()))


@pytest.mark.parametrize("payload", [
    b"", b" ", b"[]", b"[{}]", b"5", b"null", b'"x"', b"{", b"}", b"{}", b'{"exp":4000000000}', b'{"sub":"ada","exp":4000000000', b'{"sub":"ada","exp":4000000000}}',
    b'{"sub":"ada","exp":4000000000} x', b'{"sub":"ada","exp":4000000000}\x00', b"{'sub':'ada','exp':4000000000}", b'{"sub":"ada","exp":4000000000,}',
    b'{"sub":"ada",/**/"exp":4000000000}', b'{"sub":"ada","exp":4000000000}//', b'{sub:"ada","exp":4000000000}', b'\xef\xbb\xbf{"sub":"ada","exp":4000000000}',
    '{"sub":"ada","exp":4000000000}'.encode("utf-16"), '{"sub":"ada","exp":4000000000}'.encode("utf-32-le"),
    b'{"sub":"a\xff","exp":4000000000}', b'{"sub":"a\xc3","exp":4000000000}', b'{"sub":"a\xc0\x80","exp":4000000000}', b'{"sub":"a\xed\xa0\x80","exp":4000000000}',
    b'{"sub":"a\xf4\x90\x80\x80","exp":4000000000}', b'{"sub":"ada","exp":4000000000,"x":"\x80"}', b'{"sub":"ada","exp":4000000000,"\xff":1}',
    b'{"sub":"ada","exp":4000000000,"x":"\\u0000"}', b'{"sub":"ada","exp":4000000000,"x\\u0000":1}', b'{"sub\\u0000":"ada","exp":4000000000}',
    b'{"sub":"ada","exp":4000000000,"x":"\x01"}', b'{"sub":"ada","exp":4000000000,"x":"a\nb"}', b'{"sub":"ada","exp":4000000000,"x":"\\x41"}',
    b'{"sub":"ada","exp":4000000000,"x":' + b"[" * 17 + b"]" * 17 + b"}", b'{"sub":"ada","exp":4000000000,"x":' + b"[" * 2000 + b"]" * 2000 + b"}",
    b'{"sub":"ada","exp":4000000000,"x":' + b'{"a":' * 500 + b"1" + b"}" * 500 + b"}", b'{"sub":"ada","exp":4000000000,"x":' + b"[" * 2000,
    b'{"sub":"ada","sub":"ada","exp":4000000000}', b'{"sub":"eve","sub":"ada","exp":4000000000}', b'{"sub":"ada","exp":1,"exp":4000000000}',
    b'{"sub":"ada","exp":4000000000,"exp":1}', b'{"sub":"eve","\\u0073ub":"ada","exp":4000000000}', b'{"sub":"ada","exp":4000000000,"belfry":{},"belfry":{"role":"admin"}}',
    b'{"sub":"ada","exp":4000000000,"belfry":{"role":"user","role":"admin"}}', b'{"sub":"ada","exp":4000000000,"x":1,"x":2}',
    b'{"sub":"ada","exp":4000000000,"nbf":9999999999,"nbf":1}',
    b'{"sub":"ada","exp":4000000000,"iat":"now"}', b'{"sub":"ada","exp":4000000000,"iat":[]}', b'{"sub":"ada","exp":4000000000,"name":5}',
    b'{"sub":"ada","exp":4000000000,"name":"a\\nb"}', b'{"sub":"ada","exp":4000000000,"name":"a\\u0085b"}', b'{"sub":"ada","exp":4000000000,"name":["x"]}',
    b'{"sub":"ada","exp":4000000000,"jti":5}',
], ids=lambda p: p.decode("latin-1")[:60].replace("\x00", "0"))
def test_payload(daemon, payload):
    refused(daemon, hs(HEAD, payload))


@pytest.mark.parametrize("belfry", [5, "x", [], True, None, {"subscribe": "chat/*"}, {"subscribe": {"chat/*": 1}}, {"subscribe": [5]}, {"subscribe": [["**"]]},
                                    {"subscribe": [None]}, {"subscribe": None}, {"subscribe": ["chat/*", 5]}, {"subscribe": [""]}, {"subscribe": ["a//b"]},
                                    {"subscribe": ["a/**/b"]}, {"subscribe": ["chat/*\n"]}, {"subscribe": ["x" * 300]}, {"role": "root"}, {"role": "Admin"},
                                    {"role": ["admin"]}, {"role": 1}, {"role": None}, {}, {"Subscribe": ["**"]}, {"SUBSCRIBE": ["**"]}, {"publish": ["**"]}], ids=repr)
def test_permissions(daemon, belfry):
    """A malformed claim is refused or grants nothing: never the defaults, never more."""
    t = sent(hs(HEAD, claims(belfry=belfry)))
    r = daemon.http("GET", DOOR, token=t)
    r.problem(r.status, {401: "invalid_token", 403: "insufficient_scope"}[r.status])
    no_trace(r.text() + str(r.headers), t)


@pytest.mark.parametrize("belfry, ask", [({"subscribe": ["**"]}, "user/bob"), ({"subscribe": ["*/*"]}, "user/bob"), ({"subscribe": ["*/bob"]}, "user/bob"),
                                         ({"subscribe": ["chat/{sub}"]}, "chat/x"), ({"subscribe": ["{sub}"]}, "chat/x"), ({"subscribe": ["chat/x"]}, "chat/*"),
                                         ({"subscribe": ["chat/*"]}, "chat/**"), ({"subscribe": ["chat/a", "chat/b"]}, "chat/*")], ids=repr)
@pytest.mark.parametrize("sub", ["*", "**", "a/b", "{sub}", "chat/x", "%2A"])
def test_permissions_are_no_more_than_they_say(daemon, belfry, ask, sub):
    t = sent(hs(HEAD, {"sub": sub, "exp": LATER, "belfry": belfry}))
    r = daemon.http("GET", "/events?wait=0&topic=" + urllib.parse.quote(ask), {"Accept": "text/event-stream"}, token=t)
    r.problem(403, "insufficient_scope")
    assert CHALLENGE.fullmatch(r.header("WWW-Authenticate"))[1] == "insufficient_scope"


# -- issuer and audience, RSA and EC, a name of its own ------------------------------------------------------------------------


def running(folder, conf, prepare=None, **how):
    d = Daemon(folder, conf, **how)
    if prepare:
        prepare(d.folder)
    try:
        yield d.start()
        d.stop()
    finally:
        d.kill()


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    yield from running(tmp_path_factory.mktemp("strict"), {"auth": {"issuer": ISSUER, "audience": AUDIENCE}})


@pytest.mark.parametrize("aud", [None, "", "belfr", "belfry ", "Belfry", "belfryx", "xbelfry", "other", 5, True, [], [[]], [["belfry"]], ["other"], ["belfry", 5],
                                 [5, "belfry"], {"belfry": 1}, ["belfry", None], "belfry,other", "belfry other", "*", ["*"], "belfry\n"], ids=repr)
def test_audience(strict, aud):
    strict.http("GET", DOOR, token=sent(hs(HEAD, claims(iss=ISSUER, aud=["x", AUDIENCE])))).ok()
    refused(strict, hs(HEAD, claims(iss=ISSUER, aud=aud)), words=["aud"])


@pytest.mark.parametrize("iss", [None, "", ISSUER + "/", ISSUER[:-1], ISSUER.upper(), "http://id.example.org", [ISSUER], {"a": ISSUER}, 5, True, ISSUER + "\n",
                                 ISSUER + " "], ids=repr)
def test_issuer(strict, iss):
    refused(strict, hs(HEAD, claims(iss=iss, aud=AUDIENCE)), words=["iss"])


def test_issuer_and_audience_missing(strict):
    refused(strict, hs(HEAD, claims(aud=AUDIENCE)), words=["iss"])
    refused(strict, hs(HEAD, claims(iss=ISSUER)), words=["aud"])
    unsigned(refused(strict, hs(HEAD, claims(iss="evil", aud="evil"), key=b"x" * 40), words=["signature"]))


@pytest.fixture(scope="module")
def rsa(tmp_path_factory, keys):
    def prepare(folder):
        (folder / "key.pem").write_bytes(keys.pem(keys.rsa))

    yield from running(tmp_path_factory.mktemp("rsa"), {"auth": {"algorithms": ["RS256"], "public_key_file": "key.pem", "secret_file": None}}, prepare, secret=None)


@pytest.fixture(scope="module")
def both(tmp_path_factory, keys):
    def prepare(folder):
        (folder / "key.pem").write_bytes(keys.pem(keys.ec256))

    yield from running(tmp_path_factory.mktemp("both"), {"auth": {"algorithms": ["HS256", "ES256"], "public_key_file": "key.pem"}}, prepare)


def public_forms(key, pem):
    """What a careless server may take for an HMAC secret."""
    from cryptography.hazmat.primitives import serialization

    text = pem.decode()
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    body = "".join(text.split("\n")[1:-2])
    return {"PEM": pem, "PEM without its end": pem.rstrip(), "PEM with CRLF": text.replace("\n", "\r\n").encode(), "one line more": pem + b"\n", "DER": der,
            "base64": body.encode(), "lines": "\n".join(text.split("\n")[1:-2]).encode(), "NUL behind": pem + b"\0", "empty": b""}


FORM_NAMES = ["PEM", "PEM without its end", "PEM with CRLF", "one line more", "DER", "base64", "lines", "NUL behind", "empty"]


@pytest.mark.parametrize("alg", ["HS256", "HS384", "HS512", "RS256"])
@pytest.mark.parametrize("form", FORM_NAMES)
def test_key_confusion_rsa(rsa, keys, form, alg):
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512, "RS256": hashlib.sha256}[alg]
    unsigned(refused(rsa, hs({"alg": alg, "typ": "JWT"}, claims(), key=public_forms(keys.rsa, keys.pem(keys.rsa))[form], digest=digest)))


@pytest.mark.parametrize("form", FORM_NAMES)
def test_key_confusion_ec(both, keys, form):
    """With a secret configured as well the algorithm is bound to the key of its own kind."""
    key = public_forms(keys.ec256, keys.pem(keys.ec256))[form]
    unsigned(refused(both, hs(HEAD, claims(), key=key)))
    unsigned(refused(both, hs({"alg": "ES256"}, claims(), key=key)))
    unsigned(refused(both, hs({"alg": "ES256"}, claims(), key=SECRET)))


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256", "ES256"])
def test_rsa_not_configured(rsa, keys, alg):
    rsa.http("GET", DOOR, token=sent(raw(claims(), key=keys.rsa, alg="RS256"))).ok()
    t = raw(claims(), key=keys.rsa if alg != "ES256" else keys.ec256, alg=alg)
    unsigned(refused(rsa, t))


@pytest.mark.parametrize("how", ["zero", "short", "long", "empty", "one", "swapped alg", "foreign", "modulus"])
def test_rsa_signatures(rsa, keys, how):
    h, b, s = raw(claims(), key=keys.rsa, alg="RS256").split(".")
    good = tokens.unb64(s)
    n = keys.rsa.public_key().public_numbers().n
    if how == "foreign":
        from cryptography.hazmat.primitives.asymmetric import rsa as generator

        t = raw(claims(), key=generator.generate_private_key(public_exponent=65537, key_size=2048), alg="RS256")
    elif how == "swapped alg":
        t = f"{b64(json.dumps({'alg': 'RS256', 'x': 1}).encode())}.{b}.{s}"
    else:
        sig = {"zero": bytes(256), "short": good[:-1], "long": good + b"\0", "empty": b"", "one": b"\x01", "modulus": n.to_bytes(256, "big")}[how]
        t = f"{h}.{b}.{b64(sig)}"
    unsigned(refused(rsa, t))


P256_N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@pytest.mark.parametrize("how", ["zero", "r zero", "s zero", "r n", "s n", "one one", "max", "DER", "short", "long", "33 bytes", "swapped", "doubled", "96 bytes"])
def test_ec_signatures(both, keys, how):
    """Zero signatures, values out of range, and forms other than two fixed-width integers."""
    h, b, s = raw(claims(), key=keys.ec256, alg="ES256").split(".")
    both.http("GET", DOOR, token=sent(f"{h}.{b}.{s}")).ok()
    good = tokens.unb64(s)
    r, q = good[:32], good[32:]
    n = P256_N.to_bytes(32, "big")
    one = (1).to_bytes(32, "big")

    def der():
        from cryptography.hazmat.primitives.asymmetric import utils

        return utils.encode_dss_signature(int.from_bytes(r, "big"), int.from_bytes(q, "big"))

    sig = {"zero": bytes(64), "r zero": bytes(32) + q, "s zero": r + bytes(32), "r n": n + q, "s n": r + n, "one one": one + one, "max": b"\xff" * 64,
           "short": good[:-1], "long": good + b"\0", "33 bytes": b"\0" + r + b"\0" + q, "swapped": q + r, "doubled": good + good,
           "96 bytes": bytes(16) + r + bytes(16) + q}.get(how) or der()
    unsigned(refused(both, f"{h}.{b}.{b64(sig)}"))


def test_ec_other_curve(both, keys):
    unsigned(refused(both, raw(claims(), key=keys.ec384, alg="ES384")))
    unsigned(refused(both, raw(claims(), key=keys.ec384, alg="ES384", header={"alg": "ES256"})))


def test_explain_off(start):
    """Every reason looks the same from outside; the log has it."""
    d = start({"auth": {"explain": False}})
    texts = set()
    for t in (make("ada", ttl=-5000), make("ada", key=b"x" * 40), "a.b.c", hs({"alg": "none"}, claims()), hs(HEAD, claims(sub=5)), "x" * 9000):
        texts.add(refused(d, t))
    assert len(texts) == 1, texts
    d.wait_log(r"exp was \d+ s ago")


# -- guests ----------------------------------------------------------------------------------------------------------------


def test_guest_key_is_for_guests(daemon):
    r = daemon.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"Eve"}').ok().json()
    h, b, s = sent(r["token"]).split(".")
    daemon.http("GET", "/token", token=r["token"]).ok()
    body = json.loads(tokens.unb64(b))
    for change in ({"sub": "ada"}, {"exp": LATER}, {"belfry": {"role": "admin"}}, {"sub": "guest:other"}):
        forged = json.dumps({**body, **change}).encode()
        refused(daemon, f"{h}.{b64(forged)}.{s}", silent=False)
        refused(daemon, hs(HEAD, forged, key=b""), silent=False)
        refused(daemon, hs({"alg": "none"}, forged), silent=False)
        if change.get("sub") != "ada":
            refused(daemon, hs(HEAD, forged), words=["guest"], silent=False)


# -- two tokens ---------------------------------------------------------------------------------------------------------------

PLACES = ["header", "protocol", "query"]


def with_tokens(d, path, by_place, upgrade, cookie=None):
    """The answer to a request with a token at each of the places."""
    headers = []
    query = path
    for place, t in by_place:
        sent(t)
        if place == "header":
            headers.append(("Authorization", f"Bearer {t}"))
        elif place == "query":
            query += ("&" if "?" in query else "?") + "access_token=" + t
    protocols = [f"bearer.{t}" for place, t in by_place if place == "protocol"]
    if cookie is not None:
        sent(cookie)
        headers += [("Cookie", f"belfry={cookie}"), ("Origin", f"http://{d.host}")]
    if upgrade:
        r, ws = rawclient.WebSocket.open(d.address, query, headers, ["belfry.v1", *protocols])
        if ws is not None:
            ws.drop()
        return r
    return d.http("GET", query, headers)


def two(r, *used):
    r.problem(400, "invalid_request")
    challenge = r.header("WWW-Authenticate")
    assert challenge is None or CHALLENGE.fullmatch(challenge)[1] == "invalid_request", r
    for t in used:
        no_trace(r.text() + str(r.headers), t)


@pytest.mark.parametrize("places", [c for n in (2, 3) for c in itertools.combinations_with_replacement(PLACES, n)], ids="+".join)
@pytest.mark.parametrize("which", ["same", "two users", "good and bad", "bad and good", "both bad"])
def test_two_tokens(daemon, places, which):
    good, other, bad = make("ada"), make("bob"), make("ada", key=b"z" * 40)
    use = {"same": [good] * 3, "two users": [good, other, other], "good and bad": [good, bad, bad], "bad and good": [bad, good, good], "both bad": [bad] * 3}[which]
    two(with_tokens(daemon, "/chat", list(zip(places, use)), True), *use)
    if "protocol" not in places:
        two(with_tokens(daemon, DOOR, list(zip(places, use)), False), *use)


@pytest.mark.parametrize("query", ["access_token={a}&access_token={b}", "access_token={a}&access%5Ftoken={b}", "access%5Ftoken={a}&access_token={b}",
                                   "access_token=&access_token={b}", "access_token={a}&access_token=", "access_token&access_token={b}"])
def test_access_token_twice(daemon, query):
    a, b = sent(make("ada")), sent(make("bob"))
    two(daemon.http("GET", DOOR + "&" + query.format(a=a, b=b)), a, b)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("cookie", ["good", "bad", "rubbish"])
def test_cookie_beside_a_token_is_ignored(daemon, place, cookie):
    value = {"good": make("bob"), "bad": make("bob", key=b"z" * 40), "rubbish": "x"}[cookie]
    r = with_tokens(daemon, "/chat", [(place, make("ada"))], True, cookie=value)
    assert r.status == 101, r
    r = with_tokens(daemon, "/chat", [(place, make("ada", key=b"q" * 40))], True, cookie=value)
    r.problem(401, "invalid_token")


def test_body_parameter_is_no_token(daemon):
    """RFC 6750 2.2's form parameter is not offered."""
    t = sent(make("ada", everything=True))
    r = daemon.http("POST", "/publish/h/body", {"Content-Type": "application/x-www-form-urlencoded"}, f"message=x&access_token={t}")
    r.problem(401, "unauthorized")
    no_trace(r.text() + str(r.headers), t)


def test_another_scheme_beside_a_token(daemon):
    t = sent(make("ada"))
    assert daemon.http("GET", f"/token?access_token={t}", {"Authorization": "Basic YTpi"}).ok().json()["user"]["id"] == "ada"
    r = daemon.http("GET", DOOR, [("Authorization", "Basic YTpi"), ("Authorization", f"Bearer {t}")])
    r.problem(400, "invalid_request")


@pytest.mark.parametrize("name", ["Access_Token", "ACCESS_TOKEN", "access-token", "accesstoken", "token", "bearer", "access_token[]", "jwt"])
def test_other_parameters_are_no_token(daemon, name):
    t = sent(make("ada"))
    r = daemon.http("GET", f"{DOOR}&{name}={t}")
    r.problem(401, "unauthorized")
    no_trace(r.text() + str(r.headers), t)


@pytest.mark.parametrize("header", ["Proxy-Authorization", "X-Authorization", "X-Access-Token", "X-Forwarded-Authorization", "Sec-WebSocket-Protocol"])
def test_other_headers_are_no_token(daemon, header):
    t = sent(make("ada"))
    value = f"belfry.v1, bearer.{t}" if header.startswith("Sec") else f"Bearer {t}"
    r = daemon.http("GET", DOOR, {header: value})
    r.problem(401, "unauthorized")
    no_trace(r.text() + str(r.headers), t)


# -- cookies ------------------------------------------------------------------------------------------------------------------

FOREIGN = ["null", "https://evil.example.org", "http://{host}.evil.example.org", "http://evil.{host}", "http://localhost.evil.example.org", "http://127.0.0.1",
           "http://127.0.0.1:1", "http://user@{host}", "http://{host}/", "http://{host}/x", "//{host}", "{host}", "http:{host}", "", " ", "http://", "https://app.example.org:8443",
           "https://app.example.org.evil.example.org", "https://xapp.example.org", "http://app.example.org", "https://app.example.org@evil.example.org", "file://",
           "http://{host},http://{host}", "http://{host} http://{host}", "NULL"]
DOORS = {
    "publish": lambda d, h: d.http("POST", "/publish/h/cookie", h, "x"),
    "publish path": lambda d, h: d.http("POST", "/publish", {**h, "Content-Type": "application/json"}, '{"topic":"h/cookie","message":"x"}'),
    "chat": lambda d, h: rawclient.WebSocket.open(d.address, "/chat", list(h.items()))[0],
    "events": lambda d, h: rawclient.open_stream(d.address, "/events?topic=h/cookie", h)[0],
    "chat stream": lambda d, h: rawclient.open_stream(d.address, "/chat?room=h", h)[0],
    "session": lambda d, h: d.http("POST", "/chat/abc", {**h, "Content-Type": "application/json"}, '{"type":"ping"}'),
}


@pytest.mark.parametrize("origin", FOREIGN)
@pytest.mark.parametrize("door", DOORS)
def test_cookie_with_a_foreign_origin(daemon, door, origin):
    t = sent(make("ada", everything=True))
    r = DOORS[door](daemon, {"Cookie": f"belfry={t}", "Origin": origin.format(host=daemon.host)})
    r.problem(403, "forbidden")
    assert r.header("Access-Control-Allow-Origin") is None, r
    no_trace(r.text() + str(r.headers), t)


@pytest.mark.parametrize("door", DOORS)
def test_cookie_without_origin(daemon, door):
    t = sent(make("ada", everything=True))
    r = DOORS[door](daemon, {"Cookie": f"belfry={t}"})
    r.problem(403, "forbidden")
    r = DOORS[door](daemon, {"Cookie": f"belfry={t}", "Referer": f"http://{daemon.host}/"})
    r.problem(403, "forbidden")
    r = DOORS[door](daemon, {"Cookie": f"belfry={t}", "Origin": f"http://{daemon.host}"})
    assert r.status in (200, 101) or door == "session" and r.status == 404, r


@pytest.mark.parametrize("door", DOORS)
def test_two_origins(daemon, door):
    t = sent(make("ada", everything=True))
    with daemon.conn() as c:
        pairs = [("Cookie", f"belfry={t}"), ("Origin", f"http://{daemon.host}"), ("Origin", "https://evil.example.org")]
        path = {"publish": "/publish/h/cookie", "session": "/chat/abc", "publish path": "/publish"}.get(door)
        r = c.request("POST", path, pairs, "x") if path else c.request("GET", "/events?topic=h/cookie", [*pairs, ("Accept", "text/event-stream")])
        assert r.status in (400, 403), r
        r.problem(r.status)


@pytest.mark.parametrize("cookie", ["Belfry={t}", "BELFRY={t}", "xbelfry={t}", "belfryx={t}", "belfry.x={t}", "x=belfry={t}", "x=1,belfry={t}", '"belfry"={t}',
                                    "belfry {t}", "belfry:{t}", "__Host-belfry={t}"])
def test_other_cookies_are_no_token(daemon, cookie):
    t = sent(make("ada"))
    daemon.http("GET", DOOR, {"Cookie": cookie.format(t=t)}).problem(401, "unauthorized")


def test_cookie_reads_without_an_origin(daemon):
    """What changes nothing needs none."""
    t = sent(make("ada"))
    daemon.http("GET", DOOR, {"Cookie": f"belfry={t}"}).ok()
    r = daemon.http("GET", DOOR, {"Cookie": f"belfry={t}", "Origin": "https://evil.example.org"})
    assert r.header("Access-Control-Allow-Origin") is None, "the page elsewhere must not read it"


# -- names that are not ours ------------------------------------------------------------------------------------------------------

REBOUND = ["evil.example.org", "evil.example.org:{port}", "127.0.0.1.evil.example.org", "127.0.0.1.nip.io:{port}", "localhost.evil.example.org", "evil-localhost",
           "localhost.localdomain", "local", "10.0.0.1", "192.168.1.1:{port}", "0.0.0.0", "0.0.0.0:{port}", "[::]", "[::ffff:10.0.0.1]", "[fe80::1]", "0x7f000001",
           "2130706433", "0177.0.0.1", "127.1", "127.0.0.1.", "128.0.0.1", "126.255.255.255", "169.254.169.254"]


@pytest.mark.parametrize("host", REBOUND)
def test_rebound_name(daemon, host):
    """A page under a name of its own that now points here is same-origin to itself; Host tells."""
    host = host.format(port=daemon.port)
    t = sent(make("ada", everything=True))
    for auth in ({"Authorization": f"Bearer {t}"}, {"Cookie": f"belfry={t}"}, {}):
        for method, path, body in (("GET", "/token", None), ("POST", "/publish/h/rebound", "x"), ("GET", "/events?topic=h/rebound", None), ("GET", "/", None),
                                   ("GET", "/healthz", None), ("POST", "/token", '{"name":"Eve"}'), ("GET", "/metrics", None)):
            headers = {**auth, "Host": host, "Origin": f"http://{host}"}
            r = daemon.http(method, path, headers, body)
            r.problem(421, "misdirected")
            no_trace(r.text() + str(r.headers), t)
    with daemon.conn() as c:
        c.send(f"GET http://{host}/token HTTP/1.1\r\nHost: {daemon.host}\r\nAuthorization: Bearer {t}\r\n\r\n")
        assert c.response().status in (400, 421)
    r, ws = rawclient.WebSocket.open(daemon.address, "/echo", [("Host", host), ("Origin", f"http://{host}")])
    assert ws is None and r.status == 421, r


# -- SSE: nothing can be injected ------------------------------------------------------------------------------------------------

ENDS = {"LF": "\n", "CR": "\r", "CRLF": "\r\n", "two LF": "\n\n", "CRCR": "\r\r", "LFCR": "\n\r"}
FAKES = ["id: 99", "event: closing", "data: fake", "retry: 1", ": comment", "data", "id"]


def split_lines(text):
    """As an EventSource joins them again."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("fake", FAKES)
def test_sse_data(daemon, topic, end, fake):
    """Line breaks in data become data lines, never fields or blocks; in JSON they are escaped."""
    with daemon.sse(topic=topic) as s:
        text = f"a{ENDS[end]}{fake}{ENDS[end]}b"
        number = daemon.publish(topic, data=text)["id"]
        ev = s.next()
        assert (ev.name, ev.id, ev.data) == ("message", str(number), split_lines(text)), ev
        number = daemon.publish(topic, message=text, data={text: text})["id"]
        ev = s.next()
        doc = ev.json()
        assert (ev.name, ev.id, doc["message"], doc["data"]) == ("notification", str(number), text, {text: text}), ev
        number = daemon.publish(topic, f"x{text}")["id"]
        ev = s.next()
        assert (ev.id, ev.json()["message"]) == (str(number), f"x{text}"), ev


@pytest.mark.parametrize("text", ["", "\n", "\r", "\r\n", "\n\n\n", "x\n", "\nx", " x", "  x", ":x", "\ufeffx", "\u0085x", "\u2028x\u2029", "\x0bx\x0c", "\t", "é\u0301", "\U0001f514",
                                  "x" * 60000, "\x7f\x01\x1b[2J"], ids=lambda t: repr(t)[:20])
def test_sse_data_arrives_as_it_is(daemon, topic, text):
    with daemon.sse(topic=topic) as s:
        with daemon.conn() as c:
            r = c.request("POST", f"/publish/{topic}", [("Content-Type", "application/json"), *daemon.bearer().items()], json.dumps({"data": text}))
        if r.status != 200:
            r.problem(400)
            return
        ev = s.next()
        assert ev.data == split_lines(text), ev


@pytest.mark.parametrize("body, kind", [(b'{"data":"a\\u0000b"}', "application/json"), (b"a\0b", "text/plain"), (b'{"message":"a\\u0000b"}', "application/json"),
                                        (b'{"data":{"a\\u0000":1}}', "application/json")])
def test_sse_nul(daemon, topic, body, kind):
    """A NUL arrives whole or is refused; it cuts nothing short."""
    with daemon.sse(topic=topic) as s:
        r = daemon.http("POST", f"/publish/{topic}", {"Content-Type": kind}, body, token=daemon.token())
        if r.status != 200:
            r.problem(400)
            return
        assert "b" in s.next().data or "\\u0000" in s.blocks[-1].data


@pytest.mark.parametrize("event", [f"x{e}{f}" for e in ("\n", "\r", "\r\n", "\0") for f in ("data: y", "id: 1", "")] + ["\nx", "\x1fx", "x\x7f", "x\u0085"])
def test_sse_event_name(daemon, topic, event):
    r = daemon.http("POST", f"/publish/{topic}", {"Content-Type": "application/json"}, json.dumps({"data": 1, "event": event}), token=daemon.token())
    r.problem(400)
    r = daemon.http("POST", f"/publish/{topic}?event=" + urllib.parse.quote(event), {}, "x", token=daemon.token())
    r.problem(400)


@pytest.mark.parametrize("bad", ["a%0Ab", "a%0Db", "a%0D%0Ab", "a%00b", "a%0A%0Adata:x", "a%1Fb", "a%7Fb", "a%C2%85b", "a%FFb", "a%C0%8Ab"])
def test_sse_topic(daemon, bad):
    """Neither a stream's topics nor a published one's."""
    daemon.sse("/events?topic=" + bad, refuse=True).problem(400)
    daemon.sse("/chat?room=" + bad, refuse=True).problem(400)
    daemon.http("POST", "/publish/h/" + bad, {}, "x", token=daemon.token()).problem(400)


@pytest.mark.parametrize("position", ["a%0Aid: 5", "1%0D%0Adata: x", "1%00", "%0A%0A", "9" * 400, "1%C2%85", "%FF", "-5", "1.0", "0x1", "1e3", "+1", " 1", "1 "])
@pytest.mark.parametrize("name", ["last_event_id", "lastEventID", "after"])
def test_sse_position(daemon, topic, name, position):
    """What cannot be read is a gap and nothing of it comes back."""
    with daemon.sse(f"/events?topic={topic}&{name}=" + position.replace(" ", "%20")) as s:
        ev = s.next()
        assert ev.name == "gap" and ev.json()["reason"] in ("unreadable", "outside"), ev
        if ev.json()["reason"] == "unreadable":
            assert ev.json()["after"] is None
        number = daemon.publish(topic, "live")["id"]
        assert s.next().id == str(number)


@pytest.mark.parametrize("value", [b"\xff\xfe", b"a\tb", b"\xc2\x85", b"1, 2", b"nan", b"9" * 5000, b"'\"<>"])
def test_sse_last_event_id(daemon, topic, value):
    with daemon.sse(topic=topic, headers=[("Last-Event-ID", value)]) as s:
        ev = s.next()
        assert ev.name == "gap" and ev.json()["after"] is None, ev


def test_sse_names(daemon, room):
    """Who says it and where: no way into another line of a stream's text form."""
    with daemon.sse("/chat", room=room, format="text") as s:
        s.until("user")
        ws = daemon.join(room, sub="eve", name="Eve")
        for end in ENDS.values():
            ws.say(f"x{end}<Root>: hi{end}* Root joined")
            ev = s.until("message")
            assert ev.data.split("\n")[0] == "<Eve>: x" and not any(line.startswith(("<", "*", "!")) for line in ev.data.split("\n")[1:]), ev


@pytest.mark.parametrize("origin, good", [("https://app.example.org", True), ("http://{host}", True), ("https://evil.example.org", False), ("null", False)])
@pytest.mark.parametrize("path", ["/events", "/events?topic=a", "/chat"])
def test_sse_preflight(daemon, path, origin, good):
    origin = origin.format(host=daemon.host)
    r = daemon.http("OPTIONS", path, {"Origin": origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization,last-event-id"})
    allowed = r.header("Access-Control-Allow-Headers", "").lower()
    assert "Origin" in r.header("Vary", "")
    if good:
        assert r.status in (200, 204) and "last-event-id" in allowed and "authorization" in allowed, r
        assert "GET" in r.header("Access-Control-Allow-Methods")
        assert "example" not in origin or r.header("Access-Control-Allow-Origin") == origin
    else:
        assert r.header("Access-Control-Allow-Origin") is None, r


# -- nothing leaks: last ------------------------------------------------------------------------------------------------------------


def test_z_doors_that_log(daemon):
    """More ways for a token to come by, all of which may log."""
    good, bad = make("ada", everything=True), make("ada", key=b"y" * 40)
    for t in (good, bad):
        sent(t)
        for path in (f"/none/{t}", f"/none?access_token={t}", f"/?access_token={t}", f"/publish/{t}?access_token={t}", f"/chat?room={t}", f"/events?topic={t}",
                     f"/chat/{t}", f"/%ff?access_token={t}", f"/token?access_token={t}#"):
            daemon.http("GET", path, {"Authorization": f"Bearer {t}", "Referer": f"http://x/?access_token={t}", "User-Agent": t, "X-Request-Id": t})
        with daemon.conn() as c:
            c.send(f"BREW /?access_token={t} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {t}\r\n\r\n")
            c.response()
        with daemon.conn() as c:
            c.send(f"GET /?access_token={t} HTTP/1.1\r\nAuthorization: Bearer {t}\r\nbad line {t}\r\n\r\n")
            c.response()
        ws = daemon.ws(token=good)
        ws.ask("refresh", token=t)
        ws.send({"type": t})
        ws.drop()
        with daemon.conn() as c:
            c.send(build("POST", "/publish/a", {"Authorization": f"Bearer {t}", "Content-Length": "50"}, "abc"))
            c.reset()


def test_z_nothing_in_the_log(daemon):
    time.sleep(0.2)
    log, figures = daemon.log(), daemon.http("GET", "/metrics").text()
    assert len(SENT) > 100
    parts = {p for t in SENT for p in (t if isinstance(t, str) else t.decode("latin-1")).split(".") if len(p) >= 16}
    header = {b64(json.dumps(HEAD).encode())}
    for p in parts - header:
        assert p not in log and p not in figures, p
    assert SECRET.decode() not in log
    assert all(h not in log for h in header)
