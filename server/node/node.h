/*
 * The whole process: settings, the engine, the workers, and what they share.
 */
#ifndef ZS_SERVER_NODE_NODE_H
#define ZS_SERVER_NODE_NODE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/options.h"
#include "server/commands/command.h"
#include "server/engine/engine.h"
#include "server/net/listener.h"
#include "server/net/loop.h"
#include "server/net/rdma.h"
#include "server/node/latency.h"
#include "server/node/sessions.h"
#include "server/node/settings.h"
#include "server/node/slowlog.h"
#include "server/node/warm.h"

#define ZS_VERSION "0.1.0"

/* The Redis whose replies ours are like. Clients choose features by it. */
#define ZS_REDIS_VERSION "7.0.15"

#define ZS_OPS_SAMPLES 16

/* Commands per second, sampled by the main thread as Redis does it. */
struct zs_ops {
	uint64_t samples[ZS_OPS_SAMPLES];
	unsigned next;
	uint64_t last_count;
	uint64_t last_ns;
	_Atomic uint64_t per_second;
};

struct zs_node {
	struct zs_options options;
	char config_path[ZS_OPTION_TEXT_MAX]; /* empty: none */
	char run_id[41];
	uint64_t started_ms;
	struct zs_engine *engine;
	struct zs_warm_tier warm;
	enum zs_loop_kind loop_kind;
	struct zs_listeners listeners;
	struct zs_sessions sessions;
	struct zs_rdma_service rdma;

	struct zs_worker *workers;
	unsigned workers_count;

	struct zs_slowlog slowlog;
	struct zs_latency latency;
	const struct zs_command *get_command; /* GET and SET, which pipelines run in batches */
	const struct zs_command *set_command;
	struct zs_ops ops;

	_Atomic uint64_t
	    next_client_id; /* begins with the time of the start: no id is that of an earlier life's client */
	_Atomic uint64_t clients;
	_Atomic uint64_t accepted;
	_Atomic uint64_t rejected;
	_Atomic uint64_t stats_epoch;
	_Atomic uint64_t files_limit;
};

/* A numeric setting. Any thread. */
static inline int64_t zs_node_setting(const struct zs_node *node, enum zs_setting setting)
{
	return zs_options_number(&node->options, setting);
}

/*
 * Opens everything: memory, listeners, workers. The settings must have been read and checked. On error, everything is
 * closed again and `why` is a sentence for the operator. ZS_OK or an error.
 */
int zs_node_open(struct zs_node *node, char *why, size_t why_size);

/* Serves until SIGTERM or SIGINT comes out of `signal_fd`, see zs_acceptor_signals. */
void zs_node_run(struct zs_node *node, int signal_fd);

/* Lets workers answer what they have, ends them, and releases everything but the settings. */
void zs_node_close(struct zs_node *node);

/*
 * Makes sure that the process may open enough files for `maxclients`. Returns how many clients there may be, which is
 * fewer if the system's limit cannot be raised. Any thread.
 */
uint64_t zs_node_raise_files_limit(struct zs_node *node, uint64_t maxclients);

/* Forgets all figures that count events. Any thread. */
void zs_node_reset_stats(struct zs_node *node);

#endif
