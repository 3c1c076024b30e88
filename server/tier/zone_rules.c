#include "server/tier/zone_rules.h"

#include <stdbool.h>
#include <stdlib.h>

#include "common/error.h"

int zs_zone_rules_init(struct zs_zone_rules *rules, const struct zs_zone_geometry *geometry)
{
	*rules = (struct zs_zone_rules){
		.geometry = *geometry,
		.zones = calloc(geometry->zones, sizeof(*rules->zones)),
		.opened = calloc(geometry->zones, sizeof(*rules->opened)),
	};
	if (rules->zones && rules->opened)
		return ZS_OK;
	zs_zone_rules_free(rules);
	return ZS_ENOMEM;
}

void zs_zone_rules_free(struct zs_zone_rules *rules)
{
	free(rules->zones);
	free(rules->opened);
	rules->zones = NULL;
	rules->opened = NULL;
}

static bool is_active(enum zs_zone_state state)
{
	return state == ZS_ZONE_OPEN || state == ZS_ZONE_CLOSED;
}

/* Every change of a state goes through here, so the counts are right. */
static void enter(struct zs_zone_rules *rules, uint32_t zone, enum zs_zone_state state)
{
	enum zs_zone_state old = rules->zones[zone].state;

	rules->open = rules->open - (old == ZS_ZONE_OPEN) + (state == ZS_ZONE_OPEN);
	rules->active = rules->active - is_active(old) + is_active(state);
	rules->zones[zone].state = state;
	if (state == ZS_ZONE_OPEN && old != ZS_ZONE_OPEN)
		rules->opened[zone] = ++rules->openings;
}

void zs_zone_rules_set(struct zs_zone_rules *rules, uint32_t zone, struct zs_zone state)
{
	enter(rules, zone, state.state);
	rules->zones[zone].written = state.written;
}

/* There is an open zone when this is called. */
static uint32_t first_opened(const struct zs_zone_rules *rules)
{
	uint32_t first = 0;

	for (uint32_t i = 1; i < rules->geometry.zones; i++) {
		if (rules->zones[i].state != ZS_ZONE_OPEN)
			continue;
		if (rules->zones[first].state != ZS_ZONE_OPEN || rules->opened[i] < rules->opened[first])
			first = i;
	}
	return first;
}

/* Whether the zone may be written at all, whatever the limits are. */
static enum zs_zone_status writable(const struct zs_zone *zone)
{
	switch (zone->state) {
	case ZS_ZONE_FULL:
		return ZS_ZONE_IS_FULL;
	case ZS_ZONE_READ_ONLY:
		return ZS_ZONE_IS_READ_ONLY;
	case ZS_ZONE_OFFLINE:
		return ZS_ZONE_IS_OFFLINE;
	default:
		return ZS_ZONE_DONE;
	}
}

enum zs_zone_status zs_zone_rules_append(struct zs_zone_rules *rules, uint32_t zone, uint32_t blocks, uint32_t *block)
{
	struct zs_zone *z = &rules->zones[zone];
	enum zs_zone_status status = writable(z);

	if (status)
		return status;
	if (blocks > rules->geometry.capacity - z->written)
		return ZS_ZONE_IS_FULL;
	if (z->state == ZS_ZONE_EMPTY && rules->active >= rules->geometry.active_max)
		return ZS_ZONE_TOO_MANY_ACTIVE;
	if (z->state != ZS_ZONE_OPEN) {
		if (rules->open >= rules->geometry.open_max)
			enter(rules, first_opened(rules), ZS_ZONE_CLOSED);
		enter(rules, zone, ZS_ZONE_OPEN);
	}
	*block = z->written;
	z->written += blocks;
	if (z->written == rules->geometry.capacity)
		enter(rules, zone, ZS_ZONE_FULL);
	return ZS_ZONE_DONE;
}

enum zs_zone_status zs_zone_rules_reset(struct zs_zone_rules *rules, uint32_t zone)
{
	enum zs_zone_status status = writable(&rules->zones[zone]);

	if (status && status != ZS_ZONE_IS_FULL)
		return status;
	zs_zone_rules_set(rules, zone, (struct zs_zone){ .state = ZS_ZONE_EMPTY });
	return ZS_ZONE_DONE;
}

enum zs_zone_status zs_zone_rules_finish(struct zs_zone_rules *rules, uint32_t zone)
{
	enum zs_zone_status status = writable(&rules->zones[zone]);

	if (status)
		return status == ZS_ZONE_IS_FULL ? ZS_ZONE_DONE : status;
	if (rules->zones[zone].state == ZS_ZONE_EMPTY && rules->active >= rules->geometry.active_max)
		return ZS_ZONE_TOO_MANY_ACTIVE;
	enter(rules, zone, ZS_ZONE_FULL);
	return ZS_ZONE_DONE;
}

enum zs_zone_status zs_zone_rules_close(struct zs_zone_rules *rules, uint32_t zone)
{
	switch (rules->zones[zone].state) {
	case ZS_ZONE_OPEN:
		enter(rules, zone, ZS_ZONE_CLOSED);
		return ZS_ZONE_DONE;
	case ZS_ZONE_CLOSED:
		return ZS_ZONE_DONE;
	case ZS_ZONE_EMPTY:
		return ZS_ZONE_INVALID; /* nothing to close */
	default:
		return writable(&rules->zones[zone]);
	}
}
