/*-------------------------------------------------------------------------
 *
 * samples.h
 *	  Sampled calls: bound parameters and constants. Private to stats/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_SAMPLES_H
#define HONE_STATS_SAMPLES_H

#include "common/record.h"
#include "stats/pending.h"

#define HONE_SAMPLE_PARAMS		32	/* of one call */
#define HONE_SAMPLE_VALUE_SIZE	128 /* bytes of one value */
#define HONE_SAMPLE_TEXT_SIZE	1024	/* bytes of the text, its zero
										 * included */

typedef enum HoneSampleState
{
	HONE_SAMPLE_NULL,
	HONE_SAMPLE_BY_VALUE,		/* the Datum itself */
	HONE_SAMPLE_BY_REFERENCE,
	HONE_SAMPLE_LEFT_OUT		/* too long, or not of a type that is kept */
} HoneSampleState;

typedef struct HoneSampleParam
{
	Oid			type;
	uint16		length;			/* bytes; 0 for NULL and left out */
	uint16		state;			/* HoneSampleState */
} HoneSampleParam;

/*
 * One call, without pointers, so that it is copied as it is: this, its
 * HoneSampleParams, their values in the same order, each MAXALIGNed, and the
 * text.
 */
typedef struct HoneSample
{
	uint64		elapsed_ns;
	TimestampTz finished;
	Oid			userid;
	uint32		size;			/* of all of it */
	uint16		nparams;
	uint16		text_length;	/* with its terminating zero; 0 = none */
	bool		toplevel;
	bool		truncated;		/* the text was cut, or there were more
								 * parameters */
} HoneSample;

#define HONE_SAMPLE_PARAM_ARRAY(sample) \
	((HoneSampleParam *) ((char *) (sample) + MAXALIGN(sizeof(HoneSample))))
#define HONE_SAMPLE_HEAD_SIZE(nparams) \
	(MAXALIGN(sizeof(HoneSample)) + MAXALIGN((nparams) * sizeof(HoneSampleParam)))

#define HONE_SAMPLE_LARGEST \
	(HONE_SAMPLE_HEAD_SIZE(HONE_SAMPLE_PARAMS) + HONE_SAMPLE_TEXT_SIZE + \
	 HONE_SAMPLE_PARAMS * MAXALIGN(HONE_SAMPLE_VALUE_SIZE + VARHDRSZ))

/*
 * For each of pending's queries: only a call that took longer is looked at.
 * 0 until its first call.
 */
extern uint64 hone_samples_threshold[HONE_PENDING_QUERIES];

extern void hone_samples_take(int query, const HoneRecord *record);

/*
 * A call of pending's query of this number was counted, in a statement that
 * may still allocate memory: keep its values if it is the first one or slow.
 */
static inline void
hone_samples_record(int query, const HoneRecord *record)
{
	if (record->query_desc != NULL && record->elapsed_ns > hone_samples_threshold[query])
		hone_samples_take(query, record);
}

/*
 * Hand on what was kept, but for queries that were reset since 'epoch'. Under
 * flush_lock, before the queries' numbers are given anew.
 */
extern void hone_samples_flush(uint32 epoch);

/* The numbers of pending's queries are given anew. Takes no lock. */
extern void hone_samples_forget(void);

/* Is what was read from a file a sample? */
extern bool hone_sample_is_sound(const HoneSample *sample, Size size);

/* Somebody looks at the samples: the session may take more at once. */
extern void hone_samples_renew(void);

#endif							/* HONE_STATS_SAMPLES_H */
