/*
 * Reading: zs_get and its kin. No lock, no allocation, no shared line written once an object's recency is saturated.
 *
 * Two misses make a read: the buckets, then the slab's header and slot. What decides its cost is how many reads the
 * processor has under way at once, and that is how many of them fit its reorder buffer (some 300 instructions), and
 * whether a branch on what is still being fetched goes the wrong way. Hence the usual way below: no index being
 * resized, a uniform slab of the same shape as the one read before, whose slot can therefore be fetched together with
 * its header. All else goes the long way round, through zs_index_find.
 */
#include <string.h>

#include "server/engine/change.h"
#include "server/engine/ghost.h"
#include "server/engine/index.h"
#include "server/engine/slab.h"
#include "server/engine/view.h"
#include "server/engine/warm_find.h"

/* Objects of a batch whose cache lines are fetched together. */
#define BATCH 32

/* Where an entry with the right tag leads to. */
struct candidate {
	const struct zs_bucket *bucket;
	struct zs_slab *slab; /* NULL: there is none */
	uint32_t slot;
	uint16_t sequence; /* of the bucket, before the entry was read */
};

void zs_view_fill(const struct zs_found *found, struct zs_view *view)
{
	const uint8_t *value = (const uint8_t *)found->slab + found->extent.value;

	view->deadline = found->deadline;
	if (zs_lifetime_kind(found->lifetime) == ZS_KIND_COUNTER) {
		view->type = ZS_NUMBER;
		view->size = 0;
		view->data = NULL;
		view->number = (int64_t)zs_load((const uint64_t *)(const void *)value);
	} else {
		view->type = ZS_BYTES;
		view->size = found->extent.value_size;
		view->data = value;
		view->number = 0;
	}
}

bool zs_is_expired(const struct zs_thread *thread, const struct zs_found *found)
{
	return found->deadline && found->deadline <= zs_now(thread);
}

/* ---- the usual way ---- */

static inline uint32_t shape_of_lifetime(uint64_t lifetime)
{
	return (uint32_t)(lifetime >> ZS_BASE_BITS) & 0x1ff;
}

/* Remembers the shape of this slab for the next read. */
static void learn_shape(struct zs_thread *thread, const struct zs_found *found)
{
	struct zs_shape *shape = &thread->shape;
	uint32_t slots = zs_identity_slots(found->identity);
	uint32_t unit = zs_lifetime_unit(found->lifetime);

	thread->stride = zs_stride(zs_lifetime_kind(found->lifetime), found->extent.key_size, found->extent.value_size);
	if (zs_lifetime_kind(found->lifetime) != ZS_KIND_UNIFORM)
		return;
	shape->identity = (uint32_t)(found->identity >> 32);
	shape->lifetime = shape_of_lifetime(found->lifetime);
	shape->slots = (uint16_t)slots;
	shape->key_size = (uint16_t)found->extent.key_size;
	shape->value_size = (uint16_t)found->extent.value_size;
	shape->stride = (uint16_t)thread->stride;
	shape->recency = (uint16_t)zs_recency_offset(slots);
	shape->deadline = (uint16_t)zs_column_offset(slots);
	shape->unit_ms = unit ? zs_unit_ms(unit) : 0;
}

/* Where slot `slot` lies, if the slab has this stride. Always within the slab's frame. */
static inline const uint8_t *guess_slot(const struct zs_slab *slab, uint32_t slot, uint32_t stride)
{
	return (const uint8_t *)slab + ((ZS_FRAME_SIZE - (slot + 1) * stride) & (ZS_FRAME_SIZE - 1));
}

/* Reads a slot if its slab has the remembered shape, and the slot holds the key and has not expired. */
ZS_ALWAYS_INLINE bool read_slot(struct zs_thread *thread, struct zs_slab *slab, uint32_t slot, const void *key,
				size_t size, unsigned flags, struct zs_view *view)
{
	const struct zs_shape *shape = &thread->shape;
	const uint8_t *frame = (const uint8_t *)slab;
	const uint8_t *object = guess_slot(slab, slot, shape->stride);
	uint32_t identity = zs_load_acquire((const uint32_t *)(const void *)&slab->identity + 1);
	uint64_t lifetime = zs_load(&slab->lifetime);
	uint64_t deadline = 0;

	if (shape->identity != identity || shape->lifetime != shape_of_lifetime(lifetime) || slot >= shape->slots ||
	    !zs_slab_is_live(slab, slot))
		return false;
	if (shape->key_size != size || !zs_key_equal(object, key, size))
		return false;
	/* Where objects have no deadline, there is no column either, but other objects that somebody may be writing. */
	if (shape->unit_ms) {
		deadline = (zs_lifetime_base(lifetime) + zs_load(frame + shape->deadline + slot)) * shape->unit_ms;
		if (deadline <= zs_now(thread))
			return false;
	}
	view->type = ZS_BYTES;
	view->size = shape->value_size;
	view->data = object + size;
	view->number = 0;
	view->deadline = deadline;
	if (!(flags & ZS_READ_PEEK)) {
		zs_recency_touch((uint8_t *)slab + shape->recency, slot);
		zs_count(thread, hits, 1);
	}
	return true;
}

/* The two buckets of a key, and the entries with its tag (zs_bucket_match_pair); none while the index is resized. */
struct lookup {
	struct zs_pair pair;
	uint32_t matches;
};

ZS_ALWAYS_INLINE struct lookup look_up(const struct zs_part *part, uint64_t hash)
{
	const struct zs_index_view *index = zs_load_acquire(&part->view);
	struct lookup l = { .pair = zs_index_pair(&index->main, hash) };

	l.matches = zs_bucket_match_pair(l.pair.a, l.pair.b, zs_hash_tag(hash));
	if (__builtin_expect(index->previous.count != 0, 0))
		l.matches = 0;
	return l;
}

/*
 * Where the first of the entries leads to. Which of the two buckets has it is a coin toss, so no branch depends on
 * that. That the entry has changed since its tag was read does no harm: then it leads to another key.
 */
ZS_ALWAYS_INLINE struct candidate first_candidate(const struct zs_part *part, struct lookup l)
{
	struct candidate c = { .slab = NULL };
	uint32_t i;
	uint32_t id;

	if (!l.matches)
		return c;
	i = (uint32_t)__builtin_ctz(l.matches);
	c.bucket = __builtin_expect_with_probability(i & 16, 0, 0.5) ? l.pair.b : l.pair.a;
	i = (i & 15) - 2;
	c.sequence = zs_load_acquire(&c.bucket->sequence);
	c.slot = zs_bucket_slot(c.bucket, i);
	id = zs_bucket_slab(c.bucket, i);
	if (id < part->frame_count)
		c.slab = zs_frame(part, id);
	return c;
}

/* Whether the bucket has not changed since the candidate was read. */
ZS_ALWAYS_INLINE bool is_believable(const struct candidate *c)
{
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return c->slab && zs_load(&c->bucket->sequence) == c->sequence;
}

/* ---- the long way ---- */

/* What is found on flash may be worth to be brought back. */
static void use_warm(struct zs_thread *thread, struct zs_part *part, uint64_t hash, const struct zs_found *found)
{
	zs_count(thread, hits, 1);
	zs_count(thread, warm_hits, 1);
	/* Once is chance; the second time within a while it comes back. */
	if (zs_ghost_take(part->warm_used, hash))
		zs_promote(thread, part, hash, found);
	else
		zs_ghost_add(part->warm_used, hash);
}

/* Of a partition with a warm tier. */
static int get_warm(struct zs_thread *thread, struct zs_part *part, uint64_t hash, const void *key, size_t size,
		    unsigned flags, struct zs_view *view)
{
	struct zs_found found;
	enum zs_warm_answer answer = zs_warm_find(thread, part, hash, key, size, &found, NULL);

	if (answer == ZS_WARM_WAIT)
		return ZS_EWARM;
	if (answer == ZS_WARM_ABSENT || zs_is_expired(thread, &found)) {
		if (!(flags & ZS_READ_PEEK))
			zs_count(thread, misses, 1);
		return ZS_ENOTFOUND;
	}
	zs_view_fill(&found, view);
	if (!found.warm)
		learn_shape(thread, &found);
	if (flags & ZS_READ_PEEK)
		return ZS_OK;
	if (found.warm) {
		use_warm(thread, part, hash, &found);
		return ZS_OK;
	}
	zs_slab_touch(found.slab, zs_identity_slots(found.identity), found.slot);
	zs_count(thread, hits, 1);
	return ZS_OK;
}

static __attribute__((noinline)) int get_long(struct zs_thread *thread, uint64_t hash, const void *key, size_t size,
					      unsigned flags, struct zs_view *view)
{
	struct zs_part *part = zs_part_of(thread->engine, hash);
	struct zs_found found;

	if (part->warm_blocks)
		return get_warm(thread, part, hash, key, size, flags, view);
	if (!zs_index_find(part, hash, thread->stride, key, size, &found) || zs_is_expired(thread, &found)) {
		if (!(flags & ZS_READ_PEEK))
			zs_count(thread, misses, 1);
		return ZS_ENOTFOUND;
	}
	learn_shape(thread, &found);
	zs_view_fill(&found, view);
	if (!(flags & ZS_READ_PEEK)) {
		zs_slab_touch(found.slab, zs_identity_slots(found.identity), found.slot);
		zs_count(thread, hits, 1);
	}
	return ZS_OK;
}

/* After the first candidate was another key with the same tag, as one in twenty is. */
static __attribute__((noinline)) int get_rest(struct zs_thread *thread, const void *key, size_t size, unsigned flags,
					      struct zs_view *view)
{
	uint64_t hash = zs_hash(key, size, thread->seed); /* not handed over: a register less on the usual way */
	const struct zs_part *part = zs_part_of(thread->engine, hash);
	struct lookup l = look_up(part, hash);

	while (l.matches &= l.matches - 1) {
		struct candidate c = first_candidate(part, l);

		if (is_believable(&c) && read_slot(thread, c.slab, c.slot, key, size, flags, view))
			return ZS_OK;
	}
	return get_long(thread, hash, key, size, flags, view);
}

ZS_ALWAYS_INLINE int get_hashed(struct zs_thread *thread, uint64_t hash, const void *key, size_t size, unsigned flags,
				struct zs_view *view)
{
	const struct zs_part *part = zs_part_of(thread->engine, hash);
	struct candidate c = first_candidate(part, look_up(part, hash));

	if (is_believable(&c) && read_slot(thread, c.slab, c.slot, key, size, flags, view))
		return ZS_OK;
	return get_rest(thread, key, size, flags, view);
}

static __attribute__((noinline)) int get_other(struct zs_thread *thread, const void *key, size_t size, unsigned flags,
					       struct zs_view *view)
{
	return get_hashed(thread, zs_hash(key, size, thread->seed), key, size, flags, view);
}

int zs_get(struct zs_thread *thread, const void *key, size_t size, unsigned flags, struct zs_view *view)
{
	if (zs_hash_is_short(size))
		return get_hashed(thread, zs_hash_short(key, size, thread->seed), key, size, flags, view);
	return get_other(thread, key, size, flags, view);
}

/* ---- many at once ---- */

/* Fetches a slab's header and the slot, both at once; most slabs have the stride of the one read before. */
static inline void fetch_object(const struct zs_thread *thread, const struct candidate *c)
{
	const uint8_t *start;

	if (!c->slab)
		return;
	start = guess_slot(c->slab, c->slot, thread->stride);
	__builtin_prefetch(c->slab);
	__builtin_prefetch(start);
	__builtin_prefetch(start + 64);
}

/*
 * Up to BATCH keys, in phases: all buckets are fetched, then all headers and slots, then the keys are compared. Where
 * the addresses are known, loading many lines at once is surer than prefetching them, which the processor may drop
 * while it walks page tables: hence the short loop of zs_touch_line before the long one.
 */
static size_t get_some(struct zs_thread *thread, const struct zs_key *keys, size_t count, struct zs_view *views,
		       bool *found)
{
	uint64_t hashes[BATCH];
	struct candidate candidates[BATCH];
	size_t total = 0;

	for (size_t i = 0; i < count; i++) {
		hashes[i] = zs_hash(keys[i].data, keys[i].size, thread->seed);
		zs_index_prefetch(zs_part_of(thread->engine, hashes[i]), hashes[i]);
	}
	for (size_t i = 0; i < count; i++) {
		const struct zs_part *part = zs_part_of(thread->engine, hashes[i]);

		candidates[i] = first_candidate(part, look_up(part, hashes[i]));
		fetch_object(thread, &candidates[i]);
	}
	for (size_t i = 0; i < count; i++) {
		if (candidates[i].slab) {
			zs_touch_line(candidates[i].slab);
			zs_touch_line(guess_slot(candidates[i].slab, candidates[i].slot, thread->stride));
		}
	}
	for (size_t i = 0; i < count; i++) {
		const struct candidate *c = &candidates[i];

		found[i] = (is_believable(c) &&
			    read_slot(thread, c->slab, c->slot, keys[i].data, keys[i].size, 0, &views[i])) ||
			   get_rest(thread, keys[i].data, keys[i].size, 0, &views[i]) == ZS_OK;
		total += found[i];
	}
	return total;
}

size_t zs_get_batch(struct zs_thread *thread, const struct zs_key *keys, size_t count, struct zs_view *views,
		    bool *found)
{
	size_t total = 0;

	for (size_t first = 0; first < count; first += BATCH) {
		size_t n = count - first < BATCH ? count - first : BATCH;

		total += get_some(thread, keys + first, n, views + first, found + first);
	}
	return total;
}
