#include "server/engine/group.h"

#include <stdlib.h>
#include <string.h>

#include "server/engine/slab.h"

#define CHAINS 4096

struct zs_groups {
	pthread_mutex_t lock;
	uint64_t version; /* goes up when a group ends; atomic */
	uint32_t count;
	uint32_t next_number;
	uint64_t memory;
	struct zs_group *resting; /* ended, oldest last */
	struct zs_group *chains[CHAINS];
	struct zs_group *by_number[ZS_GROUPS_MAX + 1];
};

struct zs_groups *zs_groups_new(void)
{
	/* Half a megabyte of which the system gives only the pages that are used. */
	struct zs_groups *groups = calloc(1, sizeof(*groups));

	if (!groups)
		return NULL;
	pthread_mutex_init(&groups->lock, NULL);
	groups->next_number = 1;
	groups->version = 1;
	return groups;
}

/* Lists grow under the lock of their group, not the table's. */
static void count_memory(struct zs_groups *groups, int64_t bytes)
{
	__atomic_fetch_add(&groups->memory, (uint64_t)bytes, __ATOMIC_RELAXED);
}

static void free_group(struct zs_groups *groups, struct zs_group *group)
{
	count_memory(groups, -(int64_t)(sizeof(*group) + group->name_size + group->capacity * sizeof(group->slabs[0])));
	pthread_mutex_destroy(&group->lock);
	free(group->slabs);
	free(group);
}

void zs_groups_free(struct zs_groups *groups)
{
	if (!groups)
		return;
	for (uint32_t i = 1; i <= ZS_GROUPS_MAX; i++) {
		if (groups->by_number[i])
			free_group(groups, groups->by_number[i]);
	}
	pthread_mutex_destroy(&groups->lock);
	free(groups);
}

struct zs_group *zs_group_by_number(const struct zs_engine *engine, uint32_t number)
{
	return number == ZS_GROUP_NONE ? NULL : zs_load_acquire(&engine->groups->by_number[number]);
}

static bool is_named(const struct zs_group *group, const void *name, size_t size)
{
	return group->name_size == size && memcmp(group->name, name, size) == 0;
}

/* A number that no group has; 0 if all are taken. The table's lock is held. */
static uint32_t free_number(struct zs_groups *groups)
{
	for (uint32_t i = 0; i < ZS_GROUPS_MAX; i++) {
		uint32_t number = groups->next_number;

		groups->next_number = number == ZS_GROUPS_MAX ? 1 : number + 1;
		if (!groups->by_number[number])
			return number;
	}
	return 0;
}

static struct zs_group *make_group(struct zs_groups *groups, uint64_t hash, const void *name, size_t size, int *error)
{
	uint32_t number = free_number(groups);
	struct zs_group *group;

	*error = ZS_EGROUPS;
	if (!number)
		return NULL;
	*error = ZS_ENOMEM;
	group = calloc(1, sizeof(*group) + size);
	if (!group)
		return NULL;
	group->number = number;
	group->hash = hash;
	group->name_size = (uint32_t)size;
	memcpy(group->name, name, size);
	pthread_mutex_init(&group->lock, NULL);
	group->next = groups->chains[hash % CHAINS];
	groups->chains[hash % CHAINS] = group;
	zs_store_release(&groups->by_number[number], group);
	zs_store(&groups->count, groups->count + 1);
	count_memory(groups, (int64_t)(sizeof(*group) + size));
	return group;
}

struct zs_group *zs_group_find(struct zs_thread *thread, const void *name, size_t size, bool make, int *error)
{
	struct zs_groups *groups = thread->engine->groups;
	struct zs_group *group = thread->last_group;
	uint64_t hash;

	*error = ZS_EINVAL;
	if (size == 0 || size > ZS_GROUP_NAME_MAX)
		return NULL;
	/* The same group again, and none has ended since: writes come in runs. */
	if (group && thread->last_group_version == zs_load_acquire(&groups->version) && is_named(group, name, size))
		return group;
	hash = zs_hash(name, size, thread->engine->seed);
	pthread_mutex_lock(&groups->lock);
	group = groups->chains[hash % CHAINS];
	while (group && !(group->hash == hash && is_named(group, name, size)))
		group = group->next;
	*error = ZS_ENOTFOUND;
	if (!group && make)
		group = make_group(groups, hash, name, size, error);
	thread->last_group = group;
	thread->last_group_version = groups->version;
	pthread_mutex_unlock(&groups->lock);
	return group;
}

bool zs_group_add_slab(struct zs_engine *engine, struct zs_group *group)
{
	bool alive;

	pthread_mutex_lock(&engine->groups->lock);
	alive = !group->ended;
	if (alive)
		zs_store(&group->alive, group->alive + 1);
	pthread_mutex_unlock(&engine->groups->lock);
	return alive;
}

/* Forgets slabs that are gone or stand in the list twice. The group's lock is held. */
static int compare_slabs(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a;
	uint32_t y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void tidy(const struct zs_engine *engine, struct zs_group *group)
{
	uint32_t kept = 0;

	qsort(group->slabs, group->count, sizeof(group->slabs[0]), compare_slabs);
	for (uint32_t i = 0; i < group->count; i++) {
		uint32_t name = group->slabs[i];
		const struct zs_part *part = &engine->parts[name >> ZS_SLAB_ID_BITS];
		uint32_t id = name & ZS_SLAB_NONE;
		enum zs_place place = zs_slab_place(part, id);

		if (i && name == group->slabs[i - 1])
			continue;
		if (place == ZS_AT_FREE || place == ZS_AT_QUARANTINE ||
		    zs_links_group(zs_load(&zs_frame(part, id)->links)) != group->number)
			continue;
		group->slabs[kept++] = name;
	}
	group->count = kept;
}

int zs_group_list_slab(struct zs_engine *engine, struct zs_group *group, uint32_t partition, uint32_t id)
{
	int result = ZS_OK;

	pthread_mutex_lock(&group->lock);
	if (group->count == group->capacity && group->count > 4 * (zs_load(&group->alive) + 16))
		tidy(engine, group);
	if (group->count == group->capacity) {
		uint32_t capacity = group->capacity ? group->capacity * 2 : 8;
		uint32_t *slabs = realloc(group->slabs, capacity * sizeof(slabs[0]));

		if (slabs) {
			count_memory(engine->groups, (int64_t)((capacity - group->capacity) * sizeof(slabs[0])));
			group->slabs = slabs;
			group->capacity = capacity;
		} else {
			result = ZS_ENOMEM;
		}
	}
	if (!result)
		group->slabs[group->count++] = partition << ZS_SLAB_ID_BITS | id;
	pthread_mutex_unlock(&group->lock);
	return result;
}

/* Takes a group without slabs out of the table; its number rests. The table's lock is held. */
static void end_group(struct zs_engine *engine, struct zs_group *group)
{
	struct zs_groups *groups = engine->groups;
	struct zs_group **link = &groups->chains[group->hash % CHAINS];

	while (*link != group)
		link = &(*link)->next;
	*link = group->next;
	zs_store(&group->ended, true);
	group->stamp = zs_epoch_stamp(engine->epoch);
	group->next = groups->resting;
	zs_store(&groups->resting, group);
	zs_store(&groups->count, groups->count - 1);
	zs_fetch_add(&groups->version, 1);
}

void zs_group_slab_gone(struct zs_engine *engine, uint32_t number)
{
	struct zs_groups *groups = engine->groups;
	struct zs_group *group;

	pthread_mutex_lock(&groups->lock);
	group = groups->by_number[number];
	zs_store(&group->alive, group->alive - 1);
	if (group->alive == 0)
		end_group(engine, group);
	pthread_mutex_unlock(&groups->lock);
}

void zs_group_end_if_unused(struct zs_engine *engine, struct zs_group *group)
{
	pthread_mutex_lock(&engine->groups->lock);
	if (!group->ended && group->alive == 0)
		end_group(engine, group);
	pthread_mutex_unlock(&engine->groups->lock);
}

void zs_groups_reclaim(struct zs_engine *engine)
{
	struct zs_groups *groups = engine->groups;
	struct zs_group **link = &groups->resting;

	if (!zs_load(link))
		return;
	pthread_mutex_lock(&groups->lock);
	while (*link) {
		struct zs_group *group = *link;

		if (zs_epoch_passed(engine->epoch, group->stamp)) {
			zs_store(link, group->next);
			zs_store_release(&groups->by_number[group->number], NULL);
			free_group(groups, group);
		} else {
			link = &group->next;
		}
	}
	pthread_mutex_unlock(&groups->lock);
}

uint64_t zs_groups_count(const struct zs_engine *engine)
{
	return zs_load(&engine->groups->count);
}

size_t zs_groups_memory(const struct zs_engine *engine)
{
	return zs_load(&engine->groups->memory);
}

/* ---- what is on flash ---- */

bool zs_warm_group_name(const struct zs_engine *engine, uint32_t number, const char **name, size_t *size)
{
	const struct zs_group *group = zs_group_by_number(engine, number);

	if (!group || zs_load(&group->ended))
		return false;
	*name = group->name;
	*size = group->name_size;
	return true;
}

uint32_t zs_warm_hold_group(struct zs_thread *thread, const char *name, size_t size)
{
	int error;

	for (unsigned tries = 0; tries < 64; tries++) {
		struct zs_group *group = zs_group_find(thread, name, size, true, &error);

		if (!group)
			return 0;
		/* If it ended since it was found, the next one of this name is another one. */
		if (zs_group_add_slab(thread->engine, group))
			return group->number;
	}
	return 0;
}

void zs_warm_release_group(struct zs_engine *engine, uint32_t number)
{
	struct zs_group *group = zs_group_by_number(engine, number);

	__atomic_store_n(&group->warm_objects, 0, __ATOMIC_RELAXED);
	zs_group_slab_gone(engine, number);
}

void zs_warm_count_group(struct zs_engine *engine, uint32_t number, int64_t objects)
{
	struct zs_group *group = zs_group_by_number(engine, number);

	if (group)
		__atomic_fetch_add(&group->warm_objects, (uint64_t)objects, __ATOMIC_RELAXED);
}

/* What is counted in vain while a group ends may leave it below nothing. */
uint64_t zs_group_warm_objects(const struct zs_group *group)
{
	int64_t objects = (int64_t)__atomic_load_n(&group->warm_objects, __ATOMIC_RELAXED);

	return objects > 0 ? (uint64_t)objects : 0;
}

/* ---- the public part: listing ---- */

static struct zs_group_info group_info(const struct zs_engine *engine, struct zs_group *group)
{
	struct zs_group_info info = { group->name, group->name_size, zs_group_warm_objects(group), 0 };

	pthread_mutex_lock(&group->lock);
	tidy(engine, group);
	for (uint32_t i = 0; i < group->count; i++) {
		uint32_t name = group->slabs[i];
		const struct zs_part *part = &engine->parts[name >> ZS_SLAB_ID_BITS];

		info.objects += zs_slab_live_count(zs_frame(part, name & ZS_SLAB_NONE));
		info.slabs++;
	}
	pthread_mutex_unlock(&group->lock);
	return info;
}

void zs_groups(struct zs_thread *thread, void (*each)(void *context, const struct zs_group_info *group), void *context)
{
	struct zs_groups *groups = thread->engine->groups;

	/* No lock around the calls: groups we see cannot be freed before this thread quiesces. */
	for (uint32_t i = 1; i <= ZS_GROUPS_MAX; i++) {
		struct zs_group *group = zs_load_acquire(&groups->by_number[i]);
		struct zs_group_info info;

		if (!group || zs_load(&group->ended))
			continue;
		info = group_info(thread->engine, group);
		if (info.objects)
			each(context, &info);
	}
}
