/*
 * NVMe commands through io_uring: many under way at a time, and no thread that waits for one. The kernel gives such a
 * ring from 5.19 on, unless the administrator forbids it.
 *
 * THREADS. Belongs to one thread at a time.
 *
 * SOURCES. Linux: include/uapi/linux/nvme_ioctl.h, drivers/nvme/host/ioctl.c.
 */
#ifndef ZS_SERVER_TIER_ZONE_RING_H
#define ZS_SERVER_TIER_ZONE_RING_H

#include <stdbool.h>

#include <liburing.h>

#include "server/tier/zone_device.h"

struct nvme_uring_cmd;

struct zs_zone_ring {
	struct io_uring ring;
	unsigned under_way;
	unsigned waiting; /* for the kernel to take them */
};

/* How a command ended. */
struct zs_zone_ring_end {
	struct zs_zone_request *request;
	int result;	/* 0, an NVMe status, or below 0 an error of the system */
	uint64_t value; /* what an NVMe command returns beside its status */
};

/* ZS_OK, or ZS_ESYS: the kernel gives none. The ring must not be moved. */
int zs_zone_ring_open(struct zs_zone_ring *ring);

/* Waits for what is under way. */
void zs_zone_ring_close(struct zs_zone_ring *ring);

/* Sends a command to the generic device `fd`. No more than ZS_ZONE_QUEUE_DEPTH may be under way. Does not block. */
void zs_zone_ring_put(struct zs_zone_ring *ring, int fd, const struct nvme_uring_cmd *command,
		      struct zs_zone_request *request);

/* Takes one that has ended. False: none has. */
bool zs_zone_ring_take(struct zs_zone_ring *ring, struct zs_zone_ring_end *end);

/* Readable while zs_zone_ring_take has something to give. */
int zs_zone_ring_fd(const struct zs_zone_ring *ring);

#endif
