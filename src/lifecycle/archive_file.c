/*-------------------------------------------------------------------------
 *
 * archive_file.c
 *	  Archives of partitions: written, verified.
 *
 * A file gets its final name only when it is complete and on disk, the
 * manifest before the file. Then it is opened anew under that name, or fetched
 * by hone.restore_command, and read to its end: only what was read back counts
 * as written.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <unistd.h>

#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/pg_class.h"
#include "catalog/partition.h"
#include "commands/dbcommands.h"
#include "common/file_perm.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "lifecycle/archive_file.h"
#include "lifecycle/archive_text.h"
#include "lifecycle/bounds.h"

/* Text is compressed in such pieces, and progress reported. */
#define PIECE			(64 * 1024)
#define PROGRESS_BYTES	(256 * 1024)

/* A buffer that a wide row made larger than this is not kept. */
#define KEPT_BUFFER		(1024 * 1024)

/* Sub-id of a relation's lock, used by nothing else. */
#define WRITER_LOCK_SUBID	0x4841

typedef struct WriteJob
{
	Relation	rel;
	Snapshot	snapshot;
	HoneArchiveProgress progress;
	void	   *arg;
	HoneArchiveManifest manifest;
	HoneArchiveCopy copy;
} WriteJob;

/* ------------------------------------------------------------------------
 * Where it hung
 * ------------------------------------------------------------------------
 */

static char *
bound_text(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		isnull = true;
	Datum		bound = (Datum) 0;
	char	   *string = NULL;

	if (!HeapTupleIsValid(tuple))
	{
		hone_report_missing(relid);
		return NULL;
	}
	if (((Form_pg_class) GETSTRUCT(tuple))->relispartition)
		bound = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relpartbound, &isnull);
	if (!isnull)
		string = TextDatumGetCString(DirectFunctionCall2(pg_get_expr, bound,
														 ObjectIdGetDatum(relid)));
	ReleaseSysCache(tuple);
	return string;
}

void
hone_archive_origin(Oid relid, Oid parent, const char *epoch,
					HoneArchiveOrigin *origin)
{
	int			level = hone_archive_pin_settings(HONE_ARCHIVE_MONETARY);
	HoneTimeRange range;

	memset(origin, 0, sizeof(*origin));
	origin->bound = bound_text(relid);
	if (origin->bound != NULL)
		origin->parent = hone_qualified_name(get_partition_parent(relid, true));
	if (hone_partition_range(relid, parent, epoch, &range) && range.bounded)
	{
		origin->ranged = true;
		origin->range_start = range.start;
		origin->range_end = range.end;
	}
	AtEOXact_GUC(false, level);
}

void
hone_archive_check_level(int level)
{
	if (level < 1 || level > HONE_ARCHIVE_MAX_LEVEL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("compression level %d is outside of 1 to %d", level,
						HONE_ARCHIVE_MAX_LEVEL)));
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------
 */

static void
lock_writer(Oid relid)
{
	LOCKTAG		tag;

	SET_LOCKTAG_OBJECT(tag, MyDatabaseId, RelationRelationId, relid, WRITER_LOCK_SUBID);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("\"%s\" is being archived by another session",
						hone_require_relation(relid))));
}

static void
put_text(HoneArchiveWriter *writer, StringInfo text)
{
	if (text->len > 0)
		hone_archive_writer_put(writer, text->data, text->len);
	if (text->maxlen > KEPT_BUFFER)
	{
		pfree(text->data);
		initStringInfo(text);
	}
	else
		resetStringInfo(text);
}

/*
 * All rows in the order in which they lie.
 */
static void
write_rows(WriteJob *job, HoneArchiveWriter *writer)
{
	HoneArchiveFile *file = &job->manifest.file;
	TupleTableSlot *slot = table_slot_create(job->rel, NULL);
	HoneArchiveText *rows = hone_archive_text_begin(RelationGetDescr(job->rel));
	TableScanDesc scan = table_beginscan_strat(job->rel, job->snapshot, 0, NULL,
											   true, false);
	StringInfoData text;
	int64		rows_reported = 0;
	int64		raw_bytes = 0;	/* since the last report */

	initStringInfo(&text);
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		hone_archive_text_row(rows, slot, &text);
		file->rows++;
		if (text.len < PIECE)
			continue;
		raw_bytes += text.len;
		put_text(writer, &text);
		if (job->progress && raw_bytes >= PROGRESS_BYTES)
		{
			job->progress(file->rows - rows_reported, raw_bytes, job->arg);
			rows_reported = file->rows;
			raw_bytes = 0;
		}
	}
	raw_bytes += text.len;
	put_text(writer, &text);
	table_endscan(scan);
	hone_archive_text_end(rows);
	ExecDropSingleTupleTableSlot(slot);
	pfree(text.data);
	if (job->progress)
		job->progress(file->rows - rows_reported, raw_bytes, job->arg);
}

static void
write_file(WriteJob *job)
{
	HoneArchiveFile *file = &job->manifest.file;
	HoneArchiveWriter *writer = hone_archive_writer_open(job->copy.new_file, file->level);
	HoneArchiveSums sums;

	write_rows(job, writer);
	hone_archive_writer_close(writer, &sums);
	file->raw_bytes = sums.raw_bytes;
	file->bytes = sums.bytes;
	memcpy(file->sha256, sums.sha256, sizeof(file->sha256));
	memcpy(file->text_sha256, sums.text_sha256, sizeof(file->text_sha256));
}

static void
write_manifest(WriteJob *job)
{
	const char *path = job->copy.new_manifest;
	StringInfoData json;
	int			fd;

	initStringInfo(&json);
	hone_archive_manifest_print(&job->manifest, &json);
	fd = OpenTransientFilePerm(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | PG_BINARY,
							   pg_file_create_mode);
	if (fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", path)));
	errno = 0;
	if (write(fd, json.data, json.len) != json.len)
	{
		if (errno == 0)
			errno = ENOSPC;
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not write to file \"%s\": %m", path)));
	}
	if (pg_fsync(fd) != 0 || CloseTransientFile(fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not fsync file \"%s\": %m", path)));
	pfree(json.data);
}

static void
describe(WriteJob *job, const HoneArchiveOrigin *origin, int level)
{
	HoneArchiveManifest *manifest = &job->manifest;

	manifest->origin = *origin;
	manifest->pg_hone = pstrdup(hone_library_version());
	manifest->postgresql = pstrdup(hone_compat_server_version());
	manifest->encoding = pstrdup(GetDatabaseEncodingName());
	manifest->lc_monetary = pstrdup(HONE_ARCHIVE_MONETARY);
	manifest->database = get_database_name(MyDatabaseId);
	manifest->schema = get_namespace_name(RelationGetNamespace(job->rel));
	manifest->table = pstrdup(RelationGetRelationName(job->rel));
	manifest->columns = hone_archive_columns(job->rel, &manifest->column_count);
	manifest->file.level = level;
	manifest->file.created_at = GetCurrentTimestamp();
}

static void
abandon(int code, Datum arg)
{
	WriteJob   *job = (WriteJob *) DatumGetPointer(arg);

	hone_archive_copy_abandon(&job->copy);
}

static void
write_and_verify(WriteJob *job)
{
	HoneArchiveFile *file = &job->manifest.file;

	hone_archive_copy_prepare(&job->copy, file->name);
	write_file(job);
	write_manifest(job);
	hone_archive_copy_publish(&job->copy);
	hone_archive_verify(file->name, file);
}

void
hone_archive_write(Relation rel, Snapshot snapshot,
				   const HoneArchiveOrigin *origin, int level,
				   HoneArchiveProgress progress, void *arg,
				   HoneArchiveFile *file)
{
	WriteJob   *job = palloc0(sizeof(WriteJob));
	int			settings;

	hone_archive_require_target();
	hone_archive_check_level(level);
	lock_writer(RelationGetRelid(rel));
	settings = hone_archive_pin_settings(HONE_ARCHIVE_MONETARY);
	job->rel = rel;
	job->snapshot = snapshot;
	job->progress = progress;
	job->arg = arg;
	describe(job, origin, level);
	job->manifest.file.name = file->name ? pstrdup(file->name) :
		hone_archive_new_name(job->manifest.schema, job->manifest.table,
							  RelationGetRelid(rel), origin);

	/* a process that is told to end passes no PG_CATCH */
	PG_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(job));
	{
		write_and_verify(job);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(job));
	AtEOXact_GUC(false, settings);
	*file = job->manifest.file;
	pfree(job);
}
