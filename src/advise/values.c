/*-------------------------------------------------------------------------
 *
 * values.c
 *	  Hashes of values, the same however a value comes: bound or written in
 *	  the statement, of a column of this type or of that.
 *
 * Integers of all widths, numerics and floats without a fraction, and text
 * that holds an integer, are hashed as that integer; UUIDs also where they are
 * text. So the key of a loop is found in its parent's rows also when the driver
 * sends it as text, or the two columns have different types. Dates and times
 * are numbers of their own kind.
 *
 * Values are never detoasted. Nothing here throws; the catalogs are asked only
 * for types that are not built in (domains, enums), once per type and session.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "advise/detect.h"

#define HASHED_BYTES	4096	/* of a value, with its length */
#define NAME_BYTES		64
#define INTEGER_DIGITS	18
#define UUID_TEXT		36
#define NUMBER_TEXT		64		/* longest text taken for a number */
#define TYPES			16		/* other than built-in, remembered */

/* Added to numbers that are no integers. */
#define SALT_DATE		UINT64CONST(0x9e3779b97f4a7c15)
#define SALT_TIME		UINT64CONST(0xc2b2ae3d27d4eb4f)
#define SALT_FLOAT		UINT64CONST(0x165667b19e3779f9)

typedef struct BaseType
{
	Oid			type;
	Oid			base;			/* built-in type it is hashed as; 0 = not */
} BaseType;

static BaseType base_types[TYPES];
static int	next_type = 0;
static bool watching_types = false;

static uint32
hash_long(const char *bytes, int len)
{
	uint32		hash = hash_bytes((const unsigned char *) bytes, Min(len, HASHED_BYTES));

	return len > HASHED_BYTES ? hash_combine(hash, (uint32) len) : hash;
}

/* An integer as it is written: no blanks, no plus, no leading zeros. */
static bool
read_integer(const char *text, int len, int64 *number)
{
	int			i = text[0] == '-';
	uint64		value = 0;

	if (len - i < 1 || len - i > INTEGER_DIGITS || (text[i] == '0' && len > 1))
		return false;
	for (; i < len; i++)
	{
		if (text[i] < '0' || text[i] > '9')
			return false;
		value = value * 10 + (text[i] - '0');
	}
	*number = text[0] == '-' ? -(int64) value : (int64) value;
	return true;
}

static inline int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool
read_uuid(const char *text, int len, unsigned char *uuid)
{
	int			digits = 0;

	if (len != UUID_TEXT)
		return false;
	for (int i = 0; i < len; i++)
	{
		int			digit = hex_digit(text[i]);

		if (i == 8 || i == 13 || i == 18 || i == 23)
		{
			if (text[i] != '-')
				return false;
			continue;
		}
		if (digit < 0)
			return false;
		if (digits % 2 == 0)
			uuid[digits / 2] = digit << 4;
		else
			uuid[digits / 2] |= digit;
		digits++;
	}
	return true;
}

/* Length without the zeros that end a decimal fraction, and its point. */
static int
trimmed_decimal(const char *text, int len)
{
	const char *point = memchr(text, '.', len);

	if (point == NULL || len > NUMBER_TEXT)
		return len;
	for (int i = text[0] == '-'; i < len; i++)
	{
		if ((text[i] < '0' || text[i] > '9') && text + i != point)
			return len;
	}
	while (text[len - 1] == '0')
		len--;
	return text[len - 1] == '.' ? len - 1 : len;
}

uint32
hone_value_hash_text(const char *text, int len)
{
	unsigned char uuid[16];
	int64		number;

	if (len == 0)
		return hash_long(text, 0);
	if ((text[0] >= '0' && text[0] <= '9') || text[0] == '-')
	{
		len = trimmed_decimal(text, len);
		if (read_integer(text, len, &number))
			return hone_value_bits((uint64) number);
	}
	if (read_uuid(text, len, uuid))
		return hash_bytes(uuid, sizeof(uuid));
	return hash_long(text, len);
}

/* 'text', doubled quotes inside; false for one that is too long. */
static bool
hash_quoted(const char *text, uint32 *hash)
{
	char		plain[1024];
	int			len = 0;

	for (const char *p = text + 1; *p != '\0'; p++)
	{
		if (*p == '\'' && *++p != '\'')
			break;
		if (len == (int) sizeof(plain))
			return false;
		plain[len++] = *p;
	}
	*hash = hone_value_hash_text(plain, len);
	return true;
}

/* A number or a word; "- 5" is the constant -5. */
static bool
hash_bare(const char *text, uint32 *hash)
{
	char		plain[NUMBER_TEXT];
	int			len = 0;

	if (*text == '-')
	{
		plain[len++] = *text++;
		while (*text == ' ')
			text++;
	}
	while (isalnum((unsigned char) *text) || *text == '.' || *text == '_')
	{
		if (len == (int) sizeof(plain))
			return false;
		plain[len++] = *text++;
	}
	*hash = hone_value_hash_text(plain, len);
	return len > 0;
}

bool
hone_value_hash_constant(const char *text, uint32 *hash)
{
	bool		known;

	if (text[0] == '\'')
		known = hash_quoted(text, hash);
	else if (strchr("EeNn", text[0]) != NULL && text[0] != '\0' && text[1] == '\'')
		known = hash_quoted(text + 1, hash);
	else if (text[0] != '\0' && (text[1] == '\'' || text[1] == '&'))
		known = false;			/* bits, and escapes of their own */
	else
		known = hash_bare(text, hash);
	if (known && *hash == HONE_NO_VALUE)
		*hash = ~HONE_NO_VALUE;
	return known;
}

static void
forget_types(Datum arg, int cache, uint32 hash)
{
	memset(base_types, 0, sizeof(base_types));
}

/* As hash_built_in() has them. */
static bool
is_hashed(Oid type)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case DATEOID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case UUIDOID:
		case INTERVALOID:
		case TIMETZOID:
		case MACADDROID:
		case MACADDR8OID:
		case NAMEOID:
		case UNKNOWNOID:
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case BYTEAOID:
		case NUMERICOID:
		case INETOID:
		case CIDROID:
		case BITOID:
		case VARBITOID:
			return true;
		default:
			return false;
	}
}

static Oid
look_up_base(Oid type)
{
	for (int depth = 0; depth < 8; depth++)
	{
		HeapTuple	tuple;
		Form_pg_type form;
		char		kind;

		if (type < FirstNormalObjectId)
			return is_hashed(type) ? type : InvalidOid;
		tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
		if (!HeapTupleIsValid(tuple))
			return InvalidOid;
		form = (Form_pg_type) GETSTRUCT(tuple);
		kind = form->typtype;
		type = kind == TYPTYPE_DOMAIN ? form->typbasetype :
			kind == TYPTYPE_ENUM ? OIDOID :
			form->typlen == -1 && form->typcategory == TYPCATEGORY_STRING ? TEXTOID : InvalidOid;
		ReleaseSysCache(tuple);
		if (!OidIsValid(type))
			return InvalidOid;
	}
	return InvalidOid;
}

Oid
hone_value_base_type(Oid type)
{
	BaseType   *entry;
	Oid			base;

	if (type < FirstNormalObjectId)
		return is_hashed(type) ? type : InvalidOid;
	for (int i = 0; i < TYPES; i++)
	{
		if (base_types[i].type == type)
			return base_types[i].base;
	}
	if (!watching_types)
	{
		CacheRegisterSyscacheCallback(TYPEOID, forget_types, (Datum) 0);
		watching_types = true;
	}
	base = look_up_base(type);
	entry = &base_types[next_type];
	next_type = (next_type + 1) % TYPES;
	entry->type = type;
	entry->base = base;
	return base;
}

static bool
hash_float(float8 value, uint32 *hash)
{
	uint64		bits;

	if (value == floor(value) && fabs(value) < 1e15)
		*hash = hone_value_bits((uint64) (int64) value);
	else
	{
		memcpy(&bits, &value, sizeof(bits));
		*hash = hone_value_bits(bits + SALT_FLOAT);
	}
	return true;
}

static bool
hash_varlena(Oid type, Datum value, uint32 *hash)
{
	struct varlena *v = (struct varlena *) DatumGetPointer(value);
	char	   *data;
	int			len;

	if (VARATT_IS_EXTERNAL(v) || VARATT_IS_COMPRESSED(v))
		return false;
	if (type == NUMERICOID)
	{
		data = DatumGetCString(DirectFunctionCall1(numeric_out, value));
		*hash = hone_value_hash_text(data, strlen(data));
		pfree(data);
		return true;
	}
	data = VARDATA_ANY(v);
	len = VARSIZE_ANY_EXHDR(v);
	if (type == BPCHAROID)
	{
		while (len > 0 && data[len - 1] == ' ')
			len--;
	}
	*hash = type == BYTEAOID ? hash_long(data, len) : hone_value_hash_text(data, len);
	return true;
}

/* Of a built-in type; false for types and forms that are not looked at. */
static bool
hash_built_in(Oid type, Datum value, uint32 *hash)
{
	const char *bytes;

	switch (type)
	{
		case BOOLOID:
			*hash = hone_value_bits(DatumGetBool(value));
			return true;
		case CHAROID:
			*hash = hone_value_bits((unsigned char) DatumGetChar(value));
			return true;
		case INT2OID:
			*hash = hone_value_bits((uint64) (int64) DatumGetInt16(value));
			return true;
		case INT4OID:
			*hash = hone_value_bits((uint64) (int64) DatumGetInt32(value));
			return true;
		case INT8OID:
			*hash = hone_value_bits((uint64) DatumGetInt64(value));
			return true;
		case OIDOID:
			*hash = hone_value_bits(DatumGetObjectId(value));
			return true;
		case DATEOID:
			*hash = hone_value_bits((uint64) (int64) DatumGetInt32(value) + SALT_DATE);
			return true;
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			*hash = hone_value_bits((uint64) DatumGetInt64(value) + SALT_TIME);
			return true;
		case FLOAT4OID:
			return hash_float(DatumGetFloat4(value), hash);
		case FLOAT8OID:
			return hash_float(DatumGetFloat8(value), hash);
		case UUIDOID:
		case INTERVALOID:
			*hash = hash_bytes((unsigned char *) DatumGetPointer(value), 16);
			return true;
		case TIMETZOID:
			*hash = hash_bytes((unsigned char *) DatumGetPointer(value), 12);
			return true;
		case MACADDROID:
			*hash = hash_bytes((unsigned char *) DatumGetPointer(value), 6);
			return true;
		case MACADDR8OID:
			*hash = hash_bytes((unsigned char *) DatumGetPointer(value), 8);
			return true;
		case NAMEOID:
		case UNKNOWNOID:
			bytes = (const char *) DatumGetPointer(value);
			*hash = hone_value_hash_text(bytes, strnlen(bytes, NAME_BYTES));
			return true;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case BYTEAOID:
		case NUMERICOID:
		case INETOID:
		case CIDROID:
		case BITOID:
		case VARBITOID:
			return hash_varlena(type, value, hash);
		default:
			return false;
	}
}

bool
hone_value_hash(Oid type, Datum value, uint32 *hash)
{
	if (!hash_built_in(hone_value_base_type(type), value, hash))
		return false;
	if (*hash == HONE_NO_VALUE)
		*hash = ~HONE_NO_VALUE;
	return true;
}
