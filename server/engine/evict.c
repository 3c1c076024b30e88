#include "server/engine/evict.h"

#include "server/engine/hand.h"
#include "server/engine/lifetime.h"
#include "server/engine/policy.h"
#include "server/engine/resize.h"
#include "server/engine/slab.h"
#include "server/engine/upkeep.h"

/* Victims looked at for one slab that is needed; each frees some of its room even when all its objects are kept. */
#define TRIES_MAX 32

/* Remembered slabs looked at for one to merge, while there is no need. */
#define SPARED_LOOKS 8

/* Of the memory, at most this many slabs are kept free. */
#define RESERVE_MAX 128

/* With a warm tier, because writing to it takes some milliseconds: 4 MB. */
#define WARM_RESERVE_MAX 1024

/* Of the memory, at most this part waits to be written; then what is evicted is lost, so that writers do not wait. */
#define OUTGOING_SHARE 16

uint32_t zs_evict_reserve(const struct zs_part *part)
{
	if (part->warm_blocks) {
		uint32_t warm_share = part->frame_count / 32;

		if (warm_share < 16)
			return 16;
		return warm_share < WARM_RESERVE_MAX ? warm_share : WARM_RESERVE_MAX;
	}
	uint32_t share = part->frame_count / 128;

	if (share < 8)
		return 8;
	return share < RESERVE_MAX ? share : RESERVE_MAX;
}

uint32_t zs_evict_reserve_of_movers(const struct zs_part *part)
{
	return zs_evict_reserve(part) * 3 / 4;
}

/* Takes the first of the remembered slabs, and forgets it; the partition's lock is held. */
static uint32_t pop_sparse(struct zs_part *part)
{
	uint32_t id = part->sparse[part->sparse_first];

	part->sparse_first = (part->sparse_first + 1) % ZS_SPARSE_RING;
	zs_store(&part->sparse_count, part->sparse_count - 1);
	return id;
}

static void push_sparse(struct zs_part *part, uint32_t id)
{
	part->sparse[(part->sparse_first + part->sparse_count) % ZS_SPARSE_RING] = id;
	zs_store(&part->sparse_count, part->sparse_count + 1);
}

static void leave_to_sweep(struct zs_part *part, uint32_t id)
{
	zs_store(&part->due[id], zs_due_tick(zs_clock_ms(part->engine->clock)));
	zs_store(&part->sparse_left, 1);
}

void zs_evict_note_sparse(struct zs_part *part, uint32_t id)
{
	bool pushed = false;

	if (zs_load(&part->sparse_count) >= ZS_SPARSE_RING) {
		leave_to_sweep(part, id);
		return;
	}
	if (zs_fetch_or(&zs_frame(part, id)->lifetime, ZS_SLAB_SPARSE) & ZS_SLAB_SPARSE)
		return;
	pthread_mutex_lock(&part->lock);
	if (part->sparse_count < ZS_SPARSE_RING) {
		push_sparse(part, id);
		pushed = true;
	}
	pthread_mutex_unlock(&part->lock);
	if (pushed)
		return;
	zs_fetch_and(&zs_frame(part, id)->lifetime, ~ZS_SLAB_SPARSE);
	leave_to_sweep(part, id);
}

static uint32_t available_soon(const struct zs_part *part)
{
	return zs_slab_available(part) + zs_load(&part->quarantine.slabs.count) + zs_load(&part->outgoing.count) +
	       zs_load(&part->writing.count);
}

/* ---- towards the warm tier ---- */

bool zs_evict_may_send_out(const struct zs_part *part)
{
	uint32_t waiting = zs_load(&part->outgoing.count) + zs_load(&part->writing.count);

	return part->warm_blocks && !zs_load(&part->warm_shut) && waiting < part->frame_count / OUTGOING_SHARE;
}

void zs_evict_send_out(struct zs_part *part, uint32_t id)
{
	const struct zs_warm_hooks *hooks = &part->engine->warm;

	pthread_mutex_lock(&part->lock);
	zs_slab_list_remove(part, zs_slab_place(part, id) == ZS_AT_MAIN ? &part->main : &part->small, id);
	zs_slab_list_push(part, &part->outgoing, id);
	pthread_mutex_unlock(&part->lock);
	hooks->outgoing(hooks->context);
}

bool zs_evict_is_short(const struct zs_part *part)
{
	return available_soon(part) < zs_evict_reserve(part);
}

/*
 * A claimed slab with at most half its slots in use, from those remembered. While there is room, not one whose free
 * slots a thread is about to fill: its objects would take the free slots of others, and new objects new slabs.
 */
static uint32_t take_sparse(struct zs_part *part)
{
	bool is_short = zs_evict_is_short(part);
	uint32_t looks = is_short ? ZS_SPARSE_RING : SPARED_LOOKS;
	uint32_t found = ZS_SLAB_NONE;

	if (!zs_load(&part->sparse_count))
		return found;
	pthread_mutex_lock(&part->lock);
	while (part->sparse_count && found == ZS_SLAB_NONE && looks--) {
		uint32_t id = pop_sparse(part);
		struct zs_slab *slab = zs_frame(part, id);
		uint64_t lifetime = zs_load(&slab->lifetime);

		if (!is_short && lifetime & ZS_SLAB_SPARSE && lifetime & ZS_SLAB_LISTED) {
			push_sparse(part, id);
			continue;
		}
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

bool zs_evict_take_sparse(struct zs_part *part, struct zs_hand *hand)
{
	uint32_t id = take_sparse(part);

	if (id == ZS_SLAB_NONE)
		return false;
	zs_hand_take(part, hand, id, ZS_ERRAND_MERGE);
	return true;
}

bool zs_evict_take_victim(struct zs_thread *thread, struct zs_part *part, struct zs_hand *hand)
{
	const struct zs_policy_ops *policy = zs_policy_ops(zs_engine_policy(part->engine));
	uint32_t id = policy ? policy->victim(thread, part) : ZS_SLAB_NONE;

	if (id == ZS_SLAB_NONE)
		return false;
	zs_hand_take(part, hand, id, ZS_ERRAND_EVICT);
	return true;
}

bool zs_evict_by_policy(struct zs_thread *thread, struct zs_part *part)
{
	struct zs_hand hand;

	if (!zs_evict_take_victim(thread, part, &hand))
		return false;
	zs_hand_complete(thread, part, &hand);
	return true;
}

static bool merge_one(struct zs_thread *thread, struct zs_part *part)
{
	struct zs_hand hand;

	return zs_evict_take_sparse(part, &hand) && zs_hand_complete(thread, part, &hand);
}

bool zs_evict_one(struct zs_thread *thread, struct zs_part *part)
{
	if (zs_load(&part->dropped) && zs_upkeep_clean_one(thread, part))
		return true;
	return merge_one(thread, part) || zs_upkeep_expire_one(thread, part) || zs_evict_by_policy(thread, part);
}

int zs_evict_make_room(struct zs_thread *thread, struct zs_part *part)
{
	uint32_t least = zs_evict_reserve_of_movers(part);
	bool may_evict = zs_engine_policy(part->engine) != ZS_POLICY_NOEVICTION;

	zs_slab_reclaim(part);
	zs_resize_reclaim(part);
	for (unsigned i = 0; i < TRIES_MAX; i++) {
		if (available_soon(part) > least)
			break;
		if (!zs_evict_one(thread, part))
			break;
	}
	zs_slab_close_batch(thread, part);
	/* Without eviction the reserve has to stay, or nothing could be merged any more. */
	if (zs_slab_available(part) > (may_evict ? 0 : zs_evict_reserve(part) / 2))
		return ZS_OK;
	return may_evict || zs_load(&part->quarantine.slabs.count) ? ZS_EAGAIN : ZS_EFULL;
}
