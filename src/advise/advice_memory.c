/*-------------------------------------------------------------------------
 *
 * advice_memory.c
 *	  disk_spill: work_mem that holds what went to temporary files.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "commands/dbcommands.h"
#include "miscadmin.h"
#include "nodes/nodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"

#include "advise/recommend.h"

/* More than this in one session is asking for trouble. */
#define MOST_KB		(1024 * 1024)

static const char *
node_name(int node)
{
	switch (node)
	{
		case T_Sort:
			return "sort";
		case T_Hash:
			return "hash join";
		case T_Agg:
			return "hash aggregate";
		case T_Material:
			return "materialized subplan";
		default:
			return "common table expression";
	}
}

/* The next whole megabytes: 1, 2, 4, 8, then steps of an eighth. */
static int64
round_up(int64 kb)
{
	int64		mb = (kb + 1023) / 1024;
	int64		step = 1;

	while (step * 8 < mb)
		step *= 2;
	return (mb + step - 1) / step * step;
}

void
hone_advice_memory(const HoneFinding *finding, const HoneReader *reader,
				   HoneAdvice *advice)
{
	int64		mb = round_up(finding->rows_max);
	char	   *role = GetUserNameFromId(finding->sample.userid, true);

	hone_advice_set(advice, &advice->summary,
					"set work_mem to " INT64_FORMAT "MB for the query of %s: a %s writes " INT64_FORMAT " kB to temporary files",
					mb, hone_qualified_name(finding->key.relid), node_name(finding->node),
					finding->rows_kept / finding->times);
	hone_evidence_text(advice, "node", node_name(finding->node));
	hone_evidence_integer(advice, "sampled_executions", finding->times);
	hone_evidence_integer(advice, "spilled_kb_per_execution",
						  finding->rows_kept / finding->times);
	hone_evidence_integer(advice, "work_mem_kb_p50",
						  hone_finding_median(finding, finding->rows / finding->times));
	hone_evidence_integer(advice, "work_mem_kb_max", finding->rows_max);
	hone_evidence_number(advice, "ms_per_execution",
						 finding->cost_ms / Max(finding->calls, 1));
	hone_evidence_sample(advice, "sample", &finding->sample, reader);
	if (mb > MOST_KB / 1024)
	{
		hone_advice_set(advice, &advice->no_fix,
						"that is more than a session should have: let an index give the order, or fewer rows");
		return;
	}
	hone_advice_set(advice, &advice->fix, "SET work_mem = '" INT64_FORMAT "MB'", mb);
	if (reader->texts && role)
		hone_evidence_text(advice, "for_role",
						   psprintf("ALTER ROLE %s IN DATABASE %s SET work_mem = '" INT64_FORMAT "MB'",
									quote_identifier(role),
									quote_identifier(get_database_name(MyDatabaseId)), mb));
	hone_evidence_text(advice, "mind",
					   "each sort and hash of each session may take that much: set it for the query, or for its role");
}
