/*-------------------------------------------------------------------------
 *
 * advice_storage.c
 *	  Settings of cold_but_read, hot_but_idle and partition_candidate: what the
 *	  catalogs and statistics say of where rows are stored.
 *
 * What is worth saying, and in which words, is SQL over the views of
 * lifecycle/ (sql/install/56_storage.sql), which advice_database.c reads:
 * advise/ knows nothing of policies.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "advise/recommend.h"

static int	hone_advise_cold_reads = 24;
static int	hone_advise_hot_idle = 35 * 24 * 3600;
static int	hone_advise_hot_size = 10 * 1024;
static int	hone_advise_partition_size = 10 * 1024;

/* The views read these settings by name. */
void
hone_storage_init(void)
{
	/* what is read every hour is no cold data */
	DefineCustomIntVariable("hone.advise_cold_reads",
							"Reads per day of a cold partition, and a tenth of those of a warm one, from which its policy is reported.",
							NULL, &hone_advise_cold_reads,
							24, 1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	/* a monthly report has read it in that time */
	DefineCustomIntVariable("hone.advise_hot_idle",
							"Time for which nobody must have read a hot partition before compressing it is recommended.",
							NULL, &hone_advise_hot_idle,
							35 * 24 * 3600, 0, INT_MAX, PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);

	/* a dollar a month, by the prices that pg_hone comes with */
	DefineCustomIntVariable("hone.advise_hot_size",
							"Size that the hot partitions of a table that nobody reads must have together before compressing them is recommended.",
							NULL, &hone_advise_hot_size,
							10 * 1024, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MB, NULL, NULL, NULL);

	/* below, a table is vacuumed and its indexes are rebuilt in minutes */
	DefineCustomIntVariable("hone.advise_partition_size",
							"Size that a table must have, with its indexes, before partitioning it is recommended.",
							NULL, &hone_advise_partition_size,
							10 * 1024, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MB, NULL, NULL, NULL);
}
