"""belfryctl chat: in pipes, on a terminal, and over the daemon's sudden death."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import termios
import time

import pytest
from support import WAIT
from support.daemon import BELFRYCTL, ctl, mark

CONF = {"topics": ({"match": "chat/plain-*", "history": 0, "presence": True}, {"match": "chat/*", "history": 1000, "presence": True})}
USAGE, DATAERR, UNAVAILABLE, NOPERM, TEMPFAIL = 64, 65, 69, 77, 75
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def here(d, sub="ada", **how):
    return {"BELFRY_URL": d.url, "BELFRY_TOKEN": token(d, sub, **how)}


def token(d, sub="ada", **how):
    """For all topics and everybody, unless told otherwise."""
    how = how or {"everything": True, "direct": ["*"]}
    return d.token(sub, name=sub.title(), **how)


def chat(d, room, text, *args, sub="ada", **how):
    return ctl("chat", *args, room, env=here(d, sub, **how), input=text)


def said(d, room):
    return d.http("GET", f"/history?topic=chat/{room}&limit=1000", token=d.token()).ok().json()["messages"]


class Talk:
    """A chat that goes on, on pipes or on a terminal of its own."""

    def __init__(self, d, room, *args, sub="ada", terminal=False, env=None):
        full = {k: v for k, v in os.environ.items() if not k.startswith("BELFRY_") and k != "NO_COLOR"}
        full.update({"TERM": "xterm", **here(d, sub), **(env or {})})
        self.seen = ""
        command = [BELFRYCTL, "chat", *args, room]
        if terminal:
            self.fd, end = pty.openpty()
            self.size(60)
            self.before = termios.tcgetattr(self.fd)
            self.p = subprocess.Popen(command, stdin=end, stdout=end, stderr=end, env=full, start_new_session=True,
                                      preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
            os.close(end)
        else:
            self.p = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=full)
            self.fd = self.p.stdout.fileno()

    def size(self, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def say(self, text):
        data = text.encode()
        if self.p.stdin:
            self.p.stdin.write(data)
            self.p.stdin.flush()
        else:
            os.write(self.fd, data)

    def until(self, pattern, timeout=3 * WAIT):
        """What comes up to the pattern, which it holds; the rest is kept for later."""
        end = time.monotonic() + timeout
        while not (m := re.search(pattern, self.seen)):
            left = end - time.monotonic()
            assert left > 0 and select.select([self.fd], [], [], left)[0], f"no {pattern!r} in {self.seen!r}"
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            assert data, f"ended ({self.p.wait()}) without {pattern!r}: {self.seen!r}"
            self.seen += data.decode()
        got, self.seen = self.seen[:m.end()], self.seen[m.end():]
        return got

    def rest(self):
        """All that comes up to its end, and its exit status."""
        while select.select([self.fd], [], [], 3 * WAIT)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                break
            if not data:
                break
            self.seen += data.decode()
        return self.seen, self.p.wait(WAIT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.p.poll() is None:
            self.p.kill()
        self.p.wait(WAIT)
        for pipe in (self.p.stdin, self.p.stdout):
            if pipe:
                try:
                    pipe.close()
                except OSError:
                    pass
        if not self.p.stdout:
            os.close(self.fd)


# -- pipes -----------------------------------------------------------------------------------------------------------------


def test_lines_of_a_pipe_are_said_in_order(daemon, room):
    text = [f"line {i}" for i in range(50)] + ["//slash", "  indented", "ünïcode 🎉"]
    r = chat(daemon, room, "\n".join(text))  # the last one without its end
    assert r.returncode == 0, r
    want = ["/slash" if x == "//slash" else x for x in text]
    assert [m["content"] for m in said(daemon, room)] == want
    assert len({m["key"] for m in said(daemon, room)}) == len(text)
    shown = [x.split("> ", 1)[1] for x in r.stdout.splitlines() if "<Ada>" in x]
    assert shown == want  # each shows when it is acknowledged


def test_stored_messages_come_first(daemon, room):
    daemon.publish_many(f"chat/{room}", [f"m{i}" for i in range(30)])
    r = chat(daemon, room, "", "--last", "5")
    assert r.returncode == 0, r
    assert re.findall(r"> (m\d+)", r.stdout) == [f"m{i}" for i in range(25, 30)]
    assert "\x1b" not in r.stdout
    assert len(re.findall(r"> (m\d+)", chat(daemon, room, "").stdout)) == 20
    assert re.findall(r"> (m\d+)", chat(daemon, room, "/history 3\n", "--last", "2").stdout) == ["m28", "m29", "m25", "m26", "m27"]


def test_commands_in_a_pipe(daemon, room):
    with daemon.join(room, sub="bob", name="Bob Best") as bob:
        bob.ok("chat", "ack", room=room, content="question")
        bob.ok("subscribe", "subscribed", topic="user/bob")
        r = chat(daemon, room, "/reply @Bob Best answer\n/edit better answer\n/react 👍\n/unreact 👍\nwrong\n/delete\n/names\n/rooms\n/msg Bob Best psst\n"
                 "/help\n/quit\nnever\n")
        assert r.returncode == 0, r
        question, answer, wrong = said(daemon, room)
        assert (answer["content"], answer["reply_to"]) == ("better answer", question["id"])
        assert wrong.get("deleted") and not question.get("reactions")
        assert bob.expect("direct")["content"] == "psst"
    assert "[re Bob Best: question] answer" in r.stdout and f"{room}, 2 here" in r.stdout and "(to Bob Best) psst" in r.stdout
    assert "never" not in r.stdout


def test_json(daemon, room):
    r = chat(daemon, room, "hi\n/names\n", "--json")
    assert r.returncode == 0, r
    got = [json.loads(x) for x in r.stdout.splitlines()]
    types = [m["type"] for m in got]
    assert types[0] == "welcome" and types[1] == "joined" and "ack" in types and "members" in types and types[-1] == "left"


def test_own_room_without_history(daemon):
    room = mark("plain")
    r = chat(daemon, room, "one\ntwo\n")
    assert r.returncode == 0, r
    assert re.findall(r"<Ada> (\w+)", r.stdout) == ["one", "two"]


@pytest.mark.parametrize("args, code", [(["chat"], USAGE), (["chat", "a/b"], USAGE), (["chat", "a", "b"], USAGE), (["chat", "--last", "x", "a"], USAGE),
                                        (["chat", "--last", "1001", "a"], USAGE)])
def test_usage(daemon, args, code):
    r = ctl(*args, env=here(daemon), input="")
    assert r.returncode == code and r.stderr, r


def test_refusals_have_exit_codes(daemon, room):
    assert ctl("chat", room, env={"BELFRY_URL": daemon.url, "BELFRY_TOKEN": "rubbish"}, input="").returncode == NOPERM
    assert ctl("chat", room, env={"BELFRY_URL": "http://127.0.0.1:1", "BELFRY_TOKEN": daemon.token()}, input="").returncode == UNAVAILABLE
    r = chat(daemon, room, "", subscribe=["chat/other"])
    assert r.returncode == NOPERM and "chat/" in r.stderr, r
    r = chat(daemon, room, "not allowed\n", subscribe=["chat/*"], publish=[])
    assert r.returncode == NOPERM and "not allowed" in r.stderr, r
    r = chat(daemon, room, "x" * 70000 + "\nfine\n")
    assert [m["content"] for m in said(daemon, room)][-1] == "fine" and r.returncode == DATAERR, r
    r = subprocess.run([BELFRYCTL, "chat", room], input=b"b\xff\nok\n", capture_output=True, env={**os.environ, **here(daemon)}, timeout=3 * WAIT)
    assert r.returncode == DATAERR and said(daemon, room)[-1]["content"] == "ok", r


def test_too_fast_is_put_off(start, room):
    d = start({"limits": {"messages_per_second": 10, "burst": 3}})
    r = chat(d, room, "".join(f"{i}\n" for i in range(8)))
    assert r.returncode == 0, r
    assert [m["content"] for m in said(d, room)] == [str(i) for i in range(8)]


def test_local_socket(start, sockets, room):
    d = start({"listen": ({"address": "127.0.0.1", "port": 0}, {"unix": str(sockets / "s"), "allow_users": [os.environ.get("USER") or "root"]})})
    d.conf["listen"] = d.conf["listen"][1:]
    d.write()
    r = ctl("chat", "-c", str(d.file), room, input="over a socket\n")
    assert r.returncode == 0, r
    assert said(d, room)[0]["content"] == "over a socket"


# -- escape injection ------------------------------------------------------------------------------------------------------

EVIL = "a\x1b]0;owned\x07b\x1b[2Jc\u202etxt\u2066\u009b31m\r* Eve left\n<Eve> fake"


@pytest.mark.parametrize("terminal", [False, True])
def test_nothing_drives_the_terminal(daemon, room, terminal):
    with daemon.join(room, sub="eve", name="Eve\u202e") as eve, Talk(daemon, room, terminal=terminal, env={"NO_COLOR": "1"}) as ada:
        ada.until("here")
        eve.ok("chat", "ack", room=room, content=EVIL)
        eve.ok("chat", "ack", room=room, data={"x": EVIL})
        eve.ok("chat", "ack", room=room, content="the end")
        eve.ok("react", "ack", room=room, target=said(daemon, room)[0]["id"], emoji="👍")
        got = ada.until("reacted[^\n]*\n")
    got = got.replace("\r\x1b[K", "").replace("\x1b[?2004h", "")  # its own
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", got), got
    assert "a^[]0;owned^Gb^[[2Jc<U+202E>txt<U+2066><U+009B>31m*Eveleft" in re.sub(r"\s", "", got)
    assert not re.search("^<Eve> fake|^\\* Eve left", got, re.M)  # nobody speaks for another


# -- a terminal ------------------------------------------------------------------------------------------------------------


def test_terminal_keeps_the_line_that_is_typed(daemon, room):
    with daemon.join(room, sub="bob", name="Bob") as bob, Talk(daemon, room, terminal=True) as ada:
        ada.until(re.escape(room[:10]) + ".*> $")
        ada.say("half a li")
        ada.until("half a li$")
        bob.ok("chat", "ack", room=room, content="words " * 30)
        got = COLOUR.sub("", ada.until("(?s)words.*half a li$"))  # not at an earlier drawing of it
        lines = got.replace("\r\x1b[K", "\r\n").split("\r\n")
        assert lines[-1].endswith("> half a li")
        text = [x for x in lines if "words" in x]
        assert len(text) > 2 and all(len(x.rstrip()) <= 60 for x in text) and all(x.startswith("      words") for x in text[1:])
        ada.say("ne\x7f\x1b[D.\r")
        ada.until("Ada\x1b\\[0m> half a li.n")
        assert bob.expect("chat")["content"] == "half a li.n"
        ada.say("\x1b")  # half a key holds nothing up
        bob.ok("chat", "ack", room=room, content="still here")
        ada.until("still here")
        ada.size(40)
        ada.p.send_signal(signal.SIGWINCH)
        ada.say("\x15/help\r")
        ada.until("/quit")
        assert termios.tcgetattr(ada.fd)[3] & termios.ICANON == 0
        ada.say("\x04")
        assert ada.rest()[1] == 0
        assert termios.tcgetattr(ada.fd) == ada.before  # given back as it was
        assert bob.expect("user_left")["user"]["name"] == "Ada"


def test_refused_line_stands_there_again(daemon, room):
    with daemon.ws(token=daemon.token("boss", role="admin", everything=True)) as boss, \
            Talk(daemon, room, terminal=True) as ada:
        ada.until("here")
        boss.ok("mute", "ack", room=room, user="ada", seconds=60, reason="loud")
        ada.say("my words\r")
        ada.until("muted in this room")
        ada.until("> my words$")
        boss.ok("unmute", "ack", room=room, user="ada")
        ada.say("\r")
        ada.until("Ada\x1b\\[0m> my words")
        boss.ok("kick", "ack", room=room, user="ada", reason="enough")
        text, status = ada.rest()
        assert status == NOPERM and "enough" in text


@pytest.mark.parametrize("args, env, coloured", [((), {}, True), (("--no-color",), {}, False), ((), {"NO_COLOR": "1"}, False), ((), {"TERM": "dumb"}, False)])
def test_colours(daemon, room, args, env, coloured):
    daemon.publish(f"chat/{room}", "hello")
    with Talk(daemon, room, *args, terminal=True, env=env) as ada:
        assert bool(COLOUR.search(ada.until("hello"))) == coloured


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_politely(daemon, room, number):
    with daemon.join(room, sub="bob") as bob, Talk(daemon, room, terminal=True) as ada:
        ada.until("2 here")
        ada.say("not sent")
        ada.p.send_signal(number)
        assert ada.rest()[1] == 0
        assert bob.expect("user_left")["user"]["id"] == "ada"
        assert termios.tcgetattr(ada.fd) == ada.before


def test_stop_and_continue(daemon, room):
    with Talk(daemon, room, terminal=True) as ada:
        ada.until("here")
        ada.say("\x1a")
        end = time.monotonic() + 3 * WAIT
        while open(f"/proc/{ada.p.pid}/stat").read().rsplit(")", 1)[1].split()[0] != "T":
            assert time.monotonic() < end
            time.sleep(0.02)
        assert termios.tcgetattr(ada.fd)[3] & termios.ICANON
        ada.p.send_signal(signal.SIGCONT)
        ada.say("back\r")
        ada.until("Ada\x1b\\[0m> back")


def test_room_change_and_directs(daemon, room):
    other = mark("other")
    with daemon.ws(token=token(daemon, "bob")) as bob, Talk(daemon, room) as ada:
        bob.ok("join", "joined", room=other)
        ada.until("here")
        ada.say(f"/join {other}\nhi there\n")
        ada.until("<Ada> hi there")
        assert bob.expect("chat")["room"] == other
        bob.ok("direct", "ack", to="ada", content="psst")
        ada.until("<Bob> \\(to you\\) psst")
        end = time.monotonic() + 3 * WAIT
        while any(r["count"] for r in bob.ok("rooms", "rooms")["rooms"] if r["room"] == room):  # the other one is left
            assert time.monotonic() < end
        ada.p.stdin.close()
        assert ada.p.wait(3 * WAIT) == 0


# -- over the daemon's end -------------------------------------------------------------------------------------------------


def test_killed_in_mid_conversation(start, room):
    """Two people talk while the daemon is killed: each line is there once, on both screens, in one order."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    d = start({"listen": ({"address": "127.0.0.1", "port": port},), "storage": {"backend": "sqlite", "path": "db"}})
    with Talk(d, room) as ada, Talk(d, room, sub="bob") as bob:
        ada.until("Bob joined|2 here")
        bob.until("2 here|Ada joined|here")
        for i in range(3):
            ada.say("".join(f"a{i}.{k}\n" for k in range(10)))
            bob.say(f"b{i}\n")
            ada.until(f"<Ada> a{i}\\.4")
            d.kill()
            ada.say(f"while away {i}\n")
            d.lines.clear()
            d.start()
            ada.until(f"<Ada> while away {i}", 40)
        ada.p.stdin.close()
        bob.say("last\n")
        bob.p.stdin.close()
        ada_saw, status = ada.rest()
        assert status == 0, ada_saw
        assert bob.rest()[1] == 0
        want = [m["content"] for m in said(d, room)]
        assert sorted(want) == sorted([f"a{i}.{k}" for i in range(3) for k in range(10)] + [f"while away {i}" for i in range(3)] + ["b0", "b1", "b2", "last"])
        assert [x for x in want if x.startswith("a")] == [f"a{i}.{k}" for i in range(3) for k in range(10)]
        got = re.findall(r"<(?:Ada|Bob)> (.*)", bob.seen)
        assert got == [x for x in want if x in got] and len(set(got)) == len(got)  # nothing twice, in the log's order
        assert set(want) - set(got) == set() or "gap" in bob.seen


def test_gap_is_told(start, room):
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    d = start({"listen": ({"address": "127.0.0.1", "port": port},)})
    with Talk(d, room) as ada:
        ada.until("here")
        ada.say("before\n")
        ada.until("<Ada> before")
        d.stop()
        d.lines.clear()
        d.start()  # in memory: the log is another one
        ada.until("gap: ", 40)
        ada.say("after\n")
        ada.until("<Ada> after")
