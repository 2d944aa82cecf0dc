/*-------------------------------------------------------------------------
 *
 * advice_database.c
 *	  connection_churn, idle_in_transaction, low_cache_hit: what the
 *	  statistics say of the database, made when hone.recommendations is read.
 *
 * No detector looks for these, so no statement pays for them. Everything is
 * read with the reader's own rights: of other roles' sessions a reader sees
 * what pg_stat_activity shows him.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <float.h>
#include <limits.h>

#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "commands/dbcommands.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

#include "advise/recommend.h"
#include "common/own_tables.h"
#include "stats/stats.h"

#define CHURN_SESSIONS	20		/* fewer are no habit */
#define CHURN_MS		1000	/* half of them shorter than this */

/* A process, its authentication and its caches, at the least. */
#define CONNECT_MS		2.0

#define CACHE_QUERIES	"5"		/* at most, the worst */
#define CACHE_CALLS		"10"	/* fewer are no habit */
#define CACHE_READ		"0.5"	/* of its blocks not found in shared buffers */
#define CACHE_TIME		"0.2"	/* of its time, where it is measured */

static double hone_advise_connection_rate = 5;
static int	hone_advise_idle_in_transaction = 60;
static int	hone_advise_cache_read = 1024;

void
hone_advice_database_init(void)
{
	/* seconds in which the cheapest of disks gives it */
	DefineCustomIntVariable("hone.advise_cache_read",
							"Megabytes that a query must have read from outside shared buffers, in all, before it is reported.",
							NULL, &hone_advise_cache_read,
							1024, 1, INT_MAX, PGC_SUSET, GUC_UNIT_MB, NULL, NULL, NULL);

	/* a hundredth of a processor, and more than a pool of any size opens */
	DefineCustomRealVariable("hone.advise_connection_rate",
							 "New connections per second from which a pooler is recommended, where most are short.",
							 NULL, &hone_advise_connection_rate,
							 5, 0, 100000, PGC_SUSET, 0, NULL, NULL, NULL);

	/* nobody computes between two statements for so long */
	DefineCustomIntVariable("hone.advise_idle_in_transaction",
							"Time for which a session must be idle in a transaction before it is reported.",
							NULL, &hone_advise_idle_in_transaction,
							60, 1, INT_MAX / 1000, PGC_SUSET, GUC_UNIT_S, NULL, NULL, NULL);
	hone_storage_init();
	hone_catalog_init();
}

/* ---- rows of a query ---- */

static double
number_of(int row, int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc,
									  column, &isnull);

	return isnull ? 0 : DatumGetFloat8(value);
}

static int
made_select(const char *query)
{
	if (SPI_execute(query, true, 0) != SPI_OK_SELECT)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("the statistics could not be read")));
	return (int) SPI_processed;
}

/* ---- what is found ---- */

static HoneDatabaseAdvice *
made_advice(MemoryContext context, List **made, HoneFindingKind kind)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	HoneDatabaseAdvice *one = palloc0(sizeof(HoneDatabaseAdvice));

	one->finding.key.dbid = MyDatabaseId;

	one->finding.key.kind = kind;
	one->finding.first_seen = one->finding.last_seen = GetCurrentTimestamp();
	one->advice.context = context;
	initStringInfo(&one->advice.evidence);
	*made = lappend(*made, one);
	MemoryContextSwitchTo(old);
	return one;
}

/* A text of the row, in the context of the advice. */
static char *
keep_text(HoneDatabaseAdvice *one, int row, int column)
{
	char	   *text = hone_result_text(row, column);

	return text ? MemoryContextStrdup(one->advice.context, text) : NULL;
}

/*
 * The rows of one of our views, each a recommendation: relation, severity,
 * calls, first_seen, last_seen, summary, fix, no_fix, evidence. With kind 0 the
 * view also has kind, and identity: what of the relation each is about.
 */
static void
look_at_view(MemoryContext context, List **made, HoneFindingKind kind,
			 const char *view)
{
	int			rows = !hone_detectors ? 0 :
	made_select(psprintf("SELECT relation::bigint, severity, calls, first_seen, last_seen, summary, fix, no_fix, "
						 "substring(evidence::text FROM '^.(.*).$')%s FROM " HONE_SCHEMA ".%s",
						 kind ? "" : ", identity, kind", view));

	for (int i = 0; i < rows; i++)
	{
		HoneDatabaseAdvice *one = made_advice(context, made,
											  kind ? kind : hone_advice_kind(hone_result_text(i, 11)));

		one->finding.key.relid = (Oid) hone_result_integer(i, 1);
		one->advice.severity = keep_text(one, i, 2);
		one->finding.calls = hone_result_integer(i, 3);
		one->finding.first_seen = hone_result_integer(i, 4);
		one->finding.last_seen = hone_result_integer(i, 5);
		one->advice.summary = keep_text(one, i, 6);
		one->advice.fix = keep_text(one, i, 7);
		one->advice.no_fix = keep_text(one, i, 8);
		appendStringInfoString(&one->advice.evidence, hone_result_text(i, 9));
		if (kind == 0)
			one->identity = keep_text(one, i, 10);
		if (one->identity != NULL)
			one->finding.key.detail = hash_bytes_extended((const unsigned char *) one->identity,
														  strlen(one->identity), 0);
	}
}

/*
 * Sessions that ended: since, seconds, how many, their median and mean length.
 * Called within SPI, as the two that follow.
 */
static void
look_at_connections(MemoryContext context, List **made)
{
	int			rows = made_select("SELECT since, extract(epoch FROM clock_timestamp() - since)::float8, sessions, session_p50_ms, session_mean_ms "
								   "FROM " HONE_SCHEMA "._database_stats() "
								   "WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())");
	HoneDatabaseAdvice *one;
	double		rate;
	int64		sessions;

	if (rows == 0)
		return;
	sessions = hone_result_integer(0, 3);
	rate = sessions / Max(number_of(0, 2), 1);
	if (sessions < CHURN_SESSIONS || rate < hone_advise_connection_rate ||
		number_of(0, 4) > CHURN_MS)
		return;
	one = made_advice(context, made, HONE_FINDING_CONNECTIONS);
	one->finding.first_seen = hone_result_integer(0, 1);
	one->finding.calls = sessions;
	one->advice.cost_ms = one->advice.saving_ms = sessions * CONNECT_MS;
	hone_advice_set(&one->advice, &one->advice.summary,
					"keep connections open, or put a pooler in front: %.2f new ones a second, half of them shorter than %.0f ms",
					rate, number_of(0, 4));
	hone_evidence_integer(&one->advice, "connections", sessions);
	hone_evidence_number(&one->advice, "connections_per_s", rate);
	hone_evidence_number(&one->advice, "length_p50_ms", number_of(0, 4));
	hone_evidence_number(&one->advice, "length_mean_ms", number_of(0, 5));
	hone_evidence_number(&one->advice, "assumed_ms_per_connection", CONNECT_MS);
	hone_advice_set(&one->advice, &one->advice.no_fix,
					"no SQL mends it: the application, or a pooler in front of the server, keeps connections");
}

/* Sessions that are idle in a transaction now: role, application, since when. */
static void
look_at_idle(MemoryContext context, List **made)
{
	int			rows = made_select(psprintf("SELECT coalesce(quote_ident(a.usename), ''), extract(epoch FROM clock_timestamp() - a.state_change)::float8 * 1000, "
											"a.pid::bigint, d.idle_in_transaction_time, a.application_name, a.state_change "
											"FROM pg_stat_activity AS a JOIN pg_stat_database AS d USING (datid) "
											"WHERE a.datname = current_database() AND a.backend_type = 'client backend' "
											"AND a.state LIKE 'idle in transaction%%' AND a.pid <> pg_backend_pid() "
											"AND a.state_change < clock_timestamp() - make_interval(secs => %d) "
											"ORDER BY a.state_change", hone_advise_idle_in_transaction));
	HoneDatabaseAdvice *one;
	bool		one_role = true;

	if (rows == 0)
		return;
	one = made_advice(context, made, HONE_FINDING_IDLE);
	one->finding.calls = rows;
	one->finding.first_seen = hone_result_integer(0, 6);
	for (int i = 0; i < rows; i++)
	{
		one->advice.cost_ms += number_of(i, 2);
		one_role &= strcmp(hone_result_text(i, 1), hone_result_text(0, 1)) == 0;
	}
	one->advice.saving_ms = one->advice.cost_ms - rows * hone_advise_idle_in_transaction * 1000.0;
	hone_advice_set(&one->advice, &one->advice.summary,
					"end transactions before the application waits: sessions idle in transaction now: %d, the longest for %.0f s",
					rows, number_of(0, 2) / 1000);
	hone_evidence_integer(&one->advice, "sessions", rows);
	hone_evidence_number(&one->advice, "longest_s", number_of(0, 2) / 1000);
	hone_evidence_integer(&one->advice, "longest_pid", hone_result_integer(0, 3));
	hone_evidence_text(&one->advice, "longest_application", hone_result_text(0, 5));
	hone_evidence_number(&one->advice, "idle_in_transaction_ms_ever", number_of(0, 4));
	/* a role that was dropped has no name */
	if (one_role && hone_result_text(0, 1)[0] != '\0')
		hone_evidence_text(&one->advice, "for_role",
						   psprintf("ALTER ROLE %s IN DATABASE %s SET idle_in_transaction_session_timeout = '%ds'",
									hone_result_text(0, 1), quote_identifier(get_database_name(MyDatabaseId)),
									hone_advise_idle_in_transaction));
	hone_advice_set(&one->advice, &one->advice.fix,
					"ALTER DATABASE %s SET idle_in_transaction_session_timeout = '%ds'",
					quote_identifier(get_database_name(MyDatabaseId)),
					hone_advise_idle_in_transaction);
}

static void
add_cache_evidence(HoneDatabaseAdvice *one, int row, double mb, bool timed)
{
	char	   *query = NULL;

	if (has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS))
		query = hone_stats_text(MyDatabaseId, one->finding.key.queryid);
	hone_evidence_number(&one->advice, "read_share", number_of(row, 4));
	hone_evidence_number(&one->advice, "read_mb", mb);
	hone_evidence_number(&one->advice, "read_mb_per_call", mb / one->finding.calls);
	hone_evidence_json(&one->advice, "read_time_measured", timed ? "true" : "false");
	if (timed)
		hone_evidence_number(&one->advice, "read_ms", one->advice.saving_ms);
	hone_evidence_text(&one->advice, "shared_buffers",
					   GetConfigOption("shared_buffers", true, false));
	if (query)
		hone_evidence_text(&one->advice, "query", query);
}

/* Queries that read much from outside shared buffers, the worst first. */
static void
look_at_cache(MemoryContext context, List **made)
{
	int			rows = made_select(psprintf("SELECT queryid, sum(calls)::bigint, sum(shared_blks_read)::float8 * current_setting('block_size')::int / 1048576, "
											"sum(shared_blks_read)::float8 / sum(shared_blks_read + shared_blks_hit)::float8, "
											"sum(total_exec_ms), sum(blk_read_ms), min(first_seen), max(last_seen) "
											"FROM " HONE_SCHEMA ".query_stats(false) "
											"WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) AND queryid <> 0 "
											"GROUP BY queryid "
											"HAVING sum(calls) >= " CACHE_CALLS " AND sum(shared_blks_read) > 0 "
											"AND sum(shared_blks_read)::float8 * current_setting('block_size')::int / 1048576 >= %d "
											"AND sum(shared_blks_read)::float8 / sum(shared_blks_read + shared_blks_hit)::float8 >= " CACHE_READ " "
											"AND (sum(blk_read_ms) = 0 OR sum(blk_read_ms) >= " CACHE_TIME " * sum(total_exec_ms)) "
											"ORDER BY 3 DESC LIMIT " CACHE_QUERIES, hone_advise_cache_read));

	for (int i = 0; i < rows; i++)
	{
		HoneDatabaseAdvice *one = made_advice(context, made, HONE_FINDING_CACHE);
		double		mb = number_of(i, 3);
		bool		timed = number_of(i, 6) > 0;

		one->finding.key.queryid = (uint64) hone_result_integer(i, 1);
		one->finding.sample.truncated = true;	/* its identifier names it */
		one->finding.calls = hone_result_integer(i, 2);
		one->finding.first_seen = hone_result_integer(i, 7);
		one->finding.last_seen = hone_result_integer(i, 8);
		one->advice.cost_ms = number_of(i, 5);
		one->advice.saving_ms = number_of(i, 6);
		hone_advice_set(&one->advice, &one->advice.summary,
						"%slet the query read less, or give the server more memory: %.0f %% of its blocks were not in shared buffers, %.0f MB in " INT64_FORMAT " calls",
						timed ? "" : "potential: ", 100 * number_of(i, 4), mb, one->finding.calls);
		add_cache_evidence(one, i, mb, timed);
		hone_advice_set(&one->advice, &one->advice.no_fix,
						"no SQL mends it by itself: an index, fewer columns or rows, or a larger shared_buffers does");
	}
}

/*
 * Each by itself: what one cannot read costs the others nothing. A look is called
 * within SPI, in a subtransaction that is rolled back, with search_path pinned and
 * the reader's own rights; when it throws it made nothing.
 */
static const struct
{
	void		(*look) (MemoryContext context, List **made);
	const char *view;			/* instead: in sql/install/56 to 58 */
	HoneFindingKind kind;
}			looks[] =

{
	{look_at_connections},
	{look_at_idle},
	{look_at_cache},
	{.view = "_cold_but_read",.kind = HONE_FINDING_COLD},
	{.view = "_hot_but_idle",.kind = HONE_FINDING_HOT},
	{.view = "_partition_candidate",.kind = HONE_FINDING_PARTITION},
	{.view = "_idle_advice"},
	{.view = "_covered_advice"},
	{.view = "_invalid_index"},
	{.view = "_bloated_index"},
	{.view = "_foreign_key_without_index"},
	{.view = "_missing_primary_key"},
};

/* What look is to do. */
typedef struct Look
{
	int			which;
	MemoryContext context;
	List	   *made;
} Look;

static void
look(void *arg)
{
	Look	   *one = arg;

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	/* compiling takes many times as long as reading the catalogs */
	(void) set_config_option("jit", "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	if (SPI_connect() != SPI_OK_CONNECT)
		return;
	if (looks[one->which].look != NULL)
		looks[one->which].look(one->context, &one->made);
	else
		look_at_view(one->context, &one->made, looks[one->which].kind, looks[one->which].view);
	SPI_finish();
}

List *
hone_advice_database(void)
{
	Look		one = {.context = CurrentMemoryContext};

	for (one.which = 0; one.which < lengthof(looks); one.which++)
	{
		int			before = list_length(one.made);

		if (hone_advice_try(look, &one) != NULL)
			one.made = list_truncate(one.made, before);
	}
	return one.made;
}
