/*-------------------------------------------------------------------------
 *
 * saved_plan.c
 *	  Statements that a session prepares once.
 *
 * The key is the text with the types of its parameters, and a mark. The
 * server's plan cache looks after the rest: it makes a plan anew when a table, a
 * role with row security or the search_path has changed. A kept plan is never
 * dropped, because a function that a statement calls may come back to it; a
 * session that uses more than MAX_PLANS different ones prepares the others each
 * time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "nodes/params.h"
#include "utils/memutils.h"

#include "batch/saved_plan.h"

#define MAX_PLANS	128
#define MAX_TEXT	16384		/* bytes, of a statement that is kept */

typedef struct PlanKey
{
	const char *sql;
	uint32		hash;			/* of it */
	uint64		mark;			/* of what its names stand for, or 0 */
	const Oid  *types;
	int			nargs;
	int			options;
} PlanKey;

typedef struct SavedPlan
{
	PlanKey		key;
	SPIPlanPtr	plan;
} SavedPlan;

static SavedPlan *saved;
static int	nsaved;

static SPIPlanPtr
find_plan(const PlanKey *key)
{
	for (int i = 0; i < nsaved; i++)
	{
		const PlanKey *other = &saved[i].key;

		if (other->hash == key->hash && other->mark == key->mark &&
			other->nargs == key->nargs &&
			other->options == key->options &&
			memcmp(other->types, key->types, key->nargs * sizeof(Oid)) == 0 &&
			strcmp(other->sql, key->sql) == 0)
			return saved[i].plan;
	}
	return NULL;
}

static void
keep_plan(const PlanKey *key, SPIPlanPtr plan)
{
	SavedPlan  *entry;
	Oid		   *types;
	char	   *sql;

	if (nsaved == MAX_PLANS || strlen(key->sql) > MAX_TEXT)
		return;
	if (saved == NULL)
		saved = MemoryContextAlloc(TopMemoryContext, MAX_PLANS * sizeof(SavedPlan));
	types = MemoryContextAlloc(TopMemoryContext, Max(key->nargs, 1) * sizeof(Oid));
	memcpy(types, key->types, key->nargs * sizeof(Oid));
	sql = MemoryContextStrdup(TopMemoryContext, key->sql);
	SPI_keepplan(plan);
	entry = &saved[nsaved++];
	entry->key = *key;
	entry->key.types = types;
	entry->key.sql = sql;
	entry->plan = plan;
}

SPIPlanPtr
hone_saved_plan(const char *sql, int nargs, Oid *types, int cursor_options)
{
	return hone_saved_plan_marked(sql, 0, nargs, types, cursor_options);
}

SPIPlanPtr
hone_saved_plan_marked(const char *sql, uint64 mark, int nargs, Oid *types, int cursor_options)
{
	uint32		hash = hash_bytes((const unsigned char *) sql, strlen(sql));
	PlanKey		key = {sql, hash, mark, types, nargs, cursor_options};
	SPIPlanPtr	plan = find_plan(&key);

	if (plan != NULL)
		return plan;
	plan = SPI_prepare_cursor(sql, nargs, types, cursor_options);
	if (plan == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
	keep_plan(&key, plan);
	return plan;
}

uint64
hone_saved_plan_run(SPIPlanPtr plan, int nargs, Oid *types, Datum *values,
					bool *nulls, bool read_only, uint64 most, DestReceiver *dest)
{
	SPIExecuteOptions options;
	int			result;

	memset(&options, 0, sizeof(options));
	options.params = makeParamList(nargs);
	for (int i = 0; i < nargs; i++)
	{
		ParamExternData *param = &options.params->params[i];

		param->value = values[i];
		param->isnull = nulls[i];
		param->pflags = PARAM_FLAG_CONST;
		param->ptype = types[i];
	}
	options.read_only = read_only;
	options.tcount = most;
	options.dest = dest;
	result = SPI_execute_plan_extended(plan, &options);
	if (result < 0)
		elog(ERROR, "could not run a statement: %s", SPI_result_code_string(result));
	return SPI_processed;
}
