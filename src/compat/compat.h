/*-------------------------------------------------------------------------
 *
 * compat.h
 *	  Every difference between PostgreSQL 15 and 18 that pg_hone meets, one
 *	  block each, saying what changed when. The newest signature is the one
 *	  that the rest of the code uses.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_COMPAT_H
#define HONE_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "pg_hone needs PostgreSQL 15 or later"
#endif

#include "access/tableam.h"
#include "nodes/execnodes.h"
#include "storage/buf.h"
#include "utils/relcache.h"

/* 16 moved queryjumble.h from utils/ to nodes/. */
#if PG_VERSION_NUM >= 160000
#include "nodes/queryjumble.h"
#else
#include "utils/queryjumble.h"
#endif

/* 16 moved the macros for varlenas out of postgres.h. */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 18 moved the functions that write properties, and the state, out of commands/explain.h. */
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

/* 16 has the permissions of a relation apart from its range table entry. */
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#define hone_add_rte_permissions(query, rte) \
	((void) addRTEPermissionInfo(&(query)->rteperminfos, rte))
#else
#define hone_add_rte_permissions(query, rte)	((void) 0)
#endif

/* 18 put the mark of a function that does not return before it. */
#if PG_VERSION_NUM < 180000
#define pg_noreturn	pg_attribute_noreturn()
#endif

/* 16 made the checks of privileges on an object one function. */
#if PG_VERSION_NUM >= 160000
#define hone_may_create_in_tablespace(tablespace, role) \
	(object_aclcheck(TableSpaceRelationId, tablespace, role, ACL_CREATE) == ACLCHECK_OK)
#define hone_may_execute(function, role) \
	(object_aclcheck(ProcedureRelationId, function, role, ACL_EXECUTE) == ACLCHECK_OK)
#else
#define hone_may_execute(function, role) \
	(pg_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK)
#define hone_may_create_in_tablespace(tablespace, role) \
	(pg_tablespace_aclcheck(tablespace, role, ACL_CREATE) == ACLCHECK_OK)
#endif

/*
 * Has column i no nulls for certain? 18 marks it also for a constraint NOT NULL
 * that is not valid.
 */
#if PG_VERSION_NUM >= 180000
#define HONE_IS_NOT_NULL(desc, i) \
	(TupleDescCompactAttr(desc, i)->attnullability == ATTNULLABLE_VALID)
#else
#define HONE_IS_NOT_NULL(desc, i)	(TupleDescAttr(desc, i)->attnotnull)
#endif

/* 16 has system_user: who the client is, whatever role it took. */
#if PG_VERSION_NUM >= 160000
#define HONE_F_SYSTEM_USER		F_SYSTEM_USER
#define hone_compat_system_user()	GetSystemUser()
#else
#define HONE_F_SYSTEM_USER		InvalidOid
#define hone_compat_system_user()	((const char *) NULL)
#endif

/* 17 keeps the rows of a tuplestore in a context that does not round up. */
#define HONE_STORE_ROUNDS_UP	(PG_VERSION_NUM < 170000)

/* 17 moved the local transaction id of a backend into PGPROC.vxid. */
#if PG_VERSION_NUM >= 170000
#define HONE_MY_LXID	(MyProc->vxid.lxid)
#else
#define HONE_MY_LXID	(MyProc->lxid)
#endif

/*
 * 16 made the answer of tuple_update, which indexes need a new entry, an
 * enumeration.
 */
#if PG_VERSION_NUM >= 160000
#define HoneUpdateIndexes	TU_UpdateIndexes
#define HONE_UPDATE_ALL_INDEXES	TU_All
#else
#define HoneUpdateIndexes	bool
#define HONE_UPDATE_ALL_INDEXES	true
#endif

/* 16 made appendBinaryStringInfo take bytes of any type. */
#if PG_VERSION_NUM >= 160000
#define HONE_STRINGINFO_BYTES	const void
#else
#define HONE_STRINGINFO_BYTES	const char
#endif

/* 16 replaced the ownership checks of single object kinds by one. */
#if PG_VERSION_NUM >= 160000
#define HONE_OWNS_RELATION(relid) object_ownercheck(RelationRelationId, relid, GetUserId())
#else
#define HONE_OWNS_RELATION(relid) pg_class_ownercheck(relid, GetUserId())
#endif

/*
 * Add to pg_class.reltuples of a relation just vacuumed.
 * (18 gave vac_update_relstats the number of all-frozen pages.)
 */
extern void hone_compat_add_reltuples(Relation rel, double rows);

/*
 * Index entries for the plain insertion of slot's tuple.
 * (16 added a parameter for summarizing indexes to ExecInsertIndexTuples.)
 */
extern List *hone_compat_insert_index_tuples(ResultRelInfo *info,
											 TupleTableSlot *slot,
											 EState *estate);

/* 16 stores instr_time as nanoseconds; 15 as the system's struct. */
#if PG_VERSION_NUM >= 160000
#define HONE_INSTR_NS(t)	((uint64) INSTR_TIME_GET_NANOSEC(t))
#else
#define HONE_INSTR_NS(t) \
	((uint64) (t).tv_sec * UINT64CONST(1000000000) + (uint64) (t).tv_nsec)
#endif

/* 17 added transaction_timeout to the settings that end a session's work. */
#if PG_VERSION_NUM >= 170000
#define HONE_TIMEOUT_SETTINGS \
	"statement_timeout", "transaction_timeout", \
	"idle_in_transaction_session_timeout"
#else
#define HONE_TIMEOUT_SETTINGS \
	"statement_timeout", "idle_in_transaction_session_timeout"
#endif

/* 17 numbers backends by their place in the array, no longer in each PGPROC. */
#if PG_VERSION_NUM >= 170000
#define HONE_MY_PROC_INDEX	(MyProcNumber)
#define HONE_PROC_INDEX(process)	GetNumberFromPGProc(process)
#else
#define HONE_MY_PROC_INDEX	(MyProc->pgprocno)
#define HONE_PROC_INDEX(process)	((process)->pgprocno)
#endif

/* 17 split the block timings of BufferUsage into shared and local. */
#if PG_VERSION_NUM >= 170000
#define HONE_BLK_READ_TIME(usage)	((usage)->shared_blk_read_time)
#define HONE_BLK_WRITE_TIME(usage)	((usage)->shared_blk_write_time)
#else
#define HONE_BLK_READ_TIME(usage)	((usage)->blk_read_time)
#define HONE_BLK_WRITE_TIME(usage)	((usage)->blk_write_time)
#endif

/* 18 can log who does not get a tuple lock. */
#if PG_VERSION_NUM >= 180000
#define HONE_CONDITIONAL_LOCK_TUPLE(rel, tid, mode)	ConditionalLockTuple(rel, tid, mode, false)
#define HONE_CONDITIONAL_XACT_WAIT(xid)	ConditionalXactLockTableWait(xid, false)
#else
#define HONE_CONDITIONAL_LOCK_TUPLE(rel, tid, mode)	ConditionalLockTuple(rel, tid, mode)
#define HONE_CONDITIONAL_XACT_WAIT(xid)	ConditionalXactLockTableWait(xid)
#endif

/*
 * When a table or index was scanned last: 16 notes it. False where that is not
 * known, or it never was.
 */
extern bool hone_compat_last_scan(Oid relid, TimestampTz *at);

/* 18 lets index scans count for EXPLAIN. */
#if PG_VERSION_NUM >= 180000
#define HONE_INDEX_BEGINSCAN(heap, index, snapshot, nkeys, norderbys) \
	index_beginscan(heap, index, snapshot, NULL, nkeys, norderbys)
#else
#define HONE_INDEX_BEGINSCAN(heap, index, snapshot, nkeys, norderbys) \
	index_beginscan(heap, index, snapshot, nkeys, norderbys)
#endif

/* 18 gave RETURNING a node with options. */
#if PG_VERSION_NUM >= 180000
#define HONE_UPDATE_RETURNS(update)	((update)->returningClause != NULL)
#else
#define HONE_UPDATE_RETURNS(update)	((update)->returningList != NIL)
#endif

/* 17 renamed the class of waits for buffer pins. */
#if PG_VERSION_NUM >= 170000
#define HONE_WAIT_CLASS_BUFFER_PIN	PG_WAIT_BUFFERPIN
#else
#define HONE_WAIT_CLASS_BUFFER_PIN	PG_WAIT_BUFFER_PIN
#endif

/* 18 dropped execute_once from ExecutorRun. */
#if PG_VERSION_NUM >= 180000
#define HONE_EXECUTOR_RUN_ARGS \
	QueryDesc *query_desc, ScanDirection direction, uint64 count
#define HONE_EXECUTOR_RUN_PASS	query_desc, direction, count
#else
#define HONE_EXECUTOR_RUN_ARGS \
	QueryDesc *query_desc, ScanDirection direction, uint64 count, \
	bool execute_once
#define HONE_EXECUTOR_RUN_PASS	query_desc, direction, count, execute_once
#endif

/* 18 dropped run_once from PortalRun. */
#if PG_VERSION_NUM >= 180000
#define HONE_PORTAL_RUN(portal, dest, completion) \
	PortalRun(portal, FETCH_ALL, true, dest, dest, completion)
#else
#define HONE_PORTAL_RUN(portal, dest, completion) \
	PortalRun(portal, FETCH_ALL, true, true, dest, dest, completion)
#endif

/*
 * 18 computes the query identifier of the query in DECLARE CURSOR; 16 dropped
 * the text from JumbleQuery().
 */
#if PG_VERSION_NUM >= 180000
#define HONE_JUMBLE_INNER(query, text)	((JumbleState *) NULL)
#elif PG_VERSION_NUM >= 160000
#define HONE_JUMBLE_INNER(query, text)	JumbleQuery(query)
#else
#define HONE_JUMBLE_INNER(query, text)	JumbleQuery(query, text)
#endif

/*
 * 16 computes the query identifier of a utility statement from its parse tree,
 * so that comments do not count; before, from its text.
 */
#if PG_VERSION_NUM >= 160000
#define HONE_UTILITY_HASHES_TEXT	false
#else
#define HONE_UTILITY_HASHES_TEXT	true
#endif

/* The identifier from a parse tree; 0 before 16. Calls palloc. */
extern uint64 hone_compat_jumble_utility(Node *statement);

/*
 * 18 made the query identifier of a Query or PlannedStmt signed: negative for
 * every other one.
 */
#define HONE_QUERYID(node)	((uint64) (node)->queryId)

/*
 * 18 records one place for a whole list of constants or parameters, and also
 * the places of parameters, which are to be replaced only where a text has
 * such lists (all of them are then numbered anew).
 */
#if PG_VERSION_NUM >= 180000
#define HONE_CONSTANT_SQUASHED(place)	((place)->squashed)
#define HONE_CONSTANT_IS_PARAM(place)	((place)->extern_param)
#define HONE_PARAMS_RENUMBERED(jstate)	((jstate)->has_squashed_lists)
#else
#define HONE_CONSTANT_SQUASHED(place)	false
#define HONE_CONSTANT_IS_PARAM(place)	false
#define HONE_PARAMS_RENUMBERED(jstate)	false
#endif

/*
 * 18 counts the nodes of a path that settings such as enable_seqscan turn off;
 * before, such a node costs very much.
 */
#if PG_VERSION_NUM >= 180000
#define HONE_DISABLE_PATH(path)	((path)->disabled_nodes++)
#define HONE_INHERIT_DISABLED(path, child) \
	((path)->disabled_nodes = (child)->disabled_nodes)
#else
#define HONE_DISABLE_PATH(path) \
	((path)->startup_cost += disable_cost, (path)->total_cost += disable_cost)
#define HONE_INHERIT_DISABLED(path, child)	((void) 0)
#endif

/*
 * 18 lets the columns of a query with GROUP BY name the groups; this puts what
 * they are grouped by in the place of these names, and counts the entries of the
 * range table without that of the groups.
 */
#if PG_VERSION_NUM >= 180000
#include "optimizer/optimizer.h"
#define HONE_FLATTEN_GROUPS(query, node) \
	((query)->hasGroupRTE ? flatten_group_exprs(NULL, (query), (Node *) (node)) : (Node *) (node))
#define HONE_PLAIN_ENTRIES(query) \
	(list_length((query)->rtable) - ((query)->hasGroupRTE ? 1 : 0))
#else
#define HONE_FLATTEN_GROUPS(query, node)	((Node *) (node))
#define HONE_PLAIN_ENTRIES(query)	list_length((query)->rtable)
#endif

/* 18 gives and takes a CompareType where it was a btree strategy before. */
#if PG_VERSION_NUM >= 180000
#define HONE_ORDERING_TYPE	CompareType
#define HONE_ORDERING_DESCENDS(type)	((type) == COMPARE_GT)
#define HONE_SET_ROW_COMPARE(row, less) \
	((row)->cmptype = (less) ? COMPARE_LT : COMPARE_GT)
#else
#define HONE_ORDERING_TYPE	int16
#define HONE_ORDERING_DESCENDS(type)	((type) == BTGreaterStrategyNumber)
#define HONE_SET_ROW_COMPARE(row, less) \
	((row)->rctype = (less) ? ROWCOMPARE_LT : ROWCOMPARE_GT)
#endif

/*
 * 17 made ANALYZE hand a stream of the blocks of its sample to the access
 * method, which takes the next block from it (or InvalidBlockNumber: there is
 * none) and reads it itself; before, it was called once for each block.
 * PARAMS: how the callback is declared after its scan; PASS: the same to hand
 * on to another one.
 */
#if PG_VERSION_NUM >= 170000
#include "storage/read_stream.h"
#define HONE_ANALYZE_BLOCK_PARAMS	ReadStream *stream
#define HONE_ANALYZE_BLOCK_PASS		stream
#define HONE_ANALYZE_TAKE_BLOCK(strategy) \
	read_stream_next_block(stream, (strategy))
#else
#define HONE_ANALYZE_BLOCK_PARAMS \
	BlockNumber sample_block, BufferAccessStrategy sample_strategy
#define HONE_ANALYZE_BLOCK_PASS		sample_block, sample_strategy
#define HONE_ANALYZE_TAKE_BLOCK(strategy) \
	(*(strategy) = sample_strategy, sample_block)
#endif

/*
 * Make this block of a heap scan of ANALYZE the current one, as heap's own
 * callback does: pinned and locked, until no tuple is left in it.
 */
extern void hone_compat_analyze_heap_block(TableScanDesc scan, BlockNumber block,
										   BufferAccessStrategy strategy);

/*
 * Holds a NOT NULL constraint of all rows, of heirs too? (18 has constraints
 * that were not validated; 18 gave them entries in pg_constraint.)
 */
extern bool hone_compat_not_null_is_valid(Oid relid, AttrNumber attnum);

/*
 * 16 renamed what names the files of a relation, and its parts: LOCATOR of a
 * relation, its FILE_NUMBER, what a record of a truncation names.
 */
#if PG_VERSION_NUM >= 160000
#include "storage/relfilelocator.h"
#define HONE_LOCATOR(rel)	((rel)->rd_locator)
#define HONE_FILE_NUMBER(locator)	((locator)->relNumber)
#define HONE_TRUNCATED_LOCATOR(record)	(&(record)->rlocator)
#else
#include "storage/relfilenode.h"
#define RelFileLocator	RelFileNode
#define RelFileLocatorEquals(a, b)	RelFileNodeEquals(a, b)
#define RelationAssumeNewRelfilelocator(rel)	RelationAssumeNewRelfilenode(rel)
#define HONE_LOCATOR(rel)	((rel)->rd_node)
#define HONE_FILE_NUMBER(locator)	((locator)->relNode)
#define HONE_TRUNCATED_LOCATOR(record)	(&(record)->rnode)
#endif

/* Files for rel in another tablespace, with a number that no others have. */
extern RelFileLocator hone_compat_new_locator(Relation rel, Oid tablespace);

/* 17 numbers backends from 0, and renamed the number that none has. */
#if PG_VERSION_NUM < 170000
#define INVALID_PROC_NUMBER	InvalidBackendId
#endif

/* 16 wants pages in memory that can be read and written without the cache. */
#if PG_VERSION_NUM < 160000
#define PG_IO_ALIGN_SIZE	4096
#endif

/* In files that only the server that wrote them may read: its major version. */
#define HONE_SERVER_VERSION		(PG_VERSION_NUM / 10000)

/*
 * As in libpq/auth.h, which needs the headers of Kerberos where the server was
 * built with it; they need not be installed.
 */
struct Port;
typedef void (*HoneClientAuthenticationHook) (struct Port *port, int status);
extern PGDLLIMPORT HoneClientAuthenticationHook ClientAuthentication_hook;

/*
 * Let the system forget what it keeps of an open file, where it can be asked,
 * so that the next read comes from the disk. (POSIX; PostgreSQL has no
 * function for it.)
 */
extern void hone_compat_forget_pages(int fd);

/* All settings. (16 gave get_guc_variables an argument.) */
struct config_generic;
extern struct config_generic **hone_compat_settings(int *count);

/*
 * From now on nobody can set or reset this setting in this process. (15 has no
 * function that finds it.)
 */
extern void hone_compat_freeze_setting(const char *name);

/*
 * Raise an error unless the role may do what one level of a query does with its
 * relations. (16 has their permissions apart from the range table.)
 */
extern void hone_compat_check_permissions(Query *query);

/*
 * Plan a query and print its plan, as EXPLAIN does where no hook is. (17 has
 * it as a function.)
 */
struct ExplainState;
extern void hone_compat_explain_one_query(Query *query, int cursor_options,
										  IntoClause *into, struct ExplainState *es,
										  const char *text, ParamListInfo params,
										  QueryEnvironment *environment);

/* 16 explains statements with parameters of unknown values. */
#if PG_VERSION_NUM >= 160000
#define HONE_EXPLAIN_GENERIC	"(GENERIC_PLAN) "
#else
#define HONE_EXPLAIN_GENERIC	""
#endif

/* The server's version, as SHOW prints it. */
extern const char *hone_compat_server_version(void);

#endif							/* HONE_COMPAT_H */
