#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "store/sqlite_private.h"

/* What /metrics tells of the disk. */

#define GAUGE(name, help, value)                                                                   \
	(void)counters_write_one(out, "belfry_storage_" name, "gauge", help, value)
#define COUNTER(name, help, value)                                                                 \
	(void)counters_write_one(out, "belfry_storage_" name "_total", "counter", help, value)

static uint64_t
wal_bytes(const struct sqlite_store *s)
{
	char path[PATH_MAX + 8];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s-wal", s->path);
	return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

/* What the threads have to do. */
static void
add_queues(struct sqlite_store *s, struct buf *out)
{
	uint64_t n_queued;
	uint64_t n_reads = 0;

	(void)pthread_mutex_lock(&s->lock);
	n_queued = s->n_queued;
	for (unsigned i = 0; i < SQLITE_READERS; i++)
		n_reads += s->readers[i].queue.n;
	(void)pthread_mutex_unlock(&s->lock);
	GAUGE("queue", "Requests that wait to be written now.", n_queued);
	GAUGE("reads_waiting", "Reads that wait for the disk now.", n_reads);
}

static void
add_memory(struct sqlite_store *s, struct buf *out)
{
	uint64_t n_messages;
	uint64_t n_hits;
	uint64_t bytes;

	log_lock(s->store.log);
	n_messages = s->hot.n_messages;
	bytes = shelves_bytes(&s->hot);
	n_hits = s->n_hits;
	log_unlock(s->store.log);
	GAUGE("cache_messages", "Messages of the log in memory now.", n_messages);
	GAUGE("cache_bytes", "Bytes that they take (storage.cache).", bytes);
	COUNTER("cache_hits", "Reads of the log that were answered from memory.", n_hits);
}

void
sqlite_metrics(struct store *store, struct buf *out)
{
	struct sqlite_store *s = sqlite_of(store);
	struct sqlite_figures *f = &s->figures;
	struct latencies reads = {0};

	for (unsigned i = 0; i < SQLITE_READERS; i++) {
		for (size_t k = 0; k <= COUNTERS_LATENCIES; k++)
			counter_bump(&reads.counts[k], atomic_load(&f->reads[i].counts[k]));
		counter_bump(&reads.us, atomic_load(&f->reads[i].us));
	}
	COUNTER("commits", "Transactions written, those beside the traffic included.",
	    atomic_load(&f->n_commits));
	COUNTER(
	    "commits_failed", "Transactions that could not be written.", atomic_load(&f->n_failed));
	COUNTER("written", "Messages written; by commits: how many share one.",
	    atomic_load(&f->n_written));
	latencies_write(out, "belfry_storage_commit_seconds",
	    "From the beginning of a transaction with messages to its end.", &f->commits);
	COUNTER("checkpoints", "Times what was written was moved into the database.",
	    atomic_load(&f->n_checkpoints));
	add_queues(s, out);
	COUNTER("disk_reads", "Reads of the log that the memory could not answer.",
	    atomic_load(&f->n_disk_reads));
	COUNTER("reads_failed", "Those of them that the disk did not answer, whatever was tried.",
	    atomic_load(&s->readers[0].n_failed) + atomic_load(&s->readers[1].n_failed));
	COUNTER(
	    "damaged", "Times that a damaged message was passed over.", atomic_load(&f->n_damaged));
	latencies_write(out, "belfry_storage_read_seconds",
	    "What those reads took, without waiting for their turn.", &reads);
	add_memory(s, out);
	GAUGE("database_bytes", "Bytes used in the database.", atomic_load(&s->n_bytes));
	GAUGE("wal_bytes", "Bytes of the file that takes what is written first.", wal_bytes(s));
}
