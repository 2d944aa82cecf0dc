/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  compress, decompress, decompress_all and tiered_stats.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/genam.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "executor/tuptable.h"
#include "commands/defrem.h"
#include "commands/tablespace.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "common/procedure.h"
#include "tiered/am.h"
#include "tiered/run.h"
#include "tiered/store.h"
#include "tiered/tiered.h"
#include "tiered/tombstone.h"

/* Locks of a compression called by hand wait for each try this long. */

PG_FUNCTION_INFO_V1(hone_compress);
PG_FUNCTION_INFO_V1(hone_decompress);
PG_FUNCTION_INFO_V1(hone_decompress_all);
PG_FUNCTION_INFO_V1(hone_set_tablespace);
PG_FUNCTION_INFO_V1(hone_tiered_stats);

/* ------------------------------------------------------------------------
 * What can be compressed
 * ------------------------------------------------------------------------
 */

static void
refuse_relation(Relation rel, const char *action, int code, const char *why,
				const char *hint)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("cannot %s \"%s\": %s", action, RelationGetRelationName(rel), why),
			 errhint("%s", hint)));
}

/*
 * A materialized view may be tiered by its access method; it holds no
 * batches, but can be made a heap again.
 */
static void
check_kind(Relation rel, const char *action, bool tiered_matview)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		!(tiered_matview && rel->rd_rel->relkind == RELKIND_MATVIEW && hone_is_tiered(rel)))
		refuse_relation(rel, action, ERRCODE_WRONG_OBJECT_TYPE, "it is not a table",
						"Only ordinary tables and partitions of partitioned tables can be compressed.");
	if (IsSystemRelation(rel) || IsCatalogNamespace(RelationGetNamespace(rel)) ||
		RelationGetNamespace(rel) == get_namespace_oid("information_schema", true) ||
		(hone_is_own_relation(RelationGetRelid(rel), RelationGetNamespace(rel)) &&
		 !rel->rd_rel->relispartition))
		refuse_relation(rel, action, ERRCODE_WRONG_OBJECT_TYPE, "it is a system table",
						"Only user tables can be compressed.");
	if (!HONE_OWNS_RELATION(RelationGetRelid(rel)))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(rel));
	if (RelationUsesLocalBuffers(rel))
		refuse_relation(rel, action, ERRCODE_FEATURE_NOT_SUPPORTED, "it is a temporary table",
						"Use a permanent table.");
	if (!hone_is_tiered(rel) && rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		refuse_relation(rel, action, ERRCODE_FEATURE_NOT_SUPPORTED,
						"its access method is neither heap nor tiered",
						"ALTER TABLE ... SET ACCESS METHOD heap first.");
}

void
hone_tiered_check_compressible(Relation rel)
{
	List	   *indexes;
	ListCell   *lc;

	check_kind(rel, "compress", false);
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		exclusion = index->rd_index->indisexclusion;

		index_close(index, AccessShareLock);
		if (exclusion)
			refuse_relation(rel, "compress", ERRCODE_FEATURE_NOT_SUPPORTED,
							"it has an exclusion constraint",
							"Drop the exclusion constraint, or leave the table uncompressed.");
	}
	list_free(indexes);
}

void
hone_tiered_check_decompressible(Relation rel)
{
	check_kind(rel, "decompress", true);
}

/* ------------------------------------------------------------------------
 * Procedures
 * ------------------------------------------------------------------------
 */

static void
commit_in_procedure(void *arg)
{
	hone_procedure_commit();
}

static void
begin_procedure(FunctionCallInfo fcinfo, const char *name)
{
	PreventCommandDuringRecovery(name);
	hone_procedure_begin(fcinfo, name);
	PreventCommandIfReadOnly(name);
}

/*
 * The table itself, or the leaf partitions of a partitioned one; the
 * partitioned tables above them only where wanted.
 */
static List *
leaf_tables(Oid relid, bool parents)
{
	List	   *leaves = NIL;
	ListCell   *lc;

	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		return list_make1_oid(relid);
	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		if (parents || get_rel_relkind(lfirst_oid(lc)) != RELKIND_PARTITIONED_TABLE)
			leaves = lappend_oid(leaves, lfirst_oid(lc));
	}
	return leaves;
}

static void
report_result(const char *done, Oid relid, const HoneTieredResult *result)
{
	char	   *name = hone_qualified_name(relid);
	char	   *again = result->rewritten == 0 ? "" :
	psprintf(" in place of " INT64_FORMAT, result->rewritten);

	ereport(NOTICE,
			(errmsg("%s %s: " INT64_FORMAT " rows, " INT64_FORMAT " batches%s, %s -> %s",
					name ? name : "table", done, result->rows,
					result->batches, again,
					text_to_cstring(DatumGetTextPP(DirectFunctionCall1(pg_size_pretty,
																	   Int64GetDatum(result->bytes_before)))),
					text_to_cstring(DatumGetTextPP(DirectFunctionCall1(pg_size_pretty,
																	   Int64GetDatum(result->bytes_after)))))));
	if (result->vacuum_error != NULL)
		ereport(WARNING,
				(errmsg("space of %s was not all given back: %s",
						name ? name : "the table", result->vacuum_error),
				 errhint("VACUUM and REINDEX the table later; the rows are safe.")));
}

/*
 * Remember the order with the table named; partitions follow it.
 */
static void
remember_order(Oid relid, List *leaves, const char *text)
{
	ListCell   *lc;

	hone_tiered_set_order(relid, text);
	foreach(lc, leaves)
	{
		if (lfirst_oid(lc) != relid)
			hone_tiered_set_order(lfirst_oid(lc), "");
	}
	hone_procedure_commit();
}

Datum
hone_compress(PG_FUNCTION_ARGS)
{
	Oid			relid;
	char	   *order;
	int			timeout = hone_lock_timeout_ms();
	List	   *leaves;
	ListCell   *lc;

	hone_require_script();
	relid = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	begin_procedure(fcinfo, "hone.compress");
	order = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table to compress does not exist"),
				 errhint("Give its name: CALL hone.compress('schema.table').")));
	leaves = leaf_tables(relid, false);
	foreach(lc, leaves)
	{
		/* all of them before the first is touched */
		Relation	rel = relation_open(lfirst_oid(lc), AccessShareLock);

		hone_tiered_check_compressible(rel);
		relation_close(rel, AccessShareLock);
	}
	if (order != NULL)
		remember_order(relid, leaves, order);
	foreach(lc, leaves)
	{
		HoneTieredResult result;

		hone_tiered_compress(lfirst_oid(lc), NULL, timeout, commit_in_procedure, NULL, &result);
		report_result("compressed", lfirst_oid(lc), &result);
	}
	hone_procedure_end();
	PG_RETURN_VOID();
}

/*
 * From 17 on a partitioned table can have an access method, which is that of
 * partitions to come: back to the default.
 */
static void
make_parent_ordinary(Oid relid, int lock_timeout_ms)
{
	Relation	rel = try_relation_open(relid, AccessShareLock);
	bool		tiered;

	if (rel == NULL)
		return;					/* dropped meanwhile */
	tiered = OidIsValid(rel->rd_rel->relam) &&
		rel->rd_rel->relam == hone_tiered_am_oid();
	if (tiered && !HONE_OWNS_RELATION(relid))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(rel));
	relation_close(rel, AccessShareLock);
	if (tiered)
		hone_tiered_make_parent_ordinary(relid, lock_timeout_ms, commit_in_procedure, NULL);
}

static void
decompress_one(Oid relid, int lock_timeout_ms)
{
	HoneTieredResult result;

	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
	{
		make_parent_ordinary(relid, lock_timeout_ms);
		return;
	}
	hone_tiered_decompress(relid, lock_timeout_ms, commit_in_procedure, NULL, &result);
	report_result("decompressed", relid, &result);
}

Datum
hone_decompress(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	int			timeout = hone_lock_timeout_ms();
	ListCell   *lc;

	begin_procedure(fcinfo, "hone.decompress");
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table to decompress does not exist"),
				 errhint("Give its name: CALL hone.decompress('schema.table').")));
	foreach(lc, leaf_tables(relid, true))
	{
		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_FOREIGN_TABLE)
			decompress_one(lfirst_oid(lc), timeout);
	}
	hone_procedure_end();
	PG_RETURN_VOID();
}

/*
 * All relations of access method tiered in this database, partitioned tables
 * before others: no partition is to be made tiered meanwhile.
 * Temporary ones hold no batches, and are their sessions' alone; those of
 * pg_hone's own history go with the extension.
 */
static List *
tiered_tables(void)
{
	Oid			am = hone_tiered_am_oid();
	Relation	pg_class = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(pg_class, InvalidOid, false, NULL, 0, NULL);
	List	   *tables = NIL;
	HeapTuple	tuple;

	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		CHECK_FOR_INTERRUPTS();
		if (OidIsValid(am) && form->relam == am &&
			form->relpersistence != RELPERSISTENCE_TEMP &&
			!hone_is_own_relation(form->oid, form->relnamespace))
			tables = form->relkind == RELKIND_PARTITIONED_TABLE ?
				lcons_oid(form->oid, tables) : lappend_oid(tables, form->oid);
	}
	systable_endscan(scan);
	table_close(pg_class, AccessShareLock);
	return tables;
}

Datum
hone_decompress_all(PG_FUNCTION_ARGS)
{
	int			timeout = hone_lock_timeout_ms();
	ListCell   *lc;

	begin_procedure(fcinfo, "hone.decompress_all");
	foreach(lc, tiered_tables())
	{
		/* not if dropped meanwhile */
		if (get_rel_name(lfirst_oid(lc)) != NULL)
			decompress_one(lfirst_oid(lc), timeout);
	}
	hone_procedure_end();
	PG_RETURN_VOID();
}

/*
 * Of one table: for tests.
 */
Datum
hone_set_tablespace(PG_FUNCTION_ARGS)
{
	Oid			relid;
	Oid			tablespace;

	hone_require_script();
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("a table and a tablespace must be named")));
	relid = PG_GETARG_OID(0);
	begin_procedure(fcinfo, "hone._set_tablespace");
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table to move does not exist")));
	tablespace = get_tablespace_oid(NameStr(*PG_GETARG_NAME(1)), false);
	hone_tiered_set_tablespace(relid, tablespace, hone_lock_timeout_ms(),
							   commit_in_procedure, NULL);
	hone_procedure_end();
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * Figures
 * ------------------------------------------------------------------------
 */

/*
 * tiered_stats(regclass) -> batches, compressed_rows, dead_rows (exact up to
 * some 64 batches), plain_rows (estimate), raw_bytes, compressed_bytes, heap_bytes (before the first fold). No row for
 * a table that is not tiered; NULL figures never.
 */
Datum
hone_tiered_stats(PG_FUNCTION_ARGS)
{
	Oid			relid;
	Relation	rel;
	TupleDesc	desc;
	Datum		values[7];
	bool		nulls[7] = {false};
	HoneStoreMeta meta;
	HoneStore  *store;
	int64		dead = 0;

	hone_require_script();
	relid = PG_GETARG_OID(0);
	rel = try_relation_open(relid, AccessShareLock);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (rel == NULL)
		PG_RETURN_NULL();
	if (!hone_is_tiered(rel))
	{
		relation_close(rel, AccessShareLock);
		PG_RETURN_NULL();
	}

	memset(&meta, 0, sizeof(meta));
	store = hone_store_open(rel, AccessShareLock);
	if (store != NULL)
	{
		if (!hone_store_read_meta(store, GetActiveSnapshot(), &meta))
			memset(&meta, 0, sizeof(meta));
		dead = hone_tombstones_count(store, GetActiveSnapshot());
		hone_store_close(store);
	}
	values[0] = Int64GetDatum(meta.batches);
	values[1] = Int64GetDatum(meta.rows - dead);
	values[2] = Int64GetDatum(dead);
	values[3] = Int64GetDatum(hone_estimate_plain_rows(rel, GetActiveSnapshot()));
	values[4] = Int64GetDatum(meta.raw_bytes);
	values[5] = Int64GetDatum(meta.stored_bytes);
	values[6] = Int64GetDatum(meta.heap_bytes);
	relation_close(rel, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
