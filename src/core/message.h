/*
 * Messages: what is appended to the log and delivered. Encoded once, immutable once committed
 * (only the digits of the id are put in then), shared by an atomic count between workers. Each
 * wire form is made at the first need and then belongs to the message. Any thread.
 */
#ifndef CORE_MESSAGE_H
#define CORE_MESSAGE_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/slice.h"
#include "core/config.h"
#include "core/wire.h"

#define MESSAGE_ID_DIGITS 16
#define MESSAGE_ID_MAX    ((uint64_t)1 << 53)
#define MESSAGE_JSON_MAX                                                                           \
	((size_t)512                                                                               \
	    << 20) /* an encoded message: escapes make 6 of a byte of limits.message (64M) */

enum message_kind {
	MESSAGE_CHAT,
	MESSAGE_NOTIFICATION,
	MESSAGE_EVENT, /* published as `data` alone */
	MESSAGE_DIRECT,
	/* of the log, too: what became of an earlier message, their target (core/change.h) */
	MESSAGE_EDITED,
	MESSAGE_DELETED,
	MESSAGE_REACTION,
	/* ephemeral, for those who joined the room */
	MESSAGE_TYPING,
	MESSAGE_USER_JOINED,
	MESSAGE_USER_LEFT,
	MESSAGE_COUNT, /* of a crowded room, in place of each coming and going */
	MESSAGE_READ,  /* somebody has read up to there */
	/* a frame between `format=raw` connections */
	MESSAGE_RAW,
};

/* The shapes in which a message leaves. */
enum message_form {
	FORM_WS_JSON,       /* text frame with the JSON */
	FORM_WS_TEXT,       /* text frame with a line: `<Ada>: hi` */
	FORM_WS_RAW,        /* the frame of a MESSAGE_RAW */
	FORM_WS_DEFLATE,    /* as FORM_WS_JSON, compressed */
	FORM_EVENTS,        /* SSE block of /events */
	FORM_CHAT_SSE,      /* SSE block of a chat over SSE, data the JSON */
	FORM_CHAT_SSE_TEXT, /* the same with the text line */
	FORM_LINE,          /* NDJSON */
	MESSAGE_FORMS,
};

struct message_blob {
	size_t n;
	char bytes[];
};

struct message {
	_Atomic unsigned refs;
	uint8_t kind;      /* enum message_kind */
	bool is_logged;    /* has an id, is kept */
	bool is_data_text; /* MESSAGE_EVENT: data was a string: SSE sends it line by line */
	bool is_private;   /* for user_id's own connections only */
	uint8_t opcode;    /* MESSAGE_RAW */
	uint16_t id_at;    /* offset of the id's digits in json */
	bool is_deleted;   /* its content is gone; it only stands in its place */
	bool is_off;       /* MESSAGE_REACTION: taken back */
	uint8_t also_n;    /* bytes behind topic: the second topic it stands under; 0: none */
	uint64_t id;       /* 0: none (yet) */
	uint64_t target;   /* the message that this one changes; 0: it is one itself */
	int64_t time_ms;
	int64_t expires_ms;  /* from ttl; 0: never */
	uint64_t origin;     /* number of the session that sent it; 0: none */
	uint32_t keep_count; /* of the topic's rule when it was made */
	/* bytes between event and content: the title and a line's end, for searches; 0: none */
	uint32_t title_n;
	uint64_t keep_ms;
	/* all point into this allocation */
	struct slice json;
	struct slice topic;
	struct slice event; /* SSE event name; absent: the kind's own */
	/* data of FORM_EVENTS when it is not json: the tail of json after type and event */
	struct slice sse;
	/* for text lines and search: chat content, notification message; of a reaction the emoji */
	struct slice content;
	struct slice name;    /* display name of the sender */
	struct slice user_id; /* of the sender; with key it makes idempotency */
	struct slice key;     /* absent: none */
	char *frame;          /* start of the WebSocket frame: head right before json */
	struct message_blob *_Atomic forms[MESSAGE_FORMS];
	_Atomic uint32_t
	    forms_bytes;          /* what they take; MESSAGE_UNCOUNTED: nobody counts any more */
	_Atomic int64_t *account; /* the store's count of all its messages' forms; NULL: none */
};

#define MESSAGE_UNCOUNTED UINT32_MAX

/* JSON on its way to be a message: what the files that make them share. */
#define MESSAGE_DRAFT_ROOM 1024 /* bytes before it needs memory */
struct message_draft {
	struct buf json;
	size_t id_at;
	size_t sse_at; /* 0: none */
	char room[MESSAGE_DRAFT_ROOM];
};

/* The other texts of a message; all borrowed. */
struct message_parts {
	struct slice topic, also, event, title, content, name, user_id, key;
};

/* Begins `{"type":…`; failures stick until message_finish. */
void message_start(struct message_draft *d, const char *type);
/* Room for the digits that commit puts in. */
void message_add_id(struct message_draft *d);
/* JSON as a peer wrote it, on one line. */
void message_add_json(struct buf *b, struct slice json);
/* One allocation with everything in it. Frees the draft. NULL on no memory. */
MUST_CHECK struct message *message_finish(
    struct message_draft *d, const struct message_parts *parts);

struct message_from {
	struct slice user_id;
	struct slice name;
};

/* Append `"member":{"id":…,"name":…}`; member NULL: the object alone. Failures stick to b. */
void message_add_user(struct buf *b, const char *member, const struct message_from *u);

/* What a chat message is made of; absent slices are left out. All borrowed. */
struct message_chat {
	struct slice topic; /* chat/<room> */
	struct message_from from;
	struct slice content;
	struct slice data; /* JSON text */
	struct slice key;
	uint64_t reply_to;
	int64_t expires_ms;
	struct slice mentions; /* JSON array */
	/* of a direct message: JSON string of the receiver's id, and the sender's topic */
	struct slice to;
	struct slice also; /* absent when it is the same as topic */
	/* of one that was changed */
	int64_t edited_ms;      /* 0: never */
	struct slice reactions; /* JSON array */
	bool is_deleted;
};

struct message_notice {
	struct slice topic;
	struct slice event; /* absent: the default */
	struct slice title, text, click, data;
	const struct slice *tags;
	size_t n_tags;
	unsigned priority;        /* 0: none */
	struct message_from from; /* absent user_id: none */
	struct slice key;
	int64_t expires_ms;
};

/* One owned reference, or NULL on no memory. rule says whether it is logged. */
MUST_CHECK struct message *message_chat(
    const struct message_chat *in, const struct topic_rule *rule, int64_t now_ms, uint64_t origin);
/*
 * MESSAGE_NOTIFICATION, or MESSAGE_EVENT when neither title nor text is there. data_text: the
 * decoded string when data is a JSON string.
 */
MUST_CHECK struct message *message_notice(const struct message_notice *in, struct slice data_text,
    const struct topic_rule *rule, int64_t now_ms, uint64_t origin);
MUST_CHECK struct message *message_typing(
    struct slice topic, struct message_from user, bool typing, uint64_t origin);
/* Up to which id the user has read the room. */
MUST_CHECK struct message *message_read(
    struct slice topic, struct message_from user, uint64_t id, uint64_t origin);
MUST_CHECK struct message *message_presence(
    struct slice topic, struct message_from user, bool joined, size_t count, uint64_t origin);
/*
 * How many are in a room; members: a JSON array of (the first of) them, absent: only the count. NULL
 * on no memory.
 */
MUST_CHECK struct message *message_crowd(struct slice topic, size_t count, struct slice members);
MUST_CHECK struct message *message_raw(
    struct slice topic, uint8_t opcode, struct slice payload, uint64_t origin);

struct message *message_ref(struct message *m);
void message_unref(struct message *m);
/*
 * Before the commit and its forms: its time is another one, also in its JSON, and a ttl runs from
 * there.
 */
void message_set_time(struct message *m, int64_t now_ms);
/* At commit, once, before anybody else sees it: writes the digits. */
void message_commit(struct message *m, uint64_t id);
/* A message itself: what histories are made of. Not what changes one, nor typing or presence. */
static inline bool
message_is_content(const struct message *m)
{
	return m->kind <= MESSAGE_DIRECT;
}
/* The same for its kind alone. */
static inline bool
message_kind_is_change(uint8_t kind)
{
	return kind >= MESSAGE_EDITED && kind <= MESSAGE_REACTION;
}
/* Counts as unread. */
static inline bool
message_is_counted(const struct message *m)
{
	return message_is_content(m) && !m->is_deleted;
}
/* For those who joined the room alone: who comes, goes, types and has read. */
static inline bool
message_is_presence(const struct message *m)
{
	return m->kind >= MESSAGE_TYPING && m->kind <= MESSAGE_READ;
}
/* The second topic; absent for most. */
static inline struct slice
message_also(const struct message *m)
{
	return m->also_n == 0 ? SLICE_NONE : slice_of(m->topic.p + m->topic.n, m->also_n);
}
/* What a search looks at: the title, a line's end, the content. Of one that was read back the content. */
static inline struct slice
message_words(const struct message *m)
{
	return m->title_n == 0 ? m->content
			       : slice_of(m->event.p + m->event.n, m->title_n + m->content.n);
}
/* Bytes it takes without its forms. */
size_t message_memory(const struct message *m);
/*
 * From now on what its forms take is counted in *account, too, by whichever thread makes them. Before
 * anybody else sees it; the account must live until message_unaccount.
 */
void message_account(struct message *m, _Atomic int64_t *account);
/* Takes them out of the account, for good: the store has given the message up. */
void message_unaccount(struct message *m);

/*
 * The bytes of a form: made at the first call. Borrowed, live as long as m. Empty when this
 * kind has nothing to say in this form. -ENOMEM on no memory.
 */
MUST_CHECK int message_form(struct message *m, enum message_form form, struct slice *out);

struct ws_deflater;

/*
 * The compressed form (RFC 7692) of a message's WebSocket frame; below MESSAGE_DEFLATE_MIN
 * bytes, or when compressing gains nothing, the plain frame. Made once for all who take it. As
 * message_form.
 */
#define MESSAGE_DEFLATE_MIN 256
MUST_CHECK int message_form_deflated(struct message *m, struct ws_deflater *z, struct slice *out);

/*
 * `<Ada>: hi` with line breaks in content indented, so that nobody can fake a speaker; `* Ada
 * joined`. Appends nothing for kinds without a line.
 */
int message_line(struct buf *out, const struct message *m);

/* Whether its JSON has that id, in MESSAGE_ID_DIGITS digits of which the first is no zero. */
static inline bool
message_says_id(const struct message *m, uint64_t id)
{
	return m->id == id && m->id_at > 0 && m->json.p[m->id_at] != '0';
}

#endif
