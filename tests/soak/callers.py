"""Programs that publish and ask over HTTP, plain text and raw chatters, guests, and whoever administers."""

import asyncio
import json
import time
import urllib.parse

import changers
import ledger
import wire
from support.rawclient import BINARY
from world import GROUPS, ROOMS

TROUBLES = (OSError, EOFError, asyncio.TimeoutError, ValueError)


class Caller:
    """Requests of every kind on a kept connection."""

    def __init__(self, world, number):
        self.w, self.rng = world, world.dice()
        self.sub = f"c{number}"
        self.peer = None

    async def call(self, method, path, headers=(), body=None, token=None):
        """An answer (status, headers, body), on the kept connection or a new one."""
        fresh = self.peer is None
        if fresh:
            self.peer = (await wire.Peer.dial(self.w.address, limit=1 << 20)).keep()
        try:
            self.peer.write(wire.request(self.w, method, path, token or self.w.token(self.sub), headers, body))
            status, got = await self.peer.head(30 * self.w.slow)
            data = await self.peer.body(status, got, method, 30 * self.w.slow)
        except BaseException as e:
            self.drop()
            if not fresh and isinstance(e, TROUBLES):
                return await self.call(method, path, headers, body, token)
            raise
        self.w.counts["requests of callers"] += 1
        self.w.counts[f"answers to callers: {status}"] += 1
        if got.get("connection", "").lower() == "close" or self.rng.random() < 0.02:
            self.drop()
        return status, got, data

    def drop(self):
        if self.peer is not None:
            self.peer.end(self.rng.choice(("fin", "rst")))
            self.peer = None

    async def publish(self):
        group = self.rng.choice(list(GROUPS))
        topic = self.rng.choice([*GROUPS[group], *(f"chat/{r}" for r in ROOMS)])
        how = self.rng.choice(("text", "json", "json", "array", "form"))
        text = f"{self.sub} rings " + "é" * self.rng.choice((0, 5, 100, 1500))
        key = self.w.key(self.sub)
        path = "/publish/" + urllib.parse.quote(topic)
        texts = [text]
        if how == "text":
            headers, body = [("Key", key), ("Content-Type", "text/plain")], text
            if not topic.startswith("chat/"):
                headers += [("Title", "A title"), ("Tags", "a,b"), ("Priority", "4"), ("Click", "https://example.org/")]
        elif how == "form":
            headers = [("Content-Type", "application/x-www-form-urlencoded")]
            body = urllib.parse.urlencode({"message": text, "key": key})
        else:
            headers = [("Content-Type", "application/json")]
            texts = [text] if how == "json" else [f"{text} {k}" for k in range(self.rng.choice((1, 3, 40)))]
            docs = [{"message": t, "key": f"{key}.{k}"} for k, t in enumerate(texts)]
            if how == "array" and self.rng.random() < 0.3:
                path = "/publish"
                docs = [{**d, "topic": topic} for d in docs]
            body = json.dumps(docs if how == "array" else docs[0])
        end = time.monotonic() + 60 * self.w.slow
        while True:  # until it is answered: the key makes it safe
            status, _, data = await self.retried("POST", path, headers, body, end)
            if status == 200:
                break
            if status not in (401, 408, 429, 503) or time.monotonic() > end:
                self.w.wrong(f"{self.sub}: {how} on {topic} was answered {status} {data[:300]!r}")
                return
            await asyncio.sleep(0.2 + self.rng.random())
        answers = json.loads(data)
        for t, a in zip(texts, answers if how == "array" else [answers], strict=True):
            self.w.ledger.note(topic, a["id"], self.sub, hash(t))
            self.w.counts["acks"] += 1

    async def retried(self, method, path, headers, body, end):
        while True:
            try:
                return await self.call(method, path, headers, body)
            except TROUBLES:
                if self.w.ending or time.monotonic() > end:
                    raise
                await asyncio.sleep(0.2)

    async def history(self):
        topic = self.rng.choice(["chat/*", "acct/**", "chat/r1", "acct/a/0", "acct/b/*"])
        q = {"topic": topic, "limit": self.rng.choice((1, 50, 1000))}
        if self.rng.random() < 0.2:
            q["q"] = "bell"
        last = 0
        after = self.rng.choice((None, "all", "3s", "10m"))
        for _ in range(self.rng.choice((1, 4))):
            status, _, data = await self.call("GET", wire.query("/history", **q, **({"after": after} if after else {})))
            if status != 200:
                return
            page = json.loads(data)
            for m in page["messages"]:
                if m["id"] <= last:
                    self.w.wrong(f"history of {topic}: {m['id']} after {last}")
                last = m["id"]
                where = "chat/" + m["room"] if m["type"] == "chat" else m["topic"]
                text = m.get("content") or m.get("message") or json.dumps(m.get("data"))
                self.w.ledger.note(where, last, ledger.sender(m), hash(None if m.get("room") in changers.ROOMS else text))
            if not page["more"] or after is None:
                return
            after = last

    async def poll(self):
        """What is stored, and the end."""
        status, _, data = await self.call(
            "GET", wire.query("/events", topic=self.rng.choice(("chat/r2", "acct/**")), wait=0, last=self.rng.choice((0, 5, 1000))),
            [("Accept", self.rng.choice(("application/x-ndjson", "text/event-stream")))])
        if status == 200 and data and not data.endswith(b"\n"):
            self.w.wrong(f"wait=0 ended within a line: {data[-50:]!r}")

    async def look(self):
        what = self.rng.choice(("/", "/app.js", "/app.css", "/belfry.js", "/nothing", "/healthz", "/readyz", "/token", "/metrics",
                                "/api/stats", "/api/topics", "/api/connections", "/api/topics/chat%2Fr1/members", "/chat"))
        method = self.rng.choice(("GET", "GET", "GET", "HEAD", "OPTIONS"))
        headers = self.rng.choice(([], [("Accept-Encoding", "gzip")], [("If-None-Match", "*")], [("Range", "bytes=0-10")],
                                   [("Origin", f"http://{self.w.host}")], [("Accept", "text/html")]))
        status, _, _ = await self.call(method, what, headers, token=self.w.admin())
        if status >= 500 and status != 503:
            self.w.wrong(f"{method} {what} was answered {status}")

    async def guest(self):
        status, _, data = await wire.call(self.w, "POST", "/token", None, [("Content-Type", "application/json")], '{"name": "Gast"}')
        self.w.counts[f"guest tokens: {status}"] += 1
        if status != 200:
            return
        heard = []
        c = await wire.Talker.dial(self.w, "/chat?room=guests", json.loads(data)["token"], heard.append)
        c.say({"type": "chat", "content": "hello"})
        await self.w.nap(self.rng.random() * 3)
        c.end(self.rng.choice(("close", "rst", "fin")))

    async def live(self):
        while not self.w.leaving:
            what = self.rng.choices((self.publish, self.history, self.poll, self.look, self.guest), (50, 10, 10, 20, 3))[0]
            try:
                await what()
            except wire.Refused as e:
                self.w.counts[f"callers refused: {e.status}"] += 1
            except TROUBLES as e:
                self.w.counts[f"callers' troubles: {type(e).__name__}"] += 1
            await asyncio.sleep(self.rng.random() * 0.4)
        self.drop()


class Plain:
    """format=text, format=raw and /echo: what comes back is looked at where it can be."""

    def __init__(self, world, number, fmt):
        self.w, self.rng, self.fmt = world, world.dice(), fmt
        self.sub = f"{fmt}{number}"
    async def session(self):
        path = "/echo" if self.fmt == "echo" else wire.query("/chat", format=self.fmt, room="raw" if self.fmt == "raw" else "plain")
        echoes = []

        def heard(m):
            self.w.counts[f"messages heard: {self.fmt}"] += 1
            if self.fmt == "echo" and (not echoes or echoes.pop(0) != m):
                self.w.wrong(f"{self.sub}: the echo is not what was sent")

        c = await wire.Talker.dial(self.w, path, self.w.token(self.sub, ttl=self.rng.choice((5, 3600))), heard, self.rng.random() < 0.5,
                                   "raw" if self.fmt == "echo" else self.fmt)
        end = time.monotonic() + self.rng.expovariate(1 / 10)
        while time.monotonic() < end and not self.w.leaving and not c.ended.done():
            data = b"ding dong " * self.rng.choice((1, 3, 30, 500))
            if self.fmt == "echo":
                echoes.append(data)
            opcode = BINARY if self.fmt != "text" and self.rng.random() < 0.5 else 1
            c.say(data, opcode, self.rng.choice(("plain", "packed", "fragments", "bytes" if len(data) < 400 else "plain")), self.rng)
            await asyncio.sleep(self.rng.random() * 0.5)
        if c.error is not None:
            self.w.wrong(f"{self.sub}: {c.error!r}")
        c.end(self.rng.choice(("close", "fin", "rst", "vanish")))

    async def live(self):
        while not self.w.leaving:
            try:
                await self.session()
                self.w.counts[f"connections: {self.fmt}"] += 1
            except wire.Refused as e:
                self.w.counts[f"{self.fmt} refused: {e.status}"] += 1
            except TROUBLES as e:
                self.w.counts[f"{self.fmt}'s troubles: {type(e).__name__}"] += 1
            await asyncio.sleep(self.rng.random())


async def executioner(world, every):
    """Ends connections at random by the administration's means."""
    rng = world.dice()
    while not world.leaving:
        await world.nap(every * 2 * rng.random())
        try:
            status, _, data = await wire.call(world, "GET", "/api/connections", world.admin())
            if status == 200 and (found := json.loads(data)["connections"]):
                status, _, _ = await wire.call(world, "DELETE", f"/api/connections/{rng.choice(found)['id']}", world.admin())
                world.counts[f"connections ended by DELETE: {status}"] += 1
        except (wire.Refused, *TROUBLES) as e:
            world.counts[f"administration's troubles: {type(e).__name__}"] += 1


async def moderator(world, every):
    """Sends away whom nobody accounts for, keeps them out, silences them and refuses their tokens, each for a while."""
    rng = world.dice()
    while not world.leaving:
        await world.nap(every * 2 * rng.random())
        user = rng.choice(("f", "text", "raw")) + str(rng.randrange(30))
        what = rng.choice(("kick", "ban", "unban", "mute", "unmute", "revoke", "unrevoke"))
        body = {"sub": user} if what.endswith("revoke") else {"room": rng.choice(("faults", "plain", "raw", "*")), "user": user, "reason": "soak"}
        if what in ("ban", "mute", "revoke"):
            body["seconds"] = rng.choice((1, 3))
        try:
            status, _, data = await wire.call(world, "POST", "/api/" + what, world.admin(), (), json.dumps(body))
            world.counts[f"moderation: {what} {status}"] += 1
            if status not in (200, 401, 404, 429, 503):
                world.wrong(f"{what} {body} was answered {status} {data[:300]!r}")
        except (wire.Refused, *TROUBLES) as e:
            world.counts[f"moderation's troubles: {type(e).__name__}"] += 1
