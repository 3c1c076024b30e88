/*
 * One-sided reads of a node for operations. The keys of an operation that belong to the node are a reading: its reads
 * are under way together, as many as there are gets; when all are over, the keys that were not found are asked for.
 */
#ifndef ZS_CLIENT_READINGS_H
#define ZS_CLIENT_READINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/rdma_reader.h"

struct zs_node;
struct zs_share;
struct zslab_op;
struct zs_reading;

/* All zero has none. */
struct zs_readings {
	struct zs_rdma_get *gets; /* NULL: none were needed yet */
	struct zs_rdma_get *spare;
	struct zs_reading *first; /* those with keys left to begin */
	struct zs_reading **end;
	uint32_t under_way; /* gets */
};

/* ZSLAB_OK or ZSLAB_ENOMEM. May be called again. */
int zs_readings_init(struct zs_readings *readings);
void zs_readings_free(struct zs_readings *readings);

/* Begins to read the key of a GET, or a node's share of a multi-get, that has taken off. */
void zs_readings_begin(struct zs_node *node, struct zslab_op *op, struct zs_share share);

/*
 * Reads a key for somebody who waits, without an operation, and looks for a short time whether it is over. True: the
 * value is there, *status is ZSLAB_OK or ZSLAB_ESMALL. False: the node has to be asked. Only while attached. `now_ns`
 * was read lately.
 */
bool zs_readings_get(struct zs_node *node, const void *key, size_t key_size, void *buffer, size_t buffer_size,
		     size_t *size, int *status, uint64_t now_ns);

/* For the reader's events: a get is over. `node` is the context. */
void zs_readings_over(void *node, struct zs_rdma_get *get);

/* Ends operations whose deadline has passed. */
void zs_readings_expire(struct zs_node *node, uint64_t now_ns);

#endif
