/*-------------------------------------------------------------------------
 *
 * rewrite.h
 *	  Statements as trees, for making fixes: sample text -> Query -> changed
 *	  Query -> text that PREPAREs.
 *
 * All of these may throw; recommend.c calls them inside a subtransaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_REWRITE_H
#define HONE_REWRITE_H

#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "storage/lockdefs.h"

#include "advise/finding.h"

/* Parameter numbers from here on stand for the variables of a function. */
#define HONE_REWRITE_VARIABLES	10000

/* Values of a write of one row that can be made arrays, and one more. */
#define HONE_REWRITE_PARAMS		128

/*
 * The SELECT of a raw statement, also inside PREPARE, DECLARE CURSOR, EXPLAIN
 * or COPY; NULL if it is none. Does not throw.
 */
extern SelectStmt *hone_rewrite_select(Node *statement);

/*
 * Has the list of that SELECT a star (of a set operation, the first's)? The
 * first does not throw.
 */
extern bool hone_rewrite_has_star(Node *statement);
extern bool hone_rewrite_sample_has_star(const HoneSample *sample);

/* Lock a relation; throws ERRCODE_LOCK_NOT_AVAILABLE if it is not free. */
extern void hone_rewrite_lock(Oid relid, LOCKMODE mode);

/*
 * Parse and analyse a sample as its session did: tables without a schema are
 * those the sample was seen to use, and other names are looked up under the
 * search_path it ran with, which stays set to the end of the subtransaction. Takes
 * the statement's relation locks, without waiting for them; throws
 * ERRCODE_LOCK_NOT_AVAILABLE if one is not free, and
 * ERRCODE_FEATURE_NOT_SUPPORTED for what is not one complete SELECT.
 */
extern Query *hone_rewrite_parse(const HoneSample *sample);

/* The text that it parses, of which its places are. Throws where it was cut. */
extern const char *hone_rewrite_text(const HoneSample *sample);

/* The same of an INSERT, UPDATE or DELETE. */
extern Query *hone_rewrite_parse_write(const HoneSample *sample);

/* Highest parameter number that occurs in the query, 0 if none. */
extern int	hone_rewrite_max_param(Query *query);

/* A parameter of this type. */
extern Param *hone_rewrite_param(int id, Oid type, Oid collation);

/*
 * Text of the query: names qualified, parameters renumbered from $1 without
 * gaps in their order and written with their types. mask: constants become
 * parameters too, numbered after the others. If 'number' is not NULL, *number
 * is the new number of parameter *number.
 */
extern char *hone_rewrite_deparse(Query *query, bool mask, int *number);

/* The same for n of them. */
extern char *hone_rewrite_deparse_numbers(Query *query, bool mask,
										  int *numbers, int n);

/* Throws unless the text would PREPARE without declared types. */
extern void hone_rewrite_check(const char *text);

/*
 * The text without comments; with 'mask' its constants as $n, numbered after
 * the parameters it has. Throws if the text ends inside a quoted token.
 */
extern char *hone_rewrite_plain(const char *text, bool mask);

/* Highest $n of a text, 0 if there is none. Throws as hone_rewrite_plain. */
extern int	hone_rewrite_last_param(const char *text);

/* The text with its parameters numbered without gaps, in the same order. */
extern char *hone_rewrite_renumber(const char *text);

/* Where a word is that is in no parentheses; -1 if it is not. */
extern int	hone_rewrite_find_word(const char *text, const char *word);

/*
 * Where the parenthesis is closed that opens first after 'from', and where that
 * is; -1 if there is none.
 */
extern int	hone_rewrite_find_closing(const char *text, int from, int *opening);

/* 'name', longer where it is in the text already. */
extern const char *hone_rewrite_free_name(const char *text, const char *name);

/*
 * Text of a write of one row, for many: an array for each of its values. Throws
 * ERRCODE_FEATURE_NOT_SUPPORTED where the form of the statement does not allow it.
 */
extern char *hone_rewrite_many_rows(Query *query);

/* The text with parameter $number replaced by 'replacement'. */
extern char *hone_rewrite_replace_param(const char *text, int number,
										const char *replacement);

#endif							/* HONE_REWRITE_H */
