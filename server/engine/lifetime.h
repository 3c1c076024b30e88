/*
 * Deadlines as slabs keep them: a base for the slab and a byte for each object, both in units of the slab.
 *
 * The unit is at most 1 % of the time to live, so rounding down to the grid is never late and at most 1 % early. The
 * grid is absolute (multiples of the unit since 1970): moving an object to another slab of the same unit changes
 * nothing. A byte reaches 255 units, and units are at least 1/150 of the time to live, so an object refreshed during
 * its whole life still fits the slab it is in.
 */
#ifndef ZS_SERVER_ENGINE_LIFETIME_H
#define ZS_SERVER_ENGINE_LIFETIME_H

#include "common/layout.h"

/* Deadlines beyond this (in the year 146 million) are taken as this. */
#define ZS_DEADLINE_MAX (1ull << 62)

/* Units that a new slab leaves below its first object, for others that end a little earlier. */
#define ZS_BASE_SLACK 12u

/* A time to live has at least so many of its units. */
#define ZS_UNITS_LEAST 100u

/* Units after its base from which on a slab takes no more new objects: they might not be refreshable in place. */
#define ZS_FILL_SPAN 120u

/* The coarsest unit for a time to live of `ttl` ms; at least 1. */
static inline uint32_t zs_unit_for(uint64_t ttl)
{
	uint64_t limit = ttl / 100;
	uint32_t unit;

	if (limit < 2)
		return 1;
	/* zs_unit_ms(2 e + 2) is 2 << e, and zs_unit_ms(2 e + 3) is 3 << e. */
	unit = 2 * (62 - (uint32_t)__builtin_clzll(limit)) + 2;
	if (zs_unit_ms(unit + 1) <= limit)
		unit++;
	return unit < ZS_UNIT_MAX ? unit : ZS_UNIT_MAX;
}

/* The base of a new slab whose first object ends at `deadline`. */
static inline uint64_t zs_base_for(uint64_t deadline, uint32_t unit)
{
	uint64_t units = deadline / zs_unit_ms(unit);

	return units > ZS_BASE_SLACK ? units - ZS_BASE_SLACK : 0;
}

/* The byte for a deadline in a slab; false if the slab cannot express it. */
static inline bool zs_deadline_byte(uint64_t lifetime, uint64_t deadline, uint8_t *byte)
{
	uint64_t units = deadline / zs_unit_ms(zs_lifetime_unit(lifetime));
	uint64_t base = zs_lifetime_base(lifetime);

	if (units < base || units - base > 255)
		return false;
	*byte = (uint8_t)(units - base);
	return true;
}

/*
 * When to visit a slab, in 16 bits: quarter seconds, modulo. 0 stands for never. What lies farther ahead than half
 * the range (some two hours) is visited then, and looked at again.
 */
#define ZS_DUE_MS 256u
#define ZS_DUE_AHEAD 32000u

static inline uint16_t zs_due_tick(uint64_t ms)
{
	uint16_t tick = (uint16_t)(ms / ZS_DUE_MS);

	return tick ? tick : 1;
}

static inline uint16_t zs_due_at(uint64_t when_ms, uint64_t now_ms)
{
	uint64_t ahead = when_ms > now_ms ? (when_ms - now_ms) / ZS_DUE_MS + 1 : 0;

	return zs_due_tick(now_ms + (ahead < ZS_DUE_AHEAD ? ahead : ZS_DUE_AHEAD) * ZS_DUE_MS);
}

static inline bool zs_due_reached(uint16_t due, uint16_t now_tick)
{
	return due && (int16_t)(uint16_t)(due - now_tick) <= 0;
}

#endif
