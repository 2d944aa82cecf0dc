/*-------------------------------------------------------------------------
 *
 * utility.c
 *	  Hook of utility statements: one record each.
 *
 * PREPARE, EXECUTE and DEALLOCATE, and DECLARE, FETCH, MOVE and CLOSE, make
 * no record: they are ways to run a query, and that query's executor runs
 * make one, at the level of the statement itself.
 *
 * The server's query identifier of a utility statement tells names and values
 * apart (all of them before 16, some later), so that SAVEPOINT s1, SAVEPOINT
 * s2, ... or SET x = 'a', SET x = 'b' would be different statements. Where the
 * text holds such a value we make an identifier of our own from the text
 * without it; before 16, where the server hashes the whole text, also where it
 * holds a comment. Statements that may carry a secret are told by their
 * command tag alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "parser/scansup.h"
#include "tcop/cmdtag.h"
#include "tcop/utility.h"

#include "capture/call.h"
#include "capture/utility.h"
#include "common/sqltext.h"

#define UTILITY_TEXT_SIZE	1024

static ProcessUtility_hook_type previous_utility = NULL;

/* The utility statement being executed, for hone_utility_locate(). */
static const char *current_source = NULL;
static int	current_location;
static int	current_length;

void
hone_utility_locate(ParseState *pstate, Query *query)
{
	if (current_source == NULL || pstate->p_sourcetext != current_source ||
		query->stmt_location != 0 || query->stmt_len != 0 || current_location < 0)
		return;
	query->stmt_location = current_location;
	query->stmt_len = current_length;
}

/* Only a way to run another statement, which makes its own record. */
static bool
is_transparent(const Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_PrepareStmt:
		case T_ExecuteStmt:
		case T_DeallocateStmt:
		case T_DeclareCursorStmt:
		case T_FetchStmt:
		case T_ClosePortalStmt:
			return true;
		default:
			return false;
	}
}

static bool
may_carry_secret(const Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreateRoleStmt:
		case T_AlterRoleStmt:
		case T_AlterRoleSetStmt:
		case T_AlterDatabaseSetStmt:
		case T_CreateUserMappingStmt:
		case T_AlterUserMappingStmt:
		case T_CreateSubscriptionStmt:
		case T_AlterSubscriptionStmt:
		case T_CreateForeignServerStmt:
		case T_AlterForeignServerStmt:
		case T_CreateFdwStmt:
		case T_AlterFdwStmt:
		case T_AlterSystemStmt:
			return true;
		default:
			return false;
	}
}

/* "SET name = $1" for whatever value; a value may also be a bare word. */
static const char *
valueless_set(const VariableSetStmt *set, char *buffer)
{
	int			length;

	if (set->kind != VAR_SET_VALUE || set->name == NULL)
		return NULL;
	length = pg_mbcliplen(set->name, strlen(set->name), UTILITY_TEXT_SIZE - 32);
	snprintf(buffer, UTILITY_TEXT_SIZE, "SET %s%.*s = $1",
			 set->is_local ? "LOCAL " : "", length, set->name);
	return buffer;
}

/* The name or value in it is made up anew each time. */
static const char *
nameless_text(const Node *statement, char *buffer)
{
	if (IsA(statement, VariableSetStmt))
		return valueless_set((const VariableSetStmt *) statement, buffer);
	if (!IsA(statement, TransactionStmt))
		return NULL;
	switch (((const TransactionStmt *) statement)->kind)
	{
		case TRANS_STMT_SAVEPOINT:
			return "SAVEPOINT $1";
		case TRANS_STMT_RELEASE:
			return "RELEASE $1";
		case TRANS_STMT_ROLLBACK_TO:
			return "ROLLBACK TO $1";
		case TRANS_STMT_PREPARE:
			return "PREPARE TRANSACTION $1";
		case TRANS_STMT_COMMIT_PREPARED:
			return "COMMIT PREPARED $1";
		case TRANS_STMT_ROLLBACK_PREPARED:
			return "ROLLBACK PREPARED $1";
		default:
			return NULL;
	}
}

static uint64
text_queryid(const char *text, int length)
{
	uint64		hash = DatumGetUInt64(hash_any_extended((const unsigned char *) text, length, 0));

	return hash != 0 ? hash : 2;
}

/* A statement without the space around it; length 0 = to the end. */
static const char *
trimmed(const char *text, int length, int *trimmed_length)
{
	if (length <= 0)
		length = strlen(text);
	for (; length > 0 && scanner_isspace(*text); length--)
		text++;
	while (length > 0 && scanner_isspace(text[length - 1]))
		length--;
	*trimmed_length = length;
	return text;
}

/*
 * The statement without its constants and comments, into buffer; its length,
 * or 0 when it has neither or they are all there is (the code of DO).
 * *replaced: how many constants there were.
 */
static int
constantless_text(const PlannedStmt *planned, const char *source, char *buffer,
				  int *replaced)
{
	int			length;
	int			written;

	*replaced = 0;
	if (IsA(planned->utilityStmt, DoStmt) || planned->stmt_location < 0)
		return 0;
	source = trimmed(source + planned->stmt_location, planned->stmt_len, &length);
	written = hone_sql_normalise(source, length, NULL, -1, 1,
								 buffer, UTILITY_TEXT_SIZE, replaced);
	return *replaced > 0 || (written < length && length < UTILITY_TEXT_SIZE) ? written : 0;
}

/*
 * Choose identifier and text for the record. Text that is not the source's
 * is in buffer.
 */
static void
identify(HoneRecord *record, const PlannedStmt *planned, char *buffer)
{
	const Node *statement = planned->utilityStmt;
	const char *text = nameless_text(statement, buffer);
	bool		only_comments = false;
	int			replaced;
	int			length;

	if (may_carry_secret(statement))
	{
		text = GetCommandTagName(CreateCommandTag((Node *) statement));
		record->queryid = text_queryid(text, strlen(text));
		record->source = NULL;
		record->location = -1;
		return;
	}
	if (text)
		length = strlen(text);
	else
	{
		/* pg_stat_statements takes it away from those inside its own hook. */
		if (record->queryid == 0)
			record->queryid = hone_compat_jumble_utility(planned->utilityStmt);
		length = constantless_text(planned, record->source, buffer, &replaced);
		only_comments = replaced == 0;
	}
	if (length == 0 && record->queryid != 0)
		return;
	if (text == NULL && length == 0)
	{
		/* What it was up to 15. */
		text = trimmed(record->source + Max(planned->stmt_location, 0),
					   planned->stmt_len, &length);
		record->queryid = text_queryid(text, length);
		return;
	}
	record->source = text ? text : buffer;
	record->location = 0;
	record->length = length;
	if (record->queryid == 0 || !only_comments || HONE_UTILITY_HASHES_TEXT)
		record->queryid = text_queryid(record->source, length);
}

static uint64
rows_of(const QueryCompletion *completion)
{
	if (completion == NULL)
		return 0;
	switch (completion->commandTag)
	{
		case CMDTAG_COPY:
		case CMDTAG_SELECT:
		case CMDTAG_REFRESH_MATERIALIZED_VIEW:
			return completion->nprocessed;
		default:
			return 0;
	}
}

static void
process(PlannedStmt *planned, const char *source, bool read_only_tree,
		ProcessUtilityContext context, ParamListInfo params,
		QueryEnvironment *environment, DestReceiver *dest,
		QueryCompletion *completion)
{
	if (previous_utility)
		previous_utility(planned, source, read_only_tree, context, params,
						 environment, dest, completion);
	else
		standard_ProcessUtility(planned, source, read_only_tree, context, params,
								environment, dest, completion);
}

/* A statement that makes no record; level is the one inside it. */
static void
process_unrecorded(PlannedStmt *planned, const char *source, bool read_only_tree,
				   ProcessUtilityContext context, ParamListInfo params,
				   QueryEnvironment *environment, DestReceiver *dest,
				   QueryCompletion *completion, int level)
{
	int			outer_level = hone_nest_level;
	const char *outer_source = current_source;
	int			outer_location = current_location;
	int			outer_length = current_length;

	current_source = source;
	current_location = planned->stmt_location;
	current_length = planned->stmt_len;
	hone_nest_level = level;
	PG_TRY();
	{
		process(planned, source, read_only_tree, context, params,
				environment, dest, completion);
	}
	PG_FINALLY();
	{
		hone_nest_level = outer_level;
		current_source = outer_source;
		current_location = outer_location;
		current_length = outer_length;
	}
	PG_END_TRY();
}

static void
utility_hook(PlannedStmt *planned, const char *source, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *dest,
			 QueryCompletion *completion)
{
	bool		transparent = is_transparent(planned->utilityStmt);
	int			level;
	HoneRecord	record;
	HoneStretch stretch;
	char		buffer[UTILITY_TEXT_SIZE];

	if (hone_nest_level == 0)
		hone_error_told = false;
	if (transparent || context == PROCESS_UTILITY_SUBCOMMAND ||
		!IsQueryIdEnabled() || !hone_capture_active(&level))
	{
		process_unrecorded(planned, source, read_only_tree, context, params,
						   environment, dest, completion,
						   hone_nest_level + (transparent ? 0 : 1));
		return;
	}

	/* The tree may be gone when the statement has run. */
	hone_capture_begin(&record, HONE_RECORD_EXEC, HONE_QUERYID(planned),
					   CMD_UTILITY, level, source, planned->stmt_location, planned->stmt_len);
	identify(&record, planned, buffer);
	for (HoneIdentified *identified = hone_observers.identified; *identified; identified++)
		(*identified) (&record);
	record.has_rusage = hone_capture_sample_rusage(&record);
	hone_stretch_begin(&stretch, &record);
	PG_TRY();
	{
		process_unrecorded(planned, source, read_only_tree, context, params,
						   environment, dest, completion, hone_nest_level + 1);
	}
	PG_CATCH();
	{
		hone_stretch_end(&stretch, &record);
		record.sqlstate = geterrcode();
		hone_capture_finish(&record);
		PG_RE_THROW();
	}
	PG_END_TRY();
	hone_stretch_end(&stretch, &record);
	record.rows = rows_of(completion);
	hone_capture_finish(&record);
}

void
hone_utility_init(void)
{
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
}
