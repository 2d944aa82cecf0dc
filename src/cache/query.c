/*-------------------------------------------------------------------------
 *
 * query.c
 *	  The query of hone.cached_query (see query.h).
 *
 * Every call analyses its text, also one whose result is there: that is some
 * ten microseconds, and what comes out of it decides. It is the query tree
 * after views, rules and row security were put in, with the OIDs of all that
 * its names mean to this session now. As part of the key it tells apart what
 * other names, views, policies and columns would make another query of; and it
 * is what the privileges of the role are checked on, as the executor would.
 * What functions look at is not in it, so all settings of the session that
 * could matter to one are part of the key too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/guc_tables.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"

#include "cache/query.h"
#include "common/hone.h"

#define QUERY_HINT \
	"Give one SELECT that changes nothing, for example 'SELECT count(*) FROM orders'."

/* ------------------------------------------------------------------------
 * What the query does
 * ------------------------------------------------------------------------
 */

/*
 * Not volatile, but of this session or transaction alone.
 */
static bool
looks_at_session(Oid function)
{
	switch (function)
	{
		case F_PG_BACKEND_PID:
		case F_PG_CURSOR:
		case F_PG_LISTENING_CHANNELS:
		case F_PG_PREPARED_STATEMENT:
		case F_PG_SHOW_ALL_SETTINGS:
		case F_PG_TRIGGER_DEPTH:
		case F_CURRENT_SCHEMAS:
		case F_PG_MY_TEMP_SCHEMA:
		case F_PG_IS_OTHER_TEMP_SCHEMA:
		case F_INET_CLIENT_ADDR:
		case F_INET_CLIENT_PORT:
		case F_INET_SERVER_ADDR:
		case F_INET_SERVER_PORT:
		case F_PG_CURRENT_XACT_ID:
		case F_PG_CURRENT_XACT_ID_IF_ASSIGNED:
		case F_PG_CURRENT_SNAPSHOT:
		case F_TXID_CURRENT:
		case F_TXID_CURRENT_IF_ASSIGNED:
		case F_TXID_CURRENT_SNAPSHOT:
			return true;
		default:
			return false;
	}
}

/*
 * May the result depend on what a client calls itself? What users' functions
 * look at nobody knows; immutable ones do not look.
 */
static bool
asks_for_client(Oid function)
{
	return function == F_CURRENT_SETTING_TEXT || function == F_CURRENT_SETTING_TEXT_BOOL ||
		function == F_PG_CLIENT_ENCODING || function == HONE_F_SYSTEM_USER ||
		(function >= FirstNormalObjectId && func_volatile(function) == PROVOLATILE_STABLE);
}

static bool
check_function(Oid function, void *context)
{
	HoneCachedQuery *query = context;

	if (!hone_may_execute(function, GetUserId()))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, get_func_name(function));
	if (func_volatile(function) == PROVOLATILE_VOLATILE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a cached query must not call the volatile function %s",
						get_func_name(function)),
				 errhint("Others would get the result of one call. Run the query without hone.cached_query, or call the function outside of it.")));
	if (looks_at_session(function))
		query->session = true;
	if (asks_for_client(function))
		query->settings = true;
	if (function == F_NOW || function == F_TRANSACTION_TIMESTAMP ||
		function == F_STATEMENT_TIMESTAMP)
		query->clock = true;
	return false;
}

static void
refuse(const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a cached query must not %s", what),
			 errhint(QUERY_HINT)));
}

static bool
check_walker(Node *node, void *context)
{
	HoneCachedQuery *query = context;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *level = (Query *) node;
		ListCell   *lc;

		if (level->commandType != CMD_SELECT || level->hasModifyingCTE)
			refuse("change rows");
		if (level->rowMarks != NIL || level->hasForUpdate)
			refuse("lock rows");
		hone_compat_check_permissions(level);
		foreach(lc, level->rtable)
		{
			RangeTblEntry *rte = lfirst(lc);

			if (rte->rtekind == RTE_RELATION &&
				get_rel_persistence(rte->relid) == RELPERSISTENCE_TEMP)
				query->session = true;
		}
		return query_tree_walker(level, check_walker, context, 0);
	}
	if (IsA(node, SQLValueFunction))
		query->clock |= ((SQLValueFunction *) node)->op < SVFOP_CURRENT_ROLE;
	if (IsA(node, NextValueExpr))
		refuse("take numbers from a sequence");
	(void) check_functions_in_node(node, check_function, context);
	return expression_tree_walker(node, check_walker, context);
}

/* ------------------------------------------------------------------------
 * Analysing
 * ------------------------------------------------------------------------
 */

void
hone_cached_query_analyse(const char *text, HoneCachedQuery *query)
{
	List	   *sources;
	CachedPlanSource *source;
	RawStmt    *raw = NULL;

	query->session = false;
	query->settings = false;
	query->clock = false;
	query->plan = SPI_prepare_cursor(text, 0, NULL, CURSOR_OPT_PARALLEL_OK);
	if (query->plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	sources = SPI_plan_get_plan_sources(query->plan);
	if (list_length(sources) == 1)
	{
		source = linitial(sources);
		query->queries = source->query_list;
		raw = source->raw_parse_tree;
	}
	if (raw == NULL || !IsA(raw->stmt, SelectStmt) ||
		list_length(query->queries) != 1 ||
		linitial_node(Query, query->queries)->commandType != CMD_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("not one SELECT statement"),
				 errhint(QUERY_HINT)));
	(void) check_walker(linitial(query->queries), query);
}

/* ------------------------------------------------------------------------
 * The key
 * ------------------------------------------------------------------------
 */

/*
 * Settings that sessions have of their own and that no result depends on.
 */
static bool
never_matters(const char *name)
{
	static const char *const names[] = {
		"client_min_messages", "deadlock_timeout", "lock_timeout", "statement_timeout",
		"transaction_timeout", "idle_in_transaction_session_timeout",
		"idle_session_timeout", "tcp_keepalives_count", "tcp_keepalives_idle",
		"tcp_keepalives_interval", "tcp_user_timeout", "seed"
	};

	for (int i = 0; i < lengthof(names); i++)
		if (strcmp(name, names[i]) == 0)
			return true;
	return strncmp(name, "transaction_", 12) == 0 ||
		strncmp(name, "default_transaction_", 20) == 0 ||
		strncmp(name, "log_", 4) == 0 || strncmp(name, "hone.", 5) == 0;
}

/* Clients differ in them, and hardly any query asks for them. */
static bool
names_client(const char *name)
{
	return strcmp(name, "application_name") == 0 || strcmp(name, "client_encoding") == 0;
}

/*
 * All that a session may have set otherwise than others, those that policies
 * ask for with current_setting() among them.
 */
static void
append_settings(StringInfo key, bool with_client)
{
	int			count;
	struct config_generic **settings = hone_compat_settings(&count);

	for (int i = 0; i < count; i++)
	{
		const char *value;

		if (settings[i]->context < PGC_SUSET || settings[i]->source <= PGC_S_DYNAMIC_DEFAULT ||
			never_matters(settings[i]->name) ||
			(!with_client && names_client(settings[i]->name)))
			continue;
		value = GetConfigOption(settings[i]->name, true, false);
		appendBinaryStringInfo(key, settings[i]->name, strlen(settings[i]->name) + 1);
		if (value != NULL)
			appendBinaryStringInfo(key, value, strlen(value) + 1);
		appendStringInfoChar(key, value == NULL ? 'n' : 'v');
	}
}

bool
hone_cached_query_key(const HoneCachedQuery *query, const char *tags, Size size,
					  uint8 digest[HONE_DIGEST_BYTES])
{
	StringInfoData key;
	char	   *tree = nodeToString(query->queries);
	bool		made;

	initStringInfo(&key);
	appendStringInfo(&key, "%u %u %u %u ", MyDatabaseId, GetUserId(),
					 GetSessionUserId(), GetOuterUserId());
	append_settings(&key, query->settings);
	appendStringInfoChar(&key, '\0');
	if (query->settings && hone_compat_system_user() != NULL)
		appendStringInfoString(&key, hone_compat_system_user());
	appendStringInfoChar(&key, '\0');
	appendBinaryStringInfo(&key, tags, size);
	appendStringInfoChar(&key, '\0');
	appendStringInfoString(&key, tree);
	made = hone_digest(key.data, key.len, digest);
	pfree(tree);
	pfree(key.data);
	return made;
}
