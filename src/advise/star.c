/*-------------------------------------------------------------------------
 *
 * star.c
 *	  Which queries select *, or every column by name, and how many rows they
 *	  fetched.
 *
 * A query that returns all columns of a table is known after parse analysis.
 * Of smaller tables, and in set operations, the star itself counts, which is
 * only in the source: the raw parse of a query's text is looked at once, when
 * the backend first sees its identifier. Which identifiers were looked at is
 * kept in a small table (found by identifier modulo its size; a collision only
 * means looking again), and those with a star in another, in sets of WAYS.
 * Parsing is skipped when the text holds no asterisk, and limited to a number
 * of texts per second for workloads whose identifiers never repeat.
 *
 * What its columns weigh is measured on the rows of a query's first call, then
 * of at most one call a second (weights.c). Until one of them was wide, nothing
 * is counted.
 *
 * Counting is local; the table of findings is written to after each call that
 * was weighed, and at the backend's exit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/parser.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "advise/detect.h"
#include "advise/rewrite.h"

#define EXAMINED			1024	/* identifiers */
#define STAR_SETS			64
#define WAYS				4
#define STAR_TEXT_MAX		16384	/* longer statements are not looked at */
#define STAR_PARSES			50	/* per second */
#define STAR_WEIGH_MS		1000
#define LISTED_COLUMNS		4	/* all of fewer columns are no star */

typedef struct StarQuery
{
	uint64		queryid;		/* 0 = free */
	int64		calls;			/* not yet written, as are the next two */
	int64		rows;
	int64		rows_max;
	double		ms;
	bool		wide;			/* had columns that are */
	TimestampTz weighed;		/* the call that was, last */
	TimestampTz used;
	HoneSample *sample;			/* of the query, or of the one before it here */
	Size		sample_size;
} StarQuery;

bool		hone_any_stars = false;
static uint64 examined[EXAMINED];
static StarQuery stars[STAR_SETS][WAYS];
static Size sample_memory = 0;	/* taken for samples */
static int64 parses_left = STAR_PARSES;
static TimestampTz parses_since = 0;
static HoneFinding *const delta = &hone_finding_delta;

static bool
may_parse(void)
{
	TimestampTz now = GetCurrentTimestamp();

	if (TimestampDifferenceExceeds(parses_since, now, 1000))
	{
		parses_since = now;
		parses_left = STAR_PARSES;
	}
	return parses_left-- > 0;
}

/*
 * Raw parse of a statement that has just been parsed. An error is possible
 * all the same (expressions of PL/pgSQL, memory) and means "no star": the raw
 * parser takes no lock and no resource but memory, which goes with its
 * context, so an error in it can be dropped. Its context callbacks are not
 * called: they may look into the catalogs.
 */
static bool
text_has_star(const char *text, int len)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext parse_context;
	uint32		holdoff = InterruptHoldoffCount;
	int			client_messages = client_min_messages;
	int			log_messages = log_min_messages;
	volatile bool result = false;

	parse_context = AllocSetContextCreate(caller, "hone raw parse",
										  ALLOCSET_DEFAULT_SIZES);
	PG_TRY();
	{
		List	   *trees;

		/* what the scanner has to say, it has said */
		client_min_messages = log_min_messages = ERROR;
		error_context_stack = NULL;
		MemoryContextSwitchTo(parse_context);
		trees = raw_parser(pnstrdup(text, len), RAW_PARSE_DEFAULT);
		result = list_length(trees) == 1 &&
			hone_rewrite_has_star(linitial_node(RawStmt, trees)->stmt);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		InterruptHoldoffCount = holdoff;	/* the error had zeroed it */
		result = false;
	}
	PG_END_TRY();
	client_min_messages = client_messages;
	log_min_messages = log_messages;
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(parse_context);
	return result;
}

static bool
is_users(RangeTblEntry *rte)
{
	return rte->rtekind == RTE_RELATION && rte->relid >= FirstNormalObjectId;
}

static bool
reads_user_table(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (is_users(rte) || rte->rtekind == RTE_SUBQUERY)
			return true;
	}
	return false;
}

/* Columns of a table; those dropped have no name after parse analysis. */
static int
count_columns(RangeTblEntry *rte)
{
	int			columns = 0;
	ListCell   *lc;

	foreach(lc, rte->eref->colnames)
		columns += strVal(lfirst(lc))[0] != '\0';
	return columns;
}

/* Columns of the table that the query returns as they are, each once. */
static int
count_listed(Query *query, Index rti)
{
	static bool listed[MaxHeapAttributeNumber +1];
	int			columns = 0;
	ListCell   *lc;

	memset(listed, 0, sizeof(listed));
	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);
		Var		   *var = (Var *) target->expr;

		if (target->resjunk || !IsA(var, Var) || var->varlevelsup > 0 ||
			var->varno != rti || var->varattno <= 0 || listed[var->varattno])
			continue;
		listed[var->varattno] = true;
		columns++;
	}
	return columns;
}

/* The star that an ORM writes: all columns of a table, by name. */
static bool
lists_every_column(Query *query)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		int			columns;

		/* ONLY is what pg_dump says */
		if (!is_users(rte) || !rte->inh)
			continue;
		columns = count_columns(rte);
		if (columns >= LISTED_COLUMNS && columns <= list_length(query->targetList) &&
			count_listed(query, foreach_current_index(lc) + 1) == columns)
			return true;
	}
	return false;
}

/* weights: HONE_FINDING_WEIGHTS of them, or NULL. */
static void
star_write(StarQuery *query, const HoneColumnWeight *weights)
{
	if (query->calls == 0 || query->sample == NULL)
		return;
	hone_finding_begin(HONE_FINDING_STAR, query->sample->rels[0], query->queryid);
	if (weights)
		memcpy(delta->weights, weights, sizeof(delta->weights));
	delta->calls = query->calls;
	delta->times = query->calls;
	delta->cost_ms = query->ms;
	delta->rows = query->rows;
	delta->rows_max = query->rows_max;
	hone_sample_put(&delta->sample, query->sample);
	delta->parent.queryid = 0;
	hone_finding_add(delta);
	query->calls = query->rows = query->rows_max = 0;
	query->ms = 0;
}

static StarQuery *
star_find(uint64 queryid)
{
	StarQuery  *set = stars[queryid % STAR_SETS];

	for (int i = 0; i < WAYS; i++)
	{
		if (set[i].queryid == queryid)
			return &set[i];
	}
	return NULL;
}

/* Begin to count a query; the longest unused of its set makes room. */
static void
star_add(uint64 queryid)
{
	StarQuery  *set = stars[queryid % STAR_SETS];
	StarQuery  *slot = &set[0];

	if (star_find(queryid))
		return;
	for (int i = 1; i < WAYS; i++)
	{
		if (slot->queryid != 0 &&
			(set[i].queryid == 0 || set[i].used < slot->used))
			slot = &set[i];
	}
	if (slot->queryid != 0)
	{
		star_write(slot, NULL);
		if (examined[slot->queryid % EXAMINED] == slot->queryid)
			examined[slot->queryid % EXAMINED] = 0;
	}
	hone_any_stars = true;
	slot->queryid = queryid;
	slot->wide = false;
	slot->calls = 0;
	slot->weighed = slot->used = 0;
	if (slot->sample)
		slot->sample->queryid = 0;
}

void
hone_star_analyzed(ParseState *pstate, Query *query)
{
	uint64	   *seen = &examined[HONE_QUERYID(query) % EXAMINED];
	const char *text = pstate->p_sourcetext;
	int			len;

	if (HONE_QUERYID(query) == 0 || *seen == HONE_QUERYID(query) || text == NULL ||
		query->commandType != CMD_SELECT || !reads_user_table(query))
		return;
	if (query->stmt_location > 0)
		text += query->stmt_location;

	len = query->stmt_len > 0 ? query->stmt_len : strlen(text);
	if (len > STAR_TEXT_MAX)
		return;
	if (lists_every_column(query))
		star_add(HONE_QUERYID(query));
	else if (memchr(text, '*', len) != NULL)
	{
		if (!may_parse())
			return;
		if (text_has_star(text, len))
			star_add(HONE_QUERYID(query));
	}
	*seen = HONE_QUERYID(query);
}

/* Samples stay for long: loops, which come and go, need their room too. */
static bool
take_sample(StarQuery *query, const HoneRecord *record)
{
	if (sample_memory > hone_memory_limit() / 4)
		return false;
	query->sample = hone_sample_keep(record, TopMemoryContext, &query->sample_size);
	if (query->sample == NULL)
		return false;
	sample_memory += query->sample_size;
	return true;
}

/* The query's statement is kept, or can be; else it is counted no longer. */
static bool
has_sample(StarQuery *query, const HoneRecord *record)
{
	if (query->sample != NULL && query->sample->queryid != record->queryid)
	{
		sample_memory -= query->sample_size;
		hone_memory_give(query->sample_size);
		pfree(query->sample);
		query->sample = NULL;
	}
	if ((query->sample != NULL || take_sample(query, record)) &&
		query->sample->nrels > 0)
		return true;
	query->queryid = 0;
	return false;
}

static bool
is_wide(const HoneColumnWeight *heaviest)
{
	return heaviest->bytes >= heaviest->rows * hone_advise_wide_column;
}

static pg_noinline void
star_count(const HoneRecord *record)
{
	HoneColumnWeight weights[HONE_FINDING_WEIGHTS];
	StarQuery  *query = star_find(record->queryid);
	bool		weighed;

	if (query == NULL)
		return;
	weighed = hone_weights_take(record, weights);
	if (weighed)
	{
		query->wide |= is_wide(&weights[0]);
		query->weighed = record->started;
	}
	query->used = record->started;
	if (!query->wide || !has_sample(query, record))
		return;

	query->calls++;
	query->rows += record->rows;
	query->rows_max = Max(query->rows_max, (int64) record->rows);
	query->ms += record->elapsed_ns / 1e6;
	if (weighed)
		star_write(query, weights);
}

DestReceiver *
hone_star_receive(const HoneRecord *record, QueryDesc *query_desc, DestReceiver *dest,
				  int depth)
{
	const StarQuery *query = star_find(record->queryid);

	hone_weights_begin_run(depth);
	if (query == NULL ||
		!TimestampDifferenceExceeds(query->weighed, record->started, STAR_WEIGH_MS))
		return dest;
	return hone_weights_receive(record, query_desc, dest, depth);
}

void
hone_star_finished(const HoneRecord *record)
{
	if (hone_any_stars)
		star_count(record);
}

void
hone_star_flush(void)
{
	for (int i = 0; i < STAR_SETS; i++)
	{
		for (int j = 0; j < WAYS; j++)
			star_write(&stars[i][j], NULL);
	}
}
