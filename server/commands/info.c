/* INFO: Redis' field names where the meaning is the same, and ours, which begin with zs_. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "common/log.h"
#include "server/commands/arguments.h"
#include "server/commands/dispatch.h"
#include "server/commands/server_handlers.h"
#include "server/node/figures.h"
#include "server/node/node.h"
#include "server/tier/store.h"

/* What the sections print from. */
struct info {
	struct zs_node *node;
	struct zs_reply text;
	struct zs_stats engine;
	struct zs_figures figures;
	uint64_t now_ms;
};

#define LINE(info, format, ...) zs_text_printf(&(info)->text, format "\r\n", __VA_ARGS__)

static void print_number(struct info *info, const char *name, uint64_t value)
{
	LINE(info, "%s:%" PRIu64, name, value);
}

static void print_human(struct info *info, const char *name, uint64_t bytes)
{
	static const char units[] = "BKMGT";
	double value = (double)bytes;
	unsigned unit = 0;

	while (value >= 1024 && unit < 4) {
		value /= 1024;
		unit++;
	}
	if (unit == 0)
		LINE(info, "%s:%" PRIu64 "B", name, bytes);
	else
		LINE(info, "%s:%.2f%c", name, value, units[unit]);
}

/* ---- sections ---- */

static void print_server(struct info *info)
{
	struct zs_node *node = info->node;
	uint64_t uptime_s = (info->now_ms - node->started_ms) / 1000;
	struct utsname os;

	uname(&os);
	LINE(info, "redis_version:%s", ZS_REDIS_VERSION);
	LINE(info, "redis_mode:%s", "standalone");
	LINE(info, "zs_version:%s", ZS_VERSION);
	LINE(info, "os:%s %s %s", os.sysname, os.release, os.machine);
	print_number(info, "arch_bits", 8 * sizeof(void *));
	LINE(info, "multiplexing_api:%s", zs_loop_name(node->loop_kind));
	LINE(info, "gcc_version:%s", __VERSION__);
	print_number(info, "process_id", (uint64_t)getpid());
	LINE(info, "run_id:%s", node->run_id);
	print_number(info, "tcp_port", (uint64_t)zs_node_setting(node, ZS_SET_PORT));
	print_number(info, "server_time_usec", info->now_ms * 1000);
	print_number(info, "uptime_in_seconds", uptime_s);
	print_number(info, "uptime_in_days", uptime_s / 86400);
	LINE(info, "config_file:%s", node->config_path);
	print_number(info, "zs_workers", node->workers_count);
	print_number(info, "zs_log_lines_lost", zs_log_dropped());
}

static void print_clients(struct info *info)
{
	struct zs_node *node = info->node;

	print_number(info, "zs_shared_memory_sessions", zs_sessions_count(&node->sessions));
	print_number(info, "zs_rdma_connections", atomic_load_explicit(&node->rdma.connections, memory_order_relaxed));
	print_number(info, "zs_rdma_refused", atomic_load_explicit(&node->rdma.refused, memory_order_relaxed));
	print_number(info, "connected_clients", atomic_load_explicit(&node->clients, memory_order_relaxed));
	print_number(info, "cluster_connections", 0);
	print_number(info, "maxclients", (uint64_t)zs_node_setting(node, ZS_SET_MAXCLIENTS));
	print_number(info, "blocked_clients", 0);
	print_number(info, "tracking_clients", 0);
}

static uint64_t resident_bytes(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long long total = 0;
	unsigned long long resident = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%llu %llu", &total, &resident) != 2)
		resident = 0;
	fclose(file);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t system_bytes(void)
{
	struct sysinfo system;

	return sysinfo(&system) ? 0 : (uint64_t)system.totalram * system.mem_unit;
}

static void print_memory(struct info *info)
{
	const struct zs_stats *e = &info->engine;
	uint64_t used = e->arena_bytes - e->free_bytes + e->outside_bytes;
	uint64_t resident = resident_bytes();
	char policy[ZS_OPTION_TEXT_MAX];

	zs_options_print(&info->node->options, ZS_SET_POLICY, policy);
	print_number(info, "used_memory", used);
	print_human(info, "used_memory_human", used);
	print_number(info, "used_memory_rss", resident);
	print_human(info, "used_memory_rss_human", resident);
	print_number(info, "used_memory_overhead", used > e->payload_bytes ? used - e->payload_bytes : 0);
	print_number(info, "used_memory_dataset", e->payload_bytes);
	print_number(info, "total_system_memory", system_bytes());
	print_number(info, "maxmemory", e->arena_bytes);
	print_human(info, "maxmemory_human", e->arena_bytes);
	LINE(info, "maxmemory_policy:%s", policy);
	LINE(info, "mem_fragmentation_ratio:%.2f", used ? (double)resident / (double)used : 0);
	LINE(info, "mem_allocator:%s", "slab");
	LINE(info, "zs_page_kind:%s", e->page_kind);
	print_number(info, "zs_arena_bytes", e->arena_bytes);
	print_number(info, "zs_superblock_bytes", e->superblock_bytes);
	print_number(info, "zs_index_bytes", e->index_bytes);
	print_number(info, "zs_slab_bytes", e->slab_bytes);
	print_number(info, "zs_payload_bytes", e->payload_bytes);
	print_number(info, "zs_header_and_open_bytes",
		     e->slab_bytes > e->payload_bytes ? e->slab_bytes - e->payload_bytes : 0);
	print_number(info, "zs_quarantine_bytes", e->quarantine_bytes);
	print_number(info, "zs_free_bytes", e->free_bytes);
	print_number(info, "zs_outside_bytes", e->outside_bytes);
	LINE(info, "zs_overhead_per_object:%.2f",
	     e->objects ? (double)(used - e->payload_bytes) / (double)e->objects : 0);
	print_number(info, "zs_rdma_pinned_bytes",
		     atomic_load_explicit(&info->node->rdma.pinned, memory_order_relaxed));
	print_number(info, "zs_slabs", e->slabs);
	print_number(info, "zs_open_slabs", e->open_slabs);
	print_number(info, "zs_groups", e->groups);
	print_number(info, "zs_index_entries", e->index_entries);
	print_number(info, "zs_index_used", e->index_used);
	print_number(info, "zs_index_overflow", e->index_overflow);
	print_number(info, "zs_index_resizes", e->index_resizes);
	print_number(info, "zs_index_growing", e->index_growing);
}

static void print_stats(struct info *info)
{
	const struct zs_stats *e = &info->engine;
	const struct zs_figures *f = &info->figures;
	struct zs_node *node = info->node;
	uint64_t reads = e->hits + e->misses;

	print_number(info, "total_connections_received", atomic_load_explicit(&node->accepted, memory_order_relaxed));
	print_number(info, "total_commands_processed", f->commands);
	print_number(info, "instantaneous_ops_per_sec",
		     atomic_load_explicit(&node->ops.per_second, memory_order_relaxed));
	print_number(info, "total_net_input_bytes", f->bytes_in);
	print_number(info, "total_net_output_bytes", f->bytes_out);
	print_number(info, "rejected_connections", atomic_load_explicit(&node->rejected, memory_order_relaxed));
	print_number(info, "expired_keys", e->expired_objects);
	print_number(info, "evicted_keys", e->evicted_objects);
	print_number(info, "keyspace_hits", e->hits);
	print_number(info, "keyspace_misses", e->misses);
	LINE(info, "zs_hit_ratio:%.4f", reads ? (double)e->hits / (double)reads : 0);
	print_number(info, "total_error_replies", f->errors);
	print_number(info, "client_output_buffer_limit_disconnections", f->overflows);
	print_number(info, "zs_idle_disconnections", f->idle_closed);
	print_number(info, "zs_sets", e->sets);
	print_number(info, "zs_deletes", e->deletes);
	print_number(info, "zs_expired_slabs", e->expired_slabs);
	print_number(info, "zs_evicted_slabs", e->evicted_slabs);
	print_number(info, "zs_dropped_objects", e->dropped_objects);
	print_number(info, "zs_moved_by_eviction", e->moved_evict);
	print_number(info, "zs_moved_by_merging", e->moved_merge);
	print_number(info, "zs_moved_by_lifetime", e->moved_lifetime);
	print_number(info, "zs_displaced_entries", e->displaced);
	print_number(info, "zs_ghost_hits", e->ghost_hits);
	print_number(info, "zs_quarantine_stalls", f->stalls);
	print_number(info, "zs_upkeep_slow_steps", e->upkeep_slow);
	print_number(info, "zs_upkeep_longest_usec", e->upkeep_longest_us);
}

static double ratio(uint64_t a, uint64_t b)
{
	return b ? (double)a / (double)b : 0;
}

#define SECONDS_OF_DAY 86400u

static void print_warm(struct info *info)
{
	struct zs_store *store = info->node->warm.store;
	const struct zs_stats *e = &info->engine;
	struct zs_store_figures f;

	print_number(info, "zs_warm_enabled", store != NULL);
	if (!store)
		return;
	zs_store_figures(store, &f);
	LINE(info, "zs_warm_start:%s", f.start);
	print_number(info, "zs_warm_bytes", f.zones * f.zone_bytes);
	print_number(info, "zs_warm_written_bytes", f.written_bytes);
	print_number(info, "zs_warm_objects", e->warm_objects);
	print_number(info, "zs_warm_zone_bytes", f.zone_bytes);
	print_number(info, "zs_warm_zones", f.zones);
	print_number(info, "zs_warm_zones_empty", f.zones_by_state[ZS_STORE_EMPTY]);
	print_number(info, "zs_warm_zones_open", f.zones_by_state[ZS_STORE_OPEN]);
	print_number(info, "zs_warm_zones_full", f.zones_by_state[ZS_STORE_FULL]);
	print_number(info, "zs_warm_zones_evicting", f.zones_by_state[ZS_STORE_EVICTING]);
	print_number(info, "zs_warm_zones_read_only", f.zones_by_state[ZS_STORE_READ_ONLY]);
	print_number(info, "zs_warm_zones_offline", f.zones_by_state[ZS_STORE_OFFLINE]);
	print_number(info, "zs_warm_zones_short", f.zones_by_stream[ZS_STREAM_SHORT]);
	print_number(info, "zs_warm_zones_day", f.zones_by_stream[ZS_STREAM_DAY]);
	print_number(info, "zs_warm_zones_long", f.zones_by_stream[ZS_STREAM_LONG]);
	print_number(info, "zs_warm_hits", e->warm_hits);
	print_number(info, "zs_warm_reads", f.reads);
	print_number(info, "zs_warm_reads_bad", f.reads_bad);
	print_number(info, "zs_warm_cache_hits", f.cache_hits);
	print_number(info, "zs_warm_demoted_objects", e->demoted_objects);
	print_number(info, "zs_warm_vain_reads", e->warm_vain);
	print_number(info, "zs_warm_promoted_objects", e->promoted_objects);
	print_number(info, "zs_warm_second_chances", e->second_chances);
	print_number(info, "zs_warm_refused_objects", e->warm_refused);
	print_number(info, "zs_warm_given_up_objects", f.given_up_objects);
	print_number(info, "zs_warm_appended_bytes", f.appended_bytes);
	print_number(info, "zs_warm_admitted_bytes", f.admitted_bytes);
	print_number(info, "zs_warm_dead_bytes", f.dead_bytes);
	print_number(info, "zs_warm_overhead_bytes", f.appended_bytes - f.admitted_bytes - f.dead_bytes);
	LINE(info, "zs_warm_write_amplification:%.3f", ratio(f.appended_bytes, f.admitted_bytes));
	LINE(info, "zs_warm_writes_per_day:%.2f",
	     ratio(f.appended_bytes, f.zones * f.zone_bytes) * ratio(SECONDS_OF_DAY, f.seconds));
	if (f.budget_bytes != UINT64_MAX)
		print_number(info, "zs_warm_budget_bytes", f.budget_bytes);
	print_number(info, "zs_warm_resets", f.resets);
	print_number(info, "zs_warm_append_errors", f.append_errors);
	print_number(info, "zs_warm_read_errors", f.read_errors);
	print_number(info, "zs_warm_reset_errors", f.reset_errors);
	print_number(info, "zs_warm_journal_errors", f.journal_errors);
	print_number(info, "zs_warm_budget_refusals", f.budget_refusals);
	LINE(info, "zs_warm_last_error:%s", f.last_error);
	print_number(info, "zs_warm_journal_chunks_used", f.marks_used);
	print_number(info, "zs_warm_journal_chunks", f.marks_room);
	print_number(info, "zs_warm_rebuilding", f.rebuilding);
	print_number(info, "zs_warm_rebuilt_zones", f.rebuilt_zones);
	print_number(info, "zs_warm_rebuilt_bytes", f.rebuilt_bytes);
	print_number(info, "zs_warm_rebuilt_objects", f.rebuilt_objects);
	print_number(info, "zs_warm_rebuild_ms", f.rebuild_ms);
}

static double seconds(const struct timeval *t)
{
	return (double)t->tv_sec + (double)t->tv_usec / 1e6;
}

static void print_cpu(struct info *info)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	LINE(info, "used_cpu_sys:%.6f", seconds(&usage.ru_stime));
	LINE(info, "used_cpu_user:%.6f", seconds(&usage.ru_utime));
}

static void print_commandstats(struct info *info)
{
	struct zs_command_figures figures;
	unsigned total = zs_command_ids();
	char name[64];

	for (unsigned i = 0; i < total; i++) {
		const struct zs_command *command = zs_command_by_id(i);

		if (!command)
			continue;
		zs_figures_of_command(info->node, i, &figures);
		if (!figures.calls && !figures.rejected)
			continue;
		zs_command_full_name(command, '|', name, sizeof(name));
		LINE(info,
		     "cmdstat_%s:calls=%" PRIu64 ",usec=%" PRIu64 ",usec_per_call=%.2f,rejected_calls=%" PRIu64
		     ",failed_calls=%" PRIu64,
		     name, figures.calls, figures.ns / 1000,
		     figures.calls ? (double)figures.ns / 1000 / (double)figures.calls : 0, figures.rejected,
		     figures.failed);
	}
}

static void print_latencystats(struct info *info)
{
	struct zs_command_figures figures;
	unsigned total = zs_command_ids();
	char name[64];

	for (unsigned i = 0; i < total; i++) {
		const struct zs_command *command = zs_command_by_id(i);

		if (!command)
			continue;
		zs_figures_of_command(info->node, i, &figures);
		if (!figures.calls)
			continue;
		zs_command_full_name(command, '|', name, sizeof(name));
		LINE(info, "latency_percentiles_usec_%s:p50=%.3f,p99=%.3f,p99.9=%.3f", name,
		     (double)zs_histogram_percentile(figures.latency, 50) / 1000,
		     (double)zs_histogram_percentile(figures.latency, 99) / 1000,
		     (double)zs_histogram_percentile(figures.latency, 99.9) / 1000);
	}
}

static void print_errorstats(struct info *info)
{
	struct zs_error_kind kinds[ZS_ERROR_KINDS + 1];

	zs_figures_errors(info->node, kinds);
	for (unsigned i = 0; kinds[i].count; i++)
		LINE(info, "errorstat_%s:count=%" PRIu64, kinds[i].name, kinds[i].count);
}

static void print_cluster(struct info *info)
{
	print_number(info, "cluster_enabled", 0);
}

static void print_keyspace(struct info *info)
{
	if (info->engine.objects)
		LINE(info, "db0:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0", info->engine.objects,
		     info->engine.objects_with_deadline);
}

static void print_replication(struct info *info)
{
	LINE(info, "role:%s", "master");
	print_number(info, "connected_slaves", 0);
}

struct section {
	const char *name;
	const char *title;
	void (*print)(struct info *info);
	bool standard; /* without being asked for by name */
};

static const struct section sections[] = {
	{ "server", "Server", print_server, true },
	{ "clients", "Clients", print_clients, true },
	{ "memory", "Memory", print_memory, true },
	{ "stats", "Stats", print_stats, true },
	{ "warm", "Warm", print_warm, true },
	{ "replication", "Replication", print_replication, true },
	{ "cpu", "CPU", print_cpu, true },
	{ "commandstats", "Commandstats", print_commandstats, false },
	{ "latencystats", "Latencystats", print_latencystats, false },
	{ "errorstats", "Errorstats", print_errorstats, true },
	{ "cluster", "Cluster", print_cluster, true },
	{ "keyspace", "Keyspace", print_keyspace, true },
};

static bool is_wanted(const struct zs_call *call, const struct section *section)
{
	for (size_t i = 1; i < call->argc; i++) {
		const struct zs_argument *a = &call->argv[i];

		if (zs_argument_is(a, section->name) || zs_argument_is(a, "all") || zs_argument_is(a, "everything") ||
		    (zs_argument_is(a, "default") && section->standard))
			return true;
	}
	return call->argc == 1 && section->standard;
}

int zs_handle_info(struct zs_call *call)
{
	struct info info = { .node = call->node, .now_ms = zs_thread_now(call->thread) };
	bool first = true;

	zs_reply_init(&info.text, ZS_TEXT_MAX);
	zs_engine_stats(call->node->engine, &info.engine);
	zs_figures_sum(call->node, &info.figures);
	for (size_t i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
		if (!is_wanted(call, &sections[i]))
			continue;
		LINE(&info, "%s# %s", first ? "" : "\r\n", sections[i].title);
		first = false;
		sections[i].print(&info);
	}
	zs_reply_text(call, &info.text);
	return ZS_OK;
}
