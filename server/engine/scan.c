/*
 * Scanning: every key that is there throughout is seen, although entries move between their buckets and tables grow.
 *
 * A key's pair of buckets is fixed by its hash, and an entry's bucket and tag tell the other bucket of the pair. So a
 * position of the scan stands for the pairs whose lower bucket it is: the keys in it whose other bucket is not lower,
 * and the keys elsewhere whose other bucket it is; there is one candidate bucket for each tag. Wherever displacement
 * puts an entry, it stays with its pair.
 *
 * The cursor is a position as a fraction of the table, not a bucket number: pairs keep their place in a table of
 * another size to within rounding. While two tables exist both are looked through.
 */
#include <string.h>

#include "server/engine/index.h"
#include "server/engine/slab.h"
#include "server/engine/view.h"
#include "server/engine/warm_find.h"

/* A cursor: the partition above, a fraction of its tables below. 0 is the start, and as a result the end. */
#define FRACTION_BITS 36

/* Buckets by which rounding can shift a pair between tables of different sizes. */
#define ROUNDING 2

/* Positions looked at in one call, and for each object that is asked for, when they are empty: about a millisecond. */
#define POSITIONS_LEAST 1000
#define POSITIONS_PER_OBJECT 10
#define POSITIONS_MOST (1u << 24)

/* Objects that one position can hold: far more than the two dozen it has on average. */
#define POSITION_MAX 1024

struct position {
	uint32_t count;
	uint32_t ids[POSITION_MAX];
	uint8_t slots[POSITION_MAX];
	uint8_t tags[POSITION_MAX];
};

struct scan {
	struct zs_thread *thread;
	struct zs_part *part;
	zs_scan_function each;
	void *context;
	size_t wanted;
	size_t positions; /* that may still be looked at: an empty table must not hold the caller up */
	size_t seen;
};

static void give(struct scan *scan, const struct zs_found *found)
{
	struct zs_view view;

	if (zs_is_expired(scan->thread, found))
		return;
	zs_view_fill(found, &view);
	scan->seen++;
	scan->each(scan->context, (const uint8_t *)found->slab + found->extent.key, found->extent.key_size, &view);
}

/* Shows the object of a block to which an entry with this tag and slot byte leads. */
static void show_warm(struct scan *scan, uint32_t id, uint32_t slot_byte, uint8_t tag)
{
	const struct zs_warm_hooks *hooks = &scan->thread->engine->warm;
	bool unreadable = false;
	const struct zs_slab *image =
	    hooks->image(hooks->context, scan->thread->warm_call, scan->part->number, id, &unreadable);

	if (!image) {
		/* Counted, so that one call does not ask for more than it was to show. */
		scan->seen += !unreadable;
		scan->thread->warm_wanted += !unreadable;
		return;
	}
	for (uint32_t slot = 0; slot < zs_identity_slots(image->identity); slot++) {
		const uint8_t *key;
		struct zs_extent extent;
		struct zs_found found;
		uint64_t hash;

		if (!zs_slab_is_live(image, slot) ||
		    !zs_slab_extent(image, image->identity, image->lifetime, slot, &extent))
			continue;
		key = (const uint8_t *)image + extent.key;
		hash = zs_hash(key, extent.key_size, scan->thread->seed);
		if (zs_hash_tag(hash) == tag && zs_warm_slot(hash) == slot_byte &&
		    zs_warm_find(scan->thread, scan->part, hash, key, extent.key_size, &found, NULL) == ZS_WARM_FOUND)
			give(scan, &found);
	}
}

/* Shows the object of a slot to the caller, if it is live and has not expired. */
static void show(struct scan *scan, uint32_t id, uint32_t slot, uint8_t tag)
{
	struct zs_found found;

	if (zs_is_warm_id(scan->part, id)) {
		show_warm(scan, id, slot, tag);
		return;
	}
	if (id >= scan->part->frame_count)
		return;
	found.warm = false;
	found.slab = zs_frame(scan->part, id);
	found.identity = zs_load_acquire(&found.slab->identity);
	found.lifetime = zs_load(&found.slab->lifetime);
	if (!zs_slab_extent(found.slab, found.identity, found.lifetime, slot, &found.extent))
		return;
	if (zs_slab_is_live(found.slab, slot)) {
		found.deadline = zs_slab_deadline(found.slab, found.identity, found.lifetime, slot);
	} else {
		/* Written again or moved since the entry was noted. Its old key is still readable, until we quiesce. */
		const uint8_t *key = (const uint8_t *)found.slab + found.extent.key;
		uint64_t hash = zs_hash(key, found.extent.key_size, scan->thread->engine->seed);

		if (zs_warm_find(scan->thread, scan->part, hash, key, found.extent.key_size, &found, NULL) !=
		    ZS_WARM_FOUND)
			return;
	}
	give(scan, &found);
}

static void note(struct position *position, const struct zs_bucket *bucket, uint32_t entry)
{
	if (position->count == POSITION_MAX)
		return;
	position->ids[position->count] = zs_bucket_slab(bucket, entry);
	position->tags[position->count] = zs_bucket_tag(bucket, entry);
	position->slots[position->count++] = zs_bucket_slot(bucket, entry);
}

/* Notes the entries of these pairs that are in the overflow list. */
static void collect_overflow(struct zs_overflow *overflow, const struct zs_table *table, uint32_t lower,
			     struct position *position)
{
	pthread_mutex_lock(&overflow->lock);
	for (uint32_t i = 0; i < overflow->count && position->count < POSITION_MAX; i++) {
		const struct zs_overflow_entry *e = &overflow->entries[i];
		uint32_t first = zs_hash_bucket(e->hash, table->count);
		uint32_t second = zs_hash_other_bucket(first, zs_hash_tag(e->hash), table->count);

		if ((first < second ? first : second) != lower)
			continue;
		position->ids[position->count] = e->id;
		position->tags[position->count] = zs_hash_tag(e->hash);
		position->slots[position->count++] = (uint8_t)e->slot;
	}
	pthread_mutex_unlock(&overflow->lock);
}

/* Notes all entries of the pairs whose lower bucket this is. */
static void collect(struct zs_part *part, const struct zs_table *table, uint32_t lower, struct position *position)
{
	struct zs_bucket *bucket = &table->buckets[lower];
	uint32_t others[256];

	for (unsigned tag = 1; tag < 256; tag++) {
		others[tag] = zs_hash_other_bucket(lower, (uint8_t)tag, table->count);
		if (others[tag] > lower)
			__builtin_prefetch(&table->buckets[others[tag]]);
	}
	/* While we hold the lower bucket nothing is displaced between it and the others. They are taken in order. */
	zs_bucket_lock(bucket);
	for (uint32_t i = 0; i < ZS_BUCKET_ENTRIES; i++) {
		uint8_t tag = zs_bucket_tag(bucket, i);

		if (tag && others[tag] >= lower)
			note(position, bucket, i);
	}
	for (unsigned tag = 1; tag < 256; tag++) {
		struct zs_bucket *other = &table->buckets[others[tag]];

		if (others[tag] <= lower || !zs_bucket_match(other, (uint8_t)tag))
			continue;
		zs_bucket_lock(other);
		for (uint32_t mask = zs_bucket_match(other, (uint8_t)tag); mask; mask &= mask - 1)
			note(position, other, (uint32_t)__builtin_ctz(mask));
		zs_bucket_unlock(other);
	}
	if (zs_load(&part->overflow->count))
		collect_overflow(part->overflow, table, lower, position);
	zs_bucket_unlock(bucket);
}

static uint32_t bucket_at(const struct zs_table *table, uint64_t fraction)
{
	uint64_t b = fraction * table->count >> FRACTION_BITS;

	return b < table->count ? (uint32_t)b : table->count - 1;
}

/* Shows the pairs whose lower bucket lies in [from, to), with `margin` buckets around. */
static void scan_table(struct scan *scan, const struct zs_table *table, uint64_t from, uint64_t to, uint32_t margin)
{
	uint32_t first = bucket_at(table, from);
	uint32_t last = bucket_at(table, to - 1);

	first = first > margin ? first - margin : 0;
	last = last + margin < table->count ? last + margin : table->count - 1;
	for (uint32_t b = first; b <= last; b++) {
		struct position position;

		position.count = 0;
		collect(scan->part, table, b, &position);
		for (uint32_t i = 0; i < position.count; i++)
			show(scan, position.ids[i], position.slots[i], position.tags[i]);
	}
}

static void scan_range(struct scan *scan, const struct zs_index_view *view, uint64_t from, uint64_t to, bool resumed)
{
	uint32_t margin = view->previous.count ? ROUNDING : 0;

	/* Entries move from the previous table to the main one, so this order misses none. */
	if (view->previous.count)
		scan_table(scan, &view->previous, from, to, margin);
	scan_table(scan, &view->main, from, to, resumed ? ROUNDING : margin);
}

/*
 * Goes on in one partition; returns the fraction reached, 1 << FRACTION_BITS at its end. If the index is resized
 * between two calls, the second one may find pairs a little before the place where the first one stopped.
 */
static uint64_t scan_part(struct scan *scan, uint64_t from)
{
	const uint64_t end = 1ull << FRACTION_BITS;
	bool resumed = from > 0;

	while (from < end && scan->seen < scan->wanted && scan->positions) {
		const struct zs_index_view *view = zs_load_acquire(&scan->part->view);
		uint64_t next = bucket_at(&view->main, from) + 1ull;
		uint64_t to = ((next << FRACTION_BITS) + view->main.count - 1) / view->main.count;

		if (to > end)
			to = end;
		scan_range(scan, view, from, to, resumed && zs_load(&scan->part->resizes) > 0);
		resumed = false;
		from = to;
		scan->positions--;
	}
	/* Rounding can shift a pair round the end of the table, too. */
	if (from == end && zs_load(&scan->part->resizes) > 0)
		scan_range(scan, zs_load_acquire(&scan->part->view), 0, 1, true);
	return from;
}

uint64_t zs_scan(struct zs_thread *thread, uint64_t cursor, size_t count, zs_scan_function each, void *context)
{
	struct scan scan = {
		.thread = thread,
		.each = each,
		.context = context,
		.wanted = count ? count : 1,
		.positions = POSITIONS_LEAST + (count < POSITIONS_MOST ? count : POSITIONS_MOST) * POSITIONS_PER_OBJECT,
	};
	uint64_t number = cursor >> FRACTION_BITS;
	uint64_t fraction = cursor & ((1ull << FRACTION_BITS) - 1);

	/* No key can have been there during the whole scan. */
	if (zs_engine_count(thread->engine) == 0)
		return 0;
	while (number < thread->engine->part_count && scan.seen < scan.wanted && scan.positions) {
		scan.part = &thread->engine->parts[number];
		fraction = scan_part(&scan, fraction);
		if (fraction < 1ull << FRACTION_BITS)
			return number << FRACTION_BITS | fraction;
		fraction = 0;
		number++;
	}
	return number < thread->engine->part_count ? number << FRACTION_BITS : 0;
}

/* ---- random key ---- */

struct chosen {
	void *key;
	size_t *key_size;
};

static void choose(void *context, const void *key, size_t key_size, const struct zs_view *view)
{
	struct chosen *chosen = context;

	(void)view;
	memcpy(chosen->key, key, key_size);
	*chosen->key_size = key_size;
}

static uint64_t next_random(struct zs_thread *thread)
{
	uint64_t x = thread->random;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	thread->random = x;
	return x * 0x2545f4914f6cdd1dull;
}

/* Shows one object of the first bucket with any, going round the table from a random place. */
static bool choose_from_table(struct scan *scan, const struct zs_table *table)
{
	uint32_t start = table->count ? (uint32_t)(next_random(scan->thread) % table->count) : 0;

	for (uint32_t i = 0; i < table->count; i++) {
		struct zs_bucket *bucket = &table->buckets[(start + i) % table->count];
		uint32_t first = (uint32_t)(next_random(scan->thread) % ZS_BUCKET_ENTRIES);
		struct position position = { .count = 0 };

		if (zs_bucket_match(bucket, 0) == (1u << ZS_BUCKET_ENTRIES) - 1)
			continue;
		zs_bucket_lock(bucket);
		for (uint32_t e = 0; e < ZS_BUCKET_ENTRIES; e++) {
			uint32_t entry = (first + e) % ZS_BUCKET_ENTRIES;

			if (zs_bucket_tag(bucket, entry))
				note(&position, bucket, entry);
		}
		zs_bucket_unlock(bucket);
		for (uint32_t n = 0; n < position.count && !scan->seen; n++)
			show(scan, position.ids[n], position.slots[n], position.tags[n]);
		if (scan->seen)
			return true;
	}
	return false;
}

int zs_random_key(struct zs_thread *thread, void *key, size_t *key_size)
{
	struct chosen chosen = { key, key_size };
	struct scan scan = { .thread = thread, .each = choose, .context = &chosen };
	uint32_t count = thread->engine->part_count;
	uint64_t before = thread->random;
	uint32_t wanted = thread->warm_wanted;
	uint32_t start = (uint32_t)(next_random(thread) % count);

	for (uint32_t i = 0; i < count; i++) {
		const struct zs_index_view *view;

		scan.part = &thread->engine->parts[(start + i) % count];
		view = zs_load_acquire(&scan.part->view);
		if (!choose_from_table(&scan, &view->main) && !choose_from_table(&scan, &view->previous))
			continue;
		if (thread->warm_wanted == wanted)
			return ZS_OK;
		/* The same choice, when what it fell on is there. */
		thread->random = before;
		return ZS_EWARM;
	}
	return ZS_ENOTFOUND;
}
