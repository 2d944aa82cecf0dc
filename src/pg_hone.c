/*-------------------------------------------------------------------------
 *
 * pg_hone.c
 *	  Entry point of the library: calls the areas' init, and nothing else.
 *
 * stats/ registers its observer before advise/ does, so that a detector finds
 * the statement it is told about already counted. Everything that needs
 * preloading checks hone_preloaded itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/guc.h"

#include "advise/advise.h"
#include "batch/batch.h"
#include "cache/cache.h"
#include "capture/capture.h"
#include "common/hone.h"
#include "index/index.h"
#include "lifecycle/lifecycle.h"
#include "stats/stats.h"
#include "tiered/tiered.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

void
_PG_init(void)
{
	hone_preloaded = process_shared_preload_libraries_in_progress;

	/* one line per area, bottom of the ladder first */
	hone_tiered_init();
	hone_stats_init();
	hone_capture_init();
	hone_index_init();
	hone_lifecycle_init();
	hone_advise_init();
	hone_batch_init();
	hone_cache_init();

	MarkGUCPrefixReserved("hone");
}
