/*-------------------------------------------------------------------------
 *
 * advice_star.c
 *	  select_star: a star that fetches wide columns.
 *
 * What each column weighs comes from the planner's statistics; for values
 * stored out of line those count only the pointer, so the size of the TOAST
 * table is shared out among the columns that may be in it. The cost of the
 * star is its part of the bytes of a row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "advise/recommend.h"
#include "advise/rewrite.h"

/* Average widths of a column of which most values are out of line. */
#define POINTER_WIDTH_MIN	17
#define POINTER_WIDTH_MAX	40

typedef struct StarColumns
{
	double		bytes;			/* of a row */
	double		wide_bytes;
	int			nwide;
	StringInfoData json;		/* [{"column": ..., "bytes": ...}] without ] */
	StringInfoData names;		/* of the wide ones, with their share */
} StarColumns;

/* mostly: only columns that look like pointers, not like short values. */
static bool
may_be_out_of_line(Oid relid, AttrNumber attnum, bool mostly)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										Int16GetDatum(attnum));
	Form_pg_attribute att;
	int			width;
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	att = (Form_pg_attribute) GETSTRUCT(tuple);
	width = hone_relation_column_width(relid, attnum);
	result = !att->attisdropped && att->attlen == -1 &&
		(att->attstorage == TYPSTORAGE_EXTENDED || att->attstorage == TYPSTORAGE_EXTERNAL) &&
		(width == 0 || width >= POINTER_WIDTH_MIN) &&
		(!mostly || (width > 0 && width <= POINTER_WIDTH_MAX));
	ReleaseSysCache(tuple);
	return result;
}

static int
relation_natts(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	int			natts;

	if (!HeapTupleIsValid(tuple))
		return 0;
	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);
	return natts;
}

static int
count_out_of_line(Oid relid, bool mostly)
{
	int			natts = relation_natts(relid);
	int			columns = 0;

	for (int attnum = 1; attnum <= natts; attnum++)
		columns += may_be_out_of_line(relid, attnum, mostly);
	return columns;
}

/* Out-of-line bytes of a row that one column is taken to have. */
static double
toast_width(Oid relid, AttrNumber attnum)
{
	double		rows;
	double		toast_bytes;
	bool		mostly = true;
	int			columns = count_out_of_line(relid, mostly);

	if (columns == 0)
	{
		mostly = false;
		columns = count_out_of_line(relid, mostly);
	}
	if (!may_be_out_of_line(relid, attnum, mostly))
		return 0;
	hone_relation_toast(relid, &rows, &toast_bytes);
	return rows > 0 ? toast_bytes / rows / columns : 0;
}

/* Bytes of one value of a column; 0 where it is not known. */
static double
column_bytes(Oid relid, AttrNumber attnum, bool *out_of_line)
{
	double		width = hone_relation_column_width(relid, attnum);
	double		toast = toast_width(relid, attnum);

	*out_of_line = toast > width;
	width += toast;
	if (width == 0)
		width = Max(get_attavgwidth(relid, attnum), 0);
	return width;
}

/* Table and column of an output column, if it is one. */
static bool
output_column(Query *query, TargetEntry *target, Oid *relid, AttrNumber *attnum)
{
	Var		   *var = (Var *) target->expr;
	RangeTblEntry *rte;

	if (target->resjunk || !IsA(var, Var) || var->varlevelsup > 0 ||
		var->varattno <= 0)
		return false;
	rte = rt_fetch(var->varno, query->rtable);
	if (rte->rtekind == RTE_JOIN)
	{
		Node	   *alias = list_nth(rte->joinaliasvars, var->varattno - 1);

		if (alias == NULL || !IsA(alias, Var))
			return false;
		var = (Var *) alias;
		rte = rt_fetch(var->varno, query->rtable);
	}
	if (rte->rtekind != RTE_RELATION || var->varattno <= 0)
		return false;
	*relid = rte->relid;
	*attnum = var->varattno;
	return true;
}

/*
 * Weigh the output columns; those that are wide leave the target list unless
 * the query sorts or groups by them, or unless nothing would remain.
 */
static void
weigh_columns(Query *query, StarColumns *columns)
{
	List	   *kept = NIL;
	ListCell   *lc;
	bool		may_drop = query->distinctClause == NIL && query->setOperations == NULL;
	AttrNumber	resno = 1;

	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);
		Oid			relid;
		AttrNumber	attnum;
		bool		out_of_line;
		double		bytes;

		if (output_column(query, target, &relid, &attnum))
		{
			bytes = column_bytes(relid, attnum, &out_of_line);
			columns->bytes += bytes;
			appendStringInfo(&columns->json, "%s{\"column\": ",
							 columns->json.len > 1 ? ", " : "");
			escape_json(&columns->json, psprintf("%s.%s", get_rel_name(relid),
												 get_attname(relid, attnum, false)));
			appendStringInfo(&columns->json, ", \"bytes\": %.0f, \"out_of_line\": %s}",
							 bytes, out_of_line ? "true" : "false");
			if (bytes >= hone_advise_wide_column)
			{
				columns->wide_bytes += bytes;
				columns->nwide++;
				appendStringInfo(&columns->names, "%s%s (%.0f bytes)",
								 columns->names.len > 0 ? ", " : "",
								 quote_identifier(get_attname(relid, attnum, false)),
								 bytes);
				if (may_drop && target->ressortgroupref == 0)
					continue;
			}
		}
		kept = lappend(kept, target);
	}
	if (columns->nwide == 0)
		return;

	foreach(lc, kept)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (!target->resjunk)
			break;
	}
	if (lc == NULL)
		return;
	foreach(lc, kept)
		lfirst_node(TargetEntry, lc)->resno = resno++;
	query->targetList = kept;
}

void
hone_advice_star(const HoneFinding *finding, const HoneReader *reader,
				 HoneAdvice *advice)
{
	char	   *name = hone_qualified_name(finding->key.relid);
	Query	   *query;
	StarColumns columns;
	double		fetched;

	advice->drop = true;
	memset(&columns, 0, sizeof(columns));
	initStringInfo(&columns.json);
	appendStringInfoChar(&columns.json, '[');
	initStringInfo(&columns.names);
	query = hone_rewrite_parse(&finding->sample);
	weigh_columns(query, &columns);
	fetched = columns.wide_bytes * finding->rows;
	if (columns.nwide == 0 || fetched < hone_advise_star_bytes * 1024.0)
		return;
	advice->drop = false;

	advice->saving_ms = finding->cost_ms * columns.wide_bytes / columns.bytes;
	hone_advice_set(advice, &advice->summary,
					"SELECT * from %s fetches wide columns, %.0f %% of the bytes of each row: %s",
					name, 100 * columns.wide_bytes / columns.bytes, columns.names.data);
	hone_evidence_integer(advice, "rows", finding->rows);
	hone_evidence_integer(advice, "rows_max", finding->rows_max);
	hone_evidence_integer(advice, "wide_bytes_fetched", (int64) fetched);
	hone_evidence_number(advice, "wide_share", columns.wide_bytes / columns.bytes);
	appendStringInfoChar(&columns.json, ']');
	hone_evidence_json(advice, "columns", columns.json.data);
	hone_evidence_sample(advice, "sample", &finding->sample, reader);

	/* a line break in a name would end the comment */
	for (char *p = columns.names.data; *p; p++)
	{
		if (iscntrl((unsigned char) *p))
			*p = ' ';
	}
	hone_advice_set(advice, &advice->fix, "%s\n-- left out: %s. Add it back where it is read.",
					hone_rewrite_deparse(query, !reader->constants, NULL),
					columns.names.data);
}
