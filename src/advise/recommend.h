/*-------------------------------------------------------------------------
 *
 * recommend.h
 *	  The readers' side of advise/: from a finding to a recommendation.
 *
 * One file per kind (advice_*.c) fills a HoneAdvice. They run inside a
 * subtransaction that recommend.c always rolls back, so they may throw and
 * may take locks; what they leave in the HoneAdvice is in its own memory
 * context and counts also when they threw afterwards.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_RECOMMEND_H
#define HONE_RECOMMEND_H

#include "lib/stringinfo.h"
#include "nodes/pg_list.h"

#include "advise/detect.h"
#include "advise/finding.h"
#include "common/relation.h"

struct HoneIndexCandidate;

/* What the reader may see of one finding's statements. */
typedef struct HoneReader
{
	bool		texts;			/* their shape */
	bool		constants;		/* their constants too */
} HoneReader;

typedef struct HoneAdvice
{
	MemoryContext context;		/* of everything below */
	bool		drop;			/* not worth showing, or mended since */
	double		cost_ms;
	double		saving_ms;
	const char *severity;		/* NULL: by saving_ms */
	char	   *summary;
	char	   *fix;			/* NULL: none; see no_fix */
	char	   *no_fix;			/* why, for the evidence */
	Oid			index_on;		/* the fix is an index on this table, or 0 */
	struct HoneIndexCandidate *index_best;	/* that one */
	List	   *index_tried;	/* with it, HoneIndexCandidates */
	double		index_cost;		/* of the statement without any; 0: not known */
	StringInfoData evidence;	/* members of a JSON object, with commas */
} HoneAdvice;

/*
 * Do something in a subtransaction that is rolled back whatever happens; the
 * error it ended with, or NULL. Throws only what the reader asked for (cancel).
 */
extern ErrorData *hone_advice_try(void (*work) (void *arg), void *arg);

/*
 * Plan the finding's statement as its role, if there is time for it: false where
 * there is not, or planning failed. Outside of the finding's own advice.
 */
extern bool hone_advice_trial(const HoneFinding *finding, void (*work) (void *arg), void *arg);

/*
 * Is time left for planning with hypothetical indexes in this read? What is
 * between begin and end counts, also while it lasts.
 */
extern bool hone_trial_left(void);
extern void hone_trial_begin(void);
extern void hone_trial_end(void);

extern void hone_advice_loop(const HoneFinding *finding,
							 const HoneReader *reader, HoneAdvice *advice);
extern void hone_advice_offset(const HoneFinding *finding,
							   const HoneReader *reader, HoneAdvice *advice);
extern void hone_advice_star(const HoneFinding *finding,
							 const HoneReader *reader, HoneAdvice *advice);
extern void hone_advice_index(const HoneFinding *finding,
							  const HoneReader *reader, HoneAdvice *advice);
extern void hone_advice_repeated(const HoneFinding *finding,
								 const HoneReader *reader, HoneAdvice *advice);
extern void hone_advice_row_write(const HoneFinding *finding,
								  const HoneReader *reader, HoneAdvice *advice);
extern void hone_advice_result(const HoneFinding *finding,
							   const HoneReader *reader, HoneAdvice *advice);

/* Conditions that no plain index serves (advice_condition.c). */
extern void hone_advice_function(const HoneFinding *finding,
								 const HoneReader *reader, HoneAdvice *advice);
extern void hone_advice_type(const HoneFinding *finding,
							 const HoneReader *reader, HoneAdvice *advice);
extern void hone_advice_wildcard(const HoneFinding *finding,
								 const HoneReader *reader, HoneAdvice *advice);

extern void hone_advice_list(const HoneFinding *finding,
							 const HoneReader *reader, HoneAdvice *advice);
extern void hone_advice_not_in(const HoneFinding *finding,
							   const HoneReader *reader, HoneAdvice *advice);
extern void hone_advice_memory(const HoneFinding *finding,
							   const HoneReader *reader, HoneAdvice *advice);
extern void hone_advice_statistics(const HoneFinding *finding,
								   const HoneReader *reader, HoneAdvice *advice);
extern void hone_advice_materialize(const HoneFinding *finding,
									const HoneReader *reader, HoneAdvice *advice);

/* ---- new indexes (advice_catalog.c) ---- */

/*
 * What makes an index without keeping writers out, of a partitioned table
 * partition by partition. relid is the topmost table, definition what stands
 * behind its name. Throws.
 */
extern char *hone_index_ddl(Oid relid, const char *definition);

/* That as the fix, with the evidence that hone.apply_recommendation() wants. */
extern void hone_advice_index_fix(HoneAdvice *advice, Oid relid, const char *definition);

/* ---- what no statement has, made when it is read ---- */

typedef struct HoneDatabaseAdvice
{
	HoneFinding finding;		/* not one of the table's */
	HoneAdvice	advice;
	char	   *identity;		/* what of the relation it is about, or NULL */
} HoneDatabaseAdvice;

/* By its name in hone.recommendations. */
extern HoneFindingKind hone_advice_kind(const char *name);

/* Define settings. Called once from hone_advise_init(), the latter two by it. */
extern void hone_advice_database_init(void);
extern void hone_storage_init(void);
extern void hone_catalog_init(void);

/*
 * Palloc'd HoneDatabaseAdvice of the current database, as the current user
 * may see it. Throws only when it is cancelled.
 */
extern List *hone_advice_database(void);

/* ---- evidence (evidence.c) ---- */

/* "name": number, text (NULL: null), or already formed JSON. */
extern void hone_evidence_integer(HoneAdvice *advice, const char *name, int64 value);
extern void hone_evidence_number(HoneAdvice *advice, const char *name, double value);
extern void hone_evidence_text(HoneAdvice *advice, const char *name, const char *value);
extern void hone_evidence_json(HoneAdvice *advice, const char *name, const char *json);

/* lost_ms_per_hour: what the fix may save, per hour since it was seen first. */
extern void hone_evidence_per_hour(HoneAdvice *advice, const HoneFinding *finding);

/*
 * The statement as this reader may see it, application name and tags:
 * {"queryid": ..., "query": ...}. Throws for text that cannot be scanned.
 */
extern void hone_evidence_sample(HoneAdvice *advice, const char *name,
								 const HoneSample *sample,
								 const HoneReader *reader);

/* Set a member of advice, copied into its context. */
extern void hone_advice_set(HoneAdvice *advice, char **member, const char *fmt,...) pg_attribute_printf(3, 4);

#endif							/* HONE_RECOMMEND_H */
