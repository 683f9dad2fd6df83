"""People who change what they said, write to each other, and say how far they have read: each with two devices, in rooms of their own.

Beside the ledger's account (everything once, in order, also what is between two people) they see to it that

- a deleted message's content is not delivered once its deletion is acknowledged: not to a reading that began after it, nor behind it;
- nobody is given an older version of a message than the one acknowledged when he asked, and the last one acknowledged is what remains;
- of the reactions what was acknowledged is there, and nothing else;
- `joined` tells how far was read and how much is not, exactly.
"""

import asyncio
import collections
import re
import time

from ledger import Reader
from people import PASSING, Gone, Person

ROOMS = ["e0", "e1"]
USERS = 6
EMOJI = ("👍", "🎉")  # of the two devices
CONTENT_RE = re.compile(r"(\S+) v(\d+)\b")


class Said:
    """A message and its versions. `moments` of acknowledgements are those of the clients' clock."""

    def __init__(self, key):
        self.key = key
        self.id = None
        self.sent = 0  # the newest version that was asked for
        self.acked = [(0.0, 0)]  # (moment, version)
        self.deleted = None  # (moment, id) of its acknowledged deletion
        self.unsure = False  # an answer was lost: what was asked for may be so, or not

    def version_at(self, moment):
        return max(v for at, v in self.acked if at <= moment)


class Book:
    """What all of them know together."""

    def __init__(self):
        self.said = {}  # by key
        self.reactions = collections.defaultdict(dict)  # id -> (user, emoji) -> on; None: unknown
        self.recent = collections.deque(maxlen=100)


class Changer(Person):
    passing = PASSING | {"not_found"}  # what was said too long ago
    grants = {"direct": ["*"]}

    def __init__(self, world, number, index):
        super().__init__(world, number, ROOMS if index % 3 else ROOMS[:1], (), f"e{index % USERS}")
        self.emoji = EMOJI[index // USERS % len(EMOJI)]
        self.mail = Reader(world.ledger, f"{self.name} mail", [f"user/{self.sub}"])
        self.groups = {"mail": self.mail}
        self.mail.own, self.mail.unsure = self.sub, lambda: self.pending
        self.book = world.book
        self.mine = []  # what it can still change
        self.asked = {}  # reader -> when it began to read
        self.newest = {}  # reader -> the newest id of this connection, of changes too

    def topic_of(self, group):
        return f"user/{self.sub}"

    def reader(self, m):
        return self.rooms[m["room"]] if "room" in m else self.mail

    async def connect(self):
        self.newest.clear()
        await super().connect()

    async def enter(self, r):
        self.asked[r] = time.monotonic()
        await super().enter(r)

    # -- what comes --

    def heard(self, m):
        kind = m["type"]
        if kind in ("chat", "direct", "edited", "deleted", "reaction"):
            r = self.reader(m) if "room" in m else self.mail
            if kind == "direct":
                self._noted(m)
                self._logged(r, f"user/{self.sub}", m, None)
            elif kind == "chat":
                self._logged(r, "chat/" + m["room"], m, None)
            self.look(m, self.asked.get(r, 0), self.newest.get(r, 0))
            self.newest[r] = max(self.newest.get(r, 0), m["id"])
        if kind not in ("chat", "direct"):
            super().heard(m)

    def _noted(self, m):
        """A direct is one message under both users' topics."""
        for user in {m["from"]["id"], m["to"]}:
            self.w.ledger.note(f"user/{user}", m["id"], m["from"]["id"], hash(None))

    def _acked(self, m):
        sent = self.pending.get(m["ref"])
        super()._acked(m)
        if sent is None:
            return
        said = self.book.said[sent[3]["key"]]
        said.id = m["id"]
        if sent[3]["type"] == "direct":
            self.w.ledger.note(f"user/{self.sub}", m["id"], self.sub, hash(None))
            self.w.counts["directs acknowledged"] += 1
        else:
            self.mine.append(said)
        self.book.recent.append(m["id"])

    def look(self, m, since, newest):
        """At a version that was delivered in a reading since then, behind that id."""
        found = CONTENT_RE.match(m.get("content") or "")
        said = self.book.said.get(found[1]) if found else None
        if said is None:
            return
        version = int(found[2])
        if said.deleted is not None and (said.deleted[0] < since or said.deleted[1] < newest):
            self.w.wrong(f"{self.name}: {m} is there, deleted {said.deleted}; asked {since}, at {newest}")
        if version > said.sent:
            self.w.wrong(f"{self.name}: {m}, of which {said.sent} is the newest version")
        if m["type"] != "edited" and version < said.version_at(since):
            self.w.wrong(f"{self.name}: {m} is older than {said.acked}; asked {since}")
        self.w.counts["versions looked at"] += 1

    # -- what it does --

    def talk(self):
        key = self.w.key(self.name.replace("#", "."))
        m = {"type": "chat", "content": f"{key} v0 " + "bell " * self.rng.choice((1, 20, 200)), "key": key, "ref": key}
        if self.rng.random() < 0.4:
            m.update(type="direct", to=f"e{self.rng.randrange(USERS)}")
            r, topic = self.mail, f"user/{m['to']}"
        else:
            m["room"] = self.rng.choice(list(self.rooms))
            r, topic = self.rooms[m["room"]], f"chat/{m['room']}"
            if r not in self.joined:
                return
        self.book.said[key] = Said(key)
        self.pending[key] = (r, topic, hash(None), m)
        self.say(m)

    async def changed(self, said, **m):
        """The answer to a change; whoever loses it cannot know."""
        try:
            answer = await self.ask(target=said.id, **m)
        except Gone:
            said.unsure = True
            raise
        if answer["type"] == "error" and answer["code"] == "not_found" and said in self.mine:
            self.mine.remove(said)
        self.w.counts[f"{m['type']}s {answer['type']} {answer.get('code', '')}".rstrip()] += 1
        return answer

    async def edit(self):
        said = self.rng.choice(self.mine)
        said.sent += 1
        version = said.sent
        answer = await self.changed(said, type="edit", content=f"{said.key} v{version} " + "dong " * self.rng.choice((0, 5, 50)))
        if answer["type"] == "ack":
            said.acked.append((time.monotonic(), version))

    async def delete(self):
        said = self.rng.choice(self.mine)
        self.mine.remove(said)
        answer = await self.changed(said, type="delete")
        if answer["type"] == "ack":
            said.deleted = (time.monotonic(), answer["id"])
        elif answer["code"] != "not_found":
            self.mine.append(said)

    async def react(self):
        i = self.rng.choice(self.book.recent)
        on = self.rng.random() < 0.7
        states, me = self.book.reactions[i], (self.sub, self.emoji)
        before = states.get(me, False)
        states[me] = None
        answer = await self.ask(type="react", target=i, emoji=self.emoji, on=on)
        states[me] = on if answer["type"] == "ack" else before
        self.w.counts[f"reacts {answer['type']} {answer.get('code', '')}".rstrip()] += 1

    async def history(self, place, **how):
        since = time.monotonic()
        answer = await self.ask(type="history", limit=1000, **place, **how)
        if answer["type"] == "error":
            return [], False
        for m in answer["messages"]:
            self.look(m, since, 0)
        return answer["messages"], answer["more"]

    async def act(self):
        x = self.rng.random()
        if x < 0.3:
            self.talk()
        elif x < 0.5 and self.mine:
            await self.edit()
        elif x < 0.57 and self.mine:
            await self.delete()
        elif x < 0.75 and self.book.recent:
            await self.react()
        elif x < 0.8 and self.book.recent:
            self.say({"type": "read", "room": self.rng.choice(list(self.rooms)), "id": self.rng.choice(self.book.recent)})
        elif x < 0.85:
            await self.history(self.rng.choice(list(self.names.values())))
        else:
            await super().act()

    # -- the end: nobody changes anything any more --

    async def finish(self):
        await super().finish()
        self.w.resting.add(self)
        end = time.monotonic() + 30 * self.w.slow
        while len(self.w.resting) < self.w.changers and time.monotonic() < end and not self.w.ending:
            await self.ask(type="ping")
            self.w.resting.add(self)
            await asyncio.sleep(0.2 * self.w.slow)
        if len(self.w.resting) == self.w.changers and not self.w.ending:
            for room in self.rooms:
                await self.audit(room)

    async def audit(self, room):
        messages, after, more = [], 1, True
        while more:
            page, more = await self.history({"room": room}, after=after)
            messages += page
            after = page[-1]["id"] if page else after
        for m in messages:
            self.judge(m)
        joined = await self.ask(type="join", room=room, last=0)
        if joined["type"] != "joined" or "read" not in joined:
            return
        unread = sum(1 for m in messages if m["id"] > joined["read"] and m["from"]["id"] != self.sub and not m.get("deleted"))
        self.w.counts["rooms audited"] += 1
        if joined.get("unread") != min(unread, 1000):
            self.w.wrong(f"{self.name}: {unread} are unread in {room}, not as {joined} has it")

    def judge(self, m):
        found = CONTENT_RE.match(m.get("content") or "")
        said = self.book.said.get(found[1]) if found else None
        if said is not None and not said.unsure and (said.deleted is not None or int(found[2]) != said.acked[-1][1]):
            self.w.wrong(f"{self.name}: {m} remains, not {said.acked[-1]}, deleted {said.deleted}")
        if m.get("deleted"):
            return
        states = self.book.reactions.get(m["id"], {})
        for emoji in EMOJI:
            mine = {u: on for (u, e), on in states.items() if e == emoji}
            there = next((r["users"] for r in m.get("reactions", ()) if r["emoji"] == emoji), [])
            if wrong := [u for u, on in mine.items() if on is not None and on != (u in there)] + [u for u in there if u not in mine]:
                self.w.wrong(f"{self.name}: reactions of {m['id']}: {m.get('reactions')}, but {states}: {wrong}")
        self.w.counts["messages audited"] += 1

