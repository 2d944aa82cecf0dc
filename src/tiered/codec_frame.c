/*-------------------------------------------------------------------------
 *
 * codec_frame.c
 *	  Frames: bytes compressed with zstd and checksummed, and the buffers and
 *	  errors that the codec's files share.
 *
 * The zstd contexts belong to the process: they are made once, reset at the
 * start of every use, and thus survive an error at any point. One that a
 * huge frame has blown up is given back at the next use.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <zstd.h>

#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "utils/memutils.h"

#include "tiered/codec_internal.h"

#define ZSTD_PIECE			(1024 * 1024)	/* bytes between interrupt checks */
#define ZSTD_KEEP			(16 * 1024 * 1024)	/* largest context kept */
#define ZSTD_MAX_RATIO		65536	/* a block of 128 kB takes 4 bytes at
									 * least */

static ZSTD_CCtx *compressor = NULL;
static ZSTD_DCtx *decompressor = NULL;

void
hone_codec_damaged(const HoneBlobName *name, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("compressed batch " INT64_FORMAT " of table \"%s\" is damaged in column \"%s\"",
					name->batch, name->table, name->column),
			 errdetail_internal("%s.", what),
			 errhint("Restore the table from a backup or a replica. With data checksums, pg_amcheck and pg_checksums find what else is damaged.")));
	pg_unreachable();
}

char *
hone_codec_reserve(HoneBytes *bytes, Size more)
{
	Size		need = bytes->len + more;

	if (more > HONE_FRAME_MAX * 2 || need > HONE_FRAME_MAX * 2)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("values of a compressed batch are too large"),
				 errdetail("%d consecutive values of a column may have 2 GB together.", HONE_VECTOR_ROWS),
				 errhint("Run hone.decompress on this table and keep such values outside of tiered tables.")));
	if (need > bytes->cap)
	{
		Size		cap = Max(bytes->cap, 4096);

		while (cap < need)
			cap = cap < 64 * 1024 * 1024 ? cap * 2 : need;
		if (bytes->data == NULL)
			bytes->data = MemoryContextAllocHuge(CurrentMemoryContext, cap);
		else
			bytes->data = repalloc_huge(bytes->data, cap);
		bytes->cap = cap;
	}
	return bytes->data + bytes->len;
}

void
hone_codec_append(HoneBytes *bytes, const void *data, Size len)
{
	char	   *to = hone_codec_reserve(bytes, len);

	if (len > 0)
		memcpy(to, data, len);
	bytes->len += len;
}

uint32
hone_codec_crc(const void *data, Size len)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, len);
	FIN_CRC32C(crc);
	return crc;
}

/* Checksum of header (without the field that holds it) and directory. */
uint32
hone_codec_header_crc(const char *blob, int nframes)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, blob, offsetof(HoneBlobHeader, crc));
	COMP_CRC32C(crc, blob + sizeof(HoneBlobHeader), nframes * sizeof(HoneFrameEntry));
	FIN_CRC32C(crc);
	return crc;
}

static void
zstd_check(size_t result)
{
	if (ZSTD_isError(result))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("zstd could not compress a batch: %s", ZSTD_getErrorName(result)),
				 errhint("Free memory and run hone.compress again.")));
}

static void
zstd_out_of_memory(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_OUT_OF_MEMORY),
			 errmsg("out of memory"),
			 errdetail("A zstd context could not be made.")));
}

/* The compressor, at its start, for a frame of len bytes. */
static ZSTD_CCtx *
start_compressor(Size len, int level)
{
	if (compressor && ZSTD_sizeof_CCtx(compressor) > ZSTD_KEEP)
	{
		ZSTD_freeCCtx(compressor);
		compressor = NULL;
	}
	if (compressor == NULL)
		compressor = ZSTD_createCCtx();
	if (compressor == NULL)
		zstd_out_of_memory();
	zstd_check(ZSTD_CCtx_reset(compressor, ZSTD_reset_session_and_parameters));
	zstd_check(ZSTD_CCtx_setParameter(compressor, ZSTD_c_compressionLevel, level));
	zstd_check(ZSTD_CCtx_setPledgedSrcSize(compressor, len));
	return compressor;
}

/* Compressed size, with the bytes at 'to', which has room for the worst. */
static Size
compress_to(char *to, Size room, const char *raw, Size len, int level)
{
	ZSTD_CCtx  *cctx = start_compressor(len, level);
	ZSTD_outBuffer out = {to, room, 0};
	ZSTD_inBuffer in = {raw, 0, 0};
	size_t		left;

	do
	{
		CHECK_FOR_INTERRUPTS();
		in.size = Min(len, in.size + ZSTD_PIECE);
		left = ZSTD_compressStream2(cctx, &out, &in,
									in.size == len ? ZSTD_e_end : ZSTD_e_continue);
		zstd_check(left);
	} while (in.pos < len || left > 0);
	return out.pos;
}

void
hone_codec_frame_write(HoneBytes *out, HoneFrameEntry *entry,
					   const char *raw, Size len, int level)
{
	Size		room = ZSTD_compressBound(len);
	char	   *to = hone_codec_reserve(out, room);
	Size		stored = len < 32 ? len : compress_to(to, room, raw, len, level);

	if (stored + len / 32 < len)
		entry->method = HONE_FRAME_ZSTD;
	else
	{
		entry->method = HONE_FRAME_RAW;
		memcpy(to, raw, len);
		stored = len;
	}
	entry->unused = 0;
	entry->raw = len;
	entry->stored = stored;
	entry->crc = hone_codec_crc(to, stored);
	out->len += stored;
}

bool
hone_codec_frame_plausible(const char *stored, Size len, Size rawlen)
{
	return rawlen / ZSTD_MAX_RATIO <= len &&
		ZSTD_getFrameContentSize(stored, len) == rawlen;
}

void
hone_codec_frame_inflate(const HoneBlobName *name, const char *stored, Size len,
						 char *raw, Size rawlen)
{
	size_t		got;

	if (decompressor == NULL)
		decompressor = ZSTD_createDCtx();
	if (decompressor == NULL)
		zstd_out_of_memory();
	got = ZSTD_decompressDCtx(decompressor, raw, rawlen, stored, len);
	if (ZSTD_isError(got) || got != rawlen)
		hone_codec_damaged(name, "A frame cannot be decompressed");
}
