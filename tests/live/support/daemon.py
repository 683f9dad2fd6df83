"""Starts the built daemon on a port and in a folder of its own, and watches it."""

import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time
import urllib.parse

from . import BELFRYD, ROOT, SANITIZED, SLOW, WAIT, config, rawclient, tokens  # noqa: F401

BELFRYCTL = os.path.abspath(os.environ.get("BELFRYCTL", ROOT / "build" / "belfryctl"))
PORT_RE = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])\"?(?::|\s+port=|,\s*\"port\":\s*)\"?([1-9][0-9]{1,4})\b")

BASE = {
    "listen": ({"address": "127.0.0.1", "port": 0},),
    "workers": 1,
    "echo": True,
    "web": {"root": ""},
    "auth": {"secret_file": "secret"},
    "storage": {"backend": "memory"},
    "chat": {"leave_grace": "1s"},
    "limits": {"messages_per_second": 0, "drain": "2s"},
    "logging": {"level": "debug"},
}


def mark(name):
    """A name that no other test uses."""
    return f"{name}-{os.urandom(4).hex()}"


class Daemon:
    def __init__(self, folder, conf=None, *, secret=tokens.SECRET, text=None, args=(), env=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.conf = config.merge(BASE, conf or {})
        self.file = self.folder / "belfryd.conf"
        self.secret = secret
        if secret is not None:
            (self.folder / "secret").write_bytes(secret)
            (self.folder / "secret").chmod(0o600)
        self.write(text)
        self.args, self.env = list(args), env
        self.process = None
        self.port = None
        self.lines = []
        self._more = threading.Condition()

    # -- process -----------------------------------------------------------------------------------------

    def write(self, text=None):
        self.file.write_text(config.text(self.conf) if text is None else text)

    def configure(self, conf):
        """Changes the file only; SIGHUP or a start makes it true."""
        self.conf = config.merge(self.conf, conf)
        self.write()

    def spawn(self):
        if not os.path.exists(BELFRYD):
            raise AssertionError(f"no daemon at {BELFRYD}: run make, or set BELFRYD")
        env = dict(os.environ)
        env.pop("NOTIFY_SOCKET", None)
        env.update(self.env or {})
        self.process = subprocess.Popen([BELFRYD, "-c", str(self.file), *self.args], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=env)
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr,), daemon=True)
        self._reader.start()
        return self

    def _read(self, pipe):
        for line in pipe:
            with self._more:
                self.lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self._more.notify_all()

    def start(self):
        """Starts and waits until it serves."""
        self.spawn()
        found = self.wait_log(PORT_RE, 5 * SLOW)
        self.port = int(found[1])
        self.until_ready()
        return self

    def until_ready(self, timeout=WAIT):
        end = time.monotonic() + timeout
        while True:
            try:
                hosts = self.conf.get("hosts")
                r = self.http("GET", "/readyz", {"Host": hosts[0]} if hosts else ())
                if r.status == 200:
                    return
                why = r
            except (OSError, AssertionError) as e:
                why = e
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"not ready: {why!r}; exit {self.process.poll()}; log:\n{self.log()}")
            time.sleep(0.01)

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, timeout=None):
        """Waits for the end; the exit status."""
        try:
            status = self.process.wait(WAIT if timeout is None else timeout)
            self._reader.join(WAIT)  # its last words
            return status
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still running; log:\n{self.log()[-3000:]}") from None

    def stop(self):
        """Ends it by SIGTERM, which must succeed, cleanly."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(10 * SLOW)
            self._reader.join(WAIT)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"did not end within 10 s of SIGTERM; log:\n{self.log()[-3000:]}") from None
        self.process = None
        assert status == 0, f"exit {status}; log:\n{self.log()[-6000:]}"

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process = None

    def again(self):
        """After its end, however that was: the same daemon on the same port and file."""
        self.configure({"listen": ({"address": "127.0.0.1", "port": self.port},)})
        self.lines.clear()
        return self.start()

    def log(self):
        with self._more:
            return "\n".join(self.lines)

    def wait_log(self, pattern, timeout=WAIT, since=0):
        """The first match in the log, from line `since` on; waits for it."""
        pattern = re.compile(pattern)
        end = time.monotonic() + timeout
        with self._more:
            while True:
                for line in self.lines[since:]:
                    if m := pattern.search(line):
                        return m
                left = end - time.monotonic()
                if left <= 0 or (self.process is not None and self.process.poll() is not None and left < timeout - 0.3):
                    text = "\n".join(self.lines)[-3000:]
                    raise AssertionError(f"no {pattern.pattern!r} in the log:\n{text}")
                self._more.wait(min(left, 0.1))

    def rss(self):
        """Resident memory in bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024

    # -- talking -----------------------------------------------------------------------------------------

    @property
    def address(self):
        return ("127.0.0.1", self.port)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return f"http://{self.host}"

    def token(self, sub="ada", **how):
        if not {"subscribe", "publish", "direct", "belfry", "everything"} & set(how):
            how["everything"] = True
        return tokens.make(sub, **how)

    def bearer(self, token=None, sub="ada"):
        return {"Authorization": f"Bearer {token or self.token(sub)}"}

    def conn(self, **how):
        return rawclient.Conn(self.address, **how)

    def http(self, method, path, headers=(), body=None, token=None, timeout=None):
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        if token is not None:
            pairs.append(("Authorization", f"Bearer {token}"))
        with self.conn() as c:
            return c.request(method, path, pairs, body, timeout=timeout)

    def publish(self, topic, body=None, headers=(), token=None, **members):
        """Publishes; JSON when members are given. The answer's JSON, which must be 200."""
        token = token or self.token("publisher")
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        if members:
            pairs.append(("Content-Type", "application/json"))
            body = json.dumps(members)
        path = "/publish/" + urllib.parse.quote(topic, safe="/*") if topic else "/publish"
        return self.http("POST", path, pairs, body, token=token).ok().json()

    def publish_many(self, topic, bodies, token=None):
        """Publishes each text over one kept connection; the ids."""
        token = token or self.token("publisher")
        ids = []
        with self.conn() as c:
            for body in bodies:
                r = c.request("POST", "/publish/" + topic, {"Authorization": f"Bearer {token}"}, body)
                ids.append(r.ok().json()["id"])
        return ids

    def ws(self, path="/chat", token=None, sub="ada", name=None, headers=(), protocols=None, refuse=False, welcome=True, **query):
        """A WebSocket. For /chat in JSON the welcome is read into `.welcome`. With refuse: the refusing Response."""
        if token is None and path.startswith("/chat"):
            token = self.token(sub, name=name)
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        if token:
            pairs.append(("Authorization", f"Bearer {token}"))
        rcvbuf = query.pop("rcvbuf", None)
        if query:
            path += "?" + urllib.parse.urlencode(query)
        r, ws = rawclient.WebSocket.open(self.address, path, pairs, protocols, rcvbuf=rcvbuf)
        if refuse:
            assert ws is None, f"not refused: {r}"
            return r
        assert ws is not None, f"refused: {r}"
        if path.startswith("/chat") and query.get("format", "json") == "json" and welcome:
            ws.welcome = ws.recv()
            assert ws.welcome["type"] == "welcome", ws.welcome
        return ws

    def join(self, room, sub="ada", name=None, **query):
        """A WebSocket that has joined the room by `join`; the answer is in `.joined`."""
        ws = self.ws(sub=sub, name=name, **query)
        ws.joined = ws.ok("join", "joined", room=room, last=0)
        return ws

    def sse(self, path="/events", token=None, sub="ada", headers=(), refuse=False, accept="text/event-stream", **query):
        """An event stream; list values of the query are repeated."""
        if token is None:
            token = self.token(sub)
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        if token:
            pairs.append(("Authorization", f"Bearer {token}"))
        rcvbuf = query.pop("rcvbuf", None)
        if query:
            path += "?" + urllib.parse.urlencode(query, doseq=True)
        r, stream = rawclient.open_stream(self.address, path, pairs, accept=accept, rcvbuf=rcvbuf)
        if refuse:
            assert stream is None, f"not refused: {r}"
            return r
        assert stream is not None, f"refused: {r}"
        return stream

    def chat_sse(self, room, token=None, sub="ada", **query):
        """The chat over SSE; its session in `.session`."""
        stream = self.sse("/chat", token=token, sub=sub, room=room, **query)
        stream.session = stream.until("user").data
        return stream

    def flush(self, room, *sockets):
        """Waits until each of these members has seen all that was said in the room before this call."""
        content = mark("flush")
        self.publish(f"chat/{room}", content, token=self.token("flusher"))
        for ws in sockets:
            ws.expect("chat", room=room, content=content)


def run(args, binary=None, input=None, env=None, cwd=None, timeout=10):
    """Runs belfryd (or belfryctl) to its end: the CompletedProcess, as text."""
    binary = binary or BELFRYD
    if not os.path.exists(binary):
        raise AssertionError(f"no program at {binary}: run make")
    full = {k: v for k, v in os.environ.items() if not k.startswith("BELFRY_")}
    full.update(env or {})
    return subprocess.run([binary, *args], input=input, capture_output=True, text=True, env=full, cwd=cwd,
                          timeout=timeout * SLOW, stdin=None if input is not None else subprocess.DEVNULL)


def ctl(*args, **how):
    return run(args, binary=BELFRYCTL, **how)
