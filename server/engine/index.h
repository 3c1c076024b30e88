/*
 * The index of a partition: buckets of one cache line, two for each key.
 *
 * Readers lock nothing. They may believe what they found (an entry read under an unchanged sequence leads to a slab
 * whose live bit and key they check), but a miss only if no bucket they looked at changed meanwhile. Writers lock both
 * buckets of their key, which also orders all writers of one key.
 *
 * Resizing (see resize.c): for a while there are two tables. An entry moves from the previous table to the main one,
 * never back; readers look in that order. A new entry goes to the previous table unless one of its two buckets there
 * has been moved, and an entry is changed where it is.
 *
 * Invariants:
 *   1. An entry changes only under its bucket's odd sequence.
 *   2. At most one entry of a key leads to a live slot, at any time that both buckets are unlocked.
 *   3. An entry is in one of its two buckets, or in the overflow list and its first bucket says so.
 *   4. While a bucket of the previous table is not marked moved, it and not the main table holds its entries.
 */
#ifndef ZS_SERVER_ENGINE_INDEX_H
#define ZS_SERVER_ENGINE_INDEX_H

#include "common/key.h"
#include "server/engine/internal.h"

/* The two buckets of a key. */
struct zs_pair {
	struct zs_bucket *a;
	struct zs_bucket *b;
};

ZS_ALWAYS_INLINE struct zs_pair zs_index_pair(const struct zs_table *table, uint64_t hash)
{
	uint8_t tag = zs_hash_tag(hash);
	uint32_t first = zs_hash_bucket(hash, table->count);
	uint32_t second = zs_hash_other_bucket(first, tag, table->count);

	return (struct zs_pair){ &table->buckets[first], &table->buckets[second] };
}

/* An object that was found, and where. */
struct zs_found {
	struct zs_slab *slab;
	uint64_t identity;
	uint64_t lifetime;
	struct zs_extent extent;
	uint32_t id;
	uint32_t slot;
	uint64_t deadline; /* 0: none */
	bool warm;	   /* on flash, see warm_find.h */

	/* only from functions that work under the lock: where the entry is */
	struct zs_bucket *bucket; /* NULL: in the overflow list */
	uint32_t entry;
};

/*
 * Both buckets of a key, locked. While the index is resized: those of the previous table, if neither has been moved;
 * otherwise those of the main table, and with them what is left of the two in the previous one.
 */
struct zs_locked {
	struct zs_part *part;
	struct zs_table table;
	uint64_t hash;
	struct zs_bucket *first;
	struct zs_bucket *second; /* may be the same as first */
	struct zs_bucket *left;	  /* of the previous table; NULL if nothing of this key can be there */
};

/*
 * Finds a live object, expired or not. Takes no lock, writes nothing. `stride` is a guess of the object's size, so that
 * it is fetched together with its slab's header; 0 for none. found->bucket and entry are not set.
 */
bool zs_index_find(const struct zs_part *part, uint64_t hash, uint32_t stride, const void *key, size_t size,
		   struct zs_found *found);

/* Starts to fetch the buckets of a key. */
void zs_index_prefetch(const struct zs_part *part, uint64_t hash);

/*
 * The first entry with the right tag in the two buckets: slab id and slot. A guess of where the object is, for fetching
 * its cache lines ahead. False if there is none.
 */
bool zs_index_guess(const struct zs_part *part, uint64_t hash, uint32_t *id, uint32_t *slot);

/* Locks the buckets of a key. */
void zs_index_lock(struct zs_part *part, uint64_t hash, struct zs_locked *locked);
void zs_index_unlock(struct zs_locked *locked);

/* As zs_index_find, under the lock. */
bool zs_index_find_locked(struct zs_locked *locked, const void *key, size_t size, struct zs_found *found);

/* Finds the entry that leads to this slot, under the lock; the object itself is not looked at. */
bool zs_index_find_slot(struct zs_locked *locked, uint32_t id, uint32_t slot, struct zs_found *found);

/* Changes where an entry leads to, or ends it. */
void zs_index_replace(struct zs_locked *locked, const struct zs_found *found, uint32_t id, uint32_t slot);
void zs_index_remove(struct zs_thread *thread, struct zs_locked *locked, const struct zs_found *found);

/*
 * Adds an entry. False if there is no room in the two buckets; the caller then unlocks, calls zs_index_make_room,
 * locks and looks again. With `force` it goes to the overflow list, false only if that is full.
 */
bool zs_index_insert(struct zs_thread *thread, struct zs_locked *locked, uint32_t id, uint32_t slot, bool force);

/*
 * Moves entries so that one of the key's buckets gets a free place. Takes locks of its own. False if it found no way.
 */
bool zs_index_make_room(struct zs_thread *thread, const struct zs_table *table, uint64_t hash);

/* Moves some entries of the overflow list to their buckets, where there is room again. */
void zs_index_drain_overflow(struct zs_thread *thread, struct zs_part *part);

/* Entries in use, over all threads. */
int64_t zs_index_used(const struct zs_part *part);

/* ---- single buckets; for resize.c and scan.c ---- */

void zs_bucket_lock(struct zs_bucket *bucket);
void zs_bucket_unlock(struct zs_bucket *bucket);
void zs_bucket_set(struct zs_bucket *bucket, uint32_t entry, uint8_t tag, uint32_t id, uint32_t slot);
void zs_bucket_set_flag(struct zs_bucket *bucket, uint32_t flag);
void zs_bucket_clear_flag(struct zs_bucket *bucket, uint32_t flag);

/* Locks the two buckets of a hash in one table. */
void zs_index_lock_table(struct zs_part *part, struct zs_table table, uint64_t hash, struct zs_locked *locked);

#endif
