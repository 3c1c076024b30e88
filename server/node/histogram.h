/*
 * Latencies in nanoseconds: buckets that are powers of two, each cut into eight, so that a value is known to within
 * one eighth. One thread writes, any may read at the same time.
 */
#ifndef ZS_SERVER_NODE_HISTOGRAM_H
#define ZS_SERVER_NODE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

#define ZS_HISTOGRAM_SUB_BITS 3
#define ZS_HISTOGRAM_SUB (1u << ZS_HISTOGRAM_SUB_BITS)
#define ZS_HISTOGRAM_MAX_BITS 40 /* 2^40 ns are 18 minutes; longer ones count as this */
#define ZS_HISTOGRAM_BUCKETS ((ZS_HISTOGRAM_MAX_BITS - ZS_HISTOGRAM_SUB_BITS + 1) * ZS_HISTOGRAM_SUB)

struct zs_histogram {
	_Atomic uint64_t counts[ZS_HISTOGRAM_BUCKETS];
};

/* A counter that only one thread writes: cheaper than an atomic addition. */
static inline void zs_count(_Atomic uint64_t *counter, uint64_t by)
{
	atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + by, memory_order_relaxed);
}

static inline unsigned zs_histogram_bucket(uint64_t ns)
{
	unsigned log;

	if (ns < ZS_HISTOGRAM_SUB)
		return (unsigned)ns;
	log = 63 - (unsigned)__builtin_clzll(ns);
	if (log >= ZS_HISTOGRAM_MAX_BITS)
		return ZS_HISTOGRAM_BUCKETS - 1;
	return (log - ZS_HISTOGRAM_SUB_BITS + 1) * ZS_HISTOGRAM_SUB +
	       (unsigned)(ns >> (log - ZS_HISTOGRAM_SUB_BITS) & (ZS_HISTOGRAM_SUB - 1));
}

/* Records `times` events of the same length. Only the owning thread. */
static inline void zs_histogram_add(struct zs_histogram *histogram, uint64_t ns, uint64_t times)
{
	zs_count(&histogram->counts[zs_histogram_bucket(ns)], times);
}

/* The largest value that falls into a bucket, in nanoseconds. */
uint64_t zs_histogram_upper(unsigned bucket);

/* Adds the counts of one histogram to plain numbers. */
void zs_histogram_sum(const struct zs_histogram *histogram, uint64_t sum[ZS_HISTOGRAM_BUCKETS]);

/* The value in nanoseconds that `percent` of the events did not exceed; 0 if there are none. */
uint64_t zs_histogram_percentile(const uint64_t sum[ZS_HISTOGRAM_BUCKETS], double percent);

#endif
