/*-------------------------------------------------------------------------
 *
 * bloom.c
 *	  Split block Bloom filters (bloom.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tiered/bloom.h"

#define WORDS	8

/* One odd multiplier for each word of a block, from the Parquet format. */
static const uint32 multipliers[WORDS] = {
	0x47b6137b, 0x44974d91, 0x8824ad5b, 0xa2b7289d,
	0x705495c7, 0x2df1424b, 0x9efc4947, 0x5c6bfb31
};

int
hone_bloom_bytes(int nhashes)
{
	int64		bits = Max((int64) nhashes * HONE_BLOOM_HASH_BITS, 1);
	int64		block_bits = HONE_BLOOM_BLOCK_BYTES * 8;

	return (int) ((bits + block_bits - 1) / block_bits) * HONE_BLOOM_BLOCK_BYTES;
}

/* The upper half of the hash chooses the block. */
static Size
block_of(int bytes, uint64 hash)
{
	uint64		nblocks = bytes / HONE_BLOOM_BLOCK_BYTES;

	return (Size) (((hash >> 32) * nblocks) >> 32) * HONE_BLOOM_BLOCK_BYTES;
}

/* The lower half the bit of each word, here as its place in the block. */
static int
bit_of(uint64 hash, int word)
{
	return word * 32 + (int) (((uint32) hash * multipliers[word]) >> 27);
}

void
hone_bloom_add(char *filter, int bytes, uint64 hash)
{
	unsigned char *block = (unsigned char *) filter + block_of(bytes, hash);

	for (int word = 0; word < WORDS; word++)
	{
		int			bit = bit_of(hash, word);

		block[bit >> 3] |= 1 << (bit & 7);
	}
}

bool
hone_bloom_may_hold(const char *filter, int bytes, uint64 hash)
{
	const unsigned char *block = (const unsigned char *) filter + block_of(bytes, hash);

	for (int word = 0; word < WORDS; word++)
	{
		int			bit = bit_of(hash, word);

		if ((block[bit >> 3] & (1 << (bit & 7))) == 0)
			return false;
	}
	return true;
}
