"""Clients on bare sockets: they send what they are told, malformed or not, and read strictly."""

import base64
import collections
import hashlib
import itertools
import json
import os
import re
import socket
import struct
import time

from . import WAIT

TOKEN_RE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
STATUS_RE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9]) ([\t \x21-\x7e\x80-\xff]*)\Z")
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG, CONT = 1, 2, 8, 9, 10, 0


class Timeout(AssertionError):
    """What should have come did not come in time."""


class Eof(AssertionError):
    """The daemon closed the connection where more was wanted."""


class Response:
    def __init__(self, version, status, reason, headers):
        self.version, self.status, self.reason, self.headers = version, status, reason, headers
        self.body = b""

    def all(self, name):
        return [v for k, v in self.headers if k.lower() == name.lower()]

    def header(self, name, default=None):
        """The value of a header that may stand there once at most; a list's lines are joined."""
        found = self.all(name)
        if name.lower() in ("vary", "allow", "connection", "cache-control"):
            return ", ".join(found) if found else default
        assert len(found) <= 1, f"{name} {len(found)} times: {found}"
        return found[0] if found else default

    def text(self):
        return self.body.decode("utf-8")

    def json(self):
        kind = self.header("Content-Type", "")
        assert "json" in kind, f"Content-Type {kind!r}, body {self.body[:300]!r}"
        return json.loads(self.body)

    def problem(self, status, code=None):
        """Asserts problem details with this status (and code); returns them."""
        assert self.status == status, f"{self.status}, wanted {status}: {self.body[:400]!r}"
        kind = self.header("Content-Type", "")
        assert kind.split(";")[0] == "application/problem+json", kind
        doc = json.loads(self.body)
        for member in ("type", "title", "status", "detail", "code"):
            assert member in doc, f"no {member!r} in {doc}"
        assert doc["status"] == status
        assert self.header("X-Request-Id"), "no X-Request-Id"
        if code is not None:
            assert doc["code"] == code, doc
        return doc

    def ok(self, status=200):
        assert self.status == status, f"{self.status}, wanted {status}: {self.body[:400]!r}"
        return self

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:200]!r}>"


class Conn:
    """One TCP connection."""

    def __init__(self, address, timeout=WAIT, rcvbuf=None):
        if isinstance(address, str):
            self.sock = socket.socket(socket.AF_UNIX)
        else:
            self.sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if rcvbuf is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout)
        self.sock.connect(address)
        self.address = address
        self.timeout = timeout
        self.buf = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def reset(self):
        """Closes with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.sock.sendall(data)
        return self

    def fill(self, deadline):
        """Reads some more; False at the end of the stream."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise Timeout(f"timed out; so far {bytes(self.buf[:300])!r}")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except socket.timeout:
            raise Timeout(f"timed out; so far {bytes(self.buf[:300])!r}") from None
        except ConnectionResetError:
            return False
        self.buf += data
        return bool(data)

    def deadline(self, timeout=None):
        return time.monotonic() + (self.timeout if timeout is None else timeout)

    def until(self, mark, timeout=None):
        end = self.deadline(timeout)
        while (at := self.buf.find(mark)) < 0:
            if not self.fill(end):
                raise Eof(f"closed before {mark!r}; so far {bytes(self.buf[:300])!r}")
        out = bytes(self.buf[:at])
        del self.buf[: at + len(mark)]
        return out

    def exactly(self, n, timeout=None):
        end = self.deadline(timeout)
        while len(self.buf) < n:
            if not self.fill(end):
                raise Eof(f"closed after {len(self.buf)} of {n} bytes")
        out = bytes(self.buf[:n])
        del self.buf[:n]
        return out

    def rest(self, timeout=None):
        """Everything up to the end of the stream, which must come."""
        end = self.deadline(timeout)
        while self.fill(end):
            pass
        out = bytes(self.buf)
        self.buf.clear()
        return out

    def closed(self, timeout=None):
        """Asserts that the peer ends the connection with nothing more said."""
        rest = self.rest(timeout)
        assert rest == b"", f"more before the end: {rest[:300]!r}"

    def still_open(self, seconds=0.15):
        """Asserts that nothing comes and the connection stands (a short look, no proof)."""
        try:
            if not self.fill(time.monotonic() + seconds):
                raise AssertionError("closed")
        except Timeout:
            return
        raise AssertionError(f"came: {bytes(self.buf[:300])!r}")

    # -- HTTP --------------------------------------------------------------------------------------------

    def head(self, timeout=None):
        """Reads a response head, strictly."""
        block = self.until(b"\r\n\r\n", timeout)
        assert b"\n" not in block.replace(b"\r\n", b""), f"bare LF in {block!r}"
        lines = block.split(b"\r\n")
        m = STATUS_RE.match(lines[0])
        assert m, f"bad status line {lines[0]!r}"
        headers = []
        for line in lines[1:]:
            name, colon, val = line.partition(b":")
            assert colon and TOKEN_RE.match(name), f"bad header line {line!r}"
            assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", val), f"control byte in {line!r}"
            headers.append((name.decode("latin-1"), val.strip(b" \t").decode("utf-8")))
        return Response(int(m[1]), int(m[2]), m[3].decode("latin-1"), headers)

    def response(self, method="GET", timeout=None):
        """Reads a whole final response; interim ones are skipped."""
        while True:
            r = self.head(timeout)
            if r.status >= 200 or r.status == 101:
                break
        lengths, te = r.all("Content-Length"), r.all("Transfer-Encoding")
        assert len(lengths) <= 1, f"two Content-Length: {r}"
        assert not (lengths and te), f"both framings: {r}"
        if method == "HEAD" or r.status in (101, 204, 304):
            assert r.status != 204 or not (lengths and lengths[0] != "0")
            return r
        if te:
            assert te == ["chunked"], te
            while True:
                size = int(self.until(b"\r\n", timeout), 16)
                if size == 0:
                    assert self.until(b"\r\n", timeout) == b"", "trailers"
                    break
                r.body += self.exactly(size, timeout)
                assert self.exactly(2, timeout) == b"\r\n", "chunk end"
        elif lengths:
            assert re.fullmatch("[0-9]+", lengths[0]), lengths
            r.body = self.exactly(int(lengths[0]), timeout)
        else:
            r.body = self.rest(timeout)
        return r

    def request(self, method, path, headers=(), body=None, host=None, timeout=None):
        self.send(build(method, path, headers, body, host or authority(self.address)))
        return self.response(method, timeout)


def authority(address):
    if isinstance(address, str):
        return "localhost"
    return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"


def build(method, path, headers=(), body=None, host="localhost"):
    """The bytes of a request; a list of pairs or a dictionary of headers, Host and Content-Length put in."""
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    if isinstance(body, str):
        body = body.encode()
    names = {k.lower() for k, _ in pairs}
    out = f"{method} {path} HTTP/1.1\r\n".encode()
    if "host" not in names and host is not None:
        out += f"Host: {host}\r\n".encode()
    for k, v in pairs:
        out += k.encode() + b": " + (v if isinstance(v, bytes) else str(v).encode()) + b"\r\n"
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        out += f"Content-Length: {len(body)}\r\n".encode()
    return out + b"\r\n" + (body or b"")


# -- Server-Sent Events ----------------------------------------------------------------------------------------


class Event:
    """One block of a stream, as it stood there."""

    def __init__(self, lines):
        self.lines = lines
        self.event, self.id, self.retry = None, None, None
        self.comments, data = [], []
        for line in lines:
            field, colon, val = line.partition(":")
            if colon and val.startswith(" "):
                val = val[1:]
            if field == "":
                self.comments.append(val)
            elif field == "event":
                self.event = val
            elif field == "data":
                data.append(val)
            elif field == "id":
                self.id = val
            elif field == "retry":
                self.retry = int(val)
            else:
                raise AssertionError(f"unknown field in {line!r}")
        self.data = "\n".join(data) if data else None

    @property
    def dispatched(self):
        return self.data is not None

    @property
    def name(self):
        return self.event or "message"

    def json(self):
        return json.loads(self.data)

    def __repr__(self):
        return f"<Event {self.lines}>"


class Sse:
    """An event stream; `blocks` keeps all that was read."""

    def __init__(self, conn, response):
        self.conn, self.response = conn, response
        self.chunked = bool(response.all("Transfer-Encoding"))
        length = response.header("Content-Length")  # of a stream that is over at once
        self.left = None if length is None else int(length)
        self.text = bytearray()
        self.blocks = []
        self.ended = False
        self.session = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.conn.close()

    def _more(self, end):
        """Appends more of the body to text; False at the proper end of the body."""
        left = max(0.0, end - time.monotonic())
        if self.chunked:
            try:
                size = int(self.conn.until(b"\r\n", left), 16)
            except Eof:
                raise Eof("the stream was cut without its last chunk") from None
            data = self.conn.exactly(size, max(0.0, end - time.monotonic()))
            assert self.conn.exactly(2) == b"\r\n"
            self.text += data
            return size > 0
        if self.left is not None:
            self.text += self.conn.exactly(self.left, left)
            self.left = 0
            return False
        if self.conn.buf:
            self.text += self.conn.buf
            self.conn.buf.clear()
            return True
        more = self.conn.fill(end)
        self.text += self.conn.buf
        self.conn.buf.clear()
        return more

    def block(self, timeout=None):
        """The next block, comments and bare ids included; None at the end of the stream."""
        end = self.conn.deadline(timeout)
        while True:
            at = self.text.find(b"\n\n")
            if at >= 0:
                raw = bytes(self.text[:at])
                del self.text[: at + 2]
                assert b"\r" not in raw, raw
                block = Event(raw.decode("utf-8").split("\n"))
                self.blocks.append(block)
                return block
            if self.ended:
                assert not self.text, f"half a block at the end: {bytes(self.text)!r}"
                return None
            self.ended = not self._more(end)

    def next(self, timeout=None, skip=()):
        """The next event that a browser would dispatch."""
        end = self.conn.deadline(timeout)
        while True:
            block = self.block(max(0.0, end - time.monotonic()))
            if block is None:
                raise Eof(f"the stream ended; it had {self.blocks[-5:]}")
            if block.dispatched and block.name not in skip:
                return block

    def until(self, name, timeout=None, match=None):
        """The next event of this name; others are passed over."""
        end = self.conn.deadline(timeout)
        while True:
            ev = self.next(max(0.0, end - time.monotonic()))
            if ev.name == name and (match is None or match(ev)):
                return ev

    def end(self, timeout=None):
        """The events up to the end of the stream, which must come."""
        out = []
        end = self.conn.deadline(timeout)
        while (block := self.block(max(0.0, end - time.monotonic()))) is not None:
            if block.dispatched:
                out.append(block)
        return out

    def lines(self, timeout=None):
        """For application/x-ndjson: the next line as JSON; None at the end."""
        end = self.conn.deadline(timeout)
        while True:
            at = self.text.find(b"\n")
            if at >= 0:
                raw = bytes(self.text[:at])
                del self.text[: at + 1]
                if raw.strip():
                    return json.loads(raw)
                continue
            if self.ended:
                return None
            self.ended = not self._more(end)


def open_stream(address, path, headers=(), method="GET", accept="text/event-stream", rcvbuf=None):
    """Opens a stream: (Response, Sse) where Sse is None unless the answer is a stream."""
    conn = Conn(address, rcvbuf=rcvbuf)
    pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
    if accept and "accept" not in {k.lower() for k, _ in pairs}:
        pairs.append(("Accept", accept))
    conn.send(build(method, path, pairs, host=authority(address)))
    r = conn.head()
    kind = r.header("Content-Type", "").split(";")[0]
    if r.status == 200 and kind in ("text/event-stream", "application/x-ndjson"):
        te = r.all("Transfer-Encoding")
        assert te in ([], ["chunked"]) and not (te and r.all("Content-Length")), r
        return r, Sse(conn, r)
    length = r.header("Content-Length")
    if length is not None:
        r.body = conn.exactly(int(length))
    conn.close()
    return r, None


# -- WebSocket -------------------------------------------------------------------------------------------------


class Frame:
    def __init__(self, fin, rsv, opcode, payload):
        self.fin, self.rsv, self.opcode, self.payload = fin, rsv, opcode, payload

    @property
    def code(self):
        assert self.opcode == CLOSE, self
        return struct.unpack("!H", self.payload[:2])[0] if len(self.payload) >= 2 else None

    def __repr__(self):
        return f"<Frame fin={self.fin} rsv={self.rsv} op={self.opcode} {self.payload[:200]!r}>"


def frame(opcode, payload=b"", fin=True, rsv=0, mask=True, form=None, key=None):
    """The bytes of a frame. `form` forces the length form: 7, 16 or 64; `mask` False leaves it unmasked."""
    if isinstance(payload, str):
        payload = payload.encode()
    n = len(payload)
    form = form or (7 if n < 126 else 16 if n < 65536 else 64)
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    bit = 0x80 if mask else 0
    if form == 7:
        head += bytes([bit | n])
    elif form == 16:
        head += bytes([bit | 126]) + struct.pack("!H", n)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", n)
    if not mask:
        return head + payload
    key = os.urandom(4) if key is None else key
    pad = (key * (n // 4 + 1))[:n]
    body = (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(n, "big") if n else b""
    return head + key + body


def accept_key(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def upgrade_headers(key=None, version="13", protocols=None, extra=()):
    pairs = [("Upgrade", "websocket"), ("Connection", "Upgrade"),
             ("Sec-WebSocket-Key", key or base64.b64encode(os.urandom(16)).decode()),
             ("Sec-WebSocket-Version", version)]
    if protocols:
        pairs.append(("Sec-WebSocket-Protocol", ", ".join(protocols)))
    return pairs + (list(extra.items()) if isinstance(extra, dict) else list(extra))


class WebSocket:
    """A WebSocket on a Conn; frames as they are, messages with pings answered."""

    refs = itertools.count(1)

    def __init__(self, conn, response):
        self.conn, self.response = conn, response
        self.inbox = collections.deque()
        self.pings = 0
        self.answer_pings = True
        self.closed_with = None

    @classmethod
    def open(cls, address, path, headers=(), protocols=None, rcvbuf=None, early=b""):
        """(Response, WebSocket or None); `early` is sent together with the request."""
        conn = Conn(address, rcvbuf=rcvbuf)
        key = base64.b64encode(os.urandom(16)).decode()
        conn.send(build("GET", path, upgrade_headers(key, protocols=protocols, extra=headers), host=authority(address)) + early)
        r = conn.head()
        if r.status != 101:
            length = r.header("Content-Length")
            r.body = conn.exactly(int(length)) if length is not None else b""
            conn.close()
            return r, None
        assert r.header("Upgrade", "").lower() == "websocket", r
        assert "upgrade" in r.header("Connection", "").lower(), r
        assert r.header("Sec-WebSocket-Accept") == accept_key(key), r
        return r, cls(conn, r)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()

    def drop(self):
        """Closes the socket without a word."""
        self.conn.close()

    def send_frame(self, opcode, payload=b"", **how):
        self.conn.send(frame(opcode, payload, **how))
        return self

    def send(self, payload):
        """A text frame of a string, a binary frame of bytes, JSON of anything else."""
        if isinstance(payload, bytes):
            return self.send_frame(BINARY, payload)
        return self.send_frame(TEXT, payload if isinstance(payload, str) else json.dumps(payload))

    def recv_frame(self, timeout=None):
        end = self.conn.deadline(timeout)

        def left():
            return max(0.0, end - time.monotonic())

        b0, b1 = self.conn.exactly(2, left())
        assert not b1 & 0x80, "the server must not mask"
        n = b1 & 0x7F
        if n == 126:
            n = struct.unpack("!H", self.conn.exactly(2, left()))[0]
            assert n > 125, "length not minimal"
        elif n == 127:
            n = struct.unpack("!Q", self.conn.exactly(8, left()))[0]
            assert n > 65535, "length not minimal"
        f = Frame(bool(b0 & 0x80), b0 >> 4 & 7, b0 & 15, self.conn.exactly(n, left()))
        if f.opcode >= 8:
            assert f.fin and n <= 125, f
        return f

    def recv_message(self, timeout=None):
        """The next data message (opcode, bytes), or the Close frame. Pings are answered."""
        end = self.conn.deadline(timeout)
        opcode, parts = None, []
        while True:
            f = self.recv_frame(max(0.0, end - time.monotonic()))
            assert f.rsv == 0, f"reserved bit without an extension: {f}"
            if f.opcode == PING:
                self.pings += 1
                if self.answer_pings:
                    self.send_frame(PONG, f.payload)
            elif f.opcode == PONG:
                pass
            elif f.opcode == CLOSE:
                self.closed_with = f
                return f
            else:
                assert (f.opcode == CONT) == (opcode is not None), f
                opcode = opcode or f.opcode
                parts.append(f.payload)
                if f.fin:
                    return opcode, b"".join(parts)

    def recv_text(self, timeout=None):
        m = self.recv_message(timeout)
        if isinstance(m, Frame):
            raise Eof(f"closed {m.code} {m.payload[2:]!r}")
        assert m[0] == TEXT, m
        return m[1].decode("utf-8")

    # -- JSON chat -----------------------------------------------------------------------------------------

    def recv(self, timeout=None):
        """The next JSON message, kept ones first."""
        if self.inbox:
            return self.inbox.popleft()
        return json.loads(self.recv_text(timeout))

    def expect(self, kind, timeout=None, keep=True, **members):
        """The next message of this type with these members; what came before it is kept for later."""
        for i, m in enumerate(self.inbox):
            if matches(m, kind, members):
                del self.inbox[i]
                return m
        end = self.conn.deadline(timeout)
        passed = []
        try:
            while True:
                m = json.loads(self.recv_text(max(0.0, end - time.monotonic())))
                if matches(m, kind, members):
                    return m
                passed.append(m)
        except (Timeout, Eof) as e:
            raise type(e)(f"no {kind} {members}: {e}; had {list(self.inbox)[-8:]}, came {passed[-8:]}") from None
        finally:
            if keep:
                self.inbox.extend(passed)

    def ask(self, kind, timeout=None, **members):
        """Sends a request with a ref of its own and returns the answer, whatever it is."""
        ref = f"r{next(self.refs)}"
        self.send({"type": kind, "ref": ref, **members})
        end = self.conn.deadline(timeout)
        passed = []
        try:
            while True:
                m = json.loads(self.recv_text(max(0.0, end - time.monotonic())))
                if m.get("ref") == ref:
                    return m
                passed.append(m)
        except (Timeout, Eof) as e:
            raise type(e)(f"no answer to {kind} {members}: {e}; came {passed[-8:]}") from None
        finally:
            self.inbox.extend(passed)

    def ok(self, kind, answer, **members):
        """As ask; the answer must be of the type `answer`."""
        m = self.ask(kind, **members)
        assert m["type"] == answer, f"{kind} {members} answered {m}"
        return m

    def say(self, content, **members):
        return self.ok("chat", "ack", content=content, **members)

    def fails(self, kind, code, **members):
        m = self.ask(kind, **members)
        assert m["type"] == "error" and m["code"] == code, f"{kind} {members} answered {m}, wanted {code}"
        assert isinstance(m.get("message"), str) and m["message"], m
        return m

    def sync(self):
        """A round trip: all that this connection's worker sent before is read and kept."""
        self.ok("ping", "pong")
        return self

    def take(self, kind=None, **members):
        """Removes and returns the kept messages of this type."""
        out = [m for m in self.inbox if matches(m, kind, members)]
        self.inbox = collections.deque(m for m in self.inbox if not matches(m, kind, members))
        return out

    def expect_close(self, code=None, timeout=None):
        """Reads on to the Close frame (and the end); asserts its code; answers it."""
        end = self.conn.deadline(timeout)
        while True:
            m = self.recv_message(max(0.0, end - time.monotonic()))
            if isinstance(m, Frame):
                break
            if m[0] == TEXT:
                try:
                    self.inbox.append(json.loads(m[1]))
                except ValueError:
                    self.inbox.append(m[1])
        if code is not None:
            want = code if isinstance(code, tuple) else (code,)
            assert m.code in want, f"closed {m.code} {m.payload[2:]!r}, wanted {code}"
        m.payload[2:].decode("utf-8")
        try:
            self.send_frame(CLOSE, m.payload[:2])
        except OSError:
            pass
        return m

    def close(self, code=1000, reason=""):
        """Closes properly and reads to the end of the connection."""
        self.send_frame(CLOSE, struct.pack("!H", code) + reason.encode())
        m = self.expect_close()
        assert m.code in (code, 1000, None), m
        self.conn.closed()
        return m


def matches(m, kind, members):
    if kind is not None and m.get("type") != kind:
        return False
    return all(m.get(k) == v for k, v in members.items())
