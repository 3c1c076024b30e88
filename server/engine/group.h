/*
 * Groups: named sets of objects that end together.
 *
 * A group has slabs of its own, and keeps a list of them. Dropping it marks each slab as dropped and clears its live
 * bits; the index entries are cleaned later by upkeep. Who places an object sets its live bit first and looks for the
 * mark afterwards, so either the drop clears the bit or the placer sees the mark and goes elsewhere.
 *
 * A group ends when its last slab has been freed; its number is used again once every thread has quiesced.
 */
#ifndef ZS_SERVER_ENGINE_GROUP_H
#define ZS_SERVER_ENGINE_GROUP_H

#include "server/engine/internal.h"

#define ZS_GROUP_NONE 0u
#define ZS_GROUPS_MAX 65535u

struct zs_group {
	uint32_t number;
	uint32_t name_size;
	uint64_t hash;
	struct zs_group *next; /* of the same hash chain, later of the resting ones */
	uint64_t stamp;

	uint32_t alive; /* slabs in use that carry the number, and 1 for what is on flash; under the table's lock */
	uint64_t warm_objects; /* on flash, about; atomic */
	bool ended;	       /* under the table's lock */

	pthread_mutex_t lock; /* of the list */
	uint32_t *slabs;      /* partition << ZS_SLAB_ID_BITS | id; may hold slabs that are gone */
	uint32_t count;
	uint32_t capacity;
	char name[];
};

struct zs_groups *zs_groups_new(void);
void zs_groups_free(struct zs_groups *groups);

/* Finds a group by name, and makes it if `make`. NULL and *error (ZS_EGROUPS, ZS_ENOMEM, ZS_ENOTFOUND, ZS_EINVAL). */
struct zs_group *zs_group_find(struct zs_thread *thread, const void *name, size_t size, bool make, int *error);

/* The group that a slab in use carries; NULL for ZS_GROUP_NONE. */
struct zs_group *zs_group_by_number(const struct zs_engine *engine, uint32_t number);

/* A new slab is about to carry the group's number. False if the group has ended meanwhile: find it again. */
bool zs_group_add_slab(struct zs_engine *engine, struct zs_group *group);

/* The new slab's name, for the list; before any object is in it. ZS_ENOMEM leaves the list as it was. */
int zs_group_list_slab(struct zs_engine *engine, struct zs_group *group, uint32_t partition, uint32_t id);

/* A slab that carried the number was freed. */
void zs_group_slab_gone(struct zs_engine *engine, uint32_t number);

/* Ends a group that was just made for a write that then failed. */
void zs_group_end_if_unused(struct zs_engine *engine, struct zs_group *group);

/* Makes the numbers of groups that ended long enough ago available again. */
void zs_groups_reclaim(struct zs_engine *engine);

/* Objects of the group that are on flash, about. */
uint64_t zs_group_warm_objects(const struct zs_group *group);

uint64_t zs_groups_count(const struct zs_engine *engine);
size_t zs_groups_memory(const struct zs_engine *engine);

#endif
