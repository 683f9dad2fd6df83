"""The page's files: what can be reached, conditions, codings, fields."""

import os
import socket

from . import get, pattern

TEXT = "All work and no play makes Jack a dull boy.\n" * 60
STAMP = 1700000000  # Tue, 14 Nov 2023 22:13:20 GMT


def make_root(folder):
    """A folder that has everything, and something beside it that must not be reached."""
    root = folder / "web"
    (root / "sub").mkdir(parents=True)
    (root / "noindex").mkdir()
    (root / ".git").mkdir()
    (folder / "web-secret").mkdir()
    for path, text in (
            ("web/index.html", "<!doctype html><title>x</title>" + TEXT), ("web/a.txt", TEXT), ("web/sub/index.html", "<p>sub"), ("web/sub/b.js", TEXT),
            ("web/sub/.hidden", "SECRET"), ("web/.env", "SECRET"), ("web/.git/config", "SECRET"), ("web/empty.txt", ""), ("web/b c.txt", "space"),
            ("web/p+q.txt", "plus"), ("web/\u00fc.txt", "umlaut"), ("web/100%.txt", "percent"), ("web/noext", "bytes"), ("web/x.png", "png"),
            ("web/noindex/c.txt", "c"), ("outside", "SECRET"), ("web-secret/s", "SECRET"), ("web/;v=1", "semicolon"), ("web/" + "n" * 200, "long")):
        (folder / path).write_text(text)
    (root / "big.bin").write_bytes(b"0123456789abcdef" * 131072)
    for link, to in (("in", "a.txt"), ("out", "../outside"), ("absolute", "/etc/passwd"), ("etc", "/etc"), ("sibling", "../web-secret"),
                     ("loop", "loop"), ("dangling", "nothing"), ("proc", "/proc/self")):
        (root / link).symlink_to(to)
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as s:
        here = os.getcwd()
        os.chdir(root)
        s.bind("socket")
        os.chdir(here)
    for path in ("a.txt", "index.html"):
        os.utime(root / path, (STAMP, STAMP))
    return root


def nowhere():
    for path in ("/../outside", "/..", "/../", "/../../../../etc/passwd", "/sub/../../outside", "/%2e%2e/outside", "/%2E%2E/outside", "/.%2e/outside", "/%2e./outside",
                 "/..%2foutside", "/..%2Foutside", "/%2e%2e%2foutside", "/%252e%252e/outside", "/%252e%252e%252foutside", "/..%252foutside", "/..%5coutside",
                 "/%5c..%5coutside", "/..%c0%afoutside", "/..%c1%9coutside", "/%c0%ae%c0%ae/outside", "/%e0%80%ae%e0%80%ae/outside", "/..%ef%bc%8foutside",
                 "/%u002e%u002e/outside", "/..;/outside", "/...//outside", "/....//outside", "/%2e%2e%00/outside", "/../web-secret/s", "/a.txt/../../outside",
                 "/a.txt%00", "/a.txt%00.png", "/%00", "/a.txt%0a", "/a.txt%0d%0aX: y".replace(" ", "%20"), "/a.txt/", "/a.txt/x", "/a.txt/.",
                 "/a.txt%2f", "/sub%2fb.js", "/sub//b.js", "//a.txt", "///a.txt", "//etc/passwd", "/etc/passwd", "/out", "/absolute", "/etc/", "/sibling/s",
                 "/loop", "/dangling", "/proc/cmdline", "/proc/self/environ", "/fifo", "/socket", "/noindex/", "/noindex", "/.env", "/%2eenv", "/.git/config",
                 "/%2egit/config", "/sub/.hidden", "/sub/./.hidden", "/./.env", "/sub/..%2f.env", "/a.TXT", "/A.txt", "/a.txt.gz", "/a.txt~", "/a", "/index",
                 "/b+c.txt", "/p%20q.txt", "/%zz", "/%", "/%2", "/%2g", "/a.txt%", "/100%.txt", "/" + "n" * 255, "/" + "n" * 256, "/" + "n" * 4096, "/" + "x/" * 2000,
                 "/" + "../" * 2000 + "etc/passwd", "/%61.txt%20", "/a.txt.", "/a.txt::$DATA", "/con", "/~root", "/dev/null"):
        name = path if len(path) < 60 else path[:20] + f"...{len(path)}"
        yield f"file {name}", get(path), "404 not_found"


def there():
    for path, kind in (("/", "text/html; charset=utf-8"), ("/index.html", "text/html; charset=utf-8"), ("/a.txt", "text/plain; charset=utf-8"),
                       ("/%61.txt", "text/plain; charset=utf-8"), ("/a%2Etxt", "text/plain; charset=utf-8"), ("/sub/", "text/html; charset=utf-8"),
                       ("/sub/b.js", "text/javascript; charset=utf-8"), ("/sub/../a.txt", "text/plain; charset=utf-8"), ("/./a.txt", "text/plain; charset=utf-8"),
                       ("/sub/%2e%2e/a.txt", "text/plain; charset=utf-8"), ("/sub/.", "text/html; charset=utf-8"), ("/a.txt/..", "text/html; charset=utf-8"), ("/b%20c.txt", "text/plain; charset=utf-8"),
                       ("/p+q.txt", "text/plain; charset=utf-8"), ("/p%2Bq.txt", "text/plain; charset=utf-8"), ("/%C3%BC.txt", "text/plain; charset=utf-8"),
                       ("/100%25.txt", "text/plain; charset=utf-8"), ("/noext", "application/octet-stream"), ("/x.png", "image/png"), ("/in", "application/octet-stream"),
                       ("/empty.txt", "text/plain; charset=utf-8"), ("/;v=1", "application/octet-stream"), ("/" + "n" * 200, "application/octet-stream"),
                       ("/a.txt?x=../y", "text/plain; charset=utf-8"), ("/big.bin", "application/octet-stream")):
        name = path if len(path) < 60 else path[:20] + f"...{len(path)}"
        yield f"file {name}", get(path), "200", {
            "Content-Type": kind, "ETag": pattern('^"[^"]+"$'), "Last-Modified": pattern(" GMT$"), "Cache-Control": pattern("no-cache"),
            "Content-Security-Policy": pattern("default-src"), "X-Content-Type-Options": "nosniff", "Referrer-Policy": pattern("."), "Content-Encoding": None}


GZIP = {"Content-Encoding": "gzip", "Vary": pattern("Accept-Encoding"), "ETag": pattern('^"[^"]+"$')}
PLAIN = {"Content-Encoding": None, "Vary": pattern("Accept-Encoding")}


def coded(value, want):
    fields = [f"Accept-Encoding: {v}" for v in ([value] if isinstance(value, str) else value)]
    return f"accept-encoding {value}", get("/a.txt", *fields), "200", want


CODED = [coded(v, GZIP) for v in (
    "gzip", "GZIP", "x-gzip", "gzip, deflate, br", "br;q=1, gzip;q=0.5", "gzip;q=0.001", "*", "*;q=0.1", "identity;q=0.5, gzip", "identity;q=0, gzip;q=0.1", "gzip ; q=1.0",
    ",gzip,", ["deflate", "gzip"], "identity;q=0, *", "gzip;q=1.000")] + [coded(v, PLAIN) for v in (
        "", "identity", "gzip;q=0", "gzip;q=0.0", "gzip;q=0.000", "br", "deflate", "*;q=0, identity", "gzip;q=0, *", "identity, gzip;q=0.5", "gzipx", "xgzip", "gzip;q=0, gzip;q=0")] + [
    ("a small picture is not coded", get("/x.png", "Accept-Encoding: gzip"), "200", {"Content-Encoding": None}),
    ("HEAD coded", get("/a.txt", "Accept-Encoding: gzip", method="HEAD"), "200", GZIP),
]


def when(name, want, *fields, path="/a.txt", method="GET"):
    return name, get(path, *fields, method=method), want


SINCE, UNTIL = "If-Modified-Since: ", "If-Unmodified-Since: "
CONDITIONS = [
    when("none-match *", "304", "If-None-Match: *"),
    when("none-match the tag", "304", "If-None-Match: $E"),
    when("none-match weak", "304", "If-None-Match: W/$E"),
    when("none-match in a list", "304", 'If-None-Match: "a", $E, "b"'),
    when("none-match in a list of weak ones", "304", 'If-None-Match: W/"a",W/$E'),
    when("none-match in a second field", "304", 'If-None-Match: "a"', "If-None-Match: $E"),
    when("none-match comma in a tag", "304", 'If-None-Match: "a,b", $E'),
    when("none-match HEAD", "304", "If-None-Match: $E", method="HEAD"),
    when("none-match another", "200", 'If-None-Match: "a"'),
    when("none-match not quoted", "200", "If-None-Match: $U"),
    when("none-match lower-case w", "200", "If-None-Match: w/$E"),
    when("none-match junk", "200", "If-None-Match: ,,,"),
    when("none-match empty", "200", "If-None-Match:"),
    when("none-match gzip's tag for plain", "200", "If-None-Match: $Z"),
    when("none-match gzip's tag for gzip", "304", "If-None-Match: $Z", "Accept-Encoding: gzip"),
    when("none-match on what is not there", "404 not_found", "If-None-Match: *", path="/nothing"),
    when("none-match not on an endpoint", "200", "If-None-Match: *", path="/healthz"),
    when("none-match on a big file", "304", "If-None-Match: *", path="/big.bin"),
    when("none-match beats modified-since", "200", 'If-None-Match: "a"', SINCE + "Tue, 14 Nov 2023 22:13:20 GMT"),
    when("none-match beats modified-since, other way", "304", "If-None-Match: $E", SINCE + "Tue, 01 Nov 2022 22:13:20 GMT"),
    when("since, fixdate", "304", SINCE + "Tue, 14 Nov 2023 22:13:20 GMT"),
    when("since, RFC 850", "304", SINCE + "Tuesday, 14-Nov-23 22:13:20 GMT"),
    when("since, asctime", "304", SINCE + "Tue Nov 14 22:13:20 2023"),
    when("since, asctime one digit", "304", SINCE + "Sun Nov  3 08:49:37 2024"),
    when("since, a second earlier", "200", SINCE + "Tue, 14 Nov 2023 22:13:19 GMT"),
    when("since, later", "304", SINCE + "Wed, 15 Nov 2023 22:13:20 GMT"),
    when("since, HEAD", "304", SINCE + "Tue, 14 Nov 2023 22:13:20 GMT", method="HEAD"),
    when("since, the future", "304", SINCE + "Tue, 14 Nov 2090 22:13:20 GMT"),
    when("since, twice", "200", SINCE + "Tue, 14 Nov 2023 22:13:20 GMT", SINCE + "Tue, 14 Nov 2023 22:13:20 GMT"),
    when("since, junk", "200", SINCE + "yesterday"),
    when("since, empty", "200", SINCE),
    when("since, unix time", "200", SINCE + "1700000000"),
    when("since, ISO", "200", SINCE + "2023-11-14T22:13:20Z"),
    when("since, other zone", "200", SINCE + "Tue, 14 Nov 2023 22:13:20 CET"),
    when("since, lower case", "200", SINCE + "tue, 14 nov 2023 22:13:20 gmt"),
    when("since, no such day", "200", SINCE + "Thu, 31 Feb 2024 22:13:20 GMT"),
    when("since, no such hour", "200", SINCE + "Tue, 14 Nov 2023 25:13:20 GMT"),
    when("since, epoch", "200", SINCE + "Thu, 01 Jan 1970 00:00:00 GMT"),
    when("match *", "200", "If-Match: *"),
    when("match the tag", "200", "If-Match: $E"),
    when("match in a list", "200", 'If-Match: "a", $E'),
    when("match another", "412 bad_request", 'If-Match: "a"'),
    when("match compares strongly", "412 bad_request", "If-Match: W/$E"),
    when("match HEAD", "412 bad_request", 'If-Match: "a"', method="HEAD"),
    when("match on what is not there", "404 not_found", "If-Match: *", path="/nothing"),
    when("match another, big", "412 bad_request", 'If-Match: "a"', path="/big.bin"),
    when("match good, none-match too", "304", "If-Match: $E", "If-None-Match: $E"),
    when("match bad beats none-match", "412 bad_request", 'If-Match: "a"', "If-None-Match: $E"),
    when("unmodified-since, its time", "200", UNTIL + "Tue, 14 Nov 2023 22:13:20 GMT"),
    when("unmodified-since, earlier", "412 bad_request", UNTIL + "Tue, 14 Nov 2023 22:13:19 GMT"),
    when("unmodified-since, junk", "200", UNTIL + "junk"),
    when("unmodified-since ignored beside match", "200", "If-Match: $E", UNTIL + "Tue, 14 Nov 2022 22:13:19 GMT"),
    when("range", "200", "Range: bytes=0-9"),
    when("range of nothing", "200", "Range: bytes=999999-"),
    when("range malformed", "200", "Range: bytes=a-b"),
    when("range other unit", "200", "Range: lines=0-9"),
    when("range with If-Range of another", "200", "Range: bytes=0-9", 'If-Range: "a"'),
    when("range many", "200", "Range: bytes=" + ",".join(f"{i}-{i}" for i in range(500))),
    ("folder without its slash", get("/sub"), "301", {"Location": "/sub/"}),
    ("folder without its slash, escaped", get("/%73ub"), "301", {"Location": "/sub/"}),
    ("folder without its slash, HEAD", get("/sub", method="HEAD"), "301", {"Location": "/sub/"}),
    ("redirect goes nowhere else", get("/%2fevil.example/%2e%2e"), "404 not_found"),
    ("redirect goes nowhere else, dots", get("/x/..//evil.example/.."), "404 not_found"),
    ("a page not found has the headers too", get("/nothing.html"), "404 not_found", {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": pattern(".")}),
    ("304 has the tag and no content", get("/a.txt", "If-None-Match: *"), "304", {"ETag": pattern('"'), "Content-Length": None, "Content-Type": None,
     "Cache-Control": pattern("no-cache"), "Vary": pattern("Accept-Encoding")}),
]

CASES = [*nowhere(), *there(), *CODED, *CONDITIONS]
