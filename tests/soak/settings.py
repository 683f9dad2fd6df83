"""Configurations: the plain one, and what reloads make of it. Keys are rotated with it."""

import asyncio
import os
import signal
import time

import ledger
import wire
from support import ROOT
from world import KEEPS

RULES = (
    {"match": "server/**", "history": 0},
    {"match": "flood/**", "history": 2, "keep": "4s"},
    {"match": "acct/**", "history": KEEPS},
    {"match": "user/**", "history": KEEPS},
    {"match": "chat/raw", "history": 0},
    {"match": "chat/*", "history": KEEPS, "presence": True},
    {"match": "**", "history": 20},
)

PLAIN = {
    "web": {"root": str(ROOT / "web"), "csp": "default-src 'self'"},
    "auth": {"secret_file": "secret", "leeway": "2s", "guests": True, "guest_ttl": "20s", "guest_tokens_per_minute": 1000,
             "explain": True, "algorithms": ("HS256",)},
    "storage": {"cache": "64M", "keys": 5000},
    "topics": RULES,
    "events": {"keepalive": "5s", "retry": "200ms"},
    "chat": {"leave_grace": "1s", "heartbeat": "5s", "typing_timeout": "1s", "compression": True, "default_room": "lobby"},
    "limits": {"messages_per_second": 0, "burst": 0, "drain": "5s", "request_timeout": "3s", "idle_timeout": "4s", "queue": "256K", "memory": "256M", "connections": 2000,
               "connections_per_address": 0, "connections_per_user": 0, "message": "64K", "body": "1M", "header": "16K", "rooms_per_connection": 100,
               "publishes_per_second": 0, "upgrades_per_second": 0, "topics": 100000},
    "logging": {"level": "info", "format": "text"},
    "echo": True,
    "feeds": ({"topic": "server/stats", "every": "500ms"},),
    "cors": {"allow_origins": ()},
}


def shuffled(rng, slow):
    """A change of some of it."""
    limits = {
        "messages_per_second": (0, 20, 100), "burst": (0, 40), "request_timeout": ("1s", "3s"), "idle_timeout": ("1s", "4s"),
        "queue": ("8K", "64K", "256K"), "memory": ("1M", "8M", "256M"), "connections": (150, 2000), "connections_per_user": (0, 3),
        "connections_per_address": (0, 300), "message": ("16K", "64K"), "body": ("400K", "1M"), "header": ("8K", "16K"), "rooms_per_connection": (4, 100),
        "publishes_per_second": (0, 30), "upgrades_per_second": (0, 40), "topics": (60, 100000)}
    chosen = {k: rng.choice(v) for k, v in limits.items() if rng.random() < 0.3}
    more = rng.choice((1, 1, 2))
    rules = tuple({**r, "history": r["history"] * more} for r in RULES)
    if rng.random() < 0.2:
        rules = ({"match": "acct/b/*", "history": KEEPS * 2}, *rules)
    if rng.random() < 0.2:
        rules = tuple({**r, **({"presence": False} if r["match"] == "chat/*" else {})} for r in rules)
    return {
        "limits": {**PLAIN["limits"], **chosen},
        "topics": rules,
        "chat": {**PLAIN["chat"], "compression": rng.random() < 0.8, "leave_grace": rng.choice((0, "1s", "5s")), "typing_timeout": rng.choice(("200ms", "2s")),
                 "heartbeat": rng.choice(("5s", "20s") if slow > 1 else ("3s", "20s")), "default_room": rng.choice(("lobby", "tower"))},
        "events": {"keepalive": rng.choice(("1s", "5s")), "retry": rng.choice(("100ms", "2s"))},
        "auth": {**PLAIN["auth"], "explain": rng.random() < 0.5, "guests": rng.random() < 0.8, "algorithms": rng.choice((("HS256",), ("HS256", "HS512")))},
        "logging": {"level": rng.choice(("info", "info", "notice", "debug")), "format": rng.choice(("text", "json"))},
        "feeds": rng.choice(((), PLAIN["feeds"], ({"topic": "server/a", "every": "100ms"}, {"topic": "server/b", "every": "1s"}))),
        "web": {"root": rng.choice((str(ROOT / "web"), "")), "csp": rng.choice(("", "default-src 'self'"))},
        "cors": {"allow_origins": rng.choice(((), ("https://example.org",), ("*",)))},
        "echo": rng.random() < 0.9,
    }


def rotate(w):
    w.secret = os.urandom(40).hex().encode()
    path = w.d.folder / "secret"
    new = path.with_suffix(".new")
    new.write_bytes(w.secret)
    new.chmod(0o600)
    new.replace(path)
    w.counts["keys rotated"] += 1


async def loaded(w, conf, by_request=False):
    """Makes this the configuration, and waits until the daemon says so."""
    since = len(w.d.reloads)
    few = min(w.d.conf["limits"]["topics"], conf["limits"]["topics"]) < PLAIN["limits"]["topics"]
    w.d.configure(conf)
    if by_request:
        try:
            await wire.call(w, "POST", "/api/reload", w.admin())
        except (OSError, EOFError, asyncio.TimeoutError):
            pass
    w.d.signal(signal.SIGHUP)
    end = time.monotonic() + 20 * w.slow
    while len(w.d.reloads) == since:
        if time.monotonic() > end or not w.d.alive():
            w.wrong("a reload was not answered in the log")
            return
        await asyncio.sleep(0.05)
    w.counts["reloads"] += 1
    if few:
        w.ledger.folded = ledger.now_id() if conf["limits"]["topics"] == PLAIN["limits"]["topics"] else ledger.NEVER


async def reloader(w, every):
    """Changes the configuration again and again; some of them are broken and must be refused."""
    rng = w.dice()
    while not w.leaving:
        await w.nap(every * (0.3 + 1.4 * rng.random()))
        if w.leaving:
            return
        if rng.random() < 0.15:
            w.d.write("limits = { queue = 1; nonsense = 2; }; listen = (")
            w.d.signal(signal.SIGHUP)
            w.counts["broken reloads"] += 1
            await w.nap(0.3)
        if rng.random() < 0.25:
            rotate(w)
        if rng.random() < 0.3:
            for _ in range(5):
                w.d.signal(signal.SIGHUP)
        await loaded(w, shuffled(rng, w.slow) if rng.random() < 0.7 else PLAIN, rng.random() < 0.3)
