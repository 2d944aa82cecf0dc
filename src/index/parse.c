/*-------------------------------------------------------------------------
 *
 * parse.c
 *	  From a CREATE INDEX statement to a hypothetical index (hypothetical.h).
 *
 * What the statement means is found as DefineIndex of indexcmds.c finds it,
 * by the same functions; nothing is created.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/htup_details.h"
#include "access/reloptions.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_opclass.h"
#include "commands/defrem.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_utilcmd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#include "common/error_text.h"
#include "index/hypothetical.h"

#define DEFAULT_FILLFACTOR	90

List *
hone_parse_text(const char *text)
{
	return hone_parse(text, RAW_PARSE_DEFAULT, NULL);
}

static IndexStmt *
statement_of(const char *ddl)
{
	List	   *statements = hone_parse_text(ddl);
	Node	   *statement = list_length(statements) == 1 ?
	linitial_node(RawStmt, statements)->stmt : NULL;

	if (statement == NULL || !IsA(statement, IndexStmt))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("not one CREATE INDEX statement"),
				 errhint("Write it as you would run it: CREATE INDEX ON table (column).")));
	return (IndexStmt *) statement;
}

/*
 * Estimating a predicate's share calls its operators with values of the
 * statistics, also of rows that a policy hides.
 */
static void
check_row_security(Relation rel)
{
	if (check_enable_rls(RelationGetRelid(rel), InvalidOid, true) == RLS_ENABLED)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot create a hypothetical index on \"%s\"", RelationGetRelationName(rel)),
				 errdetail("Row security hides some of its rows.")));
}

static void
check_table(Relation rel)
{
	char		kind = rel->rd_rel->relkind;

	if (kind != RELKIND_RELATION && kind != RELKIND_MATVIEW && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("cannot create a hypothetical index on \"%s\"", RelationGetRelationName(rel)),
				 errdetail("It is no ordinary table, materialized view or partitioned table.")));
	if (IsCatalogRelation(rel))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot create a hypothetical index on \"%s\"", RelationGetRelationName(rel)),
				 errdetail("It is a system catalog.")));
	check_row_security(rel);
	if (pg_class_aclcheck(RelationGetRelid(rel), GetUserId(), ACL_SELECT) != ACLCHECK_OK &&
		pg_attribute_aclcheck_all(RelationGetRelid(rel), GetUserId(), ACL_SELECT, ACLMASK_ANY) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, get_relkind_objtype(kind), RelationGetRelationName(rel));
}

static void
check_immutable(Node *expression, const char *what)
{
	if (contain_mutable_functions((Node *) expression_planner((Expr *) copyObject(expression))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_OBJECT_DEFINITION),
				 errmsg("functions in index %s must be marked IMMUTABLE", what)));
}

/* From 18 on there are columns that are computed when they are read. */
static void
check_generated(Relation rel, AttrNumber attnum)
{
	char		generated = TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attgenerated;

	if (generated != '\0' && generated != ATTRIBUTE_GENERATED_STORED)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("indexes on virtual generated columns are not supported")));
}

/*
 * Type and collation of a column or an expression, which is added to the
 * index's.
 */
static void
set_source(HoneHypotheticalIndex *index, HoneIndexColumn *column, Relation rel,
		   const IndexElem *element, bool included)
{
	if (element->name != NULL)
	{
		column->attnum = get_attnum(RelationGetRelid(rel), element->name);
		if (column->attnum == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" does not exist", element->name)));
		if (column->attnum < 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("index creation on system columns is not supported")));
		check_generated(rel, column->attnum);
		get_atttypetypmodcoll(RelationGetRelid(rel), column->attnum,
							  &column->type, &column->typmod, &column->collation);
		return;
	}
	if (included)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("expressions are not supported in included columns")));
	/* (column) is a column */
	if (IsA(element->expr, Var) && ((Var *) element->expr)->varattno > 0)
	{
		column->attnum = ((Var *) element->expr)->varattno;
		get_atttypetypmodcoll(RelationGetRelid(rel), column->attnum,
							  &column->type, &column->typmod, &column->collation);
		return;
	}
	check_immutable(element->expr, "expression");
	column->attnum = 0;
	column->type = exprType(element->expr);
	column->typmod = exprTypmod(element->expr);
	column->collation = exprCollation(element->expr);
	index->expressions = lappend(index->expressions,
								 eval_const_expressions(NULL, copyObject(element->expr)));
}

static void
set_key(HoneHypotheticalIndex *index, HoneIndexColumn *column,
		const IndexElem *element, const IndexAmRoutine *am, const char *am_name)
{
	Oid			opclass;

	if (element->collation != NIL)
		column->collation = get_collation_oid(element->collation, false);
	if (type_is_collatable(column->type) && !OidIsValid(column->collation))
		ereport(ERROR,
				(errcode(ERRCODE_INDETERMINATE_COLLATION),
				 errmsg("could not determine which collation to use for index expression"),
				 errhint("Use the COLLATE clause to set the collation explicitly.")));
	if (!type_is_collatable(column->type))
	{
		if (element->collation != NIL)
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("collations are not supported by type %s", format_type_be(column->type))));
		column->collation = InvalidOid;
	}
	opclass = ResolveOpClass(element->opclass, column->type, am_name, index->am);
	column->opfamily = get_opclass_family(opclass);
	column->opcintype = get_opclass_input_type(opclass);
	if (!am->amcanorder &&
		(element->ordering != SORTBY_DEFAULT || element->nulls_ordering != SORTBY_NULLS_DEFAULT))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("access method \"%s\" does not support an order of keys", am_name)));
	column->descending = element->ordering == SORTBY_DESC;
	column->nulls_first = element->nulls_ordering == SORTBY_NULLS_DEFAULT ?
		column->descending : element->nulls_ordering == SORTBY_NULLS_FIRST;
}

static void
check_method(const IndexStmt *stmt, Oid am_oid, const IndexAmRoutine *am)
{
	/* others may open the index to know its cost */
	if (am_oid >= FirstUnpinnedObjectId)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("access method \"%s\" has no hypothetical indexes", stmt->accessMethod),
				 errhint("Those of PostgreSQL itself have.")));
	if (stmt->unique && !am->amcanunique)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("access method \"%s\" does not support unique indexes", stmt->accessMethod)));
	if (stmt->indexIncludingParams != NIL && !am->amcaninclude)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("access method \"%s\" does not support included columns", stmt->accessMethod)));
	if (list_length(stmt->indexParams) > 1 && !am->amcanmulticol)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("access method \"%s\" does not support multicolumn indexes", stmt->accessMethod)));
	if (list_length(stmt->indexParams) + list_length(stmt->indexIncludingParams) > INDEX_MAX_KEYS)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("cannot use more than %d columns in an index", INDEX_MAX_KEYS)));
}

static int
fillfactor_of(const IndexStmt *stmt, const IndexAmRoutine *am)
{
	Datum		options = transformRelOptions((Datum) 0, stmt->options, NULL, NULL, false, false);
	ListCell   *lc;

	(void) index_reloptions(am->amoptions, options, true);
	foreach(lc, stmt->options)
	{
		DefElem    *option = lfirst(lc);

		/* it may be quoted; its range has been checked */
		if (strcmp(option->defname, "fillfactor") == 0)
			return atoi(defGetString(option));
	}
	return DEFAULT_FILLFACTOR;
}

/* hypothetical_TABLE_COLUMN_..., or hypothetical_ and the name that was given. */
static char *
name_of(const IndexStmt *stmt, Relation rel)
{
	StringInfoData name;
	ListCell   *lc;

	initStringInfo(&name);
	appendStringInfo(&name, "hypothetical_%s",
					 stmt->idxname != NULL ? stmt->idxname : RelationGetRelationName(rel));
	foreach(lc, stmt->idxname != NULL ? NIL : stmt->indexParams)
	{
		IndexElem  *element = lfirst(lc);

		appendStringInfo(&name, "_%s", element->name != NULL ? element->name : "expr");
	}
	name.data[pg_mbcliplen(name.data, name.len, NAMEDATALEN - 1)] = '\0';
	return name.data;
}

static HoneHypotheticalIndex *
make_index(IndexStmt *stmt, Relation rel, const char *ddl)
{
	HoneHypotheticalIndex *index = palloc0(sizeof(HoneHypotheticalIndex));
	Oid			am_oid = get_am_oid(stmt->accessMethod, false);
	IndexAmRoutine *am = GetIndexAmRoutineByAmId(am_oid, false);
	int			n = 0;
	ListCell   *lc;

	check_method(stmt, am_oid, am);
	index->relid = RelationGetRelid(rel);
	index->am = am_oid;
	index->name = name_of(stmt, rel);
	index->definition = pstrdup(ddl);
	index->unique = stmt->unique;
	index->fillfactor = fillfactor_of(stmt, am);
	index->nkeys = list_length(stmt->indexParams);
	index->ncolumns = index->nkeys + list_length(stmt->indexIncludingParams);
	index->columns = palloc0(index->ncolumns * sizeof(HoneIndexColumn));
	foreach(lc, stmt->indexParams)
	{
		set_source(index, &index->columns[n], rel, lfirst(lc), false);
		set_key(index, &index->columns[n++], lfirst(lc), am, stmt->accessMethod);
	}
	foreach(lc, stmt->indexIncludingParams)
		set_source(index, &index->columns[n++], rel, lfirst(lc), true);
	if (stmt->whereClause != NULL)
	{
		Node	   *predicate = eval_const_expressions(NULL, stmt->whereClause);

		check_immutable(stmt->whereClause, "predicate");
		index->predicate = make_ands_implicit(canonicalize_qual((Expr *) predicate, false));
	}
	fix_opfuncids((Node *) index->expressions);
	fix_opfuncids((Node *) index->predicate);
	index->oid = hone_hypothetical_new_oid();
	hone_index_estimate(index);
	return index;
}

/*
 * The statement for one of the leaves: columns have the same names.
 */
static HoneHypotheticalIndex *
parse_for(Oid relid, const char *ddl)
{
	Relation	rel = table_open(relid, AccessShareLock);
	IndexStmt  *stmt = statement_of(ddl);
	HoneHypotheticalIndex *index;
	HoneErrorText place;

	check_row_security(rel);
	hone_error_text_begin(&place, ddl, NULL);
	stmt->relation = makeRangeVar(get_namespace_name(RelationGetNamespace(rel)),
								  pstrdup(RelationGetRelationName(rel)), -1);
	index = make_index(transformIndexStmt(relid, stmt, ddl), rel, ddl);
	hone_error_text_end(&place);
	table_close(rel, NoLock);
	return index;
}

static void
check_leaves(Oid relid, int most_leaves)
{
	int			leaves = list_length(find_all_inheritors(relid, NoLock, NULL));

	if (leaves > most_leaves)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("table \"%s\" has too many partitions for a hypothetical index", get_rel_name(relid)),
				 errdetail("It has %d, and %d are looked at.", leaves, most_leaves),
				 errhint("Try it on one of them.")));
}

List *
hone_hypothetical_parse(const char *ddl, int most_leaves)
{
	IndexStmt  *stmt = statement_of(ddl);
	Oid			relid = RangeVarGetRelid(stmt->relation, AccessShareLock, false);
	Relation	rel = table_open(relid, NoLock);
	List	   *indexes = NIL;
	ListCell   *lc;

	check_table(rel);
	if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE && stmt->relation->inh)
	{
		check_leaves(relid, most_leaves);
		foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
		{
			char		kind = get_rel_relkind(lfirst_oid(lc));

			CHECK_FOR_INTERRUPTS();
			if (kind == RELKIND_RELATION || kind == RELKIND_MATVIEW)
				indexes = lappend(indexes, parse_for(lfirst_oid(lc), ddl));
		}
	}
	else
		indexes = list_make1(parse_for(relid, ddl));
	table_close(rel, NoLock);
	return indexes;
}
