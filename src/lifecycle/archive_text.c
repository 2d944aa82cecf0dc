/*-------------------------------------------------------------------------
 *
 * archive_text.c
 *	  Rows as COPY writes them, and the settings that make their text exact.
 *
 * COPY ... TO can hand its rows to a callback from PostgreSQL 16 on only, so
 * they are formatted here: the types' output functions, and COPY's escapes.
 * Common types are printed without a call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "lifecycle/archive_text.h"

#define ROW_CONTEXT_KEEPS	(64 * 1024)

typedef enum TextKind
{
	TEXT_BY_FUNCTION,
	TEXT_INT2,
	TEXT_INT4,
	TEXT_INT8,
	TEXT_BOOL,
	TEXT_BYTES					/* text, varchar, bpchar: what is stored */
} TextKind;

typedef struct TextColumn
{
	int			index;			/* in the slot */
	TextKind	kind;
	FmgrInfo	output;
} TextColumn;

struct HoneArchiveText
{
	MemoryContext row_context;
	int			count;
	TextColumn	columns[FLEXIBLE_ARRAY_MEMBER];
};

const HoneArchiveSetting hone_archive_settings[] = {
	{"DateStyle", "ISO, YMD"},
	{"IntervalStyle", "postgres"},
	{"TimeZone", "UTC"},
	{"extra_float_digits", "3"},
	{"bytea_output", "hex"},
	{"xmloption", "content"},
	{"array_nulls", "on"},
	{"quote_all_identifiers", "off"},
	{"search_path", "pg_catalog, pg_temp"},
	{NULL, NULL}
};

static void
pin(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

int
hone_archive_pin_settings(const char *lc_monetary)
{
	int			level = NewGUCNestLevel();

	for (const HoneArchiveSetting *s = hone_archive_settings; s->name; s++)
		pin(s->name, s->value);
	pin("lc_monetary", lc_monetary);
	return level;
}

bool
hone_archive_has_column(Form_pg_attribute column)
{
	return !column->attisdropped && column->attgenerated == '\0';
}

static TextKind
kind_of(Oid type)
{
	switch (getBaseType(type))
	{
		case INT2OID:
			return TEXT_INT2;
		case INT4OID:
			return TEXT_INT4;
		case INT8OID:
			return TEXT_INT8;
		case BOOLOID:
			return TEXT_BOOL;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return TEXT_BYTES;
		default:
			return TEXT_BY_FUNCTION;
	}
}

HoneArchiveText *
hone_archive_text_begin(TupleDesc desc)
{
	HoneArchiveText *text = palloc0(offsetof(HoneArchiveText, columns) +
									desc->natts * sizeof(TextColumn));

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		TextColumn *column;
		Oid			function;
		bool varlena;

		if (!hone_archive_has_column(attribute))
			continue;
		column = &text->columns[text->count++];
		column->index = i;
		column->kind = kind_of(attribute->atttypid);
		getTypeOutputInfo(attribute->atttypid, &function, &varlena);
		fmgr_info(function, &column->output);
	}
	text->row_context = AllocSetContextCreate(CurrentMemoryContext,
											  "pg_hone archived row",
											  0, ROW_CONTEXT_KEEPS, ALLOCSET_DEFAULT_MAXSIZE);
	return text;
}

/* The letter after the backslash, or 0 where the byte stands for itself. */
static inline char
escape_of(char byte)
{
	switch (byte)
	{
		case '\b':
			return 'b';
		case '\f':
			return 'f';
		case '\n':
			return 'n';
		case '\r':
			return 'r';
		case '\t':
			return 't';
		case '\v':
			return 'v';
		case '\\':
			return '\\';
		default:
			return '\0';
	}
}

/*
 * In server encodings no byte of a longer character looks like ASCII.
 */
static void
append_escaped(StringInfo out, const char *bytes, Size size)
{
	const char *end = bytes + size;
	const char *plain = bytes;

	for (const char *p = bytes; p < end; p++)
	{
		char		letter;

		if (likely((unsigned char) *p >= 0x20 && *p != '\\'))
			continue;
		letter = escape_of(*p);
		if (letter == '\0')
			continue;
		appendBinaryStringInfo(out, plain, p - plain);
		appendStringInfoCharMacro(out, '\\');
		appendStringInfoCharMacro(out, letter);
		plain = p + 1;
	}
	appendBinaryStringInfo(out, plain, end - plain);
}

static void
append_value(StringInfo out, TextColumn *column, Datum value)
{
	char		digits[MAXINT8LEN + 1];
	char	   *string;

	switch (column->kind)
	{
		case TEXT_INT2:
			appendBinaryStringInfo(out, digits, pg_itoa(DatumGetInt16(value), digits));
			break;
		case TEXT_INT4:
			appendBinaryStringInfo(out, digits, pg_ltoa(DatumGetInt32(value), digits));
			break;
		case TEXT_INT8:
			appendBinaryStringInfo(out, digits, pg_lltoa(DatumGetInt64(value), digits));
			break;
		case TEXT_BOOL:
			appendStringInfoCharMacro(out, DatumGetBool(value) ? 't' : 'f');
			break;
		case TEXT_BYTES:
			{
				text	   *packed = DatumGetTextPP(value);

				append_escaped(out, VARDATA_ANY(packed), VARSIZE_ANY_EXHDR(packed));
				break;
			}
		case TEXT_BY_FUNCTION:
			string = OutputFunctionCall(&column->output, value);
			append_escaped(out, string, strlen(string));
			break;
	}
}

void
hone_archive_text_row(HoneArchiveText *text, TupleTableSlot *slot,
					  StringInfo out)
{
	MemoryContext before;

	MemoryContextReset(text->row_context);
	before = MemoryContextSwitchTo(text->row_context);
	slot_getallattrs(slot);
	for (int i = 0; i < text->count; i++)
	{
		TextColumn *column = &text->columns[i];

		if (i > 0)
			appendStringInfoCharMacro(out, '\t');
		if (slot->tts_isnull[column->index])
			appendBinaryStringInfo(out, "\\N", 2);
		else
			append_value(out, column, slot->tts_values[column->index]);
	}
	appendStringInfoCharMacro(out, '\n');
	MemoryContextSwitchTo(before);
}

void
hone_archive_text_end(HoneArchiveText *text)
{
	MemoryContextDelete(text->row_context);
	pfree(text);
}
