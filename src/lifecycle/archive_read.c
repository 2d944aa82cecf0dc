/*-------------------------------------------------------------------------
 *
 * archive_read.c
 *	  Archives of partitions: verified, loaded (see archive_file.h).
 *
 * A load first compares the checksum of the compressed file: nothing is inserted
 * before it is, byte for byte, the file that was read back when it was written.
 * While it is loaded the same bytes are summed once more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/copy.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_node.h"
#include "parser/parse_relation.h"
#include "storage/ipc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "lifecycle/archive_file.h"
#include "lifecycle/archive_stream.h"
#include "lifecycle/archive_text.h"

#define PIECE	(128 * 1024)

typedef enum ReadAim
{
	READ_MANIFEST,
	READ_ALL,
	READ_AND_LOAD
} ReadAim;

typedef struct ReadJob
{
	ReadAim		aim;
	HoneArchiveCopy copy;
	HoneArchiveManifest *manifest;
	const HoneArchiveFile *expected;
	Relation	into;
	bool		freeze;
	int64		rows;
} ReadJob;

/* Of the COPY in hand: its callback has no argument. */
static HoneArchiveReader *loading = NULL;
static int64 loading_limit;

/* ------------------------------------------------------------------------
 * Comparing
 * ------------------------------------------------------------------------
 */

static void
refuse(const char *path, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("archive file \"%s\" is not what was written: %s", path, what)));
}

/* The manifest, and what was noted elsewhere when it was written. */
static void
compare_manifest(ReadJob *job)
{
	const HoneArchiveFile *expected = job->expected;
	const HoneArchiveFile *found = &job->manifest->file;

	if (expected == NULL)
		return;
	if (strcmp(expected->manifest_sha256, found->manifest_sha256) != 0 ||
		strcmp(expected->sha256, found->sha256) != 0 ||
		expected->rows != found->rows || expected->bytes != found->bytes)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("archive manifest \"%s\" is not the one that was written",
						job->copy.shown_manifest)));
}

static void
compare_file(ReadJob *job, const HoneArchiveSums *sums)
{
	const HoneArchiveFile *file = &job->manifest->file;
	const char *path = job->copy.shown_file;

	if (sums->bytes != file->bytes)
		refuse(path, "its size is another");
	if (strcmp(sums->sha256, file->sha256) != 0)
		refuse(path, "its checksum is another");
}

static void
compare_text(ReadJob *job, const HoneArchiveSums *sums)
{
	const HoneArchiveFile *file = &job->manifest->file;
	const char *path = job->copy.shown_file;

	if (sums->raw_bytes != file->raw_bytes ||
		strcmp(sums->text_sha256, file->text_sha256) != 0)
		refuse(path, "its text is another");
	if (sums->lines != file->rows)
		refuse(path, "it has another number of rows");
}

static void
read_through(ReadJob *job)
{
	HoneArchiveReader *reader = hone_archive_reader_open(job->copy.file,
														 job->copy.shown_file, true);
	HoneArchiveSums sums;
	char	   *text = palloc(PIECE);

	while (hone_archive_reader_get(reader, text, PIECE, job->manifest->file.raw_bytes) > 0)
		CHECK_FOR_INTERRUPTS();
	hone_archive_reader_close(reader, &sums);
	pfree(text);
	compare_file(job, &sums);
	compare_text(job, &sums);
}

/* ------------------------------------------------------------------------
 * Loading
 * ------------------------------------------------------------------------
 */

static HoneArchiveColumn *
find_column(HoneArchiveColumn *columns, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (strcmp(columns[i].name, name) == 0)
			return &columns[i];
	return NULL;
}

static void
refuse_column(ReadJob *job, const char *column, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("archive \"%s\" does not fit table \"%s\": column \"%s\" %s",
					job->copy.name, RelationGetRelationName(job->into), column, why)));
}

static void
compare_columns(ReadJob *job)
{
	const HoneArchiveManifest *manifest = job->manifest;
	int			count;
	HoneArchiveColumn *columns = hone_archive_columns(job->into, &count);

	for (int i = 0; i < manifest->column_count; i++)
	{
		const HoneArchiveColumn *wanted = &manifest->columns[i];
		const HoneArchiveColumn *found = find_column(columns, count, wanted->name);

		if (found == NULL)
			refuse_column(job, wanted->name, "is missing there");
		else if (strcmp(found->type, wanted->type) != 0)
			refuse_column(job, wanted->name,
						  psprintf("is of type %s there, %s in the archive",
								   found->type, wanted->type));
	}
	for (int i = 0; i < count; i++)
		if (find_column(manifest->columns, manifest->column_count, columns[i].name) == NULL)
			refuse_column(job, columns[i].name, "is not in the archive");
}

static int
give_text(void *buffer, int least, int most)
{
	int			given = 0;

	while (given < least)
	{
		Size		size = hone_archive_reader_get(loading, (char *) buffer + given,
												   most - given, loading_limit);

		if (size == 0)
			break;
		given += size;
	}
	return given;
}

/* What COPY asks of FREEZE. */
static bool
can_freeze(Relation rel)
{
	if (rel->rd_createSubid != GetCurrentSubTransactionId())
		return false;
	InvalidateCatalogSnapshot();
	return ThereAreNoPriorRegisteredSnapshots() && ThereAreNoReadyPortals();
}

static List *
copy_options(ReadJob *job)
{
	List	   *options;

	options = list_make2(makeDefElem("format", (Node *) makeString("text"), -1),
						 makeDefElem("encoding", (Node *) makeString(job->manifest->encoding), -1));
	if (job->freeze && can_freeze(job->into))
		options = lappend(options, makeDefElem("freeze", (Node *) makeBoolean(true), -1));
	return options;
}

static void
copy_rows(ReadJob *job)
{
	const HoneArchiveManifest *manifest = job->manifest;
	ParseState *state = make_parsestate(NULL);
	List	   *columns = NIL;
	CopyFromState copy;

	for (int i = 0; i < manifest->column_count; i++)
		columns = lappend(columns, makeString(manifest->columns[i].name));
	(void) addRangeTableEntryForRelation(state, job->into, RowExclusiveLock, NULL,
										 false, false);
	copy = BeginCopyFrom(state, job->into, NULL, NULL, false, give_text, columns,
						 copy_options(job));
	job->rows = CopyFrom(copy);
	EndCopyFrom(copy);
	free_parsestate(state);
}

static void
load(ReadJob *job)
{
	HoneArchiveSums sums;
	bool		snapshot = !ActiveSnapshotSet();
	char		rest;

	hone_archive_sum_file(job->copy.file, job->copy.shown_file, &sums);
	compare_file(job, &sums);

	if (loading != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("another archive is being loaded in this session")));
	if (snapshot)
		PushActiveSnapshot(GetTransactionSnapshot());
	PG_TRY();
	{
		loading_limit = job->manifest->file.raw_bytes;
		loading = hone_archive_reader_open(job->copy.file, job->copy.shown_file, false);
		copy_rows(job);
		if (hone_archive_reader_get(loading, &rest, 1, loading_limit) != 0)
			refuse(job->copy.shown_file, "COPY took only a part of it");
		hone_archive_reader_close(loading, &sums);
	}
	PG_FINALLY();
	{
		loading = NULL;
	}
	PG_END_TRY();
	compare_file(job, &sums);
	if (job->rows != job->manifest->file.rows)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("archive file \"%s\" has " INT64_FORMAT " rows, but " INT64_FORMAT " were loaded into \"%s\"",
						job->copy.shown_file, job->manifest->file.rows, job->rows,
						RelationGetRelationName(job->into)),
				 errhint("The table to load into must have no trigger that leaves rows out.")));
	if (snapshot)
		PopActiveSnapshot();
}

/* ------------------------------------------------------------------------
 * With the copy at hand
 * ------------------------------------------------------------------------
 */

static void
do_job(ReadJob *job, const char *name)
{
	int			settings = hone_archive_pin_settings(HONE_ARCHIVE_MONETARY);

	hone_archive_copy_fetch(&job->copy, name);
	hone_archive_manifest_read(job->copy.manifest, job->copy.shown_manifest, name, job->manifest);
	compare_manifest(job);
	if (job->aim == READ_AND_LOAD)
		compare_columns(job);
	if (job->aim == READ_ALL)
		read_through(job);
	AtEOXact_GUC(false, settings);
	if (job->aim == READ_AND_LOAD)
	{
		settings = hone_archive_pin_settings(job->manifest->lc_monetary);
		load(job);
		AtEOXact_GUC(false, settings);
	}
	hone_archive_copy_release(&job->copy);
}

static void
abandon(int code, Datum arg)
{
	ReadJob    *job = (ReadJob *) DatumGetPointer(arg);

	hone_archive_copy_abandon(&job->copy);
}

static void
read_archive(ReadJob *job, const char *name)
{
	hone_archive_require_source();
	PG_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(job));
	{
		do_job(job, name);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(job));
}

void
hone_archive_verify(const char *name, const HoneArchiveFile *expected)
{
	HoneArchiveManifest manifest;
	ReadJob		job = {.aim = READ_ALL,.manifest = &manifest,.expected = expected};

	read_archive(&job, name);
}

void
hone_archive_read_manifest(const char *name, HoneArchiveManifest *manifest)
{
	ReadJob		job = {.aim = READ_MANIFEST,.manifest = manifest};

	read_archive(&job, name);
}

int64
hone_archive_load(const char *name, Relation into,
				  const HoneArchiveFile *expected, bool freeze)
{
	HoneArchiveManifest manifest;
	ReadJob		job = {.aim = READ_AND_LOAD,.manifest = &manifest,.expected = expected,
	.into = into,.freeze = freeze};

	read_archive(&job, name);
	return job.rows;
}
