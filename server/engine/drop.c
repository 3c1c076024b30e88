/*
 * Ending many objects at once: a group, or everything.
 *
 * For each slab: mark it as dropped, clear its live bits, and have upkeep visit it to remove the index entries. After
 * the live bits nobody can read the objects; the entries lead to dead slots until they are removed.
 */
#include <string.h>

#include "server/engine/group.h"
#include "server/engine/lifetime.h"
#include "server/engine/resize.h"
#include "server/engine/slab.h"
#include "server/engine/upkeep.h"

/* Slabs whose headers are fetched ahead. */
#define AHEAD 16

/* Bytes of key and value of the objects whose bits are set in `ended`. */
static uint64_t payload_of(const struct zs_slab *slab, const uint32_t ended[8], uint32_t objects)
{
	uint64_t identity = zs_load(&slab->identity);
	uint64_t lifetime = zs_load(&slab->lifetime);
	uint64_t sum = 0;

	if (zs_lifetime_kind(lifetime) != ZS_KIND_MIXED)
		return (uint64_t)objects * (zs_identity_key_size(identity) + zs_identity_value_size(identity));
	for (uint32_t slot = 0; slot < zs_identity_slots(identity); slot++) {
		struct zs_extent extent;

		if (ended[slot / 32] >> (slot % 32) & 1 && zs_slab_extent(slab, identity, lifetime, slot, &extent))
			sum += extent.key_size + extent.value_size;
	}
	return sum;
}

/* Ends all objects of one slab in use. Returns how many. */
static uint32_t drop_slab(struct zs_thread *thread, struct zs_part *part, uint32_t id)
{
	struct zs_figures *f = &thread->parts[part->number]->figures;
	struct zs_slab *slab = zs_frame(part, id);
	uint64_t lifetime = zs_fetch_or(&slab->lifetime, ZS_SLAB_DROPPED);
	uint32_t words = zs_live_words(zs_identity_slots(zs_load_acquire(&slab->identity)));
	uint32_t ended[8] = { 0 };
	uint32_t objects = 0;

	for (uint32_t w = 0; w < words; w++) {
		ended[w] = __atomic_exchange_n(&slab->live[w], 0, __ATOMIC_SEQ_CST);
		objects += (uint32_t)__builtin_popcount(ended[w]);
	}
	zs_store(&part->due[id], zs_due_tick(zs_now(thread)));
	zs_store(&part->dropped, 1);
	if (!objects)
		return 0;
	zs_store(&f->objects, f->objects - objects);
	zs_store(&f->payload, f->payload - (int64_t)payload_of(slab, ended, objects));
	if (zs_lifetime_unit(lifetime))
		zs_store(&f->objects_with_deadline, f->objects_with_deadline - objects);
	return objects;
}

static bool in_use(const struct zs_part *part, uint32_t id)
{
	enum zs_place place = zs_slab_place(part, id);

	if (zs_place_holds_objects(place))
		return true;
	return place == ZS_AT_NOWHERE && zs_load(&zs_frame(part, id)->lifetime) & ZS_SLAB_OPEN;
}

/* What the group has on flash. Returns how many objects, about. */
static uint64_t drop_warm(struct zs_thread *thread, struct zs_group *group)
{
	const struct zs_engine *engine = thread->engine;
	uint64_t objects;

	if (!engine->has_warm)
		return 0;
	objects = zs_group_warm_objects(group);
	engine->warm.drop(engine->warm.context, group->number);
	return objects;
}

int zs_drop(struct zs_thread *thread, const void *name, size_t size, uint64_t *dropped)
{
	struct zs_engine *engine = thread->engine;
	uint64_t objects = 0;
	struct zs_group *group;
	int error;

	group = zs_group_find(thread, name, size, false, &error);
	if (!group)
		return ZS_ENOTFOUND;
	/*
	 * Before and after what is in memory: what is brought back from flash meanwhile asks whether the group lives
	 * when its new slot is there, and what goes to flash meanwhile is of a new life that ends, too.
	 */
	objects = drop_warm(thread, group);
	/* Slabs that join later wait for this lock, and are of the group's next life. */
	pthread_mutex_lock(&group->lock);
	for (uint32_t i = 0; i < group->count; i++) {
		struct zs_part *part = &engine->parts[group->slabs[i] >> ZS_SLAB_ID_BITS];
		uint32_t id = group->slabs[i] & ZS_SLAB_NONE;

		if (i + AHEAD < group->count) {
			uint32_t ahead = group->slabs[i + AHEAD];

			__builtin_prefetch(zs_frame(&engine->parts[ahead >> ZS_SLAB_ID_BITS], ahead & ZS_SLAB_NONE), 1);
		}
		if (in_use(part, id) && zs_links_group(zs_load(&zs_frame(part, id)->links)) == group->number)
			objects += drop_slab(thread, part, id);
	}
	group->count = 0;
	pthread_mutex_unlock(&group->lock);
	objects += drop_warm(thread, group);
	zs_count(thread, dropped_objects, objects);
	if (dropped)
		*dropped = objects;
	return objects ? ZS_OK : ZS_ENOTFOUND;
}

/* Frames from `first` to `end`. Index tables lie from virgin_end on; their bytes must not be taken for a header. */
static void flush_range(struct zs_thread *thread, struct zs_part *part, uint32_t first, uint32_t end,
			uint32_t virgin_end)
{
	for (uint32_t id = first; id < end; id++) {
		if (id + AHEAD < end)
			__builtin_prefetch(zs_frame(part, id + AHEAD), 1);
		if (!(id >= virgin_end && zs_resize_is_table(part, id)) && in_use(part, id))
			drop_slab(thread, part, id);
	}
}

/* After what is in memory: nothing that could still be published is alive then. Durable when it returns. */
static void flush_warm(struct zs_thread *thread)
{
	struct zs_engine *engine = thread->engine;

	engine->warm.flush(engine->warm.context);
	for (uint32_t p = 0; p < engine->part_count; p++)
		zs_warm_forget(thread, p, engine->parts[p].frame_count, ZS_SLAB_NONE, NULL, NULL);
}

void zs_flush(struct zs_thread *thread)
{
	struct zs_engine *engine = thread->engine;

	/* Odd from here to the end: nothing is carried from slabs we have yet to reach to slabs we have passed. */
	pthread_mutex_lock(&engine->flush_lock);
	zs_fetch_add(&engine->flushes, 1);
	for (uint32_t p = 0; p < engine->part_count; p++) {
		struct zs_part *part = &engine->parts[p];
		uint32_t virgin;
		uint32_t virgin_end;

		pthread_mutex_lock(&part->lock);
		virgin = part->virgin;
		virgin_end = part->virgin_end;
		pthread_mutex_unlock(&part->lock);
		flush_range(thread, part, 0, virgin, virgin_end);
		flush_range(thread, part, virgin_end, part->frame_count, virgin_end);
	}
	if (engine->has_warm)
		flush_warm(thread);
	zs_fetch_add(&engine->flushes, 1);
	pthread_mutex_unlock(&engine->flush_lock);
}
