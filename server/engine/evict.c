#include "server/engine/evict.h"

#include "server/engine/ghost.h"
#include "server/engine/lifetime.h"
#include "server/engine/move.h"
#include "server/engine/place.h"
#include "server/engine/policy.h"
#include "server/engine/resize.h"
#include "server/engine/slab.h"
#include "server/engine/upkeep.h"

/* Victims looked at for one slab that is needed; each frees some of its room even when all its objects are kept. */
#define TRIES_MAX 32

/* Of the memory, at most this many slabs are kept free. */
#define RESERVE_MAX 128

uint32_t zs_evict_reserve(const struct zs_part *part)
{
	uint32_t share = part->frame_count / 128;

	if (share < 8)
		return 8;
	return share < RESERVE_MAX ? share : RESERVE_MAX;
}

void zs_evict_note_sparse(struct zs_part *part, uint32_t id)
{
	if (zs_load(&part->sparse_count) >= ZS_SPARSE_RING) {
		zs_store(&part->due[id], zs_due_tick(zs_clock_ms(part->engine->clock))); /* the sweep finds it */
		return;
	}
	if (zs_fetch_or(&zs_frame(part, id)->lifetime, ZS_SLAB_SPARSE) & ZS_SLAB_SPARSE)
		return;
	pthread_mutex_lock(&part->lock);
	if (part->sparse_count < ZS_SPARSE_RING) {
		part->sparse[(part->sparse_first + part->sparse_count) % ZS_SPARSE_RING] = id;
		zs_store(&part->sparse_count, part->sparse_count + 1);
	}
	pthread_mutex_unlock(&part->lock);
}

/* A claimed slab with at most half its slots in use, from those remembered. */
static uint32_t take_sparse(struct zs_part *part)
{
	uint32_t found = ZS_SLAB_NONE;

	if (!zs_load(&part->sparse_count))
		return found;
	pthread_mutex_lock(&part->lock);
	while (part->sparse_count && found == ZS_SLAB_NONE) {
		uint32_t id = part->sparse[part->sparse_first];
		struct zs_slab *slab = zs_frame(part, id);

		part->sparse_first = (part->sparse_first + 1) % ZS_SPARSE_RING;
		zs_store(&part->sparse_count, part->sparse_count - 1);
		if (!(zs_fetch_and(&slab->lifetime, ~ZS_SLAB_SPARSE) & ZS_SLAB_SPARSE) || !zs_slab_claim(part, id))
			continue;
		if (zs_slab_is_sparse(slab))
			found = id;
		else
			zs_slab_release(part, id);
	}
	pthread_mutex_unlock(&part->lock);
	return found;
}

bool zs_evict_retire(struct zs_thread *thread, struct zs_part *part, uint32_t id)
{
	struct zs_slab *slab = zs_frame(part, id);

	if (zs_slab_live_count(slab)) {
		zs_slab_release(part, id);
		return false;
	}
	/* In this order: a drop marks the slab before it clears the live bits. */
	if (zs_load_acquire(&slab->lifetime) & ZS_SLAB_DROPPED)
		zs_clean_dropped(thread, part, id);
	zs_slab_retire(thread, part, id);
	return true;
}

bool zs_evict_merge_sparse(struct zs_thread *thread, struct zs_part *part)
{
	uint32_t id = take_sparse(part);

	if (id == ZS_SLAB_NONE)
		return false;
	zs_move_survivors(thread, part, id, &thread->counters.moved_merge);
	return zs_evict_retire(thread, part, id);
}

/* Keeps or evicts one object of a victim. */
static void judge_object(struct zs_thread *thread, struct zs_part *part, const struct zs_policy_ops *policy,
			 uint32_t id, uint32_t slot, uint64_t hash)
{
	struct zs_slab *slab = zs_frame(part, id);
	uint64_t identity = zs_load(&slab->identity);
	uint64_t lifetime = zs_load(&slab->lifetime);
	uint64_t deadline = zs_slab_deadline(slab, identity, lifetime, slot);
	uint32_t recency = zs_slab_recency(slab, zs_identity_slots(identity), slot);
	struct zs_verdict verdict = policy->judge(lifetime & ZS_SLAB_MAIN, recency);

	if (deadline && deadline <= zs_now(thread)) {
		if (zs_end_object(thread, part, id, slot, hash))
			zs_count(thread, expired_objects, 1);
		return;
	}
	if (verdict.keep) {
		enum zs_moved moved = zs_move_object(thread, part, id, slot, hash,
						     (struct zs_move){ verdict.main, false, verdict.recency });

		if (moved == ZS_MOVED)
			zs_count(thread, moved_evict, 1);
		/* Room is coming, so what is worth keeping waits for it where it is. */
		if (moved != ZS_NO_ROOM || zs_load(&part->quarantine.slabs.count))
			return;
	}
	if (!zs_end_object(thread, part, id, slot, hash))
		return;
	zs_count(thread, evicted_objects, 1);
	if (verdict.remember && part->ghost)
		zs_ghost_add(part->ghost, hash);
}

bool zs_evict_by_policy(struct zs_thread *thread, struct zs_part *part)
{
	const struct zs_policy_ops *policy = zs_policy_ops(zs_engine_policy(part->engine));
	struct zs_residents residents;
	uint32_t id;

	if (!policy)
		return false;
	id = policy->victim(thread, part);
	if (id == ZS_SLAB_NONE)
		return false;
	zs_residents_list(part, id, false, &residents);
	for (uint32_t i = 0; i < residents.count; i++)
		judge_object(thread, part, policy, id, residents.slots[i], residents.hashes[i]);
	if (zs_evict_retire(thread, part, id))
		zs_count(thread, evicted_slabs, 1);
	return true;
}

bool zs_evict_one(struct zs_thread *thread, struct zs_part *part)
{
	if (zs_load(&part->dropped) && zs_upkeep_clean_one(thread, part))
		return true;
	if (zs_evict_merge_sparse(thread, part))
		return true;
	return zs_evict_by_policy(thread, part);
}

int zs_evict_make_room(struct zs_thread *thread, struct zs_part *part)
{
	uint32_t reserve = zs_evict_reserve(part);
	bool may_evict = zs_engine_policy(part->engine) != ZS_POLICY_NOEVICTION;

	zs_slab_reclaim(part);
	zs_resize_reclaim(part);
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		if (zs_slab_available(part) + zs_load(&part->quarantine.slabs.count) > reserve)
			break;
		if (!zs_evict_one(thread, part))
			break;
	}
	zs_slab_close_batch(thread, part);
	/* Without eviction the reserve has to stay, or nothing could be merged any more. */
	if (zs_slab_available(part) > (may_evict ? 0 : reserve / 2))
		return ZS_OK;
	return may_evict || zs_load(&part->quarantine.slabs.count) ? ZS_EAGAIN : ZS_EFULL;
}
