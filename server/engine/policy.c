#include "server/engine/policy.h"

#include "server/engine/slab.h"

/* How far from its old end a list is searched for a slab that can be claimed. */
#define SEARCH_MAX 64

/* Slabs that LFU compares. */
#define SAMPLE 8

/* The oldest slab of a list that nobody else has. */
static uint32_t oldest(struct zs_part *part, const struct zs_slab_list *list)
{
	uint32_t id = list->head;

	for (unsigned i = 0; i < SEARCH_MAX && id != ZS_SLAB_NONE; i++) {
		if (zs_slab_claim(part, id))
			return id;
		id = zs_slab_next(part, id);
	}
	return ZS_SLAB_NONE;
}

/*
 * S3-FIFO on slabs (Yang et al., "FIFO queues are all you need for cache eviction", SOSP '23): new objects go to slabs
 * of the small queue, a tenth of all. What was read there moves on to the main queue when its slab is the oldest, the
 * rest is evicted and remembered in the ghost; a key that comes back from there goes to the main queue at once. There,
 * objects that were read since are copied forward.
 */
static uint32_t s3fifo_victim(struct zs_thread *thread, struct zs_part *part)
{
	uint32_t id = ZS_SLAB_NONE;

	(void)thread;
	pthread_mutex_lock(&part->lock);
	if (part->small.count * 10 > part->small.count + part->main.count)
		id = oldest(part, &part->small);
	if (id == ZS_SLAB_NONE)
		id = oldest(part, &part->main);
	if (id == ZS_SLAB_NONE)
		id = oldest(part, &part->small);
	pthread_mutex_unlock(&part->lock);
	return id;
}

static struct zs_verdict s3fifo_judge(bool main, uint32_t recency)
{
	if (main)
		return (struct zs_verdict){ recency > 0, true, false, recency - 1 };
	return (struct zs_verdict){ recency > 0, true, true, 0 };
}

/* LRU as second chance in one queue: what was read since its slab was filled is copied forward (CLOCK). */
static uint32_t lru_victim(struct zs_thread *thread, struct zs_part *part)
{
	uint32_t id;

	(void)thread;
	pthread_mutex_lock(&part->lock);
	id = oldest(part, &part->small);
	if (id == ZS_SLAB_NONE || (part->main.count && part->main.count > part->small.count)) {
		uint32_t other = oldest(part, &part->main); /* left over from another policy */

		if (other != ZS_SLAB_NONE) {
			if (id != ZS_SLAB_NONE)
				zs_slab_release(part, id);
			id = other;
		}
	}
	pthread_mutex_unlock(&part->lock);
	return id;
}

static struct zs_verdict lru_judge(bool main, uint32_t recency)
{
	(void)main;
	return (struct zs_verdict){ recency > 0, false, false, 0 };
}

/* How much the objects of a slab are used, all together. */
static uint32_t slab_use(const struct zs_part *part, uint32_t id)
{
	const struct zs_slab *slab = zs_frame(part, id);
	uint32_t slots = zs_identity_slots(zs_load(&slab->identity));
	uint32_t sum = 0;

	for (uint32_t slot = 0; slot < slots; slot++) {
		if (zs_slab_is_live(slab, slot))
			sum += zs_slab_recency(slab, slots, slot);
	}
	return sum;
}

/*
 * LFU: of some old slabs the one whose objects are used least; frequent ones are copied forward, with half the count.
 */
static uint32_t lfu_victim(struct zs_thread *thread, struct zs_part *part)
{
	uint32_t best = ZS_SLAB_NONE;
	uint32_t best_use = UINT32_MAX;
	uint32_t id;

	(void)thread;
	pthread_mutex_lock(&part->lock);
	id = part->small.count >= part->main.count ? part->small.head : part->main.head;
	for (unsigned i = 0; i < SAMPLE && id != ZS_SLAB_NONE; i++) {
		uint32_t use = slab_use(part, id);

		if (use < best_use && zs_slab_claim(part, id)) {
			if (best != ZS_SLAB_NONE)
				zs_slab_release(part, best);
			best = id;
			best_use = use;
		}
		id = zs_slab_next(part, id);
	}
	pthread_mutex_unlock(&part->lock);
	return best;
}

static struct zs_verdict lfu_judge(bool main, uint32_t recency)
{
	(void)main;
	return (struct zs_verdict){ recency > 1, false, false, recency / 2 };
}

static const struct zs_policy_ops all[] = {
	[ZS_POLICY_S3FIFO] = { "s3fifo", s3fifo_victim, s3fifo_judge },
	[ZS_POLICY_LRU] = { "lru", lru_victim, lru_judge },
	[ZS_POLICY_LFU] = { "lfu", lfu_victim, lfu_judge },
};

const struct zs_policy_ops *zs_policy_ops(enum zs_policy policy)
{
	return policy == ZS_POLICY_NOEVICTION ? NULL : &all[policy];
}
