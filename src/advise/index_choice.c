/*-------------------------------------------------------------------------
 *
 * index_choice.c
 *	  Which of the indexes that findings ask for are worth having, together
 *	  (index_choice.h).
 *
 * Each wish comes with the indexes that were tried for its statement. Those of
 * one table are tried for the statements of the others too. Then they are chosen
 * greedily: always the one that saves most per byte, of the time that the
 * statements really took, less what writing to it would cost, as long as it
 * fits the budget; and in the end each is taken out again that the later ones
 * have made useless. (Valentin et al., "DB2 Advisor", ICDE 2000; Whang, "Index
 * selection in relational databases", 1987, for the second pass.)
 *
 * Costs of a statement with two indexes are taken to be that of the better one:
 * a wish is about one table, of which a plan mostly uses one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "advise/index_choice.h"
#include "advise/index_trial.h"
#include "advise/index_writes.h"

/* An index of which no more than that part of its statements' time depends. */
#define USELESS			0.05

/* Of choosing and dropping: what was dropped makes room for others. */
#define ROUNDS			4

/* Indexes of one table that are tried for all of its wishes. */
#define MOST_OPTIONS	32

/* A wider index, where nothing was planned, against the one that was wished. */
#define WIDER_COST		1.05

/* Of a unit of the planner's costs: cached pages to a slow disk's. */
#define LEAST_MS_OF_UNIT	0.001
#define MOST_MS_OF_UNIT		0.05

/* A statement that took no time that could be measured has taken some. */
#define LEAST_MS		0.001

int			hone_index_budget = 0;

/* An index that may be chosen. */
typedef struct Option
{
	HoneIndexCandidate *index;
	int			wish;			/* number of the one whose it is */
	bool		best;			/* it is the one that was wished */
	double	   *ratios;			/* of each wish's cost with it to that
								 * without, at most 1 */
	double		spared;			/* bytes of the index that it replaces */
	HoneIndexWrites writes;		/* an hour */
	double		write_ms;
	bool		chosen;
} Option;

/* All wishes and options of one table. */
typedef struct Table
{
	Oid			relid;
	int			nwishes;
	int			room;
	HoneIndexWish **wishes;
	double	   *weights;		/* ms an hour that their statements take */
	int			noptions;
	Option	   *options;
	HoneTableWrites *writes;	/* NULL: could not be told */
	HoneUpdateTexts *texts;		/* of all tables */
} Table;

/* ------------------------------------------------------------------------
 * Wishes
 * ------------------------------------------------------------------------
 */

/*
 * What the statements took, an hour: as many hours as the finding is old, one at
 * least.
 */
static double
weight_of(const HoneIndexWish *wish)
{
	double		hours = (wish->finding->last_seen - wish->finding->first_seen) / (double) USECS_PER_HOUR;

	return Max(wish->finding->cost_ms, LEAST_MS) / Max(hours, 1);
}

static int64
id_of(const HoneIndexWish *wish)
{
	return hone_finding_id(&wish->finding->key);
}

/* ------------------------------------------------------------------------
 * What helps whom
 * ------------------------------------------------------------------------
 */

/* An index on more columns serves whoever wants its first ones. */
static bool
is_wider(const HoneIndexCandidate *wider, const HoneIndexCandidate *index)
{
	int			length;

	if (!wider->plain || !index->plain || wider->keys == NULL || index->keys == NULL)
		return false;
	length = strlen(index->keys);
	return strncmp(wider->keys, index->keys, length) == 0 &&
		strncmp(wider->keys + length, ", ", 2) == 0;
}

static void
add_option(Table *table, int nwish, HoneIndexCandidate *index, bool best)
{
	Option	   *option;

	for (int i = 0; i < table->noptions; i++)
	{
		if (strcmp(table->options[i].index->text, index->text) == 0)
		{
			/* one that is wished for by anybody counts as that */
			if (best && !table->options[i].best)
			{
				table->options[i].best = true;
				table->options[i].wish = nwish;
			}
			return;
		}
	}
	if (table->noptions == MOST_OPTIONS)
		return;
	option = &table->options[table->noptions++];
	option->index = index;
	option->wish = nwish;
	option->best = best;
	option->ratios = palloc(table->nwishes * sizeof(double));
}

/*
 * The best one of each wish, and behind them what is smaller or written to less
 * often, for those that are not to have it.
 */
static void
make_options(Table *table)
{
	ListCell   *lc;

	table->options = palloc0(MOST_OPTIONS * sizeof(Option));
	for (int i = 0; i < table->nwishes; i++)
		add_option(table, i, table->wishes[i]->advice.index_best, true);
	for (int i = 0; i < table->nwishes; i++)
	{
		foreach(lc, table->wishes[i]->advice.index_tried)
		{
			HoneIndexCandidate *index = lfirst(lc);

			if (index->used)
				add_option(table, i, index, false);
		}
	}
}

/* Of what was planned when the wish was made; -1: that was not. */
static double
known_cost(const HoneAdvice *advice, const char *text)
{
	ListCell   *lc;

	if (strcmp(advice->index_best->text, text) == 0)
		return advice->index_best->cost;
	foreach(lc, advice->index_tried)
	{
		const HoneIndexCandidate *index = lfirst(lc);

		if (strcmp(index->text, text) == 0)
			return index->cost;
	}
	return -1;
}

/*
 * Is the index one for what the wish's filter compares? Where a statement reads
 * the table twice, one for the other place makes it cheaper too.
 */
static bool
is_for_filter(const HoneIndexWish *wish, const HoneIndexCandidate *index)
{
	for (int i = 0; index->leading != NULL && i < wish->finding->nquals; i++)
	{
		char	   *name = get_attname(wish->finding->key.relid, wish->finding->quals[i].attnum, true);

		if (name != NULL && strcmp(name, index->leading) == 0)
			return true;
	}
	return false;
}

/*
 * Plan the wish's statement with the other wishes' indexes.
 */
static void
try_others(Table *table, int nwish)
{
	HoneIndexWish *wish = table->wishes[nwish];
	HoneIndexTrial trial = {.finding = wish->finding,.relid = table->relid,.given = true,.cost = wish->advice.index_cost};
	List	   *options = NIL;
	ListCell   *lc;
	ListCell   *lo;

	for (int i = 0; i < table->noptions; i++)
	{
		if (!table->options[i].best || !is_for_filter(wish, table->options[i].index) ||
			known_cost(&wish->advice, table->options[i].index->text) >= 0)
			continue;
		trial.others = lappend(trial.others, hone_index_candidate("another's", table->options[i].index->text));
		options = lappend(options, &table->options[i]);
	}
	if (options == NIL || !hone_advice_trial(wish->finding, hone_index_trial, &trial) ||
		!trial.known)
		return;
	forboth(lc, trial.others, lo, options)
	{
		const HoneIndexCandidate *candidate = lfirst(lc);
		Option	   *option = lfirst(lo);

		if (candidate->used)
			option->ratios[nwish] = Min(candidate->cost / trial.cost, 1);
	}
}

static void
find_ratios(Table *table)
{
	for (int n = 0; n < table->nwishes; n++)
	{
		const HoneAdvice *advice = &table->wishes[n]->advice;

		for (int i = 0; i < table->noptions; i++)
		{
			double		cost = known_cost(advice, table->options[i].index->text);

			table->options[i].ratios[n] = 1;
			if (cost >= 0 && advice->index_cost > 0)
				table->options[i].ratios[n] = Min(cost / advice->index_cost, 1);
			else if (advice->index_cost <= 0)
			{
				/* it could not be planned: what the counted rows say */
				double		left = advice->cost_ms > 0 ? 1 - advice->saving_ms / advice->cost_ms : 0;

				if (cost >= 0)
					table->options[i].ratios[n] = Max(left, 0);
				else if (is_wider(table->options[i].index, advice->index_best))
					table->options[i].ratios[n] = Min(Max(left, 0.01) * WIDER_COST, 1);
			}
		}
		if (table->noptions > 1 && advice->index_cost > 0)
		{
			/* what planning leaves is not kept for all tables */
			MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hone index choice",
														  ALLOCSET_DEFAULT_SIZES);
			MemoryContext caller = MemoryContextSwitchTo(context);

			try_others(table, n);
			MemoryContextSwitchTo(caller);
			MemoryContextDelete(context);
		}
	}
}

/* ------------------------------------------------------------------------
 * What writing costs
 * ------------------------------------------------------------------------
 */

/*
 * Milliseconds of a unit of the planner's costs, as the wishes' statements took
 * them.
 */
static double
ms_of_unit(const Table *table)
{
	double		ms = 0;
	double		units = 0;

	for (int n = 0; n < table->nwishes; n++)
	{
		const HoneIndexWish *wish = table->wishes[n];

		ms += wish->finding->cost_ms;
		units += wish->advice.index_cost * Max(wish->finding->calls, 1);
	}
	return units > 0 ? Min(Max(ms / units, LEAST_MS_OF_UNIT), MOST_MS_OF_UNIT) : LEAST_MS_OF_UNIT;
}

/* Of an index that begins a new one, and is not needed beside it. */
static double
replaced_bytes(Oid relid, List *columns)
{
	List	   *keys;
	Oid			replaced = hone_relation_narrower_index(relid, columns, false, &keys);
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(replaced));
	double		pages;

	if (!HeapTupleIsValid(tuple))
		return 0;
	pages = ((Form_pg_class) GETSTRUCT(tuple))->relpages;
	ReleaseSysCache(tuple);
	return Max(pages, 1) * BLCKSZ;
}

static void
count_writes(void *arg)
{
	Table	   *table = arg;

	for (int i = 0; i < table->noptions; i++)
		table->options[i].spared = replaced_bytes(table->relid, table->options[i].index->columns);
	table->writes = hone_table_writes(table->relid, table->texts);
}

static void
find_writes(Table *table)
{
	double		ms = ms_of_unit(table);

	if (hone_advice_try(count_writes, table) != NULL || !table->writes->known)
		table->writes = NULL;
	for (int i = 0; table->writes != NULL && i < table->noptions; i++)
	{
		Option	   *option = &table->options[i];

		option->writes = hone_index_writes(table->writes, option->index, option->spared > 0);
		option->write_ms = option->writes.cost * ms;
	}
}

/* ------------------------------------------------------------------------
 * Choosing
 * ------------------------------------------------------------------------
 */

/* The chosen option, but that one (or -1), that serves a wish best; NULL: none does. */
static Option *
best_for(const Table *table, int nwish, int without)
{
	Option	   *best = NULL;

	for (int i = 0; i < table->noptions; i++)
	{
		Option	   *option = &table->options[i];

		if (option->chosen && i != without && option->ratios[nwish] < 1 &&
			(best == NULL || option->ratios[nwish] < best->ratios[nwish]))
			best = option;
	}
	return best;
}

static double
ratio_for(const Table *table, int nwish, int without)
{
	Option	   *best = best_for(table, nwish, without);

	return best != NULL ? best->ratios[nwish] : 1;
}

/* What an option saves beside the chosen ones, of the time in *served. */
static double
benefit(const Table *table, const Option *option, double *served)
{
	double		sum = 0;

	*served = 0;
	for (int n = 0; n < table->nwishes; n++)
	{
		double		ratio = ratio_for(table, n, option - table->options);

		if (option->ratios[n] >= ratio)
			continue;
		sum += table->weights[n] * (ratio - option->ratios[n]);
		*served += table->weights[n];
	}
	return sum;
}

/* One whose size is not known fits into no budget. */
static double
bytes_of(const Option *option)
{
	if (option->index->bytes <= 0)
		return hone_index_budget > 0 ? 1e30 : BLCKSZ;
	return Max(option->index->bytes - option->spared, BLCKSZ);
}

static bool
is_worth_it(const Table *table, const Option *option, double *net)
{
	double		served;
	double		saved = benefit(table, option, &served);

	*net = saved - option->write_ms;
	return saved > served * USELESS && *net > 0;
}

/*
 * Of the best ones, or of the others: where room is scarce of all, else for
 * wishes that have none.
 */
static bool
may_be_chosen(const Table *table, const Option *option, bool others)
{
	return !option->chosen &&
		(option->best || hone_index_budget > 0 || (others && best_for(table, option->wish, -1) == NULL));
}

/* *left: bytes of the budget, or -1. */
static void
choose(Table *tables, int ntables, bool others, double *left)
{
	for (;;)
	{
		Option	   *best = NULL;
		double		most = 0;

		CHECK_FOR_INTERRUPTS();
		for (int g = 0; g < ntables; g++)
		{
			for (int i = 0; i < tables[g].noptions; i++)
			{
				Option	   *option = &tables[g].options[i];
				double		bytes = bytes_of(option);
				double		net;

				if (!may_be_chosen(&tables[g], option, others) ||
					(*left >= 0 && bytes > *left) || !is_worth_it(&tables[g], option, &net))
					continue;
				if (best == NULL || net / bytes > most)
				{
					best = option;
					most = net / bytes;
				}
			}
		}
		if (best == NULL)
			break;
		best->chosen = true;
		if (*left >= 0)
			*left -= bytes_of(best);
	}
}

/* The least useful first: what is left has more to do then. */
static bool
drop_one(Table *table, double *left)
{
	Option	   *least = NULL;
	double		least_net = 0;

	for (int i = 0; i < table->noptions; i++)
	{
		Option	   *option = &table->options[i];
		double		net;

		if (!option->chosen || is_worth_it(table, option, &net))
			continue;
		if (least == NULL || net < least_net)
		{
			least = option;
			least_net = net;
		}
	}
	if (least == NULL)
		return false;
	least->chosen = false;
	if (*left >= 0)
		*left += bytes_of(least);
	return true;
}

/*
 * Room that became free is for what did not fit before, and for what is not the
 * best but better than nothing.
 */
static void
choose_and_drop(Table *tables, int ntables)
{
	double		left = hone_index_budget > 0 ? hone_index_budget * 1024.0 : -1;

	for (int round = 0; round < ROUNDS; round++)
	{
		bool		dropped = false;

		choose(tables, ntables, round > 0, &left);
		for (int g = 0; g < ntables; g++)
		{
			while (drop_one(&tables[g], &left))
				dropped = true;
		}
		if (round > 0 && !dropped)
			break;
	}
}

/* ------------------------------------------------------------------------
 * Saying so
 * ------------------------------------------------------------------------
 */

static void
tell_writes(const Table *table, const Option *option, HoneAdvice *advice)
{
	if (table->writes == NULL || option->index->entry_cost <= 0)
	{
		hone_evidence_text(advice, "writes", table->writes == NULL ? "not counted for an hour yet" :
						   "not known");
		return;
	}
	hone_evidence_integer(advice, "index_entries_per_hour", (int64) option->writes.entries);
	hone_evidence_integer(advice, "hot_updates_lost_per_hour", (int64) option->writes.hot_lost);
	hone_evidence_number(advice, "write_ms_per_hour", option->write_ms);
}

/* The statements of all wishes that the option is chosen for. */
static void
tell_served(const Table *table, const Option *option, HoneAdvice *advice)
{
	StringInfoData json;
	double		saved = 0;
	int			served = 0;

	initStringInfo(&json);
	for (int n = 0; n < table->nwishes; n++)
	{
		const HoneIndexWish *wish = table->wishes[n];
		double		ms = wish->finding->cost_ms / Max(wish->finding->calls, 1);

		if (best_for(table, n, -1) != option)
			continue;
		saved += table->weights[n] * (1 - option->ratios[n]);
		appendStringInfo(&json, "%s{\"recommendation\": " INT64_FORMAT ", \"queryid\": " INT64_FORMAT
						 ", \"calls\": " INT64_FORMAT ", \"ms\": %.3f, \"ms_expected\": %.3f, \"cost\": %.2f, \"cost_with_index\": %.2f}",
						 served++ > 0 ? ", " : "", id_of(wish), (int64) wish->finding->queries[0],
						 wish->finding->calls, ms, ms * option->ratios[n],
						 wish->advice.index_cost, wish->advice.index_cost * option->ratios[n]);
	}
	hone_evidence_number(advice, "saves_ms_per_hour", saved);
	hone_evidence_json(advice, "serves", psprintf("[%s]", json.data));
}

/* Of a wish that gets none. */
static void
tell_why_none(Table *table, int nwish)
{
	HoneAdvice *advice = &table->wishes[nwish]->advice;
	const Option *option = NULL;
	double		saved;

	for (int i = 0; i < table->noptions; i++)
	{
		if (option == NULL || table->options[i].ratios[nwish] < option->ratios[nwish])
			option = &table->options[i];
	}
	advice->fix = NULL;
	advice->saving_ms = 0;
	if (option == NULL || option->ratios[nwish] >= 1)
	{
		hone_advice_set(advice, &advice->no_fix, "the table has too many statements that want indexes");
		return;
	}
	tell_writes(table, option, advice);
	saved = table->weights[nwish] * (1 - option->ratios[nwish]);
	hone_evidence_number(advice, "saves_ms_per_hour", saved);
	hone_evidence_text(advice, "best_index", option->index->text);
	if (option->write_ms >= saved)
		hone_advice_set(advice, &advice->no_fix, "an index %s would cost writers %.0f ms an hour and save %.0f",
						option->index->text, option->write_ms, saved);
	else if (hone_index_budget > 0)
		hone_advice_set(advice, &advice->no_fix, "an index %s takes %.0f MB, which hone.index_budget has no room for",
						option->index->text, option->index->bytes / (1024 * 1024));
	else
		hone_advice_set(advice, &advice->no_fix, "an index %s saves too little of what its statements take",
						option->index->text);
}

/* Would writers of the option lose more than the wish's statement saves? */
static bool
is_too_dear(const Table *table, int nwish, const char *text)
{
	for (int i = 0; i < table->noptions; i++)
	{
		const Option *option = &table->options[i];

		if (strcmp(option->index->text, text) == 0)
			return option->write_ms >= table->weights[nwish] * (1 - option->ratios[nwish]);
	}
	return false;
}

typedef struct Fix
{
	Oid			relid;
	const char *index;
	char	   *sql;
} Fix;

static void
write_fix(void *arg)
{
	Fix		   *fix = arg;

	fix->sql = hone_index_ddl(fix->relid, fix->index);
}

/* NULL where the table is gone meanwhile. */
static char *
fix_for(const Table *table, const Option *option)
{
	Fix			fix = {table->relid, option->index->text};

	return hone_advice_try(write_fix, &fix) == NULL ? fix.sql : NULL;
}

/*
 * The fix is made anew only where the index is not the wish's own.
 */
static void
tell(Table *table, int nwish)
{
	HoneIndexWish *wish = table->wishes[nwish];
	HoneAdvice *advice = &wish->advice;
	Option	   *option = best_for(table, nwish, -1);

	if (option == NULL)
	{
		tell_why_none(table, nwish);
		return;
	}
	if (strcmp(option->index->text, advice->index_best->text) != 0)
	{
		advice->fix = fix_for(table, option);
		/* of two the later one counts */
		if (get_rel_relkind(table->relid) == RELKIND_PARTITIONED_TABLE)
			hone_evidence_text(advice, "on_each_partition", option->index->text);
		advice->saving_ms = advice->cost_ms * (1 - option->ratios[nwish]);
		if (option->wish != nwish)
			hone_evidence_integer(advice, "index_of_recommendation", id_of(table->wishes[option->wish]));
		hone_evidence_text(advice, "why_not_its_own",
						   option->wish != nwish ? "that one serves it nearly as well" :
						   is_too_dear(table, nwish, advice->index_best->text) ? "writing to it costs too much" :
						   "it does not fit into hone.index_budget");
	}
	tell_writes(table, option, advice);
	tell_served(table, option, advice);
}

/* ------------------------------------------------------------------------
 * All of it
 * ------------------------------------------------------------------------
 */

/* Groups in the order of their first, most expensive wishes. */
static Table *
make_tables(List *wishes, int *ntables)
{
	Table	   *tables = palloc0(Max(list_length(wishes), 1) * sizeof(Table));
	ListCell   *lc;

	*ntables = 0;
	foreach(lc, wishes)
	{
		HoneIndexWish *wish = lfirst(lc);
		Table	   *table = tables;

		while (table < tables + *ntables && table->relid != wish->advice.index_on)
			table++;
		if (table == tables + *ntables)
		{
			table->relid = wish->advice.index_on;
			table->room = 4;
			table->wishes = palloc(table->room * sizeof(HoneIndexWish *));
			++*ntables;
		}
		if (table->nwishes == table->room)
		{
			table->room *= 2;
			table->wishes = repalloc(table->wishes, table->room * sizeof(HoneIndexWish *));
		}
		table->wishes[table->nwishes++] = wish;
	}
	return tables;
}

void
hone_index_choose(List *wishes)
{
	int			ntables;
	Table	   *tables = make_tables(wishes, &ntables);
	HoneUpdateTexts texts = {0};

	for (int g = 0; g < ntables; g++)
	{
		Table	   *table = &tables[g];

		CHECK_FOR_INTERRUPTS();
		table->weights = palloc(table->nwishes * sizeof(double));
		for (int n = 0; n < table->nwishes; n++)
			table->weights[n] = weight_of(table->wishes[n]);
		table->texts = &texts;
		make_options(table);
		find_ratios(table);
		find_writes(table);
	}
	choose_and_drop(tables, ntables);
	for (int g = 0; g < ntables; g++)
	{
		for (int n = 0; n < tables[g].nwishes; n++)
			tell(&tables[g], n);
	}
}
