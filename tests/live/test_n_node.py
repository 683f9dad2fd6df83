"""The clients people use from Node: npm `ws` and `eventsource`, each a small script in node/.

NODE_MODULES (or BELFRY_NODE_MODULES) names the node_modules folder that holds them.
"""

import json
import os
import pathlib
import shutil
import subprocess

import pytest
from support import SLOW
from support.daemon import mark

CONF = {"chat": {"leave_grace": "1s"}, "events": {"retry": "1s"}, "topics": (
    {"match": "short/**", "history": 5}, {"match": "chat/*", "history": 1000, "presence": True}, {"match": "**", "history": 1000})}
SCRIPTS = pathlib.Path(__file__).resolve().parent / "node"
MODULES = os.environ.get("BELFRY_NODE_MODULES") or os.environ.get("NODE_MODULES", "")


@pytest.fixture(scope="module", autouse=True)
def node():
    if not shutil.which("node"):
        pytest.skip("no node on the path")
    missing = [m for m in ("ws", "eventsource") if not (pathlib.Path(MODULES) / m).is_dir()] if MODULES else ["ws", "eventsource"]
    if missing:
        pytest.skip(f"NODE_MODULES={MODULES!r} has no {' and no '.join(missing)}: `make check-live` installs them")


def run(script, *args, timeout=25):
    env = dict(os.environ, BELFRY_NODE_MODULES=MODULES)
    r = subprocess.run(["node", str(SCRIPTS / script), *args], capture_output=True, text=True, env=env, timeout=timeout * SLOW)
    assert r.returncode == 0, f"{script}:\n{r.stdout}\n{r.stderr}"
    return json.loads(r.stdout.strip().splitlines()[-1])


def test_ws_chat(daemons, room):
    out = run("ws_chat.mjs", daemons.url, daemons.token("ada"), daemons.token("bob"), room)
    assert out["count"] == 2
    assert out["got"] == [f"m{i}" for i in range(50)]
    assert out["acks"] == out["ids"]


def test_ws_ping_and_close(daemons):
    out = run("ws_close.mjs", daemons.url, daemons.token("ada"))
    assert out == {"pong": "are you there", "code": 1000, "echo": ["text", "binary"], "big": 60000, "refused": 401}


def test_ws_text(daemons, room):
    out = run("ws_text.mjs", daemons.url, daemons.token("ada", name="Ada"), daemons.token("bob", name="Bob"), room)
    assert out["bob"] == "<Ada>: hi"


def test_eventsource(daemons, topic):
    """onmessage for plain data, named listeners for the rest, ids as lastEventId."""
    out = run("es_events.mjs", daemons.url, daemons.token("p"), topic)
    assert out["plain"] == ["0", "1", "2"]
    assert out["price"] == [{"usd": 5}]
    assert out["notification"] == ["Backup done"]
    assert out["lastEventId"] == str(out["id"])


def test_eventsource_resumes(start, topic):
    """The connection is cut; EventSource comes back by itself and misses nothing, repeats nothing."""
    d = start(CONF)
    out = run("es_resume.mjs", d.url, d.token("p"), topic)
    assert out["got"] == [str(i) for i in range(30)]
    assert out["opens"] >= 3
    assert out["gaps"] == 0


def test_eventsource_gap(daemons):
    topic = mark("short/x")
    for i in range(10):
        daemons.publish(topic, str(i))
    out = run("es_gap.mjs", daemons.url, daemons.token("p"), topic)
    assert out["gap"]["reason"] == "outside" and out["state"] == 1
    assert out["got"] == [str(i) for i in range(5, 10)]


def test_eventsource_chat(daemons, room):
    """The tutorial's chat page: id from `event: user`, text posted to /chat/<id>."""
    out = run("es_chat.mjs", daemons.url, daemons.token("ada", name="Ada"), daemons.token("bob", name="Bob"), room)
    assert out["bob"] == "hello from ada" and out["status"] == 200
    assert out["ada"] == 0, "the sender's own message was dispatched"
