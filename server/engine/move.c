#include "server/engine/move.h"

#include <string.h>

#include "server/engine/group.h"
#include "server/engine/index.h"
#include "server/engine/lifetime.h"
#include "server/engine/place.h"
#include "server/engine/slab.h"

/* Looks at a slot: whether there is an object, and where. */
static bool is_resident(const struct zs_slab *slab, bool all, uint32_t slot, struct zs_extent *extent)
{
	/* A slot of a mixed slab that was never filled has no extent. */
	return (all || zs_slab_is_live(slab, slot)) &&
	       zs_slab_extent(slab, zs_load_acquire(&slab->identity), zs_load(&slab->lifetime), slot, extent);
}

static void fetch_key(const struct zs_slab *slab, bool all, uint32_t slot)
{
	struct zs_extent extent;

	if (slot < zs_identity_slots(zs_load(&slab->identity)) && is_resident(slab, all, slot, &extent))
		__builtin_prefetch((const uint8_t *)slab + extent.key);
}

void zs_residents_begin(const struct zs_part *part, uint32_t id, bool all, struct zs_residents *residents)
{
	residents->all = all;
	residents->next = 0;
	residents->first = 0;
	residents->count = 0;
	for (uint32_t slot = 0; slot < ZS_RESIDENTS_AHEAD; slot++)
		fetch_key(zs_frame(part, id), all, slot);
}

/* Adds the next object to the list. False if there is none. */
static bool list_one(const struct zs_part *part, const struct zs_slab *slab, struct zs_residents *r)
{
	uint32_t slots = zs_identity_slots(zs_load(&slab->identity));
	uint32_t at = (r->first + r->count) % ZS_RESIDENTS_AHEAD;
	struct zs_extent extent;

	while (r->next < slots && !is_resident(slab, r->all, r->next, &extent))
		r->next++;
	if (r->next >= slots)
		return false;
	r->slots[at] = (uint8_t)r->next;
	r->hashes[at] = zs_hash((const uint8_t *)slab + extent.key, extent.key_size, part->engine->seed);
	r->count++;
	zs_index_prefetch(part, r->hashes[at]);
	fetch_key(slab, r->all, r->next + ZS_RESIDENTS_AHEAD);
	r->next++;
	return true;
}

void zs_residents_list(const struct zs_part *part, uint32_t id, struct zs_residents *residents, unsigned objects)
{
	while (objects && residents->count < ZS_RESIDENTS_AHEAD && list_one(part, zs_frame(part, id), residents))
		objects--;
}

bool zs_residents_next(struct zs_residents *residents, uint32_t *slot, uint64_t *hash)
{
	if (!residents->count)
		return false;
	*slot = residents->slots[residents->first];
	*hash = residents->hashes[residents->first];
	residents->first = (residents->first + 1) % ZS_RESIDENTS_AHEAD;
	residents->count--;
	return true;
}

bool zs_end_object(struct zs_thread *thread, struct zs_part *part, uint32_t id, uint32_t slot, uint64_t hash)
{
	struct zs_locked locked;
	struct zs_found found;
	bool ended = false;

	zs_index_lock(part, hash, &locked);
	if (zs_index_find_slot(&locked, id, slot, &found)) {
		ended = zs_slab_end_object(thread, part, zs_frame(part, id), slot);
		zs_index_remove(thread, &locked, &found);
	}
	zs_index_unlock(&locked);
	return ended;
}

void zs_clean_dropped(struct zs_thread *thread, struct zs_part *part, uint32_t id)
{
	struct zs_residents residents;
	uint32_t slot;
	uint64_t hash;

	zs_residents_begin(part, id, true, &residents);
	do {
		while (zs_residents_next(&residents, &slot, &hash))
			zs_end_object(thread, part, id, slot, hash);
		zs_residents_list(part, id, &residents, ZS_RESIDENTS_AHEAD);
	} while (residents.count);
}

/* What zs_place needs to know to put this object elsewhere. False if the object has ended. */
static bool describe(const struct zs_part *part, uint32_t id, uint32_t slot, struct zs_move how,
		     struct zs_wanted *wanted)
{
	const struct zs_slab *slab = zs_frame(part, id);
	uint64_t identity = zs_load(&slab->identity);
	uint64_t lifetime = zs_load(&slab->lifetime);
	struct zs_extent extent;

	if (!zs_slab_is_live(slab, slot) || !zs_slab_extent(slab, identity, lifetime, slot, &extent))
		return false;
	memset(wanted, 0, sizeof(*wanted));
	wanted->counter = zs_lifetime_kind(lifetime) == ZS_KIND_COUNTER;
	wanted->main = how.main;
	wanted->gentle = how.gentle;
	wanted->mover = true;
	wanted->unit = zs_lifetime_unit(lifetime);
	wanted->deadline = zs_slab_deadline(slab, identity, lifetime, slot);
	wanted->key_size = extent.key_size;
	wanted->value_size = extent.value_size;
	wanted->group = zs_group_by_number(part->engine, zs_links_group(zs_load(&slab->links)));
	return true;
}

/* Copies key and value; both are stable or, in a counter, one word, under the buckets' lock. */
static void copy_object(const struct zs_slab *from, const struct zs_extent *old, const struct zs_spot *spot)
{
	uint8_t *to = (uint8_t *)spot->slab;

	memcpy(to + spot->extent.key, (const uint8_t *)from + old->key, old->key_size);
	memcpy(to + spot->extent.value, (const uint8_t *)from + old->value, old->value_size);
}

/* The part under the lock: true if the object now lives in the spot. */
static bool relocate(struct zs_thread *thread, struct zs_part *part, struct zs_locked *locked, uint32_t id,
		     uint32_t slot, const struct zs_wanted *wanted, uint64_t flushes, const struct zs_spot *spot)
{
	struct zs_slab *slab = zs_frame(part, id);
	uint64_t identity = zs_load(&slab->identity);
	uint64_t lifetime = zs_load(&slab->lifetime);
	struct zs_extent extent;
	struct zs_found found;

	if (!zs_index_find_slot(locked, id, slot, &found) || !zs_slab_is_live(slab, slot) ||
	    !zs_slab_extent(slab, identity, lifetime, slot, &extent))
		return false;
	/* Refreshed since we chose the place for it: leave it to the next visit. */
	if (zs_slab_deadline(slab, identity, lifetime, slot) != wanted->deadline)
		return false;
	copy_object(slab, &extent, spot);
	if (!zs_place_commit(thread, part, spot))
		return false;
	/* A flush that began since may have passed the new slab, but not the old one. */
	if (__atomic_load_n(&part->engine->flushes, __ATOMIC_SEQ_CST) != flushes ||
	    !zs_slab_end_object(thread, part, slab, slot)) {
		zs_slab_end_object(thread, part, spot->slab, spot->slot);
		return false;
	}
	zs_index_replace(locked, &found, spot->id, spot->slot);
	return true;
}

enum zs_moved zs_move_object(struct zs_thread *thread, struct zs_part *part, uint32_t id, uint32_t slot, uint64_t hash,
			     struct zs_move how)
{
	uint64_t flushes = __atomic_load_n(&part->engine->flushes, __ATOMIC_SEQ_CST);
	struct zs_wanted wanted;
	struct zs_locked locked;
	struct zs_spot spot;
	bool done;

	if (flushes & 1)
		return ZS_NO_ROOM; /* the flush is about to end the object */
	if (!describe(part, id, slot, how, &wanted))
		return ZS_GONE;
	if (zs_place(thread, part, &wanted, &spot))
		return ZS_NO_ROOM;
	zs_slab_set_recency(spot.slab, zs_identity_slots(zs_load(&spot.slab->identity)), spot.slot, how.recency);
	zs_index_lock(part, hash, &locked);
	done = relocate(thread, part, &locked, id, slot, &wanted, flushes, &spot);
	zs_index_unlock(&locked);
	if (done)
		return ZS_MOVED;
	zs_place_undo(&spot);
	return zs_slab_is_live(zs_frame(part, id), slot) ? ZS_NO_ROOM : ZS_GONE;
}
