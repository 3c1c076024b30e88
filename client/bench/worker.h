/* One thread of zslab-bench, with its own handle. */
#ifndef ZS_CLIENT_BENCH_WORKER_H
#define ZS_CLIENT_BENCH_WORKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench/histogram.h"
#include "client/bench/workload.h"
#include "client/zslab.h"

#define ZS_BENCH_BATCH_MAX 1024

/* What all threads share. Set before they start, but for the atomics. */
struct zs_run {
	const struct zs_workload *workload;
	struct zs_zipf zipf;
	const char *const *addresses;
	size_t address_count;
	struct zslab_options options;
	uint64_t keys;
	size_t value_size;
	unsigned batch;
	unsigned threads;
	unsigned sample; /* every so many operations one is timed */
	_Atomic uint64_t inserted;
	atomic_bool failed; /* a thread gave up */
	atomic_bool stop;
	pthread_barrier_t barrier;
};

#define ZS_BENCH_AHEAD 64

/* What to do next, and to which key, if that does not depend on what has been done. */
struct zs_drawn {
	enum zs_action action;
	uint64_t number;
	char key[ZS_BENCH_KEY_SIZE];
};

struct zs_worker {
	struct zs_run *run;
	struct zslab *handle;
	unsigned number;
	pthread_t thread;
	struct zs_random random;
	struct zs_histogram histogram;
	_Alignas(64) _Atomic uint64_t operations; /* shown while it runs */
	_Atomic uint64_t loaded;
	_Atomic uint64_t errors; /* operations that failed, and wrong values */
	_Atomic uint64_t wrong;	 /* of these, wrong values */
	uint64_t keys;		 /* read or written */
	uint64_t misses;
	uint64_t busy_ns;
	struct zslab_counters counters; /* at the end */
	struct zs_drawn ahead[ZS_BENCH_AHEAD];
	unsigned used; /* of those */
	struct zslab_item items[ZS_BENCH_BATCH_MAX];
	uint64_t numbers[ZS_BENCH_BATCH_MAX];
	char names[ZS_BENCH_BATCH_MAX][ZS_BENCH_KEY_SIZE];
	uint8_t *values; /* batch values */
	uint8_t *value;	 /* one to be written */
};

/*
 * Opens its handle, loads its share of the keys, waits for the others, runs until run->stop. `context` is a struct
 * zs_worker. Waits three times at the barrier: loaded, begin, end.
 */
void *zs_worker_main(void *context);

/* Nanoseconds of the monotonic clock. */
uint64_t zs_bench_now(void);

#endif
