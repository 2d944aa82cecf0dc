/*-------------------------------------------------------------------------
 *
 * save.c
 *	  The statistics in a file, over a restart.
 *
 * The postmaster writes pg_stat/pg_hone.stat when the server has been shut
 * down and all sessions are gone: nothing is lost. The collector writes
 * pg_stat_tmp/pg_hone.stat every hone.history_interval, for the case of a
 * crash. At start the first is read if it is there, else the second. What was
 * read from the first is moved to the place of the second, so that a crash
 * right after the start finds it, and base backups, which leave pg_stat_tmp
 * out, do not carry one server's statistics to another.
 *
 * Both are written under another name, flushed, and renamed. A file is: a
 * header, entries each introduced by its kind, an end mark, and the CRC-32C
 * of all before it. It is read twice, first for the checksum: what was not
 * written whole by a library with this very layout is not touched.
 *
 * What was written to the history after the collector saved, and before a
 * crash, must not be written there again: from a file of the collector's,
 * numbers count as kept in the history. What it lacks is lost, at most the
 * last interval.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <unistd.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"

#include "common/savefile.h"
#include "stats/samples.h"
#include "stats/save.h"
#include "stats/shared.h"

#define CLEAN_FILE		PGSTAT_STAT_PERMANENT_DIRECTORY "/pg_hone.stat"
#define CRASH_FILE		PG_STAT_TMP_DIR "/pg_hone.stat"
/* Twice the largest hone.stats_text_size, with their ends. */
#define LONGEST_TEXTS	(2 * (1024 * 1024 + 1))

#define SAVE_CONTENTS	"statistics"

#define SAVE_MAGIC		UINT64CONST(0x31455641534e4f48) /* "HONSAVE1" */
#define SAVE_END		0xFFFFFFFF

/* Of the layouts below; together with their sizes in the header. */
#define SAVE_FORMAT		3

typedef struct SaveHeader
{
	uint64		magic;
	uint32		format;
	uint32		server;			/* HONE_SERVER_VERSION */
	uint32		key_size;
	uint32		counters_size;
	uint32		histogram_bits;
	uint32		clean;
	TimestampTz since;
	TimestampTz promoted_at;
	TimestampTz saved_at;
	uint32		standby;
	uint32		unused;
} SaveHeader;

/* Follows the kind of an entry. */
typedef struct SaveNode
{
	HoneStatsKey key;
	TimestampTz last_seen;
	int64		count;			/* of errors */
	uint32		parts;			/* of queries: 1 to 3, the first is fresh; of
								 * samples: how many follow */
	uint32		length;			/* of texts: bytes that follow */
	int32		encoding;
	int32		text_length;
	int32		sample_length;
	uint32		unused;
} SaveNode;

/* Of a sample, which follows. */
typedef struct SaveSample
{
	uint32		place;
	uint32		size;
} SaveSample;

/* Then 'used' buckets and as many counts. */
typedef struct SavePart
{
	HoneStatsCounters counters;
	uint32		used;
	uint32		unused;
} SavePart;

static void
put_part(StringInfo buffer, const HoneStatsPart *part)
{
	SavePart	saved = {.counters = part->counters,.used = part->used};
	HoneHistogram view;

	hone_stats_part_histogram(part, &view);
	appendBinaryStringInfo(buffer, (char *) &saved, sizeof(saved));
	if (view.used == 0)
		return;
	appendBinaryStringInfo(buffer, (char *) view.bucket, view.used * sizeof(uint16));
	appendBinaryStringInfo(buffer, (char *) view.count, view.used * sizeof(uint64));
}

static void
put_samples(StringInfo buffer, SaveNode *saved, const HoneStatsSamples *samples)
{
	for (int i = 0; i < HONE_STATS_SAMPLES; i++)
		saved->parts += DsaPointerIsValid(samples->places[i].sample);
	appendBinaryStringInfo(buffer, (char *) saved, sizeof(*saved));
	for (uint32 i = 0; i < HONE_STATS_SAMPLES; i++)
	{
		HoneSample *sample;
		SaveSample	head = {.place = i};

		if (!DsaPointerIsValid(samples->places[i].sample))
			continue;
		sample = dsa_get_address(hone_stats_area, samples->places[i].sample);
		head.size = sample->size;
		appendBinaryStringInfo(buffer, (char *) &head, sizeof(head));
		appendBinaryStringInfo(buffer, (char *) sample, sample->size);
	}
}

/* Only reads shared memory: running out of memory leaves nothing half done. */
static void
put_node(StringInfo buffer, const HoneStatsNode *node)
{
	uint32		kind = node->key.kind;
	SaveNode	saved;

	memset(&saved, 0, sizeof(saved));
	saved.key = node->key;
	saved.last_seen = node->last_seen;
	appendBinaryStringInfo(buffer, (char *) &kind, sizeof(kind));
	if (HONE_STATS_HAS_PARTS(kind))
	{
		const HoneStatsQuery *query = (const HoneStatsQuery *) node;
		const HoneStatsPart *parts[HONE_STATS_PARTS];

		saved.parts = hone_stats_parts(query, parts);
		appendBinaryStringInfo(buffer, (char *) &saved, sizeof(saved));
		for (uint32 i = 0; i < saved.parts; i++)
			put_part(buffer, parts[i]);
		return;
	}
	if (kind == HONE_STATS_SAMPLE)
	{
		put_samples(buffer, &saved, (const HoneStatsSamples *) node);
		return;
	}
	if (kind == HONE_STATS_ERROR)
		saved.count = ((const HoneStatsError *) node)->count;
	else
	{
		const HoneStatsText *text = (const HoneStatsText *) node;

		saved.encoding = text->encoding;
		saved.text_length = text->text_length;
		saved.sample_length = text->sample_length;
		saved.length = text->text_length + text->sample_length;
	}
	appendBinaryStringInfo(buffer, (char *) &saved, sizeof(saved));
	if (saved.length > 0)
		appendBinaryStringInfo(buffer, ((const HoneStatsText *) node)->bytes, saved.length);
}

static void
write_table(HoneSaveFile *out)
{
	StringInfoData buffer;

	initStringInfo(&buffer);
	for (uint32 i = 0; i < hone_stats_shared->bucket_count; i++)
	{
		LWLock	   *lock = hone_stats_partition_lock(i);
		HoneStatsNode *node;

		if (!DsaPointerIsValid(*hone_stats_chain(i)))
			continue;
		/* The postmaster cannot wait: a walsender may just have been killed. */
		if (!hone_stats_lock(lock, LW_SHARED, IsUnderPostmaster))
		{
			out->failed = true;
			break;
		}
		resetStringInfo(&buffer);
		for (node = hone_stats_first(i); node != NULL; node = hone_stats_next(node))
		{
			put_node(&buffer, node);
		}
		LWLockRelease(lock);
		hone_save_bytes(out, buffer.data, buffer.len);
	}
	pfree(buffer.data);
}

static void
write_file(HoneSaveFile *out, void *arg)
{
	SaveHeader	header;
	uint32		end = SAVE_END;

	memset(&header, 0, sizeof(header));
	header.magic = SAVE_MAGIC;
	header.format = SAVE_FORMAT;
	header.server = HONE_SERVER_VERSION;
	header.key_size = sizeof(HoneStatsKey);
	header.counters_size = sizeof(HoneStatsCounters);
	header.histogram_bits = HONE_HISTOGRAM_BITS;
	header.clean = *(bool *) arg;
	header.since = hone_stats_shared->since;
	header.promoted_at = hone_stats_shared->promoted_at;
	header.standby = hone_stats_shared->standby;
	header.saved_at = GetCurrentTimestamp();

	hone_save_bytes(out, &header, sizeof(header));
	write_table(out);
	hone_save_bytes(out, &end, sizeof(end));
}

bool
hone_save_write(bool clean)
{
	if (!hone_save_file(clean ? CLEAN_FILE : CRASH_FILE, SAVE_CONTENTS, write_file, &clean))
		return false;
	pg_atomic_write_u64(&hone_stats_shared->last_save, GetCurrentTimestamp());
	return true;
}

/* What is wrong with the header, or NULL. */
static const char *
read_header(HoneSaveFile *in, SaveHeader *header)
{
	if (!hone_save_get(in, header, sizeof(*header)))
		return "it is too short";
	if (header->magic != SAVE_MAGIC || header->format != SAVE_FORMAT ||
		header->server != HONE_SERVER_VERSION ||
		header->key_size != sizeof(HoneStatsKey) ||
		header->counters_size != sizeof(HoneStatsCounters) ||
		header->histogram_bits != HONE_HISTOGRAM_BITS)
		return "it is of another version";
	return NULL;
}

/* Add a part of an entry; query NULL: there was no room, skip it. */
static bool
read_part(HoneSaveFile *in, HoneStatsQuery *query, bool to_kept)
{
	static uint16 bucket[HONE_HISTOGRAM_BUCKETS];
	static uint64 count[HONE_HISTOGRAM_BUCKETS];
	SavePart	saved;
	HoneHistogram histogram = {0, bucket, count};
	HoneStatsPart *part;

	if (!hone_save_get(in, &saved, sizeof(saved)) || saved.used > HONE_HISTOGRAM_BUCKETS ||
		!hone_save_get(in, bucket, saved.used * sizeof(uint16)) ||
		!hone_save_get(in, count, saved.used * sizeof(uint64)))
		return false;
	for (uint32 i = 0; i < saved.used; i++)
		if (bucket[i] >= HONE_HISTOGRAM_BUCKETS || (i > 0 && bucket[i] <= bucket[i - 1]))
			return false;
	histogram.used = saved.used;
	if (query == NULL)
		return true;
	part = to_kept ? hone_stats_make_kept(query) : &query->fresh;
	if (part != NULL)
		hone_stats_part_add(part, &saved.counters, &histogram);
	return true;
}

static bool
read_query(HoneSaveFile *in, const SaveNode *saved, HoneStatsQuery *query, bool clean)
{
	if (query != NULL)
		query->node.last_seen = saved->last_seen;
	for (uint32 part = 0; part < saved->parts; part++)
		if (!read_part(in, query, part > 0 || !clean))
			return false;
	return true;
}

static bool
read_text(HoneSaveFile *in, const SaveNode *saved, HoneStatsText *text)
{
	char		skipped[1024];

	if (text != NULL)
	{
		text->node.last_seen = saved->last_seen;
		text->encoding = saved->encoding;
		text->text_length = saved->text_length;
		text->sample_length = saved->sample_length;
		return hone_save_get(in, text->bytes, saved->length) &&
			text->bytes[text->text_length - 1] == '\0' &&
			(text->sample_length == 0 || text->bytes[saved->length - 1] == '\0');
	}
	for (uint32 left = saved->length; left > 0;)
	{
		uint32		part = Min(left, sizeof(skipped));

		if (!hone_save_get(in, skipped, part))
			return false;
		left -= part;
	}
	return true;
}

StaticAssertDecl(HONE_SAMPLE_LARGEST <= BLCKSZ, "a sample must fit into a block");

/* samples NULL: there was no room, skip them. */
static bool
read_samples(HoneSaveFile *in, const SaveNode *saved, HoneStatsSamples *samples)
{
	PGAlignedBlock block;
	HoneSample *sample = (HoneSample *) block.data;
	SaveSample	head;

	if (samples != NULL)
		samples->node.last_seen = saved->last_seen;
	for (uint32 i = 0; i < saved->parts; i++)
	{
		HoneStatsSamplePlace *place;

		if (!hone_save_get(in, &head, sizeof(head)) || head.place >= HONE_STATS_SAMPLES ||
			head.size > sizeof(block) || !hone_save_get(in, sample, head.size) ||
			!hone_sample_is_sound(sample, head.size))
			return false;
		place = samples != NULL ? &samples->places[head.place] : NULL;
		if (place == NULL || DsaPointerIsValid(place->sample))
			continue;
		place->sample = hone_stats_allocate(head.size);
		if (!DsaPointerIsValid(place->sample))
			continue;
		place->capacity = head.size;
		memcpy(dsa_get_address(hone_stats_area, place->sample), sample, head.size);
	}
	return true;
}

/* Is what follows believable? The checksum was right; this is the belt. */
static bool
is_sound(uint32 kind, const SaveNode *saved)
{
	if (kind != saved->key.kind)
		return false;
	if (HONE_STATS_HAS_PARTS(kind))
		return saved->parts >= 1 && saved->parts <= HONE_STATS_PARTS;
	if (kind == HONE_STATS_ERROR)
		return true;
	if (kind == HONE_STATS_SAMPLE)
		return saved->parts <= HONE_STATS_SAMPLES;
	return kind == HONE_STATS_TEXT && saved->text_length > 0 &&
		saved->sample_length >= 0 && saved->length <= LONGEST_TEXTS &&
		saved->length == (uint32) saved->text_length + (uint32) saved->sample_length;
}

/* One entry; false at the end and at what makes no sense. */
static bool
read_node(HoneSaveFile *in, const SaveHeader *header, int64 *left_out)
{
	uint32		kind;
	SaveNode	saved;
	uint32		bucket;
	HoneStatsNode *node;
	Size		size;

	if (!hone_save_get(in, &kind, sizeof(kind)) || kind == SAVE_END)
		return false;
	if (!hone_save_get(in, &saved, sizeof(saved)) || !is_sound(kind, &saved))
	{
		in->failed = true;
		return false;
	}
	size = HONE_STATS_HAS_PARTS(kind) ? sizeof(HoneStatsQuery) :
		kind == HONE_STATS_ERROR ? sizeof(HoneStatsError) :
		kind == HONE_STATS_SAMPLE ? sizeof(HoneStatsSamples) :
		offsetof(HoneStatsText, bytes) + saved.length;
	bucket = hone_stats_bucket(saved.key.dbid, saved.key.queryid);
	node = hone_stats_find(bucket, &saved.key);
	if (node != NULL && !(HONE_STATS_HAS_PARTS(kind) && saved.key.queryid == 0))
	{
		in->failed = true;
		return false;
	}
	if (node == NULL)
		node = hone_stats_insert(bucket, &saved.key, size);
	if (node == NULL)
		(*left_out)++;
	if (HONE_STATS_HAS_PARTS(kind))
		in->failed |= !read_query(in, &saved, (HoneStatsQuery *) node, header->clean);
	else if (kind == HONE_STATS_SAMPLE)
		in->failed |= !read_samples(in, &saved, (HoneStatsSamples *) node);
	else if (kind == HONE_STATS_TEXT)
		in->failed |= !read_text(in, &saved, (HoneStatsText *) node);
	else if (node != NULL)
	{
		((HoneStatsError *) node)->count = saved.count;
		node->last_seen = saved.last_seen;
	}
	return !in->failed;
}

/* What is wrong with the file, or NULL when all of it was read. */
static const char *
read_file(HoneSaveFile *in)
{
	SaveHeader	header;
	const char *problem = read_header(in, &header);
	int64		left_out = 0;

	if (problem != NULL)
		return problem;
	header.clean = header.clean && strcmp(in->path, CLEAN_FILE) == 0;
	while (read_node(in, &header, &left_out))
		;
	if (in->failed)
		return "its contents are damaged";
	hone_stats_shared->since = header.since;
	hone_stats_shared->promoted_at = header.promoted_at;
	hone_stats_shared->standby = header.standby != 0;
	if (left_out > 0)
		ereport(LOG,
				(errmsg("pg_hone: " INT64_FORMAT " entries of the saved statistics found no room",
						left_out),
				 errhint("Raise hone.max_memory.")));
	return NULL;
}

void
hone_save_read(void)
{
	if (!hone_load_file(CLEAN_FILE, SAVE_CONTENTS, read_file))
		(void) hone_load_file(CRASH_FILE, SAVE_CONTENTS, read_file);
	else if (rename(CLEAN_FILE, CRASH_FILE) != 0)
		unlink(CLEAN_FILE);
}
