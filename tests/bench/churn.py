#!/usr/bin/env python3
"""make bench-churn: 2,000 clients in 200 rooms join, talk, leave and reconnect at random for five minutes; from inside a build folder.

Every message is accounted for (belfryctl bench churn), and the daemon's memory, looked at every second, must be flat in the second
half. The rooms and the known keys are full long before. All figures go to churn.json. CHURN_TIME (5m), CHURN_SEED (1) and
CHURN_WORKERS (2) change a run.
"""

import json
import os
import pathlib
import sys

import bench

TIME = os.environ.get("CHURN_TIME", "5m")
SEED = os.environ.get("CHURN_SEED", "1")
WORKERS = int(os.environ.get("CHURN_WORKERS", "2"))
FLAT = 2.0  # per cent that the heap may grow in the second half

CONFIG = """
listen = ( {{ address = "127.0.0.1"; port = {port}; }} );
workers = {workers};
web = {{ root = ""; }};
auth = {{ secret_file = "secret"; }};
storage = {{ backend = "memory"; keys = 50000; }};
topics = ( {{ match = "server/**"; history = 0; }},
           {{ match = "chat/*"; history = 300; presence = true; }},
           {{ match = "**"; history = 300; }} );
chat = {{ leave_grace = "1s"; }};
limits = {{ messages_per_second = 0; request_timeout = "60s"; }};
logging = {{ level = "warning"; }};
"""


def main():
    bench.prepare()
    daemon = bench.start_daemon(WORKERS, False, CONFIG)
    try:
        got = daemon.measure("churn -n 2000 -r 200 --rate 1000 --tokens", "-t", TIME, "--seed", SEED)
    finally:
        daemon.stop()
    pathlib.Path("churn.json").write_text(json.dumps(got) + "\n")
    bad = ", ".join(filter(None, (bench.fault(got), f"told {got['told']}" if got["told"] else "")))
    flat = got["heap_growth"] <= FLAT
    print(f"{got['messages']:,} messages, {got['deliveries']:,} deliveries ({got['replayed']:,} of them replayed), "
          f"{got['joins']:,} joins, {got['leaves']:,} leaves, {got['reconnects']:,} reconnects")
    print(f"accounted for: {bad or 'every message once, in one order, with its ack'}")
    print(f"heap {got['heap_bytes'] / 1e6:.1f} MB, {got['heap_growth']:+.2f} % in the second half; "
          f"resident {got['resident_bytes'] / 1e6:.1f} MB, {got['resident_growth']:+.2f} %: {'flat' if flat else 'NOT FLAT'}")
    return 1 if bad or not flat else 0


if __name__ == "__main__":
    sys.exit(main())
