"""The log on disk (issue: nothing acknowledged is ever lost): restarts, kill -9, one daemon a file, failures of the disk."""

import json
import os
import random
import resource
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.parse

import pytest
from support.daemon import BELFRYCTL, SLOW, WAIT, Daemon, ctl, mark
from support.rawclient import Eof, Timeout

STORAGE = {"storage": {"backend": "sqlite", "path": "data/belfry.db"}}
RULES = {
    "topics": (
        {"match": "few/*", "history": 3},
        {"match": "chat/*", "history": 100000, "presence": True},
        {"match": "**", "history": 100000},
    )
}
CYCLES = int(os.environ.get("BELFRY_KILL_CYCLES", "8"))


@pytest.fixture
def disk(tmp_path, request):
    d = Daemon(tmp_path, {**STORAGE, **RULES})
    yield d
    d.kill()
    if "damage" not in request.node.name and (d.folder / "data" / "belfry.db").exists():
        r = ctl("check", str(d.folder / "data" / "belfry.db"))
        assert r.returncode == 0, r.stderr


def publish(d, topic, text, token, **fields):
    body = json.dumps({"message": text, **fields})
    return d.http("POST", "/publish/" + topic, {"Authorization": "Bearer " + token, "Content-Type": "application/json"}, body)


def history(d, topic, token, **query):
    q = urllib.parse.urlencode({"topic": topic, "limit": 1000, **query})
    return d.http("GET", "/history?" + q, {"Authorization": "Bearer " + token}).ok().json()["messages"]


class Publisher(threading.Thread):
    """Publishes under keys; what got no answer is sent again until it has one."""

    def __init__(self, d, topic, stop):
        super().__init__(daemon=True)
        self.d, self.topic, self.stop = d, topic, stop
        self.token = d.token("pub-" + topic, belfry={"publish": ["**"], "subscribe": ["**"]})
        self.acked = {}
        self.name = mark("k")

    def run(self):
        n = 0
        while not self.stop.is_set() or n not in self.acked:
            try:
                r = publish(self.d, self.topic, f"{self.topic} {n}", self.token, key=f"{self.name}-{n}")
            except (OSError, AssertionError):
                time.sleep(0.01)
                continue
            if r.status == 200:
                self.acked[n] = r.json()["id"]
                if self.stop.is_set():
                    return
                n += 1
            else:
                assert r.status == 503, r
                time.sleep(0.01)


class Reader(threading.Thread):
    """Follows a pattern across all the daemon's lives by the last id it has seen; a WebSocket or a stream."""

    def __init__(self, d, pattern, sse, stop):
        super().__init__(daemon=True)
        self.d, self.pattern, self.sse, self.stop = d, pattern, sse, stop
        self.token = d.token("reader", belfry={"subscribe": ["**"]})
        self.ids, self.texts, self.gaps, self.cursor = [], [], [], "all"
        self.until = None  # the last id it has to see, once that is known

    def saw(self, m):
        self.ids.append(m["id"])
        self.texts.append(m["message"])
        self.cursor = str(m["id"])

    def follow_ws(self):
        with self.d.ws(token=self.token) as ws:
            ws.send({"type": "subscribe", "topic": self.pattern, "after": self.cursor})
            while True:
                m = ws.recv(timeout=WAIT / 5)
                if m["type"] == "notification":
                    self.saw(m)
                elif m["type"] == "gap":
                    self.gaps.append(m)

    def follow_sse(self):
        with self.d.sse(token=self.token, topic=self.pattern, after=self.cursor) as s:
            while True:
                e = s.block(timeout=WAIT / 5)
                if e is None:
                    raise Eof("cut")
                if e.name == "notification":
                    self.saw(e.json())
                elif e.name == "gap":
                    self.gaps.append(e.json())

    def run(self):
        end = None
        while self.until is None or not self.ids or self.ids[-1] < self.until:
            if self.stop.is_set():
                end = end or time.monotonic() + 12 * WAIT
                if time.monotonic() > end:
                    return
            try:
                (self.follow_sse if self.sse else self.follow_ws)()
            except (Timeout, Eof, OSError, AssertionError, ValueError):
                time.sleep(0.01)


@pytest.mark.timeout(60 * SLOW + 60)
def test_kill(disk):
    """Killed at any moment under load: every acknowledged message is there, once, in order, on both transports."""
    d = disk.start()
    stop, over = threading.Event(), threading.Event()
    writers = [Publisher(d, t, stop) for t in ("one/a", "one/b", "two/c")]
    readers = [Reader(d, "**", False, over), Reader(d, "**", True, over), Reader(d, "one/*", False, over)]
    for t in writers + readers:
        t.start()
    for _ in range(CYCLES):
        time.sleep(random.uniform(0.02, 0.4))
        d.process.kill()
        d.process.wait()
        d.again()
    time.sleep(0.3)
    stop.set()
    for t in writers:
        t.join(60)
    everything = {w.acked[n]: f"{w.topic} {n}" for w in writers for n in w.acked}
    for r in readers:
        r.until = max(i for i, t in everything.items() if r.pattern == "**" or t.startswith("one/"))
    over.set()
    for t in readers:
        t.join(60 * SLOW)
    assert len(everything) == sum(len(w.acked) for w in writers)
    assert len(everything) > CYCLES
    for r in readers:
        assert r.ids == sorted(set(r.ids)), "twice, or out of order"
        assert not r.gaps, r.gaps
        mine = {i: t for i, t in everything.items() if r.pattern == "**" or t.startswith("one/")}
        got = dict(zip(r.ids, r.texts))
        lost = {i: t for i, t in mine.items() if got.get(i) != t}
        assert not lost, (r.pattern, r.sse, len(lost), sorted(lost.items())[:5])
        assert len(got) == len(mine)
    d.stop()


def test_restart(disk):
    d = disk.start()
    t = d.token("ada", belfry={"publish": ["**"], "subscribe": ["**"]})
    ids = [publish(d, "few/a", str(i), t).ok().json()["id"] for i in range(5)]
    key = mark("k")
    first = publish(d, "few/b", "x", t, key=key).ok().json()["id"]
    d.stop()
    d.again()
    assert [m["id"] for m in history(d, "few/a", t)] == ids[2:]
    r = publish(d, "few/b", "x", t, key=key).ok().json()
    assert r["duplicate"] and r["id"] == first
    assert publish(d, "few/c", "y", t).ok().json()["id"] > first
    assert (d.folder / "data").stat().st_mode & 0o7777 == 0o750
    assert (d.folder / "data" / "belfry.db").stat().st_mode & 0o7777 == 0o640
    d.stop()


def figure(d, name):
    text = d.http("GET", "/metrics").ok().body.decode()
    return int(next(line.split()[-1] for line in text.splitlines() if line.startswith(f"belfry_storage_{name} ")))


def test_storm_after_restart(disk):
    """Everybody comes back to a daemon that was killed: what they missed is in memory again, nothing is read from the disk."""
    d = disk.start()
    t = d.token("ada", belfry={"publish": ["**"], "subscribe": ["**"]})
    ids = [publish(d, f"storm/{i % 10}", f"number {i}", t).ok().json()["id"] for i in range(200)]
    d.process.kill()
    d.process.wait()
    d.again()
    ends = []
    try:
        for i in range(150):
            ends.append(d.ws(token=t) if i % 2 else d.sse(token=t, topic="storm/*", after=str(ids[i])))
            if i % 2:
                ends[i].send({"type": "subscribe", "topic": "storm/*" if i % 3 else f"storm/{i % 10}", "after": ids[i]})
        for i, end in enumerate(ends):
            want = [n for n in ids[i + 1 :] if i % 2 == 0 or i % 3 or ids.index(n) % 10 == i % 10]
            got = [end.expect("notification")["id"] if i % 2 else end.until("notification").json()["id"] for _ in want]
            assert got == want
    finally:
        for end in ends:
            end.close()
    assert figure(d, "disk_reads_total") == 0 and figure(d, "cache_hits_total") >= 150
    assert figure(d, "cache_messages") == 200
    d.stop()


CROWD = int(os.environ.get("BELFRY_RESTART_CLIENTS", "200"))


@pytest.mark.timeout(60 * SLOW + 300)
def test_crowd_over_restarts(disk):
    """A crowd that talks while the daemon is killed and started again: each message once, in one order, with its ack."""
    d, kills, got = disk.start(), 2 if CROWD < 1000 else 4, []
    args = f"churn --restarts -n {CROWD} -r {CROWD // 25} --rate {CROWD // 4} --tokens -t {4 * kills}s --room storm".split()
    env = {"BELFRY_URL": d.url, "BELFRY_TOKEN": d.token("bench")}
    d.configure({"listen": ({"address": "127.0.0.1", "port": d.port},)})
    bench = threading.Thread(target=lambda: got.append(ctl("bench", "--json", "-c", str(d.file), *args, env=env, timeout=300 * SLOW)))
    bench.start()
    for _ in range(kills):
        time.sleep(2.5)
        d.process.kill()
        d.process.wait()
        d.again()
    bench.join()
    r = json.loads(got[0].stdout) if got[0].stdout else got[0]
    assert got[0].returncode == 0 and r["losses"] >= CROWD / 2 and r["replayed"] > 0, r
    assert not any(r[key] for key in ("lost", "told", "repeated", "disordered", "unacknowledged", "wrong")), r
    d.stop()


def test_search(disk):
    d = disk.start()
    t = d.token("ada", belfry={"publish": ["**"], "subscribe": ["few/*"]})
    publish(d, "few/a", "the quick brown fox", t).ok()
    publish(d, "few/b", "a brown dog", t).ok()
    publish(d, "hidden/a", "a brown bear", t).ok()
    for q, n in (("brown", 2), ("bro*", 2), ('"brown fox"', 1), ('"fox brown"', 0), ("QUICK dog", 0), ('" AND (', 0), ("bear", 0)):
        assert len(history(d, "few/*", t, q=q)) == n, q
    assert d.http("GET", "/history?topic=**&q=bear", {"Authorization": "Bearer " + t}).status == 403
    d.stop()


def test_one_daemon(disk, tmp_path):
    d = disk.start()
    other = Daemon(tmp_path / "other", {"storage": {"backend": "sqlite", "path": str(d.folder / "data" / "belfry.db")}}).spawn()
    assert other.wait() == 69
    assert "another belfryd, process %d has it open" % d.process.pid in other.log()
    d.stop()


def test_damage(disk):
    d = disk.start()
    t = d.token("ada", belfry={"publish": ["**"], "subscribe": ["**"]})
    old = publish(d, "a", "x", t).ok().json()["id"]
    d.stop()
    db = d.folder / "data" / "belfry.db"
    db.write_bytes(b"\0" * 4096 + db.read_bytes()[4096:])
    d.configure({"listen": ({"address": "127.0.0.1", "port": d.port},)})
    d.lines.clear()
    assert d.spawn().wait() == 65
    assert "storage.recover = true" in d.log()
    d.configure({"storage": {"recover": True}})
    d.again()
    assert "storage.recover" in d.log()
    assert [p for p in db.parent.iterdir() if ".corrupt-" in p.name]
    with d.ws(token=t) as ws:
        ws.send({"type": "subscribe", "topic": "a", "after": old})
        assert ws.expect("gap")["reason"] == "outside"
    d.stop()


def test_full_disk(disk):
    """A file that must not grow stands for a full disk: publishers are told, readyz says why, and it passes by itself."""
    d = disk.start()
    t = d.token("ada", belfry={"publish": ["**"], "subscribe": ["**"]})
    acked = [publish(d, "a", "before", t).ok().json()["id"]]
    limit = (d.folder / "data" / "belfry.db-wal").stat().st_size + 60000
    resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
    refused = None
    for i in range(400):
        r = publish(d, "a", "x" * 2000, t)
        if r.status != 200:
            refused = r
            break
        acked.append(r.json()["id"])
    assert refused is not None and refused.status == 503, refused
    assert refused.json()["code"] == "unavailable" and int(refused.header("Retry-After")) >= 1
    r = d.http("GET", "/readyz")
    assert r.status == 503 and "storage" in r.json()["reason"], r
    with d.join("r", sub="ada") as ws, d.join("r", sub="bob") as other:
        ws.send({"type": "typing", "room": "r"})  # what is not stored goes on
        other.expect("typing")
    resource.prlimit(d.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    d.until_ready()
    acked.append(publish(d, "a", "after", t).ok().json()["id"])
    assert [m["id"] for m in history(d, "a", t)] == acked
    d.process.kill()
    d.process.wait()
    d.again()
    assert [m["id"] for m in history(d, "a", t)] == acked
    d.stop()


@pytest.mark.parametrize("suffix", ["", "-wal"])
@pytest.mark.parametrize("replaced", [False, True])
def test_file_is_taken_away(disk, suffix, replaced):
    """What would be acknowledged then would be gone with the daemon: publishers are told, until the file is put back."""
    d = disk.start()
    t = d.token("ada", belfry={"publish": ["**"], "subscribe": ["**"]})
    acked = [publish(d, "a", "before", t).ok().json()["id"]]
    file = d.folder / "data" / ("belfry.db" + suffix)
    away = file.with_name("away")
    file.rename(away)
    if replaced:
        file.write_bytes(b"")
    time.sleep(0.05)  # it looks fifty times a second
    r = publish(d, "a", "meanwhile", t)
    assert r.status == 503 and r.json()["code"] == "unavailable", r
    r = d.http("GET", "/readyz")
    assert r.status == 503 and f"belfry.db{suffix} was removed or replaced" in r.json()["reason"], r
    assert [m["id"] for m in history(d, "a", t)] == acked
    away.rename(file)
    d.until_ready()
    acked.append(publish(d, "a", "after", t).ok().json()["id"])
    d.process.kill()
    d.process.wait()
    d.again()
    assert [m["id"] for m in history(d, "a", t)] == acked
    d.stop()


def test_stalled_disk(disk):
    """Somebody holds the database: who publishes is told so in time, and readers do not notice."""
    d = disk.start()
    t = d.token("ada", belfry={"publish": ["**"], "subscribe": ["**"]})
    first = publish(d, "a", "before", t).ok().json()["id"]
    db = sqlite3.connect(d.folder / "data" / "belfry.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(publish(d, "a", "x", t))) for _ in range(3)]
    for th in threads:
        th.start()
    end = time.monotonic() + 30
    while d.http("GET", "/readyz").status == 200:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert [m["id"] for m in history(d, "a", t)] == [first]
    r = publish(d, "a", "now", t)
    assert r.status == 503 and r.header("Retry-After"), r
    db.execute("ROLLBACK")
    db.close()
    for th in threads:
        th.join(60)
    d.until_ready()
    kept = [r.json()["id"] for r in answers if r.status == 200]
    assert {r.status for r in answers} <= {200, 503}
    kept.append(publish(d, "a", "after", t).ok().json()["id"])
    assert [m["id"] for m in history(d, "a", t)] == [first] + sorted(kept)
    d.stop()


def listed(d, **query):
    t = d.token("root", belfry={"role": "admin"})
    r = d.http("GET", "/api/scheduled?" + urllib.parse.urlencode(query), {"Authorization": "Bearer " + t}).ok().json()
    return (r["scheduled"], r["more"]) if query else r["scheduled"]


@pytest.mark.parametrize("backend", ["sqlite", "memory"])
def test_scheduled_limits(tmp_path, backend):
    """Counts and horizon are configured, and named when they refuse; the list has pages."""
    limits = {"scheduled": 6, "scheduled_per_user": 4, "scheduled_ahead": "1h"}
    d = Daemon(tmp_path, {**RULES, "storage": {"backend": backend, "path": "data/belfry.db", **limits}}).start()
    try:
        t, other = (d.token(who, belfry={"publish": ["**"], "subscribe": ["**"]}) for who in ("ada", "bob"))
        mine = [publish(d, "a", str(i), t, at=f"+{50 - i}m").ok(202).json()["scheduled"] for i in range(4)]
        assert publish(d, "a", "x", t, at="+5m").problem(429, "too_many")["limit"] == "storage.scheduled_per_user"
        far = publish(d, "a", "x", t, at="+2h").problem(400, "bad_field")
        assert far["limit"] == "storage.scheduled_ahead" and "3600 seconds" in far["detail"]
        for _ in range(2):
            publish(d, "a", "x", other, at="+55m").ok(202)
        assert publish(d, "a", "x", other, at="+5m").problem(429, "too_many")["limit"] == "storage.scheduled"
        all_of_them = [e["scheduled"] for e in listed(d)]
        assert all_of_them[:4] == mine[::-1] and len(all_of_them) == 6
        got, after, more = [], 0, True
        while more:
            page, more = listed(d, limit=2, after=after)
            got += [e["scheduled"] for e in page]
            after = got[-1]
        assert got == all_of_them
        assert listed(d, limit=1, after=1) == (listed(d)[:1], True)  # not there (any more): from the beginning
        d.stop()
    finally:
        d.kill()


@pytest.mark.parametrize("backend", ["sqlite", "memory"])
def test_scheduled(tmp_path, backend):
    """`at` in each form; it is taken back by who sent it, or by an administrator, and comes once, also after a restart."""
    d = Daemon(tmp_path, {**STORAGE, **RULES, "storage": {"backend": backend, "path": "data/belfry.db"}}).start()
    try:
        t = d.token("ada", belfry={"publish": ["**"], "subscribe": ["**"]})
        other = d.token("bob", belfry={"publish": ["**"], "subscribe": ["**"]})
        auth = {"Authorization": "Bearer " + t}
        with d.sse(token=other, topic="a") as s:
            r = publish(d, "a", "json", t, at="+1s").ok(202).json()
            assert set(r) == {"scheduled", "at", "topic"} and abs(r["at"] - time.time() - 1) < 30
            text = d.http("POST", "/publish/a", {**auth, "At": str(int(time.time()) + 2)}, "header").ok(202).json()
            far = d.http("POST", "/publish/a?at=%2B1h", auth, "query").ok(202).json()
            iso = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 7200))
            mixed = d.http("POST", "/publish", {**auth, "Content-Type": "application/json"},
                           json.dumps([{"topic": "b", "message": "now"}, {"topic": "b", "message": "later", "at": iso}])).ok().json()
            assert "id" in mixed[0] and "scheduled" in mixed[1]
            d.http("POST", "/publish/a", {**auth, "At": "whenever"}, "x").problem(400, "bad_field")
            assert [e["scheduled"] for e in listed(d)] == [r["scheduled"], text["scheduled"], far["scheduled"], mixed[1]["scheduled"]]
            path = "/publish/%d" % far["scheduled"]
            d.http("DELETE", path, {"Authorization": "Bearer " + other}).problem(404, "not_found")
            d.http("DELETE", path, {}).problem(401)
            assert d.http("DELETE", path, auth).status == 204
            d.http("DELETE", path, auth).problem(404, "not_found")
            d.http("DELETE", "/publish/1", auth).problem(404, "not_found")
            assert d.http("DELETE", "/publish/a", auth).status == 405  # no number: a topic
            assert [s.until("notification").json()["message"] for _ in range(2)] == ["json", "header"]
        with d.ws(token=t) as ws:
            ack = ws.ok("publish", "ack", topic="c", message="ws", at="+1h")
            assert ack["scheduled"] and "id" not in ack
        if backend == "sqlite":
            soon = publish(d, "c", "soon", t, at="+1s").ok(202).json()
            d.process.kill()
            d.process.wait()
            time.sleep(3.1)
            d.again()
            with d.sse(token=other, topic="c", after="all") as s:
                late = s.until("notification").json()
                assert late["message"] == "soon" and abs(late["timestamp"] - late["id"] / 1e6) < 2
            assert [e["scheduled"] for e in listed(d)] == [ack["scheduled"], mixed[1]["scheduled"]] or [
                e["scheduled"] for e in listed(d)
            ] == [mixed[1]["scheduled"], ack["scheduled"]]
            assert len(history(d, "c", t)) == 1 and soon
        d.stop()
    finally:
        d.kill()


def interrupt():
    """Of a program that is about to start: Ctrl-C has been pressed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    os.kill(os.getpid(), signal.SIGINT)


def test_ctl(disk, tmp_path):
    """belfryctl history, backup beside the running daemon, check; a daemon on the copy has it all."""
    d = disk.start()
    d.configure({"listen": ({"address": "127.0.0.1", "port": d.port},)})
    conf = ("-c", str(d.file))
    t = d.token("ada", belfry={"publish": ["**"], "subscribe": ["**"]})
    ids = [publish(d, "a/b", f"number {i}", t).ok().json()["id"] for i in range(5)]
    copy = tmp_path / "copy.db"
    assert ctl("backup", *conf, str(copy)).returncode == 0
    assert copy.stat().st_mode & 0o777 == 0o640
    assert ctl("backup", *conf, str(copy)).returncode == 73
    ended = copy.with_name("ended.db")  # Ctrl-C leaves no half a copy
    r = subprocess.run([BELFRYCTL, "backup", *conf, str(ended)], capture_output=True, text=True, timeout=10 * SLOW, preexec_fn=interrupt)
    assert r.returncode == 74 and "interrupted" in r.stderr and not list(ended.parent.glob("ended.db*")), r
    again = copy.with_name("again.db")
    r = ctl("backup", *conf, "--json", str(again))
    assert r.returncode == 0 and json.loads(r.stdout) == {"path": str(again), "bytes": again.stat().st_size}, r
    for where in (conf, (str(copy),)):
        assert ctl("check", *where).returncode == 0
    r = ctl("history", *conf, "a/*", "-n", "2")
    assert r.returncode == 0 and [line.split()[-1] for line in r.stdout.splitlines()] == ["3", "4"], r
    r = ctl("history", *conf, "--json", "--after", str(ids[1]), "a/b")
    assert [m["id"] for m in json.loads(r.stdout)["messages"]] == ids[2:]
    assert len(json.loads(ctl("history", *conf, "--json", "-q", "number 3", "a/b").stdout)["messages"]) == 1
    assert ctl("history", *conf).returncode == 64
    publish(d, "a/b", "after the copy", t).ok()
    other = Daemon(tmp_path / "other", {**RULES, "storage": {"backend": "sqlite", "path": str(copy)}}).start()
    try:
        assert [m["id"] for m in history(other, "a/b", other.token("ada", belfry={"subscribe": ["**"]}))] == ids
        other.stop()
    finally:
        other.kill()
    bad = bytearray(copy.read_bytes())
    bad[8192:16384] = os.urandom(8192)
    copy.write_bytes(bad)
    assert ctl("check", str(copy)).returncode == 65
    d.stop()


def test_restore(disk):
    """A copy put in place after a crash is the copy: what the old database left beside it is set aside, and whoever had read further is told."""
    d = disk.start()
    d.configure({"listen": ({"address": "127.0.0.1", "port": d.port},)})
    t = d.token("ada", belfry={"publish": ["**"], "subscribe": ["**"]})
    ids = [publish(d, "a/b", f"number {i}", t).ok().json()["id"] for i in range(3)]
    db = d.folder / "data" / "belfry.db"
    copy = db.with_name("copy.db")
    assert ctl("backup", "-c", str(d.file), str(copy)).returncode == 0
    later = [publish(d, "a/b", f"later {i}", t).ok().json()["id"] for i in range(2)]
    d.process.kill()
    d.process.wait()
    assert db.with_name("belfry.db-wal").stat().st_size > 0
    copy.rename(db)
    for command in ("check", "backup"):
        r = ctl(command, "-c", str(d.file), *([str(copy)] if command == "backup" else []))
        assert r.returncode == 65 and "the -wal beside it" in r.stderr, r
    d.lines.clear()
    d.again()
    assert d.log().count("storage.restored") == 2
    assert [p for p in db.parent.iterdir() if ".replaced-" in p.name and p.name.endswith("-wal")]
    assert [m["id"] for m in history(d, "a/b", t)] == ids
    new = publish(d, "a/b", "new", t).ok().json()["id"]
    assert new > later[-1]
    for cursor in (ids[-1], later[0]):
        with d.ws(token=t) as ws:
            ws.send({"type": "subscribe", "topic": "a/b", "after": cursor})
            assert ws.expect("gap")["after"] == cursor
            assert ws.expect("notification")["id"] == new
    d.lines.clear()
    d.stop()
    d.again()
    assert "storage.restored" not in d.log()
    with d.ws(token=t) as ws:
        ws.send({"type": "subscribe", "topic": "a/b", "after": new})
        assert ws.expect("subscribed")["resumed"]
    d.stop()


# What is done to a database, and what `belfryctl check` then says of it.
DAMAGE = [
    ("UPDATE topics SET messages = messages + 1 WHERE name = CAST('few/a' AS BLOB)", "topic.messages", "few/a"),
    ("UPDATE topics SET changes = 0 WHERE name = CAST('chat/r' AS BLOB)", "topic.messages", "chat/r"),
    ("UPDATE topics SET first = last WHERE name = CAST('few/a' AS BLOB)", "topic.first", "few/a"),
    ("UPDATE topics SET last = first WHERE name = CAST('few/a' AS BLOB)", "topic.last", "few/a"),
    ("UPDATE topics SET ends = 0 WHERE name = CAST('ends' AS BLOB)", "topic.ends", "ends"),
    ("UPDATE topics SET trimmed = 9007199254740991 WHERE name = CAST('few/a' AS BLOB)", "topic.floor", "few/a"),
    ("UPDATE topics SET name = CAST('few//a' AS BLOB) WHERE name = CAST('few/a' AS BLOB)", "topic.name", "few//a"),
    ("DELETE FROM topics WHERE name = CAST('few/a' AS BLOB)", "topic.messages", None),
    ("UPDATE messages SET also = 999 WHERE also IS NOT NULL", "topic.messages", None),
    ("UPDATE meta SET value = 9007199254740991 WHERE name = 'begin'", "log.begin", None),
    ("DELETE FROM meta WHERE name = 'last'", "log.begin", None),
    ("UPDATE keys SET id = 9007199254740991", "key.id", None),
    ("UPDATE messages SET key = NULL", "key.id", "few/a"),
    ("UPDATE facts SET kind = 99 WHERE kind = 1", "fact", "chat/r"),
    ("UPDATE facts SET number = 9007199254740991 WHERE kind = 5", "fact.read", "chat/r"),
    ("UPDATE messages SET json = replace(json, id, id + 1) WHERE target IS NULL", "message", "few/a"),
    ("UPDATE messages SET json = x''", "message", "chat/r"),
    ("UPDATE scheduled SET sse_at = 100000", "message", "later"),
]


def test_damage_of_contents(disk, tmp_path):
    """What the store believes at its start is looked at by belfryctl check, each thing by its name."""
    d = disk.start()
    t = d.token("ada", belfry={"publish": ["**"], "subscribe": ["**"], "direct": ["*"], "role": "admin"})
    for i in range(5):
        publish(d, "few/a", str(i), t, key=f"k{i}").ok()
    publish(d, "ends", "x", t, ttl=3600).ok()
    publish(d, "later", "x", t, at="+1h").ok(202)
    with d.ws(token=t) as ada:
        ada.ok("join", "joined", room="r", last=0)
        ids = [ada.say(f"m{i}")["id"] for i in range(3)]
        ada.ok("edit", "ack", target=ids[0], content="other")
        ada.ok("direct", "ack", to="bob", content="psst")
        ada.send({"type": "read", "id": ids[1]})
        ada.ok("ban", "ack", room="r", user="eve")
        ada.sync()
    d.stop()
    path, sound = tmp_path / "copy.db", (d.folder / "data" / "belfry.db").read_bytes()
    path.write_bytes(sound)
    r = ctl("check", "--json", str(path))
    assert r.returncode == 0 and json.loads(r.stdout) == {"sound": True, "path": str(path), "findings": []}, r
    for sql, what, topic in DAMAGE:
        path.write_bytes(sound)
        with sqlite3.connect(path) as db:
            assert db.execute(sql).rowcount > 0, sql
        db.close()
        r = ctl("check", "--json", str(path))
        found = [(f["check"], f.get("topic")) for f in json.loads(r.stdout)["findings"]]
        assert r.returncode == 65 and (what, topic) in found, (sql, r)
    plain = ctl("check", str(path))
    assert plain.returncode == 65 and "later: scheduled message" in plain.stderr and "sound" not in plain.stdout
