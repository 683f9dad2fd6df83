#include <errno.h>
#include <stdio.h>

#include "base/diag.h"
#include "core/config.h"
#include "core/counters.h"
#include "core/hub.h"
#include "core/moderation.h"
#include "serve/serve.h"

int
serve_verify_refresh(struct hub *h, struct slice token, struct claims **out, struct refusal *r)
{
	struct serve *s = h->owner;
	struct token_refusal why = {0};
	char quoted[DIAG_QUOTED];
	int result;

	counter_add(h->counters, COUNTER_TOKENS_CHECKED, 1);
	result =
	    token_cache_check(s->tokens, s->keyring, s->config, token, h->now_ms / 1000, out, &why);
	counter_set(h->counters, COUNTER_TOKENS_CACHED, token_cache_hits(s->tokens));
	if (result == 0 && moderation_is_revoked(h, *out)) {
		claims_unref(*out);
		*out = NULL;
		serve_revoked(&why);
		result = -EACCES;
	}
	if (result == 0)
		return 0;
	if (result != -EACCES)
		return refuse_memory(r);
	counter_add(h->counters, COUNTER_TOKENS_REFUSED, 1);
	counter_failed_name(h->counters, why.check);
	diag_peer(s->diag, DIAG_INFO, "auth.refused", "command=refresh check=%s reason=%s",
	    why.check == NULL ? "-" : why.check, diag_quote(slice_str(why.text), quoted));
	return refuse(r, ERROR_INVALID_TOKEN, "%s",
	    s->config->auth.explain ? why.text : "the token was refused");
}
