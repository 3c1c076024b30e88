/*
 * Second chances: before a zone is given up it is read once, and objects that were read lately come back to memory,
 * from where they will leave again if nobody wants them. One zone at a time; others wait.
 */
#include <stdlib.h>

#include "common/error.h"
#include "server/tier/store_internal.h"

struct zs_review {
	struct zs_zone_scan scan;
	bool busy;
};

int zs_review_init(struct zs_store *store)
{
	if (!store->options.second_chance)
		return ZS_OK;
	store->review = calloc(1, sizeof(*store->review));
	if (!store->review)
		return ZS_ENOMEM;
	return zs_zone_scan_init(&store->review->scan, zs_store_kind(ZS_STORE_REVIEWS)) ? ZS_OK : ZS_ENOMEM;
}

void zs_review_free(struct zs_store *store)
{
	if (!store->review)
		return;
	zs_zone_scan_free(&store->review->scan);
	free(store->review);
}

static void look_at(struct zs_store *store, uint32_t zone, uint32_t block, const uint8_t *bytes)
{
	struct zs_image_place place = zs_store_place(store, zone, block);

	if (!zs_journal_is_committed(store->journal, zone, block) || zs_group_map_is_dead(store->groups, zone, block) ||
	    !zs_image_check(bytes, &place))
		return;
	zs_warm_second_chance(store->thread, zs_store_part_of(store, zone), zs_store_id_of(store, zone, block),
			      (const struct zs_slab *)(const void *)bytes);
}

void zs_review_took(struct zs_store *store, struct zs_zone_request *request)
{
	const struct zs_scan_chunk *chunk = zs_zone_scan_took(request);

	/* What cannot be read gets none. */
	if (request->status != ZS_ZONE_DONE) {
		zs_store_count(store, read_errors, 1);
		zs_store_note_error(store, "a zone to be given up cannot be read", request->zone, request->status);
		return;
	}
	for (uint32_t i = 0; i < request->blocks; i++)
		look_at(store, request->zone, request->block + i, chunk->data + (size_t)i * ZS_ZONE_BLOCK_SIZE);
}

bool zs_review_is_done(struct zs_store *store, uint32_t zone)
{
	struct zs_review *review = store->review;

	if (!review)
		return true;
	if (!review->busy) {
		zs_zone_scan_begin(&review->scan, zone, store->zones[zone].written);
		review->busy = true;
	}
	if (review->scan.zone != zone)
		return false;
	review->busy = zs_zone_scan_go_on(&review->scan, store);
	return !review->busy;
}
