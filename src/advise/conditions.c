/*-------------------------------------------------------------------------
 *
 * conditions.c
 *	  Clauses of filters that no plain index serves, and long lists.
 *
 * Three kinds of clauses are told apart: a function, cast or -> over one column,
 * a cast that only the value's type brought in, and a pattern that begins
 * with a wildcard. Patterns are looked at as they were at run time, bound
 * values too. What an index could do is decided by the reader.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_am.h"
#include "catalog/pg_operator.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "advise/nodes.h"
#include "common/sqltext.h"

#define PATTERN_LETTERS	3		/* in a row, from which trigrams can be made */
#define LIST_CUT		100		/* elements from which a list is cut */
#define LIST_KEPT		2		/* of them */
#define LIST_TEXT		(4 * 1024 * 1024)	/* longer texts are not looked at */

/* ---- clauses over one column ---- */

typedef struct ColumnSearch
{
	Index		rti;
	AttrNumber	attnum;			/* 0: none yet */
} ColumnSearch;

/* Takes a part out of a document: -> and the like, which no other operators do. */
static bool
is_part(Node *node)
{
	if (node == NULL || !IsA(node, OpExpr))
		return false;
	switch (((OpExpr *) node)->opfuncid)
	{
		case F_JSONB_OBJECT_FIELD:
		case F_JSONB_OBJECT_FIELD_TEXT:
		case F_JSONB_ARRAY_ELEMENT:
		case F_JSONB_ARRAY_ELEMENT_TEXT:
		case F_JSONB_EXTRACT_PATH:
		case F_JSONB_EXTRACT_PATH_TEXT:
		case F_JSON_OBJECT_FIELD_TEXT:
		case F_JSON_ARRAY_ELEMENT_TEXT:
		case F_JSON_EXTRACT_PATH_TEXT:
			return true;
		default:
			return false;
	}
}

/* True as soon as it is no expression over one column and constants. */
static bool
column_walker(Node *node, void *context)
{
	ColumnSearch *search = context;

	if (node == NULL)
		return false;
	switch (nodeTag(node))
	{
		case T_Var:
			{
				Var		   *var = (Var *) node;

				if (var->varno != search->rti || var->varattno <= 0 ||
					(search->attnum != 0 && search->attnum != var->varattno))
					return true;
				search->attnum = var->varattno;
				return false;
			}
		case T_Const:
		case T_RelabelType:
		case T_CoerceViaIO:
		case T_List:
			break;
		case T_FuncExpr:
			/* volatile ones of users are the reader's to find */
			if (((FuncExpr *) node)->funcid < FirstNormalObjectId &&
				!hone_qual_is_steady(((FuncExpr *) node)->funcid))
				return true;
			break;
		case T_OpExpr:
			if (!is_part(node))
				return true;
			break;
		default:
			return true;
	}
	return expression_tree_walker(node, column_walker, context);
}

/* The column that a function, cast or part is over, or 0. */
static AttrNumber
column_inside(Node *node, Index rti)
{
	ColumnSearch search = {rti, 0};

	if (node == NULL || !(IsA(node, FuncExpr) || IsA(node, CoerceViaIO) || is_part(node)) ||
		column_walker(node, &search))
		return 0;
	return search.attnum;
}

/* Put in by the parser, to compare the column with a value of another type? */
static bool
is_forced_cast(Node *node)
{
	FuncExpr   *function = (FuncExpr *) node;

	return IsA(node, FuncExpr) &&
		function->funcformat == COERCE_IMPLICIT_CAST &&
		function->args != NIL &&
		IsA(hone_qual_strip(linitial(function->args)), Var);
}

static bool
is_like(Oid opno)
{
	return opno == OID_TEXT_LIKE_OP || opno == OID_TEXT_ICLIKE_OP;
}

/* The value of a constant or bound parameter, or NULL. */
static struct varlena *
known_value(Node *node, ParamListInfo params)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Const))
		return ((Const *) node)->constisnull ? NULL :
			(struct varlena *) DatumGetPointer(((Const *) node)->constvalue);
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN)
	{
		int			id = ((Param *) node)->paramid;

		if (params == NULL || params->paramFetch != NULL ||
			id > params->numParams || params->params[id - 1].isnull ||
			params->params[id - 1].ptype != ((Param *) node)->paramtype)
			return NULL;
		return (struct varlena *) DatumGetPointer(params->params[id - 1].value);
	}
	return NULL;
}

/*
 * Does a pattern begin with a wildcard, and has it letters in a row, as an
 * index of trigrams needs them?
 */
static bool
leads_with_wildcard(const struct varlena *value)
{
	const char *p;
	const char *end;
	int			letters = 0;

	if (value == NULL || VARATT_IS_EXTERNAL(value) || VARATT_IS_COMPRESSED(value))
		return false;
	p = VARDATA_ANY(value);
	end = p + VARSIZE_ANY_EXHDR(value);
	if (p == end || (*p != '%' && *p != '_'))
		return false;
	for (; p < end && letters < PATTERN_LETTERS; p++)
	{
		unsigned char c = *p;

		if (IS_HIGHBIT_SET(c))
			letters += (c & 0xC0) != 0x80;
		else if (isalnum(c))
			letters++;
		else
			letters = 0;
	}
	return letters >= PATTERN_LETTERS;
}

static bool
read_pattern(HoneNodeLook *look, OpExpr *op, Index rti, HoneCondition *condition)
{
	Node	   *left = hone_qual_strip(linitial(op->args));
	Node	   *right = hone_qual_strip(lsecond(op->args));

	condition->inside = !IsA(left, Var);
	if (condition->inside)
		condition->qual.attnum = column_inside(left, rti);
	else if (((Var *) left)->varno == rti)
		condition->qual.attnum = ((Var *) left)->varattno;
	if (condition->qual.attnum <= 0 ||
		!leads_with_wildcard(known_value(right, look->record->query_desc->params)))
		return false;
	condition->kind = HONE_FINDING_WILDCARD;
	condition->qual.opno = op->opno;
	condition->qual.collation = op->inputcollid;
	return true;
}

/* expression op value, value op expression, expression op ANY (values). */
static bool
read_condition(HoneNodeLook *look, Node *clause, Index rti, HoneCondition *condition)
{
	OpExpr	   *op = (OpExpr *) clause;
	ScalarArrayOpExpr *any = (ScalarArrayOpExpr *) clause;
	List	   *args;
	Node	   *inside;

	memset(condition, 0, sizeof(HoneCondition));
	if (IsA(clause, OpExpr) && list_length(op->args) == 2)
		args = op->args;
	else if (IsA(clause, ScalarArrayOpExpr) && any->useOr)
		args = any->args;
	else
		return false;
	if (IsA(clause, OpExpr) && is_like(op->opno))
		return read_pattern(look, op, rti, condition);

	inside = hone_qual_strip(linitial(args));
	condition->qual.commuted = IsA(clause, OpExpr) && hone_qual_is_value(inside);
	if (condition->qual.commuted)
		inside = hone_qual_strip(lsecond(args));
	else if (!hone_qual_is_value(hone_qual_strip(lsecond(args))))
		return false;
	condition->qual.attnum = column_inside(inside, rti);
	if (condition->qual.attnum == 0)
		return false;
	condition->inside = true;
	condition->kind = is_forced_cast(inside) ? HONE_FINDING_TYPE : HONE_FINDING_FUNCTION;
	condition->qual.opno = IsA(clause, OpExpr) ? op->opno : any->opno;
	condition->qual.collation = IsA(clause, OpExpr) ? op->inputcollid : any->inputcollid;
	return true;
}

/* Clauses of one kind over one column are one. */
static HoneCondition *
find_condition(HoneCondition *conditions, int *n, const HoneCondition *condition)
{
	HoneCondition *into;

	for (int i = 0; i < *n; i++)
	{
		into = &conditions[i];
		if (into->kind == condition->kind && into->relid == condition->relid &&
			into->qual.attnum == condition->qual.attnum)
			return into;
	}
	if (*n == HONE_LOOK_CONDITIONS)
		return NULL;
	into = &conditions[(*n)++];
	*into = *condition;
	return into;
}

/* The clauses of one scan; how many of each is in 'removed'. */
static int
read_filter(HoneNodeLook *look, Scan *plan, HoneCondition *conditions)
{
	int			n = 0;
	ListCell   *lc;

	foreach(lc, plan->plan.qual)
	{
		HoneCondition condition;
		HoneCondition *into;

		if (read_condition(look, lfirst(lc), plan->scanrelid, &condition) &&
			(into = find_condition(conditions, &n, &condition)) != NULL)
			into->removed++;
	}
	for (int i = 0; i < n; i++)
	{
		conditions[i].alone = conditions[i].removed == list_length(plan->plan.qual);
		conditions[i].removed = 0;
	}
	return n;
}

void
hone_conditions_look(HoneNodeLook *look, ScanState *scan)
{
	Plan	   *plan = scan->ps.plan;
	double		removed = scan->ps.instrument->nfiltered1;
	HoneCondition conditions[HONE_LOOK_CONDITIONS];
	int			n;

	if (!IsA(scan, SeqScanState) || removed < 1 || plan->qual == NIL ||
		scan->ss_currentRelation->rd_rel->relam != HEAP_TABLE_AM_OID)
		return;
	n = read_filter(look, (Scan *) plan, conditions);
	for (int i = 0; i < n; i++)
	{
		Index		rti = hone_qual_topmost(look->stmt, ((Scan *) plan)->scanrelid,
											&conditions[i].qual, 1);
		HoneCondition *into;

		conditions[i].relid = rt_fetch(rti, look->stmt->rtable)->relid;
		into = find_condition(look->conditions, &look->nconditions, &conditions[i]);
		if (into == NULL)
			return;
		into->removed += removed;
		into->kept += hone_node_rows(&scan->ps);
		into->removed_scan = Max(into->removed_scan,
								 removed / Max(hone_node_loops(&scan->ps), 1));
		into->cost += plan->total_cost;
	}
}

/* ---- lists of constants ---- */

/* Elements of an array that is there as a constant or as a list; 0: unknown. */
static int
count_elements(Node *node)
{
	Const	   *con = (Const *) node;
	ArrayType  *array;

	if (node == NULL)
		return 0;
	if (IsA(node, ArrayExpr))
		return list_length(((ArrayExpr *) node)->elements);
	if (!IsA(node, Const) || con->constisnull)
		return 0;
	array = (ArrayType *) DatumGetPointer(con->constvalue);
	if (VARATT_IS_EXTENDED(array) || ARR_NDIM(array) != 1)
		return 0;
	return ARR_DIMS(array)[0];
}

/* The table's column behind a column of an index-only scan. */
static Node *
behind_index(Node *node, ScanState *scan)
{
	List	   *columns;
	Var		   *var = (Var *) node;

	if (node == NULL || !IsA(node, Var) || var->varno != INDEX_VAR ||
		!IsA(scan, IndexOnlyScanState))
		return node;
	columns = ((IndexOnlyScan *) scan->ps.plan)->indextlist;
	if (var->varattno <= 0 || var->varattno > list_length(columns))
		return node;
	return (Node *) ((TargetEntry *) list_nth(columns, var->varattno - 1))->expr;
}

static void
look_for_lists(HoneNodeLook *look, ScanState *scan, List *clauses)
{
	ListCell   *lc;

	foreach(lc, clauses)
	{
		ScalarArrayOpExpr *any = lfirst(lc);
		HoneInList	list = {0};
		Var		   *column;
		Index		rti = ((Scan *) scan->ps.plan)->scanrelid;

		if (!IsA(any, ScalarArrayOpExpr))
			continue;
		list.elements = count_elements(lsecond(any->args));
		if (list.elements < hone_advise_in_list ||
			list.elements <= look->list.elements)
			continue;
		column = (Var *) behind_index(hone_qual_strip(linitial(any->args)), scan);
		if (column == NULL || !IsA(column, Var) || column->varno != rti ||
			column->varattno <= 0)
			continue;
		list.qual.attnum = column->varattno;
		list.qual.opno = any->opno;
		list.qual.collation = any->inputcollid;
		rti = hone_qual_topmost(look->stmt, rti, &list.qual, 1);
		list.relid = rt_fetch(rti, look->stmt->rtable)->relid;
		look->list = list;
	}
}

void
hone_lists_look(HoneNodeLook *look, ScanState *scan)
{
	Plan	   *plan = scan->ps.plan;

	look_for_lists(look, scan, plan->qual);
	if (IsA(plan, IndexScan))
		look_for_lists(look, scan, ((IndexScan *) plan)->indexqualorig);
	else if (IsA(plan, IndexOnlyScan))
		look_for_lists(look, scan, ((IndexOnlyScan *) plan)->indexqual);
	else if (IsA(plan, BitmapHeapScan))
		look_for_lists(look, scan, ((BitmapHeapScan *) plan)->bitmapqualorig);
}

/* A statement that is being copied without its long lists. */
typedef struct ListCut
{
	const char *text;
	int			length;
	int			pos;			/* read up to here */
	HoneSample *sample;
	int			written;
	bool		cut;			/* was there a long list? */
} ListCut;

/* Copy up to offset 'end'. */
static void
copy_until(ListCut *cut, int end)
{
	int			room = HONE_SAMPLE_TEXT - 1 - cut->written;
	int			bytes = Min(end - cut->pos, room);

	if (bytes < end - cut->pos)
		cut->sample->truncated = true;
	memcpy(cut->sample->text + cut->written, cut->text + cut->pos, bytes);
	cut->written += bytes;
	cut->pos = end;
}

/*
 * The list that begins behind the bracket before 'pos': how many constants or
 * parameters it has, with or without a cast, the end of the last one to be
 * kept, and where its closing bracket is; 0 if there is anything else in it.
 */
static int
measure_list(ListCut *cut, int pos, int *kept, int *close)
{
	HoneSqlToken token;
	bool		cast = false;	/* words are the name of a type */
	int			elements = 1;
	int			end;

	for (; (token = hone_sql_token(cut->text, cut->length, pos, &end)) != HONE_SQL_END; pos = end)
	{
		char		c = cut->text[pos];

		if (token == HONE_SQL_CONSTANT || token == HONE_SQL_PARAM ||
			token == HONE_SQL_SPACE || (token == HONE_SQL_WORD && cast))
			continue;
		if (token != HONE_SQL_OTHER)
			return 0;
		if (c == ',')
		{
			if (elements == LIST_KEPT)
				*kept = pos;
			elements++;
			cast = false;
		}
		else if (c == ')' || c == ']')
		{
			*close = pos;
			return elements;
		}
		else if (c == ':')
			cast = true;
		else if (c != '-' && c != '+')
			return 0;
	}
	return 0;
}

static void
cut_lists(ListCut *cut)
{
	HoneSqlToken token;
	bool		opens = false;	/* the last word opens a list */
	int			end;

	for (int pos = 0;
		 (token = hone_sql_token(cut->text, cut->length, pos, &end)) != HONE_SQL_END;
		 pos = end)
	{
		int			kept = 0;
		int			close = 0;

		if (opens && token == HONE_SQL_OTHER &&
			(cut->text[pos] == '(' || cut->text[pos] == '[') &&
			measure_list(cut, end, &kept, &close) >= LIST_CUT)
		{
			copy_until(cut, kept);
			cut->pos = end = close;
			cut->cut = true;
		}
		if (token != HONE_SQL_SPACE && token != HONE_SQL_COMMENT)
			opens = token == HONE_SQL_WORD &&
				(hone_sql_is_word(cut->text, pos, end, "in") ||
				 hone_sql_is_word(cut->text, pos, end, "array"));
	}
}

bool
hone_lists_cut(HoneSample *sample, const HoneRecord *record)
{
	ListCut		cut = {.text = record->source,.sample = sample};

	if (cut.text == NULL)
		return false;
	if (record->location > 0)
		cut.text += record->location;
	cut.length = record->length > 0 ? strnlen(cut.text, record->length) : strlen(cut.text);
	if (cut.length > LIST_TEXT)
		return false;
	sample->truncated = false;
	cut_lists(&cut);
	copy_until(&cut, cut.length);
	sample->text[cut.written] = '\0';
	return cut.cut;
}
