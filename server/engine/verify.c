#include "server/engine/verify.h"

#include <stdarg.h>
#include <stdio.h>

#include "server/engine/index.h"
#include "server/engine/resize.h"
#include "server/engine/slab.h"
#include "server/engine/warm_find.h"

struct verify {
	struct zs_part *part;
	size_t wrong;
	char *what;
	size_t size;
	uint64_t objects;
	uint64_t payload;
	uint64_t slabs;
};

__attribute__((format(printf, 2, 3))) static void complain(struct verify *v, const char *format, ...)
{
	va_list arguments;

	if (v->wrong++)
		return;
	va_start(arguments, format);
	vsnprintf(v->what, v->size, format, arguments);
	va_end(arguments);
}

static void verify_object(struct verify *v, uint32_t id, uint32_t slot)
{
	const struct zs_slab *slab = zs_frame(v->part, id);
	uint64_t lifetime = zs_load(&slab->lifetime);
	const uint8_t *key;
	struct zs_extent extent;
	struct zs_found found;
	uint64_t hash;

	if (!zs_slab_extent(slab, zs_load(&slab->identity), lifetime, slot, &extent)) {
		complain(v, "slab %u slot %u is live but has no extent", id, slot);
		return;
	}
	v->objects++;
	v->payload += extent.key_size + extent.value_size;
	key = (const uint8_t *)slab + extent.key;
	hash = zs_hash(key, extent.key_size, v->part->engine->seed);
	if (!zs_index_find(v->part, hash, 0, key, extent.key_size, &found))
		complain(v, "slab %u slot %u (flags %#llx, place %d) is live but its key is not found", id, slot,
			 (unsigned long long)(lifetime >> 51), (int)zs_slab_place(v->part, id));
	else if (found.id != id || found.slot != slot)
		complain(v, "slab %u slot %u is live, but its key leads to slab %u slot %u", id, slot, found.id,
			 found.slot);
}

static void verify_slab(struct verify *v, uint32_t id)
{
	const struct zs_slab *slab = zs_frame(v->part, id);
	enum zs_place place = zs_slab_place(v->part, id);
	bool in_use =
	    zs_place_holds_objects(place) || (place == ZS_AT_NOWHERE && zs_load(&slab->lifetime) & ZS_SLAB_OPEN);

	if (in_use)
		v->slabs++;
	for (uint32_t slot = 0; slot < zs_identity_slots(zs_load(&slab->identity)); slot++) {
		if (!zs_slab_is_live(slab, slot))
			continue;
		if (in_use)
			verify_object(v, id, slot);
		else
			complain(v, "slab %u slot %u is live, but the slab is at place %d", id, slot, (int)place);
	}
}

static void verify_table(struct verify *v, const struct zs_table *table)
{
	for (uint32_t b = 0; b < table->count; b++) {
		const struct zs_bucket *bucket = &table->buckets[b];

		if (bucket->sequence & 1)
			complain(v, "bucket %u is locked", b);
		for (uint32_t i = 0; i < ZS_BUCKET_ENTRIES; i++) {
			uint32_t id = zs_bucket_slab(bucket, i);
			enum zs_place place;

			if (!zs_bucket_tag(bucket, i))
				continue;
			if (zs_is_warm_id(v->part, id)) {
				v->objects++;
				continue;
			}
			place = id < v->part->frame_count ? zs_slab_place(v->part, id) : ZS_AT_FREE;
			if (place == ZS_AT_FREE || place == ZS_AT_QUARANTINE)
				complain(v, "bucket %u entry %u leads to slab %u, which is at place %d", b, i, id,
					 (int)place);
			else if (!zs_slab_is_live(zs_frame(v->part, id), zs_bucket_slot(bucket, i)) &&
				 !(zs_load(&zs_frame(v->part, id)->lifetime) & ZS_SLAB_DROPPED))
				complain(v, "bucket %u entry %u leads to slab %u slot %u, which is not live", b, i, id,
					 zs_bucket_slot(bucket, i));
		}
	}
}

static void verify_part(struct verify *v)
{
	struct zs_part *part = v->part;
	const struct zs_index_view *view = part->view;
	uint32_t frames;

	for (uint32_t id = 0; id < part->frame_count; id++) {
		if (id < part->virgin || (id >= part->virgin_end && !zs_resize_is_table(part, id)))
			verify_slab(v, id);
	}
	verify_table(v, &view->main);
	verify_table(v, &view->previous);
	frames = part->slabs_used + part->quarantine.slabs.count + part->free_count + part->index_frames +
		 (part->virgin_end - part->virgin);
	if (frames != part->frame_count)
		complain(v, "%u frames are accounted for, of %u", frames, part->frame_count);
}

size_t zs_engine_verify(struct zs_engine *engine, char *what, size_t size)
{
	struct verify v = { .what = what, .size = size };
	struct zs_stats stats;

	for (uint32_t p = 0; p < engine->part_count; p++) {
		v.part = &engine->parts[p];
		verify_part(&v);
	}
	zs_engine_stats(engine, &stats);
	if (stats.objects != v.objects)
		complain(&v, "%llu objects are there, %llu are counted", (unsigned long long)v.objects,
			 (unsigned long long)stats.objects);
	if (stats.payload_bytes != v.payload)
		complain(&v, "%llu bytes of payload are there, %llu are counted", (unsigned long long)v.payload,
			 (unsigned long long)stats.payload_bytes);
	return v.wrong;
}
