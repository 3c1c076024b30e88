#include "common/landing.h"

#include <assert.h>
#include <string.h>

static unsigned units_of(size_t size)
{
	return (unsigned)((size + ZS_LANDING_UNIT - 1) / ZS_LANDING_UNIT);
}

static uint64_t mask_of(unsigned count)
{
	return count < 64 ? (UINT64_C(1) << count) - 1 : UINT64_MAX;
}

/* Where runs of `count` ones begin. */
static uint64_t runs_of(uint64_t ones, unsigned count)
{
	while (count > 1) {
		unsigned half = count / 2;

		ones &= ones >> half;
		count -= half;
	}
	return ones;
}

void zs_landing_init(struct zs_landing *landing, void *memory)
{
	assert((uintptr_t)memory % ZS_LANDING_UNIT == 0);
	memset(landing, 0, sizeof(*landing));
	landing->memory = memory;
}

void *zs_landing_take(struct zs_landing *landing, size_t size)
{
	unsigned count = units_of(size);

	assert(size && size <= ZS_LANDING_MAX);
	for (unsigned word = 0; word < ZS_LANDING_WORDS; word++) {
		/* A word of which nothing is used is what a reader of one key at a time meets. */
		uint64_t runs = landing->used[word] ? runs_of(~landing->used[word], count) : 1;
		unsigned first;

		if (!runs)
			continue;
		first = (unsigned)__builtin_ctzll(runs);
		landing->used[word] |= mask_of(count) << first;
		return landing->memory + (size_t)(word * 64 + first) * ZS_LANDING_UNIT;
	}
	return NULL;
}

void zs_landing_give(struct zs_landing *landing, const void *memory, size_t size)
{
	size_t offset = (size_t)((const uint8_t *)memory - landing->memory);
	size_t unit = offset / ZS_LANDING_UNIT;
	uint64_t mask = mask_of(units_of(size)) << (unit % 64);

	assert(offset % ZS_LANDING_UNIT == 0 && unit < ZS_LANDING_UNITS);
	assert((landing->used[unit / 64] & mask) == mask);
	landing->used[unit / 64] &= ~mask;
}
