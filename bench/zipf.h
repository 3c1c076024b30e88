/*
 * Zipf-distributed ranks: rank i (from 0) is drawn with a probability in proportion to 1 / (i + 1)^alpha.
 *
 * Drawn by the inverse of the exact cumulative distribution, so any alpha >= 0 will do; the usual rejection
 * formula for benchmarks fails from 1 on. Costs 12 bytes of memory per rank.
 */
#ifndef ZS_BENCH_ZIPF_H
#define ZS_BENCH_ZIPF_H

#include <stdint.h>

#include "bench/random.h"

struct zs_zipf {
	uint64_t count;
	double *cumulative; /* [i]: probability of a rank <= i */
	uint32_t *guide;    /* [j]: first rank whose cumulative probability is above j / count */
};

/* Prepares `count` ranks (1 to 2^32 - 1). 0, or ZS_ENOMEM; the caller releases it with zs_zipf_close. */
int zs_zipf_open(struct zs_zipf *zipf, uint64_t count, double alpha);
void zs_zipf_close(struct zs_zipf *zipf);

/* The rank to which a number u in [0, 1) belongs. Thread-safe. */
uint64_t zs_zipf_rank(const struct zs_zipf *zipf, double u);

static inline uint64_t zs_zipf_draw(const struct zs_zipf *zipf, struct zs_random *random)
{
	return zs_zipf_rank(zipf, zs_random_unit(random));
}

#endif
