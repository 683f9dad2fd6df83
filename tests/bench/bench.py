#!/usr/bin/env python3
"""make bench: the daemon against a bare send() loop, in one run; from inside a build folder.

The daemon and the loop (floor.c, plain and coalesced) run on one processor, `belfryctl bench` on another. Each round measures
everything once, floor and daemon in turn; what counts are the medians of the rounds and their ratios. The table goes to the
terminal, all figures to bench.json. BENCH_ROUNDS (3), BENCH_TIME (2, seconds each) and BENCH_ONLY (a regular expression)
change a run.
"""

import dataclasses
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SECONDS = float(os.environ.get("BENCH_TIME", "2"))
ONLY = re.compile(os.environ.get("BENCH_ONLY", ""))
FOLDER = pathlib.Path("bench")

CONFIG = """
listen = ( {{ address = "127.0.0.1"; port = {port}; }} );
workers = {workers};
web = {{ root = ""; }};
echo = true;
auth = {{ secret_file = "secret"; }};
storage = {{ {storage} }};
topics = ( {{ match = "chat/slow-0"; history = 100000; presence = false; }},
           {{ match = "chat/*"; history = 10000; presence = false; }},
           {{ match = "**"; history = 1000; }} );
limits = {{ messages_per_second = 0; }};
logging = {{ level = "warning"; }};
"""


@dataclasses.dataclass
class Measure:
    """One line of the table: what is run, which figure counts, and what its ratio to the floor's ought to be."""

    name: str
    args: str
    floor: str
    figure: str
    unit: str
    scale: float = 1
    at_most: float | None = None
    at_least: float | None = None
    seconds: float = 1  # times SECONDS
    warmup: str = "300ms"
    also: str | None = None  # CPU of each, on a line of its own: other load on the machine moves it less


MEASURES = [
    Measure("1 → 1,000, one in flight", "fanout -n 1000", "plain", "cpu_ns_per_delivery", "ns CPU", at_most=1.10),
    Measure("the same over event streams", "fanout -n 1000 --sse", "plain", "cpu_ns_per_delivery", "ns CPU"),
    Measure("1 → 1,000, 64 in flight", "fanout -n 1000 -w 64", "coalesced", "deliveries_per_s", "M/s", 1e-6, at_least=0.8,
            also="cpu_ns_per_delivery"),
    Measure("1,000 rooms × 10", "rooms -r 1000 -n 10", "plain", "cpu_ns_per_delivery", "ns CPU", at_most=1.10),
    Measure("1 → 10,000, 20 a second: p99", "fanout -n 10000 --rate 20", "coalesced", "p99_us", "ms", 1e-3, at_most=0.6,
            seconds=1.5, warmup="500ms"),
    # On a quick machine a pass ends before the next message; here it does not, as it did not where the goal was set.
    Measure("1 → 10,000, 40 a second: p99", "fanout -n 10000 --rate 40", "coalesced", "p99_us", "ms", 1e-3, at_most=0.6,
            seconds=1.5, warmup="500ms"),
    Measure("echo of 16 KiB", "echo", "plain", "cpu_ns_per_call", "µs CPU", 1e-3, at_most=1.3),
    Measure("POST /publish, 16 connections", "publish", "plain", "calls_per_s", "k/s", 1e-3, at_least=0.8,
            also="cpu_ns_per_call"),
    Measure("connect and join", "connect -n 4000", "plain", "connects_per_s", "k/s", 1e-3, also="cpu_ns_per_connection"),
]

# Two workers against one, nothing pinned: the daemon and the client share all processors.
WORKERS = [
    Measure("2 workers, 64 in flight", "fanout -n 1000 -w 64", "", "deliveries_per_s", "M/s", 1e-6, at_least=0.7,
            also="cpu_ns_per_delivery"),
    Measure("2 workers, one in flight", "fanout -n 1000", "", "deliveries_per_s", "k/s", 1e-3, at_least=1.0, also="cpu_ns_per_delivery"),
    Measure("2 workers, each frame compressed", "rooms -r 200 -n 2 -w 400 -s 4096 --deflate", "", "deliveries_per_s", "k/s", 1e-3,
            at_least=1.0),
    Measure("2 workers, one order at random", "churn -n 400 -r 8 --rate 1000", "", "messages_per_s", "/s"),
]

MEMORY = [
    ("idle, one token for all", "idle -n {n}", 600),
    ("idle, a token each", "idle -n {n} --tokens", 1024),
]


def processors():
    """Which processor is the servers', which the client's; none where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (None, None)


SERVER_CPU, CLIENT_CPU = processors()


def pinned(cpu, command):
    return command if cpu is None else ["taskset", "-c", str(cpu), *command]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """A started daemon or floor, and how the load generator finds it."""

    def __init__(self, command, port, config=None, is_pinned=True):
        self.log = open(FOLDER / "servers.log", "a")
        self.cpus = (SERVER_CPU, CLIENT_CPU) if is_pinned else (None, None)
        self.process = subprocess.Popen(pinned(self.cpus[0], command), stdout=self.log, stderr=self.log)
        self.config = config
        self.url = f"http://127.0.0.1:{port}"
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                return
            except OSError:
                time.sleep(0.05)
        self.stop()
        sys.exit(f"{command[0]} does not start; bench/servers.log may say why")

    def measure(self, args, *more):
        env = {key: value for key, value in os.environ.items() if not key.startswith("BELFRY_")}
        command = ["./belfryctl", "bench", "--json", "--pid", str(self.process.pid), *args.split(), *more]
        if self.cpus[1] is not None:
            command.append("--busy")  # else a server pays for waking a client that on another machine would not be its
        if self.config is None:
            env["BELFRY_URL"] = self.url
        else:
            command += ["-c", str(self.config)]
        done = subprocess.run(pinned(self.cpus[1], command), env=env, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode not in (0, 70) or not done.stdout:
            self.stop()
            sys.exit(f"{' '.join(command)}: {done.stderr}")
        return json.loads(done.stdout)

    def metric(self, name):
        text = urllib.request.urlopen(self.url + "/metrics", timeout=10).read().decode()
        return float(re.search(f"^{name} (\\S+)$", text, re.M)[1])

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def start_daemon(workers=1, is_pinned=True, text=CONFIG, storage='backend = "memory";'):
    port = free_port()
    config = FOLDER / f"belfryd-{port}.conf"
    config.write_text(text.format(port=port, workers=workers, storage=storage))
    return Server(["./belfryd", "-c", str(config)], port, config, is_pinned)


def start_floor(kind):
    port = free_port()
    return Server([str(FOLDER / "floor"), kind, str(port)], port)


def connections_possible():
    import resource

    return min(10000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 200)


def show(name, ours, floor, ratio, goal, verdict):
    print(f"{name:32} {ours:>14} {floor:>14} {ratio:>8} {goal:>9}  {verdict}", flush=True)


def fault(result):
    """What was wrong with the deliveries, in words; empty when nothing was."""
    return ", ".join(f"{key} {result[key]:.0f}" for key in ("lost", "repeated", "disordered", "wrong", "unacknowledged") if result.get(key))


def progress(text):
    if sys.stderr.isatty():
        print(f"{text:72}", end="\r", file=sys.stderr, flush=True)


def rounds(measures, daemon, others):
    """others: by the name of the measure's floor, what the daemon is compared with."""
    results = {m.name: {"daemon": [], "floor": []} for m in measures}
    for number in range(ROUNDS):
        for m in measures:
            time_args = ["-t", f"{int(SECONDS * m.seconds * 1000)}ms", "--warmup", m.warmup]
            progress(f"round {number + 1} of {ROUNDS}: {m.name}")
            results[m.name]["floor"].append(others[m.floor].measure(m.args, *time_args))
            results[m.name]["daemon"].append(daemon.measure(m.args, *time_args))
    progress("")
    return results


def medians(result, figure):
    return (statistics.median(r[figure] for r in result[who]) for who in ("daemon", "floor"))


def judge(m, result):
    """Prints a line; returns it for the file."""
    ours, floor = medians(result, m.figure)
    ratio = ours / floor
    missed = (m.at_most is not None and ratio > m.at_most) or (m.at_least is not None and ratio < m.at_least)
    goal = f"≤ {m.at_most:.2f}" if m.at_most is not None else f"≥ {m.at_least:.2f}" if m.at_least is not None else ""
    bad = "; ".join(filter(None, (fault(r) for r in result["daemon"])))
    verdict = bad or ("" if not goal else "missed" if missed else "reached")
    digits = 0 if m.unit == "ns CPU" else 2
    show(m.name, f"{ours * m.scale:.{digits}f} {m.unit}", f"{floor * m.scale:.{digits}f}", f"{ratio:.2f}", goal, verdict)
    if m.also is not None:
        also, floor_also = medians(result, m.also)
        show("  … CPU of each", f"{also:.0f} ns CPU", f"{floor_also:.0f}", f"{also / floor_also:.2f}", "", "")
    return {"name": m.name, "figure": m.figure, "daemon": ours, "floor": floor, "ratio": ratio, "goal": goal, "missed": missed,
            "fault": bad, "rounds": result}


def memory(name, args, goal):
    """A fresh daemon, so that nothing freed before is used again."""
    daemon = start_daemon()
    result = daemon.measure(args.format(n=connections_possible()))
    daemon.stop()
    heap = result["heap_bytes"]
    show(name, f"{heap:.0f} bytes", "", "", f"≤ {goal}", "missed" if heap > goal else "reached")
    show("  … resident", f"{result['resident_bytes']:.0f} bytes", "", "", "", "")
    return {"name": name, "daemon": heap, "goal": goal, "missed": heap > goal, "rounds": result}


def slow_reader(daemon):
    args = "-n 10 --rate 2500 -s 1024 --room slow"
    quiet = daemon.measure(f"fanout {args}", "-t", "3s")
    slow = daemon.measure(f"slow {args}", "-t", "8s", "--pause", "7s")
    show("a reader stops for 7 s: p99", f"{slow['p99_us'] / 1000:.2f} ms", f"{quiet['p99_us'] / 1000:.2f}",
         f"{slow['p99_us'] / quiet['p99_us']:.2f}", "", fault(slow))
    show("  … gets afterwards, of", f"{slow['slow_received']:.0f}", f"{slow['slow_received'] + slow['slow_missed']:.0f}", "", "",
         f"level after {slow['slow_level_s']:.2f} s, {slow['slow_gaps']:.0f} gaps told")
    return {"name": "slow reader", "quiet": quiet, "slow": slow}


def workers():
    """Lines of two workers against one."""
    measures = [m for m in WORKERS if ONLY.search(m.name)]
    if not measures:
        return []
    show("", "two workers", "one", "ratio", "goal", "")
    one, two = start_daemon(1, False), start_daemon(2, False)
    try:
        results = rounds(measures, two, {"": one})
    finally:
        one.stop()
        two.stop()
    return [judge(m, results[m.name]) for m in measures]


DISK = 'path = "storm.db"; cache = "{cache}";'
STORMS = [
    ("storm: 5,000 come back within 1 s", 'backend = "memory";'),
    ("storm on the disk, within the cache", DISK.format(cache="64M")),
    ("storm on the disk, beyond the cache", DISK.format(cache="16K")),
]


def remove_database():
    for old in FOLDER.glob("storm.db*"):
        old.unlink()


def one_storm(name, storage):
    """5,000 clients come back within a second while a room of 1,000 is live; its times, and what was read from the disk."""
    results = []
    is_disk = storage != STORMS[0][1]
    for number in range(ROUNDS):
        progress(f"round {number + 1} of {ROUNDS}: {name}")
        remove_database()
        daemon = start_daemon(storage=storage)
        results.append(daemon.measure("storm"))
        for key, metric in (("disk_reads", "disk_reads_total"), ("disk_read_s", "read_seconds_sum")) if is_disk else ():
            results[-1][key] = daemon.metric("belfry_storage_" + metric)
        daemon.stop()
    remove_database()
    progress("")
    level = max(r["level_s"] for r in results)
    ratio = statistics.median(r["p99_ratio"] for r in results)
    quiet, stormy = (statistics.median(r[key] for r in results) / 1000 for key in ("quiet_p99_us", "storm_p99_us"))
    bad = "; ".join(filter(None, (fault(r) for r in results)))
    missed = ratio > 2 or level > 5 or any(r["level"] < r["connections"] for r in results)
    show(name, f"{stormy:.2f} ms p99", f"{quiet:.2f}", f"{ratio:.2f}", "≤ 2.00", bad or ("missed" if missed else "reached"))
    show("  … the last one level after", f"{level:.2f} s", "", "", "≤ 5", "missed" if level > 5 else "reached")
    if is_disk:
        reads, read_s = (statistics.median(r[key] for r in results) for key in ("disk_reads", "disk_read_s"))
        is_none = "within" in name
        show("  … reads of the disk", f"{reads:.0f}", f"{read_s / max(1, reads) * 1e6:.0f} µs each", "", "0" if is_none else "",
             ("missed" if reads else "reached") if is_none else "")
    return {"name": name, "p99_ratio": ratio, "level_s": level, "missed": missed, "fault": bad, "rounds": results}


def storms():
    chosen = [row for row in STORMS if ONLY.search(row[0])]
    if chosen:
        show("", "in the storm", "quiet", "ratio", "goal", "")
    return [one_storm(*row) for row in chosen]


def prepare():
    """A folder for the daemon's files, with a secret."""
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "servers.log").write_text("")
    for old in FOLDER.glob("belfryd-*.conf"):
        old.unlink()
    if not (FOLDER / "secret").exists():
        subprocess.run(["./belfryctl", "secret", str(FOLDER / "secret")], check=True, stdout=subprocess.DEVNULL)


def main():
    prepare()
    measures = [m for m in MEASURES if ONLY.search(m.name)]
    lines = []
    show("", "the daemon", "the floor", "ratio", "goal", "")
    daemon = start_daemon()
    floors = {kind: start_floor(kind) for kind in ("plain", "coalesced")}
    try:
        results = rounds(measures, daemon, floors)
        lines += [judge(m, results[m.name]) for m in measures]
        if ONLY.search("slow reader"):
            lines.append(slow_reader(daemon))
    finally:
        for server in (daemon, *floors.values()):
            server.stop()
    lines += [memory(*row) for row in MEMORY if ONLY.search(row[0])]
    lines += workers()
    lines += storms()
    pathlib.Path("bench.json").write_text(json.dumps({"rounds": ROUNDS, "seconds": SECONDS, "lines": lines}, indent=1) + "\n")
    print(f"\nMedians of {ROUNDS} rounds; every figure of every round is in {pathlib.Path('bench.json').resolve()}.")
    return 1 if any(line.get("fault") for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
