"""A catalogue of tokens, good and bad, from RFC 7515, 7517, 7518, 7519, 7797, 8725 and 6750: each row a token and what must come of it."""

import base64
import hashlib
import hmac
import json
import re
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from support.tokens import SECRET, b64, raw, sign

NOW = int(time.time())
CANARY = "canary-5d1f"
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
RSA2 = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = {256: ec.generate_private_key(ec.SECP256R1()), 384: ec.generate_private_key(ec.SECP384R1()),
      521: ec.generate_private_key(ec.SECP521R1())}
K1 = ec.generate_private_key(ec.SECP256K1())
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # of P-256
OCT = b"a-secret-of-the-set-0123456789-0123456789-0123456789-0123456789-x"
PEM = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
PKCS1 = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
DER = RSA.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
EC_PEM = EC[256].public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
GRANT = {"subscribe": ["**"], "publish": ["**"]}


def number(v, n=None):
    return b64(v.to_bytes(n or (v.bit_length() + 7) // 8, "big"))


def jwk_rsa(key, **more):
    p = key.public_key().public_numbers()
    return {"kty": "RSA", "n": number(p.n), "e": number(p.e), **more}


def jwk_ec(bits, **more):
    p, n = EC[bits].public_key().public_numbers(), (bits + 7) // 8
    return {"kty": "EC", "crv": f"P-{bits}", "x": number(p.x, n), "y": number(p.y, n), **more}


KEYS = {"keys": [jwk_rsa(RSA, kid="r1"), jwk_rsa(RSA2, kid="r2", alg="RS256", use="sig"), jwk_ec(256, kid="e256"),
                 jwk_ec(384, kid="e384"), jwk_ec(521, kid="e512"), {"kty": "oct", "k": b64(OCT), "kid": "o1"},
                 jwk_rsa(RSA2, kid="enc", use="enc"), jwk_rsa(RSA2, kid="")]}
ALL = ["HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512"]
EDGE = {"auth": {"issuer": "https://id.example", "audience": "belfry", "leeway": 0, "guests": True}}


@pytest.fixture(scope="module")
def towers(tmp_path_factory):
    """Daemons by name: one secret and one public key; a key set; issuer, audience and no leeway; nothing explained."""
    from conftest import config
    from support.daemon import Daemon

    both = {"auth": {"algorithms": ["HS256", "RS256"], "public_key_file": "rsa.pem"}}
    keyset = {"auth": {"algorithms": ALL, "secret_file": "", "jwks_file": "keys.json"}}
    out = {}
    for name, conf in (("both", both), ("set", keyset), ("edge", EDGE), ("mute", {"auth": {"explain": False}})):
        d = Daemon(tmp_path_factory.mktemp(name), config.merge({"cors": {"allow_origins": ["https://ok.example"]}}, conf),
                   secret=SECRET)
        (d.folder / "rsa.pem").write_bytes(PEM)
        (d.folder / "keys.json").write_text(json.dumps(KEYS))
        d.seen = []
        out[name] = d.start()
    yield out
    for d in out.values():
        log = d.log()
        for token in d.seen:
            for part in token.split("."):
                assert len(part) < 12 or part not in log, f"a part of a token is in the log: {part}"
        assert CANARY + "-before" not in log
        d.stop()


# --- making ---------------------------------------------------------------------------------------------------

def body(drop=(), **claims):
    out = {"sub": CANARY, "exp": NOW + 3600, **claims}
    for name in drop:
        out.pop(name, None)
    return out


def text(**claims):
    return json.dumps(body(**claims)).encode()


def tok(header=None, payload=None, key=SECRET, alg="HS256"):
    """Signed with alg and key, whatever the header says."""
    return raw(body() if payload is None else payload, key=key, alg=alg, header={"alg": alg} if header is None else header)


def claim(**claims):
    return tok(payload=body(**claims))


def patch(old, new, **claims):
    """A payload with its text changed before it is signed."""
    t = text(**claims)
    assert old in t
    return tok(payload=t.replace(old, new))


def member(name, literal, **claims):
    """A payload with a member as it is written."""
    t = text(drop=(name,), **claims)
    return tok(payload=t[:-1] + b', "' + name.encode() + b'": ' + literal.encode() + b"}")


def unsigned(header):
    return f"{b64(json.dumps(header).encode() if not isinstance(header, bytes) else header)}.{b64(text())}."


def swap(token, part, change):
    parts = token.split(".")
    parts[part] = change(parts[part])
    return ".".join(parts)


def last_bits(part):
    """Another spelling of the same bytes, where there is one."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(part) % 4 in (2, 3), "no spare bits"
    return part[:-1] + alphabet[alphabet.index(part[-1]) | 1]


def spare(part):
    """A good token whose part of this number has spare bits."""
    for n in range(3):
        t = tok(header={"alg": "HS256", "x": "y" * n}, payload=body(x="y" * n))
        if len(t.split(".")[part]) % 4:
            return t
    raise AssertionError


def es(bits, kid, signature):
    head = {"alg": {256: "ES256", 384: "ES384", 521: "ES512"}[bits], "kid": kid}
    data = f"{b64(json.dumps(head).encode())}.{b64(text())}"
    return f"{data}.{b64(signature(data.encode()))}"


def rs_of(data):
    return utils.decode_dss_signature(EC[256].sign(data, ec.ECDSA(hashes.SHA256())))


def pair(r, s, n=32):
    return r.to_bytes(n, "big") + s.to_bytes(n, "big")


def rs(kid, signature, alg="RS256"):
    data = f"{b64(json.dumps({'alg': alg, 'kid': kid}).encode())}.{b64(text())}"
    return f"{data}.{b64(signature(data.encode()))}"


def pkcs(key, digest):
    return lambda data: key.sign(data, padding.PKCS1v15(), digest)


NONE = ["none", "None", "NONE", "nOnE", "NonE", "none ", " none", "\tnone", "none\n", "none\x00", "n\u043ene", "\uff4eone", "", None, 0, 1, True,
        False, [], {}, ["HS256"], {"alg": "HS256"}, "null", "nil", "plain", "hs256", "Hs256", "HS256 ", " HS256", "HS256\x00", "HS-256", "HS",
        "HS1", "HS224", "HS512 ", "SHA256", "HMAC", "HmacSHA256", "PS256", "PS512", "EdDSA", "Ed25519", "ES256K", "ES257", "dir", "A128KW",
        "A256GCMKW", "RSA-OAEP", "ECDH-ES", "PBES2-HS256+A128KW", "\uff28\uff33\uff12\uff15\uff16", "HS256\u200b", "HS256,RS256", "x" * 4000]
KIDS = ["", "R1", "r1 ", " r1", "r1\x00", "r1\n", "r", "r11", "../../../../etc/passwd", "/dev/null", "..\\..\\nul", "file:///dev/null", "http://127.0.0.1/k",
        "' OR '1'='1", "r1' UNION SELECT 'x", "r1; DROP TABLE keys", "$(id)", "`id`", "|id", "%72%31", "r1%00", "{{7*7}}", "*", "r*", "keys.json", "0",
        "enc", "\u0440\u0031", "k" * 5000, "\ud83d\ude00"]
ODD_KIDS = ["null", "0", "1", "1.5", "true", "false", "[]", "{}", '["r1"]', '{"kid":"r1"}']
NUMBERS = ['"{}"', "{}.0", "{}.5", "{}e0", "true", "false", "null", "[]", "[{}]", "{{}}", '""', '"never"', "9223372036854775808", "18446744073709551616",
           "1e400", "-1e400", "1E3"]
SECRETS = {"empty": b"", "a NUL": b"\0", "pem": PEM, "pem without its newline": PEM.strip(), "pkcs1": PKCS1, "der": DER, "jwk": json.dumps(jwk_rsa(RSA)).encode(),
           "jwk, sorted": json.dumps(jwk_rsa(RSA), sort_keys=True, separators=(",", ":")).encode(),
           "modulus": RSA.public_key().public_numbers().n.to_bytes(256, "big"), "modulus as text": jwk_rsa(RSA)["n"].encode(), "the kid": b"r1",
           "secret": b"secret", "file name": b"keys.json", "another": b"x" * 40, "the secret in base64": b64(SECRET).encode(), "half": SECRET[:20],
           "with a newline": SECRET + b"\n"}


def before():
    """(name, daemon, token): what does not get as far as a good signature; nothing of the claims may be told."""
    for alg in NONE:
        yield f"alg {alg!r:.20}, no signature", "both", unsigned({"alg": alg, "typ": "JWT"})
        yield f"alg {alg!r:.20}, signed", "both", tok({"alg": alg, "typ": "JWT"})
    for name, head in (("no alg", b"{}"), ("alg twice, none first", b'{"alg":"none","alg":"HS256"}'), ("alg twice, none last", b'{"alg":"HS256","alg":"none"}'),
                       ("alg twice, escaped", b'{"alg":"HS256","\\u0061lg":"none"}'), ("alg twice, the same", b'{"alg":"HS256","alg":"HS256"}'),
                       ("Alg", b'{"Alg":"HS256"}'), ("Alg and alg", b'{"Alg":"HS256","alg":"none"}'), ("header array", b'["HS256"]'), ("header string", b'"HS256"'),
                       ("header null", b"null"), ("header number", b"256"), ("header empty", b""), ("header spaces", b"  "), ("header two objects", b'{"alg":"HS256"}{}'),
                       ("header with a comma", b'{"alg":"HS256",}'), ("header with single quotes", b"{'alg':'HS256'}"), ("header with a comment", b'{"alg":"HS256"/**/}'),
                       ("header with a BOM", b'\xef\xbb\xbf{"alg":"HS256"}'), ("header with a NUL", b'{"alg":"HS256"}\0'), ("header not UTF-8", b'{"alg":"HS256","x":"\xff"}'),
                       ("header in UTF-16", '{"alg":"HS256"}'.encode("utf-16")), ("header with a surrogate", b'{"alg":"HS256","x":"\\ud800"}'),
                       ("header unclosed", b'{"alg":"HS256"'), ("header with NaN", b'{"alg":"HS256","x":NaN}'), ("header 2000 deep", b'{"alg":"HS256","x":' + b"[" * 2000 + b"]" * 2000 + b"}"),
                       ("header with an escaped NUL", b'{"alg":"HS256\\u0000"}')):
        yield name, "both", tok(head)
        yield name + ", no signature", "both", unsigned(head)
    for name, secret in SECRETS.items():
        yield f"HS256 with {name}", "both", tok(key=secret)
        yield f"HS256 of the set with {name}", "set", tok({"alg": "HS256", "kid": "r1"}, key=secret)
        yield f"HS256 of the set's secret with {name}", "set", tok({"alg": "HS256", "kid": "o1"}, key=secret)
    for alg in ("HS384", "HS512"):
        yield f"{alg}, not taken", "both", tok(alg=alg)
    for alg in ("HS256", "HS384", "HS512"):
        yield f"{alg} with the key's PEM as kid r1", "set", tok({"alg": alg, "kid": "r1"}, key=PEM, alg=alg)
        yield f"{alg} with the EC key's PEM", "set", tok({"alg": alg, "kid": "e256"}, key=EC_PEM, alg=alg)
    yield "HS256, signed with RS256", "both", tok({"alg": "HS256"}, key=RSA, alg="RS256")
    yield "RS256, signed with HS256", "both", tok({"alg": "RS256"})
    yield "RS256, another key", "both", tok(key=RSA2, alg="RS256")
    yield "RS256, with HS256 of the PEM", "both", tok({"alg": "RS256"}, key=PEM)
    # a key set: kid chooses, and each algorithm has keys of its own kind
    yield "no kid", "set", tok({"alg": "RS256"}, key=RSA, alg="RS256")
    yield "no kid, the secret", "set", tok({"alg": "HS256"}, key=OCT)
    for kid in KIDS:
        yield f"kid {kid!r:.24}", "set", tok({"alg": "RS256", "kid": kid}, key=RSA, alg="RS256")
        yield f"kid {kid!r:.24}, an empty secret", "set", tok({"alg": "HS256", "kid": kid}, key=b"")
    for kid in ODD_KIDS:
        yield f"kid {kid}", "set", tok(b'{"alg":"RS256","kid":' + kid.encode() + b"}", key=RSA, alg="RS256")
        yield f"kid {kid}, one secret", "both", tok(b'{"alg":"HS256","kid":' + kid.encode() + b"}")
    for head in (b'{"alg":"RS256","kid":"r1","kid":"r1"}', b'{"alg":"RS256","kid":"o1","kid":"r1"}', b'{"alg":"RS256","kid":"r1","k\\u0069d":"r2"}'):
        yield f"kid twice {head[15:45]}", "set", tok(head, key=RSA, alg="RS256")
    for kid, alg, key, signed in (("r1", "ES256", EC[256], "ES256"), ("e256", "RS256", RSA, "RS256"), ("e256", "ES384", EC[384], "ES384"), ("e384", "ES256", EC[256], "ES256"),
                                  ("e384", "ES512", EC[384], "ES384"), ("e512", "ES256", EC[256], "ES256"), ("e256", "ES512", EC[521], "ES512"), ("o1", "RS256", RSA, "RS256"),
                                  ("r2", "RS512", RSA2, "RS512"), ("r2", "RS256", RSA, "RS256"), ("r1", "RS256", RSA2, "RS256"), ("e256", "ES256", K1, "ES256"),
                                  ("r1", "RS256", RSA, "RS512"), ("r1", "RS512", RSA, "RS256"), ("r1", "RS256", RSA, "PS256"), ("r1", "PS256", RSA, "PS256"),
                                  ("o1", "HS256", SECRET, "HS256"), ("o1", "HS256", OCT, "HS512"), ("o1", "HS512", OCT, "HS256"), ("enc", "RS256", RSA2, "RS256")):
        yield f"kid {kid} and {alg}, signed {signed}", "set", tok({"alg": alg, "kid": kid}, key=key, alg=signed)
    # ECDSA: the two numbers, each of the curve's size, and nothing else
    for name, make in (("all zero", lambda d: bytes(64)), ("r 0", lambda d: pair(0, rs_of(d)[1])), ("s 0", lambda d: pair(rs_of(d)[0], 0)), ("r 1, s 1", lambda d: pair(1, 1)),
                       ("r n, s n", lambda d: pair(ORDER, ORDER)), ("r 0, s n", lambda d: pair(0, ORDER)), ("s + n", lambda d: rs_of(d)[0].to_bytes(32, "big") + (rs_of(d)[1] + ORDER).to_bytes(33, "big")),
                       ("all ones", lambda d: b"\xff" * 64), ("DER", lambda d: EC[256].sign(d, ec.ECDSA(hashes.SHA256()))), ("swapped", lambda d: pair(*rs_of(d)[::-1])),
                       ("63 bytes", lambda d: pair(*rs_of(d))[:63]), ("65 bytes", lambda d: pair(*rs_of(d)) + b"\0"), ("96 bytes", lambda d: pair(*rs_of(d), n=48)),
                       ("132 bytes", lambda d: pair(*rs_of(d), n=66)), ("a zero in front", lambda d: b"\0" + pair(*rs_of(d))), ("empty", lambda d: b""), ("one byte", lambda d: b"\0"),
                       ("SHA-384", lambda d: pair(*utils.decode_dss_signature(EC[256].sign(d, ec.ECDSA(hashes.SHA384()))))), ("twice", lambda d: pair(*rs_of(d)) * 2),
                       ("as text", lambda d: pair(*rs_of(d)).hex().encode()), ("-s in place of r", lambda d: pair(ORDER - rs_of(d)[1], rs_of(d)[0]))):
        yield f"ES256 {name}", "set", es(256, "e256", make)
    for bits, kid, n in ((384, "e384", 96), (521, "e512", 132)):
        yield f"P-{bits} all zero", "set", es(bits, kid, lambda d, n=n: bytes(n))
        yield f"P-{bits} DER", "set", es(bits, kid, lambda d, b=bits: EC[b].sign(d, ec.ECDSA(hashes.SHA384() if b == 384 else hashes.SHA512())))
    for name, make in (("empty", lambda d: b""), ("zeros", lambda d: bytes(256)), ("ones", lambda d: b"\xff" * 256), ("one", lambda d: (1).to_bytes(256, "big")),
                       ("a byte short", lambda d: pkcs(RSA, hashes.SHA256())(d)[:-1]), ("a byte more", lambda d: pkcs(RSA, hashes.SHA256())(d) + b"\0"),
                       ("a zero in front", lambda d: b"\0" + pkcs(RSA, hashes.SHA256())(d)), ("SHA-1", pkcs(RSA, hashes.SHA1())), ("SHA-224", pkcs(RSA, hashes.SHA224())),
                       ("of other data", lambda d: pkcs(RSA, hashes.SHA256())(d + b"x")), ("plus the modulus", lambda d: (int.from_bytes(pkcs(RSA, hashes.SHA256())(d), "big") +
                        RSA.public_key().public_numbers().n).to_bytes(257, "big"))):
        yield f"RS256 {name}", "set", rs("r1", make)
    # keys that a token brings along are never looked at (RFC 8725, 3.10)
    own = {"jwk": jwk_rsa(RSA2), "jku": "http://127.0.0.1:9/keys.json", "x5u": "http://127.0.0.1:9/c.pem", "x5c": [base64.b64encode(DER).decode()], "x5t": "x"}
    for name, v in own.items():
        yield f"{name} brought along", "both", tok({"alg": "RS256", name: v}, key=RSA2, alg="RS256")
        yield f"{name} brought along, known kid", "set", tok({"alg": "RS256", "kid": "r1", name: v}, key=RSA2, alg="RS256")
    yield "an oct jwk brought along", "both", tok({"alg": "HS256", "jwk": {"kty": "oct", "k": b64(b"x" * 40)}}, key=b"x" * 40)
    # extensions, types
    for crit in (["exp"], ["b64"], ["x"], ["kid"], ["alg"], ["http://openbanking.org.uk/iat"], [], "exp", None, 0, True, {}, [None], [1]):
        yield f"crit {crit!r}", "both", tok({"alg": "HS256", "crit": crit, "exp": NOW + 100, "x": 1})
    yield "b64 false and crit", "both", tok({"alg": "HS256", "b64": False, "crit": ["b64"]})
    yield "b64 false", "both", tok({"alg": "HS256", "b64": False})
    plain = b64(json.dumps({"alg": "HS256", "b64": False, "crit": ["b64"]}).encode()) + "." + text().decode().replace(" ", "")
    yield "an unencoded payload", "both", "?" + f"{plain}.{b64(hmac.new(SECRET, plain.encode(), hashlib.sha256).digest())}".replace('"', "%22")
    for typ in ("JWE", "JOSE", "JOSE+JSON", "at+jwt", "secevent+jwt", "dpop+jwt", "", "JWT ", "J", "JWTS", None, 0, True, [], {}, ["JWT"]):
        yield f"typ {typ!r}", "both", tok({"alg": "HS256", "typ": typ})
    # the form: three parts of base64url, one text for each value
    good = tok()
    h, p, s = good.split(".")
    yield "empty", "both", "."
    for name, t in (("one part", h), ("two parts", f"{h}.{p}"), ("four parts", f"{good}.{s}"), ("five parts", f"{h}.{p}.{s}.{p}.{s}"), ("only dots", ".."), ("four dots", "...."),
                    ("a dot in front", "." + good), ("a dot behind", good + "."), ("two dots", f"{h}..{s}"), ("two dots more", f"{h}..{p}.{s}"), ("no header", f".{p}.{s}"),
                    ("no payload", f"{h}..{s}"), ("no signature", f"{h}.{p}."), ("no dots", h + p + s), ("header twice", f"{h}.{h}.{s}"), ("in turn", f"{s}.{p}.{h}"),
                    ("a NUL behind", good + "%00"), ("a NUL within", h + "%00." + p + "." + s), ("a newline behind", good + "%0A"), ("a newline in front", "%0A" + good),
                    ("a blank behind", good + "%20"), ("a blank in front", "%20" + good), ("a tab behind", good + "%09"), ("a blank within", f"{h}.%20{p}.{s}"),
                    ("a newline within", f"{h}.{p[:8]}%0D%0A{p[8:]}.{s}"), ("a BOM", "%EF%BB%BF" + good), ("quotes", f"%22{good}%22"), ("not UTF-8", good + "%FF"),
                    ("fullwidth dots", good.replace(".", "%EF%BC%8E")), ("Bearer within", "Bearer%20" + good), ("upper case", good.upper()), ("lower case", good.lower()),
                    ("reversed", good[::-1]), ("a word", "x"), ("null", "null"), ("undefined", "undefined"), ("JSON", "%7B%7D"),
                    ("JWS JSON, flattened", json.dumps({"protected": h, "payload": p, "signature": s}).replace('"', "%22").replace(" ", "")),
                    ("JWS JSON, general", json.dumps({"payload": p, "signatures": [{"protected": h, "signature": s}]}).replace('"', "%22").replace(" ", "")),
                    ("JWE", ".".join(b64(x) for x in (b'{"alg":"dir","enc":"A128GCM"}', b"", b"i" * 12, b"c" * 30, b"t" * 16))),
                    ("JWE with alg HS256", ".".join(b64(x) for x in (b'{"alg":"HS256","enc":"A128GCM"}', b"k", b"i" * 12, b"c" * 30, b"t" * 16))),
                    ("the signature of another", f"{h}.{p}.{tok(payload=body(x=1)).split('.')[2]}"), ("the payload of another", f"{h}.{tok(payload=body(x=1)).split('.')[1]}.{s}"),
                    ("a hexadecimal signature", f"{h}.{p}.{hmac.new(SECRET, f'{h}.{p}'.encode(), hashlib.sha256).hexdigest()}"),
                    ("half a signature", f"{h}.{p}.{s[:20]}"), ("a signature twice", f"{h}.{p}.{s}{s}"), ("a signature and more", f"{h}.{p}.{s}AAAA")):
        yield name, "both", "?" + t
    for i, part in enumerate(("header", "payload", "signature")):
        t = spare(i)
        yield f"spare bits in the {part}", "both", swap(t, i, last_bits)
        yield f"'=' behind the {part}", "both", "?" + swap(t, i, lambda x: x + "=" * (-len(x) % 4)).replace("=", "%3D")
        yield f"'=' behind the {part}, one too many", "both", "?" + swap(good, i, lambda x: x + "%3D")
        yield f"'+' in the {part}", "both", "?" + swap(good, i, lambda x: x[:-4] + "%2B%2B%2B%2B")
        yield f"'/' in the {part}", "both", "?" + swap(good, i, lambda x: x[:-4] + "////")
        yield f"one character more in the {part}", "both", swap(good, i, lambda x: x + "A" * (1 if len(x) % 4 == 0 else 5 - len(x) % 4))
        yield f"a changed {part}", "both", swap(good, i, lambda x: ("A" if x[3] != "A" else "B").join((x[:3], x[4:])))
    yield "8193 bytes", "both", padded(8193)
    yield "12000 bytes", "both", padded(12000)
    for name, payload in (("array", b"[]"), ("string", b'"x"'), ("null", b"null"), ("number", b"1"), ("true", b"true"), ("nothing", b" "), ("text", b"sub=ada"), ("two objects", b"{}{}"),
                          ("a comma at its end", text()[:-1] + b",}"), ("an unknown word", text()[:-1] + b',"x":undefined}'), ("a BOM", b"\xef\xbb\xbf" + text()), ("UTF-16", text().decode().encode("utf-16-le")),
                          ("a NUL behind", text() + b"\0"), ("an escaped NUL", text(x="\0")), ("a bare newline in a string", text(x="@").replace(b"@", b"\n")), ("a lone surrogate", patch_text(b'"\\ud800"')),
                          ("a low surrogate", patch_text(b'"\\udc00\\ud800"')), ("bad UTF-8", patch_text(b'"\xff"')), ("an overlong slash", patch_text(b'"\xc0\xaf"')), ("a surrogate in UTF-8", patch_text(b'"\xed\xa0\x80"')),
                          ("above U+10FFFF", patch_text(b'"\xf4\x90\x80\x80"')), ("cut UTF-8", patch_text(b'"\xe2\x82"')), ("a leading zero", patch_text(b"01")), ("a plus", patch_text(b"+1")), ("hexadecimal", patch_text(b"0x1")),
                          ("a bare point", patch_text(b".5")), ("infinity", patch_text(b"Infinity")), ("a bad escape", patch_text(b'"\\x41"')), ("a short escape", patch_text(b'"\\u41"')),
                          ("17 deep", patch_text(b"[" * 17 + b"]" * 17)), ("1500 deep", patch_text(b"[" * 1500 + b"]" * 1500)), ("1000 objects deep", patch_text(b'{"":' * 1000 + b"1" + b"}" * 1000)),
                          ("exp twice", text()[:-1] + b',"exp":1}'), ("exp twice, escaped", text()[:-1] + b',"e\\u0078p":1}'), ("exp twice, the late one last", b'{"exp":1,' + text()[1:]), ("sub twice", text()[:-1] + b',"sub":"root"}'),
                          ("sub twice, escaped", text()[:-1] + b',"\\u0073ub":"root"}'), ("belfry twice", text(belfry={})[:-1] + b',"belfry":{"role":"admin"}}'),
                          ("role twice", text(belfry={"role": "user"})[:-2] + b',"role":"admin"}}'), ("role twice, escaped", text(belfry={"role": "user"})[:-2] + b',"r\\u006fle":"admin"}}'),
                          ("an unknown member twice", text()[:-1] + b',"x":1,"x":1}'), ("a member far within twice", patch_text(b'{"a":[{"b":1,"b":2}]}')),
                          ("aud twice", text(aud="x")[:-1] + b',"aud":"y"}'), ("__proto__ twice", text()[:-1] + b',"__proto__":{},"__proto__":{}}')):
        yield f"payload: {name}", "both", tok(payload=payload)


def patch_text(literal):
    return text()[:-1] + b',"x":' + literal + b"}"


def padded(n):
    """A good token of so many bytes."""
    for pad in range(n * 3 // 4 - 150, n * 3 // 4):
        for extra in range(4):
            t = tok({"alg": "HS256", "x": "y" * extra}, body(x="y" * pad))
            if len(t) == n:
                return t
    raise AssertionError(n)


def bad_claims():
    """(name, daemon, token, words of the refusal): the signature holds, so that the peer is told why."""
    for literal in NUMBERS:
        lit = literal.format(NOW + 1000)
        yield f"exp {lit}", "both", member("exp", lit), "exp|integers of 64 bits"
        lit = literal.format(NOW - 1000)
        yield f"nbf {lit}", "both", member("nbf", lit), "nbf|integers of 64 bits"
    for lit in ('"x"', "true", "[]", "{}", f'"{NOW}"'):
        yield f"iat {lit}", "both", member("iat", lit), "iat"
    yield "exp missing", "both", claim(drop=("exp",)), "exp is missing"
    for exp in (0, -1, -NOW, 1, NOW - 31, NOW - 40, -9223372036854775807):
        yield f"exp {exp - NOW:+}", "both", claim(exp=exp), r"exp was \d+ s ago"
    yield "exp escaped and over", "both", patch(b'"exp"', b'"e\\u0078p"', exp=NOW - 100), "exp was"
    yield "exp -0", "both", member("exp", "-0"), "exp was"
    yield "nbf to come", "both", claim(nbf=NOW + 100), r"nbf is in \d+ s"
    yield "nbf escaped and to come", "both", patch(b'"nbf"', b'"n\\u0062f"', nbf=NOW + 100), "nbf is in"
    yield "nbf far to come", "both", claim(nbf=9223372036854775807), "nbf is in"
    yield "EXP in place of exp", "both", patch(b'"exp"', b'"EXP"'), "exp is missing"
    yield "exp with a blank", "both", patch(b'"exp"', b'"exp "'), "exp is missing"
    yield "exp is over by 1 s, no leeway", "edge", claim(exp=NOW - 1, iss="https://id.example", aud="belfry"), "exp was"
    yield "nbf in 600 s, no leeway", "edge", claim(nbf=NOW + 600, iss="https://id.example", aud="belfry"), "nbf is in"
    for sub, words in (("", "empty"), ("x" * 129, "128"), ("\u00e9" * 65, "128"), ("a\nb", "control"), ("a\x7fb", "control"), ("a\u0085b", "control"), ("\x1b[31m", "control"), ("a\tb", "control"),
                       ("guest:x", "guest"), ("guest:", "guest"), ("local:root", "local"), ("local:", "local"), (None, "string"), (0, "string"), (1.5, "string"), (True, "string"), ([], "string"),
                       ({}, "string"), (["ada"], "string")):
        yield f"sub {sub!r:.30}", "both", claim(sub=sub), words
    yield "sub missing", "both", claim(drop=("sub",)), "sub is missing"
    yield "Sub", "both", patch(b'"sub"', b'"Sub"'), "sub is missing"
    yield "guest: escaped", "both", patch(b"@", b"\\u0067uest:x", sub="@"), "guest"
    edge = {"iss": "https://id.example", "aud": "belfry"}
    for iss in ("https://id.example/", "HTTPS://ID.EXAMPLE", "https://id.exampl", "https://id.example ", "", None, 0, True, ["https://id.example"], {"iss": "https://id.example"}, "https://id.example\u200b"):
        yield f"iss {iss!r:.30}", "edge", claim(**{**edge, "iss": iss}), "iss"
    yield "iss missing", "edge", claim(aud="belfry"), "iss is missing"
    for aud in ("Belfry", "belfr", "belfry ", "belfry,x", "", None, 0, True, {}, {"belfry": 1}, [], ["x"], ["belfry", 1], [None, "belfry"], [["belfry"]], ["belfry", None], ["Belfry", "x"], [{"aud": "belfry"}]):
        yield f"aud {aud!r:.30}", "edge", claim(**{**edge, "aud": aud}), "aud"
    yield "aud missing", "edge", claim(iss=edge["iss"]), "aud is missing"
    yield "a guest from elsewhere", "edge", claim(**{**edge, "sub": "guest:x"}), "guest"
    for name in (1, True, [], {}, ["Ada"]):
        yield f"name {name!r}", "both", claim(name=name), "name"
    for name in ("x" * 129, "a\nb", "a\u009bb"):
        yield f"name {name!r:.20}", "both", claim(name=name), "name"
    for belfry in (None, "", "*", "admin", 0, 1, True, False, [], ["admin"], [{"role": "admin"}]):
        yield f"belfry {belfry!r}", "both", claim(belfry=belfry), "belfry"
    for role in (None, "", "root", "Admin", "ADMIN", "admin ", "administrator", "superuser", 0, 2, True, [], {}, ["admin"], {"admin": True}):
        yield f"role {role!r}", "both", claim(belfry={"role": role}), "role"
    for which in ("subscribe", "publish"):
        for v in (None, "", "**", "chat/*", 0, 1, True, False, {}, {"0": "**"}, [None], [1], [True], [[]], [["**"]], [{}], ["**", 1], ["**", None], [""], ["a//b"], ["/a"], ["a/"], ["**/a"], ["a/**/b"],
                  ["***"], ["a/***"], ["x" * 201], ["a/b/c/d/e/f/g/h/i"], ["a\nb"], ["a\x7f"], ["a\u0085"], [" ", "a\x00b"]):
            if v != [" ", "a\x00b"]:
                yield f"{which} {v!r:.30}", "both", claim(belfry={which: v}), which
    for v in (None, "*", 0, True, {}, [None], [1], [["*"]], ["*", 1], [""], ["x" * 129], ["a\nb"]):
        yield f"direct {v!r:.30}", "both", claim(belfry={"direct": v}), "direct"


def good():
    """(name, daemon, token, sub): what must be taken, so that strictness does not lock people out."""
    yield "plain", "both", tok(), CANARY
    for typ in ("JWT", "jwt", "Jwt"):
        yield f"typ {typ}", "both", tok({"alg": "HS256", "typ": typ}), CANARY
    yield "RS256", "both", tok(key=RSA, alg="RS256"), CANARY
    yield "a kid where there is no set", "both", tok({"alg": "HS256", "kid": "../../etc/passwd"}), CANARY
    yield "alg escaped", "both", tok(b'{"\\u0061lg":"HS256"}'), CANARY
    yield "alg's value escaped", "both", tok(b'{"alg":"\\u0048S256"}'), CANARY
    yield "blanks in the header", "both", tok(b' { "alg" : "HS256" } \n'), CANARY
    yield "unknown header members", "both", tok({"alg": "HS256", "x": {"y": [1, 2]}, "cty": "json", "jku": "http://127.0.0.1:9/", "b64": True}), CANARY
    for kid, alg, key in (("r1", "RS256", RSA), ("r1", "RS384", RSA), ("r1", "RS512", RSA), ("r2", "RS256", RSA2), ("e256", "ES256", EC[256]), ("e384", "ES384", EC[384]), ("e512", "ES512", EC[521]),
                          ("o1", "HS256", OCT), ("o1", "HS384", OCT), ("o1", "HS512", OCT)):
        yield f"{kid} {alg}", "set", tok({"alg": alg, "kid": kid}, key=key, alg=alg), CANARY
    yield "an empty kid that the set has", "set", tok({"alg": "RS256", "kid": ""}, key=RSA2, alg="RS256"), CANARY
    yield "kid escaped", "set", tok(b'{"alg":"RS256","k\\u0069d":"\\u0072\\u0031"}', key=RSA, alg="RS256"), CANARY
    yield "jwk of another key beside a good kid", "set", tok({"alg": "RS256", "kid": "r1", "jwk": jwk_rsa(RSA2)}, key=RSA, alg="RS256"), CANARY
    yield "ES256 with the other s", "set", es(256, "e256", lambda d: (lambda r, s: pair(r, ORDER - s))(*rs_of(d))), CANARY
    yield "8192 bytes", "both", padded(8192), CANARY
    for sub in ("x" * 128, "\u00e9" * 64, "a/b", "*", "**", "%2F", "{sub}", "a b", " ", "Guest:x", "guest", "locale:x", "local", "\U0001f514", "\u2028", "'\"\\<>&", "null", "0"):
        yield f"sub {sub!r:.20}", "both", claim(sub=sub), sub
    yield "sub escaped", "both", patch(b"@", b"\\u0061\\/b\\ud83d\\udd14", sub="@"), "a/b\U0001f514"
    yield "exp escaped", "both", patch(b'"exp"', b'"e\\u0078p"'), CANARY
    yield "exp within the leeway", "both", claim(exp=NOW - 3), CANARY
    yield "exp huge", "both", claim(exp=9223372036854775807), CANARY
    yield "exp 2^53 + 1", "both", claim(exp=2**53 + 1), CANARY
    yield "nbf within the leeway", "both", claim(nbf=NOW + 25), CANARY
    yield "nbf negative", "both", claim(nbf=-5), CANARY
    yield "nbf 0", "both", claim(nbf=0), CANARY
    for iat in (NOW, NOW + 1000, NOW + 0.5, 0, -1, None):
        yield f"iat {iat}", "both", claim(iat=iat), CANARY
    for aud in ("x", ["x"], [], {}, 1, None):
        yield f"aud {aud!r} where none is wanted", "both", claim(aud=aud), CANARY
    for iss in ("x", [], 1, None):
        yield f"iss {iss!r} where none is wanted", "both", claim(iss=iss), CANARY
    edge = {"iss": "https://id.example", "exp": NOW + 3600}
    for aud in ("belfry", ["belfry"], ["x", "belfry"], ["belfry", "belfry"]):
        yield f"aud {aud!r}", "edge", claim(**edge, aud=aud), CANARY
    yield "iss escaped", "edge", patch(b"https:", b"https\\u003a", **edge, aud="belfry"), CANARY
    yield "15 deep", "both", tok(payload=patch_text(b"[" * 15 + b"]" * 15)), CANARY
    for belfry in ({}, {"x": 1}, {"Role": "admin"}, {"ROLE": "admin"}, {"role": "moderator"}, {"subscribe": []}, {"subscribe": ["a*b", "*", "**", "a/*/b", "{sub}", "user/{sub}/**"]}, {"direct": ["*"]}):
        yield f"belfry {belfry!r:.40}", "both", claim(belfry=belfry), CANARY
    yield "role escaped", "both", patch(b'"role": "@"', b'"r\\u006fle": "\\u0061dmin"', belfry={"role": "@"}), CANARY


CHALLENGE = re.compile(r'Bearer realm="belfry"(?:, error="(invalid_token|invalid_request|insufficient_scope)", error_description="([\x20-\x21\x23-\x5b\x5d-\x7e]*)")?\Z')


def challenge(r):
    m = CHALLENGE.match(r.header("WWW-Authenticate"))
    assert m, r
    return m


def whoami(d, token):
    """GET /token with it, in the header or (with '?' in front) in the query."""
    d.seen.append(token.lstrip("?"))
    if token.startswith("?"):
        return d.http("GET", "/token?access_token=" + token[1:])
    return d.http("GET", "/token", token=token)


def silent(r, *words):
    told = r.body.decode() + str(r.headers)
    for word in words:
        assert word not in told, r


def parts(token):
    return [p for p in token.lstrip("?").split(".") if len(p) > 12]


def rows_of(catalogue):
    """All rows, made now: their times count from here."""
    global NOW
    NOW = int(time.time())
    return list(catalogue())


def each(rows, check):
    """Runs the check for each row; tells all that failed together."""
    failed = []
    for name, *row in rows:
        try:
            check(*row)
        except AssertionError as e:
            failed.append(f"{name!a}: {str(e)[:600]}")
    assert not failed, f"{len(failed)} of {len(rows)}:\n" + "\n".join(failed)


def test_not_so_far(towers):
    def check(where, token):
        r = whoami(towers[where], token)
        doc = r.problem(401, "invalid_token")
        assert challenge(r)[1] == "invalid_token"
        silent(r, CANARY, *parts(token))
        assert not re.search(r"\bexp was|\bnbf is in|\bsub\b|\baud\b|\biss\b", doc["detail"]), doc

    each(rows_of(before), check)


def test_claims_refused(towers):
    def check(where, token, words):
        r = whoami(towers[where], token)
        doc = r.problem(401, "invalid_token")
        assert challenge(r)[1] == "invalid_token"
        assert re.search(words, doc["detail"]) and re.search(words, challenge(r)[2]), doc
        silent(r, *parts(token))

    each(rows_of(bad_claims), check)


def test_taken(towers):
    def check(where, token, sub):
        assert whoami(towers[where], token).ok().json()["user"]["id"] == sub

    each(rows_of(good), check)
