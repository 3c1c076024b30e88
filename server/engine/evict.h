/*
 * Making room: whole slabs are emptied, first those that hold nothing any more, then sparse ones, then by policy.
 *
 * A small reserve of free slabs is kept, so that moving objects never waits for the room that it is about to make.
 */
#ifndef ZS_SERVER_ENGINE_EVICT_H
#define ZS_SERVER_ENGINE_EVICT_H

#include "server/engine/internal.h"

/* Free slabs that upkeep keeps for background work, and for writers to take without waiting. */
uint32_t zs_evict_reserve(const struct zs_part *part);

/* Writers do not go below this, but make room themselves; the rest is for movers. */
uint32_t zs_evict_reserve_of_movers(const struct zs_part *part);

/*
 * Frees slabs until writers may take one, counting those that rest. For a thread that has no slot placed but
 * not committed. ZS_OK if there is a free slab now, else ZS_EAGAIN or, with noeviction, ZS_EFULL.
 */
int zs_evict_make_room(struct zs_thread *thread, struct zs_part *part);

/* Empties one slab. False if there is none that may be. */
bool zs_evict_one(struct zs_thread *thread, struct zs_part *part);

/* Remembers that at most half of the slab's slots are in use, so that it is merged with others. */
void zs_evict_note_sparse(struct zs_part *part, uint32_t id);

/* Empties the slab that the policy chooses. False if there is none, or nothing may be evicted. */
bool zs_evict_by_policy(struct zs_thread *thread, struct zs_part *part);

/* Takes a sparse slab into the hand, to merge it into open ones. False if there is none. */
bool zs_evict_take_sparse(struct zs_part *part, struct zs_hand *hand);

/* Takes the slab that the policy chooses into the hand. False if there is none, or nothing may be evicted. */
bool zs_evict_take_victim(struct zs_thread *thread, struct zs_part *part, struct zs_hand *hand);

/*
 * Whether a claimed slab that is to be evicted goes to the warm tier instead: there is one, it has room, and not too
 * many slabs wait for it already. Objects of groups stay behind.
 */
bool zs_evict_may_send_out(const struct zs_part *part);

/* Sends it out. It stays claimed. */
void zs_evict_send_out(struct zs_part *part, uint32_t id);

/* Whether there are fewer free slabs than should be kept, counting those that rest. */
bool zs_evict_is_short(const struct zs_part *part);

#endif
