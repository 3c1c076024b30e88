/*
 * A slab in hand: claimed to be visited, merged with others or evicted, and worked through a few objects at a time,
 * so that operations of the same thread never wait for a whole slab.
 *
 * A hand belongs to whoever works with it: upkeep's is the partition's (under upkeep_busy, and may be passed on from
 * thread to thread), a writer in need of room has one of its own and works through it at once.
 */
#ifndef ZS_SERVER_ENGINE_HAND_H
#define ZS_SERVER_ENGINE_HAND_H

#include "server/engine/internal.h"

/* Whether the hand is empty; a hint for who does not own it. */
static inline bool zs_hand_is_empty(const struct zs_hand *hand)
{
	return zs_load(&hand->errand) == ZS_ERRAND_NONE;
}

/*
 * Takes a slab whose time has come into the hand, which is empty. False if somebody else has it; then another time was
 * set if one is needed.
 */
bool zs_hand_take_due(struct zs_thread *thread, struct zs_part *part, struct zs_hand *hand, uint32_t id);

/* Takes a slab that the caller has claimed, to merge or to evict it. */
void zs_hand_take(struct zs_part *part, struct zs_hand *hand, uint32_t id, enum zs_errand errand);

/*
 * Goes on with the slab in hand, for some objects. After the last one the slab is retired if it is empty, else
 * released, and the hand is empty. True if the slab was retired.
 */
bool zs_hand_go_on(struct zs_thread *thread, struct zs_part *part, struct zs_hand *hand, unsigned objects);

/* Goes on until the hand is empty. True if the slab was retired. */
bool zs_hand_complete(struct zs_thread *thread, struct zs_part *part, struct zs_hand *hand);

#endif
