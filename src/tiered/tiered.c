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
#include "tiered/order.h"
#include "tiered/progress.h"
#include "tiered/tiered.h"

void
hone_tiered_init(void)
{
	hone_custom_scan_init();
	hone_order_init();
	hone_progress_init();
}
