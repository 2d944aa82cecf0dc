/*-------------------------------------------------------------------------
 *
 * finding.h
 *	  What a detector found, and the shared table of findings.
 *
 * A finding is raw facts: counters, column numbers, one sample of the
 * statement. Everything that needs the catalogs (names, fixes, summaries) is
 * derived when somebody reads hone.recommendations.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_FINDING_H
#define HONE_FINDING_H

#include "port/atomics.h"
#include "utils/timestamp.h"

#include "common/hone.h"

#define HONE_SAMPLE_TEXT	4096	/* bytes of a statement that are kept */
#define HONE_SAMPLE_RELS	8	/* relations of a statement that are kept */
#define HONE_SAMPLE_TAGS	256 /* bytes of a SQLCommenter comment */
#define HONE_SAMPLE_PATH	256 /* bytes of a search_path that are kept */
#define HONE_SAMPLE_CONTEXT	160 /* bytes of the line of a function */
#define HONE_FINDING_KEYS	4	/* values of a loop that are kept */
#define HONE_FINDING_QUALS	8	/* filter clauses of a scan that are kept */
#define HONE_FINDING_QUERIES 4	/* queries named by one finding */
#define HONE_FINDING_RECENT	32	/* occurrences whose size is kept, for p50 */
#define HONE_FINDING_COUNTS	6	/* counters whose meaning is the kind's */
#define HONE_FINDING_WEIGHTS 16 /* columns whose weight is kept */

typedef enum HoneFindingKind
{
	HONE_FINDING_N_PLUS_ONE = 1,
	HONE_FINDING_OFFSET,
	HONE_FINDING_STAR,
	HONE_FINDING_INDEX,
	HONE_FINDING_REPEATED,
	HONE_FINDING_ROW_WRITE,
	HONE_FINDING_RESULT,
	HONE_FINDING_FUNCTION,
	HONE_FINDING_TYPE,
	HONE_FINDING_WILDCARD,
	HONE_FINDING_NOT_IN,
	HONE_FINDING_LIST,
	HONE_FINDING_SPILL,
	HONE_FINDING_STATISTICS,
	HONE_FINDING_MATERIALIZE,
	HONE_FINDING_CONNECTIONS,	/* from here on made when they are read */
	HONE_FINDING_IDLE,
	HONE_FINDING_CACHE,
	HONE_FINDING_COLD,
	HONE_FINDING_HOT,
	HONE_FINDING_PARTITION,
	HONE_FINDING_UNUSED,
	HONE_FINDING_WRITE_ONLY,
	HONE_FINDING_DUPLICATE,
	HONE_FINDING_REDUNDANT,
	HONE_FINDING_INVALID,
	HONE_FINDING_BLOATED,
	HONE_FINDING_FOREIGN_KEY,
	HONE_FINDING_PRIMARY_KEY,
	HONE_FINDING_KINDS			/* one more than the last */
} HoneFindingKind;

/* One statement as its client sent it, with its constants. */
typedef struct HoneSample
{
	uint64		queryid;
	Oid			userid;
	bool		truncated;		/* text was longer than what is kept */
	bool		nested;			/* ran inside a function */
	bool		more_rels;		/* names more relations than are kept */
	int			nrels;
	Oid			rels[HONE_SAMPLE_RELS]; /* relations it names, user's only */
	char		search_path[HONE_SAMPLE_PATH];	/* empty: not kept */
	char		application[NAMEDATALEN];
	char		tags[HONE_SAMPLE_TAGS]; /* inside of its SQLCommenter comment */
	char		context[HONE_SAMPLE_CONTEXT];	/* line of the function that
												 * ran it; empty: none */
	char		text[HONE_SAMPLE_TEXT]; /* must be last: local copies are cut */
} HoneSample;

/* column op value, as a filter had it. */
typedef struct HoneQual
{
	AttrNumber	attnum;
	bool		commuted;		/* value op column */
	Oid			opno;
	Oid			collation;
} HoneQual;

/* A value that changes from call to call of a loop, and where it comes from. */
typedef struct HoneLoopKey
{
	int			param;			/* parameter number of the child, or 0 */
	int			location;		/* its offset in sample.text, or -1 */
	int			column;			/* of the parent's output, from 1; 0 = not
								 * known */
	NameData	name;			/* of that column */
	Oid			relid;			/* table column that it is, or InvalidOid */
	AttrNumber	attnum;
} HoneLoopKey;

/* An output column of a star, measured on some of the rows that it returned. */
typedef struct HoneColumnWeight
{
	int32		column;			/* from 1; 0 = free */
	int32		attnum;
	Oid			relid;			/* table or view column that it is, or
								 * InvalidOid */
	int64		rows;			/* that were looked at */
	int64		bytes;			/* of their values, as sent: not compressed */
	int64		outside;		/* of these, in values stored out of line */
	int64		fetches;		/* rows of TOAST tables that those are */
} HoneColumnWeight;

/* Hash key; no padding (hashed as bytes). */
typedef struct HoneFindingKey
{
	Oid			dbid;
	uint32		kind;			/* HoneFindingKind */
	Oid			relid;
	uint32		unused;			/* 0 */
	uint64		queryid;		/* 0 for findings about a relation */
	uint64		detail;			/* hash of the columns, or 0 */
} HoneFindingKey;

/*
 * Counters add up over all backends since first_seen. "times" is the number
 * of bursts (N+1), of deep pages (OFFSET), of calls (star, result) and of
 * sampled executions (index).
 */
typedef struct HoneFinding
{
	HoneFindingKey key;			/* must be first */
	TimestampTz first_seen;
	TimestampTz last_seen;
	TimestampTz told;			/* last_seen when analyze_workload told it */
	int64		calls;			/* executions it stands for */
	int64		times;
	double		cost_ms;		/* execution, and for N+1 the gaps too */
	double		gap_ms;			/* of that, between the statements */
	double		saving_ms;		/* part of cost_ms that the fix may save */
	int64		rows;			/* returned (star), thrown away, removed */
	int64		rows_max;		/* most in one execution or burst */
	int64		rows_kept;		/* returned beside those thrown away */
	int			nrecent;		/* sizes in 'recent', at most as many as fit */
	int			next_recent;	/* the oldest, once it is full */
	int64		recent[HONE_FINDING_RECENT];	/* sizes of the last
												 * occurrences: calls of a
												 * loop, rows thrown away */
	int64		counts[HONE_FINDING_COUNTS];	/* OFFSET: HonePageCount */
	HoneColumnWeight weights[HONE_FINDING_WEIGHTS]; /* star: the heaviest */
	int64		parent_rows;	/* N+1: rows of the parent, last burst */
	int64		confirmed;		/* N+1: bursts whose keys were the parent's
								 * values, */
	int64		refuted;		/* and bursts whose keys were not */
	int			nkeys;			/* N+1: the one that changes most is the first */
	HoneLoopKey keys[HONE_FINDING_KEYS];
	int			node;			/* plan node it is about: its NodeTag (index:
								 * the last one) */
	bool		certain;		/* nothing else in the node can be the cause */
	bool		inside;			/* column of the clause is in a function or
								 * cast */
	double		expected;		/* statistics: rows that the planner expected */
	uint64		text_hash;		/* materialize: of the sample's text; */
	bool		texts_differ;	/* a call had another one: then */
	bool		values_unknown; /* its constants may be any, or */
	bool		varies[HONE_FINDING_KEYS];	/* those of 'keys' differed */
	uint32		values[HONE_FINDING_KEYS];	/* hashes of keys of the sample */
	TimestampTz counted_at;		/* materialize: when it was read first; */
	int64		counted;		/* rows changed in its tables until then, */
	int64		counted_calls;	/* and its calls */
	int			nquals;
	int			norder;			/* index: the last of them are no clauses but
								 * an order: sort operators, commuted where
								 * nulls come first */
	HoneQual	quals[HONE_FINDING_QUALS];
	int			nqueries;
	uint64		queries[HONE_FINDING_QUERIES];
	HoneSample	sample;
	HoneSample	parent;			/* N+1 only; queryid 0 otherwise */
} HoneFinding;

extern void hone_finding_init(void);

/*
 * Memory for a delta, which is too large for the stack: to be filled and added
 * at once.
 */
extern HoneFinding hone_finding_delta;

/*
 * Begin a delta of this database: all of it is 0 but its key; sample and parent
 * are still to be set. queryid: 0 for findings about a relation.
 */
extern void hone_finding_begin(HoneFindingKind kind, Oid relid, uint64 queryid);

#define HONE_SUSPECTS	1024	/* at most, in all databases */

/*
 * Queries that may be the parent of a loop, by identifier modulo; NULL where
 * the library is not preloaded. A newer one takes the place of an older one.
 */
extern pg_atomic_uint64 * hone_suspects;

static inline void
hone_suspect_add(uint64 queryid)
{
	if (hone_suspects != NULL)
		pg_atomic_write_u64(&hone_suspects[queryid % HONE_SUSPECTS], queryid);
}

static inline bool
hone_is_suspect(uint64 queryid)
{
	return hone_suspects != NULL &&
		pg_atomic_read_u64(&hone_suspects[queryid % HONE_SUSPECTS]) == queryid;
}

/*
 * Add what 'delta' counts to its finding, or make a new one of it. Times in
 * delta are set here. Takes the table's lock for a moment; never throws. A
 * finding for which there is no room is counted as dropped. A delta without a
 * sample (queryid 0) only adds to a finding that is there. Of 'recent' a delta
 * has at most one.
 */
extern void hone_finding_add(HoneFinding *delta);

/*
 * From now on changes of a finding's tables are counted from 'counted', and its
 * calls from those it has.
 */
extern void hone_finding_count_from(const HoneFindingKey *key, int64 counted);

/*
 * Palloc'd copies of database dbid's findings (InvalidOid: of all databases)
 * that are not older than
 * hone.recommendation_ttl, *count of them. With 'untold' only those that
 * changed since a call with 'tell', which marks what it returns as told.
 */
extern HoneFinding *hone_finding_copy(Oid dbid, bool untold, int *count);

/* Median of the recent sizes; 'otherwise' if there are none. */
extern int64 hone_finding_median(const HoneFinding *finding, int64 otherwise);

/* Forget database dbid's findings; returns how many there were. */
extern int	hone_finding_forget(Oid dbid);

/* Findings now held, room for findings, and findings dropped for want of it. */
extern void hone_finding_usage(int *held, int *room, int64 *dropped);

/* How often the table has changed since the start. */
extern uint64 hone_finding_changes(void);

/* In the postmaster, at its start: put back what was saved, if there is room. */
extern void hone_finding_restore(const HoneFinding *finding);

/* ---- finding_save.c: the table in a file, over a restart ---- */
extern void hone_finding_save_init(void);

/* In the postmaster: at its start, and as its exit callback. */
extern void hone_finding_load(void);
extern void hone_finding_save_at_exit(int code, Datum arg);

/* The same in every session and after every restart; positive. */
extern int64 hone_finding_id(const HoneFindingKey *key);

#endif							/* HONE_FINDING_H */
