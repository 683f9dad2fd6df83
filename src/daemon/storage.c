#include "daemon/storage.h"

#include <errno.h>
#include <sysexits.h>

#include "store/memory.h"
#include "store/sqlite.h"

#define WARM_US 300000 /* it has to be ready within a second */

static void
tell(void *ctx, bool is_error, const char *event, const char *text)
{
	char quoted[DIAG_QUOTED];

	diag_log(ctx, is_error ? DIAG_ERROR : DIAG_NOTICE, event, "reason=%s",
	    diag_quote(slice_str(text), quoted));
}

static int
exit_code_of(int status)
{
	switch (status) {
	case -EBUSY:
		return EX_UNAVAILABLE; /* not the file's fault: it may be another moment's */
	case -EUCLEAN:
	case -EPROTO:
		return EX_DATAERR;
	case -EIO:
		return EX_IOERR;
	default:
		return EX_CANTCREAT;
	}
}

const char *
storage_name(const struct config *c)
{
	return c->storage.backend == STORAGE_SQLITE ? "sqlite" : "memory";
}

struct store *
storage_open(struct config *c, struct diag *diag, int *exit_code)
{
	struct sqlite_options o = {.path = c->storage.path,
	    .sync = c->storage.sync,
	    .max_size = c->storage.max_size,
	    .cache = c->storage.cache,
	    .keys = c->storage.keys,
	    .warm_us = WARM_US,
	    .recover = c->storage.recover,
	    .config = c,
	    .tell = tell,
	    .ctx = diag};
	struct store *store = NULL;
	char error[1024];
	int r;

	if (c->storage.backend != STORAGE_SQLITE) {
		store = memory_store_new(c->storage.cache, c->storage.keys);
		if (store == NULL)
			diag_say("not enough memory to start");
		return store;
	}
	r = sqlite_store_open(&o, error, sizeof(error), &store);
	if (r == 0)
		return store;
	diag_say("%s: storage.path \"%s\": %s", c->path, c->storage.path, error);
	*exit_code = exit_code_of(r);
	return NULL;
}
