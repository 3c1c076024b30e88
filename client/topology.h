/*
 * Which node a key belongs to: one of 16384 slots, by CRC16 of the key or of its {tag}; the slots in contiguous ranges
 * over the nodes.
 */
#ifndef ZS_CLIENT_TOPOLOGY_H
#define ZS_CLIENT_TOPOLOGY_H

#include <stddef.h>
#include <stdint.h>

#define ZS_SLOTS 16384u

struct zs_topology {
	uint16_t owner[ZS_SLOTS]; /* number of the node */
	uint32_t nodes;
};

/* Equal ranges over `nodes` nodes (1 to ZS_SLOTS) in their order. */
void zs_topology_init(struct zs_topology *topology, uint32_t nodes);

/* The slot of a key. If it has a {tag} that is not empty, keys with the same tag have the same slot. */
uint32_t zs_slot_of(const void *key, size_t size);

static inline uint32_t zs_topology_node(const struct zs_topology *topology, const void *key, size_t size)
{
	return topology->nodes == 1 ? 0 : topology->owner[zs_slot_of(key, size)];
}

#endif
