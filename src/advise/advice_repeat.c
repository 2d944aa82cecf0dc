/*-------------------------------------------------------------------------
 *
 * advice_repeat.c
 *	  repeated_query: the same query with the same values, again and again.
 *	  row_by_row_write: a write of one row, again and again.
 *
 * No SQL mends the first: its answer is to be kept by who asked for it. The
 * second becomes one statement, which takes an array for each of its values.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"

#include "advise/recommend.h"
#include "advise/rewrite.h"

static void
add_figures(const HoneFinding *finding, const HoneReader *reader, HoneAdvice *advice)
{
	hone_evidence_integer(advice, "bursts", finding->times);
	hone_evidence_integer(advice, "calls_per_burst",
						  hone_finding_median(finding, finding->calls / finding->times));
	hone_evidence_integer(advice, "calls_per_burst_max", finding->rows_max);
	hone_evidence_number(advice, "execution_ms", finding->cost_ms - finding->gap_ms);
	hone_evidence_number(advice, "gap_ms", finding->gap_ms);
	hone_evidence_per_hour(advice, finding);
	if (reader->texts && finding->sample.context[0] != '\0')
		hone_evidence_text(advice, "function", finding->sample.context);
}

void
hone_advice_repeated(const HoneFinding *finding, const HoneReader *reader,
					 HoneAdvice *advice)
{
	hone_advice_set(advice, &advice->summary,
					"repeated query: ask once and keep the answer; %s is read with the same values " INT64_FORMAT " times in a burst (at most " INT64_FORMAT ")",
					hone_qualified_name(finding->key.relid),
					hone_finding_median(finding, finding->calls / finding->times),
					finding->rows_max);
	add_figures(finding, reader, advice);
	hone_evidence_sample(advice, "sample", &finding->sample, reader);
	hone_advice_set(advice, &advice->no_fix, "keep the answer for as long as the request takes, in a variable or in the cache of the library that asks");
}

/* Is one of the values that change compared with something in WHERE? */
static bool
is_key(Node *node, void *context)
{
	const HoneFinding *finding = context;

	if (node == NULL)
		return false;
	for (int i = 0; i < finding->nkeys; i++)
	{
		const HoneLoopKey *key = &finding->keys[i];

		if (IsA(node, Const) && key->location >= 0 &&
			((Const *) node)->location == key->location)
			return true;
		if (IsA(node, Param) && key->param > 0 && ((Param *) node)->paramid == key->param)
			return true;
	}
	return expression_tree_walker(node, is_key, context);
}

void
hone_advice_row_write(const HoneFinding *finding, const HoneReader *reader,
					  HoneAdvice *advice)
{
	Query	   *query;

	hone_advice_set(advice, &advice->summary,
					"row-by-row writes: send many rows in one statement; %s is written row by row, " INT64_FORMAT " times in a row (at most " INT64_FORMAT ")%s",
					hone_qualified_name(finding->key.relid),
					hone_finding_median(finding, finding->calls / finding->times),
					finding->rows_max,
					finding->parent_rows > finding->times ? ", in a transaction each" : "");
	add_figures(finding, reader, advice);
	hone_evidence_json(advice, "transaction_each",
					   finding->parent_rows > finding->times ? "true" : "false");
	hone_evidence_sample(advice, "sample", &finding->sample, reader);
	query = hone_rewrite_parse_write(&finding->sample);
	/* the same row with other values, as a counter is written */
	if (query->commandType != CMD_INSERT && !is_key(query->jointree->quals, (void *) finding))
	{
		advice->drop = true;
		return;
	}
	hone_advice_set(advice, &advice->fix, "%s", hone_rewrite_many_rows(query));
	if (query->commandType != CMD_INSERT)
		hone_evidence_text(advice, "each_row", "must be in the arrays once only");
}
