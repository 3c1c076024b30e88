#include "server/engine/fetch.h"

#include "server/engine/index.h"

static void touch_pair(const struct zs_table *table, uint64_t hash)
{
	struct zs_pair pair = zs_index_pair(table, hash);

	zs_touch_line(pair.a);
	zs_touch_line(pair.b);
}

static void touch_buckets(const struct zs_thread *thread, const struct zs_fetch *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct zs_part *part = zs_part_of(thread->engine, list[i].hash);
		const struct zs_index_view *view = zs_load_acquire(&part->view);

		touch_pair(&view->main, list[i].hash);
		if (view->previous.count)
			touch_pair(&view->previous, list[i].hash);
	}
}

static void find_slots(const struct zs_thread *thread, struct zs_fetch *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct zs_part *part = zs_part_of(thread->engine, list[i].hash);
		uint32_t id;
		uint32_t slot;
		uint32_t offset;

		list[i].slab = NULL;
		if (!zs_index_guess(part, list[i].hash, &id, &slot))
			continue;
		offset = (ZS_FRAME_SIZE - (slot + 1) * list[i].stride) & (ZS_FRAME_SIZE - 1);
		list[i].slab = zs_frame(part, id);
		list[i].slot = (const uint8_t *)list[i].slab + offset;
	}
}

void zs_fetch_all(const struct zs_thread *thread, struct zs_fetch *list, size_t count)
{
	touch_buckets(thread, list, count);
	find_slots(thread, list, count);
	for (size_t i = 0; i < count; i++) {
		if (list[i].slab) {
			zs_touch_line(list[i].slab);
			zs_touch_line(list[i].slot);
		}
	}
}

void zs_prefetch_batch(struct zs_thread *thread, const struct zs_key *keys, size_t count)
{
	struct zs_fetch list[ZS_FETCH_MAX];

	while (count) {
		size_t n = count < ZS_FETCH_MAX ? count : ZS_FETCH_MAX;

		for (size_t i = 0; i < n; i++) {
			list[i].hash = zs_hash(keys[i].data, keys[i].size, thread->seed);
			list[i].stride = thread->stride;
		}
		zs_fetch_all(thread, list, n);
		keys += n;
		count -= n;
	}
}
