/*-------------------------------------------------------------------------
 *
 * archive_target.c
 *	  Where archives are kept: a directory, or behind two commands.
 *
 * Nothing that is read from a table or an argument becomes a path before it is
 * a name of the form that hone_archive_new_name makes: at most one folder,
 * neither part beginning with a dot, and only letters, digits and "_.-%".
 * Names below the directory are followed through no symbolic link.
 *
 * Files that are not complete lie under other names: beside their place in the
 * directory, where the next attempt for the same name removes what a crash
 * left, or in the staging folder under the number of a process, where the next
 * attempt removes those of processes that are gone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "common/file_perm.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "lifecycle/archive_command.h"
#include "lifecycle/archive_target.h"

/* Below the data directory, which is the current one. */
#define STAGING			"pg_hone_archive"

#define NAME_SUFFIX		".copy.zst"
#define NEW_SUFFIX		".tmp"

/* Bytes of a name's part; NAME_MAX is 255 everywhere. */
#define COMPONENT_LIMIT	48
#define NAME_LIMIT		240

static char *archive_directory = NULL;
static char *archive_command = NULL;
static char *restore_command = NULL;

/* ------------------------------------------------------------------------
 * Settings
 * ------------------------------------------------------------------------
 */

static bool
check_directory(char **value, void **extra, GucSource source)
{
	if ((*value)[0] == '\0')
		return true;
	canonicalize_path(*value);
	if (!is_absolute_path(*value))
	{
		GUC_check_errdetail("It must be an absolute path.");
		return false;
	}
	/* what is put behind it must fit */
	if (strlen(*value) >= MAXPGPATH - 2 * NAME_LIMIT)
	{
		GUC_check_errdetail("The path is too long.");
		return false;
	}
	return true;
}

static bool
check_command(char **value, void **extra, GucSource source)
{
	const char *problem = hone_archive_command_problem(*value);

	if (problem != NULL)
		GUC_check_errdetail("The command cannot be used: %s.", problem);
	return problem == NULL;
}

void
hone_archive_init(void)
{
	DefineCustomStringVariable("hone.archive_directory",
							   "Directory in which archives of partitions are kept.",
							   NULL, &archive_directory, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_directory, NULL, NULL);
	DefineCustomStringVariable("hone.archive_command",
							   "Command that stores a file of an archive elsewhere: %p is its path, %f its name.",
							   "It is called for the archive and for its manifest, and must not overwrite another file.",
							   &archive_command, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_command, NULL, NULL);
	DefineCustomStringVariable("hone.restore_command",
							   "Command that fetches a file of an archive: %f is its name, %p the path to put it.",
							   NULL, &restore_command, "",
							   PGC_SIGHUP, GUC_SUPERUSER_ONLY, check_command, NULL, NULL);
}

#define TARGET_HINT \
	"Set hone.archive_directory, or hone.archive_command and hone.restore_command, in postgresql.conf and reload."

void
hone_archive_require_target(void)
{
	bool		directory = archive_directory[0] != '\0';
	bool		command = archive_command[0] != '\0';

	if (!directory && !command)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is no place for archives"),
				 errhint(TARGET_HINT)));
	if (directory && command)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("both hone.archive_directory and hone.archive_command are set"),
				 errhint("Archives go to one place: take one of the two out of postgresql.conf and reload.")));
	if (command && restore_command[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("archives could not be read back: hone.restore_command is not set"),
				 errhint(TARGET_HINT)));
}

void
hone_archive_require_source(void)
{
	if (archive_directory[0] == '\0' && restore_command[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is no place to read archives from"),
				 errhint("Set hone.archive_directory, or hone.restore_command, in postgresql.conf and reload.")));
}

/* ------------------------------------------------------------------------
 * Names
 * ------------------------------------------------------------------------
 */

static bool
is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
		(c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

/*
 * One part of a name. Other bytes become %XX, as does a dot or dash in front:
 * no "..", no hidden file, nothing that a command takes for an option.
 */
static void
append_component(StringInfo name, const char *component)
{
	int			start = name->len;

	for (const char *p = component; *p != '\0'; p++)
	{
		bool		plain = is_plain(*p) && (p > component || (*p != '.' && *p != '-'));

		if (name->len - start + (plain ? 1 : 3) > COMPONENT_LIMIT)
			break;
		if (plain)
			appendStringInfoChar(name, *p);
		else
			appendStringInfo(name, "%%%02X", (unsigned char) *p);
	}
}

/* 20240131, with the time of day in UTC where there is one. */
static void
append_time(StringInfo name, TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (TIMESTAMP_NOT_FINITE(at))
		appendStringInfoString(name, TIMESTAMP_IS_NOBEGIN(at) ? "minvalue" : "maxvalue");
	else if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		appendStringInfo(name, INT64_FORMAT, at);
	else
	{
		appendStringInfo(name, "%04d%02d%02d%s", tm.tm_year > 0 ? tm.tm_year : 1 - tm.tm_year,
						 tm.tm_mon, tm.tm_mday, tm.tm_year > 0 ? "" : "BC");
		if (tm.tm_hour != 0 || tm.tm_min != 0 || tm.tm_sec != 0 || fsec != 0)
			appendStringInfo(name, "T%02d%02d%02d", tm.tm_hour, tm.tm_min, tm.tm_sec);
		if (fsec != 0)
			appendStringInfo(name, ".%06d", (int) fsec);
	}
}

static char *
path_of(const char *name, const char *suffix)
{
	return psprintf("%s/%s%s", archive_directory, name, suffix);
}

/* Is there anything of this name? */
static bool
exists(const char *path)
{
	struct stat status;

	if (lstat(path, &status) == 0)
		return true;
	if (errno != ENOENT)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", path)));
	return false;
}

static bool
is_taken(const char *name)
{
	return exists(path_of(name, "")) || exists(path_of(name, HONE_MANIFEST_SUFFIX));
}

char *
hone_archive_new_name(const char *schema, const char *table, Oid relid,
					  const HoneArchiveOrigin *origin)
{
	bool		directory = archive_directory[0] != '\0';
	char	   *database = get_database_name(MyDatabaseId);
	StringInfoData base;
	char	   *name;

	initStringInfo(&base);
	append_component(&base, database ? database : "");
	appendStringInfoChar(&base, directory ? '/' : '.');
	append_component(&base, schema);
	appendStringInfoChar(&base, '.');
	append_component(&base, table);
	if (origin->ranged)
	{
		appendStringInfoChar(&base, '.');
		append_time(&base, origin->range_start);
		appendStringInfoChar(&base, '_');
		append_time(&base, origin->range_end);
	}
	appendStringInfo(&base, ".%u", relid);
	if (!directory)
		return psprintf("%s-" UINT64_FORMAT "%s", base.data,
						U64FromFullTransactionId(GetTopFullTransactionId()),
						NAME_SUFFIX);
	name = psprintf("%s%s", base.data, NAME_SUFFIX);
	for (int next = 2; is_taken(name); next++)
		name = psprintf("%s-%d%s", base.data, next, NAME_SUFFIX);
	return name;
}

void
hone_archive_check_name(const char *name)
{
	const char *slash = strchr(name, '/');
	Size		length = strlen(name);
	bool		good = length > strlen(NAME_SUFFIX) && length <= 2 * NAME_LIMIT &&
	strcmp(name + length - strlen(NAME_SUFFIX), NAME_SUFFIX) == 0 &&
	strlen(slash ? slash + 1 : name) <= NAME_LIMIT;

	for (const char *p = name; good && *p != '\0'; p++)
	{
		bool		first = p == name || p[-1] == '/';

		if (*p == '/')
			good = p == slash && !first;
		else
			good = (is_plain(*p) || *p == '%') && !(first && (*p == '.' || *p == '-'));
	}
	if (!good)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" is not the name of an archive", name)));
}

/* ------------------------------------------------------------------------
 * The directory
 * ------------------------------------------------------------------------
 */

/* The folder of a name that has one: a folder, no link to one. */
static void
check_folder(const char *name, bool create)
{
	const char *slash = strchr(name, '/');
	char	   *folder;
	struct stat status;

	if (slash == NULL)
		return;
	folder = psprintf("%s/%.*s", archive_directory, (int) (slash - name), name);
	if (create && MakePGDirectory(folder) == 0)
		fsync_fname(archive_directory, true);
	else if (create && errno != EEXIST)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create directory \"%s\": %m", folder)));
	if (lstat(folder, &status) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not stat file \"%s\": %m", folder)));
	if (!S_ISDIR(status.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a directory", folder),
				 errhint("No symbolic link is followed below hone.archive_directory.")));
}

/* A regular file. Also keeps from waiting for the writer of a pipe. */
static void
check_file(const char *path)
{
	struct stat status;

	if (lstat(path, &status) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	if (!S_ISREG(status.st_mode))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a regular file", path)));
}

static void
remove_if_there(const char *path)
{
	if (unlink(path) != 0 && errno != ENOENT)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not remove file \"%s\": %m", path)));
}

/* ------------------------------------------------------------------------
 * The staging folder
 * ------------------------------------------------------------------------
 */

static char *
staged_path(const char *what, const char *suffix)
{
	return psprintf("%s/%d.%s%s%s", STAGING, MyProcPid, what, NAME_SUFFIX, suffix);
}

static void
sweep_staging(void)
{
	DIR		   *dir = AllocateDir(STAGING);
	struct dirent *entry;

	while ((entry = ReadDir(dir, STAGING)) != NULL)
	{
		int			pid = atoi(entry->d_name);

		if (pid <= 0 || (pid != MyProcPid && BackendPidGetProc(pid) != NULL))
			continue;
		remove_if_there(psprintf("%s/%s", STAGING, entry->d_name));
	}
	FreeDir(dir);
}

static void
prepare_staging(void)
{
	if (MakePGDirectory(STAGING) != 0 && errno != EEXIST)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create directory \"%s\": %m", STAGING)));
	sweep_staging();
}

/* ------------------------------------------------------------------------
 * Copies
 * ------------------------------------------------------------------------
 */

static void
set_paths(HoneArchiveCopy *copy, const char *name, bool staged,
		  const char *staged_as)
{
	memset(copy, 0, sizeof(*copy));
	copy->name = pstrdup(name);
	copy->staged = staged;
	if (staged)
	{
		copy->file = copy->new_file = staged_path(staged_as, "");
		copy->manifest = copy->new_manifest = staged_path(staged_as, HONE_MANIFEST_SUFFIX);
		copy->shown_file = copy->name;
		copy->shown_manifest = psprintf("%s%s", name, HONE_MANIFEST_SUFFIX);
		return;
	}
	copy->file = copy->shown_file = path_of(name, "");
	copy->manifest = copy->shown_manifest = path_of(name, HONE_MANIFEST_SUFFIX);
	copy->new_file = path_of(name, NEW_SUFFIX);
	copy->new_manifest = path_of(name, HONE_MANIFEST_SUFFIX NEW_SUFFIX);
}

void
hone_archive_copy_prepare(HoneArchiveCopy *copy, const char *name)
{
	hone_archive_check_name(name);
	set_paths(copy, name, archive_directory[0] == '\0', "out");
	if (copy->staged)
	{
		prepare_staging();
		return;
	}
	check_folder(name, true);
	remove_if_there(copy->new_file);
	remove_if_there(copy->new_manifest);
}

static void
refuse_to_overwrite(const char *path)
{
	if (exists(path))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_FILE),
				 errmsg("file \"%s\" exists already", path),
				 errhint("An archive is never overwritten.")));
}

void
hone_archive_copy_publish(HoneArchiveCopy *copy)
{
	if (copy->staged)
	{
		hone_archive_run_command("archive command", archive_command,
								 copy->file, copy->shown_file);
		hone_archive_run_command("archive command", archive_command,
								 copy->manifest, copy->shown_manifest);
		hone_archive_copy_release(copy);
		return;
	}
	refuse_to_overwrite(copy->file);
	refuse_to_overwrite(copy->manifest);
	copy->published = true;
	(void) durable_rename(copy->new_manifest, copy->manifest, ERROR);
	(void) durable_rename(copy->new_file, copy->file, ERROR);
}

static void
fetch(const char *path, const char *name)
{
	remove_if_there(path);
	hone_archive_run_command("restore command", restore_command, path, name);
	if (!exists(path))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE),
				 errmsg("restore command brought no file \"%s\"", name)));
	check_file(path);
}

void
hone_archive_copy_fetch(HoneArchiveCopy *copy, const char *name)
{
	hone_archive_check_name(name);
	set_paths(copy, name, archive_directory[0] == '\0', "in");
	if (copy->staged)
	{
		prepare_staging();
		fetch(copy->file, copy->shown_file);
		fetch(copy->manifest, copy->shown_manifest);
		return;
	}
	check_folder(name, false);
	check_file(copy->file);
	check_file(copy->manifest);
	/* what lies there is another's */
	copy->new_file = copy->new_manifest = NULL;
}

void
hone_archive_remove(const char *name)
{
	char	   *slash;
	char	   *folder;

	hone_archive_check_name(name);
	if (archive_directory[0] == '\0')
		return;
	remove_if_there(path_of(name, ""));
	remove_if_there(path_of(name, HONE_MANIFEST_SUFFIX));
	remove_if_there(path_of(name, NEW_SUFFIX));
	remove_if_there(path_of(name, HONE_MANIFEST_SUFFIX NEW_SUFFIX));
	folder = path_of(name, "");
	slash = strrchr(folder, '/');
	*slash = '\0';
	if (exists(folder))
		fsync_fname(folder, true);
}

void
hone_archive_copy_release(HoneArchiveCopy *copy)
{
	if (!copy->staged)
		return;
	remove_if_there(copy->file);
	remove_if_there(copy->manifest);
}

void
hone_archive_copy_abandon(HoneArchiveCopy *copy)
{
	if (copy->new_file != NULL)
		(void) unlink(copy->new_file);
	if (copy->new_manifest != NULL)
		(void) unlink(copy->new_manifest);
	if (copy->published)
	{
		(void) unlink(copy->file);
		(void) unlink(copy->manifest);
	}
}
