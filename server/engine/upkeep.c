#include "server/engine/upkeep.h"

#include "server/engine/evict.h"
#include "server/engine/group.h"
#include "server/engine/index.h"
#include "server/engine/lifetime.h"
#include "server/engine/move.h"
#include "server/engine/place.h"
#include "server/engine/resize.h"
#include "server/engine/slab.h"

/* Frames looked at in one step of the sweep. */
#define SWEEP_STEP 4096

/* Buckets moved in one step of a resize. */
#define RESIZE_STEP 16

/*
 * A round this late (the machine was suspended) visits all slabs with a time, because times are kept modulo 4.6 hours.
 */
#define SWEEP_LATE_MS 3600000u

/* Between two rounds of the sweep. */
#define SWEEP_PERIOD_MS ZS_DUE_MS

/* A step that takes longer is counted as slow: readers and writers of the same thread wait for it. */
#define SLOW_STEP_NS 10000000u

/* Units that objects should have to live to be worth a copy when their slab's first window is over. */
#define WORTH_MOVING 40

/* ---- visiting one slab ---- */

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
 * Which counter moving a slab's objects belongs to; NULL if they should stay. When the time of a slab's first objects
 * is over it takes no new ones. If those in it have long to live, refreshed or stored later, they go where freed slots
 * are filled again; if they end soon they are not worth a copy.
 */
static uint64_t *why_move(struct zs_thread *thread, const struct zs_slab *slab)
{
	uint64_t lifetime = zs_load(&slab->lifetime);
	uint32_t unit = zs_lifetime_unit(lifetime);
	uint64_t base = zs_lifetime_base(lifetime);

	if (unit && (base + ZS_FILL_SPAN) * zs_unit_ms(unit) <= zs_now(thread))
		return &thread->counters.moved_lifetime;
	if (unit && base * zs_unit_ms(unit) <= zs_now(thread) && mean_left(slab, zs_now(thread)) >= WORTH_MOVING)
		return &thread->counters.moved_lifetime;
	if (zs_slab_is_sparse(slab))
		return &thread->counters.moved_merge;
	return NULL;
}

static void visit(struct zs_thread *thread, struct zs_part *part, uint32_t id)
{
	struct zs_slab *slab = zs_frame(part, id);
	uint64_t expired = thread->counters.expired_objects;
	uint32_t slots = zs_identity_slots(zs_load(&slab->identity));
	uint32_t unit;

	if (!zs_slab_claim(part, id)) {
		/* Being filled or emptied; or free, then nothing is due. */
		enum zs_place place = zs_slab_place(part, id);
		bool used = place == ZS_AT_SMALL || place == ZS_AT_MAIN || place == ZS_AT_NOWHERE;

		zs_store(&part->due[id], used ? zs_due_at(zs_now(thread) + 1000, zs_now(thread)) : 0);
		return;
	}
	zs_move_survivors(thread, part, id, why_move(thread, slab));
	unit = zs_lifetime_unit(zs_load(&slab->lifetime));
	zs_store(&part->due[id], unit ? zs_due_at(next_visit(slab, zs_now(thread)), zs_now(thread)) : 0);
	if (!zs_evict_retire(thread, part, id))
		zs_place_freed(thread, part, id);
	else if (thread->counters.expired_objects - expired >= slots / 2)
		zs_count(thread, expired_slabs, 1);
}

bool zs_upkeep_sweep(struct zs_thread *thread, struct zs_part *part, uint32_t visits)
{
	uint16_t now = zs_due_tick(zs_now(thread));
	uint32_t end = zs_load(&part->virgin);
	uint32_t start = zs_load(&part->sweep_next);
	uint32_t done = 0;
	uint32_t id;

	/* Frames that were an index table once lie above those never used. */
	if (start >= end && start < zs_load(&part->virgin_end))
		start = part->virgin_end;
	end = start < end ? end : part->frame_count;
	for (id = start; id < end && id < start + SWEEP_STEP && done < visits; id++) {
		uint16_t due = zs_load(&part->due[id]);

		if (zs_due_reached(due, now) || (due && part->sweep_all)) {
			visit(thread, part, id);
			done++;
		}
	}
	if (done)
		zs_slab_close_batch(thread, part);
	zs_store(&part->sweep_next, id);
	return done > 0;
}

bool zs_upkeep_clean_one(struct zs_thread *thread, struct zs_part *part)
{
	uint32_t steps = part->frame_count / SWEEP_STEP + 2;

	while (zs_load(&part->dropped) && steps--) {
		if (zs_load(&part->sweep_next) >= part->frame_count)
			zs_store(&part->sweep_next, 0);
		if (zs_upkeep_sweep(thread, part, 1))
			return true;
	}
	zs_store(&part->dropped, 0);
	return false;
}

/* ---- all of it, in turn ---- */

static bool sweep_step(struct zs_thread *thread, struct zs_part *part)
{
	if (zs_load(&part->sweep_next) >= part->frame_count) {
		if (zs_now(thread) - part->sweep_started_ms < SWEEP_PERIOD_MS)
			return false;
		part->sweep_all = part->sweep_started_ms && zs_now(thread) - part->sweep_started_ms > SWEEP_LATE_MS;
		part->sweep_started_ms = zs_now(thread);
		zs_store(&part->dropped, 0);
		zs_store(&part->sweep_next, 0);
	}
	zs_upkeep_sweep(thread, part, 8);
	return true;
}

/* One step of everything for one partition. True if there is more to do at once. */
static bool step(struct zs_thread *thread, struct zs_part *part)
{
	bool more = false;

	zs_slab_reclaim(part);
	zs_resize_reclaim(part);
	zs_resize_check(thread, part);
	more |= zs_resize_step(thread, part, RESIZE_STEP);
	zs_index_drain_overflow(thread, part);
	more |= sweep_step(thread, part);
	more |= zs_evict_merge_sparse(thread, part);
	zs_slab_close_batch(thread, part);
	return more;
}

/*
 * Open slabs in which everything is over are sealed, so that the sweep finds them. Only their own thread can do that.
 */
static void seal_over(struct zs_thread *thread)
{
	if (zs_now(thread) - thread->sealed_ms < SWEEP_PERIOD_MS)
		return;
	thread->sealed_ms = zs_now(thread);
	for (uint32_t p = 0; p < thread->engine->part_count; p++)
		zs_place_seal(thread, &thread->engine->parts[p], false);
}

static void note_step(struct zs_thread *thread, uint64_t ns)
{
	struct zs_engine *engine = thread->engine;
	uint64_t longest = zs_load(&engine->longest_upkeep_ns);

	if (ns > SLOW_STEP_NS)
		zs_count(thread, upkeep_slow, 1);
	while (ns > longest && !__atomic_compare_exchange_n(&engine->longest_upkeep_ns, &longest, ns, true,
							    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

bool zs_thread_upkeep(struct zs_thread *thread, unsigned budget_us)
{
	struct zs_engine *engine = thread->engine;
	uint64_t begin = zs_clock_ns(engine->clock);
	uint64_t before = begin;
	bool more;

	zs_thread_quiesce(thread);
	seal_over(thread);
	do {
		more = false;
		for (uint32_t p = 0; p < engine->part_count; p++) {
			struct zs_part *part = &engine->parts[p];
			uint64_t after;

			if (__atomic_exchange_n(&part->upkeep_busy, 1, __ATOMIC_ACQUIRE))
				continue;
			more |= step(thread, part);
			zs_store_release(&part->upkeep_busy, 0);
			zs_thread_quiesce(thread);
			after = zs_clock_ns(engine->clock);
			note_step(thread, after - before);
			before = after;
		}
		zs_groups_reclaim(engine);
	} while (more && before - begin < (uint64_t)budget_us * 1000);
	return more;
}
