#include "test/tier/cache.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/random.h"
#include "server/engine/warm.h"

#define VALUE_SIZE 100u
#define TOGETHER 64u

/* 24 zones of 1 MB beside 4 MB of memory. */
#define TIER_ZONES 24u
#define TIER_ZONE (1u << 20)

struct zs_cache_model *zs_cache_model_new(void)
{
	struct zs_cache_model *model =
	    mmap(NULL, sizeof(*model), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(model != MAP_FAILED);
	model->next_version = 1;
	return model;
}

/* ---- opening and closing ---- */

void zs_cache_open_device(struct zs_cache *cache)
{
	struct zs_zone_file_options options;
	char why[512] = "";

	zs_zone_file_options_init(&options);
	options.zone_capacity = TIER_ZONE;
	options.size = (uint64_t)TIER_ZONES * TIER_ZONE;
	if (zs_zone_file_open(cache->folder, &options, &cache->device, why, sizeof(why)))
		fail_msg("%s", why);
}

static void nobody_waits(void *context, unsigned waiter)
{
	(void)context;
	(void)waiter;
}

void zs_cache_open(struct zs_cache *cache)
{
	struct zs_engine_options engine;
	struct zs_store_options store;
	struct zs_journal_options journal = { .durable = cache->durable };
	char path[256];
	char why[512] = "";

	if (!cache->device)
		zs_cache_open_device(cache);
	journal.zones = zs_zone_geometry(cache->device)->zones;
	journal.capacity = zs_zone_geometry(cache->device)->capacity;
	zs_store_options_init(&store);
	snprintf(path, sizeof(path), "%s/journal", cache->folder);
	if (zs_journal_open(path, &journal, &store.journal, why, sizeof(why)))
		fail_msg("%s", why);
	snprintf(path, sizeof(path), "%s/groups", cache->folder);
	if (zs_group_map_open(path, zs_journal_tier(store.journal), journal.zones, journal.capacity, &store.groups,
			      cache->durable, why, sizeof(why)))
		fail_msg("%s", why);
	zs_engine_options_init(&engine);
	engine.memory = ZS_MEMORY_MIN;
	engine.warm_zones = journal.zones;
	engine.warm_zone_blocks = journal.capacity;
	engine.warm_buckets = zs_journal_buckets(store.journal);
	engine.seed = zs_journal_seed(store.journal);
	engine.threads = WORKERS + 2;
	if (zs_engine_open(&engine, &cache->engine, why, sizeof(why)))
		fail_msg("%s", why);
	store.device = cache->device;
	store.engine = cache->engine;
	store.second_chance = true;
	store.wake = nobody_waits;
	cache->device = NULL;
	if (zs_store_open(&store, &cache->store, why, sizeof(why)))
		fail_msg("%s", why);
	pthread_rwlock_init(&cache->lock, NULL);
}

void zs_cache_close(struct zs_cache *cache, bool clean)
{
	zs_store_close(cache->store, clean);
	zs_engine_close(cache->engine);
	pthread_rwlock_destroy(&cache->lock);
}

void zs_cache_wait_until_rebuilt(struct zs_cache *cache)
{
	struct zs_store_figures figures;

	for (unsigned i = 0; i < 30000; i++) {
		zs_store_figures(cache->store, &figures);
		if (!figures.rebuilding)
			return;
		usleep(1000);
	}
	fail_msg("the tier is not read within 30 s");
}

/* ---- keys and values ---- */

static size_t key_of(uint32_t key, char text[24])
{
	return (size_t)snprintf(text, 24, "key:%08" PRIu32, key);
}

static void value_of(uint32_t key, uint32_t version, uint8_t value[VALUE_SIZE])
{
	memset(value, (int)(version & 0xff), VALUE_SIZE);
	memcpy(value, &key, sizeof(key));
	memcpy(value + sizeof(key), &version, sizeof(version));
}

/* Whether what was found may be there. */
static void check_value(const struct zs_cache *cache, uint32_t key, const struct zs_view *view)
{
	uint32_t acknowledged = atomic_load(&cache->model->acknowledged[key]);
	uint32_t under_way = atomic_load(&cache->model->under_way[key]);
	uint8_t wanted[VALUE_SIZE];
	uint32_t version;

	assert_int_equal(view->size, VALUE_SIZE);
	memcpy(&version, view->data + sizeof(key), sizeof(version));
	value_of(key, version, wanted);
	assert_memory_equal(view->data, wanted, VALUE_SIZE);
	if (version == NO_VERSION || (version != acknowledged && version != under_way))
		fail_msg("key %" PRIu32 " has version %" PRIu32 "; acknowledged was %" PRIu32 ", under way %" PRIu32,
			 key, version, acknowledged, under_way);
}

/* ---- a worker ---- */

struct worker {
	struct zs_cache *cache;
	struct zs_thread *thread;
	struct zs_store_call *call;
	unsigned number;
	uint64_t random;
	uint64_t operations;
	const _Atomic bool *stop;
	uint32_t found; /* by the last look at many keys */
};

static void attach(struct worker *w, struct zs_cache *cache, unsigned number)
{
	w->cache = cache;
	w->number = number;
	w->thread = zs_thread_attach(cache->engine);
	w->call = zs_store_call_new(cache->store, number);
	assert_non_null(w->thread);
	assert_non_null(w->call);
	zs_thread_set_warm_call(w->thread, w->call);
}

static void detach(struct worker *w)
{
	zs_thread_detach(w->thread);
	zs_store_call_free(w->call);
}

/* After a command that could not be done yet. */
static void wait_for(struct worker *w, int result)
{
	zs_thread_upkeep(w->thread, 50);
	while (result == ZS_EWARM && !zs_store_call_is_ready(w->call)) {
		zs_thread_offline(w->thread);
		usleep(20);
		zs_thread_online(w->thread);
	}
}

/* What was done is about to be acknowledged. */
static void acknowledge(struct worker *w)
{
	zs_store_call_clear(w->call);
	zs_store_settle(w->cache->store);
}

static void set(struct worker *w, uint32_t key)
{
	struct zs_cache_model *model = w->cache->model;
	uint32_t version = __atomic_fetch_add(&model->next_version, 1, __ATOMIC_RELAXED);
	uint32_t group = (uint32_t)(zs_mix(w->random++) % (2 * GROUPS));
	char name[16];
	char text[24];
	uint8_t value[VALUE_SIZE];
	struct zs_set set = { .key = text, .value = value, .value_size = VALUE_SIZE };
	int result;

	set.key_size = key_of(key, text);
	value_of(key, version, value);
	group = group < GROUPS ? group + 1 : 0;
	if (group) {
		set.flags = ZS_SET_GROUP;
		set.group = name;
		set.group_size = (size_t)snprintf(name, sizeof(name), "group:%" PRIu32, group);
	}
	atomic_store(&model->under_way[key], version);
	atomic_store(&model->group_under_way[key], group);
	while ((result = zs_set(w->thread, &set, NULL)) == ZS_EWARM || result == ZS_EAGAIN)
		wait_for(w, result);
	assert_int_equal(result, ZS_OK);
	acknowledge(w);
	atomic_store(&model->group[key], group);
	atomic_store(&model->acknowledged[key], version);
}

static void delete_key(struct worker *w, uint32_t key)
{
	struct zs_cache_model *model = w->cache->model;
	char text[24];
	size_t size = key_of(key, text);
	int result;

	while ((result = zs_delete(w->thread, text, size, NULL)) == ZS_EWARM || result == ZS_EAGAIN)
		wait_for(w, result);
	assert_true(result == ZS_OK || result == ZS_ENOTFOUND);
	acknowledge(w);
	atomic_store(&model->acknowledged[key], NO_VERSION);
	atomic_store(&model->under_way[key], NO_VERSION);
}

/* Reads keys first, first + step, ..., with what they wait for under way together. Returns how many there are. */
static void read_keys(struct worker *w, uint32_t first, uint32_t step, uint32_t count)
{
	bool done[TOGETHER] = { false };
	uint32_t left = count;

	w->found = 0;
	while (left) {
		int result = ZS_OK;

		for (uint32_t i = 0; i < count; i++) {
			uint32_t key = first + i * step;
			struct zs_view view;
			char text[24];
			int one;

			if (done[i])
				continue;
			one = zs_get(w->thread, text, key_of(key, text), 0, &view);
			if (one == ZS_EWARM) {
				result = ZS_EWARM;
				continue;
			}
			if (one == ZS_OK)
				check_value(w->cache, key, &view);
			w->found += one == ZS_OK;
			done[i] = true;
			left--;
		}
		wait_for(w, result);
	}
	zs_store_call_clear(w->call);
	zs_thread_quiesce(w->thread);
}

static uint32_t key_of_mine(struct worker *w)
{
	return (uint32_t)(zs_mix(w->random++) % (KEYS / WORKERS)) * WORKERS + w->number;
}

static void one_operation(struct worker *w)
{
	uint64_t kind = zs_mix(w->random++) % 100;

	pthread_rwlock_rdlock(&w->cache->lock);
	if (kind < 60)
		set(w, key_of_mine(w));
	else if (kind < 65)
		delete_key(w, key_of_mine(w));
	else
		read_keys(w, key_of_mine(w), WORKERS, 1);
	pthread_rwlock_unlock(&w->cache->lock);
}

/* Ends a group, or with 0 everything. */
static void end_many(struct worker *w, uint32_t group)
{
	struct zs_cache_model *model = w->cache->model;
	char name[16];
	int size = snprintf(name, sizeof(name), "group:%" PRIu32, group);

	zs_thread_offline(w->thread);
	pthread_rwlock_wrlock(&w->cache->lock);
	zs_thread_online(w->thread);
	if (group)
		(void)zs_drop(w->thread, name, (size_t)size, NULL);
	else
		zs_flush(w->thread);
	acknowledge(w);
	for (uint32_t key = 0; key < KEYS; key++) {
		if (!group || model->group[key] == group)
			atomic_store(&model->acknowledged[key], NO_VERSION);
		if (!group || model->group_under_way[key] == group)
			atomic_store(&model->under_way[key], NO_VERSION);
	}
	pthread_rwlock_unlock(&w->cache->lock);
}

static void *work(void *argument)
{
	struct worker *w = argument;

	for (uint64_t i = 0; i < w->operations && !atomic_load(w->stop); i++) {
		one_operation(w);
		zs_thread_upkeep(w->thread, 20);
		atomic_fetch_add(&w->cache->model->operations, 1);
		if (w->number == 0 && i % 20000 == 19999)
			end_many(w, 1 + (uint32_t)(zs_mix(w->random++) % GROUPS));
		if (w->number == 0 && zs_mix(w->random++) % 200000 == 0)
			end_many(w, 0);
	}
	zs_thread_offline(w->thread);
	return NULL;
}

void zs_cache_work(struct zs_cache *cache, uint64_t seed, uint64_t operations, _Atomic bool *stop)
{
	struct worker workers[WORKERS];
	pthread_t threads[WORKERS];

	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = (struct worker){ .random = seed + i * 1000003, .operations = operations, .stop = stop };
		attach(&workers[i], cache, i);
		zs_thread_offline(workers[i].thread);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		zs_thread_online(workers[i].thread);
		assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
	}
	for (unsigned i = 0; i < WORKERS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < WORKERS; i++) {
		zs_thread_online(workers[i].thread);
		detach(&workers[i]);
	}
}

uint32_t zs_cache_check(struct zs_cache *cache)
{
	struct worker w = { .random = 1 };
	uint32_t found = 0;

	attach(&w, cache, 0);
	for (uint32_t key = 0; key < KEYS; key += TOGETHER) {
		read_keys(&w, key, 1, KEYS - key < TOGETHER ? KEYS - key : TOGETHER);
		found += w.found;
	}
	detach(&w);
	return found;
}
