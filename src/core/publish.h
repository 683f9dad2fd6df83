/*
 * docs/wire.md, "Publishing": what all its forms — text with headers, JSON, form, WebSocket — come
 * down to, checked once. Worker thread only.
 */
#ifndef CORE_PUBLISH_H
#define CORE_PUBLISH_H

#include "core/error.h"
#include "core/hub.h"
#include "core/token.h"
#include "proto/json.h"

#define DRAFT_TAGS      32
#define DRAFT_TAG_MAX   64 /* bytes of one tag */
#define DRAFT_KEY_MAX   64
#define DRAFT_NAME_MAX  64 /* event */
#define DRAFT_CLICK_MAX 2000
#define DRAFT_TITLE_MAX 1000
#define DRAFT_TTL_MAX   ((uint64_t)10 * 365 * 24 * 3600) /* seconds */
#define DRAFT_AT_WANTED                                                                            \
	"at must be a time (RFC 3339), seconds since 1970, or a while from now such as +10m"

/* One message to publish. Slices are borrowed until it was made into a message. */
struct draft {
	struct slice topic, event, title, text, click, key, to;
	struct slice data;      /* JSON text; absent: none */
	struct slice data_text; /* decoded, when data is a JSON string */
	size_t n_tags;
	unsigned priority; /* 0: none */
	uint64_t ttl_s;    /* 0: none */
	uint64_t reply_to;
	bool is_direct;  /* a direct message to `to`, for which another grant is needed */
	struct slice at; /* when, as it was given; absent: now, or at_s */
	uint64_t at_s;   /* when, in seconds since 1970; 0: at says */
	int64_t at_ms;   /* when, after draft_message; 0: now */
	/* what the topic is called where it came from, for messages: "topic" or "room" */
	const char *topic_field;
	/* from here on nothing is cleared: 770 bytes, 130 instructions */
	struct slice tags[DRAFT_TAGS];
	char topic_room[256]; /* room for a topic made from `to` */
};

/* An empty one: so a draft begins. */
static inline void
draft_begin(struct draft *d, const char *topic_field)
{
	memset(d, 0, offsetof(struct draft, tags));
	d->topic_field = topic_field;
}

/* The members of one JSON object, borrowed from f. 0, or -1 with *why. */
MUST_CHECK int draft_from_json(struct json_flat *f, struct draft *out, struct refusal *why);
/* Tags from one header or form value, split at commas. */
MUST_CHECK int draft_set_tags(struct draft *d, struct slice list, struct refusal *why);
/* "1".."5"; 0 when it is something else. */
unsigned draft_priority(struct slice s);

/*
 * Check everything (topic, `to`, grants, sizes, what a room or the event names allow) and make
 * the message, now or put off. 0 and *out (one reference), or -1 with *why.
 */
MUST_CHECK int draft_message(struct hub *h, const struct claims *who, struct message_from from,
    struct draft *d, uint64_t origin, struct append_item *out, struct refusal *why);
/* Make out what at and at_s say. 0, or -1 with *why. */
MUST_CHECK int draft_take_time(
    struct draft *d, int64_t now_ms, uint64_t ahead_ms, struct refusal *why);

/*
 * A guest is not taken for somebody else who is in the room, whatever he does there. 0, or -1 with
 * *why.
 */
MUST_CHECK int publish_check_name(const struct hub *h, const struct claims *who,
    const struct message_from *from, struct slice topic, struct refusal *why);

/* limits.publishes_per_second, of a user over all doors, for n messages. 0, or -1 with *why. */
MUST_CHECK int publish_rate(
    struct hub *h, const struct claims *who, unsigned n, struct refusal *why);

/*
 * What became of an item, as members of an answer: `id` and `duplicate`, or `scheduled` and `at`, with
 * `topic` unless it is absent. Failures stick to b.
 */
void append_result(struct buf *b, const struct append_item *item, struct slice topic);
/* A guest's name is somebody else's: -1. */
int refuse_name(struct slice name, struct refusal *why);
/* Refusal of a failed hub_append. */
int append_refusal(int status, struct refusal *why);

#endif
