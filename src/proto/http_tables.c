#include "proto/http.h"

#include "proto/http_chars.h"

/* --- bytes --- */

#define IN(c, low, high) ((c) >= (low) && (c) <= (high))
#define IS_ALNUM(c)      (IN(c, '0', '9') || IN(c, 'A', 'Z') || IN(c, 'a', 'z'))
#define IS_HEX(c)        (IN(c, '0', '9') || IN(c, 'A', 'F') || IN(c, 'a', 'f'))
#define IS_TOKEN(c)                                                                                \
	(IS_ALNUM(c) || IN(c, '#', '\'') || IN(c, '^', '`') || (c) == '!' || (c) == '*' ||         \
	    (c) == '+' || (c) == '-' || (c) == '.' || (c) == '|' || (c) == '~')
#define IS_FIELD(c) ((c) == '\t' || IN(c, ' ', 0x7e) || (c) >= 0x80)
/*
 * RFC 3986 has neither quotes, angle brackets, nor the others left out here; browsers send some
 * of them as they are (URL Standard, path and query percent-encode sets), so those pass.
 */
#define IS_QUERY(c) (IN(c, '!', 0x7e) && (c) != '"' && (c) != '#' && (c) != '<' && (c) != '>')
#define IS_PATH(c)                                                                                 \
	(IS_QUERY(c) && (c) != '?' && (c) != '\\' && (c) != '^' && (c) != '`' && (c) != '{' &&     \
	    (c) != '}')

#define CLASS(c)                                                                                   \
	(uint8_t)((IS_TOKEN(c) ? HTTP_C_TOKEN : 0) | (IS_FIELD(c) ? HTTP_C_FIELD : 0) |            \
		  (IS_PATH(c) ? HTTP_C_PATH : 0) | (IS_QUERY(c) ? HTTP_C_QUERY : 0) |              \
		  (IS_HEX(c) ? HTTP_C_HEX : 0))
#define CLASS4(c)  CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define CLASS16(c) CLASS4(c), CLASS4((c) + 4), CLASS4((c) + 8), CLASS4((c) + 12)
#define CLASS64(c) CLASS16(c), CLASS16((c) + 16), CLASS16((c) + 32), CLASS16((c) + 48)

const uint8_t http_byte_classes[256] = {CLASS64(0), CLASS64(64), CLASS64(128), CLASS64(192)};

bool
http_is_token(struct slice s)
{
	return s.n > 0 && http_span(s, HTTP_C_TOKEN) == s.n;
}

/* --- methods --- */

static const struct slice method_names[HTTP_METHODS] = {
    [HTTP_GET] = {"GET", 3},
    [HTTP_HEAD] = {"HEAD", 4},
    [HTTP_POST] = {"POST", 4},
    [HTTP_PUT] = {"PUT", 3},
    [HTTP_DELETE] = {"DELETE", 6},
    [HTTP_OPTIONS] = {"OPTIONS", 7},
    [HTTP_PATCH] = {"PATCH", 5},
    [HTTP_CONNECT] = {"CONNECT", 7},
    [HTTP_TRACE] = {"TRACE", 5},
    [HTTP_METHOD_UNKNOWN] = {"", 0},
};

const char *
http_method_name(enum http_method m)
{
	return (unsigned)m < HTTP_METHODS ? method_names[m].p : "";
}

enum http_method
http_method_of(struct slice name)
{
	for (int m = HTTP_GET; m < HTTP_METHOD_UNKNOWN; m++) {
		if (slice_eq(name, method_names[m]))
			return (enum http_method)m;
	}
	return HTTP_METHOD_UNKNOWN;
}

/* --- errors --- */

static const struct {
	int error;
	int status;
	const char *text;
} errors[] = {
    {HTTP_E_BAD_LINE, 400, "The request line is malformed."},
    {HTTP_E_BAD_VERSION, 505, "Only HTTP/1.1 and HTTP/1.0 are spoken here."},
    {HTTP_E_TARGET_TOO_LONG, 414, "The request target is longer than 8000 bytes."},
    {HTTP_E_BAD_TARGET, 400, "The request target is malformed."},
    {HTTP_E_HEAD_TOO_LARGE, 431, "The request's head is too large."},
    {HTTP_E_TOO_MANY_HEADERS, 431, "The request has more than 200 header fields."},
    {HTTP_E_BAD_HEADER, 400, "A header field is malformed."},
    {HTTP_E_BARE_LF, 400, "A line of the head ends without a carriage return."},
    {HTTP_E_BARE_CR, 400, "The head has a carriage return that ends no line."},
    {HTTP_E_NO_HOST, 400, "The Host header field is missing."},
    {HTTP_E_MANY_HOSTS, 400, "There is more than one Host header field."},
    {HTTP_E_BAD_HOST, 400, "The Host header field is malformed."},
    {HTTP_E_BAD_LENGTH, 400, "Content-Length is not one decimal number."},
    {HTTP_E_LENGTH_AND_CHUNKED, 400, "Content-Length and Transfer-Encoding exclude each other."},
    {HTTP_E_BAD_ENCODING, 400, "Transfer-Encoding can only be chunked, once."},
    {HTTP_E_UNKNOWN_ENCODING, 501, "Transfer-Encoding can only be chunked."},
    {HTTP_E_ENCODING_ON_1_0, 400, "HTTP/1.0 has no Transfer-Encoding."},
    {HTTP_E_BAD_EXPECT, 417, "Only Expect: 100-continue is understood."},
    {HTTP_E_BAD_CHUNK, 400, "The chunked body is malformed."},
    {HTTP_E_BAD_TRAILER, 400, "A trailer field of the chunked body is malformed."},
    {HTTP_E_BODY_TOO_LARGE, 413, "The request's body is too large."},
};

int
http_error_status(int error)
{
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		if (errors[i].error == error)
			return errors[i].status;
	}
	return 400;
}

const char *
http_error_text(int error)
{
	for (size_t i = 0; i < ARRAY_LEN(errors); i++) {
		if (errors[i].error == error)
			return errors[i].text;
	}
	return "The request is malformed.";
}

/* --- status codes (RFC 9110 15, RFC 6585) --- */

static const struct {
	int status;
	const char *text;
} statuses[] = {
    {100, "Continue"},
    {101, "Switching Protocols"},
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *
http_status_text(int status)
{
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		if (statuses[i].status == status)
			return statuses[i].text;
	}
	return "";
}
