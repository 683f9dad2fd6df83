"""
A catalogue of HTTP requests and what RFC 9110, 9111, 9112 and the wire's description want to be answered.

A case is (name, request, answers[, header fields]). The request is text: a line feed in it stands for CRLF, ␊ for a lone LF, ␍ for a lone CR,
␀ for NUL, $T for a token that may do all, $G for one that may do nothing; other characters are Latin-1. Answers are
`STATUS[/STATUS] [code]`, joined by `|`; an `x` at the end: the connection ends with it, and what follows is not read; else the next request
on the connection must be answered. Header fields are those of the last answer: a text, None (must not be there), or a pattern.
"""

import re

LF, CR, NUL = "␊", "␍", "␀"
HOST = "Host: localhost\n"
AUTH = "Authorization: Bearer $T\n"
POST = "POST /publish/catalogue/x HTTP/1.1\n" + HOST + AUTH


def get(path="/healthz", *fields, method="GET", version="HTTP/1.1", host=HOST, body=""):
    """A request with a good Host and further fields."""
    return f"{method} {path} {version}\n{host}" + "".join(f + "\n" for f in fields) + "\n" + body


def post(path, body="", *fields, token="$T", method="POST"):
    """A request with a body that is framed as it should be; the body's own line feeds are not changed."""
    auth = [f"Authorization: Bearer {token}"] if token else []
    return get(path, *auth, *fields, f"Content-Length: {len(body)}", method=method, body=body.replace("\n", LF))


def pattern(text):
    return re.compile(text)
