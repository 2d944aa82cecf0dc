/*-------------------------------------------------------------------------
 *
 * restore.c
 *	  An archive becomes a partition again.
 *
 * In one transaction: a table like the parent, the rows of the archive, which
 * is verified before the first of them is stored, and ATTACH, which builds the
 * indexes. The policy leaves what was restored where it is (held), or it would
 * go into an archive again at once.
 *
 * Where the parent has got columns since, rows go through a table with those
 * of the archive; where it is gone, that table is what is restored.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "common/own_tables.h"
#include "common/owner.h"
#include "lifecycle/archive_file.h"

PG_FUNCTION_INFO_V1(hone_restore_archive);

/* What hone._archive has of it. */
typedef struct Archive
{
	char	   *name;
	Oid			parent;			/* InvalidOid: gone */
	char	   *parent_name;
	char	   *bound;			/* NULL: it hung nowhere */
	Oid			owner;			/* of the partition; InvalidOid: gone */
	HoneArchiveFile file;
} Archive;

/*
 * One that hone.archives does not have (any more), as after DROP EXTENSION: its
 * manifest says where it hung. Nobody else noted what it should be.
 */
static void
read_unlisted(Archive *archive)
{
	HoneArchiveManifest manifest;
	Oid			types[] = {TEXTOID};
	Datum		values[1];

	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("archive \"%s\" does not exist", archive->name),
				 errhint("The view hone.archives has the names.")));
	hone_archive_read_manifest(archive->name, &manifest);
	archive->file = manifest.file;
	archive->file.name = archive->name;
	archive->bound = manifest.origin.bound;
	values[0] = CStringGetTextDatum(manifest.origin.parent ? manifest.origin.parent : "");
	if (SPI_execute_with_args("SELECT c.oid FROM pg_catalog.pg_class c"
							  " WHERE c.oid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(nullif($1, ''))::oid"
							  " AND c.relkind OPERATOR(pg_catalog.=) 'p'",
							  1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for a table");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("archive \"%s\" is not one of hone.archives, and its table %s does not exist",
						archive->name, manifest.origin.parent ? manifest.origin.parent : ""),
				 errhint("Make the table first, or load the file with zstd and psql as its manifest says.")));
	archive->parent = hone_result_oid(0, 1);
}

static void
read_archive(char *name, Archive *archive)
{
	memset(archive, 0, sizeof(*archive));
	archive->name = name;
	if (hone_own_run_text("SELECT c.oid, a.parent_name, a.bound, a.rows, a.raw_bytes, a.bytes, a.sha256,"
						  " a.manifest_sha256, a.restored_at, a.expired_at, r.oid"
						  " FROM hone._archive a LEFT JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) a.parent"
						  "  AND c.relkind OPERATOR(pg_catalog.=) 'p'"
						  " LEFT JOIN pg_catalog.pg_roles r ON r.rolname OPERATOR(pg_catalog.=) a.owner"
						  " WHERE a.name OPERATOR(pg_catalog.=) $1 AND a.dropped_at IS NOT NULL FOR UPDATE OF a", name) == 0)
	{
		read_unlisted(archive);
		return;
	}
	if (hone_result_text(0, 9) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("archive \"%s\" was restored at %s", name, hone_result_text(0, 9)),
				 errhint("Its rows are in the table again.")));
	if (hone_result_text(0, 10) != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("archive \"%s\" expired at %s", name, hone_result_text(0, 10)),
				 errhint("drop_after of its tier policy had passed, and it was removed.")));
	archive->parent = hone_result_oid(0, 1);
	archive->parent_name = hone_result_text(0, 2);
	archive->bound = hone_result_text(0, 3);
	archive->owner = hone_result_oid(0, 11);
	archive->file.name = name;
	archive->file.rows = hone_result_integer(0, 4);
	archive->file.raw_bytes = hone_result_integer(0, 5);
	archive->file.bytes = hone_result_integer(0, 6);
	strlcpy(archive->file.sha256, hone_result_text(0, 7), sizeof(archive->file.sha256));
	strlcpy(archive->file.manifest_sha256, hone_result_text(0, 8), sizeof(archive->file.manifest_sha256));
}

static void
run(char *command)
{
	int			result = SPI_execute(command, false, 0);

	if (result < 0)
		elog(ERROR, "could not restore an archive: SPI result %d", result);
}

/* Is the relation without a column of that name, or has it one it generates? */
static bool
lacks_column(Relation rel, const char *name)
{
	AttrNumber	attnum = get_attnum(RelationGetRelid(rel), name);

	return attnum <= 0 || TupleDescAttr(RelationGetDescr(rel), attnum - 1)->attgenerated != '\0';
}

/* Has the parent the archive's columns? Those that it has beside them: *more. */
static void
compare_columns(const HoneArchiveManifest *manifest, Oid parent, bool *more)
{
	Relation	rel = table_open(parent, AccessShareLock);
	TupleDesc	desc = RelationGetDescr(rel);
	int			own = 0;

	for (int i = 0; i < manifest->column_count; i++)
	{
		if (lacks_column(rel, manifest->columns[i].name))
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of the archive is not in table \"%s\" any more",
							manifest->columns[i].name, RelationGetRelationName(rel)),
					 errhint("Add it to the table, or load the file into another one: the README says how.")));
	}
	for (int i = 0; i < desc->natts; i++)
		own += !TupleDescAttr(desc, i)->attisdropped && TupleDescAttr(desc, i)->attgenerated == '\0';
	*more = own > manifest->column_count;
	table_close(rel, NoLock);
}

static void
load(const Archive *archive, char *schema, char *table)
{
	Oid			relid = RangeVarGetRelid(makeRangeVar(schema, table, -1), AccessExclusiveLock, false);
	Relation	rel = table_open(relid, NoLock);

	(void) hone_archive_load(archive->name, rel, &archive->file, false);
	table_close(rel, NoLock);
}

static char *
column_names(const HoneArchiveManifest *manifest)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < manifest->column_count; i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", quote_identifier(manifest->columns[i].name));
	return names.data;
}

/* A table with the archive's columns. */
static void
create_as_archived(const HoneArchiveManifest *manifest, const char *name)
{
	run(psprintf("CREATE TABLE %s (%s) USING heap", name, hone_archive_column_list(manifest)));
}

/* A name in the schema that is free. */
static char *
staging_table(const HoneArchiveManifest *manifest)
{
	Oid			schema = get_namespace_oid(manifest->schema, false);

	for (int i = 1;; i++)
	{
		char	   *name = psprintf("hone_restore_%d", i);

		if (!OidIsValid(get_relname_relid(name, schema)))
			return name;
	}
}

static void
restore_partition(const Archive *archive, const HoneArchiveManifest *manifest, const char *name)
{
	char	   *parent = hone_qualified_name(archive->parent);
	char	   *names = column_names(manifest);
	bool		more;

	compare_columns(manifest, archive->parent, &more);
	run(psprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL EXCLUDING IDENTITY EXCLUDING INDEXES) USING heap",
				 name, parent));
	if (more)
	{
		char	   *staging = staging_table(manifest);
		char	   *staging_name = quote_qualified_identifier(manifest->schema, staging);

		create_as_archived(manifest, staging_name);
		load(archive, manifest->schema, staging);
		run(psprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s",
					 name, names, names, staging_name));
		run(psprintf("DROP TABLE %s", staging_name));
	}
	else
		load(archive, manifest->schema, manifest->table);
	if (archive->bound)
		run(psprintf("ALTER TABLE %s ATTACH PARTITION %s %s", parent, name, archive->bound));
}

/* It counts as restored, and the policy leaves it alone. */
static void
note_restored(const Archive *archive, Oid relid)
{
	Oid			types[] = {TEXTOID, OIDOID};
	Datum		values[2];

	values[0] = CStringGetTextDatum(archive->name);
	values[1] = ObjectIdGetDatum(relid);
	hone_own_run("UPDATE hone._archive SET restored_at = pg_catalog.now()"
				 " WHERE name OPERATOR(pg_catalog.=) $1", 1, types, values, NULL);
	hone_own_run("INSERT INTO hone._tier_state (partition, held) VALUES ($2, true)"
				 " ON CONFLICT (partition) DO UPDATE SET held = true, tier = NULL", 2, types, values, NULL);
}

/*
 * Into shared buffers, by pg_prewarm; its indexes last, so that they stay. With
 * all arguments, for which no other function can stand.
 */
static void
prewarm(Oid relid)
{
	Oid			types[] = {OIDOID};
	Datum		values[1];
	char	   *function;

	if (SPI_execute("SELECT pg_catalog.quote_ident(n.nspname) FROM pg_catalog.pg_extension e"
					" JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) e.extnamespace"
					" WHERE e.extname OPERATOR(pg_catalog.=) 'pg_prewarm'", true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look for pg_prewarm");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("extension pg_prewarm is not installed"),
				 errhint("CREATE EXTENSION pg_prewarm, or restore without prewarm => true.")));
	function = hone_result_text(0, 1);
	values[0] = ObjectIdGetDatum(relid);
	if (SPI_execute_with_args(psprintf("SELECT %s.pg_prewarm(x.relation::pg_catalog.regclass, 'buffer'::pg_catalog.text,"
									   " 'main'::pg_catalog.text, NULL::bigint, NULL::bigint) FROM"
									   " (SELECT $1 AS relation, 0 AS n UNION ALL"
									   "  SELECT i.indexrelid, 1 FROM pg_catalog.pg_index i WHERE i.indrelid OPERATOR(pg_catalog.=) $1"
									   "  ORDER BY 2) x", function),
							  1, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not prewarm");
}

/*
 * hone.restore_archive(name, prewarm)
 */
Datum
hone_restore_archive(PG_FUNCTION_ARGS)
{
	HoneArchiveManifest manifest;
	Archive		archive;
	HoneRole	saved;
	char	   *name;
	Oid			relid;

	hone_require_script();
	SPI_connect();
	read_archive(text_to_cstring(PG_GETARG_TEXT_PP(0)), &archive);
	if (OidIsValid(archive.parent))
		hone_require_owner(archive.parent, GetUserId());
	else if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("table %s of archive \"%s\" is gone", archive.parent_name, archive.name),
				 errhint("Only a superuser may restore it as a table of its own.")));
	hone_archive_read_manifest(archive.name, &manifest);
	name = quote_qualified_identifier(manifest.schema, manifest.table);
	if (OidIsValid(archive.parent))
	{
		hone_become_owner(archive.parent, &saved);
		restore_partition(&archive, &manifest, name);
		hone_restore_role(&saved);
	}
	else
	{
		/* types of the owner's may have code of the owner's */
		hone_become_role(OidIsValid(archive.owner) ? archive.owner : GetUserId(), &saved);
		create_as_archived(&manifest, name);
		load(&archive, manifest.schema, manifest.table);
		hone_restore_role(&saved);
	}
	relid = get_relname_relid(manifest.table, get_namespace_oid(manifest.schema, false));
	note_restored(&archive, relid);
	if (PG_GETARG_BOOL(1))
	{
		hone_become_owner(relid, &saved);
		prewarm(relid);
		hone_restore_role(&saved);
	}
	SPI_finish();
	PG_RETURN_OID(relid);
}
