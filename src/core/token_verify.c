#include "core/token_private.h"

#include <errno.h>

#include <jwt.h>
#include <openssl/err.h>

/*
 * libjwt 1.10 behind guards. It checks no signature at all without a key, takes `alg` in any
 * case and in any family that the key's bytes happen to fit, and reads JSON laxly. So: the
 * caller has read header and payload strictly, has bound the algorithm to a key of its own
 * kind, and takes nothing from libjwt but the one answer.
 */

static const jwt_alg_t algorithms[ALG_COUNT] = {
    [ALG_HS256] = JWT_ALG_HS256,
    [ALG_HS384] = JWT_ALG_HS384,
    [ALG_HS512] = JWT_ALG_HS512,
    [ALG_RS256] = JWT_ALG_RS256,
    [ALG_RS384] = JWT_ALG_RS384,
    [ALG_RS512] = JWT_ALG_RS512,
    [ALG_ES256] = JWT_ALG_ES256,
    [ALG_ES384] = JWT_ALG_ES384,
    [ALG_ES512] = JWT_ALG_ES512,
};

int
token_verify(unsigned alg, struct slice key, const char *token)
{
	jwt_t *jwt = NULL;
	bool is_short;
	int r;

	if (alg >= ALG_COUNT || key.p == NULL || key.n == 0 || key.n > TOKEN_SECRET_MAX)
		return -EACCES;
	/*
	 * libjwt tells memory that ran out below it as a signature that does not hold: whoever has
	 * a good token must not hear that, and an EventSource would never come back
	 */
	errno = 0;
	r = jwt_decode(&jwt, token, (const unsigned char *)key.p, (int)key.n);
	is_short = errno == ENOMEM;
	if (r == 0 && (jwt == NULL || jwt_get_alg(jwt) != algorithms[alg]))
		r = EINVAL;
	if (jwt != NULL)
		jwt_free(jwt);
	ERR_clear_error(); /* what it leaves there would be read by the next TLS call of this thread */
	if (r == 0)
		return 0;
	return r == ENOMEM || is_short ? -ENOMEM : -EACCES;
}
