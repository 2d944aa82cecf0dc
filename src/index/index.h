/*-------------------------------------------------------------------------
 *
 * index.h
 *	  What pg_hone.c sees of index/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_INDEX_H
#define HONE_INDEX_H

extern void hone_index_init(void);

#endif							/* HONE_INDEX_H */
