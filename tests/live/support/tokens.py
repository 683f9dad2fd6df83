"""JSON Web Tokens made by hand, so that every part of one can be wrong."""

import base64
import hashlib
import hmac
import json
import time

SECRET = b"live-tests-secret-0123456789-abcdefghij"
_HASH = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def claims_of(token):
    return json.loads(unb64(token.split(".")[1]))


def sign(alg, key, data):
    """The signature of `data`: bytes key for HS*, a private key object of cryptography for RS* and ES*."""
    if alg.startswith("HS"):
        return hmac.new(key, data, _HASH[alg[2:]]).digest()
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

    digest = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}[alg[2:]]()
    if alg.startswith("RS"):
        return key.sign(data, padding.PKCS1v15(), digest)
    if alg.startswith("PS"):
        return key.sign(data, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    if alg.startswith("ES"):
        r, s = utils.decode_dss_signature(key.sign(data, ec.ECDSA(digest)))
        size = {"256": 32, "384": 48, "512": 66}[alg[2:]]
        return r.to_bytes(size, "big") + s.to_bytes(size, "big")
    return b""


def raw(payload, key=SECRET, alg="HS256", header=None):
    """A token around the payload as it is: bytes, or anything JSON can say."""
    head = {"alg": alg, "typ": "JWT"} if header is None else header
    if not isinstance(head, bytes):
        head = json.dumps(head).encode()
    if not isinstance(payload, bytes):
        payload = json.dumps(payload).encode()
    data = f"{b64(head)}.{b64(payload)}"
    return f"{data}.{b64(sign(alg, key, data.encode()))}"


def make(sub="ada", *, name=None, ttl=3600, subscribe=None, publish=None, direct=None, role=None, key=SECRET,
         alg="HS256", header=None, drop=(), everything=False, **claims):
    """A good token unless told otherwise. `everything` grants all topics; without any grant the claim is left out."""
    now = int(time.time())
    body = {"sub": sub, "iat": now, "exp": now + ttl}
    if name is not None:
        body["name"] = name
    grants = {}
    if everything:
        grants = {"subscribe": ["**", f"user/{sub}"], "publish": ["**", f"user/{sub}"]}
    for member, value in (("subscribe", subscribe), ("publish", publish), ("direct", direct), ("role", role)):
        if value is not None:
            grants[member] = value
    if grants:
        body["belfry"] = grants
    body.update(claims)
    for member in drop:
        body.pop(member, None)
    return raw(body, key=key, alg=alg, header=header)
