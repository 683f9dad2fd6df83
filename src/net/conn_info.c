#include <stdio.h>

#include "net/conn_private.h"
#include "proto/json.h"

/* What the administrator sees of connections. */

static const char *
kind_name(const struct conn *c)
{
	static const char *const names[] = {"http", "websocket", "events", "chat_sse"};

	return names[c->kind];
}

int
conn_describe(const struct conn *c, struct buf *out)
{
	const struct conn_ops *ops = conn_ops_of(c);
	char number[24];
	char peer[EXCHANGE_PEER];

	(void)snprintf(number, sizeof(number), "%016llx", (unsigned long long)c->number);
	(void)buf_add_char(out, '{'); /* a failure sticks */
	(void)json_add_member_string(out, "id", slice_str(number));
	(void)json_add_member_string(out, "kind", slice_str(kind_name(c)));
	(void)json_add_member_string(out, "peer", slice_str(conn_peer(c, peer)));
	(void)json_add_member_u64(out, "queued", c->out.bytes);
	if (ops != NULL && ops->describe != NULL)
		ops->describe(c->data, out);
	return buf_add_char(out, '}');
}

struct conn *
net_find(struct net *n, uint64_t number)
{
	struct conn *c;

	TAILQ_FOREACH (c, &n->conns, all) {
		if (c->number == number)
			return c;
	}
	return NULL;
}

void
net_each(struct net *n, bool (*each)(struct conn *c, void *ctx), void *ctx)
{
	struct conn *c;
	struct conn *next;

	TAILQ_FOREACH_SAFE (c, &n->conns, all, next) {
		if (!each(c, ctx))
			return;
	}
}

void
conn_visit(struct conn *c, void *what)
{
	const struct conn_ops *ops = conn_ops_of(c);

	if (!c->is_doomed && ops != NULL && ops->visit != NULL)
		ops->visit(c, c->data, what);
}

void
conn_end_by_admin(struct conn *c)
{
	if (c->state == CONN_WS)
		conn_ws_close(c, WS_CLOSE_KICKED, SLICE("ended by an administrator"), CLOSE_KICKED);
	else if (c->state == CONN_STREAM)
		conn_finish(c, CLOSE_KICKED);
	else
		conn_close(c, CLOSE_KICKED);
}
