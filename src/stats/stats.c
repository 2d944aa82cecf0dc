/*-------------------------------------------------------------------------
 *
 * stats.c
 *	  The statistics' settings and their place among the observers.
 *
 * record -> pending (this backend) -> shared table -> snapshot -> views.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "utils/guc.h"

#include "common/record.h"
#include "common/task.h"
#include "stats/collector.h"
#include "stats/history.h"
#include "stats/pending.h"
#include "stats/stats.h"
#include "stats/texts.h"

int			hone_max_memory_kb = 64 * 1024;
int			hone_flush_interval_ms = 1000;
int			hone_stats_text_size = 4096;
int			hone_wait_sample_interval_ms = 100;
int			hone_history_interval_s = 60;

static const HoneTask history_task = {
	.command = "CALL hone._write_history()",
	.activity = "writing the history of statistics",
	.interval_s = &hone_history_interval_s,
	.workers = 1
};

static HoneClientAuthenticationHook previous_client_authentication = NULL;

static void
on_analyzed(ParseState *pstate, Query *query, JumbleState *jstate)
{
	hone_pending_make_room();
	hone_texts_analyzed(pstate, query, jstate);
}

static void
on_identified(const HoneRecord *record)
{
	hone_pending_make_room();
	hone_texts_seen(record);
}

static void
on_finished(const HoneRecord *record)
{
	hone_pending_record(record);
	hone_texts_seen(record);
}

static void
on_authentication(struct Port *port, int status)
{
	if (previous_client_authentication)
		previous_client_authentication(port, status);
	if (status == STATUS_OK)
		hone_pending_session();
}

static HoneObserver observer = {
	.analyzed = on_analyzed,
	.identified = on_identified,
	.running = hone_pending_running,
	.finished = on_finished
};

static void
define_settings(void)
{
	hone_history_define_settings();
	DefineCustomIntVariable("hone.flush_interval",
							"Longest time for which a session keeps what it has counted to itself.",
							"At the end of a statement counts that are older move to the shared statistics.",
							&hone_flush_interval_ms, 1000, 0, 3600 * 1000,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.history_interval",
							"How often statistics are written to the history, and saved for the case of a crash.",
							NULL,
							&hone_history_interval_s, 60, 1, 3600,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.wait_sample_interval",
							"Time between two looks at what running statements wait for.",
							"The bound_by of queries comes from it. 0 turns it off.",
							&hone_wait_sample_interval_ms, 100, 0, 60 * 1000,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.stats_text_size",
							"Longest query text that is kept, in bytes; longer ones are cut.",
							NULL,
							&hone_stats_text_size, 4096, 64, 1024 * 1024,
							PGC_SUSET, GUC_UNIT_BYTE, NULL, NULL, NULL);

	DefineCustomIntVariable("hone.max_memory",
							"Shared memory for query statistics and texts.",
							"Reserved at server start, taken from the system as it fills. "
							"When it is nearly full, the longest unused queries are "
							"evicted; until then new ones count under one entry.",
							&hone_max_memory_kb, 64 * 1024, 2 * 1024, INT_MAX / 2,
							hone_server_start_context(), GUC_UNIT_KB, NULL, NULL, NULL);
}

void
hone_stats_init(void)
{
	define_settings();
	if (!hone_preloaded)
		return;
	hone_stats_shared_init();
	hone_observer_register(&observer);
	hone_collector_init();
	hone_task_register(&history_task);
	previous_client_authentication = ClientAuthentication_hook;
	ClientAuthentication_hook = on_authentication;
}
