/*-------------------------------------------------------------------------
 *
 * options.h
 *	  Options that all procedures of batches take.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_OPTIONS_H
#define HONE_BATCH_OPTIONS_H

#include "fmgr.h"

#include "common/hone.h"

#define HONE_BATCH_MAX_SIZE	1000000

/* What batch_size => 'auto' aims at, what it begins with, and how far it goes. */
#define HONE_BATCH_AUTO_MS	200
#define HONE_BATCH_AUTO_FIRST	1000
#define HONE_BATCH_AUTO_LEAST	100
#define HONE_BATCH_AUTO_MOST	100000

typedef struct HoneBatchOptions
{
	bool		auto_size;
	int			size;			/* rows, to begin with if auto_size */
	int			pause_ms;		/* 0: none */
	int64		max_runtime_ms; /* -1: none */
	bool		skip_locked;
	int			max_lag_ms;		/* -1: none */
	int			lock_timeout_ms;	/* -1: the session's */
	int			lock_retries;
	bool		dry_run;
	char	   *job;			/* NULL: none */
	bool		resume;			/* the job must be there */
	bool		skip_errors;	/* else stop */
} HoneBatchOptions;

/*
 * Read the options of a procedure: batch_size is argument 'size', the others
 * follow the one behind it. Raises 22023 for what cannot be meant.
 */
extern void hone_batch_read_options(FunctionCallInfo fcinfo, int size,
									HoneBatchOptions *options);

#endif							/* HONE_BATCH_OPTIONS_H */
