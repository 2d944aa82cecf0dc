/*-------------------------------------------------------------------------
 *
 * moves.c
 *	  Where rows went that were compressed or decompressed, for cursors.
 *
 * A cursor that was opened before a row was moved goes on fetching it where it
 * was, and WHERE CURRENT OF may then mean it. Nothing on the old row tells
 * where it is now. So for as long as another session has the table locked,
 * which a session with a cursor has, each step of compressing or decompressing
 * also writes down the TIDs, old and new. The first step that finds nobody
 * there deletes all of that. (Who comes between that look and the commit finds
 * nothing noted, and gets an error.)
 *
 * Rows of the TOAST table like those of store.c: each tells of some rows of a
 * batch, in runs of TIDs that follow each other on a page. In the order of the
 * main fork that is 8 bytes a page, else 8 bytes a row.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/am.h"
#include "tiered/moves.h"

typedef struct MoveRun
{
	ItemPointerData first;
	uint16		count;
} MoveRun;

#define RUNS_PER_ROW	((HONE_CHUNK_BYTES - offsetof(MoveRow, runs)) / sizeof(MoveRun))

typedef struct MoveRow
{
	int32		batch;
	int32		first_row;		/* the first run's first */
	uint16		move;
	uint16		nruns;
	MoveRun		runs[FLEXIBLE_ARRAY_MEMBER];
} MoveRow;

typedef union MoveRowBuffer
{
	MoveRow		row;
	char		data[HONE_CHUNK_BYTES];
} MoveRowBuffer;

static bool
continues(const MoveRun *run, const ItemPointerData *tid)
{
	if (!ItemPointerIsValid(tid))
		return !ItemPointerIsValid(&run->first);
	return ItemPointerIsValid(&run->first) &&
		ItemPointerGetBlockNumber(tid) == ItemPointerGetBlockNumber(&run->first) &&
		ItemPointerGetOffsetNumber(tid) == ItemPointerGetOffsetNumber(&run->first) + run->count;
}

static void
write_row(HoneStore *store, HoneStoreMeta *meta, const MoveRow *row)
{
	ItemPointerData tid;

	hone_store_insert_row(store, HONE_VALUE_MOVES, (int32) (meta->next_move++ & PG_INT32_MAX),
						  row, offsetof(MoveRow, runs) + row->nruns * sizeof(MoveRun),
						  GetCurrentCommandId(true), 0, &tid);
}

void
hone_moves_note(HoneStore *store, HoneStoreMeta *meta, HoneMove move,
				int32 batch, const ItemPointerData *tids, int n)
{
	MoveRowBuffer buffer;
	MoveRow    *row = &buffer.row;

	row->batch = batch;
	row->first_row = 0;
	row->move = move;
	row->nruns = 0;
	for (int i = 0; i < n; i++)
	{
		if (row->nruns > 0 && continues(&row->runs[row->nruns - 1], &tids[i]))
		{
			row->runs[row->nruns - 1].count++;
			continue;
		}
		if (row->nruns == RUNS_PER_ROW)
		{
			CHECK_FOR_INTERRUPTS();
			write_row(store, meta, row);
			row->first_row = i;
			row->nruns = 0;
		}
		row->runs[row->nruns].first = tids[i];
		row->runs[row->nruns].count = 1;
		row->nruns++;
	}
	if (row->nruns > 0)
		write_row(store, meta, row);
}

/* Returns its chunk_seq. */
static int32
read_row(HoneStore *store, HeapTuple tuple, MoveRowBuffer *buffer)
{
	int32		seq;
	int32		length;
	const char *data = hone_store_row_bytes(store, tuple, &seq, &length);

	if (length < (int32) offsetof(MoveRow, runs) || length > HONE_CHUNK_BYTES)
		hone_store_report_damage(store, "a note of moved rows");
	memcpy(buffer->data, data, length);
	if (length != offsetof(MoveRow, runs) + buffer->row.nruns * sizeof(MoveRun) ||
		buffer->row.batch < 0 || buffer->row.batch > HONE_MAX_BATCH_ID ||
		buffer->row.first_row < 0 || buffer->row.first_row > HONE_MAX_BATCH_ROWS)
		hone_store_report_damage(store, "a note of moved rows");
	return seq;
}

/* Into a batch, from tid? */
static HoneMoved
moved_in(const MoveRow *row, ItemPointer tid)
{
	int			number = row->first_row;

	for (int i = 0; i < row->nruns; i++)
	{
		const MoveRun *run = &row->runs[i];
		int			distance = (int) ItemPointerGetOffsetNumberNoCheck(tid) -
		(int) ItemPointerGetOffsetNumberNoCheck(&run->first);

		if (ItemPointerGetBlockNumberNoCheck(tid) == ItemPointerGetBlockNumberNoCheck(&run->first) &&
			distance >= 0 && distance < run->count)
		{
			hone_tid_set(tid, row->batch, number + distance);
			return HONE_MOVED_THERE;
		}
		number += run->count;
	}
	return HONE_MOVED_UNKNOWN;
}

/*
 * Out of its batch: is it one of these? Of rows that went into another batch
 * from there, that batch's notes tell.
 */
static HoneMoved
moved_out(const MoveRow *row, ItemPointer tid)
{
	int			number;

	if (!hone_tid_is_compressed(tid) || hone_tid_batch(tid) != row->batch ||
		hone_tid_row(tid) < row->first_row)
		return HONE_MOVED_UNKNOWN;
	number = hone_tid_row(tid) - row->first_row;
	for (int i = 0; i < row->nruns; number -= row->runs[i++].count)
	{
		const MoveRun *run = &row->runs[i];

		if (number >= run->count)
			continue;
		if (!ItemPointerIsValid(&run->first))
			return HONE_MOVED_NOWHERE;
		ItemPointerSet(tid, ItemPointerGetBlockNumber(&run->first),
					   ItemPointerGetOffsetNumber(&run->first) + number);
		return HONE_MOVED_THERE;
	}
	return HONE_MOVED_UNKNOWN;
}

/*
 * Look into notes from first to last. That a row went nowhere is only an
 * answer when no other note has a better one.
 */
static HoneMoved
follow(HoneStore *store, Snapshot snapshot, int32 first, int32 last,
	   TransactionId moved_by, ItemPointer tid, int32 *seq)
{
	MoveRowBuffer *buffer = palloc(sizeof(MoveRowBuffer));
	HoneStoreScan *scan = hone_store_begin_scan(store, snapshot, HONE_VALUE_MOVES, first, last);
	HoneMoved	result = HONE_MOVED_UNKNOWN;
	HeapTuple	tuple;

	while (result != HONE_MOVED_THERE && (tuple = hone_store_next(scan)) != NULL)
	{
		HoneMoved	moved;

		CHECK_FOR_INTERRUPTS();
		if (TransactionIdIsValid(moved_by) &&
			HeapTupleHeaderGetRawXmin(tuple->t_data) != moved_by)
			continue;
		*seq = read_row(store, tuple, buffer);
		moved = buffer->row.move == HONE_MOVED_IN ?
			moved_in(&buffer->row, tid) : moved_out(&buffer->row, tid);
		if (moved != HONE_MOVED_UNKNOWN)
			result = moved;
	}
	hone_store_end_scan(scan);
	pfree(buffer);
	return result;
}

HoneMoved
hone_moves_follow(Relation rel, TransactionId moved_by, ItemPointer tid)
{
	/* where the last one was found: a cursor's next row is mostly there too */
	static int32 likely = 0;
	HoneStore  *store = hone_store_open(rel, AccessShareLock);
	Snapshot	snapshot;
	HoneMoved	result;

	if (store == NULL)
		return HONE_MOVED_UNKNOWN;
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	result = follow(store, snapshot, likely, likely, moved_by, tid, &likely);
	if (result != HONE_MOVED_THERE)
		result = follow(store, snapshot, 0, PG_INT32_MAX, moved_by, tid, &likely);
	UnregisterSnapshot(snapshot);
	hone_store_close(store);
	return result;
}

/*
 * Each step writes the meta row anew.
 */
bool
hone_moves_made_by(Relation rel, TransactionId xid)
{
	HoneStore  *store = hone_store_open(rel, AccessShareLock);
	HoneStoreScan *scan;
	HeapTuple	tuple;
	bool		found = false;

	if (store == NULL)
		return false;
	scan = hone_store_begin_scan(store, SnapshotAny, HONE_VALUE_META, 0, 0);
	while (!found && (tuple = hone_store_next(scan)) != NULL)
		found = HeapTupleHeaderGetRawXmin(tuple->t_data) == xid;
	hone_store_end_scan(scan);
	hone_store_close(store);
	return found;
}

bool
hone_moves_noted(HoneStore *store, Snapshot snapshot)
{
	return hone_store_holds_any(store, snapshot, HONE_VALUE_MOVES);
}

void
hone_moves_forget(HoneStore *store, Snapshot snapshot)
{
	hone_store_delete_rows(store, snapshot, HONE_VALUE_MOVES, 0, PG_INT32_MAX);
}
