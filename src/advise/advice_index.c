/*-------------------------------------------------------------------------
 *
 * advice_index.c
 *	  missing_index: the index that a filter on a large scan asks for.
 *
 * Columns compared for equality come first, the most selective of them
 * foremost, then one column compared by range. Operators that are not of the
 * column type's default btree family, and columns too wide for an index
 * entry, are left out. Nothing is recommended where such an index exists.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

#include "advise/index_trial.h"
#include "advise/recommend.h"

#define SORTED_SHARE	0.5		/* of a table's rows */
#define SUMMARY_CORRELATION	0.9 /* of a column and the rows' places */

typedef struct IndexColumn
{
	AttrNumber	attnum;
	double		distinct;
} IndexColumn;

typedef struct IndexPlan
{
	int			nequal;
	IndexColumn equal[HONE_FINDING_QUALS];
	AttrNumber	range;			/* 0 = none */
	List	   *others;			/* HoneIndexCandidates that are no plain btree */
} IndexPlan;

/* btree strategy of "column op value" in the type's default family, or 0. */
static int
qual_strategy(Oid relid, const HoneQual *qual)
{
	Oid			type;
	int32		typmod;
	Oid			collation;
	Oid			opclass;
	Oid			opno = qual->commuted ? get_commutator(qual->opno) : qual->opno;

	get_atttypetypmodcoll(relid, qual->attnum, &type, &typmod, &collation);
	if (!OidIsValid(opno) || (OidIsValid(qual->collation) &&
							  OidIsValid(collation) && qual->collation != collation))
		return 0;
	opclass = GetDefaultOpClass(type, BTREE_AM_OID);
	if (!OidIsValid(opclass))
		return 0;
	return get_op_opfamily_strategy(opno, get_opclass_family(opclass));
}

/*
 * Operators of a kind of index that is made for them: documents, arrays and
 * words, and the beginning of a text.
 */
static void
add_other(IndexPlan *plan, Oid relid, const HoneQual *qual)
{
	Oid			type = get_atttype(relid, qual->attnum);
	const char *name = quote_identifier(get_attname(relid, qual->attnum, false));
	Oid			opno = qual->commuted ? get_commutator(qual->opno) : qual->opno;
	Oid			gin = GetDefaultOpClass(type, GIN_AM_OID);

	if (OidIsValid(gin) && OidIsValid(opno) &&
		get_op_opfamily_strategy(opno, get_opclass_family(gin)) != 0)
		plan->others = lappend(plan->others,
							   hone_index_candidate("gin, a rough estimate", psprintf("USING gin (%s)", name)));
	else if (opno == OID_TEXT_LIKE_OP && (type == TEXTOID || type == VARCHAROID))
	{
		plan->others = lappend(plan->others,
							   hone_index_candidate("beginnings, collation C", psprintf("(%s)", name)));
		plan->others = lappend(plan->others,
							   hone_index_candidate("beginnings", psprintf("(%s %s)", name, type == TEXTOID ? "text_pattern_ops" : "varchar_pattern_ops")));
	}
}

/*
 * A range of a column in whose order the rows lie is found by a summary of
 * pages as well. The leaf has the statistics.
 */
static void
add_summary(IndexPlan *plan, Oid relid, Oid leaf)
{
	HoneIndexCandidate *summary;

	if (plan->nequal > 0 || plan->range == 0 ||
		!OidIsValid(GetDefaultOpClass(get_atttype(relid, plan->range), BRIN_AM_OID)))
		return;
	if (fabs(hone_relation_column_correlation(leaf, hone_relation_same_column(relid, plan->range, leaf))) < SUMMARY_CORRELATION)
		return;
	summary = hone_index_candidate("brin, a rough estimate",
								   psprintf("USING brin (%s)", quote_identifier(get_attname(relid, plan->range, false))));
	summary->tiny = true;
	plan->others = lappend(plan->others, summary);
}

static int
by_selectivity(const void *a, const void *b)
{
	const IndexColumn *ca = a;
	const IndexColumn *cb = b;

	if (ca->distinct != cb->distinct)
		return ca->distinct > cb->distinct ? -1 : 1;
	return ca->attnum - cb->attnum;
}

static int
find_column(const IndexPlan *plan, AttrNumber attnum)
{
	for (int i = 0; i < plan->nequal; i++)
	{
		if (plan->equal[i].attnum == attnum)
			return i;
	}
	return -1;
}

static void
add_column(IndexPlan *plan, Oid relid, AttrNumber attnum, int strategy)
{
	if (strategy == BTEqualStrategyNumber)
	{
		if (find_column(plan, attnum) >= 0)
			return;
		plan->equal[plan->nequal].attnum = attnum;
		plan->equal[plan->nequal].distinct =
			hone_relation_column_distinct(relid, attnum);
		plan->nequal++;
	}
	else if (plan->range == 0 ||
			 hone_relation_column_distinct(relid, attnum) >
			 hone_relation_column_distinct(relid, plan->range))
		plan->range = attnum;
}

/*
 * All orders of equality columns serve alike, so the columns of an index that
 * is there come first: then the new one takes its place.
 */
static void
widen(IndexPlan *plan, Oid relid)
{
	List	   *columns = NIL;
	List	   *keys;
	int			n = 0;
	ListCell   *lc;

	for (int i = 0; i < plan->nequal; i++)
		columns = lappend_int(columns, plan->equal[i].attnum);
	(void) hone_relation_narrower_index(relid, columns, true, &keys);
	foreach(lc, keys)
	{
		int			at = find_column(plan, lfirst_int(lc));
		IndexColumn column;

		if (at < n)
			continue;
		column = plan->equal[at];
		memmove(&plan->equal[n + 1], &plan->equal[n], (at - n) * sizeof(IndexColumn));
		plan->equal[n++] = column;
	}
}

static void
make_plan(IndexPlan *plan, Oid relid, const HoneFinding *finding)
{
	memset(plan, 0, sizeof(IndexPlan));
	for (int i = 0; i < finding->nquals - finding->norder; i++)
	{
		AttrNumber	attnum = finding->quals[i].attnum;
		char	   *name = get_attname(relid, attnum, true);
		int			strategy;

		if (name == NULL)
			continue;
		strategy = qual_strategy(relid, &finding->quals[i]);
		if (strategy == 0)
			add_other(plan, relid, &finding->quals[i]);
		if (strategy == 0 || hone_relation_column_width(relid, attnum) > HONE_INDEX_ENTRY_WIDTH)
			continue;
		add_column(plan, relid, attnum, strategy);
	}
	qsort(plan->equal, plan->nequal, sizeof(IndexColumn), by_selectivity);
	if (find_column(plan, plan->range) >= 0)
		plan->range = 0;
	widen(plan, relid);
	plan->nequal = Min(plan->nequal, HONE_INDEX_KEYS - (plan->range ? 1 : 0));
}

/* The columns' numbers in the topmost table, by name. */
static bool
map_columns(HoneFinding *finding, Oid from, Oid to)
{
	for (int i = 0; i < finding->nquals; i++)
	{
		AttrNumber	attnum = hone_relation_same_column(from, finding->quals[i].attnum, to);

		if (attnum == InvalidAttrNumber)
			return false;
		finding->quals[i].attnum = attnum;
	}
	return true;
}

static void
add_evidence(const HoneFinding *finding, const HoneReader *reader,
			 const IndexPlan *plan, Oid relid, HoneAdvice *advice)
{
	StringInfoData json;
	double		rows;
	double		toast_bytes;

	hone_relation_toast(relid, &rows, &toast_bytes);
	hone_evidence_integer(advice, "sampled_executions", finding->times);
	if (finding->norder > 0)
		hone_evidence_integer(advice, "rows_sorted_per_execution",
							  (finding->rows + finding->rows_kept) / finding->times);
	hone_evidence_integer(advice, "rows_removed_per_execution",
						  finding->rows / finding->times);
	hone_evidence_integer(advice, "rows_removed_max", finding->rows_max);
	hone_evidence_integer(advice, "rows_kept_per_execution",
						  finding->rows_kept / finding->times);
	hone_evidence_number(advice, "ms_per_execution",
						 finding->cost_ms / Max(finding->calls, 1));
	hone_evidence_integer(advice, "table_rows", (int64) rows);

	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	for (int i = 0; i < finding->nqueries; i++)
		appendStringInfo(&json, "%s" INT64_FORMAT, i ? ", " : "",
						 (int64) finding->queries[i]);
	appendStringInfoChar(&json, ']');
	hone_evidence_json(advice, "queryids", json.data);
	hone_evidence_integer(advice, "equality_columns", plan->nequal);
	hone_evidence_integer(advice, "range_columns", plan->range ? 1 : 0);
	hone_evidence_sample(advice, "sample", &finding->sample, reader);
}

/* An index that the new one makes redundant; to be dropped when that is there. */
static void
add_replaced(Oid relid, const HoneIndexCandidate *best, HoneAdvice *advice)
{
	List	   *keys;
	char	   *name = get_rel_name(hone_relation_narrower_index(relid, best->columns, false, &keys));

	if (name == NULL)
		return;
	hone_evidence_text(advice, "replaces", name);
	hone_evidence_text(advice, "then",
					   psprintf("index %s is redundant once the new one is there, and is reported then (redundant_index)",
								quote_identifier(name)));
}

/* Each candidate with its cost and size; the chosen one is in the fix. */
static void
add_trial(const HoneIndexTrial *trial, const HoneIndexCandidate *best, HoneAdvice *advice)
{
	StringInfoData json;
	ListCell   *lc;

	initStringInfo(&json);
	appendStringInfoChar(&json, '[');
	foreach(lc, trial->candidates)
	{
		const HoneIndexCandidate *candidate = lfirst(lc);

		appendStringInfo(&json, "%s{\"index\": ", json.len > 1 ? ", " : "");
		escape_json(&json, candidate->text);
		appendStringInfo(&json, ", \"kind\": \"%s\", \"used\": %s, \"cost\": %.2f, \"bytes\": %.0f",
						 candidate->what, candidate->used ? "true" : "false",
						 candidate->cost, candidate->bytes);
		if (candidate != best)
			appendStringInfo(&json, ", \"why_not\": \"%s\"", hone_index_trial_why_not(trial, candidate, best));
		appendStringInfoChar(&json, '}');
	}
	appendStringInfoChar(&json, ']');
	hone_evidence_number(advice, "planner_cost", trial->cost);
	hone_evidence_number(advice, "planner_cost_with_index", best->cost);
	hone_evidence_integer(advice, "index_bytes", (int64) best->bytes);
	hone_evidence_integer(advice, "calls_tried", trial->calls);
	hone_evidence_json(advice, "tried", json.data);
	add_replaced(trial->relid, best, advice);
	if (best->constant)
		hone_evidence_text(advice, "note",
						   "the constant is the same in all sampled calls; everybody can read an index's definition");
}

void
hone_index_try_measure(Oid relid, HoneIndexCandidate *index)
{
	HoneIndexTrial trial = {.relid = relid,.others = list_make1(index)};

	(void) hone_advice_try(hone_index_measure, &trial);
}

const char *
hone_index_try(HoneIndexTrial *trial, const HoneReader *reader)
{
	ErrorData  *error;

	if (!hone_trial_left())
		return "too many others were tried before";
	hone_trial_begin();
	error = hone_advice_try(hone_index_trial, trial);
	hone_trial_end();
	if (error != NULL)
		return reader->constants ? error->message : "the statement could not be planned";
	return trial->known ? NULL : "the table has never been analyzed";
}

/* A unique index of some of these columns finds one row: no other can be better. */
static bool
finds_one_row(const HoneIndexTrial *trial)
{
	List	   *best;
	ListCell   *lc;

	foreach(lc, hone_relation_keys(trial->relid, &best))
	{
		if (list_difference_int(lfirst(lc), trial->equal) == NIL)
			return true;
	}
	return false;
}

/*
 * Where a filter leaves few rows, the order alone may have them all at its
 * other end: the planner does not know.
 */
static bool
sorts_most(const HoneFinding *finding, Oid relid)
{
	double		rows;
	double		toast_bytes;

	hone_relation_toast(relid, &rows, &toast_bytes);
	return (finding->rows + finding->rows_kept) / finding->times >= rows * SORTED_SHARE;
}

/* What read those rows, by the last execution that was sampled. */
static const char *
readers_of(const HoneFinding *finding)
{
	if (finding->norder > 0)
		return "sorts under a LIMIT";
	if (finding->node == T_IndexScan)
		return "index scans";
	return finding->node == T_HashJoin ? "joins" : "sequential scans";
}

static const char *
verb_of(const HoneFinding *finding)
{
	return finding->norder == 0 && finding->node == T_IndexScan ? "fetch and throw away" : "read and throw away";
}

void
hone_advice_index(const HoneFinding *original, const HoneReader *reader,
				  HoneAdvice *advice)
{
	HoneFinding *finding = palloc(sizeof(HoneFinding));
	Oid			relid = hone_relation_topmost(original->key.relid);
	IndexPlan	plan;
	HoneIndexTrial trial = {0};
	HoneIndexCandidate *best = NULL;
	const char *keys;
	const char *index;
	const char *wanted;
	const char *why;			/* it was not tried */
	bool		served;
	bool		sure;

	memcpy(finding, original, sizeof(HoneFinding));
	advice->drop = true;
	if (!OidIsValid(relid) ||
		(relid != original->key.relid &&
		 !map_columns(finding, original->key.relid, relid)))
		return;
	make_plan(&plan, relid, finding);
	add_summary(&plan, relid, original->key.relid);
	if (plan.nequal == 0 && plan.range == 0 && plan.others == NIL && finding->norder == 0)
		return;
	trial.finding = original;
	trial.order = finding->norder > 0 && sorts_most(finding, relid);
	/* those of one query are known, and another one may have others */
	trial.constants = reader->constants && finding->nqueries == 1;
	trial.relid = relid;
	trial.range = plan.range;
	trial.others = plan.others;
	for (int i = 0; i < plan.nequal; i++)
		trial.equal = lappend_int(trial.equal, plan.equal[i].attnum);
	keys = hone_index_trial_keys(&trial);

	/*
	 * beside one that leaves rows to a filter or sort a better one may be
	 * missing
	 */
	served = keys[0] != '\0' && hone_relation_has_index(relid, trial.equal, trial.range);
	if (finding->node != T_IndexScan && finding->norder == 0 ? served : finds_one_row(&trial))
		return;

	/* where it can be planned again, the planner has to want it */
	why = hone_index_try(&trial, reader);
	if (why == NULL)
		best = hone_index_trial_best(&trial);
	/* without a trial only what is sure */
	sure = keys[0] != '\0' && !served && finding->norder == 0 && finding->node != T_HashJoin;
	if (why == NULL ? best == NULL : !sure)
		return;
	advice->drop = false;
	index = best != NULL ? best->text : psprintf("(%s)", keys);
	/* summaries are for everybody: in alerts, and of what was dismissed */
	wanted = best != NULL && best->constant ? psprintf("(%s) of the rows with its constants", best->keys) : index;
	hone_advice_set(advice, &advice->summary,
					"%s of %s %s " INT64_FORMAT " rows each to keep " INT64_FORMAT ": no index %s%s",
					readers_of(finding), hone_qualified_name(relid), verb_of(finding), finding->rows / finding->times,
					finding->rows_kept / finding->times, wanted[0] == '(' ? "on " : "", wanted);
	hone_advice_index_fix(advice, relid, index);
	advice->index_on = relid;
	advice->index_tried = trial.candidates;
	advice->index_cost = why == NULL ? trial.cost : 0;
	advice->index_best = best;
	if (best == NULL)
	{
		advice->index_best = hone_index_candidate("plain", index);
		advice->index_best->keys = keys;
		advice->index_best->plain = true;
		hone_index_try_measure(relid, advice->index_best);
	}
	add_evidence(finding, reader, &plan, relid, advice);
	if (best != NULL)
	{
		advice->saving_ms = finding->cost_ms * (1 - best->cost / trial.cost);
		add_trial(&trial, best, advice);
	}
	else
		hone_evidence_text(advice, "not_tried", why);
}
