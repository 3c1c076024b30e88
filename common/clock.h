/*
 * Where the time comes from. Everything that decides by time takes a clock, so that a test can drive it.
 */
#ifndef ZS_COMMON_CLOCK_H
#define ZS_COMMON_CLOCK_H

#include <stdint.h>

struct zs_clock {
	/* Milliseconds since 1970. Thread-safe. Never goes back. */
	uint64_t (*now_ms)(void *context);
	/* Nanoseconds from any origin, for durations. Thread-safe. Never goes back. */
	uint64_t (*now_ns)(void *context);
	void *context;
};

/*
 * The system's clock: the wall clock at the first use, carried on by CLOCK_BOOTTIME. A step of the wall clock
 * (by an operator or NTP) therefore neither kills nor revives objects while the process lives.
 */
const struct zs_clock *zs_clock_system(void);

/* Sets the system clock forward to this time, if it is behind. For a process that starts, before others go by it. */
void zs_clock_system_not_before(uint64_t ms);

static inline uint64_t zs_clock_ms(const struct zs_clock *clock)
{
	return clock->now_ms(clock->context);
}

static inline uint64_t zs_clock_ns(const struct zs_clock *clock)
{
	return clock->now_ns(clock->context);
}

#endif
