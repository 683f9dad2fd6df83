/* The inside of a reader, for reader*.c only. */
#ifndef CORE_READER_PRIVATE_H
#define CORE_READER_PRIVATE_H

#include "core/reader.h"

struct reader {
	struct subscriber *who;
	TAILQ_ENTRY(reader) mine;  /* of the subscriber */
	TAILQ_ENTRY(reader) ready; /* of the hub */
	struct hub *hub;
	uint64_t cursor; /* everything up to here was queued */
	/*
	 * what was asked for reaches to here; what is later comes once, and not to its sender
	 */
	uint64_t asked_upto;
	/* 0, or where a reader of this subscription stood before: a seek goes no higher */
	uint64_t seek_limit;
	/*
	 * what became of messages is news only to who had them: up to here it did. Of later ones it
	 * reads how they are, with all that was done to them up to state_upto (0: it has yet to read)
	 */
	uint64_t had_upto;
	uint64_t state_upto;
	/* losses up to this id were told, or are none of a question's business */
	uint64_t known_trimmed;
	int64_t min_time_ms; /* since when, by the wall clock; 0: not asked */
	struct log_resume gap;
	uint64_t gap_asked;
	/* with the patterns' bytes behind them: a read may outlive a subscription */
	struct log_filter *filters;
	size_t n_filters;
	bool filters_stale;
	bool has_lost;       /* the gap is of what could not be read: nobody knows whose it was */
	bool gap_due;        /* gap is to be told when the cursor reaches gap.gap_id */
	bool accept_trimmed; /* the first read of a question: what was gone before is no gap */
	bool is_catch_up;
	bool is_seeking;
	bool is_reading; /* a read is under way */
	bool is_ready;   /* in the hub's list */
	bool is_parked;  /* level but for the catch-up reader it waits for */
	bool is_dead;    /* freed when its read comes back */
	bool presence_skipped;
	struct log_read read;
};

/* --- reader_gap.c --- */
/* The gap that is due is told to those it is about. */
void reader_tell_gap(struct reader *r);
/* What is up to this id is missing: a gap that is still to be told then reaches further. */
void reader_miss(struct reader *r, uint64_t upto);
/* What its last read found missing becomes a gap that is due. */
void reader_note_missing(struct reader *r);
/* Ephemeral messages that were not kept for a subscription of its, if any, are told. */
void reader_tell_dropped(struct reader *r, struct sub *sub);

#endif
