/*-------------------------------------------------------------------------
 *
 * trouble.c
 *	  For tests: a preloaded module that raises errors in its hooks.
 *
 * trouble.hook names the hook, trouble.turn whether it raises before or after
 * it called the hook that was there before it. It does so for statements
 * whose source text contains trouble.marker, with SQLSTATE trouble.sqlstate
 * and at level trouble.level.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "fmgr.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "tcop/utility.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

typedef enum TroubleHook
{
	IN_NONE,
	IN_ANALYZE,
	IN_PLANNER,
	IN_START,
	IN_RUN,
	IN_FINISH,
	IN_END,
	IN_UTILITY
} TroubleHook;

typedef enum TroubleTurn
{
	BEFORE,
	AFTER
} TroubleTurn;

static const struct config_enum_entry hook_options[] = {
	{"none", IN_NONE, false},
	{"analyze", IN_ANALYZE, false},
	{"planner", IN_PLANNER, false},
	{"start", IN_START, false},
	{"run", IN_RUN, false},
	{"finish", IN_FINISH, false},
	{"end", IN_END, false},
	{"utility", IN_UTILITY, false},
	{NULL, 0, false}
};

static const struct config_enum_entry turn_options[] = {
	{"before", BEFORE, false},
	{"after", AFTER, false},
	{NULL, 0, false}
};

static const struct config_enum_entry level_options[] = {
	{"error", ERROR, false},
	{"fatal", FATAL, false},
	{NULL, 0, false}
};

static int	trouble_hook = IN_NONE;
static int	trouble_turn = BEFORE;
static int	trouble_level = ERROR;
static char *trouble_marker = NULL;
static char *trouble_sqlstate = NULL;

static post_parse_analyze_hook_type previous_post_parse_analyze = NULL;
static planner_hook_type previous_planner = NULL;
static ExecutorStart_hook_type previous_start = NULL;
static ExecutorRun_hook_type previous_run = NULL;
static ExecutorFinish_hook_type previous_finish = NULL;
static ExecutorEnd_hook_type previous_end = NULL;
static ProcessUtility_hook_type previous_utility = NULL;

/* 18 dropped execute_once from ExecutorRun. */
#if PG_VERSION_NUM >= 180000
#define RUN_ARGS	QueryDesc *query_desc, ScanDirection direction, uint64 count
#define RUN_PASS	query_desc, direction, count
#else
#define RUN_ARGS \
	QueryDesc *query_desc, ScanDirection direction, uint64 count, bool execute_once
#define RUN_PASS	query_desc, direction, count, execute_once
#endif

PGDLLEXPORT void _PG_init(void);

static void
trouble(TroubleHook hook, TroubleTurn turn, const char *source)
{
	const char *state = trouble_sqlstate;

	if (trouble_hook != hook || trouble_turn != turn || source == NULL ||
		trouble_marker[0] == '\0' || strstr(source, trouble_marker) == NULL)
		return;
	ereport(trouble_level,
			(errcode(strlen(state) == 5 ?
					 MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4]) :
					 ERRCODE_INTERNAL_ERROR),
			 errmsg("trouble in the hook")));
}

static void
analyze_hook(ParseState *pstate, Query *query, JumbleState *jstate)
{
	trouble(IN_ANALYZE, BEFORE, pstate->p_sourcetext);
	if (previous_post_parse_analyze)
		previous_post_parse_analyze(pstate, query, jstate);
	trouble(IN_ANALYZE, AFTER, pstate->p_sourcetext);
}

static PlannedStmt *
plan_hook(Query *parse, const char *source, int cursor_options, ParamListInfo params)
{
	PlannedStmt *result;

	trouble(IN_PLANNER, BEFORE, source);
	if (previous_planner)
		result = previous_planner(parse, source, cursor_options, params);
	else
		result = standard_planner(parse, source, cursor_options, params);
	trouble(IN_PLANNER, AFTER, source);
	return result;
}

static void
start_hook(QueryDesc *query_desc, int eflags)
{
	trouble(IN_START, BEFORE, query_desc->sourceText);
	if (previous_start)
		previous_start(query_desc, eflags);
	else
		standard_ExecutorStart(query_desc, eflags);
	trouble(IN_START, AFTER, query_desc->sourceText);
}

static void
run_hook(RUN_ARGS)
{
	trouble(IN_RUN, BEFORE, query_desc->sourceText);
	if (previous_run)
		previous_run(RUN_PASS);
	else
		standard_ExecutorRun(RUN_PASS);
	trouble(IN_RUN, AFTER, query_desc->sourceText);
}

static void
finish_hook(QueryDesc *query_desc)
{
	trouble(IN_FINISH, BEFORE, query_desc->sourceText);
	if (previous_finish)
		previous_finish(query_desc);
	else
		standard_ExecutorFinish(query_desc);
	trouble(IN_FINISH, AFTER, query_desc->sourceText);
}

/* The text may go with the query. */
static void
end_hook(QueryDesc *query_desc)
{
	const char *source = query_desc->sourceText;

	trouble(IN_END, BEFORE, source);
	if (previous_end)
		previous_end(query_desc);
	else
		standard_ExecutorEnd(query_desc);
	trouble(IN_END, AFTER, source);
}

static void
utility_hook(PlannedStmt *planned, const char *source, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *dest,
			 QueryCompletion *completion)
{
	trouble(IN_UTILITY, BEFORE, source);
	if (previous_utility)
		previous_utility(planned, source, read_only_tree, context, params,
						 environment, dest, completion);
	else
		standard_ProcessUtility(planned, source, read_only_tree, context, params,
								environment, dest, completion);
	trouble(IN_UTILITY, AFTER, source);
}

void
_PG_init(void)
{
	DefineCustomEnumVariable("trouble.hook", "The hook that raises.", NULL,
							 &trouble_hook, IN_NONE, hook_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("trouble.turn", "When it raises.", NULL,
							 &trouble_turn, BEFORE, turn_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("trouble.level", "How badly.", NULL,
							 &trouble_level, ERROR, level_options,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("trouble.marker", "In which statements.", NULL,
							   &trouble_marker, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("trouble.sqlstate", "With which code.", NULL,
							   &trouble_sqlstate, "XX000",
							   PGC_USERSET, 0, NULL, NULL, NULL);

	previous_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = analyze_hook;
	previous_planner = planner_hook;
	planner_hook = plan_hook;
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = start_hook;
	previous_run = ExecutorRun_hook;
	ExecutorRun_hook = run_hook;
	previous_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_hook;
	previous_end = ExecutorEnd_hook;
	ExecutorEnd_hook = end_hook;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
}
