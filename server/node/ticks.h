/*
 * A cheap clock for measuring commands: the processor's time stamp counter where it runs at one rate, else
 * CLOCK_MONOTONIC.
 */
#ifndef ZS_SERVER_NODE_TICKS_H
#define ZS_SERVER_NODE_TICKS_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

/* Set by zs_ticks_init before any thread is started. Nanoseconds = ticks * multiplier / 2^24. */
extern bool zs_ticks_use_counter;
extern uint64_t zs_ticks_multiplier;

/* Finds out which clock to use and how fast it runs; takes some 10 milliseconds. */
void zs_ticks_init(void);

static inline uint64_t zs_ticks_monotonic_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t zs_ticks(void)
{
#if defined(__x86_64__)
	if (zs_ticks_use_counter)
		return __rdtsc();
#endif
	return zs_ticks_monotonic_ns();
}

/* A span of ticks (up to an hour) in nanoseconds. */
static inline uint64_t zs_ticks_to_ns(uint64_t ticks)
{
	return (uint64_t)((unsigned __int128)ticks * zs_ticks_multiplier >> 24);
}

static inline uint64_t zs_ticks_from_ns(uint64_t ns)
{
	return (uint64_t)(((unsigned __int128)ns << 24) / zs_ticks_multiplier);
}

#endif
