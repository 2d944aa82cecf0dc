/*-------------------------------------------------------------------------
 *
 * executor.c
 *	  Hooks of parse analysis, planner and executor: one record per plan
 *	  executed.
 *
 * A call's state is in a list of the calls that are open. It ends in
 * ExecutorEnd; in a PG_CATCH when it fails; or, when a rollback drops an open
 * cursor, with the memory context of its executor state, which a callback
 * tells us. A cursor is one call, the sum of its runs. The state's memory is
 * used for call after call: taken before the executor starts, given back when
 * that memory context goes.
 *
 * Planner and parse hooks are not run for generic plans: nothing that a call
 * needs comes from them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/plannodes.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "storage/ipc.h"
#include "utils/memutils.h"

#include "capture/call.h"
#include "capture/utility.h"

typedef struct HoneCall
{
	struct HoneCall *next;		/* in open_calls or free_calls */
	struct HoneCall **link;		/* what points to an open one */
	QueryDesc  *query_desc;
	int			runs;
	bool		finished;
	HoneRecord	record;
	MemoryContextCallback on_reset;
} HoneCall;

#define FREE_CALLS	16			/* kept for calls to come */

static HoneCall *open_calls = NULL; /* the latest first */
static HoneCall *free_calls = NULL;
static int	free_count = 0;

static post_parse_analyze_hook_type previous_post_parse_analyze = NULL;
static planner_hook_type previous_planner = NULL;
static ExecutorStart_hook_type previous_start = NULL;
static ExecutorRun_hook_type previous_run = NULL;
static ExecutorFinish_hook_type previous_finish = NULL;
static ExecutorEnd_hook_type previous_end = NULL;

static void
tell_analyzed(ParseState *pstate, Query *query, JumbleState *jstate)
{
	for (HoneAnalyzed *analyzed = hone_observers.analyzed; *analyzed; analyzed++)
		(*analyzed) (pstate, query, jstate);
}

/* Give a cursor's query the identifier that some server versions do not. */
static void
analyze_cursor(ParseState *pstate, Query *declare)
{
	Node	   *inner = ((DeclareCursorStmt *) declare->utilityStmt)->query;
	Query	   *query;
	JumbleState *jstate;

	if (inner == NULL || !IsA(inner, Query))
		return;
	query = (Query *) inner;
	if (HONE_QUERYID(query) != 0)
		return;
	query->stmt_location = declare->stmt_location;
	query->stmt_len = declare->stmt_len;
	jstate = HONE_JUMBLE_INNER(query, pstate->p_sourcetext);
	if (jstate != NULL)
		tell_analyzed(pstate, query, jstate);
}

static void
analyze_hook(ParseState *pstate, Query *query, JumbleState *jstate)
{
	int			level;

	if (previous_post_parse_analyze)
		previous_post_parse_analyze(pstate, query, jstate);

	if (hone_nest_level == 0)
		hone_error_told = false;
	if (HONE_QUERYID(query) == 0 || !hone_capture_active(&level))
		return;
	hone_utility_locate(pstate, query);
	tell_analyzed(pstate, query, jstate);
	if (query->utilityStmt != NULL && IsA(query->utilityStmt, DeclareCursorStmt))
		analyze_cursor(pstate, query);
}

static PlannedStmt *
plan(Query *parse, const char *query_string, int cursor_options, ParamListInfo params)
{
	if (previous_planner)
		return previous_planner(parse, query_string, cursor_options, params);
	return standard_planner(parse, query_string, cursor_options, params);
}

/*
 * A statement that fails in the planner (as SELECT 1/0 does) is a failed call;
 * its time is what was spent there.
 */
static PlannedStmt *
planner_hook_function(Query *parse, const char *query_string,
					  int cursor_options, ParamListInfo params)
{
	int			nest_level = hone_nest_level;
	int			level;
	PlannedStmt *result;
	HoneRecord	record;
	HoneStretch stretch;

	if (nest_level == 0)
		hone_error_told = false;
	if (HONE_QUERYID(parse) == 0 || !hone_capture_active(&level))
		return plan(parse, query_string, cursor_options, params);

	hone_capture_begin(&record, HONE_RECORD_PLAN, HONE_QUERYID(parse),
					   parse->commandType, level, query_string,
					   parse->stmt_location, parse->stmt_len);
	hone_stretch_begin(&stretch, &record);
	hone_nest_level++;
	PG_TRY();
	{
		result = plan(parse, query_string, cursor_options, params);
	}
	PG_CATCH();
	{
		hone_nest_level = nest_level;
		hone_stretch_end(&stretch, &record);
		record.kind = HONE_RECORD_EXEC;
		record.sqlstate = geterrcode();
		hone_capture_finish(&record);
		PG_RE_THROW();
	}
	PG_END_TRY();
	hone_nest_level = nest_level;
	hone_stretch_end(&stretch, &record);
	hone_capture_finish(&record);
	return result;
}

static pg_noinline HoneCall *
search_call(const QueryDesc *query_desc)
{
	HoneCall   *call = open_calls;

	while (call != NULL && call->query_desc != query_desc)
		call = call->next;
	return call;
}

static inline HoneCall *
find_call(const QueryDesc *query_desc)
{
	if (likely(open_calls != NULL && open_calls->query_desc == query_desc))
		return open_calls;
	return search_call(query_desc);
}

static void
finish_call(HoneCall *call)
{
	if (call->finished)
		return;
	call->finished = true;
	*call->link = call->next;
	if (call->next != NULL)
		call->next->link = call->link;
	if (call->runs > 0 || call->record.sqlstate != 0)
		hone_capture_finish(&call->record);
}

/* Zeroed, or used before; NULL when there is no memory. */
static HoneCall *
take_call(void)
{
	HoneCall   *call = free_calls;

	if (call == NULL)
		return MemoryContextAllocExtended(TopMemoryContext, sizeof(HoneCall),
										  MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
	free_calls = call->next;
	free_count--;
	return call;
}

static void
give_back(HoneCall *call)
{
	if (free_count == FREE_CALLS)
	{
		pfree(call);
		return;
	}
	call->next = free_calls;
	free_calls = call;
	free_count++;
}

/* The executor state goes; without ExecutorEnd it is a rollback. */
static void
call_reset(void *arg)
{
	HoneCall   *call = arg;

	if (!call->finished)
	{
		if (proc_exit_inprogress)
			call->runs = 0;
		call->query_desc = NULL;
		call->record.query_desc = NULL;
		call->record.source = NULL;
		call->record.in_abort = true;
		finish_call(call);
	}
	give_back(call);
}

/* A call that is about to start, not yet among the open ones. */
static pg_noinline HoneCall *
begin_call(QueryDesc *query_desc, int level)
{
	PlannedStmt *planned = query_desc->plannedstmt;
	HoneCall   *call = take_call();
	HoneRecord *record;

	if (call == NULL)
		return NULL;
	record = &call->record;
	call->query_desc = query_desc;
	call->runs = 0;
	call->finished = false;
	record->kind = HONE_RECORD_EXEC;
	record->queryid = HONE_QUERYID(planned);
	record->cmd = query_desc->operation;
	record->dest = DestNone;

	record->source = query_desc->sourceText;
	record->location = planned->stmt_location;
	record->length = planned->stmt_len;
	hone_capture_renew(record, level);
	return call;
}

static void
open_call(HoneCall *call)
{
	MemoryContext context = call->query_desc->estate->es_query_cxt;

	call->record.has_rusage = hone_capture_sample_rusage(&call->record);
	call->on_reset.func = call_reset;
	call->on_reset.arg = call;
	MemoryContextRegisterResetCallback(context, &call->on_reset);
	call->next = open_calls;
	call->link = &open_calls;
	if (open_calls != NULL)
		open_calls->link = &call->next;
	open_calls = call;
}

/* The executor could not be started. */
static void
fail_start(HoneCall *call)
{
	HoneRecord *record = &call->record;

	record->elapsed_ns = hone_clock_ns() - record->start_ns;
	record->sqlstate = geterrcode();
	hone_capture_finish(record);
	give_back(call);
}

static void
start(QueryDesc *query_desc, int eflags)
{
	if (previous_start)
		previous_start(query_desc, eflags);
	else
		standard_ExecutorStart(query_desc, eflags);
}

static void
start_hook(QueryDesc *query_desc, int eflags)
{
	int			nest_level = hone_nest_level;
	int			level;
	HoneCall   *call;

	if (nest_level == 0)
		hone_error_told = false;
	if (HONE_QUERYID(query_desc->plannedstmt) == 0 ||
		(eflags & EXEC_FLAG_EXPLAIN_ONLY) || !hone_capture_active(&level) ||
		(call = begin_call(query_desc, level)) == NULL)
	{
		start(query_desc, eflags);
		return;
	}

	for (HoneStarting *starting = hone_observers.starting; *starting; starting++)
		query_desc->instrument_options |= (*starting) (query_desc, eflags, level);

	/* Pruning partitions may run functions. */
	hone_nest_level++;
	PG_TRY();
	{
		start(query_desc, eflags);
	}
	PG_CATCH();
	{
		hone_nest_level = nest_level;
		fail_start(call);
		PG_RE_THROW();
	}
	PG_END_TRY();
	hone_nest_level = nest_level;

	open_call(call);
}

static void
fail_call(HoneCall *call, HoneStretch *stretch)
{
	if (call == NULL || call->finished)
		return;
	hone_stretch_end(stretch, &call->record);
	call->record.sqlstate = geterrcode();
	call->record.query_desc = NULL;
	finish_call(call);
}

static void
run(HONE_EXECUTOR_RUN_ARGS)
{
	if (previous_run)
		previous_run(HONE_EXECUTOR_RUN_PASS);
	else
		standard_ExecutorRun(HONE_EXECUTOR_RUN_PASS);
}

static inline void
put_receivers(const HoneCall *call, QueryDesc *query_desc, int depth)
{
	for (HoneReceiving *receiving = hone_observers.receiving; *receiving; receiving++)
		query_desc->dest = (*receiving) (&call->record, query_desc, query_desc->dest, depth);
}

static void
run_hook(HONE_EXECUTOR_RUN_ARGS)
{
	int			level = hone_nest_level;
	HoneCall   *call;
	HoneStretch stretch;
	DestReceiver *dest = query_desc->dest;

	if (!hone_enabled && open_calls == NULL)
	{
		run(HONE_EXECUTOR_RUN_PASS);
		return;
	}
	call = find_call(query_desc);
	if (call)
	{
		call->record.dest = dest != NULL ? dest->mydest : DestNone;

		if (query_desc->operation == CMD_SELECT)
			put_receivers(call, query_desc, level);
		hone_stretch_begin(&stretch, &call->record);
	}
	hone_nest_level++;
	PG_TRY();
	{
		run(HONE_EXECUTOR_RUN_PASS);
	}
	PG_CATCH();
	{
		query_desc->dest = dest;
		hone_nest_level = level;
		fail_call(call, &stretch);
		if (level == 0 && IsParallelWorker())
			hone_parallel_tell();
		PG_RE_THROW();
	}
	PG_END_TRY();
	query_desc->dest = dest;
	hone_nest_level = level;
	if (call)
	{
		hone_stretch_end(&stretch, &call->record);
		call->record.rows += query_desc->estate->es_processed;
		call->runs++;
	}
	else if (level == 0 && IsParallelWorker())
		hone_parallel_tell();
}

static void
finish(QueryDesc *query_desc)
{
	if (previous_finish)
		previous_finish(query_desc);
	else
		standard_ExecutorFinish(query_desc);
}

/* AFTER triggers fire here. */
static pg_noinline void
finish_and_measure(QueryDesc *query_desc, HoneCall *call)
{
	int			level = hone_nest_level;
	HoneStretch stretch;

	if (call)
		hone_stretch_begin(&stretch, &call->record);
	hone_nest_level++;
	PG_TRY();
	{
		finish(query_desc);
	}
	PG_CATCH();
	{
		hone_nest_level = level;
		fail_call(call, &stretch);
		PG_RE_THROW();
	}
	PG_END_TRY();
	hone_nest_level = level;
	if (call)
		hone_stretch_end(&stretch, &call->record);
}

static void
finish_hook(QueryDesc *query_desc)
{
	if ((query_desc->operation == CMD_SELECT && !query_desc->plannedstmt->hasModifyingCTE) ||
		(!hone_enabled && open_calls == NULL))
		finish(query_desc);
	else
		finish_and_measure(query_desc, find_call(query_desc));
}

static void
end_hook(QueryDesc *query_desc)
{
	HoneCall   *call = find_call(query_desc);

	if (call)
	{
		call->record.query_desc = query_desc;
		finish_call(call);
	}
	if (previous_end)
		previous_end(query_desc);
	else
		standard_ExecutorEnd(query_desc);
}

void
hone_executor_init(void)
{
	previous_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze_hook;
	previous_planner = planner_hook;
	planner_hook = planner_hook_function;
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = start_hook;
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run_hook;
	previous_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_hook;
	previous_end = ExecutorEnd_hook;
	ExecutorEnd_hook = end_hook;
}
