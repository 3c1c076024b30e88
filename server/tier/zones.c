/*
 * Which zone a stream is written to, and which one is given up. A partition keeps some zones empty; when there are too
 * few, a full one is given up: first one in which nothing lives any more, else the one that was filled first. Zones are
 * written to the end and reset when they are full, never before.
 *
 * Giving up: the index forgets the zone; whoever may still be looking at one of its blocks is waited for; the journal
 * begins the next epoch of the zone; then it is reset.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/error.h"
#include "common/log.h"
#include "server/tier/store_internal.h"

/* Empty zones of a partition, beside one for each stream. */
#define SPARE_ZONES 1u

/* Beyond this load of the index zones are given up, even though there are empty ones. */
#define INDEX_FULL 0.97

/* How long to wait for workers to pass a quiescent point before trying again. */
#define GRACE_MS 2000u

static uint32_t next_of_part(const struct zs_store *store, uint32_t zone)
{
	return zone + store->part_count;
}

/* ---- what there is ---- */

static enum zs_store_zone_state state_of(const struct zs_store *store, const struct zs_zone *zone)
{
	switch (zone->state) {
	case ZS_ZONE_EMPTY:
		return ZS_STORE_EMPTY;
	case ZS_ZONE_OPEN:
	case ZS_ZONE_CLOSED:
		return zone->written < store->geometry.capacity ? ZS_STORE_OPEN : ZS_STORE_FULL;
	case ZS_ZONE_FULL:
		return ZS_STORE_FULL;
	case ZS_ZONE_READ_ONLY:
		return ZS_STORE_READ_ONLY;
	default:
		return ZS_STORE_OFFLINE;
	}
}

/* A zone that was being written to goes on being written to. */
static void adopt(struct zs_store *store, uint32_t number)
{
	struct zs_store_zone *zone = &store->zones[number];
	struct zs_store_part *part = &store->parts[zs_store_part_of(store, number)];

	if (zone->state == ZS_STORE_EMPTY)
		part->empty++;
	if (zone->state == ZS_STORE_FULL)
		zone->filled = ++store->zones_filled;
	if (zone->state != ZS_STORE_OPEN)
		return;
	/* What the device has not got does not count, and what is written there now is something else. */
	zs_journal_cut(store->journal, number, zone->written);
	/* To the stream that it was of, if that has none yet. */
	for (unsigned s = 0; s < store->streams; s++) {
		unsigned stream = (zone->stream + s) % store->streams;

		if (part->streams[stream].zone == UINT32_MAX) {
			part->streams[stream].zone = number;
			return;
		}
	}
}

int zs_zones_init(struct zs_store *store, char *why, size_t why_size)
{
	uint32_t count = store->geometry.zones;
	struct zs_zone *found = calloc(count, sizeof(*found));

	assert(store->part_count > 0);
	if (!found || zs_zone_report(store->device, 0, count, found)) {
		snprintf(why, why_size, found ? "the zones of the warm tier cannot be asked for" : "not enough memory");
		free(found);
		return found ? ZS_ESYS : ZS_ENOMEM;
	}
	for (uint32_t p = 0; p < store->part_count; p++) {
		store->parts[p].evicting = UINT32_MAX;
		for (unsigned s = 0; s < ZS_STREAMS; s++)
			store->parts[p].streams[s].zone = UINT32_MAX;
	}
	for (uint32_t i = 0; i < count; i++) {
		store->zones[i].state = state_of(store, &found[i]);
		store->zones[i].written =
		    store->zones[i].state == ZS_STORE_FULL ? store->geometry.capacity : found[i].written;
		store->zones[i].deadline_ms = zs_journal_deadline(store->journal, i);
		store->zones[i].stream = (enum zs_stream)(zs_journal_stream(store->journal, i) % ZS_STREAMS);
		adopt(store, i);
	}
	free(found);
	return ZS_OK;
}

/* ---- writing ---- */

uint32_t zs_zones_for(struct zs_store *store, uint32_t p, enum zs_stream stream)
{
	struct zs_store_part *part = &store->parts[p];
	uint32_t *zone = &part->streams[stream].zone;

	if (*zone != UINT32_MAX)
		return *zone;
	for (uint32_t i = p; i < store->geometry.zones; i = next_of_part(store, i)) {
		if (store->zones[i].state != ZS_STORE_EMPTY)
			continue;
		store->zones[i].state = ZS_STORE_OPEN;
		store->zones[i].written = 0;
		store->zones[i].deadline_ms = 1;
		store->zones[i].stream = stream;
		zs_journal_set_stream(store->journal, i, stream);
		part->empty--;
		*zone = i;
		break;
	}
	return *zone;
}

bool zs_zones_can_write(const struct zs_store *store, uint32_t p)
{
	const struct zs_store_part *part = &store->parts[p];

	if (part->empty || part->evicting != UINT32_MAX)
		return true;
	for (unsigned s = 0; s < store->streams; s++) {
		if (part->streams[s].zone != UINT32_MAX)
			return true;
	}
	return false;
}

static void leave(struct zs_store *store, uint32_t number)
{
	struct zs_store_part *part = &store->parts[zs_store_part_of(store, number)];

	for (unsigned s = 0; s < store->streams; s++) {
		if (part->streams[s].zone == number)
			part->streams[s].zone = UINT32_MAX;
	}
}

/*
 * After an error nobody knows what the zone is: the device is asked. A fault leaves a hole, at which nothing was
 * committed, and the zone is written on from where its pointer stands now.
 */
static void look_again(struct zs_store *store, uint32_t number, enum zs_zone_status status)
{
	struct zs_store_zone *zone = &store->zones[number];
	struct zs_zone found = { .state = ZS_ZONE_OFFLINE };

	zs_store_count(store, append_errors, 1);
	zs_store_note_error(store, "an append to the warm tier failed", number, status);
	if (zs_zone_report(store->device, number, 1, &found))
		found.state = ZS_ZONE_OFFLINE;
	zone->state = state_of(store, &found);
	if (zone->state == ZS_STORE_EMPTY) {
		/* Nothing of it was written. */
		zone->written = 0;
		zone->state = ZS_STORE_OPEN;
	} else if (zone->state == ZS_STORE_OPEN) {
		zone->written = found.written;
	}
	if (status == ZS_ZONE_BROKEN && zone->state != ZS_STORE_OFFLINE)
		zone->state = ZS_STORE_READ_ONLY;
	if (zone->state == ZS_STORE_READ_ONLY || zone->state == ZS_STORE_OFFLINE)
		leave(store, number);
}

void zs_zones_appended(struct zs_store *store, uint32_t number, uint32_t blocks, enum zs_zone_status status)
{
	struct zs_store_zone *zone = &store->zones[number];

	zone->appending = false;
	if (status != ZS_ZONE_DONE)
		look_again(store, number, status);
	else
		zone->written += blocks;
	if (zone->state == ZS_STORE_OPEN && zone->written >= store->geometry.capacity)
		zone->state = ZS_STORE_FULL;
	if (zone->state == ZS_STORE_FULL) {
		zone->filled = ++store->zones_filled;
		leave(store, number);
	}
}

/* ---- giving up ---- */

static bool is_dead(const struct zs_store *store, const struct zs_store_zone *zone)
{
	return atomic_load(&zone->objects) == 0 || (zone->deadline_ms && zone->deadline_ms <= zs_store_now_ms(store));
}

/* Of a partition's full zones the one to give up; UINT32_MAX: there is none. */
static uint32_t choose(const struct zs_store *store, uint32_t p)
{
	uint32_t best = UINT32_MAX;

	for (uint32_t i = p; i < store->geometry.zones; i = next_of_part(store, i)) {
		const struct zs_store_zone *zone = &store->zones[i];

		if (zone->state != ZS_STORE_FULL)
			continue;
		if (is_dead(store, zone))
			return i;
		if (best == UINT32_MAX || zone->filled < store->zones[best].filled)
			best = i;
	}
	return best;
}

static bool count_off(void *context, uint32_t part, uint32_t id)
{
	struct zs_store *store = context;

	zs_group_map_count(store->groups, zs_store_zone_of(store, part, id), zs_store_block_of(store, id), -1);
	return true;
}

/* What is dead, or what has to make room at once, is not looked through. */
static bool is_worth_a_review(const struct zs_store *store, uint32_t p)
{
	return store->parts[p].empty > 0 && !is_dead(store, &store->zones[store->parts[p].evicting]);
}

/* Nobody finds the zone's blocks any more once this returns true. */
static bool unpublish(struct zs_store *store, uint32_t p, uint32_t zone)
{
	uint32_t first = zs_store_id_of(store, zone, 0);
	uint64_t forgotten =
	    zs_warm_forget(store->thread, p, first, first + store->geometry.capacity, count_off, store);

	zs_store_count(store, given_up_objects, forgotten);
	zs_blocks_forget(store, zone);
	return zs_thread_wait_for_others(store->thread, GRACE_MS);
}

static void give_up(struct zs_store *store, uint32_t p)
{
	struct zs_store_part *part = &store->parts[p];
	struct zs_store_reset *reset = &store->resets[p];
	uint32_t zone = part->evicting;

	if (!unpublish(store, p, zone))
		return; /* again with the next round */
	atomic_store(&store->zones[zone].objects, 0);
	zs_group_map_clear(store->groups, zone);
	if (zs_journal_begin_zone(store->journal, zone))
		zs_store_journal_failed(store);
	reset->request =
	    (struct zs_zone_request){ .op = ZS_ZONE_RESET, .zone = zone, .context = zs_store_kind(ZS_STORE_RESETS) };
	reset->under_way = true;
	zs_store_submit(store, &reset->request);
}

static bool needs_a_zone(const struct zs_store *store, uint32_t p)
{
	return store->parts[p].empty < store->streams + SPARE_ZONES ||
	       zs_warm_index_load(store->engine, p) > INDEX_FULL;
}

void zs_zones_evict(struct zs_store *store)
{
	/* While zones are being read nobody knows what lives in them. */
	if (store->rebuild)
		return;
	for (uint32_t p = 0; p < store->part_count; p++) {
		struct zs_store_part *part = &store->parts[p];

		if (store->resets[p].under_way)
			continue;
		if (part->evicting != UINT32_MAX && part->reviewing) {
			part->reviewing = !zs_review_is_done(store, part->evicting);
			if (part->reviewing)
				continue;
		}
		if (part->evicting == UINT32_MAX) {
			if (!needs_a_zone(store, p))
				continue;
			part->evicting = choose(store, p);
			if (part->evicting == UINT32_MAX)
				continue;
			store->zones[part->evicting].state = ZS_STORE_EVICTING;
			part->reviewing = is_worth_a_review(store, p) && !zs_review_is_done(store, part->evicting);
			if (part->reviewing)
				continue;
		}
		give_up(store, p);
	}
}

void zs_zones_reset_done(struct zs_store *store, struct zs_store_reset *reset)
{
	uint32_t number = reset->request.zone;
	uint32_t p = zs_store_part_of(store, number);
	struct zs_store_zone *zone = &store->zones[number];

	reset->under_way = false;
	store->parts[p].evicting = UINT32_MAX;
	if (reset->request.status != ZS_ZONE_DONE) {
		zs_store_count(store, reset_errors, 1);
		zs_store_note_error(store, "a zone of the warm tier cannot be reset; it is used no more", number,
				    reset->request.status);
		zone->state = reset->request.status == ZS_ZONE_IS_OFFLINE ? ZS_STORE_OFFLINE : ZS_STORE_READ_ONLY;
		return;
	}
	zs_store_count(store, resets, 1);
	zone->state = ZS_STORE_EMPTY;
	zone->written = 0;
	store->parts[p].empty++;
}

/* ---- figures ---- */

void zs_zones_count_dead(struct zs_store *store, uint32_t zone)
{
	_Atomic uint32_t *objects = &store->zones[zone].objects;
	uint32_t left = atomic_load(objects);

	while (left && !atomic_compare_exchange_weak(objects, &left, left - 1))
		;
}

void zs_zones_count(struct zs_store *store, struct zs_store_figures *f)
{
	f->zones = store->geometry.zones;
	f->zone_bytes = (uint64_t)store->geometry.capacity * ZS_ZONE_BLOCK_SIZE;
	for (uint32_t i = 0; i < store->geometry.zones; i++) {
		const struct zs_store_zone *zone = &store->zones[i];

		f->objects += atomic_load_explicit(&zone->objects, memory_order_relaxed);
		f->written_bytes += (uint64_t)zs_load(&zone->written) * ZS_ZONE_BLOCK_SIZE;
		f->zones_by_state[zs_load(&zone->state)]++;
		if (zs_load(&zone->state) != ZS_STORE_EMPTY)
			f->zones_by_stream[zs_load(&zone->stream)]++;
	}
}
