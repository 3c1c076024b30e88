/* Filling the cache with the keys of the benchmark. */
#ifndef ZS_CLIENT_BENCH_LOAD_H
#define ZS_CLIENT_BENCH_LOAD_H

#include "client/bench/worker.h"

/* Writes those of this thread's share of the keys that are not there yet. False: the node does not take them. */
bool zs_bench_load(struct zs_worker *worker);

#endif
