/*-------------------------------------------------------------------------
 *
 * digest.h
 *	  Keys of any length as 32 bytes that nobody can make collide.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_CACHE_DIGEST_H
#define HONE_CACHE_DIGEST_H

#define HONE_DIGEST_BYTES	32

/* SHA-256; false when there is no memory for it. */
extern bool hone_digest(const char *data, Size size, uint8 digest[HONE_DIGEST_BYTES]);

#endif							/* HONE_CACHE_DIGEST_H */
