/*
 * A zoned device: the warm tier's storage, whatever it is made of.
 *
 * ZONES. The device has zones of equal size, each written from its beginning to its capacity and then only read until
 * it is reset as a whole. The write pointer of a zone is the number of blocks written so far. Blocks beyond it, of
 * zones that are not full, read as zeros. Only so many zones may be active (written in part) and only so many of these
 * open at a time; to append to another one is an error, and the device closes or finishes none by itself but to keep
 * within the limit of open ones, as NVMe says (implicit close of an implicitly open zone).
 *
 * REQUESTS are asynchronous. A request belongs to the device from zs_zone_submit until zs_zone_reap gives it back with
 * its status; its data have to stay where they are as long. Requests end in any order. Appends to one zone may be under
 * way at once; each one's place is known when it ends. From the submission of a reset or a finish of a zone until it is
 * reaped nothing else that changes the zone may be submitted, nor a reset or a finish while appends are under way.
 *
 * DURABILITY. What has been appended survives the process. It survives the host once a flush that was submitted after
 * the append had ended has ended well. A reset is durable when it ends.
 *
 * THREADS. A device belongs to one thread at a time.
 *
 * SOURCES. NVM Express Zoned Namespace Command Set 1.1 for states, transitions and errors.
 */
#ifndef ZS_SERVER_TIER_ZONE_DEVICE_H
#define ZS_SERVER_TIER_ZONE_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#define ZS_ZONE_BLOCK_SIZE 4096u

/* Blocks of the largest append: devices were seen to refuse 512 KiB now and then, 256 KiB never. */
#define ZS_ZONE_APPEND_BLOCKS_MAX 64u

/* Requests under way at a time. */
#define ZS_ZONE_QUEUE_DEPTH 128u

enum zs_zone_state {
	ZS_ZONE_EMPTY,
	ZS_ZONE_OPEN, /* by the device, because it was written to */
	ZS_ZONE_CLOSED,
	ZS_ZONE_FULL,
	ZS_ZONE_READ_ONLY,
	ZS_ZONE_OFFLINE, /* what was in it is lost */
};

struct zs_zone {
	enum zs_zone_state state;
	uint32_t written; /* blocks; 0 of an offline zone, and of one that is full or read-only perhaps fewer */
};

struct zs_zone_geometry {
	uint32_t zones;
	uint32_t capacity;   /* blocks of a zone that can be written */
	uint32_t open_max;   /* zones */
	uint32_t active_max; /* zones; open ones included */
	uint64_t identity;   /* of this very device; 0: not known */
};

enum zs_zone_status {
	ZS_ZONE_DONE,
	ZS_ZONE_IS_FULL,	 /* or what is appended does not fit */
	ZS_ZONE_TOO_MANY_ACTIVE, /* one has to be written full, finished or reset first */
	ZS_ZONE_TOO_MANY_OPEN,	 /* one has to be closed, and the device cannot do it by itself */
	ZS_ZONE_IS_READ_ONLY,
	ZS_ZONE_IS_OFFLINE,
	ZS_ZONE_WRITE_FAULT, /* the write pointer may have moved all the same; what lies there is not to be believed */
	ZS_ZONE_READ_FAULT,
	ZS_ZONE_INVALID, /* no such zone or block, a size that is not allowed, or not at this time; nothing was done */
	ZS_ZONE_BROKEN,	 /* the device or its driver failed */
};

enum zs_zone_op {
	ZS_ZONE_APPEND, /* `blocks` from `data` to the end of the zone; `block` says where they are */
	ZS_ZONE_READ,	/* `blocks` from `block` on into `data` */
	ZS_ZONE_RESET,	/* an empty one stays empty */
	ZS_ZONE_FINISH, /* makes it full */
	ZS_ZONE_CLOSE,	/* it stays active, but open no longer */
	ZS_ZONE_FLUSH,	/* of the whole device */
};

struct zs_zone_request {
	enum zs_zone_op op;
	uint32_t zone;
	uint32_t block;	 /* in the zone; of an append when it is done */
	uint32_t blocks; /* of an append or a read: 1..ZS_ZONE_APPEND_BLOCKS_MAX */
	void *data;	 /* aligned to ZS_ZONE_BLOCK_SIZE; not written to by an append */
	void *context;	 /* the user's */
	enum zs_zone_status status;
	struct zs_zone_request *next; /* the device's, while it has the request */
};

struct zs_zone_device;

void zs_zone_device_close(struct zs_zone_device *device);

const struct zs_zone_geometry *zs_zone_geometry(const struct zs_zone_device *device);

/* The states of zones first..first+count-1 as of now. ZS_OK, ZS_EINVAL (there are fewer zones) or ZS_ESYS. May block.
 */
int zs_zone_report(struct zs_zone_device *device, uint32_t first, uint32_t count, struct zs_zone *zones);

/*
 * Begins a request. ZS_OK: it will be reaped, bad arguments too (ZS_ZONE_INVALID). ZS_EAGAIN: so many are under way
 * already; reap first. Never blocks.
 */
int zs_zone_submit(struct zs_zone_device *device, struct zs_zone_request *request);

/* Takes up to `max` requests that have ended; returns how many. Never blocks. */
unsigned zs_zone_reap(struct zs_zone_device *device, struct zs_zone_request **done, unsigned max);

/* Readable when zs_zone_reap has something to give. For poll and its like; belongs to the device. */
int zs_zone_fd(const struct zs_zone_device *device);

/* A word for a status, for logs. */
const char *zs_zone_status_name(enum zs_zone_status status);

#endif
