"""Sloppy and ambiguous HTTP on raw sockets (RFC 9110, 9112): refused by name, closed, and what follows is never a request."""

import re
import select
import time

import pytest
from support import SLOW, rawclient
from support.rawclient import build

CONF = {
    "web": {"root": "web"},
    "auth": {"guests": True},
    "limits": {"header": "8K", "body": "64K", "message": "16K", "request_timeout": "2s"},
}
GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
POST = b"POST /publish/h/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {t}\r\n"
MARK = b"GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"


def prepare(folder):
    (folder / "web").mkdir()
    (folder / "web" / "index.html").write_bytes(b"<!doctype html><title>page</title>")


def answers(d, data, half_close=True):
    """Every answer to these bytes up to the end of the connection; strict about each."""
    out = []
    with d.conn(timeout=6 * SLOW) as c:
        try:
            c.send(data.replace(b"{t}", d.token().encode()).replace(b"{port}", str(d.port).encode()))
        except OSError:
            pass
        if half_close:
            try:
                c.half_close()
            except OSError:
                pass
        while True:
            try:
                out.append(c.response())
            except rawclient.Eof as e:
                assert "so far b''" in str(e), e
                return out




# What is sent, and the status wanted. After each comes MARK, which must not be answered.
REFUSED = {
    # the request line
    "tab between": (b"GET\t/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "tab before the version": (b"GET /healthz\tHTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "space behind the version": (b"GET /healthz HTTP/1.1 \r\nHost: localhost\r\n\r\n", 400),
    "word behind the version": (b"GET /healthz HTTP/1.1 x\r\nHost: localhost\r\n\r\n", 400),
    "space in front": (b" GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "space in the target": (b"GET /health z HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "no target": (b"GET HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "no version, headers": (b"GET /healthz\r\nHost: localhost\r\n\r\n", (400, 505)),
    "HTTP/0.9 by name": (b"GET /healthz HTTP/0.9\r\nHost: localhost\r\n\r\n", (400, 505)),
    "HTTP/3.0": (b"GET /healthz HTTP/3.0\r\nHost: localhost\r\n\r\n", 505),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 505)),
    "HTTP/1": (b"GET /healthz HTTP/1\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/1.": (b"GET /healthz HTTP/1.\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/11": (b"GET /healthz HTTP/11\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/01.1": (b"GET /healthz HTTP/01.1\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/1.1.1": (b"GET /healthz HTTP/1.1.1\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/1.x": (b"GET /healthz HTTP/1.x\r\nHost: localhost\r\n\r\n", 400),
    "HTTP/-1.1": (b"GET /healthz HTTP/-1.1\r\nHost: localhost\r\n\r\n", 400),
    "HTTP /1.1": (b"GET /healthz HTTP /1.1\r\nHost: localhost\r\n\r\n", 400),
    "HTP/1.1": (b"GET /healthz HTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "Http/1.1": (b"GET /healthz Http/1.1\r\nHost: localhost\r\n\r\n", 400),
    "NUL in the line": (b"GET /healthz\0 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "NUL in the method": (b"GE\0T /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "colon in the method": (b"GET: /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "UTF-8 in the target": ("GET /é HTTP/1.1\r\nHost: localhost\r\n\r\n".encode(), 400),
    "DEL in the target": (b"GET /\x7f HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "quote in the target": (b'GET /" HTTP/1.1\r\nHost: localhost\r\n\r\n', 400),
    "angle in the target": (b"GET /<x> HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "backslash in the target": (b"GET /\\x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "CR in the line": (b"GET /healthz\r HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "LF alone behind the line": (b"GET /healthz HTTP/1.1\nHost: localhost\r\n\r\n", 400),
    "many empty lines": (b"\r\n" * 40 + GET + b"\r\n", 400),
    "LF in front": (b"\n" + GET + b"\r\n", 400),
    # the target's form
    "authority form": (b"GET localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "asterisk form": (b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "no host in the target": (b"GET http:///healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "nothing behind the scheme": (b"GET http:// HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "user in the target": (b"GET http://a:b@localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "bad port in the target": (b"GET http://localhost:x/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "another scheme": (b"GET ftp://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "ws scheme": (b"GET ws://localhost/chat HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "absolute form without Host": (b"GET http://localhost/healthz HTTP/1.1\r\n\r\n", 400),
    "fragment in absolute form": (b"GET http://localhost/healthz#x HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    # Host
    "Host empty": (b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "Host only a port": (b"GET /healthz HTTP/1.1\r\nHost: :{port}\r\n\r\n", 400),
    "Host port 0": (b"GET /healthz HTTP/1.1\r\nHost: localhost:0\r\n\r\n", 400),
    "Host port too big": (b"GET /healthz HTTP/1.1\r\nHost: localhost:65536\r\n\r\n", 400),
    "Host port signed": (b"GET /healthz HTTP/1.1\r\nHost: localhost:+80\r\n\r\n", 400),
    "Host two ports": (b"GET /healthz HTTP/1.1\r\nHost: localhost:80:80\r\n\r\n", 400),
    "Host bracket open": (b"GET /healthz HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
    "Host bracket and name": (b"GET /healthz HTTP/1.1\r\nHost: [::1]x\r\n\r\n", 400),
    "Host bad IPv6": (b"GET /healthz HTTP/1.1\r\nHost: [::g]\r\n\r\n", 400),
    "Host IPv6 bare": (b"GET /healthz HTTP/1.1\r\nHost: ::1\r\n\r\n", 400),
    "Host with a query": (b"GET /healthz HTTP/1.1\r\nHost: localhost?x\r\n\r\n", 400),
    "Host with a scheme": (b"GET /healthz HTTP/1.1\r\nHost: http://localhost\r\n\r\n", 400),
    "Host with UTF-8": ("GET /healthz HTTP/1.1\r\nHost: lócalhost\r\n\r\n".encode(), 400),
    "Host with a tab": (b"GET /healthz HTTP/1.1\r\nHost: local\thost\r\n\r\n", 400),
    "Host twice in other case": (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHOST: evil.example.org\r\n\r\n", 400),
    "Host folded": (b"GET /healthz HTTP/1.1\r\nHost:\r\n localhost\r\n\r\n", 400),
    "Host twice on 1.0": (b"GET /healthz HTTP/1.0\r\nHost: localhost\r\nHost: localhost\r\n\r\n", 400),
    # header lines
    "first line folded": (b"GET /healthz HTTP/1.1\r\n Host: localhost\r\n\r\n", 400),
    "folded with a tab": (GET + b"X: a\r\n\tb\r\n\r\n", 400),
    "folded empty line": (GET + b"X: a\r\n \r\n\r\n", 400),
    "tab before the colon": (GET + b"X\t: a\r\n\r\n", 400),
    "space in a name": (GET + b"X y: a\r\n\r\n", 400),
    "NUL in a name": (GET + b"X\0y: a\r\n\r\n", 400),
    "slash in a name": (GET + b"X/y: a\r\n\r\n", 400),
    "quote in a name": (GET + b'"X": a\r\n\r\n', 400),
    "bracket in a name": (GET + b"X[y]: a\r\n\r\n", 400),
    "UTF-8 in a name": (GET + "Xé: a\r\n\r\n".encode(), 400),
    "DEL in a name": (GET + b"X\x7f: a\r\n\r\n", 400),
    "LF CR": (GET + b"X: a\n\r\n\r\n", 400),
    "CR CR LF": (GET + b"X: a\r\r\n\r\n", 400),
    "LF alone ends the head": (GET + b"X: a\r\n\n", 400),
    "LF in a value": (GET + b"X: a\nY: b\r\n\r\n", 400),
    "CR at a value's end": (GET + b"X: a\r\r\n\r\n", 400),
    "SOH in a value": (GET + b"X: a\x01b\r\n\r\n", 400),
    "VT in a value": (GET + b"X: a\x0bb\r\n\r\n", 400),
    "FF in a value": (GET + b"X: a\x0cb\r\n\r\n", 400),
    "ESC in a value": (GET + b"X: \x1b[2J\r\n\r\n", 400),
    "DEL in a value": (GET + b"X: a\x7fb\r\n\r\n", 400),
    "too many": (GET + b"A: b\r\n" * 300 + b"\r\n", (400, 431)),
    # Content-Length
    "CL twice the same": (POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nabcde", 400),
    "CL list the same": (POST + b"Content-Length: 5,5\r\n\r\nabcde", 400),
    "CL two words": (POST + b"Content-Length: 5 5\r\n\r\nabcde", 400),
    "CL semicolon": (POST + b"Content-Length: 5;\r\n\r\nabcde", 400),
    "CL exponent": (POST + b"Content-Length: 5e0\r\n\r\nabcde", 400),
    "CL fraction": (POST + b"Content-Length: 5.0\r\n\r\nabcde", 400),
    "CL VT": (POST + b"Content-Length: \x0b5\r\n\r\nabcde", 400),
    "CL quoted": (POST + b'Content-Length: "5"\r\n\r\nabcde', 400),
    "CL +0": (POST + b"Content-Length: +0\r\n\r\n", 400),
    "CL -0": (POST + b"Content-Length: -0\r\n\r\n", 400),
    "CL wraps 64 bits": (POST + b"Content-Length: 18446744073709551621\r\n\r\nabcde", 400),
    "CL wraps 32 bits": (POST + b"Content-Length: 4294967301\r\n\r\nabcde", 413),
    "CL of 63 bits": (POST + b"Content-Length: 9223372036854775807\r\n\r\nabcde", 413),
    "CL of 64 bits": (POST + b"Content-Length: 18446744073709551615\r\n\r\nabcde", (400, 413)),
    "CL Unicode digit": (POST + "Content-Length: ٥\r\n\r\nabcde".encode(), 400),
    "CL folded": (POST + b"Content-Length:\r\n 5\r\n\r\nabcde", 400),
    "CL before the colon": (POST + b"Content-Length : 5\r\n\r\nabcde", 400),
    "CL in two cases": (POST + b"content-length: 5\r\nCONTENT-LENGTH: 0\r\n\r\nabcde", 400),
    "CL bad on GET": (GET + b"Content-Length: x\r\n\r\n", 400),
    # Transfer-Encoding
    "TE and CL": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400),
    "TE and CL 0": (POST + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "TE unknown and CL": (POST + b"Transfer-Encoding: x\r\nContent-Length: 5\r\n\r\nabcde", (400, 501)),
    "TE identity": (POST + b"Transfer-Encoding: identity\r\n\r\n", (400, 501)),
    "TE identity and CL": (POST + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nabcde", (400, 501)),
    "TE chunked twice": (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "TE two headers": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "TE not last": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", (400, 501)),
    "TE unknown": (POST + b"Transfer-Encoding: x\r\n\r\n", (400, 501)),
    "TE gzip before": (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    "TE empty": (POST + b"Transfer-Encoding:\r\n\r\n0\r\n\r\n", 400),
    "TE comma in front": (POST + b"Transfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n", 400),
    "TE comma behind": (POST + b"Transfer-Encoding: chunked,\r\n\r\n0\r\n\r\n", 400),
    "TE parameter": (POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n", (400, 501)),
    "TE quoted": (POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n', (400, 501)),
    "TE VT": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", 400),
    "TE NUL": (POST + b"Transfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n", 400),
    "TE folded": (POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n", 400),
    "TE space before the colon": (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    "TE NUL in the name": (POST + b"Transfer-Encoding\0: chunked\r\n\r\n0\r\n\r\n", 400),
    "TE chunk prefix": (POST + b"Transfer-Encoding: chunk\r\n\r\n0\r\n\r\n", (400, 501)),
    "TE two words": (POST + b"Transfer-Encoding: chunked chunked\r\n\r\n0\r\n\r\n", 400),
    "TE on GET": (GET + b"Transfer-Encoding: x\r\n\r\n", (400, 501)),
    "TE on 1.0": (POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "TE and CL on 1.0": (POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nabcde", 400),
    # others
    "Expect unknown": (POST + b"Expect: the-spanish-inquisition\r\nContent-Length: 5\r\n\r\nabcde", 417),
    "Expect two": (POST + b"Expect: 100-continue, x\r\nContent-Length: 5\r\n\r\nabcde", 417),
    "TRACE": (b"TRACE /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", (405, 501)),
    "CONNECT": (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", (400, 404, 405, 501)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(daemon, name):
    """One answer with problem details, `Connection: close`, and the end; what follows is nobody's request."""
    data, want = REFUSED[name]
    got = answers(daemon, data + MARK, half_close=False)
    assert len(got) == 1, got
    r = got[0]
    assert r.status in (want if isinstance(want, tuple) else (want,)), r
    r.problem(r.status)
    assert r.header("Connection", "").lower() == "close", r
    assert "smuggled" not in r.text()


@pytest.mark.parametrize("name", [n for n in REFUSED if not n.startswith("many")])
def test_refused_in_pieces(daemon, name):
    """The same bytes one by one give the same answer."""
    data, want = REFUSED[name]
    data = data.replace(b"{t}", b"a.b.c").replace(b"{port}", b"80")
    with daemon.conn() as c:
        for i in range(0, len(data), 11):
            try:
                c.send(data[i:i + 11])
            except OSError:
                break
        r = c.response()
        if name.startswith(("CL of", "CL wraps 32")) and r.status == 401:
            return
        assert r.status in (want if isinstance(want, tuple) else (want,)), r


ACCEPTED = {
    "one empty line": (b"\r\n" + GET + b"\r\n", 200),
    "two empty lines": (b"\r\n\r\n" + GET + b"\r\n", 200),
    "HTTP/1.2": (b"GET /healthz HTTP/1.2\r\nHost: localhost\r\n\r\n", (200, 505)),
    "no blank behind the colon": (b"GET /healthz HTTP/1.1\r\nHost:localhost\r\n\r\n", 200),
    "many blanks": (b"GET /healthz HTTP/1.1\r\nHost: \t localhost \t \r\n\r\n", 200),
    "name in capitals": (b"GET /healthz HTTP/1.1\r\nHOST: localhost\r\n\r\n", 200),
    "empty value": (GET + b"X:\r\n\r\n", 200),
    "blank value": (GET + b"X: \t \r\n\r\n", 200),
    "obs-text": (GET + b"X: \xff\xfe\r\n\r\n", 200),
    "tab in a value": (GET + b"X: a\tb\r\n\r\n", 200),
    "odd name": (GET + b"!#$%&'*+-.^_`|~0aZ: a\r\n\r\n", 200),
    "Host with an empty port": (b"GET /healthz HTTP/1.1\r\nHost: localhost:\r\n\r\n", (200, 400)),
    "absolute form": (b"GET http://localhost:{port}/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
    "absolute form, capitals": (b"GET HTTP://LOCALHOST/healthz?x HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
    "absolute form, root": (b"GET http://localhost HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
    "absolute form, query": (b"GET http://localhost?room=x HTTP/1.1\r\nHost: localhost\r\n\r\n", 200),
    "OPTIONS *": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", (200, 204)),
    "escaped path": (b"GET /%68ealthz HTTP/1.1\r\nHost: localhost\r\n\r\n", (200, 404)),
    "CL 0 on GET": (GET + b"Content-Length: 0\r\n\r\n", 200),
    "CL with zeros": (POST + b"Content-Length: 0005\r\n\r\nabcde", (200, 400)),
    "CL with blanks": (POST + b"Content-Length: \t5 \r\n\r\nabcde", 200),
    "CL in capitals": (POST + b"CONTENT-LENGTH: 5\r\n\r\nabcde", 200),
    "body on GET": (GET + b"Content-Length: 5\r\n\r\nabcde", 200),
    "chunks on GET": (GET + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", 200),
    "TE in capitals": (POST + b"TRANSFER-ENCODING: Chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", 200),
    "TE with blanks": (POST + b"Transfer-Encoding: \t chunked \t\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", 200),
    "TE with an underscore": (POST + b"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n\r\nabcde", 200),
    "TE request header": (POST + b"TE: trailers\r\nContent-Length: 5\r\n\r\nabcde", 200),
    "Upgrade h2c": (GET + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n\r\n", 200),
    "Connection close, keep-alive": (GET + b"Connection: keep-alive, x\r\n\r\n", 200),
    "Expect without a body": (GET + b"Expect: 100-continue\r\n\r\n", 200),
    "Expect in capitals": (POST + b"Expect: 100-Continue\r\nContent-Length: 5\r\n\r\nabcde", 200),
    "hex in capitals": (POST + b"Transfer-Encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", 200),
    "chunk sizes with zeros": (POST + b"Transfer-Encoding: chunked\r\n\r\n00005\r\nabcde\r\n000\r\n\r\n", 200),
    "one-byte chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 500 + b"0\r\n\r\n", 200),
    "chunk extensions": (POST + b'Transfer-Encoding: chunked\r\n\r\n5;a;b=c;d="e\\"f"\r\nabcde\r\n0;x\r\n\r\n', 200),
    "trailers": (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\nX-Sum: 1\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\nHost: evil\r\n\r\n", (200, 400)),
    "PUT where none is": (b"PUT /none HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n", (404, 405)),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_accepted(daemon, name):
    """Answered, and the next request behind it as well, in order."""
    data, want = ACCEPTED[name]
    got = answers(daemon, data + MARK)
    want = want if isinstance(want, tuple) else (want,)
    assert got[0].status in want, got
    if got[0].status < 400:
        assert [r.status for r in got[1:]] == [404], got


CHUNKS = {
    "no size": b"\r\nabcde\r\n", "blank size": b" \r\nabcde\r\n", "sign": b"+5\r\nabcde\r\n", "minus": b"-5\r\nabcde\r\n", "prefix": b"0x5\r\nabcde\r\n", "suffix": b"5h\r\nabcde\r\n",
    "blank in front": b" 5\r\nabcde\r\n", "tab in front": b"\t5\r\nabcde\r\n", "two sizes": b"5 5\r\nabcde\r\n", "comma": b"5,5\r\nabcde\r\n", "dot": b"5.0\r\nabcde\r\n",
    "underscore": b"0_5\r\nabcde\r\n", "not hex": b"g\r\nabcde\r\n", "NUL": b"5\0\r\nabcde\r\n", "LF alone": b"5\nabcde\r\n", "CR alone": b"5\rabcde\r\n", "CR CR LF": b"5\r\r\nabcde\r\n",
    "LF behind data": b"5\r\nabcde\n", "CR behind data": b"5\r\nabcde\r", "nothing behind data": b"5\r\nabcde", "data too long": b"5\r\nabcdef\r\n", "data too short": b"6\r\nabcde\r\n",
    "two CRLF": b"5\r\nabcde\r\n\r\n", "wraps 64 bits": b"10000000000000005\r\nabcde\r\n", "17 digits": b"00000000000000005\r\nabcde\r\n",
    "64 bits": b"ffffffffffffffff\r\nabcde\r\n", "63 bits": b"7fffffffffffffff\r\nabcde\r\n", "extension LF": b"5;a\nabcde\r\n", "extension CR": b"5;a\rb\r\nabcde\r\n",
    "extension NUL": b"5;a\0\r\nabcde\r\n", "extension without a name": b"5;\r\nabcde\r\n", "extension without a value": b"5;a=\r\nabcde\r\n", "quote open": b'5;a="\r\nabcde\r\n',
    "extension control": b"5;a=\x01\r\nabcde\r\n", "colon": b"5:a\r\nabcde\r\n", "long extension": b"5;" + b"a" * 20000 + b"\r\nabcde\r\n",
}
ENDS = {
    "LF": b"0\n\n", "LF second": b"0\r\n\n", "CR": b"0\r\r", "blank line": b"0\r\n \r\n", "trailer without a colon": b"0\r\nx\r\n\r\n", "trailer LF": b"0\r\nx: y\n\r\n",
    "trailer folded": b"0\r\nx: y\r\n z\r\n\r\n", "trailer NUL": b"0\r\nx: \0\r\n\r\n", "trailer name": b"0\r\nx y: z\r\n\r\n", "trailer blank": b"0\r\nx : z\r\n\r\n",
    "trailer end LF": b"0\r\nx: y\r\n\n", "long trailers": b"0\r\n" + b"x: " + b"y" * 20000 + b"\r\n\r\n", "junk": b"0\r\nabc", "minus zero": b"-0\r\n\r\n", "0x0": b"0x0\r\n\r\n",
}


@pytest.mark.parametrize("name", [*CHUNKS, *(f"end: {e}" for e in ENDS)])
def test_bad_chunk(daemon, topic, name):
    """400 (413 for what is only too large), closed; nothing was published and nothing behind it is a request."""
    body = CHUNKS[name] + b"0\r\n\r\n" if name in CHUNKS else b"5\r\nabcde\r\n" + ENDS[name[5:]]
    data = POST.replace(b"h/x", topic.encode()) + b"Transfer-Encoding: chunked\r\n\r\n" + body
    got = answers(daemon, data + MARK, half_close=False)
    assert len(got) == 1, got
    assert got[0].status in (400, 413), got
    assert got[0].status == 400 or "bits" in name or "long" in name, got
    got[0].problem(got[0].status)
    assert got[0].header("Connection", "").lower() == "close", got
    stored = daemon.http("GET", f"/history?topic={topic}", token=daemon.token()).ok().json()["messages"]
    assert stored == []


@pytest.mark.parametrize("cut", [b"5\r\nabc", b"5\r\nabcde", b"5\r\nabcde\r\n", b"5\r\nabcde\r\n0\r\n", b"5", b""])
def test_cut_body_publishes_nothing(daemon, topic, cut):
    """The connection ends in the middle of a chunked body."""
    answers(daemon, POST.replace(b"h/x", topic.encode()) + b"Transfer-Encoding: chunked\r\n\r\n" + cut)
    answers(daemon, POST.replace(b"h/x", topic.encode()) + b"Content-Length: 50\r\n\r\n" + cut)
    assert daemon.http("GET", f"/history?topic={topic}", token=daemon.token()).ok().json()["messages"] == []


BODIES = {
    401: ("POST", "/publish/h/x", {}), 404: ("POST", "/none", {}), 405: ("DELETE", "/publish/h/x", {"Authorization": "Bearer {t}"}),
    403: ("POST", "/publish/h/x", {"Authorization": "Bearer {t}", "Origin": "https://evil.example.org"}), 421: ("POST", "/publish/h/x", {"Host": "evil.example.org"}),
    415: ("POST", "/publish/h/x", {"Authorization": "Bearer {t}", "Content-Type": "image/png"}), 501: ("BREW", "/publish/h/x", {}),
    400: ("POST", "/publish/a//b", {"Authorization": "Bearer {t}"}),
}


@pytest.mark.parametrize("status", BODIES)
@pytest.mark.parametrize("framing", ["length", "chunked", "length, late"])
def test_a_refused_body_is_no_request(daemon, status, framing):
    """Whether the body is read or the connection ends: nothing of it is taken for a request; what is kept, goes on in step."""
    method, path, headers = BODIES[status]
    headers = {k: v.replace("{t}", daemon.token()) for k, v in headers.items()}
    body = MARK * 3
    if framing == "chunked":
        headers["Transfer-Encoding"] = "chunked"
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with daemon.conn() as c:
        data = build(method, path, headers, body)
        if framing == "length, late":
            c.send(data[:-len(body)])
            time.sleep(0.1)
            try:
                c.send(data[-len(body):])
            except OSError:
                pass
        else:
            c.send(data)
        r = c.response()
        r.problem(status)
        if r.header("Connection", "").lower() == "close":
            c.closed()
            return
        try:
            c.send(GET + b"\r\n")
        except OSError:
            return
        assert c.response().status == 200


@pytest.mark.parametrize("headers", ["Content-Length: 5", "Transfer-Encoding: chunked", "Content-Length: 70000"])
@pytest.mark.parametrize("status", [401, 404, 405, 421, 501])
def test_no_100_for_what_is_refused(daemon, status, headers):
    """Expect: 100-continue: a final answer at once, and no invitation."""
    method, path, more = BODIES[status]
    name, value = headers.split(": ")
    with daemon.conn() as c:
        c.send(build(method, path, [*((k, v.replace("{t}", daemon.token())) for k, v in more.items()), (name, value), ("Expect", "100-continue")]))
        r = c.head()
        assert r.status in (status, 413), r


def test_100_then_the_answer(daemon, topic):
    with daemon.conn() as c:
        for _ in range(3):
            c.send(build("POST", f"/publish/{topic}", {**daemon.bearer(), "Transfer-Encoding": "chunked", "Expect": "100-continue"}))
            assert c.head().status == 100
            c.send("5\r\nabcde\r\n0\r\n\r\n")
            assert c.response().ok()
        c.still_open()


@pytest.mark.parametrize("method", ["get", "Get", "BREW", "PROPFIND", "PATCHY", "X" * 100, "GETX", "M-SEARCH", "~", "UPDATE"])
def test_unknown_methods(daemon, method):
    r = daemon.http(method, "/healthz")
    r.problem(501, "not_implemented")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize("path", ["/healthz", "/events", "/history", "/metrics", "/chat", "/"])
def test_known_methods_where_they_are_not_taken(daemon, method, path):
    r = daemon.http(method, path, body="" if method[0] == "P" else None)
    assert r.status == 405 or (method == "TRACE" and r.status in (405, 501)), r
    if r.status == 405:
        r.problem(405, "method_not_allowed")
        allow = {m.strip() for m in r.header("Allow").split(",")}
        assert method not in allow and "GET" in allow, r


def test_trace_echoes_nothing(daemon):
    token = daemon.token()
    r = daemon.http("TRACE", "/healthz", {"Cookie": f"belfry={token}", "X-Secret": "swordfish"})
    assert r.status in (405, 501) and "swordfish" not in r.text() and token not in r.text()


@pytest.mark.parametrize("size, status", [(8000, (200, 404)), (9000, (414,)), (20000, (414,)), (200000, (414,))])
@pytest.mark.parametrize("part", ["path", "query"])
def test_long_targets(daemon, part, size, status):
    if size == 8000:
        size, status = 4000, (200, 404)
    target = b"/" + b"a" * size if part == "path" else b"/healthz?" + b"a" * size
    got = answers(daemon, b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert len(got) == 1 and got[0].status in status, got


@pytest.mark.parametrize("data, want", [(b"X" * 20000, (400, 414, 431, 501)), (b"GET " + b"/" * 20000, (400, 414)), (GET + b"X" * 20000, (400, 431)),
                                        (GET + b"X: " + b"a" * 20000, (431,)), (GET + b"X: a\r\n" * 2000, (431,))], ids=lambda d: repr(d)[:16])
def test_endless_lines(daemon, data, want):
    """Cut where the limit is, without waiting for an end that does not come."""
    before = time.monotonic()
    got = answers(daemon, data, half_close=False)
    assert len(got) == 1 and got[0].status in want, got
    assert time.monotonic() - before < 1.5 * SLOW
    assert got[0].status not in (431, 414) or got[0].json()["code"], got


@pytest.mark.parametrize("data", [b"", b"\r\n", b"\r\n\r\n", b"G", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r"])
def test_half_a_request_and_the_end(daemon, data):
    assert [r.status for r in answers(daemon, data)] in ([], [400])


@pytest.mark.parametrize("data", [GET[:-2], GET, b"G", b"POST /publish/h/x HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {t}\r\nContent-Length: 5\r\n\r\nab",
                                  POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", POST + b"Transfer-Encoding: chunked\r\n\r\n5", b"\r\nGET"], ids=lambda d: repr(d)[-24:])
def test_slow_requests_are_cut(daemon, data):
    """408 by the deadline, which one more byte now and then does not move."""
    with daemon.conn(timeout=8 * SLOW) as c:
        c.send(data.replace(b"{t}", daemon.token().encode()))
        before = time.monotonic()
        r = c.response()
        assert 1 < time.monotonic() - before < 5 * SLOW
        doc = r.problem(408, "timeout")
        assert doc["limit"] == "limits.request_timeout" and r.header("Connection").lower() == "close", r
        c.closed()


def test_drops_do_not_move_the_deadline(daemon):
    with daemon.conn() as c:
        before = time.monotonic()
        for byte in GET + b"X: " + b"a" * 100:
            c.send(bytes([byte]))
            if select.select([c.sock], [], [], 0.1)[0]:
                break
            assert time.monotonic() - before < 5 * SLOW, "kept alive by drops"
        c.response().problem(408, "timeout")


@pytest.mark.parametrize("rest", [b"GET /healthz HTTP/1.1\r\nHost: loc", POST + b"Content-Length: 5\r\n\r\nab"])
def test_the_deadline_of_a_pipelined_one(daemon, topic, rest):
    """Half a request behind whole ones, which are answered now or later, has no longer than any other."""
    first = POST.replace(b"h/x", topic.encode()) + b"Content-Length: 5\r\n\r\nabcde"
    for n in (1, 3):
        with daemon.conn(timeout=8 * SLOW) as c:
            c.send((first * n + rest).replace(b"{t}", daemon.token().encode()))
            for _ in range(n):
                c.response().ok()
            c.response().problem(408, "timeout")
            c.closed()


def test_pipelined_until_the_first_bad_one(daemon):
    """What came before is answered in order, the bad one refused, the rest dropped."""
    data = (GET + b"\r\n") * 3 + GET + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n" + MARK
    assert [r.status for r in answers(daemon, data)] == [200, 200, 200, 400]


def test_pipelined_bodies_stay_in_step(daemon, topic):
    post = POST.replace(b"h/x", topic.encode())
    data = b"".join((post + b"Content-Length: 5\r\n\r\nabcde", post + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n", GET + b"\r\n",
                     GET + b"Content-Length: %d\r\n\r\n" % len(MARK) + MARK, b"\r\n" + GET + b"\r\n") * 5)
    assert [r.status for r in answers(daemon, data)] == [200] * 25


@pytest.mark.parametrize("version, connection, stays", [("1.1", None, True), ("1.1", "close", False), ("1.1", "Close", False), ("1.1", "x, CLOSE ,y", False),
                                                        ("1.1", "keep-alive", True), ("1.1", "keep-alive, close", False), ("1.0", None, False), ("1.0", "keep-alive", True),
                                                        ("1.0", "Keep-Alive", True), ("1.0", "close, keep-alive", False), ("1.0", "x", False), ("1.1", "x-close", True)])
def test_keep_alive(daemon, version, connection, stays):
    head = f"GET /healthz HTTP/{version}\r\nHost: localhost\r\n" + (f"Connection: {connection}\r\n" if connection else "") + "\r\n"
    with daemon.conn() as c:
        c.send(head)
        r = c.response()
        assert r.status == 200 and r.version == 1, r
        said = r.header("Connection", "").lower()
        if stays:
            assert "close" not in said and (version == "1.1" or "keep-alive" in said), r
            c.send(head)
            assert c.response().status == 200
        else:
            assert version == "1.0" or said == "close", r
            c.closed()


@pytest.mark.parametrize("path", ["/healthz", "/", "/none", "/token", "/metrics", "/history", "/chat", "/events"])
def test_head_is_get_without_a_body(daemon, path):
    with daemon.conn() as c:
        c.send(build("HEAD", path) + build("GET", "/healthz"))
        head = c.response("HEAD")
        get = daemon.http("GET", path)
        assert head.status == get.status, (head, get)
        assert head.header("Content-Type") == get.header("Content-Type")
        if path not in ("/metrics", "/healthz"):
            assert abs(int(head.header("Content-Length", "0") or 0) - int(get.header("Content-Length", "0") or 0)) <= 8, (head, get)
        assert c.response().status == 200


@pytest.mark.parametrize("path", ["/healthz", "/", "/publish/a", "/events", "/chat", "/token", "*"])
def test_options(daemon, path):
    r = daemon.http("OPTIONS", path)
    assert r.status in (200, 204) and r.header("Allow"), r
    assert r.header("Access-Control-Allow-Origin") is None


def test_every_answer_is_well_formed(daemon):
    """Date, request id, no sniffing; nothing of ours on the peer's terms."""
    for data in (GET + b"\r\n", MARK, b"x\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHost: evil\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"):
        r = answers(daemon, data)[0]
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", r.header("Date")), r
        assert r.header("X-Request-Id"), r
        assert r.header("X-Content-Type-Options", "nosniff") == "nosniff"


@pytest.mark.parametrize("path", ["/<script>alert(1)</script>", "/%3Cscript%3E", "/%0d%0aSet-Cookie:%20a=b", "/chat?room=%0d%0aSet-Cookie:%20a=b", "/%c3%28", "/a%00b"])
@pytest.mark.parametrize("accept", ["text/html", "*/*"])
def test_reflected(daemon, path, accept):
    """What the peer said comes back as JSON text or encoded, in no header line of its own."""
    got = answers(daemon, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\r\n".encode())
    r = got[0]
    assert r.status in (303, 400, 401, 404), r
    assert r.header("Set-Cookie") is None
    assert "html" not in r.header("Content-Type", "") and "<script" not in r.text().replace("\\u003c", ""), r
