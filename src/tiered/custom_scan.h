/*-------------------------------------------------------------------------
 *
 * custom_scan.h
 *	  Reading tiered tables in plans.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_CUSTOM_SCAN_H
#define HONE_TIERED_CUSTOM_SCAN_H

/* Register the scan's methods and install set_rel_pathlist_hook. */
extern void hone_custom_scan_init(void);

#endif							/* HONE_TIERED_CUSTOM_SCAN_H */
