# pg_hone: query and data-lifecycle tuning for PostgreSQL
#
#   make, make install, make installcheck, make indent
#   PG_CONFIG=/path/to/pg_config chooses the server to build for.

EXTENSION = pg_hone
EXTVERSION = 0.2
MODULE_big = pg_hone
PGFILEDESC = "pg_hone - query and data-lifecycle tuning"

COMMON_OBJS = \
	src/common/bucket.o \
	src/common/catalog.o \
	src/common/error_text.o \
	src/common/observer.o \
	src/common/own_tables.o \
	src/common/owner.o \
	src/common/procedure.o \
	src/common/relation.o \
	src/common/savefile.o \
	src/common/script.o \
	src/common/sleep.o \
	src/common/sqltext.o \
	src/common/task.o \
	src/common/toplevel.o \
	src/common/total_order.o \
	src/common/worker.o \
	src/compat/compat.o

STATS_OBJS = \
	src/stats/collector.o \
	src/stats/databases.o \
	src/stats/encoding.o \
	src/stats/flush.o \
	src/stats/functions.o \
	src/stats/histogram.o \
	src/stats/history.o \
	src/stats/history_read.o \
	src/stats/history_write.o \
	src/stats/housekeeping.o \
	src/stats/pending.o \
	src/stats/sample_view.o \
	src/stats/samples.o \
	src/stats/save.o \
	src/stats/shared.o \
	src/stats/snapshot.o \
	src/stats/stats.o \
	src/stats/texts.o

CAPTURE_OBJS = \
	src/capture/capture.o \
	src/capture/errors.o \
	src/capture/executor.o \
	src/capture/parallel.o \
	src/capture/utility.o

ADVISE_OBJS = \
	src/advise/advice_catalog.o \
	src/advise/advice_condition.o \
	src/advise/advice_database.o \
	src/advise/advice_index.o \
	src/advise/advice_list.o \
	src/advise/advice_loop.o \
	src/advise/advice_materialize.o \
	src/advise/advice_memory.o \
	src/advise/advice_not_in.o \
	src/advise/advice_offset.o \
	src/advise/advice_repeat.o \
	src/advise/advice_result.o \
	src/advise/advice_star.o \
	src/advise/advice_statistics.o \
	src/advise/advice_storage.o \
	src/advise/advice_type.o \
	src/advise/advise.o \
	src/advise/aggregate.o \
	src/advise/apply.o \
	src/advise/apply_tree.o \
	src/advise/clause.o \
	src/advise/conditions.o \
	src/advise/evidence.o \
	src/advise/finding.o \
	src/advise/finding_save.o \
	src/advise/index_candidates.o \
	src/advise/index_choice.o \
	src/advise/index_trial.o \
	src/advise/index_wish.o \
	src/advise/index_writes.o \
	src/advise/keys.o \
	src/advise/loops.o \
	src/advise/materialize.o \
	src/advise/materialize_problem.o \
	src/advise/nodes.o \
	src/advise/offset.o \
	src/advise/paging.o \
	src/advise/plans.o \
	src/advise/provenance.o \
	src/advise/quals.o \
	src/advise/reads.o \
	src/advise/recommend.o \
	src/advise/result.o \
	src/advise/rewrite.o \
	src/advise/rewrite_text.o \
	src/advise/sample.o \
	src/advise/spill.o \
	src/advise/star.o \
	src/advise/values.o \
	src/advise/weights.o \
	src/advise/window.o \
	src/advise/writes.o

INDEX_OBJS = \
	src/index/estimate.o \
	src/index/functions.o \
	src/index/hypothetical.o \
	src/index/parse.o

TIERED_OBJS = \
	src/tiered/am.o \
	src/tiered/analyze.o \
	src/tiered/batch.o \
	src/tiered/bloom.o \
	src/tiered/cluster.o \
	src/tiered/codec_bits.o \
	src/tiered/codec_bytes.o \
	src/tiered/codec_dict.o \
	src/tiered/codec_encode.o \
	src/tiered/codec_float.o \
	src/tiered/codec_frame.o \
	src/tiered/codec_fuzz.o \
	src/tiered/codec_int.o \
	src/tiered/codec_read.o \
	src/tiered/codec_test.o \
	src/tiered/condition.o \
	src/tiered/compact.o \
	src/tiered/copy.o \
	src/tiered/current_of.o \
	src/tiered/cursor.o \
	src/tiered/custom_path.o \
	src/tiered/custom_scan.o \
	src/tiered/defaults.o \
	src/tiered/detail.o \
	src/tiered/fold.o \
	src/tiered/functions.o \
	src/tiered/guard.o \
	src/tiered/heap_swap.o \
	src/tiered/index_build.o \
	src/tiered/key_share.o \
	src/tiered/moves.o \
	src/tiered/order.o \
	src/tiered/plan_check.o \
	src/tiered/prepared.o \
	src/tiered/probe.o \
	src/tiered/prune.o \
	src/tiered/progress.o \
	src/tiered/recompress.o \
	src/tiered/rewrite.o \
	src/tiered/row.o \
	src/tiered/sample.o \
	src/tiered/run.o \
	src/tiered/sort.o \
	src/tiered/store.o \
	src/tiered/switch.o \
	src/tiered/tablespace.o \
	src/tiered/tiered.o \
	src/tiered/tombstone.o \
	src/tiered/unfold.o \
	src/tiered/unique.o \
	src/tiered/wal_changes.o \
	src/tiered/write.o

LIFECYCLE_OBJS = \
	src/lifecycle/archive_command.o \
	src/lifecycle/archive_file.o \
	src/lifecycle/archive_functions.o \
	src/lifecycle/archive_manifest.o \
	src/lifecycle/archive_read.o \
	src/lifecycle/archive_stream.o \
	src/lifecycle/archive_target.o \
	src/lifecycle/archive_text.o \
	src/lifecycle/bounds.o \
	src/lifecycle/changes.o \
	src/lifecycle/launcher.o \
	src/lifecycle/leave.o \
	src/lifecycle/leaves.o \
	src/lifecycle/leaving.o \
	src/lifecycle/lifecycle.o \
	src/lifecycle/log.o \
	src/lifecycle/move.o \
	src/lifecycle/pace.o \
	src/lifecycle/policy.o \
	src/lifecycle/policy_check.o \
	src/lifecycle/premake.o \
	src/lifecycle/premake_bounds.o \
	src/lifecycle/premake_default.o \
	src/lifecycle/premake_make.o \
	src/lifecycle/premake_name.o \
	src/lifecycle/replicas.o \
	src/lifecycle/restore.o \
	src/lifecycle/run.o \
	src/lifecycle/window.o \
	src/lifecycle/worker.o

BATCH_OBJS = \
	src/batch/condition.o \
	src/batch/delete.o \
	src/batch/fetch.o \
	src/batch/fetch_keys.o \
	src/batch/insert.o \
	src/batch/insert_rows.o \
	src/batch/job.o \
	src/batch/json_value.o \
	src/batch/key.o \
	src/batch/move.o \
	src/batch/options.o \
	src/batch/page.o \
	src/batch/page_cursor.o \
	src/batch/page_query.o \
	src/batch/run.o \
	src/batch/saved_plan.o \
	src/batch/target.o \
	src/batch/update.o \
	src/batch/walk_key.o \
	src/batch/walk_tid.o \
	src/batch/work.o

CACHE_OBJS = \
	src/cache/cache.o \
	src/cache/cached_query.o \
	src/cache/digest.o \
	src/cache/invalidate.o \
	src/cache/query.o \
	src/cache/rate_limit.o \
	src/cache/store.o

OBJS = src/pg_hone.o $(COMMON_OBJS) $(STATS_OBJS) $(CAPTURE_OBJS) \
	$(INDEX_OBJS) $(ADVISE_OBJS) $(TIERED_OBJS) $(LIFECYCLE_OBJS) $(BATCH_OBJS) \
	$(CACHE_OBJS)

# The install script is these fragments, in this order.
SQL_FRAGMENTS = \
	sql/install/00_schema.sql \
	sql/install/10_pause.sql \
	sql/install/20_stats.sql sql/install/25_history.sql \
	sql/install/30_advise.sql \
	sql/install/35_index.sql \
	sql/install/40_tiered.sql \
	sql/install/50_lifecycle.sql \
	sql/install/51_premake.sql \
	sql/install/52_archive.sql \
	sql/install/53_tablespace.sql \
	sql/install/54_pace.sql \
	sql/install/55_leave.sql \
	sql/install/56_storage.sql \
	sql/install/57_indexes.sql sql/install/58_keys.sql \
	sql/install/59_apply.sql \
	sql/install/60_batch.sql \
	sql/install/61_rows.sql \
	sql/install/62_page.sql \
	sql/install/63_cache.sql \
	sql/install/90_privileges.sql

EXTENSION_SCRIPT = pg_hone--$(EXTVERSION).sql
DATA_built = $(EXTENSION_SCRIPT)

STATS_REGRESS = \
	stats_percentiles \
	stats_capture \
	stats_errors \
	stats_history \
	stats_parallel \
	stats_privileges \
	stats_reset \
	stats_samples \
	stats_secrets \
	stats_switches
ADVISE_REGRESS = \
	advise_n_plus_one \
	advise_not_n_plus_one \
	advise_provenance \
	advise_repetition \
	advise_offset \
	advise_offset_walk \
	advise_result \
	advise_select_star \
	advise_missing_index advise_index_choice advise_index_trial advise_index_reads \
	advise_conditions \
	advise_lists advise_meaning \
	advise_nodes \
	advise_materialize \
	advise_database \
	advise_tiers \
	advise_indexes \
	advise_keys \
	advise_fixes \
	advise_privacy \
	advise_hostile \
	advise_switches
INDEX_REGRESS = \
	index_hypothetical \
	index_size
TIERED_REGRESS = \
	tiered_codec \
	tiered_analyze \
	tiered_types \
	tiered_ddl \
	tiered_cluster \
	tiered_dml \
	tiered_current_of \
	tiered_refusals \
	tiered_order_by \
	tiered_recompress \
	tiered_lookup \
	tiered_plans \
	tiered_sample \
	tiered_tablespace \
	tiered_twin
LIFECYCLE_REGRESS = \
	lifecycle_policy \
	lifecycle_epoch \
	lifecycle_bad_input \
	lifecycle_move \
	lifecycle_archive_file \
	lifecycle_archive \
	lifecycle_worker \
	lifecycle_pace \
	lifecycle_storage \
	lifecycle_security \
	lifecycle_premake
BATCH_REGRESS = \
	batch_delete \
	batch_update \
	batch_move \
	batch_options \
	batch_bad_input \
	fetch_batch \
	insert_batch \
	page

CACHE_REGRESS = \
	cached_query \
	rate_limit

REGRESS = setup $(STATS_REGRESS) $(ADVISE_REGRESS) $(INDEX_REGRESS) $(TIERED_REGRESS) \
	$(LIFECYCLE_REGRESS) $(BATCH_REGRESS) $(CACHE_REGRESS)

# test/specs/*.spec, with their expected output in test/expected.
ISOLATION = \
	tiered_epq \
	tiered_key_share \
	tiered_index_epq \
	tiered_fold_beside \
	tiered_rewrite \
	tiered_snapshot \
	batch_delete_concurrent \
	batch_concurrent \
	cached_query \
	lifecycle_movers \
	stats_sessions \
	advise_idle \
	advise_indexes
ISOLATION_OPTS = --inputdir=$(srcdir)/test --load-extension=pg_hone

EXTRA_CLEAN = $(EXTENSION_SCRIPT)

ZSTD_CFLAGS := $(shell pkg-config --cflags libzstd 2>/dev/null)
ZSTD_LIBS := $(shell pkg-config --libs libzstd 2>/dev/null)

PG_CPPFLAGS = -I$(srcdir)/src $(ZSTD_CFLAGS)
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wno-cast-function-type \
	-Wno-declaration-after-statement
SHLIB_LINK = $(ZSTD_LIBS)
# Calls within the library are direct, also where PostgreSQL (15) does not hide
# its symbols: a statement makes two dozen of them.
ifeq ($(shell uname -s),Linux)
SHLIB_LINK += -Wl,-Bsymbolic
endif

PG_CONFIG ?= pg_config

# Where this file is: the build may run in another directory (VPATH).
HONE_TOP := $(dir $(lastword $(MAKEFILE_LIST)))

ifneq ($(MAKECMDGOALS),clean)
include $(HONE_TOP)Makefile.check
endif

# No function of ours is worth inlining into JIT code.
override with_llvm = no

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

# The script and the library carry the checksum of the same fragments, so that
# each recognises the other (src/common/script.c).
SCRIPT_SUM := $(firstword $(shell cd $(HONE_TOP). && cat $(SQL_FRAGMENTS) | cksum))

$(EXTENSION_SCRIPT): $(SQL_FRAGMENTS) Makefile
	cat $(addprefix $(HONE_TOP),$(SQL_FRAGMENTS)) | sed 's/@SCRIPT@/$(EXTVERSION)-$(SCRIPT_SUM)/g' > $@

src/common/script.o: $(SQL_FRAGMENTS) Makefile
src/common/script.o: override CPPFLAGS += -DHONE_VERSION='"$(EXTVERSION)"' -DHONE_SCRIPT_SUM='"$(SCRIPT_SUM)"'

$(OBJS): $(wildcard $(HONE_TOP)src/*.h $(HONE_TOP)src/*/*.h)

# A build in another directory (VPATH) starts without the folders of src.
$(shell mkdir -p $(sort $(dir $(OBJS))))

.PHONY: indent
indent:
	sh $(HONE_TOP)test/indent.sh
