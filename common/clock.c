#include "common/clock.h"

#include <pthread.h>
#include <time.h>

static pthread_once_t origin_once = PTHREAD_ONCE_INIT;
static uint64_t wall_minus_boot_ms;

static uint64_t read_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void take_origin(void)
{
	wall_minus_boot_ms = read_ns(CLOCK_REALTIME) / 1000000u - read_ns(CLOCK_BOOTTIME) / 1000000u;
}

static uint64_t system_now_ms(void *context)
{
	(void)context;
	pthread_once(&origin_once, take_origin);
	return read_ns(CLOCK_BOOTTIME) / 1000000u + wall_minus_boot_ms;
}

static uint64_t system_now_ns(void *context)
{
	(void)context;
	return read_ns(CLOCK_BOOTTIME);
}

void zs_clock_system_not_before(uint64_t ms)
{
	uint64_t now = system_now_ms(NULL);

	if (now < ms)
		wall_minus_boot_ms += ms - now;
}

static const struct zs_clock system_clock = { system_now_ms, system_now_ns, 0 };

const struct zs_clock *zs_clock_system(void)
{
	return &system_clock;
}
