"""permessage-deflate against the running daemon (RFC 7692): the substance of Autobahn's cases 12 and 13, and what it does not try."""

import json
import os
import random
import struct
import time
import zlib

import pytest
from support import SLOW
from support.rawclient import BINARY, CLOSE, CONT, PING, PONG, TEXT, Eof, WebSocket, frame

LIMIT = 256 * 1024
CONF = {"limits": {"message": "256K", "body": "256K", "queue": "1M"}}
ANSWER = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
OFFER = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")]
RSV1 = 4


def deflate(data, level=6, bits=15, tail=False, strategy=zlib.Z_DEFAULT_STRATEGY, flush=zlib.Z_SYNC_FLUSH):
    z = zlib.compressobj(level, zlib.DEFLATED, -bits, 8, strategy)
    out = z.compress(data) + z.flush(flush)
    return out if tail or flush != zlib.Z_SYNC_FLUSH else out[:-4]


def inflate(data):
    """Strictly: by itself, whole, with the tail put on again."""
    z = zlib.decompressobj(-15)
    out = z.decompress(data + b"\x00\x00\xff\xff")
    assert not z.unused_data and not z.unconsumed_tail
    return out


def recv(ws):
    """(opcode, bytes, compressed) of the next data message; a Close frame as it is."""
    opcode, packed, parts = None, False, []
    while True:
        f = ws.recv_frame()
        if f.opcode == CLOSE:
            ws.closed_with = f
            return f
        if f.opcode in (PING, PONG):
            assert f.rsv == 0, f
            if f.opcode == PING:
                ws.send_frame(PONG, f.payload)
            continue
        if opcode is None:
            assert f.opcode in (TEXT, BINARY) and f.rsv in (0, RSV1), f
            opcode, packed = f.opcode, f.rsv == RSV1
        else:
            assert f.opcode == CONT and f.rsv == 0, f
        parts.append(f.payload)
        if f.fin:
            data = b"".join(parts)
            return opcode, inflate(data) if packed else data, packed


def closed(ws, *codes):
    f = recv(ws)
    assert not isinstance(f, tuple), f
    assert f.code in codes, (f.code, f.payload[2:])
    ws.conn.rest()


@pytest.fixture
def z(daemon):
    r, ws = WebSocket.open(daemon.address, "/echo", OFFER)
    assert r.header("Sec-WebSocket-Extensions") == ANSWER, r
    with ws:
        yield ws


# -- the offer -------------------------------------------------------------------------------------------------------------

X = "permessage-deflate"
OFFERS = {
    X: ANSWER, X + "; client_max_window_bits": ANSWER, X + "; client_max_window_bits=10": ANSWER, X + ";client_max_window_bits=15": ANSWER,
    X + "; server_no_context_takeover": ANSWER, X + "; client_no_context_takeover": ANSWER, X + '; client_max_window_bits="12"': ANSWER,
    X + "; server_max_window_bits=15": ANSWER + "; server_max_window_bits=15", X + "; server_max_window_bits=9": ANSWER + "; server_max_window_bits=9",
    X + "; server_max_window_bits=10, " + X: ANSWER + "; server_max_window_bits=10", "x-webkit-deflate-frame, " + X: ANSWER, "x; y=z, " + X: ANSWER,
    X + "; unknown, " + X: ANSWER, X + "; unknown": None, X + "; server_max_window_bits": None, X + "; server_max_window_bits=7": None,
    X + "; server_max_window_bits=16": None, X + "; server_max_window_bits=08": None, X + "; client_max_window_bits=7": None, X + "; client_max_window_bits=016": None,
    X + "; server_no_context_takeover=1": None, X + "; client_no_context_takeover; client_no_context_takeover": None, X + "; server_max_window_bits=x": None,
    X + "; client_max_window_bits=-9": None, "permessage-bzip2": None, "x-webkit-deflate-frame": None, "deflate": None,
}


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("path", ["/echo", "/chat"])
def test_offer(daemon, path, offer):
    """Taken, or declined by saying nothing; an offer with unknown or bad parameters is none."""
    r, ws = WebSocket.open(daemon.address, path, [*daemon.bearer().items(), ("Sec-WebSocket-Extensions", offer)])
    assert ws is not None, r
    ws.drop()
    assert r.header("Sec-WebSocket-Extensions") == OFFERS[offer], r


@pytest.mark.parametrize("offer", [";", X + ";", X + ";;", X + "; =5", X + "; client_max_window_bits=", X + '; client_max_window_bits="', X + "; a b", "@", X + '; x="a b"'])
def test_malformed_offer(daemon, offer):
    r, ws = WebSocket.open(daemon.address, "/echo", [("Sec-WebSocket-Extensions", offer)])
    assert ws is None and r.problem(400), r


def test_offers_in_two_headers(daemon):
    r, ws = WebSocket.open(daemon.address, "/echo", [("Sec-WebSocket-Extensions", "x"), ("Sec-WebSocket-Extensions", X)])
    assert r.header("Sec-WebSocket-Extensions") == ANSWER, r
    ws.drop()


def test_switched_off(start):
    d = start({"chat": {"compression": False}})
    r, ws = WebSocket.open(d.address, "/echo", OFFER)
    assert r.header("Sec-WebSocket-Extensions") is None, r
    ws.send_frame(TEXT, deflate(b"x" * 500), rsv=RSV1)
    closed(ws, 1002)


def test_unasked(daemon):
    r, ws = WebSocket.open(daemon.address, "/echo")
    assert r.header("Sec-WebSocket-Extensions") is None
    ws.send_frame(TEXT, deflate(b"hello"), rsv=RSV1)
    closed(ws, 1002)


# -- messages ----------------------------------------------------------------------------------------------------------------


def sample(kind, n):
    if kind == "random":
        return random.Random(n).randbytes(n)
    if kind == "zeros":
        return b"\0" * n
    text = json.dumps([{"name": f"n{i}", "value": i * i % 97, "text": "κόσμε 🔔"} for i in range(n // 40 + 1)], ensure_ascii=False).encode()
    return text[:n].decode("utf-8", "ignore").encode()


@pytest.mark.parametrize("n", [0, 1, 16, 64, 125, 126, 255, 256, 257, 1024, 4096, 8192, 16384, 32768, 65535, 65536, 131072, LIMIT])
@pytest.mark.parametrize("kind", ["text", "random", "zeros"])
def test_sizes(z, kind, n):
    data = sample(kind, n)
    opcode = BINARY if kind == "random" else TEXT
    for _ in range(3):
        z.send_frame(opcode, deflate(data), rsv=RSV1)
        got = recv(z)
        assert got[:2] == (opcode, data)
        if kind == "zeros" and n >= 256:
            assert got[2], "not compressed"
        z.send_frame(opcode, data)
        assert recv(z)[:2] == (opcode, data)


@pytest.mark.parametrize("how", [{"level": 0}, {"level": 1}, {"level": 9}, {"strategy": zlib.Z_FIXED}, {"strategy": zlib.Z_HUFFMAN_ONLY}, {"strategy": zlib.Z_RLE}, {"bits": 9},
                                 {"bits": 12}, {"flush": zlib.Z_FINISH}, {"flush": zlib.Z_FULL_FLUSH}, {"tail": True}], ids=repr)
def test_any_deflate(z, how):
    """Stored, fixed and dynamic blocks, any window, a final block, a tail that was left on: 7.2.3."""
    for data in (b"", b"hello", sample("text", 5000), sample("random", 5000)):
        packed = deflate(data, **how)
        if how.get("flush") == zlib.Z_FINISH:
            packed += b"\x00"  # 7.2.3.4
        z.send_frame(BINARY, packed, rsv=RSV1)
        assert recv(z)[:2] == (BINARY, data), how


def test_rfc_examples(z):
    """RFC 7692 7.2.3."""
    for hexed in ("f248cdc9c90700", "000500faff48656c6c6f00", "f348cdc9c9070000", "f24805000000ffffcac9c90700"):
        z.send_frame(TEXT, bytes.fromhex(hexed), rsv=RSV1)
        assert recv(z)[:2] == (TEXT, b"Hello"), hexed
    z.send_frame(TEXT, bytes.fromhex("f248cd"), rsv=RSV1, fin=False)
    z.send_frame(CONT, bytes.fromhex("c9c90700"))
    assert recv(z)[:2] == (TEXT, b"Hello")


@pytest.mark.parametrize("step", [1, 7, 256, 4096])
def test_fragments(z, step):
    data = sample("text", 40 * step if step > 1 else 3000)
    packed = deflate(data)
    parts = [packed[i:i + step] for i in range(0, len(packed), step)]
    for i, part in enumerate(parts):
        if i == 1:
            z.send_frame(PING, b"between")
        z.send_frame(TEXT if i == 0 else CONT, part, rsv=RSV1 if i == 0 else 0, fin=i == len(parts) - 1)
    assert recv(z)[:2] == (TEXT, data)


def test_empty_fragments(z):
    packed = deflate(b"hello" * 100)
    z.send_frame(TEXT, b"", rsv=RSV1, fin=False)
    for piece in (packed[:5], b"", packed[5:]):
        z.send_frame(CONT, piece, fin=False)
    z.send_frame(CONT, b"")
    assert recv(z)[:2] == (TEXT, b"hello" * 100)


def test_empty_message(z):
    """7.2.3.6: one zero byte; and nothing at all, which inflates to nothing."""
    for packed in (b"\x00", b""):
        z.send_frame(TEXT, packed, rsv=RSV1)
        assert recv(z)[:2] == (TEXT, b"")


def test_byte_by_byte(z):
    data = sample("text", 1500)
    for byte in frame(TEXT, deflate(data), rsv=RSV1):
        z.conn.send(bytes([byte]))
    assert recv(z)[:2] == (TEXT, data)


def test_many_in_one_write(z):
    texts = [sample("text", 200 + 13 * i) for i in range(60)]
    z.conn.send(b"".join(frame(TEXT, deflate(t) if i % 3 else t, rsv=RSV1 if i % 3 else 0) for i, t in enumerate(texts)))
    for t in texts:
        assert recv(z)[:2] == (TEXT, t)


def test_each_message_by_itself(z):
    """client_no_context_takeover: a message that refers to the one before cannot be read."""
    c = zlib.compressobj(6, zlib.DEFLATED, -15)
    data = os.urandom(400)
    first = c.compress(data) + c.flush(zlib.Z_SYNC_FLUSH)
    second = c.compress(data) + c.flush(zlib.Z_SYNC_FLUSH)
    assert len(second) < 50
    z.send_frame(BINARY, first[:-4], rsv=RSV1)
    assert recv(z)[1] == data
    z.send_frame(BINARY, second[:-4], rsv=RSV1)
    closed(z, 1002, 1007)


def test_two_connections_mixed(daemon):
    """One inflater and one deflater a worker: messages of several connections in pieces do not mix."""
    sockets = [WebSocket.open(daemon.address, "/echo", OFFER)[1] for _ in range(6)]
    datas = [sample("text" if i % 2 else "random", 3000 + i) for i in range(6)]
    packed = [frame(BINARY, deflate(d), rsv=RSV1) for d in datas]
    for at in range(0, max(map(len, packed)), 500):
        for ws, p in zip(sockets, packed):
            ws.conn.send(p[at:at + 500])
    for ws, d in zip(sockets, datas):
        assert recv(ws)[1] == d
        ws.drop()


def test_small_window_of_the_peer(daemon):
    """server_max_window_bits below 15: what comes back fits it, by being plain."""
    r, ws = WebSocket.open(daemon.address, "/echo", [("Sec-WebSocket-Extensions", X + "; server_max_window_bits=9")])
    data = sample("text", 20000)
    ws.send_frame(TEXT, deflate(data), rsv=RSV1)
    opcode, got, packed = recv(ws)
    assert got == data and not packed
    ws.drop()


# -- what is wrong ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"\xff", b"\x07", b"\xff" * 50, b"\x06\x00", b"\x01\x05\x00\x00\x00hello", b"\x00\x05\x00\xfa\xff", b"\xed\xfd\x01", b"\x8f\x3c" * 150],
                         ids=lambda d: d[:8].hex())
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_bad_data(z, opcode, data):
    z.send_frame(opcode, data + b"\x06" * 4, rsv=RSV1)
    closed(z, 1002, 1007)


@pytest.mark.parametrize("text", [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"abc" * 1000 + b"\xce", b"\xce" + b"x" * 5000])
def test_bad_utf8_inside(z, text):
    z.send_frame(TEXT, deflate(text), rsv=RSV1)
    closed(z, 1007)


def test_binary_is_not_checked(z):
    z.send_frame(BINARY, deflate(b"\xff\xfe\xc0"), rsv=RSV1)
    assert recv(z)[:2] == (BINARY, b"\xff\xfe\xc0")


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_rsv1_on_control(z, opcode):
    z.send_frame(opcode, b"", rsv=RSV1)
    closed(z, 1002)


def test_rsv1_on_continuation(z):
    packed = deflate(b"hello")
    z.send_frame(TEXT, packed[:3], rsv=RSV1, fin=False)
    z.send_frame(CONT, packed[3:], rsv=RSV1)
    closed(z, 1002)


@pytest.mark.parametrize("rsv", [1, 2, 3, 5, 6, 7])
def test_other_bits(z, rsv):
    z.send_frame(TEXT, deflate(b"hello"), rsv=rsv)
    closed(z, 1002)


@pytest.mark.parametrize("size", [LIMIT + 1, 1 << 20, 64 << 20])
def test_bomb(daemon, z, size):
    """64 MiB in 64 KiB: refused while inflating, memory stays where it is."""
    z.send("warm")
    assert recv(z)[1] == b"warm"
    packed = deflate(b"\0" * size, level=9)
    before, began = daemon.rss(), time.monotonic()
    z.send_frame(BINARY, packed, rsv=RSV1)
    closed(z, 1009)
    assert time.monotonic() - began < 2 * SLOW
    assert daemon.rss() - before < 4 << 20
    assert daemon.http("GET", "/healthz").status == 200


def test_bomb_in_fragments(z):
    packed = deflate(b"\0" * (64 << 20), level=9)
    try:
        for at in range(0, len(packed), 1000):
            z.send_frame(BINARY if at == 0 else CONT, packed[at:at + 1000], rsv=RSV1 if at == 0 else 0, fin=at + 1000 >= len(packed))
    except OSError:
        pass
    closed(z, 1009)


def test_bomb_within_a_bomb(z):
    """Stored blocks of nothing, without end: input that yields no output is bounded as well."""
    empty = b"\x00\x00\x00\xff\xff"
    z.send_frame(BINARY, empty * (LIMIT // 5) + b"\x00", rsv=RSV1)
    try:
        got = recv(z)
    except Eof:
        return
    assert not isinstance(got, tuple) and got.code in (1009, 1002, 1007) or got[:2] == (BINARY, b""), got


def test_message_just_fits(z):
    for data in (b"x" * LIMIT, random.Random(1).randbytes(LIMIT)):
        z.send_frame(BINARY, deflate(data), rsv=RSV1)
        got = recv(z)
        assert not isinstance(got, tuple) and got.code == 1009 and len(deflate(data)) > LIMIT or got[1] == data


# -- the chat ---------------------------------------------------------------------------------------------------------------------


def chat(d, room, sub, headers=OFFER):
    r, ws = WebSocket.open(d.address, "/chat", [*d.bearer(sub=sub).items(), *headers])
    assert ws is not None, r
    ws.send_frame(TEXT, json.dumps({"type": "join", "room": room, "last": 0}))
    while json.loads(recv(ws)[1])["type"] != "joined":
        pass
    return ws


def until_chat(ws):
    while True:
        _, data, packed = recv(ws)
        m = json.loads(data)
        if m["type"] == "chat":
            return m, packed


@pytest.mark.parametrize("content", ["short", "x" * 300, "κόσμε 🔔 " * 400, "a\nb" * 2000])
def test_chat(daemons, room, content):
    """Everybody reads the same, in a compressed frame or a plain one, as they asked."""
    with chat(daemons, room, "a") as a, chat(daemons, room, "b") as b, chat(daemons, room, "c", headers=()) as c:
        small = chat(daemons, room, "d", headers=[("Sec-WebSocket-Extensions", X + "; server_max_window_bits=9")])
        for packed in (True, False):
            text = json.dumps({"type": "chat", "room": room, "content": content}).encode()
            a.send_frame(TEXT, deflate(text) if packed else text, rsv=RSV1 if packed else 0)
            got = [until_chat(ws) for ws in (b, c, small)]
            assert all(m["content"] == content and m["id"] == got[0][0]["id"] for m, _ in got)
            assert [p for _, p in got] == [len(content.encode()) >= 300, False, False]
        small.drop()


def test_chat_over_the_limit(daemon, room):
    with chat(daemon, room, "a") as a:
        text = json.dumps({"type": "chat", "room": room, "content": "x" * LIMIT}).encode()
        a.send_frame(TEXT, deflate(text), rsv=RSV1)
        while isinstance(f := recv(a), tuple):
            pass
        assert f.code == 1009, f


def test_random(z):
    """Random messages in random pieces."""
    rng = random.Random(7)
    for _ in range(150):
        data = sample(rng.choice(["text", "random", "zeros"]), rng.choice([0, 1, 50, 300, 3000, 30000]))
        packed = rng.random() < 0.7
        wire = deflate(data, level=rng.choice([0, 1, 6, 9]), bits=rng.choice([9, 12, 15])) if packed else data
        opcode = BINARY
        while True:
            n = rng.choice([len(wire), rng.randrange(0, len(wire) + 1)])
            z.send_frame(opcode, wire[:n], rsv=RSV1 if packed and opcode == BINARY else 0, fin=n == len(wire))
            if n == len(wire):
                break
            if rng.random() < 0.3:
                z.send_frame(PING, b"p")
            wire, opcode = wire[n:], CONT
        got = recv(z)
        assert got[:2] == (BINARY, data)
    z.send_frame(CLOSE, struct.pack("!H", 1000))
    closed(z, 1000)
