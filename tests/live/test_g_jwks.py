"""Key sets (RFC 7517): kid chooses the key, and nothing else does; keys are swapped while people talk."""

import json
import signal

import pytest
from support.daemon import mark, run
from support.tokens import b64, make, raw

SECRET = b"secret-of-the-key-set-0123456789-abcdefg"
OCT = {"kty": "oct", "kid": "shared", "k": b64(SECRET)}
ALGORITHMS = ["HS256", "RS256", "RS512", "ES256", "ES384"]


def number(n, size=0):
    return b64(n.to_bytes(size or (n.bit_length() + 7) // 8, "big"))


def jwk(key, kid=None, **more):
    """The public half of a private key of cryptography."""
    public = key.public_key().public_numbers()
    if hasattr(public, "n"):
        out = {"kty": "RSA", "n": number(public.n), "e": number(public.e)}
    else:
        size = (public.curve.key_size + 7) // 8
        out = {"kty": "EC", "crv": f"P-{public.curve.key_size}", "x": number(public.x, size), "y": number(public.y, size)}
    return {**out, **({} if kid is None else {"kid": kid}), **more}


def put(folder, *keys):
    (folder / "keys.json").write_text(json.dumps({"keys": list(keys)}))


@pytest.fixture
def serve(start):
    """serve(keys…, auth): a daemon with that set and, unless auth says so, no other key."""

    def go(*keys, **auth):
        secret = auth.pop("secret", None)
        auth = {"algorithms": ALGORITHMS, "jwks_file": "keys.json", "secret_file": None, **auth}
        if secret is not None:
            auth["secret_file"] = "secret"
        return start({"auth": auth}, prepare=lambda folder: put(folder, *keys), secret=secret)

    return go


def signed(alg, key, kid=None, **how):
    head = {"alg": alg, "typ": "JWT"}
    if kid is not None:
        head["kid"] = kid
    how.setdefault("everything", True)
    return make(alg=alg, key=key, header=head, **how)


def taken(d, token):
    d.http("GET", "/history?topic=chat/x", token=token).ok()


def refused(d, token, word):
    doc = d.http("GET", "/history?topic=chat/x", token=token).problem(401, "invalid_token")
    assert word in doc["detail"], doc
    return doc["detail"]


def everything(keys):
    return (jwk(keys.rsa, "rsa"), jwk(keys.ec256, "p256", alg="ES256", use="sig"), jwk(keys.ec384, "p384", key_ops=["verify"]), OCT,
            jwk(keys.ec256, "p256", use="enc"))


def test_every_kind(serve, keys):
    d = serve(*everything(keys))
    for alg, key, kid in (("RS256", keys.rsa, "rsa"), ("RS512", keys.rsa, "rsa"), ("ES256", keys.ec256, "p256"), ("ES384", keys.ec384, "p384"),
                          ("HS256", SECRET, "shared")):
        taken(d, signed(alg, key, kid))
        taken(d, signed(alg, key, kid))
        refused(d, signed(alg, key), "kid is missing")
        refused(d, signed(alg, key, "nobody"), "no key of the id 'nobody' is known")
    ws = d.ws(token=signed("ES384", keys.ec384, "p384"))
    ws.ok("refresh", "refreshed", token=signed("RS256", keys.rsa, "rsa"))


def test_a_key_is_good_for_its_own(serve, keys):
    """No kid lends a key to another algorithm, and what is public is no secret."""
    d = serve(*everything(keys))
    pem = keys.pem(keys.rsa)
    public = [pem, pem.strip(), json.dumps(jwk(keys.rsa)).encode(), jwk(keys.rsa)["n"].encode(), keys.pem(keys.ec256), OCT["k"].encode(), b""]
    for kid in ("rsa", "p256", "p384"):
        for secret in public:
            refused(d, signed("HS256", secret, kid), "alg is none of the algorithms taken for the key")
        refused(d, signed("HS256", SECRET, kid), "alg")
    for secret in public:
        refused(d, signed("HS256", secret, "shared"), "signature")
        refused(d, signed("HS256", secret), "kid")
    refused(d, signed("RS256", keys.rsa, "p256"), "alg")
    refused(d, signed("ES256", keys.ec256, "rsa"), "alg")
    refused(d, signed("ES256", keys.ec256, "p384"), "alg")
    for alg in ("none", "None", ""):
        for kid in ("rsa", "shared", "nobody"):
            head = {"alg": alg, "typ": "JWT", "kid": kid}
            t = raw({"sub": "ada", "exp": 4000000000}, alg="XX256", header=head)
            assert d.http("GET", "/history?topic=chat/x", token=t).status in (400, 401)
            assert d.http("GET", "/history?topic=chat/x", token=t + b64(b"x" * 32)).status == 401


def test_the_same_kind_with_another_id(serve, keys):
    from cryptography.hazmat.primitives.asymmetric import ec

    other = ec.generate_private_key(ec.SECP256R1())
    d = serve(jwk(keys.ec256, "a"), jwk(other, "b"), algorithms=["ES256"])
    taken(d, signed("ES256", keys.ec256, "a"))
    taken(d, signed("ES256", other, "b"))
    refused(d, signed("ES256", keys.ec256, "b"), "signature")
    refused(d, signed("ES256", other, "a"), "signature")
    head = {"alg": "ES256", "kid": "a", "jwk": jwk(other), "jku": "http://127.0.0.1/keys"}
    refused(d, make(alg="ES256", key=other, header=head), "signature")


KIDS = ["../../../../../../dev/null", "/dev/null", "keys.json", "secret", "..%2f..%2fdev%2fnull", "file:///dev/null", "/proc/self/environ", "",
        "x' UNION SELECT 'k", "|/bin/true", "$(id)", "0", "RSA", "rsa ", " rsa", "rs\u0430", "x" * 4000, 'a"\\\r\nSet-Cookie: x=y', "r", "rsa/../rsa"]


@pytest.mark.parametrize("key", [b"", b"\0", SECRET], ids=["empty", "nul", "shared"])
def test_kid_is_only_compared(serve, keys, key):
    d = serve(*everything(keys))
    for kid in KIDS:
        r = d.http("GET", "/history?topic=chat/x", token=signed("HS256", key, kid))
        detail = r.problem(401, "invalid_token")["detail"]
        assert "is known" in detail and len(detail) < 200, detail
        assert not set(detail) & set('"\\\r\n') and r.header("Set-Cookie") is None
    refused(d, signed("HS256", key, "a\0b"), "strict")


@pytest.mark.parametrize("kid", [5, 0, True, None, [], ["shared"], {}, {"kid": "shared"}], ids=repr)
def test_kid_of_another_type(daemon, serve, kid):
    head = {"alg": "HS256", "typ": "JWT", "kid": kid}
    refused(serve(OCT, algorithms=["HS256"]), make(key=SECRET, header=head), "kid is not a string")
    refused(daemon, make(header=head), "kid is not a string")


def test_one_key_needs_no_kid(serve, keys):
    d = serve(jwk(keys.rsa), algorithms=["RS256"])
    taken(d, signed("RS256", keys.rsa))
    refused(d, signed("RS256", keys.rsa, "rsa"), "is known")
    d = serve(jwk(keys.rsa, "rsa"), algorithms=["RS256"])
    taken(d, signed("RS256", keys.rsa))


def test_beside_a_secret(serve, keys):
    own = b"own-secret-0123456789-0123456789-0123456789"
    d = serve(jwk(keys.rsa, "rsa"), OCT, algorithms=["HS256", "RS256"], secret=own, guests=True)
    taken(d, signed("HS256", own))
    taken(d, signed("RS256", keys.rsa, "rsa"))
    taken(d, signed("HS256", SECRET, "shared"))
    refused(d, signed("HS256", own, "shared"), "signature")
    refused(d, signed("HS256", SECRET), "signature")
    refused(d, signed("HS256", own, "own"), "is known")
    guest = d.http("POST", "/token", {"Content-Type": "application/json"}, '{"name":"Ada"}').ok().json()["token"]
    taken(d, guest)


def reload(d):
    since = len(d.lines)
    d.signal(signal.SIGHUP)
    return since


def test_reload_swaps_keys(serve, keys, room):
    """The old key's tokens are refused from then on, the ones seen before too; who is connected stays."""
    d = serve(jwk(keys.rsa, "old"))
    old, new = signed("RS256", keys.rsa, "old"), signed("ES256", keys.ec256, "new", sub="bea")
    ws = d.ws(token=old)
    ws.ok("join", "joined", room=room)
    stream = d.sse(token=old, topic=f"chat/{room}")
    refused(d, new, "no key of the id 'new' is known")
    put(d.folder, jwk(keys.ec256, "new"))
    d.wait_log(r"(?i)reload", since=reload(d))
    taken(d, new)
    refused(d, old, "no key of the id 'old' is known")
    other = d.ws(token=new)
    other.ok("join", "joined", room=room)
    content = mark("after")
    other.ok("chat", "ack", room=room, content=content)
    ws.expect("chat", content=content)
    stream.until("chat")
    ws.ok("ping", "pong")


def test_reload_of_a_bad_set_keeps_the_old(serve, keys):
    d = serve(jwk(keys.rsa, "a"))
    token = signed("RS256", keys.rsa, "a")
    (d.folder / "keys.json").write_text("{")
    d.wait_log(r"keys\.json: not JSON", since=reload(d))
    taken(d, token)
    (d.folder / "keys.json").unlink()
    d.wait_log(r"jwks_file: cannot read", since=reload(d))
    taken(d, token)


def private(key):
    return {**jwk(key, "own"), "d": number(key.private_numbers().private_value, 32)}


@pytest.mark.parametrize("case, says", [
    ("private", r"keys[0] (kid 'own') holds a private key"), ("nothing", "want {\"keys\": [...]}"), ("okp", "no key for any of auth.algorithms"),
    ("curve", "no point on P-256"), ("twice", "keys[1] (kid 'a') has the kid of a key before it"), ("missing", "cannot read"),
    ("unfit", "no key for any of auth.algorithms"),
])
def test_faults_are_named(tmp_path, keys, case, says):
    ec = jwk(keys.ec256, "a")
    sets = {"private": [private(keys.ec256)], "nothing": [], "okp": [{"kty": "OKP", "kid": "ed", "crv": "Ed25519", "x": b64(bytes(32))}],
            "curve": [{**ec, "y": ec["x"]}], "twice": [ec, ec], "unfit": [jwk(keys.rsa, "a")]}
    if case in sets:
        put(tmp_path, *sets[case])
    (tmp_path / "belfryd.conf").write_text('\nauth = { algorithms = [ "ES256" ]; jwks_file = "keys.json"; };\nstorage = { backend = "memory"; };\n')
    done = run(["-t", "-c", str(tmp_path / "belfryd.conf")])
    assert done.returncode == 78 and "belfryd.conf:2: " in done.stderr + done.stdout and says in done.stderr + done.stdout, done
