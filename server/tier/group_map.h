/*
 * Which blocks belong to which group of objects, also after a restart.
 *
 * A block has objects of one group, or of none. Its group is written into it as a number that means one life of the
 * group: from when its first objects went to flash until it was dropped. The map knows the numbers that are alive, with
 * their names, in a mapped file; so a group is dropped by one store, and that outlives the process.
 *
 *     page 0    header
 *     records   512 bytes each: life, name
 *
 * A number is its record, 1 to 65534, and how often that record was used, 45 bits together: a record may be used again
 * while blocks of its former lives are still there.
 *
 * THREADS. zs_group_map_of, _is_dead, _count, _drop, _drop_all and _sync may be called by any thread. The others belong
 * to the store's.
 */
#ifndef ZS_SERVER_TIER_GROUP_MAP_H
#define ZS_SERVER_TIER_GROUP_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/engine/engine.h"

struct zs_group_map;

#define ZS_GROUP_NUMBER_MAX ((1ull << 45) - 1)

/*
 * Opens the map at `path`, or makes it. What belongs to another tier (zs_journal_tier) is forgotten. ZS_OK, or
 * ZS_ESYS, ZS_ECONFIG or ZS_ENOMEM and a sentence for the operator.
 */
int zs_group_map_open(const char *path, uint64_t tier, uint32_t zones, uint32_t capacity, struct zs_group_map **map,
		      bool durable, char *why, size_t why_size);
void zs_group_map_close(struct zs_group_map *map);

/* Of a `durable` map: what was dropped is dropped on the disk, too. Any thread. ZS_OK or ZS_ESYS. */
int zs_group_map_sync(struct zs_group_map *map);

/* Makes the groups that are alive known to the engine; before rebuilding. ZS_OK, or ZS_ENOMEM or ZS_EGROUPS. */
int zs_group_map_start(struct zs_group_map *map, struct zs_engine *engine, struct zs_thread *thread);

/*
 * The number to write into an image of the engine's group `group`, which has a slab in use. 0: there is no room for
 * another group. zs_group_map_end has to be called when the image has been written, or not.
 */
uint64_t zs_group_map_begin(struct zs_group_map *map, struct zs_thread *thread, uint32_t group);
void zs_group_map_end(struct zs_group_map *map, uint64_t number);

/* Whether an image of this number is one of the engine's group. */
bool zs_group_map_is(const struct zs_group_map *map, uint64_t number, uint32_t group);

/* A block of this number is there; false: its group is dead. */
bool zs_group_map_place(struct zs_group_map *map, uint32_t zone, uint32_t block, uint64_t number);

/* The blocks of a zone are no more. */
void zs_group_map_clear(struct zs_group_map *map, uint32_t zone);

/* The engine's group of a block; 0: it has none, or is dead. */
uint32_t zs_group_map_of(const struct zs_group_map *map, uint32_t zone, uint32_t block);

/* Whether the block's group has been dropped. */
bool zs_group_map_is_dead(const struct zs_group_map *map, uint32_t zone, uint32_t block);

/* So many objects more or fewer live in the block. */
void zs_group_map_count(struct zs_group_map *map, uint32_t zone, uint32_t block, int32_t objects);

/* The engine's group, or all, are dead from now on. */
void zs_group_map_drop(struct zs_group_map *map, uint32_t group);
void zs_group_map_drop_all(struct zs_group_map *map);

/*
 * After drops: blocks of dead groups are marked, so that records can be used again once their entries have been
 * forgotten, which zs_group_map_buried tells. False: there is nothing to do.
 */
bool zs_group_map_bury(struct zs_group_map *map);
void zs_group_map_buried(struct zs_group_map *map);

/* Lets go of groups of which no block was found. After rebuilding. */
void zs_group_map_tidy(struct zs_group_map *map);

#endif
