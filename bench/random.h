/*
 * Random numbers for the benchmarks: the same seed gives the same numbers on every machine.
 */
#ifndef ZS_BENCH_RANDOM_H
#define ZS_BENCH_RANDOM_H

#include <stdint.h>

/* splitmix64 (Steele, Lea, Flood, OOPSLA '14): any seed will do, 0 included. */
struct zs_random {
	uint64_t state;
};

/* A fixed bijection of 64-bit numbers; good enough as a hash of small integers. */
static inline uint64_t zs_mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static inline uint64_t zs_random_next(struct zs_random *random)
{
	return zs_mix(random->state += 0x9e3779b97f4a7c15u);
}

/* Uniform in 0..bound-1; bound must not be 0. (Lemire's multiplication; the bias is below bound / 2^64.) */
static inline uint64_t zs_random_below(struct zs_random *random, uint64_t bound)
{
	return (uint64_t)(((unsigned __int128)zs_random_next(random) * bound) >> 64);
}

/* Uniform in [0, 1). */
static inline double zs_random_unit(struct zs_random *random)
{
	return (double)(zs_random_next(random) >> 11) * 0x1p-53;
}

#endif
