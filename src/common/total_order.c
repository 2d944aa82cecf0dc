/*-------------------------------------------------------------------------
 *
 * total_order.c
 *	  Is the order of a query total, and what makes it so?
 *
 * A row of the result is known when the row of each of its tables is. That of
 * a table is known if each column of one of its keys is in the order, or is
 * equal to a constant or to a column of a table whose row is known: a customer
 * joined to an order by the customer's key adds nothing to be told apart. An
 * equality counts where it holds of every row of the result, or leaves the
 * table's side empty: all of WHERE and of inner joins, and of a left join's
 * condition for its right side only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "common/relation.h"
#include "common/total_order.h"

/* column = something made of other tables' columns. */
typedef struct Equality
{
	int			rti;
	AttrNumber	attnum;
	Relids		needs;			/* tables that the other side is made of */
} Equality;

/* What is under casts that change nothing. */
static Node *
strip(Node *node)
{
	while (node && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

/* An operator by which no two values of the column are equal to a third. */
static bool
is_equality(OpExpr *op, Var *var)
{
	TypeCacheEntry *type = lookup_type_cache(var->vartype, TYPECACHE_BTREE_OPFAMILY);

	return OidIsValid(type->btree_opf) &&
		get_op_opfamily_strategy(op->opno, type->btree_opf) == BTEqualStrategyNumber &&
		(!OidIsValid(op->inputcollid) || op->inputcollid == var->varcollid ||
		 get_collation_isdeterministic(op->inputcollid));
}

/* A column that a join merged stands for columns of both of its sides. */
static bool
has_merged_column(Node *node, HonePaging *page)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varlevelsup == 0 &&
			rt_fetch(((Var *) node)->varno, page->query->rtable)->rtekind == RTE_JOIN;
	return expression_tree_walker(node, has_merged_column, page);
}

static void
add_equality(HonePaging *page, OpExpr *op, Node *column, Node *other, Relids members)
{
	Var		   *var = (Var *) strip(column);
	Equality   *equality;
	Relids		needs;

	if (var == NULL || !IsA(var, Var) || var->varlevelsup > 0 || var->varattno <= 0 ||
		!bms_is_member(var->varno, members) || !is_equality(op, var) ||
		contain_volatile_functions(other) || contain_subplans(other) ||
		has_merged_column(other, page))
		return;
	needs = pull_varnos(NULL, other);
	if (bms_is_member(var->varno, needs))
		return;
	equality = palloc(sizeof(Equality));
	equality->rti = var->varno;
	equality->attnum = var->varattno;
	equality->needs = needs;
	page->equalities = lappend(page->equalities, equality);
}

/* The equalities that determine rows of these tables. */
static void
add_equalities(HonePaging *page, Node *quals, Relids members)
{
	OpExpr	   *op = (OpExpr *) quals;
	ListCell   *lc;

	if (quals == NULL)
		return;
	if (IsA(quals, BoolExpr) && ((BoolExpr *) quals)->boolop == AND_EXPR)
	{
		foreach(lc, ((BoolExpr *) quals)->args)
			add_equalities(page, lfirst(lc), members);
	}
	else if (IsA(quals, OpExpr) && list_length(op->args) == 2)
	{
		add_equality(page, op, linitial(op->args), lsecond(op->args), members);
		add_equality(page, op, lsecond(op->args), linitial(op->args), members);
	}
}

static bool
is_plain_table(HonePaging *page, RangeTblRef *ref)
{
	RangeTblEntry *rte = rt_fetch(ref->rtindex, page->query->rtable);

	return rte->rtekind == RTE_RELATION && rte->tablesample == NULL;
}

/* Plain tables under inner and left joins; anything else is a problem. */
static Relids
collect(HonePaging *page, Node *node, bool nullable)
{
	Relids		members = NULL;
	ListCell   *lc;

	if (IsA(node, FromExpr))
	{
		foreach(lc, ((FromExpr *) node)->fromlist)
			members = bms_join(members, collect(page, lfirst(lc), nullable));
		add_equalities(page, ((FromExpr *) node)->quals, members);
	}
	else if (IsA(node, JoinExpr) && (((JoinExpr *) node)->jointype == JOIN_INNER ||
									 ((JoinExpr *) node)->jointype == JOIN_LEFT))
	{
		JoinExpr   *join = (JoinExpr *) node;
		bool		left = join->jointype == JOIN_LEFT;
		Relids		right;

		members = collect(page, join->larg, nullable);
		right = collect(page, join->rarg, nullable || left);
		if (left)
			add_equalities(page, join->quals, right);
		members = bms_join(members, right);
		if (!left)
			add_equalities(page, join->quals, members);
	}
	else if (IsA(node, RangeTblRef) && is_plain_table(page, (RangeTblRef *) node))
	{
		int			rti = ((RangeTblRef *) node)->rtindex;

		page->rels = lappend_int(page->rels, rti);
		if (nullable)
			page->nullable = lappend_int(page->nullable, rti);
		members = bms_make_singleton(rti);
	}
	else
		page->problem = "the query reads more than plain tables";
	return members;
}

void
hone_order_collect(HonePaging *page)
{
	Relids		members = collect(page, (Node *) page->query->jointree, false);
	ListCell   *lc;

	/* from 16 on the joins that null a column are among its needs */
	foreach(lc, page->equalities)
	{
		Equality   *equality = lfirst(lc);

		equality->needs = bms_int_members(equality->needs, members);
	}
}

bool
hone_order_has(const HonePaging *page, int rti, AttrNumber attnum)
{
	for (int i = 0; i < page->nkeys; i++)
	{
		const HonePageKey *key = &page->keys[i];
		Var		   *var = (Var *) key->expr;

		if (IsA(var, Var) && var->varlevelsup == 0 && var->varno == rti &&
			var->varattno == attnum &&
			lookup_type_cache(var->vartype, TYPECACHE_EQ_OPR)->eq_opr == key->eqop)
			return true;
	}
	return false;
}

/* A table with heirs has rows that its unique indexes do not know. */
static List *
table_keys(const HonePaging *page, int rti, List **best)
{
	RangeTblEntry *rte = rt_fetch(rti, page->query->rtable);

	*best = NIL;
	if (rte->inh && rte->relkind == RELKIND_RELATION && has_subclass(rte->relid))
		return NIL;
	return hone_relation_keys(rte->relid, best);
}

List *
hone_order_key(const HonePaging *page, int rti)
{
	List	   *best;

	(void) table_keys(page, rti, &best);
	return best;
}

static bool
is_known_column(const HonePaging *page, int rti, AttrNumber attnum, Relids known)
{
	ListCell   *lc;

	if (hone_order_has(page, rti, attnum))
		return true;
	foreach(lc, page->equalities)
	{
		Equality   *equality = lfirst(lc);

		if (equality->rti == rti && equality->attnum == attnum &&
			bms_is_subset(equality->needs, known))
			return true;
	}
	return false;
}

static bool
is_known_key(const HonePaging *page, int rti, List *key, Relids known)
{
	ListCell   *lc;

	foreach(lc, key)
	{
		if (!is_known_column(page, rti, lfirst_int(lc), known))
			return false;
	}
	return true;
}

static bool
is_known_row(const HonePaging *page, int rti, Relids known)
{
	List	   *best;
	ListCell   *lc;

	foreach(lc, table_keys(page, rti, &best))
	{
		if (is_known_key(page, rti, lfirst(lc), known))
			return true;
	}
	return false;
}

/* The tables whose rows are known when those of 'known' are. */
static Relids
known_rows(const HonePaging *page, Relids known)
{
	bool		more = true;
	ListCell   *lc;

	known = bms_copy(known);
	while (more)
	{
		more = false;
		foreach(lc, page->rels)
		{
			int			rti = lfirst_int(lc);

			if (bms_is_member(rti, known) || !is_known_row(page, rti, known))
				continue;
			known = bms_add_member(known, rti);
			more = true;
		}
	}
	return known;
}

int
hone_order_next(HonePaging *page)
{
	Relids		known = known_rows(page, NULL);
	int			best = 0;
	int			most = 0;
	ListCell   *lc;

	if (bms_num_members(known) == list_length(page->rels))
		return 0;
	foreach(lc, page->rels)
	{
		int			rti = lfirst_int(lc);
		int			count;

		if (bms_is_member(rti, known) || hone_order_key(page, rti) == NIL)
			continue;
		count = bms_num_members(known_rows(page, bms_add_member(bms_copy(known), rti)));
		if (count > most)
		{
			most = count;
			best = rti;
		}
	}
	if (best == 0)
		page->problem = "a table has no primary key or other unique key without nulls, so the order cannot be made total";
	return best;
}
