/*-------------------------------------------------------------------------
 *
 * sample_view.c
 *	  Reading sampled calls, and the view of them.
 *
 * Samples are copied out of a bucket under its lock and looked at afterwards.
 * Values become text here, in the reader's session, by their type's output
 * function: only those of the reader's own database.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "stats/samples.h"

#define COLUMNS		11

PG_FUNCTION_INFO_V1(hone_query_samples);

/* What the reader asks for. */
typedef struct Wanted
{
	bool		one_query;
	uint64		queryid;
	bool		one_user;
	Oid			userid;
} Wanted;

/* A copy of a sample. */
typedef struct Found
{
	uint64		queryid;
	bool		slow;
	HoneSample *sample;
} Found;

static List *
copy_node(List *list, HoneStatsSamples *node, const Wanted *wanted)
{
	for (int i = 0; i < HONE_STATS_SAMPLES; i++)
	{
		HoneSample *sample;
		Found	   *found;

		if (!DsaPointerIsValid(node->places[i].sample))
			continue;
		sample = dsa_get_address(hone_stats_area, node->places[i].sample);
		if (wanted->one_user && sample->userid != wanted->userid)
			continue;
		found = palloc(sizeof(Found));
		found->queryid = node->node.key.queryid;
		found->slow = i < HONE_STATS_SLOW_SAMPLES;
		found->sample = memcpy(palloc(sample->size), sample, sample->size);
		list = lappend(list, found);
	}
	return list;
}

/*
 * A list of Found. Running out of memory under the lock leaves nothing half
 * done; abort unlocks.
 */
static List *
copy_bucket(uint32 bucket, const Wanted *wanted)
{
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	List	   *list = NIL;
	HoneStatsNode *node;

	LWLockAcquire(lock, LW_SHARED);
	for (node = hone_stats_first(bucket); node != NULL; node = hone_stats_next(node))
	{
		if (node->key.kind == HONE_STATS_SAMPLE && node->key.dbid == MyDatabaseId &&
			(!wanted->one_query || node->key.queryid == wanted->queryid))
			list = copy_node(list, (HoneStatsSamples *) node, wanted);
	}
	LWLockRelease(lock);
	return list;
}

static void
unpack_params(HoneStatsCall *call, HoneSample *sample)
{
	HoneSampleParam *params = HONE_SAMPLE_PARAM_ARRAY(sample);
	char	   *at = (char *) sample + HONE_SAMPLE_HEAD_SIZE(sample->nparams);

	call->nparams = sample->nparams;
	call->params = palloc0(Max(sample->nparams, 1) * sizeof(HoneStatsValue));
	for (int i = 0; i < sample->nparams; i++)
	{
		HoneStatsValue *to = &call->params[i];

		to->type = params[i].type;
		to->left_out = params[i].state == HONE_SAMPLE_LEFT_OUT;
		to->isnull = to->left_out || params[i].state == HONE_SAMPLE_NULL;
		if (params[i].state == HONE_SAMPLE_BY_VALUE)
			memcpy(&to->value, at, sizeof(Datum));
		else if (!to->isnull)
			to->value = PointerGetDatum(at);
		at += MAXALIGN(params[i].length);
	}
	call->text = sample->text_length > 0 ? at : NULL;
}

/* Points into the copy. */
static HoneStatsCall *
unpack(const Found *found)
{
	HoneStatsCall *call = palloc0(sizeof(HoneStatsCall));

	call->userid = found->sample->userid;
	call->toplevel = found->sample->toplevel;
	call->slow = found->slow;
	call->truncated = found->sample->truncated;
	call->exec_ms = found->sample->elapsed_ns / 1e6;
	call->finished = found->sample->finished;
	unpack_params(call, found->sample);
	return call;
}

List *
hone_stats_samples(uint64 queryid)
{
	Wanted		wanted = {.one_query = true,.queryid = queryid};
	List	   *calls = NIL;
	List	   *found;
	ListCell   *lc;

	if (!hone_stats_attach())
		return NIL;
	found = copy_bucket(hone_stats_bucket(MyDatabaseId, queryid), &wanted);
	foreach(lc, found)
		calls = lappend(calls, unpack(lfirst(lc)));
	return calls;
}

static Datum
value_as_text(const HoneStatsValue *value)
{
	Oid			output;
	bool		is_varlena;

	getTypeOutputInfo(value->type, &output, &is_varlena);
	return CStringGetTextDatum(OidOutputFunctionCall(output, value->value));
}

static Datum
array_of(Datum *values, bool *nulls, int count, Oid type, int length, bool by_value)
{
	int			dims[1] = {count};
	int			lower[1] = {1};

	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, lower, type,
											  length, by_value, TYPALIGN_INT));
}

/* The columns parameters, parameter_types and left_out. */
static void
put_params(const HoneStatsCall *call, Datum *values, bool *nulls)
{
	Datum		texts[HONE_SAMPLE_PARAMS];
	bool		text_nulls[HONE_SAMPLE_PARAMS];
	Datum		types[HONE_SAMPLE_PARAMS];
	Datum		left_out[HONE_SAMPLE_PARAMS];
	int			left_out_count = 0;

	for (int i = 0; i < call->nparams; i++)
	{
		const HoneStatsValue *param = &call->params[i];

		types[i] = ObjectIdGetDatum(param->type);
		text_nulls[i] = param->isnull;
		texts[i] = param->isnull ? (Datum) 0 : value_as_text(param);
		if (param->left_out)
			left_out[left_out_count++] = Int32GetDatum(i + 1);
	}
	nulls[0] = nulls[1] = call->nparams == 0;
	nulls[2] = left_out_count == 0;
	if (!nulls[0])
	{
		values[0] = array_of(texts, text_nulls, call->nparams, TEXTOID, -1, false);
		values[1] = array_of(types, NULL, call->nparams, REGTYPEOID, sizeof(Oid), true);
	}
	if (!nulls[2])
		values[2] = array_of(left_out, NULL, left_out_count, INT4OID, sizeof(int32), true);
}

static void
put_call(ReturnSetInfo *rsinfo, uint64 queryid, const HoneStatsCall *call)
{
	Datum		values[COLUMNS] = {0};
	bool		nulls[COLUMNS] = {false};

	values[0] = Int64GetDatum((int64) queryid);
	values[1] = ObjectIdGetDatum(call->userid);
	values[2] = BoolGetDatum(call->toplevel);
	values[3] = TimestampTzGetDatum(call->finished);
	values[4] = Float8GetDatum(call->exec_ms);
	values[5] = BoolGetDatum(call->slow);
	put_params(call, values + 6, nulls + 6);
	nulls[9] = call->text == NULL;
	if (call->text != NULL)
		values[9] = CStringGetTextDatum(call->text);
	values[10] = BoolGetDatum(call->truncated);
	Assert(rsinfo->setDesc->natts == COLUMNS);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* Values are data as well as statistics: it takes both privileges to see all. */
static Wanted
visible_to_me(void)
{
	Wanted		wanted = {.userid = GetUserId()};

	wanted.one_user = !has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_DATA) ||
		!has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
	return wanted;
}

/* _query_samples(): one row per sampled call of this database. */
Datum
hone_query_samples(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Wanted		wanted;
	MemoryContext context;
	MemoryContext old;

	hone_require_script();
	wanted = visible_to_me();
	hone_require_preload("hone.query_samples");
	InitMaterializedSRF(fcinfo, 0);
	if (!hone_stats_attach())
		return (Datum) 0;
	hone_stats_flush();
	hone_samples_renew();

	context = AllocSetContextCreate(CurrentMemoryContext, "hone samples",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	for (uint32 i = 0; i < hone_stats_shared->bucket_count; i++)
	{
		List	   *found;
		ListCell   *lc;

		/* Without the lock: an empty one is passed over. */
		if (!DsaPointerIsValid(*hone_stats_chain(i)))
			continue;
		CHECK_FOR_INTERRUPTS();
		found = copy_bucket(i, &wanted);
		foreach(lc, found)
		{
			Found	   *one = lfirst(lc);

			put_call(rsinfo, one->queryid, unpack(one));
		}
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return (Datum) 0;
}
