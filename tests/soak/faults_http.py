"""Faults of HTTP clients: each is one visit to the daemon that goes wrong on purpose."""

import asyncio
import os
import time

import wire
from support import tokens
from wire import Peer, request

ENDS = ("fin", "rst", "vanish")
GARBAGE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), b"\0" * 4000, b"\r\n" * 3000, b"GET", b"GET /\n\n", b"GET / HTTP/0.9\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"G\xffT / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
    b"GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"BREW / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n a: b\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"POST /publish/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /publish/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
    b"POST /publish/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /publish/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"GET /x" + b"a" * 100000,
    b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 5000, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"y" * 2000000,
]


async def some(p, rng):
    """Reads a little, or nothing."""
    if rng.random() < 0.6:
        await p.rest(rng.choice((0.05, 0.5, 2)))


async def connect_and_go(w, rng):
    """Many connects and immediate ends."""
    for _ in range(rng.choice((1, 5, 30))):
        p = await Peer.dial(w.address)
        p.end(rng.choice(ENDS))


async def idle_connection(w, rng):
    """Connects and says nothing, or stays after an answer, until the daemon has had enough."""
    p = await Peer.dial(w.address)
    if rng.random() < 0.5:
        p.write(request(w, "GET", "/healthz"))
    await p.rest(rng.choice((1, 20)))
    p.end(rng.choice(ENDS))


async def cut_head(w, rng):
    head = request(w, rng.choice(("GET", "POST")), "/publish/x/y", w.token("f"), body=b"x" * 100)
    p = await Peer.dial(w.address)
    await p.send(head[:rng.randrange(1, len(head))])
    if rng.random() < 0.3:
        p.half_close()
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def cut_body(w, rng):
    """Half a body, chunked or counted, and the end."""
    p = await Peer.dial(w.address)
    n = rng.choice((100, 5000, 900_000))
    if rng.random() < 0.5:
        p.write(request(w, "POST", "/publish/x/y", w.token("f"), [("Content-Length", str(n))]))
        await p.send(b"x" * rng.randrange(n))
    else:
        p.write(request(w, "POST", "/publish/x/y", w.token("f"), [("Transfer-Encoding", "chunked")]))
        await p.send((b"%x\r\n" % n) + b"x" * rng.randrange(n))
    if rng.random() < 0.3:
        p.half_close()
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def cut_answer(w, rng):
    """Long answers that nobody reads."""
    p = await Peer.dial(w.address, rcvbuf=2048, limit=1024)
    path = rng.choice(("/history?topic=**&limit=1000", "/app.js", "/api/topics", "/metrics", "/events?topic=acct/**&wait=0&last=1000"))
    await p.send(request(w, "GET", path, w.admin()) * rng.choice((1, 3, 40)))
    await asyncio.sleep(rng.choice((0, 0.05, 1)))
    p.end(rng.choice(ENDS))


async def half_closed(w, rng):
    """The end of its side first; the answers must come all the same."""
    p = await Peer.dial(w.address)
    n = rng.choice((1, 3, 10))
    p.write(request(w, "GET", "/healthz") * (n - 1) + request(w, "POST", "/publish/x/half", w.token("f"), body=b"half"))
    p.half_close()
    got = await p.rest()
    if got is not None and got.count(b"HTTP/1.1 ") != n:
        w.counts["half-closed connections with fewer answers"] += 1
    p.end()


async def slow_head(w, rng):
    """Byte by byte, until it is cut off or complete."""
    p = await Peer.dial(w.address)
    end = time.monotonic() + rng.choice((2, 15))
    for b in request(w, "GET", "/healthz"):
        if time.monotonic() > end or p.reader.at_eof() or w.leaving:
            break
        p.write(bytes([b]))
        await asyncio.sleep(rng.choice((0.01, 0.1)))
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def slow_body(w, rng):
    p = await Peer.dial(w.address)
    p.write(request(w, "POST", "/publish/x/slow", w.token("f"), [("Content-Length", "1000")]))
    for _ in range(rng.choice((10, 100))):
        if p.reader.at_eof() or w.leaving:
            break
        p.write(b"z")
        await asyncio.sleep(0.1)
    p.end(rng.choice(ENDS))


async def garbage(w, rng):
    p = await Peer.dial(w.address)
    data = rng.choice(GARBAGE) if rng.random() < 0.7 else os.urandom(rng.choice((1, 100, 10000)))
    await p.send(data, 1)
    if rng.random() < 0.3:
        p.half_close()
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def mutated(w, rng):
    """A good request with a few bytes changed."""
    good = bytearray(rng.choice((
        request(w, "GET", "/events?topic=acct/**&wait=0&last=5", w.token("f")), request(w, "GET", "/history?topic=chat/r1&limit=5", w.token("f")),
        request(w, "POST", "/publish", w.token("f"), [("Content-Type", "application/json")], b'{"topic":"x/y","message":"m","tags":["a"]}'),
        wire.upgrade(w, "/chat?room=mutants", w.token("f")))))
    for _ in range(rng.choice((1, 2, 8))):
        at = rng.randrange(len(good))
        if rng.random() < 0.5:
            good[at] = rng.randrange(256)
        else:
            good[at:at + rng.randrange(4)] = os.urandom(rng.randrange(4))
    p = await Peer.dial(w.address)
    await p.send(bytes(good))
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def oversized(w, rng):
    """Everything larger than any limit of the run."""
    t = w.token("f")
    what = rng.randrange(6)
    p = await Peer.dial(w.address)
    if what == 0:
        p.write(request(w, "GET", "/" + "a" * 70_000))
    elif what == 1:
        p.write(request(w, "GET", "/healthz", headers=[("X-Long", "b" * 70_000)]))
    elif what == 2:
        p.write(request(w, "POST", "/publish/x", t, body=b"c" * 3_000_000))
    elif what == 3:
        p.write(request(w, "POST", "/publish/x", t, [("Transfer-Encoding", "chunked")]) + b"100000\r\n" + b"d" * 0x100000 + b"\r\n" * 5)
    elif what == 4:
        p.write(request(w, "POST", "/publish/x", t, [("Content-Type", "application/json")], b"[" * 100_000))
    else:
        p.write(request(w, "POST", "/publish/x", t, [("Content-Type", "application/json")], b'[{"message":"m"},' + b'{"message":"m"},' * 1100 + b'{}]'))
    await p.rest(rng.choice((0.1, 3)))
    p.end(rng.choice(ENDS))


async def bad_tokens(w, rng):
    """Tokens that must not be taken; a 200 is a finding."""
    now = int(time.time())
    body = {"sub": "mallory", "exp": now + 60, "belfry": {"subscribe": ["**"], "publish": ["**"], "role": "admin"}}
    bad = rng.choice((
        tokens.raw(body, key=b"another secret, long enough to be one"), tokens.raw(body, header={"alg": "none"}), tokens.raw({**body, "exp": now - 100}, key=w.secret),
        tokens.raw({**body, "exp": "soon"}, key=w.secret), tokens.raw({**body, "nbf": now + 1000}, key=w.secret), tokens.raw({"exp": now + 9}, key=w.secret),
        tokens.raw(body, key=w.secret, alg="HS384"), "x.y.z", "a" * 9000, tokens.raw(body, key=w.secret)[:-2], os.urandom(60).hex(),
        tokens.raw(body, key=w.secret, header=b'{"alg":"HS256","crit":["x"]}'), tokens.raw(b"[" * 5000, key=w.secret)))
    path = rng.choice(("/chat", "/events", "/api/stats", "/history?topic=chat/r1", "/publish"))
    method, data = ("POST", b"x") if path == "/publish" else ("GET", None)
    if rng.random() < 0.3:
        status, _, _ = await wire.call(w, method, path + ("&" if "?" in path else "?") + "access_token=" + bad, None, (), data)
    else:
        status, _, _ = await wire.call(w, method, path, bad, (), data)
    if status < 400:
        w.wrong(f"a bad token was answered {status}: {bad[:300]}")


async def pipelined(w, rng):
    """Many requests at once; their answers read, or not."""
    p = await Peer.dial(w.address, rcvbuf=rng.choice((None, 4096)), limit=4096)
    many = b"".join(rng.choice((request(w, "GET", "/healthz"), request(w, "HEAD", "/"), request(w, "GET", "/token", w.token("f")),
                                request(w, "POST", "/publish/x/p", w.token("f"), body=b"p"), request(w, "GET", "/nothing")))
                    for _ in range(rng.choice((5, 50, 300))))
    await p.send(many, 1)
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def expecting(w, rng):
    """Asks whether the body is wanted, and then does otherwise."""
    p = await Peer.dial(w.address)
    p.write(request(w, "POST", "/publish/x/e", rng.choice((w.token("f"), None)), [("Expect", "100-continue"), ("Content-Length", "50")]))
    await asyncio.sleep(rng.random() * 0.5)
    p.write(b"e" * rng.choice((0, 10, 50, 90)))
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def strangers(w, rng):
    """Foreign hosts and origins, wrong methods and types."""
    path = rng.choice(("/chat", "/events", "/publish/x", "/token", "/echo", "/api/reload", "/metrics", "/"))
    headers = [rng.choice((("Origin", "https://evil.example"), ("Origin", "null"), ("Accept", "text/event-stream"), ("Content-Type", "image/png"),
                           ("Cookie", "belfry=" + w.token("f")), ("X-Forwarded-For", "10.1.2.3"), ("Upgrade", "h2c"), ("Connection", "close, upgrade")))]
    status, _, _ = await wire.call(w, rng.choice(("GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")), path,
                                   rng.choice((None, w.token("f"))), headers, rng.choice((None, b"body")), 10)
    if status >= 500 and status not in (501, 503):
        w.wrong(f"{path} with {headers} was answered {status}")


async def topic_flood(w, rng):
    """Topics that nobody has heard of."""
    body = "[" + ",".join(f'{{"topic":"flood/{rng.randrange(400)}","message":"m","ttl":3}}' for _ in range(50)) + "]"
    await wire.call(w, "POST", "/publish", w.token("f"), [("Content-Type", "application/json")], body)


async def burst(w, rng):
    """A thousand messages in one body, so that slow readers have something to lose."""
    n = rng.choice((100, 500, 1000))
    body = "[" + ",".join(f'{{"topic":"acct/b/{rng.randrange(3)}","message":"burst {i}"}}' for i in range(n)) + "]"
    await wire.call(w, "POST", "/publish", w.token("burst"), [("Content-Type", "application/json")], body, 30 * w.slow)


FAULTS = {f.__name__: f for f in (
    connect_and_go, idle_connection, cut_head, cut_body, cut_answer, half_closed, slow_head, slow_body, garbage, mutated, oversized, bad_tokens,
    pipelined, expecting, strangers, topic_flood, burst)}
