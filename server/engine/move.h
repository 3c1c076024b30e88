/*
 * Moving and ending objects for background work: eviction, expiry, merging.
 *
 * All of it works on slabs that the caller has claimed. Writers may end objects in them at the same time, and groups
 * may be dropped; so each step looks again under the lock of the object's buckets.
 */
#ifndef ZS_SERVER_ENGINE_MOVE_H
#define ZS_SERVER_ENGINE_MOVE_H

#include "server/engine/internal.h"

/*
 * Goes through the objects of a slab: zs_residents_list adds up to `objects` to a list, with the hashes of their keys,
 * and zs_residents_next takes the oldest from it; false if it is empty. What is listed has its index lines on their
 * way, so it pays to do something else before it is taken. With `all` also those whose live bit was cleared by a drop.
 */
void zs_residents_begin(const struct zs_part *part, uint32_t id, bool all, struct zs_residents *residents);
void zs_residents_list(const struct zs_part *part, uint32_t id, struct zs_residents *residents, unsigned objects);
bool zs_residents_next(struct zs_residents *residents, uint32_t *slot, uint64_t *hash);

enum zs_moved {
	ZS_MOVED,
	ZS_GONE,    /* it had ended already, or ends now because everything was flushed */
	ZS_NO_ROOM, /* it is where it was */
};

struct zs_move {
	bool main;	  /* the copy is of the main queue */
	bool gentle;	  /* see struct zs_wanted */
	uint32_t recency; /* that it starts with */
};

/* Copies an object into an open slab of the same lifetime and group; ends the old one. */
enum zs_moved zs_move_object(struct zs_thread *thread, struct zs_part *part, uint32_t id, uint32_t slot, uint64_t hash,
			     struct zs_move how);

/* Ends an object and its index entry. False if it had ended already; its entry is gone in any case. */
bool zs_end_object(struct zs_thread *thread, struct zs_part *part, uint32_t id, uint32_t slot, uint64_t hash);

/* Removes the index entries of a slab that was dropped. */
void zs_clean_dropped(struct zs_thread *thread, struct zs_part *part, uint32_t id);

#endif
