"""Faults of WebSocket and stream clients: each is one connection that goes wrong on purpose, in some state."""

import asyncio
import json
import os
import struct
import zlib

import wire
from faults_http import ENDS, some
from support.rawclient import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame
from wire import Peer, upgrade


async def open_ws(w, rng, path="/chat?room=faults", token=None, rcvbuf=None, limit=1 << 16, packs=None):
    """Upgraded, nothing read yet."""
    p = await Peer.dial(w.address, rcvbuf=rcvbuf, limit=limit)
    packs = rng.random() < 0.5 if packs is None else packs
    p.write(upgrade(w, path, token or w.token(f"f{rng.randrange(30)}"),
                    [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")] if packs else ()))
    try:
        raw = await asyncio.wait_for(p.reader.readuntil(b"\r\n\r\n"), 30 * w.slow)
    except asyncio.LimitOverrunError:
        raw = b"HTTP/1.1 101"
    except BaseException:
        p.end("rst")
        raise
    if b" 101 " not in raw[:20]:
        p.end(rng.choice(ENDS))
        raise wire.Refused(int(raw[9:12]))
    p.packs = b"permessage-deflate" in raw
    return p


def text(**m):
    return frame(TEXT, json.dumps(m))


async def ends(w, rng):
    """Opened, perhaps used, and ended in every way, in the middle of a frame too."""
    p = await open_ws(w, rng)
    whole = text(type="chat", content="x" * rng.choice((1, 200, 20_000)), key=w.key("f")) + text(type="join", room=f"f{rng.randrange(9)}", after="all")
    await p.send(whole[:rng.choice((0, 1, 3, rng.randrange(len(whole)), len(whole)))])
    if rng.random() < 0.3:
        p.half_close()
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def protocol(w, rng):
    """Frames that RFC 6455 does not know; the connection must be closed."""
    p = await open_ws(w, rng, rng.choice(("/chat?room=faults", "/echo")))
    bad = rng.choice((
        frame(TEXT, b"hi", mask=False), frame(3, b"x"), frame(11, b"x"), frame(TEXT, b"x", rsv=2), frame(PING, b"x" * 126), frame(PING, b"x", fin=False),
        frame(CONT, b"x"), frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), frame(TEXT, b"\xff\xfe"), frame(CLOSE, b"\x03"), frame(CLOSE, struct.pack("!H", 1005)),
        frame(CLOSE, struct.pack("!H", 1000) + b"\xff"), frame(TEXT, b"x", form=64)[:2] + b"\xff" * 8, frame(TEXT, b"x", form=16), os.urandom(500),
        frame(BINARY, b"x") if rng.random() < 0.5 else frame(CONT, b""), frame(TEXT, b"x" * 2_000_000), frame(TEXT, b"y", rsv=4) * 3,
        (frame(TEXT, b"z" * 50, fin=False) + frame(CONT, b"z" * 9000, fin=False) * 300)))
    await p.send(bad, 2)
    if await p.rest(rng.choice((0.1, 10))) is None:
        w.counts["connections that outlived a bad frame"] += 1
    p.end(rng.choice(ENDS))


async def bombs(w, rng):
    """64 MiB in 64 KiB, garbage, and other deflate streams that are none."""
    p = await open_ws(w, rng, rng.choice(("/chat?room=faults", "/echo")), packs=True)
    if p.packs:
        z = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = z.compress(bytes(64 << 20)) + z.flush(zlib.Z_SYNC_FLUSH)
        await p.send(rng.choice((frame(TEXT, bomb[:-4], rsv=4), frame(TEXT, os.urandom(500), rsv=4), frame(TEXT, b"", rsv=4), frame(TEXT, wire.deflate(b"\xff" * 99), rsv=4),
                                 frame(TEXT, wire.deflate(b'{"type":"ping"}')[:-1], fin=False, rsv=4) + frame(CONT, b"", rsv=4))), 2)
    await p.rest(rng.choice((0.1, 5)))
    p.end(rng.choice(ENDS))


async def chatter(w, rng):
    """Requests with wrong members; the connection must stay."""
    p = await open_ws(w, rng)
    for _ in range(rng.choice((1, 10, 60))):
        p.write(frame(TEXT, rng.choice((
            b"", b"{", b"[]", b"null", b'{"type":5}', b'{"type":"nope","ref":1}', b'{"type":"chat"}', b'{"type":"chat","content":5,"ref":"x"}', b'{"type":"join","room":"*"}',
            b'{"type":"join","room":"' + b"r" * 300 + b'"}', b'{"type":"subscribe","topic":"a/**/b"}', b'{"type":"chat","content":"\\ud800"}', b"[" * 3000, b'{"a":' * 500,
            b'{"type":"edit","target":1,"content":"x"}', b'{"type":"kick","room":"faults","user":"x"}', b'{"type":"history","room":"faults","limit":-1}',
            b'{"type":"join","room":"x","last":-1}', b'{"type":"join","room":"x","after":"never"}', b'{"type":"refresh","token":"x"}', b'{"type":"publish","topic":"server/x"}',
            b'{"type":"leave","room":"nowhere"}', b'{"type":"chat","room":"nowhere","content":"x"}', b'{"type":"chat","content":"x","key":"' + b"k" * 90 + b'"}',
            b'{"type":"publish","topic":"x","message":"m","at":"+10m"}', b'{"type":"members","room":"nowhere"}', b'{"type":"chat","content":"\\u0000","reply_to":"x"}'))))
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def mutated_frames(w, rng):
    """Good frames with a few bytes changed."""
    p = await open_ws(w, rng, rng.choice(("/chat?room=faults", "/chat?format=text&room=faults", "/chat?format=raw&room=raw", "/echo")))
    data = bytearray(text(type="chat", content="hello") + frame(PING, b"p") + text(type="join", room="f1", last=5, ref=1) + text(type="history", room="f1"))
    for _ in range(rng.choice((1, 3, 10))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    await p.send(bytes(data), 2)
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def floods(w, rng):
    """Pings, unread pongs, requests whose answers nobody reads, one-byte fragments, joins and leaves."""
    p = await open_ws(w, rng, rcvbuf=rng.choice((None, 2048)), limit=1024)
    what = rng.randrange(5)
    for k in range(rng.choice((20, 300))):
        if w.leaving or p.writer.transport.is_closing():
            break
        if what == 0:
            data = frame(PING, b"x" * 125) * 20
        elif what == 1:
            data = text(type="history", topic="acct/**", limit=1000, ref=k)
        elif what == 2:
            data = frame(TEXT, b"{", fin=False) + frame(CONT, b" ", fin=False) * 200 + frame(CONT, b"}")
        elif what == 3:
            data = text(type="join", room=f"s{k % 150}", last=0) + text(type="leave", room=f"s{(k + 75) % 150}")
        else:
            data = frame(PONG, b"unasked") * 20 + text(type="typing", room="faults") + text(type="rooms")
        if not await p.send(data, 1):
            break
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def deaf(w, rng):
    """Subscribes to everything, reads nothing until its queue is full, and then reads on, or ends."""
    p = await open_ws(w, rng, rcvbuf=2048, limit=1024)
    p.write(text(type="subscribe", topic="acct/**", last=1000) + b"".join(text(type="join", room=f"r{i}", last=1000) for i in range(8)))
    await w.nap(rng.choice((1, 3, 8)))
    if rng.random() < 0.5:
        await p.rest(rng.choice((1, 3)))
    p.end(rng.choice(ENDS))


async def raw_deaf(w, rng):
    p = await open_ws(w, rng, "/chat?format=raw&room=raw", rcvbuf=2048, limit=1024)
    q = await open_ws(w, rng, "/chat?format=raw&room=raw")
    for _ in range(60):
        await q.send(frame(BINARY, os.urandom(8000)), 1)
    await asyncio.sleep(rng.random())
    await some(p, rng)
    p.end(rng.choice(ENDS))
    q.end(rng.choice(ENDS))


async def short_lived(w, rng):
    """A token that ends in the middle, refreshed by a bad one, by one that grants less, or not at all."""
    p = await open_ws(w, rng, token=w.token("short", ttl=rng.choice((-1, 0, 1, 2))))
    p.write(text(type="join", room="f2") + text(type="subscribe", topic="acct/**"))
    await asyncio.sleep(rng.random())
    p.write(text(type="refresh", token=rng.choice((
        w.token("short", ttl=1), w.token("somebody else"), w.token("short", ttl=-99), w.token("short", ttl=9, subscribe=["chat/f2"], publish=[]), "x"))))
    await p.rest(rng.choice((1, 8)))
    p.end(rng.choice(ENDS))


async def handshakes(w, rng):
    """Upgrades that are wrong in one way or another, and frames that come early."""
    p = await Peer.dial(w.address)
    head = upgrade(w, rng.choice(("/chat", "/echo", "/events", "/chat?room=a/b", "/chat?last=-1", "/chat?format=nope", "/chat?after=never")), w.token("f"))
    old, new = rng.choice(((b"Version: 13", b"Version: 8"), (b"Key: dGhl", b"Key: "), (b"Upgrade: websocket", b"Upgrade: x"), (b"GET", b"POST"), (b"HTTP/1.1", b"HTTP/1.0"),
                           (b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: other\r\n\r\n"), (b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: x;;\r\n\r\n"),
                           (b"\r\n\r\n", b"\r\nOrigin: https://evil.example\r\n\r\n"), (b"x", b"x")))
    await p.send(head.replace(old, new) + rng.choice((b"", text(type="ping"), os.urandom(50))))
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def storm(w, rng):
    """Many at once come into one room and go."""
    async def one():
        p = await open_ws(w, rng, f"/chat?room=storm&last={rng.choice((0, 50))}")
        p.write(text(type="chat", content="here"))
        await asyncio.sleep(rng.random() * 0.5)
        p.end(rng.choice(ENDS))

    found = await asyncio.gather(*(one() for _ in range(rng.choice((10, 40)))), return_exceptions=True)
    w.counts["storms' connections refused"] += sum(1 for f in found if isinstance(f, Exception))


# -- streams --


async def open_stream(w, rng, path, rcvbuf=None, limit=1 << 16, headers=()):
    p = await Peer.dial(w.address, rcvbuf=rcvbuf, limit=limit)
    p.write(wire.request(w, "GET", path, w.token("f"), [("Accept", rng.choice(("text/event-stream", "application/x-ndjson"))), *headers]))
    return p


async def stream_ends(w, rng):
    """A stream that is cut, half-closed, or talked into."""
    p = await open_stream(w, rng, rng.choice(("/events?topic=acct/**&last=1000", "/events?topic=chat/*&after=all", "/chat?room=r1&after=all", "/chat?room=f3")))
    await asyncio.sleep(rng.choice((0, 0.01, 0.5)))
    what = rng.randrange(4)
    if what == 0:
        p.half_close()
    elif what == 1:
        p.write(wire.request(w, "GET", "/healthz"))
    elif what == 2:
        p.write(os.urandom(rng.choice((10, 100_000))))
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def stream_deaf(w, rng):
    """Reads nothing; then on, or ends."""
    p = await open_stream(w, rng, rng.choice(("/events?topic=acct/**&topic=chat/*&last=1000", "/chat?room=r1&last=1000")), 2048, 1024)
    await w.nap(rng.choice((1, 4, 12)))
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def positions(w, rng):
    """Positions that lead nowhere, topics that are none."""
    q = rng.choice(("after=0", "after=x", "last_event_id=99999999999999999999", "lastEventID=-5", "after=9007199254740991", "last=x", "last=-1", "topic=", "topic=a//b",
                    "topic=server/x", "topic=user/somebody", "after=2020-01-01T00:00:00Z", "wait=0", "heartbeat=1", "after=%00"))
    p = await open_stream(w, rng, f"/events?{q}&topic=acct/a/*", headers=rng.choice(((), [("Last-Event-ID", "x")], [("Last-Event-ID", "1234567890123456")])))
    await some(p, rng)
    p.end(rng.choice(ENDS))


async def lost_sessions(w, rng):
    """Posts to sessions that are wrong, another's, gone, or going."""
    p = await open_stream(w, rng, "/chat?room=f4&after=all", headers=[("Accept", "text/event-stream")])
    session = rng.choice(("0" * 34, "x", "f" * 3000))
    try:
        got = await asyncio.wait_for(p.reader.readuntil(b"data: "), 5)
        if b"event: user" in got and rng.random() < 0.8:
            session = (await p.reader.readuntil(b"\n"))[:-1].decode()
    except (EOFError, asyncio.TimeoutError, asyncio.LimitOverrunError):
        pass
    token = w.token(rng.choice(("f", "f", "f", "thief")))
    posts = [asyncio.create_task(wire.call(w, "POST", f"/chat/{session}", token, [("Content-Type", rng.choice(("application/json", "text/plain", "image/png")))],
                                           rng.choice(('{"type":"chat","content":"x"}', '{"type":"join","room":"f5"}', "words", '{"type":"history","room":"f4"}'))))
             for _ in range(rng.choice((1, 4, 12)))]
    if rng.random() < 0.6:
        await asyncio.sleep(rng.random() * 0.02)
        p.end(rng.choice(ENDS))
    await asyncio.gather(*posts, return_exceptions=True)
    p.end(rng.choice(ENDS))


FAULTS = {f.__name__: f for f in (
    ends, protocol, bombs, chatter, mutated_frames, floods, deaf, raw_deaf, short_lived, handshakes, storm, stream_ends, stream_deaf, positions,
    lost_sessions)}
