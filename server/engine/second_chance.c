/*
 * Second chances: objects of a block that is about to go, and that were read lately, come back to memory.
 *
 * Which ones were read is what the ghost of warm objects remembers: once in a while; who is read twice is in memory
 * already.
 */
#include "server/engine/change.h"
#include "server/engine/ghost.h"
#include "server/engine/view.h"
#include "server/engine/warm.h"

/* Whether an entry of the key leads to the block: without the lock, so a hint. */
static bool leads_to(const struct zs_part *part, uint64_t hash, uint32_t id)
{
	const struct zs_index_view *view = zs_load_acquire(&part->view);
	struct zs_pair pair = zs_index_pair(&view->main, hash);
	const struct zs_bucket *buckets[2] = { pair.a, pair.b };

	for (unsigned k = 0; k < 2; k++) {
		for (uint32_t mask = zs_bucket_match(buckets[k], zs_hash_tag(hash)); mask; mask &= mask - 1) {
			uint32_t i = (uint32_t)__builtin_ctz(mask);

			if (zs_bucket_slab(buckets[k], i) == id && zs_bucket_slot(buckets[k], i) == zs_warm_slot(hash))
				return true;
		}
	}
	return false;
}

uint32_t zs_warm_second_chance(struct zs_thread *thread, uint32_t number, uint32_t id, const struct zs_slab *image)
{
	struct zs_part *part = &thread->engine->parts[number];
	struct zs_found found = {
		.identity = image->identity,
		.lifetime = image->lifetime,
		.slab = (struct zs_slab *)(uintptr_t)image,
		.id = id,
		.warm = true,
	};
	uint32_t kept = 0;

	for (uint32_t slot = 0; slot < zs_identity_slots(found.identity); slot++) {
		const uint8_t *key;
		uint64_t hash;

		if (!zs_slab_is_live(image, slot) ||
		    !zs_slab_extent(image, found.identity, found.lifetime, slot, &found.extent))
			continue;
		key = (const uint8_t *)image + found.extent.key;
		hash = zs_hash(key, found.extent.key_size, thread->seed);
		found.slot = zs_warm_slot(hash);
		found.deadline = zs_slab_deadline(image, found.identity, found.lifetime, slot);
		if (zs_is_expired(thread, &found) || !zs_ghost_has(part->warm_used, hash) || !leads_to(part, hash, id))
			continue;
		kept += zs_promote(thread, part, hash, &found);
	}
	zs_count(thread, second_chances, kept);
	return kept;
}
