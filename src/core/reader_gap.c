#include "core/reader_private.h"

/* What is missing is told, in its place and once. */

/* sub is NULL for a whole stream. */
static void
say_gap(struct reader *r, struct sub *sub, const struct log_resume *gap, uint64_t asked,
    uint32_t dropped)
{
	counter_add(r->hub->counters, COUNTER_GAPS, 1);
	r->who->ops->gap(r->who, sub, gap, asked, dropped);
}

void
reader_tell_gap(struct reader *r)
{
	struct subscriber *s = r->who;

	r->gap_due = false;
	if (s->is_stream) {
		r->has_lost = false;
		say_gap(r, NULL, &r->gap, r->gap_asked, 0);
		return;
	}
	for (struct sub *sub = s->subs; sub != NULL; sub = sub->next) {
		struct log_filter filter = {sub_pattern(sub), sub->at->is_topic};
		struct log_resume gap = r->gap;

		if (sub->reader != r)
			continue;
		if (gap.reason == LOG_GAP_TRIMMED) { /* each subscription has a fate of its own */
			log_resume(r->hub->log, &filter, 1, r->gap_asked, &gap);
			if (gap.reason == LOG_GAP_NONE && !r->has_lost)
				continue;
			if (gap.reason == LOG_GAP_NONE) {
				gap.reason = LOG_GAP_TRIMMED;
				gap.oldest = log_oldest(r->hub->log, &filter, 1);
			}
		}
		/* of what is older and could not be read nobody knows where it stood */
		gap.gap_id = r->has_lost ? 0 : max_u64(gap.gap_id, r->known_trimmed);
		say_gap(r, sub, &gap, r->gap_asked, 0);
	}
	r->has_lost = false;
}

/* What is up to this id is missing: a gap that is still to be told then reaches further. */
void
reader_miss(struct reader *r, uint64_t upto)
{
	r->known_trimmed = max_u64(upto, r->known_trimmed);
	if (!r->gap_due) {
		r->gap_due = true;
		r->gap.reason = LOG_GAP_TRIMMED;
		r->gap_asked = r->cursor;
	}
	r->gap.oldest = log_oldest(r->hub->log, r->filters, r->n_filters);
	r->gap.gap_id = r->who->is_stream ? upto : 0;
}

/*
 * Retention overtook the reader, or the store could not read. What a question met gone is no gap,
 * but what came after it was asked is.
 */
void
reader_note_missing(struct reader *r)
{
	uint64_t trimmed = r->read.trimmed;

	if (r->accept_trimmed) {
		r->accept_trimmed = false;
		/* nor what was live for a reader before it, and did not come */
		r->known_trimmed =
		    min_u64(trimmed, r->seek_limit != 0 ? r->seek_limit : r->asked_upto);
	}
	if (trimmed > max_u64(r->cursor, r->known_trimmed))
		reader_miss(r, trimmed);
	if (r->read.lost == 0)
		return;
	r->has_lost = true;
	reader_miss(r, r->read.lost);
}

void
reader_tell_dropped(struct reader *r, struct sub *sub)
{
	struct log_resume slow = {.reason = LOG_GAP_SLOW, .gap_id = r->cursor};
	struct log_filter filter = {sub_pattern(sub), sub->at->is_topic};

	if (sub->dropped == 0)
		return;
	slow.oldest = log_oldest(r->hub->log, &filter, 1);
	counter_add(r->hub->counters, COUNTER_DROPPED, sub->dropped);
	say_gap(r, sub, &slow, r->cursor, sub->dropped);
	sub->dropped = 0;
}
