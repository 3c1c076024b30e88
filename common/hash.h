/*
 * The hash of a key and how its 64 bits are used. Part of the published layout: every reader computes the
 * same.
 *
 *   63..56  partition
 *   55..24  position of the first bucket, a fraction of the table
 *   23..8   fingerprint for the ghost of evicted keys; its low byte also the slot byte of entries that lead to flash
 *    7..0   tag
 */
#ifndef ZS_COMMON_HASH_H
#define ZS_COMMON_HASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* XXH3 (Collet, https://xxhash.com), seeded: the seed stands in the superblock and differs at every start. */
static inline uint64_t zs_hash(const void *key, size_t size, uint64_t seed)
{
	return XXH3_64bits_withSeed(key, size, seed);
}

/* Keys of 9 to 16 bytes, whose hash is so short that calling a function for it costs as much again. */
static inline bool zs_hash_is_short(size_t size)
{
	return size - 9 <= 16 - 9;
}

/* zs_hash of such a key. */
static inline uint64_t zs_hash_short(const void *key, size_t size, uint64_t seed)
{
	return XXH3_len_9to16_64b(key, size, XXH3_kSecret, seed);
}

/* Which of `partitions` (at most 256) holds the key. */
static inline uint32_t zs_hash_partition(uint64_t hash, uint32_t partitions)
{
	return (uint32_t)((hash >> 56) * partitions >> 8);
}

/* The tag, 1..255; 0 marks an empty entry. */
static inline uint8_t zs_hash_tag(uint64_t hash)
{
	uint8_t low = (uint8_t)hash;

	return (uint8_t)(low + !low);
}

static inline uint16_t zs_hash_fingerprint(uint64_t hash)
{
	return (uint16_t)(hash >> 8);
}

/* The slot byte of an entry that leads to a block on flash: there it is eight more bits of tag. */
static inline uint8_t zs_hash_slot_byte(uint64_t hash)
{
	return (uint8_t)(hash >> 8);
}

/* The first of a key's two buckets in a table of n. */
static inline uint32_t zs_hash_bucket(uint64_t hash, uint32_t n)
{
	return (uint32_t)(((hash >> 24) & 0xffffffffu) * n >> 32);
}

/*
 * A fraction of 2^32 for each tag. The square matters: with a linear sequence the differences between tags
 * repeat, an entry reaches only a line of neighbours when it is displaced, and tables fill less well.
 */
static inline uint32_t zs_tag_fraction(uint8_t tag)
{
	return (uint32_t)tag * tag * 2654435769u;
}

/*
 * The other bucket of an entry. Needs no key and is its own inverse: other(other(b)) == b.
 * Positions are fractions of the table, so a pair keeps its place (to within two buckets) in a table of
 * another size.
 */
static inline uint32_t zs_hash_other_bucket(uint32_t bucket, uint8_t tag, uint32_t n)
{
	uint32_t sum = (uint32_t)((uint64_t)zs_tag_fraction(tag) * n >> 32);

	return sum >= bucket ? sum - bucket : sum + n - bucket;
}

#endif
