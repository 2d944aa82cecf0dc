/*-------------------------------------------------------------------------
 *
 * quals.c
 *	  Clauses of a scan's filter: column, operator and value.
 *
 * Only trees of a finished plan are read, never the catalogs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "parser/parsetree.h"
#include "utils/fmgroids.h"

#include "advise/nodes.h"

#define RANDOM_OID		1598	/* random(); its macro's name changed in 17 */

Index
hone_qual_topmost(PlannedStmt *stmt, Index rti, HoneQual *quals, int nquals)
{
	bool		climbed = true;

	while (climbed)
	{
		ListCell   *lc;

		climbed = false;
		foreach(lc, stmt->appendRelations)
		{
			AppendRelInfo *info = lfirst_node(AppendRelInfo, lc);
			RangeTblEntry *parent;

			if (info->child_relid != rti || info->parent_relid > list_length(stmt->rtable))
				continue;
			parent = rt_fetch(info->parent_relid, stmt->rtable);
			if (parent->rtekind != RTE_RELATION ||
				parent->relkind != RELKIND_PARTITIONED_TABLE)
				break;
			for (int i = 0; i < nquals; i++)
			{
				if (quals[i].attnum > info->num_child_cols ||
					info->parent_colnos[quals[i].attnum - 1] == 0)
					return rti;
			}
			for (int i = 0; i < nquals; i++)
				quals[i].attnum = info->parent_colnos[quals[i].attnum - 1];
			rti = info->parent_relid;
			climbed = true;
			break;
		}
	}
	return rti;
}

Node *
hone_qual_strip(Node *node)
{
	while (node && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	return node;
}

static bool
is_column(Node *node, Index rti)
{
	return node && IsA(node, Var) && ((Var *) node)->varno == rti &&
		((Var *) node)->varattno > 0;
}

bool
hone_qual_is_steady(Oid funcid)
{
	switch (funcid)
	{
		case RANDOM_OID:
		case F_CLOCK_TIMESTAMP:
		case F_TIMEOFDAY:
		case F_NEXTVAL:
		case F_CURRVAL:
		case F_LASTVAL:
		case F_GEN_RANDOM_UUID:
			return false;
		default:
			return funcid < FirstNormalObjectId;
	}
}

/* True as soon as something is found that may change from row to row. */
static bool
changes_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Const:
		case T_Param:
		case T_RelabelType:
		case T_ArrayExpr:
		case T_SQLValueFunction:
		case T_List:
			break;
		case T_FuncExpr:
			if (!hone_qual_is_steady(((FuncExpr *) node)->funcid))
				return true;
			break;
		case T_OpExpr:
			if (!hone_qual_is_steady(((OpExpr *) node)->opfuncid))
				return true;
			break;
		default:
			return true;
	}
	return expression_tree_walker(node, changes_walker, context);
}

bool
hone_qual_is_value(Node *node)
{
	return node != NULL && !changes_walker(node, NULL);
}

bool
hone_qual_read_flag(Node *clause, Index rti, HoneQual *qual)
{
	if (is_notclause(clause))
		clause = (Node *) get_notclausearg((Expr *) clause);
	if (!is_column(clause, rti) || ((Var *) clause)->vartype != BOOLOID)
		return false;
	memset(qual, 0, sizeof(*qual));
	qual->attnum = ((Var *) clause)->varattno;
	qual->opno = BooleanEqualOperator;
	return true;
}

bool
hone_qual_read_null(Node *clause, Index rti, HoneQual *qual)
{
	NullTest   *test = (NullTest *) clause;

	if (!IsA(clause, NullTest) || test->argisrow || !is_column((Node *) test->arg, rti))
		return false;
	memset(qual, 0, sizeof(*qual));
	qual->attnum = ((Var *) test->arg)->varattno;
	qual->commuted = test->nulltesttype == IS_NOT_NULL;
	return true;
}

bool
hone_qual_read(Node *clause, Index rti, HoneQual *into)
{
	HoneQual	read = *into;
	HoneQual   *qual = &read;
	List	   *args;
	Node	   *left;
	Node	   *right;

	if (IsA(clause, OpExpr))
	{
		OpExpr	   *op = (OpExpr *) clause;

		args = op->args;
		qual->opno = op->opno;
		qual->collation = op->inputcollid;
	}
	else if (IsA(clause, ScalarArrayOpExpr) &&
			 ((ScalarArrayOpExpr *) clause)->useOr)
	{
		ScalarArrayOpExpr *op = (ScalarArrayOpExpr *) clause;

		args = op->args;
		qual->opno = op->opno;
		qual->collation = op->inputcollid;
	}
	else
		return false;
	if (list_length(args) != 2)
		return false;

	left = hone_qual_strip(linitial(args));
	right = hone_qual_strip(lsecond(args));
	if (is_column(left, rti) && hone_qual_is_value(right))
	{
		qual->attnum = ((Var *) left)->varattno;
		qual->commuted = false;
		*into = read;
		return true;
	}
	if (is_column(right, rti) && hone_qual_is_value(left) && IsA(clause, OpExpr))
	{
		qual->attnum = ((Var *) right)->varattno;
		qual->commuted = true;
		*into = read;
		return true;
	}
	return false;
}
