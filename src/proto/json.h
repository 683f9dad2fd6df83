/*
 * JSON: reading what peers send (a strict check in front of cJSON: length, UTF-8,
 * depth, control bytes, \u0000, lone surrogates, duplicate keys, nothing after the end) and
 * writing what goes out (a small escaping writer; cJSON never prints). Pure. Any thread.
 */
#ifndef PROTO_JSON_H
#define PROTO_JSON_H

#include <cjson/cJSON.h>

#include "base/buf.h"
#include "base/slice.h"

#define JSON_MAX_DEPTH 16

enum json_error {
	JSON_E_SYNTAX = -300,
	JSON_E_UTF8, /* also a lone surrogate */
	JSON_E_DEPTH,
	JSON_E_NUL,       /* \u0000 */
	JSON_E_DUPLICATE, /* the same key twice in one object */
	JSON_E_NUMBER,    /* malformed, no double, or longer than cJSON reads (63 characters) */
	JSON_E_MEMORY,
};

/*
 * Check one JSON text (RFC 8259) without building anything. 0, or an enum json_error and, when at
 * != NULL, the byte offset where it was found. Allocates only for objects with many members.
 */
MUST_CHECK int json_check(struct slice text, size_t *at);

/*
 * Check and parse one JSON text. On success *out is an owned tree (cJSON_Delete). 0, or an enum
 * json_error and, when at != NULL, the byte offset where it was found.
 */
MUST_CHECK int json_parse(struct slice text, cJSON **out, size_t *at);
/* A sentence for people. */
const char *json_error_text(int error);

/*
 * The member of an object, case-sensitively; NULL when absent, or JSON null (a null member counts
 * as absent).
 */
const cJSON *json_member(const cJSON *object, const char *name);
/*
 * String contents as a slice (absent when item is NULL or not a string). Its name must not be
 * json_string: libjwt calls jansson's function of that name and would get ours.
 */
struct slice json_slice(const cJSON *item);
#define json_string(item) json_slice(item)
/* An integer 0 .. 2^53-1 held exactly: 0, or -1. */
MUST_CHECK int json_u64(const cJSON *item, uint64_t *out);

/*
 * The raw text of one top-level member's value within a checked JSON object text (for `data`,
 * passed on as it was sent, white space around it trimmed). Absent when not there. Of a text that was
 * not checked it is something within the text, or absent.
 */
struct slice json_raw_member(struct slice object_text, const char *name);

/*
 * Walk the elements of a checked array text: start with *rest = text; sets the raw text of the next
 * one. False at the end, or when it is no array.
 */
bool json_raw_element(struct slice *rest, struct slice *element);

/* --- a value without a tree --- */
/*
 * What clients say is read so: the check walks over every byte anyway, and notes where the members of
 * the outermost object are. No allocation but for more than JSON_MEMBERS members and for strings with
 * escapes: 3,600 of 17,000 instructions that a chat message costs with a tree.
 */
#define JSON_MEMBERS 16

enum json_kind {
	JSON_IS_ABSENT, /* also null */
	JSON_IS_OBJECT,
	JSON_IS_ARRAY,
	JSON_IS_STRING,
	JSON_IS_NUMBER,
	JSON_IS_TRUE,
	JSON_IS_FALSE
};

/* A value in a checked text, borrowed from it. */
struct json_value {
	struct slice raw; /* its text without white space around it; absent with JSON_IS_ABSENT */
	enum json_kind kind;
	bool is_escaped; /* it is a string in which a backslash is */
};

/* Where a key (between its quotes) or a value stands in the text. */
struct json_place {
	uint32_t at;
	uint32_t n;
	bool is_escaped;
};

struct json_flat {
	const char *text; /* borrowed */
	struct json_place value;
	struct json_text *texts; /* what json_text has made, owned */
	struct json_member {
		struct json_place name;
		struct json_place value;
	} * members; /* `first`, or an array of its own */
	size_t n;
	size_t cap;
	struct json_member first[JSON_MEMBERS];
};

/* One that has nothing, so that json_done is allowed before anything was read. */
static inline void
json_begin(struct json_flat *f)
{
	f->text = NULL;
	f->texts = NULL;
	f->members = f->first;
	f->n = 0;
	f->cap = JSON_MEMBERS;
}
/*
 * Check one JSON text, which is borrowed, and note where its parts are. 0, then json_done is due; or as
 * json_check (then it has nothing).
 */
MUST_CHECK int json_read(struct slice text, struct json_flat *out, size_t *at);
/* Frees what json_unescape has made, and the members that had no room. */
void json_done(struct json_flat *f);
/* All of it. */
struct json_value json_whole(const struct json_flat *f);
/* A member of the outermost object by its name; JSON_IS_ABSENT when it is not there, or null. */
struct json_value json_find(const struct json_flat *f, struct slice name);
static inline struct json_value
json_get(const struct json_flat *f, const char *name)
{
	return json_find(f, slice_str(name)); /* inline: most lengths are known here */
}
/* The contents of a string with escapes, in *out: borrowed from f. 0, or JSON_E_MEMORY. */
MUST_CHECK int json_unescape(struct json_flat *f, struct json_value v, struct slice *out);
/*
 * The contents of a string (absent when v is none), of f's text, in *out: borrowed from the text, or
 * from f when there are escapes. 0, or JSON_E_MEMORY.
 */
MUST_CHECK static inline int
json_text(struct json_flat *f, struct json_value v, struct slice *out)
{
	if (v.is_escaped)
		return json_unescape(f, v, out);
	*out = v.kind == JSON_IS_STRING ? slice_of(v.raw.p + 1, v.raw.n - 2) : SLICE_NONE;
	return 0;
}
/* As json_u64. */
MUST_CHECK int json_value_u64(struct json_value v, uint64_t *out);
/* How many: as json_u64, but any greater integer, too, as UINT64_MAX. */
MUST_CHECK int json_value_count(struct json_value v, uint64_t *out);
/* Walk the elements of an array, as json_raw_element. */
bool json_next_value(struct slice *rest, struct json_value *out);

/* --- writing --- */
/*
 * Append s as a JSON string with its quotes: " and \ and control bytes escaped, U+2028/9 as \u
 * escapes; s must be valid UTF-8.
 */
int json_add_string(struct buf *out, struct slice s);
/* Append the escaped characters without quotes. */
int json_add_escaped(struct buf *out, struct slice s);
/*
 * Members of an object under construction: writes a comma when the last byte of out is not '{' or
 * '[', then "name":value.
 */
int json_add_name(struct buf *out, struct slice name);
static inline int
json_add_key(struct buf *out, const char *name)
{
	return json_add_name(out, slice_str(name)); /* inline: most lengths are known here */
}
/*
 * The same with a name known here, written with all that stands around it in one piece: 30
 * instructions in place of 90.
 */
#define JSON_ADD_KEY(out, name)                                                                    \
	(json_is_first(out) ? BUF_ADD_LIT(out, "\"" name "\":")                                    \
			    : BUF_ADD_LIT(out, ",\"" name "\":"))
static inline bool
json_is_first(const struct buf *out)
{
	return out->n == 0 || out->p[out->n - 1] == '{' || out->p[out->n - 1] == '[';
}
static inline int
json_add_member_string(struct buf *out, const char *name, struct slice value)
{
	int r = json_add_key(out, name);

	return r < 0 ? r : json_add_string(out, value);
}
/* A whole member; as buf_add. */
int json_add_member_u64(struct buf *out, const char *name, uint64_t value);
int json_add_member_i64(struct buf *out, const char *name, int64_t value);
int json_add_member_bool(struct buf *out, const char *name, bool value);
/* value is JSON text already. */
int json_add_member_raw(struct buf *out, const char *name, struct slice value);

#endif
