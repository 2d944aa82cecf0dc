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

#include "common/owner.h"
#include "common/procedure.h"
#include "lifecycle/leaving.h"

/* ------------------------------------------------------------------------
 * Statements
 * ------------------------------------------------------------------------
 */

/* Run one statement as the owner of pg_hone's tables; its rows stay in SPI. */
static uint64
run(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	HoneRole	saved;

	hone_become_owner(hone_relation_oid("_tier_leaving"), &saved);
	if (SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0) < 0)
		elog(ERROR, "could not write down a move");
	hone_restore_role(&saved);
	return SPI_processed;
}

static uint64
run_for(const char *sql, Oid partition)
{
	Oid			types[] = {OIDOID};
	Datum		values[1];

	values[0] = ObjectIdGetDatum(partition);
	return run(sql, 1, types, values, NULL);
}

static void
run_for_name(const char *sql, const char *name)
{
	Oid			types[] = {TEXTOID};
	Datum		values[1];

	values[0] = CStringGetTextDatum(name);
	run(sql, 1, types, values, NULL);
}

/* A column of the only row, copied to where the procedure's things are. */
static char *
text_of(int column)
{
	char	   *text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);

	return text ? MemoryContextStrdup(hone_procedure_context(), text) : NULL;
}

static Datum
value_of(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

static int64
integer_of(int column)
{
	bool		isnull;
	Datum		value = value_of(column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
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
	if (run_for("SELECT l.parent, l.policy, l.detaching, l.archive, l.bound, l.range_start, l.range_end,"
				" l.lsn, l.files, a.rows, a.raw_bytes, a.bytes, a.sha256, a.manifest_sha256"
				" FROM hone._tier_leaving l LEFT JOIN hone._archive a ON a.name OPERATOR(pg_catalog.=) l.archive"
				" WHERE l.partition OPERATOR(pg_catalog.=) $1", partition) == 0)
		return;
	leaving->parent = DatumGetObjectId(value_of(1, &isnull));
	leaving->policy = DatumGetObjectId(value_of(2, &isnull));
	leaving->detaching = DatumGetBool(value_of(3, &isnull));
	leaving->archive = text_of(4);
	leaving->origin.bound = text_of(5);
	leaving->origin.range_start = DatumGetTimestampTz(value_of(6, &isnull));
	leaving->origin.range_end = DatumGetTimestampTz(value_of(7, &isnull));
	leaving->origin.ranged = !isnull;
	leaving->mark.lsn = DatumGetLSN(value_of(8, &isnull));
	leaving->mark.files = text_of(9);
	(void) value_of(10, &isnull);
	leaving->written = !isnull && leaving->mark.files != NULL;
	if (!leaving->written)
		return;
	leaving->file.name = leaving->archive;
	leaving->file.rows = integer_of(10);
	leaving->file.raw_bytes = integer_of(11);
	leaving->file.bytes = integer_of(12);
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
	run("INSERT INTO hone._tier_leaving (partition, parent, policy, to_tier, archive, bound, range_start, range_end, lsn,"
		" files, detaching) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (partition) DO UPDATE SET"
		" parent = excluded.parent, policy = excluded.policy, to_tier = excluded.to_tier, archive = excluded.archive,"
		" bound = excluded.bound, range_start = excluded.range_start, range_end = excluded.range_end,"
		" lsn = excluded.lsn, files = excluded.files, detaching = excluded.detaching",
		lengthof(values), types, values, nulls);
}

void
hone_leaving_note_archive(const HoneMove *move, const HoneLeaving *leaving, int64 heap_bytes)
{
	Oid			types[] = {TEXTOID, OIDOID, OIDOID, TEXTOID, OIDOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[16] = {0};
	char		nulls[16];
	const HoneArchiveFile *file = &leaving->file;

	memset(nulls, ' ', sizeof(nulls));
	values[0] = CStringGetTextDatum(file->name);
	values[1] = oid_or_null(leaving->policy, &nulls[1]);
	values[2] = ObjectIdGetDatum(leaving->parent);
	values[3] = text_or_null(hone_qualified_name(leaving->parent), &nulls[3]);
	values[4] = ObjectIdGetDatum(move->partition);
	values[5] = CStringGetTextDatum(hone_qualified_name(move->partition));
	values[6] = text_or_null(leaving->origin.bound, &nulls[6]);
	values[7] = TimestampTzGetDatum(leaving->origin.range_start);
	values[8] = TimestampTzGetDatum(leaving->origin.range_end);
	nulls[7] = nulls[8] = leaving->origin.ranged ? ' ' : 'n';
	values[9] = Int64GetDatum(file->rows);
	values[10] = Int64GetDatum(file->raw_bytes);
	values[11] = Int64GetDatum(file->bytes);
	values[12] = Int64GetDatum(heap_bytes);
	values[13] = CStringGetTextDatum(file->sha256);
	values[14] = CStringGetTextDatum(file->manifest_sha256);
	values[15] = CStringGetTextDatum(GetUserNameFromId(hone_relation_owner(move->partition), false));
	run("INSERT INTO hone._archive (name, policy, parent, parent_name, partition_oid, partition_name, bound,"
		" range_start, range_end, rows, raw_bytes, bytes, heap_bytes, sha256, manifest_sha256, owner)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
		lengthof(values), types, values, nulls);
}

void
hone_leaving_note_dropped(Oid partition, const HoneLeaving *leaving)
{
	run_for("DELETE FROM hone._tier_leaving WHERE partition OPERATOR(pg_catalog.=) $1", partition);
	if (leaving->archive != NULL)
		run_for_name("UPDATE hone._archive SET dropped_at = pg_catalog.clock_timestamp()"
					 " WHERE name OPERATOR(pg_catalog.=) $1", leaving->archive);
}

int64
hone_bytes_when_hot(Oid partition)
{
	if (run_for("SELECT coalesce((SELECT CASE WHEN batches > 0 THEN heap_bytes END FROM hone.tiered_stats($1)),"
				" pg_catalog.pg_total_relation_size($1))", partition) == 0)
		return 0;
	return integer_of(1);
}

/* ------------------------------------------------------------------------
 * What is half-way
 * ------------------------------------------------------------------------
 */

List *
hone_leaving_partitions(void)
{
	List	   *result = NIL;
	MemoryContext old;

	run("SELECT l.partition FROM hone._tier_leaving l JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.partition"
		" LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) l.partition"
		" LEFT JOIN hone._tier_state s ON s.partition OPERATOR(pg_catalog.=) l.partition"
		" WHERE l.detaching AND (NOT c.relispartition OR i.inhdetachpending)"
		" AND (s.retry_at OPERATOR(pg_catalog.<=) pg_catalog.now()) IS NOT FALSE ORDER BY l.since, 1",
		0, NULL, NULL, NULL);
	old = MemoryContextSwitchTo(hone_procedure_context());
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		result = lappend_oid(result,
							 DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
															SPI_tuptable->tupdesc, 1, &isnull)));
	}
	MemoryContextSwitchTo(old);
	return result;
}

bool
hone_leaving_tier(Oid partition, HoneTier *to)
{
	if (run_for("SELECT l.to_tier FROM hone._tier_leaving l"
				" LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) l.partition"
				" WHERE l.partition OPERATOR(pg_catalog.=) $1 AND l.detaching AND coalesce(i.inhdetachpending, true)",
				partition) == 0)
		return false;
	return hone_tier_parse(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1), to);
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
		run_for_name(then, name);
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

	run(query, 0, NULL, NULL, NULL);
	old = MemoryContextSwitchTo(hone_procedure_context());
	for (uint64 i = 0; i < SPI_processed; i++)
		names = lappend(names, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
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
	run("UPDATE hone._archive a SET expired_at = pg_catalog.now() FROM hone._tier_policy p"
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
	run("DELETE FROM hone._tier_leaving l WHERE l.archive IS NULL AND NOT EXISTS"
		" (SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) l.partition)",
		0, NULL, NULL, NULL);
	hone_procedure_commit();

	/* that were written anew since */
	remove_files("SELECT a.name FROM hone._archive a WHERE a.dropped_at IS NULL AND NOT EXISTS"
				 " (SELECT FROM hone._tier_leaving l WHERE l.archive OPERATOR(pg_catalog.=) a.name)",
				 "DELETE FROM hone._archive WHERE name OPERATOR(pg_catalog.=) $1 AND dropped_at IS NULL");
}
