/*
 * The bytes of the arena: superblock, index buckets and slabs, and what they mean.
 *
 * Three kinds of readers go by this file: the node itself, a process of the same host that maps the arena
 * read-only, and a process elsewhere that reads it by RDMA. So nothing here is private to the engine except
 * where it says so, and nothing may change without a new ZS_LAYOUT_VERSION. All integers are little-endian.
 *
 *   arena   = superblock (one frame) | frames of partition 0 | frames of partition 1 | ...
 *   frame   = 4096 bytes: a slab, or 64 buckets of an index table (tables lie on consecutive frames)
 *   bucket  = 64 bytes: sequence, 13 entries {tag 8, slot 8, slab 22}, 2 flags
 *   slab    = header of columns | free room | slots, the first slot at the end of the frame
 */
#ifndef ZS_COMMON_LAYOUT_H
#define ZS_COMMON_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "common/atomic.h"

#define ZS_LAYOUT_MAGIC 0x42414c532d534e5aull /* "ZNS-SLAB" */
#define ZS_LAYOUT_VERSION 1u

/* For the few functions that every read goes through. */
#define ZS_ALWAYS_INLINE static inline __attribute__((always_inline))

#define ZS_FRAME_SIZE 4096u
#define ZS_SLAB_ID_BITS 22
#define ZS_SLAB_NONE ((1u << ZS_SLAB_ID_BITS) - 1) /* no slab has this id */
#define ZS_PARTITIONS_MAX 64u
#define ZS_SESSIONS_MAX 96u

/* ---- superblock ---- */

/* One index table: `buckets` buckets from byte `offset` of the arena on. buckets is 0 where there is no
 * table. */
struct zs_table_place {
	uint64_t offset;
	uint64_t buckets;
};

struct zs_partition_place {
	uint64_t frames_offset; /* of frame 0 of the partition */
	uint64_t frames;
	struct zs_table_place main;
	struct zs_table_place previous; /* while the index grows: entries not yet moved */
};

struct zs_superblock {
	uint64_t magic;
	uint32_t version;
	uint32_t partitions;
	uint64_t incarnation; /* random, new at every start */
	uint64_t epoch;	      /* of the cluster's configuration, 0 without one */
	uint64_t seed;	      /* of zs_hash */
	uint64_t arena_size;
	uint32_t quarantine_ms;
	uint32_t sequence;		 /* odd while the table below changes */
	uint64_t lease[ZS_SESSIONS_MAX]; /* of the sessions over shared memory; see lease.h */
	struct zs_partition_place partition[ZS_PARTITIONS_MAX];
};

_Static_assert(sizeof(struct zs_superblock) <= ZS_FRAME_SIZE, "the superblock is one frame");

/* ---- buckets ---- */

#define ZS_BUCKET_ENTRIES 13
#define ZS_BUCKETS_PER_FRAME (ZS_FRAME_SIZE / 64)

/*
 * bytes 0..1   sequence; odd while a writer holds the bucket
 * bytes 2..14  tags, 0 for an empty entry
 * bytes 15..27 slots
 * bytes 28..63 slab ids of 22 bits, back to back, and in the two highest bits the flags
 *
 * An id at or above the partition's number of frames leads to a block on flash, which only the node can read; the slot
 * is eight more bits of the key's hash then (zs_hash_slot_byte).
 */
struct zs_bucket {
	_Alignas(64) uint16_t sequence;
	uint8_t tags[ZS_BUCKET_ENTRIES];
	uint8_t slots[ZS_BUCKET_ENTRIES];
	uint32_t ids[9];
};

_Static_assert(sizeof(struct zs_bucket) == 64, "a bucket is one cache line");
_Static_assert(offsetof(struct zs_bucket, ids) == 28, "slab ids start on a 32-bit boundary");

#define ZS_BUCKET_MOVED (1u << 30)    /* all its entries are in the next table */
#define ZS_BUCKET_OVERFLOW (1u << 31) /* some key of this first bucket is in the node's overflow list */

static inline uint32_t zs_bucket_flags(const struct zs_bucket *b)
{
	return zs_load_acquire(&b->ids[8]) & (ZS_BUCKET_MOVED | ZS_BUCKET_OVERFLOW);
}

/*
 * Which of the bucket's first 16 bytes are equal to the tag: bit 2 + i for entry i; the rest means nothing. The bytes
 * may be of different moments: for what a sequence guards.
 */
static inline uint32_t zs_bucket_match_line(const struct zs_bucket *b, uint8_t tag)
{
#if defined(__SSE2__) && !defined(ZS_THREAD_SANITIZER)
	__m128i line = _mm_loadu_si128((const __m128i *)(const void *)b);
	__m128i wanted = _mm_set1_epi8((char)tag);

	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(line, wanted));
#else
	const uint64_t *words = (const uint64_t *)(const void *)b;
	uint64_t w0 = zs_load(&words[0]);
	uint64_t w1 = zs_load(&words[1]);
	uint32_t mask = 0;

	for (unsigned i = 0; i < 16; i++)
		mask |= (uint32_t)((uint8_t)((i < 8 ? w0 : w1) >> (i % 8 * 8)) == tag) << i;
	return mask;
#endif
}

/* Bit i of the result: entry i has this tag. Tag 0 finds the empty entries. */
static inline uint32_t zs_bucket_match(const struct zs_bucket *b, uint8_t tag)
{
	return zs_bucket_match_line(b, tag) >> 2 & ((1u << ZS_BUCKET_ENTRIES) - 1);
}

/* Matches of two buckets at once: bit 2 + i for entry i of the first, bit 18 + i for entry i of the second. */
static inline uint32_t zs_bucket_match_pair(const struct zs_bucket *a, const struct zs_bucket *b, uint8_t tag)
{
	return (zs_bucket_match_line(a, tag) | zs_bucket_match_line(b, tag) << 16) & 0x7ffc7ffcu;
}

static inline uint8_t zs_bucket_tag(const struct zs_bucket *b, unsigned i)
{
	return zs_load(&b->tags[i]);
}

static inline uint8_t zs_bucket_slot(const struct zs_bucket *b, unsigned i)
{
	return zs_load(&b->slots[i]);
}

static inline uint32_t zs_bucket_slab(const struct zs_bucket *b, unsigned i)
{
	/* Two words at once: which, and where in them. The last id lies in the last word alone, then the upper one. */
	static const uint8_t word[ZS_BUCKET_ENTRIES] = { 0, 0, 1, 2, 2, 3, 4, 4, 5, 6, 6, 7, 7 };
	static const uint8_t shift[ZS_BUCKET_ENTRIES] = { 0, 22, 12, 2, 24, 14, 4, 26, 16, 6, 28, 18, 40 };

	return (uint32_t)(zs_load_pair(&b->ids[word[i]]) >> shift[i]) & ZS_SLAB_NONE;
}

/* ---- slabs ---- */

enum zs_slab_kind {
	ZS_KIND_UNIFORM, /* all keys have one length and all values have one length */
	ZS_KIND_MIXED,	 /* each object has its own lengths; objects lie back to back */
	ZS_KIND_COUNTER, /* like uniform, the value an 8-byte integer in front of the key */
};

/*
 * The header: three words, then columns. Which columns there are, and where, follows from the first two
 * words.
 *
 * identity  generation 32 | key length 12 | value length 12 | slots 8
 *           Lengths are 0 in mixed slabs. A remembered location carries this word and must find it unchanged.
 * lifetime  base deadline 42, in units | unit 7 | kind 2 | flags 13 (private to the node)
 *           Unit 0: no object of the slab has a deadline.
 * links     previous 22 | next 22 | group 16 | state 4 (all private to the node)
 *
 * columns   live bits   32-bit words, bit i: slot i holds an object
 *           recency     2 bits for each slot (private to the node)
 *           uniform and counter slabs with a unit: a byte for each slot, deadline = (base + byte) units
 *           mixed slabs: a record for each slot, 3 bytes {start 12, key length 12}, and with a unit a fourth,
 * as above
 */
struct zs_slab {
	uint64_t identity;
	uint64_t lifetime;
	uint64_t links;
	uint32_t live[1];
};

#define ZS_SLAB_FIXED 24u
#define ZS_SLOTS_MAX 255u
#define ZS_BASE_BITS 42
#define ZS_UNIT_MAX 101u /* the coarsest unit, 3 * 2^49 ms */

static inline uint32_t zs_identity_generation(uint64_t identity)
{
	return (uint32_t)identity;
}

static inline uint32_t zs_identity_key_size(uint64_t identity)
{
	return (uint32_t)(identity >> 32) & 0xfff;
}

static inline uint32_t zs_identity_value_size(uint64_t identity)
{
	return (uint32_t)(identity >> 44) & 0xfff;
}

static inline uint32_t zs_identity_slots(uint64_t identity)
{
	return (uint32_t)(identity >> 56);
}

static inline uint64_t zs_identity(uint32_t generation, uint32_t key_size, uint32_t value_size, uint32_t slots)
{
	return generation | (uint64_t)key_size << 32 | (uint64_t)value_size << 44 | (uint64_t)slots << 56;
}

static inline uint64_t zs_lifetime_base(uint64_t lifetime)
{
	return lifetime & ((1ull << ZS_BASE_BITS) - 1);
}

static inline uint32_t zs_lifetime_unit(uint64_t lifetime)
{
	return (uint32_t)(lifetime >> ZS_BASE_BITS) & 0x7f;
}

static inline enum zs_slab_kind zs_lifetime_kind(uint64_t lifetime)
{
	return (enum zs_slab_kind)((lifetime >> (ZS_BASE_BITS + 7)) & 3);
}

static inline uint64_t zs_lifetime(uint64_t base, uint32_t unit, enum zs_slab_kind kind)
{
	return base | (uint64_t)unit << ZS_BASE_BITS | (uint64_t)kind << (ZS_BASE_BITS + 7);
}

/* Milliseconds of a unit: 1, 2, 3, 4, 6, 8, 12, ... for 1, 2, 3, ... */
static inline uint64_t zs_unit_ms(uint32_t unit)
{
	return ((2ull + (unit & 1)) << (unit / 2)) >> 1;
}

static inline uint32_t zs_live_words(uint32_t slots)
{
	return (slots + 31) / 32;
}

static inline uint32_t zs_recency_offset(uint32_t slots)
{
	return ZS_SLAB_FIXED + 4 * zs_live_words(slots);
}

/* Where the third column begins. */
static inline uint32_t zs_column_offset(uint32_t slots)
{
	return zs_recency_offset(slots) + (slots + 3) / 4;
}

static inline uint32_t zs_record_size(uint32_t unit)
{
	return unit ? 4 : 3;
}

/* Bytes of the header of a full slab. */
static inline uint32_t zs_header_size(enum zs_slab_kind kind, uint32_t slots, uint32_t unit)
{
	uint32_t column = kind == ZS_KIND_MIXED ? zs_record_size(unit) : (unit ? 1 : 0);

	return zs_column_offset(slots) + slots * column;
}

/* Bytes of one slot of a uniform or counter slab. */
static inline uint32_t zs_stride(enum zs_slab_kind kind, uint32_t key_size, uint32_t value_size)
{
	return kind == ZS_KIND_COUNTER ? 8 + ((key_size + 7) & ~7u) : key_size + value_size;
}

static inline bool zs_slab_is_live(const struct zs_slab *slab, uint32_t slot)
{
	return zs_load_acquire(&slab->live[slot / 32]) >> (slot % 32) & 1;
}

/* Where an object lies in its slab. */
struct zs_extent {
	uint32_t key;	/* offset of the key's first byte */
	uint32_t value; /* offset of the value's, or of the integer */
	uint32_t key_size;
	uint32_t value_size;
};

static inline uint32_t zs_record(const uint8_t *records, uint32_t record_size, uint32_t slot)
{
	const uint8_t *r = records + (size_t)slot * record_size;

	return r[0] | (uint32_t)r[1] << 8 | (uint32_t)r[2] << 16;
}

static inline bool zs_extent_mixed(const uint8_t *frame, uint32_t slots, uint32_t unit, uint32_t slot,
				   struct zs_extent *extent)
{
	const uint8_t *records = frame + zs_column_offset(slots);
	uint32_t size = zs_record_size(unit);
	uint32_t record = zs_record(records, size, slot);
	uint32_t start = record & 0xfff;
	uint32_t end = slot ? zs_record(records, size, slot - 1) & 0xfff : ZS_FRAME_SIZE;

	extent->key = start;
	extent->key_size = record >> 12;
	if (start < ZS_SLAB_FIXED || end < start || extent->key_size > end - start)
		return false;
	extent->value = start + extent->key_size;
	extent->value_size = end - extent->value;
	return true;
}

/*
 * Finds slot `slot`. False if the header makes no sense for it, which a reader may see when it follows an
 * entry that changes under it; then there is no object. Never gives bytes outside the frame.
 */
ZS_ALWAYS_INLINE bool zs_slab_extent(const struct zs_slab *slab, uint64_t identity, uint64_t lifetime, uint32_t slot,
				     struct zs_extent *extent)
{
	enum zs_slab_kind kind = zs_lifetime_kind(lifetime);
	uint32_t slots = zs_identity_slots(identity);
	uint32_t end;

	if (slot >= slots)
		return false;
	if (__builtin_expect(kind == ZS_KIND_MIXED, 0))
		return zs_extent_mixed((const uint8_t *)slab, slots, zs_lifetime_unit(lifetime), slot, extent);
	extent->key_size = zs_identity_key_size(identity);
	extent->value_size = zs_identity_value_size(identity);
	end = (slot + 1) * zs_stride(kind, extent->key_size, extent->value_size);
	if (end > ZS_FRAME_SIZE - ZS_SLAB_FIXED)
		return false;
	if (__builtin_expect(kind == ZS_KIND_COUNTER, 0)) {
		extent->value = ZS_FRAME_SIZE - end;
		extent->key = extent->value + 8;
	} else {
		extent->key = ZS_FRAME_SIZE - end;
		extent->value = extent->key + extent->key_size;
	}
	return true;
}

/* The byte that holds a slot's deadline offset; only for slabs with a unit. */
static inline uint32_t zs_deadline_offset(enum zs_slab_kind kind, uint32_t slots, uint32_t slot)
{
	uint32_t column = zs_column_offset(slots);

	return kind == ZS_KIND_MIXED ? column + slot * 4 + 3 : column + slot;
}

/* The deadline of a slot in milliseconds since 1970; 0 for none. */
static inline uint64_t zs_slab_deadline(const struct zs_slab *slab, uint64_t identity, uint64_t lifetime, uint32_t slot)
{
	uint32_t unit = zs_lifetime_unit(lifetime);
	uint32_t at;

	if (!unit)
		return 0;
	at = zs_deadline_offset(zs_lifetime_kind(lifetime), zs_identity_slots(identity), slot);
	return (zs_lifetime_base(lifetime) + zs_load((const uint8_t *)slab + at)) * zs_unit_ms(unit);
}

#endif
