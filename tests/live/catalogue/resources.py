"""The endpoints: methods, negotiation, media types, tokens, Origin and CORS, queries."""

from . import AUTH, HOST, POST, get, pattern, post

A = AUTH[:-1]
READ = "GET, HEAD, OPTIONS"
WRITE = "POST, OPTIONS"
WS = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
PAIRS = (("/chat", READ), ("/chat/abc", WRITE), ("/events", READ), ("/publish", WRITE), ("/publish/a/b", WRITE), ("/history", READ),
         ("/echo", READ), ("/token", "GET, HEAD, POST, OPTIONS"), ("/healthz", READ), ("/readyz", READ), ("/metrics", READ), ("/", READ),
         ("/a.txt", READ))


def methods():
    for path, allow in PAIRS:
        for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "TRACE", "OPTIONS"):
            name = f"{method} {path}"
            if method == "OPTIONS":
                yield name, get(path, method=method), "204", {"Allow": allow.replace("GET, HEAD, POST", "GET, HEAD, POST"), "Content-Length": None}
            elif method not in allow.split(", "):
                yield name, get(path, method=method), "405 method_not_allowed", {"Allow": allow}
        yield f"BREW {path}", get(path, method="BREW"), "501 not_implemented"


def nothing():
    for path in ("/nothing", "/healthz/", "/healthz/x", "//healthz", "/healthz//", "/HEALTHZ", "/Chat", "/chat/", "/chat/a/b", "/events/", "/events/x",
                 "/history/x", "/token/x", "/metrics/", "/api", "/healthz;x", "/healthz%20", "/healthz%00", "/healthz%2f", "/%2fhealthz", "/.healthz",
                 "/healthz.", "/echo/x", "/server-status", "/.env", "/.well-known/x", "/wp-login.php", "/cgi-bin/x", "/*", "/%2a", "/healthz\xc2".replace("\xc2", "%c2")):
        yield f"nothing at {path}", get(path), "404 not_found"
        if path in ("/nothing", "/healthz/"):
            for method in ("POST", "DELETE", "OPTIONS", "HEAD", "TRACE"):
                yield f"{method} nothing at {path}", get(path, method=method), "404 not_found"


PATHS = [
    ("escaped letters are letters", get("/%68ealthz"), "200"),
    ("escaped letters, lower-case digits", get("/%68e%61lth%7a"), "200"),
    ("escaped twice is not", get("/%2568ealthz"), "404 not_found"),
    ("dot segments are a file's", get("/./healthz"), "404 not_found"),
    ("dot segments back", get("/x/../healthz"), "404 not_found"),
    ("query that looks like a path", get("/healthz?/../../etc/passwd"), "200"),
]

CHAT = [
    ("chat, nothing asked", get("/chat"), "401 unauthorized", {"WWW-Authenticate": pattern('^Bearer realm="belfry"$')}),
    ("chat, all is well", get("/chat", A), "426 upgrade_required", {"Upgrade": pattern("(?i)websocket"), "Connection": pattern("(?i)upgrade")}),
    ("chat, bad token", get("/chat", "Authorization: Bearer x"), "401 invalid_token", {"WWW-Authenticate": pattern('error="invalid_token"')}),
    ("chat, no right to the room", get("/chat?room=x", "Authorization: Bearer $G"), "403 insufficient_scope"),
    ("chat, bad room", get("/chat?room=", A), "400 bad_field"),
    ("chat, bad format", get("/chat?format=xml", A), "400 bad_field"),
    ("chat, bad last", get("/chat?last=-1", A), "400 bad_field"),
    ("chat, browser", get("/chat?room=x", "Accept: text/html,application/xhtml+xml,*/*;q=0.8"), "303", {"Location": "/?room=x"}),
    ("chat, browser without a room", get("/chat", "Accept: text/html"), "303", {"Location": "/"}),
    ("chat, browser, room with all sorts", get("/chat?room=a%26b%0d%0aX:y%22", "Accept: text/html"), "303", {"X": None}),
    ("chat, browser, empty room", get("/chat?room=", "Accept: text/html"), "303", {"Location": "/"}),
    ("chat, browser, room not to be decoded", get("/chat?room=%zz", "Accept: text/html"), "303", {"Location": "/"}),
    ("chat, browser, long room", get("/chat?room=" + "r" * 3000, "Accept: text/html"), "303"),
    ("chat, browser, token stays out of the address", get("/chat?access_token=$T&room=x", "Accept: text/html"), "303", {"Location": "/?room=x"}),
    ("chat, browser, HEAD", get("/chat", "Accept: text/html", method="HEAD"), "303", {"Location": "/"}),
    ("chat, text/html refused by q", get("/chat", "Accept: text/html;q=0, */*", A), "426 upgrade_required"),
    ("chat, */*", get("/chat", "Accept: */*", A), "426 upgrade_required"),
    ("chat, HEAD", get("/chat", A, method="HEAD"), "426"),
    ("chat, version 8", get("/chat", A, *WS[:2], "Sec-WebSocket-Version: 8", WS[3]), "426 upgrade_required", {"Sec-WebSocket-Version": "13"}),
    ("chat, no version", get("/chat", A, *WS[:2], WS[3]), "426 upgrade_required"),
    ("chat, version twice", get("/chat", A, *WS, WS[2]), "400"),
    ("chat, no key", get("/chat", A, *WS[:3]), "400"),
    ("chat, key twice", get("/chat", A, *WS, WS[3]), "400"),
    ("chat, key short", get("/chat", A, *WS[:3], "Sec-WebSocket-Key: AAAA"), "400"),
    ("chat, key not base64", get("/chat", A, *WS[:3], "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!=="), "400"),
    ("chat, foreign subprotocol", get("/chat", A, *WS, "Sec-WebSocket-Protocol: mqtt"), "400"),
    ("chat, upgrade on 1.0", get("/chat", A, *WS, version="HTTP/1.0"), "400 bad_request x"),
    ("chat, upgrade by POST", get("/chat", A, *WS, method="POST"), "405 method_not_allowed", {"Allow": READ}),
    ("chat, upgrade with a body", get("/chat", A, *WS, "Content-Length: 2", body="hi"), "400"),
    ("chat, foreign Origin", get("/chat", A, *WS, "Origin: https://evil.example"), "403 forbidden"),
    ("chat, Origin null", get("/chat", A, *WS, "Origin: null"), "403 forbidden"),
    ("chat, no token", get("/chat", *WS), "401 unauthorized"),
    ("echo, plain GET", get("/echo"), "426 upgrade_required"),
    ("echo, foreign Origin", get("/echo", *WS, "Origin: https://evil.example"), "403 forbidden"),
    ("chat session, unknown", post("/chat/abc", "hi"), "404"),
    ("chat session, no token", post("/chat/abc", "hi", token=""), "401 unauthorized"),
    ("chat session, media", post("/chat/abc", "hi", "Content-Type: text/html"), "415 unsupported_media"),
]

J = "Content-Type: application/json"
F = "Content-Type: application/x-www-form-urlencoded"
PUBLISH = [
    ("publish text", post("/publish/catalogue/x", "hi"), "200", {"Content-Type": "application/json"}),
    ("publish without a topic", post("/publish", "hi"), "200"),
    ("publish slash, without a topic", post("/publish/", "hi"), "200"),
    ("publish no token", post("/publish/a", "hi", token=""), "401 unauthorized"),
    ("publish no right", post("/publish/a", "hi", token="$G"), "403 insufficient_scope", {"WWW-Authenticate": pattern('error="insufficient_scope"')}),
    ("publish two tokens", post("/publish/a?access_token=$T", "hi"), "400 invalid_request"),
    ("publish token twice", post("/publish/a", "hi", AUTH[:-1]), "400 invalid_request"),
    ("publish Basic is no token", post("/publish/a", "hi", "Authorization: Basic dTpw", token=""), "401 unauthorized"),
    ("publish bearer in lower case", post("/publish/catalogue/x", "hi", "Authorization: bearer $T", token=""), "200"),
    ("publish text/plain", post("/publish/catalogue/x", "hi", "Content-Type: text/plain; charset=utf-8"), "200"),
    ("publish TEXT/PLAIN", post("/publish/catalogue/x", "hi", "Content-Type: TEXT/PLAIN"), "200"),
    ("publish octets", post("/publish/catalogue/x", "hi", "Content-Type: application/octet-stream"), "200"),
    ("publish Content-Type empty", post("/publish/catalogue/x", "hi", "Content-Type:"), "415 unsupported_media"),
    ("publish image", post("/publish/catalogue/x", "hi", "Content-Type: image/png"), "415 unsupported_media"),
    ("publish multipart", post("/publish/catalogue/x", "hi", "Content-Type: multipart/form-data; boundary=x"), "415 unsupported_media"),
    ("publish xml", post("/publish/catalogue/x", "<x/>", "Content-Type: application/xml"), "415 unsupported_media"),
    ("publish type malformed", post("/publish/catalogue/x", "hi", "Content-Type: json"), "415 unsupported_media"),
    ("publish two types", post("/publish/catalogue/x", "hi", "Content-Type: text/plain", J), "400 bad_request"),
    ("publish json", post("/publish/catalogue/x", '{"message":"hi"}', J), "200"),
    ("publish json charset", post("/publish/catalogue/x", '{"message":"hi"}', J + ";charset=UTF-8"), "200"),
    ("publish json parameter", post("/publish/catalogue/x", '{"message":"hi"}', J + " ; x=y"), "200"),
    ("publish json array", post("/publish/catalogue/x", '[{"message":"hi"},{"message":"ho"}]', J), "200"),
    ("publish json empty array", post("/publish/catalogue/x", "[]", J), "400 bad_field"),
    ("publish json broken", post("/publish/catalogue/x", '{"message":', J), "400 bad_json"),
    ("publish json two values", post("/publish/catalogue/x", '{"message":"a"}{}', J), "400 bad_json"),
    ("publish json string", post("/publish/catalogue/x", '"hi"', J), "400 bad_field"),
    ("publish json empty body", post("/publish/catalogue/x", "", J), "400"),
    ("publish json not UTF-8", post("/publish/catalogue/x", '{"message":"\xff"}', J), "400 bad_json"),
    ("publish json wrong type", post("/publish/catalogue/x", '{"message":1}', J), "400 bad_field"),
    ("publish json other topic", post("/publish/a", '{"topic":"b","message":"x"}', J), "400 bad_field"),
    ("publish json same topic", post("/publish/catalogue/x", '{"topic":"catalogue/x","message":"x"}', J), "200"),
    ("publish json event reserved", post("/publish/catalogue/x", '{"message":"x","event":"gap"}', J), "400 bad_field"),
    ("publish json priority 6", post("/publish/catalogue/x", '{"message":"x","priority":6}', J), "400 bad_field"),
    ("publish header priority 6 ignored", post("/publish/catalogue/x", "x", "Priority: 6"), "200"),
    ("publish header priority RFC 9218", post("/publish/catalogue/x", "x", "Priority: u=1, i"), "200"),
    ("publish header title UTF-8", post("/publish/catalogue/x", "x", "Title: caf\xc3\xa9"), "200"),
    ("publish header title not UTF-8", post("/publish/catalogue/x", "x", "Title: \xff"), "400 bad_field"),
    ("publish header key too long", post("/publish/catalogue/x", "x", "Key: " + "k" * 65), "400 bad_field"),
    ("publish empty", post("/publish/catalogue/x", ""), "400"),
    ("publish white space", post("/publish/catalogue/x", " \n\t "), "400"),
    ("publish not UTF-8", post("/publish/catalogue/x", "\xff\xfe"), "400"),
    ("publish form", post("/publish/catalogue/x", "message=hi&title=x", F), "200"),
    ("publish form as text", post("/publish/catalogue/x", "hello there", F), "200"),
    ("publish above limits.message", post("/publish/catalogue/x", "x" * 5000), "413 too_large"),
    ("publish topic of 200 bytes", post("/publish/" + "t" * 200, "x"), "200"),
    ("publish topic of 201 bytes", post("/publish/" + "t" * 201, "x"), "400 bad_field"),
    ("publish 9 segments", post("/publish/1/2/3/4/5/6/7/8/9", "x"), "400 bad_field"),
    ("publish empty segment", post("/publish/a//b", "x"), "400 bad_field"),
    ("publish trailing slash", post("/publish/a/", "x"), "400 bad_field"),
    ("publish pattern", post("/publish/a/*", "x"), "400"),
    ("publish bad escape", post("/publish/%zz", "x"), "400 bad_field"),
    ("publish cut escape", post("/publish/a%2", "x"), "400 bad_field"),
    ("publish NUL escaped", post("/publish/a%00", "x"), "400 bad_field"),
    ("publish CR LF escaped", post("/publish/a%0d%0ab", "x"), "400 bad_field"),
    ("publish C1 escaped", post("/publish/%c2%85", "x"), "400 bad_field"),
    ("publish not UTF-8 escaped", post("/publish/%ff", "x"), "400 bad_field"),
    ("publish overlong escaped", post("/publish/%c0%af", "x"), "400 bad_field"),
    ("publish slash escaped", post("/publish/catalogue%2Fx", "x"), "200"),
    ("publish dots are names", post("/publish/../x", "x"), "200"),
    ("publish under server/", post("/publish/server/x", "x"), "403"),
    ("publish at, malformed", post("/publish/catalogue/x", "x", "At: tomorrow"), "400/501"),
    ("delete unknown scheduled", get("/publish/abc", A, method="DELETE"), "405/404/501"),
]

TOKEN = [
    ("token, none", get("/token"), "200", {"Cache-Control": pattern("no-store")}),
    ("token, good", get("/token", A), "200"),
    ("token, bad", get("/token", "Authorization: Bearer x"), "401 invalid_token"),
    ("token, empty bearer", get("/token", "Authorization: Bearer"), "400 invalid_request"),
    ("token, guest", post("/token", '{"name":"Ada"}', J, token=""), "200"),
    ("token, guest of a foreign Origin", post("/token", '{"name":"Ada"}', J, "Origin: https://evil.example", token=""), "403 forbidden"),
    ("token, guest, media", post("/token", "name=Ada", token=""), "415 unsupported_media"),
    ("token, guest, form", post("/token", "name=Ada", F, token=""), "415 unsupported_media"),
    ("token, guest, no name", post("/token", "{}", J, token=""), "400 bad_field"),
    ("token, guest, empty name", post("/token", '{"name":" "}', J, token=""), "400 bad_field"),
    ("token, guest, wrong type", post("/token", '{"name":1}', J, token=""), "400 bad_field"),
    ("token, guest, long name", post("/token", '{"name":"' + "a" * 65 + '"}', J, token=""), "400 bad_field"),
    ("token, guest, not JSON", post("/token", "{", J, token=""), "400 bad_json"),
    ("token, guest, array", post("/token", "[]", J, token=""), "400 bad_field"),
    ("token, guest, no body", post("/token", "", J, token=""), "400 bad_json"),
]

H = "/history?topic=catalogue/h"
HISTORY = [
    ("history", get(H, A), "200", {"Content-Type": "application/json", "Cache-Control": pattern("no-store|no-cache")}),
    ("history HEAD", get(H, A, method="HEAD"), "200"),
    ("history no token", get(H), "401 unauthorized"),
    ("history no right", get(H, "Authorization: Bearer $G"), "403 insufficient_scope"),
    ("history token in the query", get(H + "&access_token=$T"), "200"),
    ("history no topic", get("/history", A), "400 bad_field"),
    ("history empty topic", get("/history?topic=", A), "400 bad_field"),
    ("history bad topic", get("/history?topic=a//b", A), "400 bad_field"),
    ("history NUL in topic", get("/history?topic=a%00", A), "400 bad_field"),
    ("history bad escape", get("/history?topic=%zz", A), "400 bad_field"),
    ("history not UTF-8", get("/history?topic=%ff", A), "400 bad_field"),
    ("history limit 0", get(H + "&limit=0", A), "200"),
    ("history limit 1", get(H + "&limit=1", A), "200"),
    ("history limit 1000", get(H + "&limit=1000", A), "200"),
    ("history limit 1001", get(H + "&limit=1001", A), "200"),
    ("history limit huge", get(H + "&limit=99999999999999999999", A), "200"),
    ("history limit negative is clamped", get(H + "&limit=-1", A), "200"),
    ("history limit word", get(H + "&limit=ten", A), "400 bad_field"),
    ("history limit plus", get(H + "&limit=%2B1", A), "400 bad_field"),
    ("history limit empty", get(H + "&limit=", A), "400 bad_field"),
    ("history limit space", get(H + "&limit=+1", A), "400 bad_field"),
    ("history before 0", get(H + "&before=0", A), "400 bad_field"),
    ("history before huge", get(H + "&before=99999999999999999999", A), "200"),
    ("history before word", get(H + "&before=x", A), "400 bad_field"),
    ("history after all", get(H + "&after=all", A), "200"),
    ("history after duration", get(H + "&after=10m", A), "200"),
    ("history after time", get(H + "&after=2026-01-01T00:00:00Z", A), "200"),
    ("history after junk", get(H + "&after=yesterday", A), "400 bad_field"),
    ("history after 0", get(H + "&after=0", A), "200"),
    ("history text", get(H + "&q=hello", A), "200"),
    ("history foreign Origin may ask, but not read", get(H, A, "Origin: https://evil.example"), "200", {"Access-Control-Allow-Origin": None}),
    ("healthz", get("/healthz"), "200", {"Content-Type": "application/json", "Cache-Control": pattern("no-store|no-cache")}),
    ("readyz", get("/readyz"), "200", {"Content-Type": "application/json"}),
    ("metrics", get("/metrics"), "200", {"Content-Type": pattern("^text/plain; version=0.0.4")}),
    ("api no token", get("/api/stats"), "401 unauthorized"),
    ("api no admin", get("/api/stats", A), "403 insufficient_scope"),
    ("api what is not there, no token", get("/api/nothing"), "401 unauthorized"),
    ("api stats", get("/api/stats", "Authorization: Bearer $R"), "200"),
    ("api what is not there", get("/api/nothing", "Authorization: Bearer $R"), "404 not_found"),
    ("api topics", get("/api/topics", "Authorization: Bearer $R"), "200"),
    ("api members", get("/api/topics/chat/x/members", "Authorization: Bearer $R"), "200"),
    ("api members of a pattern", get("/api/topics/*/members", "Authorization: Bearer $R"), "400 bad_field"),
    ("api connections", get("/api/connections", "Authorization: Bearer $R"), "200"),
    ("api DELETE connection unknown", get("/api/connections/0123456789abcdef", "Authorization: Bearer $R", method="DELETE"), "404 not_found"),
    ("api DELETE connection malformed", get("/api/connections/x", "Authorization: Bearer $R", method="DELETE"), "404 not_found"),
    ("api PUT", get("/api/stats", "Authorization: Bearer $R", method="PUT"), "405 method_not_allowed"),
    ("api POST stats", get("/api/stats", "Authorization: Bearer $R", method="POST"), "405 method_not_allowed", {"Allow": READ}),
    ("api GET reload", get("/api/reload", "Authorization: Bearer $R"), "405 method_not_allowed", {"Allow": WRITE}),
    ("api foreign Origin", get("/api/reload", "Authorization: Bearer $R", "Origin: https://evil.example", method="POST"), "403 forbidden"),
]

EV = "/events?topic=catalogue/e&wait=0"
E = "Accept: text/event-stream"
EVENTS = [
    ("events", get(EV, A, E), "200 x", {"Content-Type": pattern("^text/event-stream"), "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}),
    ("events HEAD", get(EV, A, E, method="HEAD"), "200 x", {"Content-Type": pattern("^text/event-stream")}),
    ("events without Accept", get(EV, A), "200 x", {"Content-Type": pattern("^text/event-stream")}),
    ("events */*", get(EV, A, "Accept: */*"), "200 x", {"Content-Type": pattern("^text/event-stream")}),
    ("events text/*", get(EV, A, "Accept: text/*"), "200 x", {"Content-Type": pattern("^text/event-stream")}),
    ("events NDJSON", get(EV, A, "Accept: application/x-ndjson"), "200 x", {"Content-Type": pattern("^application/x-ndjson")}),
    ("events NDJSON by q", get(EV, A, "Accept: text/event-stream;q=0.5, application/x-ndjson"), "200 x", {"Content-Type": pattern("^application/x-ndjson")}),
    ("events NDJSON in a second field", get(EV, A, "Accept: text/html", "Accept: application/x-ndjson"), "200 x", {"Content-Type": pattern("^application/x-ndjson")}),
    ("events 1.0", get(EV, A, version="HTTP/1.0"), "200 x"),
    ("events no token", get(EV), "401 unauthorized"),
    ("events no right", get(EV, "Authorization: Bearer $G"), "403 insufficient_scope"),
    ("events foreign Origin", get(EV, A, "Origin: https://evil.example"), "403 forbidden"),
    ("events Origin null", get(EV, A, "Origin: null"), "403 forbidden"),
    ("events listed Origin", get(EV, A, "Origin: https://ok.example"), "200 x", {"Access-Control-Allow-Origin": "https://ok.example"}),
    ("events unreadable position", get(EV, A, "Last-Event-ID: junk"), "200 x"),
    ("events position of the future", get(EV, A, "Last-Event-ID: 9007199254740991"), "200 x"),
    ("events position overlong", get(EV, A, "Last-Event-ID: " + "9" * 400), "200 x"),
    ("events position empty", get(EV, A, "Last-Event-ID:"), "200 x"),
    ("events bad pattern", get("/events?topic=a/**/b&wait=0", A), "400 bad_field"),
    ("events last negative", get(EV + "&last=-1", A), "400 bad_field"),
    ("events last 5000", get(EV + "&last=5000", A), "200 x"),
]

OK, BAD = "Origin: https://ok.example", "Origin: https://evil.example"
ACAO, ACAM = "Access-Control-Allow-Origin", "Access-Control-Allow-Methods"
ASK = "Access-Control-Request-Method: "
CORS = [
    ("preflight listed", get("/publish/a", OK, ASK + "POST", "Access-Control-Request-Headers: authorization,content-type,title", method="OPTIONS"), "204",
     {ACAO: "https://ok.example", ACAM: pattern("POST"), "Access-Control-Allow-Headers": pattern("(?i)authorization.*content-type.*last-event-id.*title"),
      "Content-Length": None}),
    ("preflight wildcard host", get("/events", "Origin: https://a.wild.example", ASK + "GET", method="OPTIONS"), "204", {ACAO: "https://a.wild.example"}),
    ("preflight deep wildcard host", get("/events", "Origin: https://a.b.wild.example", ASK + "GET", method="OPTIONS"), "204"),
    ("preflight wildcard's own host", get("/events", "Origin: https://wild.example", ASK + "GET", method="OPTIONS"), "403 forbidden"),
    ("preflight wildcard suffix", get("/events", "Origin: https://evilwild.example", ASK + "GET", method="OPTIONS"), "403 forbidden"),
    ("preflight wildcard other scheme", get("/events", "Origin: http://a.wild.example", ASK + "GET", method="OPTIONS"), "403 forbidden"),
    ("preflight wildcard other port", get("/events", "Origin: https://a.wild.example:8443", ASK + "GET", method="OPTIONS"), "403 forbidden"),
    ("preflight default port", get("/events", "Origin: https://ok.example:443", ASK + "GET", method="OPTIONS"), "204"),
    ("preflight foreign", get("/publish/a", BAD, ASK + "POST", method="OPTIONS"), "403 forbidden", {ACAO: None, ACAM: None}),
    ("preflight null", get("/publish/a", "Origin: null", ASK + "POST", method="OPTIONS"), "403 forbidden", {ACAO: None}),
    ("preflight same host", get("/publish/a", "Origin: http://localhost", ASK + "POST", method="OPTIONS"), "204"),
    ("preflight two Origins", get("/publish/a", OK, BAD, ASK + "POST", method="OPTIONS"), "403 forbidden", {ACAO: None}),
    ("preflight list of Origins", get("/publish/a", "Origin: https://ok.example https://evil.example", ASK + "POST", method="OPTIONS"), "403 forbidden"),
    ("preflight Origin with a path", get("/publish/a", "Origin: https://ok.example/", ASK + "POST", method="OPTIONS"), "403 forbidden"),
    ("preflight Origin user", get("/publish/a", "Origin: https://ok.example@evil.example", ASK + "POST", method="OPTIONS"), "403 forbidden"),
    ("preflight Origin empty", get("/publish/a", "Origin:", ASK + "POST", method="OPTIONS"), "403 forbidden"),
    ("preflight method not there", get("/publish/a", OK, ASK + "PUT", method="OPTIONS"), "204", {ACAM: WRITE}),
    ("preflight of nothing", get("/nothing", OK, ASK + "POST", method="OPTIONS"), "404 not_found"),
    ("preflight asks for no token", get("/history?topic=a", OK, ASK + "GET", "Access-Control-Request-Headers: authorization", method="OPTIONS"), "204"),
    ("OPTIONS with Origin, no preflight", get("/publish/a", OK, method="OPTIONS"), "204", {"Allow": WRITE, ACAO: "https://ok.example"}),
    ("listed Origin on a GET", get("/healthz", OK), "200", {ACAO: "https://ok.example", "Vary": pattern("Origin")}),
    ("listed Origin on a refusal", get("/history?topic=a", OK), "401 unauthorized", {ACAO: "https://ok.example"}),
    ("listed Origin on a 404", get("/nothing", OK), "404 not_found", {ACAO: "https://ok.example"}),
    ("foreign Origin on a GET", get("/healthz", BAD), "200", {ACAO: None, "Vary": pattern("Origin")}),
    ("foreign Origin publishes", post("/publish/a", "x", BAD), "403 forbidden", {ACAO: None}),
    ("null Origin publishes", post("/publish/a", "x", "Origin: null"), "403 forbidden"),
    ("own Origin publishes", post("/publish/catalogue/x", "x", "Origin: http://localhost"), "200"),
    ("own Origin, https in front", post("/publish/catalogue/x", "x", "Origin: https://localhost"), "200"),
    ("own host, other port", post("/publish/catalogue/x", "x", "Origin: http://localhost:81"), "403 forbidden"),
    ("listed Origin publishes", post("/publish/catalogue/x", "x", OK), "200", {ACAO: "https://ok.example"}),
    ("X-Forwarded-Host of a trusted proxy", post("/publish/catalogue/x", "x", "Origin: https://chat.example", "X-Forwarded-Host: chat.example"), "200"),
    ("X-Forwarded-Host of another", post("/publish/catalogue/x", "x", "Origin: https://chat.example", "X-Forwarded-Host: other.example"), "403 forbidden"),
    ("no Vary: Origin without CORS is fine, with it always", get("/healthz"), "200", {"Vary": pattern("Origin")}),
]

CASES = [*methods(), *nothing(), *PATHS, *CHAT, *PUBLISH, *TOKEN, *HISTORY, *EVENTS, *CORS]
