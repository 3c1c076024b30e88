/*
 * What zoned disks have in common, whether they are spoken to as block devices (zone_block.c) or in NVMe's own commands
 * (zone_nvme.c): a pool of threads that do one command each and wait for it, a ring beside it for what the driver can
 * give the kernel without waiting, and how a disk is opened.
 *
 * A zone's number is its place on the disk. Disks with zones that can be written anywhere (conventional ones), of
 * several capacities, or with blocks of other than 4096 bytes are refused.
 *
 * THREADS. As in zone_device.h. A driver's functions are called by several threads at once, but never two of them
 * for one zone at a time, `read` excepted. `command` and `ended` are called by the device's own thread.
 */
#ifndef ZS_SERVER_TIER_ZONE_DISK_H
#define ZS_SERVER_TIER_ZONE_DISK_H

#include <pthread.h>

#include "server/tier/zone_internal.h"
#include "server/tier/zone_pool.h"
#include "server/tier/zone_ring.h"

struct zs_zone_disk;

struct zs_zone_driver {
	const char *name;
	enum zs_zone_status (*append)(struct zs_zone_disk *disk, struct zs_zone_request *request);
	enum zs_zone_status (*read)(struct zs_zone_disk *disk, struct zs_zone_request *request);
	/* Resets, finishes or closes. */
	enum zs_zone_status (*manage)(struct zs_zone_disk *disk, uint32_t zone, enum zs_zone_op op);
	enum zs_zone_status (*flush)(struct zs_zone_disk *disk);
	/* ZS_OK or ZS_ESYS. */
	int (*report)(struct zs_zone_disk *disk, uint32_t first, uint32_t count, struct zs_zone *zones);
	/* The command for a request. False: it goes to a thread. May be NULL. */
	bool (*command)(struct zs_zone_disk *disk, const struct zs_zone_request *request,
			struct nvme_uring_cmd *command);
	/* What became of it; sets the request's status. */
	void (*ended)(struct zs_zone_disk *disk, const struct zs_zone_ring_end *end);
};

struct zs_zone_disk {
	struct zs_zone_device device; /* the first member */
	const struct zs_zone_driver *driver;
	struct zs_zone_pool pool;
	struct zs_zone_ring ring;
	bool has_ring;
	int ready; /* readable when the pool or the ring has something; of disks with a ring */
	int fd;
	uint32_t namespace;	/* of NVMe */
	int claim;		/* what keeps others off beside `fd`; -1: nothing. Closed with it */
	uint32_t piece;		/* most blocks of one command */
	uint64_t zone_blocks;	/* from the beginning of a zone to that of the next */
	pthread_mutex_t *locks; /* of each zone */
	uint32_t *written;	/* of each zone, for drivers that have to know; under its lock */
};

/* What a disk says of itself. */
struct zs_zone_disk_facts {
	uint64_t zones;
	uint64_t zone_blocks;
	uint64_t capacity; /* blocks */
	uint64_t open_max; /* 0: no limit */
	uint64_t active_max;
	uint32_t block_size;
	uint32_t piece;	   /* most blocks of one command; 0: not known */
	uint64_t identity; /* as in zs_zone_geometry */
};

/*
 * Makes a device of an open disk, whose descriptor it owns from then on, also if it fails; of its zones as many as
 * `size` bytes need (0: all). ZS_OK, or ZS_ECONFIG, ZS_ENOMEM or ZS_ESYS and a sentence.
 */
int zs_zone_disk_open(const char *path, int fd, uint32_t namespace, const struct zs_zone_driver *driver,
		      const struct zs_zone_disk_facts *facts, uint64_t size, struct zs_zone_device **device, char *why,
		      size_t why_size);

/* Sends what the driver has a command for through io_uring, if the kernel lets us. Nothing has been begun yet. */
void zs_zone_disk_use_ring(struct zs_zone_disk *disk);

/* Says why open failed (errno). Returns ZS_ECONFIG. */
int zs_zone_disk_cannot_open(const char *path, char *why, size_t why_size);

/* Of the name in the whole world that the kernel tells in a disk's folder below /sys; 0: none. */
uint64_t zs_zone_disk_identity(const char *folder);

/* Whether `path` is a device, and not a folder of files. */
bool zs_zone_disk_is(const char *path);

/*
 * Opens the device at `path`, of whichever kind it is. A namespace that was named as a block device is spoken to in
 * NVMe's commands all the same, if it may be; what is on it is the same both ways.
 */
int zs_zone_disk_open_path(const char *path, uint64_t size, struct zs_zone_device **device, char *why, size_t why_size);

/* How a disk that was opened is spoken to, for the log. */
const char *zs_zone_disk_way(const struct zs_zone_device *device);

/* Opens a zoned block device (/dev/sdX, /dev/nvmeXnY, /dev/nullbX). As above. */
int zs_zone_block_open(const char *path, uint64_t size, struct zs_zone_device **device, char *why, size_t why_size);

/* Opens a zoned NVMe namespace by its generic device (/dev/ngXnY); needs CAP_SYS_ADMIN. As above. */
int zs_zone_nvme_open(const char *path, uint64_t size, struct zs_zone_device **device, char *why, size_t why_size);

#endif
