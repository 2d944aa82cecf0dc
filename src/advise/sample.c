/*-------------------------------------------------------------------------
 *
 * sample.c
 *	  Copies of statements: text, relations, who sent them.
 *
 * A copy has its statement alone (no neighbours in the same string), cut at a
 * character boundary. Of comments only what looks like SQLCommenter's
 * key='value' list is kept, apart from the text; comments inside the text are
 * removed when it is shown.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "mb/pg_wchar.h"
#include "nodes/parsenodes.h"
#include "nodes/pathnodes.h"
#include "parser/parsetree.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "advise/detect.h"

#define COMMENT_SEARCH	1024	/* bytes looked at from either end */

/* Relations of the system and of information_schema are nobody's problem. */
static bool
is_user_relation(RangeTblEntry *rte)
{
	return rte->rtekind == RTE_RELATION && rte->relid >= FirstNormalObjectId &&
		(rte->relkind == RELKIND_RELATION ||
		 rte->relkind == RELKIND_PARTITIONED_TABLE ||
		 rte->relkind == RELKIND_MATVIEW ||
		 rte->relkind == RELKIND_FOREIGN_TABLE);
}

Oid
hone_sample_relation(PlannedStmt *stmt)
{
	ListCell   *lc;

	foreach(lc, stmt->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (is_user_relation(rte))
			return rte->relid;
	}
	return InvalidOid;
}

bool
hone_sample_mentions(PlannedStmt *stmt, Oid relid)
{
	ListCell   *lc;

	foreach(lc, stmt->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		if (rte->rtekind == RTE_RELATION && rte->relid == relid)
			return true;
	}
	return false;
}

/* A partition or heir that the planner put in for a table of the statement. */
static bool
is_planned_child(PlannedStmt *stmt, Index rti)
{
	ListCell   *lc;

	foreach(lc, stmt->appendRelations)
	{
		AppendRelInfo *info = lfirst_node(AppendRelInfo, lc);

		if (info->child_relid == rti && info->parent_relid <= list_length(stmt->rtable))
			return rt_fetch(info->parent_relid, stmt->rtable)->rtekind == RTE_RELATION;
	}
	return false;
}

static void
take_relations(HoneSample *sample, PlannedStmt *stmt)
{
	ListCell   *lc;

	sample->nrels = 0;
	sample->more_rels = false;
	foreach(lc, stmt->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		bool		known = false;

		if (!is_user_relation(rte))
			continue;
		for (int i = 0; i < sample->nrels; i++)
			known |= sample->rels[i] == rte->relid;
		if (known || is_planned_child(stmt, foreach_current_index(lc) + 1))
			continue;
		if (sample->nrels == HONE_SAMPLE_RELS)
		{
			sample->more_rels = true;
			return;
		}
		sample->rels[sample->nrels++] = rte->relid;
	}
}

/* Is text, of len bytes, a list of key='value' pairs? */
static bool
looks_like_tags(const char *text, int len)
{
	int			i = 0;
	int			pairs = 0;

	while (i < len)
	{
		int			key = i;

		while (i < len && (isalnum((unsigned char) text[i]) || text[i] == '_' ||
						   text[i] == '%' || text[i] == '-'))
			i++;
		if (i == key || i + 1 >= len || text[i] != '=' || text[i + 1] != '\'')
			return false;
		i += 2;
		while (i < len && text[i] != '\'')
			i++;
		if (i >= len)
			return false;
		i++;
		pairs++;
		while (i < len && (text[i] == ',' || text[i] == ' '))
			i++;
	}
	return pairs > 0;
}

/* Copy the first comment of tags within [from, end) to 'tags'. */
static bool
copy_tags(char *tags, const char *from, const char *end)
{
	const char *p = from;

	while (p + 4 <= end)
	{
		const char *close;

		p = memchr(p, '/', end - p - 3);
		if (p == NULL)
			return false;
		if (p[1] != '*')
		{
			p++;
			continue;
		}
		p += 2;
		while (p < end && *p == ' ')
			p++;
		for (close = p; close + 1 < end && !(close[0] == '*' && close[1] == '/');)
			close++;
		if (close + 1 >= end)
			return false;
		while (close > p && close[-1] == ' ')
			close--;
		if (close - p < HONE_SAMPLE_TAGS && looks_like_tags(p, close - p))
		{
			memcpy(tags, p, close - p);
			tags[close - p] = '\0';
			return true;
		}
		p = close;
	}
	return false;
}

static void
take_tags(HoneSample *sample, const char *source)
{
	size_t		len = strlen(source);

	sample->tags[0] = '\0';
	if (len <= 2 * COMMENT_SEARCH)
		copy_tags(sample->tags, source, source + len);
	else if (!copy_tags(sample->tags, source, source + COMMENT_SEARCH))
		copy_tags(sample->tags, source + len - COMMENT_SEARCH, source + len);
}

/* "PL/pgSQL function f(integer) line 3 at ...", and nothing that quotes SQL. */
static bool
names_function(const char *line)
{
	const char *p = line;

	if (strncmp(line, "PL/", 3) == 0)
	{
		for (p = line + 3; isalnum((unsigned char) *p);)
			p++;
	}
	else if (strncmp(line, "SQL", 3) == 0)
		p = line + 3;
	return p != line && strncmp(p, " function ", 10) == 0;
}

/*
 * The line of the function that runs the statement, as errors in it would name
 * it: the innermost one. Empty where messages are translated.
 */
static void
take_context(HoneSample *sample)
{
	char	   *context = GetErrorContextStack();
	char	   *line = context;

	while (line != NULL && !names_function(line))
	{
		line = strchr(line, '\n');
		if (line != NULL)
			line++;
	}
	if (line != NULL)
		strlcpy(sample->context, line,
				Min(sizeof(sample->context), strcspn(line, "\n") + 1));
	if (context != NULL)
		pfree(context);
}

void
hone_sample_take(HoneSample *sample, const HoneRecord *record)
{
	const char *text = record->source;
	int			len;

	sample->queryid = record->queryid;
	sample->userid = record->userid;
	sample->nested = record->nest_level > 0;
	sample->truncated = false;
	sample->text[0] = '\0';
	sample->tags[0] = '\0';
	sample->context[0] = '\0';
	if (sample->nested && !record->in_abort)
		take_context(sample);
	sample->search_path[0] = '\0';
	if (namespace_search_path && strlen(namespace_search_path) < HONE_SAMPLE_PATH)
		strcpy(sample->search_path, namespace_search_path);
	strlcpy(sample->application, application_name ? application_name : "",
			sizeof(sample->application));

	take_relations(sample, record->query_desc->plannedstmt);

	if (text == NULL)
		return;
	take_tags(sample, text);
	if (record->location > 0)
		text += record->location;

	len = record->length > 0 ? strnlen(text, record->length) : strlen(text);
	if (len >= HONE_SAMPLE_TEXT)
	{
		len = pg_mbcliplen(text, len, HONE_SAMPLE_TEXT - 1);
		sample->truncated = true;
	}
	memcpy(sample->text, text, len);
	sample->text[len] = '\0';
}

static Size
sample_size(const HoneSample *sample)
{
	return offsetof(HoneSample, text) + strlen(sample->text) + 1;
}

HoneSample *
hone_sample_keep(const HoneRecord *record, MemoryContext context, Size *size)
{
	static HoneSample scratch;	/* too large for the stack */
	HoneSample *sample;

	hone_sample_take(&scratch, record);
	*size = sample_size(&scratch);
	if (!hone_memory_take(*size))
		return NULL;
	sample = MemoryContextAllocExtended(context, *size, MCXT_ALLOC_NO_OOM);
	if (sample == NULL)
		hone_memory_give(*size);
	else
		memcpy(sample, &scratch, *size);
	return sample;
}

void
hone_sample_put(HoneSample *into, const HoneSample *kept)
{
	memcpy(into, kept, sample_size(kept));
}
