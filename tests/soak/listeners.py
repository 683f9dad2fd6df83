"""Event streams, lines of JSON and the chat over an event stream: they listen, are cut, resume, and account for everything."""

import asyncio
import json
import time

import ledger
import wire
from ledger import Reader
from world import GROUPS


class Ended(Exception):
    """The stream ended in good order."""


class Stream:
    """A stream of blocks (SSE) or lines (NDJSON) over a Peer."""

    def __init__(self, world, kind):
        self.w, self.kind = world, kind
        self.text = bytearray()
        self.peer = None
        self.chunked = False

    async def open(self, path, token, headers=()):
        accept = "application/x-ndjson" if self.kind == "ndjson" else "text/event-stream"
        self.peer = (await wire.Peer.dial(self.w.address, limit=1 << 18)).keep()
        self.peer.write(wire.request(self.w, "GET", path, token, [("Accept", accept), *headers]))
        status, got = await self.peer.head(30 * self.w.slow)
        if status != 200:
            body = await self.peer.body(status, got)
            raise wire.Refused(status, body.decode("utf-8", "replace"))
        self.chunked = got.get("transfer-encoding") == "chunked"

    async def next(self, timeout):
        """The next block's or line's text; Ended; TimeoutError."""
        mark = b"\n" if self.kind == "ndjson" else b"\n\n"
        async with asyncio.timeout(timeout):
            while (at := self.text.find(mark)) < 0:
                data = await self.peer.chunk() if self.chunked else await self.peer.reader.read(65536)
                if not data:
                    if self.text:
                        raise AssertionError(f"half a block at the end: {bytes(self.text)!r}")
                    raise Ended
                self.text += data
        raw = bytes(self.text[:at])
        del self.text[: at + len(mark)]
        return raw.decode()

    def end(self, how="fin"):
        if self.peer is not None:
            self.peer.end(how)


def parse(block):
    """(event, id, data) of an SSE block."""
    event, i, data = "message", None, []
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if name == "event":
            event = value
        elif name == "id":
            i = int(value)
        elif name == "data":
            data.append(value)
    return event, i, "\n".join(data) if data else None


class Listener:
    """What all three have in common: connecting, being cut, coming back."""

    kind = "sse"
    pending = ()

    def __init__(self, world, number, topics):
        self.w, self.rng = world, world.dice()
        self.sub = f"l{number}"
        self.name = f"{self.kind} {self.sub}"
        self.r = Reader(world.ledger, self.name, topics)
        self.s = None
        self.said = []

    def path(self):
        raise NotImplementedError

    def take(self, text):
        raise NotImplementedError

    def position(self):
        """(query, headers) that say where to go on."""
        how = self.rng.choice(("header", "last_event_id", "lastEventID", "after"))
        if how == "header":
            return {}, [("Last-Event-ID", str(self.r.cursor))]
        return {how: str(self.r.cursor)}, []

    async def find_start(self):
        """The log's end, from which it listens."""
        topic = self.r.topics[0].name
        status, _, body = await wire.call(self.w, "GET", wire.query("/history", topic=topic, limit=1), self.w.token(self.sub))
        if status != 200:
            raise wire.Refused(status, body.decode())
        found = json.loads(body)["messages"]
        if not found:
            raise wire.Refused(404, "nothing there yet")
        self.r.begin(found[-1]["id"])

    async def session(self):
        if self.r.cursor is None:
            await self.find_start()
        self.s = Stream(self.w, self.kind)
        path, headers = self.path()
        await self.s.open(path, self.w.token(self.sub, ttl=self.rng.choice((4, 10, 30, 3600))), headers)
        self.w.counts[f"streams opened: {self.kind}"] += 1
        self.r.reads()
        end = time.monotonic() + self.rng.expovariate(1 / 20)
        done = None
        while True:
            if self.w.leaving:
                done = done or time.monotonic() + 60 * self.w.slow
                if self.w.calm.is_set() and self.finished() and self.w.all_said() and not self.r.waits_for():
                    return True
                if time.monotonic() > done:
                    self.w.wrong(f"{self.name}: unfinished at the end: {self.r.waits_for()}, at {self.r.cursor}, {self.said[-3:]}, opened as {self.path()}, topics {[(t.name, t.ids[-1:]) for t in self.r.topics]}")
                    return True
            elif time.monotonic() > end:
                break
            try:
                text = await self.s.next(0.5)
            except TimeoutError:
                await self.idle()
                continue
            self.said = [*self.said[-3:], (time.time(), text[:100])]
            self.take(text)
            if self.rng.random() < 0.002:
                self.w.counts["streams holding back"] += 1
                self.r.reads(False)
                await self.w.nap(self.rng.choice((0.5, 3, 6)))
                self.r.reads()
        self.s.end(self.rng.choice(("fin", "rst", "vanish")))
        return False

    def finished(self):
        return True

    async def idle(self):
        pass

    async def live(self):
        await asyncio.sleep(self.rng.random() * 2)
        while not self.w.ending:
            try:
                if await self.session():
                    return
            except Ended:
                self.w.counts["streams ended by the daemon"] += 1
            except wire.Refused as e:
                self.w.counts[f"streams refused: {e.status}"] += 1
            except (OSError, EOFError, asyncio.TimeoutError) as e:
                self.w.counts[f"streams' troubles: {type(e).__name__}"] += 1
            except AssertionError as e:
                self.w.wrong(f"{self.name}: {e}")
            finally:
                self.r.reads(False)
                if self.s is not None:
                    self.s.end("fin")
            await asyncio.sleep(self.rng.random() * self.rng.choice((0.1, 1, 4)))

    def logged(self, topic, i, sender, text):
        self.w.counts["deliveries seen"] += 1
        self.r.heard(topic, i, sender, hash(text))

    def gap(self, m):
        self.w.counts["gaps told"] += 1
        self.r.gap(m["reason"], m["after"])


class Sse(Listener):
    """/events as an event stream."""

    def path(self):
        q, headers = self.position()
        if self.rng.random() < 0.3:
            q["heartbeat"] = 1
        return wire.query("/events", topic=self.patterns(), **q), headers

    def patterns(self):
        names = [t.name for t in self.r.topics]
        whole = [g for g, topics in GROUPS.items() if set(topics) <= set(names)]
        rooms = [n for n in names if n.startswith("chat/")]
        return [f"acct/{g}/*" for g in whole] + rooms

    def take(self, text):
        event, i, data = parse(text)
        if data is None:  # a comment, or a cursor on its way
            if i is not None and i > self.r.cursor:
                self.r.passed(i)
            return
        if event == "gap":
            m = json.loads(data)
            self.gap(m)
            if i is not None:
                self.r.cursor = max(self.r.cursor, i)
        elif event == "denied":
            self.w.wrong(f"{self.name}: {data}")
        elif i is not None:
            self.message(event, i, data)

    def message(self, event, i, data):
        if event == "chat":
            m = json.loads(data)
            self.logged("chat/" + m["room"], i, ledger.sender(m), m.get("content"))
        elif event == "notification":
            m = json.loads(data)
            self.logged(m["topic"], i, ledger.sender(m), m.get("message"))
        elif event == "message":  # data alone: who and where is not told
            self.w.counts["deliveries seen"] += 1
            self.r.heard("?", i, None, None)


class Lines(Listener):
    """/events as lines of JSON."""

    kind = "ndjson"
    patterns = Sse.patterns

    def path(self):
        q, headers = self.position()
        return wire.query("/events", topic=self.patterns(), **q), headers

    def take(self, text):
        m = json.loads(text) if text else {}
        kind = m.get("type")
        if kind == "chat":
            self.logged("chat/" + m["room"], m["id"], ledger.sender(m), m.get("content"))
        elif kind in ("notification", "event") and "id" in m:
            self.logged(m["topic"], m["id"], ledger.sender(m), m.get("message") or json.dumps(m.get("data")))
        elif kind == "gap":
            self.gap(m)
        elif kind == "denied":
            self.w.wrong(f"{self.name}: {m}")


class ChatStream(Listener):
    """A room over an event stream, with what it says by POST."""

    kind = "chat_sse"

    def __init__(self, world, number, room):
        super().__init__(world, number, [f"chat/{room}"])
        self.room = room
        self.session_id = None
        self.pending = {}  # key -> (message, digest)
        self.posting = None
        self.r.own, self.r.unsure = self.sub, lambda: self.pending

    def path(self):
        q, headers = self.position()
        self.session_id = None
        return wire.query("/chat", room=self.room, **q), headers

    def take(self, text):
        event, i, data = parse(text)
        if data is None:
            if i is not None and i > self.r.cursor:
                self.r.passed(i)
        elif event == "user":
            self.session_id = data
        elif event == "message":
            m = json.loads(data)
            self.logged("chat/" + m["room"], i, ledger.sender(m), m.get("content"))
        elif event == "gap":
            self.gap(json.loads(data))
        if self.session_id and not self.w.leaving and self.rng.random() < 0.05:
            self.start_posting()

    def finished(self):
        self.start_posting()
        return not self.pending

    async def idle(self):
        if self.session_id:
            self.start_posting()

    def start_posting(self):
        if self.session_id and (self.posting is None or self.posting.done()):
            self.posting = asyncio.create_task(self.post())

    async def post(self):
        """Says something, or repeats what has had no answer."""
        if not self.pending and not self.w.leaving:
            text = f"{self.name} says " + "ding " * self.rng.choice((1, 10, 300))
            key = self.w.key(self.sub)
            self.pending[key] = ({"type": "chat", "room": self.room, "content": text, "key": key}, hash(text))
        for key, (m, digest) in list(self.pending.items()):
            try:
                status, _, body = await wire.call(self.w, "POST", f"/chat/{self.session_id}", self.w.token(self.sub),
                                                  [("Content-Type", "application/json")], json.dumps(m), 30 * self.w.slow)
            except (OSError, EOFError, asyncio.TimeoutError) as e:
                self.w.counts[f"posts' troubles: {type(e).__name__}"] += 1
                return
            self.w.counts[f"posts to a session: {status}"] += 1
            if status == 200:
                answer = json.loads(body)
                self.w.ledger.note(f"chat/{self.room}", answer["id"], self.sub, digest)
                self.r.acked(answer["id"])
                self.pending.pop(key, None)
                self.w.counts["acks"] += 1
            elif status not in (401, 403, 404, 408, 429, 503):
                self.w.wrong(f"{self.name}: a post was answered {status} {body!r}")
