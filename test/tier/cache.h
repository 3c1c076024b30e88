/*
 * A small cache with a warm tier for tests: engine, device of files, journal and store, in a folder; and a model of
 * what may be in it, in memory that a killed process leaves behind.
 *
 * A key's value says its key and version. The model knows of each key the version that was acknowledged last, and one
 * that was under way when its process ended. Anything else that is found is stale.
 */
#ifndef ZS_TEST_TIER_CACHE_H
#define ZS_TEST_TIER_CACHE_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/tier/store.h"
#include "test/tier/support.h"

#define KEYS 150000u
#define WORKERS 2u
#define GROUPS 4u

/* What a version means besides a number. */
#define NO_VERSION 0u /* the key does not exist */

struct zs_cache_model {
	uint32_t next_version;
	_Atomic uint32_t acknowledged[KEYS];
	_Atomic uint32_t under_way[KEYS]; /* the same as acknowledged, if nothing is */
	_Atomic uint32_t group[KEYS];	  /* of the acknowledged version; 0: none */
	_Atomic uint32_t group_under_way[KEYS];
	_Atomic uint64_t operations;
};

struct zs_cache {
	struct zs_cache_model *model;
	const char *folder;
	bool durable;
	struct zs_zone_device *device; /* until the store has it */
	struct zs_engine *engine;
	struct zs_store *store;
	pthread_rwlock_t lock; /* written by drops and flushes: the model changes for many keys */
};

/* Shared with children. */
struct zs_cache_model *zs_cache_model_new(void);

/* Opens the device only, so that faults can be put into it; then the rest. */
void zs_cache_open_device(struct zs_cache *cache);
void zs_cache_open(struct zs_cache *cache);
void zs_cache_close(struct zs_cache *cache, bool clean);

void zs_cache_wait_until_rebuilt(struct zs_cache *cache);

/* Random operations by WORKERS threads, each with keys of its own, until `stop`; values that are read are checked. */
void zs_cache_work(struct zs_cache *cache, uint64_t seed, uint64_t operations, _Atomic bool *stop);

/* Reads all keys. Fails the test at the first that is stale. Returns how many there are. */
uint32_t zs_cache_check(struct zs_cache *cache);

#endif
