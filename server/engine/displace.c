/*
 * Making room in a full bucket: a breadth-first search for the shortest chain of entries that can each move to their
 * other bucket, ending in a bucket with a free place (Li et al., "Algorithmic improvements for fast concurrent
 * cuckoo hashing", EuroSys '14). The search locks nothing; the chain is then moved from its free end, each step
 * under the locks of its two buckets and only if what it relies on still holds.
 */
#include "server/engine/index.h"

#define SEARCH_MAX 1024

struct node {
	uint32_t bucket;
	uint16_t parent; /* index of the node this one was reached from */
	uint8_t entry;	 /* the entry of the parent's bucket that leads here */
	uint8_t tag;
};

/* Moves one entry to its other bucket; false if somebody changed either meanwhile. */
static bool move_entry(struct zs_thread *thread, const struct zs_table *table, const struct node *from,
		       const struct node *to)
{
	struct zs_bucket *source = &table->buckets[from->bucket];
	struct zs_bucket *target = &table->buckets[to->bucket];
	struct zs_bucket *low = source < target ? source : target;
	struct zs_bucket *high = source < target ? target : source;
	uint32_t free_mask;
	bool done = false;

	if (source == target)
		return false;
	zs_bucket_lock(low);
	zs_bucket_lock(high);
	free_mask = zs_bucket_match(target, 0);
	if (free_mask && zs_bucket_tag(source, to->entry) == to->tag &&
	    !((zs_bucket_flags(source) | zs_bucket_flags(target)) & ZS_BUCKET_MOVED)) {
		zs_bucket_set(target, (uint32_t)__builtin_ctz(free_mask), to->tag, zs_bucket_slab(source, to->entry),
			      zs_bucket_slot(source, to->entry));
		zs_bucket_set(source, to->entry, 0, 0, 0);
		zs_count(thread, displaced, 1);
		done = true;
	}
	zs_bucket_unlock(high);
	zs_bucket_unlock(low);
	return done;
}

/* Moves the chain of entries that ends in node `i`, from its end. */
static bool move_chain(struct zs_thread *thread, const struct zs_table *table, const struct node *nodes, uint32_t i)
{
	while (nodes[i].parent != UINT16_MAX) {
		uint32_t parent = nodes[i].parent;

		if (!move_entry(thread, table, &nodes[parent], &nodes[i]))
			return false;
		i = parent;
	}
	return true;
}

static bool has_room(const struct zs_table *table, const struct node *node)
{
	const struct zs_bucket *bucket = &table->buckets[node->bucket];

	return zs_bucket_match(bucket, 0) && !(zs_bucket_flags(bucket) & ZS_BUCKET_MOVED);
}

bool zs_index_make_room(struct zs_thread *thread, const struct zs_table *table, uint64_t hash)
{
	struct node nodes[SEARCH_MAX];
	uint32_t used = 2;
	uint32_t looked = 0;

	nodes[0] = (struct node){ zs_hash_bucket(hash, table->count), UINT16_MAX, 0, 0 };
	nodes[1] = nodes[0];
	nodes[1].bucket = zs_hash_other_bucket(nodes[0].bucket, zs_hash_tag(hash), table->count);
	for (uint32_t i = 0; i < used; i++) {
		const struct zs_bucket *bucket = &table->buckets[nodes[i].bucket];

		/* All that can be reached so far, before more is fetched. */
		for (; looked < used; looked++) {
			if (has_room(table, &nodes[looked]))
				return move_chain(thread, table, nodes, looked);
		}
		for (uint8_t e = 0; e < ZS_BUCKET_ENTRIES && used < SEARCH_MAX; e++) {
			uint8_t tag = zs_bucket_tag(bucket, e);
			uint32_t other;

			if (!tag)
				continue;
			other = zs_hash_other_bucket(nodes[i].bucket, tag, table->count);
			__builtin_prefetch(&table->buckets[other]);
			nodes[used++] = (struct node){ other, (uint16_t)i, e, tag };
		}
	}
	return false;
}
