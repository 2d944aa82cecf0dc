/*-------------------------------------------------------------------------
 *
 * finding.c
 *	  The shared table of findings: fixed size, one lock.
 *
 * Detectors write to it, the views read from it. Writes are rare by design
 * (a burst, a deep page, a sampled execution), so one LWLock is enough; it is
 * held for a few memory copies only, never across catalog access or user
 * code. Readers copy what they need and let go. The table lives in the main
 * shared memory segment, is sized by hone.max_recommendations at start and
 * never grows; when it is full, findings that nobody saw for
 * hone.recommendation_ttl, and cheap ones that nobody saw lately, make room
 * for new ones. A restart of the server brings them back (finding_save.c).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/hsearch.h"

#include "advise/detect.h"
#include "advise/finding.h"

#define FINDING_TRANCHE		"hone_findings"
#define STALE_MS			(10 * 60 * 1000)

/* Header in shared memory; everything under 'lock'. */
typedef struct FindingShared
{
	LWLock	   *lock;
	int64		dropped;		/* found no room since the start */
	uint64		changes;
	TimestampTz swept;			/* last time expired findings were removed */
	pg_atomic_uint64 suspects[HONE_SUSPECTS];
} FindingShared;

HoneFinding hone_finding_delta;

static FindingShared *shared = NULL;
static HTAB *findings = NULL;
pg_atomic_uint64 *hone_suspects = NULL;

static shmem_request_hook_type prev_shmem_request = NULL;
static shmem_startup_hook_type prev_shmem_startup = NULL;

static Size
finding_shmem_size(void)
{
	return add_size(MAXALIGN(sizeof(FindingShared)),
					hash_estimate_size(hone_max_recommendations,
									   sizeof(HoneFinding)));
}

static void
finding_shmem_request(void)
{
	if (prev_shmem_request)
		prev_shmem_request();
	RequestAddinShmemSpace(finding_shmem_size());
	RequestNamedLWLockTranche(FINDING_TRANCHE, 1);
}

static void
finding_shmem_startup(void)
{
	HASHCTL		info;
	bool		found;

	if (prev_shmem_startup)
		prev_shmem_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("hone findings", sizeof(FindingShared), &found);
	if (!found)
	{
		memset(shared, 0, sizeof(FindingShared));
		shared->lock = &(GetNamedLWLockTranche(FINDING_TRANCHE))->lock;
		for (int i = 0; i < HONE_SUSPECTS; i++)
			pg_atomic_init_u64(&shared->suspects[i], 0);
	}
	hone_suspects = shared->suspects;
	memset(&info, 0, sizeof(info));
	info.keysize = sizeof(HoneFindingKey);
	info.entrysize = sizeof(HoneFinding);
	findings = ShmemInitHash("hone findings table",
							 hone_max_recommendations,
							 hone_max_recommendations,
							 &info, HASH_ELEM | HASH_BLOBS | HASH_FIXED_SIZE);
	LWLockRelease(AddinShmemInitLock);
	if (!found)
		hone_finding_load();
	if (!IsUnderPostmaster)
		on_shmem_exit(hone_finding_save_at_exit, (Datum) 0);
}

/* The postmaster, at its end, waits for nobody: what held the lock was killed. */
static bool
lock_table(LWLockMode mode)
{
	if (!IsUnderPostmaster)
		return LWLockConditionalAcquire(shared->lock, mode);
	LWLockAcquire(shared->lock, mode);
	return true;
}

uint64
hone_finding_changes(void)
{
	uint64		changes;

	if (findings == NULL)
		return 0;
	if (!lock_table(LW_SHARED))
		return 0;
	changes = shared->changes;
	LWLockRelease(shared->lock);
	return changes;
}

void
hone_finding_restore(const HoneFinding *saved)
{
	HoneFinding *finding;
	bool		found;

	if (hash_get_num_entries(findings) >= hone_max_recommendations)
		return;
	finding = hash_search(findings, &saved->key, HASH_ENTER_NULL, &found);
	if (finding != NULL && !found)
		memcpy(finding, saved, sizeof(HoneFinding));
	if (saved->parent.queryid != 0)
		hone_suspect_add(saved->parent.queryid);
}

void
hone_finding_init(void)
{
	hone_finding_save_init();
	prev_shmem_request = shmem_request_hook;
	shmem_request_hook = finding_shmem_request;
	prev_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = finding_shmem_startup;
}

static bool
is_expired(const HoneFinding *finding, TimestampTz now)
{
	return TimestampDifferenceExceeds(finding->last_seen, now,
									  hone_recommendation_ttl_ms());
}

/* Not seen for a while: may go for a new one if it was cheap. */
static bool
is_stale(const HoneFinding *finding, TimestampTz now)
{
	return TimestampDifferenceExceeds(finding->last_seen, now, STALE_MS);
}

/*
 * Make room, at most once a minute: expired findings go, and of those not
 * seen for a while the cheaper ones. Lock held exclusively.
 */
static void
sweep(TimestampTz now)
{
	HASH_SEQ_STATUS scan;
	HoneFinding *finding;
	double		cost = 0;
	int			stale = 0;

	if (!TimestampDifferenceExceeds(shared->swept, now, 60 * 1000))
		return;
	shared->swept = now;
	hash_seq_init(&scan, findings);
	while ((finding = hash_seq_search(&scan)) != NULL)
	{
		if (is_stale(finding, now))
		{
			stale++;
			cost += finding->cost_ms;
		}
	}
	if (stale == 0)
		return;
	hash_seq_init(&scan, findings);
	while ((finding = hash_seq_search(&scan)) != NULL)
	{
		if (is_expired(finding, now) ||
			(is_stale(finding, now) && finding->cost_ms <= cost / stale))
			hash_search(findings, &finding->key, HASH_REMOVE, NULL);
	}
}

void
hone_finding_begin(HoneFindingKind kind, Oid relid, uint64 queryid)
{
	memset(&hone_finding_delta, 0, offsetof(HoneFinding, sample));
	hone_finding_delta.key.dbid = MyDatabaseId;

	hone_finding_delta.key.kind = kind;
	hone_finding_delta.key.relid = relid;
	hone_finding_delta.key.queryid = queryid;
}

static void
add_queries(HoneFinding *into, const HoneFinding *delta)
{
	for (int i = 0; i < delta->nqueries; i++)
	{
		int			j;

		for (j = 0; j < into->nqueries; j++)
		{
			if (into->queries[j] == delta->queries[i])
				break;
		}
		if (j == into->nqueries && j < HONE_FINDING_QUERIES)
			into->queries[into->nqueries++] = delta->queries[i];
	}
}

static void
add_recent(HoneFinding *into, const HoneFinding *delta)
{
	if (delta->nrecent == 0)
		return;
	into->recent[into->next_recent] = delta->recent[0];
	into->next_recent = (into->next_recent + 1) % HONE_FINDING_RECENT;
	into->nrecent = Min(into->nrecent + 1, HONE_FINDING_RECENT);
}

/*
 * The whole loop tells its parent better than its beginning does, and one whose
 * keys were looked up better than one that is only suspected.
 */
static void
add_loop(HoneFinding *into, const HoneFinding *delta)
{
	bool		origin = delta->nkeys > 0 && delta->keys[0].column > 0;

	into->confirmed += delta->confirmed;
	into->refuted += delta->refuted;
	if (delta->parent_rows == 0 || (into->confirmed > 0 && !origin))
		return;
	into->parent_rows = delta->parent_rows;
	into->parent = delta->parent;
	into->nkeys = delta->nkeys;
	memcpy(into->keys, delta->keys, sizeof(into->keys));
	into->sample = delta->sample;
}

static bool
is_same_column(const HoneColumnWeight *a, const HoneColumnWeight *b)
{
	return a->column == b->column && a->relid == b->relid && a->attnum == b->attnum;
}

static double
mean_bytes(const HoneColumnWeight *weight)
{
	return weight->rows > 0 ? (double) weight->bytes / weight->rows : 0;
}

/* A heavier column takes the place of the lightest. */
static void
add_weights(HoneFinding *into, const HoneFinding *delta)
{
	for (int i = 0; i < HONE_FINDING_WEIGHTS && delta->weights[i].column > 0; i++)
	{
		const HoneColumnWeight *from = &delta->weights[i];
		HoneColumnWeight *to = NULL;
		HoneColumnWeight *lightest = &into->weights[0];

		for (int j = 0; j < HONE_FINDING_WEIGHTS && to == NULL; j++)
		{
			HoneColumnWeight *weight = &into->weights[j];

			if (is_same_column(weight, from) || weight->column == 0)
				to = weight;
			else if (mean_bytes(weight) < mean_bytes(lightest))
				lightest = weight;
		}
		if (to == NULL && mean_bytes(from) > mean_bytes(lightest))
		{
			memset(lightest, 0, sizeof(HoneColumnWeight));
			to = lightest;
		}
		if (to == NULL)
			continue;
		to->column = from->column;
		to->relid = from->relid;
		to->attnum = from->attnum;
		to->rows += from->rows;
		to->bytes += from->bytes;
		to->outside += from->outside;
		to->fetches += from->fetches;
	}
}

/* Which constants are not the same in all calls; found by their order. */
static void
add_values(HoneFinding *into, const HoneFinding *delta)
{
	if (delta->text_hash == into->text_hash)
		return;
	into->texts_differ = true;
	into->values_unknown |= delta->values_unknown || delta->nkeys != into->nkeys;
	for (int i = 0; i < into->nkeys; i++)
		into->varies[i] |= delta->values[i] != into->values[i];
}

static int
size_order(const void *a, const void *b)
{
	int64		sa = *(const int64 *) a;
	int64		sb = *(const int64 *) b;

	return sa < sb ? -1 : sa > sb;
}

int64
hone_finding_median(const HoneFinding *finding, int64 otherwise)
{
	int64		sizes[HONE_FINDING_RECENT];

	if (finding->nrecent == 0)
		return otherwise;
	memcpy(sizes, finding->recent, sizeof(sizes));
	qsort(sizes, finding->nrecent, sizeof(int64), size_order);
	return sizes[(finding->nrecent - 1) / 2];
}

void
hone_finding_add(HoneFinding *delta)
{
	TimestampTz now = GetCurrentTimestamp();
	HoneFinding *finding;
	bool		found;

	if (findings == NULL)
		return;

	delta->first_seen = delta->last_seen = now;
	delta->told = 0;

	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->changes++;
	finding = hash_search(findings, &delta->key, HASH_FIND, NULL);
	if (finding == NULL)
	{
		if (delta->sample.queryid == 0 || delta->calls == 0)
		{
			/* only more of something that is gone */
			LWLockRelease(shared->lock);
			return;
		}
		if (hash_get_num_entries(findings) >= hone_max_recommendations)
			sweep(now);
		if (hash_get_num_entries(findings) < hone_max_recommendations)
			finding = hash_search(findings, &delta->key, HASH_ENTER_NULL, &found);
		if (finding)
		{
			memcpy(finding, delta, sizeof(HoneFinding));
			finding->times = Max(finding->times, 1);
			if (finding->nkeys > 0 && finding->keys[0].column > 0)
				finding->confirmed = Max(finding->confirmed, 1);
			finding->next_recent = finding->nrecent % HONE_FINDING_RECENT;
		}
		else
			shared->dropped++;
	}
	else
	{
		if (delta->sample.queryid != 0 || delta->calls > 0)
			finding->last_seen = now;
		finding->calls += delta->calls;
		finding->times += delta->times;
		finding->cost_ms += delta->cost_ms;
		finding->gap_ms += delta->gap_ms;
		finding->saving_ms += delta->saving_ms;
		finding->rows += delta->rows;
		finding->rows_kept += delta->rows_kept;
		finding->rows_max = Max(finding->rows_max, delta->rows_max);
		for (int i = 0; i < HONE_FINDING_COUNTS; i++)
			finding->counts[i] += delta->counts[i];
		add_queries(finding, delta);
		add_recent(finding, delta);
		if (delta->key.kind == HONE_FINDING_INDEX && delta->node != 0)
			finding->node = delta->node;
		if (delta->key.kind == HONE_FINDING_N_PLUS_ONE)
			add_loop(finding, delta);
		if (delta->key.kind == HONE_FINDING_STAR)
			add_weights(finding, delta);
		if (delta->key.kind == HONE_FINDING_MATERIALIZE)
			add_values(finding, delta);
	}
	LWLockRelease(shared->lock);
}

void
hone_finding_count_from(const HoneFindingKey *key, int64 counted)
{
	HoneFinding *finding;

	if (findings == NULL)
		return;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	finding = hash_search(findings, key, HASH_FIND, NULL);
	if (finding != NULL)
	{
		finding->counted_at = GetCurrentTimestamp();
		finding->counted = counted;
		finding->counted_calls = finding->calls;
		shared->changes++;
	}
	LWLockRelease(shared->lock);
}

HoneFinding *
hone_finding_copy(Oid dbid, bool untold, int *count)
{
	HASH_SEQ_STATUS scan;
	HoneFinding *finding;
	HoneFinding *copies;
	TimestampTz now = GetCurrentTimestamp();
	int			n = 0;
	int			room = 0;

	*count = 0;
	if (findings == NULL)
		return NULL;

	/* count, allocate without the lock, copy */
	if (!lock_table(LW_SHARED))
		return NULL;
	hash_seq_init(&scan, findings);
	while ((finding = hash_seq_search(&scan)) != NULL)
	{
		if (finding->key.dbid == dbid || !OidIsValid(dbid))
			room++;
	}
	LWLockRelease(shared->lock);

	room += 16;
	copies = MemoryContextAllocHuge(CurrentMemoryContext,
									(Size) room * sizeof(HoneFinding));

	if (!lock_table(untold ? LW_EXCLUSIVE : LW_SHARED))
		return copies;
	hash_seq_init(&scan, findings);
	while ((finding = hash_seq_search(&scan)) != NULL)
	{
		if (n == room)
		{
			hash_seq_term(&scan);
			break;
		}
		if ((finding->key.dbid != dbid && OidIsValid(dbid)) || is_expired(finding, now))
			continue;
		if (untold)
		{
			if (finding->told >= finding->last_seen)
				continue;
			finding->told = finding->last_seen;
		}
		memcpy(&copies[n++], finding, sizeof(HoneFinding));
	}
	LWLockRelease(shared->lock);

	*count = n;
	return copies;
}

int
hone_finding_forget(Oid dbid)
{
	HASH_SEQ_STATUS scan;
	HoneFinding *finding;
	int			n = 0;

	if (findings == NULL)
		return 0;
	LWLockAcquire(shared->lock, LW_EXCLUSIVE);
	shared->changes++;
	hash_seq_init(&scan, findings);
	while ((finding = hash_seq_search(&scan)) != NULL)
	{
		if (finding->key.dbid != dbid)
			continue;
		hash_search(findings, &finding->key, HASH_REMOVE, NULL);
		n++;
	}
	LWLockRelease(shared->lock);
	/* also those of other databases, which come again with the next loop */
	for (int i = 0; i < HONE_SUSPECTS; i++)
		pg_atomic_write_u64(&shared->suspects[i], 0);
	return n;
}

void
hone_finding_usage(int *held, int *room, int64 *dropped)
{
	*held = 0;
	*room = hone_max_recommendations;
	*dropped = 0;
	if (findings == NULL)
		return;
	LWLockAcquire(shared->lock, LW_SHARED);
	*held = (int) hash_get_num_entries(findings);
	*dropped = shared->dropped;
	LWLockRelease(shared->lock);
}

int64
hone_finding_id(const HoneFindingKey *key)
{
	uint64		id = hash_bytes_extended((const unsigned char *) key,
										 sizeof(HoneFindingKey), 0);

	return (int64) (id & PG_INT64_MAX);
}
