#include "bench/histogram.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define STEP_BITS 6
#define EXACT ((uint64_t)2 * ZS_HISTOGRAM_STEPS)

_Static_assert(ZS_HISTOGRAM_STEPS == 1 << STEP_BITS, "the bucket number is made by shifting");

/* Values below 2 * STEPS are their own bucket; above, the leading STEP_BITS + 1 bits choose it. */
static unsigned bucket_of(uint64_t value)
{
	unsigned shift;

	if (value < EXACT)
		return (unsigned)value;
	shift = 63 - (unsigned)__builtin_clzll(value) - STEP_BITS;
	return shift * ZS_HISTOGRAM_STEPS + (unsigned)(value >> shift);
}

/* The largest value of a bucket. */
static uint64_t bucket_end(unsigned bucket)
{
	unsigned shift;
	uint64_t leading;

	if (bucket < EXACT)
		return bucket;
	shift = bucket / ZS_HISTOGRAM_STEPS - 1;
	leading = bucket - (uint64_t)shift * ZS_HISTOGRAM_STEPS;
	return (leading << shift) + ((1ull << shift) - 1);
}

void zs_histogram_reset(struct zs_histogram *histogram)
{
	memset(histogram, 0, sizeof(*histogram));
}

void zs_histogram_add(struct zs_histogram *histogram, uint64_t value, uint64_t times)
{
	if (!times)
		return;
	histogram->buckets[bucket_of(value)] += times;
	histogram->count += times;
	histogram->sum += (double)value * (double)times;
	if (value > histogram->longest)
		histogram->longest = value;
}

void zs_histogram_merge(struct zs_histogram *histogram, const struct zs_histogram *other)
{
	for (unsigned i = 0; i < ZS_HISTOGRAM_BUCKETS; i++)
		histogram->buckets[i] += other->buckets[i];
	histogram->count += other->count;
	histogram->sum += other->sum;
	if (other->longest > histogram->longest)
		histogram->longest = other->longest;
}

uint64_t zs_histogram_percentile(const struct zs_histogram *histogram, double percent)
{
	/* A hair less, so that 99.9 % of 1000 is 999 although neither 99.9 nor the product is exact. */
	uint64_t wanted = (uint64_t)ceil(percent * (double)histogram->count / 100 * (1 - 1e-12));
	uint64_t seen = 0;

	assert(percent >= 0 && percent <= 100);
	for (unsigned i = 0; i < ZS_HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen && seen >= wanted)
			return bucket_end(i) < histogram->longest ? bucket_end(i) : histogram->longest;
	}
	return histogram->longest;
}

double zs_histogram_mean(const struct zs_histogram *histogram)
{
	return histogram->count ? histogram->sum / (double)histogram->count : 0;
}
