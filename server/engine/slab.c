#include "server/engine/slab.h"

#include <assert.h>
#include <string.h>

#include "server/engine/group.h"
#include "server/engine/lifetime.h"

#define LINK_MASK ((uint64_t)ZS_SLAB_NONE)
#define NEXT_SHIFT ZS_SLAB_ID_BITS
#define STATE_SHIFT 60

static uint32_t link_previous(uint64_t links)
{
	return (uint32_t)(links & LINK_MASK);
}

static uint32_t link_next(uint64_t links)
{
	return (uint32_t)(links >> NEXT_SHIFT & LINK_MASK);
}

static void set_previous(struct zs_part *part, uint32_t id, uint32_t previous)
{
	uint64_t *links = &zs_frame(part, id)->links;

	zs_store(links, (zs_load(links) & ~LINK_MASK) | previous);
}

static void set_next(struct zs_part *part, uint32_t id, uint32_t next)
{
	uint64_t *links = &zs_frame(part, id)->links;

	zs_store(links, (zs_load(links) & ~(LINK_MASK << NEXT_SHIFT)) | (uint64_t)next << NEXT_SHIFT);
}

static void set_place(struct zs_part *part, uint32_t id, enum zs_place place)
{
	uint64_t *links = &zs_frame(part, id)->links;

	zs_store(links, (zs_load(links) & ~(0xfull << STATE_SHIFT)) | (uint64_t)place << STATE_SHIFT);
}

enum zs_place zs_slab_place(const struct zs_part *part, uint32_t id)
{
	return (enum zs_place)(zs_load(&zs_frame(part, id)->links) >> STATE_SHIFT);
}

uint32_t zs_slab_next(const struct zs_part *part, uint32_t id)
{
	return link_next(zs_load(&zs_frame(part, id)->links));
}

void zs_slab_list_push(struct zs_part *part, struct zs_slab_list *list, uint32_t id)
{
	set_previous(part, id, list->tail);
	set_next(part, id, ZS_SLAB_NONE);
	set_place(part, id, list->place);
	if (list->tail == ZS_SLAB_NONE)
		list->head = id;
	else
		set_next(part, list->tail, id);
	list->tail = id;
	zs_store(&list->count, list->count + 1);
}

void zs_slab_list_remove(struct zs_part *part, struct zs_slab_list *list, uint32_t id)
{
	uint64_t links = zs_load(&zs_frame(part, id)->links);
	uint32_t previous = link_previous(links);
	uint32_t next = link_next(links);

	assert(list->count > 0);
	if (previous == ZS_SLAB_NONE)
		list->head = next;
	else
		set_next(part, previous, next);
	if (next == ZS_SLAB_NONE)
		list->tail = previous;
	else
		set_previous(part, next, previous);
	zs_store(&list->count, list->count - 1);
	set_place(part, id, ZS_AT_NOWHERE);
}

static void push_free(struct zs_part *part, uint32_t id)
{
	set_next(part, id, part->free_head);
	set_place(part, id, ZS_AT_FREE);
	part->free_head = id;
	zs_store(&part->free_count, part->free_count + 1);
}

/* A frame number with the partition's lock held, ZS_SLAB_NONE if there is none. */
static uint32_t take_frame(struct zs_part *part)
{
	uint32_t id = part->free_head;

	if (part->free_count) {
		part->free_head = zs_slab_next(part, id);
		zs_store(&part->free_count, part->free_count - 1);
		return id;
	}
	if (part->virgin == part->virgin_end)
		return ZS_SLAB_NONE;
	id = part->virgin;
	zs_store(&part->virgin, id + 1);
	return id;
}

uint32_t zs_slab_take(struct zs_part *part, uint64_t shape, uint64_t lifetime, uint32_t group)
{
	uint32_t slots = zs_identity_slots(shape);
	enum zs_slab_kind kind = zs_lifetime_kind(lifetime);
	uint32_t unit = zs_lifetime_unit(lifetime);
	struct zs_slab *slab;
	uint32_t generation;
	uint32_t id;

	pthread_mutex_lock(&part->lock);
	id = take_frame(part);
	if (id != ZS_SLAB_NONE) {
		zs_store(&part->slabs_used, part->slabs_used + 1);
		generation = zs_identity_generation(zs_load(&zs_frame(part, id)->identity)) + 1;
		if (generation > part->generation_top)
			part->generation_top = generation;
	}
	pthread_mutex_unlock(&part->lock);
	if (id == ZS_SLAB_NONE)
		return id;

	slab = zs_frame(part, id);
	for (uint32_t i = 0; i < zs_live_words(slots); i++)
		zs_store(&slab->live[i], 0);
	memset((uint8_t *)slab + zs_recency_offset(slots), 0,
	       zs_header_size(kind, slots, unit) - zs_recency_offset(slots));
	zs_store(&slab->links, (uint64_t)ZS_SLAB_NONE | (uint64_t)ZS_SLAB_NONE << NEXT_SHIFT | (uint64_t)group << 44);
	zs_store(&slab->lifetime, lifetime | ZS_SLAB_OPEN);
	zs_store_release(&slab->identity, shape | generation);
	zs_store(&part->due[id], 0);
	return id;
}

bool zs_slab_is_sparse(const struct zs_slab *slab)
{
	uint64_t identity = zs_load(&slab->identity);
	uint64_t lifetime = zs_load(&slab->lifetime);
	uint32_t slots = zs_identity_slots(identity);
	uint32_t bytes = 0;

	if (zs_lifetime_kind(lifetime) != ZS_KIND_MIXED)
		return zs_slab_live_count(slab) * 2 <= slots;
	for (uint32_t slot = 0; slot < slots; slot++) {
		struct zs_extent extent;

		if (zs_slab_is_live(slab, slot) && zs_slab_extent(slab, identity, lifetime, slot, &extent))
			bytes += extent.key_size + extent.value_size;
	}
	return bytes * 2 <= ZS_FRAME_SIZE - zs_column_offset(slots);
}

uint64_t zs_slab_last_deadline(const struct zs_slab *slab)
{
	uint64_t identity = zs_load(&slab->identity);
	uint64_t lifetime = zs_load(&slab->lifetime);
	uint64_t last = 0;

	if (!zs_lifetime_unit(lifetime))
		return 0;
	for (uint32_t i = 0; i < zs_identity_slots(identity); i++) {
		uint64_t deadline;

		if (!zs_slab_is_live(slab, i))
			continue;
		deadline = zs_slab_deadline(slab, identity, lifetime, i);
		if (deadline > last)
			last = deadline;
	}
	return last;
}

void zs_slab_seal(struct zs_thread *thread, struct zs_part *part, uint32_t id)
{
	struct zs_slab *slab = zs_frame(part, id);
	uint64_t lifetime = zs_load(&slab->lifetime);

	if (zs_lifetime_unit(lifetime) && !(lifetime & ZS_SLAB_DROPPED) && !zs_load(&part->due[id]))
		zs_store(&part->due[id], zs_due_at(zs_slab_last_deadline(slab), zs_now(thread)));
	if (zs_slab_place(part, id) == ZS_AT_NOWHERE) {
		pthread_mutex_lock(&part->lock);
		zs_slab_list_push(part, lifetime & ZS_SLAB_MAIN ? &part->main : &part->small, id);
		pthread_mutex_unlock(&part->lock);
	}
	zs_fetch_and(&slab->lifetime, ~ZS_SLAB_OPEN);
}

bool zs_slab_renew(struct zs_slab *slab, uint32_t generation)
{
	uint64_t identity = zs_load_acquire(&slab->identity);

	return zs_identity_generation(identity) == generation &&
	       __atomic_compare_exchange_n(&slab->identity, &identity,
					   (identity & ~0xffffffffull) | (uint32_t)(generation + 1), false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

bool zs_slab_reopen(struct zs_part *part, uint32_t id, uint32_t generation)
{
	struct zs_slab *slab = zs_frame(part, id);
	uint64_t lifetime = zs_load_acquire(&slab->lifetime);

	do {
		if (zs_identity_generation(zs_load_acquire(&slab->identity)) != generation)
			return false;
		if (lifetime & (ZS_SLAB_OPEN | ZS_SLAB_CLAIMED | ZS_SLAB_DROPPED))
			return false;
		if (!(lifetime & ZS_SLAB_LISTED))
			return false;
	} while (!__atomic_compare_exchange_n(&slab->lifetime, &lifetime, lifetime | ZS_SLAB_OPEN, true,
					      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	/* Freed and taken again between the two loads: whoever took it had it open, so we cannot be here. */
	return true;
}

bool zs_slab_claim(struct zs_part *part, uint32_t id)
{
	struct zs_slab *slab = zs_frame(part, id);
	uint64_t lifetime = zs_load_acquire(&slab->lifetime);
	enum zs_place place = zs_slab_place(part, id);

	if (place != ZS_AT_SMALL && place != ZS_AT_MAIN)
		return false;
	do {
		if (lifetime & (ZS_SLAB_OPEN | ZS_SLAB_CLAIMED))
			return false;
	} while (!__atomic_compare_exchange_n(&slab->lifetime, &lifetime, lifetime | ZS_SLAB_CLAIMED, true,
					      __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	return true;
}

void zs_slab_release(struct zs_part *part, uint32_t id)
{
	/* Whoever had listed the slab finds that out when it tries to reopen it. */
	zs_fetch_and(&zs_frame(part, id)->lifetime, ~(ZS_SLAB_CLAIMED | ZS_SLAB_LISTED | ZS_SLAB_SPARSE));
}

static struct zs_slab_list *list_at(struct zs_part *part, enum zs_place place)
{
	if (place == ZS_AT_WRITING)
		return &part->writing;
	return place == ZS_AT_MAIN ? &part->main : &part->small;
}

void zs_slab_retire(struct zs_thread *thread, struct zs_part *part, uint32_t id)
{
	struct zs_slab *slab = zs_frame(part, id);
	uint32_t group = zs_links_group(zs_load(&slab->links));
	enum zs_place place;

	assert(zs_load(&slab->lifetime) & ZS_SLAB_CLAIMED);
	assert(zs_slab_live_count(slab) == 0);
	if (group)
		zs_group_slab_gone(part->engine, group);
	zs_store(&part->due[id], 0);
	while (!zs_slab_renew(slab, zs_identity_generation(zs_load(&slab->identity))))
		;
	pthread_mutex_lock(&part->lock);
	place = zs_slab_place(part, id);
	zs_slab_list_remove(part, list_at(part, place), id);
	zs_slab_list_push(part, &part->quarantine.slabs, id);
	part->quarantine.open_count++;
	zs_store(&part->slabs_used, part->slabs_used - 1);
	/* The claim stays set until the slab is taken again: nobody else may touch it. */
	pthread_mutex_unlock(&part->lock);
	thread->want_epoch = true;
}

void zs_slab_close_batch(struct zs_thread *thread, struct zs_part *part)
{
	struct zs_quarantine *q = &part->quarantine;
	struct zs_quarantine_batch *batch;

	pthread_mutex_lock(&part->lock);
	if (q->open_count) {
		/* With all batches taken the youngest one absorbs the new slabs and rests as long as they. */
		if (q->used < ZS_QUARANTINE_BATCHES) {
			batch = &q->batches[(q->first + q->used++) % ZS_QUARANTINE_BATCHES];
			batch->count = 0;
		} else {
			batch = &q->batches[(q->first + q->used - 1) % ZS_QUARANTINE_BATCHES];
		}
		batch->count += q->open_count;
		batch->stamp = zs_epoch_stamp(part->engine->epoch);
		batch->since_ns = zs_clock_ns(part->engine->clock);
		q->open_count = 0;
		thread->want_epoch = true;
	}
	pthread_mutex_unlock(&part->lock);
}

bool zs_slab_quarantine_over(const struct zs_engine *engine, uint64_t since_ns)
{
	if (since_ns == 0 || zs_load_acquire(&engine->remote_until_ms) == 0)
		return true;
	return zs_clock_ns(engine->clock) - since_ns >= (uint64_t)engine->quarantine_ms * 1000000u;
}

static bool batch_rested(const struct zs_engine *engine, const struct zs_quarantine_batch *batch)
{
	return zs_epoch_passed(engine->epoch, batch->stamp) && zs_slab_quarantine_over(engine, batch->since_ns);
}

uint32_t zs_slab_reclaim(struct zs_part *part)
{
	struct zs_quarantine *q = &part->quarantine;
	uint32_t freed = 0;

	pthread_mutex_lock(&part->lock);
	while (q->used && freed < 1024) {
		struct zs_quarantine_batch *batch = &q->batches[q->first];

		if (!batch_rested(part->engine, batch))
			break;
		while (batch->count && freed < 1024) {
			uint32_t id = q->slabs.head;

			zs_slab_list_remove(part, &q->slabs, id);
			push_free(part, id);
			batch->count--;
			freed++;
		}
		if (batch->count)
			break;
		q->first = (q->first + 1) % ZS_QUARANTINE_BATCHES;
		q->used--;
	}
	pthread_mutex_unlock(&part->lock);
	return freed;
}

void zs_slab_adopt_frames(struct zs_part *part, struct zs_bucket *table, uint32_t frames)
{
	uint32_t first = (uint32_t)(((const uint8_t *)table - part->frames) / ZS_FRAME_SIZE);

	for (uint32_t id = first; id < first + frames; id++) {
		struct zs_slab *slab = zs_frame(part, id);

		/* Above every generation so far: nobody can remember a location in what was never a slab. */
		zs_store(&slab->links, 0);
		zs_store(&slab->lifetime, ZS_SLAB_CLAIMED);
		zs_store_release(&slab->identity, zs_identity(part->generation_top + 1, 0, 0, 0));
		push_free(part, id);
	}
	part->index_frames -= frames;
}

uint32_t zs_slab_available(const struct zs_part *part)
{
	/* A hint, so read without the lock. */
	return zs_load(&part->free_count) + (zs_load(&part->virgin_end) - zs_load(&part->virgin));
}

uint32_t zs_slab_live_count(const struct zs_slab *slab)
{
	uint32_t words = zs_live_words(zs_identity_slots(zs_load(&slab->identity)));
	uint32_t count = 0;

	for (uint32_t i = 0; i < words; i++)
		count += (uint32_t)__builtin_popcount(zs_load(&slab->live[i]));
	return count;
}

uint32_t zs_slab_slots(enum zs_slab_kind kind, uint32_t key_size, uint32_t value_size, bool deadline)
{
	uint32_t stride = zs_stride(kind, key_size, value_size);
	uint32_t n = ZS_SLOTS_MAX;

	if (stride)
		n = (ZS_FRAME_SIZE - ZS_SLAB_FIXED) / stride;
	if (n > ZS_SLOTS_MAX)
		n = ZS_SLOTS_MAX;
	while (n && zs_header_size(kind, n, deadline) + n * stride > ZS_FRAME_SIZE)
		n--;
	return n;
}

static void count_object(struct zs_thread *thread, struct zs_part *part, const struct zs_slab *slab, uint32_t slot,
			 int sign)
{
	struct zs_figures *f = &thread->parts[part->number]->figures;
	uint64_t identity = zs_load(&slab->identity);
	uint64_t lifetime = zs_load(&slab->lifetime);
	struct zs_extent extent = { 0, 0, 0, 0 };

	if (!zs_slab_extent(slab, identity, lifetime, slot, &extent))
		assert(!"a live slot without an extent");
	zs_store(&f->objects, f->objects + sign);
	zs_store(&f->payload, f->payload + sign * (int64_t)(extent.key_size + extent.value_size));
	if (zs_lifetime_unit(lifetime))
		zs_store(&f->objects_with_deadline, f->objects_with_deadline + sign);
}

bool zs_slab_end_object(struct zs_thread *thread, struct zs_part *part, struct zs_slab *slab, uint32_t slot)
{
	uint32_t bit = 1u << (slot % 32);

	if (!(zs_fetch_and(&slab->live[slot / 32], ~bit) & bit))
		return false;
	count_object(thread, part, slab, slot, -1);
	return true;
}

void zs_slab_begin_object(struct zs_thread *thread, struct zs_part *part, struct zs_slab *slab, uint32_t slot)
{
	uint32_t bit = 1u << (slot % 32);

	count_object(thread, part, slab, slot, 1);
	zs_fetch_or(&slab->live[slot / 32], bit);
}
