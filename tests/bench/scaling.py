#!/usr/bin/env python3
"""make bench-scaling: what a delivery, a connection, a topic and a page of history cost as there are more of them.

From inside a build folder; the argument is the source folder. Writes docs/scaling.svg, the table in docs/performance.md and
scaling.json. The daemon is on one processor, the client on another; each figure is the median of BENCH_ROUNDS (3) rounds of
BENCH_TIME (2) seconds.
"""

import json
import pathlib
import re
import statistics
import sys

import bench
import picture

CONFIG = """
listen = ( {{ address = "127.0.0.1"; port = {port}; }} );
workers = {workers};
web = {{ root = ""; }};
auth = {{ secret_file = "secret"; }};
storage = {{ backend = "memory"; cache = "2G"; }};
topics = ( {{ match = "bench/history"; history = 1000000; }},
           {{ match = "chat/*"; history = 10000; presence = false; }},
           {{ match = "**"; history = 100; }} );
limits = {{ messages_per_second = 0; topics = 200000; }};
logging = {{ level = "warning"; }};
"""

CONNECTIONS = (100, 1000, 10000)
TOPICS = (10, 100, 1000, 10000, 100000)
MESSAGES = (1000, 10000, 100000, 1000000)
TIME_ARGS = ("-t", f"{int(bench.SECONDS * 1000)}ms", "--warmup", "300ms")


def medians(results):
    return {key: statistics.median(r[key] for r in results) for key in results[0] if key not in ("mode", "memory")}


def checked(result, what):
    if bench.fault(result):
        sys.exit(f"{what}: {bench.fault(result)}")
    return result


def on_fresh_daemon(args):
    """So that nothing that was there before counts."""
    daemon = bench.start_daemon(text=CONFIG)
    try:
        return checked(daemon.measure(args, *TIME_ARGS), args)
    finally:
        daemon.stop()


def fresh(args):
    bench.progress(args)
    return medians([on_fresh_daemon(args) for _ in range(bench.ROUNDS)])


def deliveries():
    """CPU a delivery, of the daemon and of the bare loop in turn."""
    found = {}
    daemon, floor = bench.start_daemon(text=CONFIG), bench.start_floor("plain")
    try:
        for n in CONNECTIONS:
            bench.progress(f"fanout -n {n}")
            rounds = [[checked(s.measure(f"fanout -n {n}", *TIME_ARGS), "fanout") for s in (floor, daemon)] for _ in range(bench.ROUNDS)]
            found[n] = {"floor": medians([r[0] for r in rounds]), "daemon": medians([r[1] for r in rounds])}
    finally:
        daemon.stop()
        floor.stop()
    return found


def measure():
    return {
        "deliveries": deliveries(),
        "connections": {n: fresh(f"idle -n {n}") for n in CONNECTIONS},
        "topics": {n: fresh(f"publish -r {n}") for n in TOPICS},
        "history": {n: fresh(f"history --messages {n}") for n in MESSAGES},
    }


def table(got):
    lines = ["| | of the daemon | of the bare loop | |", "|---|---|---|---|"]
    for n, r in got["deliveries"].items():
        ours, floor = r["daemon"]["cpu_ns_per_delivery"], r["floor"]["cpu_ns_per_delivery"]
        lines.append(f"| a delivery, 1 → {n:,}, one in flight | {ours:,.0f} ns CPU | {floor:,.0f} ns | {ours / floor:.2f} × |")
    for n, r in got["connections"].items():
        lines.append(f"| a connection that is idle in a room, of {n:,} | {r['heap_bytes']:,.0f} bytes | | |")
    for n, r in got["topics"].items():
        heap = f"{r['heap_bytes_per_topic']:,.0f} bytes a topic with a message" if n >= 1000 else ""  # few tell of other things
        lines.append(f"| POST /publish to one of {n:,} topics | {r['cpu_ns_per_call'] / 1000:,.1f} µs CPU | | {heap} |")
    for n, r in got["history"].items():
        lines.append(f"| a page of 100 anywhere in {n:,} messages | {r['cpu_ns_per_call'] / 1000:,.1f} µs CPU | | "
                     f"{r['heap_bytes_per_message']:,.0f} bytes a message |")
    return "\n".join(lines)


def panels(got):
    us = 1 / 1000

    def series(part, figure, scale=1.0, who=None):
        return [(n, (r[who] if who else r)[figure] * scale) for n, r in got[part].items()]

    return [
        picture.Panel("CPU a delivery, µs", "connections in the room",
                      {"daemon": series("deliveries", "cpu_ns_per_delivery", us, "daemon"),
                       "bare send() loop": series("deliveries", "cpu_ns_per_delivery", us, "floor")}, 1),
        picture.Panel("Heap of an idle connection, bytes", "connections", {"daemon": series("connections", "heap_bytes")}, 0),
        picture.Panel("CPU of a POST /publish, µs", "topics", {"daemon": series("topics", "cpu_ns_per_call", us)}, 1),
        picture.Panel("CPU of a page of 100 messages, µs", "messages in the log", {"daemon": series("history", "cpu_ns_per_call", us)}, 0),
    ]


def write(source, got):
    docs = pathlib.Path(source) / "docs"
    (docs / "scaling.svg").write_text(picture.draw("What it costs, and how that grows", panels(got)))
    page = docs / "performance.md"
    marked = re.compile(r"(<!-- scaling: .*? -->\n).*?(<!-- end -->)", re.S)
    page.write_text(marked.sub(lambda m: m[1] + table(got) + "\n" + m[2], page.read_text()))


def main():
    bench.prepare()
    got = measure()
    bench.progress("")
    pathlib.Path("scaling.json").write_text(json.dumps(got, indent=1) + "\n")
    write(sys.argv[1], got)
    print(table(got))
    print("\nThe table is in docs/performance.md, the picture in docs/scaling.svg.")


if __name__ == "__main__":
    main()
