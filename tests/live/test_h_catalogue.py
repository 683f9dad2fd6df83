"""H: the catalogue of HTTP requests, each answered as the RFCs and docs/wire.md want it. What cannot be a table is written out below it."""

import email.utils
import json
import re
import select
import socket
import time

import pytest

from catalogue import files, framing, heads, resources
from support import WAIT, tokens

CONF = {
    "cors": {"allow_origins": ["https://ok.example", "https://*.wild.example"]},
    "auth": {"guests": True, "guest_tokens_per_minute": 0},
    "web": {"root": "web"},
    "limits": {"body": "20K", "message": "4K"},
}
CODES = {
    "bad_json": 400, "bad_field": 400, "unknown_type": 400, "bad_request": 400, "invalid_request": 400, "unauthorized": 401, "invalid_token": 401,
    "forbidden": 403, "insufficient_scope": 403, "not_joined": 403, "muted": 403, "banned": 403, "not_found": 404, "method_not_allowed": 405, "timeout": 408,
    "conflict": 409, "too_large": 413, "unsupported_media": 415, "misdirected": 421, "upgrade_required": 426, "rate_limited": 429, "too_many": 429,
    "internal": 500, "not_implemented": 501, "unavailable": 503}
FINER = {412, 414, 417, 431, 505}  # statuses of HTTP's own that share a code
PROBE = b"OPTIONS /healthz?probe HTTP/1.1\r\nHost: localhost\r\n\r\n"
TABLES = {"framing": framing.CASES, "heads": heads.CASES, "resources": resources.CASES, "files": files.CASES}


def prepare(folder):
    files.make_root(folder)


class Answer:
    def __init__(self, status, reason, fields, head):
        self.status, self.reason, self.fields, self.head, self.body = status, reason, fields, head, b""

    def all(self, name):
        return [v for n, v in self.fields if n.lower() == name.lower()]

    def get(self, name):
        found = self.all(name)
        return ", ".join(found) if found else None


class Wire:
    """One connection that reads answers strictly."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, WAIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data = b""
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data, size=None):
        try:
            for i in range(0, len(data), size or len(data)):
                self.socket.sendall(data[i:i + size] if size else data)
        except (ConnectionResetError, BrokenPipeError):
            pass  # what it answered is still to be read

    def more(self):
        try:
            piece = self.socket.recv(1 << 20)
        except ConnectionResetError:
            piece = b""
        self.ended = not piece
        self.data += piece
        return bool(piece)

    def answer(self, is_head=False):
        while b"\r\n\r\n" not in self.data:
            if not self.more():
                raise AssertionError(f"the connection ended without an answer, after {self.data[:200]!r}")
        head, _, self.data = self.data.partition(b"\r\n\r\n")
        lines = head.decode("utf-8").split("\r\n")
        assert not re.search(r"[\r\n\0]", "".join(lines)), head
        m = re.fullmatch(r"HTTP/1\.1 ([1-5]\d\d) (\S.*)", lines[0])
        assert m, f"status line {lines[0]!r}"
        fields = []
        for text in lines[1:]:
            f = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*", text)
            assert f, f"header line {text!r}"
            fields.append((f[1], f[2]))
        a = Answer(int(m[1]), m[2], fields, head)
        lengths = a.all("Content-Length")
        assert len(lengths) <= 1 and not a.all("Transfer-Encoding"), head
        if a.status < 200 or a.status in (204, 304) or is_head:
            assert not (a.status < 205 and lengths and a.status != 200), head  # RFC 9110 8.6
            return a
        if lengths:
            while len(self.data) < int(lengths[0]) and self.more():
                pass
            a.body, self.data = self.data[:int(lengths[0])], self.data[int(lengths[0]):]
            assert len(a.body) == int(lengths[0]), "the content is cut"
        else:
            assert a.get("Connection") == "close", head
            while self.more():
                pass
            a.body, self.data = self.data, b""
        return a


def check_problem(a, code):
    assert a.get("Content-Type") == "application/problem+json", a.head
    p = json.loads(a.body)
    assert {"type", "title", "status", "detail", "code"} <= set(p), p
    assert p["status"] == a.status and p["detail"], p
    assert (p["type"], p["title"]) == ("about:blank", a.reason), p  # RFC 9457 4.2.1
    assert p["code"] in CODES, p
    assert CODES[p["code"]] == a.status or a.status in FINER, p
    assert not code or p["code"] == code, p
    if a.status in (413, 414, 429, 431, 408) or (a.status == 503 and "limit" in p):
        assert re.fullmatch(r"(limits|auth)\.\w+", p["limit"]), p


def check_any(a, code, is_head):
    """What holds for every answer."""
    names = [n.lower() for n, _ in a.fields]
    assert len(a.all("Date")) == 1 and email.utils.parsedate_to_datetime(a.get("Date")), a.head
    assert abs(email.utils.parsedate_to_datetime(a.get("Date")).timestamp() - time.time()) < 60 + WAIT, a.head
    assert re.fullmatch(r"[0-9a-f]{16}", a.get("X-Request-Id") or ""), a.head
    assert a.get("X-Content-Type-Options") == "nosniff", a.head
    assert not [n for n in set(names) - {"vary", "connection"} if names.count(n) > 1], a.head
    assert not a.get("Server") or not re.search(r"\d", a.get("Server")), a.head
    if a.status >= 400 and not is_head:
        if a.get("Content-Type") == "application/json":  # POST /chat/{session} answers in the words of a chat
            assert json.loads(a.body)["type"] == "error", a.body
        else:
            check_problem(a, code)
    if a.status >= 400:
        assert a.get("Cache-Control") == "no-store", a.head
    wanted = {401: "WWW-Authenticate", 405: "Allow", 426: "Upgrade", 429: "Retry-After", 503: "Retry-After"}.get(a.status)
    assert not wanted or a.get(wanted), a.head


def is_head_at(request, i):
    """Whether the i-th request of a case asks by HEAD; a malformed line's method counts for nothing."""
    methods = re.findall(r"(?m)^[\r\n]*([!-~]+) \S+ HTTP/1\.\d\r$", request)
    return i < len(methods) and methods[i] == "HEAD"


def to_bytes(text, words):
    text = text.replace("\n", "\r\n").replace("␊", "\n").replace("␍", "\r").replace("␀", "\0")
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def fits(value, want):
    return value == want if want is None or isinstance(want, str) else value is not None and want.search(value) is not None


def run_case(address, words, request, want, fields=None, pieces=False):
    request = to_bytes(request, words)
    ends = want.endswith(" x")
    answers = want.removesuffix(" x").split(" | ")
    with Wire(address) as w:
        w.send(request.encode("latin-1") + PROBE, 7 if pieces and len(request) < 2000 else None)
        for i, one in enumerate(answers):
            statuses, _, code = one.partition(" ")
            is_head = is_head_at(request, i)
            a = w.answer(is_head)
            assert str(a.status) in statuses.split("/"), f"{a.status} {a.body[:300]!r}, not {one}"
            check_any(a, code, is_head)
            is_last = i == len(answers) - 1
            told = "close" in (a.get("Connection") or "").lower()
            assert told == (ends and is_last), f"{a.status} {a.body[:300]!r}; the connection {'ends' if told else 'goes on'}"
        for name, value in (fields or {}).items():
            assert fits(a.get(name), value), f"{name}: {a.get(name)!r}, not {value!r}"
        assert b"SECRET" not in a.body and b"root:" not in a.body
        if ends:
            while w.more():
                pass
            assert not w.data, f"more came: {w.data[:300]!r}"
        else:
            probe = w.answer()
            assert probe.status == 204, f"then: {probe.status} {probe.body[:300]!r}"
            assert not w.data, f"more came: {w.data[:300]!r}"


@pytest.fixture
def words(daemon):
    etags = {}
    for word, field in (("$E", ""), ("$Z", "Accept-Encoding: gzip\r\n")):
        with Wire(daemon.address) as w:
            w.send(f"GET /a.txt HTTP/1.1\r\nHost: localhost\r\n{field}\r\n".encode())
            etags[word] = w.answer().get("ETag")
    return {"$T": daemon.token("ada"), "$G": tokens.make("eve", subscribe=[], publish=[]), "$R": daemon.token("root", role="admin", everything=True),
            "$U": etags["$E"].strip('"'), **etags}


def try_all(address, words, table, **how):
    """Every case is tried, and all that fail are told."""
    failed = []
    names = [case[0] for case in TABLES[table]]
    assert len(set(names)) == len(names), [n for n in names if names.count(n) > 1]
    for name, *case in TABLES[table]:
        try:
            run_case(address, words, *case, **how)
        except (AssertionError, OSError, ValueError) as e:
            failed.append(f"{name}: {(str(e) or repr(e)).splitlines()[0]}")
    assert not failed, f"{len(failed)} of {len(names)} cases:\n" + "\n".join(failed)


@pytest.mark.parametrize("table", TABLES)
def test_catalogue(daemon, words, table):
    try_all(daemon.address, words, table)
    refused = daemon.http("GET", "/history?topic=catalogue/bad", token=words["$T"]).ok().json()["messages"]
    assert refused == []


@pytest.mark.parametrize("table", ["framing", "heads"])
def test_catalogue_in_pieces(daemon, words, table):
    """The same bytes have the same answers, however they come in."""
    try_all(daemon.address, words, table, pieces=True)


def once(address, request):
    with Wire(address) as w:
        w.send(request.encode("latin-1"))
        return w.answer(request.startswith("HEAD "))


def test_head_is_get_without_the_content(daemon, words):
    """RFC 9110 9.3.2: HEAD has the fields of GET, whatever is asked for."""
    failed = []
    for name, request, *_ in resources.CASES + files.CASES:
        request = to_bytes(request, words)
        if not request.startswith("GET ") or "Upgrade: websocket" in request:
            continue
        get, head = once(daemon.address, request), once(daemon.address, request.replace("GET ", "HEAD ", 1))
        fields = [{n: v for n, v in a.fields if n not in ("Date", "X-Request-Id")} for a in (get, head)]
        if " /metrics" in request or " /api" in request or get.status in (404, 405):  # figures change; a refusal names the method
            for f in fields:
                f.pop("Content-Length", None)
        if get.status != head.status or fields[0] != fields[1]:
            failed.append(f"{name}: {get.status} {fields[0]}, {head.status} {fields[1]}")
    assert not failed, "\n".join(failed)


def test_request_ids_differ(daemon):
    with Wire(daemon.address) as w:
        w.send(b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n" * 200)
        ids = {w.answer().get("X-Request-Id") for _ in range(200)}
    assert len(ids) == 200
