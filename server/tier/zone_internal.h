/*
 * What a backend of the zoned device is: a table of functions, and the part that all have in common.
 */
#ifndef ZS_SERVER_TIER_ZONE_INTERNAL_H
#define ZS_SERVER_TIER_ZONE_INTERNAL_H

#include <stdbool.h>

#include "server/tier/zone_device.h"

struct zs_zone_ops {
	/* Begins a request that is valid. It ends through `reap`, at once or later. */
	void (*begin)(struct zs_zone_device *device, struct zs_zone_request *request);
	/* Has a request reaped that was never begun. Its status is set. */
	void (*end)(struct zs_zone_device *device, struct zs_zone_request *request);
	unsigned (*reap)(struct zs_zone_device *device, struct zs_zone_request **done, unsigned max);
	int (*report)(struct zs_zone_device *device, uint32_t first, uint32_t count, struct zs_zone *zones);
	int (*fd)(const struct zs_zone_device *device);
	/* Waits for what is under way, of which nobody will be told. */
	void (*close)(struct zs_zone_device *device);
};

/* What is under way in one zone. */
struct zs_zone_traffic {
	uint16_t appends;
	bool changing; /* a reset or a finish */
};

/* The first member of each backend's device. */
struct zs_zone_device {
	const struct zs_zone_ops *ops;
	struct zs_zone_geometry geometry;
	struct zs_zone_traffic *traffic; /* of each zone */
	unsigned under_way;
};

/* ZS_OK or ZS_ENOMEM. */
int zs_zone_device_init(struct zs_zone_device *device, const struct zs_zone_ops *ops,
			const struct zs_zone_geometry *geometry);
void zs_zone_device_free(struct zs_zone_device *device);

#endif
