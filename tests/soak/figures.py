"""What the daemon says of itself, and when it counts as being back where it began."""

import asyncio
import re
import time

import wire

LINE_RE = re.compile(r"^(\w+)(?:\{([^}]*)\})? (\d+)$", re.M)
# Of these nothing may be left when everybody has gone.
ZERO = ["belfry_connections", "belfry_subscriptions", "belfry_behind", "belfry_queued_bytes", "belfry_queue_memory_bytes"]


async def metrics(world):
    """All figures by name, and by name{labels}; those with labels are summed up in the name."""
    status, _, body = await wire.call(world, "GET", "/metrics", timeout=60)
    if status != 200:
        raise wire.Refused(status, body.decode())
    out = {}
    for name, labels, value in LINE_RE.findall(body.decode()):
        out[name] = out.get(name, 0) + int(value)
        if labels:
            out[f"{name}{{{labels}}}"] = int(value)
    return out


async def rest(world, timeout=60):
    """Waits until nobody is there any more: the figures then, with `descriptors`, or what is left as a finding."""
    end = time.monotonic() + timeout * world.slow
    while True:
        m = await metrics(world)
        m['belfry_connections'] -= 1  # the one that asks
        members = await members_left(world)
        left = {k: m[k] for k in ZERO if m[k]}
        if not left and not members:
            break
        if time.monotonic() > end:
            world.wrong(f"left when everybody had gone: {left}, members {members}")
            break
        await asyncio.sleep(0.5)
    await asyncio.sleep(2.5 * max(1, world.slow / 2))  # timers of a second, and the connections that asked
    m = await metrics(world)
    m["descriptors"] = world.descriptors()
    return m


async def members_left(world):
    status, _, body = await wire.call(world, "GET", "/api/topics", world.admin(), timeout=60)
    if status != 200:
        return [f"/api/topics answered {status}"]
    return [t["topic"] for t in wire.json.loads(body)["topics"] if t["members"]]


def compare(world, before, after, allowance):
    """Memory and descriptors are back where they began."""
    print("  at rest        after the warm-up -> after the load")
    for k in ("descriptors", "belfry_heap_bytes", "process_resident_memory_bytes", "belfry_topics", "belfry_log_messages", "belfry_log_bytes"):
        print(f"    {k:32} {before[k]:>12} -> {after[k]:>12}")
    if after["descriptors"] > before["descriptors"]:
        world.wrong(f"descriptors: {before['descriptors']} -> {after['descriptors']}")
    more = {k: max(0, after[k] - before[k]) for k in ("belfry_log_bytes", "belfry_topics")}
    grown = after["belfry_heap_bytes"] - before["belfry_heap_bytes"] - more["belfry_log_bytes"] - 1024 * more["belfry_topics"]
    if grown > allowance:
        world.wrong(f"the heap has grown by {grown} bytes beside log and topics: {before['belfry_heap_bytes']} -> {after['belfry_heap_bytes']}")
