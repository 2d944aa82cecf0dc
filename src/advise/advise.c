/*-------------------------------------------------------------------------
 *
 * advise.c
 *	  Settings of advise/, and the observer that feeds its detectors.
 *
 * capture/ calls the observer inside each statement; the detectors keep local
 * state and write to the shared table of findings when they have something
 * (finding.c). recommend.c reads that table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"

#include "advise/advise.h"
#include "advise/apply.h"
#include "advise/detect.h"
#include "advise/index_choice.h"
#include "advise/nodes.h"
#include "advise/provenance.h"
#include "advise/recommend.h"
#include "common/task.h"

bool		hone_detectors = true;
int			hone_n_plus_one_threshold = 5;
int			hone_n_plus_one_gap = 100;
int			hone_recommendation_ttl = 7 * 24 * 3600;
int			hone_max_recommendations = 500;
int			hone_advise_offset_rows = 1000;
int			hone_advise_filter_rows = 1000;
int			hone_advise_result_rows = 10000;
int			hone_advise_sample_every = 100;
int			hone_advise_star_bytes = 1024;
int			hone_advise_wide_column = 256;

/* What each session has from its first statement on: shapes, tables. */
#define FIXED_MEMORY	(144 * 1024)

int			hone_advise_memory = 256;

/*
 * A form or a script writes a handful of rows one by one, and batching these
 * would save nobody a noticeable time; twenty round trips are felt.
 */
int			hone_row_by_row_threshold = 20;

int			hone_alert_interval = 60;
static int	alert_severity = 2;

/* As hone._severity_rank has them. */
static const struct config_enum_entry severities[] = {
	{"low", 1, false},
	{"medium", 2, false},
	{"high", 3, false},
	{"off", 4, false},
	{NULL, 0, false}
};

static const HoneTask alert_task = {
	.command = "CALL hone._raise_alerts()",
	.activity = "raising alerts",
	.interval_s = &hone_alert_interval,
	.workers = 1,
	/* analysing a statement may run code of those who own its types */
	.limit_ms = 60 * 1000
};

static bool ready = false;
static Size memory_taken = 0;

int
hone_recommendation_ttl_ms(void)
{
	return (int) Min((int64) hone_recommendation_ttl * 1000, INT_MAX);
}

Size
hone_memory_limit(void)
{
	return hone_advise_memory * (Size) 1024 - FIXED_MEMORY;
}

bool
hone_memory_take(Size size)
{
	if (memory_taken + size > hone_memory_limit())
		return false;
	memory_taken += size;
	return true;
}

void
hone_memory_give(Size size)
{
	memory_taken -= size;
}

void
hone_advise_flush(bool ended)
{
	hone_window_flush(ended);
	hone_star_flush();
	hone_plans_flush();
	hone_offset_flush();
}

static void
flush_at_exit(int code, Datum arg)
{
	hone_advise_flush(true);
}

/* Clients' sessions only: capture/ sees to that. */
static inline bool
is_watching(void)
{
	return hone_detectors && !hone_recommending;
}

/*
 * What a session needs once. Before the executor of its first statement has
 * allocated anything, so that what stays is not in the midst of what goes.
 */
static pg_noinline bool
make_ready(void)
{
	if (!hone_window_make())
		return false;
	before_shmem_exit(flush_at_exit, (Datum) 0);
	ready = true;
	return true;
}

static inline bool
is_ready(void)
{
	return likely(ready) || make_ready();
}

static void
advise_analyzed(ParseState *pstate, Query *query, JumbleState *jstate)
{
	if (!is_watching())
		return;
	hone_keys_analyzed(pstate, query, jstate);
	hone_star_analyzed(pstate, query);
}

static int
advise_starting(QueryDesc *query_desc, int eflags, int nest_level)
{
	if (!is_watching() || !is_ready())
		return 0;
	hone_keys_starting(query_desc);
	if (nest_level == 0)
		hone_result_starting(query_desc);
	return hone_plans_wanted(query_desc) ? INSTRUMENT_ROWS : 0;
}

static void
advise_finished(const HoneRecord *record)
{
	const HoneCallKeys *keys = NULL;

	if (record->sqlstate != 0 || record->in_abort)
		hone_weights_failed(record);
	if (!is_watching() || record->kind != HONE_RECORD_EXEC ||
		record->sqlstate != 0 || record->in_abort || !is_ready())
		return;
	if (record->query_desc == NULL)
	{
		hone_window_finished(record, NULL);
		return;
	}
	keys = hone_keys_finished(record->query_desc);
	hone_window_finished(record, keys);
	if (record->queryid == 0)
		return;
	hone_plans_finished(record);
	if (record->cmd != CMD_SELECT)
		return;
	hone_offset_finished(record);
	hone_star_finished(record);
	if (record->rows >= hone_advise_result_rows && record->nest_level == 0)
		hone_result_finished(record);
	if (record->elapsed_ns >= hone_advise_aggregate_time * UINT64CONST(1000000))
		hone_aggregate_finished(record, keys);
}

/* Before the rows of a suspect, or of a star, go to the client. */
static DestReceiver *
advise_receiving(const HoneRecord *record, QueryDesc *query_desc, DestReceiver *dest,
				 int depth)
{
	bool		suspect = hone_is_suspect(record->queryid);

	if (likely(!suspect && !hone_any_stars) || !is_watching() || !is_ready())
		return dest;
	if (hone_any_stars)
		dest = hone_star_receive(record, query_desc, dest, depth);
	return suspect ? hone_provenance_receive(record, query_desc, dest, depth) : dest;
}

static HoneObserver advise_observer = {
	.analyzed = advise_analyzed,
	.starting = advise_starting,
	.receiving = advise_receiving,
	.finished = advise_finished
};

static void
define_settings(void)
{
	DefineCustomIntVariable("hone.advise_filter_rows",
							"Rows of a table that one execution must read in vain before an index is recommended.",
							NULL, &hone_advise_filter_rows,
							1000, 1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.advise_memory",
							"Memory that the detectors of one session may use.",
							"144 kB of it are always used; with more, longer lists of rows and more statements are kept.",
							&hone_advise_memory,
							256, 160, 1024 * 1024, PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.advise_offset_rows",
							"Rows that OFFSET must throw away in one execution before it is reported.",
							NULL, &hone_advise_offset_rows,
							1000, 1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.advise_result_rows",
							"Rows that a SELECT without LIMIT must send to the client in one execution before it is reported.",
							"Most clients hold a whole result in memory before its first row is seen.",
							&hone_advise_result_rows,
							10000, 1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.advise_sample_every",
							"One in so many executions of a query counts the rows of its plan nodes.",
							"The first three executions in a session always do.",
							&hone_advise_sample_every,
							100, 1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.advise_star_bytes",
							"Bytes of wide columns that the calls of a SELECT * must have fetched before it is reported.",
							NULL, &hone_advise_star_bytes,
							1024, 0, INT_MAX, PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.advise_wide_column",
							"Average width from which a column is wide.",
							NULL, &hone_advise_wide_column,
							256, 1, INT_MAX, PGC_SUSET, GUC_UNIT_BYTE, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.alert_interval",
							"Time between two looks for recommendations that are worth an alert.",
							NULL, &hone_alert_interval,
							60, 1, INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomEnumVariable("hone.alert_severity",
							 "Severity from which a recommendation is in hone.alerts and told on channel hone_alerts.",
							 NULL, &alert_severity,
							 2, severities, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomBoolVariable("hone.detectors",
							 "Looks for wasteful patterns in the statements that run.",
							 NULL, &hone_detectors,
							 true, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.index_budget",
							"Room that all recommended indexes may take together; 0: no limit.",
							"Those that save most per byte come first.",
							&hone_index_budget,
							0, 0, INT_MAX, PGC_USERSET, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.n_plus_one_gap",
							"Longest pause between two statements outside a transaction block that may belong to one loop.",
							NULL, &hone_n_plus_one_gap,
							100, 1, 3600 * 1000, PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.n_plus_one_threshold",
							"Repeats of a query with different keys from which a loop is reported.",
							NULL, &hone_n_plus_one_threshold,
							5, 3, 1000000, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.recommendation_ttl",
							"Time after which a recommendation that nothing confirmed again is dropped.",
							NULL, &hone_recommendation_ttl,
							7 * 24 * 3600, 1, INT_MAX / 1000, PGC_SIGHUP, GUC_UNIT_S,
							NULL, NULL, NULL);
	DefineCustomIntVariable("hone.row_by_row_threshold",
							"Writes of one row each, one after the other, from which they are reported.",
							NULL, &hone_row_by_row_threshold,
							20, 3, 1000000, PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.max_recommendations",
							"Number of findings kept in shared memory, about 11 kB each.",
							NULL, &hone_max_recommendations,
							500, 10, 100000, hone_server_start_context(), 0, NULL, NULL, NULL);
}

void
hone_advise_init(void)
{
	define_settings();
	hone_nodes_init();
	hone_aggregate_init();
	hone_advice_database_init();
	if (!hone_preloaded)
		return;
	hone_finding_init();
	hone_task_register(&alert_task);
	hone_task_register(&hone_apply_task);
	hone_observer_register(&advise_observer);
}
