/*-------------------------------------------------------------------------
 *
 * writes.c
 *	  Row-by-row writes: the same INSERT, UPDATE or DELETE of one row, again
 *	  and again.
 *
 * Libraries put each saved object into a transaction of its own, so a series
 * of writes goes on over transactions; it ends with a pause longer than
 * hone.n_plus_one_gap outside of one, or with another role or application.
 *
 * Within one transaction many writes of one shape are a series, whatever comes
 * between them. Over several transactions they are only if hardly anything else
 * is written meanwhile: an application that serves one request after the other
 * without a pause writes several tables in each of them.
 *
 * Only the client's own statements count: of those in functions and triggers
 * nobody waits for a round trip.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_class.h"
#include "parser/parsetree.h"
#include "utils/memutils.h"

#include "advise/window.h"

#define SERIES			8		/* shapes looked at */
#define BLOCK_SHARE		0.25	/* of the statements of one transaction */
#define WRITE_SHARE		0.9		/* of the writes of several */
#define READS			2		/* for each write of several */

typedef struct WriteSeries
{
	uint64		queryid;		/* 0 = free */
	CmdType		cmd;
	Oid			relid;
	int64		calls;
	int64		elapsed_ns;
	int64		gap_ns;
	int64		told_calls;
	int64		told_elapsed_ns;
	int64		told_gap_ns;
	int64		transactions;
	uint32		lxid;			/* of the latest call */
	int64		writes_before;	/* counters when it began */
	int64		reads_before;
	int			nkeys;
	HoneShapeKey keys[HONE_CALL_KEYS];
	HoneSample *sample;
	Size		sample_size;
	int32		sample_ids[HONE_CALL_KEYS]; /* where the sample has its keys */
} WriteSeries;

static WriteSeries series[SERIES];
static int	used = 0;
static int64 all_writes = 0;
int64		hone_writes_reads = 0;
static MemoryContext context = NULL;
static HoneFinding *const delta = &hone_finding_delta;

/* The client's own table that a plan writes, or InvalidOid. */
static Oid
written_relation(PlannedStmt *stmt)
{
	RangeTblEntry *rte;

	if (list_length(stmt->resultRelations) != 1)
		return InvalidOid;
	rte = rt_fetch(linitial_int(stmt->resultRelations), stmt->rtable);
	return rte->relkind == RELKIND_RELATION && rte->relid >= FirstNormalObjectId ?
		rte->relid : InvalidOid;
}

static bool
has_changing_key(const WriteSeries *s)
{
	for (int i = 0; i < s->nkeys; i++)
	{
		if (hone_key_changes(&s->keys[i], s->calls))
			return true;
	}
	return false;
}

/* The values that change, for the reader to see whether they choose the row. */
static void
add_keys(const WriteSeries *s)
{
	for (int i = 0; i < s->nkeys; i++)
	{
		if (hone_key_changes(&s->keys[i], s->calls))
			hone_loop_key_init(&delta->keys[delta->nkeys++], s->sample_ids[i]);
	}
}

static bool
is_series(const WriteSeries *s)
{
	int64		writes = all_writes - s->writes_before;
	int64		reads = hone_writes_reads - s->reads_before;

	if (s->calls < hone_row_by_row_threshold || s->sample == NULL)
		return false;
	if (s->cmd != CMD_INSERT && !has_changing_key(s))
		return false;
	if (s->transactions <= 1)
		return s->calls >= BLOCK_SHARE * (writes + reads);
	return s->calls >= WRITE_SHARE * writes && reads <= READS * s->calls;
}

static void
report(WriteSeries *s, bool ended)
{
	int64		calls = s->calls - s->told_calls;
	double		ms = (s->elapsed_ns - s->told_elapsed_ns) / 1e6;

	if (!is_series(s) || (calls == 0 && !ended))
		return;
	hone_finding_begin(HONE_FINDING_ROW_WRITE, s->relid, s->queryid);
	delta->calls = calls;
	delta->times = s->told_calls == 0 ? 1 : 0;
	delta->gap_ms = (s->gap_ns - s->told_gap_ns) / 1e6;
	delta->cost_ms = ms + delta->gap_ms;
	/* one round trip remains; the rows must still be written */
	delta->saving_ms = delta->gap_ms;
	delta->rows_max = s->calls;
	delta->parent_rows = s->transactions;
	if (ended)
	{
		delta->nrecent = 1;
		delta->recent[0] = s->calls;
	}
	add_keys(s);
	hone_sample_put(&delta->sample, s->sample);
	delta->parent.queryid = 0;
	hone_finding_add(delta);

	s->told_calls = s->calls;
	s->told_elapsed_ns = s->elapsed_ns;
	s->told_gap_ns = s->gap_ns;
}

/* No more of it will come; its place is free. */
static void
end_series(WriteSeries *s)
{
	report(s, true);
	if (s->sample != NULL)
	{
		hone_memory_give(s->sample_size);
		pfree(s->sample);
	}
	memset(s, 0, sizeof(WriteSeries));
}

void
hone_writes_end(void)
{
	for (int i = 0; i < used; i++)
		end_series(&series[i]);
	used = 0;
}

/* The series of a statement; a new one may take the place of the shortest. */
static WriteSeries *
find_series(const HoneRecord *record)
{
	WriteSeries *s;
	Oid			relid;

	for (int i = 0; i < used; i++)
	{
		if (series[i].queryid == record->queryid)
			return &series[i];
	}
	relid = written_relation(record->query_desc->plannedstmt);
	if (!OidIsValid(relid))
		return NULL;
	if (used < SERIES)
		s = &series[used++];
	else
	{
		s = &series[0];
		for (int i = 1; i < SERIES; i++)
		{
			if (series[i].calls < s->calls)
				s = &series[i];
		}
		end_series(s);
	}
	s->queryid = record->queryid;
	s->cmd = record->cmd;
	s->relid = relid;
	s->writes_before = all_writes - 1;
	s->reads_before = hone_writes_reads;
	return s;
}

static void
take_sample(WriteSeries *s, const HoneRecord *record, const HoneCallKeys *keys)
{
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "hone write samples",
										ALLOCSET_SMALL_SIZES);
	s->sample = hone_sample_keep(record, context, &s->sample_size);
	for (int i = 0; i < keys->n; i++)
		s->sample_ids[i] = keys->id[i];
}

void
hone_writes_count(const HoneRecord *record, const HoneCallKeys *keys,
				  int64 gap_ns)
{
	WriteSeries *s;

	if (record->nest_level > 0 || record->query_desc == NULL || record->queryid == 0)
		return;
	all_writes++;
	if (record->rows > 1)
		return;
	s = find_series(record);
	if (s == NULL)
		return;
	s->calls++;
	s->elapsed_ns += record->elapsed_ns;
	if (s->calls > 1 && gap_ns > 0)
		s->gap_ns += Min(gap_ns, hone_burst_gap());
	if (s->calls == 1 || s->lxid != record->lxid)
		s->transactions++;
	s->lxid = record->lxid;
	for (int i = 0; i < keys->n && s->calls <= HONE_KEY_CALLS; i++)
		hone_key_add(&s->keys[i], keys->hash[i]);
	s->nkeys = Max(s->nkeys, keys->n);
	if (s->sample == NULL && s->calls >= hone_row_by_row_threshold - 1)
		take_sample(s, record, keys);
	if (s->calls >= hone_row_by_row_threshold &&
		(s->calls == hone_row_by_row_threshold || (s->calls & (s->calls - 1)) == 0))
		report(s, false);
}
