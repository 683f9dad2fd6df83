"""H: behind nginx, as most people will run it: kept connections to the daemon, WebSocket, event streams, who the client is. Needs nginx."""

import copy
import os
import pathlib
import re
import shutil
import socket
import subprocess
import tempfile
import time

import pytest

from support import WAIT
from support.daemon import mark
from support.rawclient import Conn, build

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/sbin:/usr/local/sbin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="no nginx here")

CONF = {
    "auth": {"guests": True, "guest_tokens_per_minute": 2},
    "limits": {"body": "64K", "message": "16K"},
    "web": {"root": "web"},
    "events": {"keepalive": "1s"},
    "hosts": ["127.0.0.1", "localhost", "chat.example"],
}
TEXT = "All work and no play makes Jack a dull boy.\n" * 60
SITE = """
daemon off; master_process off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log info;
events {{ worker_connections 512; }}
http {{
    access_log off; client_max_body_size 0; keepalive_requests 10000;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    upstream belfry {{ server 127.0.0.1:{port}; keepalive 8; }}
    server {{
        listen 127.0.0.1:{listen} reuseport;
        proxy_http_version 1.1;
        location / {{ proxy_pass http://belfry; {headers} proxy_set_header Host $host; }}
        location /unbuffered/ {{ proxy_pass http://belfry/; {headers} proxy_set_header Host $host; proxy_request_buffering off; }}
        location /upstream-host/ {{ proxy_pass http://127.0.0.1:{port}/; {headers} }}
        location /old/ {{ proxy_pass http://127.0.0.1:{port}/; proxy_http_version 1.0; proxy_set_header Host $host; }}
    }}
}}
"""
HEADERS = """
proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for; proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Proto $scheme;
"""


def prepare(folder):
    (folder / "web").mkdir()
    (folder / "web" / "index.html").write_text("<!doctype html><title>x</title>" + TEXT)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def documented(folder, port, listen):
    """What docs/operating.md gives people, but for TLS and the ports."""
    text = (pathlib.Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    text = re.search(r"```nginx\n(.*?)```", text, re.S)[1]
    text, n = re.subn(r"^\s*ssl_.*\n", "", text, flags=re.M)
    assert n == 2
    for old, new in (("127.0.0.1:8080", f"127.0.0.1:{port}"), ("listen 443 ssl http2", f"listen 127.0.0.1:{listen}")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    return SITE.split("    map ")[0].replace("client_max_body_size 0;", "").format(dir=folder) + text + "}\n"


def site(folder, port, listen):
    return SITE.format(dir=folder, headers=HEADERS, port=port, listen=listen)


def start_nginx(folder, port, write=site):
    """nginx before the daemon at `port`: its process and its own port. Another may take the port first: then once more."""
    for _ in range(5):
        listen = free_port()
        (folder / "nginx.conf").write_text(write(folder, port, listen))
        process = subprocess.Popen([NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log")],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 2 * WAIT
        while process.poll() is None and time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", listen), 1).close()
                return process, listen
            except OSError:
                time.sleep(0.02)
        process.kill()
        process.wait()
    log = folder / "error.log"
    pytest.skip("nginx does not start: " + (log.read_text()[-500:] if log.exists() else "no log"))


def fronted(daemon, folder, write=site):
    process, port = start_nginx(pathlib.Path(folder), daemon.port, write)
    d = copy.copy(daemon)
    d.port = port
    return process, d


@pytest.fixture(scope="module")
def _front(_one):
    with tempfile.TemporaryDirectory(prefix="bf") as folder:
        os.chmod(folder, 0o755)
        process, d = fronted(_one, folder)
        try:
            yield d
        finally:
            process.terminate()
            process.wait(2 * WAIT)


@pytest.fixture
def front(daemon, _front):
    """The daemon as seen through nginx."""
    assert _front.process is daemon.process, "the daemon was started again, on another port"
    return _front


def figure(d, name):
    return int(re.search(rf"^{name} (\d+)", d.http("GET", "/metrics").ok().text(), re.M)[1])


def test_page(front):
    r = front.http("GET", "/").ok()
    assert TEXT in r.text() and r.header("Content-Security-Policy")
    assert front.http("GET", "/", {"If-None-Match": r.header("ETag")}).status == 304
    r = front.http("GET", "/", {"Accept-Encoding": "gzip"}).ok()
    assert r.header("Content-Encoding") == "gzip"
    front.http("GET", "/nothing").problem(404, "not_found")
    assert front.http("HEAD", "/").status == 200
    assert front.http("OPTIONS", "/healthz").status == 204


def test_connections_to_the_daemon_are_kept(front, daemon, topic):
    before = figure(daemon, "belfry_connections_accepted_total")
    token = front.token()
    with front.conn() as c:
        for i in range(60):
            assert c.request("GET", ("/healthz", "/nothing", "/history")[i % 3]).status in (200, 404, 401)
            c.request("POST", f"/publish/{topic}", {"Authorization": f"Bearer {token}"}, str(i)).ok()
    assert figure(daemon, "belfry_connections_accepted_total") - before < 8
    messages = front.http("GET", f"/history?topic={topic}&limit=1000", token=token).json()["messages"]
    assert [m["message"] for m in messages] == [str(i) for i in range(60)]


@pytest.mark.parametrize("prefix", ["", "/unbuffered", "/old"])
def test_bodies(front, topic, prefix):
    token = front.token()
    headers = {"Authorization": f"Bearer {token}", "Transfer-Encoding": "chunked"}
    with front.conn() as c:
        c.send(build("POST", f"{prefix}/publish/{topic}", headers, b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"))
        c.response().ok()
    with front.conn() as c:
        c.send(build("POST", f"{prefix}/publish/{topic}", {**headers, "Expect": "100-continue"}))
        assert c.head().status == 100
        c.send(b"5\r\nagain\r\n0\r\n\r\n")
        c.response().ok()
    messages = front.http("GET", f"/history?topic={topic}", token=token).json()["messages"]
    assert [m["message"] for m in messages] == ["hello world", "again"]


@pytest.mark.parametrize("prefix", ["", "/unbuffered", "/old"])
@pytest.mark.parametrize("size", [70 * 1024, 4 * 1024 * 1024])
def test_refused_bodies_are_answered(front, prefix, size):
    """The answer comes before the body was taken: nginx, still writing, must see it and not a reset."""
    for headers in (front.bearer(), ()):
        with front.conn(timeout=2 * WAIT) as c:
            try:
                c.send(build("POST", f"{prefix}/publish/x", headers, b"x" * size))
            except OSError:
                pass
            c.response().problem(413, "too_large")


def test_websocket(front, room):
    a, b = front.join(room, "ada"), front.join(room, "bob")
    with a, b:
        a.say("hi")
        b.expect("chat", content="hi")
        b.say("x" * 8000)
        a.expect("chat", content="x" * 8000)
        a.close()
        b.expect("user_left")
    with front.ws("/echo") as ws:
        ws.send(b"\0\1\2")
        assert ws.recv_message()[1] == b"\0\1\2"
    front.ws("/chat", token="x", refuse=True).problem(401, "invalid_token")


def test_streams_are_not_buffered(front, daemon, topic, room):
    """X-Accel-Buffering turns nginx's buffer off."""
    stream = front.sse(topic=topic)
    for i in range(3):
        daemon.publish(topic, f"m{i}")
        assert stream.until("notification").json()["message"] == f"m{i}"
    stream.close()
    chat = front.chat_sse(room)
    ws = daemon.join(room, "bob")
    ws.say("hi")
    assert chat.until("message").json()["content"] == "hi"
    r = front.http("POST", f"/chat/{chat.session}", {**front.bearer(), "Content-Type": "text/plain"}, "ho")
    assert r.ok().json()["type"] == "ack"
    ws.expect("chat", content="ho")
    chat.close()
    ws.close()
    stored = front.sse(topic=topic, after="all", wait=0, accept="application/x-ndjson")
    assert [m["message"] for m in iter(stored.lines, None) if m.get("type") == "notification"] == ["m0", "m1", "m2"]


def test_a_stream_on_1_0(front, daemon, topic):
    stream = front.sse("/old/events", topic=topic)
    daemon.publish(topic, "hi")
    assert stream.until("notification").json()["message"] == "hi"
    stream.close()


def from_address(front, source, data):
    with socket.create_connection(front.address, WAIT, source_address=(source, 0)) as s:
        c = Conn.__new__(Conn)
        c.sock, c.address, c.timeout, c.buf = s, front.address, WAIT, bytearray()
        c.send(data)
        return c.response()


def test_the_client_is_who_asked_nginx(start, front):
    """Limits go by the address behind the trusted proxy; what the client itself says of it counts for nothing."""
    ask = build("POST", "/token", {"Content-Type": "application/json", "X-Forwarded-For": "203.0.113.9"}, '{"name":"Ada"}')
    for source in ("127.0.0.7", "127.0.0.8"):
        assert [from_address(front, source, ask).status for _ in range(3)] == [200, 200, 429], source


def test_host_and_origin(front):
    """The page's own Origin is right whatever Host nginx sends on, as X-Forwarded-Host has it."""
    for path in ("/publish/x", "/upstream-host/publish/x"):
        for origin, status in (("https://chat.example", 200), ("https://evil.example", 403), ("null", 403)):
            r = front.http("POST", path, {**front.bearer(), "Host": "chat.example", "Origin": origin}, "hi")
            assert r.status == status, (path, origin, r)
    front.http("GET", "/healthz", {"Host": "evil.example"}).problem(421, "misdirected")


def test_as_documented(start):
    """The configuration of docs/operating.md: the page, a chat, a stream and what is published; the figures are not for all."""
    d = start({**CONF, "hosts": ["chat.example.org"], "web": {"root": ""}, "limits": {}})
    with tempfile.TemporaryDirectory(prefix="bf") as folder:
        os.chmod(folder, 0o755)
        process, front = fronted(d, folder, documented)
        try:
            host = {"Host": "chat.example.org"}
            assert front.http("GET", "/healthz", host).status == 200
            assert front.http("GET", "/healthz", {"Host": "other.example.org"}).status == 421
            for client, status in (({}, 200), ({"X-Forwarded-For": "203.0.113.9"}, 401)):
                assert front.http("GET", "/metrics", {**host, **client}).status == status
            room = mark("room")
            with front.ws(room=room, headers={**host, "Origin": "https://chat.example.org"}) as ws:
                ws.expect("joined")
                stream = front.sse(topic=f"chat/{room}", headers={**host, "Origin": "https://chat.example.org"})
                stream.block()
                body = "x" * 60000
                front.http("POST", f"/publish/chat/{room}", {**front.bearer(), **host, "Origin": "https://chat.example.org"}, body).ok()
                assert ws.expect("chat")["content"] == stream.until("chat").json()["content"] == body
            other = {**front.bearer(), **host, "Origin": "https://evil.example.org"}
            assert front.http("POST", f"/publish/chat/{room}", other, "x").status == 403
        finally:
            process.terminate()
            process.wait(2 * WAIT)


def test_an_untrusted_proxy(start):
    """Who is not in trusted_proxies is the client, and its X-Forwarded-Host nobody's."""
    d = start({**CONF, "trusted_proxies": ["192.0.2.1/32"], "web": {"root": ""}})
    with tempfile.TemporaryDirectory(prefix="bf") as folder:
        os.chmod(folder, 0o755)
        process, front = fronted(d, folder)
        try:
            ask = build("POST", "/token", {"Content-Type": "application/json"}, '{"name":"Ada"}')
            got = [from_address(front, source, ask).status for source in ("127.0.0.7", "127.0.0.8", "127.0.0.9")]
            assert got == [200, 200, 429]
            origin = {**front.bearer(), "Host": "chat.example", "Origin": "https://chat.example"}
            assert front.http("POST", "/publish/x", origin, "hi").status == 200
            front.http("POST", "/upstream-host/publish/x", origin, "hi").problem(403, "forbidden")
        finally:
            process.terminate()
            process.wait(2 * WAIT)


def test_a_drain_reaches_through(start):
    """The streams end in good order, and nginx answers for a daemon that is not there."""
    d = start({**CONF, "web": {"root": ""}})
    with tempfile.TemporaryDirectory(prefix="bf") as folder:
        os.chmod(folder, 0o755)
        process, front = fronted(d, folder)
        try:
            room = mark("room")
            stream, ws = front.sse(topic="t/x"), front.join(room)
            d.stop()
            assert stream.until("closing").json()["retry"] > 0
            stream.end()
            ws.expect("closing")
            ws.expect_close(1001)
            assert front.http("GET", "/healthz").status in (502, 504)
        finally:
            process.terminate()
            process.wait(2 * WAIT)
