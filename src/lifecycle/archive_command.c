/*-------------------------------------------------------------------------
 *
 * archive_command.c
 *	  Commands of the administrator that store and fetch archives.
 *
 * PostgreSQL's archiver waits in system(), which does not look at interrupts:
 * a session would ignore a cancel request until the command ends by itself.
 * So the shell is started here and looked after. It belongs to the session's
 * process group, as with PostgreSQL's own commands: signals that the postmaster
 * or pg_cancel_backend send reach it too, and an immediate shutdown ends it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"

#include "lifecycle/archive_command.h"

#define SHELL			"/bin/sh"

/* Milliseconds: between two looks at it, and from SIGTERM to SIGKILL. */
#define FIRST_LOOK		1
#define LONGEST_LOOK	100
#define PATIENCE		3000

extern char **environ;

const char *
hone_archive_command_problem(const char *command)
{
	bool		path = false;

	for (const char *p = command; *p != '\0'; p++)
	{
		if (*p != '%')
			continue;
		p++;
		if (*p == 'p')
			path = true;
		else if (*p == '\0')
			return "it ends with a lone \"%\"";
		else if (*p != 'f' && *p != '%')
			return "it has a placeholder other than %p, %f and %%";
	}
	return path || command[0] == '\0' ? NULL : "it has no %p, the path of the file";
}

static char *
fill_in(const char *command, const char *path, const char *name)
{
	StringInfoData filled;

	initStringInfo(&filled);
	for (const char *p = command; *p != '\0'; p++)
	{
		if (*p != '%' || p[1] == '\0')
		{
			appendStringInfoChar(&filled, *p);
			continue;
		}
		p++;
		if (*p == 'p')
			appendStringInfoString(&filled, path);
		else if (*p == 'f')
			appendStringInfoString(&filled, name);
		else
			appendStringInfoChar(&filled, *p);
	}
	return filled.data;
}

/*
 * With the signals as a program expects them, none blocked.
 */
static pid_t
start_shell(const char *what, char *command)
{
	char	   *arguments[] = {"sh", "-c", command, NULL};
	posix_spawnattr_t attributes;
	sigset_t	signals;
	pid_t		shell;
	int			problem;

	fflush(NULL);
	problem = posix_spawnattr_init(&attributes);
	if (problem == 0)
	{
		sigemptyset(&signals);
		posix_spawnattr_setsigmask(&attributes, &signals);
		sigaddset(&signals, SIGPIPE);
		sigaddset(&signals, SIGHUP);
		sigaddset(&signals, SIGUSR2);
		posix_spawnattr_setsigdefault(&attributes, &signals);
		posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
		problem = posix_spawn(&shell, SHELL, NULL, &attributes, arguments, environ);
		posix_spawnattr_destroy(&attributes);
	}
	if (problem != 0)
	{
		errno = problem;
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("could not start the %s: %m", what)));
	}
	return shell;
}

/* Has it ended? Its status then. */
static bool
has_ended(pid_t shell, int *status)
{
	pid_t		ended = waitpid(shell, status, WNOHANG);

	if (ended < 0 && errno != EINTR)
		ereport(ERROR,
				(errcode(ERRCODE_SYSTEM_ERROR),
				 errmsg("could not wait for a command: %m")));
	return ended == shell;
}

static void
end_shell(pid_t shell)
{
	int			status;

	kill(shell, SIGTERM);
	for (int waited = 0; waited < PATIENCE; waited += 10)
	{
		if (has_ended(shell, &status))
			return;
		pg_usleep(10 * 1000);
	}
	kill(shell, SIGKILL);
	while (waitpid(shell, &status, 0) < 0 && errno == EINTR)
		 /* again */ ;
}

/* Is what came in a reason to end now? */
static bool
is_interrupted(void)
{
	return InterruptPending && INTERRUPTS_CAN_BE_PROCESSED() &&
		(ProcDiePending || QueryCancelPending);
}

static int
wait_for(pid_t shell)
{
	long		pause = FIRST_LOOK;
	int			status;

	while (!has_ended(shell, &status))
	{
		if (is_interrupted())
		{
			end_shell(shell);
			CHECK_FOR_INTERRUPTS();
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 pause, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		pause = Min(pause * 2, LONGEST_LOOK);
	}
	/* the same signal may have ended it */
	CHECK_FOR_INTERRUPTS();
	return status;
}

void
hone_archive_run_command(const char *what, const char *command,
						 const char *path, const char *name)
{
	char	   *filled = fill_in(command, path, name);
	int			status = wait_for(start_shell(what, filled));

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
	{
		pfree(filled);
		return;
	}
	if (WIFSIGNALED(status))
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
				 errmsg("%s was terminated by signal %d: %s, for file \"%s\"", what,
						WTERMSIG(status), pg_strsignal(WTERMSIG(status)), name),
				 errdetail_log("The command was: %s", filled)));
	ereport(ERROR,
			(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION),
			 errmsg("%s failed with exit code %d for file \"%s\"", what,
					WIFEXITED(status) ? WEXITSTATUS(status) : -1, name),
			 errdetail_log("The command was: %s", filled)));
}
