/*-------------------------------------------------------------------------
 *
 * advice_materialize.c
 *	  materialize: dear aggregates that run again and again over tables that
 *	  hardly change.
 *
 * How fast they change is counted, not guessed: whoever reads the
 * recommendations first after the finding was made (the worker that raises
 * alerts, mostly) notes the tables' counters in it, and what is shown later
 * goes by the calls and changes since then. Refreshes are to cost a tenth of
 * what the calls cost, or less: that gives their interval, and the interval
 * what a reader of the view would miss. Aborted writes count too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/syscache.h"

#include "advise/materialize.h"
#include "advise/rewrite.h"

#define REFRESH_SHARE	0.1		/* of what the calls cost */
#define VIEW_SHARE		0.1		/* of the rows read, that a view may have */
#define ROW_BYTES		28		/* header and pointer */

/* What is known of the calls, the tables, and the refreshes that follow. */
typedef struct Figures
{
	const HoneFinding *finding;
	double		ms;				/* of a call */
	double		rows_read;		/* by a call */
	double		groups;			/* made by a call */
	double		table_rows;
	double		hours;			/* since counting began, */
	double		calls_hour;		/* per hour of these */
	double		changes_hour;
	int64		changes;
	bool		row_security;
	double		refresh_ms;
	int			every_s;		/* refreshes */
	double		missed;			/* changes between two of them */
	double		saving_ms;
} Figures;

static int64
counter(Oid function, Oid relid)
{
	return DatumGetInt64(OidFunctionCall1(function, ObjectIdGetDatum(relid)));
}

static int64
changes_of(Oid relid)
{
	return counter(F_PG_STAT_GET_TUPLES_INSERTED, relid) +
		counter(F_PG_STAT_GET_TUPLES_UPDATED, relid) +
		counter(F_PG_STAT_GET_TUPLES_DELETED, relid);
}

/* Add up a table with all that inherits from it; false if nothing counts there. */
static bool
add_table(Oid relid, Figures *figures, int64 *changes)
{
	ListCell   *lc;

	if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)))
		return false;
	foreach(lc, find_all_inheritors(relid, NoLock, NULL))
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_class class;
		bool		counts;

		CHECK_FOR_INTERRUPTS();
		if (!HeapTupleIsValid(tuple))
			continue;
		class = (Form_pg_class) GETSTRUCT(tuple);
		counts = class->relkind != RELKIND_FOREIGN_TABLE &&
			class->relpersistence != RELPERSISTENCE_TEMP;
		figures->row_security |= class->relrowsecurity;
		if (class->relkind != RELKIND_PARTITIONED_TABLE)
			figures->table_rows += Max(class->reltuples, 0);
		ReleaseSysCache(tuple);
		if (!counts)
			return false;
		*changes += changes_of(lfirst_oid(lc));
	}
	return true;
}

/*
 * Calls and changes since counting began; false if it has not, if there are too
 * few calls, or nobody knows.
 */
static bool
count(Figures *figures)
{
	const HoneFinding *finding = figures->finding;
	int64		changes = 0;
	int64		calls = finding->calls - finding->counted_calls;

	/* a standby does not count what it replays */
	if (finding->sample.more_rels || RecoveryInProgress())
		return false;
	for (int i = 0; i < finding->sample.nrels; i++)
	{
		if (!add_table(finding->sample.rels[i], figures, &changes))
			return false;
	}
	if (finding->counted_at == 0 || changes < finding->counted)
	{
		hone_finding_count_from(&finding->key, changes);
		return false;
	}
	figures->changes = changes - finding->counted;
	figures->hours = Max(finding->last_seen - finding->counted_at, USECS_PER_SEC) / (double) USECS_PER_HOUR;
	figures->calls_hour = calls / figures->hours;
	figures->changes_hour = figures->changes / figures->hours;
	figures->ms = finding->cost_ms / finding->calls;
	figures->rows_read = (double) finding->rows_kept / finding->calls;
	figures->groups = (double) finding->counts[HONE_AGGREGATE_GROUPS] / finding->calls;
	figures->table_rows = Max(figures->table_rows, figures->rows_read);
	return calls >= hone_advise_aggregate_calls;
}

/* When to refresh; false if that pays on no schedule, or too much would be missed. */
static bool
schedule(Figures *figures, double refresh_ms)
{
	static const int steps[] = {60, 300, 900, 3600, 6 * 3600, 24 * 3600};
	const HoneFinding *finding = figures->finding;
	double		pays = refresh_ms / REFRESH_SHARE / (figures->ms * figures->calls_hour) * 3600;
	double		seconds = (finding->last_seen - finding->first_seen) / (double) USECS_PER_SEC;
	int			i = 0;

	while (i < lengthof(steps) && steps[i] < pays)
		i++;
	if (i == lengthof(steps))
		return false;
	figures->refresh_ms = refresh_ms;
	figures->every_s = steps[i];
	figures->missed = figures->changes_hour * steps[i] / 3600;
	figures->saving_ms = finding->cost_ms - Max(ceil(seconds / steps[i]), 1) * refresh_ms;
	return figures->saving_ms > 0 &&
		figures->missed * 100 <= hone_advise_aggregate_changes * figures->table_rows;
}

static const char *
interval_text(int seconds)
{
	return seconds < 3600 ? psprintf("%d min", seconds / 60) : psprintf("%d h", seconds / 3600);
}

static void
add_tables(const HoneFinding *finding, HoneAdvice *advice)
{
	StringInfoData json;

	initStringInfo(&json);
	for (int i = 0; i < finding->sample.nrels; i++)
	{
		char	   *name = hone_qualified_name(finding->sample.rels[i]);

		appendStringInfoString(&json, i > 0 ? ", " : "[");
		escape_json(&json, name ? name : "");
	}
	appendStringInfoChar(&json, ']');
	hone_evidence_json(advice, "tables", json.data);
}

static void
add_figures(const Figures *figures, HoneAdvice *advice)
{
	const HoneFinding *finding = figures->finding;

	hone_evidence_integer(advice, "calls", finding->calls);
	hone_evidence_number(advice, "calls_per_hour", figures->calls_hour);
	hone_evidence_number(advice, "ms_per_call", figures->ms);
	hone_evidence_integer(advice, "rows_returned", finding->rows / finding->calls);
	hone_evidence_integer(advice, "rows_read", (int64) figures->rows_read);
	hone_evidence_integer(advice, "rows_read_measured_in", finding->counts[HONE_AGGREGATE_MEASURED]);
	hone_evidence_integer(advice, "table_rows", (int64) figures->table_rows);
	hone_evidence_integer(advice, "rows_changed", figures->changes);
	hone_evidence_number(advice, "rows_changed_per_hour", figures->changes_hour);
	hone_evidence_number(advice, "counted_hours", figures->hours);
}

/* What it would mean to read from the view. */
static void
add_schedule(const Figures *figures, const HoneView *view, double rows, HoneAdvice *advice)
{
	const char *every = interval_text(figures->every_s);
	double		hours = (figures->finding->last_seen - figures->finding->first_seen) /
	(double) USECS_PER_HOUR;

	if (rows > 0)
	{
		hone_evidence_integer(advice, "view_rows", (int64) rows);
		hone_evidence_integer(advice, "view_bytes", (int64) (rows * (view->width + ROW_BYTES)));
	}
	hone_evidence_text(advice, "refresh_every", every);
	hone_evidence_number(advice, "refresh_ms", figures->refresh_ms);
	hone_evidence_integer(advice, "rows_missed", (int64) ceil(figures->missed));
	hone_evidence_text(advice, "staleness",
					   psprintf("answers are as old as the last REFRESH: with one every %s, of about %.0f ms each, up to " INT64_FORMAT " changed rows are not in them yet",
								every, ceil(figures->refresh_ms), (int64) ceil(figures->missed)));
	hone_evidence_number(advice, "saved_ms_per_hour", figures->saving_ms / Max(hours, 1));
}

/* What of the statement's names may be shown. */
static void
add_view(const HoneView *view, HoneAdvice *advice)
{
	StringInfoData columns;
	ListCell   *lc;

	hone_evidence_text(advice, "view", view->name);
	hone_evidence_json(advice, "view_exists", view->exists ? "true" : "false");
	initStringInfo(&columns);
	foreach(lc, view->moved)
	{
		if (columns.len > 0)
			appendStringInfoString(&columns, ", ");
		escape_json(&columns, lfirst(lc));
	}
	if (view->moved != NIL)
		hone_evidence_json(advice, "selected_by", psprintf("[%s]", columns.data));
	hone_evidence_text(advice, "read", view->read);
	hone_evidence_text(advice, "refresh",
					   psprintf("REFRESH MATERIALIZED VIEW %s%s", view->key ? "CONCURRENTLY " : "", view->name));
	if (view->key == NULL)
		hone_evidence_text(advice, "mind", "no columns of the view are known to be unique: whoever reads from it waits for a refresh");
	if (view->time_zone)
		hone_evidence_text(advice, "time_zone",
						   psprintf("%s() goes by the time zone: the view has that of whoever refreshes it", view->time_zone));
}

/* Rows that the view has, 0 where that is not known. */
static double
rows_of(const Figures *figures, const HoneView *view)
{
	double		rows = view->whole_groups || view->moved != NIL ? figures->groups :
	(double) figures->finding->rows / figures->finding->calls;

	return view->moved == NIL ? rows : Min(rows * view->values, figures->table_rows);
}

static void
advise_view(Figures *figures, const HoneReader *reader, HoneAdvice *advice)
{
	HoneView   *view;
	double		rows;

	view = hone_view_make(figures->finding, hone_rewrite_parse(&figures->finding->sample),
						  !reader->constants);
	/* one that has all values may read more than a call did */
	if (view->fleeting ||
		(view->moved != NIL &&
		 !schedule(figures, figures->ms * figures->table_rows / figures->rows_read)))
	{
		advice->drop = true;
		return;
	}
	advice->saving_ms = figures->saving_ms;
	rows = rows_of(figures, view);
	add_schedule(figures, view, rows, advice);
	if (view->problem == NULL && rows > VIEW_SHARE * figures->table_rows)
		view->problem = "a view of all groups would have nearly as many rows as the tables";
	if (view->problem != NULL)
	{
		hone_advice_set(advice, &advice->no_fix, "%s", view->problem);
		return;
	}
	if (reader->texts)
		add_view(view, advice);
	hone_advice_set(advice, &advice->fix, "%s", view->exists ? view->read : view->fix);
	if (view->exists)
		hone_advice_set(advice, &advice->summary, "%s; a materialized view has the answer already: select from it",
						advice->summary);
}

void
hone_advice_materialize(const HoneFinding *finding, const HoneReader *reader,
						HoneAdvice *advice)
{
	Figures		figures = {.finding = finding};

	/* until all is known */
	advice->drop = true;
	if (!count(&figures) || !schedule(&figures, figures.ms))
		return;
	advice->drop = false;
	advice->saving_ms = figures.saving_ms;
	hone_advice_set(advice, &advice->summary,
					"keep the answer of a query of %s in a materialized view: " INT64_FORMAT " calls read " INT64_FORMAT " rows each to return " INT64_FORMAT ", while " INT64_FORMAT " rows changed",
					hone_qualified_name(finding->key.relid),
					finding->calls - finding->counted_calls, (int64) figures.rows_read,
					finding->rows / finding->calls, figures.changes);
	add_figures(&figures, advice);
	if (reader->texts)
		add_tables(finding, advice);
	hone_evidence_sample(advice, "sample", &finding->sample, reader);
	if (figures.row_security)
	{
		hone_advice_set(advice, &advice->no_fix,
						"a table has row security: a materialized view would hold the rows that its owner sees, for everybody who may read it");
		return;
	}
	advise_view(&figures, reader, advice);
}
