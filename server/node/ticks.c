#include "server/node/ticks.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

bool zs_ticks_use_counter;
uint64_t zs_ticks_multiplier = UINT64_C(1) << 24;

#if defined(__x86_64__)
static bool counter_is_steady(void)
{
	unsigned a = 0;
	unsigned b = 0;
	unsigned c = 0;
	unsigned d = 0;

	/* Invariant TSC: neither frequency nor sleep states change its rate. */
	return __get_cpuid(0x80000007, &a, &b, &c, &d) && (d & (1u << 8));
}

void zs_ticks_init(void)
{
	struct timespec pause = { .tv_nsec = 10000000 };
	uint64_t ns;
	uint64_t ticks;

	if (!counter_is_steady())
		return;
	ns = zs_ticks_monotonic_ns();
	ticks = __rdtsc();
	nanosleep(&pause, 0);
	ns = zs_ticks_monotonic_ns() - ns;
	ticks = __rdtsc() - ticks;
	if (ticks == 0)
		return;
	zs_ticks_multiplier = (ns << 24) / ticks;
	zs_ticks_use_counter = zs_ticks_multiplier > 0;
}
#else
void zs_ticks_init(void)
{
}
#endif
