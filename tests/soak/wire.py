"""Sockets for asyncio: one that can end in every way, HTTP and event streams on it, and a WebSocket client with moods."""

import asyncio
import json
import socket
import struct
import urllib.parse
import weakref
import zlib

from support import asyncws
from support.rawclient import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame

TCP_REPAIR = 19  # linux/tcp.h; a socket closed in this state says nothing to its peer
LINGER_RESET = struct.pack("ii", 1, 0)


class Refused(ConnectionError):
    """An answer that is not the one hoped for."""

    def __init__(self, status, text=""):
        super().__init__(f"{status} {text[:300]}")
        self.status = status


def reset_socket(sock):
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
    except OSError:
        pass


def silence_socket(sock):
    """As if the peer's cable were cut; where that is not permitted, a reset."""
    try:
        sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    except OSError:
        reset_socket(sock)


def end_transport(transport, how):
    """Ends a connection: fin, rst, vanish."""
    sock = transport.get_extra_info("socket")
    if sock is not None and how == "rst":
        reset_socket(sock)
    elif sock is not None and how == "vanish":
        silence_socket(sock)
    if how == "fin":
        transport.close()
    else:
        transport.abort()


class Peer:
    """A connection whose owner decides every byte."""

    lost = weakref.WeakSet()  # those that end_all ends

    def __init__(self, reader, writer):
        self.lost.add(self)
        self.reader, self.writer = reader, writer
        self.size = None  # of the chunk that is being read

    @classmethod
    async def dial(cls, address, rcvbuf=None, limit=1 << 16):
        sock = socket.socket()
        sock.setblocking(False)
        try:
            if rcvbuf:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(sock, address), 30)
            return cls(*await asyncio.open_connection(sock=sock, limit=limit))
        except BaseException:
            sock.close()
            raise

    def write(self, data):
        self.writer.write(data)

    async def send(self, data, timeout=5):
        """Writes and waits until the kernel has nearly all; False when the peer does not take it."""
        self.writer.write(data)
        try:
            await asyncio.wait_for(self.writer.drain(), timeout)
            return True
        except asyncio.TimeoutError:
            return False

    def end(self, how="fin"):
        end_transport(self.writer.transport, how)

    def keep(self):
        """It belongs to somebody who will end it."""
        self.lost.discard(self)
        return self

    @classmethod
    def end_all(cls):
        """Nobody is left who would: their tasks were cancelled."""
        for p in list(cls.lost):
            p.end("rst")
        cls.lost.clear()

    def half_close(self):
        try:
            self.writer.write_eof()
        except (OSError, RuntimeError):
            pass

    async def rest(self, timeout=20, limit=1 << 26):
        """Reads to the end of the connection: what came, or None when it stays open."""
        out = bytearray()
        try:
            async with asyncio.timeout(timeout):
                while data := await self.reader.read(65536):
                    out += data
                    if len(out) > limit:
                        return None
        except (ConnectionError, OSError):
            pass
        except TimeoutError:
            return None
        return bytes(out)

    async def head(self, timeout=30):
        async with asyncio.timeout(timeout):
            while True:
                raw = await self.reader.readuntil(b"\r\n\r\n")
                lines = raw[:-4].decode("latin-1").split("\r\n")
                status = int(lines[0].split(" ")[1])
                if status != 100:
                    break
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        return status, headers

    async def chunk(self):
        """The next piece of a body that is chunked; empty at its end."""
        if self.size is None:  # whoever waits may be interrupted between the two
            self.size = int(await self.reader.readuntil(b"\r\n"), 16)
        data = await self.reader.readexactly(self.size + 2)
        self.size = None
        return data[:-2]

    async def body(self, status, headers, method="GET", timeout=30):
        async with asyncio.timeout(timeout):
            if method == "HEAD" or status in (204, 304):
                return b""
            if "content-length" in headers:
                return await self.reader.readexactly(int(headers["content-length"]))
            out = bytearray()
            if headers.get("transfer-encoding") == "chunked":
                while data := await self.chunk():
                    out += data
            else:
                out += await self.reader.read(-1)
            return bytes(out)


def request(world, method, path, token=None, headers=(), body=None, length=True):
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {world.host}", *(f"{k}: {v}" for k, v in headers)]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    data = body.encode() if isinstance(body, str) else body
    if data is not None and length:
        lines.append(f"Content-Length: {len(data)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape") + (data or b"")


def upgrade(world, path, token=None, headers=(), key="dGhlIHNhbXBsZSBub25jZQ=="):
    return request(world, "GET", path, token, [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", key),
                                               ("Sec-WebSocket-Version", "13"), *headers])


def query(path, **members):
    return path + "?" + urllib.parse.urlencode(members, doseq=True)


async def call(world, method, path, token=None, headers=(), body=None, timeout=30):
    """One request on a connection of its own: (status, headers, body)."""
    p = (await Peer.dial(world.address)).keep()
    try:
        p.write(request(world, method, path, token, headers, body))
        status, got = await p.head(timeout)
        return status, got, await p.body(status, got, method, timeout)
    finally:
        p.end()


def deflate(data, level=1):
    z = zlib.compressobj(level, zlib.DEFLATED, -15)
    return (z.compress(data) + z.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Talker(asyncws.Client):
    """A WebSocket of any format, compressed or not; it writes in moods and can hold its reading back."""

    packs, fmt = False, "json"

    @classmethod
    async def dial(cls, world, path, token, on_message, packs=False, fmt="json"):
        loop = asyncio.get_running_loop()
        make = lambda: cls(on_message)  # noqa: E731
        _, self = await asyncio.wait_for(loop.create_connection(make, *world.address), 30)
        self.fmt = fmt
        extra = [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")] if packs else []
        self.transport.write(upgrade(world, path, token, extra, self.key))
        try:
            await asyncio.wait_for(asyncio.shield(self.opened), 30 * world.slow)
        except ConnectionError as e:
            text = str(e)
            status = text.partition("HTTP/1.1 ")[2][:3]
            raise Refused(int(status) if status.isdigit() else 0, text) from None
        except asyncio.TimeoutError:
            self.transport.abort()
            raise
        self.packs = "permessage-deflate" in self.head
        return self

    def _frame(self, b0, payload):
        opcode = b0 & 15
        if opcode in (PING, CLOSE):
            return super()._frame(b0, payload)
        if opcode == PONG:
            return None
        self.parts.append(payload)
        if opcode in (TEXT, BINARY):
            self.first = b0
        if b0 & 0x80:
            data = b"".join(self.parts)
            self.parts = []
            if self.first & 0x40:
                data = zlib.decompressobj(-15).decompress(data + b"\0\0\xff\xff")
            self.on_message(json.loads(data) if self.fmt == "json" else data.decode() if self.fmt == "text" else data)
        return None

    def say(self, data, opcode=TEXT, mood="plain", rng=None):
        """Sends one message whole, packed, in fragments or byte by byte."""
        if isinstance(data, (dict, list)):
            data = json.dumps(data)
        if isinstance(data, str):
            data = data.encode()
        if self.transport.is_closing():
            return
        if mood == "packed" and self.packs:
            self.transport.write(frame(opcode, deflate(data), rsv=4))
        elif mood == "fragments" and len(data) > 1:
            cuts = sorted({0, len(data), *(rng.randrange(len(data)) for _ in range(rng.randrange(1, 5)))})
            for k, (a, b) in enumerate(zip(cuts, cuts[1:])):
                self.transport.write(frame(opcode if k == 0 else CONT, data[a:b], fin=b == len(data)))
                if rng.random() < 0.3:
                    self.transport.write(frame(PING, b"between"))
        elif mood == "bytes":
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for b in frame(opcode, data):
                self.transport.write(bytes([b]))
        else:
            self.transport.write(frame(opcode, data))

    def hold(self, on):
        if self.transport.is_closing():
            return
        if on:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def end(self, how):
        if how == "close" and not self.transport.is_closing():
            self.transport.write(frame(CLOSE, struct.pack("!H", 1000)))
        else:
            end_transport(self.transport, "rst" if how == "close" else how)
