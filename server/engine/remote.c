/* What readers outside of the process need of the engine. They use it without its help; see common/reader.h. */
#include <unistd.h>

#include "server/engine/index.h"
#include "server/engine/slab.h"

int zs_engine_share(const struct zs_engine *engine, struct zs_share *share)
{
	if (!engine->sealed)
		return ZS_ESYS;
	share->fd = engine->memfd;
	share->base = engine->arena;
	share->size = engine->arena_size;
	share->incarnation = engine->superblock->incarnation;
	share->lease_offset = offsetof(struct zs_superblock, lease);
	return ZS_OK;
}

void zs_engine_expect_readers(struct zs_engine *engine, bool expected)
{
	/* Sequentially consistent: whoever clears a live bit after a reader could see it must see this. */
	__atomic_store_n(&engine->remote_until_ms, expected ? UINT64_MAX : 0, __ATOMIC_SEQ_CST);
}

void zs_engine_set_lease(struct zs_engine *engine, unsigned index, uint64_t word)
{
	__atomic_store_n(&engine->superblock->lease[index], word, __ATOMIC_SEQ_CST);
}

/* Whether the slot holds an object whose key has this hash. */
static bool slot_has_hash(const struct zs_thread *thread, const struct zs_slab *slab, uint64_t identity, uint32_t slot,
			  uint64_t hash)
{
	struct zs_extent extent;

	if (!zs_slab_is_live(slab, slot) || !zs_slab_extent(slab, identity, zs_load(&slab->lifetime), slot, &extent))
		return false;
	return zs_hash((const uint8_t *)slab + extent.key, extent.key_size, thread->seed) == hash;
}

bool zs_touch_hash(struct zs_thread *thread, uint64_t hash)
{
	const struct zs_part *part = zs_part_of(thread->engine, hash);
	const struct zs_index_view *view = zs_load_acquire(&part->view);
	struct zs_pair pair = zs_index_pair(&view->main, hash);
	const struct zs_bucket *buckets[2] = { pair.a, pair.b };

	for (unsigned b = 0; b < 2; b++) {
		uint32_t mask = zs_bucket_match(buckets[b], zs_hash_tag(hash));

		for (; mask; mask &= mask - 1) {
			uint32_t i = (uint32_t)__builtin_ctz(mask);
			uint32_t id = zs_bucket_slab(buckets[b], i);
			uint32_t slot = zs_bucket_slot(buckets[b], i);
			struct zs_slab *slab;
			uint64_t identity;

			if (id >= part->frame_count)
				continue;
			slab = zs_frame(part, id);
			identity = zs_load_acquire(&slab->identity);
			if (!slot_has_hash(thread, slab, identity, slot, hash))
				continue;
			zs_slab_touch(slab, zs_identity_slots(identity), slot);
			return true;
		}
	}
	return false;
}
