/*-------------------------------------------------------------------------
 *
 * codec_fuzz.h
 *	  Random columns, and damage to their blobs that no checksum finds.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_CODEC_FUZZ_H
#define HONE_CODEC_FUZZ_H

#include "tiered/codec.h"

#define HONE_FUZZ_PER_CASE	50	/* damaged copies made of one blob */

/* A random column and its blob. */
typedef struct HoneFuzzCase
{
	HoneColumnShape shape;
	int			nrows;
	Datum	   *values;
	bool	   *isnull;
	StringInfoData blob;
} HoneFuzzCase;

/*
 * Make a column and its blob, palloc'd, and prove that the blob gives the
 * same values back. *random: any number; moves on with each call.
 */
extern HoneFuzzCase *hone_codec_fuzz_case(uint64 *random);

/* Append a damaged copy of the blob, with checksums that are right. */
extern void hone_codec_fuzz_damage(const HoneFuzzCase *fuzz, uint64 *random,
								   StringInfo out);

/* Append a copy with one bit changed, which the checksums must find. */
extern void hone_codec_fuzz_flip(const HoneFuzzCase *fuzz, uint64 *random,
								 StringInfo out);

/* What the message of the error about a damaged blob says. */
#define HONE_FUZZ_MESSAGE "compressed batch 1 of table \"fuzz\" is damaged in column \"fuzz\""

/* Read all of a blob, and every byte of what it gives back. */
extern uint64 hone_codec_fuzz_decode(const HoneFuzzCase *fuzz, const StringInfoData *blob);

#endif							/* HONE_CODEC_FUZZ_H */
