#include "base/mem.h"
#include "base/rng.h"
#include "net/conn_private.h"

/* What unfinished input counts for in limits.memory, and what happens above it. */

static size_t
input_of(const struct conn *c)
{
	if (c->has_upgraded)
		return conn_rest_n(c) + ws_decoder_memory(&c->decoder);
	return conn_rest_n(c) + c->http->bytes.cap + c->http->head.cap;
}

void
conn_count_input(struct conn *c)
{
	uint32_t now;

	if (c->state == CONN_DEAD)
		return;
	now = (uint32_t)min_size(input_of(c), UINT32_MAX);
	if (now == c->input)
		return;
	c->net->memory += now;
	c->net->memory -= c->input;
	c->net->input += now;
	c->net->input -= c->input;
	c->input = now;
}

/*
 * What it has is given back at once: the peer may take its time to read the answer. Held back, it
 * does not grow: then it may keep what it has.
 */
static void
turn_away(struct conn *c)
{
	struct refusal why = {0};

	switch ((enum conn_state)c->state) {
	case CONN_HEAD:
	case CONN_BODY:
		buf_done(&c->http->head);
		(void)refuse_limit(&why, ERROR_UNAVAILABLE, "limits.memory", 2 + rng_below(8),
		    "the daemon's memory for queues and bodies is used up");
		conn_http_refuse(c, &why);
		break;
	case CONN_WS:
	case CONN_WS_CLOSING:
		conn_ws_fail(c, WS_CLOSE_TRY_LATER, "limits.memory is used up", CLOSE_LIMIT);
		ws_decoder_done(&c->decoder);
		break;
	case CONN_ANSWER:
	case CONN_STREAM:
	case CONN_FINISH:
	case CONN_DEAD:
		return;
	}
	mem_free(c->rest);
	c->rest = NULL;
	conn_count_input(c);
}

/*
 * Queues may take all of limits.memory for a moment, when many are told something big: that alone
 * cuts nobody off in the middle of a message.
 */
static bool
is_input_too_much(const struct net *n)
{
	return net_is_full(n) && n->input > n->config->limits.memory / INPUT_SHARE / n->n_workers;
}

void
conn_check_input(struct conn *c)
{
	uint32_t before = c->input;

	conn_count_input(c);
	if (c->input > before && c->input > INPUT_SPARED && is_input_too_much(c->net) &&
	    !c->is_held && !c->is_doomed)
		turn_away(c);
}

void
conn_drop_stalled(struct net *n)
{
	struct conn *c;
	struct conn *next;

	if (n->now_ms < n->looked_ms + STALLED_MS)
		return;
	n->looked_ms = n->now_ms;
	TAILQ_FOREACH_SAFE (c, &n->conns, all, next) {
		if (c->has_stalled)
			conn_close(c, CLOSE_SLOW);
		else
			c->has_stalled = c->out.n > 0;
	}
}
