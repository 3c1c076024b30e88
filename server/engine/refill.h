/*
 * Slots of sealed slabs that became free, and their filling again: each class of a thread remembers some slabs that
 * have such slots. Their slots rest (see slab.h) while the slab is remembered, and belong to a new generation of it.
 *
 * A remembered slab has ZS_SLAB_LISTED; so it is remembered by one thread only.
 */
#ifndef ZS_SERVER_ENGINE_REFILL_H
#define ZS_SERVER_ENGINE_REFILL_H

#include "server/engine/internal.h"

static inline bool zs_room_is_empty(const uint64_t room[4])
{
	return !(room[0] | room[1] | room[2] | room[3]);
}

/* The slots of a slab without an object. */
void zs_dead_slots(const struct zs_slab *slab, uint64_t room[4]);

/* Remembers a sealed slab with free slots, unless another thread does or there is no space to. */
void zs_refill_list(struct zs_thread *thread, struct zs_open *open, struct zs_part *part, uint32_t id);

/* Whether no new object of the slab's class can go into it any more: even the shortest time to live is out of reach. */
bool zs_refill_is_too_old(const struct zs_thread *thread, const struct zs_slab *slab);

/* Whether a slab may take another object that ends then; the deadline as the slab keeps it. */
bool zs_refill_fits(const struct zs_slab *slab, uint64_t deadline, uint8_t *byte);

/*
 * Opens a remembered slab into the lane: the oldest whose readers are gone and that the deadline fits. Others keep
 * their place, behind; those that nothing will fit any more are forgotten.
 */
bool zs_refill_take(struct zs_thread *thread, struct zs_open *open, struct zs_part *part, uint64_t deadline,
		    struct zs_lane *lane);

#endif
