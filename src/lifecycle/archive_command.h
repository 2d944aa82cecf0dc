/*-------------------------------------------------------------------------
 *
 * archive_command.h
 *	  Commands of the administrator that store and fetch archives.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_ARCHIVE_COMMAND_H
#define HONE_LIFECYCLE_ARCHIVE_COMMAND_H

#include "common/hone.h"

/*
 * Run a command with the shell, %p replaced by path, %f by name. Raises 38000
 * unless it ends with exit code 0, naming 'what' ("archive command") and the
 * file; the command itself stands in the server's log only. Can be cancelled:
 * the command is told to end, and killed when it does not within seconds.
 */
extern void hone_archive_run_command(const char *what, const char *command,
									 const char *path, const char *name);

/* What is wrong with the placeholders of a command, or NULL. */
extern const char *hone_archive_command_problem(const char *command);

#endif							/* HONE_LIFECYCLE_ARCHIVE_COMMAND_H */
