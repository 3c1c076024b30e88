/*
 * A log-linear histogram of nanoseconds (or of any 64-bit numbers): exact below 128, then 64 steps to each
 * power of two, so a percentile is never more than 1.6 % above the true one, and never below it.
 */
#ifndef ZS_BENCH_HISTOGRAM_H
#define ZS_BENCH_HISTOGRAM_H

#include <stdint.h>

#define ZS_HISTOGRAM_STEPS 64
#define ZS_HISTOGRAM_BUCKETS (59 * ZS_HISTOGRAM_STEPS)

struct zs_histogram {
	uint64_t count;
	uint64_t longest;
	double sum;
	uint64_t buckets[ZS_HISTOGRAM_BUCKETS];
};

/* Empties it; also the way to make one. */
void zs_histogram_reset(struct zs_histogram *histogram);

/* Records `value` `times` times. */
void zs_histogram_add(struct zs_histogram *histogram, uint64_t value, uint64_t times);

/* Adds everything that `other` holds. */
void zs_histogram_merge(struct zs_histogram *histogram, const struct zs_histogram *other);

/*
 * The smallest recorded value (rounded up to its bucket's end) that at least `percent` of the values do not
 * exceed. 0 if nothing was recorded. percent is in 0..100; 100 gives the largest value exactly.
 */
uint64_t zs_histogram_percentile(const struct zs_histogram *histogram, double percent);

/* 0 if nothing was recorded. */
double zs_histogram_mean(const struct zs_histogram *histogram);

#endif
