/*-------------------------------------------------------------------------
 *
 * custom_scan.h
 *	  Reading tiered tables in plans.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_CUSTOM_SCAN_H
#define HONE_TIERED_CUSTOM_SCAN_H

#include "nodes/extensible.h"

#define HONE_CUSTOM_SCAN_NAME	"HoneTieredScan"

extern const CustomScanMethods hone_custom_scan_methods;

/* Register the scan's methods (custom_scan.c). */
extern void hone_custom_scan_init(void);

/* Install the planner's hooks (custom_path.c). */
extern void hone_custom_path_init(void);

/* Install the check of finished plans (plan_check.c). */
extern void hone_plan_check_init(void);

/* Whether the node is a HoneTieredScan. */
extern bool hone_is_custom_scan(PlanState *node);

#endif							/* HONE_TIERED_CUSTOM_SCAN_H */
