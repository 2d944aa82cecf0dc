/*-------------------------------------------------------------------------
 *
 * invalidate.h
 *	  Tags, and when what has them goes out of date.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_CACHE_INVALIDATE_H
#define HONE_CACHE_INVALIDATE_H

#include "utils/array.h"

#include "cache/store.h"

/* Hooks and callbacks; the library is preloaded. */
extern void hone_invalidate_init(void);

/*
 * The places of these tags, and of the database, for a result. Raises an error
 * where one is null or there are too many.
 */
extern void hone_cache_tags(ArrayType *array, HoneCacheTags *tags);

#endif							/* HONE_CACHE_INVALIDATE_H */
