/*-------------------------------------------------------------------------
 *
 * cache.c
 *	  Settings and shared memory of rate limits and cached queries.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"

#include "cache/cache.h"
#include "cache/invalidate.h"
#include "cache/rate_limit.h"
#include "cache/store.h"

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

static void
request_shared_memory(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	hone_rate_limit_request();
	hone_store_request();
}

static void
startup_shared_memory(void)
{
	if (previous_shmem_startup)
		previous_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	hone_rate_limit_startup();
	hone_store_startup();
	LWLockRelease(AddinShmemInitLock);
}

void
hone_cache_init(void)
{
	hone_rate_limit_define_settings();
	hone_store_define_settings();
	if (!hone_preloaded)
		return;
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = startup_shared_memory;
	hone_invalidate_init();
}
