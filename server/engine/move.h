/*
 * Moving and ending objects for background work: eviction, expiry, merging.
 *
 * All of it works on slabs that the caller has claimed. Writers may end objects in them at the same time, and groups
 * may be dropped; so each step looks again under the lock of the object's buckets.
 */
#ifndef ZS_SERVER_ENGINE_MOVE_H
#define ZS_SERVER_ENGINE_MOVE_H

#include "server/engine/internal.h"

/* The live objects of a slab and their hashes. The index lines of all of them are being fetched on return. */
struct zs_residents {
	uint32_t count;
	uint8_t slots[ZS_SLOTS_MAX];
	uint64_t hashes[ZS_SLOTS_MAX];
};

/* Lists the live objects; with `all` also those whose live bit was cleared by a drop. */
void zs_residents_list(const struct zs_part *part, uint32_t id, bool all, struct zs_residents *residents);

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

/*
 * Ends what has expired in a slab, and copies the rest forward, counted in *moved; with NULL the rest stays. Moving for
 * the sake of merging (*moved is the thread's moved_merge) is gentle.
 */
void zs_move_survivors(struct zs_thread *thread, struct zs_part *part, uint32_t id, uint64_t *moved);

/* Removes the index entries of a slab that was dropped. */
void zs_clean_dropped(struct zs_thread *thread, struct zs_part *part, uint32_t id);

#endif
