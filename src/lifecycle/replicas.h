/*-------------------------------------------------------------------------
 *
 * replicas.h
 *	  How far behind the streaming standbys are.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_REPLICAS_H
#define HONE_LIFECYCLE_REPLICAS_H

#include "common/hone.h"

/*
 * Has some standby that is connected not yet replayed what was written here so
 * many milliseconds ago? Needs preloading.
 */
extern bool hone_replicas_lag(int ms);

/*
 * Make standbys say how far they are: a standby that has nothing to receive
 * does so only every wal_receiver_status_interval.
 */
extern void hone_replicas_ask(void);

#endif							/* HONE_LIFECYCLE_REPLICAS_H */
