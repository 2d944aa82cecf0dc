/*-------------------------------------------------------------------------
 *
 * texts.c
 *	  Query texts: normalised, and one original sample, in shared memory.
 *
 * A text is stored once per (database, query), when the query is first
 * analysed, cut at hone.stats_text_size. Each backend remembers in a small
 * cache which texts are there, so that a known query costs one comparison.
 * When the worker evicts texts it bumps text_epoch, which empties the caches.
 *
 * Statements that carry secrets reach us without a source text (capture/
 * takes it away), and a text that speaks of a password has no sample.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/scansup.h"
#include "utils/memutils.h"

#include "common/sqltext.h"
#include "stats/texts.h"

#define KNOWN_TEXTS		2048	/* a power of two */

static uint64 known[KNOWN_TEXTS];
static uint32 known_epoch = 0;

static uint64
known_tag(Oid dbid, uint64 queryid)
{
	return (queryid ^ ((uint64) dbid << 32)) | 1;
}

static pg_noinline void
forget_known(uint32 epoch)
{
	memset(known, 0, sizeof(known));
	known_epoch = epoch;
}

static inline bool
is_known(Oid dbid, uint64 queryid)
{
	uint64		tag = known_tag(dbid, queryid);
	uint32		epoch = pg_atomic_read_u32(&hone_stats_shared->text_epoch);

	if (unlikely(epoch != known_epoch))
		forget_known(epoch);
	return known[(tag >> 1) % KNOWN_TEXTS] == tag;
}

static void
remember(Oid dbid, uint64 queryid)
{
	uint64		tag = known_tag(dbid, queryid);

	known[(tag >> 1) % KNOWN_TEXTS] = tag;
}

static void
forget(Oid dbid, uint64 queryid)
{
	uint64		tag = known_tag(dbid, queryid);

	if (known[(tag >> 1) % KNOWN_TEXTS] == tag)
		known[(tag >> 1) % KNOWN_TEXTS] = 0;
}

static bool
is_stored(const HoneStatsKey *key)
{
	uint32		bucket = hone_stats_bucket(key->dbid, key->queryid);
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	bool		found;

	LWLockAcquire(lock, LW_SHARED);
	found = hone_stats_find(bucket, key) != NULL;
	LWLockRelease(lock);
	return found;
}

/* Where the lock is not free, the next call of the query tries again. */
static void
store(const HoneStatsKey *key, const char *text, int text_length,
	  const char *sample, int sample_length)
{
	uint32		bucket = hone_stats_bucket(key->dbid, key->queryid);
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	HoneStatsText *node;
	bool		full = false;

	if (!LWLockConditionalAcquire(lock, LW_EXCLUSIVE))
	{
		forget(key->dbid, key->queryid);
		return;
	}
	if (hone_stats_find(bucket, key) == NULL)
	{
		node = (HoneStatsText *)
			hone_stats_insert(bucket, key, offsetof(HoneStatsText, bytes) +
							  text_length + 1 + (sample ? sample_length + 1 : 0));
		full = node == NULL;
		if (node != NULL)
		{
			node->node.last_seen = GetCurrentTimestamp();
			node->encoding = GetDatabaseEncoding();
			node->text_length = text_length + 1;
			memcpy(node->bytes, text, text_length + 1);
			if (sample)
			{
				node->sample_length = sample_length + 1;
				memcpy(node->bytes + text_length + 1, sample, sample_length + 1);
			}
		}
	}
	LWLockRelease(lock);
	if (full)
		pg_atomic_fetch_add_u64(&hone_stats_shared->texts_dropped, 1);
}

/*
 * Normalise and store one statement's text. constants as for
 * hone_sql_normalise().
 */
static void
keep_text(const HoneStatsKey *key, const char *text, int length,
		  const HoneSqlConstant *constants, int nconstants, int first_param,
		  bool with_sample)
{
	int			size = Min((int64) hone_stats_text_size, (int64) length * 12 + 1);
	char	   *normalised;
	char	   *sample = NULL;
	int			normalised_length;
	int			sample_length = 0;
	int			replaced;
	int			ignored;

	normalised = MemoryContextAllocExtended(CurrentMemoryContext, size, MCXT_ALLOC_NO_OOM);
	if (normalised == NULL)
		return;
	normalised_length = hone_sql_normalise(text, length, constants, nconstants,
										   first_param, normalised, size, &replaced);
	if (with_sample)
	{
		sample = MemoryContextAllocExtended(CurrentMemoryContext, size, MCXT_ALLOC_NO_OOM);
		if (sample != NULL)
			sample_length = hone_sql_normalise(text, length, NULL, 0, 1,
											   sample, size, &ignored);
	}
	if (sample != NULL && hone_sql_mentions(sample, sample_length, "password"))
	{
		pfree(sample);
		sample = NULL;
	}
	store(key, normalised, normalised_length, sample, sample_length);
	pfree(normalised);
	if (sample != NULL)
		pfree(sample);
}

/* Bytes of a statement in its source; false when they make no sense. */
static bool
find_statement(const char *source, int *location, int *length)
{
	int			source_length;

	if (source == NULL)
		return false;
	source_length = strlen(source);
	if (*location < 0)
	{
		*location = 0;
		*length = 0;
	}
	if (*location > source_length)
		return false;
	if (*length <= 0 || *location + *length > source_length)
		*length = source_length - *location;
	while (*length > 0 && scanner_isspace(source[*location]))
	{
		(*location)++;
		(*length)--;
	}
	return *length > 0;
}

static int
compare_constants(const void *a, const void *b)
{
	const HoneSqlConstant *x = a;
	const HoneSqlConstant *y = b;

	return x->location < y->location ? -1 : x->location > y->location;
}

/*
 * The places to be replaced, sorted, relative to the statement's start; NULL
 * when there is no memory.
 */
static HoneSqlConstant *
jumbled_constants(JumbleState *jstate, int location, int *nconstants)
{
	HoneSqlConstant *constants;
	int			n = 0;

	constants = MemoryContextAllocExtended(CurrentMemoryContext,
										   (jstate->clocations_count + 1) * sizeof(HoneSqlConstant),
										   MCXT_ALLOC_NO_OOM);
	if (constants == NULL)
		return NULL;
	for (int i = 0; i < jstate->clocations_count; i++)
	{
		LocationLen *place = &jstate->clocations[i];

		if (HONE_CONSTANT_IS_PARAM(place) && !HONE_PARAMS_RENUMBERED(jstate))
			continue;
		constants[n].location = place->location - location;
		constants[n].squashed = HONE_CONSTANT_SQUASHED(place);
		n++;
	}
	*nconstants = n;
	qsort(constants, n, sizeof(HoneSqlConstant), compare_constants);
	return constants;
}

void
hone_texts_analyzed(ParseState *pstate, Query *query, JumbleState *jstate)
{
	uint64		queryid = HONE_QUERYID(query);
	int			location = query->stmt_location;
	int			length = query->stmt_len;
	int			prefix;
	HoneStatsKey key;
	HoneSqlConstant *constants;
	int			nconstants;

	if (jstate == NULL || queryid == 0 || query->commandType == CMD_UTILITY ||
		is_known(MyDatabaseId, queryid) || !hone_stats_attach())
		return;
	hone_stats_key_init(&key, HONE_STATS_TEXT, MyDatabaseId, InvalidOid, queryid, false, 0);
	remember(MyDatabaseId, queryid);
	if (is_stored(&key) ||
		!find_statement(pstate->p_sourcetext, &location, &length))
		return;
	prefix = hone_sql_skip_prefix(pstate->p_sourcetext + location, length);
	location += prefix;
	length -= prefix;
	constants = jumbled_constants(jstate, location, &nconstants);
	if (constants == NULL)
		return;
	keep_text(&key, pstate->p_sourcetext + location, length,
			  constants, nconstants,
			  jstate->highest_extern_param_id + 1, true);
	pfree(constants);
}

bool
hone_texts_statement(const HoneRecord *record, const char **text, int *length)
{
	int			location = record->location;
	int			prefix;

	*length = record->length;
	if (!find_statement(record->source, &location, length))
		return false;
	*text = record->source + location;
	prefix = record->cmd != CMD_UTILITY ? hone_sql_skip_prefix(*text, *length) : 0;
	*text += prefix;
	*length -= prefix;
	return true;
}

/*
 * Utility statements, and queries that were analysed before anybody looked:
 * their constants are not known by place, so all of them go out, but for DO
 * blocks, whose whole code is one constant.
 */
static pg_noinline void
keep_seen(const HoneRecord *record)
{
	int			length;
	HoneStatsKey key;
	const char *text;
	int			end;
	bool		is_do;

	if (record->queryid == 0 || record->source == NULL ||
		record->kind != HONE_RECORD_EXEC || record->in_abort ||
		!hone_stats_attach())
		return;
	hone_stats_key_init(&key, HONE_STATS_TEXT, record->dbid, InvalidOid,
						record->queryid, false, 0);
	remember(record->dbid, record->queryid);
	if (is_stored(&key) || !hone_texts_statement(record, &text, &length))
		return;
	is_do = record->cmd == CMD_UTILITY &&
		hone_sql_token(text, length, 0, &end) == HONE_SQL_WORD &&
		hone_sql_is_word(text, 0, end, "do");
	if (is_do && hone_sql_mentions(text, length, "password"))
		return;
	keep_text(&key, text, length, NULL, is_do ? 0 : -1, 1, false);
}

void
hone_texts_seen(const HoneRecord *record)
{
	if (!is_known(record->dbid, record->queryid))
		keep_seen(record);
}

/*
 * A text of another database may not be valid here: what is not ASCII in it
 * becomes '?' then, which no conversion can refuse.
 */
static void
make_printable(char *text, int encoding)
{
	if (encoding == GetDatabaseEncoding())
		return;
	for (; *text != '\0'; text++)
		if (IS_HIGHBIT_SET(*text))
			*text = '?';
}

/* Copy a text (or its sample) out; NULL when there is none. */
static char *
fetch_text(Oid dbid, uint64 queryid, bool sample)
{
	uint32		bucket;
	LWLock	   *lock;
	HoneStatsKey key;
	HoneStatsText *node;
	char	   *result = NULL;
	int			encoding = GetDatabaseEncoding();

	if (!hone_stats_attach())
		return NULL;
	bucket = hone_stats_bucket(dbid, queryid);
	lock = hone_stats_partition_lock(bucket);
	hone_stats_key_init(&key, HONE_STATS_TEXT, dbid, InvalidOid, queryid, false, 0);
	LWLockAcquire(lock, LW_SHARED);
	node = (HoneStatsText *) hone_stats_find(bucket, &key);

	/* Running out of memory here leaves nothing half done; abort unlocks. */
	if (node != NULL && !(sample && node->sample_length == 0))
	{
		result = pstrdup(node->bytes + (sample ? node->text_length : 0));
		encoding = node->encoding;
	}
	LWLockRelease(lock);
	if (result != NULL)
		make_printable(result, encoding);
	return result;
}

char *
hone_stats_text(Oid dbid, uint64 queryid)
{
	return fetch_text(dbid, queryid, false);
}

char *
hone_stats_sample_text(Oid dbid, uint64 queryid)
{
	return fetch_text(dbid, queryid, true);
}
