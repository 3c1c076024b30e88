/*
 * What readers outside the node share: what they answer, where things are in an arena they must not trust, and how an
 * object is recognised in the bytes of a slab.
 *
 * Two drivers use it. reader_plain.h: plain loads, for a process that maps the arena read-only. reader_steps.h: a
 * machine without I/O that says which bytes it wants, for RDMA READ and for tests.
 *
 * Such a reader shows the node no epoch, so a slot may be used again while it looks. What it may believe:
 *   1. A slot is filled once in each generation of its slab, before its live bit is set and before any index entry
 * leads to it; and between the end of one object and the filling of the next lie a new generation and the quarantine.
 *   2. Among the live slots of the partition no two have the same key, but for the moment in which a writer, holding
 * the key's buckets, replaces one by the other. A slot that is live, reached through an entry that is in force, and has
 * the key, is the key's present object.
 *   3. Bytes are of use only while the reader's lease is current: a node that lost it may have been replaced.
 */
#ifndef ZS_COMMON_READER_H
#define ZS_COMMON_READER_H

#include "common/key.h"
#include "common/layout.h"

enum zs_answer {
	ZS_ANSWER_HIT,
	ZS_ANSWER_MISS, /* there surely is no such key */
	ZS_ANSWER_ASK,	/* cannot be told from here: send the node an operation */
};

/* An object that was found. */
struct zs_read_value {
	bool is_number;	   /* an integer that is incremented in place; its decimal is what GET shows */
	uint32_t size;	   /* of a value of bytes */
	int64_t number;	   /* of an integer */
	uint64_t deadline; /* milliseconds since 1970 on the node's clock; 0 for none */
};

/*
 * Whether a copy of a superblock (ZS_FRAME_SIZE bytes) is of an arena of `size` bytes that this code can read.
 * ZS_OK, or ZS_EPROTO and in `why` a sentence that says what is wrong. Does not look at the partitions' places.
 */
int zs_superblock_check(const struct zs_superblock *super, uint64_t size, char *why, size_t why_size);

/* Whether everything that a partition's place leads to lies in an arena of `size` bytes. */
bool zs_place_is_sound(const struct zs_partition_place *place, uint64_t size);

/* Whether two slabs with these identity words and lifetime words are laid out alike. */
static inline bool zs_same_shape(uint64_t identity, uint64_t other_identity, uint64_t lifetime, uint64_t other_lifetime)
{
	return identity >> 32 == other_identity >> 32 &&
	       zs_lifetime_kind(lifetime) == zs_lifetime_kind(other_lifetime) &&
	       !zs_lifetime_unit(lifetime) == !zs_lifetime_unit(other_lifetime);
}

/* Whether slot `slot`, which lies there, is live and holds this key. */
ZS_ALWAYS_INLINE bool zs_slab_has_key(const struct zs_slab *slab, uint32_t slot, const struct zs_extent *extent,
				      const void *key, size_t key_size)
{
	return zs_slab_is_live(slab, slot) && extent->key_size == key_size &&
	       zs_key_equal((const uint8_t *)slab + extent->key, key, key_size);
}

/*
 * Whether slot `slot` is live and holds this key, going by these two words of the header; says where it lies. Never
 * looks outside the frame, whatever the bytes are.
 */
ZS_ALWAYS_INLINE bool zs_slab_holds(const struct zs_slab *slab, uint64_t identity, uint64_t lifetime, uint32_t slot,
				    const void *key, size_t key_size, struct zs_extent *extent)
{
	return zs_slab_extent(slab, identity, lifetime, slot, extent) &&
	       zs_slab_has_key(slab, slot, extent, key, key_size);
}

#endif
