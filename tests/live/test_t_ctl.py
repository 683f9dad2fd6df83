"""belfryctl: token, --check, secret, publish, listen."""

import json
import os
import re
import stat
import subprocess
import time

import pytest
from support import SLOW, config
from support.daemon import BELFRYCTL, ctl, mark
from support.stores import DISK
from support.tokens import claims_of, make

CONF = {"topics": ({"match": "live/**", "history": 0}, {"match": "short/**", "history": 5}, {"match": "**", "history": 1000})}
USAGE, DATAERR, UNAVAILABLE, NOPERM, CONFIG = 64, 65, 69, 77, 78


def here(d, sub="publisher", **how):
    return {"BELFRY_URL": d.url, "BELFRY_TOKEN": d.token(sub, **how)}


def test_help_and_version():
    r = ctl("-h")
    assert r.returncode == 0 and "token" in r.stdout and "publish" in r.stdout
    assert ctl("help").stdout == r.stdout
    assert ctl("help", "kick").stdout == ctl("kick", "--help").stdout != ""
    assert ctl("help", "nonsense").returncode == USAGE
    assert ctl("-V").returncode == 0


@pytest.mark.parametrize("args", [[], ["nonsense"], ["publish"], ["listen"], ["token", "--nonsense"], ["secret"], ["token"]])
def test_usage(args, daemon):
    r = ctl(*args, env=here(daemon))
    assert r.returncode == USAGE, r
    assert r.stderr


# -- token -----------------------------------------------------------------------------------------------------------------


def test_token(daemon):
    r = ctl("-c", str(daemon.file), "token", "--sub", "ada", "--name", "Ada", "--ttl", "1h", "--subscribe", "chat/*", "--subscribe", "news/**",
            "--publish", "chat/lobby", "--direct", "*", "--role", "moderator")
    assert r.returncode == 0, r
    token = r.stdout.strip()
    c = claims_of(token)
    assert (c["sub"], c["name"]) == ("ada", "Ada")
    assert 3590 <= c["exp"] - time.time() <= 3610
    assert c["belfry"] == {"subscribe": ["chat/*", "news/**"], "publish": ["chat/lobby"], "direct": ["*"], "role": "moderator"}
    assert daemon.http("GET", "/token", token=token).ok().json()["user"] == {"id": "ada", "name": "Ada"}


def test_token_option_after(daemon):
    """-c may stand behind the command as well."""
    r = ctl("token", "-c", str(daemon.file), "--sub", "ada")
    assert r.returncode == 0, r


def test_token_without_grants_gets_the_defaults(daemon):
    token = ctl("-c", str(daemon.file), "token", "--sub", "ada").stdout.strip()
    assert "belfry" not in claims_of(token)
    assert daemon.http("GET", "/history?topic=chat/x", token=token).status == 200


def test_token_bad(daemon):
    for args in (["--sub", ""], ["--sub", "a", "--ttl", "soon"], ["--sub", "a", "--subscribe", "a//b"], ["--sub", "a", "--role", "king"],
                 ["--sub", "guest:x"], ["--sub", "x" * 129]):
        r = ctl("-c", str(daemon.file), "token", *args)
        assert r.returncode in (USAGE, DATAERR), (args, r)
        assert r.stderr and not r.stdout.strip()


def test_token_no_config(tmp_path):
    r = ctl("-c", str(tmp_path / "none.conf"), "token", "--sub", "a")
    assert r.returncode in (CONFIG, 66), r


def test_token_json(daemon):
    r = ctl("-c", str(daemon.file), "token", "--sub", "ada", "--json")
    assert r.returncode == 0, r
    doc = json.loads(r.stdout)
    assert claims_of(doc["token"])["sub"] == "ada"


def test_check(daemon):
    token = make("ada", name="Ada", subscribe=["chat/*"], publish=["chat/lobby"])
    r = ctl("-c", str(daemon.file), "token", "--check", token)
    assert r.returncode == 0, r
    assert "ada" in r.stdout and "chat/*" in r.stdout and "chat/lobby" in r.stdout


@pytest.mark.parametrize("how, word", [({"ttl": -100}, "exp"), ({"key": b"q" * 40}, "signature"), ({"nbf": 4000000000}, "nbf"), ({"drop": ["exp"]}, "exp")])
def test_check_refused(daemon, how, word):
    r = ctl("-c", str(daemon.file), "token", "--check", make("ada", **how))
    assert r.returncode not in (0, USAGE), r
    assert word in r.stdout + r.stderr


def test_check_revoked(start):
    """What the daemon refuses because somebody said so is refused here, too, while it runs and after."""
    d = start(config.merge(CONF, DISK))
    admin = d.token("root", role="admin")
    bad, fine = make("ada", jti="t1"), make("ada", jti="t2")

    def said(token):
        r = ctl("-c", str(d.file), "token", "--check", token)
        doc = json.loads(ctl("-c", str(d.file), "token", "--check", token, "--json").stdout)
        assert doc["valid"] == (r.returncode == 0) and (doc["valid"] or "revoked" in r.stdout), (r, doc)
        return r.returncode

    def api(what, **members):
        d.http("POST", f"/api/{what}", {"Content-Type": "application/json"}, json.dumps(members), token=admin).ok()

    assert said(bad) == 0
    api("revoke", jti="t1")
    assert (said(bad), said(fine)) == (NOPERM, 0)
    api("revoke", sub="ada", before=int(time.time()) + 60)
    assert said(fine) == NOPERM and said(make("bob")) == 0
    api("unrevoke", sub="ada")
    assert said(fine) == 0
    d.stop()
    assert (said(bad), said(fine)) == (NOPERM, 0)


def test_check_cannot_know(daemon):
    """Of a log in memory only the daemon itself knows."""
    r = ctl("-c", str(daemon.file), "token", "--check", make("ada"))
    assert r.returncode == 0 and "revoked" in r.stdout, r


def test_check_rubbish(daemon):
    r = ctl("-c", str(daemon.file), "token", "--check", "rubbish")
    assert r.returncode not in (0, USAGE) and (r.stdout or r.stderr)


# -- secret ----------------------------------------------------------------------------------------------------------------


def test_secret(tmp_path, start):
    file = tmp_path / "key"
    r = ctl("secret", str(file))
    assert r.returncode == 0, r
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    text = file.read_text()
    assert len(text.strip()) >= 43 and re.fullmatch(r"[A-Za-z0-9+/=_-]+\n?", text), text
    other = tmp_path / "key2"
    ctl("secret", str(other))
    assert other.read_text() != text
    d = start({"auth": {"secret_file": str(file)}})
    token = ctl("-c", str(d.file), "token", "--sub", "a").stdout.strip()
    assert d.http("GET", "/token", token=token).ok().json()["user"]["id"] == "a"


def test_secret_does_not_overwrite(tmp_path):
    file = tmp_path / "key"
    file.write_text("precious")
    r = ctl("secret", str(file))
    assert r.returncode == 73, r
    assert file.read_text() == "precious"


def test_secret_cannot_write(tmp_path):
    r = ctl("secret", str(tmp_path / "none" / "key"))
    assert r.returncode == 73, r


# -- publish ---------------------------------------------------------------------------------------------------------------


def test_publish(daemon, topic):
    s = daemon.sse(topic=topic)
    s.block()
    r = ctl("publish", topic, "Backup done", env=here(daemon))
    assert r.returncode == 0, r
    ev = s.next()
    assert ev.json()["message"] == "Backup done"
    r = ctl("--json", "publish", topic, "again", env=here(daemon))
    if r.returncode == USAGE:
        r = ctl("publish", "--json", topic, "again", env=here(daemon))
    assert json.loads(r.stdout)["id"] == int(s.next().id)


def test_publish_stdin(daemon, topic):
    s = daemon.sse(topic=topic)
    s.block()
    for args in ([topic, "-"], [topic]):
        assert ctl("publish", *args, env=here(daemon), input="from a pipe\n").returncode == 0
        assert s.next().json()["message"].rstrip("\n") == "from a pipe"


def test_publish_reads_nothing_that_is_not_needed(daemon, topic):
    s = daemon.sse(topic=topic)
    s.block()
    with subprocess.Popen([BELFRYCTL, "publish", "--title", "T", topic], env={**os.environ, **here(daemon)}, stdin=subprocess.PIPE) as p:
        assert p.wait(10) == 0  # its standard input is open still
    assert "message" not in s.next().json() or s.blocks[-1].json()["message"] == ""
    r = ctl("publish", topic, env=here(daemon), input="")
    assert r.returncode == USAGE and "message is missing" in r.stderr


def test_publish_options(daemon, topic):
    s = daemon.sse(topic=topic)
    s.block()
    r = ctl("publish", "--title", "T", "--event", "backup", "--priority", "4", "--tags", "a,b", "--click", "https://example.org/", "--key", "k", topic, "M",
            env=here(daemon))
    assert r.returncode == 0, r
    ev = s.next()
    m = ev.json()
    assert (ev.name, m["title"], m["message"], m["priority"], m["tags"], m["click"]) == ("backup", "T", "M", 4, ["a", "b"], "https://example.org/")


def test_publish_odd_topic(daemon):
    t = mark("ä b%c?d#e")
    s = daemon.sse(topic=t)
    s.block()
    assert ctl("publish", t, "x", env=here(daemon)).returncode == 0
    assert s.next().json()["topic"] == t


def test_publish_refused(daemon):
    r = ctl("publish", "a", "x", env=here(daemon, publish=["b"]))
    assert r.returncode == NOPERM, r
    assert "belfry.publish" in r.stderr
    r = ctl("publish", "a", "x", env={"BELFRY_URL": daemon.url, "BELFRY_TOKEN": "rubbish"})
    assert r.returncode == NOPERM, r
    r = ctl("publish", "a//b", "x", env=here(daemon))
    assert r.returncode in (USAGE, DATAERR), r


def test_publish_nobody_there():
    r = ctl("publish", "a", "x", env={"BELFRY_URL": "http://127.0.0.1:1", "BELFRY_TOKEN": make()})
    assert r.returncode == UNAVAILABLE, r
    assert r.stderr


def test_publish_by_config(daemon, start, topic):
    """-c says where, and makes a token with the configured secret: needs a fixed port in the file."""
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    d = start({"listen": ({"address": "127.0.0.1", "port": port},)})
    r = ctl("-c", str(d.file), "publish", topic, "x")
    assert r.returncode == 0, r
    assert d.http("GET", f"/history?topic={topic}", token=d.token()).json()["messages"][0]["message"] == "x"


def test_no_proxy_to_this_machine(daemon, topic):
    """Neither the request nor its token goes to a proxy of the environment."""
    for url in (daemon.url, daemon.url.replace("127.0.0.1", "localhost")):
        r = ctl("publish", topic, "x", env={**here(daemon), "BELFRY_URL": url, "http_proxy": "http://127.0.0.1:1"})
        assert r.returncode == 0, r
    r = ctl("publish", topic, "x", env={**here(daemon), "BELFRY_URL": "http://belfry.example", "http_proxy": daemon.url})
    assert r.returncode not in (0, UNAVAILABLE), r  # it went there


def test_room_as_a_topic(daemon):
    """Of people who think of rooms as topics `chat/` is taken, too."""
    env = here(daemon, "root", role="admin")
    assert "from lobby" in ctl("ban", "chat/lobby", "mallory", env=env).stdout
    assert ctl("unban", "lobby", "mallory", env=env).returncode == 0


# -- listen ----------------------------------------------------------------------------------------------------------------


class Listener:
    def __init__(self, d, *args, **env):
        full = {k: v for k, v in os.environ.items() if not k.startswith("BELFRY_")}
        full.update(here(d), **env)
        self.p = subprocess.Popen([BELFRYCTL, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=full)

    def lines(self, n, timeout=8):
        import selectors

        out, buf = [], ""
        sel = selectors.DefaultSelector()
        sel.register(self.p.stdout, selectors.EVENT_READ)
        end = time.monotonic() + timeout * SLOW
        while len(out) < n:
            left = end - time.monotonic()
            assert left > 0 and sel.select(left), f"only {out} {buf!r}"
            data = os.read(self.p.stdout.fileno(), 65536).decode()
            assert data, f"ended with {out}; {self.p.stderr.read()}"
            buf += data
            *whole, buf = buf.split("\n")
            out += [x for x in whole if x.strip()]
        return out

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.p.poll() is None:
            self.p.terminate()
        self.p.wait(5)
        self.p.stdout.close()
        self.p.stderr.close()


def test_listen_json(daemon, topic):
    ids = daemon.publish_many(topic, ["a", "b"])
    with Listener(daemon, "listen", "--json", "--after", "all", topic) as p:
        got = [json.loads(x) for x in p.lines(2)]
        assert [m["id"] for m in got] == ids and [m["message"] for m in got] == ["a", "b"]
        live = daemon.publish(topic, "live")["id"]
        assert json.loads(p.lines(1)[0])["id"] == live


def test_history_and_listen_say_the_same(daemon, topic):
    daemon.publish(topic, data={"a": 1}, event="price")
    daemon.publish(topic, data="plain text")
    daemon.publish(topic, message="m", title="T", event="deploy")
    stored = ctl("history", topic, env=here(daemon))
    assert stored.returncode == 0, stored
    with Listener(daemon, "listen", "--after", "all", topic) as p:
        assert p.lines(3) == stored.stdout.splitlines()
    assert [x.split(" ", 1)[1] for x in stored.stdout.splitlines()] == ['price {"a": 1}', "message plain text", f"{topic} (deploy)  T: m"]


def test_bidirectional_text_is_seen(daemon, topic):
    daemon.publish(topic, "abc\u202etxt")
    assert "abc<U+202E>txt" in ctl("history", topic, env=here(daemon)).stdout


def test_listen_several_topics(daemon):
    a, b = mark("a"), mark("b")
    for t in (a, f"{b}/x"):
        daemon.publish(t, f"to {t}")
    with Listener(daemon, "listen", "--after", "all", a, f"{b}/*") as p:
        text = "\n".join(p.lines(2))
        assert f"to {a}" in text and f"to {b}/x" in text


def on_terminal(*args, env):
    """What it says to people, of both streams, and its exit code."""
    fd, end = os.openpty()
    full = {k: v for k, v in os.environ.items() if not k.startswith("BELFRY_")}
    p = subprocess.Popen([BELFRYCTL, *args], stdin=subprocess.DEVNULL, stdout=end, stderr=end, env={**full, **env})
    os.close(end)
    text = b""
    try:
        while data := os.read(fd, 65536):
            text += data
    except OSError:  # nobody has the other end any more
        pass
    os.close(fd)
    return text.decode().replace("\r\n", "\n"), p.wait(10 * SLOW)


def test_nothing_and_more(daemon, topic):
    """An empty answer is said to people, and to nobody else; what is left out can be asked for as it is told."""
    admin = {"BELFRY_URL": daemon.url, "BELFRY_TOKEN": daemon.token("root", belfry={"role": "admin", "subscribe": ["**"]})}
    for args, words in ((("mutes",), "no mutes are in force"), (("history", topic), "nothing of that is stored")):
        assert on_terminal(*args, env=admin) == (f"belfryctl: {words}\n", 0)
        r = ctl(*args, env=admin)
        assert (r.returncode, r.stdout, r.stderr) == (0, "", "")
    ids = daemon.publish_many(topic, ["a", "b", "c", "d"])
    for where, id in (("--before", ids[2]), ("--after", ids[1])):
        r = ctl("history", topic, "-n", "2", *(("--after", "all") if where == "--after" else ()), env=admin)
        assert r.stderr == f"belfryctl: there is more: {where} {id} shows it\n"
        r = ctl("history", topic, where, str(id), env=admin)
        assert len(r.stdout.splitlines()) == 2 and r.stderr == ""


def test_says_what_to_do(daemon, topic):
    r = ctl("stats", env={"BELFRY_URL": daemon.url})
    assert r.returncode == NOPERM and "set BELFRY_TOKEN" in r.stderr
    r = ctl("stats", env={"BELFRY_URL": "http://127.0.0.1:1"})
    assert r.returncode == UNAVAILABLE and "is belfryd running" in r.stderr
    for url in ("localhost:8080", "http://", "http://:80", "http://localhost:99999", "http://a b"):
        r = ctl("stats", env={"BELFRY_URL": url})
        assert r.returncode == USAGE and f"BELFRY_URL is '{url}', want" in r.stderr, r
    with Listener(daemon, "listen", topic, "allowed/x", BELFRY_TOKEN=daemon.token("ada", subscribe=["allowed/*"])) as p:
        assert f"denied {topic}: topic '{topic}' is not in belfry.subscribe" in p.lines(1)[0]


def test_no_belfryd():
    """A page where the daemon should be: 76."""
    import http.server
    import threading

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            r = ctl("stats", env={"BELFRY_URL": f"http://127.0.0.1:{server.server_port}", "BELFRY_TOKEN": make()})
            assert r.returncode == 76 and "what answers is no belfryd" in r.stderr, r
        finally:
            server.shutdown()


def test_listen_refused(daemon, topic):
    r = ctl("listen", topic, env=here(daemon, subscribe=["other"]))
    assert r.returncode == NOPERM, r
    assert "belfry.subscribe" in r.stderr


def test_listen_escapes_controls(daemon, topic):
    """What others publish cannot drive the reader's terminal."""
    daemon.publish(topic, "red \x1b[31m bell \x07")
    with Listener(daemon, "listen", "--after", "all", topic) as p:
        line = p.lines(1)[0]
        assert "\x1b" not in line and "\x07" not in line


def test_listen_over_a_cut(start, topic):
    """listen reconnects and resumes: nothing missing, nothing twice; a restart with the memory store is told as a gap."""
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    d = start({"listen": ({"address": "127.0.0.1", "port": port},), "events": {"retry": "1s"}})
    with Listener(d, "listen", "--json", "--after", "all", topic) as p:
        d.publish(topic, "one")
        assert json.loads(p.lines(1)[0])["message"] == "one"
        d.stop()
        d.lines.clear()
        d.start()
        d.publish(topic, "two")
        got = []
        while not any(m.get("message") == "two" for m in got):
            got += [json.loads(x) for x in p.lines(1, timeout=20)]
        assert [m.get("message") for m in got if m.get("message") in ("one", "two")] == ["two"]
