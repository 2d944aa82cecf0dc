/*-------------------------------------------------------------------------
 *
 * index_wish.c
 *	  A finding's advice of an index, kept until all are known
 *	  (index_choice.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "advise/index_choice.h"
#include "advise/index_trial.h"

static char *
copy_text(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

static HoneIndexCandidate *
copy_candidate(const HoneIndexCandidate *candidate)
{
	HoneIndexCandidate *copy = palloc(sizeof(HoneIndexCandidate));
	ListCell   *lc;

	*copy = *candidate;
	copy->text = copy_text(candidate->text);
	copy->keys = copy_text(candidate->keys);
	copy->what = copy_text(candidate->what);
	copy->columns = list_copy(candidate->columns);
	copy->leading = copy_text(candidate->leading);
	copy->attributes = NIL;
	foreach(lc, candidate->attributes)
		copy->attributes = lappend(copy->attributes, pstrdup(lfirst(lc)));
	return copy;
}

HoneIndexWish *
hone_index_wish(const HoneFinding *finding, int64 fingerprint, const HoneReader *reader,
				const HoneAdvice *advice)
{
	HoneIndexWish *wish = palloc(sizeof(HoneIndexWish));
	HoneAdvice *kept = &wish->advice;
	ListCell   *lc;

	wish->finding = finding;
	wish->fingerprint = fingerprint;
	wish->reader = *reader;
	*kept = *advice;
	kept->context = CurrentMemoryContext;
	kept->severity = copy_text(advice->severity);
	kept->summary = copy_text(advice->summary);
	kept->fix = copy_text(advice->fix);
	kept->no_fix = copy_text(advice->no_fix);
	initStringInfo(&kept->evidence);
	appendBinaryStringInfo(&kept->evidence, advice->evidence.data, advice->evidence.len);
	kept->index_best = copy_candidate(advice->index_best);
	kept->index_tried = NIL;
	foreach(lc, advice->index_tried)
	{
		const HoneIndexCandidate *candidate = lfirst(lc);

		if (candidate != advice->index_best)
			kept->index_tried = lappend(kept->index_tried, copy_candidate(candidate));
	}
	return wish;
}
