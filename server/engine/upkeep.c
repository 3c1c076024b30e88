#include "server/engine/upkeep.h"

#include "server/engine/evict.h"
#include "server/engine/group.h"
#include "server/engine/hand.h"
#include "server/engine/index.h"
#include "server/engine/lifetime.h"
#include "server/engine/place.h"
#include "server/engine/resize.h"
#include "server/engine/slab.h"

/* What is done between two looks at the clock: less than a microsecond. */
#define SWEEP_STEP 256 /* frames looked at */
#define HAND_STEP 2    /* objects of the slab in hand */

/* Steps between two rounds of what is only looked at. */
#define STEPS_MAX 64

/* The budget of a worker that has little to do, or that has answered few requests since the last time. */
#define SHORT_BUDGET_US 8

/*
 * A round this late (the machine was suspended) visits all slabs with a time, because times are kept modulo 4.6 hours.
 */
#define SWEEP_LATE_MS 3600000u

/* Between two rounds of the sweep. */
#define SWEEP_PERIOD_MS ZS_DUE_MS

/* A step that takes longer is counted as slow: readers and writers of the same thread wait for it. */
#define SLOW_STEP_NS 10000000u

/* ---- the sweep ---- */

/* Looks at some frames, up to the next slab that is due; that is in the hand then. */
static void sweep(struct zs_thread *thread, struct zs_part *part, struct zs_hand *hand)
{
	uint16_t now = zs_due_tick(zs_now(thread));
	uint32_t end = zs_load(&part->virgin);
	uint32_t start = zs_load(&part->sweep_next);
	uint32_t id;

	/* Frames that were an index table once lie above those never used. */
	if (start >= end && start < zs_load(&part->virgin_end))
		start = part->virgin_end;
	end = start < end ? end : part->frame_count;
	for (id = start; id < end && id < start + SWEEP_STEP && zs_hand_is_empty(hand); id++) {
		uint16_t due = zs_load(&part->due[id]);

		if (zs_due_reached(due, now) || (due && part->sweep_all))
			zs_hand_take_due(thread, part, hand, id);
	}
	zs_store(&part->sweep_next, id);
}

bool zs_upkeep_clean_one(struct zs_thread *thread, struct zs_part *part)
{
	uint32_t steps = part->frame_count / SWEEP_STEP + 2;
	struct zs_hand hand = { .errand = ZS_ERRAND_NONE };

	while (zs_load(&part->dropped) && steps--) {
		if (zs_load(&part->sweep_next) >= part->frame_count)
			zs_store(&part->sweep_next, 0);
		sweep(thread, part, &hand);
		if (!zs_hand_is_empty(&hand)) {
			zs_hand_complete(thread, part, &hand);
			return true;
		}
	}
	zs_store(&part->dropped, 0);
	return false;
}

static bool round_is_over(const struct zs_part *part)
{
	return zs_load(&part->sweep_next) >= part->frame_count;
}

/* Whether it is time for the next round; when room is short, sparse slabs are looked for at once. */
static bool round_is_due(struct zs_thread *thread, struct zs_part *part)
{
	return zs_now(thread) - part->sweep_started_ms >= SWEEP_PERIOD_MS ||
	       (zs_load(&part->sparse_left) && zs_evict_is_short(part));
}

static void begin_round(struct zs_thread *thread, struct zs_part *part)
{
	part->sweep_all = part->sweep_started_ms && zs_now(thread) - part->sweep_started_ms > SWEEP_LATE_MS;
	part->sweep_started_ms = zs_now(thread);
	zs_store(&part->sparse_left, 0);
	zs_store(&part->dropped, 0);
	zs_store(&part->sweep_next, 0);
}

bool zs_upkeep_expire_one(struct zs_thread *thread, struct zs_part *part)
{
	struct zs_hand hand = { .errand = ZS_ERRAND_NONE };

	if (round_is_over(part)) {
		if (!zs_load(&part->sparse_left))
			return false;
		begin_round(thread, part);
	}
	sweep(thread, part, &hand);
	return !zs_hand_is_empty(&hand) && zs_hand_complete(thread, part, &hand);
}

/* ---- all of it, in turn ---- */

/* False if the round of the sweep is over, and the next one not yet due. */
static bool sweep_step(struct zs_thread *thread, struct zs_part *part)
{
	if (round_is_over(part)) {
		if (!round_is_due(thread, part))
			return false;
		begin_round(thread, part);
	}
	sweep(thread, part, &part->hand);
	return true;
}

/* A little of the slab in hand, or finding the next one. False if there is nothing to do. */
static bool hand_step(struct zs_thread *thread, struct zs_part *part)
{
	if (!zs_hand_is_empty(&part->hand)) {
		zs_hand_go_on(thread, part, &part->hand, HAND_STEP);
		return true;
	}
	/* In turn, so that neither has to wait for ever. */
	for (unsigned i = 0; i < 2; i++) {
		if (part->turn++ % 2 ? zs_evict_take_sparse(part, &part->hand) : sweep_step(thread, part))
			return true;
	}
	/* Nothing that lives is evicted while something has expired, or merging may give room. */
	return zs_evict_is_short(part) && zs_evict_take_victim(thread, part, &part->hand);
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

/* Works on one partition until `end_ns`, at least one step. True if there is more to do at once. */
static bool work(struct zs_thread *thread, struct zs_part *part, uint64_t *now_ns, uint64_t end_ns)
{
	uint64_t step_ns = 0;
	bool more = true;

	zs_slab_reclaim(part);
	zs_resize_reclaim(part);
	zs_resize_check(thread, part);
	zs_index_drain_overflow(thread, part);
	for (unsigned i = 0; more && i < STEPS_MAX && (i == 0 || *now_ns + step_ns / 2 < end_ns); i++) {
		uint64_t before = *now_ns;

		more = hand_step(thread, part);
		*now_ns = zs_clock_ns(thread->engine->clock);
		step_ns = *now_ns - before;
		note_step(thread, step_ns);
	}
	zs_slab_close_batch(thread, part);
	return more;
}

void zs_upkeep_assist(struct zs_thread *thread, struct zs_part *part)
{
	thread->wrote = true;
	if (zs_hand_is_empty(&part->hand) || zs_load(&part->upkeep_busy) ||
	    __atomic_exchange_n(&part->upkeep_busy, 1, __ATOMIC_ACQUIRE))
		return;
	if (!zs_hand_is_empty(&part->hand))
		zs_hand_go_on(thread, part, &part->hand, 1);
	zs_store_release(&part->upkeep_busy, 0);
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

/* A step of each resize that is going on. True if there is one. */
static bool resize_all(struct zs_thread *thread)
{
	struct zs_engine *engine = thread->engine;
	bool resizing = false;

	for (uint32_t p = 0; p < engine->part_count; p++)
		resizing |= zs_resize_step(thread, &engine->parts[p]);
	return resizing;
}

bool zs_thread_upkeep(struct zs_thread *thread, unsigned budget_us)
{
	struct zs_engine *engine = thread->engine;
	uint64_t now_ns = zs_clock_ns(engine->clock);
	uint64_t end_ns = now_ns + (uint64_t)budget_us * 1000;
	bool resizing;
	bool more;

	/* In a short round between writes one step is enough: writes see to the slab in hand, it finds the next one. */
	if (thread->wrote && budget_us <= SHORT_BUDGET_US)
		end_ns = now_ns;
	thread->wrote = false;
	zs_thread_quiesce(thread);
	seal_over(thread);
	resizing = resize_all(thread);
	do {
		more = false;
		for (uint32_t p = 0; p < engine->part_count; p++) {
			struct zs_part *part = &engine->parts[p];

			if (__atomic_exchange_n(&part->upkeep_busy, 1, __ATOMIC_ACQUIRE))
				continue;
			more |= work(thread, part, &now_ns, end_ns);
			zs_store_release(&part->upkeep_busy, 0);
			zs_thread_quiesce(thread);
		}
		zs_groups_reclaim(engine);
	} while (more && now_ns < end_ns);
	/* Resizing is in no hurry, and writers help; but two tables take room, so what time is left is for it. */
	while (resizing && !more && now_ns < end_ns) {
		resizing = resize_all(thread);
		now_ns = zs_clock_ns(engine->clock);
	}
	return more || resizing;
}
