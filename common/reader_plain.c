/*
 * How a read is made safe without the node knowing of it, in the order of the loads:
 *
 *   superblock's sequence     as of our copy of the tables' places
 *   bucket's sequence, entry
 *   slab's identity           then the bucket's sequence again: the entry led here while this generation was in force
 *   live bit, key, value, deadline
 *   identity and live bit     unchanged: what was copied is one object, and it had not ended
 *   superblock's sequence     unchanged: what we took for a bucket was one
 *   lease and clock
 *
 * A miss counts only if both buckets' sequences were even and did not change.
 */
#include "common/reader_plain.h"

#include <stdio.h>
#include <string.h>

#include "common/error.h"
#include "common/hash.h"
#include "common/lease.h"

/* Looks at a key before the node is asked. A writer holds a bucket for some hundred nanoseconds. */
#define TRIES 32

/* Objects of a batch whose cache lines are fetched together. */
#define BATCH 32

enum look {
	LOOK_MISS,
	LOOK_HIT,
	LOOK_AGAIN,
	LOOK_ASK,
};

struct table {
	const struct zs_bucket *buckets;
	uint32_t count;
};

/* ---- places ---- */

static void load_place(const struct zs_partition_place *from, struct zs_partition_place *to)
{
	to->frames_offset = zs_load(&from->frames_offset);
	to->frames = zs_load(&from->frames);
	to->main.offset = zs_load(&from->main.offset);
	to->main.buckets = zs_load(&from->main.buckets);
	to->previous.offset = zs_load(&from->previous.offset);
	to->previous.buckets = zs_load(&from->previous.buckets);
}

static void install(struct zs_plain *plain, uint32_t number, const struct zs_partition_place *place)
{
	const uint8_t *base = (const uint8_t *)plain->super;

	plain->parts[number] = (struct zs_plain_part){
		.frames = base + place->frames_offset,
		.frame_count = (uint32_t)place->frames,
		.main = (const struct zs_bucket *)(const void *)(base + place->main.offset),
		.main_count = (uint32_t)place->main.buckets,
	};
	if (place->previous.buckets) {
		plain->parts[number].previous = (const struct zs_bucket *)(const void *)(base + place->previous.offset);
		plain->parts[number].previous_count = (uint32_t)place->previous.buckets;
	}
}

/* Takes the tables' places as they are now. False if they are changing, or lie outside the mapping. */
static __attribute__((noinline)) bool refresh(struct zs_plain *plain)
{
	struct zs_partition_place places[ZS_PARTITIONS_MAX];
	uint32_t sequence = zs_load_acquire(&plain->super->sequence);

	if (sequence & 1)
		return false;
	for (uint32_t i = 0; i < plain->partitions; i++)
		load_place(&plain->super->partition[i], &places[i]);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (zs_load(&plain->super->sequence) != sequence)
		return false;
	for (uint32_t i = 0; i < plain->partitions; i++) {
		if (!zs_place_is_sound(&places[i], plain->size))
			return false;
	}
	for (uint32_t i = 0; i < plain->partitions; i++)
		install(plain, i, &places[i]);
	plain->sequence = sequence;
	return true;
}

int zs_plain_open(struct zs_plain *plain, const struct zs_plain_options *options, char *why, size_t why_size)
{
	struct zs_superblock super;
	bool ready = false;
	int error;

	if (options->size < ZS_FRAME_SIZE || (uintptr_t)options->base % ZS_FRAME_SIZE) {
		snprintf(why, why_size, "a mapping of %llu bytes at %p cannot be an arena: it has whole pages",
			 (unsigned long long)options->size, options->base);
		return ZS_EPROTO;
	}
	memcpy(&super, options->base, sizeof(super));
	error = zs_superblock_check(&super, options->size, why, why_size);
	if (error)
		return error;
	*plain = (struct zs_plain){
		.super = options->base,
		.lease = options->lease,
		.lease_tag = options->lease_tag,
		.node_ms_offset = options->node_ms_offset,
		.seed = super.seed,
		.size = options->size,
		.incarnation = super.incarnation,
		.partitions = super.partitions,
	};
	if (options->clock)
		zs_near_clock_init(&plain->clock, options->clock, NULL);
	else
		zs_near_clock_init_system(&plain->clock);
	for (unsigned i = 0; i < TRIES && !ready; i++) {
		ready = refresh(plain);
		if (!ready)
			zs_cpu_relax();
	}
	if (ready)
		return ZS_OK;
	if (zs_load(&plain->super->sequence) & 1) {
		snprintf(why, why_size, "the arena's index tables are being replaced; try again");
		return ZS_EAGAIN;
	}
	snprintf(why, why_size, "the arena says that its tables lie outside of its %llu bytes",
		 (unsigned long long)options->size);
	return ZS_EPROTO;
}

uint64_t zs_plain_incarnation(const struct zs_plain *plain)
{
	return plain->incarnation;
}

/* ---- one object ---- */

static inline void copy_value(const struct zs_slab *slab, enum zs_slab_kind kind, const struct zs_extent *extent,
			      struct zs_plain_read *read)
{
	const uint8_t *from = (const uint8_t *)slab + extent->value;
	uint32_t size;

	read->value.is_number = kind == ZS_KIND_COUNTER;
	if (read->value.is_number) {
		read->value.size = 0;
		read->value.number = (int64_t)zs_load((const uint64_t *)(const void *)from);
		return;
	}
	read->value.size = extent->value_size;
	read->value.number = 0;
	size = extent->value_size < read->buffer_size ? extent->value_size : (uint32_t)read->buffer_size;
	if (size)
		memcpy(read->buffer, from, size);
}

/*
 * Where a slot lies if its slab is laid out like the last one: most are, and then nothing has to wait for the header.
 * False: no idea.
 */
static inline bool guess_extent(const struct zs_plain *plain, const struct zs_slab *slab, uint32_t slot,
				struct zs_extent *extent)
{
	return zs_slab_extent(slab, plain->shape_identity, plain->shape_lifetime, slot, extent);
}

static inline void remember_shape(struct zs_plain *plain, uint64_t identity, uint64_t lifetime)
{
	if (zs_lifetime_kind(lifetime) == ZS_KIND_MIXED)
		return;
	plain->shape_identity = identity;
	plain->shape_lifetime = lifetime;
}

/*
 * Loads the first two lines of an object and the last one, all at once: prefetches of pages that are not in the TLB
 * were seen to be dropped.
 */
static inline void touch_object(const struct zs_slab *slab, const struct zs_extent *extent)
{
	uint32_t size = extent->key_size + extent->value_size;
	const uint8_t *first = (const uint8_t *)slab + (extent->key < extent->value ? extent->key : extent->value);
	const uint8_t *last = first + (size ? size - 1 : 0);

	zs_touch_line(first);
	zs_touch_line(first + 64 < last ? first + 64 : last);
	zs_touch_line(last);
}

/* Follows entry i of a bucket whose sequence was `sequence`. */
ZS_ALWAYS_INLINE enum look follow(struct zs_plain *plain, const struct zs_plain_part *part,
				  const struct zs_bucket *bucket, uint16_t sequence, uint32_t i,
				  struct zs_plain_read *read)
{
	uint32_t id = zs_bucket_slab(bucket, i);
	uint32_t slot = zs_bucket_slot(bucket, i);
	enum zs_slab_kind kind = zs_lifetime_kind(plain->shape_lifetime);
	struct zs_extent extent;
	const struct zs_slab *slab;
	uint64_t identity;
	uint64_t lifetime;
	bool fits;

	if (id >= part->frame_count)
		return LOOK_MISS;
	slab = (const struct zs_slab *)(const void *)(part->frames + (size_t)id * ZS_FRAME_SIZE);
	fits = guess_extent(plain, slab, slot, &extent);
	if (fits)
		touch_object(slab, &extent);
	identity = zs_load_acquire(&slab->identity);
	if (zs_load(&bucket->sequence) != sequence)
		return LOOK_AGAIN;
	lifetime = zs_load(&slab->lifetime);
	if (!zs_same_shape(identity, plain->shape_identity, lifetime, plain->shape_lifetime)) {
		kind = zs_lifetime_kind(lifetime);
		fits = zs_slab_extent(slab, identity, lifetime, slot, &extent);
		remember_shape(plain, identity, lifetime);
	}
	if (!fits || !zs_slab_has_key(slab, slot, &extent, read->key, read->key_size))
		return LOOK_MISS;
	copy_value(slab, kind, &extent, read);
	read->value.deadline = zs_slab_deadline(slab, identity, lifetime, slot);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (zs_load(&slab->identity) != identity || !zs_slab_is_live(slab, slot))
		return LOOK_AGAIN;
	return LOOK_HIT;
}

/* ---- one table ---- */

/*
 * The entry of the lowest bit, 0..12 in a, 13..25 in b. Without a branch on which of the two it is: that would be
 * mispredicted half the time.
 */
static inline const struct zs_bucket *first_match(const struct zs_bucket *a, const struct zs_bucket *b, uint32_t mask,
						  uint32_t *entry)
{
	uint32_t i = (uint32_t)__builtin_ctz(mask);
	uintptr_t second = -(uintptr_t)(i >= ZS_BUCKET_ENTRIES);

	*entry = i - (ZS_BUCKET_ENTRIES & (uint32_t)second);
	return (const struct zs_bucket *)(((uintptr_t)a & ~second) | ((uintptr_t)b & second));
}

static inline uint32_t match_both(const struct zs_bucket *a, const struct zs_bucket *b, uint8_t tag)
{
	return zs_bucket_match(a, tag) | zs_bucket_match(b, tag) << ZS_BUCKET_ENTRIES;
}

static inline void buckets_of(struct table table, uint64_t hash, const struct zs_bucket **a, const struct zs_bucket **b)
{
	uint32_t first = zs_hash_bucket(hash, table.count);

	*a = &table.buckets[first];
	*b = &table.buckets[zs_hash_other_bucket(first, zs_hash_tag(hash), table.count)];
}

static inline bool is_stable(const struct zs_bucket *bucket, uint16_t sequence)
{
	return !(sequence & 1) && zs_load(&bucket->sequence) == sequence;
}

/* Whether the key may be on flash: then only the node can tell. */
static __attribute__((noinline)) bool may_be_on_flash(const struct zs_plain_part *part, const struct zs_bucket *a,
						      const struct zs_bucket *b, uint64_t hash)
{
	for (uint32_t mask = match_both(a, b, zs_hash_tag(hash)); mask; mask &= mask - 1) {
		uint32_t i;
		const struct zs_bucket *bucket = first_match(a, b, mask, &i);

		if (zs_bucket_slab(bucket, i) >= part->frame_count &&
		    zs_bucket_slot(bucket, i) == zs_hash_slot_byte(hash))
			return true;
	}
	return false;
}

/* LOOK_MISS: not in this table, and the buckets' flags are in *flags. */
ZS_ALWAYS_INLINE enum look look_in_table(struct zs_plain *plain, const struct zs_plain_part *part, struct table table,
					 uint64_t hash, struct zs_plain_read *read, uint32_t *flags)
{
	const struct zs_bucket *a;
	const struct zs_bucket *b;
	uint16_t sequence_a;
	uint16_t sequence_b;
	bool ask;

	buckets_of(table, hash, &a, &b);
	sequence_a = zs_load_acquire(&a->sequence);
	sequence_b = zs_load_acquire(&b->sequence);
	for (uint32_t mask = match_both(a, b, zs_hash_tag(hash)); mask; mask &= mask - 1) {
		uint32_t i;
		const struct zs_bucket *bucket = first_match(a, b, mask, &i);
		enum look look = follow(plain, part, bucket, bucket == a ? sequence_a : sequence_b, i, read);

		if (look != LOOK_MISS)
			return look;
	}
	*flags = zs_bucket_flags(a) | (zs_bucket_flags(b) & ZS_BUCKET_MOVED);
	ask = *flags & ZS_BUCKET_OVERFLOW || may_be_on_flash(part, a, b, hash);
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	if (!is_stable(a, sequence_a) || !is_stable(b, sequence_b))
		return LOOK_AGAIN;
	return ask ? LOOK_ASK : LOOK_MISS;
}

/* While the index is resized: entries move from the previous table to the main one, never back. */
static __attribute__((noinline)) enum look look_in_both(struct zs_plain *plain, const struct zs_plain_part *part,
							uint64_t hash, struct zs_plain_read *read)
{
	struct table previous = { part->previous, part->previous_count };
	struct table main = { part->main, part->main_count };
	uint32_t flags = 0;
	enum look look = look_in_table(plain, part, previous, hash, read, &flags);
	bool overflow = look == LOOK_ASK;

	if (look == LOOK_HIT || look == LOOK_AGAIN || !(flags & ZS_BUCKET_MOVED))
		return look;
	look = look_in_table(plain, part, main, hash, read, &flags);
	if (look == LOOK_MISS && flags & ZS_BUCKET_MOVED)
		return LOOK_AGAIN;
	return look == LOOK_MISS && overflow ? LOOK_ASK : look;
}

static inline enum look look_once(struct zs_plain *plain, uint64_t hash, struct zs_plain_read *read)
{
	const struct zs_plain_part *part = &plain->parts[zs_hash_partition(hash, plain->partitions)];
	uint32_t flags = 0;
	enum look look;

	if (zs_load_acquire(&plain->super->sequence) != plain->sequence && !refresh(plain))
		return LOOK_AGAIN;
	if (__builtin_expect(part->previous_count, 0)) {
		look = look_in_both(plain, part, hash, read);
	} else {
		struct table main = { part->main, part->main_count };

		look = look_in_table(plain, part, main, hash, read, &flags);
		if (look == LOOK_MISS && flags & ZS_BUCKET_MOVED)
			look = LOOK_AGAIN;
	}
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return zs_load(&plain->super->sequence) == plain->sequence ? look : LOOK_AGAIN;
}

static inline void look(struct zs_plain *plain, uint64_t hash, struct zs_plain_read *read)
{
	static const enum zs_answer answers[] = { ZS_ANSWER_MISS, ZS_ANSWER_HIT, ZS_ANSWER_ASK, ZS_ANSWER_ASK };
	enum look seen = look_once(plain, hash, read);

	for (unsigned i = 1; __builtin_expect(seen == LOOK_AGAIN, 0) && i < TRIES; i++) {
		zs_cpu_relax();
		seen = look_once(plain, hash, read);
	}
	read->answer = answers[seen];
}

/* ---- lease and deadline ---- */

/*
 * A time that it is not past yet, if what has been copied until now may be believed; else 0. The lease is loaded after
 * the copies, and the clock read after that. The exact time is only needed when the lease is nearly over.
 */
static inline uint64_t believed_until(struct zs_plain *plain)
{
	uint64_t word;
	uint64_t latest;

	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	word = zs_load_acquire(plain->lease);
	latest = zs_near_clock_latest(&plain->clock);
	if (__builtin_expect(zs_lease_holds(word, plain->lease_tag, latest), 1))
		return latest;
	latest = zs_near_clock_read(&plain->clock);
	return zs_lease_holds(word, plain->lease_tag, latest) ? latest : 0;
}

static inline bool is_over(const struct zs_plain *plain, uint64_t deadline_ms, uint64_t now_ns)
{
	return deadline_ms <= now_ns / 1000000 + (uint64_t)plain->node_ms_offset;
}

/* Only when a deadline is near the exact time is needed. */
static inline void judge(struct zs_plain *plain, uint64_t latest, struct zs_plain_read *read)
{
	uint64_t deadline = read->value.deadline;

	if (!latest)
		read->answer = ZS_ANSWER_ASK;
	else if (read->answer == ZS_ANSWER_HIT && deadline && is_over(plain, deadline, latest) &&
		 is_over(plain, deadline, zs_near_clock_read(&plain->clock)))
		read->answer = ZS_ANSWER_MISS;
}

static inline uint64_t hash_of(const struct zs_plain *plain, const struct zs_plain_read *read)
{
	return zs_hash_is_short(read->key_size) ? zs_hash_short(read->key, read->key_size, plain->seed)
						: zs_hash(read->key, read->key_size, plain->seed);
}

enum zs_answer zs_plain_get(struct zs_plain *plain, struct zs_plain_read *read)
{
	look(plain, hash_of(plain, read), read);
	judge(plain, believed_until(plain), read);
	return read->answer;
}

/* ---- batches ---- */

static inline void prefetch_buckets(const struct zs_plain *plain, uint64_t hash)
{
	const struct zs_plain_part *part = &plain->parts[zs_hash_partition(hash, plain->partitions)];
	const struct zs_bucket *a;
	const struct zs_bucket *b;

	buckets_of((struct table){ part->main, part->main_count }, hash, &a, &b);
	__builtin_prefetch(a);
	__builtin_prefetch(b);
	if (part->previous_count) {
		buckets_of((struct table){ part->previous, part->previous_count }, hash, &a, &b);
		__builtin_prefetch(a);
		__builtin_prefetch(b);
	}
}

/* The first entry with the key's tag, and where the object is likely to be. */
struct guess {
	const struct zs_plain_part *part;
	const struct zs_bucket *bucket; /* NULL: none */
	uint32_t entry;
	uint16_t sequence;	    /* of the bucket */
	const struct zs_slab *slab; /* NULL: no idea */
	struct zs_extent extent;
	bool has_extent;
};

/* Starts to fetch the header and the slot to which the first entry with the key's tag leads. */
static inline struct guess prefetch_object(const struct zs_plain *plain, uint64_t hash)
{
	const struct zs_plain_part *part = &plain->parts[zs_hash_partition(hash, plain->partitions)];
	const struct zs_bucket *a;
	const struct zs_bucket *b;
	struct guess guess = { .part = part };
	uint32_t mask;
	uint32_t id;

	buckets_of((struct table){ part->main, part->main_count }, hash, &a, &b);
	mask = match_both(a, b, zs_hash_tag(hash));
	if (!mask || part->previous_count)
		return guess;
	guess.bucket = first_match(a, b, mask, &guess.entry);
	guess.sequence = zs_load_acquire(&guess.bucket->sequence);
	id = zs_bucket_slab(guess.bucket, guess.entry);
	if (id >= part->frame_count)
		return guess;
	guess.slab = (const struct zs_slab *)(const void *)(part->frames + (size_t)id * ZS_FRAME_SIZE);
	guess.has_extent = guess_extent(plain, guess.slab, zs_bucket_slot(guess.bucket, guess.entry), &guess.extent);
	__builtin_prefetch(guess.slab);
	return guess;
}

/* Loads the lines of all guesses, many at once. */
static inline void touch_objects(const struct guess *guesses, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!guesses[i].slab)
			continue;
		zs_touch_line(guesses[i].slab);
		if (guesses[i].has_extent)
			touch_object(guesses[i].slab, &guesses[i].extent);
	}
}

/* Reads by the guess, made as of this superblock's sequence. False: look for the key from the beginning. */
static inline bool follow_guess(struct zs_plain *plain, uint32_t sequence, const struct guess *guess,
				struct zs_plain_read *read)
{
	if (!guess->bucket ||
	    follow(plain, guess->part, guess->bucket, guess->sequence, guess->entry, read) != LOOK_HIT)
		return false;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	read->answer = ZS_ANSWER_HIT;
	return zs_load(&plain->super->sequence) == sequence;
}

void zs_plain_get_batch(struct zs_plain *plain, struct zs_plain_read *reads, size_t count)
{
	struct guess guesses[BATCH];
	uint64_t hashes[BATCH];
	uint64_t latest;

	for (size_t first = 0; first < count; first += BATCH) {
		size_t n = count - first < BATCH ? count - first : BATCH;
		uint32_t sequence = plain->sequence; /* looking for one key may change it */

		for (size_t i = 0; i < n; i++) {
			hashes[i] = hash_of(plain, &reads[first + i]);
			prefetch_buckets(plain, hashes[i]);
		}
		for (size_t i = 0; i < n; i++)
			guesses[i] = prefetch_object(plain, hashes[i]);
		touch_objects(guesses, n);
		for (size_t i = 0; i < n; i++) {
			if (!follow_guess(plain, sequence, &guesses[i], &reads[first + i]))
				look(plain, hashes[i], &reads[first + i]);
		}
	}
	latest = believed_until(plain);
	for (size_t i = 0; i < count; i++)
		judge(plain, latest, &reads[i]);
}
