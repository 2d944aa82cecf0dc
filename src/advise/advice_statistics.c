/*-------------------------------------------------------------------------
 *
 * advice_statistics.c
 *	  stale_statistics: what to do when the planner expected other rows.
 *
 * A table that was not analyzed, or has changed much since, is to be analyzed.
 * Where its statistics are fresh and several columns are compared, they
 * depend on one another, which only extended statistics tell.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic_ext.h"
#include "commands/defrem.h"
#include "nodes/nodes.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "advise/recommend.h"

#define CHANGED_SHARE	0.1		/* of the rows: autovacuum's own default */
#define TARGET			1000	/* statistics target for a single column */

/* What a function of the statistics views says of a table. */
static bool
table_figure(PGFunction function, Oid relid, Datum *value)
{
	LOCAL_FCINFO(fcinfo, 1);

	InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
	fcinfo->args[0].value = ObjectIdGetDatum(relid);
	fcinfo->args[0].isnull = false;
	*value = function(fcinfo);
	return !fcinfo->isnull;
}

/* When the table was last analyzed, by hand or not; 0: never. */
static TimestampTz
last_analyzed(Oid relid)
{
	TimestampTz last = 0;
	Datum		value;

	if (table_figure(pg_stat_get_last_analyze_time, relid, &value))
		last = DatumGetTimestampTz(value);
	if (table_figure(pg_stat_get_last_autoanalyze_time, relid, &value))
		last = Max(last, DatumGetTimestampTz(value));
	return last;
}

static bool
has_changed(Oid relid, int64 *changed)
{
	Datum		value;
	double		rows;
	double		toast_bytes;

	*changed = 0;
	if (table_figure(pg_stat_get_mod_since_analyze, relid, &value))
		*changed = DatumGetInt64(value);
	hone_relation_toast(relid, &rows, &toast_bytes);
	return *changed > CHANGED_SHARE * rows;
}

/* The filter's columns, each once. */
static List *
columns_of(const HoneFinding *finding)
{
	List	   *columns = NIL;

	for (int i = 0; i < finding->nquals; i++)
		columns = list_append_unique_int(columns, finding->quals[i].attnum);
	return columns;
}

static char *
column_names(Oid relid, List *columns)
{
	StringInfoData out;
	ListCell   *lc;

	initStringInfo(&out);
	foreach(lc, columns)
		appendStringInfo(&out, "%s%s", out.len > 0 ? ", " : "",
						 quote_identifier(get_attname(relid, lfirst_int(lc), false)));
	return out.data;
}

/* Do extended statistics have all these columns? */
static bool
has_extended(Oid relid, List *columns)
{
	Relation	rel;
	bool		found = false;
	ListCell   *lc;

	rel = hone_relation_open(relid);
	if (rel == NULL)
		return false;
	foreach(lc, RelationGetStatExtList(rel))
	{
		HeapTuple	tuple = SearchSysCache1(STATEXTOID, ObjectIdGetDatum(lfirst_oid(lc)));
		int2vector *keys;
		int			covered = 0;

		if (!HeapTupleIsValid(tuple))
			continue;
		keys = &((Form_pg_statistic_ext) GETSTRUCT(tuple))->stxkeys;
		for (int i = 0; i < keys->dim1; i++)
			covered += list_member_int(columns, keys->values[i]);
		found |= covered == list_length(columns);
		ReleaseSysCache(tuple);
	}
	relation_close(rel, NoLock);
	return found;
}

/* Do all operators belong to the order or equality of their type? */
static bool
are_comparisons(const HoneFinding *finding)
{
	for (int i = 0; i < finding->nquals; i++)
	{
		RegProcedure estimator = get_oprrest(finding->quals[i].opno);

		if (estimator != F_EQSEL && estimator != F_SCALARLTSEL &&
			estimator != F_SCALARLESEL && estimator != F_SCALARGTSEL &&
			estimator != F_SCALARGESEL)
			return false;
	}
	return true;
}

static const char *
node_name(int node)
{
	switch (node)
	{
		case T_SeqScan:
			return "Seq Scan";
		case T_IndexScan:
			return "Index Scan";
		default:
			return "Bitmap Heap Scan";
	}
}

static void
add_evidence(const HoneFinding *finding, const HoneReader *reader,
			 TimestampTz analyzed, int64 changed, List *columns, HoneAdvice *advice)
{
	Oid			relid = finding->key.relid;
	double		actual = hone_finding_median(finding, finding->rows / finding->times);

	hone_evidence_text(advice, "node", node_name(finding->node));
	hone_evidence_text(advice, "columns", column_names(relid, columns));
	hone_evidence_number(advice, "rows_expected", finding->expected);
	hone_evidence_number(advice, "rows_p50", actual);
	hone_evidence_number(advice, "factor",
						 Max(finding->expected, actual) / Max(Min(finding->expected, actual), 1));
	hone_evidence_integer(advice, "sampled_executions", finding->times);
	hone_evidence_text(advice, "analyzed", analyzed ? timestamptz_to_str(analyzed) : NULL);
	hone_evidence_integer(advice, "changed_since", changed);
	hone_evidence_sample(advice, "sample", &finding->sample, reader);
}

/* Beside the table, after its columns. */
static char *
statistics_name(Oid relid, List *columns)
{
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, columns)
		appendStringInfo(&names, "%s%s", names.len > 0 ? "_" : "",
						 get_attname(relid, lfirst_int(lc), false));
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)),
									  makeObjectName(get_rel_name(relid), names.data, "stat"));
}

/* Statistics are fresh: they do not have what this filter needs. */
static void
advise_more(Oid relid, List *columns, HoneAdvice *advice)
{
	char	   *name = hone_qualified_name(relid);

	if (list_length(columns) > 1)
		hone_advice_set(advice, &advice->fix,
						"CREATE STATISTICS %s (dependencies, ndistinct, mcv) ON %s FROM %s",
						statistics_name(relid, columns), column_names(relid, columns), name);
	else
		hone_advice_set(advice, &advice->fix,
						"ALTER TABLE %s ALTER COLUMN %s SET STATISTICS %d", name,
						column_names(relid, columns), TARGET);
	hone_evidence_text(advice, "then", psprintf("ANALYZE %s", name));
}

void
hone_advice_statistics(const HoneFinding *finding, const HoneReader *reader,
					   HoneAdvice *advice)
{
	Oid			relid = finding->key.relid;
	List	   *columns = columns_of(finding);
	TimestampTz analyzed = last_analyzed(relid);
	int64		changed;
	bool		stale = has_changed(relid, &changed) || analyzed == 0;
	char	   *first = stale ? "analyze" : list_length(columns) > 1 ?
	"potential: create extended statistics of" : "potential: keep finer statistics of";

	/* mended since, or a guess that no statistics make better */
	advice->drop = analyzed > finding->last_seen || !are_comparisons(finding) ||
		(!stale && (columns == NIL || has_extended(relid, columns)));
	if (advice->drop)
		return;
	hone_advice_set(advice, &advice->summary,
					"%s %s: the planner expected %.0f rows of a scan that gave " INT64_FORMAT,
					first, hone_qualified_name(relid), finding->expected,
					hone_finding_median(finding, finding->rows / finding->times));
	add_evidence(finding, reader, analyzed, changed, columns, advice);
	if (stale)
		hone_advice_set(advice, &advice->fix, "ANALYZE %s", hone_qualified_name(relid));
	else
		advise_more(relid, columns, advice);
}
