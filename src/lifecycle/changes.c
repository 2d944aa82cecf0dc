/*-------------------------------------------------------------------------
 *
 * changes.c
 *	  Has a table changed since it was read?
 *
 * Each change of a row writes WAL, whose position its page then bears. So a
 * table without a page that is younger than a mark has the rows that it had,
 * if nobody was in the midst of writing at the mark: whoever had written
 * before, and not yet committed, held a lock on the table, and is waited for.
 * What VACUUM, freezing and hint bits (with checksums) write makes pages
 * younger too: then nothing is known, and the caller has to look at the rows.
 *
 * Both the main fork and the TOAST table are looked at, of a tiered table its
 * batches and tombstones with it. A rewrite or TRUNCATE gives the table other
 * files, ALTER TABLE other columns; and where VACUUM cuts off pages whose rows
 * were deleted, it has fewer.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/rel.h"

#include "lifecycle/changes.h"

/* Wait so long for writers, looking so often. */
#define WRITERS_WAIT_MS	10000
#define WRITERS_POLL_MS	20

/* Names and types of the columns, those that were dropped too. */
static uint32
hash_of_columns(TupleDesc desc)
{
	uint32		hash = desc->natts;

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		hash = hash_combine(hash, hash_bytes((unsigned char *) NameStr(column->attname),
											 strlen(NameStr(column->attname))));
		hash = hash_combine(hash, column->atttypid);
		hash = hash_combine(hash, column->atttypmod);
		hash = hash_combine(hash, column->attcollation);
		hash = hash_combine(hash, column->attgenerated);
		hash = hash_combine(hash, column->attnotnull);
	}
	return hash;
}

static char *
files_of(Relation rel)
{
	Relation	toast = NULL;
	char	   *files;

	if (OidIsValid(rel->rd_rel->reltoastrelid))
		toast = relation_open(rel->rd_rel->reltoastrelid, AccessShareLock);
	files = psprintf("%u %u %u %u %u", rel->rd_rel->relfilenode, RelationGetNumberOfBlocks(rel),
					 toast ? toast->rd_rel->relfilenode : InvalidOid,
					 toast ? RelationGetNumberOfBlocks(toast) : 0,
					 hash_of_columns(RelationGetDescr(rel)));
	if (toast)
		relation_close(toast, NoLock);
	return files;
}

void
hone_mark(Relation rel, HoneMark *mark)
{
	LOCKTAG		tag;
	VirtualTransactionId *writers;
	int			waited = 0;

	mark->files = files_of(rel);
	mark->lsn = GetXLogInsertRecPtr();
	SET_LOCKTAG_RELATION(tag, MyDatabaseId, RelationGetRelid(rel));
	writers = GetLockConflicts(&tag, ShareLock, NULL);
	for (; VirtualTransactionIdIsValid(*writers); writers++)
	{
		while (!VirtualXactLock(*writers, false))
		{
			if ((waited += WRITERS_POLL_MS) > WRITERS_WAIT_MS)
				ereport(ERROR,
						(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
						 errmsg("a transaction that writes to partition \"%s\" does not end",
								RelationGetRelationName(rel)),
						 errhint("The move is tried again later; pg_stat_activity shows the transactions that are open.")));
			CHECK_FOR_INTERRUPTS();
			pg_usleep(WRITERS_POLL_MS * 1000L);
		}
	}
}

static bool
has_younger_page(Relation rel, XLogRecPtr lsn)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	BufferAccessStrategy strategy = GetAccessStrategy(BAS_BULKREAD);
	bool		younger = false;

	for (BlockNumber block = 0; block < nblocks && !younger; block++)
	{
		Buffer		buffer;

		CHECK_FOR_INTERRUPTS();
		buffer = ReadBufferExtended(rel, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		younger = BufferGetLSNAtomic(buffer) > lsn;
		UnlockReleaseBuffer(buffer);
	}
	FreeAccessStrategy(strategy);
	return younger;
}

bool
hone_unchanged_since(Relation rel, const HoneMark *mark)
{
	bool		younger;

	if (!RelationIsPermanent(rel) || strcmp(files_of(rel), mark->files) != 0)
		return false;
	younger = has_younger_page(rel, mark->lsn);
	if (!younger && OidIsValid(rel->rd_rel->reltoastrelid))
	{
		Relation	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);

		younger = has_younger_page(toast, mark->lsn);
		table_close(toast, NoLock);
	}
	return !younger;
}
