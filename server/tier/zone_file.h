/*
 * A zoned device made of files: what a node has that was given a folder. It keeps to a device's rules and answers with
 * its errors, so what works with it works with a real one.
 *
 * THE FOLDER has a file `zones`, which says how many zones there are and which of them are finished, read-only or
 * offline, and for each zone a file that is as long as what was written to it. One process at a time uses it.
 *
 * FAULTS can be injected, for tests: they make a device of files behave as a real one that fails.
 */
#ifndef ZS_SERVER_TIER_ZONE_FILE_H
#define ZS_SERVER_TIER_ZONE_FILE_H

#include "server/tier/zone_device.h"

struct zs_zone_file_options {
	uint64_t size;		/* bytes of all zones, rounded down to whole zones; 0: as many as the folder has */
	uint64_t zone_capacity; /* bytes, a multiple of ZS_ZONE_BLOCK_SIZE; a folder that exists keeps its own */
	uint32_t open_max;
	uint32_t active_max;
};

/* Zones of 32 MiB, 14 of them open or active at a time as of a common ZNS drive. */
void zs_zone_file_options_init(struct zs_zone_file_options *options);

/*
 * Opens the device in folder `path`, and makes it if the folder is empty or not there. ZS_OK, ZS_ECONFIG (not such a
 * folder, another size, damaged, in use, too little room), ZS_EINVAL (options), ZS_ENOMEM or ZS_ESYS; then `why` holds
 * a sentence for the operator. What an operator has to decide is never decided here: nothing that exists is removed.
 */
int zs_zone_file_open(const char *path, const struct zs_zone_file_options *options, struct zs_zone_device **device,
		      char *why, size_t why_size);

/* ---- faults ---- */

enum zs_zone_fault {
	ZS_ZONE_FAULT_APPEND,	 /* the next append fails, and the write pointer moves all the same */
	ZS_ZONE_FAULT_READ,	 /* the next read fails */
	ZS_ZONE_FAULT_READ_ONLY, /* the zone can be read only, from now on */
	ZS_ZONE_FAULT_OFFLINE,	 /* the zone is lost */
};

void zs_zone_file_inject(struct zs_zone_device *device, uint32_t zone, enum zs_zone_fault fault);

/* From now on each append and read takes up to so many microseconds longer, at random: they end in any order. */
void zs_zone_file_delay(struct zs_zone_device *device, unsigned us);

/*
 * Closes the device as a power cut does. Of what no flush covers, each zone loses a suffix of random length, and of
 * what is left of it some blocks read as zeros. Requests under way are forgotten. The same seed cuts alike.
 */
void zs_zone_file_cut_power(struct zs_zone_device *device, uint64_t seed);

#endif
