#include "bench/yardstick.h"

#include <assert.h>
#include <stdlib.h>

#include "bench/random.h"

#define NONE UINT32_MAX
#define USES_MAX 3

enum queue_name {
	MAIN,  /* the only one of LRU and SIEVE */
	SMALL, /* S3-FIFO */
	GHOST, /* S3-FIFO: keys only, not objects */
	QUEUES
};

struct node {
	uint64_t key;
	uint64_t deadline;
	uint32_t newer; /* towards the head of its queue */
	uint32_t older; /* towards the tail */
	uint32_t chain; /* next in the hash bucket, or next free node */
	uint8_t queue;
	uint8_t uses; /* SIEVE: visited */
};

struct queue {
	uint32_t head;
	uint32_t tail;
	uint64_t count;
};

struct zs_yardstick {
	enum zs_yardstick_policy policy;
	uint64_t capacity;
	uint64_t small_target;
	uint64_t ghost_limit;
	struct queue queues[QUEUES];
	uint32_t hand; /* SIEVE */
	uint32_t free;
	struct node *nodes;
	uint32_t *buckets;
	uint64_t mask;
};

const char *zs_yardstick_name(enum zs_yardstick_policy policy)
{
	static const char *const names[] = { "lru", "sieve", "s3fifo" };

	return names[policy];
}

struct zs_yardstick *zs_yardstick_open(enum zs_yardstick_policy policy, uint64_t capacity)
{
	struct zs_yardstick *cache = calloc(1, sizeof(*cache));
	uint64_t nodes;

	assert(capacity >= 1 && capacity <= 1u << 30);
	if (!cache)
		return NULL;
	cache->policy = policy;
	cache->capacity = capacity;
	cache->small_target = capacity >= 10 ? capacity / 10 : 1;
	cache->ghost_limit = policy == ZS_YARDSTICK_S3FIFO ? capacity - cache->small_target : 0;
	nodes = capacity + cache->ghost_limit;
	for (cache->mask = 1; cache->mask < nodes; cache->mask *= 2)
		;
	cache->nodes = malloc(nodes * sizeof(*cache->nodes));
	cache->buckets = malloc(cache->mask * sizeof(*cache->buckets));
	if (!cache->nodes || !cache->buckets) {
		zs_yardstick_close(cache);
		return NULL;
	}
	for (uint64_t i = 0; i < cache->mask; i++)
		cache->buckets[i] = NONE;
	for (uint64_t i = 0; i < nodes; i++)
		cache->nodes[i].chain = i + 1 < nodes ? (uint32_t)(i + 1) : NONE;
	for (unsigned i = 0; i < QUEUES; i++)
		cache->queues[i] = (struct queue){ NONE, NONE, 0 };
	cache->hand = NONE;
	cache->mask--;
	return cache;
}

void zs_yardstick_close(struct zs_yardstick *cache)
{
	free(cache->nodes);
	free(cache->buckets);
	free(cache);
}

uint64_t zs_yardstick_count(const struct zs_yardstick *cache)
{
	return cache->queues[MAIN].count + cache->queues[SMALL].count;
}

/* ---- nodes, hash and queues ---- */

static uint32_t *bucket_of(const struct zs_yardstick *cache, uint64_t key)
{
	return &cache->buckets[zs_mix(key + 1) & cache->mask];
}

static uint32_t find(const struct zs_yardstick *cache, uint64_t key)
{
	uint32_t index = *bucket_of(cache, key);

	while (index != NONE && cache->nodes[index].key != key)
		index = cache->nodes[index].chain;
	return index;
}

static void push_head(struct zs_yardstick *cache, enum queue_name name, uint32_t index)
{
	struct queue *queue = &cache->queues[name];
	struct node *node = &cache->nodes[index];

	node->queue = (uint8_t)name;
	node->newer = NONE;
	node->older = queue->head;
	if (queue->head != NONE)
		cache->nodes[queue->head].newer = index;
	else
		queue->tail = index;
	queue->head = index;
	queue->count++;
}

static void unlink_node(struct zs_yardstick *cache, uint32_t index)
{
	struct node *node = &cache->nodes[index];
	struct queue *queue = &cache->queues[node->queue];

	if (cache->hand == index)
		cache->hand = node->newer;
	if (node->newer != NONE)
		cache->nodes[node->newer].older = node->older;
	else
		queue->head = node->older;
	if (node->older != NONE)
		cache->nodes[node->older].newer = node->newer;
	else
		queue->tail = node->newer;
	queue->count--;
}

static void release(struct zs_yardstick *cache, uint32_t index)
{
	uint32_t *link = bucket_of(cache, cache->nodes[index].key);

	unlink_node(cache, index);
	while (*link != index)
		link = &cache->nodes[*link].chain;
	*link = cache->nodes[index].chain;
	cache->nodes[index].chain = cache->free;
	cache->free = index;
}

static void move(struct zs_yardstick *cache, enum queue_name name, uint32_t index)
{
	unlink_node(cache, index);
	push_head(cache, name, index);
}

/* ---- policies ---- */

static void use(struct zs_yardstick *cache, uint32_t index)
{
	struct node *node = &cache->nodes[index];

	if (cache->policy == ZS_YARDSTICK_LRU)
		move(cache, MAIN, index);
	else if (node->uses < USES_MAX)
		node->uses++;
}

static void evict_sieve(struct zs_yardstick *cache)
{
	uint32_t index = cache->hand;

	for (;;) {
		if (index == NONE)
			index = cache->queues[MAIN].tail;
		if (!cache->nodes[index].uses)
			break;
		cache->nodes[index].uses = 0;
		index = cache->nodes[index].newer;
	}
	cache->hand = cache->nodes[index].newer;
	release(cache, index);
}

static void to_ghost(struct zs_yardstick *cache, uint32_t index)
{
	if (!cache->ghost_limit) {
		release(cache, index);
		return;
	}
	if (cache->queues[GHOST].count >= cache->ghost_limit)
		release(cache, cache->queues[GHOST].tail);
	move(cache, GHOST, index);
}

/* Objects used more than once go on to main, with their count cleared; the first that was not leaves. */
static void evict_small(struct zs_yardstick *cache)
{
	while (cache->queues[SMALL].count) {
		uint32_t index = cache->queues[SMALL].tail;
		bool keep = cache->nodes[index].uses > 1;

		cache->nodes[index].uses = 0;
		if (!keep) {
			to_ghost(cache, index);
			return;
		}
		move(cache, MAIN, index);
	}
}

static void evict_main(struct zs_yardstick *cache)
{
	for (;;) {
		uint32_t index = cache->queues[MAIN].tail;

		if (!cache->nodes[index].uses) {
			release(cache, index);
			return;
		}
		cache->nodes[index].uses--;
		move(cache, MAIN, index);
	}
}

static void evict(struct zs_yardstick *cache)
{
	switch (cache->policy) {
	case ZS_YARDSTICK_LRU:
		release(cache, cache->queues[MAIN].tail);
		break;
	case ZS_YARDSTICK_SIEVE:
		evict_sieve(cache);
		break;
	case ZS_YARDSTICK_S3FIFO:
		if (cache->queues[SMALL].count >= cache->small_target || !cache->queues[MAIN].count)
			evict_small(cache);
		else
			evict_main(cache);
		break;
	case ZS_YARDSTICK_POLICIES:
		abort();
	}
}

bool zs_yardstick_get(struct zs_yardstick *cache, uint64_t key, uint64_t now)
{
	uint32_t index = find(cache, key);

	if (index == NONE || cache->nodes[index].queue == GHOST)
		return false;
	if (cache->nodes[index].deadline && cache->nodes[index].deadline <= now) {
		release(cache, index);
		return false;
	}
	use(cache, index);
	return true;
}

static void insert(struct zs_yardstick *cache, uint64_t key, uint64_t deadline, enum queue_name name)
{
	uint32_t *bucket = bucket_of(cache, key);
	uint32_t index = cache->free;
	struct node *node = &cache->nodes[index];

	cache->free = node->chain;
	node->key = key;
	node->deadline = deadline;
	node->uses = 0;
	node->chain = *bucket;
	*bucket = index;
	push_head(cache, name, index);
}

void zs_yardstick_set(struct zs_yardstick *cache, uint64_t key, uint64_t deadline)
{
	enum queue_name name = cache->policy == ZS_YARDSTICK_S3FIFO ? SMALL : MAIN;
	uint32_t index = find(cache, key);

	if (index != NONE && cache->nodes[index].queue != GHOST) {
		cache->nodes[index].deadline = deadline;
		use(cache, index);
		return;
	}
	if (index != NONE) {
		release(cache, index);
		name = MAIN;
	}
	while (zs_yardstick_count(cache) >= cache->capacity)
		evict(cache);
	insert(cache, key, deadline, name);
}

void zs_yardstick_delete(struct zs_yardstick *cache, uint64_t key)
{
	uint32_t index = find(cache, key);

	if (index != NONE && cache->nodes[index].queue != GHOST)
		release(cache, index);
}
