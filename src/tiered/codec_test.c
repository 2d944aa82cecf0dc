/*-------------------------------------------------------------------------
 *
 * codec_test.c
 *	  SQL-callable tests of the codec: round trips of a caller's values, and
 *	  fuzzing. They touch no table and are for the test suite only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "common/hone.h"
#include "tiered/codec_fuzz.h"

PG_FUNCTION_INFO_V1(hone_codec_roundtrip);
PG_FUNCTION_INFO_V1(hone_codec_fuzz);

static const HoneBlobName test_name = {"test", 1, "test"};

/*
 * Give every other varlena that is short enough a one-byte header, as values
 * in heap tuples have.
 */
static void
shorten(Datum *values, const bool *isnull, int n)
{
	for (int i = 0; i < n; i++)
	{
		struct varlena *value;

		if (isnull[i])
			continue;
		value = pg_detoast_datum((struct varlena *) DatumGetPointer(values[i]));
		if (i % 2 == 1 && VARATT_CAN_MAKE_SHORT(value))
		{
			Size		size = VARATT_CONVERTED_SHORT_SIZE(value);
			char	   *copy = palloc(size);

			SET_VARSIZE_SHORT(copy, size);
			memcpy(VARDATA_SHORT(copy), VARDATA(value), size - VARHDRSZ_SHORT);
			value = (struct varlena *) copy;
		}
		values[i] = PointerGetDatum(value);
	}
}

static void
fetch_bytes(void *arg, Size offset, Size len, char *to)
{
	memcpy(to, (const char *) arg + offset, len);
}

/* Are the values of this vector those that went in? */
static bool
vector_equal(HoneColumnReader *reader, const HoneColumnShape *shape, int vector,
			 int nrows, const Datum *values, const bool *isnull)
{
	static Datum got[HONE_VECTOR_ROWS];
	static bool gotnull[HONE_VECTOR_ROWS];
	int			first = vector * HONE_VECTOR_ROWS;
	int			n = hone_codec_read(reader, vector, got, gotnull);

	if (n != Min(HONE_VECTOR_ROWS, nrows - first))
		return false;
	for (int i = 0; i < n; i++)
	{
		if (gotnull[i] != isnull[first + i])
			return false;
		if (!gotnull[i] && !datum_image_eq(got[i], values[first + i],
										   shape->typbyval, shape->typlen))
			return false;
		if (!gotnull[i] && shape->typlen == -1 &&
			(!VARATT_IS_4B_U(DatumGetPointer(got[i])) ||
			 DatumGetPointer(got[i]) != (Pointer) MAXALIGN(DatumGetPointer(got[i]))))
			return false;
	}
	return true;
}

/* _codec_roundtrip(anyarray, level) returns rows, raw_bytes, blob_bytes, equal */
Datum
hone_codec_roundtrip(PG_FUNCTION_ARGS)
{
	ArrayType  *array;
	int			level;
	HoneColumnShape shape = {0};
	Datum	   *values;
	bool	   *isnull;
	int			nrows;
	int			nvectors;
	StringInfoData blob;
	HoneColumnReader *reader;
	int64		raw = 0;
	bool		equal = true;
	TupleDesc	desc;
	Datum		result[4];
	bool		nulls[4] = {false};

	hone_require_script();
	array = PG_GETARG_ARRAYTYPE_P(0);
	level = PG_GETARG_INT32(1);
	shape.typid = ARR_ELEMTYPE(array);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	get_typlenbyvalalign(shape.typid, &shape.typlen, &shape.typbyval, &shape.typalign);
	deconstruct_array(array, shape.typid, shape.typlen, shape.typbyval, shape.typalign,
					  &values, &isnull, &nrows);
	if (nrows < 1 || nrows > HONE_BATCH_MAX_ROWS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a batch has 1 to %d rows", HONE_BATCH_MAX_ROWS),
				 errhint("Call hone._codec_roundtrip with a shorter array.")));
	if (shape.typlen == -1)
		shorten(values, isnull, nrows);
	for (int i = 0; i < nrows; i++)
		if (!isnull[i])
			raw += datumGetSize(values[i], shape.typbyval, shape.typlen);

	initStringInfo(&blob);
	hone_codec_encode(&blob, &shape, nrows, values, isnull, level);
	reader = hone_codec_open(&test_name, &shape, nrows, blob.data, blob.len);
	nvectors = (nrows + HONE_VECTOR_ROWS - 1) / HONE_VECTOR_ROWS;
	for (int v = 0; v < nvectors; v++)
		equal &= vector_equal(reader, &shape, v, nrows, values, isnull);
	hone_codec_close(reader);

	reader = hone_codec_open_lazy(&test_name, &shape, nrows, blob.len, fetch_bytes, blob.data);
	for (int i = 0; i < 2 * nvectors; i++)
		equal &= vector_equal(reader, &shape,
							  i < nvectors ? nvectors - 1 - i : i * 7 % nvectors,
							  nrows, values, isnull);
	hone_codec_close(reader);

	result[0] = Int32GetDatum(nrows);
	result[1] = Int64GetDatum(raw);
	result[2] = Int64GetDatum(blob.len);
	result[3] = BoolGetDatum(equal);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), result, nulls)));
}

/*
 * Decode in a subtransaction; true when it was rejected as damaged. Any other
 * error goes on.
 */
static bool
rejected(const HoneFuzzCase *fuzz, const StringInfoData *blob)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	volatile bool damaged = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		hone_codec_fuzz_decode(fuzz, blob);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(caller);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		if (error->sqlerrcode != ERRCODE_DATA_CORRUPTED ||
			strcmp(error->message, HONE_FUZZ_MESSAGE) != 0)
			ReThrowError(error);
		damaged = true;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
	return damaged;
}

/* _codec_fuzz(seed, rounds): how many damaged blobs were rejected */
Datum
hone_codec_fuzz(PG_FUNCTION_ARGS)
{
	uint64		random;
	int			rounds;
	int64		count = 0;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "hone codec fuzz",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext caller = MemoryContextSwitchTo(context);
	HoneFuzzCase *fuzz = NULL;

	hone_require_script();
	random = (uint32) PG_GETARG_INT32(0);
	rounds = PG_GETARG_INT32(1);
	for (int i = 0; i < rounds; i++)
	{
		StringInfoData blob;

		CHECK_FOR_INTERRUPTS();
		if (i % HONE_FUZZ_PER_CASE == 0)
		{
			MemoryContextReset(context);
			fuzz = hone_codec_fuzz_case(&random);
			if (rejected(fuzz, &fuzz->blob))
				elog(ERROR, "an undamaged blob was rejected");
		}
		initStringInfo(&blob);
		hone_codec_fuzz_damage(fuzz, &random, &blob);
		count += rejected(fuzz, &blob);

		resetStringInfo(&blob);
		hone_codec_fuzz_flip(fuzz, &random, &blob);
		if (!rejected(fuzz, &blob))
			elog(ERROR, "a changed bit was not found");
		pfree(blob.data);
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(context);
	PG_RETURN_INT64(count);
}
