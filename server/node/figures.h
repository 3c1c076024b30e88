/*
 * The workers' figures, added up. Any thread; while workers count, the sums are as of some moment near the call.
 */
#ifndef ZS_SERVER_NODE_FIGURES_H
#define ZS_SERVER_NODE_FIGURES_H

#include <stdint.h>

#include "server/node/node.h"
#include "server/node/stats.h"

struct zs_figures {
	uint64_t commands;
	uint64_t bytes_in;
	uint64_t bytes_out;
	uint64_t errors;
	uint64_t overflows;
	uint64_t idle_closed;
	uint64_t stalls;
};

void zs_figures_sum(struct zs_node *node, struct zs_figures *figures);

struct zs_command_figures {
	uint64_t calls;
	uint64_t ns;
	uint64_t rejected;
	uint64_t failed;
	uint64_t latency[ZS_HISTOGRAM_BUCKETS];
};

void zs_figures_of_command(struct zs_node *node, unsigned id, struct zs_command_figures *figures);

/* Fills `kinds`, ended by a zero count; of ZS_ERROR_KINDS + 1 entries. */
void zs_figures_errors(struct zs_node *node, struct zs_error_kind *kinds);

#endif
