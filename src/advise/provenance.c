/*-------------------------------------------------------------------------
 *
 * provenance.c
 *	  Do the keys of a loop come out of the rows of the query before it?
 *
 * A query that may be the parent of a loop is a *suspect*: its identifier is
 * in shared memory (finding.c), for all sessions. The rows that a suspect
 * sends are looked at on their way to the client: of the first ROWS of them,
 * the hashes of the first COLUMNS columns are kept, in their order (a
 * *capture*). Each later call in the same burst is looked up there, column by
 * column and key by key (a *link* between a shape and a capture).
 *
 * A loop mostly takes the rows in their order, so the row after the last match
 * is looked at first. That the keys come in that order is evidence too: two
 * columns of small integers share values by chance, but not their order. And
 * where sessions of several clients share a server process, what looks like a
 * loop takes the rows of a list in no order.
 *
 * Receivers stand before the one they were made for during one run of the
 * executor. A capture is not given away while its receiver may be in use: runs
 * within a run are deeper, so a run at some depth proves that none goes on at
 * that depth or below.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/tupdesc.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "tcop/dest.h"
#include "utils/memutils.h"

#include "advise/detect.h"
#include "advise/provenance.h"

#define CAPTURES		4
#define ROWS			1000
#define FIRST_ROWS		32		/* room at first */
#define LINK_CHECKS		1000	/* calls looked up for one link */
#define NEAR_ROWS		4		/* looked at before all others */
#define FOUND_SHARE		0.9		/* of the keys, in the column they come from */
#define LOST_SHARE		0.5		/* of the keys: they do not come from there */
#define DENSE			4		/* integers within so many times their number */

typedef struct CaptureColumn
{
	NameData	name;
	Oid			relid;			/* table column that it is, or InvalidOid */
	AttrNumber	attnum;
	Oid			type;
	Oid			base;			/* type that its values are hashed as; 0: not */
	bool		digits;			/* text that may be numbers */
	int64		least;			/* of integers */
	int64		most;
	uint32	   *hashes;			/* of each row */
} CaptureColumn;

typedef struct HoneCapture
{
	DestReceiver receiver;		/* must be first */
	DestReceiver *next;			/* who gets the rows from it */
	bool		running;		/* is the receiver in use, */
	int			depth;			/* by a run at this depth? */
	uint32		generation;		/* changes when the rows are forgotten */
	bool		used;
	bool		open;			/* its latest call has not finished yet */
	uint64		queryid;
	int			nest_level;
	uint32		lxid;
	QueryDesc  *query_desc;		/* while it is open */
	int64		runs;			/* calls whose rows are here */
	uint64		touched;		/* for the choice of one to be given away */
	int			ncolumns;
	int			total_columns;
	int			nrows;
	int			room;
	bool		cut;			/* there were more rows */
	CaptureColumn columns[HONE_CAPTURE_COLUMNS];
} HoneCapture;

typedef struct LinkColumn
{
	uint16		found;
	uint16		ascending;		/* of these, not before the match before */
	uint16		last;			/* row of the last match */
} LinkColumn;

struct HoneLink
{
	struct HoneLink *next;
	const HoneCapture *capture;
	uint32		generation;		/* of the capture */
	bool		literal;		/* keys were constants in the text */
	int			checks;
	LinkColumn	columns[HONE_CALL_KEYS][HONE_CAPTURE_COLUMNS];
};

static HoneCapture captures[CAPTURES];
bool		hone_provenance_active = false;
static uint64 clock_hand = 0;
static MemoryContext capture_context = NULL;

static void
capture_free(HoneCapture *capture)
{
	for (int i = 0; i < HONE_CAPTURE_COLUMNS; i++)
	{
		if (capture->columns[i].hashes != NULL)
		{
			hone_memory_give(capture->room * sizeof(uint32));
			pfree(capture->columns[i].hashes);
		}
	}
	capture->generation++;
	capture->nrows = capture->room = capture->ncolumns = 0;
	memset(capture->columns, 0, sizeof(capture->columns));
	capture->used = capture->open = capture->cut = false;
	capture->query_desc = NULL;
	capture->runs = 0;
}

/* Room for more rows; false if there is none. */
static bool
capture_grow(HoneCapture *capture)
{
	int			room = capture->room == 0 ? FIRST_ROWS : Min(2 * capture->room, ROWS);
	uint32	   *hashes[HONE_CAPTURE_COLUMNS] = {NULL};

	for (int i = 0; i < capture->ncolumns; i++)
	{
		if (hone_memory_take(room * sizeof(uint32)))
		{
			hashes[i] = MemoryContextAllocExtended(capture_context, room * sizeof(uint32),
												   MCXT_ALLOC_NO_OOM);
			if (hashes[i] != NULL)
				continue;
			hone_memory_give(room * sizeof(uint32));
		}
		while (--i >= 0)
		{
			hone_memory_give(room * sizeof(uint32));
			pfree(hashes[i]);
		}
		return false;
	}
	for (int i = 0; i < capture->ncolumns; i++)
	{
		CaptureColumn *column = &capture->columns[i];

		if (column->hashes != NULL)
		{
			memcpy(hashes[i], column->hashes, capture->nrows * sizeof(uint32));
			hone_memory_give(capture->room * sizeof(uint32));
			pfree(column->hashes);
		}
		column->hashes = hashes[i];
	}
	capture->room = room;
	return true;
}

/* What tells whether a column's values may be those of others by chance. */
static void
note_value(CaptureColumn *column, Datum value)
{
	int64		number;
	struct varlena *text;

	switch (column->base)
	{
		case INT2OID:
			number = DatumGetInt16(value);
			break;
		case INT4OID:
			number = DatumGetInt32(value);
			break;
		case INT8OID:
			number = DatumGetInt64(value);
			break;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			text = (struct varlena *) DatumGetPointer(value);
			if (!VARATT_IS_EXTERNAL(text) && !VARATT_IS_COMPRESSED(text) &&
				VARSIZE_ANY_EXHDR(text) > 0 &&
				(*VARDATA_ANY(text) == '-' || isdigit((unsigned char) *VARDATA_ANY(text))))
				column->digits = true;
			return;
		default:
			return;
	}
	column->least = Min(column->least, number);
	column->most = Max(column->most, number);
}

static void
capture_row(HoneCapture *capture, TupleTableSlot *slot)
{
	if (capture->nrows == ROWS ||
		(capture->nrows == capture->room && !capture_grow(capture)))
	{
		capture->cut = true;
		return;
	}
	slot_getsomeattrs(slot, capture->ncolumns);
	for (int i = 0; i < capture->ncolumns; i++)
	{
		CaptureColumn *column = &capture->columns[i];
		uint32		hash = HONE_NO_VALUE;

		if (!slot->tts_isnull[i])
		{
			if (!hone_value_hash(column->type, slot->tts_values[i], &hash))
				hash = HONE_NO_VALUE;
			note_value(column, slot->tts_values[i]);
		}
		column->hashes[capture->nrows] = hash;
	}
	capture->nrows++;
}

static bool
receive_slot(TupleTableSlot *slot, DestReceiver *self)
{
	HoneCapture *capture = (HoneCapture *) self;

	if (!capture->cut && capture->ncolumns > 0)
		capture_row(capture, slot);
	return capture->next->receiveSlot(slot, capture->next);
}

/* The table columns that the output columns are. */
static void
take_origins(HoneCapture *capture)
{
	ListCell   *lc;
	int			i = 0;

	foreach(lc, capture->query_desc->plannedstmt->planTree->targetlist)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (target->resjunk)
			continue;
		if (i == capture->ncolumns)
			break;
		capture->columns[i].relid = target->resorigtbl;
		capture->columns[i].attnum = target->resorigcol;
		i++;
	}
}

/* Other columns than before: what is kept is of no use. */
static void
receive_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
	HoneCapture *capture = (HoneCapture *) self;
	int			ncolumns = Min(typeinfo->natts, HONE_CAPTURE_COLUMNS);
	bool		same = capture->ncolumns == ncolumns;

	for (int i = 0; i < ncolumns && same; i++)
		same = capture->columns[i].type == TupleDescAttr(typeinfo, i)->atttypid;
	if (!same)
	{
		QueryDesc  *query_desc = capture->query_desc;

		capture_free(capture);
		capture->used = capture->open = true;
		capture->query_desc = query_desc;
		capture->runs = 1;
		for (int i = 0; i < ncolumns; i++)
		{
			Form_pg_attribute att = TupleDescAttr(typeinfo, i);
			CaptureColumn *column = &capture->columns[i];

			column->name = att->attname;
			column->type = att->atttypid;
			column->base = hone_value_base_type(att->atttypid);
			column->least = PG_INT64_MAX;
			column->most = PG_INT64_MIN;
		}
		capture->ncolumns = ncolumns;
		capture->total_columns = typeinfo->natts;
		take_origins(capture);
	}
	capture->next->rStartup(capture->next, operation, typeinfo);
}

static void
receive_shutdown(DestReceiver *self)
{
	HoneCapture *capture = (HoneCapture *) self;

	capture->running = false;
	capture->next->rShutdown(capture->next);
}

/* Its maker destroys the receiver that it knows. */
static void
receive_destroy(DestReceiver *self)
{
}

/*
 * The capture for a run: that of the same query in this burst, or one that is
 * free, or the one that was not looked at for longest.
 */
static HoneCapture *
capture_choose(const HoneRecord *record, int depth)
{
	HoneCapture *best = NULL;

	for (int i = 0; i < CAPTURES; i++)
	{
		HoneCapture *capture = &captures[i];

		if (capture->running && capture->depth >= depth)
			capture->running = false;
		if (capture->used && capture->queryid == record->queryid &&
			capture->nest_level == record->nest_level)
			return capture->running ? NULL : capture;
	}
	for (int i = 0; i < CAPTURES; i++)
	{
		HoneCapture *capture = &captures[i];

		if (!capture->running &&
			(best == NULL || (best->used && (!capture->used || capture->touched < best->touched))))
			best = capture;
	}
	if (best != NULL)
	{
		capture_free(best);
		best->queryid = record->queryid;
		best->nest_level = record->nest_level;
	}
	return best;
}

/* Has a run of this call been captured already? */
static bool
is_open(const QueryDesc *query_desc)
{
	for (int i = 0; i < CAPTURES; i++)
	{
		if (captures[i].open && captures[i].query_desc == query_desc)
			return true;
	}
	return false;
}

DestReceiver *
hone_provenance_receive(const HoneRecord *record, QueryDesc *query_desc,
						DestReceiver *dest, int depth)
{
	HoneCapture *capture;

	if (capture_context == NULL)
		capture_context = AllocSetContextCreate(TopMemoryContext, "hone captured rows",
												ALLOCSET_SMALL_SIZES);

	/*
	 * what was kept before belongs to the burst before, if this begins
	 * another
	 */
	if (!is_open(query_desc))
		hone_window_begin(record);
	capture = capture_choose(record, depth);
	if (capture == NULL)
		return dest;
	hone_provenance_active = true;
	if (capture->query_desc != query_desc)
		capture->runs++;
	capture->used = capture->open = capture->running = true;
	capture->depth = depth;
	capture->query_desc = query_desc;
	capture->lxid = record->lxid;
	capture->touched = ++clock_hand;
	capture->next = dest;
	capture->receiver.receiveSlot = receive_slot;
	capture->receiver.rStartup = receive_startup;
	capture->receiver.rShutdown = receive_shutdown;
	capture->receiver.rDestroy = receive_destroy;
	capture->receiver.mydest = dest->mydest;
	return &capture->receiver;
}

void
hone_provenance_finished(const HoneRecord *record)
{
	for (int i = 0; i < CAPTURES; i++)
	{
		if (captures[i].open && captures[i].query_desc == record->query_desc)
		{
			captures[i].open = false;
			captures[i].query_desc = NULL;
		}
	}
}

void
hone_provenance_reset(const HoneRecord *record)
{
	if (!hone_provenance_active)
		return;
	hone_provenance_active = false;
	for (int i = 0; i < CAPTURES; i++)
	{
		HoneCapture *capture = &captures[i];

		if (!capture->used)
			continue;

		/*
		 * What began this burst, or goes on in it, is not of the last one.
		 * All else is forgotten, also where its receiver is still in use: it
		 * then finds no columns to keep.
		 */
		if (record != NULL && capture->open && capture->lxid == record->lxid)
			hone_provenance_active = true;
		else
			capture_free(capture);
	}
}

/* Row that has this value in a column, at or after 'last' if there is one. */
static int
find_row(const CaptureColumn *column, int nrows, uint32 hash, int last)
{
	for (int row = last; row < Min(last + NEAR_ROWS, nrows); row++)
	{
		if (column->hashes[row] == hash)
			return row;
	}
	for (int row = last; row < nrows; row++)
	{
		if (column->hashes[row] == hash)
			return row;
	}
	for (int row = 0; row < Min(last, nrows); row++)
	{
		if (column->hashes[row] == hash)
			return row;
	}
	return -1;
}

/* Can the column still turn out to be the one? */
static inline bool
is_hopeless(const LinkColumn *column, int checks)
{
	return checks >= 16 && column->found < LOST_SHARE * checks;
}

static void
link_check(HoneLink *link, const HoneCapture *capture, const HoneCallKeys *keys)
{
	if (link->checks == LINK_CHECKS)
		return;
	link->literal |= keys->id[0] < 0;
	for (int i = 0; i < keys->n; i++)
	{
		for (int j = 0; j < capture->ncolumns; j++)
		{
			LinkColumn *column = &link->columns[i][j];
			int			row;

			if (keys->hash[i] == HONE_NO_VALUE || is_hopeless(column, link->checks))
				continue;
			row = find_row(&capture->columns[j], capture->nrows, keys->hash[i], column->last);
			if (row < 0)
				continue;
			column->found++;
			if (row >= column->last)
				column->ascending++;
			column->last = row;
		}
	}
	link->checks++;
}

void
hone_provenance_check(HoneLink **links, const HoneRecord *record,
					  const HoneCallKeys *keys, MemoryContext context)
{
	if (!hone_provenance_active || keys->n == 0)
		return;
	for (int i = 0; i < CAPTURES; i++)
	{
		HoneCapture *capture = &captures[i];
		HoneLink   *link;

		if (!capture->used || capture->nrows < 2 || capture->queryid == record->queryid ||
			capture->nest_level != record->nest_level)
			continue;
		for (link = *links; link != NULL; link = link->next)
		{
			if (link->capture == capture && link->generation == capture->generation)
				break;
		}
		if (link == NULL)
		{
			if (!hone_memory_take(sizeof(HoneLink)))
				return;
			link = MemoryContextAllocExtended(context, sizeof(HoneLink),
											  MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
			if (link == NULL)
			{
				hone_memory_give(sizeof(HoneLink));
				return;
			}
			link->capture = capture;
			link->generation = capture->generation;
			link->next = *links;
			*links = link;
		}
		/* beyond the rows that are kept nothing can be found */
		if (!capture->cut || link->checks < capture->nrows / 2)
			link_check(link, capture, keys);
	}
}

Size
hone_provenance_link_size(const HoneLink *links)
{
	Size		size = 0;

	for (; links != NULL; links = links->next)
		size += sizeof(HoneLink);
	return size;
}

/*
 * Integers that leave no gaps, numbers of other types, dates and the like have
 * values in common by chance: then only the order of the keys tells.
 */
static bool
needs_order(const HoneCapture *capture, int column)
{
	const CaptureColumn *c = &capture->columns[column];

	switch (c->base)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return (double) c->most - c->least < (double) DENSE * capture->nrows;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return c->digits;
		case UUIDOID:
			return false;
		default:
			return true;
	}
}

/* The column that one key comes from, or -1. */
static int
key_column(const HoneLink *link, int key, bool *ordered)
{
	int			best = -1;

	for (int i = 0; i < link->capture->ncolumns; i++)
	{
		const LinkColumn *column = &link->columns[key][i];
		bool		in_order = column->ascending >= FOUND_SHARE * column->found;

		if (column->found < FOUND_SHARE * link->checks ||
			(!in_order && needs_order(link->capture, i)))
			continue;
		if (best < 0 || (in_order && !*ordered))
		{
			best = i;
			*ordered = in_order;
		}
	}
	return best;
}

/* Is a constant of this type hashed as its values are, however it is written? */
static bool
is_comparable(Oid base)
{
	switch (base)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case NUMERICOID:
		case UUIDOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case NAMEOID:
			return true;
		default:
			return false;
	}
}

/* True if no column of the whole result has many of the keys. */
static bool
is_refuted(const HoneLink *link, int key)
{
	const HoneCapture *capture = link->capture;

	if (capture->total_columns > HONE_CAPTURE_COLUMNS || capture->cut)
		return false;
	for (int i = 0; i < capture->ncolumns; i++)
	{
		if (!OidIsValid(capture->columns[i].base) ||
			(link->literal && !is_comparable(capture->columns[i].base)) ||
			link->columns[key][i].found >= LOST_SHARE * link->checks)
			return false;
	}
	return true;
}

HoneProvenance
hone_provenance_of(const HoneLink *links, int key, uint64 parent,
				   HoneOrigin *origin)
{
	HoneProvenance result = HONE_PROVENANCE_UNKNOWN;
	int64		runs = 0;

	memset(origin, 0, sizeof(HoneOrigin));
	for (; links != NULL; links = links->next)
	{
		const HoneCapture *capture = links->capture;
		bool		ordered = false;
		int			column;

		if (links->checks < HONE_PROVENANCE_CHECKS || !capture->used ||
			capture->generation != links->generation)
			continue;
		column = key_column(links, key, &ordered);
		if (column < 0)
		{
			if (capture->queryid == parent && result == HONE_PROVENANCE_UNKNOWN &&
				is_refuted(links, key))
				result = HONE_PROVENANCE_REFUTED;
			continue;
		}
		/* of several the one in order, then the one that ran least often */
		if (result == HONE_PROVENANCE_CONFIRMED &&
			(origin->ordered != ordered ? origin->ordered : capture->runs >= runs))
			continue;
		result = HONE_PROVENANCE_CONFIRMED;
		runs = capture->runs;
		origin->parent = capture->queryid;
		origin->ordered = ordered;
		for (int i = 0; i < HONE_CALL_KEYS; i++)
		{
			bool		other_ordered = false;
			int			c = i == key ? column : key_column(links, i, &other_ordered);

			origin->column[i] = c + 1;
			if (c < 0)
				continue;
			origin->name[i] = capture->columns[c].name;
			origin->relid[i] = capture->columns[c].relid;
			origin->attnum[i] = capture->columns[c].attnum;
		}
	}
	return result;
}
