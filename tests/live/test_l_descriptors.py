"""Without descriptors the daemon waits: it neither spins nor ends, those who are in go on, and it accepts when some are free."""

import os
import pathlib
import resource
import time

import pytest
from support import SLOW, WAIT
from support.daemon import Daemon, mark
from support.rawclient import Timeout


@pytest.fixture(params=[1, 3], ids=["w1", "w3"])
def poor(request, tmp_path):
    """A daemon of its own, whose descriptors a test takes away."""
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "page.html").write_text("<p>page</p>")
    (tmp_path / "web" / "big.bin").write_bytes(b"b" * 200_000)
    d = Daemon(tmp_path, {"workers": request.param, "web": {"root": str(tmp_path / "web")}}).start()
    yield d
    d.stop()


def descriptors(d):
    return len(os.listdir(f"/proc/{d.process.pid}/fd"))


def limit(d, n):
    hard = resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(d.process.pid, resource.RLIMIT_NOFILE, (n, hard))


def cpu_seconds(d):
    fields = pathlib.Path(f"/proc/{d.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def lines(d, text):
    return [line for line in d.log().split("\n") if "server.accept" in line and text in line]


def until(what, deadline=None):
    end = time.monotonic() + (deadline or WAIT * 2)
    while not what():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def test_accepting_pauses_and_goes_on(poor):
    d, room = poor, mark("room")
    kept = d.conn()
    kept.request("GET", "/healthz").ok()
    ada, bob = d.join(room, "ada"), d.join(room, "bob")
    stream = d.sse(topic="x")
    before = descriptors(d)
    top = max(int(n) for n in os.listdir(f"/proc/{d.process.pid}/fd"))
    limit(d, top + 4)
    waiting = [d.conn() for _ in range(12)]
    d.wait_log("server.accept state=paused")

    # it rests: ten tries a second are nothing
    spent, start = cpu_seconds(d), time.monotonic()
    while time.monotonic() - start < 1.5:
        ada.ok("chat", "ack", room=room, content="on")
        assert bob.expect("chat")["content"] == "on"
        time.sleep(0.25)
    spent = cpu_seconds(d) - spent
    assert spent < 0.6 * SLOW, f"{spent} s of processor time in {time.monotonic() - start} s"
    assert d.alive()
    answer = kept.request("POST", "/publish/x", d.bearer(), "still here").ok()
    assert stream.until("notification").id == str(answer.json()["id"])

    # what needs a descriptor of its own says so, and not that it is not there
    kept.request("GET", "/big.bin").problem(503, "unavailable")
    kept.request("GET", "/healthz").ok()

    # who has waited is served as soon as there is room
    assert len(lines(d, "paused")) == 1
    served = 0
    for c in waiting:
        try:
            c.request("GET", "/healthz", timeout=0.1 if served else None).ok()
            served += 1
        except Timeout:
            c.late = True
    assert 0 < served < len(waiting), served
    limit(d, top + 200)
    for c in waiting:
        if getattr(c, "late", False):
            c.response().ok()
    with d.conn() as c:
        c.request("GET", "/page.html").ok()
    assert d.wait_log("server.accept state=goes_on after_ms=[1-9]")
    assert len(lines(d, "paused")) == 1
    for c in (*waiting, kept):
        c.close()
    until(lambda: descriptors(d) <= before)
    for c in (ada, bob):
        c.ok("ping", "pong")


def test_closing_frees_the_next(poor):
    """As many as there is room for at a time, many more in turn."""
    d = poor
    before = descriptors(d)
    limit(d, max(int(n) for n in os.listdir(f"/proc/{d.process.pid}/fd")) + 3)
    conns = [d.conn() for _ in range(40)]
    for c in conns:
        c.send(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    for c in conns:
        c.response(timeout=WAIT * 4).ok()
        c.close()
    assert len(lines(d, "paused")) <= 2
    until(lambda: descriptors(d) <= before)
    d.ws(room=mark("room"))
