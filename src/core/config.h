/*
 * The configuration as plain, immutable data (belfryd.conf(5)). Made whole by daemon/config_read,
 * never changed afterwards, swapped whole on reload; shared between threads by an atomic count.
 * Durations are in milliseconds (`_ms`), sizes in bytes (`_bytes` or plain), rates a second. 0
 * means "off" where belfryd.conf(5) says so.
 */
#ifndef CORE_CONFIG_H
#define CORE_CONFIG_H

#include <netinet/in.h>
#include <stdatomic.h>

#include "base/slice.h"

struct strings {
	char **v; /* owned, NUL-terminated */
	size_t n;
};

struct config_listener {
	char *address; /* numeric or "localhost"; NULL for a Unix socket */
	uint16_t port; /* 0: the kernel picks one */
	char *unix_path;
	unsigned mode; /* of the socket file, 0..0777 */
	struct strings allow_users;
	struct strings allow_groups;
	char *tls_certificate; /* NULL: no TLS */
	char *tls_key;
	bool proxy_protocol;
	char *file;    /* where it is written, for messages */
	unsigned line; /* … and the line in it */
};

struct config_network {
	struct in6_addr address; /* IPv4 as v4-mapped */
	unsigned prefix;         /* 0..128, of the mapped form */
};

enum config_algorithm { /* bit numbers of auth.algorithms */
	ALG_HS256,
	ALG_HS384,
	ALG_HS512,
	ALG_RS256,
	ALG_RS384,
	ALG_RS512,
	ALG_ES256,
	ALG_ES384,
	ALG_ES512,
	ALG_COUNT,
};

struct config_grants { /* patterns as written, may hold {sub} */
	struct strings subscribe;
	struct strings publish;
	struct strings direct;
};

struct config_auth {
	unsigned algorithms; /* bit set of enum config_algorithm */
	char *secret;        /* bytes, from secret or secret_file; NULL when neither is set */
	char *secret_path;   /* of secret_file; NULL when not set */
	size_t secret_n;
	char *public_key; /* PEM text of public_key_file, NUL-terminated; NULL when not set */
	char *public_key_path;
	char *jwks; /* JSON text of jwks_file, NUL-terminated; NULL */
	char *jwks_path;
	char *issuer; /* "" when not checked; never NULL */
	char *audience;
	char *cookie; /* "" : no cookie */
	char *login_url;
	uint64_t leeway_ms;
	bool require_exp;
	bool explain;
	bool guests;
	uint64_t guest_ttl_ms;
	unsigned guest_tokens_per_minute;
	struct config_grants defaults;
	struct config_grants guest_defaults;
};

enum config_backend {
	STORAGE_SQLITE,
	STORAGE_MEMORY,
	STORAGE_REDIS
};
enum config_sync {
	SYNC_FULL,
	SYNC_NORMAL,
	SYNC_OFF
};

struct config_storage {
	enum config_backend backend;
	char *path;
	enum config_sync sync;
	uint64_t max_size;  /* bytes, 0: off */
	uint64_t cache;     /* bytes of the hot part; the memory store's whole size */
	uint64_t keys;      /* idempotency keys remembered at most */
	uint32_t scheduled; /* messages that wait for their time at most */
	uint32_t scheduled_per_user;
	uint64_t scheduled_ahead_ms;
	bool recover;
};

struct config_redis {
	char *host, *unix_path, *username, *password_file, *prefix;
	uint16_t port;
	bool tls;
	unsigned database;
};

struct topic_rule {       /* first match wins */
	char *match;      /* pattern */
	uint32_t history; /* messages kept; 0: ephemeral */
	uint64_t keep_ms; /* age; 0: no limit */
	bool presence;
	uint64_t slow_ms; /* slow mode, 0: off */
	unsigned line;
};

struct config_feed {
	char *topic;
	uint64_t every_ms;
	unsigned line;
};

struct config_limits {
	uint32_t connections, connections_per_address, connections_per_user;
	uint32_t message; /* bytes */
	uint32_t body;
	uint32_t header;
	uint32_t queue;
	uint64_t memory;
	uint32_t rooms_per_connection, topics_per_stream, topics;
	uint32_t messages_per_second, burst; /* a connection */
	uint32_t publishes_per_second;       /* a user */
	uint32_t upgrades_per_second;        /* the daemon */
	uint64_t request_timeout_ms, idle_timeout_ms, drain_ms;
};

struct config {
	_Atomic unsigned refs;
	uint64_t generation; /* counts reloads; part of the token cache's key */
	char *path;          /* of the file */
	char *auth_file;     /* where `auth` stands, for messages about keys: the file, and */
	unsigned auth_line;  /* its line (1 when the file has no `auth`) */

	struct config_listener *listeners;
	size_t n_listeners;
	unsigned workers; /* as configured; 0 = automatic */
	char *web_root;   /* absolute; "" : no page */
	char *web_csp;    /* "" : none */
	struct strings hosts;
	struct config_network *trusted_proxies;
	size_t n_trusted_proxies;
	struct strings allow_origins;
	bool echo;
	struct config_auth auth;
	struct config_storage storage;
	struct config_redis redis;
	struct topic_rule *topics;
	size_t n_topics;
	struct {
		struct strings topics;
		uint64_t keepalive_ms;
		uint64_t retry_ms;
	} events;
	struct {
		char *default_room;
		uint64_t heartbeat_ms, typing_timeout_ms, leave_grace_ms, edit_window_ms;
		uint32_t presence_limit;
		bool compression;
	} chat;
	struct config_limits limits;
	struct {
		int level; /* enum diag_level */
		bool is_json;
	} logging;
	struct config_feed *feeds;
	size_t n_feeds;
};

/*
 * The rule of a topic: the first that matches. Never NULL: where none does nothing is kept. Borrowed
 * from c.
 */
const struct topic_rule *config_rule(const struct config *c, struct slice topic);

/* Adds a reference; returns c. */
struct config *config_ref(struct config *c);
/* Drops one; frees with the last. NULL is fine. Half-built ones too. Secrets are wiped. */
void config_unref(struct config *c);

#endif
