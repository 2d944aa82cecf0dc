/*-------------------------------------------------------------------------
 *
 * archive_manifest.c
 *	  What is known of an archive: the JSON file beside it.
 *
 * Its last member is the SHA-256 of all before it, as in PostgreSQL's own
 * backup manifests: whoever changed a figure or a name by accident is found
 * out by the manifest alone, whoever did it on purpose by the checksum that
 * hone.archives has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "access/htup_details.h"
#include "mb/pg_wchar.h"
#include "storage/fd.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "lifecycle/archive_manifest.h"
#include "lifecycle/archive_text.h"

#define FORMAT_NAME		"pg_hone archive"
#define FORMAT_VERSION	1

/* 1,600 columns with the longest names, each byte of them escaped. */
#define MANIFEST_LIMIT	(8 * 1024 * 1024)

#define SUM_START		",\n  \"manifest_sha256\": \""
#define SUM_END			"\"\n}\n"
#define SUM_LENGTH \
	(strlen(SUM_START) + HONE_SHA256_LENGTH - 1 + strlen(SUM_END))

/* ------------------------------------------------------------------------
 * Columns
 * ------------------------------------------------------------------------
 */

/* The collation, where it is not the type's own. */
static char *
other_collation(Form_pg_attribute attribute)
{
	if (!OidIsValid(attribute->attcollation) ||
		attribute->attcollation == get_typcollation(attribute->atttypid))
		return NULL;
	return hone_collation_text(attribute->attcollation);
}

HoneArchiveColumn *
hone_archive_columns(Relation rel, int *count)
{
	TupleDesc	desc = RelationGetDescr(rel);
	HoneArchiveColumn *columns = palloc0(Max(desc->natts, 1) * sizeof(HoneArchiveColumn));

	*count = 0;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		HoneArchiveColumn *column = &columns[*count];

		if (!hone_archive_has_column(attribute))
			continue;
		column->name = pstrdup(NameStr(attribute->attname));
		column->type = format_type_extended(attribute->atttypid, attribute->atttypmod,
											FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
		column->collation = other_collation(attribute);
		column->not_null = attribute->attnotnull;
		(*count)++;
	}
	return columns;
}

char *
hone_archive_column_list(const HoneArchiveManifest *manifest)
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < manifest->column_count; i++)
	{
		const HoneArchiveColumn *column = &manifest->columns[i];

		appendStringInfo(&list, "%s%s %s", i > 0 ? ", " : "",
						 quote_identifier(column->name), column->type);
		if (column->collation)
			appendStringInfo(&list, " COLLATE %s", column->collation);
		if (column->not_null)
			appendStringInfoString(&list, " NOT NULL");
	}
	return list.data;
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------
 */

/* Members in their order; 'string' may be NULL. */
static void
print_string(StringInfo json, const char *key, const char *string)
{
	appendStringInfo(json, ",\n  \"%s\": ", key);
	if (string)
		escape_json(json, string);
	else
		appendStringInfoString(json, "null");
}

static void
print_number(StringInfo json, const char *key, int64 number)
{
	appendStringInfo(json, ",\n  \"%s\": " INT64_FORMAT, key, number);
}

static char *
time_text(TimestampTz at)
{
	return DatumGetCString(DirectFunctionCall1(timestamptz_out, TimestampTzGetDatum(at)));
}

static void
print_settings(StringInfo json, const char *lc_monetary)
{
	appendStringInfoString(json, ",\n  \"settings\": {");
	for (const HoneArchiveSetting *s = hone_archive_settings; s->name; s++)
		appendStringInfo(json, "\"%s\": \"%s\", ", s->name, s->value);
	appendStringInfoString(json, "\"lc_monetary\": ");
	escape_json(json, lc_monetary);
	appendStringInfoChar(json, '}');
}

static void
print_columns(StringInfo json, const HoneArchiveManifest *manifest)
{
	appendStringInfoString(json, ",\n  \"columns\": [");
	for (int i = 0; i < manifest->column_count; i++)
	{
		const HoneArchiveColumn *column = &manifest->columns[i];

		appendStringInfoString(json, i > 0 ? ",\n    {\"name\": " : "\n    {\"name\": ");
		escape_json(json, column->name);
		appendStringInfoString(json, ", \"type\": ");
		escape_json(json, column->type);
		appendStringInfoString(json, ", \"collation\": ");
		if (column->collation)
			escape_json(json, column->collation);
		else
			appendStringInfoString(json, "null");
		appendStringInfo(json, ", \"not_null\": %s}", column->not_null ? "true" : "false");
	}
	appendStringInfoChar(json, ']');
}

/* The command that loads the text into a table of the same name. */
static char *
copy_command(const HoneArchiveManifest *manifest)
{
	StringInfoData command;

	initStringInfo(&command);
	appendStringInfo(&command, "COPY %s ",
					 quote_qualified_identifier(manifest->schema, manifest->table));
	for (int i = 0; i < manifest->column_count; i++)
		appendStringInfo(&command, "%s%s", i == 0 ? "(" : ", ",
						 quote_identifier(manifest->columns[i].name));
	appendStringInfoString(&command, manifest->column_count > 0 ? ") FROM STDIN" : "FROM STDIN");
	return command.data;
}

/*
 * JSON is UTF-8. What an SQL_ASCII database holds may be no text at all.
 */
static void
append_in_utf8(StringInfo out, const char *json, int size)
{
	char	   *converted;

	if (GetDatabaseEncoding() == PG_SQL_ASCII)
	{
		appendBinaryStringInfo(out, json, size);
		return;
	}
	converted = pg_server_to_any(json, size, PG_UTF8);
	appendBinaryStringInfo(out, converted, converted == json ? size : (int) strlen(converted));
}

void
hone_archive_manifest_print(HoneArchiveManifest *manifest, StringInfo out)
{
	HoneArchiveFile *file = &manifest->file;
	const HoneArchiveOrigin *origin = &manifest->origin;
	StringInfoData json;
	int			start = out->len;

	initStringInfo(&json);
	appendStringInfo(&json, "{\n  \"format\": \"%s\"", FORMAT_NAME);
	print_number(&json, "version", FORMAT_VERSION);
	print_string(&json, "pg_hone", manifest->pg_hone);
	print_string(&json, "postgresql", manifest->postgresql);
	print_string(&json, "created_at", time_text(file->created_at));
	print_string(&json, "database", manifest->database);
	print_string(&json, "schema", manifest->schema);
	print_string(&json, "table", manifest->table);
	print_string(&json, "parent", origin->parent);
	print_string(&json, "bound", origin->bound);
	print_string(&json, "range_start", origin->ranged ? time_text(origin->range_start) : NULL);
	print_string(&json, "range_end", origin->ranged ? time_text(origin->range_end) : NULL);
	print_string(&json, "encoding", manifest->encoding);
	print_settings(&json, manifest->lc_monetary);
	print_columns(&json, manifest);
	print_string(&json, "copy", copy_command(manifest));
	print_number(&json, "rows", file->rows);
	print_number(&json, "raw_bytes", file->raw_bytes);
	print_number(&json, "bytes", file->bytes);
	print_number(&json, "level", file->level);
	print_string(&json, "text_sha256", file->text_sha256);
	print_string(&json, "sha256", file->sha256);
	append_in_utf8(out, json.data, json.len);
	hone_archive_sha256(out->data + start, out->len - start, file->manifest_sha256);
	appendStringInfo(out, "%s%s%s", SUM_START, file->manifest_sha256, SUM_END);
	pfree(json.data);
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------
 */

typedef struct ManifestReader
{
	const char *path;
	JsonbContainer *object;		/* the members of which are read */
} ManifestReader;

static void
refuse(const char *path, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("archive manifest \"%s\" is damaged: %s", path, why)));
}

static void
refuse_member(ManifestReader *in, const char *key)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("archive manifest \"%s\" is damaged: \"%s\" is missing or no value it can have",
					in->path, key)));
}

static JsonbValue *
member(ManifestReader *in, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(in->object, key, strlen(key), NULL);

	if (value == NULL)
		refuse_member(in, key);
	return value;
}

static char *
read_string(ManifestReader *in, const char *key, bool nullable)
{
	JsonbValue *value = member(in, key);

	if (value->type == jbvNull && nullable)
		return NULL;
	if (value->type != jbvString)
		refuse_member(in, key);
	return pnstrdup(value->val.string.val, value->val.string.len);
}

/* Of an object in the catalogs. */
static char *
read_name(ManifestReader *in, const char *key)
{
	char	   *name = read_string(in, key, false);

	if (name[0] == '\0' || strlen(name) >= NAMEDATALEN)
		refuse_member(in, key);
	return name;
}

static int64
read_number(ManifestReader *in, const char *key, int64 least)
{
	JsonbValue *value = member(in, key);
	int64		number = least - 1;

	if (value->type == jbvNumeric)
	{
		char	   *digits = DatumGetCString(DirectFunctionCall1(numeric_out,
																 NumericGetDatum(value->val.numeric)));
		char	   *end;

		errno = 0;
		number = strtoi64(digits, &end, 10);
		if (errno != 0 || *end != '\0')
			refuse_member(in, key);
	}
	if (number < least)
		refuse_member(in, key);
	return number;
}

static bool
read_bool(ManifestReader *in, const char *key)
{
	JsonbValue *value = member(in, key);

	if (value->type != jbvBool)
		refuse_member(in, key);
	return value->val.boolean;
}

static void
read_sum(ManifestReader *in, const char *key, char *sum)
{
	char	   *digits = read_string(in, key, false);

	if (strlen(digits) != HONE_SHA256_LENGTH - 1 ||
		strspn(digits, "0123456789abcdef") != HONE_SHA256_LENGTH - 1)
		refuse_member(in, key);
	strlcpy(sum, digits, HONE_SHA256_LENGTH);
}

/* False for null. */
static bool
read_time(ManifestReader *in, const char *key, TimestampTz *at)
{
	char	   *string = read_string(in, key, true);

	if (string == NULL)
		return false;
	*at = DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in, CStringGetDatum(string),
												  (Datum) 0, Int32GetDatum(-1)));
	return true;
}

static JsonbContainer *
read_container(ManifestReader *in, const char *key)
{
	JsonbValue *value = member(in, key);

	if (value->type != jbvBinary)
		refuse_member(in, key);
	return value->val.binary.data;
}

static void
read_columns(ManifestReader *in, HoneArchiveManifest *manifest)
{
	JsonbContainer *array = read_container(in, "columns");

	if (!JsonContainerIsArray(array) || JsonContainerIsScalar(array) ||
		JsonContainerSize(array) > MaxHeapAttributeNumber)
		refuse_member(in, "columns");
	manifest->column_count = JsonContainerSize(array);
	manifest->columns = palloc0(Max(manifest->column_count, 1) * sizeof(HoneArchiveColumn));
	for (int i = 0; i < manifest->column_count; i++)
	{
		HoneArchiveColumn *column = &manifest->columns[i];
		JsonbValue *element = getIthJsonbValueFromContainer(array, i);
		ManifestReader inner = {.path = in->path};

		if (element->type != jbvBinary || !JsonContainerIsObject(element->val.binary.data))
			refuse_member(in, "columns");
		inner.object = element->val.binary.data;
		column->name = read_name(&inner, "name");
		column->type = read_string(&inner, "type", false);
		column->collation = read_string(&inner, "collation", true);
		column->not_null = read_bool(&inner, "not_null");
	}
}

static void
read_members(ManifestReader *in, HoneArchiveManifest *manifest)
{
	HoneArchiveFile *file = &manifest->file;
	HoneArchiveOrigin *origin = &manifest->origin;
	ManifestReader settings = {.path = in->path};

	if (strcmp(read_string(in, "format", false), FORMAT_NAME) != 0)
		refuse_member(in, "format");
	if (read_number(in, "version", 1) > FORMAT_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("archive manifest \"%s\" is of a later format than this pg_hone knows",
						in->path),
				 errhint("Install the version of pg_hone that wrote it, or a later one.")));
	manifest->pg_hone = read_string(in, "pg_hone", false);
	manifest->postgresql = read_string(in, "postgresql", false);
	if (!read_time(in, "created_at", &file->created_at))
		refuse_member(in, "created_at");
	manifest->database = read_name(in, "database");
	manifest->schema = read_name(in, "schema");
	manifest->table = read_name(in, "table");
	origin->parent = read_string(in, "parent", true);
	origin->bound = read_string(in, "bound", true);
	origin->ranged = read_time(in, "range_start", &origin->range_start);
	if (read_time(in, "range_end", &origin->range_end) != origin->ranged)
		refuse_member(in, "range_end");
	manifest->encoding = read_string(in, "encoding", false);
	if (pg_valid_server_encoding(manifest->encoding) < 0)
		refuse_member(in, "encoding");
	settings.object = read_container(in, "settings");
	if (!JsonContainerIsObject(settings.object))
		refuse_member(in, "settings");
	manifest->lc_monetary = read_string(&settings, "lc_monetary", false);
	read_columns(in, manifest);
	file->rows = read_number(in, "rows", 0);
	file->raw_bytes = read_number(in, "raw_bytes", 0);
	file->bytes = read_number(in, "bytes", 1);
	file->level = read_number(in, "level", PG_INT32_MIN);
	read_sum(in, "text_sha256", file->text_sha256);
	read_sum(in, "sha256", file->sha256);
}

/* The bytes of the file, with a zero after them. */
static char *
read_bytes(const char *path, const char *shown, Size *size)
{
	int			fd = OpenTransientFile(path, O_RDONLY | O_NOFOLLOW | PG_BINARY);
	struct stat status;
	char	   *bytes;
	ssize_t		got;

	if (fd < 0 || fstat(fd, &status) != 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not open file \"%s\": %m", path)));
	if (!S_ISREG(status.st_mode) || status.st_size > MANIFEST_LIMIT)
		refuse(shown, "it is no manifest");
	*size = status.st_size;
	bytes = palloc(*size + 1);
	got = read(fd, bytes, *size);
	if (got < 0)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read file \"%s\": %m", path)));
	if ((Size) got != *size)
		refuse(shown, "it ends too early");
	bytes[*size] = '\0';
	CloseTransientFile(fd);
	return bytes;
}

/*
 * Compare the checksum at the end, and hand it back.
 */
static void
check_sum(const char *path, const char *bytes, Size size, char *sum)
{
	const char *tail = bytes + size - SUM_LENGTH;

	if (size < SUM_LENGTH || strlen(bytes) != size ||
		strncmp(tail, SUM_START, strlen(SUM_START)) != 0 ||
		strcmp(bytes + size - strlen(SUM_END), SUM_END) != 0)
		refuse(path, "it does not end with its checksum");
	hone_archive_sha256(bytes, size - SUM_LENGTH, sum);
	if (strncmp(tail + strlen(SUM_START), sum, HONE_SHA256_LENGTH - 1) != 0)
		refuse(path, "its checksum is wrong");
}

/* What PostgreSQL finds wrong with the JSON is said of the file. */
static void
parse(const char *path, const char *bytes, Size size, HoneArchiveManifest *manifest)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		ManifestReader in = {.path = path};
		const char *text = bytes;
		Jsonb	   *json;

		if (GetDatabaseEncoding() != PG_SQL_ASCII)
			text = pg_any_to_server(bytes, size, PG_UTF8);
		json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(text)));
		if (!JB_ROOT_IS_OBJECT(json))
			refuse(path, "it is no object");
		in.object = &json->root;
		read_members(&in, manifest);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (ERRCODE_TO_CATEGORY(error->sqlerrcode) != ERRCODE_DATA_EXCEPTION)
			PG_RE_THROW();
		FlushErrorState();
		refuse(path, error->message);
	}
	PG_END_TRY();
}

void
hone_archive_manifest_read(const char *path, const char *shown,
						   const char *name, HoneArchiveManifest *manifest)
{
	Size		size;
	char	   *bytes = read_bytes(path, shown, &size);

	memset(manifest, 0, sizeof(*manifest));
	manifest->file.name = pstrdup(name);
	check_sum(shown, bytes, size, manifest->file.manifest_sha256);
	parse(shown, bytes, size, manifest);
	pfree(bytes);
}
