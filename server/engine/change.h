/*
 * A write of one key in progress.
 *
 * Every write that needs a new slot goes the same way: look at the present object without a lock, take and fill a slot,
 * lock the key's buckets, and publish only if the object is still the one that was looked at; otherwise begin again.
 * Under the lock the new slot becomes live before the old one ends, and the entry is replaced in place, so a reader
 * sees one of the two, and never the old one after the new (it could not find it: there is one entry).
 */
#ifndef ZS_SERVER_ENGINE_CHANGE_H
#define ZS_SERVER_ENGINE_CHANGE_H

#include "server/engine/index.h"
#include "server/engine/warm_find.h"

struct zs_change {
	struct zs_thread *thread;
	struct zs_part *part;
	uint64_t hash;
	const void *key;
	size_t key_size;
	uint64_t flushes;	  /* begun when we looked */
	bool exists;		  /* an entry and a live slot, perhaps expired */
	bool expired;		  /* ... and its deadline has passed: it counts as absent */
	struct zs_found found;	  /* if exists */
	int64_t number;		  /* of a counter, when we looked */
	struct zs_warm_seen seen; /* if not exists */
};

/* What to store. */
struct zs_content {
	const void *value;
	size_t size;
	bool counter;
	int64_t number;
	uint64_t deadline;
	const void *group; /* NULL: the group of the present object if keep_group, else none */
	size_t group_size;
	bool keep_group;
};

static inline void zs_change_begin_hashed(struct zs_change *c, struct zs_thread *thread, const void *key,
					  size_t key_size, uint64_t hash)
{
	c->thread = thread;
	c->hash = hash;
	c->part = zs_part_of(thread->engine, hash);
	c->key = key;
	c->key_size = key_size;
	c->seen.count = 0;
}

static inline void zs_change_begin(struct zs_change *c, struct zs_thread *thread, const void *key, size_t key_size)
{
	zs_change_begin_hashed(c, thread, key, key_size, zs_hash(key, key_size, thread->seed));
}

static inline int64_t zs_found_number(const struct zs_found *found)
{
	const uint8_t *at = (const uint8_t *)found->slab + found->extent.value;

	return (int64_t)zs_load((const uint64_t *)(const void *)at);
}

static inline bool zs_found_is_counter(const struct zs_found *found)
{
	return zs_lifetime_kind(found->lifetime) == ZS_KIND_COUNTER;
}

static inline bool zs_change_has_present(const struct zs_change *c)
{
	return c->exists && !c->expired;
}

/* Looks at the present object. False if flash had to be asked for it: return ZS_EWARM. */
bool zs_change_look(struct zs_change *c);

/* Tells the caller of the engine what was seen; `previous` may be NULL. */
void zs_change_previous(const struct zs_change *c, struct zs_previous *previous);

/*
 * Under the lock: is everything still as we saw it? On success c->found says where the entry is. We have not quiesced
 * since we looked, so the slot has not been used again: while an entry leads to it, it is the object that we saw.
 */
bool zs_change_holds(struct zs_change *c, struct zs_locked *locked);

/* Ends the present object and its entry. The buckets are locked. */
void zs_change_end_present(struct zs_change *c, struct zs_locked *locked);

/*
 * Stores `content` in place of what was seen. ZS_OK; ZS_EEXIST if it is another object by now (look again); or an error
 * of zs_place.
 */
int zs_change_store(struct zs_change *c, const struct zs_content *content);

/* Brings an object found on flash back to memory. What was found stays readable. False: no room, or it has changed. */
bool zs_promote(struct zs_thread *thread, struct zs_part *part, uint64_t hash, const struct zs_found *found);

/* Ends what was seen. ZS_EEXIST: look again. */
int zs_change_erase(struct zs_change *c);

#endif
