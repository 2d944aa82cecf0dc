/*-------------------------------------------------------------------------
 *
 * materialize.c
 *	  A statement as a materialized view (see materialize.h).
 *
 * The view has the statement's own rows: its columns, and those that it groups
 * or sorts by without showing them. Left to the statement that reads from it
 * are the order, a LIMIT that differs between calls, and conditions on one
 * column whose value does: "column = $1" of the rows is the same condition on
 * the groups, once the column is grouped by as well, if the operator is the
 * equality by which groups are made. Without GROUP BY such a statement returns
 * a row also where there is nothing to count; then the view has a column for
 * each aggregate, and each is looked up by itself.
 *
 * What reads from the view is made and analysed with the view's query as a CTE
 * of the view's name, which is then taken off.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parse_clause.h"
#include "parser/parse_oper.h"
#include "parser/parser.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "advise/materialize.h"
#include "advise/nodes.h"
#include "advise/rewrite.h"
#include "compat/compat.h"

#define NAMES_TRIED		20

/* Stands for 0 while constants are made parameters. */
#define ZERO_PARAM		(HONE_REWRITE_VARIABLES + 9999)

typedef struct ViewMaking
{
	HoneView   *view;
	const HoneFinding *finding;
	bool		mask;
	Query	   *query;			/* the view's */
	List	   *conditions;		/* taken out of it, */
	List	   *columns;		/* and the Var in each */
	bool		single;			/* no GROUP BY, and conditions taken out */
	bool		counts;			/* and a count looked up */
	char	   *relname;		/* of the view */
} ViewMaking;

/* ---- values that differ between calls ---- */

static bool
is_same_in_all_calls(const HoneFinding *finding, const Const *con)
{
	if (con->location < 0 || !finding->texts_differ)
		return true;
	/* places in a text that was cut are not those in the whole one */
	if (finding->sample.truncated)
		return false;
	for (int i = 0; i < finding->nkeys && !finding->values_unknown; i++)
	{
		if (finding->keys[i].location == con->location)
			return !finding->varies[i];
	}
	return false;
}

/* Finds a parameter, or a constant that may differ. */
static bool
differs(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param))
		return ((Param *) node)->paramkind == PARAM_EXTERN;
	if (IsA(node, Const))
		return !is_same_in_all_calls(context, (Const *) node);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, differs, context, 0);
	return expression_tree_walker(node, differs, context);
}

static bool
has_value_that_differs(const ViewMaking *making, Node *node)
{
	return differs(node, (void *) making->finding);
}

/* ---- conditions that are taken out ---- */

/* Can groups be selected from, as their rows would have been? */
static bool
may_take_out(const Query *query)
{
	return (query->hasAggs || query->groupClause != NIL) && query->groupingSets == NIL &&
		query->setOperations == NULL && query->distinctClause == NIL &&
		!query->hasWindowFuncs && !query->hasTargetSRFs &&
		(query->groupClause != NIL ||
		 (query->havingQual == NULL && !contain_subplans((Node *) query->targetList)));
}

static Var *
column_of(Node *node)
{
	node = hone_qual_strip(node);
	if (node == NULL || !IsA(node, Var) || ((Var *) node)->varlevelsup > 0 ||
		((Var *) node)->varattno <= 0)
		return NULL;
	return (Var *) node;
}

/* Is it the equality that GROUP BY goes by? */
static bool
is_grouping_equality(const OpExpr *op, const Var *column)
{
	Oid			opclass = GetDefaultOpClass(column->vartype, BTREE_AM_OID);

	return OidIsValid(opclass) &&
		get_op_opfamily_strategy(op->opno, get_opclass_family(opclass)) == BTEqualStrategyNumber &&
		(!OidIsValid(op->inputcollid) || op->inputcollid == column->varcollid);
}

/* The column of "column = value" where the value may be another in each call. */
static Var *
condition_column(const ViewMaking *making, Node *clause)
{
	OpExpr	   *op = (OpExpr *) clause;

	if (!IsA(clause, OpExpr) || list_length(op->args) != 2)
		return NULL;
	for (int side = 0; side < 2; side++)
	{
		Var		   *column = column_of(list_nth(op->args, side));
		Node	   *value = list_nth(op->args, 1 - side);

		if (column != NULL && is_grouping_equality(op, column) &&
			has_value_that_differs(making, value) &&
			!contain_var_clause(value) && !contain_subplans(value))
			return column;
	}
	return NULL;
}

static void
take_out_conditions(ViewMaking *making)
{
	FromExpr   *from = making->query->jointree;
	List	   *kept = NIL;
	ListCell   *lc;

	if (!may_take_out(making->query))
		return;
	foreach(lc, make_ands_implicit((Expr *) from->quals))
	{
		Node	   *clause = lfirst(lc);
		Var		   *column = condition_column(making, clause);

		if (column == NULL)
		{
			kept = lappend(kept, clause);
			continue;
		}
		making->conditions = lappend(making->conditions, clause);
		making->columns = list_append_unique(making->columns, copyObject(column));
	}
	from->quals = kept == NIL ? NULL : (Node *) make_ands_explicit(kept);
}

/* ---- columns of the view ---- */

static char *
column_name(const Query *query, const Var *var)
{
	return get_rte_attribute_name(rt_fetch(var->varno, query->rtable), var->varattno);
}

static char *
short_name(const char *text)
{
	/* room for a number or two after it */
	return pnstrdup(text, pg_mbcliplen(text, strlen(text), NAMEDATALEN - 10));
}

/* Has a column before this one its name? */
static bool
is_name_taken(List *targets, const TargetEntry *target)
{
	ListCell   *lc;

	foreach(lc, targets)
	{
		TargetEntry *other = lfirst_node(TargetEntry, lc);

		if (other == target)
			return false;
		if (strcmp(other->resname, target->resname) == 0)
			return true;
	}
	return false;
}

static void
name_column(ViewMaking *making, TargetEntry *target)
{
	char	   *name = target->resname;

	if (target->resjunk || name == NULL)
		name = IsA(target->expr, Var) ? column_name(making->query, (Var *) target->expr) :
			IsA(target->expr, Aggref) ? get_func_name(((Aggref *) target->expr)->aggfnoid) : "key";
	target->resname = name = pstrdup(name);
	for (int i = 2; is_name_taken(making->query->targetList, target); i++)
		target->resname = psprintf("%s_%d", short_name(name), i);
}

static TargetEntry *
add_column(ViewMaking *making, Expr *expr)
{
	List	  **targets = &making->query->targetList;
	TargetEntry *target = makeTargetEntry(expr, list_length(*targets) + 1, NULL, false);

	*targets = lappend(*targets, target);
	return target;
}

/* The column of the view that is this one of its tables, grouped by. */
static TargetEntry *
group_by(ViewMaking *making, Var *column)
{
	Query	   *query = making->query;
	TargetEntry *target = tlist_member((Expr *) column, query->targetList);
	SortGroupClause *group = makeNode(SortGroupClause);

	if (target != NULL && target->ressortgroupref > 0 &&
		get_sortgroupref_clause_noerr(target->ressortgroupref, query->groupClause) != NULL)
		return target;
	target = add_column(making, (Expr *) copyObject(column));
	group->tleSortGroupRef = assignSortGroupRef(target, query->targetList);
	get_sort_group_operators(column->vartype, true, true, false, &group->sortop,
							 &group->eqop, NULL, &group->hashable);
	query->groupClause = lappend(query->groupClause, group);
	return target;
}

static bool
collect_aggregates(Node *node, ViewMaking *making)
{
	if (node == NULL)
		return false;
	if (IsA(node, Aggref))
	{
		if (tlist_member((Expr *) node, making->query->targetList) == NULL)
			add_column(making, (Expr *) copyObject(node));
		return false;
	}
	return expression_tree_walker(node, collect_aggregates, making);
}

/* Of one row: the aggregates alone. */
static void
show_aggregates(ViewMaking *making, List *targets)
{
	making->query->targetList = NIL;
	collect_aggregates((Node *) targets, making);
	making->query->sortClause = NIL;
}

static void
make_columns(ViewMaking *making)
{
	Query	   *query = making->query;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		name_column(making, target);
		target->resjunk = false;
		if (get_typtype(exprType((Node *) target->expr)) == TYPTYPE_PSEUDO)
			hone_view_problem(making->view, "it returns a column that no table can have");
		making->view->width += get_typavgwidth(exprType((Node *) target->expr),
											   exprTypmod((Node *) target->expr));
	}
}

/* ---- its unique index ---- */

static void
add_key(StringInfo key, const TargetEntry *target)
{
	appendStringInfo(key, "%s%s", key->len > 0 ? ", " : "", quote_identifier(target->resname));
}

static bool
is_indexable(const TargetEntry *target)
{
	return OidIsValid(GetDefaultOpClass(exprType((Node *) target->expr), BTREE_AM_OID));
}

/*
 * The groups of the outermost query are unique, and so is whatever column of a
 * single row. Conditions select by the columns that come first.
 */
static void
make_key(ViewMaking *making, List *moved)
{
	Query	   *query = making->query;
	List	   *columns = moved;
	StringInfoData key;
	ListCell   *lc;

	if (query->groupingSets != NIL || query->setOperations != NULL || query->hasTargetSRFs ||
		(query->groupClause == NIL && !query->hasAggs))
		return;
	foreach(lc, query->groupClause)
		columns = list_append_unique_ptr(columns, get_sortgroupclause_tle(lfirst(lc), query->targetList));
	foreach(lc, query->targetList)
	{
		if (columns == NIL && is_indexable(lfirst(lc)))
			columns = list_make1(lfirst(lc));
	}
	initStringInfo(&key);
	foreach(lc, columns)
	{
		if (!is_indexable(lfirst(lc)) || list_length(columns) > INDEX_MAX_KEYS)
			return;
		add_key(&key, lfirst(lc));
	}
	if (columns != NIL)
		making->view->key = key.data;
}

/* ---- the statement that reads from it ---- */

/* Its rows, under the name that it will have. */
static RangeTblEntry *
view_entry(const ViewMaking *making, Index levelsup)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	ListCell   *lc;

	rte->rtekind = RTE_CTE;
	rte->ctename = making->relname;
	rte->ctelevelsup = levelsup;
	rte->inFromCl = true;
	rte->eref = makeAlias(making->relname, NIL);
	foreach(lc, making->query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);
		Node	   *expr = (Node *) target->expr;

		rte->eref->colnames = lappend(rte->eref->colnames, makeString(target->resname));
		rte->coltypes = lappend_oid(rte->coltypes, exprType(expr));
		rte->coltypmods = lappend_int(rte->coltypmods, exprTypmod(expr));
		rte->colcollations = lappend_oid(rte->colcollations, exprCollation(expr));
	}
	return rte;
}

static Query *
begin_select(void)
{
	Query	   *query = makeNode(Query);

	query->commandType = CMD_SELECT;
	query->canSetTag = true;
	query->jointree = makeFromExpr(NIL, NULL);
	return query;
}

static void
select_from_view(const ViewMaking *making, Query *query, Index levelsup)
{
	RangeTblRef *ref = makeNode(RangeTblRef);

	ref->rtindex = 1;
	query->rtable = list_make1(view_entry(making, levelsup));
	query->jointree->fromlist = list_make1(ref);
}

static Node *
to_view_column(Node *node, ViewMaking *making)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		TargetEntry *target = tlist_member((Expr *) node, making->query->targetList);

		return (Node *) makeVarFromTargetEntry(1, target);
	}
	return expression_tree_mutator(node, to_view_column, making);
}

static void
add_conditions(ViewMaking *making, Query *query)
{
	List	   *conditions = (List *) to_view_column((Node *) making->conditions, making);

	query->jointree->quals = conditions == NIL ? NULL : (Node *) make_ands_explicit(conditions);
}

/* Without rows: NULL, of those that it is known of, and 0 of a count. */
static bool
is_null_of_nothing(const Aggref *agg)
{
	static const char *const known[] = {
		"array_agg", "avg", "bit_and", "bit_or", "bool_and", "bool_or", "every",
		"json_agg", "jsonb_agg", "max", "min", "mode", "percentile_cont", "percentile_disc",
		"stddev", "stddev_pop", "stddev_samp", "string_agg", "sum", "var_pop",
		"var_samp", "variance"
	};

	for (int i = 0; i < lengthof(known); i++)
	{
		if (agg->aggfnoid < FirstNormalObjectId &&
			strcmp(get_func_name(agg->aggfnoid), known[i]) == 0)
			return true;
	}
	return false;
}

/* An aggregate is looked up in the view. */
static Node *
to_lookup(Node *node, ViewMaking *making)
{
	Aggref	   *agg = (Aggref *) node;
	SubLink    *link;
	Query	   *query;
	TargetEntry *target;
	CoalesceExpr *count;

	if (node == NULL)
		return NULL;
	if (!IsA(node, Aggref))
		return expression_tree_mutator(node, to_lookup, making);

	target = tlist_member((Expr *) node, making->query->targetList);
	query = begin_select();
	select_from_view(making, query, 1);
	add_conditions(making, query);
	query->targetList = list_make1(makeTargetEntry((Expr *) makeVarFromTargetEntry(1, target),
												   1, target->resname, false));
	link = makeNode(SubLink);
	link->subLinkType = EXPR_SUBLINK;
	link->subselect = (Node *) query;
	link->location = -1;
	if (is_null_of_nothing(agg))
		return (Node *) link;
	if (agg->aggfnoid != F_COUNT_ && agg->aggfnoid != F_COUNT_ANY)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("what %s() returns where there are no rows is not known", get_func_name(agg->aggfnoid))));
	making->counts = true;
	count = makeNode(CoalesceExpr);
	count->coalescetype = INT8OID;
	count->location = -1;
	count->args = list_make2(link, hone_rewrite_param(ZERO_PARAM, INT8OID, InvalidOid));
	return (Node *) count;
}

/* The columns of 'original', from those of the view of the same number. */
static List *
read_columns(const ViewMaking *making, const Query *original)
{
	List	   *targets = NIL;
	ListCell   *lc;

	foreach(lc, original->targetList)
	{
		TargetEntry *target = flatCopyTargetEntry(lfirst_node(TargetEntry, lc));
		TargetEntry *column = list_nth_node(TargetEntry, making->query->targetList,
											foreach_current_index(lc));

		target->expr = (Expr *) makeVarFromTargetEntry(1, column);
		targets = lappend(targets, target);
	}
	return targets;
}

static Query *
make_read(ViewMaking *making, Query *original, bool limit_moved)
{
	Query	   *read = begin_select();
	CommonTableExpr *cte = makeNode(CommonTableExpr);

	if (making->single)
	{
		read->targetList = (List *) to_lookup((Node *) original->targetList, making);
		read->hasSubLinks = true;
	}
	else
	{
		select_from_view(making, read, 0);
		read->targetList = read_columns(making, original);
		read->sortClause = original->sortClause;
		add_conditions(making, read);
	}
	if (limit_moved)
	{
		read->limitCount = original->limitCount;
		read->limitOffset = original->limitOffset;
		read->limitOption = original->limitOption;
	}
	cte->ctename = making->relname;
	cte->ctematerialized = CTEMaterializeDefault;
	cte->ctequery = (Node *) making->query;
	cte->location = -1;
	read->cteList = list_make1(cte);
	return read;
}

/* Without WITH, and with the view's schema. */
static char *
take_off_cte(const char *text, const char *relname, const char *qualified)
{
	char	   *from = psprintf("FROM %s", quote_identifier(relname));
	int			opening;
	int			closing = hone_rewrite_find_closing(text, 0, &opening);
	const char *rest;
	const char *next;
	StringInfoData out;

	if (closing < 0)
		elog(ERROR, "the query of a view has no end");
	initStringInfo(&out);
	for (rest = text + closing + 1; isspace((unsigned char) *rest);)
		rest++;
	for (; (next = strstr(rest, from)) != NULL; rest = next + strlen(from))
	{
		appendBinaryStringInfo(&out, rest, next - rest);
		appendStringInfo(&out, "FROM %s", qualified);
	}
	appendStringInfoString(&out, rest);
	return out.data;
}

static void
write_read(ViewMaking *making, Query *original, bool limit_moved)
{
	Query	   *read = make_read(making, original, limit_moved);
	int			zero = ZERO_PARAM;
	char	   *text = hone_rewrite_deparse(read, making->mask, making->counts ? &zero : NULL);

	if (making->counts)
		text = hone_rewrite_renumber(hone_rewrite_replace_param(text, zero, "0"));
	making->view->read = take_off_cte(text, making->relname, making->view->name);
}

/* ---- its name ---- */

/* A text as analysis and deparsing leave it; NULL if it is too long. */
static char *
normal_text(const char *text)
{
	HoneSample *sample;
	int			len = strlen(text);

	while (len > 0 && (text[len - 1] == ';' || isspace((unsigned char) text[len - 1])))
		len--;
	if (len >= HONE_SAMPLE_TEXT)
		return NULL;
	sample = palloc0(sizeof(HoneSample));
	memcpy(sample->text, text, len);
	return hone_rewrite_deparse(hone_rewrite_parse(sample), false, NULL);
}

/* Is it the materialized view of this query? */
static bool
is_made_of(Oid relid, const char *definition)
{
	char	   *its_own;
	char	   *other;
	char	   *normal;

	if (get_rel_relkind(relid) != RELKIND_MATVIEW)
		return false;
	hone_rewrite_lock(relid, AccessShareLock);
	its_own = TextDatumGetCString(OidFunctionCall2(F_PG_GET_VIEWDEF_OID_BOOL,
												   ObjectIdGetDatum(relid), BoolGetDatum(true)));
	other = normal_text(its_own);
	normal = normal_text(definition);
	return other != NULL && normal != NULL && strcmp(other, normal) == 0;
}

/* TABLE_by_COLUMNS or TABLE_totals, with digits of the text's hash. */
static char *
base_name(const ViewMaking *making, const char *definition)
{
	uint32		hash = hash_bytes((const unsigned char *) definition, strlen(definition));
	Query	   *query = making->query;
	StringInfoData name;
	ListCell   *lc;

	initStringInfo(&name);
	appendStringInfoString(&name, get_rel_name(making->finding->key.relid));
	if (query->groupClause == NIL)
		appendStringInfoString(&name, "_totals");
	foreach(lc, query->groupClause)
		appendStringInfo(&name, "%s_%s", foreach_current_index(lc) > 0 ? "" : "_by",
						 get_sortgroupclause_tle(lfirst(lc), query->targetList)->resname);
	return psprintf("%s_%04x", short_name(name.data), hash & 0xffff);
}

/* A free one, or that of the view that is there already. */
static void
choose_name(ViewMaking *making, const char *definition)
{
	Oid			namespace = get_rel_namespace(making->finding->key.relid);
	char	   *base = base_name(making, definition);

	making->relname = base;
	for (int i = 2; i < NAMES_TRIED; i++)
	{
		Oid			relid = get_relname_relid(making->relname, namespace);

		if (!OidIsValid(relid))
			break;
		making->view->exists = is_made_of(relid, definition);
		if (making->view->exists)
			break;
		making->relname = psprintf("%s_%d", base, i);
	}
	making->view->name = quote_qualified_identifier(get_namespace_name(namespace), making->relname);
}

/* ---- all together ---- */

/* A LIMIT that differs, or under which calls select, is not the view's. */
static bool
move_limit(ViewMaking *making)
{
	Query	   *query = making->query;

	if (query->limitCount == NULL && query->limitOffset == NULL)
		return false;
	if (making->conditions == NIL && !has_value_that_differs(making, query->limitCount) &&
		!has_value_that_differs(making, query->limitOffset))
		return false;
	query->limitCount = query->limitOffset = NULL;
	query->limitOption = LIMIT_OPTION_COUNT;
	return true;
}

static void
count_values(ViewMaking *making)
{
	HoneView   *view = making->view;
	ListCell   *lc;

	view->values = making->columns == NIL ? 0 : 1;
	foreach(lc, making->columns)
	{
		Var		   *column = lfirst_node(Var, lc);
		RangeTblEntry *rte = rt_fetch(column->varno, making->query->rtable);
		double		rows;
		double		bytes;

		view->moved = lappend(view->moved, column_name(making->query, column));
		if (rte->rtekind != RTE_RELATION)
		{
			view->values = 0;
			continue;
		}
		hone_relation_toast(rte->relid, &rows, &bytes);
		view->values *= hone_relation_column_distinct(rte->relid, column->varattno) * rows;
	}
}

/* The CREATE statements, if the view's text may be shown as it is. */
static void
write_fix(ViewMaking *making)
{
	HoneView   *view = making->view;
	char	   *text = hone_rewrite_deparse(making->query, false, NULL);

	if (making->mask && hone_rewrite_last_param(hone_rewrite_deparse(making->query, true, NULL)) > 0)
		hone_view_problem(view, "the view has constants that you may not see");
	choose_name(making, text);
	view->fix = psprintf("CREATE MATERIALIZED VIEW %s AS\n%s;", view->name, text);
	if (view->key != NULL)
		view->fix = psprintf("%s\nCREATE UNIQUE INDEX ON %s (%s);", view->fix, view->name, view->key);
	(void) raw_parser(view->fix, RAW_PARSE_DEFAULT);
}

static void
flatten(Query *query)
{
	query->targetList = (List *) HONE_FLATTEN_GROUPS(query, query->targetList);
	query->havingQual = HONE_FLATTEN_GROUPS(query, query->havingQual);
}

HoneView *
hone_view_make(const HoneFinding *finding, Query *query, bool mask)
{
	HoneView   *view = palloc0(sizeof(HoneView));
	ViewMaking	making = {.view = view,.finding = finding,.mask = mask};
	Query	   *original;
	List	   *moved = NIL;
	bool		limit_moved;
	ListCell   *lc;

	hone_view_look_for_problems(query, view);
	if (view->fleeting || view->problem != NULL)
		return view;
	flatten(query);
	original = copyObject(query);
	making.query = query;
	take_out_conditions(&making);
	limit_moved = move_limit(&making);
	making.single = making.conditions != NIL && query->groupClause == NIL;
	if (making.single)
		show_aggregates(&making, original->targetList);
	if (has_value_that_differs(&making, (Node *) query))
	{
		view->problem = "values that differ from call to call are not only compared with = in its WHERE: a view has no parameters";
		return view;
	}
	hone_view_look_at_times(query, hone_rewrite_text(&finding->sample), view);
	if (view->problem != NULL)
		return view;
	foreach(lc, making.columns)
		moved = lappend(moved, group_by(&making, lfirst(lc)));
	make_columns(&making);
	if (!query->hasDistinctOn && query->limitCount == NULL && query->limitOffset == NULL)
		query->sortClause = NIL;
	view->whole_groups = limit_moved;
	count_values(&making);
	make_key(&making, moved);
	write_fix(&making);
	if (view->problem == NULL)
		write_read(&making, original, limit_moved);
	return view;
}
