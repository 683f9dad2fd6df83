#include "tests/unit/support_disk.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX  8
#define BYTES_MAX  ((size_t)4 << 20) /* of a file */
#define WRITES_MAX 16384             /* between two flushes */

static struct file {
	char name[256]; /* "": free */
	char *bytes;    /* on the disk */
	size_t n;
	struct pending {
		char *bytes; /* NULL: cut to n bytes */
		size_t n;
		size_t at;
	} * pending;
	size_t n_pending;
} files[FILES_MAX];

static enum {
	DISK_OFF,
	DISK_ON,
	DISK_CUT
} state;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* A test that has no room for its own disk can say nothing. */
static void
need(bool is_true)
{
	if (!is_true)
		abort();
}

static struct file *
file_of(const char *name)
{
	struct file *free_one = NULL;

	for (size_t i = 0; i < FILES_MAX; i++) {
		if (strcmp(files[i].name, name) == 0)
			return &files[i];
		if (free_one == NULL && files[i].name[0] == '\0')
			free_one = &files[i];
	}
	need(free_one != NULL && strlen(name) < sizeof(free_one->name));
	memcpy(free_one->name, name, strlen(name) + 1);
	free_one->bytes = calloc(1, BYTES_MAX);
	free_one->pending = calloc(WRITES_MAX, sizeof(*free_one->pending));
	need(free_one->bytes != NULL && free_one->pending != NULL);
	return free_one;
}

static void
forget_pending(struct file *f)
{
	for (size_t i = 0; i < f->n_pending; i++)
		free(f->pending[i].bytes);
	f->n_pending = 0;
}

static void
forget(struct file *f)
{
	forget_pending(f);
	free(f->pending);
	free(f->bytes);
	*f = (struct file){0};
}

static void
forget_all(void)
{
	for (size_t i = 0; i < FILES_MAX; i++)
		forget(&files[i]);
}

static void
add(const char *name, const void *p, size_t n, size_t at)
{
	struct file *f = file_of(name);
	struct pending *next = &f->pending[f->n_pending];

	need(f->n_pending < WRITES_MAX && at + n <= BYTES_MAX);
	*next = (struct pending){p == NULL ? NULL : malloc(n + 1), n, at};
	if (p != NULL) {
		need(next->bytes != NULL);
		memcpy(next->bytes, p, n);
	}
	f->n_pending++;
}

static void
reach_disk(struct file *f)
{
	for (size_t i = 0; i < f->n_pending; i++) {
		const struct pending *p = &f->pending[i];

		if (p->bytes != NULL) {
			memcpy(f->bytes + p->at, p->bytes, p->n);
			f->n = f->n < p->at + p->n ? p->at + p->n : f->n;
		} else if (p->n < f->n) {
			memset(f->bytes + p->n, 0, f->n - p->n);
			f->n = p->n;
		}
	}
	forget_pending(f);
}

static bool
write_file(const struct file *f)
{
	FILE *out = fopen(f->name, "w");
	bool is_well;

	if (out == NULL)
		return false;
	is_well = fwrite(f->bytes, 1, f->n, out) == f->n;
	return fclose(out) == 0 && is_well;
}

void
disk_begin(void)
{
	(void)pthread_mutex_lock(&lock);
	forget_all();
	state = DISK_ON;
	(void)pthread_mutex_unlock(&lock);
}

void
disk_write(const char *name, const void *p, size_t n, size_t at)
{
	(void)pthread_mutex_lock(&lock);
	if (state == DISK_ON)
		add(name, p, n, at);
	(void)pthread_mutex_unlock(&lock);
}

void
disk_truncate(const char *name, size_t n)
{
	(void)pthread_mutex_lock(&lock);
	if (state == DISK_ON)
		add(name, NULL, n, 0);
	(void)pthread_mutex_unlock(&lock);
}

void
disk_delete(const char *name)
{
	(void)pthread_mutex_lock(&lock);
	if (state == DISK_ON)
		forget(file_of(name));
	(void)pthread_mutex_unlock(&lock);
}

void
disk_flush(const char *name, bool has_failed)
{
	(void)pthread_mutex_lock(&lock);
	if (state == DISK_ON && has_failed)
		forget_pending(file_of(name));
	else if (state == DISK_ON)
		reach_disk(file_of(name));
	(void)pthread_mutex_unlock(&lock);
}

void
disk_cut(void)
{
	(void)pthread_mutex_lock(&lock);
	if (state == DISK_ON)
		state = DISK_CUT;
	(void)pthread_mutex_unlock(&lock);
}

bool
disk_restore(void)
{
	bool is_well = true;

	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0; state == DISK_CUT && i < FILES_MAX; i++) {
		if (files[i].name[0] != '\0' && !write_file(&files[i]))
			is_well = false;
	}
	if (state == DISK_CUT) {
		forget_all();
		state = DISK_OFF;
	}
	(void)pthread_mutex_unlock(&lock);
	return is_well;
}
