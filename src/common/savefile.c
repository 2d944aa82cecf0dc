/*-------------------------------------------------------------------------
 *
 * savefile.c
 *	  Files that keep shared memory over a restart (see savefile.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "catalog/pg_control.h"
#include "common/controldata_utils.h"
#include "miscadmin.h"
#include "storage/fd.h"

#include "common/savefile.h"

#define ASIDE_SUFFIX	".unreadable"
#define SAVERS			2		/* at most */

static void (*savers[SAVERS]) (void);
static int	saver_count = 0;

void
hone_save_bytes(HoneSaveFile *out, const void *bytes, Size size)
{
	if (out->failed || size == 0)
		return;
	COMP_CRC32C(out->crc, bytes, size);
	out->failed = fwrite(bytes, size, 1, out->file) != 1;
}

bool
hone_save_get(HoneSaveFile *in, void *bytes, Size size)
{
	if (!in->failed && size > 0)
		in->failed = fread(bytes, size, 1, in->file) != 1;
	return !in->failed;
}

static bool
log_failure(const char *what, const char *path)
{
	ereport(LOG,
			(errcode_for_file_access(),
			 errmsg("could not write %s to file \"%s\": %m", what, path)));
	return false;
}

static bool
write_all(HoneSaveFile *out, HoneSaveWriter writer, void *arg)
{
	pg_crc32c	crc;

	INIT_CRC32C(out->crc);
	writer(out, arg);
	crc = out->crc;
	FIN_CRC32C(crc);
	hone_save_bytes(out, &crc, sizeof(crc));
	return !out->failed;
}

bool
hone_save_file(const char *path, const char *what, HoneSaveWriter writer,
			   void *arg)
{
	char		temporary[MAXPGPATH];
	HoneSaveFile out = {.path = temporary};
	bool		written;

	snprintf(temporary, sizeof(temporary), "%s.tmp", path);
	out.file = AllocateFile(temporary, PG_BINARY_W);
	if (out.file == NULL)
		return log_failure(what, temporary);
	PG_TRY();
	{
		written = write_all(&out, writer, arg);
	}
	PG_CATCH();
	{
		FreeFile(out.file);
		unlink(temporary);
		PG_RE_THROW();
	}
	PG_END_TRY();
	if (FreeFile(out.file) != 0 || !written)
	{
		log_failure(what, temporary);
		unlink(temporary);
		return false;
	}
	/* Makes it durable; reports what goes wrong. */
	return durable_rename(temporary, path, LOG) == 0;
}

/* What is wrong with the file, or NULL. It is read to its end. */
static const char *
check_file(HoneSaveFile *in)
{
	char		buffer[8192];
	pg_crc32c	crc;
	pg_crc32c	expected;
	off_t		size;

	if (fseeko(in->file, 0, SEEK_END) != 0 || (size = ftello(in->file)) < 0)
		return "it cannot be read";
	if (size < (off_t) sizeof(crc))
		return "it is too short";
	rewind(in->file);
	INIT_CRC32C(crc);
	for (off_t left = size - sizeof(expected); left > 0;)
	{
		Size		part = Min(left, (off_t) sizeof(buffer));

		if (!hone_save_get(in, buffer, part))
			return "it cannot be read";
		COMP_CRC32C(crc, buffer, part);
		left -= part;
	}
	FIN_CRC32C(crc);
	if (!hone_save_get(in, &expected, sizeof(expected)))
		return "it cannot be read";
	if (!EQ_CRC32C(crc, expected))
		return "its checksum is wrong";
	rewind(in->file);
	return NULL;
}

static void
put_aside(const char *path, const char *what, const char *problem)
{
	char		aside[MAXPGPATH];

	snprintf(aside, sizeof(aside), "%s%s", path, ASIDE_SUFFIX);
	if (rename(path, aside) != 0)
		unlink(path);
	ereport(WARNING,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("pg_hone: the saved %s in file \"%s\" were not loaded: %s",
					what, path, problem),
			 errdetail("The file was set aside as \"%s\".", aside)));
}

bool
hone_load_file(const char *path, const char *what, HoneSaveReader reader)
{
	HoneSaveFile in = {.path = path};
	const char *problem;

	in.file = AllocateFile(path, PG_BINARY_R);
	if (in.file == NULL)
	{
		if (errno != ENOENT)
			put_aside(path, what, "it cannot be opened");
		return false;
	}
	problem = check_file(&in);
	if (problem == NULL)
		problem = reader(&in);
	FreeFile(in.file);
	if (problem != NULL)
		put_aside(path, what, problem);
	return problem == NULL;
}

void
hone_saver_register(void (*saver) (void))
{
	if (saver_count == SAVERS)
		elog(ERROR, "too many savers");
	savers[saver_count++] = saver;
}

void
hone_savers_run(void)
{
	for (int i = 0; i < saver_count; i++)
		savers[i] ();
}

bool
hone_was_shut_down(void)
{
	bool		crc_ok;
	ControlFileData *control = get_controlfile(DataDir, &crc_ok);

	return crc_ok && (control->state == DB_SHUTDOWNED ||
					  control->state == DB_SHUTDOWNED_IN_RECOVERY);
}
