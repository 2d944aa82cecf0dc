/*-------------------------------------------------------------------------
 *
 * codec_shim.c
 *	  The few things of a server that the codec calls, so that it can run
 *	  alone under a memory checker: every palloc is a malloc of its own, and
 *	  an error jumps back to the round that raised it.
 *
 * Usage: codec_fuzz SEED ROUNDS. Prints how many damaged blobs were rejected;
 * any error but ERRCODE_DATA_CORRUPTED ends the program with status 1. Built
 * with -DHONE_LIBFUZZER it is a libFuzzer target instead: the input is the
 * inflated frame of a blob.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <setjmp.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "tiered/codec_fuzz.h"
#include "tiered/codec_internal.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#endif
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#define ASAN_POISON_MEMORY_REGION(p, n) ((void) 0)
#define ASAN_UNPOISON_MEMORY_REGION(p, n) ((void) 0)
#endif

/* ---------- memory: contexts are lists of mallocs ---------- */

typedef struct Chunk
{
	struct Chunk *prev;
	struct Chunk *next;
	MemoryContext context;
	Size		size;
} Chunk;

typedef struct Context
{
	MemoryContextData pg;
	Chunk		head;
	struct Context *parent;
	struct Context *child;		/* first of them */
	struct Context *sibling;
} Context;

/* what one allocation may take: more is an absurd one */
#define SANE_ALLOCATION ((Size) 512 * 1024 * 1024)

static Context top;
MemoryContext CurrentMemoryContext = (MemoryContext) &top;

static Chunk *
chunk_of(void *p)
{
	Chunk	   *chunk = (Chunk *) ((char *) p - 64);

	ASAN_UNPOISON_MEMORY_REGION(chunk, sizeof(Chunk));
	return chunk;
}

static void
link_chunk(Chunk *chunk, Context *context)
{
	Chunk	   *head = &context->head;

	if (head->next == NULL)
		head->next = head->prev = head;
	chunk->context = (MemoryContext) context;
	chunk->next = head->next;
	chunk->prev = head;
	ASAN_UNPOISON_MEMORY_REGION(chunk->next, sizeof(Chunk));
	head->next->prev = chunk;
	if (head->next != head)
		ASAN_POISON_MEMORY_REGION(chunk->next, sizeof(Chunk));
	head->next = chunk;
}

static void
unlink_chunk(Chunk *chunk)
{
	Context    *context = (Context *) chunk->context;

	ASAN_UNPOISON_MEMORY_REGION(chunk->prev, sizeof(Chunk));
	ASAN_UNPOISON_MEMORY_REGION(chunk->next, sizeof(Chunk));
	chunk->prev->next = chunk->next;
	chunk->next->prev = chunk->prev;
	if (chunk->prev != &context->head)
		ASAN_POISON_MEMORY_REGION(chunk->prev, sizeof(Chunk));
	if (chunk->next != &context->head)
		ASAN_POISON_MEMORY_REGION(chunk->next, sizeof(Chunk));
}

void *
MemoryContextAllocHuge(MemoryContext context, Size size)
{
	Chunk	   *chunk;

	if (size > SANE_ALLOCATION)
	{
		fprintf(stderr, "allocation of %zu bytes\n", size);
		abort();
	}
	chunk = malloc(64 + size);
	chunk->size = size;
	link_chunk(chunk, (Context *) context);
	ASAN_POISON_MEMORY_REGION(chunk, 64);
	return (char *) chunk + 64;
}

void
pfree(void *p)
{
	Chunk	   *chunk = chunk_of(p);

	unlink_chunk(chunk);
	free(chunk);
}

void *
palloc(Size size)
{
	return MemoryContextAllocHuge(CurrentMemoryContext, size);
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void *
repalloc_huge(void *p, Size size)
{
	Chunk	   *chunk = chunk_of(p);
	Size		old = chunk->size;
	MemoryContext context = chunk->context;
	void	   *copy;

	ASAN_POISON_MEMORY_REGION(chunk, 64);
	copy = MemoryContextAllocHuge(context, size);
	memcpy(copy, p, Min(old, size));
	pfree(p);
	return copy;
}

MemoryContext
AllocSetContextCreateInternal(MemoryContext parent, const char *name,
							  Size minsize, Size initial, Size max)
{
	Context    *context = calloc(1, sizeof(Context));

	context->parent = (Context *) parent;
	context->sibling = context->parent->child;
	context->parent->child = context;
	return (MemoryContext) context;
}

static void
empty_context(Context *context)
{
	while (context->child)
		MemoryContextDelete((MemoryContext) context->child);
	while (context->head.next && context->head.next != &context->head)
		pfree((char *) context->head.next + 64);
}

void
MemoryContextDelete(MemoryContext dead)
{
	Context    *context = (Context *) dead;
	Context   **link = &context->parent->child;

	empty_context(context);
	while (*link != context)
		link = &(*link)->sibling;
	*link = context->sibling;
	free(context);
}

/* ---------- string buffers ---------- */

void
initStringInfo(StringInfo str)
{
	str->data = palloc(1024);
	str->maxlen = 1024;
	str->len = 0;
	str->cursor = 0;
}

void
enlargeStringInfo(StringInfo str, int needed)
{
	if (str->len + needed + 1 > str->maxlen)
	{
		str->maxlen = (str->len + needed + 1) * 2;
		str->data = repalloc_huge(str->data, str->maxlen);
	}
}

void
appendBinaryStringInfo(StringInfo str, HONE_STRINGINFO_BYTES *data, int len)
{
	enlargeStringInfo(str, len);
	memcpy(str->data + str->len, data, len);
	str->len += len;
	str->data[str->len] = '\0';
}

/* ---------- errors ---------- */

static sigjmp_buf round_start;
static int	last_code;
static char last_text[256];

bool
errstart(int elevel, const char *domain)
{
	last_code = ERRCODE_INTERNAL_ERROR;
	return true;
}

bool
errstart_cold(int elevel, const char *domain)
{
	return errstart(elevel, domain);
}

int
errcode(int code)
{
	last_code = code;
	return 0;
}

#define KEEP_TEXT(fmt) \
	do { va_list ap; va_start(ap, fmt); \
		 vsnprintf(last_text, sizeof(last_text), fmt, ap); va_end(ap); } while (0)
#undef vsnprintf

int
errmsg(const char *fmt,...)
{
	KEEP_TEXT(fmt);
	return 0;
}

int
errmsg_internal(const char *fmt,...)
{
	KEEP_TEXT(fmt);
	return 0;
}

int
errdetail(const char *fmt,...)
{
	KEEP_TEXT(fmt);
	return 0;
}

int
errdetail_internal(const char *fmt,...)
{
	KEEP_TEXT(fmt);
	return 0;
}

int
errhint(const char *fmt,...)
{
	return 0;
}

void
errfinish(const char *filename, int lineno, const char *funcname)
{
	siglongjmp(round_start, 1);
}

volatile sig_atomic_t InterruptPending = false;

void
ProcessInterrupts(void)
{
}

/* Decode; true when it was rejected as damaged. */
static bool
rejected(const HoneFuzzCase *fuzz, const StringInfoData *blob)
{
	Context		mine = {0};
	MemoryContext caller = CurrentMemoryContext;
	volatile bool damaged = false;

	CurrentMemoryContext = (MemoryContext) &mine;
	if (sigsetjmp(round_start, 0) == 0)
		hone_codec_fuzz_decode(fuzz, blob);
	else
	{
		damaged = true;
		if (last_code != ERRCODE_DATA_CORRUPTED)
		{
			fprintf(stderr, "wrong error: %s\n", last_text);
			abort();
		}
	}
	CurrentMemoryContext = caller;
	empty_context(&mine);
	return damaged;
}

#ifdef HONE_LIBFUZZER

int			LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);

/* Two bytes choose the shape and the rows; the rest is a frame's bytes. */
int
LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
	static const HoneColumnShape shapes[] = {
		{INT4OID, 4, true, TYPALIGN_INT},
		{FLOAT8OID, 8, true, TYPALIGN_DOUBLE},
		{TEXTOID, -1, false, TYPALIGN_INT},
		{CSTRINGOID, -2, false, TYPALIGN_CHAR},
		{UUIDOID, 16, false, TYPALIGN_CHAR},
		{MACADDROID, 6, false, TYPALIGN_INT},
	};
	HoneFuzzCase fuzz = {0};
	HoneBlobHeader header = {0};
	HoneFrameEntry entry = {0};
	StringInfoData blob;

	if (size < 2)
		return 0;
	fuzz.shape = shapes[data[0] % lengthof(shapes)];
	fuzz.nrows = 1 + data[1] * 17;
	header.magic = HONE_BLOB_MAGIC;
	header.version = HONE_BLOB_VERSION;
	header.typbyval = fuzz.shape.typbyval;
	header.typlen = fuzz.shape.typlen;
	header.typalign = fuzz.shape.typalign;
	header.nrows = fuzz.nrows;
	header.nframes = 1;
	header.length = sizeof(header) + sizeof(entry) + size - 2;
	entry.nvectors = (fuzz.nrows + HONE_VECTOR_ROWS - 1) / HONE_VECTOR_ROWS;
	entry.method = HONE_FRAME_RAW;
	entry.raw = entry.stored = size - 2;
	entry.crc = hone_codec_crc(data + 2, size - 2);

	initStringInfo(&blob);
	appendBinaryStringInfo(&blob, (char *) &header, sizeof(header));
	appendBinaryStringInfo(&blob, (char *) &entry, sizeof(entry));
	appendBinaryStringInfo(&blob, (const char *) data + 2, size - 2);
	header.crc = hone_codec_header_crc(blob.data, 1);
	memcpy(blob.data, &header, sizeof(header));
	rejected(&fuzz, &blob);
	pfree(blob.data);
	return 0;
}

#else

int
main(int argc, char **argv)
{
	uint64		random = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
	long		rounds = argc > 2 ? strtol(argv[2], NULL, 10) : 10000;
	long		count = 0;
	HoneFuzzCase *fuzz = NULL;

	for (long i = 0; i < rounds; i++)
	{
		StringInfoData blob;

		if (i % HONE_FUZZ_PER_CASE == 0)
		{
			empty_context(&top);
			if (sigsetjmp(round_start, 0) != 0)
			{
				fprintf(stderr, "round %ld: %s\n", i, last_text);
				return 1;
			}
			fuzz = hone_codec_fuzz_case(&random);
			if (rejected(fuzz, &fuzz->blob))
			{
				fprintf(stderr, "round %ld: an undamaged blob was rejected: %s\n", i, last_text);
				return 1;
			}
		}
		initStringInfo(&blob);
		hone_codec_fuzz_damage(fuzz, &random, &blob);

		/* a copy of exactly its size, so that one byte too far is noticed */
		blob.data = repalloc_huge(blob.data, blob.len);
		count += rejected(fuzz, &blob);
		pfree(blob.data);
	}
	printf("%ld of %ld damaged blobs were rejected\n", count, rounds);
	return 0;
}

#endif
