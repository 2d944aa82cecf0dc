/*-------------------------------------------------------------------------
 *
 * recommend.c
 *	  hone.recommendations: findings, as their reader may see them.
 *
 * For each finding of the current database the advice of its kind is made in
 * a subtransaction that is rolled back whatever happens: a table dropped,
 * locked or altered in the meantime, or a statement that no longer parses,
 * costs that finding its fix (or its place in the list), never the reader's
 * query. Locks go with the subtransaction. Of what another session's
 * statement contains only what the planner evaluates is executed, as its role.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/rls.h"
#include "utils/syscache.h"
#include "utils/timeout.h"

#include "advise/index_choice.h"
#include "advise/recommend.h"
#include "common/sqltext.h"
#include "stats/stats.h"

#define RECOMMENDATION_COLUMNS	14
#define HIGH_SAVING_MS			10000
#define MEDIUM_SAVING_MS		1000

/* For one finding, where nobody waits who could cancel it. */
#define WORKER_ADVICE_MS		5000

bool		hone_recommending = false;

/* Time for planning with hypothetical indexes in one read, and what was used. */
#define READ_TRIAL_MS		2000
#define ANALYZE_TRIAL_MS	20000

static double trial_ms;
static instr_time trial_begun;
static double trial_most_ms;

PG_FUNCTION_INFO_V1(hone_all_recommendations);
PG_FUNCTION_INFO_V1(hone_new_recommendations);
PG_FUNCTION_INFO_V1(hone_made_recommendations);
PG_FUNCTION_INFO_V1(hone_reset_recommendations);
PG_FUNCTION_INFO_V1(hone_finding_usage_row);

/* What a kind is called, and who makes its advice. */
typedef struct AdviceKind
{
	const char *name;
	void		(*advise) (const HoneFinding *finding, const HoneReader *reader,
						   HoneAdvice *advice);
	bool		for_all;		/* its fix has nothing of a statement */
} AdviceKind;

static const AdviceKind advice_kinds[HONE_FINDING_KINDS] = {
	[HONE_FINDING_N_PLUS_ONE] = {"n_plus_one", hone_advice_loop},
	[HONE_FINDING_OFFSET] = {"offset_pagination", hone_advice_offset},
	[HONE_FINDING_STAR] = {"select_star", hone_advice_star},
	[HONE_FINDING_INDEX] = {"missing_index", hone_advice_index, true},
	[HONE_FINDING_REPEATED] = {"repeated_query", hone_advice_repeated},
	[HONE_FINDING_ROW_WRITE] = {"row_by_row_write", hone_advice_row_write},
	[HONE_FINDING_RESULT] = {"unbounded_result", hone_advice_result},
	[HONE_FINDING_FUNCTION] = {"function_on_column", hone_advice_function},
	[HONE_FINDING_TYPE] = {"type_mismatch", hone_advice_type},
	[HONE_FINDING_WILDCARD] = {"leading_wildcard", hone_advice_wildcard},
	[HONE_FINDING_NOT_IN] = {"not_in_subquery", hone_advice_not_in},
	[HONE_FINDING_LIST] = {"large_in_list", hone_advice_list},
	[HONE_FINDING_SPILL] = {"disk_spill", hone_advice_memory, true},
	[HONE_FINDING_STATISTICS] = {"stale_statistics", hone_advice_statistics, true},
	[HONE_FINDING_MATERIALIZE] = {"materialize", hone_advice_materialize},
	[HONE_FINDING_CONNECTIONS] = {"connection_churn", NULL, true},
	[HONE_FINDING_IDLE] = {"idle_in_transaction", NULL, true},
	[HONE_FINDING_CACHE] = {"low_cache_hit", NULL, true},
	[HONE_FINDING_COLD] = {"cold_but_read", NULL, true},
	[HONE_FINDING_HOT] = {"hot_but_idle", NULL, true},
	[HONE_FINDING_PARTITION] = {"partition_candidate", NULL, true},
	[HONE_FINDING_UNUSED] = {"unused_index", NULL, true},
	[HONE_FINDING_WRITE_ONLY] = {"write_only_index", NULL, true},
	[HONE_FINDING_DUPLICATE] = {"duplicate_index", NULL, true},
	[HONE_FINDING_REDUNDANT] = {"redundant_index", NULL, true},
	[HONE_FINDING_INVALID] = {"invalid_index", NULL, true},
	[HONE_FINDING_BLOATED] = {"bloated_index", NULL, true},
	[HONE_FINDING_FOREIGN_KEY] = {"foreign_key_without_index", NULL, true},
	[HONE_FINDING_PRIMARY_KEY] = {"missing_primary_key", NULL, true},
};

static const char *
kind_name(uint32 kind)
{
	return advice_kinds[kind].name;
}

HoneFindingKind
hone_advice_kind(const char *name)
{
	for (int kind = 1; kind < HONE_FINDING_KINDS; kind++)
		if (strcmp(kind_name(kind), name) == 0)
			return kind;
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("there is no kind of recommendation \"%s\"", name)));
}

/* May this user read all rows of the tables in a sample? */
static bool
may_read_tables(const HoneSample *sample)
{
	for (int i = 0; i < sample->nrels; i++)
	{
		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(sample->rels[i])) ||
			pg_class_aclcheck(sample->rels[i], GetUserId(), ACL_SELECT) != ACLCHECK_OK ||
			check_enable_rls(sample->rels[i], GetUserId(), true) == RLS_ENABLED)
			return false;
	}
	return sample->nrels > 0 && !sample->more_rels;
}

/* What this user may see of a finding's statements. */
static HoneReader
reader_of(const HoneFinding *finding)
{
	HoneReader	reader;
	Oid			user = GetUserId();

	reader.constants = has_privs_of_role(user, ROLE_PG_READ_ALL_STATS) ||
		(may_read_tables(&finding->sample) &&
		 (finding->parent.queryid == 0 || may_read_tables(&finding->parent)));
	reader.texts = reader.constants ||
		(has_privs_of_role(user, finding->sample.userid) &&
		 (finding->parent.queryid == 0 ||
		  has_privs_of_role(user, finding->parent.userid)));
	return reader;
}

/*
 * Analysing a statement can run code of those who own its types: a literal of
 * a composite type goes through the checks of the domains in it. So it is
 * analysed as the role that ran it, restricted; a superuser's statement as the
 * first owner of its tables who is none. Where there is no such owner, only for a
 * reader who is one, else as the reader. A role dropped since is one without
 * any rights. To be undone by the abort of the subtransaction.
 */
static void
become_author(const HoneFinding *finding)
{
	Oid			author = finding->sample.userid;
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	if (superuser_arg(author))
	{
		Oid			owner = hone_relation_owner(finding->key.relid);

		for (int i = 0; i < finding->sample.nrels &&
			 (!OidIsValid(owner) || superuser_arg(owner)); i++)
			owner = hone_relation_owner(finding->sample.rels[i]);
		if (OidIsValid(owner) && !superuser_arg(owner))
			author = owner;
		else if (!superuser_arg(user))
			author = user;
	}
	SetUserIdAndSecContext(author, context | SECURITY_LOCAL_USERID_CHANGE |
						   SECURITY_RESTRICTED_OPERATION);
}

/*
 * The reader's own, not what code in an analysed statement calls so. In a
 * worker there is no reader, but a limit for each finding.
 */
static bool
is_cancel(const ErrorData *error)
{
	return MyBackendType != B_BG_WORKER &&
		error->sqlerrcode == ERRCODE_QUERY_CANCELED && error->funcname != NULL &&
		strcmp(error->funcname, "ProcessInterrupts") == 0;
}

ErrorData *
hone_advice_try(void (*work) (void *arg), void *arg)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		work(arg);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
	}
	PG_END_TRY();
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	if (error != NULL && is_cancel(error))
		ReThrowError(error);
	return error;
}

/* Of the one that is going on. */
static double
ms_since_begin(void)
{
	instr_time	now;

	if (INSTR_TIME_IS_ZERO(trial_begun))
		return 0;
	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, trial_begun);
	return INSTR_TIME_GET_MILLISEC(now);
}

bool
hone_trial_left(void)
{
	return trial_ms + ms_since_begin() < trial_most_ms;
}

void
hone_trial_begin(void)
{
	INSTR_TIME_SET_CURRENT(trial_begun);
}

void
hone_trial_end(void)
{
	trial_ms += ms_since_begin();
	INSTR_TIME_SET_ZERO(trial_begun);
}

/* What is to be done as the author of a finding's statement. */
typedef struct AsAuthor
{
	const HoneFinding *finding;
	void		(*work) (void *arg);
	void	   *arg;
} AsAuthor;

static void
work_as_author(void *arg)
{
	AsAuthor   *as = arg;

	become_author(as->finding);
	as->work(as->arg);
}

static ErrorData *
try_as_author(const HoneFinding *finding, void (*work) (void *arg), void *arg)
{
	AsAuthor	as = {finding, work, arg};
	ErrorData  *error;

	if (MyBackendType == B_BG_WORKER)
		enable_timeout_after(STATEMENT_TIMEOUT, WORKER_ADVICE_MS);
	error = hone_advice_try(work_as_author, &as);
	if (MyBackendType == B_BG_WORKER)
		disable_timeout(STATEMENT_TIMEOUT, false);
	return error;
}

bool
hone_advice_trial(const HoneFinding *finding, void (*work) (void *arg), void *arg)
{
	ErrorData  *error;

	if (!hone_trial_left())
		return false;
	hone_trial_begin();
	error = try_as_author(finding, work, arg);
	hone_trial_end();
	if (error == NULL)
		return true;
	FreeErrorData(error);
	return false;
}

/* What advise_one is to do. */
typedef struct AdviseOne
{
	const HoneFinding *finding;
	const HoneReader *reader;
	HoneAdvice *advice;
} AdviseOne;

static void
advise_one(void *arg)
{
	AdviseOne  *one = arg;

	advice_kinds[one->finding->key.kind].advise(one->finding, one->reader, one->advice);
}

/*
 * Make the advice of one finding. Throws only what the reader asked for
 * himself (cancel) or what is beyond mending.
 */
static void
advise_safely(const HoneFinding *finding, const HoneReader *reader,
			  HoneAdvice *advice)
{
	AdviseOne	one = {finding, reader, advice};
	ErrorData  *error = try_as_author(finding, advise_one, &one);

	if (error == NULL)
		return;
	advice->fix = NULL;
	if (advice->no_fix == NULL)
		advice->no_fix = reader->constants ? pstrdup(error->message) :
			pstrdup("the statement could not be analysed");
	FreeErrorData(error);
}

static const char *
severity(double saving_ms)
{
	return saving_ms >= HIGH_SAVING_MS ? "high" :
		saving_ms >= MEDIUM_SAVING_MS ? "medium" : "low";
}

/*
 * Append a statement as it is whatever its layout, comments and constants. Of
 * constants it stays whether they are quoted; a list of them is one.
 */
static void
append_statement(StringInfo out, const char *text)
{
	int			length = strlen(text);
	HoneSqlToken token;
	int			end;

	for (int pos = hone_sql_skip_prefix(text, length);
		 (token = hone_sql_token(text, length, pos, &end)) != HONE_SQL_END; pos = end)
	{
		if (token == HONE_SQL_SPACE || token == HONE_SQL_COMMENT)
			continue;
		appendStringInfoChar(out, ' ');
		if (token == HONE_SQL_PARAM || token == HONE_SQL_CONSTANT)
		{
			char		symbol = token == HONE_SQL_PARAM ? '$' :
			isdigit((unsigned char) text[pos]) || text[pos] == '.' ? '0' : '\'';
			char		before[] = {' ', symbol, ' ', ',', ' ', '\0'};

			if (out->len > lengthof(before) &&
				strcmp(out->data + out->len - strlen(before), before) == 0)
				out->data[out->len -= strlen(" , ")] = '\0';
			else
				appendStringInfoChar(out, symbol);
		}
		else
			for (; pos < end; pos++)
				appendStringInfoChar(out, token == HONE_SQL_WORD ?
									 pg_ascii_tolower(text[pos]) : text[pos]);
	}
}

/*
 * By what a dismissed recommendation is known where a dump was restored: OIDs
 * and queryids, of which its id is made, are others there. So it is made of
 * names and the statement's text. (That text is the first one seen of the
 * query, so in the same database the id is more to be relied on.) 'identity' is
 * of a HoneDatabaseAdvice, else NULL.
 */
static int64
fingerprint_of(const HoneFinding *finding, const char *identity)
{
	const HoneFindingKey *key = &finding->key;
	char	   *relation = hone_qualified_name(key->relid);
	StringInfoData text;
	uint64		hash;

	initStringInfo(&text);
	appendStringInfo(&text, "%s %s", kind_name(key->kind), relation ? relation : "");
	if (identity != NULL)
		appendStringInfo(&text, " %s", identity);
	if (key->queryid == 0)
	{
		for (int i = 0; i < finding->nquals; i++)
		{
			const HoneQual *qual = &finding->quals[i];
			char	   *column = get_attname(key->relid, qual->attnum, true);
			char	   *operator = get_opname(qual->opno);
			char	   *collation = get_collation_name(qual->collation);

			appendStringInfo(&text, qual->commuted ? ", %s %s %s commuted" : ", %s %s %s",
							 quote_identifier(column ? column : ""),
							 operator ? operator : "", collation ? collation : "");
		}
		if (finding->norder > 0)
			appendStringInfo(&text, " order %d", finding->norder);
	}
	else if (finding->sample.truncated)
		appendStringInfo(&text, " " UINT64_FORMAT, key->queryid);
	else
		append_statement(&text, finding->sample.text);
	hash = hash_bytes_extended((const unsigned char *) text.data, text.len, 0);
	pfree(text.data);
	return (int64) hash;
}

static void
put_recommendation(ReturnSetInfo *rsinfo, const HoneFinding *finding,
				   int64 fingerprint, const HoneReader *reader, HoneAdvice *advice)
{
	Datum		values[RECOMMENDATION_COLUMNS];
	bool		nulls[RECOMMENDATION_COLUMNS] = {0};
	uint64		queryid = finding->key.queryid ? finding->key.queryid :
	finding->queries[0];
	StringInfoData json;
	int			i = 0;
	MemoryContext row = AllocSetContextCreate(CurrentMemoryContext, "hone recommendation row",
											  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(row);

	/* a fix made of a statement shows its text */
	if (!reader->texts && !advice_kinds[finding->key.kind].for_all)
	{
		advice->fix = NULL;
		advice->no_fix = pstrdup("the statement is another role's");
	}
	if (advice->fix == NULL)
		hone_evidence_text(advice, "no_fix", advice->no_fix ? advice->no_fix : "");
	initStringInfo(&json);
	appendStringInfo(&json, "{%s}", advice->evidence.data);

	values[i++] = Int64GetDatum(hone_finding_id(&finding->key));
	values[i++] = CStringGetTextDatum(kind_name(finding->key.kind));
	values[i++] = CStringGetTextDatum(advice->severity ? advice->severity : severity(advice->saving_ms));
	nulls[i] = !OidIsValid(finding->key.relid);
	values[i++] = ObjectIdGetDatum(finding->key.relid);
	nulls[i] = queryid == 0;
	values[i++] = Int64GetDatum((int64) queryid);
	values[i++] = Int64GetDatum(finding->calls);
	values[i++] = Float8GetDatum(advice->cost_ms);
	values[i++] = Float8GetDatum(advice->saving_ms);
	values[i++] = CStringGetTextDatum(advice->summary ? advice->summary :
									  kind_name(finding->key.kind));
	nulls[i] = advice->fix == NULL;
	values[i++] = advice->fix ? CStringGetTextDatum(advice->fix) : (Datum) 0;
	values[i++] = DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
	values[i++] = TimestampTzGetDatum(finding->first_seen);
	values[i++] = TimestampTzGetDatum(finding->last_seen);
	values[i++] = Int64GetDatum(fingerprint);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(row);
}

/* The relation still exists, outlives its session, and is not pg_hone's own. */
static bool
is_worth_advice(Oid relid)
{
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relid)) &&
		get_rel_persistence(relid) != RELPERSISTENCE_TEMP &&
		get_rel_namespace(relid) != hone_schema_oid();
}

/* What is not in the table of findings: about the database, or how it is stored. */
static void
recommend_for_database(ReturnSetInfo *rsinfo)
{
	HoneReader	reader = {true, true};
	ListCell   *lc;

	foreach(lc, hone_advice_database())
	{
		HoneDatabaseAdvice *made = lfirst(lc);

		put_recommendation(rsinfo, &made->finding, fingerprint_of(&made->finding, made->identity),
						   &reader, &made->advice);
	}
}

/* What costs most first: it is what planning is for, if there is too much. */
static int
by_cost(const void *a, const void *b)
{
	double		left = ((const HoneFinding *) a)->cost_ms;
	double		right = ((const HoneFinding *) b)->cost_ms;

	return left > right ? -1 : left < right;
}

static void
recommend(ReturnSetInfo *rsinfo, bool untold)
{
	int			count;
	List	   *wishes = NIL;
	ListCell   *lc;
	HoneFinding *findings = hone_finding_copy(MyDatabaseId, untold, &count);
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(caller, "hone recommendation",
												  ALLOCSET_DEFAULT_SIZES);

	qsort(findings, count, sizeof(HoneFinding), by_cost);
	trial_ms = 0;
	INSTR_TIME_SET_ZERO(trial_begun);
	trial_most_ms = untold ? ANALYZE_TRIAL_MS : READ_TRIAL_MS;
	for (int i = 0; i < count; i++)
	{
		HoneAdvice	advice = {0};
		HoneReader	reader;
		int64		fingerprint;

		CHECK_FOR_INTERRUPTS();
		if (!is_worth_advice(findings[i].key.relid))
			continue;
		MemoryContextSwitchTo(context);
		/* before the advice, which changes a finding */
		fingerprint = fingerprint_of(&findings[i], NULL);
		reader = reader_of(&findings[i]);
		advice.context = context;
		advice.cost_ms = findings[i].cost_ms;
		advice.saving_ms = findings[i].saving_ms;
		initStringInfo(&advice.evidence);
		advise_safely(&findings[i], &reader, &advice);
		MemoryContextSwitchTo(caller);
		if (!advice.drop && OidIsValid(advice.index_on) && advice.fix != NULL)
			wishes = lappend(wishes, hone_index_wish(&findings[i], fingerprint, &reader, &advice));
		else if (!advice.drop)
			put_recommendation(rsinfo, &findings[i], fingerprint, &reader, &advice);
		MemoryContextReset(context);
	}
	MemoryContextDelete(context);
	hone_index_choose(wishes);
	foreach(lc, wishes)
	{
		HoneIndexWish *wish = lfirst(lc);

		put_recommendation(rsinfo, wish->finding, wish->fingerprint, &wish->reader, &wish->advice);
	}
	if (!untold)
		recommend_for_database(rsinfo);
}

static void
recommend_all(ReturnSetInfo *rsinfo)
{
	recommend(rsinfo, false);
}

static void
recommend_untold(ReturnSetInfo *rsinfo)
{
	recommend(rsinfo, true);
}

/* Fill the result set, first writing what this session has not written yet. */
static void
return_recommendations(FunctionCallInfo fcinfo, void (*fill) (ReturnSetInfo *rsinfo))
{
	int			client_messages = client_min_messages;
	int			log_messages = log_min_messages;

	hone_require_preload("hone.recommendations");
	hone_advise_flush(false);
	hone_stats_flush();
	InitMaterializedSRF(fcinfo, 0);

	hone_recommending = true;
	PG_TRY();
	{
		/* warnings about other people's texts are not for this reader */
		client_min_messages = log_min_messages = ERROR;
		fill((ReturnSetInfo *) fcinfo->resultinfo);
	}
	PG_FINALLY();
	{
		hone_recommending = false;
		client_min_messages = client_messages;
		log_min_messages = log_messages;
	}
	PG_END_TRY();
}

/* hone._all_recommendations(): the rows behind hone.recommendations. */
Datum
hone_all_recommendations(PG_FUNCTION_ARGS)
{
	hone_require_script();
	return_recommendations(fcinfo, recommend_all);
	return (Datum) 0;
}

/* hone._new_recommendations(): findings that changed since the last call. */
Datum
hone_new_recommendations(PG_FUNCTION_ARGS)
{
	hone_require_script();
	return_recommendations(fcinfo, recommend_untold);
	return (Datum) 0;
}

/* hone._made_recommendations(): those that are no findings. */
Datum
hone_made_recommendations(PG_FUNCTION_ARGS)
{
	hone_require_script();
	return_recommendations(fcinfo, recommend_for_database);
	return (Datum) 0;
}

/* hone.reset_recommendations(): how many findings were forgotten. */
Datum
hone_reset_recommendations(PG_FUNCTION_ARGS)
{
	hone_require_script();
	hone_require_preload("hone.reset_recommendations");
	hone_advise_flush(true);
	PG_RETURN_INT32(hone_finding_forget(MyDatabaseId));
}

/* hone._findings(held, room, dropped): for hone.status. */
Datum
hone_finding_usage_row(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {0};
	int			held;
	int			room;
	int64		dropped;

	hone_require_script();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	hone_finding_usage(&held, &room, &dropped);
	values[0] = Int32GetDatum(held);
	values[1] = Int32GetDatum(room);
	values[2] = Int64GetDatum(dropped);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
