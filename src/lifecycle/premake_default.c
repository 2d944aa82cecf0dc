/*-------------------------------------------------------------------------
 *
 * premake_default.c
 *	  A default partition, which must have no rows of the new partition's range.
 *
 * ATTACH scans it for them while nobody can use it. One query looks beforehand,
 * without a lock that stops anybody, so that the scan is not begun in vain; and
 * a large default partition gets a CHECK constraint that excludes the range,
 * which is validated under a lock that stops nobody, and spares the scan. Until
 * the new partition is there, a row of its range is an error then instead of a
 * row in the default partition, where it would keep it from being made.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_constraint.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "lifecycle/premake.h"

#define CONSTRAINT	"pg_hone_premake"

/* Bytes that are scanned in a few milliseconds. */
#define LARGE_DEFAULT	"8388608"

/* Run a command or a query that answers with one boolean. */
static bool
run(const char *sql)
{
	bool		answer = false;
	int			result = SPI_execute(sql, false, 1);

	if (result < 0)
		elog(ERROR, "\"%s\" failed: %s", sql, SPI_result_code_string(result));
	if (result == SPI_OK_SELECT)
	{
		bool		isnull;

		answer = SPI_processed > 0 &&
			DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull)) && !isnull;
		SPI_freetuptable(SPI_tuptable);
	}
	return answer;
}

/* Literals of the key's type. */
static char *
literal(const HonePremakePlan *plan, const char *key)
{
	return psprintf("%s::%s", quote_literal_cstr(key), format_type_be_qualified(plan->type));
}

void
hone_premake_check_default(const HonePremakePlan *plan, const HonePremakeRange *range)
{
	char	   *name = hone_qualified_name(plan->default_partition);
	const char *key = quote_identifier(plan->key);

	if (name == NULL)
		return;
	if (run(psprintf("SELECT EXISTS (SELECT FROM %s WHERE %s >= %s AND %s < %s)",
					 name, key, literal(plan, range->start_key), key, literal(plan, range->end_key))))
		ereport(ERROR,
				(errcode(ERRCODE_CHECK_VIOLATION),
				 errmsg("the default partition holds rows of the range")));
}

bool
hone_premake_default_is_large(const HonePremakePlan *plan)
{
	return run(psprintf("SELECT sum(pg_relation_size(relid)) > " LARGE_DEFAULT " FROM pg_partition_tree(%u)",
						plan->default_partition));
}

bool
hone_premake_is_prepared(const HonePremakePlan *plan)
{
	return OidIsValid(plan->default_partition) &&
		OidIsValid(get_relation_constraint_oid(plan->default_partition, CONSTRAINT, true));
}

void
hone_premake_prepare(const HonePremakePlan *plan, const HonePremakeRange *range)
{
	const char *key = quote_identifier(plan->key);

	run(psprintf("ALTER TABLE %s ADD CONSTRAINT " CONSTRAINT " CHECK (%s IS NULL"
				 " OR %s < %s OR %s >= %s) NOT VALID",
				 hone_qualified_name(plan->default_partition), key,
				 key, literal(plan, range->start_key), key, literal(plan, range->end_key)));
}

void
hone_premake_validate(const HonePremakePlan *plan)
{
	run(psprintf("ALTER TABLE %s VALIDATE CONSTRAINT " CONSTRAINT, hone_qualified_name(plan->default_partition)));
}

void
hone_premake_clean(const HonePremakePlan *plan)
{
	char	   *name = hone_qualified_name(plan->default_partition);

	if (name != NULL)
		run(psprintf("ALTER TABLE %s DROP CONSTRAINT IF EXISTS " CONSTRAINT, name));
}
