/*-------------------------------------------------------------------------
 *
 * archive_stream.c
 *	  A text written to, and read from, one zstd-compressed file (see
 *	  archive_stream.h).
 *
 * A file is one zstd frame with its checksum. zstd's own memory is not
 * PostgreSQL's: it is released by a callback of the memory context in which a
 * stream lives. Descriptors are those of the transaction, which closes them
 * after an error.
 *
 * At fast levels zstd compresses in threads of its own where it can: rows are
 * printed meanwhile. They run nothing but zstd's code, and no signal handler:
 * signals are blocked while they are started.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "common/cryptohash.h"
#include "common/file_perm.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "lifecycle/archive_stream.h"

/* What has been written so far is handed to the disk each so many bytes. */
#define FLUSH_BYTES		(8 * 1024 * 1024)

/*
 * zstd's threads at the fast levels: at level 3 one does not keep up with the
 * printing of rows. A thread finishes the job in hand before it can be
 * stopped, and a job keeps its input and output in memory: so they are small.
 * At higher levels a job begins with its whole window anew, and would take
 * long; there all is done in small steps here.
 */
#define WORKERS			2
#define WORKERS_LEVEL	6
#define WORKERS_JOB		(2 * 1024 * 1024)

struct HoneArchiveWriter
{
	MemoryContext context;
	MemoryContextCallback release;
	char	   *path;
	int			fd;
	ZSTD_CCtx  *compressor;
	pg_cryptohash_ctx *text_hash;
	pg_cryptohash_ctx *file_hash;
	int64		raw_bytes;
	int64		bytes;
	int64		flushed;
	Size		size;			/* of the buffer */
	char	   *buffer;
};

struct HoneArchiveReader
{
	MemoryContext context;
	MemoryContextCallback release;
	char	   *path;
	char	   *shown;
	int			fd;
	ZSTD_DCtx  *decompressor;
	pg_cryptohash_ctx *text_hash;
	pg_cryptohash_ctx *file_hash;
	int64		raw_bytes;
	int64		bytes;
	int64		lines;
	bool		frame_ended;
	bool		ended;
	ZSTD_inBuffer in;
	Size		size;
	char	   *buffer;
};

/* ------------------------------------------------------------------------
 * Checksums
 * ------------------------------------------------------------------------
 */

static void
refuse_hash(pg_cryptohash_ctx * hash)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("could not compute a SHA-256 checksum: %s",
					pg_cryptohash_error(hash))));
}

static pg_cryptohash_ctx *
hash_begin(void)
{
	pg_cryptohash_ctx *hash = pg_cryptohash_create(PG_SHA256);

	if (hash == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	if (pg_cryptohash_init(hash) < 0)
		refuse_hash(hash);
	return hash;
}

static void
hash_add(pg_cryptohash_ctx * hash, const void *bytes, Size size)
{
	if (pg_cryptohash_update(hash, bytes, size) < 0)
		refuse_hash(hash);
}

static void
hash_end(pg_cryptohash_ctx * hash, char *hex)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];

	if (pg_cryptohash_final(hash, digest, sizeof(digest)) < 0)
		refuse_hash(hash);
	pg_cryptohash_free(hash);
	hex[hex_encode((const char *) digest, sizeof(digest), hex)] = '\0';
}

void
hone_archive_sha256(const void *bytes, Size size, char *hex)
{
	pg_cryptohash_ctx *hash = hash_begin();

	hash_add(hash, bytes, size);
	hash_end(hash, hex);
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------
 */

static void
release_compressor(void *arg)
{
	ZSTD_freeCCtx(((HoneArchiveWriter *) arg)->compressor);
}

static void
set_parameter(ZSTD_CCtx *compressor, ZSTD_cParameter parameter, int value)
{
	size_t		result = ZSTD_CCtx_setParameter(compressor, parameter, value);

	if (ZSTD_isError(result))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("could not prepare the compression of an archive: %s",
						ZSTD_getErrorName(result))));
}

static void
write_out(HoneArchiveWriter *writer, const char *bytes, Size size)
{
	hash_add(writer->file_hash, bytes, size);
	while (size > 0)
	{
		ssize_t		written;

		errno = 0;
		written = write(writer->fd, bytes, size);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
		{
			/* if write didn't set errno, assume problem is no disk space */
			if (errno == 0)
				errno = ENOSPC;
			ereport(ERROR,
					(errcode_for_file_access(),
					 errmsg("could not write to file \"%s\": %m", writer->path)));
		}
		bytes += written;
		size -= written;
		writer->bytes += written;
	}
	if (writer->bytes - writer->flushed >= FLUSH_BYTES)
	{
		pg_flush_data(writer->fd, writer->flushed, writer->bytes - writer->flushed);
		writer->flushed = writer->bytes;
	}
}

/*
 * Compress the text, or end the frame; what comes out is written.
 */
static void
compress(HoneArchiveWriter *writer, const char *text, Size size,
		 ZSTD_EndDirective directive)
{
	ZSTD_inBuffer in = {text, size, 0};
	bool		done;

	do
	{
		ZSTD_outBuffer out = {writer->buffer, writer->size, 0};
		size_t		left = ZSTD_compressStream2(writer->compressor, &out, &in, directive);

		if (ZSTD_isError(left))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not compress file \"%s\": %s", writer->path,
							ZSTD_getErrorName(left))));
		if (out.pos > 0)
			write_out(writer, writer->buffer, out.pos);
		done = directive == ZSTD_e_end ? left == 0 : in.pos == in.size;
	} while (!done);
}

/*
 * Its threads are made at the first call.
 */
static void
start_compressor(HoneArchiveWriter *writer, int level)
{
	sigset_t	all;
	sigset_t	before;

	/* fails where the library has no threads */
	if (level > WORKERS_LEVEL ||
		ZSTD_isError(ZSTD_CCtx_setParameter(writer->compressor, ZSTD_c_nbWorkers, WORKERS)))
		return;
	set_parameter(writer->compressor, ZSTD_c_jobSize, WORKERS_JOB);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	PG_TRY();
	{
		compress(writer, NULL, 0, ZSTD_e_continue);
	}
	PG_FINALLY();
	{
		sigprocmask(SIG_SETMASK, &before, NULL);
	}
	PG_END_TRY();
}

HoneArchiveWriter *
hone_archive_writer_open(const char *path, int level)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_hone archive writer",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	HoneArchiveWriter *writer = palloc0(sizeof(HoneArchiveWriter));

	writer->context = context;
	writer->path = pstrdup(path);
	writer->release.func = release_compressor;
	writer->release.arg = writer;
	MemoryContextRegisterResetCallback(context, &writer->release);
	writer->compressor = ZSTD_createCCtx();
	if (writer->compressor == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	set_parameter(writer->compressor, ZSTD_c_compressionLevel, level);
	set_parameter(writer->compressor, ZSTD_c_checksumFlag, 1);
	writer->size = ZSTD_CStreamOutSize();
	writer->buffer = palloc(writer->size);
	writer->text_hash = hash_begin();
	writer->file_hash = hash_begin();
	writer->fd = OpenTransientFilePerm(path,
									   O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW | PG_BINARY,
									   pg_file_create_mode);
	if (writer->fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not create file \"%s\": %m", path)));
	MemoryContextSwitchTo(before);
	start_compressor(writer, level);
	return writer;
}

void
hone_archive_writer_put(HoneArchiveWriter *writer, const char *text, Size size)
{
	hash_add(writer->text_hash, text, size);
	writer->raw_bytes += size;
	compress(writer, text, size, ZSTD_e_continue);
}

void
hone_archive_writer_close(HoneArchiveWriter *writer, HoneArchiveSums *sums)
{
	compress(writer, NULL, 0, ZSTD_e_end);
	if (pg_fsync(writer->fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not fsync file \"%s\": %m", writer->path)));
	if (CloseTransientFile(writer->fd) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not close file \"%s\": %m", writer->path)));
	memset(sums, 0, sizeof(*sums));
	sums->raw_bytes = writer->raw_bytes;
	sums->bytes = writer->bytes;
	hash_end(writer->text_hash, sums->text_sha256);
	hash_end(writer->file_hash, sums->sha256);
	MemoryContextDelete(writer->context);
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------
 */

static void
release_decompressor(void *arg)
{
	ZSTD_freeDCtx(((HoneArchiveReader *) arg)->decompressor);
}

static void
refuse_bytes(HoneArchiveReader *reader, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("archive file \"%s\" is damaged: %s", reader->shown, why)));
}

HoneArchiveReader *
hone_archive_reader_open(const char *path, const char *shown, bool sum_text)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "pg_hone archive reader",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext before = MemoryContextSwitchTo(context);
	HoneArchiveReader *reader = palloc0(sizeof(HoneArchiveReader));

	reader->context = context;
	reader->path = pstrdup(path);
	reader->shown = pstrdup(shown);
	reader->release.func = release_decompressor;
	reader->release.arg = reader;
	MemoryContextRegisterResetCallback(context, &reader->release);
	reader->decompressor = ZSTD_createDCtx();
	if (reader->decompressor == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	reader->size = ZSTD_DStreamInSize();
	reader->buffer = palloc(reader->size);
	reader->in.src = reader->buffer;
	if (sum_text)
		reader->text_hash = hash_begin();
	reader->file_hash = hash_begin();
	reader->fd = OpenTransientFile(path, O_RDONLY | O_NOFOLLOW | PG_BINARY);
	if (reader->fd < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	hone_compat_forget_pages(reader->fd);
	MemoryContextSwitchTo(before);
	return reader;
}

/* False at the end of the file. */
static bool
read_in(HoneArchiveReader *reader)
{
	ssize_t		got;

	do
	{
		CHECK_FOR_INTERRUPTS();
		got = read(reader->fd, reader->buffer, reader->size);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m", reader->path)));
	reader->in.pos = 0;
	reader->in.size = got;
	if (got > 0)
		hash_add(reader->file_hash, reader->buffer, got);
	reader->bytes += got;
	return got > 0;
}

static int64
count_lines(const char *text, Size size)
{
	const char *end = text + size;
	int64		lines = 0;

	while ((text = memchr(text, '\n', end - text)) != NULL)
	{
		lines++;
		text++;
	}
	return lines;
}

/*
 * Nothing may follow the frame.
 */
static void
meet_end(HoneArchiveReader *reader)
{
	if (reader->in.pos < reader->in.size || read_in(reader))
		refuse_bytes(reader, "bytes follow its end");
	reader->ended = true;
}

Size
hone_archive_reader_get(HoneArchiveReader *reader, char *text, Size size,
						int64 limit)
{
	ZSTD_outBuffer out = {text, size, 0};

	while (out.pos == 0 && !reader->frame_ended)
	{
		size_t		result = ZSTD_decompressStream(reader->decompressor, &out, &reader->in);

		if (ZSTD_isError(result))
			refuse_bytes(reader, ZSTD_getErrorName(result));
		reader->frame_ended = result == 0 && reader->bytes > 0;
		/* what is left of the input before may still give output */
		if (out.pos == 0 && !reader->frame_ended &&
			reader->in.pos == reader->in.size && !read_in(reader))
			refuse_bytes(reader, reader->bytes == 0 ? "it is empty" : "it ends too early");
	}
	reader->raw_bytes += out.pos;
	if (reader->text_hash != NULL)
	{
		hash_add(reader->text_hash, text, out.pos);
		reader->lines += count_lines(text, out.pos);
	}
	if (reader->raw_bytes > limit)
		refuse_bytes(reader, "it holds more than was written");
	if (reader->frame_ended && !reader->ended)
		meet_end(reader);
	return out.pos;
}

/*
 * What was read is the file's, whole or not.
 */
static void
close_reader(HoneArchiveReader *reader, HoneArchiveSums *sums)
{
	CloseTransientFile(reader->fd);
	memset(sums, 0, sizeof(*sums));
	sums->raw_bytes = reader->raw_bytes;
	sums->bytes = reader->bytes;
	sums->lines = reader->lines;
	if (reader->text_hash != NULL)
		hash_end(reader->text_hash, sums->text_sha256);
	hash_end(reader->file_hash, sums->sha256);
	MemoryContextDelete(reader->context);
}

void
hone_archive_reader_close(HoneArchiveReader *reader, HoneArchiveSums *sums)
{
	if (!reader->ended)
		elog(ERROR, "an archive file was not read to its end");
	close_reader(reader, sums);
}

void
hone_archive_sum_file(const char *path, const char *shown, HoneArchiveSums *sums)
{
	HoneArchiveReader *reader = hone_archive_reader_open(path, shown, false);

	while (read_in(reader))
		 /* the sum is all that is wanted */ ;
	close_reader(reader, sums);
}
