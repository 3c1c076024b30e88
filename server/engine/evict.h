/*
 * Making room: whole slabs are emptied, first those that hold nothing any more, then sparse ones, then by policy.
 *
 * A small reserve of free slabs is kept, so that moving objects never waits for the room that it is about to make.
 */
#ifndef ZS_SERVER_ENGINE_EVICT_H
#define ZS_SERVER_ENGINE_EVICT_H

#include "server/engine/internal.h"

/* Free slabs that are kept for background work. */
uint32_t zs_evict_reserve(const struct zs_part *part);

/*
 * Frees slabs until the reserve is whole again, counting those that rest. For a thread that has no slot placed but
 * not committed. ZS_OK if there is a free slab now, else ZS_EAGAIN or, with noeviction, ZS_EFULL.
 */
int zs_evict_make_room(struct zs_thread *thread, struct zs_part *part);

/* Empties one slab. False if there is none that may be. */
bool zs_evict_one(struct zs_thread *thread, struct zs_part *part);

/* Remembers that at most half of the slab's slots are in use, so that it is merged with others. */
void zs_evict_note_sparse(struct zs_part *part, uint32_t id);

/* Empties the slab that the policy chooses. False if there is none, or nothing may be evicted. */
bool zs_evict_by_policy(struct zs_thread *thread, struct zs_part *part);

/* Ends a claim: retires the slab if it is empty, else releases it. True if it was retired. */
bool zs_evict_retire(struct zs_thread *thread, struct zs_part *part, uint32_t id);

/* Merges one sparse slab into open ones. False if there is none. */
bool zs_evict_merge_sparse(struct zs_thread *thread, struct zs_part *part);

#endif
