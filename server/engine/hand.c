#include "server/engine/hand.h"

#include "server/engine/evict.h"
#include "server/engine/ghost.h"
#include "server/engine/lifetime.h"
#include "server/engine/move.h"
#include "server/engine/place.h"
#include "server/engine/policy.h"
#include "server/engine/slab.h"

/* Units that objects should have to live to be worth a copy when their slab's first window is over. */
#define WORTH_MOVING 40

/* ---- what a visit is for, and when the next one is ---- */

/* The time by which the next of a slab's objects have expired: all within eight units of the first. */
static uint64_t next_visit(const struct zs_slab *slab, uint64_t now)
{
	uint64_t identity = zs_load(&slab->identity);
	uint64_t lifetime = zs_load(&slab->lifetime);
	uint64_t unit = zs_unit_ms(zs_lifetime_unit(lifetime));
	uint64_t span_end = (zs_lifetime_base(lifetime) + ZS_FILL_SPAN) * unit;
	uint64_t first = UINT64_MAX;
	uint64_t last = 0;

	for (uint32_t slot = 0; slot < zs_identity_slots(identity); slot++) {
		uint64_t deadline = zs_slab_deadline(slab, identity, lifetime, slot);

		if (zs_slab_is_live(slab, slot) && deadline < first)
			first = deadline;
	}
	for (uint32_t slot = 0; slot < zs_identity_slots(identity); slot++) {
		uint64_t deadline = zs_slab_deadline(slab, identity, lifetime, slot);

		if (zs_slab_is_live(slab, slot) && deadline > last && deadline <= first + 8 * unit)
			last = deadline;
	}
	return span_end > now && span_end < last ? span_end : last;
}

/* How long the unexpired objects of a slab have to live on average, in units; 0 if there are none. */
static uint64_t mean_left(const struct zs_slab *slab, uint64_t now)
{
	uint64_t identity = zs_load(&slab->identity);
	uint64_t lifetime = zs_load(&slab->lifetime);
	uint64_t sum = 0;
	uint64_t count = 0;

	for (uint32_t slot = 0; slot < zs_identity_slots(identity); slot++) {
		uint64_t deadline = zs_slab_deadline(slab, identity, lifetime, slot);

		if (zs_slab_is_live(slab, slot) && deadline > now) {
			sum += deadline - now;
			count++;
		}
	}
	return count ? sum / count / zs_unit_ms(zs_lifetime_unit(lifetime)) : 0;
}

/*
 * What becomes of the objects that have not expired. When the time of a slab's first objects is over it takes no new
 * ones. If those in it have long to live, refreshed or stored later, they go where freed slots are filled again; if
 * they end soon they are not worth a copy.
 */
static enum zs_errand errand_of_visit(const struct zs_thread *thread, const struct zs_slab *slab)
{
	uint64_t lifetime = zs_load(&slab->lifetime);
	uint32_t unit = zs_lifetime_unit(lifetime);
	uint64_t base = zs_lifetime_base(lifetime);

	if (unit && (base + ZS_FILL_SPAN) * zs_unit_ms(unit) <= zs_now(thread))
		return ZS_ERRAND_RENEW;
	if (unit && base * zs_unit_ms(unit) <= zs_now(thread) && mean_left(slab, zs_now(thread)) >= WORTH_MOVING)
		return ZS_ERRAND_RENEW;
	return zs_slab_is_sparse(slab) ? ZS_ERRAND_MERGE : ZS_ERRAND_EXPIRE;
}

bool zs_hand_take_due(struct zs_thread *thread, struct zs_part *part, struct zs_hand *hand, uint32_t id)
{
	if (!zs_slab_claim(part, id)) {
		/* Being filled or emptied; or free, then nothing is due. */
		enum zs_place place = zs_slab_place(part, id);
		bool used = zs_place_holds_objects(place) || place == ZS_AT_NOWHERE;

		zs_store(&part->due[id], used ? zs_due_at(zs_now(thread) + 1000, zs_now(thread)) : 0);
		return false;
	}
	zs_hand_take(part, hand, id, errand_of_visit(thread, zs_frame(part, id)));
	hand->due = true;
	return true;
}

void zs_hand_take(struct zs_part *part, struct zs_hand *hand, uint32_t id, enum zs_errand errand)
{
	hand->id = id;
	hand->due = false;
	hand->expired = 0;
	zs_residents_begin(part, id, false, &hand->residents);
	zs_store(&hand->errand, errand);
}

/* ---- one object ---- */

static bool is_over(const struct zs_thread *thread, const struct zs_slab *slab, uint32_t slot)
{
	uint64_t deadline = zs_slab_deadline(slab, zs_load(&slab->identity), zs_load(&slab->lifetime), slot);

	return deadline && deadline <= zs_now(thread);
}

/* Keeps or evicts an object of a victim. */
static void judge(struct zs_thread *thread, struct zs_part *part, uint32_t id, uint32_t slot, uint64_t hash)
{
	const struct zs_policy_ops *policy = zs_policy_ops(zs_engine_policy(part->engine));
	const struct zs_slab *slab = zs_frame(part, id);
	uint32_t recency = zs_slab_recency(slab, zs_identity_slots(zs_load(&slab->identity)), slot);
	struct zs_verdict verdict;

	if (!policy)
		return; /* switched off meanwhile */
	verdict = policy->judge(zs_load(&slab->lifetime) & ZS_SLAB_MAIN, recency);
	if (verdict.keep) {
		enum zs_moved moved = zs_move_object(thread, part, id, slot, hash,
						     (struct zs_move){ verdict.main, false, verdict.recency });

		if (moved == ZS_MOVED)
			zs_count(thread, moved_evict, 1);
		/* Room is coming, so what is worth keeping waits for it where it is. */
		if (moved != ZS_NO_ROOM || zs_load(&part->quarantine.slabs.count))
			return;
	}
	/* It stays, and leaves with its slab. */
	if (zs_evict_may_send_out(part))
		return;
	if (!zs_end_object(thread, part, id, slot, hash))
		return;
	if (part->warm_blocks)
		zs_count(thread, warm_refused, 1);
	zs_count(thread, evicted_objects, 1);
	if (verdict.remember && part->ghost)
		zs_ghost_add(part->ghost, hash);
}

/* Copies an object forward. For the sake of merging no other slab is sealed. */
static void carry(struct zs_thread *thread, struct zs_part *part, uint32_t id, uint32_t slot, uint64_t hash, bool merge)
{
	const struct zs_slab *slab = zs_frame(part, id);
	struct zs_move how = {
		.main = zs_load(&slab->lifetime) & ZS_SLAB_MAIN,
		.gentle = merge,
		.recency = zs_slab_recency(slab, zs_identity_slots(zs_load(&slab->identity)), slot),
	};

	if (zs_move_object(thread, part, id, slot, hash, how) != ZS_MOVED)
		return;
	if (merge)
		zs_count(thread, moved_merge, 1);
	else
		zs_count(thread, moved_lifetime, 1);
}

static void see_to(struct zs_thread *thread, struct zs_part *part, struct zs_hand *hand, uint32_t slot, uint64_t hash)
{
	if (is_over(thread, zs_frame(part, hand->id), slot)) {
		if (zs_end_object(thread, part, hand->id, slot, hash)) {
			zs_count(thread, expired_objects, 1);
			hand->expired++;
		}
		return;
	}
	switch (hand->errand) {
	case ZS_ERRAND_EVICT:
		judge(thread, part, hand->id, slot, hash);
		break;
	case ZS_ERRAND_MERGE:
	case ZS_ERRAND_RENEW:
		carry(thread, part, hand->id, slot, hash, hand->errand == ZS_ERRAND_MERGE);
		break;
	case ZS_ERRAND_EXPIRE:
	case ZS_ERRAND_NONE:
		break;
	}
}

/* ---- the slab ---- */

/* Ends the claim. True if the slab was empty and has been retired. */
static bool finish(struct zs_thread *thread, struct zs_part *part, const struct zs_hand *hand)
{
	struct zs_slab *slab = zs_frame(part, hand->id);
	uint64_t lifetime;

	if (hand->due && zs_lifetime_unit(zs_load(&slab->lifetime)))
		zs_store(&part->due[hand->id], zs_due_at(next_visit(slab, zs_now(thread)), zs_now(thread)));
	else if (hand->due)
		zs_store(&part->due[hand->id], 0);
	if (zs_slab_live_count(slab) && hand->errand == ZS_ERRAND_EVICT && zs_evict_may_send_out(part)) {
		zs_evict_send_out(part, hand->id);
		return false;
	}
	if (zs_slab_live_count(slab)) {
		zs_slab_release(part, hand->id);
		if (hand->due)
			zs_place_freed(thread, part, hand->id);
		return false;
	}
	if (hand->expired && hand->expired >= zs_identity_slots(zs_load(&slab->identity)) / 2)
		zs_count(thread, expired_slabs, 1);
	else if (hand->errand == ZS_ERRAND_EVICT)
		zs_count(thread, evicted_slabs, 1);
	/* In this order: a drop marks the slab before it clears the live bits. */
	lifetime = zs_load_acquire(&slab->lifetime);
	if (lifetime & ZS_SLAB_DROPPED)
		zs_clean_dropped(thread, part, hand->id);
	zs_slab_retire(thread, part, hand->id);
	return true;
}

bool zs_hand_go_on(struct zs_thread *thread, struct zs_part *part, struct zs_hand *hand, unsigned objects)
{
	uint32_t slot;
	uint64_t hash;
	bool retired;

	for (unsigned i = 0; i < objects && zs_residents_next(&hand->residents, &slot, &hash); i++)
		see_to(thread, part, hand, slot, hash);
	/* Two for one, until some lie ready. */
	zs_residents_list(part, hand->id, &hand->residents, 2 * objects);
	if (hand->residents.count)
		return false;
	retired = finish(thread, part, hand);
	zs_store(&hand->errand, ZS_ERRAND_NONE);
	return retired;
}

bool zs_hand_complete(struct zs_thread *thread, struct zs_part *part, struct zs_hand *hand)
{
	bool retired = false;

	while (!zs_hand_is_empty(hand))
		retired = zs_hand_go_on(thread, part, hand, ZS_RESIDENTS_AHEAD);
	return retired;
}
