/* Blocks in memory: those that operations have asked for, and those asked for lately. */
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "server/tier/store_internal.h"

/* Reads under way; the rest of the device's queue is for appends and resets. */
#define READS_MAX 96u

/* Blocks that one call may hold: 32 MB. */
#define PINS_MAX 8192u

struct zs_store_call {
	struct zs_store *store;
	unsigned waiter;
	struct zs_block **pins;
	uint32_t count;
	uint32_t size;
};

/* ---- chains and order; the lock is held ---- */

static struct zs_block **chain_of(struct zs_blocks_cache *cache, uint32_t part, uint32_t id)
{
	return &cache->chains[(id * 2654435769u ^ part * 40503u) >> 20];
}

_Static_assert(ZS_BLOCK_CHAINS == 1u << 12, "twelve bits of the product choose the chain");

static struct zs_block *find(struct zs_blocks_cache *cache, uint32_t part, uint32_t id)
{
	struct zs_block *block = *chain_of(cache, part, id);

	while (block && !(block->part == part && block->id == id))
		block = block->chain;
	return block;
}

static void unhash(struct zs_blocks_cache *cache, struct zs_block *block)
{
	struct zs_block **link = chain_of(cache, block->part, block->id);

	if (!block->hashed)
		return;
	while (*link != block)
		link = &(*link)->chain;
	*link = block->chain;
	block->hashed = false;
}

static void unlink_order(struct zs_blocks_cache *cache, struct zs_block *block)
{
	if (block->newer)
		block->newer->older = block->older;
	else
		cache->newest = block->older;
	if (block->older)
		block->older->newer = block->newer;
	else
		cache->oldest = block->newer;
	block->newer = NULL;
	block->older = NULL;
}

static void link_newest(struct zs_blocks_cache *cache, struct zs_block *block)
{
	block->newer = NULL;
	block->older = cache->newest;
	if (cache->newest)
		cache->newest->newer = block;
	else
		cache->oldest = block;
	cache->newest = block;
}

static void free_block(struct zs_blocks_cache *cache, struct zs_block *block)
{
	unhash(cache, block);
	free(block->bytes);
	free(block);
	cache->count--;
}

static void unpin(struct zs_blocks_cache *cache, struct zs_block *block)
{
	if (--block->pins)
		return;
	/* What is being read is let go of when it has come. */
	if (atomic_load(&block->state) == ZS_BLOCK_READING)
		return;
	if (block->stale || atomic_load(&block->state) == ZS_BLOCK_BAD || cache->count > cache->most)
		free_block(cache, block);
	else
		link_newest(cache, block);
}

/* A block to read into: that which was used longest ago, or a new one. NULL if memory is out. */
static struct zs_block *new_block(struct zs_blocks_cache *cache)
{
	struct zs_block *block;

	if (cache->count >= cache->most && cache->oldest) {
		block = cache->oldest;
		unlink_order(cache, block);
		unhash(cache, block);
		return block;
	}
	block = calloc(1, sizeof(*block));
	if (!block)
		return NULL;
	block->bytes = aligned_alloc(ZS_ZONE_BLOCK_SIZE, ZS_ZONE_BLOCK_SIZE);
	if (!block->bytes) {
		free(block);
		return NULL;
	}
	cache->count++;
	return block;
}

/* Asks for a block; it is pinned. */
static struct zs_block *ask(struct zs_blocks_cache *cache, uint32_t part, uint32_t id)
{
	struct zs_block *block = new_block(cache);
	struct zs_block **chain = chain_of(cache, part, id);

	if (!block)
		return NULL;
	block->part = part;
	block->id = id;
	block->pins = 0;
	block->stale = false;
	memset(block->waiters, 0, sizeof(block->waiters));
	atomic_store(&block->state, ZS_BLOCK_READING);
	block->chain = *chain;
	*chain = block;
	block->hashed = true;
	block->next = NULL;
	*cache->to_read_end = block;
	cache->to_read_end = &block->next;
	return block;
}

/* ---- calls ---- */

struct zs_store_call *zs_store_call_new(struct zs_store *store, unsigned waiter)
{
	struct zs_store_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->store = store;
	call->waiter = waiter;
	return call;
}

void zs_store_call_free(struct zs_store_call *call)
{
	if (!call)
		return;
	zs_store_call_clear(call);
	free(call->pins);
	free(call);
}

bool zs_store_call_is_ready(const struct zs_store_call *call)
{
	for (uint32_t i = 0; i < call->count; i++) {
		if (atomic_load_explicit(&call->pins[i]->state, memory_order_acquire) == ZS_BLOCK_READING)
			return false;
	}
	return true;
}

bool zs_store_call_is_full(const struct zs_store_call *call)
{
	return call->count >= PINS_MAX;
}

void zs_store_call_clear(struct zs_store_call *call)
{
	struct zs_blocks_cache *cache = &call->store->cache;

	if (!call->count)
		return;
	pthread_mutex_lock(&cache->lock);
	for (uint32_t i = 0; i < call->count; i++)
		unpin(cache, call->pins[i]);
	pthread_mutex_unlock(&cache->lock);
	call->count = 0;
}

static bool make_room(struct zs_store_call *call)
{
	uint32_t size = call->size ? call->size * 2 : 16;
	struct zs_block **pins;

	if (call->count < call->size)
		return true;
	if (size > PINS_MAX)
		return false;
	pins = realloc(call->pins, size * sizeof(void *));
	if (!pins)
		return false;
	call->pins = pins;
	call->size = size;
	return true;
}

/* The block among those that the call holds; what is stale is as good as not there. */
static struct zs_block *held(const struct zs_store_call *call, uint32_t part, uint32_t id)
{
	for (uint32_t i = 0; i < call->count; i++) {
		struct zs_block *block = call->pins[i];

		if (block->part == part && block->id == id && !block->stale)
			return block;
	}
	return NULL;
}

/* Finds or asks for a block, and pins it for the call. The lock is held. */
static struct zs_block *hold(struct zs_store *store, struct zs_store_call *call, uint32_t part, uint32_t id,
			     bool *asked)
{
	struct zs_blocks_cache *cache = &store->cache;
	struct zs_block *block = held(call, part, id);

	if (block || !make_room(call))
		return block;
	block = find(cache, part, id);
	if (!block) {
		block = ask(cache, part, id);
		*asked = block != NULL;
	} else {
		cache->hits++;
		if (!block->pins && atomic_load(&block->state) != ZS_BLOCK_READING)
			unlink_order(cache, block);
	}
	if (!block)
		return NULL;
	block->pins++;
	block->waiters[call->waiter / 64] |= 1ull << (call->waiter % 64);
	call->pins[call->count++] = block;
	return block;
}

const struct zs_slab *zs_blocks_image(struct zs_store *store, struct zs_store_call *call, uint32_t part, uint32_t id,
				      bool *unreadable)
{
	struct zs_block *block;
	bool asked = false;
	int state;

	*unreadable = false;
	if (!call)
		return NULL;
	pthread_mutex_lock(&store->cache.lock);
	block = hold(store, call, part, id, &asked);
	pthread_mutex_unlock(&store->cache.lock);
	if (asked)
		zs_store_wake(store);
	if (!block)
		return NULL;
	state = atomic_load_explicit(&block->state, memory_order_acquire);
	*unreadable = state == ZS_BLOCK_BAD;
	return state == ZS_BLOCK_READY ? (const struct zs_slab *)(const void *)block->bytes : NULL;
}

/* ---- reading ---- */

static struct zs_block *next_to_read(struct zs_blocks_cache *cache)
{
	struct zs_block *block = cache->to_read;

	if (!block)
		return NULL;
	cache->to_read = block->next;
	if (!cache->to_read)
		cache->to_read_end = &cache->to_read;
	return block;
}

void zs_blocks_submit(struct zs_store *store)
{
	while (store->requests < READS_MAX) {
		struct zs_block *block;
		uint32_t zone;

		pthread_mutex_lock(&store->cache.lock);
		block = next_to_read(&store->cache);
		pthread_mutex_unlock(&store->cache.lock);
		if (!block)
			return;
		zone = zs_store_zone_of(store, block->part, block->id);
		block->request = (struct zs_zone_request){
			.op = ZS_ZONE_READ,
			.zone = zone,
			.block = zs_store_block_of(store, block->id),
			.blocks = 1,
			.data = block->bytes,
			.context = zs_store_kind(ZS_STORE_READS),
		};
		zs_store_submit(store, &block->request);
	}
}

void zs_blocks_read(struct zs_store *store, struct zs_block *block)
{
	struct zs_image_place place = zs_store_place(store, block->request.zone, block->request.block);
	bool sound = block->request.status == ZS_ZONE_DONE && zs_image_check(block->bytes, &place);
	bool stale;
	bool good;
	uint64_t waiters[ZS_STORE_WAITERS_MAX / 64];

	zs_store_count(store, reads, 1);
	if (block->request.status != ZS_ZONE_DONE) {
		zs_store_count(store, read_errors, 1);
		zs_store_note_error(store, "a block of the warm tier cannot be read", block->request.zone,
				    block->request.status);
	}
	pthread_mutex_lock(&store->cache.lock);
	/* Of a zone given up meanwhile: whoever waits looks again, and finds no entry. */
	stale = block->stale;
	good = sound && !stale;
	if (!good)
		unhash(&store->cache, block);
	atomic_store_explicit(&block->state, good ? ZS_BLOCK_READY : ZS_BLOCK_BAD, memory_order_release);
	memcpy(waiters, block->waiters, sizeof(waiters));
	if (!block->pins) {
		if (good)
			link_newest(&store->cache, block);
		else
			free_block(&store->cache, block);
	}
	pthread_mutex_unlock(&store->cache.lock);
	if (!sound && !stale) {
		zs_store_count(store, reads_bad, 1);
		/* Whoever asked ends his entry; those of other keys end when they ask, and none comes back later. */
		zs_journal_forget_block(store->journal, place.zone, place.block);
	}
	for (unsigned i = 0; i < ZS_STORE_WAITERS_MAX; i++) {
		if (waiters[i / 64] >> (i % 64) & 1)
			store->options.wake(store->options.context, i);
	}
}

/* ---- forgetting ---- */

static bool is_of_zone(const struct zs_store *store, const struct zs_block *block, uint32_t zone)
{
	return zone == UINT32_MAX || zs_store_zone_of(store, block->part, block->id) == zone;
}

void zs_blocks_forget(struct zs_store *store, uint32_t zone)
{
	struct zs_blocks_cache *cache = &store->cache;

	pthread_mutex_lock(&cache->lock);
	for (uint32_t i = 0; i < ZS_BLOCK_CHAINS; i++) {
		for (struct zs_block *block = cache->chains[i], *next; block; block = next) {
			next = block->chain;
			if (!is_of_zone(store, block, zone))
				continue;
			unhash(cache, block);
			block->stale = true;
			if (!block->pins && atomic_load(&block->state) != ZS_BLOCK_READING) {
				unlink_order(cache, block);
				free_block(cache, block);
			}
		}
	}
	pthread_mutex_unlock(&cache->lock);
}

void zs_blocks_forget_all(struct zs_store *store)
{
	zs_blocks_forget(store, UINT32_MAX);
}

int zs_blocks_init(struct zs_store *store)
{
	pthread_mutex_init(&store->cache.lock, NULL);
	store->cache.to_read_end = &store->cache.to_read;
	store->cache.most = store->options.cache_blocks;
	return ZS_OK;
}

void zs_blocks_free(struct zs_store *store)
{
	struct zs_blocks_cache *cache = &store->cache;

	for (uint32_t i = 0; i < ZS_BLOCK_CHAINS; i++) {
		for (struct zs_block *block = cache->chains[i], *next; block; block = next) {
			next = block->chain;
			free(block->bytes);
			free(block);
		}
	}
	pthread_mutex_destroy(&cache->lock);
}
