#include "server/engine/warm.h"

#include <assert.h>
#include <sched.h>

#include "server/engine/evict.h"
#include "server/engine/index.h"
#include "server/engine/move.h"
#include "server/engine/slab.h"
#include "server/engine/warm_find.h"

/* Buckets looked through between two quiescent points. */
#define FORGET_STEP 65536u

/* Buckets whose entries are fetched ahead. */
#define FORGET_AHEAD 8u

/* ---- setting up ---- */

void zs_engine_set_warm(struct zs_engine *engine, const struct zs_warm_hooks *hooks)
{
	engine->warm = *hooks;
	engine->has_warm = true;
}

uint32_t zs_engine_partitions(const struct zs_engine *engine)
{
	return engine->part_count;
}

uint32_t zs_warm_first_id(const struct zs_engine *engine)
{
	return engine->parts[0].frame_count;
}

uint32_t zs_warm_buckets(const struct zs_engine *engine, uint32_t part)
{
	return zs_load_acquire(&engine->parts[part].view)->main.count;
}

/* ---- demotion ---- */

uint32_t zs_warm_waiting(const struct zs_engine *engine, uint32_t part)
{
	return zs_load(&engine->parts[part].outgoing.count);
}

/* From the first slab on the index keeps its size; it has to have got its last one before. */
static bool fix_index(struct zs_part *part)
{
	if (zs_load(&part->warm_open))
		return true;
	if (__atomic_exchange_n(&part->resize_busy, 1, __ATOMIC_ACQUIRE))
		return false;
	if (part->exact_fit_done && !zs_load_acquire(&part->view)->previous.count)
		zs_store(&part->warm_open, 1);
	zs_store_release(&part->resize_busy, 0);
	return zs_load(&part->warm_open);
}

bool zs_warm_take(struct zs_thread *thread, uint32_t number, uint32_t *id)
{
	struct zs_part *part = &thread->engine->parts[number];

	if (!zs_load(&part->outgoing.count) || !fix_index(part))
		return false;
	pthread_mutex_lock(&part->lock);
	*id = part->outgoing.head;
	if (*id != ZS_SLAB_NONE) {
		zs_slab_list_remove(part, &part->outgoing, *id);
		zs_slab_list_push(part, &part->writing, *id);
	}
	pthread_mutex_unlock(&part->lock);
	return *id != ZS_SLAB_NONE;
}

void zs_warm_objects(struct zs_thread *thread, uint32_t number, uint32_t id,
		     void (*each)(void *context, const struct zs_warm_object *object), void *context)
{
	struct zs_part *part = &thread->engine->parts[number];
	const struct zs_slab *slab = zs_frame(part, id);
	const uint8_t *frame = (const uint8_t *)slab;
	struct zs_warm_object o = {
		.identity = zs_load_acquire(&slab->identity),
		.lifetime = zs_load(&slab->lifetime),
		.group = zs_links_group(zs_load(&slab->links)),
		.id = id,
	};

	for (o.slot = 0; o.slot < zs_identity_slots(o.identity); o.slot++) {
		struct zs_extent extent;

		if (!zs_slab_is_live(slab, o.slot) || !zs_slab_extent(slab, o.identity, o.lifetime, o.slot, &extent))
			continue;
		o.deadline = zs_slab_deadline(slab, o.identity, o.lifetime, o.slot);
		if (o.deadline && o.deadline <= zs_now(thread))
			continue;
		o.key = frame + extent.key;
		o.key_size = extent.key_size;
		o.value = frame + extent.value;
		o.value_size = zs_lifetime_kind(o.lifetime) == ZS_KIND_COUNTER ? 8 : extent.value_size;
		o.hash = zs_hash(o.key, o.key_size, thread->seed);
		each(context, &o);
	}
}

static int64_t number_at(const struct zs_slab *slab, const struct zs_extent *extent)
{
	const uint8_t *at = (const uint8_t *)slab + extent->value;

	return (int64_t)zs_load((const uint64_t *)(const void *)at);
}

/* Whether the slot holds what was copied to the image; the bytes of an object never change, but these two do. */
static bool is_unchanged(const struct zs_slab *slab, uint32_t slot, const struct zs_slab *image, uint32_t image_slot)
{
	uint64_t identity = zs_load(&slab->identity);
	uint64_t lifetime = zs_load(&slab->lifetime);
	struct zs_extent here;
	struct zs_extent there;

	if (zs_slab_deadline(slab, identity, lifetime, slot) !=
	    zs_slab_deadline(image, image->identity, image->lifetime, image_slot))
		return false;
	if (zs_lifetime_kind(lifetime) != ZS_KIND_COUNTER)
		return true;
	return zs_slab_extent(slab, identity, lifetime, slot, &here) &&
	       zs_slab_extent(image, image->identity, image->lifetime, image_slot, &there) &&
	       number_at(slab, &here) == number_at(image, &there);
}

static bool publish_one(struct zs_thread *thread, struct zs_part *part, uint32_t id, const struct zs_slab *image,
			const struct zs_warm_origin *origin)
{
	const struct zs_warm_hooks *hooks = &thread->engine->warm;
	struct zs_figures *figures = &thread->parts[part->number]->figures;
	struct zs_slab *slab = zs_frame(part, origin->id);
	struct zs_locked locked;
	struct zs_found found;
	bool done;

	if (!zs_slab_is_live(image, origin->image_slot))
		return false; /* a newer version of the key is in the image */
	zs_index_lock(part, origin->hash, &locked);
	/* An entry in the overflow list stays one of memory. */
	done = zs_index_find_slot(&locked, origin->id, origin->slot, &found) && found.bucket &&
	       zs_slab_is_live(slab, origin->slot) && is_unchanged(slab, origin->slot, image, origin->image_slot) &&
	       zs_slab_end_object(thread, part, slab, origin->slot);
	if (done) {
		zs_index_replace(&locked, &found, id, zs_warm_slot(origin->hash));
		zs_store(&figures->warm, figures->warm + 1);
	} else {
		hooks->dead(hooks->context, part->number, id, origin->hash);
	}
	zs_index_unlock(&locked);
	return done;
}

uint32_t zs_warm_publish(struct zs_thread *thread, uint32_t number, uint32_t id, const struct zs_slab *image,
			 const struct zs_warm_origin *origins, uint32_t count)
{
	struct zs_part *part = &thread->engine->parts[number];
	uint32_t published = 0;

	assert(zs_is_warm_id(part, id));
	for (uint32_t i = 0; i < count; i++) {
		if (i + 4 < count)
			zs_index_prefetch(part, origins[i + 4].hash);
		published += publish_one(thread, part, id, image, &origins[i]);
	}
	zs_count(thread, demoted_objects, published);
	return published;
}

/* Takes what lives in the slab elsewhere; what finds no room is evicted. */
static void empty_slab(struct zs_thread *thread, struct zs_part *part, uint32_t id)
{
	struct zs_residents residents;
	uint32_t slot;
	uint64_t hash;

	zs_residents_begin(part, id, false, &residents);
	do {
		while (zs_residents_next(&residents, &slot, &hash)) {
			if (zs_move_object(thread, part, id, slot, hash, (struct zs_move){ .main = true }) !=
				ZS_NO_ROOM ||
			    !zs_slab_is_live(zs_frame(part, id), slot))
				continue;
			if (zs_end_object(thread, part, id, slot, hash))
				zs_count(thread, evicted_objects, 1);
		}
		zs_residents_list(part, id, &residents, ZS_RESIDENTS_AHEAD);
	} while (residents.count);
}

void zs_warm_release(struct zs_thread *thread, uint32_t number, uint32_t id)
{
	struct zs_part *part = &thread->engine->parts[number];
	struct zs_slab *slab = zs_frame(part, id);

	while (zs_slab_live_count(slab))
		empty_slab(thread, part, id);
	/* In this order: a drop marks the slab before it clears the live bits. */
	if (zs_load_acquire(&slab->lifetime) & ZS_SLAB_DROPPED)
		zs_clean_dropped(thread, part, id);
	zs_slab_retire(thread, part, id);
	zs_slab_close_batch(thread, part);
	zs_slab_reclaim(part);
}

void zs_warm_admit(struct zs_engine *engine, uint32_t part, bool admit)
{
	zs_store(&engine->parts[part].warm_shut, admit ? 0u : 1u);
}

bool zs_warm_is_short(const struct zs_engine *engine, uint32_t part)
{
	return zs_slab_available(&engine->parts[part]) < zs_evict_reserve_of_movers(&engine->parts[part]) / 2;
}

double zs_warm_index_load(const struct zs_engine *engine, uint32_t number)
{
	const struct zs_part *part = &engine->parts[number];

	return (double)zs_index_used(part) / ((double)zs_load_acquire(&part->view)->main.count * ZS_BUCKET_ENTRIES);
}

/* ---- forgetting ---- */

/* The blocks whose entries are removed. */
struct forgotten {
	uint32_t part;
	uint32_t first;
	uint32_t end;
	bool (*gone)(void *context, uint32_t part, uint32_t id);
	void *context;
};

/* Removes the entries of one bucket that lead to such blocks. */
static uint32_t forget_in(struct zs_bucket *bucket, const struct forgotten *blocks)
{
	uint32_t removed = 0;

	zs_bucket_lock(bucket);
	for (uint32_t i = 0; i < ZS_BUCKET_ENTRIES; i++) {
		uint32_t id = zs_bucket_slab(bucket, i);

		if (!zs_bucket_tag(bucket, i) || id - blocks->first >= blocks->end - blocks->first)
			continue;
		if (blocks->gone && !blocks->gone(blocks->context, blocks->part, id))
			continue;
		zs_bucket_set(bucket, i, 0, 0, 0);
		removed++;
	}
	zs_bucket_unlock(bucket);
	return removed;
}

/* Whether some entry leads there; a hint, because the bucket is not locked. */
static bool leads_to(const struct zs_bucket *bucket, const struct forgotten *blocks)
{
	bool some = false;

	for (uint32_t i = 0; i < ZS_BUCKET_ENTRIES; i++)
		some |=
		    zs_bucket_slab(bucket, i) - blocks->first < blocks->end - blocks->first && zs_bucket_tag(bucket, i);
	return some;
}

uint64_t zs_warm_forget(struct zs_thread *thread, uint32_t number, uint32_t first, uint32_t end,
			bool (*gone)(void *context, uint32_t part, uint32_t id), void *context)
{
	const struct forgotten blocks = { number, first, end, gone, context };
	struct zs_part *part = &thread->engine->parts[number];
	struct zs_figures *f = &thread->parts[number]->figures;
	const struct zs_index_view *view = zs_load_acquire(&part->view);
	struct zs_table table = view->main;
	uint64_t removed = 0;

	if (!zs_load(&part->warm_open))
		return 0; /* no entry leads to flash yet, and the table may be about to change */
	for (uint32_t b = 0; b < table.count; b++) {
		struct zs_bucket *bucket = &table.buckets[b];

		if (b + FORGET_AHEAD < table.count)
			__builtin_prefetch(bucket + FORGET_AHEAD);
		if (leads_to(bucket, &blocks)) {
			uint32_t n = forget_in(bucket, &blocks);

			zs_store(&f->entries, f->entries - n);
			zs_store(&f->warm, f->warm - n);
			removed += n;
		}
		if (b % FORGET_STEP == FORGET_STEP - 1)
			zs_thread_quiesce(thread);
	}
	return removed;
}

void zs_warm_forget_one(struct zs_thread *thread, uint64_t hash, uint32_t id)
{
	struct zs_part *part = zs_part_of(thread->engine, hash);
	struct zs_locked locked;
	struct zs_found found;

	zs_index_lock(part, hash, &locked);
	if (zs_index_find_slot(&locked, id, zs_warm_slot(hash), &found))
		zs_warm_remove(thread, &locked, &found);
	zs_index_unlock(&locked);
}

/* ---- after a restart ---- */

void zs_warm_set_rebuilding(struct zs_engine *engine, bool rebuilding)
{
	__atomic_store_n(&engine->warm_rebuilding, rebuilding ? 1u : 0u, __ATOMIC_SEQ_CST);
}

void zs_warm_prefetch(const struct zs_engine *engine, uint64_t hash)
{
	zs_index_prefetch(zs_part_of(engine, hash), hash);
}

bool zs_warm_restore(struct zs_thread *thread, uint64_t hash, uint32_t id, const void *key, size_t key_size,
		     bool (*may)(void *context, uint64_t hash), void *context)
{
	struct zs_part *part = zs_part_of(thread->engine, hash);
	struct zs_figures *figures = &thread->parts[part->number]->figures;

	for (unsigned tries = 0; tries < 3; tries++) {
		struct zs_locked locked;
		struct zs_found found;
		bool wanted;
		bool done = false;

		zs_index_lock(part, hash, &locked);
		wanted = may(context, hash) && !zs_index_find_locked(&locked, key, key_size, &found);
		if (wanted)
			done = zs_index_insert(thread, &locked, id, zs_warm_slot(hash), false);
		if (done)
			zs_store(&figures->warm, figures->warm + 1);
		zs_index_unlock(&locked);
		if (done || !wanted)
			return done;
		zs_index_make_room(thread, &locked.table, hash);
	}
	return false;
}

/* ---- threads ---- */

void zs_thread_set_warm_call(struct zs_thread *thread, void *call)
{
	thread->warm_call = call;
}

void zs_thread_begin_reads(struct zs_thread *thread)
{
	thread->warm_wanted = 0;
	thread->reads.hits = thread->counters.hits;
	thread->reads.misses = thread->counters.misses;
	thread->reads.warm_hits = thread->counters.warm_hits;
}

void zs_thread_undo_reads(struct zs_thread *thread)
{
	zs_store(&thread->counters.hits, thread->reads.hits);
	zs_store(&thread->counters.misses, thread->reads.misses);
	zs_store(&thread->counters.warm_hits, thread->reads.warm_hits);
}

uint32_t zs_thread_warm_wanted(struct zs_thread *thread)
{
	uint32_t wanted = thread->warm_wanted;

	thread->warm_wanted = 0;
	return wanted;
}

bool zs_thread_wait_for_others(struct zs_thread *thread, unsigned ms)
{
	struct zs_epoch *epoch = thread->engine->epoch;
	uint64_t end = zs_clock_ns(zs_clock_system()) + (uint64_t)ms * 1000000u;
	uint64_t stamp = zs_epoch_stamp(epoch);

	zs_epoch_advance(epoch);
	do {
		zs_thread_quiesce(thread);
		if (zs_epoch_passed(epoch, stamp))
			return true;
		sched_yield();
	} while (zs_clock_ns(zs_clock_system()) < end);
	return false;
}
