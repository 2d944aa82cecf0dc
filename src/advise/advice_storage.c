/*-------------------------------------------------------------------------
 *
 * advice_storage.c
 *	  cold_but_read, hot_but_idle, partition_candidate: what the catalogs and
 *	  statistics say of where rows are stored, made when
 *	  hone.recommendations is read.
 *
 * What is worth saying, and in which words, is SQL over the views of
 * lifecycle/ (sql/install/56_storage.sql): advise/ knows nothing of policies.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"
#include "utils/memutils.h"

#include "advise/made.h"

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

/* A text of the row, in the context of the advice. */
static char *
keep_text(HoneDatabaseAdvice *one, int row, int column)
{
	char	   *text = hone_made_text(row, column);

	return text ? MemoryContextStrdup(one->advice.context, text) : NULL;
}

static void
look_at_view(MemoryContext context, List **made, HoneFindingKind kind, const char *view)
{
	int			rows = !hone_detectors ? 0 :
	hone_made_select(psprintf("SELECT relation::bigint, severity, calls, first_seen, last_seen, summary, fix, no_fix, "
							  "substring(evidence::text FROM '^.(.*).$') FROM " HONE_SCHEMA ".%s", view));

	for (int i = 0; i < rows; i++)
	{
		HoneDatabaseAdvice *one = hone_made_advice(context, made, kind);

		one->finding.key.relid = (Oid) hone_made_integer(i, 1);
		one->advice.severity = keep_text(one, i, 2);
		one->finding.calls = hone_made_integer(i, 3);
		one->finding.first_seen = hone_made_integer(i, 4);
		one->finding.last_seen = hone_made_integer(i, 5);
		one->advice.summary = keep_text(one, i, 6);
		one->advice.fix = keep_text(one, i, 7);
		one->advice.no_fix = keep_text(one, i, 8);
		appendStringInfoString(&one->advice.evidence, hone_made_text(i, 9));
	}
}

void
hone_storage_look_cold(MemoryContext context, List **made)
{
	look_at_view(context, made, HONE_FINDING_COLD, "_cold_but_read");
}

void
hone_storage_look_hot(MemoryContext context, List **made)
{
	look_at_view(context, made, HONE_FINDING_HOT, "_hot_but_idle");
}

void
hone_storage_look_partition(MemoryContext context, List **made)
{
	look_at_view(context, made, HONE_FINDING_PARTITION, "_partition_candidate");
}
