"""belfryctl bench finds nothing wrong; messages that come in bulk keep their order, once each."""

import json

import pytest
from support.daemon import SANITIZED, ctl, mark
from support.rawclient import TEXT, frame

CONF = {
    "topics": (
        *({"match": f"chat/few-{i}", "history": 1} for i in range(4)),
        *({"match": f"chat/churn-{i}", "history": 10000, "presence": True} for i in range(20)),
        {"match": "chat/*", "history": 10000, "presence": False},
        {"match": "**", "history": 5000},
    )
}
FAULTS = ("lost", "told", "repeated", "disordered", "unacknowledged", "wrong")


def bench(d, *args, room=None, status=0):
    env = {"BELFRY_URL": d.url, "BELFRY_TOKEN": d.token("bench")}
    r = ctl("bench", "--json", "--room", room or mark("b").lower(), *args, env=env, timeout=60)
    assert r.returncode == status, r
    return json.loads(r.stdout)


@pytest.mark.parametrize(
    "args",
    [
        "fanout -n 20",
        "fanout -n 20 -w 64",
        "fanout -n 20 -w 64 --sse",
        "fanout -n 20 --rate 200",
        "fanout -n 20 --rate 200 --busy",
        "rooms -r 20 -n 4 -w 40",
        "rooms -r 5 -n 4 -w 40 -s 500 --deflate",
    ],
)
def test_deliveries(daemon, args):
    got = bench(daemon, *args.split(), "-t", "200ms", "--warmup", "50ms")
    assert got["deliveries"] > 0 and got["p50_us"] <= got["p99_us"] <= got["max_us"], got
    assert not any(got.get(key) for key in FAULTS), got
    assert got["cpu_ns_per_delivery"] > 0  # the process was found without --pid


@pytest.mark.parametrize(
    "args",
    [
        "echo -s 60000",
        "echo -n 3 -w 4",
        "echo -n 3 --rate 300 --deflate",
        "publish -n 4",
        "publish -n 4 --rate 300",
        "publish -n 4 -r 50",
        "history --messages 3000 --page 20",
    ],
)
def test_calls(daemon, args):
    got = bench(daemon, *args.split(), "-t", "200ms", "--warmup", "50ms")
    assert got["calls"] > 0 and not any(got.get(key) for key in FAULTS), got


def test_slow_reader(daemon):
    got = bench(daemon, *"slow -n 3 --rate 200 -t 500ms --warmup 50ms --pause 200ms".split())
    assert got["slow_received"] > 0 and not got["lost"], got


def test_connections(daemon):
    for args in ((), ("--rate", "400")):
        assert bench(daemon, "connect", "-n", "100", "-w", "10", *args)["connections"] >= 100
    idle = bench(daemon, "idle", "-n", "50")
    if not SANITIZED:  # a sanitizer's allocator tells nothing
        assert idle["heap_bytes"] > 0


def test_storm(daemons):
    got = bench(daemons, *"storm -n 200 -r 5 --live 30 --rate 40 -t 300ms --pause 300ms --within 200ms".split())
    assert got["level"] == 200 and not any(got[key] for key in FAULTS[:5]), got


def test_churn(daemons):
    """200 people in 20 rooms at random: every message once, in one order, acks included; see also `make bench-churn`."""
    got = bench(daemons, *"churn -n 200 -r 20 --rate 200 -t 8s".split(), room="churn")
    assert got["reconnects"] > 0 and got["leaves"] > 0 and got["replayed"] > 0, got
    assert len(got["memory"]) > 3 and not any(got[key] for key in FAULTS), got


def test_churn_tells(daemon):
    """Where the log keeps one message of a room, it does find that they are missing."""
    got = bench(daemon, *"churn -n 50 -r 4 --rate 200 -t 1s".split(), room="few", status=70)
    assert got["lost"] > 0 and got["told"] > 0, got


def test_usage(daemon):
    for args in ((), ("nonsense",), ("echo", "fanout"), ("echo", "-n", "0"), ("echo", "-t", "soon"), ("echo", "--room", "A/b"), ("churn", "-r", "3")):
        assert ctl("bench", *args, env={"BELFRY_URL": daemon.url}).returncode == 64, args


def test_bulk(daemon):
    """What two senders send at once reaches everybody in one order, and each sender its acks in between at their place."""
    room = mark("bulk").lower()
    ada, bob, cleo = (daemon.join(room, sub=sub) for sub in ("ada", "bob", "cleo"))
    cleo.ok("subscribe", "subscribed", topic="chat/*")
    for ws in (ada, bob):
        ws.conn.send(b"".join(frame(TEXT, json.dumps({"type": "chat", "content": f"{i}", "ref": i}).encode()) for i in range(40)))
    seen = [cleo.expect("chat") for _ in range(80)]
    ids = [m["id"] for m in seen]
    assert ids == sorted(set(ids))
    for ws, own in ((ada, "ada"), (bob, "bob")):
        got = [ws.recv() for _ in range(80)]
        assert [m["id"] for m in got] == ids
        assert [m["type"] for m in got] == ["ack" if m["from"]["id"] == own else "chat" for m in seen]
        assert [m["ref"] for m in got if m["type"] == "ack"] == list(range(40))
    cleo.say("the end")  # nothing came twice
