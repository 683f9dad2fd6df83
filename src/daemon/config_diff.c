#include "daemon/config_read.h"
#include "daemon/config_table.h"

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool
same_texts(const struct strings *a, const struct strings *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (strcmp(a->v[i], b->v[i]) != 0)
			return false;
	return true;
}

static bool same_list(const struct option *o, const void *a, const void *b);

static bool
same_field(const struct option *o, const void *a, const void *b)
{
	const void *x = (const char *)a + o->offset;
	const void *y = (const char *)b + o->offset;

	switch (o->kind) {
	case KIND_TEXT:
	case KIND_PATH:
		return same_text(*(char *const *)x, *(char *const *)y);
	case KIND_TEXTS:
		return same_texts(x, y);
	case KIND_LIST:
		return same_list(o, a, b);
	case KIND_FLAG:
	case KIND_NUMBER:
	case KIND_DURATION:
	case KIND_SIZE:
	case KIND_CHOICE:
	case KIND_BITS:
	case KIND_MODE:
		return memcmp(x, y, o->size) == 0;
	case KIND_NETWORKS: /* never needs a restart */
		break;
	}
	return true;
}

static bool
same_list(const struct option *o, const void *a, const void *b)
{
	const char *x = *(char *const *)(const void *)((const char *)a + o->offset);
	const char *y = *(char *const *)(const void *)((const char *)b + o->offset);
	size_t n;
	size_t n_x = *(const size_t *)(const void *)((const char *)a + o->count_offset);
	size_t n_y = *(const size_t *)(const void *)((const char *)b + o->count_offset);
	const struct option *table = config_table(&n);

	if (n_x != n_y)
		return false;
	for (size_t i = 0; i < n_x; i++)
		for (size_t row = 0; row < n; row++)
			if (table[row].scope == o->element &&
			    !same_field(&table[row], x + i * o->size, y + i * o->size))
				return false;
	return true;
}

int
config_changed_keys(const struct config *from, const struct config *to, struct buf *out)
{
	size_t n;
	const struct option *table = config_table(&n);
	int found = 0;

	for (size_t i = 0; i < n; i++) {
		if (table[i].scope != SCOPE_CONFIG || !table[i].needs_restart ||
		    table[i].size == 0 || same_field(&table[i], from, to))
			continue;
		if (found++ > 0)
			(void)BUF_ADD_LIT(out, ", ");
		(void)buf_add_str(out, table[i].key);
	}
	return out->failed ? -1 : found;
}
