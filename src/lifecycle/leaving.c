/*-------------------------------------------------------------------------
 *
 * leaving.c
 *	  What is written down of partitions that leave (see leaving.h).
 *
 * hone._tier_leaving has the partitions, with the name of the archive in hand
 * from before its first byte. hone._archive has the archives that are complete:
 * they count (dropped_at) from the transaction on that drops the partition.
 * One that does not count, and that no partition names, is of no use: its file
 * is removed before its row, so that a crash leaves no file that nobody knows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#include "common/own_tables.h"
#include "common/owner.h"
#include "common/procedure.h"
#include "lifecycle/leaving.h"

/* A column of the only row, copied to where the procedure's things are. */
static char *
text_of(int column)
{
	char	   *text = hone_result_text(0, column);

	return text ? MemoryContextStrdup(hone_procedure_context(), text) : NULL;
}

static Datum
text_or_null(const char *text, char *isnull)
{
	*isnull = text ? ' ' : 'n';
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

static Datum
oid_or_null(Oid oid, char *isnull)
{
	*isnull = OidIsValid(oid) ? ' ' : 'n';
	return ObjectIdGetDatum(oid);
}

/* ------------------------------------------------------------------------
 * One partition
 * ------------------------------------------------------------------------
 */

void
hone_leaving_read(Oid partition, HoneLeaving *leaving)
{
	bool		isnull;

	memset(leaving, 0, sizeof(*leaving));
	if (hone_own_run_oid("SELECT l.parent, l.policy, l.detaching, l.archive, l.bound, l.range_start, l.range_end,"
						 " l.lsn, l.files, a.rows, a.raw_bytes, a.bytes, a.sha256, a.manifest_sha256"
						 " FROM hone._tier_leaving l LEFT JOIN hone._archive a ON a.name OPERATOR(pg_catalog.=) l.archive"
						 " WHERE l.partition OPERATOR(pg_catalog.=) $1", partition) == 0)
		return;
	leaving->parent = hone_result_oid(0, 1);
	leaving->policy = hone_result_oid(0, 2);
	leaving->detaching = DatumGetBool(hone_result_value(0, 3, &isnull));
	leaving->archive = text_of(4);
	leaving->origin.bound = text_of(5);
	leaving->origin.range_start = DatumGetTimestampTz(hone_result_value(0, 6, &isnull));
	leaving->origin.range_end = DatumGetTimestampTz(hone_result_value(0, 7, &isnull));
	leaving->origin.ranged = !isnull;
	leaving->mark.lsn = DatumGetLSN(hone_result_value(0, 8, &isnull));
	leaving->mark.files = text_of(9);
	(void) hone_result_value(0, 10, &isnull);
	leaving->written = !isnull && leaving->mark.files != NULL;
	if (!leaving->written)
		return;
	leaving->file.name = leaving->archive;
	leaving->file.rows = hone_result_integer(0, 10);
	leaving->file.raw_bytes = hone_result_integer(0, 11);
	leaving->file.bytes = hone_result_integer(0, 12);
	strlcpy(leaving->file.sha256, text_of(13), sizeof(leaving->file.sha256));
	strlcpy(leaving->file.manifest_sha256, text_of(14), sizeof(leaving->file.manifest_sha256));
}

void
hone_leaving_note(const HoneMove *move, const HoneLeaving *leaving)
{
	Oid			types[] = {OIDOID, OIDOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	PG_LSNOID, TEXTOID, BOOLOID};
	Datum		values[11] = {0};
	char		nulls[11];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = ObjectIdGetDatum(move->partition);
	values[1] = ObjectIdGetDatum(leaving->parent);
	values[2] = oid_or_null(leaving->policy, &nulls[2]);
	values[3] = CStringGetTextDatum(hone_tier_name(move->to));
	values[4] = text_or_null(leaving->archive, &nulls[4]);
	values[5] = text_or_null(leaving->origin.bound, &nulls[5]);
	values[6] = TimestampTzGetDatum(leaving->origin.range_start);
	values[7] = TimestampTzGetDatum(leaving->origin.range_end);
	nulls[6] = nulls[7] = leaving->origin.ranged ? ' ' : 'n';
	values[8] = LSNGetDatum(leaving->mark.lsn);
	nulls[8] = leaving->written ? ' ' : 'n';
	values[9] = text_or_null(leaving->written ? leaving->mark.files : NULL, &nulls[9]);
	values[10] = BoolGetDatum(leaving->detaching);
	hone_own_run("INSERT INTO hone._tier_leaving (partition, parent, policy, to_tier, archive, bound, range_start, range_end, lsn,"
				 " files, detaching) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (partition) DO UPDATE SET"
				 " parent = excluded.parent, policy = excluded.policy, to_tier = excluded.to_tier, archive = excluded.archive,"
				 " bound = excluded.bound, range_start = excluded.range_start, range_end = excluded.range_end,"
				 " lsn = excluded.lsn, files = excluded.files, detaching = excluded.detaching",
				 lengthof(values), types, values, nulls);
}

/* What a table took hot, with indexes: as it is now, or as tiered/ remembers. */
static int64
bytes_when_hot(Oid partition)
{
	if (hone_own_run_oid("SELECT coalesce((SELECT CASE WHEN batches > 0 THEN heap_bytes END FROM hone.tiered_stats($1)),"
						 " pg_catalog.pg_total_relation_size($1))", partition) == 0)
		return 0;
	return hone_result_integer(0, 1);
}

void
hone_leaving_note_archive(const HoneMove *move, const HoneLeaving *leaving)
{
	Oid			types[] = {TEXTOID, OIDOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[15] = {0};
	char		nulls[15];
	const HoneArchiveFile *file = &leaving->file;

	memset(nulls, ' ', sizeof(nulls));
	values[0] = CStringGetTextDatum(file->name);
	values[1] = oid_or_null(leaving->policy, &nulls[1]);
	values[2] = ObjectIdGetDatum(leaving->parent);
	values[3] = text_or_null(hone_qualified_name(leaving->parent), &nulls[3]);
	values[4] = CStringGetTextDatum(hone_qualified_name(move->partition));
	values[5] = text_or_null(leaving->origin.bound, &nulls[5]);
	values[6] = TimestampTzGetDatum(leaving->origin.range_start);
	values[7] = TimestampTzGetDatum(leaving->origin.range_end);
	nulls[6] = nulls[7] = leaving->origin.ranged ? ' ' : 'n';
	values[8] = Int64GetDatum(file->rows);
	values[9] = Int64GetDatum(file->raw_bytes);
	values[10] = Int64GetDatum(file->bytes);
	values[11] = Int64GetDatum(bytes_when_hot(move->partition));
	values[12] = CStringGetTextDatum(file->sha256);
	values[13] = CStringGetTextDatum(file->manifest_sha256);
	values[14] = CStringGetTextDatum(GetUserNameFromId(hone_relation_owner(move->partition), false));
	hone_own_run("INSERT INTO hone._archive (name, policy, parent, parent_name, partition_name, bound,"
				 " range_start, range_end, rows, raw_bytes, bytes, heap_bytes, sha256, manifest_sha256, owner)"
				 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
				 lengthof(values), types, values, nulls);
}

void
hone_leaving_note_dropped(Oid partition, const HoneLeaving *leaving)
{
	hone_own_run_oid("DELETE FROM hone._tier_leaving WHERE partition OPERATOR(pg_catalog.=) $1", partition);
	if (leaving->archive != NULL)
		hone_own_run_text("UPDATE hone._archive SET dropped_at = pg_catalog.clock_timestamp()"
						  " WHERE name OPERATOR(pg_catalog.=) $1", leaving->archive);
}

bool
hone_leaving_tier(Oid partition, HoneTier *to)
{
	return hone_own_run_oid("SELECT to_tier FROM hone._tier_detached WHERE partition OPERATOR(pg_catalog.=) $1",
							partition) > 0 &&
		hone_tier_parse(hone_result_text(0, 1), to);
}

/* ------------------------------------------------------------------------
 * What is of no use any more
 * ------------------------------------------------------------------------
 */

static void
remove_file(const char *name, const char *then)
{
	PG_TRY();
	{
		hone_archive_remove(name);
		hone_own_run_text(then, name);
		hone_procedure_commit();
	}
	PG_CATCH();
	{
		hone_procedure_report("could not remove an archive");
	}
	PG_END_TRY();
}

/* Remove the files that a query names, and then run a statement for each. */
static void
remove_files(const char *query, const char *then)
{
	List	   *names = NIL;
	MemoryContext old;
	ListCell   *lc;

	hone_own_run(query, 0, NULL, NULL, NULL);
	old = MemoryContextSwitchTo(hone_procedure_context());
	for (uint64 i = 0; i < SPI_processed; i++)
		names = lappend(names, hone_result_text(i, 1));
	MemoryContextSwitchTo(old);
	hone_procedure_commit();
	foreach(lc, names)
	{
		CHECK_FOR_INTERRUPTS();
		remove_file(lfirst(lc), then);
	}
}

void
hone_expire_archives(void)
{
	hone_own_run("UPDATE hone._archive a SET expired_at = pg_catalog.now() FROM hone._tier_policy p"
				 " WHERE p.parent OPERATOR(pg_catalog.=) a.policy AND a.expired_at IS NULL AND a.dropped_at IS NOT NULL"
				 " AND hone._tier_due_at(a.range_end, p.drop_after) OPERATOR(pg_catalog.<=) pg_catalog.now()",
				 0, NULL, NULL, NULL);
	hone_procedure_commit();
	remove_files("SELECT a.name FROM hone._archive a WHERE a.expired_at IS NOT NULL AND a.removed_at IS NULL",
				 "UPDATE hone._archive SET removed_at = pg_catalog.now() WHERE name OPERATOR(pg_catalog.=) $1");

	/* of partitions that somebody else dropped */
	remove_files("SELECT l.archive FROM hone._tier_leaving l WHERE l.archive IS NOT NULL AND NOT EXISTS"
				 " (SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) l.partition)",
				 "UPDATE hone._tier_leaving SET archive = NULL WHERE archive OPERATOR(pg_catalog.=) $1");
	hone_own_run("DELETE FROM hone._tier_leaving l WHERE l.archive IS NULL AND NOT EXISTS"
				 " (SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) l.partition)",
				 0, NULL, NULL, NULL);
	hone_procedure_commit();

	/* that were written anew since */
	remove_files("SELECT a.name FROM hone._archive a WHERE a.dropped_at IS NULL AND NOT EXISTS"
				 " (SELECT FROM hone._tier_leaving l WHERE l.archive OPERATOR(pg_catalog.=) a.name)",
				 "DELETE FROM hone._archive WHERE name OPERATOR(pg_catalog.=) $1 AND dropped_at IS NULL");
}
