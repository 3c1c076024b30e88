#include "common/landing.h"

#include <assert.h>
#include <string.h>

static unsigned units_of(size_t size)
{
	return (unsigned)((size + ZS_LANDING_UNIT - 1) / ZS_LANDING_UNIT);
}

static unsigned is_used(const struct zs_landing *landing, unsigned unit)
{
	return landing->used[unit / 64] >> (unit % 64) & 1;
}

void zs_landing_init(struct zs_landing *landing, void *memory)
{
	assert((uintptr_t)memory % ZS_LANDING_UNIT == 0);
	memset(landing, 0, sizeof(*landing));
	landing->memory = memory;
}

/* The first of `count` free units that lie together; ZS_LANDING_UNITS if there are not so many. */
static unsigned find(const struct zs_landing *landing, unsigned count)
{
	unsigned run = 0;

	for (unsigned unit = 0; unit < ZS_LANDING_UNITS; unit++) {
		if (unit % 64 == 0 && landing->used[unit / 64] == UINT64_MAX) {
			run = 0;
			unit += 63;
			continue;
		}
		run = is_used(landing, unit) ? 0 : run + 1;
		if (run == count)
			return unit + 1 - count;
	}
	return ZS_LANDING_UNITS;
}

void *zs_landing_take(struct zs_landing *landing, size_t size)
{
	unsigned count = units_of(size);
	unsigned first;

	assert(count >= 1 && count <= ZS_LANDING_UNITS);
	first = find(landing, count);
	if (first == ZS_LANDING_UNITS)
		return NULL;
	for (unsigned unit = first; unit < first + count; unit++)
		landing->used[unit / 64] |= UINT64_C(1) << (unit % 64);
	return landing->memory + (size_t)first * ZS_LANDING_UNIT;
}

void zs_landing_give(struct zs_landing *landing, const void *memory, size_t size)
{
	size_t offset = (size_t)((const uint8_t *)memory - landing->memory);
	unsigned first = (unsigned)(offset / ZS_LANDING_UNIT);

	assert(offset % ZS_LANDING_UNIT == 0 && first + units_of(size) <= ZS_LANDING_UNITS);
	for (unsigned unit = first; unit < first + units_of(size); unit++) {
		assert(is_used(landing, unit));
		landing->used[unit / 64] &= ~(UINT64_C(1) << (unit % 64));
	}
}
