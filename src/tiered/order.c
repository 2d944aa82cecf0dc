/*-------------------------------------------------------------------------
 *
 * order.c
 *	  Which order rows are compressed in (order.h).
 *
 * An order that somebody gave is remembered as a security label of provider
 * "hone" on the table, the place for an extension's words about a table that
 * pg_dump keeps, also of a single table. It is a JSON object; names in it are
 * looked up when they are needed.
 *
 * Without one, statistics decide: rows of many sources, told apart by a column
 * with some hundreds of values, compress far better source by source. The
 * order is then (that column, time), but only within windows of a million
 * rows, so that time still tells batches apart, and a step's rows lie near
 * each other in the main fork.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <math.h>

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/objectaddress.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_type.h"
#include "commands/seclabel.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "tiered/detail.h"
#include "tiered/order.h"
#include "tiered/tiered.h"

#define PROVIDER	"hone"

/* Rows that are sorted at a time where nobody asked for an order. */
#define CHOSEN_WINDOW	1000000

/* A column tells sources apart when each value has so many rows on average, */
#define ROWS_OF_SOURCE	1000

/* it is hardly ever null, and its values lie scattered over the table. */
#define MOST_NULLS		0.1
#define MOST_CORRELATION	0.5

#define SYNTAX_HINT \
	"Give column names as in ORDER BY, for example order_by => 'device_id, at DESC NULLS LAST'."

/* ------------------------------------------------------------------------
 * Reading an order
 * ------------------------------------------------------------------------
 */

/* elevel: ERROR, or WARNING where a remembered order may be out of date. */
typedef struct Parser
{
	const char *text;
	const char *next;
	int			elevel;
} Parser;

static bool
report_syntax(Parser *parser)
{
	ereport(parser->elevel,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 *parser->next == '\0' ?
			 errmsg("order \"%s\" ends too early", parser->text) :
			 errmsg("syntax error in order \"%s\" at \"%s\"", parser->text, parser->next),
			 errhint(SYNTAX_HINT)));
	return false;
}

static void
skip_space(Parser *parser)
{
	while (scanner_isspace(*parser->next))
		parser->next++;
}

static bool
is_name_start(char c)
{
	return isalpha((unsigned char) c) || c == '_' || IS_HIGHBIT_SET(c);
}

static bool
is_name_part(char c)
{
	return is_name_start(c) || isdigit((unsigned char) c) || c == '$';
}

/* A name, quoted or not; NULL when there is none. */
static char *
read_name(Parser *parser)
{
	const char *start;
	StringInfoData name;

	skip_space(parser);
	start = parser->next;
	if (is_name_start(*start))
	{
		while (is_name_part(*parser->next))
			parser->next++;
		return downcase_truncate_identifier(start, parser->next - start, false);
	}
	if (*start != '"')
		return NULL;
	initStringInfo(&name);
	for (parser->next++; *parser->next != '\0'; parser->next++)
	{
		if (*parser->next == '"' && *++parser->next != '"')
			return name.len > 0 ? name.data : NULL;
		appendStringInfoChar(&name, *parser->next);
	}
	return NULL;
}

/* Whether the next word is this one; then it is read. */
static bool
read_word(Parser *parser, const char *word)
{
	size_t		length = strlen(word);

	skip_space(parser);
	if (pg_strncasecmp(parser->next, word, length) != 0 || is_name_part(parser->next[length]))
		return false;
	parser->next += length;
	return true;
}

static bool
read_direction(Parser *parser, HoneOrderKey *key)
{
	key->descending = read_word(parser, "desc");
	if (!key->descending)
		(void) read_word(parser, "asc");
	key->nulls_first = key->descending;
	if (!read_word(parser, "nulls"))
		return true;
	key->nulls_first = read_word(parser, "first");
	return key->nulls_first || read_word(parser, "last") || report_syntax(parser);
}

static bool
find_column(Parser *parser, Relation rel, const char *name, HoneOrderKey *key)
{
	TypeCacheEntry *type;

	key->attnum = get_attnum(RelationGetRelid(rel), name);
	if (key->attnum <= 0)
	{
		ereport(parser->elevel,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", name,
						RelationGetRelationName(rel)),
				 errhint(SYNTAX_HINT)));
		return false;
	}
	type = lookup_type_cache(TupleDescAttr(RelationGetDescr(rel), key->attnum - 1)->atttypid,
							 TYPECACHE_LT_OPR | TYPECACHE_GT_OPR);
	if (OidIsValid(type->lt_opr) && OidIsValid(type->gt_opr))
		return true;
	ereport(parser->elevel,
			(errcode(ERRCODE_UNDEFINED_FUNCTION),
			 errmsg("column \"%s\" of table \"%s\" cannot be sorted by", name,
					RelationGetRelationName(rel)),
			 errdetail("Its type %s has no ordering operators.", format_type_be(type->type_id)),
			 errhint("Leave the column out of the order.")));
	return false;
}

static HoneOrder *
make_order(int64 window)
{
	HoneOrder  *order = palloc0(offsetof(HoneOrder, keys) +
								MaxHeapAttributeNumber *sizeof(HoneOrderKey));

	order->window = window;
	return order;
}

/*
 * rel NULL: only the syntax counts. False after a warning.
 */
static bool
parse(Parser *parser, Relation rel, HoneOrder *order)
{
	do
	{
		char	   *name = read_name(parser);
		HoneOrderKey *key = &order->keys[order->nkeys++];

		if (name == NULL || order->nkeys > MaxHeapAttributeNumber -1)
			return report_syntax(parser);
		if (rel != NULL && !find_column(parser, rel, name, key))
			return false;
		if (!read_direction(parser, key))
			return false;
		skip_space(parser);
	} while (*parser->next == ',' && parser->next++);
	return *parser->next == '\0' || report_syntax(parser);
}

static bool
is_order_of_heap(const char *text)
{
	Parser		parser = {.text = text,.next = text};

	if (!read_word(&parser, "ctid"))
		return false;
	skip_space(&parser);
	return *parser.next == '\0';
}

static bool
is_blank(const char *text)
{
	while (scanner_isspace(*text))
		text++;
	return *text == '\0';
}

int64
hone_sort_limit(void)
{
	return maintenance_work_mem * INT64CONST(1024) / sizeof(ItemPointerData);
}

HoneOrder *
hone_order_parse(Relation rel, const char *text)
{
	Parser		parser = {.text = text,.next = text,.elevel = ERROR};
	HoneOrder  *order;

	if (is_order_of_heap(text))
		return NULL;
	order = make_order(hone_sort_limit());
	(void) parse(&parser, rel, order);
	return order;
}

/* ------------------------------------------------------------------------
 * Remembering it
 * ------------------------------------------------------------------------
 */

static void
report_label(const char *label, int code)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("security label \"%s\" is not one of pg_hone", label),
			 errhint("It is a JSON object such as {\"order_by\": \"device_id, at\"}; CALL hone.compress(..., order_by => ...) writes it.")));
}

/* The order in a label, or NULL. */
static char *
order_in_label(const char *label)
{
	Jsonb	   *object = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(label)));
	JsonbValue *value;

	if (!JB_ROOT_IS_OBJECT(object))
		report_label(label, ERRCODE_INVALID_PARAMETER_VALUE);
	value = getKeyJsonValueFromContainer(&object->root, "order_by", strlen("order_by"), NULL);
	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (value->type != jbvString)
		report_label(label, ERRCODE_INVALID_PARAMETER_VALUE);
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/*
 * SECURITY LABEL FOR hone ON TABLE ...: a dump is being restored. The columns
 * need not be there.
 */
static void
check_label(const ObjectAddress *object, const char *label)
{
	char	   *text;
	Parser		parser = {.elevel = ERROR};

	if (label == NULL)
		return;
	if (object->classId != RelationRelationId || object->objectSubId != 0)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("security labels of pg_hone are for tables only"),
				 errhint("CALL hone.compress(..., order_by => ...) writes them.")));
	text = order_in_label(label);
	if (text == NULL || is_order_of_heap(text) || is_blank(text))
		return;
	parser.text = parser.next = text;
	(void) parse(&parser, NULL, make_order(0));
}

void
hone_order_init(void)
{
	register_label_provider(PROVIDER, check_label);
}

static void
remember(Relation rel, const char *text)
{
	ObjectAddress object;
	StringInfoData label;

	ObjectAddressSet(object, RelationRelationId, RelationGetRelid(rel));
	if (is_blank(text))
	{
		SetSecurityLabel(&object, PROVIDER, NULL);
		return;
	}
	(void) hone_order_parse(rel, text);
	initStringInfo(&label);
	appendStringInfoString(&label, "{\"order_by\": ");
	escape_json(&label, text);
	appendStringInfoChar(&label, '}');
	SetSecurityLabel(&object, PROVIDER, label.data);
}

void
hone_tiered_set_order(Oid relid, const char *text)
{
	Relation	rel = relation_open(relid, AccessShareLock);

	if (!HONE_OWNS_RELATION(relid))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(rel));
	remember(rel, text);
	relation_close(rel, NoLock);
}

/* The order remembered with one relation, or NULL. */
static char *
remembered_with(Oid relid)
{
	ObjectAddress object;
	char	   *label;
	char	   *text;

	ObjectAddressSet(object, RelationRelationId, relid);
	label = GetSecurityLabel(&object, PROVIDER);
	text = label ? order_in_label(label) : NULL;
	return text != NULL && !is_blank(text) ? text : NULL;
}

static char *
remembered(Relation rel)
{
	char	   *text = remembered_with(RelationGetRelid(rel));
	ListCell   *lc;

	if (text != NULL || !rel->rd_rel->relispartition)
		return text;
	foreach(lc, get_partition_ancestors(RelationGetRelid(rel)))
	{
		text = remembered_with(lfirst_oid(lc));
		if (text != NULL)
			return text;
	}
	return NULL;
}

/* ------------------------------------------------------------------------
 * Choosing one
 * ------------------------------------------------------------------------
 */

static bool
may_name_source(Oid type)
{
	switch (getBaseType(type))
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case UUIDOID:
			return true;
		default:
			return false;
	}
}

/*
 * How many sources the column tells apart; 0: it does not.
 */
static double
count_sources(Relation rel, AttrNumber attnum)
{
	double		rows = rel->rd_rel->reltuples;
	HeapTuple	tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(RelationGetRelid(rel)),
										Int16GetDatum(attnum), BoolGetDatum(false));
	Form_pg_statistic statistic;
	AttStatsSlot slot;
	double		distinct;
	bool		scattered;

	if (!HeapTupleIsValid(tuple))
		return 0;
	statistic = (Form_pg_statistic) GETSTRUCT(tuple);
	distinct = statistic->stadistinct < 0 ? -statistic->stadistinct * rows : statistic->stadistinct;
	scattered = statistic->stanullfrac <= MOST_NULLS &&
		get_attstatsslot(&slot, tuple, STATISTIC_KIND_CORRELATION, InvalidOid, ATTSTATSSLOT_NUMBERS);
	if (scattered)
	{
		scattered = slot.nnumbers == 1 && fabsf(slot.numbers[0]) < MOST_CORRELATION;
		free_attstatsslot(&slot);
	}
	ReleaseSysCache(tuple);
	return scattered && distinct >= 2 && distinct <= rows / ROWS_OF_SOURCE ? distinct : 0;
}

/*
 * Of the columns that tell sources apart: one that an index has, since it is
 * then what the table is asked for, else any; the one with most values.
 */
static AttrNumber
source_column(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Bitmapset  *indexed = hone_detail_indexed(rel);
	AttrNumber	best = 0;
	double		best_sources = 0;
	bool		best_indexed = false;

	for (AttrNumber attnum = 1; attnum <= desc->natts; attnum++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, attnum - 1);
		bool		is_indexed = bms_is_member(attnum - 1, indexed);
		double		sources;

		if (attribute->attisdropped || !may_name_source(attribute->atttypid))
			continue;
		sources = count_sources(rel, attnum);
		if (sources == 0 || (best_indexed && !is_indexed))
			continue;
		if (sources > best_sources || (is_indexed && !best_indexed))
		{
			best = attnum;
			best_sources = sources;
			best_indexed = is_indexed;
		}
	}
	bms_free(indexed);
	return best;
}

static HoneOrder *
choose(Relation rel)
{
	AttrNumber	time = hone_key_attribute(rel);
	AttrNumber	source = time > 0 && rel->rd_rel->reltuples > 0 ? source_column(rel) : 0;
	HoneOrder  *order;
	Oid			type;

	if (source == 0 || source == time)
		return NULL;
	type = TupleDescAttr(RelationGetDescr(rel), time - 1)->atttypid;
	if (type != DATEOID && type != TIMESTAMPOID && type != TIMESTAMPTZOID)
		return NULL;
	order = make_order(CHOSEN_WINDOW);
	order->nkeys = 2;
	order->keys[0].attnum = source;
	order->keys[1].attnum = time;
	return order;
}

HoneOrder *
hone_order_of(Relation rel)
{
	char	   *text = remembered(rel);

	if (text != NULL)
	{
		Parser		parser = {.text = text,.next = text,.elevel = WARNING};
		HoneOrder  *order = make_order(hone_sort_limit());

		if (is_order_of_heap(text))
			return NULL;
		if (parse(&parser, rel, order))
			return order;
	}
	return choose(rel);
}
