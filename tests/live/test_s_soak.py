"""Soaks (marker `workers`): many chatters at random, every message accounted for; readers that stop and come back.

BELFRY_SOAK_SECONDS says how long the chatters go on.
"""

import asyncio
import json
import os
import random
import time

import pytest
from support import SLOW, asyncws
from support.daemon import SANITIZED, mark
from support.rawclient import build

SECONDS = float(os.environ.get("BELFRY_SOAK_SECONDS", "4" if SANITIZED else "10"))
PEOPLE = 200
ROOMS = 12

CONF = {
    "topics": (
        {"match": "server/**", "history": 0},
        {"match": "few/**", "history": 100},
        {"match": "chat/*", "history": 1000000, "presence": True},
        {"match": "**", "history": 100000},
    ),
    "chat": {"leave_grace": "1s", "heartbeat": "5s"},
    "storage": {"backend": "memory", "cache": "512M"},
    "logging": {"level": "info"},
}

pytestmark = [pytest.mark.workers, pytest.mark.slow, pytest.mark.timeout(60 + 6 * SECONDS * SLOW)]


class Place:
    """What a person knows of one room."""

    def __init__(self):
        self.start = None  # everything above it must be seen
        self.cursor = None  # the last id delivered
        self.delivered = []
        self.acked = {}  # id -> key
        self.joined = False
        self.latest = 0
        self.level = False  # the stored ones of this join have come


class Person:
    def __init__(self, d, number, rooms, rng):
        self.d, self.sub, self.rng = d, f"p{number}", rng
        self.rooms = {r: Place() for r in rooms}
        self.token = d.token(self.sub)
        self.client = None
        self.pending = {}  # key -> (room, content): sent, not acknowledged
        self.order = {}  # room -> the last id of this connection, acks included
        self.n = 0
        self.problems = []
        self.news = asyncio.Event()

    def heard(self, m):
        kind = m["type"]
        if kind == "chat":
            place = self.rooms[m["room"]]
            i = m["id"]
            if place.cursor is not None and i <= place.cursor:
                self.problems.append(f"{m['room']}: {i} after {place.cursor}")
            place.cursor = i
            place.delivered.append(i)
            if m["from"]["id"] == self.sub and m.get("key") in self.pending:
                pass  # the ack of a repetition will tell the id
            self.ordered(m["room"], i)
            if i >= place.latest:
                place.level = True
        elif kind == "ack":
            room, _ = self.pending.pop(m["ref"])
            place = self.rooms[room]
            place.acked[m["id"]] = m["ref"]
            if not m["duplicate"]:
                self.ordered(room, m["id"])
        elif kind == "joined":
            place = self.rooms[m["room"]]
            if place.start is None:
                place.start = place.cursor = m["latest"]
            elif not m["resumed"]:
                self.problems.append(f"{m['room']}: not resumed: {m['latest']}")
            place.joined = True
            place.latest = m["latest"]
            place.level = place.cursor >= place.latest
        elif kind == "left":
            self.rooms[m["room"]].joined = False
        elif kind in ("error", "gap"):
            self.problems.append(json.dumps(m))
        self.news.set()

    def ordered(self, room, i):
        """While level, messages and acks of a connection come in one order."""
        if self.rooms[room].level:
            if i <= self.order.get(room, 0):
                self.problems.append(f"{room}: {i} (ack or message) after {self.order[room]}")
            self.order[room] = i

    async def until(self, condition, what, seconds=20):
        end = time.monotonic() + seconds * SLOW
        while not condition():
            self.news.clear()
            left = end - time.monotonic()
            if left <= 0 or self.client.ended.done():
                raise AssertionError(f"{self.sub}: no {what}; code {self.client.code}, error {self.client.error}, {self.problems[:3]}")
            try:
                await asyncio.wait_for(self.news.wait(), min(left, 0.5))
            except asyncio.TimeoutError:
                pass

    async def connect(self):
        self.order = {}
        for place in self.rooms.values():
            place.joined = place.level = False
        self.client = await asyncws.Client.connect(self.d.address, "/chat", self.token, self.heard)
        for room in self.rooms:
            await self.join(room)
        for key, (room, content) in list(self.pending.items()):
            self.client.send({"type": "chat", "room": room, "content": content, "key": key, "ref": key})

    async def join(self, room):
        place = self.rooms[room]
        self.client.send({"type": "join", "room": room, **({"last": 0} if place.start is None else {"after": place.cursor})})
        await self.until(lambda: place.joined, f"join of {room}")
        await self.until(lambda: place.level or place.cursor >= place.latest or place.latest == place.start, f"stored messages of {room}")
        place.level = True

    def talk(self):
        room = self.rng.choice(list(self.rooms))
        if not self.rooms[room].joined:
            return
        self.n += 1
        key = f"{self.sub}.{self.n}"
        content = f"{key} " + "x" * self.rng.choice((10, 50, 200, 2000))
        self.pending[key] = (room, content)
        self.client.send({"type": "chat", "room": room, "content": content, "key": key, "ref": key})

    async def live(self, end):
        await asyncio.sleep(self.rng.random())
        await self.connect()
        while time.monotonic() < end:
            what = self.rng.random()
            if what < 0.80:
                self.talk()
            elif what < 0.88:
                self.client.send({"type": "typing", "room": self.rng.choice(list(self.rooms))})
            elif what < 0.94:
                self.client.drop()
                await asyncio.sleep(self.rng.random() * 0.5)
                await self.connect()
            else:
                room = self.rng.choice(list(self.rooms))
                self.client.send({"type": "leave", "room": room})
                await self.until(lambda: not self.rooms[room].joined, "left")
                # what was sent before the leave is still acknowledged
                await asyncio.sleep(self.rng.random() * 0.3)
                await self.join(room)
            await asyncio.sleep(self.rng.random() * 0.5)
        await self.until(lambda: not self.pending, "last acks")


def log_of(d, room, token):
    """All the room's messages, by pages."""
    out, after = [], "all"
    with d.conn() as c:
        while True:
            page = c.request("GET", f"/history?topic=chat/{room}&limit=1000&after={after}", d.bearer(token)).ok().json()
            out += page["messages"]
            if not page["more"]:
                return out
            after = page["messages"][-1]["id"]


def test_chat_soak(daemons):
    seed = int(os.environ.get("BELFRY_SOAK_SEED", str(int.from_bytes(os.urandom(4), "big"))))
    print("seed", seed)
    rng = random.Random(seed)
    rooms = [mark(f"soak{i}") for i in range(ROOMS)]
    people = []

    async def go():
        for i in range(PEOPLE):
            people.append(Person(daemons, i, rng.sample(rooms, rng.choice((1, 1, 2, 3))), random.Random(rng.random())))
        end = time.monotonic() + SECONDS * SLOW
        await asyncio.gather(*(p.live(end) for p in people))
        logs = {}
        for room in rooms:
            logs[room] = log_of(daemons, room, daemons.token("reader"))
        newest = {room: max((m["id"] for m in log), default=0) for room, log in logs.items()}
        for p in people:
            for room, place in p.rooms.items():
                own = {m["id"] for m in logs[room] if m["from"]["id"] == p.sub}
                want = max((m["id"] for m in logs[room] if m["id"] not in own), default=0)
                await p.until(lambda: place.cursor >= want, f"the last message {want} of {room} (newest {newest[room]}, at {place.cursor})")
        await asyncio.sleep(0.2)
        for p in people:
            p.client.drop()
        return logs

    logs = asyncio.run(go())
    total = 0
    for room, log in logs.items():
        ids = [m["id"] for m in log]
        assert ids == sorted(set(ids)), f"{room}: the log itself is out of order"
        keys = [m["key"] for m in log]
        assert len(keys) == len(set(keys)), f"{room}: a key twice"
        total += len(ids)
    for p in people:
        assert not p.problems, (seed, p.sub, p.problems[:5])
        assert not p.client.error, (seed, p.client.error)
        for room, place in p.rooms.items():
            by_id = {m["id"]: m for m in logs[room]}
            want = [i for i in by_id if i > place.start]
            assert len(set(place.delivered)) == len(place.delivered), (seed, p.sub, room, "twice")
            seen = sorted(set(place.delivered) | {i for i in place.acked if i > place.start})
            missing, extra = set(want) - set(seen), set(seen) - set(want)
            assert not missing and not extra, (seed, p.sub, room, f"missing {sorted(missing)[:5]}, extra {sorted(extra)[:5]}")
            for i, key in place.acked.items():
                assert by_id[i]["key"] == key and by_id[i]["from"]["id"] == p.sub, (seed, p.sub, room, i)
    assert total > PEOPLE, "hardly anybody talked"
    print(f"{total} messages, {sum(len(pl.delivered) for p in people for pl in p.rooms.values())} deliveries")
    assert daemons.alive()


# -- readers that stop -----------------------------------------------------------------------------------------------------------


def flood(d, topic, n, size):
    """Publishes n messages; their ids. Pipelined, so that thousands take no time."""
    token = d.token("flood")
    ids = []
    with d.conn() as c:
        head = {**d.bearer(token), "Content-Type": "application/json"}
        for at in range(0, n, 50):
            docs = [{"topic": topic, "message": f"{i} " + "x" * size} for i in range(at, min(at + 50, n))]
            c.send(build("POST", "/publish", head, json.dumps(docs)))
            ids += [x["id"] for x in c.response().ok().json()]
    return ids


def in_order_or_one_gap(seen, gaps, want):
    """seen is want, or want with one hole where the gap was told."""
    if not gaps:
        assert seen == want
        return
    assert len(gaps) == 1, gaps
    hole = gaps[0]
    assert seen == want[:hole] + want[len(want) - (len(seen) - hole):]
    assert len(seen) < len(want)


def in_order_with_gaps(seen, gaps, want):
    """seen is want with holes, and a gap was told at each: a socket that takes a little now and then, while much is trimmed,
    may have more than one."""
    place = {m: i for i, m in enumerate(want)}
    holes = [i for i, m in enumerate(seen) if place[m] != (place[seen[i - 1]] + 1 if i else 0)]
    assert seen == sorted(seen) and len(set(seen)) == len(seen)
    assert holes == gaps


def reader(d, kind, topic):
    if kind == "sse":
        s = d.sse(topic=topic, rcvbuf=8192)
        s.block()

        def read():
            ev = s.next(timeout=20 * SLOW)
            return ("gap", None) if ev.name == "gap" else ("message", int(ev.id))
    else:
        ws = d.ws(rcvbuf=8192)
        ws.ok("subscribe", "subscribed", topic=topic)

        def read():
            m = ws.recv(timeout=20 * SLOW)
            return ("gap", None) if m["type"] == "gap" else ("message", m.get("id"))
    return read


@pytest.mark.parametrize("kind", ["websocket", "sse"])
@pytest.mark.parametrize("topic, gap", [("few/x", True), ("all/x", False)])
def test_reader_stops(daemons, kind, topic, gap):
    """It stops for seconds while thousands are published; memory stays within its queue, others go on."""
    topic = mark(topic)
    read = reader(daemons, kind, topic)
    other = reader(daemons, kind, topic)
    want = flood(daemons, topic, 1500, 2000)  # fills what may be filled
    before = daemons.rss()
    want += flood(daemons, topic, 4000, 2000)
    grown = daemons.rss() - before
    got = []
    while len(got) < 20:
        k, i = other()
        if k == "message":
            got.append(i)
    time.sleep(1)
    if gap and not SANITIZED:  # the log itself keeps 100 messages of the topic
        assert grown < 4 << 20, f"grown by {grown >> 10} KiB for 8 MB published"
    seen, gaps = [], []
    while not seen or seen[-1] != want[-1]:
        k, i = read()
        if k == "gap":
            gaps.append(len(seen))
        elif i is not None:
            seen.append(i)
    in_order_or_one_gap(seen, gaps, want)
    assert bool(gaps) == gap
    live = flood(daemons, topic, 3, 10)
    assert [read()[1] for _ in range(3)] == live


def test_many_slow_readers(daemons):
    """Fifty readers that do not read cost a bounded queue each, and nobody else's time."""
    topic = mark("few/x")
    readers = []
    for i in range(50):
        ws = daemons.ws(sub=f"slow{i}", rcvbuf=4096)
        ws.ok("subscribe", "subscribed", topic=topic)
        readers.append(ws)
    fast = daemons.ws(sub="fast")
    fast.ok("subscribe", "subscribed", topic=topic)
    before = daemons.rss()
    want = flood(daemons, topic, 1500, 4000)
    grown = daemons.rss() - before
    seen = []
    while not seen or seen[-1] != want[-1]:
        m = fast.recv()
        if m["type"] == "notification":
            seen.append(m["id"])
    if not SANITIZED:
        assert grown < 40 << 20, f"grown by {grown >> 10} KiB"
    for ws in readers[:5]:
        got, gaps = [], []
        while not got or got[-1] != want[-1]:
            m = ws.recv()
            if m["type"] == "gap":
                gaps.append(len(got))
            elif m["type"] == "notification":
                got.append(m["id"])
        in_order_with_gaps(got, gaps, want)
    for ws in readers:
        ws.drop()


def test_storm(daemons):
    """A hundred clients come at once, talk in one room, and go: nobody is forgotten, the room is empty after."""
    room = mark("storm")

    async def go():
        counts = [0] * 100
        clients = []

        def hearer(k):
            def heard(m):
                if m["type"] == "chat":
                    counts[k] += 1
            return heard

        clients = await asyncio.gather(*(
            asyncws.Client.connect(daemons.address, f"/chat?room={room}&last=0", daemons.token(f"s{k}"), hearer(k)) for k in range(100)))
        await asyncio.sleep(0.5)
        for c in clients:
            c.send({"type": "chat", "room": room, "content": "x"})
        end = time.monotonic() + 20 * SLOW
        while min(counts) < 99:
            assert time.monotonic() < end, sorted(counts)[:5]
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.1)
        assert max(counts) == 99, "twice"
        for c in clients:
            c.drop()

    asyncio.run(go())
    ws = daemons.ws(sub="last")
    end = time.monotonic() + 10 * SLOW
    while True:
        if ws.ok("join", "joined", room=room, last=0)["count"] == 1:
            break
        assert time.monotonic() < end, "members that are gone"
        time.sleep(0.1)


def test_connections_come_and_go(daemons):
    """Descriptors and memory are given back."""
    def descriptors():
        return len(os.listdir(f"/proc/{daemons.process.pid}/fd"))

    token = daemons.token("x")
    room = mark("come")

    def round_(n):
        for _ in range(n):
            ws = daemons.ws(token=token, room=room)
            s = daemons.sse(token=token, topic="a/b")
            ws.drop()
            s.close()

    round_(30)
    before_fd, before = descriptors(), daemons.rss()
    round_(200)
    end = time.monotonic() + 10 * SLOW
    while descriptors() > before_fd + 5:
        assert time.monotonic() < end, f"{descriptors()} descriptors, had {before_fd}"
        time.sleep(0.1)
    if not SANITIZED:
        assert daemons.rss() - before < 4 << 20
