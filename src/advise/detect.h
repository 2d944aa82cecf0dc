/*-------------------------------------------------------------------------
 *
 * detect.h
 *	  The detectors' side of advise/: settings, and the calls that the
 *	  observer in advise.c makes for each statement.
 *
 * Everything here runs inside the user's statements: it does not throw, does
 * not look into the catalogs, and keeps a bounded amount of local memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_DETECT_H
#define HONE_DETECT_H

#include "common/record.h"

#include "advise/finding.h"

/* Settings (advise.c). */
extern bool hone_detectors;
extern int	hone_n_plus_one_threshold;	/* repeats */
extern int	hone_n_plus_one_gap;	/* ms */
extern int	hone_recommendation_ttl;	/* s */
extern int	hone_max_recommendations;
extern int	hone_advise_offset_rows;	/* rows thrown away by one page */
extern int	hone_advise_filter_rows;	/* rows removed in one execution */
extern int	hone_advise_sample_every;	/* executions of one query */
extern int	hone_advise_result_rows;	/* rows sent in one execution */
extern int	hone_advise_star_bytes; /* kB, over all calls */
extern int	hone_advise_wide_column;	/* bytes */

extern int	hone_row_by_row_threshold;	/* writes */
extern int	hone_alert_interval;	/* s */
extern int	hone_advise_memory; /* kB */

/*
 * Account for memory that the detectors of this session allocate, beside what
 * they always have; false if hone.advise_memory is used up.
 */
extern bool hone_memory_take(Size size);

/* All that can be taken. */
extern Size hone_memory_limit(void);
extern void hone_memory_give(Size size);

/* hone.recommendation_ttl in ms, within int. */
extern int	hone_recommendation_ttl_ms(void);

/*
 * Write what this backend has not yet written to the table of findings. ended:
 * and begin anew.
 */
extern void hone_advise_flush(bool ended);

/* ---- values.c: hashes that tell values apart ---- */

#define HONE_NO_VALUE	((uint32) 0)	/* no value has this hash */

/* The finalizer of MurmurHash3: a change of any bit changes all. */
static inline uint32
hone_value_bits(uint64 bits)
{
	bits ^= bits >> 33;
	bits *= UINT64CONST(0xff51afd7ed558ccd);
	bits ^= bits >> 33;
	bits *= UINT64CONST(0xc4ceb9fe1a85ec53);
	return (uint32) (bits ^ (bits >> 33));
}

/* As hone_value_hash() has integers of any width. */
static inline uint32
hone_value_hash_integer(int64 number)
{
	uint32		hash = hone_value_bits((uint64) number);

	return hash == HONE_NO_VALUE ? ~HONE_NO_VALUE : hash;
}

/* Of a value, of a type that hashes; false for what is not looked at. */
extern bool hone_value_hash(Oid type, Datum value, uint32 *hash);

/*
 * Of a constant as it stands in a statement (false for forms that are not
 * looked at), and of a value written as text.
 */
extern bool hone_value_hash_constant(const char *text, uint32 *hash);
extern uint32 hone_value_hash_text(const char *text, int len);

/* Built-in type that values of a type are hashed as; InvalidOid if they are not. */
extern Oid	hone_value_base_type(Oid type);

/* ---- keys.c: what distinguishes two calls of one query ---- */

#define HONE_CALL_KEYS	4

/*
 * Hashes of the first bound values (id = parameter number) or constants
 * (id = -1 - offset in the statement) of one call.
 */
typedef struct HoneCallKeys
{
	int			n;
	bool		partial;		/* the call has values that are not here */
	int32		id[HONE_CALL_KEYS];
	uint32		hash[HONE_CALL_KEYS];
} HoneCallKeys;

/* After parse analysis: remember this statement's constants. */
extern void hone_keys_analyzed(ParseState *pstate, Query *query,
							   JumbleState *jstate);

/* Before ExecutorStart: remember the keys of this run. */
extern void hone_keys_starting(QueryDesc *query_desc);

/*
 * At the end of the run: its keys (n = 0 if unknown); forgets them. Valid
 * until the next run starts.
 */
extern const HoneCallKeys *hone_keys_finished(QueryDesc *query_desc);

/* ---- sample.c ---- */

/* First relation of a plan that is a user's, or InvalidOid. */
extern Oid	hone_sample_relation(PlannedStmt *stmt);

/* True if the plan reads or writes relid. */
extern bool hone_sample_mentions(PlannedStmt *stmt, Oid relid);

/* Copy the statement of a record that has a source and an executor state. */
extern void hone_sample_take(HoneSample *sample, const HoneRecord *record);

/*
 * The same into memory of its own, of the size that its text needs, which is
 * taken from hone.advise_memory; NULL if there is none. *size is to be given
 * back with it.
 */
extern HoneSample *hone_sample_keep(const HoneRecord *record,
									MemoryContext context, Size *size);

/* Copy such a sample into a whole one. */
extern void hone_sample_put(HoneSample *into, const HoneSample *kept);

/* ---- window.c: loops ---- */

/* Once, before the first statement; false if there is no memory. */
extern bool hone_window_make(void);

/* A call is about to run: end the burst that it does not belong to. */
extern void hone_window_begin(const HoneRecord *record);
extern void hone_window_finished(const HoneRecord *record,
								 const HoneCallKeys *keys);
extern void hone_window_flush(bool ended);

/* ---- plans.c: rows thrown away by filters ---- */

/* True if this execution is one of the few that count rows per node. */
extern bool hone_plans_wanted(QueryDesc *query_desc);

/* Of a record with a queryid and an executor state. */
extern void hone_plans_finished(const HoneRecord *record);
extern void hone_plans_flush(void);

/* ---- offset.c: rows thrown away by OFFSET ---- */

/*
 * What the counts of such a finding are: pages by their number, all executions
 * of the query, and how a page followed the one before in its session.
 */
typedef enum HonePageCount
{
	HONE_PAGES_FIRST,			/* page 1 */
	HONE_PAGES_TEN,				/* pages 2 to 10 */
	HONE_PAGES_HUNDRED,			/* pages 11 to 100 */
	HONE_PAGES_DEEPER,
	HONE_PAGES_STEPS,			/* the next page, or the previous one */
	HONE_PAGES_JUMPS			/* any other but the first and the same */
} HonePageCount;

/* The Limit node at the top of a plan, or NULL. */
extern struct LimitState *hone_offset_limit(struct PlanState *top);

/* Of a SELECT with a queryid and an executor state. */
extern void hone_offset_finished(const HoneRecord *record);
extern void hone_offset_flush(void);

/* ---- result.c: very many rows for the client ---- */

/* Before the executor starts: is it a client's whole result? */
extern void hone_result_starting(const QueryDesc *query_desc);

/* Of a client's SELECT of hone.advise_result_rows rows or more. */
extern void hone_result_finished(const HoneRecord *record);

/* ---- aggregate.c: dear aggregates ---- */

/* Settings (aggregate.c). */
extern int	hone_advise_aggregate_time; /* ms of one execution */
extern int	hone_advise_aggregate_calls;
extern double hone_advise_aggregate_changes;	/* percent */

/* What the counts of such a finding are. */
typedef enum HoneAggregateCount
{
	HONE_AGGREGATE_MEASURED,	/* executions whose nodes counted rows */
	HONE_AGGREGATE_GROUPS		/* rows of the topmost aggregate */
} HoneAggregateCount;

/* Defines them. Called once from hone_advise_init(). */
extern void hone_aggregate_init(void);

/* Of a SELECT with a queryid that took hone.advise_aggregate_time or longer. */
extern void hone_aggregate_finished(const HoneRecord *record,
									const HoneCallKeys *keys);

/* ---- star.c: SELECT *, or every column ---- */

/* Has this session ever seen one? */
extern bool hone_any_stars;

extern void hone_star_analyzed(ParseState *pstate, Query *query);

/* Of a SELECT with a queryid and an executor state. */
extern void hone_star_finished(const HoneRecord *record);
extern void hone_star_flush(void);

/*
 * A run of a SELECT begins, where there are stars: the receiver that its rows
 * are to go to.
 */
extern DestReceiver *hone_star_receive(const HoneRecord *record,
									   QueryDesc *query_desc, DestReceiver *dest,
									   int depth);

/* ---- weights.c: bytes of the columns of rows on their way to the client ---- */

/* Any SELECT's run begins: those at this depth or below have ended. */
extern void hone_weights_begin_run(int depth);

/*
 * The receiver for a run of a call that is to be weighed: of the rows of all
 * its runs, the first 1000. While one is, others are not.
 */
extern DestReceiver *hone_weights_receive(const HoneRecord *record,
										  QueryDesc *query_desc,
										  DestReceiver *dest, int depth);

/* A call failed, or was given up: nothing of it counts. */
extern void hone_weights_failed(const HoneRecord *record);

/*
 * The heaviest columns of a call that ended, heaviest first, and no more than
 * that; forgets them. False if it was not weighed, or returned no rows.
 */
extern bool hone_weights_take(const HoneRecord *record,
							  HoneColumnWeight weights[HONE_FINDING_WEIGHTS]);

/* ---- recommend.c ---- */

/* True while this backend builds recommendations: its own parsing is not
 * the application's. */
extern bool hone_recommending;

#endif							/* HONE_DETECT_H */
