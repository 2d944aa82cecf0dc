/*-------------------------------------------------------------------------
 *
 * tiered.c
 *	  Start-up of the tiered access method.
 *
 * Works without preloading: opening a tiered relation calls the access
 * method's handler, which loads the library, before the planner builds paths.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tiered/custom_scan.h"
#include "tiered/detail.h"
#include "tiered/order.h"
#include "tiered/probe.h"
#include "tiered/progress.h"
#include "tiered/rewrite.h"
#include "tiered/tiered.h"

void
hone_tiered_init(void)
{
	DefineCustomIntVariable("hone.batch_cache",
							"Memory in which a session keeps what batches say of their columns.",
							"With it lookups know which batches need not be read.",
							&hone_batch_cache_kb, 8192, 0, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomBoolVariable("hone.compress_rewrite",
							 "Compress a table that nobody else uses by writing it anew.",
							 "Off: always step by step. Either way others hardly wait.",
							 &hone_compress_rewrite, true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.key_cache",
							"Memory in which a session keeps the keys of compressed rows for unique checks.",
							NULL,
							&hone_key_cache_kb, 16384, 0, MAX_KILOBYTES,
							PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	hone_custom_scan_init();
	hone_custom_path_init();
	hone_plan_check_init();
	hone_order_init();
	hone_progress_init();
}
