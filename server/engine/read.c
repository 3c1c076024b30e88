/* Reading: zs_get and its kin. No lock, no allocation, no shared line written once an object's recency is saturated. */
#include <string.h>

#include "server/engine/index.h"
#include "server/engine/slab.h"
#include "server/engine/view.h"

/* Objects of a batch whose cache lines are fetched together. */
#define BATCH 32

void zs_view_fill(const struct zs_found *found, struct zs_view *view)
{
	const uint8_t *value = (const uint8_t *)found->slab + found->extent.value;

	view->deadline = found->deadline;
	if (zs_lifetime_kind(found->lifetime) == ZS_KIND_COUNTER) {
		view->type = ZS_NUMBER;
		view->size = 0;
		view->data = NULL;
		view->number = (int64_t)zs_load((const uint64_t *)(const void *)value);
	} else {
		view->type = ZS_BYTES;
		view->size = found->extent.value_size;
		view->data = value;
		view->number = 0;
	}
}

bool zs_is_expired(const struct zs_thread *thread, const struct zs_found *found)
{
	return found->deadline && found->deadline <= zs_now(thread);
}

/*
 * Fetches a slab's header and the slot, both at once: where the slot begins follows from the stride, and most slabs
 * have the stride of the one read before.
 */
static inline void fetch_object(const struct zs_thread *thread, const struct zs_part *part, uint64_t hash)
{
	uint32_t id;
	uint32_t slot;
	const uint8_t *frame;
	const uint8_t *start;

	if (!zs_index_guess(part, hash, &id, &slot))
		return;
	frame = (const uint8_t *)zs_frame(part, id);
	start = frame + ((ZS_FRAME_SIZE - (slot + 1) * thread->stride) & (ZS_FRAME_SIZE - 1));
	__builtin_prefetch(frame);
	__builtin_prefetch(start);
	__builtin_prefetch(start + 64);
}

static inline bool get_hashed(struct zs_thread *thread, const struct zs_part *part, uint64_t hash, const void *key,
			      size_t key_size, unsigned flags, struct zs_view *view)
{
	struct zs_found found;

	if (!zs_index_find(part, hash, thread->stride, key, key_size, &found) || zs_is_expired(thread, &found)) {
		if (!(flags & ZS_READ_PEEK))
			zs_count(thread, misses, 1);
		return false;
	}
	thread->stride = zs_stride(zs_lifetime_kind(found.lifetime), found.extent.key_size, found.extent.value_size);
	zs_view_fill(&found, view);
	if (!(flags & ZS_READ_PEEK)) {
		zs_slab_touch(found.slab, zs_identity_slots(found.identity), found.slot);
		zs_count(thread, hits, 1);
	}
	return true;
}

int zs_get(struct zs_thread *thread, const void *key, size_t key_size, unsigned flags, struct zs_view *view)
{
	uint64_t hash = zs_hash(key, key_size, thread->engine->seed);
	const struct zs_part *part = zs_part_of(thread->engine, hash);

	return get_hashed(thread, part, hash, key, key_size, flags, view) ? ZS_OK : ZS_ENOTFOUND;
}

size_t zs_get_batch(struct zs_thread *thread, const struct zs_key *keys, size_t count, struct zs_view *views,
		    bool *found)
{
	uint64_t hashes[BATCH];
	size_t total = 0;

	for (size_t first = 0; first < count; first += BATCH) {
		size_t n = count - first < BATCH ? count - first : BATCH;

		for (size_t i = 0; i < n; i++) {
			hashes[i] = zs_hash(keys[first + i].data, keys[first + i].size, thread->engine->seed);
			zs_index_prefetch(zs_part_of(thread->engine, hashes[i]), hashes[i]);
		}
		for (size_t i = 0; i < n; i++)
			fetch_object(thread, zs_part_of(thread->engine, hashes[i]), hashes[i]);
		for (size_t i = 0; i < n; i++) {
			const struct zs_key *key = &keys[first + i];

			found[first + i] = get_hashed(thread, zs_part_of(thread->engine, hashes[i]), hashes[i],
						      key->data, key->size, 0, &views[first + i]);
			total += found[first + i];
		}
	}
	return total;
}

void zs_prefetch(struct zs_thread *thread, const void *key, size_t key_size)
{
	uint64_t hash = zs_hash(key, key_size, thread->engine->seed);

	zs_index_prefetch(zs_part_of(thread->engine, hash), hash);
}

void zs_prefetch_object(struct zs_thread *thread, const void *key, size_t key_size)
{
	uint64_t hash = zs_hash(key, key_size, thread->engine->seed);

	fetch_object(thread, zs_part_of(thread->engine, hash), hash);
}
