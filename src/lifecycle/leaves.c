/*-------------------------------------------------------------------------
 *
 * leaves.c
 *	  All leaf partitions under tier policies, with their ranges of time.
 *
 * The worker asks for them at each nap, also where there are tens of thousands.
 * So pg_inherits and pg_class are read once each from beginning to end, and
 * nothing is looked up for each partition: bounds.c does that for a single
 * one. As there, no lock is taken on any partition.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "lifecycle/bounds.h"

PG_FUNCTION_INFO_V1(hone_tier_leaves);

/* Partitioned tables above one another, at most. */
#define MOST_LEVELS		32

/* A child in pg_inherits. */
typedef struct Child
{
	Oid			relid;			/* hash key */
	Oid			parent;
	bool		leaf;			/* an ordinary table */
	char	   *bound;			/* relpartbound, or NULL */
} Child;

/* A table with a policy, and what its key is. */
typedef struct PolicyTable
{
	Oid			relid;			/* hash key */
	char	   *epoch;			/* or NULL */
	bool		by_time;
	char		column[NAMEDATALEN];
} PolicyTable;

/* What the key of a partitioned table is, under the policy above it. */
typedef struct Level
{
	Oid			relid;			/* hash key */
	bool		narrows;		/* its key is the policy's column */
	Oid			type;
} Level;

static HTAB *
make_table(const char *name, Size size)
{
	HASHCTL		control;

	memset(&control, 0, sizeof(control));
	control.keysize = sizeof(Oid);
	control.entrysize = size;
	control.hcxt = CurrentMemoryContext;
	return hash_create(name, 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static HTAB *
read_policies(ArrayType *parents, ArrayType *epochs)
{
	HTAB	   *table = make_table("hone tier policies", sizeof(PolicyTable));
	Datum	   *oids;
	Datum	   *texts;
	bool	   *nulls;
	int			n;
	int			m;

	deconstruct_array(parents, OIDOID, sizeof(Oid), true, TYPALIGN_INT, &oids, NULL, &n);
	deconstruct_array(epochs, TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, &m);
	for (int i = 0; i < Min(n, m); i++)
	{
		Oid			relid = DatumGetObjectId(oids[i]);
		PolicyTable *policy = hash_search(table, &relid, HASH_ENTER, NULL);
		AttrNumber	column;
		Oid			type;
		char	   *name;

		policy->epoch = nulls[i] ? NULL : TextDatumGetCString(texts[i]);
		policy->by_time = hone_time_key(relid, policy->epoch, &column, &type) == HONE_KEY_OK;
		name = policy->by_time ? get_attname(relid, column, true) : NULL;
		policy->by_time = name != NULL;
		strlcpy(policy->column, name ? name : "", NAMEDATALEN);
	}
	return table;
}

/* Those that are being detached belong to nobody. */
static HTAB *
read_inherits(void)
{
	HTAB	   *table = make_table("hone partitions", sizeof(Child));
	Relation	rel = table_open(InheritsRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_inherits form = (Form_pg_inherits) GETSTRUCT(tuple);
		Child	   *child;

		if (form->inhdetachpending)
			continue;
		child = hash_search(table, &form->inhrelid, HASH_ENTER, NULL);
		child->parent = form->inhparent;
		child->leaf = false;
		child->bound = NULL;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return table;
}

static void
read_classes(HTAB *children)
{
	Relation	rel = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
		Child	   *child;
		Datum		bound;
		bool		isnull;

		CHECK_FOR_INTERRUPTS();
		if (!form->relispartition || form->relpersistence == RELPERSISTENCE_TEMP ||
			(form->relkind != RELKIND_RELATION && form->relkind != RELKIND_PARTITIONED_TABLE) ||
			(child = hash_search(children, &form->oid, HASH_FIND, NULL)) == NULL)
			continue;
		child->leaf = form->relkind == RELKIND_RELATION;
		bound = heap_getattr(tuple, Anum_pg_class_relpartbound, RelationGetDescr(rel), &isnull);
		if (!isnull)
			child->bound = TextDatumGetCString(bound);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* From a partition up to the nearest policy above it. */
static PolicyTable *
find_policy(HTAB *children, HTAB *policies, Child *child, Child **chain, int *n)
{
	*n = 0;
	while (child != NULL && *n < MOST_LEVELS)
	{
		PolicyTable *policy;

		chain[(*n)++] = child;
		policy = hash_search(policies, &child->parent, HASH_FIND, NULL);
		if (policy != NULL)
			return policy;
		child = hash_search(children, &child->parent, HASH_FIND, NULL);
	}
	return NULL;
}

static Level *
find_level(HTAB *levels, Oid relid, const PolicyTable *policy)
{
	bool		found;
	Level	   *level = hash_search(levels, &relid, HASH_ENTER, &found);
	AttrNumber	column;

	if (found)
		return level;
	level->narrows = false;
	if (hone_time_key(relid, policy->epoch, &column, &level->type) == HONE_KEY_OK)
	{
		char	   *name = get_attname(relid, column, true);

		level->narrows = name != NULL && strcmp(name, policy->column) == 0;
	}
	return level;
}

static void
put_leaf(ReturnSetInfo *rsinfo, Child *leaf, const PolicyTable *policy, const HoneTimeRange *range)
{
	Datum		values[4];
	bool		nulls[4] = {false};

	values[0] = ObjectIdGetDatum(policy->relid);
	values[1] = ObjectIdGetDatum(leaf->relid);
	values[2] = TimestampTzGetDatum(range->start);
	values[3] = TimestampTzGetDatum(range->end);
	nulls[2] = nulls[3] = !range->bounded;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * hone._tier_leaves(policies, epochs): partition, range and policy of each leaf
 * below the given tables; an array of texts with NULLs for their epochs.
 */
Datum
hone_tier_leaves(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext context;
	MemoryContext scratch;
	MemoryContext old;
	HTAB	   *policies;
	HTAB	   *children;
	HTAB	   *levels;
	HASH_SEQ_STATUS status;
	Child	   *child;

	hone_require_script();
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		PG_RETURN_VOID();
	context = AllocSetContextCreate(CurrentMemoryContext, "hone tier leaves",
									ALLOCSET_DEFAULT_SIZES);
	scratch = AllocSetContextCreate(context, "hone bounds", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	policies = read_policies(PG_GETARG_ARRAYTYPE_P(0), PG_GETARG_ARRAYTYPE_P(1));
	children = read_inherits();
	read_classes(children);
	levels = make_table("hone partitioned tables", sizeof(Level));

	hash_seq_init(&status, children);
	while ((child = hash_seq_search(&status)) != NULL)
	{
		Child	   *chain[MOST_LEVELS];
		HoneTimeRange range = {0};
		PolicyTable *policy;
		int			n;

		if (!child->leaf || child->bound == NULL)
			continue;
		policy = find_policy(children, policies, child, chain, &n);
		if (policy == NULL || !policy->by_time)
			continue;
		for (int i = 0; i < n; i++)
		{
			Level	   *level = find_level(levels, chain[i]->parent, policy);

			MemoryContextSwitchTo(scratch);
			if (level->narrows && chain[i]->bound != NULL)
				hone_range_narrow(&range, chain[i]->bound, level->type, policy->epoch);
			MemoryContextSwitchTo(context);
		}
		MemoryContextReset(scratch);
		put_leaf(rsinfo, child, policy, &range);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	PG_RETURN_VOID();
}
