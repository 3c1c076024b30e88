/*
 * The node's warm tier: from the settings to a device, a journal and a store.
 */
#ifndef ZS_SERVER_NODE_WARM_H
#define ZS_SERVER_NODE_WARM_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

#include "server/engine/engine.h"
#include "server/tier/store.h"

struct zs_node;

/* What was opened before the engine. */
struct zs_warm_tier {
	struct zs_zone_device *device; /* NULL: no warm tier, or the store has it */
	struct zs_journal *journal;
	struct zs_group_map *groups;
	struct zs_store *store;
	pthread_mutex_t waking; /* of the workers, by the store's thread */
	bool has_workers;	/* under it */
};

/*
 * Opens what the setting `warm` names, and adds to the engine's options what the engine has to know of it. Nothing is
 * changed on a device that is not ours. ZS_OK, also without a warm tier, or an error and a sentence.
 */
int zs_warm_tier_open(struct zs_node *node, struct zs_engine_options *options, char *why, size_t why_size);

/* Opens the store, after the engine and before the workers. */
int zs_warm_tier_start(struct zs_node *node, char *why, size_t why_size);

/* Whether there are workers to be woken; to be false before they are freed. */
void zs_warm_tier_has_workers(struct zs_node *node, bool has_workers);

/* Closes it all; workers have ended. `clean`: the next start finds what was written. */
void zs_warm_tier_close(struct zs_node *node, bool clean);

#endif
