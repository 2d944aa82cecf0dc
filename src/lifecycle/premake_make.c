/*-------------------------------------------------------------------------
 *
 * premake_make.c
 *	  Makes one partition.
 *
 * It is made as a table of its own and attached at the end of the same
 * transaction, so that nobody waits while it is made: ATTACH PARTITION locks the
 * parent in a mode (SHARE UPDATE EXCLUSIVE) that stops no query and no change.
 * The table is empty and nobody else's yet, so ATTACH has nothing to scan in it
 * and no CHECK constraint has to prove its bounds.
 *
 * What does stop others, if there is such a thing, is locked last: the default
 * partition, and tables that foreign keys of the parent point to. Of these one
 * only is waited for, since whoever uses it meanwhile waits as well; the others
 * are there at once or it is tried again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/sysattr.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "nodes/nodes.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "common/owner.h"
#include "lifecycle/premake.h"
#include "lifecycle/shared.h"

#define NO_LOCK_HINT "It is tried again later; nothing was changed."

/* A table that is made as another one is. */
typedef struct Copy
{
	Oid			parent;			/* whose columns it has */
	Oid			pattern;		/* whose options it has; parent, or a child */
	Oid			schema;
	const char *name;
	const char *quoted;			/* with the schema */
} Copy;

void
hone_premake_settings(void)
{
	static const char *const settings[][2] = {
		{"default_tablespace", ""},
		{"default_table_access_method", "heap"},
		{"DateStyle", "ISO, YMD"},
		{"TimeZone", "UTC"},
		{"IntervalStyle", "postgres"},
		{"row_security", "on"},
		{"client_min_messages", "warning"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	hone_limit_lock_waits();
}

/* ------------------------------------------------------------------------
 * SQL
 * ------------------------------------------------------------------------
 */

static void
run(const char *sql)
{
	int			result = SPI_execute(sql, false, 0);

	if (result < 0)
		elog(ERROR, "\"%s\" failed: %s", sql, SPI_result_code_string(result));
}

/* The first column of a query with two OIDs as its parameters, as strings. */
static List *
query_strings(const char *sql, Oid first, Oid second)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[2];
	List	   *strings = NIL;
	SPITupleTable *table;

	values[0] = ObjectIdGetDatum(first);
	values[1] = ObjectIdGetDatum(second);
	if (SPI_execute_with_args(sql, 2, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the catalogs");
	table = SPI_tuptable;

	MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		char	   *value = SPI_getvalue(table->vals[i], table->tupdesc, 1);

		if (value != NULL)
			strings = lappend(strings, value);
	}
	SPI_freetuptable(table);
	return strings;
}

static char *
query_string(const char *sql, Oid first, Oid second)
{
	List	   *strings = query_strings(sql, first, second);

	return strings ? linitial(strings) : NULL;
}

/* Run the commands that a query makes. */
static void
run_all(const char *sql, Oid first, Oid second)
{
	ListCell   *lc;

	foreach(lc, query_strings(sql, first, second))
		run(lfirst(lc));
}

/* ------------------------------------------------------------------------
 * What CREATE TABLE says
 * ------------------------------------------------------------------------
 */

/* Hot partitions are never compressed ones; else the parent's, or as the others. */
#define ACCESS_METHOD_SQL \
	"SELECT quote_ident(m.amname)" \
	" FROM pg_class c JOIN pg_am m ON m.oid = c.relam" \
	" WHERE c.oid IN ($1, $2) AND m.amname <> 'tiered' AND (c.oid = $1 OR c.relkind = 'r')" \
	" ORDER BY c.oid = $1 DESC LIMIT 1"

/* Where old partitions went is no place for new ones. */
#define TABLESPACE_SQL \
	"SELECT quote_ident(t.spcname)" \
	" FROM pg_class p LEFT JOIN pg_class c ON c.oid = $2 AND c.relkind IN ('r', 'p')" \
	"  AND NOT EXISTS (SELECT FROM pg_am m WHERE m.oid = c.relam AND m.amname = 'tiered')" \
	" JOIN pg_tablespace t ON t.oid = coalesce(c.reltablespace, p.reltablespace)" \
	" WHERE p.oid = $1"

#define OPTIONS_SQL \
	"SELECT string_agg(o.prefix || quote_ident(split_part(o.option, '=', 1)) || ' = '" \
	"  || quote_literal(substr(o.option, strpos(o.option, '=') + 1)), ', ')" \
	" FROM (SELECT '' AS prefix, unnest(c.reloptions) AS option FROM pg_class c WHERE c.oid = $2 AND c.relkind = 'r'" \
	"  UNION ALL SELECT 'toast.', unnest(t.reloptions) FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid" \
	"   WHERE c.oid = $2 AND c.relkind = 'r') o" \
	" WHERE $1 IS NOT NULL"

static void
append_place(StringInfo sql, const Copy *copy, bool partitioned)
{
	char	   *method = partitioned ? NULL : query_string(ACCESS_METHOD_SQL, copy->parent, copy->pattern);
	char	   *options = partitioned ? NULL : query_string(OPTIONS_SQL, copy->parent, copy->pattern);
	char	   *tablespace = query_string(TABLESPACE_SQL, copy->parent, copy->pattern);

	if (!partitioned)
		appendStringInfo(sql, " USING %s", method ? method : "heap");
	if (options != NULL)
		appendStringInfo(sql, " WITH (%s)", options);
	if (tablespace != NULL)
		appendStringInfo(sql, " TABLESPACE %s", tablespace);
}

/*
 * CREATE TABLE; 'body' is what stands behind the name.
 */
static void
create_table(const Copy *copy, const char *body)
{
	bool		partitioned = copy->pattern != copy->parent &&
	get_rel_relkind(copy->pattern) == RELKIND_PARTITIONED_TABLE;
	bool		unlogged = copy->pattern != copy->parent &&
	get_rel_persistence(copy->pattern) == RELPERSISTENCE_UNLOGGED;
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfo(&sql, "CREATE %sTABLE %s %s", unlogged ? "UNLOGGED " : "", copy->quoted, body);
	if (partitioned)
		appendStringInfo(&sql, " PARTITION BY %s",
						 query_string("SELECT pg_get_partkeydef($1) WHERE $2 IS NOT NULL", copy->pattern, copy->pattern));
	append_place(&sql, copy, partitioned);
	run(sql.data);
}

/* ------------------------------------------------------------------------
 * What is not said there
 * ------------------------------------------------------------------------
 */

/* What the owner's default privileges gave is not what the others have. */
#define REVOKE_SQL \
	"SELECT DISTINCT format('REVOKE ALL ON TABLE %s FROM %s', $2::regclass," \
	"  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)" \
	" FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = $2" \
	" AND a.grantee <> c.relowner AND $1 IS NOT NULL"

#define GRANT_SQL \
	"SELECT format('GRANT %s%s ON TABLE %s TO %s%s', a.privilege_type, ' (' || quote_ident(a.attname) || ')', $2::regclass," \
	"  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END," \
	"  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' END)" \
	" FROM (SELECT x.grantee, x.privilege_type, bool_or(x.is_grantable) AS is_grantable, NULL::name AS attname" \
	"   FROM pg_class c, aclexplode(c.relacl) x" \
	"   WHERE c.oid = $1 AND x.grantee <> c.relowner GROUP BY 1, 2" \
	"  UNION ALL SELECT x.grantee, x.privilege_type, bool_or(x.is_grantable), t.attname" \
	"   FROM pg_class c JOIN pg_attribute t ON t.attrelid = c.oid, aclexplode(t.attacl) x" \
	"   WHERE c.oid = $1 AND t.attnum > 0 AND NOT t.attisdropped AND x.grantee <> c.relowner" \
	"   GROUP BY 1, 2, t.attname) a" \
	" LEFT JOIN pg_roles r ON r.oid = a.grantee" \
	" WHERE a.grantee = 0 OR r.oid IS NOT NULL"

/*
 * Row security of the pattern, without its policies: privileges that are copied
 * open no rows that a policy hides. Through the parent its own policies count.
 * Options of columns by name: the server keeps others there for itself.
 */
#define ALTER_SQL \
	"SELECT format(x.command, $2::regclass) FROM pg_class c, LATERAL (VALUES" \
	"  (c.relrowsecurity, 'ALTER TABLE %s ENABLE ROW LEVEL SECURITY')," \
	"  (c.relforcerowsecurity, 'ALTER TABLE %s FORCE ROW LEVEL SECURITY')," \
	"  (c.relreplident = 'f', 'ALTER TABLE %s REPLICA IDENTITY FULL')," \
	"  (c.relreplident = 'n' AND c.relkind IN ('r', 'p'), 'ALTER TABLE %s REPLICA IDENTITY NOTHING')) x(wanted, command)" \
	" WHERE c.oid = $1 AND x.wanted" \
	" UNION ALL" \
	" SELECT format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', $2::regclass, a.attname, a.attstattarget)" \
	" FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget >= 0" \
	" UNION ALL" \
	" SELECT format('ALTER TABLE %s ALTER COLUMN %I SET (%s)', $2::regclass, a.attname, o.option)" \
	" FROM pg_attribute a, unnest(a.attoptions) o(option)" \
	" WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND o.option ~ '^n_distinct'"

/* Only once the index is attached: the one below the same index of the parent. */
#define IDENTITY_SQL \
	"SELECT format('ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', $2::regclass, n.relname)" \
	" FROM pg_index o JOIN pg_index i ON i.indrelid = $2" \
	"  AND pg_partition_root(i.indexrelid)::oid = pg_partition_root(o.indexrelid)::oid" \
	" JOIN pg_class n ON n.oid = i.indexrelid" \
	" WHERE o.indrelid = $1 AND o.indisreplident LIMIT 1"

static void
finish_table(const Copy *copy, Oid relid)
{
	run_all(REVOKE_SQL, copy->pattern, relid);
	run_all(GRANT_SQL, copy->pattern, relid);
	run_all(ALTER_SQL, copy->pattern, relid);
}

/* ------------------------------------------------------------------------
 * Levels below
 * ------------------------------------------------------------------------
 */

/* Does the key of a partitioned table have this column in it? */
static bool
key_has_column(Oid relid, const char *column)
{
	HeapTuple	tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(relid));
	AttrNumber	number = get_attnum(relid, column);
	bool		has = false;
	Form_pg_partitioned_table form;
	Datum		expressions;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_partitioned_table) GETSTRUCT(tuple);
	for (int i = 0; i < form->partnatts; i++)
		has |= form->partattrs.values[i] == number;
	expressions = SysCacheGetAttr(PARTRELID, tuple, Anum_pg_partitioned_table_partexprs, &isnull);
	if (!isnull)
	{
		Bitmapset  *columns = NULL;

		pull_varattnos(stringToNode(TextDatumGetCString(expressions)), 1, &columns);
		has |= bms_is_member(number - FirstLowInvalidHeapAttributeNumber, columns);
	}
	ReleaseSysCache(tuple);
	return has;
}

static char
strategy_of(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(relid));
	char		strategy = '\0';

	if (HeapTupleIsValid(tuple))
	{
		strategy = ((Form_pg_partitioned_table) GETSTRUCT(tuple))->partstrat;
		ReleaseSysCache(tuple);
	}
	return strategy;
}

/*
 * Partitions of 'pattern' are made again below 'relid', of which 'name' is the
 * name, level by level. Bounds by time cannot be the same in another range.
 */
static void
make_parts(Oid pattern, Oid relid, const char *name, Oid schema, const char *key)
{
	ListCell   *lc;

	if (strategy_of(pattern) == PARTITION_STRATEGY_RANGE && key_has_column(pattern, key))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot make a partition like \"%s\", which is partitioned by RANGE of column \"%s\" again",
						get_rel_name(pattern), key),
				 errhint("Make partitions of this table yourself, or set premake on the tables below it.")));
	foreach(lc, find_inheritance_children(pattern, AccessShareLock))
	{
		Oid			child = lfirst_oid(lc);
		Copy		copy = {.parent = relid,.pattern = child,.schema = schema};
		char	   *bound = query_string("SELECT pg_get_expr(c.relpartbound, c.oid) FROM pg_class c"
										 " WHERE c.oid = $1 AND $2 IS NOT NULL", child, child);
		Oid			made;

		check_stack_depth();
		if (bound == NULL)
			continue;
		copy.name = hone_premake_part_name(child, pattern, name, schema);
		copy.quoted = quote_qualified_identifier(get_namespace_name(schema), copy.name);
		create_table(&copy, psprintf("PARTITION OF %s %s", hone_qualified_name(relid), bound));
		made = get_relname_relid(copy.name, schema);
		finish_table(&copy, made);
		if (get_rel_relkind(child) == RELKIND_PARTITIONED_TABLE)
			make_parts(child, made, copy.name, schema, key);
	}
}

/* Behind ATTACH, for the table and all below it. */
static void
set_identities(Oid pattern, Oid relid)
{
	List	   *from;
	List	   *to;

	run_all(IDENTITY_SQL, pattern, relid);
	if (get_rel_relkind(pattern) != RELKIND_PARTITIONED_TABLE)
		return;
	from = find_inheritance_children(pattern, NoLock);
	to = find_inheritance_children(relid, NoLock);

	/* in the order of their OIDs, in which they were made */
	for (int i = 0; i < Min(list_length(from), list_length(to)); i++)
		set_identities(list_nth_oid(from, i), list_nth_oid(to, i));
}

/* ------------------------------------------------------------------------
 * Attaching
 * ------------------------------------------------------------------------
 */

/* The first is waited for, the others have to be free. */
static void
lock_strongly(Oid relid, LOCKMODE mode, bool *waited)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL || (*waited && ConditionalLockRelationOid(relid, mode)))
		return;
	if (*waited)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not lock table \"%s\": other sessions are using it", name),
				 errhint(NO_LOCK_HINT)));
	LockRelationOid(relid, mode);
	*waited = true;
}

/*
 * What ATTACH is going to lock in modes that stop others.
 */
static void
lock_others(const HonePremakePlan *plan)
{
	bool		waited = false;
	ListCell   *lc;

	if (OidIsValid(plan->default_partition))
	{
		lock_strongly(plan->default_partition, AccessExclusiveLock, &waited);
		foreach(lc, find_all_inheritors(plan->default_partition, NoLock, NULL))
		{
			if (lfirst_oid(lc) != plan->default_partition)
				lock_strongly(lfirst_oid(lc), AccessExclusiveLock, &waited);
		}
	}
	foreach(lc, query_strings("SELECT DISTINCT t.relid::oid::text FROM pg_constraint k,"
							  " LATERAL (SELECT k.confrelid AS relid UNION SELECT relid FROM pg_partition_tree(k.confrelid)) t"
							  " WHERE k.conrelid = $1 AND k.contype = 'f' AND $2 IS NOT NULL"
							  "  AND k.confrelid <> k.conrelid",
							  plan->parent, plan->parent))
		lock_strongly(atooid(lfirst(lc)), ShareRowExclusiveLock, &waited);
}

static void
attach(const HonePremakePlan *plan, const HonePremakeRange *range, const char *quoted)
{
	char	   *parent = hone_qualified_name(plan->parent);

	if (parent == NULL)
		hone_report_missing(plan->parent);
	run(psprintf("ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (%s) TO (%s)", parent, quoted,
				 quote_literal_cstr(range->start_key), quote_literal_cstr(range->end_key)));
}

static HonePremakeRange *
find_range(HonePremakePlan *plan, TimestampTz start)
{
	ListCell   *lc;

	foreach(lc, plan->ranges)
	{
		HonePremakeRange *range = lfirst(lc);

		if (range->start == start)
			return range;
	}
	return NULL;
}

/*
 * Lock the parent against others who change its partitions, and look again.
 */
static HonePremakePlan *
plan_again(const HonePremakeOrder *order)
{
	Relation	parent = try_relation_open(order->parent, ShareUpdateExclusiveLock);

	if (parent == NULL)
		hone_report_missing(order->parent);
	relation_close(parent, NoLock);
	return hone_premake_plan(order);
}

static Oid
make(HonePremakePlan *plan, const HonePremakeRange *range, bool prepared)
{
	Copy		copy = {.parent = plan->parent,.schema = range->schema,.name = range->name};
	Oid			made;

	copy.pattern = OidIsValid(plan->latest) ? plan->latest : plan->parent;
	copy.quoted = quote_qualified_identifier(get_namespace_name(range->schema), range->name);
	create_table(&copy, psprintf("(LIKE %s INCLUDING ALL EXCLUDING IDENTITY EXCLUDING COMMENTS)",
								 hone_qualified_name(plan->parent)));
	made = get_relname_relid(range->name, range->schema);
	finish_table(&copy, made);
	if (OidIsValid(plan->latest) && get_rel_relkind(plan->latest) == RELKIND_PARTITIONED_TABLE)
		make_parts(plan->latest, made, range->name, range->schema, plan->key);

	lock_others(plan);
	attach(plan, range, copy.quoted);
	if (prepared)
		hone_premake_clean(plan);
	if (OidIsValid(plan->latest))
		set_identities(plan->latest, made);
	return made;
}

Oid
hone_premake_make(const HonePremakeOrder *order, TimestampTz start, bool prepared, char **name)
{
	HoneRole	saved;
	HonePremakePlan *plan;
	HonePremakeRange *range;
	Oid			made = InvalidOid;

	hone_become_owner(order->parent, &saved);
	hone_premake_settings();
	plan = plan_again(order);
	range = find_range(plan, start);
	if (range != NULL)
	{
		made = make(plan, range, prepared);
		*name = hone_qualified_name(made);
	}
	hone_restore_role(&saved);
	return made;
}
