/*-------------------------------------------------------------------------
 *
 * finding_save.c
 *	  The findings in a file, over a restart.
 *
 * Written by the collector beside the statistics, and by the postmaster when
 * the server has been shut down. It stands in pg_stat_tmp, which base backups
 * leave out. Statements in it are cut to their length. A file of a library
 * with another layout is put aside: findings come again with the workload.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"

#include "advise/detect.h"
#include "advise/finding.h"
#include "common/savefile.h"

#define FINDINGS_FILE		PG_STAT_TMP_DIR "/pg_hone.findings"
#define FINDINGS_CONTENTS	"recommendations"
#define FINDINGS_MAGIC		UINT64CONST(0x31444e4946454e48) /* "HNEFIND1" */
#define FINDINGS_FORMAT		2

typedef struct FindingsHeader
{
	uint64		magic;
	uint32		format;
	uint32		server;			/* HONE_SERVER_VERSION */
	uint32		finding_size;
	uint32		sample_size;
	int64		count;
} FindingsHeader;

/* Precedes each finding, whose samples follow, cut. */
typedef struct FindingLengths
{
	uint32		sample;			/* bytes of the text with its end */
	uint32		parent;
} FindingLengths;

static void
append_finding(StringInfo out, const HoneFinding *finding)
{
	FindingLengths lengths = {strlen(finding->sample.text) + 1, 0};

	if (finding->parent.queryid != 0)
		lengths.parent = strlen(finding->parent.text) + 1;
	appendBinaryStringInfo(out, (char *) &lengths, sizeof(lengths));
	appendBinaryStringInfo(out, (char *) finding, offsetof(HoneFinding, sample));
	appendBinaryStringInfo(out, (char *) &finding->sample,
						   offsetof(HoneSample, text) + lengths.sample);
	if (lengths.parent > 0)
		appendBinaryStringInfo(out, (char *) &finding->parent,
							   offsetof(HoneSample, text) + lengths.parent);
}

static void
write_findings(HoneSaveFile *out, void *arg)
{
	FindingsHeader header;
	int			count;
	HoneFinding *findings = hone_finding_copy(InvalidOid, false, &count);
	StringInfoData buffer;

	memset(&header, 0, sizeof(header));
	header.magic = FINDINGS_MAGIC;
	header.format = FINDINGS_FORMAT;
	header.server = HONE_SERVER_VERSION;
	header.finding_size = sizeof(HoneFinding);
	header.sample_size = sizeof(HoneSample);
	header.count = count;
	hone_save_bytes(out, &header, sizeof(header));
	initStringInfo(&buffer);
	for (int i = 0; i < count; i++)
	{
		resetStringInfo(&buffer);
		append_finding(&buffer, &findings[i]);
		hone_save_bytes(out, buffer.data, buffer.len);
	}
	pfree(buffer.data);
	if (findings != NULL)
		pfree(findings);
}

static bool
read_sample(HoneSaveFile *in, HoneSample *sample, uint32 length)
{
	if (length > HONE_SAMPLE_TEXT ||
		!hone_save_get(in, sample, offsetof(HoneSample, text) + length))
		return false;
	sample->search_path[sizeof(sample->search_path) - 1] = '\0';
	sample->application[sizeof(sample->application) - 1] = '\0';
	sample->tags[sizeof(sample->tags) - 1] = '\0';
	sample->context[sizeof(sample->context) - 1] = '\0';
	return sample->text[length - 1] == '\0' && sample->nrels >= 0 &&
		sample->nrels <= HONE_SAMPLE_RELS;
}

static bool
read_finding(HoneSaveFile *in, HoneFinding *finding)
{
	FindingLengths lengths;

	memset(finding, 0, sizeof(HoneFinding));
	if (!hone_save_get(in, &lengths, sizeof(lengths)) || lengths.sample == 0 ||
		!hone_save_get(in, finding, offsetof(HoneFinding, sample)) ||
		!read_sample(in, &finding->sample, lengths.sample) ||
		(lengths.parent > 0 && !read_sample(in, &finding->parent, lengths.parent)))
		return false;
	return finding->key.kind > 0 && finding->key.kind < HONE_FINDING_CONNECTIONS &&
		finding->times > 0 && finding->nkeys >= 0 && finding->nkeys <= HONE_FINDING_KEYS &&
		finding->nquals >= 0 && finding->nquals <= HONE_FINDING_QUALS &&
		finding->norder >= 0 && finding->norder <= finding->nquals &&
		finding->nqueries >= 0 && finding->nqueries <= HONE_FINDING_QUERIES &&
		finding->nrecent >= 0 && finding->nrecent <= HONE_FINDING_RECENT &&
		finding->next_recent >= 0 && finding->next_recent < HONE_FINDING_RECENT;
}

static const char *
read_findings(HoneSaveFile *in)
{
	static HoneFinding finding; /* too large for the stack */
	FindingsHeader header;

	if (!hone_save_get(in, &header, sizeof(header)))
		return "it is too short";
	if (header.magic != FINDINGS_MAGIC || header.format != FINDINGS_FORMAT ||
		header.server != HONE_SERVER_VERSION ||
		header.finding_size != sizeof(HoneFinding) ||
		header.sample_size != sizeof(HoneSample))
		return "it is of another version";
	for (int64 i = 0; i < header.count; i++)
	{
		if (!read_finding(in, &finding))
			return "its contents are damaged";
		hone_finding_restore(&finding);
	}
	return NULL;
}

/* By the collector, unless nothing has changed since the last time. */
static void
save_findings(void)
{
	static uint64 saved = 0;
	uint64		changes = hone_finding_changes();

	if (changes != saved && hone_save_file(FINDINGS_FILE, FINDINGS_CONTENTS, write_findings, NULL))
		saved = changes;
}

void
hone_finding_save_at_exit(int code, Datum arg)
{
	if (code == 0 && !IsUnderPostmaster && hone_was_shut_down() && hone_finding_changes() > 0)
		(void) hone_save_file(FINDINGS_FILE, FINDINGS_CONTENTS, write_findings, NULL);
}

void
hone_finding_load(void)
{
	(void) hone_load_file(FINDINGS_FILE, FINDINGS_CONTENTS, read_findings);
}

void
hone_finding_save_init(void)
{
	hone_saver_register(save_findings);
}
