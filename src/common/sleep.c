/*-------------------------------------------------------------------------
 *
 * sleep.c
 *	  Sleeping in a session (sleep.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/latch.h"

#include "common/sleep.h"

#define NAP_MS			(60 * 1000)

int64
hone_sleep(int64 microseconds)
{
	instr_time	began;

	INSTR_TIME_SET_CURRENT(began);
	for (;;)
	{
		instr_time	slept;
		int64		left;

		INSTR_TIME_SET_CURRENT(slept);
		INSTR_TIME_SUBTRACT(slept, began);
		left = microseconds - (int64) INSTR_TIME_GET_MICROSEC(slept);
		CHECK_FOR_INTERRUPTS();
		if (left <= 0)
			return microseconds - left;
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 Min(left / 1000 + 1, NAP_MS), PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
	}
}
