#!/usr/bin/env python3
"""A soak: clients at random over every door, faults, reloads; every message accounted for; nothing left behind.

For each store, with one worker and with three: a daemon, a warm-up, everybody leaves and the figures are noted; then the load, everybody leaves, and
descriptors and memory must be where they were; then a load again, into which SIGTERM falls. The exit code is 1 when anything was found.
"""

import argparse
import asyncio
import collections
import json
import logging
import os
import pathlib
import shutil
import signal
import sys
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parent), str(pathlib.Path(__file__).resolve().parents[1] / "live")]

import callers  # noqa: E402
import changers  # noqa: E402
import faults_http  # noqa: E402
import faults_ws  # noqa: E402
import figures  # noqa: E402
import listeners  # noqa: E402
import people  # noqa: E402
import settings  # noqa: E402
import wire  # noqa: E402
from support import BELFRYD, SANITIZED  # noqa: E402
from support.daemon import BASE  # noqa: E402
from world import GROUPS, ROOMS, Process, World  # noqa: E402

FAULTS = {**faults_http.FAULTS, **faults_ws.FAULTS}
PAGE_CACHES = 12 << 20  # what the database's connections may keep of it, once they have read it
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:abort_on_error=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=0:exitcode=66:second_deadlock_stack=1:history_size=4",
}


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seconds", type=float, default=120, help="of load, in all")
    p.add_argument("--warmup", type=float, help="seconds of load before the figures are noted; a fifth, at most 60")
    p.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"), help="of the dice")
    p.add_argument("--workers", type=lambda s: [int(n) for n in s.split(",")], default=[1, 3], help="1,3")
    p.add_argument("--backends", type=lambda s: s.split(","), default=["memory", "sqlite"], help="memory,sqlite; in turn with each number of workers")
    p.add_argument("--people", type=int, default=40, help="everything else goes by their number")
    p.add_argument("--folder", type=pathlib.Path, default=pathlib.Path("soak"), help="for configuration and logs")
    p.add_argument("--short", action="store_true", help="for a test: less patience with those who leave, more with memory")
    p.add_argument("--faults", default="", help="only these, by name")
    return p.parse_args()


async def faulty(w, names):
    """One fault after another."""
    rng = w.dice()
    while not w.leaving:
        name = rng.choice(names)
        w.counts[f"fault {name}"] += 1
        try:
            async with asyncio.timeout(40 * w.slow):
                await FAULTS[name](w, rng)
        except asyncio.CancelledError:
            wire.Peer.end_all()
            raise
        except (OSError, EOFError, asyncio.TimeoutError, asyncio.LimitOverrunError, ValueError) as e:
            w.counts[f"faults' ends: {type(e).__name__}"] += 1
        await asyncio.sleep(rng.random() * 0.3)


async def accountant(w):
    while not w.leaving:
        await w.nap(5)
        w.ledger.check(settled_s=20 * w.slow, late_s=60 * w.slow)


async def watch(w, what, seconds):
    """A line once in a while."""
    start = time.monotonic()
    every = 15 if sys.stdout.isatty() else 60
    shown = start
    while not w.leaving:
        await w.nap(1)
        if time.monotonic() - shown < every:
            continue
        shown = time.monotonic()
        try:
            m = await w.metrics()
        except (OSError, EOFError, asyncio.TimeoutError) as e:
            print(f"  {what}: no figures: {e}", flush=True)
            continue
        print(f"  {what} {shown - start:5.0f}/{seconds:.0f} s: {m['belfry_connections']} connections of {m['belfry_connections_accepted_total']}, "
              f"{m['belfry_appends_total']} messages, {m['belfry_deliveries_total']} deliveries, {m['belfry_gaps_total']} gaps, "
              f"{w.descriptors()} descriptors, heap {m['belfry_heap_bytes'] >> 10} KiB, {w.ledger.noted} accounted, {len(w.findings)} findings", flush=True)


def crowd(w, args):
    """Everybody who accounts for what they see, and everybody who does not."""
    n = args.people
    rng = w.dice()
    base = w.ledger.number = getattr(w.ledger, "number", 0) + 1000
    good = [people.Person(w, base + i, rng.sample(ROOMS, rng.choice((1, 1, 2, 4))), rng.sample(list(GROUPS), rng.choice((0, 1, 1, 2)))) for i in range(n)]
    good += [listeners.Sse(w, base + i, rng.choice((GROUPS["a"], GROUPS["b"], [*GROUPS["a"], "chat/r1"], ["chat/r0", "chat/r2"]))) for i in range(n // 5)]
    good += [listeners.Lines(w, base + i, rng.choice((GROUPS["a"], GROUPS["b"], ["chat/r3"]))) for i in range(n // 8)]
    good += [listeners.ChatStream(w, base + i, rng.choice(ROOMS)) for i in range(n // 8)]
    w.changers = max(2 * changers.USERS, n // 4)
    w.resting.clear()
    good += [changers.Changer(w, base + i, i) for i in range(w.changers)]
    w.good = good
    others = [callers.Caller(w, i) for i in range(n // 6)]
    others += [callers.Plain(w, i, fmt) for i, fmt in enumerate(["text", "raw", "echo"] * (n // 15))]
    return [g.live() for g in good], [o.live() for o in others] + [callers.executioner(w, 1.0), callers.moderator(w, 0.3)]


async def load(w, args, what, seconds):
    """Everybody comes, for so long, and goes again."""
    w.leaving = False
    w.calm.clear()
    w.ledger.readers.clear()
    good, rest = crowd(w, args)
    good = [asyncio.create_task(c) for c in good]
    w.faulty = [asyncio.create_task(faulty(w, args.faults.split(",") if args.faults else list(FAULTS))) for _ in range(args.people // 4)]
    rest = w.faulty + [asyncio.create_task(c) for c in [*rest, settings.reloader(w, 4 * w.slow), accountant(w), watch(w, what, seconds)]]
    end = time.monotonic() + seconds
    while time.monotonic() < end and w.d.alive():
        await asyncio.sleep(0.2)
    return good, rest


async def leave(w, good, rest):
    """Those who only talk go first; the others go when they have seen everything."""
    w.leaving = True
    await asyncio.sleep(1)
    for t in w.faulty:
        t.cancel()
    await finished(w, rest, "the talkers")
    if not w.d.alive():
        return
    settings.rotate(w)  # whoever verified tokens forgets them
    await settings.loaded(w, settings.PLAIN)
    w.calm.set()
    await finished(w, good, "those who account")
    w.ledger.check(settled_s=-10, late_s=0)


async def finished(w, tasks, who):
    done, left = await asyncio.wait(tasks, timeout=200 * w.slow)
    for t in left:
        t.cancel()
    if left:
        w.wrong(f"{len(left)} of {who} did not finish: {[t.get_coro() for t in left][:3]}")
    for t in done:
        if not t.cancelled() and t.exception() is not None:
            e = t.exception()
            tb = e.__traceback__
            while tb.tb_next:
                tb = tb.tb_next
            w.wrong(f"{who}: {e!r} at {tb.tb_frame.f_code.co_filename}:{tb.tb_lineno}")


async def fill(w, n):
    """What is bounded by number is filled from the start, so that it does not look like a leak: the keys and the topics."""
    topics = [*(f"chat/{r}" for r in ROOMS), *(t for g in GROUPS.values() for t in g)]
    for t in topics:
        w.ledger.topic(t)
    for k in range(max(len(topics), settings.PLAIN["storage"]["keys"] // n)):
        topic = topics[k % len(topics)]
        docs = [{"topic": topic, "message": "m" * (1 + i % 600), "key": f"fill{k}.{i}"} for i in range(n)]
        status, _, data = await wire.call(w, "POST", "/publish", w.token("fill"), [("Content-Type", "application/json")], json.dumps(docs), 60 * w.slow)
        if status != 200:
            w.wrong(f"filling was answered {status}")
            continue
        for doc, a in zip(docs, json.loads(data), strict=True):
            w.ledger.note(topic, a["id"], "fill", hash(doc["message"]))


async def round_of(w, args, what, seconds):
    """One daemon's life."""
    warmup = args.warmup if args.warmup is not None else min(60, seconds / 5)
    await fill(w, 400 if args.short else 1000)
    await leave(w, *await load(w, args, f"{what}, warm-up", warmup))
    if not w.d.alive():
        return
    before = await figures.rest(w)
    await leave(w, *await load(w, args, what, seconds))
    if not w.d.alive():
        return
    after = await figures.rest(w)
    caches = PAGE_CACHES if what.startswith("sqlite") else 0
    figures.compare(w, before, after, allowance=caches + ((2048 if args.short else 512) << 10))
    w.totals = after
    good, rest = await load(w, args, f"{what}, drained", min(5, seconds / 4) * w.slow ** 0.5)
    w.ending = True
    w.d.signal(signal.SIGTERM)
    w.leaving = True
    w.calm.set()
    await finished(w, good + rest, "those who were there when it was drained")


def one(args, backend, workers, seconds, seed):
    """Its findings and counts."""
    folder = args.folder.resolve() / f"{backend}-w{workers}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    storage = {**settings.PLAIN["storage"], "backend": backend, **({"path": "belfry.db", "cache": "4M"} if backend == "sqlite" else {})}
    process = Process(folder, {**settings.PLAIN, "workers": workers, "storage": storage}, env={**SANITIZERS, **{k: v for k, v in os.environ.items() if k in SANITIZERS}})
    w = World(process, seed)
    w.book = changers.Book()
    w.totals = {}
    settings.rotate(w)
    process.start()
    try:
        asyncio.run(round_of(w, args, f"{backend}, workers={workers}", seconds))
        if process.process.poll() is None and not w.ending:
            process.signal(signal.SIGTERM)
        try:
            status = process.wait(60 * w.slow)
            if status != 0:
                w.wrong(f"exit {status}")
        except AssertionError:
            w.wrong("still running a minute after SIGTERM")
        for line in process.reports()[:20]:
            w.wrong(f"a report in {folder / 'belfryd.log'}: {line}")
    finally:
        process.kill()
    return w


def summary(worlds, args, took):
    counts = collections.Counter()
    totals = collections.Counter()
    for w in worlds:
        counts.update(w.counts)
        totals.update({k: v for k, v in w.totals.items() if "total" in k and "{" not in k})
        counts["messages accounted for"] += w.ledger.noted
    print("\nthe daemons' figures, without the drains")
    for k in sorted(totals):
        print(f"  {k:44} {totals[k]:>12}")
    print("the clients' figures")
    for k in sorted(counts):
        print(f"  {k:44} {counts[k]:>12}")
    findings = [f for w in worlds for f in w.findings]
    for f in findings[:50]:
        print(f"FINDING {f}")
    print(f"soak: {took:.0f} s, seed {args.seed}, {sum(n for k, n in counts.items() if k.startswith('fault '))} faults, {len(findings)} findings")
    return 1 if findings else 0


def main():
    args = arguments()
    print(f"soak: {BELFRYD}{' (sanitized)' if SANITIZED else ''}, {args.seconds:.0f} s, {args.backends}, workers {args.workers}, seed {args.seed}", flush=True)
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # sockets that are gone are our daily bread
    start = time.monotonic()
    total = sum(args.workers) * len(args.backends)
    worlds = [one(args, backend, n, args.seconds * n / total, args.seed + n) for backend in args.backends for n in args.workers]
    return summary(worlds, args, time.monotonic() - start)


assert BASE  # the configuration of the live tests, below ours
if __name__ == "__main__":
    sys.exit(main())
