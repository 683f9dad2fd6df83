"""WebSocket (RFC 6455) against /echo and /chat: handshake, frames, closing, limits."""

import base64
import os
import struct
import time

import pytest
from support import SLOW, rawclient
from support.rawclient import BINARY, CLOSE, CONT, PING, PONG, TEXT, Frame, build, frame, upgrade_headers

LIMIT = 65536
CONF = {"limits": {"message": LIMIT}, "chat": {"heartbeat": "30s"}}


@pytest.fixture
def echo(daemon):
    with daemon.ws("/echo", token=daemon.token()) as ws:
        yield ws


def same(ws, payload):
    ws.send(payload)
    opcode, got = ws.recv_message()
    assert opcode == (BINARY if isinstance(payload, bytes) else TEXT)
    assert got == (payload if isinstance(payload, bytes) else payload.encode())


def closes(ws, code):
    """The daemon closes with the code, and ends the connection."""
    ws.expect_close(code)
    ws.conn.rest()


# -- handshake ------------------------------------------------------------------------------------------------------------


def handshake(daemon, headers, path="/echo", version="HTTP/1.1", method="GET"):
    pairs = [("Authorization", f"Bearer {daemon.token()}")] + list(headers)
    with daemon.conn() as c:
        c.send(build(method, path, pairs).replace(b"HTTP/1.1\r\n", version.encode() + b"\r\n", 1))
        r = c.head()
        length = r.header("Content-Length")
        if length:
            r.body = c.exactly(int(length))
        return r


def test_good(daemon):
    assert handshake(daemon, upgrade_headers()).status == 101


def without(*names):
    return [(k, v) for k, v in upgrade_headers() if k not in names]


@pytest.mark.parametrize("upgrade, connection", [("WebSocket", "keep-alive, Upgrade"), ("websocket", "UPGRADE"), ("WEBSOCKET", "upgrade,keep-alive")])
def test_case_and_lists(daemon, upgrade, connection):
    h = [("Upgrade", upgrade), ("Connection", connection)] + without("Upgrade", "Connection")
    assert handshake(daemon, h).status == 101


BAD_HANDSHAKES = {
    "version 12": (upgrade_headers(version="12"), (400, 426)),
    "version 8": (upgrade_headers(version="8"), (400, 426)),
    "no version": (without("Sec-WebSocket-Version"), (400, 426)),
    "two versions": (upgrade_headers() + [("Sec-WebSocket-Version", "13")], (400,)),
    "no key": (without("Sec-WebSocket-Key"), (400,)),
    "two keys": (upgrade_headers() + [("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")], (400,)),
    "short key": (upgrade_headers(key=base64.b64encode(b"x" * 15).decode()), (400,)),
    "long key": (upgrade_headers(key=base64.b64encode(b"x" * 17).decode()), (400,)),
    "key not base64": (upgrade_headers(key="!" * 24), (400,)),
    "key empty": (upgrade_headers(key=" "), (400,)),
    "upgrade to something else": ([("Upgrade", "h2c")] + without("Upgrade"), (400, 426)),
}


@pytest.mark.parametrize("name", BAD_HANDSHAKES)
def test_bad_handshake(daemon, name):
    headers, statuses = BAD_HANDSHAKES[name]
    r = handshake(daemon, headers)
    assert r.status in statuses, r
    r.problem(r.status)
    if "version" in name and "two" not in name:
        assert r.header("Sec-WebSocket-Version") == "13", r


def test_no_upgrade_header(daemon):
    for headers in (without("Upgrade"), without("Connection"), []):
        assert handshake(daemon, headers).status in (400, 426)


def test_http_1_0(daemon):
    assert handshake(daemon, upgrade_headers(), version="HTTP/1.0").status in (400, 426, 505)


def test_post(daemon):
    assert handshake(daemon, upgrade_headers(), method="POST").status in (400, 405)


def test_subprotocol(daemon):
    ws = daemon.ws(protocols=["belfry.v1"])
    assert ws.response.header("Sec-WebSocket-Protocol") == "belfry.v1"
    ws = daemon.ws(protocols=["other", "belfry.v1"])
    assert ws.response.header("Sec-WebSocket-Protocol") == "belfry.v1"
    ws = daemon.ws()
    assert ws.response.header("Sec-WebSocket-Protocol") is None
    r = daemon.ws(protocols=["other"], refuse=True)
    assert "belfry.v1" in r.problem(400)["detail"]


def test_no_extension_unasked(daemon):
    assert handshake(daemon, upgrade_headers()).header("Sec-WebSocket-Extensions") is None
    r = handshake(daemon, upgrade_headers(extra={"Sec-WebSocket-Extensions": "x-unknown; a=b"}))
    assert r.status == 101 and r.header("Sec-WebSocket-Extensions") is None


def test_refused_before_the_upgrade(daemon):
    daemon.ws("/chat", token="", refuse=True).problem(401, "unauthorized")
    daemon.ws("/chat", token="x.y.z", refuse=True).problem(401, "invalid_token")


def test_echo_off(start):
    d = start({"echo": False})
    assert d.ws("/echo", token=d.token(), refuse=True).status == 404


def test_echo_plain_get(daemon):
    daemon.http("GET", "/echo", token=daemon.token()).problem(426, "upgrade_required")


def test_early_frames(daemon):
    """Frames sent together with the request are not lost."""
    r, ws = rawclient.WebSocket.open(daemon.address, "/echo", daemon.bearer(), early=frame(TEXT, "early") + frame(TEXT, "bird"))
    assert r.status == 101
    assert ws.recv_text() == "early" and ws.recv_text() == "bird"


# -- frames -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 1, 125, 126, 127, 128, 65535, 65536])
@pytest.mark.parametrize("kind", ["text", "binary"])
def test_lengths(echo, n, kind):
    same(echo, "*" * n if kind == "text" else b"\xfe" * n)


def test_byte_by_byte(echo):
    for b in frame(TEXT, "slowly"):
        echo.conn.send(bytes([b]))
    assert echo.recv_text() == "slowly"


def test_many_in_one_write(echo):
    echo.conn.send(b"".join(frame(TEXT, str(i)) for i in range(500)))
    assert [echo.recv_text() for i in range(500)] == [str(i) for i in range(500)]


def test_zero_mask_key(echo):
    echo.conn.send(frame(TEXT, "plain", key=b"\0\0\0\0"))
    assert echo.recv_text() == "plain"


@pytest.mark.parametrize("form, n", [(16, 5), (64, 5), (64, 200)])
def test_length_not_minimal(echo, form, n):
    """RFC 6455 5.2: the minimal number of bytes must be used."""
    echo.conn.send(frame(TEXT, "x" * n, form=form))
    closes(echo, 1002)


def test_length_top_bit(echo):
    echo.conn.send(b"\x81\xff" + b"\xff" * 8 + b"\0\0\0\0")
    closes(echo, (1002, 1009))


def test_unmasked(echo):
    echo.send_frame(TEXT, "naked", mask=False)
    closes(echo, 1002)


@pytest.mark.parametrize("rsv", [1, 2, 4, 7])
def test_reserved_bits(echo, rsv):
    echo.send_frame(TEXT, "x", rsv=rsv)
    closes(echo, 1002)


@pytest.mark.parametrize("opcode", [3, 4, 5, 6, 7, 11, 12, 13, 14, 15])
def test_reserved_opcodes(echo, opcode):
    echo.send_frame(opcode, "x")
    closes(echo, 1002)


def test_reserved_opcode_after_good_frame(echo):
    echo.conn.send(frame(TEXT, "first") + frame(5, "x"))
    assert echo.recv_text() == "first"
    closes(echo, 1002)


# -- fragments ----------------------------------------------------------------------------------------------------------------


def test_fragments(echo):
    echo.send_frame(TEXT, "a", fin=False).send_frame(CONT, "b", fin=False).send_frame(CONT, "c")
    assert echo.recv_text() == "abc"


def test_many_fragments(echo):
    """No limit on the number of fragments but the message's size."""
    echo.conn.send(frame(BINARY, b"", fin=False) + frame(CONT, b"x", fin=False) * 5000 + frame(CONT, b""))
    assert echo.recv_message()[1] == b"x" * 5000


def test_empty_fragments(echo):
    echo.send_frame(TEXT, "", fin=False).send_frame(CONT, "", fin=False).send_frame(CONT, "")
    assert echo.recv_text() == ""


def test_control_between_fragments(echo):
    echo.send_frame(TEXT, "a", fin=False).send_frame(PING, "p").send_frame(CONT, "b")
    f = echo.recv_frame()
    assert (f.opcode, f.payload) == (PONG, b"p")
    assert echo.recv_text() == "ab"


def test_continuation_of_nothing(echo):
    echo.send_frame(CONT, "x")
    closes(echo, 1002)


def test_new_message_within_fragments(echo):
    echo.send_frame(TEXT, "a", fin=False).send_frame(TEXT, "b")
    closes(echo, 1002)


# -- control frames -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"hello", b"\x00\xff\xfe", b"x" * 125])
def test_ping(echo, payload):
    echo.send_frame(PING, payload)
    f = echo.recv_frame()
    assert (f.opcode, f.payload) == (PONG, payload)


def test_many_pings(echo):
    echo.conn.send(b"".join(frame(PING, str(i)) for i in range(10)))
    got = [echo.recv_frame().payload for _ in range(10)]
    assert got == [str(i).encode() for i in range(10)]


def test_unsolicited_pong(echo):
    echo.send_frame(PONG, "x")
    same(echo, "still fine")


def test_long_ping(echo):
    echo.send_frame(PING, b"x" * 126)
    closes(echo, 1002)


@pytest.mark.parametrize("opcode", [PING, PONG, CLOSE])
def test_fragmented_control(echo, opcode):
    echo.send_frame(opcode, b"", fin=False)
    closes(echo, 1002)


# -- UTF-8 --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["κόσμε", "\U0001f514\U0001f514", "\ufffe\uffff", "\u0000", "a\u0300", "\U0010ffff"])
def test_utf8_good(echo, text):
    same(echo, text)


BAD_UTF8 = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xce\xba\xe1\xbd", b"\x80", b"\xfc\x80\x80\x80\x80\x80", b"abc\xfe"]


@pytest.mark.parametrize("data", BAD_UTF8)
def test_utf8_bad(echo, data):
    echo.send_frame(TEXT, data)
    closes(echo, 1007)


def test_utf8_split_over_fragments(echo):
    data = "κόσμε \U0001f514".encode()
    for i, b in enumerate(data):
        echo.send_frame(TEXT if i == 0 else CONT, bytes([b]), fin=i == len(data) - 1)
    assert echo.recv_text() == data.decode()


def test_utf8_fails_early(echo):
    """An invalid sequence ends it before the message does."""
    echo.send_frame(TEXT, b"\xce\xba\xff", fin=False)
    closes(echo, 1007)


def test_utf8_fails_within_a_frame(echo):
    """... and before the frame does."""
    whole = frame(TEXT, b"ok \xff" + b"x" * 1000, key=b"\0\0\0\0")
    echo.conn.send(whole[:40])
    closes(echo, 1007)


def test_binary_is_not_checked(echo):
    same(echo, b"\xff\xfe\xc0")


# -- closing ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3999, 4000, 4999])
def test_close_codes(echo, code):
    echo.send_frame(CLOSE, struct.pack("!H", code) + b"bye")
    m = echo.expect_close()
    assert m.code == code, m
    echo.conn.closed()


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535])
def test_bad_close_codes(echo, code):
    echo.send_frame(CLOSE, struct.pack("!H", code))
    closes(echo, 1002)


def test_close_without_code(echo):
    echo.send_frame(CLOSE)
    m = echo.expect_close()
    assert m.code in (None, 1000), m
    echo.conn.closed()


def test_close_with_one_byte(echo):
    echo.send_frame(CLOSE, b"\x03")
    closes(echo, 1002)


def test_close_with_bad_utf8(echo):
    echo.send_frame(CLOSE, struct.pack("!H", 1000) + b"\xff")
    closes(echo, (1007, 1002))


def test_close_with_longest_reason(echo):
    echo.send_frame(CLOSE, struct.pack("!H", 1000) + b"x" * 123)
    assert echo.expect_close().code == 1000
    echo.conn.closed()


def test_nothing_after_close(echo):
    echo.conn.send(frame(CLOSE, struct.pack("!H", 1000)) + frame(TEXT, "late"))
    echo.expect_close(1000)
    echo.conn.closed()


def test_close_in_fragments(echo):
    echo.send_frame(TEXT, "a", fin=False).send_frame(CLOSE, struct.pack("!H", 1000))
    assert echo.expect_close().code == 1000
    echo.conn.closed()


def test_peer_that_does_not_answer_close(echo):
    """The daemon does not wait for ever for the other half of the closing handshake."""
    echo.send_frame(5, "x")
    while not isinstance(echo.recv_message(), Frame):
        pass
    echo.conn.rest(timeout=15 * SLOW)


def test_half_closed_peer(echo):
    echo.send("last words")
    echo.conn.half_close()
    assert echo.recv_text() == "last words"
    echo.conn.rest()


# -- limits ---------------------------------------------------------------------------------------------------------------------------


def test_message_of_the_limit(echo):
    same(echo, b"x" * LIMIT)


def test_message_over_the_limit(echo):
    echo.send(b"x" * (LIMIT + 1))
    closes(echo, 1009)


def test_announced_over_the_limit(echo):
    """The head alone is enough."""
    echo.conn.send(b"\x82\xff" + struct.pack("!Q", LIMIT + 1) + b"\0\0\0\0")
    closes(echo, 1009)


def test_fragments_over_the_limit(echo):
    echo.send_frame(BINARY, b"x" * LIMIT, fin=False)
    echo.send_frame(CONT, b"x")
    closes(echo, 1009)


def test_chat_frame_over_the_limit(daemon):
    ws = daemon.ws()
    ws.send({"type": "chat", "content": "x" * LIMIT})
    closes(ws, 1009)


def test_chat_binary(daemon):
    ws = daemon.ws()
    ws.send(b"binary")
    closes(ws, 1003)


def test_unread_echo_is_bounded(daemon):
    """A peer that sends and never reads is not read any more; the daemon's memory stays."""
    r, ws = rawclient.WebSocket.open(daemon.address, "/echo", daemon.bearer(), rcvbuf=4096)
    before = daemon.rss()
    block = frame(BINARY, b"x" * 60000) * 4
    ws.conn.sock.setblocking(False)
    sent, quiet = 0, time.monotonic()
    view = memoryview(block)
    at = 0
    while sent < 64 << 20 and time.monotonic() - quiet < 0.7:
        try:
            n = ws.conn.sock.send(view[at:])
            at = (at + n) % len(block)
            sent += n
            quiet = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
    assert sent < 64 << 20, "was read without end"
    assert daemon.rss() - before < 16 << 20
    ws.drop()


def test_ping_flood(daemon):
    """Pings whose pongs are not read are bounded too."""
    r, ws = rawclient.WebSocket.open(daemon.address, "/echo", daemon.bearer(), rcvbuf=4096)
    before = daemon.rss()
    block = frame(PING, b"x" * 125) * 500
    ws.conn.sock.setblocking(False)
    sent, quiet = 0, time.monotonic()
    at = 0
    while sent < 32 << 20 and time.monotonic() - quiet < 0.7:
        try:
            n = ws.conn.sock.send(memoryview(block)[at:])
            at = (at + n) % len(block)
            sent += n
            quiet = time.monotonic()
        except BlockingIOError:
            time.sleep(0.01)
        except OSError:
            break
    assert daemon.rss() - before < 16 << 20
    ws.drop()


def test_random_payloads(echo):
    for n in (3, 1000, 40000):
        same(echo, os.urandom(n))


# -- heartbeat ------------------------------------------------------------------------------------------------------------------------


def test_heartbeat(start):
    """A ping every interval; a silent peer is ended after two (4408), an answering one is not."""
    d = start({"chat": {"heartbeat": "1s"}})
    alive, dead = d.ws(sub="alive"), d.ws(sub="dead")
    assert alive.welcome["heartbeat"] == 1
    before = time.monotonic()
    pings = 0
    while (m := dead.recv_frame(timeout=8 * SLOW)).opcode != CLOSE:
        assert m.opcode == PING, m
        pings += 1
        while alive.pings < pings:  # answers by pongs alone
            f = alive.recv_frame()
            assert f.opcode == PING, f
            alive.pings += 1
            alive.send_frame(PONG, f.payload)
    assert m.code == 4408, m
    assert 1.5 < time.monotonic() - before < 5 * SLOW
    assert pings >= 1
    for _ in range(2):
        f = alive.recv_frame()
        assert f.opcode == PING, f
        alive.send_frame(PONG, f.payload)
    alive.sync()


def test_heartbeat_data_is_life(start):
    """Any frame is a sign of life."""
    d = start({"chat": {"heartbeat": "1s"}})
    ws = d.ws()
    ws.answer_pings = False
    end = time.monotonic() + 4
    while time.monotonic() < end:
        ws.sync()
        time.sleep(0.25)
    ws.sync()
