/*
 * The rules by which a zoned device moves its zones from state to state, without any I/O. A device made of files keeps
 * to them by this; real ones have them built in.
 *
 * THREADS. Belongs to one thread.
 */
#ifndef ZS_SERVER_TIER_ZONE_RULES_H
#define ZS_SERVER_TIER_ZONE_RULES_H

#include "server/tier/zone_device.h"

struct zs_zone_rules {
	struct zs_zone_geometry geometry;
	struct zs_zone *zones;
	uint64_t *opened; /* when each zone was opened, counted in openings */
	uint64_t openings;
	uint32_t open;
	uint32_t active; /* open ones included */
};

/* All zones are empty. ZS_OK or ZS_ENOMEM. */
int zs_zone_rules_init(struct zs_zone_rules *rules, const struct zs_zone_geometry *geometry);
void zs_zone_rules_free(struct zs_zone_rules *rules);

/* Sets what a zone was found to be: for opening a device, and for injecting faults. */
void zs_zone_rules_set(struct zs_zone_rules *rules, uint32_t zone, struct zs_zone state);

/*
 * Moves the write pointer of a zone on; *block is where it was. May close the zone that was opened first to stay within
 * the limit of open ones. On any other status than ZS_ZONE_DONE nothing changes.
 */
enum zs_zone_status zs_zone_rules_append(struct zs_zone_rules *rules, uint32_t zone, uint32_t blocks, uint32_t *block);

enum zs_zone_status zs_zone_rules_reset(struct zs_zone_rules *rules, uint32_t zone);
enum zs_zone_status zs_zone_rules_finish(struct zs_zone_rules *rules, uint32_t zone);
enum zs_zone_status zs_zone_rules_close(struct zs_zone_rules *rules, uint32_t zone);

#endif
