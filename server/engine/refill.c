#include "server/engine/refill.h"

#include <stdlib.h>
#include <string.h>

#include "server/engine/lifetime.h"
#include "server/engine/slab.h"

/* Remembered slabs that are tried for one that fits. */
#define TRIES 8

void zs_dead_slots(const struct zs_slab *slab, uint64_t room[4])
{
	uint32_t slots = zs_identity_slots(zs_load(&slab->identity));

	memset(room, 0, 4 * sizeof(room[0]));
	for (uint32_t w = 0; w < zs_live_words(slots); w++) {
		uint32_t valid = slots - w * 32 >= 32 ? UINT32_MAX : (1u << (slots - w * 32)) - 1;

		room[w / 2] |= (uint64_t)(~zs_load(&slab->live[w]) & valid) << (w % 2 * 32);
	}
}

/* The slab is not remembered any more, and can be again; unless it is another by now. */
static void forget(struct zs_slab *slab, uint32_t generation)
{
	if (zs_identity_generation(zs_load(&slab->identity)) == generation)
		zs_fetch_and(&slab->lifetime, ~ZS_SLAB_LISTED);
}

void zs_refill_list(struct zs_thread *thread, struct zs_open *open, struct zs_part *part, uint32_t id)
{
	struct zs_slab *slab = zs_frame(part, id);
	struct zs_partial_ring *ring = open->partial;
	/*
	 * Taken first: if another thread opens the slab before we have looked at its slots, ours is an old generation.
	 */
	uint32_t generation = zs_identity_generation(zs_load_acquire(&slab->identity));
	struct zs_partial *entry;
	uint64_t before;

	if (!ring) {
		ring = calloc(1, sizeof(*ring));
		if (!ring)
			return; /* the slots stay free until the slab is emptied */
		open->partial = ring;
		__atomic_fetch_add(&part->engine->outside_bytes, sizeof(*ring), __ATOMIC_RELAXED);
	}
	if (ring->count == ZS_PARTIAL_RING)
		return;
	before = zs_fetch_or(&slab->lifetime, ZS_SLAB_LISTED);
	if (before & ZS_SLAB_LISTED)
		return;
	if (before & (ZS_SLAB_OPEN | ZS_SLAB_CLAIMED)) {
		forget(slab, generation);
		return;
	}
	entry = &ring->entries[(ring->first + ring->count) % ZS_PARTIAL_RING];
	entry->id = id;
	entry->generation = generation;
	zs_dead_slots(slab, entry->room);
	if (zs_room_is_empty(entry->room)) {
		forget(slab, generation);
		return;
	}
	/* The dead slots' quarantine begins here, and with it the generation in which they are filled again. */
	if (!zs_slab_renew(slab, entry->generation++))
		return; /* claimed, released and listed by another thread meanwhile */
	entry->since_ns = zs_load_acquire(&part->engine->remote_until_ms) ? zs_clock_ns(part->engine->clock) : 0;
	entry->stamp = zs_epoch_stamp(part->engine->epoch);
	ring->count++;
	thread->want_epoch = true;
}

bool zs_refill_is_too_old(const struct zs_thread *thread, const struct zs_slab *slab)
{
	uint64_t lifetime = zs_load(&slab->lifetime);
	uint32_t unit = zs_lifetime_unit(lifetime);

	return unit && zs_now(thread) / zs_unit_ms(unit) + ZS_UNITS_LEAST > zs_lifetime_base(lifetime) + ZS_FILL_SPAN;
}

bool zs_refill_fits(const struct zs_slab *slab, uint64_t deadline, uint8_t *byte)
{
	uint64_t lifetime = zs_load(&slab->lifetime);

	*byte = 0;
	if (!zs_lifetime_unit(lifetime))
		return true;
	return zs_deadline_byte(lifetime, deadline, byte) && *byte <= ZS_FILL_SPAN;
}

bool zs_refill_take(struct zs_thread *thread, struct zs_open *open, struct zs_part *part, uint64_t deadline,
		    struct zs_lane *lane)
{
	struct zs_partial_ring *ring = open->partial;

	for (unsigned tries = 0; ring && ring->count && tries < TRIES; tries++) {
		struct zs_partial entry = ring->entries[ring->first];
		struct zs_slab *slab = zs_frame(part, entry.id);
		uint8_t byte;

		if (!zs_epoch_passed(part->engine->epoch, entry.stamp) ||
		    !zs_slab_quarantine_over(part->engine, entry.since_ns))
			return false;
		ring->first = (ring->first + 1) % ZS_PARTIAL_RING;
		ring->count--;
		if (zs_refill_fits(slab, deadline, &byte)) {
			if (!zs_slab_reopen(part, entry.id, entry.generation)) {
				forget(slab, entry.generation);
				continue;
			}
			lane->id = entry.id;
			lane->slab = slab;
			memcpy(lane->room, entry.room, sizeof(lane->room));
			return true;
		}
		if (zs_refill_is_too_old(thread, slab))
			forget(slab, entry.generation);
		else
			ring->entries[(ring->first + ring->count++) % ZS_PARTIAL_RING] = entry;
	}
	return false;
}
