/*
 * The index after a restart: every block that counts is read, and its living objects get entries again. Meanwhile the
 * node serves; what is not read yet is a miss. A key that is written or deleted meanwhile is noted, in the journal too:
 * older copies that are found later are dead, also if the node ends again before all has been read.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/error.h"
#include "common/hash.h"
#include "common/log.h"
#include "server/tier/store_internal.h"

struct zs_rebuild {
	struct zs_store *store;
	struct zs_zone_scan scan;
	uint32_t *ends; /* of each zone: what is written from there on is known already */
	uint32_t zone;
	bool began; /* the zone */
	struct zs_journal_dead dead;
	uint64_t started_ns;
};

/* ---- what is written meanwhile ---- */

static size_t slot_of(const struct zs_written_set *set, uint64_t hash)
{
	size_t slot = (size_t)(hash >> 20) & (set->size - 1);

	while (set->slots[slot] && set->slots[slot] != hash)
		slot = (slot + 1) & (set->size - 1);
	return slot;
}

/* The lock is held. False if memory is out. */
static bool grow(struct zs_written_set *set)
{
	struct zs_written_set larger = { .size = set->size ? set->size * 2 : 1024 };

	larger.slots = calloc(larger.size, sizeof(*larger.slots));
	if (!larger.slots)
		return false;
	for (size_t i = 0; i < set->size; i++) {
		if (set->slots[i])
			larger.slots[slot_of(&larger, set->slots[i])] = set->slots[i];
	}
	free(set->slots);
	set->slots = larger.slots;
	set->size = larger.size;
	return true;
}

static void add_written(struct zs_written_set *set, uint64_t hash)
{
	size_t slot;

	hash += !hash;
	pthread_mutex_lock(&set->lock);
	if (set->count * 2 >= set->size && !grow(set)) {
		/* Rather no object of before the crash than a wrong one. */
		set->lost = true;
	} else {
		slot = slot_of(set, hash);
		set->count += !set->slots[slot];
		set->slots[slot] = hash;
	}
	pthread_mutex_unlock(&set->lock);
}

static bool was_written(struct zs_written_set *set, uint64_t hash)
{
	bool written;

	hash += !hash;
	pthread_mutex_lock(&set->lock);
	written = set->lost || (set->size && set->slots[slot_of(set, hash)] == hash);
	pthread_mutex_unlock(&set->lock);
	return written;
}

void zs_rebuild_written(struct zs_store *store, uint64_t hash)
{
	zs_journal_written(store->journal, hash);
	add_written(&store->written, hash);
}

/* ---- beginning and ending ---- */

static void free_rebuild(struct zs_rebuild *r)
{
	zs_zone_scan_free(&r->scan);
	zs_journal_free_dead(&r->dead);
	free(r->ends);
	free(r);
}

static struct zs_rebuild *new_rebuild(struct zs_store *store)
{
	struct zs_rebuild *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->store = store;
	r->started_ns = zs_clock_ns(zs_clock_system());
	r->ends = calloc(store->geometry.zones, sizeof(*r->ends));
	if (!zs_zone_scan_init(&r->scan, zs_store_kind(ZS_STORE_REBUILDS)) || !r->ends) {
		free_rebuild(r);
		return NULL;
	}
	for (uint32_t zone = 0; zone < store->geometry.zones; zone++)
		r->ends[zone] = store->zones[zone].state == ZS_STORE_OFFLINE ? 0 : store->zones[zone].written;
	return r;
}

void zs_rebuild_free(struct zs_store *store)
{
	if (store->rebuild)
		free_rebuild(store->rebuild);
	store->rebuild = NULL;
	free(store->written.slots);
	pthread_mutex_destroy(&store->written.lock);
}

static bool has_blocks(const struct zs_store *store)
{
	for (uint32_t zone = 0; zone < store->geometry.zones; zone++) {
		for (uint32_t block = 0; block < store->zones[zone].written; block++) {
			if (zs_journal_is_committed(store->journal, zone, block))
				return true;
		}
	}
	return false;
}

int zs_rebuild_begin(struct zs_store *store)
{
	struct zs_journal_dead written;

	if (!has_blocks(store)) {
		zs_group_map_tidy(store->groups);
		return ZS_OK;
	}
	store->rebuild = new_rebuild(store);
	if (!store->rebuild)
		return ZS_ENOMEM;
	/* What was written while the tier was being read the last time, if that did not come to its end. */
	if (zs_journal_load(store->journal, store->geometry.zones, &written))
		return ZS_ENOMEM;
	store->written.lost = written.lost;
	for (size_t i = 0; i < written.count; i++)
		add_written(&store->written, written.marks[i]);
	zs_journal_free_dead(&written);
	zs_warm_set_rebuilding(store->engine, true);
	return ZS_OK;
}

static void end_rebuild(struct zs_store *store)
{
	struct zs_rebuild *r = store->rebuild;
	uint64_t ms = (zs_clock_ns(zs_clock_system()) - r->started_ns) / 1000000;
	uint64_t objects;

	zs_warm_set_rebuilding(store->engine, false);
	zs_group_map_tidy(store->groups);
	zs_journal_end_rebuild(store->journal);
	pthread_mutex_lock(&store->figures_lock);
	store->figures.rebuild_ms = ms;
	objects = store->figures.rebuilt_objects;
	pthread_mutex_unlock(&store->figures_lock);
	zs_log(ZS_LOG_INFO, "the warm tier has been read", zs_log_number("objects", (int64_t)objects),
	       zs_log_number("ms", (int64_t)ms));
	zs_store_release(&store->rebuild, (struct zs_rebuild *)NULL);
	free_rebuild(r);
}

/* ---- one block ---- */

static bool may_restore(void *context, uint64_t hash)
{
	struct zs_store *store = context;

	return !was_written(&store->written, hash);
}

static bool locate(const struct zs_slab *slab, uint32_t slot, struct zs_extent *extent)
{
	return zs_slab_is_live(slab, slot) && zs_slab_extent(slab, slab->identity, slab->lifetime, slot, extent);
}

/* Fetches the buckets of a block's objects, all at once. */
static void hash_all(const struct zs_store *store, const uint8_t *bytes, uint64_t hashes[ZS_SLOTS_MAX])
{
	const struct zs_slab *slab = (const struct zs_slab *)(const void *)bytes;
	uint64_t seed = zs_journal_seed(store->journal);

	for (uint32_t slot = 0; slot < zs_identity_slots(slab->identity); slot++) {
		struct zs_extent extent;

		if (!locate(slab, slot, &extent))
			continue;
		hashes[slot] = zs_hash(bytes + extent.key, extent.key_size, seed);
		zs_warm_prefetch(store->engine, hashes[slot]);
	}
}

static uint32_t restore_block(struct zs_rebuild *r, uint32_t block, const uint8_t *bytes)
{
	struct zs_store *store = r->store;
	const struct zs_slab *slab = (const struct zs_slab *)(const void *)bytes;
	struct zs_image_place place = zs_store_place(store, r->zone, block);
	uint32_t id = zs_store_id_of(store, r->zone, block);
	uint64_t now = zs_store_now_ms(store);
	uint64_t hashes[ZS_SLOTS_MAX] = { 0 };
	uint32_t restored = 0;

	if (!zs_image_check(bytes, &place))
		return 0;
	if (zs_image_group(slab) && !zs_group_map_place(store->groups, r->zone, block, zs_image_group(slab)))
		return 0; /* it was dropped */
	hash_all(store, bytes, hashes);
	for (uint32_t slot = 0; slot < zs_identity_slots(slab->identity); slot++) {
		struct zs_extent extent;
		uint64_t deadline;

		if (!locate(slab, slot, &extent))
			continue;
		deadline = zs_slab_deadline(slab, slab->identity, slab->lifetime, slot);
		if ((deadline && deadline <= now) || zs_journal_is_dead(&r->dead, block, hashes[slot]))
			continue;
		if (zs_warm_restore(store->thread, hashes[slot], id, bytes + extent.key, extent.key_size, may_restore,
				    store))
			restored++;
		else
			zs_journal_mark(store->journal, r->zone, block, hashes[slot]);
	}
	zs_group_map_count(store->groups, r->zone, block, (int32_t)restored);
	return restored;
}

static void restore_chunk(struct zs_rebuild *r, const struct zs_scan_chunk *chunk)
{
	struct zs_store *store = r->store;
	uint32_t restored = 0;

	if (chunk->request.status != ZS_ZONE_DONE) {
		zs_store_count(store, read_errors, 1);
		zs_store_note_error(store, "a part of the warm tier cannot be read after the restart; it is lost",
				    r->zone, chunk->request.status);
		return;
	}
	for (uint32_t i = 0; i < chunk->request.blocks; i++) {
		uint32_t block = chunk->request.block + i;

		if (zs_journal_is_committed(store->journal, r->zone, block))
			restored += restore_block(r, block, chunk->data + (size_t)i * ZS_ZONE_BLOCK_SIZE);
	}
	atomic_fetch_add(&store->zones[r->zone].objects, restored);
	pthread_mutex_lock(&store->figures_lock);
	store->figures.rebuilt_objects += restored;
	store->figures.rebuilt_bytes += (uint64_t)chunk->request.blocks * ZS_ZONE_BLOCK_SIZE;
	pthread_mutex_unlock(&store->figures_lock);
}

/* ---- zone by zone ---- */

void zs_rebuild_took(struct zs_store *store, struct zs_zone_request *request)
{
	restore_chunk(store->rebuild, zs_zone_scan_took(request));
}

/* False: its marks do not fit into memory, or were lost; the zone is left out. */
static bool load_marks(struct zs_rebuild *r)
{
	zs_journal_free_dead(&r->dead);
	if (zs_journal_load(r->store->journal, r->zone, &r->dead) == ZS_OK && !r->dead.lost)
		return true;
	zs_log(ZS_LOG_WARN,
	       "a zone of the warm tier is left out after the restart: its marks of dead objects were lost",
	       zs_log_number("zone", r->zone));
	return false;
}

bool zs_rebuild_step(struct zs_store *store)
{
	struct zs_rebuild *r = store->rebuild;

	if (!r)
		return false;
	if (r->began) {
		if (zs_zone_scan_go_on(&r->scan, store))
			return false;
		r->zone++;
		zs_store_count(store, rebuilt_zones, 1);
	}
	r->began = true;
	if (r->zone == store->geometry.zones) {
		end_rebuild(store);
		return false;
	}
	zs_zone_scan_begin(&r->scan, r->zone, r->ends[r->zone] && load_marks(r) ? r->ends[r->zone] : 0);
	zs_zone_scan_go_on(&r->scan, store);
	return true;
}
