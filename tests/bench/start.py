#!/usr/bin/env python3
"""make bench-start: how long the daemon takes to be ready with much in its database; from inside a build folder.

A daemon makes the database and one message; rows like it are then written in bulk, START_TOPICS (100000) topics with
START_MESSAGES (1000000) messages in all. Then it is started START_ROUNDS (5) times, each once after a clean end and once after
`kill -9`: the time until /readyz says so, and what memory it has then.
"""

import os
import pathlib
import re
import shutil
import socket
import sqlite3
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request

TOPICS = int(os.environ.get("START_TOPICS", "100000"))
MESSAGES = int(os.environ.get("START_MESSAGES", "1000000"))
ROUNDS = int(os.environ.get("START_ROUNDS", "5"))
FOLDER = pathlib.Path("bench") / "start.d"

CONFIG = """
listen = ( {{ address = "127.0.0.1"; port = {port}; }} );
workers = 2;
web = {{ root = ""; }};
auth = {{ secret_file = "secret"; }};
storage = {{ path = "log.db"; }};
topics = ( {{ match = "**"; history = 1000000; }} );
limits = {{ messages_per_second = 0; topics = 0; }};
logging = {{ level = "error"; }};
"""


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, ""
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return 0, ""


def start(port):
    """The process, and how many seconds it took."""
    begin = time.monotonic()
    p = subprocess.Popen(["./belfryd", "-c", str(FOLDER / "conf")])
    while get(port, "/readyz")[0] != 200:
        if p.poll() is not None or time.monotonic() - begin > 120:
            sys.exit("belfryd does not start")
        time.sleep(0.002)
    return p, time.monotonic() - begin


def stop(p, with_kill=False):
    p.kill() if with_kill else p.terminate()
    p.wait()


def fill():
    """Rows like the one that is there."""
    db = sqlite3.connect(FOLDER / "log.db", isolation_level=None)
    db.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000")
    columns = [c[1] for c in db.execute("PRAGMA table_info(messages)")]
    model = dict(zip(columns, db.execute("SELECT * FROM messages").fetchone()))
    first = model["id"] - MESSAGES - 1
    now = model["time"]

    def rows():
        for i in range(MESSAGES):
            topic = i % TOPICS
            here = dict(model, id=first + i, tid=topic + 2, json=model["json"].replace(b"bench/model", b"bench/%05x" % topic)
                        .replace(b"%d" % model["id"], b"%d" % (first + i)))
            yield [here[c] for c in columns]

    def topics():
        for t in range(TOPICS):
            n = len(range(t, MESSAGES, TOPICS))
            yield t + 2, b"bench/%05x" % t, now, n, first + t, first + t + (n - 1) * TOPICS

    db.execute("BEGIN")
    db.executemany(f"INSERT INTO messages ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})", rows())
    db.executemany("INSERT INTO topics (tid, name, trimmed, used, messages, first, last) VALUES (?, ?, 0, ?, ?, ?, ?)", topics())
    db.execute("INSERT INTO meta VALUES ('indexed', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", (model["id"],))
    db.execute("UPDATE meta SET value = ? WHERE name = 'begin'", (first - 1,))
    db.execute("COMMIT")
    db.close()


def figure(text, name):
    found = re.search(rf"^{name} (\S+)", text, re.M)
    return float(found[1]) / 1e6 if found else float("nan")


def main():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    (FOLDER / "secret").write_text("bench " * 8)
    (FOLDER / "conf").write_text(CONFIG.format(port=port))
    p, empty = start(port)
    subprocess.run(["./belfryctl", "publish", "-c", str(FOLDER / "conf"), "bench/model", "t" * 64], check=True,
                   stdout=subprocess.DEVNULL)
    stop(p)
    fill()
    stop(start(port)[0])
    times = {False: [], True: []}
    for _ in range(ROUNDS):
        for with_kill in (False, True):
            p, took = start(port)
            times[with_kill].append(took)
            text = get(port, "/metrics")[1]
            resident = int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{p.pid}/status").read_text())[1]) / 1000
            stop(p, not with_kill)  # how this one ends is what the next one finds
    clean, killed = (statistics.median(times[k]) for k in (False, True))
    size = (FOLDER / "log.db").stat().st_size / 1e6
    print(f"{TOPICS:,} topics, {MESSAGES:,} messages, {size:.0f} MB: ready after {clean:.2f} s, after kill -9 {killed:.2f} s "
          f"(empty: {empty:.2f} s); heap {figure(text, 'belfry_heap_bytes'):.0f} MB, resident {resident:.0f} MB")
    shutil.rmtree(FOLDER)


main()
