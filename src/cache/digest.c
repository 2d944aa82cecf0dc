/*-------------------------------------------------------------------------
 *
 * digest.c
 *	  Keys of any length as 32 bytes (see digest.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/cryptohash.h"
#include "common/sha2.h"

#include "cache/digest.h"

StaticAssertDecl(HONE_DIGEST_BYTES == PG_SHA256_DIGEST_LENGTH, "SHA-256 has 32 bytes");

bool
hone_digest(const char *data, Size size, uint8 digest[HONE_DIGEST_BYTES])
{
	pg_cryptohash_ctx *context = pg_cryptohash_create(PG_SHA256);
	bool		made;

	if (context == NULL)
		return false;
	made = pg_cryptohash_init(context) >= 0 &&
		pg_cryptohash_update(context, (const uint8 *) data, size) >= 0 &&
		pg_cryptohash_final(context, digest, HONE_DIGEST_BYTES) >= 0;
	pg_cryptohash_free(context);
	return made;
}
