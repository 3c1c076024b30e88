/*
 * From slabs to zones. Objects of the slabs that the engine sends out are copied to images, one for each class, so that
 * what is written is full, however many holes the slabs had. Images that are full are gathered by stream to batches of
 * 64, and a batch is one append. When it has ended its objects are published and its blocks committed, and a slab all
 * of whose objects have been published is given back.
 */
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "server/tier/store_internal.h"

/* Slabs taken between two looks at everything else. */
#define SLABS_AT_ONCE 64u

#define MINUTES_MS 900000u
#define DAY_MS 86400000u

struct taking {
	struct zs_store *store;
	uint32_t part;
	bool full; /* a batch could not take an image: try again later */
};

/* ---- memory ---- */

static struct zs_batch *new_batch(uint32_t part, enum zs_stream stream)
{
	struct zs_batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return NULL;
	batch->part = part;
	batch->stream = stream;
	batch->data = aligned_alloc(ZS_ZONE_BLOCK_SIZE, (size_t)ZS_BATCH_IMAGES * ZS_ZONE_BLOCK_SIZE);
	batch->origins = malloc((size_t)ZS_BATCH_IMAGES * ZS_SLOTS_MAX * sizeof(*batch->origins));
	if (batch->data && batch->origins)
		return batch;
	free(batch->data);
	free(batch->origins);
	free(batch);
	return NULL;
}

static void free_batch(struct zs_batch *batch)
{
	if (!batch)
		return;
	free(batch->data);
	free(batch->origins);
	free(batch);
}

int zs_demote_init(struct zs_store *store)
{
	for (uint32_t p = 0; p < store->part_count; p++) {
		struct zs_store_part *part = &store->parts[p];

		part->pending = calloc(store->first_id, sizeof(*part->pending));
		if (!part->pending)
			return ZS_ENOMEM;
		for (unsigned i = 0; i < ZS_BUILDERS; i++) {
			part->builders[i].bytes = aligned_alloc(ZS_ZONE_BLOCK_SIZE, ZS_ZONE_BLOCK_SIZE);
			if (!part->builders[i].bytes)
				return ZS_ENOMEM;
		}
		for (unsigned s = 0; s < store->streams; s++) {
			part->streams[s].batch = new_batch(p, (enum zs_stream)s);
			part->streams[s].spare = new_batch(p, (enum zs_stream)s);
			if (!part->streams[s].batch || !part->streams[s].spare)
				return ZS_ENOMEM;
		}
	}
	return ZS_OK;
}

void zs_demote_free(struct zs_store *store)
{
	for (uint32_t p = 0; store->parts && p < store->part_count; p++) {
		struct zs_store_part *part = &store->parts[p];

		free(part->pending);
		for (unsigned i = 0; i < ZS_BUILDERS; i++)
			free(part->builders[i].bytes);
		for (unsigned s = 0; s < ZS_STREAMS; s++) {
			free_batch(part->streams[s].batch);
			free_batch(part->streams[s].spare);
		}
	}
}

/* ---- slabs ---- */

/* One object less of this slab is on its way. */
static void settle(struct zs_store *store, uint32_t part, uint32_t id)
{
	if (--store->parts[part].pending[id] == 0)
		zs_warm_release(store->thread, part, id);
}

static void settle_all(struct zs_store *store, const struct zs_batch *batch)
{
	for (uint32_t i = 0; i < batch->first[batch->count]; i++)
		settle(store, batch->part, batch->origins[i].id);
}

/* ---- batches ---- */

static enum zs_stream stream_of(const struct zs_store *store, uint64_t last_deadline)
{
	uint64_t now = zs_store_now_ms(store);
	uint64_t left = last_deadline > now ? last_deadline - now : 0;
	enum zs_stream stream = ZS_STREAM_LONG;

	if (last_deadline && left < MINUTES_MS)
		stream = ZS_STREAM_SHORT;
	else if (last_deadline && left < DAY_MS)
		stream = ZS_STREAM_DAY;
	/* A device with few active zones has room for fewer streams. */
	return stream < store->streams ? stream : (enum zs_stream)(store->streams - 1);
}

/* How many images the batch may take: as many as the zone has room for. */
static uint32_t batch_limit(const struct zs_store *store, uint32_t zone)
{
	uint32_t left = store->geometry.capacity - store->zones[zone].written;

	return left < ZS_BATCH_IMAGES ? left : ZS_BATCH_IMAGES;
}

static void append(struct zs_store *store, struct zs_batch *batch, uint32_t zone, uint32_t count)
{
	uint32_t first = store->zones[zone].written;
	uint64_t bytes = (uint64_t)count * ZS_ZONE_BLOCK_SIZE;

	for (uint32_t i = 0; i < count; i++) {
		struct zs_image_place place = zs_store_place(store, zone, first + i);

		zs_image_seal(batch->data + (size_t)i * ZS_ZONE_BLOCK_SIZE, &place);
	}
	batch->request = (struct zs_zone_request){
		.op = ZS_ZONE_APPEND,
		.zone = zone,
		.block = first,
		.blocks = count,
		.data = batch->data,
		.context = zs_store_kind(ZS_STORE_APPENDS),
	};
	batch->under_way = true;
	batch->epoch = zs_journal_epoch(store->journal, zone);
	store->zones[zone].appending = true;
	zs_store(&store->budget, store->budget < bytes ? 0 : store->budget - bytes);
	zs_store_submit(store, &batch->request);
}

/* Begins to write the stream's batch, if it may. False if it has to wait: for a zone, or for the one before it. */
static bool write_batch(struct zs_store *store, uint32_t part, enum zs_stream stream, bool even_if_partial)
{
	struct zs_stream_state *s = &store->parts[part].streams[stream];
	struct zs_batch *batch = s->batch;
	uint32_t zone;

	if (!batch->count)
		return true;
	if (s->spare->under_way)
		return false;
	zone = zs_zones_for(store, part, stream);
	if (zone == UINT32_MAX || store->zones[zone].appending)
		return false;
	if (batch->count < batch_limit(store, zone) && !even_if_partial)
		return true;
	if (batch->count > batch_limit(store, zone)) {
		/* What the zone has no room for goes to the next one, in the other batch. */
		uint32_t keep = batch_limit(store, zone);
		uint32_t from = batch->first[keep];
		struct zs_batch *rest = s->spare;

		rest->count = batch->count - keep;
		memcpy(rest->data, batch->data + (size_t)keep * ZS_ZONE_BLOCK_SIZE,
		       (size_t)rest->count * ZS_ZONE_BLOCK_SIZE);
		memcpy(rest->origins, batch->origins + from,
		       (batch->first[batch->count] - from) * sizeof(*rest->origins));
		for (uint32_t i = 0; i <= rest->count; i++)
			rest->first[i] = batch->first[keep + i] - from;
		memcpy(rest->deadlines, batch->deadlines + keep, rest->count * sizeof(rest->deadlines[0]));
		memcpy(rest->groups, batch->groups + keep, rest->count * sizeof(rest->groups[0]));
		batch->count = keep;
	} else {
		s->spare->count = 0;
	}
	s->batch = s->spare;
	s->spare = batch;
	append(store, batch, zone, batch->count);
	return true;
}

/* Puts an image that is done into its batch. False if that is full and cannot be written yet. */
static bool close_image(struct zs_store *store, uint32_t p, unsigned builder)
{
	struct zs_store_part *part = &store->parts[p];
	struct zs_image *image = &part->builders[builder];
	enum zs_stream stream = stream_of(store, image->last_deadline);
	struct zs_batch *batch = part->streams[stream].batch;

	if (batch->count == ZS_BATCH_IMAGES) {
		if (!write_batch(store, p, stream, false))
			return false;
		batch = part->streams[stream].batch;
		if (batch->count == ZS_BATCH_IMAGES)
			return false;
	}
	memcpy(batch->data + (size_t)batch->count * ZS_ZONE_BLOCK_SIZE, image->bytes, ZS_ZONE_BLOCK_SIZE);
	if (!batch->count)
		batch->first[0] = 0;
	memcpy(batch->origins + batch->first[batch->count], image->origins, image->used * sizeof(image->origins[0]));
	batch->deadlines[batch->count] = image->last_deadline;
	batch->groups[batch->count] = image->group;
	batch->first[batch->count + 1] = batch->first[batch->count] + image->used;
	batch->count++;
	part->building[builder] = false;
	write_batch(store, p, stream, false);
	return true;
}

/* ---- images ---- */

/* The image for an object's class; one that was used longest ago makes way. ZS_BUILDERS if that is not possible now. */
static unsigned builder_for(struct zs_store *store, uint32_t p, const struct zs_warm_object *object)
{
	struct zs_store_part *part = &store->parts[p];
	unsigned oldest = 0;

	for (unsigned i = 0; i < ZS_BUILDERS; i++) {
		if (part->building[i] && zs_image_is_for(&part->builders[i], object) &&
		    zs_group_map_is(store->groups, part->builders[i].group, object->group))
			return i;
	}
	for (unsigned i = 0; i < ZS_BUILDERS; i++) {
		if (!part->building[i])
			return i;
		if (part->builders[i].touched < part->builders[oldest].touched)
			oldest = i;
	}
	return close_image(store, p, oldest) ? oldest : ZS_BUILDERS;
}

/* False: there is no room for another group. */
static bool begin_image(struct zs_store *store, uint32_t p, unsigned builder, const struct zs_warm_object *object)
{
	struct zs_store_part *part = &store->parts[p];
	uint64_t group = 0;

	if (object->group) {
		group = zs_group_map_begin(store->groups, store->thread, object->group);
		if (!group)
			return false;
	}
	zs_image_begin(&part->builders[builder], part->builders[builder].bytes, object, group);
	part->building[builder] = true;
	return true;
}

/* Copies an object to an image. What finds no place stays where it is, and is dealt with when its slab is given back.
 */
static void take_object(void *context, const struct zs_warm_object *object)
{
	struct taking *taking = context;
	struct zs_store *store = taking->store;
	struct zs_store_part *part = &store->parts[taking->part];
	unsigned i;

	for (unsigned tries = 0; tries < 2; tries++) {
		i = builder_for(store, taking->part, object);
		if (i == ZS_BUILDERS)
			break;
		if (!part->building[i] && !begin_image(store, taking->part, i, object))
			return;
		part->builders[i].touched = ++part->touches;
		if (zs_image_add(&part->builders[i], object)) {
			part->pending[object->id]++;
			if (zs_image_is_full(&part->builders[i]) && !close_image(store, taking->part, i))
				taking->full = true;
			return;
		}
		if (!close_image(store, taking->part, i))
			break;
	}
	taking->full = true;
}

/* Whether the images that one more slab may fill have room. */
static bool has_room(struct zs_store *store, uint32_t p)
{
	const struct zs_store_part *part = &store->parts[p];

	for (unsigned s = 0; s < store->streams; s++) {
		if (part->streams[s].batch->count + ZS_BUILDERS / 2 > ZS_BATCH_IMAGES &&
		    (part->streams[s].spare->under_way || zs_zones_for(store, p, (enum zs_stream)s) == UINT32_MAX))
			return false;
	}
	return true;
}

static bool close_partial(struct zs_store *store, uint32_t p)
{
	bool some = false;

	for (unsigned i = 0; i < ZS_BUILDERS; i++) {
		if (store->parts[p].building[i])
			some |= close_image(store, p, i);
	}
	for (unsigned s = 0; s < store->streams; s++)
		write_batch(store, p, (enum zs_stream)s, true);
	return some;
}

/* Takes slabs of one partition. True if there are more. */
static bool take_slabs(struct zs_store *store, uint32_t p)
{
	struct taking taking = { .store = store, .part = p };

	for (unsigned s = 0; s < store->streams; s++) {
		if (store->parts[p].streams[s].batch->count)
			write_batch(store, p, (enum zs_stream)s, false);
	}
	for (unsigned n = 0; n < SLABS_AT_ONCE; n++) {
		uint32_t id;

		if (!has_room(store, p) || !zs_warm_take(store->thread, p, &id))
			return false;
		/* Before a block counts: an index of another size could not keep entries after a restart. */
		if (!zs_journal_buckets(store->journal))
			zs_journal_set_buckets(store->journal, zs_warm_buckets(store->engine, p));
		store->parts[p].pending[id] = 1;
		zs_warm_objects(store->thread, p, id, take_object, &taking);
		settle(store, p, id);
	}
	return true;
}

bool zs_demote_some(struct zs_store *store)
{
	bool more = false;

	for (uint32_t p = 0; p < store->part_count; p++) {
		more |= take_slabs(store, p);
		/* Memory is wanted back: what is there is written, full or not. */
		if (!zs_warm_waiting(store->engine, p) && zs_warm_is_short(store->engine, p))
			close_partial(store, p);
	}
	return more;
}

bool zs_demote_rest(struct zs_store *store)
{
	bool some = false;

	for (uint32_t p = 0; p < store->part_count; p++) {
		const struct zs_store_part *part = &store->parts[p];

		close_partial(store, p);
		for (unsigned i = 0; i < ZS_BUILDERS; i++)
			some |= part->building[i];
		for (unsigned s = 0; s < store->streams; s++)
			some |= part->streams[s].batch->count || part->streams[s].spare->under_way;
	}
	return some;
}

/* ---- after the append ---- */

static uint64_t later(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return 0;
	return a > b ? a : b;
}

static void note_written(struct zs_store *store, const struct zs_batch *batch, uint32_t published)
{
	uint64_t objects = batch->first[batch->count];
	uint64_t bytes = 0;
	uint64_t admitted;

	for (uint32_t i = 0; i < batch->count; i++) {
		const uint8_t *image = batch->data + (size_t)i * ZS_ZONE_BLOCK_SIZE;
		const struct zs_slab *slab = (const struct zs_slab *)(const void *)image;
		uint64_t lifetime = slab->lifetime;

		for (uint32_t k = batch->first[i]; k < batch->first[i + 1]; k++) {
			struct zs_extent extent = { 0, 0, 0, 0 };

			if (zs_slab_extent(slab, slab->identity, lifetime, batch->origins[k].image_slot, &extent))
				bytes += extent.key_size + extent.value_size + (zs_lifetime_unit(lifetime) ? 1 : 0);
		}
	}
	admitted = objects ? bytes * published / objects : 0;
	pthread_mutex_lock(&store->figures_lock);
	store->figures.appended_bytes += (uint64_t)batch->count * ZS_ZONE_BLOCK_SIZE;
	store->figures.admitted_objects += published;
	store->figures.admitted_bytes += admitted;
	store->figures.dead_bytes += bytes - admitted;
	store->figures.images += batch->count;
	pthread_mutex_unlock(&store->figures_lock);
}

/* Publishes what was written. Objects that died meanwhile are marked before their blocks count. */
static uint32_t publish(struct zs_store *store, const struct zs_batch *batch)
{
	uint32_t zone = batch->request.zone;
	uint32_t first = batch->request.block;
	uint64_t deadline = zs_journal_deadline(store->journal, zone);
	uint32_t published = 0;

	if (!store->zones[zone].written)
		deadline = 1;
	for (uint32_t i = 0; i < batch->count; i++)
		deadline = later(deadline, batch->deadlines[i]);
	zs_journal_set_deadline(store->journal, zone, deadline);
	store->zones[zone].deadline_ms = deadline;
	/* Those that turn out to be dead are taken off again. */
	for (uint32_t i = 0; i < batch->count; i++) {
		uint32_t objects = zs_image_count(batch->data + (size_t)i * ZS_ZONE_BLOCK_SIZE);

		atomic_fetch_add(&store->zones[zone].objects, objects);
		if (batch->groups[i] && zs_group_map_place(store->groups, zone, first + i, batch->groups[i]))
			zs_group_map_count(store->groups, zone, first + i, (int32_t)objects);
	}
	for (uint32_t i = 0; i < batch->count; i++) {
		const uint8_t *image = batch->data + (size_t)i * ZS_ZONE_BLOCK_SIZE;

		published += zs_warm_publish(store->thread, batch->part, zs_store_id_of(store, zone, first + i),
					     (const struct zs_slab *)(const void *)image,
					     batch->origins + batch->first[i], batch->first[i + 1] - batch->first[i]);
	}
	/* Marks of what died meanwhile, and the numbers of groups, are to be there before the blocks count. */
	if (zs_group_map_sync(store->groups) || zs_journal_sync(store->journal)) {
		zs_store_journal_failed(store);
		return published; /* they do not */
	}
	zs_journal_commit(store->journal, zone, first, batch->count);
	return published;
}

void zs_demote_appended(struct zs_store *store, struct zs_batch *batch)
{
	uint32_t zone = batch->request.zone;
	uint32_t expected = store->zones[zone].written;
	bool good = batch->request.status == ZS_ZONE_DONE && batch->request.block == expected;

	batch->under_way = false;
	/* What was written before everything was forgotten has the seal of an epoch that is over. */
	if (good && batch->epoch != zs_journal_epoch(store->journal, zone))
		good = false;
	else if (batch->request.status == ZS_ZONE_DONE && !good)
		batch->request.status = ZS_ZONE_WRITE_FAULT; /* not where its seal says */
	if (good)
		note_written(store, batch, publish(store, batch));
	zs_zones_appended(store, zone, batch->count, batch->request.status);
	for (uint32_t i = 0; i < batch->count; i++) {
		if (batch->groups[i])
			zs_group_map_end(store->groups, batch->groups[i]);
	}
	settle_all(store, batch);
	batch->count = 0;
}
