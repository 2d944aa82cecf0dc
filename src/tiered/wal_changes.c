/*-------------------------------------------------------------------------
 *
 * wal_changes.c
 *	  Which pages were changed since: read from the WAL.
 *
 * Every record names the pages that it changes. Not in the WAL, and of no
 * matter to who copies pages: hint bits, new pages that are still empty, and
 * the free space map. Records that clear bits of the visibility map do not
 * name its pages. So only main forks are told of.
 *
 * A page is changed before the lock on its buffer is released, and its record
 * is written before that too: who reads a page after hone_wal_begin sees what
 * records before have done to it, and is told of those after.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/rmgr.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xloginsert.h"
#include "access/xlogutils.h"
#include "catalog/pg_control.h"
#include "catalog/storage_xlog.h"
#include "miscadmin.h"

#include "tiered/wal_changes.h"

/*
 * A record that does nothing: its end is a place between two records, with
 * all that was written before it.
 */
static XLogRecPtr
mark_place(void)
{
	char		nothing = 0;

	XLogBeginInsert();
	XLogRegisterData(&nothing, sizeof(nothing));
	return XLogInsert(RM_XLOG_ID, XLOG_NOOP);
}

XLogReaderState *
hone_wal_begin(void)
{
	XLogReaderRoutine routine = {
		.page_read = read_local_xlog_page,
		.segment_open = wal_segment_open,
		.segment_close = wal_segment_close
	};
	XLogReaderState *reader = XLogReaderAllocate(wal_segment_size, NULL, &routine, NULL);

	if (reader == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed while allocating a WAL reading processor.")));
	XLogBeginRead(reader, mark_place());
	return reader;
}

static void
tell(XLogReaderState *reader, HonePageChanged changed, HoneFilesCut cut, void *arg)
{
	for (int id = 0; id <= XLogRecMaxBlockId(reader); id++)
	{
		RelFileLocator locator;
		ForkNumber	fork;
		BlockNumber block;

		if (XLogRecGetBlockTagExtended(reader, id, &locator, &fork, &block, NULL) &&
			fork == MAIN_FORKNUM)
			changed(arg, &locator, block);
	}
	if (XLogRecGetRmid(reader) == RM_SMGR_ID &&
		(XLogRecGetInfo(reader) & ~XLR_INFO_MASK) == XLOG_SMGR_TRUNCATE)
		cut(arg, HONE_TRUNCATED_LOCATOR((xl_smgr_truncate *) XLogRecGetData(reader)));
}

void
hone_wal_follow(XLogReaderState *reader, HonePageChanged changed,
				HoneFilesCut cut, void *arg)
{
	XLogRecPtr	end = mark_place();

	/* what is not on disk cannot be read */
	XLogFlush(end);
	while (reader->EndRecPtr < end)
	{
		char	   *error;

		CHECK_FOR_INTERRUPTS();
		if (XLogReadRecord(reader, &error) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("could not read the WAL at %X/%X: %s",
							LSN_FORMAT_ARGS(reader->EndRecPtr),
							error ? error : "it ends there")));
		tell(reader, changed, cut, arg);
	}
}

void
hone_wal_end(XLogReaderState *reader)
{
	XLogReaderFree(reader);
}
