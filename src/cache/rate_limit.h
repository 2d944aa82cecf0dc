/*-------------------------------------------------------------------------
 *
 * rate_limit.h
 *	  Token buckets in shared memory: what the area's other files need.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_CACHE_RATE_LIMIT_H
#define HONE_CACHE_RATE_LIMIT_H

extern void hone_rate_limit_define_settings(void);

/* From the hooks for shared memory. */
extern void hone_rate_limit_request(void);
extern void hone_rate_limit_startup(void);

/* Buckets that were forgotten before they were full. */
extern uint64 hone_rate_limit_forgotten(void);

#endif							/* HONE_CACHE_RATE_LIMIT_H */
