#include "common/near_clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t system_coarse(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void zs_near_clock_init(struct zs_near_clock *near, const struct zs_clock *clock, uint64_t (*coarse)(void))
{
	*near = (struct zs_near_clock){ .clock = clock, .coarse = coarse };
}

void zs_near_clock_init_system(struct zs_near_clock *near)
{
	zs_near_clock_init(near, zs_clock_system(), system_coarse);
}

uint64_t zs_near_clock_read(struct zs_near_clock *near)
{
	uint64_t now;

	if (!near->coarse)
		return zs_clock_ns(near->clock);
	/* The coarse one first: if it moves on meanwhile, the next question finds out. */
	near->coarse_now = near->coarse();
	now = zs_clock_ns(near->clock);
	near->latest = now + ZS_NEAR_CLOCK_LATE_NS;
	near->trust = ZS_NEAR_CLOCK_TRUST;
	return now;
}
