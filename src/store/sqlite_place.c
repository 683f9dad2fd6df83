#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "store/sqlite_private.h"

/*
 * Somebody may remove or replace the files under the daemon. It would go on with those that it has open,
 * and all that it acknowledges from then on would be gone with its end. So the writer looks whether they
 * still have their names; when they are put back it goes on, and with others at its next start.
 */

#define LOOK_EVERY_US 20000

static const char *const suffixes[SQLITE_FILES] = {"", "-wal"};

static bool
find(const struct sqlite_store *s, unsigned i, struct stat *out)
{
	char path[PATH_MAX + 8];

	(void)snprintf(path, sizeof(path), "%.*s%s", PATH_MAX, s->path, suffixes[i]);
	return stat(path, out) == 0;
}

void
sqlite_place_note(struct sqlite_store *s)
{
	struct stat st;

	for (unsigned i = 0; i < SQLITE_FILES; i++)
		s->places[i] = find(s, i, &st) ? (struct file_place){st.st_dev, st.st_ino}
					       : (struct file_place){0, 0};
}

static int
tell_moved(struct sqlite_store *s, unsigned i)
{
	const char *slash = strrchr(s->path, '/');

	s->db.code = SQLITE_READONLY_DBMOVED;
	(void)snprintf(s->db.text, sizeof(s->db.text),
	    "%.40s%s was removed or replaced while it is open: put it back, or start belfryd anew",
	    slash == NULL ? s->path : slash + 1, suffixes[i]);
	return -1;
}

int
sqlite_place_check(struct sqlite_store *s)
{
	uint64_t now_us = clock_mono_us();
	struct stat st;

	if (now_us - s->placed_us < LOOK_EVERY_US)
		return 0;
	for (unsigned i = 0; i < SQLITE_FILES; i++) {
		const struct file_place *p = &s->places[i];

		if (p->inode != 0 &&
		    (!find(s, i, &st) || st.st_dev != p->device || st.st_ino != p->inode))
			return tell_moved(s, i);
	}
	s->placed_us = now_us;
	return 0;
}
