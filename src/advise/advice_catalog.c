/*-------------------------------------------------------------------------
 *
 * advice_catalog.c
 *	  Indexes that are not worth what they cost, foreign keys that lack one,
 *	  and tables without a key: what the catalogs and counters say, made when
 *	  hone.recommendations is read.
 *
 * What is worth saying, and in which words, is SQL (sql/install/57_indexes.sql
 * and 58_keys.sql). Here are its settings, and what SQL cannot do: read a
 * counter that not every version has, and write an index's definition without
 * waiting for a lock on its table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "advise/recommend.h"
#include "common/own_tables.h"
#include "compat/compat.h"

static int	hone_advise_index_idle = 7 * 24 * 3600;
static int	hone_advise_index_size = 10;
static double hone_advise_index_bloat = 2;
static double hone_advise_index_writes = 10;

PG_FUNCTION_INFO_V1(hone_index_definition);
PG_FUNCTION_INFO_V1(hone_last_scan);

/* The views read these settings by name. */
void
hone_catalog_init(void)
{
	/* what a weekly report reads is used */
	DefineCustomIntVariable("hone.advise_index_idle",
							"Time for which an index must not have been used before dropping it is recommended.",
							NULL, &hone_advise_index_idle,
							7 * 24 * 3600, 0, INT_MAX, PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);

	/* read in a few milliseconds */
	DefineCustomIntVariable("hone.advise_index_size",
							"Size from which an index, or a table that lacks a key or an index for one, is worth a recommendation.",
							NULL, &hone_advise_index_size,
							10, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MB, NULL, NULL, NULL);

	/* random inserts leave one third of a btree empty: 1.4 */
	DefineCustomRealVariable("hone.advise_index_bloat",
							 "How many times as large as it would be if built anew an index must be before rebuilding it is recommended.",
							 NULL, &hone_advise_index_bloat,
							 2, 1, 1000, PGC_SUSET, 0, NULL, NULL, NULL);

	/* a million entries a day */
	DefineCustomRealVariable("hone.advise_index_writes",
							 "Entries per second written to an index that was never used from which dropping it is recommended whatever its size.",
							 NULL, &hone_advise_index_writes,
							 10, 0, 1e9, PGC_SUSET, 0, NULL, NULL, NULL);
}

/*
 * hone._index_definition(index): the statement that makes it, for partitions
 * too. Deparsing opens the table, so its lock is taken if it is free at once.
 */
Datum
hone_index_definition(PG_FUNCTION_ARGS)
{
	Oid			index;
	Oid			relid;
	char	   *sql;
	char	   *only;

	hone_require_script();
	index = PG_GETARG_OID(0);
	relid = IndexGetRelation(index, true);
	if (!OidIsValid(relid) || !ConditionalLockRelationOid(relid, AccessShareLock))
		PG_RETURN_NULL();
	if (!SearchSysCacheExists1(INDEXRELID, ObjectIdGetDatum(index)))
		PG_RETURN_NULL();
	sql = pg_get_indexdef_string(index);

	/* where its name ends: a name may hold anything */
	only = strstr(sql, quote_identifier(get_rel_name(index)));
	if (only != NULL)
	{
		only += strlen(quote_identifier(get_rel_name(index)));
		if (strncmp(only, " ON ONLY ", strlen(" ON ONLY ")) == 0)
			memmove(only + strlen(" ON"), only + strlen(" ON ONLY"),
					strlen(only + strlen(" ON ONLY")) + 1);
	}
	PG_RETURN_TEXT_P(cstring_to_text(sql));
}

/*
 * Statements that make an index without keeping writers out; definition is what
 * stands behind the table's name. The topmost table is given.
 */
char *
hone_index_ddl(Oid relid, const char *definition)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[2];
	char	   *ddl = NULL;

	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		return psprintf("CREATE INDEX CONCURRENTLY ON %s %s", hone_qualified_name(relid), definition);
	values[0] = ObjectIdGetDatum(relid);
	values[1] = CStringGetTextDatum(definition);
	SPI_connect();
	if (SPI_execute_with_args("SELECT hone._index_everywhere($1, $2)", 2, types, values, NULL, true, 1) == SPI_OK_SELECT &&
		SPI_processed == 1)
	{
		MemoryContext spi = MemoryContextSwitchTo(context);

		ddl = hone_result_text(0, 1);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	if (ddl == NULL)
		elog(ERROR, "partitions of relation %u could not be read", relid);
	return ddl;
}

void
hone_advice_index_fix(HoneAdvice *advice, Oid relid, const char *definition)
{
	hone_advice_set(advice, &advice->fix, "%s", hone_index_ddl(relid, definition));
	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		hone_evidence_text(advice, "on_each_partition", definition);
}

/* hone._last_scan(relation) */
Datum
hone_last_scan(PG_FUNCTION_ARGS)
{
	TimestampTz at;

	hone_require_script();
	if (!hone_compat_last_scan(PG_GETARG_OID(0), &at))
		PG_RETURN_NULL();
	PG_RETURN_TIMESTAMPTZ(at);
}
