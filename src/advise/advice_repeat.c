/*-------------------------------------------------------------------------
 *
 * advice_repeat.c
 *	  repeated_query: the same query with the same values, again and again.
 *	  row_by_row_write: a write of one row, again and again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "advise/recommend.h"
#include "advise/rewrite.h"

void
hone_advice_repeated(const HoneFinding *finding, const HoneReader *reader,
					 HoneAdvice *advice)
{
	hone_advice_set(advice, &advice->summary,
					"ask once and keep the answer: %s is read with the same values " INT64_FORMAT " times in a burst (at most " INT64_FORMAT ")",
					hone_qualified_name(finding->key.relid),
					hone_finding_median(finding, finding->calls / finding->times),
					finding->rows_max);
	hone_evidence_sample(advice, "sample", &finding->sample, reader);
}

void
hone_advice_row_write(const HoneFinding *finding, const HoneReader *reader,
					  HoneAdvice *advice)
{
	hone_evidence_sample(advice, "sample", &finding->sample, reader);
}
