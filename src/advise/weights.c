/*-------------------------------------------------------------------------
 *
 * weights.c
 *	  How many bytes each column of a result has, measured on its rows.
 *
 * A receiver stands before the client's for one run of the executor and looks
 * at the headers of the values that pass: nothing is detoasted, copied or
 * allocated. There is one such receiver, for one call at a time, over all of
 * its runs. As in provenance.c, a run at some depth proves that the receiver is
 * in use by none at that depth or below.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heaptoast.h"
#include "executor/tuptable.h"

#include "advise/detect.h"

#define WEIGHED_ROWS	1000	/* of a call */
#define WEIGHED_COLUMNS	128		/* of a row */

/* A call that began so long ago and has not ended is given up. */
#define GIVEN_UP_NS		UINT64CONST(10000000000)

static DestReceiver receiver;
static DestReceiver *next;		/* who gets the rows from it */
static bool running = false;	/* is it in use, */
static int	running_depth;		/* by a run at this depth? */
static const QueryDesc *weighed = NULL; /* the call whose rows these are, */
static uint64 weighed_start;	/* which began then */
static int64 nrows;
static int	ncolumns;
static HoneColumnWeight columns[WEIGHED_COLUMNS];

static void
weigh_varlena(HoneColumnWeight *column, Datum value)
{
	struct varlena *varlena = (struct varlena *) DatumGetPointer(value);
	struct varatt_external pointer;
	int64		bytes;

	/* an array or a row that is being built: to measure it is work */
	if (VARATT_IS_EXTERNAL_EXPANDED(varlena))
		return;
	bytes = (int64) toast_raw_datum_size(value) - VARHDRSZ;
	column->bytes += bytes;
	if (!VARATT_IS_EXTERNAL_ONDISK(varlena))
		return;
	VARATT_EXTERNAL_GET_POINTER(pointer, varlena);
	column->outside += bytes;
	column->fetches += (VARATT_EXTERNAL_GET_EXTSIZE(pointer) + TOAST_MAX_CHUNK_SIZE - 1) /
		TOAST_MAX_CHUNK_SIZE;
}

static void
weigh_row(TupleTableSlot *slot)
{
	TupleDesc	desc = slot->tts_tupleDescriptor;
	int			n = Min(desc->natts, ncolumns);

	slot_getsomeattrs(slot, n);
	for (int i = 0; i < n; i++)
	{
		int			length = TupleDescAttr(desc, i)->attlen;
		Datum		value = slot->tts_values[i];

		columns[i].rows++;
		if (slot->tts_isnull[i])
			continue;
		if (length == -1)
			weigh_varlena(&columns[i], value);
		else
			columns[i].bytes += length > 0 ? length : (int64) strlen(DatumGetCString(value));
	}
	nrows++;
}

static bool
receive_slot(TupleTableSlot *slot, DestReceiver *self)
{
	if (nrows < WEIGHED_ROWS)
		weigh_row(slot);
	return next->receiveSlot(slot, next);
}

static void
receive_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
	ncolumns = Min(typeinfo->natts, WEIGHED_COLUMNS);
	next->rStartup(next, operation, typeinfo);
}

static void
receive_shutdown(DestReceiver *self)
{
	running = false;
	next->rShutdown(next);
}

/* Its maker destroys the receiver that it knows. */
static void
receive_destroy(DestReceiver *self)
{
}

/* A call that failed may have left its memory to another. */
static bool
is_weighed(const HoneRecord *record, const QueryDesc *query_desc)
{
	return weighed == query_desc && weighed_start == record->start_ns;
}

/* The output columns, and what they are of tables. */
static void
begin_columns(const QueryDesc *query_desc)
{
	int			n = 0;
	ListCell   *lc;

	foreach(lc, query_desc->plannedstmt->planTree->targetlist)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (target->resjunk)
			continue;
		if (n == WEIGHED_COLUMNS)
			break;
		memset(&columns[n], 0, sizeof(HoneColumnWeight));
		columns[n].relid = target->resorigtbl;
		columns[n].attnum = target->resorigcol;
		columns[n].column = n + 1;
		n++;
	}
}

/* Does another call, which has not ended, have the receiver? */
static bool
is_taken(const HoneRecord *record)
{
	return weighed != NULL && nrows > 0 &&
		record->start_ns - weighed_start < GIVEN_UP_NS;
}

void
hone_weights_failed(const HoneRecord *record)
{
	if (weighed_start == record->start_ns)
		weighed = NULL;
}

void
hone_weights_begin_run(int depth)
{
	if (running && running_depth >= depth)
		running = false;
}

DestReceiver *
hone_weights_receive(const HoneRecord *record, QueryDesc *query_desc,
					 DestReceiver *dest, int depth)
{
	if (running)
		return dest;
	if (!is_weighed(record, query_desc))
	{
		if (is_taken(record))
			return dest;
		weighed = query_desc;
		weighed_start = record->start_ns;
		nrows = 0;
		begin_columns(query_desc);
	}
	running = true;
	running_depth = depth;
	next = dest;
	receiver.receiveSlot = receive_slot;
	receiver.rStartup = receive_startup;
	receiver.rShutdown = receive_shutdown;
	receiver.rDestroy = receive_destroy;
	receiver.mydest = dest->mydest;
	return &receiver;
}

/* By their sums: the rows are the same ones. */
static int
weight_order(const void *a, const void *b)
{
	const HoneColumnWeight *ca = a;
	const HoneColumnWeight *cb = b;

	return ca->bytes != cb->bytes ? (ca->bytes < cb->bytes ? 1 : -1) :
		ca->column - cb->column;
}

bool
hone_weights_take(const HoneRecord *record,
				  HoneColumnWeight weights[HONE_FINDING_WEIGHTS])
{
	int			n = Min(ncolumns, HONE_FINDING_WEIGHTS);

	if (weighed == NULL || !is_weighed(record, record->query_desc))
		return false;
	weighed = NULL;
	if (nrows == 0 || n == 0)
		return false;
	qsort(columns, ncolumns, sizeof(HoneColumnWeight), weight_order);
	memset(weights, 0, HONE_FINDING_WEIGHTS * sizeof(HoneColumnWeight));
	memcpy(weights, columns, n * sizeof(HoneColumnWeight));
	return true;
}
