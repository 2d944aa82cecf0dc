/*-------------------------------------------------------------------------
 *
 * provenance.h
 *	  Whether the keys of a loop come out of its parent's rows.
 *
 * As all of detect.h it runs inside the user's statements and does not throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_PROVENANCE_H
#define HONE_PROVENANCE_H

#include "tcop/dest.h"

#include "advise/detect.h"

#define HONE_CAPTURE_COLUMNS	8	/* of a parent that are looked at */
#define HONE_PROVENANCE_CHECKS	5	/* keys that must have been looked up */

/* The calls of one shape, looked up in the rows of the suspects before it. */
typedef struct HoneLink HoneLink;

typedef enum HoneProvenance
{
	HONE_PROVENANCE_UNKNOWN,	/* not looked at, or not clear */
	HONE_PROVENANCE_CONFIRMED,
	HONE_PROVENANCE_REFUTED		/* the parent's rows have other values */
} HoneProvenance;

/* Where the keys of a confirmed loop come from. */
typedef struct HoneOrigin
{
	uint64		parent;			/* queryid */
	bool		ordered;		/* they come in the order of the rows */
	int			column[HONE_CALL_KEYS]; /* of the parent's output, from 1; 0:
										 * none */
	NameData	name[HONE_CALL_KEYS];	/* of that column */
	Oid			relid[HONE_CALL_KEYS];	/* table column that it is, or invalid */
	AttrNumber	attnum[HONE_CALL_KEYS];
} HoneOrigin;

/* A run of a suspect begins: the receiver that its rows are to go to. */
extern DestReceiver *hone_provenance_receive(const HoneRecord *record,
											 QueryDesc *query_desc,
											 DestReceiver *dest, int depth);

/* Are there captures? The next two do nothing without. */
extern bool hone_provenance_active;

/* A SELECT ended. */
extern void hone_provenance_finished(const HoneRecord *record);

/*
 * A burst ended: forget the rows of its parents, but not those of the
 * statement that ended it (NULL: none) or that are still being fetched. Links
 * to them must not be used afterwards.
 */
extern void hone_provenance_reset(const HoneRecord *record);

/*
 * Look up the keys of one call in the rows kept. *links is the list of a shape,
 * empty at first; it grows in 'context'.
 */
extern void hone_provenance_check(HoneLink **links, const HoneRecord *record,
								  const HoneCallKeys *keys,
								  MemoryContext context);

/* Bytes taken for a list, to be given back when its context is reset. */
extern Size hone_provenance_link_size(const HoneLink *links);

/*
 * What is known of the key at position 'key' of a shape's calls; 'parent' is
 * the query whose rows it is taken to come from. Confirmed: *origin says what
 * it really is, and where the other keys come from.
 */
extern HoneProvenance hone_provenance_of(const HoneLink *links, int key,
										 uint64 parent, HoneOrigin *origin);

#endif							/* HONE_PROVENANCE_H */
