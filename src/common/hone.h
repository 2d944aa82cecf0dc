/*-------------------------------------------------------------------------
 *
 * hone.h
 *	  Names and small helpers that every area uses.
 *
 * Lowest rung of the include ladder: includes no other header of pg_hone
 * but compat/compat.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_H
#define HONE_H

#include "nodes/pg_list.h"
#include "utils/guc.h"

#include "compat/compat.h"

#define HONE_EXTENSION	"pg_hone"
#define HONE_SCHEMA		"hone"
#define HONE_LIBRARY	"pg_hone"

/* True when the library was loaded through shared_preload_libraries. */
extern bool hone_preloaded;

/*
 * Raise ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, naming 'what' and the line
 * for postgresql.conf, unless the library is preloaded.
 */
extern void hone_require_preload(const char *what);

/*
 * Context of a setting that takes effect when the server starts. In a library
 * loaded later it has none, but must be known: a value in postgresql.conf
 * would be met with a warning in each session.
 */
extern GucContext hone_server_start_context(void);

/*
 * Raise ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, with the commands that mend
 * it, unless this database's SQL objects were made by the library's own
 * install script (script.c). First statement of each SQL-callable function,
 * before it reads an argument; test/check/source.sh lists the exceptions.
 */
extern void hone_require_script(void);

/* The library's version. */
extern const char *hone_library_version(void);

/* OID of the installed extension in this database, or InvalidOid. */
extern Oid	hone_extension_oid(void);

/* hone.lock_timeout, which lifecycle/ defines, or its default. */
extern int	hone_lock_timeout_ms(void);

/*
 * Keep DROP EXTENSION from coming before the end of this transaction, at most
 * for lock_timeout; false: the extension is not here (any more).
 */
extern bool hone_hold_extension(void);

/* OID of the extension's schema in this database, or InvalidOid. */
extern Oid	hone_schema_oid(void);

/* Is the relation one of pg_hone's own, a member of the extension? */
extern bool hone_is_own_relation(Oid relid, Oid namespace);

/* OID of the relation 'name' in schema hone, or InvalidOid. */
extern Oid	hone_relation_oid(const char *name);

/* Owner of a relation, or InvalidOid if it is gone. */
extern Oid	hone_relation_owner(Oid relid);

/* Raise ERRCODE_UNDEFINED_TABLE: there is no such relation any more. */
extern void hone_report_missing(Oid relid);

/* Plain name of a relation; that error if it is gone. */
extern char *hone_require_relation(Oid relid);

/* Quoted, schema-qualified name of a relation, or NULL if it is gone. */
extern char *hone_qualified_name(Oid relid);

/* Is the name in a list of names? */
extern bool hone_has_name(List *names, const char *name);

/* The collation's name with its schema, quoted. */
extern char *hone_collation_text(Oid collation);

/* OPERATOR(schema.name): the operator, whatever search_path is. */
extern char *hone_operator_text(Oid opno);

/*
 * Until AtEOXact_GUC() leaves the level that is returned, values have texts that
 * do not depend on the session's settings (as postgres_fdw does): with utc also
 * not on its TimeZone, which texts of times name else.
 */
extern int	hone_plain_texts(bool utc);

#endif							/* HONE_H */
