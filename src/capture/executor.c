/*-------------------------------------------------------------------------
 *
 * executor.c
 *	  Hooks of parse analysis, planner and executor: one record per plan
 *	  executed.
 *
 * A call's state lives in the memory context of its executor state and in a
 * list of the calls that are open. It ends in ExecutorEnd; in a PG_CATCH when
 * it fails; or, when a rollback drops an open cursor, with that memory
 * context. A cursor is one call, the sum of its runs.
 *
 * Planner and parse hooks are not run for generic plans: nothing that a call
 * needs comes from them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "executor/executor.h"
#include "lib/ilist.h"
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
	dlist_node	node;			/* in open_calls */
	QueryDesc  *query_desc;
	int			runs;
	bool		finished;
	HoneRecord	record;
	MemoryContextCallback on_reset;
} HoneCall;

static dlist_head open_calls = DLIST_STATIC_INIT(open_calls);

static post_parse_analyze_hook_type previous_post_parse_analyze = NULL;
static planner_hook_type previous_planner = NULL;
static ExecutorStart_hook_type previous_start = NULL;
static ExecutorRun_hook_type previous_run = NULL;
static ExecutorFinish_hook_type previous_finish = NULL;
static ExecutorEnd_hook_type previous_end = NULL;

static void
tell_analyzed(ParseState *pstate, Query *query, JumbleState *jstate)
{
	for (HoneObserver *observer = hone_observers; observer; observer = observer->next)
		if (observer->analyzed)
			observer->analyzed(pstate, query, jstate);
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
	if (previous_post_parse_analyze)
		previous_post_parse_analyze(pstate, query, jstate);

	if (hone_nest_level == 0)
		hone_errors_statement();
	if (HONE_QUERYID(query) == 0 || !hone_capture_active())
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
	int			level = hone_nest_level;
	PlannedStmt *result;
	HoneRecord	record;
	HoneStretch stretch;

	if (level == 0)
		hone_errors_statement();
	if (HONE_QUERYID(parse) == 0 || !hone_capture_active())
		return plan(parse, query_string, cursor_options, params);

	hone_capture_begin(&record, HONE_RECORD_PLAN, HONE_QUERYID(parse),
					   parse->commandType, query_string,
					   parse->stmt_location, parse->stmt_len);
	hone_stretch_begin(&stretch, &record);
	hone_nest_level++;
	PG_TRY();
	{
		result = plan(parse, query_string, cursor_options, params);
	}
	PG_CATCH();
	{
		hone_nest_level = level;
		hone_stretch_end(&stretch, &record);
		record.kind = HONE_RECORD_EXEC;
		record.sqlstate = geterrcode();
		hone_capture_finish(&record);
		PG_RE_THROW();
	}
	PG_END_TRY();
	hone_nest_level = level;
	hone_stretch_end(&stretch, &record);
	hone_capture_finish(&record);
	return result;
}

static HoneCall *
find_call(const QueryDesc *query_desc)
{
	dlist_iter	iter;

	dlist_foreach(iter, &open_calls)
	{
		HoneCall   *call = dlist_container(HoneCall, node, iter.cur);

		if (call->query_desc == query_desc)
			return call;
	}
	return NULL;
}

static void
finish_call(HoneCall *call)
{
	if (call->finished)
		return;
	call->finished = true;
	dlist_delete(&call->node);
	if (call->runs > 0 || call->record.sqlstate != 0)
		hone_capture_finish(&call->record);
}

/* The executor state goes without ExecutorEnd: a rollback. */
static void
call_reset(void *arg)
{
	HoneCall   *call = arg;

	if (call->finished)
		return;
	if (proc_exit_inprogress)
		call->runs = 0;
	call->query_desc = NULL;
	call->record.query_desc = NULL;
	call->record.source = NULL;
	call->record.in_abort = true;
	finish_call(call);
}

static void
open_call(QueryDesc *query_desc, const HoneRecord *record)
{
	MemoryContext context = query_desc->estate->es_query_cxt;
	HoneCall   *call = MemoryContextAllocExtended(context, sizeof(HoneCall),
												  MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);

	if (call == NULL)
		return;
	call->query_desc = query_desc;
	call->record = *record;
	call->record.has_rusage = hone_capture_sample_rusage(record);
	call->on_reset.func = call_reset;
	call->on_reset.arg = call;
	MemoryContextRegisterResetCallback(context, &call->on_reset);
	dlist_push_head(&open_calls, &call->node);
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
	int			level = hone_nest_level;
	HoneRecord	record;
	PlannedStmt *planned = query_desc->plannedstmt;

	if (level == 0)
		hone_errors_statement();
	if (HONE_QUERYID(planned) == 0 || (eflags & EXEC_FLAG_EXPLAIN_ONLY) ||
		!hone_capture_active())
	{
		start(query_desc, eflags);
		return;
	}

	hone_capture_begin(&record, HONE_RECORD_EXEC, HONE_QUERYID(planned),
					   query_desc->operation, query_desc->sourceText,
					   planned->stmt_location, planned->stmt_len);
	for (HoneObserver *observer = hone_observers; observer; observer = observer->next)
		if (observer->starting)
			query_desc->instrument_options |=
				observer->starting(query_desc, eflags, record.nest_level);

	/* Pruning partitions may run functions. */
	hone_nest_level++;
	PG_TRY();
	{
		start(query_desc, eflags);
	}
	PG_CATCH();
	{
		instr_time	now;

		hone_nest_level = level;
		INSTR_TIME_SET_CURRENT(now);
		record.elapsed_ns = HONE_INSTR_NS(now) - HONE_INSTR_NS(record.start_clock);
		record.sqlstate = geterrcode();
		hone_capture_finish(&record);
		PG_RE_THROW();
	}
	PG_END_TRY();
	hone_nest_level = level;

	open_call(query_desc, &record);
	for (HoneObserver *observer = hone_observers; observer; observer = observer->next)
		if (observer->started)
			observer->started(query_desc, eflags, record.nest_level);
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

static void
run_hook(HONE_EXECUTOR_RUN_ARGS)
{
	int			level = hone_nest_level;
	HoneCall   *call;
	HoneStretch stretch;

	if (!hone_enabled && dlist_is_empty(&open_calls))
	{
		run(HONE_EXECUTOR_RUN_PASS);
		return;
	}
	call = find_call(query_desc);
	if (call)
		hone_stretch_begin(&stretch, &call->record);
	hone_nest_level++;
	PG_TRY();
	{
		run(HONE_EXECUTOR_RUN_PASS);
	}
	PG_CATCH();
	{
		hone_nest_level = level;
		fail_call(call, &stretch);
		if (level == 0 && IsParallelWorker())
			hone_parallel_tell();
		PG_RE_THROW();
	}
	PG_END_TRY();
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
static void
finish_hook(QueryDesc *query_desc)
{
	int			level = hone_nest_level;
	HoneCall   *call;
	HoneStretch stretch;

	if ((!hone_enabled && dlist_is_empty(&open_calls)) ||
		(query_desc->operation == CMD_SELECT && !query_desc->plannedstmt->hasModifyingCTE))
	{
		finish(query_desc);
		return;
	}
	call = find_call(query_desc);
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
end_hook(QueryDesc *query_desc)
{
	HoneCall   *call = dlist_is_empty(&open_calls) ? NULL : find_call(query_desc);

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
