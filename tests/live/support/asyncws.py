"""A lean WebSocket client for asyncio, for hundreds of connections in one process."""

import asyncio
import base64
import json
import os
import struct

from . import WAIT
from .rawclient import CLOSE, CONT, PING, PONG, TEXT, accept_key, frame


class Client(asyncio.Protocol):
    """Calls on_message with each JSON message; `ended` is set with the close code or None when it is over."""

    def __init__(self, on_message):
        self.on_message = on_message
        self.buf = bytearray()
        self.parts = []
        self.transport = None
        self.code = None
        self.error = None
        loop = asyncio.get_running_loop()
        self.opened = loop.create_future()
        self.ended = loop.create_future()
        self.key = base64.b64encode(os.urandom(16)).decode()
        self.upgraded = False

    @classmethod
    async def connect(cls, address, path, token, on_message):
        loop = asyncio.get_running_loop()
        _, self = await loop.create_connection(lambda: cls(on_message), *address)
        self.transport.write(
            f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {self.key}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        await asyncio.wait_for(asyncio.shield(self.opened), WAIT * 2)
        return self

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"refused: {bytes(self.buf[:300])!r}"))
        if not self.ended.done():
            self.ended.set_result(self.code)

    def data_received(self, data):
        self.buf += data
        try:
            self._parse()
        except Exception as e:  # noqa: BLE001 - kept for the test to raise
            self.error = e
            self.transport.abort()

    def _parse(self):
        if not self.upgraded:
            at = self.buf.find(b"\r\n\r\n")
            if at < 0:
                return
            head = bytes(self.buf[:at]).decode("latin-1")
            if not head.startswith("HTTP/1.1 101 ") or accept_key(self.key) not in head:
                raise AssertionError(head)
            del self.buf[: at + 4]
            self.head = head
            self.upgraded = True
            self.opened.set_result(None)
        buf, at = self.buf, 0
        while len(buf) - at >= 2:
            b0, n = buf[at], buf[at + 1]
            start = at + 2
            if n == 126:
                if len(buf) - at < 4:
                    break
                n = struct.unpack_from("!H", buf, at + 2)[0]
                start = at + 4
            elif n == 127:
                if len(buf) - at < 10:
                    break
                n = struct.unpack_from("!Q", buf, at + 2)[0]
                start = at + 10
            if len(buf) - start < n:
                break
            payload = bytes(buf[start:start + n])
            at = start + n
            self._frame(b0, payload)
        del buf[:at]

    def _frame(self, b0, payload):
        opcode = b0 & 15
        if opcode == PING:
            self.transport.write(frame(PONG, payload))
        elif opcode == CLOSE:
            self.code = struct.unpack("!H", payload[:2])[0] if len(payload) >= 2 else 1005
            self.transport.write(frame(CLOSE, payload[:2]))
            self.transport.close()
        elif opcode in (TEXT, CONT):
            self.parts.append(payload)
            if b0 & 0x80:
                text = b"".join(self.parts)
                self.parts = []
                self.on_message(json.loads(text))
        elif opcode != PONG:
            raise AssertionError(f"opcode {opcode}")

    def send(self, message):
        self.transport.write(frame(TEXT, json.dumps(message)))

    def drop(self):
        self.transport.abort()
