#include "server/node/node.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "common/error.h"
#include "common/log.h"
#include "server/net/acceptor.h"
#include "server/net/worker.h"
#include "server/node/cpus.h"
#include "server/node/ticks.h"

/* Ids of clients begin so that a life of the node has 1,024 for each millisecond, and that they stay below 2^53. */
#define CLIENT_ID_SHIFT 10

/* Descriptors for everything but clients: listeners, rings, the arena, the log. */
#define OTHER_FILES 128u

/* ---- limits ---- */

uint64_t zs_node_raise_files_limit(struct zs_node *node, uint64_t maxclients)
{
	uint64_t others = OTHER_FILES + 8u * node->workers_count;
	uint64_t wanted = maxclients + others;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return maxclients;
	if (limit.rlim_cur < wanted) {
		struct rlimit raised = { .rlim_cur = wanted,
					 .rlim_max = limit.rlim_max < wanted ? wanted : limit.rlim_max };

		if (setrlimit(RLIMIT_NOFILE, &raised) == 0) {
			limit = raised;
		} else if (limit.rlim_cur < limit.rlim_max) {
			limit.rlim_cur = limit.rlim_max; /* as far as we may */
			setrlimit(RLIMIT_NOFILE, &limit);
		}
	}
	atomic_store_explicit(&node->files_limit, limit.rlim_cur, memory_order_relaxed);
	if (limit.rlim_cur >= wanted)
		return maxclients;
	return limit.rlim_cur > others ? limit.rlim_cur - others : 1;
}

static void fit_maxclients(struct zs_node *node)
{
	uint64_t wanted = (uint64_t)zs_node_setting(node, ZS_SET_MAXCLIENTS);
	uint64_t possible = zs_node_raise_files_limit(node, wanted);
	char text[32];
	char why[ZS_OPTION_WHY_MAX];

	if (possible == wanted)
		return;
	zs_log(ZS_LOG_WARN, "maxclients is lowered: the system's limit on open files (ulimit -n) allows no more",
	       zs_log_number("wanted", (int64_t)wanted), zs_log_number("maxclients", (int64_t)possible));
	snprintf(text, sizeof(text), "%llu", (unsigned long long)possible);
	zs_options_set(&node->options, ZS_SET_MAXCLIENTS, text, why, sizeof(why));
}

/* ---- opening ---- */

static void make_run_id(char run_id[41])
{
	uint8_t bytes[20];

	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		memset(bytes, 0, sizeof(bytes));
	for (size_t i = 0; i < sizeof(bytes); i++)
		snprintf(run_id + 2 * i, 3, "%02x", bytes[i]);
}

static void log_memory(struct zs_node *node, const char *size)
{
	struct zs_stats stats;

	zs_engine_stats(node->engine, &stats);
	if (stats.page_kind[0] == '4')
		zs_log(ZS_LOG_INFO, "memory", zs_log_text("size", size), zs_log_text("pages", stats.page_kind),
		       zs_log_text("faster",
				   "huge pages: reserve them by vm.nr_hugepages, or allow transparent ones by "
				   "/sys/kernel/mm/transparent_hugepage/shmem_enabled = advise"));
	else
		zs_log(ZS_LOG_INFO, "memory", zs_log_text("size", size), zs_log_text("pages", stats.page_kind));
}

static int open_engine(struct zs_node *node, char *why, size_t why_size)
{
	struct zs_engine_options options;
	char reason[ZS_OPTION_WHY_MAX / 2] = "";
	char memory[ZS_OPTION_TEXT_MAX];
	int result;

	zs_engine_options_init(&options);
	options.memory = (uint64_t)zs_node_setting(node, ZS_SET_MEMORY);
	options.policy = (enum zs_policy)zs_node_setting(node, ZS_SET_POLICY);
	options.threads = node->workers_count;
	options.quarantine_ms = (unsigned)zs_node_setting(node, ZS_SET_QUARANTINE);
	options.huge_pages = zs_node_setting(node, ZS_SET_HUGE_PAGES) != 0;
	options.prefault = zs_node_setting(node, ZS_SET_PREFAULT) != 0;
	result = zs_warm_tier_open(node, &options, why, why_size);
	if (result)
		return result;
	zs_options_print(&node->options, ZS_SET_MEMORY, memory);
	result = zs_engine_open(&options, &node->engine, reason, sizeof(reason));
	if (result) {
		snprintf(why, why_size, "'memory' of %.32s cannot be had: %s", memory,
			 *reason ? reason : zs_error_text(result));
		zs_warm_tier_close(node, false);
		return result;
	}
	log_memory(node, memory);
	return ZS_OK;
}

static int choose_loop(struct zs_node *node, char *why, size_t why_size)
{
	enum zs_loop_kind wanted = (enum zs_loop_kind)zs_node_setting(node, ZS_SET_IO);
	char reason[256];

	node->loop_kind = zs_loop_choose(wanted, reason, sizeof(reason));
	if (node->loop_kind == ZS_LOOP_AUTO) {
		snprintf(why, why_size, "'io' cannot be uring here: %s; use auto or epoll", reason);
		return ZS_ECONFIG;
	}
	if (*reason)
		zs_log(ZS_LOG_INFO, "event loop", zs_log_text("io", zs_loop_name(node->loop_kind)),
		       zs_log_text("why", reason));
	else
		zs_log(ZS_LOG_INFO, "event loop", zs_log_text("io", zs_loop_name(node->loop_kind)));
	return ZS_OK;
}

static void stop_workers(struct zs_node *node, unsigned started)
{
	for (unsigned i = 0; i < started; i++) {
		if (!node->workers[i].start_error)
			zs_worker_stop(&node->workers[i]);
	}
	for (unsigned i = 0; i < started; i++)
		zs_worker_join(&node->workers[i]);
	zs_warm_tier_has_workers(node, false);
	for (unsigned i = 0; i < started; i++)
		zs_worker_free(&node->workers[i]);
	free(node->workers);
	node->workers = 0;
}

/* Starts one worker after the other, because threads may not attach to the engine at the same time. An errno. */
static int start_all(struct zs_node *node, const struct zs_cpus *cpus)
{
	unsigned started = 0;
	int error = 0;
	sem_t ready;

	sem_init(&ready, 0, 0);
	while (started < node->workers_count && !error) {
		int cpu = cpus->count ? cpus->list[started % cpus->count] : -1;

		error = zs_worker_start(&node->workers[started], node, started, cpu, &ready);
		if (error)
			break;
		while (sem_wait(&ready) && errno == EINTR)
			;
		error = node->workers[started++].start_error;
	}
	if (error)
		stop_workers(node, started);
	sem_destroy(&ready);
	return error;
}

static int start_workers(struct zs_node *node, char *why, size_t why_size)
{
	char list[ZS_OPTION_TEXT_MAX];
	struct zs_cpus cpus;
	int error;

	zs_options_text(&node->options, ZS_SET_CPU_LIST, list);
	if (!zs_cpus_parse(list, &cpus, why, why_size))
		return ZS_ECONFIG;
	node->workers = calloc(node->workers_count, sizeof(*node->workers));
	error = node->workers ? start_all(node, &cpus) : ENOMEM;
	if (!error) {
		zs_warm_tier_has_workers(node, true);
		return ZS_OK;
	}
	snprintf(why, why_size, "the workers cannot be started: %s%s", strerror(error),
		 error == EINVAL && cpus.count ? "; 'cpu-list' must name CPUs that this process may use" : "");
	return ZS_ESYS;
}

static void log_listeners(const struct zs_node *node)
{
	for (unsigned i = 0; i < node->listeners.count; i++)
		zs_log(ZS_LOG_INFO, "listening", zs_log_text("address", node->listeners.list[i].name));
}

int zs_node_open(struct zs_node *node, char *why, size_t why_size)
{
	int64_t workers = zs_node_setting(node, ZS_SET_WORKERS);
	int result;

	zs_ticks_init();
	zs_slowlog_init(&node->slowlog);
	zs_latency_init(&node->latency);
	make_run_id(node->run_id);
	node->started_ms = zs_clock_ms(zs_clock_system());
	node->next_client_id = node->started_ms << CLIENT_ID_SHIFT;
	node->get_command = zs_command_find((const uint8_t *)"get", 3);
	node->set_command = zs_command_find((const uint8_t *)"set", 3);
	node->workers_count = workers ? (unsigned)workers : zs_cpus_available();
	/* The port first: a mistaken second start is to fail before it takes memory. */
	result = zs_listeners_open(&node->listeners, &node->options, why, why_size);
	if (result)
		goto free_logs;
	result = open_engine(node, why, why_size);
	if (result)
		goto close_listeners;
	result = choose_loop(node, why, why_size);
	if (result)
		goto close_engine;
	fit_maxclients(node);
	zs_sessions_open(&node->sessions, node->engine, (uint64_t)zs_node_setting(node, ZS_SET_LEASE),
			 (uint64_t)zs_node_setting(node, ZS_SET_QUARANTINE), node->listeners.unix_path);
	result = zs_rdma_service_open(node, why, why_size);
	if (result)
		goto close_sessions;
	result = zs_warm_tier_start(node, why, why_size);
	if (result)
		goto close_rdma;
	result = start_workers(node, why, why_size);
	if (result)
		goto close_rdma;
	log_listeners(node);
	return ZS_OK;
close_rdma:
	zs_rdma_service_close(node);
close_sessions:
	zs_sessions_close(&node->sessions);
close_engine:
	zs_warm_tier_close(node, false);
	zs_engine_close(node->engine);
close_listeners:
	zs_listeners_close(&node->listeners);
free_logs:
	zs_slowlog_free(&node->slowlog);
	zs_latency_free(&node->latency);
	return result;
}

void zs_node_run(struct zs_node *node, int signal_fd)
{
	sd_notify(0, "READY=1");
	zs_acceptor_run(node, signal_fd);
	sd_notify(0, "STOPPING=1");
}

void zs_node_close(struct zs_node *node)
{
	zs_listeners_close(&node->listeners);
	stop_workers(node, node->workers_count);
	zs_rdma_service_close(node);
	zs_sessions_close(&node->sessions);
	zs_warm_tier_close(node, true);
	zs_engine_close(node->engine);
	zs_slowlog_free(&node->slowlog);
	zs_latency_free(&node->latency);
	zs_log(ZS_LOG_INFO, "stopped");
}

void zs_node_reset_stats(struct zs_node *node)
{
	atomic_store_explicit(&node->accepted, 0, memory_order_relaxed);
	atomic_store_explicit(&node->rejected, 0, memory_order_relaxed);
	atomic_fetch_add_explicit(&node->stats_epoch, 1, memory_order_acq_rel);
	zs_engine_reset_stats(node->engine);
}
