/*
 * Zoned block devices, by what Linux offers for all of them. There is no append: a zone is written to at its write
 * pointer, one write at a time, because the kernel may change the order of several.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/blkzoned.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "common/error.h"
#include "server/tier/zone_disk.h"

/* The kernel counts in these, whatever the disk's blocks are. */
#define SECTOR 512u
#define SECTORS_PER_BLOCK (ZS_ZONE_BLOCK_SIZE / SECTOR)

static uint64_t sector_of(const struct zs_zone_disk *d, uint32_t zone)
{
	return zone * d->zone_blocks * SECTORS_PER_BLOCK;
}

/* ---- zones ---- */

static struct zs_zone zone_from(const struct blk_zone *z)
{
	struct zs_zone zone = { .written = (uint32_t)((z->wp - z->start) / SECTORS_PER_BLOCK) };

	switch (z->cond) {
	case BLK_ZONE_COND_EMPTY:
		zone.state = ZS_ZONE_EMPTY;
		break;
	case BLK_ZONE_COND_IMP_OPEN:
	case BLK_ZONE_COND_EXP_OPEN:
		zone.state = ZS_ZONE_OPEN;
		break;
	case BLK_ZONE_COND_CLOSED:
		zone.state = ZS_ZONE_CLOSED;
		break;
	case BLK_ZONE_COND_FULL:
		zone.state = ZS_ZONE_FULL;
		zone.written = (uint32_t)(z->capacity / SECTORS_PER_BLOCK);
		break;
	case BLK_ZONE_COND_READONLY:
		/* The pointer means nothing. */
		zone = (struct zs_zone){ ZS_ZONE_READ_ONLY, (uint32_t)(z->capacity / SECTORS_PER_BLOCK) };
		break;
	default:
		zone = (struct zs_zone){ .state = ZS_ZONE_OFFLINE };
		break;
	}
	return zone;
}

/* The caller frees it. NULL: it cannot be had. */
static struct blk_zone_report *ask(int fd, uint64_t sector, uint32_t count)
{
	struct blk_zone_report *r = calloc(1, sizeof(*r) + count * sizeof(r->zones[0]));

	if (!r)
		return NULL;
	r->sector = sector;
	r->nr_zones = count;
	if (ioctl(fd, BLKREPORTZONE, r) == 0 && r->nr_zones == count)
		return r;
	free(r);
	return NULL;
}

static int report(struct zs_zone_disk *d, uint32_t first, uint32_t count, struct zs_zone *zones)
{
	struct blk_zone_report *r = ask(d->fd, sector_of(d, first), count);

	if (!r)
		return ZS_ESYS;
	for (uint32_t i = 0; i < count; i++)
		zones[i] = zone_from(&r->zones[i]);
	free(r);
	return ZS_OK;
}

/* ---- requests ---- */

/* What an error was about. The kernel has few numbers for it, so the zone's state says the rest. */
static enum zs_zone_status explain(struct zs_zone_disk *d, uint32_t zone, int error, enum zs_zone_status otherwise)
{
	struct zs_zone found;

	if (error == ETOOMANYREFS)
		return ZS_ZONE_TOO_MANY_OPEN;
	if (error == EOVERFLOW)
		return ZS_ZONE_TOO_MANY_ACTIVE;
	if (error != EIO && error != ENODATA && error != EREMOTEIO)
		return ZS_ZONE_BROKEN;
	if (report(d, zone, 1, &found))
		return ZS_ZONE_BROKEN;
	if (found.state == ZS_ZONE_READ_ONLY && otherwise != ZS_ZONE_READ_FAULT)
		return ZS_ZONE_IS_READ_ONLY;
	if (found.state == ZS_ZONE_OFFLINE)
		return ZS_ZONE_IS_OFFLINE;
	return otherwise;
}

static off_t offset_of(const struct zs_zone_disk *d, uint32_t zone, uint32_t block)
{
	return (off_t)((zone * d->zone_blocks + block) * ZS_ZONE_BLOCK_SIZE);
}

/* Limits of active zones are the disk's to keep, but the kernel says no more of it than that the write failed. */
static bool would_be_too_many(struct zs_zone_disk *d)
{
	uint32_t active = 0;

	if (d->device.geometry.active_max == d->device.geometry.zones)
		return false;
	for (uint32_t i = 0; i < d->device.geometry.zones; i++) {
		uint32_t written = __atomic_load_n(&d->written[i], __ATOMIC_RELAXED);

		active += written && written < d->device.geometry.capacity;
	}
	return active >= d->device.geometry.active_max;
}

/* Writes at the zone's pointer, which moves. In pieces that the kernel does not cut up: it may change their order. */
static enum zs_zone_status write_at_pointer(struct zs_zone_disk *d, const struct zs_zone_request *request)
{
	uint32_t *written = &d->written[request->zone];

	for (uint32_t i = 0; i < request->blocks;) {
		uint32_t left = request->blocks - i;
		size_t size = (size_t)(left < d->piece ? left : d->piece) * ZS_ZONE_BLOCK_SIZE;
		ssize_t done = pwrite(d->fd, (uint8_t *)request->data + (size_t)i * ZS_ZONE_BLOCK_SIZE, size,
				      offset_of(d, request->zone, *written));

		if (done < 0 && errno == EINTR)
			continue;
		if (done != (ssize_t)size)
			return done < 0 ? explain(d, request->zone, errno, ZS_ZONE_WRITE_FAULT) : ZS_ZONE_WRITE_FAULT;
		i += (uint32_t)(size / ZS_ZONE_BLOCK_SIZE);
		__atomic_store_n(written, *written + (uint32_t)(size / ZS_ZONE_BLOCK_SIZE), __ATOMIC_RELAXED);
	}
	return ZS_ZONE_DONE;
}

/* Of a zone that can only be read nobody knows how much was written to it, so it counts as full. */
static enum zs_zone_status why_full(struct zs_zone_disk *d, uint32_t zone)
{
	struct zs_zone found;

	if (report(d, zone, 1, &found) == ZS_OK && found.state == ZS_ZONE_READ_ONLY)
		return ZS_ZONE_IS_READ_ONLY;
	return ZS_ZONE_IS_FULL;
}

static enum zs_zone_status append(struct zs_zone_disk *d, struct zs_zone_request *request)
{
	uint32_t *written = &d->written[request->zone];
	uint32_t block = *written;
	enum zs_zone_status status;
	struct zs_zone found;

	if (request->blocks > d->device.geometry.capacity - *written)
		return why_full(d, request->zone);
	if (!*written && would_be_too_many(d))
		return ZS_ZONE_TOO_MANY_ACTIVE;
	status = write_at_pointer(d, request);
	if (status == ZS_ZONE_DONE) {
		request->block = block;
		return ZS_ZONE_DONE;
	}
	if (report(d, request->zone, 1, &found) == ZS_OK)
		__atomic_store_n(written, found.written, __ATOMIC_RELAXED);
	return status;
}

/* What is beyond the write pointer reads as zeros; not every device says so by itself. */
static void clear_beyond(const struct zs_zone_request *request, uint32_t written)
{
	for (uint32_t i = 0; i < request->blocks; i++) {
		if (request->block + i >= written)
			memset((uint8_t *)request->data + (size_t)i * ZS_ZONE_BLOCK_SIZE, 0, ZS_ZONE_BLOCK_SIZE);
	}
}

static enum zs_zone_status read_blocks(struct zs_zone_disk *d, struct zs_zone_request *request)
{
	uint32_t written = __atomic_load_n(&d->written[request->zone], __ATOMIC_RELAXED);
	size_t size = (size_t)request->blocks * ZS_ZONE_BLOCK_SIZE;
	ssize_t done;

	do
		done = pread(d->fd, request->data, size, offset_of(d, request->zone, request->block));
	while (done < 0 && errno == EINTR);
	if (done == (ssize_t)size) {
		clear_beyond(request, written);
		return ZS_ZONE_DONE;
	}
	return done < 0 ? explain(d, request->zone, errno, ZS_ZONE_READ_FAULT) : ZS_ZONE_READ_FAULT;
}

static enum zs_zone_status manage(struct zs_zone_disk *d, uint32_t zone, enum zs_zone_op op)
{
	unsigned long command = op == ZS_ZONE_RESET    ? BLKRESETZONE
				: op == ZS_ZONE_FINISH ? BLKFINISHZONE
						       : BLKCLOSEZONE;
	struct blk_zone_range range = { sector_of(d, zone), d->zone_blocks * SECTORS_PER_BLOCK };
	struct zs_zone found;

	if (ioctl(d->fd, command, &range))
		return explain(d, zone, errno, ZS_ZONE_BROKEN);
	if (report(d, zone, 1, &found))
		return ZS_ZONE_BROKEN;
	__atomic_store_n(&d->written[zone], found.written, __ATOMIC_RELAXED);
	return ZS_ZONE_DONE;
}

static enum zs_zone_status flush(struct zs_zone_disk *d)
{
	return fsync(d->fd) ? ZS_ZONE_BROKEN : ZS_ZONE_DONE;
}

static const struct zs_zone_driver driver = {
	.name = "block device",
	.append = append,
	.read = read_blocks,
	.manage = manage,
	.flush = flush,
	.report = report,
};

/* ---- opening ---- */

/* A number that the kernel says of the disk; 0: nothing. */
static uint64_t queue_number(int fd, const char *name)
{
	struct stat status;
	char path[128];
	uint64_t number = 0;
	FILE *file;

	if (fstat(fd, &status))
		return 0;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/queue/%s", major(status.st_rdev), minor(status.st_rdev),
		 name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	if (fscanf(file, "%" SCNu64, &number) != 1)
		number = 0;
	fclose(file);
	return number;
}

static uint64_t identity_of(int fd)
{
	struct stat status;
	char folder[64];

	if (fstat(fd, &status))
		return 0;
	snprintf(folder, sizeof(folder), "/sys/dev/block/%u:%u", major(status.st_rdev), minor(status.st_rdev));
	return zs_zone_disk_identity(folder);
}

/* All zones have to be alike, and to be written from their beginning. */
static int look_at_zones(const char *path, int fd, struct zs_zone_disk_facts *facts, char *why, size_t why_size)
{
	for (uint64_t i = 0; i < facts->zones; i++) {
		struct blk_zone_report *r = ask(fd, i * facts->zone_blocks * SECTORS_PER_BLOCK, 1);
		uint64_t capacity;
		bool conventional;

		if (!r) {
			snprintf(why, why_size, "%s: its zones cannot be asked for: %s", path, strerror(errno));
			return ZS_ESYS;
		}
		capacity =
		    (r->flags & BLK_ZONE_REP_CAPACITY ? r->zones[0].capacity : r->zones[0].len) / SECTORS_PER_BLOCK;
		conventional = r->zones[0].type == BLK_ZONE_TYPE_CONVENTIONAL;
		free(r);
		if (conventional || (i && capacity != facts->capacity)) {
			snprintf(why, why_size,
				 "%s: zone %" PRIu64 " is not like the others; the warm tier needs zones "
				 "of one size that are written in order",
				 path, i);
			return ZS_ECONFIG;
		}
		facts->capacity = capacity;
	}
	return ZS_OK;
}

static int learn(const char *path, int fd, struct zs_zone_disk_facts *facts, char *why, size_t why_size)
{
	uint32_t zones = 0;
	uint32_t sectors = 0;
	int block_size = 0;

	if (ioctl(fd, BLKGETNRZONES, &zones) || ioctl(fd, BLKGETZONESZ, &sectors) || !zones || !sectors) {
		snprintf(why, why_size, "%s is not a zoned device; the warm tier takes zoned devices, and folders",
			 path);
		return ZS_ECONFIG;
	}
	if (ioctl(fd, BLKSSZGET, &block_size)) {
		snprintf(why, why_size, "%s cannot be asked for the size of its blocks: %s", path, strerror(errno));
		return ZS_ESYS;
	}
	*facts = (struct zs_zone_disk_facts){
		.zones = zones,
		.zone_blocks = sectors / SECTORS_PER_BLOCK,
		.open_max = queue_number(fd, "max_open_zones"),
		.active_max = queue_number(fd, "max_active_zones"),
		.block_size = (uint32_t)block_size,
		.piece = (uint32_t)(queue_number(fd, "max_sectors_kb") * 1024 / ZS_ZONE_BLOCK_SIZE),
		.identity = identity_of(fd),
	};
	return look_at_zones(path, fd, facts, why, why_size);
}

int zs_zone_block_open(const char *path, uint64_t size, struct zs_zone_device **device, char *why, size_t why_size)
{
	struct zs_zone_disk_facts facts;
	int fd = open(path, O_RDWR | O_DIRECT | O_EXCL | O_CLOEXEC);
	int error;

	*device = NULL;
	if (fd < 0)
		return zs_zone_disk_cannot_open(path, why, why_size);
	error = learn(path, fd, &facts, why, why_size);
	if (error) {
		close(fd);
		return error;
	}
	return zs_zone_disk_open(path, fd, 0, &driver, &facts, size, device, why, why_size);
}
