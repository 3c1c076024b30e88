/*
 * Where a new object goes: the slabs that each thread fills.
 *
 * Objects of one class (kind, sizes where they are uniform, unit of lifetime, queue, group) share slabs. A thread has
 * its own open slabs, so placing takes no lock and shares no cache line; it goes to the partition only for another
 * slab.
 *
 *   uniform, counter   up to four open slabs, one for each window of deadlines; any free slot will do
 *   mixed              up to four open slabs, the one with the least room that suffices ("best fit")
 *
 * Slots that become free in sealed slabs are filled again: the thread that freed one remembers the slab, and opens it
 * again, once readers are gone, before it takes a new one.
 */
#ifndef ZS_SERVER_ENGINE_PLACE_H
#define ZS_SERVER_ENGINE_PLACE_H

#include "server/engine/internal.h"

struct zs_wanted {
	bool counter;	   /* an integer; value_size is 8 then */
	bool main;	   /* of the main queue */
	bool mover;	   /* background work: may use the reserve, must not evict */
	bool gentle;	   /* merging: must not push another class's slab out, or it would only move the problem */
	uint32_t unit;	   /* of the lifetime; 0: choose for the deadline */
	uint64_t deadline; /* 0: none */
	size_t key_size;
	size_t value_size;
	struct zs_group *group; /* NULL: none */
};

/* A slot that is taken but not live. */
struct zs_spot {
	struct zs_lane *lane;
	struct zs_slab *slab;
	uint32_t id;
	uint32_t slot;
	struct zs_extent extent;
};

/*
 * Takes a slot; the header's columns for it are filled, key and value are not.
 * ZS_OK; ZS_EAGAIN, ZS_EFULL, ZS_ENOMEM; ZS_EEXIST if the group has ended (find it again).
 */
int zs_place(struct zs_thread *thread, struct zs_part *part, const struct zs_wanted *wanted, struct zs_spot *spot);

/* Gives the slot back. Between zs_place and this or zs_place_commit the thread must not place anything else. */
void zs_place_undo(const struct zs_spot *spot);

/*
 * Makes the object live. False if the slab has been dropped meanwhile: the object is not live then, place it anew.
 * The caller holds the buckets' lock.
 */
bool zs_place_commit(struct zs_thread *thread, struct zs_part *part, const struct zs_spot *spot);

/* An object of this sealed slab has ended: its slot may be filled again later. No lock is held. */
void zs_place_freed(struct zs_thread *thread, struct zs_part *part, uint32_t id);

/*
 * Seals the thread's open slabs in which everything has expired or was dropped, so that upkeep can visit them; or all.
 */
void zs_place_seal(struct zs_thread *thread, struct zs_part *part, bool all);

/* Frees what the thread holds; all its slabs are sealed. */
void zs_place_free(struct zs_thread *thread, struct zs_part *part);

#endif
