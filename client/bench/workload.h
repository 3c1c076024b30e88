/* What zslab-bench does to the cache: keys, values, and how operations are mixed. */
#ifndef ZS_CLIENT_BENCH_WORKLOAD_H
#define ZS_CLIENT_BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/random.h"
#include "bench/zipf.h"

enum zs_action {
	ZS_ACTION_READ,
	ZS_ACTION_UPDATE,
	ZS_ACTION_INSERT,
	ZS_ACTION_MULTI,  /* a multi-get of drawn keys */
	ZS_ACTION_RANGE,  /* a multi-get of neighbouring keys: what a scan is to a cache */
	ZS_ACTION_MODIFY, /* a read, then an update */
	ZS_ACTIONS,
};

enum zs_spread {
	ZS_SPREAD_UNIFORM,
	ZS_SPREAD_ZIPF,	  /* some keys are popular */
	ZS_SPREAD_LATEST, /* keys inserted last are */
};

struct zs_workload {
	const char *name;
	const char *help;
	enum zs_spread spread;
	uint8_t percent[ZS_ACTIONS];
};

/* NULL if there is none of this name. */
const struct zs_workload *zs_workload_find(const char *name);

/* The names and what they are, a line each. */
void zs_workload_print(void);

enum zs_action zs_workload_draw(const struct zs_workload *workload, struct zs_random *random);

/* The number of a key out of `keys` (those inserted included). zipf has the ranks of the keys at the beginning. */
uint64_t zs_workload_key(const struct zs_workload *workload, const struct zs_zipf *zipf, uint64_t keys,
			 struct zs_random *random);

#define ZS_BENCH_KEY_SIZE 16

/* The name of key `number` (below 2^48). */
void zs_bench_key(uint64_t number, char key[ZS_BENCH_KEY_SIZE]);

/* The value of a key: always the same for the same size. */
void zs_bench_value(uint64_t number, uint8_t *value, size_t size);

/* Whether these can be the bytes that zs_bench_value makes; looks at the beginning and the end. */
bool zs_bench_value_is_right(uint64_t number, const uint8_t *value, size_t size);

#endif
