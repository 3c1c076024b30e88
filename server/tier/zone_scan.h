/*
 * Reading a whole zone: a few large reads under way at a time.
 *
 * THREADS. Belongs to the store's thread.
 */
#ifndef ZS_SERVER_TIER_ZONE_SCAN_H
#define ZS_SERVER_TIER_ZONE_SCAN_H

#include <stdbool.h>

#include "server/tier/zone_device.h"

struct zs_store;

/* Reads under way, each of as many blocks as an append has. */
#define ZS_SCAN_READS 8u

struct zs_scan_chunk {
	struct zs_zone_request request; /* the first member */
	uint8_t *data;
	bool under_way;
};

struct zs_zone_scan {
	struct zs_scan_chunk chunks[ZS_SCAN_READS];
	uint32_t zone;
	uint32_t next; /* block to be read next */
	uint32_t end;
	void *kind; /* the requests' context */
};

/* False: memory is out; free it all the same. */
bool zs_zone_scan_init(struct zs_zone_scan *scan, void *kind);
void zs_zone_scan_free(struct zs_zone_scan *scan);

/* Begins with the blocks of a zone, up to `end`. Nothing is under way. */
void zs_zone_scan_begin(struct zs_zone_scan *scan, uint32_t zone, uint32_t end);

/* Reads on. False: all has been read. What comes ends the store's way, and is to be given to zs_zone_scan_took. */
bool zs_zone_scan_go_on(struct zs_zone_scan *scan, struct zs_store *store);

/* The chunk of a request that has ended; its data stay until zs_zone_scan_go_on. */
const struct zs_scan_chunk *zs_zone_scan_took(struct zs_zone_request *request);

#endif
