"""The process: starting, refusing to start, reloading, draining (belfryd(8), belfryd.conf(5))."""

import os
import pathlib
import pwd
import re
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest
from support import SLOW, WAIT, config, rawclient, tokens
from support.daemon import BASE, BELFRYD, PORT_RE, Daemon, mark, run

SYSEXIT_CONFIG = 78


def check(tmp_path, text, *extra, name="belfryd.conf"):
    (tmp_path / "secret").write_bytes(tokens.SECRET)
    (tmp_path / "secret").chmod(0o600)
    file = tmp_path / name
    file.write_text(text)
    return run(["-c", str(file), "-t", *extra]), file


def write(**over):
    return config.text(config.merge(BASE, over))


# -- options ------------------------------------------------------------------------------------------------------


def test_version():
    r = run(["-V"])
    assert r.returncode == 0
    assert re.search(r"belfryd\s.*\d", r.stdout), r


@pytest.mark.parametrize("args", [["-V"], ["--help"], ["-t", "-c", "belfryd.conf"]])
def test_output_that_is_lost_is_no_success(tmp_path, args):
    (tmp_path / "secret").write_bytes(tokens.SECRET)
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "belfryd.conf").write_text(write())
    with open("/dev/full", "w") as full:
        r = subprocess.run([BELFRYD, *args], stdout=full, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=10 * SLOW)
    assert (r.returncode, r.stderr) == (74, "belfryd: writing the output failed\n")


def test_help():
    r = run(["-h"])
    assert r.returncode == 0
    for option in ("-c", "-t", "-V", "-h"):
        assert option in r.stdout


@pytest.mark.parametrize("args", [["-Z"], ["-c"], ["stray"]])
def test_bad_usage(args):
    r = run(args)
    assert r.returncode == 64, r
    assert r.stderr


def test_check_good(tmp_path):
    r, _ = check(tmp_path, write())
    assert r.returncode == 0, r


def test_check_long_option(tmp_path):
    (tmp_path / "secret").write_bytes(tokens.SECRET)
    (tmp_path / "c").write_text(write())
    assert run(["-c", str(tmp_path / "c"), "--check-config"]).returncode == 0


def test_check_smallest(tmp_path):
    """Every key has a default: a secret is all that is needed."""
    r, _ = check(tmp_path, 'auth = { secret_file = "secret"; };\n')
    assert r.returncode == 0, r


FULL = '''
listen = ( { address = "localhost"; port = 8080; } );
workers = 0;
web = { root = ""; csp = "default-src 'self'"; };
hosts = [ ];  trusted_proxies = [ "127.0.0.1/32", "::1/128" ];  cors = { allow_origins = [ ]; };  echo = false;
auth = { algorithms = [ "HS256" ]; secret = ""; secret_file = "secret"; public_key_file = "";
         issuer = ""; audience = ""; leeway = "30s"; require_exp = true; cookie = "belfry"; explain = true; login_url = "";
         guests = false; guest_ttl = "12h"; guest_tokens_per_minute = 30;
         defaults = { subscribe = [ "chat/*", "user/{sub}", "notifications" ]; publish = [ "chat/*" ]; direct = [ "*" ]; };
         guest_defaults = { subscribe = [ "chat/*", "user/{sub}", "notifications" ]; publish = [ "chat/*" ]; direct = [ ]; }; };
storage = { backend = "sqlite"; path = "/var/lib/belfry/belfry.db"; sync = "full"; max_size = 0; cache = "64M"; keys = 1000000; recover = false; };
topics = ( { match = "server/**"; history = 0; },
           { match = "chat/*"; history = 10000; keep = "30d"; presence = true; },
           { match = "**"; history = 1000; keep = "7d"; } );
events = { topics = [ "notifications", "user/{sub}" ]; keepalive = "15s"; retry = "2s"; };
chat = { default_room = "lobby"; heartbeat = "30s"; typing_timeout = "6s"; leave_grace = "5s"; };
limits = { connections = 100000; connections_per_address = 0; connections_per_user = 0; message = "64K"; body = "1M"; header = "16K";
           queue = "256K"; memory = "1G"; rooms_per_connection = 100; topics_per_stream = 64; topics = 100000;
           messages_per_second = 20; burst = 40;
           publishes_per_second = 0; upgrades_per_second = 0; request_timeout = "10s"; idle_timeout = "60s"; drain = "10s"; };
logging = { level = "info"; format = "text"; };
feeds = ( { topic = "server/stats"; every = "1s"; } );
hooks = ( );
'''


def test_check_every_key(tmp_path):
    r, _ = check(tmp_path, FULL)
    assert r.returncode == 0, r


# One line each, at line 3, in a file that is otherwise good: (line, words the message must hold).
BAD_LINES = {
    "unknown key": ('colour = "red";', ["colour"]),
    "unknown in group": ('chat = { colour = 1; };', ["colour"]),
    "unknown in list": ('topics = ( { match = "a"; colour = 1; } );', ["colour"]),
    "wrong type": ('workers = "many";', ["workers"]),
    "string for bool": ('echo = "yes";', ["echo"]),
    "integer for bool": ("echo = 1;", ["echo"]),
    "group for scalar": ("echo = { };", ["echo"]),
    "scalar for group": ("chat = 5;", ["chat"]),
    "scalar for list": ('hosts = "a";', ["hosts"]),
    "integers in list of strings": ("hosts = [ 1, 2 ];", ["hosts"]),
    "float for integer": ("workers = 1.5;", ["workers"]),
    "workers negative": ("workers = -1;", ["workers"]),
    "workers above range": ("workers = 100000;", ["workers"]),
    "port above range": ('listen = ( { address = "127.0.0.1"; port = 65536; } );', ["port"]),
    "port negative": ('listen = ( { address = "127.0.0.1"; port = -1; } );', ["port"]),
    "no listener": ("listen = ( );", ["listen"]),
    "bad address": ('listen = ( { address = "not an address"; port = 0; } );', ["address"]),
    "duplicate listener": ('listen = ( { address = "127.0.0.1"; port = 8123; }, { address = "127.0.0.1"; port = 8123; } );', ["8123"]),
    "mode as integer": ('listen = ( { unix = "s"; mode = 660; } );', ["mode"]),
    "mode not octal": ('listen = ( { unix = "s"; mode = "0999"; } );', ["mode"]),
    "wrapped integer": ("limits = { connections = 5000000000; };", ["5000000000"]),
    "wrapped to negative": ("limits = { connections = 0xffffffff; };", ["0xffffffff"]),
    "octal look-alike": ("workers = 010;", ["010"]),
    "duration in words": ('chat = { heartbeat = "soon"; };', ["heartbeat"]),
    "duration of unknown unit": ('chat = { heartbeat = "5y"; };', ["heartbeat"]),
    "duration negative": ('chat = { heartbeat = "-5s"; };', ["heartbeat"]),
    "duration overflow": ('chat = { heartbeat = "99999999999999999999d"; };', ["heartbeat"]),
    "size of unknown unit": ('limits = { message = "64X"; };', ["message"]),
    "size overflow": ('limits = { memory = "99999999999999999999G"; };', ["memory"]),
    "size negative": ('limits = { message = "-1K"; };', ["message"]),
    "message 0": ("limits = { message = 0; };", ["message"]),
    "body 0": ("limits = { body = 0; };", ["body"]),
    "header 0": ("limits = { header = 0; };", ["header"]),
    "queue 0": ("limits = { queue = 0; };", ["queue"]),
    "memory 0": ('limits = { memory = "0"; };', ["memory"]),
    "topic rule without match": ("topics = ( { history = 1; } );", ["match"]),
    "topic rule bad pattern": ('topics = ( { match = "a//b"; } );', ["match"]),
    "topic rule double star within": ('topics = ( { match = "a/**/b"; } );', ["match"]),
    "history negative": ('topics = ( { match = "**"; history = -1; } );', ["history"]),
    "default room": ('chat = { default_room = "a/b"; };', ["default_room"]),
    "events topic": ('events = { topics = [ "a//b" ]; };', ["topics"]),
    "level": ('logging = { level = "loud"; };', ["level"]),
    "format": ('logging = { format = "xml"; };', ["format"]),
    "backend unknown": ('storage = { backend = "paper"; };', ["backend"]),
    "backend not built": ('storage = { backend = "redis"; };', ["backend"]),
    "proxy not a network": ('trusted_proxies = [ "here" ];', ["trusted_proxies"]),
    "proxy prefix": ('trusted_proxies = [ "10.0.0.0/33" ];', ["trusted_proxies"]),
    "hooks not built": ('hooks = ( { match = "presence"; url = "https://example.org/"; } );', ["hooks"]),
    "feed without topic": ('feeds = ( { every = "1s"; } );', ["topic"]),
    "feed every 0": ('feeds = ( { topic = "server/stats"; every = 0; } );', ["every"]),
}


@pytest.mark.parametrize("name", BAD_LINES)
def test_check_bad_line(tmp_path, name):
    line, words = BAD_LINES[name]
    key = line.split(" ")[0]
    rest = config.merge(BASE, {key: None, "logging": None if key == "logging" else {}})
    body = config.text(rest).splitlines()
    text = "\n".join(["// a comment", body[0], line, *body[1:]]) + "\n"
    r, file = check(tmp_path, text)
    assert r.returncode == SYSEXIT_CONFIG, r
    said = r.stderr + r.stdout
    assert f"{file}:3: " in said, said
    for word in words:
        assert word in said, said


def test_check_syntax_error(tmp_path):
    r, file = check(tmp_path, write() + "echo = = 1;\n")
    assert r.returncode == SYSEXIT_CONFIG
    assert re.search(re.escape(str(file)) + r":\d+: ", r.stderr), r.stderr


def test_check_double_key(tmp_path):
    r, file = check(tmp_path, write() + "workers = 2;\n")
    assert r.returncode == SYSEXIT_CONFIG
    assert f"{file}:" in r.stderr


def test_check_no_file(tmp_path):
    r = run(["-c", str(tmp_path / "none.conf"), "-t"])
    assert r.returncode == SYSEXIT_CONFIG
    assert str(tmp_path / "none.conf") in r.stderr


AUTH_BAD = {
    "no secret": ({}, None),
    "empty secret": ({"secret": ""}, None),
    "short secret": ({"secret": "x" * 31}, None),
    "short for HS512": ({"secret": "x" * 63, "algorithms": ["HS512"]}, None),
    "file missing": ({"secret_file": "none"}, "none"),
    "file empty": ({"secret_file": "empty"}, None),
    "file short": ({"secret_file": "short"}, None),
    "both secrets": ({"secret": "x" * 40, "secret_file": "secret"}, None),
    "unknown algorithm": ({"secret_file": "secret", "algorithms": ["HS1"]}, "HS1"),
    "algorithm none": ({"secret_file": "secret", "algorithms": ["none"]}, "none"),
    "RS without a key": ({"secret_file": "secret", "algorithms": ["RS256"]}, None),
    "no algorithms": ({"secret_file": "secret", "algorithms": []}, "algorithms"),
    "key unreadable": ({"public_key_file": "none.pem", "algorithms": ["RS256"]}, "none.pem"),
    "key not PEM": ({"public_key_file": "short", "algorithms": ["RS256"]}, None),
    "secret is a public key": ({"secret_file": "pem", "algorithms": ["HS256"]}, None),
    "grant": ({"secret_file": "secret", "defaults": {"subscribe": ["a//b"]}}, "subscribe"),
    "grant with double star within": ({"secret_file": "secret", "defaults": {"publish": ["**/a"]}}, "publish"),
}


@pytest.mark.parametrize("name", AUTH_BAD)
def test_check_bad_auth(tmp_path, keys, name):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "short").write_bytes(b"x" * 31 + b"\n")
    (tmp_path / "pem").write_bytes(keys.pem(keys.rsa))
    auth, word = AUTH_BAD[name]
    rest = config.text(config.merge(BASE, {"auth": None}))
    r, file = check(tmp_path, f"// first\nauth = {config.value(auth)};\n{rest}")
    assert r.returncode == SYSEXIT_CONFIG, r
    assert f"{file}:2: " in r.stderr, r.stderr
    if word:
        assert word in r.stderr, r.stderr


def test_check_secret_of_exact_length(tmp_path):
    """Of a file the one last newline does not count."""
    (tmp_path / "k").write_bytes(b"x" * 32 + b"\n")
    r, _ = check(tmp_path, write(auth={"secret_file": "k"}))
    assert r.returncode == 0, r
    (tmp_path / "k").write_bytes(b"x" * 31 + b"\n")
    r, _ = check(tmp_path, write(auth={"secret_file": "k"}))
    assert r.returncode == SYSEXIT_CONFIG


@pytest.mark.parametrize("folder", ["", "{tmp_path}/"], ids=["relative", "absolute"])
def test_check_include(tmp_path, folder):
    (tmp_path / "rest.conf").write_text("echo = true;\nworkers = -5;\n")
    body = config.text(config.merge(BASE, {"echo": None, "workers": None}))
    folder = folder.format(tmp_path=tmp_path)
    r, file = check(tmp_path, body + f'@include "{folder}rest.conf"\n')
    assert r.returncode == SYSEXIT_CONFIG
    assert "rest.conf:2: " in r.stderr, r.stderr
    (tmp_path / "rest.conf").write_text("echo = true;\nworkers = 2;\n")
    r, _ = check(tmp_path, body + f'@include "{folder}rest.conf"\n')
    assert r.returncode == 0, r


@pytest.mark.parametrize("value", ['"30s"', '"10m"', '"1h"', "30"])
def test_check_durations(tmp_path, value):
    r, _ = check(tmp_path, config.text(config.merge(BASE, {"chat": None})) + f"chat = {{ heartbeat = {value}; }};\n")
    assert r.returncode == 0, r


def test_bad_file_starts_nothing(tmp_path):
    d = Daemon(tmp_path / "d", {"workers": -1})
    d.spawn()
    assert d.wait() == SYSEXIT_CONFIG
    assert f"{d.file}:" in d.log()


# -- running ------------------------------------------------------------------------------------------------------


def test_ready_within_a_second(tmp_path):
    d = Daemon(tmp_path / "d")
    before = time.monotonic()
    try:
        d.start()
        assert time.monotonic() - before < 1.0 * SLOW
        r = d.http("GET", "/readyz").ok()
        assert r.json()
        d.stop()
    finally:
        d.kill()


def test_log_names_every_address(start, sockets):
    d = start({"listen": ({"address": "127.0.0.1", "port": 0}, {"address": "127.0.0.1", "port": free_port()},
                          {"unix": str(sockets / "a.sock")})})
    d.wait_log(r"server\.ready")
    log = d.log()
    assert len(set(PORT_RE.findall(log))) == 2, log
    assert "a.sock" in log, log


def test_localhost_is_both_loopbacks(start):
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 loopback here")
    port = free_port()
    d = start({"listen": ({"address": "localhost", "port": port},)})
    for address in (("127.0.0.1", port), ("::1", port)):
        with rawclient.Conn(address) as c:
            assert c.request("GET", "/healthz").status == 200
    assert d.alive()


def test_unix_listener(start, sockets):
    path = sockets / "a.sock"
    d = start({"listen": ({"address": "127.0.0.1", "port": 0}, {"unix": str(path), "mode": "0640"})})
    info = path.stat()
    assert stat.S_ISSOCK(info.st_mode) and stat.S_IMODE(info.st_mode) == 0o640
    with rawclient.Conn(str(path)) as c:
        assert c.request("GET", "/healthz").status == 200
    d.stop()
    assert not path.exists(), "the socket file outlived the daemon"


def test_unix_listener_stale_file(start, sockets):
    """A socket file that nobody listens on is taken over."""
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(sockets / "a.sock"))
    start({"listen": ({"address": "127.0.0.1", "port": 0}, {"unix": str(sockets / "a.sock")})})
    with rawclient.Conn(str(sockets / "a.sock")) as c:
        assert c.request("GET", "/healthz").status == 200


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def test_busy_port(start, tmp_path):
    first = start()
    d = Daemon(tmp_path / "second", {"listen": ({"address": "127.0.0.1", "port": first.port},)})
    d.spawn()
    status = d.wait()
    assert status not in (0, SYSEXIT_CONFIG), status
    assert str(first.port) in d.log() and "in use" in d.log(), d.log()
    assert first.http("GET", "/healthz").status == 200


def test_busy_port_of_an_included_file(start, tmp_path):
    first = start()
    (tmp_path / "listen.conf").write_text(f'\n\nlisten = ( {{ address = "127.0.0.1"; port = {first.port}; }} );\n')
    d = Daemon(tmp_path / "second")
    d.write(f'@include "{tmp_path}/listen.conf"\n' + config.text(config.merge(d.conf, {"listen": None})))
    d.spawn()
    assert d.wait() == 69
    assert f"{tmp_path}/listen.conf:3: cannot listen" in d.log(), d.log()


def test_foreground_and_stderr(start):
    d = start()
    assert d.alive() and d.log()


def test_log_json(start):
    import json

    d = start({"logging": {"level": "info", "format": "json"}})
    d.http("GET", "/healthz")
    d.stop()
    assert d.lines
    for line in d.lines:
        assert isinstance(json.loads(line), dict), line


def test_log_level(start):
    d = start({"logging": {"level": "info"}})
    assert "debug" not in d.log().lower()


def test_secret_inline(start):
    d = start({"auth": {"secret": tokens.SECRET.decode(), "secret_file": None}})
    assert d.http("GET", "/token", token=d.token("ada")).ok().json()["user"]["id"] == "ada"


def test_paths_are_relative_to_the_file(start, tmp_path):
    """The working directory does not matter: BASE's secret_file is relative."""
    d = start()
    assert os.getcwd() != str(d.folder)
    assert d.http("GET", "/token", token=d.token("ada")).json()["user"]


def test_health_needs_no_token(start):
    d = start()
    for path in ("/healthz", "/readyz"):
        r = d.http("GET", path).ok()
        assert isinstance(r.json(), dict)
    assert d.http("GET", "/metrics").ok().text().startswith("#")


def test_descriptor_limit_lowers_connections(start, tmp_path):
    """limits.connections above what descriptors allow is lowered, with a warning."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY or hard > 3000000:
        pytest.skip("descriptors without end")
    d = start({"limits": {"connections": min(hard + 1000, 4000000)}})
    d.wait_log(r"(?i)connections")


def test_too_few_descriptors(start):
    """Where it cannot even start it says so, and what it takes."""
    d = start({"workers": 2})
    r = subprocess.run(["sh", "-c", 'ulimit -n 30; exec "$0" -c "$1"', BELFRYD, str(d.file)], capture_output=True, text=True, timeout=10 * SLOW)
    assert r.returncode == 71 and "only 30 files may be open" in r.stderr and "it takes 40" in r.stderr, r


# -- reload ---------------------------------------------------------------------------------------------------------


def reload(d):
    since = len(d.lines)
    d.signal(signal.SIGHUP)
    return since


def test_reload_keys_keeps_connections(start):
    d = start()
    old = d.token("ada")
    ws = d.ws(token=old)
    other = b"another-secret-another-secret-another-secret"
    (d.folder / "secret").write_bytes(other)
    since = reload(d)
    d.wait_log(r"(?i)reload", since=since)
    fresh = tokens.make("bob", key=other, everything=True)
    end = time.monotonic() + WAIT
    while d.http("GET", "/token", token=fresh).status != 200:
        assert time.monotonic() < end, "the new key was not taken"
        time.sleep(0.02)
    d.http("GET", "/events?topic=x", token=old).problem(401, "invalid_token")
    ws.ok("join", "joined", room=mark("r"))
    ws.say("still here")


def test_reload_limits(start):
    d = start()
    ws = d.ws()
    ws.ok("join", "joined", room="big")
    ws.say("x" * 2000)
    d.configure({"limits": {"message": "1K"}})
    since = reload(d)
    d.wait_log(r"(?i)reload", since=since)
    end = time.monotonic() + WAIT
    while True:
        r = d.http("POST", "/publish/a", body="x" * 2000, token=d.token())
        if r.status == 413:
            break
        assert time.monotonic() < end, r
        time.sleep(0.02)
    assert r.problem(413, "too_large")["limit"] == "limits.message"
    ws.sync()


def test_reload_topics(start, topic):
    d = start()
    d.configure({"topics": ({"match": "quiet/**", "history": 0}, {"match": "**", "history": 5})})
    since = reload(d)
    d.wait_log(r"(?i)reload", since=since)
    end = time.monotonic() + WAIT
    while "id" in d.publish("quiet/x", "hello"):
        assert time.monotonic() < end
        time.sleep(0.02)
    for i in range(8):
        d.publish(topic, str(i))
    r = d.http("GET", f"/history?topic={topic}", token=d.token()).ok().json()
    assert [m["message"] for m in r["messages"]] == ["3", "4", "5", "6", "7"]


def test_reload_bad_file_keeps_the_old(start):
    d = start()
    ws = d.ws()
    good = d.file.read_text()
    d.write(good.replace("echo = true", "echo = 7"))
    since = reload(d)
    d.wait_log(re.escape(str(d.file)) + r":\d+: .*echo", since=since)
    assert d.alive()
    ws.sync()
    d.ws("/echo", token=d.token()).drop()


def test_reload_names_what_needs_a_restart(start):
    d = start()
    d.configure({"workers": 2})
    since = reload(d)
    d.wait_log(r"workers.*restart|restart.*workers", since=since)


def test_reload_logging(start):
    d = start({"logging": {"level": "info"}})
    d.configure({"logging": {"level": "debug"}})
    since = reload(d)
    d.wait_log(r"(?i)reload", since=since)
    assert d.alive()


def test_reload_while_it_starts(tmp_path):
    """It waits, and ends nothing."""
    d = Daemon(tmp_path / "d", {"storage": {"backend": "sqlite", "path": "belfry.db"}})
    try:
        d.spawn()
        status = pathlib.Path(f"/proc/{d.process.pid}/status")
        end = time.monotonic() + WAIT
        while not int(re.search(r"SigBlk:\s+(\w+)", status.read_text())[1], 16) & 1 and "server." not in d.log():
            assert time.monotonic() < end
        d.signal(signal.SIGHUP)
        d.wait_log(r"server\.reload result=ok")
        d.stop()
    finally:
        d.kill()


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_user_signals_mean_nothing(start, number):
    """Whoever is used to logs that are opened anew with them does no harm."""
    d = start()
    d.signal(number)
    d.ws().sync()
    assert d.alive()


# -- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_ends_at_once(start, number):
    d = start()
    before = time.monotonic()
    d.signal(number)
    assert d.wait() == 0
    assert time.monotonic() - before < 2 * SLOW


@pytest.mark.parametrize("workers", [1, 3])
def test_drain(start, workers, room):
    """`closing` with retries spread over the drain, 1001, streams ended properly, exit 0 in time."""
    d = start({"workers": workers, "limits": {"drain": "3s"}})
    sockets = [d.join(room, sub=f"u{i}") for i in range(12)]
    streams = [d.sse(topic=f"a/{i}") for i in range(4)]
    for s in streams:
        s.block()
    texts = [d.ws(format="text", room=room) for _ in range(2)]
    before = time.monotonic()
    d.signal(signal.SIGTERM)
    retries = []
    for ws in sockets:
        m = ws.expect("closing", timeout=4 * SLOW)
        assert m["reason"], m
        retries.append(m["retry"])
        ws.expect_close(1001, timeout=4 * SLOW)
    for s in streams:
        ev = s.until("closing", timeout=4 * SLOW)
        assert ev.json()["reason"]
        assert any(b.retry is not None for b in s.blocks[1:]), s.blocks
        while s.block(4 * SLOW) is not None:
            pass
    for ws in texts:
        assert any(isinstance(line, str) and line.startswith("* closing: ") for line in text_until_close(ws))
    assert all(isinstance(x, int) and 0 <= x <= 60000 for x in retries), retries
    assert len(set(retries)) > 6, f"not spread: {retries}"
    assert d.wait() == 0
    assert time.monotonic() - before < (3 + 1.5) * SLOW


def text_until_close(ws):
    lines = []
    while True:
        m = ws.recv_message()
        if isinstance(m, rawclient.Frame):
            assert m.code == 1001, m
            return lines
        lines.append(m[1].decode())


def test_drain_answers_what_was_asked(start, topic):
    """What was published before the signal is acknowledged and delivered."""
    d = start()
    s = d.sse(topic=topic)
    s.block()
    ids = d.publish_many(topic, [f"n{i}" for i in range(50)])
    d.signal(signal.SIGTERM)
    got = [int(e.id) for e in s.end(timeout=6 * SLOW) if e.name == "notification"]
    assert got == ids
    assert d.wait() == 0


def test_drain_refuses_new_ones(start):
    """A connection that stays open holds the drain; meanwhile the daemon is not ready."""
    d = start({"limits": {"drain": "3s"}})
    keep = d.conn()
    keep.request("GET", "/healthz").ok()
    stuck = d.conn()
    stuck.send("POST /publish/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nAuthorization: Bearer "
               f"{d.token()}\r\n\r\nabc")
    d.http("GET", "/healthz").ok()
    d.signal(signal.SIGTERM)
    d.wait_log(r"(?i)drain|SIGTERM|terminat|shut")
    try:
        r = keep.request("GET", "/readyz")
        assert r.status == 503, r
    except (rawclient.Eof, OSError):
        pass  # an idle connection may be closed as well
    assert d.wait(6 * SLOW) == 0


def test_second_signal_ends_at_once(start):
    d = start({"limits": {"drain": "60s"}})
    ws = d.ws()
    stuck = d.conn()
    stuck.send("POST /publish/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\nAuthorization: Bearer "
               f"{d.token()}\r\n\r\nabc")
    d.http("GET", "/healthz").ok()
    d.signal(signal.SIGTERM)
    ws.expect("closing", timeout=60)
    before = time.monotonic()
    d.signal(signal.SIGTERM)
    d.wait()
    assert time.monotonic() - before < 2 * SLOW
    d.process = None


def test_drain_with_a_reader_that_does_not_read(start, topic):
    d = start({"limits": {"drain": "2s"}})
    s = d.sse(topic=topic, rcvbuf=4096)
    token = d.token()
    body = "x" * 60000
    with d.conn() as c:
        for _ in range(60):
            c.request("POST", f"/publish/{topic}", {"Authorization": f"Bearer {token}"}, body).ok()
    before = time.monotonic()
    d.signal(signal.SIGTERM)
    assert d.wait(5 * SLOW) == 0
    assert time.monotonic() - before < 3.5 * SLOW
    s.close()


def test_client_reset_and_pipe(start, room):
    """Peers that vanish in every way end nothing but themselves."""
    d = start({"workers": 2})
    for i in range(10):
        ws = d.ws(room=room, sub=f"u{i}")
        if i % 2:
            ws.conn.reset()
        else:
            ws.drop()
        s = d.sse(topic="a")
        s.conn.reset()
    ws = d.join(room)
    ws.say("hello")
    assert d.alive()


def test_feeds(start):
    """The daemon's own figures, event `stats`, live and without ids."""
    d = start({"feeds": ({"topic": "server/stats", "every": "1s"},)})
    s = d.sse(topic="server/stats")
    ev = s.until("stats", timeout=4 * SLOW)
    assert ev.id is None
    assert isinstance(ev.json(), dict)
    ws = d.ws()
    ws.ok("subscribe", "subscribed", topic="server/stats")
    m = ws.expect("event", timeout=4 * SLOW, topic="server/stats")
    assert m["event"] == "stats" and isinstance(m["data"], dict) and "id" not in m


def test_nobody_publishes_under_server(start):
    d = start()
    d.http("POST", "/publish/server/x", body="hello", token=d.token()).problem(403)


def test_local_peer_name(start, sockets):
    """The peer of a local socket is local:<user name>, by the kernel's word."""
    me = pwd.getpwuid(os.getuid()).pw_name
    d = start({"listen": ({"address": "127.0.0.1", "port": 0}, {"unix": str(sockets / "a.sock"), "allow_users": [me]})})
    assert d.alive()
    with rawclient.Conn(str(sockets / "a.sock")) as c:
        r = c.request("GET", "/token").ok().json()
    assert r["user"]["id"] == f"local:{me}", r


def test_two_daemons_beside_each_other(start):
    a, b = start(), start()
    assert a.port != b.port
    t = mark("x")
    a.publish(t, "only there")
    assert b.http("GET", f"/history?topic={t}", token=b.token()).json()["messages"] == []


def test_start_stop_quickly(tmp_path):
    """SIGTERM right at the start ends it cleanly too."""
    d = Daemon(tmp_path / "d")
    d.spawn()
    d.wait_log(PORT_RE)
    d.signal(signal.SIGTERM)
    assert d.wait() == 0


def test_many_threads_of_requests(start):
    """Plain requests from several threads at once, none lost."""
    d = start({"workers": 3})
    failures = []

    def go():
        try:
            with d.conn() as c:
                for _ in range(100):
                    assert c.request("GET", "/healthz").status == 200
        except Exception as e:  # noqa: BLE001
            failures.append(e)

    threads = [threading.Thread(target=go) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures, failures[0]


def test_restart_is_a_gap(start, room):
    """With the memory store a restart loses the log: every resume is told so; ids start above the old ones."""
    d = start()
    topic = mark("t")
    old = d.publish(topic, "before")["id"]
    chat = d.publish(f"chat/{room}", "before")["id"]
    d.stop()
    d.lines.clear()
    d.start()
    ws = d.ws(sub="a")
    assert ws.ok("join", "joined", room=room, after=chat)["resumed"] is False
    g = ws.expect("gap")
    assert (g["room"], g["after"], g["oldest"], g["reason"]) == (room, chat, None, "outside")
    s = d.sse(topic=topic, headers={"Last-Event-ID": str(old)})
    ev = s.next()
    assert ev.name == "gap" and ev.json()["reason"] == "outside" and ev.json()["oldest"] is None
    new = d.publish(topic, "after")["id"]
    assert new > chat and int(s.next().id) == new
    again = d.sse(topic=topic, headers={"Last-Event-ID": ev.id})
    assert int(again.next().id) == new, "the gap's own id is a good position"


def test_id_is_kept_over_workers(start):
    """Ids come from one log, whichever worker takes the message."""
    d = start({"workers": 3})
    topic = mark("t")
    ids = [d.publish(topic, str(i))["id"] for i in range(12)]
    assert ids == sorted(set(ids))
