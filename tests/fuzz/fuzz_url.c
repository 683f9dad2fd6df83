/*
 * URLs. The first byte chooses what the rest is taken for.
 */
#include <stdint.h>
#include <stdlib.h>

#include "base/buf.h"
#include "proto/url.h"

#define MAX_TEXT 100000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what)                                                                              \
	do {                                                                                       \
		if (!(what))                                                                       \
			abort();                                                                   \
	} while (0)

/* What was decoded, encoded and decoded again is the same. */
static void
try_decode(struct slice s)
{
	char *plain = malloc(s.n + 1);
	char *again = malloc(s.n + 1);
	struct buf encoded = BUF_INIT(MAX_TEXT);
	ssize_t n;

	REQUIRE(plain != NULL && again != NULL);
	n = url_decode(s, true, plain);
	REQUIRE(n <= (ssize_t)s.n);
	if (n >= 0 && url_encode(&encoded, slice_of(plain, (size_t)n), "/:@") == 0) {
		REQUIRE(encoded.n <= s.n * 3);
		if (encoded.n <= s.n) {
			REQUIRE(url_decode(buf_slice(&encoded), true, again) == n);
			REQUIRE(memcmp(plain, again, (size_t)n) == 0);
		}
	}
	buf_done(&encoded);
	free(plain);
	free(again);
}

/* A normal path starts at the root, leaves it nowhere, and is the same when normalised again. */
static void
try_path(struct slice s)
{
	char out[300];
	ssize_t n;

	memset(out, 'x', sizeof(out));
	n = url_path_normalize(s, out, 257);
	for (size_t i = 257; i < sizeof(out); i++)
		REQUIRE(out[i] == 'x');
	if (n < 0)
		return;
	REQUIRE(n > 0 && n < 257 && out[0] == '/' && strlen(out) == (size_t)n);
	REQUIRE(
	    strstr(out, "//") == NULL && strstr(out, "/../") == NULL && strstr(out, "/./") == NULL);
	REQUIRE(strchr(out, '\\') == NULL);
	REQUIRE(n < 3 || strcmp(out + n - 3, "/..") != 0);
	REQUIRE(n < 2 || strcmp(out + n - 2, "/.") != 0);
}

static void
try_query(struct slice s)
{
	struct buf b = BUF_INIT(MAX_TEXT);
	struct slice rest = s;
	struct slice name;
	struct slice value;
	size_t n = 0;

	while (url_query_next(&rest, &name, &value)) {
		n += name.n + value.n;
		REQUIRE(name.p >= s.p && name.p + name.n <= s.p + s.n);
		REQUIRE(value.p == NULL || (value.p >= s.p && value.p + value.n <= s.p + s.n));
	}
	REQUIRE(n <= s.n);
	if (url_query_get(s, "room", &b, &value) == 1)
		REQUIRE(value.p + value.n + 1 == b.p + b.n && value.p[value.n] == '\0');
	buf_done(&b);
}

static void
try_authority(struct slice s)
{
	struct slice scheme;
	struct slice host;
	int port;

	if (url_split_authority(s, &host, &port) == 0) {
		REQUIRE(host.p == s.p && host.n > 0 && host.n <= s.n && port >= 0 && port <= 65535);
		REQUIRE(memchr(s.p, '/', s.n) == NULL && memchr(s.p, '@', s.n) == NULL);
	}
	if (url_origin_authority(s, &scheme, &host, &port) == 0)
		REQUIRE(scheme.p == s.p && host.n > 0 && host.p + host.n <= s.p + s.n && port >= 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const tries[])(struct slice) = {
	    try_decode, try_path, try_query, try_authority};
	char *block;

	if (size < 1)
		return 0;
	block = malloc(size);
	REQUIRE(block != NULL);
	memcpy(block, data, size);
	tries[data[0] % ARRAY_LEN(tries)](slice_of(block + 1, size - 1));
	free(block);
	return 0;
}
