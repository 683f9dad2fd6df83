"""People in rooms over WebSocket (JSON): they come, talk, leave, lose their connection, come back, and account for everything."""

import asyncio
import json
import time

import ledger
import wire
from ledger import Reader
from support.rawclient import PING, PONG
from world import GROUPS

# Errors that a good client can get from a daemon under pressure, or between two of its own requests.
PASSING = {"rate_limited", "unavailable", "too_many", "not_joined", "invalid_token"}  # the last one while keys are rotated
GOOD_ENDS = {1000, 1001, 1005, 1013, 4401, 4403, 4408, None}  # 1013: above limits.memory whoever takes nothing is let go


class Gone(Exception):
    """The connection has ended."""


class Person:
    passing = PASSING
    grants = {}

    def __init__(self, world, number, rooms, groups, sub=None):
        self.w, self.rng = world, world.dice()
        self.sub = sub or f"p{number % 60}"  # some are there twice
        self.name = f"{self.sub}#{number}"
        self.rooms = {r: Reader(world.ledger, f"{self.name} {r}", [f"chat/{r}"]) for r in rooms}
        self.groups = {g: Reader(world.ledger, f"{self.name} {g}", GROUPS[g]) for g in groups}
        for r in [*self.rooms.values(), *self.groups.values()]:
            r.own, r.unsure = self.sub, lambda: self.pending
        self.names = {}  # how they are called on this connection
        self.c = None
        self.pending = {}  # key -> (room or topic, message)
        self.answers = {}  # ref -> future
        self.joined = set()
        self.owed = set()  # readers that were not resumed, and must be told a gap
        self.holding = False
        self.expires = 0

    # -- what comes --

    def heard(self, m):
        kind = m["type"]
        if kind == "chat":
            r = self.rooms.get(m["room"])
            if r is not None:
                self._logged(r, "chat/" + m["room"], m, m.get("content"))
        elif kind in ("notification", "event"):
            g = m["topic"].split("/")[1] if m["topic"].startswith("acct/") else None
            if g in self.groups:
                self._logged(self.groups[g], m["topic"], m, m.get("message") or json.dumps(m.get("data")))
        elif kind in ("joined", "subscribed"):
            r = self.reader(m)
            self.owed.discard(r)
            if r.cursor is not None and not m["resumed"]:
                self.owed.add(r)  # a gap, before anything newer
            r.begin(m["latest"])
            self.joined.add(r)
            r.reads()
        elif kind == "gap":
            self.w.counts["gaps told"] += 1
            if (r := self.reader(m)) is not None:
                r.gap(m["reason"], m["after"])
                self.owed.discard(r)
        elif kind == "left":
            self._leave(self.rooms[m["room"]])
        elif kind == "unsubscribed":
            self._leave(self.reader(m))
        elif kind == "error" and m["code"] not in self.passing:
            self.w.wrong(f"{self.name}: {m}")
        if kind == "ack":
            self._acked(m)
        if "ref" in m and (f := self.answers.pop(m["ref"], None)) is not None and not f.done():
            f.set_result(m)
        elif kind == "error" and m.get("ref") in self.pending:
            self.w.counts[f"error {m['code']}"] += 1

    def reader(self, m):
        if "room" in m:
            return self.rooms[m["room"]]
        return self.groups.get(m["topic"].split("/")[1])

    def _leave(self, r):
        self.joined.discard(r)
        r.reads(False)

    def _logged(self, r, topic, m, digest):
        i = m["id"]
        if r in self.owed:
            self.w.wrong(f"{r.name}: not resumed, and no gap before {m}; was at {r.cursor}")
            self.owed.discard(r)
        r.heard(topic, i, ledger.sender(m), hash(digest))
        self.w.counts["deliveries seen"] += 1

    def _acked(self, m):
        sent = self.pending.pop(m["ref"], None)
        if sent is None:
            return
        r, topic, digest, _ = sent
        self.w.counts["acks"] += 1
        self.w.counts["acks of repetitions"] += m["duplicate"]
        self.w.ledger.note(topic, m["id"], ledger.NOBODY if "data" in sent[3] else self.sub, digest)
        if r is not None:
            r.acked(m["id"])

    # -- what it does --

    def say(self, message, mood=None):
        mood = mood or self.rng.choices(("plain", "packed", "fragments", "bytes"), (70, 20, 8, 2))[0]
        self.c.say(message, mood=mood, rng=self.rng)

    async def ask(self, timeout=60, **message):
        """Sends a request and waits for its answer; Gone when the connection ends before."""
        if self.c.transport.is_closing():
            raise Gone
        message["ref"] = ref = f"q{next(self.w.numbers)}"
        f = self.answers[ref] = asyncio.get_running_loop().create_future()
        self.say(message)
        await asyncio.wait({f, self.c.ended}, timeout=timeout * self.w.slow, return_when=asyncio.FIRST_COMPLETED)
        if f.done():
            return f.result()
        self.answers.pop(ref, None)
        if not self.c.ended.done():
            self.w.wrong(f"{self.name}: no answer to {message} in {timeout * self.w.slow} s")
            self.c.end("rst")
        raise Gone

    async def enter(self, r):
        m = {"type": "join" if "room" in self.names[r] else "subscribe", **self.names[r]}
        m.update({"last": 0} if r.cursor is None else {"after": r.cursor})
        answer = await self.ask(**m)
        if answer["type"] == "error":
            self.w.counts[f"error {answer['code']}"] += 1

    def talk(self):
        size = self.rng.choice((10, 40, 120, 400, 3000))
        text = f"{self.name} " + "bell " * (size // 5)
        if self.groups and self.rng.random() < 0.2:
            g = self.rng.choice(list(self.groups))
            topic = self.rng.choice(GROUPS[g])
            m = {"type": "publish", "topic": topic}
            m.update({"data": {"n": size, "who": text}} if self.rng.random() < 0.3 else {"message": text})
            r = self.groups[g]
            digest = hash(m.get("message") or json.dumps(m["data"]))
        else:
            room = self.rng.choice(list(self.rooms))
            r, topic, digest = self.rooms[room], f"chat/{room}", hash(text)
            if r not in self.joined:
                return
            m = {"type": self.rng.choice(("chat", "Chat", "CHAT")), "room": room, "content": text}
        m["key"] = m["ref"] = key = self.w.key(self.name)
        self.pending[key] = (r, topic, digest, m)
        self.say(m)
        if self.rng.random() < 0.03:
            self.say(m)  # the same once more

    async def refresh(self):
        self.ttl()
        await self.ask(type="refresh", token=self.fresh)

    def ttl(self):
        ttl = self.rng.choice((4, 8, 20, 3600))
        self.expires = time.monotonic() + ttl
        self.fresh = self.w.token(self.sub, ttl=ttl, name=self.rng.choice((None, "Ada L.")), **self.grants)
        return self.fresh

    async def act(self):
        x = self.rng.random()
        readers = [*self.rooms.values(), *self.groups.values()]
        if x < 0.72:
            self.talk()
        elif x < 0.77:
            self.say({"type": "typing", "room": self.rng.choice(list(self.rooms)), "typing": self.rng.random() < 0.7})
        elif x < 0.82:
            r = self.rng.choice(readers)
            if r in self.joined:
                await self.ask(type="leave" if "room" in self.names[r] else "unsubscribe", **self.names[r])
                await asyncio.sleep(self.rng.random() * 0.5)
                await self.enter(r)
        elif x < 0.86:
            kind = self.rng.choice(("members", "history", "rooms", "ping"))
            room = self.rng.choice(list(self.rooms))
            await self.ask(type=kind, room=room, limit=self.rng.choice((1, 20, 1000)))
        elif x < 0.88:
            await self.refresh()
        elif x < 0.90:
            self.c.transport.write(wire.frame(self.rng.choice((PING, PONG)), b"x" * self.rng.randrange(126)))
        elif x < 0.92:
            await self.rest(self.rng.choice((0.5, 2, 5)))
        elif x < 0.95:
            how = self.rng.choice(("close", "fin", "rst", "vanish"))
            self.w.counts[f"people's ends: {how}"] += 1
            self.c.end(how)
            raise Gone

    async def rest(self, seconds):
        """Reads nothing for a while."""
        self.w.counts["people holding back"] += 1
        for r in self.joined:
            r.reads(False)
        self.c.hold(True)
        await self.w.nap(seconds)
        self.c.hold(False)
        for r in self.joined:
            r.reads()

    # -- its life --

    def topic_of(self, group):
        return f"acct/{group}/{self.rng.choice(('*', '**'))}"

    async def connect(self):
        self.owed = set()
        self.joined.clear()
        self.names = {r: {"room": k} for k, r in self.rooms.items()}
        self.names.update({r: {"topic": self.topic_of(k)} for k, r in self.groups.items()})
        self.answers.clear()
        packs = self.rng.random() < 0.5
        self.c = await wire.Talker.dial(self.w, "/chat", self.ttl(), self.heard, packs)
        self.w.counts["connections of people"] += 1
        for r in [*self.rooms.values(), *self.groups.values()]:
            await self.enter(r)
        self.repeat()

    def repeat(self):
        for r, _, _, m in list(self.pending.values()):
            if r in self.joined or m["type"] == "publish":
                self.say(m)

    async def session(self):
        await self.connect()
        while not self.w.leaving:
            if self.c.ended.done():
                raise Gone
            await self.act()
            await asyncio.sleep(self.rng.random() * 0.5)
            if self.pending and self.rng.random() < 0.02:
                self.repeat()
            for r in [*self.rooms.values(), *self.groups.values()]:
                if r not in self.joined and self.rng.random() < 0.1:
                    await self.enter(r)
        await self.finish()

    async def finish(self):
        """The last acks; then it has seen everything. Whoever is cut off meanwhile comes back."""
        end = time.monotonic() + 60 * self.w.slow
        await self.w.calm.wait()
        while self.pending or not self.w.all_said() or self.waiting():
            if self.c.ended.done():
                raise Gone
            if time.monotonic() > end:
                waiting = {r.name: r.waits_for() for r in self.waiting()}
                self.w.wrong(f"{self.name}: unfinished at the end: {len(self.pending)} acks, {waiting}")
                return
            for r in [*self.rooms.values(), *self.groups.values()]:
                if r not in self.joined:
                    await self.enter(r)
            self.repeat()
            await asyncio.sleep(0.5 * self.w.slow)

    def waiting(self):
        return [r for r in [*self.rooms.values(), *self.groups.values()] if r.waits_for()]

    def ended(self):
        """The connection is over, however."""
        for r in [*self.rooms.values(), *self.groups.values()]:
            r.reads(False)
        if self.c is not None:
            if self.c.ended.done():
                self.w.counts[f"people's close codes: {self.c.code}"] += 1
                if self.c.code not in GOOD_ENDS:
                    self.w.wrong(f"{self.name}: closed with {self.c.code}")
            if self.c.error is not None:
                self.w.wrong(f"{self.name}: {self.c.error!r}")
            self.c.end("rst")

    async def live(self):
        await asyncio.sleep(self.rng.random() * 2)
        while not self.w.ending:
            try:
                await self.session()
                return
            except Gone:
                pass
            except wire.Refused as e:
                self.w.counts[f"people refused: {e.status}"] += 1
            except (OSError, asyncio.TimeoutError) as e:
                self.w.counts[f"people's troubles: {type(e).__name__}"] += 1
            finally:
                self.ended()
                self.c = None
            await asyncio.sleep(self.rng.random() * self.rng.choice((0.1, 1, 4)))
