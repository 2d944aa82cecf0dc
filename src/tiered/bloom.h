/*-------------------------------------------------------------------------
 *
 * bloom.h
 *	  A set of 64-bit hashes that may be asked "is this one surely not in it?".
 *
 * A split block Bloom filter: Putze, Sanders, Singler, "Cache-, Hash- and
 * Space-Efficient Bloom Filters" (2007), in the form and with the constants of
 * the Apache Parquet format. A hash chooses a block of 32 bytes and sets one
 * bit in each of its eight words. With 14 bits for each hash about one answer
 * in 400 is a false "perhaps".
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_BLOOM_H
#define HONE_TIERED_BLOOM_H

#define HONE_BLOOM_BLOCK_BYTES	32
#define HONE_BLOOM_HASH_BITS	14

/* Bytes of a filter for so many different hashes: whole blocks, one at least. */
extern int	hone_bloom_bytes(int nhashes);

/* Filters are in little-endian words, whatever the machine; zeroed at first. */
extern void hone_bloom_add(char *filter, int bytes, uint64 hash);
extern bool hone_bloom_may_hold(const char *filter, int bytes, uint64 hash);

#endif							/* HONE_TIERED_BLOOM_H */
