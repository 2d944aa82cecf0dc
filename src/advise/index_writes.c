/*-------------------------------------------------------------------------
 *
 * index_writes.c
 *	  What writing to a table would cost if it had one index more
 *	  (index_writes.h).
 *
 * Rows are counted by the server, since a note of them that is a day or two old
 * (hone._table_writes). Each inserted row and each update that is not HOT puts
 * an entry into the index. A HOT update that sets one of its columns would be
 * none any more, and put entries into all indexes of the table: how many those
 * are, the texts of the UPDATE statements say, by the rows that each changed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/spi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/formatting.h"
#include "utils/lsyscache.h"

#include "advise/index_writes.h"
#include "advise/recommend.h"
#include "common/own_tables.h"
#include "common/sqltext.h"
#include "index/hypothetical.h"

/* An hour; before that a bulk load may be all there was. */
#define COUNTED_SECONDS		3600.0

/* UPDATE statements that are looked at, those of most rows. */
#define UPDATE_STATEMENTS	"1000"

/* ------------------------------------------------------------------------
 * UPDATE statements
 * ------------------------------------------------------------------------
 */

/* A text to be parsed, and what it says of the table. */
typedef struct Parse
{
	const char *text;
	const char *schema;
	const char *name;
	bool		found;
	List	   *columns;
} Parse;

/*
 * Without a schema it may be another table of that name: then too much is
 * taken for an update of this one, which errs on the side of fewer indexes.
 */
static bool
is_table(const Parse *parse, const RangeVar *relation)
{
	return relation != NULL && strcmp(relation->relname, parse->name) == 0 &&
		(relation->schemaname == NULL || strcmp(relation->schemaname, parse->schema) == 0);
}

static void
add_targets(Parse *parse, List *targets)
{
	ListCell   *lc;

	parse->found = true;
	foreach(lc, targets)
	{
		ResTarget  *target = lfirst_node(ResTarget, lc);

		if (target->name != NULL)
			parse->columns = lappend(parse->columns, target->name);
	}
}

static void
look_at(Parse *parse, Node *statement)
{
	WithClause *with = NULL;
	ListCell   *lc;

	if (IsA(statement, UpdateStmt))
	{
		UpdateStmt *update = (UpdateStmt *) statement;

		with = update->withClause;
		if (is_table(parse, update->relation))
			add_targets(parse, update->targetList);
	}
	else if (IsA(statement, InsertStmt))
	{
		InsertStmt *insert = (InsertStmt *) statement;

		with = insert->withClause;
		if (insert->onConflictClause != NULL && is_table(parse, insert->relation) &&
			insert->onConflictClause->action == ONCONFLICT_UPDATE)
			add_targets(parse, insert->onConflictClause->targetList);
	}
	else if (IsA(statement, MergeStmt))
	{
		MergeStmt  *merge = (MergeStmt *) statement;

		with = merge->withClause;
		foreach(lc, merge->mergeWhenClauses)
		{
			MergeWhenClause *when = lfirst_node(MergeWhenClause, lc);

			if (when->commandType == CMD_UPDATE && is_table(parse, merge->relation))
				add_targets(parse, when->targetList);
		}
	}
	else if (IsA(statement, SelectStmt))
		with = ((SelectStmt *) statement)->withClause;
	else if (IsA(statement, PrepareStmt))
		look_at(parse, ((PrepareStmt *) statement)->query);
	if (with == NULL)
		return;
	foreach(lc, with->ctes)
		look_at(parse, lfirst_node(CommonTableExpr, lc)->ctequery);
}

static void
parse_update(void *arg)
{
	Parse	   *parse = arg;
	ListCell   *lc;

	foreach(lc, hone_parse_text(parse->text))
		look_at(parse, lfirst_node(RawStmt, lc)->stmt);
}

/* A text of hone.queries, and the rows that its calls changed. */
typedef struct Text
{
	char	   *text;
	double		rows;
} Text;

static void
read_texts(HoneUpdateTexts *texts)
{
	MemoryContext context = CurrentMemoryContext;
	uint64		n;

	SPI_connect();
	n = hone_own_run("SELECT q.query, q.rows FROM hone.queries q "
					 "WHERE q.datname = pg_catalog.current_database() AND q.rows > 0 AND q.query ~* '\\mupdate\\M' "
					 "ORDER BY q.rows DESC LIMIT " UPDATE_STATEMENTS, 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext spi = MemoryContextSwitchTo(context);
		Text	   *text = palloc(sizeof(Text));

		text->text = hone_result_text(i, 1);
		text->rows = hone_result_integer(i, 2);
		if (text->text != NULL)
			texts->texts = lappend(texts->texts, text);
		MemoryContextSwitchTo(spi);
	}
	SPI_finish();
	texts->read = true;
}

static List *
updates_of(Oid relid, HoneUpdateTexts *texts)
{
	char	   *schema = get_namespace_name(get_rel_namespace(relid));
	char	   *name = get_rel_name(relid);
	char	   *lower;
	List	   *updates = NIL;
	ListCell   *lc;

	if (schema == NULL || name == NULL)
		return NIL;
	if (!texts->read)
		read_texts(texts);
	lower = asc_tolower(name, strlen(name));
	foreach(lc, texts->texts)
	{
		const Text *text = lfirst(lc);
		Parse		parse = {.text = text->text,.schema = schema,.name = name};
		HoneUpdate *update;

		CHECK_FOR_INTERRUPTS();
		/* a text that was cut is no statement */
		if (!hone_sql_mentions(text->text, strlen(text->text), lower) ||
			hone_advice_try(parse_update, &parse) != NULL || !parse.found)
			continue;
		update = palloc(sizeof(HoneUpdate));
		update->columns = parse.columns;
		update->rows = text->rows;
		updates = lappend(updates, update);
	}
	return updates;
}

/* Is one of the columns set? */
static bool
sets_any(const HoneUpdate *update, List *columns)
{
	ListCell   *lc;
	ListCell   *lo;

	foreach(lc, columns)
	{
		foreach(lo, update->columns)
		{
			if (strcmp(lfirst(lc), lfirst(lo)) == 0)
				return true;
		}
	}
	return false;
}

/* The share of updated rows that get another value of one of the columns. */
static double
share_that_sets(const HoneTableWrites *writes, List *columns)
{
	double		rows = 0;
	double		setting = 0;
	ListCell   *lc;

	foreach(lc, writes->updates)
	{
		const HoneUpdate *update = lfirst(lc);

		rows += update->rows;
		if (sets_any(update, columns))
			setting += update->rows;
	}
	return rows > 0 ? setting / rows : 0;
}

/* ------------------------------------------------------------------------
 * Rates
 * ------------------------------------------------------------------------
 */

HoneTableWrites *
hone_table_writes(Oid relid, HoneUpdateTexts *texts)
{
	HoneTableWrites *writes = palloc0(sizeof(HoneTableWrites));
	double		per_hour;
	bool		isnull;
	Datum		seconds;

	SPI_connect();
	if (hone_own_run_oid("SELECT seconds, inserted, updated, hot_updated, indexes FROM hone._write_rate($1)", relid) == 1)
	{
		seconds = hone_result_value(0, 1, &isnull);
		writes->known = !isnull && DatumGetFloat8(seconds) >= COUNTED_SECONDS;
		if (writes->known)
		{
			per_hour = 3600 / DatumGetFloat8(seconds);
			writes->inserted = Max(hone_result_integer(0, 2), 0) * per_hour;
			writes->hot = Max(hone_result_integer(0, 4), 0) * per_hour;
			writes->moved = Max(hone_result_integer(0, 3) * per_hour - writes->hot, 0);
			writes->indexes = hone_result_integer(0, 5);
		}
	}
	SPI_finish();
	if (writes->hot > 0)
		writes->updates = updates_of(relid, texts);
	return writes;
}

HoneIndexWrites
hone_index_writes(const HoneTableWrites *writes, const HoneIndexCandidate *candidate, bool replaces)
{
	HoneIndexWrites result;

	result.hot_lost = writes->hot * share_that_sets(writes, candidate->attributes);
	result.entries = (replaces ? 0 : writes->inserted + writes->moved) + result.hot_lost;

	/* an entry of the others is taken to cost as much as one of this */
	result.cost = (result.entries + result.hot_lost * writes->indexes) * candidate->entry_cost;
	return result;
}
