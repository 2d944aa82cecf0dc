/*-------------------------------------------------------------------------
 *
 * index_choice.h
 *	  Which of the indexes that findings ask for are worth having, together.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_INDEX_CHOICE_H
#define HONE_INDEX_CHOICE_H

#include "advise/recommend.h"

/* hone.index_budget, kB that recommended indexes may take together; 0: no limit. */
extern int	hone_index_budget;

/* A finding and the advice of an index for it, in one context. */
typedef struct HoneIndexWish
{
	const HoneFinding *finding;
	int64		fingerprint;
	HoneReader	reader;
	HoneAdvice	advice;
} HoneIndexWish;

/* A copy in the current context, of which nothing is in advice's own. */
extern HoneIndexWish *hone_index_wish(const HoneFinding *finding, int64 fingerprint,
									  const HoneReader *reader, const HoneAdvice *advice);

/*
 * Choose for a list of HoneIndexWishes: their fix becomes the chosen index that
 * serves them best, or none, and evidence says why. Plans statements again, as
 * long as there is time for it (hone_trial_left). Throws only when it is
 * cancelled.
 */
extern void hone_index_choose(List *wishes);

#endif							/* HONE_INDEX_CHOICE_H */
