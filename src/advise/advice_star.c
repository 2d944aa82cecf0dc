/*-------------------------------------------------------------------------
 *
 * advice_star.c
 *	  select_star: a star, or its columns by name, that fetches wide columns.
 *
 * What the heaviest columns weigh was measured on the rows (weights.c); of any
 * others the planner's statistics tell. The cost of the star is its part of the
 * bytes of a row. Columns of views and subqueries are followed to their tables.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/relation.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

#include "advise/recommend.h"
#include "advise/rewrite.h"

/* An output column that is a table's. */
typedef struct StarColumn
{
	Oid			relid;
	AttrNumber	attnum;
	char	   *name;			/* as the query knows it */
	bool		of_view;
	bool		left_out;		/* of the fix */
	double		bytes;			/* of a value */
	double		outside;		/* of these, stored out of line */
	double		fetches;		/* of rows of the TOAST table, for a value */
} StarColumn;

typedef struct StarColumns
{
	int			n;
	StarColumn *columns;
	int			nwide;
	double		bytes;			/* of a row */
	double		wide_bytes;
	double		fetches;		/* of rows of TOAST tables, for a row */
	bool		of_view;
} StarColumns;

/* Bytes of one value of a column that was not among the heaviest. */
static double
estimated_width(Oid relid, AttrNumber attnum)
{
	int			width = hone_relation_column_width(relid, attnum);

	return width > 0 ? width : Max(get_attavgwidth(relid, attnum), 0);
}

/*
 * By the column of the table or view: what the star stands for may have changed
 * since.
 */
static void
weigh_column(const HoneFinding *finding, const TargetEntry *target, StarColumn *column)
{
	for (int i = 0; i < HONE_FINDING_WEIGHTS; i++)
	{
		const HoneColumnWeight *weight = &finding->weights[i];

		if (weight->rows == 0 || weight->relid != target->resorigtbl ||
			(OidIsValid(weight->relid) ? weight->attnum != target->resorigcol :
			 weight->column != target->resno))
			continue;
		column->bytes = (double) weight->bytes / weight->rows;
		column->outside = (double) weight->outside / weight->rows;
		column->fetches = (double) weight->fetches / weight->rows;
		return;
	}
	column->bytes = estimated_width(column->relid, column->attnum);
}

static bool
is_out_of_line(const StarColumn *column)
{
	return column->outside > column->bytes / 2;
}

static bool find_column(Query *query, Node *node, StarColumn *column);

/* Into a view. */
static bool
find_view_column(Oid relid, AttrNumber attnum, StarColumn *column)
{
	Relation	view;
	Query	   *query;
	bool		found = false;

	hone_rewrite_lock(relid, AccessShareLock);
	view = try_relation_open(relid, NoLock);
	if (view == NULL)
		return false;
	if (view->rd_rel->relkind == RELKIND_VIEW)
	{
		query = get_view_query(view);
		if (attnum <= list_length(query->targetList))
			found = find_column(query, (Node *) list_nth_node(TargetEntry, query->targetList,
															  attnum - 1)->expr, column);
	}
	relation_close(view, NoLock);
	column->of_view = true;
	return found;
}

/*
 * Table and column of an expression, if it is one as it stands. Not through
 * set operations: each of their branches has another one.
 */
static bool
find_column(Query *query, Node *node, StarColumn *column)
{
	Var		   *var = (Var *) node;
	RangeTblEntry *rte;

	check_stack_depth();
	if (query->setOperations || node == NULL || !IsA(var, Var) ||
		var->varlevelsup > 0 || var->varattno <= 0)
		return false;
	rte = rt_fetch(var->varno, query->rtable);
	switch (rte->rtekind)
	{
		case RTE_JOIN:
			return find_column(query, list_nth(rte->joinaliasvars, var->varattno - 1), column);
		case RTE_SUBQUERY:
			return var->varattno <= list_length(rte->subquery->targetList) &&
				find_column(rte->subquery,
							(Node *) list_nth_node(TargetEntry, rte->subquery->targetList,
												   var->varattno - 1)->expr, column);
		case RTE_RELATION:
			if (rte->relkind == RELKIND_VIEW)
				return find_view_column(rte->relid, var->varattno, column);
			column->relid = rte->relid;
			column->attnum = var->varattno;
			return true;
		default:
			return false;
	}
}

/* Weigh an output column; false if it is none of a table. */
static bool
add_column(StarColumns *columns, const HoneFinding *finding, Query *query,
		   TargetEntry *target)
{
	StarColumn *column = &columns->columns[columns->n];
	Var		   *var = (Var *) target->expr;

	memset(column, 0, sizeof(StarColumn));
	if (target->resjunk || !find_column(query, (Node *) var, column))
		return false;
	column->name = get_rte_attribute_name(rt_fetch(var->varno, query->rtable), var->varattno);
	weigh_column(finding, target, column);
	columns->n++;
	columns->bytes += column->bytes;
	columns->of_view |= column->of_view;
	if (column->bytes >= hone_advise_wide_column)
	{
		columns->nwide++;
		columns->wide_bytes += column->bytes;
	}
	columns->fetches += column->fetches;
	return true;
}

/*
 * Weigh the output columns; those that are wide leave the target list unless
 * the query sorts or groups by them, or unless nothing would remain. False if
 * none can leave.
 */
static bool
weigh_columns(const HoneFinding *finding, Query *query, StarColumns *columns)
{
	List	   *kept = NIL;
	ListCell   *lc;
	bool		any = false;
	bool		fewer;
	AttrNumber	resno = 1;

	columns->columns = palloc0(list_length(query->targetList) * sizeof(StarColumn));
	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);
		int			nwide = columns->nwide;

		if (add_column(columns, finding, query, target) && columns->nwide > nwide &&
			query->distinctClause == NIL && target->ressortgroupref == 0)
		{
			columns->columns[columns->n - 1].left_out = true;
			continue;
		}
		kept = lappend(kept, target);
		any |= !target->resjunk;
	}
	fewer = list_length(kept) < list_length(query->targetList);
	if (!fewer || !any)
		return false;
	foreach(lc, kept)
		lfirst_node(TargetEntry, lc)->resno = resno++;
	query->targetList = kept;
	return true;
}

static int
weight_order(const void *a, const void *b)
{
	const StarColumn *ca = a;
	const StarColumn *cb = b;

	return ca->bytes != cb->bytes ? (ca->bytes < cb->bytes ? 1 : -1) :
		ca->attnum - cb->attnum;
}

/* Names of the wide columns, or of those left out, heaviest first. */
static char *
wide_names(const StarColumns *columns, bool left_out)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < columns->nwide; i++)
	{
		const StarColumn *column = &columns->columns[i];

		if (column->left_out || !left_out)
			appendStringInfo(&names, "%s%s (%.0f bytes)", names.len > 0 ? ", " : "",
							 quote_identifier(column->name), column->bytes);
	}
	return names.data;
}

/* All columns for the evidence, heaviest first. */
static char *
columns_json(const StarColumns *columns)
{
	StringInfoData json;

	initStringInfo(&json);
	for (int i = 0; i < columns->n; i++)
	{
		const StarColumn *column = &columns->columns[i];

		appendStringInfo(&json, "%s{\"column\": ", i ? ", " : "[");
		escape_json(&json, psprintf("%s.%s", get_rel_name(column->relid),
									get_attname(column->relid, column->attnum, false)));
		appendStringInfo(&json, ", \"bytes\": %.0f, \"out_of_line\": %s, \"fetches\": %.1f}",
						 column->bytes, is_out_of_line(column) ? "true" : "false",
						 column->fetches);
	}
	appendStringInfoChar(&json, ']');
	return json.data;
}

static List *
column_list(Bitmapset *attnums)
{
	List	   *columns = NIL;
	int			member = -1;

	while ((member = bms_next_member(attnums, member)) >= 0)
		columns = lappend_int(columns, member + FirstLowInvalidHeapAttributeNumber);
	return columns;
}

/*
 * The index in which all columns are that remain, of one table, and which the
 * query's conditions or its order can use; NULL if there is none.
 */
static char *
index_only(Query *query)
{
	List	   *from = query->jointree->fromlist;
	RangeTblEntry *rte;
	Bitmapset  *first = NULL;
	Bitmapset  *all = NULL;
	int			rti;
	ListCell   *lc;

	if (query->hasSubLinks || query->rowMarks || list_length(from) != 1 ||
		!IsA(linitial(from), RangeTblRef))
		return NULL;
	rti = linitial_node(RangeTblRef, from)->rtindex;
	rte = rt_fetch(rti, query->rtable);
	if (rte->rtekind != RTE_RELATION || rte->relkind == RELKIND_VIEW)
		return NULL;
	pull_varattnos(query->jointree->quals, rti, &first);
	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		pull_varattnos((Node *) target->expr, rti, &all);
		if (target->ressortgroupref > 0)
			pull_varattnos((Node *) target->expr, rti, &first);
	}
	return hone_relation_covering_index(rte->relid, column_list(first),
										column_list(bms_join(all, bms_copy(first))));
}

/* How the query names the columns. */
static const char *
star_form(const HoneFinding *finding, const StarColumns *columns)
{
	if (!hone_rewrite_sample_has_star(&finding->sample))
		return "every column listed";
	return columns->of_view ? "view" : "literal";
}

static void
add_star_evidence(const HoneFinding *finding, const HoneReader *reader,
				  const StarColumns *columns, Query *narrow, HoneAdvice *advice)
{
	char	   *index = narrow ? index_only(narrow) : NULL;

	hone_evidence_text(advice, "star", star_form(finding, columns));
	hone_evidence_integer(advice, "rows", finding->rows);
	hone_evidence_integer(advice, "rows_max", finding->rows_max);
	hone_evidence_integer(advice, "wide_bytes_fetched",
						  (int64) (columns->wide_bytes * finding->rows));
	hone_evidence_number(advice, "wide_share", columns->wide_bytes / columns->bytes);
	if (columns->fetches > 0)
		hone_evidence_integer(advice, "out_of_line_fetches",
							  (int64) (columns->fetches * finding->rows));
	if (index)
		hone_evidence_text(advice, "index_only_scan", index);
	hone_evidence_integer(advice, "rows_weighed", finding->weights[0].rows);
	hone_evidence_json(advice, "columns", columns_json(columns));
	hone_evidence_sample(advice, "sample", &finding->sample, reader);
}

/* The query without the columns that were left out. */
static void
make_narrow(Query *query, const StarColumns *columns, const HoneReader *reader,
			HoneAdvice *advice)
{
	char	   *names = wide_names(columns, true);

	/* a line break in a name would end the comment */
	for (char *p = names; *p; p++)
	{
		if (iscntrl((unsigned char) *p))
			*p = ' ';
	}
	hone_advice_set(advice, &advice->fix, "%s\n-- left out: %s. Add it back where it is read.",
					hone_rewrite_deparse(query, !reader->constants, NULL), names);
}

void
hone_advice_star(const HoneFinding *finding, const HoneReader *reader,
				 HoneAdvice *advice)
{
	Query	   *query;
	StarColumns columns;
	bool		narrower;

	memset(&columns, 0, sizeof(columns));
	query = hone_rewrite_parse(&finding->sample);
	advice->drop = true;
	narrower = weigh_columns(finding, query, &columns);
	if (columns.nwide == 0 ||
		columns.wide_bytes * finding->rows < hone_advise_star_bytes * 1024.0)
		return;
	advice->drop = false;

	qsort(columns.columns, columns.n, sizeof(StarColumn), weight_order);
	advice->saving_ms = finding->cost_ms * columns.wide_bytes / columns.bytes;
	hone_advice_set(advice, &advice->summary,
					"%s %s fetches wide columns, %.0f %% of the bytes of each row: %s",
					hone_rewrite_sample_has_star(&finding->sample) ? "SELECT * from" : "SELECT of every column of",
					hone_qualified_name(columns.columns[0].relid),
					100 * columns.wide_bytes / columns.bytes,
					wide_names(&columns, false));
	add_star_evidence(finding, reader, &columns, narrower ? query : NULL, advice);
	if (narrower)
		make_narrow(query, &columns, reader, advice);
	else
		hone_advice_set(advice, &advice->no_fix,
						"the query sorts by its wide columns or tells rows apart by them, or returns nothing else");
}
