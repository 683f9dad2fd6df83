#include "tests/unit/support_disk.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILES_MAX  8
#define BYTES_MAX  ((size_t)4 << 20) /* of a file */
#define WRITES_MAX 16384             /* between two flushes */
#define SECTOR     512               /* what a disk writes whole or not at all */
#define NAME_ROOM  256

static struct file {
	char name[NAME_ROOM]; /* "": free */
	char *bytes;          /* on the disk */
	size_t n;
	struct pending {
		char *bytes; /* NULL: cut to n bytes */
		size_t n;
		size_t at;
	} * pending;
	size_t n_pending;
} files[FILES_MAX];

static char opened[FILES_MAX][NAME_ROOM];
static enum {
	DISK_OFF,
	DISK_ON,
	DISK_CUT
} state;
static unsigned left; /* writes and the like until the power goes; 0: it stays */
static enum disk_rest rest;
static uint64_t chance;
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

static bool
is_chosen(void)
{
	chance ^= chance << 13;
	chance ^= chance >> 7;
	chance ^= chance << 17;
	return (chance >> 32 & 1) != 0;
}

static void
reach_write(struct file *f, const struct pending *p, bool is_whole)
{
	size_t n;

	for (size_t i = 0; i < p->n; i += n) {
		n = SECTOR - (p->at + i) % SECTOR;
		n = n < p->n - i ? n : p->n - i;
		if (!is_whole && !is_chosen())
			continue;
		memcpy(f->bytes + p->at + i, p->bytes + i, n);
		f->n = f->n < p->at + i + n ? p->at + i + n : f->n;
	}
}

static void
reach_disk(struct file *f, bool is_whole)
{
	for (size_t i = 0; i < f->n_pending; i++) {
		const struct pending *p = &f->pending[i];

		if (p->bytes != NULL) {
			reach_write(f, p, is_whole);
		} else if (p->n < f->n && (is_whole || is_chosen())) {
			memset(f->bytes + p->n, 0, f->n - p->n);
			f->n = p->n;
		}
	}
	forget_pending(f);
}

/* What was to be written and never was flushed. */
static void
lose(struct file *f)
{
	if (rest == DISK_SOME)
		reach_disk(f, false);
	else
		forget_pending(f);
}

static void
cut(void)
{
	for (size_t i = 0; i < FILES_MAX; i++) {
		if (rest == DISK_ALL)
			reach_disk(&files[i], true);
		else
			lose(&files[i]);
	}
	state = DISK_CUT;
}

/* Something is to reach the disk: whether there is power. */
static bool
has_power(void)
{
	if (state == DISK_ON && left > 0 && --left == 0)
		cut();
	return state == DISK_ON;
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
	memset(opened, 0, sizeof(opened));
	left = 0;
	rest = DISK_NOTHING;
	state = DISK_ON;
	(void)pthread_mutex_unlock(&lock);
}

void
disk_open(const char *name)
{
	size_t i = 0;

	(void)pthread_mutex_lock(&lock);
	if (state != DISK_OFF) {
		while (i < FILES_MAX && opened[i][0] != '\0' && strcmp(opened[i], name) != 0)
			i++;
		need(i < FILES_MAX && strlen(name) < NAME_ROOM);
		memcpy(opened[i], name, strlen(name) + 1);
	}
	(void)pthread_mutex_unlock(&lock);
}

void
disk_write(const char *name, const void *p, size_t n, size_t at)
{
	(void)pthread_mutex_lock(&lock);
	if (has_power())
		add(name, p, n, at);
	(void)pthread_mutex_unlock(&lock);
}

void
disk_truncate(const char *name, size_t n)
{
	(void)pthread_mutex_lock(&lock);
	if (has_power())
		add(name, NULL, n, 0);
	(void)pthread_mutex_unlock(&lock);
}

void
disk_delete(const char *name)
{
	(void)pthread_mutex_lock(&lock);
	if (has_power())
		forget(file_of(name));
	(void)pthread_mutex_unlock(&lock);
}

void
disk_flush(const char *name, bool has_failed)
{
	(void)pthread_mutex_lock(&lock);
	if (has_power() && has_failed)
		lose(file_of(name));
	else if (state == DISK_ON)
		reach_disk(file_of(name), true);
	(void)pthread_mutex_unlock(&lock);
}

void
disk_cut(void)
{
	(void)pthread_mutex_lock(&lock);
	if (state == DISK_ON)
		cut();
	(void)pthread_mutex_unlock(&lock);
}

void
disk_cut_at(unsigned n, enum disk_rest what, uint64_t seed)
{
	(void)pthread_mutex_lock(&lock);
	left = n;
	rest = what;
	chance = seed * 2 + 1;
	for (unsigned i = 0; i < 8; i++)
		(void)is_chosen(); /* seeds that are alike differ soon */
	(void)pthread_mutex_unlock(&lock);
}

bool
disk_is_cut(void)
{
	bool is;

	(void)pthread_mutex_lock(&lock);
	is = state == DISK_CUT;
	(void)pthread_mutex_unlock(&lock);
	return is;
}

bool
disk_restore(void)
{
	bool is_well = true;

	(void)pthread_mutex_lock(&lock);
	for (size_t i = 0; state == DISK_CUT && i < FILES_MAX; i++) {
		if (opened[i][0] != '\0')
			(void)unlink(opened[i]);
	}
	for (size_t i = 0; state == DISK_CUT && i < FILES_MAX; i++) {
		if (files[i].name[0] != '\0' && !write_file(&files[i]))
			is_well = false;
	}
	if (state == DISK_CUT)
		state = DISK_ON;
	(void)pthread_mutex_unlock(&lock);
	return is_well;
}
