/*-------------------------------------------------------------------------
 *
 * savefile.h
 *	  Files that keep shared memory over a restart.
 *
 * Written under another name, flushed, and renamed; closed by the CRC-32C of
 * all before it, which is checked before anything is read. A file that cannot
 * be read is put aside, never in the way of a start.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_SAVEFILE_H
#define HONE_SAVEFILE_H

#include "port/pg_crc32c.h"

#include "common/hone.h"

typedef struct HoneSaveFile
{
	const char *path;
	FILE	   *file;
	pg_crc32c	crc;
	bool		failed;			/* set by what goes wrong; the rest does
								 * nothing */
} HoneSaveFile;

/* Writes what is to be kept. May throw for lack of memory. */
typedef void (*HoneSaveWriter) (HoneSaveFile *out, void *arg);

/*
 * Reads what was kept, from the start of a file whose checksum is right. What
 * is wrong with it, or NULL.
 */
typedef const char *(*HoneSaveReader) (HoneSaveFile *in);

extern void hone_save_bytes(HoneSaveFile *out, const void *bytes, Size size);

/* False at the end and after failures. */
extern bool hone_save_get(HoneSaveFile *in, void *bytes, Size size);

/*
 * Write a file; 'what' names its contents in messages. What goes wrong is a LOG
 * message, and false. Throws only what 'writer' does.
 */
extern bool hone_save_file(const char *path, const char *what,
						   HoneSaveWriter writer, void *arg);

/*
 * Read a file. False when there is none, or with a WARNING when it was put
 * aside. Does not throw.
 */
extern bool hone_load_file(const char *path, const char *what,
						   HoneSaveReader reader);

/*
 * What else is to be saved when the statistics are, every
 * hone.history_interval. Called from an area's init only. Savers may throw for
 * lack of memory.
 */
extern void hone_saver_register(void (*saver) (void));
extern void hone_savers_run(void);

/* Has the server been shut down in order, as the control file knows? */
extern bool hone_was_shut_down(void);

#endif							/* HONE_SAVEFILE_H */
