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

/* 16 moved queryjumble.h from utils/ to nodes/. */
#if PG_VERSION_NUM >= 160000
#include "nodes/queryjumble.h"
#else
#include "utils/queryjumble.h"
#endif

/* 17 moved the local transaction id of a backend into PGPROC.vxid. */
#if PG_VERSION_NUM >= 170000
#define HONE_MY_LXID	(MyProc->vxid.lxid)
#else
#define HONE_MY_LXID	(MyProc->lxid)
#endif

#endif							/* HONE_COMPAT_H */
